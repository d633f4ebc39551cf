//! Connections nobody should keep: stalled, never read, in crowds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::End;
use super::malformed::{Random, broken, query};

/// A connection from this address of loopback; it gives up soon.
fn connect(server: SocketAddr, from: &str) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    let from: SocketAddr = format!("{from}:0").parse().ok()?;
    socket.bind(&from.into()).ok()?;
    socket.connect_timeout(&server.into(), Duration::from_millis(500)).ok()?;
    socket.set_write_timeout(Some(Duration::from_millis(20))).ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(20))).ok()?;
    Some(socket.into())
}

fn framed(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes(), packet].concat()
}

/// Connections that keep to the limits, and to themselves: each stalls in its own way, and is
/// replaced when it has been closed or has lasted long enough.
pub(crate) fn connections(server: SocketAddr, end: &End) -> u64 {
    let mut random = Random::new(0x57a11);
    let mut open: Vec<(TcpStream, usize)> = Vec::new();
    let mut made = 0;
    while !end.is_near() {
        while open.len() < 60 {
            let from = format!("127.0.88.{}", 1 + random.below(100));
            let Some(mut stream) = connect(server, &from) else { break };
            let way = random.below(7);
            let large = framed(&query("large.example.org", &mut random));
            let _ = match way {
                // Says nothing.
                0 => Ok(()),
                // Half a length, half a message, a length that promises much.
                1 => stream.write_all(&[0]),
                2 => stream.write_all(&large[..large.len() / 2]),
                3 => stream.write_all(&[0xff, 0xff, 1, 2, 3]),
                // Asks and asks, and never reads.
                4 => stream.write_all(&large.repeat(2000)),
                // A message of no octets behind a good one.
                5 => stream.write_all(&[&large[..], &[0, 0]].concat()),
                // Messages that are whole, and broken.
                _ => stream.write_all(&framed(&broken(&mut random)).repeat(3)),
            };
            made += 1;
            open.push((stream, way));
        }
        // One octet at a time for those that are in the middle; the others wait to be closed.
        open.retain_mut(|(stream, way)| match way {
            1..=3 => stream.write_all(&[0]).is_ok(),
            4 => stream.write_all(&[1]).is_ok() || random.below(100) > 0,
            _ => !matches!(stream.read(&mut [0; 4096]), Ok(0)) && random.below(50) > 0,
        });
        std::thread::sleep(Duration::from_millis(50));
    }
    made
}

/// Crowds from one address, and crowds from many, beyond both limits; they leave in the middle.
pub(crate) fn crowds(server: SocketAddr, end: &End) -> u64 {
    let mut random = Random::new(0xc20d);
    let mut made = 0;
    while !end.is_near() {
        let same = random.below(2) == 0;
        let crowd: Vec<TcpStream> = (0..240)
            .map_while(|number| {
                if end.is_near() {
                    return None;
                }
                let host = if same { 1 } else { 1 + number % 40 };
                Some(connect(server, &format!("127.0.99.{host}")))
            })
            .flatten()
            .collect();
        made += crowd.len() as u64;
        std::thread::sleep(Duration::from_millis(300));
        drop(crowd);
        // Others may come in between.
        std::thread::sleep(Duration::from_millis(200));
    }
    made
}
