//! `probes/monitors.toml`, and monitors written inline in a pool.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::decode::{Faults, Fields, Node, Value};
use super::monitor_kinds::{self, Type};
use super::regions::check_name;
use super::{composites, suggest, terms, vantages};
use crate::diagnostics::{Diagnostic, Source, Span};
use crate::health::council::Rules;
use crate::probe::monitor::{CheckTarget, FamilyChoice, Method, Monitor, Way};

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
    /// Names of those that are parts of composites.
    parts: HashSet<String>,
    /// How many vantages vote, where that is known.
    vantages: Option<usize>,
}

/// A named monitor and where it is defined; `None` when its definition has faults.
#[derive(Debug)]
pub(super) struct Defined {
    pub(super) method: Option<Method>,
    pub(super) place: Span,
}

/// A monitor as a pool uses it.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) method: Method,
    /// Whom to ask instead of the member.
    pub(super) target: Option<CheckTarget>,
}

/// Reads the file; `vantages` is how many vote on what the monitors say, where that is known.
pub(super) fn read(
    document: Option<(&Arc<Source>, &Node)>,
    vantages: Option<usize>,
    faults: &mut Faults,
) -> Monitors {
    let Some((source, document)) = document else {
        return Monitors { vantages, ..Monitors::default() };
    };
    let Some(mut fields) = document.fields("probes/monitors.toml", faults) else {
        return Monitors { source: Some(Arc::clone(source)), vantages, ..Monitors::default() };
    };
    let monitors = table(source, fields.get("monitor"), vantages, faults);
    fields.finish(faults);
    monitors
}

/// Reads `[monitor.NAME]` of any file.
pub(super) fn table(
    source: &Arc<Source>,
    node: Option<&Node>,
    vantages: Option<usize>,
    faults: &mut Faults,
) -> Monitors {
    let source = Some(Arc::clone(source));
    let mut monitors = Monitors { source, vantages, ..Monitors::default() };
    let mut composites = Vec::new();
    let table = node.and_then(|node| node.table(faults));
    for entry in table.unwrap_or_default() {
        check_name("monitor", entry, faults);
        let place = entry.key_span.clone();
        let mut method = None;
        if let Some(mut fields) = entry.node.fields("a monitor", faults) {
            match written(&entry.key, &mut fields, (&place, vantages), faults) {
                Some(Written::Probe(monitor, rules)) => {
                    method = Some(Method::Probe(monitor, rules));
                }
                Some(Written::Composite(draft)) => composites.push(draft),
                None => {}
            }
            fields.finish(faults);
        }
        monitors.by_name.insert(entry.key.clone(), Defined { method, place });
    }
    let parts = composites.iter().flat_map(composites::Draft::parts);
    monitors.parts = parts.map(str::to_owned).collect();
    composites::combine(composites, &mut monitors, faults);
    monitors
}

impl Monitors {
    /// What a pool's `monitor` means: a name, or a table of its own.
    pub(super) fn resolve(&self, node: &Node, pool: &str, faults: &mut Faults) -> Option<Used> {
        if let Value::Table(_) = node.value {
            let mut fields = node.fields("a monitor", faults)?;
            let name = format!("pool.{pool}");
            let written = written(&name, &mut fields, (&node.span, self.vantages), faults);
            let method = written.and_then(|written| match written {
                Written::Probe(monitor, rules) => Some(Method::Probe(monitor, rules)),
                Written::Composite(draft) => {
                    draft.look_up(self, faults);
                    draft.build(self)
                }
            });
            let port = method.as_ref().map_or(0, Method::port);
            let has_no_port = method.as_ref().is_some_and(Method::has_no_port);
            let target = fields.get("target").and_then(|node| {
                let target = target(node, port, has_no_port, faults)?;
                let is_composite = matches!(method, Some(Method::Composite(_)));
                if is_composite && target.port() != 0 {
                    let fault = node.error("the target of a composite has no port");
                    faults.push(fault.help("each of its parts has its own"));
                }
                Some(target)
            });
            fields.finish(faults);
            return Some(Used { method: method?, target });
        }
        let Value::String(name) = &node.value else {
            return node.expected("the name of a monitor, or a table", faults);
        };
        let method = self.find(name, &node.span, faults)?.method.clone()?;
        Some(Used { method, target: None })
    }

    /// The monitor that is called `name` at `place`; complains where there is none.
    pub(super) fn find(&self, name: &str, place: &Span, faults: &mut Faults) -> Option<&Defined> {
        let found = self.by_name.get(name);
        if found.is_none() {
            let mut names: Vec<&str> = self.by_name.keys().map(|name| &**name).collect();
            names.sort_unstable();
            let message = format!("monitor '{name}' is not defined");
            let mut fault = Diagnostic::error(message, place.clone());
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
        }
        found
    }

    /// What `name` stands for, where that is known and has no fault.
    pub(super) fn method(&self, name: &str) -> Option<&Method> {
        self.by_name.get(name)?.method.as_ref()
    }

    /// From here on `name` stands for `method`.
    pub(super) fn define(&mut self, name: &str, method: Method) {
        if let Some(defined) = self.by_name.get_mut(name) {
            defined.method = Some(method);
        }
    }

    /// True where a composite names it.
    pub(super) fn is_part(&self, name: &str) -> bool {
        self.parts.contains(name)
    }

    /// Every named monitor.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Defined)> {
        self.by_name.iter()
    }
}

/// A monitor as it is written, with what follows from its votes; or what is put together later.
enum Written {
    Probe(Arc<Monitor>, Rules),
    Composite(composites::Draft),
}

fn written(
    name: &str,
    fields: &mut Fields<'_>,
    (place, vantages): (&Span, Option<usize>),
    faults: &mut Faults,
) -> Option<Written> {
    let known = fields
        .required("type", place, faults)
        .and_then(|node| node.word("type of monitor", &Type::WORDS, faults));
    if known == Some(Type::Composite) {
        return Some(Written::Composite(composites::read(name, fields, place, faults)));
    }
    let is_inline = fields.get("target").is_some();
    let port = port(fields, known, is_inline, place, faults);
    let timing = timing(fields, known, faults);
    let way = way(fields, faults);
    let mut rules = vantages::rules(fields, vantages, faults);
    if known == Some(Type::Push) {
        // It is reported to one node, whose voice is all there is.
        rules.voters = rules.voters.or(Some(1));
    }
    rules.certificate_days = certificate_warn(fields.get("certificate_warn"), faults);
    let kind = monitor_kinds::read(fields, known, place, faults);
    let Timing { interval, fast_interval, slow_interval, timeout, rise, fall } = timing;
    let monitor = Monitor {
        name: name.into(),
        kind: kind?,
        port: port?,
        interval,
        fast_interval,
        slow_interval,
        timeout,
        rise,
        fall,
        way: way?,
    };
    Some(Written::Probe(Arc::new(monitor), rules))
}

fn port(
    fields: &mut Fields<'_>,
    kind: Option<Type>,
    is_inline: bool,
    place: &Span,
    faults: &mut Faults,
) -> Option<u16> {
    let node = fields.get("port");
    if kind == Some(Type::Push) {
        if let Some(node) = node {
            let fault = node.error("a push monitor has no 'port'");
            faults.push(fault.help("nobody is asked: remove the key"));
        }
        return Some(0);
    }
    if let Some(node) = node {
        return node.integer(1..=65_535, faults);
    }
    let kind = kind?;
    match kind.port() {
        Some(port) => Some(port),
        // An inline monitor's target may carry the port.
        None if is_inline => Some(0),
        None => {
            let word = kind.word();
            let fault = Diagnostic::error(format!("a {word} monitor needs 'port'"), place.clone());
            let fault = fault.help("add the port to connect to: port = 443");
            faults.absent(Some(&place.source), fault);
            None
        }
    }
}

/// `family`, `source` and `interface`.
fn way(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Way> {
    let mut way = Way::default();
    let mut sound = true;
    if let Some(node) = fields.get("family") {
        let words = [
            ("ipv4", FamilyChoice::V4),
            ("ipv6", FamilyChoice::V6),
            ("ipv4-first", FamilyChoice::V4First),
            ("ipv6-first", FamilyChoice::V6First),
        ];
        way.family = node.word("family", &words, faults).unwrap_or_default();
    }
    let source = fields.get("source");
    for node in source.map(Node::one_or_list).unwrap_or_default() {
        let parse = |text: &str| text.parse().map_err(|_| "write \"192.0.2.1\"".to_owned());
        let twice = match node.parsed("an address", parse, faults) {
            None => {
                sound = false;
                None
            }
            Some(IpAddr::V4(address)) => way.source_v4.replace(address).map(|_| "IPv4"),
            Some(IpAddr::V6(address)) => way.source_v6.replace(address).map(|_| "IPv6"),
        };
        if let Some(family) = twice {
            sound = false;
            let fault = node.error(format!("a second source address of {family}"));
            faults.push(fault.help("one for each family: targets are of one or the other"));
        }
    }
    if let Some(node) = fields.get("interface") {
        /// `IFNAMSIZ` with its final zero.
        const NAME_MAX: usize = 15;
        let parse = |text: &str| {
            let good = (1..=NAME_MAX).contains(&text.len())
                && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'/');
            if good { Ok(text.into()) } else { Err("write \"eth0\"".to_owned()) }
        };
        way.interface = node.parsed("the name of an interface", parse, faults);
        sound &= way.interface.is_some();
    }
    sound.then_some(way)
}

/// `certificate_warn = "14d"`: whole days.
fn certificate_warn(node: Option<&Node>, faults: &mut Faults) -> Option<u16> {
    const DAY: Duration = Duration::from_secs(86_400);
    let node = node?;
    let time = terms::duration(node, DAY..=3650 * DAY, faults)?;
    if !time.as_secs().is_multiple_of(DAY.as_secs()) {
        faults.push(node.error("certificates are counted in whole days").help("write \"14d\""));
        return None;
    }
    u16::try_from(time.as_secs() / DAY.as_secs()).ok()
}

struct Timing {
    interval: Duration,
    fast_interval: Duration,
    slow_interval: Duration,
    timeout: Duration,
    rise: u8,
    fall: u8,
}

fn timing(fields: &mut Fields<'_>, kind: Option<Type>, faults: &mut Faults) -> Timing {
    let hour = Duration::from_secs(3600);
    let tenth = Duration::from_millis(100);
    let mut read = |key, low, high, faults: &mut Faults| {
        fields.get(key).and_then(|node| terms::duration(node, low..=high, faults))
    };
    let interval = read("interval", tenth, hour, faults).unwrap_or(INTERVAL);
    let fast = read("fast_interval", tenth, hour, faults);
    let slow = read("slow_interval", tenth, hour, faults);
    let timeout = read("timeout", Duration::from_millis(10), Duration::from_secs(60), faults);
    if let (Some(fast), Some(node)) = (fast, fields.get("fast_interval"))
        && fast > interval
    {
        let fault = node.error("'fast_interval' is longer than 'interval'");
        faults.push(fault.label(format!("the interval is {}", terms::show(interval))));
    }
    if let (Some(slow), Some(node)) = (slow, fields.get("slow_interval"))
        && slow < interval
    {
        let fault = node.error("'slow_interval' is shorter than 'interval'");
        faults.push(fault.label(format!("the interval is {}", terms::show(interval))));
    }
    // What somebody reports is decided already.
    let (rise, fall) = if kind == Some(Type::Push) { (1, 1) } else { (RISE, FALL) };
    let mut count = |key, usual| {
        fields.get(key).and_then(|node| node.integer(1..=100, faults)).unwrap_or(usual)
    };
    Timing {
        interval,
        fast_interval: fast.unwrap_or_else(|| FAST_INTERVAL.min(interval)),
        slow_interval: slow.unwrap_or(interval),
        timeout: timeout.unwrap_or(TIMEOUT),
        rise: count("rise", rise),
        fall: count("fall", fall),
    }
}

/// `"198.51.100.53:53"`, `"host.example.net:8080"`, or without a port: the monitor's.
pub(super) fn target(
    node: &Node,
    port: u16,
    has_no_port: bool,
    faults: &mut Faults,
) -> Option<CheckTarget> {
    let parse = |text: &str| {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(CheckTarget::Address(address));
        }
        let (host, port) = match text.parse::<IpAddr>() {
            Ok(_) => (text, port),
            Err(_) => match text.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().unwrap_or(0)),
                None => (text, port),
            },
        };
        if port == 0 && !has_no_port {
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
