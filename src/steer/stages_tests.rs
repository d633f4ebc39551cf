//! Stories of canaries, told minute by minute.

use super::*;
use crate::region::{AreaId, Ease, RegionId, Vips};

const MINUTE: Duration = Duration::from_secs(60);
const WELL: Condition = Condition { health: ALL, out: None, proven: true };
const FREELY: Allowance<'static> = Allowance { share: ALL, why: "" };

fn spec() -> CanarySpec {
    CanarySpec {
        steps: vec![500, 2500, ALL],
        every: 30 * MINUTE,
        abort_below: 9000,
        starts_itself: false,
    }
}

/// A canary that was started and stands at its first step.
fn started() -> Canary {
    let mut canary = Canary::default();
    canary.obey(Order::Start, &spec()).expect("it can start");
    canary.advance(&spec(), Duration::ZERO, &WELL, FREELY);
    canary
}

/// Lets `minutes` go by, one at a time, and returns the shares that were taken.
fn shares(canary: &mut Canary, minutes: u32, condition: &Condition) -> Vec<u16> {
    let mut shares = vec![canary.share];
    for _ in 0..minutes {
        canary.advance(&spec(), MINUTE, condition, FREELY);
        if shares.last() != Some(&canary.share) {
            shares.push(canary.share);
        }
    }
    shares
}

#[test]
fn a_canary_waits_until_it_is_told() {
    let mut canary = Canary::default();
    assert_eq!(shares(&mut canary, 600, &WELL), [0]);
    assert_eq!(canary.phase, Phase::Waiting);
}

#[test]
fn a_canary_that_starts_itself_waits_for_health_first() {
    let spec = CanarySpec { starts_itself: true, ..spec() };
    let mut canary = Canary::default();
    let unproven = Condition { proven: false, ..WELL };
    canary.advance(&spec, MINUTE, &unproven, FREELY);
    assert_eq!((canary.phase, canary.share), (Phase::Waiting, 0));
    canary.advance(&spec, MINUTE, &WELL, FREELY);
    assert_eq!((canary.phase, canary.share), (Phase::Running, 500));
}

#[test]
fn it_goes_step_by_step_and_is_watched_at_the_last_one_too() {
    let mut canary = started();
    assert_eq!(shares(&mut canary, 29, &WELL), [500]);
    assert_eq!(canary.until_next(&spec()), Some(MINUTE));
    assert_eq!(shares(&mut canary, 1, &WELL), [500, 2500]);
    assert_eq!(shares(&mut canary, 30, &WELL), [2500, ALL]);
    assert_eq!((canary.phase, canary.until_next(&spec())), (Phase::Running, None));
    shares(&mut canary, 30, &WELL);
    assert_eq!((canary.phase, canary.share), (Phase::Done, ALL));
}

#[test]
fn ill_health_takes_every_client_back_at_once() {
    let mut canary = started();
    shares(&mut canary, 31, &WELL);
    let ill = Condition { health: 8900, ..WELL };
    let events = canary.advance(&spec(), Duration::from_secs(1), &ill, FREELY);
    assert_eq!(events, [Event::Aborted { why: "health 89 % < 90 %".to_owned() }]);
    assert_eq!((canary.phase, canary.share), (Phase::Aborted, 0));
    // Health alone does not start it again; a person does, at the step it was at.
    assert_eq!(shares(&mut canary, 600, &WELL), [0]);
    canary.obey(Order::Resume, &spec()).expect("it can go on");
    assert_eq!(shares(&mut canary, 1, &WELL), [0, 2500]);
}

#[test]
fn a_new_side_nobody_is_sent_to_aborts() {
    let mut canary = started();
    let drained = Condition { out: Some(Verdict::Draining), ..WELL };
    canary.advance(&spec(), MINUTE, &drained, FREELY);
    assert_eq!((canary.phase, &*canary.note), (Phase::Aborted, "the new side is draining"));
}

#[test]
fn a_pause_keeps_the_share_and_is_still_watched() {
    let mut canary = started();
    canary.obey(Order::Pause, &spec()).expect("it can pause");
    assert_eq!(shares(&mut canary, 600, &WELL), [500]);
    let ill = Condition { health: 0, ..WELL };
    assert_eq!(shares(&mut canary, 1, &ill), [500, 0]);
}

#[test]
fn without_an_abort_health_changes_nothing() {
    let spec = CanarySpec { abort_below: 0, ..spec() };
    let mut canary = started();
    let down = Condition { health: 0, out: Some(Verdict::Down), proven: true };
    canary.advance(&spec, MINUTE, &down, FREELY);
    assert_eq!((canary.phase, canary.share), (Phase::Running, 500));
}

#[test]
fn what_may_not_move_at_once_moves_bit_by_bit() {
    let mut canary = started();
    let tight = Allowance { share: 800, why: "max_shift" };
    shares(&mut canary, 29, &WELL);
    let events = canary.advance(&spec(), MINUTE, &WELL, tight);
    let why = "max_shift".to_owned();
    assert_eq!(events, [Event::Held { share: 1300, wanted: 2500, why }]);
    assert_eq!(canary.note, "max_shift");
    // Told once.
    assert_eq!(canary.advance(&spec(), MINUTE, &WELL, tight), []);
    let events = canary.advance(&spec(), MINUTE, &WELL, tight);
    assert_eq!(events, [Event::Stepped { number: 2, of: 3, share: 2500 }]);
    assert_eq!((canary.held, &*canary.note), (Duration::ZERO, ""));
}

#[test]
fn orders_that_do_not_fit_are_refused() {
    let mut canary = Canary::default();
    for order in [Order::Pause, Order::Resume, Order::Abort] {
        assert!(canary.obey(order, &spec()).is_err(), "{order:?}");
    }
    let told = canary.obey(Order::Pause, &spec()).expect_err("refused").to_string();
    assert_eq!(told, "the canary is waiting: it cannot pause");
    canary.obey(Order::Finish, &spec()).expect("it can finish");
    assert_eq!((canary.phase, canary.share), (Phase::Done, ALL));
    canary.obey(Order::Abort, &spec()).expect("what is done can be taken back");
    assert_eq!((canary.phase, canary.share), (Phase::Aborted, 0));
    canary.obey(Order::Start, &spec()).expect("and begun anew");
    assert_eq!(canary.step, 0);
}

#[test]
fn fewer_steps_after_a_reload_are_no_trouble() {
    let mut canary = started();
    shares(&mut canary, 61, &WELL);
    assert_eq!(canary.step, 2);
    let shorter = CanarySpec { steps: vec![100], ..spec() };
    canary.advance(&shorter, Duration::ZERO, &WELL, FREELY);
    assert_eq!((canary.step, canary.share), (0, 100));
}

#[test]
fn health_is_by_weight_and_of_the_worse_family() {
    let member = |weight| Member { address: [192, 0, 2, 1].into(), weight };
    let v4 = vec![member(1), member(3)];
    let six = Member { address: std::net::Ipv6Addr::LOCALHOST, weight: 1 };
    let pool = |v6| Pool {
        name: "dub".into(),
        origin: "example.org.".parse().expect("a name"),
        region: RegionId(0),
        target: Target::Vips(Vips { v4: v4.clone(), v6 }),
        answers: 1,
        ease: Ease::default(),
        capacity: None,
    };
    let table = HealthTable::new(1, 0);
    let of = |pool: Pool| Condition::of([PoolId(0)], &[pool], &table);
    let set = |family, verdict, live| {
        table.store(
            PoolId(0),
            family,
            AreaId::WORLD,
            PoolWord::new(verdict, PoolWord::KEEP_ALL, live),
        );
    };
    set(Family::V4, Verdict::Up, 0b11);
    assert_eq!(of(pool(vec![])), WELL);
    set(Family::V4, Verdict::Degraded, 0b10);
    assert_eq!(of(pool(vec![])).health, 7500);
    // Members of the other family are dead.
    set(Family::V6, Verdict::Down, 0);
    assert_eq!(of(pool(vec![six])), Condition { health: 0, out: None, proven: true });
    set(Family::V4, Verdict::Down, 0);
    assert_eq!(of(pool(vec![])).out, Some(Verdict::Down));
    set(Family::V4, Verdict::Unknown, 0b11);
    assert!(!of(pool(vec![])).proven);
}

#[test]
fn shares_are_told_and_compared_without_loss() {
    assert_eq!(
        (percent(500), percent(25), percent(ALL)),
        ("5 %".into(), "0.25 %".into(), "100 %".into())
    );
    assert_eq!((as_word(0), as_word(5000), as_word(ALL)), (0, 32_768, u16::MAX));
}
