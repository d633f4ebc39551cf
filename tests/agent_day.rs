//! A day at a vantage on a virtual clock: after it an agent holds as much memory as after some hours.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use meridian::bus::local::Local;
use meridian::bus::{Bus, subject};
use meridian::health::report::{Report, Vote};
use meridian::health::sample::Reason;
use meridian::probe::agent::Agent;
use meridian::probe::ask::Ask;
use meridian::probe::monitor::{Check, CheckTarget, Kind, Monitor, Tcp, Way};
use meridian::probe::schedule::{Limits, Prober, Sink};
use meridian::probe::set::ProbeSet;
use meridian::probe::trace::Trace;
use meridian::seal::{self, SigningKey};
use tokio::time::{Instant, sleep, sleep_until};

/// Octets held at this moment.
static HELD: AtomicUsize = AtomicUsize::new(0);

struct Weighing;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Weighing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Weighing = Weighing;

const CHECKS: u8 = 50;
const HOUR: Duration = Duration::from_secs(3600);
/// Between two reports. A day has no more kinds of them with a shorter one.
const PERIOD: Duration = Duration::from_secs(10);
const LIMITS: Limits = Limits { concurrency: 8, per_host: 2 };

/// Members that take their time, fail now and then, and are gone for the hour of their number.
struct Members(Instant);

impl Ask for Members {
    async fn ask(&self, check: &Check, _: &mut Trace) -> Result<(), Reason> {
        let CheckTarget::Address(address) = check.target else { unreachable!("by address") };
        sleep(Duration::from_millis(u64::from(address.port()) % 40)).await;
        let hour = self.0.elapsed().as_secs() / HOUR.as_secs();
        let is_gone = u64::from(address.port()) % 24 == hour;
        if is_gone { Err(Reason::Refused) } else { Ok(()) }
    }
}

fn set(revision: u64) -> ProbeSet {
    let monitor = Arc::new(Monitor {
        interval: Duration::from_secs(5),
        fast_interval: Duration::from_secs(1),
        slow_interval: Duration::from_secs(60),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        name: "tcp".into(),
        kind: Kind::Tcp(Tcp::default()),
        port: 1000,
        way: Way::default(),
    });
    let check = |at: u8| {
        let address = SocketAddr::from(([127, 0, 0, at], 1000 + u16::from(at)));
        Check {
            key: format!("tcp@{address}").into(),
            monitor: Arc::clone(&monitor),
            target: CheckTarget::Address(address),
        }
    };
    // One goes and another comes with each set.
    let gone = u8::try_from(revision % u64::from(CHECKS)).expect("few");
    let checks = (0..=CHECKS).filter(|at| *at != gone).map(check).collect();
    ProbeSet { revision, checks, canaries: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn an_agent_holds_no_more_after_a_day() {
    let begun = Instant::now();
    let agent = Arc::new(Agent::default());
    let sink = Arc::clone(&agent) as Arc<dyn Sink>;
    let mut prober = Prober::new(Members(begun), sink, LIMITS, begun.into_std(), 1);
    let bus = Local::new();
    let mut reports = bus.subscribe(subject::HEALTH);
    let key = SigningKey::generate().expect("a key");
    let mut after_some_hours = 0;
    for seq in 0..24 * 360 {
        let now = begun.elapsed();
        if seq % 30 == 0 {
            let set = set(seq / 30);
            agent.update(&set, now);
            prober.update(&set.checks, LIMITS);
        }
        let octets = agent.report(1, seq, PERIOD, now).encode().expect("a report");
        let sealed = seal::seal(&key, seal::Kind::Report, "fra-1", &octets);
        bus.publish(&subject::of(subject::HEALTH, "fra-1"), sealed.into());
        let message = reports.take().expect("one's own words");
        let opened = seal::open(&message.bytes, seal::Kind::Report, |_| Some(key.public()));
        let report = Report::decode(opened.expect("sealed").payload).expect("a report");
        let downs = report.slots.iter().filter(|slot| slot.belief == Vote::Down).count();
        assert_eq!(report.slots.len(), usize::from(CHECKS));
        assert!(downs <= 6, "{downs} members are down in one hour");
        drop((message, report));
        // By then every check has been of another set than the first.
        if seq == 5 * 360 {
            after_some_hours = HELD.load(Ordering::Relaxed);
        }
        sleep_until(begun + PERIOD * (u32::try_from(seq).expect("a day") + 1)).await;
    }
    let probes = prober.work().probes.load(Ordering::Relaxed);
    assert!(probes > 700_000, "{probes} probes");
    let after_a_day = HELD.load(Ordering::Relaxed);
    assert!(
        after_a_day < after_some_hours + after_some_hours / 100,
        "octets held: {after_some_hours} -> {after_a_day}"
    );
    println!("{probes} probes, octets held: {after_some_hours} -> {after_a_day}");
}
