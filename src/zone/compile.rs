//! Records into a compiled zone: names found or made, flags worked out, everything packed.

use super::hash::{HashKey, Suffixes};
use super::node::{
    APEX, CUT, DNAME, ENTRY, HEAD, Node, OCCLUDED, RECORD_HEAD, STEERED, STEERED_CUT,
    WILDCARD_CHILD, u32_be,
};
use super::records::{Record, Records};
use super::table::Table;
use super::{SteeredName, Zone};
use crate::wire::name::{NAME_MAX, Name};
use crate::wire::types::{Class, Rtype};

/// A name before it is packed. A parent always stands before its children.
struct Draft {
    hash: u64,
    name: u32,
    parent: u32,
    steered: u32,
    name_length: u8,
    flags: u8,
}

/// The names of a zone while they are gathered.
struct Names {
    key: HashKey,
    table: Table,
    drafts: Vec<Draft>,
    octets: Vec<u8>,
    suffixes: Suffixes,
    apex_labels: usize,
    deepest: usize,
}

impl Zone {
    /// Compiles `records`. `steered[i]` gets number `i`; a steered name without records still
    /// gets a node. Records outside `origin` or of another class than IN are left out, and so
    /// are duplicates; an RRset takes the lowest of its TTLs (RFC 2181 section 5.2).
    /// `super::check` says whether the records are a zone worth serving.
    pub fn compile(
        origin: &Name,
        records: &Records,
        steered: &[SteeredName],
        key: HashKey,
    ) -> Self {
        let mut names = Names::new(origin, key, records.len());
        let mut node_of = Vec::with_capacity(records.len());
        let mut last: Option<(Record<'_>, u32)> = None;
        for record in records.iter() {
            let node = match last {
                Some((before, node)) if before.owner.as_wire() == record.owner.as_wire() => node,
                _ => names.add(record.owner.as_wire(), origin),
            };
            last = Some((record, node));
            node_of.push(if record.class == Class::IN { node } else { NOWHERE });
            if let Some(draft) = names.drafts.get_mut(node as usize) {
                draft.flags |= flags_of(&record, draft.flags);
            }
        }
        for (number, name) in steered.iter().enumerate() {
            names.steer(name, number as u32, origin);
        }
        names.occlude();
        let by_node = Grouped::new(&node_of, names.drafts.len());
        names.pack(records, &by_node)
    }
}

/// The node of a record that is left out.
const NOWHERE: u32 = u32::MAX;

/// What a record makes of the name it stands at. A wildcard is neither a cut nor the owner of
/// a DNAME that redirects: RFC 4592 sections 4.2 and 4.4 leave both undefined.
const fn flags_of(record: &Record<'_>, node: u8) -> u8 {
    match record.rtype {
        _ if record.class.0 != Class::IN.0 => 0,
        Rtype::NS if node & APEX == 0 && !record.owner_is_wildcard() => CUT,
        Rtype::DNAME if !record.owner_is_wildcard() => DNAME,
        _ => 0,
    }
}

impl Record<'_> {
    const fn owner_is_wildcard(&self) -> bool {
        matches!(self.owner.as_wire(), [1, b'*', ..])
    }
}

impl Names {
    fn new(origin: &Name, key: HashKey, records: usize) -> Self {
        let mut names = Self {
            key,
            table: Table::with_capacity(records / 2),
            drafts: Vec::new(),
            octets: Vec::new(),
            suffixes: Suffixes::new(),
            apex_labels: origin.label_count(),
            deepest: origin.label_count(),
        };
        let apex = origin.as_wire().to_ascii_lowercase();
        names.suffixes.of(key, &apex);
        names.insert(&apex, 0, NOWHERE);
        names.drafts[0].flags = APEX;
        names
    }

    /// The draft of `owner`, made with all its ancestors when it is new; [`NOWHERE`] outside
    /// the zone.
    fn add(&mut self, owner: &[u8], origin: &Name) -> u32 {
        let mut lower = [0; NAME_MAX];
        let lower = &mut lower[..owner.len()];
        lower.copy_from_slice(owner);
        lower.make_ascii_lowercase();
        self.suffixes.of(self.key, lower);
        let labels = self.suffixes.labels();
        let Some(apex) = labels.checked_sub(self.apex_labels) else {
            return NOWHERE;
        };
        if !lower[self.suffixes.offset(apex)..].eq_ignore_ascii_case(origin.as_wire()) {
            return NOWHERE;
        }
        // Up to the first name that exists, and down again making those that do not.
        let mut index = 0;
        let mut node = loop {
            if index == apex {
                break 0;
            }
            match self.find(lower, index) {
                Some(node) => break node,
                None => index += 1,
            }
        };
        for index in (0..index).rev() {
            let name = &lower[self.suffixes.offset(index)..];
            if name.starts_with(b"\x01*") {
                self.drafts[node as usize].flags |= WILDCARD_CHILD;
            }
            node = self.insert(name, index, node);
        }
        self.deepest = self.deepest.max(labels);
        node
    }

    fn find(&self, lower: &[u8], index: usize) -> Option<u32> {
        let name = &lower[self.suffixes.offset(index)..];
        self.table
            .find(self.suffixes.hash(index), |at| self.name(&self.drafts[at as usize]) == name)
    }

    fn insert(&mut self, name: &[u8], index: usize, parent: u32) -> u32 {
        let place = self.drafts.len() as u32;
        let hash = self.suffixes.hash(index);
        let drafts = &self.drafts;
        self.table.insert(hash, place, |at| drafts[at as usize].hash);
        self.drafts.push(Draft {
            hash,
            name: self.octets.len() as u32,
            parent,
            steered: 0,
            name_length: name.len() as u8,
            flags: 0,
        });
        self.octets.extend_from_slice(name);
        place
    }

    fn name(&self, draft: &Draft) -> &[u8] {
        let at = draft.name as usize;
        &self.octets[at..at + usize::from(draft.name_length)]
    }

    fn steer(&mut self, steered: &SteeredName, number: u32, origin: &Name) {
        let node = self.add(steered.owner.as_wire(), origin);
        let Some(draft) = self.drafts.get_mut(node as usize) else {
            return;
        };
        draft.steered = number;
        draft.flags |= STEERED;
        if steered.cut && draft.flags & APEX == 0 && !steered.owner.as_ref().is_wildcard() {
            draft.flags |= STEERED_CUT;
        }
    }

    /// Marks every name below one that hands over what is below it.
    fn occlude(&mut self) {
        for node in 1..self.drafts.len() {
            let parent = self.drafts[node].parent as usize;
            if self.drafts[parent].flags & (CUT | DNAME | STEERED_CUT | OCCLUDED) != 0 {
                self.drafts[node].flags |= OCCLUDED;
            }
        }
    }

    /// Packs every node into the arena, the apex first.
    fn pack(self, records: &Records, by_node: &Grouped) -> Zone {
        // The names' own table has done its work.
        let mut table = Table::with_capacity(self.drafts.len());
        let mut packer = Packer::new(records, self.octets.len() + self.drafts.len() * 48);
        for (node, draft) in self.drafts.iter().enumerate() {
            let at = packer.arena.len() as u32;
            packer.node(draft, self.name(draft), by_node.of(node));
            table.insert(draft.hash, at, |_| 0);
        }
        let arena = packer.arena.into_boxed_slice();
        Zone {
            negative_soa: negative_soa(Node::at(&arena, 0)),
            table,
            arena,
            key: self.key,
            apex_labels: self.apex_labels as u8,
            deepest: self.deepest as u8,
            names: self.drafts.len() as u32,
            records: packer.packed,
        }
    }
}

/// The SOA as negative answers carry it: RFC 2308 section 3, the TTL is the smaller of the
/// SOA's own and its MINIMUM.
fn negative_soa(apex: Node<'_>) -> Box<[u8]> {
    let Some(soa) = apex.rrset(Rtype::SOA) else {
        return Box::default();
    };
    let mut record = soa.iter().next().unwrap_or_default().to_vec();
    let minimum = record.len().checked_sub(4).map_or(0, |at| u32_be(&record, at));
    let ttl = soa.ttl().seconds().min(minimum);
    if let Some(octets) = record.get_mut(4..8) {
        octets.copy_from_slice(&ttl.to_be_bytes());
    }
    record.into_boxed_slice()
}

/// Record numbers by node, in one list.
struct Grouped {
    starts: Vec<u32>,
    records: Vec<u32>,
}

impl Grouped {
    /// A counting sort: stable and linear.
    fn new(node_of: &[u32], nodes: usize) -> Self {
        let mut starts = vec![0_u32; nodes + 1];
        for &node in node_of.iter().filter(|&&node| node != NOWHERE) {
            starts[node as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut records = vec![0; starts[nodes] as usize];
        for (record, &node) in node_of.iter().enumerate().filter(|(_, node)| **node != NOWHERE) {
            let at = &mut next[node as usize];
            records[*at as usize] = record as u32;
            *at += 1;
        }
        Self { starts, records }
    }

    fn of(&self, node: usize) -> &[u32] {
        &self.records[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

struct Packer<'r> {
    records: &'r Records,
    arena: Vec<u8>,
    /// The records of the node at hand, by type and then RDATA.
    sorted: Vec<Record<'r>>,
    packed: u32,
}

impl<'r> Packer<'r> {
    fn new(records: &'r Records, capacity: usize) -> Self {
        Self { records, arena: Vec::with_capacity(capacity), sorted: Vec::new(), packed: 0 }
    }

    fn node(&mut self, draft: &Draft, name: &[u8], records: &[u32]) {
        self.sorted.clear();
        self.sorted.extend(records.iter().filter_map(|&record| self.records.get(record as usize)));
        self.sorted.sort_by_key(|record| record.rtype);
        let mut sorted = std::mem::take(&mut self.sorted);
        let rrsets: usize = sorted.chunk_by(|a, b| a.rtype == b.rtype).count();
        let start = self.arena.len();
        self.arena.extend_from_slice(&[draft.flags, draft.name_length]);
        self.arena.extend_from_slice(&(rrsets as u16).to_le_bytes());
        self.arena.extend_from_slice(&[0; HEAD - 4]);
        self.arena.extend_from_slice(name);
        if draft.flags & STEERED != 0 {
            self.arena.extend_from_slice(&draft.steered.to_le_bytes());
        }
        let mut entry = self.arena.len();
        self.arena.resize(entry + rrsets * ENTRY, 0);
        for rrset in sorted.chunk_by_mut(|a, b| a.rtype == b.rtype) {
            self.rrset(rrset, entry);
            entry += ENTRY;
        }
        let size = (self.arena.len() - start) as u32;
        self.arena[start + 4..start + 8].copy_from_slice(&size.to_le_bytes());
        self.sorted = sorted;
    }

    /// Appends one RRset and fills its directory entry at `entry`.
    fn rrset(&mut self, rrset: &mut [Record<'_>], entry: usize) {
        let start = self.arena.len();
        let rtype = rrset[0].rtype;
        let lowest = rrset.iter().map(|record| record.ttl).min().unwrap_or(rrset[0].ttl);
        // Sorted by content, so duplicates are neighbours and the order does not hang on the
        // order of the file.
        rrset.sort_by_key(|record| record.rdata);
        let mut count = 0_u16;
        for same in rrset.chunk_by(|a, b| a.rdata == b.rdata) {
            let record = &same[0];
            // RFC 4034 section 3: signatures keep the TTL of what they cover, so those of one
            // owner may differ.
            let ttl = if rtype == Rtype::RRSIG { record.ttl } else { lowest };
            let mut head = [0; RECORD_HEAD];
            head[..2].copy_from_slice(&rtype.0.to_be_bytes());
            head[2..4].copy_from_slice(&record.class.0.to_be_bytes());
            head[4..8].copy_from_slice(&ttl.seconds().to_be_bytes());
            head[8..].copy_from_slice(&(record.rdata.len() as u16).to_be_bytes());
            self.arena.extend_from_slice(&head);
            self.arena.extend_from_slice(record.rdata);
            count = count.saturating_add(1);
            self.packed += 1;
        }
        let length = (self.arena.len() - start) as u32;
        self.arena[entry..entry + 2].copy_from_slice(&rtype.0.to_le_bytes());
        self.arena[entry + 2..entry + 4].copy_from_slice(&count.to_le_bytes());
        self.arena[entry + 4..entry + 8].copy_from_slice(&length.to_le_bytes());
    }
}
