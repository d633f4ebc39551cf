//! How busy a target says it is: read from what it answers anyway, or from its statistics.
//!
//! Each format has a pure parser of octets. What none of them finds stays unknown and is no
//! failure: load is a fact beside the verdict, never the verdict.

pub mod agent;
pub mod envoy;
pub mod haproxy;
pub mod nginx;
pub mod orca;
pub mod prometheus;
pub mod protobuf;

use serde::{Deserialize, Serialize};

use super::trace::Trace;
use crate::health::sample::AgentWord;
use prometheus::Selector;

/// Where in an HTTP answer the load stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LoadSource {
    /// The header `endpoint-load-metrics` (ORCA).
    Orca,
    /// A number in a JSON body, at a JSON pointer (RFC 6901): 0 to `full`.
    Json {
        /// Where the load stands.
        load: Box<str>,
        /// Where the share of errors stands, 0 to 1.
        errors: Option<Box<str>>,
        /// The number that stands for all it can bear.
        full: f64,
    },
    /// HAProxy's statistics as CSV: sessions of a proxy against its limit.
    Haproxy {
        /// `pxname`.
        proxy: Box<str>,
        /// Sessions it can bear, where HAProxy has no limit of its own.
        limit: Option<u32>,
    },
    /// Prometheus text: sums of series.
    Prometheus {
        /// What is in use.
        load: Selector,
        /// What there is; `full` where there is none.
        limit: Option<Selector>,
        /// What stands for all it can bear.
        full: f64,
        /// A counter of requests.
        requests: Option<Selector>,
        /// A counter of those that failed.
        errors: Option<Selector>,
    },
    /// nginx's `stub_status`: connections against a limit.
    Nginx {
        /// Connections it can bear.
        limit: u32,
    },
    /// Envoy's `/stats`: requests under way to a cluster against a limit.
    Envoy {
        /// The cluster.
        cluster: Box<str>,
        /// Requests it can bear at once.
        limit: u32,
    },
}

/// What was read of a load. All of it may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// The share of what it can bear; 1 is all of it, more is possible.
    pub load: Option<f64>,
    /// The share of its answers that are errors, 0 to 1.
    pub errors: Option<f64>,
    /// Counters, of which the growth since the last probe makes a share of errors.
    pub counts: Option<Counts>,
    /// What it says of itself.
    pub word: Option<AgentWord>,
}

/// Counters of a target.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Requests.
    pub requests: f64,
    /// Those that failed.
    pub errors: f64,
}

impl LoadSource {
    /// True when the body has to be read for it.
    pub const fn is_in_body(&self) -> bool {
        !matches!(self, Self::Orca)
    }

    /// What an answer says; `header` gives a header's value.
    fn read<'a>(&self, header: impl Fn(&str) -> Option<&'a [u8]>, body: &[u8]) -> Option<Reading> {
        match self {
            Self::Orca => {
                let text = header(orca::HEADER).and_then(orca::parse);
                text.or_else(|| header(orca::HEADER_BINARY).and_then(orca::parse_base64))
            }
            Self::Json { load, errors, full } => {
                let value: serde_json::Value = serde_json::from_slice(body).ok()?;
                let number = |pointer: &str| value.pointer(pointer)?.as_f64();
                let errors = errors.as_deref().and_then(number);
                Some(Reading { load: Some(number(load)? / full), errors, ..Reading::default() })
            }
            Self::Haproxy { proxy, limit } => haproxy::parse(body, proxy, *limit),
            Self::Prometheus { load, limit, full, requests, errors } => {
                let used = prometheus::sum(body, load)?;
                let limit = match limit {
                    Some(limit) => prometheus::sum(body, limit)?,
                    None => *full,
                };
                let sum = |of: &Option<Selector>| prometheus::sum(body, of.as_ref()?);
                let counts = sum(requests).zip(sum(errors));
                let counts = counts.map(|(requests, errors)| Counts { requests, errors });
                Some(Reading { load: share(used, limit), counts, ..Reading::default() })
            }
            Self::Nginx { limit } => nginx::parse(body, *limit),
            Self::Envoy { cluster, limit } => envoy::parse(body, cluster, *limit),
        }
    }
}

/// Notes what an answer says of the load.
pub(super) fn take<'a>(
    source: &LoadSource,
    header: impl Fn(&str) -> Option<&'a [u8]>,
    body: &[u8],
    trace: &mut Trace,
) {
    let Some(reading) = source.read(header, body) else { return };
    let grown = reading.counts.and_then(|now| trace.counts.replace(now)?.errors_until(now));
    trace.facts.load = reading.load.and_then(thousandths);
    trace.facts.errors =
        reading.errors.or(grown).and_then(thousandths).map(|share| share.min(1000));
    trace.facts.agent = reading.word;
}

impl Counts {
    /// The share of errors among the requests since then; `None` where there was none, or where
    /// the target has begun to count anew.
    fn errors_until(self, now: Self) -> Option<f64> {
        let requests = now.requests - self.requests;
        let errors = now.errors - self.errors;
        (requests > 0.0 && errors >= 0.0).then(|| (errors / requests).min(1.0))
    }
}

/// `used` of `limit`; `None` without a limit.
fn share(used: f64, limit: f64) -> Option<f64> {
    (limit > 0.0 && used >= 0.0).then(|| used / limit)
}

/// A share in thousandths, up to 65.535 times the whole; `None` for what is no share.
fn thousandths(share: f64) -> Option<u16> {
    (share >= 0.0).then(|| (share * 1000.0).round().min(f64::from(u16::MAX)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(source: &LoadSource, body: &str, trace: &mut Trace) -> [Option<u16>; 2] {
        trace.begin();
        take(source, |_| None, body.as_bytes(), trace);
        [trace.facts.load, trace.facts.errors]
    }

    #[test]
    fn a_number_in_json_is_a_load() {
        let source = LoadSource::Json {
            load: "/pool/busy".into(),
            errors: Some("/pool/errors".into()),
            full: 100.0,
        };
        let mut trace = Trace::default();
        let body = r#"{"pool":{"busy":73.5,"errors":0.02}}"#;
        assert_eq!(facts(&source, body, &mut trace), [Some(735), Some(20)]);
        assert_eq!(facts(&source, r#"{"pool":{}}"#, &mut trace), [None, None]);
        assert_eq!(facts(&source, r#"{"pool":{"busy":-1}}"#, &mut trace), [None, None]);
        assert_eq!(facts(&source, "busy", &mut trace), [None, None]);
    }

    #[test]
    fn errors_are_what_counters_have_grown_by() {
        let source = LoadSource::Prometheus {
            load: Selector::new("busy").expect("a name"),
            limit: None,
            full: 8.0,
            requests: Selector::new("requests_total").ok(),
            errors: Selector::new("requests_total{code=\"5xx\"}").ok(),
        };
        let mut trace = Trace::default();
        let body = |good: u32, bad: u32| {
            format!(
                "busy 4\nrequests_total{{code=\"2xx\"}} {good}\nrequests_total{{code=\"5xx\"}} {bad}\n"
            )
        };
        assert_eq!(facts(&source, &body(900, 100), &mut trace), [Some(500), None]);
        assert_eq!(facts(&source, &body(990, 110), &mut trace), [Some(500), Some(100)]);
        assert_eq!(facts(&source, &body(990, 110), &mut trace), [Some(500), None], "no requests");
        assert_eq!(facts(&source, &body(5, 5), &mut trace), [Some(500), None], "begun anew");
    }

    #[test]
    fn shares_are_bounded() {
        assert_eq!(thousandths(1.5), Some(1500));
        assert_eq!(thousandths(1e9), Some(u16::MAX));
        assert_eq!(thousandths(f64::NAN), None);
        assert_eq!(thousandths(-0.1), None);
        assert_eq!(share(1.0, 0.0), None);
    }
}
