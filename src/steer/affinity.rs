//! Affinity: a client network keeps its pool, and a pool that is lost moves only its own clients.
//!
//! Up to sixteen pools by weighted rendezvous (Thaler and Ravishankar 1998; weights after
//! Schindelhauer and Schomaker 2005): each pool scores −log₂(u) / weight with a u of its own for
//! each client, and the least score wins. Above, by a Maglev table (Eisenbud et al., NSDI 2016)
//! of all pools, which costs the same for any number. Both know every pool, in or out: who is
//! out is passed over, so that nobody else moves.

use crate::steer::key::ClientKey;

/// Most pools that are scored for each query.
const SCORED_MAX: usize = 16;
/// Slots of a Maglev table: a prime, and a hundred times as many as there are pools, so that
/// shares are within 1 % for up to some 600.
const SLOTS: usize = 65_537;
/// How often a client whose pool is out looks for another in the table before all are scored.
const TRIES: u64 = 8;

/// Pools with weights, to choose among by client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    pools: Box<[Scored]>,
    /// The pool of each slot; empty for few pools.
    slots: Box<[u16]>,
}

/// A pool as it scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scored {
    salt: u64,
    /// The least weight by the pool's own, in 2^-32; 0 for a standby, which is chosen only
    /// where all others are out.
    inverse: u32,
}

impl Affinity {
    /// Pools given as salt (see [`salt_of`](super::key::salt_of)) and weight, in an order that
    /// says nothing but by which number [`pick`](Self::pick) names them.
    pub fn new(pools: &[(u64, u32)]) -> Self {
        let least = pools.iter().map(|&(_, weight)| weight).filter(|&weight| weight > 0).min();
        let least = u64::from(least.unwrap_or(1));
        let scored = pools.iter().map(|&(salt, weight)| {
            let inverse = (u64::from(u32::MAX) * least).checked_div(u64::from(weight));
            // So much lighter than the lightest that it scores like a standby: it keeps a trace.
            let inverse = inverse.map_or(0, |inverse| (inverse as u32).max(1));
            Scored { salt, inverse }
        });
        let slots = if pools.len() > SCORED_MAX { slots(pools) } else { Box::default() };
        Self { pools: scored.collect(), slots }
    }

    /// The pool of a client among those that `accepts` lets in; `None` when it lets in none.
    #[inline]
    pub fn pick(&self, client: ClientKey, mut accepts: impl FnMut(usize) -> bool) -> Option<usize> {
        if !self.slots.is_empty() {
            for attempt in 0..TRIES {
                let at = (u128::from(client.with(attempt)) * SLOTS as u128) >> 64;
                let pool = usize::from(*self.slots.get(at as usize)?);
                if accepts(pool) {
                    return Some(pool);
                }
            }
        }
        let mut best: Option<(u64, usize)> = None;
        let mut standby = None;
        for (number, pool) in self.pools.iter().enumerate() {
            if !accepts(number) {
                continue;
            }
            if pool.inverse == 0 {
                standby = standby.or(Some(number));
                continue;
            }
            let score = u64::from(halvings(client.with(pool.salt))) * u64::from(pool.inverse);
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, number));
            }
        }
        best.map(|(_, number)| number).or(standby)
    }
}

/// Fills the slots: each pool wants them in an order of its own and takes turns as often as its
/// weight says.
fn slots(pools: &[(u64, u32)]) -> Box<[u16]> {
    const FREE: u16 = u16::MAX;
    let most = pools.iter().map(|&(_, weight)| weight).max().unwrap_or(0).max(1);
    let mut wants: Vec<(u64, u64)> = pools
        .iter()
        .map(|&(salt, _)| (salt % SLOTS as u64, (salt >> 32) % (SLOTS as u64 - 1) + 1))
        .collect();
    let mut credit = vec![0u64; pools.len()];
    let mut slots = vec![FREE; SLOTS];
    let mut free = SLOTS;
    while free > 0 {
        let before = free;
        for (number, &(_, weight)) in pools.iter().enumerate().take(usize::from(FREE)) {
            credit[number] += u64::from(weight);
            if credit[number] < u64::from(most) {
                continue;
            }
            credit[number] -= u64::from(most);
            let (at, step) = &mut wants[number];
            while slots[*at as usize] != FREE {
                *at = (*at + *step) % SLOTS as u64;
            }
            slots[*at as usize] = number as u16;
            free -= 1;
            if free == 0 {
                break;
            }
        }
        // Weights of nothing at all: nobody takes a turn.
        if before == free && pools.iter().all(|&(_, weight)| weight == 0) {
            return Box::default();
        }
    }
    slots.into()
}

/// How often 1 must be halved to come down to `value / 2^64`: −log₂ of it, in 2^-25. Never 0,
/// and off by less than 3 parts in a million of a halving.
#[inline]
const fn halvings(value: u64) -> u32 {
    // The lowest bit set keeps the logarithm finite.
    let value = value | 1;
    let whole = value.leading_zeros();
    let mantissa = value << whole;
    let at = (mantissa >> 55) as usize & 0xff;
    let between = (mantissa >> 39) as u32 & 0xffff;
    let (low, high) = (LOG2[at], LOG2[at + 1]);
    let log = low + (((high - low) as u64 * between as u64) >> 16) as u32;
    ((whole + 1) << 25) - log + 1
}

/// log₂(1 + i / 256), in 2^-25.
static LOG2: [u32; 257] = {
    let mut table = [0; 257];
    let mut at = 0;
    while at < 257 {
        table[at] = log2(at as u64);
        at += 1;
    }
    table
};

/// log₂(1 + at / 256) in 2^-25, bit by bit: squaring doubles a logarithm.
const fn log2(at: u64) -> u32 {
    if at >= 256 {
        return 1 << 25;
    }
    let mut mantissa = (256 + at) << 23;
    let (mut log, mut bit) = (0, 0);
    while bit < 25 {
        let square = (mantissa as u128 * mantissa as u128) >> 31;
        log <<= 1;
        mantissa = square as u64;
        if mantissa >= 1 << 32 {
            log |= 1;
            mantissa >>= 1;
        }
        bit += 1;
    }
    log
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::steer::key::{KeyLengths, salt_of};

    fn client(number: u32) -> ClientKey {
        ClientKey::of(IpAddr::V4(Ipv4Addr::from_bits(number << 8)), KeyLengths::DEFAULT)
    }

    fn pools(weights: &[u32]) -> Affinity {
        let name = |at: usize| salt_of(&format!("pool-{at}"));
        let pools: Vec<_> = weights.iter().enumerate().map(|(at, &w)| (name(at), w)).collect();
        Affinity::new(&pools)
    }

    /// How many of the first clients each pool has.
    fn counts(affinity: &Affinity, clients: u32) -> Vec<u32> {
        let mut counts = vec![0; affinity.pools.len()];
        (0..clients).for_each(|n| counts[affinity.pick(client(n), |_| true).expect("one")] += 1);
        counts
    }

    #[test]
    fn halvings_are_a_logarithm() {
        for value in [1, 3, 7, (1 << 20) + 1, 0x1234_5678_9abc_def1, u64::MAX >> 1, u64::MAX] {
            let exact = 64.0 - (value as f64).log2();
            let found = f64::from(halvings(value)) / f64::from(1 << 25);
            assert!((found - exact).abs() < 3e-6, "{value:#x}: {found} is not {exact}");
        }
    }

    #[test]
    fn shares_follow_the_weights_within_four_standard_errors() {
        const CLIENTS: u32 = 200_000;
        for weights in [vec![1, 1, 1], vec![5, 3, 2], vec![90, 9, 1], (1..=16).collect()] {
            let sum: u32 = weights.iter().sum();
            for (count, weight) in counts(&pools(&weights), CLIENTS).into_iter().zip(&weights) {
                let share = f64::from(*weight) / f64::from(sum);
                let error = (f64::from(CLIENTS) * share * (1.0 - share)).sqrt();
                let off = (f64::from(count) - f64::from(CLIENTS) * share).abs();
                assert!(off <= 4.0 * error, "{weights:?}: {weight} got {count}");
            }
        }
    }

    #[test]
    fn many_pools_get_their_shares_within_three_per_cent() {
        let weights: Vec<u32> = (0..40).map(|at| 1 + at % 3).collect();
        let sum: u32 = weights.iter().sum();
        for (count, weight) in counts(&pools(&weights), 1_000_000).into_iter().zip(&weights) {
            let wanted = 1e6 * f64::from(*weight) / f64::from(sum);
            assert!((f64::from(count) / wanted - 1.0).abs() < 0.03, "{weight} got {count}");
        }
    }

    #[test]
    fn a_lost_pool_moves_its_own_clients_and_no_others() {
        for number in [3, 16, 17, 100] {
            let affinity = pools(&vec![2; number]);
            for n in 0..20_000 {
                let before = affinity.pick(client(n), |_| true);
                let after = affinity.pick(client(n), |pool| pool != 1);
                assert!(after == before || before == Some(1), "{number} pools, client {n}");
                assert_ne!(after, Some(1));
            }
        }
    }

    #[test]
    fn the_clients_of_a_lost_pool_are_spread_over_the_others() {
        let affinity = pools(&[1; 5]);
        let mut heirs = [0; 5];
        for n in (0..50_000).filter(|&n| affinity.pick(client(n), |_| true) == Some(0)) {
            heirs[affinity.pick(client(n), |pool| pool != 0).expect("one")] += 1;
        }
        assert_eq!(heirs[0], 0);
        assert!(heirs[1..].iter().all(|&heir| (2_200..2_800).contains(&heir)), "{heirs:?}");
    }

    #[test]
    fn a_new_pool_takes_its_share_and_moves_nobody_else() {
        let (before, after) = (pools(&[1; 4]), pools(&[1; 5]));
        let moved = (0..50_000).filter(|&n| {
            let (old, new) = (before.pick(client(n), |_| true), after.pick(client(n), |_| true));
            assert!(old == new || new == Some(4), "client {n}");
            old != new
        });
        assert!((9_500..10_500).contains(&moved.count()));
    }

    #[test]
    fn a_standby_is_chosen_when_all_others_are_out() {
        let affinity = pools(&[3, 0, 1]);
        assert!((0..5_000).all(|n| affinity.pick(client(n), |_| true) != Some(1)));
        assert!((0..50).all(|n| affinity.pick(client(n), |pool| pool == 1) == Some(1)));
        assert_eq!(affinity.pick(client(1), |_| false), None);
        let nothing = pools(&[0; 20]);
        assert_eq!(nothing.pick(client(1), |_| true), Some(0));
    }

    #[test]
    fn choices_are_the_same_on_every_node_and_in_every_version() {
        let affinity = pools(&[5, 3, 2]);
        let chosen: Vec<_> = (0..12).filter_map(|n| affinity.pick(client(n), |_| true)).collect();
        assert_eq!(chosen, CHOSEN);
    }

    const CHOSEN: [usize; 12] = [0, 1, 0, 0, 2, 1, 0, 2, 1, 1, 1, 0];
}
