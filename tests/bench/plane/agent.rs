//! `meridian probe` over very many members.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use meridian::bus::direct::{Direct, Setup};
use meridian::bus::{Admitted, Bus, subject};
use meridian::health::report::{Report, Vote};
use meridian::seal::{self, PublicKey, SigningKey};

use crate::party::Authority;
use crate::process::{PATIENCE, Running};
use crate::targets::{Kind, Targets};

pub(crate) const MEMBERS: usize = 10_000;
const INTERVAL: f64 = 2.0;
/// Pauses have a tenth of jitter to both sides, which the mean does not show.
const ENOUGH: f64 = 0.98;

/// What is heard of the agent.
#[derive(Debug, Default)]
struct Heard {
    octets: usize,
    reports: usize,
    ups: usize,
    lag_ms: u16,
}

/// Watches an agent for so long; true when it keeps up.
pub(crate) fn run(kind: Kind, watched: Duration) -> bool {
    let targets = Targets::start(kind, MEMBERS);
    let authority = Authority::new();
    let key = SigningKey::generate().expect("a key");
    let heard = Arc::new(Mutex::new(Heard::default()));
    let node = listen(&authority, key.public(), Arc::clone(&heard));
    let folder = tempfile::tempdir().expect("a folder");
    authority.write("agent.vantage.meridian", folder.path());
    fs::write(folder.path().join("agent.pem"), key.to_pem().expect("PEM")).expect("written");
    let config = folder.path().join("probe.toml");
    fs::write(&config, settings(kind, node, &targets.addresses)).expect("written");

    let agent = Running::start("probe", &config);
    let begun = Instant::now();
    while heard.lock().expect("whole").ups < MEMBERS {
        assert!(begun.elapsed() < PATIENCE, "{:?}\n{}", heard.lock(), agent.log());
        thread::sleep(Duration::from_millis(100));
    }
    // The first probes come thick, so that nobody waits; a whole interval later they are spread.
    thread::sleep(Duration::from_secs_f64(2.0 * INTERVAL));
    *heard.lock().expect("whole") = Heard::default();
    let (before, asked) = (agent.taken(), targets.asked());
    thread::sleep(watched);
    let (after, asked) = (agent.taken(), targets.asked() - asked);
    let heard = heard.lock().expect("whole");
    let (seconds, cpu) = after.since(&before);
    let (rate, wanted) = (asked as f64 / seconds, MEMBERS as f64 / INTERVAL);
    println!(
        "{:6} {rate:>9.0} {:>9.3} {:>9.1} {:>9.1} {:>9} {:>12.1} {:>9.1}",
        kind.word(),
        rate / wanted,
        100.0 * cpu / seconds,
        1e6 * cpu / asked as f64,
        heard.lag_ms,
        heard.octets as f64 / 1024.0 / heard.reports.max(1) as f64,
        agent.resident(),
    );
    let all_up = heard.ups == MEMBERS;
    if !all_up {
        println!("       {} of {MEMBERS} members are up in the last report", heard.ups);
    }
    rate >= ENOUGH * wanted && all_up && heard.reports > 0
}

/// A node that takes in what the agent says; where it listens.
fn listen(authority: &Authority, key: PublicKey, heard: Arc<Mutex<Heard>>) -> SocketAddr {
    let identity = authority.identity("n1.node.meridian");
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
            let setup = Setup { listen, nodes: BTreeMap::new() };
            let node = Direct::start(&setup, &identity).await.expect("a node");
            let vantages = ["agent".into()].into_iter().collect();
            node.admit(Admitted { vantages, ..Admitted::default() });
            let mut reports = node.subscribe(subject::HEALTH);
            tell.send(node.addresses()[0]).expect("somebody waits");
            loop {
                let Some(message) = reports.next().await else { return };
                let key_of = |_: &str| Some(key);
                let opened = seal::open(&message.bytes, seal::Kind::Report, key_of);
                let report = Report::decode(opened.expect("sealed").payload).expect("a report");
                let mut heard = heard.lock().expect("whole");
                heard.octets += message.bytes.len();
                heard.reports += 1;
                heard.ups = report.slots.iter().filter(|slot| slot.belief == Vote::Up).count();
                heard.lag_ms = heard.lag_ms.max(report.itself.lag_ms);
            }
        });
    });
    told.recv().expect("it listens")
}

fn settings(kind: Kind, node: SocketAddr, targets: &[SocketAddr]) -> String {
    let mut text = format!(
        "name = \"agent\"\nkey = \"agent.pem\"\nmetrics = \"off\"\n\
         [bus]\nkind = \"direct\"\nnodes = {{ n1 = \"{node}\" }}\n\
         certificate = \"bus.crt\"\nkey = \"bus.key\"\nauthority = \"ca.crt\"\n\
         [monitor.m]\ntype = \"{}\"\ninterval = \"{INTERVAL}s\"\nport = {}\n\
         [[check]]\nmonitor = \"m\"\ntarget = [",
        kind.word(),
        targets[0].port(),
    );
    for target in targets {
        let _ = write!(text, "\"{}\",", target.ip());
    }
    text + "]\n"
}
