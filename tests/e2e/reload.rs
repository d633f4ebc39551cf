//! Files change under full load, every other time for the worse: no query is lost, no answer is
//! wrong, and the operator is told.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::dns::Asker;
use crate::lab::{Lab, PATIENCE, until};
use crate::meridian::{Geo, Meridian};
use crate::world::{PLACES, REGIONS, regions_toml};

const RATE: u32 = 20_000;
const SECONDS: u32 = 10;
const PERIOD: Duration = Duration::from_millis(200);

#[test]
fn no_query_is_lost_and_no_answer_is_wrong_while_files_change() {
    let lab = Lab::new();
    let address: IpAddr = "198.51.100.53".parse().unwrap();
    let machine = lab.machine("meridian", &[address]);
    let meridian = Meridian::start(machine, address, Geo::Embedded, &files());
    let clients = lab.machine("clients", &PLACES.map(|place| place.address()));
    let at_first = meridian.status().config.generation;

    clients.write("queries", "static.example.org A\nwww.example.org A\nabc.wild.example.org A\n");
    let (rate, seconds) = (RATE.to_string(), SECONDS.to_string());
    let server = address.to_string();
    let mut dnsperf = clients.start(
        "dnsperf",
        &[
            "dnsperf", "-s", &server, "-d", "queries", "-Q", &rate, "-l", &seconds, "-c", "8",
            "-q", "2000",
        ],
    );
    let askers: Vec<_> = PLACES
        .iter()
        .filter(|place| place.address().is_ipv4())
        .map(|place| (place, Asker::new(&clients, place.address(), meridian.address)))
        .collect();

    let over = AtomicBool::new(false);
    let (seen, storm) = thread::scope(|scope| {
        let asking = scope.spawn(|| ask_until(&over, &askers));
        let storm = change_files(&meridian, Instant::now() + Duration::from_secs(SECONDS.into()));
        over.store(true, Ordering::Relaxed);
        (asking.join().unwrap(), storm)
    });
    assert!(dnsperf.wait(PATIENCE), "dnsperf: {}", dnsperf.log());
    let load = Load::read(&dnsperf.log());
    let loaded = meridian.status().config.generation - at_first;
    println!(
        "\nreload under load: {} signals, {loaded} reloads; dnsperf {} sent, {} lost, {} not NOERROR, {:.0} q/s; \
         checked {}, wrong {}, unanswered {}",
        storm.signals,
        load.sent,
        load.lost,
        load.sent - load.lost - load.noerror,
        load.rate,
        seen.asked,
        seen.wrong,
        seen.unanswered
    );
    assert_eq!((load.lost, load.sent), (0, load.noerror), "lost queries, and those answered well");
    assert!(load.rate > 0.9 * f64::from(RATE), "the load was not what it should be");
    assert!(seen.asked > 1_000, "too few answers to say anything");
    assert_eq!((seen.wrong, seen.unanswered), (0, 0), "wrong and unanswered");
    assert!(loaded >= storm.signals / 4, "the good files were to be loaded as well");
    assert!(seen.generations > 5, "clients were to see the changes");

    the_fault_is_told_and_the_last_good_files_stay(&meridian, &askers[0].1, &storm);
}

fn the_fault_is_told_and_the_last_good_files_stay(
    meridian: &Meridian,
    asker: &Asker,
    storm: &Storm,
) {
    replace(meridian, "zones/example.org.toml", &policy("pools = [\"fra\", \"idd\"]"));
    meridian.signal(Signal::HUP);
    until(PATIENCE, "the status says the files are refused", || {
        let reload = meridian.status().reload;
        let told = reload.faults.join("\n");
        reload.outcome == "refused"
            && told.contains("zones/example.org.toml:")
            && told.contains("idd")
    });
    let reply = asker.ask("generation.example.org.").expect("it answers");
    assert_eq!(reply.address(), Some(generation(storm.last_good)));

    replace(meridian, "zones/example.org.toml", &policy(POOLS));
    meridian.signal(Signal::HUP);
    until(PATIENCE, "the status says the files are loaded", || {
        let reload = meridian.status().reload;
        reload.outcome == "loaded" && reload.faults.is_empty()
    });
}

/// What was done to the files.
struct Storm {
    signals: u64,
    last_good: u32,
}

/// Changes a file and sends SIGHUP every [`PERIOD`]: a new good zone, then a broken policy, then
/// a good pair again, then a broken zone.
fn change_files(meridian: &Meridian, end: Instant) -> Storm {
    let mut storm = Storm { signals: 0, last_good: 0 };
    let mut next = Instant::now();
    while Instant::now() < end || !storm.signals.is_multiple_of(4) {
        match storm.signals % 4 {
            1 => replace(meridian, "zones/example.org.toml", &policy("pools = [\"fra\", ")),
            3 => replace(meridian, "zones/example.org.zone", "@ SOA what\nstatic A 192.0.2.999\n"),
            _ => {
                storm.last_good += 1;
                replace(meridian, "zones/example.org.zone", &zone(storm.last_good));
                replace(meridian, "zones/example.org.toml", &policy(POOLS));
            }
        }
        meridian.signal(Signal::HUP);
        storm.signals += 1;
        next += PERIOD;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    storm.last_good += 1;
    replace(meridian, "zones/example.org.zone", &zone(storm.last_good));
    meridian.signal(Signal::HUP);
    until(PATIENCE, "the last good files are loaded", || {
        meridian.status().reload.outcome == "loaded"
    });
    storm
}

/// Puts a file in place whole, as careful operators do.
fn replace(meridian: &Meridian, path: &str, text: &str) {
    let new = meridian.write(&format!("{path}.new"), text);
    fs::rename(&new, new.with_extension("")).unwrap();
}

/// What checking clients saw.
#[derive(Default)]
struct Seen {
    asked: usize,
    unanswered: usize,
    wrong: usize,
    generations: usize,
}

/// Asks for steered, static and changing names and compares every answer.
fn ask_until(over: &AtomicBool, askers: &[(&crate::world::Place, Asker)]) -> Seen {
    let mut seen = Seen::default();
    let mut newest: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
    for (place, asker) in askers.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let nearest = REGIONS.iter().find(|region| region.name == place.nearest).unwrap().vip();
        for (name, right) in [
            ("www.example.org.", Some(nearest)),
            ("static.example.org.", Some("203.0.113.1".parse().unwrap())),
            ("any.wild.example.org.", Some("203.0.113.2".parse().unwrap())),
            ("generation.example.org.", None),
        ] {
            seen.asked += 1;
            let Some(reply) = asker.ask(name) else {
                seen.unanswered += 1;
                continue;
            };
            let got = reply.address();
            let fits = match (right, got) {
                (Some(right), Some(got)) => got == right,
                // Generations only ever grow.
                (None, Some(got)) => {
                    let before = newest.insert(place.address(), got);
                    seen.generations += usize::from(before.is_some_and(|before| before != got));
                    before.is_none_or(|before| before <= got)
                }
                (_, None) => false,
            };
            seen.wrong += usize::from(!fits);
        }
        thread::sleep(Duration::from_millis(1));
    }
    seen
}

/// What dnsperf counted.
struct Load {
    sent: u64,
    lost: u64,
    noerror: u64,
    rate: f64,
}

impl Load {
    fn read(log: &str) -> Self {
        let number = |label: &str| -> f64 {
            let after = log.split_once(label).map(|(_, after)| after.trim_start());
            let digits = after.and_then(|after| after.split([' ', '\n']).next());
            digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
        };
        Self {
            sent: number("Queries sent:") as u64,
            lost: number("Queries lost:") as u64,
            noerror: number("NOERROR") as u64,
            rate: number("Queries per second:"),
        }
    }
}

const POOLS: &str = "pools = [\"fra\", \"iad\", \"sin\", \"gru\", \"nrt\", \"syd\"]";

fn files() -> [(&'static str, String); 3] {
    [
        ("geo/regions.toml", regions_toml(&REGIONS)),
        ("zones/example.org.zone", zone(0)),
        ("zones/example.org.toml", policy(POOLS)),
    ]
}

/// A zone that differs in serial and in one address.
fn zone(number: u32) -> String {
    format!(
        "$TTL 60\n@ SOA ns1 ops {number} 3600 600 86400 5\n@ NS ns1\nns1 A 198.51.100.53\n\
         www A 192.0.2.10\nstatic A 203.0.113.1\n*.wild A 203.0.113.2\ngeneration A {}\n",
        generation(number)
    )
}

fn generation(number: u32) -> IpAddr {
    std::net::Ipv4Addr::from(u32::from_be_bytes([10, 0, 0, 0]) + number).into()
}

fn policy(pools: &str) -> String {
    let all: String = REGIONS
        .iter()
        .map(|r| format!("[pool.{}]\nregion = \"{}\"\nmembers = [\"{}\"]\n", r.name, r.name, r.vip))
        .collect();
    format!("{all}[record.\"www\"]\npolicy = \"nearest\"\n{pools}\nttl = \"30s\"\n")
}
