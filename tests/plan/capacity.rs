//! Capacity beforehand: whom pools at capacity send on is what the running planner comes to, and
//! what is proved of losses is what it would come to after each.

use std::time::Duration;

use meridian::geo::census::Clients;
use meridian::plan::prove::{Kind, Proof, Prover};
use meridian::plan::report::Report;
use meridian::plan::simulate::{Load, Options, Side, Simulator};
use meridian::plan::suppose::{Supposed, all_up, parse_list};
use meridian::plan::traffic::Rates;
use meridian::region::Family;
use meridian::snapshot::Snapshot;
use meridian::steer::capacity::load::Loads;
use meridian::steer::capacity::{CapacityPlanner, Seen};
use meridian::steer::chance::Chance;

use crate::snapshot;

const NEAREST: &str =
    "[record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"dub\", \"iad\"]\n";

/// Files with these capacities in queries, `www` over them.
fn files(capacities: &[(&str, u32)], record: &str) -> String {
    let capacity = |(pool, queries): &(&str, u32)| {
        format!("[pool.{pool}.capacity]\nqueries = {queries}\ntarget = \"100%\"\nmax = \"100%\"\n")
    };
    capacities.iter().map(capacity).collect::<String>() + record
}

fn rates(snapshot: &Snapshot, rate: f64) -> Rates {
    let records = snapshot.catalog.values().flat_map(|served| &served.records);
    Rates::new(&[rate.to_string()], records.map(|record| &record.owner)).expect("a rate")
}

fn simulate(snapshot: &Snapshot, supposed: &str, rate: f64) -> (Report, Load) {
    let supposed = parse_list(supposed).expect("suppositions");
    let (before, now) = (all_up(&snapshot.pools, 0), all_up(&snapshot.pools, 0));
    let supposed = Supposed::new(&supposed, &snapshot.pools, &snapshot.regions).expect("known");
    supposed.apply(&now, &snapshot.pools);
    let before = (!supposed.is_empty()).then_some(Side { snapshot, table: &before });
    let side = Side { snapshot, table: &now };
    let options =
        Options { family: Family::V4, clients: Clients::World, unknown: false, dots: false };
    let record = side.record("www.example.org.").expect("the record");
    let mut simulator = Simulator::new(before, side, options);
    let load = simulator.load(&[record], &rates(snapshot, rate), None);
    (simulator.run(record).expect("it steers A"), load)
}

fn loads(load: &Load) -> Vec<(&str, f64)> {
    load.pools.iter().map(|pool| (&*pool.pool, pool.queries_per_second.round())).collect()
}

fn prove(snapshot: &Snapshot, most: usize, rate: f64) -> Proof {
    let mut prover = Prover::new(snapshot, most);
    prover.ask(rates(snapshot, rate), format!("--rate {rate}"), None);
    for served in snapshot.catalog.values() {
        served.records.iter().for_each(|record| prover.add(served, record));
    }
    prover.finish()
}

/// 896 queries a second are one for each /24: 256 in Berlin, London and half of that in Sydney.
const RATE: f64 = 896.0;

#[test]
fn who_does_not_fit_is_sent_to_the_next_and_only_so_many() {
    let snapshot = snapshot(&files(&[("fra", 200)], NEAREST));
    let (report, load) = simulate(&snapshot, "", RATE);
    // A hundredth is left free.
    assert_eq!(loads(&load), [("fra", 198.0), ("dub", 314.0), ("iad", 384.0)]);
    let fra = &load.pools[0];
    assert_eq!((fra.wanted.round(), fra.capacity, fra.state), (256.0, Some(200.0), "at capacity"));
    let [spilled] = &load.spilled[..] else { panic!("{:?}", load.spilled) };
    assert_eq!((&*spilled.from, &*spilled.to), ("fra", "dub"));
    assert!((spilled.queries_per_second - 58.0).abs() < 0.5, "{spilled:?}");
    // And so the road does: 256 networks, of which each goes one way as a whole.
    assert_eq!(report.sampled, Some(meridian::plan::simulate::SAMPLES));
    let fra = report.pools[0].queries_per_second.expect("a rate");
    assert!((fra - 198.0).abs() < 4.0 * (256.0 * 0.77 * 0.23_f64).sqrt(), "{fra}");
}

#[test]
fn whom_a_lost_region_leaves_is_shared_by_those_with_room() {
    let snapshot = snapshot(&files(&[("fra", 400), ("dub", 300), ("iad", 900)], NEAREST));
    let (report, load) = simulate(&snapshot, "region.fra=down", RATE);
    assert_eq!(loads(&load), [("fra", 0.0), ("dub", 297.0), ("iad", 599.0)]);
    let before: Vec<f64> = load.pools.iter().filter_map(|pool| pool.before).collect();
    assert_eq!(before, [256.0, 256.0, 384.0]);
    let moved = report.moved.expect("compared").share.ipv4;
    assert!((moved - 256.0 / 896.0).abs() < 0.05, "only who must: {moved}");
    let all = &load.spilled;
    assert!(all.iter().all(|flow| (&*flow.from, &*flow.to) == ("dub", "iad")), "{all:?}");
}

#[test]
fn what_fits_moves_nobody() {
    let snapshot = snapshot(&files(&[("fra", 300)], NEAREST));
    let (report, load) = simulate(&snapshot, "", RATE);
    assert!(load.spilled.is_empty() && load.pools.iter().all(|pool| pool.state == "room"));
    assert!(report.exact && report.sampled.is_none());
}

#[test]
fn pools_that_are_drawn_keep_what_they_can() {
    let records =
        "[record.\"www\"]\npolicy = \"weighted\"\npools = { fra = 5, dub = 3, iad = 2 }\n";
    let snapshot = snapshot(&files(&[("fra", 224)], records));
    let (report, load) = simulate(&snapshot, "", RATE);
    let share = report.pools[0].share.ipv4;
    assert!((share - 0.25).abs() < 0.02, "half of what it is drawn for: {share}");
    assert!((load.pools[0].queries_per_second - 224.0).abs() < 2.0, "{load:?}");
    assert!(load.spilled.iter().all(|flow| flow.from == "fra"), "{:?}", load.spilled);
}

/// What the planner comes to that steps by counters, with the demand that was simulated.
fn stepped(snapshot: &Snapshot, lost: &str, parts: &[f64]) -> Vec<f64> {
    let mut planner = CapacityPlanner::default();
    let records = || snapshot.catalog.values().flat_map(|served| &served.records);
    planner.adopt(&snapshot.pools, records());
    let record = records().next().expect("a record");
    let spill = record.plan.spill.as_deref().expect("a capacity");
    let (up, down) = (all_up(&snapshot.pools, 0), all_up(&snapshot.pools, 0));
    let supposed = parse_list(lost).expect("suppositions");
    let supposed = Supposed::new(&supposed, &snapshot.pools, &snapshot.regions).expect("known");
    supposed.apply(&down, &snapshot.pools);
    for step in 0..400_u64 {
        for (order, part) in parts.iter().enumerate() {
            (0..(part * RATE * 10.0).round() as u64).for_each(|_| spill.demand.count(0, order));
        }
        let health = if step < 200 { &up } else { &down };
        let now = Duration::from_secs(10 * step);
        planner.step(Seen { now, health, loads: &Loads::default() });
    }
    planner.loads().into_iter().map(|(_, rate, _)| rate).collect()
}

#[test]
fn settled_is_where_the_steps_of_the_running_planner_lead() {
    for seed in 0..12 {
        let mut chance = Chance::seeded(seed);
        let mut queries = || 100 + chance.below(600);
        let capacities = [("fra", queries()), ("dub", queries()), ("iad", queries())];
        let policy = ["nearest", "failover", "hash"][seed as usize % 3];
        let record = format!(
            "[record.\"www\"]\npolicy = \"{policy}\"\npools = [\"fra\", \"dub\", \"iad\"]\n"
        );
        let snapshot = snapshot(&files(&capacities, &record));
        let lost = ["region.fra=down", "region.dub=down", "region.iad=down"][seed as usize / 4];
        let (_, load) = simulate(&snapshot, lost, RATE);
        let record = snapshot.catalog.values().flat_map(|served| &served.records).next();
        let map = &record.expect("a record").plan.map;
        let networks = |city: u8, count: u32| (0..count).map(move |at| [10, city, at as u8, 1]);
        let clients = networks(1, 256).chain(networks(2, 256));
        let clients = clients.chain(networks(3, 256)).chain(networks(4, 128));
        let mut parts = vec![0.0; map.orders().len()];
        for client in clients {
            parts[map.lookup(client.into()).order.number as usize] += 1.0 / RATE;
        }
        let stepped = stepped(&snapshot, lost, &parts);
        for (pool, stepped) in load.pools.iter().zip(&stepped) {
            let off = (pool.queries_per_second - stepped).abs();
            assert!(off < 0.03 * RATE, "seed {seed}, {}: {stepped:?} and {load:?}", pool.pool);
        }
    }
}

#[test]
fn a_loss_that_is_too_much_is_a_counterexample() {
    let snapshot = snapshot(&files(&[("fra", 300), ("dub", 300), ("iad", 500)], NEAREST));
    let proof = prove(&snapshot, 0, RATE);
    assert!(proof.proved, "{:?}", proof.findings);
    let proof = prove(&snapshot, 1, RATE);
    assert!(!proof.proved);
    let over: Vec<_> = proof.findings.iter().filter(|f| f.kind == Kind::OverCapacity).collect();
    let lost: std::collections::BTreeSet<_> = over.iter().map(|f| f.lost.join(" ")).collect();
    assert_eq!(lost.into_iter().collect::<Vec<_>>(), ["dub", "fra", "iad"]);
    let told = over.iter().find(|finding| finding.lost == ["fra"]).expect("fra");
    assert!(told.what.starts_with("region dub gets "), "{}", told.what);
    assert!(
        told.what.contains(" of its own, ") && told.what.contains(" from fra"),
        "{}",
        told.what
    );
    let shown = told.simulate.as_deref();
    assert_eq!(shown, Some("www.example.org. --rate 896 --fail region.fra"));
    // Twice as large everywhere, one loss is nothing, and two are too much.
    let snapshot = crate::snapshot(&files(&[("fra", 600), ("dub", 600), ("iad", 800)], NEAREST));
    assert!(prove(&snapshot, 1, RATE).proved);
    let proof = prove(&snapshot, 2, RATE);
    assert!(proof.findings.iter().all(|f| f.lost.len() == 2), "{:?}", proof.findings);
    assert!(!proof.proved);
}

#[test]
fn without_a_rate_it_is_said_that_capacity_was_not_proved() {
    let snapshot = snapshot(&files(&[("fra", 1)], NEAREST));
    let proof = crate::prove(&snapshot, 1);
    assert!(proof.proved && proof.capacity.is_none());
    assert!(proof.not_proved[0].contains("--rate"), "{:?}", proof.not_proved);
    let proof = prove(&snapshot, 1, RATE);
    assert_eq!(proof.not_proved, ["capacity of what has no 'queries': pool dub, pool iad"]);
}
