//! RFC 8482: minimal answers to ANY.

use meridian::health::table::Verdict;

use crate::support::{ask, shape};
use crate::{server, steered};

/// Section 4.1: one RRset of those that are there.
#[test]
fn any_gets_one_rrset() {
    for name in ["mail.example.org", "x.wild.example.org", "example.org"] {
        for query in [ask(name, "ANY"), ask(name, "ANY").over_tcp()] {
            let message = server().ask(&query);
            let types: Vec<_> = message.answers.iter().map(|r| r.record_type()).collect();
            assert!(!types.is_empty() && types.iter().all(|rtype| *rtype == types[0]), "{types:?}");
        }
    }
}

/// Section 4.1: a CNAME is an RRset like others, and ANY matches it (RFC 1034 section 4.3.2 step
/// 3a): it is not followed.
#[test]
fn any_at_a_cname_gets_the_cname() {
    assert_eq!(server().answers("chain.example.org", "ANY").len(), 1);
}

#[test]
fn any_where_nothing_is_gets_what_other_types_get() {
    for (name, expected) in [
        ("empty.example.org", "NOERROR aa 0/1/0"),
        ("nowhere.example.org", "NXDOMAIN aa 0/1/0"),
        ("child.example.org", "NOERROR -- 0/2/2"),
        ("www.example.com", "REFUSED -- 0/0/0"),
    ] {
        assert_eq!(shape(&server().ask(&ask(name, "ANY"))), expected, "{name}");
    }
}

/// Section 4.1 for a steered name: its addresses, and where it has none for this client, what
/// stands beside them.
#[test]
fn any_at_a_steered_name_gets_what_there_is() {
    let mut server = steered::server();
    assert_eq!(server.answers("www.example.org", "ANY"), ["www.example.org. 30 A 198.51.100.1"]);
    assert_eq!(server.answers("fenced.example.org", "ANY").len(), 1);
    server.region("fra", Verdict::Down);
    assert_eq!(
        server.answers("fenced.example.org", "ANY"),
        ["fenced.example.org. 3600 TXT still here"]
    );
}
