//! Resolving the names that flattened records lead to, and telling health which lead nowhere.
//!
//! Each name is asked for A and AAAA before its TTL ends; queries read what came, and never wait.
//! What fails keeps its last good addresses for a while (RFC 8767). A name in a zone of ours is
//! looked up there.

mod course;
pub mod store;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use metrics::{counter, gauge};
use tokio::sync::watch as signal;
use tokio::task::JoinSet;

pub use course::{Came, Course, Standing, THRESHOLDS};

use super::Daemon;
use crate::admin::catalog;
use crate::config::Config;
use crate::health::keeper::{CheckSpec, Plan};
use crate::health::sample::Sample;
use crate::region::{Family, PoolId, Target};
use crate::snapshot::{Resolving, Snapshot};
use crate::steer::chance::Chance;
use crate::steer::resolved::Resolved;
use crate::wire::name::Name;
use crate::wire::types::Rtype;
use crate::zone::Zone;
use crate::zone::chase::{End, chase};
use crate::zone::hash::Suffixes;

/// How often it is looked what is due.
const TICK: Duration = Duration::from_secs(1);
/// Most questions under way at once.
const AT_ONCE: usize = 128;
/// How often what is known is written down.
const KEPT: Duration = Duration::from_secs(60);
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps the addresses of every name that is flattened.
pub struct Aliases {
    names: HashMap<Name, Followed>,
    /// What the process before this one knew, until names are followed.
    remembered: Vec<Known>,
    asked: Resolving,
    resolver: Option<TokioResolver>,
    under_way: JoinSet<(Name, Family, Came)>,
    chance: Chance,
}

struct Followed {
    resolved: Arc<Resolved>,
    courses: [Course; 2],
}

/// What is known of one name and family, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The name.
    pub target: Name,
    /// The family.
    pub family: Family,
    /// What is known.
    pub standing: Standing,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// How often in a row it could not be resolved.
    pub failures: u32,
}

/// A sample of the check of a name.
pub type Told = (Box<str>, Sample);

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Aliases {
    /// Follows no name yet. `seed` spreads the questions.
    pub fn new(seed: u64) -> Self {
        Self {
            names: HashMap::new(),
            remembered: Vec::new(),
            asked: Resolving::default(),
            resolver: None,
            under_way: JoinSet::new(),
            chance: Chance::seeded(seed),
        }
    }

    /// With what the process before this one knew.
    #[must_use]
    pub fn remembering(self, remembered: Vec<Known>) -> Self {
        Self { remembered, ..self }
    }

    /// Follows the names of `snapshot` from here on; what is remembered of them is answered.
    pub fn follow(&mut self, snapshot: &Snapshot, now: Duration) {
        self.names.retain(|name, _| snapshot.resolved.iter().any(|of| of.target() == name));
        let remembered = std::mem::take(&mut self.remembered);
        for resolved in &snapshot.resolved {
            let followed = self.names.entry(resolved.target().clone());
            followed.or_insert_with(|| {
                let courses = FAMILIES.map(|family| {
                    let is_it =
                        |of: &&Known| of.target == *resolved.target() && of.family == family;
                    let known = remembered.iter().find(is_it);
                    let course = known.map_or_else(Course::default, |known| {
                        Course::remembering(known.addresses.clone(), known.standing, now)
                    });
                    course.store(resolved, family, now);
                    course
                });
                Followed { resolved: Arc::clone(resolved), courses }
            });
        }
    }

    /// Follows the names of `snapshot`, and asks for what is due at `now`. Within a runtime.
    pub fn begin(&mut self, snapshot: &Snapshot, now: Duration) -> Vec<Told> {
        self.follow(snapshot, now);
        if !self.names.is_empty() && (self.resolver.is_none() || self.asked != snapshot.resolving) {
            self.asked = snapshot.resolving.clone();
            self.resolver = resolver(&self.asked.resolvers);
        }
        let mut inside = Vec::new();
        for (name, followed) in &mut self.names {
            for (family, course) in FAMILIES.into_iter().zip(&mut followed.courses) {
                if course.asking || course.due > now || self.under_way.len() >= AT_ONCE {
                    continue;
                }
                course.asking = true;
                match chase(name, rtype(family), |name| zone_of(snapshot, name)) {
                    End::Addresses(addresses, ttl) => {
                        inside.push((name.clone(), family, Came::Addresses(addresses, ttl)));
                    }
                    End::Away(name_there, ttl) => {
                        let resolver = self.resolver.clone();
                        let name = name.clone();
                        self.under_way.spawn(async move {
                            let came = ask(resolver, &name_there, family, ttl).await;
                            (name, family, came)
                        });
                    }
                    End::Steered(_) | End::Loop(_) => {
                        inside.push((name.clone(), family, Came::Failed));
                    }
                }
            }
        }
        let told = inside.into_iter().filter_map(|came| self.settle(came, now));
        told.collect()
    }

    /// Waits for the next answer.
    pub async fn next(&mut self) -> (Name, Family, Came) {
        loop {
            match self.under_way.join_next().await {
                Some(Ok(came)) => return came,
                // A question that panicked is asked again, and with it what else is under way.
                Some(Err(_)) => {
                    let followed = self.names.values_mut();
                    followed.flat_map(|of| &mut of.courses).for_each(|of| of.asking = false);
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Takes in an answer; what it is to health.
    pub fn settle(
        &mut self,
        (name, family, came): (Name, Family, Came),
        now: Duration,
    ) -> Option<Told> {
        let followed = self.names.get_mut(&name)?;
        let luck = f64::from(self.chance.below(1 << 16)) / f64::from(1 << 16);
        let outcome = match came {
            Came::Addresses(ref addresses, _) if !addresses.is_empty() => "resolved",
            Came::Addresses(..) | Came::Nothing => "nothing",
            Came::Failed => "failed",
        };
        counter!(catalog::ALIAS_LOOKUPS, "outcome" => outcome).increment(1);
        let course = &mut followed.courses[usize::from(family == Family::V6)];
        let sample = course.take(came, now, self.asked.max_stale, luck);
        course.store(&followed.resolved, family, now);
        sample.map(|sample| (key(&name, family), sample))
    }

    /// Asks for what is due and waits for every answer.
    pub async fn turn(&mut self, snapshot: &Snapshot, now: Duration) -> Vec<Told> {
        let mut told = self.begin(snapshot, now);
        while !self.under_way.is_empty() {
            let came = self.next().await;
            told.extend(self.settle(came, now));
        }
        self.age(now);
        told
    }

    /// Lets answers' TTLs go down with what is left of the addresses'.
    pub fn age(&self, now: Duration) {
        let mut stale = 0u32;
        for followed in self.names.values() {
            for (family, course) in FAMILIES.into_iter().zip(&followed.courses) {
                followed.resolved.set_ttl(family, course.answer_ttl(now));
                stale += u32::from(matches!(course.standing(now), Standing::Stale(_)));
            }
        }
        gauge!(catalog::ALIASES_STALE).set(stale);
    }

    /// What is known of every name, by name.
    pub fn known(&self, now: Duration) -> Vec<Known> {
        let names = self.names.iter().flat_map(|(target, followed)| {
            let families = FAMILIES.into_iter().zip(&followed.courses);
            families.map(|(family, course)| Known {
                target: target.clone(),
                family,
                standing: course.standing(now),
                addresses: course.addresses().to_vec(),
                failures: course.failures(),
            })
        });
        let mut all: Vec<Known> = names.collect();
        all.sort_by_cached_key(|known| (known.target.to_string(), known.family == Family::V6));
        all
    }
}

/// Follows and tells until the daemon ends.
pub(super) async fn run(
    daemon: Arc<Daemon>,
    mut aliases: Aliases,
    mut ends: signal::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(TICK);
    let mut kept = tokio::time::interval_at(tokio::time::Instant::now() + KEPT, KEPT);
    let tell = |told: Vec<Told>| {
        for (key, sample) in told {
            let (_, events) = daemon.health().keeper().observe(&key, &sample, daemon.now());
            daemon.health().tell(events);
        }
    };
    loop {
        let is_due = tokio::select! {
            _ = tick.tick() => {
                let snapshot = daemon.snapshot();
                if snapshot.resolved.is_empty() && aliases.names.is_empty() {
                    continue;
                }
                tell(aliases.begin(&snapshot, daemon.now()));
                aliases.age(daemon.now());
                false
            }
            came = aliases.next() => {
                tell(aliases.settle(came, daemon.now()).into_iter().collect());
                false
            }
            _ = kept.tick() => true,
            _ = ends.wait_for(|ending| *ending) => return,
        };
        *daemon.aliases() = aliases.known(daemon.now());
        if is_due {
            let at = Arc::clone(&daemon);
            if let Err(error) = super::blocking(move || at.keep_aliases()).await {
                tracing::error!("addresses of names are not remembered: {error}");
            }
        }
    }
}

/// Has names decide over the pools that are flattened: each family by whether its name leads to
/// addresses, and by the pool's monitor.
pub fn judge(config: &Config, plan: &mut Plan) {
    let records = config.zones.iter().flat_map(|zone| &zone.records);
    let rules = records.filter(|record| record.flatten).flat_map(|record| &record.rules);
    let mut pools: Vec<PoolId> = rules.flat_map(|rule| &rule.pools).map(|of| of.pool).collect();
    pools.sort_unstable();
    pools.dedup();
    let mut places: HashMap<Box<str>, u32> = HashMap::new();
    for pool in pools {
        let Some(Target::Cname(name)) = config.pools.get(pool.0 as usize).map(|of| &of.target)
        else {
            continue;
        };
        let Some(spec) = plan.pools.get_mut(pool.0 as usize) else { continue };
        let Some(member) = spec.members.pop() else { continue };
        for family in FAMILIES {
            let key = key(name, family);
            let place = *places.entry(key.clone()).or_insert_with(|| {
                plan.checks.push(CheckSpec::new(key, THRESHOLDS));
                plan.checks.len() as u32 - 1
            });
            let mut member = member.clone();
            (member.family, member.names) = (Some(family), Some(place));
            spec.members.push(member);
        }
    }
}

/// What the check of a name is known by.
fn key(name: &Name, family: Family) -> Box<str> {
    format!("{}@{}", rtype(family), name.to_lowercase()).into()
}

const fn rtype(family: Family) -> Rtype {
    match family {
        Family::V4 => Rtype::A,
        Family::V6 => Rtype::AAAA,
    }
}

fn zone_of<'s>(snapshot: &'s Snapshot, name: &Name) -> Option<&'s Zone> {
    let lower = name.to_lowercase();
    let mut suffixes = Suffixes::new();
    suffixes.split(lower.as_wire());
    let (served, _) = snapshot.catalog.find(suffixes.name(lower.as_wire()))?;
    Some(&served.zone)
}

/// Asks `servers`, or those of the system.
fn resolver(servers: &[SocketAddr]) -> Option<TokioResolver> {
    let mut builder = if servers.is_empty() {
        match TokioResolver::builder_tokio() {
            Ok(builder) => builder,
            Err(error) => {
                tracing::error!("names cannot be resolved: no resolver of the system: {error}");
                return None;
            }
        }
    } else {
        let server = |address: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let servers = servers.iter().map(server).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    set(builder.options_mut());
    match builder.build() {
        Ok(resolver) => Some(resolver),
        Err(error) => {
            tracing::error!("names cannot be resolved: {error}");
            None
        }
    }
}

fn set(options: &mut ResolverOpts) {
    options.timeout = TIMEOUT;
    options.attempts = 2;
    // Nothing is kept here: what is asked is to be heard anew, with the TTLs of every alias on the
    // way.
    options.cache_size = 0;
    options.preserve_intermediates = true;
    options.use_hosts_file = ResolveHosts::Never;
    options.edns0 = true;
}

/// The addresses of `name`, which hold no longer than `most` seconds.
async fn ask(resolver: Option<TokioResolver>, name: &Name, family: Family, most: u32) -> Came {
    let Some(resolver) = resolver else { return Came::Failed };
    let qtype = match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    };
    match resolver.lookup(name.to_string(), qtype).await {
        Ok(lookup) => {
            let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
            let addresses = lookup.answers().iter().filter_map(|record| match &record.data {
                RData::A(ip) if family == Family::V4 => Some(IpAddr::V4(ip.0)),
                RData::AAAA(ip) if family == Family::V6 => Some(IpAddr::V6(ip.0)),
                _ => None,
            });
            let mut addresses: Vec<IpAddr> = addresses.filter(is_usable).collect();
            addresses.dedup();
            Came::Addresses(addresses, ttl.min(most))
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            Came::Nothing
        }
        Err(error) => {
            tracing::debug!("{name} {qtype} was not resolved: {error}");
            Came::Failed
        }
    }
}

/// An address that clients can be sent to.
const fn is_usable(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}
