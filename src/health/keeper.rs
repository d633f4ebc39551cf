//! The keeper: every check's state, the pools they decide over, and the operators' overrides.
//!
//! The daemon owns one. Samples go in, events come out, and the table that queries read is
//! stored to on the way, before any text is made and with nothing written to disk. The keeper
//! has no clock, file or socket; it knows checks by key and pools by name, so that a reload
//! carries over what is believed. Whoever tells of health at length does so from a copy of
//! [`Known`], for a sample waits while the keeper is held.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::composite::{self, Composite};
use super::council::Ruling;
use super::kept::Kept;
use super::overrides::{Override, OverrideTarget};
use super::persist::{Memory, Remembered};
use super::report::{MAX_PERIOD_MS, Report, SelfView};
use super::sample::Sample;
use super::says::Says;
use super::starts::Starting;
use super::state::{self, Belief, Pace, State, Thresholds, Transition};
use super::table::{HealthTable, PoolWord, Verdict};
use super::verdict::{Judge, PoolChange, PoolSpec};
use crate::region::{AreaId, Family, PoolId};

/// What is checked, and which pools it decides over: all that health must know of a
/// configuration.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Every distinct check, and behind them composites. Members name them by place.
    pub checks: Vec<CheckSpec>,
    /// Every pool, in the order of its `PoolId`.
    pub pools: Vec<PoolSpec>,
    /// The name of every area, in the order of its `AreaId`, the world aside.
    pub areas: Vec<Box<str>>,
    /// What several vantages have concluded, by area and check as in the lists above; empty where
    /// the daemon's own prober decides alone. Checks behind those with a ruling are the node's
    /// own business.
    pub rulings: Vec<Vec<Ruling>>,
}

/// One check, as far as health must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// `MONITOR@TARGET`: what it is known by over reloads and restarts.
    pub key: Box<str>,
    /// When it changes its mind.
    pub thresholds: Thresholds,
    /// What it is made of, where it is no check but a composite.
    pub parts: Option<Composite>,
    /// Nobody is asked: somebody else reports, whenever that may be.
    pub pushed: bool,
    /// A certificate that ends in fewer days is a sign of trouble.
    pub certificate_days: Option<u16>,
}

impl CheckSpec {
    /// A check that is probed.
    pub const fn new(key: Box<str>, thresholds: Thresholds) -> Self {
        Self { key, thresholds, parts: None, pushed: false, certificate_days: None }
    }

    /// A composite of checks and composites that stand before it.
    pub fn composite(key: Box<str>, parts: Composite) -> Self {
        let interval = Duration::from_secs(1);
        let thresholds = Thresholds { rise: 1, fall: 1, interval, fast_interval: interval };
        Self { parts: Some(parts), ..Self::new(key, thresholds) }
    }
}

/// Something that the log should tell and metrics should count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A check has changed its mind.
    Check {
        /// Its key.
        key: Box<str>,
        /// What was believed, what is, and what decided.
        transition: Transition,
        /// In words: `down after 3 failures: connection refused`.
        why: String,
    },
    /// A pool's verdict or its live members have changed; the table has it already.
    Pool {
        /// The pool's place in the plan.
        pool: PoolId,
        /// Its name.
        name: Box<str>,
        /// Its zone.
        origin: Box<str>,
        /// Its region.
        region: Box<str>,
        /// The family; `None` when the pool hands over by name, for both.
        family: Option<Family>,
        /// The area for whose clients it is so, where that is not what holds for the world.
        area: Option<Box<str>>,
        /// The verdict before.
        from: Verdict,
        /// The verdict that holds.
        to: Verdict,
        /// Members that clients are sent to, as bits.
        live: u32,
        /// In words.
        why: String,
    },
    /// An operator's override was set, lifted, or has ended.
    Override {
        /// Over what.
        target: OverrideTarget,
        /// For the clients of which area; `None` for all.
        area: Option<Box<str>>,
        /// In words: `drained by ops: kernel update`, `lifted`, `ended`.
        what: String,
    },
}

/// See the module's text.
#[derive(Debug)]
pub struct Keeper {
    pub(super) known: Known,
    places: HashMap<Box<str>, u32>,
    revision: u64,
}

/// All that is known of health at one moment. A clone shares what only a reload or an override
/// changes, and copies the rest as it lies.
#[derive(Debug, Clone)]
pub struct Known {
    pub(super) specs: Arc<[CheckSpec]>,
    /// In the order of `specs`.
    pub(super) checks: Vec<Kept>,
    /// By check, the composites that it is a part of, of whatever depth; each behind its parts.
    parts_of: Arc<[Vec<u32>]>,
    /// By area, the world first, by check; empty where `checks` decide.
    pub(super) rulings: Vec<Vec<Ruling>>,
    /// By check, in how many seconds it may change its mind, where that is in sight.
    sights: Vec<Option<u64>>,
    pub(super) judge: Arc<Judge>,
    pub(super) overrides: Vec<Override>,
    /// By area, the world first, by pool and family.
    pub(super) words: Vec<Vec<[Held; 2]>>,
}

/// A pool's word for one family, and since when its verdict has been the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) word: PoolWord,
    pub(super) since: Duration,
    /// When it began to start slowly, while it does.
    pub(super) starting: Option<Starting>,
}

/// The words of both families, by area (`None` for the world), zone and pool.
type WordsByName<'a> = HashMap<(Option<&'a str>, &'a str, &'a str), [Held; 2]>;

impl Keeper {
    /// A keeper that begins with what is remembered and ordered; the rest is unknown.
    pub fn new(plan: Plan, memory: &Memory, overrides: Vec<Override>, now: Duration) -> Self {
        let remembered = |spec: &CheckSpec| memory.get(&spec.key).map(|of| of.state(now));
        let state = |spec| remembered(spec).unwrap_or_else(|| State::unknown(now));
        let specs: Arc<[CheckSpec]> = plan.checks.into();
        let checks = specs
            .iter()
            .map(|spec| Kept { state: state(spec), counts: [0; _], says: Says::default() })
            .collect();
        let beliefs = (checks, plan.rulings);
        let known = Known::new((plan.pools, plan.areas.into()), specs, beliefs, overrides, now);
        Self { places: places(&known.specs), known, revision: 0 }
    }

    /// One sample of the check `key`, which ended at `now`. Returns how soon to look again, and
    /// what changed. A check that is not in the plan (it went with a reload) is ignored.
    pub fn observe(&mut self, key: &str, sample: &Sample, now: Duration) -> (Pace, Vec<Event>) {
        let Some(&place) = self.places.get(key) else { return (Pace::Steady, Vec::new()) };
        let known = &mut self.known;
        let ruled = known.ruled();
        if known.specs[place as usize].parts.is_some() {
            return (Pace::Steady, Vec::new());
        }
        let (spec, kept) = (&known.specs[place as usize], &mut known.checks[place as usize]);
        let (next, transition) = state::step(&kept.state, sample, &spec.thresholds, now);
        let before = kept.belief();
        kept.state = next;
        kept.hear(sample, spec.certificate_days);
        kept.counts[sample.outcome.index()] += 1;
        let pace = state::pace(&next);
        if (place as usize) < ruled {
            // One voice of several: it is heard with the next report.
            return (pace, Vec::new());
        }
        let after = kept.belief();
        let sight = kept.in_sight(&spec.thresholds, now);
        let moves = sight.is_some() || known.sights[place as usize].is_some();
        known.set_sight(place, sight);
        let told = (after != before).then(|| Transition::plain(before, after));
        let Some(transition) = transition.or(told) else {
            if moves {
                let _ = known.judge_by(place);
            }
            return (pace, Vec::new());
        };
        let turned = known.compose(place, now);
        let changes = known.judge_by(place);
        self.revision += 1;
        let event = |place: u32, transition, why| {
            let key = known.specs[place as usize].key.clone();
            Event::Check { key, transition, why }
        };
        let why = known.checks[place as usize].told(&transition);
        let mut events = vec![event(place, transition, why)];
        events.extend(turned.into_iter().map(|(composite, transition)| {
            event(composite, transition, known.why_check(composite as usize, AreaId::WORLD))
        }));
        events.extend(self.pool_events(&changes, now));
        (pace, events)
    }

    /// Takes in what several vantages have concluded, by area and check as the plan lists them.
    /// Rulings of another plan are ignored.
    pub fn adopt(&mut self, rulings: &[Vec<Ruling>], now: Duration) -> Vec<Event> {
        let known = &mut self.known;
        let ruled = known.ruled();
        let has_shape = known.rulings.len() == rulings.len()
            && known.rulings.iter().zip(rulings).all(|(own, new)| own.len() == new.len());
        if !has_shape {
            return Vec::new();
        }
        let before = std::mem::replace(&mut known.rulings, rulings.to_vec());
        let mut turned = Vec::new();
        for (place, id) in (0..ruled.min(known.specs.len())).zip(0u32..) {
            let in_sight = match &known.specs[place].parts {
                None => rulings.iter().any(|area| area[place].is_stirred(now)).then_some(1),
                Some(parts) => known.sight_of(parts),
            };
            let moves = known.sights[place] != in_sight;
            known.set_sight(id, in_sight);
            let mut views = before.iter().zip(rulings);
            let turns = views.any(|(was, is)| was[place].belief != is[place].belief);
            if !turns && !moves {
                continue;
            }
            // A pool is judged by all of its checks: what another has turned may show here first.
            let changes = known.judge.changed(id, belief_in(&known.checks, &known.rulings));
            let of_world = before.first().zip(rulings.first());
            let event = of_world.and_then(|(was, is)| {
                let why = || known.why_check(place, AreaId::WORLD);
                check_event(&known.specs[place].key, &was[place], &is[place], why)
            });
            if turns || !changes.is_empty() {
                turned.push((event, changes));
            }
        }
        let mut events = Vec::new();
        for (event, changes) in turned {
            self.revision += 1;
            events.extend(event);
            events.extend(self.pool_events(&changes, now));
        }
        events
    }

    /// Lets the first evidence decide over every check of which nothing is known: for a process
    /// that begins, and can wait with its first answer until it [is decided](Known::is_decided).
    /// Nobody knows when somebody will report of a check that is pushed: that is not waited for.
    pub fn decide_at_once(&mut self) {
        let checks = self.known.checks.iter_mut().zip(&*self.known.specs);
        let awaited = checks.filter(|(kept, spec)| {
            kept.state.belief == Belief::Unknown && spec.parts.is_none() && !spec.pushed
        });
        awaited.for_each(|(kept, _)| kept.state.untried = true);
    }

    /// Sets an override; one over the same target for the same area is replaced.
    pub fn set_override(&mut self, order: Override, now: Duration) -> Vec<Event> {
        let (target, area) = (order.target.clone(), order.area.clone());
        let event = Event::Override { target, area, what: order.describe() };
        self.known.overrides.retain(|other| !other.is_over(&order.target, order.area.as_deref()));
        self.known.overrides.push(order);
        self.reorder(vec![event], now)
    }

    /// Lifts the override over `target` for the clients of `area`, or, without one, that for all
    /// clients. No events: there was none.
    pub fn clear_override(
        &mut self,
        target: &OverrideTarget,
        area: Option<&str>,
        now: Duration,
    ) -> Vec<Event> {
        self.lift(|order| order.is_over(target, area), "lifted", now)
    }

    /// Lifts every override that has ended by `wall`, in seconds since 1970-01-01T00:00:00Z.
    /// To be called about once a second.
    pub fn expire_overrides(&mut self, wall: u64, now: Duration) -> Vec<Event> {
        self.lift(|order| order.has_ended(wall), "ended", now)
    }

    /// Pools that start slowly take a little more, and what is in sight comes nearer. To be called
    /// about once a second.
    pub fn tick(&mut self, now: Duration) {
        self.approach(now);
        let Known { judge, words, checks, rulings, .. } = &mut self.known;
        for (area, words) in (0..).map(AreaId).zip(words) {
            for ((pool, spec), held) in judge.pools().zip(words) {
                for (family, held) in [Family::V4, Family::V6].into_iter().zip(held) {
                    let Some(starting) = held.starting else { continue };
                    let share = starting.share(now, spec.ease.slow_start);
                    held.starting = held.starting.filter(|_| share < PoolWord::KEEP_ALL);
                    judge.set_start((pool, family, area), share, belief_in(checks, rulings));
                    held.word = judge.table().word(pool, family, area);
                }
            }
        }
    }

    /// What is in sight is as much nearer as time has passed since the last sample.
    fn approach(&mut self, now: Duration) {
        let known = &mut self.known;
        let seen = |known: &Known, place: usize| match &known.specs[place].parts {
            None => known.checks[place].in_sight(&known.specs[place].thresholds, now),
            Some(parts) => known.sight_of(parts),
        };
        for (place, id) in (0..known.sights.len()).zip(0u32..).skip(known.ruled()) {
            if known.sights[place].is_none() {
                continue;
            }
            let sight = seen(known, place);
            if sight != known.sights[place] {
                known.set_sight(id, sight);
                let _ = known.judge.changed(id, belief_in(&known.checks, &known.rulings));
            }
        }
    }

    /// What is known. To be cloned by whoever makes more of it than a few words.
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// How many pools `target` touches: 0 when it names nothing that exists.
    pub fn touched_by(&self, target: &OverrideTarget) -> usize {
        self.known.judge.pools().filter(|(_, pool)| pool.is_touched_by(target)).count()
    }

    /// Takes a new plan. What is believed is carried over by key, also where thresholds differ;
    /// new checks are unknown. The table is a new one, complete before this returns: fetch it
    /// with [`table`](Self::table) and swap it in together with the pools it is for.
    pub fn rebuild(&mut self, plan: Plan, now: Duration) -> Vec<Event> {
        let unknown = Kept { state: State::unknown(now), counts: [0; _], says: Says::default() };
        let specs: Arc<[CheckSpec]> = plan.checks.into();
        let kept = |spec: &CheckSpec| {
            let place = self.places.get(&spec.key);
            let Some(&place) = place else { return unknown };
            let kept = self.known.checks[place as usize];
            // Where the vantages have gone, what they concluded is what is known.
            let ruling = self.known.rulings.first().and_then(|world| world.get(place as usize));
            let ruling = ruling.filter(|_| plan.rulings.is_empty());
            let concluded = ruling.and_then(|ruling| Remembered::of_ruling(ruling, now));
            match concluded {
                Some(concluded) if kept.state.last.is_none() => {
                    Kept { state: concluded.state(now), ..kept }
                }
                _ => kept,
            }
        };
        let checks = specs.iter().map(kept).collect();
        let overrides = std::mem::take(&mut self.known.overrides);
        let beliefs = (checks, plan.rulings);
        let next = Known::new((plan.pools, plan.areas.into()), specs, beliefs, overrides, now);
        let before = std::mem::replace(&mut self.known, next);
        self.places = places(&self.known.specs);
        self.revision += 1;
        let changes = self.known.changes_since(&before.words_by_name());
        self.tick(now);
        self.pool_events(&changes, now)
    }

    /// The table that queries read. [`rebuild`](Self::rebuild) makes a new one.
    pub fn table(&self) -> Arc<HealthTable> {
        Arc::clone(self.known.judge.table())
    }

    /// Grows with every change that [`Known::memory`] or the overrides should survive a restart
    /// with, so that a writer knows when to write.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    fn lift(&mut self, ends: impl Fn(&Override) -> bool, what: &str, now: Duration) -> Vec<Event> {
        let ended = self.known.overrides.extract_if(.., |order| ends(order));
        let event =
            |Override { target, area, .. }| Event::Override { target, area, what: what.to_owned() };
        let events: Vec<_> = ended.map(event).collect();
        if events.is_empty() { events } else { self.reorder(events, now) }
    }

    /// Judges every pool anew after the overrides have changed.
    fn reorder(&mut self, mut events: Vec<Event>, now: Duration) -> Vec<Event> {
        let known = &mut self.known;
        // Copied only while somebody else still tells of health.
        let judge = Arc::make_mut(&mut known.judge);
        let belief = belief_in(&known.checks, &known.rulings);
        let changes = judge.order(&known.overrides, belief);
        self.revision += 1;
        events.extend(self.pool_events(&changes, now));
        events
    }

    fn pool_events(&mut self, changes: &[PoolChange], now: Duration) -> Vec<Event> {
        changes.iter().filter_map(|change| self.pool_event(change, now)).collect()
    }

    fn pool_event(&mut self, change: &PoolChange, now: Duration) -> Option<Event> {
        let words = self.known.words.get_mut(usize::from(change.area.0))?;
        let held = words.get_mut(change.pool.0 as usize)?;
        let of = match change.family {
            Some(Family::V4) => &mut held[..1],
            Some(Family::V6) => &mut held[1..],
            None => &mut held[..],
        };
        let is_flip = change.from.verdict() != change.to.verdict();
        let starts = change.to.is_eligible() && !change.from.is_eligible();
        let starts = starts && change.to.keep() < PoolWord::KEEP_ALL;
        for held in of {
            let goes_on = held.starting.filter(|_| change.to.is_eligible());
            *held = Held {
                word: change.to,
                since: if is_flip { now } else { held.since },
                starting: if starts { Some(Starting::now(now)) } else { goes_on },
            };
        }
        if change.with_world {
            return None;
        }
        let family = change.family.unwrap_or(Family::V4);
        let why = self.known.why(change.pool, family, change.area);
        let area = change.area.place().and_then(|place| self.known.judge.areas().get(place));
        let spec = self.known.judge.pool(change.pool)?;
        Some(Event::Pool {
            pool: change.pool,
            name: spec.name.clone(),
            origin: spec.origin.clone(),
            region: spec.region.clone(),
            family: change.family,
            area: area.cloned(),
            from: change.from.verdict(),
            to: change.to.verdict(),
            live: change.to.live(),
            why,
        })
    }
}

impl Known {
    /// Judges `pools` by `checks` and `overrides`, for the world and for `areas`.
    fn new(
        (pools, areas): (Vec<PoolSpec>, Arc<[Box<str>]>),
        specs: Arc<[CheckSpec]>,
        (mut checks, rulings): (Vec<Kept>, Vec<Vec<Ruling>>),
        overrides: Vec<Override>,
        now: Duration,
    ) -> Self {
        let count = areas.len();
        for (place, spec) in specs.iter().enumerate() {
            if let Some(parts) = &spec.parts {
                let belief = parts.belief(|part| part_belief(&checks, part));
                checks[place].become_composite(belief, now);
            }
        }
        let belief = belief_in(&checks, &rulings);
        let judge = Judge::new(pools, checks.len(), areas, &overrides, belief);
        let held = |pool, family, area| Held {
            word: judge.table().word(pool, family, area),
            since: now,
            starting: None,
        };
        // A change that was pending is still in sight; of what vantages decide they tell.
        let ruled = rulings.first().map_or(0, Vec::len);
        let seen = specs.iter().zip(&checks).enumerate().map(|(place, (spec, kept))| {
            kept.in_sight(&spec.thresholds, now).filter(|_| place >= ruled)
        });
        let mut sights: Vec<Option<u64>> = seen.collect();
        for (place, spec) in specs.iter().enumerate() {
            if let Some(parts) = &spec.parts {
                sights[place] = soonest(&sights, parts);
            }
        }
        for (place, sight) in (0u32..).zip(&sights).filter(|(_, sight)| sight.is_some()) {
            judge.set_sight(place, *sight);
            let _ = judge.changed(place, belief_in(&checks, &rulings));
        }
        let of_area = |area| {
            let pools = judge.pools().map(|(pool, _)| pool);
            pools.map(|pool| [Family::V4, Family::V6].map(|of| held(pool, of, area))).collect()
        };
        let words = AreaId::all(count).map(of_area).collect();
        let (judge, parts_of) = (
            Arc::new(judge),
            composite::parts_of(specs.iter().map(|spec| spec.parts.as_ref())).into(),
        );
        Self { specs, checks, parts_of, rulings, sights, judge, overrides, words }
    }

    /// Notes how soon a check may change its mind, and with it what it is a part of.
    fn set_sight(&mut self, place: u32, seconds: Option<u64>) {
        self.sights[place as usize] = seconds;
        self.judge.set_sight(place, seconds);
        for &composite in &self.parts_of[place as usize] {
            let parts = self.specs[composite as usize].parts.as_ref();
            let seconds = parts.and_then(|parts| self.sight_of(parts));
            self.sights[composite as usize] = seconds;
            self.judge.set_sight(composite, seconds);
        }
    }

    /// How soon one of these parts may change its mind.
    fn sight_of(&self, parts: &Composite) -> Option<u64> {
        soonest(&self.sights, parts)
    }

    /// Concludes anew of what the check at `place` is a part of; what has changed.
    fn compose(&mut self, place: u32, now: Duration) -> Vec<(u32, Transition)> {
        let mut turned = Vec::new();
        for &composite in &self.parts_of[place as usize] {
            let Some(parts) = &self.specs[composite as usize].parts else { continue };
            let belief = parts.belief(|part| part_belief(&self.checks, part));
            let before = self.checks[composite as usize].become_composite(belief, now);
            if before != belief {
                turned.push((composite, Transition::plain(before, belief)));
            }
        }
        turned
    }

    /// Judges the pools anew that the check at `place` decides over, alone or as a part.
    fn judge_by(&self, place: u32) -> Vec<PoolChange> {
        let composites = self.parts_of[place as usize].iter().copied();
        let places = std::iter::once(place).chain(composites);
        let belief = belief_in(&self.checks, &self.rulings);
        places.flat_map(|place| self.judge.changed(place, &belief)).collect()
    }

    /// Checks that several vantages decide over: so many from the first on.
    fn ruled(&self) -> usize {
        self.rulings.first().map_or(0, Vec::len)
    }

    /// What the daemon's own prober sees, as a report of the vantage it is. What was only
    /// remembered from before the start is no vote.
    pub fn report(&self, (boot, seq): (u64, u64), period: Duration, now: Duration) -> Report {
        let checks = self.specs.iter().zip(&self.checks).take(self.ruled());
        let checks = checks.filter(|(spec, _)| spec.parts.is_none());
        Report {
            boot,
            seq,
            set: 0,
            period_ms: u32::try_from(period.as_millis()).unwrap_or(MAX_PERIOD_MS),
            wall_ms: 0,
            itself: SelfView::default(),
            slots: checks.map(|(spec, kept)| kept.slot(spec, now)).collect(),
        }
    }

    /// True when no check waits for its first evidence any more.
    pub fn is_decided(&self) -> bool {
        let mut own = self.checks.iter().skip(self.ruled());
        let is_awaited = |spec: &CheckSpec| spec.parts.is_none() && !spec.pushed;
        let is_decided = |view: &Vec<Ruling>| {
            let mut awaited = view.iter().zip(&*self.specs).filter(|(_, spec)| is_awaited(spec));
            awaited.all(|(ruling, _)| ruling.by_votes != Belief::Unknown)
        };
        own.all(|kept| !kept.state.untried) && self.rulings.iter().all(is_decided)
    }

    /// The overrides in force.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// What is worth remembering over a restart.
    pub fn memory(&self, now: Duration) -> Memory {
        let ruling = |place: usize| self.rulings.first()?.get(place);
        let checks = self.specs.iter().zip(&self.checks).enumerate();
        let remembered = checks.filter_map(|(place, (spec, kept))| {
            let remembered = match ruling(place) {
                Some(ruling) => Remembered::of_ruling(ruling, now),
                None => Remembered::of(&kept.state, now),
            };
            Some((spec.key.clone(), remembered?))
        });
        remembered.collect()
    }

    /// What is believed of the check at `place` for the clients of `area`.
    pub(super) fn belief(&self, place: u32, area: AreaId) -> Belief {
        belief_in(&self.checks, &self.rulings)(place, area)
    }

    fn words_by_name(&self) -> WordsByName<'_> {
        let mut by_name = WordsByName::new();
        for (area, words) in self.words.iter().enumerate() {
            let area = area.checked_sub(1).map(|place| &*self.judge.areas()[place]);
            for ((_, spec), held) in self.judge.pools().zip(words) {
                by_name.insert((area, &*spec.origin, &*spec.name), *held);
            }
        }
        by_name
    }

    /// What differs for pools that were there before, whose times are carried over. Live
    /// members are places in a list that may have changed, so only verdicts are compared.
    fn changes_since(&mut self, before: &WordsByName<'_>) -> Vec<PoolChange> {
        let mut changes = Vec::new();
        let areas = self.judge.areas().iter().map(|name| Some(&**name));
        let areas = std::iter::once(None).chain(areas).zip((0..).map(AreaId));
        for ((name, area), words) in areas.zip(&mut self.words) {
            for ((pool, spec), held) in self.judge.pools().zip(words) {
                // An area that is new was seen as the world was.
                let of = |area| before.get(&(area, &*spec.origin, &*spec.name));
                let Some(before) = of(name).or_else(|| of(None)) else { continue };
                for (held, before) in held.iter_mut().zip(before) {
                    held.since = before.since;
                    held.starting = before.starting.filter(|_| held.word.is_eligible());
                }
                let by_name = spec.members.iter().all(|member| member.family.is_none());
                let families = [Family::V4, Family::V6].into_iter().zip(before.iter().zip(held));
                for (family, (from, to)) in families.take(if by_name { 1 } else { 2 }) {
                    let (from, to) = (from.word, to.word);
                    if from.verdict() != to.verdict() {
                        let of_world = |change: &PoolChange| {
                            (change.pool, change.area) == (pool, AreaId::WORLD)
                                && change.from.verdict() == from.verdict()
                                && change.to.verdict() == to.verdict()
                        };
                        let with_world = changes.iter().any(of_world);
                        let family = (!by_name).then_some(family);
                        changes.push(PoolChange { pool, area, with_world, family, from, to });
                    }
                }
            }
        }
        changes
    }
}

fn places(specs: &[CheckSpec]) -> HashMap<Box<str>, u32> {
    (0u32..).zip(specs).map(|(place, spec)| (spec.key.clone(), place)).collect()
}

/// What is believed of a part, by what the daemon's own prober sees.
fn part_belief(checks: &[Kept], part: u32) -> Belief {
    checks.get(part as usize).map_or(Belief::Unknown, Kept::belief)
}

/// How soon one of these parts may change its mind.
fn soonest(sights: &[Option<u64>], parts: &Composite) -> Option<u64> {
    parts.of.iter().filter_map(|part| sights.get(*part as usize).copied().flatten()).min()
}

/// What is believed of a check for the clients of an area: by what several vantages have
/// concluded where there are any, else by what the daemon's own prober sees, which is the same
/// for every area. A check that is not in the list is believed to serve: nothing speaks against
/// it.
fn belief_in(checks: &[Kept], rulings: &[Vec<Ruling>]) -> impl Fn(u32, AreaId) -> Belief {
    move |place, area| {
        let place = place as usize;
        let view = rulings.get(usize::from(area.0)).or_else(|| rulings.first());
        let ruling = view.and_then(|view| view.get(place)).map(|ruling| ruling.belief);
        let own = || checks.get(place).map_or(Belief::Unknown, Kept::belief);
        ruling.unwrap_or_else(own)
    }
}

/// What is told when the vantages conclude something else of a check.
fn check_event(
    key: &str,
    was: &Ruling,
    is: &Ruling,
    why: impl FnOnce() -> String,
) -> Option<Event> {
    let serves = is.belief.serves();
    let transition = Transition {
        from: was.belief,
        to: is.belief,
        streak: u32::from(if serves { is.ups } else { is.downs }),
        reason: is.reason.filter(|_| !serves),
    };
    let event = || Event::Check { key: key.into(), transition, why: why() };
    (was.belief != is.belief).then(event)
}
