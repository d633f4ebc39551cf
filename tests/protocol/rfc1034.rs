//! RFC 1034: domain concepts; section 4.3.2, the algorithm.

use meridian::health::table::Verdict;

use crate::support::{Server, ask, lines, shape};
use crate::{server, steered};

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

/// A server with these zones, each an apex and the records below SOA and NS.
fn serving(zones: &[(&str, &str)]) -> Server {
    let files: Vec<(String, String)> = zones
        .iter()
        .map(|(apex, records)| {
            let head = "@ 60 SOA ns.else.example. host 1 1h 1h 1h 60\n@ 60 NS ns.else.example.\n";
            (format!("zones/{apex}.zone"), format!("{head}{records}"))
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    Server::new(&files)
}

/// Section 4.3.2 step 2: "the zone which is the nearest ancestor to QNAME".
#[test]
fn of_a_parent_and_a_child_the_child_answers() {
    let mut server = serving(&[
        ("test", "sub NS ns.sub\nns.sub 60 A 192.0.2.1\nx.sub 60 A 192.0.2.2\n"),
        ("sub.test", "ns 60 A 192.0.2.3\ny 60 A 192.0.2.4\n"),
    ]);
    assert_eq!(server.answers("ns.sub.test", "A"), ["ns.sub.test. 60 A 192.0.2.3"]);
    assert_eq!(server.answers("y.sub.test", "A"), ["y.sub.test. 60 A 192.0.2.4"]);
    // What the parent has below the cut is nobody's to see.
    let message = server.ask(&ask("x.sub.test", "A"));
    assert_eq!(shape(&message), "NXDOMAIN aa 0/1/0");
    assert!(lines(&message.authorities)[0].starts_with("sub.test. "));
}

/// RFC 4035 section 3.1.4.1: DS at an apex is the parent's, when the parent is here, too; else
/// the child says that it has none.
#[test]
fn ds_at_an_apex_is_asked_of_the_parent_if_that_is_here() {
    let digest = "AB".repeat(32);
    let parent = format!("sub 60 NS ns.else.example.\nsub 60 DS 1 13 2 {digest}\n");
    let mut server = serving(&[("test", &parent), ("sub.test", "")]);
    let message = server.ask(&ask("sub.test", "DS"));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
    let message = serving(&[("sub.test", "")]).ask(&ask("sub.test", "DS"));
    assert_eq!(shape(&message), "NOERROR aa 0/1/0");
    assert!(lines(&message.authorities)[0].starts_with("sub.test. 60 SOA "));
    // Below the cut, and for a chain that ends at it, too.
    assert_eq!(shape(&server.ask(&ask("x.sub.test", "DS"))), "NXDOMAIN aa 0/1/0");
}

/// Section 4.3.2 step 3b: what a cut hides is never answered; the child is referred to.
#[test]
fn what_stands_at_or_below_a_cut_is_occluded() {
    let mut server = serving(&[(
        "test",
        "sub 60 NS ns.else.example.\nsub 60 A 192.0.2.1\nx.sub 60 TXT hidden\n\
         y.sub 60 NS ns.other.example.\n*.sub 60 A 192.0.2.2\n",
    )]);
    for (name, qtype) in [
        ("sub.test", "A"),
        ("sub.test", "NS"),
        ("sub.test", "ANY"),
        ("x.sub.test", "TXT"),
        ("y.sub.test", "NS"),
        ("z.y.sub.test", "DS"),
        ("any.sub.test", "A"),
        ("*.sub.test", "A"),
    ] {
        let message = server.ask(&ask(name, qtype));
        assert_eq!(shape(&message), "NOERROR -- 0/1/0", "{name} {qtype}");
        assert_eq!(lines(&message.authorities), ["sub.test. 60 NS ns.else.example."]);
    }
}

/// RFC 9471 sections 2 and 3: glue of name servers below the cut, below another cut of the zone,
/// and addresses of those that stand in the zone itself.
#[test]
fn every_address_of_a_name_server_that_the_zone_knows_is_glue() {
    let mut server = serving(&[(
        "test",
        "a 60 NS ns.a\na 60 NS ns.b\na 60 NS plain\na 60 NS ns.none.a\nns.a 60 A 192.0.2.1\n\
         b 60 NS ns.b\nns.b 60 AAAA 2001:db8::1\nplain 60 A 192.0.2.2\n*.a 60 A 192.0.2.3\n",
    )]);
    assert_eq!(
        lines(&server.ask(&ask("www.a.test", "A")).additionals),
        [
            "ns.a.test. 60 A 192.0.2.1",
            "ns.b.test. 60 AAAA 2001:db8::1",
            "plain.test. 60 A 192.0.2.2",
        ]
    );
}

/// Section 3.6.2: chains are followed; here up to eight names, whatever the zone.
#[test]
fn a_chain_has_a_bound() {
    let links: String = (0..12).map(|at| format!("c{at} 60 CNAME c{}\n", at + 1)).collect();
    let mut server = serving(&[("test", &links)]);
    let message = server.ask(&ask("c0.test", "A"));
    assert_eq!(shape(&message), "NOERROR aa 8/0/0");
    // The last eight end in a name that does not exist: RFC 6604 section 3.
    assert_eq!(shape(&server.ask(&ask("c5.test", "A"))), "NXDOMAIN aa 7/1/0");
}

#[test]
fn a_circle_through_several_zones_ends() {
    let mut server =
        serving(&[("a.test", "x 60 CNAME x.b.test.\n"), ("b.test", "x 60 CNAME X.a.test.\n")]);
    assert_eq!(shape(&server.ask(&ask("x.a.test", "A"))), "NOERROR aa 2/0/0");
    let mut server = serving(&[("a.test", "x 60 CNAME x\n")]);
    assert_eq!(shape(&server.ask(&ask("x.a.test", "A"))), "NOERROR aa 1/0/0");
}

/// RFC 1035 section 4.1.1: AA "corresponds to the name which matches the query name, or the first
/// owner name in the answer section"; so a chain that ends below a cut keeps it.
#[test]
fn a_chain_into_a_child_ends_in_a_referral_with_authority() {
    let mut server =
        serving(&[("test", "x 60 CNAME y.sub\nsub 60 NS ns.sub\nns.sub 60 A 192.0.2.1\n")]);
    let message = server.ask(&ask("x.test", "A"));
    assert_eq!(shape(&message), "NOERROR aa 1/1/1");
}

#[test]
fn a_zone_of_soa_and_ns_alone_is_a_zone() {
    let mut server = serving(&[("test", "")]);
    assert_eq!(shape(&server.ask(&ask("test", "SOA"))), "NOERROR aa 1/0/0");
    assert_eq!(shape(&server.ask(&ask("test", "NS"))), "NOERROR aa 1/0/0");
    assert_eq!(shape(&server.ask(&ask("test", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("x.test", "A"))), "NXDOMAIN aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask(".", "NS"))), "REFUSED -- 0/0/0");
}

#[test]
fn a_steered_apex_has_what_an_apex_has() {
    let mut server = steered::server();
    assert_eq!(server.answers("example.org", "A"), ["example.org. 30 A 198.51.100.1"]);
    for (qtype, expected) in [
        ("SOA", "NOERROR aa 1/0/0"),
        ("NS", "NOERROR aa 1/0/0"),
        ("TXT", "NOERROR aa 1/0/0"),
        ("AAAA", "NOERROR aa 0/1/0"),
        ("MX", "NOERROR aa 0/1/0"),
        ("DS", "NOERROR aa 0/1/0"),
    ] {
        assert_eq!(shape(&server.ask(&ask("example.org", qtype))), expected, "{qtype}");
    }
}

/// Section 4.3.2 step 3a, where the end of the chain is steered.
#[test]
fn a_chain_may_end_at_a_steered_name() {
    let mut server = steered::server();
    assert_eq!(
        server.answers("alias.example.org", "A"),
        ["alias.example.org. 3600 CNAME www.example.org.", "www.example.org. 30 A 198.51.100.1"]
    );
    assert_eq!(
        server.answers("to-apps.example.org", "A")[1..],
        ["x.apps.example.org. 30 A 198.51.100.1"]
    );
    assert_eq!(
        server.answers("y.rewritten.example.org", "A")[1..],
        [
            "y.rewritten.example.org. 3600 CNAME y.apps.example.org.",
            "y.apps.example.org. 30 A 198.51.100.1"
        ]
    );
    assert_eq!(
        server.answers("any.aliases.example.org", "A"),
        [
            "any.aliases.example.org. 3600 CNAME www.example.org.",
            "www.example.org. 30 A 198.51.100.1"
        ]
    );
    assert_eq!(shape(&server.ask(&ask("alias.example.org", "AAAA"))), "NOERROR aa 1/1/0");
    assert_eq!(shape(&server.ask(&ask("alias.example.org", "TXT"))), "NOERROR aa 2/0/0");
}

/// Section 3.6.2: a CNAME that was asked for is not followed, steered or not.
#[test]
fn a_balancers_name_is_followed_unless_it_is_what_was_asked_for() {
    let mut server = steered::server();
    assert_eq!(server.answers("balanced.example.org", "A").len(), 2);
    assert_eq!(server.answers("balanced.example.org", "CNAME").len(), 1);
    assert_eq!(server.answers("balanced.example.org", "ANY").len(), 1);
}

/// A name handed over by delegation is a cut: what is there is the region's, but for DS, which is
/// ours (RFC 4035 section 3.1.4.1).
#[test]
fn a_name_handed_over_by_delegation_is_a_cut() {
    let mut server = steered::server();
    for (name, qtype) in [
        ("regional.example.org", "A"),
        ("regional.example.org", "SOA"),
        ("regional.example.org", "NS"),
        ("x.regional.example.org", "A"),
        ("x.regional.example.org", "DS"),
    ] {
        let message = server.ask(&ask(name, qtype));
        assert_eq!(shape(&message), "NOERROR -- 0/1/1", "{name} {qtype}");
        assert_eq!(
            lines(&message.authorities),
            ["regional.example.org. 30 NS ns1.sin.example.net."]
        );
    }
    let message = server.ask(&ask("regional.example.org", "DS"));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
}

/// Below a name that is handed over to some clients only, the zone answers all others as if the
/// name were any other: what is there, a wildcard, a steered name, a cut, a DNAME, or nothing.
#[test]
fn below_a_name_that_is_not_handed_over_the_zone_answers() {
    let mut server = steered::server();
    let names = [
        ("mixed", "TXT", "NOERROR -- 0/1/1", "NOERROR aa 0/1/0"),
        ("deep.mixed", "TXT", "NOERROR -- 0/1/1", "NOERROR aa 1/0/0"),
        ("deep.mixed", "A", "NOERROR -- 0/1/1", "NOERROR aa 0/1/0"),
        ("x.mixed", "A", "NOERROR -- 0/1/1", "NXDOMAIN aa 0/1/0"),
        ("x.deep.mixed", "A", "NOERROR -- 0/1/1", "NXDOMAIN aa 0/1/0"),
        ("wild.mixed", "A", "NOERROR -- 0/1/1", "NOERROR aa 0/1/0"),
        ("x.y.wild.mixed", "TXT", "NOERROR -- 0/1/1", "NOERROR aa 1/0/0"),
        ("under.mixed", "A", "NOERROR -- 0/1/1", "NOERROR aa 1/0/0"),
        ("cut.mixed", "A", "NOERROR -- 0/1/1", "NOERROR -- 0/1/0"),
        ("x.cut.mixed", "A", "NOERROR -- 0/1/1", "NOERROR -- 0/1/0"),
        ("cut.mixed", "DS", "NOERROR -- 0/1/1", "NOERROR aa 1/0/0"),
        ("x.new.mixed", "A", "NOERROR -- 0/1/1", "NOERROR aa 3/0/0"),
        ("new.mixed", "A", "NOERROR -- 0/1/1", "NOERROR aa 0/1/0"),
    ];
    for (name, qtype, handed_over, _) in names {
        let message = server.ask(&ask(&format!("{name}.example.org"), qtype));
        assert_eq!(shape(&message), handed_over, "{name} {qtype}");
        assert_eq!(lines(&message.authorities), ["mixed.example.org. 30 NS ns1.sin.example.net."]);
    }
    server.region("sin", Verdict::Down);
    for (name, qtype, _, ours) in names {
        let message = server.ask(&ask(&format!("{name}.example.org"), qtype));
        assert_eq!(shape(&message), ours, "{name} {qtype}");
    }
    assert_eq!(server.answers("mixed.example.org", "A").len(), 1);
}
