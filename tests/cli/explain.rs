//! `meridian explain` and `check`: from files and from the daemon, in words and as data.

use crate::support::{BERLIN, Site, run, until_so};

const NAME: &str = "www.example.org";

#[test]
fn offline_the_whole_chain_is_told() {
    let told = Site::new().run("explain", &[NAME, "--client", BERLIN]);
    let expected = "\
www.example.org. A for a client at 192.0.2.0/24

     place  Berlin, DE, EU, at 52.52, 13.40 (all of 192.0.2.0/24; says networks.toml, entry 1)
    health  everything supposed up
      zone  example.org.
     found  a steered name
    record  www.example.org., TTL 30 s
      rule  1 of 1, for every client: nearest
candidates  in this order
              1. fra  region fra  423 km   up  picked
              2. sin  region sin  9928 km  up  not needed
      pick  fra: what the policy wants
";
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert!(told.out.starts_with(expected), "{}", told.out);
    assert!(
        told.out.contains("            www.example.org. 30 IN A 198.51.100.10\n"),
        "{}",
        told.out
    );
}

#[test]
fn offline_a_region_may_be_supposed_down() {
    let site = Site::new();
    let told = site.run("explain", &[NAME, "--client", BERLIN, "--down", "region.fra"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("everything supposed up, but region.fra supposed down"));
    assert!(told.out.contains("struck out: unhealthy: supposed down"), "{}", told.out);
    assert!(told.out.contains("pick  sin: the first choice is unhealthy"), "{}", told.out);
    let both = ["--down", "pool.fra", "--down", "pool.sin@example.org."];
    let told = site.run("explain", &[&[NAME, "--client", BERLIN], &both[..]].concat());
    assert!(told.out.contains("nothing is left: the last resort"), "{}", told.out);
    let nobody = site.run("explain", &[NAME, "--client", BERLIN, "--down", "region.nrt"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("'region.nrt' names no region, pool or member"), "{}", nobody.err);
}

#[test]
fn offline_anything_may_be_supposed() {
    let site = Site::new();
    let told = site.run(
        "explain",
        &[NAME, "--client", BERLIN, "--what-if", "region.fra=drain,member.198.51.100.20=down"],
    );
    assert_eq!(told.code, 0, "{}", told.err);
    let supposed = "but region.fra supposed drained, member.198.51.100.20 supposed down";
    assert!(told.out.contains(supposed), "{}", told.out);
    assert!(told.out.contains("nothing is left: the last resort"), "{}", told.out);
    let wrong = site.run("explain", &[NAME, "--client", BERLIN, "--what-if", "region.fra"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("'region.fra' supposes nothing: write"), "{}", wrong.err);
}

#[test]
fn the_same_comes_as_data() {
    let told = Site::new().run("explain", &[NAME, "--client", BERLIN, "--json", "--type", "AAAA"]);
    let data: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(data["qtype"], "AAAA");
    assert_eq!(data["place"]["city"], "Berlin");
    assert_eq!(data["rcode"], "NOERROR");
}

#[test]
fn what_is_no_question_is_no_run() {
    let site = Site::new();
    assert_eq!(site.run("explain", &["a..b", "--client", BERLIN]).code, 2);
    assert_eq!(site.run("explain", &[NAME, "--client", "nobody"]).code, 2);
    assert_eq!(site.run("explain", &[NAME, "--client", BERLIN, "--type", "BOGUS"]).code, 2);
    assert_eq!(run(&["explain", NAME]).code, 2);
}

#[test]
fn the_daemon_explains_with_its_own_health() {
    let site = Site::new();
    let daemon = site.serve();
    site.fra.set_healthy(false);
    until_so("fra to be out", || daemon.www(BERLIN) == "198.51.100.20");
    let told = daemon.run(&["explain", NAME, "--client", BERLIN]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("health  as the daemon sees it\n"), "{}", told.out);
    assert!(told.out.contains("failures: status 503"), "{}", told.out);
    assert!(told.out.contains("www.example.org. 30 IN A 198.51.100.20"), "{}", told.out);
    let told = daemon.run(&["explain", NAME, "--client", BERLIN, "--down", "region.sin"]);
    assert!(told.out.contains("the last resort"), "{}", told.out);
    let back = ["explain", NAME, "--client", BERLIN, "--what-if", "region.fra=up"];
    let told = daemon.run(&back);
    assert!(told.out.contains("pick  fra: what the policy wants"), "{}", told.out);
    let wrong = daemon.run(&["explain", NAME, "--client", BERLIN, "--down", "everything"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.starts_with("error: 'everything' cannot be supposed down"), "{}", wrong.err);
    assert_eq!(daemon.get("/v1/explain?name=a..b&client=192.0.2.1").0, 400);
    assert_eq!(daemon.get("/v1/explain?name=www.example.org").0, 400);
}

#[test]
fn check_tells_fine_from_faulty_from_absent() {
    let site = Site::new();
    let fine = site.run("check", &[]);
    assert_eq!(fine.code, 0, "{}{}", fine.out, fine.err);
    assert!(fine.out.contains("1 zones, 1 steered records, 2 pools in 2 regions, 2 checks"));
    assert!(fine.out.contains("www.example.org.  ttl 30s, failover within "), "{}", fine.out);
    let losing = "  losing any one region: every client is answered; worst: without ";
    assert!(fine.out.contains(losing) && fine.out.contains(" % of clients move, farthest +"));
    let quick = site.run("check", &["--quick"]);
    assert_eq!((quick.code, quick.out.contains("losing any one region")), (0, false));
    site.write("geo/city.mmdb", "this is no database");
    let broken = site.run("check", &[]);
    assert_eq!(broken.code, 1);
    assert!(broken.err.contains("city.mmdb"), "{}", broken.err);
    std::fs::remove_file(site.path().join("geo/city.mmdb")).expect("removes");
    site.write("zones/example.org.toml", site.policy("nearset"));
    let faulty = site.run("check", &[]);
    assert_eq!(faulty.code, 1);
    assert!(faulty.err.contains("zones/example.org.toml:"), "{}", faulty.err);
    assert!(faulty.err.contains("nearest"), "{}", faulty.err);
    let absent = run(&["check", "--config", "/nonexistent/meridian"]);
    assert_eq!((absent.code, &*absent.err), (2, "error: there is no /nonexistent/meridian\n"));
}

#[test]
fn colours_come_only_when_asked_for() {
    let site = Site::new();
    assert!(!site.run("check", &[]).out.contains('\u{1b}'));
    assert!(site.run("check", &["--color", "always"]).out.contains('\u{1b}'));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    use std::process::Stdio;
    let site = Site::new();
    let config = site.path().to_str().expect("UTF-8");
    let mut child = crate::support::binary()
        .args(["explain", NAME, "--client", BERLIN, "--config", config])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let ended = crate::support::ended(child.wait_with_output().expect("ends"));
    assert_eq!((ended.code, &*ended.err), (0, ""));
}
