//! Files of latencies: `network,region,milliseconds[,samples]`, a line for each.
//!
//! What other programs write: real-user measurements, probers' results, or an operator's own
//! table. `#` begins a comment, a heading may come first, and fields may stand in quotes. The
//! daemon writes such a file itself of what its vantages measure.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decode::{Faults, Node, at};
use super::monitors::{Defined, Monitors};
use super::regions::Regions;
use super::{suggest, terms};
use crate::diagnostics::{Diagnostic, Source};
use crate::geo::latency::{Latencies, Measurement};
use crate::health::latencies::Way;
use crate::probe::monitor::Method;
use crate::region::{Location, RegionId};

/// Faults told of one file; a file of another kind would fill the screen.
const TOLD_MAX: usize = 100;
/// No answer takes longer than a minute, in milliseconds.
const MILLISECONDS_MAX: f64 = 60_000.0;

/// The files that have been read, each once.
pub(super) struct Files<'c> {
    root: &'c Path,
    regions: &'c Regions,
    min_prefix: (u8, u8),
    vantages: Vantages<'c>,
    read: RefCell<HashMap<PathBuf, Option<Arc<Latencies>>>>,
    measured: RefCell<BTreeMap<Box<str>, Arc<Latencies>>>,
}

/// What is to be known where vantages measure.
#[derive(Clone, Copy)]
pub(super) struct Vantages<'c> {
    /// The state folder.
    pub(super) state: &'c Path,
    /// Those that can be measured with.
    pub(super) monitors: &'c Monitors,
    /// Whether any vantage says which clients it stands for.
    pub(super) measure: bool,
}

/// Where the daemon writes down what vantages measure with a monitor, below the state folder.
pub fn measured_file(state: &Path, monitor: &str) -> PathBuf {
    state.join(format!("latency-{monitor}.csv"))
}

/// The rows of such a table, by network and name of region, in microseconds; empty where there is
/// none yet. Lines that cannot be understood are left out: vantages will say it again.
pub fn measured_rows(state: &Path, monitor: &str) -> BTreeMap<Way, u32> {
    let text = std::fs::read(measured_file(state, monitor)).unwrap_or_default();
    let row = |line: &[u8]| {
        let fields: Vec<_> = fields(line, 0)
            .into_iter()
            .map(|range| String::from_utf8_lossy(&line[range]).into_owned())
            .collect();
        let [network, region, milliseconds] = &fields[..] else { return None };
        let network = terms::parse_network(network).ok()?;
        Some(((network, region.as_str().into()), micros(milliseconds)?))
    };
    text.split_inclusive(|octet| *octet == b'\n').filter_map(row).collect()
}

/// Milliseconds as text, in microseconds.
fn micros(text: &str) -> Option<u32> {
    let taken = text.parse::<f64>().ok();
    let taken = taken.filter(|taken| *taken > 0.0 && *taken <= MILLISECONDS_MAX)?;
    Some((taken * 1000.0).round().max(1.0) as u32)
}

impl<'c> Files<'c> {
    /// None yet. `root` is the folder that paths are relative to; `min_prefix`: the lengths
    /// that longer networks are cut to.
    pub(super) fn new(
        root: &'c Path,
        regions: &'c Regions,
        min_prefix: (u8, u8),
        vantages: Vantages<'c>,
    ) -> Self {
        let (read, measured) = (RefCell::default(), RefCell::default());
        Self { root, regions, min_prefix, vantages, read, measured }
    }

    /// What vantages have measured with the monitor named at `node`; nothing before they have.
    pub(super) fn measured(&self, node: &Node, faults: &mut Faults) -> Option<Arc<Latencies>> {
        let name = node.text(faults)?;
        if let Some(known) = self.measured.borrow().get(name) {
            return Some(Arc::clone(known));
        }
        let all: Vec<_> = self.vantages.monitors.all().collect();
        let defined = all.iter().find(|(known, _)| *known == name);
        if let Some((_, Defined { method: Some(Method::Composite(_)), .. })) = defined {
            let fault = node.error(format!("monitor '{name}' asks nobody itself"));
            faults.push(fault.help("name the one of its parts that is to be measured with"));
            return None;
        }
        if defined.is_none() {
            let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            let mut fault = node.error(format!("monitor '{name}' is not defined"));
            fault.help = suggest::help(name, &names, "monitors of probes/monitors.toml");
            faults.push(fault);
            return None;
        }
        if !self.vantages.measure {
            let fault = node.error("no vantage says whose latencies it measures");
            faults.push(fault.help(
                "write the clients it stands for: networks = [\"192.0.2.0/24\"] in [vantage.NAME]",
            ));
            return None;
        }
        let rows =
            measured_rows(self.vantages.state, name).into_iter().filter_map(|(way, micros)| {
                let (network, region) = way;
                let region = self.regions.id(&region)?;
                Some(Measurement { network, region, micros, samples: None })
            });
        let table = Latencies::new(&rows.collect::<Vec<_>>(), self.min_prefix, self.places());
        let table = Arc::new(table);
        self.measured.borrow_mut().insert(name.into(), Arc::clone(&table));
        Some(table)
    }

    /// The monitors that vantages measure latencies with.
    pub(super) fn monitors(&self) -> Vec<Box<str>> {
        self.measured.borrow().keys().cloned().collect()
    }

    fn places(&self) -> impl Fn(RegionId) -> Option<Location> {
        |region| self.regions.list[usize::from(region.0)].location
    }

    /// What the file named at `node` says.
    pub(super) fn read(&self, node: &Node, faults: &mut Faults) -> Option<Arc<Latencies>> {
        let text = node.text(faults)?;
        if let Some(known) = self.read.borrow().get(Path::new(text)) {
            return known.clone();
        }
        let latencies = match Source::read(self.root, Path::new(text)) {
            Ok(source) => self.table(&source, faults),
            Err(error) => {
                let fault = node.error(format!("cannot read '{text}'"));
                faults.push(fault.label(error.to_string()));
                None
            }
        };
        self.read.borrow_mut().insert(text.into(), latencies.clone());
        latencies
    }

    /// The paths of all files, to be watched.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.read.borrow().keys().map(|path| self.root.join(path)).collect()
    }

    fn table(&self, source: &Arc<Source>, faults: &mut Faults) -> Option<Arc<Latencies>> {
        let mut measurements = Vec::new();
        let (mut wrong, mut began, mut any) = (0, 0, false);
        for line in source.text.split_inclusive(|octet| *octet == b'\n') {
            let fields = fields(line, began);
            began += line.len();
            if fields.is_empty() {
                continue;
            }
            let is_heading = !any && is_heading(&source.text, &fields);
            any = true;
            if is_heading {
                continue;
            }
            match self.line(source, &fields) {
                Ok(measurement) => measurements.push(measurement),
                Err(fault) => {
                    wrong += 1;
                    if wrong <= TOLD_MAX {
                        faults.push(*fault);
                    }
                }
            }
        }
        if wrong > TOLD_MAX {
            let message = format!("{} more lines like that", wrong - TOLD_MAX);
            faults.push(Diagnostic::error(message, at(source, began..began)));
        }
        if wrong == 0 && measurements.is_empty() {
            let fault = Diagnostic::warning("nothing was measured", at(source, 0..0));
            faults.push(fault.help("every latency is estimated from the distance"));
        }
        let table = || Latencies::new(&measurements, self.min_prefix, self.places());
        (wrong == 0).then(|| Arc::new(table()))
    }

    fn line(
        &self,
        source: &Arc<Source>,
        fields: &[Range<usize>],
    ) -> Result<Measurement, Box<Diagnostic>> {
        const SHAPE: &str = "write network,region,milliseconds or \
                             network,region,milliseconds,samples";
        let text = |range: &Range<usize>| String::from_utf8_lossy(&source.text[range.clone()]);
        let error = |range: &Range<usize>, message: String| {
            Diagnostic::error(message, at(source, range.clone()))
        };
        let (network, region, milliseconds, samples) = match fields {
            [network, region, milliseconds] => (network, region, milliseconds, None),
            [network, region, milliseconds, samples] => {
                (network, region, milliseconds, Some(samples))
            }
            [first, ..] => {
                let whole = first.start..fields[fields.len() - 1].end;
                let message = format!("a latency has 3 or 4 fields, not {}", fields.len());
                return Err(error(&whole, message).help(SHAPE).into());
            }
            [] => return Err(Diagnostic::unplaced("a line without fields").into()),
        };
        let parsed = terms::parse_network(&text(network)).map_err(|why| {
            error(network, format!("'{}' is not a network", text(network))).label(why)
        })?;
        let whole = terms::masked(parsed.0, parsed.1);
        if whole != parsed.0 {
            let fault =
                error(network, "the network has bits set behind its prefix length".to_owned());
            return Err(fault.help(format!("did you mean '{whole}/{}'?", parsed.1)).into());
        }
        let name = text(region);
        let region = self.regions.id(&name).ok_or_else(|| {
            let mut fault = error(region, format!("region '{name}' is not defined"));
            let names = self.regions.names();
            fault.help = suggest::help(&name, &names, "regions of geo/regions.toml");
            fault
        })?;
        let micros = micros(&text(milliseconds)).ok_or_else(|| {
            let message = format!("'{}' is not a number of milliseconds", text(milliseconds));
            error(milliseconds, message).label("more than 0, and 60000 at most")
        })?;
        let samples = match samples {
            None => None,
            Some(range) => {
                let count = text(range).parse::<u32>().ok().filter(|count| *count > 0);
                Some(count.ok_or_else(|| {
                    let message = format!("'{}' is not a number of samples", text(range));
                    error(range, message).label("a whole number, 1 or more")
                })?)
            }
        };
        Ok(Measurement { network: parsed, region, micros, samples })
    }
}

/// Where the fields of a line that begins at `began` stand, without quotes and space around
/// them; none for a comment or an empty line.
fn fields(line: &[u8], began: usize) -> Vec<Range<usize>> {
    let end = line.iter().position(|octet| *octet == b'#').unwrap_or(line.len());
    let line = &line[..end];
    if line.trim_ascii().is_empty() {
        return Vec::new();
    }
    let mut from = 0;
    line.split(|octet| *octet == b',')
        .map(|field| {
            let start = from + (field.len() - field.trim_ascii_start().len());
            from += field.len() + 1;
            let field = field.trim_ascii();
            let quoted = field.len() >= 2 && field.starts_with(b"\"") && field.ends_with(b"\"");
            let edge = usize::from(quoted);
            began + start + edge..began + start + field.len() - edge
        })
        .collect()
}

/// Whether the first line names the fields.
fn is_heading(text: &[u8], fields: &[Range<usize>]) -> bool {
    let first = fields.first().and_then(|range| text.get(range.clone()));
    first.is_some_and(|first| first.eq_ignore_ascii_case(b"network"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_between_commas_without_quotes_and_space() {
        let line = b" \"192.0.2.0/24\" , fra,10.5 # Berlin\r\n";
        let found: Vec<&[u8]> = fields(line, 100)
            .iter()
            .map(|range| &line[range.start - 100..range.end - 100])
            .collect();
        assert_eq!(found, [&b"192.0.2.0/24"[..], b"fra", b"10.5"]);
        assert!(fields(b"  # nothing\n", 0).is_empty() && fields(b"\r\n", 0).is_empty());
    }
}
