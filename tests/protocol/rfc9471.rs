//! RFC 9471: glue that is needed is given or TC is set; other glue is left out, a set at a time.

use std::collections::BTreeMap;
use std::fmt::Write;

use hickory_proto::op::Message;

use crate::support::{Server, ask, lines};

/// Name servers of `below` that stand below the cut, of `beside` below another cut, of `away` in no
/// zone of ours; two addresses of each family for each.
const SERVERS: usize = 8;

fn server() -> Server {
    let mut zone = String::from(
        "$ORIGIN example.org.\n$TTL 1h\n@ SOA ns hostmaster 7 2h 30m 14d 5m\n@ NS ns\nns A 192.0.2.1\n\
         mixed NS ns0.below\n",
    );
    for number in 0..SERVERS {
        let name = format!("ns{number}.below");
        writeln!(zone, "below NS {name}\nbeside NS {name}\naway NS ns{number}.example.net.")
            .expect("written");
        for host in [2 * number, 2 * number + 1] {
            writeln!(zone, "{name} A 192.0.2.{host}\n{name} AAAA 2001:db8::{host}")
                .expect("written");
        }
    }
    Server::new(&[("zones/example.org.zone", &zone)])
}

fn referral(server: &mut Server, name: &str, size: u16) -> Message {
    server.ask(&ask(name, "A").edns(size, &[]))
}

/// Sets in the additional section, by owner and type, with how many records each has.
fn sets(message: &Message) -> BTreeMap<String, usize> {
    let mut sets = BTreeMap::new();
    for line in lines(&message.additionals) {
        let mut words = line.split(' ');
        let (owner, rtype) = (words.next().expect("an owner"), words.nth(1).expect("a type"));
        *sets.entry(format!("{owner} {rtype}")).or_default() += 1;
    }
    sets
}

/// Section 3.1: "MUST set the TC flag" when glue for name servers below the cut does not fit.
#[test]
fn glue_below_the_cut_is_all_there_or_the_answer_is_truncated() {
    let mut server = server();
    let mut seen = [0; 2];
    for size in 512..=1232 {
        let message = referral(&mut server, "x.below.example.org", size);
        seen[usize::from(message.metadata.truncation)] += 1;
        match message.metadata.truncation {
            true => assert!(message.authorities.is_empty() && message.additionals.is_empty()),
            false => {
                assert_eq!(message.authorities.len(), SERVERS, "{size}");
                assert_eq!(message.additionals.len(), 4 * SERVERS, "{size}");
            }
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}: both should be met on the way");
    let over_tcp = server.ask(&ask("x.below.example.org", "A").over_tcp());
    assert_eq!((over_tcp.additionals.len(), over_tcp.metadata.truncation), (4 * SERVERS, false));
}

/// Section 3.2: glue of a sibling is given as far as there is room, without TC; RFC 2181
/// section 9: no set in part.
#[test]
fn glue_beside_the_cut_is_left_out_set_by_set_without_tc() {
    let mut server = server();
    let mut counts = Vec::new();
    for size in 512..=1232 {
        let message = referral(&mut server, "x.beside.example.org", size);
        assert!(!message.metadata.truncation, "{size}");
        assert_eq!(message.authorities.len(), SERVERS, "{size}");
        let sets = sets(&message);
        assert!(sets.values().all(|&records| records == 2), "{size}: {sets:?}");
        counts.push(sets.len());
    }
    assert!(counts.is_sorted(), "more room gives no less glue");
    assert!(counts[0] > 0 && counts[0] < 2 * SERVERS, "{}", counts[0]);
    assert_eq!(counts.last(), Some(&(2 * SERVERS)));
}

#[test]
fn servers_in_no_zone_of_ours_have_no_glue() {
    let message = referral(&mut server(), "x.away.example.org", 1232);
    assert_eq!((message.authorities.len(), message.additionals.len()), (SERVERS, 0));
}
