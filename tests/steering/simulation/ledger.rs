//! What is noted once more beside the software, to judge it by: orders in force, and how much of
//! all answers was moved by order and by canaries.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use meridian::health::overrides::{Override, OverrideState, OverrideTarget};

use super::records::REGIONS;

/// The orders of operators.
#[derive(Default)]
pub(super) struct Ledger {
    orders: Vec<Override>,
    planned: Vec<(u64, Override)>,
    wall: u64,
}

impl Ledger {
    pub(super) fn set(&mut self, order: Override) {
        self.lift(&order.target);
        self.orders.push(order);
    }

    pub(super) fn lift(&mut self, target: &OverrideTarget) {
        self.orders.retain(|order| order.target != *target);
    }

    pub(super) fn plan(&mut self, order: Override, from: u64) {
        self.planned.retain(|(_, other)| other.target != order.target);
        self.planned.push((from, order));
        self.planned.sort_by_key(|(from, _)| *from);
    }

    /// It is `wall` now.
    pub(super) fn second(&mut self, wall: u64) {
        self.wall = wall;
        let is_over = |order: &Override| order.until.is_some_and(|until| until <= wall);
        self.orders.retain(|order| !is_over(order));
        let (due, later) = std::mem::take(&mut self.planned)
            .into_iter()
            .partition::<Vec<_>, _>(|(from, _)| *from <= wall);
        self.planned = later;
        due.into_iter().filter(|(_, order)| !is_over(order)).for_each(|(_, order)| self.set(order));
    }

    /// Orders in force, in no order.
    pub(super) fn in_force(&self) -> Vec<(String, OverrideState)> {
        words(&self.orders)
    }

    /// Over a pool or its region.
    pub(super) fn over_pool(&self, pool: usize) -> Option<OverrideState> {
        let of = |target: OverrideTarget| {
            self.orders.iter().find(|order| order.target == target).map(|order| order.state)
        };
        of(OverrideTarget::Pool(REGIONS[pool].into(), None))
            .or_else(|| of(OverrideTarget::Region(REGIONS[pool].into())))
    }

    /// Over one of its members.
    pub(super) fn over_member(&self, pool: usize, member: usize) -> Option<OverrideState> {
        let name = format!("192.0.2.{}", (pool + 1) * 10 + member);
        let target = OverrideTarget::Member(name.into());
        self.orders.iter().find(|order| order.target == target).map(|order| order.state)
    }

    /// Something is ordered over a pool, its region or a member.
    pub(super) fn touches(&self, pool: usize) -> bool {
        let members = (0..2).any(|member| self.over_member(pool, member).is_some());
        members || self.over_pool(pool).is_some()
    }
}

/// Orders as text, sorted.
pub(super) fn words(orders: &[Override]) -> Vec<(String, OverrideState)> {
    let words = orders.iter().map(|order| (order.target.to_string(), order.state));
    let mut words: Vec<_> = words.collect();
    words.sort_by(|a, b| a.0.cmp(&b.0));
    words
}

/// What rounding takes or gives, move by move.
const LEEWAY: f64 = 0.02;

/// By record and region, how many answers.
type Counts = HashMap<(String, &'static str), u32>;

/// The answers of the last minute, and what has been moved of them.
#[derive(Default)]
pub(super) struct Answered {
    seconds: VecDeque<(u64, Counts)>,
    fresh: Counts,
    /// When, and what part of all answers.
    moved: VecDeque<(u64, f64)>,
}

impl Answered {
    /// A record was asked; each region of an answer counts.
    pub(super) fn note(&mut self, record: &str, regions: &[&'static str]) {
        for region in regions {
            *self.fresh.entry((format!("{record}.example.org."), *region)).or_default() += 1;
        }
    }

    /// Counters have begun anew: nobody knows what they would have said.
    pub(super) fn forget(&mut self) {
        self.fresh.clear();
    }

    pub(super) fn look(&mut self, now: u64) {
        self.seconds.push_back((now, std::mem::take(&mut self.fresh)));
        while self.seconds.front().is_some_and(|(at, _)| at + 60 < now) {
            self.seconds.pop_front();
        }
    }

    fn part(&self, of: impl Fn(&(String, &'static str)) -> bool) -> f64 {
        let all = || self.seconds.iter().flat_map(|(_, counts)| counts);
        let sum: u32 = all().map(|(_, count)| count).sum();
        let own: u32 = all().filter(|(key, _)| of(key)).map(|(_, count)| count).sum();
        if sum == 0 { 0.0 } else { f64::from(own) / f64::from(sum) }
    }

    pub(super) fn moved_of_record(
        &mut self,
        record: &str,
        part: f64,
        now: u64,
        limit: (u16, Duration),
    ) {
        let moved = part * self.part(|(of, _)| of == record);
        self.move_on(moved, now, limit);
    }

    pub(super) fn moved_of_region(
        &mut self,
        region: usize,
        part: f64,
        now: u64,
        limit: (u16, Duration),
    ) {
        let moved = part * self.part(|(_, of)| *of == REGIONS[region]);
        self.move_on(moved, now, limit);
    }

    /// No more moves within the time than may; what the answers of a single second
    /// take or give is no matter.
    fn move_on(&mut self, part: f64, now: u64, (most, window): (u16, Duration)) {
        self.moved.push_back((now, part));
        self.moved.retain(|(at, _)| now - at < window.as_secs());
        let sum: f64 = self.moved.iter().map(|(_, part)| part).sum();
        let (most, moved) = (f64::from(most) / 1e4, &self.moved);
        assert!(sum <= most + LEEWAY, "max_shift: {moved:?} of {most}");
    }
}
