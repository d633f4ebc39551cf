//! `meridian simulate` and `prove`: tables, data, maps, exit codes; and what `prove` says to try.

use crate::support::{BERLIN, Site, run, until_so};

const NAME: &str = "www.example.org";

#[test]
fn who_serves_whom_is_a_table_and_data() {
    let site = Site::new();
    let told = site.run("simulate", &[NAME, "--rate", "1000"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    for part in ["www.example.org. A\n", "queries/s", "fra   fra     ", "sin   sin     ", "all"] {
        assert!(told.out.contains(part), "missing {part:?} in\n{}", told.out);
    }
    let told = site.run("simulate", &[NAME, "--format", "json"]);
    let data: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
    let share =
        |at: usize| data["records"][0]["pools"][at]["share"]["ipv4"].as_f64().expect("a share");
    assert!((share(0) + share(1) - 1.0).abs() < 1e-9, "{}", told.out);
    assert!(data["records"][0]["all"]["mean_km"].as_f64().expect("km") > 0.0);
}

#[test]
fn a_failure_and_a_change_are_compared_with_today() {
    let site = Site::new();
    let told = site.run("simulate", &["--fail", "region.fra"]);
    assert!(told.out.contains("today → region.fra lost"), "{}", told.out);
    assert!(told.out.contains("→ 0.0 %") && told.out.contains("fra → sin"), "{}", told.out);
    let changed = Site::new();
    changed.write("zones/example.org.toml", changed.policy("failover"));
    let folder = changed.path().to_str().expect("UTF-8");
    let told = site.run("simulate", &["--change", folder]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("sin → fra") && told.out.contains("→ 100.0 %"), "{}", told.out);
}

#[test]
fn a_list_of_clients_is_read_or_every_fault_in_it_told() {
    let site = Site::new();
    site.write("clients.csv", "network,weight\n192.0.2.0/24,3\n203.0.113.0/24,1\n");
    let list = site.path().join("clients.csv");
    let told = site.run("simulate", &["--clients", list.to_str().expect("UTF-8")]);
    assert!(told.out.contains("75.0 %") && told.out.contains("25.0 %"), "{}", told.out);
    site.write("clients.csv", "192.0.2.0/24,much\nnobody,1\n");
    let told = site.run("simulate", &["--clients", list.to_str().expect("UTF-8")]);
    assert_eq!(told.code, 2);
    assert!(told.err.contains("line 1: 'much' is no number"), "{}", told.err);
    assert!(told.err.contains("line 2: 'nobody' is no IP address"), "{}", told.err);
}

#[test]
fn a_map_is_drawn_of_one_record() {
    let site = Site::new();
    let file = site.path().join("map.svg");
    let told = site.run("simulate", &[NAME, "--svg", file.to_str().expect("UTF-8")]);
    assert_eq!(told.code, 0, "{}", told.err);
    let drawn = std::fs::read_to_string(&file).expect("the map");
    assert!(drawn.starts_with("<svg ") && drawn.len() < 1 << 20);
    let told = site.run("simulate", &[NAME, "--format", "svg"]);
    assert_eq!(told.out, drawn);
}

#[test]
fn the_daemons_health_may_be_where_it_begins() {
    let site = Site::new();
    let daemon = site.serve();
    site.fra.set_healthy(false);
    until_so("fra to be out", || daemon.www(BERLIN) == "198.51.100.20");
    let config = site.path().to_str().expect("UTF-8");
    let told = daemon.run(&["simulate", "--config", config, "--live"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("sin   sin     100.0 %"), "{}", told.out);
}

#[test]
fn what_holds_is_proved_and_what_does_not_is_shown() {
    let site = Site::new();
    let told = site.run("prove", &["-k", "1"]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    assert!(told.out.contains("proved: under every loss of one region"), "{}", told.out);
    site.write(
        "zones/example.org.toml",
        format!("{}last_resort = \"nodata\"\n", site.policy("nearest")),
    );
    let told = site.run("prove", &[]);
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    let begin = "clients that get nothing\n  www.example.org. A, rule 1 without fra and sin\n    \
                 last resort: no pool is left, and the last resort is no data, for ";
    assert!(told.out.starts_with(begin), "{}", told.out);
    // The line it gives shows it.
    let line = told.out.lines().find(|line| line.contains("meridian explain")).expect("a line");
    let words = line.trim().replace('\'', "");
    let words: Vec<&str> = words.split(' ').skip(1).collect();
    let shown = run(&words);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.contains("nothing is left: the last resort, no data"), "{}", shown.out);
    let told = site.run("prove", &["--json"]);
    let data: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!((data["proved"].as_bool(), told.code), (Some(false), 1));
    assert_eq!(data["findings"][0]["kind"], "unanswered");
    site.write("zones/example.org.toml", "[record.\"www\"]\npolcy = \"nearest\"\n");
    assert_eq!(site.run("prove", &[]).code, 2);
}

/// The site with `www` under these lines, and these about what fra can take.
fn site(capacity: &str, record: &str) -> Site {
    let site = Site::new();
    let policy = site.policy("failover");
    let pools = policy.split("[record.").next().expect("pools");
    let capacity = format!("[pool.fra.capacity]\n{capacity}\n[pool.sin]");
    let pools = pools.replacen("[pool.sin]", &capacity, usize::from(capacity.contains('=')));
    site.write("zones/example.org.toml", format!("{pools}[record.\"www\"]\n{record}"));
    site
}

fn json(told: &str) -> serde_json::Value {
    serde_json::from_str(told).expect("JSON")
}

/// The share of IPv4 clients that fra has of the first record.
fn of_fra(told: &str) -> f64 {
    json(told)["records"][0]["pools"][0]["share"]["ipv4"].as_f64().expect("a share")
}

const FAILOVER: &str = "policy = \"failover\"\npools = [\"fra\", \"sin\"]\n";

#[test]
fn what_pools_at_capacity_send_on_is_told() {
    let site = site("queries = 1000\ntarget = \"70%\"\nmax = \"90%\"\n", FAILOVER);
    let told = site.run("simulate", &["--rate", "1400"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let row = told.out.lines().find(|line| line.contains("at capacity")).expect("a row");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[..7], ["fra", "fra", "693", "1,400", "700", "900", "69.3"], "{}", told.out);
    assert!(
        told.out.contains("sent on: 707 queries/s, 50.5 %\n    fra → sin  707"),
        "{}",
        told.out
    );
    let told = site.run("simulate", &["--rate", "1400", "--format", "json"]);
    assert!((of_fra(&told.out) - 0.495).abs() < 0.01, "{}", told.out);
    assert_eq!(json(&told.out)["load"]["pools"][0]["state"], "at capacity");
    let told = site.run("simulate", &["--rate", "www.example.org=600"]);
    assert!(told.out.contains("nobody is sent on"), "{}", told.out);
    let told = site.run("simulate", &["--rate", "web.example.org=600"]);
    assert_eq!(told.code, 2);
    assert!(told.err.contains("'web.example.org' has a rate and is not among"), "{}", told.err);
}

#[test]
fn a_loss_that_is_too_much_is_shown_with_who_came() {
    let site = site("queries = 1000\n", FAILOVER);
    let told = site.run("prove", &["-k", "1"]);
    assert!(told.out.contains("not proved: capacity"), "{}", told.out);
    let told = site.run("prove", &["-k", "1", "--rate", "1100"]);
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    let region = "region fra gets 1100 queries/s in pool fra, above its max of 950: 792 of its own, \
                  308 from sin";
    assert!(told.out.contains("without sin") && told.out.contains(region), "{}", told.out);
    let line = told.out.lines().find(|line| line.contains("meridian simulate")).expect("a line");
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let shown = run(&words);
    assert!(shown.out.contains("above max"), "{line}: {}{}", shown.out, shown.err);
    let told = site.run("prove", &["-k", "1", "--rate", "900"]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    assert!(told.out.contains("regions above their targets"), "{}", told.out);
    assert!(
        told.out.contains("with 900 queries/s no region gets more than its max"),
        "{}",
        told.out
    );
}

#[test]
fn the_daemons_sides_are_where_it_begins() {
    let record = format!("{FAILOVER}canary = {{ pool = \"sin\", steps = [\"50%\"] }}\n");
    let site = site("", &record);
    let daemon = site.serve();
    until_so("the checks to conclude", || {
        let families = daemon.status().pools.into_iter().flat_map(|pool| pool.families);
        families.into_iter().all(|family| family.verdict == "up")
    });
    let started = daemon.run(&["canary", "start", NAME, "--reason", "release 7"]);
    assert_eq!(started.code, 0, "{}", started.err);
    until_so("half of the clients to have gone", || {
        daemon.status().changes.iter().any(|change| change.share == 0.5)
    });
    let config = site.path().to_str().expect("UTF-8");
    let simulate = ["simulate", "--config", config, "--format", "json"];
    let told = daemon.run(&[&simulate[..], &["--live"]].concat());
    assert_eq!(told.code, 0, "{}", told.err);
    assert!((of_fra(&told.out) - 0.5).abs() < 0.02, "{}", told.out);
    assert_eq!(of_fra(&run(&simulate).out), 1.0, "at rest nobody is on the new side");
}

#[test]
fn what_the_daemon_sends_on_is_simulated_and_explained_alike() {
    let site = site("load = \"push\"\ntarget = \"70%\"\nmax = \"90%\"\n", FAILOVER);
    let daemon = site.serve();
    let clients: Vec<String> = (0..64).map(|n| format!("10.1.{n}.0/24")).collect();
    site.write("clients.csv", clients.join("\n"));
    let list = site.path().join("clients.csv");
    let config = site.path().to_str().expect("UTF-8");
    let simulate = ["simulate", "--config", config, "--live", "--format", "json", "--clients"];
    let simulate = [&simulate[..], &[list.to_str().expect("UTF-8")]].concat();
    let begins =
        || daemon.get("/v1/dials").1.split("\"begins\":").nth(1).map(|of| of[..40].to_owned());
    until_so("the daemon to send on, and to stand still while it is looked at", || {
        let on_fra = clients.iter().filter(|of| daemon.www(of) == "198.51.100.10").count();
        let told = daemon.run(&["load", "pool.fra", "140%", "--for", "60s"]);
        assert_eq!(told.code, 0, "{}", told.err);
        let before = begins();
        let on_fra = if before.is_none() { 64 } else { on_fra };
        let told = daemon.run(&simulate);
        assert_eq!(told.code, 0, "{}", told.err);
        let again = clients.iter().filter(|of| daemon.www(of) == "198.51.100.10").count();
        if on_fra == 64 || on_fra == 0 || on_fra != again || before != begins() {
            return false;
        }
        let share = of_fra(&told.out);
        assert!((share - on_fra as f64 / 64.0).abs() < 1e-6, "{share} and {on_fra} of 64");
        let load = &json(&told.out)["load"]["pools"][0];
        assert!(load["queries_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{load}");
        true
    });
    let told = daemon.run(&["prove", "--config", config, "--live", "-k", "1"]);
    assert!(told.out.contains("queries/s no region gets more than its max"), "{}", told.out);
}
