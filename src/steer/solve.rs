//! Where clients go when there are more than the nearest pools can take.
//!
//! A transportation problem: each *class* of clients (all those with one order of candidates) has
//! a demand and may go to its candidates at a cost, each pool takes so much, and all together
//! shall cost as little as possible. Solved exactly by successive shortest paths (Ahuja, Magnanti,
//! Orlin: "Network Flows", section 9.7) over the few pools instead of the many classes: an edge
//! from pool to pool is the class that loses least by moving. Those move first that lose least,
//! and a pool that is passed on to may pass on others in turn.
//!
//! Pure arithmetic: no clock, no chance, and the same answer for the same question.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// Clients that are treated alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// What they ask for, in any unit that capacities have too.
    pub demand: f64,
    /// Where they may go, and what a unit of demand costs there (kilometres, milliseconds).
    pub options: Vec<Choice>,
}

/// One place a class may go to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Number of the pool among the capacities.
    pub pool: usize,
    /// Cost of a unit of demand.
    pub cost: f64,
}

/// Who goes where.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// For each class the demand sent to each of its options.
    pub flows: Vec<Vec<f64>>,
    /// What each pool gets.
    pub loads: Vec<f64>,
    /// What each pool is made to take: its capacity, or more where there is no room for all.
    pub capacities: Vec<f64>,
}

/// Demands below this share of the whole are nothing.
const NOTHING: f64 = 1e-12;

/// Sends every class where all together cost least, with no pool above its capacity (which may be
/// infinite). Where there is more demand than capacity, pools take more by the same factor: all of
/// them when all together are too small, else those that the demand in excess can reach. Demand
/// that may go nowhere else stays.
pub fn solve(classes: &[Class], capacities: &[f64]) -> Solution {
    let demand: f64 = classes.iter().filter(|c| !c.options.is_empty()).map(|c| c.demand).sum();
    let capacity: f64 = capacities.iter().sum();
    let stretch = if capacity > 0.0 { (demand / capacity).max(1.0) } else { 1.0 };
    let capacities: Vec<f64> = capacities.iter().map(|capacity| capacity * stretch).collect();
    let mut work = Work::nearest(classes, capacities, demand * NOTHING);
    // Each pass either brings down what was over or ends; more would be rounding.
    for _ in 0..=work.loads.len() {
        while let Some(path) = work.cheapest() {
            work.send(&path);
        }
        if !work.widen() {
            break;
        }
    }
    Solution { flows: work.flows, loads: work.loads, capacities: work.capacities }
}

struct Work<'c> {
    classes: &'c [Class],
    capacities: Vec<f64>,
    flows: Vec<Vec<f64>>,
    loads: Vec<f64>,
    /// By pair of pools, the classes that may move from the first to the second.
    moves: BTreeMap<(usize, usize), BinaryHeap<Move>>,
    nothing: f64,
}

/// A class that may move from its option `from` to its option `to`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Move {
    loss: f64,
    class: usize,
    from: usize,
    to: usize,
}

/// How a pool is best reached from one that has too much: by which pool before it.
#[derive(Debug, Clone, Copy)]
struct Reached {
    cost: f64,
    by: Option<(usize, Move)>,
}

impl<'c> Work<'c> {
    /// Everybody at the cheapest option.
    fn nearest(classes: &'c [Class], capacities: Vec<f64>, nothing: f64) -> Self {
        let flows = classes.iter().map(|class| vec![0.0; class.options.len()]).collect();
        let loads = vec![0.0; capacities.len()];
        let mut work = Self { classes, capacities, flows, loads, moves: BTreeMap::new(), nothing };
        for (number, class) in classes.iter().enumerate() {
            let by_cost =
                |a: &(usize, &Choice), b: &(usize, &Choice)| a.1.cost.total_cmp(&b.1.cost);
            let best = class.options.iter().enumerate().min_by(by_cost);
            if let Some((option, _)) = best.filter(|_| class.demand > 0.0) {
                work.put(number, option, class.demand);
            }
        }
        work
    }

    /// Adds demand of a class to an option, from which it may from now on be moved.
    fn put(&mut self, class: usize, from: usize, amount: f64) {
        let options = &self.classes[class].options;
        if self.flows[class][from] <= self.nothing {
            for (to, choice) in options.iter().enumerate().filter(|&(to, _)| to != from) {
                let loss = choice.cost - options[from].cost;
                let between = (options[from].pool, choice.pool);
                self.moves.entry(between).or_default().push(Move { loss, class, from, to });
            }
        }
        self.flows[class][from] += amount;
        self.loads[options[from].pool] += amount;
    }

    /// What is left over cannot reach any room: the pools that it can reach take more, all by the
    /// same factor. False when nothing is left over, or nothing can be done.
    fn widen(&mut self) -> bool {
        let mut reached: Vec<bool> = (0..self.loads.len()).map(|pool| self.is_over(pool)).collect();
        let edges = self.edges();
        for _ in 0..reached.len() {
            edges.iter().for_each(|&(from, to, _)| reached[to] |= reached[from]);
        }
        let sum = |of: &[f64]| -> f64 {
            of.iter().zip(&reached).filter(|(_, reached)| **reached).map(|(of, _)| of).sum()
        };
        let factor = sum(&self.loads) / sum(&self.capacities);
        // Not a number where nothing is over, infinite where nothing can be taken.
        if !factor.is_finite() || factor <= 1.0 {
            return false;
        }
        let capacities = self.capacities.iter_mut().zip(&reached);
        capacities.filter(|(_, reached)| **reached).for_each(|(capacity, _)| *capacity *= factor);
        true
    }

    fn is_over(&self, pool: usize) -> bool {
        self.loads[pool] > self.capacities[pool] + self.nothing
    }

    /// The way from a pool with too much to one with room that costs least.
    fn cheapest(&mut self) -> Option<Vec<Move>> {
        let over: Vec<usize> = (0..self.loads.len()).filter(|&pool| self.is_over(pool)).collect();
        if over.is_empty() {
            return None;
        }
        let edges = self.edges();
        let mut reached: Vec<Option<Reached>> = vec![None; self.loads.len()];
        over.iter().for_each(|&pool| reached[pool] = Some(Reached { cost: 0.0, by: None }));
        // Bellman and Ford: losses may be below zero once clients have been passed on.
        for _ in 0..self.loads.len() {
            let mut better = false;
            for &(from, to, step) in &edges {
                let Some(here) = reached[from] else { continue };
                let cost = here.cost + step.loss;
                if reached[to].is_none_or(|there| cost < there.cost - 1e-9) {
                    reached[to] = Some(Reached { cost, by: Some((from, step)) });
                    better = true;
                }
            }
            if !better {
                break;
            }
        }
        let has_room = |pool: usize| self.loads[pool] < self.capacities[pool] - self.nothing;
        let ends = (0..self.loads.len()).filter(|&pool| has_room(pool));
        let ends = ends.filter_map(|pool| Some((pool, reached[pool]?.cost)));
        let (end, _) = ends.min_by(|a, b| a.1.total_cmp(&b.1))?;
        let mut path = Vec::new();
        let mut at = end;
        while let Some(Reached { by: Some((from, step)), .. }) = reached[at] {
            path.push(step);
            at = from;
            // Nobody goes in circles, whatever rounding does.
            if path.len() > self.loads.len() {
                return None;
            }
        }
        path.reverse();
        Some(path)
    }

    /// For each pair of pools the class that loses least by moving.
    fn edges(&mut self) -> Vec<(usize, usize, Move)> {
        let (flows, nothing) = (&self.flows, self.nothing);
        let mut edges = Vec::with_capacity(self.moves.len());
        for (&(from, to), moves) in &mut self.moves {
            while let Some(step) = moves.peek() {
                if flows[step.class][step.from] > nothing {
                    edges.push((from, to, *step));
                    break;
                }
                moves.pop();
            }
        }
        edges
    }

    /// Moves as much along a path as goes.
    fn send(&mut self, path: &[Move]) {
        let (Some(first), Some(last)) = (path.first(), path.last()) else { return };
        let source = self.pool(first.class, first.from);
        let end = self.pool(last.class, last.to);
        let over = self.loads[source] - self.capacities[source];
        let room = self.capacities[end] - self.loads[end];
        let there = path.iter().map(|step| self.flows[step.class][step.from]);
        let amount = there.fold(over.min(room), f64::min);
        for step in path {
            self.flows[step.class][step.from] -= amount;
            let from = self.pool(step.class, step.from);
            self.loads[from] -= amount;
            self.put(step.class, step.to, amount);
        }
    }

    fn pool(&self, class: usize, option: usize) -> usize {
        self.classes[class].options[option].pool
    }
}

impl Eq for Move {}

/// The least loss is the greatest move, since heaps give the greatest first; ties by number, so
/// that every node finds the same.
impl Ord for Move {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_loss = other.loss.total_cmp(&self.loss);
        by_loss.then_with(|| (other.class, other.to).cmp(&(self.class, self.to)))
    }
}

impl PartialOrd for Move {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::Location;
    use crate::steer::chance::Chance;

    fn class(demand: f64, options: &[(usize, f64)]) -> Class {
        let options = options.iter().map(|&(pool, cost)| Choice { pool, cost }).collect();
        Class { demand, options }
    }

    /// A proof that nothing costs less (linear programming duality): prices of pools under which
    /// every class is where cost and price together are least, and only full pools have a price.
    fn assert_optimal(classes: &[Class], solution: &Solution) {
        let is_full = |pool: usize| solution.loads[pool] >= solution.capacities[pool] - 1e-6;
        let mut prices: Vec<f64> = (0..solution.loads.len())
            .map(|pool| if is_full(pool) { f64::INFINITY } else { 0.0 })
            .collect();
        // A price is at most what moving on from there costs, and the price there.
        for _ in 0..=solution.loads.len() {
            for (class, flows) in classes.iter().zip(&solution.flows) {
                for (here, _) in class.options.iter().zip(flows).filter(|(_, flow)| **flow > 1e-9) {
                    for there in &class.options {
                        let bound = there.cost - here.cost + prices[there.pool];
                        if prices[here.pool] > bound {
                            prices[here.pool] = bound;
                        }
                    }
                }
            }
        }
        for (pool, &price) in prices.iter().enumerate() {
            assert!(price >= -1e-6, "pool {pool} has price {price}");
        }
        for (class, flows) in classes.iter().zip(&solution.flows) {
            assert!((flows.iter().sum::<f64>() - class.demand).abs() < 1e-6, "all are somewhere");
        }
    }

    fn assert_within(capacities: &[f64], solution: &Solution) {
        for (load, capacity) in solution.loads.iter().zip(capacities) {
            assert!(*load <= capacity * 1.000_001, "{load} of {capacity}");
        }
    }

    #[test]
    fn everybody_gets_the_nearest_while_there_is_room() {
        let classes = [class(3.0, &[(0, 10.0), (1, 50.0)]), class(4.0, &[(1, 5.0), (0, 60.0)])];
        let solution = solve(&classes, &[5.0, 5.0]);
        assert_eq!(solution.flows, [[3.0, 0.0], [4.0, 0.0]]);
        assert_eq!((solution.loads, solution.capacities), (vec![3.0, 4.0], vec![5.0, 5.0]));
    }

    #[test]
    fn those_move_first_that_lose_least() {
        let classes = [class(4.0, &[(0, 10.0), (1, 500.0)]), class(4.0, &[(0, 90.0), (1, 100.0)])];
        let solution = solve(&classes, &[5.0, 9.0]);
        assert_eq!(solution.flows, [[4.0, 0.0], [1.0, 3.0]]);
    }

    #[test]
    fn a_full_neighbour_passes_on_in_turn() {
        let classes = [
            class(6.0, &[(0, 1.0), (1, 2.0)]),
            class(4.0, &[(1, 1.0), (2, 3.0)]),
            class(1.0, &[(2, 1.0)]),
        ];
        let solution = solve(&classes, &[4.0, 4.0, 4.0]);
        assert_eq!(solution.flows[0], [4.0, 2.0]);
        assert_eq!(solution.flows[1], [2.0, 2.0]);
        assert_within(&[4.0; 3], &solution);
    }

    #[test]
    fn too_little_of_everything_is_shared_alike() {
        let classes = [class(12.0, &[(0, 1.0), (1, 2.0)])];
        let solution = solve(&classes, &[4.0, 2.0]);
        assert_eq!(solution.capacities, [8.0, 4.0]);
        assert!((solution.loads[0] - 8.0).abs() < 1e-6 && (solution.loads[1] - 4.0).abs() < 1e-6);
    }

    #[test]
    fn too_little_around_is_shared_alike_by_those_who_can_be_reached() {
        let classes = [class(12.0, &[(0, 1.0), (1, 2.0)]), class(1.0, &[(2, 1.0), (0, 3.0)])];
        let solution = solve(&classes, &[4.0, 2.0, 90.0]);
        assert_eq!(solution.capacities, [8.0, 4.0, 90.0]);
        assert!((solution.loads[0] - 8.0).abs() < 1e-6 && (solution.loads[1] - 4.0).abs() < 1e-6);
    }

    #[test]
    fn a_pool_without_a_bound_takes_any_number() {
        let classes = [class(5.0, &[(0, 1.0), (1, 9.0)])];
        assert_eq!(solve(&classes, &[f64::INFINITY, 1.0]).loads, [5.0, 0.0]);
        assert_eq!(solve(&classes, &[2.0, f64::INFINITY]).loads, [2.0, 3.0]);
    }

    #[test]
    fn who_may_go_nowhere_else_stays() {
        let classes = [class(5.0, &[(0, 1.0)]), class(1.0, &[(0, 1.0), (1, 9.0)])];
        let solution = solve(&classes, &[2.0, 9.0]);
        assert_eq!(solution.flows, vec![vec![5.0], vec![0.0, 1.0]]);
        assert_eq!(solve(&[], &[1.0]).loads, [0.0]);
        assert_eq!(solve(&[class(1.0, &[])], &[1.0]).loads, [0.0]);
    }

    /// A world of its own: cities of very different size, regions where many of them are.
    fn world(seed: u64, cities: usize, regions: usize) -> (Vec<Class>, Vec<f64>) {
        let mut chance = Chance::seeded(seed);
        let mut place = || {
            let latitude = f64::from(chance.below(120_000)) / 1000.0 - 55.0;
            let longitude = f64::from(chance.below(360_000)) / 1000.0 - 180.0;
            let demand = 1000.0 / f64::from(1 + chance.below(1000));
            (Location::new(latitude, longitude).expect("on the globe"), demand)
        };
        let regions: Vec<Location> = (0..regions).map(|_| place().0).collect();
        let classes: Vec<Class> = (0..cities)
            .map(|_| {
                let (at, demand) = place();
                let costs = regions.iter().map(|&region| at.kilometres_to(region));
                let mut options: Vec<Choice> =
                    costs.enumerate().map(|(pool, cost)| Choice { pool, cost }).collect();
                options.sort_by(|a, b| a.cost.total_cmp(&b.cost));
                Class { demand, options }
            })
            .collect();
        let mut nearest = vec![0.0; regions.len()];
        classes.iter().for_each(|class| nearest[class.options[0].pool] += class.demand);
        (classes, nearest)
    }

    #[test]
    fn nothing_costs_less_and_no_pool_is_above_its_capacity() {
        for seed in 0..40 {
            let (classes, nearest) = world(seed, 300, 12);
            let demand: f64 = nearest.iter().sum();
            let mut halved: Vec<f64> = nearest.iter().map(|load| load * 1.2).collect();
            let biggest = (0..12).max_by(|&a, &b| halved[a].total_cmp(&halved[b])).expect("one");
            halved[biggest] /= 2.0;
            let mut chance = Chance::seeded(seed);
            let random: Vec<f64> = (0..12).map(|_| f64::from(1 + chance.below(100))).collect();
            let sum: f64 = random.iter().sum();
            let random: Vec<f64> = random.iter().map(|part| part * demand * 1.05 / sum).collect();
            for capacities in [vec![demand * 1.3 / 12.0; 12], halved, random] {
                let solution = solve(&classes, &capacities);
                let stretch = (demand / capacities.iter().sum::<f64>()).max(1.0);
                let capacities: Vec<f64> = capacities.iter().map(|of| of * stretch).collect();
                assert_within(&capacities, &solution);
                assert_optimal(&classes, &solution);
            }
        }
    }
}
