//! The file of a probe agent, and monitors read alone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::decode::{self, Faults, Fields, Node};
use super::settings::socket;
use super::{Bus, bus, monitors, terms};
use crate::diagnostics::{Diagnostic, Source};
use crate::pki::Role;
use crate::probe::monitor::{Check, Method};
use crate::probe::schedule::Limits;
use crate::probe::set::{MAX_CANARIES, ProbeSet};
use crate::seal::{PublicKey, SigningKey, is_signer};

/// Where an agent shows its metrics: the blackbox exporter's port.
const METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 9115);

/// The file of an agent.
#[derive(Debug)]
pub struct AgentConfig {
    /// `name`: the vantage's.
    pub name: Box<str>,
    /// `key`: what reports are sealed with.
    pub key: Option<SigningKey>,
    /// `[bus]`: how nodes are reached; nothing is reported without it.
    pub bus: Option<Bus>,
    /// `nodes`: whose probe sets are believed.
    pub nodes: HashMap<Box<str>, PublicKey>,
    /// `state`: folder for what must survive a restart. Default `state`.
    pub state: PathBuf,
    /// `metrics`: where they are shown; `None` for `"off"`. Default `127.0.0.1:9115`.
    pub metrics: Option<SocketAddr>,
    /// `period`: time between two reports. Default 1 s.
    pub period: Duration,
    /// `concurrency`, `per_host`: probes under way at once. Default 256 and 2.
    pub limits: Limits,
    /// `[[check]]` and `[[canary]]`.
    pub set: ProbeSet,
}

/// Reads an agent's file.
pub fn load_agent(path: &Path) -> (Option<AgentConfig>, Vec<Diagnostic>) {
    let mut faults = Faults::default();
    let config = source(path, &mut faults).and_then(|source| read(&source, path, &mut faults));
    let config = config.filter(|_| !faults.any_error());
    (config, faults.finish())
}

/// Reads the monitors that `path` leads to: a folder with `probes/monitors.toml`, the
/// `meridian.toml` beside it, or a file of monitors itself. Those without a fault come out.
pub fn load_monitors(path: &Path) -> (Vec<Method>, Vec<Diagnostic>) {
    let mut faults = Faults::default();
    let parent = || path.parent().map(Path::to_owned).unwrap_or_default();
    let file = match path.file_name() {
        _ if path.is_dir() => path.join("probes/monitors.toml"),
        Some(name) if name == "meridian.toml" => parent().join("probes/monitors.toml"),
        _ => path.to_owned(),
    };
    let mut all = Vec::new();
    if let Some(source) = source(&file, &mut faults) {
        let document = decode::parse(&source, &mut faults);
        let monitors = monitors::read(Some((&source, &document)), None, &mut faults);
        all = monitors.all().filter_map(|(_, defined)| defined.method.clone()).collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
    }
    (all, faults.finish())
}

fn source(path: &Path, faults: &mut Faults) -> Option<Arc<Source>> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = PathBuf::from(path.file_name().unwrap_or(path.as_os_str()));
    match Source::read(parent.unwrap_or_else(|| Path::new(".")), &name) {
        Ok(source) => Some(source),
        Err(error) => {
            let message = format!("cannot read '{}': {error}", path.display());
            faults.push(Diagnostic::unplaced(message));
            None
        }
    }
}

fn read(source: &Arc<Source>, path: &Path, faults: &mut Faults) -> Option<AgentConfig> {
    let root = path.parent().map(Path::to_owned).unwrap_or_default();
    let document = decode::parse(source, faults);
    let mut fields = document.fields("an agent's file", faults)?;
    let place = fields.span().clone();
    let name = fields.required("name", &place, faults).and_then(|node| signer(node, faults));
    let key = fields.get("key").and_then(|node| key(node, &root, faults));
    let nodes = fields.get("nodes").map(|node| nodes(node, faults)).unwrap_or_default();
    let bus = bus::bus(fields.get("bus"), Role::Vantage, &root, faults);
    let state = fields.get("state").and_then(|node| node.text(faults)).unwrap_or("state");
    let metrics = match fields.get("metrics") {
        None => Some(SocketAddr::from(METRICS)),
        Some(node) if node.text(faults) == Some("off") => None,
        Some(node) => socket(node, METRICS.1, faults),
    };
    let second = Duration::from_secs(1);
    let range = Duration::from_millis(100)..=60 * second;
    let period = fields.get("period").and_then(|node| terms::duration(node, range, faults));
    let mut count = |key, most, usual| {
        fields.get(key).and_then(|node| node.integer(1..=most, faults)).unwrap_or(usual)
    };
    let limits = Limits {
        concurrency: count("concurrency", 65_536, 256),
        per_host: count("per_host", 1024, 2),
    };
    let defined = monitors::table(source, fields.get("monitor"), None, faults);
    let checks = checks(&mut fields, "check", &defined, faults);
    let canaries = checks_of_canaries(&mut fields, &defined, faults);
    fields.finish(faults);
    Some(AgentConfig {
        name: name?,
        key,
        bus,
        nodes,
        state: root.join(state),
        metrics,
        period: period.unwrap_or(second),
        limits,
        // The first set of a node is newer.
        set: ProbeSet { revision: 0, checks, canaries },
    })
}

fn signer(node: &Node, faults: &mut Faults) -> Option<Box<str>> {
    let parse = |text: &str| {
        let good = is_signer(text);
        if good { Ok(text.into()) } else { Err("small letters, digits and hyphens".to_owned()) }
    };
    node.parsed("a name", parse, faults)
}

/// The key in the file that `node` names.
pub(super) fn key(node: &Node, root: &Path, faults: &mut Faults) -> Option<SigningKey> {
    let path = root.join(node.text(faults)?);
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    let read = read.and_then(|pem| SigningKey::from_pem(&pem).map_err(|fault| fault.to_string()));
    match read {
        Ok(key) => Some(key),
        Err(why) => {
            faults.push(node.error(format!("no key in '{}'", path.display())).label(why));
            None
        }
    }
}

fn nodes(node: &Node, faults: &mut Faults) -> HashMap<Box<str>, PublicKey> {
    let mut nodes = HashMap::new();
    for entry in node.table(faults).unwrap_or_default() {
        if !is_signer(&entry.key) {
            let message = format!("no node can be called '{}'", entry.key);
            faults.push(Diagnostic::error(message, entry.key_span.clone()));
        }
        let parse = |text: &str| text.parse::<PublicKey>().map_err(|fault| fault.to_string());
        if let Some(key) = entry.node.parsed("a public key", parse, faults) {
            nodes.insert(entry.key.as_str().into(), key);
        }
    }
    nodes
}

/// `[[canary]]`.
fn checks_of_canaries(
    fields: &mut Fields<'_>,
    monitors: &monitors::Monitors,
    faults: &mut Faults,
) -> Vec<Check> {
    let node = fields.get("canary");
    let canaries = checks(fields, "canary", monitors, faults);
    if let Some(node) = node.filter(|_| canaries.len() > MAX_CANARIES) {
        faults.push(node.error(format!("more than {MAX_CANARIES} canaries")));
    }
    canaries
}

/// `[[check]]`: a monitor and targets. Equal ones are one.
fn checks(
    fields: &mut Fields<'_>,
    key: &'static str,
    monitors: &monitors::Monitors,
    faults: &mut Faults,
) -> Vec<Check> {
    let mut all: Vec<Check> = Vec::new();
    let items = fields.get(key).and_then(|node| node.list(faults)).unwrap_or_default();
    for item in items {
        let Some(mut inner) = item.fields("a check", faults) else { continue };
        let monitor = inner.required("monitor", &item.span, faults);
        let used = monitor.and_then(|node| monitors.resolve(node, key, faults));
        let targets = inner.required("target", &item.span, faults);
        for node in targets.map(Node::one_or_list).unwrap_or_default() {
            let Some(used) = &used else { continue };
            let method = &used.method;
            let is_composite = matches!(method, Method::Composite(_));
            let Some(target) = monitors::target(node, method.port(), is_composite, faults) else {
                continue;
            };
            for monitor in method.monitors() {
                let port = if is_composite { monitor.port } else { target.port() };
                let target = target.clone().with_port(port);
                let key = format!("{}@{target}", monitor.name).into();
                if !all.iter().any(|check| check.key == key) {
                    all.push(Check { key, monitor: Arc::clone(monitor), target });
                }
            }
        }
        inner.finish(faults);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::render;

    fn told(text: &str) -> (Option<AgentConfig>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate().expect("a key").to_pem().expect("a text");
        std::fs::write(folder.path().join("key.pem"), key).expect("written");
        let file = folder.path().join("probe.toml");
        std::fs::write(&file, text).expect("written");
        let (config, faults) = load_agent(&file);
        (config, render(&faults))
    }

    #[test]
    fn an_agents_file_is_read() {
        let (config, faults) = told(
            "name = \"fra-1\"\nkey = \"key.pem\"\nmetrics = \"off\"\nperiod = \"500ms\"\n\
             [monitor.web]\ntype = \"https\"\nhost = \"www.example.org\"\n\
             [monitor.port]\ntype = \"tcp\"\nport = 443\n\
             [[check]]\nmonitor = \"web\"\ntarget = [\"192.0.2.10\", \"192.0.2.11:8443\", \"192.0.2.10\"]\n\
             [[canary]]\nmonitor = \"port\"\ntarget = \"192.0.2.1\"\n",
        );
        assert_eq!(faults, "");
        let config = config.expect("no fault");
        let keys: Vec<&str> = config.set.checks.iter().map(|check| &*check.key).collect();
        assert_eq!(keys, ["web@192.0.2.10:443", "web@192.0.2.11:8443"]);
        assert_eq!(&*config.set.canaries[0].key, "port@192.0.2.1:443");
        assert_eq!((config.metrics, config.period), (None, Duration::from_millis(500)));
        assert!(config.key.is_some());
        config.set.encode().expect("what a file says can be sent");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let (config, faults) = told(
            "name = \"Fra 1\"\nkey = \"none.pem\"\nmetric = \"off\"\nperiod = \"1ms\"\n\
             [nodes]\nn1 = \"ed25519:x\"\n[[check]]\nmonitor = \"web\"\ntarget = \"192.0.2.10\"\n\
             [[check]]\nmonitor = \"web\"\n",
        );
        assert!(config.is_none());
        for part in [
            "'Fra 1' is not a name",
            "no key in",
            "unknown key 'metric'",
            "duration out of range",
            "is not a public key",
            "monitor 'web' is not defined",
            "a check needs 'target'",
        ] {
            assert!(faults.contains(part), "{part}:\n{faults}");
        }
    }
}
