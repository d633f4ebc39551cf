//! Stories of regions that die and come back, told on a virtual clock.

use std::time::Duration;

use meridian::health::composite::Composite;
use meridian::health::keeper::{CheckSpec, Event, Keeper};
use meridian::health::overrides::{Override, OverrideState};
use meridian::health::persist::{self, Memory};
use meridian::health::sample::{Reason, Sample};
use meridian::health::table::{PoolWord, Verdict};
use meridian::region::{AreaId, Ease, Family, PoolId};

use crate::world::{DEFAULT, FAST, Life, Profile, World, plan};

const REGIONS: [&str; 3] = ["fra", "iad", "sin"];

fn drain(target: &str) -> Override {
    Override {
        target: target.parse().expect("a target"),
        area: None,
        state: OverrideState::Drain,
        reason: "kernel update".into(),
        by: "ops".into(),
        until: Some(1_000),
    }
}

#[test]
fn fra_dies_at_10_s_and_is_down_by_14_s_and_comes_back() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.run_until(10.0);
    assert_eq!(world.word(0).verdict(), Verdict::Up);
    world.becomes("fra", Life::Refuses);
    world.run_until(14.3);
    assert_eq!(world.word(0).verdict(), Verdict::Down);
    assert_eq!(world.word(1).verdict(), Verdict::Up, "iad is not touched");
    world.becomes("fra", Life::Serves);
    world.run_until(20.0);
    assert_eq!(world.word(0).verdict(), Verdict::Up);
    let fra: Vec<_> = world.told().into_iter().filter(|line| line.contains("fra")).collect();
    assert_eq!(
        fra,
        [
            "1.0 fra up: up",
            "12.0 fra down: down after 3 failures: connection refused",
            "17.0 fra up: up",
        ]
    );
}

#[test]
fn fra_is_out_while_one_of_the_two_things_it_takes_is() {
    let mut plan = plan(&["fra", "db", "mail"], DEFAULT);
    // The pool fra takes its own check and that of db; the pool mail takes either of two.
    let both = Composite { need: 2, of: vec![0, 1] };
    let either = Composite { need: 1, of: vec![3, 2] };
    plan.checks.push(CheckSpec::composite("both@fra".into(), both));
    plan.checks.push(CheckSpec::composite("either@mail".into(), either));
    plan.pools[0].members[0].check = Some(3);
    plan.pools[2].members[0].check = Some(4);
    let mut world = World::of(plan, &["fra", "db", "mail"], DEFAULT);
    world.run_until(10.0);
    assert_eq!([0, 1, 2].map(|pool| world.word(pool).verdict()), [Verdict::Up; 3]);
    world.becomes("db", Life::Refuses);
    world.run_until(15.0);
    let verdicts = [0, 1, 2].map(|pool| world.word(pool).verdict());
    assert_eq!(verdicts, [Verdict::Down, Verdict::Down, Verdict::Up]);
    world.becomes("mail", Life::Refuses);
    world.run_until(20.0);
    assert_eq!(world.word(2).verdict(), Verdict::Down);
    world.becomes("db", Life::Serves);
    world.run_until(30.0);
    let verdicts = [0, 1, 2].map(|pool| world.word(pool).verdict());
    assert_eq!(verdicts, [Verdict::Up; 3], "mail lives by the other of the two");
    let fra: Vec<_> = world.told().into_iter().filter(|line| line.contains(" fra ")).collect();
    assert_eq!(
        fra,
        [
            "1.0 fra up: up: 2 of 2 parts serve, 2 needed",
            "12.0 fra down: down: 1 of 2 parts serve, 2 needed; web@db down after 3 failures: \
             connection refused",
            "21.0 fra up: up: 2 of 2 parts serve, 2 needed",
        ]
    );
}

#[test]
fn a_certificate_that_ends_soon_makes_its_pool_degraded_and_moves_nobody() {
    let mut plan = plan(&["fra"], DEFAULT);
    plan.checks[0].certificate_days = Some(14);
    let mut world = World::of(plan, &["fra"], DEFAULT);
    let mut shows = |days: i16, at: u64| {
        let mut sample = Sample::success(Duration::from_millis(5));
        sample.facts.certificate_days = Some(days);
        let now = Duration::from_secs(at);
        let (_, events) = world.keeper.observe("web@fra", &sample, now);
        let told = events.into_iter().find_map(|event| match event {
            Event::Check { why, .. } => Some(why),
            _ => None,
        });
        let word = world.word(0);
        (word.verdict(), word.keep(), told)
    };
    assert_eq!(shows(30, 1), (Verdict::Up, PoolWord::KEEP_ALL, Some("up after 1 success".into())));
    let why = "degraded: its certificate ends in 13 days".to_owned();
    assert_eq!(shows(13, 2), (Verdict::Degraded, PoolWord::KEEP_ALL, Some(why)));
    assert_eq!(shows(12, 3), (Verdict::Degraded, PoolWord::KEEP_ALL, None));
    let (verdict, _, told) = shows(90, 4);
    assert_eq!((verdict, told.is_some()), (Verdict::Up, true), "it was renewed");
}

#[test]
fn nobody_waits_for_what_is_pushed() {
    let mut plan = plan(&["fra", "iad"], DEFAULT);
    plan.checks[1].pushed = true;
    let mut world = World::of(plan, &["fra", "iad"], DEFAULT);
    world.keeper.decide_at_once();
    assert!(!world.keeper.known().is_decided());
    let sample = Sample::success(Duration::from_millis(5));
    world.keeper.observe("web@fra", &sample, Duration::from_secs(1));
    assert!(world.keeper.known().is_decided(), "nobody has told of iad, and nobody may");
    assert!(world.word(1).is_eligible(), "of which nothing is known");
}

#[test]
fn a_pool_that_starts_slowly_takes_a_tenth_at_first_and_all_in_the_end() {
    let ease = Ease { slow_start: Duration::from_secs(100), ..Ease::default() };
    let mut world = World::easing(&REGIONS, DEFAULT, ease);
    let share = |world: &World| f64::from(world.word(0).keep()) / f64::from(PoolWord::KEEP_ALL);
    world.run_until(10.0);
    assert!(world.word(0).is_whole(), "a process that starts finds its pools at work");
    world.becomes("fra", Life::Refuses);
    world.run_until_eligible(0, false);
    world.becomes("fra", Life::Serves);
    let up = world.run_until_eligible(0, true).as_secs_f64();
    assert!((share(&world) - 0.1).abs() < 0.001, "{}", share(&world));
    let mut before = 0.0;
    for second in 1..100 {
        world.run_until(up + f64::from(second));
        world.keeper.tick(world.now);
        let now = share(&world);
        let wanted = 0.1 + 0.9 * f64::from(second) / 100.0;
        assert!((now - wanted).abs() < 0.002 && now > before, "{second}: {now}");
        assert_eq!(world.word(0).sight().seconds(), Some(1));
        before = now;
    }
    world.run_until(up + 100.0);
    world.keeper.tick(world.now);
    assert!(world.word(0).is_whole());
    assert_eq!(world.word(0).sight().seconds(), None);
    let told = world.told().into_iter().filter(|line| line.contains("fra")).count();
    assert_eq!(told, 3, "up, down, up: steps are not told");
}

#[test]
fn a_slow_start_goes_on_over_a_reload_and_begins_again_after_another_fall() {
    let ease = Ease { slow_start: Duration::from_secs(100), ..Ease::default() };
    let mut world = World::easing(&REGIONS, DEFAULT, ease);
    world.run_until(10.0);
    world.becomes("fra", Life::Refuses);
    world.run_until_eligible(0, false);
    world.becomes("fra", Life::Serves);
    let up = world.run_until_eligible(0, true).as_secs_f64();
    world.run_until(up + 50.0);
    world.keeper.tick(world.now);
    let half = world.word(0).keep();
    let mut plan = plan(&REGIONS, DEFAULT);
    plan.pools.iter_mut().for_each(|pool| pool.ease = ease);
    world.keeper.rebuild(plan, world.now);
    assert_eq!(world.word(0).keep(), half);
    assert!(world.word(1).is_whole());
    world.becomes("fra", Life::Refuses);
    world.run_until_eligible(0, false);
    world.becomes("fra", Life::Serves);
    world.run_until_eligible(0, true);
    assert_eq!(world.word(0).keep(), PoolWord::KEEP_ALL / 10);
}

#[test]
fn a_slow_start_goes_on_over_a_restart_where_it_was() {
    let ease = Ease { slow_start: Duration::from_secs(100), ..Ease::default() };
    let mut world = World::easing(&REGIONS, DEFAULT, ease);
    world.run_until(10.0);
    world.becomes("fra", Life::Refuses);
    world.run_until_eligible(0, false);
    world.becomes("fra", Life::Serves);
    let up = world.run_until_eligible(0, true).as_secs_f64();
    world.run_until(up + 50.0);
    world.keeper.tick(world.now);
    let half = world.word(0).keep();
    // The next process counts from its own start, and knows only what is kept.
    let restarted = |world: &World| {
        let known = world.keeper.known();
        let mut next = World::easing(&REGIONS, DEFAULT, ease);
        let mut plan = plan(&REGIONS, DEFAULT);
        plan.pools.iter_mut().for_each(|pool| pool.ease = ease);
        next.keeper = Keeper::new(plan, &known.memory(world.now), Vec::new(), next.now);
        next.keeper.go_on(&known.starts(world.now), next.now);
        next
    };
    let mut world = restarted(&restarted(&world));
    assert_eq!(world.word(0).keep(), half, "neither all at once nor from the beginning");
    assert!(world.word(1).is_whole());
    world.run_until(25.0);
    world.keeper.tick(world.now);
    let share = f64::from(world.word(0).keep()) / f64::from(PoolWord::KEEP_ALL);
    assert!((share - 0.775).abs() < 0.01, "{share}");
    world.run_until(51.0);
    world.keeper.tick(world.now);
    assert!(world.word(0).is_whole());
    assert_eq!(restarted(&world).keeper.known().starts(Duration::ZERO), []);
    // One that is down when the next process begins has nothing to go on with.
    let starts = {
        world.becomes("fra", Life::Refuses);
        world.run_until_eligible(0, false);
        world.keeper.known().starts(world.now)
    };
    assert_eq!(starts, []);
}

#[test]
fn a_check_that_begins_to_fail_is_seen_before_it_concludes() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.run_until(10.0);
    assert_eq!(world.word(0).sight().seconds(), None);
    world.becomes("fra", Life::Refuses);
    while world.word(0).sight().seconds().is_none() {
        let next = world.now.as_secs_f64() + 0.1;
        world.run_until(next);
    }
    // Two failures are missing, half a second each.
    assert!(world.word(0).is_eligible());
    assert_eq!(world.word(0).sight().seconds(), Some(1));
    world.run_until_eligible(0, false);
    let settled = world.now.as_secs_f64() + 5.0;
    world.run_until(settled);
    assert_eq!(world.word(0).sight().seconds(), None);
    assert_eq!(world.word(1).sight().seconds(), None);
}

#[test]
fn fra_is_swallowed_and_is_down_within_the_black_hole_bound() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.run_until(10.0);
    world.becomes("fra", Life::BlackHole);
    let down = world.run_until_eligible(0, false);
    assert!(down <= Duration::from_secs_f64(18.8), "{down:?}");
    assert!(world.told().last().is_some_and(|line| line.ends_with("no answer in time")));
}

#[test]
fn one_lost_probe_harms_nobody() {
    let mut world = World::new(&["fra"], FAST);
    for second in [10.0, 20.0, 30.0] {
        world.run_until(second);
        world.becomes("fra", Life::BlackHole);
        world.run_until(second + 0.6);
        world.becomes("fra", Life::Serves);
    }
    world.run_until(60.0);
    assert_eq!(world.told().len(), 1, "{:?}", world.told());
}

/// T = interval + timeout + (fall - 1)(fast interval + timeout), waits stretched by jitter; the
/// design's bounds add report period, bus and tick, which an embedded prober does not need.
fn longest(profile: Profile, life: Life) -> Duration {
    let Profile { thresholds, timeout } = profile;
    let timeout = if life == Life::BlackHole { timeout } else { Duration::from_millis(1) };
    let pending = thresholds.fast_interval.mul_f64(1.1) + timeout;
    let fall = u32::from(thresholds.fall);
    thresholds.interval.mul_f64(1.1) + timeout + (fall - 1) * pending
}

#[test]
fn detection_keeps_the_bound_whenever_death_comes() {
    for (profile, life, design) in [
        (DEFAULT, Life::Refuses, 4.3),
        (DEFAULT, Life::BlackHole, 8.8),
        (FAST, Life::Refuses, 1.8),
        (FAST, Life::BlackHole, 2.8),
    ] {
        let bound = longest(profile, life);
        assert!(bound.as_secs_f64() <= design, "{bound:?} within the design's {design} s");
        let mut worst = Duration::ZERO;
        let phases = profile.thresholds.interval.as_millis() / 10 + 30;
        for phase in 0..phases {
            let death = 20.0 + phase as f64 / 100.0;
            let mut world = World::new(&["fra"], profile).at_worst();
            world.run_until(death);
            world.becomes("fra", life);
            let down = world.run_until_eligible(0, false);
            worst = worst.max(down - Duration::from_secs_f64(death));
        }
        assert!(worst <= bound, "{worst:?} > {bound:?} for {life:?}");
        assert!(worst.as_secs_f64() >= bound.as_secs_f64() * 0.9, "the bound is tight: {worst:?}");
    }
}

#[test]
fn a_flapping_region_is_held_back_longer_each_time() {
    let mut world = World::new(&["fra"], FAST);
    world.run_until(10.0);
    let mut away = Vec::new();
    for _ in 0..8 {
        world.becomes("fra", Life::Refuses);
        let fell = world.run_until_eligible(0, false);
        world.becomes("fra", Life::Serves);
        away.push(world.run_until_eligible(0, true) - fell);
    }
    assert!(away.windows(2).all(|pair| pair[1] > pair[0]), "{away:?}");
    assert!(away[7] > 30 * away[0], "{away:?}");
    world.becomes("fra", Life::Refuses);
    world.run_until_eligible(0, false);
    let check = &world.keeper.known().status(world.now).checks[0];
    assert!(check.damped_s.is_some_and(|seconds| seconds > 60.0), "{check:?}");
}

#[test]
fn a_reload_in_the_middle_of_a_failover_keeps_what_is_believed() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.run_until(10.0);
    world.becomes("fra", Life::Refuses);
    world.becomes("iad", Life::Refuses);
    world.run_until(11.2);
    let pending = world.keeper.known().status(world.now).checks[0].failures;
    assert_eq!(pending, 1, "one failure is counted, two are to come");
    world.reload(&["dub", "sin", "fra", "iad"]);
    assert_eq!(world.word(0).verdict(), Verdict::Unknown, "dub is new");
    assert_eq!(world.word(2).verdict(), Verdict::Up);
    world.run_until(12.1);
    assert_eq!(world.word(2).verdict(), Verdict::Down, "the streak went on over the reload");
    world.reload(&["iad", "fra"]);
    assert_eq!(world.word(0).verdict(), Verdict::Down, "down from the first moment");
    assert_eq!(world.word(1).verdict(), Verdict::Down);
    let said = world.told().len();
    world.reload(&["fra", "iad"]);
    assert_eq!(world.told().len(), said, "a reload that changes nothing says nothing");
    world.becomes("fra", Life::Serves);
    world.run_until(20.0);
    assert_eq!(world.word(0).verdict(), Verdict::Up);
}

#[test]
fn a_late_sample_of_a_check_that_is_gone_is_ignored() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.run_until(10.0);
    world.reload(&["sin"]);
    let late = Sample::failure(Reason::Refused, Duration::ZERO);
    for _ in 0..5 {
        let (_, events) = world.keeper.observe("web@fra", &late, world.now);
        assert!(events.is_empty());
    }
    assert_eq!(world.word(0).verdict(), Verdict::Up);
}

#[test]
fn a_region_remembered_down_starts_down_and_one_remembered_up_starts_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut world = World::new(&REGIONS, DEFAULT);
    world.becomes("fra", Life::Refuses);
    world.run_until(30.0);
    let memory = world.keeper.known().memory(world.now);
    persist::save_health(directory.path(), &memory, 1_000).expect("saved");

    let memory = persist::load_health(directory.path(), 1_010).value;
    let mut world = World::remembering(&REGIONS, DEFAULT, &memory, Vec::new());
    assert_eq!(world.word(0).verdict(), Verdict::Down, "the first answer is right");
    assert_eq!(world.word(1).verdict(), Verdict::Up);
    let status = world.keeper.known().status(world.now);
    assert!(status.checks[0].remembered && status.checks[0].since_s >= 30.0);
    assert!(status.pools[0].why.ends_with("remembered from before the start"));
    assert!(world.told().is_empty());
    let back = world.run_until_eligible(0, true);
    assert!(back <= Duration::from_secs_f64(2.5), "fra serves again: {back:?}");
}

#[test]
fn unknown_regions_serve_until_they_are_proven_dead() {
    let mut world = World::new(&["fra"], DEFAULT);
    world.becomes("fra", Life::Refuses);
    assert_eq!(world.word(0).verdict(), Verdict::Unknown);
    assert!(world.word(0).is_eligible());
    let down = world.run_until_eligible(0, false);
    assert!(down <= longest(DEFAULT, Life::Refuses));
}

#[test]
fn an_override_stands_until_it_ends() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.run_until(5.0);
    let events = world.keeper.set_override(drain("region.fra"), world.now);
    world.note(events);
    assert_eq!(world.word(0).verdict(), Verdict::Draining);
    assert!(!world.word(0).is_eligible());
    assert_eq!(
        world.told().last().expect("a line"),
        "5.0 fra draining: drained by ops: kernel update"
    );
    world.run_until(10.0);
    assert_eq!(world.word(0).verdict(), Verdict::Draining, "probes do not lift it");
    assert!(world.keeper.expire_overrides(999, world.now).is_empty());
    let events = world.keeper.expire_overrides(1_000, world.now);
    assert!(matches!(&events[0], Event::Override { what, .. } if what == "ended"));
    assert_eq!(world.word(0).verdict(), Verdict::Up);
}

#[test]
fn an_override_survives_reload_and_restart_and_can_be_lifted() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut world = World::new(&REGIONS, DEFAULT);
    world.keeper.set_override(drain("pool.iad"), world.now);
    world.reload(&["sin", "iad"]);
    assert_eq!(world.word(1).verdict(), Verdict::Draining);
    persist::save_overrides(directory.path(), world.keeper.known().overrides()).expect("saved");

    let orders = persist::load_overrides(directory.path()).value;
    let mut world = World::remembering(&REGIONS, DEFAULT, &Memory::new(), orders);
    assert_eq!(world.word(1).verdict(), Verdict::Draining);
    let target = "pool.iad".parse().expect("a target");
    assert_eq!(world.keeper.touched_by(&target), 1);
    assert_eq!(world.keeper.clear_override(&target, None, world.now).len(), 2);
    assert_eq!(world.word(1).verdict(), Verdict::Unknown);
    assert!(world.keeper.clear_override(&target, None, world.now).is_empty());
}

#[test]
fn a_second_override_over_the_same_target_replaces_the_first() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.keeper.set_override(drain("pool.iad"), world.now);
    let up = Override { state: OverrideState::Up, ..drain("pool.iad") };
    world.keeper.set_override(up, world.now);
    assert_eq!(world.keeper.known().overrides().len(), 1);
    assert_eq!(world.word(1).verdict(), Verdict::ForcedUp);
}

#[test]
fn a_copy_of_what_is_known_stays_as_it_was() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.run_until(5.0);
    let (copy, copied_at) = (world.keeper.known().clone(), world.now);
    let before = copy.status(copied_at);
    world.becomes("fra", Life::Refuses);
    world.run_until(30.0);
    world.keeper.set_override(drain("pool.iad"), world.now);
    assert_eq!(world.word(0).verdict(), Verdict::Down, "the table that queries read moves on");
    assert_eq!(world.word(1).verdict(), Verdict::Draining);
    assert_eq!(copy.status(copied_at), before);
    assert_eq!(before.pools[0].verdict, "up");
    let after = world.keeper.known().status(world.now);
    assert_eq!((after.pools[0].verdict, after.checks[0].state), ("down", "down"));
    assert_eq!(after.pools[1].verdict, "draining");
}

#[test]
fn the_revision_tells_when_there_is_something_to_write() {
    let mut world = World::new(&["fra"], DEFAULT);
    world.run_until(5.0);
    let before = world.keeper.revision();
    world.run_until(60.0);
    assert_eq!(world.keeper.revision(), before, "steady health writes nothing");
    world.becomes("fra", Life::Refuses);
    world.run_until(70.0);
    assert_eq!(world.keeper.revision(), before + 1);
}

#[test]
fn the_status_is_json_that_says_why() {
    let mut world = World::new(&REGIONS, DEFAULT);
    world.becomes("fra", Life::Refuses);
    world.run_until(10.0);
    let status = serde_json::to_value(world.keeper.known().status(world.now)).expect("JSON");
    let (check, pool) = (&status["checks"][0], &status["pools"][0]);
    assert_eq!(check["key"], "web@fra");
    assert_eq!(check["state"], "down");
    assert_eq!(check["last"], "connection refused");
    assert!(check["results"]["refused"].as_u64().is_some_and(|count| count >= 3));
    assert!(check["next_s"].as_f64().is_some_and(|seconds| (0.0..=2.0).contains(&seconds)));
    assert_eq!(pool["pool"], "fra");
    assert_eq!(pool["family"], "ipv4");
    assert_eq!(pool["eligible"], false);
    assert_eq!(pool["members"][0]["check"], "web@fra");
    let why = pool["why"].as_str().expect("a reason");
    assert!(why.starts_with("down after") && why.ends_with("connection refused"), "{why}");
}

/// However many pools there are: those that the check decides over, and no others.
#[test]
fn a_flip_stores_one_word_for_each_pool_that_its_check_decides_over() {
    let names: Vec<String> = (0..10_000).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut plan = plan(&names, FAST);
    for pool in &mut plan.pools[..100] {
        pool.members[0].check = Some(0);
    }
    let mut keeper = Keeper::new(plan, &Memory::new(), Vec::new(), Duration::ZERO);
    let table = keeper.table();
    for round in 0..11u32 {
        let now = Duration::from_secs(u64::from(round) * 1_000);
        let sample = if round % 2 == 0 {
            Sample::failure(Reason::Refused, Duration::ZERO)
        } else {
            Sample::success(Duration::ZERO)
        };
        keeper.observe("web@p0", &sample, now);
        let (_, events) = keeper.observe("web@p0", &sample, now);
        assert_eq!(events.len(), 101, "the check and its hundred pools");
        assert_eq!(table.word(PoolId(99), Family::V4, AreaId::WORLD).is_eligible(), round % 2 == 1);
        assert!(table.word(PoolId(100), Family::V4, AreaId::WORLD).is_eligible());
    }
}
