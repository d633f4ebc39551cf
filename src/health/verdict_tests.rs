//! Verdicts, stated as tables.

use super::*;

const UP: Verdict = Verdict::Up;
const DOWN: Verdict = Verdict::Down;
const UNKNOWN: Verdict = Verdict::Unknown;
const DRAINING: Verdict = Verdict::Draining;
const FORCED_DOWN: Verdict = Verdict::ForcedDown;

fn check(members: &[Verdict], order: Option<OverrideState>, verdict: Verdict, live: u32) {
    let word = pool_word((0u8..).zip(members.iter().copied()), order);
    assert_eq!((word.verdict(), word.live()), (verdict, live), "{members:?} under {order:?}");
    assert_eq!(word.is_eligible(), verdict.is_eligible() && live != 0);
}

#[test]
fn a_pool_is_what_its_members_are() {
    check(&[UP, UP], None, UP, 0b11);
    check(&[UP, UNKNOWN], None, UP, 0b11);
    check(&[UNKNOWN], None, UNKNOWN, 0b1);
    check(&[DOWN, DOWN], None, DOWN, 0);
    check(&[DOWN, UP], None, Verdict::Degraded, 0b10);
    check(&[DOWN, UNKNOWN], None, Verdict::Degraded, 0b10);
    check(&[], None, UNKNOWN, 0);
}

#[test]
fn a_member_taken_out_by_hand_is_no_sign_of_trouble() {
    check(&[DRAINING, UP], None, UP, 0b10);
    check(&[DRAINING, DRAINING], None, DRAINING, 0);
    check(&[DRAINING, DOWN], None, DOWN, 0);
    check(&[FORCED_DOWN], None, FORCED_DOWN, 0);
    check(&[Verdict::ForcedUp, DOWN], None, Verdict::Degraded, 0b1);
}

#[test]
fn a_pool_in_trouble_takes_what_its_rule_says() {
    let share = |degraded, beliefs: [Belief; 2]| {
        let mut pool =
            pool("fra", "europe", vec![member("192.0.2.10", 0, 0), member("192.0.2.11", 1, 1)]);
        pool.members[1].weight = 3;
        pool.ease.degraded = degraded;
        let judge = Judge::new(vec![pool], 2, no_areas(), &[], |check, _| beliefs[check as usize]);
        judge.table().word(PoolId(0), Family::V4, AreaId::WORLD).keep()
    };
    let (well, half) = ([Belief::Up; 2], [Belief::Up, Belief::Down]);
    for degraded in [Degraded::All, Degraded::Live, Degraded::Share(2_000)] {
        assert_eq!(share(degraded, well), PoolWord::KEEP_ALL);
    }
    assert_eq!(share(Degraded::All, half), PoolWord::KEEP_ALL);
    assert_eq!(share(Degraded::Live, half), PoolWord::KEEP_ALL / 4);
    assert_eq!(share(Degraded::Share(2_000), half), PoolWord::KEEP_ALL / 5);
}

#[test]
fn an_order_stands_over_the_members() {
    check(&[UP, UP], Some(OverrideState::Drain), DRAINING, 0b11);
    check(&[UP, DOWN], Some(OverrideState::Down), FORCED_DOWN, 0b01);
    check(&[DOWN, UP], Some(OverrideState::Up), Verdict::ForcedUp, 0b10);
    check(&[DOWN, DOWN], Some(OverrideState::Up), Verdict::ForcedUp, 0b11);
    check(&[DRAINING, DOWN], Some(OverrideState::Up), Verdict::ForcedUp, 0b10);
    check(&[DRAINING], Some(OverrideState::Up), Verdict::ForcedUp, 0);
}

#[test]
fn a_member_with_signs_of_trouble_stays_and_shows_in_its_pool() {
    check(&[Verdict::Degraded], None, Verdict::Degraded, 0b1);
    check(&[UP, Verdict::Degraded], None, Verdict::Degraded, 0b11);
    check(&[Verdict::Maintenance, UP], None, UP, 0b10);
    check(&[Verdict::Maintenance], None, Verdict::Maintenance, 0);
    check(&[Verdict::Maintenance, DOWN], None, DOWN, 0);
}

#[test]
fn an_order_stands_over_the_check_of_a_member() {
    assert_eq!(member_verdict(Some(Belief::Down), Some(OverrideState::Up)), Verdict::ForcedUp);
    assert_eq!(member_verdict(Some(Belief::Up), Some(OverrideState::Down)), FORCED_DOWN);
    assert_eq!(member_verdict(Some(Belief::Up), Some(OverrideState::Drain)), DRAINING);
    assert_eq!(member_verdict(None, None), UP);
    let drains = Some(Belief::Draining);
    assert_eq!(member_verdict(drains, None), DRAINING);
    assert_eq!(member_verdict(drains, Some(OverrideState::Up)), Verdict::ForcedUp);
}

fn member(name: &str, place: u8, check: u32) -> MemberSpec {
    let family = name.parse::<IpAddr>().ok();
    let family = family.map(|ip| if ip.is_ipv4() { Family::V4 } else { Family::V6 });
    MemberSpec { name: name.into(), family, place, weight: 1, check: Some(check), names: None }
}

fn pool(name: &str, region: &str, members: Vec<MemberSpec>) -> PoolSpec {
    PoolSpec {
        name: name.into(),
        origin: "example.org.".into(),
        region: region.into(),
        members,
        ease: Ease::default(),
        needs: Vec::new(),
    }
}

#[test]
fn a_pool_goes_with_what_it_needs_and_comes_back_with_it() {
    // web needs api, api needs db; each hangs on a check of its own.
    let named = |name: &str, check, needs: &[u32]| PoolSpec {
        needs: needs.iter().copied().map(PoolId).collect(),
        ..pool(name, "europe", vec![member("192.0.2.10", 0, check)])
    };
    let pools = vec![named("web", 0, &[1]), named("api", 1, &[2]), named("db", 2, &[])];
    let serve = |judge: &Judge| {
        [0, 1, 2].map(|at| judge.table().word(PoolId(at), Family::V4, AreaId::WORLD).is_eligible())
    };
    let up = |_, _| Belief::Up;
    let without_db = |check, _| if check == 2 { Belief::Down } else { Belief::Up };
    let mut judge = Judge::new(pools.clone(), 3, [].into(), &[], up);
    assert_eq!(serve(&judge), [true; 3]);
    let changes = judge.changed(2, without_db);
    assert_eq!(serve(&judge), [false; 3]);
    let gone: Vec<u32> = changes.iter().map(|change| change.pool.0).collect();
    assert_eq!(gone, [2, 1, 0]);
    assert_eq!(judge.lacking(PoolId(0), AreaId::WORLD), Some(PoolId(1)));
    judge.changed(2, up);
    assert_eq!(serve(&judge), [true; 3]);
    // Judged for the first time, whatever the order they stand in.
    assert_eq!(serve(&Judge::new(pools, 3, [].into(), &[], without_db)), [false; 3]);
    // An operator's word stands over it.
    judge.changed(2, without_db);
    judge.order(&[order("pool.web", OverrideState::Up)], without_db);
    assert_eq!(serve(&judge), [true, false, false]);
}

#[test]
fn pools_that_need_each_other_are_judged_all_the_same() {
    let named = |name: &str, check, need| PoolSpec {
        needs: vec![PoolId(need)],
        ..pool(name, "europe", vec![member("192.0.2.10", 0, check)])
    };
    let pools = vec![named("a", 0, 1), named("b", 1, 0), named("c", 2, 9)];
    let judge = Judge::new(pools, 3, [].into(), &[], |_, _| Belief::Up);
    judge.changed(0, |check, _| if check == 0 { Belief::Down } else { Belief::Up });
    assert!(!judge.table().word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
}

/// fra has one member of each family, iad hands over by name and shares fra's second check.
fn pools() -> Vec<PoolSpec> {
    vec![
        pool("fra", "europe", vec![member("192.0.2.10", 0, 0), member("2001:db8::10", 0, 1)]),
        pool("iad", "america", vec![member("lb.iad.example.net.", 0, 1)]),
    ]
}

fn order(target: &str, state: OverrideState) -> Override {
    let target = target.parse().expect("a target");
    Override { target, area: None, state, reason: String::new(), by: String::new(), until: None }
}

fn no_areas() -> Arc<[Box<str>]> {
    Arc::from([])
}

fn verdicts(judge: &Judge) -> [Verdict; 4] {
    let word = |pool, family| judge.table().word(PoolId(pool), family, AreaId::WORLD).verdict();
    [word(0, Family::V4), word(0, Family::V6), word(1, Family::V4), word(1, Family::V6)]
}

#[test]
fn families_are_judged_apart_and_names_stand_for_both() {
    let belief = |check, _| if check == 1 { Belief::Down } else { Belief::Up };
    let judge = Judge::new(pools(), 2, no_areas(), &[], belief);
    assert_eq!(verdicts(&judge), [UP, DOWN, DOWN, DOWN]);
}

#[test]
fn a_change_touches_only_the_pools_it_decides_over() {
    let judge = Judge::new(pools(), 2, no_areas(), &[], |_, _| Belief::Up);
    let first = judge.changed(0, |check, _| if check == 0 { Belief::Down } else { Belief::Up });
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].pool, first[0].family), (PoolId(0), Some(Family::V4)));
    let second = judge.changed(1, |_, _| Belief::Down);
    let touched: Vec<_> = second.iter().map(|change| (change.pool, change.family)).collect();
    assert_eq!(touched, [(PoolId(0), Some(Family::V6)), (PoolId(1), None)]);
    assert!(judge.changed(1, |_, _| Belief::Down).is_empty(), "nothing changed the second time");
    assert!(judge.changed(7, |_, _| Belief::Up).is_empty(), "no such check");
}

#[test]
fn overrides_find_their_targets() {
    use OverrideState::{Down, Drain, Up};
    let judged = |overrides: &[Override]| {
        verdicts(&Judge::new(pools(), 2, no_areas(), overrides, |_, _| Belief::Up))
    };
    assert_eq!(judged(&[order("region.europe", Drain)]), [DRAINING, DRAINING, UP, UP]);
    assert_eq!(judged(&[order("pool.iad", Down)]), [UP, UP, FORCED_DOWN, FORCED_DOWN]);
    assert_eq!(judged(&[order("pool.iad@Example.ORG", Drain)]), [UP, UP, DRAINING, DRAINING]);
    assert_eq!(judged(&[order("pool.iad@example.net", Drain)]), [UP; 4]);
    assert_eq!(judged(&[order("member.2001:DB8:0::10", Down)]), [UP, FORCED_DOWN, UP, UP]);
    assert_eq!(judged(&[order("member.LB.iad.example.net", Drain)])[2..], [DRAINING; 2]);
    let both = [order("pool.fra", Up), order("region.europe", Down)];
    assert_eq!(judged(&both)[..2], [Verdict::ForcedUp; 2], "the narrower wins");
    let twice = [order("pool.fra", Up), order("pool.fra", Down)];
    assert_eq!(judged(&twice)[..2], [FORCED_DOWN; 2], "the last wins");
}

#[test]
fn an_override_may_be_for_the_clients_of_one_area() {
    use OverrideState::{Down, Drain, Up};
    let asia = |target, state| Override { area: Some("asia".into()), ..order(target, state) };
    let africa = |target, state| Override { area: Some("africa".into()), ..order(target, state) };
    let judged = |overrides: &[Override]| {
        let areas = Arc::from(["asia".into(), "africa".into()]);
        let judge = Judge::new(pools(), 2, areas, overrides, |_, _| Belief::Up);
        let verdict = |area| judge.table().word(PoolId(0), Family::V4, AreaId(area)).verdict();
        [0, 1, 2].map(verdict)
    };
    assert_eq!(judged(&[asia("region.europe", Drain)]), [UP, DRAINING, UP]);
    let both = [order("region.europe", Drain), asia("region.europe", Up)];
    assert_eq!(judged(&both), [DRAINING, Verdict::ForcedUp, DRAINING], "the area is narrower");
    let narrow = [order("pool.fra", Up), africa("region.europe", Down)];
    assert_eq!(judged(&narrow), [Verdict::ForcedUp; 3], "a pool is narrower than a region");
    assert_eq!(judged(&[africa("member.192.0.2.10", Down)]), [UP, UP, FORCED_DOWN]);
    let gone = Override { area: Some("atlantis".into()), ..order("region.europe", Drain) };
    assert_eq!(judged(&[gone]), [UP; 3], "an area that is not there is nobody");
}

#[test]
fn what_changes_for_everybody_is_told_once() {
    let areas: Arc<[Box<str>]> = Arc::from(["asia".into(), "africa".into()]);
    let judge = Judge::new(pools(), 2, areas, &[], |_, _| Belief::Up);
    let told = |belief: &dyn Fn(AreaId) -> Belief| {
        let belief = |check, area| if check == 0 { belief(area) } else { Belief::Up };
        let changes = judge.changed(0, belief).into_iter();
        let news = changes.filter(|change| !change.with_world);
        news.map(|change| (change.area.0, change.to.verdict())).collect::<Vec<_>>()
    };
    assert_eq!(told(&|_| Belief::Down), [(0, DOWN)]);
    let except_in_asia = |area| if area == AreaId(1) { Belief::Down } else { Belief::Up };
    assert_eq!(told(&except_in_asia), [(0, UP)], "for asia nothing changes");
    assert_eq!(told(&|_| Belief::Up), [(1, UP)]);
    assert_eq!(told(&except_in_asia), [(1, DOWN)]);
    assert_eq!(told(&|_| Belief::Down), [(0, DOWN)], "now the world sees what asia sees");
    assert_eq!(told(&|_| Belief::Down), []);
}
