//! The road of a query without sockets: how long one answer takes, and, under callgrind, how many
//! instructions it is.
//!
//! `cargo bench --bench road` prints nanoseconds; `tests/bench/instructions` runs
//! `road CASE QUERIES` under callgrind, which answers that many queries and prints nothing.

use std::env;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian::config::{self, assemble};
use meridian::geo::world::World;
use meridian::health::table::{HealthTable, PoolWord, Verdict};
use meridian::region::{Family, PoolId};
use meridian::server::stats::Stats;
use meridian::server::worker::Worker;
use meridian::server::{Answer, Transport};
use meridian::snapshot::Publisher;
use meridian::steer::tally::Tallies;

/// Packets per batch, as `io` hands them over.
const BATCH: usize = 32;
/// Distinct packets of a case; small enough to stay in cache.
const PACKETS: usize = 2048;
/// Static names in the zone.
const NAMES: usize = 2000;
/// One timed round, and how many of them: the best says what the code costs.
const ROUND: usize = 200_000;
const ROUNDS: usize = 15;

/// A kind of question: its name, and the packet with a given number.
type Case = (&'static str, fn(usize) -> Vec<u8>);

/// The kinds of questions.
const CASES: [Case; 5] = [
    ("static", |n| query(&format!("host-{}", n % NAMES), None)),
    ("nxdomain", |n| query(&format!("no-{n}"), None)),
    ("geo", |n| query("www", Some(network(n)))),
    ("geo-source", |_| query("www", None)),
    ("weighted", |_| query("canary", None)),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    match &arguments[..] {
        [case, queries] => {
            let (name, make) = CASES.iter().find(|(name, _)| name == case).expect("a known case");
            let mut road = Road::new(name, *make);
            road.answer(queries.parse().expect("a number of queries"));
        }
        _ => {
            println!("{:12} {:>8} {:>10}", "case", "ns/query", "answer, B");
            for (name, make) in CASES {
                let mut road = Road::new(name, make);
                let (ns, octets) = road.time();
                println!("{name:12} {ns:>8.1} {octets:>10.0}");
            }
        }
    }
}

/// A worker and the packets it is asked.
struct Road {
    worker: Worker,
    packets: Vec<Vec<u8>>,
    /// Owns what the worker reads.
    _publisher: Publisher,
}

impl Road {
    fn new(case: &str, make: fn(usize) -> Vec<u8>) -> Self {
        let publisher = Publisher::new(snapshot());
        let worker = Worker::new(0, publisher.source(), Arc::new(Stats::new(1)), 7);
        let packets: Vec<Vec<u8>> = (0..PACKETS).map(make).collect();
        let mut road = Self { worker, packets, _publisher: publisher };
        road.check(case);
        road
    }

    /// Every packet of the case gets the answer the case is about.
    fn check(&mut self, case: &str) {
        let mut out = [0; 4096];
        self.worker.begin(Duration::ZERO);
        for packet in &self.packets {
            self.worker.prepare(0, packet);
            let length = self.worker.answer(0, packet, client(0), Transport::Udp, &mut out);
            let rcode = if case == "nxdomain" { 3 } else { 0 };
            let answers = u8::from(case != "nxdomain");
            assert!(length > packet.len(), "{case}: an answer is longer than its question");
            assert_eq!((out[3] & 15, out[7]), (rcode, answers), "{case}: rcode, answers");
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
            for (slot, packet) in batch.iter().enumerate() {
                let from = client(number * BATCH + slot);
                octets += self.worker.answer(slot, packet, from, Transport::Udp, &mut out);
                black_box(&out);
            }
        }
        octets
    }

    /// Nanoseconds and octets per answer, the best of all rounds.
    fn time(&mut self) -> (f64, f64) {
        let mut best = Duration::MAX;
        let mut octets = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            octets = self.answer(ROUND);
            best = best.min(start.elapsed());
        }
        (best.as_nanos() as f64 / ROUND as f64, octets as f64 / ROUND as f64)
    }
}

/// A zone with steered and static names over the embedded country data, all pools up.
fn snapshot() -> meridian::snapshot::Snapshot {
    let dir = tempfile::tempdir().expect("a place for the files");
    for (path, text) in files() {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let loaded = config::load(dir.path(), None);
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    let health = Arc::new(HealthTable::new(config.pools.len()));
    for pool in 0..u32::try_from(config.pools.len()).expect("a handful") {
        for family in [Family::V4, Family::V6] {
            health.store(PoolId(pool), family, PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, 1));
        }
    }
    let world = Arc::new(World::embedded());
    assemble::snapshot(&config, world, health, None, &mut Tallies::new(1)).expect("it compiles")
}

fn files() -> [(&'static str, String); 4] {
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
        ("meridian.toml", "workers = 1\n".to_owned()),
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

/// Networks spread over the whole of the IPv4 space, always the same.
fn network(number: usize) -> Ipv4Addr {
    let spread = (number as u32).wrapping_mul(2_654_435_761);
    let [_, second, third, first] = spread.to_be_bytes();
    Ipv4Addr::new(1 + first % 223, second, third, 0)
}

fn client(number: usize) -> IpAddr {
    network(number % PACKETS).into()
}
