//! What one thread remembers of networks: a table of fixed size, a cell of eight octets each.
//!
//! A cell holds one time: until when the network has used up its share. An answer moves it on by
//! what one answer costs; while it would get further ahead of the clock than the window, answers
//! are held back. That is a token bucket in one number (the "virtual scheduling" of ITU-T I.371):
//! nothing has to be filled up by anybody.
//!
//! A network may be in either of two cells side by side. When both belong to others, the one
//! whose network has used less is taken: what a flood of invented sources pushes out is other
//! invented sources, not the network that is being limited.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::board::Board;
use super::{Kind, Limit, Ruling, SLIP_MAX};

/// Pairs of cells: room for 131,072 networks and kinds in 1 MiB per thread. Memory that nobody's
/// answers have touched costs nothing.
const PAIRS: usize = 1 << 16;

/// A 2^24th of a second.
const TICKS_PER_SECOND: u64 = 1 << 24;

/// Bits of a cell: its time in ticks (44 bits, twelve days; a cell that nobody touched for that
/// long may count for one window), answers since the last slip (4), and which network it is of
/// (16), on top of the place of the pair.
const TIME_SHIFT: u32 = 20;
const SLIP_SHIFT: u32 = 16;
const SLIP: u64 = 0xf << SLIP_SHIFT;
const TAG: u64 = 0xffff;

/// The longest window, in ticks: far less than what the time of a cell can tell apart.
pub(super) const DEPTH_MAX: u64 = 1 << 40;

/// The table of one thread.
#[derive(Debug)]
pub struct Buckets {
    pairs: Box<[[u64; 2]]>,
    /// So that nobody outside can choose networks that share a pair.
    seed: [u64; 2],
    /// The batch's time in ticks.
    now: u64,
    /// Where it is noted who is held back.
    board: Arc<Board>,
}

/// A time in ticks.
pub(super) fn ticks(time: Duration) -> u64 {
    let fraction = u64::from(time.subsec_nanos()) * TICKS_PER_SECOND / 1_000_000_000;
    (time.as_secs() << 24) + fraction
}

impl Buckets {
    /// An empty table, whose places are chosen by `seed`.
    pub fn new(seed: u64) -> Self {
        // Far apart for seeds that are near; odd, so that every bit of the other factor counts.
        let multiplier =
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) ^ 0xd6e8_feb8_6659_fd93;
        Self {
            pairs: vec![[0; 2]; PAIRS].into(),
            seed: [seed, multiplier | 1],
            now: 0,
            board: Arc::default(),
        }
    }

    /// Notes on `board`, which no other thread writes on, who is held back.
    pub fn noting_on(self, board: Arc<Board>) -> Self {
        Self { board, ..self }
    }

    /// Moves on to `now`, time since the process began.
    #[inline]
    pub fn advance(&mut self, now: Duration) {
        self.now = ticks(now);
    }

    /// Charges one answer of this kind to the network of `client`, and says what becomes of it.
    #[inline]
    pub fn charge(&mut self, limit: &Limit, client: IpAddr, kind: Kind) -> Ruling {
        let key = self.seed[0] ^ limit.network(client) ^ (kind as u64) << 61;
        let product = u128::from(key) * u128::from(self.seed[1]);
        let hash = product as u64 ^ (product >> 64) as u64;
        let (now, tag) = (self.now, hash & TAG);
        let Some(pair) = self.pairs.get_mut((hash >> 48) as usize) else { return Ruling::Pass };
        let ahead = |cell: u64| {
            // Modulo 2^44; a time that has passed comes out past every window.
            let ahead = (cell >> TIME_SHIFT).wrapping_sub(now) << TIME_SHIFT >> TIME_SHIFT;
            if ahead > limit.depth { 0 } else { ahead }
        };
        let [first, second] = *pair;
        let (cell, at) = if first & TAG == tag {
            (first, 0)
        } else if second & TAG == tag {
            (second, 1)
        } else {
            (now << TIME_SHIFT, usize::from(ahead(second) < ahead(first)))
        };
        let due = ahead(cell) + limit.cost;
        let Some(place) = pair.get_mut(at) else { return Ruling::Pass };
        if due > limit.depth {
            let ruling = held_back(place, limit, client);
            if ruling != Ruling::Exempt {
                self.board.note(limit, client, kind, (now >> 24) as u32);
            }
            return ruling;
        }
        *place = now.wrapping_add(due) << TIME_SHIFT | cell & SLIP | tag;
        Ruling::Pass
    }
}

/// An answer past the rate: what becomes of it. The cell belongs to its network already, for
/// one that has only just moved in is never past the rate.
#[cold]
fn held_back(cell: &mut u64, limit: &Limit, client: IpAddr) -> Ruling {
    if limit.exempt.has(client) {
        return Ruling::Exempt;
    }
    let held = ((*cell & SLIP) >> SLIP_SHIFT) as u8 + 1;
    let is_slip = limit.slip > 0 && held >= limit.slip;
    let left = if is_slip { 0 } else { u64::from(held.min(SLIP_MAX - 1)) };
    *cell = *cell & !SLIP | left << SLIP_SHIFT;
    if is_slip { Ruling::Slip } else { Ruling::Drop }
}

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::*;

    fn spec() -> Spec {
        Spec {
            per_second: 100,
            window: Duration::from_secs(2),
            slip: 2,
            prefix: (24, 56),
            exempt: Vec::new(),
            dry_run: false,
        }
    }

    fn client(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Rulings on `per_second` answers in each of `seconds`, evenly spread: passed, dropped,
    /// slipped, exempt.
    fn flood(
        buckets: &mut Buckets,
        limit: &Limit,
        from: &str,
        per_second: u32,
        seconds: std::ops::Range<u32>,
    ) -> [u32; 4] {
        let mut counts = [0; 4];
        for second in seconds {
            for number in 0..per_second {
                let part = Duration::from_secs(1) * number / per_second;
                buckets.advance(Duration::from_secs(second.into()) + part);
                let ruling = buckets.charge(limit, client(from), Kind::Answer);
                counts[match ruling {
                    Ruling::Pass => 0,
                    Ruling::Drop => 1,
                    Ruling::Slip => 2,
                    Ruling::Exempt => 3,
                }] += 1;
            }
        }
        counts
    }

    #[test]
    fn the_rate_holds_over_a_minute() {
        let (limit, mut buckets) = (Limit::new(&spec(), 1), Buckets::new(1));
        let [passed, dropped, slipped, _] = flood(&mut buckets, &limit, "192.0.2.1", 1000, 5..65);
        // 100 a second, and 200 at once for the network that was quiet.
        assert!((6190..=6210).contains(&passed), "{passed}");
        assert!(dropped.abs_diff(slipped) <= 1, "{dropped} dropped, {slipped} slipped");
        assert_eq!(passed + dropped + slipped, 60_000);
    }

    #[test]
    fn up_to_the_rate_nothing_is_held_back() {
        let (limit, mut buckets) = (Limit::new(&spec(), 1), Buckets::new(1));
        assert_eq!(flood(&mut buckets, &limit, "192.0.2.1", 100, 0..60), [6000, 0, 0, 0]);
    }

    #[test]
    fn each_thread_has_its_share() {
        let limit = Limit::new(&spec(), 4);
        let passed: u32 = (0..4)
            .map(|seed| flood(&mut Buckets::new(seed), &limit, "192.0.2.1", 250, 0..60)[0])
            .sum();
        assert!((6190..=6210).contains(&passed), "{passed}");
    }

    #[test]
    fn a_network_that_rests_gets_its_burst_back() {
        let (limit, mut buckets) = (Limit::new(&spec(), 1), Buckets::new(1));
        flood(&mut buckets, &limit, "192.0.2.1", 1000, 0..5);
        buckets.advance(Duration::from_secs(7));
        let burst = (0..300)
            .filter(|_| buckets.charge(&limit, client("192.0.2.9"), Kind::Answer) == Ruling::Pass)
            .count();
        assert!((199..=200).contains(&burst), "{burst}");
    }

    #[test]
    fn networks_and_kinds_are_apart() {
        let (limit, mut buckets) = (Limit::new(&spec(), 1), Buckets::new(1));
        buckets.advance(Duration::from_secs(9));
        let mut ask = |from, kind| buckets.charge(&limit, client(from), kind) == Ruling::Pass;
        (0..200).for_each(|_| assert!(ask("192.0.2.1", Kind::Answer)));
        (0..200).for_each(|_| assert!(ask("2001:db8:0:100::1", Kind::Answer)));
        assert!(!ask("192.0.2.254", Kind::Answer), "the same /24");
        assert!(!ask("2001:db8:0:1ff::1", Kind::Answer), "the same /56");
        assert!(ask("192.0.3.1", Kind::Answer), "the next /24");
        assert!(ask("2001:db8:0:200::1", Kind::Answer), "the next /56");
        for kind in [Kind::Referral, Kind::Nodata, Kind::Nxdomain, Kind::Error] {
            assert!(ask("192.0.2.1", kind), "{kind:?}");
        }
    }

    #[test]
    fn every_nth_slips() {
        for (slip, expected) in [(0, 0), (1, 3000), (2, 1500), (3, 1000), (SLIP_MAX, 200)] {
            let limit = Limit::new(&Spec { slip, ..spec() }, 1);
            let mut buckets = Buckets::new(1);
            buckets.advance(Duration::from_secs(9));
            let mut ask = || buckets.charge(&limit, client("192.0.2.1"), Kind::Answer);
            (0..200).for_each(|_| assert_eq!(ask(), Ruling::Pass));
            let slipped = (0..3000).filter(|_| ask() == Ruling::Slip).count();
            assert_eq!(slipped, expected, "slip = {slip}");
        }
    }

    #[test]
    fn exempt_networks_are_never_held_back() {
        let exempt = vec![(client("192.0.2.0"), 25)];
        let limit = Limit::new(&Spec { exempt, ..spec() }, 1);
        let mut buckets = Buckets::new(1);
        let [passed, dropped, slipped, exempt] =
            flood(&mut buckets, &limit, "192.0.2.1", 1000, 0..10);
        assert_eq!((dropped, slipped, passed + exempt), (0, 0, 10_000));
        assert!(exempt > 8000, "{exempt}");
        assert!(flood(&mut buckets, &limit, "192.0.2.200", 1000, 0..10)[1] > 0);
    }

    /// Millions of invented sources, and yet the network that is hit stays limited.
    #[test]
    fn a_flood_of_sources_does_not_free_a_network_that_is_over() {
        let (limit, mut buckets) = (Limit::new(&spec(), 1), Buckets::new(77));
        let (mut passed, mut invented) = (0, 0u32);
        for step in 0..10_000u32 {
            buckets.advance(Duration::from_secs(5) + Duration::from_millis(1) * step);
            for _ in 0..100 {
                invented = invented.wrapping_add(0x9e37_79b9);
                buckets.charge(&limit, IpAddr::V4(invented.into()), Kind::Answer);
            }
            let ruling = buckets.charge(&limit, client("192.0.2.1"), Kind::Answer);
            passed += u32::from(ruling == Ruling::Pass);
        }
        // 10 seconds at 100 and the burst of 200, of 10,000 that were asked.
        assert!((1190..=1215).contains(&passed), "{passed}");
    }

    #[test]
    fn a_rate_below_one_per_window_still_lets_one_through() {
        let slow = Spec { per_second: 1, window: Duration::from_millis(100), ..spec() };
        let (limit, mut buckets) = (Limit::new(&slow, 8), Buckets::new(1));
        let [passed, ..] = flood(&mut buckets, &limit, "192.0.2.1", 10, 0..80);
        assert_eq!(passed, 10, "one in eight seconds");
    }

    #[test]
    fn the_end_of_the_cells_time_is_passed_without_harm() {
        let (limit, mut buckets) = (Limit::new(&spec(), 1), Buckets::new(1));
        let end = 1 << 20;
        let [passed, ..] = flood(&mut buckets, &limit, "192.0.2.1", 1000, end - 30..end + 30);
        assert!((6190..=6210).contains(&passed), "{passed}");
    }
}
