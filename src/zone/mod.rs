//! Zones: master files in, closest enclosers out.
//!
//! At load: [`load`] lets [`master`] (with `scan` and `rdata`) read a master file straight into
//! `compile`, which packs records into one arena as they come (with `pack`); [`check`] says
//! what is wrong with them.
//! On a query: the qname is hashed once ([`hash`]), [`catalog`] finds the
//! zone, and [`lookup`] finds the node and says how the search ended.
//!
//! Nothing here knows of packets, clients, sockets or clocks.

#![forbid(unsafe_code)]

pub mod catalog;
pub mod chase;
pub mod check;
pub mod hash;
pub mod load;
pub mod lookup;
pub mod master;
pub mod node;
pub mod records;

mod compile;
mod fields;
mod generate;
mod pack;
mod rdata;
mod scan;
mod table;
mod text;

#[cfg(test)]
mod lookup_tests;
#[cfg(test)]
mod master_tests;

use hash::HashKey;
use node::{Node, RrsetRef};
use prefetch_index::prefetch_index;
use table::Table;

use crate::wire::name::{NAME_MAX, Name, NameRef, SplitName};
use crate::wire::types::Rtype;

/// One zone, compiled: every name and RRset in one arena, found through one hash table.
///
/// Empty non-terminals are nodes without RRsets, so the names that exist are closed upwards:
/// with a name every ancestor down from the apex exists too.
pub struct Zone {
    /// Where each name's node stands in `arena`.
    table: Table,
    /// Every node; see [`node`] for its layout.
    arena: Box<[u8]>,
    /// Where the apex's node stands.
    apex: u32,
    /// The SOA record for negative answers, from its type on.
    negative_soa: Box<[u8]>,
    /// The key all hashes of this zone were made with.
    key: HashKey,
    /// Labels of the apex, the root label not counted.
    apex_labels: u8,
    /// Labels of the deepest name.
    deepest: u8,
    /// How many names exist, empty non-terminals included.
    names: u32,
    /// How many records there are.
    records: u32,
}

/// The octets that a text in Base64 stands for (RFC 4648 section 4).
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    text::base64(text, &mut octets).ok().map(|()| octets)
}

/// Octets that memory brings at once.
const CACHE_LINE: usize = 64;

/// A steered owner name, as `config` hands it to [`Zone::compile`] and [`check::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeredName {
    /// The owner, absolute.
    pub owner: Name,
    /// One of its pools is a delegation: names below it are referred.
    pub cut: bool,
    /// One of its pools is a CNAME, so other types cannot stand beside it.
    pub cname: bool,
}

impl Zone {
    /// The node of the apex.
    pub fn apex(&self) -> Node<'_> {
        Node::at(&self.arena, self.apex as usize)
    }

    /// The apex's name, in lower case.
    pub fn origin(&self) -> NameRef<'_> {
        self.apex().name()
    }

    /// The SOA record for negative answers: the octets after its owner name, TTL lowered to
    /// the smaller of its own and MINIMUM (RFC 2308 section 3). Empty in a zone without SOA.
    pub fn negative_soa(&self) -> &[u8] {
        &self.negative_soa
    }

    /// The SOA as it stands in the zone.
    pub fn soa(&self) -> Option<RrsetRef<'_>> {
        self.apex().rrset(Rtype::SOA)
    }

    /// The apex's NS RRset.
    pub fn apex_ns(&self) -> Option<RrsetRef<'_>> {
        self.apex().rrset(Rtype::NS)
    }

    /// The serial of the SOA; 0 in a zone without.
    pub fn serial(&self) -> u32 {
        let rdata = self.soa().and_then(|soa| soa.rdata().next()).unwrap_or_default();
        rdata.len().checked_sub(20).map_or(0, |at| node::u32_be(rdata, at))
    }

    /// How many names exist, empty non-terminals included.
    pub const fn name_count(&self) -> usize {
        self.names as usize
    }

    /// How many records there are.
    pub const fn record_count(&self) -> usize {
        self.records as usize
    }

    /// Octets of memory this zone holds.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.table.memory() + self.arena.len() + self.negative_soa.len()
    }

    /// Every node, in no order that means anything.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let node = (at < self.arena.len()).then(|| Node::at(&self.arena, at))?;
            at += node.size();
            Some(node)
        })
    }

    /// The addresses of a name server that this zone knows, glue below a cut included: the A
    /// and AAAA RRsets of `target`, a whole wire name in any case.
    pub fn addresses(&self, target: &[u8]) -> (Option<RrsetRef<'_>>, Option<RrsetRef<'_>>) {
        let mut lower = [0; NAME_MAX];
        let Some(lower) = lower.get_mut(..target.len()) else {
            return (None, None);
        };
        lower.copy_from_slice(target);
        lower.make_ascii_lowercase();
        let hash = self.key.hash(lower);
        match self.find(hash, lower) {
            Some(node) => (node.rrset(Rtype::A), node.rrset(Rtype::AAAA)),
            None => (None, None),
        }
    }

    /// Where in the arena the node of `name` stands.
    fn place(&self, name: NameRef<'_>) -> Option<u32> {
        let lower = name.as_wire().to_ascii_lowercase();
        let arena = &self.arena;
        let is_it = |at: u32| Node::at(arena, at as usize).has_name(&lower);
        self.table.find(self.key.hash(&lower), is_it)
    }

    /// Has the slot of `hash` on its way from memory before it is asked for.
    #[inline]
    pub fn approach(&self, hash: u64) {
        self.table.approach(hash);
    }

    /// Has the node of `hash` on its way from memory before it is asked for; its slot should
    /// have arrived.
    #[inline]
    pub fn approach_node(&self, hash: u64) {
        if let Some(at) = self.table.first(hash) {
            // A short name and its first record end in the second line.
            prefetch_index(&self.arena, at as usize);
            prefetch_index(&self.arena, at as usize + CACHE_LINE);
        }
    }

    /// The number of the steered record at the node that is found first for `hash`: a guess, to
    /// send for memory by, since the name is not compared.
    #[inline]
    pub fn steered_at(&self, hash: u64) -> Option<u32> {
        Node::at(&self.arena, self.table.first(hash)? as usize).steered()
    }

    /// The node of the name `lower`, whose hash is `hash`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, lower: &[u8]) -> Option<Node<'_>> {
        let arena = &self.arena;
        // Mostly the first slot has it.
        if let Some(at) = self.table.first(hash) {
            let node = Node::at(arena, at as usize);
            if node.has_name(lower) {
                return Some(node);
            }
        }
        let at = self.table.find(hash, |at| Node::at(arena, at as usize).has_name(lower))?;
        Some(Node::at(arena, at as usize))
    }

    /// The node of suffix number `index` of a qname.
    #[inline]
    fn find_suffix(&self, qname: SplitName<'_>, index: usize) -> Option<Node<'_>> {
        let lower = qname.suffix(index);
        self.find(self.key.hash(lower), lower)
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zone({} with {} names)", self.origin(), self.names)
    }
}
