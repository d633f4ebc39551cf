//! Selecting for one query: *geo orders, health strikes out, steer picks.*
//!
//! The chain of every policy: the map has matched the rule and put the candidates in order;
//! here those that are out are struck, those that do not take this client now are passed over,
//! and the first that are left are picked. All of it is look-ups and comparisons; a [`Trace`]
//! sees each step and costs nothing when it is `()`.
//!
//! A pool may take only a share of the clients: it is coming back slowly, is in trouble, is at
//! capacity, or is one side of a rule that moves from one to the other. Which clients are of the
//! share is a hash of their network, alike on every node, so that a share that grows only adds
//! clients. A client that nobody takes goes to the first pool that serves all the same: any pool
//! that serves is better than none.

mod nested;
mod order;
mod standing;
mod tied;

pub use tied::tie_shares;

use std::net::IpAddr;

use crate::geo::map::Hit;
use crate::health::table::{HealthTable, PoolLoad, PoolWord, Sight};
use crate::region::{AreaId, Family, PoolId};
use crate::steer::chance::Chance;
use crate::steer::key::ClientKey;
use crate::steer::record::{ANSWERS_MAX, LastResort, Plan, Policy, Record, Rule, Shortcut, Site};
use crate::steer::spill::Spill;
use crate::steer::tally::Reason;
use crate::wire::types::Ttl;

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
    /// Number of the order of the map that the client has.
    pub order: u32,
    /// The area of the client, whose view of health counts.
    pub area: AreaId,
    /// How long the answer holds.
    pub ttl: Ttl,
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

/// How a candidate stands to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It serves and takes this client.
    In,
    /// It serves, but does not take this client now.
    Shed,
    /// It does not serve, or has nothing to hand out of what is asked for.
    Out,
}

/// Sees each step of a selection.
pub trait Trace {
    /// The map was asked.
    fn located(&mut self, _hit: &Hit<'_>) {}
    /// Clients of this rule are on one of two sides: `new` tells which this one is on.
    fn staged(&mut self, _new: bool) {}
    /// Where clients begin, and whom pools keep, because some are at capacity: as the plan was told,
    /// unless something else is supposed.
    #[inline(always)]
    fn spill<'p>(&'p self, plan: &'p Plan) -> Option<&'p Spill> {
        plan.spill.as_deref()
    }
    /// A candidate was looked at, with the state of both families.
    fn considered(&mut self, _site: u16, _words: (PoolWord, PoolWord), _standing: Standing) {}
    /// Because nearer pools are at capacity, this client begins at a later place of its order.
    fn spilled(&mut self, _begins: usize) {}
    /// The pools of this group are looked at; the rule's own have no name.
    fn entered(&mut self, _group: &str) {}
    /// Health is ignored: `eligible` of the rule's `own` candidates are left.
    fn panicked(&mut self, _eligible: usize, _own: usize) {}
    /// Of those equally near, one with this load has so much room, in a measure of its own.
    fn weighed(&mut self, _site: u16, _load: PoolLoad, _room: u64) {}
    /// One of these two of them comes first.
    fn paired(&mut self, _one: u16, _other: u16) {}
    /// No candidate is left that takes this client: one that serves is taken all the same.
    fn overruled(&mut self) {}
    /// No candidate is left.
    fn exhausted(&mut self) {}
}

/// Sees nothing.
impl Trace for () {}

/// A first choice that takes everybody: nearly every query ends here.
#[derive(Debug, Clone, Copy)]
pub struct First<'r> {
    /// What is picked.
    pub site: &'r Site,
    /// Every client whose address shares this many leading bits gets the same.
    pub scope: u8,
    /// The area of the client, whose view of health counts.
    pub area: AreaId,
    number: u16,
    order: u32,
}

impl First<'_> {
    /// All there is to say of it.
    pub fn selection<'r>(&self, plan: &Plan) -> Selection<'r> {
        let mut selection = Selection {
            picks: [0; ANSWERS_MAX],
            len: 0,
            reason: Reason::Preferred,
            scope: self.scope,
            order: self.order,
            area: self.area,
            ttl: plan.ttl.max,
            ignore_health: false,
            last_resort: None,
        };
        selection.push(self.number);
        selection
    }
}

/// How far [`first`] came.
#[derive(Debug, Clone, Copy)]
pub struct Missed<'r> {
    hit: Hit<'r>,
    /// The site that was drawn by weight, if one was.
    drawn: Option<u16>,
}

/// Selects for a client at `client`.
#[inline]
pub fn select<'r>(
    record: &'r Record,
    client: IpAddr,
    ask: Ask,
    health: &HealthTable,
    chance: &mut Chance,
    trace: &mut impl Trace,
) -> Selection<'r> {
    match first(record, client, ask, health, chance, trace) {
        Ok(first) => first.selection(&record.plan),
        Err(missed) => rest(record, (client, ask), health, chance, trace, &missed),
    }
}

/// The first choice, where the rule has one by itself and it takes everybody.
///
/// # Errors
/// How far it came: [`rest`] goes on from there.
#[inline(always)]
pub fn first<'r>(
    record: &'r Record,
    client: IpAddr,
    ask: Ask,
    health: &HealthTable,
    chance: &mut Chance,
    trace: &mut impl Trace,
) -> Result<First<'r>, Missed<'r>> {
    let plan = &*record.plan;
    let hit = plan.map.lookup(client);
    trace.located(&hit);
    let rule = plan.rules.get(hit.order.rule.map_or(usize::MAX, usize::from));
    let Some(rule) = rule else { return Err(Missed { hit, drawn: None }) };
    let (number, is_drawn) = match (&rule.shortcut, &rule.policy) {
        (Shortcut::Head, _) if hit.order.tied == 1 => (hit.order.sites.first().copied(), false),
        (Shortcut::Draw, Policy::Weighted { alias: Some(alias), .. }) => {
            (rule.own.get(alias.pick(chance)).copied(), true)
        }
        _ => (None, false),
    };
    if let Some(number) = number
        && let Some(site) = plan.sites.get(usize::from(number))
    {
        let area = hit.order.area;
        let words = words(health, site.pool, ask, area);
        if words.0.is_whole() || words.1.is_whole() {
            trace.considered(number, words, Standing::In);
            let order = hit.order.number;
            return Ok(First { site, scope: hit.scope_head, area, number, order });
        }
    }
    Err(Missed { hit, drawn: number.filter(|_| is_drawn) })
}

/// The whole chain, from where [`first`] ended.
#[inline(never)]
pub fn rest<'r>(
    record: &'r Record,
    (client, ask): (IpAddr, Ask),
    health: &HealthTable,
    chance: &mut Chance,
    trace: &mut impl Trace,
    missed: &Missed<'r>,
) -> Selection<'r> {
    let hit = missed.hit;
    let mut selection = Selection {
        picks: [0; ANSWERS_MAX],
        len: 0,
        reason: Reason::Preferred,
        scope: hit.scope_head,
        order: hit.order.number,
        area: hit.order.area,
        ttl: record.plan.ttl.max,
        ignore_health: false,
        last_resort: None,
    };
    let number = hit.order.rule.map_or(usize::MAX, usize::from);
    let Some(rule) = record.plan.rules.get(number) else {
        selection.reason = Reason::Unmatched;
        return selection;
    };
    let area = hit.order.area;
    let query = Query { record, rule, number, client, area, ask, health, drawn: missed.drawn };
    search(&query, &hit, chance, trace, selection)
}

/// What one query asks of a rule.
struct Query<'a, 'r> {
    record: &'r Record,
    rule: &'r Rule,
    /// The rule's.
    number: usize,
    client: IpAddr,
    area: AreaId,
    ask: Ask,
    health: &'a HealthTable,
    /// The site that was drawn by weight, if one was.
    drawn: Option<u16>,
}

/// How much of a pool's word is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ignore {
    Nothing,
    /// Checks are not believed; what an operator drained or forced down stays out.
    Checks,
    Everything,
}

/// Which of a rule's sites are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    All,
    New,
    Old,
    /// The sites that are not its own.
    Others,
}

struct Chooser<'a, 'r, T> {
    plan: &'r Plan,
    rule: &'r Rule,
    query: &'a Query<'a, 'r>,
    ignore: Ignore,
    side: Side,
    /// Shares do not count: who serves is taken.
    overrules: bool,
    /// Whom shares are picked out by, once that was asked.
    key: Option<ClientKey>,
    /// The key was made of the client's network.
    by_network: bool,
    /// Why the first that was passed over before the first pick was.
    passed: Option<Reason>,
    /// Something serves that does not take this client.
    has_shed: bool,
    /// How soon something that was looked at may change.
    sight: Sight,
    chance: &'a mut Chance,
    trace: &'a mut T,
}

/// Everything there is to a selection; `selection` is empty.
fn search<'r, T: Trace>(
    query: &Query<'_, 'r>,
    hit: &Hit<'_>,
    chance: &mut Chance,
    trace: &mut T,
    selection: Selection<'r>,
) -> Selection<'r> {
    let mut chooser = Chooser {
        plan: &query.record.plan,
        rule: query.rule,
        query,
        ignore: Ignore::Nothing,
        side: Side::All,
        overrules: false,
        key: None,
        by_network: false,
        passed: None,
        has_shed: false,
        sight: Sight::NOTHING,
        chance,
        trace,
    };
    let mut selection = chooser.search(hit, selection);
    chooser.finish(&mut selection);
    selection
}

impl<'r, T: Trace> Chooser<'_, 'r, T> {
    fn search(&mut self, hit: &Hit<'_>, mut selection: Selection<'r>) -> Selection<'r> {
        if self.is_panic() {
            self.ignore = Ignore::Checks;
            self.overrules = true;
            selection.reason = Reason::Panic;
            selection.ignore_health = true;
        }
        self.choose_by_sides(hit, &mut selection);
        if selection.len == 0 && self.has_shed {
            self.trace.overruled();
            self.overrules = true;
            self.choose_by_sides(hit, &mut selection);
        }
        if selection.len > 0 {
            return selection;
        }
        self.trace.exhausted();
        let nothing_left = if self.rule.fence { Reason::Fenced } else { Reason::LastResort };
        selection.reason = nothing_left;
        selection.scope = hit.scope_full;
        selection.last_resort = Some(&self.rule.last_resort);
        if self.rule.last_resort == LastResort::All {
            selection.ignore_health = true;
            self.overrules = true;
            self.side = Side::All;
            for ignore in [Ignore::Checks, Ignore::Everything] {
                self.ignore = ignore;
                self.choose_own(hit, &mut selection);
                if selection.len > 0 {
                    selection.reason = nothing_left;
                    return selection;
                }
            }
        }
        selection
    }

    /// The scope and the time for which all that was looked at holds.
    fn finish(&self, selection: &mut Selection<'_>) {
        if self.by_network
            && let Some(key) = self.rule.key
        {
            selection.scope = selection.scope.max(key.bits(self.query.client));
        }
        if self.plan.ttl.varies() {
            let planned = self.query.record.dials.ttl();
            let seen = self.sight.seconds();
            let soonest = planned.into_iter().chain(seen).min();
            selection.ttl = self.plan.ttl.within(soonest);
        }
    }

    /// The side that this client is on, the other side, and, for a rule without a fence, the
    /// record's other pools. Without sides, all in one.
    fn choose_by_sides(&mut self, hit: &Hit<'_>, selection: &mut Selection<'_>) {
        if self.rule.new_side.is_empty() {
            return self.choose(hit, selection);
        }
        let share = self.query.record.dials.stage(self.query.number);
        let is_new = share > 0 && self.is_within(share, STAGE_SALT);
        self.trace.staged(is_new);
        let (mine, other) = if is_new { (Side::New, Side::Old) } else { (Side::Old, Side::New) };
        for side in [mine, other, Side::Others] {
            self.side = side;
            self.choose(hit, selection);
            if selection.len > 0 {
                if side != mine && selection.reason == Reason::Preferred {
                    selection.reason = self.passed.unwrap_or(Reason::Unhealthy);
                }
                break;
            }
        }
    }

    /// Own candidates first, then, for a rule without a fence, the record's others.
    fn choose(&mut self, hit: &Hit<'_>, selection: &mut Selection<'_>) {
        match &self.rule.policy {
            Policy::Failover | Policy::Nearest => self.in_order(hit, usize::MAX, selection),
            _ => {
                self.choose_own(hit, selection);
                if selection.len == 0 {
                    self.in_order(hit, usize::MAX, selection);
                    if selection.len > 0 {
                        selection.reason = self.passed.unwrap_or(Reason::Unhealthy);
                    }
                }
            }
        }
    }

    /// Whether fewer own candidates are eligible than the rule's panic threshold asks for.
    fn is_panic(&mut self) -> bool {
        if self.rule.panic_below == 0 {
            return false;
        }
        let own = self.rule.own.len();
        // Whoever serves or not decides for all, and so does how soon that changes.
        let eligible = self.rule.own.iter().filter(|&&site| self.is_seen_open(site)).count();
        let panic = eligible * 10_000 < own * usize::from(self.rule.panic_below);
        if panic {
            self.trace.panicked(eligible, own);
        }
        panic
    }
}

/// The words of a pool that count for what is asked by clients of `area`, the same one twice for
/// one family.
#[inline(always)]
fn words(health: &HealthTable, pool: PoolId, ask: Ask, area: AreaId) -> (PoolWord, PoolWord) {
    let word = |family| health.word(pool, family, area);
    match ask {
        Ask::Family(family) => {
            let word = word(family);
            (word, word)
        }
        Ask::Any => (word(Family::V4), word(Family::V6)),
    }
}

/// Tells sides from shares of pools, and both from places of an order: constants without
/// structure (the fractional parts of the square roots of 5, 7 and 11).
const STAGE_SALT: u64 = 0x3c6e_f372_fe94_f82b;
const SPILL_SALT: u64 = 0xa54f_f53a_5f1d_36f1;
pub(super) const KEEP_SALT: u64 = 0x510e_527f_ade6_82d1;
