//! One pool: what it can take, by what is configured and what it reports.

use std::time::Duration;

use super::load::Report;
use super::smooth::Smooth;
use crate::region::Capacity;

/// After a pool that was full has been relieved, reports are not held against it again for so
/// long: answers act as slowly as caches forget.
const HOLD: Duration = Duration::from_secs(60);

/// By how much a pool that was full may be given more, in a second.
const RECOVERY: f64 = 1.002;

/// A pool's part of the state.
#[derive(Debug, Clone, Default)]
pub(super) struct Taking {
    /// Queries a second that it is sent, over the time that reports lag behind.
    sent: Smooth,
    /// Load that one query a second makes, as reported.
    per_query: Smooth,
    /// What it was shown not to be able to exceed, and until when it is not lowered again.
    ceiling: Option<(f64, Duration)>,
    /// Queries a second up to which it is sent clients; infinite when nothing is known.
    pub(super) target: f64,
    /// Queries a second above which clients are moved away at once.
    pub(super) max: f64,
    /// Its report is too old to be believed, or there never was one.
    pub(super) is_stale: bool,
}

impl Taking {
    /// Of a pool that takes any number.
    pub(super) fn unbounded() -> Self {
        Self { target: f64::INFINITY, max: f64::INFINITY, ..Self::default() }
    }

    /// Of a pool of which no more is known than what is configured.
    pub(super) fn configured(capacity: &Capacity) -> Self {
        let mut taking = Self::default();
        taking.target = taking.modelled(capacity);
        taking.max = taking.target * capacity.max / capacity.target;
        taking
    }

    /// Learns from the last `past`, during which it was sent `sent` queries a second.
    pub(super) fn learn(
        &mut self,
        capacity: &Capacity,
        report: Option<&Report>,
        sent: f64,
        (now, past): (Duration, Duration),
    ) {
        self.sent.add(sent, past);
        let report = report.filter(|report| report.is_fresh(now));
        self.is_stale = capacity.load.is_some() && report.is_none();
        if let Some(load) = report.and_then(|report| report.load)
            && self.sent.value() > 0.0
        {
            self.per_query.add(load / self.sent.value(), past);
        }
        if let Some((ceiling, _)) = &mut self.ceiling {
            *ceiling *= RECOVERY.powf(past.as_secs_f64());
        }
        if let Some(full) = report.and_then(|report| fullness(capacity, report)) {
            self.lower(capacity, full, now);
        }
        let modelled = self.modelled(capacity);
        let ceiling = self.ceiling.map_or(f64::INFINITY, |(ceiling, _)| ceiling);
        if ceiling >= modelled.min(4.0 * sent.max(self.sent.value())) {
            self.ceiling = None;
        }
        self.target = modelled.min(self.ceiling.map_or(f64::INFINITY, |(ceiling, _)| ceiling));
        self.max = self.target * capacity.max / capacity.target;
    }

    /// Supposes that what it is sent makes this load.
    pub(super) fn suppose(&mut self, capacity: &Capacity, sent: f64, load: f64) {
        // Of one that is sent nothing nothing is learned.
        if sent > 0.0 && load > 0.0 {
            self.target = sent * capacity.target / load;
            self.max = self.target * capacity.max / capacity.target;
        }
    }

    /// Queries a second at its target, by what one of them costs; as configured until its own
    /// reports have said so.
    fn modelled(&self, capacity: &Capacity) -> f64 {
        let measured = self.per_query.value();
        let configured = capacity.queries.map(|queries| queries * capacity.target);
        if measured > 0.0 {
            let learned = capacity.target / measured;
            // What is measured corrects what is configured, and does not do away with it.
            return configured.map_or(learned, |told| learned.clamp(told / 4.0, told * 4.0));
        }
        configured.unwrap_or(f64::INFINITY)
    }

    /// It is full with what it is sent: that much less from now on.
    fn lower(&mut self, capacity: &Capacity, full: f64, now: Duration) {
        if self.ceiling.is_some_and(|(_, until)| now < until) {
            return;
        }
        let ceiling = self.sent.value() * capacity.target / full;
        if ceiling > 0.0 {
            let before = self.ceiling.map_or(f64::INFINITY, |(ceiling, _)| ceiling);
            self.ceiling = Some((ceiling.min(before), now + HOLD));
        }
    }
}

/// How loaded a pool is that is above its max or makes too many errors; `None` for others. One
/// that makes errors is at least full, for a pool that sheds looks idle.
pub(super) fn fullness(capacity: &Capacity, report: &Report) -> Option<f64> {
    let load = report.load.unwrap_or(0.0);
    let errs = capacity.errors.zip(report.errors).is_some_and(|(most, errors)| errors >= most);
    (errs || load > capacity.max).then(|| if errs { load.max(1.0) } else { load })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::LoadSource;

    const STEP: Duration = Duration::from_secs(10);

    fn capacity(queries: Option<f64>) -> Capacity {
        Capacity {
            queries,
            load: Some(LoadSource::Push),
            target: 0.7,
            max: 0.9,
            errors: Some(0.05),
        }
    }

    /// A pool after so many steps at `sent` queries a second, with this report.
    fn after(steps: u32, capacity: &Capacity, sent: f64, report: Option<(f64, f64)>) -> Taking {
        let mut pool = Taking::default();
        (1..=steps).for_each(|step| one(&mut pool, step, capacity, sent, report));
        pool
    }

    fn one(pool: &mut Taking, step: u32, capacity: &Capacity, sent: f64, told: Option<(f64, f64)>) {
        let report = told.map(|(load, errors)| Report {
            load: Some(load),
            errors: Some(errors),
            at: STEP * step,
            lifetime: Duration::from_secs(30),
        });
        pool.learn(capacity, report.as_ref(), sent, (STEP * step, STEP));
    }

    #[test]
    fn without_a_report_what_is_configured_counts() {
        let pool = after(3, &capacity(Some(1000.0)), 100.0, None);
        assert!((pool.target - 700.0).abs() < 1e-9 && (pool.max - 900.0).abs() < 1e-9);
        assert!(pool.is_stale);
        assert_eq!(after(3, &capacity(None), 100.0, None).target, f64::INFINITY);
    }

    #[test]
    fn reports_correct_what_a_query_costs() {
        // 400 queries make half the load: 800 are all it can take.
        let pool = after(60, &capacity(Some(1000.0)), 400.0, Some((0.5, 0.0)));
        assert!((pool.target - 560.0).abs() < 1.0, "{}", pool.target);
        assert!(!pool.is_stale);
        let alone = after(60, &capacity(None), 400.0, Some((0.5, 0.0)));
        assert!((alone.target - 560.0).abs() < 1.0, "{}", alone.target);
        // A report of nonsense does not do away with what is configured.
        let idle = after(60, &capacity(Some(1000.0)), 400.0, Some((0.0001, 0.0)));
        assert!((idle.target - 2800.0).abs() < 1e-6, "{}", idle.target);
    }

    #[test]
    fn what_was_learned_outlives_the_report() {
        let mut pool = after(60, &capacity(None), 400.0, Some((0.5, 0.0)));
        (61..70).for_each(|step| one(&mut pool, step, &capacity(None), 300.0, None));
        assert!(pool.is_stale && (pool.target - 560.0).abs() < 1.0, "{}", pool.target);
    }

    #[test]
    fn a_pool_above_its_max_is_relieved_at_once_and_not_twice_for_one_overload() {
        let capacity = capacity(Some(1000.0));
        let mut pool = after(30, &capacity, 600.0, Some((0.6, 0.0)));
        one(&mut pool, 31, &capacity, 600.0, Some((1.4, 0.0)));
        let lowered = pool.target;
        assert!((lowered - 300.0).abs() < 1.0, "{lowered}");
        // Caches have not forgotten yet, and the load is as it was.
        one(&mut pool, 32, &capacity, 300.0, Some((1.3, 0.0)));
        assert!(pool.target > lowered && pool.target < lowered * 1.03);
    }

    #[test]
    fn a_pool_that_makes_errors_is_full_however_idle_it_looks() {
        let capacity = capacity(None);
        let mut pool = after(30, &capacity, 500.0, Some((0.3, 0.0)));
        let before = pool.target;
        one(&mut pool, 31, &capacity, 500.0, Some((0.1, 0.06)));
        assert!(before > 1000.0 && (pool.target - 350.0).abs() < 1.0, "{}", pool.target);
        // It gets its clients back by and by.
        (32..100)
            .for_each(|step| one(&mut pool, step, &capacity, pool_sent(step), Some((0.3, 0.0))));
        assert!(pool.target > 500.0, "{}", pool.target);
    }

    const fn pool_sent(_: u32) -> f64 {
        350.0
    }
}
