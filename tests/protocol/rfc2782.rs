//! RFC 2782: SRV, and with it MX (RFC 5321 section 5.1), of steered names.

use crate::support::{Server, ask, lines, shape};

const POLICY: &str = r#"
[pool.one]
region = "here"
cname  = "mail.example.org."
[pool.two]
region = "here"
cname  = "mail.example.net."
srv    = { weight = 7 }
mx     = { preference = 30 }
[record."_submission._tcp"]
policy  = "failover"
pools   = ["one", "two"]
answers = 2
srv     = { port = 587, weight = 3 }
[record."post"]
policy  = "failover"
pools   = ["one", "two"]
answers = 2
mx      = {}
[record."_nothing._tcp"]
pools = ["one"]
srv   = { port = 1, priority = 65535 }
"#;

const ZONE: &str = "
$ORIGIN example.org.
$TTL 1h
@     SOA   ns1 hostmaster 7 2h 30m 14d 5m
@     NS    ns1
ns1   A     192.0.2.53
mail  A     192.0.2.25
_submission._tcp TXT \"beside it\"
";

fn server() -> Server {
    Server::new(&[
        ("geo/regions.toml", "[region.here]\n"),
        ("zones/example.org.toml", POLICY),
        ("zones/example.org.zone", ZONE),
    ])
}

#[test]
fn priority_rises_with_every_pool_that_is_tried_later() {
    let message = server().ask(&ask("_submission._tcp.example.org", "SRV"));
    assert_eq!(shape(&message), "NOERROR aa 2/0/0");
    assert_eq!(
        lines(&message.answers),
        [
            "_submission._tcp.example.org. 30 SRV 0 3 587 mail.example.org.",
            "_submission._tcp.example.org. 30 SRV 1 7 587 mail.example.net.",
        ]
    );
}

#[test]
fn mx_has_preferences_in_its_place() {
    let message = server().ask(&ask("post.example.org", "MX"));
    assert_eq!(
        lines(&message.answers),
        [
            "post.example.org. 30 MX 10 mail.example.org.",
            "post.example.org. 30 MX 31 mail.example.net.",
        ]
    );
}

#[test]
fn targets_are_not_compressed() {
    let ask = ask("_submission._tcp.example.org", "SRV");
    let octets = server().answer(&ask.packet(), ask.client(), ask.transport());
    let target = b"\x04mail\x07example\x03org\0";
    assert!(octets.windows(target.len()).any(|window| window == target));
}

#[test]
fn other_types_of_the_name_are_the_zone_files() {
    let mut server = server();
    let message = server.ask(&ask("_submission._tcp.example.org", "TXT"));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
    for qtype in ["A", "CNAME", "MX"] {
        let message = server.ask(&ask("_submission._tcp.example.org", qtype));
        assert_eq!(shape(&message), "NOERROR aa 0/1/0", "{qtype}");
    }
    // And ANY gets one of them (RFC 8482).
    let message = server.ask(&ask("post.example.org", "ANY"));
    assert_eq!(message.answers.len(), 2);
}

#[test]
fn a_priority_does_not_wrap() {
    let message = server().ask(&ask("_nothing._tcp.example.org", "SRV"));
    assert_eq!(
        lines(&message.answers),
        ["_nothing._tcp.example.org. 30 SRV 65535 0 1 mail.example.org."]
    );
}
