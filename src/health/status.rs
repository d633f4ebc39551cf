//! What health looks like to a person or a program: every check, every pool, and why.
//!
//! Made on request from a copy of what the keeper knows; the API serves it as JSON, `explain` puts it in words.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::composite::Composite;
use super::council::Ruling;
use super::keeper::{CheckSpec, Held, Known};
use super::kept::Kept;
use super::overrides::Override;
use super::sample::Outcome;
use super::says::Says;
use super::state::{self, Belief};
use super::table::{PoolWord, Verdict};
use super::verdict::{MemberSpec, PoolSpec};
use crate::region::{AreaId, Family, PoolId};

/// Health as a whole. Ages and times to come are in seconds from the moment of asking.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Every check, in the plan's order.
    pub checks: Vec<CheckStatus>,
    /// Every pool and family that has members, in the plan's order.
    pub pools: Vec<PoolStatus>,
    /// Overrides in force.
    pub overrides: Vec<Override>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckStatus {
    /// `MONITOR@TARGET`.
    pub key: Box<str>,
    /// `unknown`, `up` or `down`.
    pub state: &'static str,
    /// For how long, downtime of the daemon included.
    pub since_s: f64,
    /// True while this is what was read from disk and no probe has ended yet.
    pub remembered: bool,
    /// Failures counted towards `fall`.
    pub failures: u32,
    /// Failures that take it down.
    pub fall: u8,
    /// Successes in a row.
    pub successes: u32,
    /// Successes in a row that bring it up, damping included.
    pub rise: u32,
    /// How the last probe ended, in words; `None` before the first.
    pub last: Option<String>,
    /// How long ago the last probe ended.
    pub last_s: Option<f64>,
    /// How long the last probe took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The latest time to the next probe, jitter aside; 0 when it is under way or awaited.
    pub next_s: f64,
    /// The least time for which damping holds it down.
    pub damped_s: Option<f64>,
    /// Days until its certificate ends, where it shows one.
    pub certificate_days: Option<i16>,
    /// Why it is in this state, in words.
    pub why: String,
    /// Probes by how they ended; what never happened is left out.
    pub results: BTreeMap<&'static str, u64>,
    /// Of a composite: parts that must serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need: Option<u16>,
    /// Of a composite: its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartStatus>,
}

/// A part of a composite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartStatus {
    /// Its key.
    pub key: Box<str>,
    /// What is believed of it.
    pub state: &'static str,
}

/// One pool in one family.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub pool: Box<str>,
    /// Its zone.
    pub zone: Box<str>,
    /// Its region.
    pub region: Box<str>,
    /// `ipv4`, `ipv6`, or `both` for a pool that hands over by name.
    pub family: &'static str,
    /// The verdict's word.
    pub verdict: &'static str,
    /// True when clients are sent there.
    pub eligible: bool,
    /// For how long this has been the verdict, as far as the process knows.
    pub since_s: f64,
    /// The share of its clients it takes, `0.0..1.0`, where that is not all.
    #[serde(default)]
    pub keeps: Option<f64>,
    /// Members that clients are sent to.
    pub live: u32,
    /// Its members.
    pub members: Vec<MemberStatus>,
    /// Why, in words.
    pub why: String,
    /// By name, the areas for whose clients it is otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub areas: BTreeMap<Box<str>, AreaStatus>,
}

/// What one pool in one family is for the clients of one area.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AreaStatus {
    /// The verdict's word.
    pub verdict: &'static str,
    /// True when these clients are sent there.
    pub eligible: bool,
    /// For how long this has been the verdict, as far as the process knows.
    pub since_s: f64,
    /// The share of these clients it takes, `0.0..1.0`, where that is not all.
    pub keeps: Option<f64>,
    /// Members that these clients are sent to.
    pub live: u32,
    /// Why, in words.
    pub why: String,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberStatus {
    /// Its address, or the name handed out.
    pub member: Box<str>,
    /// The key of its check; `None` when nothing checks it.
    pub check: Option<Box<str>>,
    /// The verdict's word, the pool's order aside.
    pub verdict: &'static str,
    /// Why, in words.
    pub why: String,
}

/// Members named in a pool's reason; the rest are counted.
const NAMED_MAX: usize = 3;

impl Known {
    /// Health at `now`.
    pub fn status(&self, now: Duration) -> Status {
        let (checks, pools) = (self.specs.iter().zip(&self.checks), self.judge.pools());
        Status {
            checks: checks
                .enumerate()
                .map(|(place, (spec, kept))| self.check_status(place, kept.status(spec, now), now))
                .collect(),
            pools: pools.flat_map(|(id, spec)| self.pool_status(id, spec, now)).collect(),
            overrides: self.overrides.clone(),
        }
    }

    /// Why a pool is what it is for a family and the clients of an area, in words.
    pub fn why(&self, pool: PoolId, family: Family, area: AreaId) -> String {
        if let Some(order) = self.judge.order_over(pool, area).and_then(|at| self.overrides.get(at))
        {
            return order.describe();
        }
        let Some(spec) = self.judge.pool(pool) else { return "no such pool".to_owned() };
        if let Some(need) = self.judge.lacking(pool, area).and_then(|need| self.judge.pool(need)) {
            return format!("down, for it needs pool {}, which serves nobody", need.name);
        }
        let members: Vec<_> = self.members_of(pool, spec, (family, area)).collect();
        if let [only] = &members[..] {
            return only.why.clone();
        }
        let (live, out): (Vec<_>, Vec<_>) = members.iter().partition(|member| member.eligible);
        let mut why = format!("{} of {} members live", live.len(), members.len());
        for (at, member) in out.iter().take(NAMED_MAX).enumerate() {
            let before = if at == 0 { ": " } else { "; " };
            why.push_str(&format!("{before}{} {}", member.name, member.why));
        }
        if out.len() > NAMED_MAX {
            why.push_str(&format!("; and {} more", out.len() - NAMED_MAX));
        }
        why
    }

    /// Why what is believed of the check at `place` for the clients of an area is, in words.
    pub(super) fn why_check(&self, place: usize, area: AreaId) -> String {
        let (Some(spec), Some(kept)) = (self.specs.get(place), self.checks.get(place)) else {
            return "not checked yet".to_owned();
        };
        let Some(parts) = &spec.parts else {
            let ruling = self.ruling(place, area);
            return ruling.map_or_else(|| kept.why(spec), Ruling::describe);
        };
        parts.describe(self.belief(place as u32, area), |part| {
            let key = self.specs.get(part as usize).map_or("", |spec| &*spec.key);
            (key, self.belief(part, area), self.why_check(part as usize, area))
        })
    }

    /// What several vantages have concluded of the check at `place` for the clients of an area.
    fn ruling(&self, place: usize, area: AreaId) -> Option<&Ruling> {
        let view = self.rulings.get(usize::from(area.0)).or_else(|| self.rulings.first());
        view.and_then(|view| view.get(place))
    }

    /// What the vantages say stands over what the daemon's own prober sees.
    fn check_status(&self, place: usize, own: CheckStatus, now: Duration) -> CheckStatus {
        let parts = self.specs.get(place).and_then(|spec| spec.parts.as_ref());
        let own = match parts {
            None => own,
            Some(parts) => self.composite_status(place, parts, own),
        };
        let Some(ruling) = self.ruling(place, AreaId::WORLD) else { return own };
        CheckStatus {
            state: ruling.belief.as_str(),
            since_s: (ruling.held_before + now.saturating_sub(ruling.since)).as_secs_f64(),
            remembered: ruling.is_remembered && ruling.by_votes != Belief::Unknown,
            why: if parts.is_some() { own.why } else { ruling.describe() },
            certificate_days: ruling.says.certificate_days,
            ..own
        }
    }

    fn composite_status(&self, place: usize, parts: &Composite, own: CheckStatus) -> CheckStatus {
        let part = |part: &u32| {
            let spec = self.specs.get(*part as usize)?;
            let state = self.belief(*part, AreaId::WORLD).as_str();
            Some(PartStatus { key: spec.key.clone(), state })
        };
        CheckStatus {
            next_s: 0.0,
            why: self.why_check(place, AreaId::WORLD),
            need: Some(parts.need),
            parts: parts.of.iter().filter_map(part).collect(),
            ..own
        }
    }

    /// What the members of a pool that serve say of their load and their errors, as parts of what
    /// they can do and of what they answer, by their weights; `None` where nobody has said it
    /// lately.
    pub fn load_of(&self, pool: PoolId, now: Duration) -> (Option<f64>, Option<f64>) {
        let members = self.judge.pool(pool).map_or(&[][..], |spec| &spec.members);
        let (mut load, mut errors) = ((0.0, 0.0), (0.0, 0.0));
        for member in members {
            let Some(says) = member.check.and_then(|check| self.says(check as usize, now)) else {
                continue;
            };
            let weight = f64::from(member.weight.max(1));
            for (said, (sum, of)) in [(says.load, &mut load), (says.errors, &mut errors)] {
                if let Some(said) = said {
                    *sum += weight * f64::from(said) / 1e3;
                    *of += weight;
                }
            }
        }
        let mean = |(sum, of): (f64, f64)| (of > 0.0).then(|| sum / of);
        (mean(load), mean(errors))
    }

    /// What the member behind a check says of itself, if it serves.
    fn says(&self, check: usize, now: Duration) -> Option<Says> {
        if let Some(ruling) = self.rulings.first().and_then(|world| world.get(check)) {
            return (ruling.by_votes.serves() && ruling.hold.is_none()).then_some(ruling.says);
        }
        let (kept, spec) = (self.checks.get(check)?, self.specs.get(check)?);
        let (_, at) = kept.state.last?;
        let is_fresh = now.saturating_sub(at) <= 3 * spec.thresholds.interval;
        (kept.state.belief.serves() && is_fresh).then_some(kept.says)
    }

    fn pool_status(&self, id: PoolId, spec: &PoolSpec, now: Duration) -> Vec<PoolStatus> {
        let of = |family| spec.members.iter().any(|member| member.family == family);
        let families = if of(None) {
            vec![(Family::V4, "both")]
        } else {
            let both = [(Family::V4, "ipv4"), (Family::V6, "ipv6")];
            both.into_iter().filter(|(family, _)| of(Some(*family))).collect()
        };
        let status = |(family, word)| self.family_status(id, spec, family, word, now);
        families.into_iter().map(status).collect()
    }

    fn family_status(
        &self,
        id: PoolId,
        spec: &PoolSpec,
        family: Family,
        family_word: &'static str,
        now: Duration,
    ) -> PoolStatus {
        let Held { word, since, .. } = self.held(id, family, AreaId::WORLD);
        let members =
            self.members_of(id, spec, (family, AreaId::WORLD)).map(|member| MemberStatus {
                member: member.name.into(),
                check: member.check.map(|spec| spec.key.clone()),
                verdict: member.verdict.as_str(),
                why: member.why,
            });
        PoolStatus {
            pool: spec.name.clone(),
            zone: spec.origin.clone(),
            region: spec.region.clone(),
            family: family_word,
            verdict: word.verdict().as_str(),
            eligible: word.is_eligible(),
            since_s: now.saturating_sub(since).as_secs_f64(),
            keeps: keeps(word),
            live: word.live().count_ones(),
            members: members.collect(),
            why: self.why(id, family, AreaId::WORLD),
            areas: self.areas_status(id, family, word, now),
        }
    }

    /// By name, the areas for whose clients a pool is not what it is for the world.
    fn areas_status(
        &self,
        id: PoolId,
        family: Family,
        world: PoolWord,
        now: Duration,
    ) -> BTreeMap<Box<str>, AreaStatus> {
        let areas = self.judge.areas().iter().zip((1..).map(AreaId));
        let held = areas.map(|(name, area)| (name, area, self.held(id, family, area)));
        let apart = held
            .filter(|(_, _, held)| !held.word.is_alike(world) || held.word.keep() != world.keep());
        apart
            .map(|(name, area, Held { word, since, .. })| {
                let status = AreaStatus {
                    verdict: word.verdict().as_str(),
                    eligible: word.is_eligible(),
                    since_s: now.saturating_sub(since).as_secs_f64(),
                    keeps: keeps(word),
                    live: word.live().count_ones(),
                    why: self.why(id, family, area),
                };
                (name.clone(), status)
            })
            .collect()
    }

    fn held(&self, pool: PoolId, family: Family, area: AreaId) -> Held {
        let families = self.words[usize::from(area.0)][pool.0 as usize];
        families[usize::from(family == Family::V6)]
    }

    fn members_of<'a>(
        &'a self,
        pool: PoolId,
        spec: &'a PoolSpec,
        (family, area): (Family, AreaId),
    ) -> impl Iterator<Item = MemberView<'a>> {
        let members = spec.members.iter().enumerate();
        let of_family = move |of: Option<Family>| of.is_none_or(|of| of == family);
        let of_family = members.filter(move |(_, member)| of_family(member.family));
        of_family.map(move |(at, member)| self.member_view((pool, area), at, member))
    }

    fn member_view<'a>(
        &'a self,
        (pool, area): (PoolId, AreaId),
        at: usize,
        spec: &'a MemberSpec,
    ) -> MemberView<'a> {
        let verdict = self.judge.member(pool, at, area, |check, area| self.belief(check, area));
        let verdict = verdict.unwrap_or(Verdict::Unknown);
        let check = spec.deciding(|check| self.belief(check, area)).and_then(|check| {
            let check = check as usize;
            let known = self.specs.get(check).zip(self.checks.get(check));
            known.map(|(spec, _)| (check, spec))
        });
        let order =
            self.judge.order_over_member(pool, at, area).and_then(|at| self.overrides.get(at));
        let why = match (order, check) {
            (Some(order), _) => order.describe(),
            (None, Some((place, _))) => self.why_check(place, area),
            (None, None) => "nothing checks it".to_owned(),
        };
        let check = check.map(|(_, spec)| spec);
        MemberView { name: &spec.name, check, verdict, eligible: verdict.is_eligible(), why }
    }
}

/// The share of its clients that an eligible pool takes, where that is not all.
fn keeps(word: PoolWord) -> Option<f64> {
    let is_partial = word.is_eligible() && !word.is_whole();
    is_partial.then(|| f64::from(word.keep()) / f64::from(PoolWord::KEEP_ALL))
}

struct MemberView<'a> {
    name: &'a str,
    check: Option<&'a CheckSpec>,
    verdict: Verdict,
    eligible: bool,
    why: String,
}

impl Kept {
    fn status(&self, spec: &CheckSpec, now: Duration) -> CheckStatus {
        let Self { state, counts, .. } = self;
        let last = state.last.map(|(sample, _)| sample);
        let last_at = state.last.map(|(_, at)| at);
        let pace = state::pace(state);
        let next = last.zip(last_at).map(|(sample, at)| {
            let started = at.saturating_sub(sample.latency);
            state::due(pace, &spec.thresholds, started, at)
        });
        let ahead = |at: Duration| at.saturating_sub(now).as_secs_f64();
        let results = Outcome::LABELS.into_iter().zip(*counts).filter(|(_, count)| *count > 0);
        CheckStatus {
            key: spec.key.clone(),
            state: self.belief().as_str(),
            since_s: (state.held_before + now.saturating_sub(state.since)).as_secs_f64(),
            remembered: state.remembered,
            failures: state.failures,
            fall: spec.thresholds.fall,
            successes: state.successes,
            rise: state::rise_needed(state, &spec.thresholds, now),
            last: last.map(|sample| sample.outcome.to_string()),
            last_s: last_at.map(|at| now.saturating_sub(at).as_secs_f64()),
            latency_ms: last.map(|sample| sample.latency.as_secs_f64() * 1e3),
            next_s: next.map_or(spec.thresholds.interval.as_secs_f64(), ahead),
            damped_s: state::damped_until(state, &spec.thresholds, now).map(ahead),
            certificate_days: self.says.certificate_days,
            why: self.why(spec),
            results: results.collect(),
            need: None,
            parts: Vec::new(),
        }
    }

    /// Why the check believes what it does, in words.
    fn why(&self, spec: &CheckSpec) -> String {
        let state = &self.state;
        let mut why = match (state.belief, state.failures) {
            (Belief::Unknown, 0) => "not checked yet".to_owned(),
            (Belief::Up, 0) => "up".to_owned(),
            (belief, 0) => belief.as_str().to_owned(),
            (Belief::Down, 1) => "down after 1 failure".to_owned(),
            (Belief::Down, failures) => format!("down after {failures} failures"),
            (belief, failures) => {
                let fall = spec.thresholds.fall;
                format!("{}, {failures} of {fall} failures", belief.as_str())
            }
        };
        if let Some(reason) = state.last_failure.filter(|_| state.failures > 0) {
            why.push_str(&format!(": {reason}"));
        }
        let says = self.says.describe();
        if !says.is_empty() {
            why.push_str(&format!("; {says}"));
        }
        if state.remembered {
            why.push_str(", as remembered from before the start");
        }
        why
    }
}
