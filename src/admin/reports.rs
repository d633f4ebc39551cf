//! Reports about checks of type `push`, over the API.

use std::time::Duration;

use thiserror::Error;

use super::view::CheckReport;
use crate::daemon::Daemon;
use crate::probe::push::{NoSuchCheck, Told};

/// Octets of a reason that are kept.
const REASON_MAX: usize = 200;

/// Why a report is refused.
#[derive(Debug, Error)]
pub(super) enum ReportError {
    /// A lifetime that is none.
    #[error("a report holds for 1 second to a day")]
    Lifetime,
    /// A share that is none.
    #[error("'{0}' is a share: 0 to 1, and load up to 65")]
    Share(&'static str),
    /// Nobody waits for it.
    #[error(transparent)]
    Check(#[from] NoSuchCheck),
}

/// Takes a report, and gives it back.
pub(super) fn take(daemon: &Daemon, report: CheckReport) -> Result<CheckReport, ReportError> {
    let seconds = Some(report.seconds).filter(|seconds| (1.0..=86_400.0).contains(seconds));
    let lasting = Duration::from_secs_f64(seconds.ok_or(ReportError::Lifetime)?);
    let reason = report.reason.chars().filter(|c| !c.is_control()).take(REASON_MAX);
    let reason: String = reason.collect();
    let told = Told {
        up: report.up,
        load: share("load", report.load, 65.0)?,
        errors: share("errors", report.errors, 1.0)?,
        weight: share("weight", report.weight, 1.0)?.map(|weight| (weight / 10) as u8),
        why: Some(reason).filter(|reason| !reason.is_empty()).map(Into::into),
    };
    daemon.board().tell(&report.check, told, lasting)?;
    tracing::debug!("{}: reported {}", report.check, if report.up { "up" } else { "down" });
    Ok(report)
}

/// In thousandths.
fn share(what: &'static str, share: Option<f64>, most: f64) -> Result<Option<u16>, ReportError> {
    match share {
        None => Ok(None),
        Some(share) if (0.0..=most).contains(&share) => Ok(Some((share * 1000.0).round() as u16)),
        Some(_) => Err(ReportError::Share(what)),
    }
}
