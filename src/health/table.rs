//! The health table: where the knowledge plane and the query plane meet.
//!
//! One atomic word per pool and address family, for the world, and again for each area of clients
//! that the operator named. A flip is one store; a query is one load. Nothing is recompiled when
//! health changes.
//!
//! ```text
//!  63        62       61..56   55..48   47..32                 31..0
//!  eligible  partial  sight    verdict  share kept (0..=65535)  live members, bit i = member i
//! ```
//!
//! *Partial* repeats that less than all is kept, so that one comparison tells a pool that may be
//! handed out to everybody. *Sight* is how soon the word may change, as far as can be seen.

use std::sync::atomic::{AtomicU64, Ordering};

pub use super::loads::{PoolLoad, PoolLoads};
use crate::region::{AreaId, Family, PoolId};

/// What is concluded of a pool or a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// No check has concluded yet and nothing is remembered: believed to serve.
    Unknown = 0,
    /// It serves.
    Up = 1,
    /// It serves, with signs of trouble; keeps its place.
    Degraded = 2,
    /// It does not serve.
    Down = 3,
    /// An operator empties it, or it asked for that itself: no new answers.
    Draining = 4,
    /// An operator holds it down whatever the checks say.
    ForcedDown = 5,
    /// An operator holds it up whatever the checks say.
    ForcedUp = 6,
    /// It says itself that it is being worked on: no new answers.
    Maintenance = 7,
}

impl Verdict {
    /// True when clients may be sent there.
    pub const fn is_eligible(self) -> bool {
        matches!(self, Self::Unknown | Self::Up | Self::Degraded | Self::ForcedUp)
    }

    /// The word used in logs, metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::ForcedDown => "forced-down",
            Self::ForcedUp => "forced-up",
            Self::Maintenance => "maintenance",
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::Up,
            2 => Self::Degraded,
            3 => Self::Down,
            4 => Self::Draining,
            5 => Self::ForcedDown,
            6 => Self::ForcedUp,
            7 => Self::Maintenance,
            _ => Self::Unknown,
        }
    }
}

/// The state of one pool for one family, as a query sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolWord(u64);

const ELIGIBLE: u64 = 1 << 63;
const PARTIAL: u64 = 1 << 62;
const SIGHT_SHIFT: u32 = 56;
const SIGHT: u64 = 0x3f << SIGHT_SHIFT;

impl PoolWord {
    /// Full share: nothing is shed.
    pub const KEEP_ALL: u16 = u16::MAX;

    /// A word from a verdict, the share of client networks kept, and the live members.
    /// The word is eligible when the verdict is and at least one member lives; pools that
    /// hand over by name set bit 0 for their only target.
    pub const fn new(verdict: Verdict, keep: u16, live: u32) -> Self {
        let eligible = if verdict.is_eligible() && live != 0 { ELIGIBLE } else { 0 };
        let partial = if keep < Self::KEEP_ALL { PARTIAL } else { 0 };
        Self(eligible | partial | (verdict as u64) << 48 | (keep as u64) << 32 | live as u64)
    }

    /// The word with how soon it may change: at the latest kept as a little sooner than it is.
    #[must_use]
    pub const fn with_sight(self, sight: Sight) -> Self {
        Self((self.0 & !SIGHT) | (sight.0 as u64) << SIGHT_SHIFT)
    }

    /// The word with another share kept.
    #[must_use]
    pub const fn with_keep(self, keep: u16) -> Self {
        let partial = if keep < Self::KEEP_ALL { PARTIAL } else { 0 };
        let rest = self.0 & !(PARTIAL | (Self::KEEP_ALL as u64) << 32);
        Self(rest | partial | (keep as u64) << 32)
    }

    /// True when clients may be sent to this pool.
    pub const fn is_eligible(self) -> bool {
        self.0 & ELIGIBLE != 0
    }

    /// True when every client may be sent to this pool: it is eligible and sheds nobody.
    #[inline]
    pub const fn is_whole(self) -> bool {
        self.0 & (ELIGIBLE | PARTIAL) == ELIGIBLE
    }

    /// How soon the word may change.
    pub const fn sight(self) -> Sight {
        Sight((self.0 >> SIGHT_SHIFT) as u8 & 0x3f)
    }

    /// The same in all that is told of it when it changes: verdict and members.
    pub const fn is_alike(self, other: Self) -> bool {
        const MOVES: u64 = SIGHT | PARTIAL | (PoolWord::KEEP_ALL as u64) << 32;
        self.0 & !MOVES == other.0 & !MOVES
    }

    /// Nothing was ever stored.
    pub const fn is_blank(self) -> bool {
        self.0 == 0
    }

    /// Why it is or is not eligible.
    pub const fn verdict(self) -> Verdict {
        Verdict::from_bits((self.0 >> 48) as u8)
    }

    /// Share of client networks this pool keeps, [`PoolWord::KEEP_ALL`] for all.
    pub const fn keep(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Bit i is set when member i of this family lives.
    pub const fn live(self) -> u32 {
        self.0 as u32
    }
}

/// How soon something may change, as far as can be seen: a check that has begun to fail, a pool
/// that is coming back, a share that is moving. In six bits: whole seconds up to 20, and steps of
/// a ninth from there to half an hour; never more than what went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sight(u8);

impl Sight {
    /// Nothing in sight.
    pub const NOTHING: Self = Self(0);

    /// Something `seconds` away at the earliest. Less than a second counts as one, since a TTL
    /// of 0 asks for every query.
    pub fn of(seconds: u64) -> Self {
        let code = SECONDS.iter().rposition(|&known| u64::from(known) <= seconds.max(1));
        Self(code.unwrap_or(1) as u8)
    }

    /// Seconds; `None` when nothing is in sight.
    #[inline]
    pub fn seconds(self) -> Option<u32> {
        SECONDS.get(usize::from(self.0)).copied().filter(|_| self.0 != 0)
    }

    /// Whichever is sooner.
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (0, _) => other,
            (_, 0) => self,
            (one, two) => Self(if one < two { one } else { two }),
        }
    }
}

/// Seconds by code; the first stands for nothing.
static SECONDS: [u32; 64] = {
    let mut seconds = [0; 64];
    let mut code = 1;
    while code < 64 {
        let before: u32 = seconds[code - 1];
        seconds[code] = if code <= 20 { code as u32 } else { before + before / 9 };
        code += 1;
    }
    seconds
};

/// One word per pool and family, for each area. Shared by all workers; written by the knowledge
/// plane only.
#[derive(Debug)]
pub struct HealthTable {
    /// What holds for clients of no area.
    world: Box<[AtomicU64]>,
    /// By area, what holds for its clients.
    areas: Box<[Box<[AtomicU64]>]>,
    /// How loaded pools are.
    pub loads: PoolLoads,
}

impl HealthTable {
    /// A table in which nothing is eligible yet, for `pools` pools and `areas` areas beside the
    /// world.
    pub fn new(pools: usize, areas: usize) -> Self {
        let blank = || (0..pools * 2).map(|_| AtomicU64::new(0)).collect();
        let areas = (0..areas).map(|_| blank()).collect();
        Self { world: blank(), areas, loads: PoolLoads::new(pools) }
    }

    /// The state of `pool` for `family` as it holds for clients of `area`. A pool the table does
    /// not have is not eligible; an area it does not have is the world.
    #[inline(always)]
    pub fn word(&self, pool: PoolId, family: Family, area: AreaId) -> PoolWord {
        let words = if area == AreaId::WORLD { &self.world } else { self.of_area(area) };
        let word = words.get(slot(pool, family));
        PoolWord(word.map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    /// Stores a new state and returns the one before. A pool or an area the table does not have
    /// is left alone.
    pub fn store(&self, pool: PoolId, family: Family, area: AreaId, word: PoolWord) -> PoolWord {
        let words = area.place().map_or(Some(&self.world), |place| self.areas.get(place));
        let cell = words.and_then(|words| words.get(slot(pool, family)));
        PoolWord(cell.map_or(0, |cell| cell.swap(word.0, Ordering::Relaxed)))
    }

    /// Stores one state for the world and all areas.
    pub fn store_everywhere(&self, pool: PoolId, family: Family, word: PoolWord) {
        for area in AreaId::all(self.areas()) {
            self.store(pool, family, area, word);
        }
    }

    /// Number of pools.
    pub fn pools(&self) -> usize {
        self.world.len() / 2
    }

    /// Number of areas, the world aside.
    pub fn areas(&self) -> usize {
        self.areas.len()
    }

    #[cold]
    fn of_area(&self, area: AreaId) -> &[AtomicU64] {
        let words = area.place().and_then(|place| self.areas.get(place));
        words.map_or(&self.world, |words| words)
    }
}

#[inline]
const fn slot(pool: PoolId, family: Family) -> usize {
    pool.0 as usize * 2 + matches!(family, Family::V6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_what_went_in() {
        let word = PoolWord::new(Verdict::Degraded, 777, 0b101);
        assert!(word.is_eligible());
        assert_eq!(word.verdict(), Verdict::Degraded);
        assert_eq!(word.keep(), 777);
        assert_eq!(word.live(), 0b101);
    }

    #[test]
    fn a_word_is_whole_when_it_sheds_nobody() {
        let word = PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, 1);
        assert!(word.is_whole());
        let half = word.with_keep(0x8000);
        assert!(half.is_eligible() && !half.is_whole());
        assert_eq!(half.keep(), 0x8000);
        assert_eq!(half.with_keep(PoolWord::KEEP_ALL), word);
        assert!(!PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 1).is_whole());
    }

    #[test]
    fn sight_is_never_longer_than_what_went_in() {
        for seconds in 1..4000 {
            let told = u64::from(Sight::of(seconds).seconds().expect("something"));
            assert!(told <= seconds && told * 9 / 8 + 1 >= seconds.min(1500), "{seconds}: {told}");
        }
        assert_eq!(Sight::of(0).seconds(), Some(1));
        assert_eq!(Sight::NOTHING.seconds(), None);
        assert_eq!(Sight::NOTHING.min(Sight::of(7)), Sight::of(7));
        assert_eq!(Sight::of(7).min(Sight::of(3)), Sight::of(3));
        let word = PoolWord::new(Verdict::Up, 7, 1);
        assert_eq!(word.with_sight(Sight::of(9)).sight(), Sight::of(9));
        assert!(word.is_alike(word.with_sight(Sight::of(9))));
    }

    #[test]
    fn a_pool_without_live_members_is_not_eligible() {
        assert!(!PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, 0).is_eligible());
        assert!(!PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 1).is_eligible());
    }

    #[test]
    fn families_are_apart() {
        let table = HealthTable::new(2, 0);
        table.store(PoolId(1), Family::V6, AreaId::WORLD, PoolWord::new(Verdict::Up, 1, 1));
        assert!(table.word(PoolId(1), Family::V6, AreaId::WORLD).is_eligible());
        assert!(!table.word(PoolId(1), Family::V4, AreaId::WORLD).is_eligible());
        assert!(!table.word(PoolId(9), Family::V4, AreaId::WORLD).is_eligible());
    }

    #[test]
    fn areas_are_apart() {
        let up = PoolWord::new(Verdict::Up, 1, 1);
        let table = HealthTable::new(1, 2);
        table.store(PoolId(0), Family::V4, AreaId(2), up);
        let is_up = |area| table.word(PoolId(0), Family::V4, area).is_eligible();
        assert_eq!([0, 1, 2].map(|area| is_up(AreaId(area))), [false, false, true]);
        table.store_everywhere(PoolId(0), Family::V4, PoolWord::new(Verdict::Down, 1, 1));
        table.store(PoolId(0), Family::V4, AreaId::WORLD, up);
        assert_eq!([0, 1, 2].map(|area| is_up(AreaId(area))), [true, false, false]);
        assert!(is_up(AreaId(3)), "an area that is not there is the world");
    }
}
