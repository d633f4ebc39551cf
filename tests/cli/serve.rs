//! `meridian serve`, `status` and the overrides: start, life and end.

use crate::support::{BERLIN, Site, TOKYO, http, run, until_so};

#[test]
fn the_daemon_answers_tells_how_it_is_and_ends_cleanly() {
    let site = Site::new();
    let daemon = site.serve();
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.get("/nowhere").0, 404);
    let text = daemon.ask("text.example.org.", "TXT", BERLIN);
    assert_eq!(text.answer, ["text.example.org. 3600 IN TXT hello"]);
    assert_eq!(daemon.www(BERLIN), "198.51.100.10");
    assert_eq!(daemon.www(TOKYO), "198.51.100.20");

    let status = daemon.status();
    assert!(status.ready);
    assert_eq!(status.config.generation, 1);
    assert_eq!(status.config.records, 1);
    assert_eq!(status.reload.outcome, "loaded");
    assert_eq!(status.reload.cause, "start");
    assert_eq!((&*status.zones[0].origin, status.zones[0].serial), ("example.org.", 1));
    assert_eq!(status.listeners, [daemon.dns.to_string()]);
    let regions: Vec<&str> = status.pools.iter().map(|pool| &*pool.region).collect();
    assert_eq!(regions, ["fra", "sin"]);
    assert!(!status.geo.is_empty());

    until_so("both pools to be checked", || {
        daemon.status().checks.iter().all(|check| check.state == "up")
    });
    let told = daemon.run(&["status"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    assert!(told.out.contains("all pools serve"), "{}", told.out);
    let json = daemon.run(&["status", "--json"]);
    assert!(json.out.starts_with('{') && json.code == 0, "{}", json.out);

    let state = site.path().join("state");
    assert!(daemon.stop().success());
    assert!(std::fs::read_dir(state).expect("a state folder").count() > 0);
}

#[test]
fn a_region_that_fails_moves_its_clients_and_they_come_back() {
    let site = Site::new();
    let daemon = site.serve();
    site.fra.set_healthy(false);
    until_so("Berlin to go to sin", || daemon.www(BERLIN) == "198.51.100.20");
    let told = daemon.run(&["status"]);
    assert_eq!(told.code, 1, "{}", told.out);
    assert!(told.out.contains("1 of 2 pools out"), "{}", told.out);
    assert!(told.out.contains("status 503"), "{}", told.out);
    assert!(daemon.log().contains("pool fra@example.org. region fra ipv4"), "{}", daemon.log());
    assert_eq!(daemon.get("/readyz").0, 200, "trouble with health is no reason to leave");
    site.fra.set_healthy(true);
    until_so("Berlin to come back", || daemon.www(BERLIN) == "198.51.100.10");
}

#[test]
fn what_was_down_before_a_restart_is_not_the_first_answer_after_it() {
    let site = Site::new();
    let daemon = site.serve();
    site.fra.set_healthy(false);
    until_so("fra to be out", || daemon.www(BERLIN) == "198.51.100.20");
    assert!(daemon.stop().success());
    let daemon = site.serve();
    assert_eq!(daemon.www(BERLIN), "198.51.100.20");
}

#[test]
fn an_operator_drains_a_region_and_releases_it() {
    let site = Site::new();
    let daemon = site.serve();
    let drained = daemon.run(&["drain", "region.fra", "--reason", "kernel update", "--for", "1h"]);
    assert_eq!(drained.code, 0, "{}", drained.err);
    assert!(drained.out.contains("region.fra"), "{}", drained.out);
    assert_eq!(daemon.www(BERLIN), "198.51.100.20");
    let status = daemon.status();
    assert_eq!(status.overrides[0].reason, "kernel update");
    assert!(status.overrides[0].seconds_left.is_some_and(|left| (3500..=3600).contains(&left)));
    let released = daemon.run(&["release", "region.fra"]);
    assert_eq!((released.code, &*released.out), (0, "no overrides in force\n"));
    assert_eq!(daemon.www(BERLIN), "198.51.100.10");
    let again = daemon.run(&["release", "region.fra"]);
    assert_eq!((again.code, &*again.err), (2, "error: there is no override over region.fra\n"));
    let nobody = daemon.run(&["down", "region.nrt", "--reason", "test"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("region.nrt names no region"), "{}", nobody.err);
    let (code, body) = http(daemon.api, "POST", "/v1/overrides", "{\"target\":\"region.fra\"}");
    assert!((400..500).contains(&code), "{body}");
}

#[test]
fn faulty_files_are_refused_at_the_start_with_every_fault() {
    let site = Site::new();
    site.write("geo/regions.toml", "[region.fra]\nlocation = [500, 8.68]\n");
    let ended = site.run("serve", &[]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("geo/regions.toml:2"), "{}", ended.err);
    assert!(ended.err.contains("'sin'"), "{}", ended.err);
}

#[test]
fn an_api_address_that_is_taken_is_told_with_its_cause() {
    let site = Site::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("an address");
    site.write(
        "meridian.toml",
        format!("listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"{address}\"\n"),
    );
    let ended = site.run("serve", &[]);
    assert_eq!(ended.code, 2);
    let told = format!("error: cannot start\n  [1] cannot listen on {address} (API)\n  [2] ");
    assert!(ended.err.contains(&told), "{}", ended.err);
}

#[test]
fn without_a_daemon_status_says_so_and_why() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let ended = run(&["status", "--api", &address]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.starts_with(&format!("error: no daemon answers at http://{address}\n  [1] "))
    );
}
