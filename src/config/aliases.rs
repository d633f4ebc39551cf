//! `[aliases]` of `meridian.toml`: how names that are flattened are resolved. And what can be seen
//! of them beforehand.

use std::collections::HashSet;
use std::time::Duration;

use super::decode::{Faults, Node};
use super::pools::{HandsOut, Pools};
use super::records::Read;
use super::{Aliases, ZoneConfig, lint, settings, terms};
use crate::diagnostics::Diagnostic;
use crate::wire::name::Name;
use crate::wire::types::Rtype;
use crate::zone::Zone;
use crate::zone::chase::{End, chase};

/// As long as RFC 8767 section 5 thinks fit at least.
pub(super) const MAX_STALE: Duration = Duration::from_secs(86_400);

pub(super) fn aliases(node: Option<&Node>, aliases: &mut Aliases, faults: &mut Faults) {
    let Some(mut fields) = node.and_then(|node| node.fields("the section 'aliases'", faults))
    else {
        return;
    };
    if let Some(node) = fields.get("resolvers") {
        let items = node.one_or_list();
        if items.is_empty() {
            let fault = node.error("no resolver to ask");
            faults.push(fault.help("without the key those of the system are asked"));
        }
        aliases.resolvers =
            items.iter().filter_map(|item| settings::socket(item, 53, faults)).collect();
    }
    if let Some(node) = fields.get("max_stale") {
        let range = Duration::ZERO..=Duration::from_secs(7 * 86_400);
        aliases.max_stale = terms::duration(node, range, faults).unwrap_or(MAX_STALE);
    }
    fields.finish(faults);
}

/// Names to be flattened that lead back to where they are asked for, or to names that are steered
/// for each client.
pub(super) fn lead_on(
    records: &[Read],
    pools: &Pools,
    zones: &[Option<ZoneConfig>],
    faults: &mut Faults,
) {
    let mut told = HashSet::new();
    for record in records.iter().filter(|record| record.spec.flatten) {
        for (name, pool) in lint::pools_of(record, pools) {
            let HandsOut::Cname(target) = &pool.hands_out else { continue };
            let ends = [Rtype::A, Rtype::AAAA]
                .map(|rtype| chase(target, rtype, |name| zone_of(name, zones)));
            let error = |message: String| {
                Diagnostic::error(message, pool.target.clone())
                    .related(record.place.clone(), "answered by its addresses here")
            };
            let fault = ends.iter().find_map(|end| match end {
                End::Steered(steered) if *steered == record.spec.owner => {
                    let message = format!("pool '{name}' leads back to {steered}");
                    Some(error(message).help("name what has addresses of its own"))
                }
                End::Steered(steered) => {
                    let message = format!("pool '{name}' leads to {steered}, which is steered");
                    Some(error(message).help(
                        "its addresses differ from client to client: name its pools here instead",
                    ))
                }
                End::Loop(_) => {
                    let message = format!("pool '{name}' leads through too many aliases");
                    Some(error(message).help("name what has addresses of its own"))
                }
                End::Addresses(..) | End::Away(..) => None,
            });
            if let Some(fault) = fault
                && told.insert((name, record.spec.owner.clone()))
            {
                faults.push(fault);
            }
        }
    }
}

/// The zone that has `name`, if it is ours.
fn zone_of<'z>(name: &Name, zones: &'z [Option<ZoneConfig>]) -> Option<&'z Zone> {
    let above = zones.iter().flatten().filter(|zone| name.is_in(&zone.origin));
    above.max_by_key(|zone| zone.origin.label_count()).map(|zone| &*zone.zone)
}
