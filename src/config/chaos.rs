//! `[chaos]`: what the server tells of itself in class CH.

use super::decode::{Faults, Node, Value};
use crate::wire::chaos::{Chaos, TEXT_MAX};
use crate::wire::name::Name;

/// What `true` stands for.
#[derive(Clone, Copy)]
enum Own {
    /// Program and version.
    Version,
    /// `edns.nsid`, so that both ways to ask get one answer; else the host's name.
    Identifier,
    /// The host's name.
    Host,
}

/// The keys, and the names they are for (RFC 4892 section 2).
const NAMES: [(&str, &str, Own); 4] = [
    ("version_bind", "version.bind", Own::Version),
    ("version_server", "version.server", Own::Version),
    ("id_server", "id.server", Own::Identifier),
    ("hostname_bind", "hostname.bind", Own::Host),
];

/// Reads `[chaos]`; `nsid` is what `edns.nsid` says.
pub(super) fn chaos(node: Option<&Node>, nsid: Option<&[u8]>, faults: &mut Faults) -> Chaos {
    let mut chaos = Chaos::default();
    let Some(mut fields) = node.and_then(|node| node.fields("the section 'chaos'", faults)) else {
        return chaos;
    };
    for (key, name, own) in NAMES {
        let text = fields.get(key).and_then(|node| text(node, own, nsid, faults));
        if let (Some(text), Ok(name)) = (text, name.parse::<Name>()) {
            chaos.add(&name, &text);
        }
    }
    fields.finish(faults);
    chaos
}

/// What is told, if anything is.
fn text(node: &Node, own: Own, nsid: Option<&[u8]>, faults: &mut Faults) -> Option<Vec<u8>> {
    let text = match &node.value {
        Value::Boolean(false) => return None,
        Value::Boolean(true) => match (own, nsid) {
            (Own::Version, _) => concat!("Meridian ", env!("CARGO_PKG_VERSION")).into(),
            (Own::Identifier, Some(nsid)) => nsid.to_vec(),
            (Own::Identifier | Own::Host, _) => host(node, faults)?,
        },
        Value::String(text) => text.as_bytes().to_vec(),
        _ => return node.expected("true, false, or a text in quotes", faults),
    };
    if text.is_empty() || text.len() > TEXT_MAX {
        let fault = node.error("a text of this length cannot be told");
        faults.push(fault.label(format!("1 to {TEXT_MAX} octets")));
        return None;
    }
    Some(text)
}

/// The host's name, as the kernel knows it.
fn host(node: &Node, faults: &mut Faults) -> Option<Vec<u8>> {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => Some(name.trim_end().into()),
        Err(error) => {
            let fault = node.error(format!("the host's name cannot be read: {error}"));
            faults.push(fault.help("write the name in quotes"));
            None
        }
    }
}
