//! From checked files to what a query reads: [`Config`] and [`World`] to [`Snapshot`].

use std::sync::Arc;

use super::{Config, ZoneConfig};
use crate::geo::compile::CompileError;
use crate::geo::map::MapSpec;
use crate::geo::table::GeoMap;
use crate::geo::world::World;
use crate::health::table::HealthTable;
use crate::snapshot::{Served, Snapshot};
use crate::steer::compile;
use crate::steer::tally::Tallies;
use crate::wire::name::Name;
use crate::zone::catalog::Catalog;

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
    for zone in &config.zones {
        catalog.insert(&zone.origin, served(config, zone, &mut maps, tallies)?);
    }
    let Maps { built, min_prefix, .. } = maps;
    Ok(Snapshot {
        generation: previous.map_or(0, |previous| previous.generation + 1),
        catalog,
        pools: config.pools.clone().into(),
        regions: config.regions.clone().into(),
        health,
        world,
        udp_size: config.settings.udp_size,
        client_subnet: config.settings.client_subnet,
        maps: built,
        min_prefix,
    })
}

fn served(
    config: &Config,
    zone: &ZoneConfig,
    maps: &mut Maps<'_>,
    tallies: &mut Tallies,
) -> Result<Served, AssembleError> {
    let (pools, regions) = (&config.pools, &config.regions);
    let mut records = Vec::with_capacity(zone.records.len());
    for record in &zone.records {
        let spec = compile::map_spec(record, pools, regions);
        let map = maps
            .of(spec)
            .map_err(|source| AssembleError { record: record.owner.clone(), source })?;
        records.push(compile::record(record, pools, regions, map, tallies));
    }
    let zone_data = Arc::clone(&zone.zone);
    Ok(Served { origin: zone.origin.clone(), zone: zone_data, records: records.into() })
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
