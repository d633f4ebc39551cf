//! The council: from what every vantage has told last to what is believed of each check.
//!
//! It sits over the [`intake`](super::intake). Several times a second it looks at everything
//! anew, whatever came in since: who has a vote ([`quorum::suspicions`]), what follows from the
//! votes for the world and for each client area that has vantages enough of its own
//! ([`quorum::conclude`]), and what members say of themselves. Where nothing can be concluded
//! what was believed stays, and is shown as held. A pure function of time and of what was taken
//! in: no clock, no socket.

use std::collections::HashMap;
use std::time::Duration;

use super::composite::{self, Composite};
use super::intake::{Intake, Timing, Vantage, VantageSpec};
use super::quorum::{self, Ballot, Conclusion, Hold, Rule, Tally, Voter};
use super::report::Vote;
use super::sample::{AgentWord, Reason};
use super::says::Says;
use super::state::Belief;

/// The first conclusion on a check waits so long for votes that have not come yet: twice as long
/// as a report that comes each second may be late.
pub const SETTLE: Duration = Duration::from_secs(6);
/// For so long after votes have changed more changes are expected.
const STIRRED: Duration = Duration::from_secs(10);
/// Who judges, over what, and by which rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Panel {
    /// The vantages; without any nothing is judged here.
    pub vantages: Vec<VantageSpec>,
    /// The one that is this node's own prober, by name.
    pub own: Option<Box<str>>,
    /// With fewer voters nothing is concluded, unless there are no more.
    pub floor: u16,
    /// What replaces the thresholds, for all checks that say nothing else.
    pub quorum: Option<Quorum>,
    /// Every check, in the plan's order.
    pub checks: Vec<CheckRule>,
    /// Every composite, which the plan lists behind the checks.
    pub composites: Vec<CompositeRule>,
    /// Client areas by name, in the order of their numbers, the world aside.
    pub areas: Vec<Box<str>>,
}

/// Up votes of so many vantages that make a target up: `quorum = "3/5"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quorum {
    /// So many say up,
    pub need: u16,
    /// of so many.
    pub of: u16,
}

/// What follows from the votes on a check, where that is not what follows everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// What replaces the thresholds.
    pub quorum: Option<Quorum>,
    /// With fewer voters nothing is concluded.
    pub voters: Option<u16>,
    /// A certificate that ends in fewer days is a sign of trouble.
    pub certificate_days: Option<u16>,
}

/// What the council must know of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRule {
    /// `MONITOR@TARGET`.
    pub key: Box<str>,
    /// A number for the region that it decides over.
    pub region: u16,
    /// How often it is probed.
    pub timing: Timing,
    /// What is otherwise for it than for all.
    pub rules: Rules,
}

/// What the council must know of a composite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompositeRule {
    /// `MONITOR@TARGET`.
    pub key: Box<str>,
    /// Its parts, by their places in a list of all checks with the composites behind them.
    pub parts: Composite,
}

/// What is concluded of a check for one view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ruling {
    /// What is believed, by the votes and what the member says of itself.
    pub belief: Belief,
    /// By the votes alone.
    pub by_votes: Belief,
    /// Since when, on the process's clock.
    pub since: Duration,
    /// For how long it had been believed before the process began.
    pub held_before: Duration,
    /// Why nothing is concluded just now.
    pub hold: Option<Hold>,
    /// Up votes.
    pub ups: u16,
    /// Down votes.
    pub downs: u16,
    /// Why most of those fail who do.
    pub reason: Option<Reason>,
    /// What the member says of itself.
    pub says: Says,
    /// True where an area has vantages enough to see for itself.
    pub is_own: bool,
    /// True while this is from before the start, or from nothing at all.
    pub is_remembered: bool,
    /// When votes last changed.
    stirred: Duration,
}

/// See the module's text.
#[derive(Debug)]
pub struct Council {
    panel: Panel,
    intake: Intake,
    /// By area, the world first, by check, with the composites behind.
    rulings: Vec<Vec<Ruling>>,
    groups: usize,
    /// By vantage: its group's number and its area's.
    seats: Vec<(usize, usize)>,
    /// By vantage.
    ballots: Vec<Ballot>,
}

impl Panel {
    /// The keys of all checks, and of the composites behind them.
    fn keys(&self) -> impl Iterator<Item = &str> {
        let checks = self.checks.iter().map(|check| &*check.key);
        checks.chain(self.composites.iter().map(|composite| &*composite.key))
    }

    /// The key of the check or composite at `place`; empty where there is none.
    pub fn key(&self, place: usize) -> &str {
        let composite = || self.composites.get(place.checked_sub(self.checks.len())?);
        let check = self.checks.get(place).map(|check| &*check.key);
        check.or_else(|| Some(&*composite()?.key)).unwrap_or_default()
    }
}

impl Quorum {
    /// Of `vantages` instead of those it was written for, rounded up.
    pub fn need_of(self, vantages: u16) -> u16 {
        let need = u32::from(self.need) * u32::from(vantages);
        need.div_ceil(u32::from(self.of.max(1))).clamp(1, u16::MAX.into()) as u16
    }
}

impl Ruling {
    /// Nothing concluded yet; `belief` is remembered.
    pub fn remembered(belief: Belief, held_before: Duration, now: Duration) -> Self {
        Self {
            belief,
            by_votes: belief,
            since: now,
            held_before,
            hold: None,
            ups: 0,
            downs: 0,
            reason: None,
            says: Says::default(),
            is_own: true,
            is_remembered: true,
            stirred: now,
        }
    }

    /// True while votes have just changed and are not of one mind: another change may be near.
    pub fn is_stirred(&self, now: Duration) -> bool {
        self.ups > 0 && self.downs > 0 && now.saturating_sub(self.stirred) < STIRRED
    }

    /// Why this is believed, in words: `down for 7 of 9 vantages: connection refused`.
    pub fn describe(&self) -> String {
        let voters = self.ups + self.downs;
        let word = self.by_votes.as_str();
        let mut text = match (self.hold, self.by_votes) {
            (Some(hold), _) => format!("{word}, held: {}", hold.describe()),
            (None, Belief::Unknown) => "not checked yet".to_owned(),
            (None, Belief::Down) => format!("down for {} of {voters} vantages", self.downs),
            (None, _) => format!("{word}, reached by {} of {voters} vantages", self.ups),
        };
        if let Some(reason) = self.reason.filter(|_| self.downs > 0) {
            text.push_str(&format!(": {reason}"));
        }
        let says = self.says.describe();
        if !says.is_empty() {
            text.push_str(&format!("; {says}"));
        }
        if self.is_remembered && self.by_votes != Belief::Unknown {
            text.push_str(", as remembered from before the start");
        }
        text
    }

    /// Takes in what `tally` says.
    fn conclude(&mut self, tally: &Tally, rule: &Rule, now: Duration) {
        if (self.ups, self.downs) != (tally.ups(), tally.downs()) {
            (self.ups, self.downs) = (tally.ups(), tally.downs());
            self.stirred = now;
        }
        // Those who come first would decide alone.
        let is_early = self.is_remembered
            && tally.voters() < rule.vantages
            && now.saturating_sub(self.since) < SETTLE;
        match quorum::conclude(tally, rule, self.by_votes) {
            Conclusion::Believed(_) if is_early => {
                self.hold = Some(Hold::Early { voters: tally.voters(), of: rule.vantages });
            }
            Conclusion::Believed(belief) => {
                self.hold = None;
                self.is_remembered = false;
                self.by_votes = belief;
            }
            Conclusion::Held(hold) => self.hold = Some(hold),
        }
    }

    /// Settles what is believed after the votes and what the member says of itself.
    fn settle(&mut self, now: Duration) {
        let belief = self.says.temper(self.by_votes);
        if belief != self.belief {
            self.belief = belief;
            self.since = now;
            self.held_before = Duration::ZERO;
        }
    }
}

impl Council {
    /// A council that begins with what is remembered: beliefs by key, with for how long, and the
    /// newest (boot, seq) of each vantage.
    pub fn new(
        panel: Panel,
        remembered: impl Fn(&str) -> Option<(Belief, Duration)>,
        newest: &HashMap<Box<str>, (u64, u64)>,
        now: Duration,
    ) -> Self {
        let intake = Intake::new(&panel.vantages, &keys(&panel), newest, now);
        let ruling = |key: &str| {
            let (belief, held) = remembered(key).unwrap_or_default();
            Ruling::remembered(belief, held, now)
        };
        let world: Vec<_> = panel.keys().map(ruling).collect();
        Self::seated(panel, intake, |_, _, place| world[place], now)
    }

    /// Takes another panel; votes and rulings are kept by name.
    ///
    /// Of checks without a ruling so far `remembered` tells what was believed.
    pub fn rebuild(
        &mut self,
        panel: Panel,
        remembered: impl Fn(&str) -> Option<(Belief, Duration)>,
        now: Duration,
    ) {
        let before = std::mem::take(&mut self.panel);
        let rulings = std::mem::take(&mut self.rulings);
        let mut intake =
            std::mem::replace(&mut self.intake, Intake::new(&[], &[], &HashMap::new(), now));
        intake.rebuild(&panel.vantages, &keys(&panel), now);
        let places: HashMap<&str, usize> =
            before.keys().enumerate().map(|(at, key)| (key, at)).collect();
        let known = |area: Option<&str>, key: &str| {
            let area = match area {
                None => 0,
                Some(area) => 1 + before.areas.iter().position(|name| **name == *area)?,
            };
            rulings.get(area)?.get(*places.get(key)?).copied()
        };
        let ruling = |area: Option<&str>, key: &str, _| {
            let ruling = known(area, key).or_else(|| known(None, key));
            ruling.unwrap_or_else(|| {
                let (belief, held) = remembered(key).unwrap_or_default();
                Ruling::remembered(belief, held, now)
            })
        };
        *self = Self::seated(panel, intake, ruling, now);
    }

    fn seated(
        panel: Panel,
        intake: Intake,
        ruling: impl Fn(Option<&str>, &str, usize) -> Ruling,
        now: Duration,
    ) -> Self {
        let mut groups: Vec<&str> = Vec::new();
        let mut seats = Vec::new();
        for vantage in &panel.vantages {
            let group = groups.iter().position(|group| *group == &*vantage.group);
            let group = group.unwrap_or_else(|| {
                groups.push(&vantage.group);
                groups.len() - 1
            });
            let area = vantage.area.as_ref();
            let area = area.and_then(|area| panel.areas.iter().position(|name| name == area));
            seats.push((group, area.map_or(0, |place| place + 1)));
        }
        let areas = std::iter::once(None).chain(panel.areas.iter().map(|name| Some(&**name)));
        let rulings = areas.map(|area| {
            panel.keys().enumerate().map(|(place, key)| ruling(area, key, place)).collect()
        });
        let rulings = if panel.vantages.is_empty() { Vec::new() } else { rulings.collect() };
        let ballots = vec![Ballot::new(panel.checks.len()); panel.vantages.len()];
        let groups = groups.len();
        let mut council = Self { rulings, groups, seats, ballots, panel, intake };
        council.compose(now);
        council
    }

    /// True where there are vantages: then what is believed is concluded here.
    pub fn is_convened(&self) -> bool {
        !self.panel.vantages.is_empty()
    }

    /// Who judges.
    pub const fn panel(&self) -> &Panel {
        &self.panel
    }

    /// Where reports come in.
    pub const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Where reports come in.
    pub const fn intake_mut(&mut self) -> &mut Intake {
        &mut self.intake
    }

    /// What is concluded: by area, the world first, by check, with the composites behind. Empty
    /// without vantages.
    pub fn rulings(&self) -> &[Vec<Ruling>] {
        &self.rulings
    }

    /// Checks of which nothing is concluded just now.
    pub fn held(&self) -> usize {
        let world = self.rulings.first().into_iter().flatten().take(self.panel.checks.len());
        world.filter(|ruling| ruling.hold.is_some()).count()
    }

    /// Why what is concluded of the check or composite at `place` for an area (0 is the world)
    /// is so, in words; empty where there is no such thing.
    pub fn why(&self, area: usize, place: usize) -> String {
        let Some(rulings) = self.rulings.get(area) else { return String::new() };
        let Some(ruling) = rulings.get(place) else { return String::new() };
        let composite = place.checked_sub(self.panel.checks.len());
        match composite.and_then(|composite| self.panel.composites.get(composite)) {
            None => ruling.describe(),
            Some(rule) => rule.parts.describe(ruling.belief, |part| {
                let part = part as usize;
                let belief = rulings.get(part).map_or(Belief::Unknown, |ruling| ruling.belief);
                (self.panel.key(part), belief, self.why(area, part))
            }),
        }
    }

    /// Concludes anew from all that is known at `now`. To be called several times a second.
    pub fn deliberate(&mut self, now: Duration) {
        if !self.is_convened() {
            return;
        }
        let present = self.present(now);
        self.suspect(&present);
        self.vote(&present, now);
        self.compose(now);
    }

    /// Counts the votes of those among `present` whom nothing speaks against, and concludes.
    fn vote(&mut self, present: &[usize], now: Duration) {
        let sound: Vec<usize> = present
            .iter()
            .copied()
            .filter(|place| self.intake.vantages()[*place].suspicion.is_none())
            .collect();
        let all = count(self.seats.len());
        let mut tallies = vec![Tally::new(self.groups); self.rulings.len()];
        let near: Vec<u16> = (0..self.rulings.len())
            .map(|area| match area {
                0 => count(self.seats.len()),
                _ => count(self.seats.iter().filter(|(_, of)| *of == area).count()),
            })
            .collect();
        for check in 0..self.panel.checks.len() {
            tallies.iter_mut().for_each(Tally::clear);
            for &place in &sound {
                let vote = self.ballots[place].vote(check);
                let (group, area) = self.seats[place];
                tallies[0].add(group, vote);
                if area > 0 {
                    tallies[area].add(group, vote);
                }
            }
            let says = self.says(check, &sound);
            let Rules { quorum, voters, .. } = self.panel.checks[check].rules;
            let quorum = quorum.or(self.panel.quorum);
            let floor = voters.unwrap_or(self.panel.floor).min(all).max(1);
            let rule = |area: usize| Rule {
                need: quorum.map(|quorum| quorum.need_of(near[area])),
                floor,
                vantages: near[area],
            };
            for (area, tally) in tallies.iter().enumerate() {
                let world = self.rulings[0][check];
                let ruling = &mut self.rulings[area][check];
                let before = ruling.belief;
                let votes = (ruling.ups, ruling.downs);
                if area == 0 || tally.voters() >= floor {
                    ruling.is_own = true;
                    ruling.conclude(tally, &rule(area), now);
                } else {
                    *ruling = Ruling { is_own: false, ..world };
                    if before != world.belief {
                        ruling.since = now;
                    }
                    continue;
                }
                ruling.says = says;
                ruling.settle(now);
                if ruling.belief != before || votes != (ruling.ups, ruling.downs) {
                    ruling.reason = reason(&self.intake, &self.ballots, &sound, check);
                }
            }
        }
    }

    /// Concludes of each composite from what is concluded of its parts, for each view by itself.
    fn compose(&mut self, now: Duration) {
        let checks = self.panel.checks.len();
        for rulings in &mut self.rulings {
            for (at, rule) in self.panel.composites.iter().enumerate() {
                let of = || rule.parts.of.iter().filter_map(|part| rulings.get(*part as usize));
                let part = |part: u32| {
                    rulings.get(part as usize).map_or(Belief::Unknown, |ruling| ruling.belief)
                };
                let belief = rule.parts.belief(part);
                let serving = count(of().filter(|part| composite::serves(part.belief)).count());
                let lost = of().filter(|part| !part.belief.serves());
                let (downs, reason) = (lost.clone().count(), lost.clone().find_map(|p| p.reason));
                let is_own = of().any(|part| part.is_own);
                let is_remembered = of().all(|part| part.is_remembered);
                let stirred = of().map(|part| part.stirred).max();
                let Some(ruling) = rulings.get_mut(checks + at) else { continue };
                let before = ruling.belief;
                *ruling = Ruling {
                    by_votes: belief,
                    ups: serving,
                    downs: count(downs),
                    reason,
                    is_own,
                    is_remembered,
                    stirred: stirred.unwrap_or(ruling.stirred),
                    ..*ruling
                };
                if belief != before {
                    (ruling.belief, ruling.since) = (belief, now);
                    ruling.held_before = Duration::ZERO;
                }
            }
        }
    }

    /// Fills the ballots; the places of those who have a vote in time.
    fn present(&mut self, now: Duration) -> Vec<usize> {
        let checks = &self.panel.checks;
        let timing =
            |check: usize| checks.get(check).map_or_else(Timing::default, |rule| rule.timing);
        let vantages = self.intake.vantages().iter().zip(&mut self.ballots).enumerate();
        vantages
            .filter_map(|(place, (vantage, ballot))| {
                vantage.vote(ballot, now, timing).then_some(place)
            })
            .collect()
    }

    /// Notes of every vantage why it has no vote.
    fn suspect(&mut self, present: &[usize]) {
        let voters: Vec<Voter<'_>> = present
            .iter()
            .map(|&place| Voter {
                group: self.seats[place].0,
                itself: self.intake.vantages()[place]
                    .heard
                    .map(|heard| heard.itself)
                    .unwrap_or_default(),
                ballot: &self.ballots[place],
            })
            .collect();
        let checks = &self.panel.checks;
        let region = |check: usize| checks.get(check).map_or(0, |rule| rule.region);
        let mut suspicions = quorum::suspicions(&voters, region);
        // Places among voters become places among vantages.
        for suspicion in suspicions.iter_mut().flatten() {
            if let quorum::Suspicion::Contradicted { by, .. } = suspicion {
                *by = present.get(*by).copied().unwrap_or(*by);
            }
        }
        for vantage in self.intake.vantages_mut() {
            vantage.suspicion = None;
        }
        for (&place, suspicion) in present.iter().zip(suspicions) {
            self.intake.vantages_mut()[place].suspicion = suspicion;
        }
    }

    /// What the member behind a check says of itself, as most of those have heard it who heard
    /// anything in time.
    fn says(&self, check: usize, sound: &[usize]) -> Says {
        let heard = sound.iter().map(|place| &self.intake.vantages()[*place]);
        let slots = heard.zip(sound).filter_map(|(vantage, place)| {
            let votes = self.ballots[*place].vote(check) != Vote::Unknown;
            vantage.slots.get(check).filter(|_| votes)
        });
        let mut agents = [0u16; 4];
        let (mut weights, mut loads, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut days = Vec::new();
        for slot in slots {
            if let Some(agent) = slot.agent {
                agents[AGENTS.iter().position(|known| *known == agent).unwrap_or(0)] += 1;
            }
            weights.extend(slot.weight);
            loads.extend(slot.load);
            errors.extend(slot.errors);
            days.extend(slot.certificate_days);
        }
        let most = agents.iter().copied().max().filter(|most| *most > 0);
        let agent = most.and_then(|most| agents.iter().position(|count| *count == most));
        Says {
            agent: agent.map(|place| AGENTS[place]),
            weight: median(weights),
            load: median(loads),
            errors: median(errors),
            certificate_days: median(days),
            warns_below: self.panel.checks.get(check).and_then(|rule| rule.rules.certificate_days),
        }
    }
}

/// Agents' words, what matters more first: it is taken where as many have heard something else.
const AGENTS: [AgentWord; 4] = [AgentWord::Maint, AgentWord::Down, AgentWord::Drain, AgentWord::Up];

fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

fn count(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn keys(panel: &Panel) -> Vec<&str> {
    panel.checks.iter().map(|check| &*check.key).collect()
}

/// Why most of those fail who do.
fn reason(intake: &Intake, ballots: &[Ballot], sound: &[usize], check: usize) -> Option<Reason> {
    let failing = sound.iter().filter(|place| ballots[**place].vote(check) == Vote::Down);
    let vantage = |place: &usize| -> &Vantage { &intake.vantages()[*place] };
    let reasons = failing.filter_map(|place| vantage(place).slots.get(check)?.reason);
    let mut counted: Vec<(u16, Reason)> = Vec::new();
    for reason in reasons {
        match counted.iter_mut().find(|(_, known)| *known == reason) {
            Some((count, _)) => *count += 1,
            None => counted.push((1, reason)),
        }
    }
    counted.sort_by_key(|(count, reason)| (std::cmp::Reverse(*count), *reason));
    counted.first().map(|(_, reason)| *reason)
}

#[cfg(test)]
#[path = "council_tests.rs"]
mod tests;
