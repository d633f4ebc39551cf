//! The operator's files: read, understood, and every fault told at once.
//!
//! [`load`] is the way in. `decode` (with `syntax`) makes values that know where they stand of
//! a file; `settings`, `regions`, `networks`, `monitors`, `pools`, `records` say what the keys
//! mean; `zones` reads the static data; `lint` looks at everything together; `build` leads the
//! way and makes a [`Config`]. [`report`] says what a configuration promises.
//! Nothing here serves, probes, or knows of a clock.

#![forbid(unsafe_code)]

pub mod assemble;
pub mod report;

mod abuse;
mod agent;
mod aliases;
mod areas;
mod bindings;
mod build;
mod bundle;
mod bus;
mod capacity;
mod changes;
mod chaos;
mod composites;
mod decode;
mod edns;
mod groups;
mod guards;
mod hosts;
mod latency;
mod later;
mod lint;
mod matchers;
mod monitor_expect;
mod monitor_kinds;
mod monitor_load;
mod monitors;
mod nearness;
mod nests;
mod networks;
mod offers;
mod orders;
mod pool_names;
mod pools;
mod records;
mod regions;
mod settings;
mod stays;
mod suggest;
mod syntax;
mod terms;
mod tls;
mod validity;
mod vantages;
mod zones;

#[cfg(test)]
mod tests;

pub use agent::{AgentConfig, load_agent, load_monitors};
pub use build::{Loaded, load, load_files};
pub use bundle::Bundle;
pub use bus::Bus;
pub use latency::{measured_file, measured_rows};
pub use orders::Orders;
pub use tls::{Tls, TlsServer};
pub use vantages::Vantages;
pub use zones::ReadFrom;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::geo::map::Matcher;
use crate::geo::networks::Network;
use crate::health::council::Rules;
use crate::limit;
use crate::limit::networks::AudienceSpec;
use crate::probe::monitor::{Check, CheckId, CompositeCheck, Decider, PoolChecks};
use crate::region::{Pool, PoolId, Region};
use crate::steer::record::RecordSpec;
use crate::steer::safety::SafetySpec;
use crate::wire::chaos::Chaos;
use crate::wire::cookie::Keys;
use crate::wire::name::Name;
use crate::wire::siphash::Key;
use crate::zone::Zone;
use crate::zone::hash::HashKey;

/// All files together, checked. Numbers (`RegionId`, `PoolId`, `CheckId`) are places in these
/// lists and hold only within one `Config`; across reloads things are known by name.
#[derive(Debug)]
pub struct Config {
    /// The secret names are hashed with: drawn when files are first loaded, kept over reloads.
    pub key: HashKey,
    /// What DNS cookies are made with where no secret is shared: drawn and kept in the same way.
    pub cookie_secret: Key,
    /// `meridian.toml`.
    pub settings: Settings,
    /// `geo/regions.toml`.
    pub regions: Vec<Region>,
    /// `[area.NAME]`, in the order written; `AreaId` 1 is the first.
    pub areas: Vec<Area>,
    /// `geo/networks.toml`.
    pub networks: Vec<Network>,
    /// Every pool of every zone.
    pub pools: Vec<Pool>,
    /// Every distinct check.
    pub checks: Vec<Check>,
    /// What is otherwise for each of them than for all.
    pub rules: Vec<Rules>,
    /// Every distinct composite, each behind those that are parts of it.
    pub composites: Vec<CompositeCheck>,
    /// Which checks decide over which pool; one entry per pool, in the order of `pools`.
    pub pool_checks: Vec<PoolChecks>,
    /// Pools that need others to serve, and which.
    pub pool_needs: Vec<(PoolId, Vec<PoolId>)>,
    /// Every zone with its steered records.
    pub zones: Vec<ZoneConfig>,
    /// Files of latencies that records name, to be watched.
    pub latency_files: Vec<PathBuf>,
    /// Monitors that vantages measure latencies with for some record.
    pub latency_monitors: Vec<Box<str>>,
}

impl Config {
    /// The checks that are probed for `decider`: itself, or the parts of the composite it is.
    pub fn checks_of(&self, decider: Decider) -> Vec<CheckId> {
        match decider {
            Decider::Check(id) => vec![id],
            Decider::Composite(id) => {
                let parts = self.composites.get(id.0 as usize).map_or(&[][..], |of| &of.of);
                parts.iter().flat_map(|part| self.checks_of(*part)).collect()
            }
        }
    }
}

/// The configuration before, whose zones are taken over where they have not changed.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'c> {
    /// What was read.
    pub config: &'c Config,
    /// When reading began.
    pub read_at: SystemTime,
}

/// `[area.NAME]`: clients from whom a region may look otherwise than from the rest of the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// The name operators use.
    pub name: Box<str>,
    /// Which clients. One who is in several areas counts as one of the first.
    pub matcher: Matcher,
}

/// One zone: its master file compiled, and what is steered in it.
#[derive(Debug)]
pub struct ZoneConfig {
    /// The apex.
    pub origin: Name,
    /// The static data; its steered nodes carry places in `records`.
    pub zone: Arc<Zone>,
    /// The steered records.
    pub records: Vec<RecordSpec>,
    /// What it was read from, to tell at the next reload whether it has changed.
    pub read_from: ReadFrom,
}

/// `meridian.toml`. Every key has a default that works. Paths are absolute or relative to the
/// folder of `meridian.toml`, and already joined to it here.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `listen`: UDP and TCP addresses. Default `["0.0.0.0:53", "[::]:53"]`.
    pub listen: Vec<SocketAddr>,
    /// `workers`: UDP threads. Default: one per core.
    pub workers: usize,
    /// `zones`: folder of zone and policy files. Default `zones`.
    pub zones: PathBuf,
    /// `geo.databases`: mmdb files in order of trust. Default: every `geo/*.mmdb`, by name;
    /// the embedded country table stands in where none exists.
    pub databases: Vec<PathBuf>,
    /// `geo.min_prefix`: splits longer than this are merged unless the operator wrote them.
    /// Default IPv4 24, IPv6 56 (what public resolvers send).
    pub min_prefix: (u8, u8),
    /// `state`: folder for what must survive a restart. Default `state`.
    pub state: PathBuf,
    /// `api`: address of the HTTP API and metrics; `None` when `api = "off"`.
    /// Default `127.0.0.1:8053`.
    pub api: Option<SocketAddr>,
    /// `edns.udp_size`: largest UDP answer in octets. Default 1232 (RFC 9715 section 3).
    pub udp_size: u16,
    /// `edns.client_subnet`: whose client subnets are believed (RFC 7871). Default everybody's.
    pub client_subnet: AudienceSpec,
    /// `edns.nsid`: what the server calls itself where it is asked (RFC 5001). Default nothing.
    pub nsid: Option<Vec<u8>>,
    /// `[chaos]`: what is told in class CH. Default nothing.
    pub chaos: Chaos,
    /// `[edns.extended_errors]`.
    pub extended_errors: ExtendedErrors,
    /// `[tcp]`.
    pub tcp: Tcp,
    /// `[tls]`; `None` without it.
    pub tls: Option<Tls>,
    /// `[bundle]`; `None` without it.
    pub bundle: Option<Bundle>,
    /// `[orders]`.
    pub orders: Orders,
    /// `[bus]`; `None` without it.
    pub bus: Option<Bus>,
    /// `[cookies]`; `None` when they are off.
    pub cookies: Option<Cookies>,
    /// `[rate_limit]`; `None` without it.
    pub rate_limit: Option<limit::Spec>,
    /// `[aliases]`.
    pub aliases: Aliases,
    /// `[probe]`.
    pub probe: Probe,
    /// `[safety]`: what people and automation may move. Default everything.
    pub safety: SafetySpec,
    /// `[log] decisions`: `None` without it.
    pub decisions: Option<Decisions>,
    /// `[vantage.NAME]`, `[health]` and `[node]`. Default no vantages: this node's prober decides.
    pub vantages: Vantages,
}

/// `[aliases]`: how names that are flattened are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aliases {
    /// `resolvers`: who is asked. Default those of the system, when empty.
    pub resolvers: Vec<SocketAddr>,
    /// `max_stale`: how long addresses are answered after they could not be resolved again.
    /// Default one day (RFC 8767 section 5).
    pub max_stale: Duration,
}

/// `[log] decisions`: where a sample of all decisions is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decisions {
    /// `sample`: one of how many decisions is written, at least 1.
    pub one_of: u64,
    /// `file`: where. Default `decisions.jsonl` in the state folder.
    pub file: PathBuf,
    /// `max_size`: octets after which a new file is begun; one older file is kept.
    /// Default 64 MB.
    pub max_size: u64,
}

/// `[edns.extended_errors]`: who is told why an answer is what it is (RFC 8914).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedErrors {
    /// `refusals`: who learns why a query is refused or cannot be read. Default everybody.
    pub refusals: AudienceSpec,
    /// `steering`: who learns what health has done to an answer. Default loopback.
    pub steering: AudienceSpec,
}

/// `[tcp]`: bounds of TCP service (RFC 7766).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// `idle_timeout`: a connection without a query for this long is closed. Default 10 s.
    pub idle_timeout: Duration,
    /// `connections`: open connections in all. Default 1024.
    pub connections: usize,
    /// `connections_per_client`: open connections from one address. Default 64.
    pub connections_per_client: usize,
}

/// `[cookies]`: DNS cookies (RFC 7873).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookies {
    /// `require`: a client that knows cookies must show a valid one over UDP. Default false.
    pub require: bool,
    /// `secret_file`: where the shared secrets stand. Default none.
    pub secret_file: Option<PathBuf>,
    /// What it holds. `None` where this process draws its own.
    pub shared: Option<Keys>,
}

/// `[probe]`: bounds of the daemon's own prober.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// `concurrency`: probes under way at once. Default 256.
    pub concurrency: usize,
    /// `per_host`: probes under way at once to one address. Default 2.
    pub per_host: usize,
    /// `start_wait`: how long a start waits with its first answer for the first evidence of
    /// members it has never heard of. Default 3 s.
    pub start_wait: Duration,
}
