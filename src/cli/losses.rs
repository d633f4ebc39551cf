//! What losing any one region does to the clients of each record, in a line for `check`.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::simulate::grouped;
use crate::geo::table::GeoMap;
use crate::plan::prove::{Finding, Kind, Loss, Prover};
use crate::snapshot::Snapshot;
use crate::zone::catalog::Catalog;

/// Maps that are looked at: each takes a walk through the address space.
const MAPS_MAX: usize = 32;

/// Regions that are named in a line.
const NAMED: usize = 3;

/// A line by owner name, for records with clients to lose. Plans that are equal are looked at once;
/// beyond a number of maps a line says who tells.
pub(super) fn tell(snapshot: &Snapshot) -> HashMap<String, String> {
    let mut prover = Prover::new(snapshot, 1);
    let mut known: HashMap<*const crate::steer::record::Plan, String> = HashMap::new();
    let mut maps: Vec<*const GeoMap> = Vec::new();
    let mut lines = HashMap::new();
    for served in Catalog::values(&snapshot.catalog) {
        for record in &served.records {
            let plan = std::sync::Arc::as_ptr(&record.plan);
            let line = known.entry(plan).or_insert_with(|| {
                let map = std::sync::Arc::as_ptr(&record.plan.map);
                if !maps.contains(&map) && maps.len() == MAPS_MAX {
                    let name = record.owner.to_string();
                    return format!("losing any one region: see meridian prove -k 1 {name}");
                }
                if !maps.contains(&map) {
                    maps.push(map);
                }
                prover.add(served, record);
                let losses = prover.losses(record);
                line(prover.found(served, record), &losses)
            });
            if !line.is_empty() {
                lines.insert(record.owner.to_string(), line.clone());
            }
        }
    }
    lines
}

/// Empty where there is nothing to tell.
fn line(found: &[Finding], losses: &[Loss]) -> String {
    if losses.is_empty() {
        return String::new();
    }
    let without = |is: &dyn Fn(Kind) -> bool| {
        let mut names: Vec<&str> = Vec::new();
        for finding in found.iter().filter(|finding| is(finding.kind)) {
            match finding.lost.first() {
                Some(lost) if !names.contains(&&**lost) => names.push(lost),
                _ => {}
            }
        }
        let more = names.len().saturating_sub(NAMED);
        let named = names[..names.len() - more].join(", ");
        match (names.len(), more) {
            (0, _) => None,
            (_, 0) => Some(named),
            _ => Some(format!("{named} and {more} more")),
        }
    };
    let any = if losses.len() == 1 { "its only region" } else { "any one region" };
    let mut text = format!("losing {any}: ");
    match without(&Kind::refutes) {
        Some(names) => _ = write!(text, "some clients get nothing without {names}"),
        None if found.iter().any(|finding| finding.kind.refutes()) => {
            text.push_str("some clients get nothing, lost or not");
        }
        None => text.push_str("every client is answered"),
    }
    if let Some(names) = without(&|kind| kind == Kind::LastResort) {
        let _ = write!(text, ", by the last resort without {names}");
    }
    if let Some(worst) = losses.first().filter(|worst| worst.moved > 0.0 && losses.len() > 1) {
        let _ = write!(text, "; worst: without {} {} of clients move", worst.region, part(worst));
        let farthest = losses.iter().filter_map(|loss| Some((loss.farther_km?, &loss.region)));
        if let Some((km, region)) = farthest.max_by(|a, b| a.0.total_cmp(&b.0)) {
            let _ = write!(text, ", farthest {} km", more((km / 100.0).round() * 100.0));
            if *region != worst.region {
                let _ = write!(text, " (without {region})");
            }
        }
    }
    text
}

/// A number with its sign and commas between thousands.
fn more(number: f64) -> String {
    let sign = if number < 0.0 { '-' } else { '+' };
    format!("{sign}{}", grouped(number.abs()))
}

fn part(loss: &Loss) -> String {
    match loss.moved * 100.0 {
        small if small < 1.0 => "less than 1 %".to_owned(),
        part => format!("{part:.0} %"),
    }
}
