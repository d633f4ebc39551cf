//! Changes over time: how a record's clients go from their old pools to new ones.
//!
//! A *canary* gives its pool a growing share of the client networks, step by step, and takes all
//! of it back when the pool's health falls. A *switch* has two sides, blue and green, of which one
//! is active. Both come down to one number per record, the share of clients on the **new side**;
//! which clients those are is settled by their networks, so that the set only grows while the
//! share does.
//!
//! Pure: time comes in as what has passed since the last look, so that neither a clock that
//! jumps nor hours without a daemon make a step.

use std::sync::Arc;
use std::time::Duration;

use crate::health::table::{HealthTable, PoolWord, Verdict};
use crate::region::{AreaId, Family, Member, Pool, PoolId, Target};
use crate::steer::dials::Dials;
use crate::steer::record::{Record, RecordSpec, RuleSpec};
use crate::steer::tally::Tally;
use crate::wire::name::Name;

/// All clients, in basis points.
pub const ALL: u16 = 10_000;

/// How clients go over to the new side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Step by step.
    Canary(CanarySpec),
    /// All at once, when told.
    Switch,
}

/// A record that has a change, and what moves it.
#[derive(Debug)]
pub struct Staged {
    /// Its owner name.
    pub owner: Name,
    /// How its clients go over.
    pub change: Change,
    /// Its rules with two sides.
    pub rules: Box<[Sides]>,
    /// What queries read.
    pub dials: Arc<Dials>,
    /// Counts its answers.
    pub tally: Arc<Tally>,
}

/// The sides of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// The rule's number.
    pub rule: usize,
    /// The new side.
    pub new: Vec<PoolId>,
    /// The old side.
    pub old: Vec<PoolId>,
}

impl Staged {
    /// What `spec` says of changes, for the record that was made of it; `None` when it says nothing.
    pub fn of(spec: &RecordSpec, record: &Record) -> Option<Self> {
        let change = spec.rules.iter().find_map(|rule| rule.change.clone())?;
        let sides = |(number, rule): (usize, &RuleSpec)| {
            let pools = rule.pools.iter().map(|candidate| candidate.pool);
            let (new, old) = pools.partition(|pool| rule.new_side.contains(pool));
            Sides { rule: number, new, old }
        };
        let rules = spec.rules.iter().enumerate().filter(|(_, rule)| rule.change.is_some());
        Some(Self {
            owner: spec.owner.clone(),
            change,
            rules: rules.map(sides).collect(),
            dials: Arc::clone(&record.dials),
            tally: Arc::clone(&record.tally),
        })
    }

    /// Every pool of the new side once, in the order of their numbers.
    pub fn new_side(&self) -> Vec<PoolId> {
        Self::distinct(self.rules.iter().flat_map(|sides| &sides.new))
    }

    /// Every pool of the old side once, in the order of their numbers.
    pub fn old_side(&self) -> Vec<PoolId> {
        Self::distinct(self.rules.iter().flat_map(|sides| &sides.old))
    }

    /// Puts `share` of the clients, in basis points, on the new side.
    pub fn turn(&self, share: u16) {
        for sides in &self.rules {
            self.dials.set_stage(sides.rule, as_word(share));
        }
    }

    fn distinct<'p>(pools: impl Iterator<Item = &'p PoolId>) -> Vec<PoolId> {
        let mut pools: Vec<PoolId> = pools.copied().collect();
        pools.sort_unstable_by_key(|pool| pool.0);
        pools.dedup();
        pools
    }
}

/// The steps of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CanarySpec {
    /// Shares of the clients in basis points, `1..=10000`, each larger than the one before.
    pub steps: Vec<u16>,
    /// How long each step is watched before the next.
    pub every: Duration,
    /// Health below this share of the members' weight, in basis points, aborts. 0: it never does.
    pub abort_below: u16,
    /// It begins by itself when it is first loaded.
    pub starts_itself: bool,
}

/// Where a canary stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Whether it goes on.
    pub phase: Phase,
    /// The step it is at, a place in the steps.
    pub step: usize,
    /// The share of clients on the new side, in basis points.
    pub share: u16,
    /// For how long the step's whole share has been there, while it went on.
    pub held: Duration,
    /// Why it does not go on; empty while nothing is in its way.
    pub note: String,
}

/// Whether a canary goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not begun.
    Waiting,
    /// Going from step to step.
    Running,
    /// Stays at its share until it is told to go on.
    Paused,
    /// Nobody is on the new side until it is told to go on.
    Aborted,
    /// Through all steps.
    Done,
}

/// What an operator wants of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Begin at the first step.
    Start,
    /// Stay at this share.
    Pause,
    /// Go on: from a pause, or after an abort with the step it was at.
    Resume,
    /// Take every client back.
    Abort,
    /// Go to the last step at once.
    Finish,
}

/// An order that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the canary is {0}: it cannot {1}")]
pub struct Unfit(&'static str, &'static str);

/// What a canary has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It stands at a step with the step's whole share, in basis points.
    Stepped {
        /// The step's number, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// The share.
        share: u16,
    },
    /// It would move more than may be moved at once.
    Held {
        /// The share so far.
        share: u16,
        /// The share it wants.
        wanted: u16,
        /// In words.
        why: String,
    },
    /// It has taken every client back.
    Aborted {
        /// In words.
        why: String,
    },
    /// It is through.
    Done {
        /// The share of the last step.
        share: u16,
    },
}

/// How the new side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The share of its members' weight that lives, in basis points: of its worst pool and family.
    pub health: u16,
    /// Why no client is sent to one of its pools, when none is.
    pub out: Option<Verdict>,
    /// Every pool's checks have concluded.
    pub proven: bool,
}

/// How much may move, and what sets the bound.
#[derive(Debug, Clone, Copy)]
pub struct Allowance<'w> {
    /// By how much the share may grow now, in basis points of the record's clients.
    pub share: u16,
    /// Why not by more, in words.
    pub why: &'w str,
}

impl Phase {
    /// The word in files, commands and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Aborted => "aborted",
            Self::Done => "done",
        }
    }

    /// Every phase.
    pub const ALL: [Self; 5] =
        [Self::Waiting, Self::Running, Self::Paused, Self::Aborted, Self::Done];
}

impl Order {
    /// The word in commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Finish => "finish",
        }
    }

    /// Every order.
    pub const ALL: [Self; 5] = [Self::Start, Self::Pause, Self::Resume, Self::Abort, Self::Finish];
}

impl Default for Canary {
    fn default() -> Self {
        Self { phase: Phase::Waiting, step: 0, share: 0, held: Duration::ZERO, note: String::new() }
    }
}

impl CanarySpec {
    fn last(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    fn share_of(&self, step: usize) -> u16 {
        self.steps.get(step.min(self.last())).copied().unwrap_or(0)
    }
}

impl Canary {
    /// Carries out an operator's order.
    ///
    /// # Errors
    /// When it does not fit where the canary stands.
    pub fn obey(&mut self, order: Order, spec: &CanarySpec) -> Result<(), Unfit> {
        let fits = match order {
            Order::Start => !matches!(self.phase, Phase::Running | Phase::Paused),
            Order::Pause => self.phase == Phase::Running,
            Order::Resume => matches!(self.phase, Phase::Paused | Phase::Aborted),
            Order::Abort => !matches!(self.phase, Phase::Waiting | Phase::Aborted),
            Order::Finish => self.phase != Phase::Done,
        };
        if !fits {
            return Err(Unfit(self.phase.as_str(), order.as_str()));
        }
        self.note.clear();
        match order {
            Order::Start => *self = Self { phase: Phase::Running, ..Self::default() },
            Order::Pause => self.phase = Phase::Paused,
            Order::Resume => self.phase = Phase::Running,
            Order::Abort => {
                (self.phase, self.share, self.held) = (Phase::Aborted, 0, Duration::ZERO);
            }
            Order::Finish => {
                (self.phase, self.step) = (Phase::Done, spec.last());
                (self.share, self.held) = (spec.share_of(self.step), Duration::ZERO);
            }
        }
        Ok(())
    }

    /// By how much an order would let the share grow at once, in basis points.
    pub fn would_move(&self, order: Order, spec: &CanarySpec) -> u16 {
        match order {
            Order::Finish => spec.share_of(spec.last()).abs_diff(self.share),
            _ => 0,
        }
    }

    /// Lets `passed` go by with the new side in this condition. To be called every second or so.
    pub fn advance(
        &mut self,
        spec: &CanarySpec,
        passed: Duration,
        condition: &Condition,
        allowed: Allowance<'_>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        self.step = self.step.min(spec.last());
        match self.phase {
            Phase::Waiting if spec.starts_itself && condition.is_fit(spec) => {
                self.phase = Phase::Running;
            }
            Phase::Done => self.share = spec.share_of(spec.last()),
            _ => {}
        }
        if matches!(self.phase, Phase::Running | Phase::Paused)
            && let Some(why) = condition.speaks_against(spec)
        {
            (self.phase, self.share, self.held) = (Phase::Aborted, 0, Duration::ZERO);
            self.note.clone_from(&why);
            return vec![Event::Aborted { why }];
        }
        if self.phase != Phase::Running {
            return events;
        }
        if self.share == spec.share_of(self.step) {
            self.held = self.held.saturating_add(passed);
            if self.held < spec.every {
                return events;
            }
            if self.step == spec.last() {
                self.phase = Phase::Done;
                return vec![Event::Done { share: self.share }];
            }
            self.step += 1;
            self.held = Duration::ZERO;
        }
        self.go_over(spec, condition, allowed, &mut events);
        events
    }

    /// How long until the next step is due; `None` when none is, or nobody knows.
    pub fn until_next(&self, spec: &CanarySpec) -> Option<Duration> {
        let goes_on = self.phase == Phase::Running
            && self.share == spec.share_of(self.step)
            && self.step < spec.last();
        goes_on.then(|| spec.every.saturating_sub(self.held))
    }

    /// Moves towards the share of the step it is at, by no more than is allowed.
    fn go_over(
        &mut self,
        spec: &CanarySpec,
        condition: &Condition,
        allowed: Allowance<'_>,
        events: &mut Vec<Event>,
    ) {
        let wanted = spec.share_of(self.step);
        let (growth, why) = match condition.proven {
            true => (allowed.share, allowed.why),
            false => (0, "the new side's checks have not concluded"),
        };
        self.share = wanted.min(self.share.saturating_add(growth));
        if self.share == wanted {
            self.held = Duration::ZERO;
            self.note.clear();
            let (number, of) = (self.step + 1, spec.steps.len());
            events.push(Event::Stepped { number, of, share: self.share });
        } else if self.note != why {
            why.clone_into(&mut self.note);
            events.push(Event::Held { share: self.share, wanted, why: why.to_owned() });
        }
    }
}

impl Condition {
    /// Of pools that were judged as `table` says. `all` are the pools that `new` names places in.
    pub fn of(new: impl IntoIterator<Item = PoolId>, all: &[Pool], table: &HealthTable) -> Self {
        let mut condition = Self { health: ALL, out: None, proven: true };
        for id in new {
            let Some(pool) = all.get(id.0 as usize) else { continue };
            let words = families(&pool.target)
                .map(|family| (family, table.word(id, family, AreaId::WORLD)));
            let mut out = None;
            let mut is_in = false;
            for (family, word) in words {
                condition.proven &= word.verdict() != Verdict::Unknown;
                condition.health = condition.health.min(health(&pool.target, family, word));
                is_in |= word.is_eligible();
                out = Some(word.verdict());
            }
            if !is_in {
                condition.out = condition.out.or(out);
            }
        }
        condition
    }

    /// Whether a canary may begin.
    const fn is_fit(&self, spec: &CanarySpec) -> bool {
        self.proven && self.out.is_none() && self.health >= spec.abort_below
    }

    /// Why a canary must be aborted, if it must.
    fn speaks_against(&self, spec: &CanarySpec) -> Option<String> {
        if spec.abort_below == 0 {
            return None;
        }
        match self.out {
            Some(verdict) => Some(format!("the new side is {}", verdict.as_str())),
            None if self.health < spec.abort_below => {
                Some(format!("health {} < {}", percent(self.health), percent(spec.abort_below)))
            }
            None => None,
        }
    }
}

/// A share in basis points, for people: `5 %`, `0.25 %`.
pub fn percent(share: u16) -> String {
    let (whole, part) = (share / 100, share % 100);
    let text = format!("{whole}.{part:02}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A share in basis points as a part of 65,535, as queries compare it.
pub fn as_word(share: u16) -> u16 {
    let scaled =
        (u32::from(share.min(ALL)) * u32::from(u16::MAX) + u32::from(ALL) / 2) / u32::from(ALL);
    scaled as u16
}

/// The families a pool has members of; a name stands for both, and one look is enough.
fn families(target: &Target) -> impl Iterator<Item = Family> {
    let (v4, v6) = match target {
        Target::Vips(vips) => (!vips.v4.is_empty(), !vips.v6.is_empty()),
        Target::Cname(_) | Target::Delegate(_) => (true, false),
    };
    [(v4, Family::V4), (v6, Family::V6)].into_iter().filter(|(has, _)| *has).map(|(_, of)| of)
}

/// The share of a pool's members that live, by weight, in basis points.
fn health(target: &Target, family: Family, word: PoolWord) -> u16 {
    let live = word.live();
    match (target, family) {
        (Target::Vips(vips), Family::V4) => share_alive(&vips.v4, live),
        (Target::Vips(vips), Family::V6) => share_alive(&vips.v6, live),
        (Target::Cname(_), _) => {
            if live == 0 {
                0
            } else {
                ALL
            }
        }
        (Target::Delegate(servers), _) => {
            let all = servers.len().clamp(1, 32) as u32;
            (live.count_ones().min(all) * u32::from(ALL) / all) as u16
        }
    }
}

fn share_alive<A>(members: &[Member<A>], live: u32) -> u16 {
    // Members on standby count where there are no others.
    let standby = members.iter().all(|member| member.weight == 0);
    let weight = |member: &Member<A>| if standby { 1 } else { u64::from(member.weight) };
    let lives = |place: usize| u32::try_from(place).is_ok_and(|at| at < 32 && live >> at & 1 == 1);
    let all: u64 = members.iter().map(weight).sum();
    let alive = members.iter().enumerate().filter(|(place, _)| lives(*place));
    let alive: u64 = alive.map(|(_, member)| weight(member)).sum();
    (alive * u64::from(ALL)).checked_div(all).unwrap_or(0) as u16
}

#[cfg(test)]
#[path = "stages_tests.rs"]
mod tests;
