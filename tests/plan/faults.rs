//! Faults planted one by one: each is found, with a client, a loss and a step.

use std::sync::Arc;

use meridian::geo::compile::MIN_PREFIX;
use meridian::geo::table::GeoMap;
use meridian::plan::prove::{Finding, Kind, Prover};
use meridian::steer::compile;
use meridian::steer::tally::Tallies;

use crate::{prove, server, snapshot};

/// The one finding of a kind.
fn found(records: &str, most: usize, kind: Kind) -> Finding {
    let proof = prove(&snapshot(records), most);
    let of_kind: Vec<&Finding> = proof.findings.iter().filter(|f| f.kind == kind).collect();
    assert!(!of_kind.is_empty(), "{:#?}", proof.findings);
    of_kind[0].clone()
}

const NEAREST: &str = r#"
[record."www"]
policy = "nearest"
pools  = ["fra", "dub", "iad", "sin"]
"#;

#[test]
fn four_regions_stand_the_loss_of_three_for_addresses_of_either_family() {
    let proof = prove(&snapshot(NEAREST), 2);
    assert!(proof.proved && proof.findings.is_empty(), "{:#?}", proof.findings);
    assert_eq!((proof.records, proof.distinct, proof.maps), (1, 1, 1));
    // Sin has no IPv6: without the three others AAAA has its last resort, and A has sin.
    let proof = prove(&snapshot(NEAREST), 3);
    assert!(proof.proved);
    let told: Vec<_> = proof.findings.iter().map(|f| (f.kind, f.rtype, f.lost.len())).collect();
    assert_eq!(told, [(Kind::LastResort, "AAAA", 3)]);
}

#[test]
fn a_fence_with_all_its_pools_in_one_region_falls_with_it() {
    let records = r#"
[record."www"]
[[record."www".rule]]
match       = { continent = ["EU"] }
pools       = ["fra"]
policy      = "nearest"
fence       = true
last_resort = "nodata"
[[record."www".rule]]
match  = "default"
policy = "nearest"
pools  = ["iad", "sin", "dub"]
"#;
    let finding = found(records, 1, Kind::Unanswered);
    assert_eq!((finding.rule, &*finding.lost), (Some(1), &["fra".to_owned()][..]));
    assert_eq!(finding.step, "last resort");
    let explain = finding.explain.expect("a line");
    assert!(explain.starts_with("www.example.org. --client 10."), "{explain}");
    assert!(explain.ends_with("--what-if 'region.fra=down'"), "{explain}");
}

#[test]
fn a_last_resort_of_no_data_is_found_under_the_loss_of_two_and_not_of_one() {
    let records = r#"
[record."www"]
policy      = "failover"
pools       = ["fra", "dub"]
last_resort = "nodata"
"#;
    assert!(prove(&snapshot(records), 1).proved);
    let finding = found(records, 2, Kind::Unanswered);
    assert_eq!(finding.lost, ["fra", "dub"]);
}

#[test]
fn a_last_resort_that_hands_something_out_is_told_and_refutes_nothing() {
    let records = r#"
[record."www"]
policy      = "weighted"
pools       = { fra = 9, dub = 1 }
last_resort = "default"
"#;
    let proof = prove(&snapshot(records), 2);
    let told: Vec<_> = proof.findings.iter().map(|f| (f.kind, f.rtype)).collect();
    // The zone file has an A and no AAAA.
    assert_eq!(told, [(Kind::Unanswered, "AAAA"), (Kind::LastResort, "A")]);
}

#[test]
fn a_rule_for_nobody_and_clients_of_no_rule_are_warned_of() {
    let records = r#"
[record."www"]
[[record."www".rule]]
match  = { country = ["NZ"] }
policy = "nearest"
pools  = ["fra", "dub"]
[[record."www".rule]]
match  = { continent = ["EU"] }
policy = "nearest"
pools  = ["fra", "dub", "iad"]
"#;
    let finding = found(records, 2, Kind::IdleRule);
    assert_eq!((finding.rule, finding.step), (Some(1), "match"));
    let finding = found(records, 2, Kind::Unmatched);
    assert!(finding.client.is_some());
    assert!(prove(&snapshot(records), 2).proved);
}

#[test]
fn a_rule_whose_pools_have_nothing_of_a_type_is_warned_of() {
    let records = r#"
[record."www"]
[[record."www".rule]]
match  = { country = ["AU"] }
policy = "failover"
pools  = ["sin"]
fence  = true
last_resort = "nodata"
[[record."www".rule]]
match  = "default"
policy = "nearest"
pools  = ["fra", "dub", "iad"]
"#;
    let finding = found(records, 0, Kind::NoFamily);
    assert_eq!((finding.rule, finding.rtype), (Some(1), "AAAA"));
}

const FENCED: &str = r#"
[record."www"]
[[record."www".rule]]
match  = { continent = ["EU"] }
policy = "nearest"
pools  = ["fra", "dub"]
fence  = true
last_resort = "nodata"
[[record."www".rule]]
match  = "default"
policy = "nearest"
pools  = ["iad", "sin"]
"#;

/// What is proved of the fenced record over the map of the same record without its fence, whose
/// orders go on past the fence.
fn leaking(records: &str, most: usize) -> Vec<Finding> {
    let server = server(records);
    let snapshot = server.publisher.current();
    let served = snapshot.catalog.values().next().expect("a zone");
    let spec = &server.config.zones[0].records[0];
    let mut open = spec.clone();
    open.rules[0].fence = false;
    let map_spec = compile::map_spec(&open, &snapshot.pools, &snapshot.regions, &Arc::from([]));
    let map = GeoMap::compile(&snapshot.world, &map_spec, MIN_PREFIX).expect("a map");
    let mut plan = compile::plan(spec, &snapshot.pools, &snapshot.regions, Arc::new(map));
    compile::count_demand(&mut plan, &snapshot.pools, 0);
    let record = compile::record(spec, Arc::new(plan), &mut Tallies::new(0));
    let mut prover = Prover::new(&snapshot, most);
    prover.add(served, &record);
    let proof = prover.finish();
    assert!(!proof.proved || proof.findings.is_empty());
    proof.findings
}

#[test]
fn a_fence_that_leaks_is_found() {
    let findings = leaking(FENCED, 2);
    let finding = &findings[0];
    let lost = ["fra", "dub"].map(str::to_owned);
    assert_eq!(
        (finding.kind, finding.rule, &finding.lost[..]),
        (Kind::FenceBroken, Some(1), &lost[..])
    );
    assert_eq!(finding.step, "candidates");
    assert_eq!(leaking(FENCED, 1), [], "a third region is reached when two are lost");
}

/// With nothing lost: clients are sent on to the third pool of their order.
#[test]
fn a_fence_that_leaks_when_pools_are_full_is_found() {
    let bounded = format!("[pool.fra.capacity]\nqueries = 100\n{FENCED}");
    let findings = leaking(&bounded, 0);
    let finding = findings.iter().find(|of| of.kind == Kind::FenceBroken).expect("it is found");
    assert!(finding.lost.is_empty(), "{finding:?}");
    assert!(finding.what.contains("pool outside the fence, sent on to the"), "{}", finding.what);
    let proof = prove(&snapshot(&bounded), 3);
    let broken = proof.findings.iter().filter(|of| of.kind == Kind::FenceBroken);
    assert_eq!(broken.count(), 0, "and one that holds is not");
}

#[test]
fn records_alike_are_looked_at_once() {
    let record = |name: &str| {
        format!(
            "[record.\"{name}\"]\npolicy = \"failover\"\npools = [\"fra\", \"dub\"]\nlast_resort = \"nodata\"\n"
        )
    };
    let proof = prove(&snapshot(&["a", "b", "c"].map(record).concat()), 2);
    assert_eq!((proof.records, proof.distinct), (3, 1));
    assert!(proof.findings.iter().all(|finding| finding.others == 2));
}
