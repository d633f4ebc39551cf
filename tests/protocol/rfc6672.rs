//! RFC 6672: DNAME.

use crate::server;
use crate::support::{ask, shape};

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
