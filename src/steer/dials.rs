//! Dials: what moves in one record from second to second, without a new snapshot.
//!
//! The knowledge plane turns them; queries of rules that have any read them, one load each. All
//! shares are of client networks, in 1/65535: [`ALL`] is everybody, 0 is nobody. A dial that
//! nobody turns changes nothing.
//!
//! Dials belong to one snapshot's record. Whoever turns them knows records by name and rules by
//! number, and sets those of a new snapshot before it is published.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Everybody.
pub const ALL: u16 = u16::MAX;

/// The dials of one record.
#[derive(Debug, Default)]
pub struct Dials {
    rules: Box<[RuleDials]>,
    /// By order of the record's map.
    spills: Box<[AtomicU64]>,
    ttl: AtomicTtl,
    planned: AtomicTtl,
}

/// The dials of one rule.
#[derive(Debug)]
struct RuleDials {
    stage: AtomicU32,
    /// By place among the rule's own sites.
    keeps: Box<[AtomicU32]>,
}

/// Seconds, none at first.
#[derive(Debug)]
struct AtomicTtl(AtomicU32);

impl Default for AtomicTtl {
    fn default() -> Self {
        Self(AtomicU32::new(u32::MAX))
    }
}

impl Dials {
    /// Dials for rules with so many own sites each, and for so many orders of a map.
    pub fn new(rules: impl Iterator<Item = usize>, orders: usize) -> Self {
        let all = || AtomicU32::new(u32::from(ALL));
        let rule = |own| RuleDials {
            stage: AtomicU32::new(0),
            keeps: std::iter::repeat_with(all).take(own).collect(),
        };
        Self {
            rules: rules.map(rule).collect(),
            spills: (0..orders).map(|_| AtomicU64::new(0)).collect(),
            ttl: AtomicTtl::default(),
            planned: AtomicTtl::default(),
        }
    }

    /// The share of clients who get the new side of rule `rule`; nobody where there is no dial.
    #[inline]
    pub fn stage(&self, rule: usize) -> u16 {
        self.rules.get(rule).map_or(0, |rule| rule.stage.load(Ordering::Relaxed) as u16)
    }

    /// The share of clients that rule `rule` lets its own site at `place` keep; all where there
    /// is no dial.
    #[inline]
    pub fn keep(&self, rule: usize, place: usize) -> u16 {
        let keep = self.rules.get(rule).and_then(|rule| rule.keeps.get(place));
        keep.map_or(ALL, |keep| keep.load(Ordering::Relaxed) as u16)
    }

    /// Where clients with order number `order` of the map begin: byte `i` is the share, in
    /// 1/256, of clients who begin at candidate `i` or before it. 0: all begin at the first.
    #[inline]
    pub fn spill(&self, order: usize) -> u64 {
        self.spills.get(order).map_or(0, |spill| spill.load(Ordering::Relaxed))
    }

    /// Seconds until a change that is in sight or planned; `None` when none is.
    #[inline]
    pub fn ttl(&self) -> Option<u32> {
        let seconds = |ttl: &AtomicTtl| ttl.0.load(Ordering::Relaxed);
        let soonest = seconds(&self.ttl).min(seconds(&self.planned));
        Some(soonest).filter(|seconds| *seconds != u32::MAX)
    }

    /// Turns [`stage`](Self::stage).
    pub fn set_stage(&self, rule: usize, share: u16) {
        if let Some(rule) = self.rules.get(rule) {
            rule.stage.store(u32::from(share), Ordering::Relaxed);
        }
    }

    /// Turns [`keep`](Self::keep).
    pub fn set_keep(&self, rule: usize, place: usize, share: u16) {
        if let Some(keep) = self.rules.get(rule).and_then(|rule| rule.keeps.get(place)) {
            keep.store(u32::from(share), Ordering::Relaxed);
        }
    }

    /// Turns [`spill`](Self::spill).
    pub fn set_spill(&self, order: usize, shares: u64) {
        if let Some(spill) = self.spills.get(order) {
            spill.store(shares, Ordering::Relaxed);
        }
    }

    /// Turns [`ttl`](Self::ttl) for what health has in sight.
    pub fn set_ttl(&self, seconds: Option<u32>) {
        self.ttl.0.store(seconds.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Turns [`ttl`](Self::ttl) for what operators have planned.
    pub fn set_planned(&self, seconds: Option<u32>) {
        self.planned.0.store(seconds.unwrap_or(u32::MAX), Ordering::Relaxed);
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
    fn a_dial_that_nobody_turns_changes_nothing() {
        for dials in [Dials::default(), Dials::new([2, 3].into_iter(), 4)] {
            assert_eq!((dials.stage(1), dials.keep(1, 2), dials.spill(3)), (0, ALL, 0));
            assert_eq!(dials.ttl(), None);
            // Nothing there to turn.
            dials.set_keep(9, 9, 1);
            dials.set_spill(9, 1);
        }
    }

    #[test]
    fn dials_stay_where_they_are_turned() {
        let dials = Dials::new([2, 3].into_iter(), 4);
        dials.set_stage(0, 100);
        dials.set_keep(1, 2, 200);
        dials.set_spill(3, 300);
        dials.set_ttl(Some(400));
        assert_eq!((dials.stage(0), dials.stage(1)), (100, 0));
        assert_eq!((dials.keep(1, 2), dials.keep(1, 1), dials.keep(0, 1)), (200, ALL, ALL));
        assert_eq!((dials.spill(3), dials.spill(2)), (300, 0));
        assert_eq!(dials.ttl(), Some(400));
        dials.set_planned(Some(300));
        assert_eq!(dials.ttl(), Some(300));
        dials.set_planned(Some(500));
        assert_eq!(dials.ttl(), Some(400));
        dials.set_ttl(None);
        assert_eq!(dials.ttl(), Some(500));
        dials.set_planned(None);
        assert_eq!(dials.ttl(), None);
    }

    #[test]
    fn clients_begin_where_their_byte_falls() {
        let spill = u64::from_le_bytes([64, 64, 255, 255, 255, 255, 255, 255]);
        let begins = [0, 63, 64, 200, 255].map(|byte| begins_at(spill, byte));
        assert_eq!(begins, [0, 0, 2, 2, 2]);
        assert_eq!(begins_at(0, 255), 0);
    }
}
