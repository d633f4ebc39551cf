//! RFC 7858: DNS over TLS, on real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{HandshakeKind, ProtocolVersion, version};

use crate::ZONE;
use crate::support::tls::{Certificate, Client, connect};
use crate::support::{Server, ask};
use crate::wire::Wire;

const SETTINGS: &str = r#"
[tls]
listen      = "127.0.0.1:0"
certificate = "tls/certificate.pem"
key         = "tls/key.pem"
"#;

pub(crate) fn serve(certificate: &Certificate, more: &str) -> Wire {
    Wire::new(Server::new(&[
        ("meridian.toml", &format!("{SETTINGS}{more}")),
        ("tls/certificate.pem", &certificate.pem),
        ("tls/key.pem", &certificate.key_pem),
        ("zones/example.org.zone", ZONE),
    ]))
}

pub(crate) fn framed(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes(), packet].concat()
}

fn query(id: u16, name: &str, qtype: &str) -> Vec<u8> {
    let mut packet = ask(name, qtype).packet();
    packet[..2].copy_from_slice(&id.to_be_bytes());
    framed(&packet)
}

pub(crate) fn read(client: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 2];
    client.read_exact(&mut length).expect("a length in time");
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    client.read_exact(&mut octets).expect("a whole message");
    octets
}

fn id(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

/// Section 3.1 and 3.3: as over TCP, once the handshake is done; ALPN "dot" is agreed upon.
#[test]
fn queries_inside_tls_are_answered_as_over_tcp() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    for (number, (name, qtype, rcode)) in [
        ("www.example.org", "A", 0),
        ("nowhere.example.org", "A", 3),
        ("big.example.org", "TXT", 0),
        ("www.example.net", "A", 5),
    ]
    .into_iter()
    .enumerate()
    {
        client.write_all(&query(number as u16, name, qtype)).expect("sent");
        let answer = read(&mut client);
        assert_eq!((id(&answer), answer[3] & 0x0f), (number as u16, rcode), "{name}");
        assert_eq!(answer[2] & 2, 0, "no TC inside a stream");
    }
    assert_eq!(client.conn.alpn_protocol(), Some(&b"dot"[..]));
}

/// Section 3.4: "pipeline … without waiting"; more answers than anybody's buffer holds.
#[test]
fn a_client_that_reads_late_gets_every_answer() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    let count = 6000_u16;
    client.write_all(&query(count, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut client)), count);
    // From here on records pass in both directions at once, by one thread each.
    let (mut reader, mut writer) = split(client);
    let writing = std::thread::spawn(move || {
        let all: Vec<u8> =
            (0..count).flat_map(|number| query(number, "big.example.org", "TXT")).collect();
        writer(&all);
    });
    for number in 0..count {
        assert_eq!(id(&reader()), number);
    }
    writing.join().expect("all sent");
}

/// A client's two halves: TLS has one state for both, so they share it under a lock.
fn split(client: Client) -> (impl FnMut() -> Vec<u8>, impl FnMut(&[u8]) + Send) {
    use std::sync::{Arc, Mutex};
    let Client { conn, sock } = client;
    sock.set_read_timeout(None).expect("set");
    let mut from = sock.try_clone().expect("a handle");
    from.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let mut to = sock;
    let state = Arc::new(Mutex::new(conn));
    let writing = Arc::clone(&state);
    let mut held = Vec::new();
    let reader = move || loop {
        if let [high, low, rest @ ..] = &held[..] {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if rest.len() >= length {
                let message = rest[..length].to_vec();
                held.drain(..2 + length);
                return message;
            }
        }
        let mut octets = vec![0; 1 << 14];
        let count = from.read(&mut octets).expect("octets in time");
        assert!(count > 0, "closed");
        let mut conn = state.lock().expect("whole");
        let mut rest = &octets[..count];
        while !rest.is_empty() {
            conn.read_tls(&mut rest).expect("room");
            conn.process_new_packets().expect("well-formed");
            let mut plain = Vec::new();
            let _ = conn.reader().read_to_end(&mut plain);
            held.extend(plain);
        }
    };
    let writer = move |octets: &[u8]| {
        for part in octets.chunks(8192) {
            let mut records = Vec::new();
            let mut conn = writing.lock().expect("whole");
            conn.writer().write_all(part).expect("taken");
            while conn.wants_write() {
                conn.write_tls(&mut records).expect("written");
            }
            drop(conn);
            to.write_all(&records).expect("sent");
        }
    };
    (reader, writer)
}

/// RFC 8446 section 6.1: who has said that it sends no more still gets what it asked for.
#[test]
fn a_client_that_has_closed_its_half_gets_its_answers_and_a_good_bye() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    let all: Vec<u8> = (0..50).flat_map(|number| query(number, "www.example.org", "A")).collect();
    client.write_all(&all).expect("sent");
    client.conn.send_close_notify();
    client.flush().expect("sent");
    client.sock.shutdown(Shutdown::Write).expect("shut");
    let ids: Vec<u16> = (0..50).map(|_| id(&read(&mut client))).collect();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    // Without close_notify this would be an error: an end that anybody could have forged.
    assert_eq!(client.read(&mut [0]).expect("a good-bye"), 0);
}

/// Section 3.1: "MUST NOT … cleartext DNS messages" on that port, and whatever else is no TLS.
#[test]
fn what_is_no_tls_is_closed_and_answered_with_nothing_but_an_alert() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let plain = query(7, "www.example.org", "A");
    for octets in [&plain[..], b"GET / HTTP/1.0\r\n\r\n", &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]] {
        let mut stream = TcpStream::connect(wire.tls_address()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
        stream.write_all(octets).expect("sent");
        let mut back = Vec::new();
        match stream.read_to_end(&mut back) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        // An alert is record type 21.
        assert!(back.is_empty() || back[0] == 21, "{back:02x?}");
    }
    let mut client = certificate.client(wire.tls_address());
    client.write_all(&plain).expect("sent");
    assert_eq!(id(&read(&mut client)), 7, "others go on");
}

/// Whoever connects and does not shake hands, or does so octet by octet, is not kept.
#[test]
fn a_handshake_that_stalls_is_closed() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "[tcp]\nidle_timeout = \"300ms\"\n");
    for octet in [None, Some(0x16)] {
        let mut stream = TcpStream::connect(wire.tls_address()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
        if let Some(octet) = octet {
            stream.write_all(&[octet, 3, 1, 1, 0]).expect("sent");
        }
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(10), "still open");
            match stream.read(&mut [0; 16]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => break,
            }
            if octet.is_some() {
                let _ = stream.write(&[0]);
            }
        }
    }
}

/// Records may be cut anywhere by the network, and hold any part of a message.
#[test]
fn a_query_may_come_in_records_of_one_octet() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    for octet in query(9, "www.example.org", "A") {
        client.write_all(&[octet]).expect("sent");
        client.flush().expect("sent");
    }
    assert_eq!(id(&read(&mut client)), 9);
}

/// A certificate is renewed without anybody noticing who is connected.
#[test]
fn a_renewed_certificate_is_shown_to_the_next_and_disturbs_nobody() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let wire = serve(&first, "");
    let mut before = first.client(wire.tls_address());
    before.write_all(&query(1, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut before)), 1);
    wire.renew(&second);
    let mut after = second.client(wire.tls_address());
    after.write_all(&query(2, "www.example.org", "A")).expect("the new one is trusted");
    assert_eq!(id(&read(&mut after)), 2);
    let mut stale = first.client(wire.tls_address());
    assert!(stale.write_all(&query(3, "www.example.org", "A")).is_err(), "the old one is gone");
    before.write_all(&query(4, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut before)), 4);
}

/// Section 3.1 leaves the version to TLS: both that are safe are served.
#[test]
fn tls_1_2_and_1_3_are_served() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    for (offered, agreed) in
        [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let config = Arc::new(certificate.config(&[offered]));
        let mut client = connect(&config, wire.tls_address());
        client.write_all(&query(1, "www.example.org", "A")).expect("sent");
        assert_eq!(id(&read(&mut client)), 1);
        assert_eq!(client.conn.protocol_version(), Some(agreed));
    }
}

/// RFC 7301 section 3.2: who offers protocols and not ours is told so; to offer none is in order.
#[test]
fn a_client_that_wants_another_protocol_is_told_that_there_is_none() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let asked_for = |protocols: &[&str]| {
        let mut config = certificate.config(&[&version::TLS13]);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut client = connect(&Arc::new(config), wire.tls_address());
        client.write_all(&query(1, "www.example.org", "A")).map(|()| id(&read(&mut client)))
    };
    assert_eq!(asked_for(&[]).expect("an answer"), 1);
    assert_eq!(asked_for(&["h2", "dot"]).expect("an answer"), 1);
    let refused = asked_for(&["h2"]).expect_err("no protocol in common").to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
}

/// Section 3.4: sessions may be resumed, which saves both sides the costly part. A certificate
/// that is renewed meanwhile does not change that.
#[test]
fn a_session_is_resumed_and_outlives_a_renewal() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let wire = serve(&first, "");
    for offered in [&version::TLS12, &version::TLS13] {
        wire.renew(&first);
        let config = Arc::new(first.config(&[offered]));
        let kind = || {
            let mut client = connect(&config, wire.tls_address());
            client.write_all(&query(1, "www.example.org", "A")).expect("sent");
            assert_eq!(id(&read(&mut client)), 1);
            client.conn.handshake_kind()
        };
        assert_eq!(kind(), Some(HandshakeKind::Full), "{offered:?}");
        assert_eq!(kind(), Some(HandshakeKind::Resumed), "{offered:?}");
        wire.renew(&second);
        assert_eq!(kind(), Some(HandshakeKind::Resumed), "{offered:?}");
    }
}

/// Section 3.4: "close idle connections"; the good-bye says that nothing was cut off.
#[test]
fn an_idle_session_is_closed_with_a_good_bye() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "[tcp]\nidle_timeout = \"300ms\"\n");
    let mut client = certificate.client(wire.tls_address());
    client.write_all(&query(1, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut client)), 1);
    assert_eq!(client.read(&mut [0]).expect("a good-bye"), 0);
}

/// A message of no octets ends a session as it ends a connection, after what came before it.
#[test]
fn a_message_of_no_octets_ends_the_session_after_the_answers_before_it() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    let all = [&query(1, "www.example.org", "A")[..], &[0, 0], &query(2, "www.example.org", "A")];
    client.write_all(&all.concat()).expect("sent");
    assert_eq!(id(&read(&mut client)), 1);
    assert_eq!(client.read(&mut [0]).expect("a good-bye"), 0);
}

/// RFC 8446 section 5.2: a record that does not prove itself ends the session with an alert, and
/// the query in it is not answered.
#[test]
fn a_record_that_was_tampered_with_is_not_answered() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    client.write_all(&query(1, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut client)), 1);
    let mut record = Vec::new();
    client.conn.writer().write_all(&query(2, "www.example.org", "A")).expect("taken");
    client.conn.write_tls(&mut record).expect("written");
    *record.last_mut().expect("a record") ^= 1;
    client.sock.write_all(&record).expect("sent");
    let refused = client.read(&mut [0; 64]).expect_err("an alert").to_string();
    assert!(refused.contains("BadRecordMac"), "{refused}");
}

/// Sessions count as connections: so many in all and per client, over both ports.
#[test]
fn sessions_are_within_the_limits_on_connections() {
    let certificate = Certificate::new();
    for limit in ["connections", "connections_per_client"] {
        let wire = serve(&certificate, &format!("[tcp]\n{limit} = 2\n"));
        let asked = |client: &mut dyn ReadWrite| {
            client.write_all(&query(1, "www.example.org", "A")).is_ok()
                && client.read_exact(&mut [0; 12]).is_ok()
        };
        let mut inside = certificate.client(wire.tls_address());
        let mut beside = TcpStream::connect(wire.address()).expect("connected");
        assert!(asked(&mut inside) && asked(&mut beside));
        assert!(!asked(&mut certificate.client(wire.tls_address())), "{limit}");
        assert!(!asked(&mut TcpStream::connect(wire.address()).expect("connected")), "{limit}");
        drop(beside);
        let begun = Instant::now();
        while !asked(&mut certificate.client(wire.tls_address())) {
            assert!(begun.elapsed() < Duration::from_secs(10), "the place is not given back");
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// What a session may hold is bounded: who sends and does not read is held up.
#[test]
fn a_client_that_sends_and_never_reads_is_held_up_and_not_stored() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    client.write_all(&query(1, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut client)), 1);
    client.sock.set_write_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    let queries = query(2, "big.example.org", "TXT").repeat(200);
    let mut sent = 0;
    while client.write_all(&queries).and_then(|()| client.flush()).is_ok() {
        sent += queries.len();
        // Answers are twenty times as long, so what is taken is little.
        assert!(sent < 16 << 20, "{sent} octets taken from a client that does not read");
    }
    let mut other = certificate.client(wire.tls_address());
    other.write_all(&query(3, "www.example.org", "A")).expect("sent");
    assert_eq!(id(&read(&mut other)), 3, "others go on");
}

/// A client that hangs up in any state of the handshake leaves nothing behind.
#[test]
fn clients_that_leave_in_the_middle_of_a_handshake_leave_nothing_behind() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "[tcp]\nconnections = 1\n");
    let mut hello = Vec::new();
    let mut spare = certificate.client(wire.tls_address());
    spare.conn.write_tls(&mut hello).expect("a hello");
    drop(spare);
    for sent in (0..=hello.len()).step_by(hello.len() / 20) {
        let begun = Instant::now();
        let mut client = loop {
            let mut client = TcpStream::connect(wire.tls_address()).expect("connected");
            client.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
            // Refused while the one before still has the place.
            match client.read(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break client,
                _ => assert!(begun.elapsed() < Duration::from_secs(10), "no place after {sent}"),
            }
        };
        let _ = client.write_all(&hello[..sent]);
    }
}
