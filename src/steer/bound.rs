//! Bounded load: no pool takes more than so many times its fair share of a rule's queries.
//!
//! After "Consistent hashing with bounded loads" (Mirrokni, Thorup, Zadimoghaddam, 2016), for a
//! chooser that sees shares of networks and not single requests: a pool that is offered more than
//! its bound keeps that part of its networks which the bound allows, and the others go where
//! their hash leads next. The bounds add up to more than all queries, so that there is room.
//! Pure: counters come in, shares go out.

use crate::steer::dials::ALL;

/// Fewer queries than this between two looks say nothing of shares.
const ENOUGH: f64 = 500.0;
/// How much of a new look counts: queries of one look are few, and pools answer each other.
const WEIGHT: f64 = 0.5;

/// The pools of one rule.
#[derive(Debug, Clone, Default)]
pub struct Bound {
    pools: Vec<Load>,
}

#[derive(Debug, Clone, Copy)]
struct Load {
    counted: u64,
    /// Queries between two looks.
    rate: f64,
    /// The share it keeps, `0.0..=1.0`.
    keep: f64,
}

impl Bound {
    /// Looks at what each pool has answered so far, its weight (0 for one that is out), and the
    /// most it may take of its fair share, in basis points. To be called at an even pace, some
    /// ten seconds. Gives the share that each keeps, in the order of the pools.
    pub fn look(&mut self, pools: &[(u64, u32)], most: u16) -> Vec<u16> {
        if self.pools.len() != pools.len() {
            let load = |&(counted, _): &(u64, u32)| Load { counted, rate: 0.0, keep: 1.0 };
            self.pools = pools.iter().map(load).collect();
        }
        for (load, &(counted, _)) in self.pools.iter_mut().zip(pools) {
            let new = counted.saturating_sub(load.counted) as f64;
            load.counted = counted;
            load.rate += WEIGHT * (new - load.rate);
        }
        let all: f64 = self.pools.iter().map(|load| load.rate).sum();
        let weights: f64 = pools.iter().map(|&(_, weight)| f64::from(weight)).sum();
        if all >= ENOUGH {
            for (load, &(_, weight)) in self.pools.iter_mut().zip(pools) {
                let bound = all * f64::from(weight) / weights * f64::from(most) / 10_000.0;
                let offered = load.rate / load.keep;
                let wanted = if offered > bound { bound / offered } else { 1.0 };
                // One that is out is offered nothing, and must not come back throttled.
                load.keep = if weight == 0 { 1.0 } else { wanted.clamp(0.01, 1.0) };
            }
        }
        (0..self.pools.len()).map(|place| self.keep(place)).collect()
    }

    /// The share that the pool at `place` keeps.
    pub fn keep(&self, place: usize) -> u16 {
        self.pools.get(place).map_or(ALL, |load| (load.keep * f64::from(ALL)).round() as u16)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::steer::affinity::Affinity;
    use crate::steer::key::{ClientKey, KeyLengths, salt_of};
    use crate::steer::select::KEEP_SALT;

    /// Networks of which some ask much more than others, at three pools of like weight.
    struct World {
        networks: Vec<(ClientKey, u64)>,
        affinity: Affinity,
        salts: [u64; 3],
        counted: [u64; 3],
    }

    impl World {
        fn new() -> Self {
            let key = |n: u32| {
                ClientKey::of(Ipv4Addr::from_bits(n << 8).into(), KeyLengths { v4: 24, v6: 48 })
            };
            let salts = ["fra", "iad", "sin"].map(salt_of);
            Self {
                networks: (1..4_000).map(|n| (key(n), 40_000 / u64::from(n) + 1)).collect(),
                affinity: Affinity::new(&salts.map(|salt| (salt, 1))),
                salts,
                counted: [0; 3],
            }
        }

        /// One look's worth of queries; gives each pool's share of them.
        fn pass(&mut self, keeps: &[u16]) -> [f64; 3] {
            let mut taken = [0u64; 3];
            for &(key, queries) in &self.networks {
                let kept = |pool: usize| key.is_within(keeps[pool], self.salts[pool] ^ KEEP_SALT);
                let pool =
                    self.affinity.pick(key, kept).or_else(|| self.affinity.pick(key, |_| true));
                taken[pool.expect("one of three")] += queries;
            }
            let all: u64 = taken.iter().sum();
            (0..3).for_each(|pool| self.counted[pool] += taken[pool]);
            taken.map(|taken| taken as f64 / all as f64)
        }
    }

    #[test]
    fn no_pool_takes_much_more_than_its_bound_and_shares_come_to_rest() {
        let (mut world, mut bound) = (World::new(), Bound::default());
        let mut keeps = bound.look(&world.counted.map(|counted| (counted, 1)), 11_000);
        let first = world.pass(&keeps);
        assert!(first.iter().any(|share| *share > 0.38), "the hash alone is uneven: {first:?}");
        let mut shares = first;
        for _ in 0..60 {
            keeps = bound.look(&world.counted.map(|counted| (counted, 1)), 11_000);
            shares = world.pass(&keeps);
        }
        // Networks are not split, and the largest is a twentieth of all: so much above the bound.
        assert!(shares.iter().all(|share| *share < 1.1 / 3.0 + 0.06), "{shares:?}");
        let spread = |shares: [f64; 3]| shares.iter().copied().fold(0.0, f64::max);
        assert!(spread(shares) < spread(first));
        let rest = bound.look(&world.counted.map(|counted| (counted, 1)), 11_000);
        let moved = keeps.iter().zip(&rest).map(|(one, two)| one.abs_diff(*two)).max();
        assert!(moved < Some(ALL / 50), "{keeps:?} {rest:?}");
    }

    #[test]
    fn what_is_within_the_bound_is_left_alone() {
        let mut bound = Bound::default();
        bound.look(&[(0, 1), (0, 2)], 12_500);
        for round in 1..10 {
            let keeps = bound.look(&[(round * 1_100, 1), (round * 1_900, 2)], 12_500);
            assert_eq!(keeps, [ALL, ALL]);
        }
    }

    #[test]
    fn few_queries_bind_nobody_and_a_pool_that_is_out_comes_back_whole() {
        let mut bound = Bound::default();
        bound.look(&[(0, 1), (0, 1)], 11_000);
        assert_eq!(bound.look(&[(400, 1), (0, 1)], 11_000), [ALL, ALL]);
        let bounded = bound.look(&[(40_400, 1), (10_000, 1)], 11_000);
        assert!(bounded[0] < ALL);
        assert_eq!(bound.look(&[(40_400, 0), (60_000, 1)], 11_000)[0], ALL);
    }
}
