//! What somebody gains who asks in the name of another: no answer is ever answered, and how much
//! larger than its query an answer is stands in `docs/threat-model.md`, measured here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meridian::io::UdpTotals;
use meridian::server::Transport;
use meridian::server::stats::Counter;
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{Ask, Server, ask};
use crate::wire::{Way, Wire};

const REGIONS: &str = "[region.fra]\nlocation = [50.11, 8.68]\n";
const POLICY: &str = r#"
[pool.fra]
region  = "fra"
members = ["198.51.100.1", "2001:db8:f::1"]
[record."steered"]
policy = "failover"
pools  = ["fra"]
"#;

fn server() -> Server {
    let settings = format!("[edns]\nnsid = \"{}\"\n", "n".repeat(16));
    let zone = format!("{}\nsteered A 192.0.2.4\n", crate::ZONE);
    Server::new(&[
        ("meridian.toml", &settings),
        ("geo/regions.toml", REGIONS),
        ("zones/example.org.toml", POLICY),
        ("zones/example.org.zone", &zone),
    ])
}

/// Every kind of question, and what it is called in the table.
fn kinds() -> Vec<(&'static str, Ask)> {
    let www = || ask("steered.example.org", "A");
    let mut malformed = ask("www.example.org", "A");
    malformed = malformed.edns(1232, &[0, 8, 0, 1, 9]);
    vec![
        ("A, steered", www()),
        ("A, steered, with EDNS", www().edns(1232, &[])),
        ("A, steered, with a client subnet", www().subnet("203.0.113.0/24")),
        ("A, steered, with a cookie", www().cookie(b"client!!")),
        ("A, steered, asking for NSID (16 octets)", www().edns(1232, &[0, 3, 0, 0])),
        ("AAAA, steered", ask("steered.example.org", "AAAA")),
        ("A, from the zone file", ask("www.example.org", "A")),
        ("A, through two aliases", ask("chain.example.org", "A")),
        ("NS", ask("example.org", "NS")),
        ("ANY", ask("example.org", "ANY")),
        ("no such type", ask("www.example.org", "MX")),
        ("no such name", ask("nowhere.example.org", "A")),
        ("referral with glue", ask("x.child.example.org", "A")),
        ("TXT of 640 octets, without EDNS: truncated", ask("big.example.org", "TXT")),
        ("TXT of 640 octets, with EDNS", ask("big.example.org", "TXT").edns(1232, &[])),
        ("no zone of ours", ask("www.example.net", "A")),
        ("no zone of ours, with EDNS", ask("www.example.net", "A").edns(1232, &[])),
        ("a transfer", ask("example.org", "AXFR")),
        ("a malformed option", malformed),
    ]
}

/// Octets of a datagram's IPv4 and UDP headers: the wire has them on both sides.
const HEADERS: usize = 28;

/// The table of `docs/threat-model.md`, as it must be.
fn table() -> String {
    let mut server = server();
    let mut rows = String::from(
        "| query | octets | answer | factor | on the wire |\n|---|---:|---:|---:|---:|\n",
    );
    for (kind, query) in kinds() {
        let packet = query.packet();
        let (asked, answered) =
            (packet.len(), server.answer(&packet, query.client(), Transport::Udp).len());
        let factor = |extra: usize| (answered + extra) as f64 / (asked + extra) as f64;
        rows += &format!(
            "| {kind} | {asked} | {answered} | {:.1} | {:.1} |\n",
            factor(0),
            factor(HEADERS)
        );
    }
    rows
}

#[test]
fn the_documented_factors_are_those_that_are_measured() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/threat-model.md");
    let document = std::fs::read_to_string(path).expect("the document");
    let table = table();
    assert!(document.contains(&table), "the table should be\n{table}");
}

/// Nothing that can be asked is answered with more than the size that was agreed.
#[test]
fn no_answer_is_longer_than_what_was_agreed() {
    let mut server = server();
    for (kind, query) in kinds() {
        let packet = query.packet();
        let most = if packet[11] == 0 { 512 } else { 1232 };
        let length = server.answer(&packet, query.client(), Transport::Udp).len();
        assert!(length <= most, "{kind}: {length}");
    }
}

/// Two servers never talk to each other, and one never to itself: what we send is not answered,
/// whoever it is sent back by.
#[test]
fn no_answer_of_ours_is_answered() {
    let mut server = server();
    let mut sent: Vec<Vec<u8>> = kinds().into_iter().map(|(_, query)| query.packet()).collect();
    // Every opcode, every count of questions, every version of EDNS.
    for opcode in 0..16 {
        let mut packet = ask("www.example.org", "A").packet();
        packet[2] = opcode << 3;
        sent.push(packet);
    }
    for count in [0, 2, 255] {
        let mut packet = ask("www.example.org", "A").packet();
        packet[5] = count;
        sent.push(packet);
    }
    let mut version = ask("www.example.org", "A").edns(1232, &[]).packet();
    let at = version.len() - 5;
    version[at] = 9;
    sent.push(version);
    for packet in sent {
        for transport in [Transport::Udp, Transport::Tcp] {
            let client = "192.0.2.53".parse().expect("an address");
            let answer = server.answer(&packet, client, transport);
            assert!(answer.len() >= 12, "{packet:02x?} is answered");
            assert_eq!(server.answer(&answer, client, transport), [0; 0], "{packet:02x?}");
        }
    }
}

/// Sends `payload` to `server` with a source port of our choice, as a spoofer would; `None` where
/// the system does not let us.
fn spoof(port: u16, server: SocketAddr, payload: &[u8]) -> Option<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).ok()?;
    socket.bind(&SocketAddr::new(server.ip(), 0).into()).ok()?;
    let length = 8 + payload.len() as u16;
    // Source, destination, length, and no checksum (RFC 768).
    let head = [port, server.port(), length, 0].map(u16::to_be_bytes).concat();
    let datagram = [&head[..], payload].concat();
    socket.send_to(&datagram, &SocketAddr::new(server.ip(), 0).into()).ok()?;
    Some(())
}

/// Whoever claims to be the server itself makes it answer itself once, and that is the end of it.
/// Port 0 is nobody's, and not even that is sent.
#[test]
fn a_query_in_our_own_name_or_from_port_0_goes_nowhere() {
    let wire = Wire::new(crate::server());
    let address = wire.address();
    let query = ask("www.example.org", "A").packet();
    // Asks thrice; what the sockets have counted then: received, sent, unanswerable. One thread reads
    // the socket in order, so what was sent before has been dealt with.
    let counted = |wanted: [u64; 3]| {
        for _ in 0..3 {
            assert!(wire.ask(Way::Udp, &query).is_some());
        }
        let begun = Instant::now();
        loop {
            let UdpTotals { received, sent, unanswerable, .. } = wire.counters().udp;
            // Counted behind what is sent.
            if [received, sent, unanswerable] == wanted {
                return;
            }
            let late = begun.elapsed() > Duration::from_secs(10);
            assert!(!late, "{:?}, not {wanted:?}", [received, sent, unanswerable]);
            std::thread::yield_now();
        }
    };
    // To ask once is two queries, and two answers.
    counted([6, 6, 0]);
    let Some(()) = spoof(address.port(), address, &query) else {
        eprintln!("raw sockets are not allowed here: nothing was tried");
        return;
    };
    // The query, and our answer to it; the answer to ourselves, and none to that.
    counted([6 + 2 + 6, 6 + 1 + 6, 0]);
    assert_eq!(wire.stats.sum(Counter::Response), 1);
    counted([14 + 6, 13 + 6, 0]);
    spoof(0, address, &query).expect("as before");
    counted([20 + 1 + 6, 19 + 6, 1]);
}
