//! Latencies that vantages measure, for policy `latency`: looked at now and then, written into the
//! state folder when they have clearly changed, and put in force by a reload.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Daemon;
use crate::config::{self, Config};
use crate::health::latencies::{Survey, Table};
use crate::health::persist::write_whole;

/// How often what vantages tell is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What is to be measured, by the configuration in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Measuring {
    /// The monitors that records go by.
    monitors: Vec<Box<str>>,
    survey: Arc<Survey>,
}

impl Measuring {
    pub(super) fn of(config: &Config) -> Self {
        let monitors = config.latency_monitors.clone();
        if monitors.is_empty() {
            return Self::default();
        }
        let mut survey =
            Survey { networks: config.settings.vantages.networks.clone(), ..Survey::default() };
        for pool in &config.pool_checks {
            let of = config.pools.get(pool.pool.0 as usize);
            let Some(region) = of.and_then(|of| config.regions.get(usize::from(of.region.0)))
            else {
                continue;
            };
            let deciders = pool.members.iter().filter_map(|member| member.check);
            for check in deciders.flat_map(|decider| config.checks_of(decider)) {
                if let Some(check) = config.checks.get(check.0 as usize) {
                    survey.regions.insert(check.key.clone(), region.name.clone());
                }
            }
        }
        Self { monitors, survey: Arc::new(survey) }
    }
}

/// Keeps the tables, until the daemon ends.
pub(super) async fn run(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    let mut tables: HashMap<Box<str>, Table> = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = ends.wait_for(|ending| *ending) => return,
        }
        let measuring = daemon.measuring();
        tables.retain(|monitor, _| measuring.monitors.contains(monitor));
        if measuring.monitors.is_empty() {
            continue;
        }
        let at = Arc::clone(&daemon);
        tables = super::blocking(move || {
            look(&at, &measuring, &mut tables);
            tables
        })
        .await;
    }
}

fn look(daemon: &Daemon, measuring: &Measuring, tables: &mut HashMap<Box<str>, Table>) {
    let now = daemon.now();
    let mut written = false;
    for monitor in &measuring.monitors {
        let sight = measuring.survey.look(&daemon.council(), monitor, now);
        let table = tables
            .entry(monitor.clone())
            .or_insert_with(|| Table::resumed(config::measured_rows(&daemon.state, monitor)));
        if !table.see(sight, &measuring.survey, now) {
            continue;
        }
        let file = config::measured_file(&daemon.state, monitor);
        match write_whole(&file, table.text(monitor).as_bytes()) {
            Ok(()) => written = true,
            Err(error) => tracing::error!("latencies are not written: {}: {error}", file.display()),
        }
    }
    if written {
        daemon.measured.notify_one();
    }
}

impl Daemon {
    fn measuring(&self) -> Measuring {
        self.measuring.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn measure(&self, config: &Config) {
        *self.measuring.lock().unwrap_or_else(PoisonError::into_inner) = Measuring::of(config);
    }
}
