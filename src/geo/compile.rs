//! From what is known of the world and what a record wants to the table a query looks into.
//!
//! Place spans, split at the rules' networks, become order spans; splits too fine for any
//! resolver to ask about are voted away; what is left is cut into blocks, each with its
//! exact scopes.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::geo::map::{MapSpec, Matcher, OrderBy, RULES_MAX};
use crate::geo::order::{Orders, RuleSet, hold};
use crate::geo::spans::{Key, Nested, Span, Spans, block_last, blocks, host_mask};
use crate::geo::table::{Blocks, GeoMap, build_v4, build_v6, orders_max, pack};
use crate::geo::world::World;

/// The longest prefixes large resolvers send (Google Public DNS: /24 and /56). A finer split
/// can never be asked about, so it only costs cache entries and answers at random.
pub const MIN_PREFIX: (u8, u8) = (24, 56);

/// Why a map cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The number of a rule must fit in a byte with one to spare.
    #[error("{0} rules, and a record can have {RULES_MAX}")]
    TooManyRules(usize),
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
    /// 32 and 64 keep everything).
    pub fn compile(
        world: &World,
        spec: &MapSpec,
        min_prefix: (u8, u8),
    ) -> Result<Self, CompileError> {
        check(spec)?;
        let mut orders = Orders::new(spec);
        let v4 = order_spans::<u32>(world, world.v4(), spec, &mut orders, min_prefix.0)?;
        let v6 = order_spans::<u64>(world, world.v6(), spec, &mut orders, min_prefix.1)?;
        let heads = heads(&orders);
        let v4 = cut(&v4, &heads);
        let v6 = cut(&v6, &heads);
        let (v6_global, v6_rest) = build_v6(&v6);
        let leaves = v4.values.len() + v6.values.len();
        Ok(Self { orders: orders.finish(), v4: build_v4(&v4), v6_global, v6_rest, leaves })
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
        check_lengths(&rule.matcher)?;
    }
    Ok(())
}

fn check_lengths(matcher: &Matcher) -> Result<(), CompileError> {
    matcher.networks.iter().try_for_each(|&(network, length)| {
        let bits = if network.is_ipv4() { u32::BITS } else { u64::BITS } as u8;
        if length > bits { Err(CompileError::TooLong(network, length, bits)) } else { Ok(()) }
    })
}

/// The address space of one family by order.
fn order_spans<K: Key>(
    world: &World,
    places: &Spans<K>,
    spec: &MapSpec,
    orders: &mut Orders<'_>,
    min_prefix: u8,
) -> Result<Spans<K>, CompileError> {
    if same_for_all(spec) {
        return Ok(Spans::uniform(orders.number(world.place(0), &RuleSet::default())));
    }
    let networks = RuleNetworks::<K>::new(spec);
    let mut known = Known::new(world.places().len(), networks.sets.len());
    let spans = places.zip(&networks.nested.spans, |place, network| {
        let set = networks.set_of[network as usize];
        *known
            .slot(place, set)
            .get_or_insert_with(|| orders.number(world.place(place), &networks.sets[set as usize]))
    });
    places.zip_spans(&spans, |span, order| {
        orders.weigh(order, world.place(span.id), weight::<K>(span));
    });
    let limit = orders_max::<K>();
    if orders.len() > limit {
        let family = if K::BITS == 32 { "IPv4" } else { "IPv6" };
        return Err(CompileError::TooManyOrders { family, found: orders.len(), limit });
    }
    if min_prefix >= K::BITS {
        return Ok(spans);
    }
    let written = written::<K>(world, spec, min_prefix);
    Ok(Vote { min_prefix, orders, pending: Vec::new(), settled: Spans::new() }
        .run(&spans, &written))
}

/// True when the first rule takes every client and there is nothing to put in order.
fn same_for_all(spec: &MapSpec) -> bool {
    spec.rules.first().is_none_or(|rule| {
        let nothing_to_order = rule.own.len() <= 1 && rule.others.len() <= 1;
        rule.matcher.is_default() && (rule.order == OrderBy::Listed || nothing_to_order)
    })
}

/// How much a span counts in a representative point. An IPv6 /48 counts as one IPv4
/// address, so that the two families are of one order of magnitude.
fn weight<K: Key>(span: Span) -> f64 {
    let addresses = (span.last - span.first) as f64 + 1.0;
    if K::BITS == 32 { addresses } else { addresses / 65_536.0 }
}

/// Which rules' networks hold an address.
struct RuleNetworks<K> {
    nested: Nested<K>,
    /// The different sets of rules; the first is empty.
    sets: Vec<RuleSet>,
    /// By number in `nested.spans`.
    set_of: Vec<u32>,
}

impl<K: Key> RuleNetworks<K> {
    fn new(spec: &MapSpec) -> Self {
        let (mut given, mut rules) = (Vec::new(), Vec::new());
        for (number, rule) in spec.rules.iter().enumerate() {
            for &(network, length) in &rule.matcher.networks {
                if let Some(key) = K::from_ip(network) {
                    given.push((key, length));
                    rules.push(number);
                }
            }
        }
        let nested = Nested::new(&given);
        let mut sets = vec![RuleSet::default()];
        let mut numbers = HashMap::from([(RuleSet::default(), 0)]);
        let mut set_of = vec![0];
        for network in &nested.networks {
            let outer = network.parent.map_or(0, |parent| set_of[parent as usize + 1]);
            let mut set = sets[outer as usize];
            network.given.iter().for_each(|&given| hold(&mut set, rules[given as usize]));
            set_of.push(*numbers.entry(set).or_insert_with(|| {
                sets.push(set);
                sets.len() as u32 - 1
            }));
        }
        Self { nested, sets, set_of }
    }
}

/// Orders already found, by place and set of rules: each place is put in order once.
struct Known {
    plain: Vec<Option<u32>>,
    in_networks: HashMap<(u32, u32), Option<u32>>,
}

impl Known {
    fn new(places: usize, sets: usize) -> Self {
        Self { plain: vec![None; places], in_networks: HashMap::with_capacity(sets) }
    }

    fn slot(&mut self, place: u32, set: u32) -> &mut Option<u32> {
        match set {
            0 => &mut self.plain[place as usize],
            _ => self.in_networks.entry((place, set)).or_default(),
        }
    }
}

/// The networks an operator wrote that are longer than `min_prefix`: 0 for "none".
fn written<K: Key>(world: &World, spec: &MapSpec, min_prefix: u8) -> Spans<K> {
    let rules = spec.rules.iter().flat_map(|rule| &rule.matcher.networks);
    let networks: Vec<_> = rules
        .chain(world.written())
        .filter(|(_, length)| *length > min_prefix)
        .filter_map(|&(network, length)| Some((K::from_ip(network)?, length)))
        .collect();
    Nested::new(&networks).spans
}

/// Votes splits below `min_prefix` away: within such a block the addresses that no operator's
/// network tells apart all get the order most of them have.
struct Vote<'o, 's, K> {
    min_prefix: u8,
    orders: &'o Orders<'s>,
    /// Pieces of the block being counted, each with the operator's network it lies in.
    pending: Vec<(Span, u32)>,
    settled: Spans<K>,
}

impl<K: Key> Vote<'_, '_, K> {
    fn run(mut self, spans: &Spans<K>, written: &Spans<K>) -> Spans<K> {
        spans.zip_spans(written, |span, network| self.add(span, network));
        self.settled
    }

    fn add(&mut self, mut span: Span, network: u32) {
        let host = host_mask::<K>(self.min_prefix);
        loop {
            let block_end = block_last::<K>(span.first, self.min_prefix);
            let whole_blocks =
                self.pending.is_empty() && span.first & host == 0 && span.last >= block_end;
            let end = if whole_blocks {
                self.settled.push(span.first, span.id);
                // The last block end the span reaches.
                if span.last & host == host { span.last } else { (span.last & !host) - 1 }
            } else {
                let end = span.last.min(block_end);
                self.pending.push((Span { last: end, ..span }, network));
                if end == block_end {
                    self.settle();
                }
                end
            };
            if end == span.last {
                return;
            }
            span.first = end + 1;
        }
    }

    /// Ends the block: the pieces outside any operator's network vote together, and those
    /// in one network likewise.
    fn settle(&mut self) {
        let pieces = std::mem::take(&mut self.pending);
        let mut winners: Vec<(u32, u32)> = Vec::new();
        for &(span, network) in &pieces {
            let known = winners.iter().find(|winner| winner.0 == network);
            let order = known.map_or_else(
                || self.winner(&pieces, network).unwrap_or(span.id),
                |winner| winner.1,
            );
            if known.is_none() {
                winners.push((network, order));
            }
            self.settled.push(span.first, order);
        }
        self.pending = pieces;
        self.pending.clear();
    }

    /// The commonest order among those with the commonest head.
    fn winner(&self, pieces: &[(Span, u32)], network: u32) -> Option<u32> {
        let peers = || pieces.iter().filter(|piece| piece.1 == network).map(|piece| piece.0);
        let best = most(peers().map(|peer| (self.head(peer.id), peer)));
        most(peers().filter(|peer| Some(self.head(peer.id)) == best).map(|peer| (peer.id, peer)))
    }

    fn head(&self, order: u32) -> Head {
        head(self.orders, order)
    }
}

/// The choice with the most addresses; among equals the lower one.
fn most<T: Ord + Copy>(votes: impl Iterator<Item = (T, Span)>) -> Option<T> {
    let mut tally: Vec<(T, u64)> = Vec::new();
    for (choice, span) in votes {
        let count = span.last - span.first + 1;
        match tally.iter_mut().find(|entry| entry.0 == choice) {
            Some(entry) => entry.1 += count,
            None => tally.push((choice, count)),
        }
    }
    tally
        .into_iter()
        .min_by_key(|&(choice, count)| (std::cmp::Reverse(count), choice))
        .map(|entry| entry.0)
}

/// Rule and first candidate: what a client gets while all is well.
type Head = (Option<u8>, Option<u16>);

fn head(orders: &Orders<'_>, order: u32) -> Head {
    let order = orders.get(order);
    (order.rule, order.sites[..usize::from(order.len)].first().copied())
}

/// For each order, a number that equal heads share.
fn heads(orders: &Orders<'_>) -> Vec<u32> {
    let mut numbers = HashMap::new();
    (0..orders.len() as u32)
        .map(|order| {
            let next = numbers.len() as u32;
            *numbers.entry(head(orders, order)).or_insert(next)
        })
        .collect()
}

/// Cuts order spans into blocks with both scopes. The blocks of the order spans lie within
/// those of the head spans, so one walk over both tells the two lengths.
fn cut<K: Key>(spans: &Spans<K>, heads: &[u32]) -> Blocks<K> {
    let by_head = spans.map(|order| heads[order as usize]);
    let mut outer = by_head.iter().flat_map(|span| blocks::<K>(span.first, span.last));
    let (mut outer_last, mut outer_length) = (None, 0);
    let mut cut = Blocks { firsts: Vec::new(), values: Vec::new() };
    for span in spans.iter() {
        for (first, length) in blocks::<K>(span.first, span.last) {
            while outer_last.is_none_or(|last| last < first) {
                let Some((start, length)) = outer.next() else { break };
                (outer_last, outer_length) = (Some(block_last::<K>(start, length)), length);
            }
            cut.firsts.push(K::from_u64(first));
            cut.values.push(pack::<K>(span.id, length, outer_length));
        }
    }
    cut
}
