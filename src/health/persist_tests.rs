//! What is kept on disk, and what damage does to it.

use super::super::overrides::OverrideState;
use super::*;

const SAVED: u64 = 1_800_000_000;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn down() -> Remembered {
    Remembered {
        belief: Belief::Down,
        held: Duration::from_secs(40),
        failures: 12,
        reason: Some(Reason::Status(503)),
        flaps: 2,
        fell: Some(Duration::from_secs(40)),
    }
}

fn memory() -> Memory {
    let up = Remembered { belief: Belief::Up, failures: 0, reason: None, fell: None, ..down() };
    HashMap::from([("web@192.0.2.10:443".into(), down()), ("web@192.0.2.11:443".into(), up)])
}

fn order(until: Option<u64>) -> Override {
    Override {
        target: "pool.fra".parse().expect("a target"),
        area: None,
        state: OverrideState::Drain,
        reason: "kernel \"update\"".into(),
        by: "ops".into(),
        until,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> =
        entries.map(name).map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn beliefs_come_back_as_they_were() {
    let directory = directory();
    save_health(directory.path(), &memory(), SAVED).expect("saved");
    let loaded = load_health(directory.path(), SAVED);
    assert_eq!(loaded.value, memory());
    assert!(loaded.warnings.is_empty());
    assert_eq!(names(directory.path()), [HEALTH_FILE], "no temporary file is left");
}

#[test]
fn time_passes_while_nothing_runs() {
    let directory = directory();
    save_health(directory.path(), &memory(), SAVED).expect("saved");
    let key = "web@192.0.2.10:443";
    let loaded = load_health(directory.path(), SAVED + 60);
    assert_eq!(loaded.value[key].held, Duration::from_secs(100));
    assert_eq!(loaded.value[key].fell, Some(Duration::from_secs(100)));
    let loaded = load_health(directory.path(), SAVED + 3600);
    assert_eq!(loaded.value[key].fell, None, "the fall is out of the flap window");
    let loaded = load_health(directory.path(), SAVED - 3600);
    assert_eq!(loaded.value, memory(), "a clock set back forgets nothing");
}

#[test]
fn old_beliefs_are_forgotten_with_a_word() {
    let directory = directory();
    save_health(directory.path(), &memory(), SAVED).expect("saved");
    let loaded = load_health(directory.path(), SAVED + REMEMBER_FOR.as_secs() + 1);
    assert!(loaded.value.is_empty());
    assert!(loaded.warnings[0].contains("start unknown"), "{:?}", loaded.warnings);
}

#[test]
fn nothing_on_disk_is_nothing_remembered() {
    let directory = directory();
    let loaded = load_health(directory.path(), SAVED);
    assert!(loaded.value.is_empty() && loaded.warnings.is_empty());
    assert!(load_overrides(directory.path()).warnings.is_empty());
}

#[test]
fn a_damaged_file_is_set_aside_and_stops_nothing() {
    let directory = directory();
    let path = directory.path().join(HEALTH_FILE);
    let damaged = [
        &b"{\"version\":1,\"sav"[..],
        b"",
        b"\xff\xfe",
        b"{\"version\":2,\"saved\":0,\"checks\":{}}",
    ];
    for (number, text) in (1..).zip(damaged) {
        fs::write(&path, text).expect("written");
        let loaded = load_health(directory.path(), SAVED);
        assert!(loaded.value.is_empty());
        let aside = format!("{HEALTH_FILE}.damaged-{number}");
        assert!(loaded.warnings[0].contains(&aside), "{:?}", loaded.warnings);
        assert_eq!(fs::read(directory.path().join(aside)).expect("kept"), text);
        assert!(!path.exists());
    }
}

#[test]
fn damaged_files_are_bounded_in_number() {
    let directory = directory();
    for _ in 0..2 * DAMAGED_MAX {
        fs::write(directory.path().join(HEALTH_FILE), "no").expect("written");
        load_health(directory.path(), SAVED);
    }
    assert_eq!(names(directory.path()).len(), DAMAGED_MAX as usize);
}

#[test]
fn a_reason_of_another_version_is_left_out() {
    let directory = directory();
    let text = format!(
        r#"{{"version":1,"saved":{SAVED},"checks":{{"a":{{"belief":"down","held_s":1,"reason":"eaten"}},"b":{{"belief":"odd","held_s":1}}}}}}"#
    );
    fs::write(directory.path().join(HEALTH_FILE), text).expect("written");
    let loaded = load_health(directory.path(), SAVED);
    assert_eq!(loaded.value.len(), 1);
    assert_eq!(loaded.value["a"].reason, None);
}

#[test]
fn a_remembered_check_begins_where_it_was() {
    let now = Duration::from_secs(5);
    let state = down().state(now);
    assert_eq!((state.belief, state.remembered, state.flaps), (Belief::Down, true, 2));
    let later = Remembered::of(&state, now + Duration::from_secs(10)).expect("a belief");
    assert_eq!(later.held, Duration::from_secs(50));
    assert_eq!(Remembered::of(&State::default(), now), None);
}

#[test]
fn overrides_come_back_as_they_were() {
    let directory = directory();
    let orders = vec![order(Some(1_798_000_000)), order(None)];
    save_overrides(directory.path(), &orders).expect("saved");
    let loaded = load_overrides(directory.path());
    assert_eq!(loaded.value, orders);
    let text = fs::read_to_string(directory.path().join(OVERRIDES_FILE)).expect("a file");
    assert!(text.contains("until = 2026-12-23T04:26:40Z"), "{text}");
    assert!(text.contains("[[override]]"), "{text}");
}

#[test]
fn other_tables_of_the_overrides_file_stay() {
    let directory = directory();
    let path = directory.path().join(OVERRIDES_FILE);
    fs::write(&path, "[safety]\nmin_regions_on = 2\n").expect("written");
    save_overrides(directory.path(), &[order(None)]).expect("saved");
    assert!(fs::read_to_string(&path).expect("a file").contains("min_regions_on = 2"));
}

#[test]
fn faulty_overrides_are_left_out_and_the_others_stand() {
    let directory = directory();
    let path = directory.path().join(OVERRIDES_FILE);
    let text = r#"
        override = [
            { target = "pool.fra", state = "drain" },
            { target = "fra", state = "drain" },
            { target = "pool.iad", state = "sideways" },
            { target = "pool.sin", state = "down", until = 2026-12-22 },
        ]"#;
    fs::write(&path, text).expect("written");
    let loaded = load_overrides(directory.path());
    assert_eq!(loaded.value.len(), 1);
    assert_eq!(loaded.warnings.len(), 4, "{:?}", loaded.warnings);
    let aside = format!("{OVERRIDES_FILE}.damaged-1");
    assert_eq!(names(directory.path()), [OVERRIDES_FILE, &aside]);
    let again = load_overrides(directory.path());
    assert_eq!((again.value, again.warnings.len()), (loaded.value, 0));
}

#[test]
fn an_unreadable_overrides_file_is_set_aside() {
    let directory = directory();
    fs::write(directory.path().join(OVERRIDES_FILE), "[[override]\n").expect("written");
    let loaded = load_overrides(directory.path());
    assert!(loaded.value.is_empty());
    assert!(loaded.warnings[0].contains("damaged-1"), "{:?}", loaded.warnings);
}

#[test]
fn days_and_dates_agree() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59Z", 951_868_799),
        ("2026-12-22T06:00:00Z", 1_797_919_200),
        ("2100-03-01T00:00:00Z", 4_107_542_400),
    ] {
        assert_eq!(parse_rfc3339(text), Ok(seconds));
        assert_eq!(rfc3339(seconds).as_deref(), Some(text));
    }
    assert_eq!(parse_rfc3339("2026-12-22T07:00:00+01:00"), Ok(1_797_919_200));
    assert!(parse_rfc3339("1969-12-31T23:59:59Z").is_err());
    assert!(parse_rfc3339("tomorrow").is_err());
    for day in (0..60_000u64).step_by(7) {
        let text = rfc3339(day * 86_400).expect("a date");
        assert_eq!(parse_rfc3339(&text), Ok(day * 86_400), "{text}");
    }
}
