//! Where a name leads inside our own zones: along CNAME to addresses, or out of them.
//!
//! For the knowledge plane; queries follow chains on their own road.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Zone;
use super::lookup::Lookup;
use super::node::RrsetRef;
use crate::wire::name::Name;
use crate::wire::types::Rtype;

/// Most names that are followed.
const LINKS_MAX: usize = 8;

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// To these addresses; none when the name has none, or does not exist. With the least TTL on
    /// the way, in seconds.
    Addresses(Vec<IpAddr>, u32),
    /// To this name, which is not ours, with the least TTL on the way.
    Away(Name, u32),
    /// To this name, whose addresses are steered.
    Steered(Name),
    /// Back to where it was, or too far.
    Loop(Name),
}

/// Follows `name` to its records of `rtype`, A or AAAA, as far as the zones go that `zone_of` finds: the nearest zone above a name, if
/// it is ours.
pub fn chase<'z>(name: &Name, rtype: Rtype, zone_of: impl Fn(&Name) -> Option<&'z Zone>) -> End {
    let (mut name, mut ttl) = (name.clone(), u32::MAX);
    for _ in 0..LINKS_MAX {
        let Some(zone) = zone_of(&name) else { return End::Away(name, ttl) };
        let node = match zone.search(name.to_lowercase().as_wire(), rtype) {
            Lookup::Found(node) | Lookup::Wildcard { node, .. } => node,
            Lookup::NxDomain { .. } => return End::Addresses(Vec::new(), ttl),
            // Served elsewhere, or rewritten: a resolver knows.
            Lookup::Referral { .. } | Lookup::SteeredCut { .. } | Lookup::Dname { .. } => {
                return End::Away(name, ttl);
            }
        };
        if node.steered().is_some() {
            return End::Steered(name);
        }
        if let Some(rrset) = node.rrset(rtype) {
            return End::Addresses(addresses(&rrset), ttl.min(rrset.ttl().seconds()));
        }
        let Some(rrset) = node.rrset(Rtype::CNAME) else {
            return End::Addresses(Vec::new(), ttl);
        };
        ttl = ttl.min(rrset.ttl().seconds());
        match rrset.rdata().next().map(Name::from_wire) {
            Some(Ok(next)) => name = next,
            _ => return End::Addresses(Vec::new(), ttl),
        }
    }
    End::Loop(name)
}

fn addresses(rrset: &RrsetRef<'_>) -> Vec<IpAddr> {
    let address = |rdata: &[u8]| match rdata.len() {
        4 => rdata.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()),
        _ => rdata.first_chunk().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()),
    };
    rrset.rdata().filter_map(address).collect()
}
