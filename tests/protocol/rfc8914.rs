//! RFC 8914: extended errors.

use hickory_proto::op::Message;
use meridian::health::table::Verdict;

use crate::support::{Ask, Server, ask, code, option, shape};

const REGIONS: &str =
    "[region.fra]\nlocation = [50.11, 8.68]\n[region.iad]\nlocation = [38.95, -77.45]\n";
const POLICY: &str = r#"
[pool.fra]
region  = "fra"
members = ["198.51.100.1"]
[pool.iad]
region  = "iad"
members = ["203.0.113.1"]
[record."www"]
policy = "failover"
pools  = ["fra", "iad"]
[record."bank"]
[[record."bank".rule]]
match  = { cidr = "127.0.0.0/8" }
pools  = ["fra"]
fence  = true
last_resort = "servfail"
[[record."bank".rule]]
match  = { cidr = "192.0.2.0/24" }
pools  = ["fra"]
fence  = true
last_resort = "nodata"
[record."calm"]
policy = "weighted"
pools  = { fra = 1, iad = 1 }
panic  = "60%"
"#;
const ZONE: &str = "
@ 60 SOA ns1 host 1 1h 1h 1h 60
@ 60 NS ns1
ns1 60 A 192.0.2.3
www 60 A 192.0.2.4
bank 60 A 192.0.2.4
calm 60 A 192.0.2.4
";

fn server(settings: &str) -> Server {
    Server::new(&[
        ("meridian.toml", settings),
        ("geo/regions.toml", REGIONS),
        ("zones/example.org.toml", POLICY),
        ("zones/example.org.zone", ZONE),
    ])
}

fn query(name: &str) -> Ask {
    ask(name, "A").edns(1232, &[]).from("127.0.0.1")
}

/// INFO-CODE and EXTRA-TEXT of the first extended error; "-" without one.
fn why(message: &Message) -> String {
    match option(message, 15) {
        None => "-".to_owned(),
        Some(value) => {
            let (code, text) = value.split_first_chunk::<2>().expect("a code");
            let text = std::str::from_utf8(text).expect("section 2: UTF-8");
            assert!(!text.ends_with('\0'), "section 2: not null terminated");
            format!("{} {text}", u16::from_be_bytes(*code))
        }
    }
}

/// Section 4.21: "a domain for which it is not authoritative SHOULD include this EDE code".
#[test]
fn a_name_of_nobody_here_is_not_authoritative() {
    let message = server("").ask(&query("www.example.com").from("192.0.2.53"));
    assert_eq!((code(&message), &*why(&message)), ("REFUSED", "20 "));
}

/// Section 4.22: "The requested operation or query is not supported."
#[test]
fn transfers_and_meta_types_are_not_supported() {
    for qtype in ["AXFR", "IXFR"] {
        let message = server("").ask(&ask("example.org", qtype).edns(1232, &[]).over_tcp());
        assert_eq!((code(&message), &*why(&message)), ("REFUSED", "21 "), "{qtype}");
    }
}

/// Section 2: only in answers to queries with OPT.
#[test]
fn without_edns_nothing_is_told() {
    assert!(server("").ask(&ask("www.example.com", "A")).edns.is_none());
}

#[test]
fn an_answer_as_wanted_says_nothing() {
    let mut server = server("");
    for name in ["www", "bank", "calm", "ns1", "nowhere"] {
        assert_eq!(why(&server.ask(&query(&format!("{name}.example.org")))), "-", "{name}");
    }
}

#[test]
fn malformed_options_are_told_by_name() {
    let bad = ask("www.example.org", "A").edns(1232, &[0, 8, 0, 4, 0, 9, 1, 0]);
    let message = server("").ask(&bad);
    assert_eq!(code(&message), "FORMERR");
    assert_eq!(why(&message), "0 malformed client subnet (RFC 7871)");
    let message = server("").ask(&ask("www.example.org", "A").cookie(b"short"));
    assert_eq!(why(&message), "0 malformed cookie (RFC 7873)");
}

#[test]
fn what_health_has_done_is_told_in_words() {
    let mut server = server("");
    let ask = |server: &mut Server, name: &str| {
        let message = server.ask(&query(&format!("{name}.example.org")));
        (shape(&message), why(&message))
    };
    let told = |shape: &str, why: &str| (shape.to_owned(), why.to_owned());
    server.region("fra", Verdict::Down);
    let one = "NOERROR aa 1/0/0";
    assert_eq!(ask(&mut server, "www"), told(one, "0 the first choice is down; the next answers"));
    assert_eq!(
        ask(&mut server, "bank"),
        told("SERVFAIL aa 0/0/0", "0 fenced, and all pools inside are down; no answer is left")
    );
    assert_eq!(ask(&mut server, "calm"), told(one, "0 too few pools serve; health is ignored"));
    server.region("fra", Verdict::Draining);
    let drained = "0 the first choice is drained; the next answers";
    assert_eq!(ask(&mut server, "www"), told(one, drained));
    let drained = "0 fenced, and all pools inside are drained; no answer is left";
    assert_eq!(ask(&mut server, "bank").1, drained);
    server.region("fra", Verdict::ForcedDown);
    let held = "0 the first choice is held down by an operator; the next answers";
    assert_eq!(ask(&mut server, "www"), told(one, held));
    server.region("iad", Verdict::Down);
    assert_eq!(ask(&mut server, "www"), told(one, "0 all pools are down; health is ignored"));
}

/// What the text says of the inside is for those inside: loopback, unless more are named.
#[test]
fn who_is_told_is_the_operators_choice() {
    let told = |settings: &str, name: &str, client: &str| {
        let mut server = server(settings);
        server.region("fra", Verdict::Down);
        why(&server.ask(&query(name).from(client))) != "-"
    };
    let (steered, refused) = ("www.example.org", "www.example.com");
    assert!(told("", steered, "127.0.0.1") && told("", steered, "::1"));
    assert!(!told("", steered, "192.0.2.53"));
    assert!(told("", refused, "192.0.2.53"));
    let to_all = "[edns.extended_errors]\nsteering = \"all\"\n";
    assert!(told(to_all, steered, "192.0.2.53"));
    let to_some = "[edns.extended_errors]\nsteering = [\"192.0.2.0/25\", \"2001:db8::/32\"]\n";
    assert!(told(to_some, steered, "192.0.2.53") && told(to_some, steered, "2001:db8::1"));
    assert!(!told(to_some, steered, "192.0.2.153") && !told(to_some, steered, "127.0.0.1"));
    let off = "[edns.extended_errors]\nsteering = \"none\"\nrefusals = \"none\"\n";
    assert!(!told(off, steered, "127.0.0.1") && !told(off, refused, "127.0.0.1"));
}
