//! Reports of others: what was said of a check, and until when it holds.
//!
//! The API writes here, and a check of type `push` is "asked" here in its turn like any other, so
//! that what is concluded from reports goes the way of all samples.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::monitor::{Check, Push, Stale};
use super::trace::Trace;
use crate::health::sample::Reason;

/// Checks that may have reports at once.
pub const REPORTS_MAX: usize = 100_000;

/// The board on which reports stand.
#[derive(Debug, Default)]
pub struct Board(Mutex<HashMap<Box<str>, Held>>);

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

impl Board {
    /// Takes a report about `key` that holds for `lasting`. False when the board is full.
    pub fn tell(&self, key: &str, told: Told, lasting: Duration) -> bool {
        let now = Instant::now();
        let mut reports = self.lock();
        if reports.len() >= REPORTS_MAX && !reports.contains_key(key) {
            reports.retain(|_, held| held.until > now);
            if reports.len() >= REPORTS_MAX {
                return false;
            }
        }
        reports.insert(key.into(), Held { told, until: now + lasting });
        true
    }

    /// What is said of `check` now.
    pub(super) fn ask(&self, push: Push, check: &Check, trace: &mut Trace) -> Result<(), Reason> {
        let now = Instant::now();
        let held = {
            let reports = self.lock();
            reports.get(&check.key).map(|held| (held.until > now).then(|| held.told.clone()))
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
