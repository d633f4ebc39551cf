//! Counters of steered answers: one set per record, on cache lines of its own for each thread.
//!
//! Each thread writes only its own line, with a plain load and store; the knowledge plane adds
//! them up when it is asked. They are known by name and outlive reloads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prefetch_index::prefetch_index;

use crate::steer::heavy::Heavy;
use crate::wire::name::Name;

/// Why an answer is what it is. Names are label values in the metrics. Where the first choice did
/// not answer, the reason says what kept it from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// What the policy wants when all is well.
    Preferred = 0,
    /// The first choice does not serve, by its checks.
    Unhealthy = 1,
    /// Too few pools were eligible: health was ignored.
    Panic = 2,
    /// Nothing was eligible: the rule's last resort.
    LastResort = 3,
    /// No rule is for this client.
    Unmatched = 4,
    /// The first choice serves, but does not take this client now: it is coming back by and by, is
    /// in trouble, or has its share of the clients.
    Shed = 5,
    /// The first choice is emptied, held down or worked on, by an operator or by its own word.
    Drained = 6,
    /// The first choice serves, but has no room for this client.
    AtCapacity = 7,
    /// Nothing inside a fence was eligible, and clients may not leave it: the rule's last resort.
    Fenced = 8,
    /// The first choice has no address of what was asked for.
    NoAddress = 9,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Preferred,
        Self::Unhealthy,
        Self::Panic,
        Self::LastResort,
        Self::Unmatched,
        Self::Shed,
        Self::Drained,
        Self::AtCapacity,
        Self::Fenced,
        Self::NoAddress,
    ];

    /// The word used in metrics, logs and `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preferred => "preferred",
            Self::Unhealthy => "unhealthy",
            Self::Panic => "panic",
            Self::LastResort => "last-resort",
            Self::Unmatched => "unmatched",
            Self::Shed => "shed",
            Self::Drained => "drained",
            Self::AtCapacity => "at-capacity",
            Self::Fenced => "fenced",
            Self::NoAddress => "no-address",
        }
    }
}

/// Counters of one record's answers: a row for each of its pools, and a last one for answers
/// that no pool gave.
#[derive(Debug)]
pub struct Tally {
    pools: Arc<[Box<str>]>,
    /// Lines of one thread.
    stride: usize,
    lines: Box<[Line]>,
    /// What was counted while the record had other pools.
    before: Option<Arc<Self>>,
}

/// Two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE]);

/// Counters on a line.
const LINE: usize = 16;

impl Tally {
    fn new(threads: usize, pools: Arc<[Box<str>]>, before: Option<Arc<Self>>) -> Self {
        let stride = ((pools.len() + 1) * Reason::ALL.len()).div_ceil(LINE);
        let lines = (0..threads * stride).map(|_| Line::default()).collect();
        Self { pools, stride, lines, before }
    }

    /// Counts one answer given by `thread` from pool number `row`.
    #[inline]
    pub fn count(&self, thread: usize, row: usize, reason: Reason) {
        if let Some(cell) = self.cell(thread, row, reason) {
            cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Counts one answer given by `thread` from no pool.
    pub fn count_unpooled(&self, thread: usize, reason: Reason) {
        self.count(thread, self.pools.len(), reason);
    }

    /// The pools of this record, in the order of the rows.
    pub fn pools(&self) -> &[Box<str>] {
        &self.pools
    }

    /// Answers given from `pool` (`""`: from none) for `reason` by all threads.
    pub fn sum(&self, pool: &str, reason: Reason) -> u64 {
        let row = match pool {
            "" => Some(self.pools.len()),
            _ => self.pools.iter().position(|known| **known == *pool),
        };
        row.map_or_else(
            || self.before.as_ref().map_or(0, |before| before.sum(pool, reason)),
            |row| self.sum_at(row, pool, reason),
        )
    }

    /// Answers given from pool number `row` for any reason by all threads.
    pub fn row(&self, row: usize) -> u64 {
        let pool = self.pools.get(row).map_or("", |pool| &**pool);
        Reason::ALL.iter().map(|reason| self.sum_at(row, pool, *reason)).sum()
    }

    /// Answers given for `reason` by all threads, from pools or from none.
    pub fn of_reason(&self, reason: Reason) -> u64 {
        let names = self.pools.iter().map(|pool| &**pool).chain([""]);
        names.enumerate().map(|(row, pool)| self.sum_at(row, pool, reason)).sum()
    }

    /// Answers given by all threads, from pools or from none.
    pub fn all(&self) -> u64 {
        (0..=self.pools.len()).map(|row| self.row(row)).sum()
    }

    fn sum_at(&self, row: usize, pool: &str, reason: Reason) -> u64 {
        let threads = self.lines.len() / self.stride;
        let cells = (0..threads).filter_map(|thread| self.cell(thread, row, reason));
        let before = self.before.as_ref().map_or(0, |before| before.sum(pool, reason));
        before + cells.map(|cell| cell.load(Ordering::Relaxed)).sum::<u64>()
    }

    /// Sends for the memory of a thread's commonest counters.
    #[inline]
    pub fn approach(&self, thread: usize) {
        prefetch_index(&self.lines, thread.wrapping_mul(self.stride));
    }

    /// A thread that is not counted for has no cell. Those of one reason stand together, since
    /// nearly all answers have the same.
    #[inline]
    fn cell(&self, thread: usize, row: usize, reason: Reason) -> Option<&AtomicU64> {
        let cell = reason as usize * (self.pools.len() + 1) + row;
        let line = thread.checked_mul(self.stride)?.checked_add(cell / LINE)?;
        self.lines.get(line).map(|line| &line.0[cell % LINE])
    }
}

/// Every tally there is, by record.
#[derive(Debug)]
pub struct Tallies {
    threads: usize,
    heavy: Arc<Heavy>,
    known: HashMap<Name, Arc<Tally>>,
}

impl Tallies {
    /// No tallies yet, for this many answering threads.
    pub fn new(threads: usize) -> Self {
        Self { threads, heavy: Arc::default(), known: HashMap::new() }
    }

    /// Who brings most of the queries.
    pub fn heavy(&self) -> Arc<Heavy> {
        Arc::clone(&self.heavy)
    }

    /// How many threads are counted for.
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// The tally of a record with these pools: the one it had, or a new one that goes on from it.
    pub fn of(&mut self, record: &Name, pools: &Arc<[Box<str>]>) -> Arc<Tally> {
        let before = self.known.get(record);
        if let Some(known) = before.filter(|known| known.pools == *pools) {
            return Arc::clone(known);
        }
        let tally = Tally::new(self.threads, Arc::clone(pools), before.cloned());
        let tally = Arc::new(tally);
        self.known.insert(record.clone(), Arc::clone(&tally));
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(names: &[&str]) -> Arc<[Box<str>]> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    #[test]
    fn threads_add_up_and_names_outlive_a_reload() {
        let mut tallies = Tallies::new(2);
        let www = "www.example.org.".parse().expect("a name");
        let before = tallies.of(&www, &pools(&["fra"]));
        before.count(0, 0, Reason::Preferred);
        before.count(1, 0, Reason::Preferred);
        before.count(1, 0, Reason::Unhealthy);
        before.count(9, 0, Reason::Unhealthy);
        before.count(usize::MAX, 0, Reason::Unhealthy);
        let after = tallies.of(&www, &pools(&["fra"]));
        assert_eq!(
            (after.sum("fra", Reason::Preferred), after.sum("fra", Reason::Unhealthy)),
            (2, 1)
        );
        assert_eq!(after.sum("iad", Reason::Preferred), 0);
    }

    #[test]
    fn a_pool_keeps_its_count_when_others_come_and_go() {
        let mut tallies = Tallies::new(1);
        let www = "www.example.org.".parse().expect("a name");
        let first = tallies.of(&www, &pools(&["fra", "iad"]));
        first.count(0, 1, Reason::Preferred);
        first.count_unpooled(0, Reason::LastResort);
        let second = tallies.of(&www, &pools(&["iad", "syd", "fra"]));
        second.count(0, 0, Reason::Preferred);
        second.count(0, 2, Reason::Panic);
        // A query that began before the reload still counts.
        first.count(0, 1, Reason::Preferred);
        assert_eq!(second.sum("iad", Reason::Preferred), 3);
        assert_eq!((second.sum("fra", Reason::Panic), second.sum("syd", Reason::Panic)), (1, 0));
        assert_eq!(second.sum("", Reason::LastResort), 1);
    }
}
