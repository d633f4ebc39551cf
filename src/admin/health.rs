//! Health as several vantages see it: who votes, how, and what follows (`/v1/health`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::daemon::Daemon;
use crate::health::council::{Council, Ruling};
use crate::health::intake::{Refusal, Refused, Vantage};
use crate::health::report::{Slot, Vote};
use crate::health::status::{CheckStatus, Status};

/// Everything. Ages are in seconds from the moment of asking.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HealthView {
    /// Every vantage, as configured; empty where the daemon's own prober decides alone.
    pub vantages: Vec<VantageView>,
    /// Every check that is decided over, in the order of the configuration, and behind them
    /// composites.
    pub checks: Vec<CheckView>,
    /// With fewer voters nothing is concluded.
    pub voters_needed: u16,
    /// Checks of which nothing is concluded just now.
    pub held: usize,
    /// Reports of nobody known, by why they were refused.
    pub strangers: BTreeMap<String, u64>,
}

/// One vantage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VantageView {
    /// Its name.
    pub name: String,
    /// Its group: vantages of one are one voice.
    pub group: String,
    /// The area whose clients see what it sees.
    pub area: Option<String>,
    /// True for this node's own prober.
    pub own: bool,
    /// `votes`, `suspect`, `silent`, or `never` where nothing has come yet.
    pub state: String,
    /// Why it has no vote, in words.
    pub why: Option<String>,
    /// How old its newest report is.
    pub age_s: Option<f64>,
    /// The time between its reports.
    pub period_s: Option<f64>,
    /// The revision of the probe set it uses.
    pub set: Option<u64>,
    /// The start and number of its newest report.
    pub boot: Option<u64>,
    /// The number of its newest report since that start.
    pub seq: Option<u64>,
    /// Canaries that answer, and canaries asked.
    pub canaries: (u8, u8),
    /// By how much it runs late, in milliseconds.
    pub lag_ms: u16,
    /// Checks it believes up, and down.
    pub up: u32,
    /// Checks it believes down.
    pub down: u32,
    /// Checks it tells of that this node knows nothing of.
    pub foreign: u32,
    /// Reports let in.
    pub accepted: u64,
    /// Reports that never came.
    pub missed: u64,
    /// Reports refused, by why.
    pub refused: BTreeMap<String, u64>,
}

/// One check, or several together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckView {
    /// `MONITOR@TARGET`.
    pub key: String,
    /// Of a composite: parts that must serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<u16>,
    /// Of a composite: the keys of its parts. Nobody votes on it but on those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// What is believed.
    pub verdict: String,
    /// Why, in words.
    pub why: String,
    /// For how long.
    pub since_s: f64,
    /// Why nothing is concluded just now, in words.
    pub held: Option<String>,
    /// For how long damping holds it down at the least, at the last of the vantages that damp it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damped_s: Option<f64>,
    /// Days until its certificate ends, as most see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_days: Option<i16>,
    /// Votes that count now: up, and down.
    #[serde(default)]
    pub counted: (u16, u16),
    /// Its votes, in the order of the vantages.
    pub votes: Vec<VoteView>,
    /// Areas that see for themselves and otherwise: the verdict there, and why.
    pub areas: BTreeMap<String, (String, String)>,
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VoteView {
    /// `up`, `down` or `unknown`.
    pub vote: String,
    /// For how long, as the vantage tells.
    pub since_s: f64,
    /// How long ago its last probe ended that says something of the target.
    pub age_s: Option<f64>,
    /// For how long damping makes the vantage call it down at the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damped_s: Option<f64>,
    /// The middle of its last latencies.
    pub latency_ms: f64,
    /// Why its last probe failed.
    pub reason: Option<String>,
    /// Days until the certificate ends.
    pub certificate_days: Option<i16>,
    /// What the member says of its load, `0.0..`.
    pub load: Option<f64>,
}

/// Health as the vantages see it.
pub fn view(daemon: &Daemon) -> HealthView {
    let alone = || daemon.health().known().status(daemon.now());
    of_vantages(daemon).unwrap_or_else(|| HealthView::alone(&alone()))
}

/// The same, where there are vantages.
pub(super) fn of_vantages(daemon: &Daemon) -> Option<HealthView> {
    let council = daemon.council();
    council.is_convened().then(|| HealthView::of(&council, daemon.now()))
}

impl HealthView {
    /// What this node's own prober sees, where it decides alone.
    pub fn alone(status: &Status) -> Self {
        Self { checks: status.checks.iter().map(CheckView::alone).collect(), ..Self::default() }
    }

    /// What `council` knows at `now`.
    pub fn of(council: &Council, now: Duration) -> Self {
        let panel = council.panel();
        let vantages = council.intake().vantages();
        let own = panel.own.as_deref();
        Self {
            vantages: vantages
                .iter()
                .map(|vantage| VantageView::of(vantage, vantages, own, now))
                .collect(),
            checks: (0..panel.checks.len() + panel.composites.len())
                .filter_map(|place| CheckView::of(council, place, now))
                .collect(),
            voters_needed: panel.floor.min(u16::try_from(vantages.len()).unwrap_or(u16::MAX)),
            held: council.held(),
            strangers: refused(council.intake().strangers()),
        }
    }
}

impl VantageView {
    fn of(vantage: &Vantage, all: &[Vantage], own: Option<&str>, now: Duration) -> Self {
        let why = vantage.suspicion.map(|suspicion| {
            suspicion.describe(|place| all.get(place).map_or("another", |of| &of.spec.name))
        });
        let heard = vantage.heard;
        let state = match (heard, &why) {
            (None, _) => "never",
            _ if vantage.is_silent(now) => "silent",
            (_, Some(_)) => "suspect",
            (_, None) => "votes",
        };
        let count = |vote| vantage.slots.iter().filter(|slot| slot.belief == vote).count() as u32;
        let itself = heard.map(|heard| heard.itself).unwrap_or_default();
        Self {
            name: vantage.spec.name.to_string(),
            group: vantage.spec.group.to_string(),
            area: vantage.spec.area.as_deref().map(str::to_owned),
            own: own == Some(&*vantage.spec.name),
            state: state.to_owned(),
            why,
            age_s: vantage.age(now).map(|age| age.as_secs_f64()),
            period_s: heard.map(|heard| heard.period.as_secs_f64()),
            set: heard.map(|heard| heard.set),
            boot: heard.map(|heard| heard.boot),
            seq: heard.map(|heard| heard.seq),
            canaries: (itself.canaries_ok, itself.canaries),
            lag_ms: itself.lag_ms,
            up: count(Vote::Up),
            down: count(Vote::Down),
            foreign: heard.map_or(0, |heard| heard.foreign),
            accepted: vantage.accepted,
            missed: vantage.missed,
            refused: refused(&vantage.refused),
        }
    }
}

impl CheckView {
    fn of(council: &Council, place: usize, now: Duration) -> Option<Self> {
        let panel = council.panel();
        let world = council.rulings().first()?.get(place)?;
        let views = panel.areas.iter().zip(council.rulings().get(1..)?).zip(1..);
        let apart = views.filter_map(|((area, rulings), at)| {
            let ruling = rulings.get(place)?;
            let is_apart = ruling.is_own && ruling.belief != world.belief;
            let told = || (ruling.belief.as_str().to_owned(), council.why(at, place));
            is_apart.then(|| (area.to_string(), told()))
        });
        let votes = council.intake().vantages().iter();
        let composite = place.checked_sub(panel.checks.len());
        let composite = composite.and_then(|at| panel.composites.get(at)).map(|of| &of.parts);
        let part = |part: &u32| panel.key(*part as usize).to_owned();
        let mut view = Self {
            key: panel.key(place).to_owned(),
            need: composite.map(|composite| composite.need),
            parts: composite.map(|parts| parts.of.iter().map(part).collect()).unwrap_or_default(),
            verdict: world.belief.as_str().to_owned(),
            why: council.why(0, place),
            since_s: since(world, now),
            held: world.hold.map(|hold| hold.describe()),
            damped_s: None,
            certificate_days: world.says.certificate_days,
            counted: (world.ups, world.downs),
            votes: votes
                .filter_map(|vantage| {
                    let age = vantage.age(now).unwrap_or_default();
                    Some(VoteView::of(vantage.slots.get(place)?, age))
                })
                .collect(),
            areas: apart.collect(),
        };
        let damped = view.votes.iter().filter_map(|vote| vote.damped_s);
        view.damped_s = damped.max_by(f64::total_cmp);
        Some(view)
    }

    /// What this node's own prober sees.
    fn alone(status: &CheckStatus) -> Self {
        Self {
            key: status.key.to_string(),
            need: status.need,
            parts: status.parts.iter().map(|part| part.key.to_string()).collect(),
            verdict: status.state.to_owned(),
            why: status.why.clone(),
            since_s: status.since_s,
            damped_s: status.damped_s,
            certificate_days: status.certificate_days,
            ..Self::default()
        }
    }
}

fn since(ruling: &Ruling, now: Duration) -> f64 {
    (ruling.held_before + now.saturating_sub(ruling.since)).as_secs_f64()
}

impl VoteView {
    fn of(slot: &Slot, age: Duration) -> Self {
        let ago = Duration::from_millis(slot.age_ms.into()) + age;
        Self {
            vote: slot.belief.as_str().to_owned(),
            since_s: (Duration::from_millis(slot.since_ms) + age).as_secs_f64(),
            age_s: (slot.age_ms != u32::MAX).then_some(ago.as_secs_f64()),
            damped_s: {
                let left = Duration::from_millis(slot.damped_ms.into()).saturating_sub(age);
                (!left.is_zero()).then_some(left.as_secs_f64())
            },
            latency_ms: f64::from(slot.latency_us[0]) / 1e3,
            reason: slot.reason.map(|reason| reason.to_string()),
            certificate_days: slot.certificate_days,
            load: slot.load.map(|load| f64::from(load) / 1e3),
        }
    }
}

fn refused(refused: &Refused) -> BTreeMap<String, u64> {
    let counted = Refusal::LABELS.into_iter().zip(refused.0).filter(|(_, count)| *count > 0);
    counted.map(|(label, count)| (label.to_owned(), count)).collect()
}
