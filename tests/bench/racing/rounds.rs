//! The race itself: every server of a workload is started once and checked, then all are loaded
//! in turn, round by round, so that what disturbs the machine disturbs all of them alike.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

use crate::check::{self, Seen};
use crate::cities::Cities;
use crate::health::Health;
use crate::load::{self, Count, Plan, Until};
use crate::peer::{Case, Peer};
use crate::query::Queries;
use crate::running::Running;
use crate::workload::Workload;

/// The first server's port; each has room for ten.
const PORT: u16 = 5300;
/// Load before each measurement, so that caches are warm.
const WARM_UP: Duration = Duration::from_millis(200);
/// How long an answer may take until its query counts as lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// Packets made for a workload; each is one question.
const PACKETS: usize = 1 << 18;
/// The same for a million names.
const PACKETS_MANY: usize = 1 << 20;
/// Time between two reloads.
const RELOAD_EVERY: Duration = Duration::from_secs(1);
/// Parts of a measurement: in the second of three the region fails.
const PARTS: u32 = 3;

/// How a race is run.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// Rounds.
    pub rounds: usize,
    /// How long each server is measured in each round.
    pub time: Duration,
    /// Where the servers' files go.
    pub folder: &'a Path,
    /// The geo databases.
    pub geodata: &'a Path,
}

/// One server in one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// What the generator has counted.
    pub count: Count,
    /// CPU time of the server in its program and in the kernel.
    pub cpu: (Duration, Duration),
}

/// How one server did in one workload.
#[derive(Debug)]
pub struct Entry {
    /// The server.
    pub server: &'static str,
    /// What its check has seen, or why it may not race.
    pub checked: Result<Seen>,
    /// A figure per round; none when it may not race.
    pub figures: Vec<Figure>,
}

impl Entry {
    /// Whether it has no figure, or answered wrongly under load.
    pub fn has_failed(&self) -> bool {
        self.checked.is_err() || self.figures.iter().any(|figure| figure.count.wrong > 0)
    }
}

/// Races the `peers` that serve a workload.
///
/// # Errors
/// When the race itself fails; a server that fails says so in its entry.
pub fn race(
    peers: &[Box<dyn Peer>],
    workload: Workload,
    settings: &Settings<'_>,
    cities: &Cities,
    health: &Health,
) -> Result<Vec<Entry>> {
    let queries = Queries::new(workload, packets(workload), cities)?;
    let mut entries = vec![];
    let mut started = vec![];
    for peer in peers.iter().filter(|peer| peer.serves(workload)) {
        let number = entries.len();
        let running = start(&**peer, workload, number, settings, cities, &queries);
        let (running, checked) = match running {
            Ok((running, seen)) => (Some(running), Ok(seen)),
            Err(error) => (None, Err(error)),
        };
        entries.push(Entry { server: peer.name(), checked, figures: vec![] });
        started.extend(running.map(|running| (number, peer.answers(), running)));
    }
    for round in 0..settings.rounds {
        for turn in 0..started.len() {
            let (number, answers, running) = &started[(round + turn) % started.len()];
            let expected = answers.then(|| workload.outcome());
            match measure(running, expected, &queries, settings, health) {
                Ok(figure) => entries[*number].figures.push(figure),
                Err(error) => entries[*number].checked = Err(error),
            }
        }
    }
    Ok(entries)
}

/// How many packets are made for a workload.
pub fn packets(workload: Workload) -> usize {
    if workload == Workload::Static1m { PACKETS_MANY } else { PACKETS }
}

/// An empty folder for a server.
///
/// # Errors
/// When it cannot be made.
pub fn folder(of: &Path, workload: Workload, server: &str) -> Result<std::path::PathBuf> {
    let folder = of.join(format!("{workload}-{server}"));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

fn start(
    peer: &dyn Peer,
    workload: Workload,
    number: usize,
    settings: &Settings<'_>,
    cities: &Cities,
    queries: &Queries,
) -> Result<(Running, Seen)> {
    let folder = folder(settings.folder, workload, peer.name())?;
    let port = PORT + 10 * number as u16;
    let case = Case { workload, folder: &folder, port, geodata: settings.geodata, serial: 1 };
    let running = Running::start(peer, &case, &[])?;
    let seen = if peer.answers() {
        check::check(peer, running.address, queries, cities)?
    } else {
        Seen::default()
    };
    Ok((running, seen))
}

/// Loads one server for a while.
fn measure(
    running: &Running,
    expected: Option<(u8, u8)>,
    queries: &Queries,
    settings: &Settings<'_>,
    health: &Health,
) -> Result<Figure> {
    let plan = |time| Plan {
        server: running.address,
        until: Until::Time(time),
        patience: PATIENCE,
        expected,
    };
    load::run(&plan(WARM_UP), queries)?;
    let before = running.cpu();
    let over = AtomicBool::new(false);
    let count = thread::scope(|scope| {
        let trouble =
            scope.spawn(|| make_trouble(running, queries.workload, settings.time, health, &over));
        let count = load::run(&plan(settings.time), queries);
        over.store(true, Ordering::Relaxed);
        trouble.join().expect("it does not panic")?;
        count
    })?;
    let cpu = (running.cpu() - before).split();
    Ok(Figure { count, cpu })
}

/// Reloads, or lets a region fail and come back, while a server is loaded.
fn make_trouble(
    running: &Running,
    workload: Workload,
    time: Duration,
    health: &Health,
    over: &AtomicBool,
) -> Result<()> {
    let rest = |time: Duration| {
        let end = Instant::now() + time;
        while Instant::now() < end && !over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
    };
    match workload {
        Workload::Reload if running.reloads() => {
            while !over.load(Ordering::Relaxed) {
                running.change(workload, serial_of_now())?;
                running.reload()?;
                rest(RELOAD_EVERY);
            }
        }
        Workload::Failing => {
            rest(time / PARTS);
            health.fail(true);
            rest(time / PARTS);
            health.fail(false);
        }
        _ => {}
    }
    Ok(())
}

/// A serial higher than any before.
fn serial_of_now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as u32
}
