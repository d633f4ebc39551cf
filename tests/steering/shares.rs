//! Pools that take only a share of the clients, whatever the reason, under every policy.

use std::collections::HashSet;

use meridian::health::table::Verdict;
use meridian::region::{AreaId, Family, PoolId};

use crate::support::{Server, ask};
use crate::{region, region_of, server};

/// The client networks of Berlin that get their answer from `from`.
fn clients_of(server: &mut Server, from: &str) -> HashSet<String> {
    let networks = (0..256).map(|n| format!("10.1.{n}.0/24"));
    networks.filter(|network| region(server, network) == from).collect()
}

/// The scope of the answer to a client of Berlin.
fn scope(server: &mut Server) -> u8 {
    let octets = server.answer(
        &ask("www.example.org", "A").subnet("10.1.7.0/24").packet(),
        "192.0.2.53".parse().expect("an address"),
        meridian::server::Transport::Udp,
    );
    // The last option of the message is the client subnet: family, source, scope, three octets.
    octets[octets.len() - 4]
}

const NEAREST: &str = r#"
[record."www"]
policy = "nearest"
pools  = ["fra", "dub", "iad", "sin"]
"#;

#[test]
fn a_pool_that_takes_half_of_the_clients_leaves_the_others_to_the_next() {
    let mut server = server(NEAREST);
    assert_eq!(clients_of(&mut server, "fra").len(), 256);
    server.keep("fra", 50.0);
    let at_home = clients_of(&mut server, "fra").len();
    assert!((96..160).contains(&at_home), "{at_home}");
    assert_eq!(clients_of(&mut server, "dub").len(), 256 - at_home);
}

#[test]
fn a_share_that_grows_moves_no_client_away() {
    let mut server = server(NEAREST);
    let mut before = HashSet::new();
    for percent in [0.0, 5.0, 10.0, 25.0, 50.0, 99.0, 100.0] {
        server.keep("fra", percent);
        let now = clients_of(&mut server, "fra");
        assert!(before.is_subset(&now), "{percent} %");
        before = now;
    }
    assert_eq!(before.len(), 256);
}

#[test]
fn a_choice_by_network_is_told_to_be_one_and_no_other_is() {
    let mut server = server(NEAREST);
    let wide = scope(&mut server);
    assert!(wide <= 16, "{wide}");
    server.keep("fra", 50.0);
    assert_eq!(scope(&mut server), 24);
    server.keep("fra", 100.0);
    server.keep("dub", 50.0);
    assert_eq!(scope(&mut server), wide);
}

#[test]
fn a_pool_that_takes_nobody_serves_all_the_same_when_nobody_else_does() {
    let mut server = server(NEAREST);
    for region in ["fra", "dub", "iad", "sin"] {
        server.keep(region, 0.0);
    }
    assert_eq!(clients_of(&mut server, "fra").len(), 256);
    server.region("fra", Verdict::Down);
    assert_eq!(clients_of(&mut server, "dub").len(), 256);
    for region in ["dub", "iad", "sin"] {
        server.region(region, Verdict::Down);
    }
    // Of those that are down the nearest, and not the one that was last to serve.
    assert_eq!(clients_of(&mut server, "fra").len(), 256);
}

#[test]
fn clients_that_are_shed_stay_inside_their_fence() {
    let mut server = server(
        r#"
[record."www"]
[[record."www".rule]]
match  = { continent = ["EU"] }
pools  = ["fra", "dub"]
policy = "nearest"
fence  = true
[[record."www".rule]]
match  = "default"
pools  = ["iad", "sin"]
policy = "nearest"
"#,
    );
    server.keep("fra", 30.0);
    server.keep("dub", 0.0);
    let (fra, dub) = (clients_of(&mut server, "fra"), clients_of(&mut server, "dub"));
    assert_eq!(fra.len() + dub.len(), 256);
    // Nobody takes those whom neither keeps: the first that serves does.
    assert_eq!(dub.len(), 0);
}

#[test]
fn under_weights_a_share_is_a_part_of_the_weight() {
    let mut server = server(
        r#"
[record."www"]
policy = "weighted"
pools  = { fra = 2, dub = 1, iad = 1 }
"#,
    );
    server.keep("fra", 50.0);
    let mut counts = std::collections::HashMap::new();
    for _ in 0..30_000 {
        *counts.entry(region(&mut server, "10.1.0.0/24")).or_insert(0) += 1;
    }
    for pool in ["fra", "dub", "iad"] {
        assert!((9_600..10_400).contains(&counts[pool]), "{counts:?}");
    }
    // Chance decides, so the answer holds for everybody.
    assert_eq!(scope(&mut server), 0);
}

#[test]
fn under_hash_those_that_are_shed_move_and_no_others() {
    for policy in ["policy = \"hash\"", "policy = \"weighted\"\nsticky = \"network\""] {
        let mut server =
            server(&format!("[record.\"www\"]\n{policy}\npools = {{ fra = 1, dub = 1, iad = 1 }}"));
        let before = ["fra", "dub", "iad"].map(|region| clients_of(&mut server, region));
        server.keep("fra", 40.0);
        let after = ["fra", "dub", "iad"].map(|region| clients_of(&mut server, region));
        assert!(after[0].is_subset(&before[0]) && after[0].len() < before[0].len() * 6 / 10);
        assert!(before[1].is_subset(&after[1]) && before[2].is_subset(&after[2]));
    }
}

#[test]
fn in_turn_a_pool_is_passed_over_as_often_as_it_does_not_take_clients() {
    let mut server = server(
        r#"
[record."www"]
policy = "round-robin"
pools  = ["fra", "dub"]
"#,
    );
    server.keep("fra", 20.0);
    let fra = (0..5_000).filter(|_| region(&mut server, "10.1.0.0/24") == "fra").count();
    assert!((400..600).contains(&fra), "{fra}");
}

#[test]
fn an_answer_of_several_pools_leaves_out_those_that_do_not_take_the_client() {
    let mut server = server(
        r#"
[record."www"]
policy  = "nearest"
pools   = ["fra", "dub", "iad"]
answers = 2
"#,
    );
    server.keep("fra", 0.0);
    let message = server.ask(&ask("www.example.org", "A").subnet("10.1.0.0/24"));
    assert_eq!(message.answers.len(), 2);
    assert_eq!(region_of(&message), "dub");
}

#[test]
fn a_dial_of_one_record_leaves_others_alone() {
    let mut server = server(
        r#"
[record."www"]
policy   = "nearest"
pools    = ["fra", "dub"]
failback = { after = "5m", ramp = "10m" }
[record."api"]
policy   = "nearest"
pools    = ["fra", "dub"]
"#,
    );
    server.dials("www.example.org.").set_keep(0, 0, 0);
    assert_eq!(clients_of(&mut server, "dub").len(), 256);
    assert_eq!(region_of(&server.ask(&ask("api.example.org", "A").subnet("10.1.0.0/24"))), "fra");
    // What a dial keeps away still serves before what is down.
    server.region("dub", Verdict::Down);
    assert_eq!(clients_of(&mut server, "fra").len(), 256);
}

#[test]
fn an_answer_is_not_kept_beyond_a_change_in_sight() {
    let mut server = server(
        r#"
[record."www"]
policy = "nearest"
pools  = ["fra", "dub"]
ttl    = { min = "5s", max = "5m" }
"#,
    );
    let ttl = |server: &mut Server| {
        server.ask(&ask("www.example.org", "A").subnet("10.1.0.0/24")).answers[0].ttl
    };
    assert_eq!(ttl(&mut server), 300);
    server.sight("dub", 9);
    assert_eq!(ttl(&mut server), 300, "what the next one does is of no matter yet");
    server.sight("fra", 12);
    assert_eq!(ttl(&mut server), 12);
    server.sight("fra", 1);
    assert_eq!(ttl(&mut server), 5);
    server.region("fra", Verdict::Down);
    assert_eq!(ttl(&mut server), 9, "the one that answers now may change");
    server.sight("fra", 7);
    assert_eq!(ttl(&mut server), 7, "the one that is out may come back");
    server.sight("fra", 100_000);
    server.dials("www.example.org.").set_ttl(Some(6));
    assert_eq!(ttl(&mut server), 6);
}

#[test]
fn chance_decides_for_a_resolver_that_brings_a_tenth_of_all_queries() {
    let mut server = server(NEAREST);
    server.keep("fra", 50.0);
    let snapshot = server.snapshot();
    let mut steward = meridian::daemon::steward::Steward::default();
    steward.turn(&snapshot, std::time::Duration::ZERO);
    for second in 0..40 {
        for n in 0..1_000 {
            let network = if n % 10 == 0 { 255 } else { (second * 900 + n) % 254 };
            region(&mut server, &format!("10.1.{network}.0/24"));
        }
        steward.count();
    }
    assert!(steward.heavy() >= 1);
    let fra = (0..1_000).filter(|_| region(&mut server, "10.1.255.0/24") == "fra").count();
    assert!((400..600).contains(&fra), "{fra}");
}

#[test]
fn under_hash_no_pool_takes_much_more_than_its_bound() {
    let mut server = server(
        r#"
[record."www"]
policy    = "hash"
pools     = ["fra", "dub", "iad"]
max_share = 1.1
key       = { ipv4 = 24 }
"#,
    );
    let mut steward = meridian::daemon::steward::Steward::default();
    let mut most = [0.0f64; 2];
    for round in 0..40u64 {
        steward.turn(&server.snapshot(), std::time::Duration::from_secs(round * 10));
        let mut counts = std::collections::HashMap::new();
        for n in 0..256u32 {
            // Networks that ask little, and some that ask much.
            for _ in 0..(1 + 40 / (1 + n % 32)) {
                *counts.entry(region(&mut server, &format!("10.1.{n}.0/24"))).or_insert(0u32) += 1;
            }
        }
        let all: u32 = counts.values().sum();
        let largest = counts.values().max().copied().unwrap_or(0);
        most[usize::from(round > 0)] = f64::from(largest) / f64::from(all);
    }
    let [alone, bound] = most;
    // Networks are not split, and the largest asks 3 % of all.
    let most = 1.1 / 3.0 + 0.01;
    assert!(alone > 0.37 && bound <= most, "the hash alone {alone}, bound {bound}");
}

#[test]
fn among_those_equally_near_a_pool_keeps_its_share_of_its_own() {
    let mut server = server(
        r#"
[pool.near]
region  = "fra"
members = ["192.0.2.21"]
[record."two"]
policy = "nearest"
pools  = ["fra", "near"]
band   = "1%"
ties   = "network"
"#,
    );
    let of_fra = |server: &mut Server| {
        let ask = |n: u32| ask("two.example.org", "A").subnet(&format!("10.1.{n}.0/24"));
        let mut answers = (0..256).map(|n| region_of(&server.ask(&ask(n))));
        answers.by_ref().filter(|region| *region == "fra").count()
    };
    let all = of_fra(&mut server);
    assert!((96..160).contains(&all), "{all}");
    // Only the first of the two pools of the region.
    let (pool, family) = (PoolId(0), Family::V4);
    let word = server.health.word(pool, family, AreaId::WORLD);
    server.health.store(pool, family, AreaId::WORLD, word.with_keep(0x8000));
    let half = of_fra(&mut server);
    assert!((all * 3 / 10..all * 7 / 10).contains(&half), "{half} of {all}");
}
