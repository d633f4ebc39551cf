//! The steward: turns the dials of records as time passes and health changes.
//!
//! It looks once a second, at once on every event of health, and at each snapshot before it is
//! published. What it knows it knows by name, so that a reload takes nothing back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Daemon;
use crate::health::table::{HealthTable, Verdict};
use crate::health::verdict::same_name;
use crate::region::{AreaId, Family, PoolId};
use crate::snapshot::Snapshot;
use crate::steer::bound::Bound;
use crate::steer::dials::ALL;
use crate::steer::failback::{Life, Return, Way};
use crate::steer::heavy::{Census, Heavy, Network};
use crate::steer::record::{Record, Rule};
use crate::steer::tally::Reason;
use crate::wire::name::Name;

/// How often.
const TICK: Duration = Duration::from_secs(1);
/// How often bounded loads are looked at.
const BOUNDED: Duration = Duration::from_secs(10);

/// What moves in a snapshot, and what is known of it.
#[derive(Debug, Default)]
pub struct Steward {
    /// The pools whose way back is of interest.
    pools: Vec<Watched>,
    /// Their places in `pools`.
    places: HashMap<PoolId, usize>,
    /// The snapshot that all of this is of.
    generation: Option<u64>,
    /// Who brings most of the queries.
    heavy: Option<Arc<Heavy>>,
    census: Census,
    /// By steered name and rule.
    bounds: HashMap<(Name, usize), Bound>,
    /// When bounds were last looked at.
    bounded_at: Duration,
    /// Pools that were coming back when the process before ended.
    returned: Vec<Returned>,
    /// Records with dials: zone by its place in the catalog, record by its place in the zone.
    dialled: Vec<(usize, usize)>,
}

/// A pool and its way back.
#[derive(Debug)]
struct Watched {
    id: PoolId,
    origin: Name,
    name: Box<str>,
    life: Life,
}

/// A pool on its way back, for the next process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Its zone.
    pub zone: Name,
    /// Its name.
    pub pool: Box<str>,
    /// How far it has come.
    pub way: Return,
}

/// A pool on its way back, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returning {
    /// The steered name.
    pub record: Box<str>,
    /// The pool.
    pub pool: Box<str>,
    /// Where it stands.
    pub way: Way,
}

impl Steward {
    /// Begins with pools that were coming back.
    pub fn remembering(returned: Vec<Returned>) -> Self {
        Self { returned, ..Self::default() }
    }

    /// Pools that do not have all clients of every rule back.
    pub fn returned(&self, snapshot: &Snapshot, now: Duration) -> Vec<Returned> {
        let mut returned: Vec<Returned> = Vec::new();
        for record in self.records(snapshot) {
            for rule in &record.plan.rules {
                let Some(failback) = &rule.failback else { continue };
                for (_, pool) in own_pools(record, rule) {
                    let Some(Watched { life, origin, name, .. }) = self.known(pool) else {
                        continue;
                    };
                    let is_known = |of: &Returned| of.zone == *origin && of.pool == *name;
                    let is_done = matches!(life.way(failback, now), Way::Here | Way::Out);
                    if let Some(way) = life.returning(now).filter(|_| !is_done)
                        && !returned.iter().any(is_known)
                    {
                        returned.push(Returned { zone: origin.clone(), pool: name.clone(), way });
                    }
                }
            }
        }
        returned
    }

    /// Turns every dial of `snapshot` to what it is at `now`.
    pub fn turn(&mut self, snapshot: &Snapshot, now: Duration) {
        if self.generation != Some(snapshot.generation) {
            self.generation = Some(snapshot.generation);
            self.dialled = dialled(snapshot);
            self.follow(snapshot, now);
        }
        self.observe(&snapshot.health, now);
        if now >= self.bounded_at + BOUNDED {
            self.bounded_at = now;
            self.bind(snapshot);
        }
        for record in self.records(snapshot) {
            self.turn_record(record, now);
        }
    }

    /// Counts who brings most of the queries. To be called once a second.
    pub fn count(&mut self) {
        if let Some(heavy) = &self.heavy {
            self.census.turn(heavy);
        }
    }

    /// How many client networks bring so much that chance decides over their shares.
    pub fn heavy(&self) -> usize {
        self.census.heavy()
    }

    /// Those networks and their shares of the queries that choose by network, the heaviest first.
    pub fn heaviest(&self) -> Vec<(Network, f64)> {
        self.census.heaviest()
    }

    /// An operator lets clients come back to every pool of this name that waits for that word;
    /// says how many there were.
    pub fn resume(&mut self, pool: &str, origin: Option<&str>, now: Duration) -> usize {
        let named = self.pools.iter_mut().filter(|known| {
            let of = known.origin.to_string();
            *known.name == *pool && origin.is_none_or(|origin| same_name(&of, origin))
        });
        named.filter_map(|known| known.life.resume(now).then_some(())).count()
    }

    /// Pools that do not have all clients of a record back.
    pub fn returning(&self, snapshot: &Snapshot, now: Duration) -> Vec<Returning> {
        let mut found = Vec::new();
        for record in self.records(snapshot) {
            for rule in &record.plan.rules {
                let Some(failback) = &rule.failback else { continue };
                for (_, pool) in own_pools(record, rule) {
                    let Some(Watched { life, name, .. }) = self.known(pool) else { continue };
                    let way = life.way(failback, now);
                    if !matches!(way, Way::Here | Way::Out) {
                        let record = record.owner.to_string().into();
                        found.push(Returning { record, pool: name.clone(), way });
                    }
                }
            }
        }
        found.dedup();
        found
    }

    /// Takes over what is known of the pools that rules of `snapshot` hold back.
    fn follow(&mut self, snapshot: &Snapshot, now: Duration) {
        let records = snapshot.catalog.values().flat_map(|served| &served.records);
        self.heavy = records.map(|record| Arc::clone(&record.heavy)).next();
        let before = std::mem::take(&mut self.pools);
        let remembered = std::mem::take(&mut self.returned);
        let life: HashMap<_, _> =
            before.iter().map(|known| ((&known.origin, &known.name), known.life)).collect();
        let mut places = HashMap::new();
        let mut pools = Vec::new();
        for record in self.records(snapshot) {
            let rules = record.plan.rules.iter().filter(|rule| rule.failback.is_some());
            for (_, id) in rules.flat_map(|rule| own_pools(record, rule)) {
                let Some(pool) = snapshot.pools.get(id.0 as usize) else { continue };
                places.entry(id).or_insert_with(|| {
                    let (origin, name) = (pool.origin.clone(), pool.name.clone());
                    let goes_on = || {
                        let is_it = |of: &&Returned| of.zone == origin && of.pool == name;
                        let before = remembered.iter().find(is_it);
                        before.map(|before| Life::going_on(before.way, now))
                    };
                    let life = life.get(&(&origin, &name)).copied().or_else(goes_on);
                    let life = life.unwrap_or_default();
                    pools.push(Watched { id, origin, name, life });
                    pools.len() - 1
                });
            }
        }
        (self.pools, self.places) = (pools, places);
    }

    fn observe(&mut self, health: &HealthTable, now: Duration) {
        for known in &mut self.pools {
            let words =
                [Family::V4, Family::V6].map(|family| health.word(known.id, family, AreaId::WORLD));
            let serves = words.iter().any(|word| word.is_eligible());
            let by_operator = |verdict| {
                matches!(verdict, Verdict::Draining | Verdict::ForcedDown | Verdict::Maintenance)
            };
            let by_operator = words.iter().any(|word| by_operator(word.verdict()));
            known.life.observe(serves, by_operator, now);
        }
    }

    /// Looks at what the pools of rules with bounded loads have answered.
    fn bind(&mut self, snapshot: &Snapshot) {
        let mut before = std::mem::take(&mut self.bounds);
        for record in self.records(snapshot) {
            for (number, rule) in record.plan.rules.iter().enumerate() {
                let (true, Some(weights)) = (rule.max_share > 0, rule.policy.weights()) else {
                    continue;
                };
                let pools: Vec<_> = own_pools(record, rule)
                    .zip(weights)
                    .map(|((_, id), weight)| {
                        let serves = [Family::V4, Family::V6]
                            .iter()
                            .any(|of| snapshot.health.word(id, *of, AreaId::WORLD).is_eligible());
                        let name = snapshot.pools.get(id.0 as usize).map_or("", |pool| &pool.name);
                        let answered = Reason::ALL.map(|reason| record.tally.sum(name, reason));
                        (answered.iter().sum(), if serves { *weight } else { 0 })
                    })
                    .collect();
                let key = (record.owner.clone(), number);
                let mut bound = before.remove(&key).unwrap_or_default();
                bound.look(&pools, rule.max_share);
                self.bounds.insert(key, bound);
            }
        }
    }

    fn turn_record(&self, record: &Record, now: Duration) {
        let mut soonest: Option<Duration> = None;
        for (number, rule) in record.plan.rules.iter().enumerate() {
            let bound = self.bounds.get(&(record.owner.clone(), number));
            if rule.failback.is_none() && bound.is_none() {
                continue;
            }
            for (place, pool) in own_pools(record, rule) {
                let mut share = bound.map_or(ALL, |bound| bound.keep(place));
                if let Some((failback, Watched { life, .. })) = rule.failback.zip(self.known(pool))
                {
                    share = share.min(life.share(&failback, now));
                    let sight = life.way(&failback, now).sight(now);
                    soonest = soonest.into_iter().chain(sight).min();
                }
                record.dials.set_keep(number, place, share);
            }
        }
        if record.plan.ttl.varies() {
            record.dials.set_ttl(soonest.map(|soonest| soonest.as_secs().max(1) as u32));
        }
    }

    fn known(&self, pool: PoolId) -> Option<&Watched> {
        self.pools.get(*self.places.get(&pool)?)
    }

    fn records<'s>(&self, snapshot: &'s Snapshot) -> Vec<&'s Record> {
        let zones: Vec<_> = snapshot.catalog.values().collect();
        let places = self.dialled.iter();
        places.filter_map(|(zone, at)| zones.get(*zone)?.records.get(*at)).collect()
    }
}

/// The records of a snapshot with something to turn.
fn dialled(snapshot: &Snapshot) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (zone, served) in snapshot.catalog.values().enumerate() {
        for (at, record) in served.records.iter().enumerate() {
            if record.plan.ttl.varies() || record.plan.rules.iter().any(|rule| rule.dialled) {
                found.push((zone, at));
            }
        }
    }
    found
}

/// A rule's own pools, each with its place in the rule.
fn own_pools<'s>(record: &'s Record, rule: &'s Rule) -> impl Iterator<Item = (usize, PoolId)> + 's {
    rule.own
        .iter()
        .enumerate()
        .filter_map(|(place, site)| Some((place, record.plan.sites.get(usize::from(*site))?.pool)))
}

/// Turns the dials until the daemon ends.
pub(super) async fn run(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    loop {
        let ticked = tokio::select! {
            () = tokio::time::sleep(TICK) => true,
            () = daemon.turned.notified() => false,
            _ = ends.wait_for(|ending| *ending) => return,
        };
        let now = daemon.now();
        daemon.health().keeper().tick(now);
        let snapshot = daemon.snapshot();
        {
            let mut steward = lock(&daemon.steward);
            steward.turn(&snapshot, now);
            if ticked {
                steward.count();
            }
        }
        drop(snapshot);
        super::capacity::turn(&daemon).await;
    }
}

/// The steward, whatever happened to whoever held it last.
pub(super) fn lock(steward: &Mutex<Steward>) -> MutexGuard<'_, Steward> {
    steward.lock().unwrap_or_else(PoisonError::into_inner)
}
