//! Changes over time: canaries, switches, overrides that begin later, and the limits on all of
//! them.
//!
//! The [`Conductor`] decides; it has no clock, so that tests own its time. [`gauge`] knows what
//! is answered, [`store`] keeps what must survive, `task` ticks once a second, tells and writes
//! down. A query reads one number that is turned here.

pub mod gauge;
mod reach;
pub mod store;
pub(super) mod task;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::health::overrides::{Override, OverrideState, OverrideTarget};
use crate::health::table::HealthTable;
use crate::region::{AreaId, Family, PoolId};
use crate::snapshot::{Served, Snapshot};
use crate::steer::safety::{Effect, Moves, SafetySpec, Unsafe};
use crate::steer::stages::{self, ALL, Allowance, Canary, Change, Condition, Order, Phase, Staged};
use crate::wire::name::{Name, NameRef};
use gauge::{Drained, Gauge, Look, PoolKey};
use reach::leaves_nothing;
pub use reach::touched;

/// Longest time that counts as watched between two ticks: what a machine slept through was not.
const TICK_MAX: Duration = Duration::from_secs(5);

/// See the module's text.
#[derive(Debug, Default)]
pub struct Conductor {
    stands: Vec<Stand>,
    planned: Vec<Planned>,
    safety: SafetySpec,
    moves: Moves,
    gauge: Arc<Gauge>,
    /// How many records have a pool, of those with a canary or switch.
    users: HashMap<PoolId, usize>,
    ticked: Option<Duration>,
    /// Overrides in force that end by themselves: over what, and when.
    ending: Vec<(OverrideTarget, u64)>,
    /// A TTL is held low for a planned change.
    is_capped: bool,
    revision: u64,
}

/// Where a record's change stands, and who moved it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// The record's owner name.
    pub record: Name,
    /// The names of its new side's pools, sorted: with others it is another change.
    pub pools: Vec<Box<str>>,
    /// Where it stands.
    pub at: At,
    /// Who gave the last order; empty when nobody did.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since 1970-01-01T00:00:00Z; 0 when nobody did.
    pub ordered: u64,
}

/// Where a change stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// A canary.
    Canary(Canary),
    /// A switch.
    Switch {
        /// Green is active.
        green: bool,
        /// It was never turned, so that there is nothing to go back to.
        untouched: bool,
    },
}

/// An override that begins later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is ordered then. Its end is wall time.
    pub order: Override,
    /// When it begins, in seconds since 1970-01-01T00:00:00Z.
    pub from: u64,
    /// It begins whatever the safety rules say.
    pub forced: bool,
    /// Why it has not begun though its time has come; empty otherwise.
    pub held: String,
}

/// Something that the log should tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A canary has moved by itself, or could not.
    Canary(Name, stages::Event),
    /// The files have another change for a record than before: it begins anew.
    Anew(Name),
    /// An override's time has come: `begins`, or why it does not.
    Planned(OverrideTarget, String),
}

/// What a tick asks to be done.
#[derive(Debug, Default)]
pub struct Due {
    /// Overrides that begin now.
    pub overrides: Vec<Override>,
    /// For the log.
    pub notices: Vec<Notice>,
}

/// Who orders, and why.
#[derive(Debug, Clone, Default)]
pub struct Orderer {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether the safety rules are set aside.
    pub force: bool,
}

/// Time, twice: health's clock, and what people call it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Time since the process began.
    pub now: Duration,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub wall: u64,
}

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such record, or nothing of it changes.
    #[error("{0} has no {1}: write one in its record")]
    Nothing(Name, &'static str),
    /// It does not fit where it stands.
    #[error(transparent)]
    Unfit(#[from] stages::Unfit),
    /// It is so already.
    #[error("{0} is active already")]
    Already(&'static str),
    /// It was never switched.
    #[error("it was never switched: there is nothing to go back to")]
    NeverSwitched,
    /// The safety rules are against it.
    #[error("{0} (--force does it all the same)")]
    Unsafe(#[from] Unsafe),
}

/// What to do to a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Make blue active.
    Blue,
    /// Make green active.
    Green,
    /// Make the side active that was before.
    Back,
}

impl Conductor {
    /// Begins with what was kept.
    pub fn new(stands: Vec<Stand>, planned: Vec<Planned>) -> Self {
        Self { stands, planned, ..Self::default() }
    }

    /// Where changes stand.
    pub fn stands(&self) -> &[Stand] {
        &self.stands
    }

    /// Overrides that begin later.
    pub fn planned(&self) -> &[Planned] {
        &self.planned
    }

    /// Grows with everything that must survive a restart.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Something else that is kept with the changes is another.
    pub const fn touch(&mut self) {
        self.revision += 1;
    }

    /// Pools to which no client is sent, and how far they are emptied.
    pub fn drained(&self, now: Duration) -> Vec<Drained> {
        self.gauge.drained(now)
    }

    /// Meets a snapshot before it is published: what was turned is turned in it too, and changes
    /// that are in the files no longer are forgotten.
    pub fn meet(&mut self, next: &Snapshot, safety: SafetySpec) -> Vec<Notice> {
        self.safety = safety;
        self.users = users(next);
        let mut notices = Vec::new();
        let before = std::mem::take(&mut self.stands);
        let count = before.len();
        for staged in &next.staged {
            let pools = names(next, &staged.new_side());
            let known = before.iter().find(|stand| stand.record == staged.owner);
            let same = known.filter(|stand| stand.pools == pools && stand.at.is_of(&staged.change));
            if known.is_some() && same.is_none() {
                notices.push(Notice::Anew(staged.owner.clone()));
            }
            let stand =
                same.cloned().unwrap_or_else(|| Stand::new(&staged.owner, pools, &staged.change));
            staged.turn(stand.at.share());
            self.stands.push(stand);
        }
        if !notices.is_empty() || count != self.stands.len() {
            self.revision += 1;
        }
        notices
    }

    /// Looks at what is answered; may be done less often than [`tick`](Self::tick).
    pub fn look(&mut self, snapshot: &Snapshot, now: Duration) {
        self.gauge = self.looking(snapshot).done(snapshot, now);
    }

    /// Begins a look, to be [taken in](Self::saw) when it is done.
    pub fn looking(&self, snapshot: &Snapshot) -> Look {
        Look { before: Arc::clone(&self.gauge), idle: self.idle_sides(snapshot) }
    }

    /// Takes in a look.
    pub fn saw(&mut self, gauge: Arc<Gauge>) {
        self.gauge = gauge;
    }

    /// Sees which overrides are in force: the end of one is a change that can be seen coming.
    pub fn heed(&mut self, overrides: &[Override]) {
        let ends = overrides.iter().filter_map(|of| Some((of.target.clone(), of.until?)));
        self.ending = ends.collect();
    }

    /// Does what time asks for. To be called every second or so.
    pub fn tick(&mut self, snapshot: &Snapshot, at: Moment) -> Due {
        let Moment { now, .. } = at;
        let passed = self.ticked.map_or(Duration::ZERO, |then| now.saturating_sub(then));
        let passed = passed.min(TICK_MAX);
        self.ticked = Some(now);
        let mut due = Due::default();
        for staged in &snapshot.staged {
            self.advance(staged, snapshot, passed, now, &mut due.notices);
        }
        self.begin(snapshot, at, &mut due);
        self.cap_ttls(snapshot, at.wall);
        due
    }

    /// Lets a canary go on.
    fn advance(
        &mut self,
        staged: &Staged,
        snapshot: &Snapshot,
        passed: Duration,
        now: Duration,
        notices: &mut Vec<Notice>,
    ) {
        let Some(stand) = self.stands.iter_mut().find(|stand| stand.record == staged.owner) else {
            return;
        };
        let (At::Canary(canary), Change::Canary(spec)) = (&mut stand.at, &staged.change) else {
            return staged.turn(stand.at.share());
        };
        let before = canary.clone();
        // Before a minute was looked at nobody knows how much that is.
        let weight =
            if self.gauge.is_young(now) { ALL } else { self.gauge.share_of_record(&staged.owner) };
        let left = self.safety.left(&mut self.moves, now);
        let share = match u32::from(weight) {
            0 => ALL,
            weight => (u32::from(left) * u32::from(ALL) / weight).min(ALL.into()) as u16,
        };
        let allowed = Allowance { share, why: "safety.max_shift is used up" };
        let condition = Condition::of(staged.new_side(), &snapshot.pools, &snapshot.health);
        let events = canary.advance(spec, passed, &condition, allowed);
        let moved = canary.share.saturating_sub(before.share);
        self.moves.note(part(moved, weight), now);
        let minutes = |canary: &Canary| canary.held.as_secs() / 60;
        if (before.phase, before.share, before.step, minutes(&before))
            != (canary.phase, canary.share, canary.step, minutes(canary))
        {
            self.revision += 1;
        }
        staged.turn(canary.share);
        notices.extend(events.into_iter().map(|event| Notice::Canary(staged.owner.clone(), event)));
    }

    /// Begins overrides whose time has come.
    fn begin(&mut self, snapshot: &Snapshot, at: Moment, due: &mut Due) {
        if self.planned.iter().all(|planned| planned.from > at.wall) {
            return;
        }
        let all = std::mem::take(&mut self.planned);
        for mut planned in all {
            if planned.from > at.wall {
                self.planned.push(planned);
                continue;
            }
            let target = planned.order.target.clone();
            if planned.order.has_ended(at.wall) {
                due.notices.push(Notice::Planned(target, "its time is over".to_owned()));
                self.revision += 1;
                continue;
            }
            let effect = self.effect(snapshot, &planned.order);
            let orderer = Orderer { force: planned.forced, ..Orderer::default() };
            match self.permit(&effect, &orderer, at.now) {
                Ok(_) => {
                    due.notices.push(Notice::Planned(target, "begins".to_owned()));
                    due.overrides.push(planned.order);
                    self.revision += 1;
                }
                Err(why) => {
                    if planned.held.is_empty() {
                        due.notices.push(Notice::Planned(target, format!("waits: {why}")));
                    }
                    planned.held = why.to_string();
                    self.planned.push(planned);
                }
            }
        }
    }

    /// Holds TTLs below the time that is left until a planned change, as far as records let them
    /// move, so that hardly an answer outlives it.
    fn cap_ttls(&mut self, snapshot: &Snapshot, wall: u64) {
        let begin = self.planned.iter().map(|planned| (&planned.order.target, planned.from));
        let end = self.ending.iter().map(|(target, until)| (target, *until));
        let soon: Vec<(HashSet<PoolId>, u32)> = begin
            .chain(end)
            .filter_map(|(target, at)| {
                let left = u32::try_from(at.saturating_sub(wall)).ok()?;
                let touched = touched(snapshot, target);
                Some((touched.into_iter().map(|(pool, _)| pool).collect(), left))
            })
            .collect();
        let steps = snapshot.staged.iter().filter_map(|staged| {
            let stand = self.stands.iter().find(|stand| stand.record == staged.owner)?;
            match (&stand.at, &staged.change) {
                (At::Canary(canary), Change::Canary(spec)) => {
                    Some((staged.owner.clone(), canary.until_next(spec)?.as_secs() as u32))
                }
                _ => None,
            }
        });
        let steps: Vec<(Name, u32)> = steps.collect();
        if soon.is_empty() && steps.is_empty() && !self.is_capped {
            return;
        }
        self.is_capped = !soon.is_empty() || !steps.is_empty();
        let records = snapshot.catalog.values().flat_map(|Served { records, .. }| records);
        for record in records.filter(|record| record.plan.ttl.varies()) {
            let step =
                steps.iter().find(|(owner, _)| *owner == record.owner).map(|(_, left)| *left);
            let hits = |pools: &HashSet<PoolId>| {
                record.plan.sites.iter().any(|site| pools.contains(&site.pool))
            };
            let planned = soon.iter().filter(|(pools, _)| hits(pools)).map(|(_, left)| *left);
            record.dials.set_planned(planned.chain(step).min());
        }
    }

    /// Carries out an order over a canary.
    ///
    /// # Errors
    /// When the record has none, the order does not fit, or it is not safe.
    pub fn order(
        &mut self,
        snapshot: &Snapshot,
        record: &Name,
        order: Order,
        orderer: &Orderer,
        at: Moment,
    ) -> Result<Stand, Refused> {
        let none = || Refused::Nothing(record.clone(), "canary");
        let staged = staged(snapshot, record).ok_or_else(none)?;
        let Change::Canary(spec) = &staged.change else { return Err(none()) };
        let mut stand = self.stand(record).ok_or_else(none)?;
        let At::Canary(canary) = &mut stand.at else { return Err(none()) };
        let share = canary.would_move(order, spec);
        canary.obey(order, spec)?;
        let effect = self.effect_of_record(record, share);
        let forced = self.permit(&effect, orderer, at.now)?;
        if order == Order::Abort {
            orderer.reason.clone_into(&mut canary.note);
        }
        Ok(self.settle(staged, stand, orderer, forced, at.wall))
    }

    /// Switches a record over.
    ///
    /// # Errors
    /// When the record has no switch, that side is active, or it is not safe. Going back is always
    /// safe.
    pub fn switch(
        &mut self,
        snapshot: &Snapshot,
        record: &Name,
        turn: Turn,
        orderer: &Orderer,
        at: Moment,
    ) -> Result<Stand, Refused> {
        let none = || Refused::Nothing(record.clone(), "switch");
        let staged = staged(snapshot, record).ok_or_else(none)?;
        let mut stand = self.stand(record).ok_or_else(none)?;
        let At::Switch { green, untouched } = &mut stand.at else { return Err(none()) };
        let wanted = match turn {
            Turn::Back if *untouched => return Err(Refused::NeverSwitched),
            Turn::Back => !*green,
            Turn::Blue => false,
            Turn::Green => true,
        };
        if wanted == *green {
            return Err(Refused::Already(if wanted { "green" } else { "blue" }));
        }
        (*green, *untouched) = (wanted, false);
        let effect = self.effect_of_record(record, ALL);
        let back = Orderer { force: true, ..orderer.clone() };
        let forced = match turn {
            // A way back that is closed is none.
            Turn::Back => self.permit(&effect, &back, at.now).map(|_| false)?,
            _ => self.permit(&effect, orderer, at.now)?,
        };
        Ok(self.settle(staged, stand, orderer, forced, at.wall))
    }

    /// Whether an override may be set now; notes what it moves. True when it was forced past
    /// the safety rules.
    ///
    /// # Errors
    /// Why not.
    pub fn permit_override(
        &mut self,
        snapshot: &Snapshot,
        order: &Override,
        force: bool,
        now: Duration,
    ) -> Result<bool, Refused> {
        let effect = self.effect(snapshot, order);
        self.permit(&effect, &Orderer { force, ..Orderer::default() }, now)
    }

    /// Pools of a target to which no client is sent, with how far they are emptied, and the names
    /// of all its pools.
    pub fn drained_of(
        &self,
        snapshot: &Snapshot,
        target: &OverrideTarget,
        now: Duration,
    ) -> (Vec<Drained>, Vec<PoolKey>) {
        let pools = touched(snapshot, target).into_iter();
        let keys: Vec<PoolKey> = pools.filter_map(|(pool, _)| gauge::key(snapshot, pool)).collect();
        let drained = self.drained(now).into_iter().filter(|of| keys.contains(&of.pool)).collect();
        (drained, keys)
    }

    /// Sets an override that begins later; one over the same target is replaced.
    pub fn plan(&mut self, planned: Planned) {
        let order = &planned.order;
        let is_other = |other: &Planned| !other.order.is_over(&order.target, order.area.as_deref());
        self.planned.retain(is_other);
        self.planned.push(planned);
        self.planned.sort_by_key(|planned| planned.from);
        self.revision += 1;
    }

    /// Forgets the override over `target`, for the clients of `area`, that begins later; false
    /// when there is none.
    pub fn unplan(&mut self, target: &OverrideTarget, area: Option<&str>) -> bool {
        let before = self.planned.len();
        self.planned.retain(|planned| !planned.order.is_over(target, area));
        let found = self.planned.len() < before;
        self.revision += u64::from(found);
        found
    }

    fn permit(
        &mut self,
        effect: &Effect,
        orderer: &Orderer,
        now: Duration,
    ) -> Result<bool, Refused> {
        let judged = self.safety.judge(effect, &mut self.moves, now);
        if let (Err(why), false) = (&judged, orderer.force) {
            return Err(why.clone().into());
        }
        self.moves.note(effect.share, now);
        Ok(judged.is_err())
    }

    /// Writes down what was ordered and turns it.
    fn settle(
        &mut self,
        staged: &Staged,
        mut stand: Stand,
        orderer: &Orderer,
        forced: bool,
        wall: u64,
    ) -> Stand {
        stand.by.clone_from(&orderer.by);
        stand.reason = marked(&orderer.reason, forced);
        stand.ordered = wall;
        staged.turn(stand.at.share());
        if let Some(kept) = self.stands.iter_mut().find(|kept| kept.record == stand.record) {
            kept.clone_from(&stand);
        }
        self.revision += 1;
        stand
    }

    fn stand(&self, record: &Name) -> Option<Stand> {
        self.stands.iter().find(|stand| stand.record == *record).cloned()
    }

    /// What an override would do to regions and answers.
    fn effect(&self, snapshot: &Snapshot, order: &Override) -> Effect {
        // Of an area's share of the answers nothing is known: it counts as all of them.
        let area = order.area.as_deref().and_then(|name| snapshot.area(name));
        let area = area.unwrap_or(AreaId::WORLD);
        let before = regions_on(snapshot, area, |_| false);
        if order.state == OverrideState::Up {
            return Effect { regions_before: before, regions_after: before, share: 0 };
        }
        let touched = touched(snapshot, &order.target);
        let touched: Vec<(PoolId, f64)> = touched
            .into_iter()
            .filter(|(pool, _)| is_eligible(&snapshot.health, *pool, area))
            .collect();
        let is_out = |pool| {
            let is_touched = touched.iter().any(|(out, _)| *out == pool);
            is_touched && leaves_nothing(snapshot, pool, &order.target, area)
        };
        let keys: Vec<(PoolKey, f64)> = touched
            .iter()
            .filter_map(|(pool, part)| Some((gauge::key(snapshot, *pool)?, *part)))
            .collect();
        Effect {
            regions_before: before,
            regions_after: regions_on(snapshot, area, is_out),
            share: self.gauge.share_of(keys.iter().map(|(key, part)| (key, *part))),
        }
    }

    /// What moving a share of a record's clients would do to all answers.
    fn effect_of_record(&self, record: &Name, share: u16) -> Effect {
        Effect { share: part(share, self.gauge.share_of_record(record)), ..Effect::default() }
    }

    /// Pools of sides that no client is sent to, in all records that have them.
    fn idle_sides(&self, snapshot: &Snapshot) -> HashSet<PoolId> {
        let mut idle: HashMap<PoolId, usize> = HashMap::new();
        for staged in &snapshot.staged {
            let stand = self.stands.iter().find(|stand| stand.record == staged.owner);
            let side = match stand.map(|stand| &stand.at) {
                Some(at) if at.share() == ALL => staged.old_side(),
                Some(At::Switch { untouched: false, .. }) => staged.new_side(),
                Some(At::Canary(canary)) if canary.phase == Phase::Aborted => staged.new_side(),
                _ => continue,
            };
            for pool in side {
                *idle.entry(pool).or_default() += 1;
            }
        }
        let is_idle = |(pool, sides): (PoolId, usize)| {
            (self.users.get(&pool) == Some(&sides)).then_some(pool)
        };
        idle.into_iter().filter_map(is_idle).collect()
    }
}

impl Stand {
    fn new(record: &Name, pools: Vec<Box<str>>, change: &Change) -> Self {
        let at = match change {
            Change::Canary(_) => At::Canary(Canary::default()),
            Change::Switch => At::Switch { green: false, untouched: true },
        };
        let (by, reason) = (String::new(), String::new());
        Self { record: record.clone(), pools, at, by, reason, ordered: 0 }
    }
}

impl At {
    /// The share of clients on the new side, in basis points.
    pub const fn share(&self) -> u16 {
        match self {
            Self::Canary(canary) => canary.share,
            Self::Switch { green: true, .. } => ALL,
            Self::Switch { green: false, .. } => 0,
        }
    }

    const fn is_of(&self, change: &Change) -> bool {
        matches!(
            (self, change),
            (Self::Canary(_), Change::Canary(_)) | (Self::Switch { .. }, Change::Switch)
        )
    }
}

/// A reason, with a word when the safety rules were set aside.
pub fn marked(reason: &str, forced: bool) -> String {
    if forced { format!("{reason} (forced past the safety rules)") } else { reason.to_owned() }
}

/// `share` of `weight`, all in basis points; rounded up, lest many little moves count for nothing.
fn part(share: u16, weight: u16) -> u16 {
    (u32::from(share) * u32::from(weight)).div_ceil(u32::from(ALL)) as u16
}

fn staged<'s>(snapshot: &'s Snapshot, record: &Name) -> Option<&'s Staged> {
    snapshot.staged.iter().find(|staged| staged.owner == *record)
}

/// By how many records each pool of a canary or switch is handed out.
fn users(snapshot: &Snapshot) -> HashMap<PoolId, usize> {
    let sides =
        snapshot.staged.iter().flat_map(|of| of.new_side().into_iter().chain(of.old_side()));
    let mut users: HashMap<PoolId, usize> = sides.map(|pool| (pool, 0)).collect();
    if users.is_empty() {
        return users;
    }
    let records = || snapshot.catalog.values().flat_map(|Served { records, .. }| records);
    let named = records().filter(|record| record.pool_names).map(|record| record.owner.clone());
    let named: HashSet<Name> = named.collect();
    for record in records() {
        // The name of one of its pools leads there whatever side is active.
        let parent = record.owner.as_ref().parent().map(NameRef::to_name);
        if record.plan.sites.len() == 1 && parent.is_some_and(|parent| named.contains(&parent)) {
            continue;
        }
        let mut pools: Vec<PoolId> = record.plan.sites.iter().map(|site| site.pool).collect();
        pools.sort_unstable_by_key(|pool| pool.0);
        pools.dedup();
        for pool in pools {
            if let Some(count) = users.get_mut(&pool) {
                *count += 1;
            }
        }
    }
    users
}

fn names(snapshot: &Snapshot, pools: &[PoolId]) -> Vec<Box<str>> {
    let pools = pools.iter().filter_map(|pool| snapshot.pools.get(pool.0 as usize));
    let mut names: Vec<Box<str>> = pools.map(|pool| pool.name.clone()).collect();
    names.sort_unstable();
    names
}

fn is_eligible(health: &HealthTable, pool: PoolId, area: AreaId) -> bool {
    let word = |family| health.word(pool, family, area);
    [Family::V4, Family::V6].into_iter().any(|family| word(family).is_eligible())
}

/// Regions to which clients of `area` are sent when `is_out` pools are out.
fn regions_on(snapshot: &Snapshot, area: AreaId, is_out: impl Fn(PoolId) -> bool) -> usize {
    let pools = (0..).map(PoolId).zip(&snapshot.pools);
    let on = pools.filter(|(id, _)| is_eligible(&snapshot.health, *id, area) && !is_out(*id));
    on.map(|(_, pool)| pool.region).collect::<HashSet<_>>().len()
}
