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
