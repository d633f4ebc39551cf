//! The daemon under abuse, beside an ordinary load that must not notice.
//!
//! For some seconds (`--seconds N`, 20 without it) the real daemon gets, from addresses of
//! loopback: packets that are broken in every way a seeded generator finds, floods past the rate
//! limit, and connections that stall, never read, come in crowds or leave in the middle. Meanwhile
//! dnsperf asks 20,000 queries a second. Not one of those may be lost, memory must stay where it
//! is, and nothing may panic.
//!
//! `cargo test --test abuse -- --seconds 600`; MERIDIAN_BIN names another binary than the one
//! built with the test. Needs dnsperf (`tests/setup`).

mod daemon;
mod load;
mod malformed;
mod stalled;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daemon::Daemon;

/// Ordinary queries a second.
const LOAD: u32 = 20_000;
/// Packets of each flood a second.
const MALFORMED: u32 = 2_000;
const FLOOD: u32 = 8_000;

/// Memory the daemon may take beyond what it had when everything had been tried once, in KiB: the
/// allocator's own ups and downs.
const GROWTH: u64 = 8 << 10;

/// When the attacks are to end.
pub(crate) struct End {
    at: Instant,
    called_off: AtomicBool,
}

impl End {
    pub(crate) fn is_near(&self) -> bool {
        Instant::now() >= self.at || self.called_off.load(Ordering::Relaxed)
    }
}

fn main() -> ExitCode {
    let seconds = match seconds(std::env::args().skip(1)) {
        Ok(seconds) => seconds,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let faults = run(Duration::from_secs(seconds));
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The duration asked for. Arguments of the usual test harness are passed over.
fn seconds(mut args: impl Iterator<Item = String>) -> Result<u64, String> {
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let value = args.next().ok_or("--seconds needs a number")?;
            return match value.parse() {
                Ok(seconds @ 5..=86_400) => Ok(seconds),
                _ => Err(format!("'{value}' is not 5 to 86400 seconds")),
            };
        }
    }
    Ok(20)
}

/// Attacks for so long, and says what was not as it should be.
fn run(duration: Duration) -> Vec<String> {
    let daemon = Daemon::start();
    let end = End { at: Instant::now() + duration, called_off: AtomicBool::new(false) };
    let load = load::Dnsperf::start(daemon.dns, duration, LOAD);
    let (sent, memory) = std::thread::scope(|scope| {
        let attacks = [
            scope.spawn(|| malformed::broken_packets(daemon.dns, MALFORMED, &end)),
            scope.spawn(|| malformed::flood(daemon.dns, FLOOD, &end)),
            scope.spawn(|| stalled::connections(daemon.dns, &end)),
            scope.spawn(|| stalled::crowds(daemon.dns, &end)),
        ];
        let memory = watch(&daemon, duration, &end);
        let sent = attacks.map(|attack| attack.join().unwrap_or(0));
        (sent, memory)
    });
    let whom = daemon.held_back();
    let loaded = load.end();
    let [broken, flood, stalled, crowds] = sent;
    println!("{loaded}");
    println!(
        "beside it: {broken} broken packets, {flood} past the rate, {stalled} stalled connections, \
         {crowds} in crowds"
    );
    println!("memory: {memory}");
    let mut faults = loaded.faults(LOAD, duration);
    faults.extend(memory.faults());
    faults.extend(daemon.faults());
    if sent.contains(&0) {
        faults.push(format!("an attack did not take place: {sent:?}"));
    }
    if !whom.contains(malformed::FLOOD_NETWORK) {
        faults.push(format!("status does not say that {} is limited", malformed::FLOOD_NETWORK));
    }
    faults
}

/// Resident memory over time, in KiB.
struct Memory {
    /// When a third of the time had passed, and everything had been tried often.
    settled: u64,
    /// The most from then on.
    most: u64,
    /// In the end.
    last: u64,
}

fn watch(daemon: &Daemon, duration: Duration, end: &End) -> Memory {
    let settled_at = Instant::now() + duration / 3;
    let mut memory = Memory { settled: 0, most: 0, last: 0 };
    while !end.is_near() {
        let Some(resident) = daemon.resident() else {
            end.called_off.store(true, Ordering::Relaxed);
            break;
        };
        memory.last = resident;
        if Instant::now() < settled_at {
            memory.settled = memory.settled.max(resident);
        } else {
            memory.most = memory.most.max(resident);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    memory
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        let (settled, most, last) = (mib(self.settled), mib(self.most), mib(self.last));
        write!(f, "{settled:.1} MiB at most in the first third, {most:.1} after, {last:.1} last")
    }
}

impl Memory {
    fn faults(&self) -> Option<String> {
        (self.most > self.settled + GROWTH).then(|| format!("memory grows: {self}"))
    }
}
