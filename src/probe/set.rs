//! What an agent is to probe: sent by a node over the bus, or read from a file.
//!
//! On the wire it is one octet of version and then `postcard`, sealed by the node. Monitors stand
//! once, however many checks use them. What comes over the bus is held to the same bounds as what
//! an operator writes; a set that breaks one is refused whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::monitor::{Check, CheckTarget, Monitor};
pub use crate::health::report::Fault;
use crate::seal::{Kind, SigningKey, seal};

/// The first octet of a set of this form.
pub const VERSION: u8 = 1;
/// Checks of one set: as many as a report has slots.
pub const MAX_CHECKS: usize = crate::health::report::MAX_SLOTS;
/// Canaries of one set.
pub const MAX_CANARIES: usize = 16;
/// Monitors of one set.
pub const MAX_MONITORS: usize = 4096;
/// Octets of one set: with its seal it fits into a message of NATS.
pub const MAX_OCTETS: usize = 1_000_000;

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeSet {
    /// Grows with each set that differs from the one before.
    pub revision: u64,
    /// What is probed and reported.
    pub checks: Vec<Check>,
    /// What is probed to know whether the agent itself can reach anything.
    pub canaries: Vec<Check>,
}

/// The form on the wire.
#[derive(Serialize, Deserialize)]
struct Wire {
    revision: u64,
    monitors: Vec<Monitor>,
    checks: Vec<WireCheck>,
    canaries: Vec<WireCheck>,
}

#[derive(Serialize, Deserialize)]
struct WireCheck {
    key: Box<str>,
    monitor: u16,
    target: CheckTarget,
}

impl ProbeSet {
    /// The set's octets.
    ///
    /// # Errors
    /// A [`Fault`], where [`decode`](Self::decode) would refuse them.
    pub fn encode(&self) -> Result<Vec<u8>, Fault> {
        self.check()?;
        let mut monitors: Vec<Arc<Monitor>> = Vec::new();
        let mut place = |monitor: &Arc<Monitor>| {
            let known = monitors.iter().rposition(|of| Arc::ptr_eq(of, monitor) || of == monitor);
            let at = known.unwrap_or_else(|| {
                monitors.push(Arc::clone(monitor));
                monitors.len() - 1
            });
            u16::try_from(at).map_err(|_| Fault::TooLong)
        };
        let mut written = |checks: &[Check]| -> Result<Vec<WireCheck>, Fault> {
            let one = |check: &Check| {
                let Check { key, target, monitor } = check;
                let monitor = place(monitor)?;
                Ok(WireCheck { key: key.clone(), monitor, target: target.clone() })
            };
            checks.iter().map(one).collect()
        };
        let (checks, canaries) = (written(&self.checks)?, written(&self.canaries)?);
        if monitors.len() > MAX_MONITORS {
            return Err(Fault::TooLong);
        }
        let monitors = monitors.iter().map(|monitor| (**monitor).clone()).collect();
        let wire = Wire { revision: self.revision, monitors, checks, canaries };
        let octets = postcard::to_extend(&wire, vec![VERSION]).map_err(|_| Fault::Malformed)?;
        if octets.len() > MAX_OCTETS { Err(Fault::TooLong) } else { Ok(octets) }
    }

    /// Reads a set.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn decode(octets: &[u8]) -> Result<Self, Fault> {
        if octets.len() > MAX_OCTETS {
            return Err(Fault::TooLong);
        }
        let (version, rest) = octets.split_first().ok_or(Fault::Malformed)?;
        if *version != VERSION {
            return Err(Fault::Version);
        }
        let (wire, rest): (Wire, _) =
            postcard::take_from_bytes(rest).map_err(|_| Fault::Malformed)?;
        if !rest.is_empty() {
            return Err(Fault::Trailing);
        }
        let Wire { revision, monitors, checks, canaries } = wire;
        if monitors.len() > MAX_MONITORS {
            return Err(Fault::TooLong);
        }
        let monitors: Vec<Arc<Monitor>> = monitors.into_iter().map(Arc::new).collect();
        let read = |checks: Vec<WireCheck>| -> Result<Vec<Check>, Fault> {
            let one = |check: WireCheck| {
                let monitor = monitors.get(usize::from(check.monitor)).ok_or(Fault::Malformed)?;
                Ok(Check { key: check.key, monitor: Arc::clone(monitor), target: check.target })
            };
            checks.into_iter().map(one).collect()
        };
        let set = Self { revision, checks: read(checks)?, canaries: read(canaries)? };
        set.check()?;
        Ok(set)
    }

    /// The same with the canaries of `own`, where it has none itself.
    #[must_use]
    pub fn with_canaries_of(self, own: &Self) -> Self {
        if self.canaries.is_empty() {
            Self { canaries: own.canaries.clone(), ..self }
        } else {
            self
        }
    }

    fn check(&self) -> Result<(), Fault> {
        if self.checks.len() > MAX_CHECKS || self.canaries.len() > MAX_CANARIES {
            return Err(Fault::TooLong);
        }
        let mut keys = std::collections::HashSet::new();
        if !self.all().all(|check| keys.insert(&check.key)) {
            return Err(Fault::Twice);
        }
        if self.all().all(|check| is_possible(&check.monitor)) {
            Ok(())
        } else {
            Err(Fault::Absurd)
        }
    }

    fn all(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().chain(&self.canaries)
    }
}

/// What a node has for vantages that ask: a set, sealed once for all of them.
#[derive(Debug, Clone)]
pub struct Offer {
    revision: u64,
    sealed: Bytes,
}

impl Offer {
    /// `set`, sealed by `node`.
    ///
    /// # Errors
    /// A [`Fault`] of the set.
    pub fn new(set: &ProbeSet, key: &SigningKey, node: &str) -> Result<Self, Fault> {
        let sealed = seal(key, Kind::ProbeSet, node, &set.encode()?).into();
        Ok(Self { revision: set.revision, sealed })
    }

    /// The answer to a vantage that asks with the revision it has, eight octets in little endian:
    /// the sealed set, or nothing where it has that one.
    pub fn answer(&self, asked: &[u8]) -> Bytes {
        let known = asked.first_chunk().map(|known| u64::from_le_bytes(*known));
        if known == Some(self.revision) { Bytes::new() } else { self.sealed.clone() }
    }
}

/// Within the bounds of what a file may ask for.
fn is_possible(monitor: &Monitor) -> bool {
    const TENTH: Duration = Duration::from_millis(100);
    const HOUR: Duration = Duration::from_secs(3600);
    let Monitor { interval, fast_interval, slow_interval, timeout, rise, fall, .. } = monitor;
    let times = [interval, fast_interval, slow_interval];
    times.into_iter().all(|time| (TENTH..=HOUR).contains(time))
        && (Duration::from_millis(10)..=Duration::from_secs(60)).contains(timeout)
        && (1..=100).contains(rise)
        && (1..=100).contains(fall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::monitor::{Http, HttpExpect, Kind, Tcp, Way};
    use crate::probe::pattern::Pattern;

    fn monitor(name: &str, kind: Kind) -> Arc<Monitor> {
        Arc::new(Monitor {
            name: name.into(),
            kind,
            port: 80,
            interval: Duration::from_secs(2),
            fast_interval: Duration::from_millis(500),
            slow_interval: Duration::from_secs(2),
            timeout: Duration::from_millis(1500),
            rise: 3,
            fall: 3,
            way: Way::default(),
        })
    }

    fn set() -> ProbeSet {
        let matches = vec![Pattern::new("^ok").expect("a pattern")];
        let expect = HttpExpect { matches, ..HttpExpect::default() };
        let web = monitor("web", Kind::Http(Box::new(Http { expect, ..Http::default() })));
        let port = monitor("port", Kind::Tcp(Tcp::default()));
        let check = |monitor: &Arc<Monitor>, last: u8| Check {
            key: format!("{}@192.0.2.{last}:80", monitor.name).into(),
            monitor: Arc::clone(monitor),
            target: CheckTarget::Address(([192, 0, 2, last], 80).into()),
        };
        ProbeSet {
            revision: 7,
            checks: vec![check(&web, 1), check(&web, 2), check(&port, 1)],
            canaries: vec![check(&port, 9)],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let set = set();
        let octets = set.encode().expect("a set");
        assert_eq!(ProbeSet::decode(&octets), Ok(set));
    }

    #[test]
    fn monitors_stand_once() {
        let one = set().encode().expect("a set").len();
        let mut more = set();
        let check = more.checks[0].clone();
        more.checks.extend(
            (0..100).map(|number| Check { key: format!("web@{number}").into(), ..check.clone() }),
        );
        let more = more.encode().expect("a set").len();
        assert!(more - one < 100 * 24, "{} octets for 100 checks", more - one);
    }

    #[test]
    fn what_breaks_a_bound_is_refused() {
        let octets = set().encode().expect("a set");
        for length in 0..octets.len() {
            assert!(ProbeSet::decode(&octets[..length]).is_err(), "cut at {length}");
        }
        assert_eq!(ProbeSet::decode(&[octets.clone(), vec![0]].concat()), Err(Fault::Trailing));
        assert_eq!(ProbeSet::decode(&[&[2], &octets[1..]].concat()), Err(Fault::Version));
        let mut twice = set();
        twice.checks.push(twice.checks[0].clone());
        assert_eq!(twice.encode(), Err(Fault::Twice));
        let mut hasty = set();
        let interval = Duration::from_millis(1);
        let changed = Monitor { interval, ..(*hasty.checks[0].monitor).clone() };
        hasty.checks[0].monitor = Arc::new(changed);
        assert_eq!(hasty.encode(), Err(Fault::Absurd));
        let mut long = set();
        long.canaries = (0..17)
            .map(|number| Check { key: format!("c@{number}").into(), ..long.checks[0].clone() })
            .collect();
        assert_eq!(long.encode(), Err(Fault::TooLong));
    }
}
