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
    /// The expected text is not in the body's first 64 KiB.
    Body,
    /// The answer is not of the protocol.
    Protocol,
    /// The prober's own machine had no socket, port or memory to ask with. Says nothing of the
    /// target.
    Local,
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
}

impl Sample {
    /// A success after `latency`.
    pub const fn success(latency: Duration) -> Self {
        Self { outcome: Outcome::Success, latency }
    }

    /// A failure after `latency`.
    pub const fn failure(reason: Reason, latency: Duration) -> Self {
        Self { outcome: Outcome::Failure(reason), latency }
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
    pub const LABELS: [&'static str; 11] = [
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
        !matches!(self, Self::Local | Self::Tls(TlsFault::NoRoots))
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
            Self::Body => "expected text not in the body",
            Self::Protocol => "not an HTTP answer",
            Self::Local => "this machine could not open a socket",
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
    }
}
