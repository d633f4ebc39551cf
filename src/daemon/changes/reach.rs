//! What an override reaches: which pools, which part of them, and whether anything of them is left.

use crate::health::overrides::OverrideTarget;
use crate::region::{AreaId, Family, Member, PoolId, Target};
use crate::snapshot::Snapshot;
use crate::wire::name::Name;

/// The pools an override is over, each with the part of it that it is over.
pub fn touched(snapshot: &Snapshot, target: &OverrideTarget) -> Vec<(PoolId, f64)> {
    let pools = (0..).map(PoolId).zip(&snapshot.pools);
    let part = |pool: &crate::region::Pool| match target {
        OverrideTarget::Region(name) => {
            let region = snapshot.regions.get(usize::from(pool.region.0));
            f64::from(u8::from(region.is_some_and(|region| region.name == *name)))
        }
        OverrideTarget::Pool(name, origin) => {
            let same = |origin: &str| origin.parse::<Name>().is_ok_and(|of| of == pool.origin);
            let is_it = pool.name == *name && origin.as_deref().is_none_or(same);
            f64::from(u8::from(is_it))
        }
        OverrideTarget::Member(name) => part_of_member(&pool.target, name),
    };
    pools.map(|(id, pool)| (id, part(pool))).filter(|(_, part)| *part > 0.0).collect()
}

/// Whether nothing of a pool that an override is over is left for clients of `area`.
pub(super) fn leaves_nothing(
    snapshot: &Snapshot,
    pool: PoolId,
    target: &OverrideTarget,
    area: AreaId,
) -> bool {
    let OverrideTarget::Member(name) = target else { return true };
    let Some(pool_of) = snapshot.pools.get(pool.0 as usize) else { return true };
    let rest = |family, names: Vec<String>| {
        let live = snapshot.health.word(pool, family, area).live();
        let is_left = |(at, other): (u32, &String)| live >> at.min(31) & 1 == 1 && *other != **name;
        (0u32..).zip(&names).any(is_left)
    };
    match &pool_of.target {
        Target::Vips(vips) => {
            !rest(Family::V4, addresses(&vips.v4)) && !rest(Family::V6, addresses(&vips.v6))
        }
        Target::Cname(_) => true,
        Target::Delegate(servers) => {
            !rest(Family::V4, servers.iter().map(|server| server.name.to_string()).collect())
        }
    }
}

fn addresses<A: ToString>(members: &[Member<A>]) -> Vec<String> {
    members.iter().map(|member| member.address.to_string()).collect()
}

/// The part of a pool's answers that a member has, by weight.
fn part_of_member(target: &Target, name: &str) -> f64 {
    fn of<A: ToString>(members: &[Member<A>], name: &str) -> f64 {
        let all: u32 = members.iter().map(|member| u32::from(member.weight)).sum();
        let mine = members.iter().filter(|member| member.address.to_string() == *name);
        let mine: u32 = mine.map(|member| u32::from(member.weight)).sum();
        if all == 0 { 0.0 } else { f64::from(mine) / f64::from(all) }
    }
    match target {
        Target::Vips(vips) => of(&vips.v4, name).max(of(&vips.v6, name)),
        Target::Cname(target) => f64::from(u8::from(target.to_string() == *name)),
        Target::Delegate(servers) => {
            let mine = servers.iter().filter(|server| server.name.to_string() == *name).count();
            mine as f64 / servers.len().max(1) as f64
        }
    }
}
