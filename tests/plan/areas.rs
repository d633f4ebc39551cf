//! Areas beforehand: clients of an area are simulated and proved by the area's own view.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use meridian::geo::census::Clients;
use meridian::geo::world::World;
use meridian::health::table::{HealthTable, PoolWord, Verdict};
use meridian::plan::outcome::ask_of;
use meridian::plan::prove::{Kind, Proof};
use meridian::plan::report::Report;
use meridian::plan::simulate::{Options, Side, Simulator};
use meridian::plan::suppose::{Supposed, all_up, parse_list};
use meridian::region::{AreaId, Family, PoolId};
use meridian::snapshot::Snapshot;
use meridian::steer::chance::Chance;
use meridian::steer::record::LastResort;
use meridian::steer::select::select;

use crate::support::Server;
use crate::{NETWORKS, POOLS, ZONE, prove, seeds, world};

/// Sydney is in the first, London and half of Berlin in the second.
const AREAS: &str = "[area.oceania]\nmatch = { continent = \"OC\" }\n\
                     [area.isles]\nmatch = { cidr = [\"10.2.0.0/16\", \"10.1.0.0/17\"] }\n";

fn snapshot(records: &str) -> Arc<Snapshot> {
    let files = [
        ("meridian.toml", AREAS),
        ("geo/regions.toml", crate::REGIONS),
        ("geo/networks.toml", NETWORKS),
        ("geo/latency.csv", world::LATENCY),
        ("zones/example.org.toml", &format!("{POOLS}\n{records}")),
        ("zones/example.org.zone", ZONE),
    ];
    Server::over(&files, |config| World::from_networks(&config.networks)).publisher.current()
}

const NEAREST: &str =
    "[record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"dub\", \"iad\"]\n";

/// `www` compared with what is supposed.
fn simulate(snapshot: &Snapshot, supposed: &str) -> Report {
    let supposed = parse_list(supposed).expect("suppositions");
    let areas = snapshot.areas.len();
    let (before, now) = (all_up(&snapshot.pools, areas), all_up(&snapshot.pools, areas));
    Supposed::of(&supposed, snapshot).expect("known").apply(&now, &snapshot.pools);
    let (before, now) = (Side { snapshot, table: &before }, Side { snapshot, table: &now });
    let options =
        Options { family: Family::V4, clients: Clients::World, unknown: false, dots: false };
    let record = now.record("www.example.org.").expect("the record");
    Simulator::new(Some(before), now, options).run(record).expect("it steers A")
}

#[test]
fn only_the_clients_of_an_area_move_when_a_region_is_out_of_their_reach() {
    let snapshot = snapshot(NEAREST);
    let flows = |supposed: &str| {
        let moved = simulate(&snapshot, supposed).moved.expect("compared");
        let flows = moved.flows.iter().map(|of| format!("{} to {}", of.from, of.to));
        ((moved.share.ipv4 * 896.0).round() as u32, flows.collect::<Vec<_>>())
    };
    // Half of Berlin's networks are in the area, and all of London's, which are at dub.
    assert_eq!(flows("region.fra=down@isles"), (128, vec!["fra to dub".to_owned()]));
    assert_eq!(flows("region.fra=down@oceania"), (0, vec![]));
    assert_eq!(flows("region.iad=down@oceania").0, 128);
    assert_eq!(flows("region.fra=down").0, 256, "for everybody");
}

#[test]
fn weights_are_shared_out_by_who_serves_whom() {
    let weighted = "[record.\"www\"]\npolicy = \"weighted\"\npools = { fra = 1, dub = 1 }\n";
    let report = simulate(&snapshot(weighted), "region.fra=down@oceania");
    // 128 of 896 networks have dub alone.
    let share = report.pools.iter().find(|row| row.pool == "dub").expect("a row").share.ipv4;
    assert!((share - (128.0 + 768.0 / 2.0) / 896.0).abs() < 1e-9, "{share}");
}

/// A fence for an area's clients falls with its region, and the proof says who they are.
#[test]
fn clients_of_an_area_are_classes_of_their_own() {
    let fenced = "[record.\"www\"]\n[[record.\"www\".rule]]\nmatch = { cidr = [\"10.1.0.0/16\"] }\n\
                  pools = [\"fra\"]\npolicy = \"failover\"\nfence = true\nlast_resort = \"nodata\"\n\
                  [[record.\"www\".rule]]\nmatch = \"default\"\npolicy = \"failover\"\n\
                  pools = [\"iad\", \"sin\", \"dub\"]\n";
    let proof = prove(&snapshot(fenced), 1);
    let unanswered = proof.findings.iter().find(|of| of.kind == Kind::Unanswered).expect("found");
    assert_eq!((&unanswered.lost[..], unanswered.networks[0]), (&["fra".to_owned()][..], 256.0));
    let classes = |snapshot: &Snapshot| prove(snapshot, 1).classes;
    assert!(classes(&snapshot(NEAREST)) > classes(&crate::snapshot(NEAREST)));
}

/// What is proved is proved in every area's view: whatever regions are lost to one area alone, what
/// its clients meet is among what was found.
#[test]
fn a_loss_that_an_area_alone_sees_is_among_those_that_are_proved() {
    let mut refuted = 0;
    for seed in seeds(60) {
        let records = world::record(&mut Chance::seeded(seed));
        let snapshot = snapshot(&records);
        let found = unanswered(&prove(&snapshot, 2));
        for area in [AreaId(1), AreaId(2)] {
            for one in lost_to(&snapshot, area, 2) {
                let known =
                    found.iter().any(|of| (of.0, of.1) == (one.0, one.1) && of.2.is_subset(&one.2));
                assert!(known, "seed {seed}, {area:?}: {one:?} not in {found:?}\n{records}");
                refuted += 1;
            }
        }
    }
    assert!(refuted > 0, "nothing was ever refuted");
}

/// Type, rule and the regions lost.
type Unanswered = BTreeSet<(&'static str, usize, BTreeSet<String>)>;

fn unanswered(proof: &Proof) -> Unanswered {
    let findings = proof.findings.iter().filter(|of| of.kind == Kind::Unanswered);
    findings
        .map(|of| (of.rtype, of.rule.expect("a rule"), of.lost.iter().cloned().collect()))
        .collect()
}

/// Clients of an area who get nothing while up to `most` regions are lost to them, though for the
/// world all serve.
fn lost_to(snapshot: &Snapshot, area: AreaId, most: u32) -> Unanswered {
    let record = &snapshot.catalog.values().next().expect("a zone").records[0];
    let mut found = Unanswered::new();
    for (lost, (family, rtype)) in (0_u32..16)
        .filter(|lost| lost.count_ones() <= most)
        .flat_map(|lost| [(lost, (Family::V4, "A")), (lost, (Family::V6, "AAAA"))])
    {
        let Some(ask) = ask_of(&record.plan, family) else { continue };
        let names = world::REGIONS.iter().enumerate().filter(|(at, _)| lost >> at & 1 == 1);
        let names: BTreeSet<String> = names.map(|(_, name)| (*name).to_owned()).collect();
        let table = without(snapshot, area, &names);
        for client in clients() {
            let order = record.plan.map.lookup(client).order;
            let Some(number) = order.rule.map(usize::from).filter(|_| order.area == area) else {
                continue;
            };
            let rule = &record.plan.rules[number];
            let has_family = rule.own.iter().chain(&rule.others).any(|&site| {
                let site = &record.plan.sites[usize::from(site)];
                if family == Family::V4 { site.has_v4 } else { site.has_v6 }
            });
            let selection = select(record, client, ask, &table, &mut Chance::seeded(1), &mut ());
            let is_default = rule.last_resort == LastResort::Default && family == Family::V4;
            if selection.picks().is_empty() && has_family && !is_default {
                found.insert((rtype, number + 1, names.clone()));
            }
        }
    }
    found
}

/// Everything up, but for these regions in the view of one area.
fn without(snapshot: &Snapshot, area: AreaId, lost: &BTreeSet<String>) -> HealthTable {
    let table = all_up(&snapshot.pools, snapshot.areas.len());
    let down = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
    for (id, pool) in (0..).map(PoolId).zip(&snapshot.pools) {
        if lost.contains(&*snapshot.regions[usize::from(pool.region.0)].name) {
            for family in [Family::V4, Family::V6] {
                table.store(id, family, area, down);
            }
        }
    }
    table
}

/// Networks of Sydney, of London and of Berlin's half that is in an area.
fn clients() -> impl Iterator<Item = IpAddr> {
    let networks = (0..128_u8).step_by(17);
    networks.flat_map(|at| [1_u8, 2, 4].map(|city| [10, city, at, 1].into()))
}
