//! A seeded simulation of hours: members fail and recover, the prober goes quiet, operators order
//! and let go, cities ask more and less, and files are reloaded, under records with every policy
//! and feature. After each step clients ask, and what must always hold is checked.
//! `MERIDIAN_SEED` replays one seed, `MERIDIAN_SEEDS` runs so many.

mod records;
mod world;

use std::collections::HashMap;
use std::net::Ipv4Addr;

use meridian::steer::chance::Chance;

use self::records::{Kept, REGIONS, pools, record};
use self::world::{CITIES, Got, Truth, World};

const STEPS: u32 = 40;
/// After so long without anything but time, everything has settled: means have forgotten, and
/// what comes back slowly is back.
const SETTLED: u64 = 900;
/// After so long what means of the demand still have to follow is less than the planner moves for.
const FOLLOWED: u64 = 300;

#[test]
fn what_must_hold_holds_whatever_happens() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match (number("MERIDIAN_SEED"), number("MERIDIAN_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(60),
    };
    let mut off = Vec::new();
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        off.extend(ran.unwrap_or_else(|_| panic!("replay with MERIDIAN_SEED={seed}")));
    }
    // How far shares were off, in standard errors, over all seeds: without a lean.
    let mean = off.iter().sum::<f64>() / (off.len() as f64).max(1.0);
    let bound = 5.0 / (off.len() as f64).max(1.0).sqrt();
    assert!(mean.abs() < bound, "shares lean by {mean} standard errors in {} samples", off.len());
}

/// By record and client, the answers since something happened, the last at the end.
type Answers = HashMap<(usize, Ipv4Addr), Vec<Vec<&'static str>>>;

/// What is watched over the steps of a run.
struct Watch {
    records: Vec<Kept>,
    answers: Answers,
    /// A record and client that ask each second; when they asked, and for how long the answer was
    /// good.
    asked: Vec<(u64, u32)>,
    last: Vec<&'static str>,
    asks: Option<(usize, Ipv4Addr)>,
    /// How far shares were off, in standard errors.
    off: Vec<f64>,
    has_capacity: bool,
}

fn run(seed: u64) -> Vec<f64> {
    let mut chance = Chance::seeded(seed);
    let (inventory, has_capacity) = pools(&mut chance);
    let records: Vec<Kept> =
        (0..4).map(|number| record(number, has_capacity, &mut chance)).collect();
    let policies: String = records.iter().map(|record| &*record.toml).collect();
    let mut world = World::new(&format!("{inventory}{policies}"), &mut chance);
    // One whose answers change by time alone, and by what is in sight.
    let asks = records.iter().position(|of| of.ttl.0 != of.ttl.1 && of.is_steady);
    let asks = asks.filter(|_| !has_capacity);
    let client = Ipv4Addr::new(CITIES[chance.below(5) as usize], 1, 1, 0);
    let mut watch = Watch {
        records,
        answers: Answers::new(),
        asked: Vec::new(),
        last: Vec::new(),
        asks: asks.map(|record| (record, client)),
        off: Vec::new(),
        has_capacity,
    };
    for step in 0..STEPS {
        let happened =
            happen(&mut world, &mut watch, &mut chance, &format!("seed {seed} step {step}"));
        if world.calm == 0 {
            watch.answers.clear();
        }
        let context = format!("seed {seed} step {step} after {happened}, {:?}", world.truth);
        watch.check(&mut world, &mut chance, &context);
    }
    watch.settle(&mut world, &mut chance, &format!("seed {seed} at rest"));
    watch.off
}

/// Something happens, or time goes by; says what.
fn happen(world: &mut World, watch: &mut Watch, chance: &mut Chance, context: &str) -> String {
    let what = match chance.below(14) {
        0..=2 => {
            let (at, member) = (chance.below(4) as usize, chance.below(3) as usize);
            let truth = [Truth::Lives, Truth::Lives, Truth::Dead, Truth::Flaky];
            let truth = truth[chance.below(4) as usize];
            // Two thirds of all troubles are of the whole region.
            match world.truth[at].get_mut(member) {
                Some(member) if chance.below(2) == 0 => *member = truth,
                _ => world.truth[at] = [truth; 2],
            }
            format!("{} {truth:?}", REGIONS[at])
        }
        3 | 4 => world.operate(chance),
        5 => {
            world.is_heard = !world.is_heard;
            format!("the prober {}", if world.is_heard { "is back" } else { "goes quiet" })
        }
        6 => {
            let before = REGIONS.map(|region| world.lives(region));
            let is_restart = chance.below(2) == 0;
            if is_restart {
                world.restart();
            } else {
                world.reload();
            }
            let after = REGIONS.map(|region| world.lives(region));
            assert_eq!(before, after, "{context}: what was believed is believed");
            if is_restart { "a restart" } else { "a reload" }.to_owned()
        }
        7 => {
            let city = chance.below(5) as usize;
            world.rates[city] = [0, 5, 10, 20, 60][chance.below(5) as usize];
            format!("city {city} asks {} times a second", world.rates[city])
        }
        8 => world.direct(&watch.records, chance),
        _ => {
            let seconds = 1 + chance.below(90);
            for _ in 0..seconds {
                watch.second(world, chance, context);
            }
            return format!("{seconds} s go by");
        }
    };
    world.calm = 0;
    watch.asked.clear();
    what
}

impl Watch {
    /// Lets a second go by; the one who asks each second does.
    fn second(&mut self, world: &mut World, chance: &mut Chance, context: &str) {
        let believed = REGIONS.map(|region| world.lives(region));
        let ordered = world.keeper.known().overrides().to_vec();
        world.second(chance);
        if !world.is_heard && world.keeper.known().overrides() == ordered {
            let after = REGIONS.map(|region| world.lives(region));
            assert_eq!(believed, after, "{context}: nobody has seen anything");
        }
        if world.calm == 0 {
            self.answers.clear();
        }
        let Some((number, client)) = self.asks else { return };
        let kept = &self.records[number];
        let (name, (min, _)) = (kept.name.clone(), kept.ttl);
        let got = world.get(&name, client);
        if world.is_news && kept.has_sides {
            // A canary that waited for proof goes on with the first probe, which nobody foresees.
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

    fn check(&mut self, world: &mut World, chance: &mut Chance, context: &str) {
        for number in 0..self.records.len() {
            // A client that no pool takes yet is at the first that serves; as several come back
            // at once it may leave it for one that takes it, and be taken there in the end.
            // Where pools have capacities, means of the demand follow a change for minutes.
            let follows = self.has_capacity && world.calm < FOLLOWED;
            if follows || world.returning(&self.records[number].name) > 1 {
                self.answers.retain(|(of, _), _| *of != number);
            }
            for city in CITIES {
                let client = Ipv4Addr::new(city, 1, chance.below(4) as u8, 0);
                let kept = &self.records[number];
                let got = world.get(&kept.name, client);
                let context =
                    format!("{context}, {client} got {:?} of\n{}", got.regions, kept.toml);
                check_answer(world, kept, client, &got, &context);
                if kept.is_stable {
                    check_stable(world, kept, client, &got, chance, &context);
                }
                if kept.is_steady {
                    self.check_steady(number, client, got.regions, &context);
                }
            }
            if chance.below(12) == 0 {
                self.off.extend(check_shares(world, &self.records[number], chance, context));
            }
        }
    }

    /// No way back while only time goes by.
    fn check_steady(
        &mut self,
        number: usize,
        client: Ipv4Addr,
        regions: Vec<&'static str>,
        context: &str,
    ) {
        let seen = self.answers.entry((number, client)).or_default();
        if seen.last() != Some(&regions) {
            assert!(!seen.contains(&regions), "back and forth, {seen:?}: {context}");
            seen.push(regions);
        }
    }

    /// Nothing happens any more: nobody is moved any more either, and no pool is sent too much
    /// while another that its clients may go to has room.
    fn settle(&mut self, world: &mut World, chance: &mut Chance, context: &str) {
        for truth in world.truth.as_flattened_mut() {
            *truth = if *truth == Truth::Flaky { Truth::Lives } else { *truth };
        }
        let mut left = 4 * SETTLED;
        while world.calm < SETTLED && left > 0 {
            world.second(chance);
            left -= 1;
        }
        self.answers.clear();
        if !self.has_capacity || left == 0 {
            return self.check(world, chance, context);
        }
        let before = words(world);
        for _ in 0..300 {
            world.second(chance);
        }
        assert_eq!(before, words(world), "{context}: still to and fro");
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

fn check_answer(world: &World, kept: &Kept, client: Ipv4Addr, got: &Got, context: &str) {
    let european = client.octets()[0] <= 21;
    let allowed = &kept.allowed[usize::from(!(kept.fenced && european))];
    let inside = |region: &&&str| allowed.contains(*region);
    assert_eq!(got.regions.iter().filter(inside).count(), got.regions.len(), "fence: {context}");
    let somebody_lives = allowed.iter().any(|region| world.lives(region));
    let dead = got.regions.iter().any(|region| !world.lives(region));
    if somebody_lives {
        assert!(!got.regions.is_empty(), "nothing: {context}");
        assert!(!dead, "dead: {context}");
    } else if !(kept.fenced && european) {
        assert!(!got.regions.is_empty(), "no last resort: {context}");
    }
    let (min, max) = kept.ttl;
    assert!(got.ttl.is_none_or(|ttl| (min..=max).contains(&ttl)), "TTL: {context}");
    let mut once = got.regions.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(got.regions.len(), once.len(), "twice: {context}");
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
        let word = world.word(region);
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
