//! How many answers that name a pool still live in resolvers' caches.
//!
//! An answer lives for its TTL and no longer, so what was counted says when the last one ends: of
//! each second only the sum is kept of answers that end in it. An estimate from above, for an
//! answer may be forgotten early, and is counted as given when the counters were read.

use std::collections::BTreeMap;

/// Answers of one pool that have not ended, by the second in which they do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alive {
    ends: BTreeMap<u64, u64>,
    sum: u64,
}

impl Alive {
    /// Adds answers given until `now` with a TTL in seconds, and forgets what has ended.
    pub fn add(&mut self, answers: u64, ttl: u32, now: u64) {
        if answers > 0 && ttl > 0 {
            *self.ends.entry(now + u64::from(ttl)).or_default() += answers;
            self.sum += answers;
        }
        self.forget(now);
    }

    /// Forgets what has ended by `now`, in seconds.
    pub fn forget(&mut self, now: u64) {
        while let Some(first) = self.ends.first_entry().filter(|entry| *entry.key() <= now) {
            self.sum -= first.remove();
        }
    }

    /// Answers that live, as of the last call of one of the others.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// When the last of them ends, in seconds; `None` when none lives.
    pub fn end(&self) -> Option<u64> {
        self.ends.last_key_value().map(|(end, _)| *end)
    }
}

/// How far a pool is emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emptying {
    /// When it began, in seconds.
    pub since: u64,
    /// Answers that lived then.
    pub before: u64,
    /// When the last of its answers was seen to have ended, in seconds.
    pub drained: Option<u64>,
}

impl Emptying {
    /// Begins at `now`.
    pub fn begin(alive: &Alive, now: u64) -> Self {
        Self { since: now, before: alive.sum(), drained: None }.look(alive, now)
    }

    /// Looks again at `now`. Answers that are given all the same (a last resort, a fence) put
    /// the end off.
    #[must_use]
    pub fn look(mut self, alive: &Alive, now: u64) -> Self {
        self.before = self.before.max(alive.sum());
        self.drained = match (alive.sum(), self.drained) {
            (0, None) => Some(now),
            (0, drained) => drained,
            _ => None,
        };
        self
    }

    /// The share of its answers that still live, `0.0..=1.0`.
    pub fn share_alive(&self, alive: &Alive) -> f64 {
        if self.before == 0 { 0.0 } else { alive.sum() as f64 / self.before as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten answers a second with a TTL of 30 s, until second 100.
    fn busy() -> Alive {
        let mut alive = Alive::default();
        for now in 0..=100 {
            alive.add(10, 30, now);
        }
        alive
    }

    #[test]
    fn answers_live_for_their_ttl() {
        let alive = busy();
        assert_eq!((alive.sum(), alive.end()), (300, Some(130)));
    }

    #[test]
    fn a_drained_pool_is_empty_when_its_last_answer_has_ended() {
        let mut alive = busy();
        let mut emptying = Emptying::begin(&alive, 100);
        for now in 101..130 {
            alive.add(0, 30, now);
            emptying = emptying.look(&alive, now);
            assert_eq!(emptying.drained, None, "at {now}");
        }
        assert_eq!(alive.sum(), 10);
        assert!((emptying.share_alive(&alive) - 10.0 / 300.0).abs() < 1e-9);
        for now in 130..140 {
            alive.forget(now);
            emptying = emptying.look(&alive, now);
        }
        assert_eq!((emptying.drained, emptying.share_alive(&alive)), (Some(130), 0.0));
    }

    #[test]
    fn long_ttls_are_not_forgotten_for_short_ones() {
        let mut alive = busy();
        alive.add(3, 300, 100);
        alive.forget(399);
        assert_eq!((alive.sum(), alive.end()), (3, Some(400)));
        alive.forget(400);
        assert_eq!(alive, Alive::default());
    }

    #[test]
    fn a_last_resort_puts_the_end_off() {
        let mut alive = busy();
        let mut emptying = Emptying::begin(&alive, 100);
        alive.forget(130);
        emptying = emptying.look(&alive, 130);
        assert_eq!(emptying.drained, Some(130));
        alive.add(1, 30, 131);
        emptying = emptying.look(&alive, 131);
        assert_eq!(emptying.drained, None);
    }

    #[test]
    fn a_pool_without_answers_is_drained_at_once() {
        let alive = Alive::default();
        let emptying = Emptying::begin(&alive, 7);
        assert_eq!((emptying.drained, emptying.share_alive(&alive)), (Some(7), 0.0));
    }
}
