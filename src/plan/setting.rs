//! What moves from second to second in a snapshot, put down and set again: ramps, sides, and
//! where clients begin because pools are at capacity.
//!
//! Two states of things that share a snapshot share its dials. Each is asked with its own setting
//! turned, order by order.

use std::collections::HashMap;
use std::sync::Arc;

use crate::snapshot::Snapshot;
use crate::steer::record::{Plan, Record};

/// A setting of all dials of a snapshot's records.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    plans: HashMap<*const Plan, Arc<Begins>>,
    records: HashMap<*const Record, Arc<Shares>>,
}

/// Where the clients of a plan begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Begins {
    /// By order of the map, [as `Spill` has it](crate::steer::spill).
    pub words: Vec<u64>,
    /// By rule and place among its own sites, in 1/65535.
    pub keeps: Vec<Vec<u16>>,
}

/// Whom the rules of a record give their pools.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    /// By rule, the share of clients on the new side, in 1/65535.
    pub stages: Vec<u16>,
    /// By rule and place among its own sites, in 1/65535.
    pub keeps: Vec<Vec<u16>>,
}

impl Begins {
    /// As a plan has it now; `None` where nothing moves.
    pub fn of(plan: &Plan) -> Option<Self> {
        let spill = plan.spill.as_deref()?;
        let words = (0..plan.map.orders().len()).map(|order| spill.word(order)).collect();
        let rules = plan.rules.iter().enumerate();
        let keeps = rules.map(|(number, rule)| {
            (0..rule.own.len()).map(|place| spill.keep(number, place)).collect()
        });
        Some(Self { words, keeps: keeps.collect() })
    }
}

impl Shares {
    /// As a record has it now.
    pub fn of(record: &Record) -> Self {
        let rules = record.plan.rules.iter().enumerate();
        let keeps = rules.map(|(number, rule)| {
            (0..rule.own.len()).map(|place| record.dials.keep(number, place)).collect()
        });
        let keeps = keeps.collect();
        Self {
            stages: (0..record.plan.rules.len()).map(|n| record.dials.stage(n)).collect(),
            keeps,
        }
    }
}

impl Setting {
    /// As everything stands in a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut setting = Self::default();
        for record in snapshot.catalog.values().flat_map(|served| &served.records) {
            if record.plan.rules.iter().any(|rule| rule.dialled) {
                setting.set_shares(record, Shares::of(record));
            }
            if let Some(begins) = Begins::of(&record.plan) {
                setting.set_begins(&record.plan, begins);
            }
        }
        setting
    }

    /// Where a plan's clients begin, otherwise than before.
    pub fn set_begins(&mut self, plan: &Plan, begins: Begins) {
        self.plans.insert(std::ptr::from_ref(plan), Arc::new(begins));
    }

    /// Whom a record's rules give their pools, otherwise than before.
    pub fn set_shares(&mut self, record: &Record, shares: Shares) {
        self.records.insert(std::ptr::from_ref(record), Arc::new(shares));
    }

    /// What there is to turn for one record.
    pub fn knobs(&self, record: &Record) -> Knobs {
        Knobs {
            begins: self.plans.get(&Arc::as_ptr(&record.plan)).map(Arc::clone),
            shares: self.records.get(&std::ptr::from_ref(record)).map(Arc::clone),
        }
    }

    /// Turns everything.
    pub fn turn(&self, snapshot: &Snapshot) {
        for record in snapshot.catalog.values().flat_map(|served| &served.records) {
            let knobs = self.knobs(record);
            let orders = record.plan.map.orders().iter().enumerate();
            orders.for_each(|(number, order)| knobs.turn(record, order.rule, number));
        }
    }
}

/// The part of a setting that is of one record.
#[derive(Debug, Clone, Default)]
pub struct Knobs {
    begins: Option<Arc<Begins>>,
    shares: Option<Arc<Shares>>,
}

impl Knobs {
    /// Turns what clients of one order look at.
    #[inline]
    pub fn turn(&self, record: &Record, rule: Option<u8>, order: usize) {
        let rule = rule.map(usize::from);
        if let (Some(begins), Some(spill)) = (&self.begins, record.plan.spill.as_deref()) {
            if let Some(word) = begins.words.get(order) {
                spill.set_word(order, *word);
            }
            let keeps = rule.and_then(|rule| Some((rule, begins.keeps.get(rule)?)));
            for (place, keep) in keeps.iter().flat_map(|(_, keeps)| keeps.iter().enumerate()) {
                spill.set_keep(rule.unwrap_or_default(), place, *keep);
            }
        }
        let (Some(shares), Some(rule)) = (&self.shares, rule) else { return };
        if let Some(stage) = shares.stages.get(rule) {
            record.dials.set_stage(rule, *stage);
        }
        for (place, keep) in shares.keeps.get(rule).into_iter().flatten().enumerate() {
            record.dials.set_keep(rule, place, *keep);
        }
    }
}
