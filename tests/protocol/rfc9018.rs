//! RFC 9018: server cookies that all servers with one secret understand.

use std::time::Duration;

use crate::ZONE;
use crate::support::{Server, ask, cookie};

/// Appendix A.
const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

/// A server that shares these secrets, at this time of day.
fn server(secrets: &str, seconds: u64) -> Server {
    let mut server = Server::new(&[
        ("meridian.toml", "[cookies]\nsecret_file = \"cookie.secret\"\n"),
        ("cookie.secret", secrets),
        ("zones/example.org.zone", ZONE),
    ]);
    server.now = Duration::from_secs(seconds);
    server
}

/// What comes back for the cookie `sent` by `client`.
fn renewed(server: &mut Server, client: &str, sent: &str) -> String {
    let octets: Vec<u8> = (0..sent.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&sent[at..at + 2], 16).expect("hexadecimal"))
        .collect();
    let message = server.ask(&ask("www.example.org", "A").from(client).cookie(&octets));
    cookie(&message).expect("a cookie").iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn appendix_a_1_learning_a_new_server_cookie() {
    let mut server = server(SECRET, 1_559_731_985);
    assert_eq!(
        renewed(&mut server, "198.51.100.100", "2464c4abcf10c957"),
        "2464c4abcf10c957010000005cf79f111f8130c3eee29480"
    );
}

#[test]
fn appendix_a_2_the_same_client_learning_a_renewed_cookie() {
    let sent = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    let mut server = server(SECRET, 1_559_734_385);
    assert_eq!(
        renewed(&mut server, "198.51.100.100", sent),
        "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"
    );
    assert_eq!(server.stats.sum(meridian::server::stats::Counter::CookieValid), 1);
}

/// The reserved octets count as they came.
#[test]
fn appendix_a_3_another_client_learning_a_renewed_cookie() {
    let sent = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
    let mut server = server(SECRET, 1_559_734_700);
    assert_eq!(
        renewed(&mut server, "203.0.113.203", sent),
        "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"
    );
    // Its cookie is an hour and more old: only the new one says that the secret is right.
    assert_eq!(server.stats.sum(meridian::server::stats::Counter::CookieBad), 1);
    let sent_in_time = renewed(&mut self::server(SECRET, 1_559_728_000), "203.0.113.203", sent);
    assert_eq!(sent_in_time, sent);
}

#[test]
fn appendix_a_4_an_ipv6_client_and_a_secret_that_was_changed() {
    let (old, new) = ("dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962");
    let client = "2001:db8:220:1:59de:d0f4:8769:82b8";
    let sent = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
    let mut server = server(&format!("{new}\n{old}\n"), 1_559_741_961);
    let fresh = "22681ab97d52c298010000005cf7c609a6bb79d16625507a";
    assert_eq!(renewed(&mut server, client, sent), fresh);
    assert_eq!(renewed(&mut server, client, fresh), fresh);
    assert_eq!(server.stats.sum(meridian::server::stats::Counter::CookieValid), 2);
}

/// Section 4.3: an hour back, five minutes ahead, and a new one after half an hour.
#[test]
fn the_window_of_time() {
    const MADE: i64 = 1_800_000_000;
    let client = "192.0.2.1";
    let made = renewed(&mut server(SECRET, MADE as u64), client, "0011223344556677");
    for (age, is_valid, is_kept) in [
        (-301, false, false),
        (-300, true, true),
        (0, true, true),
        (1799, true, true),
        (1801, true, false),
        (3600, true, false),
        (3601, false, false),
    ] {
        let mut server = server(SECRET, (MADE + age) as u64);
        assert_eq!(renewed(&mut server, client, &made) == made, is_kept, "{age} s");
        let valid = server.stats.sum(meridian::server::stats::Counter::CookieValid);
        assert_eq!(valid == 1, is_valid, "{age} s");
    }
}

/// Section 4.3 compares timestamps as serial numbers.
#[test]
fn the_timestamp_may_wrap() {
    let wrap = 1u64 << 32;
    let made = renewed(&mut server(SECRET, wrap - 10), "192.0.2.1", "0011223344556677");
    assert_eq!(renewed(&mut server(SECRET, wrap + 10), "192.0.2.1", &made), made);
}

/// Section 5: the three steps of a change of secret, while other servers are a step ahead or
/// behind.
#[test]
fn a_secret_is_changed_without_a_bad_cookie() {
    let (old, new) = (SECRET, "445536bcd2513298075a5d379663c962");
    let steps = [old.to_owned(), format!("{old}\n{new}"), format!("{new}\n{old}"), new.to_owned()];
    for pair in steps.windows(2) {
        for (maker, checker) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let made = renewed(&mut server(maker, 1_800_000_000), "192.0.2.1", "0011223344556677");
            let mut checker = server(checker, 1_800_000_060);
            renewed(&mut checker, "192.0.2.1", &made);
            assert_eq!(checker.stats.sum(meridian::server::stats::Counter::CookieValid), 1);
        }
    }
}

/// Section 3: servers behind one anycast address share a secret, so a client may be carried from
/// one to another; strangers do not know each other's cookies.
#[test]
fn servers_of_an_anycast_address_take_each_others_cookies() {
    const NOW: u64 = 1_800_000_000;
    let other = "445536bcd2513298075a5d379663c962";
    for client in ["192.0.2.1", "2001:db8::1"] {
        let made = renewed(&mut server(SECRET, NOW), client, "0011223344556677");
        for (secret, valid) in [(SECRET, 1), (other, 0)] {
            let mut second = server(secret, NOW + 1);
            assert_eq!(renewed(&mut second, client, &made) == made, valid == 1);
            assert_eq!(second.stats.sum(meridian::server::stats::Counter::CookieValid), valid);
        }
    }
}
