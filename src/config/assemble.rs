//! From checked files to what a query reads: [`Config`] and [`World`] to [`Snapshot`].

use std::collections::HashMap;
use std::sync::Arc;

use super::{Config, ZoneConfig};
use crate::geo::compile::CompileError;
use crate::geo::map::{MapSpec, Matcher};
use crate::geo::table::GeoMap;
use crate::geo::world::World;
use crate::health::table::HealthTable;
use crate::limit::Limit;
use crate::limit::networks::Audience;
use crate::snapshot::{CookieRule, ExtendedRule, Resolving, Served, Snapshot};
use crate::steer::compile;
use crate::steer::record::{AnswerOrder, Plan, RecordSpec, RuleSpec, TtlRange};
use crate::steer::resolved::Resolved;
use crate::steer::service::ServiceSpec;
use crate::steer::stages::Staged;
use crate::steer::tally::Tallies;
use crate::wire::cookie::Secrets;
use crate::wire::name::Name;
use crate::zone::catalog::Catalog;

/// Octets that stay in a core's second-level cache beside everything else.
const CACHED: usize = 1 << 19;
/// Octets of a steered record that its answers need, counters included.
const RECORD: usize = 512;

/// A map could not be compiled.
#[derive(Debug, thiserror::Error)]
#[error("cannot compile the map of {record}")]
pub struct AssembleError {
    /// The record it is for.
    pub record: Name,
    /// Why.
    pub source: CompileError,
}

/// The snapshot that means `config` over `world`. Maps of `previous` are used again where world
/// and spec are the same.
pub fn snapshot(
    config: &Config,
    world: Arc<World>,
    health: Arc<HealthTable>,
    previous: Option<&Snapshot>,
    tallies: &mut Tallies,
) -> Result<Snapshot, AssembleError> {
    let mut maps = Maps::new(&world, config.settings.min_prefix, previous);
    let mut catalog = Catalog::new(config.key);
    let threads = tallies.threads();
    let mut staged = Vec::new();
    let mut plans = Plans {
        config,
        maps: &mut maps,
        threads,
        areas: config.areas.iter().map(|area| area.matcher.clone()).collect(),
        names: Names::new(previous),
        known: HashMap::new(),
    };
    for zone in &config.zones {
        let served = served(zone, &mut plans, tallies)?;
        let records = zone.records.iter().zip(&served.records);
        staged.extend(records.filter_map(|(spec, record)| Staged::of(spec, record)));
        catalog.insert(&zone.origin, served);
    }
    let resolved: Vec<_> = plans.names.used.into_values().collect();
    let Maps { built, min_prefix, .. } = maps;
    let held = |served: &Served| served.zone.memory() + served.records.len() * RECORD;
    let spread = catalog.values().map(held).sum::<usize>() > CACHED;
    Ok(Snapshot {
        generation: previous.map_or(0, |previous| previous.generation + 1),
        catalog,
        pools: config.pools.clone().into(),
        staged: staged.into(),
        areas: config.areas.iter().map(|area| area.name.clone()).collect(),
        regions: config.regions.clone().into(),
        health,
        world,
        spread,
        udp_size: config.settings.udp_size,
        client_subnet: Audience::new(&config.settings.client_subnet),
        nsid: config.settings.nsid.as_deref().map(Into::into),
        chaos: config.settings.chaos.clone(),
        extended_errors: ExtendedRule {
            refusals: Audience::new(&config.settings.extended_errors.refusals),
            steering: Audience::new(&config.settings.extended_errors.steering),
        },
        // Fixed while the process runs, whatever the files say.
        tcp_idle: previous.map_or(config.settings.tcp.idle_timeout, |previous| previous.tcp_idle),
        cookies: cookies(config),
        limit: limit(config),
        wall: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.wall)),
        resolved: resolved.into(),
        resolving: Resolving {
            resolvers: config.settings.aliases.resolvers.clone(),
            max_stale: config.settings.aliases.max_stale,
        },
        maps: built,
        min_prefix,
    })
}

fn cookies(config: &Config) -> Option<CookieRule> {
    let cookies = config.settings.cookies.as_ref()?;
    let drawn = Secrets::Drawn(config.cookie_secret);
    let secrets = cookies.shared.map_or(drawn, Secrets::Shared);
    Some(CookieRule { secrets, require: cookies.require })
}

/// The queries for one address go to as many threads as there are workers.
fn limit(config: &Config) -> Option<Limit> {
    let spec = config.settings.rate_limit.as_ref()?;
    Some(Limit::new(spec, config.settings.workers))
}

fn served<'a>(
    zone: &'a ZoneConfig,
    plans: &mut Plans<'a, '_>,
    tallies: &mut Tallies,
) -> Result<Served, AssembleError> {
    let mut records = Vec::with_capacity(zone.records.len());
    for record in &zone.records {
        records.push(compile::record(record, plans.of(record)?, tallies));
    }
    let zone_data = Arc::clone(&zone.zone);
    Ok(Served { origin: zone.origin.clone(), zone: zone_data, records: records.into() })
}

/// What a plan is made of.
type PlanKey<'a> = (TtlRange, u8, bool, AnswerOrder, &'a [ServiceSpec], [bool; 2], &'a [RuleSpec]);

/// The plans of one snapshot: records that differ in their names only share one.
struct Plans<'a, 'm> {
    config: &'a Config,
    maps: &'m mut Maps<'a>,
    /// How many threads answer.
    threads: usize,
    areas: Arc<[Matcher]>,
    names: Names<'a>,
    known: HashMap<PlanKey<'a>, Arc<Plan>>,
}

impl<'a> Plans<'a, '_> {
    fn of(&mut self, record: &'a RecordSpec) -> Result<Arc<Plan>, AssembleError> {
        let RecordSpec { ttl, answers, by_source, order, names_hosts, flatten, .. } = *record;
        let by_name = [names_hosts, flatten];
        let key = (ttl, answers, by_source, order, &*record.services, by_name, &*record.rules);
        // A change is of one record: where its clients are is planned for it alone.
        let is_staged = record.rules.iter().any(|rule| !rule.new_side.is_empty());
        if let Some(plan) = self.known.get(&key).filter(|_| !is_staged) {
            return Ok(Arc::clone(plan));
        }
        let Config { pools, regions, .. } = self.config;
        let map = self
            .maps
            .of(compile::map_spec(record, pools, regions, &self.areas))
            .map_err(|source| AssembleError { record: record.owner.clone(), source })?;
        let mut plan = compile::plan(record, pools, regions, map);
        compile::count_demand(&mut plan, pools, self.threads);
        if flatten {
            compile::flatten(&mut plan, pools, |target| self.names.of(target));
        }
        let plan = Arc::new(plan);
        self.known.insert(key, Arc::clone(&plan));
        Ok(plan)
    }
}

/// The names that flattened records lead to; what is known of them is taken over.
struct Names<'a> {
    known: HashMap<&'a Name, &'a Arc<Resolved>>,
    used: HashMap<Name, Arc<Resolved>>,
}

impl<'a> Names<'a> {
    fn new(previous: Option<&'a Snapshot>) -> Self {
        let known = previous.into_iter().flat_map(|previous| &previous.resolved);
        let known = known.map(|of| (of.target(), of)).collect();
        Self { known, used: HashMap::new() }
    }

    fn of(&mut self, target: &Name) -> Arc<Resolved> {
        let known = self.known.get(target);
        let new =
            || known.map_or_else(|| Arc::new(Resolved::new(target.clone())), |of| Arc::clone(of));
        Arc::clone(self.used.entry(target.clone()).or_insert_with(new))
    }
}

/// The maps of one snapshot: records with equal specs share one.
struct Maps<'a> {
    world: &'a World,
    min_prefix: (u8, u8),
    /// Maps over the same world that need not be compiled again.
    known: &'a [(MapSpec, Arc<GeoMap>)],
    built: Vec<(MapSpec, Arc<GeoMap>)>,
}

impl<'a> Maps<'a> {
    fn new(world: &'a Arc<World>, min_prefix: (u8, u8), previous: Option<&'a Snapshot>) -> Self {
        let same = previous.filter(|previous| {
            Arc::ptr_eq(&previous.world, world) && previous.min_prefix == min_prefix
        });
        let known = same.map_or(&[][..], |previous| &previous.maps);
        Self { world, min_prefix, known, built: Vec::new() }
    }

    fn of(&mut self, spec: MapSpec) -> Result<Arc<GeoMap>, CompileError> {
        if let Some((_, map)) = self.built.iter().find(|(have, _)| *have == spec) {
            return Ok(Arc::clone(map));
        }
        let map = match self.known.iter().find(|(have, _)| *have == spec) {
            Some((_, map)) => Arc::clone(map),
            None => Arc::new(GeoMap::compile(self.world, &spec, self.min_prefix)?),
        };
        self.built.push((spec, Arc::clone(&map)));
        Ok(map)
    }
}
