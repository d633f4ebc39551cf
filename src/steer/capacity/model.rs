//! What capacity is planned over: pools, and the clients of every order and rule.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::class::{ByPosition, Parts, Serving};
use super::drawn::{Drawn, Side};
use super::pool::Taking;
use super::smooth::Smooth;
use crate::geo::latency::Gauge;
use crate::geo::map::{ORDER_MAX, Order};
use crate::health::table::{HealthTable, PoolLoad};
use crate::region::{AreaId, Capacity, Family, Pool, PoolId};
use crate::steer::dials::Dials;
use crate::steer::record::{Plan, Policy, Rule, Site, SpillRule, Ties};
use crate::steer::select::tie_shares;
use crate::steer::spill::Spill;

/// What a client loses by going to the next of a list, in kilometres, where distance says
/// nothing.
const TIER: f64 = 1000.0;

/// What a client loses by leaving its rule's own pools: farther than anything on Earth.
const LEAVING: f64 = 20_038.0;

const EARTH_RADIUS_KM: f64 = 6371.009;

/// A rule, by number of its plan and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RuleKey {
    pub(super) plan: usize,
    pub(super) rule: usize,
}

/// A plan and what it is known by.
#[derive(Debug, Clone)]
pub(super) struct Named {
    name: String,
    pub(super) plan: Arc<Plan>,
    /// Where what it would be told goes, while something is only supposed.
    pub(super) aside: Option<Arc<Spill>>,
    dials: Arc<Dials>,
}

impl Named {
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn spill(&self) -> Option<&Spill> {
        self.aside.as_deref().or(self.plan.spill.as_deref())
    }
}

/// One pool.
#[derive(Debug, Clone)]
pub(super) struct PoolEntry {
    pub(super) id: PoolId,
    /// `POOL@ZONE`.
    pub(super) name: Box<str>,
    pub(super) capacity: Option<Capacity>,
    pub(super) taking: Taking,
    /// As reported, while the report holds.
    pub(super) load: Option<f64>,
    pub(super) errors: Option<f64>,
    /// Queries a second that it was sent at most of late: what is sent shows in loads later.
    pub(super) ours: f64,
    /// It is full whatever it is sent.
    pub(super) full: bool,
    /// It was reported to make too many errors, and the report holds.
    pub(super) errs: bool,
    /// For the clients of which areas it serves, by bit.
    serves: u16,
}

/// A candidate of an order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) pool: usize,
    /// Kilometres, or what stands for them.
    pub(super) cost: f64,
}

/// The clients of one order.
#[derive(Debug, Clone)]
pub(super) struct Class {
    pub(super) rule: RuleKey,
    pub(super) order: usize,
    pub(super) area: AreaId,
    pub(super) options: Vec<Candidate>,
    pub(super) parts: Parts,
    /// Where they are when nobody is moved.
    pub(super) home: Parts,
    /// How many are equally near, and how the first of them is found; `None` where one is nearest.
    pub(super) ties: Option<(usize, Ties)>,
    /// What the plan was told, and what became of it by rounding.
    pub(super) published: Option<Parts>,
    pub(super) rounded: Parts,
    pub(super) serving: Serving,
    spread: usize,
    counted: u64,
    pub(super) rate: Smooth,
}

impl Class {
    /// Queries a second.
    pub(super) fn demand(&self) -> f64 {
        self.rate.value()
    }

    /// Sets it.
    pub(super) fn suppose(&mut self, demand: f64) {
        self.rate.set(demand);
    }

    /// Positions that its clients may be sent to now, nearest first.
    pub(super) fn reachable(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        let options = self.options.iter().enumerate();
        let tied = self.ties.map_or(1, |(tied, _)| tied);
        let near = self.serving.iter().take(tied).filter(|serves| **serves).count().max(1);
        options.filter(|(at, _)| self.serving[*at]).take(self.spread + near)
    }

    /// Its clients stay at those equally near, as the tie is broken, whatever their loads.
    pub(super) const fn stays_tied(&self) -> bool {
        self.ties.is_some() && self.spread == 0
    }

    /// From what goes to each reachable position.
    pub(super) fn arriving(&self, flows: &[f64]) -> Parts {
        let mut arrivals: ByPosition = [0.0; ORDER_MAX];
        self.reachable().zip(flows).for_each(|((at, _), flow)| arrivals[at] = *flow);
        Parts::arriving(&arrivals, &self.serving)
    }
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) pools: Vec<PoolEntry>,
    pub(super) plans: Vec<Named>,
    pub(super) classes: Vec<Class>,
    pub(super) drawn: Vec<Drawn>,
}

/// What clients are known by over snapshots: plan, rule, area, how many pools are tied, and all
/// in order.
type ClassName = (String, usize, AreaId, Option<usize>, Vec<Box<str>>);

impl Model {
    /// Of a snapshot's pools and plans; what is known of clients and pools of the same names is
    /// taken over from `before`.
    pub(super) fn new(
        pools: &[Pool],
        plans: impl Iterator<Item = (String, Arc<Plan>, Arc<Dials>)>,
        before: &Self,
    ) -> Self {
        let mut model = Self::default();
        let mut numbers: HashMap<PoolId, usize> = HashMap::new();
        for (name, plan, dials) in plans.filter(|(_, plan, _)| plan.spill.is_some()) {
            for site in &plan.sites {
                let Some(pool) = pools.get(site.pool.0 as usize) else { continue };
                numbers.entry(site.pool).or_insert_with(|| {
                    model.pools.push(PoolEntry::new(site.pool, pool));
                    model.pools.len() - 1
                });
            }
            model.plans.push(Named { name, plan, aside: None, dials });
        }
        for (number, named) in model.plans.iter().enumerate() {
            let plan = &*named.plan;
            for (rule, of) in plan.rules.iter().enumerate() {
                let key = RuleKey { plan: number, rule };
                let orders = plan.map.orders().iter().enumerate();
                let orders = orders.filter(|(_, order)| order.rule.map(usize::from) == Some(rule));
                let is_sided = !of.new_side.is_empty();
                if !Drawn::is_for(of) {
                    let costs = Costs::new(plan, of, pools);
                    let class = |at: usize, order| {
                        Class::new(key, (at, order), (plan, of), &costs, &numbers)
                    };
                    model.classes.extend(orders.map(|(at, order)| class(at, order)));
                } else if is_sided || matches!(of.policy, Policy::Nested(_)) {
                    let sides = match is_sided {
                        true => &[Some(Side::Old), Some(Side::New)][..],
                        false => &[None],
                    };
                    for order in orders {
                        model.drawn.extend(sides.iter().map(|side| {
                            let side = side.map(|side| (Arc::clone(&named.dials), side));
                            Drawn::of_order(key, (plan, of), order, side, &numbers)
                        }));
                    }
                } else {
                    let mut areas: BTreeMap<AreaId, Vec<usize>> = BTreeMap::new();
                    for (number, order) in orders {
                        areas.entry(order.area).or_default().push(number);
                    }
                    model.drawn.extend(
                        areas.into_iter().map(|(area, orders)| {
                            Drawn::new((key, area), plan, of, orders, &numbers)
                        }),
                    );
                }
            }
        }
        model.carry(before);
        model
    }

    fn carry(&mut self, before: &Self) {
        let pools: HashMap<&str, &PoolEntry> =
            before.pools.iter().map(|pool| (&*pool.name, pool)).collect();
        for pool in &mut self.pools {
            if let Some(known) = pools.get(&*pool.name) {
                pool.taking = known.taking.clone();
                // Until the next step, which comes before a report can be much too old.
                (pool.load, pool.errors, pool.errs) = (known.load, known.errors, known.errs);
                (pool.ours, pool.full) = (known.ours, known.full);
            }
        }
        // Those of one name, such as a place and the unknown, stand in the same order again.
        let mut classes: HashMap<ClassName, VecDeque<&Class>> = HashMap::new();
        for class in &before.classes {
            classes.entry(before.name(class)).or_default().push_back(class);
        }
        for at in 0..self.classes.len() {
            let name = self.name(&self.classes[at]);
            if let Some(known) = classes.get_mut(&name).and_then(VecDeque::pop_front) {
                let class = &mut self.classes[at];
                (class.parts, class.rate, class.serving) = (known.parts, known.rate, known.serving);
            }
        }
        let rates: HashMap<_, _> =
            before.drawn.iter().map(|drawn| (before.drawn_name(drawn), drawn)).collect();
        let rule = |model: &Self, of: &Drawn| {
            (model.plans[of.rule.plan].name.clone(), of.rule.rule, of.area)
        };
        let keeps: HashMap<_, _> =
            before.drawn.iter().map(|drawn| (rule(before, drawn), drawn)).collect();
        for at in 0..self.drawn.len() {
            if let Some(known) = rates.get(&self.drawn_name(&self.drawn[at])) {
                self.drawn[at].carry_rate(known);
            }
            if let Some(known) = keeps.get(&rule(self, &self.drawn[at])) {
                self.drawn[at].carry_keeps(known);
            }
        }
    }

    /// What drawn clients are known by: plan, rule, side, and, where it matters, pools in order.
    fn drawn_name(&self, drawn: &Drawn) -> (ClassName, Option<Side>) {
        let named = &self.plans[drawn.rule.plan];
        let order = drawn.orders.first().filter(|_| drawn.has_tree());
        let order = order.and_then(|order| named.plan.map.orders().get(*order));
        let sites = order
            .map_or(&[][..], |order| order.sites.get(..usize::from(order.len)).unwrap_or_default());
        let name = |site: &u16| {
            let row = named.plan.sites.get(usize::from(*site)).map_or(0, |site| site.row);
            named.plan.pools.get(usize::from(row)).cloned().unwrap_or_default()
        };
        let pools = sites.iter().map(name).collect();
        ((named.name.clone(), drawn.rule.rule, drawn.area, None, pools), drawn.side())
    }

    fn name(&self, class: &Class) -> ClassName {
        let pools = class.options.iter().map(|option| self.pools[option.pool].name.clone());
        let (plan, rule) = (self.plans[class.rule.plan].name.clone(), class.rule.rule);
        (plan, rule, class.area, class.ties.map(|(tied, _)| tied), pools.collect())
    }

    /// Takes the counters of the last `past`; where there was none, what they begin with.
    pub(super) fn count(&mut self, past: Option<Duration>) {
        let seconds = past.unwrap_or_default().as_secs_f64();
        let is_first = past.is_none();
        let past = past.unwrap_or_default();
        let plans = &self.plans;
        let sum = |plan: usize, order| {
            plans.get(plan).and_then(Named::spill).map_or(0, |spill| spill.demand.sum(order))
        };
        for class in &mut self.classes {
            let counted = sum(class.rule.plan, class.order);
            if seconds > 0.0 {
                let new = counted.saturating_sub(class.counted);
                class.rate.add(new as f64 / seconds, past);
            }
            if seconds > 0.0 || is_first {
                class.counted = counted;
            }
        }
        for drawn in &mut self.drawn {
            let counted: u64 = drawn.orders.iter().map(|order| sum(drawn.rule.plan, *order)).sum();
            if seconds > 0.0 {
                drawn.rate.add(counted.saturating_sub(drawn.counted) as f64 / seconds, past);
            }
            if seconds > 0.0 || is_first {
                drawn.counted = counted;
            }
        }
    }

    /// Whether a pool serves that did not when it was looked at last, or the other way round.
    pub(super) fn has_changed(&self, health: &HealthTable) -> bool {
        self.pools.iter().any(|pool| pool.serves != serves(pool.id, health))
    }

    /// Sees which pools serve.
    pub(super) fn look(&mut self, health: &HealthTable) {
        for pool in &mut self.pools {
            pool.serves = serves(pool.id, health);
        }
        for class in &mut self.classes {
            class.serving = [false; ORDER_MAX];
            for (serves, option) in class.serving.iter_mut().zip(&class.options) {
                *serves = self.pools[option.pool].serves >> class.area.0 & 1 == 1;
            }
            if let Some((tied, ties)) = class.ties {
                let pool = |place: u32| class.options.get(place as usize).map(|of| of.pool);
                let load = |place| pool(place).map(|pool| health.loads.of(self.pools[pool].id));
                let serving = class.serving.iter().take(tied).zip(0..);
                let serving = serving.fold(0, |all, (serves, at)| all | u32::from(*serves) << at);
                let shares = tie_shares(ties, serving, |at| load(at).unwrap_or(PoolLoad::UNKNOWN));
                class.home = Parts::home(&shares, &class.serving);
            }
            if class.parts.is_home {
                (class.parts, class.rounded) = (class.home, class.home);
            }
        }
    }

    /// Sets what drawn rules let their pools keep.
    pub(super) fn draw(&mut self) {
        let serves: Vec<u16> = self.pools.iter().map(|pool| pool.serves).collect();
        let room: Vec<f64> = self.pools.iter().map(|pool| pool.taking.target).collect();
        super::drawn::cut_off(&mut self.drawn, &serves, &room);
    }

    /// Tells drawn rules' plans what their pools keep.
    pub(super) fn publish_keeps(&self) {
        for drawn in &self.drawn {
            let Some(spill) = self.plans.get(drawn.rule.plan).and_then(Named::spill) else {
                continue;
            };
            for (place, keep) in drawn.keeps().enumerate() {
                spill.set_keep(drawn.rule.rule, place, keep);
            }
        }
    }

    /// Queries a second that pools get from rules that draw.
    pub(super) fn drawn_loads(&self) -> Vec<f64> {
        let mut loads = vec![0.0; self.pools.len()];
        let serves: Vec<u16> = self.pools.iter().map(|pool| pool.serves).collect();
        self.drawn.iter().for_each(|drawn| drawn.add_loads(&serves, &mut loads));
        loads
    }

    /// What is left of `limit` for clients who go by order.
    pub(super) fn room(&self, limit: impl Fn(&PoolEntry) -> f64) -> Vec<f64> {
        let drawn = self.drawn_loads();
        self.pools.iter().zip(drawn).map(|(pool, load)| (limit(pool) - load).max(0.0)).collect()
    }

    /// Queries a second that pools get from clients who go by order, if they began like this.
    pub(super) fn loads(&self, parts: impl Fn(&Class) -> Parts) -> Vec<f64> {
        self.loads_by(self.classes.iter().map(parts))
    }

    /// The same, with parts in the order of the classes.
    pub(super) fn loads_by(&self, parts: impl Iterator<Item = Parts>) -> Vec<f64> {
        let mut loads = vec![0.0; self.pools.len()];
        for (class, parts) in self.classes.iter().zip(parts) {
            let arrivals = parts.arrivals(&class.serving);
            for (option, part) in class.options.iter().zip(arrivals) {
                loads[option.pool] += part * class.demand();
            }
        }
        loads
    }

    /// Queries a second that pools get.
    pub(super) fn sent(&self) -> Vec<f64> {
        let by_order = self.loads(|class| class.rounded);
        by_order.into_iter().zip(self.drawn_loads()).map(|(one, other)| one + other).collect()
    }

    /// What pools get; what they would get if none were too small; and what they keep of that.
    pub(super) fn kept(&self) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut offered = vec![0.0; self.pools.len()];
        let mut kept = vec![0.0; self.pools.len()];
        for class in &self.classes {
            let home = class.home.arrivals(&class.serving);
            let told = class.rounded.arrivals(&class.serving);
            for ((option, home), told) in class.options.iter().zip(home).zip(told) {
                offered[option.pool] += class.demand() * home;
                kept[option.pool] += class.demand() * home.min(told);
            }
        }
        let serves: Vec<u16> = self.pools.iter().map(|pool| pool.serves).collect();
        for drawn in &self.drawn {
            drawn.add_kept(&serves, &mut offered, &mut kept);
        }
        (self.sent(), offered, kept)
    }

    pub(super) fn spill_of(&self, key: RuleKey) -> SpillRule {
        let rule = self.plans.get(key.plan).and_then(|named| named.plan.rules.get(key.rule));
        rule.map_or_else(SpillRule::default, |rule| rule.spill)
    }
}

/// For the clients of which areas a pool serves either family, by bit.
fn serves(pool: PoolId, health: &HealthTable) -> u16 {
    let families = |area| [Family::V4, Family::V6].map(|family| health.word(pool, family, area));
    let areas = AreaId::all(health.areas());
    let open = areas.filter(|area| families(*area).iter().any(|word| word.is_eligible()));
    open.fold(0, |bits, area| bits | 1 << area.0)
}

impl PoolEntry {
    pub(super) const fn serves(&self) -> u16 {
        self.serves
    }

    fn new(id: PoolId, pool: &Pool) -> Self {
        let taking = pool.capacity.as_ref().map_or_else(Taking::unbounded, Taking::configured);
        Self {
            id,
            name: format!("{}@{}", pool.name, pool.origin).into(),
            capacity: pool.capacity.clone(),
            taking,
            load: None,
            errors: None,
            errs: false,
            ours: 0.0,
            full: false,
            serves: 0,
        }
    }
}

impl Class {
    fn new(
        rule: RuleKey,
        (number, order): (usize, &Order),
        (plan, of): (&Plan, &Rule),
        costs: &Costs<'_>,
        pools: &HashMap<PoolId, usize>,
    ) -> Self {
        let mut options: Vec<Candidate> = Vec::with_capacity(ORDER_MAX);
        let mut least = 0.0_f64;
        for (at, site) in order.sites.iter().take(usize::from(order.len)).enumerate() {
            let Some(site) = plan.sites.get(usize::from(*site)) else { break };
            let Some(&pool) = pools.get(&site.pool) else { break };
            let away = costs.of(order, site);
            let leaving = if at < usize::from(order.own) { 0.0 } else { LEAVING };
            let cost = away.unwrap_or(at as f64 * TIER) + leaving;
            // The order is what was asked for, whatever distances say.
            least = least.max(cost);
            options.push(Candidate { pool, cost: least });
        }
        let tied = order.head().len().min(options.len());
        let breaks = matches!(of.policy, Policy::Nearest) && tied > 1;
        let ties = of.band.filter(|_| breaks).map(|band| (tied, band.ties));
        Self {
            rule,
            order: number,
            area: order.area,
            options,
            parts: Parts::FIRST,
            home: Parts::FIRST,
            ties,
            published: None,
            rounded: Parts::FIRST,
            serving: [false; ORDER_MAX],
            spread: usize::from(of.spill.spread),
            counted: 0,
            rate: Smooth::default(),
        }
    }
}

/// What going to a pool costs the clients of an order, in kilometres: the distance, or, where a
/// rule goes by milliseconds, the distance that lets expect as many where nothing is measured.
struct Costs<'p> {
    policy: &'p Policy,
    pools: &'p [Pool],
    gauge: Option<&'p Gauge>,
    /// By order, an address of one of its clients, who stands for all of them.
    clients: HashMap<u32, IpAddr>,
}

impl<'p> Costs<'p> {
    fn new(plan: &'p Plan, rule: &'p Rule, pools: &'p [Pool]) -> Self {
        let table = rule.latency.map(usize::from);
        let gauge = table.and_then(|table| plan.map.gauges().get(table));
        let mut clients = HashMap::new();
        if gauge.is_some() {
            for leaf in plan.map.leaves() {
                clients.entry(leaf.hit.order.number).or_insert(leaf.network);
            }
        }
        Self { policy: &rule.policy, pools, gauge, clients }
    }

    fn of(&self, order: &Order, site: &Site) -> Option<f64> {
        if matches!(self.policy, Policy::Failover) {
            return None;
        }
        let place = site.at.filter(|_| order.at != [0.0; 3]);
        let away = place.map(|(to, _)| kilometres(order.at, to));
        let factor = site.at.map_or(1.0, |(_, factor)| f64::from(factor));
        let Some(gauge) = self.gauge else { return away.map(|away| away * factor) };
        let client = self.clients.get(&order.number)?;
        let region = self.pools.get(site.pool.0 as usize)?.region;
        let taken = gauge.milliseconds(gauge.measured(*client, region), away)?;
        Some(taken / gauge.estimate.per_kilometre * factor)
    }
}

#[cfg(test)]
impl PoolEntry {
    /// A pool that serves and has just this capacity.
    pub(super) fn for_test(number: usize, capacity: Capacity) -> Self {
        let queries = capacity.queries.unwrap_or(f64::INFINITY);
        let mut taking = Taking::default();
        (taking.target, taking.max) = (queries * capacity.target, queries * capacity.max);
        Self {
            id: PoolId(number as u32),
            name: format!("{number}").into(),
            capacity: Some(capacity),
            taking,
            load: None,
            errors: None,
            errs: false,
            ours: 0.0,
            full: false,
            serves: u16::MAX,
        }
    }
}

#[cfg(test)]
impl Class {
    /// Clients who ask so often, and all of whose options serve.
    pub(super) fn for_test(order: usize, options: Vec<Candidate>, demand: f64) -> Self {
        let mut rate = Smooth::default();
        rate.add(demand, Duration::from_secs(10));
        let mut serving = [false; ORDER_MAX];
        serving[..options.len()].fill(true);
        let rule = RuleKey { plan: 0, rule: 0 };
        let (parts, rounded, spread) = (Parts::FIRST, Parts::FIRST, ORDER_MAX);
        Self {
            rule,
            order,
            area: AreaId::WORLD,
            options,
            parts,
            home: Parts::FIRST,
            ties: None,
            published: None,
            rounded,
            serving,
            spread,
            counted: 0,
            rate,
        }
    }
}

fn kilometres(from: [f32; 3], to: [f32; 3]) -> f64 {
    let dot: f64 = from.iter().zip(to).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
    dot.clamp(-1.0, 1.0).acos() * EARTH_RADIUS_KM
}
