//! From files to a snapshot: reading, geography, compiling. Knows nothing of what is in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::geography::Geography;
use crate::admin::view::DatabaseView;
use crate::config::assemble::{self, AssembleError};
use crate::config::{self, Config, Previous, Settings};
use crate::diagnostics::Diagnostic;
use crate::geo::world::World;
use crate::health::council::{CheckRule, CompositeRule, Panel, Rules};
use crate::health::intake::Timing;
use crate::health::keeper::Plan;
use crate::health::table::HealthTable;
use crate::probe;
use crate::probe::monitor::{Check, CompositeCheck, Monitor};
use crate::snapshot::Snapshot;
use crate::steer::tally::Tallies;

/// Reads and compiles; keeps what the next time can use again.
pub struct Loader {
    path: PathBuf,
    geography: Geography,
    tallies: Tallies,
    /// What was read last, and when: zones that have not changed are taken over from it.
    last: Option<(Arc<Config>, SystemTime)>,
}

/// Files that were read and are fit to be used.
pub struct Read {
    /// What they mean.
    pub config: Arc<Config>,
    /// What looks wrong in them.
    pub warnings: Vec<Diagnostic>,
    /// Where addresses are.
    pub world: Arc<World>,
    /// The databases it was made of.
    pub databases: Vec<DatabaseView>,
}

impl Loader {
    /// For the configuration at `path`: `meridian.toml` or its folder.
    pub fn new(path: PathBuf) -> Self {
        Self { path, geography: Geography::default(), tallies: Tallies::new(0), last: None }
    }

    /// Reads another configuration from here on; geo data that both use is read once.
    pub fn turn_to(&mut self, path: PathBuf) {
        self.path = path;
        self.last = None;
    }

    /// Counters of steered answers are kept for this many answering threads.
    pub fn set_threads(&mut self, threads: usize) {
        self.tallies = Tallies::new(threads);
    }

    /// Reads all files. Blocks.
    ///
    /// # Errors
    /// Every fault, when one of them is an error.
    pub fn read(&mut self) -> Result<Read, Vec<Diagnostic>> {
        self.read_files(None)
    }

    /// Reads zones, regions and monitors from the folder `files`, where one is given. Blocks.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_files(&mut self, files: Option<&Path>) -> Result<Read, Vec<Diagnostic>> {
        let read_at = SystemTime::now();
        let last = self.last.as_ref();
        let previous = last.map(|(config, read_at)| Previous { config, read_at: *read_at });
        let loaded = config::load_files(&self.path, previous, files);
        let mut faults = loaded.diagnostics;
        let Some(config) = loaded.config else { return Err(faults) };
        match self.geography.world(&config) {
            Ok(world) => {
                let config = Arc::new(config);
                self.last = Some((Arc::clone(&config), read_at));
                let databases = self.geography.views();
                Ok(Read { config, warnings: faults, world, databases })
            }
            Err(why) => {
                faults.push(Diagnostic::unplaced(why));
                Err(faults)
            }
        }
    }

    /// Compiles what was read. Blocks; takes seconds with much geography.
    ///
    /// # Errors
    /// When a record's map cannot be compiled.
    pub fn build(
        &mut self,
        read: &Read,
        previous: Option<&Snapshot>,
        health: Arc<HealthTable>,
    ) -> Result<Snapshot, AssembleError> {
        let world = Arc::clone(&read.world);
        assemble::snapshot(&read.config, world, health, previous, &mut self.tallies)
    }
}

/// The folder that paths in the configuration are relative to.
pub fn root_of(path: &Path) -> PathBuf {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new(".")).to_owned()
}

/// What health must know of a configuration.
pub fn plan(config: &Config) -> Plan {
    let checks = (&*config.checks, &*config.composites);
    let mut plan = probe::watch::plan(&config.regions, &config.pools, checks, &config.pool_checks);
    for (spec, rules) in plan.checks.iter_mut().zip(&config.rules) {
        spec.certificate_days = rules.certificate_days;
    }
    plan.areas = config.areas.iter().map(|area| area.name.clone()).collect();
    for (pool, needs) in &config.pool_needs {
        if let Some(spec) = plan.pools.get_mut(pool.0 as usize) {
            spec.needs.clone_from(needs);
        }
    }
    super::aliases::judge(config, &mut plan);
    plan
}

/// Who judges, where there are vantages.
pub fn panel(config: &Config) -> Panel {
    let vantages = &config.settings.vantages;
    let mut regions = vec![0; config.checks.len()];
    for pool in &config.pool_checks {
        let Some(of) = config.pools.get(pool.pool.0 as usize) else { continue };
        for decider in pool.members.iter().filter_map(|member| member.check) {
            for check in config.checks_of(decider) {
                if let Some(region) = regions.get_mut(check.0 as usize) {
                    *region = of.region.0;
                }
            }
        }
    }
    let composite = |composite: &CompositeCheck| CompositeRule {
        key: composite.key.clone(),
        parts: probe::watch::parts(composite, config.checks.len()),
    };
    let check = |((check, rules), region): ((&Check, &Rules), u16)| {
        let Monitor { interval, slow_interval, timeout, .. } = *check.monitor;
        CheckRule {
            key: check.key.clone(),
            region,
            timing: Timing { interval, slow_interval, timeout },
            rules: *rules,
        }
    };
    Panel {
        vantages: vantages.list.clone(),
        own: vantages.own.clone(),
        floor: vantages.voters,
        quorum: vantages.quorum,
        checks: config.checks.iter().zip(&config.rules).zip(regions).map(check).collect(),
        composites: config.composites.iter().map(composite).collect(),
        areas: config.areas.iter().map(|area| area.name.clone()).collect(),
    }
}

/// The prober's bounds.
pub const fn limits(settings: &Settings) -> probe::schedule::Limits {
    probe::schedule::Limits {
        concurrency: settings.probe.concurrency,
        per_host: settings.probe.per_host,
    }
}
