//! A name in a zone and its RRsets, read in place from the zone's arena.
//!
//! | octets | what |
//! |---|---|
//! | 1 | flags |
//! | 1 | length of the name |
//! | 2 | number of RRsets |
//! | 4 | size of the whole node |
//! | name | lower case, wire form |
//! | 0 or 4 | place in the zone's list of steered records |
//! | 8 each | directory: type (2), records (2), octets (4) of each RRset |
//! | … | the RRsets, in the order of the directory |
//!
//! Numbers of the layout are little-endian. An RRset's records stand one after the other, each
//! without its owner name as it goes out: type, class, TTL, RDLENGTH, RDATA (RFC 1035 section
//! 3.2.1), names in RDATA uncompressed.

use crate::wire::name::{NameRef, same_octets};
use crate::wire::response::RECORD_HEAD;
use crate::wire::types::{Rtype, Ttl};

/// NS below the apex: a zone cut.
pub(super) const CUT: u8 = 1;
/// Below a cut, a DNAME, or a steered cut: glue, or data that is never answered.
pub(super) const OCCLUDED: u8 = 1 << 1;
/// A child `*` exists.
pub(super) const WILDCARD_CHILD: u8 = 1 << 2;
/// Owns a DNAME.
pub(super) const DNAME: u8 = 1 << 3;
/// Steered.
pub(super) const STEERED: u8 = 1 << 4;
/// Steered, and a delegation is among its pools.
pub(super) const STEERED_CUT: u8 = 1 << 5;
/// The apex.
pub(super) const APEX: u8 = 1 << 6;

/// A name server's, in a zone that hands names over: below a cut, its addresses are glue.
pub(super) const GLUE: u8 = 1 << 7;

/// Octets before the name.
pub(super) const HEAD: usize = 8;
/// Octets of one directory entry.
pub(super) const ENTRY: usize = 8;

/// A name that exists in a zone.
#[derive(Clone, Copy)]
pub struct Node<'z> {
    octets: &'z [u8],
}

/// The records of one type at one name.
#[derive(Clone, Copy)]
pub struct RrsetRef<'z> {
    /// Their type.
    pub rtype: Rtype,
    /// How many they are, at least 1.
    pub count: u16,
    /// The records ready to copy: each from its type on, after where its owner name goes.
    pub records: &'z [u8],
}

impl<'z> Node<'z> {
    /// The node at `at` of an arena.
    #[inline]
    pub(super) fn at(arena: &'z [u8], at: usize) -> Self {
        Self { octets: arena.get(at..).unwrap_or_default() }
    }

    /// Its name in lower case.
    pub fn name(&self) -> NameRef<'z> {
        NameRef::from_wire(self.wire_name()).unwrap_or(NameRef::ROOT)
    }

    /// Its name's octets, in lower case.
    #[inline]
    pub fn wire_name(&self) -> &'z [u8] {
        let length = self.octets.get(1).copied().map_or(0, usize::from);
        self.octets.get(HEAD..HEAD + length).unwrap_or_default()
    }

    /// True for the zone's apex.
    #[inline]
    pub fn is_apex(&self) -> bool {
        self.has(APEX)
    }

    /// True for a zone cut: NS records below the apex.
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.has(CUT)
    }

    /// True below a cut or DNAME.
    #[inline]
    pub fn is_occluded(&self) -> bool {
        self.has(OCCLUDED)
    }

    /// True when no RRset stands here: an empty non-terminal, or a steered name without
    /// default.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rrset_count() == 0
    }

    /// The place of its steered record in the zone's list.
    #[inline]
    pub fn steered(&self) -> Option<u32> {
        self.has(STEERED).then(|| u32_le(self.octets, HEAD + self.wire_name().len()))
    }

    /// True for a steered name that may be handed over by delegation.
    #[inline]
    pub fn is_steered_cut(&self) -> bool {
        self.has(STEERED_CUT)
    }

    /// The RRset of one type.
    #[inline]
    pub fn rrset(&self, rtype: Rtype) -> Option<RrsetRef<'z>> {
        self.rrsets().find(|rrset| rrset.rtype == rtype)
    }

    /// Every RRset, by type.
    #[inline]
    pub fn rrsets(&self) -> impl Iterator<Item = RrsetRef<'z>> + use<'z> {
        let directory = self.directory_at();
        let count = self.rrset_count();
        let entries = self.octets.get(directory..directory + count * ENTRY).unwrap_or_default();
        let mut rest = self.octets.get(directory + count * ENTRY..).unwrap_or_default();
        entries.chunks_exact(ENTRY).map_while(move |entry| {
            let (records, after) = rest.split_at_checked(u32_le(entry, 4) as usize)?;
            rest = after;
            Some(RrsetRef { rtype: Rtype(u16_le(entry, 0)), count: u16_le(entry, 2), records })
        })
    }

    /// True when its name is `lower`.
    #[inline]
    pub(super) fn has_name(&self, lower: &[u8]) -> bool {
        same_octets(self.wire_name(), lower)
    }

    /// True when one of `flags` is set.
    #[inline]
    pub(super) fn has(&self, flags: u8) -> bool {
        self.octets.first().is_some_and(|own| own & flags != 0)
    }

    /// Its flags.
    pub(super) fn flags(&self) -> u8 {
        self.octets.first().copied().unwrap_or(0)
    }

    /// How many records stand here.
    pub(super) fn record_count(&self) -> u32 {
        self.rrsets().map(|rrset| u32::from(rrset.count)).sum()
    }

    /// Octets of the whole node.
    pub(super) fn size(&self) -> usize {
        // At least one, so that a walk over an arena ends.
        (u32_le(self.octets, 4) as usize).max(1)
    }

    fn rrset_count(&self) -> usize {
        usize::from(u16_le(self.octets, 2))
    }

    #[inline]
    fn directory_at(&self) -> usize {
        HEAD + self.wire_name().len() + if self.has(STEERED) { 4 } else { 0 }
    }
}

impl<'z> RrsetRef<'z> {
    /// The TTL all of them have (RFC 2181 section 5.2).
    #[inline]
    pub fn ttl(&self) -> Ttl {
        Ttl::new(u32_be(self.records, 4)).unwrap_or(Ttl::MAX)
    }

    /// Each record from its type on.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &'z [u8]> + use<'z> {
        let mut rest = self.records;
        std::iter::from_fn(move || {
            let length = usize::from(u16::from_be_bytes([*rest.get(8)?, *rest.get(9)?]));
            let (record, after) = rest.split_at_checked(RECORD_HEAD + length)?;
            rest = after;
            Some(record)
        })
    }

    /// The RDATA of each record.
    #[inline]
    pub fn rdata(&self) -> impl Iterator<Item = &'z [u8]> + use<'z> {
        self.iter().filter_map(|record| record.get(RECORD_HEAD..))
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.name())
    }
}

impl std::fmt::Debug for RrsetRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RrsetRef({} x {})", self.count, self.rtype)
    }
}

#[inline]
fn u16_le(octets: &[u8], at: usize) -> u16 {
    octets.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |octets| u16::from_le_bytes(*octets))
}

#[inline]
fn u32_le(octets: &[u8], at: usize) -> u32 {
    octets.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |octets| u32::from_le_bytes(*octets))
}

/// A number of network order at `at`, 0 past the end.
#[inline]
pub(super) fn u32_be(octets: &[u8], at: usize) -> u32 {
    octets.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |octets| u32::from_be_bytes(*octets))
}
