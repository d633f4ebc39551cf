//! Selecting for one query: *geo orders, health strikes out, steer picks.*
//!
//! The chain of every policy: the map has matched the rule and put the candidates in order;
//! here those that are out are struck, and the first that are left are picked. All of it is
//! look-ups and comparisons; a [`Trace`] sees each step and costs nothing when it is `()`.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::geo::map::{Hit, Order};
use crate::health::table::{HealthTable, PoolWord, Verdict};
use crate::region::{Family, PoolId};
use crate::steer::affinity::Affinity;
use crate::steer::chance::Chance;
use crate::steer::key::{ClientKey, KeyLengths};
use crate::steer::record::{ANSWERS_MAX, LastResort, Plan, Policy, Record, Rule, Shortcut, Site};
use crate::steer::tally::Reason;
use crate::steer::weight::Alias;

/// For what a pool must be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Addresses of one family.
    Family(Family),
    /// Anything: one live family is enough.
    Any,
}

/// What was selected.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'r> {
    picks: [u16; ANSWERS_MAX],
    len: u8,
    /// Why.
    pub reason: Reason,
    /// Every client whose address shares this many leading bits gets the same treatment
    /// (RFC 7871 SCOPE PREFIX-LENGTH).
    pub scope: u8,
    /// Members are handed out whether they live or not.
    pub ignore_health: bool,
    /// What to answer when `picks` is empty; `None` when no rule is for this client.
    pub last_resort: Option<&'r LastResort>,
}

impl Selection<'_> {
    /// Sites picked, best first.
    #[inline]
    pub fn picks(&self) -> &[u16] {
        self.picks.get(..usize::from(self.len)).unwrap_or(&[])
    }

    #[inline]
    fn push(&mut self, site: u16) {
        if let Some(free) = self.picks.get_mut(usize::from(self.len)) {
            *free = site;
            self.len += 1;
        }
    }

    #[inline]
    fn is_full(&self, answers: u8) -> bool {
        self.len >= answers
    }
}

/// Sees each step of a selection.
pub trait Trace {
    /// The map was asked.
    fn located(&mut self, _hit: &Hit<'_>) {}
    /// A candidate was looked at, with the state of both families.
    fn considered(&mut self, _site: u16, _words: (PoolWord, PoolWord), _eligible: bool) {}
    /// Health is ignored: `eligible` of the rule's `own` candidates are left.
    fn panicked(&mut self, _eligible: usize, _own: usize) {}
    /// No candidate is left.
    fn exhausted(&mut self) {}
}

/// Sees nothing.
impl Trace for () {}

/// Selects for a client at `client`.
#[inline(always)]
pub fn select<'r>(
    record: &'r Record,
    client: IpAddr,
    ask: Ask,
    health: &HealthTable,
    chance: &mut Chance,
    trace: &mut impl Trace,
) -> Selection<'r> {
    let plan = &*record.plan;
    let hit = plan.map.lookup(client);
    trace.located(&hit);
    let mut selection = Selection {
        picks: [0; ANSWERS_MAX],
        len: 0,
        reason: Reason::Preferred,
        scope: hit.scope_head,
        ignore_health: false,
        last_resort: None,
    };
    let number = hit.order.rule.map_or(usize::MAX, usize::from);
    let Some(rule) = plan.rules.get(number) else {
        selection.reason = Reason::Unmatched;
        return selection;
    };
    let ignore = Ignore::Nothing;
    let turn = record.turns.get(number);
    let mut chooser = Chooser { plan, rule, turn, ask, health, ignore, trace };
    // Nearly every query ends here: one answer, and the first choice is in.
    let first = match (&rule.shortcut, &rule.policy) {
        (Shortcut::Head, _) if hit.order.len > 0 => hit.order.sites.first().copied(),
        (Shortcut::Draw, Policy::Weighted { alias: Some(alias), .. }) => {
            rule.own.get(alias.pick(chance)).copied()
        }
        _ => None,
    };
    if let Some(site) = first {
        if chooser.is_eligible(site) {
            selection.push(site);
            return selection;
        }
        selection.reason = Reason::Fallback;
    }
    chooser.search(&hit, client, chance, selection)
}

/// How much of a pool's word is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ignore {
    Nothing,
    /// Checks are not believed; what an operator drained or forced down stays out.
    Checks,
    Everything,
}

struct Chooser<'a, 'r, T> {
    plan: &'r Plan,
    rule: &'r Rule,
    /// Whose turn it is, under a policy that takes turns.
    turn: Option<&'r AtomicU32>,
    ask: Ask,
    health: &'a HealthTable,
    ignore: Ignore,
    trace: &'a mut T,
}

impl<'r, T: Trace> Chooser<'_, 'r, T> {
    /// Everything there is to a selection; `selection` is empty, and its reason says whether a
    /// first choice has been struck out.
    #[inline(never)]
    fn search(
        &mut self,
        hit: &Hit<'_>,
        client: IpAddr,
        chance: &mut Chance,
        mut selection: Selection<'r>,
    ) -> Selection<'r> {
        if self.is_panic() {
            self.ignore = Ignore::Checks;
            selection.reason = Reason::Panic;
            selection.ignore_health = true;
        }
        self.choose(hit, client, chance, &mut selection);
        if selection.len > 0 {
            return selection;
        }
        self.trace.exhausted();
        selection.reason = Reason::LastResort;
        selection.scope = hit.scope_full;
        selection.last_resort = Some(&self.rule.last_resort);
        if self.rule.last_resort == LastResort::All {
            selection.ignore_health = true;
            for ignore in [Ignore::Checks, Ignore::Everything] {
                self.ignore = ignore;
                self.choose_own(hit, client, chance, &mut selection);
                if selection.len > 0 {
                    selection.reason = Reason::LastResort;
                    return selection;
                }
            }
        }
        selection
    }

    /// Own candidates first, then, for a rule without a fence, the record's others.
    fn choose(
        &mut self,
        hit: &Hit<'_>,
        client: IpAddr,
        chance: &mut Chance,
        selection: &mut Selection<'_>,
    ) {
        match &self.rule.policy {
            Policy::Failover | Policy::Nearest => self.in_order(hit, usize::MAX, selection),
            _ => {
                self.choose_own(hit, client, chance, selection);
                if selection.len == 0 {
                    self.in_order(hit, usize::MAX, selection);
                    if selection.len > 0 {
                        selection.reason = Reason::Fallback;
                    }
                }
            }
        }
    }

    /// Own candidates only.
    fn choose_own(
        &mut self,
        hit: &Hit<'_>,
        client: IpAddr,
        chance: &mut Chance,
        selection: &mut Selection<'_>,
    ) {
        match &self.rule.policy {
            Policy::Failover | Policy::Nearest => {
                self.in_order(hit, usize::from(hit.order.own), selection);
            }
            Policy::Weighted { alias, weights } => {
                self.by_weight(alias.as_ref(), weights, chance, selection);
            }
            Policy::Hash { affinity, key, .. } => {
                self.by_client(affinity, *key, client, selection);
            }
            Policy::RoundRobin => self.in_turn(selection),
        }
    }

    /// The first eligible of the map's order, of which at most `bound` are looked at.
    fn in_order(&mut self, hit: &Hit<'_>, bound: usize, selection: &mut Selection<'_>) {
        let kept = usize::from(hit.order.len).min(bound);
        let head = hit.order.sites.first();
        let mut looked_past_head = false;
        for (position, &site) in hit.order.sites.iter().take(kept).enumerate() {
            looked_past_head |= position > 0;
            if self.is_eligible(site) {
                selection.push(site);
                if selection.is_full(self.plan.answers) {
                    break;
                }
            }
        }
        if looked_past_head {
            selection.scope = hit.scope_full;
        }
        if selection.reason == Reason::Preferred && selection.picks().first() != head {
            selection.reason = Reason::Fallback;
        }
        if hit.order.cut && !selection.is_full(self.plan.answers) {
            self.beyond(hit.order, bound == usize::MAX, selection);
        }
    }

    /// Every kept candidate is out: the rest by distance from where the clients of this order
    /// are, or as written where that is unknown. Disasters only; linear in the sites.
    #[cold]
    fn beyond(&mut self, order: &Order, with_others: bool, selection: &mut Selection<'_>) {
        let by_distance = matches!(self.rule.policy, Policy::Nearest) && order.at != [0.0; 3];
        let others: &[u16] = if with_others { &self.rule.others } else { &[] };
        for list in [&*self.rule.own, others] {
            while !selection.is_full(self.plan.answers) {
                let mut best: Option<(f32, u16)> = None;
                for &site in list {
                    let kept = order.sites.iter().take(usize::from(order.len));
                    if kept.chain(selection.picks()).any(|&known| known == site)
                        || !self.is_eligible(site)
                    {
                        continue;
                    }
                    let far = if by_distance { self.distance(order.at, site) } else { 0.0 };
                    if best.is_none_or(|(least, _)| far < least) {
                        best = Some((far, site));
                    }
                }
                match best {
                    Some((_, site)) => selection.push(site),
                    None => break,
                }
            }
        }
    }

    /// Biased angle from `from` to a site; a site without a location is farthest.
    fn distance(&self, from: [f32; 3], site: u16) -> f32 {
        let place = self.plan.sites.get(usize::from(site)).and_then(|site| site.at);
        place.map_or(f32::MAX, |(to, factor)| {
            let dot: f32 = from.iter().zip(to).map(|(a, b)| a * b).sum();
            dot.clamp(-1.0, 1.0).acos() * factor
        })
    }

    /// Weighted random without repetition.
    fn by_weight(
        &mut self,
        alias: Option<&Alias>,
        weights: &[u32],
        chance: &mut Chance,
        selection: &mut Selection<'_>,
    ) {
        if let Some(&site) = alias.and_then(|alias| self.rule.own.get(alias.pick(chance))) {
            if self.is_eligible(site) {
                selection.push(site);
            } else if selection.reason == Reason::Preferred {
                selection.reason = Reason::Fallback;
            }
        }
        while !selection.is_full(self.plan.answers) {
            match self.draw_again(weights, chance, selection) {
                Some(site) => selection.push(site),
                None => break,
            }
        }
    }

    /// The client's own pool, and its next ones while it is out or more answers are wanted.
    fn by_client(
        &mut self,
        affinity: &Affinity,
        lengths: KeyLengths,
        client: IpAddr,
        selection: &mut Selection<'_>,
    ) {
        let rule = self.rule;
        let key = ClientKey::of(client, lengths);
        selection.scope = selection.scope.max(lengths.bits(client));
        let first = affinity.pick(key, |_| true);
        while !selection.is_full(self.plan.answers) {
            let accepts = |number: usize| {
                let site = rule.own.get(number).copied();
                site.is_some_and(|site| {
                    !selection.picks().contains(&site) && self.is_eligible(site)
                })
            };
            let Some(number) = affinity.pick(key, accepts) else { break };
            if selection.len == 0 && Some(number) != first && selection.reason == Reason::Preferred
            {
                selection.reason = Reason::Fallback;
            }
            match rule.own.get(number) {
                Some(&site) => selection.push(site),
                None => break,
            }
        }
    }

    /// One eligible site that is not picked yet, by weight; the first standby (weight 0) when
    /// none with a weight is left.
    fn draw_again(
        &mut self,
        weights: &[u32],
        chance: &mut Chance,
        selection: &Selection<'_>,
    ) -> Option<u16> {
        let rule = self.rule;
        let mut sum = 0u32;
        let mut standby = None;
        for (&site, &weight) in rule.own.iter().zip(weights) {
            if !selection.picks().contains(&site) && self.is_eligible(site) {
                sum = sum.saturating_add(weight);
                if weight == 0 && standby.is_none() {
                    standby = Some(site);
                }
            }
        }
        if sum == 0 {
            return standby;
        }
        let mut left = chance.below(sum);
        for (&site, &weight) in rule.own.iter().zip(weights) {
            if !selection.picks().contains(&site) && self.untraced(site) {
                if left < weight {
                    return Some(site);
                }
                left -= weight;
            }
        }
        // Health changed between the two passes: whoever still lives.
        standby.or_else(|| rule.own.iter().copied().find(|&site| self.untraced(site)))
    }

    /// The next in turn among the eligible.
    fn in_turn(&mut self, selection: &mut Selection<'_>) {
        let (rule, Some(turn)) = (self.rule, self.turn) else { return };
        let eligible = rule.own.iter().filter(|&&site| self.is_eligible(site)).count();
        if eligible == 0 {
            return;
        }
        if eligible < rule.own.len() && selection.reason == Reason::Preferred {
            selection.reason = Reason::Fallback;
        }
        let first = turn.fetch_add(1, Ordering::Relaxed) as usize % eligible;
        let wanted = eligible.min(usize::from(self.plan.answers));
        let round = (0..2).flat_map(|_| rule.own.iter().copied());
        for site in round.filter(|&site| self.untraced(site)).skip(first).take(wanted) {
            selection.push(site);
        }
    }

    /// Whether fewer own candidates are eligible than the rule's panic threshold asks for.
    fn is_panic(&mut self) -> bool {
        if self.rule.panic_below == 0 {
            return false;
        }
        let own = self.rule.own.len();
        let eligible = self.rule.own.iter().filter(|&&site| self.untraced(site)).count();
        let panic = eligible * 10_000 < own * usize::from(self.rule.panic_below);
        if panic {
            self.trace.panicked(eligible, own);
        }
        panic
    }

    #[inline(always)]
    fn is_eligible(&mut self, site: u16) -> bool {
        let Some(known) = self.plan.sites.get(usize::from(site)) else { return false };
        let words = self.words(known.pool);
        let eligible = self.accepts(known, words);
        self.trace.considered(site, words, eligible);
        eligible
    }

    #[inline]
    fn untraced(&self, site: u16) -> bool {
        let known = self.plan.sites.get(usize::from(site));
        known.is_some_and(|known| self.accepts(known, self.words(known.pool)))
    }

    #[inline]
    fn words(&self, pool: PoolId) -> (PoolWord, PoolWord) {
        let word = |family| self.health.word(pool, family);
        match self.ask {
            Ask::Family(family) => {
                let word = word(family);
                (word, word)
            }
            Ask::Any => (word(Family::V4), word(Family::V6)),
        }
    }

    #[inline]
    fn accepts(&self, site: &Site, words: (PoolWord, PoolWord)) -> bool {
        let by_operator =
            |word: PoolWord| matches!(word.verdict(), Verdict::Draining | Verdict::ForcedDown);
        match self.ignore {
            Ignore::Nothing => words.0.is_eligible() || words.1.is_eligible(),
            Ignore::Checks => {
                site.offers(self.ask) && !(by_operator(words.0) && by_operator(words.1))
            }
            Ignore::Everything => site.offers(self.ask),
        }
    }
}

impl Site {
    /// Whether the pool has anything to hand out for `ask`, healthy or not.
    #[inline]
    const fn offers(&self, ask: Ask) -> bool {
        match ask {
            Ask::Family(Family::V4) => self.has_v4,
            Ask::Family(Family::V6) => self.has_v6,
            Ask::Any => self.has_v4 || self.has_v6,
        }
    }
}
