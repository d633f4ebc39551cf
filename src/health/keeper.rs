//! The keeper: every check's state, the pools they decide over, and the operators' overrides.
//!
//! The daemon owns one. Samples go in, events come out, and the table that queries read is
//! stored to on the way, before any text is made and with nothing written to disk. The keeper
//! has no clock, file or socket; it knows checks by key and pools by name, so that a reload
//! carries over what is believed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::overrides::{Override, OverrideTarget};
use super::persist::{Memory, Remembered};
use super::sample::{Outcome, Sample};
use super::state::{self, Belief, Pace, State, Thresholds, Transition};
use super::table::{HealthTable, PoolWord, Verdict};
use super::verdict::{Judge, PoolChange, PoolSpec};
use crate::region::{Family, PoolId};

/// What is checked, and which pools it decides over: all that health must know of a
/// configuration.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Every distinct check. Members name them by place.
    pub checks: Vec<CheckSpec>,
    /// Every pool, in the order of its `PoolId`.
    pub pools: Vec<PoolSpec>,
}

/// One check, as far as health must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// `MONITOR@TARGET`: what it is known by over reloads and restarts.
    pub key: Box<str>,
    /// When it changes its mind.
    pub thresholds: Thresholds,
}

/// Something that the log should tell and metrics should count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A check has changed its mind.
    Check {
        /// Its key.
        key: Box<str>,
        /// What was believed, what is, and what decided.
        transition: Transition,
        /// In words: `down after 3 failures: connection refused`.
        why: String,
    },
    /// A pool's verdict or its live members have changed; the table has it already.
    Pool {
        /// The pool's place in the plan.
        pool: PoolId,
        /// Its name.
        name: Box<str>,
        /// Its zone.
        origin: Box<str>,
        /// Its region.
        region: Box<str>,
        /// The family; `None` when the pool hands over by name, for both.
        family: Option<Family>,
        /// The verdict before.
        from: Verdict,
        /// The verdict that holds.
        to: Verdict,
        /// Members that clients are sent to, as bits.
        live: u32,
        /// In words.
        why: String,
    },
    /// An operator's override was set, lifted, or has ended.
    Override {
        /// Over what.
        target: OverrideTarget,
        /// In words: `drained by ops: kernel update`, `lifted`, `ended`.
        what: String,
    },
}

/// See the module's text.
#[derive(Debug)]
pub struct Keeper {
    pub(super) checks: Vec<Kept>,
    places: HashMap<Box<str>, u32>,
    pub(super) judge: Judge,
    pub(super) overrides: Vec<Override>,
    /// When each pool's word for each family began, by pool and family.
    pub(super) since: Vec<[Duration; 2]>,
    revision: u64,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) spec: CheckSpec,
    pub(super) state: State,
    /// Samples by `Outcome::index`.
    pub(super) counts: [u64; Outcome::LABELS.len()],
}

/// The words of both families and when they began, by zone and pool.
type WordsByName = HashMap<(Box<str>, Box<str>), ([PoolWord; 2], [Duration; 2])>;

impl Keeper {
    /// A keeper that begins with what is remembered and ordered; the rest is unknown.
    pub fn new(plan: Plan, memory: &Memory, overrides: Vec<Override>, now: Duration) -> Self {
        let remembered = |spec: &CheckSpec| memory.get(&spec.key).map(|of| of.state(now));
        let checks = plan.checks.into_iter();
        let checks: Vec<_> = checks
            .map(|spec| {
                let state = remembered(&spec).unwrap_or_else(|| State::unknown(now));
                Kept { spec, state, counts: [0; _] }
            })
            .collect();
        let since = vec![[now; 2]; plan.pools.len()];
        let judge = Judge::new(plan.pools, checks.len(), &overrides, belief_in(&checks));
        let places = places(&checks);
        Self { checks, places, judge, overrides, since, revision: 0 }
    }

    /// One sample of the check `key`, which ended at `now`. Returns how soon to look again, and
    /// what changed. A check that is not in the plan (it went with a reload) is ignored.
    pub fn observe(&mut self, key: &str, sample: &Sample, now: Duration) -> (Pace, Vec<Event>) {
        let Some(&place) = self.places.get(key) else { return (Pace::Steady, Vec::new()) };
        let kept = &mut self.checks[place as usize];
        let (next, transition) = state::step(&kept.state, sample, &kept.spec.thresholds, now);
        kept.state = next;
        kept.counts[sample.outcome.index()] += 1;
        let pace = state::pace(&next);
        let Some(transition) = transition else { return (pace, Vec::new()) };
        let changes = self.judge.changed(place, belief_in(&self.checks));
        self.revision += 1;
        let key = self.checks[place as usize].spec.key.clone();
        let why = transition.describe();
        let mut events = vec![Event::Check { key, transition, why }];
        events.extend(self.pool_events(&changes, now));
        (pace, events)
    }

    /// Sets an override; one over the same target is replaced.
    pub fn set_override(&mut self, order: Override, now: Duration) -> Vec<Event> {
        let event = Event::Override { target: order.target.clone(), what: order.describe() };
        self.overrides.retain(|other| other.target != order.target);
        self.overrides.push(order);
        self.reorder(vec![event], now)
    }

    /// Lifts the override over `target`. No events: there was none.
    pub fn clear_override(&mut self, target: &OverrideTarget, now: Duration) -> Vec<Event> {
        self.lift(|order| order.target == *target, "lifted", now)
    }

    /// Lifts every override that has ended by `wall`, in seconds since 1970-01-01T00:00:00Z.
    /// To be called about once a second.
    pub fn expire_overrides(&mut self, wall: u64, now: Duration) -> Vec<Event> {
        self.lift(|order| order.has_ended(wall), "ended", now)
    }

    /// The overrides in force.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// How many pools `target` touches: 0 when it names nothing that exists.
    pub fn touched_by(&self, target: &OverrideTarget) -> usize {
        self.judge.pools().filter(|(_, pool)| pool.is_touched_by(target)).count()
    }

    /// Takes a new plan. What is believed is carried over by key, also where thresholds differ;
    /// new checks are unknown. The table is a new one, complete before this returns: fetch it
    /// with [`table`](Self::table) and swap it in together with the pools it is for.
    pub fn rebuild(&mut self, plan: Plan, now: Duration) -> Vec<Event> {
        let before = self.words_by_name();
        let mut old: HashMap<Box<str>, Kept> =
            self.checks.drain(..).map(|kept| (kept.spec.key.clone(), kept)).collect();
        let checks = plan.checks.into_iter();
        self.checks = checks
            .map(|spec| match old.remove(&spec.key) {
                Some(kept) => Kept { spec, ..kept },
                None => Kept { spec, state: State::unknown(now), counts: [0; _] },
            })
            .collect();
        self.places = places(&self.checks);
        self.since = vec![[now; 2]; plan.pools.len()];
        let belief = belief_in(&self.checks);
        self.judge = Judge::new(plan.pools, self.checks.len(), &self.overrides, belief);
        self.revision += 1;
        let changes = self.changes_since(&before);
        self.pool_events(&changes, now)
    }

    /// The table that queries read. [`rebuild`](Self::rebuild) makes a new one.
    pub fn table(&self) -> Arc<HealthTable> {
        Arc::clone(self.judge.table())
    }

    /// What is worth remembering over a restart.
    pub fn memory(&self, now: Duration) -> Memory {
        let remembered =
            |kept: &Kept| Some((kept.spec.key.clone(), Remembered::of(&kept.state, now)?));
        self.checks.iter().filter_map(remembered).collect()
    }

    /// Grows with every change that [`memory`](Self::memory) or the overrides should survive a
    /// restart with, so that a writer knows when to write.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Samples of every check so far: its key, and counts in the order of [`Outcome::LABELS`].
    pub fn counts(&self) -> impl Iterator<Item = (&str, &[u64; Outcome::LABELS.len()])> {
        self.checks.iter().map(|kept| (&*kept.spec.key, &kept.counts))
    }

    /// What is believed of the check at `place`.
    pub(super) fn belief(&self, place: u32) -> Belief {
        belief_in(&self.checks)(place)
    }

    fn lift(&mut self, ends: impl Fn(&Override) -> bool, what: &str, now: Duration) -> Vec<Event> {
        let ended = self.overrides.extract_if(.., |order| ends(order));
        let event =
            |order: Override| Event::Override { target: order.target, what: what.to_owned() };
        let events: Vec<_> = ended.map(event).collect();
        if events.is_empty() { events } else { self.reorder(events, now) }
    }

    /// Judges every pool anew after the overrides have changed.
    fn reorder(&mut self, mut events: Vec<Event>, now: Duration) -> Vec<Event> {
        let changes = self.judge.order(&self.overrides, belief_in(&self.checks));
        self.revision += 1;
        events.extend(self.pool_events(&changes, now));
        events
    }

    fn pool_events(&mut self, changes: &[PoolChange], now: Duration) -> Vec<Event> {
        changes.iter().filter_map(|change| self.pool_event(change, now)).collect()
    }

    fn pool_event(&mut self, change: &PoolChange, now: Duration) -> Option<Event> {
        if change.from.verdict() != change.to.verdict() {
            let since = self.since.get_mut(change.pool.0 as usize)?;
            match change.family {
                Some(Family::V4) => since[0] = now,
                Some(Family::V6) => since[1] = now,
                None => *since = [now; 2],
            }
        }
        let family = change.family.unwrap_or(Family::V4);
        let why = self.why(change.pool, family);
        let spec = self.judge.pool(change.pool)?;
        Some(Event::Pool {
            pool: change.pool,
            name: spec.name.clone(),
            origin: spec.origin.clone(),
            region: spec.region.clone(),
            family: change.family,
            from: change.from.verdict(),
            to: change.to.verdict(),
            live: change.to.live(),
            why,
        })
    }

    fn words_by_name(&self) -> WordsByName {
        let pools = self.judge.pools().zip(&self.since);
        pools
            .map(|((id, spec), since)| {
                let words = [Family::V4, Family::V6].map(|of| self.judge.table().word(id, of));
                ((spec.origin.clone(), spec.name.clone()), (words, *since))
            })
            .collect()
    }

    /// What differs for pools that were there before, whose times are carried over. Live
    /// members are places in a list that may have changed, so only verdicts are compared.
    fn changes_since(&mut self, before: &WordsByName) -> Vec<PoolChange> {
        let mut changes = Vec::new();
        for (pool, spec) in self.judge.pools() {
            let name = (spec.origin.clone(), spec.name.clone());
            let Some((words, since)) = before.get(&name) else { continue };
            self.since[pool.0 as usize] = *since;
            let by_name = spec.members.iter().all(|member| member.family.is_none());
            let families = [(Family::V4, words[0]), (Family::V6, words[1])];
            for (family, from) in families.into_iter().take(if by_name { 1 } else { 2 }) {
                let to = self.judge.table().word(pool, family);
                if from.verdict() != to.verdict() {
                    let family = (!by_name).then_some(family);
                    changes.push(PoolChange { pool, family, from, to });
                }
            }
        }
        changes
    }
}

impl Transition {
    /// In words: `down after 3 failures: connection refused`.
    pub fn describe(&self) -> String {
        let (word, kind) = match self.to {
            Belief::Up => ("up", "success"),
            Belief::Down | Belief::Unknown => ("down", "failure"),
        };
        let plural = match (self.streak, self.to) {
            (1, _) => "",
            (_, Belief::Up) => "es",
            (_, Belief::Down | Belief::Unknown) => "s",
        };
        let mut text = format!("{word} after {} {kind}{plural}", self.streak);
        if let Some(reason) = self.reason {
            text.push_str(": ");
            text.push_str(&reason.to_string());
        }
        text
    }
}

fn places(checks: &[Kept]) -> HashMap<Box<str>, u32> {
    (0u32..).zip(checks).map(|(place, kept)| (kept.spec.key.clone(), place)).collect()
}

/// A check that is not in the list is believed to serve: nothing speaks against it.
fn belief_in(checks: &[Kept]) -> impl Fn(u32) -> Belief {
    |place| checks.get(place as usize).map_or(Belief::Unknown, |kept| kept.state.belief)
}
