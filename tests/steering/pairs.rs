//! Every policy inside every other: what each of the two promises, both keep.

use std::collections::{BTreeMap, BTreeSet};

use meridian::health::table::Verdict;

use crate::support::{Server, ask};
use crate::{BERLIN, NEW_YORK, SYDNEY, region, region_of, server};

const POLICIES: [&str; 7] =
    ["failover", "nearest", "weighted", "sticky", "hash", "round-robin", "multivalue"];
const REGIONS: [&str; 4] = ["fra", "dub", "iad", "sin"];
/// The inner group has these, with twice the weight for the first.
const INNER: [&str; 2] = ["dub", "fra"];

fn written(policy: &str, pools: [(&str, u32); 3], count: usize) -> String {
    let pools = &pools[..count];
    let weighted = matches!(policy, "weighted" | "sticky" | "hash");
    let list = match weighted {
        true => pools.iter().map(|(name, weight)| format!("{name} = {weight}")).collect::<Vec<_>>(),
        false => pools.iter().map(|(name, _)| format!("\"{name}\"")).collect(),
    };
    let list = list.join(", ");
    let list = if weighted { format!("{{ {list} }}") } else { format!("[{list}]") };
    match policy {
        "sticky" => format!("policy = \"weighted\"\nsticky = \"network\"\npools = {list}\n"),
        _ => format!("policy = \"{policy}\"\npools = {list}\n"),
    }
}

/// `outer` chooses among a group, which chooses by `inner`, and two pools.
fn nested(outer: &str, inner: &str) -> Server {
    let group = written(inner, [(INNER[0], 2), (INNER[1], 1), ("", 0)], 2);
    let record = written(outer, [("europe", 2), ("iad", 1), ("sin", 1)], 3);
    server(&format!("[group.europe]\n{group}[record.\"www\"]\n{record}"))
}

/// How many of 800 answers to Berlin's networks come from each region.
fn shares(server: &mut Server) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for n in 0..800 {
        let network = format!("10.1.{}.0/24", n % 200);
        *counts.entry(region(server, &network)).or_insert(0) += 1;
    }
    counts
}

#[test]
fn whatever_fails_somebody_who_lives_answers() {
    for outer in POLICIES {
        for inner in POLICIES {
            let mut server = nested(outer, inner);
            for dead in 0..15u32 {
                let lives = |at: usize| dead >> at & 1 == 0;
                for (at, name) in REGIONS.iter().enumerate() {
                    server.region(name, if lives(at) { Verdict::Up } else { Verdict::Down });
                }
                for client in [BERLIN, NEW_YORK, SYDNEY] {
                    let message = server.ask(&ask("www.example.org", "A").subnet(client));
                    let got = region_of(&message);
                    let at = REGIONS.iter().position(|name| *name == got);
                    assert!(
                        at.is_some_and(lives),
                        "{inner} inside {outer}, {dead:04b} are dead: {client} got {got}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_outer_policy_gives_the_group_what_is_the_groups() {
    for outer in POLICIES {
        for inner in POLICIES {
            let mut server = nested(outer, inner);
            let counts = shares(&mut server);
            let inside: usize = INNER.iter().filter_map(|name| counts.get(name)).sum();
            let context = format!("{inner} inside {outer}: {counts:?}");
            match outer {
                "failover" | "nearest" => assert_eq!(inside, 800, "{context}"),
                "weighted" => assert!((340..460).contains(&inside), "{context}"),
                // Two hundred networks, each asked for four times.
                "sticky" | "hash" => assert!((300..500).contains(&inside), "{context}"),
                _ => assert!((200..335).contains(&inside), "{context}"),
            }
        }
    }
}

#[test]
fn the_inner_policy_chooses_inside_as_it_would_alone() {
    for outer in POLICIES {
        for inner in POLICIES {
            let mut server = nested(outer, inner);
            let counts = shares(&mut server);
            let of = |name| counts.get(name).copied().unwrap_or(0);
            let (dub, fra) = (of("dub"), of("fra"));
            let share = dub as f64 / (dub + fra) as f64;
            let context = format!("{inner} inside {outer}: {counts:?}");
            match inner {
                "failover" => assert_eq!(fra, 0, "{context}"),
                "nearest" => assert_eq!(dub, 0, "Berlin is nearer to Frankfurt: {context}"),
                "weighted" | "sticky" | "hash" => {
                    assert!((share - 2.0 / 3.0).abs() < 0.15, "{context}");
                }
                _ => assert!((share - 0.5).abs() < 0.12, "{context}"),
            }
        }
    }
}

#[test]
fn a_network_that_stays_on_both_levels_always_gets_the_same() {
    let stays = ["failover", "nearest", "sticky", "hash"];
    for outer in stays {
        for inner in stays {
            let mut server = nested(outer, inner);
            for n in 0..50 {
                let network = format!("10.1.{n}.0/24");
                let answers: BTreeSet<_> = (0..5).map(|_| region(&mut server, &network)).collect();
                assert_eq!(answers.len(), 1, "{inner} inside {outer}");
            }
        }
    }
}
