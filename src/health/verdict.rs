//! From what is believed of each check, and what operators ordered, to one word per pool.
//!
//! IPv4 and IPv6 members are judged apart; a pool that hands over by name has members that
//! stand for both. Only the pools that a changed check decides over are judged anew, and each
//! new word is stored before anything is said about it.
//!
//! Each pool is judged for the world and again for each area of clients, for whom a check may be
//! believed otherwise and an operator may have ordered otherwise.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::overrides::{Override, OverrideState, OverrideTarget};
use super::state::Belief;
use super::table::{HealthTable, PoolWord, Sight, Verdict};
use crate::region::{AreaId, Degraded, Ease, Family, PoolId};

/// One pool, as far as health must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name, unique in its zone.
    pub name: Box<str>,
    /// The zone that defines it.
    pub origin: Box<str>,
    /// The name of its region.
    pub region: Box<str>,
    /// Its members.
    pub members: Vec<MemberSpec>,
    /// How much it takes while it is not at its best.
    pub ease: Ease,
    /// Pools without which it does not serve.
    pub needs: Vec<PoolId>,
}

/// One member of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpec {
    /// Its address, or the name that is handed out.
    pub name: Box<str>,
    /// Its family; `None` when it stands for both.
    pub family: Option<Family>,
    /// Its place in the pool's list of that family: its bit in the word.
    pub place: u8,
    /// Its share of the pool, relative to the others.
    pub weight: u16,
    /// The place of its check in the plan's list; `None` when nothing checks it, so that it
    /// counts as up.
    pub check: Option<u32>,
    /// The place of the check whether its name leads to addresses, where those are handed out.
    pub names: Option<u32>,
}

/// A pool's word has changed in its verdict or its live members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolChange {
    /// The pool.
    pub pool: PoolId,
    /// For whose clients.
    pub area: AreaId,
    /// For the clients of an area: it changed just as it did for the world, which tells it all.
    pub with_world: bool,
    /// The family; `None` when the pool hands over by name, for both at once.
    pub family: Option<Family>,
    /// The word before.
    pub from: PoolWord,
    /// The word that was stored.
    pub to: PoolWord,
}

/// The verdict on one member.
pub const fn member_verdict(belief: Option<Belief>, order: Option<OverrideState>) -> Verdict {
    match (order, belief) {
        (Some(OverrideState::Drain), _) => Verdict::Draining,
        (Some(OverrideState::Down), _) => Verdict::ForcedDown,
        (Some(OverrideState::Up), _) => Verdict::ForcedUp,
        (None, None | Some(Belief::Up)) => Verdict::Up,
        (None, Some(Belief::Unknown)) => Verdict::Unknown,
        (None, Some(Belief::Degraded)) => Verdict::Degraded,
        (None, Some(Belief::Down)) => Verdict::Down,
        (None, Some(Belief::Draining)) => Verdict::Draining,
        (None, Some(Belief::Maintenance)) => Verdict::Maintenance,
    }
}

/// The word of a pool from its members' places and verdicts, and the order over it.
///
/// A pool held up hands out its live members, and all that no operator took out when none
/// lives: the checks may be what is wrong. A pool drained or held down keeps its live members
/// in the word, for a last resort to know them.
pub fn pool_word(
    members: impl Iterator<Item = (u8, Verdict)>,
    order: Option<OverrideState>,
) -> PoolWord {
    let tally = members.fold(Tally::default(), Tally::add);
    let (verdict, live) = match order {
        Some(OverrideState::Drain) => (Verdict::Draining, tally.live),
        Some(OverrideState::Down) => (Verdict::ForcedDown, tally.live),
        Some(OverrideState::Up) if tally.live == 0 => (Verdict::ForcedUp, tally.down),
        Some(OverrideState::Up) => (Verdict::ForcedUp, tally.live),
        None => (tally.verdict(), tally.live),
    };
    PoolWord::new(verdict, PoolWord::KEEP_ALL, live)
}

/// Members by verdict, as bits.
#[derive(Default)]
struct Tally {
    live: u32,
    proven: u32,
    degraded: u32,
    down: u32,
    draining: u32,
    maintained: u32,
    forced_down: u32,
}

impl Tally {
    fn add(mut self, (place, verdict): (u8, Verdict)) -> Self {
        let bit = 1u32.checked_shl(u32::from(place)).unwrap_or(0);
        match verdict {
            Verdict::Up | Verdict::ForcedUp => {
                self.live |= bit;
                self.proven |= bit;
            }
            Verdict::Degraded => {
                self.live |= bit;
                self.degraded |= bit;
            }
            Verdict::Unknown => self.live |= bit,
            Verdict::Down => self.down |= bit,
            Verdict::Draining => self.draining |= bit,
            Verdict::Maintenance => self.maintained |= bit,
            Verdict::ForcedDown => self.forced_down |= bit,
        }
        self
    }

    /// Members taken out by hand are no sign of trouble; members found down are.
    const fn verdict(&self) -> Verdict {
        if self.live != 0 {
            return match (self.proven, self.down | self.degraded) {
                (_, 1..) => Verdict::Degraded,
                (0, 0) => Verdict::Unknown,
                (1.., 0) => Verdict::Up,
            };
        }
        if self.down != 0 {
            Verdict::Down
        } else if self.draining != 0 {
            Verdict::Draining
        } else if self.maintained != 0 {
            Verdict::Maintenance
        } else if self.forced_down != 0 {
            Verdict::ForcedDown
        } else {
            Verdict::Unknown
        }
    }
}

/// What a pool that starts slowly takes at first: enough to see that it serves.
pub const SLOW_START_FROM: u16 = PoolWord::KEEP_ALL / 10;

/// The pools, what stands over them, and the table that queries read, which clones share.
#[derive(Debug, Clone)]
pub struct Judge {
    pools: Vec<Judged>,
    /// For each check, the pools it decides over.
    decides: Vec<Vec<PoolId>>,
    /// All pools, each behind those it needs.
    ranked: Vec<PoolId>,
    /// For each pool, those that need it.
    needed_by: Vec<Vec<PoolId>>,
    /// The names of the areas; `AreaId` 1 is the first.
    areas: Arc<[Box<str>]>,
    table: Arc<HealthTable>,
    moves: Arc<Moves>,
}

/// What moves while no verdict changes.
#[derive(Debug)]
struct Moves {
    /// By check, in how many seconds it may change its mind; 0 where nothing is in sight.
    sights: Box<[AtomicU16]>,
    /// By area, the world first, by pool and family: the share it takes while it starts slowly.
    starts: Box<[Box<[[AtomicU16; 2]]>]>,
}

#[derive(Debug, Clone)]
struct Judged {
    spec: PoolSpec,
    /// What is ordered for the world, and behind it by area where an override speaks of one;
    /// never empty.
    orders: Vec<Orders>,
}

/// What is ordered over a pool for the clients of one area.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Orders {
    /// Over the pool: the place in the list of overrides, and the state.
    pool: Option<(usize, OverrideState)>,
    /// Over its members, in the order of `spec.members`.
    members: Vec<Option<(usize, OverrideState)>>,
}

impl Judge {
    /// A judge with a table of its own, in which every pool is judged by `belief` (which tells
    /// what is believed of the check at a place for the clients of an area) and `overrides`.
    pub fn new(
        pools: Vec<PoolSpec>,
        checks: usize,
        areas: Arc<[Box<str>]>,
        overrides: &[Override],
        belief: impl Fn(u32, AreaId) -> Belief,
    ) -> Self {
        let mut decides: Vec<Vec<PoolId>> = vec![Vec::new(); checks];
        for (id, pool) in (0u32..).map(PoolId).zip(&pools) {
            for check in
                pool.members.iter().flat_map(|member| [member.check, member.names]).flatten()
            {
                let Some(pools) = decides.get_mut(check as usize) else { continue };
                if pools.last() != Some(&id) {
                    pools.push(id);
                }
            }
        }
        let (ranked, needed_by) = ranked(&pools);
        let table = Arc::new(HealthTable::new(pools.len(), areas.len()));
        let all = || AtomicU16::new(PoolWord::KEEP_ALL);
        let starts = |_| pools.iter().map(|_| [all(), all()]).collect();
        let moves = Arc::new(Moves {
            sights: (0..checks).map(|_| AtomicU16::new(0)).collect(),
            starts: AreaId::all(areas.len()).map(starts).collect(),
        });
        let pools = pools.into_iter().map(Judged::new).collect();
        let mut judge = Self { pools, decides, ranked, needed_by, areas, table, moves };
        judge.order(overrides, belief);
        judge
    }

    /// The table.
    pub const fn table(&self) -> &Arc<HealthTable> {
        &self.table
    }

    /// The pools in order.
    pub fn pools(&self) -> impl Iterator<Item = (PoolId, &PoolSpec)> {
        (0u32..).map(PoolId).zip(self.pools.iter().map(|judged| &judged.spec))
    }

    /// The pool `id`.
    pub fn pool(&self, id: PoolId) -> Option<&PoolSpec> {
        self.pools.get(id.0 as usize).map(|judged| &judged.spec)
    }

    /// The names of the areas.
    pub fn areas(&self) -> &Arc<[Box<str>]> {
        &self.areas
    }

    /// The place in the list of overrides of the one over `pool` for clients of `area`.
    pub fn order_over(&self, pool: PoolId, area: AreaId) -> Option<usize> {
        self.pools.get(pool.0 as usize)?.orders(area)?.pool.map(|(place, _)| place)
    }

    /// The place in the list of overrides of the one over the member at `member` in `pool` for
    /// clients of `area`.
    pub fn order_over_member(&self, pool: PoolId, member: usize, area: AreaId) -> Option<usize> {
        let orders = self.pools.get(pool.0 as usize)?.orders(area)?;
        orders.members.get(member).copied().flatten().map(|(place, _)| place)
    }

    /// The verdict on the member at `member` in `pool` for clients of `area`, its pool's order
    /// aside.
    pub fn member(
        &self,
        pool: PoolId,
        member: usize,
        area: AreaId,
        belief: impl Fn(u32, AreaId) -> Belief,
    ) -> Option<Verdict> {
        let judged = self.pools.get(pool.0 as usize)?;
        let spec = judged.spec.members.get(member)?;
        let order = judged.orders(area)?.members.get(member).copied().flatten();
        let belief = |check| belief(check, area);
        Some(member_verdict(spec.deciding(belief).map(belief), order.map(|(_, state)| state)))
    }

    /// The belief in `check` has changed: its pools are judged anew and stored.
    pub fn changed(&self, check: u32, belief: impl Fn(u32, AreaId) -> Belief) -> Vec<PoolChange> {
        let pools = self.decides.get(check as usize).map_or(&[][..], Vec::as_slice);
        let mut changes = Vec::new();
        pools.iter().for_each(|&pool| self.judge_on(pool, &belief, &mut changes));
        changes
    }

    /// The overrides have changed: every pool is judged anew and stored.
    pub fn order(
        &mut self,
        overrides: &[Override],
        belief: impl Fn(u32, AreaId) -> Belief,
    ) -> Vec<PoolChange> {
        for judged in &mut self.pools {
            judged.obey(overrides, &self.areas);
        }
        let mut changes = Vec::new();
        for &pool in &self.ranked {
            self.judge(pool, &belief, &mut changes);
        }
        changes
    }

    /// A pool without which `pool` does not serve, and which serves no clients of `area`.
    pub fn lacking(&self, pool: PoolId, area: AreaId) -> Option<PoolId> {
        let serves = |need: PoolId| {
            let words = [Family::V4, Family::V6].map(|of| self.table.word(need, of, area));
            words.iter().any(|word| word.is_eligible())
        };
        let needs = &self.pools.get(pool.0 as usize)?.spec.needs;
        needs.iter().copied().find(|need| !serves(*need))
    }

    /// Judges a pool, and those that need it when it comes or goes.
    fn judge_on(
        &self,
        pool: PoolId,
        belief: &impl Fn(u32, AreaId) -> Belief,
        changes: &mut Vec<PoolChange>,
    ) {
        let before = changes.len();
        self.judge(pool, belief, changes);
        let turns = |change: &PoolChange| change.from.is_eligible() != change.to.is_eligible();
        if !changes.iter().skip(before).any(turns) {
            return;
        }
        for &other in self.needed_by.get(pool.0 as usize).into_iter().flatten() {
            self.judge_on(other, belief, changes);
        }
    }

    /// How soon the check at `check` may change its mind; seen in the words from the next
    /// judgement on.
    pub fn set_sight(&self, check: u32, seconds: Option<u64>) {
        if let Some(sight) = self.moves.sights.get(check as usize) {
            let seconds = seconds.map_or(0, |seconds| seconds.clamp(1, u64::from(u16::MAX)));
            sight.store(seconds as u16, Ordering::Relaxed);
        }
    }

    /// A pool that starts slowly takes this share of the clients of `area` from here on.
    pub fn set_start(
        &self,
        (pool, family, area): (PoolId, Family, AreaId),
        share: u16,
        belief: impl Fn(u32, AreaId) -> Belief,
    ) {
        if let Some(start) = self.moves.start(pool, family, area) {
            start.store(share, Ordering::Relaxed);
            self.judge(pool, &belief, &mut Vec::new());
        }
    }

    /// Judges both families of a pool for the world and for every area, stores the words, and
    /// adds what changed.
    fn judge(
        &self,
        pool: PoolId,
        belief: &impl Fn(u32, AreaId) -> Belief,
        changes: &mut Vec<PoolChange>,
    ) {
        let Some(judged) = self.pools.get(pool.0 as usize) else { return };
        let mut world = [None, None];
        for area in AreaId::all(self.areas.len()) {
            let words = [Family::V4, Family::V6].map(|family| {
                let to = self.eased(pool, judged, (family, area), belief);
                (self.table.store(pool, family, area, to), to)
            });
            let of_family =
                |((family, (from, to)), world): ((_, _), Option<(PoolWord, PoolWord)>)| {
                    let with_world = world
                        .is_some_and(|(before, now)| before.is_alike(from) && now.is_alike(to));
                    let is_change = from.is_blank() || !from.is_alike(to);
                    let family = Some(family);
                    is_change.then_some(PoolChange { pool, area, with_world, family, from, to })
                };
            let of_families = [Family::V4, Family::V6].into_iter().zip(words).zip(world);
            let mut told = of_families.filter_map(of_family);
            match (told.next(), told.next()) {
                (Some(v4), Some(_)) if judged.stands_for_both() => {
                    changes.push(PoolChange { family: None, ..v4 });
                }
                both => changes.extend([both.0, both.1].into_iter().flatten()),
            }
            if area == AreaId::WORLD {
                world = words.map(Some);
            }
        }
    }
}

impl Judge {
    /// A pool's word with the share it takes and how soon that may change.
    fn eased(
        &self,
        pool: PoolId,
        judged: &Judged,
        (family, area): (Family, AreaId),
        belief: &impl Fn(u32, AreaId) -> Belief,
    ) -> PoolWord {
        let mut word = judged.word(family, area, belief);
        // An operator's word stands over this, too.
        let is_ordered = judged.orders(area).is_some_and(|orders| orders.pool.is_some());
        if word.is_eligible() && !is_ordered && self.lacking(pool, area).is_some() {
            word = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
        }
        let start = self.moves.start(pool, family, area);
        if let Some(start) = start
            && !judged.spec.ease.slow_start.is_zero()
        {
            let before = self.table.word(pool, family, area);
            if word.is_eligible() && !before.is_eligible() && !before.is_blank() {
                start.store(SLOW_START_FROM, Ordering::Relaxed);
            }
        }
        let start = start.map_or(PoolWord::KEEP_ALL, |start| start.load(Ordering::Relaxed));
        let mut sight = self.sight(judged, family, area);
        if start < PoolWord::KEEP_ALL && word.is_eligible() {
            sight = sight.min(Sight::of(1));
        }
        let keep = judged.share(word, family);
        word.with_keep(keep.min(start)).with_sight(sight)
    }

    /// How soon a check that decides over the pool may change its mind.
    fn sight(&self, judged: &Judged, family: Family, area: AreaId) -> Sight {
        if judged.orders(area).is_some_and(|orders| orders.pool.is_some()) {
            return Sight::NOTHING;
        }
        let of_family = judged.of_family(family).filter_map(|(_, member)| member.check);
        let seconds = of_family.filter_map(|check| self.moves.sights.get(check as usize));
        let seconds = seconds.map(|sight| sight.load(Ordering::Relaxed)).filter(|sight| *sight > 0);
        seconds.min().map_or(Sight::NOTHING, |seconds| Sight::of(seconds.into()))
    }
}

/// Pools with those they need before them, and for each pool those that need it. Where pools need
/// each other in a circle, which no configuration can say, one of the needs is left out.
fn ranked(pools: &[PoolSpec]) -> (Vec<PoolId>, Vec<Vec<PoolId>>) {
    let mut ranked: Vec<PoolId> = Vec::with_capacity(pools.len());
    let mut needed_by = vec![Vec::new(); pools.len()];
    let mut waiting: Vec<PoolId> = (0u32..).map(PoolId).take(pools.len()).collect();
    let mut has_rank = vec![false; pools.len()];
    while !waiting.is_empty() {
        let is_ready = |pool: &PoolId| {
            let needs = pools[pool.0 as usize].needs.iter();
            needs.clone().all(|need| has_rank.get(need.0 as usize).copied().unwrap_or(true))
        };
        let (mut ready, rest): (Vec<_>, Vec<_>) = waiting.iter().partition(|pool| is_ready(pool));
        waiting = rest;
        if ready.is_empty() {
            ready.extend(waiting.pop());
        }
        for pool in ready {
            for need in &pools[pool.0 as usize].needs {
                if has_rank.get(need.0 as usize) == Some(&true) {
                    needed_by[need.0 as usize].push(pool);
                }
            }
            ranked.push(pool);
        }
        ranked.iter().for_each(|pool| has_rank[pool.0 as usize] = true);
    }
    (ranked, needed_by)
}

impl Moves {
    fn start(&self, pool: PoolId, family: Family, area: AreaId) -> Option<&AtomicU16> {
        let [v4, v6] = self.starts.get(usize::from(area.0))?.get(pool.0 as usize)?;
        Some(if family == Family::V4 { v4 } else { v6 })
    }
}

impl Judged {
    fn new(spec: PoolSpec) -> Self {
        Self { spec, orders: Vec::new() }
    }

    /// What is ordered for the clients of `area`.
    fn orders(&self, area: AreaId) -> Option<&Orders> {
        self.orders.get(usize::from(area.0)).or_else(|| self.orders.first())
    }

    fn stands_for_both(&self) -> bool {
        self.spec.members.iter().all(|member| member.family.is_none())
    }

    /// The word for one family. Where the pool has no member of the family there is nothing to
    /// order: the word stays the same under every override.
    fn word(
        &self,
        family: Family,
        area: AreaId,
        belief: &impl Fn(u32, AreaId) -> Belief,
    ) -> PoolWord {
        let orders = self.orders(area);
        let belief = |check| belief(check, area);
        let mut judged = self
            .of_family(family)
            .map(|(at, member)| {
                let order = orders.and_then(|orders| *orders.members.get(at)?);
                let order = order.map(|(_, state)| state);
                (member.place, member_verdict(member.deciding(belief).map(belief), order))
            })
            .peekable();
        let order = orders.and_then(|orders| judged.peek().and(orders.pool));
        pool_word(judged, order.map(|(_, state)| state))
    }

    fn of_family(&self, family: Family) -> impl Iterator<Item = (usize, &MemberSpec)> {
        let members = self.spec.members.iter().enumerate();
        members.filter(move |(_, member)| member.family.is_none_or(|of| of == family))
    }

    /// The share of clients that a pool with this word takes by its members.
    fn share(&self, word: PoolWord, family: Family) -> u16 {
        if word.verdict() != Verdict::Degraded {
            return PoolWord::KEEP_ALL;
        }
        match self.spec.ease.degraded {
            Degraded::All => PoolWord::KEEP_ALL,
            Degraded::Share(share) => {
                let all = u32::from(PoolWord::KEEP_ALL);
                (u32::from(share.min(10_000)) * all / 10_000) as u16
            }
            Degraded::Live => {
                let (mut live, mut all) = (0u64, 0u64);
                for (_, member) in self.of_family(family) {
                    let weight = u64::from(member.weight.max(1));
                    all += weight;
                    if word.live() & 1u32.checked_shl(member.place.into()).unwrap_or(0) != 0 {
                        live += weight;
                    }
                }
                (u64::from(PoolWord::KEEP_ALL) * live / all.max(1)) as u16
            }
        }
    }

    /// Finds the orders over this pool and its members, for the world and for every area if any
    /// order speaks of one: the narrower target wins, of equally narrow ones that for an area,
    /// and of those the last.
    fn obey(&mut self, overrides: &[Override], areas: &[Box<str>]) {
        let speaks = overrides.iter().any(|order| order.area.is_some());
        let areas = areas.iter().filter(|_| speaks).map(|name| Some(&**name));
        let spec = &self.spec;
        let orders =
            std::iter::once(None).chain(areas).map(|area| Orders::of(spec, overrides, area));
        self.orders = orders.collect();
    }
}

impl Orders {
    fn of(spec: &PoolSpec, overrides: &[Override], area: Option<&str>) -> Self {
        let find = |wanted: &dyn Fn(&OverrideTarget) -> bool| {
            let last = |area: Option<&str>| {
                overrides
                    .iter()
                    .rposition(|order| order.area.as_deref() == area && wanted(&order.target))
            };
            let place = area.and_then(|area| last(Some(area))).or_else(|| last(None))?;
            Some((place, overrides[place].state))
        };
        let members = spec.members.iter();
        Self {
            pool: find(&|target| spec.is_named_by(target))
                .or_else(|| find(&|target| spec.is_in_region_of(target))),
            members: members.map(|member| find(&|target| member.is_named_by(target))).collect(),
        }
    }
}

impl PoolSpec {
    /// True when `target` is this pool, a member of it, or its region.
    pub fn is_touched_by(&self, target: &OverrideTarget) -> bool {
        self.is_named_by(target)
            || self.is_in_region_of(target)
            || self.members.iter().any(|member| member.is_named_by(target))
    }

    fn is_named_by(&self, target: &OverrideTarget) -> bool {
        let OverrideTarget::Pool(name, origin) = target else { return false };
        *name == self.name && origin.as_ref().is_none_or(|origin| same_name(origin, &self.origin))
    }

    fn is_in_region_of(&self, target: &OverrideTarget) -> bool {
        matches!(target, OverrideTarget::Region(name) if *name == self.region)
    }
}

impl MemberSpec {
    /// The check that decides over it: the one of its name while that leads nowhere, or alone.
    pub fn deciding(&self, belief: impl Fn(u32) -> Belief) -> Option<u32> {
        let names =
            self.names.filter(|names| self.check.is_none() || belief(*names) == Belief::Down);
        names.or(self.check)
    }

    fn is_named_by(&self, target: &OverrideTarget) -> bool {
        let OverrideTarget::Member(name) = target else { return false };
        match (name.parse::<IpAddr>(), self.name.parse::<IpAddr>()) {
            (Ok(ordered), Ok(own)) => ordered == own,
            _ => same_name(name, &self.name),
        }
    }
}

/// Host names are equal whatever their case and with or without the dot at the end.
pub fn same_name(a: &str, b: &str) -> bool {
    a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'))
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
