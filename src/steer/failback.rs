//! Failback: how a pool that was out comes back to the clients of a rule.
//!
//! One [`Life`] per pool says when it came back and whether an operator had taken it out; what
//! that means differs from rule to rule. Pure: whoever has a clock passes the time in.

use std::time::Duration;

use crate::steer::dials::ALL;
use crate::steer::record::Failback;

/// A pool's way back, as far as the process has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// It serves, for one family at least.
    serves: bool,
    /// It has been seen.
    is_known: bool,
    /// While it is out: nothing but an operator keeps it there.
    by_operator: bool,
    /// When it began to serve again, and why it had been out; `None` when it never was.
    back: Option<Back>,
}

/// A return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Back {
    since: Since,
    by_operator: bool,
    /// When an operator said that clients may come back.
    resumed: Option<Since>,
}

/// A moment, of this process or of one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    at: Duration,
    /// What had passed by then; time without a process does not count.
    before: Duration,
}

/// A return as it outlives a process: how long it has lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// For how long the pool has served again.
    pub lasts: Duration,
    /// An operator had taken it out.
    pub by_operator: bool,
    /// How long ago an operator said that clients may come back.
    pub resumed: Option<Duration>,
}

impl Since {
    const fn now(now: Duration) -> Self {
        Self { at: now, before: Duration::ZERO }
    }

    const fn elapsed(self, now: Duration) -> Duration {
        now.saturating_sub(self.at).saturating_add(self.before)
    }
}

/// Where a pool stands on its way back to the clients of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It takes everybody.
    Here,
    /// It does not serve.
    Out,
    /// It waits for an operator's word.
    Held,
    /// It serves, and clients come back at this time.
    Waits(Duration),
    /// Clients come back; all are there at this time.
    Returns(Duration),
}

impl Life {
    /// A pool that was coming back when the process before this one ended.
    pub const fn going_on(before: Return, now: Duration) -> Self {
        let since = Since { at: now, before: before.lasts };
        let resumed = match before.resumed {
            Some(before) => Some(Since { at: now, before }),
            None => None,
        };
        let back = Back { since, by_operator: before.by_operator, resumed };
        Self { serves: true, is_known: true, by_operator: false, back: Some(back) }
    }

    /// Its return, for the next process; `None` while it is out, and where it never was.
    pub fn returning(&self, now: Duration) -> Option<Return> {
        let back = self.back.filter(|_| self.serves)?;
        Some(Return {
            lasts: back.since.elapsed(now),
            by_operator: back.by_operator,
            resumed: back.resumed.map(|since| since.elapsed(now)),
        })
    }

    /// Notes whether it serves at `now`, and whether an operator alone keeps it from that. A
    /// pool that is first seen serving has always served.
    pub const fn observe(&mut self, serves: bool, by_operator: bool, now: Duration) {
        if serves && !self.serves && self.is_known {
            let (since, by_operator) = (Since::now(now), self.by_operator);
            self.back = Some(Back { since, by_operator, resumed: None });
        }
        if !serves {
            self.by_operator = by_operator && (self.by_operator || self.serves || !self.is_known);
        }
        self.serves = serves;
        self.is_known = true;
    }

    /// An operator says that clients may come back; false when nobody waits for that word.
    pub const fn resume(&mut self, now: Duration) -> bool {
        match &mut self.back {
            Some(back) if self.serves && back.resumed.is_none() => {
                back.resumed = Some(Since::now(now));
                true
            }
            _ => false,
        }
    }

    /// Where it stands for a rule.
    pub fn way(&self, failback: &Failback, now: Duration) -> Way {
        if !self.serves {
            return Way::Out;
        }
        let Some(back) = self.back else { return Way::Here };
        let (since, wait) = match (back.resumed, failback.manual) {
            (Some(resumed), _) => (resumed, Duration::ZERO),
            // Whoever took it out by hand has brought it back by hand.
            (None, _) if back.by_operator => (back.since, Duration::ZERO),
            (None, true) => return Way::Held,
            (None, false) => (back.since, failback.after),
        };
        let elapsed = since.elapsed(now);
        if elapsed >= wait + failback.ramp {
            Way::Here
        } else if elapsed < wait {
            Way::Waits(now + (wait - elapsed))
        } else {
            Way::Returns(now + (wait + failback.ramp - elapsed))
        }
    }

    /// The share of clients that a rule lets it keep.
    pub fn share(&self, failback: &Failback, now: Duration) -> u16 {
        match self.way(failback, now) {
            Way::Here => ALL,
            Way::Out | Way::Held | Way::Waits(_) => 0,
            Way::Returns(ends) => {
                let left = ends.saturating_sub(now).as_secs_f64() / failback.ramp.as_secs_f64();
                (f64::from(ALL) * (1.0 - left)) as u16
            }
        }
    }
}

impl Way {
    /// How soon the share changes, where that is known.
    pub fn sight(self, now: Duration) -> Option<Duration> {
        match self {
            Self::Here | Self::Out | Self::Held => None,
            Self::Waits(until) => Some(until.saturating_sub(now)),
            Self::Returns(_) => Some(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Failback = Failback { manual: false, after: at(300), ramp: at(600) };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failed(at_down: u64, at_up: u64) -> Life {
        let mut life = Life::default();
        life.observe(true, false, at(0));
        life.observe(false, false, at(at_down));
        life.observe(true, false, at(at_up));
        life
    }

    #[test]
    fn a_pool_that_was_never_out_takes_everybody() {
        let mut life = Life::default();
        life.observe(true, false, at(7));
        assert_eq!((life.share(&RULE, at(7)), life.way(&RULE, at(7))), (ALL, Way::Here));
    }

    #[test]
    fn clients_wait_and_then_come_back_step_by_step() {
        let life = failed(100, 200);
        assert_eq!(life.way(&RULE, at(499)), Way::Waits(at(500)));
        let shares = [200, 499, 500, 650, 800, 1_099, 1_100].map(|now| life.share(&RULE, at(now)));
        assert_eq!(shares, [0, 0, 0, 16_383, 32_767, 65_425, ALL]);
        assert_eq!(life.way(&RULE, at(400)).sight(at(400)), Some(at(100)));
        assert_eq!(life.way(&RULE, at(600)).sight(at(600)), Some(at(1)));
    }

    #[test]
    fn a_pool_that_fails_again_begins_again() {
        let mut life = failed(100, 200);
        life.observe(false, false, at(900));
        assert_eq!(life.share(&RULE, at(900)), 0);
        life.observe(true, false, at(1_000));
        assert_eq!(life.way(&RULE, at(1_000)), Way::Waits(at(1_300)));
    }

    #[test]
    fn manual_waits_for_the_word_of_an_operator() {
        let rule = Failback { manual: true, ..RULE };
        let mut life = failed(100, 200);
        assert_eq!(life.way(&rule, at(100_000)), Way::Held);
        assert!(life.resume(at(100_000)));
        assert_eq!(life.way(&rule, at(100_001)), Way::Returns(at(100_600)));
        assert_eq!(life.share(&rule, at(100_600)), ALL);
        assert!(!life.resume(at(100_700)), "nobody waits any more");
    }

    #[test]
    fn a_return_goes_on_in_the_next_process_where_it_was() {
        // Each process counts from its own start.
        let next = |life: &Life, ended: u64| {
            let mut next = Life::going_on(life.returning(at(ended)).expect("it returns"), at(1));
            next.observe(true, false, at(1));
            next
        };
        let life = next(&failed(100, 200), 450);
        assert_eq!(life.way(&RULE, at(1)), Way::Waits(at(51)));
        let life = next(&life, 1 + 350);
        assert_eq!(life.way(&RULE, at(1)), Way::Returns(at(301)));
        assert_eq!(life.share(&RULE, at(1)), ALL / 2);
        let life = next(&life, 1 + 150);
        assert_eq!(life.share(&RULE, at(1)), (f64::from(ALL) * 0.75) as u16);
        let manual = Failback { manual: true, ..RULE };
        let mut held = next(&failed(100, 200), 100_000);
        assert_eq!(held.way(&manual, at(7)), Way::Held);
        assert!(held.resume(at(7)));
        let resumed = next(&held, 7 + 450);
        assert_eq!(resumed.share(&manual, at(1)), (f64::from(ALL) * 0.75) as u16);
        // One that is out is remembered by its checks.
        let mut out = failed(100, 200);
        out.observe(false, false, at(300));
        assert_eq!(out.returning(at(310)), None);
    }

    #[test]
    fn what_an_operator_took_out_does_not_wait() {
        let rule = Failback { manual: true, ..RULE };
        let mut life = Life::default();
        life.observe(true, false, at(0));
        life.observe(false, true, at(10));
        life.observe(false, true, at(20));
        life.observe(true, false, at(30));
        assert_eq!(life.way(&rule, at(30)), Way::Returns(at(630)));
        // One that failed while it was drained does.
        life.observe(false, true, at(700));
        life.observe(false, false, at(710));
        life.observe(false, true, at(720));
        life.observe(true, false, at(730));
        assert_eq!(life.way(&rule, at(730)), Way::Held);
    }

    #[test]
    fn a_pool_that_was_out_from_the_start_comes_back_as_any_other() {
        let mut life = Life::default();
        life.observe(false, false, at(0));
        life.observe(true, false, at(5));
        assert_eq!(life.way(&RULE, at(5)), Way::Waits(at(305)));
    }
}
