//! What the API tells, as data: the one description that `/v1/status`, the command
//! line and its `--json` share. Plain text and numbers only; nothing of how it came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bus::Link;

/// `/v1/status`: how the daemon is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Whether zones are served.
    pub ready: bool,
    /// What is in force.
    pub config: ConfigView,
    /// How the last attempt to load went.
    pub reload: ReloadView,
    /// Zones served.
    pub zones: Vec<ZoneView>,
    /// GeoIP databases in order of trust.
    pub geo: Vec<DatabaseView>,
    /// Addresses answered on.
    pub listeners: Vec<String>,
    /// What is shown over TLS, where that is served.
    #[serde(default)]
    pub tls: Option<TlsView>,
    /// Pools, in the order of their regions.
    pub pools: Vec<PoolView>,
    /// Pools that are on their way back.
    #[serde(default)]
    pub returning: Vec<ReturningView>,
    /// Pools with a capacity, in the order of their regions.
    #[serde(default)]
    pub capacity: Vec<CapacityView>,
    /// Checks, by key.
    pub checks: Vec<CheckView>,
    /// Names whose addresses are answered for them.
    #[serde(default)]
    pub aliases: Vec<AliasView>,
    /// Overrides in force, and those that begin later.
    pub overrides: Vec<OverrideView>,
    /// Canaries and switches.
    #[serde(default)]
    pub changes: Vec<ChangeView>,
    /// Pools to which no client is sent, and how many of their answers still live.
    #[serde(default)]
    pub drains: Vec<DrainView>,
    /// How this node is connected to others, where it is.
    #[serde(default)]
    pub bus: Option<BusView>,
    /// Bundles, where they are followed.
    #[serde(default)]
    pub bundle: Option<BundleView>,
    /// Orders to all nodes, where anybody may give them.
    #[serde(default)]
    pub orders: Option<OrdersView>,
    /// Response rate limiting.
    #[serde(default)]
    pub rate_limit: RateLimitView,
    /// Steered answers since the daemon started, by reason; without those that never were.
    #[serde(default)]
    pub answers: BTreeMap<String, u64>,
    /// Client networks that bring more than a thousandth of the queries that choose by network, so
    /// that chance decides for each of them; the heaviest first.
    #[serde(default)]
    pub heavy: Vec<HeavyView>,
}

/// A client network that asks much.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HeavyView {
    /// Address and prefix length.
    pub network: String,
    /// Its part of the queries that choose by network, `0.0..=1.0`.
    pub share: f64,
}

/// Orders to all nodes, as one of them knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrdersView {
    /// This node.
    pub node: String,
    /// The greatest number of an order that is known.
    pub newest: u64,
    /// Those that hold.
    pub orders: Vec<OrderView>,
    /// Other nodes that were heard of within a minute.
    pub nodes: Vec<OrdersNode>,
    /// Orders that were refused since the start, by why.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
}

/// An order to all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrderView {
    /// Its number.
    pub number: u64,
    /// region.NAME, pool.NAME@ZONE or member.ADDRESS.
    pub target: String,
    /// For the clients of which area; `None` for all clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// drain, down or up.
    pub order: String,
    /// Whose key it is signed with.
    pub signer: String,
    /// Who gave it.
    pub by: String,
    /// The node it was given on.
    pub node: String,
    /// Why.
    pub reason: String,
    /// When it ends, seconds since 1970; `None`: until released.
    pub until: Option<u64>,
}

/// How another node stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrdersNode {
    /// The node.
    pub node: String,
    /// Whether it has heard of the same orders.
    pub agrees: bool,
}

/// The bus, as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BusView {
    /// `direct` or `nats`.
    pub kind: String,
    /// What this node is called there.
    pub node: String,
    /// To whom it keeps connections: the other nodes, or clusters.
    pub links: Vec<Link>,
    /// Messages published here since the start.
    pub published: u64,
    /// Messages that came in.
    pub received: u64,
    /// Messages not sent because a link was down or busy.
    pub skipped: u64,
    /// Messages a newer one took the place of before anybody here had read them.
    pub overtaken: u64,
    /// Messages and connections that were refused.
    pub refused: u64,
    /// What it shows to others.
    pub certificate: TlsView,
}

/// What of bundles a node serves and has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BundleView {
    /// This node, and the others that were heard of within a minute.
    pub nodes: Vec<NodeView>,
    /// Releases that are kept here, the oldest first.
    pub releases: Vec<ReleaseView>,
}

/// What one node serves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeView {
    /// The node.
    pub node: String,
    /// The serial that it serves; `None` before the first.
    pub serial: Option<u64>,
    /// What it has refused since, with the faults.
    #[serde(default)]
    pub refused: Option<RefusedView>,
}

/// A release that a node does not serve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefusedView {
    /// Which.
    pub serial: u64,
    /// Why.
    pub faults: Vec<String>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its serial.
    pub serial: u64,
    /// The hash of its contents.
    pub hash: String,
    /// How many octets they have.
    pub octets: u64,
    /// When it was made, seconds since 1970.
    pub made_at: u64,
    /// What its publisher says of it.
    pub note: String,
    /// Who published it.
    pub publisher: String,
    /// Whether it is served here.
    pub serving: bool,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ConfigView {
    /// The folder it was read from.
    pub path: String,
    /// How many times a configuration was put in force since the start, from 1.
    pub generation: u64,
    /// When it was put in force, seconds since 1970.
    pub loaded_at: u64,
    /// How long reading and compiling took.
    pub load_seconds: f64,
    /// Steered records in all zones.
    pub records: usize,
}

/// Response rate limiting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RateLimitView {
    /// Whether answers are only counted.
    pub dry_run: bool,
    /// Answers held back in the last minute, or those that would have been.
    pub held_back: u64,
    /// Whom they were for, the worst first: at most [`NETWORKS_MAX`].
    #[serde(default)]
    pub networks: Vec<HeldView>,
}

/// Networks that are told of.
pub const NETWORKS_MAX: usize = 64;

/// A network some of whose answers are held back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeldView {
    /// Address and prefix length.
    pub network: String,
    /// Which kind of answers: answer, referral, nodata, nxdomain, error.
    pub kind: String,
    /// How many since it began; a minute without any ends it.
    pub answers: u64,
    /// Seconds since the last.
    pub seconds_ago: u64,
}

/// The last attempt to load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReloadView {
    /// `loaded` or `refused`.
    pub outcome: String,
    /// Why: `start`, `SIGHUP`, `files changed`.
    pub cause: String,
    /// When, seconds since 1970.
    pub at: u64,
    /// What was wrong, each with its place in a file: errors where it was refused, warnings too.
    pub faults: Vec<String>,
    /// Settings that changed in the files but hold only after a restart.
    pub needs_restart: Vec<String>,
}

/// One zone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ZoneView {
    /// The apex.
    pub origin: String,
    /// SOA SERIAL.
    pub serial: u32,
    /// Steered records.
    pub steered: usize,
}

/// One GeoIP database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatabaseView {
    /// File name, or `embedded`.
    pub name: String,
    /// What it says it is.
    pub kind: String,
    /// When its data was made, seconds since 1970; 0 when it does not say.
    pub built_at: u64,
    /// Age of its data in seconds.
    pub age_seconds: u64,
    /// Why a newer file in its place was refused, if one was.
    pub refused: Option<String>,
}

/// The certificate that is shown over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsView {
    /// The file it was read from.
    pub certificate: String,
    /// When it expires, seconds since 1970; 0 when it does not say.
    pub expires_at: u64,
    /// How long that is from now, in seconds; negative when it is over.
    pub expires_in_seconds: i64,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub pool: String,
    /// The zone that defines it.
    pub zone: String,
    /// Its region.
    pub region: String,
    /// Its state by family; one entry for a pool that hands over by name.
    pub families: Vec<FamilyView>,
}

/// How a pool stands that has a capacity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CapacityView {
    /// The pool.
    pub pool: String,
    /// The zone that defines it.
    pub zone: String,
    /// Its region.
    pub region: String,
    /// Queries a second whose clients are sent there.
    pub rate: f64,
    /// Queries a second up to which clients are sent there; `None` while nothing is known.
    pub target: Option<f64>,
    /// Queries a second above which clients are moved away at once.
    pub max: Option<f64>,
    /// The part of its clients that it keeps, 0 to 1.
    pub kept: f64,
    /// `room`, `at capacity`, or `over` where the others cannot take more either.
    pub state: String,
    /// The load that was reported and still holds, as a part of what it can do.
    pub load: Option<f64>,
    /// The part of its answers that are errors, as reported.
    pub errors: Option<f64>,
    /// Load is to be reported and is not: what was learned before counts.
    pub stale: bool,
}

/// `/v1/dials`: what moves from second to second, so that it can be simulated from here on. Shares
/// are in 1/65535 of the clients.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DialsView {
    /// Records some rule of which has a dial.
    pub records: Vec<RecordDials>,
    /// Records that are steered alike, some pool of which has a capacity.
    pub plans: Vec<PlanDials>,
}

/// Whom a record's rules give their pools.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RecordDials {
    /// The owner name.
    pub record: String,
    /// By rule.
    pub rules: Vec<RuleDials>,
}

/// Whom a rule gives its pools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleDials {
    /// The share of clients on the new side of a canary or switch.
    pub new_side: u16,
    /// By pool, the share of its clients that it has back, or keeps.
    pub keeps: Vec<(String, u16)>,
}

/// Where clients begin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlanDials {
    /// The owner names.
    pub records: Vec<String>,
    /// By rule and pool, the share that the pool keeps of the clients it is drawn for.
    pub keeps: Vec<Vec<(String, u16)>>,
    /// Orders with queries, or whose clients do not all begin with the first.
    pub orders: Vec<OrderDials>,
}

/// The clients of one order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OrderDials {
    /// Their rule, from 0.
    pub rule: usize,
    /// Their pools, the first choice first.
    pub pools: Vec<String>,
    /// Byte by byte of the pools, which share in 1/256 begins with that one or before it; nothing
    /// where all begin with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<[u8; 8]>,
    /// Queries a second.
    pub queries_per_second: f64,
}

/// A pool's report of its load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LoadReport {
    /// pool.NAME or pool.NAME@ZONE.
    pub target: String,
    /// The part of what it can do that is in use; above 1 it is overloaded.
    pub load: f64,
    /// The part of its answers that are errors.
    #[serde(default)]
    pub errors: Option<f64>,
    /// For how long it holds.
    pub seconds: f64,
}

/// A report about a check of type `push`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckReport {
    /// MONITOR@TARGET.
    pub check: String,
    /// It serves.
    pub up: bool,
    /// For how long this holds, 1 second to a day.
    pub seconds: f64,
    /// The part of what it can do that is in use; above 1 it is overloaded.
    #[serde(default)]
    pub load: Option<f64>,
    /// The part of its answers that are errors, 0 to 1.
    #[serde(default)]
    pub errors: Option<f64>,
    /// The part of its usual weight that it asks for, 0 to 1.
    #[serde(default)]
    pub weight: Option<f64>,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// One pool for one family.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FamilyView {
    /// `IPv4`, `IPv6` or `both`.
    pub family: String,
    /// The verdict's word: up, down, draining ...
    pub verdict: String,
    /// Whether clients are sent there.
    pub eligible: bool,
    /// Members that live, and members in all.
    pub live: usize,
    /// Members in all.
    pub members: usize,
    /// Seconds since the verdict last changed, when known.
    pub since_seconds: Option<u64>,
    /// The share of its clients it takes, `0.0..1.0`; `None` where that is all.
    #[serde(default)]
    pub keeps: Option<f64>,
    /// Why, for people.
    pub why: String,
    /// By name, the areas for whose clients it is otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub areas: BTreeMap<String, AreaView>,
}

/// One pool for one family, as it is for the clients of one area.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AreaView {
    /// The verdict's word.
    pub verdict: String,
    /// Whether these clients are sent there.
    pub eligible: bool,
    /// Members that live for them.
    pub live: usize,
    /// Seconds since the verdict last changed, when known.
    pub since_seconds: Option<u64>,
    /// The share of these clients it takes, `0.0..1.0`; `None` where that is all.
    #[serde(default)]
    pub keeps: Option<f64>,
    /// Why, for people.
    pub why: String,
}

/// A pool that serves but does not have all clients of a record back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReturningView {
    /// The steered name.
    pub record: String,
    /// The pool.
    pub pool: String,
    /// `held`, `waits` or `returns`.
    pub state: String,
    /// Seconds until clients begin to come back, or until all are back; `None` for one that is
    /// held.
    pub seconds_left: Option<u64>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckView {
    /// MONITOR@TARGET.
    pub key: String,
    /// unknown, up or down.
    pub state: String,
    /// Seconds since the state last changed, when known.
    pub since_seconds: Option<u64>,
    /// The newest result, for people.
    pub last: String,
    /// Of a composite: the keys of its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

/// A name whose addresses are answered for it, in one family.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AliasView {
    /// The name.
    pub target: String,
    /// ipv4 or ipv6.
    pub family: String,
    /// unknown, fresh, stale or gone.
    pub state: String,
    /// Seconds the addresses still hold, or have been stale for.
    pub seconds: Option<u64>,
    /// The addresses.
    pub addresses: Vec<String>,
}

/// One operator's override.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OverrideView {
    /// region.NAME, pool.NAME@ZONE or member.ADDRESS.
    pub target: String,
    /// For the clients of which area; `None` for all clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// drain, down or up.
    pub state: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who.
    #[serde(default)]
    pub by: String,
    /// Seconds left, or for one that begins later, seconds it lasts; `None`: until released.
    #[serde(default)]
    pub seconds_left: Option<u64>,
    /// When it begins, seconds since 1970; `None` when it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins_at: Option<u64>,
    /// Why it has not begun though its time has come; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held: String,
    /// Whose key signed it, where it is an order to all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The node that was given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_on: Option<String>,
    /// In an order: set it whatever the safety rules say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// A record's canary or switch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChangeView {
    /// The record's owner name.
    pub record: String,
    /// `canary` or `switch`.
    pub kind: String,
    /// A canary's phase (waiting, running, paused, aborted, done), or a switch's active side.
    pub stands: String,
    /// Pools of the new side.
    pub pools: Vec<String>,
    /// Share of the clients on the new side, 0 to 1.
    pub share: f64,
    /// A canary's step, from 1.
    #[serde(default)]
    pub step: Option<usize>,
    /// The shares of all its steps.
    #[serde(default)]
    pub steps: Vec<f64>,
    /// Seconds until the next step is due.
    #[serde(default)]
    pub next_in_seconds: Option<u64>,
    /// Why it does not go on; empty while nothing is in its way.
    #[serde(default)]
    pub note: String,
    /// Who gave the last order; empty when nobody did.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// When, seconds since 1970; 0 when nobody did.
    #[serde(default)]
    pub ordered_at: u64,
}

/// An order over a canary or a switch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeOrder {
    /// The record's owner name.
    pub record: String,
    /// start, pause, resume, abort, finish; or blue, green, back.
    pub order: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who.
    #[serde(default)]
    pub by: String,
    /// Do it whatever the safety rules say.
    #[serde(default)]
    pub force: bool,
}

/// An order to let clients come back to what waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResumeOrder {
    /// region.NAME, pool.NAME or pool.NAME@ZONE.
    pub target: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who.
    #[serde(default)]
    pub by: String,
}

/// A pool to which no client is sent any longer, by health, an override, or a switch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DrainView {
    /// Its name.
    pub pool: String,
    /// The zone that defines it.
    pub zone: String,
    /// Its region.
    pub region: String,
    /// For how long no client has been sent there.
    pub seconds: u64,
    /// Answers that lived when that began.
    pub before: u64,
    /// Answers that still live: resolvers may hand them out.
    pub alive: u64,
    /// None lives any longer.
    pub drained: bool,
    /// When the last one ended, or will at the latest, seconds since 1970.
    pub at: u64,
    /// False while the daemon is too young to know of every answer.
    pub sure: bool,
    /// Clients are sent there; only where a target was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub serving: bool,
}

/// An answer, as the demo's `ask` shows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AnswerView {
    /// The response code.
    pub rcode: String,
    /// Answer section, as master-file lines.
    pub answer: Vec<String>,
    /// Scope prefix length: the answer holds for all clients of that network.
    pub scope: Option<u8>,
}

/// What the API says when it cannot do as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What is wrong, one line.
    pub error: String,
}
