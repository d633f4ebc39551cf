//! Answers longer than the way out takes: they leave in fragments rather than not at all.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use meridian::io::{Listeners, Setup};
use meridian::server::{Answer, Transport};

use crate::lab::{Lab, PATIENCE};

/// Longer than the server's interface takes, shorter than what everybody else's does.
const ANSWER: usize = 1400;
const MTU: usize = 1280;

/// Answers everything with octets that count up.
struct Long;

impl Answer for Long {
    fn begin(&mut self, _now: Duration) {}

    fn prepare(&mut self, _slot: usize, _packet: &[u8]) {}

    fn answer(
        &mut self,
        _slot: usize,
        packet: &[u8],
        _client: IpAddr,
        _transport: Transport,
        out: &mut [u8],
    ) -> usize {
        // A short answer where a short one is asked for.
        let length = if packet == b"short" { 5 } else { ANSWER };
        out[..length].iter_mut().zip(0_u8..=255).for_each(|(octet, number)| *octet = number);
        length
    }
}

/// RFC 9715: datagrams say "do not fragment", and the kernel refuses one that is too long
/// (EMSGSIZE). It goes out all the same, and so do those that are sent with it and after it.
#[test]
fn an_answer_longer_than_the_interface_takes_leaves_in_fragments() {
    for (server_at, client_at) in [("192.0.2.53", "192.0.2.7"), ("2001:db8::53", "2001:db8::7")] {
        let lab = Lab::new();
        let (server_at, client_at): (IpAddr, IpAddr) =
            (server_at.parse().unwrap(), client_at.parse().unwrap());
        let server = lab.machine("server", &[server_at]);
        let client = lab.machine("client", &[client_at]);
        server.run(&["ip", "link", "set", "wire", "mtu", &MTU.to_string()]);
        let running = server.inside(|| {
            let listeners = Listeners::bind(&[SocketAddr::new(server_at, 0)], 1).unwrap();
            listeners.start(|_| Long, Setup::default()).unwrap()
        });
        let address = running.addresses()[0];
        let lengths: Vec<usize> = client.inside(|| {
            let socket = UdpSocket::bind(SocketAddr::new(client_at, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(address).unwrap();
            let mut octets = [0; 4096];
            let mut ask = |query: &[u8]| {
                socket.send(query).unwrap();
                socket.recv(&mut octets).expect("an answer")
            };
            [&b"short"[..], b"long", b"short", b"long", b"long"].map(&mut ask).to_vec()
        });
        assert_eq!(lengths, [5, ANSWER, 5, ANSWER, ANSWER], "{server_at}");
        let counters = running.stop(PATIENCE).counters.udp;
        assert_eq!((counters.sent, counters.send_errors), (5, 0), "{server_at}");
        let made = server.run(&["nstat", "-asz", "IpFragCreates", "Ip6FragCreates"]);
        let fragments: u64 = made
            .lines()
            .filter(|line| line.contains("FragCreates"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum();
        assert_eq!(fragments, 6, "three answers in two fragments each: {made}");
    }
}
