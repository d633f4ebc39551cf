//! Chance as an argument: a small, fast generator that tests can seed.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
/// Good enough to share load; never for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chance(u64);

/// What the state grows by with each draw: odd, the golden ratio's fraction.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// A generator whose sequence is fixed by `seed`.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator whose next draw is `bits`, to look at one alternative after another; what
    /// follows is as random as ever. The scrambling in [`draw`](Self::draw), backwards.
    pub const fn aimed(bits: u64) -> Self {
        let mut z = bits ^ (bits >> 31) ^ (bits >> 62);
        z = z.wrapping_mul(0x3196_42b2_d24d_8ec3);
        z ^= (z >> 27) ^ (z >> 54);
        z = z.wrapping_mul(0x96de_1b17_3f11_9089);
        z ^= (z >> 30) ^ (z >> 60);
        Self(z.wrapping_sub(STEP))
    }

    /// The next 64 random bits.
    #[inline]
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0. Biased by at most `bound / 2^32`.
    #[inline]
    pub const fn below(&mut self, bound: u32) -> u32 {
        (((self.draw() >> 32) * bound as u64) >> 32) as u32
    }

    /// A number in `0..bound`; 0 when `bound` is 0. Biased by at most `bound / 2^64`.
    #[inline]
    pub const fn below_wide(&mut self, bound: u64) -> u64 {
        ((self.draw() as u128 * bound as u128) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut one, mut other) = (Chance::seeded(7), Chance::seeded(7));
        assert!((0..100).all(|_| one.draw() == other.draw()));
    }

    #[test]
    fn a_draw_can_be_aimed_at() {
        let mut source = Chance::seeded(3);
        let wanted = (0..1000).map(|_| source.draw()).chain([0, 1, u64::MAX]);
        assert!(wanted.into_iter().all(|bits| Chance::aimed(bits).draw() == bits));
    }

    #[test]
    fn numbers_below_a_bound_are_evenly_spread() {
        let mut chance = Chance::seeded(1);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[chance.below(7) as usize] += 1);
        assert!(counts.iter().all(|&count| (9_600..10_400).contains(&count)), "{counts:?}");
        assert_eq!(chance.below(0), 0);
    }
}
