//! Once a second: tells the query plane the time of day, and looks whether answers are being held
//! back, which an operator should know while it goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Daemon, wall};
use crate::server::stats::{Counter, Stats};

/// How often. Cookies count seconds.
const TICK: Duration = Duration::from_secs(1);
/// A spell is over after a minute without an answer held back.
const SPELL: usize = 60;

/// How many answers were held back, over the last minute and in the spell that goes on.
#[derive(Debug, Default)]
pub struct Pressure {
    /// The sum at the end of each of the last seconds, the oldest first.
    sums: VecDeque<u64>,
    /// The sum before the spell began, while there is one.
    spell: Option<u64>,
}

/// What a second has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A spell has begun, with so many answers held back.
    Begun(u64),
    /// It is over; so many were.
    Ended(u64),
}

impl Pressure {
    /// Takes down the sum at the end of one more second.
    pub fn observe(&mut self, sum: u64) -> Option<Turn> {
        let before = self.sums.back().copied().unwrap_or(sum);
        self.sums.push_back(sum);
        if self.sums.len() > SPELL + 1 {
            self.sums.pop_front();
        }
        match self.spell {
            None if sum > before => {
                self.spell = Some(before);
                Some(Turn::Begun(sum - before))
            }
            Some(first) if self.last_minute() == 0 => {
                self.spell = None;
                Some(Turn::Ended(sum - first))
            }
            _ => None,
        }
    }

    /// How many were held back in the last minute.
    pub fn last_minute(&self) -> u64 {
        let ends = self.sums.back().zip(self.sums.front());
        ends.map_or(0, |(last, first)| last - first)
    }
}

/// Looks every second until the daemon ends.
pub(super) async fn watch(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    loop {
        let snapshot = daemon.snapshot();
        snapshot.wall.set(wall(), daemon.now());
        let is_dry = snapshot.limit.as_ref().is_some_and(|limit| limit.dry_run);
        drop(snapshot);
        let turn = daemon.pressure().observe(held_back(daemon.stats()));
        let (is, would) = if is_dry { (" (dry run)", "would be ") } else { ("", "") };
        match turn {
            Some(Turn::Begun(count)) => {
                tracing::warn!("rate limiting{is} begins: {count} answers {would}held back");
            }
            Some(Turn::Ended(count)) => {
                tracing::info!("rate limiting{is} has ended: {count} answers {would}held back");
            }
            None => {}
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = ends.wait_for(|ending| *ending) => return,
        }
    }
}

/// Answers held back since the start, or those that would have been.
fn held_back(stats: &Stats) -> u64 {
    let counters = [Counter::LimitDropped, Counter::LimitSlipped, Counter::LimitDryRun];
    counters.into_iter().map(|counter| stats.sum(counter)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_begins_at_once_and_ends_after_a_quiet_minute() {
        let mut pressure = Pressure::default();
        assert_eq!(pressure.observe(7), None, "what was before is not news");
        assert_eq!(pressure.observe(7), None);
        assert_eq!(pressure.observe(10), Some(Turn::Begun(3)));
        assert_eq!(pressure.observe(15), None);
        assert_eq!(pressure.last_minute(), 8);
        let quiet: Vec<_> = (0..60).map(|_| pressure.observe(15)).collect();
        assert_eq!(quiet[..59], [None; 59]);
        assert_eq!(quiet[59], Some(Turn::Ended(8)));
        assert_eq!((pressure.last_minute(), pressure.observe(15)), (0, None));
        assert_eq!(pressure.observe(16), Some(Turn::Begun(1)));
    }

    #[test]
    fn the_last_minute_is_sixty_seconds() {
        let mut pressure = Pressure::default();
        (0..=200).for_each(|second| _ = pressure.observe(second * 5));
        assert_eq!(pressure.last_minute(), 300);
    }
}
