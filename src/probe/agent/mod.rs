//! The agent at a vantage: probes what it is told to, and each period tells all it knows.
//!
//! [`Agent`] is a sink of samples with a state for each check, and makes reports of them. [`run`]
//! drives it: it keeps the prober at the newest probe set, asks nodes for one, sends a sealed
//! report each period whether or not anything has changed, and measures how late the machine lets
//! it run. [`desk`] is what it keeps on disk, [`metrics`] what it shows.

pub mod desk;
pub mod metrics;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::ask::Asker;
use super::monitor::{self, Check};
use super::schedule::{Limits, Prober, Sink};
use super::set::ProbeSet;
use super::trace::Trace;
use crate::bus::{Bus, subject};
use crate::health::report::{self, Report, SelfView, Slot, Vote};
use crate::health::sample::Sample;
use crate::health::state::{self, Belief, Pace, State};
use crate::seal::{Kind, PublicKey, SigningKey, open, seal};
use desk::Desk;
use metrics::Shown;

/// Latencies of which the percentiles are told.
const LATENCIES: usize = 64;
/// How often a node is asked for a newer probe set.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long an answer to that may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the machine is watched for being late.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Who an agent is, and whom it believes.
#[derive(Debug)]
pub struct Setup {
    /// The vantage's name.
    pub name: Box<str>,
    /// What its reports are sealed with; none are sent without.
    pub key: Option<SigningKey>,
    /// Nodes whose probe sets are believed, and their keys.
    pub nodes: HashMap<Box<str>, PublicKey>,
    /// Time between two reports.
    pub period: Duration,
    /// Bounds on probes under way.
    pub limits: Limits,
    /// Decides phases and jitter.
    pub seed: u64,
}

/// What an agent knows; shared by the prober, the reports and the metrics.
#[derive(Debug)]
pub struct Agent {
    known: Mutex<Known>,
    /// Reports sent since the start.
    pub(super) sent: AtomicU64,
    /// Probe sets refused since the start.
    pub(super) refused: AtomicU64,
    /// The longest lateness since the last report, in milliseconds.
    lag_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    set: u64,
    checks: HashMap<Box<str>, Seen>,
    /// Keys in the order of the set.
    order: Vec<Box<str>>,
    canaries: Vec<Box<str>>,
    itself: SelfView,
}

/// What is known of one check.
#[derive(Debug)]
pub(super) struct Seen {
    id: u64,
    check: Check,
    state: State,
    latencies: [u32; LATENCIES],
    /// How many of them there are, and where the next one goes.
    filled: usize,
    next: usize,
    shown: Shown,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            lag_ms: AtomicU64::new(0),
        }
    }
}

impl Agent {
    /// Takes a new set. What is known of checks that stay is kept.
    pub fn update(&self, set: &ProbeSet, now: Duration) {
        let mut known = self.lock();
        let mut before = std::mem::take(&mut known.checks);
        for check in set.checks.iter().chain(&set.canaries) {
            let seen = match before.remove(&check.key) {
                Some(seen) => Seen { check: check.clone(), ..seen },
                None => Seen::new(check, now),
            };
            known.checks.insert(check.key.clone(), seen);
        }
        let keys = |checks: &[Check]| checks.iter().map(|check| check.key.clone()).collect();
        known.order = keys(&set.checks);
        known.canaries = keys(&set.canaries);
        known.set = set.revision;
    }

    /// All that is known at `now`, as the report `seq` of `boot`.
    pub fn report(&self, boot: u64, seq: u64, period: Duration, now: Duration) -> Report {
        let lag = self.lag_ms.swap(0, Ordering::Relaxed);
        let mut known = self.lock();
        let is_up =
            |key: &str| known.checks.get(key).is_some_and(|seen| seen.state.belief == Belief::Up);
        let count = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let itself = SelfView {
            canaries: count(known.canaries.len()),
            canaries_ok: count(known.canaries.iter().filter(|key| is_up(key)).count()),
            lag_ms: u16::try_from(lag).unwrap_or(u16::MAX),
        };
        known.itself = itself;
        let slots = known.order.iter().filter_map(|key| known.checks.get(key));
        let slots = slots.map(|seen| seen.slot(now)).collect();
        let set = known.set;
        drop(known);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let period_ms = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
        Report { boot, seq, set, period_ms, wall_ms: millis(wall), itself, slots }
    }

    /// Notes that something ran `late` later than it should.
    pub fn ran_late(&self, late: Duration) {
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        self.lag_ms.fetch_max(late, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Agent {
    fn observe(&self, check: &Check, sample: &Sample, now: Duration) -> Pace {
        let mut known = self.lock();
        let Some(seen) = known.checks.get_mut(&check.key) else { return Pace::Steady };
        let thresholds = seen.check.monitor.thresholds();
        (seen.state, _) = state::step(&seen.state, sample, &thresholds, now);
        seen.latencies[seen.next] = u32::try_from(sample.latency.as_micros()).unwrap_or(u32::MAX);
        seen.next = (seen.next + 1) % LATENCIES;
        seen.filled = (seen.filled + 1).min(LATENCIES);
        state::pace(&seen.state)
    }

    fn account(&self, check: &Check, sample: &Sample, trace: &Trace) {
        let shown = Shown::of(sample, trace);
        if let Some(seen) = self.lock().checks.get_mut(&check.key) {
            seen.shown = shown;
        }
    }
}

impl Seen {
    fn new(check: &Check, now: Duration) -> Self {
        Self {
            id: report::check_id(&check.key),
            check: check.clone(),
            state: State::unknown(now),
            latencies: [0; LATENCIES],
            filled: 0,
            next: 0,
            shown: Shown::default(),
        }
    }

    fn slot(&self, now: Duration) -> Slot {
        let state = &self.state;
        let Some((sample, at)) = state.last else { return Slot::unknown(self.id) };
        let thresholds = self.check.monitor.thresholds();
        let is_pushed = matches!(self.check.monitor.kind, monitor::Kind::Push(_));
        let seen = if is_pushed { Some(at) } else { state.proved_at };
        let damped = state::damped_until(state, &thresholds, now);
        let short = |millis: u64| u32::try_from(millis).unwrap_or(u32::MAX);
        let streak = match state.belief {
            Belief::Down => state.failures,
            // The last three are concluded from several vantages, never by one.
            Belief::Up
            | Belief::Unknown
            | Belief::Degraded
            | Belief::Draining
            | Belief::Maintenance => state.successes,
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let facts = sample.facts;
        Slot {
            check: self.id,
            belief: Vote::from(state.belief),
            streak: u16::try_from(streak).unwrap_or(u16::MAX),
            since_ms: millis(now.saturating_sub(state.since)),
            age_ms: seen.map_or(u32::MAX, |at| short(millis(now.saturating_sub(at)))),
            damped_ms: damped.map_or(0, |until| short(millis(until.saturating_sub(now)))),
            latency_us: self.percentiles(),
            reason: state.last_failure.filter(|_| state.failures > 0),
            certificate_days: facts.certificate_days,
            load: facts.load,
            errors: facts.errors,
            weight: facts.weight,
            agent: facts.agent,
        }
    }

    fn percentiles(&self) -> [u32; 3] {
        let mut sorted = self.latencies;
        let sorted = &mut sorted[..self.filled];
        sorted.sort_unstable();
        [50, 90, 99].map(|percent| {
            let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(at).copied().unwrap_or(0)
        })
    }
}

/// Drives `agent` until dropped. `set` is what it begins with: a file's, or what it remembers.
pub async fn run(
    agent: Arc<Agent>,
    asker: Asker,
    setup: Setup,
    set: ProbeSet,
    desk: Desk,
    bus: Option<Arc<dyn Bus>>,
) {
    let begun = Instant::now();
    let sink = Arc::clone(&agent) as Arc<dyn Sink>;
    let mut prober = Prober::new(asker, sink, setup.limits, begun.into_std(), setup.seed);
    agent.update(&set, Duration::ZERO);
    prober.update(&all(&set), setup.limits);
    let (mut revision, own) = (set.revision, set);
    let _watch = Task(tokio::spawn(watch(Arc::clone(&agent))));
    let mut period = interval(setup.period);
    // A report that is late is not made up for: the next one says it all.
    period.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut seq = 0;
    let mut asked = Instant::now() - ASK_EVERY;
    loop {
        period.tick().await;
        if let (Some(bus), Some(key)) = (&bus, &setup.key) {
            seq += 1;
            let report = agent.report(desk.boot(), seq, setup.period, begun.elapsed());
            match report.encode() {
                Ok(octets) => {
                    let sealed = seal(key, Kind::Report, &setup.name, &octets);
                    bus.publish(&subject::of(subject::HEALTH, &setup.name), sealed.into());
                    agent.sent.fetch_add(1, Ordering::Relaxed);
                }
                Err(fault) => tracing::error!("the report cannot be sent: {fault}"),
            }
        }
        let Some(bus) = bus.as_ref().filter(|_| !setup.nodes.is_empty()) else { continue };
        if asked.elapsed() < ASK_EVERY {
            continue;
        }
        asked = Instant::now();
        let newer = newer(&agent, &**bus, &setup, revision).await;
        let Some((sealed, set)) = newer else { continue };
        tracing::info!("probe set {}: {} checks", set.revision, set.checks.len());
        if let Err(error) = desk.keep(&sealed) {
            tracing::warn!("the probe set is not remembered: {error}");
        }
        let set = set.with_canaries_of(&own);
        revision = set.revision;
        agent.update(&set, begun.elapsed());
        prober.update(&all(&set), setup.limits);
    }
}

/// A set newer than `revision`, with its octets, where a node has one.
async fn newer(
    agent: &Agent,
    bus: &dyn Bus,
    setup: &Setup,
    revision: u64,
) -> Option<(Bytes, ProbeSet)> {
    let subject = subject::of(subject::PROBESET, &setup.name);
    let known = Bytes::copy_from_slice(&revision.to_le_bytes());
    let answer = bus.request(&subject, known, ASK_TIMEOUT).await.ok()?;
    if answer.is_empty() {
        return None;
    }
    match believed(&answer, &setup.nodes) {
        Ok(set) if set.revision > revision => Some((answer, set)),
        Ok(_) => None,
        Err(why) => {
            // Once in the log; the counter goes on.
            if agent.refused.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!("a probe set was refused: {why}");
            }
            None
        }
    }
}

/// The probe set in a sealed envelope of one of `nodes`.
///
/// # Errors
/// Why it is not believed, in words.
pub fn believed(envelope: &[u8], nodes: &HashMap<Box<str>, PublicKey>) -> Result<ProbeSet, String> {
    let key_of = |signer: &str| nodes.get(signer).copied();
    let opened = open(envelope, Kind::ProbeSet, key_of).map_err(|fault| fault.to_string())?;
    ProbeSet::decode(opened.payload).map_err(|fault| fault.to_string())
}

fn all(set: &ProbeSet) -> Vec<Check> {
    set.checks.iter().chain(&set.canaries).cloned().collect()
}

/// Measures how much later than it should this runs.
async fn watch(agent: Arc<Agent>) {
    loop {
        let due = Instant::now() + WATCH_EVERY;
        sleep(WATCH_EVERY).await;
        agent.ran_late(Instant::now().saturating_duration_since(due));
    }
}

/// A task that ends with whoever began it.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::sample::Reason;
    use crate::probe::monitor::{CheckTarget, Kind, Monitor, Tcp, Way};

    const SECOND: Duration = Duration::from_secs(1);

    fn seen() -> Seen {
        let monitor = Monitor {
            name: "port".into(),
            kind: Kind::Tcp(Tcp::default()),
            port: 25,
            interval: SECOND,
            fast_interval: SECOND,
            slow_interval: SECOND,
            timeout: SECOND,
            rise: 2,
            fall: 1,
            way: Way::default(),
        };
        let target = CheckTarget::Address(([192, 0, 2, 1], 25).into());
        let check = Check { key: "port@192.0.2.1:25".into(), monitor: Arc::new(monitor), target };
        Seen::new(&check, Duration::ZERO)
    }

    /// Lets samples come a second apart: `u` succeeds, `d` fails, `x` fails here.
    fn probe(seen: &mut Seen, samples: &str, begin: u32) {
        let thresholds = seen.check.monitor.thresholds();
        for (at, sample) in (begin..).zip(samples.chars()) {
            let sample = match sample {
                'u' => Sample::success(Duration::ZERO),
                'd' => Sample::failure(Reason::Refused, Duration::ZERO),
                _ => Sample::failure(Reason::Local, Duration::ZERO),
            };
            (seen.state, _) = state::step(&seen.state, &sample, &thresholds, at * SECOND);
        }
    }

    #[test]
    fn a_report_tells_for_how_long_damping_holds_a_target_down() {
        let mut seen = seen();
        probe(&mut seen, "ud", 1);
        assert_eq!(seen.slot(2 * SECOND).damped_ms, 0, "the first fall is no flap");
        probe(&mut seen, "uud", 3);
        // Twice as many successes as usual: four, a second apart.
        assert_eq!(seen.slot(5 * SECOND).damped_ms, 4_000);
        probe(&mut seen, "uu", 6);
        assert_eq!(seen.slot(7 * SECOND).damped_ms, 2_000);
        probe(&mut seen, "uu", 8);
        assert_eq!((seen.slot(9 * SECOND).damped_ms, seen.state.belief), (0, Belief::Up));
    }

    #[test]
    fn a_machine_that_cannot_probe_has_seen_nothing_lately() {
        let mut seen = seen();
        probe(&mut seen, "uxxx", 1);
        let slot = seen.slot(4 * SECOND);
        assert_eq!((slot.belief, slot.age_ms), (Vote::Up, 3_000));
    }
}
