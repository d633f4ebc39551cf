//! `[group.NAME]` of a policy file: pools that are chosen among by a policy of their own, and
//! that stand in `pools` as one. A record with one rule for everybody can stand there too.

use std::collections::BTreeMap;

use super::decode::{Entry, Faults, Node, Value};
use super::pools::Pools;
use super::records::POLICIES;
use super::regions::check_name;
use super::{stays, suggest};
use crate::diagnostics::{Diagnostic, Span};
use crate::region::PoolId;
use crate::steer::key::KeyLengths;
use crate::steer::nest::{ItemSpec, LevelSpec, NestSpec};
use crate::steer::record::PolicySpec;

/// Most levels one rule may have: who needs more has made a mistake.
const LEVELS_MAX: usize = 64;

/// The groups of one zone by name.
#[derive(Debug, Default)]
pub(super) struct Nests {
    by_name: BTreeMap<String, Group>,
    /// Names of groups with faults that are told.
    broken: Vec<String>,
}

#[derive(Debug)]
struct Group {
    place: Span,
    policy: PolicySpec,
    key: Option<KeyLengths>,
    /// It is a record, whose faults are told elsewhere.
    is_record: bool,
    /// Names, as written, with weights.
    items: Vec<(String, u32, Span)>,
}

/// A rule's groups, while it is read.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// What the rule names: pools and groups, with weights.
    own: Vec<(String, u32)>,
    /// One of them is a group.
    pub(super) nested: bool,
}

/// Reads the groups of a policy file, and what records could stand in for one.
pub(super) fn read(
    groups: Option<&Node>,
    records: Option<&Node>,
    pools: &Pools,
    faults: &mut Faults,
) -> Nests {
    let mut found = Nests::default();
    for entry in groups.and_then(|node| node.table(faults)).unwrap_or_default() {
        check_name("group", entry, faults);
        if let Some(pool) = pools.by_name.get(&entry.key) {
            let message = format!("'{}' is a pool and a group", entry.key);
            let fault = Diagnostic::error(message, entry.key_span.clone());
            faults.push(fault.related(pool.place.clone(), "the pool").help("rename one of them"));
            continue;
        }
        match group(entry, faults) {
            Some(group) => _ = found.by_name.insert(entry.key.clone(), group),
            None => found.broken.push(entry.key.clone()),
        }
    }
    // Their faults are told where records are read.
    let quiet = &mut Faults::default();
    for entry in records.and_then(|node| node.table(quiet)).unwrap_or_default() {
        let is_taken =
            found.by_name.contains_key(&entry.key) || pools.by_name.contains_key(&entry.key);
        if !is_taken && let Some(group) = standing_in(entry, quiet) {
            found.by_name.insert(entry.key.clone(), group);
        }
    }
    found.tell_loops(faults);
    found.tell_unknown(pools, faults);
    found
}

fn group(entry: &Entry, faults: &mut Faults) -> Option<Group> {
    let mut fields = entry.node.fields("a group", faults)?;
    let policy = fields.required("policy", &entry.key_span, faults);
    let policy = policy.and_then(|node| node.word("policy", &POLICIES, faults));
    let latency = fields.get("policy").filter(|_| policy == Some(PolicySpec::Latency));
    if let Some(node) = latency {
        let fault = node.error("policy 'latency' is for rules");
        faults.push(
            fault.help("a group can be \"nearest\"; under a rule with latencies it goes by these"),
        );
    }
    let items = fields.required("pools", &entry.key_span, faults);
    let items = items.and_then(|node| items_of(node, faults));
    let (sticky, key) = (fields.get("sticky"), fields.get("key"));
    fields.finish(faults);
    let policy = policy.filter(|_| latency.is_none())?;
    let key = stays::key(sticky, key, policy, None, faults)?;
    let place = entry.key_span.clone();
    Some(Group { place, policy, key, is_record: false, items: items? })
}

/// A record as a group: one without rules of its own.
fn standing_in(entry: &Entry, quiet: &mut Faults) -> Option<Group> {
    let mut fields = entry.node.fields("a record", quiet)?;
    if fields.get("rule").is_some() {
        return None;
    }
    let policy = match fields.get("policy") {
        Some(node) => node.word("policy", &POLICIES, quiet)?,
        None => PolicySpec::Failover,
    };
    let items = items_of(fields.get("pools")?, quiet)?;
    let key = stays::key(fields.get("sticky"), fields.get("key"), policy, None, quiet)?;
    let place = entry.key_span.clone();
    Some(Group { place, policy, key, is_record: true, items })
}

/// Names with weights.
fn items_of(node: &Node, faults: &mut Faults) -> Option<Vec<(String, u32, Span)>> {
    let mut items = Vec::new();
    match &node.value {
        Value::Array(list) => {
            for item in list {
                items.push((item.text(faults)?.to_owned(), 1, item.span.clone()));
            }
        }
        Value::Table(entries) => {
            for entry in entries {
                let weight = entry.node.integer(0..=1_000_000, faults)?;
                items.push((entry.key.clone(), weight, entry.key_span.clone()));
            }
        }
        _ => return node.expected("a list of pools, or a table of pools and weights", faults),
    }
    if items.is_empty() {
        faults.push(node.error("no pools").help("name the pools: pools = [\"fra\", \"dub\"]"));
        return None;
    }
    Some(items)
}

impl Nests {
    /// Whether `name` stands for a group.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The groups that are nothing else, by name, with the place of each.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &Span)> {
        let groups = self.by_name.iter().filter(|(_, group)| !group.is_record);
        groups.map(|(name, group)| (&**name, &group.place))
    }

    /// Whether what is wrong with the group `name` is told already.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.broken.iter().any(|broken| broken == name)
    }

    /// The pools inside a group, each once, with the place at which it is named.
    pub(super) fn pools_in(&self, name: &str, pools: &Pools) -> Vec<(PoolId, Span)> {
        let mut found: Vec<(PoolId, Span)> = Vec::new();
        let mut waiting = vec![name.to_owned()];
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = waiting.pop() {
            if seen.contains(&name) {
                continue;
            }
            for (item, _, place) in self.by_name.get(&name).map_or(&[][..], |group| &group.items) {
                match pools.by_name.get(item) {
                    Some(pool) if found.iter().any(|(known, _)| *known == pool.id) => {}
                    Some(pool) => found.push((pool.id, place.clone())),
                    None => waiting.push(item.clone()),
                }
            }
            seen.push(name);
        }
        found
    }

    /// How the pools of a rule with groups are put together.
    pub(super) fn nest(
        &self,
        items: &Items,
        (policy, key): (PolicySpec, Option<KeyLengths>),
        pools: &Pools,
        place: &Span,
        faults: &mut Faults,
    ) -> Option<NestSpec> {
        let mut levels = vec![LevelSpec { name: "".into(), policy, key, items: Vec::new() }];
        let mut waiting: Vec<(usize, Vec<(String, u32)>)> = vec![(0, items.own.clone())];
        while let Some((at, items)) = waiting.pop() {
            for (name, weight) in items {
                let item = match (pools.by_name.get(&name), self.by_name.get(&name)) {
                    (Some(pool), _) => ItemSpec::Pool(pool.id),
                    (None, Some(group)) => {
                        if levels.len() == LEVELS_MAX {
                            let message = format!("more than {LEVELS_MAX} groups inside a rule");
                            faults.push(Diagnostic::error(message, place.clone()));
                            return None;
                        }
                        let (policy, key) = (group.policy, group.key);
                        levels.push(LevelSpec { name: (*name).into(), policy, key, items: vec![] });
                        let items =
                            group.items.iter().map(|(name, weight, _)| (name.clone(), *weight));
                        waiting.push((levels.len() - 1, items.collect()));
                        ItemSpec::Level(levels.len() - 1)
                    }
                    (None, None) => return None,
                };
                levels[at].items.push((item, weight));
            }
        }
        Some(NestSpec { levels })
    }

    /// Nests that contain themselves are told, and taken out.
    fn tell_loops(&mut self, faults: &mut Faults) {
        let names: Vec<String> = self.by_name.keys().cloned().collect();
        for name in names {
            let Some(path) = self.way_back(&name) else { continue };
            let Some(group) = self.by_name.remove(&name) else { continue };
            self.broken.push(name.clone());
            let message = format!("group '{name}' contains itself");
            let fault = Diagnostic::error(message, group.place);
            faults.push(fault.label(path.join(" in turn has ")));
        }
    }

    /// The names from a group back to itself, if there is such a way.
    fn way_back(&self, name: &str) -> Option<Vec<String>> {
        let mut seen: Vec<&str> = Vec::new();
        let mut waiting = vec![vec![name.to_owned()]];
        while let Some(path) = waiting.pop() {
            let Some(group) = path.last().and_then(|last| self.by_name.get(last)) else { continue };
            for (item, ..) in &group.items {
                let mut next = path.clone();
                next.push(item.clone());
                if item == name {
                    return Some(next);
                }
                if !seen.contains(&item.as_str()) {
                    seen.push(item);
                    waiting.push(next);
                }
            }
        }
        None
    }

    /// Names that stand for nothing are told, and their groups taken out. Records tell theirs
    /// themselves.
    fn tell_unknown(&mut self, pools: &Pools, faults: &mut Faults) {
        let known: Vec<String> = pools.by_name.keys().chain(self.by_name.keys()).cloned().collect();
        let known: Vec<&str> = known.iter().map(|name| &**name).collect();
        for group in self.by_name.values_mut() {
            group.items.retain(|(item, _, place)| {
                let is_known = known.contains(&item.as_str());
                if !is_known && !group.is_record && !self.broken.contains(item) {
                    let message = format!("neither a pool nor a group: '{item}'");
                    let mut fault = Diagnostic::error(message, place.clone());
                    fault.help = suggest::help(item, &known, "pools and groups of this file");
                    faults.absent(Some(&pools.source), fault);
                }
                is_known
            });
        }
    }
}

impl Items {
    /// The rule names this already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.own.iter().any(|(known, _)| known == name)
    }

    /// The rule names a pool, or a group.
    pub(super) fn push(&mut self, name: &str, weight: u32, is_group: bool) {
        self.own.push((name.to_owned(), weight));
        self.nested |= is_group;
    }
}
