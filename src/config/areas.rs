//! `[area.NAME]` of `meridian.toml`: clients from whom a region may look otherwise than from the
//! rest of the world.

use super::decode::{Entry, Faults, Node};
use super::groups::Groups;
use super::regions::check_name;
use super::{Area, matchers};
use crate::diagnostics::Diagnostic;
use crate::health::intake::VantageSpec;
use crate::region::AREAS_MAX;

/// Reads the table of areas. As with rules, the first that fits a client is its own.
pub(super) fn read(node: Option<&Node>, groups: &Groups, faults: &mut Faults) -> Vec<Area> {
    let Some(entries) = node.and_then(|node| node.table(faults)) else { return Vec::new() };
    let mut areas: Vec<(Area, &Entry)> = Vec::new();
    for entry in entries {
        check_name("area", entry, faults);
        let Some(mut fields) = entry.node.fields("an area", faults) else { continue };
        let matched = fields.get("match");
        if matched.is_none() && !fields.has_slip_of("match") {
            let fault = Diagnostic::error("an area needs 'match'", entry.key_span.clone());
            faults.push(fault.help("write match = { continent = \"AS\" }"));
        }
        let matcher = matched.and_then(|node| matchers::read(node, groups, faults));
        fields.finish(faults);
        let Some((place, matcher)) = matched.zip(matcher) else { continue };
        if matcher.is_default() {
            let fault = place.error("an area of every client is the world itself");
            faults.push(fault.help("name the clients whose view counts apart from the world's"));
            continue;
        }
        let covers = |(area, _): &&(Area, &Entry)| matchers::covers(&area.matcher, &matcher);
        if let Some((_, outer)) = areas.iter().find(covers) {
            let fault = place.error("no client is ever of this area");
            let fault = fault.related(outer.key_span.clone(), "takes all its clients");
            faults.push(fault.help("the first area that fits wins: put the narrower one first"));
        }
        areas.push((Area { name: (*entry.key).into(), matcher }, entry));
    }
    if let Some((_, entry)) = areas.get(AREAS_MAX) {
        let message = format!("more than {AREAS_MAX} areas");
        let fault = Diagnostic::error(message, entry.key_span.clone());
        faults.push(fault.help("each costs a verdict on every pool: join those that see alike"));
    }
    areas.into_iter().map(|(area, _)| area).collect()
}

/// Warns of areas from which no vantage looks, where there are vantages.
pub(super) fn unwatched(node: Option<&Node>, vantages: &[VantageSpec], faults: &mut Faults) {
    let entries = node.filter(|_| !vantages.is_empty()).and_then(|node| node.table(faults));
    for entry in entries.unwrap_or_default() {
        if vantages.iter().any(|vantage| vantage.area.as_deref() == Some(&*entry.key)) {
            continue;
        }
        let message = format!("no vantage looks from area '{}'", entry.key);
        let fault = Diagnostic::warning(message, entry.key_span.clone());
        faults.push(
            fault.help("name it in a vantage; without one only operators' orders tell it apart"),
        );
    }
}
