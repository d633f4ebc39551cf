//! What must hold, whatever happens: checked each second, and after each step.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use meridian::health::overrides::OverrideState;
use meridian::health::table::Verdict;
use meridian::region::AreaId;
use meridian::steer::chance::Chance;
use meridian::steer::spill;

use super::ledger;
use super::records::{Back, Kept, REGIONS};
use super::vantages::RISES;
use super::world::{CITIES, Got, Truth, World};

/// After so long without anything but time, everything has settled: means have forgotten, and
/// what comes back slowly is back.
const SETTLED: u64 = 900;
/// After so long what means of the demand still have to follow is less than the planner moves for.
const FOLLOWED: u64 = 300;
/// Demand is never the same from one second to the next; of 256 parts of the clients of an order
/// so many may be moved by that.
const NOISE: usize = 5;
/// What started slowly takes everybody by now: no `slow_start` is longer than 40 seconds.
const STARTED: u64 = 45;
/// The prober has seen what died by now: three probes, two seconds apart.
const FALLS: u64 = 8;

/// By record and client, the answers since something happened and when each was last seen, the
/// newest at the end.
type Answers = HashMap<(usize, Ipv4Addr), Vec<(u64, Vec<&'static str>)>>;

/// What is watched over the steps of a run.
pub(super) struct Watch {
    pub(super) records: Vec<Kept>,
    answers: Answers,
    /// By record, when something happened last that was not only time going by.
    moved: Vec<u64>,
    stages: Vec<u16>,
    /// Records whose canary has just begun, or gone on as far as `max_shift` let it: when, nobody
    /// foresees.
    has_begun: Vec<usize>,
    /// A record and client that ask each second; when they asked, and for how long the answer was
    /// good.
    asked: Vec<(u64, u32)>,
    last: Vec<&'static str>,
    asks: Option<(usize, Ipv4Addr)>,
    /// How far shares were off, in standard errors.
    off: Vec<f64>,
    has_capacity: bool,
}

impl Watch {
    pub(super) fn new(
        records: Vec<Kept>,
        asks: Option<(usize, Ipv4Addr)>,
        has_capacity: bool,
    ) -> Self {
        Self {
            moved: vec![0; records.len()],
            records,
            answers: Answers::new(),
            stages: Vec::new(),
            has_begun: Vec::new(),
            asked: Vec::new(),
            last: Vec::new(),
            asks,
            off: Vec::new(),
            has_capacity,
        }
    }

    pub(super) fn into_off(self) -> Vec<f64> {
        self.off
    }

    /// Something happened that no TTL could foresee.
    pub(super) fn surprise(&mut self) {
        self.asked.clear();
    }

    /// Forgets what was answered before something happened; a canary that goes on is something,
    /// and where pools have capacities it moves the clients of other records too.
    pub(super) fn follow(&mut self, world: &World) {
        if world.calm == 0 {
            self.answers.clear();
            self.moved.fill(world.now);
        }
        let stages = std::mem::replace(&mut self.stages, world.stages.clone());
        let staged = (0..self.records.len()).filter(|at| self.records[*at].has_sides);
        let pairs = staged.zip(stages.iter().zip(&self.stages));
        self.has_begun = pairs
            .clone()
            .filter(|(_, (was, _))| **was == 0 || world.safety.max_shift.is_some())
            .filter(|(_, (was, is))| was != is)
            .map(|(record, _)| record)
            .collect();
        let gone_on: Vec<usize> =
            pairs.filter(|(_, (was, is))| was != is).map(|(record, _)| record).collect();
        for record in gone_on {
            let all = self.has_capacity;
            self.answers.retain(|(of, _), _| !all && *of != record);
            let moved = self.moved.iter_mut().enumerate();
            moved.filter(|(of, _)| all || *of == record).for_each(|(_, at)| *at = world.now);
        }
    }

    /// Files are read once more, or the process begins again. What was believed is believed; and
    /// where only files were read, everybody who has one answer gets it.
    pub(super) fn begin_again(&self, world: &mut World, is_restart: bool, context: &str) {
        world.turn();
        let believed = world.believed();
        let answers = |world: &mut World| -> Vec<_> {
            let stable = self.records.iter().filter(|of| of.is_stable);
            let asks = stable.flat_map(|of| CITIES.map(|city| (of.name.clone(), city)));
            asks.map(|(name, city)| {
                let got = world.get(&name, Ipv4Addr::new(city, 1, 2, 0));
                (name, city, got.regions, got.scope)
            })
            .collect()
        };
        if is_restart {
            world.restart();
        } else {
            let before = answers(world);
            let begins = words(world);
            world.reload();
            let again = words(world);
            let apart = begins.iter().zip(&again).map(|(was, is)| apart(*was, *is)).max();
            assert!(
                apart.unwrap_or(0) <= NOISE,
                "reload: {begins:x?} became {again:x?}: {context}"
            );
            // Where clients begin is rounded once more, to parts of 256.
            let before = if begins == again { before } else { answers(world) };
            let after = answers(world);
            let moved: Vec<_> = before.iter().zip(&after).filter(|(was, is)| was != is).collect();
            let of = moved.first().map(|(was, _)| {
                self.records.iter().find(|record| record.name == was.0).map(|of| &of.toml)
            });
            assert!(moved.is_empty(), "reload: {moved:?} of {of:?}: {context}");
        }
        // What is kept on disk is the view of the world.
        let kept = if is_restart { REGIONS.len() } else { believed.len() };
        assert_eq!(believed[..kept], world.believed()[..kept], "remembered: {context}");
    }

    /// Lets a second go by; the one who asks each second does.
    pub(super) fn second(&mut self, world: &mut World, chance: &mut Chance, context: &str) {
        let believed = world.believed();
        let ordered = world.keeper.known().overrides().to_vec();
        world.second(chance, context);
        let orders = world.keeper.known().overrides();
        let in_force = world.ledger.in_force();
        assert_eq!(ledger::words(orders), in_force, "orders: {context}");
        if !world.is_heard && orders == ordered {
            assert_eq!(believed, world.believed(), "unseen: {context}");
        }
        self.follow(world);
        let Some((number, client)) = self.asks else { return };
        let kept = &self.records[number];
        let (name, (min, _)) = (kept.name.clone(), kept.ttl);
        let got = world.get(&name, client);
        if world.is_news && (kept.has_sides || world.plane.is_some()) {
            // A canary that waited for proof goes on with the first probe, which nobody foresees; and
            // nobody foresees how others will vote.
            self.asked.clear();
        }
        if self.has_begun.contains(&number) {
            // So does one that waited for the health of its pool, or for room to move in.
            self.asked.clear();
        }
        if got.regions != self.last {
            for (at, ttl) in self.asked.drain(..) {
                let left = (world.now - at) as u32;
                let context = format!("{context}, {client} of\n{}", self.records[number].toml);
                assert!(
                    ttl <= left.max(min),
                    "TTL: {left} s before {:?} became {:?} an answer was good for {ttl} s: {context}",
                    self.last,
                    got.regions
                );
            }
            self.last.clone_from(&got.regions);
        }
        if world.is_news {
            // What nobody could see before; dials are turned a second later.
            self.asked.clear();
        } else {
            self.asked.extend(got.ttl.map(|ttl| (world.now, ttl)));
        }
    }

    pub(super) fn check(&mut self, world: &mut World, chance: &mut Chance, context: &str) {
        check_words(world, context);
        check_seen(world, context);
        for number in 0..self.records.len() {
            // A client that no pool takes yet is at the first that serves; as several come back
            // at once it may leave it for one that takes it, and be taken there in the end.
            if world.returning(&self.records[number].name) > 1 {
                self.answers.retain(|(of, _), _| *of != number);
            }
            for city in CITIES {
                let client = Ipv4Addr::new(city, 1, chance.below(4) as u8, 0);
                let kept = &self.records[number];
                let got = world.get(&kept.name, client);
                let context =
                    format!("{context}, {client} got {:?} of\n{}", got.regions, kept.toml);
                check_answer(world, kept, client, &got, &context);
                if !self.has_capacity {
                    check_held(world, kept, client, &got, &context);
                }
                if kept.is_stable {
                    check_stable(world, kept, client, &got, chance, &context);
                }
                if kept.is_steady {
                    self.check_steady(number, client, got.regions, world.now, &context);
                }
            }
            if chance.below(12) == 0 {
                self.off.extend(check_shares(world, &self.records[number], chance, context));
            }
        }
    }

    /// No way back while only time goes by. Where pools have capacities, means of the demand
    /// follow a change for minutes, and as they do a client may come back to where it was once.
    fn check_steady(
        &mut self,
        number: usize,
        client: Ipv4Addr,
        regions: Vec<&'static str>,
        now: u64,
        context: &str,
    ) {
        let followed = self.moved[number] + if self.has_capacity { FOLLOWED } else { 0 };
        let seen = self.answers.entry((number, client)).or_default();
        if let Some((last, known)) = seen.last_mut().filter(|(_, known)| *known == regions) {
            *last = now;
            debug_assert_eq!(*known, regions);
            return;
        }
        let before = seen.iter().filter(|(_, known)| *known == regions);
        let since = before.clone().filter(|(last, _)| *last >= followed).count();
        let often = before.count();
        assert!(since == 0 && often <= 1, "steady: {seen:?}, moved {followed}: {context}");
        seen.push((now, regions));
    }

    /// Nothing happens any more: nobody is moved any more either, and no pool is sent too much
    /// while another that its clients may go to has room.
    pub(super) fn settle(&mut self, world: &mut World, chance: &mut Chance, context: &str) {
        for (pool, member) in (0..8).map(|at| (at / 2, at % 2)) {
            if world.truth[pool][member] == Truth::Flaky {
                world.strike(pool, member, Truth::Lives);
            }
        }
        let mut left = 4 * SETTLED;
        while world.calm < SETTLED && left > 0 {
            world.second(chance, context);
            left -= 1;
        }
        self.answers.clear();
        self.moved.fill(world.now.saturating_sub(SETTLED));
        if !self.has_capacity || left == 0 {
            return self.check(world, chance, context);
        }
        let mut seen = vec![words(world)];
        for _ in 0..300 {
            world.second(chance, context);
            let now = words(world);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
        for order in 0..seen[0].len() {
            let words: Vec<u64> = seen.iter().map(|all| all[order]).collect();
            assert!(!is_to_and_fro(&words), "rest: still to and fro, {words:x?}: {context}");
        }
        self.check(world, chance, context);
    }
}

/// Where clients begin, by record and order.
fn words(world: &World) -> Vec<u64> {
    let snapshot = world.server.snapshot();
    let records = snapshot.catalog.values().flat_map(|of| &of.records);
    let words = |record: &meridian::steer::record::Record| {
        let spill = record.plan.spill.as_ref();
        let orders = 0..record.plan.map.orders().len();
        spill.map(|spill| orders.map(|order| spill.word(order)).collect::<Vec<_>>())
    };
    records.filter_map(words).flatten().collect()
}

/// Whether clients leave where they begin, and come back.
fn is_to_and_fro(words: &[u64]) -> bool {
    let is_far = |at: usize, other: usize| apart(words[at], words[other]) > NOISE;
    let leaves = |from: usize| (from + 1..words.len()).filter(move |to| is_far(from, *to));
    let comes_back = |from: usize| {
        leaves(from).any(|to| (to + 1..words.len()).any(|at| is_far(to, at) && !is_far(from, at)))
    };
    (0..words.len()).any(comes_back)
}

/// Of 256 parts of the clients of an order, how many begin elsewhere.
fn apart(was: u64, is: u64) -> usize {
    let begins =
        |word| move |byte| if word == spill::FIRST { 0 } else { spill::begins_at(word, byte) };
    (0..=255).filter(|byte| begins(was)(*byte) != begins(is)(*byte)).count()
}

/// Every pool serves or does not, for the clients of every area, as orders and beliefs have it.
fn check_words(world: &World, context: &str) {
    let checks = world.keeper.known().status(world.time()).checks;
    let down = |area: usize, key: &str, place: usize| match &world.plane {
        Some(plane) => !plane.rulings()[area][place].belief.serves(),
        None => checks.iter().any(|check| *check.key == *key && check.state == "down"),
    };
    let areas = world.believed().len() / REGIONS.len();
    for (area, pool) in (0..areas).flat_map(|area| (0..4).map(move |pool| (area, pool))) {
        let (mut lives, mut is_left) = (false, false);
        for member in 0..2 {
            let (key, place) = world.check_of(pool, member);
            match world.ledger.over_member(pool, member) {
                Some(OverrideState::Up) => (lives, is_left) = (true, true),
                Some(OverrideState::Drain | OverrideState::Down) => {}
                None => (lives, is_left) = (lives || !down(area, key, place), true),
            }
        }
        let wanted = match world.ledger.over_pool(pool) {
            Some(OverrideState::Drain | OverrideState::Down) => false,
            Some(OverrideState::Up) => is_left,
            None => lives,
        };
        let serves = world.lives(REGIONS[pool], AreaId(area as u8));
        assert_eq!(serves, wanted, "word: {} for area {area}: {context}", REGIONS[pool]);
        let word = world.word(REGIONS[pool], AreaId(area as u8));
        let is_back = world.lasting.get(area * REGIONS.len() + pool);
        let is_back = is_back.is_some_and(|(_, since)| world.now > since + STARTED);
        if serves && is_back && word.verdict() != Verdict::Degraded {
            assert_eq!(word.keep(), u16::MAX, "ramp: {} for area {area}: {context}", REGIONS[pool]);
        }
    }
}

/// What died is known to be dead, and what lives to live, as soon as it must be, whatever those
/// vantages say that are not well.
fn check_seen(world: &World, context: &str) {
    for (pool, member) in (0..8).map(|at| (at / 2, at % 2)) {
        let (truth, since) = (world.truth[pool][member], world.since[pool][member]);
        let for_long = world.now - since.max(world.heard_since);
        if world.ledger.touches(pool) {
            continue;
        }
        for area in 0..world.believed().len() / REGIONS.len() {
            let (falls, rises) = if world.plane.is_some() { (20, RISES) } else { (FALLS, RISES) };
            let lives = match (&world.plane, truth) {
                (Some(plane), Truth::Lives | Truth::Dead) => {
                    plane.sees((pool, member), area, (&world.truth, &world.since), world.now)
                }
                (None, Truth::Lives | Truth::Dead) => {
                    Some(truth == Truth::Lives).filter(|_| world.is_heard)
                }
                (_, Truth::Flaky) => None,
            };
            let cut = world.plane.as_ref().map_or(0, |plane| plane.cut[pool].1);
            let for_long = for_long.min(world.now - cut);
            let believed = world.word(REGIONS[pool], AreaId(area as u8)).live() >> member & 1 == 1;
            if let Some(lives) =
                lives.filter(|lives| for_long >= if *lives { rises } else { falls })
            {
                let of = REGIONS[pool];
                assert_eq!(believed, lives, "seen: {member} of {of} for area {area}: {context}");
            }
        }
    }
}

fn check_answer(world: &World, kept: &Kept, client: Ipv4Addr, got: &Got, context: &str) {
    let european = client.octets()[0] <= 21;
    let by_rule = !kept.fenced || european;
    let allowed = &kept.allowed[usize::from(!(kept.fenced && european))];
    let inside = |region: &&&str| allowed.contains(*region);
    assert_eq!(got.regions.iter().filter(inside).count(), got.regions.len(), "fence: {context}");
    let area = world.area(client);
    let alive = allowed.iter().filter(|region| world.lives(region, area)).count();
    let is_panic = by_rule && (alive as u32) * 100 < allowed.len() as u32 * kept.panic;
    let by_hand = |region: &&str| {
        let verdict = world.word(region, area).verdict();
        matches!(verdict, Verdict::Draining | Verdict::ForcedDown)
    };
    if alive > 0 {
        assert!(!got.regions.is_empty(), "nothing: {context}");
        let dead = got.regions.iter().any(|region| !world.lives(region, area));
        assert!(!dead || is_panic, "dead: {context}");
    } else if !by_rule || kept.answers_all {
        assert!(!got.regions.is_empty(), "last resort: {context}");
    } else {
        assert!(got.regions.is_empty() || is_panic, "last resort: {context}");
    }
    if got.regions.iter().any(by_hand) {
        assert!(allowed.iter().all(by_hand), "drained: {context}");
    }
    let (min, max) = kept.ttl;
    assert!(got.ttl.is_none_or(|ttl| (min..=max).contains(&ttl)), "TTL: {context}");
    let mut once = got.regions.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(got.regions.len(), once.len(), "twice: {context}");
}

/// Nobody is sent to a pool that is not to have its clients back yet, while another takes
/// everybody.
fn check_held(world: &World, kept: &Kept, client: Ipv4Addr, got: &Got, context: &str) {
    let european = client.octets()[0] <= 21;
    let Some(Back::After(seconds)) = kept.failback.filter(|_| !kept.fenced || european) else {
        return;
    };
    if kept.is_bound || kept.panic > 0 {
        return;
    }
    let allowed = &kept.allowed[usize::from(!(kept.fenced && european))];
    let back = |region: &str| world.back[REGIONS.iter().position(|of| *of == region).unwrap_or(0)];
    let is_held = |region: &&str| back(region).is_some_and(|at| world.now < at + seconds);
    let takes_all = |region: &&str| {
        let word = world.word(region, world.area(client));
        back(region).is_none() && word.is_eligible() && word.keep() == u16::MAX
    };
    // Where nobody was ever out, everybody is taken.
    let is_known = allowed.iter().any(|region| takes_all(region) && world.never_out(region));
    let held = got.regions.iter().any(is_held);
    assert!(!held || !is_known, "hold-down: {context}");
}

/// The same client, and another that the scope says is like it, get the same.
fn check_stable(
    world: &mut World,
    kept: &Kept,
    client: Ipv4Addr,
    got: &Got,
    chance: &mut Chance,
    context: &str,
) {
    assert_eq!(world.get(&kept.name, client).regions, got.regions, "not stable: {context}");
    let kept_bits = u32::MAX.checked_shl(32 - u32::from(got.scope.min(24))).unwrap_or(0);
    let drawn = chance.draw() as u32 & 0xffff_ff00;
    let alike = Ipv4Addr::from_bits(client.to_bits() & kept_bits | drawn & !kept_bits);
    let other = world.get(&kept.name, alike);
    assert_eq!(other.regions, got.regions, "{alike} is within /{}: {context}", got.scope);
}

/// Each pool has its share of many clients; how far that of the first is off, in standard errors.
fn check_shares(world: &mut World, kept: &Kept, chance: &mut Chance, context: &str) -> Option<f64> {
    const ASKED: u32 = 400;
    let shares = kept.shares.as_ref()?;
    // Whom a pool refuses who stays at one, the hash leads on: not by weight alone.
    let part = |region: &str| {
        let word = world.word(region, AreaId::WORLD);
        if word.is_eligible() { f64::from(word.keep()) / f64::from(u16::MAX) } else { 0.0 }
    };
    if !kept.by_chance && shares.iter().any(|(region, _)| !matches!(part(region), 0.0 | 1.0)) {
        return None;
    }
    let weights: Vec<f64> =
        shares.iter().map(|(region, weight)| f64::from(*weight) * part(region)).collect();
    let sum: f64 = weights.iter().sum();
    if sum == 0.0 {
        return None;
    }
    let mut counts = vec![0u32; shares.len()];
    for _ in 0..ASKED {
        let city = CITIES[chance.below(2) as usize];
        let client = Ipv4Addr::new(city, chance.below(256) as u8, chance.below(256) as u8, 0);
        let got = world.get(&kept.name, client);
        let at = shares.iter().position(|(region, _)| got.regions[0] == *region);
        counts[at.expect("one of its pools")] += 1;
    }
    let off = |at: usize| {
        let wanted = weights[at] / sum;
        let error = (wanted * (1.0 - wanted) * f64::from(ASKED)).sqrt();
        let off = f64::from(counts[at]) - wanted * f64::from(ASKED);
        assert!(off.abs() <= 6.0 * error + 1e-9, "shares {counts:?} of {weights:?}: {context}");
        if error > 0.0 { off / error } else { 0.0 }
    };
    let off: Vec<f64> = (0..shares.len()).map(off).collect();
    off.first().copied()
}
