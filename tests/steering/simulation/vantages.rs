//! The vantages of a world: agents that probe, break, lie and start anew, the council that hears
//! them, and what must follow from what they told, worked out once more in other words.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use meridian::config::Config;
use meridian::daemon::load;
use meridian::health::council::{Council, Ruling};
use meridian::health::persist::Memory;
use meridian::health::report::{Report, Vote, check_id};
use meridian::health::sample::{Reason, Sample};
use meridian::health::state::Belief;
use meridian::probe::agent::Agent;
use meridian::probe::monitor::Check;
use meridian::probe::schedule::Sink;
use meridian::probe::set::ProbeSet;
use meridian::seal::{Kind, SigningKey, seal};
use meridian::steer::chance::Chance;

use super::world::{PROBED, Truth};

/// How long a vote counts after the report it came with: two intervals and a timeout of the
/// monitor.
const PATIENCE: u64 = 5;
/// So long after a start the first conclusions may wait for those who have not voted.
const BEGINS: u64 = 8;
/// What lives is believed to by now, however often it had failed: damping asks for no more.
pub(super) const RISES: u64 = 330;
/// Whoever has not changed for so long has told what it sees, and is or is not believed.
const TOLD: u64 = 15;

/// How many vantages there are, and how they are counted.
pub(super) struct Shape {
    groups: usize,
    each: usize,
    /// Those of the last group see for the clients of an area.
    has_area: bool,
    voters: u16,
    quorum: Option<(u16, u16)>,
    keys: Vec<SigningKey>,
}

/// What ails a vantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ail {
    Nothing,
    /// Its reports are lost.
    Silent,
    /// It reaches nothing that it probes, but its canaries.
    Blind,
    /// It reaches nothing at all.
    CutOff,
    /// It says that everything serves.
    Lies,
    /// Its machine runs late.
    Late,
}

struct Vantage {
    name: String,
    place: usize,
    group: usize,
    is_near: bool,
    ail: Ail,
    since: u64,
    agent: Agent,
    boot: u64,
    seq: u64,
    told: Option<Told>,
    /// Something it told was taken in.
    is_known: bool,
}

/// The last report that came in.
struct Told {
    at: u64,
    votes: Vec<Option<bool>>,
    doubts_itself: bool,
}

/// Vantages and their council.
pub(super) struct Plane {
    shape: Shape,
    vantages: Vec<Vantage>,
    council: Council,
    set: ProbeSet,
    /// By check, its pool and member.
    places: Vec<(usize, usize)>,
    begun: u64,
    /// Pools that nobody in the area reaches, and since when.
    pub(super) cut: [(bool, u64); 4],
    /// Votes have changed in the last second, which nobody foresees.
    pub(super) is_news: bool,
}

impl Shape {
    /// Vantages, in half of all worlds.
    pub(super) fn drawn(chance: &mut Chance) -> Option<Self> {
        if chance.below(2) == 0 {
            return None;
        }
        let (groups, each) = (1 + chance.below(3) as usize, 1 + chance.below(3) as usize);
        let has_area = groups > 1 && chance.below(2) == 0;
        let voters = [3, 3, 2][chance.below(3) as usize];
        let quorum = (groups * each >= 3 && chance.below(4) == 0).then_some((2, 3));
        let keys = (0..groups * each).map(|_| SigningKey::generate().expect("a key"));
        Some(Self { groups, each, has_area, voters, quorum, keys: keys.collect() })
    }

    /// What stands of them in meridian.toml.
    pub(super) fn toml(&self) -> String {
        let mut toml = format!("[health]\nvoters = {}\n", self.floor());
        if let Some((need, of)) = self.quorum {
            toml += &format!("quorum = \"{need}/{of}\"\n");
        }
        for (at, key) in self.keys.iter().enumerate() {
            let group = at / self.each;
            let key = key.public();
            toml += &format!("[vantage.v{at}]\nkey = \"{key}\"\ngroup = \"g{group}\"\n");
            if self.is_near(group) {
                toml += "area = \"pacific\"\n";
            }
        }
        if self.has_area {
            toml += "[area.pacific]\nmatch = { continent = \"OC\" }\n";
        }
        toml
    }

    const fn is_near(&self, group: usize) -> bool {
        self.has_area && group + 1 == self.groups
    }

    fn floor(&self) -> usize {
        usize::from(self.voters).min(self.keys.len())
    }

    /// Up votes of so many vantages that it takes, where that is what counts.
    fn need(&self, vantages: usize) -> Option<usize> {
        self.quorum.map(|(need, of)| (usize::from(need) * vantages).div_ceil(usize::from(of)))
    }
}

impl Plane {
    /// Vantages that nobody has heard of yet.
    pub(super) fn new(shape: Shape, config: &Config) -> Self {
        let canary = |name: &str| Check { key: name.into(), ..config.checks[0].clone() };
        let set = ProbeSet {
            revision: 1,
            checks: config.checks.clone(),
            canaries: vec![canary("gateway"), canary("resolver")],
        };
        let mut regions = vec![(0, 0); set.checks.len()];
        for (pool, spec) in load::plan(config).pools.iter().enumerate() {
            for member in &spec.members {
                let check = member.check.expect("a check") as usize;
                regions[check] = (pool, usize::from(member.place));
            }
        }
        let vantages = (0..shape.keys.len()).map(|at| Vantage {
            name: format!("v{at}"),
            place: at,
            group: at / shape.each,
            is_near: shape.is_near(at / shape.each),
            ail: Ail::Nothing,
            since: 0,
            agent: begun(&set, Duration::ZERO),
            boot: 1,
            seq: 0,
            told: None,
            is_known: false,
        });
        Self {
            vantages: vantages.collect(),
            council: council(config, &Memory::new(), &HashMap::new(), Duration::ZERO),
            shape,
            set,
            places: regions,
            begun: 0,
            cut: [(false, 0); 4],
            is_news: false,
        }
    }

    /// What is concluded, by area and check.
    pub(super) fn rulings(&self) -> &[Vec<Ruling>] {
        self.council.rulings()
    }

    /// Files are read once more.
    pub(super) fn rebuild(&mut self, config: &Config, memory: &Memory, now: Duration) {
        let believed = |key: &str| memory.get(key).map(|of| (of.belief, of.held));
        self.council.rebuild(load::panel(config), believed, now);
    }

    /// The node begins again with what it keeps on disk.
    pub(super) fn restart(&mut self, config: &Config, memory: &Memory, now: Duration) {
        self.council = council(config, memory, &self.council.intake().newest(), now);
        self.begun = now.as_secs();
        self.vantages.iter_mut().for_each(|vantage| vantage.told = None);
    }

    /// Something befalls a vantage, all of a group, or the way from the area to a pool; or it is
    /// over.
    pub(super) fn befall(&mut self, now: u64, chance: &mut Chance) -> String {
        const AILS: [Ail; 5] = [Ail::Silent, Ail::Blind, Ail::CutOff, Ail::Lies, Ail::Late];
        let drawn = chance.below(10);
        let at = chance.below(self.vantages.len() as u32) as usize;
        if drawn == 0 && self.shape.has_area {
            let cut = &mut self.cut[chance.below(4) as usize];
            *cut = (!cut.0, now);
            return format!("the area reaches and does not reach {:?}", self.cut);
        }
        if drawn == 1 {
            return self.deceive(at, now);
        }
        if drawn == 2 {
            let vantage = &mut self.vantages[at];
            (vantage.agent, vantage.since) = (begun(&self.set, Duration::from_secs(now)), now);
            (vantage.boot, vantage.seq) = (vantage.boot + 1, 0);
            return format!("{} starts anew", vantage.name);
        }
        let is_group = chance.below(3) == 0;
        let ail = if chance.below(2) == 0 { Ail::Nothing } else { AILS[chance.below(5) as usize] };
        let group = self.vantages[at].group;
        for (place, vantage) in self.vantages.iter_mut().enumerate() {
            if vantage.ail != ail && (place == at || is_group && vantage.group == group) {
                (vantage.ail, vantage.since) = (ail, now);
            }
        }
        format!("{ail:?} ails v{at}, its whole group: {is_group}")
    }

    /// Somebody sends an old report once more, one under another's name, and one of its own.
    fn deceive(&mut self, at: usize, now: u64) -> String {
        let vantage = &self.vantages[at];
        let time = Duration::from_secs(now);
        let eve = SigningKey::generate().expect("a key");
        let mut report = vantage.agent.report(1, 0, Duration::from_secs(1), time);
        let old = report.encode().expect("a report");
        report.boot = u64::MAX;
        let forged = report.encode().expect("a report");
        let intake = self.council.intake_mut();
        let sealed = |octets, key| seal(key, Kind::Report, &vantage.name, octets);
        let old = vantage.is_known.then(|| sealed(&old, &self.shape.keys[vantage.place]));
        for envelope in old.into_iter().chain([sealed(&forged, &eve)]) {
            assert!(
                intake.accept(&vantage.name, &envelope, time).is_err(),
                "let in: an old or forged report"
            );
        }
        let stranger = seal(&eve, Kind::Report, "eve", &forged);
        assert!(intake.accept("eve", &stranger, time).is_err(), "nobody knows her");
        format!("somebody speaks for {}", vantage.name)
    }

    /// A second: whose turn it is probes, everybody tells, and the council sits.
    pub(super) fn second(
        &mut self,
        now: u64,
        truth: &[[Truth; 2]; 4],
        chance: &mut Chance,
        context: &str,
    ) {
        let (places, cut) = (&self.places, &self.cut);
        for vantage in &mut self.vantages {
            let reaches = |check: usize, chance: &mut Chance| {
                let (pool, member) = places[check];
                let lives = match truth[pool][member] {
                    Truth::Lives => true,
                    Truth::Dead => false,
                    Truth::Flaky => chance.below(2) == 0,
                };
                lives && !(vantage.is_near && cut[pool].0)
            };
            if now.is_multiple_of(PROBED) {
                vantage.agent.probe(&self.set, vantage.ail, now, |check| reaches(check, chance));
            }
            vantage.tell(&mut self.council, &self.set, now);
        }
        let before = self.beliefs();
        let votes = |council: &Council| -> Vec<(u16, u16)> {
            let rulings = council.rulings().iter().flatten();
            rulings.map(|ruling| (ruling.ups, ruling.downs)).collect()
        };
        let counted = votes(&self.council);
        self.council.deliberate(Duration::from_secs(now));
        self.is_news = counted != votes(&self.council) || before != self.beliefs();
        if now >= self.begun + BEGINS {
            self.judge(&before, now, context);
        }
    }

    fn beliefs(&self) -> Vec<Vec<Belief>> {
        let rulings = self.rulings().iter();
        rulings.map(|area| area.iter().map(|ruling| ruling.by_votes).collect()).collect()
    }

    /// Whose votes count: those heard lately, who neither doubt themselves nor fail nearly
    /// everywhere while somebody else reaches half of that, unless another group fails as much
    /// and reaches what they reach.
    fn heard(&self, now: u64) -> Vec<(&Vantage, &Told)> {
        let told = self.vantages.iter().filter_map(|of| Some((of, of.told.as_ref()?)));
        let told = told.filter(|(_, told)| now - told.at <= PATIENCE && !told.doubts_itself);
        let told: Vec<_> = told.collect();
        let is_odd = |(of, own): &(&Vantage, &Told)| {
            let Some(fails) = self.fails_nearly_all(own) else { return false };
            let is_borne_out = told.iter().any(|(other, theirs)| {
                let mut both = own.votes.iter().zip(&theirs.votes);
                other.group != of.group
                    && self.fails_nearly_all(theirs).is_some()
                    && both.any(|votes| votes == (&Some(true), &Some(true)))
            });
            let reached = |theirs: &Told| {
                fails.iter().filter(|check| theirs.votes[**check] == Some(true)).count()
            };
            let is_contradicted = told.iter().any(|(_, theirs)| 2 * reached(theirs) >= fails.len());
            is_contradicted && !is_borne_out
        };
        told.iter().filter(|of| !is_odd(of)).copied().collect()
    }

    /// What fails, where it is four fifths of five or more, and in more than one region.
    fn fails_nearly_all(&self, told: &Told) -> Option<Vec<usize>> {
        let of = told.votes.iter().flatten().count();
        let fails: Vec<usize> =
            (0..told.votes.len()).filter(|check| told.votes[*check] == Some(false)).collect();
        let regions: HashSet<usize> = fails.iter().map(|check| self.places[*check].0).collect();
        (of >= 5 && fails.len() * 10 >= of * 8 && regions.len() > 1).then_some(fails)
    }

    /// What follows from the votes, check by check and view by view.
    fn judge(&self, before: &[Vec<Belief>], now: u64, context: &str) {
        let heard = self.heard(now);
        for (area, rulings) in self.rulings().iter().enumerate() {
            let here = |of: &Vantage| area == 0 || of.is_near;
            let all = self.vantages.iter().filter(|of| here(of)).count();
            for (check, ruling) in rulings.iter().enumerate() {
                let votes = heard.iter().filter(|(of, _)| here(of));
                let votes = votes.filter_map(|(of, told)| Some((of.group, told.votes[check]?)));
                let votes: Vec<(usize, bool)> = votes.collect();
                let was = before[area][check];
                let wanted = match self.follows(&votes, all, was) {
                    None if area > 0 => self.rulings()[0][check].by_votes,
                    None => was,
                    Some(belief) => belief,
                };
                assert_eq!(
                    ruling.by_votes,
                    wanted,
                    "quorum: {votes:?} of {all}, {was:?} before, for area {area}, and {}: {context}",
                    ruling.describe()
                );
            }
        }
    }

    /// `None` where there are too few.
    fn follows(&self, votes: &[(usize, bool)], all: usize, was: Belief) -> Option<Belief> {
        if votes.len() < self.shape.floor().max(1) {
            return None;
        }
        let ups = votes.iter().filter(|(_, up)| *up).count();
        if let Some(need) = self.shape.need(all) {
            return Some(match () {
                () if ups >= need => Belief::Up,
                () if ups + (all - votes.len()) < need => Belief::Down,
                () => was,
            });
        }
        // Groups have one to three: sixths are exact.
        let sixths = (0..self.shape.groups).filter_map(|group| {
            let of = votes.iter().filter(|(at, _)| *at == group);
            let ups = of.clone().filter(|(_, up)| *up).count();
            (6 * ups).checked_div(of.count())
        });
        let sixths: Vec<usize> = sixths.collect();
        let (sum, most) = (sixths.iter().sum::<usize>(), 6 * sixths.len());
        Some(match was {
            _ if 3 * sum < most => Belief::Down,
            _ if 3 * sum >= 2 * most => Belief::Up,
            Belief::Down => Belief::Down,
            _ => Belief::Degraded,
        })
    }

    /// What clients of an area must be told of a member, whatever those say who are not well:
    /// `None` where those could decide.
    pub(super) fn sees(
        &self,
        (pool, member): (usize, usize),
        area: usize,
        (truth, since): (&[[Truth; 2]; 4], &[[u64; 2]; 4]),
        now: u64,
    ) -> Option<bool> {
        let (is_cut, cut_since) = self.cut[pool];
        let fails = |near: bool| {
            // What lives again is believed dead for a while.
            let lives = |(pool, member): &(usize, usize)| {
                let (is_cut, cut_since) = self.cut[*pool];
                let was_reached = now >= cut_since + RISES || cut_since == 0;
                let lived = now >= since[*pool][*member] + RISES || since[*pool][*member] == 0;
                let reached = !near || !is_cut && was_reached;
                truth[*pool][*member] == Truth::Lives && lived && reached
            };
            self.places.iter().filter(|place| !lives(place)).count()
        };
        // Where nearly nothing is left, one who lies speaks against everybody else.
        let is_strained = fails(true) * 10 >= self.places.len() * 8;
        if now < self.begun + TOLD || now < cut_since + TOLD || is_strained {
            return None;
        }
        let lives = truth[pool][member] == Truth::Lives && !(area > 0 && is_cut);
        let is_well = |of: &Vantage| {
            of.ail == Ail::Nothing && now >= of.since + TOLD && !(area == 0 && is_cut && of.is_near)
        };
        let here: Vec<&Vantage> =
            self.vantages.iter().filter(|of| area == 0 || of.is_near).collect();
        let well = here.iter().filter(|of| is_well(of)).count();
        if well < self.shape.floor() {
            return None;
        }
        // Whoever is not well says the opposite.
        let votes = here.iter().map(|of| (of.group, is_well(of) == lives));
        let votes: Vec<(usize, bool)> = votes.collect();
        let wanted = if lives { Belief::Up } else { Belief::Down };
        let was = if lives { Belief::Down } else { Belief::Up };
        (self.follows(&votes, here.len(), was) == Some(wanted)).then_some(lives)
    }

    pub(super) const fn has_area(&self) -> bool {
        self.shape.has_area
    }
}

fn begun(set: &ProbeSet, now: Duration) -> Agent {
    let agent = Agent::default();
    agent.update(set, now);
    agent
}

fn council(
    config: &Config,
    memory: &Memory,
    newest: &HashMap<Box<str>, (u64, u64)>,
    now: Duration,
) -> Council {
    let believed = |key: &str| memory.get(key).map(|of| (of.belief, of.held));
    Council::new(load::panel(config), believed, newest, now)
}

trait Probes {
    fn probe(&self, set: &ProbeSet, ail: Ail, now: u64, reaches: impl FnMut(usize) -> bool);
}

impl Probes for Agent {
    /// Everything in the set once, as what ails the vantage lets it.
    fn probe(&self, set: &ProbeSet, ail: Ail, now: u64, mut reaches: impl FnMut(usize) -> bool) {
        let sample = |lives: bool| match lives {
            true => Sample::success(Duration::from_millis(5)),
            false => Sample::failure(Reason::Refused, Duration::from_millis(5)),
        };
        let now = Duration::from_secs(now);
        for (place, check) in set.checks.iter().enumerate() {
            let lives = match ail {
                Ail::Blind | Ail::CutOff => false,
                Ail::Lies => true,
                Ail::Nothing | Ail::Silent | Ail::Late => reaches(place),
            };
            let _ = self.observe(check, &sample(lives), now);
        }
        for canary in &set.canaries {
            let _ = self.observe(canary, &sample(ail != Ail::CutOff), now);
        }
    }
}

impl Vantage {
    /// Tells all it knows, unless nobody hears it.
    fn tell(&mut self, council: &mut Council, set: &ProbeSet, now: u64) {
        if self.ail == Ail::Late {
            self.agent.ran_late(Duration::from_millis(700));
        }
        self.seq += 1;
        let (time, second) = (Duration::from_secs(now), Duration::from_secs(1));
        let report = self.agent.report(self.boot, self.seq, second, time);
        if self.ail == Ail::Silent {
            return;
        }
        self.told = Some(Told {
            at: now,
            votes: set.checks.iter().map(|check| vote(&report, check)).collect(),
            doubts_itself: self.doubts(&report),
        });
        self.is_known = true;
        council.intake_mut().accept_own(&self.name, report, time);
    }

    fn doubts(&self, report: &Report) -> bool {
        let itself = report.itself;
        2 * itself.canaries_ok < itself.canaries || itself.lag_ms > 500
    }
}

fn vote(report: &Report, check: &Check) -> Option<bool> {
    let id = check_id(&check.key);
    let slot = report.slots.iter().find(|slot| slot.check == id)?;
    match slot.belief {
        Vote::Unknown => None,
        Vote::Up => Some(true),
        Vote::Down => Some(false),
    }
}
