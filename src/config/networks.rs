//! `geo/networks.toml`: what the operator knows better than the GeoIP database.

use std::collections::HashMap;
use std::net::IpAddr;

use super::decode::{Faults, Fields, Node};
use super::regions::Regions;
use super::terms;
use crate::diagnostics::{Diagnostic, Span};
use crate::geo::countries::continent_of;
use crate::geo::networks::Network;
use crate::geo::place::Place;

/// Reads the file.
pub(super) fn read(document: &Node, regions: &Regions, faults: &mut Faults) -> Vec<Network> {
    let mut networks = Vec::new();
    let mut seen = HashMap::new();
    let Some(mut fields) = document.fields("geo/networks.toml", faults) else { return networks };
    let list = fields.get("network").and_then(|node| node.list(faults));
    for node in list.unwrap_or_default() {
        networks.extend(network(node, regions, &mut seen, faults));
    }
    fields.finish(faults);
    networks
}

fn network(
    node: &Node,
    regions: &Regions,
    seen: &mut HashMap<(IpAddr, u8), Span>,
    faults: &mut Faults,
) -> Option<Network> {
    let mut fields = node.fields("a network", faults)?;
    let mut cidrs = Vec::new();
    for item in fields.get("cidr").map(Node::one_or_list).unwrap_or_default() {
        let Some(cidr) = terms::network(item, faults) else { continue };
        if let Some(first) = seen.insert(cidr, item.span.clone()) {
            let message = format!("network {}/{} is here twice", cidr.0, cidr.1);
            let fault = Diagnostic::warning(message, item.span.clone());
            faults.push(fault.label("the later entry wins").related(first, "first here"));
        }
        cidrs.push(cidr);
    }
    let asn_list = fields.get("asn").map(Node::one_or_list).unwrap_or_default();
    let asns: Vec<u32> = asn_list.iter().filter_map(|item| terms::asn(item, faults)).collect();
    let named = fields.get("cidr").is_some() || fields.get("asn").is_some();
    if !named {
        let fault = Diagnostic::error("a network needs 'cidr' or 'asn'", fields.span().clone());
        faults.absent(
            Some(&node.span.source),
            fault.help("write cidr = [\"192.0.2.0/24\"] or asn = [64500]"),
        );
    }
    let place = place(&mut fields, regions, faults);
    fields.get("comment").and_then(|comment| comment.text(faults));
    fields.finish(faults);
    Some(Network { cidrs, asns, place })
}

fn place(fields: &mut Fields<'_>, regions: &Regions, faults: &mut Faults) -> Place {
    let mut place = Place::default();
    let (written, region) = (fields.get("place"), fields.get("region"));
    if written.is_none() && region.is_none() {
        let span = fields.span().clone();
        let source = std::sync::Arc::clone(&span.source);
        let fault = Diagnostic::error("a network needs 'place' or 'region'", span);
        faults.absent(
            Some(&source),
            fault.help("write place = { country = \"DE\" } or region = \"fra\""),
        );
    }
    if let Some(mut known) = written.and_then(|node| node.fields("a place", faults)) {
        place.location = known.get("location").and_then(|node| terms::location(node, faults));
        place.country = known.get("country").and_then(|node| terms::country(node, faults));
        place.continent = known
            .get("continent")
            .and_then(|node| terms::continent(node, faults))
            .or_else(|| place.country.and_then(continent_of));
        place.subdivision = known
            .get("subdivision")
            .and_then(|node| node.parsed("a subdivision", terms::parse_subdivision, faults))
            .map(Into::into);
        place.city = known.get("city").and_then(|node| node.text(faults)).map(Into::into);
        known.finish(faults);
    }
    place.region = region.and_then(|node| regions.find(node, faults));
    place
}
