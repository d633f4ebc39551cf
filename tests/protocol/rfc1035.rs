//! RFC 1035: messages.

use meridian::server::Transport;

use crate::server;
use crate::support::ask;

/// Section 4.1.1 and the practice since: the question comes back as it was asked, case kept.
#[test]
fn the_question_is_echoed_in_the_case_it_was_asked() {
    let ask = ask("wWw.ExAmPlE.oRg", "A");
    let packet = ask.packet();
    let answer = server().answer(&packet, "192.0.2.1".parse().expect("address"), Transport::Udp);
    assert_eq!(answer[12..packet.len()], packet[12..]);
    let message = server().ask(&ask);
    assert_eq!(message.answers[0].name.to_string(), "wWw.ExAmPlE.oRg.");
}

/// Section 4.1.1: "RD may be set in a query and is copied into the response"; RA is ours: off.
#[test]
fn id_and_rd_come_back_and_ra_stays_off() {
    let mut packet = ask("www.example.org", "A").packet();
    let client = "192.0.2.1".parse().expect("address");
    let answer = server().answer(&packet, client, Transport::Udp);
    assert_eq!(answer[..4], [0x12, 0x34, 0x85, 0x00]);
    packet[2] = 0;
    let answer = server().answer(&packet, client, Transport::Udp);
    assert_eq!(answer[2..4], [0x84, 0x00]);
}

#[test]
fn what_is_no_query_gets_the_code_that_says_so() {
    let client = "192.0.2.1".parse().expect("address");
    let good = ask("www.example.org", "A").packet();
    let change = |at: usize, octet: u8| {
        let mut packet = good.clone();
        packet[at] = octet;
        packet
    };
    let cases = [
        (change(2, 0x28), Some(4)),
        (change(5, 0), Some(1)),
        (change(5, 2), Some(1)),
        (change(12, 200), Some(1)),
        (good[..20].to_vec(), Some(1)),
        ([&good[..], &[0]].concat(), Some(1)),
        (change(2, 0x81), None),
        (good[..11].to_vec(), None),
        (Vec::new(), None),
    ];
    for (packet, rcode) in cases {
        let answer = server().answer(&packet, client, Transport::Udp);
        assert_eq!(answer.get(3).map(|flags| flags & 0x0f), rcode, "{packet:02x?}");
    }
}

/// Section 4.2.1: 512 octets without EDNS; TC says that there is more.
#[test]
fn an_answer_past_512_octets_is_truncated_over_udp_and_whole_over_tcp() {
    let message = server().ask(&ask("big.example.org", "TXT"));
    assert!(message.metadata.truncation);
    assert!(message.answers.is_empty());
    let message = server().ask(&ask("big.example.org", "TXT").over_tcp());
    assert!(!message.metadata.truncation);
    assert_eq!(message.answers.len(), 8);
}
