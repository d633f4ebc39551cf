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
    for word in ["http", "https", "tcp", "tls", "dns", "grpc", "agent", "push", "composite"] {
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

/// The shipped files with these monitors, and these pools for a record of their own.
fn with_pools(monitors: &str, pools: &str) -> Config {
    let folder = copy();
    let append = |file: &str, more: &str| {
        let path = folder.path().join(file);
        fs::write(&path, fs::read_to_string(&path).expect("readable") + more).expect("writable");
    };
    append("probes/monitors.toml", monitors);
    append("zones/example.org.toml", pools);
    let loaded = load(folder.path(), None);
    loaded.config.unwrap_or_else(|| panic!("{}", render(&loaded.diagnostics)))
}

const COMPOSITES: &str = "\n[monitor.all]\ntype = \"composite\"\nof = [\"some\", \"smtp\"]\n\
                          [monitor.some]\ntype = \"composite\"\nof = [\"web\", \"smtp\"]\nneed = 1\n\
                          [monitor.smtp]\ntype = \"tcp\"\nport = 25\ninterval = \"10s\"\n";

#[test]
fn parts_of_composites_are_checks_that_pools_share() {
    let before = load(&shipped().join("meridian.toml"), None).config.expect("no error");
    let config = with_pools(
        COMPOSITES,
        "\n[pool.mail]\nregion = \"fra\"\nmonitor = \"all\"\n\
         members = [\"192.0.2.10\", \"2001:db8:1::77\"]\n\
         [pool.post]\nregion = \"fra\"\nmonitor = \"all\"\nmembers = [\"192.0.2.10\"]\n\
         [record.\"mail\"]\npolicy = \"failover\"\npools = [\"mail\", \"post\"]\n",
    );
    let keys = |config: &Config| -> Vec<String> {
        config.checks.iter().map(|check| check.key.to_string()).collect()
    };
    let new: Vec<String> =
        keys(&config).into_iter().filter(|key| !keys(&before).contains(key)).collect();
    assert_eq!(
        new,
        ["smtp@192.0.2.10:25", "web@[2001:db8:1::77]:443", "smtp@[2001:db8:1::77]:25"],
        "web@192.0.2.10:443 is probed already"
    );
    let composites: Vec<&str> = config.composites.iter().map(|of| &*of.key).collect();
    assert_eq!(
        composites,
        ["some@192.0.2.10", "all@192.0.2.10", "some@2001:db8:1::77", "all@2001:db8:1::77"]
    );
    let needs: Vec<u16> = config.composites.iter().map(|of| of.monitor.need).collect();
    assert_eq!(needs, [1, 2, 1, 2]);
    let [mail, post] = [0, 1].map(|back| &config.pool_checks[config.pools.len() - 2 + back]);
    assert_eq!(mail.members[0].check, post.members[0].check);
    assert_eq!(config.rules.len(), config.checks.len());
    // Both parts wait for smtp, which takes 10 s + 1.5 s + 2 x (0.5 s + 1.5 s).
    let report = report::records(&config);
    let mail = report.iter().find(|report| report.owner == "mail.example.org.").expect("a record");
    assert_eq!(mail.failover_ms, Some(30_000 + 15_500));
}

#[test]
fn a_pool_may_write_its_composite_down_itself() {
    let config = with_pools(
        COMPOSITES,
        "\n[pool.mail]\nregion = \"fra\"\nmembers = [\"192.0.2.10\"]\n\
         monitor = { type = \"composite\", of = [\"web\", \"smtp\"], target = \"mx.example.net\" }\n\
         [record.\"mail\"]\npolicy = \"failover\"\npools = [\"mail\"]\n",
    );
    assert_eq!(&*config.composites[0].key, "pool.mail@mx.example.net");
    let parts = config
        .checks_of(config.pool_checks.last().and_then(|of| of.members[0].check).expect("one"));
    let keys: Vec<&str> = parts.iter().map(|id| &*config.checks[id.0 as usize].key).collect();
    assert_eq!(keys, ["web@mx.example.net:443", "smtp@mx.example.net:25"]);
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
