//! Dials: what moves in one record from second to second, without a new snapshot.
//!
//! The knowledge plane turns them; queries of rules that have any read them, one load each. All
//! shares are of client networks, in 1/65535: [`ALL`] is everybody, 0 is nobody. A dial that
//! nobody turns changes nothing.
//!
//! Dials belong to one snapshot's record. Whoever turns them knows records by name and rules by
//! number, and sets those of a new snapshot before it is published.

use std::sync::atomic::{AtomicU32, Ordering};

/// Everybody.
pub const ALL: u16 = u16::MAX;

/// The dials of one record.
#[derive(Debug, Default)]
pub struct Dials {
    rules: Box<[RuleDials]>,
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
    /// Dials for rules with so many own sites each.
    pub fn new(rules: impl Iterator<Item = usize>) -> Self {
        let all = || AtomicU32::new(u32::from(ALL));
        let rule = |own| RuleDials {
            stage: AtomicU32::new(0),
            keeps: std::iter::repeat_with(all).take(own).collect(),
        };
        Self {
            rules: rules.map(rule).collect(),
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

    /// Turns [`ttl`](Self::ttl) for what health has in sight.
    pub fn set_ttl(&self, seconds: Option<u32>) {
        self.ttl.0.store(seconds.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Turns [`ttl`](Self::ttl) for what operators have planned.
    pub fn set_planned(&self, seconds: Option<u32>) {
        self.planned.0.store(seconds.unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_that_nobody_turns_changes_nothing() {
        for dials in [Dials::default(), Dials::new([2, 3].into_iter())] {
            assert_eq!((dials.stage(1), dials.keep(1, 2)), (0, ALL));
            assert_eq!(dials.ttl(), None);
            // Nothing there to turn.
            dials.set_keep(9, 9, 1);
        }
    }

    #[test]
    fn dials_stay_where_they_are_turned() {
        let dials = Dials::new([2, 3].into_iter());
        dials.set_stage(0, 100);
        dials.set_keep(1, 2, 200);
        dials.set_ttl(Some(400));
        assert_eq!((dials.stage(0), dials.stage(1)), (100, 0));
        assert_eq!((dials.keep(1, 2), dials.keep(1, 1), dials.keep(0, 1)), (200, ALL, ALL));
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
}
