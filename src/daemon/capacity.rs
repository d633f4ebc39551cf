//! Capacity in the daemon: the planner, what pools have reported, and when to step.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Daemon, blocking};
use crate::health::overrides::OverrideTarget;
use crate::health::table::HealthTable;
use crate::region::{Capacity, LoadSource, Pool, PoolId};
use crate::snapshot::{Served, Snapshot};
use crate::steer::capacity::load::{Loads, Report};
use crate::steer::capacity::{CapacityPlanner, PoolStanding, Seen};
use crate::steer::record::Plan;
use crate::steer::spill::Spills;

/// How often, while no pool comes or goes and none reports that it is full.
const TICK: Duration = Duration::from_secs(10);

/// The longest a report may be believed.
pub const LIFETIME_MAX: Duration = Duration::from_secs(3600);

/// The planner and what it is told.
#[derive(Debug, Default)]
pub struct Room {
    planner: CapacityPlanner,
    loads: Loads,
    /// Something was reported that should not wait.
    is_rung: bool,
}

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The target is not a pool.
    #[error("load is reported of a pool: pool.NAME, or pool.NAME@ZONE")]
    Target,
    /// No such pool.
    #[error("there is no pool {0}")]
    Unknown(String),
    /// Two zones have a pool of this name.
    #[error("several zones have a pool {0}: write pool.{0}@ZONE")]
    Ambiguous(String),
    /// The pool does not take reports.
    #[error("pool {0} takes no reports: write load = \"push\" in its capacity")]
    NotPushed(String),
    /// Neither load nor errors, or no number.
    #[error("a report needs a load, as a part of what the pool can do: 0 to 100")]
    Load,
    /// Not a share.
    #[error("errors are a part of all answers: 0 to 1")]
    Errors,
    /// No lifetime, or too long a one.
    #[error("a report holds for 1 second to {} minutes", LIFETIME_MAX.as_secs() / 60)]
    Lifetime,
}

impl Room {
    /// Takes the pools and records of a snapshot that is about to be published.
    pub fn adopt(&mut self, snapshot: &Snapshot) {
        let records = snapshot.catalog.values().flat_map(|Served { records, .. }| records);
        self.planner.adopt(&snapshot.pools, records);
        self.planner.tell_loads(&snapshot.health);
        self.loads.retain(|name| snapshot.pools.iter().any(|pool| known_as(pool) == name));
    }

    /// What plans would be told under this health and with these loads.
    pub fn supposing(&self, health: &HealthTable, loads: &[(PoolId, f64)]) -> Spills {
        self.planner.supposing(health, loads)
    }

    /// How pools with a capacity stand.
    pub fn standings(&self) -> Vec<PoolStanding> {
        self.planner.standings().collect()
    }

    /// Queries a second by plan and order, [as the planner counts them](CapacityPlanner::asked).
    pub fn asked(&self) -> impl Iterator<Item = (&Plan, usize, f64)> {
        self.planner.asked()
    }

    /// Queries a second asked of all of them, and the part that is sent on.
    pub fn demand(&self) -> (f64, f64) {
        self.planner.demand()
    }

    /// Takes a pool's report; returns what the pool is known as.
    ///
    /// # Errors
    /// When there is no such pool, it takes no reports, or a number is out of range.
    pub fn report(
        &mut self,
        pools: &[Pool],
        target: &str,
        report: Report,
    ) -> Result<String, LoadError> {
        let in_range = |value: f64, most: f64| (0.0..=most).contains(&value);
        if report.load.is_none_or(|load| !in_range(load, 100.0)) {
            return Err(LoadError::Load);
        }
        if report.errors.is_some_and(|errors| !in_range(errors, 1.0)) {
            return Err(LoadError::Errors);
        }
        if report.lifetime < Duration::from_secs(1) || report.lifetime > LIFETIME_MAX {
            return Err(LoadError::Lifetime);
        }
        let pool = named(pools, target)?;
        let name = known_as(pool);
        let takes_reports = |of: &&Capacity| of.load == Some(LoadSource::Push);
        let Some(capacity) = pool.capacity.as_ref().filter(takes_reports) else {
            return Err(LoadError::NotPushed(name));
        };
        self.is_rung |= report.is_full(capacity);
        self.loads.report(&name, report);
        Ok(name)
    }

    /// Takes what the members of a pool said when they were probed; nothing for a pool whose load
    /// comes from somewhere else.
    pub fn probed(&mut self, pool: &Pool, report: Report) {
        let takes_probes = |of: &&Capacity| of.load == Some(LoadSource::Probe);
        let Some(capacity) = pool.capacity.as_ref().filter(takes_probes) else { return };
        self.is_rung |= report.is_full(capacity);
        self.loads.report(&known_as(pool), report);
    }

    fn is_due(&self, snapshot: &Snapshot, now: Duration) -> bool {
        !self.planner.is_idle()
            && (self.is_rung || self.planner.is_due(now, TICK, &snapshot.health))
    }
}

/// What reports of a pool are kept under.
fn known_as(pool: &Pool) -> String {
    format!("{}@{}", pool.name, pool.origin)
}

fn named<'p>(pools: &'p [Pool], target: &str) -> Result<&'p Pool, LoadError> {
    let Ok(OverrideTarget::Pool(name, origin)) = target.parse() else {
        return Err(LoadError::Target);
    };
    let is_named = |pool: &&Pool| {
        let zone = pool.origin.to_string();
        *pool.name == *name
            && origin.as_ref().is_none_or(|origin| {
                zone.trim_end_matches('.').eq_ignore_ascii_case(origin.trim_end_matches('.'))
            })
    };
    let mut found = pools.iter().filter(is_named);
    match (found.next(), found.next()) {
        (Some(pool), None) => Ok(pool),
        (Some(pool), Some(_)) => Err(LoadError::Ambiguous(pool.name.to_string())),
        (None, _) => Err(LoadError::Unknown(target.to_owned())),
    }
}

impl Daemon {
    /// Capacity.
    pub fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Steps if it is time to: to be called every second, and when health has changed. Solving may
/// take long with many orders, so that it is done where it may block.
pub(super) async fn turn(daemon: &Arc<Daemon>) {
    let is_due = daemon.room().is_due(&daemon.snapshot(), daemon.now());
    if !is_due {
        return;
    }
    let daemon = Arc::clone(daemon);
    blocking(move || {
        let mut room = daemon.room();
        let snapshot = daemon.snapshot();
        let Room { planner, loads, is_rung } = &mut *room;
        *is_rung = false;
        planner.step(Seen { now: daemon.now(), health: &snapshot.health, loads });
    })
    .await;
}
