//! RFC 2308: negative caching.

use meridian::health::table::Verdict;

use crate::support::{ask, lines, shape};
use crate::{server, steered};

/// Section 3: the SOA goes out with "the minimum of the MINIMUM field of the SOA record and
/// the TTL of the SOA itself".
#[test]
fn negative_answers_carry_the_soa_with_the_smaller_ttl() {
    for (name, qtype, expected) in [
        ("nowhere.example.org", "A", "NXDOMAIN aa 0/1/0"),
        ("www.example.org", "AAAA", "NOERROR aa 0/1/0"),
    ] {
        let message = server().ask(&ask(name, qtype));
        assert_eq!(shape(&message), expected);
        assert!(
            lines(&message.authorities)[0].starts_with("example.org. 300 SOA "),
            "{:?}",
            message.authorities
        );
    }
}

/// Section 2.1 and RFC 6604 section 3: the code is that of the chain's last name.
#[test]
fn a_chain_that_ends_in_nothing_is_nxdomain_with_its_cname() {
    let message = server().ask(&ask("lost.example.org", "A"));
    assert_eq!(shape(&message), "NXDOMAIN aa 1/1/0");
}

/// Section 2.2, for names that are steered: a type they do not have is NODATA, and the name is
/// there whatever health says.
#[test]
fn a_steered_name_has_no_other_types() {
    let mut server = steered::server();
    for (name, qtype, expected) in [
        ("www.example.org", "AAAA", "NOERROR aa 0/1/0"),
        ("www.example.org", "MX", "NOERROR aa 0/1/0"),
        ("www.example.org", "CNAME", "NOERROR aa 0/1/0"),
        ("www.example.org", "TYPE1000", "NOERROR aa 0/1/0"),
        ("www.example.org", "TXT", "NOERROR aa 1/0/0"),
        ("x.www.example.org", "A", "NXDOMAIN aa 0/1/0"),
    ] {
        assert_eq!(shape(&server.ask(&ask(name, qtype))), expected, "{name} {qtype}");
    }
    server.region("fra", Verdict::Down);
    let message = server.ask(&ask("fenced.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR aa 0/1/0");
    assert!(lines(&message.authorities)[0].starts_with("example.org. 300 SOA "));
}

/// RFC 2181 section 10.1: a CNAME stands alone. One in the zone file that stands in for steered
/// addresses is there, for every type, when they are not.
#[test]
fn a_cname_that_stands_in_is_not_seen_beside_steered_addresses() {
    let mut server = steered::server();
    let name = "stand-in.example.org";
    assert_eq!(server.answers(name, "A"), ["stand-in.example.org. 30 A 198.51.100.1"]);
    assert_eq!(server.answers(name, "ANY"), ["stand-in.example.org. 30 A 198.51.100.1"]);
    for qtype in ["AAAA", "TXT", "CNAME"] {
        assert_eq!(shape(&server.ask(&ask(name, qtype))), "NOERROR aa 0/1/0", "{qtype}");
    }
    server.region("fra", Verdict::Down);
    assert_eq!(
        server.answers(name, "A"),
        ["stand-in.example.org. 3600 CNAME lb.example.org.", "lb.example.org. 3600 A 192.0.2.55"]
    );
    assert_eq!(shape(&server.ask(&ask(name, "AAAA"))), "NOERROR aa 1/1/0");
    assert_eq!(server.answers(name, "CNAME").len(), 1);
}
