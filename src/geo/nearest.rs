//! Which sites are nearest, for every point of the ground in use: ball by ball, and into a ball
//! only where it does not see the sites in one order. Most of the globe is far from any border
//! between two orders, so this costs a fraction of looking at every point.

use std::ops::Range;

use crate::geo::ground::{Ball, Ground};
use crate::geo::sites::{Best, Sites};

/// Lists of candidates with coordinates, and how many of each are wanted: a rule's own, and the
/// others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    pub(crate) candidates: [Vec<u16>; 2],
    pub(crate) most: [usize; 2],
    /// Up to this many times the nearest own one's measure is equally near.
    pub(crate) within: Option<f64>,
}

/// Calls `found` with runs of points and the nearest of each list to all points of the run.
/// Every point with a load is in one of them, and in each is one.
pub(crate) fn nearest(
    ground: &Ground,
    sites: &Sites,
    loads: &[f32],
    lists: &Lists,
    found: impl FnMut(Range<usize>, &[Best; 2]),
) {
    let Some(top) = ground.sizes().checked_sub(1) else { return };
    let empty = Lists { candidates: <[Vec<u16>; 2]>::default(), ..*lists };
    let kept = vec![empty; ground.sizes()];
    Walk { ground, sites, loads, kept, found }.walk(top, 0..ground.balls(top).len(), lists);
}

struct Walk<'a, F> {
    ground: &'a Ground,
    sites: &'a Sites,
    loads: &'a [f32],
    /// By size, the candidates left inside the ball at hand.
    kept: Vec<Lists>,
    found: F,
}

impl<F: FnMut(Range<usize>, &[Best; 2])> Walk<'_, F> {
    fn walk(&mut self, size: usize, balls: Range<usize>, lists: &Lists) {
        let mut kept = std::mem::take(&mut self.kept[size]);
        for number in balls {
            let inside = self.ground.inside(size, number);
            if self.loads[inside.clone()].iter().all(|load| *load == 0.0) {
                continue;
            }
            let ball = &self.ground.balls(size)[number];
            match self.settle(ball, lists, &mut kept) {
                Some(best) => (self.found)(inside, &best),
                None if size > 0 => self.walk(size - 1, self.ground.inner(size, number), &kept),
                None => self.look_at_each(inside, &kept),
            }
        }
        self.kept[size] = kept;
    }

    fn settle(&self, ball: &Ball, lists: &Lists, kept: &mut Lists) -> Option<[Best; 2]> {
        let [own, others] = &lists.candidates;
        let [own_kept, others_kept] = &mut kept.candidates;
        own_kept.clear();
        others_kept.clear();
        let own = match lists.within {
            None => self.sites.settle(own, ball, lists.most[0], own_kept),
            Some(within) => self.sites.settle_tied(own, ball, lists.most[0], within, own_kept),
        };
        let others = self.sites.settle(others, ball, lists.most[1], others_kept);
        Some([own?, others?])
    }

    fn look_at_each(&mut self, points: Range<usize>, lists: &Lists) {
        for index in points {
            if self.loads[index] > 0.0 {
                let point = &self.ground.points()[index];
                let nearest = |list: usize| {
                    self.sites.nearest(&lists.candidates[list], point, lists.most[list])
                };
                let (mut own, others) = (nearest(0), nearest(1));
                if let Some(within) = lists.within {
                    own.tie(within, &lists.candidates[0]);
                }
                (self.found)(index..index + 1, &[own, others]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::map::{MapSpec, RuleSpec, Site};
    use crate::geo::place::Place;
    use crate::geo::spans::Spans;
    use crate::region::{Location, RegionId};

    /// Numbers below a bound that repeat (a linear congruence, upper bits).
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % bound
        }

        /// Half of all locations crowd in one corner, on a grid coarse enough for ties.
        fn location(&mut self) -> Option<Location> {
            if self.below(2) == 0 {
                Location::new(40.0 + self.below(20) as f64 / 2.0, self.below(20) as f64 / 2.0)
            } else {
                Location::new(self.below(181) as f64 - 90.0, self.below(361) as f64 - 180.0)
            }
        }
    }

    #[test]
    fn every_point_gets_what_looking_at_it_alone_gives() {
        let mut dice = Dice(7);
        let places: Vec<Place> =
            (0..5000).map(|_| Place { location: dice.location(), ..Place::default() }).collect();
        let ground = Ground::new(&places, &Spans::uniform(0), &Spans::uniform(0));
        let cases = [
            (1, false, None),
            (6, false, None),
            (40, false, None),
            (200, false, None),
            (9, true, None),
            (90, true, None),
            (5, false, Some(0)),
            (6, false, Some(1000)),
            (40, false, Some(500)),
            (40, false, Some(10_000)),
            (90, true, Some(3000)),
        ];
        for (count, biased, band) in cases {
            let sites = (0..count).map(|region| Site {
                region: RegionId(region),
                location: dice.location(),
                bias: if biased { (dice.below(199) as i16 - 99) as i8 } else { 20 },
            });
            let rules = vec![RuleSpec { band, ..RuleSpec::default() }];
            let sites =
                Sites::new(&MapSpec { sites: sites.collect(), rules, ..MapSpec::default() });
            let within = band.map(|band: u16| 1.0 + f64::from(band) / 10_000.0);
            let own = (0..count).filter(|site| site % 5 != 0).rev().collect();
            let others = (0..count).filter(|site| site % 5 == 0).collect();
            let lists = Lists { candidates: [own, others], most: [8, 3], within };
            let loads: Vec<f32> = (0..ground.points().len()).map(|at| (at % 3) as f32).collect();
            let mut seen = vec![0; loads.len()];
            nearest(&ground, &sites, &loads, &lists, |run, best| {
                for index in run {
                    seen[index] += 1;
                    for (list, best) in best.iter().enumerate() {
                        let point = &ground.points()[index];
                        let candidates = &lists.candidates[list];
                        let mut alone = sites.nearest(candidates, point, lists.most[list]);
                        if let (0, Some(within)) = (list, lists.within) {
                            alone.tie(within, candidates);
                        }
                        assert!(best.iter().eq(alone.iter()), "point {index}, {count} sites");
                        assert_eq!(best.tied(), alone.tied(), "point {index}, {band:?}");
                    }
                }
            });
            let once = |(seen, load): (&i32, &f32)| *seen == 1 || (*seen == 0 && *load == 0.0);
            assert!(seen.iter().zip(&loads).all(once));
        }
    }
}
