//! Shares over random records held against asking every client network many times; and the groups
//! an explanation goes through. `MERIDIAN_SEED` replays one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meridian::geo::census::Clients;
use meridian::health::table::HealthTable;
use meridian::plan::outcome::ask_of;
use meridian::plan::setting::Setting;
use meridian::plan::simulate::{Options, Side, Simulator};
use meridian::plan::suppose::{Supposed, all_up, parse_list};
use meridian::region::Family;
use meridian::server::explain::{Question, explain};
use meridian::snapshot::Snapshot;
use meridian::steer::chance::Chance;
use meridian::steer::record::Record;
use meridian::steer::select::select;
use meridian::wire::types::Rtype;

use crate::world::{REGIONS, record};
use crate::{seeds, snapshot};

/// All client networks of a known place.
fn clients() -> impl Iterator<Item = IpAddr> {
    let networks = |city: u8, count: u32| (0..count).map(move |at| [10, city, at as u8, 1].into());
    let cities = [(1, 256), (2, 256), (3, 256), (4, 128)];
    cities.into_iter().flat_map(move |(city, count)| networks(city, count))
}

/// Shares of IPv4 answers by pool, each client asking so often.
fn asked(snapshot: &Snapshot, table: &HealthTable, record: &Record) -> BTreeMap<String, f64> {
    const TIMES: u64 = 64;
    let ask = ask_of(&record.plan, Family::V4).expect("it steers A");
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    let mut all = 0.0;
    let mut chance = Chance::seeded(1);
    for client in clients() {
        for _ in 0..TIMES {
            let selection = select(record, client, ask, table, &mut chance, &mut ());
            let picks = selection.picks();
            all += 1.0;
            for site in picks {
                let pool = record.plan.sites[usize::from(*site)].pool;
                let name = snapshot.pools[pool.0 as usize].name.to_string();
                *counts.entry(name).or_default() += 1.0 / picks.len() as f64;
            }
        }
    }
    counts.values_mut().for_each(|count| *count /= all);
    counts
}

#[test]
fn shares_are_what_asking_everybody_gives() {
    let mut seen = [false; 2];
    for seed in seeds(24) {
        let mut chance = Chance::seeded(seed);
        let text = record(&mut chance);
        let snapshot = snapshot(&text);
        let record = &snapshot.catalog.values().next().expect("a zone").records[0];
        // Half of the clients of rules with sides are on the new one; dub is coming back.
        let rules = record.plan.rules.iter().enumerate();
        let sided = rules.filter(|(_, rule)| !rule.new_side.is_empty());
        sided.for_each(|(number, _)| record.dials.set_stage(number, u16::MAX / 2));
        let setting = Setting::of(&snapshot);
        let lost = REGIONS[chance.below(4) as usize];
        let supposed = parse_list(&format!("region.{lost}=down")).expect("a supposition");
        let supposed = Supposed::new(&supposed, &snapshot.pools, &snapshot.regions).expect("known");
        let (before, now) = (all_up(&snapshot.pools, 0), all_up(&snapshot.pools, 0));
        supposed.apply(&now, &snapshot.pools);
        let side = |table| Side { snapshot: &snapshot, table };
        let options =
            Options { family: Family::V4, clients: Clients::World, unknown: false, dots: false };
        let mut simulator = Simulator::new(Some(side(&before)), side(&now), options);
        simulator.set(setting.clone(), setting);
        let report = simulator.run(record).expect("it steers A");
        let tables = [asked(&snapshot, &before, record), asked(&snapshot, &now, record)];
        for row in report.pools.iter().filter(|row| row.region.is_some()) {
            let shares = [row.before.expect("compared").ipv4, row.share.ipv4];
            for (at, (told, asked)) in shares.iter().zip(&tables).enumerate() {
                let asked = asked.get(&row.pool).copied().unwrap_or(0.0);
                assert!(
                    (told - asked).abs() < 0.015,
                    "seed {seed}, {} {}: {told:.4} told, {asked:.4} asked, {lost} lost\n{text}",
                    row.pool,
                    ["before", "now"][at],
                );
            }
        }
        seen[0] |= !report.exact;
        seen[1] |= report.sampled.is_some();
    }
    let one = std::env::var("MERIDIAN_SEED").is_ok();
    assert!(one || seen == [true; 2], "drawn and sampled shares were met: {seen:?}");
}

#[test]
fn an_explanation_names_the_groups_it_went_through() {
    let mut named = 0;
    for seed in seeds(60) {
        let text = record(&mut Chance::seeded(seed));
        let snapshot = snapshot(&text);
        let table = all_up(&snapshot.pools, 0);
        for client in clients().step_by(97) {
            let question = Question {
                name: "www.example.org.".parse().expect("a name"),
                qtype: Rtype::A,
                client,
                prefix: None,
                seed,
            };
            let told = explain(&snapshot, &table, &question);
            let Some(steering) = told.steps.into_iter().find_map(|step| step.steering) else {
                continue;
            };
            let picked = steering.candidates.iter().filter(|one| one.outcome == "picked");
            for candidate in picked.filter(|one| one.group == "own") {
                // The group of this rule that holds the pool, if one does.
                let rule = steering.rule.map_or(0, |number| number.saturating_sub(1));
                for name in [format!("inner{rule}"), format!("outer{rule}")] {
                    if holds(&text, &name, &candidate.pool) {
                        let context =
                            format!("seed {seed}: {} not via {name}\n{text}", candidate.pool);
                        assert!(steering.via.contains(&name), "{context}: {:?}", steering.via);
                        named += 1;
                    }
                }
            }
        }
    }
    assert!(named > 0 || std::env::var("MERIDIAN_SEED").is_ok());
}

/// Whether a group of the file lists a pool, or lists a group that does.
fn holds(text: &str, group: &str, pool: &str) -> bool {
    let Some((_, rest)) = text.split_once(&format!("[group.{group}]\n")) else { return false };
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let pools: String = lines.filter(|line| line.starts_with("pools")).collect();
    let inner = group.replace("outer", "inner");
    pools.contains(pool) || (inner != group && pools.contains(&inner) && holds(text, &inner, pool))
}
