//! What one probe has come to so far: filled in step by step, so that a probe whose time runs out
//! still tells how far it came.

use std::net::SocketAddr;
use std::time::Instant;

use super::load::Counts;
use crate::health::sample::Facts;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Trace {
    /// What goes into the sample.
    pub facts: Facts,
    /// The address asked, once it is known.
    pub address: Option<SocketAddr>,
    /// The TLS session, once there is one.
    pub tls: Option<TlsSeen>,
    /// The head of the last HTTP answer.
    pub http: Option<HttpSeen>,
    /// The DNS answer.
    pub dns: Option<DnsSeen>,
    /// What was read: a body, lines of a dialogue, an agent's line.
    pub text: Vec<u8>,
    /// What was not as expected, in words.
    pub complaint: Option<String>,
    /// The target's counters at its last probe; kept from probe to probe.
    pub counts: Option<Counts>,
}

/// A TLS session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSeen {
    /// `TLS 1.3`.
    pub version: &'static str,
    /// The protocol agreed on by ALPN.
    pub alpn: Option<Box<str>>,
    /// The subject of the server's certificate.
    pub subject: Box<str>,
    /// When the first certificate of the chain ends, in seconds since 1970-01-01T00:00:00Z.
    pub ends: i64,
}

/// The head of an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSeen {
    /// The status.
    pub status: u16,
    /// 10, 11 or 20.
    pub version: u8,
    /// Redirects that led here.
    pub redirects: u8,
    /// `Content-Length`.
    pub length: Option<u64>,
}

/// A DNS answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSeen {
    /// Its RCODE.
    pub rcode: u16,
    /// AA was set.
    pub authoritative: bool,
    /// The answer section, as lines of a master file.
    pub answers: Vec<String>,
    /// How many records the authority and the additional section hold.
    pub others: [u16; 2],
    /// The serial of the SOA record, where the answer has one.
    pub serial: Option<u32>,
}

impl Trace {
    /// Ready for the next probe of the same target.
    pub fn begin(&mut self) {
        let (counts, mut text) = (self.counts.take(), std::mem::take(&mut self.text));
        text.clear();
        *self = Self { counts, text, ..Self::default() };
    }

    /// Says what was not as expected, where nothing was said yet.
    pub fn complain(&mut self, words: impl FnOnce() -> String) {
        if self.complaint.is_none() {
            self.complaint = Some(words());
        }
    }
}

/// Microseconds since `from`; at least 1, for 0 stands for "not taken".
pub(super) fn micros_since(from: Instant) -> u32 {
    u32::try_from(from.elapsed().as_micros()).unwrap_or(u32::MAX).max(1)
}
