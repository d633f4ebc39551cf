//! The quorum: what is concluded of a check from what several vantages believe of it.
//!
//! One vantage that reaches a target proves that the target serves. One that reaches nothing
//! proves only that it is broken itself, so a vantage that its own canaries, its own lateness or
//! another vantage speaks against has no vote ([`suspicions`]). Those left are heard by group,
//! each group as one voice however many vantages it has ([`Tally::share`]): below a third the
//! target is down, from two thirds on it is up, and between it keeps its place ([`conclude`]).
//! With fewer voters than the floor nothing is concluded, and what was believed stays. All of it
//! are functions of their arguments.

use std::time::Duration;

use super::report::{SelfView, Vote};
use super::state::Belief;

/// A vantage that ran later than this in its last period judges others by its own lateness.
pub const LAG_MAX: Duration = Duration::from_millis(500);
/// A vantage fails too much only where it probes this many targets or more,
const TARGETS_MIN: u32 = 5;
/// and what fails is in so many regions,
const REGIONS_MIN: usize = 2;
/// and is so much of all it probes, in percent.
const FAILING: u32 = 80;
/// A share is a sum of fractions; thresholds are met in spite of what rounding takes away.
const ROUNDING: f64 = 1e-9;

/// What a vantage believes of every check, by the place of the check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ballot {
    up: Vec<u64>,
    down: Vec<u64>,
}

/// A vantage that has something to say now.
#[derive(Debug, Clone, Copy)]
pub struct Voter<'a> {
    /// Its group: vantages of one are one voice.
    pub group: usize,
    /// What it thinks of itself.
    pub itself: SelfView,
    /// What it believes.
    pub ballot: &'a Ballot,
}

/// Why a vantage has no vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// More than half of its canaries are silent.
    Canaries {
        /// That answer.
        ok: u8,
        /// Of so many.
        of: u8,
    },
    /// It runs late, by so many milliseconds.
    Late(u16),
    /// It fails nearly everywhere, another vantage reaches what it does not, and no other group
    /// sees things as it does.
    Contradicted {
        /// Checks that fail.
        fails: u32,
        /// Of so many.
        of: u32,
        /// The place of the other one among the voters.
        by: usize,
    },
}

/// How votes become a conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Up votes that make a target up, of all vantages there are; `None` for shares of groups.
    pub need: Option<u16>,
    /// With fewer voters nothing is concluded.
    pub floor: u16,
    /// Vantages that vote when none is missing.
    pub vantages: u16,
}

/// The votes on one check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// By group: up votes, and all.
    groups: Vec<(u16, u16)>,
    ups: u16,
    downs: u16,
}

/// What follows from the votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// This is believed.
    Believed(Belief),
    /// What was believed stays.
    Held(Hold),
}

/// Why nothing is concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// There are fewer voters than the floor.
    Few {
        /// Voters there are.
        voters: u16,
        /// Voters there must be.
        floor: u16,
    },
    /// Those who are silent would decide.
    Undecided {
        /// Up votes there are.
        ups: u16,
        /// Up votes there must be.
        need: u16,
    },
    /// Votes are only just coming in.
    Early {
        /// Voters there are.
        voters: u16,
        /// Vantages there are.
        of: u16,
    },
}

impl Hold {
    /// In words.
    pub fn describe(self) -> String {
        match self {
            Self::Few { voters: 0, .. } => "no vantage has a vote".to_owned(),
            Self::Few { voters, floor } => format!("{voters} of {floor} voters it takes"),
            Self::Undecided { ups, need } => {
                format!("{ups} of {need} votes it takes, and the silent would decide")
            }
            Self::Early { voters, of } => format!("{voters} of {of} vantages have voted so far"),
        }
    }
}

impl Suspicion {
    /// In words; `name` tells that of a vantage by its place.
    pub fn describe<'n>(&self, name: impl FnOnce(usize) -> &'n str) -> String {
        match *self {
            Self::Canaries { ok, of } => format!("{ok} of its {of} canaries answer"),
            Self::Late(lag) => format!("it runs {lag} ms late"),
            Self::Contradicted { fails, of, by } => {
                format!("it fails {fails} of {of} checks, and {} reaches them", name(by))
            }
        }
    }
}

impl Ballot {
    /// Nothing believed of so many checks.
    pub fn new(checks: usize) -> Self {
        let words = checks.div_ceil(64);
        Self { up: vec![0; words], down: vec![0; words] }
    }

    /// Enters what is believed of a check. A check that is not on the ballot is ignored.
    pub fn set(&mut self, check: usize, vote: Vote) {
        let bit = 1 << (check % 64);
        let (Some(up), Some(down)) = (self.up.get_mut(check / 64), self.down.get_mut(check / 64))
        else {
            return;
        };
        *up &= !bit;
        *down &= !bit;
        match vote {
            Vote::Unknown => {}
            Vote::Up => *up |= bit,
            Vote::Down => *down |= bit,
        }
    }

    /// What is believed of a check.
    pub fn vote(&self, check: usize) -> Vote {
        let has = |words: &[u64]| words.get(check / 64).is_some_and(|w| w >> (check % 64) & 1 == 1);
        if has(&self.up) {
            Vote::Up
        } else if has(&self.down) {
            Vote::Down
        } else {
            Vote::Unknown
        }
    }

    /// Believes nothing any more.
    pub fn clear(&mut self) {
        self.up.fill(0);
        self.down.fill(0);
    }

    /// Checks believed up, and down.
    pub fn counts(&self) -> (u32, u32) {
        (ones(&self.up), ones(&self.down))
    }

    /// How many of the checks that are down here are up in `other`.
    fn contradicted_by(&self, other: &Self) -> u32 {
        self.down.iter().zip(&other.up).map(|(down, up)| (down & up).count_ones()).sum()
    }

    /// True where a check is up both here and in `other`.
    fn reaches_some_of(&self, other: &Self) -> bool {
        self.up.iter().zip(&other.up).any(|(one, other)| one & other != 0)
    }

    /// The places of checks believed down.
    fn failing(&self) -> impl Iterator<Item = usize> {
        self.down.iter().enumerate().flat_map(|(at, word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| at * 64 + bit)
        })
    }
}

fn ones(words: &[u64]) -> u32 {
    words.iter().map(|word| word.count_ones()).sum()
}

/// Who of `voters` has no vote, and why; in their order. `region` tells the region of a check.
pub fn suspicions(voters: &[Voter<'_>], region: impl Fn(usize) -> u16) -> Vec<Option<Suspicion>> {
    let by_itself: Vec<_> = voters.iter().map(|voter| by_itself(&voter.itself)).collect();
    let failing: Vec<_> =
        voters.iter().map(|voter| fails_nearly_all(voter.ballot, &region)).collect();
    // Another group that fails as much and reaches what this one reaches has not the same defect,
    // but the same view.
    let is_borne_out = |voter: &Voter<'_>| {
        let others = voters.iter().zip(&by_itself).zip(&failing);
        let mut alike = others.filter(|((other, why), fails)| {
            why.is_none() && fails.is_some() && other.group != voter.group
        });
        alike.any(|((other, _), _)| voter.ballot.reaches_some_of(other.ballot))
    };
    let contradicted = |at: usize, voter: &Voter<'_>| {
        let (fails, of) = failing[at]?;
        if is_borne_out(voter) {
            return None;
        }
        let others = voters.iter().zip(&by_itself).enumerate();
        let mut sound = others.filter(|(other, (_, why))| *other != at && why.is_none());
        let (by, _) = sound
            .find(|(_, (other, _))| voter.ballot.contradicted_by(other.ballot) * 2 >= fails)?;
        Some(Suspicion::Contradicted { fails, of, by })
    };
    let voters = voters.iter().enumerate();
    voters.map(|(at, voter)| by_itself[at].or_else(|| contradicted(at, voter))).collect()
}

/// Why a vantage would not trust itself.
fn by_itself(view: &SelfView) -> Option<Suspicion> {
    let SelfView { canaries: of, canaries_ok: ok, lag_ms } = *view;
    if u16::from(ok) * 2 < u16::from(of) {
        return Some(Suspicion::Canaries { ok, of });
    }
    (u128::from(lag_ms) > LAG_MAX.as_millis()).then_some(Suspicion::Late(lag_ms))
}

/// How many checks fail, of how many, where that is more than a sound vantage would see on an
/// ordinary bad day.
fn fails_nearly_all(ballot: &Ballot, region: impl Fn(usize) -> u16) -> Option<(u32, u32)> {
    let (ups, fails) = ballot.counts();
    let of = ups + fails;
    if of < TARGETS_MIN || fails * 100 < of * FAILING {
        return None;
    }
    let mut regions = Vec::with_capacity(REGIONS_MIN);
    for region in ballot.failing().map(region) {
        if !regions.contains(&region) {
            regions.push(region);
        }
        if regions.len() >= REGIONS_MIN {
            return Some((fails, of));
        }
    }
    None
}

impl Tally {
    /// No votes yet, of so many groups.
    pub fn new(groups: usize) -> Self {
        Self { groups: vec![(0, 0); groups], ups: 0, downs: 0 }
    }

    /// Forgets all votes.
    pub fn clear(&mut self) {
        self.groups.fill((0, 0));
        (self.ups, self.downs) = (0, 0);
    }

    /// Counts a vote. Whoever believes nothing is absent.
    pub fn add(&mut self, group: usize, vote: Vote) {
        let Some((ups, all)) = self.groups.get_mut(group).filter(|_| vote != Vote::Unknown) else {
            return;
        };
        *all += 1;
        if vote == Vote::Up {
            *ups += 1;
            self.ups += 1;
        } else {
            self.downs += 1;
        }
    }

    /// Up votes.
    pub const fn ups(&self) -> u16 {
        self.ups
    }

    /// Down votes.
    pub const fn downs(&self) -> u16 {
        self.downs
    }

    /// All votes.
    pub const fn voters(&self) -> u16 {
        self.ups + self.downs
    }

    /// The share of groups that reach the target, `0.0..=1.0`, each by the share of its vantages
    /// that do; 0 without a vote.
    pub fn share(&self) -> f64 {
        let heard = self.groups.iter().filter(|(_, all)| *all > 0);
        let (sum, groups) = heard.fold((0.0, 0u32), |(sum, groups), (ups, all)| {
            (sum + f64::from(*ups) / f64::from(*all), groups + 1)
        });
        if groups == 0 { 0.0 } else { sum / f64::from(groups) }
    }
}

/// What follows from the votes where `last` was believed.
///
/// A split vote does not bring back what was down: the target keeps its place.
pub fn conclude(tally: &Tally, rule: &Rule, last: Belief) -> Conclusion {
    let voters = tally.voters();
    if voters == 0 || voters < rule.floor {
        return Conclusion::Held(Hold::Few { voters, floor: rule.floor.max(1) });
    }
    let belief = match rule.need {
        Some(need) => {
            let missing = rule.vantages.saturating_sub(voters);
            if tally.ups >= need {
                Belief::Up
            } else if tally.ups + missing < need {
                Belief::Down
            } else {
                return Conclusion::Held(Hold::Undecided { ups: tally.ups, need });
            }
        }
        None => {
            let share = tally.share();
            if share * 3.0 < 1.0 - ROUNDING {
                Belief::Down
            } else if share * 3.0 >= 2.0 - ROUNDING {
                Belief::Up
            } else if last == Belief::Down {
                Belief::Down
            } else {
                Belief::Degraded
            }
        }
    };
    Conclusion::Believed(belief)
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
