//! RFC 2308: negative caching.

use crate::server;
use crate::support::{ask, lines, shape};

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
