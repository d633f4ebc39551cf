//! What plans would be told if pools came or went, or had another load: the planner's own
//! conclusions, drawn on a copy of what it knows.

use std::sync::Arc;

use super::CapacityPlanner;
use crate::health::table::HealthTable;
use crate::region::PoolId;
use crate::steer::spill::{Spill, Spills};

impl CapacityPlanner {
    /// What plans would be told, once all were moved, under this health and with these loads, as
    /// parts of what pools can take. Nobody is told anything, and nothing is learned.
    pub fn supposing(&self, health: &HealthTable, loads: &[(PoolId, f64)]) -> Spills {
        let mut copy = self.clone();
        for named in &mut copy.model.plans {
            named.set_aside();
        }
        copy.model.classes.iter_mut().for_each(|class| class.published = None);
        copy.suppose_loads(health, loads);
        copy.settle(health);
        copy.publish();
        Spills(copy.model.plans.iter().filter_map(super::model::Named::aside).collect())
    }

    /// For want of counters: as many queries from the clients of every order, and pools that can
    /// take any number until another load is supposed.
    pub fn presume(&mut self) {
        self.suppose(|_, _| 1.0);
        for pool in &mut self.model.pools {
            pool.taking = super::pool::Taking::unbounded();
        }
    }
}

impl super::model::Named {
    /// Tells a plan nothing from here on, and puts down what it would be told.
    fn set_aside(&mut self) {
        let own = self.plan.rules.iter().map(|rule| rule.own.len());
        self.aside = Some(Arc::new(Spill::new(0, self.plan.map.orders().len(), own)));
    }

    fn aside(&self) -> Option<(Arc<crate::steer::record::Plan>, Arc<Spill>)> {
        Some((Arc::clone(&self.plan), Arc::clone(self.aside.as_ref()?)))
    }
}
