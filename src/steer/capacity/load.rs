//! What pools report of themselves: how loaded they are, for how long that may be believed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::region::Capacity;

/// One report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// The part of what the pool can do that is in use; above 1 it is overloaded.
    pub load: Option<f64>,
    /// The part of its answers that are errors, `0.0..=1.0`.
    pub errors: Option<f64>,
    /// When it came, on the clock of the knowledge plane.
    pub at: Duration,
    /// How long it may be believed.
    pub lifetime: Duration,
}

impl Report {
    /// Whether it says that the pool is full, so that its clients are to be moved at once.
    pub fn is_full(&self, capacity: &Capacity) -> bool {
        super::pool::fullness(capacity, self).is_some()
    }

    /// Whether it may still be believed.
    pub fn is_fresh(&self, now: Duration) -> bool {
        now < self.at.saturating_add(self.lifetime)
    }
}

/// The newest report of each pool, by `POOL@ZONE`.
#[derive(Debug, Clone, Default)]
pub struct Loads(BTreeMap<Box<str>, Report>);

impl Loads {
    /// Takes a report in the place of the one before.
    pub fn report(&mut self, pool: &str, report: Report) {
        self.0.insert(pool.into(), report);
    }

    /// The newest report of a pool, fresh or not.
    pub fn of(&self, pool: &str) -> Option<&Report> {
        self.0.get(pool)
    }

    /// Forgets pools that are not there any more.
    pub fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.0.retain(|pool, _| known(pool));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_believed_for_its_lifetime() {
        let second = Duration::from_secs;
        let mut loads = Loads::default();
        let report = |load, at| Report {
            load: Some(load),
            errors: None,
            at: second(at),
            lifetime: second(30),
        };
        loads.report("fra@example.org.", report(0.5, 10));
        loads.report("fra@example.org.", report(0.7, 20));
        let newest = loads.of("fra@example.org.").expect("a report");
        assert_eq!(newest.load, Some(0.7));
        assert!(newest.is_fresh(second(49)) && !newest.is_fresh(second(50)));
        loads.retain(|pool| pool.starts_with("iad"));
        assert_eq!(loads.of("fra@example.org."), None);
    }
}
