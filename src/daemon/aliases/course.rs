//! The course of one name and family: what is known, for how long, and when to ask again. Time is
//! an argument.

use std::net::IpAddr;
use std::time::Duration;

use crate::health::sample::{Reason, Sample};
use crate::health::state::Thresholds;
use crate::region::Family;
use crate::steer::resolved::Resolved;

/// A name is not asked for more often than this, however short its TTL.
const FLOOR: Duration = Duration::from_secs(5);
/// Nor more seldom, however long.
const CEILING: Duration = Duration::from_secs(3600);
/// How soon "there is nothing" is asked again, to confirm it.
const CONFIRM: Duration = Duration::from_secs(1);
/// How soon it is asked again once it is confirmed.
const NOTHING: Duration = Duration::from_secs(15);
/// How soon a failure is tried again at first, and at last.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often "there is nothing" must be heard in a row.
const FALL: u8 = 3;
/// TTL of answers that are stale (RFC 8767 section 4).
const STALE_TTL: u32 = 30;

/// When the check of a name changes its mind; the course says how often it is asked.
pub const THRESHOLDS: Thresholds =
    Thresholds { rise: 1, fall: FALL, interval: FLOOR, fast_interval: CONFIRM };

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// Addresses, and the seconds they hold.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name, or it has no address of the family.
    Nothing,
    /// No answer, or one that says nothing.
    Failed,
}

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing yet.
    Unknown,
    /// Addresses that hold for so long.
    Fresh(Duration),
    /// Addresses that could not be resolved again for so long.
    Stale(Duration),
    /// That there are none, or nothing any more.
    Gone,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Course {
    addresses: Vec<IpAddr>,
    /// Until when the addresses hold; `None` when nothing is known.
    until: Option<Duration>,
    /// How stale they were when the process began that remembers them.
    stale_before: Duration,
    ttl: u32,
    nothings: u8,
    failures: u32,
    /// When to ask next.
    pub due: Duration,
    /// It is being asked.
    pub asking: bool,
}

impl Course {
    /// With addresses that the process before this one knew, to be asked for at once.
    pub fn remembering(addresses: Vec<IpAddr>, standing: Standing, now: Duration) -> Self {
        let (left, stale_before) = match standing {
            Standing::Fresh(left) => (left, Duration::ZERO),
            Standing::Stale(since) => (Duration::ZERO, since),
            Standing::Unknown | Standing::Gone => return Self::default(),
        };
        let ttl = left.as_secs() as u32;
        // Doubted, until somebody says so again.
        Self {
            addresses,
            until: Some(now + left),
            stale_before,
            ttl,
            failures: 1,
            ..Self::default()
        }
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes in what came at `now`. `luck` (0 to 1) spreads the next question. Returns what it is
    /// to health, if anything.
    pub fn take(
        &mut self,
        came: Came,
        now: Duration,
        max_stale: Duration,
        luck: f64,
    ) -> Option<Sample> {
        self.asking = false;
        match came {
            Came::Addresses(addresses, ttl) if !addresses.is_empty() => {
                (self.nothings, self.failures) = (0, 0);
                (self.addresses, self.stale_before) = (addresses, Duration::ZERO);
                let holds = Duration::from_secs(ttl.into());
                (self.until, self.ttl) = (Some(now + holds), ttl);
                // A tenth early, so that what is answered is seldom past its time.
                self.due = now + holds.clamp(FLOOR, CEILING).mul_f64(0.8 + 0.1 * luck);
                Some(Sample::success(Duration::ZERO))
            }
            Came::Addresses(..) | Came::Nothing => {
                self.failures = 0;
                self.nothings = self.nothings.saturating_add(1);
                let is_confirmed = self.nothings >= FALL;
                if is_confirmed {
                    // What its own servers deny must not be answered any longer (RFC 8767
                    // section 4).
                    self.forget(now);
                }
                let wait = if is_confirmed { NOTHING } else { CONFIRM };
                self.due = now + wait.mul_f64(1.0 + 0.1 * luck);
                Some(Sample::failure(Reason::Resolve, Duration::ZERO))
            }
            Came::Failed => {
                let wait = RETRY.0 * 2u32.saturating_pow(self.failures.min(10));
                self.failures = self.failures.saturating_add(1);
                self.due = now + wait.min(RETRY.1).mul_f64(1.0 + 0.1 * luck);
                let is_held = self.until.is_some_and(|until| {
                    now.saturating_sub(until).saturating_add(self.stale_before) < max_stale
                });
                if is_held && !self.addresses.is_empty() {
                    return None;
                }
                if !self.addresses.is_empty() {
                    self.forget(now);
                }
                (self.nothings < FALL).then(|| Sample::failure(Reason::TimedOut, Duration::ZERO))
            }
        }
    }

    fn forget(&mut self, now: Duration) {
        self.addresses.clear();
        self.until = Some(now);
    }

    /// What is known at `now`.
    pub fn standing(&self, now: Duration) -> Standing {
        let doubted = self.failures > 0 || self.nothings > 0;
        match self.until {
            None => Standing::Unknown,
            Some(_) if self.addresses.is_empty() => Standing::Gone,
            Some(until) if now >= until && doubted => {
                Standing::Stale((now - until).saturating_add(self.stale_before))
            }
            Some(until) => Standing::Fresh(until.saturating_sub(now)),
        }
    }

    /// The addresses known, good or stale.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Writes the addresses where queries read them.
    pub fn store(&self, resolved: &Resolved, family: Family, now: Duration) {
        if self.until.is_some() {
            resolved.store(family, &self.addresses, self.answer_ttl(now));
        }
    }

    /// How long an answer may be kept from `now` on, in seconds: no longer than the addresses
    /// hold, and a name with a TTL of 0 for 0.
    pub fn answer_ttl(&self, now: Duration) -> u32 {
        match self.standing(now) {
            Standing::Fresh(left) => (left.as_secs() as u32).max(self.ttl.min(1)),
            Standing::Stale(_) => STALE_TTL,
            Standing::Unknown | Standing::Gone => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn some(ttl: u32) -> Came {
        Came::Addresses(vec!["192.0.2.1".parse().expect("an address")], ttl)
    }

    fn take(course: &mut Course, came: Came, now: u64) -> Option<Sample> {
        course.take(came, at(now), DAY, 0.5)
    }

    #[test]
    fn it_is_asked_again_before_the_ttl_ends_within_floor_and_ceiling() {
        for (ttl, from, to) in [(60, 48, 54), (0, 4, 5), (1, 4, 5), (1_000_000, 2880, 3240)] {
            for luck in [0.0, 1.0] {
                let mut course = Course::default();
                course.take(some(ttl), at(100), DAY, luck);
                assert!((at(100 + from)..=at(100 + to)).contains(&course.due), "{ttl}");
            }
        }
    }

    #[test]
    fn an_answer_is_kept_no_longer_than_the_address() {
        let mut course = Course::default();
        assert_eq!(course.standing(at(0)), Standing::Unknown);
        take(&mut course, some(60), 0);
        assert_eq!((course.answer_ttl(at(0)), course.answer_ttl(at(45))), (60, 15));
        // Past its time, and no failure yet: the answer is under way.
        assert_eq!(course.answer_ttl(at(70)), 1);
        take(&mut course, some(0), 80);
        assert_eq!(course.answer_ttl(at(80)), 0);
    }

    #[test]
    fn what_cannot_be_resolved_again_is_stale_and_in_the_end_gone() {
        let mut course = Course::default();
        take(&mut course, some(60), 0);
        assert_eq!(take(&mut course, Came::Failed, 50), None);
        assert_eq!(course.standing(at(50)), Standing::Fresh(at(10)));
        assert_eq!(course.standing(at(100)), Standing::Stale(at(40)));
        assert_eq!(course.answer_ttl(at(100)), STALE_TTL);
        assert_eq!(take(&mut course, Came::Failed, 60 + 86_399), None);
        let gone = take(&mut course, Came::Failed, 60 + 86_400).and_then(|sample| sample.reason());
        assert_eq!(gone, Some(Reason::TimedOut));
        assert_eq!(course.standing(at(60 + 86_400)), Standing::Gone);
        take(&mut course, some(60), 90_000);
        assert_eq!(course.standing(at(90_000)), Standing::Fresh(at(60)));
    }

    #[test]
    fn nothing_has_to_be_heard_three_times() {
        let mut course = Course::default();
        take(&mut course, some(60), 0);
        for now in [54, 55] {
            let sample = take(&mut course, Came::Nothing, now).expect("evidence");
            assert_eq!(sample.reason(), Some(Reason::Resolve));
            assert_eq!(course.addresses().len(), 1);
        }
        take(&mut course, Came::Nothing, 56);
        assert_eq!(course.standing(at(56)), Standing::Gone);
        // A failure says nothing new of it.
        assert_eq!(take(&mut course, Came::Failed, 80), None);
    }

    #[test]
    fn failures_are_tried_again_ever_more_seldom() {
        let mut course = Course::default();
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                assert!(course.take(Came::Failed, at(0), DAY, 0.0).is_some());
                course.due.as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(course.standing(at(0)), Standing::Unknown);
    }
}
