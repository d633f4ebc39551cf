//! Whether workers get in each other's way: CPU per answer with one thread and with two that
//! share a snapshot, counters and tallies, without sockets.
//!
//! Each thread's own CPU time is read, so that it does not matter what else the machine does, and
//! the turns of one and of two are interleaved. Two workers answer `2 × one / two` times as much
//! as one where each has a core.

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use meridian::config::{self, assemble};
use meridian::geo::world::World;
use meridian::health::table::{HealthTable, PoolWord, Verdict};
use meridian::region::{Family, PoolId};
use meridian::server::stats::Stats;
use meridian::server::worker::Worker;
use meridian::server::{Answer, Transport};
use meridian::snapshot::{Publisher, Snapshot};
use meridian::steer::tally::Tallies;

/// Packets per batch, as `io` hands them over.
const BATCH: usize = 32;
/// Distinct packets of a case.
const PACKETS: usize = 2048;
/// Batches in a turn, and turns of which the median is taken.
const BATCHES: usize = 100_000;
const TURNS: usize = 15;
/// Threads whose counters the snapshot has room for.
const THREADS: usize = 2;

/// A kind of question: its name, and the packet with a given number.
type Case = (&'static str, fn(usize) -> Vec<u8>);

const CASES: [Case; 3] = [
    ("static", |n| query(&format!("host-{}", n % 1000))),
    ("geo", |_| query("www")),
    ("weighted", |_| query("canary")),
];

fn main() {
    println!("{:10} {:>10} {:>10} {:>18}", "case", "one, ns", "two, ns", "two workers × one");
    for (name, make) in CASES {
        let scene = Scene::new(make);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            one.push(scene.turn(1));
            two.push(scene.turn(2));
        }
        let (one, two) = (median(one), median(two));
        println!("{name:10} {one:>10.1} {two:>10.1} {:>18.2}", 2.0 * one / two);
    }
}

/// What all threads share.
struct Scene {
    publisher: Publisher,
    stats: Arc<Stats>,
    packets: Vec<Vec<u8>>,
}

impl Scene {
    fn new(make: fn(usize) -> Vec<u8>) -> Self {
        let publisher = Publisher::new(snapshot());
        let packets = (0..PACKETS).map(make).collect();
        Self { publisher, stats: Arc::new(Stats::new(THREADS)), packets }
    }

    /// CPU nanoseconds per answer when so many threads answer at once.
    fn turn(&self, threads: usize) -> f64 {
        let together = Barrier::new(threads);
        let spent: f64 = thread::scope(|scope| {
            let begun: Vec<_> = (0..threads)
                .map(|number| {
                    let together = &together;
                    scope.spawn(move || {
                        let seed = number as u64 + 7;
                        let source = self.publisher.source();
                        let worker = Worker::new(number, source, Arc::clone(&self.stats), seed);
                        self.answer(worker, together)
                    })
                })
                .collect();
            begun.into_iter().map(|thread| thread.join().expect("it answers")).sum()
        });
        spent / (threads * BATCHES * BATCH) as f64
    }

    /// CPU nanoseconds this thread spends on its share.
    fn answer(&self, mut worker: Worker, together: &Barrier) -> f64 {
        let mut out = [0; 4096];
        let mut batches = self.packets.chunks_exact(BATCH).cycle();
        let mut answer = |count: usize| {
            for (number, batch) in batches.by_ref().take(count).enumerate() {
                worker.begin(Duration::ZERO);
                for (slot, packet) in batch.iter().enumerate() {
                    worker.prepare(slot, black_box(packet));
                }
                for pass in 0..worker.approaches() {
                    (0..BATCH).for_each(|slot| worker.approach(slot, pass));
                }
                for (slot, packet) in batch.iter().enumerate() {
                    let from = client(number * BATCH + slot);
                    let len = worker.answer(slot, packet, from, Transport::Udp, &mut out);
                    assert!(len > packet.len(), "an answer is longer than its question");
                    black_box(&out);
                }
            }
        };
        answer(PACKETS / BATCH);
        together.wait();
        let before = spent();
        answer(BATCHES);
        spent() - before
    }
}

/// CPU nanoseconds of this thread so far.
fn spent() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    let first = text.split(' ').next().expect("the first is the time spent");
    first.parse().expect("a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A zone with static, nearest and weighted names over the embedded country data, all pools up.
fn snapshot() -> Snapshot {
    let dir = tempfile::tempdir().expect("a place for the files");
    for (path, text) in files() {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let loaded = config::load(dir.path(), None);
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    let health = Arc::new(HealthTable::new(config.pools.len(), config.areas.len()));
    for pool in 0..u32::try_from(config.pools.len()).expect("a handful") {
        for family in [Family::V4, Family::V6] {
            health.store_everywhere(
                PoolId(pool),
                family,
                PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, 1),
            );
        }
    }
    let world = Arc::new(World::embedded());
    let mut tallies = Tallies::new(THREADS);
    assemble::snapshot(&config, world, health, None, &mut tallies).expect("it compiles")
}

fn files() -> [(&'static str, String); 4] {
    let regions =
        "[region.fra]\nlocation = [50.11, 8.68]\n[region.iad]\nlocation = [38.95, -77.45]\n";
    let policy = "[pool.fra]\nregion = \"fra\"\nmembers = [\"192.0.2.1\"]\n\
                  [pool.iad]\nregion = \"iad\"\nmembers = [\"192.0.2.2\"]\n\
                  [record.www]\npolicy = \"nearest\"\npools = [\"fra\", \"iad\"]\n\
                  [record.canary]\npolicy = \"weighted\"\npools = { fra = 95, iad = 5 }\n";
    let mut zone = String::from(
        "$TTL 300\n@ SOA ns1 ops 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n\
         www A 192.0.2.1\ncanary A 192.0.2.1\n",
    );
    for name in 0..1000 {
        zone += &format!("host-{name} A 203.0.113.{}\n", name % 256);
    }
    [
        ("meridian.toml", "workers = 1\n".to_owned()),
        ("geo/regions.toml", regions.to_owned()),
        ("zones/example.org.toml", policy.to_owned()),
        ("zones/example.org.zone", zone),
    ]
}

/// A query for an IPv4 address of `name` below the zone.
fn query(name: &str) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [name, "example", "org"] {
        packet.push(u8::try_from(label.len()).expect("a short label"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// Clients spread over the whole of the IPv4 space, always the same.
fn client(number: usize) -> IpAddr {
    let spread = ((number % PACKETS) as u32).wrapping_mul(2_654_435_761);
    let [_, second, third, first] = spread.to_be_bytes();
    Ipv4Addr::new(1 + first % 223, second, third, 1).into()
}
