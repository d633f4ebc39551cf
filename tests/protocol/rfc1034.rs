//! RFC 1034: domain concepts; section 4.3.2, the algorithm.

use crate::server;
use crate::support::{ask, lines, shape};

#[test]
fn a_name_that_exists_is_answered_with_authority() {
    let message = server().ask(&ask("www.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
    assert_eq!(lines(&message.answers), ["www.example.org. 3600 A 192.0.2.80"]);
}

/// Section 3.6.2: "a CNAME RR in the response and restarts the query at the domain name
/// specified".
#[test]
fn a_chain_of_cnames_is_followed_inside_the_zone() {
    let answers = server().answers("chain.example.org", "A");
    assert_eq!(
        answers,
        [
            "chain.example.org. 3600 CNAME alias.example.org.",
            "alias.example.org. 3600 CNAME www.example.org.",
            "www.example.org. 3600 A 192.0.2.80",
        ]
    );
}

#[test]
fn a_cname_asked_for_is_not_followed() {
    assert_eq!(server().answers("chain.example.org", "CNAME").len(), 1);
}

#[test]
fn a_chain_that_leaves_our_zones_ends_there() {
    let message = server().ask(&ask("away.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
}

#[test]
fn a_chain_that_runs_in_a_circle_ends() {
    let message = server().ask(&ask("loop-a.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR aa 2/0/0");
}

/// Section 4.2.1 and 4.3.2 step 3b: a referral, with glue, without AA.
#[test]
fn below_a_cut_the_child_is_referred_to() {
    for name in ["child.example.org", "www.child.example.org", "ns.child.example.org"] {
        let message = server().ask(&ask(name, "A"));
        assert_eq!(shape(&message), "NOERROR -- 0/2/2", "{name}");
        assert_eq!(
            lines(&message.authorities),
            [
                "child.example.org. 3600 NS ns.child.example.org.",
                "child.example.org. 3600 NS ns.example.net.",
            ]
        );
        assert_eq!(
            lines(&message.additionals),
            [
                "ns.child.example.org. 3600 A 192.0.2.54",
                "ns.child.example.org. 3600 AAAA 2001:db8::54",
            ]
        );
    }
}

#[test]
fn glue_of_a_sibling_is_given_too() {
    let message = server().ask(&ask("x.sibling.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR -- 0/1/2");
}

/// RFC 4035 section 3.1.4.1: DS belongs to the parent's side of a cut.
#[test]
fn ds_at_a_cut_is_the_parents_to_answer() {
    let message = server().ask(&ask("child.example.org", "DS"));
    assert_eq!(shape(&message), "NOERROR aa 0/1/0");
}

#[test]
fn an_empty_non_terminal_exists() {
    let message = server().ask(&ask("empty.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR aa 0/1/0");
}

#[test]
fn a_name_in_no_zone_of_ours_is_refused() {
    let message = server().ask(&ask("www.example.com", "A"));
    assert_eq!(shape(&message), "REFUSED -- 0/0/0");
}

#[test]
fn transfers_are_refused() {
    for qtype in ["AXFR", "IXFR"] {
        assert_eq!(shape(&server().ask(&ask("example.org", qtype).over_tcp())), "REFUSED -- 0/0/0");
    }
}

#[test]
fn a_chain_is_followed_into_another_zone_of_ours() {
    let mut server = crate::support::Server::new(&[
        ("zones/example.org.zone", crate::ZONE),
        (
            "zones/example.net.zone",
            "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.3\nwww 60 A 192.0.2.4\n",
        ),
    ]);
    let answers = server.answers("away.example.org", "A");
    assert_eq!(answers.last().map(String::as_str), Some("www.example.net. 60 A 192.0.2.4"));
}
