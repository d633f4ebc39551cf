//! Proof over the finite table: whatever regions are lost, up to k at once, every client network
//! is answered, no fence is broken, scopes do not overlap, and, where it is known how often clients
//! ask, no pool gets more than it can take.
//!
//! The table has finitely many orders, and what a client gets hangs on its order, on which of
//! the pools it looks at are in, and on chance, turns or the client's own network. All of them
//! are gone through, by `branch` and [`outcome`](super::outcome); a fault found is a client
//! network out of the table, the regions lost, and the step of the chain that failed.

mod full;
mod loss;
mod notes;
mod room;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use self::full::Fullness;
pub use self::loss::Loss;
use self::notes::{Found, Notes};
use self::room::Demand;
pub use self::room::Roomy;
use crate::geo::census::{Census, Clients, spread};
use crate::geo::table::GeoMap;
use crate::health::table::HealthTable;
use crate::plan::branch::{Branches, Regions};
use crate::plan::outcome::{Asker, End, Ends, ask_of, is_keyed};
use crate::plan::scopes;
use crate::plan::simulate::{Measured, last_resort};
use crate::plan::suppose::{FAMILIES, all_up};
use crate::plan::traffic::{Rates, Traffic, parts};
use crate::region::{Family, RegionId};
use crate::snapshot::{Served, Snapshot};
use crate::steer::chance::Chance;
use crate::steer::dials;
use crate::steer::record::{LastResort, Plan, Record, Rule};
use crate::steer::select::Selection;
use crate::steer::tally::Reason;
use crate::wire::types::Rtype;

/// Client networks looked through to find one for each pool that keeps clients by their network.
const KEYS: u64 = 65_536;
/// Most regions that may be lost at once.
pub const LOST_MAX: usize = 3;

/// What is wrong, or worth knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Clients get nothing: a counterexample.
    Unanswered,
    /// Clients of a fenced rule are answered from elsewhere: a counterexample.
    FenceBroken,
    /// Two answers claim the same addresses for different clients: a counterexample.
    ScopesOverlap,
    /// Clients are handed to a lost region although health counts: a counterexample.
    Dead,
    /// A pool gets more than its max, since nobody else can take its clients: a counterexample.
    OverCapacity,
    /// A pool gets more than its target, and not more than its max: a warning.
    OverTarget,
    /// No rule is for some clients: a warning.
    Unmatched,
    /// A rule is for nobody: a warning.
    IdleRule,
    /// No pool of a rule has anything of this type, lost or not: a warning.
    NoFamily,
    /// Nothing is left, and the last resort hands something out: told.
    LastResort,
}

impl Kind {
    /// Whether it refutes what is to be proved.
    pub const fn refutes(self) -> bool {
        matches!(
            self,
            Self::Unanswered
                | Self::FenceBroken
                | Self::ScopesOverlap
                | Self::Dead
                | Self::OverCapacity
        )
    }

    /// The step of the chain at which it shows.
    pub const fn step(self) -> &'static str {
        match self {
            Self::Unanswered | Self::LastResort => "last resort",
            Self::FenceBroken => "candidates",
            Self::ScopesOverlap => "scope",
            Self::Unmatched | Self::IdleRule => "match",
            Self::Dead | Self::NoFamily => "health",
            Self::OverCapacity | Self::OverTarget => "capacity",
        }
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The record; with equal ones, the first of them.
    pub record: String,
    /// How many other records it is found in alike.
    pub others: usize,
    /// The type asked for; empty where it is the same for all.
    #[serde(rename = "type")]
    pub rtype: &'static str,
    /// The rule, from 1.
    pub rule: Option<usize>,
    /// The regions lost, as few as it takes.
    pub lost: Vec<String>,
    /// A client network that it happens to.
    pub client: Option<String>,
    /// How many client networks it happens to: IPv4 /24s and IPv6 /48s that are somebody's.
    pub networks: [f64; 2],
    /// The step of the chain.
    pub step: &'static str,
    /// In words.
    pub what: String,
    /// What shows it, to be given to `meridian explain` after the name.
    pub explain: Option<String>,
    /// What shows it of load, to be given to `meridian simulate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulate: Option<String>,
}

/// What was proved, or why not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proof {
    /// How many regions may be lost at once.
    pub lost: usize,
    /// Records looked at.
    pub records: usize,
    /// Those that differ in more than names and pools' numbers.
    pub distinct: usize,
    /// Maps.
    pub maps: usize,
    /// Classes of clients that the maps tell apart.
    pub classes: usize,
    /// Selections made.
    pub selections: u64,
    /// How capacity was proved; `None` where nobody said how often clients ask.
    pub capacity: Option<Roomy>,
    /// Whether nothing found refutes it.
    pub proved: bool,
    /// What was not looked at, in words.
    pub not_proved: Vec<String>,
    /// All that was found, what refutes first.
    pub findings: Vec<Finding>,
}

/// Clients that a map does not tell apart.
struct Class {
    order: u32,
    rule: Option<u8>,
    weight: [f64; 2],
    network: (IpAddr, u8),
    run: (IpAddr, IpAddr),
    /// Where its clients are, each place once: places of the world.
    places: Vec<u32>,
}

/// A map's clients, and what is wrong with the map itself.
struct Mapped {
    classes: Vec<Class>,
    /// By order, its part of all clients.
    parts: Vec<f64>,
    overlap: Option<scopes::Overlap>,
}

/// Proves, and keeps what the next record can use again.
pub struct Prover<'a> {
    snapshot: &'a Snapshot,
    table: HealthTable,
    most: usize,
    maps: HashMap<*const GeoMap, Arc<Mapped>>,
    /// What was found of records that are alike but for their names, and how many more there are.
    shapes: HashMap<String, (Vec<Finding>, usize)>,
    /// What clients ask for, if that is known.
    asked: Option<Asked>,
    records: Vec<&'a Record>,
    proof: Proof,
}

/// How often clients ask.
struct Asked {
    rates: Rates,
    /// As `simulate` is to be told.
    words: String,
    measured: Option<Measured>,
}

impl<'a> Prover<'a> {
    /// For losses of up to `most` regions at once.
    pub fn new(snapshot: &'a Snapshot, most: usize) -> Self {
        Self {
            snapshot,
            table: all_up(&snapshot.pools, snapshot.areas.len()),
            most: most.min(LOST_MAX),
            maps: HashMap::new(),
            shapes: HashMap::new(),
            asked: None,
            records: Vec::new(),
            proof: Proof {
                lost: most.min(LOST_MAX),
                records: 0,
                distinct: 0,
                maps: 0,
                classes: 0,
                selections: 0,
                capacity: None,
                proved: true,
                not_proved: Vec::new(),
                findings: Vec::new(),
            },
        }
    }

    /// Has clients ask so often, so that capacity is proved too; `words` are what `simulate` is to
    /// be told to have them do so. Where a running server has measured it, its word counts for
    /// who asks and for what pools take.
    pub fn ask(&mut self, rates: Rates, words: String, measured: Option<Measured>) {
        self.asked = Some(Asked { rates, words, measured });
    }

    /// Looks at one record.
    pub fn add(&mut self, served: &Served, record: &'a Record) {
        self.proof.records += 1;
        self.records.push(record);
        let defaults = defaults(served, record);
        let shape = self.shape(record, defaults);
        if let Some((_, others)) = self.shapes.get_mut(&shape) {
            *others += 1;
            return;
        }
        self.proof.distinct += 1;
        let found = self.look(record, defaults);
        self.shapes.insert(shape, (found, 0));
    }

    /// What came of all records.
    pub fn finish(mut self) -> Proof {
        self.look_at_capacity();
        let findings = &mut self.proof.findings;
        for (found, others) in self.shapes.into_values() {
            findings.extend(found.into_iter().map(|finding| Finding { others, ..finding }));
        }
        findings.sort_by(|a, b| {
            let key = |finding: &Finding| (finding.kind, finding.lost.len(), finding.rule);
            let by_kind = key(a).cmp(&key(b)).then_with(|| a.record.cmp(&b.record));
            by_kind.then_with(|| a.lost.cmp(&b.lost)).then(a.rtype.cmp(b.rtype))
        });
        self.proof.proved = !findings.iter().any(|finding| finding.kind.refutes());
        self.proof
    }

    /// What was found of a record that was looked at, or of one alike.
    pub fn found(&self, served: &Served, record: &Record) -> &[Finding] {
        let shape = self.shape(record, defaults(served, record));
        self.shapes.get(&shape).map_or(&[], |(found, _)| found)
    }

    fn look_at_capacity(&mut self) {
        let records = std::mem::take(&mut self.records);
        let Some(asked) = self.asked.take() else {
            let what = "capacity: that no region gets more than it can take hangs on how often \
                        clients ask; say it, --rate QUERIES, or take what is measured, --live";
            self.proof.not_proved.push(what.to_owned());
            return;
        };
        let mut traffic = Traffic::default();
        for record in records.iter().filter(|record| record.plan.spill.is_some()) {
            let mapped = self.mapped(&record.plan.map);
            traffic.add(record, asked.rates.of(&record.owner), &mapped.parts);
        }
        let unbounded = self.unbounded(&records);
        if !unbounded.is_empty() {
            let what = format!("capacity of what has no 'queries': {unbounded}");
            self.proof.not_proved.push(what);
        }
        let none = HashMap::new();
        let measured = asked.measured.as_ref();
        let demand = Demand {
            traffic: measured.map_or(&traffic, |measured| &measured.traffic),
            room: measured.map_or(&none, |measured| &measured.room),
            rate: &asked.words,
        };
        let (found, roomy) = room::prove(self.snapshot, &records, &self.table, self.most, &demand);
        self.proof.findings.extend(found);
        let rate = records.iter().map(|record| asked.rates.of(&record.owner)).sum();
        self.proof.capacity = Some(Roomy { queries_per_second: rate, ..roomy });
    }

    /// Pools of these records that take any number of queries, in words.
    fn unbounded(&self, records: &[&Record]) -> String {
        const TOLD: usize = 5;
        let mut names: Vec<String> = Vec::new();
        for site in records.iter().flat_map(|record| &record.plan.sites) {
            let pool = self.snapshot.pools.get(site.pool.0 as usize);
            let pool = pool.filter(|pool| {
                pool.capacity.as_ref().is_none_or(|capacity| capacity.queries.is_none())
            });
            names.extend(pool.map(|pool| format!("pool {}", pool.name)));
        }
        names.sort_unstable();
        names.dedup();
        let more = names.len().saturating_sub(TOLD);
        names.truncate(TOLD);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        names.join(", ")
    }

    /// All that what is found can hang on.
    fn shape(&self, record: &Record, defaults: [bool; 2]) -> String {
        let plan = &*record.plan;
        let sites: Vec<_> = plan
            .sites
            .iter()
            .map(|site| {
                let pool = self.snapshot.pools.get(site.pool.0 as usize);
                (pool.map(|pool| pool.region.0), site.has_v4, site.has_v6, site.at)
            })
            .collect();
        let map = Arc::as_ptr(&plan.map);
        format!("{map:p} {defaults:?} {sites:?} {:?}", plan.rules)
    }

    fn mapped(&mut self, map: &Arc<GeoMap>) -> Arc<Mapped> {
        let key = Arc::as_ptr(map);
        if let Some(known) = self.maps.get(&key) {
            return Arc::clone(known);
        }
        let mapped = Arc::new(Mapped::new(self.snapshot, map));
        self.proof.maps += 1;
        self.proof.classes += mapped.classes.len();
        self.maps.insert(key, Arc::clone(&mapped));
        mapped
    }

    fn look(&mut self, record: &Record, defaults: [bool; 2]) -> Vec<Finding> {
        let mapped = self.mapped(&record.plan.map);
        let mut notes = Notes::default();
        if let Some(overlap) = &mapped.overlap {
            notes.add(Kind::ScopesOverlap, "", None, &[], overlap.class(), overlap.to_string());
        }
        for (number, rule) in record.plan.rules.iter().enumerate() {
            if !mapped.classes.iter().any(|class| class.rule.map(usize::from) == Some(number)) {
                let what = format!("nobody reaches it: {}", rule.clients);
                notes.add(Kind::IdleRule, "", Some(number), &[], None, what);
            }
        }
        for (family, has_default) in FAMILIES.into_iter().zip(defaults) {
            let Some(ask) = ask_of(&record.plan, family) else { continue };
            let asker = Asker { record, ask, table: &self.table };
            let regions = Regions::new(&asker, &self.snapshot.pools);
            let look = Look { asker, regions: &regions, family, has_default, most: self.most };
            for class in &mapped.classes {
                self.proof.selections += look.class(class, &mut notes);
            }
        }
        notes.finish(self.snapshot, record)
    }
}

impl Mapped {
    fn new(snapshot: &Snapshot, map: &GeoMap) -> Self {
        let census = Census::new(&snapshot.world, [map, map], Clients::World);
        let mut by_order: HashMap<u32, (Class, f64)> = HashMap::new();
        for group in &census.groups {
            let order = group.orders[0];
            let (class, largest) = by_order.entry(order).or_insert_with(|| {
                let rule = map.orders().get(order as usize).and_then(|order| order.rule);
                let (network, run) = (group.network, group.run);
                (Class { order, rule, weight: [0.0; 2], network, run, places: Vec::new() }, 0.0)
            });
            class.places.push(group.place);
            class.weight[0] += group.weight[0];
            class.weight[1] += group.weight[1];
            // The place with most clients is the example that tells people most.
            let size = group.weight[0] + group.weight[1] / 65_536.0;
            if size > *largest {
                *largest = size;
                (class.network, class.run) = (group.network, group.run);
            }
        }
        let mut classes: Vec<Class> = by_order.into_values().map(|(class, _)| class).collect();
        classes.sort_unstable_by_key(|class| class.order);
        let places = snapshot.world.places();
        let known =
            |place: u32| places.get(place as usize).is_some_and(|place| !place.is_unknown());
        let groups = census.groups.iter().filter(|group| known(group.place));
        let parts = parts(groups, 0, map.orders().len(), false);
        Self { classes, parts, overlap: scopes::overlap(map) }
    }
}

/// Whether the zone file has addresses at a record's name, of IPv4 and of IPv6.
fn defaults(served: &Served, record: &Record) -> [bool; 2] {
    use crate::zone::lookup::Lookup;
    let name = record.owner.to_lowercase();
    [Rtype::A, Rtype::AAAA].map(|rtype| {
        let found = served.zone.search(name.as_wire(), rtype);
        let Lookup::Found(node) = found else { return false };
        node.rrset(rtype).is_some() || node.rrset(Rtype::CNAME).is_some()
    })
}

/// Where one client of a class ends.
struct Ending<'a> {
    class: &'a Class,
    client: IpAddr,
    /// Places of the regions that are lost.
    lost: &'a [u16],
    fullness: Fullness,
}

/// One record asked for one type.
struct Look<'a, 'r> {
    asker: Asker<'r>,
    regions: &'a Regions,
    family: Family,
    has_default: bool,
    most: usize,
}

impl Look<'_, '_> {
    /// Every loss for one class of clients; gives how many selections that took.
    fn class(&self, class: &Class, notes: &mut Notes) -> u64 {
        let rule = class.rule.and_then(|number| {
            Some((usize::from(number), self.asker.record.plan.rules.get(usize::from(number))?))
        });
        let Some((number, rule)) = rule else {
            let what = "no rule is for them: they get what the zone file has".to_owned();
            notes.add(Kind::Unmatched, "", None, &[], Some(class.into()), what);
            return 0;
        };
        if !self.has_family(rule) && !hands_out(&rule.last_resort, self.family, self.has_default) {
            let what = "no pool of the rule has any: clients get no data".to_owned();
            notes.add(Kind::NoFamily, self.rtype(), Some(number), &[], Some(class.into()), what);
            return 0;
        }
        let clients = self.clients(class, rule);
        let stages: &[u16] = if rule.new_side.is_empty() { &[0] } else { &[0, dials::ALL] };
        let mut looked = 0;
        let record = self.asker.record;
        for &stage in stages {
            // Whoever is on a side, at any share, is answered as at one of its ends.
            record.dials.set_stage(number, stage);
            for fullness in Fullness::all(&record.plan, class.order, number) {
                let before = fullness.turn(&record.plan, class.order, number);
                let mut branches = Branches {
                    asker: self.asker,
                    regions: self.regions,
                    clients: &clients,
                    most: self.most,
                    looked: 0,
                };
                branches.walk(&mut |_, client, selection, lost| {
                    let ending = Ending { class, client, lost, fullness };
                    self.judge((number, rule), &ending, selection, notes)
                        || !fullness.shows(&record.plan, class.order, selection)
                });
                looked += branches.looked;
                before.restore(&record.plan, class.order, number);
            }
        }
        self.asker.record.dials.set_stage(number, 0);
        looked
    }

    const fn rtype(&self) -> &'static str {
        match self.family {
            Family::V4 => "A",
            Family::V6 => "AAAA",
        }
    }

    /// Whether any pool that a rule may hand out has something of the family.
    fn has_family(&self, rule: &Rule) -> bool {
        let mut sites = rule.own.iter().chain(&rule.others);
        sites.any(|site| {
            let site = self.asker.record.plan.sites.get(usize::from(*site));
            site.is_some_and(|site| match self.family {
                Family::V4 => site.has_v4,
                Family::V6 => site.has_v6,
            })
        })
    }

    /// Those who stand for a class.
    fn clients(&self, class: &Class, rule: &Rule) -> Vec<IpAddr> {
        if !is_keyed(rule) {
            return vec![class.network.0];
        }
        let tied = self.asker.record.plan.map.lookup(class.network.0).order.head().len();
        let weights = rule.policy.weights();
        let wanted =
            weights.map_or(tied, |all| all.iter().filter(|weight| **weight > 0).count()).max(1);
        let mut found: Vec<(End, IpAddr)> = Vec::new();
        for client in spread(class.run, KEYS) {
            let mut ends = Ends::default();
            let selection = self.asker.select(client, &mut Chance::seeded(0), &mut ());
            ends.count(&selection, 0, 1.0);
            for (end, _) in ends.finish().into_iter().take(1) {
                if !found.iter().any(|(known, _)| *known == end) {
                    found.push((end, client));
                }
            }
            if found.len() >= wanted {
                break;
            }
        }
        found.into_iter().map(|(_, client)| client).collect()
    }

    /// Judges one ending; true where losing more tells nothing new.
    fn judge(
        &self,
        (number, rule): (usize, &Rule),
        ending: &Ending<'_>,
        selection: &Selection<'_>,
        notes: &mut Notes,
    ) -> bool {
        let (plan, lost) = (&*self.asker.record.plan, ending.lost);
        let mut add = |kind: Kind, what: String| {
            let lost: Vec<RegionId> = lost.iter().map(|at| self.regions.region(*at)).collect();
            let class = Found { client: ending.client, ..ending.class.into() };
            let what = what + &ending.fullness.told();
            notes.add(kind, self.rtype(), Some(number), &lost, Some(class), what);
        };
        let picks = selection.picks();
        if rule.fence && picks.iter().any(|site| !rule.own.contains(site)) {
            add(Kind::FenceBroken, "answered by a pool outside the fence".to_owned());
            return true;
        }
        let dead = |site: &u16| self.regions.of(*site).is_some_and(|at| lost.contains(&at));
        if !selection.ignore_health && picks.iter().any(dead) {
            add(Kind::Dead, "handed to a region that is lost".to_owned());
            return true;
        }
        let resort = last_resort(&rule.last_resort);
        match (picks.is_empty(), selection.reason) {
            (true, Reason::Unmatched) => false,
            (true, _) if hands_out(&rule.last_resort, self.family, self.has_default) => {
                add(Kind::LastResort, format!("no pool is left; answered: {resort}"));
                true
            }
            (true, _) => {
                add(Kind::Unanswered, format!("no pool is left, and the last resort is {resort}"));
                true
            }
            (false, Reason::LastResort | Reason::Fenced) => {
                let pools: Vec<&str> = picks.iter().filter_map(|site| name(plan, *site)).collect();
                let pools = pools.join(", ");
                add(
                    Kind::LastResort,
                    format!("no pool is left; all are handed out though lost, here {pools}"),
                );
                true
            }
            (false, _) => false,
        }
    }
}

fn name(plan: &Plan, site: u16) -> Option<&str> {
    let row = plan.sites.get(usize::from(site))?.row;
    plan.pools.get(usize::from(row)).map(|name| &**name)
}

/// Whether a last resort gives clients anything by itself.
fn hands_out(last_resort: &LastResort, family: Family, has_default: bool) -> bool {
    match last_resort {
        LastResort::All | LastResort::Nodata | LastResort::Servfail => false,
        LastResort::Default => has_default,
        LastResort::Cname(_) => true,
        LastResort::Addresses(v4, v6) => match family {
            Family::V4 => !v4.is_empty(),
            Family::V6 => !v6.is_empty(),
        },
    }
}
