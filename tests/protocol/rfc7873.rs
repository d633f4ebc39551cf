//! RFC 7873: DNS cookies.

use std::time::Duration;

use meridian::server::Transport;
use meridian::server::stats::Counter;

use crate::ZONE;
use crate::support::{Ask, Server, ask, code, cookie, shape};

const CLIENT: &[u8] = b"client!!";

fn www() -> Ask {
    ask("www.example.org", "A")
}

/// A server with this `[cookies]` section, an hour and more after its clock's zero.
fn server(section: &str) -> Server {
    let settings = format!("[cookies]\n{section}");
    let mut server = Server::new(&[("meridian.toml", &settings), ("zones/example.org.zone", ZONE)]);
    server.now = Duration::from_secs(100_000);
    server
}

/// The cookie a client has after its first query.
fn learned(server: &mut Server) -> Vec<u8> {
    cookie(&server.ask(&www().cookie(CLIENT))).expect("a cookie")
}

fn counts(server: &Server) -> [u64; 3] {
    [Counter::CookieNew, Counter::CookieBad, Counter::CookieValid]
        .map(|counter| server.stats.sum(counter))
}

/// Section 5.2.3: the answer carries a server cookie for next time.
#[test]
fn a_client_cookie_is_answered_with_both() {
    let mut server = server("");
    let message = server.ask(&www().cookie(CLIENT));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
    let both = cookie(&message).expect("a cookie");
    assert_eq!((both.len(), &both[..8]), (24, CLIENT));
    assert_eq!(counts(&server), [1, 0, 0]);
}

/// Section 5.2.5: a correct server cookie comes back as it was.
#[test]
fn a_cookie_that_is_shown_is_good() {
    let mut server = server("");
    let both = learned(&mut server);
    let message = server.ask(&www().cookie(&both));
    assert_eq!(shape(&message), "NOERROR aa 1/0/0");
    assert_eq!(cookie(&message), Some(both));
    assert_eq!(counts(&server), [1, 0, 1]);
}

/// Section 5.2.4: as if there were no server cookie.
#[test]
fn a_bad_server_cookie_is_answered_with_a_good_one() {
    let mut server = server("");
    let good = learned(&mut server);
    for wrong in [
        [CLIENT, &[7; 16]].concat(),
        [CLIENT, &[7; 8]].concat(),
        [CLIENT, &[7; 32]].concat(),
        [b"another!", &good[8..]].concat(),
    ] {
        let message = server.ask(&www().cookie(&wrong));
        assert_eq!(shape(&message), "NOERROR aa 1/0/0");
        let fresh = cookie(&message).expect("a cookie");
        assert_eq!(fresh[..8], wrong[..8]);
        assert_eq!(cookie(&server.ask(&www().cookie(&fresh))), Some(fresh));
    }
    assert_eq!(counts(&server), [1, 4, 4]);
}

/// Section 4: a server cookie is for one client address.
#[test]
fn a_cookie_from_another_address_is_bad() {
    let mut server = server("");
    let both = learned(&mut server);
    for other in ["192.0.2.54", "2001:db8::53"] {
        let answer = server.ask(&www().cookie(&both).from(other));
        assert_ne!(cookie(&answer), Some(both.clone()), "{other}");
    }
    assert_eq!(counts(&server), [1, 2, 0]);
}

/// Section 5.2.2: "too short, or too long" is a format error.
#[test]
fn other_lengths_are_format_errors() {
    let mut server = server("");
    for length in 0..=60 {
        let message = server.ask(&www().cookie(&vec![1; length]));
        let is_right = length == 8 || (16..=40).contains(&length);
        assert_eq!(code(&message) == "NOERROR", is_right, "{length}");
        assert_eq!(code(&message) == "FORMERR", !is_right, "{length}");
        assert_eq!(cookie(&message).is_some(), is_right, "{length}");
    }
    assert_eq!(server.stats.sum(Counter::MalformedCookie), 61 - 26);
}

/// Section 5.2: several COOKIE options: "all but the first one … are ignored".
#[test]
fn of_several_options_the_first_counts() {
    let options = [&[0, 10, 0, 8], CLIENT, &[0, 10, 0, 8], b"ignored!", &[0, 10, 0, 3, 1, 2, 3]];
    let message = server("").ask(&www().edns(1232, &options.concat()));
    assert_eq!(cookie(&message).expect("a cookie")[..8], *CLIENT);
}

/// Section 5.2.1: no option, no cookie.
#[test]
fn nobody_gets_a_cookie_who_sends_none() {
    let mut server = server("");
    assert_eq!(cookie(&server.ask(&www().edns(1232, &[]))), None);
    assert_eq!(cookie(&server.ask(&www())), None);
    assert_eq!(counts(&server), [0, 0, 0]);
}

#[test]
fn a_cookie_and_a_subnet_fit_side_by_side() {
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    for options in
        [[&subnet[..], &[0, 10, 0, 8], CLIENT].concat(), [&[0, 10, 0, 8], CLIENT, &subnet].concat()]
    {
        let message = server("").ask(&www().edns(512, &options));
        assert_eq!(crate::support::scope(&message), Some(0));
        assert!(cookie(&message).is_some());
    }
}

/// The option's room is kept free, whatever else there is to say.
#[test]
fn a_truncated_answer_has_its_cookie() {
    let message = server("")
        .ask(&ask("big.example.org", "TXT").edns(512, &[&[0, 10, 0, 8], CLIENT].concat()));
    assert!(message.metadata.truncation);
    assert!(cookie(&message).is_some());
}

/// Section 5.4: a query without a question, for the cookie alone.
#[test]
fn a_cookie_can_be_asked_for_alone() {
    let mut server = server("");
    let alone = |value: &[u8]| {
        let length = value.len() as u8;
        let head = [0xab, 0xcd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let opt = [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, length + 4, 0, 10, 0, length];
        [&head[..], &opt, value].concat()
    };
    let client = "192.0.2.53".parse().expect("an address");
    let mut answer = |value: &[u8]| server.answer(&alone(value), client, Transport::Udp);
    let first = answer(CLIENT);
    assert_eq!(first[..12], [0xab, 0xcd, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let both = &first[first.len() - 24..];
    assert_eq!(both[..8], *CLIENT);
    assert_eq!(answer(both), first, "\"the RCODE NOERROR if it was valid\"");
    let bad = answer(&[CLIENT, &[9; 16]].concat());
    assert_eq!((bad[3] & 15, bad[17]), (7, 1), "BADCOOKIE");
    assert_eq!(bad[bad.len() - 24..], *both);
    let short = answer(&[1; 9]);
    assert_eq!((short.len(), short[3]), (12, 1), "FORMERR");
}

/// Section 5.2.3: a server may insist.
#[test]
fn where_cookies_are_required_clients_that_know_them_must_show_one() {
    let mut server = server("require = true");
    for query in [www().cookie(CLIENT), www().cookie(&[CLIENT, &[7; 16]].concat())] {
        let message = server.ask(&query);
        assert_eq!(shape(&message), "BADCOOKIE -- 0/0/0");
        let both = cookie(&message).expect("a cookie");
        assert_eq!(shape(&server.ask(&www().cookie(&both))), "NOERROR aa 1/0/0");
    }
    assert_eq!(server.stats.sum(Counter::Badcookie), 2);
    assert_eq!(shape(&server.ask(&www())), "NOERROR aa 1/0/0", "it does not know cookies");
    let over_tcp = server.ask(&www().cookie(CLIENT).over_tcp());
    assert_eq!(shape(&over_tcp), "NOERROR aa 1/0/0", "its address is its own");
    assert!(cookie(&over_tcp).is_some());
}

#[test]
fn a_server_told_to_ignore_cookies_does() {
    let mut server = server("enabled = false");
    let message = server.ask(&www().cookie(CLIENT));
    assert_eq!((shape(&message).as_str(), cookie(&message)), ("NOERROR aa 1/0/0", None));
    assert_eq!(counts(&server), [0, 0, 0]);
}
