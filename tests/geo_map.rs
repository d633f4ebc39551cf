//! The compiled map against a model that thinks naively: random worlds, random rules, and
//! for every address the same order and the largest scope that is true.

use std::net::IpAddr;
use std::sync::Arc;

use meridian::geo::compile::CompileError;
use meridian::geo::latency::{Latencies, Measurement};
use meridian::geo::map::{Area, LatencySpec, MapSpec, Matcher, ORDER_MAX, OrderBy, RuleSpec, Site};
use meridian::geo::networks::Network;
use meridian::geo::place::{Continent, Country, Place};
use meridian::geo::table::GeoMap;
use meridian::geo::world::World;
use meridian::region::{AREAS_MAX, AreaId, Location, RegionId};

const EVERYTHING: (u8, u8) = (32, 64);
const MIN_SAMPLES: u32 = 16;

#[test]
fn a_lookup_gives_what_a_naive_search_gives() {
    for seed in 1..=600 {
        let case = Case::random(seed);
        let map = case.compile();
        for ip in case.probes() {
            let hit = map.lookup(ip);
            let (rule, area, sites, tied) = case.answer(ip);
            assert_eq!(hit.order.area, area, "area for {ip}, seed {seed}");
            assert_eq!(hit.order.rule, rule, "rule for {ip}, seed {seed}");
            assert_eq!(hit.order.sites[..usize::from(hit.order.len)], sites, "{ip}, seed {seed}");
            assert_eq!(usize::from(hit.order.tied), tied, "tied for {ip}, seed {seed}");
        }
    }
}

#[test]
fn a_scope_is_the_largest_block_with_one_answer() {
    for seed in 1..=60 {
        let case = Case::random(seed);
        let map = case.compile();
        for ip in case.probes() {
            let hit = map.lookup(ip);
            let full = |ip| case.answer(ip);
            let head = |ip| {
                let (rule, area, sites, tied) = case.answer(ip);
                (rule, area, sites.into_iter().take(tied.max(1)).collect::<Vec<_>>())
            };
            case.check_largest(ip, hit.scope_full, full, "whole order", seed);
            case.check_largest(ip, hit.scope_head, head, "head", seed);
        }
    }
}

#[test]
fn scopes_never_overlap_and_none_could_be_wider() {
    for seed in 1..=200 {
        let map = Case::random(seed).compile();
        let mut next = (true, 0);
        let mut count = 0;
        let (mut orders, mut heads) = (Blocks::default(), Blocks::default());
        for leaf in map.leaves() {
            count += 1;
            let family = leaf.network.is_ipv4();
            let (first, last) = block(leaf.network, leaf.length);
            if next != (family, first) {
                let between = ((true, 1 << 32), false, 0);
                assert_eq!((next, family, first), between, "a gap, seed {seed}");
            }
            next = (family, last.wrapping_add(1));
            let order = leaf.hit.order;
            assert_eq!(map.lookup(leaf.network).order, order);
            assert_eq!(map.lookup(leaf.network).scope_full, leaf.length);
            let whole = format!(
                "{:?} {:?}",
                (order.rule, order.area),
                (&order.sites, order.len, order.tied)
            );
            orders.add(leaf.network, leaf.length, whole, seed);
            let head = format!("{:?} {:?}", (order.rule, order.area), order.head());
            heads.add(leaf.network, leaf.hit.scope_head, head, seed);
        }
        assert_eq!(next, (false, 0), "the walk ends at the end, seed {seed}");
        assert_eq!(count, map.leaf_count());
    }
}

/// Blocks that were handed out with the same answer each, ascending.
#[derive(Default)]
struct Blocks(Vec<(IpAddr, u8, String)>);

impl Blocks {
    /// The next one, or the last one again. It must lie behind all others, and must not be one
    /// half of a block of which the last is the other half, with the same answer.
    fn add(&mut self, ip: IpAddr, length: u8, answer: String, seed: u64) {
        let (first, _) = block(ip, length);
        let network = address(first, ip.is_ipv4());
        let last = self.0.last().filter(|last| last.0.is_ipv4() == ip.is_ipv4());
        if let Some((before, before_length, before_answer)) = last {
            if (*before, *before_length) == (network, length) {
                assert_eq!(*before_answer, answer, "one scope, two answers at {ip}, seed {seed}");
                return;
            }
            assert!(block(*before, *before_length).1 < first, "overlap at {ip}, seed {seed}");
            let halves = *before_length == length
                && length > 0
                && block(*before, length - 1) == block(network, length - 1);
            let could_be_one = halves && *before_answer == answer;
            assert!(!could_be_one, "{before}/{length} and {network} are one answer, seed {seed}");
        }
        self.0.push((network, length, answer));
    }
}

#[test]
fn a_hundred_thousand_networks_get_what_measuring_every_distance_gives() {
    const NETWORKS: u32 = 100_000;
    let mut dice = Dice(11);
    let networks: Vec<Network> = (0..NETWORKS)
        .map(|number| {
            let first = IpAddr::V4(((10 << 24) | (number << 8)).into());
            let place = Place { location: dice.location(), ..Place::default() };
            Network { cidrs: vec![(first, 24)], asns: vec![], place }
        })
        .collect();
    let world = World::from_networks(&networks);
    for (biased, band) in [(false, None), (true, None), (false, Some(1000)), (true, Some(2500))] {
        let sites = (0..20).map(|region| Site {
            region: RegionId(region),
            location: dice.location(),
            bias: if biased { (dice.below(199) as i16 - 99) as i8 } else { 0 },
        });
        let rule = RuleSpec {
            order: OrderBy::Nearest,
            band,
            own: (0..20).rev().collect(),
            ..RuleSpec::default()
        };
        let spec = MapSpec { sites: sites.collect(), rules: vec![rule], ..MapSpec::default() };
        let map = GeoMap::compile(&world, &spec, EVERYTHING).unwrap();
        let case = Case { networks: vec![], measurements: vec![], spec, dice: Dice(0) };
        for network in &networks {
            let ip = network.cidrs[0].0;
            let (sites, tied) = case.answer_at(0, ip, &network.place);
            let order = map.lookup(ip).order;
            assert_eq!(order.sites[..usize::from(order.len)], sites, "{ip}, band {band:?}");
            assert_eq!(usize::from(order.tied), tied, "{ip}, band {band:?}");
        }
    }
}

#[test]
fn an_answer_that_is_the_same_for_all_has_scope_zero_and_no_size() {
    let mut case = Case::random(7);
    case.spec.rules.truncate(1);
    case.spec.rules[0].matcher = Matcher::default();
    case.spec.rules[0].order = OrderBy::Listed;
    case.spec.areas = Arc::from([]);
    let map = case.compile();
    let hit = map.lookup("192.0.2.1".parse().unwrap());
    assert_eq!((hit.scope_full, hit.scope_head, hit.order.rule), (0, 0, Some(0)));
    assert_eq!(map.leaf_count(), 2);
    assert!(map.memory() < 512, "{} bytes", map.memory());
}

#[test]
fn no_rule_means_no_candidates() {
    let map = GeoMap::compile(&World::from_networks(&[]), &MapSpec::default(), EVERYTHING);
    let map = map.unwrap();
    let hit = map.lookup("2001:db8::1".parse().unwrap());
    assert_eq!((hit.order.rule, hit.order.len, hit.scope_full), (None, 0, 0));
}

#[test]
fn a_mapped_address_is_looked_up_as_the_address_it_holds() {
    let case = Case::random(3);
    let map = case.compile();
    for ip in case.probes() {
        if let IpAddr::V4(v4) = ip {
            let mapped = map.lookup(IpAddr::V6(v4.to_ipv6_mapped()));
            assert_eq!(mapped.order, map.lookup(ip).order);
            assert_eq!(mapped.scope_full, map.lookup(ip).scope_full);
        }
    }
}

#[test]
fn specs_that_make_no_sense_are_refused() {
    let world = World::from_networks(&[]);
    let compile = |spec: &MapSpec| GeoMap::compile(&world, spec, EVERYTHING).unwrap_err();
    let rule = |networks, own| {
        let matcher = Matcher { networks, ..Matcher::default() };
        RuleSpec { matcher, own, ..RuleSpec::default() }
    };
    let spec = |rules| MapSpec { sites: vec![], rules, ..MapSpec::default() };
    let unknown = CompileError::UnknownSite { rule: 0, site: 3, sites: 0 };
    assert_eq!(compile(&spec(vec![rule(vec![], vec![3])])), unknown);
    let host: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(
        compile(&spec(vec![rule(vec![(host, 128)], vec![])])),
        CompileError::TooLong(host, 128, 64)
    );
    let many = vec![rule(vec![], vec![]); 256];
    assert_eq!(compile(&spec(many)), CompileError::TooManyRules(256));
    let areas = vec![Matcher::default(); AREAS_MAX + 1].into();
    let many = MapSpec { areas, ..MapSpec::default() };
    assert_eq!(compile(&many), CompileError::TooManyAreas(AREAS_MAX + 1));
}

/// A random world and spec, and what they mean.
struct Case {
    networks: Vec<Network>,
    measurements: Vec<Measurement>,
    spec: MapSpec,
    dice: Dice,
}

impl Case {
    fn random(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let networks = (0..dice.below(60)).map(|_| dice.network()).collect();
        let sites: Vec<_> =
            (0..1 + dice.below(12)).map(|region| dice.site(region as u16)).collect();
        let rules = (0..1 + dice.below(5)).map(|_| dice.rule(sites.len() as u64)).collect();
        // So few that nothing is concluded from them about distance.
        let measurements: Vec<_> =
            (0..dice.below(29)).map(|_| dice.measurement(sites.len().min(4) as u64)).collect();
        let latencies = Arc::new(Latencies::new(&measurements, EVERYTHING, |_| None));
        let latencies = vec![LatencySpec { latencies, min_samples: MIN_SAMPLES }];
        let areas = (0..dice.below(6).saturating_sub(2)).map(|_| dice.rule(1).matcher).collect();
        let spec = MapSpec { sites, rules, latencies, areas };
        Self { networks, measurements, spec, dice }
    }

    fn compile(&self) -> GeoMap {
        GeoMap::compile(&World::from_networks(&self.networks), &self.spec, EVERYTHING).unwrap()
    }

    /// Every network the case names, in the world, in a rule or in an area.
    fn blocks(&self) -> Vec<(IpAddr, u8)> {
        let rules = self.spec.rules.iter().flat_map(|rule| rule.matcher.networks.iter());
        let areas = self.spec.areas.iter().flat_map(|area| area.networks.iter());
        self.networks
            .iter()
            .flat_map(|network| network.cidrs.iter())
            .chain(rules)
            .chain(areas)
            .chain(self.measurements.iter().map(|measurement| &measurement.network))
            .copied()
            .collect()
    }

    /// Addresses at and around every border, and some anywhere.
    fn probes(&self) -> Vec<IpAddr> {
        let mut dice = Dice(self.dice.0);
        let mut probes: Vec<IpAddr> = (0..150).map(|_| dice.address()).collect();
        for (network, length) in self.blocks() {
            let (first, last) = block(network, length);
            let numbers = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
            probes.extend(numbers.map(|number| address(number, network.is_ipv4())));
        }
        probes
    }

    /// The rule, the area and the candidates an address gets, and how many of the first are
    /// equally near.
    fn answer(&self, ip: IpAddr) -> (Option<u8>, AreaId, Vec<u16>, usize) {
        let place = self.place(ip);
        let fits = |matcher: &Matcher| {
            let Matcher { networks, asns, areas, unknown, any } = matcher;
            let kinds = [
                (!networks.is_empty()).then(|| networks.iter().any(|&net| inside(ip, net))),
                (!asns.is_empty()).then(|| place.asn.is_some_and(|asn| asns.contains(&asn))),
                (!areas.is_empty()).then(|| areas.iter().any(|area| area.holds(&place))),
                unknown.then(|| place.is_unknown()),
            ];
            let mut given = kinds.into_iter().flatten();
            if *any { given.any(|fits| fits) } else { given.all(|fits| fits) }
        };
        let area = self.spec.areas.iter().position(fits).map_or(0, |at| at as u8 + 1);
        let area = AreaId(area);
        let Some(number) = self.spec.rules.iter().position(|rule| fits(&rule.matcher)) else {
            return (None, AreaId::WORLD, vec![], 0);
        };
        let (sites, tied) = self.answer_at(number, ip, &place);
        (Some(number as u8), area, sites, tied)
    }

    /// What a rule gives clients of a place.
    fn answer_at(&self, rule: usize, ip: IpAddr, place: &Place) -> (Vec<u16>, usize) {
        let rule = &self.spec.rules[rule];
        let measure = |site: &u16| self.measure(rule.order, ip, place, *site);
        let mut sites = ordered(&rule.own, measure);
        let tied = tie(&mut sites, rule, measure);
        sites.extend(ordered(&rule.others, measure));
        sites.truncate(ORDER_MAX);
        (sites, tied)
    }

    /// What a rule puts a site in order by; `None` where nothing is known, or the order written
    /// counts.
    fn measure(&self, order: OrderBy, ip: IpAddr, place: &Place, site: u16) -> Option<f64> {
        let site = &self.spec.sites[usize::from(site)];
        let far = place.location.zip(site.location).map(|(from, to)| haversine(from, to));
        let measure = match order {
            OrderBy::Listed => None,
            OrderBy::Nearest => far,
            OrderBy::Latency(_) => {
                self.milliseconds(ip, site.region, far.map(|far| 5.0 + 0.015 * far * 6371.009))
            }
        };
        measure.map(|measure| measure * (1.0 - f64::from(site.bias) / 100.0))
    }

    /// From the outermost network to the innermost, each taking its part.
    fn milliseconds(&self, ip: IpAddr, region: RegionId, estimate: Option<f64>) -> Option<f64> {
        let around = |length| {
            let here = self.measurements.iter().filter(move |measurement| {
                measurement.region == region
                    && measurement.network.1 == length
                    && inside(ip, measurement.network)
            });
            here.collect::<Vec<_>>()
        };
        let mut taken = estimate;
        for measured in (0..=64).map(around).filter(|measured| !measured.is_empty()) {
            let samples = |m: &&Measurement| u128::from(m.samples.unwrap_or(1));
            let count: u128 = measured.iter().map(samples).sum();
            let sum: u128 = measured.iter().map(|m| u128::from(m.micros) * samples(m)).sum();
            let mean = (sum / count) as f64 / 1000.0;
            let counts = match measured.iter().any(|measurement| measurement.samples.is_none()) {
                true => 1.0,
                false => (count as f64 / f64::from(MIN_SAMPLES)).sqrt().min(1.0),
            };
            // Without anything else a mean of few samples is all there is: it counts alone, and
            // less than what is nearer.
            taken = taken.map_or(Some(mean), |outer| Some(counts * mean + (1.0 - counts) * outer));
        }
        taken
    }

    fn place(&self, ip: IpAddr) -> Place {
        let mut entries: Vec<_> =
            self.networks.iter().filter(|network| inside(ip, network.cidrs[0])).collect();
        entries.sort_by_key(|network| network.cidrs[0].1);
        entries.last().map_or_else(Place::default, |network| network.place.clone())
    }

    /// The block of `scope` bits around `ip` has one answer, and twice as large a one has not.
    fn check_largest<A: PartialEq>(
        &self,
        ip: IpAddr,
        scope: u8,
        answer: impl Fn(IpAddr) -> A,
        what: &str,
        seed: u64,
    ) {
        let one_answer = |length| {
            let (first, last) = block(ip, length);
            let borders = self.blocks().into_iter().filter(|b| b.0.is_ipv4() == ip.is_ipv4());
            let inner = borders.flat_map(|(network, length)| {
                let (first, last) = block(network, length);
                [first, last.wrapping_add(1)]
            });
            let mut critical = inner.filter(|number| (first..=last).contains(number));
            critical.all(|number| answer(address(number, ip.is_ipv4())) == answer(ip))
                && answer(address(first, ip.is_ipv4())) == answer(ip)
        };
        assert!(one_answer(scope), "{what} at {ip}/{scope} is not one answer, seed {seed}");
        assert!(
            scope == 0 || !one_answer(scope - 1),
            "{what} at {ip}/{scope} is too narrow, seed {seed}"
        );
    }
}

/// By measure, those without one last; of equals the first written wins.
fn ordered(list: &[u16], measure: impl Fn(&u16) -> Option<f64>) -> Vec<u16> {
    let measure = |site| (measure(&site).unwrap_or(f64::INFINITY), site);
    let mut measured: Vec<_> = list.iter().copied().map(measure).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    measured.into_iter().map(|(_, site)| site).collect()
}

/// Puts those that are equally near in the order written; tells how many they are.
fn tie(sites: &mut [u16], rule: &RuleSpec, measure: impl Fn(&u16) -> Option<f64>) -> usize {
    let nearest = sites.first().and_then(&measure);
    let (Some(nearest), Some(band)) = (nearest, rule.band) else { return sites.len().min(1) };
    let bound = nearest * (1.0 + f64::from(band) / 10_000.0);
    let is_near = |site: &&u16| measure(site).is_some_and(|measure| measure <= bound);
    let tied = sites.iter().filter(is_near).count().min(ORDER_MAX);
    sites[..tied].sort_by_key(|site| rule.own.iter().position(|own| own == site));
    tied
}

fn inside(ip: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    ip.is_ipv4() == network.is_ipv4() && block(ip, length) == block(network, length)
}

/// First and last address of the block around an address. IPv6 in the upper 64 bits.
fn block(ip: IpAddr, length: u8) -> (u128, u128) {
    let (number, bits) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let hosts = 1_u128.checked_shl(bits - u32::from(length)).map_or(u128::MAX, |size| size - 1);
    (number & !hosts, number | hosts)
}

fn address(number: u128, v4: bool) -> IpAddr {
    if v4 { IpAddr::V4((number as u32).into()) } else { IpAddr::V6(number.into()) }
}

fn haversine(a: Location, b: Location) -> f64 {
    let half = |x: f64, y: f64| ((x - y).to_radians() / 2.0).sin().powi(2);
    let (p, q) = (a.latitude.to_radians(), b.latitude.to_radians());
    let h = half(a.latitude, b.latitude) + p.cos() * q.cos() * half(a.longitude, b.longitude);
    2.0 * h.sqrt().min(1.0).asin()
}

/// Chance that a seed repeats (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Half of all addresses fall into a corner where networks are dense.
    fn address(&mut self) -> IpAddr {
        let near = self.below(2) == 0;
        if self.below(2) == 0 {
            let number = self.next() as u32;
            IpAddr::V4(if near { 0xc000_0200 | (number & 0x3ff) } else { number }.into())
        } else {
            let number = (u128::from(self.next()) << 64) | u128::from(self.next());
            let near_number = (0x2001_0db8_0000_u128 << 80) | (number & (0xfff << 64));
            IpAddr::V6(if near { near_number } else { number }.into())
        }
    }

    fn cidr(&mut self) -> (IpAddr, u8) {
        let ip = self.address();
        let bits = if ip.is_ipv4() { 32 } else { 64 };
        let length = (bits - self.below(bits + 1).min(self.below(bits + 1))) as u8;
        (address(block(ip, length).0, ip.is_ipv4()), length)
    }

    fn location(&mut self) -> Option<Location> {
        Location::new(self.below(1800) as f64 / 10.0 - 90.0, self.below(3600) as f64 / 10.0 - 180.0)
    }

    /// A network of which everything is known, so that the longest one alone decides.
    fn network(&mut self) -> Network {
        let country = [*b"DE", *b"US", *b"SG"][self.below(3) as usize];
        let place = Place {
            continent: Some(Continent([b'A' + self.below(3) as u8, b'X'])),
            country: Some(Country(country)),
            subdivision: Some("US-CA".into()),
            city: Some("x".into()),
            location: self.location(),
            asn: Some(64_500 + self.below(3) as u32),
            region: None,
        };
        Network { cidrs: vec![self.cidr()], asns: vec![], place }
    }

    fn site(&mut self, region: u16) -> Site {
        let location = if self.below(8) == 0 { None } else { self.location() };
        let bias = if self.below(3) == 0 { (self.below(199) as i16 - 99) as i8 } else { 0 };
        Site { region: RegionId(region), location, bias }
    }

    fn measurement(&mut self, regions: u64) -> Measurement {
        let samples = if self.below(2) == 0 { None } else { Some(self.below(30) as u32 + 1) };
        let region = RegionId(self.below(regions) as u16);
        Measurement { network: self.cidr(), region, micros: self.below(300_000) as u32, samples }
    }

    fn rule(&mut self, sites: u64) -> RuleSpec {
        let networks =
            if self.below(3) == 0 { (0..4).map(|_| self.cidr()).collect() } else { vec![] };
        let asns = if self.below(5) == 0 { vec![64_500] } else { vec![] };
        let areas = match self.below(5) {
            0 => vec![Area::Country(Country(*b"DE")), Area::Continent(Continent(*b"BX"))],
            1 => vec![Area::Country(Country(*b"SG"))],
            _ => vec![],
        };
        let unknown = areas.is_empty() && self.below(6) == 0;
        let split = self.below(sites + 1) as u16;
        let orders = [OrderBy::Listed, OrderBy::Nearest, OrderBy::Latency(0)];
        let order = orders[self.below(3) as usize];
        let own = (0..sites as u16).filter(|site| *site < split).rev().collect();
        let others = (split..sites as u16).collect();
        let band = if self.below(2) == 0 { Some((self.below(4) * 1000) as u16) } else { None };
        // Only a group is any of several kinds, and nobody is in one of unknown places.
        let any = !unknown && self.below(3) == 0 && networks.len() + asns.len() + areas.len() > 0;
        let matcher = Matcher { networks, asns, areas, unknown, any };
        RuleSpec { matcher, order, band, own, others }
    }
}
