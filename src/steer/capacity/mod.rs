//! Capacity: which part of each order's clients begins where, so that no pool gets more than it
//! can take and everybody goes the least way farther (docs/decisions/0035).
//!
//! A [`CapacityPlanner`] counts what the plans whose pools have a capacity are asked for, learns
//! what the pools can take, solves where everybody goes, and moves there no faster than the rules
//! allow. It has no clock and no thread of its own: whoever has calls [`CapacityPlanner::step`]
//! every ten seconds, and at once when health changes. Capacity is of the pool: what all records
//! ask of it adds up, and all of them are solved together.

mod class;
mod drawn;
pub mod load;
mod model;
mod pool;
mod settle;
mod smooth;
mod supposed;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use self::class::Parts;
use self::drawn::Drawn;
use self::load::Loads;
use self::model::{Class, Model, Named, PoolEntry, RuleKey};
pub use self::settle::{Arrivals, Group};
use crate::health::table::{HealthTable, PoolLoad};
use crate::region::{Pool, PoolId};
use crate::steer::dials::Dials;
use crate::steer::record::{Plan, Record};
use crate::steer::solve::{self, Choice};
use crate::steer::spill::{self, Spill};

/// The part of what pools can take that is left free when clients are moved, so that a little
/// more demand does not move them again.
const RESERVE: f64 = 0.01;

/// Clients are not moved for less than this part of all of them, while no pool has too much.
const WORTHWHILE: f64 = 0.01;

/// Seconds in which half of what a pool was sent at most is forgotten: longer than caches and
/// reports take to show what is sent now.
const LATE: f64 = 120.0;

/// A pool that others had filled has room again below this load.
const HAS_ROOM: f64 = 0.9;

/// Rounding, as a part of a load.
const NOISE: f64 = 1e-6;

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct CapacityPlanner {
    model: Model,
    /// When each rule's clients were moved last.
    moved: HashMap<RuleKey, Duration>,
    stepped: Option<Duration>,
    /// Somebody was sent farther than to the first, and not back since.
    is_away: bool,
}

/// How a pool stands, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolStanding {
    /// The pool.
    pub pool: PoolId,
    /// Queries a second whose clients are sent there.
    pub rate: f64,
    /// Queries a second up to which clients are sent there; `None` while nothing is known.
    pub target: Option<f64>,
    /// Queries a second above which clients are moved away at once.
    pub max: Option<f64>,
    /// The part of the clients nearest to it that it keeps.
    pub kept: f64,
    /// The load that was reported last, and still holds.
    pub load: Option<f64>,
    /// The part of its answers that are errors, reported last, that still holds.
    pub errors: Option<f64>,
    /// Load is to be reported and is not: what was learned before counts.
    pub is_stale: bool,
}

impl PoolStanding {
    /// Some of its clients are sent elsewhere because it cannot take them.
    pub fn is_at_capacity(&self) -> bool {
        self.kept < 1.0 - 1e-3
    }

    /// In a word: it has `room`, it is `at capacity`, or it is `over`, because others can take
    /// no more either or its clients have not been moved yet.
    pub fn state(&self) -> &'static str {
        match self.ratio() {
            Some(ratio) if ratio > 1.01 => "over",
            _ if self.is_at_capacity() => "at capacity",
            _ => "room",
        }
    }

    /// Its load as a part of what it can take up to its target; `None` while nothing is known.
    pub fn ratio(&self) -> Option<f64> {
        self.target.filter(|target| *target > 0.0).map(|target| self.rate / target)
    }
}

/// What a step sees.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'s> {
    /// The clock of the knowledge plane.
    pub now: Duration,
    /// Which pools serve.
    pub health: &'s HealthTable,
    /// What pools report.
    pub loads: &'s Loads,
}

/// What moving would come to.
struct Wish {
    /// By class, where its clients are to begin.
    parts: Vec<Parts>,
    /// Demand that arrives elsewhere, by rule; and the demand of that rule.
    moves: HashMap<RuleKey, (f64, f64)>,
    /// Everybody is to begin with the first.
    is_home: bool,
}

impl CapacityPlanner {
    /// Takes the pools and records of a snapshot, and tells their plans at once where clients
    /// begin: as they did. To be called before the snapshot is published. A plan is known by the
    /// first of its records.
    pub fn adopt<'r>(&mut self, pools: &[Pool], records: impl Iterator<Item = &'r Record>) {
        let mut plans: Vec<(String, Arc<Plan>, Arc<Dials>)> = Vec::new();
        let mut known: HashSet<*const Plan> = HashSet::new();
        for record in records.filter(|record| record.plan.spill.is_some()) {
            if known.insert(Arc::as_ptr(&record.plan)) {
                let (plan, dials) = (Arc::clone(&record.plan), Arc::clone(&record.dials));
                plans.push((record.owner.to_string(), plan, dials));
            }
        }
        self.model = Model::new(pools, plans.into_iter(), &self.model);
        let known: Vec<RuleKey> = self.model.classes.iter().map(|class| class.rule).collect();
        // Rules are known by number here: what was moved lately may move once more.
        self.moved.retain(|rule, _| known.contains(rule));
        self.publish();
    }

    /// Whether any plan's pools have a capacity.
    pub fn is_idle(&self) -> bool {
        self.model.classes.is_empty() && self.model.drawn.is_empty()
    }

    /// Whether it is time to step: after `pace`, and at once when pools come or go.
    pub fn is_due(&self, now: Duration, pace: Duration, health: &HealthTable) -> bool {
        self.stepped.is_none_or(|last| now >= last + pace) || self.model.has_changed(health)
    }

    /// Counts, learns, solves and moves.
    pub fn step(&mut self, seen: Seen<'_>) {
        let past = self.stepped.map(|last| seen.now.saturating_sub(last));
        self.stepped = Some(seen.now);
        let model = &mut self.model;
        model.count(past);
        let past = past.unwrap_or_default();
        model.look(seen.health);
        let sent = model.sent();
        for (pool, sent) in model.pools.iter_mut().zip(sent) {
            pool.learn(seen.loads, sent, (seen.now, past));
        }
        model.draw();
        if let Some(wish) = self.wish() {
            self.is_away = !wish.is_home;
            self.move_on(wish, seen.now);
        }
        self.publish();
        self.tell_loads(seen.health);
    }

    /// Tells queries how loaded pools are. To be called for a new table before it is published;
    /// [`step`](Self::step) does it by itself.
    pub fn tell_loads(&self, health: &HealthTable) {
        for (pool, sent) in self.model.pools.iter().zip(self.model.sent()) {
            health.loads.set(pool.id, pool.in_use(sent));
        }
    }

    /// How each pool with a capacity stands.
    pub fn standings(&self) -> impl Iterator<Item = PoolStanding> {
        let (sent, offered, kept) = self.model.kept();
        let pools = self.model.pools.iter().zip(sent).zip(offered.into_iter().zip(kept));
        pools.filter(|((pool, _), _)| pool.capacity.is_some()).map(
            |((pool, sent), (offered, kept))| PoolStanding {
                pool: pool.id,
                rate: sent,
                target: Some(pool.taking.target).filter(|target| target.is_finite()),
                max: Some(pool.taking.max).filter(|max| max.is_finite()),
                kept: if offered > 0.0 { (kept / offered).min(1.0) } else { 1.0 },
                load: pool.load,
                errors: pool.errors,
                is_stale: pool.taking.is_stale,
            },
        )
    }

    /// Queries a second that are asked of all pools together, and the part of them that is not
    /// sent to the first that serves.
    pub fn demand(&self) -> (f64, f64) {
        let classes = self.model.classes.iter();
        let away = |class: &Class| class.parts.moved(&class.home, &class.serving);
        let spilled: f64 = classes.clone().map(|class| class.demand() * away(class)).sum();
        let demand: f64 = classes.map(Class::demand).sum();
        let drawn: f64 = self.model.drawn.iter().map(Drawn::demand).sum();
        (demand + drawn, if demand > 0.0 { spilled / demand } else { 0.0 })
    }

    /// Where everybody had better be; `None` when it is not worth moving anybody.
    fn wish(&self) -> Option<Wish> {
        let room = self.model.room(|pool| pool.taking.target);
        let nearest = self.model.loads(|class| class.home);
        // Who is away comes back when a part of the target is to spare, and stays until all is used.
        let spare = if self.is_away { RESERVE } else { 0.0 };
        let spare = self.model.pools.iter().map(|pool| pool.taking.target.min(f64::MAX) * spare);
        let needs = nearest.iter().zip(spare).map(|(load, spare)| load + spare);
        let fits = needs.zip(&room).all(|(needs, room)| needs <= *room);
        let home = || self.model.classes.iter().map(|class| class.home).collect();
        let parts: Vec<Parts> = if fits { home() } else { self.solve(&room) };
        let mut moves: HashMap<RuleKey, (f64, f64)> = HashMap::new();
        for (class, wanted) in self.model.classes.iter().zip(&parts) {
            let moved = class.parts.moved(wanted, &class.serving) * class.demand();
            let (sum, demand) = moves.entry(class.rule).or_default();
            *sum += moved;
            *demand += class.demand();
        }
        let (moved, demand) = moves.values().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        if moved <= demand * NOISE {
            return None;
        }
        let loads = self.model.loads(|class| class.parts);
        let is_over = loads.iter().zip(&room).any(|(load, room)| *load > room * (1.0 + NOISE));
        // Where all that there is is too little, a little more or less demand moves nobody.
        let wished = self.model.loads_by(parts.iter().copied());
        let helps = || self.excess(&loads, &room) - self.excess(&wished, &room) > RESERVE;
        let is_worth = if is_over { helps() } else { moved > demand * WORTHWHILE };
        (is_worth || fits).then_some(Wish { parts, moves, is_home: fits })
    }

    /// By how much pools have too much, as parts of what they can take: what one has above another
    /// counts for more.
    fn excess(&self, loads: &[f64], room: &[f64]) -> f64 {
        let pools = self.model.pools.iter().zip(loads.iter().zip(room));
        let over = pools.filter(|(_, (load, room))| load > room).map(|(pool, (load, room))| {
            let target = pool.taking.target;
            (load - room) / if target > 0.0 { target } else { 1.0 }
        });
        over.map(|over| over * over).sum::<f64>().sqrt()
    }

    /// Where everybody goes when all together go the least way farther.
    fn solve(&self, room: &[f64]) -> Vec<Parts> {
        let mut capacities: Vec<f64> = room.iter().map(|room| room * (1.0 - RESERVE)).collect();
        // Those who share a tie and are not to be moved take their part of the room first.
        for class in self.model.classes.iter().filter(|class| class.stays_tied()) {
            for (option, part) in class.options.iter().zip(class.home.arrivals(&class.serving)) {
                let left = &mut capacities[option.pool];
                *left = (*left - part * class.demand()).max(0.0);
            }
        }
        let classes: Vec<solve::Class> = self
            .model
            .classes
            .iter()
            .map(|class| {
                let options = class
                    .reachable()
                    .map(|(_, option)| Choice { pool: option.pool, cost: option.cost });
                let demand = if class.stays_tied() { 0.0 } else { class.demand() };
                solve::Class { demand, options: options.collect() }
            })
            .collect();
        let solution = solve::solve(&classes, &capacities);
        let to_parts = |(class, flows): (&Class, &Vec<f64>)| match class.stays_tied() {
            true => class.home,
            false => class.arriving(flows),
        };
        self.model.classes.iter().zip(&solution.flows).map(to_parts).collect()
    }

    /// Moves as far as the rules let their clients be moved at a time. All move the same part of
    /// their way, so that every pool's load is between what it was and what it is to be: nobody
    /// is sent where others have not made room. While a pool is above its max, all the way.
    fn move_on(&mut self, wish: Wish, now: Duration) {
        let max = self.model.room(|pool| pool.taking.max);
        let loads = self.model.loads(|class| class.parts);
        let is_urgent = loads.iter().zip(&max).any(|(load, max)| *load > max * (1.0 + NOISE));
        let movers = wish.moves.iter().filter(|(_, (moved, _))| *moved > 0.0);
        let pace = |(rule, (moved, demand)): (&RuleKey, &(f64, f64))| {
            let spill = self.model.spill_of(*rule);
            let is_due = self.moved.get(rule).is_none_or(|last| now >= *last + spill.every);
            if is_due { f64::from(spill.step) / 10_000.0 * demand / moved } else { 0.0 }
        };
        let part = if is_urgent { 1.0 } else { movers.clone().map(pace).fold(1.0, f64::min) };
        if part <= 0.0 {
            return;
        }
        let moved: Vec<RuleKey> = movers.map(|(rule, _)| *rule).collect();
        self.moved.extend(moved.into_iter().map(|rule| (rule, now)));
        for (class, wanted) in self.model.classes.iter_mut().zip(wish.parts) {
            let stays = class.parts.moved(&wanted, &class.serving) <= NOISE;
            class.parts = match (part >= 1.0, stays && !wish.is_home) {
                (_, true) => class.parts,
                (true, _) => wanted,
                (false, _) => class.parts.towards(&wanted, part),
            };
        }
    }

    /// Tells the plans, in the parts that they understand. What rounding takes from a pool in one
    /// class it is given back in the next.
    fn publish(&mut self) {
        let room = self.model.room(|pool| pool.taking.target);
        let loads = self.model.loads(|class| class.parts);
        let is_tight = |pool: usize| loads[pool] > room[pool] * (1.0 - 2.0 * RESERVE);
        let tight: Vec<bool> = (0..loads.len()).map(is_tight).collect();
        let mut carried = vec![0.0; self.model.pools.len()];
        let plans = &self.model.plans;
        for class in &mut self.model.classes {
            let demand = class.demand();
            if class.published != Some(class.parts) {
                // Where there is no room left, rounding shall not make more.
                let half = demand * 0.5 / 256.0;
                let over = |at: usize| {
                    let pool = class.options.get(at).map(|option| option.pool);
                    pool.map_or(0.0, |pool| carried[pool] + if tight[pool] { half } else { 0.0 })
                };
                let (word, rounded) = match class.parts.word(demand, over) {
                    _ if class.parts.is_home => (spill::FIRST, class.parts),
                    // Where several are equally near, the first and no other.
                    (spill::FIRST, rounded) if class.ties.is_some() => (spill::ALL_FIRST, rounded),
                    told => told,
                };
                class.published = Some(class.parts);
                class.rounded = rounded;
                if let Some(spill) = plans.get(class.rule.plan).and_then(|plan| plan.spill()) {
                    spill.set_word(class.order, word);
                }
            }
            let exact = class.parts.arrivals(&class.serving);
            let told = class.rounded.arrivals(&class.serving);
            for (at, option) in class.options.iter().enumerate() {
                carried[option.pool] += (told[at] - exact[at]) * demand;
            }
        }
        self.model.plans.iter().filter_map(Named::spill).for_each(Spill::settle);
        self.model.publish_keeps();
    }
}

impl PoolEntry {
    fn learn(&mut self, loads: &Loads, sent: f64, times: (Duration, Duration)) {
        let report = loads.of(&self.name).filter(|report| report.is_fresh(times.0));
        (self.load, self.errors) = report.map_or((None, None), |told| (told.load, told.errors));
        if let Some(capacity) = &self.capacity {
            self.taking.learn(capacity, report, sent, times);
        }
        let most = self.capacity.as_ref().and_then(|capacity| capacity.errors);
        self.errs = most.zip(self.errors).is_some_and(|(most, errors)| errors >= most);
        self.ours = sent.max(self.ours * 0.5_f64.powf(times.1.as_secs_f64() / LATE));
        let queries = self.capacity.as_ref().and_then(|capacity| capacity.queries);
        self.full = match (self.load, queries) {
            (Some(load), Some(queries)) if load - self.ours / queries >= 1.0 => true,
            // Nothing tells what of its load is ours but that nothing is sent.
            (Some(load), None) if load >= 1.0 && self.ours <= 0.0 => true,
            (Some(load), _) => self.full && load >= HAS_ROOM,
            (None, _) => false,
        };
    }

    /// How loaded it is when it is sent `sent` queries a second: as it reports, or else as what is
    /// counted makes it. Unknown where only reports would tell, and none holds. What it can take is
    /// what is configured: what is learned of it follows its load, and shares must not do so twice.
    fn in_use(&self, sent: f64) -> PoolLoad {
        let queries = self.capacity.as_ref().and_then(|capacity| capacity.queries);
        let counted = queries.map(|queries| sent / queries);
        let Some(load) = self.load.or(counted) else { return PoolLoad::UNKNOWN };
        // One that makes errors is full, for a pool that sheds looks idle.
        let in_use = PoolLoad::new(if self.errs { load.max(1.0) } else { load }, queries);
        if self.errs || self.full { in_use.full() } else { in_use }
    }
}
