//! From what was written to what a query reads: [`RecordSpec`] to [`Plan`] and [`Record`].

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::geo::map::{self, LatencySpec, MapSpec, Matcher, OrderBy};
use crate::geo::table::GeoMap;
use crate::region::{Location, Member, Pool, PoolId, Region, Target, Vips};
use crate::steer::affinity::Affinity;
use crate::steer::dials::Dials;
use crate::steer::key::{KeyLengths, salt_of};
use crate::steer::nest::{Nest, NestSpec};
use crate::steer::record::{
    ANSWERS_MAX, Candidate, Plan, Policy, PolicySpec, Record, RecordSpec, Rule, RuleSpec, Shortcut,
    Site,
};
use crate::steer::resolved::Resolved;
use crate::steer::service::Service;
use crate::steer::spill::Spill;
use crate::steer::tally::Tallies;
use crate::steer::weight::Alias;
use crate::wire::name::Name;
use crate::wire::response::lay_out;
use crate::wire::types::{Rtype, Ttl};

/// What the map of a record must be compiled from; its clients are told apart by `areas` too.
/// Records with equal specs share one map.
pub fn map_spec(
    record: &RecordSpec,
    pools: &[Pool],
    regions: &[Region],
    areas: &Arc<[Matcher]>,
) -> MapSpec {
    let sites = sites(record);
    let spec = MapSpec {
        areas: Arc::clone(areas),
        sites: sites
            .iter()
            .map(|site| {
                let region = pools[site.pool.0 as usize].region;
                let location = regions[usize::from(region.0)].location;
                map::Site { region, location, bias: site.bias }
            })
            .collect(),
        rules: record.rules.iter().map(|rule| map_rule(record, rule, &sites)).collect(),
        latencies: latencies(record).into_iter().cloned().collect(),
    };
    spec.reduced()
}

/// The plan of a record, around a map compiled from its [`map_spec`].
pub fn plan(spec: &RecordSpec, pools: &[Pool], regions: &[Region], map: Arc<GeoMap>) -> Plan {
    let candidates = sites(spec);
    let rules =
        spec.rules.iter().map(|rule| compile_rule(rule, spec, &candidates, pools)).collect();
    let mut names: Vec<Box<str>> = Vec::new();
    let mut sites = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        let pool = &pools[candidate.pool.0 as usize];
        let location = regions[usize::from(pool.region.0)].location;
        let (has_v4, has_v6) = families(&pool.target);
        let row = names.iter().position(|name| *name == pool.name).unwrap_or(names.len());
        if row == names.len() {
            names.push(pool.name.clone());
        }
        sites.push(Site {
            pool: candidate.pool,
            row: row as u16,
            salt: salt_of(&pool.name),
            has_v4,
            has_v6,
            only_v4: only(pool, |vips| &vips.v4)
                .map(|ip| address(Rtype::A, spec.ttl.max, &ip.octets())),
            only_v6: only(pool, |vips| &vips.v6)
                .map(|ip| address(Rtype::AAAA, spec.ttl.max, &ip.octets())),
            resolved: None,
            at: location.map(|at| (unit_vector(at), 1.0 - f32::from(candidate.bias) / 100.0)),
        });
    }
    let has_vips = |site: &Site| matches!(pools[site.pool.0 as usize].target, Target::Vips(_));
    let is_flat = |site: &Site| {
        spec.flatten && matches!(pools[site.pool.0 as usize].target, Target::Cname(_))
    };
    let by_name = |site: &Site| !has_vips(site) && !is_flat(site) && !spec.names_hosts;
    let steers = |site: &Site| has_vips(site) || is_flat(site) || by_name(site);
    Plan {
        ttl: spec.ttl,
        by_source: spec.by_source,
        steers_v4: sites.iter().any(|site| site.has_v4 && steers(site)),
        steers_v6: sites.iter().any(|site| site.has_v6 && steers(site)),
        steers_all: sites.iter().any(by_name),
        order: spec.order,
        services: spec.services.iter().map(|of| Service::compile(of, &sites)).collect(),
        names_hosts: spec.names_hosts,
        map,
        rules,
        pools: names.into(),
        sites: sites.into(),
        spill: None,
    }
}

/// Has a plan count what it is asked for, by so many answering threads, if any of its pools has a
/// capacity.
pub fn count_demand(plan: &mut Plan, pools: &[Pool], threads: usize) {
    if plan.sites.iter().any(|site| has_capacity(site.pool, pools)) {
        let own = plan.rules.iter().map(|rule| rule.own.len());
        plan.spill = Some(Box::new(Spill::new(threads, plan.map.orders().len(), own)));
    }
}

fn has_capacity(pool: PoolId, pools: &[Pool]) -> bool {
    pools.get(pool.0 as usize).is_some_and(|pool| pool.capacity.is_some())
}

/// Has the names of a flattened record's pools lead to what `resolved` gives for them.
pub fn flatten(plan: &mut Plan, pools: &[Pool], mut resolved: impl FnMut(&Name) -> Arc<Resolved>) {
    for site in &mut plan.sites {
        if let Target::Cname(name) = &pools[site.pool.0 as usize].target {
            site.resolved = Some(resolved(name));
        }
    }
}

/// The record itself.
pub fn record(spec: &RecordSpec, plan: Arc<Plan>, tallies: &mut Tallies) -> Record {
    let takes_turns = plan.rules.iter().any(|rule| matches!(rule.policy, Policy::RoundRobin));
    let turns = if takes_turns { plan.rules.len() } else { 0 };
    let dialled = plan.rules.iter().any(|rule| rule.dialled);
    let own = plan.rules.iter().map(|rule| rule.own.len());
    let dials = if dialled { Dials::new(own) } else { Dials::default() };
    Record {
        dials: Arc::new(dials),
        heavy: tallies.heavy(),
        owner: spec.owner.clone(),
        pool_names: spec.pool_names,
        tally: tallies.of(&spec.owner, &plan.pools),
        plan,
        turns: (0..turns).map(|_| AtomicU32::new(0)).collect(),
    }
}

/// The address of a pool that has one member of a family, and so one answer whatever happens.
fn only<A: Copy>(pool: &Pool, members: impl Fn(&Vips) -> &Vec<Member<A>>) -> Option<A> {
    let Target::Vips(vips) = &pool.target else { return None };
    let [only] = members(vips).as_slice() else { return None };
    Some(only.address)
}

/// An address record as it goes out after its owner name.
fn address<const N: usize>(rtype: Rtype, ttl: Ttl, octets: &[u8]) -> [u8; N] {
    let mut body = [0; N];
    lay_out(&mut body, rtype, ttl, octets);
    body
}

/// Whether a pool has IPv4 and IPv6 to hand out; a name may lead to both.
const fn families(target: &Target) -> (bool, bool) {
    match target {
        Target::Vips(vips) => (!vips.v4.is_empty(), !vips.v6.is_empty()),
        Target::Cname(_) | Target::Delegate(_) => (true, true),
    }
}

/// A point on the unit sphere.
fn unit_vector(at: Location) -> [f32; 3] {
    let (sin_lat, cos_lat) = at.latitude.to_radians().sin_cos();
    let (sin_lon, cos_lon) = at.longitude.to_radians().sin_cos();
    [(cos_lat * cos_lon) as f32, (cos_lat * sin_lon) as f32, sin_lat as f32]
}

/// Every pool of the record once per bias it has, in the order in which they are first named.
fn sites(record: &RecordSpec) -> Vec<Candidate> {
    let mut sites: Vec<Candidate> = Vec::new();
    for candidate in record.rules.iter().flat_map(|rule| &rule.pools) {
        if !sites.iter().any(|site| same_site(site, candidate)) {
            sites.push(*candidate);
        }
    }
    sites
}

fn same_site(one: &Candidate, other: &Candidate) -> bool {
    one.pool == other.pool && one.bias == other.bias
}

/// Numbers of a rule's own sites.
fn own_sites(rule: &RuleSpec, sites: &[Candidate]) -> Vec<u16> {
    numbers(&rule.pools, sites)
}

fn numbers(candidates: &[Candidate], sites: &[Candidate]) -> Vec<u16> {
    let number = |candidate: &Candidate| sites.iter().position(|site| same_site(site, candidate));
    candidates.iter().filter_map(number).map(|at| at as u16).collect()
}

/// Numbers of the sites a rule falls back to: every pool of the record that is not its own.
fn other_sites(rule: &RuleSpec, sites: &[Candidate]) -> Vec<u16> {
    if rule.fence {
        return Vec::new();
    }
    let mut others: Vec<u16> = Vec::new();
    let mut seen: Vec<PoolId> = rule.pools.iter().map(|candidate| candidate.pool).collect();
    for (at, site) in sites.iter().enumerate() {
        if !seen.contains(&site.pool) {
            seen.push(site.pool);
            others.push(at as u16);
        }
    }
    others
}

/// The tables of latencies its rules count by, each once.
fn latencies(record: &RecordSpec) -> Vec<&LatencySpec> {
    let mut found: Vec<&LatencySpec> = Vec::new();
    for latency in record.rules.iter().filter_map(|rule| rule.latency.as_ref()) {
        if !found.contains(&latency) {
            found.push(latency);
        }
    }
    found
}

/// A rule's table among those of its record. There are no more tables than rules.
fn table(record: &RecordSpec, rule: &RuleSpec) -> Option<u8> {
    let latency = rule.latency.as_ref()?;
    latencies(record).iter().position(|known| *known == latency).map(|at| at as u8)
}

fn map_rule(record: &RecordSpec, rule: &RuleSpec, sites: &[Candidate]) -> map::RuleSpec {
    let (order, own) = match rule.policy {
        _ if rule.nest.as_ref().is_some_and(|nest| !nest.asks_where()) => {
            (OrderBy::Listed, Vec::new())
        }
        _ if rule.nest.is_some() => {
            let order = table(record, rule).map_or(OrderBy::Nearest, OrderBy::Latency);
            (order, own_sites(rule, sites))
        }
        PolicySpec::Nearest => (OrderBy::Nearest, own_sites(rule, sites)),
        PolicySpec::Latency => {
            let order = table(record, rule).map_or(OrderBy::Nearest, OrderBy::Latency);
            (order, own_sites(rule, sites))
        }
        PolicySpec::Failover => (OrderBy::Listed, own_sites(rule, sites)),
        // Chosen without the map, so that its scope stays as wide as the rule.
        PolicySpec::Weighted
        | PolicySpec::Hash
        | PolicySpec::RoundRobin
        | PolicySpec::Multivalue => (OrderBy::Listed, Vec::new()),
    };
    let others = other_sites(rule, sites);
    let band = rule.band.map(|band| band.width);
    map::RuleSpec { matcher: rule.matcher.clone(), order, band, own, others }
}

fn compile_rule(rule: &RuleSpec, spec: &RecordSpec, sites: &[Candidate], pools: &[Pool]) -> Rule {
    let weights: Vec<u32> = rule.pools.iter().map(|candidate| candidate.weight).collect();
    let by_chance = match rule.policy {
        PolicySpec::Weighted => rule.key.is_none(),
        PolicySpec::RoundRobin | PolicySpec::Multivalue => true,
        PolicySpec::Failover | PolicySpec::Nearest | PolicySpec::Latency | PolicySpec::Hash => {
            false
        }
    };
    let on_new_side = |candidate: &&Candidate| rule.new_side.contains(&candidate.pool);
    let new_side: Vec<Candidate> = rule.pools.iter().filter(on_new_side).copied().collect();
    let dialled = !new_side.is_empty() || rule.failback.is_some() || rule.max_share > 0;
    let dialled = dialled || sites.iter().any(|site| has_capacity(site.pool, pools));
    let answers = match (spec.answers, rule.policy) {
        (0, PolicySpec::Multivalue) => ANSWERS_MAX as u8,
        (written, _) => written.clamp(1, ANSWERS_MAX as u8),
    };
    Rule {
        clients: rule.matcher.to_string().into(),
        word: rule.policy.as_str(),
        answers,
        band: rule.band,
        latency: table(spec, rule),
        policy: match rule.policy {
            _ if rule.nest.is_some() => nested(rule, sites, pools),
            PolicySpec::Failover => Policy::Failover,
            PolicySpec::Nearest | PolicySpec::Latency => Policy::Nearest,
            // Drawing all of them one after the other is an order by chance.
            PolicySpec::Multivalue => Policy::Weighted { alias: None, weights: weights.into() },
            PolicySpec::Weighted if rule.key.is_none() => {
                Policy::Weighted { alias: Alias::new(&weights), weights: weights.into() }
            }
            PolicySpec::Weighted | PolicySpec::Hash => by_client(rule, weights, pools),
            PolicySpec::RoundRobin => Policy::RoundRobin,
        },
        own: own_sites(rule, sites).into(),
        others: other_sites(rule, sites).into(),
        fence: rule.fence,
        panic_below: rule.panic_below,
        last_resort: rule.last_resort.clone(),
        spill: rule.spill,
        shortcut: match rule.policy {
            _ if answers > 1 || rule.panic_below > 0 => Shortcut::None,
            _ if dialled || spec.ttl.varies() || rule.nest.is_some() => Shortcut::None,
            PolicySpec::Failover | PolicySpec::Nearest | PolicySpec::Latency => Shortcut::Head,
            PolicySpec::Weighted if rule.key.is_none() => Shortcut::Draw,
            PolicySpec::Weighted
            | PolicySpec::Hash
            | PolicySpec::RoundRobin
            | PolicySpec::Multivalue => Shortcut::None,
        },
        dialled,
        new_side: numbers(&new_side, sites).into(),
        key: (!by_chance).then(|| rule.key.unwrap_or(KeyLengths::DEFAULT)),
        failback: rule.failback,
        max_share: rule.max_share,
    }
}

/// Pools in groups.
fn nested(rule: &RuleSpec, sites: &[Candidate], pools: &[Pool]) -> Policy {
    let site = |pool: PoolId| {
        let candidate = rule.pools.iter().find(|candidate| candidate.pool == pool)?;
        numbers(std::slice::from_ref(candidate), sites).first().copied()
    };
    let name = |pool: PoolId| pools[pool.0 as usize].name.clone();
    let levels = rule.nest.clone().unwrap_or(NestSpec { levels: Vec::new() });
    Policy::Nested(Nest::new(&levels, site, name))
}

/// Pools that clients stay at. They are told apart by name, so that moving one in the files moves
/// nobody.
fn by_client(rule: &RuleSpec, weights: Vec<u32>, pools: &[Pool]) -> Policy {
    let salt = |candidate: &Candidate| salt_of(&pools[candidate.pool.0 as usize].name);
    let salted: Vec<_> = rule.pools.iter().map(salt).zip(weights.iter().copied()).collect();
    Policy::Hash {
        affinity: Affinity::new(&salted),
        key: rule.key.unwrap_or(KeyLengths::DEFAULT),
        weights: weights.into(),
        sticky: rule.policy == PolicySpec::Weighted,
    }
}
