//! `meridian serve` with a hundred vantages that report a thousand checks each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use meridian::bus::Bus;
use meridian::bus::direct::{Direct, Setup};
use meridian::bus::subject::{HEALTH, of};
use meridian::health::report::{Report, SelfView, Slot, Vote, check_id};
use meridian::health::sample::Reason;
use meridian::seal::{self, SigningKey};

use crate::party::Authority;
use crate::process::{PATIENCE, Running};

const VANTAGES: usize = 100;
const CHECKS: usize = 1_000;
const PERIOD: Duration = Duration::from_secs(1);
/// A member fails so often, and returns when it has been seen.
const FAILS_EVERY: Duration = Duration::from_millis(50);
/// How often every record that is waited for is asked for.
const ASKED_EVERY: Duration = Duration::from_millis(2);
/// Votes that leave less than a third of the voices to whoever says up.
const ENOUGH: usize = 2 * VANTAGES / 3 + 1;

/// What vantages see, and when they said it.
struct World {
    down: Vec<AtomicBool>,
    /// When each vantage last told.
    told: Vec<Mutex<Instant>>,
    octets: Mutex<usize>,
    begun: Instant,
}

/// Watches a node for so long at rest and as long under failures; true when every answer followed.
pub(crate) fn run(watched: Duration) -> bool {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let keys: Vec<SigningKey> =
        (0..VANTAGES).map(|_| SigningKey::generate().expect("a key")).collect();
    // Nobody else on this machine asks for ports of loopback between these two lines.
    let bus = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let bus = bus.expect("a port");
    write(folder.path(), &authority, &keys, bus);

    let node = Running::start("serve", folder.path());
    let dns: SocketAddr = node.told("answering on ").parse().expect("an address");
    let world = Arc::new(World {
        down: (0..CHECKS).map(|_| AtomicBool::new(false)).collect(),
        told: (0..VANTAGES).map(|_| Mutex::new(Instant::now())).collect(),
        octets: Mutex::default(),
        begun: Instant::now(),
    });
    vantages(&authority, keys, bus, &world);
    let asker = Asker::new(dns);
    // Everybody is heard when what they say is followed.
    world.down[0].store(true, Ordering::Relaxed);
    asker.wait(0, true, &node);
    world.down[0].store(false, Ordering::Relaxed);
    asker.wait(0, false, &node);
    thread::sleep(5 * PERIOD);

    println!("one node on one core, {VANTAGES} vantages of {CHECKS} checks each, every second");
    println!("{:18} {:>9} {:>9} {:>9}", "", "core %", "KiB/s in", "RSS MiB");
    let octets = || *world.octets.lock().expect("whole");
    let tell = |name: &str, (seconds, cpu): (f64, f64), octets: usize| {
        let rate = octets as f64 / 1024.0 / seconds;
        let core = 100.0 * cpu / seconds;
        println!("{name:18} {core:>9.1} {rate:>9.0} {:>9.1}", node.resident());
    };
    let (before, sent) = (node.taken(), octets());
    thread::sleep(watched);
    tell("at rest", node.taken().since(&before), octets() - sent);
    let (before, sent) = (node.taken(), octets());
    let latencies = failing(&world, &asker, watched);
    tell("members fail", node.taken().since(&before), octets() - sent);
    latencies.tell()
}

/// From what happened to the first answer that shows it.
#[derive(Default)]
struct Latencies {
    from_failure: Vec<Duration>,
    from_vote: Vec<Duration>,
    missed: usize,
}

impl Latencies {
    fn tell(mut self) -> bool {
        let count = self.from_failure.len();
        println!("\nfirst changed answer, ms, of {count} failures");
        println!("{:30} {:>8} {:>8} {:>8}", "", "median", "p99", "worst");
        for (name, times) in [
            ("after all vantages see it", &mut self.from_failure),
            ("after the vote that decides", &mut self.from_vote),
        ] {
            times.sort_unstable();
            let at = |part: f64| {
                let place = (part * times.len() as f64) as usize;
                times.get(place.min(count.saturating_sub(1))).map_or(f64::NAN, millis)
            };
            println!("{name:30} {:>8.1} {:>8.1} {:>8.1}", at(0.5), at(0.99), at(1.0));
        }
        if self.missed > 0 {
            println!("{} failures were never answered for", self.missed);
        }
        self.missed == 0 && count > 0
    }
}

fn millis(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A member that has failed, and no answer shows it yet.
struct Pending {
    check: usize,
    at: Instant,
    /// When so many had told that it must be down.
    decided: Option<Instant>,
}

/// Fails one member after the other, and waits for each.
fn failing(world: &World, asker: &Asker, watched: Duration) -> Latencies {
    let mut latencies = Latencies::default();
    let mut pending: Vec<Pending> = Vec::new();
    let begun = Instant::now();
    let mut next = 1;
    while begun.elapsed() < watched || !pending.is_empty() {
        let round = Instant::now();
        let is_time = begun.elapsed() >= FAILS_EVERY * u32::try_from(next).expect("few");
        if is_time && begun.elapsed() < watched && next < CHECKS {
            world.down[next].store(true, Ordering::Relaxed);
            pending.push(Pending { check: next, at: Instant::now(), decided: None });
            next += 1;
        }
        for one in &mut pending {
            if one.decided.is_none() {
                one.decided = world.decided(one.at);
            }
        }
        pending.retain(|one| {
            if asker.is_moved(one.check) {
                let now = Instant::now();
                latencies.from_failure.push(now - one.at);
                let decided = one.decided.unwrap_or(now);
                latencies.from_vote.push(now.saturating_duration_since(decided));
                return false;
            }
            let is_lost = one.at.elapsed() > PATIENCE;
            latencies.missed += usize::from(is_lost);
            !is_lost
        });
        thread::sleep(ASKED_EVERY.saturating_sub(round.elapsed()));
    }
    latencies
}

impl World {
    /// When enough vantages had told since `at`, where they have.
    fn decided(&self, at: Instant) -> Option<Instant> {
        let told = self.told.iter().map(|told| *told.lock().expect("whole"));
        let mut since: Vec<Instant> = told.filter(|told| *told > at).collect();
        since.sort_unstable();
        since.get(ENOUGH - 1).copied()
    }

    fn report(&self, seq: u64) -> Report {
        let age = u64::try_from(self.begun.elapsed().as_millis()).expect("short");
        let slot = |(check, down): (usize, &AtomicBool)| {
            let is_down = down.load(Ordering::Relaxed);
            Slot {
                belief: if is_down { Vote::Down } else { Vote::Up },
                streak: 3,
                since_ms: age,
                age_ms: 700,
                latency_us: [12_000, 17_000, 31_000],
                reason: is_down.then_some(Reason::Refused),
                ..Slot::unknown(check_id(&key(check)))
            }
        };
        let slots = self.down.iter().enumerate().map(slot).collect();
        let itself = SelfView { canaries: 3, canaries_ok: 3, lag_ms: 1 };
        let period_ms = u32::try_from(PERIOD.as_millis()).expect("short");
        Report { boot: 1, seq, set: 0, period_ms, wall_ms: 0, itself, slots }
    }
}

/// Every vantage with a connection of its own, in one thread, at moments spread over the period.
fn vantages(authority: &Authority, keys: Vec<SigningKey>, bus: SocketAddr, world: &Arc<World>) {
    let identities: Vec<_> = (0..keys.len())
        .map(|vantage| authority.identity(&format!("v{vantage}.vantage.meridian")))
        .collect();
    let world = Arc::clone(world);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let begin = tokio::time::Instant::now();
            for (vantage, (key, identity)) in keys.into_iter().zip(identities).enumerate() {
                let nodes = BTreeMap::from([("n1".to_owned(), bus)]);
                let setup = Setup { listen: Vec::new(), nodes };
                let speaker = Direct::start(&setup, &identity).await.expect("a speaker");
                let world = Arc::clone(&world);
                let part = u32::try_from(vantage).expect("few");
                let first = begin + PERIOD * part / u32::try_from(VANTAGES).expect("few");
                tokio::spawn(async move {
                    let name = format!("v{vantage}");
                    let mut ticks = tokio::time::interval_at(first, PERIOD);
                    for seq in 1.. {
                        ticks.tick().await;
                        let at = Instant::now();
                        let octets = world.report(seq).encode().expect("a report");
                        let sealed = seal::seal(&key, seal::Kind::Report, &name, &octets);
                        *world.octets.lock().expect("whole") += sealed.len();
                        speaker.publish(&of(HEALTH, &name), Bytes::from(sealed));
                        *world.told[vantage].lock().expect("whole") = at;
                    }
                });
            }
            std::future::pending::<()>().await;
        });
    });
}

/// Asks for the record of a check.
struct Asker(UdpSocket);

impl Asker {
    fn new(dns: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(dns).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        Self(socket)
    }

    /// Whether the record of a check is answered with what stands behind its member.
    fn is_moved(&self, check: usize) -> bool {
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query[..2].copy_from_slice(&u16::try_from(check).expect("few").to_be_bytes());
        for label in [&*format!("r{check}"), "example", "org"] {
            query.push(u8::try_from(label.len()).expect("short"));
            query.extend_from_slice(label.as_bytes());
        }
        query.extend([0, 0, 1, 0, 1]);
        let mut answer = [0; 512];
        for _ in 0..10 {
            self.0.send(&query).expect("sent");
            while let Ok(length) = self.0.recv(&mut answer) {
                if answer[..2] == query[..2] {
                    return answer[length - 4..length] == SPARE.octets();
                }
            }
        }
        panic!("no answer");
    }

    fn wait(&self, check: usize, moved: bool, node: &Running) {
        let begun = Instant::now();
        while self.is_moved(check) != moved {
            assert!(begun.elapsed() < PATIENCE, "r{check} does not follow:\n{}", node.log());
            thread::sleep(ASKED_EVERY);
        }
    }
}

const SPARE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);

fn member(check: usize) -> Ipv4Addr {
    let [high, low] = [check / 250, check % 250].map(|octet| u8::try_from(octet).expect("few"));
    Ipv4Addr::new(10, 0, high, low)
}

/// What a check is called.
fn key(check: usize) -> String {
    format!("web@{}:80", member(check))
}

/// The node's files: a record for each check, which moves on when its member is down.
fn write(folder: &Path, authority: &Authority, keys: &[SigningKey], bus: SocketAddr) {
    let mut settings = format!(
        "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"off\"\n\
         [bus]\nkind = \"direct\"\nlisten = [\"{bus}\"]\n\
         certificate = \"bus.crt\"\nkey = \"bus.key\"\nauthority = \"ca.crt\"\n"
    );
    for (vantage, key) in keys.iter().enumerate() {
        let _ = write!(settings, "[vantage.v{vantage}]\nkey = \"{}\"\n", key.public());
    }
    let mut zone = "$TTL 60\n@ SOA ns1 hostmaster 1 3600 600 604800 60\n NS ns1\n\
                    ns1 A 192.0.2.53\n"
        .to_owned();
    let mut policy = format!("[pool.spare]\nregion = \"r9\"\nmembers = [\"{SPARE}\"]\n");
    for check in 0..CHECKS {
        let region = check % 9;
        let member = member(check);
        let _ = write!(
            policy,
            "[pool.p{check}]\nregion = \"r{region}\"\nmembers = [\"{member}\"]\nmonitor = \"web\"\n\
             [record.r{check}]\npolicy = \"failover\"\npools = [\"p{check}\", \"spare\"]\n"
        );
        let _ = writeln!(zone, "r{check} A {member}");
    }
    let regions: String = (0..10)
        .map(|region| format!("[region.r{region}]\nlocation = [{}.0, 10.0]\n", region * 5))
        .collect();
    for sub in ["zones", "geo", "probes"] {
        fs::create_dir(folder.join(sub)).expect("a folder");
    }
    authority.write("n1.node.meridian", folder);
    for (file, text) in [
        ("meridian.toml", &settings),
        ("zones/example.org.zone", &zone),
        ("zones/example.org.toml", &policy),
        ("geo/regions.toml", &regions),
        ("probes/monitors.toml", &"[monitor.web]\ntype = \"tcp\"\nport = 80\n".to_owned()),
    ] {
        fs::write(folder.join(file), text).expect(file);
    }
}
