//! Load: what pools get of so many queries a second, after clients are sent on from pools that
//! cannot take them. Planned by the planner that the running server plans with.

use std::collections::HashMap;

use serde::Serialize;

use super::{Counted, Side, Simulator, counts};
use crate::geo::census::Clients;
use crate::plan::setting::Setting;
use crate::plan::traffic::{Rates, Traffic, parts, weigher};
use crate::region::PoolId;
use crate::steer::capacity::{Arrivals, CapacityPlanner, Group};
use crate::steer::record::Record;

/// A pool that gets this part more than its target is over it, as the server tells it.
const OVER: f64 = 1.01;

/// What a running server has measured.
#[derive(Debug, Default)]
pub struct Measured {
    /// Queries a second, of the plans of what is compared with.
    pub traffic: Traffic,
    /// Queries a second at their targets and at their max that pools have been found to take.
    pub room: HashMap<PoolId, [Option<f64>; 2]>,
}

/// What pools get, all records together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Queries a second in all.
    pub queries_per_second: f64,
    /// The pools of records of which some pool has a capacity.
    pub pools: Vec<PoolLoad>,
    /// Clients that are sent on because a pool cannot take them, the most first.
    pub spilled: Vec<Spilled>,
}

/// What one pool gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolLoad {
    /// The pool.
    pub pool: String,
    /// The zone that defines it.
    pub zone: String,
    /// Its region.
    pub region: String,
    /// Queries a second that it gets.
    pub queries_per_second: f64,
    /// The same before, where something is compared.
    pub before: Option<f64>,
    /// What it would get if it took everybody.
    pub wanted: f64,
    /// Queries a second that it can take, where the files say so.
    pub capacity: Option<f64>,
    /// Up to which it is sent clients.
    pub target: Option<f64>,
    /// Above which clients are moved away at once.
    pub max: Option<f64>,
    /// `room`, `at capacity`, `over` its target where others cannot take more either, or
    /// `above max`.
    pub state: &'static str,
}

/// Clients that are sent on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spilled {
    /// The pool that would have them.
    pub from: String,
    /// The pool that has them.
    pub to: String,
    /// Queries a second.
    pub queries_per_second: f64,
}

impl<'a> Simulator<'a> {
    /// Has the clients of `records` ask so often, and moves them as the running server would once
    /// all its steps were done. Where it is known what was `measured`, what is compared with
    /// stands as its setting says, and only what is supposed is planned. To be called before
    /// records are run.
    pub fn load(
        &mut self,
        records: &[&'a Record],
        rates: &Rates,
        measured: Option<&Measured>,
    ) -> Load {
        let mut planner = CapacityPlanner::default();
        let mut told: Option<Load> = None;
        let sides = [self.before.map(|side| (0, side)), Some((1, self.now))];
        for (at, side) in sides.into_iter().flatten() {
            let is_first = told.is_none();
            self.settings[at].turn(side.snapshot);
            planner.adopt(&side.snapshot.pools, side.records().map(|(_, record)| record));
            let own = self.traffic(records, rates, at);
            let traffic = measured.filter(|_| is_first || self.is_one_snapshot());
            let traffic = traffic.map_or(&own, |measured| &measured.traffic);
            planner.suppose(|plan, order| traffic.of(plan, order));
            if let Some(measured) = measured.filter(|_| is_first || self.is_one_snapshot()) {
                planner.suppose_room(|pool| measured.room.get(&pool).copied());
            }
            let loads = supposed(side);
            planner.suppose_loads(side.table, &loads);
            planner.rest(side.table, &loads);
            if measured.is_some() && is_first {
                self.settings[at].turn(side.snapshot);
            } else {
                planner.tell();
            }
            self.settings[at] = Setting::of(side.snapshot);
            let now = load(&planner, side);
            told = Some(match told {
                Some(before) => now.after(&before),
                None => now,
            });
        }
        let rate = records.iter().map(|record| rates.of(&record.owner)).sum();
        let told = told.unwrap_or_else(|| Load {
            queries_per_second: 0.0,
            pools: Vec::new(),
            spilled: Vec::new(),
        });
        self.rates = Some(rates.clone());
        Load { queries_per_second: rate, ..told }
    }

    fn is_one_snapshot(&self) -> bool {
        self.before.is_none_or(|before| std::ptr::eq(before.snapshot, self.now.snapshot))
    }

    /// What the plans of one side are asked for.
    fn traffic(&mut self, records: &[&'a Record], rates: &Rates, at: usize) -> Traffic {
        let mut traffic = Traffic::default();
        let listed = matches!(self.options.clients, Clients::Listed(_));
        for record in records {
            let rate = rates.of(&record.owner);
            let owner = record.owner.to_string();
            let of = |at: usize| self.owners[at].get(&owner).copied();
            let Some(asked) = of(at) else { continue };
            if rate <= 0.0 || asked.plan.spill.is_none() {
                continue;
            }
            let other = of(0).unwrap_or(record);
            let maps = [other, record].map(|record| &*record.plan.map);
            let (world, options) = (self.world(), self.options);
            let key = maps.map(std::ptr::from_ref);
            let counted =
                self.known.entry(key).or_insert_with(|| Counted::new(world, maps, options));
            let groups = counted.census.groups.iter();
            let groups = groups.filter(|group| counts(world, options, group.place));
            let parts = parts(groups, at, maps[at].orders().len(), listed);
            traffic.add(asked, rate, &parts);
        }
        traffic
    }

    /// Says how many of its queries each pool and region gets.
    pub(super) fn rate(&self, record: &Record, report: &mut super::Report) {
        let Some(rates) = &self.rates else { return };
        let rate = rates.of(&record.owner);
        let total = [report.clients.ipv4, report.clients.ipv6];
        let listed = matches!(self.options.clients, Clients::Listed(_));
        let part = weigher(total, listed);
        for row in report.pools.iter_mut().chain(&mut report.regions) {
            let weight = [row.share.ipv4 * total[0], row.share.ipv6 * total[1]];
            row.queries_per_second = Some(rate * part(weight));
        }
    }
}

impl Load {
    fn after(mut self, before: &Self) -> Self {
        for pool in &mut self.pools {
            let is = |known: &&PoolLoad| (&known.pool, &known.zone) == (&pool.pool, &pool.zone);
            pool.before = Some(before.pools.iter().find(is).map_or(0.0, |p| p.queries_per_second));
        }
        self
    }
}

/// The loads that are supposed, as parts of what pools can take: of others none is known yet.
fn supposed(side: Side<'_>) -> Vec<(PoolId, f64)> {
    let pools = (0..).map(PoolId).take(side.snapshot.pools.len());
    let load = |pool| Some((pool, f64::from(side.table.loads.of(pool).permille()?) / 1000.0));
    pools.filter_map(load).collect()
}

/// How pools stand with what was supposed.
fn load(planner: &CapacityPlanner, side: Side<'_>) -> Load {
    let groups: Vec<Group> = planner.groups().collect();
    let mut wanted: HashMap<PoolId, f64> = HashMap::new();
    let mut moves: HashMap<(PoolId, PoolId), f64> = HashMap::new();
    for group in &groups {
        group.wanted.iter().for_each(|(pool, rate)| *wanted.entry(*pool).or_default() += rate);
        for (from, to, rate) in flows(&group.wanted, &group.sent) {
            *moves.entry((from, to)).or_default() += rate;
        }
    }
    let name = |pool: PoolId| {
        let of = side.snapshot.pools.get(pool.0 as usize);
        of.map_or_else(String::new, |pool| pool.name.to_string())
    };
    let all: f64 = wanted.values().sum();
    let pools = planner.loads().into_iter().filter_map(|(id, rate, [target, max])| {
        let pool = side.snapshot.pools.get(id.0 as usize)?;
        let region = side.snapshot.regions.get(usize::from(pool.region.0))?;
        let wanted = wanted.get(&id).copied().unwrap_or(0.0);
        let bounded = |queries: f64| Some(queries).filter(|queries| queries.is_finite());
        Some(PoolLoad {
            pool: pool.name.to_string(),
            zone: pool.origin.to_string(),
            region: region.name.to_string(),
            queries_per_second: rate,
            before: None,
            wanted,
            capacity: pool.capacity.as_ref().and_then(|capacity| capacity.queries),
            target: bounded(target),
            max: bounded(max),
            state: match rate {
                _ if rate > max * OVER => "above max",
                _ if rate > target * OVER => "over",
                _ if wanted > rate * (1.0 + 1e-3) => "at capacity",
                _ => "room",
            },
        })
    });
    let pools = pools.collect();
    // What is less than a thousandth of a per cent is rounding.
    let moves = moves.into_iter().filter(|(_, rate)| *rate > all * 1e-5);
    let mut spilled: Vec<Spilled> = moves
        .map(|((from, to), queries_per_second)| Spilled {
            from: name(from),
            to: name(to),
            queries_per_second,
        })
        .collect();
    spilled.sort_by(|a, b| {
        let by_size = b.queries_per_second.total_cmp(&a.queries_per_second);
        by_size.then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to)))
    });
    Load { queries_per_second: all, pools, spilled }
}

/// Who must go from where to where, when the same clients arrive otherwise.
pub(in crate::plan) fn flows(before: &Arrivals, now: &Arrivals) -> Vec<(PoolId, PoolId, f64)> {
    let of = |all: &Arrivals, pool: PoolId| {
        all.iter().find(|(known, _)| *known == pool).map_or(0.0, |(_, rate)| *rate)
    };
    let gained: Vec<(PoolId, f64)> = now
        .iter()
        .map(|&(pool, rate)| (pool, (rate - of(before, pool)).max(0.0)))
        .filter(|(_, gained)| *gained > 0.0)
        .collect();
    let all: f64 = gained.iter().map(|(_, gained)| gained).sum();
    let lost = before.iter().map(|&(pool, rate)| (pool, (rate - of(now, pool)).max(0.0)));
    let lost = lost.filter(|(_, lost)| *lost > 0.0 && all > 0.0);
    lost.flat_map(|(from, lost)| {
        gained.iter().map(move |&(to, gained)| (from, to, lost * gained / all))
    })
    .collect()
}
