//! Explaining an answer with health as it is, or as it would be if something were otherwise.

use super::message::ClientNet;
use crate::daemon::Daemon;
use crate::health::overrides::OverrideTarget;
use crate::health::table::{HealthTable, PoolWord, Verdict};
use crate::plan::suppose::{self, State, SupposeError, Supposed, Supposition};
use crate::region::{AreaId, Family, PoolId};
use crate::server::explain::{CandidateView, Explanation, Question, supposing};
use crate::snapshot::Snapshot;
use crate::steer::capacity::CapacityPlanner;
use crate::steer::spill::Spills;
use crate::wire::name::{Name, NameError};
use crate::wire::types::{Rtype, UnknownType};

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The name is none.
    #[error("'{0}' is no domain name")]
    Name(String, #[source] NameError),
    /// The type is none.
    #[error(transparent)]
    Type(#[from] UnknownType),
    /// Something else than a region or pool is supposed down.
    #[error("'{0}' cannot be supposed down: write region.NAME or pool.NAME")]
    Down(String),
    /// A supposition is none, or names nothing.
    #[error(transparent)]
    Suppose(#[from] SupposeError),
}

/// What is asked.
///
/// # Errors
/// When name or type are none.
pub fn question(name: &str, rtype: &str, client: ClientNet) -> Result<Question, ExplainError> {
    let name: Name = name.parse().map_err(|error| ExplainError::Name(name.to_owned(), error))?;
    let whole = if client.address.is_ipv4() { 32 } else { 128 };
    Ok(Question {
        name,
        qtype: rtype.parse()?,
        client: client.address,
        prefix: (client.prefix < whole).then_some(client.prefix),
        seed: 0,
    })
}

/// What is supposed: `down` as region.NAME or pool.NAME, and `what_if` with a state for each.
///
/// # Errors
/// When something is no supposition.
pub fn supposed(down: &[&str], what_if: &[&str]) -> Result<Vec<Supposition>, ExplainError> {
    let mut all = Vec::new();
    for &text in down {
        let refused = || ExplainError::Down(text.to_owned());
        let target: OverrideTarget = text.parse().map_err(|_| refused())?;
        if matches!(target, OverrideTarget::Member(_)) {
            return Err(refused());
        }
        all.push(Supposition { target, state: State::Down, area: None });
    }
    for text in what_if {
        all.extend(suppose::parse_list(text)?);
    }
    Ok(all)
}

/// What the daemon answers at this moment, but for what is supposed.
///
/// # Errors
/// When something in `supposed` names nothing.
pub fn live(
    daemon: &Daemon,
    question: &Question,
    supposed: &[Supposition],
) -> Result<Explanation, ExplainError> {
    let snapshot = daemon.snapshot();
    let supposed = Supposed::of(supposed, &snapshot)?;
    let table = copied(&snapshot, |word| word);
    supposed.apply(&table, &snapshot.pools);
    let spills = match supposed.is_empty() {
        true => Spills::default(),
        false => daemon.room().supposing(&table, &supposed.loads()),
    };
    let mut told = supposing(&snapshot, &table, &spills, question);
    let family = family(question.qtype);
    let known = daemon.health().known();
    say_why(&supposed, &snapshot, &mut told, |pool, area| known.why(pool, family, area));
    Ok(told)
}

/// What would be answered with everything up, but for what is supposed.
///
/// # Errors
/// When something in `supposed` names nothing.
pub fn offline(
    snapshot: &Snapshot,
    question: &Question,
    supposed: &[Supposition],
) -> Result<Explanation, ExplainError> {
    let supposed = Supposed::of(supposed, snapshot)?;
    let table = copied(snapshot, |word| match word.verdict() {
        Verdict::Unknown => PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, word.live()),
        _ => word,
    });
    supposed.apply(&table, &snapshot.pools);
    let mut spills = Spills::default();
    if !supposed.loads().is_empty() {
        let mut planner = CapacityPlanner::default();
        let records = snapshot.catalog.values().flat_map(|served| &served.records);
        planner.adopt(&snapshot.pools, records);
        planner.presume();
        spills = planner.supposing(&table, &supposed.loads());
    }
    let mut told = supposing(snapshot, &table, &spills, question);
    say_why(&supposed, snapshot, &mut told, |_, _| String::new());
    Ok(told)
}

const fn family(qtype: Rtype) -> Family {
    if qtype.0 == Rtype::AAAA.0 { Family::V6 } else { Family::V4 }
}

/// The snapshot's table, seen through `seen`.
fn copied(snapshot: &Snapshot, seen: impl Fn(PoolWord) -> PoolWord) -> HealthTable {
    let table = HealthTable::new(snapshot.pools.len(), snapshot.areas.len());
    for pool in (0..).map(PoolId).take(snapshot.pools.len()) {
        for family in [Family::V4, Family::V6] {
            for area in AreaId::all(snapshot.areas.len()) {
                table.store(pool, family, area, seen(snapshot.health.word(pool, family, area)));
            }
        }
    }
    table.loads.copy_from(&snapshot.health.loads);
    table
}

/// Replaces the verdicts' words of struck out candidates by what is known of them.
fn say_why(
    supposed: &Supposed,
    snapshot: &Snapshot,
    told: &mut Explanation,
    known: impl Fn(PoolId, AreaId) -> String,
) {
    for step in &mut told.steps {
        let Some(steering) = &mut step.steering else { continue };
        let area = steering.area.as_deref().and_then(|name| snapshot.area(name));
        let area = area.unwrap_or(AreaId::WORLD);
        // Who is passed over is so for what this rule lets him keep, and who is outside a fence for
        // that, not for what checks say.
        let struck = |candidate: &&mut CandidateView| {
            candidate.outcome == "struck out" && candidate.group != "outside"
        };
        for candidate in steering.candidates.iter_mut().filter(struck) {
            let named = |pool: &crate::region::Pool| {
                *pool.name == *candidate.pool && pool.origin.to_string() == step.zone
            };
            let Some(at) = snapshot.pools.iter().position(named) else { continue };
            let pool = PoolId(at as u32);
            let Some(why) = &mut candidate.why else { continue };
            let state = supposed.of_pool(pool, area).map(|state| state.told());
            let better = state.unwrap_or_else(|| known(pool, area));
            if !better.is_empty() {
                *why = better;
            }
        }
    }
}
