//! Orders for the clients of one area, given from the command line.

use crate::support::{BERLIN, Site, TOKYO, until_so};

const FRA: &str = "198.51.100.10";
const SIN: &str = "198.51.100.20";

/// The site with `www` to fra, then sin, and an area around Tokyo.
fn site() -> Site {
    let site = Site::new();
    site.write("zones/example.org.toml", site.policy("failover"));
    let settings = std::fs::read_to_string(site.path().join("meridian.toml")).expect("settings");
    let area = "[area.japan]\nmatch = { country = \"JP\" }\n";
    site.write("meridian.toml", format!("{settings}{area}"));
    site
}

#[test]
fn a_drain_for_an_area_is_for_its_clients_and_nobody_else() {
    let site = site();
    let daemon = site.serve();
    assert_eq!([daemon.www(BERLIN), daemon.www(TOKYO)], [FRA, FRA]);
    let drain =
        ["drain", "region.fra", "--area", "japan", "--reason", "bad transit", "--by", "ann"];
    let ended = daemon.run(&drain);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("region.fra for area japan"), "{}", ended.out);
    assert_eq!([daemon.www(BERLIN), daemon.www(TOKYO)], [FRA, SIN]);
    assert_eq!(
        daemon.why("www.example.org.", TOKYO).as_deref(),
        Some("the first choice is drained; the next answers")
    );
    assert_eq!(daemon.why("www.example.org.", BERLIN), None);

    let told = daemon.run(&["explain", "www.example.org", "--client", TOKYO]).out;
    assert!(told.contains("area  japan: what pools are for its clients counts"), "{told}");
    assert!(
        told.contains("struck out: drained: drained for area japan by ann: bad transit"),
        "{told}"
    );
    let told = daemon.run(&["explain", "www.example.org", "--client", BERLIN]).out;
    assert!(told.contains("pick  fra: what the policy wants"), "{told}");
    let status = daemon.run(&["status"]).out;
    let row =
        status.lines().find(|line| line.contains("for area japan") && line.contains("draining"));
    assert!(row.is_some(), "{status}");

    // It outlives the process, and is taken back for the area that it was for.
    assert!(daemon.stop().success());
    let daemon = site.serve();
    assert_eq!([daemon.www(BERLIN), daemon.www(TOKYO)], [FRA, SIN]);
    let everybody = daemon.run(&["release", "region.fra"]);
    assert_ne!(everybody.code, 0, "there is no order for everybody: {}", everybody.out);
    assert_eq!(daemon.www(TOKYO), SIN);
    let released = daemon.run(&["release", "region.fra", "--area", "japan"]);
    assert_eq!(released.code, 0, "{}", released.err);
    until_so("Tokyo to be back", || daemon.www(TOKYO) == FRA);
}

#[test]
fn what_cannot_be_ordered_for_an_area_is_refused() {
    let site = site();
    let daemon = site.serve();
    let order = ["drain", "region.fra", "--reason", "bad transit"];
    let nowhere = daemon.run(&[&order[..], &["--area", "mars"]].concat());
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.err.contains("mars"), "{}", nowhere.err);
    // Answers are counted by pool: those of the other clients never end.
    let waits = daemon.run(&[&order[..], &["--area", "japan", "--wait"]].concat());
    assert_eq!(waits.code, 2);
    assert!(waits.err.contains("--wait") && waits.err.contains("--area"), "{}", waits.err);
    assert_eq!([daemon.www(BERLIN), daemon.www(TOKYO)], [FRA, FRA], "nothing was done");
}
