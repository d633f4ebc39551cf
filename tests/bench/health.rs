//! How soon answers follow health, and what health costs whoever answers.
//!
//! `cargo bench --bench health` starts the daemon in this process, over real probes and real
//! members on loopback, and prints
//!
//! - from the last failing probe's return to the first changed answer, over UDP;
//! - what flapping takes from a thread that answers;
//! - what a flip costs by the number of records that use the pool, and how long a sample may
//!   have to wait for others that need the keeper.
//!
//! Fails when an answer is wrong, or half of the failures take longer than [`SOON`].

mod members;

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use meridian::config;
use meridian::daemon::{self, Daemon, Options, load};
use meridian::health::keeper::{CheckSpec, Event, Keeper, Plan};
use meridian::health::overrides::{Override, OverrideState, OverrideTarget};
use meridian::health::persist::Memory;
use meridian::health::sample::{Reason, Sample};
use meridian::health::state::{FLAP_WINDOW, Thresholds};
use meridian::health::verdict::{MemberSpec, PoolSpec};
use meridian::region::{Ease, Family};
use meridian::server::stats::Stats;
use meridian::server::worker::Worker;
use meridian::server::{Answer, Transport};

use members::{Failing, Member};

/// From a failing probe's return to a changed answer: more than this is a fault.
const SOON: Duration = Duration::from_millis(1);
/// Failures measured per row of the first table.
const FAILURES: usize = 12;
/// The rows: how members fail, and how many queries are under way meanwhile.
const ROWS: [(&str, Failing, usize); 4] = [
    ("503, one query at a time", Failing::Unavailable, 1),
    ("503, 64 under way", Failing::Unavailable, 64),
    ("refused, one query at a time", Failing::Refused, 1),
    ("refused, 64 under way", Failing::Refused, 64),
];

/// A round of the second table, how many of each kind, and flips per second.
const ROUND: Duration = Duration::from_millis(500);
const ROUNDS: usize = 10;
const FLIPS: u32 = 100;

/// Packets per batch, as `io` hands them over.
const BATCH: usize = 32;

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let members: Vec<Member> = (0..ROWS.len() * FAILURES).map(|_| Member::start()).collect();
    let folder = tempfile::tempdir().expect("a place for the files");
    write_files(folder.path(), &members);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = Options { config: folder.path().to_owned(), on_event: None };
    let (daemon, tasks) = runtime.block_on(daemon::start(options)).expect("it starts");
    wait_for_members(&daemon);
    let all_soon = failing(&daemon, &members);
    let none_wrong = flapping(&daemon);
    runtime.block_on(daemon.stop(tasks));
    flips();
    holds();
    if all_soon && none_wrong { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// --- A region fails --------------------------------------------------------------------------

/// Waits until every member has been found up.
fn wait_for_members(daemon: &Daemon) {
    let begun = Instant::now();
    let is_up = |daemon: &Daemon| {
        let status = daemon.health().known().status(daemon.now());
        status.checks.iter().all(|check| check.state == "up")
    };
    while !is_up(daemon) {
        assert!(begun.elapsed() < PATIENCE, "some member is not found up");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Fails one member after the other; false when that shows too late.
fn failing(daemon: &Daemon, members: &[Member]) -> bool {
    println!("{FAILURES} regions fail, each: first changed answer, in µs");
    println!("{:30} {:>19} {:>19}", "", "after the member's", "after the probe's");
    println!("{:30} {:>19} {:>19}", "", "failing answer", "return");
    println!("{:30} {:>9} {:>9} {:>9} {:>9}", "", "median", "worst", "median", "worst");
    let mut all_soon = true;
    for (row, (name, how, under_way)) in ROWS.into_iter().enumerate() {
        let asker = Asker::new(daemon.addresses()[0], row, under_way);
        let (mut after_answer, mut after_return) = (Vec::new(), Vec::new());
        for at in 0..FAILURES {
            let number = row * FAILURES + at;
            asker.settle(at);
            members[number].fail(how);
            let changed = asker.until_not(at);
            let concluded = concluded(daemon, &members[number]);
            after_return.push(micros(changed.saturating_duration_since(concluded)));
            after_answer.extend(
                members[number]
                    .failed_at()
                    .map(|sent| micros(changed.saturating_duration_since(sent))),
            );
        }
        let [from_answer, from_return] = [after_answer, after_return].map(median_and_worst);
        println!("{name:30} {} {}", show(from_answer), show(from_return));
        all_soon &= from_return.is_some_and(|(median, _)| median <= micros(SOON));
    }
    all_soon
}

/// When the last probe of `member` had returned, by what health says of itself.
fn concluded(daemon: &Daemon, member: &Member) -> Instant {
    let (now, known) = (Instant::now(), daemon.health().known());
    let status = known.status(daemon.now());
    let end = format!("@{}", member.address);
    let check = status.checks.iter().find(|check| check.key.ends_with(&end));
    let check = check.expect("a check of this member");
    assert_eq!(check.state, "down", "{}", check.key);
    // `now` was taken first, so this is rather too early than too late.
    now - Duration::from_secs_f64(check.since_s)
}

/// Asks for one row's record over UDP, with some queries under way.
struct Asker {
    socket: UdpSocket,
    packet: Vec<u8>,
    under_way: usize,
}

impl Asker {
    fn new(server: SocketAddr, row: usize, under_way: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(server).expect("it connects");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let asker = Self { socket, packet: query(&format!("row-{row}")), under_way };
        asker.fill();
        asker
    }

    fn fill(&self) {
        for _ in 0..self.under_way {
            self.socket.send(&self.packet).expect("sent");
        }
    }

    /// The next answer's place in the row. Every answer is followed by the next query.
    fn next(&self) -> usize {
        let mut answer = [0; 512];
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(length) = self.socket.recv(&mut answer) {
                self.socket.send(&self.packet).expect("sent");
                return usize::from(answer[length - 1]);
            }
            // Lost on the way: all begin anew.
            self.fill();
        }
        panic!("no answers");
    }

    /// Asks until the answer is `place`, which must come in the end.
    fn settle(&self, place: usize) {
        let begun = Instant::now();
        while self.next() != place {
            assert!(begun.elapsed() < PATIENCE, "{place} is never answered");
        }
    }

    /// Asks until the answer is another than `place`; tells when that came.
    fn until_not(&self, place: usize) -> Instant {
        loop {
            let answered = self.next();
            if answered != place {
                let now = Instant::now();
                assert_eq!(answered, place + 1, "the next region in the row takes over");
                return now;
            }
        }
    }
}

// --- Health flaps ----------------------------------------------------------------------------

/// What a thread that answers did in some time.
#[derive(Default)]
struct Work {
    answers: u64,
    wrong: u64,
    cpu: Duration,
}

/// Which of two pools is answered: even when settled, odd while it changes.
static PHASE: AtomicU64 = AtomicU64::new(0);

/// Rounds with and without flips, in turn; false when an answer was wrong.
fn flapping(daemon: &Daemon) -> bool {
    let mut worker = OneWorker::new(daemon);
    let (mut rates, mut costs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let (mut wrong, mut flips, mut elsewhere) = (0, 0, [Duration::ZERO; 2]);
    for round in 0..2 * ROUNDS {
        let flaps = round % 2;
        let before = process_cpu();
        let ends = AtomicBool::new(false);
        let work = thread::scope(|scope| {
            let flipper = scope.spawn(|| if flaps == 1 { flip_until(daemon, &ends) } else { 0 });
            let work = worker.work_for(ROUND);
            ends.store(true, Ordering::SeqCst);
            flips += flipper.join().expect("it flips");
            work
        });
        elsewhere[flaps] += (process_cpu() - before).saturating_sub(work.cpu);
        rates[flaps].push(work.answers as f64 / ROUND.as_secs_f64() / 1e6);
        costs[flaps].push(work.cpu.as_nanos() as f64 / work.answers as f64);
        wrong += work.wrong;
    }
    println!();
    println!("{:30} {:>12} {:>12} {:>12}", "", "M answers/s", "CPU ns each", "other CPU");
    for (flaps, name) in ["nothing flips", "100 flips per second"].into_iter().enumerate() {
        let [rate, cost] = [&rates, &costs].map(|of| median(of[flaps].clone()).unwrap_or(0.0));
        let share = elsewhere[flaps].as_secs_f64() / (ROUND * ROUNDS as u32).as_secs_f64();
        println!("{name:30} {rate:>12.3} {cost:>12.1} {:>10.1} %", share * 100.0);
    }
    println!("{flips} flips, {wrong} wrong answers");
    wrong == 0
}

/// Flips the pool `left` by overrides, as the API does, until it ends; returns how often.
fn flip_until(daemon: &Daemon, ends: &AtomicBool) -> u32 {
    let target: OverrideTarget = "pool.left".parse().expect("a target");
    let mut flips = 0;
    let flip = |drain: bool| {
        PHASE.fetch_add(1, Ordering::SeqCst);
        let mut keeper = daemon.health().keeper();
        let events = match drain {
            true => keeper.set_override(drained(target.clone()), daemon.now()),
            false => keeper.clear_override(&target, None, daemon.now()),
        };
        drop(keeper);
        PHASE.fetch_add(1, Ordering::SeqCst);
        daemon.health().tell(events);
    };
    let begun = Instant::now();
    while !ends.load(Ordering::SeqCst) {
        flip(flips % 2 == 0);
        flips += 1;
        thread::sleep((begun + flips * (Duration::from_secs(1) / FLIPS)) - Instant::now());
    }
    if flips % 2 == 1 {
        flip(false);
        flips += 1;
    }
    flips
}

fn drained(target: OverrideTarget) -> Override {
    let (reason, by) = ("flapping".to_owned(), "bench".to_owned());
    Override { target, area: None, state: OverrideState::Drain, reason, by, until: None }
}

/// A thread's worker over the daemon's snapshot.
struct OneWorker {
    worker: Worker,
    packet: Vec<u8>,
}

impl OneWorker {
    fn new(daemon: &Daemon) -> Self {
        let source = Arc::new(ArcSwap::new(daemon.snapshot()));
        let worker = Worker::new(0, source, Arc::new(Stats::new(1)), 7);
        Self { worker, packet: query("flip") }
    }

    fn work_for(&mut self, time: Duration) -> Work {
        let (begun, cpu) = (Instant::now(), thread_cpu());
        let mut work = Work::default();
        while begun.elapsed() < time {
            for _ in 0..16 {
                self.batch(&mut work);
            }
        }
        work.cpu = thread_cpu() - cpu;
        work
    }

    fn batch(&mut self, work: &mut Work) {
        let mut out = [0; 512];
        let before = PHASE.load(Ordering::SeqCst);
        let mut seen = [0u64; 2];
        self.worker.begin(Duration::ZERO);
        for slot in 0..BATCH {
            self.worker.prepare(slot, black_box(&self.packet));
        }
        for pass in 0..self.worker.approaches() {
            (0..BATCH).for_each(|slot| self.worker.approach(slot, pass));
        }
        for slot in 0..BATCH {
            let from = IpAddr::from([198, 51, 100, slot as u8]);
            let length = self.worker.answer(slot, &self.packet, from, Transport::Udp, &mut out);
            match out.get(length.wrapping_sub(1)) {
                Some(&place @ 0..2) => seen[usize::from(place)] += 1,
                _ => work.wrong += 1,
            }
        }
        let settled = before.is_multiple_of(2) && before == PHASE.load(Ordering::SeqCst);
        if settled {
            // The pool in place 0 is drained after every first of two flips.
            work.wrong += seen[usize::from((before / 2).is_multiple_of(2))];
        }
        work.answers += BATCH as u64;
    }
}

// --- What a flip costs -----------------------------------------------------------------------

/// The cost of a flip by the number of records that use the pool.
fn flips() {
    println!();
    println!("{:30} {:>12} {:>12}", "a check flips; records", "CPU µs", "words stored");
    for records in [1, 100, 10_000] {
        let folder = tempfile::tempdir().expect("a place for the files");
        write_shared_pool(folder.path(), records);
        let loaded = config::load(folder.path(), None);
        let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let used: usize = config.zones.iter().map(|zone| zone.records.len()).sum();
        assert_eq!(used, records, "every record is steered");
        let mut keeper =
            Keeper::new(load::plan(&config), &Memory::new(), Vec::new(), Duration::ZERO);
        let key = config.checks[0].key.clone();
        let mut clock = Duration::ZERO;
        let mut stored = 0;
        const FLIPS: u32 = 100_000;
        let cpu = thread_cpu();
        for flip in 0..FLIPS {
            // Far enough apart that damping does not hold it back.
            clock += FLAP_WINDOW;
            let latency = Duration::from_millis(1);
            let sample = match flip % 2 {
                0 => Sample::failure(Reason::Refused, latency),
                _ => Sample::success(latency),
            };
            let (_, events) = keeper.observe(&key, &sample, clock);
            stored += events.iter().filter(|event| matches!(event, Event::Pool { .. })).count();
        }
        let cost = micros(thread_cpu() - cpu) / f64::from(FLIPS);
        println!("{records:<30} {cost:>12.2} {:>12.2}", stored as f64 / f64::from(FLIPS));
    }
}

/// How long others hold the keeper, so that a sample has to wait, with 10,000 checks.
fn holds() {
    const CHECKS: u32 = 10_000;
    let mut keeper = Keeper::new(plan(CHECKS), &Memory::new(), Vec::new(), Duration::ZERO);
    let target: OverrideTarget = "region.r7".parse().expect("a target");
    println!();
    println!("{:30} {:>12} {:>12}", "10,000 checks: keeper held, ms", "median", "worst");
    let row = |name: &str, times: Vec<f64>| {
        let (median, worst) = median_and_worst(times).unwrap_or_default();
        println!("{name:30} {:>12.3} {:>12.3}", median / 1e3, worst / 1e3);
    };
    let times = |work: &mut dyn FnMut() -> Duration| (0..20).map(|_| micros(work())).collect();
    row("to copy what is known", times(&mut || timed(|| keeper.known().clone())));
    row(
        "to override a region",
        times(&mut || timed(|| keeper.set_override(drained(target.clone()), Duration::ZERO))),
    );
    let mut plans: Vec<Plan> = (0..20).map(|_| plan(CHECKS)).collect();
    row(
        "to take a reload's plan",
        times(&mut || {
            let plan = plans.pop().expect("one for each time");
            timed(|| keeper.rebuild(plan, Duration::ZERO))
        }),
    );
    let known = keeper.known().clone();
    row("(not held: to tell of it all)", times(&mut || timed(|| known.status(Duration::ZERO))));
}

/// Pools of one member each, a hundred regions.
fn plan(checks: u32) -> Plan {
    let key = |number: u32| format!("web@{}:443", Ipv4Addr::from_bits(0x0a00_0000 + number));
    let thresholds = Thresholds {
        rise: 3,
        fall: 3,
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_millis(500),
    };
    let pool = |number: u32| PoolSpec {
        name: format!("p{number}").into(),
        origin: "example.org.".into(),
        region: format!("r{}", number % 100).into(),
        members: vec![MemberSpec {
            name: Ipv4Addr::from_bits(0x0a00_0000 + number).to_string().into(),
            family: Some(Family::V4),
            place: 0,
            weight: 1,
            check: Some(number),
            names: None,
        }],
        ease: Ease::default(),
        needs: Vec::new(),
    };
    let check = |number| CheckSpec::new(key(number).into(), thresholds);
    Plan {
        checks: (0..checks).map(check).collect(),
        pools: (0..checks).map(pool).collect(),
        ..Plan::default()
    }
}

// --- Files -----------------------------------------------------------------------------------

const ZONE: &str = "$TTL 300\n@ SOA ns1 ops 1 3600 600 86400 60\n@ NS ns1\nns1 A 192.0.2.53\n";

/// A record per row that fails over from member to member, and one over two unchecked pools.
/// The last octet of an address is its place.
fn write_files(folder: &Path, members: &[Member]) {
    let mut policy = String::new();
    let mut pool = |name: &str, place: usize, monitor: &str| {
        let members = format!("[\"192.0.2.{place}\"]");
        writeln!(policy, "[pool.{name}]\nregion = \"fra\"\nmembers = {members}\n{monitor}")
            .expect("a string takes everything");
    };
    for (number, member) in members.iter().enumerate() {
        let monitor = format!(
            "monitor = {{ type = \"http\", target = \"{}\", path = \"/{number}\", \
             interval = \"100ms\", fast_interval = \"100ms\", timeout = \"90ms\", \
             rise = 1, fall = 2 }}",
            member.address
        );
        pool(&format!("p{number}"), number % FAILURES, &monitor);
    }
    pool("last", FAILURES, "");
    pool("left", 0, "");
    pool("right", 1, "");
    let mut zone = format!("{ZONE}flip A 192.0.2.1\n");
    for row in 0..ROWS.len() {
        let names = (0..FAILURES).map(|at| format!("\"p{}\", ", row * FAILURES + at));
        let names: String = names.collect();
        policy +=
            &format!("[record.row-{row}]\npolicy = \"failover\"\npools = [{names}\"last\"]\n");
        zone += &format!("row-{row} A 192.0.2.1\n");
    }
    policy += "[record.flip]\npolicy = \"failover\"\npools = [\"left\", \"right\"]\n";
    let settings = "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"off\"\n";
    write_config(folder, settings, &zone, &policy);
}

/// One checked pool that `records` records use.
fn write_shared_pool(folder: &Path, records: usize) {
    let mut policy = "[pool.one]\nregion = \"fra\"\nmembers = [\"192.0.2.1\"]\n\
                      monitor = { type = \"tcp\", port = 443, rise = 1, fall = 1 }\n"
        .to_owned();
    let mut zone = ZONE.to_owned();
    for record in 0..records {
        policy += &format!("[record.r{record}]\npolicy = \"failover\"\npools = [\"one\"]\n");
        zone += &format!("r{record} A 192.0.2.1\n");
    }
    write_config(folder, "", &zone, &policy);
}

fn write_config(folder: &Path, settings: &str, zone: &str, policy: &str) {
    for (path, text) in [
        ("meridian.toml", settings),
        ("geo/regions.toml", "[region.fra]\nlocation = [50.11, 8.68]\n"),
        ("zones/example.org.zone", zone),
        ("zones/example.org.toml", policy),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
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

// --- Times -----------------------------------------------------------------------------------

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let done = work();
    let took = start.elapsed();
    drop(done);
    took
}

/// CPU time of this thread, by the scheduler.
fn thread_cpu() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

/// CPU time of all threads of this process that run, by the scheduler.
fn process_cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux tells").flatten();
    let told = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    let nanos = told.filter_map(|told| told.split(' ').next()?.parse::<u64>().ok());
    Duration::from_nanos(nanos.sum())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

fn median_and_worst(figures: Vec<f64>) -> Option<(f64, f64)> {
    let worst = figures.iter().copied().max_by(f64::total_cmp)?;
    Some((median(figures)?, worst))
}

fn show(figures: Option<(f64, f64)>) -> String {
    match figures {
        Some((median, worst)) => format!("{median:>9.0} {worst:>9.0}"),
        None => format!("{:>9} {:>9}", "-", "-"),
    }
}
