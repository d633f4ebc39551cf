//! The records of one name into the octets of its node.

use std::cmp::Ordering;

use super::node::{APEX, CUT, DNAME, ENTRY, HEAD, Node, STEERED, u32_be};
use super::records::Record;
use crate::wire::response::RECORD_HEAD;
use crate::wire::types::Rtype;

/// Most octets the records of one RRset may take: what a TCP answer holds beside its header,
/// question and OPT, with a compressed owner for each record.
pub(super) const RRSET_MAX: usize = 65_000;

/// A node without its records.
pub(super) struct Draft<'n> {
    /// Lower case, wire form.
    pub(super) name: &'n [u8],
    /// Flags beside those its records make.
    pub(super) flags: u8,
    /// Written only with [`STEERED`].
    pub(super) steered: u32,
}

/// What came of writing a node.
pub(super) struct Written {
    /// All its flags.
    pub(super) flags: u8,
    /// How many records it holds.
    pub(super) records: u32,
    /// Its records were not quite as they should be: duplicates, TTLs that differ, too many.
    pub(super) doubtful: bool,
}

/// The records of one name while they are gathered, each as it goes out: type, class, TTL,
/// RDLENGTH, RDATA.
#[derive(Default)]
pub(super) struct Pile {
    octets: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Clone, Copy)]
struct Item {
    rtype: u16,
    at: usize,
    length: usize,
}

impl Pile {
    /// Octets of what is piled up.
    pub(super) const fn len(&self) -> usize {
        self.octets.len()
    }

    /// Adds a record of class IN.
    pub(super) fn add(&mut self, record: &Record<'_>) {
        let at = self.octets.len();
        pack(record, &mut self.octets);
        self.items.push(Item { rtype: record.rtype.0, at, length: self.octets.len() - at });
    }

    /// Adds the records `octets` holds one after the other.
    pub(super) fn add_packed(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let [t0, t1, _, _, _, _, _, _, l0, l1, ..] = *rest {
            let length = RECORD_HEAD + usize::from(u16::from_be_bytes([l0, l1]));
            let (record, after) = rest.split_at(length.min(rest.len()));
            let item = Item { rtype: u16::from_be_bytes([t0, t1]), at: self.octets.len(), length };
            self.octets.extend_from_slice(record);
            self.items.push(item);
            rest = after;
        }
    }

    /// Adds what a node holds.
    pub(super) fn add_node(&mut self, node: Node<'_>) {
        for rrset in node.rrsets() {
            self.add_packed(rrset.records);
        }
    }

    /// Appends the node to `arena` and empties the pile. Duplicates are left out, and an RRset
    /// takes the lowest of its TTLs (RFC 2181 section 5.2).
    pub(super) fn write(&mut self, draft: &Draft<'_>, arena: &mut Vec<u8>) -> Written {
        if let [item] = *self.items {
            let written = write_one(draft, Rtype(item.rtype), &self.octets, arena);
            self.octets.clear();
            self.items.clear();
            return written;
        }
        let octets = &self.octets;
        if self.items.len() > 1 {
            // By content too, so that duplicates are neighbours and the order does not hang on
            // the order of the file.
            self.items.sort_by(|a, b| {
                let data = || in_order(Rtype(a.rtype), rdata(octets, a), rdata(octets, b));
                a.rtype.cmp(&b.rtype).then_with(data)
            });
        }
        let same_type = |a: &Item, b: &Item| a.rtype == b.rtype;
        let rrsets = self.items.chunk_by(same_type).count();
        let wildcard = draft.name.starts_with(b"\x01*");
        let mut written = Written { flags: draft.flags, records: 0, doubtful: false };
        for rrset in self.items.chunk_by(same_type) {
            written.flags |= flags_of(Rtype(rrset[0].rtype), draft.flags, wildcard);
        }
        let start = arena.len();
        arena.extend_from_slice(&[written.flags, draft.name.len() as u8]);
        arena.extend_from_slice(&(rrsets as u16).to_le_bytes());
        arena.extend_from_slice(&[0; HEAD - 4]);
        arena.extend_from_slice(draft.name);
        if draft.flags & STEERED != 0 {
            arena.extend_from_slice(&draft.steered.to_le_bytes());
        }
        let mut entry = arena.len();
        arena.resize(entry + rrsets * ENTRY, 0);
        for rrset in self.items.chunk_by(same_type) {
            write_rrset(octets, rrset, entry, arena, &mut written);
            entry += ENTRY;
        }
        let size = (arena.len() - start) as u32;
        arena[start + 4..start + 8].copy_from_slice(&size.to_le_bytes());
        self.octets.clear();
        self.items.clear();
        written
    }
}

/// What records of a type make of the name they stand at. A wildcard is neither a cut nor the
/// owner of a DNAME that redirects: RFC 4592 sections 4.2 and 4.4 leave both undefined.
const fn flags_of(rtype: Rtype, node: u8, wildcard: bool) -> u8 {
    match rtype {
        Rtype::NS if node & APEX == 0 && !wildcard => CUT,
        Rtype::DNAME if !wildcard => DNAME,
        _ => 0,
    }
}

/// Appends a node with the one record `octets` holds: what most nodes are.
fn write_one(draft: &Draft<'_>, rtype: Rtype, octets: &[u8], arena: &mut Vec<u8>) -> Written {
    let wildcard = draft.name.starts_with(b"\x01*");
    let flags = draft.flags | flags_of(rtype, draft.flags, wildcard);
    let steered = draft.steered.to_le_bytes();
    let steered = if draft.flags & STEERED == 0 { &[][..] } else { &steered };
    let size = HEAD + draft.name.len() + steered.len() + ENTRY + octets.len();
    arena.reserve(size);
    let mut head = [flags, draft.name.len() as u8, 1, 0, 0, 0, 0, 0];
    head[4..].copy_from_slice(&(size as u32).to_le_bytes());
    let mut entry = [0, 0, 1, 0, 0, 0, 0, 0];
    entry[..2].copy_from_slice(&rtype.0.to_le_bytes());
    entry[4..].copy_from_slice(&(octets.len() as u32).to_le_bytes());
    for part in [&head, draft.name, steered, &entry, octets] {
        arena.extend_from_slice(part);
    }
    Written { flags, records: 1, doubtful: octets.len() + 2 > RRSET_MAX }
}

/// Appends one RRset and fills its directory entry at `entry`.
fn write_rrset(
    octets: &[u8],
    rrset: &[Item],
    entry: usize,
    arena: &mut Vec<u8>,
    written: &mut Written,
) {
    let start = arena.len();
    let rtype = Rtype(rrset[0].rtype);
    let ttl = |item: &Item| u32_be(octets, item.at + 4);
    let first = ttl(&rrset[0]);
    let lowest = rrset.iter().map(ttl).min().unwrap_or(first);
    let mut count = 0_u16;
    let same = |a: &Item, b: &Item| same_data(rtype, rdata(octets, a), rdata(octets, b));
    for same in rrset.chunk_by(same) {
        let record = arena.len();
        arena.extend_from_slice(&octets[same[0].at..same[0].at + same[0].length]);
        // RFC 4034 section 3: signatures keep the TTL of what they cover, so those of one
        // owner may differ.
        if rtype != Rtype::RRSIG {
            arena[record + 4..record + 8].copy_from_slice(&lowest.to_be_bytes());
        }
        written.doubtful |= same.len() > 1;
        count = count.saturating_add(1);
        written.records += 1;
    }
    let length = arena.len() - start;
    written.doubtful |= length + 2 * usize::from(count) > RRSET_MAX
        || rtype != Rtype::RRSIG && rrset.iter().any(|item| ttl(item) != first);
    arena[entry..entry + 2].copy_from_slice(&rtype.0.to_le_bytes());
    arena[entry + 2..entry + 4].copy_from_slice(&count.to_le_bytes());
    arena[entry + 4..entry + 8].copy_from_slice(&(length as u32).to_le_bytes());
}

/// Whether two RDATA of one type are the same record (RFC 2181 section 5). Names in them are,
/// in whatever case (RFC 4343 section 3): the types of RFC 4034 section 6.2.
pub(super) fn same_data(rtype: Rtype, one: &[u8], other: &[u8]) -> bool {
    one == other
        || match names_at(rtype) {
            // The length of a label is no letter, so names can be compared whole.
            Some(at) => {
                one.len() == other.len()
                    && one.get(..at) == other.get(..at)
                    && one
                        .iter()
                        .skip(at)
                        .zip(other.iter().skip(at))
                        .all(|(a, b)| a.eq_ignore_ascii_case(b))
            }
            None => false,
        }
}

/// An order in which the same records are neighbours, the one read first in front.
fn in_order(rtype: Rtype, one: &[u8], other: &[u8]) -> Ordering {
    let names = |octets: &[u8]| names_at(rtype).filter(|&at| at <= octets.len());
    let (Some(at), Some(_)) = (names(one), names(other)) else {
        return one.cmp(other);
    };
    let lower = |octets: &[u8]| octets[at..].to_ascii_lowercase();
    one[..at].cmp(&other[..at]).then_with(|| lower(one).cmp(&lower(other)))
}

/// Where the names of RDATA begin that has nothing else behind that place.
const fn names_at(rtype: Rtype) -> Option<usize> {
    match rtype {
        Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::DNAME | Rtype::MB | Rtype::MG => Some(0),
        Rtype::MR | Rtype::MD | Rtype::MF | Rtype::MINFO | Rtype::RP => Some(0),
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::PX => Some(2),
        Rtype::SRV => Some(6),
        _ => None,
    }
}

fn rdata<'p>(octets: &'p [u8], item: &Item) -> &'p [u8] {
    &octets[item.at + RECORD_HEAD..item.at + item.length]
}

/// Appends a record as it goes out, without its owner.
pub(super) fn pack(record: &Record<'_>, out: &mut Vec<u8>) {
    let mut head = [0; RECORD_HEAD];
    head[..2].copy_from_slice(&record.rtype.0.to_be_bytes());
    head[2..4].copy_from_slice(&record.class.0.to_be_bytes());
    head[4..8].copy_from_slice(&record.ttl.seconds().to_be_bytes());
    head[8..].copy_from_slice(&(record.rdata.len() as u16).to_be_bytes());
    out.reserve(RECORD_HEAD + record.rdata.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(record.rdata);
}
