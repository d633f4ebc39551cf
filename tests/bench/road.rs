//! The road of a query without sockets: how long one answer takes, and how many instructions it
//! is; also the instructions of what is thought beforehand, loading a zone and compiling a map.
//!
//! `cargo bench --bench road` measures time, `tests/bench/instructions` counts instructions
//! (`--bench road -- instructions`). Either fails where a case takes more than was accepted in
//! `baseline.toml` and room is left for, and accepts what it finds when it gets `--accept`.

mod baseline;
mod callgrind;
mod reference;

use std::env;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian::config::{self, Config, assemble};
use meridian::geo::world::World;
use meridian::health::table::{HealthTable, PoolWord, Verdict};
use meridian::region::{Family, PoolId};
use meridian::server::stats::Stats;
use meridian::server::worker::Worker;
use meridian::server::{Answer, Transport};
use meridian::snapshot::{Publisher, Snapshot};
use meridian::steer::tally::Tallies;

use baseline::{Baseline, Figures, Finding, compare, least, median};
use callgrind::counted;
use reference::Reference;

/// Packets per batch, as `io` hands them over.
const BATCH: usize = 32;
/// Distinct packets of a case; small enough to stay in cache.
const PACKETS: usize = 2048;
/// Static names in the zone.
const NAMES: usize = 2000;
/// Queries whose instructions are counted.
const COUNTED: usize = 10 * PACKETS;
/// Queries of one timed round, and how many rounds: short ones, so that some are left alone
/// on a busy machine, and each case takes turns with the reference.
const ROUND: usize = 2 * PACKETS;
const ROUNDS: usize = 400;
/// Processes that measure times, at most.
const RUNS: usize = 5;

/// How much more than accepted may be taken. Instructions are the same from run to run; times
/// are not.
const ROOM_INSTRUCTIONS: f64 = 0.10;
const ROOM_RATIOS: f64 = 0.10;

/// A rate that nobody reaches: every answer is charged, none held back.
const LIMIT: &str = "[rate_limit]\nresponses_per_second = 1000000\n";

/// Where the accepted figures are.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/baseline.toml");

/// A kind of question.
struct Case {
    name: &'static str,
    /// The packet with a given number.
    ask: fn(usize) -> Vec<u8>,
    transport: Transport,
    /// The answer's rcode, and how many records answer.
    answered: (u8, u8),
    /// Whether the rate of answers is limited.
    limited: bool,
}

const CASES: [Case; 8] = [
    Case::udp("static", |n| query(&format!("host-{}", n % NAMES), None), (0, 1)),
    Case::udp("nxdomain", |n| query(&format!("no-{n}"), None), (3, 0)),
    Case::udp("geo", |n| query("www", Some(network(n))), (0, 1)),
    Case::udp("geo-source", |_| query("www", None), (0, 1)),
    Case::udp("weighted", |_| query("canary", None), (0, 1)),
    Case { limited: true, ..Case::udp("everything", |n| with_cookie(network(n)), (0, 1)) },
    Case::tcp("tcp-static", |n| query(&format!("host-{}", n % NAMES), None), (0, 1)),
    Case::tcp("tcp-geo", |n| query("www", Some(network(n))), (0, 1)),
];

impl Case {
    const fn udp(name: &'static str, ask: fn(usize) -> Vec<u8>, answered: (u8, u8)) -> Self {
        Self { name, ask, transport: Transport::Udp, answered, limited: false }
    }

    const fn tcp(name: &'static str, ask: fn(usize) -> Vec<u8>, answered: (u8, u8)) -> Self {
        Self { name, ask, transport: Transport::Tcp, answered, limited: false }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["count"] => {
            count();
            ExitCode::SUCCESS
        }
        ["instructions"] => judge(instructions(), false),
        ["instructions", "--accept"] => judge(instructions(), true),
        ["time"] => {
            times();
            ExitCode::SUCCESS
        }
        [] => judge(runs(false), false),
        ["--accept"] => judge(runs(true), true),
        _ => {
            eprintln!("road: [instructions] [--accept]");
            ExitCode::from(2)
        }
    }
}

/// What was measured, of one kind.
enum Measured {
    Instructions(Figures),
    /// Of several runs.
    Ratios(Vec<Figures>),
}

/// Holds what was measured against what was accepted, or accepts it.
fn judge(measured: Result<Measured, String>, accept: bool) -> ExitCode {
    let measured = match measured {
        Ok(measured) => measured,
        Err(why) => {
            eprintln!("road: {why}");
            return ExitCode::from(2);
        }
    };
    let before = fs::read_to_string(BASELINE).ok().and_then(|text| Baseline::read(&text));
    let mut accepted = before.unwrap_or_default();
    if accept {
        match measured {
            Measured::Instructions(figures) => accepted.instructions = figures,
            Measured::Ratios(runs) => {
                accepted.ratios.insert(processor(), median(&runs));
            }
        }
        fs::write(BASELINE, accepted.to_text()).expect("the baseline can be written");
        println!("accepted in {BASELINE}");
        return ExitCode::SUCCESS;
    }
    let findings = match measured {
        Measured::Instructions(is) => compare(&accepted.instructions, &is, ROOM_INSTRUCTIONS),
        Measured::Ratios(runs) => match accepted.ratios.get(&processor()) {
            Some(accepted) => compare(accepted, &least(&runs), ROOM_RATIOS),
            None => {
                println!("times are not compared: none were accepted for {}", processor());
                return ExitCode::SUCCESS;
            }
        },
    };
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.iter().any(Finding::is_fault) {
        return ExitCode::SUCCESS;
    }
    println!("road: not as accepted in {BASELINE}; to accept it, run the same with --accept");
    ExitCode::FAILURE
}

/// What is run under callgrind: load, compile, and every case, each counted.
fn count() {
    let folder = folder("");
    let config = counted(|| load(folder.path()));
    let mut tallies = Tallies::new(1);
    let world = Arc::new(World::embedded());
    let health = all_up(&config);
    let snapshot = counted(|| assemble::snapshot(&config, world, health, None, &mut tallies));
    let publisher = Publisher::new(snapshot.expect("it compiles"));
    let limited = Publisher::new(self::snapshot(LIMIT));
    for case in &CASES {
        let mut road = Road::new(case, if case.limited { &limited } else { &publisher });
        counted(|| road.answer(COUNTED));
    }
}

/// Instructions per query of every case, per record loaded, and per leaf compiled.
fn instructions() -> Result<Measured, String> {
    let counts = callgrind::instructions("count")?;
    let leaves = snapshot("").maps().map(|map| map.leaves().count()).sum::<usize>();
    let loading = [("load-record", NAMES), ("compile-leaf", leaves)];
    let cases = CASES.iter().map(|case| (case.name, COUNTED));
    let parts: Vec<_> = loading.into_iter().chain(cases).collect();
    if counts.len() != parts.len() {
        return Err(format!("callgrind counted {} parts, not {}", counts.len(), parts.len()));
    }
    let mut figures = Figures::new();
    println!("{:12} {:>12}", "case", "instructions");
    for ((case, number), count) in parts.into_iter().zip(counts) {
        let per_one = count as f64 / number as f64;
        println!("{case:12} {per_one:>12.0}");
        figures.insert(case.to_owned(), per_one.round());
    }
    Ok(Measured::Instructions(figures))
}

/// Times of several processes: what lies where in memory differs from one to the next, and moves
/// times by more than a change may. To judge, runs go on until one is as fast as was accepted;
/// to `accept`, all are made.
fn runs(accept: bool) -> Result<Measured, String> {
    let text = fs::read_to_string(BASELINE).ok();
    let accepted = text.and_then(|text| Baseline::read(&text)?.ratios.remove(&processor()));
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(run()?);
        let is_worse = |accepted| compare(accepted, &least(&runs), ROOM_RATIOS);
        let findings = accepted.as_ref().map(is_worse).unwrap_or_default();
        if !accept && !findings.iter().any(Finding::is_fault) {
            break;
        }
    }
    Ok(Measured::Ratios(runs))
}

/// The ratios that a process of its own measures.
fn run() -> Result<Figures, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new(program).arg("time").output().map_err(|error| error.to_string())?;
    let table = String::from_utf8_lossy(&run.stdout);
    print!("{table}");
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).into_owned());
    }
    let lines = table.lines().skip(2).map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.nth(1)?.parse().ok()?))
    });
    lines.collect::<Option<Figures>>().ok_or_else(|| "a table that cannot be read".to_owned())
}

/// Prints the time of every case, in nanoseconds and in passes of the reference loop: of each
/// the best round.
fn times() {
    let (publisher, limited) = (Publisher::new(snapshot("")), Publisher::new(snapshot(LIMIT)));
    let of = |case: &Case| if case.limited { &limited } else { &publisher };
    let mut roads: Vec<Road> = CASES.iter().map(|case| Road::new(case, of(case))).collect();
    let reference = Reference::new();
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        best = best.min(timed(|| reference.run(ROUND)));
        for road in &mut roads {
            let took = timed(|| road.answer(ROUND));
            road.best = road.best.min(took);
        }
    }
    let ns = |time: Duration| time.as_nanos() as f64 / ROUND as f64;
    println!("{:12} {:>8} {:>8} {:>10}", "case", "ns/query", "ratio", "answer, B");
    println!("{:12} {:>8.1} {:>8.3}", "reference", ns(best), 1.0);
    for (case, road) in CASES.iter().zip(&mut roads) {
        let ratio = ns(road.best) / ns(best);
        let octets = road.answer(PACKETS) as f64 / PACKETS as f64;
        println!("{:12} {:>8.1} {ratio:>8.3} {octets:>10.0}", case.name, ns(road.best));
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// The processor's name, as Linux tells it.
fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// A worker and the packets it is asked.
struct Road {
    worker: Worker,
    packets: Vec<Vec<u8>>,
    transport: Transport,
    best: Duration,
}

impl Road {
    fn new(case: &Case, publisher: &Publisher) -> Self {
        let worker = Worker::new(0, publisher.source(), Arc::new(Stats::new(1)), 7);
        let packets: Vec<Vec<u8>> = (0..PACKETS).map(case.ask).collect();
        let mut road = Self { worker, packets, transport: case.transport, best: Duration::MAX };
        road.check(case);
        road
    }

    /// Every packet of the case gets the answer the case is about.
    fn check(&mut self, case: &Case) {
        let mut out = [0; 4096];
        self.worker.begin(Duration::ZERO);
        for packet in &self.packets {
            self.worker.prepare(0, packet);
            let length = self.worker.answer(0, packet, client(0), self.transport, &mut out);
            assert!(length > packet.len(), "{}: an answer is longer than its question", case.name);
            assert_eq!((out[3] & 15, out[7]), case.answered, "{}: rcode, answers", case.name);
        }
    }

    /// Answers `queries` queries in batches; returns the octets of all answers.
    fn answer(&mut self, queries: usize) -> usize {
        let mut out = [0; 4096];
        let mut octets = 0;
        let batches = self.packets.chunks_exact(BATCH).cycle();
        for (number, batch) in batches.take(queries.div_ceil(BATCH)).enumerate() {
            self.worker.begin(Duration::ZERO);
            for (slot, packet) in batch.iter().enumerate() {
                self.worker.prepare(slot, black_box(packet));
            }
            for pass in 0..self.worker.approaches() {
                (0..BATCH).for_each(|slot| self.worker.approach(slot, pass));
            }
            for (slot, packet) in batch.iter().enumerate() {
                let from = client(number * BATCH + slot);
                octets += self.worker.answer(slot, packet, from, self.transport, &mut out);
                black_box(&out);
            }
        }
        octets
    }
}

/// A zone with steered and static names over the embedded country data, all pools up.
fn snapshot(settings: &str) -> Snapshot {
    let config = load(folder(settings).path());
    let (world, health) = (Arc::new(World::embedded()), all_up(&config));
    assemble::snapshot(&config, world, health, None, &mut Tallies::new(1)).expect("it compiles")
}

fn folder(settings: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a place for the files");
    for (path, text) in files(settings) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn load(folder: &Path) -> Config {
    let loaded = config::load(folder, None);
    loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

fn all_up(config: &Config) -> Arc<HealthTable> {
    let health = HealthTable::new(config.pools.len(), config.areas.len());
    for pool in (0..).map(PoolId).take(config.pools.len()) {
        for family in [Family::V4, Family::V6] {
            health.store_everywhere(
                pool,
                family,
                PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, 1),
            );
        }
    }
    Arc::new(health)
}

fn files(settings: &str) -> [(&'static str, String); 4] {
    let regions = [
        ("fra", "50.11, 8.68"),
        ("iad", "38.95, -77.45"),
        ("sin", "1.35, 103.99"),
        ("gru", "-23.43, -46.47"),
        ("nrt", "35.77, 140.39"),
        ("syd", "-33.94, 151.18"),
    ];
    let mut inventory = String::new();
    let mut policy = String::new();
    for (number, (name, at)) in regions.iter().enumerate() {
        inventory += &format!("[region.{name}]\nlocation = [{at}]\n");
        policy +=
            &format!("[pool.{name}]\nregion = \"{name}\"\nmembers = [\"192.0.2.{number}\"]\n");
    }
    let names = regions.map(|(name, _)| format!("{name:?}")).join(", ");
    policy += &format!("[record.www]\npolicy = \"nearest\"\npools = [{names}]\n");
    policy += "[record.canary]\npolicy = \"weighted\"\npools = { fra = 95, iad = 5 }\n";
    let mut zone = String::from(
        "$TTL 300\n@ SOA ns1 ops 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\ncanary A 192.0.2.1\n",
    );
    for name in 0..NAMES {
        zone += &format!("host-{name} A 203.0.113.{}\n", name % 256);
    }
    [
        ("meridian.toml", format!("workers = 1\n{settings}")),
        ("geo/regions.toml", inventory),
        ("zones/example.org.toml", policy),
        ("zones/example.org.zone", zone),
    ]
}

/// A query for an address of `name` below the zone, with EDNS and a client subnet when there is
/// one: what a resolver sends.
fn query(name: &str, subnet: Option<Ipv4Addr>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(subnet.is_some())];
    for label in [name, "example", "org"] {
        packet.push(u8::try_from(label.len()).expect("a short label"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    if let Some(network) = subnet {
        // OPT: size 1232, no flags, one option of 7 octets: family 1, source 24, scope 0.
        packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0]);
        packet.extend(&network.octets()[..3]);
    }
    packet
}

/// As [`query`] for `www`, with DO and the cookie of a client that has none of ours yet.
fn with_cookie(subnet: Ipv4Addr) -> Vec<u8> {
    let mut packet = query("www", Some(subnet));
    let opt = packet.len() - 22;
    packet[opt + 7] = 0x80;
    packet[opt + 10] += 12;
    packet.extend([0, 10, 0, 8]);
    packet.extend(subnet.octets().repeat(2));
    packet
}

/// Networks spread over the whole of the IPv4 space, always the same.
fn network(number: usize) -> Ipv4Addr {
    let spread = (number as u32).wrapping_mul(2_654_435_761);
    let [_, second, third, first] = spread.to_be_bytes();
    Ipv4Addr::new(1 + first % 223, second, third, 0)
}

fn client(number: usize) -> IpAddr {
    network(number % PACKETS).into()
}
