//! `pool_names = true`: each pool of a record gets a name below the record's, and a record of its
//! own there, which answers that pool and no other.

use std::collections::HashMap;

use super::decode::Faults;
use super::lint;
use super::pools::{Defined, HandsOut, Pools};
use super::records::{Read, RulePlaces};
use crate::diagnostics::{Diagnostic, Span};
use crate::geo::map::Matcher;
use crate::region::PoolId;
use crate::steer::record::{Candidate, LastResort, PolicySpec, RecordSpec, RuleSpec, SpillRule};
use crate::steer::service::ServiceSpec;
use crate::wire::name::Name;
use crate::wire::types::Rtype;
use crate::zone::Zone;
use crate::zone::hash::HashKey;

/// Adds the records of named pools, and looks whether hosts that SRV and MX name exist.
pub(super) fn add(records: &mut Vec<Read>, pools: &Pools, faults: &mut Faults) {
    let mut taken: HashMap<Name, Span> = HashMap::new();
    for record in &*records {
        taken.insert(record.spec.owner.clone(), record.place.clone());
    }
    let mut added = Vec::new();
    for record in &*records {
        let Some(place) = &record.pool_names else { continue };
        if let Some(fault) = no_names(record, place, pools) {
            faults.push(fault);
            continue;
        }
        for (name, pool) in lint::pools_of(record, pools) {
            let error = |message: String| Diagnostic::error(message, place.clone());
            let owner = match Name::parse(name, record.spec.owner.as_ref()) {
                Ok(owner) => owner,
                Err(why) => {
                    let message = format!("pool '{name}' cannot have a name here");
                    faults.push(error(message).label(why.to_string()));
                    continue;
                }
            };
            if let Some(first) = taken.insert(owner.clone(), pool.place.clone()) {
                let message = format!("the name of pool '{name}', {owner}, is steered already");
                faults.push(
                    error(message)
                        .related(first, "by this")
                        .help("rename the pool, or do without names of pools here"),
                );
                continue;
            }
            added.push(named(record, owner, pool, place));
        }
    }
    hosts(records, faults);
    records.extend(added);
}

/// Why the pools of a record cannot have names.
fn no_names(record: &Read, place: &Span, pools: &Pools) -> Option<Diagnostic> {
    let error = |message: String| Diagnostic::error(message, place.clone());
    if record.spec.owner.as_ref().is_wildcard() {
        let fault = error("a wildcard has no names for its pools".to_owned());
        return Some(fault.help("steer one name without the wildcard, with the same pools"));
    }
    for (name, pool) in lint::pools_of(record, pools) {
        if matches!(pool.hands_out, HandsOut::Delegation) {
            let owner = &record.spec.owner;
            let message = format!("pool '{name}' may be handed everything below {owner}");
            return Some(
                error(message)
                    .related(pool.target.clone(), "what it hands out")
                    .help("names of pools need pools with 'members' or 'cname'"),
            );
        }
    }
    None
}

/// The record of one pool: its members that live, or all of them.
fn named(record: &Read, owner: Name, pool: &Defined, place: &Span) -> Read {
    let texts = record.spec.services.iter().filter(|service| service.rtype == Rtype::TXT);
    let of_pool = |service: &ServiceSpec| {
        let own = service.pools.iter().filter(|(id, _)| *id == pool.id);
        let pools: Vec<_> = own.cloned().collect();
        (!pools.is_empty()).then(|| ServiceSpec { pools, ..service.clone() })
    };
    let rule = RuleSpec {
        matcher: Matcher::default(),
        policy: PolicySpec::Failover,
        pools: vec![Candidate { pool: pool.id, weight: 1, bias: 0 }],
        key: None,
        band: None,
        latency: None,
        new_side: Vec::new(),
        change: None,
        failback: None,
        max_share: 0,
        nest: None,
        fence: false,
        panic_below: 0,
        last_resort: LastResort::All,
        spill: SpillRule::default(),
    };
    let places = RulePlaces {
        matcher: place.clone(),
        policy: place.clone(),
        last_resort: place.clone(),
        ties: None,
        spill: None,
        pools: vec![place.clone()],
    };
    Read {
        spec: RecordSpec {
            owner,
            answers: 1,
            services: texts.filter_map(of_pool).collect(),
            names_hosts: false,
            flatten: false,
            of_pool: true,
            pool_names: false,
            rules: vec![rule],
            ..record.spec.clone()
        },
        place: place.clone(),
        rules: vec![places],
        pool_names: None,
        hosts: Vec::new(),
        sound: true,
    }
}

/// Hosts named by SRV and MX that are names of pools must be names that a record gives.
fn hosts(records: &[Read], faults: &mut Faults) {
    let gives = |under: &Name, pool: PoolId| {
        let record = records.iter().find(|record| record.spec.owner == *under);
        record.map(|record| {
            let mut candidates = record.spec.rules.iter().flat_map(|rule| &rule.pools);
            (record, candidates.any(|candidate| candidate.pool == pool))
        })
    };
    for record in records {
        let mut told = Vec::new();
        for host in &record.hosts {
            let Some((under, pool)) = &host.of_record else { continue };
            let error = |message: String| Diagnostic::error(message, host.place.clone());
            let fault = match gives(under, *pool) {
                None => error(format!("there is no record for {under}"))
                    .help("'names' is the name of a record of this file with pool_names = true"),
                Some((other, _)) if other.pool_names.is_none() => {
                    error(format!("the pools of {under} have no names"))
                        .related(other.place.clone(), "this record")
                        .help("add pool_names = true to it")
                }
                Some((other, false)) => error(format!("{} is not the name of a pool", host.name))
                    .related(other.place.clone(), "this record does not have the pool")
                    .help("name the same pools in both records"),
                Some((_, true)) => continue,
            };
            if !told.contains(&fault.message) {
                told.push(fault.message.clone());
                faults.push(fault);
            }
        }
    }
}

/// A name of a pool must be free in the zone file, whose records would be seen at it for some
/// types and not for others.
pub(super) fn free(record: &Read, zone: &Zone, key: HashKey, faults: &mut Faults) {
    let lower = record.spec.owner.to_lowercase();
    let node = zone.find(key.hash(lower.as_wire()), lower.as_wire());
    if let Some(rrset) = node.and_then(|node| node.rrsets().next()) {
        let owner = &record.spec.owner;
        let message = format!("the name of a pool, {owner}, has records in the zone file");
        let fault = Diagnostic::error(message, record.place.clone());
        faults.push(
            fault
                .label(format!("there is {} at it", rrset.rtype))
                .help("rename the pool, or remove the records"),
        );
    }
}
