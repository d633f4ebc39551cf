//! Explaining an answer with health as it is, or as it would be with something down.

use super::message::ClientNet;
use crate::daemon::Daemon;
use crate::health::overrides::OverrideTarget;
use crate::health::table::{HealthTable, PoolWord, Verdict};
use crate::region::{Family, PoolId};
use crate::server::explain::{Explanation, Question, explain};
use crate::snapshot::Snapshot;
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
    /// Nothing has that name.
    #[error("'{0}' names no region or pool of this configuration")]
    Nothing(String),
}

/// Candidates that were supposed down are struck out with these words.
const SUPPOSED: &str = "supposed down";

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

/// What the daemon answers at this moment, but for `down`.
///
/// # Errors
/// When something in `down` names nothing.
pub fn live(
    daemon: &Daemon,
    question: &Question,
    down: &[&str],
) -> Result<Explanation, ExplainError> {
    let snapshot = daemon.snapshot();
    let supposed = Supposed::read(&snapshot, down)?;
    let table = supposed.table(&snapshot, |_, word| word);
    let mut told = explain(&snapshot, &table, question);
    let family = family(question.qtype);
    let known = daemon.health().known();
    supposed.say_why(&snapshot, &mut told, |pool| known.why(pool, family));
    Ok(told)
}

/// What would be answered with everything up, but for `down`.
///
/// # Errors
/// When something in `down` names nothing.
pub fn offline(
    snapshot: &Snapshot,
    question: &Question,
    down: &[&str],
) -> Result<Explanation, ExplainError> {
    let supposed = Supposed::read(snapshot, down)?;
    let up = |_, word: PoolWord| match word.verdict() {
        Verdict::Unknown => PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, word.live()),
        _ => word,
    };
    let table = supposed.table(snapshot, up);
    let mut told = explain(snapshot, &table, question);
    supposed.say_why(snapshot, &mut told, |_| String::new());
    Ok(told)
}

const fn family(qtype: Rtype) -> Family {
    if qtype.0 == Rtype::AAAA.0 { Family::V6 } else { Family::V4 }
}

/// Pools that are supposed down.
struct Supposed(Vec<PoolId>);

impl Supposed {
    fn read(snapshot: &Snapshot, down: &[&str]) -> Result<Self, ExplainError> {
        let mut pools = Vec::new();
        for &text in down {
            let target: OverrideTarget =
                text.parse().map_err(|_| ExplainError::Down(text.to_owned()))?;
            if matches!(target, OverrideTarget::Member(_)) {
                return Err(ExplainError::Down(text.to_owned()));
            }
            let before = pools.len();
            let all = (0..).map(PoolId).zip(&snapshot.pools);
            pools.extend(
                all.filter(|(_, pool)| is_meant(snapshot, &target, pool)).map(|(id, _)| id),
            );
            if pools.len() == before {
                return Err(ExplainError::Nothing(text.to_owned()));
            }
        }
        Ok(Self(pools))
    }

    /// The snapshot's table, seen through `seen`, with the supposed pools down.
    fn table(
        &self,
        snapshot: &Snapshot,
        seen: impl Fn(PoolId, PoolWord) -> PoolWord,
    ) -> HealthTable {
        let table = HealthTable::new(snapshot.pools.len());
        for pool in (0..).map(PoolId).take(snapshot.pools.len()) {
            for family in [Family::V4, Family::V6] {
                let mut word = seen(pool, snapshot.health.word(pool, family));
                if self.0.contains(&pool) && word.is_eligible() {
                    word = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
                }
                table.store(pool, family, word);
            }
        }
        table
    }

    /// Replaces the verdicts' words of struck out candidates by what is known of them.
    fn say_why(
        &self,
        snapshot: &Snapshot,
        told: &mut Explanation,
        known: impl Fn(PoolId) -> String,
    ) {
        for step in &mut told.steps {
            let Some(steering) = &mut step.steering else { continue };
            for candidate in &mut steering.candidates {
                let named = |pool: &crate::region::Pool| {
                    *pool.name == *candidate.pool && pool.origin.to_string() == step.zone
                };
                let Some(at) = snapshot.pools.iter().position(named) else { continue };
                let pool = PoolId(at as u32);
                let Some(why) = &mut candidate.why else { continue };
                let better = if self.0.contains(&pool) { SUPPOSED.to_owned() } else { known(pool) };
                if !better.is_empty() {
                    *why = better;
                }
            }
        }
    }
}

fn is_meant(snapshot: &Snapshot, target: &OverrideTarget, pool: &crate::region::Pool) -> bool {
    match target {
        OverrideTarget::Region(name) => {
            snapshot.regions.get(usize::from(pool.region.0)).is_some_and(|of| of.name == *name)
        }
        OverrideTarget::Pool(name, None) => pool.name == *name,
        OverrideTarget::Pool(name, Some(origin)) => {
            pool.name == *name && origin.parse::<Name>().is_ok_and(|origin| origin == pool.origin)
        }
        OverrideTarget::Member(_) => false,
    }
}
