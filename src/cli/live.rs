//! What a running server knows that no file tells, for commands that begin there: verdicts, ramps,
//! sides, where clients begin, how often they ask and what pools take.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::client::Client;
use crate::admin::view::{DialsView, PlanDials, Status};
use crate::health::table::{HealthTable, PoolWord, Verdict};
use crate::plan::setting::{Begins, Setting, Shares};
use crate::plan::simulate::Measured;
use crate::plan::suppose::all_up;
use crate::plan::traffic::Rates;
use crate::region::{AreaId, Family, PoolId};
use crate::snapshot::Snapshot;
use crate::steer::dials::ALL;
use crate::steer::record::{Plan, Record, Rule};
use crate::steer::spill::FIRST;

/// What it told.
pub(super) struct Live {
    status: Status,
    dials: DialsView,
}

impl Live {
    /// Asks the daemon of a configuration, or the one whose API listens at `api`.
    pub(super) fn ask(api: Option<&str>, config: &Path) -> anyhow::Result<Self> {
        let client = Client::new(api, Some(config))?;
        Ok(Self { status: client.get("/v1/status", &[])?, dials: client.get("/v1/dials", &[])? })
    }

    /// Its verdicts on the pools of these files; pools it does not have are up.
    pub(super) fn health(&self, snapshot: &Snapshot) -> HealthTable {
        known(&self.status, snapshot)
    }

    /// Its dials, for the records of these files that it has too.
    pub(super) fn setting(&self, snapshot: &Snapshot) -> Setting {
        // Whatever it does not know of is at rest.
        let mut setting = Setting::of(snapshot);
        let dials = self.dials.records.iter().map(|of| (&*of.record, of));
        let dials: HashMap<&str, _> = dials.collect();
        let plans = self.plans();
        for record in records(snapshot) {
            let owner = record.owner.to_string();
            if let Some(known) = dials.get(&*owner) {
                let mut shares = Shares::of(record);
                for ((number, rule), of) in record.plan.rules.iter().enumerate().zip(&known.rules) {
                    shares.stages[number] = of.new_side;
                    set_keeps(&mut shares.keeps[number], &record.plan, rule, &of.keeps);
                }
                setting.set_shares(record, shares);
            }
            if let Some(known) = plans.get(&*owner)
                && let Some(mut begins) = Begins::of(&record.plan)
            {
                for ((number, rule), of) in record.plan.rules.iter().enumerate().zip(&known.keeps) {
                    set_keeps(&mut begins.keeps[number], &record.plan, rule, of);
                }
                for (word, of) in begins.words.iter_mut().zip(orders(&record.plan, known)) {
                    let told = of.and_then(|order| order.begins);
                    *word = told.map_or(FIRST, u64::from_le_bytes);
                }
                setting.set_begins(&record.plan, begins);
            }
        }
        setting
    }

    /// Queries a second by record: where several are steered alike, an equal part of what all of
    /// them are asked. `None` while nobody asks, or no pool has a capacity.
    pub(super) fn rates(&self) -> Option<Rates> {
        let plans = self.dials.plans.iter();
        let of = plans.flat_map(|plan| {
            let sum: f64 = plan.orders.iter().map(|order| order.queries_per_second).sum();
            let each = sum / plan.records.len().max(1) as f64;
            plan.records.iter().map(move |record| (record.clone(), each))
        });
        let of: Vec<(String, f64)> = of.filter(|(_, rate)| *rate > 0.0).collect();
        (!of.is_empty()).then(|| Rates::measured(of.into_iter()))
    }

    /// Who asks, and what pools take, as it has measured.
    pub(super) fn measured(&self, snapshot: &Snapshot) -> Measured {
        let mut measured = Measured::default();
        let plans = self.plans();
        let mut seen: Vec<*const Plan> = Vec::new();
        for record in records(snapshot).filter(|record| record.plan.spill.is_some()) {
            let Some(known) = plans.get(&*record.owner.to_string()) else { continue };
            if seen.contains(&Arc::as_ptr(&record.plan)) {
                continue;
            }
            seen.push(Arc::as_ptr(&record.plan));
            for (number, of) in orders(&record.plan, known).enumerate() {
                let rate = of.map_or(0.0, |order| order.queries_per_second);
                measured.traffic.set(&record.plan, number, rate);
            }
        }
        for (id, pool) in (0..).map(PoolId).zip(&snapshot.pools) {
            let origin = pool.origin.to_string();
            let mut known = self.status.capacity.iter();
            let known = known.find(|view| *view.pool == *pool.name && view.zone == origin);
            measured.room.extend(known.map(|view| (id, [view.target, view.max])));
        }
        measured
    }

    fn plans(&self) -> HashMap<&str, &PlanDials> {
        let plans = self.dials.plans.iter();
        plans.flat_map(|plan| plan.records.iter().map(move |name| (&**name, plan))).collect()
    }
}

fn records(snapshot: &Snapshot) -> impl Iterator<Item = &Record> {
    snapshot.catalog.values().flat_map(|served| &served.records)
}

/// What is told of each order of a plan, by its rule and its pools.
fn orders<'o>(
    plan: &'o Plan,
    known: &'o PlanDials,
) -> impl Iterator<Item = Option<&'o crate::admin::view::OrderDials>> {
    let by_name = known.orders.iter().map(|order| ((order.rule, &*order.pools), order));
    let by_name: HashMap<(usize, &[String]), _> = by_name.collect();
    plan.map.orders().iter().map(move |order| {
        let sites = order.sites.iter().take(usize::from(order.len));
        let pools: Vec<String> = sites.map(|site| name(plan, *site).to_owned()).collect();
        by_name.get(&(usize::from(order.rule?), &*pools)).copied()
    })
}

fn set_keeps(keeps: &mut [u16], plan: &Plan, rule: &Rule, told: &[(String, u16)]) {
    for (keep, site) in keeps.iter_mut().zip(&rule.own) {
        let known = told.iter().find(|(pool, _)| pool == name(plan, *site));
        *keep = known.map_or(ALL, |(_, keep)| *keep);
    }
}

fn name(plan: &Plan, site: u16) -> &str {
    let row = plan.sites.get(usize::from(site)).map(|site| usize::from(site.row));
    row.and_then(|row| plan.pools.get(row)).map_or("", |name| name)
}

/// The daemon's verdicts on the pools of these files; pools it does not have are up.
fn known(status: &Status, snapshot: &Snapshot) -> HealthTable {
    let table = all_up(&snapshot.pools, snapshot.areas.len());
    for (id, pool) in (0..).map(PoolId).zip(&snapshot.pools) {
        let origin = pool.origin.to_string();
        let view = status.pools.iter().find(|view| *view.pool == *pool.name && view.zone == origin);
        for view in view.iter().flat_map(|view| &view.families) {
            for family in [Family::V4, Family::V6] {
                if !view.family.is_empty() && !is_family(&view.family, family) {
                    continue;
                }
                let all = table.word(id, family, AreaId::WORLD).live();
                let word = word_of(all, (&view.verdict, view.eligible), view.live, view.keeps);
                table.store_everywhere(id, family, word);
                for (name, of) in &view.areas {
                    let Some(area) = snapshot.area(name) else { continue };
                    let word = word_of(all, (&of.verdict, of.eligible), of.live, of.keeps);
                    table.store(id, family, area, word);
                }
            }
        }
    }
    table
}

/// A pool's word as it was told; `all` are its members.
fn word_of(
    all: u32,
    (verdict, is_eligible): (&str, bool),
    live: usize,
    keeps: Option<f64>,
) -> PoolWord {
    let verdict = VERDICTS.into_iter().find(|known| known.as_str() == verdict);
    // Which of them live is not told: how many is.
    let first = match live {
        live if live >= all.count_ones() as usize => all,
        live => all & ((1u64 << live) - 1) as u32,
    };
    let live = if is_eligible { first.max(all & 1) } else { 0 };
    let keep = keeps.map_or(PoolWord::KEEP_ALL, |part| {
        (part.clamp(0.0, 1.0) * f64::from(PoolWord::KEEP_ALL)).round() as u16
    });
    PoolWord::new(verdict.unwrap_or(Verdict::Unknown), keep, live)
}

const VERDICTS: [Verdict; 8] = [
    Verdict::Unknown,
    Verdict::Up,
    Verdict::Degraded,
    Verdict::Down,
    Verdict::Draining,
    Verdict::ForcedDown,
    Verdict::ForcedUp,
    Verdict::Maintenance,
];

/// Whether the word in `/v1/status` means a family; pools that hand over by name have one word
/// for both.
fn is_family(word: &str, family: Family) -> bool {
    match word.to_ascii_lowercase().as_str() {
        "v4" | "ipv4" => family == Family::V4,
        "v6" | "ipv6" => family == Family::V6,
        _ => true,
    }
}
