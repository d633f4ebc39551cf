//! Questions to the planner without counters and without a clock: where everybody would be, once
//! all moves were made.

use std::collections::HashMap;

use super::{CapacityPlanner, Class, Parts};
use crate::health::table::HealthTable;
use crate::region::PoolId;
use crate::steer::record::Plan;

/// Rounds after which nobody moves any more: the first settles all but what hysteresis holds.
const ROUNDS: usize = 4;

/// Rounds in which loads and the shares that hang on them come to rest, each going half the way.
const RESTS: usize = 12;

/// Queries a second by the pool they arrive at; each pool once.
pub type Arrivals = Vec<(PoolId, f64)>;

/// Clients that are planned for together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Where they would be if every pool took everybody.
    pub wanted: Arrivals,
    /// Where they are.
    pub sent: Arrivals,
}

impl CapacityPlanner {
    /// Has clients ask for this in place of what was counted: queries a second, by plan and the
    /// number of an order of its map.
    pub fn suppose(&mut self, demand: impl Fn(&Plan, usize) -> f64) {
        let model = &mut self.model;
        let of = |plan: usize, order| {
            model.plans.get(plan).map_or(0.0, |named| demand(named.plan(), order))
        };
        for class in &mut model.classes {
            class.suppose(of(class.rule.plan, class.order));
        }
        for drawn in &mut model.drawn {
            let plan = drawn.rule.plan;
            drawn.rate.set(drawn.orders.iter().map(|order| of(plan, *order)).sum());
        }
    }

    /// Has pools take this in place of what is configured: queries a second at their targets and
    /// above which clients are moved at once, as far as they are known.
    pub fn suppose_room(&mut self, room: impl Fn(PoolId) -> Option<[Option<f64>; 2]>) {
        for pool in self.model.pools.iter_mut().filter(|pool| pool.capacity.is_some()) {
            let Some(room) = room(pool.id) else { continue };
            let [target, max] = room.map(|queries| queries.unwrap_or(f64::INFINITY));
            (pool.taking.target, pool.taking.max) = (target, max);
        }
    }

    /// Has what pools are sent make these loads of them, as parts of what they can take.
    pub fn suppose_loads(&mut self, health: &HealthTable, loads: &[(PoolId, f64)]) {
        self.model.look(health);
        let sent: Vec<f64> = self.loads().into_iter().map(|(_, sent, _)| sent).collect();
        for (pool, sent) in self.model.pools.iter_mut().zip(sent) {
            let load = loads.iter().find(|(id, _)| *id == pool.id);
            if let Some((capacity, (_, load))) = pool.capacity.as_ref().zip(load) {
                pool.taking.suppose(capacity, sent, *load);
            }
        }
    }

    /// Moves everybody at once to where [steps](Self::step) would lead while demand and health
    /// stay as they are. Plans are not told: see [`tell`](Self::tell).
    pub fn settle(&mut self, health: &HealthTable) {
        self.model.look(health);
        self.model.draw();
        for _ in 0..ROUNDS {
            let Some(wish) = self.wish() else { break };
            for (class, wanted) in self.model.classes.iter_mut().zip(wish.parts) {
                class.parts = wanted;
            }
        }
    }

    /// [Settles](Self::settle) with the loads that come of it where ties hang on them, and leaves
    /// those in the table; of some pools other loads are supposed.
    pub fn rest(&mut self, health: &HealthTable, supposed: &[(PoolId, f64)]) {
        self.settle(health);
        let by_load = |class: &Class| class.ties.is_some_and(|(_, ties)| ties.by_load());
        if !self.model.classes.iter().any(by_load) {
            return;
        }
        for round in 0..RESTS {
            for ((_, sent, _), pool) in self.loads().into_iter().zip(&self.model.pools) {
                let mut load = pool.in_use(sent);
                let before = health.loads.of(pool.id).permille().filter(|_| round > 0);
                if let Some((before, now)) = before.zip(load.permille()) {
                    load = load.supposed((f64::from(before) + f64::from(now)) / 2000.0);
                }
                if let Some((_, other)) = supposed.iter().find(|(id, _)| *id == pool.id) {
                    load = load.supposed(*other);
                }
                health.loads.set(pool.id, load);
            }
            self.settle(health);
        }
    }

    /// Has everybody begin with the first again, as if no pool had ever been at capacity.
    pub fn begin_again(&mut self) {
        self.model.classes.iter_mut().for_each(|class| class.parts = class.home);
        self.model.drawn.iter_mut().for_each(super::drawn::Drawn::keep_all);
    }

    /// Tells the plans where clients begin.
    pub fn tell(&mut self) {
        self.publish();
    }

    /// Queries a second that each pool gets, and what it takes up to its target and its max;
    /// infinite where it takes any number.
    pub fn loads(&self) -> Vec<(PoolId, f64, [f64; 2])> {
        let by_order = self.model.loads(|class| class.parts);
        let drawn = self.model.drawn_loads();
        let pools = self.model.pools.iter().zip(by_order.into_iter().zip(drawn));
        let told = pools.map(|(pool, (one, other))| {
            (pool.id, one + other, [pool.taking.target, pool.taking.max])
        });
        told.collect()
    }

    /// Queries a second by plan and order; where pools are drawn, of all orders of a rule under
    /// its first.
    pub fn asked(&self) -> impl Iterator<Item = (&Plan, usize, f64)> {
        let plan = |number: usize| self.model.plans.get(number).map(super::model::Named::plan);
        let classes = self.model.classes.iter();
        let by_order = classes.map(|class| (class.rule.plan, Some(class.order), class.demand()));
        let drawn = self.model.drawn.iter();
        let drawn = drawn.map(|of| (of.rule.plan, of.orders.first().copied(), of.rate.value()));
        let all = by_order.chain(drawn);
        all.filter_map(move |(number, order, rate)| Some((plan(number)?, order?, rate)))
    }

    /// All clients, in the same order every time until other records are adopted.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        let pools = &self.model.pools;
        let serves: Vec<u16> = pools.iter().map(super::model::PoolEntry::serves).collect();
        let by_order = self.model.classes.iter().map(move |class| {
            let arrivals = |parts: &Parts| {
                let parts = class.options.iter().zip(parts.arrivals(&class.serving));
                let parts = parts.filter(|(_, part)| *part > 0.0);
                parts.map(|(to, part)| (pools[to.pool].id, part * class.demand())).collect()
            };
            Group { wanted: arrivals(&class.home), sent: arrivals(&class.parts) }
        });
        let drawn = self.model.drawn.iter().map(move |drawn| {
            let arrivals = |flows: Vec<(usize, f64)>| {
                let mut sums: HashMap<PoolId, f64> = HashMap::new();
                flows
                    .iter()
                    .for_each(|(pool, rate)| *sums.entry(pools[*pool].id).or_default() += rate);
                let mut sums: Arrivals = sums.into_iter().filter(|(_, rate)| *rate > 0.0).collect();
                sums.sort_unstable_by_key(|(pool, _)| *pool);
                sums
            };
            let [wanted, sent] = drawn.arrivals(&serves);
            Group { wanted: arrivals(wanted), sent: arrivals(sent) }
        });
        by_order.chain(drawn)
    }
}
