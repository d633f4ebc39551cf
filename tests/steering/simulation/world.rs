//! A world to steer in: members that live and die, a prober or vantages that see it, operators,
//! clients with a demand, and all that turns dials, second by second on one clock.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use meridian::config::Config;
use meridian::daemon::changes::{At, Conductor, Moment, Orderer, Planned, Turn};
use meridian::daemon::load;
use meridian::daemon::steward::Steward;
use meridian::geo::world::World as Geography;
use meridian::health::keeper::{Event, Keeper, Plan};
use meridian::health::overrides::{Override, OverrideState, OverrideTarget};
use meridian::health::persist::Memory;
use meridian::health::sample::{Facts, Outcome, Reason, Sample};
use meridian::health::table::PoolWord;
use meridian::region::{AreaId, Family, PoolId};
use meridian::server::worker::Worker;
use meridian::snapshot::Snapshot;
use meridian::steer::capacity::load::Loads;
use meridian::steer::capacity::{CapacityPlanner, Seen};
use meridian::steer::chance::Chance;
use meridian::steer::record::Record;
use meridian::steer::safety::SafetySpec;
use meridian::steer::stages::{Change, Order, Phase, Staged};

use super::ledger::{Answered, Ledger};
use super::records::{Kept, REGIONS};
use super::vantages::{Plane, Shape};
use crate::support::{Server, ask};

/// What `now` 0 is called by people: 2026-12-22T05:00:00Z.
const WALL: u64 = 1_798_002_000;
/// How often each member is probed, in seconds.
pub(super) const PROBED: u64 = 2;
/// How often the planner steps.
const PLANNED: Duration = Duration::from_secs(10);

/// The networks of four cities, and one of nowhere: `CITY.0.0.0/8`.
pub(super) const CITIES: [u8; 5] = [20, 21, 22, 23, 24];
/// The one that is in an area of its own, where there is one.
const PACIFIC: u8 = 23;
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
const MONITORS: &str = "[monitor.web]\ntype = \"tcp\"\nport = 80\ninterval = \"2s\"\nfast_interval = \"2s\"\n\
                        timeout = \"1s\"\nfall = 3\nrise = 2\n";

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
    place: usize,
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
    /// Who probes, where it is not the node itself.
    pub(super) plane: Option<Plane>,
    pub(super) safety: SafetySpec,
    /// What operators have ordered, noted once more.
    pub(super) ledger: Ledger,
    /// What was answered, noted once more.
    pub(super) answered: Answered,
    loads: Loads,
    checks: Vec<Probed>,
    pub(super) now: u64,
    pub(super) truth: [[Truth; 2]; 4],
    /// Since when.
    pub(super) since: [[u64; 2]; 4],
    /// The prober is heard of.
    pub(super) is_heard: bool,
    /// Since when, or since when not.
    pub(super) heard_since: u64,
    /// Queries a second that each city asks each plan for.
    pub(super) rates: [u32; 5],
    /// Queries that plans should have been asked by now, by plan and order.
    promised: HashMap<(usize, usize), f64>,
    counted_to: u64,
    /// Seconds since something happened that was not only time going by.
    pub(super) calm: u64,
    /// A probe has ended otherwise than the one before, or votes have changed.
    pub(super) is_news: bool,
    /// By region, when it last began to serve after checks alone had taken it out.
    pub(super) back: [Option<u64>; 4],
    served: [bool; 4],
    /// By area and region, whether it serves, and since when.
    pub(super) lasting: Vec<(bool, u64)>,
    /// By region, it has been out since the process began.
    out: [bool; 4],
    /// By record, the share of clients on its new side.
    pub(super) stages: Vec<u16>,
    /// By record, since when a pool has been too sick for its canary.
    unfit: Vec<Option<u64>>,
    /// How much cities ask more or less than usual.
    noise: Chance,
}

impl World {
    pub(super) fn new(policy: &str, chance: &mut Chance) -> Self {
        let shape = Shape::drawn(chance);
        let settings = shape.as_ref().map(Shape::toml).unwrap_or_default();
        let files = [
            ("meridian.toml", &*settings),
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
        let plane = shape.map(|shape| Plane::new(shape, &server.config));
        let safety = match chance.below(3) {
            0 => SafetySpec {
                min_regions_on: 1 + chance.below(3) as u16,
                max_shift: Some((1000, Duration::from_secs(120))),
            },
            _ => SafetySpec::default(),
        };
        let mut world = Self {
            keeper: Keeper::new(
                plan(&server.config, plane.as_ref()),
                &Memory::new(),
                Vec::new(),
                Duration::ZERO,
            ),
            server,
            plane,
            safety,
            ledger: Ledger::default(),
            answered: Answered::default(),
            steward: Steward::default(),
            conductor: Conductor::default(),
            planner: CapacityPlanner::default(),
            loads: Loads::default(),
            checks: Vec::new(),
            now: 0,
            truth: [[Truth::Lives; 2]; 4],
            since: [[0; 2]; 4],
            is_heard: true,
            heard_since: 0,
            rates: [10; 5],
            promised: HashMap::new(),
            counted_to: 0,
            calm: 0,
            is_news: false,
            back: [None; 4],
            served: [true; 4],
            lasting: Vec::new(),
            out: [false; 4],
            stages: Vec::new(),
            unfit: Vec::new(),
            noise: Chance::seeded(chance.draw()),
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
                let place = member.check.expect("a check") as usize;
                let key = plan.checks[place].key.clone();
                let last = last.get(&key).copied().flatten();
                let member = usize::from(member.place);
                let region = REGIONS.iter().position(|name| **name == *pool.region);
                assert_eq!(region, Some(number), "pools stand in the order of the regions");
                self.checks.push(Probed { key, place, pool: number, member, last });
            }
        }
        self.server.health = self.keeper.table();
        self.server.reload();
        let snapshot = self.server.snapshot();
        self.conductor.meet(&snapshot, self.safety);
        self.answered.forget();
        let records: Vec<&Record> = snapshot.catalog.values().flat_map(|of| &of.records).collect();
        self.planner.adopt(&self.server.config.pools, records.into_iter());
        // Counters begin anew with the plans.
        self.promised.clear();
        self.counted_to = self.now;
        self.conduct();
        self.last();
        self.follow_stages();
    }

    pub(super) fn reload(&mut self) {
        let (now, memory) = (self.time(), self.keeper.known().memory(self.time()));
        if let Some(plane) = &mut self.plane {
            plane.rebuild(&self.server.config, &memory, now);
        }
        let plan = plan(&self.server.config, self.plane.as_ref());
        drop(self.keeper.rebuild(plan, now));
        self.enter();
    }

    /// The process ends and begins again with what it keeps on disk.
    pub(super) fn restart(&mut self) {
        let (now, known) = (self.time(), self.keeper.known());
        let (memory, overrides) = (known.memory(now), known.overrides().to_vec());
        let starts = known.starts(now);
        if let Some(plane) = &mut self.plane {
            plane.restart(&self.server.config, &memory, now);
        }
        let plan = plan(&self.server.config, self.plane.as_ref());
        self.keeper = Keeper::new(plan, &memory, overrides, now);
        self.keeper.go_on(&starts, now);
        let returned = self.steward.returned(&self.server.snapshot(), now);
        self.steward = Steward::remembering(returned);
        let (stands, planned) =
            (self.conductor.stands().to_vec(), self.conductor.planned().to_vec());
        self.conductor = Conductor::new(stands, planned);
        self.planner = CapacityPlanner::default();
        // What was counted of a change that was pending is forgotten.
        self.checks.iter_mut().for_each(|check| check.last = None);
        self.back = [None; 4];
        self.heard_since = self.now;
        self.answered = Answered::default();
        self.enter();
    }

    /// A member lives or dies.
    pub(super) fn strike(&mut self, pool: usize, member: usize, truth: Truth) {
        if self.truth[pool][member] != truth {
            (self.truth[pool][member], self.since[pool][member]) = (truth, self.now);
        }
    }

    /// One second goes by.
    pub(super) fn second(&mut self, chance: &mut Chance, context: &str) {
        self.now += 1;
        self.calm += 1;
        self.is_news = false;
        let (now, wall) = (self.time(), self.wall());
        let ended = self.keeper.expire_overrides(wall, now);
        self.heed(&ended);
        if let Some(mut plane) = self.plane.take() {
            plane.second(self.now, &self.truth, chance, context);
            let events = self.keeper.adopt(plane.rulings(), now);
            self.is_news |= plane.is_news;
            self.plane = Some(plane);
            self.heed(&events);
        } else if self.is_heard && self.now.is_multiple_of(PROBED) {
            for at in 0..self.checks.len() {
                self.probe(at, chance);
            }
        }
        self.keeper.tick(now);
        self.ledger.second(wall);
        self.turn();
        self.look();
    }

    /// Notes who has come back, and how far canaries are.
    fn look(&mut self) {
        for (at, region) in REGIONS.iter().enumerate() {
            let serves = self.word(region, AreaId::WORLD).is_eligible();
            if self.ledger.touches(at) {
                self.back[at] = None;
            } else if serves && !self.served[at] {
                self.back[at] = Some(self.now);
            }
            // Who was taken out by hand comes back as a hand lets it.
            self.served[at] = serves || self.ledger.touches(at);
        }
    }

    /// Notes how far canaries are, and judges what that moves.
    fn follow_stages(&mut self) {
        let before = std::mem::take(&mut self.stages);
        let unfit = std::mem::take(&mut self.unfit);
        let snapshot = self.server.snapshot();
        let stage = |of: &Staged| {
            of.rules.iter().map(|sides| of.dials.stage(sides.rule)).max().unwrap_or(0)
        };
        self.stages = snapshot.staged.iter().map(stage).collect();
        self.unfit = vec![None; self.stages.len()];
        for (at, (staged, stage)) in snapshot.staged.iter().zip(&self.stages).enumerate() {
            let Change::Canary(spec) = &staged.change else { continue };
            let grown = stage.saturating_sub(before.get(at).copied().unwrap_or(*stage));
            let name = staged.owner.to_string();
            if grown > 0
                && let Some(limit) = self.safety.max_shift
            {
                self.answered.moved_of_record(&name, f64::from(grown) / 65_535.0, self.now, limit);
            }
            let stands = self.conductor.stands().iter().find(|stand| stand.record == staged.owner);
            let Some(At::Canary(canary)) = stands.map(|stand| &stand.at) else { continue };
            if spec.abort_below == 0 || canary.phase == Phase::Done {
                continue;
            }
            let is_unfit = staged.new_side().into_iter().any(|pool| {
                let word = self.server.health.word(pool, Family::V4, AreaId::WORLD);
                let lives = word.live().count_ones() * 5_000;
                !word.is_eligible() || lives < u32::from(spec.abort_below)
            });
            // It is looked at every second.
            let since = unfit.get(at).copied().flatten().unwrap_or(self.now);
            let is_late = is_unfit && since < self.now;
            assert!(*stage == 0 || !is_late, "abort: {name}, {canary:?}");
            self.unfit[at] = is_unfit.then_some(since);
        }
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
            // One that goes and comes back within a second begins again, too.
            self.last();
        }
    }

    pub(super) fn turn(&mut self) {
        self.conduct();
        let (now, snapshot) = (self.time(), self.server.snapshot());
        if !self.planner.is_idle() && self.planner.is_due(now, PLANNED, &self.server.health) {
            self.demand(&snapshot);
            let seen = Seen { now, health: &self.server.health, loads: &self.loads };
            self.planner.step(seen);
        }
        self.last();
        self.follow_stages();
    }

    /// Notes who serves, and since when.
    fn last(&mut self) {
        let believed = self.believed();
        self.lasting.resize(believed.len(), (true, 0));
        for (lasting, serves) in self.lasting.iter_mut().zip(believed) {
            if lasting.0 != serves {
                *lasting = (serves, self.now);
            }
        }
        for (out, (serves, _)) in self.out.iter_mut().zip(&self.lasting) {
            *out |= !serves;
        }
    }

    /// Everything that turns but the planner, which moves clients by itself.
    fn conduct(&mut self) {
        let snapshot = self.server.snapshot();
        let (now, wall) = (self.time(), self.wall());
        self.conductor.look(&snapshot, now);
        self.answered.look(self.now);
        self.conductor.heed(self.keeper.known().overrides());
        let due = self.conductor.tick(&snapshot, Moment { now, wall });
        for order in due.overrides {
            let events = self.keeper.set_override(order, now);
            self.heed(&events);
        }
        self.steward.turn(&snapshot, now);
        self.server.now = now;
    }

    /// Every city asks as often as it does; what was asked by the tests is part of it.
    fn demand(&mut self, snapshot: &Snapshot) {
        let seconds = self.now - self.counted_to;
        self.counted_to = self.now;
        let mut known = HashSet::new();
        for record in snapshot.catalog.values().flat_map(|of| &of.records) {
            let plan = Arc::as_ptr(&record.plan) as usize;
            let Some(spill) = record.plan.spill.as_ref().filter(|_| known.insert(plan)) else {
                continue;
            };
            for (city, rate) in CITIES.iter().zip(self.rates) {
                let order = record.plan.map.lookup(Ipv4Addr::new(*city, 1, 1, 0).into()).order;
                let promised = self.promised.entry((plan, order.number as usize)).or_default();
                for _ in 0..seconds {
                    let more = 0.97 + f64::from(self.noise.below(60_000)) / 1e6;
                    *promised += f64::from(rate) * more;
                }
            }
            for (&(of, order), promised) in &self.promised {
                let counted = spill.demand.sum(order);
                let missing =
                    if of == plan { (*promised as u64).saturating_sub(counted) } else { 0 };
                (0..missing).for_each(|_| spill.demand.count(0, order));
            }
        }
    }

    pub(super) fn word(&self, region: &str, area: AreaId) -> PoolWord {
        let at = REGIONS.iter().position(|name| *name == region).expect("a region");
        self.server.health.word(PoolId(at as u32), Family::V4, area)
    }

    pub(super) fn lives(&self, region: &str, area: AreaId) -> bool {
        self.word(region, area).is_eligible()
    }

    /// It has served ever since the process began.
    pub(super) fn never_out(&self, region: &str) -> bool {
        REGIONS.iter().zip(self.out).any(|(name, out)| *name == region && !out)
    }

    /// The key of a member's check, and its place in the plan.
    pub(super) fn check_of(&self, pool: usize, member: usize) -> (&str, usize) {
        let at = self.checks.iter().find(|of| (of.pool, of.member) == (pool, member));
        let at = at.expect("every member is checked");
        (&at.key, at.place)
    }

    /// Which view of health counts for a client.
    pub(super) fn area(&self, client: Ipv4Addr) -> AreaId {
        let has_area = self.plane.as_ref().is_some_and(Plane::has_area);
        if has_area && client.octets()[0] == PACIFIC { AreaId(1) } else { AreaId::WORLD }
    }

    /// Which pools serve, for every area.
    pub(super) fn believed(&self) -> Vec<bool> {
        let areas = 1 + usize::from(self.plane.as_ref().is_some_and(Plane::has_area));
        let of = |area| REGIONS.map(|region| self.lives(region, AreaId(area as u8)));
        (0..areas).flat_map(of).collect()
    }

    /// How many pools do not take everybody because they come back slowly, to a record's clients
    /// or at all.
    pub(super) fn returning(&self, name: &str) -> usize {
        let owner = format!("{name}.example.org.");
        let all = self.steward.returning(&self.server.snapshot(), self.time());
        let by_rule = all.iter().filter(|returning| *returning.record == *owner).count();
        let kept = |region: &&&str| {
            let word = self.word(region, AreaId::WORLD);
            word.is_eligible() && word.keep() < u16::MAX
        };
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
        let regions: Vec<&'static str> = message.answers.iter().map(region).collect();
        self.answered.note(name, &regions);
        Got {
            regions,
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
            self.ledger.lift(target);
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
            self.ledger.plan(order.clone(), from);
            self.conductor.plan(Planned { order, from, forced: true, held });
        } else {
            let regions = |world: &Self| {
                REGIONS.iter().filter(|region| world.lives(region, AreaId::WORLD)).count()
            };
            let (snapshot, before) = (self.server.snapshot(), regions(self));
            let takes = state != OverrideState::Up && self.lives(REGIONS[at], AreaId::WORLD);
            if let Err(why) = self.conductor.permit_override(&snapshot, &order, false, now) {
                return format!("{target} is not ordered to {state:?}: {why}");
            }
            let part = if matches!(target, OverrideTarget::Member(_)) { 0.5 } else { 1.0 };
            if let (true, Some(limit)) = (takes, self.safety.max_shift) {
                self.answered.moved_of_region(at, part, self.now, limit);
            }
            self.ledger.set(order.clone());
            drop(self.keeper.set_override(order, now));
            let (after, least) = (regions(self), usize::from(self.safety.min_regions_on));
            assert!(
                after >= before || after >= least,
                "regions: {after} of {before}, {least} must be on"
            );
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
            self.follow_stages();
            self.turn();
            return format!("{} is switched to {turn:?}", record.name);
        }
        let canary = records.iter().find(|record| record.has_sides && !record.has_switch);
        if let Some(record) = canary.filter(|_| chance.below(2) == 0) {
            let name = format!("{}.example.org.", record.name).parse().expect("a name");
            let order = Order::ALL[chance.below(5) as usize];
            let orderer = Orderer { by: "ops".to_owned(), ..Orderer::default() };
            let snapshot = self.server.snapshot();
            let at = Moment { now, wall };
            let is_done = self.conductor.order(&snapshot, &name, order, &orderer, at).is_ok();
            self.follow_stages();
            self.turn();
            return format!("{} is told to {order:?}: {is_done}", record.name);
        }
        let pool = REGIONS[chance.below(4) as usize];
        self.steward.resume(pool, None, now);
        self.back[REGIONS.iter().position(|of| *of == pool).unwrap_or(0)] = None;
        self.turn();
        format!("{pool} is resumed")
    }
}

/// What is checked and judged, with what vantages have concluded so far.
fn plan(config: &Config, plane: Option<&Plane>) -> Plan {
    let rulings = plane.map(|plane| plane.rulings().to_vec()).unwrap_or_default();
    Plan { rulings, ..load::plan(config) }
}
