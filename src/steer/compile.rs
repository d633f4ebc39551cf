//! From what was written to what a query reads: [`RecordSpec`] to [`Record`].

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::geo::map::{self, MapSpec, OrderBy};
use crate::geo::table::GeoMap;
use crate::region::{Location, Pool, PoolId, Region, Target};
use crate::steer::record::{
    ANSWERS_MAX, Candidate, Policy, PolicySpec, Record, RecordSpec, Rule, RuleSpec, Site,
};
use crate::steer::tally::Tallies;
use crate::steer::weight::Alias;

/// What the map of a record must be compiled from. Records with equal specs share one map.
pub fn map_spec(record: &RecordSpec, pools: &[Pool], regions: &[Region]) -> MapSpec {
    let sites = sites(record);
    MapSpec {
        sites: sites
            .iter()
            .map(|site| {
                let region = pools[site.pool.0 as usize].region;
                let location = regions[usize::from(region.0)].location;
                map::Site { region, location, bias: site.bias }
            })
            .collect(),
        rules: record.rules.iter().map(|rule| map_rule(rule, &sites)).collect(),
    }
}

/// The record itself, around a map compiled from its [`map_spec`].
pub fn record(
    spec: &RecordSpec,
    pools: &[Pool],
    regions: &[Region],
    map: Arc<GeoMap>,
    tallies: &mut Tallies,
) -> Record {
    let sites = sites(spec);
    let owner = spec.owner.to_string();
    let rules = spec.rules.iter().map(|rule| compile_rule(rule, &sites)).collect();
    let sites: Box<[Site]> = sites
        .iter()
        .map(|site| {
            let pool = &pools[site.pool.0 as usize];
            let location = regions[usize::from(pool.region.0)].location;
            let (has_v4, has_v6) = families(&pool.target);
            Site {
                pool: site.pool,
                has_v4,
                has_v6,
                at: location.map(|at| (unit_vector(at), 1.0 - f32::from(site.bias) / 100.0)),
                tally: tallies.of(&owner, &pool.name),
            }
        })
        .collect();
    let by_name = |site: &Site| !matches!(pools[site.pool.0 as usize].target, Target::Vips(_));
    Record {
        owner: spec.owner.clone(),
        ttl: spec.ttl,
        answers: spec.answers.clamp(1, ANSWERS_MAX as u8),
        steers_v4: sites.iter().any(|site| site.has_v4),
        steers_v6: sites.iter().any(|site| site.has_v6),
        steers_all: sites.iter().any(by_name),
        map,
        rules,
        tally: tallies.of(&owner, ""),
        sites,
    }
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
    let number = |candidate: &Candidate| sites.iter().position(|site| same_site(site, candidate));
    rule.pools.iter().filter_map(number).map(|at| at as u16).collect()
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

fn map_rule(rule: &RuleSpec, sites: &[Candidate]) -> map::RuleSpec {
    let (order, own) = match rule.policy {
        PolicySpec::Nearest => (OrderBy::Nearest, own_sites(rule, sites)),
        PolicySpec::Failover => (OrderBy::Listed, own_sites(rule, sites)),
        // Chosen without the map, so that its scope stays as wide as the rule.
        PolicySpec::Weighted | PolicySpec::RoundRobin => (OrderBy::Listed, Vec::new()),
    };
    map::RuleSpec { matcher: rule.matcher.clone(), order, own, others: other_sites(rule, sites) }
}

fn compile_rule(rule: &RuleSpec, sites: &[Candidate]) -> Rule {
    let weights: Vec<u32> = rule.pools.iter().map(|candidate| candidate.weight).collect();
    Rule {
        clients: rule.matcher.to_string().into(),
        policy: match rule.policy {
            PolicySpec::Failover => Policy::Failover,
            PolicySpec::Nearest => Policy::Nearest,
            PolicySpec::Weighted => {
                Policy::Weighted { alias: Alias::new(&weights), weights: weights.into() }
            }
            PolicySpec::RoundRobin => Policy::RoundRobin { turn: AtomicU32::new(0) },
        },
        own: own_sites(rule, sites).into(),
        others: other_sites(rule, sites).into(),
        fence: rule.fence,
        panic_below: rule.panic_below,
        last_resort: rule.last_resort.clone(),
    }
}
