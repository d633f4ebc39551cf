//! Monitors and checks: how a member is asked, and which members are.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::region::{Family, PoolId};

/// How a member is checked; `[monitor.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// Its name; an inline monitor is named after its pool, `pool.NAME`.
    pub name: Box<str>,
    /// What is asked.
    pub kind: Kind,
    /// Port; defaults to the scheme's.
    pub port: u16,
    /// Time between two probes of one target in steady state.
    pub interval: Duration,
    /// Time between two probes while the state is changing (a failure or success pending).
    pub fast_interval: Duration,
    /// A probe without an end by then has failed.
    pub timeout: Duration,
    /// Successes in a row that make a target up.
    pub rise: u8,
    /// Failures in a row that make a target down.
    pub fall: u8,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A TCP connection that opens is a success.
    Tcp,
    /// An HTTP request whose answer is as expected is a success.
    Http(Http),
}

/// An HTTP or HTTPS request and the answer it must get.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// With TLS.
    pub tls: bool,
    /// Path and query, begins with `/`.
    pub path: Box<str>,
    /// Host header and SNI; the target's own address or name when absent.
    pub host: Option<Box<str>>,
    /// Statuses that count as success.
    pub status: Vec<RangeInclusive<u16>>,
    /// A substring the first 64 KiB of the body must hold.
    pub body: Option<Box<str>>,
    /// HTTPS only: the certificate must be valid for the host. Default true.
    pub verify: bool,
}

/// A check's place in the list of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u32);

/// One monitor applied to one target. Equal checks of several pools are probed once.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// `MONITOR@TARGET`, the key under which state is kept over reloads and restarts.
    pub key: Box<str>,
    /// How.
    pub monitor: Arc<Monitor>,
    /// Whom.
    pub target: CheckTarget,
}

/// Whom a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CheckTarget {
    /// An address with port.
    Address(SocketAddr),
    /// A name that is resolved for each probe, with port.
    Host(Box<str>, u16),
}

/// Which checks decide over a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolChecks {
    /// The pool.
    pub pool: PoolId,
    /// One entry per member. Pools that hand over by CNAME or delegation have one entry for
    /// both families ([`None`] in the first field).
    pub members: Vec<MemberCheck>,
}

/// The check of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberCheck {
    /// The member's family; `None` when it stands for both.
    pub family: Option<Family>,
    /// Its place in the pool's list of that family.
    pub member: u8,
    /// The check; `None` when nothing checks it, so that it counts as up.
    pub check: Option<CheckId>,
}
