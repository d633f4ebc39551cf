//! The log of decisions, from a query to its line in the file.

use serde_json::{Value, json};

use crate::support::{BERLIN, Daemon, Site, TOKYO, until, until_so};

const SETTINGS: &str = "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"127.0.0.1:0\"\n";

fn log(site: &Site, decisions: &str) {
    site.write("meridian.toml", format!("{SETTINGS}[log]\ndecisions = {{ {decisions} }}\n"));
}

fn lines(site: &Site, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(site.path().join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

fn generation(daemon: &Daemon) -> u64 {
    daemon.status().config.generation
}

#[test]
fn every_sampled_decision_is_a_line_that_says_why() {
    let site = Site::new();
    log(&site, "sample = \"100%\"");
    let daemon = site.serve();
    // The first tick of the log turns sampling on.
    let first = until("a line", || {
        daemon.www(BERLIN);
        lines(&site, "state/decisions.jsonl").into_iter().next()
    });
    let time = first["time"].as_str().expect("a time").to_owned();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{time}");
    let scope = first["scope"].as_u64().expect("a scope");
    let client = first["client"].as_str().expect("a network").to_owned();
    assert!(client.starts_with("192.0.") && client.ends_with(&format!("/{scope}")), "{client}");
    let expected = json!({
        "time": time, "name": "www.example.org.", "type": "A",
        "client": client, "by": "subnet", "record": "www.example.org.",
        "rule": 1, "pools": ["fra"], "reason": "preferred", "scope": scope, "ttl": 30,
    });
    assert_eq!(first, expected);
    let ended = daemon.run(&["drain", "region.sin", "--reason", "test"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    daemon.www(TOKYO);
    let drained = until("the other reason", || {
        let all = lines(&site, "state/decisions.jsonl");
        all.into_iter().find(|line| line["reason"] == "drained")
    });
    assert_eq!(drained["pools"], json!(["fra"]));
    let written = daemon.metric("meridian_decisions_logged_total{outcome=\"written\"}");
    assert!(written >= Some(2.0), "{written:?}");
}

#[test]
fn the_log_follows_the_settings_and_keeps_one_older_file() {
    let site = Site::new();
    let daemon = site.serve();
    daemon.www(BERLIN);
    assert!(!site.path().join("state/decisions.jsonl").exists(), "nobody asked for a log");
    log(&site, "sample = \"100%\", file = \"logs/why.jsonl\", max_size = \"100kB\"");
    until_so("the reload", || generation(&daemon) == 2);
    until_so("an older file", || {
        (0..50).for_each(|_| _ = daemon.www(BERLIN));
        site.path().join("logs/why.jsonl.1").exists()
    });
    let older = lines(&site, "logs/why.jsonl.1");
    assert!(older.len() > 300, "{} lines in 100 kB", older.len());
    site.write("meridian.toml", SETTINGS);
    until_so("the reload", || generation(&daemon) == 3);
    // The log notices with its next tick, and writes what was sampled until then.
    let mut before = usize::MAX;
    until_so_mut("the file to come to rest", || {
        daemon.www(BERLIN);
        let now = lines(&site, "logs/why.jsonl").len();
        std::thread::sleep(std::time::Duration::from_millis(600));
        std::mem::replace(&mut before, now) == now
    });
}

fn until_so_mut(what: &str, mut look: impl FnMut() -> bool) {
    until(what, || look().then_some(()));
}
