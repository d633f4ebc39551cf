//! The intake: reports of vantages, let in or refused.
//!
//! An envelope comes in with the moment it came; either it is the newest that its vantage has
//! sent, and then what stands in it replaces all that was known of that vantage, or it is
//! refused for a reason that is counted. Nothing that anybody sends can make the intake hold
//! more than the configuration has room for: vantages and checks are those of the configuration,
//! names of strangers are not kept. No socket, no clock, no file.

use std::collections::HashMap;
use std::time::Duration;

use super::quorum::{Ballot, Suspicion};
use super::report::{self, Report, SelfView, Slot, Vote, check_id};
use crate::seal::{self, Kind, PublicKey};

/// Envelopes of one vantage that are looked at in a second: as many as the shortest period
/// allows.
const RATE: f64 = 1000.0 / report::MIN_PERIOD_MS as f64;
/// As many may come at once, after a silence.
const BURST: f64 = 2.0 * RATE;

/// A vantage, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VantageSpec {
    /// Its name: what its reports are signed as.
    pub name: Box<str>,
    /// What they are signed with; `None` for the node's own prober, which sends none.
    pub key: Option<PublicKey>,
    /// Its group.
    pub group: Box<str>,
    /// The area whose clients see what it sees, by name.
    pub area: Option<Box<str>>,
}

/// All vantages, and what they see.
#[derive(Debug)]
pub struct Intake {
    vantages: Vec<Vantage>,
    names: HashMap<Box<str>, usize>,
    /// The place of each check, by what it is called in reports.
    places: HashMap<u64, u32>,
    checks: usize,
    /// What was refused of nobody we know.
    strangers: Refused,
}

/// A vantage and the newest that it has told.
#[derive(Debug, Clone)]
pub struct Vantage {
    /// What the configuration says of it.
    pub spec: VantageSpec,
    /// Its newest report, what stands in it of checks aside.
    pub heard: Option<Heard>,
    /// By place of the check.
    pub slots: Vec<Slot>,
    /// Reports let in.
    pub accepted: u64,
    /// Reports that never came, as far as gaps in their numbers tell.
    pub missed: u64,
    /// What was refused.
    pub refused: Refused,
    /// Why it has no vote, as last concluded.
    pub suspicion: Option<Suspicion>,
    /// The newest that was ever let in, from before the start of the process too.
    newest: Option<(u64, u64)>,
    budget: Budget,
}

/// A report that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When it came.
    pub at: Duration,
    /// Which start of the vantage it is of.
    pub boot: u64,
    /// Its number since that start.
    pub seq: u64,
    /// The revision of the probe set behind it.
    pub set: u64,
    /// The time to the next one.
    pub period: Duration,
    /// What the vantage's clock said, in milliseconds since 1970.
    pub wall_ms: u64,
    /// What the vantage thinks of itself.
    pub itself: SelfView,
    /// Checks in it that the node knows nothing of.
    pub foreign: u32,
}

/// Why a report was not let in. Every variant is a constant, so that it can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It is no envelope, or nobody's.
    #[error("{0}")]
    Sealed(#[from] seal::Fault),
    /// It is no report.
    #[error("it is {0}")]
    Report(#[from] report::Fault),
    /// It is the last one once more: it came over two links.
    #[error("it is the last one once more")]
    Repeated,
    /// It is older than the last one.
    #[error("it is older than the last one")]
    Replayed,
    /// There are too many.
    #[error("there are too many")]
    Flood,
    /// It came under another vantage's name.
    #[error("it came under another name than it is signed with")]
    Misplaced,
}

/// What was refused, by [`Refusal::index`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused(pub [u64; Refusal::LABELS.len()]);

/// What was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusing {
    /// Whose it was, or said to be, by place; `None` for strangers.
    pub vantage: Option<usize>,
    /// Why.
    pub why: Refusal,
    /// True where the log should tell: the first time of this vantage for this reason, unless it
    /// is an ordinary one.
    pub is_first: bool,
}

/// How often a check is probed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Between two probes in steady state.
    pub interval: Duration,
    /// The longest pause of a target that has been failing for long.
    pub slow_interval: Duration,
    /// The longest that a probe takes.
    pub timeout: Duration,
}

impl Timing {
    /// A vote counts for so long however seldom its vantage reports.
    pub fn patience(&self) -> Duration {
        2 * self.interval + self.timeout
    }

    /// How old a sample may be that a vote rests on which has been the same for so long: three
    /// rounds of probes, so that one that is skipped silences nobody.
    pub fn oldest(&self, vote: Vote, lasting: Duration) -> Duration {
        let pause = match vote {
            Vote::Down => self.interval.max(slow_pause(lasting, self.slow_interval)),
            Vote::Up | Vote::Unknown => self.interval,
        };
        3 * (pause + self.timeout)
    }
}

/// The pause between two probes of a target that has been failing for so long: an eighth of that
/// time, so that each is longer than the one before and coming back is seen within an eighth of
/// the outage, and at most `slowest`.
pub fn slow_pause(failing: Duration, slowest: Duration) -> Duration {
    (failing / 8).min(slowest)
}

/// Bounds how many envelopes are looked at.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: f64,
    at: Duration,
}

impl Refusal {
    /// Every label, in the order of [`Refusal::index`].
    pub const LABELS: [&'static str; 16] = [
        "too-short",
        "too-long",
        "version",
        "kind",
        "unknown-signer",
        "forged",
        "report-too-long",
        "report-version",
        "malformed",
        "trailing",
        "check-twice",
        "absurd",
        "replayed",
        "flood",
        "misplaced",
        "repeated",
    ];

    /// A number below `LABELS.len()`, for counters.
    pub const fn index(self) -> usize {
        match self {
            Self::Sealed(seal::Fault::TooShort) => 0,
            Self::Sealed(seal::Fault::TooLong) => 1,
            Self::Sealed(seal::Fault::Version) => 2,
            Self::Sealed(seal::Fault::Kind) => 3,
            Self::Sealed(seal::Fault::UnknownSigner) => 4,
            Self::Sealed(seal::Fault::Forged) => 5,
            Self::Report(report::Fault::TooLong) => 6,
            Self::Report(report::Fault::Version) => 7,
            Self::Report(report::Fault::Malformed) => 8,
            Self::Report(report::Fault::Trailing) => 9,
            Self::Report(report::Fault::Twice) => 10,
            Self::Report(report::Fault::Absurd) => 11,
            Self::Replayed => 12,
            Self::Flood => 13,
            Self::Misplaced => 14,
            Self::Repeated => 15,
        }
    }

    /// The name it is counted under.
    pub const fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

impl Refused {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts one; true for the first of its kind.
    const fn count(&mut self, why: Refusal) -> bool {
        let count = &mut self.0[why.index()];
        *count += 1;
        *count == 1
    }
}

impl Budget {
    const fn full(now: Duration) -> Self {
        Self { left: BURST, at: now }
    }

    fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.left = (self.left + passed * RATE).min(BURST);
        self.at = self.at.max(now);
        let has = self.left >= 1.0;
        if has {
            self.left -= 1.0;
        }
        has
    }
}

impl Intake {
    /// An intake for `vantages` and the checks with these keys. `newest` tells of each vantage
    /// what (boot, seq) was let in last before the process began.
    pub fn new(
        vantages: &[VantageSpec],
        keys: &[&str],
        newest: &HashMap<Box<str>, (u64, u64)>,
        now: Duration,
    ) -> Self {
        let vantage = |spec: &VantageSpec| Vantage {
            spec: spec.clone(),
            heard: None,
            slots: unheard(keys),
            accepted: 0,
            missed: 0,
            refused: Refused::default(),
            suspicion: None,
            newest: newest.get(&spec.name).copied(),
            budget: Budget::full(now),
        };
        Self {
            vantages: vantages.iter().map(vantage).collect(),
            names: names(vantages),
            places: places(keys),
            checks: keys.len(),
            strangers: Refused::default(),
        }
    }

    /// Takes over another configuration. What vantages have told is kept by their names and the
    /// checks' keys; a vantage whose key has changed has told nothing yet.
    pub fn rebuild(&mut self, vantages: &[VantageSpec], keys: &[&str], now: Duration) {
        let mut next = Self::new(vantages, keys, &HashMap::new(), now);
        next.strangers = self.strangers;
        for vantage in &mut next.vantages {
            let Some(before) = self.named(&vantage.spec.name) else { continue };
            let before = &mut self.vantages[before];
            vantage.newest = before.newest;
            vantage.budget = before.budget;
            if before.spec.key != vantage.spec.key {
                continue;
            }
            vantage.heard = before.heard;
            vantage.accepted = before.accepted;
            vantage.missed = before.missed;
            vantage.refused = before.refused;
            vantage.suspicion = before.suspicion;
            for slot in before.slots.drain(..) {
                if let Some(&place) = next.places.get(&slot.check) {
                    vantage.slots[place as usize] = slot;
                }
            }
        }
        *self = next;
    }

    /// Takes in the envelope that came under `name` at `now`, and tells whose it was by place.
    ///
    /// # Errors
    /// Why it was not let in; it has been counted.
    pub fn accept(
        &mut self,
        name: &str,
        envelope: &[u8],
        now: Duration,
    ) -> Result<usize, Refusing> {
        let mut claimed = None;
        let opened = {
            let vantages = &mut self.vantages;
            let mut has_budget = true;
            let opened = seal::open(envelope, Kind::Report, |signer| {
                let place = *self.names.get(signer)?;
                claimed = Some(place);
                let vantage = vantages.get_mut(place)?;
                has_budget = vantage.budget.take(now);
                vantage.spec.key.filter(|_| has_budget)
            });
            if has_budget { opened.map_err(Refusal::from) } else { Err(Refusal::Flood) }
        };
        let taken = opened.and_then(|opened| {
            if opened.signer != name {
                return Err(Refusal::Misplaced);
            }
            // Opened, so it is somebody's.
            let place = claimed.ok_or(seal::Fault::UnknownSigner)?;
            let report = Report::decode(opened.payload)?;
            self.take(place, report, now).map(|()| place)
        });
        taken.map_err(|why| self.refuse(claimed, why))
    }

    /// Takes in what the node's own prober tells, which nobody has to sign.
    pub fn accept_own(&mut self, name: &str, report: Report, now: Duration) {
        if let Some(place) = self.named(name)
            && let Err(why) = self.take(place, report, now)
        {
            let _ = self.refuse(Some(place), why);
        }
    }

    fn take(&mut self, place: usize, report: Report, now: Duration) -> Result<(), Refusal> {
        let vantage = self.vantages.get_mut(place).ok_or(seal::Fault::UnknownSigner)?;
        let number = (report.boot, report.seq);
        match vantage.newest {
            Some(newest) if number == newest => return Err(Refusal::Repeated),
            Some(newest) if number < newest => return Err(Refusal::Replayed),
            _ => {}
        }
        if let Some(heard) = vantage.heard.filter(|heard| heard.boot == report.boot) {
            let gap = report.seq.saturating_sub(heard.seq).saturating_sub(1);
            vantage.missed = vantage.missed.saturating_add(gap);
        }
        vantage.newest = Some(number);
        vantage.accepted += 1;
        for slot in &mut vantage.slots {
            *slot = Slot::unknown(slot.check);
        }
        let mut foreign = 0;
        for slot in report.slots {
            match self.places.get(&slot.check).and_then(|at| vantage.slots.get_mut(*at as usize)) {
                Some(own) => *own = slot,
                None => foreign += 1,
            }
        }
        vantage.heard = Some(Heard {
            at: now,
            boot: report.boot,
            seq: report.seq,
            set: report.set,
            period: Duration::from_millis(report.period_ms.into()),
            wall_ms: report.wall_ms,
            itself: report.itself,
            foreign,
        });
        Ok(())
    }

    fn refuse(&mut self, vantage: Option<usize>, why: Refusal) -> Refusing {
        let known = vantage.and_then(|place| self.vantages.get_mut(place));
        let counts = known.map_or(&mut self.strangers, |vantage| &mut vantage.refused);
        let is_first = counts.count(why) && why != Refusal::Repeated;
        Refusing { vantage, why, is_first }
    }

    /// The vantages, in the order of the configuration.
    pub fn vantages(&self) -> &[Vantage] {
        &self.vantages
    }

    /// The vantages, for whoever judges them.
    pub(super) fn vantages_mut(&mut self) -> &mut [Vantage] {
        &mut self.vantages
    }

    /// How many checks there are.
    pub const fn checks(&self) -> usize {
        self.checks
    }

    /// What was refused of strangers.
    pub const fn strangers(&self) -> &Refused {
        &self.strangers
    }

    /// The (boot, seq) let in last of every vantage, for the next start.
    pub fn newest(&self) -> HashMap<Box<str>, (u64, u64)> {
        let known = self.vantages.iter();
        known.filter_map(|known| Some((known.spec.name.clone(), known.newest?))).collect()
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }
}

impl Vantage {
    /// How old its newest report is.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.heard.map(|heard| now.saturating_sub(heard.at))
    }

    /// True when it has not told anything for longer than three of its periods.
    pub fn is_silent(&self, now: Duration) -> bool {
        self.heard.is_none_or(|heard| now.saturating_sub(heard.at) > 3 * heard.period)
    }

    /// Enters its votes into `ballot`: those it has told lately enough, of what it has probed
    /// lately enough. `timing` tells of each check how often it is probed.
    pub(super) fn vote(
        &self,
        ballot: &mut Ballot,
        now: Duration,
        timing: impl Fn(usize) -> Timing,
    ) -> bool {
        ballot.clear();
        let Some(heard) = self.heard else { return false };
        let age = now.saturating_sub(heard.at);
        let mut votes = false;
        for (check, slot) in self.slots.iter().enumerate() {
            let timing = timing(check);
            let sampled = Duration::from_millis(slot.age_ms.into()) + age;
            let oldest = timing.oldest(slot.belief, Duration::from_millis(slot.since_ms) + age);
            if slot.belief != Vote::Unknown
                && age <= timing.patience().max(3 * heard.period)
                && sampled <= oldest.max(3 * heard.period)
            {
                ballot.set(check, slot.belief);
                votes = true;
            }
        }
        votes
    }
}

/// Slots of checks nobody has told of.
fn unheard(keys: &[&str]) -> Vec<Slot> {
    keys.iter().map(|key| Slot::unknown(check_id(key))).collect()
}

fn names(vantages: &[VantageSpec]) -> HashMap<Box<str>, usize> {
    vantages.iter().enumerate().map(|(place, spec)| (spec.name.clone(), place)).collect()
}

fn places(keys: &[&str]) -> HashMap<u64, u32> {
    (0..).zip(keys).map(|(place, key)| (check_id(key), place)).collect()
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
