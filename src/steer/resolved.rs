//! What a flattened name leads to: the addresses of a balancer's name, resolved by the knowledge
//! plane and read by queries, without a lock between them.
//!
//! Each family has two sides; one is read while the other is written. A reader that was overtaken
//! looks again, which takes two writes within one copy of some octets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::region::Family;
use crate::wire::name::Name;

/// Most addresses of one family that are kept; what is past them is left out.
pub const ADDRESSES_MAX: usize = 16;

/// Often enough: a write takes less than a microsecond, and there is a second between two.
const TRIES: usize = 4;

/// Nothing is known yet: not even that there is nothing.
const UNKNOWN: u32 = u32::MAX;

/// A name and its addresses. Outlives snapshots: it is known by its target.
#[derive(Debug)]
pub struct Resolved {
    target: Name,
    families: [Slot; 2],
}

#[derive(Debug, Default)]
struct Slot {
    /// How often it was written; the side that is read is its parity.
    version: AtomicU32,
    sides: [Side; 2],
    /// Seconds for which an answer may be kept, or [`UNKNOWN`].
    ttl: AtomicU32,
}

#[derive(Debug, Default)]
struct Side {
    count: AtomicU32,
    /// High and low half of each address; IPv4 in the lowest 32 bits.
    halves: [[AtomicU64; 2]; ADDRESSES_MAX],
}

/// Addresses of one family, as they were at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    family: Family,
    bits: [u128; ADDRESSES_MAX],
    count: usize,
    /// Seconds for which they may be kept.
    pub ttl: u32,
}

impl Resolved {
    /// Of a name of which nothing is known yet.
    pub fn new(target: Name) -> Self {
        let resolved = Self { target, families: Default::default() };
        for slot in &resolved.families {
            slot.ttl.store(UNKNOWN, Ordering::Relaxed);
        }
        resolved
    }

    /// The name.
    pub const fn target(&self) -> &Name {
        &self.target
    }

    /// The addresses of `family`; `None` while nothing is known.
    pub fn read(&self, family: Family) -> Option<Addresses> {
        let slot = self.slot(family);
        (0..TRIES).find_map(|_| slot.read(family)).filter(|addresses| addresses.ttl != UNKNOWN)
    }

    /// Stores the addresses of `family`, of which the first [`ADDRESSES_MAX`] are kept, with the
    /// seconds an answer may be kept for. One thread at a time may store.
    pub fn store(&self, family: Family, addresses: &[IpAddr], ttl: u32) {
        let bits = addresses.iter().filter_map(|address| match (family, address) {
            (Family::V4, IpAddr::V4(ip)) => Some(u128::from(ip.to_bits())),
            (Family::V6, IpAddr::V6(ip)) => Some(ip.to_bits()),
            _ => None,
        });
        self.slot(family).store(bits, ttl);
    }

    /// Says for how long, in seconds, what is known may be kept from now on.
    pub fn set_ttl(&self, family: Family, ttl: u32) {
        let slot = self.slot(family);
        if slot.ttl.load(Ordering::Relaxed) != UNKNOWN {
            slot.ttl.store(ttl.min(UNKNOWN - 1), Ordering::Relaxed);
        }
    }

    const fn slot(&self, family: Family) -> &Slot {
        match family {
            Family::V4 => &self.families[0],
            Family::V6 => &self.families[1],
        }
    }
}

impl Slot {
    fn read(&self, family: Family) -> Option<Addresses> {
        let version = self.version.load(Ordering::Acquire);
        let side = if version & 1 == 0 { &self.sides[0] } else { &self.sides[1] };
        let count = (side.count.load(Ordering::Relaxed) as usize).min(ADDRESSES_MAX);
        let mut bits = [0; ADDRESSES_MAX];
        for (bits, [high, low]) in bits.iter_mut().zip(&side.halves).take(count) {
            let (high, low) = (high.load(Ordering::Relaxed), low.load(Ordering::Relaxed));
            *bits = u128::from(high) << 64 | u128::from(low);
        }
        let ttl = self.ttl.load(Ordering::Relaxed);
        // What was read stands in the side of `version` only if no write has followed.
        fence(Ordering::Acquire);
        let is_whole = self.version.load(Ordering::Relaxed) == version;
        is_whole.then_some(Addresses { family, bits, count, ttl })
    }

    fn store(&self, bits: impl Iterator<Item = u128>, ttl: u32) {
        let version = self.version.load(Ordering::Relaxed);
        let side = if version & 1 == 0 { &self.sides[1] } else { &self.sides[0] };
        // Whoever sees one of the octets that follow sees that the version before is over.
        fence(Ordering::Release);
        let mut count = 0;
        for (bits, [high, low]) in bits.zip(&side.halves) {
            high.store((bits >> 64) as u64, Ordering::Relaxed);
            low.store(bits as u64, Ordering::Relaxed);
            count += 1;
        }
        side.count.store(count, Ordering::Relaxed);
        self.ttl.store(ttl.min(UNKNOWN - 1), Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Release);
    }
}

impl Addresses {
    /// True when the name has none of this family.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each address.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let family = self.family;
        self.bits.iter().take(self.count).map(move |bits| match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(*bits as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(*bits)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved() -> Resolved {
        Resolved::new("lb.example.net.".parse().expect("a name"))
    }

    fn read(resolved: &Resolved, family: Family) -> Option<Vec<String>> {
        Some(resolved.read(family)?.iter().map(|ip| ip.to_string()).collect())
    }

    #[test]
    fn at_first_nothing_is_known_and_then_families_apart() {
        let resolved = resolved();
        assert_eq!(read(&resolved, Family::V4), None);
        let all = ["192.0.2.1", "2001:db8::1", "192.0.2.2"].map(|ip| ip.parse().expect("an ip"));
        resolved.store(Family::V4, &all, 60);
        assert_eq!(read(&resolved, Family::V4).expect("known"), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(read(&resolved, Family::V6), None);
        resolved.store(Family::V6, &all, 60);
        assert_eq!(read(&resolved, Family::V6).expect("known"), ["2001:db8::1"]);
        resolved.store(Family::V6, &[], 60);
        assert!(resolved.read(Family::V6).expect("known").is_empty());
    }

    #[test]
    fn a_ttl_alone_makes_nothing_known() {
        let resolved = resolved();
        resolved.set_ttl(Family::V4, 5);
        assert!(resolved.read(Family::V4).is_none());
        resolved.store(Family::V4, &[], 9);
        resolved.set_ttl(Family::V4, 5);
        assert_eq!(resolved.read(Family::V4).expect("known").ttl, 5);
    }

    #[test]
    fn more_than_the_most_are_left_out() {
        let resolved = resolved();
        let many: Vec<IpAddr> = (0..40).map(|n| Ipv4Addr::new(192, 0, 2, n).into()).collect();
        resolved.store(Family::V4, &many, 60);
        assert_eq!(resolved.read(Family::V4).expect("known").iter().count(), ADDRESSES_MAX);
    }

    #[test]
    fn no_reader_sees_half_a_write() {
        let resolved = resolved();
        let all = |n: u8| -> Vec<IpAddr> {
            let count = usize::from(n) % ADDRESSES_MAX + 1;
            vec![Ipv6Addr::from_bits(u128::from_ne_bytes([n; 16])).into(); count]
        };
        resolved.store(Family::V6, &all(1), 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..200_000u32).for_each(|n| resolved.store(Family::V6, &all(n as u8), n));
            });
            for _ in 0..200_000 {
                let Some(read) = resolved.families[1].read(Family::V6) else { continue };
                let first = read.bits[0];
                let octet = first as u8;
                assert_eq!(first, u128::from_ne_bytes([octet; 16]));
                assert_eq!(read.count, usize::from(octet) % ADDRESSES_MAX + 1);
                assert!(read.bits[..read.count].iter().all(|bits| *bits == first));
            }
        });
    }
}
