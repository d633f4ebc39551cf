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
    /// What is added to every angle before that, where sites are told apart by time: what no
    /// distance takes away.
    base: f64,
    /// All factors are the same, so the straight line tells as much as the biased angle.
    even: bool,
    factor_max: f64,
}

/// The nearest sites, nearest first, each with its measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    sites: [(f64, u16); ORDER_MAX],
    len: usize,
    /// How many of the first are equally near, and stand in the order of the candidates.
    tied: usize,
}

impl Best {
    /// None yet.
    pub(crate) const NONE: Self = Self { sites: [(f64::INFINITY, 0); ORDER_MAX], len: 0, tied: 1 };

    /// The nearest first.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.sites[..self.len].iter().map(|best| best.1)
    }

    /// How many of the first are equally near.
    pub(crate) const fn tied(&self) -> usize {
        self.tied
    }

    /// Counts those as equally near that are up to `within` times as far as the nearest, and
    /// puts them in the order of the `candidates`, so that it does not matter which is.
    pub(crate) fn tie(&mut self, within: f64, candidates: &[u16]) {
        self.tied = self.count_tied(within);
        let written = |site: u16| candidates.iter().position(|candidate| *candidate == site);
        self.sites[..self.tied].sort_by_key(|&(_, site)| written(site));
    }

    fn count_tied(&self, within: f64) -> usize {
        let bound = self.sites[0].0 * within;
        self.sites[..self.len].iter().take_while(|(measure, _)| *measure <= bound).count()
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
        Self::with_base(spec, 0.0)
    }

    /// The sites of `spec`, all of them by `base` radians farther than they are.
    pub(crate) fn with_base(spec: &MapSpec, base: f64) -> Self {
        let located = spec.sites.iter().map(|site| site.location.is_some()).collect();
        let points = spec.sites.iter().map(|site| site.location.map_or([0.0; 3], unit)).collect();
        let factor = |bias: i8| 1.0 - f64::from(bias) / 100.0;
        let factors: Vec<f64> = spec.sites.iter().map(|site| factor(site.bias)).collect();
        // How many times as far one is as the other, only the angle tells.
        let banded = spec.rules.iter().any(|rule| rule.band.is_some());
        let even = !banded && spec.sites.iter().all(|site| site.bias == spec.sites[0].bias);
        let factor_max = factors.iter().copied().fold(0.0, f64::max);
        Self { points, located, factors, base, even, factor_max }
    }

    /// Where a site stands.
    pub(crate) fn point(&self, site: u16) -> Option<&Point> {
        let site = usize::from(site);
        self.located[site].then(|| &self.points[site])
    }

    /// The angle to a site with coordinates and the base, without bias.
    pub(crate) fn expect(&self, site: u16, point: &Point) -> Option<f64> {
        let at = self.point(site)?;
        Some(angle(chord_squared(point, at).sqrt()) + self.base)
    }

    /// What the distance of a site is multiplied by.
    pub(crate) fn factor(&self, site: u16) -> f64 {
        self.factors[usize::from(site)]
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
        let best = self.narrow(candidates, ball, most, kept);
        let found = &best.sites[..best.len];
        let in_order = found.windows(2).all(|pair| self.apart(pair[0], pair[1], ball));
        let settled = in_order
            && found.last().is_none_or(|last| {
                self.left_out(&best, ball, kept).all(|other| self.apart(*last, other, ball))
            });
        settled.then_some(best)
    }

    /// Like [`settle`](Self::settle), where those up to `within` times as far as the nearest are
    /// equally near: `Some` when all points in `ball` see the same ones equally near, and the
    /// same ones in the same order behind them.
    pub(crate) fn settle_tied(
        &self,
        candidates: &[u16],
        ball: &Ball,
        most: usize,
        within: f64,
        kept: &mut Vec<u16>,
    ) -> Option<Best> {
        let mut best = self.narrow(candidates, ball, most, kept);
        let (tied, behind) = best.sites[..best.len].split_at(best.count_tied(within));
        let all_in = tied.iter().all(|one| {
            let mut all = kept.iter().map(|&site| (self.measure(site, &ball.centre), site));
            all.all(|other| {
                self.is_same(one.1, other.1)
                    || self.bounds(*one, ball).1 <= within * self.bounds(other, ball).0
            })
        });
        let is_out = |other: (f64, u16)| {
            let least = self.bounds(other, ball).0;
            tied.iter().any(|one| least > within * self.bounds(*one, ball).1)
        };
        let settled = all_in
            && behind.iter().all(|other| is_out(*other))
            && behind.windows(2).all(|pair| self.apart(pair[0], pair[1], ball))
            && self.left_out(&best, ball, kept).all(|other| match behind.last() {
                Some(last) => self.apart(*last, other, ball),
                // Only so many are kept, and they must be the nearest of those equally near.
                None => is_out(other) || tied.iter().all(|one| self.apart(*one, other, ball)),
            });
        best.tie(within, candidates);
        settled.then_some(best)
    }

    /// The `most` nearest to the centre; in `kept`, those that can be among the `most` nearest to
    /// any point in `ball`.
    fn narrow(&self, candidates: &[u16], ball: &Ball, most: usize, kept: &mut Vec<u16>) -> Best {
        let best = self.nearest(candidates, &ball.centre, most);
        let reach =
            if best.len < candidates.len() { self.reach(&best, ball) } else { f64::INFINITY };
        let within = |site: &u16| self.measure(*site, &ball.centre) <= reach;
        kept.extend(candidates.iter().copied().filter(within));
        best
    }

    /// Those kept that are not among the best, each with its measure from the centre.
    fn left_out(&self, best: &Best, ball: &Ball, kept: &[u16]) -> impl Iterator<Item = (f64, u16)> {
        let left_out = kept.iter().filter(|site| !best.iter().any(|have| have == **site));
        left_out.map(|&site| (self.measure(site, &ball.centre), site))
    }

    /// Whether every point in `ball` sees the first before the second.
    fn apart(&self, (near, a): (f64, u16), (far, b): (f64, u16), ball: &Ball) -> bool {
        far - near > self.slack(a, b, ball) || self.is_same(a, b)
    }

    /// Between what the measure of a site lies for the points in `ball`. Not for squared lines.
    fn bounds(&self, (measure, site): (f64, u16), ball: &Ball) -> (f64, f64) {
        let slack = self.factors[usize::from(site)] * angle(ball.radius) + ROUNDING;
        (measure - slack, measure + slack)
    }

    /// What decides: with the same bias all over the square of the straight line, which grows
    /// with the angle; otherwise the biased angle.
    #[inline]
    fn measure(&self, site: u16, point: &Point) -> f64 {
        let site = usize::from(site);
        let squared = chord_squared(point, &self.points[site]);
        if self.even { squared } else { (angle(squared.sqrt()) + self.base) * self.factors[site] }
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
