//! Reloads: new files in, faulty files out, and no answer lost in between.

use crate::support::{BERLIN, Site, until_so, zone};

#[test]
fn a_changed_file_is_in_force_without_being_told() {
    let site = Site::new();
    let daemon = site.serve();
    site.write("zones/example.org.zone", zone(2, "new A 192.0.2.99\n"));
    // What answers is there a moment before it is written down that it is.
    until_so("the new files", || daemon.status().config.generation == 2);
    assert_eq!(daemon.ask("new.example.org.", "A", BERLIN).answer.len(), 1);
    let status = daemon.status();
    assert_eq!(status.zones[0].serial, 2);
    assert_eq!((&*status.reload.outcome, &*status.reload.cause), ("loaded", "files changed"));
    assert_eq!(status.config.generation, 2);
}

#[test]
fn a_faulty_file_changes_nothing_and_every_fault_is_told() {
    let site = Site::new();
    let daemon = site.serve();
    site.write("zones/example.org.zone", zone(2, "bad A not-an-address\nworse A 1.2.3\n"));
    until_so("the refusal", || daemon.status().reload.outcome == "refused");
    let status = daemon.status();
    assert_eq!(status.reload.faults.len(), 2, "{:?}", status.reload.faults);
    assert!(status.reload.faults[0].starts_with("zones/example.org.zone:7:7: error: "));
    assert_eq!((status.config.generation, status.zones[0].serial), (1, 1));
    assert_eq!(daemon.www(BERLIN), "198.51.100.10");
    assert_eq!(daemon.metric("meridian_config_last_reload_successful"), Some(0.0));
    assert_eq!(daemon.metric("meridian_reloads_total{outcome=\"refused\"}"), Some(1.0));
    let told = daemon.run(&["status"]);
    assert_eq!(told.code, 1);
    assert!(told.out.contains("the files on disk are refused (2 faults)"), "{}", told.out);

    site.write("zones/example.org.zone", zone(3, ""));
    until_so("the mended zone", || daemon.status().zones[0].serial == 3);
    assert_eq!(daemon.metric("meridian_config_last_reload_successful"), Some(1.0));
}

#[test]
fn hangups_in_a_row_do_not_pile_up_and_lose_no_answer() {
    let site = Site::new();
    let daemon = site.serve();
    for round in 0..30 {
        let more = if round % 2 == 0 { "bad A nonsense\n" } else { "" };
        site.write("zones/example.org.zone", zone(10 + round, more));
        daemon.signal("HUP");
        assert_eq!(daemon.www(BERLIN), "198.51.100.10");
    }
    until_so("the last serial", || daemon.status().zones[0].serial == 39);
    assert!(daemon.status().config.generation <= 31);
    assert!(daemon.stop().success());
}

#[test]
fn what_is_down_stays_down_over_a_reload() {
    let site = Site::new();
    let daemon = site.serve();
    site.fra.set_healthy(false);
    until_so("fra to be out", || daemon.www(BERLIN) == "198.51.100.20");
    site.write("zones/example.org.toml", site.policy("failover"));
    site.write("zones/example.org.zone", zone(2, ""));
    until_so("the new serial", || daemon.status().zones[0].serial == 2);
    assert_eq!(daemon.www(BERLIN), "198.51.100.20");
}

#[test]
fn settings_fixed_at_the_start_are_said_to_need_a_restart() {
    let site = Site::new();
    let daemon = site.serve();
    site.write(
        "meridian.toml",
        "listen = [\"127.0.0.1:0\", \"[::1]:0\"]\nworkers = 1\napi = \"127.0.0.1:0\"\n",
    );
    until_so("the reload", || daemon.status().config.generation == 2);
    assert_eq!(daemon.status().reload.needs_restart, ["listen"]);
    assert_eq!(daemon.status().listeners.len(), 1);
}

#[test]
fn a_broken_geo_database_is_refused_and_the_one_before_stays() {
    let site = Site::new();
    let daemon = site.serve();
    let before = daemon.status().geo;
    site.write("geo/city.mmdb", "this is no database");
    until_so("the refusal", || {
        daemon.status().geo.iter().any(|database| database.refused.is_some())
    });
    assert_eq!(daemon.status().geo[0].name, before[0].name);
    assert_eq!(daemon.www(BERLIN), "198.51.100.10");
    assert_eq!(daemon.metric("meridian_geo_databases_refused"), Some(1.0));
    std::fs::remove_file(site.path().join("geo/city.mmdb")).expect("removes");
    until_so("the end of the refusal", || daemon.status().geo[0].refused.is_none());
}

#[test]
fn without_a_zone_the_daemon_is_alive_but_not_ready_until_one_comes() {
    let site = Site::new();
    for file in ["zones/example.org.zone", "zones/example.org.toml"] {
        std::fs::remove_file(site.path().join(file)).expect("removes");
    }
    let daemon = site.serve();
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/readyz").0, 503);
    assert_eq!(daemon.ask("www.example.org.", "A", BERLIN).rcode, "REFUSED");
    site.write("zones/example.org.zone", zone(1, ""));
    until_so("the zone", || daemon.get("/readyz").0 == 200);
}

#[test]
fn a_file_of_latencies_is_watched_wherever_it_is() {
    let site = Site::new();
    site.write("rum/latency.csv", "192.0.2.0/24,fra,20\n");
    // The record stands at the end of the file.
    let policy = site.policy("latency") + "latency = { file = \"rum/latency.csv\" }\n";
    site.write("zones/example.org.toml", policy);
    let daemon = site.serve();
    assert_eq!(daemon.www(BERLIN), "198.51.100.10");
    site.write("rum/latency.csv", "192.0.2.0/24,fra,200\n192.0.2.0/24,sin,2\n");
    until_so("the new table", || daemon.www(BERLIN) == "198.51.100.20");

    site.write("rum/latency.csv", "192.0.2.0/24,fra,20\n192.0.2.0/24,sim,2\n");
    until_so("the refusal", || daemon.status().reload.outcome == "refused");
    let fault = &daemon.status().reload.faults[0];
    assert_eq!(fault, "rum/latency.csv:2:14: error: region 'sim' is not defined");
    assert_eq!(daemon.www(BERLIN), "198.51.100.20", "the table before stays in force");
}
