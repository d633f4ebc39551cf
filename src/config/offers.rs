//! What a record answers to types that are not addresses, put together from what the record and
//! its pools say.

use std::collections::{BTreeMap, HashSet};

use super::decode::{Faults, Fields};
use super::pools::{Defined, HandsOut, Pools};
use super::{bindings, hosts};
use crate::diagnostics::{Diagnostic, Span};
use crate::region::PoolId;
use crate::steer::record::RuleSpec;
use crate::steer::service::{Offer, ServiceSpec, Texts};
use crate::wire::name::{Name, NameRef};
use crate::wire::types::Rtype;

/// What stands in a record, or in a pool, where it wins.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    bindings: Vec<(Rtype, bindings::Written)>,
    hosts: Vec<(Rtype, hosts::Written)>,
    /// Of a pool only.
    texts: Option<Texts>,
    /// Where each begins.
    pub(super) places: Vec<(Rtype, Span)>,
}

/// A host name that must be one: where it is said, and in which record.
#[derive(Debug)]
pub(super) struct HostName {
    pub(super) name: Name,
    pub(super) rtype: Rtype,
    pub(super) place: Span,
    /// The record that gives it, where it is the own name of a pool.
    pub(super) of_record: Option<(Name, PoolId)>,
}

/// What a record is, as far as offers depend on it.
pub(super) struct Record<'r> {
    pub(super) owner: &'r Name,
    pub(super) pool_names: bool,
    pub(super) rules: &'r [RuleSpec],
}

/// What was made of it.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) services: Vec<ServiceSpec>,
    pub(super) hosts: Vec<HostName>,
    pub(super) sound: bool,
}

impl Written {
    /// Takes the keys of a record, or of a pool.
    pub(super) fn take(
        fields: &mut Fields<'_>,
        of_pool: bool,
        origin: NameRef<'_>,
        faults: &mut Faults,
    ) -> Self {
        let mut written = Self::default();
        for (key, what, rtype) in
            [("https", "an HTTPS record", Rtype::HTTPS), ("svcb", "an SVCB record", Rtype::SVCB)]
        {
            let Some(node) = fields.get(key) else { continue };
            let read = bindings::read(node, what, origin, faults);
            written.bindings.extend(read.map(|read| (rtype, read)));
            written.places.push((rtype, node.span.clone()));
        }
        for (key, rtype) in [("srv", Rtype::SRV), ("mx", Rtype::MX)] {
            let Some(node) = fields.get(key) else { continue };
            let read = hosts::read(node, rtype, of_pool, origin, faults);
            written.hosts.extend(read.map(|read| (rtype, read)));
            written.places.push((rtype, node.span.clone()));
        }
        if of_pool && let Some(node) = fields.get("txt") {
            written.texts = hosts::texts(node, faults);
            written.places.push((Rtype::TXT, node.span.clone()));
        }
        written
    }

    /// Whether pools are named as hosts here, rather than handed over by alias.
    pub(super) fn names_hosts(&self) -> bool {
        self.places.iter().any(|(rtype, _)| matches!(*rtype, Rtype::SRV | Rtype::MX))
    }

    fn binding(&self, rtype: Rtype) -> Option<&bindings::Written> {
        self.bindings.iter().find(|(of, _)| *of == rtype).map(|(_, written)| written)
    }

    fn host(&self, rtype: Rtype) -> Option<&hosts::Written> {
        self.hosts.iter().find(|(of, _)| *of == rtype).map(|(_, written)| written)
    }

    /// Puts together what `record`, which says this, answers.
    pub(super) fn resolve(
        &self,
        record: &Record<'_>,
        pools: &Pools,
        faults: &mut Faults,
    ) -> Resolved {
        let mut resolved = Resolved { sound: true, ..Resolved::default() };
        let used = used(record, pools);
        for (rtype, written) in &self.bindings {
            let mut offers = Vec::new();
            for (name, pool, _) in &used {
                if matches!(pool.hands_out, HandsOut::Delegation) {
                    continue;
                }
                let own = own_name(record, name);
                let pool_says = pool.offers.binding(*rtype);
                let names = (record.owner, own.as_ref());
                match written.bind(pool_says, *rtype, names, faults) {
                    Some(binding) => offers.push((pool.id, Offer::Binding(binding))),
                    None => resolved.sound = false,
                }
            }
            resolved.add(*rtype, false, offers);
        }
        for (rtype, written) in &self.hosts {
            let mut offers = Vec::new();
            for (name, pool, share) in &used {
                let target = resolved.host_of(record, written, *rtype, (name, pool), faults);
                let says = pool.offers.host(*rtype);
                let host =
                    target.and_then(|target| written.host(says, *rtype, &target, *share, faults));
                match host {
                    Some(host) => offers.push((pool.id, Offer::Host(host))),
                    // One fault is enough for all of them.
                    None => {
                        resolved.sound = false;
                        break;
                    }
                }
            }
            resolved.add(*rtype, written.spread, offers);
        }
        let texts = used
            .iter()
            .filter_map(|(_, pool, _)| Some((pool.id, Offer::Texts(pool.offers.texts.clone()?))));
        let texts: Vec<_> = texts.collect();
        if !texts.is_empty() {
            resolved.add(Rtype::TXT, false, texts);
        }
        resolved
    }
}

impl Resolved {
    fn add(&mut self, rtype: Rtype, spread: bool, pools: Vec<(PoolId, Offer)>) {
        self.services.push(ServiceSpec { rtype, spread, pools });
    }

    /// The host name that stands for a pool: its balancer's, or its own.
    fn host_of(
        &mut self,
        record: &Record<'_>,
        written: &hosts::Written,
        rtype: Rtype,
        (name, pool): (&str, &Defined),
        faults: &mut Faults,
    ) -> Option<Name> {
        let place = written.place.clone();
        let (host, of_record) = match &pool.hands_out {
            HandsOut::Cname(host) => (host.clone(), None),
            HandsOut::Delegation => {
                let message =
                    format!("pool '{name}' hands over by delegation, and so every {rtype} record");
                faults.push(
                    Diagnostic::error(message, place)
                        .related(pool.target.clone(), "what it hands out")
                        .help("name pools with 'members' or 'cname'"),
                );
                return None;
            }
            HandsOut::Members => {
                let under = written.names.as_ref().map(|(name, _)| name);
                let under = under.or_else(|| record.pool_names.then_some(record.owner));
                let Some(under) = under else {
                    let message = format!("{rtype} names a host, and pool '{name}' has addresses");
                    faults.push(Diagnostic::error(message, place).help(
                        "give the pools of a record names with pool_names = true, and say which: \
                         names = \"www\"",
                    ));
                    return None;
                };
                let host = Name::parse(name, under.as_ref()).ok()?;
                (host, Some((under.clone(), pool.id)))
            }
        };
        let place = written.names.as_ref().map_or(place, |(_, span)| span.clone());
        self.hosts.push(HostName { name: host.clone(), rtype, place, of_record });
        Some(host)
    }
}

/// The name of its own that a pool has under a record.
fn own_name(record: &Record<'_>, pool: &str) -> Option<Name> {
    record.pool_names.then(|| Name::parse(pool, record.owner.as_ref()).ok()).flatten()
}

/// The pools of a record, each once, in the order in which they are first named, with the weight
/// they have there.
fn used<'p>(record: &Record<'_>, pools: &'p Pools) -> Vec<(&'p str, &'p Defined, u32)> {
    let by_id: BTreeMap<PoolId, (&str, &Defined)> =
        pools.by_name.iter().map(|(name, pool)| (pool.id, (&**name, pool))).collect();
    let mut seen = HashSet::new();
    let candidates = record.rules.iter().flat_map(|rule| &rule.pools);
    candidates
        .filter(|candidate| seen.insert(candidate.pool))
        .filter_map(|candidate| {
            let (name, pool) = by_id.get(&candidate.pool)?;
            Some((*name, *pool, candidate.weight))
        })
        .collect()
}
