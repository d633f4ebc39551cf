//! The state machine, stated as tables: `.` is a success, `x` a failure, `-` no evidence; the
//! second line is what is believed after each (`?` unknown, `U` up, `D` down).

use super::*;

const PLAIN: Thresholds = Thresholds {
    rise: 3,
    fall: 3,
    interval: Duration::from_secs(2),
    fast_interval: Duration::from_millis(500),
};

fn sample(letter: char) -> Sample {
    match letter {
        '.' => Sample::success(Duration::from_millis(1)),
        'x' => Sample::failure(Reason::Refused, Duration::from_millis(1)),
        _ => Sample::failure(Reason::Local, Duration::ZERO),
    }
}

/// Steps through `seen` at one sample per second and gives the last state.
fn run(mut state: State, thresholds: &Thresholds, seen: &str, from: u64) -> (State, String) {
    let mut believed = String::new();
    for (at, letter) in seen.chars().enumerate() {
        let now = Duration::from_secs(from + at as u64);
        state = step(&state, &sample(letter), thresholds, now).0;
        believed.push(match state.belief {
            Belief::Unknown => '?',
            Belief::Up => 'U',
            Belief::Down => 'D',
            other => panic!("one vantage alone believes {other:?}"),
        });
    }
    (state, believed)
}

fn check(thresholds: &Thresholds, seen: &str, believed: &str) {
    assert_eq!(run(State::default(), thresholds, seen, 0).1, believed, "after {seen}");
}

#[test]
fn the_first_success_decides() {
    check(&PLAIN, ".", "U");
    check(&PLAIN, "x.", "?U");
    check(&PLAIN, "xx.", "??U");
}

#[test]
fn an_unknown_target_needs_as_many_failures_as_any_to_go_down() {
    check(&PLAIN, "xxx", "??D");
}

#[test]
fn what_says_nothing_of_a_target_proves_nothing_of_it_anew() {
    let mut state = State::unknown(Duration::ZERO);
    let second = Duration::from_secs(1);
    let local = Sample::failure(Reason::Local, Duration::ZERO);
    for (sample, at, proved) in [
        (Sample::success(Duration::ZERO), 1, 1),
        (local, 2, 1),
        (Sample::failure(Reason::Refused, Duration::ZERO), 3, 3),
        (local, 9, 3),
    ] {
        (state, _) = step(&state, &sample, &PLAIN, at * second);
        assert_eq!(state.proved_at, Some(proved * second));
        assert_eq!(state.last.map(|(_, at)| at), Some(at * second));
    }
}

#[test]
fn what_a_starting_process_never_heard_of_is_decided_by_its_first_evidence() {
    let untried = State { untried: true, ..State::default() };
    assert_eq!(run(untried, &PLAIN, "x..x...", 0).1, "DDDDDDU");
    assert_eq!(run(untried, &PLAIN, "--x", 0).1, "??D", "a prober's own fault is no evidence");
    assert_eq!(run(untried, &PLAIN, ".xx.", 0).1, "UUUU");
}

#[test]
fn fall_failures_bring_down_and_rise_successes_bring_back() {
    check(&PLAIN, ".xxx...", "UUUDDDU");
}

#[test]
fn a_failure_between_successes_starts_the_rise_anew() {
    check(&PLAIN, "xxx..x...", "??DDDDDDU");
}

#[test]
fn failing_one_in_three_is_caught() {
    check(&PLAIN, "..x..x..x", "UUUUUUUUD");
    check(&Thresholds { rise: 1, ..PLAIN }, "..x..x..x", "UUUUUUUUD");
}

#[test]
fn three_successes_in_a_row_forgive_counted_failures() {
    check(&PLAIN, ".xx...xx", "UUUUUUUU");
    check(&Thresholds { rise: 5, ..PLAIN }, ".xx...x", "UUUUUUD");
    check(&Thresholds { rise: 5, ..PLAIN }, ".xx.....xx", "UUUUUUUUUU");
}

#[test]
fn thresholds_of_zero_mean_one() {
    check(&Thresholds { rise: 0, fall: 0, ..PLAIN }, ".x.", "UDU");
}

#[test]
fn the_probers_own_trouble_counts_for_nothing() {
    check(&PLAIN, "-----.----", "?????UUUUU");
    check(&PLAIN, ".xx--x", "UUUUUD");
}

#[test]
fn a_transition_says_what_decided() {
    let (two, _) = run(State::default(), &PLAIN, ".xx", 0);
    let (after, transition) = step(&two, &sample('x'), &PLAIN, Duration::from_secs(9));
    let expected =
        Transition { from: Belief::Up, to: Belief::Down, streak: 3, reason: Some(Reason::Refused) };
    assert_eq!(transition, Some(expected));
    assert_eq!(after.since, Duration::from_secs(9));
}

#[test]
fn each_flap_doubles_the_rise() {
    let quick = Thresholds { rise: 1, fall: 1, ..PLAIN };
    //             flap: 0  1   2
    check(&quick, ".x.x..x....x", "UDUDDUDDDDUD");
    let (state, _) = run(State::default(), &quick, ".x.x..x....x", 0);
    assert_eq!(rise_needed(&state, &quick, Duration::from_secs(12)), 8);
}

#[test]
fn damping_says_until_when_and_never_asks_for_more_than_its_bound() {
    let quick = Thresholds { rise: 1, fall: 1, ..PLAIN };
    let now = Duration::from_secs(100);
    let state = State { belief: Belief::Down, fell_at: Some(now), flaps: 3, ..State::default() };
    assert_eq!(damped_until(&state, &quick, now), Some(now + 8 * quick.fast_interval));
    let state = State { flaps: 16, ..state };
    assert_eq!(damped_until(&state, &quick, now), Some(now + DAMPING_MAX));
    let calm = State { flaps: 0, ..state };
    assert_eq!(damped_until(&calm, &quick, now), None);
}

#[test]
fn an_outage_longer_than_the_window_is_no_flap() {
    let now = Duration::from_secs(1000);
    let state = State { belief: Belief::Down, fell_at: Some(now), flaps: 5, ..State::default() };
    assert_eq!(rise_needed(&state, &PLAIN, now + FLAP_WINDOW), 3);
    let (up, _) = run(state, &PLAIN, "...", 1000 + FLAP_WINDOW.as_secs());
    assert_eq!(up.belief, Belief::Up);
    let (down, _) = run(up, &PLAIN, "xxx", 1010 + FLAP_WINDOW.as_secs());
    assert_eq!((down.belief, down.flaps), (Belief::Down, 0));
}

#[test]
fn the_pace_is_fast_exactly_while_a_change_is_pending() {
    let pace_after = |seen| pace(&run(State::default(), &PLAIN, seen, 0).0);
    assert_eq!(pace_after(""), Pace::Steady);
    assert_eq!(pace_after("x"), Pace::Fast);
    assert_eq!(pace_after("."), Pace::Steady);
    assert_eq!(pace_after(".x"), Pace::Fast);
    assert_eq!(pace_after(".x."), Pace::Fast, "the failure is still counted");
    assert_eq!(pace_after(".x..."), Pace::Steady);
    assert_eq!(pace_after("xxx"), Pace::Steady);
    assert_eq!(pace_after("xxx."), Pace::Fast);
    assert_eq!(pace_after("xxx.x"), Pace::Steady);
}

#[test]
fn the_steady_interval_is_a_period_and_the_fast_one_a_pause() {
    let at = Duration::from_millis;
    assert_eq!(due(Pace::Steady, &PLAIN, at(100), at(400)), at(2100));
    assert_eq!(due(Pace::Steady, &PLAIN, at(100), at(2500)), at(2500));
    assert_eq!(due(Pace::Fast, &PLAIN, at(100), at(1600)), at(2100));
}

#[test]
fn a_remembered_belief_holds_until_samples_say_otherwise() {
    let down = State { belief: Belief::Down, remembered: true, ..State::default() };
    let (state, believed) = run(down, &PLAIN, "-..", 0);
    assert_eq!(believed, "DDD");
    assert!(!state.remembered);
    assert_eq!(run(state, &PLAIN, ".", 3).1, "U");
}

#[test]
fn a_lowered_threshold_waits_for_evidence() {
    let (state, _) = run(State::default(), &PLAIN, ".xx", 0);
    let lower = Thresholds { fall: 1, ..PLAIN };
    assert_eq!(run(state, &lower, "-.x", 3).1, "UUD");
}
