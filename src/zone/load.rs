//! A zone's files into a compiled zone and all that is wrong with it.
//!
//! Records go straight into the zone as they are read. Where something looks wrong the files
//! are read once more, for the records of those owners only: a fault is told with its place.

use std::sync::Arc;

use super::check;
use super::compile::{Builder, Built, Expected};
use super::hash::HashKey;
use super::master::{self, Open};
use super::records::{Full, Record, Records, Sink};
use super::{SteeredName, Zone};
use crate::diagnostics::{Diagnostic, Source};
use crate::wire::name::Name;
use crate::wire::types::Class;

/// Reads, compiles and checks the zone `origin` from `source` and the files it includes. The
/// zone is fit to be served when no fault is an error; when one could not be read, no more is
/// told than that, since its records would be missed.
pub fn load(
    source: &Arc<Source>,
    origin: &Name,
    steered: &[SteeredName],
    key: HashKey,
    open: Open<'_>,
) -> (Zone, Vec<Diagnostic>) {
    let mut builder = Builder::new(origin, steered, key, expected(&source.text, origin));
    let mut faults = master::read_into(&mut builder, source, origin, open);
    let Built { zone, mut doubtful } = builder.finish();
    if faults.iter().any(Diagnostic::is_error) {
        return (zone, faults);
    }
    doubtful.extend(check::doubtful(&zone, steered));
    if !doubtful.is_empty() {
        doubtful.push(key.hash(origin.to_lowercase().as_wire()));
        doubtful.sort_unstable();
        doubtful.dedup();
        let mut chosen = Chosen { key, doubtful, records: Records::new(), last: None };
        master::read_into(&mut chosen, source, origin, open);
        faults.extend(check::check_compiled(&zone, &chosen.records, steered));
    }
    (zone, faults)
}

/// Octets of a node beside its line and the origin: its head is longer than what type, class and
/// blanks take, and addresses are shorter than their text.
const BESIDE_LINE: usize = 18;

/// A record a line, more or less. A node takes what its line does, the origin, and a little.
fn expected(text: &[u8], origin: &Name) -> Expected {
    // Few enough at once that their sum fits an octet, which makes short work of them.
    let ends = |octets: &[u8]| octets.iter().map(|&octet| u8::from(octet == b'\n')).sum::<u8>();
    let lines = text.chunks(240).map(|octets| usize::from(ends(octets))).sum();
    Expected { names: lines, octets: text.len() + lines * (origin.as_wire().len() + BESIDE_LINE) }
}

/// The records of the owners in doubt.
struct Chosen {
    key: HashKey,
    /// In order.
    doubtful: Vec<u64>,
    records: Records,
    /// The owner that came last, and whether it was chosen.
    last: Option<(Box<[u8]>, bool)>,
}

impl Sink for Chosen {
    fn add_source(&mut self, source: &Arc<Source>) -> Result<u16, Full> {
        Sink::add_source(&mut self.records, source)
    }

    fn push(&mut self, record: &Record<'_>) -> Result<(), Full> {
        let owner = record.owner.as_wire();
        let chosen = match &self.last {
            Some((last, chosen)) if **last == *owner => *chosen,
            _ => {
                let hash = self.key.hash(&owner.to_ascii_lowercase());
                let chosen = self.doubtful.binary_search(&hash).is_ok();
                self.last = Some((owner.into(), chosen));
                chosen
            }
        };
        if chosen || record.class != Class::IN {
            Sink::push(&mut self.records, record)?;
        }
        Ok(())
    }
}
