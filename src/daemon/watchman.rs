//! Keeps watch over health: every event becomes a log line and a count, every probe a
//! measurement, and what must survive a restart goes to disk.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Daemon, Events, Listener, Prober, wall};
use crate::admin::catalog;
use crate::health::keeper::Event;
use crate::health::sample::Sample;
use crate::health::state::Pace;
use crate::probe::ask::{Asker, Roots};
use crate::probe::monitor::Check;
use crate::probe::schedule::{Limits, Sink};
use crate::probe::watch::Watch;
use crate::region::Family;

/// How long after an event of health the new belief is written down: a crash before that starts
/// with the old one.
const SETTLE: Duration = Duration::from_millis(20);
/// How often overrides are looked at for their end, and what else changed written down.
const TICK: Duration = Duration::from_secs(1);
/// After writing, nothing is written for this many times as long, at most a [`TICK`]: where
/// health never comes to rest, writing it down takes a twentieth of the time.
const REST: u32 = 19;

/// The daemon's prober, without checks yet. Its samples are measured on their way to health.
pub(super) fn prober(daemon: &Daemon, limits: Limits, seed: u64) -> Prober {
    let sink = Arc::new(Measured(Arc::clone(daemon.health())));
    let asker = Asker::new(Roots::System, Arc::clone(&daemon.board));
    Prober::new(asker, sink, limits, daemon.started, seed)
}

/// Counts samples, then hands them on.
struct Measured(Arc<Watch>);

impl Sink for Measured {
    fn observe(&self, check: &Check, sample: &Sample, now: Duration) -> Pace {
        let pace = self.0.observe(check, sample, now);
        let monitor = check.monitor.name.to_string();
        let outcome = sample.outcome.label();
        counter!(catalog::PROBES, "monitor" => monitor.clone(), "outcome" => outcome).increment(1);
        histogram!(catalog::PROBE_SECONDS, "monitor" => monitor).record(sample.latency);
        pace
    }
}

/// Logs and counts events until health is gone or the daemon ends.
pub(super) async fn tell(daemon: Arc<Daemon>, mut events: Events, on_event: Option<Listener>) {
    let mut ends = daemon.ending.subscribe();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = ends.wait_for(|ending| *ending) => None,
        };
        let Some(event) = event else { return };
        daemon.changed.notify_one();
        daemon.turned.notify_one();
        log(&event);
        if let Some(on_event) = &on_event {
            on_event(&event);
        }
    }
}

/// Whose clients a line of the log is about, where not all.
pub fn for_area(area: Option<&str>) -> String {
    area.map_or_else(String::new, |area| format!(" for area {area}"))
}

/// A family's word in logs and metrics; `None` stands for both.
pub fn family_word(family: Option<Family>) -> &'static str {
    match family {
        Some(Family::V4) => "ipv4",
        Some(Family::V6) => "ipv6",
        None => "both",
    }
}

fn log(event: &Event) {
    match event {
        Event::Check { key, why, .. } => tracing::info!("check {key}: {why}"),
        Event::Override { target, area, what } => {
            let area = for_area(area.as_deref());
            tracing::warn!("override {target}{area}: {what}");
        }
        Event::Pool { name, origin, region, family, area, from, to, why, .. } => {
            let area = for_area(area.as_deref());
            let family = family_word(*family);
            let (was, is) = (from.as_str(), to.as_str());
            if from == to {
                tracing::info!("pool {name}@{origin} region {region} {family}{area}: {is}, {why}");
                return;
            }
            if to.is_eligible() {
                tracing::info!(
                    "pool {name}@{origin} region {region} {family}{area}: {was} -> {is}, {why}"
                );
            } else {
                tracing::warn!(
                    "pool {name}@{origin} region {region} {family}{area}: {was} -> {is}, {why}"
                );
            }
            if !area.is_empty() {
                return;
            }
            counter!(
                catalog::TRANSITIONS,
                "zone" => origin.to_string(), "pool" => name.to_string(),
                "region" => region.to_string(), "family" => family, "to" => is
            )
            .increment(1);
        }
    }
}

/// Ends overrides whose time is over and writes down what changed, until the daemon ends.
pub(super) async fn keep(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    let mut written = None;
    let mut noted = Instant::now();
    let mut is_writable = true;
    let mut rest_until = Instant::now();
    loop {
        let rung = tokio::select! {
            () = tokio::time::sleep(TICK) => false,
            () = daemon.changed.notified() => true,
            _ = ends.wait_for(|ending| *ending) => return,
        };
        if rung {
            // A burst of events is one write.
            tokio::time::sleep_until(rest_until.max(Instant::now() + SETTLE)).await;
        }
        let revision = {
            let mut keeper = daemon.health().keeper();
            let events = keeper.expire_overrides(wall(), daemon.now());
            let revision = keeper.revision();
            drop(keeper);
            daemon.health().tell(events);
            (revision, daemon.changes().revision())
        };
        let is_due = noted.elapsed() >= super::intake::NOTE
            && (daemon.council().is_convened() || daemon.has_returning());
        if written == Some(revision) && !is_due {
            continue;
        }
        noted = Instant::now();
        let writer = Arc::clone(&daemon);
        let begun = Instant::now();
        let outcome = super::blocking(move || writer.persist()).await;
        rest_until = Instant::now() + (begun.elapsed() * REST).min(TICK);
        match outcome {
            Ok(()) => {
                written = Some(revision);
                is_writable = true;
            }
            // Said once per trouble; tried again every tick.
            Err(error) if is_writable => {
                is_writable = false;
                tracing::error!("health is not remembered in {}: {error}", daemon.state.display());
            }
            Err(_) => {}
        }
    }
}
