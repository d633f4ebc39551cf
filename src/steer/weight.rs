//! Random choice by weight in constant time: an alias table (Walker 1977, Vose 1991).

use crate::steer::chance::Chance;

/// Picks index `i` with probability `weight[i] / sum`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alias {
    cells: Box<[Cell]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    /// Below this the cell's own index is picked, else `other`.
    threshold: u32,
    other: u16,
}

impl Alias {
    /// A table over `weights`; `None` when they are empty, all zero, or more than 65,535.
    pub fn new(weights: &[u32]) -> Option<Self> {
        let count = u16::try_from(weights.len()).ok()?;
        let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        if sum == 0 {
            return None;
        }
        // Scaled so that the mean is `sum`: all in integers, nothing lost to rounding.
        let mut scaled: Vec<u64> =
            weights.iter().map(|&weight| u64::from(weight) * u64::from(count)).collect();
        let mut cells = vec![Cell { threshold: u32::MAX, other: 0 }; weights.len()];
        let (mut small, mut large): (Vec<u16>, Vec<u16>) =
            (0..count).partition(|&index| scaled[usize::from(index)] < sum);
        while let (Some(&less), Some(&more)) = (small.last(), large.last()) {
            small.pop();
            let have = scaled[usize::from(less)];
            let threshold = (u128::from(have) << 32) / u128::from(sum);
            cells[usize::from(less)] = Cell { threshold: threshold as u32, other: more };
            scaled[usize::from(more)] -= sum - have;
            if scaled[usize::from(more)] < sum {
                large.pop();
                small.push(more);
            }
        }
        // What is left is full up to rounding: it always picks itself.
        for index in small.into_iter().chain(large) {
            cells[usize::from(index)] = Cell { threshold: u32::MAX, other: index };
        }
        Some(Self { cells: cells.into_boxed_slice() })
    }

    /// Draws one index.
    #[inline]
    pub fn pick(&self, chance: &mut Chance) -> usize {
        let bits = chance.draw();
        let index = (((bits >> 32) * self.cells.len() as u64) >> 32) as usize;
        match self.cells.get(index) {
            Some(cell) if (bits as u32) >= cell.threshold => usize::from(cell.other),
            _ => index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of some three hundred shares one is expected beyond three standard errors, and none beyond
    /// four and a half.
    #[test]
    fn shares_follow_the_weights_within_three_standard_errors() {
        const DRAWS: u32 = 1_000_000;
        let mut chance = Chance::seeded(42);
        let (mut shares, mut beyond) = (0, 0);
        for seed in 0..50 {
            let mut source = Chance::seeded(seed);
            let weights: Vec<u32> = (0..1 + source.below(12)).map(|_| source.below(100)).collect();
            let Some(alias) = Alias::new(&weights) else { continue };
            let sum: u32 = weights.iter().sum();
            let mut counts = vec![0u32; weights.len()];
            (0..DRAWS).for_each(|_| counts[alias.pick(&mut chance)] += 1);
            for (&weight, &count) in weights.iter().zip(&counts) {
                let share = f64::from(weight) / f64::from(sum);
                let error = (f64::from(DRAWS) * share * (1.0 - share)).sqrt();
                let off = (f64::from(count) - f64::from(DRAWS) * share).abs();
                assert!(off <= 4.5 * error, "{weights:?} {counts:?}");
                shares += 1;
                beyond += u32::from(off > 3.0 * error);
            }
        }
        assert!(shares > 250 && beyond <= 4, "{beyond} of {shares}");
    }

    #[test]
    fn nothing_to_choose_from_is_no_table() {
        assert_eq!(Alias::new(&[]), None);
        assert_eq!(Alias::new(&[0, 0]), None);
    }
}
