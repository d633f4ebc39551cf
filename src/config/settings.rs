//! `meridian.toml` into [`Settings`]. Every key has a default that works.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{Faults, Fields, Node, Value};
use super::{
    Aliases, Cookies, ExtendedErrors, Orders, Probe, Settings, Tcp, Vantages, abuse, aliases,
    bundle, bus, chaos, edns, guards, orders, terms, tls, vantages,
};
use crate::diagnostics::{Diagnostic, Span};
use crate::limit::networks::AudienceSpec;
use crate::pki::Role;
use crate::steer::safety::SafetySpec;
use crate::wire::chaos::Chaos;
use crate::wire::types::Ttl;

/// The settings, and what only the other files' readers need.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) settings: Settings,
    /// `defaults.ttl`.
    pub(super) ttl: Ttl,
    /// Where client subnets are turned off.
    pub(super) client_subnet_off: Option<Span>,
    /// `[area.NAME]`, to be read once groups are known.
    pub(super) areas: Option<Node>,
    /// Vantages, and the areas they name.
    pub(super) vantages: vantages::Read,
}

/// TTL of steered answers where nothing is written: 30 s. Health is seen within some nine
/// seconds (`report`), so a longer one would decide the failover time; a shorter one multiplies
/// queries for little, and resolvers with a minimum of their own (often 30 s) ignore it.
const TTL_DEFAULT: u32 = 30;

/// Reads `document`; without one everything has its default. `root` is the folder that paths
/// are relative to.
pub(super) fn read(document: Option<&Node>, root: &Path, faults: &mut Faults) -> Read {
    let mut read = Read {
        settings: defaults(root),
        ttl: Ttl::new(TTL_DEFAULT).unwrap_or(Ttl::MAX),
        client_subnet_off: None,
        areas: None,
        vantages: vantages::Read::default(),
    };
    let Some(mut fields) = document.and_then(|node| node.fields("meridian.toml", faults)) else {
        read.settings.databases = databases_in(&root.join("geo"));
        return read;
    };
    top(&mut fields, &mut read.settings, root, faults);
    geo(fields.get("geo"), &mut read.settings, root, faults);
    edns::edns(fields.get("edns"), &mut read, faults);
    let nsid = read.settings.nsid.as_deref();
    read.settings.chaos = chaos::chaos(fields.get("chaos"), nsid, faults);
    tcp(fields.get("tcp"), &mut read.settings.tcp, faults);
    read.settings.tls = tls::tls(fields.get("tls"), root, &read.settings.listen, faults);
    read.settings.cookies = abuse::cookies(fields.get("cookies"), root, faults);
    read.settings.rate_limit = abuse::rate_limit(fields.get("rate_limit"), faults);
    read.settings.bundle = bundle::bundle(fields.get("bundle"), faults);
    read.settings.orders = orders::orders(fields.get("orders"), faults);
    read.settings.bus = bus::bus(fields.get("bus"), Role::Node, root, faults);
    aliases::aliases(fields.get("aliases"), &mut read.settings.aliases, faults);
    probe(fields.get("probe"), &mut read.settings.probe, faults);
    let [list, health, node] = ["vantage", "health", "node"].map(|key| fields.get(key));
    read.vantages = vantages::read(list, health, node, root, faults);
    read.settings.vantages = read.vantages.vantages.clone();
    read.settings.safety = guards::safety(fields.get("safety"), faults);
    let state = &read.settings.state;
    read.settings.decisions = guards::log(fields.get("log"), root, state, faults);
    if let Some(mut defaults) = section(fields.get("defaults"), "defaults", faults) {
        let ttl = defaults.get("ttl").and_then(|node| terms::ttl(node, faults));
        read.ttl = ttl.unwrap_or(read.ttl);
        defaults.finish(faults);
    }
    read.areas = fields.get("area").cloned();
    fields.finish(faults);
    read
}

fn defaults(root: &Path) -> Settings {
    Settings {
        listen: vec![
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 53)),
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 53)),
        ],
        workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        zones: root.join("zones"),
        databases: Vec::new(),
        min_prefix: (24, 56),
        state: root.join("state"),
        api: Some(SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 8053))),
        udp_size: 1232,
        client_subnet: AudienceSpec::everybody(),
        nsid: None,
        chaos: Chaos::default(),
        extended_errors: ExtendedErrors {
            refusals: AudienceSpec::everybody(),
            steering: AudienceSpec { allow: Some(edns::LOOPBACK.to_vec()), deny: Vec::new() },
        },
        tcp: Tcp {
            idle_timeout: Duration::from_secs(10),
            connections: 1024,
            connections_per_client: 64,
        },
        tls: None,
        bundle: None,
        orders: Orders::default(),
        bus: None,
        cookies: Some(Cookies { require: false, secret_file: None, shared: None }),
        rate_limit: None,
        aliases: Aliases { resolvers: Vec::new(), max_stale: aliases::MAX_STALE },
        probe: Probe { concurrency: 256, per_host: 2, start_wait: Duration::from_secs(3) },
        safety: SafetySpec::default(),
        decisions: None,
        vantages: Vantages::default(),
    }
}

fn top(fields: &mut Fields<'_>, settings: &mut Settings, root: &Path, faults: &mut Faults) {
    if let Some(node) = fields.get("listen") {
        let items = node.one_or_list();
        if items.is_empty() {
            faults.push(node.error("no address to listen on").help("write listen = [\"[::]:53\"]"));
        }
        settings.listen = items.iter().filter_map(|item| socket(item, 53, faults)).collect();
    }
    if let Some(node) = fields.get("workers") {
        settings.workers = node.integer(1..=1024, faults).unwrap_or(settings.workers);
    }
    for (key, path) in [("zones", &mut settings.zones), ("state", &mut settings.state)] {
        if let Some(text) = fields.get(key).and_then(|node| node.text(faults)) {
            *path = root.join(text);
        }
    }
    if let Some(node) = fields.get("api") {
        let off = matches!(&node.value, Value::String(text) if text == "off");
        settings.api = if off { None } else { socket(node, 8053, faults) };
    }
}

fn geo(node: Option<&Node>, settings: &mut Settings, root: &Path, faults: &mut Faults) {
    let mut fields = section(node, "the section 'geo'", faults);
    match fields.as_mut().and_then(|fields| fields.get("databases")) {
        None => settings.databases = databases_in(&root.join("geo")),
        Some(list) => {
            for item in list.one_or_list() {
                let Some(text) = item.text(faults) else { continue };
                let path = root.join(text);
                if path.is_file() {
                    settings.databases.push(path);
                } else {
                    faults.push(item.error(format!("there is no file '{text}'")).help(
                        "paths are relative to the folder of meridian.toml; without the key every \
                         geo/*.mmdb is used",
                    ));
                }
            }
        }
    }
    let Some(mut fields) = fields else { return };
    if let Some(mut prefix) = section(fields.get("min_prefix"), "'min_prefix'", faults) {
        let mut length = |key, most: i64, default| {
            prefix.get(key).and_then(|node| node.integer(0..=most, faults)).unwrap_or(default)
        };
        settings.min_prefix = (length("ipv4", 32, 24), length("ipv6", 128, 56));
        prefix.finish(faults);
    }
    fields.finish(faults);
}

fn tcp(node: Option<&Node>, tcp: &mut Tcp, faults: &mut Faults) {
    let Some(mut fields) = section(node, "the section 'tcp'", faults) else { return };
    if let Some(node) = fields.get("idle_timeout") {
        let range = Duration::from_millis(100)..=Duration::from_secs(3600);
        tcp.idle_timeout = terms::duration(node, range, faults).unwrap_or(tcp.idle_timeout);
    }
    if let Some(node) = fields.get("connections") {
        tcp.connections = node.integer(1..=1_000_000, faults).unwrap_or(tcp.connections);
    }
    if let Some(node) = fields.get("connections_per_client") {
        tcp.connections_per_client =
            node.integer(1..=1_000_000, faults).unwrap_or(tcp.connections_per_client);
    }
    fields.finish(faults);
}

fn probe(node: Option<&Node>, probe: &mut Probe, faults: &mut Faults) {
    let Some(mut fields) = section(node, "the section 'probe'", faults) else { return };
    if let Some(node) = fields.get("concurrency") {
        probe.concurrency = node.integer(1..=65_536, faults).unwrap_or(probe.concurrency);
    }
    if let Some(node) = fields.get("per_host") {
        probe.per_host = node.integer(1..=1024, faults).unwrap_or(probe.per_host);
    }
    if let Some(wait) = fields.get("start_wait") {
        let range = Duration::ZERO..=Duration::from_secs(60);
        probe.start_wait = terms::duration(wait, range, faults).unwrap_or(probe.start_wait);
    }
    fields.finish(faults);
}

fn section<'n>(
    node: Option<&'n Node>,
    what: &'static str,
    faults: &mut Faults,
) -> Option<Fields<'n>> {
    node.and_then(|node| node.fields(what, faults))
}

pub(super) fn socket(node: &Node, port: u16, faults: &mut Faults) -> Option<SocketAddr> {
    let text = node.text(faults)?;
    let address = text.parse().ok();
    if address.is_none() {
        let fault =
            Diagnostic::error(format!("'{text}' is not an address with a port"), node.span.clone());
        let bare: Option<std::net::IpAddr> = text.trim_matches(['[', ']']).parse().ok();
        faults.push(match bare {
            Some(bare) => fault.help(format!("write \"{}\"", SocketAddr::new(bare, port))),
            None => fault.help(format!("write \"192.0.2.1:{port}\" or \"[2001:db8::1]:{port}\"")),
        });
    }
    address
}

/// Every database of the folder, by name.
fn databases_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "mmdb")).collect();
    found.sort();
    found
}
