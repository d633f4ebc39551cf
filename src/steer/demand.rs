//! How many queries ask for each order of a map, counted while they are answered.
//!
//! Each thread writes only lines of its own, with a plain load and store; the knowledge plane adds
//! them up when it plans what pools can take. Only plans whose pools have a capacity count.

use std::sync::atomic::{AtomicU64, Ordering};

/// Queries by order of a map.
#[derive(Debug)]
pub struct Demand {
    /// Lines of one thread.
    stride: usize,
    orders: usize,
    lines: Box<[Line]>,
}

/// Two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE]);

/// Counters on a line.
const LINE: usize = 16;

impl Demand {
    /// Nothing counted yet, for this many answering threads and orders.
    pub fn new(threads: usize, orders: usize) -> Self {
        let stride = orders.div_ceil(LINE);
        Self { stride, orders, lines: (0..threads * stride).map(|_| Line::default()).collect() }
    }

    /// Counts one query for order number `order`, answered by `thread`. A thread or order that is
    /// not counted for is nobody's.
    #[inline]
    pub fn count(&self, thread: usize, order: usize) {
        if let Some(cell) = self.cell(thread, order) {
            cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Queries for an order, of all threads.
    pub fn sum(&self, order: usize) -> u64 {
        let threads = self.lines.len().checked_div(self.stride).unwrap_or(0);
        let cells = (0..threads).filter_map(|thread| self.cell(thread, order));
        cells.map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// How many orders there are.
    pub const fn orders(&self) -> usize {
        self.orders
    }

    #[inline]
    fn cell(&self, thread: usize, order: usize) -> Option<&AtomicU64> {
        if order >= self.orders {
            return None;
        }
        let line = thread.checked_mul(self.stride)?.checked_add(order / LINE)?;
        self.lines.get(line).map(|line| &line.0[order % LINE])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up_and_strangers_do_not_count() {
        let demand = Demand::new(2, 17);
        for (thread, order) in [(0, 0), (1, 0), (1, 16), (0, 17), (2, 1), (usize::MAX, 1)] {
            demand.count(thread, order);
        }
        let sums: Vec<u64> = (0..18).map(|order| demand.sum(order)).collect();
        assert_eq!((sums[0], sums[1], sums[16], sums[17]), (2, 0, 1, 0));
        assert_eq!(sums.iter().sum::<u64>(), 3);
        Demand::new(0, 3).count(0, 0);
        assert_eq!(Demand::new(3, 0).sum(0), 0);
    }
}
