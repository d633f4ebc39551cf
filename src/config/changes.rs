//! `canary` and `switch` of a record or a rule: how its clients go to new pools.

use std::time::Duration;

use super::decode::{Faults, Fields, Node, Value};
use super::terms;
use crate::diagnostics::{Diagnostic, Span};
use crate::region::PoolId;
use crate::steer::record::RuleSpec;
use crate::steer::stages::{ALL, CanarySpec, Change};

/// Steps of a canary of which nothing else is said, in basis points.
const STEPS: [u16; 5] = [500, 1000, 2500, 5000, ALL];
/// How long a step is watched.
const EVERY: Duration = Duration::from_secs(30 * 60);
/// Health below which a canary is aborted, in basis points.
const ABORT_BELOW: u16 = 9000;
/// Most steps; more would be a ramp.
const STEPS_MAX: usize = 100;

/// The pools of a rule's new side, and how clients go over to it; without pools there is none.
pub(super) type Sides = (Vec<PoolId>, Option<Change>);

/// Where a rule's change is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written<'n> {
    /// `canary`.
    pub(super) canary: Option<&'n Node>,
    /// `switch`.
    pub(super) switch: Option<&'n Node>,
    /// It stands in the record, for those of its rules that have the pools.
    pub(super) is_common: bool,
}

impl<'n> Written<'n> {
    pub(super) fn take(fields: &mut Fields<'n>) -> Self {
        let (canary, switch) = (fields.get("canary"), fields.get("switch"));
        Self { canary, switch, is_common: false }
    }

    /// What is not written in a rule is taken from the record.
    pub(super) const fn or(self, common: Self) -> Self {
        match self {
            Self { canary: None, switch: None, .. } => Self { is_common: true, ..common },
            own => own,
        }
    }

    /// The names of a switch's pools, which need not be named twice.
    pub(super) fn pools(&self) -> Option<Vec<&'n Node>> {
        let Value::Table(entries) = &self.switch?.value else { return None };
        let side = |key: &str| entries.iter().find(|entry| entry.key == key);
        let items = |key| side(key).map(|entry| entry.node.one_or_list()).unwrap_or_default();
        Some(items("blue").iter().chain(items("green")).collect())
    }
}

/// Reads the change of a rule with these pools, if it has one. `find` gives the
/// pool of a name, with a fault where there is none.
pub(super) fn read(
    written: Written<'_>,
    pools: &[PoolId],
    mut find: impl FnMut(&str, &Span, &mut Faults) -> Option<PoolId>,
    faults: &mut Faults,
) -> Option<Sides> {
    let mut reader = Reader { pools, is_common: written.is_common, find: &mut find, faults };
    match (written.canary, written.switch) {
        (None, None) => Some(Sides::default()),
        (Some(canary), None) => reader.canary(canary),
        (None, Some(switch)) => reader.switch(switch),
        (Some(canary), Some(switch)) => {
            let fault = canary.error("a record has one change: a canary or a switch");
            let fault = fault.related(switch.span.clone(), "the switch");
            reader.faults.push(fault.help("remove one of the two"));
            None
        }
    }
}

struct Reader<'r> {
    pools: &'r [PoolId],
    is_common: bool,
    find: &'r mut dyn FnMut(&str, &Span, &mut Faults) -> Option<PoolId>,
    faults: &'r mut Faults,
}

impl Reader<'_> {
    fn canary(&mut self, node: &Node) -> Option<Sides> {
        let mut fields = node.fields("a canary", self.faults)?;
        let pool = fields.required("pool", &node.span, self.faults);
        let steps = match fields.get("steps") {
            None => Some(STEPS.to_vec()),
            Some(node) => steps(node, self.faults),
        };
        let every = match fields.get("every") {
            None => Some(EVERY),
            Some(node) => {
                let range = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
                terms::duration(node, range, self.faults)
            }
        };
        let abort_below = match fields.get("abort") {
            None => Some(ABORT_BELOW),
            Some(node) => node.parsed("a condition", abort, self.faults),
        };
        let starts_itself = match fields.get("start") {
            None => Some(false),
            Some(node) => {
                node.word("start of a canary", &[("manual", false), ("auto", true)], self.faults)
            }
        };
        fields.finish(self.faults);
        let pool = pool?;
        let name = pool.text(self.faults)?;
        let id = (self.find)(name, &pool.span, self.faults)?;
        let canary = CanarySpec {
            steps: steps?,
            every: every?,
            abort_below: abort_below?,
            starts_itself: starts_itself?,
        };
        if !self.pools.contains(&id) {
            return self.is_missing(name, pool);
        }
        if let [_] = self.pools {
            let fault = pool.error(format!("a canary on pool '{name}', which is the only one"));
            let help = "name the pool that clients come from among the pools, too";
            self.faults.push(fault.help(help));
            return None;
        }
        Some((vec![id], Some(Change::Canary(canary))))
    }

    fn switch(&mut self, node: &Node) -> Option<Sides> {
        let mut fields = node.fields("a switch", self.faults)?;
        let sides = ["blue", "green"].map(|side| fields.required(side, &node.span, self.faults));
        fields.finish(self.faults);
        let [blue, green] = sides;
        let (blue, green) = (self.side(blue?), self.side(green?));
        let (blue, green) = (blue?, green?);
        for (id, span, name) in &green {
            if let Some((_, first, _)) = blue.iter().find(|(other, ..)| other == id) {
                let message = format!("pool '{name}' is on both sides");
                let fault = Diagnostic::error(message, span.clone());
                self.faults.push(fault.related(first.clone(), "the other side"));
                return None;
            }
        }
        let is_there = |(id, ..): &&(PoolId, Span, &str)| self.pools.contains(id);
        let there = blue.iter().chain(&green).filter(is_there).count();
        if there == 0 && self.is_common {
            return Some(Sides::default());
        }
        if let Some((_, span, name)) =
            blue.iter().chain(&green).find(|(id, ..)| !self.pools.contains(id))
        {
            let message = format!("pool '{name}' is on a side, but not among the pools");
            let fault = Diagnostic::error(message, span.clone());
            let help = "name it in 'pools', or leave 'pools' out";
            self.faults.push(fault.help(help));
            return None;
        }
        if there < self.pools.len() {
            let fault = node.error("a pool is on neither side");
            let help = "name every pool in 'blue' or in 'green', or leave 'pools' out";
            self.faults.push(fault.help(help));
            return None;
        }
        let new = green.into_iter().map(|(id, ..)| id).collect();
        Some((new, Some(Change::Switch)))
    }

    /// The pools of one side, with their places.
    fn side<'n>(&mut self, node: &'n Node) -> Option<Vec<(PoolId, Span, &'n str)>> {
        let items = node.one_or_list();
        if items.is_empty() {
            self.faults.push(node.error("a side without pools").help("name at least one pool"));
            return None;
        }
        let mut side = Vec::new();
        for item in items {
            let name = item.text(self.faults)?;
            side.push(((self.find)(name, &item.span, self.faults)?, item.span.clone(), name));
        }
        Some(side)
    }

    /// A record's canary is for those of its rules that have the pool.
    fn is_missing(&mut self, name: &str, pool: &Node) -> Option<Sides> {
        if self.is_common {
            return Some(Sides::default());
        }
        let fault = pool.error(format!("a canary on pool '{name}', which is not among the pools"));
        self.faults.push(fault.help("name it in 'pools'"));
        None
    }
}

/// Shares, each larger than the one before.
fn steps(node: &Node, faults: &mut Faults) -> Option<Vec<u16>> {
    let items = node.list(faults)?;
    let steps: Vec<Option<u16>> = items.iter().map(|item| terms::share(item, faults)).collect();
    let steps: Option<Vec<u16>> = steps.into_iter().collect();
    let steps = steps?;
    if steps.is_empty() || steps.len() > STEPS_MAX {
        let fault = node.error(format!("a canary has 1 to {STEPS_MAX} steps"));
        faults.push(fault.help("write steps = [\"5%\", \"25%\", \"100%\"]"));
        return None;
    }
    if steps[0] == 0 || steps.windows(2).any(|pair| pair[0] >= pair[1]) {
        let fault = node.error("steps must grow");
        faults.push(fault.help("each is more than the one before, and the first more than 0%"));
        return None;
    }
    Some(steps)
}

/// `"health < 90%"`, or `"off"`.
fn abort(text: &str) -> Result<u16, String> {
    if text == "off" {
        return Ok(0);
    }
    let hint = || "write \"health < 90%\", or \"off\"".to_owned();
    let share = text.strip_prefix("health").map(str::trim_start);
    let share = share.and_then(|rest| rest.strip_prefix('<')).ok_or_else(hint)?;
    let number = share.trim().strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
    let number: f64 = number.ok_or_else(hint)?;
    if number > 0.0 && number <= 100.0 {
        Ok((number * 100.0).round() as u16)
    } else {
        Err("more than 0% and at most 100%".to_owned())
    }
}

/// All rules of a record that have a change have the same, so that one command leads them.
pub(super) fn agree<'r>(
    rules: impl Iterator<Item = (&'r RuleSpec, &'r Span)>,
    record: Written<'_>,
    faults: &mut Faults,
) -> bool {
    let mut staged = rules.filter_map(|(rule, span)| Some((rule.change.as_ref()?, span)));
    let Some((first, place)) = staged.next() else {
        let Some(node) = record.canary.or(record.switch) else { return true };
        let what = if record.canary.is_some() { "canary" } else { "switch" };
        let fault = node.error(format!("no rule of this record has the pools of its {what}"));
        faults.push(fault.help("name them in the 'pools' of a rule"));
        return false;
    };
    let Some((_, other)) = staged.find(|(change, _)| *change != first) else {
        return true;
    };
    let fault = Diagnostic::error("rules of one record change in different ways", other.clone());
    let fault = fault.related(place.clone(), "another rule");
    let help = "write the canary or switch once, in the record: one command leads all its rules";
    faults.push(fault.help(help));
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_is_a_bound_on_health() {
        assert_eq!(abort("health < 90%"), Ok(9000));
        assert_eq!(abort("health<99.5%"), Ok(9950));
        assert_eq!(abort("off"), Ok(0));
        for wrong in ["", "health", "health < 90", "health > 90%", "health < 0%", "health < 101%"] {
            assert!(abort(wrong).is_err(), "{wrong}");
        }
    }
}
