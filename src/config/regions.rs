//! `geo/regions.toml`: where services can be answered from.

use std::collections::HashMap;
use std::sync::Arc;

use super::decode::{Entry, Faults, Node};
use super::{suggest, terms};
use crate::diagnostics::{Diagnostic, Source, Span};
use crate::region::{Region, RegionId};

/// The regions, and where each was defined.
#[derive(Debug, Default)]
pub(super) struct Regions {
    pub(super) list: Vec<Region>,
    pub(super) places: Vec<Span>,
    source: Option<Arc<Source>>,
    by_name: HashMap<String, RegionId>,
}

/// Reads the file. A region with faults still counts as defined.
pub(super) fn read(document: Option<(&Arc<Source>, &Node)>, faults: &mut Faults) -> Regions {
    let mut regions = Regions::default();
    let Some((source, document)) = document else { return regions };
    regions.source = Some(Arc::clone(source));
    let Some(mut fields) = document.fields("geo/regions.toml", faults) else { return regions };
    let table = fields.get("region").and_then(|node| node.table(faults));
    for entry in table.unwrap_or_default() {
        regions.add(entry, faults);
    }
    fields.finish(faults);
    regions
}

impl Regions {
    /// The region of that name; says so where there is none.
    pub(super) fn find(&self, node: &Node, faults: &mut Faults) -> Option<RegionId> {
        let name = node.text(faults)?;
        if let Some(id) = self.by_name.get(name) {
            return Some(*id);
        }
        let names = self.names();
        let mut fault = node.error(format!("region '{name}' is not defined"));
        fault.help = suggest::help(name, &names, "regions of geo/regions.toml");
        if names.is_empty() {
            fault.help = Some("define it in geo/regions.toml: [region.NAME]".to_owned());
        }
        if let Some(near) = suggest::closest(name, names) {
            fault = fault.related(self.place(near), "a region of a like name");
        }
        faults.absent(self.source.as_ref(), fault);
        None
    }

    /// The region of that name.
    pub(super) fn id(&self, name: &str) -> Option<RegionId> {
        self.by_name.get(name).copied()
    }

    /// The names of all regions.
    pub(super) fn names(&self) -> Vec<&str> {
        self.list.iter().map(|region| &*region.name).collect()
    }

    /// Where a region is defined.
    pub(super) fn place_of(&self, id: RegionId) -> &Span {
        &self.places[usize::from(id.0)]
    }

    fn place(&self, name: &str) -> Span {
        self.place_of(self.by_name[name]).clone()
    }

    fn add(&mut self, entry: &Entry, faults: &mut Faults) {
        check_name("region", entry, faults);
        let mut region = Region { name: (*entry.key).into(), location: None, country: None };
        if let Some(mut fields) = entry.node.fields("a region", faults) {
            region.location = fields.get("location").and_then(|node| terms::location(node, faults));
            region.country = fields
                .get("country")
                .and_then(|node| terms::country(node, faults))
                .map(|country| country.0);
            fields.finish(faults);
        }
        // The index fits: RegionId is checked against the end of its numbers here.
        let Ok(number) = u16::try_from(self.list.len()) else {
            let fault = Diagnostic::error("more than 65536 regions", entry.key_span.clone());
            faults.push(fault);
            return;
        };
        self.by_name.insert(entry.key.clone(), RegionId(number));
        self.list.push(region);
        self.places.push(entry.key_span.clone());
    }
}

/// Names stand in metrics, in log lines and in commands (`drain pool.fra`).
pub(super) fn check_name(what: &str, entry: &Entry, faults: &mut Faults) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if entry.key.is_empty() || entry.key.len() > 63 || !entry.key.chars().all(fits) {
        let article = if what.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        let message = format!("'{}' cannot be the name of {article} {what}", entry.key);
        let fault = Diagnostic::error(message, entry.key_span.clone());
        faults.push(fault.help("names have 1 to 63 letters, digits, '-' and '_'"));
    }
}
