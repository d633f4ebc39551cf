//! `/v1/dials`: what moves from second to second, by names, for `simulate --live`.

use std::collections::HashMap;
use std::sync::Arc;

use super::view::{DialsView, OrderDials, PlanDials, RecordDials, RuleDials};
use crate::daemon::Daemon;
use crate::steer::record::{Plan, Record, Rule};
use crate::steer::spill::{FIRST, Spill};

/// How all dials stand.
pub(super) fn dials(daemon: &Daemon) -> DialsView {
    let room = daemon.room();
    let snapshot = daemon.snapshot();
    let mut asked: HashMap<*const Plan, HashMap<usize, f64>> = HashMap::new();
    for (plan, order, rate) in room.asked() {
        asked.entry(std::ptr::from_ref(plan)).or_default().insert(order, rate);
    }
    drop(room);
    let mut view = DialsView::default();
    let mut known: HashMap<*const Plan, usize> = HashMap::new();
    for record in snapshot.catalog.values().flat_map(|served| &served.records) {
        if record.plan.rules.iter().any(|rule| rule.dialled) {
            view.records.push(of_record(record));
        }
        let Some(spill) = record.plan.spill.as_deref() else { continue };
        let key = Arc::as_ptr(&record.plan);
        let at = *known.entry(key).or_insert_with(|| {
            let rates = asked.remove(&key).unwrap_or_default();
            view.plans.push(of_plan(&record.plan, spill, &rates));
            view.plans.len() - 1
        });
        view.plans[at].records.push(record.owner.to_string());
    }
    view
}

fn of_record(record: &Record) -> RecordDials {
    let rules = record.plan.rules.iter().enumerate();
    let rules = rules.map(|(number, rule)| RuleDials {
        new_side: record.dials.stage(number),
        keeps: by_pool(&record.plan, rule, |place| record.dials.keep(number, place)),
    });
    RecordDials { record: record.owner.to_string(), rules: rules.collect() }
}

fn of_plan(plan: &Plan, spill: &Spill, rates: &HashMap<usize, f64>) -> PlanDials {
    let rules = plan.rules.iter().enumerate();
    let keeps = rules.map(|(number, rule)| by_pool(plan, rule, |place| spill.keep(number, place)));
    let orders = plan.map.orders().iter().enumerate().filter_map(|(number, order)| {
        let (word, rate) = (spill.word(number), rates.get(&number).copied().unwrap_or(0.0));
        let is_still = word == FIRST && rate <= 0.0;
        Some(OrderDials {
            rule: usize::from(order.rule.filter(|_| !is_still)?),
            pools: order
                .sites
                .iter()
                .take(usize::from(order.len))
                .map(|site| name(plan, *site))
                .collect(),
            begins: (word != FIRST).then(|| word.to_le_bytes()),
            queries_per_second: rate,
        })
    });
    PlanDials { records: Vec::new(), keeps: keeps.collect(), orders: orders.collect() }
}

fn by_pool(plan: &Plan, rule: &Rule, keep: impl Fn(usize) -> u16) -> Vec<(String, u16)> {
    let own = rule.own.iter().enumerate();
    own.map(|(place, site)| (name(plan, *site), keep(place))).collect()
}

fn name(plan: &Plan, site: u16) -> String {
    let row = plan.sites.get(usize::from(site)).map(|site| usize::from(site.row));
    row.and_then(|row| plan.pools.get(row)).map_or_else(String::new, ToString::to_string)
}
