//! Slow starts: the share of a pool that serves again, and how that outlives a process.

use std::time::Duration;

use super::keeper::{Keeper, Known};
use super::table::PoolWord;
use super::verdict::SLOW_START_FROM;
use crate::region::{AreaId, Family};

/// When a pool began to start slowly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Starting {
    at: Duration,
    /// What had passed by then, in processes before; time without a process does not count.
    before: Duration,
}

/// A slow start as it outlives a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The pool's zone.
    pub zone: Box<str>,
    /// The pool's name.
    pub pool: Box<str>,
    /// For which family.
    pub family: Family,
    /// For the clients of which area; `None` for those of the world.
    pub area: Option<Box<str>>,
    /// How long it has lasted.
    pub lasts: Duration,
}

impl Starting {
    pub(super) const fn now(now: Duration) -> Self {
        Self { at: now, before: Duration::ZERO }
    }

    const fn elapsed(self, now: Duration) -> Duration {
        now.saturating_sub(self.at).saturating_add(self.before)
    }

    /// The share it takes where all is taken after `whole`.
    pub(super) fn share(self, now: Duration, whole: Duration) -> u16 {
        let elapsed = self.elapsed(now);
        if elapsed >= whole {
            return PoolWord::KEEP_ALL;
        }
        let (from, to) = (f64::from(SLOW_START_FROM), f64::from(PoolWord::KEEP_ALL));
        (from + (to - from) * elapsed.as_secs_f64() / whole.as_secs_f64()) as u16
    }
}

impl Known {
    /// Pools that start slowly, for the next process.
    pub fn starts(&self, now: Duration) -> Vec<Start> {
        let names = self.judge.areas().iter().map(|name| Some(name.clone()));
        let areas = std::iter::once(None).chain(names).zip(&self.words);
        let mut starts = Vec::new();
        for (area, words) in areas {
            for ((_, spec), held) in self.judge.pools().zip(words) {
                for (family, held) in [Family::V4, Family::V6].into_iter().zip(held) {
                    let Some(starting) = held.starting else { continue };
                    let (zone, pool) = (spec.origin.clone(), spec.name.clone());
                    let lasts = starting.elapsed(now);
                    starts.push(Start { zone, pool, family, area: area.clone(), lasts });
                }
            }
        }
        starts
    }
}

impl Keeper {
    /// Has pools that were starting slowly when the process before ended go on with it, where
    /// they still serve. To be called before anything is answered.
    pub fn go_on(&mut self, starts: &[Start], now: Duration) {
        let known = &mut self.known;
        for start in starts {
            let named = |name: &str| known.judge.areas().iter().position(|of| **of == *name);
            let place = match &start.area {
                None => Some(usize::from(AreaId::WORLD.0)),
                Some(name) => named(name).map(|place| place + 1),
            };
            let is_it = |(zone, pool): (&str, &str)| *start.zone == *zone && *start.pool == *pool;
            let pool = known.judge.pools().position(|(_, spec)| is_it((&spec.origin, &spec.name)));
            let words = place.and_then(|place| known.words.get_mut(place));
            let held = words.zip(pool).and_then(|(words, pool)| words.get_mut(pool));
            let Some(held) = held else { continue };
            let held = &mut held[usize::from(start.family == Family::V6)];
            if held.word.is_eligible() {
                held.starting = Some(Starting { at: now, before: start.lasts });
            }
        }
        self.tick(now);
    }
}
