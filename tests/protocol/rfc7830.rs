//! RFC 7830 and RFC 8467: padding, where there is something to hide.

use std::io::Write;

use meridian::server::Transport;

use crate::rfc7858::{framed, read, serve};
use crate::support::tls::Certificate;
use crate::support::{Ask, ask};

const KINDS: [(&str, &str); 5] = [
    ("www.example.org", "A"),
    ("nowhere.example.org", "A"),
    ("big.example.org", "TXT"),
    ("x.child.example.org", "A"),
    ("www.example.net", "A"),
];

/// With a padding option that fills the query to 128 octets, as RFC 8467 section 4.1 has clients
/// do it.
fn padded(name: &str, qtype: &str) -> Ask {
    let bare = ask(name, qtype).edns(1232, &[]).packet().len();
    let length = 128 - bare - 4;
    ask(name, qtype).edns(1232, &[&[0, 12, 0, length as u8][..], &vec![0; length]].concat())
}

/// RFC 7830 section 4: "responders MUST pad"; RFC 8467 section 4.1: to a multiple of 468.
#[test]
fn answers_inside_tls_are_padded_for_whoever_pads() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    for (name, qtype) in KINDS {
        let query = padded(name, qtype).packet();
        assert_eq!(query.len(), 128);
        client.write_all(&framed(&query)).expect("sent");
        let answer = read(&mut client);
        assert_eq!(answer.len() % 468, 0, "{name}: {}", answer.len());
        let message = hickory_proto::op::Message::from_vec(&answer).expect("well-formed");
        assert!(crate::support::option(&message, 12).is_some(), "{name}");
        // RFC 7830 section 3: "PADDING octets SHOULD be set to 0x00".
        assert!(answer.ends_with(&[0; 8]), "{name}");
    }
}

/// RFC 7830 section 4: where the query has no such option the length is nobody's secret.
#[test]
fn answers_are_not_padded_unasked() {
    let certificate = Certificate::new();
    let wire = serve(&certificate, "");
    let mut client = certificate.client(wire.tls_address());
    for (name, qtype) in KINDS {
        for query in [ask(name, qtype), ask(name, qtype).edns(1232, &[])] {
            client.write_all(&framed(&query.packet())).expect("sent");
            assert_ne!(read(&mut client).len() % 468, 0, "{name}");
        }
    }
}

/// RFC 7830 section 6: padding in the clear would help nobody but a spoofer.
#[test]
fn answers_in_the_clear_are_not_padded() {
    let mut server = crate::server();
    for transport in [Transport::Udp, Transport::Tcp] {
        for (name, qtype) in KINDS {
            let query = padded(name, qtype);
            let answer = server.answer(&query.packet(), query.client(), transport);
            let bare = ask(name, qtype).edns(1232, &[]);
            assert_eq!(answer.len(), server.answer(&bare.packet(), bare.client(), transport).len());
        }
    }
}
