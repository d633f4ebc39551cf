//! How loaded pools are, as queries see it: beside the words of the [`table`](super::table).
//!
//! One atomic word per pool, both families alike. The knowledge plane stores what was reported or
//! counted and still holds; a query that breaks a tie by load reads it, without a lock.
//!
//! ```text
//!  63..32                                      31      30     15..0
//!  what it can take, quarters of a query a s   known   full   load, thousandths of that
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use crate::region::PoolId;

/// How loaded a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolLoad(u64);

const KNOWN: u64 = 1 << 31;
const FULL: u64 = 1 << 30;

/// In a query a second.
const QUARTERS: f64 = 4.0;

impl PoolLoad {
    /// Nothing that may be believed is known.
    pub const UNKNOWN: Self = Self(0);

    /// The part in use of what a pool can take, 1 when it is full, and what that is in queries a
    /// second, where it is known. Kept in thousandths, up to 65 times full.
    pub fn new(load: f64, queries: Option<f64>) -> Self {
        let load = (load * 1000.0).round() as u16;
        let queries = queries.map_or(0, |queries| ((queries * QUARTERS).round() as u32).max(1));
        Self(u64::from(queries) << 32 | KNOWN | u64::from(load))
    }

    /// The part in use, in thousandths; `None` where nothing is known.
    #[inline]
    pub const fn permille(self) -> Option<u16> {
        if self.0 & KNOWN != 0 { Some(self.0 as u16) } else { None }
    }

    /// Quarters of a query a second that the pool can take; `None` where that is not known.
    #[inline]
    pub const fn quarters(self) -> Option<u32> {
        let quarters = (self.0 >> 32) as u32;
        if quarters == 0 { None } else { Some(quarters) }
    }

    /// Queries a second that the pool can take; `None` where that is not known.
    pub fn queries(self) -> Option<f64> {
        self.quarters().map(|quarters| f64::from(quarters) / QUARTERS)
    }

    /// The same pool with another part in use; full when that is all.
    #[must_use]
    pub fn supposed(self, load: f64) -> Self {
        let supposed = Self::new(load, self.queries());
        if load >= 1.0 { supposed.full() } else { supposed }
    }

    /// The same pool, full with what others than we send it: it is to get nobody while another
    /// has room.
    #[must_use]
    pub const fn full(self) -> Self {
        Self(self.0 | FULL)
    }

    /// Whether it is to get nobody while another has room.
    #[inline]
    pub const fn is_full(self) -> bool {
        self.0 & FULL != 0
    }
}

/// The loads of all pools. Written by the knowledge plane only.
#[derive(Debug)]
pub struct PoolLoads(Box<[AtomicU64]>);

impl PoolLoads {
    /// Of `pools` pools, nothing known of any.
    pub fn new(pools: usize) -> Self {
        Self((0..pools).map(|_| AtomicU64::new(0)).collect())
    }

    /// The load of a pool; unknown where there is no such pool.
    #[inline]
    pub fn of(&self, pool: PoolId) -> PoolLoad {
        let word = self.0.get(pool.0 as usize);
        PoolLoad(word.map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    /// Stores the load of a pool; one that is not there is left alone.
    pub fn set(&self, pool: PoolId, load: PoolLoad) {
        if let Some(word) = self.0.get(pool.0 as usize) {
            word.store(load.0, Ordering::Relaxed);
        }
    }

    /// Takes over all that `other`, of the same pools, holds.
    pub fn copy_from(&self, other: &Self) {
        for (word, other) in self.0.iter().zip(&other.0) {
            word.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_gives_back_what_went_in() {
        let load = PoolLoad::new(0.95, Some(1200.25));
        assert_eq!((load.permille(), load.queries()), (Some(950), Some(1200.25)));
        let load = load.supposed(0.0);
        assert_eq!((load.permille(), load.queries()), (Some(0), Some(1200.25)));
        assert!(!load.is_full() && load.supposed(1.0).is_full() && load.full().is_full());
        assert_eq!(load.full().permille(), load.permille());
        let load = PoolLoad::new(1e9, None);
        assert_eq!((load.permille(), load.queries()), (Some(u16::MAX), None));
        assert_eq!(PoolLoad::new(0.5, Some(0.0)).queries(), Some(0.25), "next to nothing is known");
        assert_eq!((PoolLoad::UNKNOWN.permille(), PoolLoad::UNKNOWN.queries()), (None, None));
    }

    #[test]
    fn loads_are_of_one_pool_each() {
        let loads = PoolLoads::new(2);
        loads.set(PoolId(1), PoolLoad::new(0.5, None));
        loads.set(PoolId(2), PoolLoad::new(0.7, None));
        assert_eq!(
            [0, 1, 2].map(|pool| loads.of(PoolId(pool)).permille()),
            [None, Some(500), None]
        );
        let copy = PoolLoads::new(2);
        copy.copy_from(&loads);
        assert_eq!(copy.of(PoolId(1)), loads.of(PoolId(1)));
    }
}
