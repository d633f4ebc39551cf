//! Overrides over the API: listed, set, released. Health decides what they do.

use super::changes::count_refusal;
use super::view::OverrideView;
use crate::daemon::changes::{Planned, Refused, marked};
use crate::daemon::{Daemon, wall};
use crate::health::overrides::{Override, OverrideTarget, StateError, TargetError};

/// Longest override with an end, in seconds: ten years, so that a slip of the keyboard cannot
/// reach past what a date can hold.
const LASTING_MAX: u64 = 10 * 365 * 86_400;

/// Why an override is not set or released.
#[derive(Debug, thiserror::Error)]
pub(super) enum OverrideError {
    /// Not a target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Not a state.
    #[error(transparent)]
    State(#[from] StateError),
    /// No reason was given.
    #[error("an override needs a reason: others will ask")]
    Reason,
    /// An end too far away.
    #[error("an override may last ten years at most")]
    TooLong,
    /// A begin too far away.
    #[error("an override may begin within ten years")]
    TooLate,
    /// The safety rules are against it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No area has that name.
    #[error("there is no area '{0}' in meridian.toml")]
    NoArea(String),
    /// Nothing has that name.
    #[error("{0} names no region, pool or member of this configuration")]
    Nothing(OverrideTarget),
    /// Nothing to release.
    #[error("there is no override over {0}")]
    NotSet(OverrideTarget),
}

/// Overrides in force, and those that begin later.
pub(super) fn list(daemon: &Daemon) -> Vec<OverrideView> {
    let in_force = daemon.health().keeper().known().overrides().to_vec();
    let later = daemon.changes().planned().to_vec();
    let all = in_force.iter().map(|order| (order, view(order)));
    let all = all.chain(later.iter().map(|later| (&later.order, planned(later))));
    let with_signer = |(order, view): (&Override, OverrideView)| {
        let (signer, given_on) = daemon.orders().behind(order).unzip();
        OverrideView { signer, given_on, ..view }
    };
    all.map(with_signer).collect()
}

/// An override that begins later.
fn planned(planned: &Planned) -> OverrideView {
    let Planned { order, from, held, forced } = planned;
    OverrideView {
        seconds_left: order.until.map(|until| until.saturating_sub(*from)),
        begins_at: Some(*from),
        held: held.clone(),
        force: *forced,
        ..view(order)
    }
}

/// One override, for people and programs.
pub(super) fn view(order: &Override) -> OverrideView {
    OverrideView {
        target: order.target.to_string(),
        area: order.area.as_deref().map(Into::into),
        state: order.state.as_str().to_owned(),
        reason: order.reason.clone(),
        by: order.by.clone(),
        seconds_left: order.until.map(|until| until.saturating_sub(wall())),
        ..OverrideView::default()
    }
}

/// Sets an override; it takes the place of another over the same target.
pub(super) fn set(daemon: &Daemon, wanted: &OverrideView) -> Result<(), OverrideError> {
    let target: OverrideTarget = wanted.target.parse()?;
    let state = wanted.state.parse()?;
    if wanted.reason.trim().is_empty() {
        return Err(OverrideError::Reason);
    }
    if wanted.seconds_left.is_some_and(|seconds| seconds > LASTING_MAX) {
        return Err(OverrideError::TooLong);
    }
    let (reason, by) = (wanted.reason.clone(), wanted.by.clone());
    let now = wall();
    let from = wanted.begins_at.filter(|from| *from > now);
    if from.is_some_and(|from| from - now > LASTING_MAX) {
        return Err(OverrideError::TooLate);
    }
    let until = wanted.seconds_left.map(|seconds| from.unwrap_or(now) + seconds);
    let snapshot = daemon.snapshot();
    let area: Option<Box<str>> = wanted.area.as_deref().map(Into::into);
    if let Some(name) = area.as_deref().filter(|name| snapshot.area(name).is_none()) {
        return Err(OverrideError::NoArea(name.to_owned()));
    }
    let mut order = Override { target, area, state, reason, by, until };
    if daemon.health().keeper().touched_by(&order.target) == 0 {
        return Err(OverrideError::Nothing(order.target));
    }
    let events = {
        let mut changes = daemon.changes();
        if let Some(from) = from {
            let forced = wanted.force;
            order.reason = marked(&order.reason, forced);
            tracing::warn!("override {} planned: {}", order.target, order.describe());
            changes.plan(Planned { order, from, forced, held: String::new() });
            Vec::new()
        } else {
            let permitted = changes.permit_override(&snapshot, &order, wanted.force, daemon.now());
            count_refusal(&permitted);
            order.reason = marked(&order.reason, permitted?);
            daemon.health().keeper().set_override(order, daemon.now())
        }
    };
    daemon.health().tell(events);
    daemon.write_down();
    Ok(())
}

/// Takes back the override that is in force over `target`, or else the one that begins later.
pub(super) fn release(
    daemon: &Daemon,
    target: &str,
    area: Option<&str>,
) -> Result<(), OverrideError> {
    let target: OverrideTarget = target.parse()?;
    let events = daemon.health().keeper().clear_override(&target, area, daemon.now());
    if events.is_empty() {
        if !daemon.changes().unplan(&target, area) {
            return Err(OverrideError::NotSet(target));
        }
        tracing::warn!("override {target}: no longer planned");
        daemon.write_down();
    }
    daemon.health().tell(events);
    Ok(())
}
