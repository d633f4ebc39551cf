//! `type = "composite"`: monitors made of other monitors.
//!
//! Parts are named, whether they are probed or are composites themselves; what names itself over
//! whatever way is refused. All of it is read before any of it is put together.

use super::decode::{Faults, Fields, Node, Value};
use super::monitor_kinds::{self, Type};
use super::monitors::Monitors;
use crate::diagnostics::{Diagnostic, Span};
use crate::probe::monitor::{CompositeMonitor, Method};
use std::sync::Arc;

/// What is written of a composite.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: Box<str>,
    /// So many parts must serve; `None` for a fault.
    need: Option<u16>,
    /// The parts, and where each is named.
    of: Vec<(String, Span)>,
}

/// Keys of what is probed that stand in no list of their own.
const OF_PARTS: [&str; 8] =
    ["port", "interval", "fast_interval", "timeout", "rise", "fall", "quorum", "voters"];

/// Reads `of` and `need`, and refuses everything else.
pub(super) fn read(
    name: &str,
    fields: &mut Fields<'_>,
    place: &Span,
    faults: &mut Faults,
) -> Draft {
    monitor_kinds::refuse(fields, Type::Composite, faults);
    for key in OF_PARTS {
        if let Some(entry) = fields.entry(key) {
            let message = format!("a composite monitor has no '{key}'");
            let fault = Diagnostic::error(message, entry.key_span.clone());
            faults.push(fault.help("each of its parts has its own"));
        }
    }
    let written = fields.required("of", place, faults);
    let mut of: Vec<(String, Span)> = Vec::new();
    for node in written.and_then(|node| node.list(faults)).unwrap_or_default() {
        let Some(part) = node.text(faults) else { continue };
        if let Some((_, first)) = of.iter().find(|(known, _)| known == part) {
            let fault = node.error(format!("'{part}' is a part twice"));
            faults.push(fault.related(first.clone(), "first here"));
            continue;
        }
        of.push((part.to_owned(), node.span.clone()));
    }
    if let Some(node) = written
        && matches!(&node.value, Value::Array(items) if items.is_empty())
    {
        faults.push(node.error("a composite without parts").help("name its monitors"));
    }
    let need = need(fields.get("need"), of.len(), faults);
    Draft { name: name.into(), need, of }
}

/// `"all"`, `"any"`, or how many.
fn need(node: Option<&Node>, parts: usize, faults: &mut Faults) -> Option<u16> {
    let all = u16::try_from(parts).unwrap_or(u16::MAX);
    let Some(node) = node else { return Some(all) };
    if let Value::String(_) = node.value {
        return node.word("number of parts", &[("all", all), ("any", 1)], faults);
    }
    let need: u16 = node.integer(1..=i64::from(u16::MAX), faults)?;
    if need > all && all > 0 {
        let fault = node.error(format!("a composite that needs {need} of {all} parts"));
        faults.push(fault.help("write need = \"all\", \"any\", or a number of parts"));
        return None;
    }
    Some(need)
}

/// Puts named composites together, each behind its parts, and complains of parts that are not
/// defined, and of composites that are parts of themselves.
pub(super) fn combine(drafts: Vec<Draft>, monitors: &mut Monitors, faults: &mut Faults) {
    let mut waiting = Vec::new();
    for draft in &drafts {
        let mut is_sound = true;
        for (part, place) in &draft.of {
            is_sound &= monitors.find(part, place, faults).is_some();
            let way = circle(&drafts, part, &draft.name);
            if !way.is_empty() {
                is_sound = false;
                let name = &draft.name;
                let message = format!("monitor '{name}' is a part of itself: {name} → {way}");
                faults.push(Diagnostic::error(message, place.clone()));
            }
        }
        if is_sound {
            waiting.push(draft);
        }
    }
    // Those left wait for one that has a fault.
    loop {
        let before = waiting.len();
        waiting.retain(|draft| match draft.build(monitors) {
            Some(method) => {
                monitors.define(&draft.name, method);
                false
            }
            None => true,
        });
        if waiting.len() == before {
            return;
        }
    }
}

impl Draft {
    /// The composite, where all its parts are there.
    pub(super) fn build(&self, monitors: &Monitors) -> Option<Method> {
        let of = self.of.iter().map(|(part, _)| monitors.method(part).cloned());
        let of: Vec<Method> = of.collect::<Option<_>>()?;
        let name = self.name.clone();
        let composite = CompositeMonitor { name, need: self.need?, of };
        (!composite.of.is_empty()).then(|| Method::Composite(Arc::new(composite)))
    }

    /// Complains of parts that are not defined.
    pub(super) fn look_up(&self, monitors: &Monitors, faults: &mut Faults) {
        for (part, place) in &self.of {
            let _ = monitors.find(part, place, faults);
        }
    }

    /// The names of its parts.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.of.iter().map(|(part, _)| &**part)
    }
}

/// The way from the monitor `from` along parts to the monitor `to`; empty where there is none.
fn circle(drafts: &[Draft], from: &str, to: &str) -> String {
    let mut seen = vec![from];
    let mut ways = vec![(from, from.to_owned())];
    while let Some((at, way)) = ways.pop() {
        if at == to {
            return way;
        }
        let parts = drafts.iter().filter(|draft| *draft.name == *at).flat_map(Draft::parts);
        for part in parts {
            if !seen.contains(&part) {
                seen.push(part);
                ways.push((part, format!("{way} → {part}")));
            }
        }
    }
    String::new()
}
