//! RFC 7828: TCP keepalive.

use meridian::server::Transport;

use crate::support::{Ask, Server, ask, option};

fn asking() -> Ask {
    ask("www.example.org", "A").edns(1232, &[0, 11, 0, 0])
}

fn server(idle: &str) -> Server {
    let settings = format!("[tcp]\nidle_timeout = \"{idle}\"\n");
    Server::new(&[("meridian.toml", &settings), ("zones/example.org.zone", crate::ZONE)])
}

/// Section 3.1: "TIMEOUT: an idle timeout value … in units of 100 milliseconds".
#[test]
fn over_tcp_the_idle_time_is_told_in_tenths_of_a_second() {
    for (idle, units) in [("10s", 100u16), ("100ms", 1), ("1050ms", 10), ("1h", 36_000)] {
        let message = server(idle).ask(&asking().over_tcp());
        assert_eq!(option(&message, 11), Some(units.to_be_bytes().to_vec()), "{idle}");
    }
}

/// RFC 7858 section 3.4 has clients use it inside TLS as well.
#[test]
fn inside_tls_it_is_told_as_over_tcp() {
    let query = asking();
    let octets = server("10s").answer(&query.packet(), query.client(), Transport::Tls);
    let message = hickory_proto::op::Message::from_vec(&octets).expect("well-formed");
    assert_eq!(option(&message, 11), Some(vec![0, 100]));
}

/// Section 3.2.1: over UDP the server "MUST ignore the option".
#[test]
fn over_udp_it_means_nothing() {
    let message = crate::server().ask(&asking());
    assert_eq!((option(&message, 11), message.answers.len()), (None, 1));
}

#[test]
fn whoever_does_not_ask_is_not_told() {
    let message = crate::server().ask(&ask("www.example.org", "A").edns(1232, &[]).over_tcp());
    assert_eq!(option(&message, 11), None);
}
