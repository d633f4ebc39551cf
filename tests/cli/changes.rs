//! Canaries, switches, planned drains and safety rules, led from the command line.

use crate::support::{BERLIN, Daemon, Ended, Site, until_so};

const FRA: &str = "198.51.100.10";
const SIN: &str = "198.51.100.20";

/// The site with `www` under these lines, and these in meridian.toml.
fn site(record: &str, settings: &str) -> Site {
    let site = Site::new();
    let policy = site.policy("failover");
    let pools = policy.split("[record.").next().expect("pools").to_owned();
    site.write("zones/example.org.toml", format!("{pools}[record.\"www\"]\n{record}"));
    let before = std::fs::read_to_string(site.path().join("meridian.toml")).expect("settings");
    site.write("meridian.toml", format!("{before}{settings}"));
    site
}

fn done(ended: &Ended) -> &str {
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    &ended.out
}

fn all_serve(daemon: &Daemon) {
    until_so("the checks to conclude", || {
        let families = daemon.status().pools.into_iter().flat_map(|pool| pool.families);
        families.into_iter().all(|family| family.verdict == "up")
    });
}

const SWITCH: &str = "policy = \"failover\"\nttl = \"2s\"\n\
                      switch = { blue = [\"fra\"], green = [\"sin\"] }\n";

#[test]
fn a_switch_turns_and_goes_back_and_outlives_a_restart() {
    let site = site(SWITCH, "");
    let daemon = site.serve();
    assert_eq!(daemon.www(BERLIN), FRA);
    let back = daemon.run(&["switch", "www.example.org", "--back", "--reason", "slip"]);
    assert_eq!(back.code, 2);
    assert!(back.err.contains("never switched"), "{}", back.err);
    let green = ["switch", "www.example.org", "green", "--reason", "release 7", "--by", "ann"];
    let turned = daemon.run(&green);
    let told = done(&turned);
    assert!(told.contains("green") && told.contains("ann") && told.contains("100 %"), "{told}");
    assert_eq!(daemon.www(BERLIN), SIN);
    let share = "meridian_change_share{record=\"www.example.org.\",kind=\"switch\"}";
    assert_eq!(daemon.metric(share), Some(1.0));
    assert!(daemon.stop().success());
    let daemon = site.serve();
    assert_eq!(daemon.www(BERLIN), SIN, "what was switched stays switched");
    let status = daemon.run(&["status"]);
    assert!(status.out.contains("release 7"), "{}", status.out);
    done(&daemon.run(&["switch", "www.example.org", "--back", "--reason", "errors"]));
    assert_eq!(daemon.www(BERLIN), FRA);
}

#[test]
fn what_was_switched_is_written_down_at_once() {
    let site = site(SWITCH, "");
    let daemon = site.serve();
    done(&daemon.run(&["switch", "www.example.org", "green", "--reason", "release 7"]));
    let kept = site.path().join("state/changes.toml");
    until_so("the file", || {
        std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("active = \"green\""))
    });
    daemon.signal("KILL");
    drop(daemon);
    assert_eq!(site.serve().www(BERLIN), SIN);
}

#[test]
fn a_canary_is_led_from_the_command_line() {
    let record = "policy = \"failover\"\npools = [\"fra\", \"sin\"]\n\
                  canary = { pool = \"sin\", steps = [\"40%\", \"100%\"], every = \"1d\" }\n";
    let site = site(record, "");
    let daemon = site.serve();
    all_serve(&daemon);
    let order =
        |order: &str| daemon.run(&["canary", order, "www.example.org", "--reason", "release 7"]);
    let share = "meridian_change_share{record=\"www.example.org.\",kind=\"canary\"}";
    let pause = order("pause");
    assert!(pause.err.contains("the canary is waiting: it cannot pause"), "{}", pause.err);
    assert!(done(&order("start")).contains("running at step 1 of 2"));
    until_so("the first step", || daemon.metric(share) == Some(0.4));
    let status = daemon.run(&["status"]);
    assert!(status.out.contains("40 %") && status.out.contains("  in "), "{}", status.out);
    // Its pool falls ill, and everybody goes back.
    site.sin.set_healthy(false);
    until_so("the abort", || daemon.metric(share) == Some(0.0));
    assert!(daemon.log().contains("aborted, all clients go back"), "{}", daemon.log());
    site.sin.set_healthy(true);
    all_serve(&daemon);
    assert!(done(&order("finish")).contains("done"));
    assert_eq!(daemon.www(BERLIN), SIN);
    let phase = "meridian_canary_phase{record=\"www.example.org.\"}";
    assert_eq!(daemon.metric(phase), Some(4.0));
    let explained = daemon.run(&["explain", "www.example.org", "--client", BERLIN]);
    assert!(done(&explained).contains("on the new side"), "{}", explained.out);
    let unknown = daemon.run(&["canary", "start", "nothing.example.org", "--reason", "x"]);
    assert!(unknown.err.contains("has no canary"), "{}", unknown.err);
}

const PLAIN: &str = "policy = \"failover\"\npools = [\"fra\", \"sin\"]\nttl = \"2s\"\n";

#[test]
fn a_drain_is_waited_for_until_its_last_answer_has_expired() {
    let site = site(PLAIN, "");
    let daemon = site.serve();
    let drained = daemon.run(&["drain", "region.fra", "--reason", "kernel", "--wait"]);
    let told = done(&drained);
    let last = told.lines().last().expect("a line");
    assert!(last.starts_with("region.fra: drained at ") && last.ends_with(" UTC"), "{told}");
    let status = daemon.run(&["status"]);
    assert!(status.out.contains("fra@example.org.  fra"), "{}", status.out);
    let member = daemon.run(&["drain", &format!("member.{SIN}"), "--reason", "x", "--wait"]);
    assert!(member.err.contains("answers are counted by pool"), "{}", member.err);
}

#[test]
fn a_drain_can_be_planned_and_taken_back() {
    let site = site(PLAIN, "");
    let daemon = site.serve();
    let at = ["--at", "2030-12-22T05:00Z", "--for", "1h"];
    let plan = daemon.run(&[&["drain", "region.fra", "--reason", "kernel"], &at[..]].concat());
    let told = done(&plan);
    assert!(told.contains("begins 2030-12-22T05:00:00Z, for 1 h 0 min"), "{told}");
    assert_eq!(daemon.www(BERLIN), FRA);
    assert_eq!(daemon.metric("meridian_overrides_planned"), Some(1.0));
    assert!(daemon.stop().success());
    let daemon = site.serve();
    let status = daemon.run(&["status"]);
    assert!(status.out.contains("begins 2030-12-22"), "{}", status.out);
    assert!(done(&daemon.run(&["release", "region.fra"])).contains("no overrides in force"));
    // One whose time is near begins by itself.
    let soon = meridian::daemon::wall() + 2;
    let soon = meridian::health::persist::rfc3339(soon).expect("a time");
    done(&daemon.run(&["drain", "region.fra", "--reason", "kernel", "--at", &soon]));
    until_so("the drain to begin", || daemon.www(BERLIN) == SIN);
}

#[test]
fn the_safety_rules_refuse_a_command_that_is_not_forced() {
    let site = site(PLAIN, "[safety]\nmin_regions_on = 2\n");
    let daemon = site.serve();
    let drain = ["drain", "region.fra", "--reason", "kernel"];
    let refused = daemon.run(&drain);
    assert_eq!(refused.code, 2);
    let told = "1 of 2 regions would stay on, and safety.min_regions_on is 2 (--force";
    assert!(refused.err.contains(told), "{}", refused.err);
    assert_eq!(daemon.www(BERLIN), FRA);
    assert_eq!(daemon.metric("meridian_safety_refused_total{rule=\"regions\"}"), Some(1.0));
    let forced = daemon.run(&[&drain[..], &["--force"]].concat());
    assert!(done(&forced).contains("kernel (forced past the safety rules)"), "{}", forced.out);
    assert_eq!(daemon.www(BERLIN), SIN);
}

#[test]
fn clients_come_back_when_an_operator_says_so() {
    let site = site(&format!("{PLAIN}failback = \"manual\"\n"), "");
    let daemon = site.serve();
    all_serve(&daemon);
    let nobody = daemon.run(&["resume", "pool.fra", "--reason", "mended"]);
    assert!(nobody.err.contains("no pool of pool.fra waits"), "{}", nobody.err);
    site.fra.set_healthy(false);
    until_so("fra to be out", || daemon.www(BERLIN) == SIN);
    site.fra.set_healthy(true);
    all_serve(&daemon);
    assert_eq!(daemon.www(BERLIN), SIN, "it waits");
    assert!(daemon.stop().success());
    let daemon = site.serve();
    all_serve(&daemon);
    assert_eq!(daemon.www(BERLIN), SIN, "it waits over a restart, too");
    let resumed = daemon.run(&["resume", "region.fra", "--reason", "mended"]);
    assert_eq!(done(&resumed), "clients may come back to fra@example.org.\n");
    until_so("clients to be back", || daemon.www(BERLIN) == FRA);
}

#[test]
fn clients_on_their_way_back_go_on_after_a_restart_however_it_came() {
    let site = site(&format!("{PLAIN}failback = {{ after = \"0s\", ramp = \"1h\" }}\n"), "");
    let daemon = site.serve();
    all_serve(&daemon);
    site.fra.set_healthy(false);
    until_so("fra to be out", || daemon.www(BERLIN) == SIN);
    site.fra.set_healthy(true);
    all_serve(&daemon);
    let left = |daemon: &Daemon| daemon.status().returning.first().and_then(|of| of.seconds_left);
    until_so("clients to return", || left(&daemon).is_some_and(|left| left < 3_598));
    let before = left(&daemon).expect("they return");
    assert!(daemon.stop().success());
    let daemon = site.serve();
    let after = left(&daemon).expect("they still return, and are not all there");
    assert!(after <= before && after > before - 600, "{before} s, then {after} s");
    // Without a chance to write: what was written when the return began, or since.
    daemon.signal("KILL");
    drop(daemon);
    let daemon = site.serve();
    let after = left(&daemon).expect("they still return");
    assert!(after <= before && after > before - 600, "{before} s, then {after} s");
}
