//! Monitors and checks: how a member is asked, and which members are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::LoadSource;
use super::pattern::{Pattern, Place};
use crate::health::council::Rules;
use crate::region::{Family, PoolId};

/// How a member is checked; `[monitor.NAME]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    /// Its name; an inline monitor is named after its pool, `pool.NAME`.
    pub name: Box<str>,
    /// What is asked.
    pub kind: Kind,
    /// Port; defaults to the scheme's. 0 for what is never connected to.
    pub port: u16,
    /// Time between two probes of one target in steady state.
    pub interval: Duration,
    /// Time between two probes while the state is changing (a failure or success pending).
    pub fast_interval: Duration,
    /// The longest time between two probes of a target that has failed for long.
    pub slow_interval: Duration,
    /// A probe without an end by then has failed.
    pub timeout: Duration,
    /// Successes in a row that make a target up.
    pub rise: u8,
    /// Failures in a row that make a target down.
    pub fall: u8,
    /// How the target is reached.
    pub way: Way,
}

/// How a target is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Which of a name's addresses is asked.
    pub family: FamilyChoice,
    /// The address asked from, for IPv4.
    pub source_v4: Option<Ipv4Addr>,
    /// The address asked from, for IPv6.
    pub source_v6: Option<Ipv6Addr>,
    /// The interface asked through.
    pub interface: Option<Box<str>>,
}

/// Which of a name's addresses is asked: the first that fits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FamilyChoice {
    /// In the order of the system's resolver (RFC 6724).
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// IPv4, else IPv6.
    V4First,
    /// IPv6, else IPv4.
    V6First,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// A TCP connection that opens, a TLS handshake, and what is said over them.
    Tcp(Tcp),
    /// An HTTP request whose answer is as expected.
    Http(Box<Http>),
    /// A DNS query whose answer is as expected.
    Dns(Dns),
    /// `grpc.health.v1.Health/Check` says SERVING.
    Grpc(Grpc),
    /// One line in the words of HAProxy's agent check.
    Agent(Agent),
    /// Nobody is asked: somebody else reports.
    Push(Push),
}

/// TLS, and what a certificate must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tls {
    /// The certificate must be valid for the server's name.
    pub verify: bool,
    /// The server's name (SNI), where it is not the host's or the target's.
    pub server_name: Option<Box<str>>,
    /// A file of the certificates that are trusted, instead of the machine's.
    pub ca_file: Option<Box<str>>,
    /// Days each certificate of the chain must still be valid.
    pub certificate_days: Option<u16>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { verify: true, server_name: None, ca_file: None, certificate_days: None }
    }
}

/// A TCP connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tcp {
    /// How TLS is spoken: from the start (`tls_first`), or from a [`Step::StartTls`] on.
    pub tls: Tls,
    /// TLS from the start.
    pub tls_first: bool,
    /// What is said and heard, in order.
    pub dialogue: Vec<Step>,
}

/// One step of a dialogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// This is sent, as it is, with `${1}` and `${name}` standing for what the last pattern has
    /// captured.
    Send(Box<str>),
    /// Lines are read until one matches.
    Expect(Pattern),
    /// TLS from here on.
    StartTls,
}

/// An HTTP or HTTPS request and the answer it must get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Http {
    /// With TLS, and how.
    pub tls: Option<Tls>,
    /// The method.
    pub method: Box<str>,
    /// Path and query, begins with `/`.
    pub path: Box<str>,
    /// Host header, and SNI unless that has a name of its own; the target's own address or name
    /// when absent.
    pub host: Option<Box<str>>,
    /// Headers sent besides, by name.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// What is sent as the body.
    pub send: Option<Box<str>>,
    /// Who the prober says it is.
    pub auth: Option<Auth>,
    /// Versions of HTTP that are offered and accepted.
    pub versions: Versions,
    /// Redirects followed at most, each over a connection of its own.
    pub redirects: u8,
    /// What the answer must be.
    pub expect: HttpExpect,
    /// Where in the answer the load stands.
    pub load: Option<LoadSource>,
}

/// Versions of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// HTTP/1.0 is accepted.
    pub http10: bool,
    /// HTTP/1.1 is offered and accepted.
    pub http11: bool,
    /// HTTP/2 is offered and accepted; alone and without TLS, it is spoken with prior knowledge.
    pub http2: bool,
}

/// Who the prober says it is. Files are read for each probe, on the machine that probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// RFC 7617.
    Basic {
        /// The user.
        user: Box<str>,
        /// The file that holds the password.
        password_file: Box<str>,
    },
    /// RFC 6750.
    Bearer {
        /// The file that holds the token.
        file: Box<str>,
    },
}

/// What an HTTP answer must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpExpect {
    /// Statuses that count as success.
    pub status: Vec<RangeInclusive<u16>>,
    /// A substring the first 64 KiB of the body must hold.
    pub body: Option<Box<str>>,
    /// What the body must match, all of it.
    pub matches: Vec<Pattern>,
    /// What the body must not match, none of it.
    pub matches_not: Vec<Pattern>,
    /// What must stand in a JSON body.
    pub json: Vec<JsonExpect>,
    /// What headers must be.
    pub headers: Vec<HeaderExpect>,
    /// The last answer must have come over TLS (`true`), or must not.
    pub tls: Option<bool>,
}

/// A value that must stand at a place of a JSON body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JsonExpect {
    /// Where.
    pub place: Place,
    /// What must stand there, as JSON text; anything when absent.
    pub equals: Option<Box<str>>,
}

/// What a header must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeaderExpect {
    /// Its name, in lower case.
    pub name: Box<str>,
    /// What one of its values must match.
    pub pattern: Pattern,
    /// Turned round: none of its values may match.
    pub not: bool,
}

/// A DNS query and the answer it must get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dns {
    /// The name asked for.
    pub name: Box<str>,
    /// The type asked for, by its name.
    pub rtype: Box<str>,
    /// Over TCP.
    pub tcp: bool,
    /// The query asks for recursion.
    pub recursion: bool,
    /// RCODEs that count as success.
    pub rcodes: Vec<u16>,
    /// The answer must have AA.
    pub authoritative: bool,
    /// Patterns one record of the answer section each must match, as a line of a master file.
    pub answer: Vec<Pattern>,
    /// Patterns no record of the answer section may match.
    pub answer_not: Vec<Pattern>,
}

/// `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grpc {
    /// The service; empty for the server as a whole.
    pub service: Box<str>,
    /// `:authority`, and SNI unless that has a name of its own.
    pub host: Option<Box<str>>,
    /// With TLS, and how.
    pub tls: Option<Tls>,
}

/// HAProxy's agent check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// What is sent first.
    pub send: Option<Box<str>>,
}

/// Reports of somebody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// What it means when the last report is too old.
    pub stale: Stale,
}

/// What it means when nobody has reported in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stale {
    /// A failure.
    #[default]
    Down,
    /// Nothing: what was believed last stays.
    Keep,
}

impl Default for Versions {
    fn default() -> Self {
        Self { http10: true, http11: true, http2: false }
    }
}

impl Default for HttpExpect {
    fn default() -> Self {
        Self {
            status: vec![200..=299],
            body: None,
            matches: Vec::new(),
            matches_not: Vec::new(),
            json: Vec::new(),
            headers: Vec::new(),
            tls: None,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            tls: None,
            method: "GET".into(),
            path: "/".into(),
            host: None,
            headers: Vec::new(),
            send: None,
            auth: None,
            versions: Versions::default(),
            redirects: 0,
            expect: HttpExpect::default(),
            load: None,
        }
    }
}

impl HttpExpect {
    /// True when the body need not be read.
    pub const fn ignores_body(&self) -> bool {
        self.body.is_none() && self.is_plain()
    }

    /// True when nothing but a substring is expected of the body.
    pub const fn is_plain(&self) -> bool {
        self.matches.is_empty() && self.matches_not.is_empty() && self.json.is_empty()
    }
}

impl Kind {
    /// The word of `type = …`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Tcp(tcp) if tcp.tls_first => "tls",
            Self::Tcp(_) => "tcp",
            Self::Http(http) if http.tls.is_some() => "https",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Grpc(_) => "grpc",
            Self::Agent(_) => "agent",
            Self::Push(_) => "push",
        }
    }
}

impl Way {
    /// The address asked from, towards an address of this family.
    pub fn source(&self, to: IpAddr) -> Option<IpAddr> {
        match to {
            IpAddr::V4(_) => self.source_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.source_v6.map(IpAddr::V6),
        }
    }
}

impl FamilyChoice {
    /// The address that is asked.
    pub fn choose(self, addresses: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
        let mut other = None;
        for address in addresses {
            match (self, address.is_ipv4()) {
                (Self::Any, _) | (Self::V4 | Self::V4First, true) => return Some(address),
                (Self::V6 | Self::V6First, false) => return Some(address),
                (Self::V4, false) | (Self::V6, true) => {}
                (Self::V4First, false) | (Self::V6First, true) => {
                    other = other.or(Some(address));
                }
            }
        }
        other
    }
}

/// A check's place in the list of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u32);

/// How a member is judged: by one monitor, or by several together.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// By what its probes say, and by rules of its own for what follows.
    Probe(Arc<Monitor>, Rules),
    /// By so many of several.
    Composite(Arc<CompositeMonitor>),
}

/// Several monitors of one target, so many of which must be content; `type = "composite"`.
#[derive(Debug, Clone, PartialEq)]
pub struct CompositeMonitor {
    /// Its name; an inline one is named after its pool, `pool.NAME`.
    pub name: Box<str>,
    /// So many parts must serve.
    pub need: u16,
    /// The parts.
    pub of: Vec<Method>,
}

impl Method {
    /// The monitor's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Probe(monitor, _) => &monitor.name,
            Self::Composite(composite) => &composite.name,
        }
    }

    /// The port asked where a target has none; 0 where each part has its own.
    pub fn port(&self) -> u16 {
        match self {
            Self::Probe(monitor, _) => monitor.port,
            Self::Composite(_) => 0,
        }
    }

    /// True where a target needs no port: nobody is asked, or each part has its own.
    pub fn has_no_port(&self) -> bool {
        match self {
            Self::Probe(monitor, _) => matches!(monitor.kind, Kind::Push(_)),
            Self::Composite(_) => true,
        }
    }

    /// The monitors that are probed, each once.
    pub fn monitors(&self) -> Vec<&Arc<Monitor>> {
        let mut found = Vec::new();
        self.gather(&mut found);
        found
    }

    fn gather<'m>(&'m self, found: &mut Vec<&'m Arc<Monitor>>) {
        match self {
            Self::Probe(monitor, _) => {
                if !found.iter().any(|known| known.name == monitor.name) {
                    found.push(monitor);
                }
            }
            Self::Composite(composite) => composite.of.iter().for_each(|part| part.gather(found)),
        }
    }
}

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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CheckTarget {
    /// An address with port.
    Address(SocketAddr),
    /// A name that is resolved for each probe, with port.
    Host(Box<str>, u16),
}

impl CheckTarget {
    /// The port; 0 where there is none.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Host(_, port) => *port,
        }
    }

    /// The same with another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        match self {
            Self::Address(address) => Self::Address(SocketAddr::new(address.ip(), port)),
            Self::Host(host, _) => Self::Host(host, port),
        }
    }
}

/// Without the port where there is none.
impl fmt::Display for CheckTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) if address.port() == 0 => address.ip().fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Host(host, 0) => f.write_str(host),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// A composite's place in the list of composites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompositeId(pub u32);

/// What decides over a member, or is a part of what does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decider {
    /// A check, which is probed.
    Check(CheckId),
    /// Several checks together.
    Composite(CompositeId),
}

impl Decider {
    /// Its place in a list of `checks` checks with the composites behind them.
    pub const fn place(self, checks: usize) -> u32 {
        match self {
            Self::Check(id) => id.0,
            Self::Composite(id) => checks as u32 + id.0,
        }
    }
}

/// One composite monitor applied to one target.
#[derive(Debug, Clone, PartialEq)]
pub struct CompositeCheck {
    /// `MONITOR@TARGET`, the target without a port.
    pub key: Box<str>,
    /// What it was made of.
    pub monitor: Arc<CompositeMonitor>,
    /// The parts on this target; composites among them stand before this one.
    pub of: Vec<Decider>,
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
    /// What decides over it; `None` when nothing checks it, so that it counts as up.
    pub check: Option<Decider>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_that_fits_is_asked() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (four, six) = (address("192.0.2.1:80"), address("[2001:db8::1]:80"));
        let of = |choice: FamilyChoice, all: &[SocketAddr]| choice.choose(all.iter().copied());
        assert_eq!(of(FamilyChoice::Any, &[six, four]), Some(six));
        assert_eq!(of(FamilyChoice::V4, &[six, four]), Some(four));
        assert_eq!(of(FamilyChoice::V4, &[six]), None);
        assert_eq!(of(FamilyChoice::V4First, &[six]), Some(six));
        assert_eq!(of(FamilyChoice::V6First, &[four, six]), Some(six));
        assert_eq!(of(FamilyChoice::V6, &[four]), None);
    }

    #[test]
    fn a_target_without_a_port_is_written_without() {
        let target = |port| CheckTarget::Address((Ipv6Addr::LOCALHOST, port).into());
        assert_eq!(target(80).to_string(), "[::1]:80");
        assert_eq!(target(0).to_string(), "::1");
        assert_eq!(CheckTarget::Host("lb.example.net".into(), 0).to_string(), "lb.example.net");
    }
}
