//! Takes in what vantages report, and has the council sit over it.
//!
//! One task: reports come over the bus, five times a second everything known is judged anew, and
//! what follows goes to the keeper and to the table that queries read. Where this node's own
//! prober is a vantage, it is heard the same way. Without vantages the task waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Daemon;
use crate::bus::{Message, subject};
use crate::health::council::Council;
use crate::health::intake::Refusing;
use crate::health::quorum::Suspicion;
use crate::region::{LoadSource, Pool, PoolId};
use crate::steer::capacity::load::Report;

/// How often the council sits.
const TICK: Duration = Duration::from_millis(200);
/// How often the newest report of each vantage is noted for the next start.
pub(super) const NOTE: Duration = Duration::from_secs(10);

/// Runs until the daemon ends.
pub(super) async fn run(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    let mut reports = daemon.attachment().bus().subscribe(subject::HEALTH);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    let mut own = Own { boot: super::wall(), seq: 0, lag: Duration::ZERO };
    loop {
        tokio::select! {
            message = reports.next() => match message {
                Some(message) => take(&daemon, &message),
                // The bus ends with the process only.
                None => return,
            },
            due = ticks.tick() => {
                own.lag = due.elapsed();
                sit(&daemon, &mut own, &mut told);
                if told.is_time(daemon.now()) {
                    hear_loads(&daemon);
                }
            }
            () = ended(&mut ends) => return,
        }
    }
}

/// Waits for the end, and holds nothing of the channel after it.
async fn ended(ends: &mut watch::Receiver<bool>) {
    let _ = ends.wait_for(|ending| *ending).await;
}

/// How often the node's own prober has been heard.
struct Own {
    boot: u64,
    seq: u64,
    /// By how much the last sitting was late: then probes are, too.
    lag: Duration,
}

/// How long it is believed what a member said of its load: a few intervals of its probes.
const LOAD_LIFETIME: Duration = Duration::from_secs(10);
/// How often pools are asked for what their members said.
const LOADS: Duration = Duration::from_secs(1);

/// Hands on what members say of their load to where shares are decided.
fn hear_loads(daemon: &Daemon) {
    let snapshot = daemon.snapshot();
    let is_probed = |pool: &Pool| {
        pool.capacity.as_ref().is_some_and(|capacity| capacity.load == Some(LoadSource::Probe))
    };
    if !snapshot.pools.iter().any(is_probed) {
        return;
    }
    let (known, at) = (daemon.health().known(), daemon.now());
    let pools = snapshot.pools.iter().enumerate().filter(|(_, pool)| is_probed(pool));
    let mut room = daemon.room();
    for (place, pool) in pools {
        let (load, errors) = known.load_of(PoolId(place as u32), at);
        if load.is_some() || errors.is_some() {
            room.probed(pool, Report { load, errors, at, lifetime: LOAD_LIFETIME });
        }
    }
}

/// What the log has been told, so that it is told of changes only.
#[derive(Default)]
struct Told {
    held: bool,
    suspects: HashMap<Box<str>, String>,
    silent: HashMap<Box<str>, bool>,
    /// When loads are to be heard next.
    loads: Duration,
}

fn take(daemon: &Daemon, message: &Message) {
    let Some(name) = subject::name_under(&message.subject, subject::HEALTH) else { return };
    // A message that lay in wait is as old as it is.
    let waited = message.received.elapsed();
    let came = daemon.now().saturating_sub(waited);
    let mut council = daemon.council();
    if !council.is_convened() {
        return;
    }
    if let Err(Refusing { vantage, why, is_first: true }) =
        council.intake_mut().accept(name, &message.bytes, came)
    {
        let vantages = council.intake().vantages();
        let whose = vantage.and_then(|place| vantages.get(place));
        let whose = whose.map_or("nobody known", |vantage| &vantage.spec.name);
        let via = message.link;
        tracing::warn!(
            "a report of {whose}, under the name {name} over link {via}, is refused: {why}; told \
             once, counted in meridian_vantage_refused_total"
        );
    }
}

fn sit(daemon: &Daemon, own: &mut Own, told: &mut Told) {
    let now = daemon.now();
    let mut council = daemon.council();
    if !council.is_convened() {
        return;
    }
    if let Some(name) = council.panel().own.clone() {
        own.seq += 1;
        let mut report = daemon.health().keeper().known().report((own.boot, own.seq), TICK, now);
        report.itself.lag_ms = u16::try_from(own.lag.as_millis()).unwrap_or(u16::MAX);
        council.intake_mut().accept_own(&name, report, now);
    }
    council.deliberate(now);
    let events = daemon.health().keeper().adopt(council.rulings(), now);
    told.tell(&council, now);
    drop(council);
    daemon.health().tell(events);
}

impl Told {
    fn is_time(&mut self, now: Duration) -> bool {
        let is_time = now >= self.loads;
        if is_time {
            self.loads = now + LOADS;
        }
        is_time
    }

    fn tell(&mut self, council: &Council, now: Duration) {
        let vantages = council.intake().vantages();
        for vantage in vantages {
            let name = &vantage.spec.name;
            let why = vantage.suspicion.map(|why: Suspicion| {
                why.describe(|place| vantages.get(place).map_or("another", |of| &of.spec.name))
            });
            match (&why, self.suspects.contains_key(name)) {
                (Some(why), false) => tracing::warn!("vantage {name} has no vote: {why}"),
                (None, true) => tracing::info!("vantage {name} has a vote again"),
                _ => {}
            }
            match why {
                Some(why) => _ = self.suspects.insert(name.clone(), why),
                None => _ = self.suspects.remove(name),
            }
            let is_silent = vantage.is_silent(now);
            if self.silent.insert(name.clone(), is_silent) == Some(!is_silent) {
                if is_silent {
                    tracing::warn!("vantage {name} is silent");
                } else {
                    tracing::info!("vantage {name} reports again");
                }
            }
        }
        self.suspects.retain(|name, _| vantages.iter().any(|of| of.spec.name == *name));
        self.silent.retain(|name, _| vantages.iter().any(|of| of.spec.name == *name));
        let held = council.held();
        if (held > 0) != self.held {
            self.held = held > 0;
            let all = council.panel().checks.len();
            if self.held {
                let world = council.rulings().first();
                let hold = world.and_then(|world| world.iter().find_map(|ruling| ruling.hold));
                let why = hold.map(|hold| hold.describe()).unwrap_or_default();
                tracing::warn!("{held} of {all} checks are held as they were: {why}");
            } else {
                tracing::info!("votes decide over all {all} checks");
            }
        }
    }
}
