//! From a region's death to the last node's changed answer, with gdnsd beside.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::dns::Asker;
use crate::gdnsd;
use crate::lab::until;
use crate::members::{Death, Member};
use crate::scene::{NODES, Profile, Scene, ZONE};

/// Runs of each kind.
const RUNS: usize = 20;
/// Time between two questions to one server.
const PACE: Duration = Duration::from_millis(5);
/// gdnsd is given this long to notice.
const GDNSD_PATIENCE: Duration = Duration::from_secs(10);
const GDNSD: &str = "198.51.100.90";

#[test]
fn a_dead_region_is_out_of_every_answer_in_time_by_default() {
    measure(Profile::Default);
}

#[test]
fn a_dead_region_is_out_of_every_answer_in_time_with_the_fast_profile() {
    measure(Profile::Fast);
}

fn measure(profile: Profile) {
    let spare = Ipv4Addr::new(192, 0, 2, 250);
    let addresses: Vec<Ipv4Addr> =
        (0..2 * RUNS).map(|number| Ipv4Addr::new(192, 0, 2, 100 + number as u8)).collect();
    let mut scene = Scene::failover(profile, &addresses, spare);
    let mut members: Vec<Member> = addresses
        .iter()
        .enumerate()
        .map(|(number, address)| Member::start(&scene.lab, &format!("m{number}"), *address))
        .collect();
    let _spare = Member::start(&scene.lab, "spare", spare);
    let machine = scene.lab.machine("gdnsd", &[GDNSD.parse().unwrap()]);
    let _gdnsd = gdnsd::start(&machine, GDNSD.parse().unwrap(), &addresses, spare);
    let servers: Vec<&str> = NODES.iter().map(|node| node.1).chain([GDNSD]).collect();
    let askers: Vec<Asker> = servers.iter().map(|server| scene.asker(server)).collect();
    scene.wait_up();
    println!("\n{} profile, from death to another answer:", profile.name());
    for (from, how) in [(0, Death::Refused), (RUNS, Death::BlackHole)] {
        let mut nodes = Vec::new();
        let mut peer = Vec::new();
        for number in from..from + RUNS {
            let name = format!("r{number}.{ZONE}");
            let was = IpAddr::V4(addresses[number]);
            for asker in &askers {
                until(crate::lab::PATIENCE, &format!("{name} leads to {was}"), || {
                    asker.ask(&name).and_then(|reply| reply.address()) == Some(was)
                });
            }
            let died = Instant::now();
            members[number].die(how);
            let changed = changes(&askers, &name, was, died);
            nodes.push(changed[..NODES.len()].iter().copied().max().unwrap());
            peer.push(changed[NODES.len()]);
        }
        let bound = profile.bound(how);
        println!("  {how:?}: last node {}; bound {:.1} s", show(&nodes), bound.as_secs_f64());
        println!("  {how:?}: gdnsd     {}", show(&peer));
        let worst = nodes.iter().max().unwrap();
        assert!(*worst <= bound, "{how:?}: {worst:.2?} is longer than {bound:.2?}");
    }
}

/// When each server first answered something else than `was`, from `died` on.
fn changes(askers: &[Asker], name: &str, was: IpAddr, died: Instant) -> Vec<Duration> {
    let mut changed: Vec<Option<Duration>> = vec![None; askers.len()];
    while changed.contains(&None) {
        for (asker, changed) in askers.iter().zip(&mut changed) {
            if changed.is_none()
                && asker.ask(name).and_then(|reply| reply.address()).is_some_and(|now| now != was)
            {
                *changed = Some(died.elapsed());
            }
        }
        assert!(died.elapsed() < GDNSD_PATIENCE * 2, "{name} still leads to {was}: {changed:?}");
        std::thread::sleep(PACE);
    }
    changed.into_iter().flatten().collect()
}

fn show(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    let [least, middle, most] = [0, times.len() / 2, times.len() - 1].map(|at| times[at]);
    format!(
        "{:.2} s least, {:.2} s median, {:.2} s worst of {}",
        least.as_secs_f64(),
        middle.as_secs_f64(),
        most.as_secs_f64(),
        times.len()
    )
}
