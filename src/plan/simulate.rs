//! The world's clients sent through the compiled tables: who serves how many, from how far, and
//! who moves between one state of things and another.
//!
//! Clients that no map tells apart are counted once: per distinct order, and for distances per
//! order and place. Where the answer hangs on the client's own network, networks at equal steps
//! through the address space stand for all.

mod load;

use std::collections::HashMap;
use std::net::IpAddr;

pub(super) use self::load::flows;
pub use self::load::{Load, Measured, PoolLoad, Spilled};
use crate::geo::census::{COUNTED, Census, Clients, Weighted, samples};
use crate::geo::table::GeoMap;
use crate::geo::world::World;
use crate::health::table::HealthTable;
use crate::plan::outcome::{Asker, End, Ends, ask_of, is_keyed};
use crate::plan::report::{Distances, Report, Sphere};
use crate::plan::setting::{Knobs, Setting};
use crate::plan::traffic::Rates;
use crate::region::{Family, Location};
use crate::snapshot::{Served, Snapshot};
use crate::steer::chance::Chance;
use crate::steer::record::{LastResort, Record};

/// Client networks of each family that stand for all where policies look at the network.
pub const SAMPLES: usize = 65_536;

/// One state of things: files and health.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Everything that was compiled.
    pub snapshot: &'a Snapshot,
    /// Health, as supposed for the question.
    pub table: &'a HealthTable,
}

impl<'a> Side<'a> {
    /// Every steered record with its zone, in the order of zones and files.
    pub fn records(&self) -> impl Iterator<Item = (&'a Served, &'a Record)> {
        let zones = self.snapshot.catalog.values();
        zones.flat_map(|served| served.records.iter().map(move |record| (served, record)))
    }

    /// The record at `owner`.
    pub fn record(&self, owner: &str) -> Option<&'a Record> {
        self.records().map(|(_, record)| record).find(|record| record.owner.to_string() == owner)
    }
}

/// How to count.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// What is asked for: A or AAAA.
    pub family: Family,
    /// The clients; the whole address space where there is no list.
    pub clients: Clients<'a>,
    /// Clients whose place is unknown count too. A list always counts whole.
    pub unknown: bool,
    /// Dots for a map are collected.
    pub dots: bool,
}

/// A pool, or what stands in its place, as an end of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The pool's name; of a last resort, what it hands out.
    pub pool: String,
    /// The region that serves; `None` where none does.
    pub region: Option<String>,
    /// Where that is.
    pub location: Option<Location>,
    /// Steered answers a second that it can take, where the files say so.
    pub capacity: Option<f64>,
}

/// Counts, and keeps what the next record can use again.
pub struct Simulator<'a> {
    before: Option<Side<'a>>,
    now: Side<'a>,
    options: Options<'a>,
    sphere: Sphere,
    known: HashMap<[*const GeoMap; 2], Counted>,
    /// The records of either side by owner name.
    owners: [HashMap<String, &'a Record>; 2],
    /// How dials stand on either side.
    settings: [Setting; 2],
    rates: Option<Rates>,
}

/// The clients of two maps.
struct Counted {
    census: Census,
    /// Those that count, of IPv4 and of IPv6.
    total: [f64; 2],
    /// IPv4 /24s that do not.
    left_out: f64,
    /// For policies that look at the network; made when first needed.
    sampled: Option<Vec<Client>>,
}

/// Clients that are looked at together.
#[derive(Clone, Copy)]
struct Client {
    address: IpAddr,
    orders: [u32; 2],
    place: u32,
    weight: [f64; 2],
}

impl<'a> Simulator<'a> {
    /// Compares `before`, where there is one, with `now`. Places are those that `now` knows of.
    pub fn new(before: Option<Side<'a>>, now: Side<'a>, options: Options<'a>) -> Self {
        let sphere = Sphere::new(&now.snapshot.world);
        let (settings, known) = (Default::default(), HashMap::new());
        let by_owner = |side: Side<'a>| {
            side.records().map(|(_, record)| (record.owner.to_string(), record)).collect()
        };
        let owners = [before.map_or_else(HashMap::new, by_owner), by_owner(now)];
        Self { before, now, options, sphere, known, owners, settings, rates: None }
    }

    /// Has the dials of what is compared with, and of what is now, stand like this. Without a
    /// word they are at rest: every pool takes everybody, and old sides have all.
    pub fn set(&mut self, before: Setting, now: Setting) {
        self.settings = [before, now];
    }

    fn world(&self) -> &'a World {
        &self.now.snapshot.world
    }

    /// Counts the clients of one record; `None` when the type is not steered there.
    pub fn run(&mut self, record: &'a Record) -> Option<Report> {
        let ask = ask_of(&record.plan, self.options.family)?;
        let owner = record.owner.to_string();
        let now = Asker { record, ask, table: self.now.table };
        let before = self.before.and_then(|side| {
            let record = *self.owners[0].get(&owner)?;
            let ask = ask_of(&record.plan, self.options.family)?;
            Some((Asker { record, ask, table: side.table }, side))
        });
        let is_new = self.before.is_some() && before.is_none();
        let maps = [before.map_or(now, |(asker, _)| asker), now];
        let maps = maps.map(|asker| &*asker.record.plan.map);
        let mut labels = Labels::default();
        let knobs = self.settings[1].knobs(record);
        let mut sides = vec![Answers::new(now, self.now.snapshot, knobs, &mut labels)];
        if let Some((asker, side)) = before {
            let knobs = self.settings[0].knobs(asker.record);
            sides.push(Answers::new(asker, side.snapshot, knobs, &mut labels));
        }
        let keyed = sides.iter().any(Answers::is_keyed);
        let (world, options) = (self.world(), self.options);
        let key = maps.map(std::ptr::from_ref);
        let counted = self.known.entry(key).or_insert_with(|| Counted::new(world, maps, options));
        if keyed && counted.sampled.is_none() {
            counted.sample(world, maps, options);
        }
        let mut report = Report::new(owner, options.family, counted.total, counted.left_out);
        report.is_new = is_new;
        let mut tally = Distances::new(&self.sphere, &labels.0, options.dots, before.is_some());
        let mut count = |client: &Client| {
            let (now, rest) = sides.split_at_mut(1);
            let shares = now[0].of(client.address, client.orders[1]);
            let before = rest.first_mut().map(|side| side.of(client.address, client.orders[0]));
            tally.count(client.place, client.weight, shares, before);
        };
        if keyed {
            counted.sampled.iter().flatten().for_each(&mut count);
        } else {
            let in_groups = counted.census.groups.iter();
            let in_groups = in_groups.filter(|group| counts(world, options, group.place));
            in_groups.for_each(|group| {
                count(&Client {
                    address: group.network.0,
                    orders: group.orders,
                    place: group.place,
                    weight: group.weight,
                });
            });
        }
        report.sampled = keyed.then_some(SAMPLES);
        report.exact = sides.iter().all(|side| side.exact);
        tally.finish(world, &labels.0, &mut report);
        self.rate(record, &mut report);
        Some(report)
    }
}

/// Whether clients of a place are counted.
fn counts(world: &World, options: Options<'_>, place: u32) -> bool {
    options.unknown
        || matches!(options.clients, Clients::Listed(_))
        || world.places().get(place as usize).is_some_and(|place| !place.is_unknown())
}

impl Counted {
    fn new(world: &World, maps: [&GeoMap; 2], options: Options<'_>) -> Self {
        let census = Census::new(world, maps, options.clients);
        let total = census.total(|group| counts(world, options, group.place));
        let left_out = match options.clients {
            Clients::World => (f64::from(1 << COUNTED[0]) - total[0]).max(0.0),
            Clients::Listed(_) => 0.0,
        };
        Self { census, total, left_out, sampled: None }
    }

    fn sample(&mut self, world: &World, maps: [&GeoMap; 2], options: Options<'_>) {
        let known = |place| counts(world, options, place);
        let found = samples(world, maps, options.clients, self.total, SAMPLES, known);
        let clients = found.into_iter().map(|sample| Client {
            address: sample.client,
            orders: sample.orders,
            place: sample.place,
            weight: sample.weight,
        });
        self.sampled = Some(clients.collect());
    }
}

/// All ends there are, over both sides.
#[derive(Default)]
struct Labels(Vec<Label>);

impl Labels {
    fn number(&mut self, label: Label) -> u16 {
        let known = self
            .0
            .iter()
            .position(|known| known.pool == label.pool && known.region == label.region);
        known.unwrap_or_else(|| {
            self.0.push(label);
            self.0.len() - 1
        }) as u16
    }
}

/// What one side answers, remembered by order.
struct Answers<'a> {
    asker: Asker<'a>,
    knobs: Knobs,
    by_order: Vec<Option<Vec<(u16, f64)>>>,
    /// The answer to a client that had to be asked for alone.
    alone: Vec<(u16, f64)>,
    sites: Vec<u16>,
    last_resorts: Vec<u16>,
    unmatched: u16,
    exact: bool,
    chance: Chance,
}

impl<'a> Answers<'a> {
    fn new(asker: Asker<'a>, snapshot: &Snapshot, knobs: Knobs, labels: &mut Labels) -> Self {
        let plan = &*asker.record.plan;
        let sites = plan.sites.iter().map(|site| {
            let pool = snapshot.pools.get(site.pool.0 as usize);
            let region = pool.and_then(|pool| snapshot.regions.get(usize::from(pool.region.0)));
            labels.number(Label {
                pool: pool.map_or_else(String::new, |pool| pool.name.to_string()),
                region: region.map(|region| region.name.to_string()),
                location: region.and_then(|region| region.location),
                capacity: pool.and_then(|pool| pool.capacity.as_ref()?.queries),
            })
        });
        let sites = sites.collect();
        let mut nowhere = |pool: String| {
            labels.number(Label { pool, region: None, location: None, capacity: None })
        };
        let last_resorts = plan.rules.iter().map(|rule| nowhere(last_resort(&rule.last_resort)));
        let last_resorts = last_resorts.collect();
        let unmatched = nowhere("no rule is for them".to_owned());
        Self {
            asker,
            knobs,
            by_order: vec![None; plan.map.orders().len()],
            alone: Vec::new(),
            sites,
            last_resorts,
            unmatched,
            exact: true,
            chance: Chance::seeded(0),
        }
    }

    /// The shares of a client's answers by label.
    fn of(&mut self, client: IpAddr, order: u32) -> &[(u16, f64)] {
        let known = self.by_order.get(order as usize).is_some_and(Option::is_some);
        if !known && self.is_by_network(order as usize) {
            let number = self.asker.rule(client).map_or(u8::MAX, |(number, _)| number);
            let mut ends = Ends::default();
            let selection = self.asker.select(client, &mut self.chance, &mut ());
            ends.count(&selection, number, 1.0);
            self.alone = self.labelled(ends.finish());
            return &self.alone;
        }
        if !known {
            let (shares, exact) = self.asker.shares(client);
            self.exact &= exact;
            let labelled = self.labelled(shares);
            if let Some(free) = self.by_order.get_mut(order as usize) {
                *free = Some(labelled);
            }
        }
        self.by_order.get(order as usize).and_then(Option::as_deref).unwrap_or_default()
    }

    /// Turns the dials for clients of one order, and says whether what they get hangs on their
    /// own networks.
    fn is_by_network(&self, order: usize) -> bool {
        let plan = &self.asker.record.plan;
        let number = plan.map.orders().get(order).and_then(|order| order.rule);
        self.knobs.turn(self.asker.record, number, order);
        let rule = number.and_then(|number| Some((number, plan.rules.get(usize::from(number))?)));
        rule.is_some_and(|(number, rule)| self.asker.is_by_network(number, rule, order))
    }

    /// Whether what some clients get hangs on their own networks.
    fn is_keyed(&self) -> bool {
        let plan = &self.asker.record.plan;
        // Rules without clients would have everything sampled for nothing.
        plan.rules.iter().any(is_keyed)
            || (0..plan.map.orders().len()).any(|order| self.is_by_network(order))
    }

    fn labelled(&self, shares: Vec<(End, f64)>) -> Vec<(u16, f64)> {
        let label = |end| match end {
            End::Site(site) => self.sites.get(usize::from(site)),
            End::LastResort(rule) => self.last_resorts.get(usize::from(rule)),
            End::Unmatched => None,
        };
        let named = shares.into_iter();
        named.map(|(end, share)| (*label(end).unwrap_or(&self.unmatched), share)).collect()
    }
}

/// What is answered where no pool is left, in words.
pub(super) fn last_resort(of: &LastResort) -> String {
    match of {
        LastResort::All => "nothing: no pool has any".to_owned(),
        LastResort::Default => "the zone file's own".to_owned(),
        LastResort::Nodata => "no data".to_owned(),
        LastResort::Servfail => "SERVFAIL".to_owned(),
        LastResort::Cname(name) => format!("CNAME {name}"),
        LastResort::Addresses(v4, v6) => {
            let v4 = v4.iter().map(ToString::to_string);
            v4.chain(v6.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Reads a list of client networks: `network,weight` a line; a weight may be left out for 1.
/// Empty lines, lines that begin with `#` and a first line of titles are skipped.
///
/// # Errors
/// Every line that is none, as `line N: why`.
pub fn read_clients(text: &str) -> Result<Vec<Weighted>, Vec<String>> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let titles = at == 0 && line.starts_with(|c: char| c.is_ascii_alphabetic());
        if line.is_empty() || line.starts_with('#') || (titles && !line.contains(':')) {
            continue;
        }
        match client(line) {
            Ok(client) => found.push(client),
            Err(why) => faults.push(format!("line {}: {why}", at + 1)),
        }
    }
    if faults.is_empty() && found.is_empty() {
        faults.push("no client network in it".to_owned());
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn client(line: &str) -> Result<Weighted, String> {
    let (network, weight) = line.split_once(',').unwrap_or((line, "1"));
    let (network, weight) = (network.trim().trim_matches('"'), weight.trim().trim_matches('"'));
    let (address, length) = match network.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (network, None),
    };
    let address: IpAddr = address.parse().map_err(|_| format!("'{address}' is no IP address"))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(most), |text| text.parse().ok().filter(|bits| *bits <= most));
    let length =
        length.ok_or_else(|| format!("'{network}' has no prefix length of 0 to {most}"))?;
    let weight: f64 = weight.parse().map_err(|_| format!("'{weight}' is no number"))?;
    if !(weight.is_finite() && weight >= 0.0) {
        return Err(format!("a weight of {weight} makes no sense"));
    }
    Ok(Weighted { network: address, length, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_clients_is_read_and_every_fault_in_it_told() {
        let read =
            read_clients("network,weight\n# ours\n192.0.2.0/24,5\n2001:db8::/48, 0.5\n\n8.8.8.8");
        let read: Vec<_> = read.expect("sound").iter().map(|c| (c.length, c.weight)).collect();
        assert_eq!(read, [(24, 5.0), (48, 0.5), (32, 1.0)]);
        let faults = read_clients("192.0.2.0/33,1\n192.0.2.0/24,-1\nx/8,1\n10.0.0.0/8,many");
        let faults = faults.expect_err("faults");
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert_eq!(faults[3], "line 4: 'many' is no number");
        assert_eq!(read_clients("# nobody\n"), Err(vec!["no client network in it".to_owned()]));
    }
}
