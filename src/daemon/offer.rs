//! What vantages that ask are given to probe: the checks of the configuration in force.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{Daemon, wall};
use crate::bus::{handler, subject};
use crate::config::Config;
use crate::probe::monitor::Check;
use crate::probe::set::{Offer, ProbeSet};

/// What is offered now.
#[derive(Debug, Default)]
pub(super) struct Offered(Arc<ArcSwapOption<Standing>>);

/// An offer, with what it was made of.
#[derive(Debug)]
struct Standing {
    offer: Offer,
    revision: u64,
    checks: Vec<Check>,
    vantages: Vec<Box<str>>,
}

impl Offered {
    /// Answers vantages of the configuration from here on; others hear nothing.
    pub(super) fn open(&self, daemon: &Daemon) {
        let offered = Arc::clone(&self.0);
        let answer = move |asked: crate::bus::Asked| {
            let standing = offered.load_full();
            async move {
                let standing = standing?;
                let name = subject::name_under(&asked.subject, subject::PROBESET)?;
                let is_known = standing.vantages.iter().any(|vantage| **vantage == *name);
                is_known.then(|| standing.offer.answer(&asked.bytes))
            }
        };
        daemon.attachment().bus().serve(subject::PROBESET, handler(answer));
    }

    /// Offers the checks of `config`. Their revision is the time at which they were first seen, so
    /// that what a node reads later is newer, on whichever node.
    pub(super) fn renew(&self, daemon: &Daemon, config: &Config) {
        let vantages = &config.settings.vantages;
        let Some(key) = vantages.key.as_ref().filter(|_| !vantages.list.is_empty()) else {
            self.0.store(None);
            return;
        };
        let before = self.0.load_full();
        let same = before.filter(|before| before.checks == config.checks);
        let revision = same.map_or_else(wall, |same| same.revision);
        let checks = config.checks.clone();
        let set = ProbeSet { revision, checks, canaries: Vec::new() };
        let node = daemon.attachment().name().unwrap_or_else(|| "node".to_owned());
        match Offer::new(&set, key, &node) {
            Ok(offer) => {
                let vantages = vantages.list.iter().map(|vantage| vantage.name.clone()).collect();
                let checks = set.checks;
                self.0.store(Some(Arc::new(Standing { offer, revision, checks, vantages })));
            }
            Err(fault) => tracing::error!("vantages get no new probe set: {fault}"),
        }
    }
}
