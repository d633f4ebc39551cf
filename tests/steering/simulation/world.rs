//! A world to steer in: members that live and die, a prober that sees it, operators, clients with
//! a demand, and all that turns dials, second by second on one clock.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use meridian::daemon::changes::{Conductor, Moment, Orderer, Planned, Turn};
use meridian::daemon::load;
use meridian::daemon::steward::Steward;
use meridian::geo::world::World as Geography;
use meridian::health::keeper::{Event, Keeper};
use meridian::health::overrides::{Override, OverrideState, OverrideTarget};
use meridian::health::persist::Memory;
use meridian::health::sample::{Facts, Outcome, Reason, Sample};
use meridian::health::table::PoolWord;
use meridian::region::{AreaId, Family, PoolId};
use meridian::server::worker::Worker;
use meridian::steer::capacity::load::Loads;
use meridian::steer::capacity::{CapacityPlanner, Seen};
use meridian::steer::chance::Chance;
use meridian::steer::record::Record;
use meridian::steer::safety::SafetySpec;

use super::records::{Kept, REGIONS};
use crate::support::{Server, ask};

/// What `now` 0 is called by people: 2026-12-22T05:00:00Z.
const WALL: u64 = 1_798_002_000;
/// How often each member is probed, in seconds.
const PROBED: u64 = 2;
/// How often the planner steps.
const PLANNED: Duration = Duration::from_secs(10);

/// The networks of four cities, and one of nowhere: `CITY.0.0.0/8`.
pub(super) const CITIES: [u8; 5] = [20, 21, 22, 23, 24];
const NETWORKS: &str = r#"
[[network]]
cidr  = ["20.0.0.0/8"]
place = { continent = "EU", country = "DE", location = [52.52, 13.40] }
[[network]]
cidr  = ["21.0.0.0/8"]
place = { continent = "EU", country = "GB", location = [51.51, -0.13] }
[[network]]
cidr  = ["22.0.0.0/8"]
place = { continent = "NA", country = "US", location = [40.71, -74.01] }
[[network]]
cidr  = ["23.0.0.0/8"]
place = { continent = "OC", country = "AU", location = [-33.87, 151.21] }
"#;
const LATENCIES: &str = "20.0.0.0/8,fra,12\n20.0.0.0/8,dub,31\n21.0.0.0/8,dub,11\n21.0.0.0/8,fra,\
                         18\n22.0.0.0/8,iad,9\n24.0.0.0/8,sin,20\n24.0.0.0/8,iad,140\n";
const MONITORS: &str =
    "[monitor.web]\ntype = \"tcp\"\nport = 80\ninterval = \"2s\"\nfall = 3\nrise = 2\n";

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Lives,
    Dead,
    /// Every other probe fails, by chance.
    Flaky,
}

/// An answer: its regions in order, its TTL, and for how long a prefix it holds.
pub(super) struct Got {
    pub(super) regions: Vec<&'static str>,
    pub(super) ttl: Option<u32>,
    pub(super) scope: u8,
}

/// A check, and the member it is of.
struct Probed {
    key: Box<str>,
    pool: usize,
    member: usize,
    last: Option<bool>,
}

pub(super) struct World {
    pub(super) server: Server,
    pub(super) keeper: Keeper,
    pub(super) steward: Steward,
    pub(super) conductor: Conductor,
    pub(super) planner: CapacityPlanner,
    loads: Loads,
    checks: Vec<Probed>,
    pub(super) now: u64,
    pub(super) truth: [[Truth; 2]; 4],
    /// The prober is heard of.
    pub(super) is_heard: bool,
    /// Queries a second that each city asks each plan for.
    pub(super) rates: [u32; 5],
    /// Queries that plans should have been asked by now, by plan and order.
    promised: HashMap<(usize, usize), f64>,
    counted_to: u64,
    /// Seconds since something happened that was not only time going by.
    pub(super) calm: u64,
    /// A probe has ended otherwise than the one before.
    pub(super) is_news: bool,
}

impl World {
    pub(super) fn new(policy: &str, chance: &mut Chance) -> Self {
        let files = [
            ("geo/regions.toml", crate::REGIONS),
            ("geo/networks.toml", NETWORKS),
            ("geo/latency.csv", LATENCIES),
            ("probes/monitors.toml", MONITORS),
            ("zones/example.org.toml", policy),
            ("zones/example.org.zone", crate::ZONE),
        ];
        let mut server = Server::over(&files, |config| Geography::from_networks(&config.networks));
        // The chance of answers is another in each run.
        let (source, stats) = (server.publisher.source(), Arc::clone(&server.stats));
        server.worker = Worker::new(0, source, stats, chance.draw());
        let plan = load::plan(&server.config);
        let keeper = Keeper::new(plan, &Memory::new(), Vec::new(), Duration::ZERO);
        let mut world = Self {
            server,
            keeper,
            steward: Steward::default(),
            conductor: Conductor::default(),
            planner: CapacityPlanner::default(),
            loads: Loads::default(),
            checks: Vec::new(),
            now: 0,
            truth: [[Truth::Lives; 2]; 4],
            is_heard: true,
            rates: [10; 5],
            promised: HashMap::new(),
            counted_to: 0,
            calm: 0,
            is_news: false,
        };
        world.enter();
        world
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_secs(self.now)
    }

    pub(super) fn wall(&self) -> u64 {
        WALL + self.now
    }

    /// What follows a new table of health: a snapshot with it, and everybody meets it.
    fn enter(&mut self) {
        let plan = load::plan(&self.server.config);
        let last: HashMap<Box<str>, Option<bool>> =
            self.checks.drain(..).map(|check| (check.key, check.last)).collect();
        for (number, pool) in plan.pools.iter().enumerate() {
            for member in &pool.members {
                let key = plan.checks[member.check.expect("a check") as usize].key.clone();
                let last = last.get(&key).copied().flatten();
                let member = usize::from(member.place);
                let region = REGIONS.iter().position(|name| **name == *pool.region);
                assert_eq!(region, Some(number), "pools stand in the order of the regions");
                self.checks.push(Probed { key, pool: number, member, last });
            }
        }
        self.server.health = self.keeper.table();
        self.server.reload();
        let snapshot = self.server.snapshot();
        self.conductor.meet(&snapshot, SafetySpec::default());
        let records: Vec<&Record> = snapshot.catalog.values().flat_map(|of| &of.records).collect();
        self.planner.adopt(&self.server.config.pools, records.into_iter());
        // Counters begin anew with the plans.
        self.promised.clear();
        self.counted_to = self.now;
        self.turn();
    }

    pub(super) fn reload(&mut self) {
        let plan = load::plan(&self.server.config);
        drop(self.keeper.rebuild(plan, self.time()));
        self.enter();
    }

    /// The process ends and begins again with what it keeps on disk.
    pub(super) fn restart(&mut self) {
        let (now, known) = (self.time(), self.keeper.known());
        let (memory, overrides) = (known.memory(now), known.overrides().to_vec());
        let starts = known.starts(now);
        self.keeper = Keeper::new(load::plan(&self.server.config), &memory, overrides, now);
        self.keeper.go_on(&starts, now);
        let returned = self.steward.returned(&self.server.snapshot(), now);
        self.steward = Steward::remembering(returned);
        let (stands, planned) =
            (self.conductor.stands().to_vec(), self.conductor.planned().to_vec());
        self.conductor = Conductor::new(stands, planned);
        self.planner = CapacityPlanner::default();
        // What was counted of a change that was pending is forgotten.
        self.checks.iter_mut().for_each(|check| check.last = None);
        self.enter();
    }

    /// One second goes by.
    pub(super) fn second(&mut self, chance: &mut Chance) {
        self.now += 1;
        self.calm += 1;
        self.is_news = false;
        let (now, wall) = (self.time(), self.wall());
        let ended = self.keeper.expire_overrides(wall, now);
        self.heed(&ended);
        if self.is_heard && self.now.is_multiple_of(PROBED) {
            for at in 0..self.checks.len() {
                self.probe(at, chance);
            }
        }
        self.keeper.tick(now);
        self.turn();
    }

    fn probe(&mut self, at: usize, chance: &mut Chance) {
        let check = &mut self.checks[at];
        let lives = match self.truth[check.pool][check.member] {
            Truth::Lives => true,
            Truth::Dead => false,
            Truth::Flaky => chance.below(2) == 0,
        };
        self.is_news |= check.last.replace(lives) != Some(lives);
        let outcome = if lives { Outcome::Success } else { Outcome::Failure(Reason::Refused) };
        let sample = Sample { outcome, latency: Duration::from_millis(5), facts: Facts::default() };
        let key = check.key.clone();
        let (_, events) = self.keeper.observe(&key, &sample, Duration::from_secs(self.now));
        self.heed(&events);
    }

    /// Verdicts that change are not only time going by.
    fn heed(&mut self, events: &[Event]) {
        if !events.is_empty() {
            (self.calm, self.is_news) = (0, true);
        }
    }

    fn turn(&mut self) {
        let snapshot = self.server.snapshot();
        let (now, wall) = (self.time(), self.wall());
        self.conductor.look(&snapshot, now);
        self.conductor.heed(self.keeper.known().overrides());
        let due = self.conductor.tick(&snapshot, Moment { now, wall });
        for order in due.overrides {
            let events = self.keeper.set_override(order, now);
            self.heed(&events);
        }
        self.steward.turn(&snapshot, now);
        if !self.planner.is_idle() && self.planner.is_due(now, PLANNED, &self.server.health) {
            self.demand();
            let seen = Seen { now, health: &self.server.health, loads: &self.loads };
            self.planner.step(seen);
        }
        self.server.now = now;
    }

    /// Every city asks as often as it does; what was asked by the tests is part of it.
    fn demand(&mut self) {
        let seconds = self.now - self.counted_to;
        self.counted_to = self.now;
        let snapshot = self.server.snapshot();
        let mut known = HashSet::new();
        for record in snapshot.catalog.values().flat_map(|of| &of.records) {
            let plan = Arc::as_ptr(&record.plan) as usize;
            let Some(spill) = record.plan.spill.as_ref().filter(|_| known.insert(plan)) else {
                continue;
            };
            for (city, rate) in CITIES.iter().zip(self.rates) {
                let order = record.plan.map.lookup(Ipv4Addr::new(*city, 1, 1, 0).into()).order;
                let promised = self.promised.entry((plan, order.number as usize)).or_default();
                *promised += f64::from(rate) * seconds as f64;
            }
            for (&(of, order), promised) in &self.promised {
                let counted = spill.demand.sum(order);
                let missing =
                    if of == plan { (*promised as u64).saturating_sub(counted) } else { 0 };
                (0..missing).for_each(|_| spill.demand.count(0, order));
            }
        }
    }

    pub(super) fn word(&self, region: &str) -> PoolWord {
        let at = REGIONS.iter().position(|name| *name == region).expect("a region");
        self.server.health.word(PoolId(at as u32), Family::V4, AreaId::WORLD)
    }

    pub(super) fn lives(&self, region: &str) -> bool {
        self.word(region).is_eligible()
    }

    /// How many pools do not take everybody because they come back slowly, to a record's clients
    /// or at all.
    pub(super) fn returning(&self, name: &str) -> usize {
        let owner = format!("{name}.example.org.");
        let all = self.steward.returning(&self.server.snapshot(), self.time());
        let by_rule = all.iter().filter(|returning| *returning.record == *owner).count();
        let kept = |region: &&&str| self.lives(region) && self.word(region).keep() < u16::MAX;
        by_rule + REGIONS.iter().filter(kept).count()
    }

    pub(super) fn get(&mut self, name: &str, client: Ipv4Addr) -> Got {
        let question = ask(&format!("{name}.example.org"), "A").subnet(&format!("{client}/24"));
        let source = "192.0.2.53".parse().expect("an address");
        let transport = meridian::server::Transport::Udp;
        let octets = self.server.answer(&question.packet(), source, transport);
        let message = hickory_proto::op::Message::from_vec(&octets).expect("a message");
        let region = |record: &hickory_proto::rr::Record| {
            let hickory_proto::rr::RData::A(address) = &record.data else { panic!("{record}") };
            REGIONS[usize::from(address.0.octets()[3] / 10) - 1]
        };
        Got {
            regions: message.answers.iter().map(region).collect(),
            ttl: message.answers.first().map(|record| record.ttl),
            // Family, source, scope and three octets end the message.
            scope: octets[octets.len() - 4],
        }
    }

    /// What an operator orders over a region, pool or member, now or later, for a while or for
    /// good; or lifts.
    pub(super) fn operate(&mut self, chance: &mut Chance) -> String {
        let now = self.time();
        let known: Vec<_> =
            self.keeper.known().overrides().iter().map(|order| order.target.clone()).collect();
        if !known.is_empty() && chance.below(3) == 0 {
            let target = &known[chance.below(known.len() as u32) as usize];
            drop(self.keeper.clear_override(target, None, now));
            self.turn();
            return format!("{target} is let go");
        }
        let at = chance.below(4) as usize;
        let target = match chance.below(3) {
            0 => OverrideTarget::Region(REGIONS[at].into()),
            1 => OverrideTarget::Pool(REGIONS[at].into(), None),
            _ => OverrideTarget::Member(
                format!("192.0.2.{}", (at + 1) * 10 + chance.below(2) as usize).into(),
            ),
        };
        let states = [OverrideState::Drain, OverrideState::Down, OverrideState::Up];
        let state = states[chance.below(3) as usize];
        let lasts = u64::from(10 + chance.below(120));
        let later = if chance.below(4) == 0 { u64::from(1 + chance.below(60)) } else { 0 };
        let until = (chance.below(3) > 0).then(|| self.wall() + later + lasts);
        let (reason, by) = ("a test".to_owned(), "ops".to_owned());
        let target_of = target.clone();
        let order = Override { target: target_of, area: None, state, reason, by, until };
        if later > 0 {
            let (from, held) = (self.wall() + later, String::new());
            self.conductor.plan(Planned { order, from, forced: true, held });
        } else {
            drop(self.keeper.set_override(order, now));
        }
        self.turn();
        format!("{target} is ordered to {state:?} in {later} s until {until:?}")
    }

    /// A person goes on with what waits for one, or turns a switch.
    pub(super) fn direct(&mut self, records: &[Kept], chance: &mut Chance) -> String {
        let (now, wall) = (self.time(), self.wall());
        let switched = records.iter().find(|record| record.has_switch);
        if let Some(record) = switched.filter(|_| chance.below(2) == 0) {
            let name = format!("{}.example.org.", record.name).parse().expect("a name");
            let turn = [Turn::Blue, Turn::Green, Turn::Back][chance.below(3) as usize];
            let orderer = Orderer { by: "ops".to_owned(), ..Orderer::default() };
            let snapshot = self.server.snapshot();
            let _ = self.conductor.switch(&snapshot, &name, turn, &orderer, Moment { now, wall });
            self.turn();
            return format!("{} is switched to {turn:?}", record.name);
        }
        let pool = REGIONS[chance.below(4) as usize];
        self.steward.resume(pool, None, now);
        self.turn();
        format!("{pool} is resumed")
    }
}
