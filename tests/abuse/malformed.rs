//! Datagrams nobody should send: broken ones, and too many.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::End;

/// The network the flood comes from, as `status` writes it.
pub(crate) const FLOOD_NETWORK: &str = "127.0.66.0/24";

/// xorshift64*: the same attack every time.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
}

/// Sends so many packets of `packet` a second, in small bursts; says how many.
fn pace(end: &End, rate: u32, mut packet: impl FnMut()) -> u64 {
    let begun = Instant::now();
    let mut sent = 0;
    while !end.is_near() {
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        // After a pause of this thread what was missed is not made up for all at once.
        sent = sent.max(due.saturating_sub(u64::from(rate) / 10));
        while sent < due {
            packet();
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    sent
}

/// A query that is right: the ground for those that are not.
pub(crate) fn query(name: &str, random: &mut Random) -> Vec<u8> {
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet[0] = random.next() as u8;
    packet[1] = random.next() as u8;
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    // OPT with a client subnet and a cookie.
    packet.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 23]);
    packet.extend_from_slice(&[0, 8, 0, 7, 0, 1, 24, 0, 203, 0, 113]);
    packet.extend_from_slice(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    packet
}

/// One packet that is broken in one way or several.
pub(crate) fn broken(random: &mut Random) -> Vec<u8> {
    let names =
        ["www.example.org", "large.example.org", "x.sub.example.org", "a.b.c.d.example.org"];
    let mut packet = query(names[random.below(names.len())], random);
    match random.below(8) {
        0 => packet.truncate(random.below(packet.len())),
        1 => packet[2] |= 0x80,
        2 => packet = (0..random.below(1400)).map(|_| random.next() as u8).collect(),
        3 => {
            let at = 4 + random.below(8);
            packet[at] = random.next() as u8;
        }
        4 => {
            // Pointers and labels that lead anywhere.
            let at = 12 + random.below(packet.len() - 12);
            packet[at] = 0xc0 | random.next() as u8;
        }
        5 => {
            let at = packet.len() - 1 - random.below(34);
            packet[at] = random.next() as u8;
        }
        6 => packet.extend((0..random.below(3000)).map(|_| random.next() as u8)),
        _ => {
            for _ in 0..=random.below(8) {
                let at = random.below(packet.len());
                packet[at] ^= 1 << random.below(8);
            }
        }
    }
    packet
}

/// Broken packets from many addresses, a hundred of them.
pub(crate) fn broken_packets(server: SocketAddr, rate: u32, end: &End) -> u64 {
    let sockets: Vec<UdpSocket> = (1..=100)
        .map(|host| UdpSocket::bind(("127.0.77.".to_owned() + &host.to_string(), 0)))
        .map(|socket| socket.expect("loopback has it"))
        .collect();
    let mut random = Random::new(0x5eed);
    pace(end, rate, || {
        let packet = broken(&mut random);
        let _ = sockets[random.below(sockets.len())].send_to(&packet, server);
    })
}

/// Ordinary queries, many more than a network may have answered; nobody reads the answers.
pub(crate) fn flood(server: SocketAddr, rate: u32, end: &End) -> u64 {
    let sockets: Vec<UdpSocket> = (1..=8)
        .map(|host| UdpSocket::bind((format!("127.0.66.{host}"), 0)).expect("loopback has it"))
        .collect();
    let mut random = Random::new(0xf100d);
    let mut kinds = ["www.example.org", "nowhere.example.org", "example.net", "x.sub.example.org"]
        .into_iter()
        .cycle();
    pace(end, rate, || {
        let mut packet = query(kinds.next().unwrap_or_default(), &mut random);
        // Without a cookie, so that what slips is short.
        let opt = packet.len() - 34;
        packet.truncate(opt);
        packet[11] = 0;
        let _ = sockets[random.below(sockets.len())].send_to(&packet, server);
    })
}
