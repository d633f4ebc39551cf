//! Which candidates a client is offered, best first. Knows nothing of networks but whether a
//! rule's own list of them holds the client.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use crate::geo::ground::{Ground, NOWHERE, Point, unit};
use crate::geo::latency::Gauge;
use crate::geo::map::{MapSpec, ORDER_MAX, Order, OrderBy, RULES_MAX, RuleSpec};
use crate::geo::measured::Measuring;
use crate::geo::nearest::{Lists, nearest};
use crate::geo::numbering::{Key, Numbering};
use crate::geo::place::Place;
use crate::geo::sites::Sites;
use crate::region::AreaId;

/// Which rules' network lists hold a client, by rule number, and behind those which areas'.
pub(crate) type RuleSet = [u64; 5];

/// The number of the first area in a [`RuleSet`].
pub(crate) const AREA_BITS: usize = 256;

/// What is known of clients by their network, beside their place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Layer {
    /// The rules whose networks hold them.
    pub(crate) held: RuleSet,
    /// By table of latencies, the number of their network in it; 0, or missing, for none.
    pub(crate) measured: Vec<u32>,
}

/// Instead of a rule's number: none matched.
const NO_RULE: u8 = RULES_MAX as u8;

/// Clients under one rule in one area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Whose {
    rule: u8,
    area: AreaId,
}

/// The clients that can be told apart, by number.
#[derive(Debug)]
pub(crate) struct Cases<'w> {
    /// The first cases: those of each place whom no network holds.
    pub(crate) places: &'w [Place],
    /// What networks say of clients; the first says nothing.
    pub(crate) layers: Vec<Layer>,
    /// The cases that follow: a place's number, and that of a layer.
    pub(crate) in_networks: Vec<(u32, u32)>,
    /// For each case, how much it counts in a representative point; 0 when nobody is there.
    pub(crate) weights: Cow<'w, [f32]>,
}

impl Cases<'_> {
    fn get(&self, case: usize) -> (u32, &Layer) {
        let behind = case.checked_sub(self.places.len());
        let (place, layer) = behind.map_or((case as u32, 0), |behind| self.in_networks[behind]);
        (place, &self.layers[layer as usize])
    }
}

/// Puts candidates in order for one [`MapSpec`] and numbers the orders it finds.
#[derive(Debug)]
pub(crate) struct Orders<'s> {
    spec: &'s MapSpec,
    sites: Sites,
    /// By table of latencies.
    measurings: Vec<Measuring>,
    numbering: Numbering,
}

impl<'s> Orders<'s> {
    /// No orders yet.
    pub(crate) fn new(spec: &'s MapSpec, measurings: Vec<Measuring>) -> Self {
        Self { spec, sites: Sites::new(spec), measurings, numbering: Numbering::default() }
    }

    /// The number of the order for clients of `place` whom no network holds.
    pub(crate) fn of_place(&mut self, place: &Place) -> u32 {
        let key = self.key(self.whose(place, &RuleSet::default()), place, 0);
        self.numbering.number(key)
    }

    /// For each case, the number of its order; any number where nobody is.
    pub(crate) fn of_cases(&mut self, cases: &Cases<'_>, ground: &Ground) -> Vec<u32> {
        let whose: Vec<Whose> = (0..cases.weights.len())
            .map(|case| {
                let (place, layer) = cases.get(case);
                self.whose(&cases.places[place as usize], &layer.held)
            })
            .collect();
        let mut orders = vec![0; whose.len()];
        for one in whose.iter().copied().collect::<BTreeSet<_>>() {
            let its_own = whose.iter().zip(0..).filter(|(other, _)| **other == one);
            self.of_whose(one, its_own.map(|(_, case)| case), cases, ground, &mut orders);
        }
        orders
    }

    /// For each order, a number that orders with the same rule, area and head share.
    pub(crate) fn heads(&self) -> Vec<u32> {
        let mut numbers = HashMap::new();
        let mut heads = Vec::with_capacity(self.numbering.found().len());
        for order in self.numbering.found() {
            let next = numbers.len() as u32;
            heads.push(*numbers.entry((order.rule, order.area, order.head())).or_insert(next));
        }
        heads
    }

    /// All orders by number, each with the point that stands for its clients, and what
    /// latencies were taken from.
    pub(crate) fn finish(self) -> (Box<[Order]>, Box<[Gauge]>) {
        let gauges = self.measurings.into_iter().map(|measuring| measuring.gauge).collect();
        (self.numbering.finish(), gauges)
    }

    /// The first rule and the first area that fit.
    fn whose(&self, place: &Place, held: &RuleSet) -> Whose {
        let mut rules = self.spec.rules.iter().zip(0_u8..);
        let rule = rules
            .find(|(rule, number)| rule.matcher.fits(place, || holds(held, usize::from(*number))));
        let mut areas = self.spec.areas.iter().enumerate();
        let area = areas.find(|(at, area)| area.fits(place, || holds(held, AREA_BITS + at)));
        // Where no rule fits there is nothing to see, alike in all areas.
        let Some((_, rule)) = rule else { return Whose { rule: NO_RULE, area: AreaId::WORLD } };
        Whose { rule, area: area.and_then(|(at, _)| AreaId::at(at)).unwrap_or(AreaId::WORLD) }
    }

    /// Writes the orders of the cases of one rule and area into `orders`.
    fn of_whose(
        &mut self,
        whose: Whose,
        its_own: impl Iterator<Item = usize>,
        cases: &Cases<'_>,
        ground: &Ground,
        orders: &mut [u32],
    ) {
        let mut loads = vec![0.0; ground.points().len()];
        let mut on_points: Vec<(u32, u32)> = Vec::new();
        for case in its_own.filter(|case| cases.weights[*case] > 0.0) {
            let ((place, layer), weight) = (cases.get(case), cases.weights[case]);
            let point = ground.point_of(place);
            let network = self.network_of(whose.rule, layer);
            if point == NOWHERE || network > 0 {
                let place = &cases.places[place as usize];
                orders[case] = self.of_odd_place(whose, place, network, weight);
            } else {
                loads[point as usize] += weight;
                on_points.push((case as u32, point));
            }
        }
        if !on_points.is_empty() {
            let by_point = self.of_points(whose, &loads, ground);
            on_points
                .iter()
                .for_each(|&(case, point)| orders[case as usize] = by_point[point as usize]);
        }
    }

    /// The number of the network that latencies were measured from, for a rule that counts by
    /// them; 0 for none.
    fn network_of(&self, rule: u8, layer: &Layer) -> u32 {
        match self.spec.rules.get(usize::from(rule)).map(|rule| rule.order) {
            Some(OrderBy::Latency(table)) => {
                layer.measured.get(usize::from(table)).copied().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// What the distance to sites is measured with under a rule.
    fn sites_of(&self, rule: &RuleSpec) -> &Sites {
        match rule.order {
            OrderBy::Latency(table) => &self.measurings[usize::from(table)].sites,
            OrderBy::Nearest | OrderBy::Listed => &self.sites,
        }
    }

    fn of_odd_place(&mut self, whose: Whose, place: &Place, network: u32, weight: f32) -> u32 {
        let key = self.key(whose, place, network);
        let number = self.numbering.number(key);
        if let Some(location) = place.location {
            self.numbering.weigh(number, &unit(location), weight);
        }
        number
    }

    /// For each point with a load, the number of its order under a rule, in an area.
    fn of_points(&mut self, whose: Whose, loads: &[f32], ground: &Ground) -> Vec<u32> {
        let Whose { rule, area } = whose;
        let mut by_point = vec![0; loads.len()];
        let mut note = |numbering: &mut Numbering, run: std::ops::Range<usize>, key| {
            let number = numbering.number(key);
            by_point[run.clone()].fill(number);
            for (point, load) in ground.points()[run.clone()].iter().zip(&loads[run]) {
                numbering.weigh(number, point, *load);
            }
        };
        match self.spec.rules.get(usize::from(rule)) {
            Some(spec) if spec.order != OrderBy::Listed => {
                let (lists, far) = self.lists(spec);
                let all = spec.own.len() + spec.others.len();
                let sites = match spec.order {
                    OrderBy::Latency(table) => &self.measurings[usize::from(table)].sites,
                    OrderBy::Nearest | OrderBy::Listed => &self.sites,
                };
                nearest(ground, sites, loads, &lists, |run, [own, others]| {
                    let tied = own.tied();
                    let own = own.iter().chain(far[0].iter().copied());
                    let others = others.iter().chain(far[1].iter().copied());
                    let key = Key::new(rule, own, tied, others, all).in_area(area);
                    note(&mut self.numbering, run, key);
                });
            }
            _ => {
                let key = self.key(whose, &Place::default(), 0);
                note(&mut self.numbering, 0..loads.len(), key);
            }
        }
        by_point
    }

    /// The candidates of a rule with coordinates, and those without.
    fn lists(&self, rule: &RuleSpec) -> (Lists, [Vec<u16>; 2]) {
        let located = |site: &u16| self.sites.point(*site).is_some();
        let parts = [&rule.own, &rule.others].map(|list| list.iter().copied().partition(located));
        let [(own, own_far), (others, others_far)] = parts;
        let most = [ORDER_MAX, ORDER_MAX.saturating_sub(rule.own.len())];
        (Lists { candidates: [own, others], most, within: within(rule) }, [own_far, others_far])
    }

    /// What a rule gives clients of a place, in a network that latencies were measured from if
    /// it is not 0.
    fn key(&self, Whose { rule, area }: Whose, place: &Place, network: u32) -> Key {
        let Some(spec) = self.spec.rules.get(usize::from(rule)) else { return Key::NONE };
        let all = spec.own.len() + spec.others.len();
        let list = |list: &[u16], within| match spec.order {
            OrderBy::Listed => (list.to_vec(), 1),
            OrderBy::Nearest | OrderBy::Latency(_) => {
                self.nearest_first(spec, list, place, network, within)
            }
        };
        let (own, tied) = list(&spec.own, within(spec));
        let (others, _) = list(&spec.others, None);
        Key::new(rule, own.into_iter(), tied, others.into_iter(), all).in_area(area)
    }

    /// Sites of the region the operator pinned the place to, the nearest ones, and those
    /// without coordinates; as written where the place has none. With them, how many of the
    /// first are equally near: all of a pinned region, or those up to `within` times as far as
    /// the nearest.
    fn nearest_first(
        &self,
        rule: &RuleSpec,
        list: &[u16],
        place: &Place,
        network: u32,
        within: Option<f64>,
    ) -> (Vec<u16>, usize) {
        let is_pinned =
            |site: &u16| place.region == Some(self.spec.sites[usize::from(*site)].region);
        let (mut sorted, mut rest): (Vec<_>, Vec<_>) = list.iter().copied().partition(is_pinned);
        let mut tied = if within.is_some() { sorted.len() } else { 1 };
        match (self.point_of(place), rule.order) {
            (from, OrderBy::Latency(table)) if network > 0 => {
                let measuring = &self.measurings[usize::from(table)];
                let near =
                    measuring.put_in_order(self.spec, &mut rest, network, from.as_ref(), within);
                if sorted.is_empty() {
                    tied = near;
                }
                sorted.extend(rest);
            }
            (Some(point), _) => {
                let sites = self.sites_of(rule);
                let located = |site: &u16| self.sites.point(*site).is_some();
                let (near, far): (Vec<_>, Vec<_>) = rest.into_iter().partition(located);
                let mut best = sites.nearest(&near, &point, ORDER_MAX);
                if let (true, Some(within)) = (sorted.is_empty(), within) {
                    best.tie(within, &near);
                    tied = best.tied();
                }
                sorted.extend(best.iter());
                sorted.extend(far);
            }
            (None, _) => sorted.extend(rest),
        }
        (sorted, tied)
    }

    /// Where a client counts as standing: at its coordinates, or else at the region the
    /// operator pinned it to.
    fn point_of(&self, place: &Place) -> Option<Point> {
        let at_region = || {
            let mut sites = self.spec.sites.iter().zip(0..);
            let region = place.region?;
            sites.find_map(|(site, number)| {
                self.sites.point(number).filter(|_| site.region == region).copied()
            })
        };
        place.location.map(unit).or_else(at_region)
    }
}

/// Up to how many times as far as the nearest is equally near.
fn within(rule: &RuleSpec) -> Option<f64> {
    rule.band.map(|band| 1.0 + f64::from(band) / 10_000.0)
}

/// Adds rule `number` to a set.
pub(crate) fn hold(set: &mut RuleSet, number: usize) {
    set[number / 64] |= 1 << (number % 64);
}

fn holds(set: &RuleSet, number: usize) -> bool {
    (set[number / 64] >> (number % 64)) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::map::Site;
    use crate::region::{Location, RegionId};

    fn at(latitude: f64, longitude: f64) -> Option<Location> {
        Location::new(latitude, longitude)
    }

    fn spec(order: OrderBy, sites: &[(Option<Location>, i8)]) -> MapSpec {
        let sites = sites.iter().zip(0..);
        let sites: Vec<_> = sites
            .map(|(&(location, bias), region)| Site { region: RegionId(region), location, bias })
            .collect();
        let own = (0..sites.len() as u16).collect();
        let rule = RuleSpec { order, own, ..RuleSpec::default() };
        MapSpec { sites, rules: vec![rule], ..MapSpec::default() }
    }

    fn order(spec: &MapSpec, place: Place) -> Vec<u16> {
        let order = full_order(spec, place);
        order.sites[..usize::from(order.len)].to_vec()
    }

    fn full_order(spec: &MapSpec, place: Place) -> Order {
        let mut orders = Orders::new(spec, Vec::new());
        let number = orders.of_place(&place);
        orders.numbering.found()[number as usize].clone()
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
        let order = full_order(&spec, client(0.0, 19.0));
        assert!(order.cut);
        assert_eq!(order.sites, [19, 18, 17, 16, 15, 14, 13, 12]);
    }

    #[test]
    fn others_follow_a_rules_own() {
        let mut spec =
            spec(OrderBy::Nearest, &[(at(0.0, 0.0), 0), (at(0.0, 9.0), 0), (at(0.0, 5.0), 0)]);
        spec.rules[0].own = vec![1];
        spec.rules[0].others = vec![0, 2];
        let order_here = full_order(&spec, client(0.0, 6.0));
        assert_eq!((order_here.own, order_here.len), (1, 3));
        assert_eq!(order(&spec, client(0.0, 6.0)), [1, 2, 0]);
    }
}
