//! How a search for a qname in its zone ends (RFC 1034 section 4.3.2, with RFC 4592 for
//! wildcards and RFC 6672 for DNAME).
//!
//! A name that exists costs one probe. For one that does not, the closest encloser is found by
//! bisection between the apex and the deepest name the zone holds: existing names are closed
//! upwards, so "exists" changes once on the way.

use super::Zone;
use super::hash::Suffixes;
use super::node::{CUT, DNAME, Node, OCCLUDED, STEERED_CUT, WILDCARD_CHILD};
use crate::wire::types::Rtype;

/// Every ending of a search. Offsets are where a name begins in the qname's wire form.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'z> {
    /// The qname exists; it may have no RRset of the type asked for, or none at all.
    Found(Node<'z>),
    /// The qname does not exist, and `node` is the wildcard that stands for it
    /// (RFC 4592 section 3.3.1). It may itself have no RRset.
    Wildcard {
        /// The source of synthesis, `*.` and the closest encloser.
        node: Node<'z>,
        /// Where the closest encloser begins.
        encloser: usize,
    },
    /// The qname is at or below a zone cut.
    Referral {
        /// The node with the NS records.
        cut: Node<'z>,
        /// Where its name begins.
        offset: usize,
    },
    /// The qname is below a steered name that may be handed over by delegation.
    SteeredCut {
        /// The steered node.
        node: Node<'z>,
        /// Where its name begins.
        offset: usize,
    },
    /// The qname is below the owner of a DNAME.
    Dname {
        /// The node with the DNAME.
        node: Node<'z>,
        /// Where its name begins.
        offset: usize,
    },
    /// Nothing has that name, and no wildcard stands for it.
    NxDomain {
        /// The longest ancestor that exists.
        encloser: Node<'z>,
        /// Where it begins.
        offset: usize,
    },
}

impl Zone {
    /// Looks for `qname` (lower case, at or below the apex), whose suffixes are `suffixes`.
    /// The type matters at a cut only: DS belongs to the parent's side (RFC 4035 section
    /// 3.1.4.1).
    #[inline]
    pub fn lookup<'z>(&'z self, suffixes: &Suffixes, qname: &[u8], qtype: Rtype) -> Lookup<'z> {
        let labels = suffixes.labels();
        let apex = labels.saturating_sub(usize::from(self.apex_labels));
        if labels <= usize::from(self.deepest)
            && let Some(node) = self.find_suffix(suffixes, qname, 0)
        {
            return if !node.has(CUT | OCCLUDED) || (qtype == Rtype::DS && !node.is_occluded()) {
                Lookup::Found(node)
            } else {
                self.handed_over(suffixes, qname, apex, node, 0)
            };
        }
        let (encloser, index) = self.closest_encloser(suffixes, qname, apex);
        let offset = suffixes.offset(index);
        if encloser.has(CUT | DNAME | STEERED_CUT | OCCLUDED) {
            return self.handed_over(suffixes, qname, apex, encloser, index);
        }
        if encloser.has(WILDCARD_CHILD)
            && let Some(node) = self.wildcard(suffixes.hash(index), encloser)
        {
            return Lookup::Wildcard { node, encloser: offset };
        }
        Lookup::NxDomain { encloser, offset }
    }

    /// The longest suffix that exists, of a qname that does not.
    fn closest_encloser(
        &self,
        suffixes: &Suffixes,
        qname: &[u8],
        apex: usize,
    ) -> (Node<'_>, usize) {
        // Invariant: suffix `exists` does, suffix `missing` does not.
        let mut exists = apex;
        let mut encloser = self.apex();
        let too_deep = suffixes.labels().saturating_sub(usize::from(self.deepest) + 1);
        let mut missing = too_deep.min(apex);
        while exists > missing + 1 {
            let middle = missing.midpoint(exists);
            match self.find_suffix(suffixes, qname, middle) {
                Some(node) => (exists, encloser) = (middle, node),
                None => missing = middle,
            }
        }
        (encloser, exists)
    }

    /// The child `*` of `encloser`, whose hash is `hash`.
    fn wildcard(&self, hash: u64, encloser: Node<'_>) -> Option<Node<'_>> {
        let parent = encloser.wire_name();
        let arena = &self.arena;
        let is_it = |at: u32| {
            let name = Node::at(arena, at as usize).wire_name();
            name.strip_prefix(b"\x01*").is_some_and(|rest| rest == parent)
        };
        let at = self.table.find(self.key.wildcard(hash), is_it)?;
        Some(Node::at(arena, at as usize))
    }

    /// The cut, DNAME or steered cut nearest to the apex, at or above suffix `index`, whose
    /// node is `node`: what stands below it is not this zone's to answer.
    fn handed_over<'z>(
        &'z self,
        suffixes: &Suffixes,
        qname: &[u8],
        apex: usize,
        node: Node<'z>,
        index: usize,
    ) -> Lookup<'z> {
        let (mut node, mut index) = (node, index);
        if node.is_occluded() {
            let topmost = (index + 1..=apex).rev().find_map(|above| {
                let node = self.find_suffix(suffixes, qname, above)?;
                node.has(CUT | DNAME | STEERED_CUT).then_some((node, above))
            });
            if let Some(found) = topmost {
                (node, index) = found;
            }
        }
        let offset = suffixes.offset(index);
        if node.is_cut() {
            Lookup::Referral { cut: node, offset }
        } else if node.is_steered_cut() {
            Lookup::SteeredCut { node, offset }
        } else {
            Lookup::Dname { node, offset }
        }
    }
}
