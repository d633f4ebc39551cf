//! Policies inside policies.

use std::collections::HashMap;

use meridian::health::table::Verdict;

use crate::support::{Server, ask};
use crate::{BERLIN, NEW_YORK, SYDNEY, region, server};

/// How often each region answers a client.
fn draws(server: &mut Server, client: &str, times: usize) -> HashMap<&'static str, usize> {
    let mut counts = HashMap::new();
    (0..times).for_each(|_| *counts.entry(region(server, client)).or_insert(0) += 1);
    counts
}

const NEAREST_OF_WEIGHTED: &str = r#"
[group.europe]
policy = "weighted"
pools  = { fra = 3, dub = 1 }
[record."www"]
policy = "nearest"
pools  = ["europe", "iad", "sin"]
"#;

#[test]
fn the_nearest_group_is_found_and_then_chooses_by_weight() {
    let mut server = server(NEAREST_OF_WEIGHTED);
    let berlin = draws(&mut server, BERLIN, 4_000);
    assert!((2_850..3_150).contains(&berlin["fra"]), "{berlin:?}");
    assert_eq!(berlin["fra"] + berlin["dub"], 4_000);
    assert_eq!(draws(&mut server, NEW_YORK, 50)["iad"], 50);
    assert_eq!(draws(&mut server, SYDNEY, 50)["sin"], 50);
}

#[test]
fn a_group_serves_while_one_of_its_pools_does() {
    let mut server = server(NEAREST_OF_WEIGHTED);
    server.region("fra", Verdict::Down);
    assert_eq!(draws(&mut server, BERLIN, 50)["dub"], 50);
    server.region("dub", Verdict::Down);
    assert_eq!(draws(&mut server, BERLIN, 50)["iad"], 50);
}

#[test]
fn weights_between_groups_count_groups_and_not_pools() {
    let mut server = server(
        r#"
[group.europe]
policy = "failover"
pools  = ["fra", "dub"]
[group.world]
policy = "nearest"
pools  = ["iad", "sin"]
[record."www"]
policy = "weighted"
pools  = { europe = 1, world = 1 }
"#,
    );
    let berlin = draws(&mut server, BERLIN, 4_000);
    assert!((1_850..2_150).contains(&berlin["fra"]) && (1_850..2_150).contains(&berlin["iad"]));
    let sydney = draws(&mut server, SYDNEY, 4_000);
    assert!((1_850..2_150).contains(&sydney["fra"]) && (1_850..2_150).contains(&sydney["sin"]));
    server.region("fra", Verdict::Down);
    let berlin = draws(&mut server, BERLIN, 4_000);
    assert!((1_850..2_150).contains(&berlin["dub"]), "{berlin:?}");
}

#[test]
fn groups_stand_inside_groups_and_a_record_stands_for_a_group() {
    let mut server = server(
        r#"
[group.coast]
policy = "failover"
pools  = ["iad", "sin"]
[group.outer]
policy = "failover"
pools  = ["coast", "dub"]
[record."api"]
policy = "nearest"
pools  = ["fra", "dub"]
[record."www"]
policy = "failover"
pools  = ["outer", "api"]
"#,
    );
    let order = ["iad", "sin", "dub", "fra"];
    for (down, next) in order.iter().enumerate() {
        assert_eq!(region(&mut server, BERLIN), *next, "{down} are down");
        server.region(next, Verdict::Down);
    }
    // Last resort: all, by the same policies.
    assert_eq!(region(&mut server, BERLIN), "iad");
}

#[test]
fn a_client_network_stays_at_its_group_and_a_lost_group_moves_only_its_own() {
    let mut server = server(
        r#"
[group.europe]
policy = "nearest"
pools  = ["fra", "dub"]
[record."www"]
policy = "hash"
pools  = { europe = 2, iad = 1, sin = 1 }
"#,
    );
    let networks: Vec<String> = (0..256).map(|n| format!("10.1.{n}.0/24")).collect();
    let before: Vec<_> = networks.iter().map(|network| region(&mut server, network)).collect();
    assert!((96..160).contains(&before.iter().filter(|region| **region == "fra").count()));
    server.region("fra", Verdict::Down);
    let inside: Vec<_> = networks.iter().map(|network| region(&mut server, network)).collect();
    server.region("dub", Verdict::Down);
    let outside: Vec<_> = networks.iter().map(|network| region(&mut server, network)).collect();
    for ((before, inside), outside) in before.into_iter().zip(inside).zip(outside) {
        assert_eq!(inside, if before == "fra" { "dub" } else { before });
        assert!(if before == "fra" { outside != "dub" } else { outside == before });
    }
}

#[test]
fn a_fence_and_several_answers_hold_for_groups_too() {
    let mut server = server(
        r#"
[group.europe]
policy = "round-robin"
pools  = ["fra", "dub"]
[record."www"]
answers = 2
[[record."www".rule]]
match  = { continent = ["EU"] }
policy = "failover"
pools  = ["europe"]
fence  = true
[[record."www".rule]]
match  = "default"
policy = "nearest"
pools  = ["europe", "iad"]
"#,
    );
    let berlin = ask("www.example.org", "A").subnet(BERLIN);
    assert_eq!(server.ask(&berlin).answers.len(), 2);
    server.region("fra", Verdict::Down);
    assert_eq!(server.ask(&berlin).answers.len(), 1);
    server.region("dub", Verdict::Down);
    assert_eq!(server.ask(&berlin).answers.len(), 0);
    assert_eq!(region(&mut server, NEW_YORK), "iad");
}
