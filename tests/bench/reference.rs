//! A fixed piece of work of the kind an answer is made of: integers, hashes that depend on each
//! other, look-ups in a table, octets copied, branches that cannot be foretold. Its time stands
//! for what the machine gives at that moment.
//!
//! Whoever changes it changes every ratio in `baseline.toml`.

use std::hint::black_box;

/// The loop and what it works on.
pub(crate) struct Reference {
    /// 32 KiB: beyond what fits beside a packet in the nearest cache.
    table: Box<[u64]>,
}

const ENTRIES: usize = 4096;
/// Steps of one pass, chosen to take about as long as a query.
const STEPS: usize = 24;
/// An odd number with no pattern in it: the golden ratio's share of 2^64.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Reference {
    pub(crate) fn new() -> Self {
        let entry = |number: usize| (number as u64).wrapping_mul(FACTOR).rotate_left(29);
        Self { table: (0..ENTRIES).map(entry).collect() }
    }

    /// Runs `passes` passes.
    #[inline(never)]
    pub(crate) fn run(&self, passes: usize) -> u64 {
        let (mut state, mut out) = (FACTOR, [0u8; 64]);
        for _ in 0..passes {
            state = self.pass(black_box(state), &mut out);
            black_box(&out);
        }
        state
    }

    fn pass(&self, mut state: u64, out: &mut [u8; 64]) -> u64 {
        for step in 0..STEPS {
            let found = self.table[(state >> 52) as usize % ENTRIES];
            state = (state ^ found).wrapping_mul(FACTOR);
            if state & 0x700 == 0 {
                state = state.rotate_left(17) ^ step as u64;
            }
            let at = step % 8 * 8;
            out[at..at + 8].copy_from_slice(&state.to_be_bytes());
        }
        state
    }
}
