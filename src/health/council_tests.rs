//! Tests of what is concluded, from reports to beliefs.

use super::*;
use crate::health::report::{Report, SelfView, Slot, check_id};
use crate::health::says::Says;

const SECOND: Duration = Duration::from_secs(1);

/// Vantages of one group each, named `v0`, `v1`…; those after the `@` are near Asia.
fn panel(vantages: usize, in_asia: usize, checks: usize) -> Panel {
    let vantage = |at: usize| VantageSpec {
        name: format!("v{at}").into(),
        key: None,
        group: format!("g{}", at % 3).into(),
        area: (at >= vantages - in_asia).then(|| "asia".into()),
    };
    let check = |at: usize| CheckRule {
        key: key(at).into(),
        region: at as u16,
        timing: Timing {
            interval: 2 * SECOND,
            slow_interval: 2 * SECOND,
            timeout: Duration::from_millis(1500),
        },
        rules: Rules::default(),
    };
    Panel {
        vantages: (0..vantages).map(vantage).collect(),
        own: None,
        floor: 3,
        quorum: None,
        checks: (0..checks).map(check).collect(),
        composites: Vec::new(),
        areas: vec!["asia".into()],
    }
}

fn key(at: usize) -> String {
    format!("web@192.0.2.{at}:443")
}

fn council(panel: Panel) -> Council {
    Council::new(panel, |_| None, &HashMap::new(), Duration::ZERO)
}

/// `votes` of the vantage at `at`: `u`, `d` or `?` for each check.
fn told(votes: &str, now: Duration) -> Report {
    let slot = |(at, vote): (usize, char)| Slot {
        belief: match vote {
            'u' => Vote::Up,
            'd' => Vote::Down,
            _ => Vote::Unknown,
        },
        reason: (vote == 'd').then_some(Reason::Refused),
        age_ms: 10,
        ..Slot::unknown(check_id(&key(at)))
    };
    Report {
        boot: 1,
        seq: now.as_millis() as u64,
        set: 1,
        period_ms: 1000,
        wall_ms: 0,
        itself: SelfView::default(),
        slots: votes.chars().enumerate().map(slot).collect(),
    }
}

/// Each vantage tells its votes (`-` is silent); then the council sits.
fn hear(council: &mut Council, votes: &[&str], now: Duration) {
    for (at, votes) in votes.iter().enumerate().filter(|(_, votes)| **votes != "-") {
        council.intake_mut().accept_own(&format!("v{at}"), told(votes, now), now);
    }
    council.deliberate(now);
}

fn world(council: &Council) -> String {
    letters(&council.rulings()[0])
}

fn asia(council: &Council) -> String {
    letters(&council.rulings()[1])
}

fn letters(rulings: &[Ruling]) -> String {
    let letter = |ruling: &Ruling| match ruling.belief {
        Belief::Unknown => '?',
        Belief::Up => 'u',
        Belief::Degraded => 's',
        Belief::Down => 'd',
        Belief::Draining => 'r',
        Belief::Maintenance => 'm',
    };
    rulings.iter().map(letter).collect()
}

#[test]
fn votes_become_beliefs_with_reasons() {
    let mut council = council(panel(3, 0, 3));
    hear(&mut council, &["udu", "udu", "uud"], SECOND);
    assert_eq!(world(&council), "usu");
    hear(&mut council, &["udu", "udu", "udu"], 2 * SECOND);
    assert_eq!(world(&council), "udu");
    let ruling = council.rulings()[0][1];
    assert_eq!(ruling.describe(), "down for 3 of 3 vantages: connection refused");
    assert_eq!(ruling.since, 2 * SECOND);
    assert_eq!(council.held(), 0);
}

#[test]
fn nobody_decides_before_all_have_had_time_to_vote() {
    let mut council = council(panel(6, 0, 1));
    // The first three are all broken.
    hear(&mut council, &["d", "d", "d", "-", "-", "-"], SECOND);
    assert_eq!((world(&council).as_str(), council.held()), ("?", 1));
    hear(&mut council, &["d", "d", "d", "u", "u", "u"], 2 * SECOND);
    assert_eq!((world(&council).as_str(), council.held()), ("s", 0));
}

#[test]
fn those_who_never_come_are_waited_for_in_vain_for_a_while_only() {
    let mut council = council(panel(6, 0, 1));
    for second in 1..=5 {
        hear(&mut council, &["d", "d", "d"], second * SECOND);
        assert_eq!(world(&council), "?");
    }
    hear(&mut council, &["d", "d", "d"], SETTLE);
    assert_eq!(world(&council), "d");
}

#[test]
fn alone_a_node_believes_what_it_believed() {
    let remembered = |key: &str| {
        let belief = if key == self::key(0) { Belief::Up } else { Belief::Down };
        Some((belief, 60 * SECOND))
    };
    let mut council = Council::new(panel(5, 0, 2), remembered, &HashMap::new(), Duration::ZERO);
    for second in 0..600 {
        council.deliberate(second * SECOND);
        assert_eq!((world(&council).as_str(), council.held()), ("ud", 2));
    }
    // Two are not enough, three are.
    hear(&mut council, &["du", "du", "-", "-", "-"], 600 * SECOND);
    assert_eq!((world(&council).as_str(), council.held()), ("ud", 2));
    let text = council.rulings()[0][0].describe();
    assert_eq!(
        text,
        "up, held: 2 of 3 voters it takes: connection refused, as remembered from before the start"
    );
    hear(&mut council, &["du", "du", "du", "-", "-"], 601 * SECOND);
    assert_eq!((world(&council).as_str(), council.held()), ("du", 0));
    // All fall silent: what was seen last stays.
    council.deliberate(700 * SECOND);
    assert_eq!((world(&council).as_str(), council.held()), ("du", 2));
}

#[test]
fn an_area_with_vantages_enough_sees_for_itself() {
    let mut council = council(panel(9, 3, 2));
    let votes = ["uu", "uu", "uu", "uu", "uu", "uu", "du", "du", "du"];
    hear(&mut council, &votes, SECOND);
    assert_eq!((world(&council).as_str(), asia(&council).as_str()), ("uu", "du"));
    // One of the three goes silent, so Asia sees what the world sees.
    for second in 2..10 {
        hear(&mut council, &[&votes[..8], &["-"]].concat(), second * SECOND);
    }
    assert_eq!((world(&council).as_str(), asia(&council).as_str()), ("uu", "uu"));
    assert!(!council.rulings()[1][0].is_own);
}

#[test]
fn a_contradicted_vantage_is_named_with_who_contradicts_it() {
    let mut council = council(panel(4, 0, 6));
    hear(&mut council, &["uuuuuu", "dddddd", "uuuuuu", "uuuuuu"], SECOND);
    assert_eq!(world(&council), "?????? ".trim());
    hear(&mut council, &["uuuuuu", "dddddd", "uuuuuu", "uuuuuu"], 7 * SECOND);
    assert_eq!(world(&council), "uuuuuu");
    let vantages = council.intake().vantages();
    let why = vantages[1].suspicion.expect("a suspicion");
    let text = why.describe(|place| &vantages[place].spec.name);
    assert_eq!(text, "it fails 6 of 6 checks, and v0 reaches them");
    assert!(vantages[0].suspicion.is_none());
}

#[test]
fn a_quorum_of_ones_own_replaces_the_thresholds() {
    let mut panel = panel(5, 0, 2);
    panel.checks[1].rules.quorum = Some(Quorum { need: 1, of: 5 });
    panel.quorum = Some(Quorum { need: 3, of: 5 });
    let mut council = council(panel);
    hear(&mut council, &["uu", "ud", "dd", "dd", "dd"], SECOND);
    assert_eq!(world(&council), "du");
    hear(&mut council, &["uu", "uu", "uu", "dd", "dd"], 2 * SECOND);
    assert_eq!(world(&council), "uu");
}

#[test]
fn a_floor_of_ones_own_replaces_that_of_all() {
    let mut panel = panel(5, 0, 3);
    panel.checks[1].rules.voters = Some(2);
    panel.checks[2].rules.voters = Some(5);
    let mut council = council(panel);
    hear(&mut council, &["ddd", "ddd"], SETTLE);
    assert_eq!((world(&council).as_str(), council.held()), ("?d?", 2));
    hear(&mut council, &["ddd", "ddd", "ddd", "ddd"], 2 * SETTLE);
    assert_eq!((world(&council).as_str(), council.held()), ("dd?", 1));
    hear(&mut council, &["ddd", "ddd", "ddd", "ddd", "ddd"], 3 * SETTLE);
    assert_eq!((world(&council).as_str(), council.held()), ("ddd", 0));
}

/// Two checks, one composite that needs both, and one that needs that or a third check.
fn composed(vantages: usize, in_asia: usize) -> Panel {
    let composite = |name: &str, need, of| CompositeRule {
        key: format!("{name}@192.0.2.1").into(),
        parts: Composite { need, of },
    };
    let composites = vec![composite("both", 2, vec![0, 1]), composite("any", 1, vec![3, 2])];
    Panel { composites, ..panel(vantages, in_asia, 3) }
}

#[test]
fn composites_follow_from_what_is_concluded_of_their_parts() {
    let mut council = council(composed(3, 0));
    hear(&mut council, &["uuu", "uuu", "uuu"], SECOND);
    assert_eq!(world(&council), "uuuuu");
    // Each vantage misses another check: nobody sees all of them, and nothing is down.
    hear(&mut council, &["duu", "udu", "uud"], 2 * SECOND);
    assert_eq!(world(&council), "uuuuu");
    hear(&mut council, &["duu", "duu", "duu"], 3 * SECOND);
    assert_eq!(world(&council), "duudu");
    assert_eq!(
        council.why(0, 3),
        "down: 1 of 2 parts serve, 2 needed; web@192.0.2.0:443 down for 3 of 3 vantages: \
         connection refused"
    );
    assert_eq!(council.rulings()[0][3].since, 3 * SECOND);
    assert_eq!(council.held(), 0);
    hear(&mut council, &["dud", "dud", "dud"], 4 * SECOND);
    assert_eq!(world(&council), "duddd");
    hear(&mut council, &["uud", "uuu", "duu"], 5 * SECOND);
    assert_eq!(world(&council), "uuuuu", "degraded is not up, and two thirds are");
}

#[test]
fn a_part_that_nobody_votes_on_takes_no_composite_out() {
    let mut council = council(composed(3, 0));
    hear(&mut council, &["u?d", "u?d", "u?d"], SECOND);
    assert_eq!(world(&council), "u?d??");
    let held = council.held();
    assert_eq!(held, 1, "held checks are counted, what is made of them is not");
}

#[test]
fn an_area_concludes_of_composites_for_itself() {
    let mut council = council(composed(9, 3));
    let votes = ["uuu"; 6].iter().chain(&["udu"; 3]).copied().collect::<Vec<_>>();
    hear(&mut council, &votes, SECOND);
    assert_eq!((world(&council).as_str(), asia(&council).as_str()), ("uuuuu", "ududu"));
}

#[test]
fn a_reload_keeps_what_is_concluded_of_composites() {
    let mut council = council(composed(3, 0));
    hear(&mut council, &["duu", "duu", "duu"], SECOND);
    assert_eq!(world(&council), "duudu");
    let mut next = composed(3, 0);
    next.checks.push(CheckRule { key: key(3).into(), ..next.checks[0].clone() });
    // Behind four checks composites stand one place farther on.
    next.composites[1].parts.of = vec![4, 2];
    council.rebuild(next, |_| None, 2 * SECOND);
    assert_eq!(world(&council), "duu?du");
    assert_eq!(council.rulings()[0][4].since, SECOND);
}

#[test]
fn a_quorum_is_scaled_to_the_vantages_there_are() {
    let quorum = Quorum { need: 3, of: 5 };
    assert_eq!([1, 2, 5, 9, 10].map(|of| quorum.need_of(of)), [1, 2, 3, 6, 6]);
}

#[test]
fn what_a_member_says_of_itself_never_makes_it_better() {
    let says = |agent| Says { agent: Some(agent), ..Says::default() };
    let weight = |weight| Says { weight: Some(weight), ..Says::default() };
    for (says, up, down) in [
        (Says::default(), Belief::Up, Belief::Down),
        (says(AgentWord::Up), Belief::Up, Belief::Down),
        (says(AgentWord::Down), Belief::Down, Belief::Down),
        (says(AgentWord::Drain), Belief::Draining, Belief::Down),
        (says(AgentWord::Maint), Belief::Maintenance, Belief::Maintenance),
        (weight(100), Belief::Up, Belief::Down),
        (weight(30), Belief::Degraded, Belief::Down),
        (weight(0), Belief::Draining, Belief::Down),
        (Says { load: Some(1000), ..Says::default() }, Belief::Up, Belief::Down),
        (Says { load: Some(1001), ..Says::default() }, Belief::Degraded, Belief::Down),
        (Says { errors: Some(100), ..Says::default() }, Belief::Degraded, Belief::Down),
    ] {
        assert_eq!((says.temper(Belief::Up), says.temper(Belief::Down)), (up, down), "{says:?}");
    }
}

#[test]
fn a_certificate_that_ends_soon_is_a_sign_of_trouble_where_it_was_asked_for() {
    let mut panel = panel(3, 0, 2);
    panel.checks[0].rules.certificate_days = Some(14);
    let mut council = council(panel);
    let mut tell = |days: [i16; 3], now: Duration| {
        for (at, days) in days.into_iter().enumerate() {
            let mut told = told("uu", now);
            told.slots.iter_mut().for_each(|slot| slot.certificate_days = Some(days));
            council.intake_mut().accept_own(&format!("v{at}"), told, now);
        }
        council.deliberate(now);
        (world(&council), council.why(0, 0))
    };
    let up = "up, reached by 3 of 3 vantages".to_owned();
    assert_eq!(tell([14, 14, 14], SECOND), ("uu".to_owned(), up.clone()));
    assert_eq!(tell([3, 14, 14], 2 * SECOND), ("uu".to_owned(), up.clone()), "one voice is none");
    let (letters, why) = tell([13, 13, 14], 3 * SECOND);
    assert_eq!(letters, "su");
    assert_eq!(why, up + "; its certificate ends in 13 days");
    assert_eq!(
        tell([0, 0, 0], 4 * SECOND).1.split("; ").last(),
        Some("its certificate ends within a day")
    );
}

#[test]
fn most_of_those_who_heard_a_member_speak_for_it() {
    let mut council = council(panel(3, 0, 1));
    for (at, agent) in [AgentWord::Up, AgentWord::Drain, AgentWord::Drain].iter().enumerate() {
        let mut told = told("u", SECOND);
        told.slots[0].agent = Some(*agent);
        told.slots[0].weight = Some(80 + at as u8);
        council.intake_mut().accept_own(&format!("v{at}"), told, SECOND);
    }
    council.deliberate(SECOND);
    let ruling = council.rulings()[0][0];
    assert_eq!((ruling.belief, ruling.by_votes), (Belief::Draining, Belief::Up));
    assert_eq!(
        ruling.describe(),
        "up, reached by 3 of 3 vantages; it says drain, it wants 81 % of its clients"
    );
    // It says no more of itself, and is what the votes say.
    hear(&mut council, &["u", "u", "u"], 2 * SECOND);
    assert_eq!(world(&council), "u");
}

#[test]
fn a_reload_keeps_votes_and_conclusions() {
    let mut council = council(panel(3, 0, 2));
    hear(&mut council, &["ud", "ud", "ud"], SECOND);
    let mut next = panel(4, 0, 3);
    next.checks.swap(0, 1);
    council.rebuild(next, |_| None, 2 * SECOND);
    assert_eq!(world(&council), "du?");
    council.deliberate(2 * SECOND);
    assert_eq!(world(&council), "du?");
    assert_eq!(council.rulings()[0][0].describe(), "down for 3 of 3 vantages: connection refused");
    // A check that is new waits for all again.
    hear(&mut council, &["udd", "udd", "udd", "-"], 3 * SECOND);
    assert_eq!(world(&council), "du?");
}

#[test]
fn changing_votes_of_two_minds_are_a_change_in_sight() {
    let mut council = council(panel(3, 0, 1));
    hear(&mut council, &["u", "u", "u"], SECOND);
    assert!(!council.rulings()[0][0].is_stirred(SECOND));
    hear(&mut council, &["d", "u", "u"], 2 * SECOND);
    assert!(council.rulings()[0][0].is_stirred(2 * SECOND));
    hear(&mut council, &["d", "u", "u"], 13 * SECOND);
    assert!(!council.rulings()[0][0].is_stirred(13 * SECOND));
}
