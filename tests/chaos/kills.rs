//! Each kind of part is killed, cut off or stopped in turn; answers stay right throughout.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::crowd::Crowd;
use crate::scene::{Carrier, NODES, REGIONS, SERVERS, Scene, VANTAGES, ZONE};
use crate::verdict::{Event, Regions, judge};

/// How long a part stays dead, and how long it is watched after its return.
const AWAY: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(4);
/// The black hole that a stopped server makes: longer than its clients take to notice.
const STOPPED: Duration = Duration::from_secs(15);

#[test]
fn parts_of_the_health_plane_die_and_no_answer_changes() {
    let mut scene = Scene::world(Carrier::Nats);
    println!("\nkill -9, one after the other, each back after {} s:", AWAY.as_secs());
    kill_vantages(&mut scene);
    for (server, (name, _)) in SERVERS.iter().enumerate() {
        quiet(&mut scene, &format!("NATS server {name}"), |scene| {
            scene.kill_server(server);
            std::thread::sleep(AWAY);
            scene.start_server(server);
        });
    }
    kill_nodes(&mut scene);
}

#[test]
fn without_brokers_parts_die_and_no_answer_changes() {
    let mut scene = Scene::world(Carrier::Direct);
    println!("\ndirect bus, kill -9, each back after {} s:", AWAY.as_secs());
    kill_vantages(&mut scene);
    kill_nodes(&mut scene);
    println!("links cut for {} s:", AWAY.as_secs());
    let addresses = VANTAGES.map(|vantage| vantage.1);
    quiet(&mut scene, "four of five vantages are cut off the nodes", |scene| {
        let cut = scene.cut(&addresses[..4], &NODES.map(|node| node.1));
        std::thread::sleep(AWAY);
        scene.mend(cut);
    });
    quiet(&mut scene, "node dns-3 is cut off vantages and nodes", |scene| {
        let others = [&addresses[..], &[NODES[0].1, NODES[1].1]].concat();
        let cut = scene.cut(&[NODES[2].1], &others);
        std::thread::sleep(AWAY);
        scene.mend(cut);
    });
    println!("regions die and come back:");
    die_and_return(&mut scene);
    all_at_once(&mut scene);
}

/// Each vantage in turn.
fn kill_vantages(scene: &mut Scene) {
    for (vantage, (name, ..)) in VANTAGES.iter().enumerate() {
        quiet(scene, &format!("vantage {name}"), |scene| {
            scene.kill_vantage(vantage);
            std::thread::sleep(AWAY);
            scene.start_vantage(vantage);
        });
    }
}

/// Each node in turn.
fn kill_nodes(scene: &mut Scene) {
    for (node, (name, _)) in NODES.iter().enumerate() {
        quiet(scene, &format!("node {name}"), |scene| {
            scene.kill_node(node);
            std::thread::sleep(AWAY);
            scene.start_node(node);
        });
    }
}

#[test]
fn links_are_cut_and_no_living_region_is_given_up() {
    let mut scene = Scene::world(Carrier::Nats);
    println!("\nlinks cut for {} s:", AWAY.as_secs());
    let eu = [VANTAGES[0].1, VANTAGES[1].1];
    quiet(&mut scene, "Europe's vantages cannot reach iad", |scene| {
        let cut = scene.cut(&eu, &[REGIONS[1].1]);
        std::thread::sleep(AWAY);
        scene.mend(cut);
    });
    quiet(&mut scene, "Asia's vantage reaches no region", |scene| {
        let cut = scene.cut(&[VANTAGES[4].1], &REGIONS.map(|region| region.1));
        std::thread::sleep(AWAY);
        scene.mend(cut);
    });
    quiet(&mut scene, "four of five vantages are cut off the bus", |scene| {
        let four: Vec<&str> = VANTAGES[..4].iter().map(|vantage| vantage.1).collect();
        let cut = scene.cut(&four, &SERVERS.map(|server| server.1));
        std::thread::sleep(AWAY);
        scene.mend(cut);
    });
    quiet(&mut scene, "node dns-3 is cut off the bus", |scene| {
        let cut = scene.cut(&[NODES[2].1], &SERVERS.map(|server| server.1));
        std::thread::sleep(AWAY);
        scene.mend(cut);
    });
    quiet(&mut scene, "a NATS server is stopped (SIGSTOP)", |scene| {
        scene.signal_server(0, Signal::STOP);
        std::thread::sleep(STOPPED);
        scene.signal_server(0, Signal::CONT);
    });
}

#[test]
fn regions_die_while_parts_are_missing_and_their_clients_move() {
    let mut scene = Scene::world(Carrier::Nats);
    println!("\nregions die and come back:");
    die_and_return(&mut scene);
    println!("while two vantages and a NATS server are dead:");
    for vantage in [0, 2] {
        scene.kill_vantage(vantage);
    }
    scene.kill_server(1);
    std::thread::sleep(AWAY);
    all_at_once(&mut scene);
}

/// Each region in turn, and one by the tier behind its first: that one accepts connections on.
fn die_and_return(scene: &mut Scene) {
    for (region, (name, ..)) in REGIONS.iter().enumerate() {
        moved(scene, &format!("{name} dies"), &[], &[name], |scene| scene.kill_region(region));
        moved(scene, &format!("{name} is back"), &[name], &[], |scene| {
            scene.start_region(region);
        });
    }
    moved(scene, "fra's nginx dies", &[], &["fra"], |scene| scene.kill_nginx(0));
    moved(scene, "fra's nginx is back", &["fra"], &[], |scene| scene.start_nginx(0));
}

/// Nodes, vantages and brokers end while a region is dead, and start together.
fn all_at_once(scene: &mut Scene) {
    moved(scene, "fra dies", &[], &["fra"], |scene| scene.kill_region(0));
    println!("everything is killed at once while fra is dead, and started at once:");
    scene.kill_everything();
    scene.start_everything();
    // Clients ask from the first moment on; until a node answers there is nothing to judge.
    let watch = Crowd::start(&scene.clients, &format!("www.{ZONE}"));
    std::thread::sleep(AWAY * 2);
    let rounds = watch.finish();
    let from = rounds.iter().position(|round| round.said.iter().any(|said| said.is_something()));
    let event =
        Event { at: rounds[0].at, budget: Duration::ZERO, before: &["fra"], after: &["fra"] };
    judge(&rounds[from.expect("somebody answers")..], event).report("all at once", event.budget);
}

/// Nothing that clients see may change.
fn quiet(scene: &mut Scene, phase: &str, act: impl FnOnce(&mut Scene)) {
    let crowd = Crowd::start(&scene.clients, &format!("www.{ZONE}"));
    let at = Instant::now();
    act(scene);
    std::thread::sleep(BACK);
    let event = Event { at, budget: Duration::ZERO, before: &[], after: &[] };
    judge(&crowd.finish(), event).report(phase, Duration::ZERO);
    scene.wait_whole();
}

/// Clients move from the regions that live before to those that live after, within the budget.
fn moved(
    scene: &mut Scene,
    phase: &str,
    before: Regions<'_>,
    after: Regions<'_>,
    act: impl FnOnce(&mut Scene),
) {
    let crowd = Crowd::start(&scene.clients, &format!("www.{ZONE}"));
    std::thread::sleep(Duration::from_millis(500));
    let at = Instant::now();
    act(scene);
    let budget = scene.budget();
    std::thread::sleep(budget + BACK);
    let event = Event { at, budget, before, after };
    judge(&crowd.finish(), event).report(phase, budget);
}
