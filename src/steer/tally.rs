//! Counters of steered answers: one set per record and pool, one cache line per thread.
//!
//! Each thread writes only its own line, with a plain load and store; the knowledge plane adds
//! them up when it is asked. They are known by name and outlive reloads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why an answer is what it is. Names are label values in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// What the policy wants when all is well.
    Preferred = 0,
    /// Something the policy would have wanted more was out.
    Fallback = 1,
    /// Too few pools were eligible: health was ignored.
    Panic = 2,
    /// Nothing was eligible: the rule's last resort.
    LastResort = 3,
    /// No rule is for this client.
    Unmatched = 4,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Preferred, Self::Fallback, Self::Panic, Self::LastResort, Self::Unmatched];

    /// The word used in metrics, logs and `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preferred => "preferred",
            Self::Fallback => "fallback",
            Self::Panic => "panic",
            Self::LastResort => "last-resort",
            Self::Unmatched => "unmatched",
        }
    }
}

/// Counters of one record and pool (or of one record's answers that no pool gave).
#[derive(Debug)]
pub struct Tally {
    lines: Box<[Line]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

impl Tally {
    fn new(threads: usize) -> Self {
        Self { lines: (0..threads).map(|_| Line::default()).collect() }
    }

    /// Counts one answer given by `thread`.
    #[inline]
    pub fn count(&self, thread: usize, reason: Reason) {
        if let Some(cell) = self.lines.get(thread).and_then(|line| line.0.get(reason as usize)) {
            cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Answers given for `reason` by all threads.
    pub fn sum(&self, reason: Reason) -> u64 {
        self.lines.iter().map(|line| line.0[reason as usize].load(Ordering::Relaxed)).sum()
    }
}

/// Every tally there is, by record and pool name (`""` for answers without a pool).
#[derive(Debug)]
pub struct Tallies {
    threads: usize,
    known: HashMap<(String, String), Arc<Tally>>,
}

impl Tallies {
    /// No tallies yet, for this many answering threads.
    pub fn new(threads: usize) -> Self {
        Self { threads, known: HashMap::new() }
    }

    /// The tally of a record and pool: the one it had, or a new one.
    pub fn of(&mut self, record: &str, pool: &str) -> Arc<Tally> {
        let threads = self.threads;
        let key = (record.to_owned(), pool.to_owned());
        Arc::clone(self.known.entry(key).or_insert_with(|| Arc::new(Tally::new(threads))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up_and_names_outlive_a_reload() {
        let mut tallies = Tallies::new(2);
        let before = tallies.of("www.example.org.", "fra");
        before.count(0, Reason::Preferred);
        before.count(1, Reason::Preferred);
        before.count(1, Reason::Fallback);
        before.count(9, Reason::Fallback);
        let after = tallies.of("www.example.org.", "fra");
        assert_eq!((after.sum(Reason::Preferred), after.sum(Reason::Fallback)), (2, 1));
        assert_eq!(tallies.of("www.example.org.", "iad").sum(Reason::Preferred), 0);
    }
}
