//! RFC 6672: DNAME.

use crate::server;
use crate::support::{Server, ask, shape};

/// Section 3.1 and 3.2: the DNAME, the CNAME made of it, and what that leads to.
#[test]
fn a_name_below_a_dname_is_rewritten() {
    let answers = server().answers("a.old.example.org", "A");
    assert!(answers[0].starts_with("old.example.org. 3600 DNAME "), "{answers:?}");
    assert_eq!(
        answers[1..],
        ["a.old.example.org. 3600 CNAME a.new.example.org.", "a.new.example.org. 3600 A 192.0.2.7",]
    );
}

#[test]
fn the_owner_itself_is_not_rewritten() {
    assert_eq!(shape(&server().ask(&ask("old.example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(server().answers("old.example.org", "DNAME").len(), 1);
}

#[test]
fn what_the_rewritten_name_lacks_is_nxdomain() {
    assert_eq!(shape(&server().ask(&ask("b.old.example.org", "A"))), "NXDOMAIN aa 2/1/0");
}

/// Section 2.2: YXDOMAIN when the substitution makes a name too long.
#[test]
fn a_substitution_that_grows_too_long_is_yxdomain() {
    let zone = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.3\n\
        s 60 DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.org.\n";
    let mut server = crate::support::Server::new(&[("zones/example.org.zone", zone)]);
    let label = "b".repeat(55);
    let name = format!("{label}.{label}.{label}.{label}.s.example.org");
    let message = server.ask(&ask(&name, "A"));
    assert_eq!(shape(&message), "YXDOMAIN aa 1/0/0");
}

/// RFC 1034 section 3.6.2: queries that match the CNAME type are not restarted, and the CNAME
/// that is made here is one.
#[test]
fn who_asks_for_the_cname_is_not_led_on() {
    for qtype in ["CNAME", "ANY"] {
        assert_eq!(shape(&server().ask(&ask("b.old.example.org", qtype))), "NOERROR aa 2/0/0");
    }
}

/// RFC 2181 section 5: a chain that comes to a DNAME twice has it once.
#[test]
fn a_dname_met_twice_is_written_once() {
    let zone = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.3\n\
        s 60 DNAME t\na.t 60 CNAME b.S\nb.t 60 A 192.0.2.4\n\
        u 60 DNAME s\n";
    let mut server = crate::support::Server::new(&[("zones/example.org.zone", zone)]);
    let answers = server.answers("a.u.example.org", "A");
    let heads: Vec<String> = answers
        .iter()
        .map(|line| line.split(' ').step_by(2).take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        heads,
        [
            "u.example.org. DNAME",
            "a.u.example.org. CNAME",
            "s.example.org. DNAME",
            "a.s.example.org. CNAME",
            "a.t.example.org. CNAME",
            "b.S.example.org. CNAME",
            "b.t.example.org. A",
        ]
    );
}

/// Section 2.3: at an apex a DNAME stands beside SOA and NS, and redirects all below, name
/// servers too.
#[test]
fn a_dname_at_an_apex_redirects_all_but_the_apex() {
    let mut server = zone("@ 60 DNAME example.test.\n");
    assert_eq!(shape(&server.ask(&ask("example.org", "SOA"))), "NOERROR aa 1/0/0");
    assert_eq!(shape(&server.ask(&ask("example.org", "NS"))), "NOERROR aa 1/0/0");
    assert_eq!(shape(&server.ask(&ask("example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(
        server.answers("x.y.example.org", "A")[1..],
        ["x.y.example.org. 60 CNAME x.y.example.test."]
    );
}

/// Section 2.4 forbids data below a DNAME, and none at it but CNAME and DNAME.
#[test]
fn other_data_at_the_owner_is_answered() {
    let mut server = zone("s 60 DNAME t\ns 60 A 192.0.2.1\nx.t 60 TXT there\n");
    assert_eq!(server.answers("s.example.org", "A"), ["s.example.org. 60 A 192.0.2.1"]);
    assert_eq!(shape(&server.ask(&ask("s.example.org", "TXT"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("x.s.example.org", "TXT"))), "NOERROR aa 3/0/0");
}

/// Section 3.2 step 3c: DNAME asked for below a DNAME is rewritten like other types.
#[test]
fn a_dname_below_a_dname_is_looked_for_at_the_target() {
    let mut server = zone("s 60 DNAME t\nx.t 60 DNAME else.test.\n");
    let answers = server.answers("x.s.example.org", "DNAME");
    assert!(answers[0].starts_with("s.example.org. 60 DNAME "), "{answers:?}");
    assert_eq!(answers[1], "x.s.example.org. 60 CNAME x.t.example.org.");
    assert!(answers[2].starts_with("x.t.example.org. 60 DNAME "), "{answers:?}");
}

/// Section 2.2, to the octet: 255 is a name, 256 is none.
#[test]
fn a_substitution_may_fill_a_name_to_the_last_octet() {
    let target = format!("{}.else.test.", "t".repeat(60));
    let mut server = zone(&format!("s 60 DNAME {target}\n"));
    // 61 octets of label, and 11 of else.test, leave 183 for what is in front.
    for (last, expected) in [(54, "NOERROR aa 2/0/0"), (55, "YXDOMAIN aa 1/0/0")] {
        let front = format!("{0}.{0}.{1}", "f".repeat(63), "f".repeat(last));
        assert_eq!(
            shape(&server.ask(&ask(&format!("{front}.s.example.org"), "A").over_tcp())),
            expected,
            "{last}"
        );
    }
}

/// Section 5.1 warns of loops through DNAME: names that grow, and names that come back.
#[test]
fn a_dname_without_end_ends() {
    let mut server = zone("s 60 DNAME x.s\na 60 DNAME b\nb 60 DNAME a\n");
    let message = server.ask(&ask("y.s.example.org", "A"));
    assert_eq!(shape(&message), "NOERROR aa 9/0/0");
    assert_eq!(shape(&server.ask(&ask("y.a.example.org", "A"))), "NOERROR aa 4/0/0");
}

/// RFC 1034 section 4.3.2 step 3: a cut above a DNAME comes first, and beside a wildcard the DNAME
/// does.
#[test]
fn a_dname_gives_way_to_a_cut_above_and_stands_before_a_wildcard() {
    let mut server = zone(
        "c 60 NS ns.else.test.\ns.c 60 DNAME else.test.\n\
         *.w 60 A 192.0.2.1\ns.w 60 DNAME else.test.\n",
    );
    assert_eq!(shape(&server.ask(&ask("x.s.c.example.org", "A"))), "NOERROR -- 0/1/0");
    assert_eq!(shape(&server.ask(&ask("x.s.w.example.org", "A"))), "NOERROR aa 2/0/0");
    assert_eq!(shape(&server.ask(&ask("x.w.example.org", "A"))), "NOERROR aa 1/0/0");
}

/// The zone example.org with these records.
fn zone(records: &str) -> Server {
    let head = "@ 60 SOA ns.else.test. host 1 1h 1h 1h 60\n@ 60 NS ns.else.test.\n";
    Server::new(&[("zones/example.org.zone", &format!("{head}{records}"))])
}
