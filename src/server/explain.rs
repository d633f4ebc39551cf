//! Explaining one answer: the same road with a recorder, so it cannot disagree.
//!
//! Slow and allocating, for people; never called for a packet.

mod words;

use std::net::IpAddr;

use hickory_proto::op::Message;
use serde::{Deserialize, Serialize};

use super::answer::{Asked, Qname, Scratch, Trace, answer};
use super::stats::Thread;
use crate::geo::map::{Hit, Order};
use crate::health::table::{HealthTable, PoolLoad, PoolWord};
use crate::region::{AreaId, Family, PoolId, RegionId};
use crate::snapshot::{Served, Snapshot};
use crate::steer::chance::Chance;
use crate::steer::dials;
use crate::steer::record::{Plan, Policy, PolicySpec, Record, Site};
use crate::steer::select::{self, Selection, Standing};
use crate::steer::spill::{Spill, Spills};
use crate::steer::tally::Reason;
use crate::wire::name::{Name, NameRef};
use crate::wire::query::Query;
use crate::wire::response::Response;
use crate::wire::types::{Class, Rcode, Rtype};
use crate::zone::hash::Suffixes;
use crate::zone::lookup::Lookup;

/// Why a client gets what it gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name asked for.
    pub name: String,
    /// The type asked for.
    pub qtype: String,
    /// The client: address and, for a subnet, its prefix length.
    pub client: String,
    /// What is known of the client.
    pub place: PlaceView,
    /// One step per name of the chain.
    pub steps: Vec<Step>,
    /// The response code.
    pub rcode: String,
    /// The answer, authority and additional sections as master-file lines.
    pub answer: Vec<String>,
    /// Name servers of a referral, SOA of a negative answer.
    pub authority: Vec<String>,
    /// Glue.
    pub additional: Vec<String>,
    /// Leading bits of the client's address the answer holds for.
    pub scope: u8,
}

/// What is known of where a client is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceView {
    /// The block of addresses of which the same is known.
    pub network: String,
    /// Continent code.
    pub continent: Option<String>,
    /// Country code.
    pub country: Option<String>,
    /// Subdivision code.
    pub subdivision: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Latitude and longitude in degrees.
    pub location: Option<[f64; 2]>,
    /// Autonomous system.
    pub asn: Option<u32>,
    /// The region the operator pinned it to.
    pub region: Option<String>,
    /// Who says so.
    pub source: String,
}

/// One name of the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The name.
    pub name: String,
    /// The apex of its zone.
    pub zone: String,
    /// How the search ended, in words.
    pub found: String,
    /// How it was steered, where it was.
    pub steering: Option<Steering>,
}

/// How a steered name was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steering {
    /// The record's owner name.
    pub record: String,
    /// The area the client is in, whose view of health counts; `None` for that of the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Number of the rule that matched, from 1; `None` when none did.
    pub rule: Option<usize>,
    /// How many rules there are.
    pub rules: usize,
    /// Which clients the rule is for, in words.
    pub clients: Option<String>,
    /// The rule's policy.
    pub policy: Option<String>,
    /// Leading bits of the client's address that decide where it stays, under a policy by which
    /// clients stay.
    pub stays_by: Option<u8>,
    /// Whether the rule is a fence.
    pub fence: bool,
    /// How many candidates are equally near and how the first of them is found, where there are
    /// several.
    #[serde(default)]
    pub ties: Option<String>,
    /// Which side of a rule that moves clients from one to the other this client is on: `new`
    /// or `old`.
    #[serde(default)]
    pub side: Option<String>,
    /// The groups that were gone through, the outermost first.
    #[serde(default)]
    pub via: Vec<String>,
    /// Every candidate, in the order in which they were or would be tried.
    pub candidates: Vec<CandidateView>,
    /// One of [`Reason`], in its word.
    pub reason: String,
    /// Too few of the rule's pools were eligible: how many, of how many.
    pub panic: Option<(usize, usize)>,
    /// What was answered instead, when nothing was left.
    pub last_resort: Option<String>,
    /// TTL in seconds.
    pub ttl: u32,
    /// Leading bits of the client's address this choice holds for.
    pub scope: u8,
}

/// One pool, as this client sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateView {
    /// The pool.
    pub pool: String,
    /// Its region.
    pub region: String,
    /// What it hands out.
    pub target: String,
    /// The name of its own that it has under the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Great-circle distance in kilometres, where both places are known.
    pub distance_km: Option<f64>,
    /// Milliseconds from the client, under `latency`, where anything is known.
    #[serde(default)]
    pub latency_ms: Option<f64>,
    /// What they are: `measured`, `measured, 7 samples`, `estimated by distance`, or both.
    #[serde(default)]
    pub latency_from: Option<String>,
    /// It is as near as the nearest, by the rule's band.
    #[serde(default)]
    pub tied: bool,
    /// The part in use of what it can take, where that is known and breaks ties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Its share of the clients for whom the same are equally near, by the room it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<f64>,
    /// Its bias, in percent.
    pub bias: i8,
    /// Its weight under `weighted` and `hash`.
    pub weight: Option<u32>,
    /// `own` for the rule's own pools, `other` for those tried after them, `outside` for those that
    /// a fence keeps clients from.
    pub group: String,
    /// Verdict for the family asked for.
    pub verdict: String,
    /// The share of clients it takes now, `0.0..1.0`; `None` when it takes all.
    #[serde(default)]
    pub keeps: Option<f64>,
    /// `picked`, `struck out`, `passed over`, `not needed`.
    pub outcome: String,
    /// What kept it from answering, for machines: `unhealthy`, `drained`, `at-capacity`, `shed`,
    /// `no-address` or `fenced`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Why it was struck out or passed over.
    pub why: Option<String>,
}

/// Whom and what to explain.
#[derive(Debug, Clone)]
pub struct Question {
    /// The qname.
    pub name: Name,
    /// The qtype.
    pub qtype: Rtype,
    /// The client's address.
    pub client: IpAddr,
    /// Its prefix length, when it is a subnet.
    pub prefix: Option<u8>,
    /// Seed of the chances that are drawn.
    pub seed: u64,
}

/// Explains what `snapshot` answers under `health`.
pub fn explain(snapshot: &Snapshot, health: &HealthTable, question: &Question) -> Explanation {
    supposing(snapshot, health, &Spills::default(), question)
}

/// Explains what `snapshot` would answer under `health` if plans had been told `spills` of what
/// pools can take.
pub fn supposing(
    snapshot: &Snapshot,
    health: &HealthTable,
    spills: &Spills,
    question: &Question,
) -> Explanation {
    let stats = Thread::default();
    let asked = Asked {
        snapshot,
        health,
        qtype: question.qtype,
        qclass: Class::IN,
        client: question.client,
        source: &question.client,
        stats: &stats,
        // Out of range: an explanation counts as nobody's answer.
        thread: usize::MAX,
    };
    let lower = question.name.to_lowercase();
    let mut suffixes = Suffixes::new();
    suffixes.split(lower.as_wire());
    let name = suffixes.name(lower.as_wire());
    let packet = packet(question);
    let mut query = Query::new();
    let readable = query.read(&packet).is_ok();
    let mut out = vec![0; usize::from(u16::MAX)];
    let mut recorder = Recorder {
        snapshot,
        health,
        spills,
        qtype: question.qtype,
        client: question.client,
        steps: Vec::new(),
        pending: Pending::default(),
    };
    let mut scope = 0;
    let mut length = 0;
    if let Some(mut response) = Response::begin(&mut out, &query, query.question(&packet), 65_535)
        && readable
    {
        scope = answer(
            &asked,
            Qname::find(snapshot, name),
            &mut Scratch::new(),
            &mut response,
            &mut Chance::seeded(question.seed),
            &mut recorder,
        );
        length = response.finish(&query, snapshot.udp_size, scope);
    }
    let message = Message::from_vec(out.get(..length).unwrap_or_default()).ok();
    let lines = |records: Option<&[hickory_proto::rr::Record]>| {
        records.unwrap_or_default().iter().map(ToString::to_string).collect()
    };
    Explanation {
        name: question.name.to_string(),
        qtype: question.qtype.to_string(),
        client: match question.prefix {
            Some(prefix) => format!("{}/{prefix}", question.client),
            None => question.client.to_string(),
        },
        place: place(snapshot, question.client),
        steps: recorder.steps,
        rcode: Rcode(u16::from(out[3] & 0x0f)).to_string(),
        answer: lines(message.as_ref().map(|message| &*message.answers)),
        authority: lines(message.as_ref().map(|message| &*message.authorities)),
        additional: lines(message.as_ref().map(|message| &*message.additionals)),
        scope,
    }
}

/// The question as a packet, without EDNS.
fn packet(question: &Question) -> Vec<u8> {
    let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend_from_slice(question.name.as_wire());
    packet.extend_from_slice(&question.qtype.0.to_be_bytes());
    packet.extend_from_slice(&Class::IN.0.to_be_bytes());
    packet
}

/// What is known of a client, in words.
pub fn place(snapshot: &Snapshot, client: IpAddr) -> PlaceView {
    let located = snapshot.world.locate(client);
    let place = located.place;
    let code = |code: [u8; 2]| String::from_utf8_lossy(&code).into_owned();
    let region = place.region.and_then(|region| snapshot.regions.get(usize::from(region.0)));
    PlaceView {
        network: format!("{}/{}", located.network.0, located.network.1),
        continent: place.continent.map(|continent| code(continent.0)),
        country: place.country.map(|country| code(country.0)),
        subdivision: place.subdivision.as_ref().map(ToString::to_string),
        city: place.city.as_ref().map(ToString::to_string),
        location: place.location.map(|at| [at.latitude, at.longitude]),
        asn: place.asn,
        region: region.map(|region| region.name.to_string()),
        source: located.source,
    }
}

/// Writes down every step of the road.
struct Recorder<'s> {
    snapshot: &'s Snapshot,
    health: &'s HealthTable,
    spills: &'s Spills,
    qtype: Rtype,
    client: IpAddr,
    steps: Vec<Step>,
    pending: Pending,
}

/// What was seen since the last `steering`.
#[derive(Default)]
struct Pending {
    order: Option<Order>,
    considered: Vec<(u16, (PoolWord, PoolWord), Standing)>,
    panic: Option<(usize, usize)>,
    is_new: Option<bool>,
    via: Vec<String>,
    /// At which place of its order the client is told to begin.
    begins: Option<usize>,
    /// Those equally near that serve, with their loads and the room they have.
    weighed: Vec<(u16, PoolLoad, u64)>,
    /// The two of them that were chosen from.
    paired: Option<[u16; 2]>,
}

impl select::Trace for Recorder<'_> {
    fn located(&mut self, hit: &Hit<'_>) {
        self.pending.order = Some(hit.order.clone());
    }

    fn considered(&mut self, site: u16, words: (PoolWord, PoolWord), standing: Standing) {
        // One that was passed over and taken all the same keeps why it was passed over.
        self.pending
            .considered
            .retain(|(seen, _, before)| *seen != site || *before == Standing::Shed);
        self.pending.considered.push((site, words, standing));
    }

    fn staged(&mut self, new: bool) {
        self.pending.is_new = Some(new);
    }

    fn entered(&mut self, group: &str) {
        if !group.is_empty() && !self.pending.via.iter().any(|known| known == group) {
            self.pending.via.push(group.to_owned());
        }
    }

    fn spilled(&mut self, begins: usize) {
        self.pending.begins = Some(begins);
    }

    fn spill<'p>(&'p self, plan: &'p Plan) -> Option<&'p Spill> {
        self.spills.of(plan).or(plan.spill.as_deref())
    }

    fn weighed(&mut self, site: u16, load: PoolLoad, room: u64) {
        if !self.pending.weighed.iter().any(|(seen, ..)| *seen == site) {
            self.pending.weighed.push((site, load, room));
        }
    }

    fn paired(&mut self, one: u16, other: u16) {
        self.pending.paired.get_or_insert([one, other]);
    }

    fn panicked(&mut self, eligible: usize, own: usize) {
        self.pending.panic = Some((eligible, own));
    }
}

impl Trace for Recorder<'_> {
    fn zone(&mut self, served: &Served, qname: &[u8]) {
        self.steps.push(Step {
            name: NameRef::from_wire(qname).unwrap_or(NameRef::ROOT).to_string(),
            zone: served.origin.to_string(),
            found: String::new(),
            steering: None,
        });
    }

    fn ending(&mut self, ending: &Lookup<'_>) {
        let Some(step) = self.steps.last_mut() else { return };
        step.found = match ending {
            Lookup::Found(node) => found(node.steered().is_some(), node.is_empty()).to_owned(),
            Lookup::Wildcard { node, .. } => {
                format!("no such name, the wildcard {} stands for it", node.name())
            }
            Lookup::Referral { cut, .. } => format!("delegated at {}", cut.name()),
            Lookup::SteeredCut { node, .. } => format!("below the steered name {}", node.name()),
            Lookup::Dname { node, .. } => format!("below the DNAME at {}", node.name()),
            Lookup::NxDomain { encloser, .. } => {
                format!("no such name; the closest that exists is {}", encloser.name())
            }
        };
    }

    fn steering(&mut self, _record: &Record) {
        self.pending = Pending::default();
    }

    fn selected(&mut self, record: &Record, selection: &Selection<'_>) {
        let steering = self.describe(record, selection);
        // HTTPS selects for each family; the first leads.
        if let Some(step) = self.steps.last_mut() {
            step.steering.get_or_insert(steering);
        }
    }
}

const fn found(steered: bool, empty: bool) -> &'static str {
    match (steered, empty) {
        (true, _) => "a steered name",
        (false, true) => "an empty non-terminal",
        (false, false) => "a name of the master file",
    }
}

impl Recorder<'_> {
    fn describe(&self, record: &Record, selection: &Selection<'_>) -> Steering {
        let order = self.pending.order.as_ref();
        let number = order.and_then(|order| order.rule);
        let rule = number.and_then(|number| record.plan.rules.get(usize::from(number)));
        let own: &[u16] = rule.map_or(&[], |rule| &rule.own);
        let mut sites: Vec<u16> = Vec::new();
        let kept = order.map_or(&[][..], |order| &order.sites[..usize::from(order.len)]);
        let weighted =
            rule.is_some_and(|rule| !matches!(rule.policy, Policy::Failover | Policy::Nearest));
        let first: [&[u16]; 2] = if weighted { [own, kept] } else { [kept, own] };
        let others: &[u16] = rule.map_or(&[], |rule| &rule.others);
        // What a fence keeps clients from is told, too.
        let is_fenced = rule.is_some_and(|rule| rule.fence);
        let all = (0..record.plan.sites.len() as u16).filter(|_| is_fenced);
        let fenced: Vec<u16> = all.filter(|site| self.is_outside(record, own, *site)).collect();
        for &site in first.into_iter().chain([others, &fenced]).flatten() {
            if !sites.contains(&site) {
                sites.push(site);
            }
        }
        let place = |site: &u16| own.iter().position(|own| own == site);
        let view = |site: &u16| {
            let mut view = self.candidate(record, number, (*site, place(site)), selection)?;
            if fenced.contains(site) {
                words::keep_outside(&mut view);
            }
            Some(view)
        };
        let mut candidates: Vec<CandidateView> = sites.iter().filter_map(view).collect();
        let weighs = rule.filter(|rule| rule.word != PolicySpec::Multivalue.as_str());
        if let Some(weights) = weighs.and_then(|rule| rule.policy.weights()) {
            for (at, site) in sites.iter().enumerate() {
                candidates[at].weight =
                    own.iter().position(|own| own == site).and_then(|at| weights.get(at).copied());
            }
        }
        Steering {
            record: record.owner.to_string(),
            area: selection
                .area
                .place()
                .and_then(|place| self.snapshot.areas.get(place))
                .map(ToString::to_string),
            rule: number.map(|number| usize::from(number) + 1),
            rules: record.plan.rules.len(),
            clients: rule.map(|rule| rule.clients.to_string()),
            policy: rule.map(|rule| rule.word.to_owned()),
            stays_by: rule.and_then(|rule| match &rule.policy {
                Policy::Hash { key, .. } => Some(key.bits(self.client)),
                _ => None,
            }),
            fence: rule.is_some_and(|rule| rule.fence),
            ties: order.map(|order| order.head().len()).filter(|tied| *tied > 1).and_then(|tied| {
                let band = rule?.band?;
                if self.pending.begins.is_some_and(|begins| begins < tied) {
                    let which = "which of them takes this client is planned by capacity";
                    return Some(format!("{tied} are equally near, {which}"));
                }
                let two = self.pending.paired.map(|two| self.both(record, two));
                let two = two.map_or(String::new(), |two| format!(": {two}"));
                Some(format!("{tied} are equally near, {} comes first{two}", band.ties.as_str()))
            }),
            side: self.pending.is_new.map(|new| if new { "new" } else { "old" }.to_owned()),
            via: self.pending.via.clone(),
            candidates,
            reason: selection.reason.as_str().to_owned(),
            panic: self.pending.panic,
            last_resort: selection.last_resort.map(words::last_resort_text),
            ttl: selection.ttl.seconds(),
            scope: selection.scope,
        }
    }

    fn candidate(
        &self,
        record: &Record,
        rule: Option<u8>,
        (number, place): (u16, Option<usize>),
        selection: &Selection<'_>,
    ) -> Option<CandidateView> {
        let site = record.plan.sites.get(usize::from(number))?;
        let pool = self.snapshot.pools.get(site.pool.0 as usize)?;
        let region = self.snapshot.regions.get(usize::from(pool.region.0))?;
        let from = self.snapshot.world.locate(self.client).place.location;
        let distance = from.zip(region.location).map(|(from, to)| from.kilometres_to(to));
        let latency = rule.and_then(|rule| self.latency(record, rule, pool.region, distance));
        let seen = self.pending.considered.iter().find(|(seen, ..)| *seen == number);
        let weighed = self.pending.weighed.iter().find(|(seen, ..)| *seen == number);
        let all_room: u64 = self.pending.weighed.iter().map(|(_, _, room)| room).sum();
        let picked = selection.picks().contains(&number);
        let words =
            seen.map_or_else(|| self.words(site.pool, selection.area), |(_, words, _)| *words);
        let verdict = if words.0.is_eligible() { words.0 } else { words.1 }.verdict().as_str();
        let is_open = words.0.is_eligible() || words.1.is_eligible();
        // Those as near as another lose nothing by it.
        let order = self.pending.order.as_ref();
        let begins = self.pending.begins.unwrap_or(0);
        let begins = if order.is_some_and(|of| begins >= of.head().len()) { begins } else { 0 };
        let nearer = order.into_iter().flat_map(|order| order.sites);
        let is_spilled = nearer.take(begins).any(|site| site == number);
        let standing = match seen {
            Some((_, _, standing)) => *standing,
            None if is_spilled && is_open => Standing::Shed,
            None if is_spilled => Standing::Out,
            None => Standing::In,
        };
        let dial = rule
            .zip(place)
            .map_or(dials::ALL, |(rule, place)| record.dials.keep(usize::from(rule), place));
        let room = rule.zip(place).zip(select::Trace::spill(self, &record.plan));
        let room =
            room.map_or(dials::ALL, |((rule, place), spill)| spill.keep(usize::from(rule), place));
        let share = words.0.keep().max(words.1.keep()).min(dial).min(room);
        let is_partial = share < dials::ALL && is_open;
        let keeps = is_partial.then(|| f64::from(share) / f64::from(dials::ALL));
        Some(CandidateView {
            pool: pool.name.to_string(),
            region: region.name.to_string(),
            target: site
                .resolved
                .as_ref()
                .map_or_else(|| words::target_text(&pool.target), |of| words::resolved_text(of)),
            name: record.pool_names.then(|| format!("{}.{}", pool.name, record.owner)),
            distance_km: distance.map(|km| km.round()),
            latency_ms: latency.as_ref().map(|(taken, _)| (taken * 10.0).round() / 10.0),
            latency_from: latency.map(|(_, from)| from),
            tied: self
                .pending
                .order
                .as_ref()
                .is_some_and(|order| order.head().len() > 1 && order.head().contains(&number)),
            load: weighed
                .and_then(|(_, load, _)| load.permille())
                .map(|load| f64::from(load) / 1e3),
            room: weighed.map(|(_, _, room)| *room as f64 / all_room.max(1) as f64),
            bias: site.at.map_or(0, |(_, factor)| ((1.0 - factor) * 100.0).round() as i8),
            weight: None,
            group: if place.is_some() { "own" } else { "other" }.to_owned(),
            verdict: verdict.to_owned(),
            keeps,
            outcome: match (picked, standing) {
                (true, _) => "picked",
                (false, Standing::Out) => "struck out",
                (false, Standing::Shed) => "passed over",
                (false, Standing::In) => "not needed",
            }
            .to_owned(),
            because: match standing {
                _ if picked => None,
                Standing::In => None,
                Standing::Shed if is_spilled || (room < dials::ALL && share == room) => {
                    Some(Reason::AtCapacity)
                }
                Standing::Shed => Some(Reason::Shed),
                Standing::Out => Some(words::because(words, self.offers(site))),
            }
            .map(|reason| reason.as_str().to_owned()),
            why: match standing {
                _ if picked => None,
                Standing::In => None,
                Standing::Shed if is_spilled => {
                    Some("others of its clients lose more by leaving".to_owned())
                }
                Standing::Shed => keeps.map(|share| {
                    let share = share * 100.0;
                    format!("takes {share:.1} % of the clients, not this one")
                }),
                Standing::Out => Some(words::why(words, verdict).to_owned()),
            },
        })
    }

    /// Whether a rule with these pools of its own never comes to a site: one of a pool that is
    /// not its own.
    fn is_outside(&self, record: &Record, own: &[u16], site: u16) -> bool {
        let pool = |site: u16| record.plan.sites.get(usize::from(site)).map(|site| site.pool);
        !own.iter().any(|own| pool(*own) == pool(site))
    }

    /// Whether a site has anything to hand out of what is asked for, healthy or not.
    fn offers(&self, site: &Site) -> bool {
        match self.qtype {
            Rtype::A => site.has_v4,
            Rtype::AAAA => site.has_v6,
            _ => site.has_v4 || site.has_v6,
        }
    }

    /// The names of two sites' pools.
    fn both(&self, record: &Record, two: [u16; 2]) -> String {
        let name = |site: u16| {
            let site = record.plan.sites.get(usize::from(site));
            let pool = site.and_then(|site| self.snapshot.pools.get(site.pool.0 as usize));
            pool.map_or("", |pool| &*pool.name)
        };
        format!("{} or {}", name(two[0]), name(two[1]))
    }

    /// Milliseconds from the client to a region, and where they are from, under `latency`.
    fn latency(
        &self,
        record: &Record,
        rule: u8,
        region: RegionId,
        kilometres: Option<f64>,
    ) -> Option<(f64, String)> {
        let table = record.plan.rules.get(usize::from(rule))?.latency?;
        let gauge = record.plan.map.gauges().get(usize::from(table))?;
        let blend = gauge.measured(self.client, region);
        let taken = gauge.milliseconds(blend, kilometres)?;
        let measured = match blend.samples {
            None => "measured".to_owned(),
            Some(1) => "measured, 1 sample".to_owned(),
            Some(samples) => format!("measured, {samples} samples"),
        };
        let from = match (blend.left, kilometres) {
            (left, Some(_)) if left >= 1.0 => "estimated by distance".to_owned(),
            (left, Some(_)) if left > 0.0 => {
                format!("{measured}, and {:.0} % estimated by distance", left * 100.0)
            }
            _ => measured,
        };
        Some((taken, from))
    }

    /// The state of a pool that was not looked at, for the families the question is about.
    fn words(&self, pool: PoolId, area: AreaId) -> (PoolWord, PoolWord) {
        let word = |family| self.health.word(pool, family, area);
        match self.qtype {
            Rtype::A => (word(Family::V4), word(Family::V4)),
            Rtype::AAAA => (word(Family::V6), word(Family::V6)),
            _ => (word(Family::V4), word(Family::V6)),
        }
    }
}
