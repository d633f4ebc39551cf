//! ISC-TN-2012-1: response rate limiting, as far as an answer shows it. That the rate holds is
//! tested where it is counted, in `limit::buckets`.

use std::time::Duration;

use meridian::server::Transport;
use meridian::server::stats::Counter;

use crate::ZONE;
use crate::support::{Ask, Server, ask, code, cookie, shape};

/// A server with room for ten answers of a kind at once, and `more` settings.
fn server(more: &str) -> Server {
    let settings =
        format!("workers = 1\n[rate_limit]\nresponses_per_second = 10\nwindow = \"1s\"\n{more}");
    let mut server = Server::new(&[("meridian.toml", &settings), ("zones/example.org.zone", ZONE)]);
    server.now = Duration::from_secs(100);
    server
}

fn www() -> Ask {
    ask("www.example.org", "A")
}

/// Asks `count` times; what came back in full, short, and not at all.
fn flood(server: &mut Server, count: usize, query: &Ask) -> [usize; 3] {
    let mut counts = [0; 3];
    for _ in 0..count {
        let octets = server.answer(&query.packet(), query.client(), query.transport());
        let is_short = octets.get(2).is_some_and(|flags| flags & 2 != 0);
        counts[if octets.is_empty() { 2 } else { usize::from(is_short) }] += 1;
    }
    counts
}

#[test]
fn past_the_rate_every_second_answer_is_truncated_and_empty() {
    let mut server = server("");
    assert_eq!(flood(&mut server, 10, &www()), [10, 0, 0]);
    assert!(server.answer(&www().packet(), www().client(), Transport::Udp).is_empty());
    let short = server.ask(&www());
    assert!(short.metadata.truncation);
    assert_eq!(shape(&short), "NOERROR aa 0/0/0");
    assert_eq!(flood(&mut server, 100, &www()), [0, 50, 50]);
    let counted = |counter| server.stats.sum(counter);
    assert_eq!((counted(Counter::LimitDropped), counted(Counter::LimitSlipped)), (51, 51));
    assert_eq!(counted(Counter::Noerror), 10 + 51, "only what went out");
}

#[test]
fn the_rate_holds_over_a_minute() {
    let mut server = server("slip = 0\n");
    let mut full = 0;
    for step in 0..6000 {
        server.now = Duration::from_secs(100) + Duration::from_millis(10) * step;
        full += flood(&mut server, 1, &www())[0];
    }
    assert!((600..=611).contains(&full), "{full} answers in 60 seconds at 10, and 10 at once");
}

#[test]
fn without_the_section_there_is_no_limit() {
    let mut server = crate::server();
    assert_eq!(flood(&mut server, 5000, &www()), [5000, 0, 0]);
}

#[test]
fn networks_are_apart_and_so_are_kinds_of_answers() {
    let mut server = server("");
    flood(&mut server, 50, &www());
    assert_eq!(flood(&mut server, 10, &www().from("192.0.3.53")), [10, 0, 0]);
    assert_eq!(flood(&mut server, 10, &www().from("2001:db8::53")), [10, 0, 0]);
    for (name, qtype) in [("nowhere", "A"), ("www", "MX"), ("x.child", "A")] {
        let query = ask(&format!("{name}.example.org"), qtype);
        assert_eq!(flood(&mut server, 10, &query), [10, 0, 0], "{name} {qtype}");
        assert_eq!(flood(&mut server, 10, &query), [0, 5, 5], "{name} {qtype}");
    }
}

/// An error has no short form: a client that came over TCP would get it again.
#[test]
fn errors_are_dropped() {
    let mut server = server("");
    let refused = ask("www.example.com", "A");
    assert_eq!(code(&server.ask(&refused)), "REFUSED");
    assert_eq!(flood(&mut server, 100, &refused), [9, 0, 91]);
}

#[test]
fn tcp_has_no_limit() {
    let mut server = server("");
    flood(&mut server, 50, &www());
    assert_eq!(flood(&mut server, 100, &www().over_tcp()), [100, 0, 0]);
}

#[test]
fn exempt_networks_have_no_limit() {
    let mut server = server("exempt = [\"192.0.2.0/25\", \"2001:db8::/32\"]\n");
    assert_eq!(flood(&mut server, 100, &www()), [100, 0, 0]);
    assert_eq!(server.stats.sum(Counter::LimitExempt), 90);
    assert_eq!(flood(&mut server, 100, &www().from("2001:db8::1")), [100, 0, 0]);
    assert_eq!(flood(&mut server, 100, &www().from("198.51.100.1")), [10, 45, 45]);
}

/// RFC 7873 section 5.2.5: whoever shows a good cookie is no reflection.
#[test]
fn a_valid_cookie_is_exempt() {
    let mut server = server("");
    let both = cookie(&server.ask(&www().cookie(b"client!!"))).expect("a cookie");
    flood(&mut server, 50, &www());
    assert_eq!(flood(&mut server, 100, &www().cookie(&both)), [100, 0, 0]);
    let bad = [b"client!!", &[0; 16][..]].concat();
    assert_eq!(flood(&mut server, 100, &www().cookie(&bad))[2], 50, "a bad one is not");
}

/// RFC 7873 section 5.2.3: a client that knows cookies is told to come again with one, which
/// costs it less than TCP.
#[test]
fn a_client_that_knows_cookies_slips_through_by_badcookie() {
    let mut server = server("slip = 1\n");
    flood(&mut server, 50, &www());
    let message = server.ask(&www().cookie(b"client!!"));
    assert_eq!(shape(&message), "BADCOOKIE -- 0/0/0");
    assert!(!message.metadata.truncation);
    let both = cookie(&message).expect("a cookie");
    assert_eq!(shape(&server.ask(&www().cookie(&both))), "NOERROR aa 1/0/0");
}

#[test]
fn a_dry_run_only_counts() {
    let mut server = server("dry_run = true\n");
    assert_eq!(flood(&mut server, 100, &www()), [100, 0, 0]);
    assert_eq!(server.stats.sum(Counter::LimitDryRun), 90);
}
