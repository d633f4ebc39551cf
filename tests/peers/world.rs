//! All zones of one start of the servers: what a difference is judged by.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::message::{A, AAAA, Rr};
use crate::name::Name;
use crate::zones::{Family, Record, Zone};

/// The zones that are served, by apex.
pub struct World<'a> {
    zones: HashMap<Name, &'a Zone>,
    wildcards_meant: HashSet<Name>,
}

impl<'a> World<'a> {
    /// The zones of these families.
    pub fn new(families: &'a [(usize, Family)]) -> Self {
        let zones = || families.iter().flat_map(|(_, family)| &family.zones);
        let targets = zones().flat_map(|zone| &zone.records).filter_map(|r| r.target.as_ref());
        Self {
            zones: zones().map(|zone| (zone.apex.lower(), zone)).collect(),
            wildcards_meant: targets.flat_map(|name| name.lower().wildcards()).collect(),
        }
    }

    /// The zones at or above `name`, the nearest first.
    pub fn enclosing(&self, name: &Name) -> impl Iterator<Item = &'a Zone> {
        let name = name.lower();
        (0..=name.0.len())
            .filter_map(move |at| self.zones.get(&Name(name.0[at..].to_vec())).copied())
    }

    /// The zone that answers for `name`.
    pub fn zone_of(&self, name: &Name) -> Option<&'a Zone> {
        self.enclosing(name).next()
    }

    /// Every apex, in lower case.
    pub fn apexes(&self) -> impl Iterator<Item = &Name> {
        self.zones.keys()
    }

    /// Whether some record leads to the child `*` of `name`, or below it.
    pub fn means_wildcard(&self, name: &Name) -> bool {
        name.child(b"*").is_some_and(|wildcard| self.wildcards_meant.contains(&wildcard.lower()))
    }

    /// Every record in a zone at or above `name`.
    pub fn records_around(&self, name: &Name) -> impl Iterator<Item = &'a Record> {
        self.enclosing(name).flat_map(|zone| &zone.records)
    }

    /// Whether `record` is an address that some zone has for that name itself.
    pub fn has_address(&self, record: &Rr) -> bool {
        self.address_for(record, |owner| owner.lower() == record.owner)
    }

    /// Whether `record` is an address that some zone has for a wildcard above that name.
    pub fn has_wildcard_address(&self, record: &Rr) -> bool {
        self.address_for(record, |owner| {
            owner.is_wildcard() && record.owner.is_below(&owner.parent())
        })
    }

    fn address_for(&self, record: &Rr, is_its: impl Fn(&Name) -> bool) -> bool {
        let text = match (record.rtype, &record.rdata[..]) {
            (A, octets) => {
                <[u8; 4]>::try_from(octets).ok().map(|ip| Ipv4Addr::from(ip).to_string())
            }
            (AAAA, octets) => {
                <[u8; 16]>::try_from(octets).ok().map(|ip| Ipv6Addr::from(ip).to_string())
            }
            _ => None,
        };
        text.is_some_and(|text| {
            self.records_around(&record.owner)
                .any(|own| own.rdata == text && own.ttl == record.ttl && is_its(&own.owner))
        })
    }
}
