//! Heavy clients: networks that ask so much that a share of the networks is no share of the
//! queries.
//!
//! Choices that are settled by the client's network give each network whole to one side. That
//! comes out right when there are many of like weight; a resolver without client subnets that
//! brings a tenth of all queries does not. So networks that bring more than a thousandth of the
//! queries are told apart, and chance decides for each of their queries.
//!
//! The query plane leaves every sixteenth key in a ring; the knowledge plane counts them
//! ([`Census`]) and writes the heavy ones into a set that queries look into.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::steer::chance::Chance;
use crate::steer::key::ClientKey;

/// One key in so many is left in the ring.
const SAMPLED: u64 = 16;
/// Keys that the ring holds.
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
    ring: Box<[AtomicU64]>,
    /// Keys ever left in the ring.
    left: AtomicU32,
    /// Two sets, of which one is looked into.
    sets: [Box<[AtomicU64]>; 2],
    active: AtomicU32,
}

impl Default for Heavy {
    fn default() -> Self {
        let words = |length| (0..length).map(|_| AtomicU64::new(0)).collect();
        Self {
            ring: words(RING),
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

    /// Leaves one key in sixteen to be counted.
    #[inline]
    pub fn note(&self, key: ClientKey, chance: &mut Chance) {
        if !chance.draw().is_multiple_of(SAMPLED) {
            return;
        }
        let at = self.left.fetch_add(1, Ordering::Relaxed) as usize % RING;
        if let Some(slot) = self.ring.get(at) {
            slot.store(key.word(), Ordering::Relaxed);
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
    counts: HashMap<u64, u32>,
    total: u64,
    /// How much of the ring has been counted.
    read: u32,
    heavy: Vec<u64>,
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
            let key = heavy.ring[at].load(Ordering::Relaxed);
            *self.counts.entry(key).or_insert(0) += 1;
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
            heavy.publish(next.iter().copied());
            self.heavy = next;
        }
    }

    /// How many networks are heavy.
    pub const fn heavy(&self) -> usize {
        self.heavy.len()
    }

    fn judged(&self) -> Vec<u64> {
        let total = self.total as f64;
        let is_heavy = |(key, count): &(&u64, &u32)| {
            let was = self.heavy.binary_search(key).is_ok();
            let share = f64::from(**count) / total;
            share > if was { LIGHT } else { HEAVY } && (was || **count >= SEEN)
        };
        let mut keys: Vec<u64> = self.counts.iter().filter(is_heavy).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::steer::key::KeyLengths;

    fn client(number: u32) -> ClientKey {
        ClientKey::of(Ipv4Addr::from_bits(number << 8).into(), KeyLengths::DEFAULT)
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
                heavy.note(client(zipf(&mut chance, 50_000)), &mut chance);
            }
            census.turn(&heavy);
        }
        // The first brings some 9 %, the fiftieth a fifth of a per cent.
        assert!((1..=50).all(|n| heavy.has(client(n))));
        assert!((400..50_000).all(|n| !heavy.has(client(n))));
        assert!((50..300).contains(&census.heavy()), "{}", census.heavy());
    }

    #[test]
    fn who_falls_silent_is_forgotten() {
        let (heavy, mut census, mut chance) =
            (Heavy::default(), Census::default(), Chance::seeded(4));
        let mut second = |loud: u32| {
            for n in 0..16_000 {
                let who = if n % 10 == 0 { loud } else { 1_000 + n };
                heavy.note(client(who), &mut chance);
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
        (0..100).for_each(|_| heavy.note(client(1), &mut chance));
        census.turn(&heavy);
        assert!(!heavy.has(client(1)));
    }
}
