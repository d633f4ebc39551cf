//! Whether the scopes of a map overlap (RFC 7871 section 7.2.1 says they must not): looked at
//! from outside, leaf by leaf, without trusting how the map was made.

use std::fmt;
use std::net::IpAddr;

use crate::geo::table::{GeoMap, Leaf};

/// Two answers that claim the same addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlap {
    /// Where.
    pub(super) network: IpAddr,
    /// Its prefix length.
    pub(super) length: u8,
    what: &'static str,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}/{}: {}", self.network, self.length, self.what)
    }
}

/// A block of one head: until where, the scope, and the rule and candidates it claims.
struct Head {
    last: u64,
    scope: u8,
    rule: Option<u8>,
    sites: Vec<u16>,
}

/// The first overlap, if there is one.
pub(super) fn overlap(map: &GeoMap) -> Option<Overlap> {
    let mut next: Option<u64> = Some(0);
    let mut was_v4 = true;
    let mut head: Option<Head> = None;
    for leaf in map.leaves() {
        let is_v4 = leaf.network.is_ipv4();
        if is_v4 != was_v4 {
            was_v4 = is_v4;
            next = Some(0);
            head = None;
        }
        if let Some(what) = fault(&leaf, &mut next, &mut head) {
            return Some(Overlap { network: leaf.network, length: leaf.length, what });
        }
    }
    None
}

/// What is wrong with a leaf after those before it.
fn fault(leaf: &Leaf<'_>, next: &mut Option<u64>, head: &mut Option<Head>) -> Option<&'static str> {
    let (first, bits) = match leaf.network {
        IpAddr::V4(ip) => (u64::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => ((u128::from(ip) >> 64) as u64, 64),
    };
    let hosts = |length: u8| match bits - u32::from(length).min(bits) {
        64 => u64::MAX,
        free => (1 << free) - 1,
    };
    let (full, scope) = (leaf.hit.scope_full, leaf.hit.scope_head);
    if *next != Some(first) || first & hosts(full) != 0 {
        return Some("the block does not begin where the one before ends");
    }
    let last = first | hosts(full);
    *next = last.checked_add(1);
    if scope > full {
        return Some("the scope of the first candidate is narrower than that of the whole order");
    }
    let order = leaf.hit.order;
    let inside = head.as_ref().filter(|head| first <= head.last);
    let Some(head) = inside else {
        if first & hosts(scope) != 0 {
            return Some("the scope of the first candidate reaches back over another");
        }
        let (last, sites) = (first | hosts(scope), order.head().to_vec());
        *head = Some(Head { last, scope, rule: order.rule, sites });
        return None;
    };
    let same = (head.scope, head.rule, &*head.sites) == (scope, order.rule, order.head());
    (!same || last > head.last).then_some("another first candidate inside the scope of one")
}
