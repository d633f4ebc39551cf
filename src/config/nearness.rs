//! `band`, `ties` and `latency` of a record or a rule: what counts as near, and how near is
//! near enough.

use super::decode::{Faults, Fields, Node};
use super::{latency, terms};
use crate::diagnostics::Span;
use crate::geo::map::LatencySpec;
use crate::steer::record::{Band, PolicySpec, Ties};

/// Samples from which on a mean counts alone, where nothing else is written: the error of a
/// mean of ten is a third of that of one.
const MIN_SAMPLES: u32 = 10;

const TIES: [(&str, Ties); 4] = [
    ("random", Ties::Random),
    ("network", Ties::Network),
    ("load", Ties::Load),
    ("two-choices", Ties::TwoChoices),
];

/// Where a rule's keys are written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written<'n> {
    band: Option<&'n Node>,
    ties: Option<&'n Node>,
    latency: Option<&'n Node>,
    /// They stand in the record, for those of its rules that go by nearness.
    is_common: bool,
}

impl<'n> Written<'n> {
    pub(super) fn take(fields: &mut Fields<'n>) -> Self {
        let (band, ties) = (fields.get("band"), fields.get("ties"));
        Self { band, ties, latency: fields.get("latency"), is_common: false }
    }

    /// Where it is written how ties are broken.
    pub(super) fn ties(&self) -> Option<&Span> {
        self.ties.map(|node| &node.span)
    }

    /// Where it says who else is near enough.
    pub(super) fn place(&self) -> Option<&'n Span> {
        self.band.or(self.ties).map(|node| &node.span)
    }

    /// What is not written in a rule is taken from the record.
    pub(super) fn or(self, common: Self) -> Self {
        let is_common = self.band.is_none() && self.ties.is_none() && self.latency.is_none();
        Self {
            band: self.band.or(common.band),
            ties: self.ties.or(common.ties),
            latency: self.latency.or(common.latency),
            is_common,
        }
    }
}

/// What a rule counts as near.
#[derive(Debug, Clone, Default)]
pub(super) struct Nearness {
    pub(super) band: Option<Band>,
    pub(super) latency: Option<LatencySpec>,
}

impl Nearness {
    /// Each client network has two choices of its own where it is to stay.
    pub(super) fn sticky(mut self, stays: bool) -> Self {
        if let Some(band) = self.band.as_mut().filter(|band| stays && band.ties == Ties::TwoChoices)
        {
            band.ties = Ties::TwoByNetwork;
        }
        self
    }
}

/// Reads the keys of a rule with this policy. `place` is its own, for what is missing.
pub(super) fn read(
    written: Written<'_>,
    policy: PolicySpec,
    policy_node: Option<&Node>,
    files: &latency::Files<'_>,
    faults: &mut Faults,
) -> Option<Nearness> {
    let by_nearness = matches!(policy, PolicySpec::Nearest | PolicySpec::Latency);
    if written.is_common && !by_nearness {
        return Some(Nearness::default());
    }
    let mut sound = true;
    for (node, key) in [(written.band, "band"), (written.ties, "ties")] {
        if let Some(node) = node.filter(|_| !by_nearness) {
            let fault = node.error(format!("'{key}' is for policies 'nearest' and 'latency'"));
            faults.push(fault.help("remove the key, or use policy = \"nearest\""));
            sound = false;
        }
    }
    let band = band(&written, faults);
    let latency = match (policy, written.latency) {
        (PolicySpec::Latency, Some(node)) => spec(node, files, faults).map(Some),
        (PolicySpec::Latency, None) => {
            if let Some(node) = policy_node {
                let fault = node.error("policy 'latency' needs 'latency'");
                let fault = fault.help("write latency = { file = \"geo/latency.csv\" }, or { monitor = \"NAME\" } for what vantages measure");
                faults.absent(Some(&node.span.source), fault);
            }
            None
        }
        (_, Some(node)) if !written.is_common && policy != PolicySpec::Nearest => {
            let fault = node.error("'latency' is for policy 'latency'");
            faults.push(fault.help("remove the key, or use policy = \"latency\""));
            None
        }
        (_, Some(node)) if !written.is_common => {
            let fault = node.error("policy 'nearest' goes by distance alone");
            faults.push(fault.help("remove the key, or use policy = \"latency\""));
            None
        }
        _ => Some(None),
    };
    let (band, latency) = (band?, latency?);
    sound.then_some(Nearness { band, latency })
}

/// `ties` alone is a band of nothing: those that are exactly as near.
fn band(written: &Written<'_>, faults: &mut Faults) -> Option<Option<Band>> {
    let width = match written.band {
        None => Some(0),
        Some(node) => terms::share(node, faults),
    };
    let ties = match written.ties {
        None => Some(Ties::Random),
        Some(node) => node.word("way to break ties", &TIES, faults),
    };
    let is_written = written.band.is_some() || written.ties.is_some();
    let band = Band { width: width?, ties: ties? };
    Some(is_written.then_some(band))
}

/// `{ file = "geo/latency.csv", min_samples = 10 }`, or `{ monitor = "web" }`: what vantages measure.
fn spec(node: &Node, files: &latency::Files<'_>, faults: &mut Faults) -> Option<LatencySpec> {
    let mut fields = node.fields("the table 'latency'", faults)?;
    if let Some(monitor) = fields.get("monitor") {
        for (key, why) in [
            ("file", "latencies are measured by 'monitor' or stand in 'file'"),
            ("min_samples", "'min_samples' is of a 'file'; vantages measure again and again"),
        ] {
            if let Some(node) = fields.get(key) {
                faults.push(node.error(why).help("remove one of the two"));
            }
        }
        fields.finish(faults);
        let latencies = files.measured(monitor, faults)?;
        return Some(LatencySpec { latencies, min_samples: 1 });
    }
    let file = fields.required("file", &node.span, faults);
    let min_samples = match fields.get("min_samples") {
        None => Some(MIN_SAMPLES),
        Some(node) => node.integer(1..=1_000_000, faults),
    };
    fields.finish(faults);
    let latencies = files.read(file?, faults)?;
    Some(LatencySpec { latencies, min_samples: min_samples? })
}
