//! `/v1/status`: the daemon's state put together for one reader.

use std::collections::{BTreeMap, HashMap};

use super::view::{
    AliasView, AreaView, CheckView, FamilyView, HeavyView, HeldView, NETWORKS_MAX, PoolView,
    RateLimitView, ReturningView, Status, TlsView, ZoneView,
};
use super::{changes, loads, overrides};
use crate::daemon::Daemon;
use crate::daemon::aliases::{Known, Standing};
use crate::daemon::steward::Returning;
use crate::daemon::watchman::family_word;
use crate::health::status::{AreaStatus, CheckStatus, PoolStatus};
use crate::region::Target;
use crate::snapshot::Snapshot;
use crate::steer::failback::Way;
use crate::steer::tally::{Reason, Tally};
use crate::wire::name::Name;

/// How the daemon is at this moment.
pub fn status(daemon: &Daemon) -> Status {
    let snapshot = daemon.snapshot();
    let health = daemon.health().known().status(daemon.now());
    let ledger = daemon.ledger().clone();
    // Copied, for within one expression a guard would outlive its use.
    let names = daemon.aliases().clone();
    let zones = snapshot.catalog.values().map(|served| ZoneView {
        origin: served.origin.to_string(),
        serial: served.zone.serial(),
        steered: served.records.len(),
    });
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: daemon.now().as_secs(),
        ready: daemon.is_ready(),
        config: ledger.config,
        reload: ledger.reload,
        zones: zones.collect(),
        geo: ledger.databases,
        listeners: listeners(daemon),
        tls: ledger.tls.map(|tls| TlsView { expires_in_seconds: seconds_left(&tls), ..tls }),
        pools: with_names(pools(&health.pools), &snapshot, &names),
        returning: returning(daemon, &snapshot),
        capacity: loads::list(daemon),
        checks: health.checks.iter().map(check).collect(),
        overrides: overrides::list(daemon),
        changes: changes::list(daemon),
        drains: changes::drains(daemon, "").unwrap_or_default(),
        aliases: names.iter().map(alias).collect(),
        bus: daemon.attachment().view(crate::daemon::wall()),
        bundle: daemon.bundles().view(),
        orders: daemon.orders().view(),
        rate_limit: RateLimitView {
            dry_run: snapshot.limit.as_ref().is_some_and(|limit| limit.dry_run),
            held_back: daemon.pressure().last_minute(),
            networks: held_back(daemon),
        },
        answers: answers(&snapshot),
        heavy: heavy(daemon),
    }
}

/// Steered answers by reason.
fn answers(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let records = snapshot.catalog.values().flat_map(|served| &served.records);
    let tallies: Vec<&Tally> = records.map(|record| &*record.tally).collect();
    let sum = |reason| tallies.iter().map(|tally| tally.of_reason(reason)).sum();
    let all = Reason::ALL.map(|reason| (reason.as_str().to_owned(), sum(reason)));
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Networks for which chance decides.
fn heavy(daemon: &Daemon) -> Vec<HeavyView> {
    let all = daemon.steward().heaviest().into_iter();
    all.map(|(network, share)| HeavyView { network: network.to_string(), share }).collect()
}

/// Without the family that a name does not have at all: a balancer without IPv6 is no trouble.
fn with_names(mut pools: Vec<PoolView>, snapshot: &Snapshot, known: &[Known]) -> Vec<PoolView> {
    let is_gone = |target: &Name, is_asked: &dyn Fn(&str) -> bool| {
        let mut of_target = known.iter().filter(|known| known.target == *target);
        of_target.any(|of| of.standing == Standing::Gone && is_asked(family_word(Some(of.family))))
    };
    let named = snapshot.pools.iter().filter_map(|of| match &of.target {
        Target::Cname(target) => Some(((of.origin.to_string(), &*of.name), target)),
        _ => None,
    });
    let named: HashMap<(String, &str), &Name> = named.collect();
    for pool in pools.iter_mut().filter(|pool| pool.families.len() > 1) {
        let of = (pool.zone.clone(), &*pool.pool);
        let Some(target) = named.get(&of) else { continue };
        let gone = |word: &str| is_gone(target, &|of| of == word);
        if pool.families.iter().any(|family| !gone(&family.family)) {
            pool.families.retain(|family| !gone(&family.family));
        }
    }
    pools
}

/// A name whose addresses are answered.
fn alias(known: &Known) -> AliasView {
    let (state, seconds) = match known.standing {
        Standing::Unknown => ("unknown", None),
        Standing::Fresh(left) => ("fresh", Some(left.as_secs())),
        Standing::Stale(since) => ("stale", Some(since.as_secs())),
        Standing::Gone => ("gone", None),
    };
    AliasView {
        target: known.target.to_string(),
        family: family_word(Some(known.family)).to_owned(),
        state: state.to_owned(),
        seconds,
        addresses: known.addresses.iter().map(ToString::to_string).collect(),
    }
}

/// How long a certificate has left; negative when it is over.
pub(super) fn seconds_left(tls: &TlsView) -> i64 {
    tls.expires_at.cast_signed().saturating_sub(crate::daemon::wall().cast_signed())
}

/// Where is answered, and how where it is not in the clear.
fn listeners(daemon: &Daemon) -> Vec<String> {
    let plain = daemon.addresses().iter().map(ToString::to_string);
    plain.chain(daemon.tls_addresses().iter().map(|address| format!("{address} (TLS)"))).collect()
}

/// Whom answers are held back from.
fn held_back(daemon: &Daemon) -> Vec<HeldView> {
    let now = daemon.now();
    let held = daemon.stats().held_back(now).into_iter().take(NETWORKS_MAX);
    held.map(|held| HeldView {
        network: format!("{}/{}", held.network, held.length),
        kind: held.kind.as_str().to_owned(),
        answers: held.answers,
        seconds_ago: now.as_secs().saturating_sub(held.last.into()),
    })
    .collect()
}

/// Pools with their families, sorted by region so that each region stands together.
fn pools(all: &[PoolStatus]) -> Vec<PoolView> {
    let mut pools: Vec<PoolView> = Vec::new();
    for status in all {
        let same = |pool: &&mut PoolView| *pool.pool == *status.pool && *pool.zone == *status.zone;
        match pools.iter_mut().find(same) {
            Some(pool) => pool.families.push(family(status)),
            None => pools.push(PoolView {
                pool: status.pool.to_string(),
                zone: status.zone.to_string(),
                region: status.region.to_string(),
                families: vec![family(status)],
            }),
        }
    }
    pools.sort_by(|one, other| one.region.cmp(&other.region));
    pools
}

fn family(status: &PoolStatus) -> FamilyView {
    FamilyView {
        family: status.family.to_owned(),
        verdict: status.verdict.to_owned(),
        eligible: status.eligible,
        live: status.live as usize,
        members: status.members.len(),
        since_seconds: Some(status.since_s as u64),
        keeps: status.keeps,
        why: status.why.clone(),
        areas: status.areas.iter().map(|(name, of)| (name.to_string(), area(of))).collect(),
    }
}

fn area(status: &AreaStatus) -> AreaView {
    AreaView {
        verdict: status.verdict.to_owned(),
        eligible: status.eligible,
        live: status.live as usize,
        since_seconds: Some(status.since_s as u64),
        keeps: status.keeps,
        why: status.why.clone(),
    }
}

/// Pools that do not have all their clients back.
fn returning(daemon: &Daemon, snapshot: &Snapshot) -> Vec<ReturningView> {
    let now = daemon.now();
    let view = |returning: Returning| {
        let (state, until) = match returning.way {
            Way::Waits(until) => ("waits", Some(until)),
            Way::Returns(until) => ("returns", Some(until)),
            Way::Here | Way::Out | Way::Held => ("held", None),
        };
        ReturningView {
            record: returning.record.to_string(),
            pool: returning.pool.to_string(),
            state: state.to_owned(),
            seconds_left: until.map(|until| until.saturating_sub(now).as_secs()),
        }
    };
    daemon.steward().returning(snapshot, now).into_iter().map(view).collect()
}

fn check(status: &CheckStatus) -> CheckView {
    CheckView {
        key: status.key.to_string(),
        state: status.state.to_owned(),
        since_seconds: Some(status.since_s as u64),
        last: match &status.last {
            Some(last) => last.clone(),
            None if status.need.is_some() => status.why.clone(),
            None => String::new(),
        },
        parts: status.parts.iter().map(|part| part.key.to_string()).collect(),
    }
}
