//! When each check is probed: one small task per check, a bound on probes under way.
//!
//! A check's first probe comes at a random moment within its interval, the following ones with
//! ±10 % of jitter, so that probes of many checks spread out. Those a prober begins with are
//! probed as soon as they can be without all coming at once, since somebody may wait for them,
//! and spread out with their second probe. The sink says after each sample
//! whether a change is pending, which makes the next one come sooner. What a sample means is
//! not known here.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::ask::Ask;
use super::monitor::{Check, CheckTarget, Monitor};
use super::trace::Trace;
use crate::health::intake::slow_pause;
use crate::health::sample::{Reason, Sample};
use crate::health::state::{self, Pace, Thresholds};

/// Where samples go.
pub trait Sink: Send + Sync + 'static {
    /// Takes a sample of `check` that ended at `now` (time since the epoch given to
    /// [`Prober::new`]), and says how soon to look again. Must not block.
    fn observe(&self, check: &Check, sample: &Sample, now: Duration) -> Pace;

    /// Takes all that the probe of the next sample has come to. Most want no more than the sample.
    fn account(&self, _check: &Check, _sample: &Sample, _trace: &Trace) {}
}

/// Bounds on probes under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub concurrency: usize,
    /// To one address or name.
    pub per_host: usize,
}

/// What the prober has done so far.
#[derive(Debug, Default)]
pub struct Work {
    /// Probes begun.
    pub probes: AtomicU64,
    /// Probes that waited for others for longer than their interval: the limits are too tight,
    /// and detection takes longer than it should.
    pub late: AtomicU64,
}

/// The prober. Its checks are probed until it is dropped.
#[derive(Debug)]
pub struct Prober<A> {
    shared: Arc<Shared<A>>,
    limits: Limits,
    running: HashMap<Box<str>, Running>,
    tasks: JoinSet<()>,
    global: Arc<Semaphore>,
    hosts: HashMap<Host, Arc<Semaphore>>,
    seed: u64,
    /// No checks have been given yet.
    begins: bool,
}

struct Shared<A> {
    asker: A,
    sink: Arc<dyn Sink>,
    epoch: Instant,
    work: Work,
}

impl<A> std::fmt::Debug for Shared<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("work", &self.work).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Running {
    check: Check,
    task: AbortHandle,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Address(IpAddr),
    Name(Box<str>),
}

impl<A: Ask> Prober<A> {
    /// A prober without checks. `seed` decides phases and jitter.
    pub fn new(
        asker: A,
        sink: Arc<dyn Sink>,
        limits: Limits,
        epoch: std::time::Instant,
        seed: u64,
    ) -> Self {
        let epoch = Instant::from_std(epoch);
        let shared = Shared { asker, sink, epoch, work: Work::default() };
        Self {
            shared: Arc::new(shared),
            limits,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            global: Arc::new(Semaphore::new(limits.concurrency.max(1))),
            hosts: HashMap::new(),
            seed,
            begins: true,
        }
    }

    /// Probes `checks` from here on. A check that is the same as before goes on undisturbed,
    /// one that changed begins anew, one that is gone ends. Other limits begin all anew.
    /// Must be called within a tokio runtime.
    pub fn update(&mut self, checks: &[Check], limits: Limits) {
        while self.tasks.try_join_next().is_some() {}
        self.shared.asker.prepare(checks);
        if limits != self.limits {
            self.limits = limits;
            self.global = Arc::new(Semaphore::new(limits.concurrency.max(1)));
            self.hosts.clear();
            self.running.drain().for_each(|(_, running)| running.task.abort());
        }
        let within = std::mem::take(&mut self.begins).then(|| first_within(checks.len()));
        let mut before = std::mem::take(&mut self.running);
        for check in checks {
            if self.running.contains_key(&check.key) {
                continue;
            }
            let running = match before.remove(&check.key) {
                Some(same) if same.check == *check && !same.task.is_finished() => same,
                Some(changed) => {
                    changed.task.abort();
                    self.start(check, within)
                }
                None => self.start(check, within),
            };
            self.running.insert(check.key.clone(), running);
        }
        for gone in before.into_values() {
            gone.task.abort();
        }
        let hosts: HashSet<Host> = checks.iter().map(|check| Host::of(&check.target)).collect();
        self.hosts.retain(|host, _| hosts.contains(host));
    }

    /// What has been done so far.
    pub fn work(&self) -> &Work {
        &self.shared.work
    }

    fn start(&mut self, check: &Check, within: Option<Duration>) -> Running {
        let host = self.hosts.entry(Host::of(&check.target));
        let per_host = self.limits.per_host.max(1);
        let host = host.or_insert_with(|| Arc::new(Semaphore::new(per_host)));
        let turn = Turn { host: Arc::clone(host), global: Arc::clone(&self.global) };
        let chance = Chance::of(self.seed, &check.key);
        let task = probe_for_ever(Arc::clone(&self.shared), check.clone(), turn, chance, within);
        Running { check: check.clone(), task: self.tasks.spawn(task) }
    }
}

/// Within which the first probes of a prober with `checks` checks begin: a thousand in a second.
fn first_within(checks: usize) -> Duration {
    Duration::from_millis(u64::try_from(checks).unwrap_or(u64::MAX))
}

/// The life of one check; `within`: when its first probe has to begin, where somebody waits.
async fn probe_for_ever<A: Ask>(
    shared: Arc<Shared<A>>,
    check: Check,
    turn: Turn,
    mut chance: Chance,
    within: Option<Duration>,
) {
    let monitor = Arc::clone(&check.monitor);
    let thresholds = monitor.thresholds();
    let first = within.map_or(monitor.interval, |within| within.min(monitor.interval));
    let mut is_hurried = within.is_some();
    let mut due = Instant::now() + first.mul_f64(chance.unit());
    let mut trace = Trace::default();
    let mut failing_since = None;
    loop {
        sleep_until(due).await;
        let Some(permits) = turn.wait().await else { return };
        let started = Instant::now();
        shared.work.probes.fetch_add(1, Ordering::Relaxed);
        if started.saturating_duration_since(due) > monitor.interval {
            shared.work.late.fetch_add(1, Ordering::Relaxed);
        }
        trace.begin();
        let outcome = timeout(monitor.timeout, shared.asker.ask(&check, &mut trace)).await;
        drop(permits);
        let ended = Instant::now();
        let outcome = outcome.unwrap_or(Err(Reason::TimedOut));
        let sample = sample(outcome, ended - started).with(trace.facts);
        let [from, to] = [started, ended].map(|at| at.saturating_duration_since(shared.epoch));
        shared.sink.account(&check, &sample, &trace);
        let pace = shared.sink.observe(&check, &sample, to);
        failing_since = outcome.is_err().then(|| failing_since.unwrap_or(started));
        let wait = state::due(pace, &thresholds, from, to).saturating_sub(to);
        let failing = failing_since.map(|since| ended.saturating_duration_since(since));
        let wait = slowed(wait, pace, failing, &monitor);
        let spread = std::mem::take(&mut is_hurried) && pace == Pace::Steady;
        due = ended + if spread { wait.mul_f64(chance.unit()) } else { chance.jittered(wait) };
    }
}

/// A target that has been failing for long is asked less often.
fn slowed(wait: Duration, pace: Pace, failing: Option<Duration>, monitor: &Monitor) -> Duration {
    match (pace, failing) {
        (Pace::Steady, Some(failing)) => wait.max(slow_pause(failing, monitor.slow_interval)),
        (Pace::Steady, None) | (Pace::Fast, _) => wait,
    }
}

const fn sample(outcome: Result<(), Reason>, latency: Duration) -> Sample {
    match outcome {
        Ok(()) => Sample::success(latency),
        Err(reason) => Sample::failure(reason, latency),
    }
}

/// What a probe waits for before it begins.
struct Turn {
    host: Arc<Semaphore>,
    global: Arc<Semaphore>,
}

impl Turn {
    /// The host comes first, so that who waits for a host does not hold up the others.
    async fn wait(&self) -> Option<[tokio::sync::SemaphorePermit<'_>; 2]> {
        let host = self.host.acquire().await.ok()?;
        Some([host, self.global.acquire().await.ok()?])
    }
}

impl Host {
    fn of(target: &CheckTarget) -> Self {
        match target {
            CheckTarget::Address(address) => Self::Address(address.ip()),
            CheckTarget::Host(name, _) => Self::Name(name.clone()),
        }
    }
}

impl Monitor {
    /// Its part that `health` must know.
    pub const fn thresholds(&self) -> Thresholds {
        Thresholds {
            rise: self.rise,
            fall: self.fall,
            interval: self.interval,
            fast_interval: self.fast_interval,
        }
    }
}

/// Chance for phases and jitter: SplitMix64 (Steele, Lea and Flood 2014), eight octets per
/// check, and the same sequence for the same seed and key.
struct Chance(u64);

impl Chance {
    fn of(seed: u64, key: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, key).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Uniform in 0..1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `wait` ±10 %.
    fn jittered(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(0.9 + 0.2 * self.unit())
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
