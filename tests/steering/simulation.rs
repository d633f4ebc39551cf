//! A seeded simulation of hours: regions fail, drain, come back slowly and are reloaded under
//! records with every policy and feature; after each step clients ask, and what must always hold
//! is checked. `MERIDIAN_SEED` replays one seed, `MERIDIAN_SEEDS` runs so many.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use meridian::daemon::changes::{Conductor, Moment};
use meridian::daemon::steward::Steward;
use meridian::health::table::Verdict;
use meridian::steer::chance::Chance;
use meridian::steer::safety::SafetySpec;

use crate::server;
use crate::support::{Server, ask};

const REGIONS: [&str; 4] = ["fra", "dub", "iad", "sin"];
const VERDICTS: [Verdict; 8] = [
    Verdict::Up,
    Verdict::Up,
    Verdict::Up,
    Verdict::Down,
    Verdict::Down,
    Verdict::Degraded,
    Verdict::Draining,
    Verdict::ForcedDown,
];
/// Two networks of each city, and one of nowhere: the third octet is drawn.
const CITIES: [[u8; 2]; 5] = [[10, 1], [10, 2], [10, 3], [10, 4], [10, 99]];
const STEPS: u32 = 40;

#[test]
fn what_must_hold_holds_whatever_happens() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match (number("MERIDIAN_SEED"), number("MERIDIAN_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(60),
    };
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        assert!(ran.is_ok(), "replay with MERIDIAN_SEED={seed}");
    }
}

/// A record, and what is to be expected of it.
struct Kept {
    name: String,
    toml: String,
    /// The regions it may answer from at all, for clients of Europe and for others.
    allowed: [Vec<&'static str>; 2],
    /// Nothing is answered, rather than something from elsewhere.
    fenced: bool,
    /// A client gets the same answer as long as nothing changes.
    is_stable: bool,
    /// A client that has left an answer does not come back to it while only time goes by.
    is_steady: bool,
    ttl: (u32, u32),
}

fn record(number: u32, chance: &mut Chance) -> Kept {
    let name = format!("r{number}");
    let mut lines: Vec<String> = Vec::new();
    let mut own: Vec<&str> = REGIONS.to_vec();
    own.truncate(2 + chance.below(3) as usize);
    let list = own.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let table = |chance: &mut Chance| {
        let weight = |name: &&str| format!("{name} = {}", 1 + chance.below(5));
        own.iter().map(weight).collect::<Vec<_>>().join(", ")
    };
    let kind = chance.below(9);
    let (by_chance, policy) = match kind {
        0 => (false, format!("policy = \"failover\"\npools = [{list}]")),
        1 => (false, format!("policy = \"nearest\"\npools = [{list}]")),
        2 => (true, format!("policy = \"nearest\"\npools = [{list}]\nband = \"80%\"")),
        3 => {
            let ties = "band = \"80%\"\nties = \"network\"";
            (false, format!("policy = \"nearest\"\npools = [{list}]\n{ties}"))
        }
        4 => (true, format!("policy = \"weighted\"\npools = {{ {} }}", table(chance))),
        5 => {
            let pools = table(chance);
            (false, format!("policy = \"weighted\"\nsticky = \"network\"\npools = {{ {pools} }}"))
        }
        6 => (false, format!("policy = \"hash\"\npools = {{ {} }}", table(chance))),
        7 => (true, format!("policy = \"round-robin\"\npools = [{list}]")),
        _ => (false, format!("policy = \"nearest\"\npools = [\"inner{number}\", \"{}\"]", own[0])),
    };
    let groups = if kind == 8 {
        let inner = own[1..].iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        format!("[group.inner{number}]\npolicy = \"failover\"\npools = [{}]\n", inner.join(", "))
    } else {
        String::new()
    };
    lines.push(policy);
    let once_in = |chance: &mut Chance, times| chance.below(times) == 0;
    let ttl = if once_in(chance, 2) {
        lines.push("ttl = { min = \"5s\", max = \"5m\" }".to_owned());
        (5, 300)
    } else {
        (30, 30)
    };
    if once_in(chance, 4) {
        lines.push(format!("answers = {}", 1 + chance.below(3)));
    }
    let failback = match chance.below(4) {
        0 => Some("{ after = \"60s\", ramp = \"5m\" }"),
        1 => Some("\"manual\""),
        _ => None,
    };
    lines.extend(failback.map(|failback| format!("failback = {failback}")));
    let moves = kind < 8 && once_in(chance, 3);
    if moves {
        let pool = own[own.len() - 1];
        lines.push(match chance.below(2) {
            0 => format!(
                "canary = {{ pool = \"{pool}\", every = \"2m\", start = \"auto\", abort = \"off\" }}"
            ),
            _ => {
                let blue: Vec<_> =
                    own[..own.len() - 1].iter().map(|name| format!("\"{name}\"")).collect();
                format!("switch = {{ blue = [{}], green = [\"{pool}\"] }}", blue.join(", "))
            }
        });
    }
    let fenced = once_in(chance, 3);
    let toml = if fenced {
        // Europe is fenced in; all others get whatever there is.
        let (record_keys, rule_keys): (Vec<_>, Vec<_>) =
            lines.iter().partition(|line| line.starts_with("ttl") || line.starts_with("answers"));
        let join = |lines: Vec<&String>| lines.into_iter().cloned().collect::<Vec<_>>().join("\n");
        format!(
            "{groups}[record.\"{name}\"]\n{}\n[[record.\"{name}\".rule]]\nmatch = {{ continent = \
             [\"EU\"] }}\nfence = true\n{}\n[[record.\"{name}\".rule]]\nmatch = \"default\"\n\
             policy = \"failover\"\npools = [\"sin\", \"iad\", \"dub\", \"fra\"]\n",
            join(record_keys),
            join(rule_keys),
        )
    } else {
        format!("{groups}[record.\"{name}\"]\n{}\n", lines.join("\n"))
    };
    let elsewhere = if fenced { REGIONS.to_vec() } else { own.clone() };
    Kept {
        name,
        toml,
        allowed: [own, elsewhere],
        fenced,
        is_stable: !by_chance,
        is_steady: !(by_chance || moves && failback.is_some()),
        ttl,
    }
}

struct World {
    server: Server,
    steward: Steward,
    conductor: Conductor,
    now: u64,
    verdicts: [Verdict; 4],
    /// By record and client, the answers since something happened, the last at the end.
    seen: HashMap<(usize, Ipv4Addr), Vec<Vec<&'static str>>>,
}

/// An answer: its regions in order, its TTL, and for how long a prefix it holds.
struct Got {
    regions: Vec<&'static str>,
    ttl: Option<u32>,
    scope: u8,
}

impl World {
    fn turn(&mut self) {
        let now = Duration::from_secs(self.now);
        let snapshot = self.server.snapshot();
        self.conductor.look(&snapshot, now);
        self.conductor.tick(&snapshot, Moment { now, wall: 1_798_002_000 + self.now });
        self.steward.turn(&snapshot, now);
        self.server.now = now;
    }

    /// How many pools are on their way back to a record's clients.
    fn returning(&self, name: &str) -> usize {
        let owner = format!("{name}.example.org.");
        let all = self.steward.returning(&self.server.snapshot(), self.server.now);
        all.iter().filter(|returning| *returning.record == *owner).count()
    }

    fn lives(&self, region: &str) -> bool {
        REGIONS.iter().zip(&self.verdicts).any(|(name, is)| *name == region && is.is_eligible())
    }

    fn get(&mut self, name: &str, client: Ipv4Addr) -> Got {
        let question = ask(&format!("{name}.example.org"), "A").subnet(&format!("{client}/24"));
        let source = "192.0.2.53".parse().expect("an address");
        let transport = meridian::server::Transport::Udp;
        let octets = self.server.answer(&question.packet(), source, transport);
        let message = hickory_proto::op::Message::from_vec(&octets).expect("a message");
        let region = |record: &hickory_proto::rr::Record| {
            let hickory_proto::rr::RData::A(address) = &record.data else { panic!("{record}") };
            REGIONS[usize::from(address.0.octets()[3] / 10) - 1]
        };
        Got {
            regions: message.answers.iter().map(region).collect(),
            ttl: message.answers.first().map(|record| record.ttl),
            // Family, source, scope and three octets end the message.
            scope: octets[octets.len() - 4],
        }
    }

    fn check(&mut self, records: &[Kept], chance: &mut Chance, context: &str) {
        for (number, kept) in records.iter().enumerate() {
            // A client that no pool takes yet is at the first that serves; as several come back
            // at once it may leave it for one that takes it, and be taken there in the end.
            if self.returning(&kept.name) > 1 {
                self.seen.retain(|(of, _), _| *of != number);
            }
            for [first, second] in CITIES {
                let client = Ipv4Addr::new(first, second, chance.below(4) as u8, 0);
                let got = self.get(&kept.name, client);
                let context =
                    format!("{context}, {client} got {:?} of\n{}", got.regions, kept.toml);
                self.check_answer(kept, client, &got, &context);
                if kept.is_stable {
                    self.check_stable(kept, client, &got, chance, &context);
                }
                if kept.is_steady {
                    self.check_steady(number, client, got.regions, &context);
                }
            }
        }
    }

    fn check_answer(&self, kept: &Kept, client: Ipv4Addr, got: &Got, context: &str) {
        let european = client.octets()[1] <= 2;
        let allowed = &kept.allowed[usize::from(!(kept.fenced && european))];
        let inside = |region: &&&str| allowed.contains(*region);
        assert_eq!(
            got.regions.iter().filter(inside).count(),
            got.regions.len(),
            "fence: {context}"
        );
        let somebody_lives = allowed.iter().any(|region| self.lives(region));
        let dead = got.regions.iter().any(|region| !self.lives(region));
        if somebody_lives {
            assert!(!got.regions.is_empty(), "nothing: {context}");
            assert!(!dead, "dead: {context}");
        } else if !(kept.fenced && european) {
            assert!(!got.regions.is_empty(), "no last resort: {context}");
        }
        let (min, max) = kept.ttl;
        assert!(got.ttl.is_none_or(|ttl| (min..=max).contains(&ttl)), "TTL: {context}");
        let mut once = got.regions.clone();
        once.sort_unstable();
        once.dedup();
        let fra_twice = got.regions.len() - once.len();
        assert!(fra_twice == 0, "twice: {context}");
    }

    /// The same client, and another that the scope says is like it, get the same.
    fn check_stable(
        &mut self,
        kept: &Kept,
        client: Ipv4Addr,
        got: &Got,
        chance: &mut Chance,
        context: &str,
    ) {
        assert_eq!(self.get(&kept.name, client).regions, got.regions, "not stable: {context}");
        let kept_bits = u32::MAX.checked_shl(32 - u32::from(got.scope.min(24))).unwrap_or(0);
        let drawn = chance.draw() as u32 & 0xffff_ff00;
        let alike = Ipv4Addr::from_bits(client.to_bits() & kept_bits | drawn & !kept_bits);
        let other = self.get(&kept.name, alike);
        assert_eq!(other.regions, got.regions, "{alike} is within /{}: {context}", got.scope);
    }

    /// No way back while only time goes by.
    fn check_steady(
        &mut self,
        number: usize,
        client: Ipv4Addr,
        regions: Vec<&'static str>,
        context: &str,
    ) {
        let seen = self.seen.entry((number, client)).or_default();
        if seen.last() != Some(&regions) {
            assert!(!seen.contains(&regions), "back and forth, {seen:?}: {context}");
            seen.push(regions);
        }
    }
}

fn run(seed: u64) {
    let mut chance = Chance::seeded(seed);
    let records: Vec<Kept> = (0..4).map(|number| record(number, &mut chance)).collect();
    let toml: String = records.iter().map(|record| &*record.toml).collect();
    let mut world = World {
        server: server(&toml),
        steward: Steward::default(),
        conductor: Conductor::default(),
        now: 0,
        verdicts: [Verdict::Up; 4],
        seen: HashMap::new(),
    };
    world.conductor.meet(&world.server.snapshot(), SafetySpec::default());
    world.turn();
    for step in 0..STEPS {
        let happened = match chance.below(6) {
            0 | 1 => {
                let at = chance.below(4) as usize;
                let verdict = VERDICTS[chance.below(8) as usize];
                world.verdicts[at] = verdict;
                world.server.region(REGIONS[at], verdict);
                world.turn();
                format!("{} is {}", REGIONS[at], verdict.as_str())
            }
            2 => {
                let region = REGIONS[chance.below(4) as usize];
                let percent = f64::from(chance.below(5)) * 25.0;
                world.server.keep(region, percent);
                format!("{region} takes {percent} %")
            }
            3 => {
                world.server.reload();
                let snapshot = world.server.snapshot();
                world.conductor.meet(&snapshot, SafetySpec::default());
                world.turn();
                "a reload".to_owned()
            }
            _ => {
                let seconds = u64::from(1 + chance.below(60));
                for _ in 0..seconds {
                    world.now += 1;
                    world.turn();
                }
                format!("{seconds} s go by")
            }
        };
        if !happened.ends_with("go by") {
            world.seen.clear();
        }
        let context = format!("seed {seed} step {step} after {happened}, {:?}", world.verdicts);
        world.check(&records, &mut chance, &context);
    }
}
