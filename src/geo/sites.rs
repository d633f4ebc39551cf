//! How far the sites of a map are from a point, and which are the nearest.

use crate::geo::ground::{Ball, Point, chord_squared, unit};
use crate::geo::map::{MapSpec, ORDER_MAX};

/// Room for rounding when two distances are told apart for a whole ball at once.
const ROUNDING: f64 = 1e-12;

/// The sites of one map, to measure how far they are.
#[derive(Debug)]
pub(crate) struct Sites {
    /// The point of each site; only those with coordinates are ever measured.
    points: Vec<Point>,
    located: Vec<bool>,
    /// What the distance of each site is multiplied by: its bias.
    factors: Vec<f64>,
    /// All factors are the same, so the straight line tells as much as the biased angle.
    even: bool,
    factor_max: f64,
}

/// The nearest sites, nearest first, each with its measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    sites: [(f64, u16); ORDER_MAX],
    len: usize,
}

impl Best {
    /// None yet.
    pub(crate) const NONE: Self = Self { sites: [(f64::INFINITY, 0); ORDER_MAX], len: 0 };

    /// The nearest first.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.sites[..self.len].iter().map(|best| best.1)
    }

    /// Takes a site in if it is among the `most` nearest. Of equals the earlier one wins.
    #[inline]
    fn offer(&mut self, measure: f64, site: u16, most: usize) {
        if self.len == most && (most == 0 || measure >= self.sites[most - 1].0) {
            return;
        }
        let mut at = self.len.min(most - 1);
        while at > 0 && self.sites[at - 1].0 > measure {
            self.sites[at] = self.sites[at - 1];
            at -= 1;
        }
        self.sites[at] = (measure, site);
        self.len = (self.len + 1).min(most);
    }
}

impl Sites {
    /// The sites of `spec`.
    pub(crate) fn new(spec: &MapSpec) -> Self {
        let located = spec.sites.iter().map(|site| site.location.is_some()).collect();
        let points = spec.sites.iter().map(|site| site.location.map_or([0.0; 3], unit)).collect();
        let factor = |bias: i8| 1.0 - f64::from(bias) / 100.0;
        let factors: Vec<f64> = spec.sites.iter().map(|site| factor(site.bias)).collect();
        let even = spec.sites.iter().all(|site| site.bias == spec.sites[0].bias);
        let factor_max = factors.iter().copied().fold(0.0, f64::max);
        Self { points, located, factors, even, factor_max }
    }

    /// Where a site stands.
    pub(crate) fn point(&self, site: u16) -> Option<&Point> {
        let site = usize::from(site);
        self.located[site].then(|| &self.points[site])
    }

    /// The `most` nearest to `point` of the `candidates`, which have coordinates.
    #[inline]
    pub(crate) fn nearest(&self, candidates: &[u16], point: &Point, most: usize) -> Best {
        let mut best = Best::NONE;
        for &site in candidates {
            best.offer(self.measure(site, point), site, most);
        }
        best
    }

    /// Leaves in `kept` those of the `candidates` that can be among the `most` nearest to any
    /// point in `ball`. `Some` when all its points see the same ones in the same order.
    pub(crate) fn settle(
        &self,
        candidates: &[u16],
        ball: &Ball,
        most: usize,
        kept: &mut Vec<u16>,
    ) -> Option<Best> {
        let best = self.nearest(candidates, &ball.centre, most);
        let reach =
            if best.len < candidates.len() { self.reach(&best, ball) } else { f64::INFINITY };
        let within = |site: &u16| self.measure(*site, &ball.centre) <= reach;
        kept.extend(candidates.iter().copied().filter(within));
        let found = &best.sites[..best.len];
        let apart = |&(near, a): &(f64, u16), &(far, b): &(f64, u16)| {
            far - near > self.slack(a, b, ball) || self.is_same(a, b)
        };
        let in_order = found.windows(2).all(|pair| apart(&pair[0], &pair[1]));
        let settled = in_order
            && found.last().is_none_or(|last| {
                let left_out = kept.iter().filter(|site| !best.iter().any(|have| have == **site));
                let mut measured = left_out.map(|&site| (self.measure(site, &ball.centre), site));
                measured.all(|other| apart(last, &other))
            });
        settled.then_some(best)
    }

    /// What decides: with the same bias all over the square of the straight line, which grows
    /// with the angle; otherwise the biased angle.
    #[inline]
    fn measure(&self, site: u16, point: &Point) -> f64 {
        let site = usize::from(site);
        let squared = chord_squared(point, &self.points[site]);
        if self.even { squared } else { angle(squared.sqrt()) * self.factors[site] }
    }

    /// The measure from the centre beyond which no site can be nearer to any point in the ball
    /// than those in `best`: by the triangle inequality no line grows or shrinks by more than
    /// the radius.
    fn reach(&self, best: &Best, ball: &Ball) -> f64 {
        let Some(&(farthest, _)) = best.sites[..best.len].last() else { return 0.0 };
        let reach = if self.even {
            (farthest.sqrt() + 2.0 * ball.radius).powi(2)
        } else {
            farthest + 2.0 * self.factor_max * angle(ball.radius)
        };
        reach + ROUNDING
    }

    /// How much the difference of two measures at the centre can shrink towards any point in
    /// the ball. For squared lines |p-a|² - |p-b|² = 2p·(b-a) on the sphere, so a step changes
    /// it by at most twice its length times |b-a|.
    fn slack(&self, a: u16, b: u16, ball: &Ball) -> f64 {
        let (a, b) = (usize::from(a), usize::from(b));
        let slack = if self.even {
            2.0 * ball.radius * chord_squared(&self.points[a], &self.points[b]).sqrt()
        } else {
            (self.factors[a] + self.factors[b]) * angle(ball.radius)
        };
        slack + ROUNDING
    }

    /// Two sites nothing but their place in the list tells apart.
    fn is_same(&self, a: u16, b: u16) -> bool {
        let (a, b) = (usize::from(a), usize::from(b));
        self.points[a] == self.points[b] && self.factors[a] == self.factors[b]
    }
}

/// The angle under a straight line through the unit sphere. From the chord, because the arc
/// cosine is blunt for near points.
fn angle(chord: f64) -> f64 {
    2.0 * (chord / 2.0).min(1.0).asin()
}
