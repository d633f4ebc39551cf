//! Policies inside policies: a rule may choose among groups of pools, and each group chooses
//! among its own by a policy of its own.
//!
//! The rule's own sites stay one flat list of pools, so that fences, panic, shares and counters
//! need know nothing of groups; a [`Nest`] says how they are put together.

use crate::region::PoolId;
use crate::steer::affinity::Affinity;
use crate::steer::key::{KeyLengths, salt_of};
use crate::steer::record::PolicySpec;

/// How the pools of a rule are put together, checked. The first level is the rule's own; every
/// other is named by an item of one before it, so that there are no loops.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NestSpec {
    /// The levels, never empty.
    pub levels: Vec<LevelSpec>,
}

/// One group, or the rule itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LevelSpec {
    /// The group's name; empty for the rule.
    pub name: Box<str>,
    /// How it chooses.
    pub policy: PolicySpec,
    /// What makes a client that stays, where clients do.
    pub key: Option<KeyLengths>,
    /// What it chooses among, with weights (1 where the policy has none).
    pub items: Vec<(ItemSpec, u32)>,
}

/// What a level chooses among.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ItemSpec {
    /// A pool.
    Pool(PoolId),
    /// The level of this number.
    Level(usize),
}

impl NestSpec {
    /// Some level asks where the client is.
    pub fn asks_where(&self) -> bool {
        let asks = |policy| matches!(policy, PolicySpec::Nearest | PolicySpec::Latency);
        self.levels.iter().any(|level| asks(level.policy))
    }
}

/// How the sites of a rule are put together, compiled.
#[derive(Debug)]
pub struct Nest {
    /// As in the [`NestSpec`].
    pub levels: Box<[Level]>,
}

/// One level.
#[derive(Debug)]
pub struct Level {
    /// The group's name; empty for the rule.
    pub name: Box<str>,
    /// How it chooses.
    pub choice: Choice,
    /// What it chooses among.
    pub items: Box<[Item]>,
    /// Every site below it.
    pub sites: Box<[u16]>,
}

/// How a level chooses.
#[derive(Debug)]
pub enum Choice {
    /// The first, as listed.
    Listed,
    /// The one with the nearest site.
    Nearest,
    /// At random by weight.
    Drawn,
    /// By client network.
    Stays {
        /// Who gets which.
        affinity: Affinity,
        /// What makes a client.
        key: KeyLengths,
        /// Chance decides for networks that bring most of the queries.
        sticky: bool,
    },
}

/// One of what a level chooses among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// A site, or a level.
    pub what: What,
    /// Its weight; 0 is standby.
    pub weight: u32,
}

/// A site, or a level, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A site.
    Site(u16),
    /// A level further down the list.
    Level(u16),
}

impl Nest {
    /// Some level keeps clients by their network.
    pub fn stays(&self) -> bool {
        self.levels.iter().any(|level| matches!(level.choice, Choice::Stays { .. }))
    }

    /// Compiles a spec; `site` tells a pool's site, `name` its name.
    pub fn new(
        spec: &NestSpec,
        site: impl Fn(PoolId) -> Option<u16>,
        name: impl Fn(PoolId) -> Box<str>,
    ) -> Self {
        let mut levels: Vec<Level> = Vec::new();
        // The last ones first: each knows the sites of those it names.
        for (number, level) in spec.levels.iter().enumerate().rev() {
            let mut sites: Vec<u16> = Vec::new();
            let mut items = Vec::new();
            let mut salted = Vec::new();
            for (item, weight) in &level.items {
                let (what, below, salt) = match item {
                    ItemSpec::Pool(pool) => {
                        let Some(site) = site(*pool) else { continue };
                        (What::Site(site), vec![site], salt_of(&name(*pool)))
                    }
                    ItemSpec::Level(at) => {
                        let below = levels.get(spec.levels.len() - 1 - at);
                        debug_assert!(*at > number, "levels name later ones");
                        let Some(below) = below else { continue };
                        let salt = salt_of(&format!("group {}", below.name));
                        (What::Level(*at as u16), below.sites.to_vec(), salt)
                    }
                };
                sites.extend(
                    below.iter().filter(|site| !sites.contains(site)).copied().collect::<Vec<_>>(),
                );
                items.push(Item { what, weight: *weight });
                salted.push((salt, *weight));
            }
            let stays = |sticky| Choice::Stays {
                affinity: Affinity::new(&salted),
                key: level.key.unwrap_or(KeyLengths::DEFAULT),
                sticky,
            };
            let choice = match level.policy {
                PolicySpec::Failover => Choice::Listed,
                PolicySpec::Nearest | PolicySpec::Latency => Choice::Nearest,
                PolicySpec::Weighted if level.key.is_some() => stays(true),
                PolicySpec::Hash => stays(false),
                PolicySpec::Weighted | PolicySpec::RoundRobin | PolicySpec::Multivalue => {
                    Choice::Drawn
                }
            };
            levels.push(Level {
                name: level.name.clone(),
                choice,
                items: items.into(),
                sites: sites.into(),
            });
        }
        levels.reverse();
        Self { levels: levels.into() }
    }
}
