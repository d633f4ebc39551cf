//! A seeded simulation: samples, orders, reloads and restarts at random, and after each step
//! what must hold whatever happened. `MERIDIAN_SEED` replays one seed.

use std::collections::HashMap;
use std::time::Duration;

use meridian::health::composite::Composite;
use meridian::health::keeper::{CheckSpec, Event, Keeper, Plan};
use meridian::health::overrides::{Override, OverrideState, OverrideTarget};
use meridian::health::sample::{Reason, Sample};
use meridian::health::state::Thresholds;
use meridian::health::verdict::{MemberSpec, PoolSpec};
use meridian::region::{AreaId, Ease, Family, PoolId};

const STEPS: usize = 4_000;

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn once_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// Pools of up to four members in two families or by name, over checks and composites of checks
/// that they share.
fn random_plan(chance: &mut Chance) -> Plan {
    let checks = 2 + chance.below(6);
    let thresholds = |chance: &mut Chance| Thresholds {
        rise: 1 + chance.below(4) as u8,
        fall: 1 + chance.below(4) as u8,
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_millis(500),
    };
    let key = |at| Box::from(format!("c{at}"));
    let mut specs: Vec<_> =
        (0..checks).map(|at| CheckSpec::new(key(at), thresholds(chance))).collect();
    for at in checks..checks + chance.below(4) {
        let mut of: Vec<u32> = (0..at as u32).filter(|_| chance.once_in(2)).collect();
        of.truncate(4);
        of.push(chance.below(at) as u32);
        of.dedup();
        let need = 1 + chance.below(of.len()) as u16;
        specs.push(CheckSpec::composite(key(at), Composite { need, of }));
    }
    let of = specs.len();
    let pools = (0..2 + chance.below(6)).map(|at| random_pool(chance, at, of)).collect();
    let areas = AREAS[..chance.below(AREAS.len() + 1)].iter().map(|name| (*name).into()).collect();
    Plan { checks: specs, pools, areas, ..Plan::default() }
}

fn random_pool(chance: &mut Chance, at: usize, checks: usize) -> PoolSpec {
    let by_name = chance.once_in(3);
    let members = (0..if by_name { 1 } else { chance.below(5) }).map(|member| {
        let family = if member % 2 == 0 { Family::V4 } else { Family::V6 };
        MemberSpec {
            name: format!("m{at}-{member}").into(),
            family: (!by_name).then_some(family),
            place: if by_name { 0 } else { member as u8 / 2 },
            weight: 1,
            check: (!chance.once_in(8)).then(|| chance.below(checks) as u32),
            names: None,
        }
    });
    PoolSpec {
        members: members.collect(),
        name: format!("p{at}").into(),
        origin: "example.org.".into(),
        region: format!("r{}", at % 3).into(),
        ease: Ease::default(),
        needs: Vec::new(),
    }
}

fn random_target(chance: &mut Chance) -> OverrideTarget {
    let pool = chance.below(8);
    match chance.below(3) {
        0 => OverrideTarget::Region(format!("r{}", pool % 3).into()),
        1 => OverrideTarget::Pool(format!("p{pool}").into(), None),
        _ => OverrideTarget::Member(format!("m{pool}-{}", chance.below(4)).into()),
    }
}

/// Areas that a plan has some of, and overrides name whether it has them or not.
const AREAS: [&str; 2] = ["asia", "africa"];

fn random_area(chance: &mut Chance) -> Option<Box<str>> {
    AREAS.get(chance.below(AREAS.len() + 1)).map(|name| (*name).into())
}

fn random_order(chance: &mut Chance) -> Override {
    let states = [OverrideState::Drain, OverrideState::Down, OverrideState::Up];
    Override {
        target: random_target(chance),
        area: random_area(chance),
        state: states[chance.below(3)],
        reason: String::new(),
        by: String::new(),
        until: chance.once_in(2).then(|| 1 + chance.below(STEPS) as u64),
    }
}

fn random_sample(chance: &mut Chance) -> Sample {
    match chance.below(10) {
        0..5 => Sample::success(Duration::ZERO),
        5..9 => Sample::failure(Reason::Refused, Duration::ZERO),
        _ => Sample::failure(Reason::Local, Duration::ZERO),
    }
}

/// The rule said once more, in other words than `health::verdict` says it.
fn must_be_eligible(
    pool: &PoolSpec,
    (family, area): (Family, Option<&str>),
    down: &HashMap<String, bool>,
    plan: &Plan,
    orders: &[Override],
) -> bool {
    let order = |wanted: OverrideTarget| {
        let for_area = |area: Option<&str>| {
            orders.iter().find(|order| order.target == wanted && order.area.as_deref() == area)
        };
        let order = area.and_then(|area| for_area(Some(area))).or_else(|| for_area(None));
        order.map(|order| order.state)
    };
    let over_pool = order(OverrideTarget::Pool(pool.name.clone(), None))
        .or_else(|| order(OverrideTarget::Region(pool.region.clone())));
    let members = pool.members.iter().filter(|member| member.family.is_none_or(|of| of == family));
    let (mut lives, mut not_taken_out) = (false, false);
    for member in members {
        let by_check = member.check.is_none_or(|at| !down[&*plan.checks[at as usize].key]);
        match order(OverrideTarget::Member(member.name.clone())) {
            Some(OverrideState::Up) => (lives, not_taken_out) = (true, true),
            Some(OverrideState::Drain | OverrideState::Down) => {}
            None => {
                lives |= by_check;
                not_taken_out = true;
            }
        }
    }
    match over_pool {
        Some(OverrideState::Drain | OverrideState::Down) => false,
        Some(OverrideState::Up) => not_taken_out,
        None => lives,
    }
}

/// The rule of composites said once more: too few parts serve, however those turn out of which
/// nothing is known.
fn must_be_down(spec: &CheckSpec, plan: &Plan, states: &HashMap<String, &str>) -> Option<bool> {
    let parts = spec.parts.as_ref()?;
    let is_out = |part: &&u32| states[&*plan.checks[**part as usize].key] == "down";
    let out = parts.of.iter().filter(is_out).count();
    Some(parts.of.len() - out < usize::from(parts.need))
}

fn states(keeper: &Keeper, now: Duration) -> HashMap<String, &'static str> {
    let checks = keeper.known().status(now).checks.into_iter();
    checks.map(|check| (check.key.into_string(), check.state)).collect()
}

fn down(keeper: &Keeper, now: Duration) -> HashMap<String, bool> {
    let checks = keeper.known().status(now).checks.into_iter();
    checks.map(|check| (check.key.into_string(), check.state == "down")).collect()
}

fn words(keeper: &Keeper, pools: usize, area: AreaId) -> Vec<(u32, Family, bool, u32)> {
    let table = keeper.table();
    let word = |pool: u32, family| {
        let word = table.word(PoolId(pool), family, area);
        (pool, family, word.is_eligible(), word.live())
    };
    (0..pools as u32).flat_map(|pool| [Family::V4, Family::V6].map(|of| word(pool, of))).collect()
}

fn all_words(keeper: &Keeper, plan: &Plan) -> Vec<Vec<(u32, Family, bool, u32)>> {
    let areas = AreaId::all(plan.areas.len());
    areas.map(|area| words(keeper, plan.pools.len(), area)).collect()
}

fn simulate(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut plan = random_plan(&mut chance);
    let mut keeper = Keeper::new(plan.clone(), &HashMap::new(), Vec::new(), Duration::ZERO);
    for step in 0..STEPS {
        let now = Duration::from_millis(step as u64 * 700);
        let before = down(&keeper, now);
        let words_before = all_words(&keeper, &plan);
        let mut same_plan = true;
        let mut sampled = None;
        let events = match chance.below(60) {
            0 => keeper.set_override(random_order(&mut chance), now),
            1 => {
                let area = random_area(&mut chance);
                keeper.clear_override(&random_target(&mut chance), area.as_deref(), now)
            }
            2 => keeper.expire_overrides(step as u64, now),
            3 => {
                plan = random_plan(&mut chance);
                same_plan = false;
                keeper.rebuild(plan.clone(), now)
            }
            4 => {
                let orders = keeper.known().overrides().to_vec();
                keeper = Keeper::new(plan.clone(), &keeper.known().memory(now), orders, now);
                Vec::new()
            }
            _ => {
                let check = chance.below(plan.checks.len());
                let sample = random_sample(&mut chance);
                let key = plan.checks[check].key.clone();
                let (_, events) = keeper.observe(&key, &sample, now);
                sampled = Some((key, sample));
                events
            }
        };
        let after = down(&keeper, now);
        let words_after = all_words(&keeper, &plan);
        for (area, words) in words_after.iter().enumerate() {
            let area = area.checked_sub(1).map(|place| &*plan.areas[place]);
            for (pool, family, eligible, _) in words {
                let spec = &plan.pools[*pool as usize];
                let (of, orders) = ((*family, area), keeper.known().overrides());
                let must = must_be_eligible(spec, of, &after, &plan, orders);
                assert_eq!(*eligible, must, "{spec:?} {of:?} at step {step}");
            }
        }
        let states = states(&keeper, now);
        for spec in &plan.checks {
            if let Some(must) = must_be_down(spec, &plan, &states) {
                assert_eq!(after[&*spec.key], must, "{spec:?} of {states:?} at step {step}");
            }
        }
        // Beliefs change by evidence only, and only that of their own check.
        let is_composite =
            |key: &str| plan.checks.iter().any(|spec| *spec.key == *key && spec.parts.is_some());
        for (key, is_down) in after.iter().filter(|(key, _)| !is_composite(key)) {
            let changed = before.get(key).is_some_and(|was_down| was_down != is_down);
            let Some((sampled, sample)) = sampled.as_ref().filter(|_| changed) else {
                assert!(!changed, "{key} changed without a sample at step {step}");
                continue;
            };
            assert_eq!(**sampled, **key);
            assert_eq!(sample.reason() == Some(Reason::Refused), *is_down);
        }
        // Whatever changed for clients was told, and nothing is told for nothing.
        let told = events.iter().any(|event| matches!(event, Event::Pool { .. }));
        if same_plan && words_before != words_after {
            assert!(told, "silent change at step {step}");
        }
        if let Some((_, sample)) = sampled.filter(|_| told) {
            assert!(sample.reason() != Some(Reason::Local), "at step {step}");
        }
    }
}

#[test]
fn whatever_happens_a_word_is_eligible_exactly_when_it_must_be() {
    let seeds: Vec<u64> = match std::env::var("MERIDIAN_SEED") {
        Ok(seed) => vec![seed.parse().expect("MERIDIAN_SEED is a number")],
        Err(_) => (1..=12).collect(),
    };
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| simulate(seed));
        assert!(ran.is_ok(), "replay with MERIDIAN_SEED={seed}");
    }
}
