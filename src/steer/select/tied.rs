//! Those equally near: which of them comes first.
//!
//! By load means in proportion to [`Rooms`], never the least loaded: loads are known late, and
//! who sends everybody to the one that was least loaded fills it, and then the next. A room changes
//! by no greater part than the load that it hangs on, so that all settles, however late loads are
//! known (docs/decisions/0047).

use super::{Chooser, Selection, Trace};
use crate::geo::map::{ORDER_MAX, Order};
use crate::health::table::PoolLoad;
use crate::steer::record::Ties;

/// Tells the choice among those equally near from shares: the fractional part of the square
/// root of 13.
const TIE_SALT: u64 = 0x9b05_688c_2b3e_6c1f;
/// Tells which of a network's two it gets from which two they are: of the square root of 17.
const DUEL_SALT: u64 = 0x1f83_d9ab_fb41_bd6b;

/// All of what a pool can take: loads are in thousandths.
const ALL: u64 = 1000;
/// The measure of rooms, fine enough for loads of many times what a pool can take.
const UNIT: u64 = 1 << 20;
/// The load of a pool of which none is known, where none is known of any with room.
const PRESUMED: u64 = 500;

impl<T: Trace> Chooser<'_, '_, T> {
    /// Of the candidates that are equally near, those that take this client, in the order the
    /// rule breaks ties in. Not a choice by weight: being as near makes them alike.
    #[cold]
    pub(super) fn among_tied(&mut self, order: &Order, selection: &mut Selection<'_>) {
        let tied = order.head();
        // A candidate is left while its bit is set; an order has eight at most.
        let mut left: u32 = (1 << tied.len().min(8)) - 1;
        if self.rule.band.is_some_and(|band| band.ties.by_load()) {
            left = self.serving(tied, selection.picks());
        }
        while left != 0 && !selection.is_full(self.rule.answers) {
            let place = self.break_tie(tied, left);
            left &= !(1 << place);
            let Some(&site) = tied.get(place as usize) else { return };
            if self.is_on_side(site) && !selection.picks().contains(&site) && self.is_in(site) {
                self.take(site, selection);
            }
        }
    }

    /// Those that may be chosen from by room: whoever does not serve has no part in it.
    fn serving(&mut self, tied: &[u16], picks: &[u16]) -> u32 {
        let mut serving = 0;
        for (&site, place) in tied.iter().zip(0..u32::BITS) {
            if picks.contains(&site) || !self.is_on_side(site) {
                continue;
            }
            if self.is_open(site) {
                serving |= 1 << place;
            } else {
                // Seen to be out.
                self.is_in(site);
            }
        }
        serving
    }

    /// The place of the one that comes first among those of `tied` that are left.
    fn break_tie(&mut self, tied: &[u16], left: u32) -> u32 {
        match self.rule.band.map(|band| band.ties) {
            Some(Ties::Network) => self.by_rendezvous(tied, left),
            Some(ties) if ties.by_load() => self.by_room(ties, tied, left),
            _ => nth(left, self.chance.below(left.count_ones())),
        }
    }

    /// In proportion to the room they have.
    fn by_room(&mut self, ties: Ties, tied: &[u16], left: u32) -> u32 {
        let rooms = Rooms::new(left, |place| self.load(tied, place));
        for (&site, place) in tied.iter().zip(0..) {
            if (left >> place) & 1 == 1 {
                self.trace.weighed(site, self.load(tied, place), rooms.of(place));
            }
        }
        if rooms.left.is_power_of_two() {
            return rooms.left.trailing_zeros();
        }
        match ties {
            Ties::TwoChoices => {
                let bits = self.chance.draw();
                let (one, other) = pair(rooms.left, (bits >> 32) as u32);
                self.trace.paired(site_at(tied, one), site_at(tied, other));
                rooms.duel(one, other, bits as u32)
            }
            Ties::TwoByNetwork => {
                let one = self.by_rendezvous(tied, rooms.left);
                let other = self.by_rendezvous(tied, rooms.left & !(1 << one));
                self.trace.paired(site_at(tied, one), site_at(tied, other));
                // Alike whichever of the two is first while more than two are left.
                rooms.duel(one, other, (self.key().with(DUEL_SALT) >> 32) as u32)
            }
            _ => rooms.draw(self.chance.below_wide(rooms.sum())),
        }
    }

    fn load(&self, tied: &[u16], place: u32) -> PoolLoad {
        let site = self.plan.sites.get(usize::from(site_at(tied, place)));
        site.map_or(PoolLoad::UNKNOWN, |site| self.query.health.loads.of(site.pool))
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

fn site_at(tied: &[u16], place: u32) -> u16 {
    tied.get(place as usize).copied().unwrap_or(u16::MAX)
}

/// The room of those equally near, by place: what a pool can take, divided by one and the part of
/// it in use. One that is full gets nobody while another is not. A pool of which nothing is known
/// counts as the mean of those that are not full.
struct Rooms {
    of: [u64; ORDER_MAX],
    /// The places of those that are chosen from.
    left: u32,
}

impl Rooms {
    fn new(left: u32, load: impl Fn(u32) -> PoolLoad) -> Self {
        let places = || (0..ORDER_MAX as u32).filter(|place| (left >> place) & 1 == 1);
        let open = places().map(&load).filter(|load| !load.is_full());
        let loads = open.filter_map(PoolLoad::permille).map(u64::from);
        let queries = places().filter_map(|place| load(place).quarters()).map(u64::from);
        let presumed = mean(loads).unwrap_or(PRESUMED);
        let usual = mean(queries).unwrap_or(1);
        let mut rooms = Self { of: [0; ORDER_MAX], left };
        let mut open = 0;
        for place in places() {
            let of = load(place);
            let taken = of.permille().map_or(presumed, u64::from);
            let queries = of.quarters().map_or(usual, u64::from);
            if let Some(room) = rooms.of.get_mut(place as usize) {
                *room = queries * UNIT / (ALL + taken);
            }
            open |= u32::from(!of.is_full()) << place;
        }
        if open != 0 {
            rooms.left = open;
        }
        rooms
    }

    /// The room of one that is chosen from.
    fn of(&self, place: u32) -> u64 {
        let room = self.of.get(place as usize).copied().unwrap_or(0);
        if (self.left >> place) & 1 == 1 { room } else { 0 }
    }

    fn sum(&self) -> u64 {
        (0..ORDER_MAX as u32).map(|place| self.of(place)).sum()
    }

    /// The place that `drawn`, below the sum, falls on.
    fn draw(&self, mut drawn: u64) -> u32 {
        for place in 0..ORDER_MAX as u32 {
            let room = self.of(place);
            if drawn < room {
                return place;
            }
            drawn -= room;
        }
        self.left.trailing_zeros()
    }

    /// One of two, by bits that are evenly spread.
    fn duel(&self, one: u32, other: u32, bits: u32) -> u32 {
        let (low, high) = (one.min(other), one.max(other));
        let both = u128::from(self.of(low) + self.of(high));
        let falls = (both * u128::from(bits)) >> 32;
        if falls < u128::from(self.of(low)) { low } else { high }
    }
}

/// The shares of the clients for whom those of `serving`, by place, are equally near, where each
/// keeps all it gets: what the planner counts on, and plans show.
pub fn tie_shares(ties: Ties, serving: u32, load: impl Fn(u32) -> PoolLoad) -> [f64; ORDER_MAX] {
    let mut shares = [0.0; ORDER_MAX];
    let rooms = Rooms::new(serving, load);
    let left = if ties.by_load() { rooms.left } else { serving };
    let count = f64::from(left.count_ones());
    for (share, place) in shares.iter_mut().zip(0..).filter(|(_, place)| (left >> place) & 1 == 1) {
        let mine = rooms.of(place) as f64;
        *share = match ties {
            Ties::Random | Ties::Network => 1.0 / count,
            _ if left.is_power_of_two() => 1.0,
            Ties::Load => mine / rooms.sum() as f64,
            Ties::TwoChoices | Ties::TwoByNetwork => {
                let others = (0..ORDER_MAX as u32).filter(|other| *other != place);
                let others = others.filter(|other| (left >> other) & 1 == 1);
                let won = |other: u32| mine / (mine + rooms.of(other) as f64);
                others.map(won).sum::<f64>() * 2.0 / (count * (count - 1.0))
            }
        };
    }
    shares
}

fn mean(values: impl Iterator<Item = u64>) -> Option<u64> {
    let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count)
}

/// Two different places whose bits are set, of which there are two or more, by bits that are evenly
/// spread.
fn pair(left: u32, bits: u32) -> (u32, u32) {
    let count = u64::from(left.count_ones());
    let number = (u64::from(bits) * (count * count.saturating_sub(1))) >> 32;
    let first = nth(left, (number % count.max(1)) as u32);
    let second = nth(left & !(1 << first), (number / count.max(1)) as u32);
    (first, second)
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
    use crate::steer::chance::Chance;

    /// Rooms of pools with these loads, and what each can take.
    fn rooms(loads: &[(Option<f64>, Option<f64>)]) -> Rooms {
        let load = |place: u32| match loads[place as usize] {
            (Some(load), queries) => PoolLoad::new(0.0, queries).supposed(load),
            (None, _) => PoolLoad::UNKNOWN,
        };
        Rooms::new((1 << loads.len()) - 1, load)
    }

    /// What [`tie_shares`] says of them.
    fn told(ties: Ties, loads: &[(Option<f64>, Option<f64>)]) -> Vec<f64> {
        let load = |place: u32| match loads[place as usize] {
            (Some(load), queries) => PoolLoad::new(0.0, queries).supposed(load),
            (None, _) => PoolLoad::UNKNOWN,
        };
        tie_shares(ties, (1 << loads.len()) - 1, load)[..loads.len()].to_vec()
    }

    /// Shares of a draw by room, and of two choices, over 100,000 draws.
    fn shares(loads: &[(Option<f64>, Option<f64>)]) -> [Vec<f64>; 2] {
        let rooms = rooms(loads);
        let mut chance = Chance::seeded(5);
        let mut counts = [vec![0.0; loads.len()], vec![0.0; loads.len()]];
        for _ in 0..100_000 {
            counts[0][rooms.draw(chance.below_wide(rooms.sum())) as usize] += 1e-5;
            let (bits, more) = (chance.draw(), chance.draw());
            let won = if rooms.left.is_power_of_two() {
                rooms.left.trailing_zeros()
            } else {
                let (one, other) = pair(rooms.left, bits as u32);
                rooms.duel(one, other, more as u32)
            };
            counts[1][won as usize] += 1e-5;
        }
        about(&counts[0], &told(Ties::Load, loads));
        about(&counts[1], &told(Ties::TwoChoices, loads));
        counts
    }

    fn about(shares: &[f64], wanted: &[f64]) {
        let off = shares.iter().zip(wanted).map(|(share, wanted)| (share - wanted).abs());
        assert!(off.fold(0.0, f64::max) < 0.01, "{shares:?} is not {wanted:?}");
    }

    #[test]
    fn who_is_less_loaded_gets_more_and_not_all() {
        let [load, two] = shares(&[(Some(0.2), None), (Some(0.8), None)]);
        about(&load, &[0.6, 0.4]);
        about(&two, &[0.6, 0.4]);
    }

    #[test]
    fn who_can_take_more_gets_more() {
        let [load, _] = shares(&[(Some(0.5), Some(3000.0)), (Some(0.5), Some(1000.0))]);
        about(&load, &[0.75, 0.25]);
    }

    #[test]
    fn of_three_by_two_choices_nobody_gets_more_than_two_thirds() {
        let [load, two] =
            shares(&[(Some(0.0), Some(90.0)), (Some(0.9), Some(1.0)), (Some(0.9), Some(1.0))]);
        assert!(load[0] > 0.98 && (0.65..2.0 / 3.0).contains(&two[0]), "{load:?} {two:?}");
    }

    #[test]
    fn who_is_full_gets_nothing_while_another_has_room() {
        for shares in shares(&[(Some(1.0), None), (Some(0.99), None), (Some(1.4), None)]) {
            about(&shares, &[0.0, 1.0, 0.0]);
        }
        for shares in shares(&[(Some(1.0), None), (Some(1.0), None)]) {
            about(&shares, &[0.5, 0.5]);
        }
    }

    /// What settles however late it is known: shares change by no greater part than loads.
    #[test]
    fn a_room_changes_by_less_than_the_load_it_hangs_on() {
        let room = |permille: u16| {
            let load = |_| PoolLoad::new(f64::from(permille) / 1000.0, Some(1e6));
            Rooms::new(1, load).of(0) as f64
        };
        for permille in (1..3000).step_by(7) {
            let (before, after) = (room(permille), room(permille + 1));
            let part = (before - after) / before;
            assert!(part >= 0.0 && part < 1.0 / f64::from(permille), "{permille}: {part}");
        }
    }

    #[test]
    fn who_is_unknown_counts_as_the_mean_of_those_with_room() {
        let known = (Some(0.5), Some(100.0));
        about(&shares(&[known, (None, None), known])[0], &[1.0 / 3.0; 3]);
        let mixed = [(Some(0.2), None), (None, None), (Some(0.8), None), (Some(1.5), None)];
        about(&shares(&mixed)[0], &[0.4, 0.32, 0.28, 0.0]);
        about(&shares(&[(Some(1.5), None), (None, None)])[0], &[0.0, 1.0]);
        about(&shares(&[(None, None), (None, None)])[0], &[0.5, 0.5]);
    }

    #[test]
    fn every_pair_is_drawn_alike() {
        let pairs: Vec<(u32, u32)> =
            (0..6u64).map(|cell| pair(0b1011, (cell << 32).div_ceil(6) as u32)).collect();
        let mut sorted = pairs.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [(0, 1), (0, 3), (1, 0), (1, 3), (3, 0), (3, 1)]);
    }

    #[test]
    fn the_nth_bit_that_is_set_is_found() {
        assert_eq!([0, 1, 2].map(|n| nth(0b1011, n)), [0, 1, 3]);
    }
}
