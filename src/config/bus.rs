//! `[bus]`: how probers and nodes hear of each other. The same section stands in `meridian.toml`
//! of a node and in the file of a probe agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::decode::{Faults, Fields, Node, Value};
use super::settings::socket;
use super::tls::{file, warn_of_readers};
use crate::bus::{Wiring, direct, nats};
use crate::pki::Role;
use crate::pki::material::{File, Material};
use crate::seal::is_signer;

/// The port of the direct bus: the one behind that of the API.
const PORT: u16 = 8054;

/// `[bus]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bus {
    /// `kind`, and where to.
    pub wiring: Wiring,
    /// What was made of the files.
    pub material: Material,
    /// `certificate`, `key`, `authority`: files in PEM, to be watched.
    pub files: [PathBuf; 3],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Direct,
    Nats,
}

const KINDS: &[(&str, Kind)] = &[("direct", Kind::Direct), ("nats", Kind::Nats)];

/// Reads `[bus]` of somebody who is `role`; `None` without it: all is in one process. `root` is
/// the folder that paths are relative to.
pub(super) fn bus(
    node: Option<&Node>,
    role: Role,
    root: &Path,
    faults: &mut Faults,
) -> Option<Bus> {
    let node = node?;
    let mut fields = node.fields("the section 'bus'", faults)?;
    let kind = fields.required("kind", &node.span, faults);
    let kind = kind.and_then(|kind| kind.word("kind", KINDS, faults));
    let listen = fields.get("listen");
    let nodes = fields.get("nodes");
    let servers = fields.get("servers");
    let wiring = kind.and_then(|kind| match kind {
        Kind::Direct => {
            not_of(servers, "servers", "nats", faults);
            direct(node, listen, nodes, role, faults)
        }
        Kind::Nats => {
            not_of(listen, "listen", "direct", faults);
            not_of(nodes, "nodes", "direct", faults);
            clusters(node, servers, faults)
        }
    });
    let identity = identity(&mut fields, node, role, root, faults);
    fields.finish(faults);
    let (material, files) = identity?;
    let mut wiring = wiring?;
    if let (Wiring::Direct(setup), Some(own)) = (&mut wiring, material.name_as(Role::Node)) {
        // All nodes may have the same list.
        setup.nodes.remove(own);
    }
    Some(Bus { wiring, material, files })
}

fn not_of(node: Option<&Node>, key: &str, kind: &str, faults: &mut Faults) {
    if let Some(node) = node {
        let fault = node.error(format!("'{key}' is of a bus with kind = \"{kind}\""));
        faults.push(fault);
    }
}

fn direct(
    section: &Node,
    listen: Option<&Node>,
    nodes: Option<&Node>,
    role: Role,
    faults: &mut Faults,
) -> Option<Wiring> {
    let mut setup = direct::Setup::default();
    match (listen, role) {
        (Some(node), Role::Vantage) => {
            let fault = node.error("nobody connects to a vantage");
            faults.push(fault.help("it speaks to the nodes by itself: nodes = { … }"));
        }
        (None, Role::Node) => {
            let fault = section.error("a node on a direct bus listens for others");
            faults.push(fault.help(format!("write listen = \"[::]:{PORT}\"")));
        }
        (Some(node), Role::Node) => {
            let items = node.one_or_list();
            setup.listen = items.iter().filter_map(|item| socket(item, PORT, faults)).collect();
        }
        (None, Role::Vantage) => {}
    }
    match nodes {
        Some(node) => setup.nodes = addresses(node, faults)?,
        None if role == Role::Vantage => {
            let fault = section.error("there is no node to report to");
            faults.push(fault.help(format!("write nodes = {{ fra-1 = \"192.0.2.1:{PORT}\" }}")));
        }
        None => {}
    }
    Some(Wiring::Direct(setup))
}

fn addresses(node: &Node, faults: &mut Faults) -> Option<BTreeMap<String, std::net::SocketAddr>> {
    let mut nodes = BTreeMap::new();
    for entry in node.table(faults)? {
        if !is_signer(&entry.key) {
            let fault = entry.node.error(format!("no node can be called '{}'", entry.key));
            faults.push(fault.help("names are of small letters, digits and hyphens, 63 at most"));
        } else if let Some(address) = socket(&entry.node, PORT, faults) {
            nodes.insert(entry.key.clone(), address);
        }
    }
    Some(nodes)
}

/// A list of servers is one cluster; a list of such lists is several.
fn clusters(section: &Node, servers: Option<&Node>, faults: &mut Faults) -> Option<Wiring> {
    let Some(node) = servers else {
        let fault = section.error("there is no server to connect to");
        faults.push(fault.help("write servers = [\"tls://nats-1.example.org:4222\"]"));
        return None;
    };
    let items = node.list(faults)?;
    let lists = items.iter().any(|item| matches!(item.value, Value::Array(_)));
    let groups: Vec<&[Node]> =
        if lists { items.iter().map(Node::one_or_list).collect() } else { vec![items] };
    let mut clusters = Vec::new();
    for group in groups {
        let servers = group.iter().filter_map(|item| item.parsed("a server", server, faults));
        clusters.push(servers.collect::<Vec<_>>());
    }
    if clusters.iter().any(Vec::is_empty) && !faults.any_error() {
        faults.push(node.error("a cluster has at least one server"));
    }
    Some(Wiring::Nats(nats::Setup { clusters }))
}

fn server(text: &str) -> Result<String, String> {
    if nats::is_server(text) {
        return Ok(text.to_owned());
    }
    Err("write \"tls://nats-1.example.org:4222\"".to_owned())
}

fn identity(
    fields: &mut Fields<'_>,
    section: &Node,
    role: Role,
    root: &Path,
    faults: &mut Faults,
) -> Option<(Material, [PathBuf; 3])> {
    let certificate = file(fields, "certificate", section, root, faults);
    let key = file(fields, "key", section, root, faults);
    let authority = file(fields, "authority", section, root, faults);
    let (certificate, key, authority) = (certificate?, key?, authority?);
    warn_of_readers(key.0, &key.1, faults);
    let material = match Material::read(&certificate.2, &key.2, &authority.2) {
        Ok(material) => material,
        Err(found) => {
            for fault in found {
                let node = match fault.file {
                    File::Certificate => certificate.0,
                    File::Key => key.0,
                    File::Authority => authority.0,
                };
                faults.push(node.error(fault.what));
            }
            return None;
        }
    };
    if material.name_as(role).is_none() {
        let role = role.as_str();
        let fault = certificate.0.error(format!("this certificate is for no {role}"));
        let help = format!("make one: meridian pki issue DIR NAME --{role}");
        faults.push(fault.help(help));
        return None;
    }
    Some((material, [certificate.1, key.1, authority.1]))
}
