//! `meridian probe --once MONITOR TARGET`: one probe, told step by step.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::output::{BAD, FAINT, GOOD, HEAD, WARN, paint, print, table};
use super::probe::ProbeArgs;
use super::{PROBLEMS, files};
use crate::config;
use crate::health::composite::Composite;
use crate::health::sample::Reason;
use crate::health::state::Belief;
use crate::probe::ask::{Ask, Asker, Roots};
use crate::probe::monitor::{Check, CheckTarget, Kind, Method, Monitor};
use crate::probe::trace::{DnsSeen, HttpSeen, TlsSeen, Trace};

/// Octets of an answer that are shown.
const SHOWN: usize = 400;

pub(super) fn run(args: &ProbeArgs, monitor: &str, target: &str) -> anyhow::Result<u8> {
    let path = files::config_path(args.config.as_deref());
    let (monitors, faults) = config::load_monitors(&path);
    if faults.iter().any(crate::diagnostics::Diagnostic::is_error) {
        return Ok(files::tell_refused(&faults));
    }
    let Some(found) = monitors.iter().find(|of| of.name() == monitor) else {
        let names: Vec<&str> = monitors.iter().map(Method::name).collect();
        bail!("no monitor '{monitor}' in {}; there are: {}", path.display(), names.join(", "));
    };
    let wanted = target_of(target, found.port())?;
    let is_composite = matches!(found, Method::Composite(_));
    if is_composite && wanted.port() != 0 {
        bail!("'{monitor}' is a composite: each of its parts has a port of its own");
    }
    let asked = |monitor: &&Arc<Monitor>| !matches!(monitor.kind, Kind::Push(_));
    let checks: Vec<Check> = found
        .monitors()
        .into_iter()
        .filter(asked)
        .map(|monitor| {
            let port = if is_composite { monitor.port } else { wanted.port() };
            let target = wanted.clone().with_port(port);
            let key = format!("{}@{target}", monitor.name).into();
            Check { key, monitor: Arc::clone(monitor), target }
        })
        .collect();
    if checks.is_empty() {
        bail!("'{monitor}' is of type push: nobody is asked");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let probes = futures_util::future::join_all(checks.iter().map(probe));
    let probed = runtime.context("no runtime")?.block_on(probes);
    let mut seen = Seen::new();
    for (check, (outcome, trace, took)) in checks.iter().zip(&probed) {
        print(&tell(check, *outcome, trace, *took))?;
        seen.insert(&check.monitor.name, *outcome);
    }
    if is_composite {
        print(&format!("\n{}", together(found, &seen, 0)))?;
    }
    Ok(if belief(found, &seen) == Belief::Up { 0 } else { PROBLEMS })
}

/// How probes ended, by the names of their monitors.
type Seen<'m> = HashMap<&'m str, Result<(), Reason>>;

/// What one probe of each part comes to. What failed in this machine, or is not asked, is not
/// known.
fn belief(method: &Method, seen: &Seen<'_>) -> Belief {
    match method {
        Method::Probe(monitor, _) => match seen.get(&*monitor.name) {
            Some(Ok(())) => Belief::Up,
            Some(Err(reason)) if reason.is_evidence() => Belief::Down,
            Some(Err(_)) | None => Belief::Unknown,
        },
        Method::Composite(composite) => {
            let of = (0u32..).take(composite.of.len()).collect();
            let parts = Composite { need: composite.need, of };
            parts.belief(|place| belief(&composite.of[place as usize], seen))
        }
    }
}

/// A composite with its parts below it, a line each.
fn together(method: &Method, seen: &Seen<'_>, depth: usize) -> String {
    let (style, word) = match belief(method, seen) {
        Belief::Up => (GOOD, "success"),
        Belief::Unknown => (WARN, "not known"),
        _ => (BAD, "failure"),
    };
    let word = paint(style, word);
    let indent = "  ".repeat(depth);
    let name = method.name();
    match method {
        Method::Probe(monitor, _) => {
            let why = match seen.get(&*monitor.name) {
                Some(Ok(())) => String::new(),
                Some(Err(reason)) => format!(", {reason}"),
                None => ", for it is pushed and nobody is asked".to_owned(),
            };
            format!("{indent}{name}: {word}{why}\n")
        }
        Method::Composite(composite) => {
            let (need, of) = (composite.need, composite.of.len());
            let mut text = format!("{indent}{name} ({need} of {of} must serve): {word}\n");
            text.extend(composite.of.iter().map(|part| together(part, seen, depth + 1)));
            text
        }
    }
}

async fn probe(check: &Check) -> (Result<(), Reason>, Trace, Duration) {
    let asker = Asker::new(Roots::System, Arc::default());
    let mut trace = Trace::default();
    let begun = Instant::now();
    let asked = asker.ask(check, &mut trace);
    let outcome = tokio::time::timeout(check.monitor.timeout, asked).await;
    (outcome.unwrap_or(Err(Reason::TimedOut)), trace, begun.elapsed())
}

/// An address or a name, with the monitor's port unless it has one.
fn target_of(text: &str, port: u16) -> anyhow::Result<CheckTarget> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(CheckTarget::Address(address));
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(CheckTarget::Address(SocketAddr::new(address, port)));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().with_context(|| format!("no port in '{text}'"))?),
        None => (text, port),
    };
    let name = host.parse::<crate::wire::name::Name>();
    let name = name.with_context(|| format!("'{host}' is neither an address nor a name"))?;
    Ok(CheckTarget::Host(name.to_string().trim_end_matches('.').into(), port))
}

fn tell(check: &Check, outcome: Result<(), Reason>, trace: &Trace, took: Duration) -> String {
    let Monitor { kind, timeout, .. } = &*check.monitor;
    let mut out = format!("{}\n", paint(HEAD, format_args!("{} ({})", check.key, kind.word())));
    out.push_str(&table(2, &phases(trace, took, *timeout)));
    let facts = facts(trace);
    if !facts.is_empty() {
        out.push('\n');
        out.push_str(&table(2, &facts));
    }
    if !trace.text.is_empty() {
        out.push_str(&format!("\n{}", said(&trace.text)));
    }
    out.push('\n');
    out.push_str(&match outcome {
        Ok(()) => format!("{}\n", paint(GOOD, "success")),
        Err(reason) => {
            let word = if reason.is_evidence() {
                paint(BAD, "failure")
            } else {
                paint(WARN, "failure of this machine, which proves nothing")
            };
            let why = trace.complaint.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{word}: {reason}{why}\n")
        }
    });
    out
}

type Row = Vec<(anstyle::Style, String)>;

fn row(name: &str, value: impl Into<String>) -> Row {
    vec![(FAINT, name.to_owned()), (anstyle::Style::new(), value.into())]
}

fn phases(trace: &Trace, took: Duration, timeout: Duration) -> Vec<Row> {
    let phases = trace.facts.phases;
    let address = trace.address.map(|address| address.to_string());
    let mut rows = vec![row("address", address.unwrap_or_else(|| "not known".to_owned()))];
    let times = [
        ("resolve", phases.resolve_us),
        ("connect", phases.connect_us),
        ("TLS", phases.tls_us),
        ("first byte", phases.first_byte_us),
    ];
    let taken = times.into_iter().filter(|(_, time)| *time > 0);
    rows.extend(taken.map(|(name, time)| row(name, milliseconds(f64::from(time) / 1000.0))));
    let total = milliseconds(took.as_secs_f64() * 1000.0);
    let limit = milliseconds(timeout.as_secs_f64() * 1000.0);
    rows.push(row("total", format!("{total} of {limit}")));
    rows
}

fn milliseconds(time: f64) -> String {
    format!("{time:.1} ms")
}

fn facts(trace: &Trace) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(TlsSeen { version, alpn, subject, .. }) = &trace.tls {
        let alpn = alpn.as_ref().map(|alpn| format!(", {alpn}")).unwrap_or_default();
        rows.push(row("session", format!("{version}{alpn}")));
        rows.push(row("certificate", subject.to_string()));
    }
    if let Some(days) = trace.facts.certificate_days {
        rows.push(row("ends in", format!("{days} days")));
    }
    if let Some(HttpSeen { status, version, redirects, length }) = trace.http {
        let version = match version {
            20 => "HTTP/2",
            10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let length = length.map(|length| format!(", {length} octets")).unwrap_or_default();
        let led = match redirects {
            0 => String::new(),
            1 => ", after a redirect".to_owned(),
            more => format!(", after {more} redirects"),
        };
        rows.push(row("answer", format!("{version} {status}{length}{led}")));
    }
    if let Some(DnsSeen { rcode, authoritative, answers, .. }) = &trace.dns {
        let authoritative = if *authoritative { ", authoritative" } else { "" };
        rows.push(row("answer", format!("RCODE {rcode}{authoritative}")));
        rows.extend(answers.iter().map(|line| row("", line.clone())));
    }
    let share = |thousandths: u16| format!("{:.1} %", f64::from(thousandths) / 10.0);
    let facts = &trace.facts;
    rows.extend(facts.load.map(|load| row("load", share(load))));
    rows.extend(facts.errors.map(|errors| row("errors", share(errors))));
    rows.extend(facts.weight.map(|weight| row("weight", format!("{weight} %"))));
    rows.extend(facts.agent.map(|word| row("says", word.as_str())));
    rows
}

/// The beginning of what was read, a line of two spaces in front of each.
fn said(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
    let clean = |line: &str| line.chars().map(|c| if c.is_control() { '.' } else { c }).collect();
    let lines = shown.lines().map(|line| {
        let line: String = clean(line);
        format!("  {}\n", paint(FAINT, line))
    });
    let mut out: String = lines.collect();
    if text.len() > SHOWN {
        out.push_str(&format!("  {}\n", paint(FAINT, format_args!("… {} octets", text.len()))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_typed() {
        let of = |text: &str| target_of(text, 443).map(|target| target.to_string()).ok();
        assert_eq!(of("192.0.2.1").as_deref(), Some("192.0.2.1:443"));
        assert_eq!(of("192.0.2.1:80").as_deref(), Some("192.0.2.1:80"));
        assert_eq!(of("2001:db8::1").as_deref(), Some("[2001:db8::1]:443"));
        assert_eq!(of("[2001:db8::1]:80").as_deref(), Some("[2001:db8::1]:80"));
        assert_eq!(of("www.example.org:8443").as_deref(), Some("www.example.org:8443"));
        assert_eq!(of("www.example.org").as_deref(), Some("www.example.org:443"));
        assert_eq!(of("www.example.org:x"), None);
    }

    #[test]
    fn control_characters_of_strangers_are_not_drawn() {
        let told = said(b"a\x1b[31mb\nc");
        let plain = anstream::adapter::strip_str(&told).to_string();
        assert_eq!(plain, "  a.[31mb\n  c\n");
    }
}
