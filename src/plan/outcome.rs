//! What a class of clients may be answered, and how often: the selection itself, asked once for
//! each alternative that chance, turns or the client's own network leave open.

use std::net::IpAddr;

use crate::geo::map::ORDER_MAX;
use crate::health::table::{HealthTable, PoolLoad, PoolWord};
use crate::plan::suppose::FAMILIES;
use crate::region::{AreaId, Family, PoolId};
use crate::steer::chance::Chance;
use crate::steer::dials::ALL;
use crate::steer::record::{Plan, Policy, Record, Rule, Ties};
use crate::steer::select::{Ask, Selection, Trace, select, tie_shares};
use crate::steer::spill::FIRST;
use crate::steer::tally::Reason;

/// Draws that stand for all where shares cannot be told from the weights, a power of two: their
/// standard error is below 0.8 % of all answers. A sixteenth of them where there are many orders.
pub const DRAWS: u32 = 4096;

/// Draws that stand for all alternatives where they cannot be aimed at one by one.
const SEEDS: u64 = 256;

/// Who one client is handed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pool, by the number of its site.
    Site(u16),
    /// None: the last resort of the rule with this number.
    LastResort(u8),
    /// No rule is for this client.
    Unmatched,
}

/// Which records are asked, for what, in which state of health.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The record.
    pub record: &'a Record,
    /// What is asked for.
    pub ask: Ask,
    /// Which pools are in.
    pub table: &'a HealthTable,
}

/// What is asked for with a type, as far as steering tells types apart; `None` where a record
/// does not steer it.
pub const fn ask_of(plan: &Plan, family: Family) -> Option<Ask> {
    let steers = match family {
        Family::V4 => plan.steers_v4,
        Family::V6 => plan.steers_v6,
    };
    if steers { Some(Ask::Family(family)) } else { None }
}

/// Whether what a client gets under a rule hangs on its own network beyond its order.
pub fn is_keyed(rule: &Rule) -> bool {
    rule.band.is_some_and(|band| band.ties.by_network())
        || match &rule.policy {
            Policy::Hash { .. } => true,
            Policy::Nested(nest) => nest.stays(),
            _ => false,
        }
}

impl<'a> Asker<'a> {
    /// Whether clients of this order under this rule are told apart beyond it: a share of them
    /// begins further down, or is passed over by a pool.
    pub fn is_parted(&self, number: u8, rule: &Rule, order: usize) -> bool {
        let (plan, dials, number) = (&*self.record.plan, &self.record.dials, usize::from(number));
        let spill = plan.spill.as_deref();
        let area = plan.map.orders().get(order).map_or(AreaId::WORLD, |order| order.area);
        let words = |site: &u16| {
            let site = plan.sites.get(usize::from(*site));
            FAMILIES.map(|family| site.map(|site| self.table.word(site.pool, family, area)))
        };
        let in_part = |word: PoolWord| word.is_eligible() && word.keep() != PoolWord::KEEP_ALL;
        let keeps = |place| {
            let spilled = spill.map_or(ALL, |spill| spill.keep(number, place));
            dials.keep(number, place).min(spilled)
        };
        spill.is_some_and(|spill| spill.word(order) != FIRST)
            || !(rule.new_side.is_empty() || matches!(dials.stage(number), 0 | ALL))
            || rule.dialled && (0..rule.own.len()).any(|place| keeps(place) != ALL)
            || rule.own.iter().chain(&rule.others).flat_map(words).flatten().any(in_part)
    }

    /// Whether what clients of an order get hangs on their own networks beyond it.
    pub fn is_by_network(&self, number: u8, rule: &Rule, order: usize) -> bool {
        is_keyed(rule) || rule.key.is_some() && self.is_parted(number, rule, order)
    }

    /// One selection.
    #[inline]
    pub fn select(
        &self,
        client: IpAddr,
        chance: &mut Chance,
        trace: &mut impl Trace,
    ) -> Selection<'a> {
        select(self.record, client, self.ask, self.table, chance, trace)
    }

    /// The rule for a client.
    pub fn rule(&self, client: IpAddr) -> Option<(u8, &'a Rule)> {
        let number = self.record.plan.map.lookup(client).order.rule?;
        Some((number, self.record.plan.rules.get(usize::from(number))?))
    }

    /// Selects for one client once for every alternative that chance and turns leave open, each
    /// at least once. What comes of another client key is not among them.
    pub fn each(
        &self,
        client: IpAddr,
        trace: &mut impl Trace,
        mut visit: impl FnMut(&Selection<'a>),
    ) {
        let untouched = Chance::aimed(0);
        let mut chance = untouched.clone();
        visit(&self.select(client, &mut chance, trace));
        let Some((_, rule)) = self.rule(client) else { return };
        if matches!(rule.policy, Policy::RoundRobin) {
            (1..rule.own.len())
                .for_each(|_| visit(&self.select(client, &mut Chance::seeded(0), trace)));
            return;
        }
        if chance == untouched {
            return;
        }
        // The first draw chooses one of those equally near; or a cell of the alias table by its
        // upper half, and one of two candidates by its lower. Both ends of every cell are
        // everything that can be drawn first, and what is drawn next is one of the others.
        let in_order = matches!(rule.policy, Policy::Failover | Policy::Nearest);
        if let Some((ties, shares)) = self.tie_shares(client).filter(|_| in_order) {
            for bits in by_room(ties, &shares) {
                visit(&self.select(client, &mut Chance::aimed(bits), trace));
            }
        }
        let tied = self.record.plan.map.lookup(client).order.head().len();
        let cells = if in_order { tied.max(1) } else { rule.own.len() } as u64;
        let aims = (0..cells).flat_map(|cell| {
            let upper = (cell << 32).div_ceil(cells) << 32;
            [upper, upper | u64::from(u32::MAX)]
        });
        for bits in aims {
            visit(&self.select(client, &mut Chance::aimed(bits), trace));
        }
        let by_weight = matches!(rule.policy, Policy::Weighted { .. });
        if !(in_order || by_weight) || !rule.new_side.is_empty() {
            for seed in 0..SEEDS {
                visit(&self.select(client, &mut Chance::seeded(seed), trace));
            }
        }
    }

    /// Who a client is handed to, each with its share of the answers; the shares add up to one.
    /// An answer of several pools counts in equal parts. The second value says whether the
    /// shares are exact.
    pub fn shares(&self, client: IpAddr) -> (Vec<(End, f64)>, bool) {
        let order = self.record.plan.map.lookup(client).order.number as usize;
        if let Some((number, rule)) = self.rule(client)
            && self.is_parted(number, rule, order)
        {
            return (self.drawn(client, DRAWS), false);
        }
        let mut ends = Ends::default();
        self.each(client, &mut (), |selection| ends.count(selection, self.number(client), 1.0));
        if ends.0.len() == 1 {
            return (ends.finish(), true);
        }
        let Some((_, rule)) = self.rule(client) else { return (ends.finish(), true) };
        match &rule.policy {
            // Every pool that is in takes its turn before the first takes another.
            Policy::RoundRobin => {
                let round = ends.0.len();
                let mut ends = Ends::default();
                for _ in 0..round {
                    let selection = self.select(client, &mut Chance::seeded(0), &mut ());
                    ends.count(&selection, self.number(client), 1.0);
                }
                (ends.finish(), true)
            }
            Policy::Failover | Policy::Nearest if self.tie_shares(client).is_some() => {
                match self.by_ties(client, rule, &ends) {
                    Some(exact) => (exact, true),
                    None => (self.drawn(client, DRAWS), false),
                }
            }
            Policy::Failover | Policy::Nearest if rule.answers == 1 && rule.new_side.is_empty() => {
                ends.0.iter_mut().for_each(|(_, weight)| *weight = 1.0);
                (ends.finish(), true)
            }
            Policy::Failover | Policy::Nearest => (self.drawn(client, DRAWS / 16), false),
            Policy::Weighted { weights, .. } if rule.answers == 1 && rule.new_side.is_empty() => {
                match ends.by_weight(rule, weights) {
                    Some(exact) => (exact, true),
                    None => (self.drawn(client, DRAWS), false),
                }
            }
            _ => (self.drawn(client, DRAWS), false),
        }
    }

    /// How ties are broken for a client by loads, and the shares that come of it by place of its
    /// order if everybody is taken by whom they fall to; `None` where loads do not count.
    fn tie_shares(&self, client: IpAddr) -> Option<(Ties, [f64; ORDER_MAX])> {
        let (_, rule) = self.rule(client)?;
        let ties = rule.band.map(|band| band.ties).filter(|ties| ties.by_load())?;
        let order = self.record.plan.map.lookup(client).order;
        let site = |place: u32| {
            let number = order.head().get(place as usize)?;
            self.record.plan.sites.get(usize::from(*number))
        };
        let is_open =
            |place: &u32| site(*place).is_some_and(|site| self.serves(site.pool, order.area));
        let places = 0..order.head().len() as u32;
        let serving = places.filter(is_open).fold(0, |all, place| all | 1 << place);
        let load =
            |place| site(place).map_or(PoolLoad::UNKNOWN, |site| self.table.loads.of(site.pool));
        Some((ties, tie_shares(ties, serving, load))).filter(|_| order.head().len() > 1)
    }

    /// Whether a pool may be handed out for what is asked.
    fn serves(&self, pool: PoolId, area: AreaId) -> bool {
        let is_in = |family| self.table.word(pool, family, area).is_eligible();
        match self.ask {
            Ask::Family(family) => is_in(family),
            Ask::Any => is_in(Family::V4) || is_in(Family::V6),
        }
    }

    /// By the shares of ties, where each pool takes whoever falls to it.
    fn by_ties(&self, client: IpAddr, rule: &Rule, ends: &Ends) -> Option<Vec<(End, f64)>> {
        if rule.answers != 1 || !rule.new_side.is_empty() || rule.panic_below > 0 {
            return None;
        }
        let (_, shares) = self.tie_shares(client)?;
        let order = self.record.plan.map.lookup(client).order;
        let weighed = ends.0.iter().map(|(end, _)| {
            let End::Site(number) = end else { return None };
            let place = order.head().iter().position(|site| site == number)?;
            Some((*end, *shares.get(place)?)).filter(|(_, share)| *share > 0.0)
        });
        weighed.collect::<Option<_>>().map(|weighed| Ends(weighed).finish())
    }

    /// Shares of so many draws, the first of each spread evenly over all it may be.
    fn drawn(&self, client: IpAddr, draws: u32) -> Vec<(End, f64)> {
        let mut ends = Ends::default();
        let mut rest = Chance::seeded(0);
        for draw in 0..u64::from(draws) {
            let bits = (draw << (64 - draws.ilog2())) | (rest.draw() >> draws.ilog2());
            let selection = self.select(client, &mut Chance::aimed(bits), &mut ());
            ends.count(&selection, self.number(client), 1.0);
        }
        ends.finish()
    }

    fn number(&self, client: IpAddr) -> u8 {
        self.rule(client).map_or(u8::MAX, |(number, _)| number)
    }
}

/// First draws that among them lead to everyone a tie by load may lead to.
fn by_room(ties: Ties, shares: &[f64]) -> Vec<u64> {
    let count = shares.iter().filter(|share| **share > 0.0).count() as u64;
    if ties == Ties::TwoChoices {
        // The upper half draws two of them, the lower which of the two.
        let pairs = count * count.saturating_sub(1);
        let upper = (0..pairs).map(|pair| (pair << 32).div_ceil(pairs) << 32);
        return upper.flat_map(|upper| [upper, upper | u64::from(u32::MAX)]).collect();
    }
    let mut before = 0.0;
    let middle = |share: &f64| {
        before += share;
        ((before - share / 2.0) * 2.0_f64.powi(64)) as u64
    };
    shares.iter().filter(|share| **share > 0.0).map(middle).collect()
}

/// Ends with what they weigh.
#[derive(Debug, Default)]
pub struct Ends(Vec<(End, f64)>);

impl Ends {
    /// Adds one selection under the rule `rule`.
    pub fn count(&mut self, selection: &Selection<'_>, rule: u8, weight: f64) {
        let picks = selection.picks();
        if picks.is_empty() {
            let unmatched = selection.reason == Reason::Unmatched;
            self.add(if unmatched { End::Unmatched } else { End::LastResort(rule) }, weight);
        }
        picks.iter().for_each(|&site| self.add(End::Site(site), weight / picks.len() as f64));
    }

    fn add(&mut self, end: End, weight: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == end) {
            Some((_, sum)) => *sum += weight,
            None => self.0.push((end, weight)),
        }
    }

    /// By the rule's weights where only its own sites were drawn.
    fn by_weight(&self, rule: &Rule, weights: &[u32]) -> Option<Vec<(End, f64)>> {
        let weighed = self.0.iter().map(|(end, _)| {
            let End::Site(site) = end else { return None };
            let at = rule.own.iter().position(|own| own == site)?;
            Some((*end, f64::from(*weights.get(at)?)))
        });
        let weighed: Vec<(End, f64)> = weighed.collect::<Option<_>>()?;
        let known = weighed.iter().all(|(_, weight)| *weight > 0.0);
        known.then(|| Self(weighed).finish())
    }

    /// Shares that add up to one.
    pub fn finish(mut self) -> Vec<(End, f64)> {
        let sum: f64 = self.0.iter().map(|(_, weight)| weight).sum();
        self.0.iter_mut().for_each(|(_, weight)| *weight /= sum);
        self.0.sort_unstable_by_key(|(end, _)| *end);
        self.0
    }
}
