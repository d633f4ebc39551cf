//! RFC 8906: a server that does not answer is worse than one that refuses.

use meridian::server::Transport;

use crate::server;
use crate::support::{ask, shape};

/// Section 3.1.1 and 3.1.2: unknown types exist as much as known ones.
#[test]
fn unknown_types_are_nodata() {
    assert_eq!(shape(&server().ask(&ask("www.example.org", "TYPE1000"))), "NOERROR aa 0/1/0");
}

/// Section 3.1.4: unknown opcodes are NOTIMP, not silence.
#[test]
fn every_opcode_gets_an_answer() {
    for opcode in 1..16u8 {
        let mut packet = ask("www.example.org", "A").packet();
        packet[2] = opcode << 3;
        let answer =
            server().answer(&packet, "192.0.2.1".parse().expect("address"), Transport::Udp);
        assert_eq!(answer[3] & 0x0f, 4, "opcode {opcode}");
        assert_eq!(answer[2] & 0x78, opcode << 3, "opcode {opcode}");
    }
}

/// Section 3.1.3: flags that mean nothing here change nothing and are not copied.
#[test]
fn reserved_flags_are_not_copied() {
    let mut packet = ask("www.example.org", "A").packet();
    packet[3] = 0x70;
    let answer = server().answer(&packet, "192.0.2.1".parse().expect("address"), Transport::Udp);
    assert_eq!(answer[3], 0);
}

#[test]
fn other_classes_are_refused() {
    let mut packet = ask("www.example.org", "A").packet();
    let last = packet.len() - 1;
    packet[last] = 3;
    let answer = server().answer(&packet, "192.0.2.1".parse().expect("address"), Transport::Udp);
    assert_eq!(answer[3] & 0x0f, 5);
}
