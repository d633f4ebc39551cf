//! Those equally near: which of them comes first.

use super::{Chooser, Selection, Trace};
use crate::geo::map::Order;
use crate::steer::record::Ties;

/// Tells the choice among those equally near from shares: the fractional part of the square
/// root of 13.
const TIE_SALT: u64 = 0x9b05_688c_2b3e_6c1f;

impl<T: Trace> Chooser<'_, '_, T> {
    /// Of the candidates that are equally near, those that take this client, in the order the
    /// rule breaks ties in. Not a choice by weight: being as near makes them alike.
    #[cold]
    pub(super) fn among_tied(&mut self, order: &Order, selection: &mut Selection<'_>) {
        let tied = order.head();
        // A candidate is left while its bit is set; an order has eight at most.
        let mut left: u32 = (1 << tied.len().min(8)) - 1;
        while left != 0 && !selection.is_full(self.rule.answers) {
            let place = self.break_tie(tied, left);
            left &= !(1 << place);
            let Some(&site) = tied.get(place as usize) else { return };
            if self.is_on_side(site) && !selection.picks().contains(&site) && self.is_in(site) {
                self.take(site, selection);
            }
        }
    }

    /// The place of the one that comes first among those of `tied` that are left.
    fn break_tie(&mut self, tied: &[u16], left: u32) -> u32 {
        match self.rule.band.map(|band| band.ties) {
            Some(Ties::Network) => self.by_rendezvous(tied, left),
            Some(Ties::Random) | None => nth(left, self.chance.below(left.count_ones())),
        }
    }

    /// Highest random weight: each client network has an order of its own, and one that is out
    /// moves only its own clients.
    fn by_rendezvous(&mut self, tied: &[u16], left: u32) -> u32 {
        let key = self.key();
        let mut best = (0, left.trailing_zeros());
        for (&site, place) in tied.iter().zip(0..) {
            let salt = self.plan.sites.get(usize::from(site)).map_or(0, |site| site.salt);
            let weight = key.with(salt ^ TIE_SALT);
            if (left >> place) & 1 == 1 && weight >= best.0 {
                best = (weight, place);
            }
        }
        best.1
    }
}

/// The place of the `n`th bit that is set, from 0.
const fn nth(mut bits: u32, n: u32) -> u32 {
    let mut skipped = 0;
    while skipped < n && bits != 0 {
        bits &= bits - 1;
        skipped += 1;
    }
    bits.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_bit_that_is_set_is_found() {
        assert_eq!([0, 1, 2].map(|n| nth(0b1011, n)), [0, 1, 3]);
    }
}
