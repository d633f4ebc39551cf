//! What steered records answer, pool by pool, from second to second: how much a command would
//! move, and how many answers still live after it.
//!
//! The counters of all records are added up at each look. They are kept by zone and pool, so
//! that reloads do not matter but for the counts of the moment in which one happens.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::region::{AreaId, PoolId};
use crate::snapshot::{Served, Snapshot};
use crate::steer::alive::{Alive, Emptying};
use crate::wire::name::Name;

/// Over how long answers are added up to know what a command would move.
const MINUTE: Duration = Duration::from_secs(60);

/// A pool by its zone and name.
pub type PoolKey = (Box<str>, Box<str>);

/// See the module's text.
#[derive(Debug, Default, Clone)]
pub struct Gauge {
    /// When it looked first.
    began: Option<Duration>,
    /// The counters at the last look, and of which snapshot they are.
    totals: Option<(u64, Arc<Totals>)>,
    /// What was answered between looks of the last minute.
    minute: VecDeque<(Duration, Arc<Counts>)>,
    pools: BTreeMap<PoolKey, Watched>,
}

#[derive(Debug, Default)]
struct Totals {
    /// By pool number and TTL.
    pools: HashMap<(u32, u32), u64>,
    staged: HashMap<Name, u64>,
}

/// Answers between two looks.
#[derive(Debug, Default)]
struct Counts {
    all: u64,
    pools: HashMap<PoolKey, u64>,
    staged: HashMap<Name, u64>,
}

/// One pool.
#[derive(Debug, Default, Clone)]
struct Watched {
    alive: Alive,
    emptying: Option<Emptying>,
    /// The longest TTL it was handed out with, in seconds.
    ttl: u32,
}

/// A pool that clients are no longer sent to, or not by some records.
#[derive(Debug, Clone, PartialEq)]
pub struct Drained {
    /// Its zone and name.
    pub pool: PoolKey,
    /// When it began, in seconds of the process's time.
    pub since: u64,
    /// Answers that lived then.
    pub before: u64,
    /// Answers that live.
    pub alive: u64,
    /// When the last has ended, or will at the latest, in seconds of the process's time.
    pub end: u64,
    /// The last has ended.
    pub is_over: bool,
    /// The process is too young to know of every answer that may live.
    pub is_blind: bool,
}

/// A look at the counters, begun with what was known before. It takes as long as there are records
/// and pools, so it is done on a copy, without the lock of the changes: an order of a person never
/// waits for it, and is judged by the look before.
#[derive(Debug)]
pub struct Look {
    pub(super) before: Arc<Gauge>,
    /// Pools of sides that nobody is on.
    pub(super) idle: HashSet<PoolId>,
}

impl Look {
    /// What is known now.
    pub fn done(self, snapshot: &Snapshot, now: Duration) -> Arc<Gauge> {
        let mut gauge = self.before;
        let is_out = |pool| {
            !super::is_eligible(&snapshot.health, pool, AreaId::WORLD) || self.idle.contains(&pool)
        };
        Arc::make_mut(&mut gauge).look(snapshot, is_out, now);
        gauge
    }
}

/// The name under which a pool is kept.
pub fn key(snapshot: &Snapshot, pool: PoolId) -> Option<PoolKey> {
    let pool = snapshot.pools.get(pool.0 as usize)?;
    Some((pool.origin.to_string().into(), pool.name.clone()))
}

impl Gauge {
    /// Looks at the counters at `now`. `is_out` says to which pools no client is sent.
    pub fn look(&mut self, snapshot: &Snapshot, is_out: impl Fn(PoolId) -> bool, now: Duration) {
        self.began.get_or_insert(now);
        let totals = Totals::of(snapshot);
        let counts = match self.totals.take() {
            Some((generation, before)) if generation == snapshot.generation => {
                self.count(snapshot, &before, &totals, now)
            }
            // Numbers mean other pools now, and records may have come and gone.
            _ => Counts::default(),
        };
        self.minute.push_back((now, Arc::new(counts)));
        while self.minute.front().is_some_and(|(at, _)| *at + MINUTE < now) {
            self.minute.pop_front();
        }
        for (pool, ttl) in totals.pools.keys() {
            if let Some(key) = key(snapshot, PoolId(*pool)) {
                let watched = self.pools.entry(key).or_default();
                watched.ttl = watched.ttl.max(*ttl);
            }
        }
        self.totals = Some((snapshot.generation, Arc::new(totals)));
        self.empty(snapshot, is_out, now.as_secs());
    }

    /// What was answered since `before`; TTLs begin to run.
    fn count(
        &mut self,
        snapshot: &Snapshot,
        before: &Totals,
        totals: &Totals,
        now: Duration,
    ) -> Counts {
        let mut counts = Counts::default();
        for (&(pool, ttl), total) in &totals.pools {
            let answers =
                total.saturating_sub(before.pools.get(&(pool, ttl)).copied().unwrap_or(0));
            let Some(key) = key(snapshot, PoolId(pool)).filter(|_| answers > 0) else { continue };
            counts.all += answers;
            self.pools.entry(key.clone()).or_default().alive.add(answers, ttl, now.as_secs());
            *counts.pools.entry(key).or_default() += answers;
        }
        for (owner, total) in &totals.staged {
            let answers = total.saturating_sub(before.staged.get(owner).copied().unwrap_or(0));
            counts.staged.insert(owner.clone(), answers);
        }
        counts
    }

    /// Follows pools on their way out; forgets those that are gone.
    fn empty(&mut self, snapshot: &Snapshot, is_out: impl Fn(PoolId) -> bool, now: u64) {
        let all = (0..snapshot.pools.len() as u32).map(PoolId);
        let out: HashMap<PoolKey, bool> =
            all.filter_map(|pool| Some((key(snapshot, pool)?, is_out(pool)))).collect();
        self.pools.retain(|key, watched| {
            watched.alive.forget(now);
            out.contains_key(key) || watched.alive.sum() > 0
        });
        for (key, is_out) in out {
            let watched = self.pools.entry(key).or_default();
            watched.emptying = is_out.then(|| match watched.emptying.take() {
                Some(emptying) => emptying.look(&watched.alive, now),
                None => Emptying::begin(&watched.alive, now),
            });
        }
    }

    /// Pools to which no client is sent, at `now`.
    pub fn drained(&self, now: Duration) -> Vec<Drained> {
        let now = now.as_secs();
        let view = |(pool, watched): (&PoolKey, &Watched)| {
            let emptying = watched.emptying.as_ref()?;
            let is_blind = emptying.since < u64::from(watched.ttl);
            let blind_end = if is_blind { u64::from(watched.ttl) } else { 0 };
            let end = emptying.drained.or_else(|| watched.alive.end()).unwrap_or(emptying.since);
            Some(Drained {
                pool: pool.clone(),
                since: emptying.since,
                before: emptying.before,
                alive: watched.alive.sum(),
                end: end.max(blind_end),
                is_over: emptying.drained.is_some() && blind_end <= now,
                is_blind: blind_end > now,
            })
        };
        self.pools.iter().filter_map(view).collect()
    }

    /// True while it has not looked for a minute.
    pub fn is_young(&self, now: Duration) -> bool {
        self.began.is_none_or(|began| now.saturating_sub(began) < MINUTE)
    }

    /// The share of the last minute's answers that some pools gave, in basis points.
    pub fn share_of<'k>(&self, pools: impl Iterator<Item = (&'k PoolKey, f64)>) -> u16 {
        let given = |key: &PoolKey| -> u64 {
            self.minute.iter().filter_map(|(_, counts)| counts.pools.get(key)).sum()
        };
        self.share(pools.map(|(key, part)| given(key) as f64 * part).sum())
    }

    /// The share of the last minute's answers that a staged record gave, in basis points.
    pub fn share_of_record(&self, owner: &Name) -> u16 {
        let counts = self.minute.iter().filter_map(|(_, counts)| counts.staged.get(owner));
        self.share(counts.sum::<u64>() as f64)
    }

    fn share(&self, answers: f64) -> u16 {
        let all: u64 = self.minute.iter().map(|(_, counts)| counts.all).sum();
        if all == 0 { 0 } else { (answers / all as f64 * 10_000.0).round().min(10_000.0) as u16 }
    }
}

impl Totals {
    fn of(snapshot: &Snapshot) -> Self {
        let mut totals = Self::default();
        let mut seen = Vec::new();
        let records = snapshot.catalog.values().flat_map(|Served { records, .. }| records);
        for record in records {
            let ttl = record.plan.ttl.max.seconds();
            seen.clear();
            seen.resize(record.plan.pools.len(), false);
            for site in &record.plan.sites {
                let row = usize::from(site.row);
                if seen.get(row).is_some_and(|seen| !seen) {
                    seen[row] = true;
                    let answers = record.tally.row(row);
                    *totals.pools.entry((site.pool.0, ttl)).or_default() += answers;
                }
            }
        }
        let staged = snapshot.staged.iter();
        totals.staged = staged.map(|of| (of.owner.clone(), of.tally.all())).collect();
        totals
    }
}
