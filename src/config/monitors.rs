//! `probes/monitors.toml`, and monitors written inline in a pool.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::decode::{Faults, Fields, Node, Value};
use super::regions::check_name;
use super::{suggest, terms};
use crate::diagnostics::{Diagnostic, Source, Span};
use crate::probe::monitor::{CheckTarget, Http, Kind, Monitor};

/// Defaults, from the budget of `health`: a refused connection is seen within 4.3 s, a black
/// hole within 8.8 s.
const INTERVAL: Duration = Duration::from_secs(2);
const FAST_INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(1500);
const RISE: u8 = 3;
const FALL: u8 = 3;

/// The named monitors.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    source: Option<Arc<Source>>,
    by_name: HashMap<String, Defined>,
}

/// A named monitor and where it is defined; `None` when its definition has faults.
#[derive(Debug)]
pub(super) struct Defined {
    pub(super) monitor: Option<Arc<Monitor>>,
    pub(super) place: Span,
}

/// A monitor as a pool uses it.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) monitor: Arc<Monitor>,
    /// Whom to ask instead of the member.
    pub(super) target: Option<CheckTarget>,
}

/// Reads the file.
pub(super) fn read(document: Option<(&Arc<Source>, &Node)>, faults: &mut Faults) -> Monitors {
    let mut monitors = Monitors::default();
    let Some((source, document)) = document else { return monitors };
    monitors.source = Some(Arc::clone(source));
    let Some(mut fields) = document.fields("probes/monitors.toml", faults) else {
        return monitors;
    };
    let table = fields.get("monitor").and_then(|node| node.table(faults));
    for entry in table.unwrap_or_default() {
        check_name("monitor", entry, faults);
        let place = entry.key_span.clone();
        let monitor = entry.node.fields("a monitor", faults).and_then(|mut fields| {
            let monitor = monitor(&entry.key, &mut fields, &place, faults);
            fields.finish(faults);
            monitor.map(Arc::new)
        });
        monitors.by_name.insert(entry.key.clone(), Defined { monitor, place });
    }
    fields.finish(faults);
    monitors
}

impl Monitors {
    /// What a pool's `monitor` means: a name, or a table of its own.
    pub(super) fn resolve(&self, node: &Node, pool: &str, faults: &mut Faults) -> Option<Used> {
        if let Value::Table(_) = node.value {
            let mut fields = node.fields("a monitor", faults)?;
            let monitor = monitor(&format!("pool.{pool}"), &mut fields, &node.span, faults);
            let port = monitor.as_ref().map_or(0, |monitor| monitor.port);
            let target = fields.get("target").and_then(|node| target(node, port, faults));
            fields.finish(faults);
            return Some(Used { monitor: Arc::new(monitor?), target });
        }
        let Value::String(name) = &node.value else {
            return node.expected("the name of a monitor, or a table", faults);
        };
        let Some(defined) = self.by_name.get(name) else {
            let mut names: Vec<&str> = self.by_name.keys().map(|name| &**name).collect();
            names.sort_unstable();
            let mut fault = node.error(format!("monitor '{name}' is not defined"));
            fault.help = suggest::help(name, &names, "monitors of probes/monitors.toml");
            if names.is_empty() {
                let help = format!("define it in probes/monitors.toml: [monitor.{name}]");
                fault.help = Some(help);
            }
            if let Some(near) = suggest::closest(name, names) {
                let place = self.by_name[near].place.clone();
                fault = fault.related(place, "a monitor of a like name");
            }
            faults.absent(self.source.as_ref(), fault);
            return None;
        };
        Some(Used { monitor: Arc::clone(defined.monitor.as_ref()?), target: None })
    }

    /// Every named monitor.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Defined)> {
        self.by_name.iter()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Http,
    Https,
    Tcp,
}

fn monitor(
    name: &str,
    fields: &mut Fields<'_>,
    place: &Span,
    faults: &mut Faults,
) -> Option<Monitor> {
    let types = [("http", Type::Http), ("https", Type::Https), ("tcp", Type::Tcp)];
    let kind = fields
        .required("type", place, faults)
        .map(|node| node.word("type of monitor", &types, faults));
    // What is asked of the keys of an unknown type would only confuse: read them as HTTPS.
    let known = kind.flatten();
    let http = http(fields, known, faults);
    let port = port(fields, known, place, faults);
    let timing = timing(fields, faults);
    let kind = match known? {
        Type::Tcp => Kind::Tcp,
        Type::Http | Type::Https => Kind::Http(http?),
    };
    let Timing { interval, fast_interval, timeout, rise, fall } = timing;
    Some(Monitor {
        name: name.into(),
        kind,
        port: port?,
        interval,
        fast_interval,
        timeout,
        rise,
        fall,
    })
}

fn http(fields: &mut Fields<'_>, kind: Option<Type>, faults: &mut Faults) -> Option<Http> {
    let keys = ["path", "host", "expect", "verify"].map(|key| fields.entry(key));
    if kind == Some(Type::Tcp) {
        for entry in keys.into_iter().flatten() {
            let message = format!("a tcp monitor has no '{}'", entry.key);
            let fault = Diagnostic::error(message, entry.key_span.clone());
            faults
                .push(fault.help("a tcp monitor only connects: use type = \"http\" or \"https\""));
        }
        return None;
    }
    let [path, host, expect, verify] = keys.map(|entry| entry.map(|entry| &entry.node));
    if let (Some(Type::Http), Some(node)) = (kind, verify) {
        faults.push(
            node.error("an http monitor has no certificate to verify")
                .help("remove the key, or use type = \"https\""),
        );
    }
    let path = path.map(|node| {
        let fits = |text: &str| {
            let plain = text.chars().all(|c| c.is_ascii_graphic());
            let good = text.starts_with('/') && plain;
            if good {
                Ok(text.into())
            } else {
                Err("a path begins with '/', without spaces".into())
            }
        };
        node.parsed("a path", fits, faults)
    });
    let host = host.map(|node| {
        let fits = |text: &str| {
            let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '/');
            if good { Ok(text.into()) } else { Err("a host name, without scheme and path".into()) }
        };
        node.parsed("a host", fits, faults)
    });
    let (status, body) = expectations(expect, faults);
    Some(Http {
        tls: kind != Some(Type::Http),
        path: path.unwrap_or_else(|| Some("/".into()))?,
        host: match host {
            None => None,
            Some(host) => Some(host?),
        },
        status,
        body,
        verify: verify.and_then(|node| node.boolean(faults)).unwrap_or(true),
    })
}

/// `expect = { status = …, body = … }`; 200 to 299 when nothing is written.
fn expectations(
    node: Option<&Node>,
    faults: &mut Faults,
) -> (Vec<RangeInclusive<u16>>, Option<Box<str>>) {
    let usual = vec![200..=299];
    let Some(mut fields) = node.and_then(|node| node.fields("expectations", faults)) else {
        return (usual, None);
    };
    let status = fields.get("status").map(|node| {
        let items = node.one_or_list().iter();
        items.flat_map(|item| statuses(item, faults)).collect::<Vec<_>>()
    });
    let body = fields.get("body").and_then(|node| node.text(faults)).map(Into::into);
    fields.finish(faults);
    (status.filter(|status| !status.is_empty()).unwrap_or(usual), body)
}

fn statuses(node: &Node, faults: &mut Faults) -> Vec<RangeInclusive<u16>> {
    if let Value::Integer(_) = node.value {
        let status: Option<u16> = node.integer(100..=599, faults);
        return status.map(|status| status..=status).into_iter().collect();
    }
    let parse = |text: &str| text.split(',').map(|part| status_range(part.trim())).collect();
    node.parsed("a set of statuses", parse, faults).unwrap_or_default()
}

fn status_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |text: &str| {
        let number = text.trim().parse().ok().filter(|status| (100..=599).contains(status));
        number.ok_or_else(|| "write \"200-299,301\"; statuses are 100 to 599".to_owned())
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let range = number(low)?..=number(high)?;
    if range.is_empty() { Err("the range is empty".to_owned()) } else { Ok(range) }
}

fn port(
    fields: &mut Fields<'_>,
    kind: Option<Type>,
    place: &Span,
    faults: &mut Faults,
) -> Option<u16> {
    if let Some(node) = fields.get("port") {
        return node.integer(1..=65_535, faults);
    }
    match kind? {
        Type::Http => Some(80),
        Type::Https => Some(443),
        // An inline monitor's target may carry the port.
        Type::Tcp if fields.get("target").is_some() => Some(0),
        Type::Tcp => {
            let fault = Diagnostic::error("a tcp monitor needs 'port'", place.clone());
            let fault = fault.help("add the port to connect to: port = 443");
            faults.absent(Some(&place.source), fault);
            None
        }
    }
}

struct Timing {
    interval: Duration,
    fast_interval: Duration,
    timeout: Duration,
    rise: u8,
    fall: u8,
}

fn timing(fields: &mut Fields<'_>, faults: &mut Faults) -> Timing {
    let hour = Duration::from_secs(3600);
    let tenth = Duration::from_millis(100);
    let mut read = |key, low, high, faults: &mut Faults| {
        fields.get(key).and_then(|node| terms::duration(node, low..=high, faults))
    };
    let interval = read("interval", tenth, hour, faults).unwrap_or(INTERVAL);
    let fast = read("fast_interval", tenth, hour, faults);
    let timeout = read("timeout", Duration::from_millis(10), Duration::from_secs(60), faults);
    if let (Some(fast), Some(node)) = (fast, fields.get("fast_interval"))
        && fast > interval
    {
        let fault = node.error("'fast_interval' is longer than 'interval'");
        faults.push(fault.label(format!("the interval is {}", terms::show(interval))));
    }
    let mut count = |key, usual| {
        fields.get(key).and_then(|node| node.integer(1..=100, faults)).unwrap_or(usual)
    };
    Timing {
        interval,
        fast_interval: fast.unwrap_or_else(|| FAST_INTERVAL.min(interval)),
        timeout: timeout.unwrap_or(TIMEOUT),
        rise: count("rise", RISE),
        fall: count("fall", FALL),
    }
}

/// `"198.51.100.53:53"`, `"host.example.net:8080"`, or without a port: the monitor's.
fn target(node: &Node, port: u16, faults: &mut Faults) -> Option<CheckTarget> {
    let parse = |text: &str| {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(CheckTarget::Address(address));
        }
        let (host, port) = match text.parse::<std::net::IpAddr>() {
            Ok(_) => (text, port),
            Err(_) => match text.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().unwrap_or(0)),
                None => (text, port),
            },
        };
        if port == 0 {
            return Err("the port is missing: \"192.0.2.1:443\"".to_owned());
        }
        if let Ok(address) = host.parse() {
            return Ok(CheckTarget::Address(SocketAddr::new(address, port)));
        }
        let name = host.parse::<crate::wire::name::Name>().map_err(|error| error.to_string())?;
        Ok(CheckTarget::Host(host_text(&name), port))
    };
    node.parsed("a target", parse, faults)
}

/// A name as resolvers and certificates know it: without the trailing dot.
pub(super) fn host_text(name: &crate::wire::name::Name) -> Box<str> {
    name.to_string().trim_end_matches('.').into()
}
