//! The prober's samples go to the keeper, and what it concludes to the daemon.
//!
//! Also the translation of a configuration's checks and pools into what `health` must know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::monitor::{Check, CompositeCheck, Kind, PoolChecks};
use super::schedule::Sink;
use crate::health::composite::Composite;
use crate::health::keeper::{CheckSpec, Event, Keeper, Known, Plan};
use crate::health::sample::Sample;
use crate::health::state::Pace;
use crate::health::verdict::{MemberSpec, PoolSpec};
use crate::region::{Family, Pool, Region, Target};

/// A keeper that the prober, the API and the daemon share. A sample reaches the health table
/// within [`Sink::observe`]; its events follow over a channel.
#[derive(Debug)]
pub struct Watch {
    keeper: Mutex<Keeper>,
    /// Unbounded, because the prober must not wait; damping bounds how often a check changes.
    events: mpsc::UnboundedSender<Event>,
}

impl Watch {
    /// Shares `keeper`; its events come out of the receiver.
    pub fn new(keeper: Keeper) -> (Arc<Self>, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Arc::new(Self { keeper: Mutex::new(keeper), events }), receiver)
    }

    /// The keeper. Held for as long as the guard lives, and samples wait for it: never over an
    /// await, a write to disk, or text about every check.
    pub fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what is known, to be told of at length.
    pub fn known(&self) -> Known {
        self.keeper().known().clone()
    }

    /// Sends events of the keeper's other doors (overrides, reloads) the same way.
    pub fn tell(&self, events: Vec<Event>) {
        for event in events {
            // Nobody listens only while the daemon ends.
            let _ = self.events.send(event);
        }
    }
}

impl Sink for Watch {
    fn observe(&self, check: &Check, sample: &Sample, now: Duration) -> Pace {
        let (pace, events) = self.keeper().observe(&check.key, sample, now);
        self.tell(events);
        pace
    }
}

/// What `health` must know of a configuration. Numbers in `pool_checks` are places in the
/// other lists, as in a `Config`; composites stand behind the checks.
pub fn plan(
    regions: &[Region],
    pools: &[Pool],
    (checks, composites): (&[Check], &[CompositeCheck]),
    of: &[PoolChecks],
) -> Plan {
    let check = |check: &Check| CheckSpec {
        pushed: matches!(check.monitor.kind, Kind::Push(_)),
        ..CheckSpec::new(check.key.clone(), check.monitor.thresholds())
    };
    let composite = |composite: &CompositeCheck| {
        CheckSpec::composite(composite.key.clone(), parts(composite, checks.len()))
    };
    let specs_of_checks = checks.iter().map(check).chain(composites.iter().map(composite));
    let specs_of_checks = specs_of_checks.collect();
    let mut specs: Vec<_> = pools.iter().map(|pool| pool_spec(regions, pool)).collect();
    for pool in of {
        let Some((spec, from)) =
            specs.get_mut(pool.pool.0 as usize).zip(pools.get(pool.pool.0 as usize))
        else {
            continue;
        };
        spec.members = members(from, pool, checks.len());
    }
    Plan { checks: specs_of_checks, pools: specs, ..Plan::default() }
}

/// What health must know of a composite, among so many checks.
pub fn parts(composite: &CompositeCheck, checks: usize) -> Composite {
    let of = composite.of.iter().map(|part| part.place(checks)).collect();
    Composite { need: composite.monitor.need, of }
}

fn pool_spec(regions: &[Region], pool: &Pool) -> PoolSpec {
    let region = regions.get(usize::from(pool.region.0));
    PoolSpec {
        name: pool.name.clone(),
        origin: pool.origin.to_string().into(),
        region: region.map_or_else(|| Box::from(""), |region| region.name.clone()),
        members: Vec::new(),
        ease: pool.ease,
        needs: Vec::new(),
    }
}

fn members(pool: &Pool, of: &PoolChecks, checks: usize) -> Vec<MemberSpec> {
    let members = of.members.iter();
    members
        .map(|member| MemberSpec {
            name: member_name(&pool.target, member.family, usize::from(member.member)),
            family: member.family,
            place: member.member,
            weight: member_weight(&pool.target, member.family, usize::from(member.member)),
            check: member.check.map(|check| check.place(checks)),
            names: None,
        })
        .collect()
}

/// Members that stand for a name count alike.
fn member_weight(target: &Target, family: Option<Family>, place: usize) -> u16 {
    let weight = match (target, family) {
        (Target::Vips(vips), Some(Family::V6)) => vips.v6.get(place).map(|member| member.weight),
        (Target::Vips(vips), _) => vips.v4.get(place).map(|member| member.weight),
        _ => None,
    };
    weight.unwrap_or(1)
}

fn member_name(target: &Target, family: Option<Family>, place: usize) -> Box<str> {
    let name = match (target, family) {
        (Target::Vips(vips), Some(Family::V6)) => {
            vips.v6.get(place).map(|member| member.address.to_string())
        }
        (Target::Vips(vips), _) => vips.v4.get(place).map(|member| member.address.to_string()),
        (Target::Cname(name), _) => Some(name.to_string()),
        (Target::Delegate(servers), _) => servers.get(place).map(|server| server.name.to_string()),
    };
    name.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::monitor::{
        CheckId, CheckTarget, Decider, Kind, MemberCheck, Monitor, Tcp, Way,
    };
    use crate::region::{AreaId, Location, Member, PoolId, RegionId, Vips};

    fn check() -> Check {
        let monitor = Monitor {
            name: "web".into(),
            kind: Kind::Tcp(Tcp::default()),
            port: 443,
            interval: Duration::from_secs(2),
            fast_interval: Duration::from_millis(500),
            timeout: Duration::from_millis(1500),
            rise: 3,
            fall: 2,
            slow_interval: Duration::from_secs(2),
            way: Way::default(),
        };
        let address = "[2001:db8::10]:443".parse().expect("an address");
        Check {
            key: "web@[2001:db8::10]:443".into(),
            monitor: Arc::new(monitor),
            target: CheckTarget::Address(address),
        }
    }

    fn pool(name: &str, target: Target) -> Pool {
        let origin = "example.org.".parse().expect("a name");
        let ease = crate::region::Ease::default();
        Pool {
            name: name.into(),
            origin,
            region: RegionId(0),
            target,
            answers: 1,
            ease,
            capacity: None,
        }
    }

    #[test]
    fn a_configuration_becomes_a_plan() {
        let location = Location::new(50.0, 8.0);
        let regions = [Region { name: "fra".into(), location, country: None }];
        let v6 = vec![Member { address: "2001:db8::10".parse().expect("an address"), weight: 1 }];
        let cname = Target::Cname("lb.example.net.".parse().expect("a name"));
        let pools =
            [pool("vips", Target::Vips(Vips { v4: Vec::new(), v6 })), pool("byname", cname)];
        let member = |family, check| MemberCheck { family, member: 0, check };
        let of = [
            PoolChecks {
                pool: PoolId(0),
                members: vec![member(Some(Family::V6), Some(Decider::Check(CheckId(0))))],
            },
            PoolChecks { pool: PoolId(1), members: vec![member(None, None)] },
        ];
        let plan = plan(&regions, &pools, (&[check()], &[]), &of);
        assert_eq!(plan.checks[0].thresholds.fall, 2);
        assert_eq!(&*plan.pools[0].region, "fra");
        assert_eq!(&*plan.pools[0].origin, "example.org.");
        assert_eq!(&*plan.pools[0].members[0].name, "2001:db8::10");
        assert_eq!(plan.pools[0].members[0].check, Some(0));
        assert_eq!(&*plan.pools[1].members[0].name, "lb.example.net.");
        assert_eq!(plan.pools[1].members[0].family, None);
    }

    #[test]
    fn a_sample_reaches_the_table_before_observe_returns() {
        let pools = [pool("byname", Target::Cname("lb.example.net.".parse().expect("a name")))];
        let members =
            vec![MemberCheck { family: None, member: 0, check: Some(Decider::Check(CheckId(0))) }];
        let of = [PoolChecks { pool: PoolId(0), members }];
        let plan = plan(&[], &pools, (&[check()], &[]), &of);
        let keeper = Keeper::new(plan, &Default::default(), Vec::new(), Duration::ZERO);
        let table = keeper.table();
        let (watch, mut events) = Watch::new(keeper);
        let failure =
            Sample::failure(crate::health::sample::Reason::Refused, Duration::from_millis(1));
        watch.observe(&check(), &failure, Duration::from_secs(1));
        assert!(table.word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
        watch.observe(&check(), &failure, Duration::from_secs(2));
        assert!(!table.word(PoolId(0), Family::V4, AreaId::WORLD).is_eligible());
        let Ok(Event::Check { why, .. }) = events.try_recv() else { panic!("no event") };
        assert_eq!(why, "down after 2 failures: connection refused");
        let Ok(Event::Pool { family, why, .. }) = events.try_recv() else { panic!("no event") };
        assert_eq!((family, &*why), (None, "down after 2 failures: connection refused"));
        assert!(events.try_recv().is_err());
    }
}
