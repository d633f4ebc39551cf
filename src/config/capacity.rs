//! What pools can take, `[pool.NAME.capacity]`, and how clients are moved when that is less than
//! what is asked for, `spill` of a record or a rule.

use std::time::Duration;

use super::decode::{Faults, Node, Value};
use super::terms;
use crate::geo::map::ORDER_MAX;
use crate::region::{Capacity, LoadSource};
use crate::steer::record::{PolicySpec, SpillRule};

/// Up to which part of its capacity a pool is sent clients, where nothing is written.
const TARGET: u16 = 8000;
/// Above which part clients are moved away at once.
const MAX: u16 = 9500;

/// The most queries a second that may be written: more than any tier can take.
const QUERIES_MAX: i64 = 1_000_000_000;

/// `[pool.NAME.capacity]`.
pub(super) fn capacity(node: &Node, faults: &mut Faults) -> Option<Capacity> {
    let mut fields = node.fields("a capacity", faults)?;
    let queries = fields.get("queries").map(|node| node.integer(1..=QUERIES_MAX, faults));
    let load = fields.get("load").map(|node| load_source(node, faults));
    let target = fields.entry("target");
    let target_at = target.map(|entry| entry.node.span.clone());
    let target = target.map_or(Some(TARGET), |entry| share_above_0(&entry.node, faults));
    let max = fields.get("max");
    let errors = fields.entry("errors");
    let most_errors = errors.map(|entry| share_above_0(&entry.node, faults));
    let mut sound = true;
    if queries.is_none()
        && load.is_none()
        && !["queries", "load"].map(|key| fields.has_slip_of(key)).contains(&true)
    {
        let fault = crate::diagnostics::Diagnostic::error(
            "a capacity needs 'queries' or 'load'",
            fields.span().clone(),
        );
        faults.push(fault.help(
            "say how many answers a second the pool can take, queries = 5000, or where its \
             measured load comes from, load = \"push\"",
        ));
        sound = false;
    }
    if let Some(errors) = errors.filter(|_| load.is_none()) {
        let fault = crate::diagnostics::Diagnostic::error(
            "'errors' needs a source of load",
            errors.key_span.clone(),
        );
        faults.push(fault.help("errors are reported with the load: add load = \"push\""));
        sound = false;
    }
    let max =
        match (max, target) {
            (None, Some(target)) => Some(target.max(MAX)),
            (None, None) => None,
            (Some(node), _) => share_above_0(node, faults).filter(|max| {
                let fits = target.is_none_or(|target| *max >= target);
                if !fits {
                    let fault = node.error("'max' is below 'target'");
                    let fault = match &target_at {
                        Some(place) => fault.related(place.clone(), "the target"),
                        None => fault.label(format!("the target is {} %", TARGET / 100)),
                    };
                    faults.push(fault.help(
                        "clients are sent up to 'target', and moved away at once above 'max'",
                    ));
                }
                fits
            }),
        };
    fields.finish(faults);
    let part = |share: u16| f64::from(share) / 10_000.0;
    let whole = |number: i64| number as f64;
    let capacity = Capacity {
        queries: unless_faulty(queries)?.map(whole),
        load: unless_faulty(load)?,
        target: part(target?),
        max: part(max?),
        errors: unless_faulty(most_errors)?.map(part),
    };
    sound.then_some(capacity)
}

/// `None` for what is written and faulty.
const fn unless_faulty<T: Copy>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(None) => None,
        Some(some) => Some(some),
    }
}

fn share_above_0(node: &Node, faults: &mut Faults) -> Option<u16> {
    let share = terms::share(node, faults)?;
    if share == 0 {
        faults.push(node.error("a share of nothing").help("write more than 0%"));
        return None;
    }
    Some(share)
}

/// Where measured load comes from.
fn load_source(node: &Node, faults: &mut Faults) -> Option<LoadSource> {
    let text = node.text(faults)?;
    let planned = ["orca:", "json:"].into_iter().find(|kind| text.starts_with(kind));
    if let Some(kind) = planned {
        let kind = kind.trim_end_matches(':');
        let fault = node.error(format!("load from '{kind}' is not supported by this version"));
        faults.push(fault.help(
            "write load = \"probe\", and let a monitor of its members look for the load; or \
                 \"push\", and report with 'meridian load' or POST /v1/loads",
        ));
        return None;
    }
    let sources = [("push", LoadSource::Push), ("probe", LoadSource::Probe)];
    node.word("source of load", &sources, faults)
}

/// `spill = { step = "5%", every = "30s", spread = 2 }`, or `false` for clients that stay.
pub(super) fn spill(
    node: Option<&Node>,
    policy: PolicySpec,
    faults: &mut Faults,
) -> Option<SpillRule> {
    const FASTEST: Duration = Duration::from_secs(1);
    const SLOWEST: Duration = Duration::from_secs(3600);
    let default = SpillRule::default();
    let Some(node) = node else { return Some(default) };
    if matches!(policy, PolicySpec::Weighted | PolicySpec::Hash | PolicySpec::RoundRobin) {
        let fault = node.error("'spill' is for policies with an order");
        faults.push(fault.help(
            "remove the key, or use policy = \"nearest\" or \"failover\"; under other policies a \
             pool at capacity is drawn less",
        ));
        return None;
    }
    if matches!(node.value, Value::Boolean(false)) {
        return Some(SpillRule { spread: 0, ..default });
    }
    let mut fields = node.fields("a spill", faults)?;
    let step = fields.get("step").map_or(Some(default.step), |node| share_above_0(node, faults));
    let every = fields.get("every");
    let every =
        every.map_or(Some(default.every), |node| terms::duration(node, FASTEST..=SLOWEST, faults));
    let spread = fields.get("spread");
    let spread =
        spread.map_or(Some(default.spread), |node| node.integer(1..=ORDER_MAX as i64 - 1, faults));
    fields.finish(faults);
    Some(SpillRule { step: step?, every: every?, spread: spread? })
}
