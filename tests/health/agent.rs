//! An agent at its vantage: reports over a bus, probe sets of nodes, and what it shows.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meridian::bus::local::Local;
use meridian::bus::{Bus, Subscription, handler, subject};
use meridian::health::report::{Report, Vote, check_id};
use meridian::health::sample::Reason;
use meridian::probe::agent::desk::Desk;
use meridian::probe::agent::{Agent, Setup, run};
use meridian::probe::ask::{Asker, Roots};
use meridian::probe::monitor::{Check, Kind, Monitor, Tcp};
use meridian::probe::schedule::Limits;
use meridian::probe::set::{Offer, ProbeSet};
use meridian::seal::{self, SigningKey};

use crate::probes::{check, over, web};
use crate::servers::{Server, http};

const LIMITS: Limits = Limits { concurrency: 64, per_host: 64 };

/// A running agent, and the bus it reports on.
struct Vantage {
    agent: Arc<Agent>,
    bus: Arc<Local>,
    reports: Subscription,
    key: meridian::seal::PublicKey,
    task: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Drop for Vantage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A check with times that an operator may ask for.
fn sound(of: Check) -> Check {
    let times = Duration::from_millis(100);
    let monitor = Monitor {
        interval: times,
        fast_interval: times,
        slow_interval: times,
        ..(*of.monitor).clone()
    };
    Check { monitor: Arc::new(monitor), ..of }
}

impl Vantage {
    fn start(set: ProbeSet, node: Option<&SigningKey>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (desk, warnings) = Desk::open(folder.path()).expect("a start");
        assert_eq!(warnings, Vec::<String>::new());
        let key = SigningKey::generate().expect("a key");
        let public = key.public();
        let nodes: HashMap<_, _> =
            node.map(|key| ("node-1".into(), key.public())).into_iter().collect();
        let period = Duration::from_millis(100);
        let setup =
            Setup { name: "fra-1".into(), key: Some(key), nodes, period, limits: LIMITS, seed: 1 };
        let bus = Arc::new(Local::new());
        let reports = bus.subscribe(subject::HEALTH);
        let agent = Arc::new(Agent::default());
        let asker = Asker::new(Roots::Only(Vec::new()), Arc::default());
        let shared = Arc::clone(&bus) as Arc<dyn Bus>;
        let task = tokio::spawn(run(Arc::clone(&agent), asker, setup, set, desk, Some(shared)));
        Self { agent, bus, reports, key: public, task, folder }
    }

    async fn report(&mut self) -> Report {
        let wait = tokio::time::timeout(Duration::from_secs(20), self.reports.next());
        let message = wait.await.expect("a report in time").expect("the bus lives");
        assert_eq!(&*message.subject, "meridian.v1.health.fra-1");
        let key_of = |signer: &str| (signer == "fra-1").then_some(self.key);
        let opened = seal::open(&message.bytes, seal::Kind::Report, key_of).expect("its own");
        Report::decode(opened.payload).expect("a report")
    }

    /// The first report of which `holds` is true.
    async fn until(&mut self, holds: impl Fn(&Report) -> bool) -> Report {
        for _ in 0..300 {
            let report = self.report().await;
            if holds(&report) {
                return report;
            }
        }
        panic!("it never came so far");
    }
}

fn vote(report: &Report, check: &Check) -> Option<Vote> {
    let id = check_id(&check.key);
    report.slots.iter().find(|slot| slot.check == id).map(|slot| slot.belief)
}

#[tokio::test]
async fn an_agent_reports_all_it_knows_each_period() {
    let server = Server::plain(http(200, "")).await;
    let dead = crate::probes::refusing();
    let up = sound(check(over(web()), server.address));
    let down = sound(check(Kind::Tcp(Tcp::default()), dead.1));
    let canary = |address: SocketAddr| Check {
        key: format!("canary@{address}").into(),
        ..sound(check(Kind::Tcp(Tcp::default()), address))
    };
    let set = ProbeSet {
        revision: 0,
        checks: vec![up.clone(), down.clone()],
        canaries: vec![canary(server.address), canary(dead.1)],
    };
    let mut vantage = Vantage::start(set, None);
    let first = vantage.report().await;
    assert_eq!(first.slots.len(), 2, "both from the first report on");
    let report = vantage
        .until(|report| {
            vote(report, &up) == Some(Vote::Up)
                && vote(report, &down) == Some(Vote::Down)
                && report.itself.canaries_ok == 1
        })
        .await;
    assert_eq!(report.boot, first.boot);
    assert!(report.seq > first.seq);
    assert_eq!(report.itself.canaries, 2);
    let slot = report.slots.iter().find(|slot| slot.check == check_id(&down.key)).expect("a slot");
    assert_eq!(slot.reason, Some(Reason::Refused));
    let shown = vantage.agent.metrics();
    let labels = format!("{{monitor=\"m\",target=\"{}\"}}", server.address);
    for line in [
        format!("probe_success{labels} 1"),
        format!("probe_success{{monitor=\"m\",target=\"{}\"}} 0", dead.1),
        format!("probe_http_status_code{labels} 200"),
        format!("probe_ip_protocol{labels} 4"),
        "meridian_agent_canaries_ok 1".to_owned(),
    ] {
        assert!(shown.lines().any(|of| of == line), "{line}:\n{shown}");
    }
    let phase = labels.replace('}', ",phase=\"connect\"}");
    assert!(shown.contains(&format!("probe_http_duration_seconds{phase} 0.")), "{shown}");
    drop(server);
    vantage.until(|report| vote(report, &up) == Some(Vote::Down)).await;
}

#[tokio::test]
async fn a_set_of_a_node_is_taken_and_remembered_and_of_a_stranger_not() {
    let server = Server::plain(http(200, "")).await;
    let of = sound(check(over(web()), server.address));
    let set = |revision| ProbeSet { revision, checks: vec![of.clone()], canaries: Vec::new() };
    let node = SigningKey::generate().expect("a key");
    let stranger = SigningKey::generate().expect("a key");
    let offer = Offer::new(&set(7), &node, "node-1").expect("an offer");
    let forged = Offer::new(&set(9), &stranger, "node-1").expect("an offer");
    assert_eq!(offer.answer(&7u64.to_le_bytes()), Bytes::new(), "nothing newer");
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut vantage = Vantage::start(ProbeSet::default(), Some(&node));
    let count = Arc::clone(&asked);
    let answer = handler(move |asked| {
        // The stranger is quicker.
        let is_first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let answer =
            if is_first { forged.answer(&asked.bytes) } else { offer.answer(&asked.bytes) };
        async move { Some(answer) }
    });
    vantage.bus.serve(subject::PROBESET, answer);
    let report = vantage.until(|report| report.set == 7).await;
    assert_eq!(report.slots.len(), 1);
    assert!(vantage.agent.metrics().contains("meridian_agent_probesets_refused_total 1\n"));
    vantage.until(|report| vote(report, &of) == Some(Vote::Up)).await;
    let (again, _) = Desk::open(vantage.folder.path()).expect("a start");
    let kept = again.kept().expect("a set");
    let nodes = HashMap::from([("node-1".into(), node.public())]);
    assert_eq!(meridian::probe::agent::believed(&kept, &nodes), Ok(set(7)));
    let others = HashMap::from([("node-1".into(), stranger.public())]);
    assert!(meridian::probe::agent::believed(&kept, &others).is_err());
}
