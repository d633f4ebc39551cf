//! A node whose own prober is one vantage among those configured, and what an operator sees.

use crate::support::{BERLIN, Site, until, until_so};

/// Keys of vantages that never report (any 32 octets are a key).
const KEYS: [&str; 2] = [
    "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
];

fn with(site: &Site, more: &str) {
    let before = std::fs::read_to_string(site.path().join("meridian.toml")).expect("settings");
    site.write("meridian.toml", format!("{before}{more}"));
}

#[test]
fn a_node_that_is_its_own_only_vantage_decides_by_its_own_vote() {
    let site = Site::new();
    with(&site, "[vantage.here]\n[node]\nvantage = \"here\"\n");
    let daemon = site.serve();
    until_so("the votes", || {
        let told = daemon.run(&["health"]).out;
        told.contains("0 of ") && told.contains("1 of 1 vantages vote") && !told.contains('·')
    });
    assert_eq!(daemon.run(&["health"]).code, 0);
    let before = daemon.www(BERLIN);
    site.fra.set_healthy(false);
    until_so("the region to be seen down", || daemon.www(BERLIN) != before);
    let told = daemon.run(&["health"]);
    assert_eq!(told.code, 1, "{}", told.out);
    assert!(told.out.contains("down for 1 of 1 vantages: status 503"), "{}", told.out);
    assert!(daemon.run(&["status"]).out.contains("down for 1 of 1 vantages"));
    let json: serde_json::Value =
        serde_json::from_str(&daemon.run(&["health", "--json"]).out).expect("JSON");
    assert_eq!(json["vantages"][0]["state"], "votes");
    assert_eq!(json["held"], 0);
}

#[test]
fn a_node_alone_among_silent_vantages_holds_everything() {
    let site = Site::new();
    let silent = format!(
        "[vantage.one]\nkey = \"{}\"\n[vantage.two]\nkey = \"{}\"\n[vantage.here]\n\
         [node]\nvantage = \"here\"\n",
        KEYS[0], KEYS[1]
    );
    // First it decides alone; then two others are asked too, and never answer.
    let daemon = site.serve();
    until_so("the checks", || daemon.status().checks.iter().all(|check| check.state == "up"));
    let before = daemon.www(BERLIN);
    with(&site, &silent);
    until_so("the vantages", || daemon.run(&["health"]).out.contains("HELD"));
    site.fra.set_healthy(false);
    let json = until("the node to see it", || {
        let json: serde_json::Value =
            serde_json::from_str(&daemon.run(&["health", "--json"]).out).expect("JSON");
        let votes = json["checks"].as_array().expect("checks").clone();
        votes.iter().any(|check| check["votes"][2]["vote"] == "down").then_some(json)
    });
    assert_eq!(json["vantages"][0]["state"], "never");
    assert!(json["held"].as_u64() > Some(0));
    assert_eq!(daemon.www(BERLIN), before, "one of three moves nobody");
    let told = daemon.run(&["health"]).out;
    assert!(told.contains("1 of 3 voters it takes"), "{told}");
    assert!(daemon.metric("meridian_health_held") > Some(0.0));
    assert!(daemon.log().contains("are held as they were"), "{}", daemon.log());
}
