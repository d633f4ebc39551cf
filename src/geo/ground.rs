//! The places of a world as points on the globe: what putting sites in order by distance needs
//! to know of a world, made once for all its maps.
//!
//! Near points stand side by side, and runs of them lie in balls, runs of balls in larger ones.
//! Where a whole ball sees the sites in one order, its points need not be looked at. Knows no
//! sites.

use std::ops::Range;

use crate::geo::place::Place;
use crate::geo::spans::{Key, Span, Spans};
use crate::region::Location;

/// A point on the unit sphere.
pub(crate) type Point = [f64; 3];

/// In [`Ground::point_of`]: a place without coordinates, or one with an operator's word on it.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Points in the smallest balls, and balls in the next larger one.
const FAN: usize = 8;

/// The places of a world as points.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Every distinct location.
    points: Vec<Point>,
    /// For each place, its point or [`NOWHERE`].
    point_of: Vec<u32>,
    /// For each place, how much it counts in a representative point; 0 when no address is there.
    weights: Vec<f32>,
    /// Balls around [`FAN`] points each, balls around [`FAN`] of those each, and so on.
    levels: Vec<Vec<Ball>>,
}

/// A stretch of the globe that holds certain points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ball {
    /// Its centre, on the sphere.
    pub(crate) centre: Point,
    /// No point is farther from the centre, in a straight line.
    pub(crate) radius: f64,
}

impl Ground {
    /// The ground of a world.
    pub(crate) fn new(places: &[Place], v4: &Spans<u32>, v6: &Spans<u64>) -> Self {
        let mut along: Vec<(u64, u32, Point)> = Vec::with_capacity(places.len());
        for (place, number) in places.iter().zip(0..) {
            if let (Some(location), None) = (place.location, place.region) {
                let point = unit(location);
                along.push((place_on_curve(&point), number, point));
            }
        }
        along.sort_unstable_by_key(|&(key, number, _)| (key, number));
        let mut points: Vec<Point> = Vec::with_capacity(along.len());
        let mut point_of = vec![NOWHERE; places.len()];
        for (_, number, point) in along {
            if points.last() != Some(&point) {
                points.push(point);
            }
            point_of[number as usize] = points.len() as u32 - 1;
        }
        points.shrink_to_fit();
        let mut weights = vec![0.0; places.len()];
        weigh(v4, &mut weights);
        weigh(v6, &mut weights);
        let levels = levels(&points);
        Self { points, point_of, weights, levels }
    }

    /// Every distinct location, near ones side by side.
    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }

    /// The point of a place, or [`NOWHERE`].
    pub(crate) fn point_of(&self, place: u32) -> u32 {
        self.point_of[place as usize]
    }

    /// For each place, how much it counts in a representative point.
    pub(crate) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// How many sizes of balls there are; size 0 is the smallest.
    pub(crate) const fn sizes(&self) -> usize {
        self.levels.len()
    }

    /// The balls of one size.
    pub(crate) fn balls(&self, size: usize) -> &[Ball] {
        &self.levels[size]
    }

    /// The balls, one size smaller, that make up a ball.
    pub(crate) fn inner(&self, size: usize, ball: usize) -> Range<usize> {
        let first = ball * FAN;
        first..(first + FAN).min(self.levels[size - 1].len())
    }

    /// The points in a ball.
    pub(crate) fn inside(&self, size: usize, ball: usize) -> Range<usize> {
        let run = FAN.pow(size as u32 + 1);
        let first = ball * run;
        first..(first + run).min(self.points.len())
    }
}

/// Counts the addresses of each number in `spans`. An IPv6 /48 counts as one IPv4 address, so
/// that the two families are of one order of magnitude.
pub(crate) fn weigh<K: Key>(spans: &Spans<K>, weights: &mut [f32]) {
    let unit = if K::BITS == 32 { 1.0 } else { 1.0 / 65_536.0 };
    for Span { first, last, id } in spans.iter() {
        weights[id as usize] += ((last - first) as f32 + 1.0) * unit;
    }
}

fn levels(points: &[Point]) -> Vec<Vec<Ball>> {
    let mut levels: Vec<Vec<Ball>> = Vec::new();
    let mut run = FAN;
    while levels.last().is_none_or(|level| level.len() > FAN) {
        levels.push(points.chunks(run).map(Ball::around).collect());
        run *= FAN;
    }
    levels
}

impl Ball {
    fn around(points: &[Point]) -> Self {
        let mut sum = [0.0; 3];
        points.iter().for_each(|point| add(&mut sum, point, 1.0));
        // Points that cancel out fill the sphere, and any centre will do for them.
        let centre = normal(&sum).unwrap_or([1.0, 0.0, 0.0]);
        let farthest = points.iter().map(|point| chord_squared(point, &centre)).fold(0.0, f64::max);
        Self { centre, radius: farthest.sqrt() }
    }
}

/// Where a point lies on a curve that fills the cube around the sphere and seldom jumps: the
/// bits of its three coordinates in turn (Morton).
fn place_on_curve(point: &Point) -> u64 {
    // The cube's edge, 2.0, in 2^21 steps.
    let steps = point.map(|value| (((value + 1.0) * 1_048_575.5) as u64) & 0x1f_ffff);
    (apart(steps[0]) << 2) | (apart(steps[1]) << 1) | apart(steps[2])
}

/// Puts two zeros between all bits of a 21-bit number.
const fn apart(number: u64) -> u64 {
    let number = (number | (number << 32)) & 0x001f_0000_0000_ffff;
    let number = (number | (number << 16)) & 0x001f_0000_ff00_00ff;
    let number = (number | (number << 8)) & 0x100f_00f0_0f00_f00f;
    let number = (number | (number << 4)) & 0x10c3_0c30_c30c_30c3;
    (number | (number << 2)) & 0x1249_2492_4924_9249
}

/// A location as a point.
pub(crate) fn unit(location: Location) -> Point {
    let (latitude, longitude) = (location.latitude.to_radians(), location.longitude.to_radians());
    [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
}

/// The square of the straight line between two points.
#[inline]
pub(crate) fn chord_squared(a: &Point, b: &Point) -> f64 {
    let chord = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    dot(&chord, &chord)
}

/// Adds `weight` times `point` to a sum of points.
#[inline]
pub(crate) fn add(sum: &mut Point, point: &Point, weight: f64) {
    sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value * weight);
}

/// The point in the direction of a sum of points; `None` where they cancel out.
pub(crate) fn normal(sum: &Point) -> Option<Point> {
    let norm = dot(sum, sum).sqrt();
    (norm > 0.0).then(|| sum.map(|value| value / norm))
}

fn dot(a: &Point, b: &Point) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::RegionId;

    fn places() -> Vec<Place> {
        let at = |number: u32| {
            let (latitude, longitude) = (f64::from(number % 170) - 85.0, f64::from(number) / 4.0);
            Place { location: Location::new(latitude, longitude - 180.0), ..Place::default() }
        };
        std::iter::once(Place::default()).chain((0..1440).map(at)).collect()
    }

    fn ground(places: &[Place]) -> Ground {
        Ground::new(places, &Spans::uniform(0), &Spans::uniform(0))
    }

    #[test]
    fn a_ball_holds_all_its_points_and_its_inner_balls_make_it_up() {
        let ground = ground(&places());
        assert!(ground.sizes() > 2);
        for size in 0..ground.sizes() {
            let mut next = 0;
            for (number, ball) in ground.balls(size).iter().enumerate() {
                let inside = ground.inside(size, number);
                assert_eq!(inside.start, next);
                next = inside.end;
                let points = &ground.points()[inside.clone()];
                let far = points.iter().map(|point| chord_squared(point, &ball.centre).sqrt());
                assert!(far.fold(0.0, f64::max) <= ball.radius);
                if size > 0 {
                    let inner = ground.inner(size, number);
                    assert_eq!(ground.inside(size - 1, inner.start).start, inside.start);
                    assert_eq!(ground.inside(size - 1, inner.end - 1).end, inside.end);
                }
            }
            assert_eq!(next, ground.points().len());
        }
    }

    #[test]
    fn places_at_one_location_share_a_point_and_an_operators_word_sets_apart() {
        let mut places = places();
        places.push(places[7].clone());
        places.push(Place { region: Some(RegionId(1)), ..places[7].clone() });
        let ground = ground(&places);
        assert_eq!(ground.points().len(), 1440);
        assert_eq!(ground.point_of(7), ground.point_of(1441));
        assert_eq!((ground.point_of(0), ground.point_of(1442)), (NOWHERE, NOWHERE));
    }

    #[test]
    fn a_place_counts_by_its_addresses() {
        let (mut v4, mut v6) = (Spans::new(), Spans::new());
        v4.push(0, 0);
        v4.push(0x0a00_0000, 1);
        v4.push(0x0a00_0100, 0);
        v6.push(0, 0);
        v6.push(0x2001_0db8_0000_0000, 1);
        v6.push(0x2001_0db8_0004_0000, 2);
        let ground = Ground::new(&places(), &v4, &v6);
        assert_eq!(ground.weights()[1], 260.0);
        assert_eq!(ground.weights()[3], 0.0);
    }
}
