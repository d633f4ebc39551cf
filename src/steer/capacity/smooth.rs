//! A mean that forgets.

use std::time::Duration;

/// After so long a value counts 1/e of what it did.
const MEMORY: f64 = 60.0;

/// An exponentially weighted mean. The first values count in full, whatever their number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Smooth {
    sum: f64,
    weight: f64,
}

impl Smooth {
    /// A value that held for the last `past`.
    pub(super) fn add(&mut self, value: f64, past: Duration) {
        let kept = (-past.as_secs_f64() / MEMORY).exp();
        self.sum = self.sum * kept + value * (1.0 - kept);
        self.weight = self.weight * kept + (1.0 - kept);
    }

    /// Forgets all and begins with this.
    pub(super) const fn set(&mut self, value: f64) {
        *self = Self { sum: value, weight: 1.0 };
    }

    /// The mean; 0 of nothing.
    pub(super) fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_begins_with_what_there_is_and_forgets() {
        let mut mean = Smooth::default();
        assert!(mean.value() == 0.0);
        mean.add(10.0, Duration::from_secs(1));
        assert!((mean.value() - 10.0).abs() < 1e-9);
        (0..60).for_each(|_| mean.add(20.0, Duration::from_secs(10)));
        assert!((mean.value() - 20.0).abs() < 0.01);
        mean.add(99.0, Duration::ZERO);
        assert!((mean.value() - 20.0).abs() < 0.01, "no time has passed");
    }
}
