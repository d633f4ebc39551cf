//! RFC 4592: wildcards.

use crate::support::{Server, ask, shape};
use crate::{server, steered};

#[test]
fn a_wildcard_answers_under_the_name_that_was_asked() {
    assert_eq!(
        server().answers("anything.wild.example.org", "A"),
        ["anything.wild.example.org. 3600 A 192.0.2.99"]
    );
    assert_eq!(
        server().answers("two.labels.wild.example.org", "A"),
        ["two.labels.wild.example.org. 3600 A 192.0.2.99"]
    );
}

#[test]
fn a_wildcard_without_the_type_is_nodata() {
    assert_eq!(shape(&server().ask(&ask("x.wild.example.org", "MX"))), "NOERROR aa 0/1/0");
}

/// Section 2.2.1: an existing name, even an empty non-terminal, stands before the wildcard.
#[test]
fn existing_names_are_not_covered() {
    assert_eq!(shape(&server().ask(&ask("here.wild.example.org", "TXT"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server().ask(&ask("ent.wild.example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server().ask(&ask("x.here.wild.example.org", "A"))), "NXDOMAIN aa 0/1/0");
    assert_eq!(shape(&server().ask(&ask("x.ent.wild.example.org", "A"))), "NXDOMAIN aa 0/1/0");
}

#[test]
fn the_asterisk_itself_can_be_asked_for() {
    assert_eq!(
        server().answers("*.wild.example.org", "A"),
        ["*.wild.example.org. 3600 A 192.0.2.99"]
    );
}

/// Section 3.3.1: a wildcard CNAME is followed.
#[test]
fn a_wildcard_cname_is_followed() {
    assert_eq!(
        server().answers("x.wildcname.example.org", "A"),
        [
            "x.wildcname.example.org. 3600 CNAME www.example.org.",
            "www.example.org. 3600 A 192.0.2.80"
        ]
    );
}

/// The example of section 2.2.1, and what it says the answers are.
#[test]
fn the_example_of_section_2_2_1_is_answered_as_it_says() {
    let zone = r#"
$ORIGIN example.
@                 3600 IN  SOA   ns.example.com. host 1 1h 1h 1h 5m
@                 3600     NS    ns.example.com.
@                 3600     NS    ns.example.net.
*.example.        3600     TXT   "this is a wildcard"
*.example.        3600     MX    10 host1.example.
sub.*.example.    3600     TXT   "this is not a wildcard"
host1.example.    3600     A     192.0.2.1
_ssh._tcp.host1.example.  3600 SRV 1 0 22 host1.example.
_ssh._tcp.host2.example.  3600 SRV 1 0 22 host2.example.
subdel.example.   3600     NS   ns.example.com.
subdel.example.   3600     NS   ns.example.net.
"#;
    let mut server = Server::new(&[("zones/example.zone", zone)]);
    for (name, qtype, expected) in [
        // Synthesized from *.example.
        ("host3.example", "MX", "NOERROR aa 1/0/0"),
        ("host3.example", "A", "NOERROR aa 0/1/0"),
        ("foo.bar.example", "TXT", "NOERROR aa 1/0/0"),
        // Not synthesized.
        ("host1.example", "MX", "NOERROR aa 0/1/0"),
        ("sub.*.example", "MX", "NOERROR aa 0/1/0"),
        ("_telnet._tcp.host1.example", "SRV", "NXDOMAIN aa 0/1/0"),
        ("host.subdel.example", "A", "NOERROR -- 0/2/0"),
        ("ghost.*.example", "MX", "NXDOMAIN aa 0/1/0"),
    ] {
        assert_eq!(shape(&server.ask(&ask(name, qtype))), expected, "{name} {qtype}");
    }
}

/// Section 2.2.2 and 2.2.3: "*" as an empty non-terminal exists, and is a source of synthesis
/// without data.
#[test]
fn a_wildcard_that_is_an_empty_non_terminal_gives_nodata() {
    let mut server = zone("sub.* 60 TXT x\n");
    for name in ["any.example.org", "deep.any.example.org", "*.example.org"] {
        assert_eq!(shape(&server.ask(&ask(name, "TXT"))), "NOERROR aa 0/1/0", "{name}");
    }
    assert_eq!(shape(&server.ask(&ask("x.sub.*.example.org", "A"))), "NXDOMAIN aa 0/1/0");
}

/// Section 2.1.3: an asterisk inside a name, or not alone in its label, means nothing.
#[test]
fn an_asterisk_elsewhere_is_a_letter() {
    let mut server = zone("a.*.b 60 A 192.0.2.1\n**.c 60 A 192.0.2.2\n*x.c 60 A 192.0.2.3\n");
    assert_eq!(shape(&server.ask(&ask("a.z.b.example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("y.c.example.org", "A"))), "NXDOMAIN aa 0/1/0");
    assert_eq!(server.answers("**.c.example.org", "A").len(), 1);
}

/// Section 4.2 leaves NS at a wildcard undefined. Here it is data, and no cut.
#[test]
fn ns_at_a_wildcard_is_data() {
    let mut server = zone("*.w 60 NS ns.else.test.\n*.w 60 A 192.0.2.1\n");
    assert_eq!(server.answers("x.w.example.org", "NS"), ["x.w.example.org. 60 NS ns.else.test."]);
    assert_eq!(server.answers("x.w.example.org", "A").len(), 1);
    assert_eq!(shape(&server.ask(&ask("x.w.example.org", "TXT"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("x.*.w.example.org", "A"))), "NXDOMAIN aa 0/1/0");
}

/// Section 4.4: a DNAME at a wildcard is "discouraged", since it would not redirect for ever the
/// same way. Here it is data, and redirects nothing.
#[test]
fn dname_at_a_wildcard_is_data() {
    let mut server = zone("*.w 60 DNAME else.test.\n");
    assert_eq!(server.answers("x.w.example.org", "DNAME").len(), 1);
    assert_eq!(shape(&server.ask(&ask("x.w.example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("y.x.w.example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("y.*.w.example.org", "A"))), "NXDOMAIN aa 0/1/0");
}

/// RFC 1034 section 4.3.3: a wildcard does not reach below a cut beside it, nor does one below.
#[test]
fn a_cut_ends_a_wildcard() {
    let mut server = zone("* 60 A 192.0.2.1\nsub 60 NS ns.else.test.\n*.sub 60 A 192.0.2.2\n");
    for name in ["sub.example.org", "x.sub.example.org"] {
        assert_eq!(shape(&server.ask(&ask(name, "A"))), "NOERROR -- 0/1/0", "{name}");
    }
}

/// Section 3.3.1: the CNAME at a wildcard is followed, also to a name that it stands for itself.
#[test]
fn a_wildcard_may_lead_to_itself_and_ends() {
    let mut server = zone("* 60 CNAME x\n");
    assert_eq!(shape(&server.ask(&ask("y.example.org", "A"))), "NOERROR aa 2/0/0");
    assert_eq!(shape(&server.ask(&ask("x.example.org", "A"))), "NOERROR aa 1/0/0");
}

/// Section 2.2.1 and 3.3.1, for a wildcard that is steered.
#[test]
fn a_steered_wildcard_is_a_wildcard() {
    let mut server = steered::server();
    for name in ["x.apps.example.org", "y.x.apps.example.org", "*.apps.example.org"] {
        assert_eq!(server.answers(name, "A"), [format!("{name}. 30 A 198.51.100.1")]);
        assert_eq!(shape(&server.ask(&ask(name, "AAAA"))), "NOERROR aa 0/1/0");
        assert_eq!(shape(&server.ask(&ask(name, "TXT"))), "NOERROR aa 0/1/0");
    }
    assert_eq!(shape(&server.ask(&ask("here.apps.example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("ent.apps.example.org", "A"))), "NOERROR aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("x.here.apps.example.org", "A"))), "NXDOMAIN aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("x.ent.apps.example.org", "A"))), "NXDOMAIN aa 0/1/0");
    assert_eq!(shape(&server.ask(&ask("apps.example.org", "A"))), "NOERROR aa 0/1/0");
}

/// The zone example.org with these records.
fn zone(records: &str) -> Server {
    let head = "@ 60 SOA ns.else.test. host 1 1h 1h 1h 60\n@ 60 NS ns.else.test.\n";
    Server::new(&[("zones/example.org.zone", &format!("{head}{records}"))])
}
