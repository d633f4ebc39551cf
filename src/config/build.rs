//! All files together: read, put in relation, and every fault of all of them told.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::SystemTime;

use super::decode::{self, Faults, Node};
use super::pools::{Inventory, Pools};
use super::records::Read;
use super::regions::Regions;
use super::zones::Files;
use super::{
    Config, Previous, ZoneConfig, abuse, aliases, areas, groups, hosts, latency, lint, monitors,
    nests, networks, pool_names, pools, records, regions, settings, zones,
};
use crate::bundle::store;
use crate::diagnostics::{Diagnostic, Source};
use crate::region::Target;
use crate::steer::record::{LastResort, RecordSpec};
use crate::wire::name::Name;
use crate::wire::types::Rtype;
use crate::zone::SteeredName;
use crate::zone::hash::HashKey;

/// What came of reading the files.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when any fault is an error.
    pub config: Option<Config>,
    /// Every fault of every file, in the order of files and of places in them.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads everything `path` leads to: `meridian.toml`, or the folder in which it stands, where
/// it may be missing. Zones that have not changed are taken over from `previous`.
///
/// Relative paths are completed by the folder of `meridian.toml`; faults name files relative
/// to it.
pub fn load(path: &Path, previous: Option<Previous<'_>>) -> Loaded {
    load_files(path, previous, None)
}

/// Reads as [`load`] does, but zones, regions and monitors from the folder `files`. Without it
/// they come from the bundle that is served, where `[bundle]` is set and there is one, else from
/// the folder of `meridian.toml`.
pub fn load_files(path: &Path, previous: Option<Previous<'_>>, files: Option<&Path>) -> Loaded {
    let mut faults = Faults::default();
    let config =
        Builder::new(path, files, &mut faults).and_then(|b| b.build(previous, &mut faults));
    let config = config.filter(|_| !faults.any_error());
    Loaded { config, diagnostics: faults.finish() }
}

struct Builder {
    root: PathBuf,
    settings: settings::Read,
}

/// A zone while it is put together.
struct Draft {
    files: Files,
    policy: Option<(Pools, Vec<Read>)>,
}

impl Builder {
    fn new(path: &Path, files: Option<&Path>, faults: &mut Faults) -> Option<Self> {
        let (root, file) = if path.is_dir() {
            (path.to_owned(), PathBuf::from("meridian.toml"))
        } else {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let file = path.file_name().unwrap_or(path.as_os_str());
            (parent.unwrap_or_else(|| Path::new(".")).to_owned(), PathBuf::from(file))
        };
        let source = if path.is_dir() {
            optional(&root, &file, faults)
        } else {
            match Source::read(&root, &file) {
                Ok(source) => Some(source),
                Err(error) => {
                    let message = format!("cannot read '{}': {error}", path.display());
                    faults.push(Diagnostic::unplaced(message));
                    return None;
                }
            }
        };
        let document = source.map(|source| decode::parse(&source, faults));
        let mut settings = settings::read(document.as_ref(), &root, faults);
        let served = || {
            settings.settings.bundle.as_ref()?;
            store::serving(&settings.settings.state)
        };
        let Some(folder) = files.map(Path::to_owned).or_else(served) else {
            return Some(Self { root, settings });
        };
        settings.settings.zones = folder.join("zones");
        Some(Self { root: folder, settings })
    }

    fn build(self, previous: Option<Previous<'_>>, faults: &mut Faults) -> Option<Config> {
        let regions_file = self.document("geo/regions.toml", faults);
        let regions = regions::read(borrowed(&regions_file), faults);
        let groups = self.document("geo/groups.toml", faults);
        let groups = groups::read(groups.as_ref().map(|(_, document)| document), faults);
        let areas = areas::read(self.settings.areas.as_ref(), &groups, faults);
        let networks = self.document("geo/networks.toml", faults);
        let networks = networks
            .map(|(_, document)| networks::read(&document, &regions, faults))
            .unwrap_or_default();
        let monitors_file = self.document("probes/monitors.toml", faults);
        let monitors = monitors::read(
            borrowed(&monitors_file),
            Some(self.settings.settings.vantages.list.len()),
            faults,
        );
        self.refuse_vantages(faults);
        let names: Vec<&str> = areas.iter().map(|area| &*area.name).collect();
        self.settings.vantages.check_areas(&names, faults);

        let mut inventory = Inventory::default();
        let measuring = latency::Vantages {
            state: &self.settings.settings.state,
            monitors: &monitors,
            measure: !self.settings.settings.vantages.networks.is_empty(),
        };
        let latencies =
            latency::Files::new(&self.root, &regions, self.settings.settings.min_prefix, measuring);
        let mut drafts =
            self.policies(&regions, &groups, &monitors, &latencies, &mut inventory, faults);
        let (latency_files, latency_monitors) = (latencies.paths(), latencies.monitors());
        let key = previous.map_or_else(HashKey::random, |previous| previous.config.key);
        let cookie_secret = match previous {
            Some(Previous { config, .. }) => config.cookie_secret,
            None => abuse::draw(faults)?,
        };
        let built = self.zones(&drafts, &inventory, key, previous, faults);

        inventory.tell_alike(faults);
        let steered: Vec<&Read> = drafts.iter().flat_map(Draft::records).collect();
        lint::loops(&steered, &inventory, faults);
        for (pools, records) in drafts.iter().filter_map(|draft| draft.policy.as_ref()) {
            aliases::lead_on(records, pools, &built, faults);
        }
        if faults.any_error() {
            return None;
        }
        let off = self.settings.client_subnet_off.as_ref();
        lint::client_subnet(off, &steered, faults);
        let used: Vec<_> = drafts.iter().filter_map(|draft| draft.policy.as_ref()).collect();
        let used: Vec<_> = used.into_iter().map(|(pools, records)| (pools, &**records)).collect();
        let pinned: Vec<_> = networks.iter().map(|network| network.place.region).collect();
        lint::unused(&used, &inventory, &regions, &pinned, &monitors, faults);
        groups.unused(faults);
        let vantages = &self.settings.settings.vantages.list;
        areas::unwatched(self.settings.areas.as_ref(), vantages, faults);

        let zones = drafts.iter_mut().zip(built).filter_map(|(draft, zone)| {
            let mut zone = zone?;
            let records = draft.policy.take().map(|(_, records)| records).unwrap_or_default();
            zone.records = records.into_iter().map(|record| record.spec).collect();
            Some(zone)
        });
        let zones = zones.collect();
        let Inventory { pools, pool_checks, pool_needs, checks, rules, composites, .. } = inventory;
        let Regions { list: regions, .. } = regions;
        let settings = self.settings.settings;
        Some(Config {
            key,
            cookie_secret,
            settings,
            regions,
            areas,
            networks,
            pools,
            checks,
            rules,
            composites,
            pool_checks,
            pool_needs,
            zones,
            latency_files,
            latency_monitors,
        })
    }

    /// Reads one of the files that may be missing.
    fn document(&self, path: &str, faults: &mut Faults) -> Option<(Arc<Source>, Node)> {
        let source = optional(&self.root, Path::new(path), faults)?;
        let document = decode::parse(&source, faults);
        Some((source, document))
    }

    fn refuse_vantages(&self, faults: &mut Faults) {
        let path = Path::new("probes/vantages.toml");
        if let Some(source) = optional(&self.root, path, faults) {
            let place = decode::at(&source, 0..0);
            let fault = Diagnostic::error("vantages stand in meridian.toml", place);
            faults.push(fault.help("write [vantage.NAME] there, and remove this file"));
        }
    }

    /// Reads the policy file of every zone.
    fn policies(
        &self,
        regions: &Regions,
        groups: &groups::Groups,
        monitors: &monitors::Monitors,
        latencies: &latency::Files<'_>,
        inventory: &mut Inventory,
        faults: &mut Faults,
    ) -> Vec<Draft> {
        let found = zones::discover(&self.root, &self.settings.settings.zones, faults);
        let origins: Vec<Name> = found.iter().map(|files| files.origin.clone()).collect();
        let mut drafts = Vec::new();
        for files in found {
            let source = files.policy.as_ref().and_then(|path| optional(&self.root, path, faults));
            let policy = source.map(|source| {
                let document = decode::parse(&source, faults);
                self.policy(
                    &source, &document, &files, &origins, regions, groups, monitors, latencies,
                    inventory, faults,
                )
            });
            drafts.push(Draft { files, policy });
        }
        drafts
    }

    #[expect(clippy::too_many_arguments, reason = "a policy file refers to every other file")]
    fn policy(
        &self,
        source: &Arc<Source>,
        document: &Node,
        files: &Files,
        origins: &[Name],
        regions: &Regions,
        groups: &groups::Groups,
        monitors: &monitors::Monitors,
        latencies: &latency::Files<'_>,
        inventory: &mut Inventory,
        faults: &mut Faults,
    ) -> (Pools, Vec<Read>) {
        let origin = &files.origin;
        let mut fields = document.fields("a policy file", faults);
        let mut get = |key| fields.as_mut().and_then(|fields| fields.get(key));
        let (pool_table, record_table) = (get("pool"), get("record"));
        let group_table = get("group");
        let context = pools::Context { regions, monitors, origin };
        let pools = pools::read(pool_table, source, &context, inventory, faults);
        let nests = nests::read(group_table, record_table, &pools, faults);
        let ttl = self.settings.ttl;
        let context = records::Context {
            origin,
            origins,
            pools: &pools,
            groups,
            nests: &nests,
            latencies,
            ttl,
        };
        let mut records = records::read(record_table, &context, faults);
        pool_names::add(&mut records, &pools, faults);
        if let Some(fields) = fields {
            fields.finish(faults);
        }
        for record in &records {
            lint::record(record, &pools, inventory, regions, faults);
        }
        lint::groups(&nests, &records, faults);
        if files.master.is_none() {
            let place =
                records.first().map_or_else(|| decode::at(source, 0..0), |r| r.place.clone());
            let mut path = source.path.clone();
            path.set_extension("zone");
            let fault = Diagnostic::error(format!("there is no zone {origin} to steer in"), place);
            faults.push(fault.help(format!("write its master file, '{}'", path.display())));
        }
        (pools, records)
    }

    /// Reads the static data of every zone, in the order of `drafts`. When nothing is in force
    /// yet every core helps; later they have queries to answer.
    fn zones(
        &self,
        drafts: &[Draft],
        inventory: &Inventory,
        key: HashKey,
        previous: Option<Previous<'_>>,
        faults: &mut Faults,
    ) -> Vec<Option<ZoneConfig>> {
        let old = zones::by_origin(previous.map(|p| &*p.config.zones).unwrap_or_default());
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(draft) = drafts.get(at)
            {
                let mut faults = Faults::default();
                let old = old.get(&draft.files.origin).copied();
                let previous = old.zip(previous.map(|previous| previous.read_at));
                let zone = self.zone(draft, inventory, key, previous, &mut faults);
                done.push((at, zone, faults));
            }
            done
        };
        let cores =
            if previous.is_some() { Ok(NonZero::<usize>::MIN) } else { available_parallelism() };
        let helpers = cores.map_or(0, |cores| cores.get() - 1).min(drafts.len().saturating_sub(1));
        let mut done = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for helper in helpers {
                match helper.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_by_key(|(at, ..)| *at);
        done.into_iter()
            .map(|(_, zone, told)| {
                faults.append(told);
                zone
            })
            .collect()
    }

    /// Reads the static data of a zone, or takes it over.
    fn zone(
        &self,
        draft: &Draft,
        inventory: &Inventory,
        key: HashKey,
        previous: Option<(&ZoneConfig, SystemTime)>,
        faults: &mut Faults,
    ) -> Option<ZoneConfig> {
        let steered: Vec<SteeredName> =
            draft.records().map(|record| steered_name(&record.spec, inventory)).collect();
        let files = &draft.files;
        let from = zones::From {
            root: &self.root,
            folder: &self.settings.settings.zones,
            file: files.master.as_ref()?,
        };
        let (zone, read_from) = zones::load(&from, &files.origin, &steered, key, previous, faults)?;
        for record in draft.records() {
            default_rrset(record, &zone, key, faults);
            if record.spec.of_pool {
                pool_names::free(record, &zone, key, faults);
            }
            hosts::are_hosts(&record.hosts, &zone, faults);
        }
        let origin = files.origin.clone();
        Some(ZoneConfig { origin, zone, records: Vec::new(), read_from })
    }
}

impl Draft {
    fn records(&self) -> impl Iterator<Item = &Read> {
        self.policy.iter().flat_map(|(_, records)| records)
    }
}

/// What the zone must know of a record.
fn steered_name(record: &RecordSpec, inventory: &Inventory) -> SteeredName {
    let candidates = record.rules.iter().flat_map(|rule| &rule.pools);
    let targets: Vec<&Target> =
        candidates.map(|candidate| &inventory.pools[candidate.pool.0 as usize].target).collect();
    let alias =
        |rule: &crate::steer::record::RuleSpec| matches!(rule.last_resort, LastResort::Cname(_));
    let below_apex = record.owner != record.origin;
    SteeredName {
        owner: record.owner.clone(),
        cut: targets.iter().any(|target| matches!(target, Target::Delegate(_))),
        // A CNAME at the apex is told where the record is checked.
        cname: below_apex
            && !record.names_hosts
            && !record.flatten
            && (targets.iter().any(|target| matches!(target, Target::Cname(_)))
                || record.rules.iter().any(alias)),
    }
}

/// `last_resort = "default"` answers with the zone file's RRset, which should exist.
fn default_rrset(record: &Read, zone: &crate::zone::Zone, key: HashKey, faults: &mut Faults) {
    let mut rules = record.spec.rules.iter().zip(&record.rules);
    let Some((_, places)) = rules.find(|(rule, _)| rule.last_resort == LastResort::Default) else {
        return;
    };
    let lower = record.spec.owner.to_lowercase();
    let has_default = zone.find(key.hash(lower.as_wire()), lower.as_wire()).is_some_and(|node| {
        [Rtype::A, Rtype::AAAA, Rtype::CNAME].iter().any(|rtype| node.rrset(*rtype).is_some())
    });
    if !has_default {
        let message = format!("the zone file has no addresses for {}", record.spec.owner);
        let fault = Diagnostic::warning(message, places.last_resort.clone());
        faults.push(
            fault
                .label("the last resort will be an empty answer")
                .help("add A and AAAA records of that name to the zone file"),
        );
    }
}

fn borrowed(file: &Option<(Arc<Source>, Node)>) -> Option<(&Arc<Source>, &Node)> {
    file.as_ref().map(|(source, document)| (source, document))
}

/// A file that may be missing.
fn optional(root: &Path, path: &Path, faults: &mut Faults) -> Option<Arc<Source>> {
    match Source::read(root, path) {
        Ok(source) => Some(source),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let message = format!("cannot read '{}': {error}", path.display());
            faults.push(Diagnostic::unplaced(message));
            None
        }
    }
}
