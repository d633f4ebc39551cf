//! RFC 2181 section 9: TC says that something required is missing, and no set of records is ever cut.

use hickory_proto::op::Message;

use crate::server;
use crate::support::{Ask, ask, lines};

/// Every kind of answer, by name and type.
const KINDS: [(&str, &str); 14] = [
    ("www.example.org", "A"),
    ("www.example.org", "MX"),
    ("nowhere.example.org", "A"),
    ("alias.example.org", "A"),
    ("chain.example.org", "A"),
    ("lost.example.org", "A"),
    ("loop-a.example.org", "A"),
    ("x.child.example.org", "A"),
    ("x.sibling.example.org", "A"),
    ("a.old.example.org", "A"),
    ("big.example.org", "TXT"),
    ("big.example.org", "ANY"),
    ("example.org", "NS"),
    ("www.example.net", "A"),
];

/// What stands in the three sections.
fn sections(message: &Message) -> [Vec<String>; 3] {
    [&message.answers, &message.authorities, &message.additionals].map(|records| lines(records))
}

/// What options may have to share the room with: nothing, a cookie and a subnet, and much that is
/// unknown.
fn with_options(query: Ask, size: u16) -> [Ask; 3] {
    let both = [&[0, 10, 0, 8][..], b"client!!", &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]].concat();
    [&[][..], &both, &[0, 100, 0, 0].repeat(40)].map(|options| query.clone().edns(size, options))
}

/// For every size a client may tell: the whole answer, or TC and none of it; and never an octet
/// more than was agreed.
#[test]
fn an_answer_is_whole_or_truncated_at_every_size() {
    let mut server = server();
    for (name, qtype) in KINDS {
        let whole = sections(&server.ask(&ask(name, qtype).edns(4096, &[]).over_tcp()));
        let mut truncated = 0;
        for size in 500..=1300 {
            for query in with_options(ask(name, qtype), size) {
                let octets = server.answer(&query.packet(), query.client(), query.transport());
                let agreed = usize::from(size.clamp(512, 1232));
                assert!(octets.len() <= agreed, "{name} {qtype} {size}: {}", octets.len());
                let message = Message::from_vec(&octets).expect("well-formed");
                assert!(message.edns.is_some(), "{name} {qtype} {size}");
                if message.metadata.truncation {
                    truncated += 1;
                    assert_eq!(sections(&message), [const { Vec::<String>::new() }; 3]);
                } else {
                    assert_eq!(sections(&message), whole, "{name} {qtype} {size}");
                }
            }
        }
        assert_eq!(truncated > 0, name == "big.example.org", "{name} {qtype}: {truncated}");
    }
}

/// Without EDNS the size is 512 (RFC 1035 section 4.2.1).
#[test]
fn without_edns_512_octets_are_agreed() {
    let mut server = server();
    for (name, qtype) in KINDS {
        let query = ask(name, qtype);
        let octets = server.answer(&query.packet(), query.client(), query.transport());
        assert!(octets.len() <= 512, "{name} {qtype}");
        let message = Message::from_vec(&octets).expect("well-formed");
        assert_eq!(message.metadata.truncation, name == "big.example.org", "{name} {qtype}");
    }
}
