//! Which candidates a client of a place is offered, best first. Looks at one place at a
//! time; knows nothing of networks but whether a rule's own list of them holds the client.

use std::collections::HashMap;

use crate::geo::map::{MapSpec, ORDER_MAX, Order, OrderBy, RuleSpec};
use crate::geo::place::Place;
use crate::region::Location;

/// Which rules' network lists hold a client, by rule number.
pub(crate) type RuleSet = [u64; 4];

/// Puts candidates in order for one [`MapSpec`] and numbers the orders it finds.
#[derive(Debug)]
pub(crate) struct Orders<'s> {
    spec: &'s MapSpec,
    /// Unit vector of each site.
    points: Vec<Option<[f64; 3]>>,
    numbers: HashMap<Key, u32>,
    found: Vec<Order>,
    /// For each order, the sum of its clients' positions by number of addresses.
    sums: Vec<[f64; 3]>,
}

/// What makes an order: everything but the representative point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    rule: Option<u8>,
    sites: [u16; ORDER_MAX],
    len: u8,
    own: u8,
    cut: bool,
}

impl<'s> Orders<'s> {
    /// No orders yet.
    pub(crate) fn new(spec: &'s MapSpec) -> Self {
        let points = spec.sites.iter().map(|site| site.location.map(unit)).collect();
        Self { spec, points, numbers: HashMap::new(), found: Vec::new(), sums: Vec::new() }
    }

    /// How many different orders were found.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// The order with this number; its point is only known at the end.
    pub(crate) fn get(&self, number: u32) -> &Order {
        &self.found[number as usize]
    }

    /// The number of the order for clients of `place` whom the networks of `held` rules hold.
    pub(crate) fn number(&mut self, place: &Place, held: &RuleSet) -> u32 {
        let rule = self.spec.rules.iter().zip(0_u8..).find(|(rule, number)| {
            let by_network = rule.matcher.networks.is_empty() || holds(held, *number);
            by_network && rule.matcher.fits_place(place)
        });
        let key = match rule {
            Some((rule, number)) => self.order_by(rule, number, place),
            None => Key { rule: None, sites: [0; ORDER_MAX], len: 0, own: 0, cut: false },
        };
        *self.numbers.entry(key).or_insert_with(|| {
            let Key { rule, sites, len, own, cut } = key;
            self.found.push(Order { rule, sites, len, own, cut, at: [0.0; 3] });
            self.sums.push([0.0; 3]);
            self.found.len() as u32 - 1
        })
    }

    /// Counts `weight` addresses of `place` among the clients of an order.
    pub(crate) fn weigh(&mut self, number: u32, place: &Place, weight: f64) {
        if let Some(location) = place.location {
            let point = unit(location);
            let sum = &mut self.sums[number as usize];
            sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value * weight);
        }
    }

    /// All orders by number, each with the point that stands for its clients.
    pub(crate) fn finish(mut self) -> Box<[Order]> {
        for (order, sum) in self.found.iter_mut().zip(&self.sums) {
            let norm = dot(sum, sum).sqrt();
            if norm > 0.0 {
                order.at = sum.map(|value| (value / norm) as f32);
            }
        }
        self.found.into_boxed_slice()
    }

    fn order_by(&self, rule: &RuleSpec, number: u8, place: &Place) -> Key {
        let mut key = Key { rule: Some(number), sites: [0; ORDER_MAX], len: 0, own: 0, cut: false };
        let mut kept = 0;
        for list in [&rule.own, &rule.others] {
            kept += match rule.order {
                OrderBy::Listed => take_listed(list, &mut key.sites[kept..]),
                OrderBy::Nearest => self.take_nearest(list, place, &mut key.sites[kept..]),
            };
            if std::ptr::eq(list, &rule.own) {
                key.own = kept as u8;
            }
        }
        key.len = kept as u8;
        key.cut = rule.own.len() + rule.others.len() > kept;
        key
    }

    /// Fills `kept` with the nearest of `list`; gives how many.
    fn take_nearest(&self, list: &[u16], place: &Place, kept: &mut [u16]) -> usize {
        let Some(point) = self.point_of(place) else {
            return take_listed_pinned(self, list, place, kept);
        };
        let mut best = [(f64::INFINITY, 0_u16); ORDER_MAX];
        let mut len = 0;
        for &site in list {
            let distance = self.distance(site, &point, place);
            if len == kept.len() && (len == 0 || distance >= best[len - 1].0) {
                continue;
            }
            let at = best[..len].partition_point(|other| other.0 <= distance);
            len = (len + 1).min(kept.len());
            best.copy_within(at..len - 1, at + 1);
            best[at] = (distance, site);
        }
        kept.iter_mut().zip(&best[..len]).for_each(|(kept, best)| *kept = best.1);
        len
    }

    /// Where a client counts as standing: at its coordinates, or else at the region the
    /// operator pinned it to.
    fn point_of(&self, place: &Place) -> Option<[f64; 3]> {
        let at_region = || {
            let region = place.region?;
            let sites = self.spec.sites.iter().zip(&self.points);
            sites.filter(|(site, _)| site.region == region).find_map(|(_, point)| *point)
        };
        place.location.map(unit).or_else(at_region)
    }

    /// The biased angle between client and site: pinned before all, no coordinates after all.
    fn distance(&self, site: u16, point: &[f64; 3], place: &Place) -> f64 {
        let candidate = &self.spec.sites[usize::from(site)];
        if place.region == Some(candidate.region) {
            return f64::NEG_INFINITY;
        }
        match &self.points[usize::from(site)] {
            Some(other) => angle(point, other) * (1.0 - f64::from(candidate.bias) / 100.0),
            None => f64::MAX,
        }
    }
}

/// The first of `list`, as written.
fn take_listed(list: &[u16], kept: &mut [u16]) -> usize {
    let len = list.len().min(kept.len());
    kept[..len].copy_from_slice(&list[..len]);
    len
}

/// As written, but sites of the region the operator named come first.
fn take_listed_pinned(orders: &Orders<'_>, list: &[u16], place: &Place, kept: &mut [u16]) -> usize {
    let pinned = |site: &&u16| {
        place.region.is_some_and(|region| orders.spec.sites[usize::from(**site)].region == region)
    };
    let rest = list.iter().filter(|site| !pinned(site));
    let sorted = list.iter().filter(pinned).chain(rest);
    kept.iter_mut().zip(sorted).map(|(kept, site)| *kept = *site).count()
}

/// Adds rule `number` to a set.
pub(crate) fn hold(set: &mut RuleSet, number: usize) {
    set[number / 64] |= 1 << (number % 64);
}

fn holds(set: &RuleSet, number: u8) -> bool {
    (set[usize::from(number / 64)] >> (number % 64)) & 1 == 1
}

/// A point on the unit sphere.
pub(crate) fn unit(location: Location) -> [f64; 3] {
    let (latitude, longitude) = (location.latitude.to_radians(), location.longitude.to_radians());
    [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
}

/// The great-circle angle between two unit vectors. From the chord, because the arc cosine
/// is blunt for near points.
fn angle(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    let chord = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    2.0 * (dot(&chord, &chord).sqrt() / 2.0).min(1.0).asin()
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::map::{Matcher, Site};
    use crate::region::RegionId;

    fn at(latitude: f64, longitude: f64) -> Option<Location> {
        Location::new(latitude, longitude)
    }

    fn spec(order: OrderBy, sites: &[(Option<Location>, i8)]) -> MapSpec {
        let sites = sites.iter().zip(0..);
        let sites: Vec<_> = sites
            .map(|(&(location, bias), region)| Site { region: RegionId(region), location, bias })
            .collect();
        let own = (0..sites.len() as u16).collect();
        let rule = RuleSpec { matcher: Matcher::default(), order, own, others: Vec::new() };
        MapSpec { sites, rules: vec![rule] }
    }

    fn order(spec: &MapSpec, place: Place) -> Vec<u16> {
        let mut orders = Orders::new(spec);
        let number = orders.number(&place, &RuleSet::default());
        let order = orders.get(number);
        order.sites[..usize::from(order.len)].to_vec()
    }

    fn client(latitude: f64, longitude: f64) -> Place {
        Place { location: at(latitude, longitude), ..Place::default() }
    }

    #[test]
    fn the_nearest_comes_first_and_sites_without_coordinates_last() {
        let sites = [(at(1.3, 103.8), 0), (None, 0), (at(50.1, 8.7), 0), (at(38.9, -77.4), 0)];
        assert_eq!(order(&spec(OrderBy::Nearest, &sites), client(48.8, 2.3)), [2, 3, 0, 1]);
    }

    #[test]
    fn the_date_line_is_no_wall() {
        let sites = [(at(0.0, 100.0), 0), (at(0.0, -170.0), 0)];
        assert_eq!(order(&spec(OrderBy::Nearest, &sites), client(0.0, 170.0)), [1, 0]);
    }

    #[test]
    fn a_bias_draws_clients_in() {
        let sites = [(at(0.0, 0.0), 0), (at(0.0, 30.0), 50)];
        assert_eq!(order(&spec(OrderBy::Nearest, &sites), client(0.0, 12.0)), [1, 0]);
        let sites = [(at(0.0, 0.0), 0), (at(0.0, 30.0), 0)];
        assert_eq!(order(&spec(OrderBy::Nearest, &sites), client(0.0, 12.0)), [0, 1]);
    }

    #[test]
    fn ties_and_unknown_places_keep_the_order_written() {
        let sites = [(at(0.0, 10.0), 0), (at(0.0, -10.0), 0), (at(0.0, 10.0), 0)];
        let spec = spec(OrderBy::Nearest, &sites);
        assert_eq!(order(&spec, client(0.0, 0.0)), [0, 1, 2]);
        assert_eq!(order(&spec, Place::default()), [0, 1, 2]);
        assert_eq!(order(&spec, client(0.0, -1.0)), [1, 0, 2]);
    }

    #[test]
    fn a_pinned_region_comes_first_and_stands_for_the_client() {
        let sites = [(at(50.0, 8.0), 0), (at(0.0, 100.0), 0), (at(1.0, 90.0), 0), (None, 0)];
        let spec = spec(OrderBy::Nearest, &sites);
        let pinned = |region| Place { region: Some(RegionId(region)), ..Place::default() };
        assert_eq!(order(&spec, pinned(2)), [2, 1, 0, 3]);
        assert_eq!(order(&spec, pinned(3)), [3, 0, 1, 2]);
        let here = Place { region: Some(RegionId(1)), ..client(49.0, 8.0) };
        assert_eq!(order(&spec, here), [1, 0, 2, 3]);
    }

    #[test]
    fn more_candidates_than_are_kept_are_cut() {
        let sites: Vec<_> = (0..20).map(|number| (at(0.0, f64::from(number)), 0)).collect();
        let spec = spec(OrderBy::Nearest, &sites);
        let mut orders = Orders::new(&spec);
        let number = orders.number(&client(0.0, 19.0), &RuleSet::default());
        let order = orders.get(number);
        assert!(order.cut);
        assert_eq!(order.sites, [19, 18, 17, 16, 15, 14, 13, 12]);
    }

    #[test]
    fn others_follow_a_rules_own() {
        let mut spec =
            spec(OrderBy::Nearest, &[(at(0.0, 0.0), 0), (at(0.0, 9.0), 0), (at(0.0, 5.0), 0)]);
        spec.rules[0].own = vec![1];
        spec.rules[0].others = vec![0, 2];
        let mut orders = Orders::new(&spec);
        let number = orders.number(&client(0.0, 6.0), &RuleSet::default());
        assert_eq!((orders.get(number).own, orders.get(number).len), (1, 3));
        assert_eq!(order(&spec, client(0.0, 6.0)), [1, 2, 0]);
    }
}
