//! What a configuration promises: per record its possible answers, how long a failover takes at
//! worst, and what the loss of each region does. Printed by `meridian check`.
//!
//! Reckoned from the files alone; health and client addresses are not known here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::{Config, terms};
use crate::probe::monitor::{Decider, Monitor};
use crate::region::{Pool, PoolId, RegionId, Target};
use crate::steer::record::{LastResort, PolicySpec, RecordSpec, RuleSpec};

/// What one record promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordReport {
    /// The owner name.
    pub owner: String,
    /// TTL of its answers in seconds.
    pub ttl: u32,
    /// The shortest TTL in seconds, where it moves.
    pub ttl_min: Option<u32>,
    /// Types that are steered beside addresses.
    pub services: Vec<String>,
    /// What each of its pools would answer.
    pub pools: Vec<PoolReport>,
    /// Milliseconds from a failure to the last client that has noticed, TTL included, at worst
    /// over its checked pools; `None` when no pool is checked.
    pub failover_ms: Option<u64>,
    /// Pools whose members nothing checks: they are never left.
    pub unchecked: Vec<String>,
    /// What the loss of each of its regions does.
    pub losses: Vec<Loss>,
}

/// A pool and what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolReport {
    /// Its name.
    pub pool: String,
    /// Its region.
    pub region: String,
    /// Addresses, `CNAME name`, or `NS name`.
    pub answers: Vec<String>,
    /// The name of its own that it has under the record.
    pub name: Option<String>,
}

/// What the loss of a region does to a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The region.
    pub region: String,
    /// One line per rule that loses a pool.
    pub effects: Vec<String>,
}

/// The reports of every record of every zone.
pub fn records(config: &Config) -> Vec<RecordReport> {
    let specs = config.zones.iter().flat_map(|zone| &zone.records);
    specs.filter(|spec| !spec.of_pool).map(|spec| record(config, spec)).collect()
}

/// The reports as text. `losses` tells of a record by its name what losing any one region does to
/// its clients, as far as somebody has found out.
///
/// ```text
/// www.example.org.  ttl 30s, failover within 37.5s
///   fra (region fra): 192.0.2.10
///   dub (region dub): 192.0.2.20
///   without region fra: the nearest of dub
///   losing any one region: every client is answered; worst: without fra 52 % of clients move
/// ```
pub fn report(config: &Config, mut losses: impl FnMut(&str) -> Option<String>) -> String {
    let mut text = String::new();
    for record in records(config) {
        let losses = losses(&record.owner);
        // Writing to a String cannot fail.
        let _ = write_record(&mut text, &record, losses.as_deref());
    }
    text
}

fn write_record(
    text: &mut String,
    record: &RecordReport,
    losses: Option<&str>,
) -> std::fmt::Result {
    let show = |seconds: u32| terms::show(Duration::from_secs(u64::from(seconds)));
    write!(text, "{}  ttl ", record.owner)?;
    if let Some(least) = record.ttl_min {
        write!(text, "{} to ", show(least))?;
    }
    text.push_str(&show(record.ttl));
    match record.failover_ms {
        Some(ms) => write!(text, ", failover within {}", terms::show(Duration::from_millis(ms)))?,
        None => text.push_str(", no failover: nothing is checked"),
    }
    text.push('\n');
    if !record.services.is_empty() {
        writeln!(text, "  steered too: {}", record.services.join(", "))?;
    }
    for pool in &record.pools {
        write!(text, "  {} (region {}): {}", pool.pool, pool.region, pool.answers.join(", "))?;
        if let Some(name) = &pool.name {
            write!(text, " (by itself: {name})")?;
        }
        text.push('\n');
    }
    if record.failover_ms.is_some() && !record.unchecked.is_empty() {
        writeln!(text, "  not checked, counts as up: {}", record.unchecked.join(", "))?;
    }
    for loss in &record.losses {
        for effect in &loss.effects {
            writeln!(text, "  without region {}: {effect}", loss.region)?;
        }
    }
    if let Some(losses) = losses {
        writeln!(text, "  {losses}")?;
    }
    text.push('\n');
    Ok(())
}

fn record(config: &Config, spec: &RecordSpec) -> RecordReport {
    let mut ids: Vec<PoolId> = Vec::new();
    for candidate in spec.rules.iter().flat_map(|rule| &rule.pools) {
        if !ids.contains(&candidate.pool) {
            ids.push(candidate.pool);
        }
    }
    let detection: Vec<Option<Duration>> = ids.iter().map(|id| detection(config, *id)).collect();
    let slowest = detection.iter().flatten().max();
    let ttl = Duration::from_secs(u64::from(spec.ttl.max.seconds()));
    let unchecked = ids.iter().zip(&detection).filter(|(_, seen)| seen.is_none());
    let regions: BTreeSet<RegionId> = ids.iter().map(|id| pool(config, *id).region).collect();
    RecordReport {
        owner: spec.owner.to_string(),
        ttl: spec.ttl.max.seconds(),
        ttl_min: spec.ttl.varies().then(|| spec.ttl.min.seconds()),
        services: spec.services.iter().map(|service| service.rtype.to_string()).collect(),
        pools: ids.iter().map(|id| pool_report(config, spec, *id)).collect(),
        failover_ms: slowest.map(|slowest| (*slowest + ttl).as_millis() as u64),
        unchecked: unchecked.map(|(id, _)| pool(config, *id).name.to_string()).collect(),
        losses: regions.into_iter().map(|region| loss(config, spec, region)).collect(),
    }
}

/// How long a failed member of the pool may go unnoticed; `None` when one is never checked.
fn detection(config: &Config, id: PoolId) -> Option<Duration> {
    let members = &config.pool_checks[id.0 as usize].members;
    let times = members.iter().map(|member| Some(unnoticed(config, member.check?)));
    times.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// How long it may go unnoticed by `decider` that a member is gone with all that is on it. A
/// composite is down with the part that leaves fewer than it needs.
fn unnoticed(config: &Config, decider: Decider) -> Duration {
    match decider {
        Decider::Check(id) => worst(&config.checks[id.0 as usize].monitor),
        Decider::Composite(id) => {
            let composite = &config.composites[id.0 as usize];
            let mut parts: Vec<_> =
                composite.of.iter().map(|part| unnoticed(config, *part)).collect();
            parts.sort_unstable();
            let spare = parts.len().saturating_sub(usize::from(composite.monitor.need));
            parts.get(spare).copied().unwrap_or_default()
        }
    }
}

/// A member dies right after a good probe: the first bad one begins an interval later, and each
/// takes its whole timeout; the others follow at the fast interval.
fn worst(monitor: &Monitor) -> Duration {
    let Monitor { interval, fast_interval, timeout, fall, .. } = monitor;
    *interval + *timeout + (*fast_interval + *timeout) * u32::from(fall.saturating_sub(1))
}

fn pool_report(config: &Config, spec: &RecordSpec, id: PoolId) -> PoolReport {
    let pool = pool(config, id);
    let answers = match &pool.target {
        Target::Vips(vips) => {
            let v4 = vips.v4.iter().map(|member| member.address.to_string());
            v4.chain(vips.v6.iter().map(|member| member.address.to_string())).collect()
        }
        Target::Cname(name) if spec.flatten => vec![format!("addresses of {name}")],
        Target::Cname(name) if spec.names_hosts => vec![name.to_string()],
        Target::Cname(name) => vec![format!("CNAME {name}")],
        Target::Delegate(servers) => {
            servers.iter().map(|server| format!("NS {}", server.name)).collect()
        }
    };
    let region = config.regions[usize::from(pool.region.0)].name.to_string();
    let name = spec.pool_names.then(|| format!("{}.{}", pool.name, spec.owner));
    PoolReport { pool: pool.name.to_string(), region, answers, name }
}

fn loss(config: &Config, spec: &RecordSpec, region: RegionId) -> Loss {
    let hit = |rule: &&RuleSpec| {
        rule.pools.iter().any(|candidate| pool(config, candidate.pool).region == region)
    };
    let several = spec.rules.len() > 1;
    let rules = spec.rules.iter().enumerate().filter(|(_, rule)| hit(rule));
    let effects = rules.map(|(number, rule)| {
        let effect = effect(config, spec, rule, region);
        if several { format!("rule {}: {effect}", number + 1) } else { effect }
    });
    Loss {
        region: config.regions[usize::from(region.0)].name.to_string(),
        effects: effects.collect(),
    }
}

/// Who takes over a rule's clients.
fn effect(config: &Config, spec: &RecordSpec, rule: &RuleSpec, lost: RegionId) -> String {
    let left = |rule: &RuleSpec| -> Vec<PoolId> {
        let pools = rule.pools.iter().map(|candidate| candidate.pool);
        pools.filter(|id| pool(config, *id).region != lost).collect()
    };
    let names = |ids: &[PoolId]| -> String {
        let names: Vec<&str> = ids.iter().map(|id| &*pool(config, *id).name).collect();
        names.join(", ")
    };
    let own = left(rule);
    if !own.is_empty() {
        let list = names(&own);
        return match rule.policy {
            PolicySpec::Failover => names(&own[..1]),
            _ if own.len() == 1 => list,
            PolicySpec::Nearest => format!("the nearest of {list}"),
            PolicySpec::Latency => format!("the one reached soonest of {list}"),
            PolicySpec::Multivalue => format!("several of {list}"),
            PolicySpec::Weighted => format!("by weight {list}"),
            PolicySpec::Hash => format!("by client network {list}"),
            PolicySpec::RoundRobin => format!("in turn {list}"),
        };
    }
    let mut others: Vec<PoolId> = Vec::new();
    if !rule.fence {
        for id in spec.rules.iter().flat_map(left) {
            if !others.contains(&id) {
                others.push(id);
            }
        }
    }
    match others.len() {
        0 => format!("last resort, {}", resort(&rule.last_resort)),
        _ => format!("pools of other rules: {}", names(&others)),
    }
}

fn resort(resort: &LastResort) -> String {
    match resort {
        LastResort::All => "its pools as if they were healthy".to_owned(),
        LastResort::Default => "the zone file's own records".to_owned(),
        LastResort::Nodata => "no data".to_owned(),
        LastResort::Servfail => "SERVFAIL".to_owned(),
        LastResort::Cname(name) => format!("CNAME {name}"),
        LastResort::Addresses(v4, v6) => {
            let v4 = v4.iter().map(ToString::to_string);
            let all: Vec<String> = v4.chain(v6.iter().map(ToString::to_string)).collect();
            all.join(", ")
        }
    }
}

fn pool(config: &Config, id: PoolId) -> &Pool {
    &config.pools[id.0 as usize]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn shipped(owner: &str) -> RecordReport {
        let config = super::super::load(Path::new(env!("CARGO_MANIFEST_DIR")), None).config;
        let reports = records(&config.expect("the shipped files have no fault"));
        reports.into_iter().find(|report| report.owner == owner).expect("a shipped record")
    }

    fn effects(report: &RecordReport, region: &str) -> Vec<String> {
        let loss = report.losses.iter().find(|loss| loss.region == region);
        loss.expect("a region of the record").effects.clone()
    }

    #[test]
    fn failover_takes_detection_and_the_ttl() {
        // 2 s + 1.5 s + 2 x (0.5 s + 1.5 s) = 7.5 s, and the TTL.
        assert_eq!(shipped("www.example.org.").failover_ms, Some(37_500));
        assert_eq!(shipped("shop.example.org.").failover_ms, Some(27_500));
    }

    #[test]
    fn the_next_in_order_takes_over() {
        let shop = shipped("shop.example.org.");
        assert_eq!(effects(&shop, "fra"), ["dub"]);
        assert_eq!(effects(&shop, "dub"), ["fra"]);
        assert_eq!(effects(&shipped("api.example.org."), "fra"), ["dub"]);
        let www = effects(&shipped("www.example.org."), "sin");
        assert_eq!(www, ["the nearest of fra, dub, iad, gru, syd"]);
    }

    #[test]
    fn each_rule_that_loses_a_pool_is_told() {
        let bank = shipped("bank.example.org.");
        assert_eq!(effects(&bank, "iad"), ["rule 3: the nearest of sin, fra"]);
        assert_eq!(
            effects(&bank, "fra"),
            ["rule 1: dub", "rule 2: dub", "rule 3: the nearest of iad, sin"]
        );
    }

    #[test]
    fn names_and_delegations_are_shown_as_such() {
        let game = shipped("game.asia.example.org.");
        assert_eq!(game.pools[0].answers, ["NS ns1.sin.example.org."]);
        let portal = shipped("portal.example.org.");
        assert_eq!(portal.pools[1].answers, ["CNAME lb.iad.example.net."]);
    }
}
