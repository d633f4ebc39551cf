//! `[edns]`: sizes, whose client subnets are believed, who the server is, and who is told why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::decode::{Faults, Fields, Node, Value};
use super::settings::Read;
use super::{ExtendedErrors, terms};
use crate::limit::networks::AudienceSpec;
use crate::wire::options::NSID_MAX;

/// Networks whose clients are told how they were steered, unless something else is written.
pub(super) const LOOPBACK: [(IpAddr, u8); 2] =
    [(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)];

/// Reads `[edns]`.
pub(super) fn edns(node: Option<&Node>, read: &mut Read, faults: &mut Faults) {
    let Some(mut fields) = node.and_then(|node| node.fields("the section 'edns'", faults)) else {
        return;
    };
    if let Some(node) = fields.get("udp_size") {
        // RFC 6891 section 6.2.5: 512 is the least; above 4096 nothing arrives unfragmented.
        read.settings.udp_size = node.integer(512..=4096, faults).unwrap_or(1232);
    }
    if let Some(node) = fields.get("client_subnet") {
        let whose = client_subnet(node, faults).unwrap_or_else(AudienceSpec::everybody);
        if whose == AudienceSpec::nobody() {
            read.client_subnet_off = Some(node.span.clone());
        }
        read.settings.client_subnet = whose;
    }
    read.settings.nsid = fields.get("nsid").and_then(|node| nsid(node, faults));
    let told = &mut read.settings.extended_errors;
    extended_errors(fields.get("extended_errors"), told, faults);
    fields.finish(faults);
}

/// Whose client subnets are believed: `true`, `false`, networks, or who is and who is not.
fn client_subnet(node: &Node, faults: &mut Faults) -> Option<AudienceSpec> {
    match &node.value {
        Value::Boolean(true) => Some(AudienceSpec::everybody()),
        Value::Boolean(false) => Some(AudienceSpec::nobody()),
        Value::String(text) if !text.contains(['.', ':']) => {
            node.expected("true, false, or a list of networks", faults)
        }
        Value::String(_) | Value::Array(_) => {
            Some(AudienceSpec { allow: Some(networks(node, faults)?), deny: Vec::new() })
        }
        Value::Table(_) => {
            let mut fields = node.fields("'client_subnet'", faults)?;
            let mut list = |key| match fields.get(key) {
                None => Some(None),
                Some(node) => networks(node, faults).map(Some),
            };
            let (allow, deny) = (list("allow"), list("deny"));
            fields.finish(faults);
            Some(AudienceSpec { allow: allow?, deny: deny?.unwrap_or_default() })
        }
        _ => node.expected("true, false, or a list of networks", faults),
    }
}

/// Networks; `None` when one of them is none.
fn networks(node: &Node, faults: &mut Faults) -> Option<Vec<(IpAddr, u8)>> {
    let items = node.one_or_list();
    let networks: Vec<_> = items.iter().filter_map(|item| terms::network(item, faults)).collect();
    (networks.len() == items.len()).then_some(networks)
}

/// What the server calls itself: a text, or octets in hexadecimal.
fn nsid(node: &Node, faults: &mut Faults) -> Option<Vec<u8>> {
    let octets = match &node.value {
        Value::Table(_) => {
            let mut fields = node.fields("'nsid'", faults)?;
            let hex = fields.required("hex", &node.span, faults);
            let octets =
                hex.and_then(|hex| hex.parsed("octets in hexadecimal", hexadecimal, faults));
            fields.finish(faults);
            octets?
        }
        _ => node.text(faults)?.as_bytes().to_vec(),
    };
    if octets.is_empty() || octets.len() > NSID_MAX {
        let fault = node.error("an identifier of this length is of no use");
        faults.push(fault.label(format!("1 to {NSID_MAX} octets")));
        return None;
    }
    Some(octets)
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.ok_or("digits are 0 to 9 and a to f")?;
    if digits.len() % 2 != 0 {
        return Err("two digits for each octet".to_owned());
    }
    Ok(digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit))
        .collect())
}

fn extended_errors(node: Option<&Node>, told: &mut ExtendedErrors, faults: &mut Faults) {
    let what = "the section 'edns.extended_errors'";
    let Some(mut fields) = node.and_then(|node| node.fields(what, faults)) else { return };
    told.refusals =
        audience(&mut fields, "refusals", faults).unwrap_or_else(AudienceSpec::everybody);
    if let Some(steering) = audience(&mut fields, "steering", faults) {
        told.steering = steering;
    }
    fields.finish(faults);
}

/// `"all"`, `"none"`, or networks.
fn audience(
    fields: &mut Fields<'_>,
    key: &'static str,
    faults: &mut Faults,
) -> Option<AudienceSpec> {
    let node = fields.get(key)?;
    match &node.value {
        Value::String(text) if text == "all" => Some(AudienceSpec::everybody()),
        Value::String(text) if text == "none" => Some(AudienceSpec::nobody()),
        Value::String(text) if !text.contains(['.', ':']) => {
            let fault = node.error(format!("'{text}' says of nobody who it is"));
            faults.push(fault.help("write \"all\", \"none\", or networks: [\"192.0.2.0/24\"]"));
            None
        }
        _ => Some(AudienceSpec { allow: Some(networks(node, faults)?), deny: Vec::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(hexadecimal("00fFa1"), Ok(vec![0, 255, 0xa1]));
        for wrong in ["0", "0g", "0x00", "é0"] {
            assert!(hexadecimal(wrong).is_err(), "{wrong}");
        }
    }
}
