//! Pools that report their load, and what an operator sees of it.

use crate::support::{Site, until};

const FRA: &str = "198.51.100.10";

/// The site with these lines about what fra can take.
fn site(capacity: &str) -> Site {
    let site = Site::new();
    let policy = site.policy("failover").replacen(
        "[pool.sin]",
        &format!("[pool.fra.capacity]\n{capacity}\n[pool.sin]"),
        1,
    );
    site.write("zones/example.org.toml", policy);
    site
}

#[test]
fn a_pool_that_reports_to_be_full_is_relieved_and_everybody_says_so() {
    let site = site("load = \"push\"\ntarget = \"70%\"\nmax = \"90%\"\nerrors = \"5%\"\n");
    let daemon = site.serve();
    let clients: Vec<String> = (0..64).map(|n| format!("10.1.{n}.0/24")).collect();
    let elsewhere = until("clients to be moved", || {
        let moved: Vec<&String> = clients.iter().filter(|of| daemon.www(of) != FRA).collect();
        let told = daemon.run(&["load", "pool.fra", "140%", "--errors", "1%", "--for", "30s"]);
        assert_eq!(told.code, 0, "{}", told.err);
        (!moved.is_empty() && moved.len() < clients.len()).then(|| moved[0].clone())
    });
    let status = daemon.run(&["status"]).out;
    let row = status.lines().find(|line| line.starts_with("fra@") && line.contains("140 %"));
    let row = row.unwrap_or_else(|| panic!("{status}"));
    assert!(row.contains("at capacity") || row.contains("over"), "{row}");
    let told = daemon.run(&["explain", "www.example.org", "--client", &elsewhere]).out;
    assert!(told.contains("at capacity"), "{told}");
    let fra = "zone=\"example.org.\",pool=\"fra\",region=\"fra\"";
    let kept = daemon.metric(&format!("meridian_pool_kept_ratio{{{fra}}}"));
    assert!(kept.is_some_and(|kept| kept < 1.0), "{kept:?}");
    assert_eq!(daemon.metric(&format!("meridian_pool_load_stale{{{fra}}}")), Some(0.0));
}

#[test]
fn a_report_that_cannot_be_is_refused_with_a_reason() {
    let site = site("queries = 500\n");
    let daemon = site.serve();
    let refused = |args: &[&str], why: &str| {
        let ended = daemon.run(&[&["load"], args].concat());
        assert!(ended.code != 0 && ended.err.contains(why), "{args:?}: {}{}", ended.out, ended.err);
    };
    refused(&["pool.fra", "80%"], "takes no reports");
    refused(&["pool.nix", "80%"], "there is no pool pool.nix");
    refused(&["region.fra", "80%"], "pool.NAME");
    refused(&["pool.fra", "80"], "no share");
    refused(&["pool.fra", "80%", "--for", "2h"], "60 minutes");
    refused(&["pool.fra", "80%", "--errors", "200%"], "0 to 1");
    let status = daemon.run(&["status"]).out;
    assert!(status.contains("capacity") && status.contains("400.0"), "{status}");
}
