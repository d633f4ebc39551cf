//! RFC 7766: DNS over TCP, on real sockets. What holds for any handler is in `tests/io.rs`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::ask;
use crate::wire::Wire;

fn wire() -> Wire {
    Wire::new(crate::server())
}

fn connect(wire: &Wire) -> TcpStream {
    let stream = TcpStream::connect(wire.address()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    stream
}

/// A query for `name`, with this id and its length in front.
fn query(id: u16, name: &str, qtype: &str) -> Vec<u8> {
    let mut packet = ask(name, qtype).packet();
    packet[..2].copy_from_slice(&id.to_be_bytes());
    framed(&packet)
}

fn framed(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes(), packet].concat()
}

/// The next message.
fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length in time");
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets).expect("a whole message");
    octets
}

fn id(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

const KINDS: [(&str, &str, u8); 6] = [
    ("www.example.org", "A", 0),
    ("nowhere.example.org", "A", 3),
    ("big.example.org", "TXT", 0),
    ("x.child.example.org", "A", 0),
    ("www.example.net", "A", 5),
    ("example.org", "AXFR", 5),
];

/// Section 6.2.1.1: "clients SHOULD pipeline their queries"; 7: answers are told apart by their
/// ids, so the order is free. Each comes once.
#[test]
fn pipelined_queries_are_each_answered_once() {
    let wire = wire();
    let mut stream = connect(&wire);
    let mut wanted = BTreeMap::new();
    let mut all = Vec::new();
    for number in 0..600 {
        let (name, qtype, rcode) = KINDS[usize::from(number) % KINDS.len()];
        all.extend(query(number, name, qtype));
        wanted.insert(number, rcode);
    }
    stream.write_all(&all).expect("sent");
    for _ in 0..600 {
        let answer = read(&mut stream);
        assert_eq!(wanted.remove(&id(&answer)), Some(answer[3] & 0x0f), "{}", id(&answer));
        assert_eq!(answer[2] & 2, 0, "TC has no place over TCP");
    }
}

/// Section 8: "length field … read in parts"; a message may be cut anywhere.
#[test]
fn a_stream_may_be_cut_anywhere() {
    let wire = wire();
    let two = [query(1, "www.example.org", "A"), query(2, "big.example.org", "TXT")].concat();
    for cut in 1..two.len() {
        let mut stream = connect(&wire);
        stream.set_nodelay(true).expect("set");
        stream.write_all(&two[..cut]).expect("sent");
        stream.write_all(&two[cut..]).expect("sent");
        assert_eq!([id(&read(&mut stream)), id(&read(&mut stream))], [1, 2], "cut at {cut}");
    }
}

/// Section 6.2.1: a connection is for more than one query, whatever became of the first.
#[test]
fn a_connection_outlives_whatever_was_asked_on_it() {
    let wire = wire();
    let mut stream = connect(&wire);
    let good = ask("www.example.org", "A").packet();
    let broken: [(Vec<u8>, u8); 4] = [
        (good[..20].to_vec(), 1),
        ([&good[..], &[0]].concat(), 1),
        ([&good[..2], &[0x28], &good[3..]].concat(), 4),
        (ask("example.org", "IXFR").packet(), 5),
    ];
    for (packet, rcode) in broken {
        stream.write_all(&framed(&packet)).expect("sent");
        assert_eq!(read(&mut stream)[3] & 0x0f, rcode);
    }
    stream.write_all(&query(7, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut stream)), 7);
}

/// What gets no answer (a response, a stump of a header) does not end the connection either.
#[test]
fn what_is_not_answered_is_passed_over() {
    let wire = wire();
    let mut stream = connect(&wire);
    let mut response = ask("www.example.org", "A").packet();
    response[2] |= 0x80;
    for silent in [framed(&response), framed(&[1; 11]), framed(&[9])] {
        stream.write_all(&silent).expect("sent");
    }
    stream.write_all(&query(7, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut stream)), 7, "the first that comes back");
}

/// Section 6.2.4: a client may close its half when it has asked all, and gets the rest.
#[test]
fn a_client_that_has_closed_its_half_gets_its_answers() {
    let wire = wire();
    let mut stream = connect(&wire);
    let all: Vec<u8> =
        (0..100).flat_map(|number| query(number, "big.example.org", "TXT")).collect();
    stream.write_all(&all).expect("sent");
    stream.shutdown(Shutdown::Write).expect("shut");
    let ids: Vec<u16> = (0..100).map(|_| id(&read(&mut stream))).collect();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}

/// Section 8: length and message in one segment, so that no client waits for the rest.
#[test]
fn length_and_message_come_together() {
    let wire = wire();
    let mut stream = connect(&wire);
    for _ in 0..50 {
        stream.write_all(&query(1, "www.example.org", "A")).expect("sent");
        let mut octets = [0; 512];
        let read = stream.read(&mut octets).expect("an answer");
        assert_eq!(usize::from(u16::from_be_bytes([octets[0], octets[1]])) + 2, read);
    }
}
