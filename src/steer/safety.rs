//! Limits on what people and automation may move: how many regions must stay on, and how much of
//! all answers may move within a window. Failures are not asked: what is broken is left at once.

use std::collections::VecDeque;
use std::time::Duration;

use crate::steer::stages::{ALL, percent};

/// `[safety]` of meridian.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SafetySpec {
    /// Regions that must stay on. 0: any number.
    pub min_regions_on: u16,
    /// The share of all answers, in basis points, that may move within a time.
    pub max_shift: Option<(u16, Duration)>,
}

/// What a change would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// Regions that clients are sent to now.
    pub regions_before: usize,
    /// Regions that clients would be sent to.
    pub regions_after: usize,
    /// The share of all answers that would go elsewhere, in basis points.
    pub share: u16,
}

/// Why a change is not safe, with the numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// Too few regions would be left.
    #[error("{after} of {before} regions would stay on, and safety.min_regions_on is {least}")]
    Regions {
        /// Regions on now.
        before: usize,
        /// Regions that would be on.
        after: usize,
        /// Regions that must be.
        least: u16,
    },
    /// Too much would move at once.
    #[error(
        "{} of all answers would move, {} have moved in the last {}, and safety.max_shift is \
         \"{}/{}\"",
        percent(*.share), percent(*.moved), short(*.window), percent(*.most), short(*.window)
    )]
    Shift {
        /// What the change would move, in basis points.
        share: u16,
        /// What has been moved within the window.
        moved: u16,
        /// What may be.
        most: u16,
        /// The window.
        window: Duration,
    },
}

/// What was moved lately.
#[derive(Debug, Clone, Default)]
pub struct Moves(VecDeque<(Duration, u16)>);

impl Moves {
    /// Notes that `share` of all answers, in basis points, were moved at `now`.
    pub fn note(&mut self, share: u16, now: Duration) {
        if share > 0 {
            self.0.push_back((now, share));
        }
    }

    /// What was moved within `window` before `now`; forgets what is older than a day.
    pub fn within(&mut self, window: Duration, now: Duration) -> u16 {
        const DAY: Duration = Duration::from_secs(86_400);
        while self.0.front().is_some_and(|(at, _)| now.saturating_sub(*at) > DAY) {
            self.0.pop_front();
        }
        let late = self.0.iter().filter(|(at, _)| now.saturating_sub(*at) < window);
        late.fold(0, |sum: u16, (_, share)| sum.saturating_add(*share))
    }
}

impl SafetySpec {
    /// Whether a change may be made at `now`.
    ///
    /// # Errors
    /// Why not. A change that takes no region off may be made however few are on.
    pub fn judge(&self, effect: &Effect, moves: &mut Moves, now: Duration) -> Result<(), Unsafe> {
        let Effect { regions_before: before, regions_after: after, share } = *effect;
        if after < before && after < usize::from(self.min_regions_on) {
            return Err(Unsafe::Regions { before, after, least: self.min_regions_on });
        }
        let Some((most, window)) = self.max_shift else { return Ok(()) };
        let moved = moves.within(window, now);
        if share > 0 && moved.saturating_add(share) > most {
            return Err(Unsafe::Shift { share, moved, most, window });
        }
        Ok(())
    }

    /// How much of all answers may still move at `now`, in basis points.
    pub fn left(&self, moves: &mut Moves, now: Duration) -> u16 {
        let left = |(most, window): (u16, Duration)| most.saturating_sub(moves.within(window, now));
        self.max_shift.map_or(ALL, left)
    }
}

fn short(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn safety() -> SafetySpec {
        SafetySpec { min_regions_on: 2, max_shift: Some((2000, MINUTE)) }
    }

    fn judge(before: usize, after: usize, share: u16, moves: &mut Moves, now: u64) -> String {
        let effect = Effect { regions_before: before, regions_after: after, share };
        match safety().judge(&effect, moves, at(now)) {
            Ok(()) => "may".to_owned(),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn enough_regions_stay_on() {
        let moves = &mut Moves::default();
        assert_eq!(judge(3, 2, 0, moves, 0), "may");
        assert_eq!(
            judge(2, 1, 0, moves, 0),
            "1 of 2 regions would stay on, and safety.min_regions_on is 2"
        );
        // One is on already, for another reason: what takes none off is no worse.
        assert_eq!(judge(1, 1, 0, moves, 0), "may");
    }

    #[test]
    fn what_moves_within_the_window_adds_up() {
        let moves = &mut Moves::default();
        assert_eq!(judge(3, 3, 1500, moves, 0), "may");
        moves.note(1500, at(0));
        assert_eq!(
            judge(3, 3, 700, moves, 59),
            "7 % of all answers would move, 15 % have moved in the last 1m, and \
             safety.max_shift is \"20 %/1m\""
        );
        assert_eq!(safety().left(moves, at(59)), 500);
        assert_eq!(judge(3, 3, 700, moves, 60), "may");
        assert_eq!(safety().left(moves, at(60)), 2000);
    }

    #[test]
    fn without_limits_everything_may_move() {
        let effect = Effect { regions_before: 2, regions_after: 0, share: ALL };
        let (none, moves) = (SafetySpec::default(), &mut Moves::default());
        assert_eq!(none.judge(&effect, moves, at(0)), Ok(()));
        assert_eq!(none.left(moves, at(0)), ALL);
    }
}
