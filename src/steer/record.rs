//! What a steered owner name means.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::geo::map::Matcher;
use crate::region::PoolId;
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
