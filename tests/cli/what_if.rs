//! What would be if a pool had another load, asked of the running daemon: with its verdicts, its
//! loads and what it has counted, and without a change to what it answers.

use serde_json::Value;

use crate::support::{BERLIN, Daemon, Site, until, until_so};

const NAME: &str = "www.example.org";

/// Two pools in one region, equally near for everybody, and one far away; all can be full.
fn site(record: &str) -> Site {
    let site = Site::new();
    let pool = |name: &str, region: &str, host: u8| {
        format!(
            "[pool.{name}]\nregion = \"{region}\"\nmembers = [\"198.51.100.{host}\"]\n\
             [pool.{name}.capacity]\nqueries = 1000\nload = \"push\"\n"
        )
    };
    let pools = [pool("one", "fra", 30), pool("two", "fra", 40), pool("far", "sin", 50)].concat();
    site.write("zones/example.org.toml", format!("{pools}[record.\"www\"]\n{record}"));
    site
}

fn explained(daemon: &Daemon, client: &str, args: &[&str]) -> Value {
    let ended = daemon.run(&[&["explain", NAME, "--client", client, "--json"], args].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    let told: Value = serde_json::from_str(&ended.out).expect("JSON");
    told["steps"][0]["steering"].clone()
}

fn of<'v>(steering: &'v Value, pool: &str) -> &'v Value {
    let candidates = steering["candidates"].as_array().expect("candidates");
    candidates.iter().find(|of| of["pool"] == pool).expect("the pool")
}

fn report(daemon: &Daemon, pool: &str, load: &str) {
    let ended = daemon.run(&["load", pool, load, "--for", "1m"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[test]
fn ties_would_be_broken_by_the_supposed_load_and_the_reported_ones() {
    let site = site(
        "policy = \"nearest\"\nband = \"10%\"\nties = \"load\"\npools = [\"one\", \"two\", \"far\"]\n",
    );
    let daemon = site.serve();
    report(&daemon, "pool.one", "40%");
    report(&daemon, "pool.two", "40%");
    let now = until("loads to be known", || {
        let told = explained(&daemon, BERLIN, &[]);
        (of(&told, "one")["load"] == 0.4 && of(&told, "two")["load"] == 0.4).then_some(told)
    });
    assert_eq!(of(&now, "one")["room"], 0.5);
    let then = explained(&daemon, BERLIN, &["--what-if", "pool.one.load=95%"]);
    assert_eq!(of(&then, "one")["load"], 0.95);
    assert_eq!(of(&then, "two")["load"], 0.4, "what was reported of the other");
    let room = of(&then, "one")["room"].as_f64().expect("a share");
    // As 1/(1 + load) (decision 0047).
    assert!((room - 1.4 / (1.4 + 1.95)).abs() < 0.001, "{then}");
    let told = daemon.run(&["explain", NAME, "--client", BERLIN, "--what-if", "pool.one.load=95%"]);
    let health = "as the daemon sees it, but pool.one supposed at 95 % of what it can take";
    assert!(told.out.contains(health), "{}", told.out);
    assert!(told.out.contains("load 95 %"), "{}", told.out);
    let now = explained(&daemon, BERLIN, &[]);
    assert_eq!(
        (of(&now, "one")["load"].as_f64(), of(&now, "one")["room"].as_f64()),
        (Some(0.4), Some(0.5))
    );
    for wrong in ["pool.nix.load=95%", "region.fra.load=95%", "pool.one.load=much%"] {
        let refused = daemon.run(&["explain", NAME, "--client", BERLIN, "--what-if", wrong]);
        assert_eq!(refused.code, 2, "{wrong}: {}", refused.out);
    }
}

#[test]
fn clients_would_be_sent_on_by_what_the_daemon_has_counted() {
    let site = site("policy = \"failover\"\npools = [\"one\", \"far\"]\n");
    let daemon = site.serve();
    let clients: Vec<String> = (0..64).map(|n| format!("10.1.{n}.0/24")).collect();
    let counted = || {
        clients.iter().for_each(|client| assert_eq!(daemon.www(client), "198.51.100.30"));
        daemon.status().capacity.iter().any(|of| of.pool == "one" && of.rate > 0.0)
    };
    report(&daemon, "pool.one", "40%");
    until_so("queries to be counted", counted);
    let args = ["--what-if", "pool.one.load=190%"];
    let moved = clients.iter().find_map(|client| {
        let told = explained(&daemon, client, &args);
        (told["reason"] == "at-capacity").then_some(told)
    });
    let moved = moved.expect("at more than its target it would not keep all of them");
    assert_eq!(of(&moved, "far")["outcome"], "picked");
    assert_eq!(of(&moved, "one")["outcome"], "passed over");
    assert_eq!(of(&moved, "one")["because"], "at-capacity");
    let stays = clients.iter().any(|of| explained(&daemon, of, &args)["reason"] == "preferred");
    assert!(stays, "nor none");
    // With room to spare nobody is sent on, and nobody is in fact.
    let calm = ["--what-if", "pool.one.load=10%"];
    for client in &clients[..8] {
        assert_eq!(explained(&daemon, client, &calm)["reason"], "preferred");
        assert_eq!(daemon.www(client), "198.51.100.30");
    }
    let standing = daemon.status().capacity.into_iter().find(|of| of.pool == "one");
    assert_eq!(standing.map(|of| (of.state, of.load)), Some(("room".to_owned(), Some(0.4))));
}
