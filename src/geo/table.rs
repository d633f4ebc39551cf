//! The compiled map: what a query looks into. Compiling is in `compile`.
//!
//! One 32-bit leaf tells everything: which order, and two scopes. The scopes are exact: the
//! leaf's own prefix is the largest block around the client with one whole order, and the
//! head scope the largest with one rule and one first candidate. Blocks of one kind never
//! overlap, as RFC 7871 section 7.2.1 demands of the scopes a server gives out.

use std::net::IpAddr;

use crate::geo::latency::Gauge;
use crate::geo::map::{Hit, Order};
use crate::geo::spans::{Key, block_last, host_mask};
use crate::geo::trie::{Builder, Trie, VALUE_MAX};

/// The first address of 2000::/3, where all IPv6 clients live but for special cases; it has
/// a table of its own that begins after these three bits.
const GLOBAL: u64 = 0x2000_0000_0000_0000;
const GLOBAL_BITS: u8 = 3;
/// Below this many blocks a short direct index will do.
const FEW: usize = 4096;

/// A compiled map. Lookups neither allocate nor fail.
#[derive(Debug)]
pub struct GeoMap {
    pub(crate) orders: Box<[Order]>,
    pub(crate) gauges: Box<[Gauge]>,
    pub(crate) v4: Trie,
    pub(crate) v6_global: Trie,
    pub(crate) v6_rest: Trie,
    pub(crate) leaves: usize,
}

/// A block of addresses with one answer.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'m> {
    /// Its first address.
    pub network: IpAddr,
    /// Its prefix length.
    pub length: u8,
    /// What its clients get.
    pub hit: Hit<'m>,
}

impl GeoMap {
    /// The order for a client and how far it holds around it. An IPv4-mapped address is
    /// looked up as the IPv4 address it holds, and its scopes are IPv4 scopes.
    #[inline]
    pub fn lookup(&self, client: IpAddr) -> Hit<'_> {
        match client.to_canonical() {
            IpAddr::V4(ip) => self.hit::<u32>(self.v4.lookup(u64::from(ip.to_bits()) << 32)),
            IpAddr::V6(ip) => self.hit::<u64>(self.v6_value((ip.to_bits() >> 64) as u64)),
        }
    }

    /// Sends for the memory that a [`lookup`](Self::lookup) will need: the direct index, and,
    /// `again`, the node that it leads to.
    #[inline]
    pub fn approach(&self, client: IpAddr, again: bool) {
        match client {
            IpAddr::V4(ip) => self.v4.approach(u64::from(ip.to_bits()) << 32, again),
            IpAddr::V6(ip) => {
                let address = (ip.to_bits() >> 64) as u64;
                let table = if in_global(address) { &self.v6_global } else { &self.v6_rest };
                table.approach(address, again);
            }
        }
    }

    /// Every order the places of the world lead to, each once.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Where milliseconds come from, by table of latencies.
    pub fn gauges(&self) -> &[Gauge] {
        &self.gauges
    }

    /// How many blocks the address space is cut into.
    pub const fn leaf_count(&self) -> usize {
        self.leaves
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        let tables = self.v4.memory() + self.v6_global.memory() + self.v6_rest.memory();
        tables + size_of_val(&*self.orders)
    }

    /// Every block of the IPv4 space and then of the IPv6 space, ascending. IPv6 blocks are
    /// at most 64 bits long.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf<'_>> {
        self.walk::<u32>(|key| self.v4.lookup(key << 32))
            .chain(self.walk::<u64>(|key| self.v6_value(key)))
    }

    /// The block around an address of the family `K`: the number of its order and its length.
    #[inline]
    pub(crate) fn block<K: Key>(&self, address: u64) -> (u32, u8) {
        let value =
            if K::BITS == 32 { self.v4.lookup(address << 32) } else { self.v6_value(address) };
        let (order, length, _) = unpack::<K>(value);
        (order, length)
    }

    fn v6_value(&self, address: u64) -> u32 {
        let table = if in_global(address) { &self.v6_global } else { &self.v6_rest };
        table.lookup(address)
    }

    fn hit<K: Key>(&self, value: u32) -> Hit<'_> {
        let (order, scope_full, scope_head) = unpack::<K>(value);
        let order = self.orders.get(order as usize).unwrap_or(&Order::NONE);
        Hit { order, scope_full, scope_head }
    }

    fn walk<K: Key>(&self, value_at: impl Fn(u64) -> u32) -> impl Iterator<Item = Leaf<'_>> {
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let first = next?;
            let hit = self.hit::<K>(value_at(first));
            let last = block_last::<K>(first, hit.scope_full);
            next = (last < K::MAX).then(|| last + 1);
            Some(Leaf { network: K::from_u64(first).to_ip(), length: hit.scope_full, hit })
        })
    }
}

/// The table of all IPv4 addresses, to be built from about so many blocks.
pub(crate) fn table_v4(blocks: usize) -> Builder {
    Builder::new(0, direct_bits(18, blocks))
}

/// The table of 2000::/3 and that of all the rest, on their way.
pub(crate) struct TablesV6 {
    global: Builder,
    rest: Builder,
}

impl TablesV6 {
    /// To be built from about so many blocks.
    pub(crate) fn new(blocks: usize) -> Self {
        let global = Builder::new(GLOBAL_BITS, direct_bits(16, blocks));
        Self { global, rest: Builder::new(0, direct_bits(8, blocks)) }
    }

    /// The next block, ascending: first address, length and leaf.
    #[inline]
    pub(crate) fn push(&mut self, first: u64, length: u8, leaf: u32) {
        if length < GLOBAL_BITS {
            self.rest.push(length, leaf);
            if in_global(first | (GLOBAL & host_mask::<u64>(length))) {
                self.global.push(length, leaf);
            }
        } else if in_global(first) {
            self.global.push(length, leaf);
            // The other table has a hole here that takes one entry.
            if first == GLOBAL {
                self.rest.push(GLOBAL_BITS, 0);
            }
        } else {
            self.rest.push(length, leaf);
        }
    }

    /// Both tables.
    pub(crate) fn finish(self) -> (Trie, Trie) {
        (self.global.finish(), self.rest.finish())
    }
}

/// The size of a direct index: what a city database deserves is too much for a few blocks.
fn direct_bits(most: u8, blocks: usize) -> u8 {
    match blocks {
        0 | 1 => 0,
        2..FEW => most.min(8),
        _ => most,
    }
}

const fn in_global(address: u64) -> bool {
    address >> (64 - GLOBAL_BITS) == GLOBAL >> (64 - GLOBAL_BITS)
}

/// Bits of one scope in a leaf: 0..=32 or 0..=64.
const fn scope_bits<K: Key>() -> u32 {
    if K::BITS == 32 { 6 } else { 7 }
}

/// How many orders a leaf can tell apart.
pub(crate) const fn orders_max<K: Key>() -> usize {
    (VALUE_MAX as usize + 1) >> (2 * scope_bits::<K>())
}

/// A leaf; the caller has held `order` against [`orders_max`].
pub(crate) fn pack<K: Key>(order: u32, scope_full: u8, scope_head: u8) -> u32 {
    let bits = scope_bits::<K>();
    (order << (2 * bits)) | (u32::from(scope_full) << bits) | u32::from(scope_head)
}

#[inline]
fn unpack<K: Key>(value: u32) -> (u32, u8, u8) {
    let bits = scope_bits::<K>();
    let mask = (1 << bits) - 1;
    (value >> (2 * bits), ((value >> bits) & mask) as u8, (value & mask) as u8)
}
