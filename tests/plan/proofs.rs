//! Branching only on what was looked at finds what trying every set finds. `MERIDIAN_SEED`
//! replays one.

use std::collections::BTreeSet;

use meridian::health::table::{HealthTable, PoolWord, Verdict};
use meridian::plan::outcome::ask_of;
use meridian::plan::prove::Kind;
use meridian::plan::suppose::all_up;
use meridian::region::{Family, PoolId};
use meridian::snapshot::Snapshot;
use meridian::steer::chance::Chance;
use meridian::steer::record::{LastResort, Record};
use meridian::steer::select::select;

use crate::world::{REGIONS, record};
use crate::{prove, seeds, snapshot};

/// Nobody is on a new side, some are, everybody is.
const STAGES: [u16; 3] = [0, u16::MAX / 2, u16::MAX];

/// Type, rule and the fewest regions whose loss leaves its clients with nothing.
type Unanswered = BTreeSet<(&'static str, usize, BTreeSet<String>)>;

#[test]
fn branching_finds_what_trying_every_set_finds() {
    let mut refuted = 0;
    for seed in seeds(100) {
        let records = record(&mut Chance::seeded(seed));
        let snapshot = snapshot(&records);
        for most in 1..=3 {
            let proof = prove(&snapshot, most);
            let findings = proof.findings.iter().filter(|f| f.kind == Kind::Unanswered);
            let branched: Unanswered = findings
                .map(|f| (f.rtype, f.rule.expect("a rule"), f.lost.iter().cloned().collect()))
                .collect();
            let tried = try_all(&snapshot, most);
            assert_eq!(branched, tried, "seed {seed}, {most} lost:\n{records}");
            refuted += usize::from(!proof.proved);
        }
    }
    assert!(refuted > 0, "nothing was ever refuted");
}

/// Every set of up to `most` regions lost, every client network, many draws.
fn try_all(snapshot: &Snapshot, most: usize) -> Unanswered {
    let served = snapshot.catalog.values().next().expect("a zone");
    let record = &served.records[0];
    let mut found: Vec<(&'static str, usize, BTreeSet<String>)> = Vec::new();
    for family in [Family::V4, Family::V6] {
        let Some(ask) = ask_of(&record.plan, family) else { continue };
        let rtype = if family == Family::V4 { "A" } else { "AAAA" };
        for lost in 0_u32..16 {
            if lost.count_ones() as usize > most {
                continue;
            }
            let names = REGIONS.iter().enumerate().filter(|(at, _)| lost >> at & 1 == 1);
            let names: BTreeSet<String> = names.map(|(_, name)| (*name).to_owned()).collect();
            let table = without(snapshot, &names);
            for (client, stage) in clients().flat_map(|client| STAGES.map(|stage| (client, stage)))
            {
                for rule in 0..record.plan.rules.len() {
                    record.dials.set_stage(rule, stage);
                }
                for seed in 0..4 {
                    let mut chance = Chance::seeded(seed);
                    let selection = select(record, client, ask, &table, &mut chance, &mut ());
                    let number = record.plan.map.lookup(client).order.rule;
                    let Some(number) = number.map(usize::from) else { continue };
                    let rule = &record.plan.rules[number];
                    let mut sites = rule.own.iter().chain(&rule.others);
                    let has_family = sites.any(|&site| {
                        let site = &record.plan.sites[usize::from(site)];
                        if family == Family::V4 { site.has_v4 } else { site.has_v6 }
                    });
                    if selection.picks().is_empty()
                        && has_family
                        && !hands_out(record, number, family)
                    {
                        found.push((rtype, number + 1, names.clone()));
                    }
                }
            }
        }
    }
    let fewest = |one: &(&str, usize, BTreeSet<String>)| {
        !found.iter().any(|other| {
            (other.0, other.1) == (one.0, one.1) && other.2 != one.2 && other.2.is_subset(&one.2)
        })
    };
    found.iter().filter(|one| fewest(one)).cloned().collect()
}

/// The zone file has an A at the name, and nothing else.
fn hands_out(record: &Record, rule: usize, family: Family) -> bool {
    record.plan.rules[rule].last_resort == LastResort::Default && family == Family::V4
}

fn without(snapshot: &Snapshot, lost: &BTreeSet<String>) -> HealthTable {
    let table = all_up(&snapshot.pools, 0);
    for (id, pool) in (0..).map(PoolId).zip(&snapshot.pools) {
        if lost.contains(&*snapshot.regions[usize::from(pool.region.0)].name) {
            for family in [Family::V4, Family::V6] {
                table.store_everywhere(
                    id,
                    family,
                    PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0),
                );
            }
        }
    }
    table
}

/// Networks in every city, some that nobody knows, and some of IPv6.
fn clients() -> impl Iterator<Item = std::net::IpAddr> {
    let cities = (1..=5_u8)
        .flat_map(|city| (0..256_u32).step_by(17).map(move |at| [10, city, at as u8, 1].into()));
    let v6 = ["2001:db8:1::1", "2001:db8:9::1"].map(|ip| ip.parse().expect("an address"));
    cities.chain(v6)
}
