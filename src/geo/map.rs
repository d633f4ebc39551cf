//! A map: from a client's network to the order in which candidates are tried.
//!
//! [`MapSpec`] says what to compile; equal specs share one map. [`GeoMap`](super::table::GeoMap)
//! is the result.

use std::net::IpAddr;
use std::sync::Arc;

use crate::geo::latency::Latencies;
use crate::geo::place::{Continent, Country, Place};
use crate::region::{AreaId, Location, RegionId};

/// Candidates kept per order; when all of them are out, the rest is searched by distance.
pub const ORDER_MAX: usize = 8;
/// Most rules one record may have; the last number means "no rule matched".
pub const RULES_MAX: usize = 255;

/// What to compile. Two records with equal specs share one map.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapSpec {
    /// The candidates, numbered by their place in this list.
    pub sites: Vec<Site>,
    /// The rules, first match wins.
    pub rules: Vec<RuleSpec>,
    /// What [`OrderBy::Latency`] counts by.
    pub latencies: Vec<LatencySpec>,
    /// The areas that clients are told apart by, first match wins; the first is `AreaId` 1, and
    /// whoever is in none is of the world. At most [`AREAS_MAX`](crate::region::AREAS_MAX).
    pub areas: Arc<[Matcher]>,
}

impl MapSpec {
    /// Without what makes no difference: where nothing is put in order it does not matter where
    /// sites stand, so that records with other pools share a map.
    #[must_use]
    pub fn reduced(mut self) -> Self {
        if self.rules.iter().all(RuleSpec::is_as_listed) {
            let named = self.rules.iter().flat_map(|rule| rule.own.iter().chain(&rule.others));
            let count = named.max().map_or(0, |most| usize::from(*most) + 1);
            self.sites.truncate(count);
            for site in &mut self.sites {
                *site = Site { region: RegionId(0), location: None, bias: 0 };
            }
        }
        self
    }
}

impl RuleSpec {
    /// There is nothing to put in order.
    pub(crate) fn is_as_listed(&self) -> bool {
        self.order == OrderBy::Listed || (self.own.len() <= 1 && self.others.len() <= 1)
    }
}

/// A table of latencies and how it is read. Rules that read one table alike share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LatencySpec {
    /// What was measured.
    pub latencies: Arc<Latencies>,
    /// A mean of at least so many samples counts alone; with fewer, what would count without it
    /// has a part.
    pub min_samples: u32,
}

/// One candidate: a pool, seen as a point on the globe.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Its region, for networks the operator pinned to one.
    pub region: RegionId,
    /// Where it stands.
    pub location: Option<Location>,
    /// -99..=99: distance counts as `distance * (1 - bias / 100)`.
    pub bias: i8,
}

/// One rule: which clients, which candidates, in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleSpec {
    /// Which clients.
    pub matcher: Matcher,
    /// How its own candidates are put in order.
    pub order: OrderBy,
    /// Own candidates this much farther than the nearest of them count as equally near, in
    /// basis points of its distance, bias included; `None` where one is always the nearest.
    pub band: Option<u16>,
    /// Its own candidates, as numbers of [`MapSpec::sites`], in the order written.
    pub own: Vec<u16>,
    /// Tried after its own, in the same manner; empty for a fenced rule.
    pub others: Vec<u16>,
}

/// How candidates are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OrderBy {
    /// By great-circle distance from the client's place, nearest first; as written where the
    /// client's place is unknown.
    Nearest,
    /// By milliseconds, measured or expected from the distance, fewest first; by which of
    /// [`MapSpec::latencies`].
    Latency(u8),
    /// As written.
    #[default]
    Listed,
}

/// Which clients a rule is for. Every kind that is given must hold; within a kind one of the
/// list is enough. A matcher with nothing given fits every client (`match = "default"`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Matcher {
    /// Networks, as address and prefix length, host bits zero.
    pub networks: Vec<(IpAddr, u8)>,
    /// Autonomous system numbers.
    pub asns: Vec<u32>,
    /// Places: countries, subdivisions and continents are one kind.
    pub areas: Vec<Area>,
    /// `match = "unknown"`: only clients whose place is unknown.
    pub unknown: bool,
    /// One of networks, numbers and places is enough, instead of one of each kind that is given:
    /// `match = { group = "@offices" }`.
    pub any: bool,
}

/// A part of the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Area {
    /// A continent.
    Continent(Continent),
    /// A country.
    Country(Country),
    /// An ISO 3166-2 code, `US-CA`.
    Subdivision(Box<str>),
}

impl Matcher {
    /// True when every client fits.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a client of `place` fits; `in_networks` tells whether one of the networks holds
    /// it.
    pub fn fits(&self, place: &Place, in_networks: impl FnOnce() -> bool) -> bool {
        let by_asn = || place.asn.is_some_and(|asn| self.asns.contains(&asn));
        let by_area = || self.areas.iter().any(|area| area.holds(place));
        if self.any {
            return by_area() || by_asn() || (!self.networks.is_empty() && in_networks());
        }
        (!self.unknown || place.is_unknown())
            && (self.networks.is_empty() || in_networks())
            && (self.asns.is_empty() || by_asn())
            && (self.areas.is_empty() || by_area())
    }
}

/// In words: `every client`, or what must hold, kind by kind.
impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_default() {
            return f.write_str("every client");
        }
        let networks = self.networks.iter().map(|(ip, length)| format!("{ip}/{length}"));
        let asns = self.asns.iter().map(|asn| format!("AS{asn}"));
        let areas = self.areas.iter().map(ToString::to_string);
        let kinds = [either(networks), either(asns), either(areas)];
        let mut kinds: Vec<String> = kinds.into_iter().flatten().collect();
        if self.unknown {
            kinds.push("unknown places".to_owned());
        }
        f.write_str(&kinds.join(if self.any { ", or " } else { ", and " }))
    }
}

/// The first few of a list in words, each once; `None` for an empty one.
fn either(terms: impl Iterator<Item = String>) -> Option<String> {
    const TOLD: usize = 8;
    let mut known: Vec<String> = Vec::new();
    for term in terms {
        if !known.contains(&term) {
            known.push(term);
        }
    }
    let more = known.len().saturating_sub(TOLD);
    known.truncate(TOLD);
    let told = known.join(" or ");
    match (told.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(told),
        (false, more) => Some(format!("{told} or {more} more")),
    }
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = |code: &[u8; 2]| String::from_utf8_lossy(code).into_owned();
        match self {
            Self::Continent(continent) => write!(f, "continent {}", letters(&continent.0)),
            Self::Country(country) => f.write_str(&letters(&country.0)),
            Self::Subdivision(code) => f.write_str(code),
        }
    }
}

impl Area {
    /// Whether `place` lies in this area.
    pub fn holds(&self, place: &Place) -> bool {
        match self {
            Self::Continent(continent) => place.continent == Some(*continent),
            Self::Country(country) => place.country == Some(*country),
            Self::Subdivision(code) => place.subdivision.as_deref() == Some(&**code),
        }
    }
}

/// One order of candidates: what a table leaf names.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its place among the orders of its map.
    pub number: u32,
    /// The rule that matched; `None` when none did.
    pub rule: Option<u8>,
    /// The area its clients are in, whose view of health counts.
    pub area: AreaId,
    /// The first candidates, best first: own ones, then the others. `sites[..len]` is in use.
    /// Those that are equally near stand in the order written.
    pub sites: [u16; ORDER_MAX],
    /// How many of `sites` are in use.
    pub len: u8,
    /// How many of the first `len` are the rule's own.
    pub own: u8,
    /// How many of the first are equally near, all of them own; 1 where one is the nearest, 0
    /// without an own one.
    pub tied: u8,
    /// True when the rule has more candidates than are kept here.
    pub cut: bool,
    /// A point representative of the clients with this order, as a unit vector, for the
    /// search by distance when all kept candidates are out; zero where the place is unknown.
    pub at: [f32; 3],
}

impl Order {
    /// No rule matched.
    pub(crate) const NONE: Self = Self {
        number: u32::MAX,
        rule: None,
        area: AreaId::WORLD,
        sites: [0; ORDER_MAX],
        len: 0,
        own: 0,
        tied: 0,
        cut: false,
        at: [0.0; 3],
    };

    /// The candidates any of which may come first: those that are equally near, or else the
    /// first.
    pub fn head(&self) -> &[u16] {
        let first = usize::from(self.len.min(1));
        self.sites.get(..first.max(usize::from(self.tied))).unwrap_or(&[])
    }
}

/// What a lookup gives.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'m> {
    /// The order for this client.
    pub order: &'m Order,
    /// Prefix length up to which every client has this whole order.
    pub scope_full: u8,
    /// Prefix length up to which every client has this rule and this first candidate, or these
    /// that are equally near.
    pub scope_head: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_says_whom_it_is_for() {
        let country = |code: &[u8; 2]| Area::Country(Country(*code));
        let areas = vec![country(b"DE"), country(b"FR"), country(b"DE")];
        let network = "192.0.2.0".parse().expect("an address");
        let matcher = Matcher { networks: vec![(network, 24)], areas, ..Matcher::default() };
        assert_eq!(Matcher::default().to_string(), "every client");
        assert_eq!(matcher.to_string(), "192.0.2.0/24, and DE or FR");
        let unknown = Matcher { unknown: true, ..Matcher::default() };
        assert_eq!(unknown.to_string(), "unknown places");
        let many = Matcher { asns: (1..12).collect(), ..Matcher::default() };
        assert!(many.to_string().ends_with("AS8 or 3 more"), "{many}");
    }
}
