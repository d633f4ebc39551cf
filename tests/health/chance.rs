//! Chance that can be played again.

/// A generator of numbers that look random (xorshift64).
pub(crate) struct Chance(u64);

impl Chance {
    /// Begins with `seed`, or with what the environment says; told, so that a failure can be
    /// played again.
    pub(crate) fn seeded(variable: &str, seed: u64) -> Self {
        let said = std::env::var(variable).ok().and_then(|text| text.parse().ok());
        let seed: u64 = said.unwrap_or(seed);
        println!("{variable}={seed}");
        Self(seed.max(1))
    }

    /// A number below `bound`.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as usize
    }
}
