//! What a plan whose pools have a capacity counts, and what it is told in turn.
//!
//! Queries are counted by order of the map. For each order a word says where its clients begin:
//! byte `i` is the share of clients, in 1/256, who begin at candidate `i` or before it. For each
//! rule and own site a share says how many of the clients the site is drawn for it keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use crate::steer::demand::Demand;
use crate::steer::record::Plan;

/// Everybody begins at the first candidate, or at one of those equally near.
pub const FIRST: u64 = 0;
/// Everybody begins at the first candidate, whatever is as near.
pub const ALL_FIRST: u64 = u64::MAX;

/// See the module's text. Written by the knowledge plane, read by queries.
#[derive(Debug)]
pub struct Spill {
    /// Queries by order.
    pub demand: Demand,
    words: Box<[AtomicU64]>,
    moves: AtomicBool,
    keeps: Box<[Box<[AtomicU16]>]>,
}

impl Spill {
    /// For so many answering threads, orders, and own sites of each rule. Nothing is counted, and
    /// every pool takes everybody.
    pub fn new(threads: usize, orders: usize, rules: impl Iterator<Item = usize>) -> Self {
        let keeps = |own| (0..own).map(|_| AtomicU16::new(u16::MAX)).collect();
        Self {
            demand: Demand::new(threads, orders),
            words: (0..orders).map(|_| AtomicU64::new(FIRST)).collect(),
            moves: AtomicBool::new(false),
            keeps: rules.map(keeps).collect(),
        }
    }

    /// Where clients of order number `order` begin.
    #[inline]
    pub fn word(&self, order: usize) -> u64 {
        self.words.get(order).map_or(FIRST, |word| word.load(Ordering::Relaxed))
    }

    /// Some clients begin elsewhere than at the first, so that orders with the same first
    /// candidate are not alike.
    #[inline]
    pub fn moves(&self) -> bool {
        self.moves.load(Ordering::Relaxed)
    }

    /// Looks through the words. To be called after they were [set](Self::set_word).
    pub fn settle(&self) {
        let moves = self.words.iter().any(|word| word.load(Ordering::Relaxed) != FIRST);
        self.moves.store(moves, Ordering::Relaxed);
    }

    /// The share, in 1/65535, that rule `rule` lets its own site at `place` keep.
    #[inline]
    pub fn keep(&self, rule: usize, place: usize) -> u16 {
        let keep = self.keeps.get(rule).and_then(|rule| rule.get(place));
        keep.map_or(u16::MAX, |keep| keep.load(Ordering::Relaxed))
    }

    /// Tells where clients of an order begin from now on.
    pub fn set_word(&self, order: usize, word: u64) {
        if let Some(cell) = self.words.get(order) {
            cell.store(word, Ordering::Relaxed);
        }
    }

    /// Tells what a rule lets its own site keep from now on.
    pub fn set_keep(&self, rule: usize, place: usize, share: u16) {
        if let Some(cell) = self.keeps.get(rule).and_then(|rule| rule.get(place)) {
            cell.store(share, Ordering::Relaxed);
        }
    }
}

/// What plans would be told if something were otherwise.
#[derive(Debug, Default)]
pub struct Spills(pub(in crate::steer) Vec<(Arc<Plan>, Arc<Spill>)>);

impl Spills {
    /// What this plan would be told; `None` where nothing is supposed.
    pub fn of(&self, plan: &Plan) -> Option<&Spill> {
        let known = self.0.iter().find(|(known, _)| std::ptr::eq(&**known, plan));
        known.map(|(_, spill)| &**spill)
    }
}

/// At which candidate a client begins whose evenly spread byte is `byte`.
#[inline]
pub fn begins_at(spill: u64, byte: u8) -> usize {
    if spill == 0 {
        return 0;
    }
    spill.to_le_bytes().iter().take_while(|&&share| share <= byte && share != u8::MAX).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_begin_where_their_byte_falls() {
        let spill = u64::from_le_bytes([64, 64, 255, 255, 255, 255, 255, 255]);
        let begins = [0, 63, 64, 200, 255].map(|byte| begins_at(spill, byte));
        assert_eq!(begins, [0, 0, 2, 2, 2]);
        assert_eq!([begins_at(FIRST, 255), begins_at(ALL_FIRST, 255)], [0, 0]);
    }

    #[test]
    fn what_nobody_told_changes_nothing() {
        let spill = Spill::new(1, 2, [3].into_iter());
        spill.set_word(1, 7);
        spill.set_word(2, 9);
        spill.set_keep(0, 2, 5);
        spill.set_keep(1, 0, 5);
        assert_eq!([spill.word(0), spill.word(1), spill.word(2)], [FIRST, 7, FIRST]);
        let keeps = [(0, 0), (0, 2), (1, 0)].map(|(rule, place)| spill.keep(rule, place));
        assert_eq!(keeps, [u16::MAX, 5, u16::MAX]);
    }
}
