//! What a steered owner name means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use prefetch_index::prefetch_index;

use crate::geo::map::{LatencySpec, Matcher, ORDER_MAX};
use crate::geo::table::GeoMap;
use crate::region::PoolId;
use crate::steer::affinity::Affinity;
use crate::steer::dials::Dials;
use crate::steer::heavy::Heavy;
use crate::steer::key::KeyLengths;
use crate::steer::nest::{Nest, NestSpec};
use crate::steer::resolved::Resolved;
use crate::steer::service::{Service, ServiceSpec};
use crate::steer::spill::Spill;
use crate::steer::stages::Change;
use crate::steer::tally::Tally;
use crate::steer::weight::Alias;
use crate::wire::name::Name;
use crate::wire::response::RECORD_HEAD;
use crate::wire::types::{Rtype, Ttl};

/// What an operator wrote for one steered name, checked and without strings left to go wrong.
/// Made by `config`, turned into a `Record` by `steer::compile`.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordSpec {
    /// The owner name, absolute; may be a wildcard.
    pub owner: Name,
    /// Apex of its zone.
    pub origin: Name,
    /// TTL of steered answers.
    pub ttl: TtlRange,
    /// How many pools one answer takes; 0 where nothing is written, which means all of them
    /// under `multivalue`, and one elsewhere.
    pub answers: u8,
    /// The client subnet in a query is set aside: clients are where their resolver is.
    pub by_source: bool,
    /// How several addresses stand in one answer.
    pub order: AnswerOrder,
    /// What is answered to types that are not addresses, each type once.
    pub services: Vec<ServiceSpec>,
    /// Its SRV or MX records name the pools' balancers, so that no alias of them is answered.
    pub names_hosts: bool,
    /// Pools with `cname` are answered by the addresses their names lead to.
    pub flatten: bool,
    /// It is the name of one pool of another record.
    pub of_pool: bool,
    /// Its pools have names of their own below it.
    pub pool_names: bool,
    /// The rules, first match wins, never empty. A record without rules of its own has one
    /// with the default matcher.
    pub rules: Vec<RuleSpec>,
}

/// TTLs of steered answers: the longest while no change is in sight, and never beyond a change
/// that is, unless it is sooner than the shortest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TtlRange {
    /// The shortest.
    pub min: Ttl,
    /// The longest.
    pub max: Ttl,
}

impl TtlRange {
    /// The same TTL always.
    pub const fn fixed(ttl: Ttl) -> Self {
        Self { min: ttl, max: ttl }
    }

    /// The TTL of an answer when something may change in so many seconds.
    #[inline]
    pub fn within(self, seconds: Option<u32>) -> Ttl {
        let seconds = seconds.and_then(Ttl::new);
        seconds.map_or(self.max, |seconds| seconds.min(self.max).max(self.min))
    }

    /// The TTL is not always the same.
    pub fn varies(self) -> bool {
        self.min != self.max
    }
}

/// How a pool that was out comes back to a rule's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Failback {
    /// It waits for an operator's word.
    pub manual: bool,
    /// How long it has to serve before the first client comes back.
    pub after: Duration,
    /// Over how long all clients come back, then.
    pub ramp: Duration,
}

/// One rule of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleSpec {
    /// Which clients.
    pub matcher: Matcher,
    /// In which order its pools are tried.
    pub policy: PolicySpec,
    /// Its pools with weight (1 where the policy has none) and bias (0 where it has none).
    pub pools: Vec<Candidate>,
    /// How its pools are put together in groups; `None` when they stand side by side.
    pub nest: Option<NestSpec>,
    /// What makes a client one that stays at its pool, under `hash`, and under `weighted` where
    /// networks stick; `None` where nothing does.
    pub key: Option<KeyLengths>,
    /// Which of its pools count as equally near; `None` where one is always the nearest.
    pub band: Option<Band>,
    /// What `latency` counts by.
    pub latency: Option<LatencySpec>,
    /// The pools of the rule's new side, which a dial gives a share of the clients; empty when
    /// the rule has no sides.
    pub new_side: Vec<PoolId>,
    /// How clients go over to the new side; the same in all rules of a record that have one.
    pub change: Option<Change>,
    /// How pools come back; `None` for at once.
    pub failback: Option<Failback>,
    /// Most of its fair share that a pool takes, in basis points of it, under `hash`; 0 for any.
    pub max_share: u16,
    /// Never answered from elsewhere.
    pub fence: bool,
    /// When fewer than this share of its pools (in basis points, 0..=10000) is eligible,
    /// health is ignored. 0: never.
    pub panic_below: u16,
    /// What to answer when nothing is left.
    pub last_resort: LastResort,
    /// How clients are moved when pools are at capacity.
    pub spill: SpillRule,
}

/// How a rule's clients are moved when pools are at capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpillRule {
    /// The most of the rule's clients that move at a time, in basis points, above 0.
    pub step: u16,
    /// How long it is until the next move.
    pub every: Duration,
    /// How many pools after the first that serves a client may be sent to; with 0 clients stay.
    pub spread: u8,
}

impl Default for SpillRule {
    fn default() -> Self {
        Self { step: 500, every: Duration::from_secs(30), spread: ORDER_MAX as u8 - 1 }
    }
}

/// A pool as a candidate of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The pool.
    pub pool: PoolId,
    /// Its weight under `weighted` and `hash`; 0 is standby.
    pub weight: u32,
    /// Its bias under `nearest`, -99..=99.
    pub bias: i8,
}

/// Which of a rule's pools count as equally near to a client, and who of them comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Band {
    /// How much farther than the nearest, in basis points of its distance or time.
    pub width: u16,
    /// How the first of them is found.
    pub ties: Ties,
}

/// How the first of those equally near is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ties {
    /// By chance, query by query: costs caches nothing, since all clients may get any of them.
    Random,
    /// By client network, each staying at its own: a scope as long as the network.
    Network,
    /// By chance, in proportion to the room that each has left.
    Load,
    /// Two by chance, and of those one in proportion to the room that each has left.
    TwoChoices,
    /// As [`TwoChoices`](Self::TwoChoices), each client network having two of its own, and mostly
    /// staying at one of them.
    TwoByNetwork,
}

impl Ties {
    /// In words, for `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "one by chance",
            Self::Network => "one by client network",
            Self::Load => "one by chance, more often one with more room,",
            Self::TwoChoices => "of two by chance more often the one with more room",
            Self::TwoByNetwork => "of this network's two mostly the one with more room",
        }
    }

    /// It looks at how loaded pools are.
    pub const fn by_load(self) -> bool {
        matches!(self, Self::Load | Self::TwoChoices | Self::TwoByNetwork)
    }

    /// It looks at the client's network.
    pub const fn by_network(self) -> bool {
        matches!(self, Self::Network | Self::TwoByNetwork)
    }
}

/// The policies: how a rule's pools are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicySpec {
    /// As listed.
    Failover,
    /// By great-circle distance.
    Nearest,
    /// By milliseconds, measured or estimated.
    Latency,
    /// At random by weight.
    Weighted,
    /// Each client network at a pool of its own, by weight.
    Hash,
    /// In turn.
    RoundRobin,
    /// All of them, in an order drawn anew for each query.
    Multivalue,
}

impl PolicySpec {
    /// The word used in files and in `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Nearest => "nearest",
            Self::Latency => "latency",
            Self::Weighted => "weighted",
            Self::Hash => "hash",
            Self::RoundRobin => "round-robin",
            Self::Multivalue => "multivalue",
        }
    }
}

/// What to answer when no candidate is left.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// How several addresses of one answer are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AnswerOrder {
    /// Pools as the client prefers them; in a pool, members as they were drawn by weight.
    #[default]
    Preference,
    /// Anew at random for each answer.
    Shuffle,
    /// As written: pools as the record lists them, members as the pool does.
    Fixed,
}

/// Most pools one answer takes.
pub const ANSWERS_MAX: usize = 8;

/// A steered owner name, compiled: what a query reads.
#[derive(Debug)]
pub struct Record {
    /// The owner name, absolute; may be a wildcard.
    pub owner: Name,
    /// Its pools have names of their own below it.
    pub pool_names: bool,
    /// How it is steered. Records with equal rules share one.
    pub plan: Arc<Plan>,
    /// Counts its answers by pool.
    pub tally: Arc<Tally>,
    /// What moves from second to second.
    pub dials: Arc<Dials>,
    /// The client networks that bring most of the queries, of all records.
    pub heavy: Arc<Heavy>,
    /// By rule, how many answers were given in turn; empty when no rule takes turns.
    pub turns: Box<[AtomicU32]>,
}

impl Record {
    /// Sends for the memory that counting an answer and placing a client takes; `again` when
    /// what the first call sent for has arrived.
    #[inline]
    pub fn approach(&self, thread: usize, client: Option<IpAddr>, again: bool) {
        if again {
            self.tally.approach(thread);
        } else {
            prefetch_index(std::slice::from_ref(&*self.tally), 0);
        }
        if let Some(client) = client {
            self.plan.map.approach(client, again);
        }
    }
}

/// How records are steered: everything but their names.
#[derive(Debug)]
pub struct Plan {
    /// TTL of steered answers.
    pub ttl: TtlRange,
    /// Clients are where their resolver is, whatever client subnet they send.
    pub by_source: bool,
    /// Some pool has IPv4 members, or hands over by name.
    pub steers_v4: bool,
    /// Some pool has IPv6 members, or hands over by name.
    pub steers_v6: bool,
    /// Some pool hands over by CNAME or delegation, so that every type is steered.
    pub steers_all: bool,
    /// How several addresses stand in one answer.
    pub order: AnswerOrder,
    /// What is answered to types that are not addresses.
    pub services: Box<[Service]>,
    /// Pools that hand over by name are named as hosts, and not answered as aliases.
    pub names_hosts: bool,
    /// From a client to an order of sites.
    pub map: Arc<GeoMap>,
    /// The candidates, by site number.
    pub sites: Box<[Site]>,
    /// The rules, by number.
    pub rules: Box<[Rule]>,
    /// The names of the pools, which a record's tally counts by.
    pub pools: Arc<[Box<str>]>,
    /// What is counted and told where a pool has a capacity.
    pub spill: Option<Box<Spill>>,
}

impl Plan {
    /// Whether this type is answered by a service of its own.
    #[inline]
    pub fn has_service(&self, qtype: Rtype) -> bool {
        self.services.iter().any(|service| service.rtype == qtype)
    }

    /// What is answered to `qtype`, if it is not an address. To ANY one type is enough of an
    /// answer (RFC 8482 section 4.1).
    pub fn service(&self, qtype: Rtype) -> Option<&Service> {
        let is_asked = |service: &&Service| service.rtype == qtype || qtype == Rtype::ANY;
        self.services.iter().find(is_asked)
    }
}

/// A candidate of a record.
#[derive(Debug)]
pub struct Site {
    /// The pool.
    pub pool: PoolId,
    /// The pool's place among the plan's pools.
    pub row: u16,
    /// Tells the pool from others where a share of the clients is picked out: by its name.
    pub salt: u64,
    /// It has IPv4 members, or hands over by name.
    pub has_v4: bool,
    /// It has IPv6 members, or hands over by name.
    pub has_v6: bool,
    /// The answer when it has one IPv4 member: a record after its owner name, ready to copy.
    pub only_v4: Option<[u8; RECORD_HEAD + 4]>,
    /// The answer when it has one IPv6 member.
    pub only_v6: Option<[u8; RECORD_HEAD + 16]>,
    /// The addresses its name leads to, where that is answered instead of the name.
    pub resolved: Option<Arc<Resolved>>,
    /// Its place as a unit vector, and `1 - bias / 100`; for the search by distance.
    pub at: Option<([f32; 3], f32)>,
}

/// A rule, compiled.
#[derive(Debug)]
pub struct Rule {
    /// Which clients, in words.
    pub clients: Box<str>,
    /// The policy as it was written.
    pub word: &'static str,
    /// How its own sites are chosen from.
    pub policy: Policy,
    /// How many pools one answer takes, `1..=ANSWERS_MAX`.
    pub answers: u8,
    /// Which of its own sites are equally near.
    pub band: Option<Band>,
    /// Its table among the map's, under `latency`.
    pub latency: Option<u8>,
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
    /// What mostly decides at once.
    pub shortcut: Shortcut,
    /// The record's dials are looked at.
    pub dialled: bool,
    /// The sites of its new side, which a dial gives a share of the clients; empty when the rule
    /// has no sides.
    pub new_side: Box<[u16]>,
    /// Whom a share of the clients is picked out by; `None` where chance does it, under policies
    /// that choose by chance.
    pub key: Option<KeyLengths>,
    /// How its pools come back; `None` for at once.
    pub failback: Option<Failback>,
    /// Most of its fair share that a pool takes, in basis points of it; 0 for any.
    pub max_share: u16,
    /// How clients are moved when pools are at capacity.
    pub spill: SpillRule,
}

/// The one candidate of a rule that is the whole answer if it is in. Only for answers of one
/// pool, and not under a panic threshold, for which all candidates have to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// None: all candidates are looked at.
    None,
    /// The first of the map's order.
    Head,
    /// The one that is drawn by weight.
    Draw,
}

/// How a rule chooses.
#[derive(Debug)]
pub enum Policy {
    /// The map's order, as listed.
    Failover,
    /// The map's order, by distance or by latency.
    Nearest,
    /// At random; weights stand in the order of `own`.
    Weighted {
        /// For the usual case in which everything is eligible.
        alias: Option<Alias>,
        /// For the case in which something is not.
        weights: Box<[u32]>,
    },
    /// By client network; weights stand in the order of `own`.
    Hash {
        /// Who gets which.
        affinity: Affinity,
        /// What makes a client.
        key: KeyLengths,
        /// For `explain`.
        weights: Box<[u32]>,
        /// It is `weighted`, with networks that stick.
        sticky: bool,
    },
    /// In turn.
    RoundRobin,
    /// Group by group.
    Nested(Nest),
}

impl Policy {
    /// The weights of a rule's own sites, where it has any.
    pub const fn weights(&self) -> Option<&[u32]> {
        match self {
            Self::Weighted { weights, .. } | Self::Hash { weights, .. } => Some(weights),
            _ => None,
        }
    }
}
