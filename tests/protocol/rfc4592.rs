//! RFC 4592: wildcards.

use crate::server;
use crate::support::{ask, shape};

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
