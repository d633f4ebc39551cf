//! RFC 4892: identifying a name server; with `version.bind` and its like, which are older.

use meridian::server::Transport;

use crate::support::{Ask, Server, ask, lines, shape};

fn server(chaos: &str) -> Server {
    let settings = format!("[edns]\nnsid = \"fra1\"\n[chaos]\n{chaos}\n");
    Server::new(&[("meridian.toml", &settings), ("zones/example.org.zone", crate::ZONE)])
}

const ALL: &str = r#"
version_bind = true
version_server = "a name server"
id_server = true
hostname_bind = "fra1.example.net"
"#;

fn in_chaos(name: &str, qtype: &str) -> Ask {
    ask(name, qtype).class(3)
}

/// Section 2: a TXT record of class CH, TTL 0.
#[test]
fn what_is_switched_on_is_told() {
    let mut server = server(ALL);
    let version = concat!("Meridian ", env!("CARGO_PKG_VERSION"));
    for (name, text) in [
        ("version.bind", version),
        ("version.server", "a name server"),
        ("id.server", "fra1"),
        ("hostname.bind", "fra1.example.net"),
        ("ID.Server", "fra1"),
    ] {
        let message = server.ask(&in_chaos(name, "TXT"));
        assert_eq!(shape(&message), "NOERROR aa 1/0/0", "{name}");
        assert_eq!(lines(&message.answers), [format!("{name}. 0 TXT {text}")]);
        assert_eq!(u16::from(message.answers[0].dns_class), 3);
        assert_eq!(shape(&server.ask(&in_chaos(name, "ANY"))), "NOERROR aa 1/0/0");
    }
}

/// Section 2 names id.server and TXT; what else stands at the name is nothing.
#[test]
fn other_types_at_these_names_are_nodata() {
    assert_eq!(shape(&server(ALL).ask(&in_chaos("id.server", "A"))), "NOERROR aa 0/0/0");
}

/// Section 3: operators want to be able to say nothing, and each name is a choice of its own.
#[test]
fn each_can_be_switched_off_and_nothing_is_told_by_default() {
    for (chaos, told) in [("", None), ("version_bind = false\nid_server = true", Some("id.server"))]
    {
        let mut server = server(chaos);
        for name in ["version.bind", "version.server", "id.server", "hostname.bind"] {
            let expected = if told == Some(name) { "NOERROR aa 1/0/0" } else { "REFUSED -- 0/0/0" };
            assert_eq!(shape(&server.ask(&in_chaos(name, "TXT"))), expected, "{name}");
        }
    }
}

#[test]
fn class_ch_has_nothing_else_and_other_classes_do_not_have_these() {
    let mut server = server(ALL);
    for query in [
        in_chaos("example.org", "TXT"),
        in_chaos("authors.bind", "TXT"),
        in_chaos("x.id.server", "TXT"),
        in_chaos("id.server", "AXFR").over_tcp(),
        ask("id.server", "TXT"),
        ask("id.server", "TXT").class(4),
        ask("id.server", "TXT").class(255),
    ] {
        assert_eq!(shape(&server.ask(&query)), "REFUSED -- 0/0/0");
    }
}

#[test]
fn the_hosts_name_is_told_where_it_is_asked_for() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the kernel knows");
    let message = server("hostname_bind = true").ask(&in_chaos("hostname.bind", "TXT"));
    assert_eq!(lines(&message.answers), [format!("hostname.bind. 0 TXT {}", host.trim())]);
}

/// RFC 1035 section 4.2.1: an answer that does not fit says so.
#[test]
fn a_text_has_room_in_the_smallest_answer() {
    let text = "t".repeat(255);
    let mut server = server(&format!("version_bind = \"{text}\""));
    let packet = in_chaos("version.bind", "TXT").packet();
    let client = "192.0.2.1".parse().expect("an address");
    let answer = server.answer(&packet, client, Transport::Udp);
    assert!(answer.len() < 512 && answer.ends_with(text.as_bytes()), "{}", answer.len());
}
