//! Tests of what is let in.

use super::*;
use crate::seal::SigningKey;

const KEYS: [&str; 2] = ["web@192.0.2.1:443", "web@192.0.2.2:443"];

struct Sender {
    key: SigningKey,
    name: &'static str,
}

impl Sender {
    fn new(name: &'static str) -> Self {
        Self { key: SigningKey::generate().expect("a key"), name }
    }

    fn spec(&self) -> VantageSpec {
        let (name, group) = (self.name.into(), self.name.into());
        VantageSpec { name, key: Some(self.key.public()), group, area: None }
    }

    fn seal(&self, report: &Report) -> Vec<u8> {
        self.seal_octets(&report.encode().expect("a report"))
    }

    fn seal_octets(&self, octets: &[u8]) -> Vec<u8> {
        seal::seal(&self.key, Kind::Report, self.name, octets)
    }
}

fn report(boot: u64, seq: u64, votes: &[(&str, Vote)]) -> Report {
    let slot = |(key, belief): &(&str, Vote)| Slot {
        belief: *belief,
        age_ms: 100,
        ..Slot::unknown(check_id(key))
    };
    Report {
        boot,
        seq,
        set: 1,
        period_ms: 1000,
        wall_ms: 0,
        itself: SelfView::default(),
        slots: votes.iter().map(slot).collect(),
    }
}

fn second(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Probed every second with a second's timeout, and every `slow` milliseconds when down for long.
fn timing(slow: u64) -> Timing {
    let slow_interval = Duration::from_millis(slow);
    Timing { interval: second(1), slow_interval, timeout: second(1) }
}

#[test]
fn a_vote_of_what_is_seldom_probed_lasts_as_long_as_its_pauses() {
    let slow = timing(60_000);
    let oldest = |vote, lasting| slow.oldest(vote, second(lasting)).as_secs();
    // What is up is never probed seldom.
    assert_eq!([0, 80, 8000].map(|lasting| oldest(Vote::Up, lasting)), [6, 6, 6]);
    // Pauses are an eighth of the outage, and a minute at most.
    assert_eq!([0, 80, 8000].map(|lasting| oldest(Vote::Down, lasting)), [6, 33, 183]);
    assert_eq!(timing(1000).oldest(Vote::Down, second(8000)).as_secs(), 6);
}

#[test]
fn what_lies_long_down_and_is_seldom_probed_stays_voted_down_and_what_hangs_does_not() {
    let fra = Sender::new("fra");
    let mut intake = intake(&[&fra]);
    let told = |vote, age: u64, seq| {
        let mut report = report(1, seq, &[(KEYS[0], vote)]);
        report.slots[0].age_ms = u32::try_from(age * 1000).expect("short");
        report.slots[0].since_ms = 3_600_000;
        report
    };
    let mut counted = |vote, age, seq| {
        intake.accept("fra", &fra.seal(&told(vote, age, seq)), second(seq)).expect("let in");
        let mut ballot = Ballot::new(2);
        intake.vantages()[0].vote(&mut ballot, second(seq), |_| timing(60_000));
        ballot.vote(0)
    };
    assert_eq!(counted(Vote::Down, 66, 1), Vote::Down, "the next probe is due about now");
    assert_eq!(counted(Vote::Down, 200, 2), Vote::Unknown, "its probes hang");
    assert_eq!(counted(Vote::Up, 5, 3), Vote::Up);
    assert_eq!(counted(Vote::Up, 66, 4), Vote::Unknown, "what is up is probed each second");
}

fn intake(senders: &[&Sender]) -> Intake {
    let specs: Vec<_> = senders.iter().map(|sender| sender.spec()).collect();
    Intake::new(&specs, &KEYS, &HashMap::new(), Duration::ZERO)
}

fn votes(intake: &Intake, now: Duration) -> [Vote; 2] {
    let mut ballot = Ballot::new(2);
    let timeout = Duration::from_millis(1500);
    let timing = Timing { interval: second(2), timeout, ..timing(2000) };
    intake.vantages()[0].vote(&mut ballot, now, |_| timing);
    [ballot.vote(0), ballot.vote(1)]
}

#[test]
fn a_report_replaces_all_that_was_told_before() {
    let fra = Sender::new("fra");
    let mut intake = intake(&[&fra]);
    let both = report(1, 1, &[(KEYS[0], Vote::Up), (KEYS[1], Vote::Down)]);
    assert_eq!(intake.accept("fra", &fra.seal(&both), second(1)), Ok(0));
    assert_eq!(votes(&intake, second(1)), [Vote::Up, Vote::Down]);
    let one = report(1, 5, &[(KEYS[1], Vote::Up), ("web@elsewhere:1", Vote::Up)]);
    assert_eq!(intake.accept("fra", &fra.seal(&one), second(2)), Ok(0));
    assert_eq!(votes(&intake, second(2)), [Vote::Unknown, Vote::Up]);
    let vantage = &intake.vantages()[0];
    assert_eq!((vantage.accepted, vantage.missed), (2, 3));
    assert_eq!(vantage.heard.map(|heard| heard.foreign), Some(1));
}

#[test]
fn a_vote_counts_for_as_long_as_it_is_told_and_sampled_lately() {
    let fra = Sender::new("fra");
    let mut intake = intake(&[&fra]);
    let mut told = report(1, 1, &[(KEYS[0], Vote::Up), (KEYS[1], Vote::Up)]);
    told.slots[1].age_ms = 9_000;
    intake.accept("fra", &fra.seal(&told), second(10)).expect("let in");
    assert_eq!(votes(&intake, second(11)), [Vote::Up; 2]);
    // The second was sampled ten seconds ago: its prober is stuck.
    assert_eq!(votes(&intake, second(12)), [Vote::Up, Vote::Unknown]);
    assert_eq!(votes(&intake, Duration::from_millis(15_500))[0], Vote::Up);
    assert_eq!(votes(&intake, Duration::from_millis(15_501))[0], Vote::Unknown);
    // Whoever reports seldom is waited for.
    let mut seldom = report(1, 2, &[(KEYS[0], Vote::Up)]);
    seldom.period_ms = 10_000;
    intake.accept("fra", &fra.seal(&seldom), second(20)).expect("let in");
    assert_eq!(votes(&intake, second(49))[0], Vote::Up);
    assert_eq!(votes(&intake, second(51))[0], Vote::Unknown);
}

#[test]
fn nothing_is_let_in_twice_or_out_of_turn() {
    let fra = Sender::new("fra");
    let mut intake = intake(&[&fra]);
    let mut send = |boot, seq| {
        let envelope = fra.seal(&report(boot, seq, &[]));
        intake.accept("fra", &envelope, second(seq)).map_err(|refused| refused.why)
    };
    let (replayed, repeated) = (Err(Refusal::Replayed), Err(Refusal::Repeated));
    assert_eq!(send(5, 10), Ok(0));
    assert_eq!(send(5, 10), repeated);
    assert_eq!(send(5, 9), replayed);
    assert_eq!(send(4, 11), replayed);
    assert_eq!(send(6, 1), Ok(0));
    assert_eq!(send(5, 99), replayed);
    let newest = intake.newest();
    assert_eq!(newest[&Box::from("fra")], (6, 1));
    // After a restart of the node, too.
    let mut again = Intake::new(&[fra.spec()], &KEYS, &newest, Duration::ZERO);
    let old = again.accept("fra", &fra.seal(&report(6, 1, &[])), second(1));
    assert_eq!(old.map_err(|refused| refused.why), repeated);
    let older = again.accept("fra", &fra.seal(&report(5, 9, &[])), second(1));
    assert_eq!(older.map_err(|refused| refused.why), replayed);
}

#[test]
fn forgers_and_strangers_are_refused_counted_and_told_of_once() {
    let (fra, iad, eve) = (Sender::new("fra"), Sender::new("iad"), Sender::new("eve"));
    let mut intake = intake(&[&fra, &iad]);
    let refused = |refused: Result<usize, Refusing>| {
        let Err(Refusing { vantage, why, is_first }) = refused else { panic!("let in") };
        (vantage, why.label(), is_first)
    };
    let report = report(1, 1, &[(KEYS[0], Vote::Down)]);
    let stranger = eve.seal(&report);
    let forged = seal::seal(&eve.key, Kind::Report, "fra", &report.encode().expect("a report"));
    for (name, envelope, vantage, why) in [
        ("eve", &stranger, None, "unknown-signer"),
        ("fra", &forged, Some(0), "forged"),
        ("iad", &fra.seal(&report), Some(0), "misplaced"),
        ("fra", &fra.seal_octets(&[1, 9]), Some(0), "report-version"),
        ("fra", &fra.seal_octets(&[report::VERSION, 9]), Some(0), "malformed"),
        ("fra", &seal::seal(&fra.key, Kind::Bundle, "fra", &[]), None, "kind"),
        ("fra", &vec![1], None, "too-short"),
    ] {
        let now = second(1);
        assert_eq!(refused(intake.accept(name, envelope, now)), (vantage, why, true));
        assert_eq!(refused(intake.accept(name, envelope, now)), (vantage, why, false));
    }
    assert_eq!((intake.strangers().sum(), intake.vantages()[0].refused.sum()), (6, 8));
    assert_eq!(votes(&intake, second(1)), [Vote::Unknown; 2]);
}

#[test]
fn a_flood_is_cut_off_and_does_not_last() {
    let (fra, iad) = (Sender::new("fra"), Sender::new("iad"));
    let mut intake = intake(&[&fra, &iad]);
    let mut floods = 0;
    for seq in 1..=200 {
        let taken = intake.accept("fra", &fra.seal(&report(1, seq, &[])), second(1));
        floods += u64::from(taken.is_err_and(|refused| refused.why == Refusal::Flood));
    }
    assert_eq!(floods, 200 - BURST as u64);
    assert!(intake.accept("iad", &iad.seal(&report(1, 1, &[])), second(1)).is_ok());
    assert!(intake.accept("fra", &fra.seal(&report(1, 500, &[])), second(2)).is_ok());
}

#[test]
fn a_reload_keeps_what_was_told_by_name_and_key() {
    let (fra, other) = (Sender::new("fra"), Sender::new("fra"));
    let mut intake = intake(&[&fra]);
    let told = report(3, 7, &[(KEYS[0], Vote::Up), (KEYS[1], Vote::Down)]);
    intake.accept("fra", &fra.seal(&told), second(1)).expect("let in");
    let iad = Sender::new("iad");
    intake.rebuild(&[iad.spec(), fra.spec()], &[KEYS[1], "new@x:1"], second(2));
    let mut ballot = Ballot::new(2);
    assert!(intake.vantages()[1].vote(&mut ballot, second(2), |_| timing(2000)));
    assert_eq!([ballot.vote(0), ballot.vote(1)], [Vote::Down, Vote::Unknown]);
    assert!(!intake.vantages()[0].vote(&mut ballot, second(2), |_| timing(2000)));
    // With a new key it must say so anew, and still cannot go back in time.
    intake.rebuild(&[other.spec()], &KEYS, second(3));
    assert_eq!(votes(&intake, second(3)), [Vote::Unknown; 2]);
    let old = intake.accept("fra", &other.seal(&report(3, 7, &[])), second(3));
    assert_eq!(old.map_err(|refused| refused.why), Err(Refusal::Repeated));
    assert!(intake.accept("fra", &other.seal(&report(3, 8, &[])), second(3)).is_ok());
}
