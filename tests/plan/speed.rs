//! A thousand records over twenty regions are proved in the time it takes to notice.

use std::fmt::Write as _;
use std::time::Instant;

use meridian::geo::world::{Fallback, World};
use meridian::plan::prove::{Kind, Prover};
use meridian::plan::traffic::Rates;

use crate::prove;
use crate::support::Server;

/// A thousand records with pools of their own in each of twenty regions, over few maps.
fn thousand(capacity: &str) -> Server {
    let mut regions = String::new();
    for at in 0..20 {
        let (latitude, longitude) = (at * 7 % 120 - 60, at * 47 % 360 - 180);
        let _ = writeln!(regions, "[region.r{at}]\nlocation = [{latitude}.0, {longitude}.0]");
    }
    let mut policy = String::new();
    for record in 0..1000 {
        let mut list = Vec::new();
        for at in 0..20 {
            let (high, low) = (record / 250, record % 250);
            let _ = writeln!(
                policy,
                "[pool.p{record}-{at}]\nregion = \"r{at}\"\nmembers = [\"10.{high}.{low}.{at}\"]"
            );
            if !capacity.is_empty() {
                let _ = writeln!(policy, "[pool.p{record}-{at}.capacity]\n{capacity}");
            }
            list.push(format!("p{record}-{at}"));
        }
        let listed: Vec<String> = list.iter().map(|pool| format!("\"{pool}\"")).collect();
        let weighed: Vec<String> = list.iter().map(|pool| format!("{pool} = 1")).collect();
        let (kind, pools) = match record % 4 {
            0 => ("nearest", format!("[{}]", listed.join(", "))),
            1 => ("failover", format!("[{}]", listed.join(", "))),
            2 => ("weighted", format!("{{ {} }}", weighed.join(", "))),
            _ => ("hash", format!("{{ {} }}", weighed.join(", "))),
        };
        let _ = writeln!(policy, "[record.\"n{record}\"]\npolicy = \"{kind}\"\npools = {pools}");
    }
    let zone = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.3\n";
    let files = [
        ("geo/regions.toml", &*regions),
        ("zones/example.org.toml", &*policy),
        ("zones/example.org.zone", zone),
    ];
    Server::over(&files, |config| {
        World::load::<&str>(&[], &config.networks, Fallback::Embedded).expect("a world")
    })
}

#[test]
fn a_thousand_records_share_their_maps() {
    let snapshot = thousand("").publisher.current();
    let began = Instant::now();
    let proof = prove(&snapshot, 2);
    println!("{} selections in {:.2} s", proof.selections, began.elapsed().as_secs_f64());
    assert!(proof.proved, "{:?}", proof.findings);
    assert_eq!(proof.records, 1000);
    assert!(proof.maps <= 4, "{} maps", proof.maps);
}

/// A hundred queries a second each, of pools that take 60 up to their targets.
#[test]
fn a_thousand_records_are_planned_as_the_few_that_they_are() {
    let snapshot = thousand("queries = 75").publisher.current();
    let records = snapshot.catalog.values().flat_map(|served| &served.records);
    let rates = Rates::new(&["100000".to_owned()], records.map(|record| &record.owner));
    let mut prover = Prover::new(&snapshot, 2);
    prover.ask(rates.expect("a rate"), String::new(), None);
    let began = Instant::now();
    for served in snapshot.catalog.values() {
        served.records.iter().for_each(|record| prover.add(served, record));
    }
    let selected = began.elapsed().as_secs_f64();
    let proof = prover.finish();
    println!("with capacity in {:.2} s: {:?}", began.elapsed().as_secs_f64(), proof.capacity);
    println!("{} selections in {selected:.2} s of it", proof.selections);
    let roomy = proof.capacity.expect("a rate was given");
    assert_eq!((roomy.groups, roomy.distinct), (1000, 4));
    // Failover has everybody go to one pool, and then to the next.
    let over = proof.findings.iter().filter(|finding| finding.kind == Kind::OverCapacity);
    assert!(over.clone().all(|finding| finding.lost.len() <= 2), "{:?}", proof.findings);
    assert!(roomy.planned > 4 * 100, "{roomy:?}");
}
