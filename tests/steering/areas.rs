//! Areas: what a pool is for the clients of one part of the world may differ from what it is for
//! the others, and every policy goes by it.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use meridian::geo::world::World;
use meridian::health::keeper::{Event, Keeper};
use meridian::health::overrides::{Override, OverrideState};
use meridian::health::table::{PoolWord, Sight, Verdict};
use meridian::plan::suppose::{SupposeError, Supposed, all_up, parse_list};
use meridian::probe::watch;
use meridian::region::{AreaId, Family, PoolId};
use meridian::server::explain::{Question, explain};
use meridian::wire::types::Rtype;

use crate::support::{Server, ask, lines, scope};
use crate::{BERLIN, LONDON, NETWORKS, POOLS, REGIONS, SYDNEY, ZONE, explained, region, region_of};

/// Australia, and what is left of Oceania; Sydney is in both, and so in the first.
const AREAS: &str = r#"
[area.australia]
match = { country = "AU" }
[area.oceania]
match = { continent = "OC", cidr = "10.0.0.0/8" }
"#;
const AUSTRALIA: AreaId = AreaId(1);

fn server_with(areas: &str, records: &str) -> Server {
    let policy = format!("{POOLS}\n{records}");
    Server::over(
        &[
            ("meridian.toml", areas),
            ("geo/regions.toml", REGIONS),
            ("geo/networks.toml", NETWORKS),
            ("zones/example.org.toml", &policy),
            ("zones/example.org.zone", ZONE),
        ],
        |config| World::from_networks(&config.networks),
    )
}

fn server(records: &str) -> Server {
    server_with(AREAS, records)
}

/// Changes the words of a region's pools for the clients of one area.
fn seen_from(server: &Server, area: AreaId, region: &str, see: impl Fn(PoolWord) -> PoolWord) {
    for (at, pool) in (0..).map(PoolId).zip(&server.config.pools) {
        if &*server.config.regions[usize::from(pool.region.0)].name == region {
            for family in [Family::V4, Family::V6] {
                let word = server.health.word(at, family, area);
                server.health.store(at, family, area, see(word));
            }
        }
    }
}

const fn down(_: PoolWord) -> PoolWord {
    PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0)
}

/// The regions that answer 64 networks of a city.
fn regions(server: &mut Server, city: &str) -> HashSet<&'static str> {
    let octet = city.split('.').nth(1).expect("10.N.0.0/24");
    (0..64).map(|n| region(server, &format!("10.{octet}.{n}.0/24"))).collect()
}

#[test]
fn a_region_that_an_area_cannot_reach_is_down_for_its_clients_only() {
    let mut server = server(
        r#"
[record."www"]
policy = "failover"
pools  = ["fra", "iad"]
"#,
    );
    assert_eq!([SYDNEY, BERLIN].map(|city| region(&mut server, city)), ["fra", "fra"]);
    seen_from(&server, AUSTRALIA, "fra", down);
    assert_eq!([SYDNEY, BERLIN].map(|city| region(&mut server, city)), ["iad", "fra"]);
    // And the other way round: what the world has lost may be near to somebody.
    server.region("fra", Verdict::Down);
    seen_from(&server, AUSTRALIA, "fra", |_| PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, 3));
    assert_eq!([SYDNEY, BERLIN].map(|city| region(&mut server, city)), ["fra", "iad"]);
}

#[test]
fn every_policy_goes_by_it() {
    for policy in [
        "policy = \"failover\"\npools = [\"fra\", \"iad\", \"sin\"]",
        "policy = \"nearest\"\npools = [\"fra\", \"iad\", \"sin\"]",
        "policy = \"weighted\"\npools = { fra = 90, iad = 5, sin = 5 }",
        "policy = \"weighted\"\nsticky = \"network\"\npools = { fra = 90, iad = 5, sin = 5 }",
        "policy = \"hash\"\npools = [\"fra\", \"iad\", \"sin\"]",
        "policy = \"round-robin\"\npools = [\"fra\", \"iad\", \"sin\"]",
        "policy = \"multivalue\"\npools = [\"fra\", \"iad\", \"sin\"]",
    ] {
        let mut server = server(&format!("[record.\"www\"]\n{policy}\n"));
        seen_from(&server, AUSTRALIA, "fra", down);
        let (sydney, berlin) = (regions(&mut server, SYDNEY), regions(&mut server, BERLIN));
        assert!(!sydney.contains("fra"), "{policy}: {sydney:?}");
        assert!(berlin.contains("fra"), "{policy}: {berlin:?}");
        assert_eq!(explained(&server, SYDNEY).area.as_deref(), Some("australia"), "{policy}");
        assert_eq!(explained(&server, BERLIN).area, None, "{policy}");
    }
}

#[test]
fn an_answer_holds_for_no_client_of_another_area() {
    for policy in ["weighted", "hash", "round-robin", "failover", "nearest"] {
        let mut server = server(&format!(
            "[record.\"www\"]\npolicy = \"{policy}\"\npools = [\"fra\", \"iad\"]\n"
        ));
        seen_from(&server, AUSTRALIA, "fra", down);
        let mut known: HashSet<(u32, u8)> = HashSet::new();
        for network in 0..2048_u32 {
            let client = Ipv4Addr::from(0x0a00_0000 + network * 0x200);
            let asked = ask("www.example.org", "A").subnet(&format!("{client}/24"));
            let message = server.ask(&asked);
            let bits = scope(&message).expect("a scope");
            let block = client.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            let sydney = (0x0a04_0000_u32, 0x0a04_ffff);
            let last = block | u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            let within = sydney.0 <= block && last <= sydney.1;
            let apart = last < sydney.0 || sydney.1 < block;
            assert!(within || apart, "{policy}: {client}/{bits} is in and outside of an area");
            if within {
                assert_eq!(region_of(&message), "iad", "{policy}: {client}");
            }
            known.insert((block, bits));
        }
        for &(block, bits) in &known {
            let wider = (0..bits).find(|&wider| {
                let mask = u32::MAX.checked_shl(32 - u32::from(wider)).unwrap_or(0);
                known.contains(&(block & mask, wider))
            });
            assert_eq!(wider, None, "{policy}: {}/{bits} overlaps", Ipv4Addr::from(block));
        }
    }
}

#[test]
fn without_areas_a_weighted_record_is_the_same_for_all() {
    let mut server =
        server_with("", "[record.\"www\"]\npolicy = \"weighted\"\npools = { fra = 1, iad = 1 }\n");
    let message = server.ask(&ask("www.example.org", "A").subnet(SYDNEY));
    assert_eq!(scope(&message), Some(0));
}

#[test]
fn whoever_is_in_several_areas_is_of_the_first() {
    let swapped = r#"
[area.oceania]
match = { continent = "OC" }
[area.south]
match = { cidr = ["10.4.0.0/16", "10.5.0.0/16"] }
"#;
    let record = "[record.\"www\"]\npolicy = \"failover\"\npools = [\"fra\", \"iad\"]\n";
    let server = server_with(swapped, record);
    assert_eq!(explained(&server, SYDNEY).area.as_deref(), Some("oceania"));
    assert_eq!(explained(&server, "10.5.7.0/24").area.as_deref(), Some("south"));
    assert_eq!(explained(&server, LONDON).area, None);
}

#[test]
fn a_fence_stands_though_only_one_area_has_lost_what_is_inside() {
    let mut server = server(
        r#"
[record."www"]
[[record."www".rule]]
match       = "default"
policy      = "failover"
pools       = ["fra", "dub"]
fence       = true
last_resort = "nodata"
[[record."other".rule]]
match  = "default"
policy = "failover"
pools  = ["iad"]
"#,
    );
    for region in ["fra", "dub"] {
        seen_from(&server, AUSTRALIA, region, down);
    }
    assert_eq!([SYDNEY, BERLIN].map(|city| region(&mut server, city)), ["none", "fra"]);
}

#[test]
fn panic_and_the_last_resort_are_the_areas_own() {
    let mut server = server(
        r#"
[record."www"]
policy      = "failover"
pools       = ["fra", "dub", "iad"]
panic       = "50%"
[record."last"]
policy = "failover"
pools  = ["fra", "dub"]
last_resort = ["192.0.2.66"]
"#,
    );
    for region in ["fra", "dub"] {
        seen_from(&server, AUSTRALIA, region, down);
    }
    let (sydney, berlin) = (explained(&server, SYDNEY), explained(&server, BERLIN));
    assert_eq!((sydney.reason.as_str(), sydney.panic), ("panic", Some((1, 3))));
    assert_eq!((berlin.reason.as_str(), berlin.panic), ("preferred", None));
    let mut last = |city| region_of(&server.ask(&ask("last.example.org", "A").subnet(city)));
    assert_eq!([SYDNEY, BERLIN].map(&mut last), ["sorry", "fra"]);
}

#[test]
fn members_that_an_area_cannot_reach_are_not_handed_out_to_it() {
    let mut server = server("[record.\"www\"]\npolicy = \"failover\"\npools = [\"fra\"]\n");
    let second = PoolWord::new(Verdict::Degraded, PoolWord::KEEP_ALL, 0b10);
    let fra = server.config.pools.iter().position(|pool| &*pool.name == "fra").expect("fra");
    server.health.store(PoolId(fra as u32), Family::V4, AUSTRALIA, second);
    let mut addresses = |city: &str| {
        let asked = ask("www.example.org", "A").subnet(city);
        let all = (0..64).flat_map(|_| lines(&server.ask(&asked).answers));
        all.collect::<HashSet<_>>().len()
    };
    assert_eq!((addresses(SYDNEY), addresses(BERLIN)), (1, 2));
}

#[test]
fn what_is_in_sight_for_an_area_bounds_the_ttl_of_its_answers() {
    let mut server = server(
        r#"
[record."www"]
policy = "failover"
pools  = ["fra", "iad"]
ttl    = { min = "5s", max = "5m" }
"#,
    );
    seen_from(&server, AUSTRALIA, "fra", |word| word.with_sight(Sight::of(7)));
    let mut ttl = |city| {
        let message = server.ask(&ask("www.example.org", "A").subnet(city));
        message.answers.first().map(|record| record.ttl)
    };
    assert_eq!([SYDNEY, BERLIN].map(&mut ttl), [Some(7), Some(300)]);
}

/// What decides over the pools of a server, and its table.
fn keeper(server: &Server) -> Keeper {
    let config = &server.config;
    let checks = (&*config.checks, &*config.composites);
    let mut plan = watch::plan(&config.regions, &config.pools, checks, &config.pool_checks);
    plan.areas = config.areas.iter().map(|area| area.name.clone()).collect();
    Keeper::new(plan, &Default::default(), Vec::new(), Duration::ZERO)
}

fn take_over(server: &Server, keeper: &Keeper) {
    let table = keeper.table();
    for pool in (0..table.pools() as u32).map(PoolId) {
        for (family, area) in [Family::V4, Family::V6]
            .into_iter()
            .flat_map(|family| AreaId::all(table.areas()).map(move |area| (family, area)))
        {
            server.health.store(pool, family, area, table.word(pool, family, area));
        }
    }
}

#[test]
fn an_operator_keeps_the_clients_of_one_area_away_for_an_hour() {
    let mut server = server("[record.\"www\"]\npolicy = \"hash\"\npools = [\"fra\", \"iad\"]\n");
    let mut keeper = keeper(&server);
    let order = Override {
        target: "region.fra".parse().expect("a target"),
        area: Some("australia".into()),
        state: OverrideState::Drain,
        reason: "bad transit".into(),
        by: "ops".into(),
        until: Some(3600),
    };
    let events = keeper.set_override(order, Duration::from_secs(1));
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Pool { name, area, why, .. } => Some((&**name, area.as_deref(), &**why)),
            _ => None,
        })
        .collect();
    let why = "drained for area australia by ops: bad transit";
    // Once for each family that fra has members of.
    assert_eq!(told, [("fra", Some("australia"), why); 2]);
    take_over(&server, &keeper);
    assert!(!regions(&mut server, SYDNEY).contains("fra"));
    assert!(regions(&mut server, BERLIN).contains("fra"));
    let status = keeper.known().status(Duration::from_secs(61));
    let fra = status.pools.iter().find(|pool| &*pool.pool == "fra").expect("fra");
    let seen = &fra.areas["australia"];
    assert_eq!((fra.eligible, fra.areas.len()), (true, 1));
    assert_eq!((seen.verdict, seen.eligible, &*seen.why), ("draining", false, why));
    assert!((seen.since_s - 60.0).abs() < 0.001);

    assert!(keeper.expire_overrides(3599, Duration::from_secs(3500)).is_empty());
    assert!(!keeper.expire_overrides(3600, Duration::from_secs(3501)).is_empty());
    take_over(&server, &keeper);
    assert!(regions(&mut server, SYDNEY).contains("fra"));
}

#[test]
fn what_if_may_speak_of_an_area() {
    let server = server("[record.\"www\"]\npolicy = \"failover\"\npools = [\"fra\", \"iad\"]\n");
    let snapshot = server.snapshot();
    let answered = |what_if: &str, client: &str| {
        let supposed = Supposed::of(&parse_list(what_if)?, &snapshot)?;
        let table = all_up(&snapshot.pools, snapshot.areas.len());
        supposed.apply(&table, &snapshot.pools);
        let question = Question {
            name: "www.example.org.".parse().expect("a name"),
            qtype: Rtype::A,
            client: client.parse().expect("an address"),
            prefix: None,
            seed: 1,
        };
        let told = explain(&snapshot, &table, &question);
        let steering = told.steps.into_iter().find_map(|step| step.steering).expect("steered");
        let picked = steering.candidates.into_iter().find(|of| of.outcome == "picked");
        Ok(picked.expect("one is picked").pool)
    };
    let both = |what_if| ["10.4.0.1", "10.1.0.1"].map(|client| answered(what_if, client));
    let pools = |one: &str, other: &str| [Ok(one.to_owned()), Ok(other.to_owned())];
    assert_eq!(both("region.fra=down@australia"), pools("iad", "fra"));
    assert_eq!(both("pool.fra@example.org=drain@australia"), pools("iad", "fra"));
    assert_eq!(both("region.fra=down,region.fra=up@australia"), pools("fra", "iad"));
    let nowhere = Err(SupposeError::NoArea("atlantis".to_owned()));
    assert_eq!(answered("region.fra=down@atlantis", "10.4.0.1"), nowhere);
}
