//! Changes over time, told second by second: canaries, switches, planned drains, and the limits on
//! all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian::daemon::changes::{
    At, Conductor, Due, Moment, Notice, Orderer, Planned, Refused, Stand, Turn,
};
use meridian::health::overrides::{Override, OverrideState, OverrideTarget};
use meridian::health::table::{PoolWord, Verdict};
use meridian::region::{AreaId, Family, PoolId};
use meridian::steer::safety::SafetySpec;
use meridian::steer::stages::{Event, Order, Phase};
use meridian::wire::name::Name;

use crate::support::{self, Server};
use crate::{region_of, server};

/// When the stories begin, for people: 2026-12-22T05:00:00Z.
const WALL: u64 = 1_798_002_000;

/// A server with its conductor, and a clock that a story moves.
struct Story {
    server: Server,
    conductor: Conductor,
    now: u64,
}

impl Story {
    /// Records (TOML) with nothing bound.
    fn of(records: &str) -> Self {
        Self::bound(records, SafetySpec::default())
    }

    fn bound(records: &str, safety: SafetySpec) -> Self {
        let server = server(records);
        let mut conductor = Conductor::default();
        assert_eq!(conductor.meet(&server.publisher.current(), safety), []);
        let mut story = Self { server, conductor, now: 0 };
        story.tick();
        story
    }

    fn at(&self) -> Moment {
        Moment { now: Duration::from_secs(self.now), wall: WALL + self.now }
    }

    fn tick(&mut self) -> Due {
        let at = self.at();
        let snapshot = self.server.publisher.current();
        self.conductor.look(&snapshot, at.now);
        self.conductor.tick(&snapshot, at)
    }

    /// Lets `seconds` go by, one at a time; what the log would say.
    fn wait(&mut self, seconds: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        for _ in 0..seconds {
            self.now += 1;
            notices.extend(self.tick().notices);
        }
        notices
    }

    fn order(&mut self, order: Order) -> Result<Stand, Refused> {
        let (at, orderer) = (self.at(), ops());
        let snapshot = self.server.publisher.current();
        self.conductor.order(&snapshot, &www(), order, &orderer, at)
    }

    fn switch(&mut self, turn: Turn, force: bool) -> Result<Stand, Refused> {
        let (at, orderer) = (self.at(), Orderer { force, ..ops() });
        let snapshot = self.server.publisher.current();
        self.conductor.switch(&snapshot, &www(), turn, &orderer, at)
    }

    fn drain(&mut self, target: &str, force: bool) -> Result<bool, Refused> {
        let (order, now) = (drain(target), self.at().now);
        let snapshot = self.server.publisher.current();
        self.conductor.permit_override(&snapshot, &order, force, now)
    }

    /// The clients, of 2000 networks, whom `www` sends to a region.
    fn clients_of(&mut self, region: &str) -> BTreeSet<u32> {
        let all = 0..2000;
        all.filter(|client| self.region_for(*client) == region).collect()
    }

    fn region_for(&mut self, client: u32) -> &'static str {
        let network = format!("20.{}.{}.0/24", client / 256, client % 256);
        let ask = support::ask("www.example.org", "A").subnet(&network);
        region_of(&self.server.ask(&ask))
    }

    /// Gives answers of `www` to this many clients.
    fn answer(&mut self, clients: u32) {
        (0..clients).for_each(|client| _ = self.region_for(client));
    }

    fn ttl(&mut self) -> u32 {
        let message = self.server.ask(&support::ask("www.example.org", "A"));
        message.answers[0].ttl
    }
}

fn www() -> Name {
    "www.example.org.".parse().expect("a name")
}

fn ops() -> Orderer {
    Orderer { by: "ops".to_owned(), reason: "release 7".to_owned(), force: false }
}

fn drain(target: &str) -> Override {
    Override {
        target: target.parse().expect("a target"),
        area: None,
        state: OverrideState::Drain,
        reason: "kernel".to_owned(),
        by: "ops".to_owned(),
        until: None,
    }
}

fn stepped(notices: &[Notice]) -> Vec<u16> {
    let share = |notice: &Notice| match notice {
        Notice::Canary(_, Event::Stepped { share, .. }) => Some(*share),
        _ => None,
    };
    notices.iter().filter_map(share).collect()
}

const CANARY: &str = r#"
[record."www"]
policy = "failover"
pools  = ["fra", "dub"]
canary = { pool = "dub", steps = ["5%", "25%", "100%"], every = "10m" }
"#;

#[test]
fn a_canary_gets_its_share_of_clients_and_nobody_goes_back() {
    let mut story = Story::of(CANARY);
    assert_eq!(story.clients_of("dub").len(), 0, "a canary waits until it is told");
    story.order(Order::Start).expect("it starts");
    assert_eq!(stepped(&story.wait(1)), [500]);
    let few = story.clients_of("dub");
    // Three standard errors of a share of 5 % of 2000.
    assert!((71..=129).contains(&few.len()), "{}", few.len());
    assert_eq!(stepped(&story.wait(600)), [2500]);
    let more = story.clients_of("dub");
    assert!((442..=558).contains(&more.len()), "{}", more.len());
    assert!(few.is_subset(&more), "who was in the canary stays in it");
    assert_eq!(stepped(&story.wait(600)), [10_000]);
    assert_eq!(story.clients_of("dub").len(), 2000);
    let notices = story.wait(600);
    assert_eq!(notices, [Notice::Canary(www(), Event::Done { share: 10_000 })]);
}

#[test]
fn a_canary_that_falls_ill_gives_all_clients_back_within_a_second() {
    let mut story = Story::of(CANARY);
    story.order(Order::Start).expect("it starts");
    story.wait(700);
    assert!(!story.clients_of("dub").is_empty());
    story.server.region("dub", Verdict::Down);
    // The health table speaks at once, the canary with the next tick.
    assert_eq!(story.clients_of("dub").len(), 0);
    let why = "the new side is down".to_owned();
    assert_eq!(story.wait(1), [Notice::Canary(www(), Event::Aborted { why })]);
    story.server.region("dub", Verdict::Up);
    story.wait(3600);
    assert_eq!(story.clients_of("dub").len(), 0, "only a person starts it again");
    story.order(Order::Resume).expect("it goes on");
    assert_eq!(stepped(&story.wait(1)), [2500]);
}

#[test]
fn a_canary_beside_geography_and_a_fence_stays_inside() {
    let mut story = Story::of(
        r#"
[[record."www".rule]]
match  = { cidr = ["20.0.0.0/9"] }
policy = "nearest"
pools  = ["fra", "dub"]
fence  = true
canary = { pool = "dub", steps = ["50%"] }
[[record."www".rule]]
match  = "default"
policy = "failover"
pools  = ["iad", "sin"]
"#,
    );
    story.order(Order::Start).expect("it starts");
    story.wait(1);
    let half = story.clients_of("dub");
    assert!((933..=1067).contains(&half.len()), "{}", half.len());
    for region in ["fra", "dub"] {
        story.server.region(region, Verdict::Down);
    }
    assert_eq!(story.clients_of("none").len(), 2000, "nobody leaves the fence");
}

const SWITCH: &str = r#"
[record."www"]
policy = "failover"
switch = { blue = ["fra"], green = ["dub"] }
"#;

#[test]
fn a_switch_turns_at_once_and_back_in_one_command() {
    let mut story = Story::of(SWITCH);
    assert_eq!(story.clients_of("fra").len(), 2000);
    assert_eq!(story.switch(Turn::Back, false), Err(Refused::NeverSwitched));
    let stand = story.switch(Turn::Green, false).expect("it turns");
    assert_eq!((&*stand.by, &*stand.reason, stand.ordered), ("ops", "release 7", WALL));
    assert_eq!(story.clients_of("dub").len(), 2000);
    assert_eq!(story.switch(Turn::Green, false), Err(Refused::Already("green")));
    story.switch(Turn::Back, false).expect("it turns back");
    assert_eq!(story.clients_of("fra").len(), 2000);
}

#[test]
fn behind_the_active_side_stands_the_other() {
    let mut story = Story::of(SWITCH);
    story.switch(Turn::Green, false).expect("it turns");
    story.server.region("dub", Verdict::Down);
    assert_eq!(story.clients_of("fra").len(), 2000);
}

#[test]
fn what_was_turned_holds_over_reloads_and_restarts() {
    let mut story = Story::of(SWITCH);
    story.switch(Turn::Green, false).expect("it turns");
    // A new snapshot is met before it is published.
    let next = server(SWITCH);
    story.conductor.meet(&next.publisher.current(), SafetySpec::default());
    story.server = next;
    assert_eq!(story.clients_of("dub").len(), 2000);
    // A process that begins anew with what was kept.
    let kept = Conductor::new(story.conductor.stands().to_vec(), Vec::new());
    story.server = server(SWITCH);
    story.conductor = kept;
    story.conductor.meet(&story.server.publisher.current(), SafetySpec::default());
    assert_eq!(story.clients_of("dub").len(), 2000);
    // Other pools are another change, and one that is gone is forgotten.
    let other = server(&SWITCH.replace("[\"dub\"]", "[\"iad\"]"));
    let notices = story.conductor.meet(&other.publisher.current(), SafetySpec::default());
    assert_eq!(notices, [Notice::Anew(www())]);
    assert_eq!(story.conductor.stands()[0].at, At::Switch { green: false, untouched: true });
    let none = server("[record.\"www\"]\npools = [\"fra\"]\n");
    story.conductor.meet(&none.publisher.current(), SafetySpec::default());
    assert_eq!(story.conductor.stands(), []);
}

#[test]
fn time_without_a_daemon_is_no_time_of_watching() {
    let mut story = Story::of(CANARY);
    story.order(Order::Start).expect("it starts");
    story.wait(1);
    // The machine slept for a day.
    story.now += 86_400;
    assert_eq!(stepped(&story.wait(1)), Vec::<u16>::new());
    assert_eq!(stepped(&story.wait(600)), [2500]);
}

/// At most a fifth of all answers may move within a minute.
const FIFTH: SafetySpec =
    SafetySpec { min_regions_on: 2, max_shift: Some((2000, Duration::from_secs(60))) };

#[test]
fn a_canary_goes_no_faster_than_max_shift() {
    let mut story = Story::bound(CANARY, FIFTH);
    story.answer(1000);
    story.wait(1);
    story.order(Order::Start).expect("it starts");
    assert_eq!(stepped(&story.wait(1)), [500]);
    for _ in 0..60 {
        story.answer(100);
        story.wait(10);
    }
    // From 5 % to 25 % is a fifth, and moves at once.
    assert_eq!(story.conductor.stands()[0].at.share(), 2500);
    let mut shares = BTreeSet::new();
    for _ in 0..100 {
        story.answer(100);
        story.wait(10);
        shares.insert(story.conductor.stands()[0].at.share());
    }
    assert_eq!(shares.into_iter().collect::<Vec<_>>(), [2500, 4500, 6500, 8500, 10_000]);
}

#[test]
fn a_canary_goes_no_faster_when_the_process_begins_again() {
    let mut story = Story::bound(CANARY, FIFTH);
    story.answer(1000);
    story.wait(1);
    story.order(Order::Start).expect("it starts");
    story.wait(1);
    for _ in 0..60 {
        story.answer(100);
        story.wait(10);
    }
    assert_eq!(story.conductor.stands()[0].at.share(), 2500);
    // Just before the next step is due. Nobody knows yet what is answered.
    story.wait(590);
    let stands = story.conductor.stands().to_vec();
    story.conductor = Conductor::new(stands, Vec::new());
    story.conductor.meet(&story.server.publisher.current(), FIFTH);
    story.wait(20);
    assert!(story.conductor.stands()[0].at.share() <= 4500);
}

#[test]
fn the_last_member_of_a_region_is_the_region() {
    let mut story = Story::bound(SWITCH, SafetySpec { min_regions_on: 4, max_shift: None });
    let snapshot = story.server.publisher.current();
    let drain = |name: &str| Override {
        target: OverrideTarget::Member(name.into()),
        area: None,
        state: OverrideState::Drain,
        reason: String::new(),
        by: String::new(),
        until: None,
    };
    let word = PoolWord::new(Verdict::Degraded, PoolWord::KEEP_ALL, 0b01);
    for family in [Family::V4, Family::V6] {
        story.server.health.store(PoolId(0), family, AreaId::WORLD, word);
    }
    let mut permit = |name: &str| {
        story.conductor.permit_override(&snapshot, &drain(name), false, Duration::ZERO).is_ok()
    };
    // The other one does not live: who is drained beside it takes nothing off.
    assert!(permit("192.0.2.11"));
    // fra still answers over IPv6.
    assert!(permit("192.0.2.10"));
    let none = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
    story.server.health.store(PoolId(0), Family::V6, AreaId::WORLD, none);
    assert!(!permit("192.0.2.10"), "fra would be off");
}

#[test]
fn people_are_refused_with_the_numbers_and_may_insist() {
    let mut story = Story::bound(SWITCH, FIFTH);
    story.answer(100);
    story.wait(1);
    let refused = story.switch(Turn::Green, false).expect_err("all clients at once is too much");
    assert_eq!(
        refused.to_string(),
        "100 % of all answers would move, 0 % have moved in the last 1m, and safety.max_shift is \
         \"20 %/1m\" (--force does it all the same)"
    );
    assert_eq!(story.clients_of("fra").len(), 2000);
    let stand = story.switch(Turn::Green, true).expect("a person insists");
    assert_eq!(stand.reason, "release 7 (forced past the safety rules)");
    // The way back is never closed.
    story.switch(Turn::Back, false).expect("it turns back");
}

/// Adding up the counters of very many records takes long; whoever orders something meanwhile is
/// judged by the look before.
#[test]
fn an_order_does_not_wait_for_a_look_at_the_counters() {
    let mut story = Story::bound(SWITCH, FIFTH);
    story.answer(100);
    story.wait(1);
    let snapshot = story.server.publisher.current();
    let look = story.conductor.looking(&snapshot);
    let refused = story.switch(Turn::Green, false).expect_err("what was answered is known");
    assert!(refused.to_string().starts_with("100 % of all answers would move"), "{refused}");
    story.switch(Turn::Green, true).expect("a person insists");
    story.now += 1;
    story.conductor.saw(look.done(&snapshot, story.at().now));
    assert!(story.clients_of("fra").is_empty(), "the look takes nothing back");
    story.wait(1);
    let drained = story.conductor.drained(Duration::from_secs(story.now));
    assert_eq!(drained.len(), 1, "and the next one sees which pool is emptied: {drained:?}");
}

#[test]
fn the_last_regions_stay_on() {
    let records = "[record.\"www\"]\npolicy = \"failover\"\npools = [\"fra\", \"dub\"]\n";
    let mut story = Story::bound(records, SafetySpec { max_shift: None, ..FIFTH });
    for region in ["iad", "sin"] {
        assert_eq!(story.drain(&format!("region.{region}"), false), Ok(false), "{region}");
        story.server.region(region, Verdict::Draining);
    }
    let refused = story.drain("region.dub", false).expect_err("one would be left");
    let told = "1 of 2 regions would stay on, and safety.min_regions_on is 2";
    assert!(refused.to_string().starts_with(told), "{refused}");
    assert_eq!(story.drain("region.dub", true), Ok(true));
    // A member of several takes no region off.
    assert_eq!(story.drain("member.192.0.2.10", false), Ok(false));
    // What is out already takes none off.
    assert_eq!(story.drain("region.sin", false), Ok(false));
}

#[test]
fn failures_are_not_asked() {
    let mut story = Story::bound(CANARY, FIFTH);
    story.answer(500);
    story.wait(1);
    story.server.region("fra", Verdict::Down);
    assert_eq!(story.clients_of("dub").len(), 2000);
}

#[test]
fn a_planned_drain_begins_when_its_time_comes() {
    let mut story = Story::of(CANARY);
    let order = Override { until: Some(WALL + 7200), ..drain("region.fra") };
    let planned =
        Planned { order: order.clone(), from: WALL + 3600, forced: false, held: String::new() };
    story.conductor.plan(planned);
    assert_eq!(story.wait(3599), []);
    story.now += 1;
    let due = story.tick();
    assert_eq!((due.overrides, story.conductor.planned().len()), (vec![order.clone()], 0));
    // A daemon that was down for all of it lets it be.
    story.conductor.plan(Planned { order, from: WALL + 3600, forced: false, held: String::new() });
    story.now = 8000;
    let due = story.tick();
    assert_eq!((due.overrides.len(), story.conductor.planned().len()), (0, 0));
}

#[test]
fn a_planned_drain_waits_while_it_is_not_safe() {
    let mut story = Story::bound(CANARY, FIFTH);
    for region in ["iad", "sin"] {
        story.server.region(region, Verdict::Down);
    }
    let order = drain("region.dub");
    story.conductor.plan(Planned { order, from: WALL + 5, forced: false, held: String::new() });
    let notices = story.wait(100);
    assert_eq!(notices.len(), 1, "told once: {notices:?}");
    assert!(story.conductor.planned()[0].held.contains("min_regions_on"));
    story.server.region("iad", Verdict::Up);
    story.now += 1;
    assert_eq!(story.tick().overrides.len(), 1);
}

#[test]
fn ttls_fall_before_a_planned_change() {
    let mut story = Story::of(
        "[record.\"www\"]\npolicy = \"failover\"\npools = [\"fra\", \"dub\"]\n\
         ttl = { min = \"5s\", max = \"5m\" }\n",
    );
    assert_eq!(story.ttl(), 300);
    let order = drain("pool.dub");
    story.conductor.plan(Planned { order, from: WALL + 400, forced: false, held: String::new() });
    story.wait(1);
    assert_eq!(story.ttl(), 300, "the change is farther away than an answer lives");
    story.wait(299);
    assert_eq!(story.ttl(), 100);
    story.wait(98);
    assert_eq!(story.ttl(), 5);
    story.wait(3);
    assert_eq!(story.ttl(), 300, "it has begun, and nothing more is planned");
}

#[test]
fn a_canary_lets_ttls_fall_before_each_step() {
    let mut story = Story::of(&format!("{CANARY}ttl = {{ min = \"5s\", max = \"5m\" }}\n"));
    story.order(Order::Start).expect("it starts");
    story.wait(500);
    assert!(story.ttl() <= 101, "{}", story.ttl());
    story.wait(102);
    assert_eq!((story.ttl(), story.conductor.stands()[0].at.share()), (300, 2500));
}

#[test]
fn a_drain_tells_when_the_last_answer_has_expired() {
    let mut story = Story::of(
        "[record.\"www\"]\npolicy = \"failover\"\npools = [\"fra\", \"dub\"]\nttl = \"30s\"\n",
    );
    // Old enough to know of every answer.
    story.wait(60);
    for _ in 0..30 {
        story.answer(10);
        story.wait(1);
    }
    story.server.region("fra", Verdict::Draining);
    story.wait(1);
    let begun = story.now;
    let seen = |story: &Story| story.conductor.drained(Duration::from_secs(story.now))[0].clone();
    let first = seen(&story);
    assert_eq!(
        (&*first.pool.1, first.since, first.is_over, first.is_blind),
        ("fra", begun, false, false)
    );
    assert!((280..=300).contains(&first.before), "{}", first.before);
    assert_eq!(first.end, begun - 1 + 30, "the last answer was given a second ago");
    story.answer(50);
    story.wait(15);
    let half = seen(&story);
    assert!((130..=150).contains(&half.alive), "new answers lead to dub: {}", half.alive);
    story.wait(14);
    let over = seen(&story);
    assert_eq!((over.alive, over.is_over, over.end), (0, true, begun - 1 + 30));
    story.server.region("fra", Verdict::Up);
    story.wait(1);
    assert_eq!(story.conductor.drained(Duration::from_secs(story.now)), []);
}

#[test]
fn a_young_process_does_not_say_that_a_pool_is_drained() {
    let mut story = Story::of(CANARY);
    story.server.region("iad", Verdict::Draining);
    story.server.region("fra", Verdict::Draining);
    story.wait(1);
    let fra = |story: &Story| {
        let all = story.conductor.drained(Duration::from_secs(story.now));
        all.into_iter().find(|of| &*of.pool.1 == "fra").expect("fra")
    };
    assert!(fra(&story).is_blind && !fra(&story).is_over, "answers from before may live");
    story.wait(30);
    assert!(!fra(&story).is_blind && fra(&story).is_over);
}

#[test]
fn the_side_that_was_left_by_a_switch_is_emptied() {
    left_by_a_switch(SWITCH);
    // The names of pools lead there all the same.
    left_by_a_switch(&format!("{SWITCH}pool_names = true\n"));
}

fn left_by_a_switch(record: &str) {
    let mut story = Story::of(record);
    story.wait(60);
    story.answer(100);
    story.wait(1);
    story.switch(Turn::Green, false).expect("it turns");
    story.wait(1);
    let drained = story.conductor.drained(Duration::from_secs(story.now));
    assert_eq!((drained.len(), &*drained[0].pool.1, drained[0].alive), (1, "fra", 100));
    story.wait(30);
    assert!(story.conductor.drained(Duration::from_secs(story.now))[0].is_over);
}

#[test]
fn a_canary_that_starts_itself_needs_nobody() {
    let mut story = Story::of(&CANARY.replace("every", "start = \"auto\", every"));
    assert_eq!(stepped(&story.wait(1)), Vec::<u16>::new(), "the first tick began it");
    let At::Canary(canary) = &story.conductor.stands()[0].at else { panic!("a canary") };
    assert_eq!((canary.phase, canary.share), (Phase::Running, 500));
}

/// Policies under which a canary or a switch may stand, with what their pools are written as.
const POLICIES: [(&str, &str); 6] = [
    ("failover", "[\"fra\", \"iad\", \"dub\"]"),
    ("nearest", "[\"fra\", \"iad\", \"dub\"]"),
    ("weighted", "{ fra = 3, iad = 1, dub = 1 }"),
    ("weighted\"\nsticky = \"network", "{ fra = 3, iad = 1, dub = 1 }"),
    ("hash", "{ fra = 3, iad = 1, dub = 1 }"),
    ("round-robin", "[\"fra\", \"iad\", \"dub\"]"),
];

#[test]
fn under_every_policy_a_share_of_the_clients_is_on_the_new_side() {
    for (policy, pools) in POLICIES {
        let mut story = Story::of(&format!(
            "[record.\"www\"]\npolicy = \"{policy}\"\npools = {pools}\n\
             canary = {{ pool = \"dub\", steps = [\"25%\", \"100%\"], every = \"1m\" }}\n"
        ));
        assert_eq!(story.clients_of("dub").len(), 0, "{policy}");
        story.order(Order::Start).expect("it starts");
        story.wait(1);
        let some = story.clients_of("dub").len();
        assert!((442..=558).contains(&some), "{policy}: {some}");
        story.wait(60);
        assert_eq!(story.clients_of("dub").len(), 2000, "{policy}");
        // The old side stands behind the new one.
        story.server.region("dub", Verdict::Draining);
        assert_eq!(story.clients_of("dub").len(), 0, "{policy}");
        assert_eq!(story.clients_of("none").len(), 0, "{policy}");
    }
}

#[test]
fn with_several_answers_the_new_side_comes_first() {
    let mut story = Story::of(
        "[record.\"www\"]\npolicy = \"failover\"\nanswers = 2\n\
         switch = { blue = [\"iad\", \"sin\"], green = [\"dub\"] }\n",
    );
    let lasts = |story: &mut Story| {
        let message = story.server.ask(&support::ask("www.example.org", "A"));
        let address = |record: &hickory_proto::rr::Record| record.data.to_string();
        message.answers.iter().map(address).collect::<Vec<_>>()
    };
    assert_eq!(lasts(&mut story), ["192.0.2.30", "192.0.2.40"]);
    story.switch(Turn::Green, false).expect("it turns");
    assert_eq!(lasts(&mut story)[0], "192.0.2.20");
}

#[test]
fn panic_and_last_resort_go_before_any_side() {
    let mut story = Story::of(
        "[record.\"www\"]\npolicy = \"failover\"\npanic = \"100%\"\n\
         switch = { blue = [\"fra\"], green = [\"dub\"] }\n",
    );
    story.switch(Turn::Green, false).expect("it turns");
    for region in ["fra", "dub"] {
        story.server.region(region, Verdict::Down);
    }
    assert_eq!(story.clients_of("dub").len(), 2000, "in panic the active side is believed");
}

#[test]
fn hours_of_chance_never_leave_the_rules() {
    let seed = 7;
    let mut chance = meridian::steer::chance::Chance::seeded(seed);
    let mut story = Story::bound(CANARY, FIFTH);
    let orders = [Order::Start, Order::Pause, Order::Resume, Order::Abort, Order::Finish];
    let mut shares = vec![0u16];
    for second in 0..20_000u64 {
        if chance.below(40) == 0 {
            story.answer(20);
        }
        let ill = match chance.below(400) {
            0 => Some(Verdict::Down),
            1..=4 => Some(Verdict::Up),
            _ => None,
        };
        ill.into_iter().for_each(|verdict| story.server.region("dub", verdict));
        if chance.below(300) == 0 {
            // Many do not fit, and are refused.
            let order = orders[chance.below(5) as usize];
            let refused = story.order(order).is_err();
            assert!(!(refused && order == Order::Abort && shares[shares.len() - 1] > 0));
        }
        let before = story.conductor.stands()[0].clone();
        story.now += 1;
        story.tick();
        let stand = story.conductor.stands()[0].clone();
        let (At::Canary(was), At::Canary(is)) = (&before.at, &stand.at) else { panic!("canaries") };
        let told = format!("seed {seed}, second {second}: {was:?} -> {is:?}");
        // An ill canary has nobody, unless it is done.
        let word = story.server.health.word(PoolId(1), Family::V4, AreaId::WORLD);
        assert!(word.is_eligible() || is.share == 0 || is.phase == Phase::Done, "{told}");
        // Shares only grow by themselves, up to a step's, and fall to nothing.
        assert!(is.share >= was.share || is.share == 0, "{told}");
        assert!(is.share == 0 || is.phase != Phase::Aborted, "{told}");
        assert!(is.phase != Phase::Waiting || is.share == 0, "{told}");
        // Only a person starts it again.
        assert!(was.phase != Phase::Aborted || is.phase == Phase::Aborted, "{told}");
        shares.push(is.share);
    }
    shares.dedup();
    assert!(shares.len() > 20, "it moved: {}", shares.len());
}
