//! What was found of one record, put together over its classes.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Class, Finding, Kind};
use crate::plan::scopes;
use crate::region::RegionId;
use crate::snapshot::Snapshot;
use crate::steer::record::Record;

/// Whom something was found of.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) client: IpAddr,
    pub(super) length: u8,
    pub(super) weight: [f64; 2],
}

impl From<&Class> for Found {
    fn from(class: &Class) -> Self {
        Self { client: class.network.0, length: class.network.1, weight: class.weight }
    }
}

impl scopes::Overlap {
    pub(super) const fn class(&self) -> Option<Found> {
        Some(Found { client: self.network, length: self.length, weight: [0.0; 2] })
    }
}

type Place = (Kind, &'static str, Option<usize>, Vec<RegionId>);

/// What was found of one record, put together over its classes.
#[derive(Default)]
pub(super) struct Notes {
    found: HashMap<Place, Note>,
}

struct Note {
    /// The largest class it was found of.
    example: Option<Found>,
    weight: [f64; 2],
    /// The class counted last, so that one with several endings counts once.
    last: Option<IpAddr>,
    what: String,
}

impl Notes {
    pub(super) fn add(
        &mut self,
        kind: Kind,
        rtype: &'static str,
        rule: Option<usize>,
        lost: &[RegionId],
        of: Option<Found>,
        what: String,
    ) {
        let mut lost = lost.to_vec();
        lost.sort_unstable();
        let note = self.found.entry((kind, rtype, rule, lost)).or_insert_with(|| Note {
            example: None,
            weight: [0.0; 2],
            last: None,
            what: what.clone(),
        });
        let Some(of) = of else { return };
        if note.last == Some(of.client) {
            return;
        }
        note.last = Some(of.client);
        note.weight[0] += of.weight[0];
        note.weight[1] += of.weight[1];
        let size = |of: &Found| of.weight[0] + of.weight[1] / 65_536.0;
        if note.example.as_ref().is_none_or(|known| size(known) < size(&of)) {
            note.example = Some(of);
            note.what = what;
        }
    }

    /// All findings whose losses are as few as it takes.
    pub(super) fn finish(self, snapshot: &Snapshot, record: &Record) -> Vec<Finding> {
        let mut places: Vec<&Place> = self.found.keys().collect();
        places.sort();
        let fewest = |place: &&&Place| {
            let (kind, rtype, rule, lost) = place;
            !places.iter().any(|(other, of, by, fewer)| {
                (other, of, by) == (kind, rtype, rule)
                    && fewer.len() < lost.len()
                    && fewer.iter().all(|region| lost.contains(region))
            })
        };
        let kept = places.iter().filter(fewest);
        kept.map(|place| finding(snapshot, record, place, &self.found[*place])).collect()
    }
}

fn finding(snapshot: &Snapshot, record: &Record, place: &Place, note: &Note) -> Finding {
    let (kind, rtype, rule, lost) = place;
    let names = lost.iter().filter_map(|region| snapshot.regions.get(usize::from(region.0)));
    let lost: Vec<String> = names.map(|region| region.name.to_string()).collect();
    let client = note.example.map(|of| {
        let bits = if of.client.is_ipv4() { 24 } else { 48 };
        format!("{}/{}", of.client, of.length.max(bits))
    });
    let explain = client.as_ref().map(|client| {
        let mut line = format!("{} --client {client}", askable(record));
        if !rtype.is_empty() && *rtype != "A" {
            line.push_str(&format!(" --type {rtype}"));
        }
        if !lost.is_empty() {
            let down: Vec<String> = lost.iter().map(|name| format!("region.{name}=down")).collect();
            line.push_str(&format!(" --what-if '{}'", down.join(",")));
        }
        line
    });
    Finding {
        kind: *kind,
        record: record.owner.to_string(),
        others: 0,
        rtype,
        rule: rule.map(|number| number + 1),
        lost,
        client,
        networks: note.weight,
        step: kind.step(),
        what: note.what.clone(),
        explain,
        simulate: None,
    }
}

/// A name that a record answers for.
fn askable(record: &Record) -> String {
    let owner = record.owner.to_string();
    owner.strip_prefix("*.").map_or_else(|| owner.clone(), |rest| format!("any.{rest}"))
}
