//! What was measured: milliseconds from client networks to regions, and what stands in where
//! nothing was.
//!
//! [`Latencies`] is what a file says, made once when it is read. A [`Gauge`] is that over one
//! world: it gives every client milliseconds to every region, measured ones, those the distance
//! lets expect, or something between the two where samples are few.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use crate::geo::world::World;
use crate::region::{Location, RegionId};

/// One line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// The clients: address and prefix length.
    pub network: (IpAddr, u8),
    /// The region they were measured to.
    pub region: RegionId,
    /// How long it took, in microseconds.
    pub micros: u32,
    /// Of how many samples it is the mean; `None` where the file does not say, and the value
    /// counts as it is.
    pub samples: Option<u32>,
}

/// All that was measured, by network.
#[derive(Debug, PartialEq)]
pub struct Latencies {
    /// Of all the rest, so that two tables are mostly told apart at once.
    digest: u64,
    networks: Vec<Measured>,
    /// Regions with a place that something was measured to, ascending.
    regions: Vec<(RegionId, Location)>,
}

/// Locations are numbers, never NaN.
impl Eq for Latencies {}

impl Hash for Latencies {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest);
    }
}

/// What was measured from one network.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Measured {
    /// Its first address and prefix length.
    pub(crate) network: (IpAddr, u8),
    /// By region, ascending.
    rows: Box<[Row]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Row {
    region: RegionId,
    micros: u32,
    samples: Option<u32>,
}

impl Latencies {
    /// Brings measurements together: those of one network and region are one, averaged by
    /// samples. `min_prefix`: for IPv4 and IPv6, the prefix length longer networks are cut to,
    /// since no resolver asks for less. `place_of`: where a region stands.
    pub fn new(
        measurements: &[Measurement],
        min_prefix: (u8, u8),
        place_of: impl Fn(RegionId) -> Option<Location>,
    ) -> Self {
        let mut sums: HashMap<((IpAddr, u8), RegionId), Sum> = HashMap::new();
        for measurement in measurements {
            let network = cut(measurement.network, min_prefix);
            sums.entry((network, measurement.region)).or_default().add(measurement);
        }
        let mut rows: Vec<_> =
            sums.into_iter().map(|((network, region), sum)| (network, sum.row(region))).collect();
        rows.sort_unstable_by_key(|(network, row)| (*network, row.region));
        let mut regions: Vec<RegionId> = rows.iter().map(|(_, row)| row.region).collect();
        regions.sort_unstable();
        regions.dedup();
        let networks: Vec<Measured> = rows
            .chunk_by(|one, other| one.0 == other.0)
            .map(|rows| Measured {
                network: rows[0].0,
                rows: rows.iter().map(|(_, row)| *row).collect(),
            })
            .collect();
        let mut digest = DefaultHasher::new();
        networks.hash(&mut digest);
        let regions = regions.into_iter().filter_map(|id| Some((id, place_of(id)?))).collect();
        Self { digest: digest.finish(), networks, regions }
    }

    /// The networks, ascending.
    pub(crate) fn networks(&self) -> &[Measured] {
        &self.networks
    }
}

/// A network cut to `min_prefix`.
fn cut((address, length): (IpAddr, u8), min_prefix: (u8, u8)) -> (IpAddr, u8) {
    match address {
        IpAddr::V4(v4) => {
            let length = length.min(min_prefix.0).min(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            (IpAddr::V4((v4.to_bits() & mask).into()), length)
        }
        IpAddr::V6(v6) => {
            let length = length.min(min_prefix.1).min(64);
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            (IpAddr::V6((v6.to_bits() & mask).into()), length)
        }
    }
}

/// Measurements of one network and region.
#[derive(Debug, Default)]
struct Sum {
    micros: u128,
    samples: u64,
    /// Some did not say how many samples they are of.
    plain: bool,
}

impl Sum {
    fn add(&mut self, measurement: &Measurement) {
        let samples = measurement.samples.unwrap_or(1);
        self.micros += u128::from(measurement.micros) * u128::from(samples);
        self.samples += u64::from(samples);
        self.plain |= measurement.samples.is_none();
    }

    fn row(&self, region: RegionId) -> Row {
        // A mean of numbers of 32 bits has no more.
        let micros = self.micros.checked_div(self.samples.into()).unwrap_or(0) as u32;
        let samples = u32::try_from(self.samples).unwrap_or(u32::MAX);
        Row { region, micros, samples: (!self.plain).then_some(samples) }
    }
}

/// The estimate where too little was measured to fit one: milliseconds at no distance, and for
/// each kilometre.
///
/// Light in fibre would take 0.01 ms per kilometre and back; what is measured between hosts of
/// known places comes to 4/9 of the speed of light, 0.015 ms (Katz-Bassett et al., "Towards IP
/// Geolocation Using Delay and Topology Measurements", IMC 2006, section 3). What is there at no
/// distance, about 5 ms, is the intercept of a regression over pings (Goonatilake and Bachnak,
/// "Modeling Latency in a Network Distribution", Network and Communication Technologies 1(2),
/// 2012).
const USUAL: Estimate = Estimate { base: 5.0, per_kilometre: 0.015 };

/// A kilometre and back takes no less than light in fibre, and hardly more than five times that
/// on any path that is used.
const PER_KILOMETRE: std::ops::RangeInclusive<f64> = 0.01..=0.05;

/// Fewer measurements than this say nothing of what distance costs.
const FIT_MIN: usize = 30;

/// Milliseconds to be expected at a distance: a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Milliseconds at no distance.
    pub base: f64,
    /// Milliseconds for each kilometre.
    pub per_kilometre: f64,
}

impl Estimate {
    /// Milliseconds at a distance.
    pub fn at(self, kilometres: f64) -> f64 {
        self.base + self.per_kilometre * kilometres
    }

    /// The line nearest to points of kilometres, milliseconds and weight, by least squares; kept
    /// within what is physically possible, and the usual one where there are few points.
    fn fit(points: &[(f64, f64, f64)]) -> Self {
        if points.len() < FIT_MIN {
            return USUAL;
        }
        let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|&(x, y, weight)| term(x, y) * weight).sum()
        };
        let weight = sum(&|_, _| 1.0);
        let (x, y) = (sum(&|x, _| x) / weight, sum(&|_, y| y) / weight);
        let spread = sum(&|at, _| (at - x) * (at - x));
        let together = sum(&|at, took| (at - x) * (took - y));
        let slope = if spread > 0.0 { together / spread } else { USUAL.per_kilometre };
        let per_kilometre = slope.clamp(*PER_KILOMETRE.start(), *PER_KILOMETRE.end());
        Self { base: (y - per_kilometre * x).max(0.0), per_kilometre }
    }
}

/// What was measured between a client and a region, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blend {
    /// The measured milliseconds, each by how much it counts.
    known: f64,
    /// How much is left for the estimate, `0.0..=1.0`.
    pub left: f64,
    /// What was measured from the outermost network: it counts for all that is left where there
    /// is no estimate.
    last: Option<f64>,
    /// Of how many samples; `None` where one value counts as it is.
    pub samples: Option<u64>,
}

impl Blend {
    /// The milliseconds, where `estimate` is to be expected. `None` when nothing is known.
    #[inline]
    pub(crate) fn with(self, estimate: Option<f64>) -> Option<f64> {
        Some(self.known + self.left * estimate.or(self.last)?)
    }
}

/// Where the milliseconds of a client come from: measurements, over one world.
#[derive(Debug, Clone)]
pub struct Gauge {
    latencies: Arc<Latencies>,
    min_samples: u32,
    /// What is to be expected where nothing was measured.
    pub estimate: Estimate,
}

impl Gauge {
    /// `min_samples`: a mean of at least so many counts alone.
    pub(crate) fn new(world: &World, latencies: Arc<Latencies>, min_samples: u32) -> Self {
        let mut points = Vec::new();
        for Measured { network, rows } in &latencies.networks {
            let Some(from) = world.locate(network.0).place.location else { continue };
            for row in rows {
                if let Ok(at) = latencies.regions.binary_search_by_key(&row.region, |r| r.0) {
                    let kilometres = from.kilometres_to(latencies.regions[at].1);
                    points.push((kilometres, row.milliseconds(), row.counts(min_samples)));
                }
            }
        }
        let estimate = Estimate::fit(&points);
        Self { latencies, min_samples, estimate }
    }

    /// What was measured from `networks`, the innermost first, to a region.
    pub(crate) fn blend<'m>(
        &self,
        networks: impl Iterator<Item = &'m Measured>,
        region: RegionId,
    ) -> Blend {
        let mut blend = Blend { known: 0.0, left: 1.0, last: None, samples: Some(0) };
        for measured in networks {
            let Ok(at) = measured.rows.binary_search_by_key(&region, |row| row.region) else {
                continue;
            };
            let row = &measured.rows[at];
            let counts = row.counts(self.min_samples);
            blend.known += blend.left * counts * row.milliseconds();
            blend.left *= 1.0 - counts;
            blend.last = Some(row.milliseconds());
            let more = |samples: u64| Some(samples + u64::from(row.samples?));
            blend.samples = blend.samples.and_then(more);
            if blend.left == 0.0 {
                break;
            }
        }
        blend
    }

    /// What was measured from a client to a region. Looks at every network: for people.
    pub fn measured(&self, client: IpAddr, region: RegionId) -> Blend {
        let client = client.to_canonical();
        let holds = |measured: &&Measured| {
            let (network, length) = measured.network;
            network.is_ipv4() == client.is_ipv4()
                && cut((client, length), (length, length)).0 == network
        };
        let mut around: Vec<_> = self.latencies.networks.iter().filter(holds).collect();
        around.sort_by_key(|measured| std::cmp::Reverse(measured.network.1));
        self.blend(around.into_iter(), region)
    }

    /// Milliseconds for a region: what was measured, and the estimate for the rest.
    pub fn milliseconds(&self, blend: Blend, kilometres: Option<f64>) -> Option<f64> {
        blend.with(kilometres.map(|kilometres| self.estimate.at(kilometres)))
    }

    pub(crate) fn latencies(&self) -> &Latencies {
        &self.latencies
    }
}

impl Row {
    fn milliseconds(&self) -> f64 {
        f64::from(self.micros) / 1000.0
    }

    /// How much the mean counts: all from `min_samples` on, and less the fewer they are, with
    /// the square root, as the error of a mean goes. What is left goes to what would count
    /// without it. This is the rule of limited fluctuation in credibility theory (Longley-Cook,
    /// "An Introduction to Credibility Theory", 1962).
    fn counts(&self, min_samples: u32) -> f64 {
        let share = |samples| (f64::from(samples) / f64::from(min_samples.max(1))).sqrt().min(1.0);
        self.samples.map_or(1.0, share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRA: RegionId = RegionId(0);
    const IAD: RegionId = RegionId(1);

    fn line(network: &str, length: u8, region: RegionId, ms: f64, n: Option<u32>) -> Measurement {
        let network = (network.parse().expect("an address"), length);
        Measurement { network, region, micros: (ms * 1000.0) as u32, samples: n }
    }

    fn gauge(lines: &[Measurement], min_samples: u32) -> Gauge {
        let latencies = Latencies::new(lines, (24, 56), |_| None);
        Gauge::new(&World::from_networks(&[]), Arc::new(latencies), min_samples)
    }

    fn ms(gauge: &Gauge, client: &str, region: RegionId, kilometres: Option<f64>) -> Option<f64> {
        let blend = gauge.measured(client.parse().expect("an address"), region);
        gauge.milliseconds(blend, kilometres)
    }

    #[test]
    fn lines_of_one_network_and_region_are_averaged_by_samples() {
        let lines = [
            line("192.0.2.0", 24, FRA, 10.0, Some(30)),
            line("192.0.2.9", 32, FRA, 50.0, Some(10)),
            line("2001:db8::", 64, IAD, 7.0, None),
        ];
        let gauge = gauge(&lines, 10);
        assert_eq!(ms(&gauge, "192.0.2.77", FRA, None), Some(20.0));
        assert_eq!(ms(&gauge, "::ffff:192.0.2.77", FRA, None), Some(20.0));
        assert_eq!(ms(&gauge, "192.0.3.1", FRA, None), None);
        // Cut to /56, which holds this one too.
        assert_eq!(ms(&gauge, "2001:db8:0:ff::1", IAD, None), Some(7.0));
    }

    #[test]
    fn the_longest_network_counts_for_each_region() {
        let lines = [
            line("10.0.0.0", 8, FRA, 80.0, None),
            line("10.0.0.0", 8, IAD, 20.0, None),
            line("10.1.2.0", 24, FRA, 30.0, None),
        ];
        let gauge = gauge(&lines, 10);
        assert_eq!(ms(&gauge, "10.1.2.3", FRA, Some(1.0)), Some(30.0));
        assert_eq!(ms(&gauge, "10.1.2.3", IAD, Some(1.0)), Some(20.0));
        assert_eq!(ms(&gauge, "10.9.9.9", FRA, Some(1.0)), Some(80.0));
    }

    #[test]
    fn few_samples_lean_on_what_would_count_without_them() {
        let lines = [
            line("10.0.0.0", 8, FRA, 80.0, None),
            line("10.1.0.0", 16, FRA, 20.0, Some(25)),
            line("192.0.2.0", 24, FRA, 20.0, Some(25)),
        ];
        let gauge = gauge(&lines, 100);
        // The square root of 25 / 100 is a half.
        assert_eq!(ms(&gauge, "10.1.2.3", FRA, None), Some(50.0));
        let expected = (20.0 + USUAL.at(1000.0)) / 2.0;
        assert_eq!(ms(&gauge, "192.0.2.1", FRA, Some(1000.0)), Some(expected));
        assert_eq!(ms(&gauge, "192.0.2.1", FRA, None), Some(20.0));
        let nested =
            [line("10.0.0.0", 8, FRA, 80.0, Some(25)), line("10.1.0.0", 16, FRA, 20.0, Some(25))];
        assert_eq!(ms(&self::gauge(&nested, 100), "10.1.2.3", FRA, None), Some(50.0));
        let blend = gauge.measured("192.0.2.1".parse().expect("an address"), FRA);
        assert_eq!((blend.left, blend.samples), (0.5, Some(25)));
    }

    #[test]
    fn nothing_measured_is_what_the_distance_lets_expect() {
        let gauge = gauge(&[], 10);
        assert_eq!(ms(&gauge, "192.0.2.1", FRA, Some(2000.0)), Some(35.0));
        assert_eq!(ms(&gauge, "192.0.2.1", FRA, None), None);
    }

    #[test]
    fn an_estimate_is_fitted_to_what_was_measured_within_reason() {
        let points = |base: f64, slope: f64| -> Vec<_> {
            (0..60).map(|n| f64::from(n) * 100.0).map(|x| (x, base + slope * x, 1.0)).collect()
        };
        let fit = Estimate::fit(&points(80.0, 0.02));
        assert!((fit.base - 80.0).abs() < 1e-9 && (fit.per_kilometre - 0.02).abs() < 1e-9);
        assert_eq!(Estimate::fit(&points(80.0, 0.02)[..20]), USUAL);
        assert_eq!(Estimate::fit(&points(200.0, -0.01)).per_kilometre, 0.01);
        assert_eq!(Estimate::fit(&points(0.0, 0.2)).per_kilometre, 0.05);
        let one_place = vec![(500.0, 30.0, 1.0); 60];
        assert_eq!(Estimate::fit(&one_place).at(500.0), 30.0);
    }
}
