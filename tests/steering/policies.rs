//! Each policy, with everything well and with something out.

use std::collections::HashMap;

use meridian::health::table::Verdict;

use crate::support::{Server, ask, lines, scope};
use crate::{BERLIN, LONDON, NEW_YORK, NOWHERE, SYDNEY, region, region_of, server};

const NEAREST: &str =
    "[record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"dub\", \"iad\", \"sin\"]\n";
const FAILOVER: &str =
    "[record.\"www\"]\npolicy = \"failover\"\npools = [\"iad\", \"fra\", \"sin\"]\n";

#[test]
fn nearest_sends_each_client_to_its_nearest_region() {
    let mut server = server(NEAREST);
    let regions = [BERLIN, LONDON, NEW_YORK, SYDNEY].map(|client| region(&mut server, client));
    assert_eq!(regions, ["fra", "dub", "iad", "sin"]);
}

#[test]
fn when_a_region_fails_its_clients_go_to_the_next_nearest_and_come_back() {
    let mut server = server(NEAREST);
    server.region("fra", Verdict::Down);
    assert_eq!(region(&mut server, BERLIN), "dub");
    assert_eq!(region(&mut server, SYDNEY), "sin", "nobody else moves");
    server.region("dub", Verdict::Down);
    assert_eq!(region(&mut server, BERLIN), "iad");
    assert_eq!(region(&mut server, LONDON), "iad");
    server.region("fra", Verdict::Up);
    assert_eq!(region(&mut server, BERLIN), "fra");
    assert_eq!(region(&mut server, LONDON), "fra");
}

#[test]
fn a_draining_region_gets_no_new_clients() {
    let mut server = server(NEAREST);
    server.region("fra", Verdict::Draining);
    assert_eq!(region(&mut server, BERLIN), "dub");
}

#[test]
fn nearest_takes_clients_of_unknown_places_in_the_order_written() {
    assert_eq!(region(&mut server(NEAREST), NOWHERE), "fra");
}

#[test]
fn bias_moves_the_border() {
    let mut server = server(&format!("{NEAREST}bias = {{ fra = 80 }}\n"));
    assert_eq!(region(&mut server, LONDON), "fra");
}

#[test]
fn failover_takes_the_first_that_lives() {
    let mut server = server(FAILOVER);
    for (out, expected) in [(None, "iad"), (Some("iad"), "fra"), (Some("fra"), "sin")] {
        if let Some(region) = out {
            server.region(region, Verdict::Down);
        }
        assert_eq!(region(&mut server, SYDNEY), expected);
    }
}

#[test]
fn failover_means_the_same_to_everybody_so_its_scope_is_0() {
    let mut server = server(FAILOVER);
    server.region("iad", Verdict::Down);
    let message = server.ask(&ask("www.example.org", "A").subnet(BERLIN));
    assert_eq!(scope(&message), Some(0));
}

/// Shares of `draws` answers by region.
fn shares(server: &mut Server, draws: u32) -> HashMap<&'static str, f64> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for _ in 0..draws {
        *counts.entry(region(server, BERLIN)).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| (name, f64::from(count) / f64::from(draws))).collect()
}

fn close(shares: &HashMap<&'static str, f64>, expected: &[(&'static str, f64)]) {
    assert_eq!(shares.len(), expected.len(), "{shares:?}");
    for (name, share) in expected {
        let have = shares.get(name).copied().unwrap_or(0.0);
        assert!((have - share).abs() < 0.02, "{name}: {have} is not {share}");
    }
}

#[test]
fn weighted_shares_follow_the_weights_of_what_lives() {
    let mut server = server(
        "[record.\"www\"]\npolicy = \"weighted\"\npools = { fra = 6, dub = 3, iad = 1, sin = 0 }\n",
    );
    close(&shares(&mut server, 20_000), &[("fra", 0.6), ("dub", 0.3), ("iad", 0.1)]);
    server.region("fra", Verdict::Down);
    close(&shares(&mut server, 20_000), &[("dub", 0.75), ("iad", 0.25)]);
    server.region("dub", Verdict::Down);
    close(&shares(&mut server, 100), &[("iad", 1.0)]);
    server.region("iad", Verdict::Down);
    close(&shares(&mut server, 100), &[("sin", 1.0)]);
}

#[test]
fn weighted_answers_hold_for_everybody_so_the_scope_is_0() {
    let mut server =
        server("[record.\"www\"]\npolicy = \"weighted\"\npools = { fra = 6, dub = 3 }\n");
    assert_eq!(scope(&server.ask(&ask("www.example.org", "A").subnet(BERLIN))), Some(0));
}

const HASH: &str = "[record.\"www\"]\npolicy = \"hash\"\npools = { fra = 2, dub = 1, iad = 1 }\n";

/// Clients of unknown place, a network each.
fn networks(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("10.{}.{}.0/24", 128 + n / 256, n % 256))
}

#[test]
fn hash_gives_each_network_a_pool_of_its_own_by_weight() {
    let mut server = server(HASH);
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for client in networks(8_000) {
        let pool = region(&mut server, &client);
        assert_eq!(region(&mut server, &client), pool, "{client} stays");
        *counts.entry(pool).or_default() += 1;
    }
    let shares = counts.into_iter().map(|(name, n)| (name, f64::from(n) / 8_000.0)).collect();
    close(&shares, &[("fra", 0.5), ("dub", 0.25), ("iad", 0.25)]);
}

#[test]
fn hash_moves_only_the_clients_of_the_pool_that_fails_and_takes_them_back() {
    let mut server = server(HASH);
    let clients: Vec<String> = networks(2_000).collect();
    let all = |server: &mut Server| -> Vec<&str> {
        clients.iter().map(|client| region(server, client)).collect()
    };
    let before = all(&mut server);
    server.region("dub", Verdict::Down);
    for (was, is) in before.iter().zip(all(&mut server)) {
        assert!(if *was == "dub" { is == "fra" || is == "iad" } else { is == *was });
    }
    server.region("dub", Verdict::Up);
    assert_eq!(all(&mut server), before);
}

#[test]
fn hash_holds_for_the_network_that_is_hashed() {
    let scopes = |key: &str, client| {
        let mut server = server(&format!("{HASH}{key}"));
        scope(&server.ask(&ask("www.example.org", "A").subnet(client)))
    };
    assert_eq!(scopes("", BERLIN), Some(24));
    assert_eq!(scopes("key = { ipv4 = 20, ipv6 = 40 }\n", BERLIN), Some(20));
    assert_eq!(scopes("", "2001:db8:7:7::/56"), Some(48));
    assert_eq!(scopes("key = { ipv6 = 56 }\n", "2001:db8:7:7::/56"), Some(56));
    let mut server = server(&format!("{HASH}key = {{ ipv4 = 16 }}\n"));
    let pools: Vec<&str> = networks(256).map(|client| region(&mut server, &client)).collect();
    assert!(pools.iter().all(|pool| *pool == pools[0]), "one /16 is one client");
}

#[test]
fn hash_gives_several_answers_none_twice() {
    let mut server = server(&format!("{HASH}answers = 2\n"));
    for client in networks(200) {
        let answers = lines(&server.ask(&ask("www.example.org", "A").subnet(&client)).answers);
        assert!(answers.len() == 2 && answers[0] != answers[1], "{answers:?}");
    }
}

#[test]
fn weights_that_move_take_only_the_networks_they_must() {
    let sticky = |fra, dub| {
        server(&format!(
            "[record.\"www\"]\npolicy = \"weighted\"\nsticky = \"network\"\n\
             pools = {{ fra = {fra}, dub = {dub} }}\n"
        ))
    };
    let (mut before, mut after) = (sticky(95, 5), sticky(90, 10));
    let (mut at_dub, mut moved) = (0, 0);
    for client in networks(8_000) {
        let (was, is) = (region(&mut before, &client), region(&mut after, &client));
        assert!(was == is || (was, is) == ("fra", "dub"), "{client}");
        at_dub += i32::from(was == "dub");
        moved += i32::from(was != is);
    }
    assert!((320..480).contains(&at_dub) && (320..480).contains(&moved), "{at_dub}, {moved}");
}

#[test]
fn round_robin_goes_in_turn_over_what_lives() {
    let mut server =
        server("[record.\"www\"]\npolicy = \"round-robin\"\npools = [\"fra\", \"dub\", \"iad\"]\n");
    let turn: Vec<&str> = (0..6).map(|_| region(&mut server, BERLIN)).collect();
    assert_eq!(turn, ["fra", "dub", "iad", "fra", "dub", "iad"]);
    server.region("dub", Verdict::Down);
    let turn: Vec<&str> = (0..4).map(|_| region(&mut server, BERLIN)).collect();
    assert_eq!(turn, ["fra", "iad", "fra", "iad"]);
}

#[test]
fn several_answers_are_the_first_that_live_none_twice() {
    let mut server = server(&format!("{NEAREST}answers = 2\n"));
    let regions = |server: &mut Server| -> Vec<String> {
        lines(&server.ask(&ask("www.example.org", "A").subnet(LONDON)).answers)
            .iter()
            .map(|line| line.rsplit('.').next().expect("an octet").to_owned())
            .collect()
    };
    assert_eq!(regions(&mut server).len(), 2);
    assert_eq!(regions(&mut server)[0], "20");
    server.region("dub", Verdict::Down);
    server.region("fra", Verdict::Down);
    assert_eq!(regions(&mut server), ["30", "40"]);
}

#[test]
fn more_candidates_than_a_table_keeps_are_searched_by_distance() {
    // Twelve regions along the equator; the eight nearest to Sydney fail.
    let mut regions = String::new();
    let mut policy = String::new();
    let mut names = Vec::new();
    for index in 0..12 {
        let longitude = -165.0 + 30.0 * f64::from(index);
        regions.push_str(&format!("[region.r{index}]\nlocation = [0.0, {longitude}]\n"));
        policy.push_str(&format!(
            "[pool.r{index}]\nregion = \"r{index}\"\nmembers = [\"192.0.2.{}\"]\n",
            100 + index
        ));
        names.push(format!("\"r{index}\""));
    }
    policy.push_str(&format!(
        "[record.\"www\"]\npolicy = \"nearest\"\npools = [{}]\n",
        names.join(", ")
    ));
    let mut server = Server::over(
        &[
            ("geo/regions.toml", &regions),
            ("geo/networks.toml", crate::NETWORKS),
            ("zones/example.org.toml", &policy),
            ("zones/example.org.zone", crate::ZONE),
        ],
        |config| meridian::geo::world::World::from_networks(&config.networks),
    );
    let longitude = |index: i32| -165.0 + 30.0 * f64::from(index);
    let far = |index: i32| {
        let away = (longitude(index) - 151.21).rem_euclid(360.0);
        away.min(360.0 - away)
    };
    let mut by_distance: Vec<i32> = (0..12).collect();
    by_distance.sort_by(|a, b| far(*a).total_cmp(&far(*b)));
    for (place, index) in by_distance.iter().enumerate() {
        let message = server.ask(&ask("www.example.org", "A").subnet(SYDNEY));
        assert_eq!(
            lines(&message.answers),
            [format!("www.example.org. 30 A 192.0.2.{}", 100 + index)],
            "place {place}"
        );
        server.region(&format!("r{index}"), Verdict::Down);
    }
}

#[test]
fn members_of_a_pool_are_chosen_by_weight_among_those_that_live() {
    use meridian::health::table::PoolWord;
    use meridian::region::{AreaId, Family, PoolId};
    let mut server = server(NEAREST);
    let fra = server.config.pools.iter().position(|pool| &*pool.name == "fra").expect("fra");
    let heavy = |server: &mut Server| {
        let count = (0..4_000)
            .filter(|_| {
                let message = server.ask(&ask("www.example.org", "A").subnet(BERLIN));
                lines(&message.answers) == ["www.example.org. 30 A 192.0.2.11"]
            })
            .count();
        f64::from(count as u32) / 4_000.0
    };
    assert!((heavy(&mut server) - 0.75).abs() < 0.03);
    let only = |live| PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, live);
    server.health.store(PoolId(fra as u32), Family::V4, AreaId::WORLD, only(0b01));
    assert!(heavy(&mut server) == 0.0);
    server.health.store(PoolId(fra as u32), Family::V4, AreaId::WORLD, only(0b10));
    assert!(heavy(&mut server) == 1.0);
}

#[test]
fn ipv6_is_judged_and_steered_apart() {
    use meridian::health::table::PoolWord;
    use meridian::region::{AreaId, Family, PoolId};
    let mut server = server(NEAREST);
    let fra = server.config.pools.iter().position(|pool| &*pool.name == "fra").expect("fra");
    let down = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
    server.health.store(PoolId(fra as u32), Family::V6, AreaId::WORLD, down);
    assert_eq!(region(&mut server, BERLIN), "fra");
    let message = server.ask(&ask("www.example.org", "AAAA").subnet(BERLIN));
    assert_eq!(lines(&message.answers), ["www.example.org. 30 AAAA 2001:db8:d::10"]);
}

#[test]
fn every_last_resort_is_what_it_says() {
    let cases = [
        ("", "fra"),
        ("last_resort = \"all\"\n", "fra"),
        ("last_resort = \"default\"\n", "default"),
        ("last_resort = \"192.0.2.66\"\n", "sorry"),
    ];
    for (last_resort, expected) in cases {
        let mut server = server(&format!("{NEAREST}{last_resort}"));
        ["fra", "dub", "iad", "sin"].iter().for_each(|region| server.region(region, Verdict::Down));
        assert_eq!(region(&mut server, BERLIN), expected, "{last_resort}");
    }
    for (last_resort, expected) in [
        ("nodata", "NOERROR aa 0/1/0"),
        ("servfail", "SERVFAIL aa 0/0/0"),
        ("sorry.example.org.", "NOERROR aa 2/0/0"),
    ] {
        // A CNAME stands alone, so the zone file has nothing else at this name.
        let zone =
            crate::ZONE.replace("www 60 TXT static\n", "").replace("www 60 A 192.0.2.99\n", "");
        let policy = format!("{}\n{NEAREST}last_resort = \"{last_resort}\"\n", crate::POOLS);
        let mut server = crate::with_policy(&policy, &zone);
        ["fra", "dub", "iad", "sin"].iter().for_each(|region| server.region(region, Verdict::Down));
        let message = server.ask(&ask("www.example.org", "A").subnet(BERLIN));
        assert_eq!(crate::support::shape(&message), expected);
    }
}

#[test]
fn the_last_resort_all_leaves_out_what_an_operator_drained() {
    let mut server = server(NEAREST);
    ["fra", "dub", "iad", "sin"].iter().for_each(|region| server.region(region, Verdict::Down));
    server.region("fra", Verdict::Draining);
    assert_eq!(region(&mut server, BERLIN), "dub");
    ["dub", "iad", "sin"].iter().for_each(|region| server.region(region, Verdict::ForcedDown));
    assert_eq!(region(&mut server, BERLIN), "fra", "but it is never empty by accident");
}

#[test]
fn below_the_panic_threshold_health_is_ignored() {
    let mut server = server(&format!("{NEAREST}panic = \"50%\"\n"));
    ["dub", "iad"].iter().for_each(|region| server.region(region, Verdict::Down));
    assert_eq!(region(&mut server, LONDON), "fra", "half of them live: health counts");
    server.region("sin", Verdict::Down);
    assert_eq!(region(&mut server, LONDON), "dub", "fewer than half live: distance counts");
    server.region("dub", Verdict::ForcedDown);
    assert_eq!(region(&mut server, LONDON), "fra", "an operator's word still counts");
}

#[test]
fn other_types_of_a_steered_name_come_from_the_zone_file() {
    let mut server = server(NEAREST);
    let message = server.ask(&ask("www.example.org", "TXT").subnet(BERLIN));
    assert_eq!(lines(&message.answers), ["www.example.org. 60 TXT static"]);
    assert_eq!(scope(&message), Some(0));
    let message = server.ask(&ask("www.example.org", "MX"));
    assert_eq!(crate::support::shape(&message), "NOERROR aa 0/1/0");
}

#[test]
fn a_steered_wildcard_steers_every_name_under_it() {
    let mut server =
        server("[record.\"*.apps\"]\npolicy = \"nearest\"\npools = [\"fra\", \"iad\"]\n");
    for name in ["a.apps.example.org", "x.y.apps.example.org"] {
        let message = server.ask(&ask(name, "A").subnet(NEW_YORK));
        assert_eq!(region_of(&message), "iad", "{name}");
        assert_eq!(message.answers[0].name.to_string(), format!("{name}."));
    }
}

#[test]
fn the_apex_can_be_steered_and_keeps_its_soa() {
    let mut server = server("[record.\"@\"]\npolicy = \"nearest\"\npools = [\"fra\", \"iad\"]\n");
    assert_eq!(region_of(&server.ask(&ask("example.org", "A").subnet(NEW_YORK))), "iad");
    assert_eq!(server.answers("example.org", "SOA").len(), 1);
    assert_eq!(server.answers("example.org", "NS").len(), 1);
}

#[test]
fn a_cname_to_a_steered_name_is_steered() {
    let zone = format!("{}\nalias 60 CNAME www\n", crate::ZONE);
    let mut server = crate::with_policy(&format!("{}\n{NEAREST}", crate::POOLS), &zone);
    let message = server.ask(&ask("alias.example.org", "A").subnet(NEW_YORK));
    assert_eq!(
        lines(&message.answers),
        ["alias.example.org. 60 CNAME www.example.org.", "www.example.org. 30 A 192.0.2.30"]
    );
    assert!(scope(&message) > Some(0));
}
