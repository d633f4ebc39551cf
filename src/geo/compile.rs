//! From what is known of the world and what a record wants to the table a query looks into.
//!
//! Place spans, split at the rules' networks, become order spans; splits too fine for any
//! resolver to ask about are voted away; what is left is cut into blocks, each with its
//! exact scopes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::thread;

use crate::geo::ground::weigh;
use crate::geo::map::{MapSpec, Matcher, OrderBy, RULES_MAX};
use crate::geo::measured::Measuring;
use crate::geo::order::{AREA_BITS, Cases, Layer, Orders, RuleSet, hold};
use crate::geo::spans::{Key, Nested, Span, Spans, block_last, blocks};
use crate::geo::table::{GeoMap, TablesV6, orders_max, pack, table_v4};
use crate::geo::vote::Vote;
use crate::geo::world::World;
use crate::region::AREAS_MAX;

/// The longest prefixes large resolvers send (Google Public DNS: /24 and /56). A finer split
/// can never be asked about, so it only costs cache entries and answers at random.
pub const MIN_PREFIX: (u8, u8) = (24, 56);

/// Why a map cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The number of a rule must fit in a byte with one to spare.
    #[error("{0} rules, and a record can have {RULES_MAX}")]
    TooManyRules(usize),
    /// The number of an area must fit in four bits with one to spare.
    #[error("{0} areas, and there can be {AREAS_MAX}")]
    TooManyAreas(usize),
    /// A rule names a candidate that is not in the list.
    #[error("rule {rule} names candidate {site}, and there are {sites}")]
    UnknownSite {
        /// Which rule, from 0.
        rule: usize,
        /// The number it names.
        site: u16,
        /// How many there are.
        sites: usize,
    },
    /// A rule counts by latencies that are not in the list.
    #[error("rule {0} counts by latencies that are not given")]
    UnknownLatencies(usize),
    /// A prefix that is too long. IPv6 clients are told apart by the upper 64 bits, which is
    /// one subnet (RFC 4291 section 2.5.1).
    #[error("{0}/{1} is longer than the {2} bits clients are told apart by")]
    TooLong(IpAddr, u8, u8),
    /// More different orders than a leaf can name.
    #[error("{found} different orders for {family}, and a map can hold {limit}")]
    TooManyOrders {
        /// "IPv4" or "IPv6".
        family: &'static str,
        /// How many there are.
        found: usize,
        /// How many are possible.
        limit: usize,
    },
}

impl GeoMap {
    /// Compiles `spec` over `world`. `min_prefix`: for IPv4 and IPv6, the prefix length below
    /// which splits are voted away unless an operator's network made them ([`MIN_PREFIX`];
    /// 32 and 64 keep everything). The families are cut on two threads.
    pub fn compile(
        world: &World,
        spec: &MapSpec,
        min_prefix: (u8, u8),
    ) -> Result<Self, CompileError> {
        check(spec)?;
        let measuring = |latency| Measuring::new(world, spec, latency);
        let mut measurings: Vec<Measuring> = spec.latencies.iter().map(measuring).collect();
        if same_for_all(spec) {
            let mut orders = Orders::new(spec, measurings);
            let order = orders.of_place(world.place(0));
            return Ok(Self::cut(orders, &Spans::uniform(order), &Spans::uniform(order)));
        }
        let Told { cases, v4, v6 } = tell_apart(world, spec, &mut measurings);
        let mut orders = Orders::new(spec, measurings);
        let by_case = orders.of_cases(&cases, world.ground());
        let heads = orders.heads();
        let (v4, v6) = side_by_side(
            || {
                order_spans(
                    &v4,
                    &by_case,
                    &heads,
                    &written(world, spec, min_prefix.0),
                    min_prefix.0,
                )
            },
            || {
                order_spans(
                    &v6,
                    &by_case,
                    &heads,
                    &written(world, spec, min_prefix.1),
                    min_prefix.1,
                )
            },
        );
        Ok(Self::cut(orders, &v4?, &v6?))
    }

    /// Cuts order spans into blocks and builds the tables of them.
    fn cut(orders: Orders<'_>, v4: &Spans<u32>, v6: &Spans<u64>) -> Self {
        let heads = orders.heads();
        let ((v4, v4_blocks), ((v6_global, v6_rest), v6_blocks)) = side_by_side(
            || {
                let mut table = table_v4(v4.len());
                let count = cut(v4, &heads, |_, length, leaf| table.push(length, leaf));
                (table.finish(), count)
            },
            || {
                let mut tables = TablesV6::new(v6.len());
                let count = cut(v6, &heads, |first, length, leaf| tables.push(first, length, leaf));
                (tables.finish(), count)
            },
        );
        let leaves = v4_blocks + v6_blocks;
        let (orders, gauges) = orders.finish();
        Self { orders, gauges, v4, v6_global, v6_rest, leaves }
    }
}

fn check(spec: &MapSpec) -> Result<(), CompileError> {
    if spec.rules.len() > RULES_MAX {
        return Err(CompileError::TooManyRules(spec.rules.len()));
    }
    for (number, rule) in spec.rules.iter().enumerate() {
        let sites = spec.sites.len();
        let unknown = rule.own.iter().chain(&rule.others).find(|site| usize::from(**site) >= sites);
        if let Some(&site) = unknown {
            return Err(CompileError::UnknownSite { rule: number, site, sites });
        }
        if let OrderBy::Latency(table) = rule.order
            && usize::from(table) >= spec.latencies.len()
        {
            return Err(CompileError::UnknownLatencies(number));
        }
        check_lengths(&rule.matcher)?;
    }
    if spec.areas.len() > AREAS_MAX {
        return Err(CompileError::TooManyAreas(spec.areas.len()));
    }
    spec.areas.iter().try_for_each(check_lengths)
}

fn check_lengths(matcher: &Matcher) -> Result<(), CompileError> {
    matcher.networks.iter().try_for_each(|&(network, length)| {
        let bits = if network.is_ipv4() { u32::BITS } else { u64::BITS } as u8;
        if length > bits { Err(CompileError::TooLong(network, length, bits)) } else { Ok(()) }
    })
}

/// The families' address spaces by case.
struct Told<'w> {
    cases: Cases<'w>,
    v4: Cow<'w, Spans<u32>>,
    v6: Cow<'w, Spans<u64>>,
}

/// Tells clients apart by their place, the rules' own networks, and those that latencies were
/// measured from.
fn tell_apart<'w>(world: &'w World, spec: &MapSpec, measurings: &mut [Measuring]) -> Told<'w> {
    let places = world.places();
    let mut apart = Apart {
        first: places.len() as u32,
        layers: Layers::new(),
        numbers: HashMap::new(),
        cases: Vec::new(),
    };
    let v4 = apart.split(world.v4(), spec, measurings);
    let v6 = apart.split(world.v6(), spec, measurings);
    let weights = if apart.cases.is_empty() {
        Cow::Borrowed(world.ground().weights())
    } else {
        let mut weights = vec![0.0; places.len() + apart.cases.len()];
        weigh(&v4, &mut weights);
        weigh(&v6, &mut weights);
        Cow::Owned(weights)
    };
    let (layers, in_networks) = (apart.layers.known, apart.cases);
    Told { cases: Cases { places, layers, in_networks, weights }, v4, v6 }
}

/// The cases inside networks found so far.
struct Apart {
    /// The number of the first.
    first: u32,
    layers: Layers,
    numbers: HashMap<(u32, u32), u32>,
    cases: Vec<(u32, u32)>,
}

/// What networks say of clients, each once.
struct Layers {
    /// The first says nothing.
    known: Vec<Layer>,
    numbers: HashMap<Layer, u32>,
}

impl Layers {
    fn new() -> Self {
        Self { known: vec![Layer::default()], numbers: HashMap::from([(Layer::default(), 0)]) }
    }

    fn number(&mut self, layer: Layer) -> u32 {
        let next = self.known.len() as u32;
        *self.numbers.entry(layer).or_insert_with_key(|layer| {
            self.known.push(layer.clone());
            next
        })
    }

    /// One family by what all networks in it say.
    fn split<K: Key>(&mut self, spec: &MapSpec, measurings: &mut [Measuring]) -> Spans<K> {
        let (networks, held) = rule_networks::<K>(spec);
        let numbers: Vec<u32> = held
            .into_iter()
            .map(|held| self.number(Layer { held, measured: Vec::new() }))
            .collect();
        let mut layers = networks.map(|network| numbers[network as usize]);
        for (table, measuring) in measurings.iter_mut().enumerate() {
            let mut joined = HashMap::new();
            layers = layers.zip(&measuring.split::<K>(), |layer, network| match network {
                0 => layer,
                _ => *joined.entry((layer, network)).or_insert_with(|| {
                    let mut layer = self.known[layer as usize].clone();
                    layer.measured.resize(table, 0);
                    layer.measured.push(network);
                    self.number(layer)
                }),
            });
        }
        layers
    }
}

impl Apart {
    /// One family by case: its places, split at the networks.
    fn split<'w, K: Key>(
        &mut self,
        places: &'w Spans<K>,
        spec: &MapSpec,
        measurings: &mut [Measuring],
    ) -> Cow<'w, Spans<K>> {
        let layers = self.layers.split(spec, measurings);
        if layers.everywhere() == Some(0) {
            return Cow::Borrowed(places);
        }
        Cow::Owned(places.zip(&layers, |place, layer| match layer {
            0 => place,
            _ => self.number(place, layer),
        }))
    }

    fn number(&mut self, place: u32, layer: u32) -> u32 {
        *self.numbers.entry((place, layer)).or_insert_with(|| {
            self.cases.push((place, layer));
            self.first + self.cases.len() as u32 - 1
        })
    }
}

/// One family by the networks of rules and areas, and for each number the rules and areas whose
/// networks these are.
fn rule_networks<K: Key>(spec: &MapSpec) -> (Spans<K>, Vec<RuleSet>) {
    let (mut given, mut rules) = (Vec::new(), Vec::new());
    let of_rules = spec.rules.iter().map(|rule| &rule.matcher).enumerate();
    for (number, matcher) in of_rules.chain(spec.areas.iter().zip(AREA_BITS..).map(|(m, n)| (n, m)))
    {
        for &(network, length) in &matcher.networks {
            if let Some(key) = K::from_ip(network) {
                given.push((key, length));
                rules.push(number);
            }
        }
    }
    let nested = Nested::new(&given);
    let mut held = vec![RuleSet::default()];
    for network in &nested.networks {
        let outer = network.parent.map_or(0, |parent| parent as usize + 1);
        let mut set = held[outer];
        network.given.iter().for_each(|&given| hold(&mut set, rules[given as usize]));
        held.push(set);
    }
    (nested.spans, held)
}

/// The networks an operator wrote that are longer than `min_prefix`: 0 for "none".
fn written<K: Key>(world: &World, spec: &MapSpec, min_prefix: u8) -> Spans<K> {
    let rules = spec.rules.iter().flat_map(|rule| &rule.matcher.networks);
    let areas = spec.areas.iter().flat_map(|area| &area.networks);
    let networks: Vec<_> = rules
        .chain(areas)
        .chain(world.written())
        .filter(|(_, length)| *length > min_prefix)
        .filter_map(|&(network, length)| Some((K::from_ip(network)?, length)))
        .collect();
    Nested::new(&networks).spans
}

/// One family by order, after the vote.
fn order_spans<K: Key>(
    cases: &Spans<K>,
    by_case: &[u32],
    heads: &[u32],
    written: &Spans<K>,
    min_prefix: u8,
) -> Result<Spans<K>, CompileError> {
    let mut vote = Vote::new(min_prefix.min(K::BITS), heads);
    let mut grown: Option<(Span, u32)> = None;
    cases.zip_spans(written, |Span { first, last, id }, network| {
        let id = by_case[id as usize];
        match &mut grown {
            Some((span, within)) if span.id == id && *within == network => span.last = last,
            _ => {
                let full = grown.replace((Span { first, last, id }, network));
                full.into_iter().for_each(|(span, within)| vote.add(span, within));
            }
        }
    });
    grown.into_iter().for_each(|(span, within)| vote.add(span, within));
    let spans = vote.finish();
    let limit = orders_max::<K>();
    if spans.iter().any(|span| span.id as usize >= limit) {
        let family = if K::BITS == 32 { "IPv4" } else { "IPv6" };
        return Err(CompileError::TooManyOrders { family, found: heads.len(), limit });
    }
    Ok(spans)
}

/// Cuts order spans into blocks with both scopes, ascending; gives how many. The blocks of the
/// order spans lie within those of the head spans, so one walk over both tells the two lengths.
fn cut<K: Key>(spans: &Spans<K>, heads: &[u32], mut push: impl FnMut(u64, u8, u32)) -> usize {
    let mut outer = head_spans(spans, heads).flat_map(|span| blocks::<K>(span.first, span.last));
    let (mut outer_next, mut outer_length) = (0, 0);
    let mut count = 0;
    for span in spans.iter() {
        for (first, length) in blocks::<K>(span.first, span.last) {
            if first == outer_next
                && let Some((_, length)) = outer.next()
            {
                (outer_next, outer_length) =
                    (block_last::<K>(first, length).wrapping_add(1), length);
            }
            push(first, length, pack::<K>(span.id, length, outer_length));
            count += 1;
        }
    }
    count
}

/// Spans with one head.
fn head_spans<K: Key>(spans: &Spans<K>, heads: &[u32]) -> impl Iterator<Item = Span> {
    let mut spans = spans.iter().peekable();
    std::iter::from_fn(move || {
        let mut span = spans.next()?;
        let head = heads[span.id as usize];
        while let Some(next) = spans.next_if(|next| heads[next.id as usize] == head) {
            span.last = next.last;
        }
        Some(span)
    })
}

/// Does two things at once where there are two cores.
fn side_by_side<A, B: Send>(here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let there = scope.spawn(there);
        (here(), there.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// True when the first rule takes every client, there is nothing to put in order, and no area
/// tells clients apart.
fn same_for_all(spec: &MapSpec) -> bool {
    spec.rules.first().map_or(spec.areas.is_empty(), |rule| {
        spec.areas.is_empty() && rule.matcher.is_default() && rule.is_as_listed()
    })
}
