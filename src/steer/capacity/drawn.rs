//! Rules that draw their pools, by weight, by client or in turn: what each pool keeps of the
//! clients it is drawn for. Those it does not keep draw again among the others.
//!
//! Everybody begins with all, and a pool that is drawn too often keeps less, until no pool has
//! more than it can take: shares only fall on the way, so that it ends (deferred acceptance).

use std::collections::HashMap;
use std::sync::Arc;

use super::model::RuleKey;
use super::smooth::Smooth;
use super::tree::Node;
use crate::geo::map::Order;
use crate::region::{AreaId, PoolId};
use crate::steer::dials::{ALL, Dials};
use crate::steer::record::{Plan, Policy, Rule};

/// Most rounds of cutting off; each brings loads down to what is left to refuse.
const ROUNDS: usize = 60;

/// A keep that rises by less is left alone, so that a little less demand moves nobody.
const WORTHWHILE: f64 = 0.02;

/// The clients of a rule that draws.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    pub(super) rule: RuleKey,
    /// The area its clients are in.
    pub(super) area: AreaId,
    pub(super) orders: Vec<usize>,
    pub(super) counted: u64,
    pub(super) rate: Smooth,
    /// By place among the rule's own sites: pool and weight.
    places: Vec<(usize, f64)>,
    /// Who keeps whom is drawn for each query: a pool that keeps a share has that share of its
    /// weight. Else by client, and those whom a pool does not keep go to the others.
    by_chance: bool,
    keeps: Vec<f64>,
    /// Where more than one draw leads to a pool: how.
    tree: Option<Node>,
    /// Of a rule with two sides: one side's clients, and the dial that says how many they are.
    side: Option<(Arc<Dials>, Side)>,
    /// Clients stay at their pool whatever its load.
    stays: bool,
}

/// Which of a rule's two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Old,
    New,
}

impl Drawn {
    /// Whether a rule's clients are drawn, as against planned by order: where pools are put in
    /// one order for each client, and that is all there is to it, they are planned.
    pub(super) fn is_for(rule: &Rule) -> bool {
        let by_order = matches!(rule.policy, Policy::Failover | Policy::Nearest);
        !by_order || !rule.new_side.is_empty()
    }

    /// The clients of one order, or those of them on one side.
    pub(super) fn of_order(
        rule: RuleKey,
        (plan, of): (&Plan, &Rule),
        (number, order): (usize, &Order),
        side: Option<(Arc<Dials>, Side)>,
        pools: &HashMap<PoolId, usize>,
    ) -> Self {
        let mut drawn = Self::new((rule, order.area), plan, of, vec![number], pools);
        let is_new = |at: usize| of.own.get(at).is_some_and(|site| of.new_side.contains(site));
        drawn.tree = Some(match &side {
            None => Node::of(of, order, &|_| true),
            // Whom nobody on their side keeps, the other side does.
            Some((_, side)) => {
                let mine = *side == Side::New;
                let side = |new: bool| Node::of(of, order, &|at| is_new(at) == new);
                Node::Listed(vec![side(mine), side(!mine)])
            }
        });
        drawn.side = side;
        drawn.stays = of.spill.spread == 0;
        drawn
    }

    pub(super) fn new(
        (rule, area): (RuleKey, AreaId),
        plan: &Plan,
        of: &Rule,
        orders: Vec<usize>,
        pools: &HashMap<PoolId, usize>,
    ) -> Self {
        let weights = of.policy.weights();
        let places = of.own.iter().enumerate().filter_map(|(at, site)| {
            let pool = plan.sites.get(usize::from(*site))?.pool;
            let weight = weights.map_or(1, |weights| weights.get(at).copied().unwrap_or(0));
            Some((*pools.get(&pool)?, f64::from(weight)))
        });
        let places: Vec<_> = places.collect();
        let keeps = vec![1.0; places.len()];
        let by_chance = matches!(of.policy, Policy::Weighted { .. } | Policy::RoundRobin);
        let rate = Smooth::default();
        let (tree, side, stays) = (None, None, false);
        Self { rule, area, orders, counted: 0, rate, places, by_chance, keeps, tree, side, stays }
    }

    /// Which side's clients they are, where the rule has sides.
    pub(super) fn side(&self) -> Option<Side> {
        self.side.as_ref().map(|(_, side)| *side)
    }

    /// They come to their pools by more than one draw.
    pub(super) const fn has_tree(&self) -> bool {
        self.tree.is_some()
    }

    /// Queries a second.
    pub(super) fn demand(&self) -> f64 {
        let part = self.side.as_ref().map_or(1.0, |(dials, side)| {
            let new = f64::from(dials.stage(self.rule.rule)) / f64::from(ALL);
            if *side == Side::New { new } else { 1.0 - new }
        });
        self.rate.value() * part
    }

    pub(super) fn carry_rate(&mut self, before: &Self) {
        self.rate = before.rate;
    }

    pub(super) fn carry_keeps(&mut self, before: &Self) {
        if before.places.len() == self.places.len() {
            self.keeps.clone_from(&before.keeps);
        }
    }

    /// What its plan is told, in 1/65535.
    pub(super) fn keeps(&self) -> impl Iterator<Item = u16> {
        self.keeps.iter().map(|keep| (keep * f64::from(u16::MAX)) as u16)
    }

    /// Whether a pool serves its clients; `serves` tells for which areas, by bit.
    fn is_open(&self, serves: &[u16], pool: usize) -> bool {
        serves[pool] >> self.area.0 & 1 == 1
    }

    /// Queries a second by place: those a place is drawn for, and those it keeps.
    fn flows(&self, serves: &[u16], keeps: &[f64]) -> Vec<(f64, f64)> {
        let rate = self.demand();
        if let Some(tree) = &self.tree {
            return self.flows_by(tree, rate, serves, keeps);
        }
        let mut flows = vec![(0.0, 0.0); self.places.len()];
        let is_open = |at: usize| self.is_open(serves, self.places[at].0);
        let weight = |at: usize| if is_open(at) { self.places[at].1 } else { 0.0 };
        let sum: f64 = (0..self.places.len()).map(weight).sum();
        if sum <= 0.0 {
            // Standbys only: the first that serves has them all.
            if let Some(at) = (0..self.places.len()).find(|at| is_open(*at)) {
                flows[at] = (rate, rate);
            }
            return flows;
        }
        if self.by_chance {
            let kept = |at: usize| weight(at) * keeps[at];
            let all: f64 = (0..self.places.len()).map(kept).sum();
            for (at, flow) in flows.iter_mut().enumerate().filter(|_| all > 0.0) {
                *flow = (rate * weight(at) / sum, rate * kept(at) / all);
            }
            return flows;
        }
        // Who was refused by one pool draws among the others; after a few draws nobody is left.
        let mut drawing: Vec<f64> =
            (0..self.places.len()).map(|at| rate * weight(at) / sum).collect();
        for _ in 0..self.places.len().min(8) {
            let mut refused = vec![0.0; drawing.len()];
            for (at, drawing) in drawing.iter().enumerate() {
                flows[at].0 += drawing;
                flows[at].1 += drawing * keeps[at];
                refused[at] = drawing * (1.0 - keeps[at]);
            }
            let again = |at: usize| {
                let from = (0..refused.len()).filter(|from| *from != at && sum > weight(*from));
                from.map(|from| refused[from] * weight(at) / (sum - weight(from))).sum()
            };
            drawing = (0..drawing.len()).map(again).collect();
            if drawing.iter().all(|rate| *rate <= 0.0) {
                break;
            }
        }
        // Whom nobody keeps, the pool they are drawn for takes all the same.
        let left: f64 = drawing.iter().sum();
        flows.iter_mut().enumerate().for_each(|(at, flow)| flow.1 += left * weight(at) / sum);
        flows
    }

    fn flows_by(&self, tree: &Node, rate: f64, serves: &[u16], keeps: &[f64]) -> Vec<(f64, f64)> {
        let open = |at: usize| if self.is_open(serves, self.places[at].0) { 1.0 } else { 0.0 };
        let whole = tree.flow(&(0..keeps.len()).map(open).collect::<Vec<_>>());
        let kept = if self.stays {
            whole.clone()
        } else {
            let kept: Vec<f64> = keeps.iter().enumerate().map(|(at, k)| k * open(at)).collect();
            tree.flow(&kept)
        };
        // Whom nobody keeps, the pool they come to takes all the same.
        let left = (1.0 - kept.iter().sum::<f64>()).max(0.0);
        let flow = |(whole, kept): (&f64, f64)| (rate * whole, rate * (kept + left * whole));
        whole.iter().zip(kept).map(flow).collect()
    }

    /// Pools take everybody they are drawn for.
    pub(super) fn keep_all(&mut self) {
        self.keeps.fill(1.0);
    }

    /// Queries a second by pool: if every pool kept all, and as they do.
    pub(super) fn arrivals(&self, serves: &[u16]) -> [Vec<(usize, f64)>; 2] {
        [&vec![1.0; self.keeps.len()], &self.keeps].map(|keeps| {
            let flows = self.places.iter().zip(self.flows(serves, keeps));
            flows.map(|((pool, _), (_, kept))| (*pool, kept)).collect()
        })
    }

    pub(super) fn add_loads(&self, serves: &[u16], loads: &mut [f64]) {
        let flows = self.flows(serves, &self.keeps);
        self.places.iter().zip(flows).for_each(|((pool, _), (_, kept))| loads[*pool] += kept);
    }

    /// What pools are drawn for first, and what they keep of it.
    pub(super) fn add_kept(&self, serves: &[u16], offered: &mut [f64], kept: &mut [f64]) {
        let all = vec![1.0; self.keeps.len()];
        let flows = self.flows(serves, &all);
        for (((pool, _), (drawn, _)), keep) in self.places.iter().zip(flows).zip(&self.keeps) {
            offered[*pool] += drawn;
            kept[*pool] += drawn * keep;
        }
    }
}

/// Sets what every rule lets every pool keep, so that none of them gets more than there is room.
pub(super) fn cut_off(rules: &mut [Drawn], serves: &[u16], room: &[f64]) {
    let demand: f64 = rules.iter().map(Drawn::demand).sum();
    let mut theirs = vec![false; room.len()];
    for rule in &*rules {
        for (pool, weight) in &rule.places {
            theirs[*pool] |= rule.is_open(serves, *pool) && *weight > 0.0;
        }
    }
    let all: f64 = room.iter().zip(&theirs).filter(|(_, is)| **is).map(|(room, _)| room).sum();
    // Too little of everything: all take more by the same factor.
    let stretch = if all > 0.0 { (demand / all).max(1.0) } else { 1.0 };
    let room: Vec<f64> = room.iter().map(|room| room * stretch).collect();
    let mut keeps = vec![1.0_f64; room.len()];
    for _ in 0..ROUNDS {
        let mut kept = vec![0.0; room.len()];
        for rule in &*rules {
            let own: Vec<f64> = rule.places.iter().map(|(pool, _)| keeps[*pool]).collect();
            let flows = rule.flows(serves, &own);
            rule.places.iter().zip(flows).for_each(|((pool, _), flow)| kept[*pool] += flow.1);
        }
        let mut is_over = false;
        for ((keep, kept), room) in keeps.iter_mut().zip(kept).zip(&room) {
            if kept > room * 1.001 {
                *keep *= room / kept;
                is_over = true;
            }
        }
        if !is_over {
            break;
        }
    }
    for rule in rules.iter_mut().filter(|rule| !rule.stays) {
        for (keep, (pool, _)) in rule.keeps.iter_mut().zip(&rule.places) {
            let wanted = keeps[*pool];
            if wanted < *keep || wanted >= 1.0 || wanted > *keep + WORTHWHILE {
                *keep = wanted;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rule(rate: f64, places: &[(usize, f64)]) -> Drawn {
        let mut smooth = Smooth::default();
        smooth.add(rate, Duration::from_secs(10));
        Drawn {
            rule: RuleKey { plan: 0, rule: 0 },
            area: AreaId::WORLD,
            orders: Vec::new(),
            counted: 0,
            rate: smooth,
            places: places.to_vec(),
            by_chance: false,
            keeps: vec![1.0; places.len()],
            tree: None,
            side: None,
            stays: false,
        }
    }

    fn loads(rules: &[Drawn], serves: &[u16]) -> Vec<f64> {
        let mut loads = vec![0.0; serves.len()];
        rules.iter().for_each(|rule| rule.add_loads(serves, &mut loads));
        loads
    }

    #[test]
    fn a_pool_that_can_take_less_than_its_weight_keeps_less() {
        let mut rules = [rule(300.0, &[(0, 1.0), (1, 1.0), (2, 1.0)])];
        cut_off(&mut rules, &[1; 3], &[50.0, f64::INFINITY, f64::INFINITY]);
        let loads = loads(&rules, &[1; 3]);
        assert!((loads[0] - 50.0).abs() < 0.1 && (loads[1] - 125.0).abs() < 0.1, "{loads:?}");
        assert_eq!(rules[0].keeps[1..], [1.0, 1.0]);
    }

    #[test]
    fn who_is_refused_may_fill_the_next_and_the_rules_add_up() {
        let mut rules = [rule(100.0, &[(0, 9.0), (1, 1.0)]), rule(60.0, &[(1, 1.0), (2, 1.0)])];
        let room = [50.0, 70.0, 200.0];
        cut_off(&mut rules, &[1; 3], &room);
        let loads = loads(&rules, &[1; 3]);
        assert!(loads.iter().zip(room).all(|(load, room)| *load <= room * 1.01), "{loads:?}");
        assert!((loads.iter().sum::<f64>() - 160.0).abs() < 1e-6, "{loads:?}");
    }

    #[test]
    fn shares_come_back_when_there_is_room_and_not_for_a_trifle() {
        let mut rules = [rule(100.0, &[(0, 1.0), (1, 1.0)])];
        let mut keep_with = |room: f64| {
            cut_off(&mut rules, &[1; 2], &[room, f64::INFINITY]);
            rules[0].keeps[0]
        };
        let first = keep_with(25.0);
        assert!((first - 0.5).abs() < 0.01);
        assert_eq!(keep_with(25.5), first);
        assert!(keep_with(24.5) < first);
        assert!((keep_with(40.0) - 0.8).abs() < 0.01);
        assert_eq!(keep_with(60.0), 1.0);
    }

    #[test]
    fn weights_of_pools_that_keep_less_are_that_much_less() {
        let mut rules = [Drawn { by_chance: true, ..rule(300.0, &[(0, 1.0), (1, 1.0), (2, 1.0)]) }];
        cut_off(&mut rules, &[1; 3], &[50.0, 110.0, f64::INFINITY]);
        let loads = loads(&rules, &[1; 3]);
        let off = [50.0, 110.0, 140.0].iter().zip(&loads).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f64::max) < 1.0, "{loads:?}");
    }

    #[test]
    fn too_little_of_everything_is_shared_alike() {
        for by_chance in [false, true] {
            let mut rules = [Drawn { by_chance, ..rule(300.0, &[(0, 1.0), (1, 1.0)]) }];
            cut_off(&mut rules, &[1; 2], &[50.0, 100.0]);
            let loads = loads(&rules, &[1; 2]);
            assert!((loads[0] - 100.0).abs() < 3.0, "{loads:?}");
        }
    }

    #[test]
    fn standbys_and_pools_that_do_not_serve_are_passed_over() {
        let mut rules = [rule(100.0, &[(0, 1.0), (1, 0.0)])];
        cut_off(&mut rules, &[0, 1], &[10.0, 10.0]);
        assert_eq!(loads(&rules, &[0, 1]), [0.0, 100.0]);
        assert_eq!(loads(&rules, &[0, 0]), [0.0, 0.0]);
    }
}
