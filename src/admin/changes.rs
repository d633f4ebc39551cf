//! Canaries, switches and drained pools over the API. The conductor decides what may be done.

use metrics::counter;

use super::catalog;
use super::view::{ChangeOrder, ChangeView, DrainView, ResumeOrder};
use crate::daemon::changes::gauge::Drained;
use crate::daemon::changes::{At, Conductor, Moment, Orderer, Refused, Stand, Turn, touched};
use crate::daemon::{Daemon, wall};
use crate::health::overrides::{OverrideTarget, TargetError};
use crate::snapshot::Snapshot;
use crate::steer::safety::Unsafe;
use crate::steer::stages::{Change, Order};
use crate::wire::name::Name;

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    /// Not a name.
    #[error("'{0}' is no domain name")]
    Name(String),
    /// Not an order.
    #[error(
        "'{0}' is no order: write start, pause, resume, abort or finish, or blue, green or back"
    )]
    Order(String),
    /// No reason was given.
    #[error("an order needs a reason: others will ask")]
    Reason,
    /// Not a target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Members are not counted one by one.
    #[error("{0} is not a region or a pool: answers are counted by pool")]
    Member(OverrideTarget),
    /// Nothing has that name.
    #[error("{0} names no region or pool of this configuration")]
    Nothing(OverrideTarget),
    /// No pool waits.
    #[error("no pool of {0} waits for an operator's word")]
    NotHeld(OverrideTarget),
    /// The conductor refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Where changes stand.
pub(super) fn list(daemon: &Daemon) -> Vec<ChangeView> {
    let changes = daemon.changes();
    let snapshot = daemon.snapshot();
    changes.stands().iter().map(|stand| view(&snapshot, stand)).collect()
}

/// Carries out an order; gives where the record stands then.
pub(super) fn order(daemon: &Daemon, wanted: &ChangeOrder) -> Result<ChangeView, ChangeError> {
    let named = || ChangeError::Name(wanted.record.clone());
    let record: Name = wanted.record.parse().map_err(|_| named())?;
    if wanted.reason.trim().is_empty() {
        return Err(ChangeError::Reason);
    }
    let orderer =
        Orderer { by: wanted.by.clone(), reason: wanted.reason.clone(), force: wanted.force };
    let at = Moment { now: daemon.now(), wall: wall() };
    let canary = Order::ALL.into_iter().find(|order| order.as_str() == wanted.order);
    let turns = [("blue", Turn::Blue), ("green", Turn::Green), ("back", Turn::Back)];
    let turn = turns.into_iter().find(|(word, _)| *word == wanted.order).map(|(_, turn)| turn);
    let told = {
        let mut changes = daemon.changes();
        let snapshot = daemon.snapshot();
        let done = match (canary, turn) {
            (Some(order), _) => changes.order(&snapshot, &record, order, &orderer, at),
            (None, Some(turn)) => changes.switch(&snapshot, &record, turn, &orderer, at),
            (None, None) => return Err(ChangeError::Order(wanted.order.clone())),
        };
        count_refusal(&done);
        view(&snapshot, &done?)
    };
    daemon.write_down();
    let ChangeView { record, kind, stands, .. } = &told;
    tracing::warn!("{kind} {record}: {} by {}: {}, {stands}", wanted.order, by(&told), told.reason);
    counter!(catalog::CHANGE_EVENTS, "record" => record.clone(), "event" => "ordered").increment(1);
    Ok(told)
}

/// Lets clients come back to pools that wait for an operator's word (`failback = "manual"`); says
/// which.
pub(super) fn resume(daemon: &Daemon, wanted: &ResumeOrder) -> Result<Vec<String>, ChangeError> {
    let target: OverrideTarget = wanted.target.parse()?;
    if wanted.reason.trim().is_empty() {
        return Err(ChangeError::Reason);
    }
    let snapshot = daemon.snapshot();
    let pools: Vec<(String, String)> = match &target {
        OverrideTarget::Member(_) => return Err(ChangeError::Member(target)),
        _ => pools_of(&snapshot, &target),
    };
    if pools.is_empty() {
        return Err(ChangeError::Nothing(target));
    }
    let resumed: Vec<String> = {
        let (mut steward, now) = (daemon.steward(), daemon.now());
        let waits = |(pool, zone): &&(String, String)| steward.resume(pool, Some(zone), now) > 0;
        let resumed: Vec<_> = pools.iter().filter(waits).collect();
        steward.turn(&snapshot, now);
        resumed.into_iter().map(|(pool, zone)| format!("{pool}@{zone}")).collect()
    };
    if resumed.is_empty() {
        return Err(ChangeError::NotHeld(target));
    }
    daemon.changes().touch();
    daemon.write_down();
    let by = if wanted.by.is_empty() { "an operator" } else { &wanted.by };
    tracing::warn!("clients may come back to {}: {} by {by}", resumed.join(" "), wanted.reason);
    Ok(resumed)
}

/// Names and zones of a target's pools.
fn pools_of(snapshot: &Snapshot, target: &OverrideTarget) -> Vec<(String, String)> {
    let pools = touched(snapshot, target).into_iter();
    let pools = pools.filter_map(|(pool, _)| snapshot.pools.get(pool.0 as usize));
    pools.map(|pool| (pool.name.to_string(), pool.origin.to_string())).collect()
}

fn by(view: &ChangeView) -> &str {
    if view.by.is_empty() { "an operator" } else { &view.by }
}

/// Counts what a safety rule refused.
pub(super) fn count_refusal<T>(outcome: &Result<T, Refused>) {
    if let Err(Refused::Unsafe(why)) = outcome {
        let rule = match why {
            Unsafe::Regions { .. } => "regions",
            Unsafe::Shift { .. } => "shift",
        };
        counter!(catalog::SAFETY_REFUSED, "rule" => rule).increment(1);
    }
}

/// Pools to which no client is sent: all, or those of a target.
pub(super) fn drains(daemon: &Daemon, target: &str) -> Result<Vec<DrainView>, ChangeError> {
    let changes = daemon.changes();
    let snapshot = daemon.snapshot();
    let now = daemon.now();
    if target.is_empty() {
        return Ok(all_drains(&changes, &snapshot, Moment { now, wall: wall() }));
    }
    let target: OverrideTarget = target.parse()?;
    if matches!(target, OverrideTarget::Member(_)) {
        return Err(ChangeError::Member(target));
    }
    let (drained, all) = changes.drained_of(&snapshot, &target, now);
    if all.is_empty() {
        return Err(ChangeError::Nothing(target));
    }
    let at = Moment { now, wall: wall() };
    let out = drained.iter().map(|drained| drain(&snapshot, drained, at));
    let serving = all.iter().filter(|key| drained.iter().all(|drained| drained.pool != **key));
    let serving = serving.map(|(zone, pool)| DrainView {
        pool: pool.to_string(),
        zone: zone.to_string(),
        serving: true,
        ..DrainView::default()
    });
    Ok(out.chain(serving).collect())
}

/// Pools to which no client is sent.
pub(super) fn all_drains(changes: &Conductor, snapshot: &Snapshot, at: Moment) -> Vec<DrainView> {
    changes.drained(at.now).iter().map(|drained| drain(snapshot, drained, at)).collect()
}

fn drain(snapshot: &Snapshot, drained: &Drained, at: Moment) -> DrainView {
    let (zone, name) = &drained.pool;
    let pool =
        snapshot.pools.iter().find(|pool| pool.name == *name && pool.origin.to_string() == **zone);
    let region = pool.and_then(|pool| snapshot.regions.get(usize::from(pool.region.0)));
    let (now, wall) = (at.now.as_secs(), at.wall);
    DrainView {
        pool: name.to_string(),
        zone: zone.to_string(),
        region: region.map_or_else(String::new, |region| region.name.to_string()),
        seconds: now.saturating_sub(drained.since),
        before: drained.before,
        alive: drained.alive,
        drained: drained.is_over,
        at: (wall + drained.end).saturating_sub(now),
        sure: !drained.is_blind,
        serving: false,
    }
}

/// A record's change, for people and programs.
fn view(snapshot: &Snapshot, stand: &Stand) -> ChangeView {
    let staged = snapshot.staged.iter().find(|staged| staged.owner == stand.record);
    let mut view = ChangeView {
        record: stand.record.to_string(),
        kind: String::new(),
        stands: String::new(),
        pools: stand.pools.iter().map(ToString::to_string).collect(),
        share: f64::from(stand.at.share()) / 10_000.0,
        step: None,
        steps: Vec::new(),
        next_in_seconds: None,
        note: String::new(),
        by: stand.by.clone(),
        reason: stand.reason.clone(),
        ordered_at: stand.ordered,
    };
    match &stand.at {
        At::Canary(canary) => {
            "canary".clone_into(&mut view.kind);
            canary.phase.as_str().clone_into(&mut view.stands);
            view.note.clone_from(&canary.note);
            if let Some(Change::Canary(spec)) = staged.map(|staged| &staged.change) {
                view.step = Some(canary.step + 1);
                view.steps = spec.steps.iter().map(|step| f64::from(*step) / 10_000.0).collect();
                view.next_in_seconds = canary.until_next(spec).map(|left| left.as_secs());
            }
        }
        At::Switch { green, .. } => {
            "switch".clone_into(&mut view.kind);
            if *green { "green" } else { "blue" }.clone_into(&mut view.stands);
        }
    }
    view
}
