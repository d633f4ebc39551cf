//! What is left to do when the last record of a zone is in: late records, holes, and the flags
//! that hang on names elsewhere.

use super::{Builder, Built};
use crate::wire::types::Rtype;
use crate::zone::Zone;
use crate::zone::node::{CUT, DNAME, GLUE, Node, OCCLUDED, RrsetRef, STEERED_CUT, u32_be};
use crate::zone::table::Table;

impl Builder<'_> {
    /// Packs what is left.
    pub(in crate::zone) fn finish(mut self) -> Built {
        self.close();
        for name in self.steered {
            self.begin(name.owner.as_wire());
            self.close();
        }
        self.write_late();
        self.settle();
        if self.hands_over {
            self.occlude();
            self.mark_glue();
        }
        let arena = self.arena.into_boxed_slice();
        let zone = Zone {
            negative_soa: negative_soa(Node::at(&arena, self.apex as usize)),
            table: self.table,
            arena,
            apex: self.apex,
            key: self.key,
            apex_labels: self.apex_labels as u8,
            deepest: self.deepest as u8,
            names: self.names,
            records: self.records,
        };
        Built { zone, doubtful: self.doubtful }
    }

    /// Writes the nodes anew that got records late; their old places become holes.
    fn write_late(&mut self) {
        let mut late = std::mem::take(&mut self.late);
        late.entries.sort_by_key(|entry| entry.0);
        for entries in late.entries.chunk_by(|a, b| a.0 == b.0) {
            let old = entries[0].0;
            let node = Node::at(&self.arena, old as usize);
            let (name, flags) = (node.wire_name().to_vec(), node.flags());
            self.records -= node.record_count();
            self.pile.add_node(node);
            for &(_, start, end) in entries {
                self.pile.add_packed(&late.octets[start..end]);
            }
            let hash = self.key.hash(&name);
            let new = self.write(&name, hash, flags, false);
            if old == self.apex {
                self.apex = new;
            }
            // A name of no octets marks the hole.
            self.arena[old as usize + 1] = 0;
            self.holes = true;
        }
    }

    /// Closes the holes and gives the table its size.
    fn settle(&mut self) {
        if self.table.fits(self.names as usize) && !self.holes {
            return;
        }
        // Never two of them at a time.
        self.table = Table::with_capacity(0);
        self.table = Table::with_capacity(self.names as usize);
        let (mut from, mut to) = (0, 0);
        while from < self.arena.len() {
            let node = Node::at(&self.arena, from);
            let size = node.size();
            if !node.wire_name().is_empty() {
                let hash = self.key.hash(node.wire_name());
                if from == self.apex as usize {
                    self.apex = to as u32;
                }
                self.table.insert(hash, to as u32, |_| 0);
                self.arena.copy_within(from..from + size, to);
                to += size;
            }
            from += size;
        }
        self.arena.truncate(to);
    }

    /// Marks every name below one that hands over what is below it.
    fn occlude(&mut self) {
        let mut parent = Vec::new();
        let mut occluded = false;
        let mut at = 0;
        while at < self.arena.len() {
            let node = Node::at(&self.arena, at);
            let size = node.size();
            let name = node.wire_name();
            let above = name.get(1 + usize::from(name[0])..).unwrap_or_default();
            if !node.is_apex() {
                if parent != above {
                    parent.clear();
                    parent.extend_from_slice(above);
                    occluded = self.is_handed_over(&parent);
                }
                if occluded {
                    self.arena[at] |= OCCLUDED;
                }
            }
            at += size;
        }
    }

    /// Whether `name` or a name above it hands over what is below it.
    fn is_handed_over(&mut self, name: &[u8]) -> bool {
        self.suffixes.of(self.key, name);
        let apex = self.suffixes.labels() - self.apex_labels;
        (0..=apex).any(|index| {
            let name = &name[self.suffixes.offset(index)..];
            self.place(self.suffixes.hash(index), name).is_some_and(|place| {
                Node::at(&self.arena, place as usize).has(CUT | DNAME | STEERED_CUT)
            })
        })
    }

    /// Marks every name that is a name server's: below a cut, its addresses are glue.
    fn mark_glue(&mut self) {
        let mut servers = Vec::new();
        let mut at = 0;
        while at < self.arena.len() {
            let node = Node::at(&self.arena, at);
            at += node.size();
            for target in node.rrset(Rtype::NS).iter().flat_map(RrsetRef::rdata) {
                let lower = target.to_ascii_lowercase();
                servers.extend(self.place(self.key.hash(&lower), &lower));
            }
            for place in servers.drain(..) {
                self.arena[place as usize] |= GLUE;
            }
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
