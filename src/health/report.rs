//! What a vantage tells of everything it probes, each period, whether or not anything changed.
//!
//! A report is the whole state of a vantage: nothing has to be remembered between two of them,
//! one that is lost costs a period, and trouble makes them neither longer nor more frequent. On
//! the wire it is one octet of version and then `postcard`; who sent it is told by the seal
//! around it. Times are ages counted by the vantage's own steady clock, for clocks on walls
//! differ. Nothing here opens a socket or asks a clock.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::sample::{AgentWord, Reason};
use super::state::Belief;

/// The first octet of a report of this form.
pub const VERSION: u8 = 2;
/// Slots that one report may hold. Whoever probes more does so from several vantages.
pub const MAX_SLOTS: usize = 16_384;
/// Octets that one report may take: with its seal it fits into a message of NATS (1 MiB unless
/// configured otherwise).
pub const MAX_OCTETS: usize = 1_000_000;
/// The shortest time between two reports, in milliseconds.
pub const MIN_PERIOD_MS: u32 = 50;
/// The longest time between two reports, in milliseconds.
pub const MAX_PERIOD_MS: u32 = 3_600_000;
/// The longest time that anything is said to have lasted: a hundred years, in milliseconds.
const MAX_SINCE_MS: u64 = 100 * 366 * 86_400_000;

/// The full state of a vantage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Grows with each start of the vantage.
    pub boot: u64,
    /// Grows with each report since that start.
    pub seq: u64,
    /// The revision of the probe set in use.
    pub set: u64,
    /// The time to the next report, in milliseconds.
    pub period_ms: u32,
    /// Milliseconds since 1970-01-01T00:00:00Z by the vantage's clock. Shown to people, and
    /// compared with nothing.
    pub wall_ms: u64,
    /// What the vantage thinks of itself.
    pub itself: SelfView,
    /// One per check, in any order.
    pub slots: Vec<Slot>,
}

/// What a vantage thinks of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SelfView {
    /// Canaries asked: things unrelated to what is probed, such as its own gateway.
    pub canaries: u8,
    /// Of those, how many answered.
    pub canaries_ok: u8,
    /// The longest time in the last period by which something ran later than it should, in
    /// milliseconds.
    pub lag_ms: u16,
}

/// What a vantage knows of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Which check: [`check_id`] of its key.
    #[serde(with = "postcard::fixint::le")]
    pub check: u64,
    /// What it believes.
    pub belief: Vote,
    /// Failures or successes that speak for that, one after the other.
    pub streak: u16,
    /// For how long it has believed that, in milliseconds.
    pub since_ms: u64,
    /// How long ago the last probe ended that says something of the target, in milliseconds;
    /// `u32::MAX` where none has. Where the vantage has no socket left, this grows.
    pub age_ms: u32,
    /// For how long damping holds it down at the least, in milliseconds; 0 where it does not.
    pub damped_ms: u32,
    /// The middle, the ninth tenth and the ninety-ninth hundredth of the last latencies, in
    /// microseconds; zeros where there are none.
    pub latency_us: [u32; 3],
    /// Why it failed last, where it did. One that the reader does not know is left out.
    #[serde(with = "lenient")]
    pub reason: Option<Reason>,
    /// Days until its certificate ends, where it shows one.
    pub certificate_days: Option<i16>,
    /// How loaded it says it is, in thousandths; above 1,000 is more than it wants.
    pub load: Option<u16>,
    /// Of what it answers, how much are errors, in thousandths.
    pub errors: Option<u16>,
    /// The share of its usual clients that it wants, in percent; above 100 counts as 100.
    pub weight: Option<u8>,
    /// What it says of itself.
    pub agent: Option<AgentWord>,
}

/// What a vantage believes of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Vote {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It serves.
    Up,
    /// It does not.
    Down,
}

/// Why octets are no message of the health plane, or one cannot be sent: reports, and the probe
/// sets that they answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// More octets or entries than there may be.
    #[error("too long")]
    TooLong,
    /// Of another version.
    #[error("of another version")]
    Version,
    /// Not of the form.
    #[error("malformed")]
    Malformed,
    /// Of the form, with something behind it.
    #[error("followed by more octets")]
    Trailing,
    /// Two entries are of one check.
    #[error("of one check twice")]
    Twice,
    /// A number that cannot be.
    #[error("with an impossible number")]
    Absurd,
}

impl Report {
    /// The report's octets.
    ///
    /// # Errors
    /// A [`Fault`], where [`decode`](Self::decode) would refuse them.
    pub fn encode(&self) -> Result<Vec<u8>, Fault> {
        self.check()?;
        let octets = postcard::to_extend(self, vec![VERSION]).map_err(|_| Fault::Malformed)?;
        if octets.len() > MAX_OCTETS { Err(Fault::TooLong) } else { Ok(octets) }
    }

    /// The report that `octets` are.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn decode(octets: &[u8]) -> Result<Self, Fault> {
        if octets.len() > MAX_OCTETS {
            return Err(Fault::TooLong);
        }
        let (version, octets) = octets.split_first().ok_or(Fault::Malformed)?;
        if *version != VERSION {
            return Err(Fault::Version);
        }
        let (report, behind) =
            postcard::take_from_bytes::<Self>(octets).map_err(|_| Fault::Malformed)?;
        if !behind.is_empty() {
            return Err(Fault::Trailing);
        }
        report.check()?;
        Ok(report)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.slots.len() > MAX_SLOTS {
            return Err(Fault::TooLong);
        }
        let period = MIN_PERIOD_MS..=MAX_PERIOD_MS;
        let is_sound = period.contains(&self.period_ms)
            && self.itself.canaries_ok <= self.itself.canaries
            && self.slots.iter().all(Slot::is_sound);
        if !is_sound {
            return Err(Fault::Absurd);
        }
        let mut seen = HashSet::with_capacity(self.slots.len());
        if self.slots.iter().all(|slot| seen.insert(slot.check)) {
            Ok(())
        } else {
            Err(Fault::Twice)
        }
    }
}

impl Slot {
    /// Nothing known of the check `check` yet.
    pub const fn unknown(check: u64) -> Self {
        Self {
            check,
            belief: Vote::Unknown,
            streak: 0,
            since_ms: 0,
            age_ms: u32::MAX,
            damped_ms: 0,
            latency_us: [0; 3],
            reason: None,
            certificate_days: None,
            load: None,
            errors: None,
            weight: None,
            agent: None,
        }
    }

    fn is_sound(&self) -> bool {
        let [p50, p90, p99] = self.latency_us;
        p50 <= p90
            && p90 <= p99
            && self.since_ms <= MAX_SINCE_MS
            && self.errors.is_none_or(|errors| errors <= 1000)
    }
}

impl Vote {
    /// The word used in tables and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl From<Belief> for Vote {
    fn from(belief: Belief) -> Self {
        match belief {
            Belief::Unknown => Self::Unknown,
            Belief::Up | Belief::Degraded => Self::Up,
            Belief::Down | Belief::Draining | Belief::Maintenance => Self::Down,
        }
    }
}

/// What a check is called in reports: FNV-1a with 64 bits over the octets of its key
/// (`MONITOR@TARGET`). The same on every machine and in every version, and simple enough for
/// others to compute.
pub const fn check_id(key: &str) -> u64 {
    let octets = key.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < octets.len() {
        hash = (hash ^ octets[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// A reason as octets of its own, so that one which only a newer vantage knows does not make the
/// whole report unreadable.
mod lenient {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Reason;

    /// More than any reason takes.
    const LONGEST: usize = 16;

    pub(super) fn serialize<S: Serializer>(
        reason: &Option<Reason>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut room = [0; LONGEST];
        let octets: Option<&[u8]> = match reason {
            None => None,
            Some(reason) => match postcard::to_slice(reason, &mut room) {
                Ok(octets) => Some(octets),
                Err(fault) => return Err(serde::ser::Error::custom(fault)),
            },
        };
        octets.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Reason>, D::Error> {
        let octets = Option::<&[u8]>::deserialize(from)?;
        Ok(octets.and_then(|octets| postcard::from_bytes(octets).ok()))
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
