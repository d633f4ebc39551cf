//! RFC 6891: EDNS.

use crate::server;
use crate::support::ask;

#[test]
fn edns_is_answered_with_edns_and_nothing_without() {
    let message = server().ask(&ask("www.example.org", "A").edns(4096, &[]));
    let edns = message.edns.expect("OPT");
    assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
    assert!(server().ask(&ask("www.example.org", "A")).edns.is_none());
}

/// Section 6.2.3: the size the client tells, up to our own.
#[test]
fn the_clients_size_decides_over_truncation() {
    let size =
        |size| server().ask(&ask("big.example.org", "TXT").edns(size, &[])).metadata.truncation;
    assert!(size(512));
    assert!(size(100), "below 512 means 512");
    assert!(!size(1232));
    assert!(!size(4096));
}

/// Section 6.1.3: a version that is not served is BADVERS, with the one that is.
#[test]
fn a_later_version_is_badvers() {
    let mut packet = ask("www.example.org", "A").edns(1232, &[]).packet();
    let version_at = packet.len() - 5;
    packet[version_at] = 1;
    let client = "192.0.2.1".parse().expect("address");
    let answer = server().answer(&packet, client, meridian::server::Transport::Udp);
    let opt = &answer[answer.len() - 11..];
    assert_eq!(answer[3] & 0x0f, 0, "the lower four bits of 16");
    assert_eq!((opt[5], opt[6]), (1, 0), "the upper eight bits of 16, and version 0");
}

/// Section 6.1.2: "Any OPTION-CODE values not understood … MUST be ignored".
#[test]
fn unknown_options_are_ignored() {
    let message = server().ask(&ask("www.example.org", "A").edns(1232, &[0xfd, 0xe9, 0, 2, 1, 2]));
    assert_eq!(message.answers.len(), 1);
}

/// Section 6.1.1: more than one OPT is a format error.
#[test]
fn two_opts_are_a_format_error() {
    let mut packet = ask("www.example.org", "A").edns(1232, &[]).packet();
    packet.extend_from_slice(&[0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
    packet[11] = 2;
    let client = "192.0.2.1".parse().expect("address");
    let answer = server().answer(&packet, client, meridian::server::Transport::Udp);
    assert_eq!(answer[3] & 0x0f, 1);
}
