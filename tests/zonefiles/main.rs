//! Zone files as BIND, Knot and NSD read them: what all three accept is accepted here with the
//! same records, and what all three refuse is refused here with a place.
//!
//! Two sources: the files in `files/`, written by hand, and files made from a seed, sound ones
//! and ones with something wrong. `MERIDIAN_ZONEFILES` says how many are made, and
//! `MERIDIAN_SEED` from which seed:
//!
//! ```sh
//! MERIDIAN_ZONEFILES=20000 cargo test --test zonefiles -- --nocapture
//! ```
//!
//! Where Meridian differs on purpose, a rule of [`rules`] says so, and `docs/zone-checks.md` why.

mod generate;
mod mutate;
mod peers;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use generate::Chance;
use meridian::diagnostics::{Diagnostic, Source, render};
use meridian::wire::name::Name;
use meridian::zone::hash::HashKey;
use meridian::zone::load;
use peers::{Opinion, Set};

/// Files that are made when nobody says how many.
const MADE: u64 = 300;
const ORIGIN: &str = "example.org";

/// What stands in front of each of `lines.txt`.
const FRAME: &str = "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 30m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

#[test]
fn files_written_by_hand_are_read_as_the_peers_read_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zonefiles/files");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let scratch = tempfile::tempdir().expect("a folder");
    for file in &files {
        let name = file.file_name().expect("a file");
        std::fs::copy(file, scratch.path().join(name)).expect("writable");
    }
    let tally = Tally::default();
    let mut zones = 0;
    for file in files.iter().filter(|path| path.extension().is_some_and(|kind| kind == "zone")) {
        zones += 1;
        tally.compare(scratch.path(), &file.file_name().expect("a file").to_string_lossy());
    }
    assert!(zones >= 12, "only {zones} files");
    tally.report("written by hand");
}

#[test]
fn lines_written_by_hand_are_read_as_the_peers_read_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zonefiles/lines.txt");
    let lines = std::fs::read_to_string(path).expect("readable");
    let lines: Vec<&str> =
        lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(lines.len() >= 300, "only {} lines", lines.len());
    let scratch = tempfile::tempdir().expect("a folder");
    std::fs::write(scratch.path().join("part.inc"), "inner A 192.0.2.77\n").expect("writable");
    let tally = Tally::default();
    for (number, line) in lines.iter().enumerate() {
        let name = format!("line-{}.zone", number + 1);
        let text = format!("{FRAME}{}\n", line.replace('⏎', "\n"));
        std::fs::write(scratch.path().join(&name), text).expect("writable");
        tally.compare(scratch.path(), &name);
    }
    tally.report("lines");
}

#[test]
fn files_made_from_a_seed_are_read_as_the_peers_read_them() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (count, seed) = (number("MERIDIAN_ZONEFILES", MADE), number("MERIDIAN_SEED", 1));
    let next = AtomicU64::new(0);
    let tally = Tally::default();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let folder = tempfile::tempdir().expect("a folder");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let mut chance = Chance::new(seed, number);
                    let made = generate::zone(&mut chance);
                    let text = match number % 5 {
                        0 | 1 => made.text.into_bytes(),
                        _ => mutate::spoil(&mut chance, made.text.as_bytes()),
                    };
                    let name = format!("{seed}-{number}.zone");
                    std::fs::write(folder.path().join(&name), text).expect("writable");
                    std::fs::write(folder.path().join("part.inc"), made.included)
                        .expect("writable");
                    tally.compare(folder.path(), &name);
                    std::fs::remove_file(folder.path().join(&name)).expect("there");
                }
            });
        }
    });
    tally.report(&format!("made from seed {seed}"));
}

/// What came of all comparisons.
#[derive(Default)]
struct Tally {
    counts: Mutex<BTreeMap<String, usize>>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    /// Lets all four read `name` in `folder`, and holds Meridian to the others.
    fn compare(&self, folder: &Path, name: &str) {
        let ours = meridian(folder, name);
        let bind = peers::bind(folder, name, ORIGIN);
        let knot = peers::knot(folder, name, ORIGIN);
        let nsd = peers::nsd(folder, name, ORIGIN);
        let text = std::fs::read(folder.join(name)).expect("readable");
        let kind = match (bind.accepts(), knot.accepts(), nsd.accepts()) {
            (true, true, true) => "accepted by all peers",
            (false, false, false) => "refused by all peers",
            _ if ours.records.is_ok() => "peers differ, accepted here",
            _ => "peers differ, refused here",
        };
        self.count(kind);
        let complaint = match (&ours.records, &bind.records, &nsd.records) {
            (Ok(ours_all), Ok(binds), nsds) => {
                let rule = rules::records(ours_all, binds, &ours.faults);
                let nsds = nsds.as_ref().ok();
                match rule {
                    rules::Same::Yes => None,
                    rules::Same::By(rule) => {
                        self.count(&format!("  by rule: {rule}"));
                        None
                    }
                    // NSD's reading settles what BIND alone reads so.
                    rules::Same::No if nsds == Some(ours_all) => {
                        self.count("  records: as NSD, not as BIND");
                        None
                    }
                    rules::Same::No => Some(difference(ours_all, binds)),
                }
            }
            (Err(told), _, _) if kind == "accepted by all peers" => {
                Some(format!("refused here:\n{told}"))
            }
            (Ok(_), _, _) if kind == "refused by all peers" => {
                match rules::acceptance(&bind, &text) {
                    Some(rule) => {
                        self.count(&format!("  by rule: {rule}"));
                        None
                    }
                    None => Some(format!(
                        "accepted here; BIND: {}\nKnot: {}\nNSD: {}",
                        bind.told, knot.told, nsd.told
                    )),
                }
            }
            _ => None,
        };
        let placed = ours.faults.iter().filter(|fault| fault.is_error()).all(|f| f.span.is_some());
        let complaint = complaint.or_else(|| {
            (!placed).then(|| format!("a fault without a place:\n{}", render(&ours.faults)))
        });
        if let Some(complaint) = complaint {
            let text = String::from_utf8_lossy(&text).into_owned();
            let mut wrong = self.wrong.lock().expect("whole");
            wrong.push(format!("=== {name}\n{complaint}\n--- the file\n{text}"));
        }
    }

    fn count(&self, kind: &str) {
        *self.counts.lock().expect("whole").entry(kind.to_owned()).or_default() += 1;
    }

    fn report(self, what: &str) {
        let wrong = self.wrong.into_inner().expect("whole");
        for (kind, count) in self.counts.into_inner().expect("whole") {
            println!("{what}: {count:6} {kind}");
        }
        assert!(wrong.is_empty(), "{} files differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// What Meridian makes of a file.
struct Ours {
    records: Result<Set, String>,
    faults: Vec<Diagnostic>,
}

fn meridian(folder: &Path, name: &str) -> Ours {
    let origin: Name = ORIGIN.parse().expect("a name");
    let source = Source::read(folder, Path::new(name)).expect("readable");
    let open = |path: &Path| Source::read(folder, path);
    let (zone, faults) = load::load(&source, &origin, &[], HashKey::random(), &open);
    if faults.iter().any(Diagnostic::is_error) {
        return Ours { records: Err(render(&faults)), faults };
    }
    let mut records = BTreeSet::new();
    for node in zone.nodes() {
        for record in node.rrsets().flat_map(|rrset| rrset.iter().collect::<Vec<_>>()) {
            let number = |at: usize| u16::from_be_bytes([record[at], record[at + 1]]);
            let ttl = u32::from(number(4)) << 16 | u32::from(number(6));
            records.insert((node.wire_name().to_vec(), number(0), ttl, record[10..].to_vec()));
        }
    }
    Ours { records: Ok(records), faults }
}

/// What one set has and the other has not.
fn difference(ours: &Set, theirs: &Set) -> String {
    let told = |set: &Set, other: &Set| {
        let lines: Vec<String> = set.difference(other).take(5).map(peers::shown).collect();
        lines.join("\n")
    };
    format!("only here:\n{}\nonly with BIND:\n{}", told(ours, theirs), told(theirs, ours))
}

impl Opinion {
    fn accepts(&self) -> bool {
        self.records.is_ok()
    }
}
