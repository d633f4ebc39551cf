//! The policies: in which order a rule's candidates are looked at, and which are picked.

use std::sync::atomic::Ordering;

use super::{Chooser, SPILL_SALT, Selection, Side, Standing, Trace};
use crate::geo::map::{Hit, Order};
use crate::steer::affinity::Affinity;
use crate::steer::dials;
use crate::steer::key::{ClientKey, KeyLengths};
use crate::steer::record::Policy;
use crate::steer::spill;
use crate::steer::tally::Reason;
use crate::steer::weight::Alias;

impl<T: Trace> Chooser<'_, '_, T> {
    /// Own candidates only.
    pub(super) fn choose_own(&mut self, hit: &Hit<'_>, selection: &mut Selection<'_>) {
        let rule = self.rule;
        match &rule.policy {
            Policy::Failover | Policy::Nearest => {
                self.in_order(hit, usize::from(hit.order.own), selection);
            }
            Policy::Weighted { alias, weights } => {
                self.by_weight(alias.as_ref(), weights, selection);
            }
            Policy::Hash { affinity, key, sticky, .. } => {
                self.by_client(affinity, *key, *sticky, selection);
            }
            Policy::RoundRobin => self.in_turn(selection),
            Policy::Nested(nest) => self.nested(nest, hit, selection),
        }
    }

    /// The first of the map's order that take this client, of which at most `bound` are looked
    /// at.
    pub(super) fn in_order(&mut self, hit: &Hit<'_>, bound: usize, selection: &mut Selection<'_>) {
        let kept = usize::from(hit.order.len).min(bound);
        let order = hit.order.sites.get(..kept).unwrap_or_default();
        let mut looked_past_head = self.spilled(hit.order, order, selection);
        let head = hit.order.head().len();
        if head > 1 {
            self.among_tied(hit.order, selection);
        }
        for (position, &site) in order.iter().enumerate() {
            if selection.is_full(self.rule.answers) {
                break;
            }
            if !self.is_on_side(site) || selection.picks().contains(&site) {
                continue;
            }
            looked_past_head |= position >= head;
            if self.is_in(site) {
                self.take(site, selection);
            }
        }
        if looked_past_head {
            selection.scope = hit.scope_full;
        }
        if hit.order.cut && !selection.is_full(self.rule.answers) {
            self.beyond(hit.order, bound == usize::MAX, selection);
        }
    }

    /// Where nearer pools are at capacity, the clients of an order begin at different places of
    /// it. True when those of any order do: others with the same first candidate may be spread.
    fn spilled(&mut self, order: &Order, sites: &[u16], selection: &mut Selection<'_>) -> bool {
        let plan = self.plan;
        let Some(spill) = self.trace.spill(plan).filter(|_| !self.overrules) else {
            return false;
        };
        let word = spill.word(order.number as usize);
        if word == spill::FIRST {
            return spill.moves();
        }
        let byte = (self.key().with(SPILL_SALT) >> 56) as u8;
        let begins = spill::begins_at(word, byte);
        // Where some are equally near, the first is one among them unless it is told.
        if (begins > 0 || order.head().len() > 1)
            && let Some(&site) = sites.get(begins)
            && self.is_on_side(site)
            && self.is_in(site)
        {
            // As near as the first is none the worse.
            if begins >= order.head().len()
                && let Some(&head) = sites.first()
            {
                let why = if self.is_open(head) { Reason::AtCapacity } else { self.why_not(head) };
                self.passed.get_or_insert(why);
            }
            self.trace.spilled(begins);
            self.take(site, selection);
        }
        true
    }

    /// Picks a site, and says why it is the first if it is and others were passed over.
    pub(super) fn take(&self, site: u16, selection: &mut Selection<'_>) {
        if selection.len == 0 && selection.reason == Reason::Preferred {
            selection.reason = self.passed.unwrap_or(Reason::Preferred);
        }
        selection.push(site);
    }

    /// Every kept candidate is out: the rest by distance from where the clients of this order
    /// are, or as written where that is unknown. Disasters only; linear in the sites.
    #[cold]
    fn beyond(&mut self, order: &Order, with_others: bool, selection: &mut Selection<'_>) {
        let by_distance = matches!(self.rule.policy, Policy::Nearest) && order.at != [0.0; 3];
        let others: &[u16] = if with_others { &self.rule.others } else { &[] };
        for list in [&*self.rule.own, others] {
            while !selection.is_full(self.rule.answers) {
                let mut best: Option<(f32, u16)> = None;
                for &site in list {
                    let kept = order.sites.iter().take(usize::from(order.len));
                    if kept.chain(selection.picks()).any(|&known| known == site)
                        || !self.is_on_side(site)
                        || !self.is_in(site)
                    {
                        continue;
                    }
                    let far = if by_distance { self.distance(order.at, site) } else { 0.0 };
                    if best.is_none_or(|(least, _)| far < least) {
                        best = Some((far, site));
                    }
                }
                match best {
                    Some((_, site)) => self.take(site, selection),
                    None => break,
                }
            }
        }
    }

    /// Biased angle from `from` to a site; a site without a location is farthest.
    pub(super) fn distance(&self, from: [f32; 3], site: u16) -> f32 {
        let place = self.plan.sites.get(usize::from(site)).and_then(|site| site.at);
        place.map_or(f32::MAX, |(to, factor)| {
            let dot: f32 = from.iter().zip(to).map(|(a, b)| a * b).sum();
            dot.clamp(-1.0, 1.0).acos() * factor
        })
    }

    /// Weighted random without repetition. A pool that takes a share of the clients has that
    /// share of its weight.
    fn by_weight(&mut self, alias: Option<&Alias>, weights: &[u32], selection: &mut Selection<'_>) {
        let mut declined = None;
        // With sides the table would draw from both.
        if self.side == Side::All
            && let Some(alias) = alias
        {
            let drawn = match self.query.drawn {
                None => self.rule.own.get(alias.pick(self.chance)).copied(),
                drawn => drawn,
            };
            if let Some(site) = drawn {
                // Rejected in proportion, and drawn again by exact weights: exact.
                let share = self.share(site);
                let taken = share == dials::ALL || (self.chance.draw() >> 48) < u64::from(share);
                if taken && share > 0 {
                    self.take(site, selection);
                } else if share > 0 {
                    declined = Some(site);
                }
            }
        }
        while !selection.is_full(self.rule.answers) {
            let Some(site) = self.draw_again(weights, selection) else { break };
            // Drawn again it is as if it had not been declined.
            if let Some(other) = declined.take()
                && other != site
            {
                self.note(other, Standing::Shed);
            }
            self.take(site, selection);
        }
    }

    /// The client's own pool, and its next ones while it is out or more answers are wanted.
    fn by_client(
        &mut self,
        affinity: &Affinity,
        lengths: KeyLengths,
        sticky: bool,
        selection: &mut Selection<'_>,
    ) {
        let rule = self.rule;
        let key = if sticky { self.key() } else { ClientKey::of(self.query.client, lengths) };
        self.by_network |= !sticky;
        while !selection.is_full(self.rule.answers) {
            let accepts = |number: usize| {
                let site = rule.own.get(number).copied();
                site.is_some_and(|site| {
                    self.is_on_side(site) && !selection.picks().contains(&site) && self.is_in(site)
                })
            };
            let Some(number) = affinity.pick(key, accepts) else { break };
            if selection.len == 0 {
                self.passed = self.passed_by(affinity, key, number);
            }
            match rule.own.get(number) {
                Some(&site) => self.take(site, selection),
                None => break,
            }
        }
    }

    /// Why a client got pool `number` if that is not its own.
    fn passed_by(&self, affinity: &Affinity, key: ClientKey, number: usize) -> Option<Reason> {
        let on_side =
            |number: usize| self.rule.own.get(number).is_some_and(|&site| self.is_on_side(site));
        let first = affinity.pick(key, on_side).filter(|first| *first != number)?;
        self.rule.own.get(first).map(|&first| self.why_not(first))
    }

    /// One site that takes clients and is not picked yet, by weight and share; the first standby
    /// (weight 0) when none with a weight is left. Where all are picked in the end, weights decide
    /// nothing: from the second on, a site is in as many answers as it takes of the clients.
    fn draw_again(&mut self, weights: &[u32], selection: &Selection<'_>) -> Option<u16> {
        let rule = self.rule;
        let is_more = !selection.picks().is_empty();
        let mut sum = 0u64;
        let mut standby = None;
        for (&site, &weight) in rule.own.iter().zip(weights) {
            if selection.picks().contains(&site) || !self.is_on_side(site) {
                continue;
            }
            let mut share = self.share(site);
            if is_more && !self.is_kept(site, share) {
                share = 0;
            }
            sum += u64::from(weight) * u64::from(share);
            if weight == 0 && share > 0 && standby.is_none() {
                standby = Some(site);
            }
        }
        if sum == 0 {
            return standby;
        }
        let mut left = self.chance.below_wide(sum);
        for (&site, &weight) in rule.own.iter().zip(weights) {
            if !selection.picks().contains(&site) && self.is_on_side(site) {
                let share = self.untraced_share(site);
                let share = if is_more && !self.is_kept(site, share) { 0 } else { share };
                let weight = u64::from(weight) * u64::from(share);
                if left < weight {
                    return Some(site);
                }
                left -= weight;
            }
        }
        // Health changed between the two passes: whoever still lives.
        standby.or_else(|| rule.own.iter().copied().find(|&site| self.is_open(site)))
    }

    /// The next in turn among those that take this client.
    fn in_turn(&mut self, selection: &mut Selection<'_>) {
        let (rule, number) = (self.rule, self.query.number);
        let Some(turn) = self.query.record.turns.get(number) else { return };
        let takers = rule.own.iter().filter(|&&site| self.is_on_side(site) && self.is_in(site));
        let takers = takers.count();
        if takers == 0 {
            return;
        }
        let first = turn.fetch_add(1, Ordering::Relaxed) as usize % takers;
        let wanted = takers.min(usize::from(self.rule.answers));
        let mut skip = first;
        for _ in 0..2 {
            for &site in &rule.own {
                if usize::from(selection.len) == wanted {
                    return;
                }
                let is_free = self.is_on_side(site) && !selection.picks().contains(&site);
                if is_free && self.takes(site) {
                    if skip > 0 {
                        skip -= 1;
                    } else {
                        self.take(site, selection);
                    }
                }
            }
        }
    }
}
