//! The log of decisions: what threads have sampled goes to a file, one JSON object a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::counter;
use serde::Serialize;
use tokio::sync::watch;

use super::Daemon;
use crate::admin::catalog;
use crate::config::Decisions;
use crate::health::persist::rfc3339;
use crate::server::decisions::Decision;
use crate::snapshot::Snapshot;
use crate::steer::record::Record;
use crate::wire::name::Name;
use crate::zone::hash::Suffixes;

/// How often. A ring holds so much that a thread may sample a thousand a second.
const TICK: Duration = Duration::from_millis(250);

/// One line.
#[derive(Debug, Serialize, PartialEq)]
struct Line<'l> {
    /// When it was written down, at most [`TICK`] after it was decided.
    time: &'l str,
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    /// The network the answer holds for.
    client: String,
    /// `subnet` when the client's resolver told of it, else `source`.
    by: &'static str,
    record: String,
    /// From 1.
    rule: Option<usize>,
    pools: Vec<&'l str>,
    reason: &'static str,
    scope: u8,
    ttl: u32,
}

/// Where lines go.
struct Log {
    wanted: Decisions,
    file: Option<BufWriter<File>>,
    size: u64,
    /// Trouble was told.
    is_told: bool,
}

/// Writes down what is sampled until the daemon ends.
pub(super) async fn run(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    let mut log: Option<Log> = None;
    let mut before = daemon.snapshot();
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(TICK) => false,
            _ = ends.wait_for(|ending| *ending) => true,
        };
        let wanted = daemon.decisions();
        if wanted.as_ref() != log.as_ref().map(|log| &log.wanted) {
            daemon.stats().sample(wanted.as_ref().map_or(0, |wanted| wanted.one_of));
            log = wanted.map(Log::new);
        }
        if let Some(mut open) = log.take() {
            let (at, old) = (Arc::clone(&daemon), before);
            (log, before) = super::blocking(move || {
                let now = at.snapshot();
                open.write(&at, &[&now, &old]);
                (Some(open), now)
            })
            .await;
        } else {
            before = daemon.snapshot();
        }
        if ended {
            return;
        }
    }
}

impl Log {
    const fn new(wanted: Decisions) -> Self {
        Self { wanted, file: None, size: 0, is_told: false }
    }

    /// Writes what was sampled since the last time.
    fn write(&mut self, daemon: &Daemon, snapshots: &[&Snapshot]) {
        let time = time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let (mut written, mut lost) = (0, 0);
        let mut outcome = Ok(());
        daemon.stats().decisions(|decision| {
            let text = line(&decision, snapshots, &time);
            match text.map(|text| self.append(&text)) {
                Some(Ok(())) => written += 1,
                Some(Err(error)) => {
                    outcome = Err(error);
                    lost += 1;
                }
                None => lost += 1,
            }
        });
        if let Some(file) = &mut self.file
            && let Err(error) = file.flush()
        {
            outcome = Err(error);
        }
        match outcome {
            Err(error) if !self.is_told => {
                // Said once per trouble.
                self.is_told = true;
                tracing::error!("decisions are not logged to {}: {error}", self.path().display());
            }
            Err(_) => {}
            Ok(()) => self.is_told &= written == 0,
        }
        counter!(catalog::DECISIONS, "outcome" => "written").increment(written);
        counter!(catalog::DECISIONS, "outcome" => "lost").increment(lost);
        let dropped = daemon.stats().dropped_decisions();
        counter!(catalog::DECISIONS, "outcome" => "dropped").absolute(dropped);
    }

    fn path(&self) -> &Path {
        &self.wanted.file
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64 + 1;
        if self.file.is_some() && self.size + length > self.wanted.max_size {
            self.turn_over()?;
        }
        let path = self.path().to_owned();
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let (file, size) = open(&path)?;
                self.size = size;
                none.insert(BufWriter::new(file))
            }
        };
        let done = writeln!(file, "{line}");
        if done.is_err() {
            // Somebody may mend it: opened anew with the next line.
            self.file = None;
        }
        self.size += length;
        done
    }

    /// Begins a new file; one older one is kept.
    fn turn_over(&mut self) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
        }
        fs::rename(self.path(), older(self.path()))
    }
}

/// The name of the file before.
fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// A line without its end; `None` when the snapshot it was decided by is gone.
fn line(decision: &Decision, snapshots: &[&Snapshot], time: &str) -> Option<String> {
    let snapshot = snapshots.iter().find(|known| known.generation == decision.generation)?;
    let record = record_of(snapshot, &decision.record)?;
    let sites = decision.picks.iter().filter_map(|at| record.plan.sites.get(usize::from(*at)));
    let pools = sites.filter_map(|site| snapshot.pools.get(site.pool.0 as usize));
    let rule = record.plan.map.lookup(decision.client).order.rule;
    let line = Line {
        time,
        name: decision.qname.to_string(),
        rtype: decision.qtype.to_string(),
        client: network(decision.client, decision.scope),
        by: if decision.by_subnet { "subnet" } else { "source" },
        record: decision.record.to_string(),
        rule: rule.map(|rule| usize::from(rule) + 1),
        pools: pools.map(|pool| &*pool.name).collect(),
        reason: decision.reason.as_str(),
        scope: decision.scope,
        ttl: decision.ttl,
    };
    serde_json::to_string(&line).ok()
}

/// The record of that owner name.
fn record_of<'s>(snapshot: &'s Snapshot, owner: &Name) -> Option<&'s Record> {
    let lower = owner.to_lowercase();
    let mut suffixes = Suffixes::new();
    suffixes.split(lower.as_wire());
    let (served, _) = snapshot.catalog.find(suffixes.name(lower.as_wire()))?;
    let number = served.zone.steered_at(snapshot.catalog.key().hash(lower.as_wire()));
    let guess = number.and_then(|number| served.records.get(number as usize));
    let is_it = |record: &&Record| record.owner == *owner;
    guess.filter(is_it).or_else(|| served.records.iter().find(is_it))
}

/// The network of a client's address that so many leading bits name.
fn network(client: IpAddr, scope: u8) -> String {
    match client {
        IpAddr::V4(ip) => {
            let scope = scope.min(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(scope)).unwrap_or(0);
            format!("{}/{scope}", std::net::Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let scope = scope.min(128);
            let mask = u128::MAX.checked_shl(128 - u32::from(scope)).unwrap_or(0);
            format!("{}/{scope}", std::net::Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

/// RFC 3339 with milliseconds.
fn time(since: Duration) -> String {
    let text = rfc3339(since.as_secs()).unwrap_or_default();
    format!("{}.{:03}Z", text.trim_end_matches('Z'), since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, max_size: u64) -> Log {
        Log::new(Decisions { one_of: 1, file: folder.join("logs/decisions.jsonl"), max_size })
    }

    #[test]
    fn a_full_file_makes_room_for_a_new_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = log(folder.path(), 30);
        for n in 0..7 {
            log.append(&format!("line {n} ...")).expect("written");
        }
        log.file.as_mut().expect("open").flush().expect("flushed");
        let read = |path: &Path| fs::read_to_string(path).expect("a file");
        assert_eq!(read(log.path()), "line 6 ...\n");
        assert_eq!(read(&older(log.path())), "line 4 ...\nline 5 ...\n");
        // The next process goes on with the same file.
        let mut next = self::log(folder.path(), 30);
        next.append("line 7 ...").expect("written");
        assert_eq!(next.size, 22);
    }

    #[test]
    fn clients_are_told_as_far_as_the_answer_tells_them_apart() {
        let told = |client: &str, scope| network(client.parse().expect("an address"), scope);
        assert_eq!(told("192.0.2.77", 24), "192.0.2.0/24");
        assert_eq!(told("192.0.2.77", 0), "0.0.0.0/0");
        assert_eq!(told("192.0.2.77", 32), "192.0.2.77/32");
        assert_eq!(told("2001:db8:ffff::1", 36), "2001:db8:f000::/36");
        assert_eq!(told("2001:db8::1", 0), "::/0");
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(Duration::from_millis(86_400_007)), "1970-01-02T00:00:00.007Z");
    }
}
