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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::council::Quorum;

    #[test]
    fn monitors_bring_their_own_rules_to_the_panel_and_composites_stand_behind_checks() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write(
            "meridian.toml",
            "[vantage.a]\n[vantage.b]\n\
             key = \"ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"\n\
             [node]\nvantage = \"a\"\n[health]\nvoters = 2\nquorum = \"2/2\"\n",
        );
        write("geo/regions.toml", "[region.fra]\nlocation = [50.11, 8.68]\n");
        write(
            "probes/monitors.toml",
            "[monitor.web]\ntype = \"https\"\nquorum = \"1/2\"\nvoters = 1\n\
             certificate_warn = \"14d\"\nslow_interval = \"30s\"\n\
             [monitor.port]\ntype = \"tcp\"\nport = 25\n\
             [monitor.told]\ntype = \"push\"\n\
             [monitor.both]\ntype = \"composite\"\nof = [\"web\", \"port\", \"told\"]\n",
        );
        let zone = "$TTL 300\n@ SOA ns h 1 7200 900 1209600 300\n NS ns\nns A 192.0.2.53\n";
        write("zones/example.org.zone", zone);
        write(
            "zones/example.org.toml",
            "[pool.fra]\nregion = \"fra\"\nmembers = [\"192.0.2.1\"]\nmonitor = \"both\"\n\
             [record.www]\npolicy = \"failover\"\npools = [\"fra\"]\n",
        );
        let loaded = config::load(folder.path(), None);
        let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let (panel, plan) = (panel(&config), plan(&config));
        let all = Some(Quorum { need: 2, of: 2 });
        assert_eq!((panel.floor, panel.quorum, panel.checks.len()), (2, all, 3));
        let [web, port] = [&panel.checks[0], &panel.checks[1]];
        let own = Some(Quorum { need: 1, of: 2 });
        let rules = Rules { quorum: own, voters: Some(1), certificate_days: Some(14) };
        assert_eq!((web.rules, port.rules), (rules, Rules::default()));
        let told = &panel.checks[2];
        assert_eq!(told.rules.voters, Some(1), "one node has heard it");
        assert!(plan.checks[2].pushed && !plan.checks[0].pushed);
        assert_eq!(web.timing.slow_interval.as_secs(), 30);
        assert_eq!(&*panel.composites[0].key, "both@192.0.2.1");
        assert_eq!(panel.composites[0].parts.of, [0, 1, 2]);
        let days: Vec<_> = plan.checks.iter().map(|check| check.certificate_days).collect();
        assert_eq!(days, [Some(14), None, None, None]);
        assert_eq!(plan.pools[0].members[0].check, Some(3), "the composite decides");
        assert_eq!(plan.checks[3].parts, Some(panel.composites[0].parts.clone()));
    }
}
