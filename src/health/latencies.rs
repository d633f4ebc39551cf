//! Milliseconds from where vantages stand to regions: the table that policy `latency` may go by.
//!
//! What a vantage waits for a region is what the clients around it would. A [`Table`] is fed with
//! what vantages tell and says when it is worth writing down: that has maps compiled anew and
//! moves clients, so it changes when something has clearly changed, and not often. No file, no
//! clock.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::council::Council;
use super::report::Vote;

/// What the first vantages tell waits so long for the others.
const GATHERING: Duration = Duration::from_secs(10);
/// Between two tables.
const REST: Duration = Duration::from_secs(300);
/// Microseconds by which two measurements of one path differ on an ordinary day,
const NOISE: u32 = 3_000;
/// or a part of them, in percent.
const NOISE_PERCENT: u64 = 15;

/// A network of clients: address and prefix length.
pub type Network = (IpAddr, u8);
/// Which clients, and the name of which region.
pub type Way = (Network, Box<str>);

/// Where vantages stand, and what belongs to which region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The networks of clients that a vantage stands for, by its name.
    pub networks: BTreeMap<Box<str>, Vec<Network>>,
    /// The name of the region that the target of a check is in, by its key.
    pub regions: BTreeMap<Box<str>, Box<str>>,
}

/// Microseconds by way, as written down last and as seen since.
#[derive(Debug, Default)]
pub struct Table {
    written: BTreeMap<Way, u32>,
    seen: BTreeMap<Way, u32>,
    /// When something was seen first, and when a table was made last.
    begun: Option<Duration>,
    made: Option<Duration>,
}

impl Survey {
    /// What vantages that are to be believed wait for each region, by the checks of one monitor:
    /// of several members the nearest, by the middle of its last latencies. Where several
    /// vantages stand for one network it is their mean.
    pub fn look(&self, council: &Council, monitor: &str, now: Duration) -> BTreeMap<Way, u32> {
        let checks = &council.panel().checks;
        let mut sums: BTreeMap<Way, (u64, u64)> = BTreeMap::new();
        for vantage in council.intake().vantages() {
            let Some(networks) = self.networks.get(&vantage.spec.name) else { continue };
            if vantage.suspicion.is_some() || vantage.is_silent(now) {
                continue;
            }
            let mut nearest: BTreeMap<&str, u32> = BTreeMap::new();
            for (check, slot) in checks.iter().zip(&vantage.slots) {
                let is_of = check.key.split_once('@').is_some_and(|(name, _)| name == monitor);
                let [middle, ..] = slot.latency_us;
                if !is_of || slot.belief != Vote::Up || middle == 0 {
                    continue;
                }
                if let Some(region) = self.regions.get(&check.key) {
                    let least = nearest.entry(region).or_insert(u32::MAX);
                    *least = middle.min(*least);
                }
            }
            for (region, micros) in nearest {
                for network in networks {
                    let (sum, count) = sums.entry((*network, region.into())).or_default();
                    *sum += u64::from(micros);
                    *count += 1;
                }
            }
        }
        let mean = |(sum, count): (u64, u64)| u32::try_from(sum / count).unwrap_or(u32::MAX);
        sums.into_iter().map(|(way, sum)| (way, mean(sum))).collect()
    }

    /// Whether a way is one that may be measured still.
    fn has(&self, (network, region): &Way) -> bool {
        self.networks.values().flatten().any(|known| known == network)
            && self.regions.values().any(|known| known == region)
    }
}

impl Table {
    /// Goes on with what was written down before.
    pub fn resumed(written: BTreeMap<Way, u32>) -> Self {
        Self { seen: written.clone(), written, begun: None, made: None }
    }

    /// Takes in what is seen at `now`. What cannot be seen just now keeps its last value; ways
    /// that `survey` has no more are forgotten. Tells whether a new table is in force from here on,
    /// which has to be written down.
    pub fn see(&mut self, sight: BTreeMap<Way, u32>, survey: &Survey, now: Duration) -> bool {
        if !sight.is_empty() {
            self.begun.get_or_insert(now);
        }
        self.seen.extend(sight);
        self.seen.retain(|way, _| survey.has(way));
        let gathered = self.begun.is_some_and(|begun| now.saturating_sub(begun) >= GATHERING);
        let rested = self.made.is_none_or(|made| now.saturating_sub(made) >= REST);
        if !gathered || !rested || !self.differs() {
            return false;
        }
        self.written.clone_from(&self.seen);
        self.made = Some(now);
        true
    }

    /// Whether what is seen is clearly something else than what is written.
    fn differs(&self) -> bool {
        self.seen.len() != self.written.len()
            || self.seen.iter().any(|(way, seen)| {
                self.written.get(way).is_none_or(|written| is_other(*seen, *written))
            })
    }

    /// The table as a file of latencies: `network,region,milliseconds`.
    pub fn text(&self, monitor: &str) -> String {
        let mut text = format!(
            "# What the vantages' clients wait for each region, by monitor {monitor}. The daemon \
             writes this.\nnetwork,region,milliseconds\n"
        );
        for (((address, length), region), micros) in &self.written {
            let millis = f64::from(*micros) / 1000.0;
            let _ = writeln!(text, "{address}/{length},{region},{millis:.3}");
        }
        text
    }
}

fn is_other(seen: u32, written: u32) -> bool {
    let gap = seen.abs_diff(written);
    gap > NOISE && u64::from(gap) * 100 > u64::from(written) * NOISE_PERCENT
}

#[cfg(test)]
#[path = "latencies_tests.rs"]
mod tests;
