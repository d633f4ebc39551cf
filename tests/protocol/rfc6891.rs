//! RFC 6891: EDNS.

use crate::support::{Server, ask};
use crate::{ZONE, server};

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

/// Section 6.2.5: the size that is told is configurable, and bounds answers to whoever takes more.
#[test]
fn the_size_is_the_operators_choice() {
    for (settings, ours) in
        [("", 1232), ("udp_size = 512", 512), ("udp_size = 700", 700), ("udp_size = 4096", 4096)]
    {
        let settings = format!("[edns]\n{settings}\n");
        let files = [("meridian.toml", &*settings), ("zones/example.org.zone", ZONE)];
        let mut server = Server::new(&files);
        let message = server.ask(&ask("big.example.org", "TXT").edns(65_535, &[]));
        assert_eq!(message.edns.expect("OPT").max_payload(), ours, "{settings}");
        assert_eq!(message.metadata.truncation, ours < 708, "{settings}");
    }
}

/// Section 6.1.4: flags but DO are ours to ignore and to leave clear.
#[test]
fn unknown_flags_are_ignored_and_only_do_comes_back() {
    for bit in 0..16 {
        let mut packet = ask("www.example.org", "A").edns(1232, &[]).packet();
        let at = packet.len() - 4;
        packet[at..at + 2].copy_from_slice(&(1u16 << bit).to_be_bytes());
        let client = "192.0.2.1".parse().expect("address");
        let answer = server().answer(&packet, client, meridian::server::Transport::Udp);
        let flags = &answer[answer.len() - 4..answer.len() - 2];
        assert_eq!((answer[3] & 0x0f, answer[7]), (0, 1), "bit {bit}");
        assert_eq!(flags, if bit == 15 { [0x80, 0] } else { [0, 0] }, "bit {bit}");
    }
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

/// Section 6.1.1: OPT may stand anywhere among the additional records, and belongs to the root.
#[test]
fn opt_is_found_behind_other_records_and_only_at_the_root() {
    let client = "192.0.2.1".parse().expect("address");
    let rcode = |additional: &[&[u8]]| {
        let mut packet = ask("www.example.org", "A").packet();
        packet[11] = additional.len() as u8;
        packet.extend(additional.concat());
        let answer = server().answer(&packet, client, meridian::server::Transport::Udp);
        (answer[3] & 0x0f, answer[11])
    };
    let opt = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0][..];
    let other = &[1, b'x', 0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1][..];
    assert_eq!(rcode(&[other]), (0, 0));
    assert_eq!(rcode(&[other, opt]), (0, 1));
    assert_eq!(rcode(&[opt, other]), (0, 1));
    assert_eq!(rcode(&[&[&[1, b'x'], opt].concat()]).0, 1, "OPT at another name");
}

/// Section 6.1.2: options whose lengths do not add up are a format error, wherever they end.
#[test]
fn options_that_do_not_add_up_are_a_format_error() {
    for options in [&[0][..], &[0, 100], &[0, 100, 0], &[0, 100, 0, 1], &[0, 100, 255, 255, 1]] {
        let message = server().ask(&ask("www.example.org", "A").edns(1232, options));
        assert_eq!(crate::support::code(&message), "FORMERR", "{options:?}");
    }
}
