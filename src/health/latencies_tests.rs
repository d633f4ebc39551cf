//! Tables of what vantages wait for regions, on a virtual clock.

use std::collections::HashMap;

use super::*;
use crate::health::council::{CheckRule, Panel, Rules};
use crate::health::intake::{Timing, VantageSpec};
use crate::health::report::{Report, SelfView, Slot, check_id};

const SECOND: Duration = Duration::from_secs(1);
const MS: u32 = 1000;

/// `web` asks two members of fra and one of iad, `ping` one of iad.
const CHECKS: [(&str, &str); 4] =
    [("web@fra-1", "fra"), ("web@fra-2", "fra"), ("web@iad-1", "iad"), ("ping@iad-1", "iad")];

fn survey() -> Survey {
    let berlin = "192.0.2.0".parse().map(|address| (address, 24)).expect("an address");
    let tokyo = "203.0.113.0".parse().map(|address| (address, 24)).expect("an address");
    Survey {
        networks: [("ber".into(), vec![berlin]), ("tyo".into(), vec![tokyo])].into(),
        regions: CHECKS.iter().map(|(key, region)| ((*key).into(), (*region).into())).collect(),
    }
}

fn council() -> Council {
    let vantage =
        |name: &str| VantageSpec { name: name.into(), key: None, group: name.into(), area: None };
    let check = |key: &str| CheckRule {
        key: key.into(),
        region: 0,
        timing: Timing { interval: 2 * SECOND, slow_interval: 2 * SECOND, timeout: SECOND },
        rules: Rules::default(),
    };
    let panel = Panel {
        vantages: ["ber", "tyo", "roam"].map(vantage).into(),
        own: None,
        floor: 1,
        quorum: None,
        checks: CHECKS.map(|(key, _)| check(key)).into(),
        composites: Vec::new(),
        areas: Vec::new(),
    };
    Council::new(panel, |_| None, &HashMap::new(), Duration::ZERO)
}

/// Milliseconds by check; 0 of one that is down.
fn tell(council: &mut Council, name: &str, at: Duration, millis: [u32; 4]) {
    let slot = |((key, _), millis): (&(&str, &str), u32)| Slot {
        belief: if millis == 0 { Vote::Down } else { Vote::Up },
        age_ms: 100,
        latency_us: [millis * MS; 3],
        ..Slot::unknown(check_id(key))
    };
    let slots = CHECKS.iter().zip(millis).map(slot).collect();
    let itself = SelfView::default();
    let seq = at.as_secs() + 1;
    let report = Report { boot: 1, seq, set: 1, period_ms: 1000, wall_ms: 0, itself, slots };
    council.intake_mut().accept_own(name, report, at);
}

fn told(sight: &BTreeMap<Way, u32>) -> Vec<String> {
    let line = |(((address, length), region), micros): (&Way, &u32)| {
        format!("{address}/{length} {region} {}", micros / MS)
    };
    sight.iter().map(line).collect()
}

#[test]
fn a_vantage_measures_the_nearest_member_of_each_region_with_one_monitor() {
    let mut council = council();
    tell(&mut council, "ber", SECOND, [12, 9, 95, 1]);
    tell(&mut council, "roam", SECOND, [1, 1, 1, 1]);
    let sight = survey().look(&council, "web", SECOND);
    assert_eq!(told(&sight), ["192.0.2.0/24 fra 9", "192.0.2.0/24 iad 95"]);
}

#[test]
fn what_is_down_or_silent_measures_nothing() {
    let mut council = council();
    tell(&mut council, "ber", SECOND, [12, 0, 0, 1]);
    tell(&mut council, "tyo", SECOND, [250, 260, 160, 1]);
    let of = |at| told(&survey().look(&council, "web", at));
    assert_eq!(
        of(SECOND),
        ["192.0.2.0/24 fra 12", "203.0.113.0/24 fra 250", "203.0.113.0/24 iad 160"]
    );
    assert_eq!(of(60 * SECOND), Vec::<String>::new());
}

#[test]
fn vantages_of_one_network_are_its_mean() {
    let mut survey = survey();
    let berlin = survey.networks["ber"].clone();
    survey.networks.insert("tyo".into(), berlin);
    let mut council = council();
    tell(&mut council, "ber", SECOND, [10, 0, 100, 0]);
    tell(&mut council, "tyo", SECOND, [20, 0, 0, 0]);
    let sight = survey.look(&council, "web", SECOND);
    assert_eq!(told(&sight), ["192.0.2.0/24 fra 15", "192.0.2.0/24 iad 100"]);
}

fn sight(fra: u32, iad: u32) -> BTreeMap<Way, u32> {
    let berlin = survey().networks["ber"][0];
    [((berlin, "fra".into()), fra * MS), ((berlin, "iad".into()), iad * MS)].into()
}

#[test]
fn a_table_changes_when_something_has_clearly_changed_and_not_often() {
    let (survey, mut table) = (survey(), Table::default());
    let mut see = |seconds: u32, fra, iad| table.see(sight(fra, iad), &survey, seconds * SECOND);
    assert!(!see(1, 10, 90), "the first to tell waits for the others");
    assert!(see(11, 10, 90));
    assert!(!see(12, 60, 90), "one that has just been made stands for a while");
    assert!(see(311, 60, 90));
    assert!(!see(700, 66, 85), "as on an ordinary day");
    assert!(!see(701, 62, 90), "3 ms are noise, however near");
    assert!(see(702, 60, 120));
}

#[test]
fn what_cannot_be_seen_just_now_is_remembered_and_what_is_gone_is_not() {
    let (mut survey, mut table) = (survey(), Table::default());
    table.see(sight(10, 90), &survey, SECOND);
    table.see(sight(10, 90), &survey, 11 * SECOND);
    assert!(!table.see(BTreeMap::new(), &survey, 400 * SECOND));
    assert_eq!(
        table.text("web").lines().skip(1).collect::<Vec<_>>(),
        ["network,region,milliseconds", "192.0.2.0/24,fra,10.000", "192.0.2.0/24,iad,90.000"]
    );
    survey.regions.retain(|_, region| &**region != "iad");
    assert!(table.see(BTreeMap::new(), &survey, 401 * SECOND));
    assert_eq!(table.text("web").lines().count(), 3, "{}", table.text("web"));
}

#[test]
fn a_restart_goes_on_with_the_table_that_is_there() {
    let survey = survey();
    let mut table = Table::resumed(sight(10, 90));
    assert!(!table.see(sight(11, 90), &survey, SECOND));
    assert!(!table.see(sight(11, 90), &survey, 20 * SECOND));
    assert!(table.see(sight(40, 90), &survey, 30 * SECOND));
}
