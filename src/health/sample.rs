//! A sample: one observation of one target. Plain data; who made it, and over which protocol,
//! is not known here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How it ended.
    pub outcome: Outcome,
    /// From the first step to the end, in either case.
    pub latency: Duration,
    /// What was learnt beside that.
    pub facts: Facts,
}

/// What a probe learns beside whether the target serves. All of it may be absent: monitors differ,
/// and a probe that fails has not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// How long each step took.
    pub phases: Phases,
    /// Whole days until the first certificate of the chain ends; negative after that.
    pub certificate_days: Option<i16>,
    /// How busy the target says it is, in thousandths of what it can bear; more than 1000 is more
    /// than that.
    pub load: Option<u16>,
    /// The share of its own answers that the target counts as errors, in thousandths.
    pub errors: Option<u16>,
    /// The share of its usual weight that the target asks for, in per cent.
    pub weight: Option<u8>,
    /// What the target says of itself.
    pub agent: Option<AgentWord>,
}

/// How long each step of a probe took, in microseconds; 0 for a step that was not taken or not
/// ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// From a name to an address.
    pub resolve_us: u32,
    /// To an open connection.
    pub connect_us: u32,
    /// The TLS handshake.
    pub tls_us: u32,
    /// From the whole request sent to the first octet of the answer.
    pub first_byte_us: u32,
}

/// What a target says of itself, as HAProxy's agent check words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentWord {
    /// It serves (`up`, `ready`).
    Up,
    /// It does not (`down`, `fail`, `stopped`).
    Down,
    /// No new clients, please.
    Drain,
    /// It is being worked on.
    Maint,
}

impl Facts {
    /// Nothing learnt.
    pub const NONE: Self = Self {
        phases: Phases { resolve_us: 0, connect_us: 0, tls_us: 0, first_byte_us: 0 },
        certificate_days: None,
        load: None,
        errors: None,
        weight: None,
        agent: None,
    };
}

impl AgentWord {
    /// The word used in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

/// How an observation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target answered as expected.
    Success,
    /// It did not.
    Failure(Reason),
}

/// Why an observation failed, as a class: bounded, so that it can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nobody listens.
    Refused,
    /// The connection broke.
    Reset,
    /// No end in time.
    TimedOut,
    /// No way to the address.
    Unreachable,
    /// The target's name gave no address.
    Resolve,
    /// The TLS handshake failed.
    Tls(TlsFault),
    /// An HTTP status that is not expected.
    Status(u16),
    /// The first 64 KiB of the body are not as expected.
    Body,
    /// The answer is not of the protocol.
    Protocol,
    /// The prober's own machine had no socket, port or memory to ask with. Says nothing of the
    /// target.
    Local,
    /// A version of the protocol that is not accepted.
    Version,
    /// A header is not as expected.
    Header,
    /// More redirects than are followed, or one that leads nowhere.
    Redirect,
    /// What came is not what the dialogue expects.
    Dialogue,
    /// A DNS RCODE that is not expected.
    Rcode(u16),
    /// The records of a DNS answer are not as expected.
    Records,
    /// A gRPC status other than OK.
    Grpc(u8),
    /// The target says of itself that it does not serve.
    Said,
    /// Nobody has reported in time.
    Stale,
    /// Nobody has reported in time, and that is to prove nothing.
    Unreported,
}

/// What was wrong with a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFault {
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    NotYetValid,
    /// The certificate is for other names.
    WrongName,
    /// The certificate's issuer is not trusted.
    UnknownIssuer,
    /// Any other fault of the certificate.
    BadCertificate,
    /// The handshake itself failed.
    Handshake,
    /// The prober's machine has no trusted certificates to verify with.
    NoRoots,
    /// The certificate's time is over sooner than is accepted.
    EndsSoon,
}

impl Sample {
    /// A success after `latency`.
    pub const fn success(latency: Duration) -> Self {
        Self { outcome: Outcome::Success, latency, facts: Facts::NONE }
    }

    /// A failure after `latency`.
    pub const fn failure(reason: Reason, latency: Duration) -> Self {
        Self { outcome: Outcome::Failure(reason), latency, facts: Facts::NONE }
    }

    /// The same with `facts`.
    pub const fn with(self, facts: Facts) -> Self {
        Self { facts, ..self }
    }

    /// Why it failed; `None` for a success.
    pub const fn reason(&self) -> Option<Reason> {
        match self.outcome {
            Outcome::Success => None,
            Outcome::Failure(reason) => Some(reason),
        }
    }
}

impl Outcome {
    /// Every label, in the order of [`Outcome::index`].
    pub const LABELS: [&'static str; 20] = [
        "success",
        "refused",
        "reset",
        "timeout",
        "unreachable",
        "resolve",
        "tls",
        "status",
        "body",
        "protocol",
        "local",
        "version",
        "header",
        "redirect",
        "dialogue",
        "rcode",
        "records",
        "grpc",
        "said",
        "stale",
    ];

    /// A number below `LABELS.len()`, for counters.
    pub const fn index(self) -> usize {
        match self {
            Self::Success => 0,
            Self::Failure(Reason::Refused) => 1,
            Self::Failure(Reason::Reset) => 2,
            Self::Failure(Reason::TimedOut) => 3,
            Self::Failure(Reason::Unreachable) => 4,
            Self::Failure(Reason::Resolve) => 5,
            Self::Failure(Reason::Tls(_)) => 6,
            Self::Failure(Reason::Status(_)) => 7,
            Self::Failure(Reason::Body) => 8,
            Self::Failure(Reason::Protocol) => 9,
            Self::Failure(Reason::Local) => 10,
            Self::Failure(Reason::Version) => 11,
            Self::Failure(Reason::Header) => 12,
            Self::Failure(Reason::Redirect) => 13,
            Self::Failure(Reason::Dialogue) => 14,
            Self::Failure(Reason::Rcode(_)) => 15,
            Self::Failure(Reason::Records) => 16,
            Self::Failure(Reason::Grpc(_)) => 17,
            Self::Failure(Reason::Said) => 18,
            Self::Failure(Reason::Stale | Reason::Unreported) => 19,
        }
    }

    /// The class as one word, for metrics.
    pub const fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

impl Reason {
    /// True when the failure says something of the target. What went wrong in the prober's own
    /// machine proves only that the prober is broken, and never takes a region away.
    pub const fn is_evidence(self) -> bool {
        !matches!(self, Self::Local | Self::Unreported | Self::Tls(TlsFault::NoRoots))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Failure(reason) => reason.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
            Self::TimedOut => "no answer in time",
            Self::Unreachable => "unreachable",
            Self::Resolve => "name not resolved",
            Self::Tls(fault) => return write!(f, "TLS: {fault}"),
            Self::Status(status) => return write!(f, "status {status}"),
            Self::Body => "body not as expected",
            Self::Protocol => "not an answer of the protocol",
            Self::Local => "this machine could not open a socket",
            Self::Version => "version of the protocol not accepted",
            Self::Header => "header not as expected",
            Self::Redirect => "redirect not followed to an end",
            Self::Dialogue => "dialogue not as expected",
            Self::Rcode(rcode) => return write!(f, "RCODE {rcode}"),
            Self::Records => "records not as expected",
            Self::Grpc(status) => return write!(f, "gRPC status {status}"),
            Self::Said => "it says it does not serve",
            Self::Stale | Self::Unreported => "nothing reported in time",
        })
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "certificate expired",
            Self::NotYetValid => "certificate not valid yet",
            Self::WrongName => "certificate for another name",
            Self::UnknownIssuer => "certificate of an unknown issuer",
            Self::BadCertificate => "bad certificate",
            Self::Handshake => "handshake failed",
            Self::NoRoots => "no trusted certificates on this machine",
            Self::EndsSoon => "certificate ends too soon",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_prober_is_no_evidence() {
        assert!(!Reason::Local.is_evidence());
        assert!(!Reason::Tls(TlsFault::NoRoots).is_evidence());
        assert!(Reason::Tls(TlsFault::Expired).is_evidence());
        assert!(Reason::TimedOut.is_evidence());
    }

    #[test]
    fn every_class_has_a_label_of_its_own() {
        assert_eq!(Outcome::Failure(Reason::Status(503)).label(), "status");
        assert_eq!(Outcome::Failure(Reason::Local).label(), "local");
        assert_eq!(Outcome::Success.label(), "success");
        assert_eq!(Outcome::Failure(Reason::Unreported).label(), "stale");
        assert_eq!(Outcome::LABELS.last(), Some(&"stale"));
    }
}
