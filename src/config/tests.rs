//! The shipped example, reloads, and files that were damaged at random.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::diagnostics::render;

fn shipped() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const FILES: [&str; 6] = [
    "meridian.toml",
    "geo/regions.toml",
    "geo/networks.toml",
    "probes/monitors.toml",
    "zones/example.org.toml",
    "zones/example.org.zone",
];

/// A copy of the shipped files.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in FILES {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().expect("in a folder")).expect("made");
        fs::copy(shipped().join(file), to).expect("copied");
    }
    folder
}

fn change(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).expect("readable");
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(path, text.replacen(from, to, 1)).expect("writable");
}

#[test]
fn the_shipped_example_has_no_fault() {
    for path in [shipped().to_owned(), shipped().join("meridian.toml")] {
        let loaded = load(&path, None);
        assert_eq!(render(&loaded.diagnostics), "");
        let config = loaded.config.expect("no error");
        assert_eq!(config.regions.len(), 6);
        assert_eq!(config.pool_checks.len(), config.pools.len());
        let zone = &config.zones[0];
        assert_eq!(zone.records.len(), 7);
        assert!(zone.zone.name_count() > zone.records.len());
    }
}

#[test]
fn the_examples_of_monitors_have_no_fault() {
    let folder = copy();
    let read = |path: &str| fs::read_to_string(shipped().join(path)).expect("readable");
    let both = read("probes/monitors.toml") + &read("probes/examples.toml");
    fs::write(folder.path().join("probes/monitors.toml"), &both).expect("writable");
    let told = render(&load(folder.path(), None).diagnostics);
    let faults = told.lines().filter(|line| line.starts_with("error"));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<&str>::new(), "{told}");
    let others = told.lines().filter(|line| line.starts_with("warning"));
    let others = others.filter(|line| !line.ends_with("is not used"));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
    for word in ["http", "https", "tcp", "tls", "dns", "grpc", "agent", "push"] {
        let written = both.lines().filter(|line| line.starts_with("type"));
        let count = written.filter(|line| line.ends_with(&format!("\"{word}\""))).count();
        assert!(count > 0, "no example of {word}");
    }
}

#[test]
fn equal_checks_of_several_pools_are_one() {
    let folder = copy();
    let pools = "\n[pool.again]\nregion = \"fra\"\nmonitor = \"web\"\nmembers = [\"192.0.2.10\"]\n\
                 [record.\"again\"]\npools = [\"again\"]\n";
    let before = load(folder.path(), None).config.expect("no error");
    let path = folder.path().join("zones/example.org.toml");
    fs::write(&path, fs::read_to_string(&path).expect("readable") + pools).expect("writable");
    let after = load(folder.path(), None).config.expect("no error");
    assert_eq!(after.checks.len(), before.checks.len());
    let last = &after.pool_checks[after.pools.len() - 1];
    assert_eq!(last.members[0].check, after.pool_checks[0].members[0].check);
    assert_eq!(&*after.checks[0].key, "web@192.0.2.10:443");
}

#[test]
fn a_zone_that_did_not_change_is_taken_over() {
    let folder = copy();
    change(folder.path(), "zones/example.org.zone", "docs    IN", "$INCLUDE more.txt\ndocs    IN");
    let more = folder.path().join("zones/more.txt");
    fs::write(&more, "more IN A 192.0.2.1\n").expect("writable");
    let load = |config: Option<&Config>| {
        // Long ago: what files look like proves nothing.
        let previous = config.map(|config| Previous { config, read_at: SystemTime::UNIX_EPOCH });
        let loaded = super::load(folder.path(), previous);
        loaded.config.unwrap_or_else(|| panic!("{}", render(&loaded.diagnostics)))
    };
    let first = load(None);
    change(folder.path(), "zones/example.org.toml", "ttl         = \"20s\"", "ttl = \"21s\"");
    let second = load(Some(&first));
    assert!(Arc::ptr_eq(&first.zones[0].zone, &second.zones[0].zone));
    assert_ne!(first.zones[0].records, second.zones[0].records);

    let text = fs::read(&more).expect("readable");
    fs::remove_file(&more).expect("was there");
    fs::write(&more, text).expect("writable");
    let same = load(Some(&second));
    assert!(Arc::ptr_eq(&second.zones[0].zone, &same.zones[0].zone), "the same octets");

    fs::write(&more, "more IN A 192.0.2.2\n").expect("writable");
    let third = load(Some(&second));
    assert!(!Arc::ptr_eq(&second.zones[0].zone, &third.zones[0].zone));

    change(folder.path(), "zones/example.org.toml", "[record.\"api\"]", "[record.\"api2\"]");
    let fourth = load(Some(&third));
    assert!(!Arc::ptr_eq(&third.zones[0].zone, &fourth.zones[0].zone));
}

#[test]
fn a_missing_main_file_is_all_defaults_in_a_folder_and_an_error_by_name() {
    let folder = copy();
    let main = folder.path().join("meridian.toml");
    fs::remove_file(&main).expect("was there");
    let config = load(folder.path(), None).config.expect("no error");
    assert_eq!(config.settings.listen.len(), 2);
    assert!(load(&main, None).config.is_none());
}

/// Octets that mean something to TOML, to put where they do harm.
const HARMFUL: &[u8] = b"[]{}=\"',.#\n \\-0x@\xff\xc3";

#[test]
fn damaged_files_are_told_and_never_panic() {
    let folder = copy();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..600 {
        let file = FILES[draw(FILES.len() - 1)];
        let whole = fs::read(shipped().join(file)).expect("readable");
        let mut text = whole.clone();
        for _ in 0..=draw(4) {
            if text.is_empty() {
                break;
            }
            let at = draw(text.len());
            match draw(4) {
                0 => text[at] = HARMFUL[draw(HARMFUL.len())],
                1 => text.insert(at, HARMFUL[draw(HARMFUL.len())]),
                2 => drop(text.drain(at..(at + draw(40)).min(text.len()))),
                _ => text.truncate(at.max(1)),
            }
        }
        fs::write(folder.path().join(file), &text).expect("writable");
        let loaded = load(folder.path(), None);
        let drawn = render(&loaded.diagnostics);
        let error = loaded.diagnostics.iter().any(|fault| fault.is_error());
        assert_eq!(loaded.config.is_none(), error, "round {round}: {drawn}");
        fs::write(folder.path().join(file), &whole).expect("writable");
    }
}
