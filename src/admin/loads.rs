//! Capacity over the API: how pools stand, and what they report of their load.

use std::time::Duration;

use super::view::{CapacityView, LoadReport};
use crate::daemon::Daemon;
use crate::daemon::capacity::LoadError;
use crate::snapshot::Snapshot;
use crate::steer::capacity::PoolStanding;
use crate::steer::capacity::load::Report;

/// Pools with a capacity, by region.
pub(super) fn list(daemon: &Daemon) -> Vec<CapacityView> {
    let room = daemon.room();
    let snapshot = daemon.snapshot();
    let standings = room.standings();
    drop(room);
    let mut all: Vec<CapacityView> =
        standings.iter().filter_map(|standing| view(&snapshot, standing)).collect();
    all.sort_by(|one, other| (&one.region, &one.pool).cmp(&(&other.region, &other.pool)));
    all
}

fn view(snapshot: &Snapshot, standing: &PoolStanding) -> Option<CapacityView> {
    let pool = snapshot.pools.get(standing.pool.0 as usize)?;
    let region = snapshot.regions.get(usize::from(pool.region.0))?;
    Some(CapacityView {
        pool: pool.name.to_string(),
        zone: pool.origin.to_string(),
        region: region.name.to_string(),
        rate: standing.rate,
        target: standing.target,
        max: standing.max,
        kept: standing.kept,
        state: standing.state().to_owned(),
        load: standing.load,
        errors: standing.errors,
        stale: standing.is_stale,
    })
}

/// Takes a pool's report; gives how the pools stand.
pub(super) fn report(daemon: &Daemon, told: &LoadReport) -> Result<Vec<CapacityView>, LoadError> {
    let lifetime = Duration::try_from_secs_f64(told.seconds).map_err(|_| LoadError::Lifetime)?;
    let (load, at) = (Some(told.load), daemon.now());
    let report = Report { load, errors: told.errors, at, lifetime };
    let mut room = daemon.room();
    let snapshot = daemon.snapshot();
    let name = room.report(&snapshot.pools, &told.target, report)?;
    drop(room);
    tracing::debug!("pool {name} reports a load of {:.1} %", told.load * 100.0);
    Ok(list(daemon))
}
