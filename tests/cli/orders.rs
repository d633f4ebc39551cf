//! Orders to all nodes: given on one of two over a direct bus, carried out on both, by who may.

use meridian::health::overrides::OverrideState;
use meridian::orders::{Order, What};
use meridian::seal::SigningKey;

use crate::bundle::Fleet;
use crate::support::{BERLIN, Daemon, Ended, run, until, until_so};

const FRA: &str = "198.51.100.10";
const SIN: &str = "198.51.100.20";

impl Fleet {
    /// A command over `region.fra` with `--everywhere`, signed as `ops`.
    fn order(&self, node: &Daemon, command: &str, more: &[&str]) -> Ended {
        let key = self.key();
        let signed = ["--everywhere", "--key", &key, "--as", "ops"];
        node.run(&[&[command, "region.fra"], more, &signed].concat())
    }

    fn serve(&self) -> [Daemon; 2] {
        let nodes = [self.nodes[0].serve(), self.nodes[1].serve()];
        for node in &nodes {
            until_so("the nodes to be connected", || is_connected(node));
        }
        nodes
    }
}

fn is_connected(node: &Daemon) -> bool {
    node.status().bus.is_some_and(|bus| bus.links.iter().all(|link| link.connected))
}

const DRAIN: [&str; 4] = ["--reason", "kernel", "--by", "anna"];

#[test]
fn an_order_reaches_every_node_and_those_who_come_late() {
    let fleet = Fleet::new();
    let [ams, sin] = fleet.serve();
    assert_eq!(sin.www(BERLIN), FRA);
    let given = fleet.order(&ams, "drain", &DRAIN);
    assert_eq!(given.code, 0, "{}{}", given.out, given.err);
    assert!(
        given.out.contains("taken by ams-1") && given.out.contains("by sin-1"),
        "{}",
        given.out
    );
    assert_eq!((ams.www(BERLIN), sin.www(BERLIN)), (SIN.to_owned(), SIN.to_owned()));
    let told = sin.run(&["status"]).out;
    for part in ["anna, key ops, to all nodes from ams-1", "kernel", "orders  1 to all nodes"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(sin.metric("meridian_orders"), Some(1.0));

    // Whoever was away hears of it before it answers anybody.
    assert!(sin.stop().success());
    let released = fleet.order(&ams, "release", &[]);
    assert_eq!(released.code, 1, "{}{}", released.out, released.err);
    assert!(released.out.contains("not heard to have taken it yet: sin-1"), "{}", released.out);
    assert_eq!(ams.www(BERLIN), FRA);
    let sin = fleet.nodes[1].serve();
    assert_eq!(sin.www(BERLIN), FRA);
    assert_eq!(sin.status().overrides, []);

    // And only for what is left of it.
    assert!(sin.stop().success());
    let lasting = [&DRAIN[..], &["--for", "1h"]].concat();
    assert_eq!(fleet.order(&ams, "drain", &lasting).code, 1);
    let sin = fleet.nodes[1].serve();
    assert_eq!(sin.www(BERLIN), SIN);
    let [left] = <[_; 1]>::try_from(sin.status().overrides).expect("one override");
    assert!(left.seconds_left.is_some_and(|left| (3000..=3600).contains(&left)), "{left:?}");

    // Each remembers it alone.
    assert!(ams.stop().success());
    assert!(sin.stop().success());
    let sin = fleet.nodes[1].serve();
    assert_eq!(sin.www(BERLIN), SIN);
    assert_eq!(sin.status().orders.expect("orders").orders.len(), 1);
}

#[test]
fn an_order_ends_everywhere_by_itself() {
    let fleet = Fleet::new();
    let [ams, sin] = fleet.serve();
    let given = fleet.order(&sin, "down", &[&DRAIN[..], &["--for", "3s"]].concat());
    assert_eq!(given.code, 0, "{}{}", given.out, given.err);
    assert_eq!(ams.www(BERLIN), SIN);
    for node in [&ams, &sin] {
        until_so("the order to end", || node.www(BERLIN) == FRA);
        let status = node.status();
        assert_eq!((status.overrides, status.orders.expect("orders").orders), (vec![], vec![]));
    }
}

#[test]
fn nobody_orders_but_who_may() {
    let fleet = Fleet::new();
    let [ams, sin] = fleet.serve();
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other.key").to_string_lossy().into_owned();
    assert_eq!(run(&["key", "generate", &other]).code, 0);
    let order = |key: &str, signer: &str, target: &str| {
        let signed = ["--everywhere", "--key", key, "--as", signer, "--reason", "mine"];
        ams.run(&[&["drain", target][..], &signed].concat())
    };
    let key = fleet.key();
    for (key, signer, target, why) in [
        (&other, "ops", "region.fra", "signature is forged"),
        (&other, "mallory", "region.fra", "signer is not known"),
        (&key, "ops", "region.far", "names no region"),
        (&key, "ops", "fra", "is no target"),
    ] {
        let refused = order(key, signer, target);
        assert_eq!(refused.code, 2, "{}", refused.out);
        assert!(refused.err.contains(why), "{why}: {}", refused.err);
    }
    let unsigned = ams.run(&["drain", "region.fra", "--reason", "x", "--everywhere"]);
    assert!(unsigned.code == 2 && unsigned.err.contains("--key"), "{}", unsigned.err);
    let nothing = fleet.order(&ams, "release", &[]);
    assert!(nothing.err.contains("there is no order to all nodes"), "{}", nothing.err);
    for reason in ["forged", "unknown-signer"] {
        let series = format!("meridian_orders_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(ams.metric(&series), Some(1.0), "{reason}");
    }
    assert!(ams.log().contains("is refused"), "{}", ams.log());
    assert_eq!((ams.www(BERLIN), sin.www(BERLIN)), (FRA.to_owned(), FRA.to_owned()));

    // What was signed once is good once.
    assert_eq!(order(&key, "ops", "region.fra").code, 0);
    assert_eq!(fleet.order(&ams, "release", &[]).code, 0);
    let pem = std::fs::read(&key).expect("a key");
    let key = SigningKey::from_pem(&pem).expect("a key");
    let order = Order {
        number: 1,
        target: "region.fra".parse().expect("a target"),
        area: None,
        what: What::Set(OverrideState::Drain),
        reason: "mine".to_owned(),
        by: String::new(),
        node: "ams-1".to_owned(),
        begins: None,
        seconds: None,
        force: false,
    };
    let answer = ams.post("/v1/orders", &order.seal(&key, "ops").expect("signed"));
    assert!(answer.contains("HTTP/1.1 400") && answer.contains("not newer"), "{answer}");
    assert_eq!(ams.www(BERLIN), FRA);
}

#[test]
fn safety_rules_of_each_node_bind() {
    let fleet = Fleet::new();
    let settings = std::fs::read_to_string(fleet.nodes[1].path().join("meridian.toml"));
    let careful = format!("{}[safety]\nmin_regions_on = 2\n", settings.expect("settings"));
    fleet.nodes[1].write("meridian.toml", careful);
    let [ams, sin] = fleet.serve();
    let given = fleet.order(&ams, "drain", &DRAIN);
    assert_eq!(given.code, 0, "{}{}", given.out, given.err);
    assert_eq!((ams.www(BERLIN), sin.www(BERLIN)), (SIN.to_owned(), FRA.to_owned()));
    let held = until("it to be held", || {
        sin.status().overrides.into_iter().find(|order| order.held.contains("min_regions_on"))
    });
    assert_eq!(held.signer.as_deref(), Some("ops"));
    let forced = fleet.order(&ams, "drain", &[&DRAIN[..], &["--force"]].concat());
    assert_eq!(forced.code, 0, "{}", forced.err);
    assert_eq!(sin.www(BERLIN), SIN);
    assert_eq!(fleet.order(&sin, "release", &["--reason", "done"]).code, 0);
    assert_eq!((ams.www(BERLIN), sin.www(BERLIN)), (FRA.to_owned(), FRA.to_owned()));
}

#[test]
fn a_node_that_does_not_know_the_operator_carries_nothing_out() {
    let fleet = Fleet::new();
    let settings = std::fs::read_to_string(fleet.nodes[1].path().join("meridian.toml"));
    let other = settings.expect("settings").replacen("{ ops =", "{ night-shift =", 1);
    fleet.nodes[1].write("meridian.toml", other);
    let [ams, sin] = fleet.serve();
    let given = fleet.order(&ams, "drain", &DRAIN);
    assert_eq!(given.code, 1, "{}{}", given.out, given.err);
    assert!(given.out.contains("not heard to have taken it yet: sin-1"), "{}", given.out);
    let series = "meridian_orders_refused_total{reason=\"unknown-signer\"}";
    until_so("it to be refused", || sin.metric(series) > Some(0.0));
    assert_eq!((ams.www(BERLIN), sin.www(BERLIN)), (SIN.to_owned(), FRA.to_owned()));
    assert!(sin.run(&["status"]).out.contains("unknown-signer"));
    assert_eq!(sin.log().matches("an order from ams-1 is refused").count(), 1, "told once");
}

#[test]
fn a_node_that_was_cut_off_takes_it_when_it_is_back() {
    let fleet = Fleet::new();
    let [ams, sin] = fleet.serve();
    // It stands still: nothing reaches it, and connections to it break.
    sin.signal("STOP");
    let first = fleet.order(&ams, "drain", &DRAIN);
    assert_eq!(first.code, 1, "{}{}", first.out, first.err);
    until_so("the connection to break", || !is_connected(&ams));
    assert_eq!(fleet.order(&ams, "release", &[]).code, 1);
    assert_eq!(fleet.order(&ams, "down", &DRAIN).code, 1);
    sin.signal("CONT");
    until_so("it to hear of the last order", || sin.www(BERLIN) == SIN);
    let [held] = <[_; 1]>::try_from(sin.status().overrides).expect("one override");
    assert_eq!((&*held.state, held.signer.as_deref()), ("down", Some("ops")));
    until_so("both to know the same", || {
        let nodes = ams.status().orders.expect("orders").nodes;
        nodes.iter().all(|node| node.agrees) && ams.metric("meridian_orders_differ") == Some(0.0)
    });
}
