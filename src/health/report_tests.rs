//! Tests of what a vantage tells.

use super::*;
use crate::health::sample::TlsFault;

fn slot(key: &str) -> Slot {
    Slot {
        belief: Vote::Down,
        streak: 3,
        since_ms: 61_000,
        age_ms: 250,
        latency_us: [900, 1_200, 4_000],
        reason: Some(Reason::Tls(TlsFault::Expired)),
        certificate_days: Some(-2),
        load: Some(812),
        errors: Some(1000),
        weight: Some(75),
        agent: Some(AgentWord::Drain),
        ..Slot::unknown(check_id(key))
    }
}

fn report() -> Report {
    Report {
        boot: 7,
        seq: 1_000_000,
        set: 3,
        period_ms: 1000,
        wall_ms: 1_790_000_000_000,
        itself: SelfView { canaries: 3, canaries_ok: 2, lag_ms: 4 },
        slots: vec![slot("web@192.0.2.1:443"), Slot::unknown(check_id("web@[2001:db8::1]:443"))],
    }
}

fn changed(change: impl FnOnce(&mut Report)) -> Report {
    let mut report = report();
    change(&mut report);
    report
}

#[test]
fn what_is_told_is_understood() {
    let report = report();
    let octets = report.encode().expect("it can be sent");
    assert_eq!(octets[0], VERSION);
    assert_eq!(Report::decode(&octets), Ok(report));
}

#[test]
fn two_hundred_checks_take_some_six_kilobytes() {
    let slots = (0..200).map(|at| slot(&format!("web@192.0.2.{at}:443"))).collect();
    let octets = Report { slots, ..report() }.encode().expect("it can be sent");
    assert!(octets.len() < 8_000, "{} octets", octets.len());
}

#[test]
fn the_longest_report_may_be_sent() {
    let slots = (0..MAX_SLOTS).map(|at| slot(&at.to_string())).collect();
    let octets = Report { slots, ..report() }.encode().expect("it can be sent");
    assert!(Report::decode(&octets).is_ok());
}

#[test]
fn nothing_that_cannot_be_is_understood() {
    let absurd: [fn(&mut Report); 6] = [
        |report| report.period_ms = 0,
        |report| report.period_ms = MAX_PERIOD_MS + 1,
        |report| report.itself.canaries_ok = 4,
        |report| report.slots[0].latency_us = [2, 1, 3],
        |report| report.slots[0].since_ms = u64::MAX,
        |report| report.slots[0].errors = Some(1001),
    ];
    for change in absurd {
        let report = changed(change);
        assert_eq!(report.encode(), Err(Fault::Absurd));
        assert_eq!(Report::decode(&unchecked(&report)), Err(Fault::Absurd), "{report:?}");
    }
    let twice = changed(|report| report.slots[1].check = report.slots[0].check);
    assert_eq!(Report::decode(&unchecked(&twice)), Err(Fault::Twice));
    let long = (0..=MAX_SLOTS as u64).map(Slot::unknown).collect();
    let long = changed(|report| report.slots = long);
    assert_eq!(Report::decode(&unchecked(&long)), Err(Fault::TooLong));
    assert_eq!(Report::decode(&vec![VERSION; MAX_OCTETS + 1]), Err(Fault::TooLong));
}

#[test]
fn other_octets_are_refused_for_what_they_are() {
    let octets = report().encode().expect("it can be sent");
    assert_eq!(Report::decode(&[]), Err(Fault::Malformed));
    for end in 1..octets.len() {
        assert_eq!(Report::decode(&octets[..end]), Err(Fault::Malformed), "{end} octets");
    }
    let longer: Vec<u8> = octets.iter().copied().chain([0]).collect();
    assert_eq!(Report::decode(&longer), Err(Fault::Trailing));
    let newer: Vec<u8> = [VERSION + 1].into_iter().chain(octets).collect();
    assert_eq!(Report::decode(&newer), Err(Fault::Version));
}

#[test]
fn a_reason_of_a_newer_version_is_left_out() {
    let known = changed(|report| report.slots[0].reason = Some(Reason::Status(503)));
    let octets = unchecked(&known);
    // The reason's own octets: its length, its number, 503 as a varint.
    let number = Reason::Status(503);
    let own = postcard::to_allocvec(&number).expect("octets");
    let at = octets.windows(own.len()).position(|part| part == own).expect("the reason");
    let mut newer = octets.clone();
    newer[at] = 100;
    let unknown = changed(|report| report.slots[0].reason = None);
    assert_eq!(Report::decode(&newer), Ok(unknown));
}

#[test]
fn checks_are_called_the_same_everywhere() {
    // Test vectors of the FNV specification (draft-eastlake-fnv, appendix C).
    assert_eq!(check_id(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(check_id("a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(check_id("foobar"), 0x8594_4171_f739_67e8);
}

/// The octets of a report, sound or not.
fn unchecked(report: &Report) -> Vec<u8> {
    postcard::to_extend(report, vec![VERSION]).expect("octets")
}
