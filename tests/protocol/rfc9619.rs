//! RFC 9619: QDCOUNT is one, for queries with opcode 0.

use meridian::server::Transport;

use crate::server;
use crate::support::ask;

const FORMERR: u8 = 1;
const NOTIMP: u8 = 4;

/// What comes back to `packet`: the code, and how much it holds.
fn reply(packet: &[u8]) -> (u8, [u8; 8]) {
    let client = "192.0.2.1".parse().expect("an address");
    let answer = server().answer(packet, client, Transport::Udp);
    let counts = answer[4..12].try_into().expect("four counts");
    assert_eq!(answer[..2], packet[..2], "the id");
    assert_eq!(answer[2] & 0x80, 0x80, "QR");
    (answer[3] & 0x0f, counts)
}

/// Section 4: "A DNS message with OPCODE = 0 MUST NOT include a QDCOUNT parameter whose value is
/// greater than 1 … a DNS message with OPCODE = 0 and QDCOUNT > 1 MUST be treated as an
/// incorrectly formatted message. The value of RCODE … MUST be set to 1 (FORMERR)."
#[test]
fn more_than_one_question_is_formerr() {
    let one = ask("www.example.org", "A").packet();
    let question = &one[12..];
    for count in [2_u16, 3, 256, 65_535] {
        let mut packet = [&one[..], &question.repeat(usize::from(count.min(3)) - 1)].concat();
        packet[4..6].copy_from_slice(&count.to_be_bytes());
        assert_eq!(reply(&packet), (FORMERR, [0; 8]), "{count} questions");
    }
}

/// Section 4 allows QDCOUNT 0 where another document says what it means, as RFC 7873 section 5.4
/// does for a query with a cookie; without one there is nothing to answer.
#[test]
fn no_question_is_formerr() {
    let mut packet = ask("www.example.org", "A").packet();
    packet[5] = 0;
    assert_eq!(reply(&packet), (FORMERR, [0; 8]));
    packet.truncate(12);
    assert_eq!(reply(&packet), (FORMERR, [0; 8]));
}

/// The document speaks of opcode 0 alone. Of others the count means nothing to us.
#[test]
fn other_opcodes_are_notimp_with_any_count() {
    for count in [0, 1, 2] {
        let mut packet = ask("www.example.org", "SOA").packet();
        packet[2] = 4 << 3;
        packet[5] = count;
        assert_eq!(reply(&packet), (NOTIMP, [0; 8]), "{count} questions");
    }
}
