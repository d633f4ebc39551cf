//! What is kept of one check: its state, what its target says of itself, and what it tells others.

use std::time::Duration;

use super::keeper::CheckSpec;
use super::report::{Slot, Vote, check_id};
use super::sample::{Facts, Outcome, Sample};
use super::says::Says;
use super::state::{self, Belief, State, Thresholds, Transition};

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) state: State,
    /// Samples by `Outcome::index`.
    pub(super) counts: [u64; Outcome::LABELS.len()],
    /// What the target says of itself.
    pub(super) says: Says,
}

impl Kept {
    /// What is concluded of the parts is believed from here on; returns what was before.
    pub(super) fn become_composite(&mut self, belief: Belief, now: Duration) -> Belief {
        let before = self.state.belief;
        if before != belief {
            (self.state.belief, self.state.since) = (belief, now);
            self.state.held_before = Duration::ZERO;
        }
        before
    }

    /// What is believed, what the target says of itself included.
    pub(super) fn belief(&self) -> Belief {
        self.says.temper(self.state.belief)
    }

    /// In how many seconds, from `now` on, it may change its mind, where that is in sight.
    pub(super) fn in_sight(&self, thresholds: &Thresholds, now: Duration) -> Option<u64> {
        let sight = state::sight(&self.state, thresholds, now)?;
        let probed = self.state.last.map_or(Duration::ZERO, |(_, at)| now.saturating_sub(at));
        Some(sight.saturating_sub(probed).as_secs())
    }

    /// Takes in what the target says of itself. A probe that fails before it has heard anything
    /// takes nothing back.
    pub(super) fn hear(&mut self, sample: &Sample, warns_below: Option<u16>) {
        let Facts { agent, weight, load, errors, certificate_days, .. } = sample.facts;
        if sample.outcome == Outcome::Success || agent.is_some() {
            self.says = Says { agent, weight, load, errors, certificate_days, warns_below };
        }
    }

    /// What a report says of it.
    pub(super) fn slot(&self, spec: &CheckSpec, now: Duration) -> Slot {
        let state = &self.state;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let short = |millis: u64| u32::try_from(millis).unwrap_or(u32::MAX);
        let seen = if spec.pushed { state.last.map(|(_, at)| at) } else { state.proved_at };
        let is_known = !state.remembered && state.last.is_some();
        let streak = if state.belief == Belief::Down { state.failures } else { state.successes };
        let last = state.last.map(|(sample, _)| sample);
        let latency = last.map_or(0, |last| short(millis(last.latency).saturating_mul(1000)));
        Slot {
            belief: if is_known { state.belief.into() } else { Vote::Unknown },
            streak: u16::try_from(streak).unwrap_or(u16::MAX),
            since_ms: millis(state.held_before + now.saturating_sub(state.since)),
            age_ms: seen.map_or(u32::MAX, |at| short(millis(now.saturating_sub(at)))),
            latency_us: [latency; 3],
            reason: state.last_failure.filter(|_| state.failures > 0),
            certificate_days: last.and_then(|last| last.facts.certificate_days),
            load: self.says.load,
            errors: self.says.errors.map(|errors| errors.min(1000)),
            weight: self.says.weight,
            agent: self.says.agent,
            damped_ms: damped_ms(state, &spec.thresholds, now),
            ..Slot::unknown(check_id(&spec.key))
        }
    }

    /// Why it is believed from here on, in words.
    pub(super) fn told(&self, transition: &Transition) -> String {
        let says = self.says.describe();
        if says.is_empty() {
            transition.describe()
        } else {
            self.belief().as_str().to_owned() + ": " + &says
        }
    }
}

/// For how long damping holds a target down at the least, in milliseconds.
fn damped_ms(state: &State, thresholds: &Thresholds, now: Duration) -> u32 {
    let until = state::damped_until(state, thresholds, now);
    let left = until.map_or(Duration::ZERO, |until| until.saturating_sub(now));
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
}
