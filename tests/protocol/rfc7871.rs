//! RFC 7871: client subnet.

use meridian::health::table::Verdict;

use crate::support::{Server, ask, code, lines, option, scope, shape};

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

/// A server with these settings, whose record `www` has one line more.
fn server_with(settings: &str, line: &str) -> Server {
    let policy = POLICY.replace("[record.\"always\"]", &format!("{line}\n[record.\"always\"]"));
    Server::over(
        &[
            ("meridian.toml", settings),
            ("geo/regions.toml", REGIONS),
            ("geo/networks.toml", NETWORKS),
            ("zones/example.org.toml", &policy),
            ("zones/example.org.zone", ZONE),
        ],
        |config| meridian::geo::world::World::from_networks(&config.networks),
    )
}

const FRA: &str = "www.example.org. 30 A 198.51.100.1";
const IAD: &str = "www.example.org. 30 A 203.0.113.1";

/// Section 11.3 and 12.1: whose subnets are believed is the operator's choice. From all others
/// the option is as unknown: section 7.2.1 has it not echoed.
#[test]
fn subnets_are_believed_by_source() {
    for (settings, believed, not) in [
        ("client_subnet = [\"203.0.113.0/24\"]", "203.0.113.9", "203.0.114.9"),
        ("client_subnet = \"2001:db8:b::/48\"", "2001:db8:b::1", "203.0.113.9"),
        ("client_subnet = { deny = [\"203.0.113.0/24\"] }", "203.0.114.9", "203.0.113.9"),
        (
            "client_subnet = { allow = [\"203.0.0.0/16\"], deny = [\"203.0.113.0/24\"] }",
            "203.0.112.9",
            "203.0.113.9",
        ),
    ] {
        let mut server = server_with(&format!("[edns]\n{settings}\n"), "");
        let query = ask("www.example.org", "A").subnet("192.0.2.0/24");
        let message = server.ask(&query.clone().from(believed));
        assert_eq!((lines(&message.answers), scope(&message)), (vec![FRA.to_owned()], Some(6)));
        let message = server.ask(&query.clone().from(not));
        assert_eq!(scope(&message), None, "{settings}");
        let told = option(&message, 15).expect("RFC 8914: what was set aside is told");
        assert_eq!(told[2..], *b"client subnet is not believed from this source");
        // By the source it is: 198.51.100.0/24 is in New York.
        let mut server =
            server_with("[edns]\nclient_subnet = { deny = \"198.51.100.0/24\" }\n", "");
        let message = server.ask(&query.from("198.51.100.9"));
        assert_eq!(lines(&message.answers), [IAD]);
    }
}

/// A record may take its clients to be where their resolver is. Then the answer is the same
/// whatever the subnet, and the scope says so.
#[test]
fn a_record_may_set_subnets_aside() {
    let mut server = server_with("", "client_subnet = false");
    for (from, expected) in [("198.51.100.9", IAD), ("192.0.2.9", FRA)] {
        for subnet in ["192.0.2.0/24", "198.51.100.0/24", "2001:db8:b::/48"] {
            let message = server.ask(&ask("www.example.org", "A").from(from).subnet(subnet));
            assert_eq!(lines(&message.answers), [expected], "{from} {subnet}");
            assert_eq!(scope(&message), Some(0), "{from} {subnet}");
        }
    }
    let mut server = server_with("", "client_subnet = true");
    let message =
        server.ask(&ask("www.example.org", "A").from("198.51.100.9").subnet("192.0.2.0/24"));
    assert_eq!(lines(&message.answers), [FRA]);
}

/// Records that differ in nothing else do not share what one of them sets aside.
#[test]
fn setting_subnets_aside_is_a_records_own() {
    let twin = "client_subnet = false\n[record.\"twin\"]\npolicy = \"nearest\"\npools = [\"fra\", \"iad\"]";
    let mut server = server_with("", twin);
    let york = |name| ask(name, "A").from("192.0.2.9").subnet("198.51.100.0/24");
    assert_eq!(lines(&server.ask(&york("www.example.org")).answers), [FRA]);
    let twin = server.ask(&york("twin.example.org"));
    assert_eq!(lines(&twin.answers), ["twin.example.org. 30 A 203.0.113.1"]);
}

/// Section 6: "FAMILY, 2 octets", 1 and 2 are known; 0 only where no address follows, as `dig
/// +subnet=0` sends it.
#[test]
fn family_0_without_an_address_is_echoed() {
    let mut server = server();
    let packet = ask("www.example.org", "A").edns(1232, &[0, 8, 0, 4, 0, 0, 0, 0]).packet();
    let client = "192.0.2.1".parse().expect("an address");
    let octets = server.answer(&packet, client, meridian::server::Transport::Udp);
    assert_eq!(octets[octets.len() - 8..], [0, 8, 0, 4, 0, 0, 0, 0]);
    let bad = ask("www.example.org", "A").edns(1232, &[0, 8, 0, 5, 0, 0, 8, 0, 10]);
    assert_eq!(code(&server.ask(&bad)), "FORMERR");
}

/// Section 6: every prefix length has exactly its octets and no bit past them, in both families.
#[test]
fn every_length_is_echoed_and_every_bit_past_it_a_format_error() {
    let mut server = server();
    for (family, bits) in [(1u8, 32u8), (2, 128)] {
        for source in 0..=bits {
            let kept = usize::from(source.div_ceil(8));
            let mut address = vec![0xff; kept];
            if source % 8 != 0 {
                address[kept - 1] = 0xffu8 << (8 - source % 8);
            }
            let option = |source: u8, address: &[u8]| {
                let length = 4 + address.len() as u8;
                [&[0, 8, 0, length, 0, family, source, 0][..], address].concat()
            };
            let good = option(source, &address);
            let query = ask("fixed.example.org", "A").edns(1232, &good);
            let octets = server.answer(&query.packet(), query.client(), query.transport());
            assert_eq!(octets[octets.len() - good.len()..], good, "{family} {source}");
            let mut wrong = vec![[&address[..], &[0]].concat()];
            if source % 8 != 0 {
                wrong.push(address[..kept - 1].iter().copied().chain([0xff]).collect());
                wrong.push(address[..kept - 1].to_vec());
            }
            for address in wrong {
                let query = ask("fixed.example.org", "A").edns(1232, &option(source, &address));
                assert_eq!(code(&server.ask(&query)), "FORMERR", "{family} {source} {address:?}");
            }
        }
    }
}
