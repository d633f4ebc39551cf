//! What a steered owner name means.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::geo::map::Matcher;
use crate::geo::table::GeoMap;
use crate::region::PoolId;
use crate::steer::tally::Tally;
use crate::steer::weight::Alias;
use crate::wire::name::Name;
use crate::wire::types::Ttl;

/// What an operator wrote for one steered name, checked and without strings left to go wrong.
/// Made by `config`, turned into a `Record` by `steer::compile`.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordSpec {
    /// The owner name, absolute; may be a wildcard.
    pub owner: Name,
    /// Apex of its zone.
    pub origin: Name,
    /// TTL of steered answers.
    pub ttl: Ttl,
    /// How many pools one answer takes, at least 1.
    pub answers: u8,
    /// The rules, first match wins, never empty. A record without rules of its own has one
    /// with the default matcher.
    pub rules: Vec<RuleSpec>,
}

/// One rule of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSpec {
    /// Which clients.
    pub matcher: Matcher,
    /// In which order its pools are tried.
    pub policy: PolicySpec,
    /// Its pools with weight (1 where the policy has none) and bias (0 where it has none).
    pub pools: Vec<Candidate>,
    /// Never answered from elsewhere.
    pub fence: bool,
    /// When fewer than this share of its pools (in basis points, 0..=10000) is eligible,
    /// health is ignored. 0: never.
    pub panic_below: u16,
    /// What to answer when nothing is left.
    pub last_resort: LastResort,
}

/// A pool as a candidate of a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The pool.
    pub pool: PoolId,
    /// Its weight under `weighted`; 0 is standby.
    pub weight: u32,
    /// Its bias under `nearest`, -99..=99.
    pub bias: i8,
}

/// The policies: how a rule's pools are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicySpec {
    /// As listed.
    Failover,
    /// By great-circle distance.
    Nearest,
    /// At random by weight.
    Weighted,
    /// In turn.
    RoundRobin,
}

/// What to answer when no candidate is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastResort {
    /// All of the rule's pools are treated as healthy (drained and forced-down ones stay out
    /// while others exist).
    All,
    /// The zone file's own RRset.
    Default,
    /// NOERROR without an answer.
    Nodata,
    /// SERVFAIL.
    Servfail,
    /// A CNAME to this name.
    Cname(Name),
    /// These addresses.
    Addresses(Vec<Ipv4Addr>, Vec<Ipv6Addr>),
}

/// Most pools one answer takes.
pub const ANSWERS_MAX: usize = 8;

/// A steered owner name, compiled: what a query reads.
#[derive(Debug)]
pub struct Record {
    /// The owner name, absolute; may be a wildcard.
    pub owner: Name,
    /// TTL of steered answers.
    pub ttl: Ttl,
    /// How many pools one answer takes, `1..=ANSWERS_MAX`.
    pub answers: u8,
    /// Some pool has IPv4 members, or hands over by name.
    pub steers_v4: bool,
    /// Some pool has IPv6 members, or hands over by name.
    pub steers_v6: bool,
    /// Some pool hands over by CNAME or delegation, so that every type is steered.
    pub steers_all: bool,
    /// From a client to an order of sites.
    pub map: Arc<GeoMap>,
    /// The candidates, by site number.
    pub sites: Box<[Site]>,
    /// The rules, by number.
    pub rules: Box<[Rule]>,
    /// Counts answers that no pool gave.
    pub tally: Arc<Tally>,
}

/// A candidate of a record.
#[derive(Debug)]
pub struct Site {
    /// The pool.
    pub pool: PoolId,
    /// It has IPv4 members, or hands over by name.
    pub has_v4: bool,
    /// It has IPv6 members, or hands over by name.
    pub has_v6: bool,
    /// Its place as a unit vector, and `1 - bias / 100`; for the search by distance.
    pub at: Option<([f32; 3], f32)>,
    /// Counts its answers.
    pub tally: Arc<Tally>,
}

/// A rule, compiled.
#[derive(Debug)]
pub struct Rule {
    /// Which clients, in words.
    pub clients: Box<str>,
    /// How its own sites are chosen from.
    pub policy: Policy,
    /// Its own sites, as written.
    pub own: Box<[u16]>,
    /// Sites tried after its own, as written; empty for a fenced rule.
    pub others: Box<[u16]>,
    /// Never answered from elsewhere.
    pub fence: bool,
    /// Basis points of its own sites that must be eligible for health to count.
    pub panic_below: u16,
    /// What to answer when nothing is left.
    pub last_resort: LastResort,
}

/// How a rule chooses.
#[derive(Debug)]
pub enum Policy {
    /// The map's order, as listed.
    Failover,
    /// The map's order, by distance.
    Nearest,
    /// At random; weights stand in the order of `own`.
    Weighted {
        /// For the usual case in which everything is eligible.
        alias: Option<Alias>,
        /// For the case in which something is not.
        weights: Box<[u32]>,
    },
    /// In turn.
    RoundRobin {
        /// How many answers were given.
        turn: AtomicU32,
    },
}

impl Policy {
    /// The word used in files and in `explain`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Nearest => "nearest",
            Self::Weighted { .. } => "weighted",
            Self::RoundRobin { .. } => "round-robin",
        }
    }
}
