//! Ticks once a second: lets canaries go on, begins what was planned, and tells of it.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;

use super::{Due, Moment, Notice};
use crate::admin::catalog;
use crate::daemon::{Daemon, wall};
use crate::health::overrides::Override;
use crate::steer::stages::{Event, percent};

/// How often.
const TICK: Duration = Duration::from_secs(1);
/// After a look at the counters of all records, there is none for this many times as long: with
/// very many it takes a twentieth of one core's time.
const REST: u32 = 19;

/// Ticks until the daemon ends.
pub(in crate::daemon) async fn run(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    let mut rest_until = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = ends.wait_for(|ending| *ending) => return,
        }
        let at = Arc::clone(&daemon);
        let begun = daemon.now();
        if begun >= rest_until {
            crate::daemon::blocking(move || {
                look(&at);
                tick(&at);
            })
            .await;
            let ended = daemon.now();
            rest_until = ended + ended.saturating_sub(begun) * REST;
        } else {
            crate::daemon::blocking(move || tick(&at)).await;
        }
    }
}

/// Looks at the counters of all records; the changes are locked only to begin and to end.
fn look(daemon: &Daemon) {
    let snapshot = daemon.snapshot();
    let look = daemon.changes().looking(&snapshot);
    let gauge = look.done(&snapshot, daemon.now());
    daemon.changes().saw(gauge);
}

fn tick(daemon: &Daemon) {
    let in_force = daemon.health().keeper().known().overrides().to_vec();
    let Due { overrides, notices } = {
        let mut changes = daemon.changes();
        changes.heed(&in_force);
        // A reload publishes while it holds the changes, so this is the one they have met.
        let snapshot = daemon.snapshot();
        changes.tick(&snapshot, Moment { now: daemon.now(), wall: wall() })
    };
    tell(&notices);
    for order in overrides {
        begin(daemon, order);
    }
}

/// Sets an override whose time has come.
fn begin(daemon: &Daemon, order: Override) {
    let events = daemon.health().keeper().set_override(order, daemon.now());
    daemon.health().tell(events);
}

/// Logs and counts what changes do by themselves.
pub(in crate::daemon) fn tell(notices: &[Notice]) {
    for notice in notices {
        match notice {
            Notice::Canary(record, event) => tell_canary(&record.to_string(), event),
            Notice::Anew(record) => {
                tracing::warn!("{record}: another canary or switch than before begins anew");
            }
            Notice::Planned(target, what) => tracing::warn!("planned override {target}: {what}"),
        }
    }
}

fn tell_canary(record: &str, event: &Event) {
    let word = match event {
        Event::Stepped { number, of, share } => {
            let share = percent(*share);
            tracing::info!("canary {record}: step {number} of {of}, {share} of the clients");
            "stepped"
        }
        Event::Held { share, wanted, why } => {
            let (share, wanted) = (percent(*share), percent(*wanted));
            tracing::warn!("canary {record}: waits at {share} before {wanted}: {why}");
            "held"
        }
        Event::Aborted { why } => {
            tracing::warn!("canary {record}: aborted, all clients go back: {why}");
            "aborted"
        }
        Event::Done { share } => {
            tracing::info!("canary {record}: done, {} of the clients", percent(*share));
            "done"
        }
    };
    counter!(catalog::CHANGE_EVENTS, "record" => record.to_owned(), "event" => word).increment(1);
}
