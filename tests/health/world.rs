//! A world on a virtual clock: targets that live and die, a keeper that watches them, and
//! probes that take as long as they would.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use meridian::health::keeper::{CheckSpec, Event, Keeper, Plan};
use meridian::health::overrides::Override;
use meridian::health::persist::Memory;
use meridian::health::sample::{Reason, Sample};
use meridian::health::state::{self, Pace, Thresholds};
use meridian::health::table::PoolWord;
use meridian::health::verdict::{MemberSpec, PoolSpec};
use meridian::region::{AreaId, Ease, Family, PoolId};

/// How a target answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Serves,
    Refuses,
    BlackHole,
}

/// The monitor of every check of a world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    pub(crate) thresholds: Thresholds,
    pub(crate) timeout: Duration,
}

pub(crate) const DEFAULT: Profile = Profile {
    thresholds: Thresholds {
        rise: 3,
        fall: 3,
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_millis(500),
    },
    timeout: Duration::from_millis(1500),
};

pub(crate) const FAST: Profile = Profile {
    thresholds: Thresholds {
        rise: 2,
        fall: 2,
        interval: Duration::from_secs(1),
        fast_interval: Duration::from_millis(250),
    },
    timeout: Duration::from_millis(500),
};

const LATENCY: Duration = Duration::from_millis(1);

pub(crate) struct World {
    pub(crate) keeper: Keeper,
    pub(crate) now: Duration,
    pub(crate) log: Vec<(Duration, Event)>,
    profile: Profile,
    /// Each wait is this times as long as it should be.
    stretch: f64,
    lives: BTreeMap<String, Life>,
    /// Probes under way, by their end.
    under_way: BinaryHeap<Reverse<UnderWay>>,
    /// Probes to come.
    due: BTreeMap<String, Duration>,
}

/// When it ends, of which target, how, and how long it takes.
type UnderWay = (Duration, String, Option<Reason>, Duration);

/// The key of the check of `target`.
pub(crate) fn key(target: &str) -> String {
    format!("web@{target}")
}

/// A plan of pools that have one IPv4 member each, named as the pool.
pub(crate) fn plan(pools: &[&str], profile: Profile) -> Plan {
    let check = |name: &&str| CheckSpec::new(key(name).into(), profile.thresholds);
    let pool = |(check, name): (u32, &&str)| PoolSpec {
        name: (*name).into(),
        origin: "example.org.".into(),
        region: (*name).into(),
        members: vec![MemberSpec {
            name: (*name).into(),
            family: Some(Family::V4),
            place: 0,
            weight: 1,
            check: Some(check),
            names: None,
        }],
        ease: Ease::default(),
        needs: Vec::new(),
    };
    Plan {
        checks: pools.iter().map(check).collect(),
        pools: (0u32..).zip(pools).map(pool).collect(),
        ..Plan::default()
    }
}

impl World {
    /// Pools that ease their clients in and out.
    pub(crate) fn easing(pools: &[&str], profile: Profile, ease: Ease) -> Self {
        let mut world = Self::new(pools, profile);
        let mut plan = plan(pools, profile);
        plan.pools.iter_mut().for_each(|pool| pool.ease = ease);
        world.keeper = Keeper::new(plan, &Memory::new(), Vec::new(), Duration::ZERO);
        world
    }

    /// Pools of any plan over the checks of `targets`.
    pub(crate) fn of(plan: Plan, targets: &[&str], profile: Profile) -> Self {
        let mut world = Self::new(targets, profile);
        world.keeper = Keeper::new(plan, &Memory::new(), Vec::new(), Duration::ZERO);
        world
    }

    pub(crate) fn new(pools: &[&str], profile: Profile) -> Self {
        Self::remembering(pools, profile, &Memory::new(), Vec::new())
    }

    pub(crate) fn remembering(
        pools: &[&str],
        profile: Profile,
        memory: &Memory,
        overrides: Vec<Override>,
    ) -> Self {
        let keeper = Keeper::new(plan(pools, profile), memory, overrides, Duration::ZERO);
        let at = |name: &&str| ((*name).to_owned(), profile.thresholds.interval / 2);
        Self {
            keeper,
            now: Duration::ZERO,
            log: Vec::new(),
            profile,
            stretch: 1.0,
            lives: pools.iter().map(|name| ((*name).to_owned(), Life::Serves)).collect(),
            under_way: BinaryHeap::new(),
            due: pools.iter().map(at).collect(),
        }
    }

    /// Every wait is as long as jitter may make it.
    pub(crate) fn at_worst(mut self) -> Self {
        self.stretch = 1.1;
        self
    }

    pub(crate) fn becomes(&mut self, target: &str, life: Life) {
        self.lives.insert(target.to_owned(), life);
    }

    /// A reload: other pools, the same clock.
    pub(crate) fn reload(&mut self, pools: &[&str]) {
        let events = self.keeper.rebuild(plan(pools, self.profile), self.now);
        self.note(events);
        self.due.retain(|name, _| pools.contains(&name.as_str()));
        for name in pools {
            let under_way = self.under_way.iter().any(|Reverse((_, of, ..))| of == name);
            if !self.due.contains_key(*name) && !under_way {
                self.due.insert((*name).to_owned(), self.now + self.profile.thresholds.interval);
            }
            self.lives.entry((*name).to_owned()).or_insert(Life::Serves);
        }
    }

    pub(crate) fn run_until(&mut self, seconds: f64) {
        let end = Duration::from_secs_f64(seconds);
        while self.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Runs until the pool at `pool` is eligible or not, and says when that was.
    pub(crate) fn run_until_eligible(&mut self, pool: u32, eligible: bool) -> Duration {
        for _ in 0..1_000_000 {
            if self.word(pool).is_eligible() == eligible {
                return self.now;
            }
            self.step();
        }
        panic!("pool {pool} never became eligible = {eligible}");
    }

    pub(crate) fn word(&self, pool: u32) -> PoolWord {
        self.keeper.table().word(PoolId(pool), Family::V4, AreaId::WORLD)
    }

    pub(crate) fn note(&mut self, events: Vec<Event>) {
        let now = self.now;
        self.log.extend(events.into_iter().map(|event| (now, event)));
    }

    /// What was said of pools, as `12.0 fra down: why`.
    pub(crate) fn told(&self) -> Vec<String> {
        let line = |(at, event): &(Duration, Event)| match event {
            Event::Pool { name, to, why, .. } => {
                Some(format!("{:.1} {name} {}: {why}", at.as_secs_f64(), to.as_str()))
            }
            Event::Check { .. } | Event::Override { .. } => None,
        };
        self.log.iter().filter_map(line).collect()
    }

    fn next(&self) -> Option<Duration> {
        let begins = self.due.values().min().copied();
        let ends = self.under_way.peek().map(|Reverse((at, ..))| *at);
        begins.into_iter().chain(ends).min()
    }

    fn step(&mut self) {
        self.now = self.next().expect("something is always due");
        if self.under_way.peek().is_some_and(|Reverse((at, ..))| *at == self.now) {
            self.end();
        } else {
            self.begin();
        }
    }

    fn begin(&mut self) {
        let due = self.due.iter().find(|(_, at)| **at == self.now);
        let name = due.expect("one is due").0.clone();
        self.due.remove(&name);
        let (takes, reason) = match self.lives[&name] {
            Life::Serves => (LATENCY, None),
            Life::Refuses => (LATENCY, Some(Reason::Refused)),
            Life::BlackHole => (self.profile.timeout, Some(Reason::TimedOut)),
        };
        self.under_way.push(Reverse((self.now + takes, name, reason, takes)));
    }

    fn end(&mut self) {
        let Some(Reverse((_, name, reason, takes))) = self.under_way.pop() else { return };
        let sample = match reason {
            None => Sample::success(takes),
            Some(reason) => Sample::failure(reason, takes),
        };
        let (pace, events) = self.keeper.observe(&key(&name), &sample, self.now);
        self.note(events);
        self.due.insert(name, self.next_due(pace, takes));
    }

    fn next_due(&self, pace: Pace, took: Duration) -> Duration {
        let due = state::due(pace, &self.profile.thresholds, self.now - took, self.now);
        self.now + (due - self.now).mul_f64(self.stretch)
    }
}
