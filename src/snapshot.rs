//! The snapshot: everything a query reads, immutable, swapped whole.
//!
//! `config::assemble` builds one when a file or the geo data changes; the knowledge plane hands
//! it over through a [`Publisher`]; each thread takes it once per batch. Health is not part of what is
//! swapped: it is the shared table of words inside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::geo::map::MapSpec;
use crate::geo::table::GeoMap;
use crate::geo::world::World;
use crate::health::table::HealthTable;
use crate::limit::Limit;
use crate::limit::networks::Audience;
use crate::region::{AreaId, Pool, Region};
use crate::steer::record::Record;
use crate::steer::resolved::Resolved;
use crate::steer::stages::Staged;
use crate::wire::chaos::Chaos;
use crate::wire::cookie::Secrets;
use crate::wire::name::Name;
use crate::zone::Zone;
use crate::zone::catalog::Catalog;

/// Everything a query reads.
#[derive(Debug)]
pub struct Snapshot {
    /// How many snapshots came before it.
    pub generation: u64,
    /// The zones, by apex.
    pub catalog: Catalog<Served>,
    /// Every pool; `PoolId` is a place in this list.
    pub pools: Box<[Pool]>,
    /// Records whose clients go from some pools to others over time.
    pub staged: Box<[Staged]>,
    /// The names of the areas of clients; `AreaId` 1 is the first.
    pub areas: Box<[Box<str>]>,
    /// Every region; `RegionId` is a place in this list.
    pub regions: Box<[Region]>,
    /// Which pools may be handed out. Shared by all snapshots with the same pools.
    pub health: Arc<HealthTable>,
    /// Where addresses are, for `explain`.
    pub world: Arc<World>,
    /// Zones and records are more than a core's own cache holds.
    pub spread: bool,
    /// Largest UDP answer in octets.
    pub udp_size: u16,
    /// Whose client subnets are believed.
    pub client_subnet: Audience,
    /// What the server calls itself where it is asked (RFC 5001).
    pub nsid: Option<Box<[u8]>>,
    /// What it tells of itself in class CH (RFC 4892).
    pub chaos: Chaos,
    /// Who is told why an answer is what it is.
    pub extended_errors: ExtendedRule,
    /// How long a TCP connection may be idle.
    pub tcp_idle: Duration,
    /// What is made of DNS cookies; `None` when they are ignored.
    pub cookies: Option<CookieRule>,
    /// How many answers a network may have over UDP; `None` for any number.
    pub limit: Option<Limit>,
    /// What turns the time of a batch into the time of day. Shared by all snapshots.
    pub wall: Arc<Wall>,
    /// The names that flattened records lead to, each once.
    pub resolved: Box<[Arc<Resolved>]>,
    /// How they are resolved, for whoever does.
    pub resolving: Resolving,
    /// Every map and what it was compiled from, to be shared and used again.
    pub(crate) maps: Vec<(MapSpec, Arc<GeoMap>)>,
    /// The splits that were merged when the maps were compiled.
    pub(crate) min_prefix: (u8, u8),
}

/// Who is told why an answer is what it is (RFC 8914).
#[derive(Debug)]
pub struct ExtendedRule {
    /// Why a query is refused or cannot be read.
    pub refusals: Audience,
    /// What health has done to an answer.
    pub steering: Audience,
}

/// How names that are flattened are resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolving {
    /// Who is asked; those of the system, when empty.
    pub resolvers: Vec<SocketAddr>,
    /// How long addresses are answered after they could not be resolved again.
    pub max_stale: Duration,
}

/// What is made of DNS cookies.
#[derive(Debug)]
pub struct CookieRule {
    /// What they are made and checked with.
    pub secrets: Secrets,
    /// Whether a client that knows cookies must show a valid one over UDP.
    pub require: bool,
}

/// The time of day at which the process's own time began, in seconds since 1970. Written by
/// whoever has a clock, again and again, for the time of day may be corrected.
#[derive(Debug, Default)]
pub struct Wall(AtomicU64);

impl Wall {
    /// Says that the time of day is `seconds` since 1970 when the process's own time is `now`.
    pub fn set(&self, seconds: u64, now: Duration) {
        self.0.store(seconds.saturating_sub(now.as_secs()), Ordering::Relaxed);
    }

    /// Seconds since 1970 when the process's own time is `now`.
    #[inline]
    pub fn at(&self, now: Duration) -> u64 {
        self.0.load(Ordering::Relaxed) + now.as_secs()
    }
}

/// One zone that is served.
#[derive(Debug)]
pub struct Served {
    /// The apex.
    pub origin: Name,
    /// Static data.
    pub zone: Arc<Zone>,
    /// Steered records; the numbers in the zone's nodes are places in this list.
    pub records: Box<[Record]>,
}

impl Snapshot {
    /// Whether client subnets are believed whoever sends them, or not at all: nothing depends on
    /// the source.
    #[inline]
    pub const fn believes_everybody(&self) -> bool {
        !matches!(self.client_subnet, Audience::Some { .. })
    }

    /// The area of this name.
    pub fn area(&self, name: &str) -> Option<AreaId> {
        AreaId::at(self.areas.iter().position(|area| **area == *name)?)
    }

    /// Every distinct map.
    pub fn maps(&self) -> impl Iterator<Item = &GeoMap> {
        self.maps.iter().map(|(_, map)| &**map)
    }
}

/// Hands snapshots over to the query threads and takes back what they let go of, so that no
/// query thread ever pays for freeing one.
#[derive(Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    retired: Vec<Arc<Snapshot>>,
}

impl Publisher {
    /// Begins with `first`.
    pub fn new(first: Snapshot) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(first)), retired: Vec::new() }
    }

    /// Where the query threads look.
    pub fn source(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.current)
    }

    /// The snapshot in use.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts `next` in use for every batch that begins from here on. Frees nothing, which takes
    /// long: that is left to [`sweep`](Self::sweep).
    pub fn publish(&mut self, next: Snapshot) {
        self.retired.push(self.current.swap(Arc::new(next)));
    }

    /// Frees snapshots that no thread holds any longer; returns how many.
    pub fn sweep(&mut self) -> usize {
        let before = self.retired.len();
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        before - self.retired.len()
    }
}
