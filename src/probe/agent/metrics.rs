//! What an agent shows: the blackbox exporter's names, labelled by check, so that boards made for
//! it show Meridian's probes.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::Agent;
use crate::health::sample::{Outcome, Sample};
use crate::probe::trace::Trace;

/// What the last probe of a check has come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    success: Option<bool>,
    seconds: f64,
    resolve: f64,
    phases: [f64; 3],
    family: Option<u8>,
    http: Option<(u16, u8, u8, Option<u64>)>,
    is_https: bool,
    certificate: Option<i64>,
    dns: Option<(usize, [u16; 2], Option<u32>)>,
    load: Option<u16>,
}

impl Shown {
    pub(super) fn of(sample: &Sample, trace: &Trace) -> Self {
        let phases = trace.facts.phases;
        let seconds = |micros: u32| f64::from(micros) / 1e6;
        Self {
            success: Some(sample.outcome == Outcome::Success),
            seconds: sample.latency.as_secs_f64(),
            resolve: seconds(phases.resolve_us),
            phases: [phases.connect_us, phases.tls_us, phases.first_byte_us].map(seconds),
            family: trace.address.map(|address| if address.is_ipv4() { 4 } else { 6 }),
            http: trace
                .http
                .as_ref()
                .map(|http| (http.status, http.version, http.redirects, http.length)),
            is_https: trace.http.is_some() && trace.tls.is_some(),
            certificate: trace.tls.as_ref().map(|tls| tls.ends),
            dns: trace.dns.as_ref().map(|dns| (dns.answers.len(), dns.others, dns.serial)),
            load: trace.facts.load,
        }
    }
}

/// One line per check of a metric, where it has one.
type Value = fn(&Shown) -> Option<f64>;

const METRICS: [(&str, &str, Value); 15] = [
    ("probe_success", "Whether the last probe was a success.", |of| {
        of.success.map(|success| if success { 1.0 } else { 0.0 })
    }),
    ("probe_duration_seconds", "How long it took.", |of| of.success.map(|_| of.seconds)),
    ("probe_dns_lookup_time_seconds", "How long the target's name took to resolve.", |of| {
        of.success.map(|_| of.resolve)
    }),
    ("probe_ip_protocol", "The IP version of the address that was asked.", |of| {
        of.family.map(f64::from)
    }),
    ("probe_http_status_code", "The status of the answer.", |of| {
        of.http.map(|(status, ..)| f64::from(status))
    }),
    ("probe_http_version", "The HTTP version of the answer.", |of| {
        of.http.map(|(_, version, ..)| f64::from(version) / 10.0)
    }),
    ("probe_http_redirects", "Redirects that were followed.", |of| {
        of.http.map(|(_, _, redirects, _)| f64::from(redirects))
    }),
    ("probe_http_content_length", "The length the answer tells of itself; -1 if none.", |of| {
        of.http.map(|(.., length)| length.map_or(-1.0, |length| length as f64))
    }),
    ("probe_http_ssl", "Whether the last answer came over TLS.", |of| {
        of.http.map(|_| if of.is_https { 1.0 } else { 0.0 })
    }),
    ("probe_ssl_earliest_cert_expiry", "When the first certificate of the chain ends.", |of| {
        of.certificate.map(|ends| ends as f64)
    }),
    ("probe_dns_answer_rrs", "Records in the answer section.", |of| {
        of.dns.map(|(answers, ..)| answers as f64)
    }),
    ("probe_dns_authority_rrs", "Records in the authority section.", |of| {
        of.dns.map(|(_, others, _)| f64::from(others[0]))
    }),
    ("probe_dns_additional_rrs", "Records in the additional section.", |of| {
        of.dns.map(|(_, others, _)| f64::from(others[1]))
    }),
    ("probe_dns_serial", "The serial of the SOA record.", |of| {
        of.dns.and_then(|(_, _, serial)| serial.map(f64::from))
    }),
    ("meridian_probe_load_ratio", "How busy the target says it is.", |of| {
        of.load.map(|load| f64::from(load) / 1000.0)
    }),
];

impl Agent {
    /// All metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let known = self.lock();
        let all = known.order.iter().chain(&known.canaries);
        let all: Vec<_> = all
            .filter_map(|key| known.checks.get(key))
            .map(|seen| {
                let monitor = escaped(&seen.check.monitor.name);
                let target = escaped(&seen.check.target.to_string());
                (format!("monitor=\"{monitor}\",target=\"{target}\""), seen.shown.clone())
            })
            .collect();
        let itself = known.itself;
        let set = known.set;
        drop(known);
        let mut out = String::with_capacity(512 + all.len() * 1024);
        for (name, help, value) in METRICS {
            head(&mut out, name, help, "gauge");
            for (labels, shown) in &all {
                if let Some(value) = value(shown) {
                    let _ = writeln!(out, "{name}{{{labels}}} {value}");
                }
            }
        }
        let name = "probe_http_duration_seconds";
        head(&mut out, name, "How long each phase of an HTTP probe took.", "gauge");
        for (labels, shown) in all.iter().filter(|(_, shown)| shown.http.is_some()) {
            let [connect, tls, processing] = shown.phases;
            let phases = [
                ("resolve", shown.resolve),
                ("connect", connect),
                ("tls", tls),
                ("processing", processing),
            ];
            for (phase, seconds) in phases {
                let _ = writeln!(out, "{name}{{{labels},phase=\"{phase}\"}} {seconds}");
            }
        }
        let own = [
            (
                "meridian_agent_reports_total",
                "Reports sent.",
                "counter",
                self.sent.load(Ordering::Relaxed),
            ),
            (
                "meridian_agent_probesets_refused_total",
                "Probe sets that were not believed.",
                "counter",
                self.refused.load(Ordering::Relaxed),
            ),
            ("meridian_agent_probeset_revision", "The probe set in use.", "gauge", set),
            ("meridian_agent_canaries", "Canaries asked.", "gauge", itself.canaries.into()),
            (
                "meridian_agent_canaries_ok",
                "Canaries that answer.",
                "gauge",
                itself.canaries_ok.into(),
            ),
        ];
        for (name, help, kind, value) in own {
            head(&mut out, name, help, kind);
            let _ = writeln!(out, "{name} {value}");
        }
        let name = "meridian_agent_lag_seconds";
        head(&mut out, name, "The longest lateness in the period before the last report.", "gauge");
        let _ = writeln!(out, "{name} {}", f64::from(itself.lag_ms) / 1000.0);
        out
    }
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
