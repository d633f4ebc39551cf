//! How many clients there are of each order of a map, and where: the whole address space, or a
//! list of networks, walked once. For offline questions; never on the road.
//!
//! IPv4 clients are counted by /24s and IPv6 clients by /48s, the networks resolvers and sites
//! have; the families are told apart, since a /48 is no /24. Addresses that no registry has given
//! to anybody weigh nothing, whatever a database says of them: city databases have a place for
//! every address of IPv6.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use crate::geo::embedded;
use crate::geo::spans::{Key, Span, Spans, block_first, block_last};
use crate::geo::table::GeoMap;
use crate::geo::world::{Layer, World};

/// Bits of the networks that are counted, of IPv4 and of IPv6.
pub const COUNTED: [u8; 2] = [24, 48];

/// Clients that no map at hand tells apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Their order in the first map and in the second, as places in
    /// [`GeoMap::orders`](GeoMap::orders).
    pub orders: [u32; 2],
    /// Where they are: a place in [`World::places`].
    pub place: u32,
    /// How many /24s of IPv4 and /48s of IPv6 they are, or what a list says they weigh.
    pub weight: [f64; 2],
    /// One of their networks.
    pub network: (IpAddr, u8),
    /// The longest run of their addresses, first and last.
    pub run: (IpAddr, IpAddr),
}

/// One client network out of many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Its first address.
    pub client: IpAddr,
    /// As in [`Group`].
    pub orders: [u32; 2],
    /// As in [`Group`].
    pub place: u32,
    /// How much of its family it stands for.
    pub weight: [f64; 2],
}

/// A network of a list, and what it weighs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted {
    /// Its first address.
    pub network: IpAddr,
    /// Its prefix length; IPv6 counts to 64.
    pub length: u8,
    /// What it weighs.
    pub weight: f64,
}

/// The clients of two maps (or of one, given twice).
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// All clients, each in one group.
    pub groups: Vec<Group>,
}

/// Who is counted.
#[derive(Debug, Clone, Copy)]
pub enum Clients<'a> {
    /// Every address.
    World,
    /// The networks of a list; what lies in several counts in each.
    Listed(&'a [Weighted]),
}

/// A stretch of addresses with one place and one order in each map.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
    place: u32,
    orders: [u32; 2],
    /// What one address weighs.
    each: f64,
}

impl Census {
    /// Counts `clients`.
    pub fn new(world: &World, maps: [&GeoMap; 2], clients: Clients<'_>) -> Self {
        let mut groups = Groups::new(world.places().len());
        let (v4, v6) = (Ground::v4(world), Ground::v6(world));
        each_run::<u32>(v4, maps, clients, |run| groups.add::<u32>(run));
        each_run::<u64>(v6, maps, clients, |run| groups.add::<u64>(run));
        Self { groups: groups.finish() }
    }

    /// What the clients weigh in all, of IPv4 and of IPv6, as far as `counts` says they do.
    pub fn total(&self, counts: impl Fn(&Group) -> bool) -> [f64; 2] {
        self.groups
            .iter()
            .filter(|group| counts(group))
            .fold([0.0; 2], |sum, group| [sum[0] + group.weight[0], sum[1] + group.weight[1]])
    }
}

/// Networks at equal steps through the clients whose place `counts`, about `wanted` of each
/// family, whose weights are `total`.
pub fn samples(
    world: &World,
    maps: [&GeoMap; 2],
    clients: Clients<'_>,
    total: [f64; 2],
    wanted: usize,
    counts: impl Fn(u32) -> bool,
) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut v4 = Steps::new(0, total[0], wanted);
    each_run::<u32>(Ground::v4(world), maps, clients, |run| {
        if counts(run.place) {
            v4.take::<u32>(&run, &mut found);
        }
    });
    let mut v6 = Steps::new(1, total[1], wanted);
    each_run::<u64>(Ground::v6(world), maps, clients, |run| {
        if counts(run.place) {
            v6.take::<u64>(&run, &mut found);
        }
    });
    found
}

/// What one address of a family weighs where whole networks count one.
const fn unit<K: Key>() -> f64 {
    let counted = if K::BITS == 32 { COUNTED[0] } else { COUNTED[1] };
    1.0 / (1u64 << (K::BITS - counted)) as f64
}

/// One family's addresses: where they are, and which of them are somebody's.
#[derive(Clone, Copy)]
struct Ground<'w, K> {
    world: &'w World,
    places: &'w Spans<K>,
    /// 0 where no registry has given them to anybody.
    given: &'w Spans<K>,
}

impl<'w> Ground<'w, u32> {
    fn v4(world: &'w World) -> Self {
        Self { world, places: world.v4(), given: &given().v4 }
    }
}

impl<'w> Ground<'w, u64> {
    fn v6(world: &'w World) -> Self {
        Self { world, places: world.v6(), given: &given().v6 }
    }
}

/// The shipped table is made of the registries' books: what it has a country for is somebody's.
fn given() -> &'static Layer {
    static GIVEN: OnceLock<Layer> = OnceLock::new();
    GIVEN.get_or_init(|| embedded::database(0).layer)
}

/// Calls `visit` for every run of one family.
fn each_run<K: Key>(
    Ground { world, places, given }: Ground<'_, K>,
    maps: [&GeoMap; 2],
    clients: Clients<'_>,
    mut visit: impl FnMut(Run),
) {
    let mut blocks = maps.map(Blocks::new);
    match clients {
        Clients::World => {
            places.zip_spans(given, |Span { first, last, id }, given| {
                let counts = given != 0 || world.is_by_operator(id);
                let each = if counts { unit::<K>() } else { 0.0 };
                runs::<K>(&mut blocks, (first, last), id, each, &mut visit);
            });
        }
        Clients::Listed(list) => {
            for listed in list {
                let Some(key) = K::from_ip(listed.network) else { continue };
                let length = listed.length.min(K::BITS);
                let mut first = block_first::<K>(key.to_u64(), length);
                let end = block_last::<K>(first, length);
                let each = listed.weight / ((end - first) as f64 + 1.0);
                loop {
                    let span = places.find(K::from_u64(first));
                    let last = span.last.min(end);
                    runs::<K>(&mut blocks, (first, last), span.id, each, &mut visit);
                    if last == end {
                        break;
                    }
                    first = last + 1;
                }
            }
        }
    }
}

/// The blocks of a map, asked for mostly in ascending order: the one that was found last holds the
/// next address nearly always.
struct Blocks<'m> {
    map: &'m GeoMap,
    first: u64,
    last: u64,
    order: u32,
}

impl<'m> Blocks<'m> {
    const fn new(map: &'m GeoMap) -> Self {
        // Holds nothing.
        Self { map, first: u64::MAX, last: 0, order: 0 }
    }

    /// The order at an address, and until where it holds at least.
    #[inline]
    fn at<K: Key>(&mut self, address: u64) -> (u32, u64) {
        if !(self.first..=self.last).contains(&address) {
            let (order, length) = self.map.block::<K>(address);
            self.order = order;
            self.first = block_first::<K>(address, length);
            self.last = block_last::<K>(address, length);
        }
        (self.order, self.last)
    }
}

/// The runs of one stretch of addresses in one place.
#[inline]
fn runs<K: Key>(
    [one, other]: &mut [Blocks<'_>; 2],
    (first, end): (u64, u64),
    place: u32,
    each: f64,
    visit: &mut impl FnMut(Run),
) {
    let same = std::ptr::eq(one.map, other.map);
    let mut open: Option<Run> = None;
    let mut at = first;
    loop {
        let (order, last) = one.at::<K>(at);
        let mut last = last.min(end);
        let mut orders = [order; 2];
        if !same {
            let (then, until) = other.at::<K>(at);
            orders[1] = then;
            last = last.min(until);
        }
        match &mut open {
            Some(run) if run.orders == orders => run.last = last,
            _ => {
                let next = Run { first: at, last, place, orders, each };
                open.replace(next).into_iter().for_each(&mut *visit);
            }
        }
        if last == end {
            break;
        }
        at = last + 1;
    }
    open.into_iter().for_each(visit);
}

/// Groups on their way. A place has one group nearly always.
struct Groups {
    by_place: Vec<Option<(Group, u64)>>,
    more: HashMap<(u32, [u32; 2]), (Group, u64)>,
}

impl Groups {
    fn new(places: usize) -> Self {
        Self { by_place: vec![None; places], more: HashMap::new() }
    }

    fn add<K: Key>(&mut self, run: Run) {
        let family = usize::from(K::BITS != 32);
        let addresses = (run.last - run.first) as f64 + 1.0;
        let fresh = || {
            let ends = [run.first, run.last].map(|end| K::from_u64(end).to_ip());
            let (network, run_of) = ((ends[0], K::BITS), (ends[0], ends[1]));
            let (orders, place) = (run.orders, run.place);
            (Group { orders, place, weight: [0.0; 2], network, run: run_of }, 0)
        };
        let slot = self.by_place[run.place as usize].get_or_insert_with(fresh);
        let (group, largest) = if slot.0.orders == run.orders {
            slot
        } else {
            self.more.entry((run.place, run.orders)).or_insert_with(fresh)
        };
        group.weight[family] += addresses * run.each;
        // The largest block of IPv4 tells people most; without any, that of IPv6.
        let size = (run.last - run.first).saturating_add(1) >> (K::BITS - 32);
        let size = if K::BITS == 32 { size.saturating_add(1 << 33) } else { size };
        if size >= *largest {
            *largest = size;
            group.network = largest_block::<K>(run.first, run.last);
            group.run = (K::from_u64(run.first).to_ip(), K::from_u64(run.last).to_ip());
        }
    }

    fn finish(self) -> Vec<Group> {
        let first = self.by_place.into_iter().flatten().map(|(group, _)| group);
        let mut more: Vec<Group> = self.more.into_values().map(|(group, _)| group).collect();
        more.sort_unstable_by_key(|group| (group.place, group.orders));
        first.chain(more).collect()
    }
}

/// A block of addresses inside `first..=last` that begins well: aligned as far as it can be, and
/// not longer than what is counted where there is room for that.
fn largest_block<K: Key>(first: u64, last: u64) -> (IpAddr, u8) {
    let counted = if K::BITS == 32 { COUNTED[0] } else { COUNTED[1] };
    for length in counted..=K::BITS {
        let begin = block_first::<K>(first, length);
        let begin = if begin < first {
            match block_last::<K>(first, length).checked_add(1) {
                Some(next) => next,
                None => continue,
            }
        } else {
            begin
        };
        if begin >= first && begin <= last && block_last::<K>(begin, length) <= last {
            return (K::from_u64(begin).to_ip(), length);
        }
    }
    (K::from_u64(first).to_ip(), K::BITS)
}

/// Client networks at equal steps through a run of addresses, at most `most`.
pub fn spread(run: (IpAddr, IpAddr), most: u64) -> impl Iterator<Item = IpAddr> {
    let number = |ip| match ip {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
    };
    let (first, last) = (number(run.0), number(run.1));
    let (is_v4, counted) = if run.0.is_ipv4() { (true, 1 << 8) } else { (false, 1 << 16) };
    let networks = (last - first) / counted + 1;
    let step = counted * networks.div_ceil(most.max(1));
    (0..most)
        .map_while(move |at| first.checked_add(step * at))
        .take_while(move |at| *at <= last)
        .map(move |at| if is_v4 { (at as u32).to_ip() } else { at.to_ip() })
}

/// Every so-many-th of the clients of a family.
struct Steps {
    family: usize,
    step: f64,
    /// How much weight lies before the next one.
    left: f64,
}

impl Steps {
    fn new(family: usize, total: f64, wanted: usize) -> Self {
        let step = total / wanted.max(1) as f64;
        Self { family, step, left: step / 2.0 }
    }

    fn take<K: Key>(&mut self, run: &Run, found: &mut Vec<Sample>) {
        if self.step <= 0.0 || run.each <= 0.0 {
            return;
        }
        let weight = ((run.last - run.first) as f64 + 1.0) * run.each;
        while self.left < weight {
            let offset = (self.left / run.each) as u64;
            let at = run.first.saturating_add(offset).min(run.last);
            let mut stands_for = [0.0; 2];
            stands_for[self.family] = self.step;
            found.push(Sample {
                client: K::from_u64(at).to_ip(),
                orders: run.orders,
                place: run.place,
                weight: stands_for,
            });
            self.left += self.step;
        }
        self.left -= weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::compile::MIN_PREFIX;
    use crate::geo::map::{MapSpec, OrderBy, RuleSpec, Site};
    use crate::region::{Location, RegionId};

    fn map(world: &World, at: &[(f64, f64)]) -> GeoMap {
        let sites = at.iter().zip(0..).map(|(&(latitude, longitude), region)| Site {
            region: RegionId(region),
            location: Location::new(latitude, longitude),
            bias: 0,
        });
        let own = (0..at.len() as u16).collect();
        let rules = vec![RuleSpec { order: OrderBy::Nearest, own, ..RuleSpec::default() }];
        let spec = MapSpec { sites: sites.collect(), rules, ..MapSpec::default() };
        GeoMap::compile(world, &spec, MIN_PREFIX).expect("a map")
    }

    #[test]
    fn every_address_is_in_one_group_and_gets_its_orders() {
        let world = World::embedded();
        let here = map(&world, &[(50.1, 8.7), (38.9, -77.4), (1.3, 103.8)]);
        let there = map(&world, &[(48.8, 2.3), (-23.5, -46.6)]);
        let census = Census::new(&world, [&here, &there], Clients::World);
        let [v4, v6] = census.total(|_| true);
        assert!((0.8..0.9).contains(&(v4 / f64::from(1 << 24))), "{v4}");
        assert!((1e-5..0.01).contains(&(v6 / (1u64 << 48) as f64)), "{v6}");
        for group in &census.groups {
            let client = group.network.0;
            for (map, order) in [&here, &there].into_iter().zip(group.orders) {
                assert_eq!(map.lookup(client).order, &map.orders()[order as usize], "{client}");
            }
            assert_eq!(world.locate(client).place, &world.places()[group.place as usize]);
        }
    }

    #[test]
    fn a_list_weighs_what_it_says_and_is_cut_where_orders_change() {
        let world = World::embedded();
        let map = map(&world, &[(50.1, 8.7), (38.9, -77.4)]);
        let list = [
            Weighted { network: [8, 0, 0, 0].into(), length: 6, weight: 30.0 },
            Weighted { network: [9, 9, 9, 0].into(), length: 24, weight: 10.0 },
            Weighted { network: "2001:db8::".parse().expect("one"), length: 32, weight: 2.0 },
        ];
        let census = Census::new(&world, [&map, &map], Clients::Listed(&list));
        let [v4, v6] = census.total(|_| true);
        assert!((v4 - 40.0).abs() < 1e-6 && (v6 - 2.0).abs() < 1e-6, "{v4} {v6}");
        assert!(census.groups.len() > 2);
    }

    #[test]
    fn samples_are_as_many_as_wanted_and_spread_by_weight() {
        let world = World::embedded();
        let map = map(&world, &[(50.1, 8.7), (38.9, -77.4)]);
        let census = Census::new(&world, [&map, &map], Clients::World);
        let counts = |place: u32| !world.places()[place as usize].is_unknown();
        let total = census.total(|group| counts(group.place));
        let found = samples(&world, [&map, &map], Clients::World, total, 5000, counts);
        let v4 = found.iter().filter(|sample| sample.client.is_ipv4()).count();
        assert!((4999..=5001).contains(&v4), "{v4}");
        let weight: f64 = found.iter().map(|sample| sample.weight[0]).sum();
        assert!((weight / total[0] - 1.0).abs() < 1e-3);
        assert!(found.iter().all(|sample| counts(sample.place)));
    }
}
