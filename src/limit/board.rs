//! Whom a thread holds back, for whoever asks: a board of fixed size that one thread writes on
//! and anybody reads.
//!
//! Only answers past the rate get here. A network has one of four places, by a hash of it; when
//! all are taken the one held back longest ago goes, or else the one held back least. A reader
//! may come in the middle of a note: each place has a number that is odd meanwhile (a "seqlock"),
//! and what was read then is not believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{Kind, Limit};

/// Places side by side, of which a network has one.
const WAYS: usize = 4;
/// Sets of places: 64 networks and kinds for each thread, in 2 KiB.
const SETS: usize = 16;

/// Seconds without an answer held back after which a place is as good as free.
pub const SPELL: u32 = 60;

/// How often a reader tries again when it comes in the middle of a note.
const ATTEMPTS: usize = 8;

/// What one thread has noted.
#[derive(Debug)]
pub struct Board {
    places: Box<[[Place; WAYS]; SETS]>,
}

/// One network and kind of answer.
#[derive(Debug, Default)]
struct Place {
    version: AtomicU64,
    /// The network's address: an IPv4 address, or the upper half of an IPv6 address.
    network: AtomicU64,
    /// Which kind, family and prefix length it is, and 1 above all when there is any.
    which: AtomicU64,
    held: AtomicU64,
    /// In seconds of the process's time.
    last: AtomicU64,
}

/// A network some of whose answers are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its first address.
    pub network: IpAddr,
    /// Its prefix length.
    pub length: u8,
    /// Of which kind the answers are.
    pub kind: Kind,
    /// How many were held back in the spell that goes on.
    pub answers: u64,
    /// When the last was, in seconds of the process's time.
    pub last: u32,
}

const TAKEN: u64 = 1 << 63;

impl Default for Board {
    fn default() -> Self {
        Self { places: Box::new(std::array::from_fn(|_| Default::default())) }
    }
}

impl Board {
    /// Notes that an answer of this kind to `client` was held back. For one thread only.
    pub(super) fn note(&self, limit: &Limit, client: IpAddr, kind: Kind, now: u32) {
        let network = limit.network(client);
        let (family, length) = match client {
            IpAddr::V4(_) => (0, limit.v4_mask.count_ones()),
            IpAddr::V6(_) => (1, limit.v6_mask.count_ones()),
        };
        let which = TAKEN | u64::from(length) << 16 | family << 8 | kind as u64;
        let hash = (network ^ which).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let Some(set) = self.places.get(hash as usize % SETS) else { return };
        let mine = |place: &&Place| {
            place.which.load(Ordering::Relaxed) == which
                && place.network.load(Ordering::Relaxed) == network
        };
        let worth = |place: &&Place| match place.is_over(now) {
            true => 0,
            false => place.held.load(Ordering::Relaxed),
        };
        let found = set.iter().find(mine);
        let Some(place) = found.or_else(|| set.iter().min_by_key(worth)) else { return };
        let before = match found {
            Some(place) if !place.is_over(now) => place.held.load(Ordering::Relaxed),
            _ => 0,
        };
        place.write(network, which, before + 1, now);
    }

    /// Everything noted in the last [`SPELL`], at `now` in seconds of the process's time.
    pub fn read(&self, now: u32) -> impl Iterator<Item = Held> {
        let places = self.places.iter().flatten();
        places.filter_map(Place::read).filter(move |held| now.saturating_sub(held.last) < SPELL)
    }
}

impl Place {
    /// Whether nothing was held back here for so long that it may be forgotten.
    fn is_over(&self, now: u32) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        self.which.load(Ordering::Relaxed) & TAKEN == 0
            || u64::from(now).saturating_sub(last) >= u64::from(SPELL)
    }

    fn write(&self, network: u64, which: u64, held: u64, last: u32) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // Whoever sees one of these stores sees the odd number, too.
        fence(Ordering::Release);
        self.network.store(network, Ordering::Relaxed);
        self.which.store(which, Ordering::Relaxed);
        self.held.store(held, Ordering::Relaxed);
        self.last.store(last.into(), Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// What stands here; `None` when there is nothing, or it changes all the while.
    fn read(&self) -> Option<Held> {
        for _ in 0..ATTEMPTS {
            let version = self.version.load(Ordering::Acquire);
            let [network, which, held, last] = [&self.network, &self.which, &self.held, &self.last]
                .map(|word| word.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return understood(network, which, held, last as u32);
            }
        }
        None
    }
}

fn understood(network: u64, which: u64, answers: u64, last: u32) -> Option<Held> {
    if which & TAKEN == 0 {
        return None;
    }
    let network = match which >> 8 & 1 {
        0 => IpAddr::V4(Ipv4Addr::from_bits(network as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64)),
    };
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u64 == which & 0xff)?;
    Some(Held { network, length: (which >> 16 & 0xff) as u8, kind, answers, last })
}

/// The networks of several boards, those held back most first.
pub fn together<'b>(boards: impl Iterator<Item = &'b Board>, now: u32) -> Vec<Held> {
    let mut all: Vec<Held> = Vec::new();
    for held in boards.flat_map(|board| board.read(now)) {
        let same = |other: &&mut Held| {
            (other.network, other.length, other.kind) == (held.network, held.length, held.kind)
        };
        match all.iter_mut().find(same) {
            Some(other) => {
                other.answers += held.answers;
                other.last = other.last.max(held.last);
            }
            None => all.push(held),
        }
    }
    all.sort_by_key(|held| (std::cmp::Reverse(held.answers), held.network));
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Spec;
    use super::*;

    fn limit() -> Limit {
        let spec = Spec {
            per_second: 1,
            window: Duration::from_secs(1),
            slip: 2,
            prefix: (24, 56),
            exempt: Vec::new(),
            dry_run: false,
        };
        Limit::new(&spec, 1)
    }

    fn client(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// What is read, as text.
    fn told(boards: &[Board], now: u32) -> Vec<String> {
        together(boards.iter(), now)
            .iter()
            .map(|held| {
                format!("{}/{} {} {}", held.network, held.length, held.kind.as_str(), held.answers)
            })
            .collect()
    }

    #[test]
    fn threads_are_added_up_and_the_worst_stands_first() {
        let (limit, boards) = (limit(), [Board::default(), Board::default()]);
        for _ in 0..5 {
            boards[0].note(&limit, client("192.0.2.9"), Kind::Nxdomain, 7);
            boards[1].note(&limit, client("192.0.2.77"), Kind::Nxdomain, 8);
            boards[1].note(&limit, client("2001:db8:0:1ff::1"), Kind::Answer, 8);
        }
        boards[0].note(&limit, client("192.0.2.9"), Kind::Error, 9);
        let expected =
            ["192.0.2.0/24 nxdomain 10", "2001:db8:0:100::/56 answer 5", "192.0.2.0/24 error 1"];
        assert_eq!(told(&boards, 10), expected);
    }

    #[test]
    fn what_is_over_is_not_told_and_begins_anew() {
        let (limit, boards) = (limit(), [Board::default()]);
        boards[0].note(&limit, client("192.0.2.9"), Kind::Answer, 100);
        assert_eq!(told(&boards, 100 + SPELL - 1).len(), 1);
        assert_eq!(told(&boards, 100 + SPELL).len(), 0);
        boards[0].note(&limit, client("192.0.2.9"), Kind::Answer, 100 + SPELL);
        assert_eq!(told(&boards, 100 + SPELL), ["192.0.2.0/24 answer 1"]);
    }

    /// However many networks there are, the one that is hit most stays.
    #[test]
    fn many_networks_do_not_push_out_the_worst() {
        let (limit, boards) = (limit(), [Board::default()]);
        for round in 0..10_000_u32 {
            boards[0].note(&limit, client("192.0.2.9"), Kind::Answer, 5);
            let other = Ipv4Addr::from_bits(0x0a00_0000 | round << 8);
            boards[0].note(&limit, other.into(), Kind::Answer, 5);
        }
        let told = told(&boards, 5);
        assert_eq!(told[0], "192.0.2.0/24 answer 10000");
        assert!(told.len() <= WAYS * SETS, "{}", told.len());
    }

    #[test]
    fn a_reader_never_sees_half_a_note() {
        let (limit, board) = (limit(), Board::default());
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..200_000_u32 {
                    // Each network with a kind of its own; all in few places.
                    let (network, kind) = match round % 3 {
                        0 => ("192.0.2.0", Kind::Answer),
                        1 => ("198.51.100.0", Kind::Error),
                        _ => ("2001:db8::", Kind::Nxdomain),
                    };
                    board.note(&limit, client(network), kind, round);
                }
            });
            while !writer.is_finished() {
                for held in board.read(200_000) {
                    let expected = match held.kind {
                        Kind::Answer => "192.0.2.0",
                        Kind::Error => "198.51.100.0",
                        _ => "2001:db8::",
                    };
                    assert_eq!(held.network, client(expected));
                }
            }
        });
    }
}
