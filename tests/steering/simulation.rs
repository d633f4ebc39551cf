//! A seeded simulation: regions fail, drain and come back at random; after each step every
//! client is asked for, and what must always hold is checked. `MERIDIAN_SEED` replays one.

use meridian::health::table::Verdict;
use meridian::steer::chance::Chance;

use crate::support::ask;
use crate::{BERLIN, LONDON, NEW_YORK, NOWHERE, SYDNEY, region_of, server};

const RECORDS: &str = r#"
[record."www"]
policy = "nearest"
pools  = ["fra", "dub", "iad", "sin"]
[record."fenced"]
[[record."fenced".rule]]
match  = { continent = ["EU"] }
pools  = ["fra", "dub"]
policy = "nearest"
fence  = true
[[record."fenced".rule]]
match  = "default"
pools  = ["iad", "sin"]
policy = "round-robin"
[record."mixed"]
policy = "weighted"
pools  = { fra = 5, dub = 0, iad = 2, sin = 1 }
"#;
const REGIONS: [&str; 4] = ["fra", "dub", "iad", "sin"];
const CLIENTS: [&str; 5] = [BERLIN, LONDON, NEW_YORK, SYDNEY, NOWHERE];
const VERDICTS: [Verdict; 6] = [
    Verdict::Up,
    Verdict::Up,
    Verdict::Down,
    Verdict::Degraded,
    Verdict::Draining,
    Verdict::ForcedDown,
];

#[test]
fn no_client_is_sent_to_a_dead_region_while_a_live_one_is_allowed() {
    let seeds = match std::env::var("MERIDIAN_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..40).collect(),
    };
    for seed in seeds {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut chance = Chance::seeded(seed);
    let mut server = server(RECORDS);
    let mut state = [Verdict::Up; 4];
    for step in 0..60 {
        let changed = chance.below(4) as usize;
        state[changed] = VERDICTS[chance.below(6) as usize];
        server.region(REGIONS[changed], state[changed]);
        let lives = |region: &str| {
            REGIONS
                .iter()
                .position(|name| *name == region)
                .is_some_and(|at| state[at].is_eligible())
        };
        for client in CLIENTS {
            for name in ["www", "fenced", "mixed"] {
                let message = server.ask(&ask(&format!("{name}.example.org"), "A").subnet(client));
                let got = region_of(&message);
                let european = name == "fenced" && [BERLIN, LONDON].contains(&client);
                let allowed: &[&str] = if european { &REGIONS[..2] } else { &REGIONS };
                let context = format!("seed {seed} step {step} {name} {client} {state:?}: {got}");
                if allowed.iter().any(|region| lives(region)) {
                    assert!(lives(got), "{context}");
                }
                if european {
                    assert!(got == "none" || allowed.contains(&got), "the fence broke: {context}");
                } else {
                    assert_ne!(got, "none", "{context}");
                }
                if name == "www" {
                    let again = server.ask(&ask("www.example.org", "A").subnet(client));
                    assert_eq!(region_of(&again), got, "not stable: {context}");
                }
            }
        }
    }
}
