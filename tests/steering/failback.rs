//! Pools that come back to their clients by and by, on a virtual clock.

use std::time::Duration;

use meridian::daemon::changes::store::{self, Kept};
use meridian::daemon::steward::Steward;
use meridian::health::table::Verdict;
use meridian::steer::failback::Way;

use crate::support::{Server, ask};
use crate::{region, region_of, server};

/// A server whose dials are turned as its clock goes.
struct Story {
    server: Server,
    steward: Steward,
    now: u64,
}

impl Story {
    fn of(records: &str) -> Self {
        let mut story = Self { server: server(records), steward: Steward::default(), now: 0 };
        story.at(0);
        story
    }

    /// Goes on to this second.
    fn at(&mut self, second: u64) {
        assert!(second >= self.now);
        self.now = second;
        self.server.now = Duration::from_secs(second);
        self.steward.turn(&self.server.snapshot(), self.server.now);
    }

    /// A region becomes this, now.
    fn region(&mut self, name: &str, verdict: Verdict) {
        self.server.region(name, verdict);
        self.at(self.now);
    }

    /// How many of Berlin's 256 client networks are answered from a region.
    fn clients_of(&mut self, name: &str) -> usize {
        let networks = (0..256).map(|n| format!("10.1.{n}.0/24"));
        networks.filter(|network| region(&mut self.server, network) == name).count()
    }

    fn ttl(&mut self) -> u32 {
        self.server.ask(&ask("www.example.org", "A").subnet("10.1.0.0/24")).answers[0].ttl
    }
}

const SHOP: &str = r#"
[record."www"]
policy   = "failover"
pools    = ["fra", "dub", "iad"]
ttl      = { min = "10s", max = "5m" }
failback = { after = "5m", ramp = "10m" }
"#;

#[test]
fn clients_of_a_region_that_was_down_wait_and_then_return_step_by_step() {
    let mut story = Story::of(SHOP);
    assert_eq!(story.clients_of("fra"), 256);
    story.at(100);
    story.region("fra", Verdict::Down);
    assert_eq!(story.clients_of("dub"), 256);
    story.at(200);
    story.region("fra", Verdict::Up);
    assert_eq!(story.clients_of("dub"), 256, "it has to serve for five minutes first");
    assert_eq!(story.ttl(), 300);
    story.at(480);
    assert_eq!(story.ttl(), 20, "no answer outlives the moment at which clients may return");
    story.at(500);
    let mut before = story.clients_of("fra");
    assert_eq!(before, 0);
    for minute in 1..=10 {
        story.at(500 + minute * 60);
        let back = story.clients_of("fra");
        let wanted = 256 * minute as usize / 10;
        assert!(back >= before && back.abs_diff(wanted) < 40, "{minute} min: {back}");
        assert_eq!(story.ttl(), if minute == 10 { 300 } else { 10 });
        before = back;
    }
    assert_eq!(before, 256);
}

#[test]
fn a_region_that_is_held_back_serves_when_all_others_are_out() {
    let mut story = Story::of(SHOP);
    story.region("fra", Verdict::Down);
    story.region("fra", Verdict::Up);
    assert_eq!(story.clients_of("dub"), 256);
    story.region("dub", Verdict::Down);
    assert_eq!(story.clients_of("iad"), 256);
    story.region("iad", Verdict::Down);
    assert_eq!(story.clients_of("fra"), 256);
}

#[test]
fn with_manual_failback_clients_return_when_an_operator_says_so() {
    let mut story = Story::of(
        r#"
[record."www"]
policy   = "nearest"
pools    = ["fra", "dub", "iad"]
failback = "manual"
[record."api"]
policy   = "nearest"
pools    = ["fra", "dub", "iad"]
"#,
    );
    story.region("fra", Verdict::Down);
    story.region("fra", Verdict::Up);
    story.at(1_000_000);
    assert_eq!(story.clients_of("dub"), 256);
    let api = story.server.ask(&ask("api.example.org", "A").subnet("10.1.0.0/24"));
    assert_eq!(region_of(&api), "fra", "another record did not ask for it");
    let snapshot = story.server.snapshot();
    let waiting = story.steward.returning(&snapshot, story.server.now);
    assert_eq!(waiting.iter().map(|r| (&*r.pool, r.way)).collect::<Vec<_>>(), [("fra", Way::Held)]);
    assert_eq!(story.steward.resume("fra", None, story.server.now), 1);
    story.at(1_000_001);
    assert_eq!(story.clients_of("fra"), 256);
}

#[test]
fn what_an_operator_drained_returns_when_he_releases_it() {
    let mut story = Story::of(
        r#"
[record."www"]
policy   = "failover"
pools    = ["fra", "dub"]
failback = "manual"
"#,
    );
    story.region("fra", Verdict::Draining);
    assert_eq!(story.clients_of("dub"), 256);
    story.at(60);
    story.region("fra", Verdict::Up);
    assert_eq!(story.clients_of("fra"), 256);
}

#[test]
fn a_reload_does_not_bring_clients_back_earlier() {
    let mut story = Story::of(SHOP);
    story.region("fra", Verdict::Down);
    story.region("fra", Verdict::Up);
    story.at(100);
    story.server.reload();
    story.at(100);
    assert_eq!(story.clients_of("dub"), 256);
    story.at(600);
    let back = story.clients_of("fra");
    assert!((88..168).contains(&back), "{back}");
}

/// What the process keeps in its files is all that the next one knows; its clock begins anew.
fn restarted(mut story: Story) -> Story {
    let folder = tempfile::tempdir().expect("a folder");
    let returned = story.steward.returned(&story.server.snapshot(), story.server.now);
    let kept = Kept { returned, ..Kept::default() };
    store::save(folder.path(), &kept).expect("written");
    let (kept, warnings) = store::load(folder.path());
    assert_eq!(warnings, Vec::<String>::new());
    story.server.reload();
    story.steward = Steward::remembering(kept.returned);
    story.now = 0;
    story.at(0);
    story
}

#[test]
fn a_restart_in_the_middle_of_a_return_goes_on_with_it() {
    let mut story = Story::of(SHOP);
    story.at(100);
    story.region("fra", Verdict::Down);
    story.at(200);
    story.region("fra", Verdict::Up);
    // Two of the five minutes in which nobody returns, and a new process.
    story.at(320);
    let mut story = restarted(story);
    assert_eq!(story.clients_of("dub"), 256, "clients still wait");
    story.at(179);
    assert_eq!(story.clients_of("dub"), 256);
    // A restart after every minute of the ten in which they return, and one for no time at all.
    story.at(180);
    let mut before = 0;
    for minute in 1..=10 {
        story.at(story.now + 60);
        let served = story.clients_of("fra");
        story = restarted(restarted(story));
        assert_eq!(story.clients_of("fra"), served, "minute {minute}: nobody moves by a restart");
        let wanted = 256 * minute as usize / 10;
        assert!(served > before && served.abs_diff(wanted) < 40, "{minute} min: {served}");
        before = served;
    }
    assert_eq!(before, 256);
    let kept = story.steward.returned(&story.server.snapshot(), story.server.now);
    assert_eq!(kept, [], "nothing is left to remember");
}

#[test]
fn a_word_that_an_operator_has_given_holds_over_a_restart() {
    let record = "[record.\"www\"]\npolicy = \"failover\"\npools = [\"fra\", \"dub\"]\n\
                  failback = { manual = true, ramp = \"10m\" }\n";
    let mut story = Story::of(record);
    story.region("fra", Verdict::Down);
    story.region("fra", Verdict::Up);
    story.at(1_000);
    let mut story = restarted(story);
    assert_eq!(story.clients_of("dub"), 256, "it waits for a word");
    assert_eq!(story.steward.resume("fra", None, story.server.now), 1);
    story.at(300);
    let half = story.clients_of("fra");
    assert!((88..168).contains(&half), "{half}");
    let mut story = restarted(story);
    assert_eq!(story.clients_of("fra"), half);
    assert_eq!(story.steward.resume("fra", None, story.server.now), 0, "it was given");
}
