//! `[bundle]`: whose zones and policies this node serves.

use std::collections::BTreeMap;

use super::decode::{Faults, Node};
use crate::seal::{PublicKey, is_signer};

/// Releases kept on disk where nothing is written: a working day of hourly ones.
const KEEP: usize = 10;

/// `[bundle]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// `publishers`: keys of those whose releases are served, by name.
    pub publishers: BTreeMap<String, PublicKey>,
    /// `keep`: how many releases are kept on disk. Default 10.
    pub keep: usize,
}

/// Reads `[bundle]`; `None` without it: a node serves the files beside its `meridian.toml`.
pub(super) fn bundle(node: Option<&Node>, faults: &mut Faults) -> Option<Bundle> {
    let node = node?;
    let mut fields = node.fields("the section 'bundle'", faults)?;
    let listed = fields.required("publishers", &node.span, faults);
    let without = "without a publisher nothing is ever served";
    let publishers = listed.map(|listed| keys(listed, "publisher", without, faults));
    let keep = fields.get("keep").and_then(|node| node.integer(1..=1000, faults));
    fields.finish(faults);
    Some(Bundle { publishers: publishers.unwrap_or_default(), keep: keep.unwrap_or(KEEP) })
}

/// Public keys by the names of their owners; `without` says what comes of an empty table.
pub(super) fn keys(
    listed: &Node,
    role: &str,
    without: &str,
    faults: &mut Faults,
) -> BTreeMap<String, PublicKey> {
    let mut keys = BTreeMap::new();
    let Some(entries) = listed.table(faults) else { return keys };
    for entry in entries {
        if !is_signer(&entry.key) {
            let fault = entry.node.error(format!("no {role} can be called '{}'", entry.key));
            faults.push(fault.help("names are of small letters, digits and hyphens, 63 at most"));
        }
        let read = |text: &str| text.parse().map_err(|fault| format!("{fault}"));
        if let Some(key) = entry.node.parsed("a public key", read, faults) {
            keys.insert(entry.key.clone(), key);
        }
    }
    if entries.is_empty() {
        let fault = listed.error(without);
        faults
            .push(fault.help("'meridian key generate FILE' makes a key and prints what to write"));
    }
    keys
}
