//! What a simulation found of one record: shares, distances, who moves, and the dots of a map.

use std::collections::HashMap;

use serde::Serialize;

use crate::geo::place::Place;
use crate::geo::world::World;
use crate::plan::simulate::Label;
use crate::region::{Family, Location};

/// Kilometres a bin of distances is wide.
const BIN: f64 = 10.0;
/// Bins to half around the Earth.
const BINS: usize = 2003;
/// Mean radius of the Earth in kilometres.
const EARTH: f64 = 6371.009;
/// Dots of a map in one degree.
const DOTS_PER_DEGREE: f64 = 2.0;

/// A number for IPv4 clients and one for IPv6 clients.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct PerFamily {
    /// Of IPv4 clients, by /24s.
    pub ipv4: f64,
    /// Of IPv6 clients, by /48s.
    pub ipv6: f64,
}

impl PerFamily {
    fn of(pair: [f64; 2]) -> Self {
        Self { ipv4: pair[0], ipv6: pair[1] }
    }

    /// Parts of `total`; 0 where there is none.
    fn parts(pair: [f64; 2], total: [f64; 2]) -> Self {
        let part = |at: usize| if total[at] > 0.0 { pair[at] / total[at] } else { 0.0 };
        Self { ipv4: part(0), ipv6: part(1) }
    }
}

/// One record, simulated. Shares are parts of one, distances kilometres from where clients are
/// by geo data to the region they are handed to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The owner name.
    pub record: String,
    /// The type asked for.
    #[serde(rename = "type")]
    pub rtype: &'static str,
    /// How many were counted: IPv4 /24s and IPv6 /48s, or the weights of a list.
    pub clients: PerFamily,
    /// IPv4 /24s that were left out: nobody's, or of unknown place.
    pub left_out: f64,
    /// Whether every share is exact; else some are of [`DRAWS`](super::outcome::DRAWS) draws.
    pub exact: bool,
    /// Networks of each family that stood for all, where the policy looks at the network.
    pub sampled: Option<usize>,
    /// The record does not exist in what is compared with.
    pub is_new: bool,
    /// By pool.
    pub pools: Vec<Row>,
    /// By region, where the pools are more.
    pub regions: Vec<Row>,
    /// All clients that are handed to a region.
    pub all: Distance,
    /// The same before, where something is compared.
    pub all_before: Option<Distance>,
    /// Who moves, where something is compared.
    pub moved: Option<Moved>,
    /// What a map shows.
    #[serde(skip)]
    pub dots: Vec<Dot>,
    /// Where regions are.
    #[serde(skip)]
    pub markers: Vec<Marker>,
}

/// What one pool or region gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The pool, or what is answered where none is left.
    pub pool: String,
    /// Its region.
    pub region: Option<String>,
    /// Its share of the clients.
    pub share: PerFamily,
    /// The same before, where something is compared.
    pub before: Option<PerFamily>,
    /// How far its clients are.
    pub distance: Distance,
    /// Its share of the queries that were given, per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries_per_second: Option<f64>,
    /// Queries a second that it can take, where the files say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<f64>,
}

/// Distances of clients whose place has coordinates, weighted by clients of both families, where
/// a /48 counts as a /24.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Distance {
    /// The mean, of IPv4 clients.
    pub mean_km: Option<f64>,
    /// 95 % of IPv4 clients are nearer.
    pub p95_km: Option<f64>,
    /// The farthest of both families.
    pub worst_km: Option<f64>,
    /// Where that is.
    pub worst_place: Option<String>,
}

/// Who moves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// The share that moves; under random choices, that must.
    pub share: PerFamily,
    /// From where to where, the largest first.
    pub flows: Vec<Flow>,
}

/// Clients that move from one pool to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flow {
    /// Pool and region they leave.
    pub from: String,
    /// Pool and region they go to.
    pub to: String,
    /// The share of all clients.
    pub share: PerFamily,
}

/// A spot on a map where clients are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dot {
    /// Where.
    pub at: Location,
    /// How many, on a scale of its own.
    pub weight: f64,
    /// Who serves most of them: a place in [`Report::markers`]; `None` where no region does.
    pub marker: Option<usize>,
    /// Most of them have moved.
    pub moved: bool,
}

/// A region on a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Marker {
    /// Its name.
    pub region: String,
    /// Where it is.
    pub at: Option<Location>,
    /// Its share of IPv4 clients.
    pub share: f64,
    /// It serves nobody now and did before.
    pub lost: bool,
}

impl Report {
    pub(super) fn new(record: String, family: Family, clients: [f64; 2], left_out: f64) -> Self {
        Self {
            record,
            rtype: if family == Family::V4 { "A" } else { "AAAA" },
            clients: PerFamily::of(clients),
            left_out,
            exact: true,
            sampled: None,
            is_new: false,
            pools: Vec::new(),
            regions: Vec::new(),
            all: Distance::default(),
            all_before: None,
            moved: None,
            dots: Vec::new(),
            markers: Vec::new(),
        }
    }
}

/// The places of a world as points on the unit sphere.
pub(super) struct Sphere(Vec<Option<[f64; 3]>>);

impl Sphere {
    pub(super) fn new(world: &World) -> Self {
        Self(world.places().iter().map(|place| place.location.map(unit)).collect())
    }
}

fn unit(at: Location) -> [f64; 3] {
    let (latitude, longitude) = (at.latitude.to_radians(), at.longitude.to_radians());
    [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
}

/// Great-circle distance in kilometres between two points on the unit sphere.
fn kilometres(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    2.0 * EARTH * (square.sqrt() / 2.0).min(1.0).asin()
}

/// Clients of one end, on their way.
#[derive(Clone)]
struct Sum {
    weight: [f64; 2],
    before: [f64; 2],
    far: Far,
}

/// Distances on their way.
#[derive(Clone)]
struct Far {
    /// IPv4 clients by distance.
    bins: Vec<f64>,
    sum: f64,
    worst: Option<(f64, u32)>,
}

impl Far {
    fn new() -> Self {
        Self { bins: Vec::new(), sum: 0.0, worst: None }
    }

    fn count(&mut self, km: f64, weight: [f64; 2], place: u32) {
        if weight[0] > 0.0 {
            if self.bins.is_empty() {
                self.bins = vec![0.0; BINS];
            }
            self.bins[((km / BIN) as usize).min(BINS - 1)] += weight[0];
            self.sum += km * weight[0];
        }
        if self.worst.is_none_or(|(worst, _)| km > worst) {
            self.worst = Some((km, place));
        }
    }

    fn add(&mut self, other: &Self) {
        if self.bins.is_empty() {
            self.bins = vec![0.0; BINS];
        }
        self.bins.iter_mut().zip(&other.bins).for_each(|(sum, more)| *sum += more);
        self.sum += other.sum;
        let worse = |(km, _): &(f64, u32)| self.worst.is_none_or(|(worst, _)| *km > worst);
        self.worst = other.worst.filter(worse).or(self.worst);
    }

    fn finish(&self, world: &World) -> Distance {
        let weight: f64 = self.bins.iter().sum();
        let mut below = 0.0;
        let p95 = self.bins.iter().position(|bin| {
            below += bin;
            below >= 0.95 * weight
        });
        let worst = self.worst.map(|(km, _)| km.round());
        let place = self.worst.and_then(|(_, place)| world.places().get(place as usize));
        Distance {
            mean_km: (weight > 0.0).then(|| (self.sum / weight).round()),
            p95_km: p95.filter(|_| weight > 0.0).map(|bin| (bin as f64 + 1.0) * BIN),
            worst_km: worst,
            worst_place: place.map(name_of),
        }
    }
}

/// A place as people call it.
pub(super) fn name_of(place: &Place) -> String {
    let code = |code: [u8; 2]| String::from_utf8_lossy(&code).into_owned();
    let country = place.country.map(|country| code(country.0));
    let continent = place.continent.map(|continent| format!("continent {}", code(continent.0)));
    let at = || place.location.map(|at| format!("{:.1}, {:.1}", at.latitude, at.longitude));
    match (&place.city, country) {
        (Some(city), Some(country)) => format!("{city}, {country}"),
        (None, Some(country)) => country,
        (Some(city), None) => city.to_string(),
        (None, None) => continent.or_else(at).unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// Shares, distances and moves on their way.
pub(super) struct Distances<'a> {
    sphere: &'a Sphere,
    ends: Vec<Option<[f64; 3]>>,
    sums: Vec<Sum>,
    before: Option<Far>,
    flows: HashMap<(u16, u16), [f64; 2]>,
    moved: [f64; 2],
    dots: Option<HashMap<(i16, i16), Spot>>,
}

/// Clients in one field of a grid.
#[derive(Default)]
struct Spot {
    ends: Vec<(u16, f64)>,
    moved: f64,
}

impl<'a> Distances<'a> {
    pub(super) fn new(sphere: &'a Sphere, labels: &[Label], dots: bool, compares: bool) -> Self {
        let sum = Sum { weight: [0.0; 2], before: [0.0; 2], far: Far::new() };
        Self {
            sphere,
            ends: labels.iter().map(|label| label.location.map(unit)).collect(),
            sums: vec![sum; labels.len()],
            before: compares.then(Far::new),
            flows: HashMap::new(),
            moved: [0.0; 2],
            dots: dots.then(HashMap::new),
        }
    }

    /// Counts clients in one place whose answers have these shares, and had those before.
    pub(super) fn count(
        &mut self,
        place: u32,
        weight: [f64; 2],
        now: &[(u16, f64)],
        before: Option<&[(u16, f64)]>,
    ) {
        let point = self.sphere.0.get(place as usize).copied().flatten();
        for &(end, share) in now {
            let part = weight.map(|weight| weight * share);
            let sum = &mut self.sums[usize::from(end)];
            sum.weight[0] += part[0];
            sum.weight[1] += part[1];
            if let (Some(point), Some(end)) = (&point, &self.ends[usize::from(end)]) {
                sum.far.count(kilometres(point, end), part, place);
            }
        }
        let mut moves = 0.0;
        if let Some(before) = before {
            for &(end, share) in before {
                let part = weight.map(|weight| weight * share);
                let sum = &mut self.sums[usize::from(end)];
                sum.before[0] += part[0];
                sum.before[1] += part[1];
                if let (Some(point), Some(end), Some(far)) =
                    (&point, &self.ends[usize::from(end)], &mut self.before)
                {
                    far.count(kilometres(point, end), part, place);
                }
            }
            moves = self.flow(weight, before, now);
        }
        if let (Some(dots), Some(point)) = (&mut self.dots, &point) {
            // A /48 of IPv6 is far less than a /24; it gives a place a dot, not a size.
            let size = weight[0] + weight[1] / 65_536.0;
            let spot = dots.entry(field(point)).or_default();
            for &(end, share) in now {
                match spot.ends.iter_mut().find(|(known, _)| *known == end) {
                    Some((_, sum)) => *sum += size * share,
                    None => spot.ends.push((end, size * share)),
                }
            }
            spot.moved += size * moves;
        }
    }

    /// Who must move to get from one set of shares to the other; returns their part.
    fn flow(&mut self, weight: [f64; 2], before: &[(u16, f64)], now: &[(u16, f64)]) -> f64 {
        let share = |list: &[(u16, f64)], end: u16| {
            list.iter().find(|(known, _)| *known == end).map_or(0.0, |(_, share)| *share)
        };
        let gained = |end: u16| (share(now, end) - share(before, end)).max(0.0);
        let moves: f64 = now.iter().map(|&(end, _)| gained(end)).sum();
        if moves < 1e-9 {
            return 0.0;
        }
        for &(from, had) in before {
            let lost = (had - share(now, from)).max(0.0);
            for &(to, _) in now {
                let part = lost * gained(to) / moves;
                if part > 0.0 {
                    let flow = self.flows.entry((from, to)).or_default();
                    flow[0] += weight[0] * part;
                    flow[1] += weight[1] * part;
                }
            }
        }
        self.moved[0] += weight[0] * moves;
        self.moved[1] += weight[1] * moves;
        moves
    }

    pub(super) fn finish(self, world: &World, labels: &[Label], report: &mut Report) {
        let total = [report.clients.ipv4, report.clients.ipv6];
        let compares = self.before.is_some();
        let row = |pool: String, region: Option<String>, sum: &Sum| Row {
            pool,
            region,
            share: PerFamily::parts(sum.weight, total),
            before: compares.then(|| PerFamily::parts(sum.before, total)),
            distance: sum.far.finish(world),
            queries_per_second: None,
            capacity: None,
        };
        let mut regions: Vec<(&str, Sum, usize)> = Vec::new();
        let mut all = Far::new();
        for (label, sum) in labels.iter().zip(&self.sums) {
            let nobody = sum.weight == [0.0; 2] && sum.before == [0.0; 2];
            if label.region.is_some() || !nobody {
                let row = row(label.pool.clone(), label.region.clone(), sum);
                report.pools.push(Row { capacity: label.capacity, ..row });
            }
            let Some(name) = &label.region else { continue };
            all.add(&sum.far);
            match regions.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, known, pools)) => {
                    *pools += 1;
                    (0..2).for_each(|at| known.weight[at] += sum.weight[at]);
                    (0..2).for_each(|at| known.before[at] += sum.before[at]);
                    known.far.add(&sum.far);
                }
                None => regions.push((name, sum.clone(), 1)),
            }
        }
        if regions.iter().any(|(.., pools)| *pools > 1) {
            let named = regions.iter();
            report.regions = named
                .map(|(name, sum, _)| row(String::new(), Some((*name).to_owned()), sum))
                .collect();
        }
        report.all = all.finish(world);
        report.all_before = self.before.as_ref().map(|far| far.finish(world));
        let marker = |(name, sum, _): &(&str, Sum, usize)| Marker {
            region: (*name).to_owned(),
            at: labels.iter().find(|l| l.region.as_deref() == Some(*name)).and_then(|l| l.location),
            share: PerFamily::parts(sum.weight, total).ipv4,
            lost: sum.weight == [0.0; 2] && sum.before != [0.0; 2],
        };
        report.markers = regions.iter().map(marker).collect();
        report.moved = compares.then(|| moved(labels, self.flows, self.moved, total));
        report.dots =
            self.dots.map(|dots| spots(dots, labels, &report.markers)).unwrap_or_default();
    }
}

fn moved(
    labels: &[Label],
    flows: HashMap<(u16, u16), [f64; 2]>,
    moved: [f64; 2],
    total: [f64; 2],
) -> Moved {
    let name = |at: u16| match &labels[usize::from(at)] {
        Label { pool, region: Some(region), .. } if pool != region => format!("{pool} ({region})"),
        Label { pool, .. } => pool.clone(),
    };
    let mut flows: Vec<Flow> = flows
        .into_iter()
        .map(|((from, to), weight)| Flow {
            from: name(from),
            to: name(to),
            share: PerFamily::parts(weight, total),
        })
        .collect();
    let size = |flow: &Flow| flow.share.ipv4 + flow.share.ipv6;
    flows.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.from.cmp(&b.from)));
    Moved { share: PerFamily::parts(moved, total), flows }
}

/// The field of the grid that holds a point.
fn field(point: &[f64; 3]) -> (i16, i16) {
    let latitude = point[2].clamp(-1.0, 1.0).asin().to_degrees();
    let longitude = point[1].atan2(point[0]).to_degrees();
    ((latitude * DOTS_PER_DEGREE).floor() as i16, (longitude * DOTS_PER_DEGREE).floor() as i16)
}

/// A dot per field: in the colour of who serves most of its clients, or, where no one serves most
/// of them, of one of those who do, drawn by their shares.
fn spots(fields: HashMap<(i16, i16), Spot>, labels: &[Label], markers: &[Marker]) -> Vec<Dot> {
    const MOST: f64 = 0.7;
    let marker_of: Vec<Option<usize>> = labels
        .iter()
        .map(|label| markers.iter().position(|m| Some(&m.region) == label.region.as_ref()))
        .collect();
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_unstable_by_key(|(field, _)| *field);
    let dots = fields.into_iter().filter_map(|((latitude, longitude), spot)| {
        let weight: f64 = spot.ends.iter().map(|(_, size)| size).sum();
        let (most, size) = spot.ends.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        // A number for the field that looks drawn and stays the same.
        let seed = (latitude as u16 as u64) << 16 | longitude as u16 as u64;
        let mut drawn = unit_of(seed) * weight;
        let by_share = spot.ends.iter().find(|(_, size)| {
            drawn -= size;
            drawn < 0.0
        });
        let end = if *size >= MOST * weight { most } else { by_share.map_or(most, |(end, _)| end) };
        let middle = |step: i16| (f64::from(step) + 0.5) / DOTS_PER_DEGREE;
        Some(Dot {
            at: Location::new(middle(latitude).min(90.0), middle(longitude).min(180.0))?,
            weight,
            marker: marker_of.get(usize::from(*end)).copied().flatten(),
            moved: spot.moved > weight / 2.0,
        })
    });
    dots.collect()
}

/// A number in 0..1 that looks drawn.
fn unit_of(seed: u64) -> f64 {
    let mut chance = crate::steer::chance::Chance::seeded(seed);
    (chance.draw() >> 11) as f64 / (1u64 << 53) as f64
}
