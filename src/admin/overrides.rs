//! Overrides over the API: listed, set, released. Health decides what they do.

use super::view::OverrideView;
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
    /// Nothing has that name.
    #[error("{0} names no region, pool or member of this configuration")]
    Nothing(OverrideTarget),
    /// Nothing to release.
    #[error("there is no override over {0}")]
    NotSet(OverrideTarget),
}

/// Overrides in force.
pub(super) fn list(daemon: &Daemon) -> Vec<OverrideView> {
    daemon.health().keeper().known().overrides().iter().map(view).collect()
}

/// One override, for people and programs.
pub(super) fn view(order: &Override) -> OverrideView {
    OverrideView {
        target: order.target.to_string(),
        state: order.state.as_str().to_owned(),
        reason: order.reason.clone(),
        by: order.by.clone(),
        seconds_left: order.until.map(|until| until.saturating_sub(wall())),
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
    let until = wanted.seconds_left.map(|seconds| wall() + seconds);
    let (reason, by) = (wanted.reason.clone(), wanted.by.clone());
    let events = {
        let mut keeper = daemon.health().keeper();
        if keeper.touched_by(&target) == 0 {
            return Err(OverrideError::Nothing(target));
        }
        keeper.set_override(Override { target, state, reason, by, until }, daemon.now())
    };
    daemon.health().tell(events);
    Ok(())
}

/// Takes an override back.
pub(super) fn release(daemon: &Daemon, target: &str) -> Result<(), OverrideError> {
    let target: OverrideTarget = target.parse()?;
    let events = daemon.health().keeper().clear_override(&target, daemon.now());
    if events.is_empty() {
        return Err(OverrideError::NotSet(target));
    }
    daemon.health().tell(events);
    Ok(())
}
