//! What the loss of each region does to the clients of one record: how many move, and how much
//! farther they go.

use std::sync::Arc;

use serde::Serialize;

use super::{Class, Look, Mapped, Prover};
use crate::geo::census::spread;
use crate::plan::branch::Regions;
use crate::plan::outcome::{Asker, End, Ends, ask_of, is_keyed};
use crate::plan::suppose::FAMILIES;
use crate::region::Location;
use crate::steer::chance::Chance;
use crate::steer::record::{Policy, Record, Rule};

/// Client networks of a class that stand for all where policies look at the network.
const NETWORKS: u64 = 256;

/// What the loss of one region does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// The region.
    pub region: String,
    /// The share of the clients that go elsewhere.
    pub moved: f64,
    /// How much farther the client goes who goes the most farther, in kilometres; `None` where
    /// nobody moves, or clients do not go by distance or order.
    pub farther_km: Option<f64>,
}

/// Ends with their shares.
type Shares = Vec<(End, f64)>;

impl Prover<'_> {
    /// What the loss of each region does to a record's clients, the one that moves most first; of
    /// addresses of IPv4 where it has any. Nothing where no client is known.
    pub fn losses(&mut self, record: &Record) -> Vec<Loss> {
        let mapped = self.mapped(&record.plan.map);
        let family = FAMILIES.into_iter().find(|family| ask_of(&record.plan, *family).is_some());
        let Some((family, ask)) = family.and_then(|of| Some((of, ask_of(&record.plan, of)?)))
        else {
            return Vec::new();
        };
        let asker = Asker { record, ask, table: &self.table };
        let regions = Regions::new(&asker, &self.snapshot.pools);
        let look = Look { asker, regions: &regions, family, has_default: false, most: 1 };
        let mut losses = self.look_at_losses(&look, &mapped);
        losses.sort_by(|a, b| b.moved.total_cmp(&a.moved).then_with(|| a.region.cmp(&b.region)));
        losses
    }

    fn look_at_losses(&self, look: &Look<'_, '_>, mapped: &Arc<Mapped>) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Vec::new();
        for at in 0..look.regions.len() {
            let region = self.snapshot.regions.get(usize::from(look.regions.region(at).0));
            let region = region.map_or_else(String::new, |region| region.name.to_string());
            losses.push(Loss { region, moved: 0.0, farther_km: None });
        }
        for class in &mapped.classes {
            let plan = &look.asker.record.plan;
            let rule = class.rule.and_then(|number| plan.rules.get(usize::from(number)));
            let Some(rule) = rule else { continue };
            let before = look.shares(class, rule);
            for (at, loss) in (0..).zip(&mut losses) {
                // Who was not there does not leave, unless so few are left that health is ignored.
                let is_there = |(end, _): &(End, f64)| match end {
                    End::Site(site) => look.regions.of(*site) == Some(at),
                    End::LastResort(_) | End::Unmatched => false,
                };
                if rule.panic_below == 0 && !before.iter().any(is_there) {
                    continue;
                }
                look.regions.set(&look.asker, at, true);
                let now = look.shares(class, rule);
                look.regions.set(&look.asker, at, false);
                let flows = moves(&before, &now);
                let moved: f64 = flows.iter().map(|(.., share)| share).sum();
                let part = mapped.parts.get(class.order as usize).copied().unwrap_or(0.0);
                loss.moved += moved * part;
                if matches!(rule.policy, Policy::Failover | Policy::Nearest) && moved > 0.0 {
                    let farther = self.farther(look, class, &flows);
                    loss.farther_km = loss.farther_km.into_iter().chain(farther).reduce(f64::max);
                }
            }
        }
        losses
    }

    /// How much farther the one of a class goes who goes the most farther.
    fn farther(
        &self,
        look: &Look<'_, '_>,
        class: &Class,
        flows: &[(End, End, f64)],
    ) -> Option<f64> {
        let place_of = |end: End| {
            let End::Site(site) = end else { return None };
            let site = look.asker.record.plan.sites.get(usize::from(site))?;
            let pool = self.snapshot.pools.get(site.pool.0 as usize)?;
            let region = self.snapshot.regions.get(usize::from(pool.region.0))?;
            region.location
        };
        let ways =
            flows.iter().filter_map(|(from, to, _)| Some((place_of(*from)?, place_of(*to)?)));
        let ways: Vec<(Location, Location)> = ways.collect();
        let places = class.places.iter().filter_map(|place| {
            let place = self.snapshot.world.places().get(*place as usize)?;
            place.location
        });
        let farther = |place: Location| {
            let more =
                move |to: Location, from| place.kilometres_to(to) - place.kilometres_to(from);
            ways.iter().map(move |(from, to)| more(*to, *from))
        };
        places.flat_map(farther).reduce(f64::max)
    }
}

impl Look<'_, '_> {
    /// Who serves a class, each with its share.
    fn shares(&self, class: &Class, rule: &Rule) -> Shares {
        if !is_keyed(rule) {
            return self.asker.shares(class.network.0).0;
        }
        let mut ends = Ends::default();
        let mut chance = Chance::seeded(0);
        for client in spread(class.run, NETWORKS) {
            let selection = self.asker.select(client, &mut chance, &mut ());
            ends.count(&selection, class.rule.unwrap_or_default(), 1.0);
        }
        ends.finish()
    }
}

/// Who must go from where to where.
fn moves(before: &Shares, now: &Shares) -> Vec<(End, End, f64)> {
    let of = |all: &Shares, end: End| {
        all.iter().find(|(known, _)| *known == end).map_or(0.0, |(_, share)| *share)
    };
    let gained = |end: End| (of(now, end) - of(before, end)).max(0.0);
    let all: f64 = now.iter().map(|(end, _)| gained(*end)).sum();
    let mut moves = Vec::new();
    for &(from, had) in before {
        let lost = (had - of(now, from)).max(0.0);
        for &(to, _) in now {
            let share = if all > 0.0 { lost * gained(to) / all } else { 0.0 };
            if share > 1e-9 {
                moves.push((from, to, share));
            }
        }
    }
    moves
}
