//! The state machine of one check: a pure function of what was believed and what was seen.
//!
//! ```text
//!              1 success                    `fall` failures counted
//!   unknown ──────────────▶ up ───────────────────────────────────────▶ down
//!      │                    ▲                                            │ ▲
//!      │                    └────────────────────────────────────────────┘ │
//!      │                       `rise` successes in a row (× 2 per flap)    │
//!      └───────────────────────────────────────────────────────────────────┘
//!                              `fall` failures counted
//! ```
//!
//! - A target of which a starting process has never heard ([`State::untried`]) is decided by its
//!   first evidence, whichever way: the process waits for it before it answers.
//! - Failures are *counted*, not only chained: a success between them takes nothing back. Only
//!   [`Thresholds::ok_reset`] successes in a row do, so a target that fails one probe in three
//!   is caught.
//! - A flap is an up→down within [`FLAP_WINDOW`] of the one before. Each doubles the successes
//!   needed to come back, until they take [`DAMPING_MAX`]. A target that stays down for a whole
//!   window has had an outage, not a flap, and comes back as quickly as the first time.
//! - A failure that is the prober's own fault is noted and counts for nothing.

use std::time::Duration;

use super::sample::{Outcome, Reason, Sample};

/// Two falls closer together than this are flapping. Twice [`DAMPING_MAX`], so that a target
/// held back for the longest time and failing again at once still counts as flapping.
pub const FLAP_WINDOW: Duration = Duration::from_secs(600);

/// Damping never asks for longer than this of unbroken success (Envoy's outlier ejection
/// stops at the same length).
pub const DAMPING_MAX: Duration = Duration::from_secs(300);

/// What is believed of a target. One vantage alone believes `Unknown`, `Up` or `Down`; the rest
/// comes of several, and of what the target says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Belief {
    /// Nothing has been concluded; it is believed to serve.
    #[default]
    Unknown,
    /// It serves.
    Up,
    /// It serves, with signs of trouble.
    Degraded,
    /// It does not serve.
    Down,
    /// It serves those it has and asked for no more.
    Draining,
    /// It is being worked on, as it says itself.
    Maintenance,
}

impl Belief {
    /// The word used in logs, metrics and on disk.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
        }
    }

    /// True when clients may be sent there.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Unknown | Self::Up | Self::Degraded)
    }
}

/// When a check changes its mind, and how often it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes in a row that make a target up; 0 means 1.
    pub rise: u8,
    /// Failures counted that make a target down; 0 means 1.
    pub fall: u8,
    /// Time between probes in steady state.
    pub interval: Duration,
    /// Time between probes while a change is pending.
    pub fast_interval: Duration,
}

impl Thresholds {
    /// Successes in a row that wipe out counted failures: `rise`, but at least 3, so that
    /// failing one in three is caught whatever `rise` is.
    pub const fn ok_reset(&self) -> u32 {
        if self.rise > 3 { self.rise as u32 } else { 3 }
    }

    const fn fall(&self) -> u32 {
        if self.fall == 0 { 1 } else { self.fall as u32 }
    }

    /// `rise` after `flaps` doublings, bounded by [`DAMPING_MAX`] of probes.
    fn rise(&self, flaps: u8) -> u32 {
        let plain = u32::from(self.rise.max(1));
        let fast = self.fast_interval.max(Duration::from_millis(1)).as_millis();
        let most = u32::try_from(DAMPING_MAX.as_millis() / fast).unwrap_or(u32::MAX);
        plain.saturating_mul(1 << flaps.min(16)).min(most.max(plain))
    }
}

/// All that is known of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// What is believed.
    pub belief: Belief,
    /// When that began, on the process's clock.
    pub since: Duration,
    /// For how long it had been believed before the process began.
    pub held_before: Duration,
    /// True while the belief was read from disk and no sample has come yet.
    pub remembered: bool,
    /// True while the process begins and has never heard of it: the first evidence decides.
    pub untried: bool,
    /// Failures counted towards `fall`; goes on counting while down.
    pub failures: u32,
    /// Successes in a row.
    pub successes: u32,
    /// Doublings of `rise` in force.
    pub flaps: u8,
    /// When it last went from up to down.
    pub fell_at: Option<Duration>,
    /// The last sample and when it came.
    pub last: Option<(Sample, Duration)>,
    /// When the last sample came that says something of the target.
    pub proved_at: Option<Duration>,
    /// Why it failed last.
    pub last_failure: Option<Reason>,
}

impl State {
    /// Nothing known since `now`.
    pub fn unknown(now: Duration) -> Self {
        Self { since: now, ..Self::default() }
    }
}

/// A change of belief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What was believed.
    pub from: Belief,
    /// What is believed.
    pub to: Belief,
    /// How many failures or successes decided.
    pub streak: u32,
    /// Why it failed last, when it went down.
    pub reason: Option<Reason>,
}

impl Transition {
    /// A change that one thing has decided.
    pub const fn plain(from: Belief, to: Belief) -> Self {
        Self { from, to, streak: 1, reason: None }
    }

    /// In words: `down after 3 failures: connection refused`.
    pub fn describe(&self) -> String {
        let (word, kind) = match self.to {
            Belief::Up | Belief::Degraded => (self.to.as_str(), "success"),
            Belief::Unknown | Belief::Down | Belief::Draining | Belief::Maintenance => {
                ("down", "failure")
            }
        };
        let plural = match (self.streak, kind) {
            (1, _) => "",
            (_, "success") => "es",
            _ => "s",
        };
        let mut text = format!("{word} after {} {kind}{plural}", self.streak);
        if let Some(reason) = self.reason {
            text.push_str(": ");
            text.push_str(&reason.to_string());
        }
        text
    }
}

/// How soon to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// After `interval`.
    Steady,
    /// After `fast_interval`: a change is pending.
    Fast,
}

/// One step: what is believed after `sample`, which came at `now`.
pub fn step(
    state: &State,
    sample: &Sample,
    thresholds: &Thresholds,
    now: Duration,
) -> (State, Option<Transition>) {
    let counted = count(state, sample, thresholds, now);
    // Only a success brings up and only a failure brings down: thresholds that a reload has
    // lowered wait for the next evidence of their kind.
    let failed = sample.reason().is_some_and(Reason::is_evidence);
    let succeeded = sample.outcome == Outcome::Success;
    let to = match counted.belief {
        Belief::Unknown if succeeded => Belief::Up,
        Belief::Unknown if failed && state.untried => Belief::Down,
        Belief::Unknown | Belief::Up if failed && counted.failures >= thresholds.fall() => {
            Belief::Down
        }
        Belief::Down if succeeded && counted.successes >= rise_needed(state, thresholds, now) => {
            Belief::Up
        }
        _ => return (counted, None),
    };
    let streak = if to == Belief::Up { counted.successes } else { counted.failures };
    let reason = counted.last_failure.filter(|_| to == Belief::Down);
    let transition = Transition { from: state.belief, to, streak, reason };
    (enter(counted, to, now), Some(transition))
}

/// Successes in a row that bring a target back at `now`, damping included.
pub fn rise_needed(state: &State, thresholds: &Thresholds, now: Duration) -> u32 {
    let flapping = state.fell_at.is_some_and(|at| now.saturating_sub(at) < FLAP_WINDOW);
    thresholds.rise(if flapping { state.flaps } else { 0 })
}

/// The earliest moment at which a flapping target may be up again; `None` when it is not held
/// back by damping.
pub fn damped_until(state: &State, thresholds: &Thresholds, now: Duration) -> Option<Duration> {
    let needed = rise_needed(state, thresholds, now);
    let damped = state.belief == Belief::Down && needed > thresholds.rise(0);
    let missing = needed.saturating_sub(state.successes);
    damped.then(|| now + thresholds.fast_interval.saturating_mul(missing))
}

/// How soon the belief may change, where a change is pending: when every probe from here on goes
/// the same way as the last. `None` while nothing is in sight.
pub fn sight(state: &State, thresholds: &Thresholds, now: Duration) -> Option<Duration> {
    let missing = match (pace(state), state.belief) {
        (Pace::Steady, _) => return None,
        (Pace::Fast, Belief::Down) => {
            rise_needed(state, thresholds, now).saturating_sub(state.successes)
        }
        (Pace::Fast, _) => thresholds.fall().saturating_sub(state.failures),
    };
    Some(thresholds.fast_interval.saturating_mul(missing.max(1)))
}

/// How soon to look again at a target in this state.
pub const fn pace(state: &State) -> Pace {
    let pending = match state.belief {
        Belief::Down => state.successes > 0,
        _ => state.failures > 0,
    };
    if pending { Pace::Fast } else { Pace::Steady }
}

/// When the next probe is due after one that ran from `started` to `ended`, jitter aside. The
/// steady interval is a period from start to start; the fast one a pause from end to start, so
/// that probes that time out do not run into each other.
pub fn due(pace: Pace, thresholds: &Thresholds, started: Duration, ended: Duration) -> Duration {
    match pace {
        Pace::Steady => (started + thresholds.interval).max(ended),
        Pace::Fast => ended + thresholds.fast_interval,
    }
}

fn count(state: &State, sample: &Sample, thresholds: &Thresholds, now: Duration) -> State {
    let mut next = State { last: Some((*sample, now)), ..*state };
    if sample.reason().is_none_or(Reason::is_evidence) {
        next.proved_at = Some(now);
    }
    match sample.outcome {
        Outcome::Success => {
            (next.remembered, next.untried) = (false, false);
            next.successes = state.successes.saturating_add(1);
            if state.belief != Belief::Down && next.successes >= thresholds.ok_reset() {
                next.failures = 0;
            }
        }
        Outcome::Failure(reason) if reason.is_evidence() => {
            (next.remembered, next.untried) = (false, false);
            next.successes = 0;
            next.failures = state.failures.saturating_add(1);
            next.last_failure = Some(reason);
        }
        Outcome::Failure(_) => {}
    }
    next
}

fn enter(mut state: State, to: Belief, now: Duration) -> State {
    let fell = state.belief == Belief::Up && to == Belief::Down;
    if fell {
        let again = state.fell_at.is_some_and(|at| now.saturating_sub(at) < FLAP_WINDOW);
        state.flaps = if again { state.flaps.saturating_add(1).min(16) } else { 0 };
        state.fell_at = Some(now);
    }
    if to == Belief::Up {
        state.failures = 0;
    }
    State { belief: to, since: now, held_before: Duration::ZERO, ..state }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
