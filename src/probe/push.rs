//! Reports of others: what was said of a check, and until when it holds.
//!
//! The API writes here, and a check of type `push` is "asked" here in its turn like any other, so
//! that what is concluded from reports goes the way of all samples.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::monitor::{Check, Kind, Push, Stale};
use super::trace::Trace;
use crate::health::sample::Reason;

/// The board on which reports stand: a place for each check of type `push`.
#[derive(Debug, Default)]
pub struct Board(Mutex<HashMap<Box<str>, Option<Held>>>);

/// What is reported of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// It serves.
    pub up: bool,
    /// How busy it is, in thousandths.
    pub load: Option<u16>,
    /// The share of its answers that are errors, in thousandths.
    pub errors: Option<u16>,
    /// The share of its usual weight it asks for, in per cent.
    pub weight: Option<u8>,
    /// Why, in words.
    pub why: Option<Box<str>>,
}

#[derive(Debug)]
struct Held {
    told: Told,
    until: Instant,
}

/// A report about what nobody reports about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no check '{wanted}' of type push{}", list(known))]
pub struct NoSuchCheck {
    wanted: Box<str>,
    known: Vec<Box<str>>,
}

fn list(known: &[Box<str>]) -> String {
    /// More names than this help nobody.
    const LISTED: usize = 12;
    if known.is_empty() {
        return "; there are none".to_owned();
    }
    let more = if known.len() > LISTED { ", …" } else { "" };
    format!("; there are: {}{more}", known[..known.len().min(LISTED)].join(", "))
}

impl Board {
    /// Has a place for each push check of `checks`, and for no other.
    pub fn expect(&self, checks: &[Check]) {
        let mut reports = self.lock();
        let mut before = std::mem::take(&mut *reports);
        let pushed = checks.iter().filter(|check| matches!(check.monitor.kind, Kind::Push(_)));
        *reports =
            pushed.map(|check| (check.key.clone(), before.remove(&check.key).flatten())).collect();
    }

    /// Takes a report about `key` that holds for `lasting`.
    ///
    /// # Errors
    /// There is no such check, and which there are.
    pub fn tell(&self, key: &str, told: Told, lasting: Duration) -> Result<(), NoSuchCheck> {
        let mut reports = self.lock();
        if let Some(place) = reports.get_mut(key) {
            *place = Some(Held { told, until: Instant::now() + lasting });
            return Ok(());
        }
        let mut known: Vec<Box<str>> = reports.keys().cloned().collect();
        drop(reports);
        known.sort_unstable();
        Err(NoSuchCheck { wanted: key.into(), known })
    }

    /// What is said of `check` now.
    pub(super) fn ask(&self, push: Push, check: &Check, trace: &mut Trace) -> Result<(), Reason> {
        let now = Instant::now();
        let held = {
            let reports = self.lock();
            let held = reports.get(&check.key).and_then(Option::as_ref);
            held.map(|held| (held.until > now).then(|| held.told.clone()))
        };
        let told = match (held, push.stale) {
            (Some(Some(told)), _) => told,
            (Some(None), Stale::Down) => return Err(Reason::Stale),
            // Since the process began nobody has reported: that says nothing of the target.
            (Some(None), Stale::Keep) | (None, _) => return Err(Reason::Unreported),
        };
        trace.facts.load = told.load;
        trace.facts.errors = told.errors;
        trace.facts.weight = told.weight;
        if told.up {
            return Ok(());
        }
        trace.complain(|| told.why.map_or_else(|| "down".to_owned(), Into::into));
        Err(Reason::Said)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Option<Held>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
