//! The three cases of the research, from demand to the bytes that plans are told.

use std::time::Duration;

use super::model::{Candidate, PoolEntry};
use super::*;
use crate::region::{Capacity, Location};
use crate::steer::chance::Chance;
use crate::steer::solve::{Class as Clients, solve};

const REGIONS: usize = 20;
const ORDERS: usize = 3443;

/// A world of its own: cities of very different size, and regions where many of them are.
fn world(seed: u64) -> Vec<Clients> {
    let mut chance = Chance::seeded(seed);
    let mut place = || {
        let latitude = f64::from(chance.below(100_000)) / 1000.0 - 40.0;
        let longitude = f64::from(chance.below(360_000)) / 1000.0 - 180.0;
        let demand = 1000.0 / f64::from(1 + chance.below(1000));
        (Location::new(latitude, longitude).expect("on the globe"), demand)
    };
    let regions: Vec<Location> = (0..REGIONS).map(|_| place().0).collect();
    let city = |_| {
        let (at, demand) = place();
        let costs = regions.iter().map(|&region| at.kilometres_to(region)).enumerate();
        let mut options: Vec<Choice> = costs.map(|(pool, cost)| Choice { pool, cost }).collect();
        options.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        Clients { demand, options }
    };
    (0..ORDERS).map(city).collect()
}

/// A planner over these clients, as far as an order keeps their options, which has begun to
/// count; pools are full at `capacities`.
fn planner(clients: &[Clients], capacities: &[f64]) -> CapacityPlanner {
    let mut planner = CapacityPlanner::default();
    for (number, &target) in capacities.iter().enumerate() {
        let capacity =
            Capacity { queries: Some(target), load: None, target: 1.0, max: 1.0, errors: None };
        planner.model.pools.push(PoolEntry::for_test(number, capacity));
    }
    for (number, clients) in clients.iter().enumerate() {
        let options = clients.options.iter().take(crate::geo::map::ORDER_MAX);
        let options = options.map(|choice| Candidate { pool: choice.pool, cost: choice.cost });
        planner.model.classes.push(Class::for_test(number, options.collect(), clients.demand));
    }
    planner
}

/// What everybody's way costs as plans are told.
fn told(planner: &CapacityPlanner) -> f64 {
    let classes = planner.model.classes.iter();
    let cost = |class: &Class| {
        let arrivals = class.rounded.arrivals(&class.serving);
        let costs = class.options.iter().zip(arrivals).map(|(option, part)| option.cost * part);
        costs.sum::<f64>() * class.demand()
    };
    classes.map(cost).sum()
}

#[test]
fn the_three_cases_of_the_research_are_within_2_per_cent_of_the_best_and_1_of_capacity() {
    for seed in 0..4 {
        let clients = world(seed);
        let demand: f64 = clients.iter().map(|clients| clients.demand).sum();
        let mut nearest = [0.0; REGIONS];
        clients.iter().for_each(|of| nearest[of.options[0].pool] += of.demand);
        let mut halved: Vec<f64> = nearest.iter().map(|load| load * 1.2).collect();
        let biggest = (0..REGIONS).max_by(|a, b| halved[*a].total_cmp(&halved[*b])).expect("one");
        halved[biggest] /= 2.0;
        let mut chance = Chance::seeded(seed);
        let random: Vec<f64> = (0..REGIONS).map(|_| f64::from(50 + chance.below(100))).collect();
        let sum: f64 = random.iter().sum();
        let random: Vec<f64> = random.iter().map(|part| part * demand * 1.05 / sum).collect();
        for (name, capacities) in [
            ("equal 1.3", vec![demand * 1.3 / REGIONS as f64; REGIONS]),
            ("biggest halved", halved),
            ("random 1.05", random),
        ] {
            // With all regions to choose from, and no room kept free.
            let best = solve(&clients, &capacities);
            let paths = best
                .flows
                .iter()
                .zip(&clients)
                .flat_map(|(flows, of)| flows.iter().zip(&of.options));
            let best: f64 = paths.map(|(flow, choice)| flow * choice.cost).sum();
            let mut planner = planner(&clients, &capacities);
            let wish = planner.wish().expect("somebody has to move");
            planner.move_on(wish, Duration::ZERO);
            planner.publish();
            let loads = planner.model.sent();
            let worst = loads.iter().zip(&capacities).map(|(load, most)| load / most);
            let worst = worst.fold(0.0, f64::max);
            let cost = told(&planner);
            assert!(worst <= 1.01, "seed {seed}, {name}: {worst} of capacity");
            assert!(cost <= best * 1.02, "seed {seed}, {name}: {cost} of {best}");
        }
    }
}

#[test]
fn one_order_for_everybody_is_cut_to_bytes_without_too_much_for_small_pools() {
    for small in [0.02, 0.05, 0.1, 0.3] {
        let options = [0.0, 1.0, 2.0].iter().enumerate();
        let options: Vec<Choice> = options.map(|(pool, &cost)| Choice { pool, cost }).collect();
        let clients = [Clients { demand: 100.0, options }];
        let capacities = [small * 100.0, 60.0, 100.0];
        let mut planner = planner(&clients, &capacities);
        let wish = planner.wish().expect("somebody has to move");
        planner.move_on(wish, Duration::ZERO);
        planner.publish();
        let loads = planner.model.sent();
        for (load, most) in loads.iter().zip(capacities) {
            assert!(*load <= most * 1.01, "{small}: {loads:?}");
        }
        assert!(loads[0] >= small * 100.0 - 0.8 && loads[1] >= 58.5, "{small}: {loads:?}");
    }
}
