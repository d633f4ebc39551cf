//! A seeded simulation of hours: members fail and recover, the prober goes quiet, vantages break,
//! lie and start anew, operators order and let go, cities ask more and less, and files are
//! reloaded, under records with every policy and feature. After each step clients ask, and what
//! must always hold is checked ([`watch`]; each message begins with the word for what was broken).
//! `MERIDIAN_SEED` replays one seed, `MERIDIAN_SEEDS` runs so many, `MERIDIAN_FIRST` says from
//! which on.

mod ledger;
mod planted;
mod records;
mod vantages;
mod watch;
mod world;

use std::net::Ipv4Addr;

use meridian::steer::chance::Chance;

use self::records::{Kept, REGIONS, pools, record};
use self::watch::Watch;
use self::world::{CITIES, Truth, World};

const STEPS: u32 = 40;

#[test]
fn what_must_hold_holds_whatever_happens() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let first = number("MERIDIAN_FIRST").unwrap_or(0);
    let seeds = match (number("MERIDIAN_SEED"), number("MERIDIAN_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => first..first + seeds.unwrap_or(60),
    };
    let mut off = Vec::new();
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        off.extend(ran.unwrap_or_else(|_| panic!("replay with MERIDIAN_SEED={seed}")));
    }
    // How far shares were off, in standard errors, over all seeds: without a lean.
    let mean = off.iter().sum::<f64>() / (off.len() as f64).max(1.0);
    let bound = 5.0 / (off.len() as f64).max(1.0).sqrt();
    assert!(mean.abs() < bound, "shares lean by {mean} standard errors in {} samples", off.len());
}

fn run(seed: u64) -> Vec<f64> {
    let mut chance = Chance::seeded(seed);
    let (inventory, has_capacity) = pools(&mut chance);
    let records: Vec<Kept> =
        (0..4).map(|number| record(number, has_capacity, &mut chance)).collect();
    let policies: String = records.iter().map(|record| &*record.toml).collect();
    let mut world = World::new(&format!("{inventory}{policies}"), &mut chance);
    // One whose answers change by time alone, and by what is in sight.
    let asks = records.iter().position(|of| of.ttl.0 != of.ttl.1 && of.is_steady);
    let asks = asks.filter(|_| !has_capacity);
    let client = Ipv4Addr::new(CITIES[chance.below(5) as usize], 1, 1, 0);
    let asks = asks.map(|record| (record, client));
    let mut watch = Watch::new(records, asks, has_capacity);
    for step in 0..STEPS {
        let happened =
            happen(&mut world, &mut watch, &mut chance, &format!("seed {seed} step {step}"));
        if std::env::var("DBG").is_ok() {
            eprintln!(
                "DBG {} step {step} {happened} {:?}",
                world.now,
                world.keeper.known().overrides().iter().map(|o| o.describe()).collect::<Vec<_>>()
            );
        }
        watch.follow(&world);
        let context = format!("seed {seed} step {step} after {happened}, {:?}", world.truth);
        watch.check(&mut world, &mut chance, &context);
    }
    watch.settle(&mut world, &mut chance, &format!("seed {seed} at rest"));
    watch.into_off()
}

/// Something happens, or time goes by; says what.
fn happen(world: &mut World, watch: &mut Watch, chance: &mut Chance, context: &str) -> String {
    let what = match chance.below(14) {
        0..=2 => {
            let (at, member) = (chance.below(4) as usize, chance.below(3) as usize);
            let truth = [Truth::Lives, Truth::Lives, Truth::Dead, Truth::Flaky];
            let truth = truth[chance.below(4) as usize];
            // Two thirds of all troubles are of the whole region.
            match world.truth[at].get(member) {
                Some(_) if chance.below(2) == 0 => world.strike(at, member, truth),
                _ => (0..2).for_each(|member| world.strike(at, member, truth)),
            }
            format!("{} {truth:?}", REGIONS[at])
        }
        3 | 4 => world.operate(chance),
        5 => {
            if let Some(plane) = &mut world.plane {
                plane.befall(world.now, chance)
            } else {
                (world.is_heard, world.heard_since) = (!world.is_heard, world.now);
                format!("the prober {}", if world.is_heard { "is back" } else { "goes quiet" })
            }
        }
        6 => {
            let is_restart = chance.below(2) == 0;
            watch.begin_again(world, is_restart, context);
            if is_restart { "a restart" } else { "a reload" }.to_owned()
        }
        7 => {
            let city = chance.below(5) as usize;
            world.rates[city] = [0, 5, 10, 20, 60][chance.below(5) as usize];
            format!("city {city} asks {} times a second", world.rates[city])
        }
        8 => world.direct(&watch.records, chance),
        _ => {
            let seconds = 1 + chance.below(90);
            for _ in 0..seconds {
                watch.second(world, chance, context);
            }
            return format!("{seconds} s go by");
        }
    };
    world.calm = 0;
    watch.surprise();
    what
}
