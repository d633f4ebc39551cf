//! Records into a compiled zone, one after the other as they are read: the records of a name
//! are gathered while they come in a row, then its node is written where it stays.
//!
//! Only what comes late (more records of a name that is written already) is kept aside, and
//! written again at the end.

mod finish;

use std::sync::Arc;

use super::hash::{HashKey, Suffixes};
use super::node::{APEX, CUT, DNAME, Node, STEERED, STEERED_CUT, WILDCARD_CHILD};
use super::pack::{Draft, Pile, pack};
use super::records::{ARENA_MAX, Full, Record, Records, Sink};
use super::table::Table;
use super::{SteeredName, Zone};
use crate::diagnostics::Source;
use crate::wire::name::Name;
use crate::wire::types::Class;

/// A compiled zone, and which owners may have a fault.
pub(super) struct Built {
    /// The zone.
    pub(super) zone: Zone,
    /// Hashes of owners whose records are not all in the zone as they were written: outside of
    /// it, of another class, duplicates, lowered TTLs, too many. In any order, some twice.
    pub(super) doubtful: Vec<u64>,
}

/// Takes records in and packs them.
pub(super) struct Builder<'s> {
    key: HashKey,
    origin: Box<[u8]>,
    apex: u32,
    apex_labels: usize,
    deepest: usize,
    table: Table,
    arena: Vec<u8>,
    names: u32,
    records: u32,
    /// A cut, DNAME or steered cut is among the names.
    hands_over: bool,
    /// Some nodes were written anew; where they stood is a hole: a node without a name.
    holes: bool,
    steered: &'s [SteeredName],
    /// Each steered name once; `steered_places` has their places by hash.
    steered_names: Vec<Steered>,
    steered_places: Table,
    suffixes: Suffixes,
    owner: Owner,
    parent: Parent,
    pile: Pile,
    late: Late,
    doubtful: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Steered {
    number: u32,
    cut: bool,
}

/// The owner of the record that came last.
struct Owner {
    written: Vec<u8>,
    lower: Vec<u8>,
    hash: u64,
    at: At,
}

/// Where the records of the owner at hand go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Nowhere: there is no owner yet.
    Nothing,
    /// Nowhere: the owner is outside the zone.
    Outside,
    /// To a name that has no node yet.
    New,
    /// To the node that stood last in the arena; it was taken off, and had these flags.
    Last(u8),
    /// To the node at this place, later.
    Written(u32),
}

/// The parent of the owner at hand, and mostly of the next one too.
struct Parent {
    /// Lower case; empty when there is none.
    name: Vec<u8>,
    place: u32,
    labels: usize,
}

/// Records that came when the node of their owner was written already.
#[derive(Default)]
struct Late {
    octets: Vec<u8>,
    /// The node's place, where the record begins and ends in `octets`.
    entries: Vec<(u32, usize, usize)>,
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
        let mut builder =
            Builder::new(origin, steered, key, Expected { names: records.len(), octets: 0 });
        for record in records.iter() {
            // Those were counted before.
            if builder.take(&record).is_err() {
                break;
            }
        }
        builder.finish().zone
    }
}

/// How large a zone will be, more or less.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// Names, empty non-terminals included.
    pub(super) names: usize,
    /// Octets of the arena.
    pub(super) octets: usize,
}

impl<'s> Builder<'s> {
    /// With nothing but an apex, and room for what is `expected`.
    pub(super) fn new(
        origin: &Name,
        steered: &'s [SteeredName],
        key: HashKey,
        expected: Expected,
    ) -> Self {
        let lower = origin.to_lowercase();
        let labels = origin.label_count();
        let hash = key.hash(lower.as_wire());
        let mut builder = Self {
            key,
            origin: lower.as_wire().into(),
            apex: 0,
            apex_labels: labels,
            deepest: labels,
            table: Table::with_capacity(expected.names),
            arena: Vec::with_capacity(expected.octets),
            names: 0,
            records: 0,
            hands_over: false,
            holes: false,
            steered,
            steered_names: Vec::with_capacity(steered.len()),
            steered_places: Table::with_capacity(steered.len()),
            suffixes: Suffixes::new(),
            owner: Owner { written: Vec::new(), lower: Vec::new(), hash: 0, at: At::Nothing },
            parent: Parent { name: Vec::new(), place: 0, labels: 0 },
            pile: Pile::default(),
            late: Late::default(),
            doubtful: Vec::new(),
        };
        for (number, name) in steered.iter().enumerate() {
            let name = Steered { number: number as u32, cut: name.cut };
            builder.add_steered(name);
        }
        builder.write(lower.as_wire(), hash, APEX, true);
        builder
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), Full> {
        if self.owner.at == At::Nothing || self.owner.written != record.owner.as_wire() {
            self.close();
            self.begin(record.owner.as_wire());
        }
        // What comes late is written with what was there before, above all the rest.
        let anew = if self.late.entries.is_empty() { 0 } else { self.arena.len() };
        if self.arena.len() + anew + self.late.octets.len() + self.pile.len() > ARENA_MAX {
            return Err(Full);
        }
        match self.owner.at {
            _ if record.class != Class::IN => self.doubtful.push(self.owner.hash),
            At::New | At::Last(_) => self.pile.add(record),
            At::Written(place) => self.late.add(place, record),
            At::Nothing | At::Outside => self.doubtful.push(self.owner.hash),
        }
        Ok(())
    }

    /// Makes `name` the owner at hand, and sees to it that its ancestors exist.
    fn begin(&mut self, name: &[u8]) {
        self.owner.written.clear();
        self.owner.written.extend_from_slice(name);
        let mut lower = std::mem::take(&mut self.owner.lower);
        lower.clear();
        lower.extend_from_slice(name);
        lower.make_ascii_lowercase();
        let parent = lower.get(1 + usize::from(lower[0])..).unwrap_or_default();
        (self.owner.hash, self.owner.at) = if !parent.is_empty() && *parent == *self.parent.name {
            let hash = self.key.hash(&lower);
            (hash, self.at(hash, &lower))
        } else {
            self.search(&lower)
        };
        if self.owner.at == At::New {
            self.deepest = self.deepest.max(self.parent.labels + 1);
        }
        self.owner.lower = lower;
    }

    /// The hash of `lower`, and where its records go. Its parent becomes the one at hand.
    fn search(&mut self, lower: &[u8]) -> (u64, At) {
        self.suffixes.of(self.key, lower);
        let hash = self.suffixes.hash(0);
        let labels = self.suffixes.labels();
        let apex = labels.checked_sub(self.apex_labels);
        let Some(apex) = apex.filter(|&at| lower[self.suffixes.offset(at)..] == *self.origin)
        else {
            return (hash, At::Outside);
        };
        if apex == 0 {
            return (hash, self.take_off(self.apex));
        }
        // Up to the first ancestor that exists, and down again making those that do not.
        let (mut index, mut place) = (1, self.apex);
        while index < apex {
            let name = &lower[self.suffixes.offset(index)..];
            if let Some(found) = self.place(self.suffixes.hash(index), name) {
                place = found;
                break;
            }
            index += 1;
        }
        for index in (1..index).rev() {
            let name = &lower[self.suffixes.offset(index)..];
            self.note_wildcard(name, place);
            place = self.write(name, self.suffixes.hash(index), 0, true);
        }
        let parent = &mut self.parent;
        parent.name.clear();
        parent.name.extend_from_slice(&lower[self.suffixes.offset(1)..]);
        (parent.place, parent.labels) = (place, labels - 1);
        (hash, self.at(hash, lower))
    }

    fn at(&mut self, hash: u64, lower: &[u8]) -> At {
        match self.place(hash, lower) {
            Some(place) => self.take_off(place),
            None => At::New,
        }
    }

    fn place(&self, hash: u64, lower: &[u8]) -> Option<u32> {
        self.table.find(hash, |at| Node::at(&self.arena, at as usize).has_name(lower))
    }

    /// The node at `place` is to get more records: one that stands last is written again.
    fn take_off(&mut self, place: u32) -> At {
        let node = Node::at(&self.arena, place as usize);
        if place as usize + node.size() != self.arena.len() {
            return At::Written(place);
        }
        self.records -= node.record_count();
        self.pile.add_node(node);
        let flags = node.flags();
        self.arena.truncate(place as usize);
        At::Last(flags)
    }

    /// Writes the node of the owner at hand.
    fn close(&mut self) {
        let name = std::mem::take(&mut self.owner.lower);
        let hash = self.owner.hash;
        match self.owner.at {
            At::New => {
                self.note_wildcard(&name, self.parent.place);
                self.write(&name, hash, 0, true);
            }
            At::Last(flags) => {
                self.write(&name, hash, flags, false);
            }
            At::Nothing | At::Outside | At::Written(_) => {}
        }
        self.owner.lower = name;
        self.owner.at = At::Nothing;
    }

    fn note_wildcard(&mut self, name: &[u8], parent: u32) {
        if name.starts_with(b"\x01*") {
            self.arena[parent as usize] |= WILDCARD_CHILD;
        }
    }

    /// Of several for one name the last counts, and a cut among them.
    fn add_steered(&mut self, steered: Steered) {
        let lower = self.steered[steered.number as usize].owner.to_lowercase();
        let hash = self.key.hash(lower.as_wire());
        if let Some(at) = self.steered_place(hash, lower.as_wire()) {
            let known = &mut self.steered_names[at as usize];
            *known = Steered { cut: known.cut || steered.cut, ..steered };
        } else {
            // The table has room for all.
            self.steered_places.insert(hash, self.steered_names.len() as u32, |_| 0);
            self.steered_names.push(steered);
        }
    }

    /// Where among the steered names `lower` is.
    fn steered_place(&self, hash: u64, lower: &[u8]) -> Option<u32> {
        self.steered_places.find(hash, |at| {
            let number = self.steered_names[at as usize].number;
            self.steered[number as usize].owner.as_wire().eq_ignore_ascii_case(lower)
        })
    }

    /// Appends a node with what is piled up, and enters it if it is `new`.
    fn write(&mut self, name: &[u8], hash: u64, flags: u8, new: bool) -> u32 {
        let place = self.arena.len() as u32;
        let steered = self.steered_place(hash, name).map(|at| self.steered_names[at as usize]);
        let handed = steered.is_some_and(|steered| steered.cut)
            && flags & APEX == 0
            && !name.starts_with(b"\x01*");
        let flags = flags
            | if steered.is_some() { STEERED } else { 0 }
            | if handed { STEERED_CUT } else { 0 };
        let draft = Draft { name, flags, steered: steered.map_or(0, |steered| steered.number) };
        let written = self.pile.write(&draft, &mut self.arena);
        self.hands_over |= written.flags & (CUT | DNAME | STEERED_CUT) != 0;
        self.records += written.records;
        if written.doubtful {
            self.doubtful.push(hash);
        }
        if new {
            self.names += 1;
            let (arena, key) = (&self.arena, self.key);
            let rehash = |at: u32| key.hash(Node::at(arena, at as usize).wire_name());
            self.table.insert(hash, place, rehash);
        }
        place
    }
}

impl Sink for Builder<'_> {
    /// Says nothing of places: what is doubtful is read again.
    fn add_source(&mut self, _: &Arc<Source>) -> Result<u16, Full> {
        Ok(0)
    }

    fn push(&mut self, record: &Record<'_>) -> Result<(), Full> {
        self.take(record)
    }
}

impl Late {
    fn add(&mut self, place: u32, record: &Record<'_>) {
        let start = self.octets.len();
        pack(record, &mut self.octets);
        self.entries.push((place, start, self.octets.len()));
    }
}
