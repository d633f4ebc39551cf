//! No pool above what it can take, whatever regions are lost: every set of losses is given to the
//! planner that the running server plans with, and what it concludes is looked at.
//!
//! Records that share no pool with a capacity do not touch one another and are planned apart;
//! groups of them that are alike but for names are planned once. After a set of losses that is too
//! much, sets with more are not looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use super::{Finding, Kind};
use crate::health::table::{HealthTable, PoolWord, Verdict};
use crate::plan::simulate::flows;
use crate::plan::suppose::FAMILIES;
use crate::plan::traffic::Traffic;
use crate::region::{AreaId, PoolId, RegionId};
use crate::snapshot::Snapshot;
use crate::steer::capacity::{CapacityPlanner, Group};
use crate::steer::record::{Record, Rule};

/// A load above a bound by less is rounding.
const ROUNDING: f64 = 1.01;
/// Flows that are told of in a finding.
const FLOWS_TOLD: usize = 4;

/// How capacity was proved.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Roomy {
    /// Queries a second, all records together.
    pub queries_per_second: f64,
    /// Groups of records that share pools.
    pub groups: usize,
    /// Those that differ in more than names.
    pub distinct: usize,
    /// Sets of losses that were planned.
    pub planned: u64,
}

/// What is asked for, and what pools take where a running server has found it.
pub(super) struct Demand<'m> {
    pub(super) traffic: &'m Traffic,
    pub(super) room: &'m HashMap<PoolId, [Option<f64>; 2]>,
    /// To be shown by `simulate`, after the names.
    pub(super) rate: &'m str,
}

/// Records that share pools with a capacity, by plan: the first record of each, and how many.
struct Sharing<'r> {
    plans: Vec<(&'r Record, usize)>,
}

/// Looks at all records; gives what was found.
pub(super) fn prove(
    snapshot: &Snapshot,
    records: &[&Record],
    table: &HealthTable,
    most: usize,
    demand: &Demand<'_>,
) -> (Vec<Finding>, Roomy) {
    let mut told = Roomy::default();
    let mut findings: Vec<Finding> = Vec::new();
    let mut shapes: HashMap<Vec<u8>, std::ops::Range<usize>> = HashMap::new();
    for sharing in sharing(snapshot, records) {
        told.groups += 1;
        let shape = shape(snapshot, &sharing, demand);
        if let Some(known) = shapes.get(&shape) {
            findings[known.clone()].iter_mut().for_each(|finding| finding.others += 1);
            continue;
        }
        told.distinct += 1;
        let begin = findings.len();
        let mut group = Losses::new(snapshot, &sharing, table, demand);
        group.walk(most, &mut findings);
        told.planned += group.planned;
        shapes.insert(shape, begin..findings.len());
    }
    (findings, told)
}

/// Splits records by who shares a pool with a capacity with whom.
fn sharing<'r>(snapshot: &Snapshot, records: &[&'r Record]) -> Vec<Sharing<'r>> {
    let mut plans: Vec<(&Record, usize)> = Vec::new();
    let mut numbers: HashMap<*const crate::steer::record::Plan, usize> = HashMap::new();
    for record in records.iter().filter(|record| record.plan.spill.is_some()) {
        let number = *numbers.entry(Arc::as_ptr(&record.plan)).or_insert_with(|| {
            plans.push((record, 0));
            plans.len() - 1
        });
        plans[number].1 += 1;
    }
    // Each plan is led by itself, or by an earlier one that it shares a pool with.
    let mut leaders: Vec<usize> = (0..plans.len()).collect();
    fn leader(leaders: &[usize], mut at: usize) -> usize {
        while leaders[at] != at {
            at = leaders[at];
        }
        at
    }
    let mut of_pool: HashMap<PoolId, usize> = HashMap::new();
    for (number, (record, _)) in plans.iter().enumerate() {
        for site in &record.plan.sites {
            let pool = snapshot.pools.get(site.pool.0 as usize);
            if pool.is_none_or(|pool| pool.capacity.is_none()) {
                continue;
            }
            let other = *of_pool.entry(site.pool).or_insert(number);
            let (a, b) = (leader(&leaders, other), leader(&leaders, number));
            leaders[a.max(b)] = a.min(b);
            leaders[number] = a.min(b);
        }
    }
    let mut all: BTreeMap<usize, Sharing<'r>> = BTreeMap::new();
    for (number, plan) in plans.iter().enumerate() {
        let sharing = all.entry(leader(&leaders, number));
        sharing.or_insert_with(|| Sharing { plans: Vec::new() }).plans.push(*plan);
    }
    all.into_values().collect()
}

/// All that what is found of some records can hang on.
fn shape(snapshot: &Snapshot, sharing: &Sharing<'_>, demand: &Demand<'_>) -> Vec<u8> {
    let mut pools: HashMap<PoolId, usize> = HashMap::new();
    let mut shape: Vec<u8> = Vec::new();
    for (record, records) in &sharing.plans {
        let plan = &record.plan;
        let map = Arc::as_ptr(&plan.map);
        shape.extend(format!("{map:p} {records}").into_bytes());
        for Rule { policy, own, spill, .. } in &plan.rules {
            // By the names of its pools a policy knows who stays where, not how many.
            let kind = std::mem::discriminant(policy);
            let rule = format!(" {kind:?} {:?} {own:?} {spill:?}", policy.weights());
            shape.extend(rule.into_bytes());
        }
        for order in 0..plan.map.orders().len() {
            shape.extend(demand.traffic.of(plan, order).to_bits().to_le_bytes());
        }
        for site in &plan.sites {
            let next = pools.len();
            let number = *pools.entry(site.pool).or_insert(next);
            let of = snapshot.pools.get(site.pool.0 as usize);
            let of = of.map(|pool| (pool.region, &pool.capacity));
            let room = demand.room.get(&site.pool);
            shape.extend(format!(" {number} {of:?} {room:?} {:?}", site.at).into_bytes());
        }
    }
    shape
}

/// Losses of the regions of some records.
struct Losses<'s> {
    snapshot: &'s Snapshot,
    table: &'s HealthTable,
    planner: CapacityPlanner,
    /// With their pools.
    regions: Vec<(RegionId, Vec<PoolId>)>,
    /// Where everybody is while nothing is lost.
    rest: Vec<Group>,
    /// Sets that are too much.
    refuted: Vec<Vec<usize>>,
    record: String,
    others: usize,
    rate: &'s str,
    planned: u64,
}

impl<'s> Losses<'s> {
    fn new(
        snapshot: &'s Snapshot,
        sharing: &Sharing<'_>,
        table: &'s HealthTable,
        demand: &Demand<'s>,
    ) -> Self {
        let mut planner = CapacityPlanner::default();
        planner.adopt(&snapshot.pools, sharing.plans.iter().map(|(record, _)| *record));
        planner.suppose(|plan, order| demand.traffic.of(plan, order));
        planner.suppose_room(|pool| demand.room.get(&pool).copied());
        let mut regions: BTreeMap<RegionId, BTreeSet<PoolId>> = BTreeMap::new();
        for (record, _) in &sharing.plans {
            for site in &record.plan.sites {
                let Some(pool) = snapshot.pools.get(site.pool.0 as usize) else { continue };
                regions.entry(pool.region).or_default().insert(site.pool);
            }
        }
        let regions = regions.into_iter().map(|(id, pools)| (id, pools.into_iter().collect()));
        planner.rest(table, &[]);
        let rest = planner.groups().collect();
        let record = sharing.plans.first().map(|(record, _)| record.owner.to_string());
        let records: usize = sharing.plans.iter().map(|(_, records)| records).sum();
        Self {
            snapshot,
            table,
            planner,
            regions: regions.collect(),
            rest,
            refuted: Vec::new(),
            record: record.unwrap_or_default(),
            others: records.saturating_sub(1),
            rate: demand.rate,
            planned: 0,
        }
    }

    /// Fewer losses first, so that what is told are the fewest that it takes.
    fn walk(&mut self, most: usize, findings: &mut Vec<Finding>) {
        let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
        for size in 0..=most {
            for set in &sets {
                let is_more = |known: &Vec<usize>| known.iter().all(|lost| set.contains(lost));
                if !self.refuted.iter().any(is_more) {
                    self.look(set, findings);
                }
            }
            if size < most {
                let longer = sets.iter().flat_map(|set| {
                    let next = set.last().map_or(0, |last| last + 1);
                    (next..self.regions.len()).map(move |region| [&set[..], &[region]].concat())
                });
                sets = longer.collect();
            }
        }
    }

    fn look(&mut self, lost: &[usize], findings: &mut Vec<Finding>) {
        self.planned += 1;
        let pools = lost.iter().flat_map(|region| &self.regions[*region].1);
        let places = pools.flat_map(|pool| FAMILIES.map(|family| (*pool, family)));
        let places: Vec<_> = places
            .flat_map(|(pool, of)| {
                AreaId::all(self.table.areas()).map(move |area| (pool, of, area))
            })
            .collect();
        let down = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
        let before: Vec<_> = places
            .iter()
            .map(|&(pool, family, area)| self.table.store(pool, family, area, down))
            .collect();
        self.planner.begin_again();
        self.planner.rest(self.table, &[]);
        for ((pool, family, area), word) in places.into_iter().zip(before) {
            self.table.store(pool, family, area, word);
        }
        let mut is_over = false;
        for (pool, rate, [target, max]) in self.planner.loads() {
            let (kind, bound, word) = match rate {
                _ if rate > max * ROUNDING => (Kind::OverCapacity, max, "max"),
                _ if rate > target * ROUNDING => (Kind::OverTarget, target, "target"),
                _ => continue,
            };
            is_over |= kind == Kind::OverCapacity;
            findings.push(self.finding(kind, lost, pool, rate, (bound, word)));
        }
        if is_over {
            self.refuted.push(lost.to_vec());
        }
    }

    fn finding(
        &self,
        kind: Kind,
        lost: &[usize],
        pool: PoolId,
        rate: f64,
        (bound, word): (f64, &str),
    ) -> Finding {
        let name = |region: RegionId| {
            let region = self.snapshot.regions.get(usize::from(region.0));
            region.map_or_else(String::new, |region| region.name.to_string())
        };
        let of = |pool: PoolId| self.snapshot.pools.get(pool.0 as usize);
        let region = of(pool).map_or_else(String::new, |pool| name(pool.region));
        let pool_name = of(pool).map_or_else(String::new, |pool| pool.name.to_string());
        let mut from: BTreeMap<PoolId, f64> = BTreeMap::new();
        let mut kept = 0.0;
        for (before, now) in self.rest.iter().zip(self.planner.groups()) {
            let at = |all: &crate::steer::capacity::Arrivals| {
                all.iter().find(|(known, _)| *known == pool).map_or(0.0, |(_, rate)| *rate)
            };
            kept += at(&before.sent).min(at(&now.sent));
            for (from_pool, to, rate) in flows(&before.sent, &now.sent) {
                if to == pool {
                    *from.entry(from_pool).or_default() += rate;
                }
            }
        }
        let mut what = format!(
            "region {region} gets {rate:.0} queries/s in pool {pool_name}, above its {word} of {bound:.0}"
        );
        let mut from: Vec<(PoolId, f64)> = from.into_iter().filter(|(_, r)| *r >= 0.5).collect();
        from.sort_by(|a, b| b.1.total_cmp(&a.1));
        if !from.is_empty() {
            let _ = write!(what, ": {kept:.0} of its own");
            for (pool, rate) in from.iter().take(FLOWS_TOLD) {
                let from = of(*pool).map_or_else(String::new, |pool| name(pool.region));
                let _ = write!(what, ", {rate:.0} from {from}");
            }
            if from.len() > FLOWS_TOLD {
                let rest: f64 = from.iter().skip(FLOWS_TOLD).map(|(_, rate)| rate).sum();
                let _ = write!(what, ", {rest:.0} from others");
            }
        }
        let lost: Vec<String> = lost.iter().map(|at| name(self.regions[*at].0)).collect();
        let mut simulate =
            format!("{} {}", if self.others == 0 { &*self.record } else { "" }, self.rate);
        lost.iter().for_each(|lost| simulate.push_str(&format!(" --fail region.{lost}")));
        Finding {
            kind,
            record: self.record.clone(),
            others: self.others,
            rtype: "",
            rule: None,
            lost,
            client: None,
            networks: [0.0; 2],
            step: kind.step(),
            what,
            explain: None,
            simulate: Some(simulate.trim().to_owned()),
        }
    }
}
