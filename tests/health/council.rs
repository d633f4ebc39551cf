//! A day of a node among vantages, on a virtual clock: what it holds does not grow, and what it
//! concludes stays right.

use std::collections::HashMap;
use std::time::Duration;

use meridian::health::council::{CheckRule, Council, Panel, Rules};
use meridian::health::intake::{Timing, VantageSpec};
use meridian::health::report::{Report, SelfView, Slot, Vote, check_id};
use meridian::health::state::Belief;
use meridian::seal::{Kind, SigningKey, seal};

use crate::chance::Chance;

const VANTAGES: usize = 9;
const CHECKS: usize = 8;
const SECOND: Duration = Duration::from_secs(1);

fn key(check: usize) -> String {
    format!("web@192.0.2.{check}:443")
}

fn panel(keys: &[SigningKey]) -> Panel {
    let vantage = |(at, key): (usize, &SigningKey)| VantageSpec {
        name: format!("v{at}").into(),
        key: Some(key.public()),
        group: format!("g{}", at / 3).into(),
        area: (at >= 6).then(|| "asia".into()),
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
        vantages: keys.iter().enumerate().map(vantage).collect(),
        own: None,
        floor: 3,
        quorum: None,
        checks: (0..CHECKS).map(check).collect(),
        composites: Vec::new(),
        areas: vec!["asia".into()],
    }
}

/// What a vantage tells of regions of which `down` are down.
fn report(boot: u64, seq: u64, down: &[bool; CHECKS], chance: &mut Chance) -> Report {
    let slot = |(at, down): (usize, &bool)| Slot {
        belief: if *down || chance.below(50) == 0 { Vote::Down } else { Vote::Up },
        age_ms: chance.below(2000) as u32,
        since_ms: seq * 1000,
        ..Slot::unknown(check_id(&key(at)))
    };
    Report {
        boot,
        seq,
        set: 1,
        period_ms: 1000,
        wall_ms: seq * 1000,
        itself: SelfView { canaries: 2, canaries_ok: 2, lag_ms: 3 },
        slots: down.iter().enumerate().map(slot).collect(),
    }
}

/// What the council holds, as text.
fn held(council: &Council) -> usize {
    format!("{council:?}").len()
}

#[test]
fn a_day_among_vantages_leaves_nothing_behind_and_takes_nothing_out_wrongly() {
    let mut chance = Chance::seeded("MERIDIAN_SEED", 24);
    let keys: Vec<SigningKey> =
        (0..VANTAGES).map(|_| SigningKey::generate().expect("a key")).collect();
    let mut council = Council::new(panel(&keys), |_| None, &HashMap::new(), Duration::ZERO);
    let mut down = [false; CHECKS];
    let mut since = [0u64; CHECKS];
    let mut boots = [1u64; VANTAGES];
    let mut after_an_hour = 0;
    for second in 1..=86_400u64 {
        let now = Duration::from_secs(second);
        // A region goes or comes back about every ten minutes, a vantage starts anew every hour.
        if chance.below(600) == 0 {
            let region = chance.below(CHECKS);
            (down[region], since[region]) = (!down[region], second);
        }
        if chance.below(3600) == 0 {
            boots[chance.below(VANTAGES)] += 1;
        }
        for (vantage, boot) in boots.iter().enumerate() {
            // One in fifty reports is lost on the way.
            if chance.below(50) > 0 {
                let told = report(*boot, second, &down, &mut chance);
                council.intake_mut().accept_own(&format!("v{vantage}"), told, now);
            }
        }
        if second % 100 == 0 {
            // Somebody tries: names nobody knows, another's name, octets of any kind.
            let eve = format!("eve-{second}");
            let octets = report(1, second, &down, &mut chance).encode().expect("a report");
            let forged = seal(&keys[0], Kind::Report, "v1", &octets);
            let stranger = seal(&keys[0], Kind::Report, &eve, &octets);
            for (name, envelope) in [("v1", &forged), (&*eve, &stranger), (&*eve, &octets)] {
                assert!(council.intake_mut().accept(name, envelope, now).is_err());
            }
        }
        if second % 3600 == 0 {
            council.rebuild(panel(&keys), |_| None, now);
        }
        council.deliberate(now);
        for region in 0..CHECKS {
            let is_settled = second > 10 && second - since[region] > 2;
            let belief = council.rulings()[0][region].belief;
            if is_settled {
                let wrong = (belief == Belief::Down) != down[region];
                assert!(!wrong, "region {region} at {second} s: {belief:?}");
            }
        }
        if second == 3600 {
            after_an_hour = held(&council);
        }
    }
    let after_a_day = held(&council);
    // Numbers grow by digits, nothing else.
    assert!(after_a_day < after_an_hour + after_an_hour / 10, "{after_an_hour} -> {after_a_day}");
    assert_eq!(council.held(), 0);
    let vantages = council.intake().vantages();
    assert!(vantages.iter().all(|vantage| vantage.missed > 0 && vantage.accepted > 80_000));
    assert!(council.intake().strangers().sum() > 1_000);
}

#[test]
fn a_hundred_vantages_of_a_thousand_checks_are_heard_and_judged() {
    const MANY: usize = 100;
    const TARGETS: usize = 1_000;
    let mut chance = Chance::seeded("MERIDIAN_SEED", 100);
    let keys: Vec<SigningKey> = (0..MANY).map(|_| SigningKey::generate().expect("a key")).collect();
    let mut panel = panel(&keys);
    let check = |at: usize| CheckRule {
        key: key(at).into(),
        region: at as u16 / 100,
        ..panel.checks[0].clone()
    };
    panel.checks = (0..TARGETS).map(check).collect();
    let mut council = Council::new(panel, |_| None, &HashMap::new(), Duration::ZERO);
    let ids: Vec<u64> = (0..TARGETS).map(|at| check_id(&key(at))).collect();
    let slot = |at: usize, down: bool| Slot {
        belief: if down { Vote::Down } else { Vote::Up },
        age_ms: 700,
        since_ms: 123_456,
        latency_us: [1_200, 2_400, 9_000],
        ..Slot::unknown(ids[at])
    };
    let envelopes: Vec<Vec<u8>> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            // One target in ten is down; and every probe in fifty fails by chance.
            let slots = (0..TARGETS)
                .map(|check| slot(check, check % 10 == 0 || chance.below(50) == 0))
                .collect();
            let told =
                Report { slots, ..report(1, 1, &[false; CHECKS], &mut Chance::seeded("", 1)) };
            seal(key, Kind::Report, &format!("v{at}"), &told.encode().expect("a report"))
        })
        .collect();
    let begun = std::time::Instant::now();
    for (at, envelope) in envelopes.iter().enumerate() {
        assert_eq!(council.intake_mut().accept(&format!("v{at}"), envelope, SECOND), Ok(at));
    }
    let taken = begun.elapsed();
    let begun = std::time::Instant::now();
    for sitting in 0..5 {
        council.deliberate(SECOND + sitting * SECOND / 5);
    }
    let judged = begun.elapsed();
    let octets = envelopes[0].len();
    println!("100 reports of {octets} octets: {taken:?} to take in, {judged:?} for five sittings");
    let down = |at: usize| council.rulings()[0][at].belief == Belief::Down;
    assert!((0..TARGETS).all(|at| down(at) == (at % 10 == 0)));
}
