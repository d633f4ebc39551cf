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

/// The pool of fra takes its page and a port that nobody listens on, or the page alone.
fn compose(site: &Site, need: &str) {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = closed.local_addr().expect("bound").port();
    let times = "interval = \"1s\"\nfast_interval = \"100ms\"\ntimeout = \"500ms\"\nfall = 2\n";
    let page = site.fra.address.port();
    site.write(
        "probes/monitors.toml",
        format!(
            "[monitor.page]\ntype = \"http\"\nport = {page}\npath = \"/readyz\"\n\
             host = \"www.example.org\"\n{times}\
             [monitor.door]\ntype = \"tcp\"\nport = {closed}\n{times}\
             [monitor.shop]\ntype = \"composite\"\nof = [\"page\", \"door\"]\nneed = {need}\n"
        ),
    );
    site.write(
        "zones/example.org.toml",
        "[pool.fra]\nregion = \"fra\"\nmembers = [\"127.0.0.1\"]\nmonitor = \"shop\"\n\
         [pool.sin]\nregion = \"sin\"\nmembers = [\"198.51.100.20\"]\n\
         [record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"sin\"]\n",
    );
}

#[test]
fn a_composite_is_shown_with_its_parts_and_decides() {
    let site = Site::new();
    compose(&site, "\"any\"");
    with(&site, "[vantage.here]\n[node]\nvantage = \"here\"\n");
    let daemon = site.serve();
    until_so("the verdicts", || {
        let told = daemon.run(&["health"]).out;
        told.contains("down for 1 of 1 vantages") && !told.contains('·')
    });
    let told = daemon.run(&["health"]).out;
    let lines: Vec<&str> = told.lines().skip(3).take(3).map(str::trim_end).collect();
    assert!(lines[0].starts_with("shop@127.0.0.1 (1 of 2)") && lines[0].contains(" up "), "{told}");
    assert!(lines[1].starts_with("  page@127.0.0.1:") && lines[1].contains(" up "), "{told}");
    assert!(lines[2].starts_with("  door@127.0.0.1:") && lines[2].contains(" down "), "{told}");
    assert_eq!(daemon.www(BERLIN), "127.0.0.1");
    let page = site.fra.address.port();
    let votes = |check: &str| {
        daemon.metric(&format!("meridian_check_votes{{check=\"{check}\",vote=\"up\"}}"))
    };
    assert_eq!(votes(&format!("page@127.0.0.1:{page}")), Some(1.0));
    assert_eq!(votes("shop@127.0.0.1"), None, "nobody votes on it");
    compose(&site, "\"all\"");
    until_so("the region to be left", || daemon.www(BERLIN) == "198.51.100.20");
    let told = daemon.run(&["explain", "www.example.org", "--client", BERLIN]).out;
    assert!(told.contains("down: 1 of 2 parts serve, 2 needed; door@127.0.0.1:"), "{told}");
}

#[test]
fn a_node_without_vantages_tells_of_what_it_sees_itself() {
    let site = Site::new();
    compose(&site, "1");
    let daemon = site.serve();
    until_so("the verdicts", || daemon.run(&["health"]).out.contains("down after "));
    let told = daemon.run(&["health"]);
    assert_eq!(told.code, 1, "{}", told.out);
    assert!(
        told.out.contains("1 of 3 checks out; this node's own prober decides alone"),
        "{}",
        told.out
    );
    let site_path = site.path().to_str().expect("UTF-8");
    let once = |monitor: &str, target: &str| {
        crate::support::run(&["probe", "--once", monitor, target, "--config", site_path])
    };
    let probed = once("shop", "127.0.0.1");
    assert_eq!(probed.code, 0, "{}{}", probed.out, probed.err);
    for line in [
        "shop (1 of 2 must serve): success",
        "  page: success",
        "  door: failure, connection refused",
    ] {
        assert!(probed.out.contains(line), "{line}\n{}", probed.out);
    }
    let wrong = once("shop", "127.0.0.1:80");
    assert!(
        wrong.code != 0 && wrong.err.contains("each of its parts has a port of its own"),
        "{}",
        wrong.err
    );
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
