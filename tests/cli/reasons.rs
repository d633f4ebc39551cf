//! Four pools out for four reasons, and everything that speaks of them keeps the four apart.

use serde_json::Value;

use crate::support::{Daemon, Site, until, until_so};

const RECORDS: &str = r#"
[pool.emptied]
region  = "fra"
members = ["198.51.100.30"]
[pool.full]
region  = "fra"
members = ["198.51.100.40"]
[pool.full.capacity]
load = "push"
[record."sick"]
policy = "failover"
pools  = ["fra", "sin"]
[record."emptied"]
policy = "failover"
pools  = ["emptied", "sin"]
[record."full"]
policy = "failover"
pools  = ["full", "sin"]
[[record."fenced".rule]]
match  = { cidr = "10.0.0.0/8" }
pools  = ["fra"]
fence  = true
last_resort = "nodata"
[[record."fenced".rule]]
match  = "default"
pools  = ["sin"]
"#;

/// Record, the pool that is out there, the reason in each place's own words: for machines, in
/// `explain`, and as an extended error.
const STORY: [(&str, &str, &str, &str, &str); 4] = [
    ("sick", "fra", "unhealthy", "struck out: unhealthy", "the first choice is down"),
    ("emptied", "emptied", "drained", "struck out: drained", "the first choice is drained"),
    ("full", "full", "at-capacity", "passed over: at capacity", "the first choice is at capacity"),
    ("fenced", "sin", "fenced", "struck out: fenced", "fenced, and all pools inside are down"),
];

fn site() -> Site {
    let site = Site::new();
    let policy = site.policy("failover");
    site.write("zones/example.org.toml", format!("{policy}{RECORDS}"));
    let names = ["sick", "emptied", "full", "fenced"];
    let zone = names.map(|name| format!("{name} A 192.0.2.9\n")).concat();
    site.write("zones/example.org.zone", crate::support::zone(1, &zone));
    let settings = std::fs::read_to_string(site.path().join("meridian.toml")).expect("settings");
    site.write("meridian.toml", format!("{settings}[log]\ndecisions = {{ sample = \"100%\" }}\n"));
    site
}

/// Brings the four reasons about, and waits for a client whom the full pool does not take.
fn client_of_a_bad_day(site: &Site, daemon: &Daemon) -> String {
    site.fra.set_healthy(false);
    let drained = daemon.run(&["drain", "pool.emptied", "--reason", "kernel update"]);
    assert_eq!(drained.code, 0, "{}", drained.err);
    until_so("fra to be out", || daemon.why("sick.example.org.", "10.1.0.0/24").is_some());
    let mut clients = (0..=255).cycle().map(|n| format!("10.1.{n}.0/24"));
    until("a client to be sent on", || {
        daemon.run(&["load", "pool.full", "200%", "--for", "30s"]);
        let client = clients.next()?;
        daemon.why("full.example.org.", &client).is_some().then_some(client)
    })
}

#[test]
fn unhealthy_drained_fenced_and_at_capacity_are_told_apart_everywhere() {
    let site = site();
    let daemon = site.serve();
    let client = client_of_a_bad_day(&site, &daemon);
    for (record, pool, code, explained, sentence) in STORY {
        let name = format!("{record}.example.org.");
        let told = daemon.why(&name, &client).unwrap_or_default();
        assert!(told.starts_with(sentence), "{record}: {told}");

        let told = daemon.run(&["explain", &name, "--client", &client]).out;
        let line = told.lines().find(|line| line.contains(&format!(". {pool} ")));
        assert!(line.is_some_and(|line| line.contains(explained)), "{record}:\n{told}");
        let told = daemon.run(&["explain", &name, "--client", &client, "--json"]).out;
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let steering = &told["steps"][0]["steering"];
        assert_eq!(steering["reason"], code, "{told}");
        let candidates = steering["candidates"].as_array().expect("candidates");
        let candidate = candidates.iter().find(|of| of["pool"] == pool).expect("the pool");
        assert_eq!(candidate["because"], code, "{told}");

        let log = site.path().join("state/decisions.jsonl");
        until_so("the decision in the log", || {
            daemon.why(&name, &client);
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            lines.into_iter().any(|line| line["record"] == *name && line["reason"] == code)
        });
        let answered = if record == "fenced" { ("", "") } else { ("sin", "sin") };
        let series = format!(
            "meridian_steering_answers_total{{record=\"{name}\",pool=\"{}\",region=\"{}\",\
             reason=\"{code}\"}}",
            answered.0, answered.1
        );
        assert!(daemon.metric(&series) > Some(0.0), "{series}");
    }
    let status = daemon.run(&["status"]).out;
    let row = |pool: &str| {
        let row = status.lines().find(|line| line.contains(&format!("{pool}@example.org. ")));
        row.unwrap_or_else(|| panic!("{status}")).to_owned()
    };
    assert!(row("fra").contains("down  "), "{}", row("fra"));
    assert!(row("emptied").contains("draining") && row("emptied").contains("kernel update"));
    assert!(row("full").contains("up, at capacity"), "{}", row("full"));
    let told = status.lines().find(|line| line.starts_with("steered answers: ")).expect("a line");
    for reason in ["unhealthy", "drained", "at capacity", "fenced"] {
        assert!(told.contains(&format!(" {reason}")), "{told}");
    }
    let answers = daemon.status().answers;
    for (_, _, code, ..) in STORY {
        assert!(answers.get(code).is_some_and(|count| *count > 0), "{answers:?}");
    }
}
