//! `[vantage.NAME]`, `[health]` and `[node]`: who probes, and how their votes become verdicts.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::decode::{Entry, Faults, Fields, Node};
use super::{agent, suggest, terms};
use crate::diagnostics::{Diagnostic, Span};
use crate::health::council::{Quorum, Rules};
use crate::health::intake::VantageSpec;
use crate::seal::{self, PublicKey, SigningKey};

/// Most vantages of one configuration.
const VANTAGES_MAX: usize = 256;
/// With fewer voters nothing is concluded, unless something else is written.
const VOTERS: u16 = 3;

/// Who probes. Without vantages the daemon's own prober decides alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vantages {
    /// `[vantage.NAME]`, in the order written.
    pub list: Vec<VantageSpec>,
    /// `node.vantage`: the one that is this node's own prober.
    pub own: Option<Box<str>>,
    /// `node.key`: what this node seals the probe sets with that it gives to vantages. Without it
    /// vantages probe what their own files say.
    pub key: Option<Arc<SigningKey>>,
    /// `vantage.NAME.networks`: the clients whose ways to regions are those of a vantage, by name.
    pub networks: BTreeMap<Box<str>, Vec<(IpAddr, u8)>>,
    /// `health.voters`.
    pub voters: u16,
    /// `health.quorum`.
    pub quorum: Option<Quorum>,
}

impl Vantages {
    /// True when this node probes: always when it is alone, else when it is a vantage.
    pub const fn node_probes(&self) -> bool {
        self.list.is_empty() || self.own.is_some()
    }
}

/// What was read, and what can only be looked at when more is known.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) vantages: Vantages,
    /// The areas that vantages name, and where.
    areas: Vec<(Box<str>, Span)>,
}

/// Reads the three sections.
pub(super) fn read(
    list: Option<&Node>,
    health: Option<&Node>,
    node: Option<&Node>,
    root: &Path,
    faults: &mut Faults,
) -> Read {
    let mut read = Read::default();
    read.vantages.voters = VOTERS;
    let (own, key) = itself(node, root, faults);
    read.vantages.key = key;
    let entries = list.and_then(|list| list.table(faults)).unwrap_or_default();
    let is_own = |entry: &Entry| own.is_some_and(|(name, _)| *name == *entry.key);
    for entry in entries.iter().take(VANTAGES_MAX) {
        read.add(entry, is_own(entry), faults);
    }
    if let Some(entry) = entries.get(VANTAGES_MAX) {
        let message = format!("more than {VANTAGES_MAX} vantages");
        faults.push(Diagnostic::error(message, entry.key_span.clone()));
    }
    read.share_no_keys(entries, faults);
    if let Some((name, node)) = own {
        let names: Vec<&str> = entries.iter().map(|entry| &*entry.key).collect();
        if names.contains(&name) {
            read.vantages.own = Some(name.into());
        } else {
            let mut fault = node.error(format!("vantage '{name}' is not defined"));
            fault.help = suggest::help(name, &names, "vantages")
                .or_else(|| Some(format!("define it: [vantage.{name}]")));
            faults.push(fault);
        }
    }
    read.health(health, entries.len(), faults);
    read
}

/// The name of a vantage, and where it is written.
type Own<'n> = Option<(&'n str, &'n Node)>;

/// `[node]`: which vantage it is, and its key.
fn itself<'n>(
    node: Option<&'n Node>,
    root: &Path,
    faults: &mut Faults,
) -> (Own<'n>, Option<Arc<SigningKey>>) {
    let fields = node.and_then(|node| node.fields("the section 'node'", faults));
    let Some(mut fields) = fields else { return (None, None) };
    let own = fields.get("vantage").and_then(|node| Some((node.text(faults)?, node)));
    let key = fields.get("key").and_then(|node| agent::key(node, root, faults)).map(Arc::new);
    fields.finish(faults);
    (own, key)
}

impl Read {
    fn add(&mut self, entry: &Entry, is_own: bool, faults: &mut Faults) {
        let name = &entry.key;
        if !seal::is_signer(name) {
            let message = format!("'{name}' cannot be the name of a vantage");
            let fault = Diagnostic::error(message, entry.key_span.clone());
            faults.push(fault.help(
                "names have 1 to 63 small letters, digits and '-', and no '-' at either end",
            ));
        }
        let Some(mut fields) = entry.node.fields("a vantage", faults) else { return };
        let key = match fields.get("key") {
            Some(node) => node.parsed("a key", public_key, faults),
            None if is_own => None,
            None => {
                if !fields.has_slip_of("key") {
                    let message = format!("vantage '{name}' needs 'key'");
                    let fault = Diagnostic::error(message, entry.key_span.clone());
                    faults.push(fault.help(
                        "write the key its reports are signed with: key = \"ed25519:…\"; only the \
                         vantage that [node] names may go without",
                    ));
                }
                None
            }
        };
        let group = fields.get("group").and_then(|node| label(node, "a group", faults));
        let area = fields.get("area").and_then(|node| {
            let area: Box<str> = node.text(faults)?.into();
            self.areas.push((area.clone(), node.span.clone()));
            Some(area)
        });
        let networks = fields.get("networks").map(Node::one_or_list).unwrap_or_default();
        let networks: Vec<_> =
            networks.iter().filter_map(|node| terms::network(node, faults)).collect();
        fields.finish(faults);
        let name: Box<str> = name.as_str().into();
        if !networks.is_empty() {
            self.vantages.networks.insert(name.clone(), networks);
        }
        let group = group.unwrap_or_else(|| name.clone());
        self.vantages.list.push(VantageSpec { name, key, group, area });
    }

    /// Whoever holds a key can speak for all that it belongs to.
    fn share_no_keys(&self, entries: &[Entry], faults: &mut Faults) {
        let mut seen: HashMap<PublicKey, &Span> = HashMap::new();
        for (vantage, entry) in self.vantages.list.iter().zip(entries) {
            let Some(key) = vantage.key else { continue };
            if let Some(before) = seen.insert(key, &entry.key_span) {
                let message = format!("vantage '{}' has the key of another one", vantage.name);
                let fault = Diagnostic::error(message, entry.key_span.clone());
                let fault = fault.help("make one with `meridian pki` for each vantage");
                faults.push(fault.related(before.clone(), "the same key"));
            }
        }
    }

    /// `[health]`.
    fn health(&mut self, node: Option<&Node>, vantages: usize, faults: &mut Faults) {
        let Some(mut fields) = node.and_then(|node| node.fields("the section 'health'", faults))
        else {
            return;
        };
        let Rules { quorum, voters, .. } = rules(&mut fields, Some(vantages), faults);
        fields.finish(faults);
        self.vantages.quorum = quorum;
        self.vantages.voters = voters.unwrap_or(VOTERS);
    }

    /// Complains of areas that nobody defined.
    pub(super) fn check_areas(&self, areas: &[&str], faults: &mut Faults) {
        for (name, place) in &self.areas {
            if areas.contains(&&**name) {
                continue;
            }
            let mut fault =
                Diagnostic::error(format!("area '{name}' is not defined"), place.clone());
            fault.help = suggest::help(name, areas, "areas")
                .or_else(|| Some(format!("define it: [area.{name}] match = …")));
            faults.push(fault);
        }
    }
}

/// `quorum` and `voters`, of all checks or of a monitor's, among so many vantages where that is
/// known.
pub(super) fn rules(
    fields: &mut Fields<'_>,
    vantages: Option<usize>,
    faults: &mut Faults,
) -> Rules {
    let entries = ["quorum", "voters"].map(|key| fields.entry(key));
    if vantages == Some(0) {
        for entry in entries.into_iter().flatten() {
            let message = format!("'{}' without vantages", entry.key);
            let fault = Diagnostic::error(message, entry.key_span.clone());
            faults.push(fault.help("define them: [vantage.NAME]; alone, a prober decides"));
        }
        return Rules::default();
    }
    let most = vantages.unwrap_or(VANTAGES_MAX);
    let [wanted, voters] = entries.map(|entry| entry.map(|entry| &entry.node));
    Rules {
        quorum: wanted.and_then(|node| quorum(node, most, faults)),
        voters: voters.and_then(|node| node.integer(1..=most as i64, faults)),
        certificate_days: None,
    }
}

/// `"3/5"`, of at most so many vantages as there are.
fn quorum(node: &Node, vantages: usize, faults: &mut Faults) -> Option<Quorum> {
    let parse = |text: &str| {
        let form = || "write \"3/5\": up when three of five say so".to_owned();
        let (need, of) = text.split_once('/').ok_or_else(form)?;
        let number = |text: &str| text.trim().parse::<u16>().map_err(|_| form());
        let quorum = Quorum { need: number(need)?, of: number(of)? };
        if quorum.need == 0 || quorum.need > quorum.of {
            return Err("at least 1, and not more than of how many".to_owned());
        }
        Ok(quorum)
    };
    let quorum: Quorum = node.parsed("a quorum", parse, faults)?;
    if usize::from(quorum.of) > vantages {
        let plural = if vantages == 1 { "vantage" } else { "vantages" };
        let fault = node.error(format!("a quorum of {} vantages", quorum.of));
        faults.push(fault.label(format!("there are {vantages} {plural}")));
        return None;
    }
    Some(quorum)
}

fn public_key(text: &str) -> Result<PublicKey, String> {
    text.parse().map_err(|fault: seal::key::NoPublicKey| fault.to_string())
}

/// Names of groups stand in tables and metrics.
fn label(node: &Node, what: &str, faults: &mut Faults) -> Option<Box<str>> {
    let parse = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if (1..=63).contains(&text.len()) && text.chars().all(fits) {
            Ok(text.into())
        } else {
            Err("names have 1 to 63 letters, digits, '-' and '_'".to_owned())
        }
    };
    node.parsed(what, parse, faults)
}
