//! How a search for a qname in its zone ends (RFC 1034 section 4.3.2, with RFC 4592 for
//! wildcards and RFC 6672 for DNAME).
//!
//! A name that exists costs one probe. For one that does not, the closest encloser is found by
//! bisection between the apex and the deepest name the zone holds: existing names are closed
//! upwards, so "exists" changes once on the way.

use super::Zone;
use super::hash::Suffixes;
use super::node::{CUT, DNAME, Node, OCCLUDED, STEERED_CUT, WILDCARD_CHILD};
use crate::wire::name::{NAME_MAX, SplitName};
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
    /// Looks for `qname` (at or below the apex), whose hash with the zone's key is `hash`.
    /// The type matters at a cut only: DS belongs to the parent's side (RFC 4035 section
    /// 3.1.4.1).
    #[inline(always)]
    pub fn lookup<'z>(&'z self, qname: SplitName<'_>, hash: u64, qtype: Rtype) -> Lookup<'z> {
        if let Some(node) = self.find(hash, qname.octets()) {
            if !node.has(CUT | OCCLUDED) || (qtype == Rtype::DS && !node.is_occluded()) {
                return Lookup::Found(node);
            }
            return self.handed_over(qname, node, 0);
        }
        self.missing(qname)
    }

    /// As [`lookup`](Self::lookup), for a name (lower case, wire form) nothing is known of yet.
    pub fn search(&self, lower: &[u8], qtype: Rtype) -> Lookup<'_> {
        let mut suffixes = Suffixes::new();
        suffixes.split(lower);
        self.lookup(suffixes.name(lower), self.key.hash(lower), qtype)
    }

    /// The ending for a qname that does not exist.
    fn missing(&self, qname: SplitName<'_>) -> Lookup<'_> {
        let (encloser, index) = self.closest_encloser(qname);
        if encloser.has(CUT | DNAME | STEERED_CUT | OCCLUDED) {
            return self.handed_over(qname, encloser, index);
        }
        self.covered(encloser, qname.offset(index))
    }

    /// The ending for a qname below the steered cut that begins at `offset`, when nobody is
    /// handed over there: the name is like others then. Another steered cut may stand on the way.
    #[cold]
    pub fn lookup_past(&self, qname: SplitName<'_>, offset: usize, qtype: Rtype) -> Lookup<'_> {
        let (mut encloser, mut above) = (self.apex(), self.apex_index(qname));
        for index in (0..=above).rev() {
            let Some(node) = self.find_suffix(qname, index) else {
                return self.covered(encloser, qname.offset(above));
            };
            (encloser, above) = (node, index);
            let at = qname.offset(index);
            if at > offset {
                continue;
            }
            if node.is_cut() && (index > 0 || qtype != Rtype::DS) {
                return Lookup::Referral { cut: node, offset: at };
            }
            if node.is_steered_cut() && index > 0 && at < offset {
                return Lookup::SteeredCut { node, offset: at };
            }
            if node.has(DNAME) && index > 0 {
                return Lookup::Dname { node, offset: at };
            }
        }
        Lookup::Found(encloser)
    }

    /// The ending for a qname that does not exist below `encloser`, which begins at `offset`:
    /// its wildcard, if it has one.
    #[inline(always)]
    fn covered<'z>(&'z self, encloser: Node<'z>, offset: usize) -> Lookup<'z> {
        if encloser.has(WILDCARD_CHILD)
            && let Some(node) = self.wildcard(encloser)
        {
            return Lookup::Wildcard { node, encloser: offset };
        }
        Lookup::NxDomain { encloser, offset }
    }

    /// Which suffix of `qname` the apex is.
    fn apex_index(&self, qname: SplitName<'_>) -> usize {
        qname.count().saturating_sub(usize::from(self.apex_labels))
    }

    /// The longest suffix that exists, of a qname that does not.
    fn closest_encloser(&self, qname: SplitName<'_>) -> (Node<'_>, usize) {
        // Invariant: suffix `exists` does, suffix `missing` does not.
        let mut exists = self.apex_index(qname);
        let mut encloser = self.apex();
        let too_deep = qname.count().saturating_sub(usize::from(self.deepest) + 1);
        let mut missing = too_deep.min(exists);
        while exists > missing + 1 {
            let middle = missing.midpoint(exists);
            match self.find_suffix(qname, middle) {
                Some(node) => (exists, encloser) = (middle, node),
                None => missing = middle,
            }
        }
        (encloser, exists)
    }

    /// The child `*` of `encloser`.
    fn wildcard(&self, encloser: Node<'_>) -> Option<Node<'_>> {
        let parent = encloser.wire_name();
        let mut name = [0; NAME_MAX];
        let name = name.get_mut(..2 + parent.len())?;
        let (star, rest) = name.split_first_chunk_mut::<2>()?;
        *star = *b"\x01*";
        rest.copy_from_slice(parent);
        self.find(self.key.hash(name), name)
    }

    /// The cut, DNAME or steered cut nearest to the apex, at or above suffix `index`, whose
    /// node is `node`: what stands below it is not this zone's to answer.
    fn handed_over<'z>(&'z self, qname: SplitName<'_>, node: Node<'z>, index: usize) -> Lookup<'z> {
        let (mut node, mut index) = (node, index);
        if node.is_occluded() {
            let topmost = (index + 1..=self.apex_index(qname)).rev().find_map(|above| {
                let node = self.find_suffix(qname, above)?;
                node.has(CUT | DNAME | STEERED_CUT).then_some((node, above))
            });
            if let Some(found) = topmost {
                (node, index) = found;
            }
        }
        let offset = qname.offset(index);
        if node.is_cut() {
            Lookup::Referral { cut: node, offset }
        } else if node.is_steered_cut() {
            Lookup::SteeredCut { node, offset }
        } else {
            Lookup::Dname { node, offset }
        }
    }
}
