//! Policy `multivalue`: everything that serves, in any order.

use std::collections::BTreeSet;

use meridian::health::table::Verdict;

use crate::support::{Server, ask, scope};
use crate::{BERLIN, explained, server};

/// The regions of one answer, in order.
fn regions(server: &mut Server) -> Vec<&'static str> {
    let message = server.ask(&ask("www.example.org", "A").subnet(BERLIN));
    message.answers.iter().map(crate::region_of_record).collect()
}

fn multivalue(keys: &str) -> Server {
    server(&format!(
        "[record.\"www\"]\npolicy = \"multivalue\"\npools = [\"fra\", \"dub\", \"iad\", \"sin\"]\n{keys}\n"
    ))
}

#[test]
fn an_answer_holds_every_pool_that_serves_once() {
    let mut server = multivalue("");
    let all = |server: &mut Server| regions(server).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(regions(&mut server).len(), 4);
    assert_eq!(all(&mut server), BTreeSet::from(["fra", "dub", "iad", "sin"]));
    server.region("dub", Verdict::Down);
    assert_eq!(regions(&mut server).len(), 3);
    assert_eq!(all(&mut server), BTreeSet::from(["fra", "iad", "sin"]));
}

#[test]
fn the_order_is_drawn_anew_for_each_query() {
    let mut server = multivalue("");
    let mut firsts = std::collections::HashMap::<_, u32>::new();
    let mut orders = BTreeSet::new();
    for _ in 0..4000 {
        let order = regions(&mut server);
        *firsts.entry(order[0]).or_default() += 1;
        orders.insert(order);
    }
    assert_eq!(orders.len(), 24, "every order of four");
    assert!(firsts.values().all(|count| count.abs_diff(1000) < 150), "{firsts:?}");
}

#[test]
fn answers_says_how_many() {
    let mut server = multivalue("answers = 2");
    let seen: BTreeSet<_> = (0..200).flat_map(|_| regions(&mut server)).collect();
    assert_eq!((regions(&mut server).len(), seen.len()), (2, 4));
}

#[test]
fn it_means_the_same_to_everybody() {
    let mut server = multivalue("");
    assert_eq!(scope(&server.ask(&ask("www.example.org", "A").subnet(BERLIN))), Some(0));
    assert_eq!(explained(&server, BERLIN).policy.as_deref(), Some("multivalue"));
}

#[test]
fn another_rule_of_the_record_answers_with_one() {
    let mut server = server(
        r#"
[record."www"]
[[record."www".rule]]
match  = { country = "DE" }
pools  = ["fra", "dub"]
policy = "failover"
[[record."www".rule]]
match  = "default"
pools  = ["iad", "sin"]
policy = "multivalue"
"#,
    );
    assert_eq!(regions(&mut server), ["fra"]);
    let message = server.ask(&ask("www.example.org", "A").subnet(crate::SYDNEY));
    assert_eq!(message.answers.len(), 2);
}
