//! What only shows when all files are seen together: names that cannot hold what they should,
//! rules that never match, loops, things nobody uses.

use std::collections::{HashMap, HashSet};

use super::decode::Faults;
use super::matchers;
use super::monitors::Monitors;
use super::nests::Nests;
use super::pools::{Defined, HandsOut, Inventory, Pools};
use super::records::Read;
use super::regions::Regions;
use crate::diagnostics::{Diagnostic, Span};
use crate::region::{PoolId, RegionId, Target};
use crate::steer::record::{LastResort, PolicySpec};
use crate::wire::name::Name;
use crate::wire::types::Rtype;

/// Checks one record against the pools and regions it uses.
pub(super) fn record(
    record: &Read,
    pools: &Pools,
    inventory: &Inventory,
    regions: &Regions,
    faults: &mut Faults,
) {
    let by_id: HashMap<PoolId, &Defined> =
        pools.by_name.values().map(|pool| (pool.id, pool)).collect();
    hand_overs(record, &by_id, inventory, faults);
    named_hosts(record, pools, faults);
    locations(record, &by_id, inventory, regions, faults);
    last_resorts(record, faults);
    if record.sound {
        unreachable_rules(record, faults);
        untold_loads(record, &by_id, inventory, faults);
        idle_spills(record, inventory, faults);
    }
}

/// The pools of a record, each once, in the order in which they are first named.
pub(super) fn pools_of<'p>(
    record: &Read,
    pools: &'p Pools,
) -> impl Iterator<Item = (&'p str, &'p Defined)> {
    let by_id: HashMap<PoolId, (&str, &Defined)> =
        pools.by_name.iter().map(|(name, pool)| (pool.id, (&**name, pool))).collect();
    let mut seen = HashSet::new();
    let candidates = record.spec.rules.iter().flat_map(|rule| &rule.pools);
    let ids: Vec<PoolId> = candidates.map(|of| of.pool).filter(|id| seen.insert(*id)).collect();
    ids.into_iter().filter_map(move |id| by_id.get(&id).copied())
}

/// A CNAME or a delegation at a name that cannot have it.
fn hand_overs(
    record: &Read,
    by_id: &HashMap<PoolId, &Defined>,
    inventory: &Inventory,
    faults: &mut Faults,
) {
    let (owner, origin) = (&record.spec.owner, &record.spec.origin);
    let mut told = HashSet::new();
    for (rule, places) in record.spec.rules.iter().zip(&record.rules) {
        for candidate in &rule.pools {
            let Some(defined) = by_id.get(&candidate.pool) else { continue };
            if !defined.sound || !told.insert(candidate.pool) {
                continue;
            }
            let pool = &inventory.pools[candidate.pool.0 as usize];
            let error = |message: String| {
                let place = places.pool(rule, candidate.pool).clone();
                Diagnostic::error(message, place)
                    .related(defined.target.clone(), format!("what pool '{}' hands out", pool.name))
            };
            match &pool.target {
                Target::Vips(_) => {}
                Target::Cname(name) if name == owner => {
                    faults.push(error(format!("{owner} would be an alias of itself")));
                }
                Target::Cname(_) if record.spec.names_hosts || record.spec.flatten => {}
                Target::Cname(_) if owner == origin => {
                    faults.push(error("a CNAME cannot stand at the apex of a zone".to_owned()).help(
                        "the apex has SOA and NS, and a CNAME stands alone: without flatten = false its \
                         addresses are answered instead",
                    ));
                }
                Target::Delegate(_) if owner == origin => {
                    faults.push(error("the apex of a zone cannot be delegated".to_owned()).help(
                        "steer a name below the apex to this pool, or use a pool with members",
                    ));
                }
                Target::Delegate(_) if owner.as_ref().is_wildcard() => {
                    faults.push(
                        error("a wildcard cannot be delegated".to_owned())
                            .help("delegate the name above the wildcard (RFC 4592 section 4.2)"),
                    );
                }
                Target::Cname(_) => {}
                Target::Delegate(servers) => {
                    for server in servers {
                        if server.name.is_in(owner) && server.addresses.is_empty() {
                            let name = &server.name;
                            faults.push(
                                error(format!("name server {name} has no addresses")).help(
                                    "it stands below the name it serves, so nobody can find it \
                                     without: add addresses = [\"192.0.2.53\"]",
                                ),
                            );
                        }
                    }
                }
            }
        }
    }
}

/// What goes with SRV and MX, whose hosts must not be aliases (RFC 2782, RFC 5321 section 5.1).
fn named_hosts(record: &Read, pools: &Pools, faults: &mut Faults) {
    if !record.spec.names_hosts {
        return;
    }
    for (rule, places) in record.spec.rules.iter().zip(&record.rules) {
        if matches!(rule.last_resort, LastResort::Cname(_)) {
            let place = places.last_resort.clone();
            let fault = Diagnostic::error("an alias cannot stand in for SRV or MX", place);
            faults.push(fault.help("use last_resort = \"all\" or \"nodata\""));
        }
    }
    let kind = |of: fn(&HandsOut) -> bool| pools_of(record, pools).find(|p| of(&p.1.hands_out));
    let by_name = kind(|of| matches!(of, HandsOut::Cname(_)));
    let by_address = kind(|of| matches!(of, HandsOut::Members));
    if let (Some((name, one)), Some((_, other))) = (by_name, by_address)
        && !record.spec.flatten
    {
        let message = format!("pool '{name}' has a host name, and others have addresses");
        faults.push(
            Diagnostic::error(message, record.place.clone())
                .related(one.target.clone(), "a host name")
                .related(other.target.clone(), "addresses")
                .help("with 'srv' or 'mx' use pools of one kind"),
        );
    }
}

/// `nearest` needs to know where its pools are.
fn locations(
    record: &Read,
    by_id: &HashMap<PoolId, &Defined>,
    inventory: &Inventory,
    regions: &Regions,
    faults: &mut Faults,
) {
    let mut told = HashSet::new();
    for (rule, places) in record.spec.rules.iter().zip(&record.rules) {
        if rule.policy != PolicySpec::Nearest {
            continue;
        }
        for candidate in &rule.pools {
            if !by_id.get(&candidate.pool).is_some_and(|defined| defined.sound) {
                continue;
            }
            let id = inventory.pools[candidate.pool.0 as usize].region;
            let Some(region) = regions.list.get(usize::from(id.0)) else { continue };
            if region.location.is_none() && told.insert(id) {
                let message = format!("'nearest' needs a location of region '{}'", region.name);
                let place = places.pool(rule, candidate.pool).clone();
                faults.push(
                    Diagnostic::error(message, place)
                        .related(regions.place_of(id).clone(), "this region has none")
                        .help("add location = [latitude, longitude] to the region"),
                );
            }
        }
    }
}

/// Ties by load among pools whose load nobody tells.
fn untold_loads(
    record: &Read,
    by_id: &HashMap<PoolId, &Defined>,
    inventory: &Inventory,
    faults: &mut Faults,
) {
    let mut told = HashSet::new();
    for (rule, places) in record.spec.rules.iter().zip(&record.rules) {
        let by_load = rule.band.is_some_and(|band| band.ties.by_load());
        let Some(place) = places.ties.as_ref().filter(|_| by_load) else { continue };
        let pool = |id: PoolId| &inventory.pools[id.0 as usize];
        let known = rule.pools.iter().map(|candidate| candidate.pool);
        let silent = known.clone().find(|id| {
            by_id.get(id).is_some_and(|defined| defined.sound) && pool(*id).capacity.is_none()
        });
        let Some(silent) = silent.filter(|_| told.insert(place.range.start)) else { continue };
        let all = known.clone().all(|id| pool(id).capacity.is_none());
        let name = &pool(silent).name;
        let fault = if all {
            let message = "ties are broken by load, and no pool tells its own";
            Diagnostic::warning(message, place.clone()).label("as \"random\", for all is unknown")
        } else {
            let message = format!("ties are broken by load, and nothing tells that of '{name}'");
            Diagnostic::warning(message, place.clone())
                .label("it counts as if it were as loaded as the others")
        };
        faults.push(fault.related(by_id[&silent].place.clone(), "this pool").help(format!(
            "add [pool.{name}.capacity] with queries = 5000, or load = \"push\" and reports"
        )));
    }
}

fn last_resorts(record: &Read, faults: &mut Faults) {
    let (owner, origin) = (&record.spec.owner, &record.spec.origin);
    let mut told = HashSet::new();
    for (rule, places) in record.spec.rules.iter().zip(&record.rules) {
        let LastResort::Cname(name) = &rule.last_resort else { continue };
        let place = places.last_resort.clone();
        if !told.insert(place.range.start) {
            continue;
        }
        if name == owner {
            let fault = Diagnostic::error("the last resort is the record itself", place);
            faults.push(fault.help("name something else, or use last_resort = \"all\""));
        } else if record.spec.flatten && owner != origin {
            let fault =
                Diagnostic::error("an alias cannot stand in where names are flattened", place);
            faults.push(fault.help("write addresses: last_resort = [\"192.0.2.99\"]"));
        } else if owner == origin {
            let fault = Diagnostic::error("a CNAME cannot stand at the apex of a zone", place);
            faults.push(fault.help("write addresses: last_resort = [\"192.0.2.99\"]"));
        }
    }
}

/// Rules behind one that takes all their clients, and clients that no rule takes.
fn unreachable_rules(record: &Read, faults: &mut Faults) {
    let rules = &record.spec.rules;
    for (at, rule) in rules.iter().enumerate() {
        let cover = rules[..at].iter().position(|r| matchers::covers(&r.matcher, &rule.matcher));
        let Some(cover) = cover else { continue };
        let message = "this rule never matches";
        let fault = Diagnostic::error(message, record.rules[at].matcher.clone());
        let fault = fault.related(record.rules[cover].matcher.clone(), "takes all its clients");
        faults.push(fault.help("the first rule that fits wins: put the narrower one first"));
    }
    if !rules.iter().any(|rule| rule.matcher.is_default()) {
        let message = format!("the rules of '{}' leave some clients out", record.spec.owner);
        let fault = Diagnostic::warning(message, record.place.clone());
        faults.push(
            fault
                .label("clients that no rule fits get the zone file's records")
                .help("end with a rule for everybody: match = \"default\""),
        );
    }
}

/// `spill` where no pool has a capacity: nobody is ever moved.
fn idle_spills(record: &Read, inventory: &Inventory, faults: &mut Faults) {
    let rules = &record.spec.rules;
    let mut pools = rules.iter().flat_map(|rule| &rule.pools);
    if pools.any(|of| inventory.pools[of.pool.0 as usize].capacity.is_some()) {
        return;
    }
    let mut told = HashSet::new();
    for place in record.rules.iter().filter_map(|rule| rule.spill.as_ref()) {
        if told.insert(place.range.start) {
            let fault = Diagnostic::warning("'spill' without a capacity", place.clone());
            let fault = fault.label("no pool of this record is ever at capacity");
            faults.push(fault.help("say what pools can take: [pool.NAME.capacity]"));
        }
    }
}

/// Groups that no rule chooses from.
pub(super) fn groups(nests: &Nests, records: &[Read], faults: &mut Faults) {
    if records.iter().any(|record| !record.sound) {
        return;
    }
    let rules = records.iter().flat_map(|record| &record.spec.rules);
    let levels = rules.filter_map(|rule| rule.nest.as_ref()).flat_map(|nest| &nest.levels);
    let used: HashSet<&str> = levels.map(|level| &*level.name).collect();
    for (name, place) in nests.named().filter(|(name, _)| !used.contains(name)) {
        faults.push(Diagnostic::warning(format!("group '{name}' is not used"), place.clone()));
    }
}

/// Aliases that lead back to where they began.
pub(super) fn loops(records: &[&Read], inventory: &Inventory, faults: &mut Faults) {
    let mut edges: HashMap<&Name, Vec<(&Name, Span)>> = HashMap::new();
    for record in records {
        if record.spec.names_hosts {
            continue;
        }
        let leads_to = edges.entry(&record.spec.owner).or_default();
        for (rule, places) in record.spec.rules.iter().zip(&record.rules) {
            for candidate in &rule.pools {
                if let Target::Cname(name) = &inventory.pools[candidate.pool.0 as usize].target {
                    leads_to.push((name, places.pool(rule, candidate.pool).clone()));
                }
            }
            if let LastResort::Cname(name) = &rule.last_resort {
                leads_to.push((name, places.last_resort.clone()));
            }
        }
    }
    for record in records {
        let start = &record.spec.owner;
        for (next, place) in edges.get(start).into_iter().flatten() {
            // An alias of itself is told where the record is checked; of a longer ring only
            // its first name tells.
            if *next != start
                && let Some(ring) = way_back(next, start, &edges)
                && ring.iter().all(|name| start <= name)
            {
                let names: Vec<String> = ring.iter().map(ToString::to_string).collect();
                let message = format!("a loop of aliases: {start} -> {}", names.join(" -> "));
                faults.push(
                    Diagnostic::error(message, place.clone())
                        .help("resolvers give up on a loop: let one of them end in addresses"),
                );
            }
        }
    }
}

/// The names from `from` to `goal`, both included.
fn way_back<'e>(
    from: &'e Name,
    goal: &Name,
    edges: &HashMap<&'e Name, Vec<(&'e Name, Span)>>,
) -> Option<Vec<&'e Name>> {
    let mut before: HashMap<&Name, &'e Name> = HashMap::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == goal {
            let mut way = vec![name];
            while let Some(&previous) = before.get(way[way.len() - 1])
                && way[way.len() - 1] != from
            {
                way.push(previous);
            }
            way.reverse();
            return Some(way);
        }
        for (next, _) in edges.get(name).into_iter().flatten() {
            if *next != from && !before.contains_key(next) {
                before.insert(next, name);
                open.push(next);
            }
        }
    }
    None
}

/// Geography without client subnets sees resolvers, not clients.
pub(super) fn client_subnet(off: Option<&Span>, records: &[&Read], faults: &mut Faults) {
    let Some(off) = off else { return };
    let user = records.iter().find_map(|record| {
        let mut rules = record.spec.rules.iter().zip(&record.rules);
        rules.find_map(|(rule, places)| {
            if !rule.matcher.is_default() {
                return Some(&places.matcher);
            }
            matches!(rule.policy, PolicySpec::Nearest | PolicySpec::Latency)
                .then_some(&places.policy)
        })
    });
    if let Some(user) = user {
        let message = "client subnets are off, but geography is used";
        faults.push(
            Diagnostic::warning(message, off.clone())
                .label("clients are taken to be where their resolver is")
                .related(user.clone(), "geography is used here"),
        );
    }
}

/// Pools, regions and monitors that nothing refers to.
pub(super) fn unused(
    zones: &[(&Pools, &[Read])],
    inventory: &Inventory,
    regions: &Regions,
    pinned: &[Option<RegionId>],
    monitors: &Monitors,
    faults: &mut Faults,
) {
    let warn = |what: &str, name: &str, place: &Span, faults: &mut Faults| {
        let fault = Diagnostic::warning(format!("{what} '{name}' is not used"), place.clone());
        faults.push(fault);
    };
    for (pools, records) in zones {
        let rules = records.iter().flat_map(|record| &record.spec.rules);
        let used: HashSet<PoolId> = rules.flat_map(|rule| &rule.pools).map(|c| c.pool).collect();
        for (name, pool) in &pools.by_name {
            if !used.contains(&pool.id) {
                warn("pool", name, &pool.place, faults);
                continue;
            }
            let services = records.iter().flat_map(|record| &record.spec.services);
            let answered: HashSet<Rtype> = services
                .filter(|service| service.pools.iter().any(|(id, _)| *id == pool.id))
                .map(|service| service.rtype)
                .collect();
            for (rtype, place) in &pool.offers.places {
                if !answered.contains(rtype) {
                    let message = format!("no record answers {rtype} from pool '{name}'");
                    let key = rtype.to_string().to_lowercase();
                    let fault = Diagnostic::warning(message, place.clone());
                    faults.push(fault.help(format!("say so in a record, too: {key} = {{ … }}")));
                }
            }
        }
    }
    let pools = inventory.pools.iter().map(|pool| pool.region);
    let used: HashSet<RegionId> = pools.chain(pinned.iter().copied().flatten()).collect();
    for (at, region) in regions.list.iter().enumerate() {
        if !used.contains(&RegionId(at as u16)) {
            warn("region", &region.name, &regions.places[at], faults);
        }
    }
    let checks = inventory.checks.iter().map(|check| &*check.monitor.name);
    let composites = inventory.composites.iter().map(|composite| &*composite.monitor.name);
    let used: HashSet<&str> = checks.chain(composites).collect();
    for (name, monitor) in monitors.all() {
        if !used.contains(&**name) && !monitors.is_part(name) {
            warn("monitor", name, &monitor.place, faults);
        }
    }
}
