//! Metrics for a scrape: what threads and health know is folded into the recorder when asked.
//!
//! Query threads count into arrays of their own; nothing here is touched by a query.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use super::catalog::{self, describe};
use super::health::HealthView;
use crate::daemon::Daemon;
use crate::daemon::changes::At;
use crate::health::status::PoolStatus;
use crate::health::table::Verdict;
use crate::region::{AreaId, Family, Pool, Target};
use crate::server::stats::Counter;
use crate::snapshot::{Served, Snapshot};
use crate::steer::record::{Record, Rule};
use crate::steer::stages::{ALL, Phase};
use crate::steer::tally::{Reason, Tally};

/// A gauge nobody sets any longer (its pool or zone went with a reload) is forgotten after this
/// long. Every scrape sets all others.
const GAUGE_FADES: Duration = Duration::from_secs(60);

/// Bounds of the histogram of probes, in seconds: from loopback to the longest usual timeout.
const PROBE_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Makes this process record metrics; `None` when it records already.
pub fn install() -> Option<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::GAUGE, Some(GAUGE_FADES))
        .set_buckets(&PROBE_BUCKETS)
        .ok()?
        .install_recorder()
        .ok()?;
    describe();
    for outcome in ["loaded", "refused"] {
        counter!(catalog::RELOADS, "outcome" => outcome).absolute(0);
    }
    Some(handle)
}

/// All metrics in Prometheus' text format.
pub fn render(daemon: &Daemon) -> String {
    let snapshot = daemon.snapshot();
    process(daemon, &snapshot);
    bus(daemon);
    orders(daemon);
    queries(daemon);
    answers(&snapshot);
    panics(&snapshot);
    health(daemon, &snapshot);
    changes(daemon);
    capacity(daemon);
    daemon.recorder().run_upkeep();
    daemon.recorder().render()
}

fn process(daemon: &Daemon, snapshot: &Snapshot) {
    gauge!(catalog::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(catalog::UPTIME).set(daemon.now().as_secs_f64());
    gauge!(catalog::READY).set(flag(daemon.is_ready()));
    let ledger = daemon.ledger().clone();
    gauge!(catalog::LAST_RELOAD_OK).set(flag(ledger.reload.outcome == "loaded"));
    gauge!(catalog::GENERATION).set(ledger.config.generation as f64);
    gauge!(catalog::LOAD_SECONDS).set(ledger.config.load_seconds);
    for served in snapshot.catalog.values() {
        let serial = f64::from(served.zone.serial());
        gauge!(catalog::ZONE_SERIAL, "zone" => served.origin.to_string()).set(serial);
    }
    gauge!(catalog::HEAVY_NETWORKS).set(daemon.steward().heavy() as f64);
    let now = crate::daemon::wall();
    for database in ledger.databases.iter().filter(|database| database.built_at > 0) {
        let age = now.saturating_sub(database.built_at) as f64;
        gauge!(catalog::GEO_AGE, "database" => database.name.clone()).set(age);
    }
    if let Some(tls) = ledger.tls.iter().find(|tls| tls.expires_at > 0) {
        gauge!(catalog::TLS_EXPIRY).set(super::status::seconds_left(tls) as f64);
    }
    let refused = ledger.databases.iter().filter(|database| database.refused.is_some()).count();
    gauge!(catalog::GEO_REFUSED).set(refused as f64);
}

/// How this node is connected to others.
fn bus(daemon: &Daemon) {
    let Some(bus) = daemon.attachment().view(crate::daemon::wall()) else { return };
    gauge!(catalog::BUS_EXPIRY).set(bus.certificate.expires_in_seconds as f64);
    for link in bus.links {
        gauge!(catalog::BUS_LINK, "link" => link.name).set(flag(link.connected));
    }
    let counts = [
        ("published", bus.published),
        ("received", bus.received),
        ("skipped", bus.skipped),
        ("overtaken", bus.overtaken),
        ("refused", bus.refused),
    ];
    for (what, count) in counts {
        counter!(catalog::BUS_MESSAGES, "what" => what).absolute(count);
    }
}

/// Orders to all nodes.
fn orders(daemon: &Daemon) {
    let Some(orders) = daemon.orders().view() else { return };
    gauge!(catalog::ORDERS).set(orders.orders.len() as f64);
    let differ = orders.nodes.iter().filter(|node| !node.agrees).count();
    gauge!(catalog::ORDERS_DIFFER).set(differ as f64);
    for reason in ["unknown-signer", "forged"] {
        // From 0 on, so that the first one is a change that can be seen.
        counter!(catalog::ORDERS_REFUSED, "reason" => reason).absolute(0);
    }
    for (reason, count) in orders.refused {
        counter!(catalog::ORDERS_REFUSED, "reason" => reason).absolute(count);
    }
}

fn queries(daemon: &Daemon) {
    for &counter in Counter::ALL {
        let (name, labels) = counter.metric();
        counter!(name, labels).absolute(daemon.stats().sum(counter));
    }
    let Some((sockets, lost)) = daemon.sockets() else { return };
    let (udp, tcp) = (sockets.udp, sockets.tcp);
    gauge!(catalog::TCP_OPEN).set(sockets.tcp_open as f64);
    gauge!(catalog::THREADS_LOST).set(lost as f64);
    for (transport, count) in [("udp", udp.panics), ("tcp", tcp.panics)] {
        counter!(catalog::PANICS, "transport" => transport).absolute(count);
    }
    counter!(catalog::TCP_ACCEPTED).absolute(tcp.accepted);
    for (reason, count) in [("total", tcp.refused_total), ("client", tcp.refused_client)] {
        counter!(catalog::TCP_REFUSED, "limit" => reason).absolute(count);
    }
    let closed =
        [("idle", tcp.idle_closed), ("slow", tcp.slow_closed), ("malformed", tcp.malformed)];
    for (reason, count) in closed {
        counter!(catalog::TCP_CLOSED, "reason" => reason).absolute(count);
    }
    counter!(catalog::UDP_BATCHES).absolute(udp.batches);
    let errors = [
        ("udp-receive", udp.receive_errors),
        ("udp-send", udp.send_errors),
        ("tcp-accept", tcp.accept_errors),
    ];
    for (operation, count) in errors {
        counter!(catalog::SOCKET_ERRORS, "operation" => operation).absolute(count);
    }
    for (reason, count) in [("oversize", udp.truncated_in), ("port-zero", udp.unanswerable)] {
        counter!(catalog::DROPPED, "reason" => reason).absolute(count);
    }
}

/// What steered records answered. A pool's own counters stand for a record however often it is
/// a candidate there.
fn answers(snapshot: &Snapshot) {
    for Record { owner, plan, tally, .. } in
        snapshot.catalog.values().flat_map(|Served { records, .. }| records)
    {
        let owner = owner.to_string();
        for site in &plan.sites {
            let Some(pool) = snapshot.pools.get(site.pool.0 as usize) else { continue };
            let region = snapshot.regions.get(usize::from(pool.region.0));
            tallied(&owner, &pool.name, region.map_or("", |region| &region.name), tally);
        }
        tallied(&owner, "", "", tally);
    }
}

/// Rules under which so few pools serve that health does not count, for the world's clients.
fn panics(snapshot: &Snapshot) {
    let records = snapshot.catalog.values().flat_map(|Served { records, .. }| records);
    for Record { owner, plan, .. } in records {
        if plan.rules.iter().all(|rule| rule.panic_below == 0) {
            continue;
        }
        for (family, word) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
            let pools = plan.sites.iter().filter_map(|of| snapshot.pools.get(of.pool.0 as usize));
            let has_members = |pool: &Pool| match &pool.target {
                Target::Vips(vips) if family == Family::V4 => !vips.v4.is_empty(),
                Target::Vips(vips) => !vips.v6.is_empty(),
                Target::Cname(_) | Target::Delegate(_) => true,
            };
            if !pools.into_iter().any(has_members) {
                continue;
            }
            let is_panic = |rule: &&Rule| {
                let serves = |site: &&u16| {
                    let site = plan.sites.get(usize::from(**site));
                    let word = site.map(|of| snapshot.health.word(of.pool, family, AreaId::WORLD));
                    word.is_some_and(|word| word.is_eligible())
                };
                let serving = rule.own.iter().filter(serves).count();
                serving * 10_000 < rule.own.len() * usize::from(rule.panic_below)
            };
            let rules = plan.rules.iter().filter(is_panic).count();
            let labels = [("record", owner.to_string()), ("family", word.to_owned())];
            gauge!(catalog::PANICKING, &labels).set(rules as f64);
        }
    }
}

fn tallied(record: &str, pool: &str, region: &str, tally: &Tally) {
    for reason in Reason::ALL {
        let count = tally.sum(pool, reason);
        // What never happened is not exported: all reasons for every record and pool would be
        // mostly zeros.
        if count > 0 {
            counter!(
                catalog::ANSWERS,
                "record" => record.to_owned(), "pool" => pool.to_owned(),
                "region" => region.to_owned(), "reason" => reason.as_str()
            )
            .absolute(count);
        }
    }
}

fn health(daemon: &Daemon, snapshot: &Snapshot) {
    let status = daemon.health().known().status(daemon.now());
    gauge!(catalog::OVERRIDES).set(status.overrides.len() as f64);
    for pool in &status.pools {
        let labels = labels(pool);
        gauge!(catalog::HEALTH_STATE, &labels).set(f64::from(verdict_number(pool.verdict)));
        gauge!(catalog::HEALTH_ELIGIBLE, &labels).set(flag(pool.eligible));
        gauge!(catalog::HEALTH_LIVE, &labels).set(f64::from(pool.live));
        for name in &snapshot.areas {
            let of = pool.areas.get(name);
            let eligible = of.map_or(pool.eligible, |of| of.eligible);
            let verdict = of.map_or(pool.verdict, |of| of.verdict);
            let mut labels = labels.to_vec();
            labels.push(("area", name.to_string()));
            gauge!(catalog::AREA_STATE, &labels).set(f64::from(verdict_number(verdict)));
            gauge!(catalog::AREA_ELIGIBLE, &labels).set(flag(eligible));
        }
    }
    let view = super::health::of_vantages(daemon);
    vantages(&view.unwrap_or_else(|| HealthView::alone(&status)));
}

/// What is believed of checks, and what vantages have told. Nothing of votes where there are none.
fn vantages(health: &HealthView) {
    for check in &health.checks {
        if let Some(days) = check.certificate_days {
            gauge!(catalog::CERTIFICATE_DAYS, "check" => check.key.clone()).set(f64::from(days));
        }
        let damped = check.damped_s.unwrap_or(0.0);
        if check.parts.is_empty() {
            gauge!(catalog::CHECK_DAMPED, "check" => check.key.clone()).set(damped);
        }
    }
    if health.vantages.is_empty() {
        return;
    }
    for check in health.checks.iter().filter(|check| check.parts.is_empty()) {
        let key = || check.key.clone();
        for (vote, count) in [("up", check.counted.0), ("down", check.counted.1)] {
            gauge!(catalog::CHECK_VOTES, "check" => key(), "vote" => vote).set(f64::from(count));
        }
        gauge!(catalog::CHECK_HELD, "check" => key()).set(flag(check.held.is_some()));
    }
    gauge!(catalog::HEALTH_HELD).set(health.held as f64);
    for vantage in &health.vantages {
        let name = vantage.name.clone();
        let all = health.checks.iter().filter(|check| check.parts.is_empty()).count() as u32;
        let unknown = all.saturating_sub(vantage.up + vantage.down);
        for (vote, count) in [("up", vantage.up), ("down", vantage.down), ("unknown", unknown)] {
            gauge!(catalog::VANTAGE_VOTES, "vantage" => name.clone(), "vote" => vote)
                .set(f64::from(count));
        }
        if let Some(age) = vantage.age_s {
            gauge!(catalog::VANTAGE_AGE, "vantage" => name.clone()).set(age);
        }
        let is_suspect = flag(vantage.state == "suspect");
        gauge!(catalog::VANTAGE_SUSPECT, "vantage" => name.clone()).set(is_suspect);
        counter!(catalog::VANTAGE_REPORTS, "vantage" => name.clone()).absolute(vantage.accepted);
        counter!(catalog::VANTAGE_MISSED, "vantage" => name.clone()).absolute(vantage.missed);
        refused(&name, &vantage.refused);
    }
    refused("", &health.strangers);
}

fn refused(vantage: &str, refused: &BTreeMap<String, u64>) {
    // From 0 on, so that the first one is a change that can be seen.
    let zero = [("forged".to_owned(), 0), ("replayed".to_owned(), 0)];
    let zero = zero.iter().filter(|(reason, _)| !refused.contains_key(reason));
    for (reason, count) in refused.iter().chain(zero.map(|(reason, count)| (reason, count))) {
        let labels = [("vantage", vantage.to_owned()), ("reason", reason.clone())];
        counter!(catalog::VANTAGE_REFUSED, &labels).absolute(*count);
    }
}

fn changes(daemon: &Daemon) {
    let conductor = daemon.changes();
    gauge!(catalog::OVERRIDES_PLANNED).set(conductor.planned().len() as f64);
    for stand in conductor.stands() {
        let record = stand.record.to_string();
        let share = f64::from(stand.at.share()) / f64::from(ALL);
        let kind = match &stand.at {
            At::Canary(canary) => {
                let phase = Phase::ALL.iter().position(|phase| *phase == canary.phase);
                let phase = phase.unwrap_or(0) as f64;
                gauge!(catalog::CANARY_PHASE, "record" => record.clone()).set(phase);
                "canary"
            }
            At::Switch { .. } => "switch",
        };
        gauge!(catalog::CHANGE_SHARE, "record" => record, "kind" => kind).set(share);
    }
    drop(conductor);
    for drain in super::changes::drains(daemon, "").unwrap_or_default() {
        let labels = [("zone", drain.zone), ("pool", drain.pool), ("region", drain.region)];
        gauge!(catalog::ALIVE, &labels).set(drain.alive as f64);
    }
}

fn capacity(daemon: &Daemon) {
    let all = super::loads::list(daemon);
    if all.is_empty() {
        return;
    }
    gauge!(catalog::SPILLED).set(daemon.room().demand().1);
    for pool in all {
        let ratio = pool.target.filter(|target| *target > 0.0).map(|target| pool.rate / target);
        let labels = [("zone", pool.zone), ("pool", pool.pool), ("region", pool.region)];
        gauge!(catalog::POOL_RATE, &labels).set(pool.rate);
        gauge!(catalog::POOL_KEPT, &labels).set(pool.kept);
        gauge!(catalog::POOL_STALE, &labels).set(flag(pool.stale));
        if let Some(ratio) = ratio {
            gauge!(catalog::POOL_LOAD_RATIO, &labels).set(ratio);
        }
    }
}

fn labels(pool: &PoolStatus) -> [(&'static str, String); 4] {
    [
        ("zone", pool.zone.to_string()),
        ("pool", pool.pool.to_string()),
        ("region", pool.region.to_string()),
        ("family", pool.family.to_owned()),
    ]
}

/// The verdict's number, as the documentation lists them.
fn verdict_number(word: &str) -> u8 {
    let all = [
        Verdict::Unknown,
        Verdict::Up,
        Verdict::Degraded,
        Verdict::Down,
        Verdict::Draining,
        Verdict::ForcedDown,
        Verdict::ForcedUp,
        Verdict::Maintenance,
    ];
    all.into_iter().find(|verdict| verdict.as_str() == word).map_or(0, |verdict| verdict as u8)
}

const fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_the_numbers_the_documentation_gives() {
        assert_eq!(verdict_number("unknown"), 0);
        assert_eq!(verdict_number("up"), 1);
        assert_eq!(verdict_number("down"), 3);
        assert_eq!(verdict_number("forced-up"), 6);
    }
}
