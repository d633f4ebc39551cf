//! The three hand-overs: addresses, a balancer's name, a regional name server.

use meridian::health::table::Verdict;

use crate::support::{Server, ask, lines, scope, shape};
use crate::{BERLIN, NEW_YORK, SYDNEY, with_policy};

const POLICY: &str = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10"]
[pool.iad]
region = "iad"
cname  = "lb.iad.example.net."
[pool.sin]
region   = "sin"
delegate = [
  { ns = "ns1.www.example.org.", addresses = ["198.51.100.53", "2001:db8:53::1"] },
  { ns = "ns.sin.example.net." },
]
[record."www"]
policy = "nearest"
pools  = ["fra", "iad", "sin"]
"#;
const ZONE: &str = "
@ 60 SOA ns1 host 1 1h 1h 1h 60
@ 60 NS ns1
ns1 60 A 192.0.2.3
lb 60 A 192.0.2.55
";

fn server() -> Server {
    with_policy(POLICY, ZONE)
}

#[test]
fn a_region_can_be_handed_over_by_its_balancers_name() {
    let message = server().ask(&ask("www.example.org", "A").subnet(NEW_YORK));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
    assert_eq!(lines(&message.answers), ["www.example.org. 30 CNAME lb.iad.example.net."]);
}

#[test]
fn a_balancers_name_that_is_ours_is_followed() {
    let mut server = with_policy(&POLICY.replace("lb.iad.example.net.", "lb.example.org."), ZONE);
    let message = server.ask(&ask("www.example.org", "A").subnet(NEW_YORK));
    assert_eq!(
        lines(&message.answers),
        ["www.example.org. 30 CNAME lb.example.org.", "lb.example.org. 60 A 192.0.2.55"]
    );
}

/// A CNAME stands for every type, so every type gets it.
#[test]
fn a_balancers_name_answers_every_type() {
    for qtype in ["AAAA", "TXT", "HTTPS", "CNAME"] {
        let message = server().ask(&ask("www.example.org", qtype).subnet(NEW_YORK));
        assert_eq!(lines(&message.answers), ["www.example.org. 30 CNAME lb.iad.example.net."]);
    }
}

#[test]
fn a_region_can_be_handed_over_by_delegation() {
    let message = server().ask(&ask("www.example.org", "A").subnet(SYDNEY));
    assert_eq!(shape(&message), "NOERROR -- 0/2/2");
    assert_eq!(
        lines(&message.authorities),
        [
            "www.example.org. 30 NS ns1.www.example.org.",
            "www.example.org. 30 NS ns.sin.example.net.",
        ]
    );
    assert_eq!(
        lines(&message.additionals),
        ["ns1.www.example.org. 30 A 198.51.100.53", "ns1.www.example.org. 30 AAAA 2001:db8:53::1",]
    );
    assert_eq!(scope(&message), Some(0));
}

#[test]
fn names_below_a_delegated_one_are_referred_too_and_exist_nowhere_else() {
    let mut server = server();
    let message = server.ask(&ask("deep.www.example.org", "A").subnet(SYDNEY));
    assert_eq!(lines(&message.authorities)[0], "www.example.org. 30 NS ns1.www.example.org.");
    let message = server.ask(&ask("deep.www.example.org", "A").subnet(BERLIN));
    assert_eq!(shape(&message), "NXDOMAIN aa 0/1/0");
    // Which holds for that client, and not for those who are handed over.
    assert!(scope(&message).is_some_and(|scope| scope > 0));
    let message = server.ask(&ask("deep.www.example.org", "A").subnet(SYDNEY));
    assert_eq!(scope(&message), Some(0));
}

#[test]
fn each_hand_over_falls_back_to_the_others() {
    let mut server = server();
    server.region("sin", Verdict::Down);
    let message = server.ask(&ask("www.example.org", "A").subnet(SYDNEY));
    assert_ne!(shape(&message), "NOERROR -- 0/2/2");
    server.region("iad", Verdict::Down);
    let message = server.ask(&ask("www.example.org", "A").subnet(NEW_YORK));
    assert_eq!(lines(&message.answers), ["www.example.org. 30 A 192.0.2.10"]);
}
