//! RFC 7871: client subnet.

use meridian::health::table::Verdict;

use crate::support::{Server, ask, code, lines, scope, shape};

const REGIONS: &str = r#"
[region.fra]
location = [50.11, 8.68]
[region.iad]
location = [38.95, -77.45]
"#;
const POLICY: &str = r#"
[pool.fra]
region  = "fra"
members = ["198.51.100.1"]
[pool.iad]
region  = "iad"
members = ["203.0.113.1"]
[record."www"]
policy = "nearest"
pools  = ["fra", "iad"]
[record."always"]
policy = "failover"
pools  = ["fra", "iad"]
"#;
const ZONE: &str = "
@ 60 SOA ns1 host 1 1h 1h 1h 60
@ 60 NS ns1
ns1 60 A 192.0.2.3
www 60 A 192.0.2.4
always 60 A 192.0.2.4
fixed 60 A 192.0.2.4
";
/// 192.0.2.0/24 is in Berlin, 198.51.100.0/24 in New York; nothing else is known.
const NETWORKS: &str = r#"
[[network]]
cidr  = ["192.0.2.0/24", "2001:db8:a::/48"]
place = { country = "DE", location = [52.52, 13.40] }
[[network]]
cidr  = ["198.51.100.0/24", "2001:db8:b::/48"]
place = { country = "US", location = [40.71, -74.01] }
"#;

fn server() -> Server {
    Server::over(
        &[
            ("geo/regions.toml", REGIONS),
            ("geo/networks.toml", NETWORKS),
            ("zones/example.org.toml", POLICY),
            ("zones/example.org.zone", ZONE),
        ],
        |config| meridian::geo::world::World::from_networks(&config.networks),
    )
}

#[test]
fn the_subnet_is_steered_by_and_not_the_source() {
    let mut server = server();
    let berlin =
        server.ask(&ask("www.example.org", "A").from("198.51.100.7").subnet("192.0.2.0/24"));
    assert_eq!(lines(&berlin.answers), ["www.example.org. 30 A 198.51.100.1"]);
    let york = server.ask(&ask("www.example.org", "A").from("192.0.2.7").subnet("198.51.100.0/24"));
    assert_eq!(lines(&york.answers), ["www.example.org. 30 A 203.0.113.1"]);
    let york = server.ask(&ask("www.example.org", "A").from("192.0.2.7").subnet("2001:db8:b::/48"));
    assert_eq!(lines(&york.answers), ["www.example.org. 30 A 203.0.113.1"]);
}

#[test]
fn without_a_subnet_the_source_is_steered_by_and_no_option_comes_back() {
    let message = server().ask(&ask("www.example.org", "A").from("198.51.100.7").edns(1232, &[]));
    assert_eq!(lines(&message.answers), ["www.example.org. 30 A 203.0.113.1"]);
    assert_eq!(scope(&message), None);
}

/// Section 7.2.1: the scope says for whom the answer holds, and scopes must not overlap.
#[test]
fn the_scope_is_the_widest_block_with_the_same_answer() {
    let mut server = server();
    let ask = ask("www.example.org", "A");
    // 198.51.100.0/24 alone goes to iad: every other block ends where it would swallow that.
    assert_eq!(scope(&server.ask(&ask.clone().subnet("198.51.100.0/24"))), Some(24));
    assert_eq!(scope(&server.ask(&ask.clone().subnet("198.51.101.0/24"))), Some(24));
    assert_eq!(scope(&server.ask(&ask.clone().subnet("10.0.0.0/24"))), Some(1));
    assert_eq!(scope(&server.ask(&ask.clone().subnet("192.0.2.0/24"))), Some(6));
}

/// When the first choice is out, the answer holds for clients with the same second choice.
#[test]
fn after_a_fallback_the_scope_is_that_of_the_whole_order() {
    let mut server = server();
    server.region("fra", Verdict::Down);
    let message = server.ask(&ask("www.example.org", "A").subnet("192.0.2.0/24"));
    assert_eq!(lines(&message.answers), ["www.example.org. 30 A 203.0.113.1"]);
    assert!(scope(&message) >= Some(6));
}

#[test]
fn answers_that_are_the_same_for_all_have_scope_0() {
    let mut server = server();
    for (name, qtype) in [("fixed", "A"), ("always", "A"), ("nowhere", "A"), ("www", "TXT")] {
        let name = format!("{name}.example.org");
        let message = server.ask(&ask(&name, qtype).subnet("192.0.2.0/24"));
        assert_eq!(scope(&message), Some(0), "{name} {qtype}");
    }
}

/// Section 7.1.2: source prefix 0 means "do not use my address"; the scope is 0.
#[test]
fn a_source_prefix_of_0_is_honoured() {
    let message = server().ask(&ask("www.example.org", "A").subnet("0.0.0.0/0"));
    assert_eq!(scope(&message), Some(0));
    assert_eq!(message.answers.len(), 1);
}

/// Section 7.2.1: family, source prefix and address come back unchanged.
#[test]
fn the_option_is_echoed() {
    let mut server = server();
    let packet = ask("www.example.org", "A").subnet("198.51.100.0/22");
    let octets = server.answer(
        &packet.packet(),
        "192.0.2.1".parse().expect("address"),
        meridian::server::Transport::Udp,
    );
    let option = &octets[octets.len() - 11..];
    assert_eq!(option[..7], [0, 8, 0, 7, 0, 1, 22]);
    assert_eq!(option[8..], [198, 51, 100]);
}

/// Section 6 and 7.1.2: what is malformed is FORMERR.
#[test]
fn malformed_options_are_format_errors() {
    let mut server = server();
    let options: [&[u8]; 5] = [
        &[0, 8, 0, 7, 0, 3, 24, 0, 1, 2, 3],
        &[0, 8, 0, 7, 0, 1, 33, 0, 1, 2, 3],
        &[0, 8, 0, 7, 0, 1, 20, 0, 1, 2, 0xff],
        &[0, 8, 0, 6, 0, 1, 24, 0, 1, 2],
        &[0, 8, 0, 3, 0, 1, 24],
    ];
    for option in options {
        let message = server.ask(&ask("www.example.org", "A").edns(1232, option));
        assert_eq!(code(&message), "FORMERR", "{option:?}");
        assert_eq!(shape(&message), "FORMERR -- 0/0/0");
    }
}

#[test]
fn a_server_told_to_ignore_subnets_does() {
    let mut server = Server::over(
        &[
            ("meridian.toml", "[edns]\nclient_subnet = false\n"),
            ("geo/regions.toml", REGIONS),
            ("geo/networks.toml", NETWORKS),
            ("zones/example.org.toml", POLICY),
            ("zones/example.org.zone", ZONE),
        ],
        |config| meridian::geo::world::World::from_networks(&config.networks),
    );
    let message =
        server.ask(&ask("www.example.org", "A").from("198.51.100.7").subnet("192.0.2.0/24"));
    assert_eq!(lines(&message.answers), ["www.example.org. 30 A 203.0.113.1"]);
    assert_eq!(scope(&message), None);
}
