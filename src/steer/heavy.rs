//! Heavy clients: networks that ask so much that a share of the networks is no share of the
//! queries.
//!
//! Choices that are settled by the client's network give each network whole to one side. That
//! comes out right when there are many of like weight; a resolver without client subnets that
//! brings a tenth of all queries does not. So networks that bring more than a thousandth of the
//! queries are told apart, and chance decides for each of their queries.
//!
//! The query plane leaves every sixteenth network in a ring; the knowledge plane counts them
//! ([`Census`]) and writes the keys of the heavy ones into a set that queries look into.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::steer::chance::Chance;
use crate::steer::key::{ClientKey, KeyLengths};

/// One query in so many leaves its network in the ring.
const SAMPLED: u64 = 16;
/// Networks that the ring holds.
const RING: usize = 1 << 14;
/// Slots of the set: at most a thousand are in use, since each brings a thousandth.
const SLOTS: usize = 1 << 12;
/// Slots that are looked at for one key.
const PROBES: usize = 8;
/// A thousandth makes a network heavy; half of that makes it light again.
const HEAVY: f64 = 0.001;
const LIGHT: f64 = HEAVY / 2.0;
/// With fewer samples of a network than this, nothing is concluded: the chance that one of half
/// the weight is taken for heavy is below one in a hundred.
const SEEN: u32 = 12;

/// What queries write and read.
#[derive(Debug)]
pub struct Heavy {
    ring: Box<[Slot]>,
    /// Networks ever left in the ring.
    left: AtomicU32,
    /// Two sets, of which one is looked into.
    sets: [Box<[AtomicU64]>; 2],
    active: AtomicU32,
}

/// A network in the ring: its leading octets, and how many bits of them count. Two threads that
/// meet in one leave a network that nobody has, once.
#[derive(Debug, Default)]
struct Slot {
    octets: AtomicU64,
    /// The length, and 256 for IPv4.
    length: AtomicU32,
}

/// A client network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// Leading bits that make it.
    pub length: u8,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Network {
    fn key(self) -> u64 {
        ClientKey::of(self.address, KeyLengths { v4: self.length, v6: self.length }).word()
    }
}

impl Slot {
    fn leave(&self, client: IpAddr, lengths: KeyLengths) {
        let (octets, length) = match client.to_canonical() {
            IpAddr::V4(ip) => (u64::from(ip.to_bits()) << 32, u32::from(lengths.v4) | 256),
            IpAddr::V6(ip) => ((ip.to_bits() >> 64) as u64, u32::from(lengths.v6)),
        };
        self.octets.store(octets, Ordering::Relaxed);
        self.length.store(length, Ordering::Relaxed);
    }

    fn network(&self) -> Network {
        let (octets, word) =
            (self.octets.load(Ordering::Relaxed), self.length.load(Ordering::Relaxed));
        let length = word as u8;
        let mask = u64::MAX.checked_shl(64 - u32::from(length).min(64)).unwrap_or(0);
        let kept = octets & mask;
        let address = if word & 256 == 0 {
            Ipv6Addr::from_bits(u128::from(kept) << 64).into()
        } else {
            Ipv4Addr::from_bits((kept >> 32) as u32).into()
        };
        Network { address, length }
    }
}

impl Default for Heavy {
    fn default() -> Self {
        let words = |length| (0..length).map(|_| AtomicU64::new(0)).collect();
        Self {
            ring: (0..RING).map(|_| Slot::default()).collect(),
            left: AtomicU32::new(0),
            sets: [words(SLOTS), words(SLOTS)],
            active: AtomicU32::new(0),
        }
    }
}

impl Heavy {
    /// Whether a network is heavy.
    #[inline]
    pub fn has(&self, key: ClientKey) -> bool {
        let set = &self.sets[self.active.load(Ordering::Acquire) as usize & 1];
        let word = key.word();
        for probe in 0..PROBES {
            let slot = set.get((word as usize).wrapping_add(probe) % SLOTS);
            match slot.map_or(0, |slot| slot.load(Ordering::Relaxed)) {
                0 => return false,
                known if known == word => return true,
                _ => {}
            }
        }
        false
    }

    /// Leaves the network of one client in sixteen to be counted.
    #[inline]
    pub fn note(&self, client: IpAddr, lengths: KeyLengths, chance: &mut Chance) {
        if !chance.draw().is_multiple_of(SAMPLED) {
            return;
        }
        let at = self.left.fetch_add(1, Ordering::Relaxed) as usize % RING;
        if let Some(slot) = self.ring.get(at) {
            slot.leave(client, lengths);
        }
    }

    fn publish(&self, keys: impl Iterator<Item = u64>) {
        let next = self.active.load(Ordering::Relaxed).wrapping_add(1) & 1;
        let set = &self.sets[next as usize];
        set.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
        for key in keys {
            let slots = (0..PROBES).map(|probe| &set[(key as usize).wrapping_add(probe) % SLOTS]);
            let mut free = slots.filter(|slot| slot.load(Ordering::Relaxed) == 0);
            if let Some(slot) = free.next() {
                slot.store(key, Ordering::Relaxed);
            }
        }
        self.active.store(next, Ordering::Release);
    }
}

/// Counts what queries left, and says who is heavy. Held by the knowledge plane.
#[derive(Debug, Default)]
pub struct Census {
    counts: HashMap<Network, u32>,
    total: u64,
    /// How much of the ring has been counted.
    read: u32,
    heavy: HashSet<Network>,
    turns: u32,
}

/// Looks between two halvings: what was long ago counts less and less.
const TURNS: u32 = 60;

impl Census {
    /// Counts what is new; to be called about once a second.
    pub fn turn(&mut self, heavy: &Heavy) {
        let left = heavy.left.load(Ordering::Relaxed);
        let new = left.wrapping_sub(self.read).min(RING as u32);
        for back in 1..=new {
            let at = left.wrapping_sub(back) as usize % RING;
            *self.counts.entry(heavy.ring[at].network()).or_insert(0) += 1;
        }
        self.read = left;
        self.total += u64::from(new);
        self.turns += 1;
        if self.turns.is_multiple_of(TURNS) {
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
            self.total /= 2;
        }
        let next = self.judged();
        if next != self.heavy {
            heavy.publish(next.iter().map(|network| network.key()));
            self.heavy = next;
        }
    }

    /// How many networks are heavy.
    pub fn heavy(&self) -> usize {
        self.heavy.len()
    }

    /// Those that are heavy with their shares of the queries that choose by network, `0.0..=1.0`;
    /// the heaviest first.
    pub fn heaviest(&self) -> Vec<(Network, f64)> {
        let share = |network| {
            let count = self.counts.get(network).copied().unwrap_or(0);
            f64::from(count) / self.total.max(1) as f64
        };
        let mut all: Vec<_> = self.heavy.iter().map(|of| (*of, share(of))).collect();
        all.sort_by(|(one, more), (other, less)| less.total_cmp(more).then(one.cmp(other)));
        all
    }

    fn judged(&self) -> HashSet<Network> {
        let total = self.total as f64;
        let is_heavy = |(network, count): &(&Network, &u32)| {
            let was = self.heavy.contains(network);
            let share = f64::from(**count) / total;
            share > if was { LIGHT } else { HEAVY } && (was || **count >= SEEN)
        };
        self.counts.iter().filter(is_heavy).map(|(network, _)| *network).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number << 8 | number & 0xff).into()
    }

    fn client(number: u32) -> ClientKey {
        ClientKey::of(address(number), KeyLengths::DEFAULT)
    }

    fn note(heavy: &Heavy, number: u32, chance: &mut Chance) {
        heavy.note(address(number), KeyLengths::DEFAULT, chance);
    }

    /// Queries by resolvers of which number `n` asks as often as 1/n (Zipf).
    fn zipf(chance: &mut Chance, resolvers: u32) -> u32 {
        let harmonic = f64::from(resolvers).ln() + 0.577;
        let at = (chance.draw() >> 11) as f64 / (1u64 << 53) as f64;
        ((at * harmonic - 0.577).exp() as u32).clamp(1, resolvers)
    }

    #[test]
    fn who_brings_a_thousandth_is_heavy_and_who_brings_little_is_not() {
        let (heavy, mut census, mut chance) =
            (Heavy::default(), Census::default(), Chance::seeded(3));
        for _ in 0..100 {
            for _ in 0..20_000 {
                let who = zipf(&mut chance, 50_000);
                note(&heavy, who, &mut chance);
            }
            census.turn(&heavy);
        }
        // The first brings some 11 %, the fiftieth a fifth of a per cent.
        assert!((1..=50).all(|n| heavy.has(client(n))));
        assert!((400..50_000).all(|n| !heavy.has(client(n))));
        assert!((50..300).contains(&census.heavy()), "{}", census.heavy());
        let all = census.heaviest();
        assert_eq!((all.len(), all[0].0.to_string()), (census.heavy(), "0.0.1.0/24".to_owned()));
        assert!((0.1..0.12).contains(&all[0].1), "{}", all[0].1);
        assert!(all.is_sorted_by(|one, other| one.1 >= other.1));
    }

    #[test]
    fn who_falls_silent_is_forgotten() {
        let (heavy, mut census, mut chance) =
            (Heavy::default(), Census::default(), Chance::seeded(4));
        let mut second = |loud: u32| {
            for n in 0..16_000 {
                let who = if n % 10 == 0 { loud } else { 1_000 + n };
                note(&heavy, who, &mut chance);
            }
            census.turn(&heavy);
        };
        (0..30).for_each(|_| second(1));
        assert!(heavy.has(client(1)));
        (0..900).for_each(|_| second(2));
        assert!(heavy.has(client(2)) && !heavy.has(client(1)));
    }

    #[test]
    fn a_few_queries_prove_nothing() {
        let (heavy, mut census, mut chance) =
            (Heavy::default(), Census::default(), Chance::seeded(5));
        (0..100).for_each(|_| note(&heavy, 1, &mut chance));
        census.turn(&heavy);
        assert!(!heavy.has(client(1)));
    }

    #[test]
    fn networks_are_told_as_they_ask() {
        let (heavy, mut census, mut chance) =
            (Heavy::default(), Census::default(), Chance::seeded(6));
        let lengths = KeyLengths { v4: 20, v6: 44 };
        for client in ["192.0.2.77", "::ffff:198.51.100.9", "2001:db8:ffff:1::7"] {
            let client: IpAddr = client.parse().expect("an address");
            (0..2_000).for_each(|_| heavy.note(client, lengths, &mut chance));
        }
        census.turn(&heavy);
        let mut told: Vec<String> =
            census.heaviest().iter().map(|(network, _)| network.to_string()).collect();
        told.sort();
        assert_eq!(told, ["192.0.0.0/20", "198.51.96.0/20", "2001:db8:fff0::/44"]);
        let client = ClientKey::of("2001:db8:ffff::".parse().expect("an address"), lengths);
        assert!(heavy.has(client), "who is told is who is drawn for");
    }
}
