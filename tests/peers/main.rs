//! Meridian beside Knot, NSD and BIND: many made-up zones, the same questions to all four, and a
//! reason for every difference.
//!
//! A reason is a rule with a name in `rules.rs`; `docs/differences.md` tells the RFC text behind
//! each. A difference that no rule explains fails the test.
//!
//! `MERIDIAN_PEERS_ZONES` zones at least are made (60), from the seed `MERIDIAN_PEERS_SEED` (1).
//! Needs what `tests/setup` installs; `tests/run` runs it.

#![expect(unreachable_pub, reason = "a test has no outside: pub means between its modules")]

mod ask;
mod message;
mod name;
mod questions;
mod random;
mod rules;
mod servers;
mod world;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use ask::Said;
use message::{AA, Answer, Question, SOA};
use name::Name;
use servers::{KINDS, Kind, Server};
use world::World;
use zones::{Family, Record, Zone};

/// Zones in one start of the servers, more or less.
const BATCH: usize = 400;

/// Questions about one zone, on average; each is asked over UDP and over TCP.
const QUESTIONS: usize = 60;

/// Unexplained differences of one kind that are shown in full.
const SHOWN: usize = 3;

fn number(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{variable} is no number")),
        Err(_) => default,
    }
}

#[test]
fn every_difference_has_a_reason() {
    let wanted = number("MERIDIAN_PEERS_ZONES", 60);
    let seed = number("MERIDIAN_PEERS_SEED", 1) as u64;
    let mut tally = Tally::default();
    let mut next = 0;
    while tally.zones < wanted {
        let mut families = Vec::new();
        let mut zones = 0;
        while zones < BATCH.min(wanted - tally.zones) {
            // Chains lead into families of the same start, and into some that are not there.
            families.push((next, Family::generate(seed, next, next + 8)));
            zones += families.last().map_or(0, |(_, family)| family.zones.len());
            next += 1;
        }
        tally.zones += zones;
        compare(&families, seed, &mut tally);
    }
    eprint!("{tally}");
    assert!(tally.unexplained == 0, "{} answers differ without a reason", tally.unexplained);
}

#[test]
fn every_rule_is_told_in_the_documents() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md");
    let page = fs::read_to_string(page).unwrap();
    let told: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(told, rules::RULES.iter().map(|(name, _)| *name).collect());
}

/// What was seen.
#[derive(Default)]
struct Tally {
    zones: usize,
    queries: usize,
    compared: usize,
    same: usize,
    /// Differences that were explained, by rule and peer.
    by_rule: BTreeMap<(&'static str, Kind), usize>,
    unexplained: usize,
    /// What was left of unexplained differences, by peer: how often, and the first of each kind.
    left: BTreeMap<(String, Kind), (usize, String)>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { zones, queries, compared, same, unexplained, .. } = self;
        writeln!(
            f,
            "peers: {zones} zones, {queries} queries, {compared} answers compared: {same} the same, {unexplained} unexplained"
        )?;
        for ((rule, kind), count) in &self.by_rule {
            writeln!(f, "peers: {rule:28} {kind:?} {count}")?;
        }
        for ((left, kind), (count, first)) in &self.left {
            writeln!(f, "\npeers: UNEXPLAINED {kind:?} {count} times: {left}{first}")?;
        }
        Ok(())
    }
}

/// Asks about these families, each with its number, and compares.
fn compare(families: &[(usize, Family)], seed: u64, tally: &mut Tally) {
    let mut folder = tempfile::Builder::new().prefix("meridian-peers-").tempdir().unwrap();
    folder.disable_cleanup(std::env::var_os("MERIDIAN_PEERS_KEEP").is_some());
    let zones: Vec<&Zone> = families.iter().flat_map(|(_, family)| &family.zones).collect();
    fs::create_dir(folder.path().join("master")).unwrap();
    for (number, zone) in zones.iter().enumerate() {
        fs::write(folder.path().join(format!("master/{number}.zone")), zone.text()).unwrap();
    }
    let mut servers: Vec<Server> =
        KINDS.iter().map(|&kind| Server::start(kind, folder.path(), &zones)).collect();
    for server in &mut servers {
        server.wait(|address| all_served(address, &zones));
    }
    let world = World::new(families);
    for some in families.chunks(20) {
        let questions: Vec<Question> = some
            .iter()
            .flat_map(|(number, family)| {
                questions::about(family, seed, *number, QUESTIONS * family.zones.len())
            })
            .collect();
        let said: Vec<Both> = thread::scope(|scope| {
            let asking: Vec<_> = servers
                .iter()
                .map(|server| {
                    let (address, questions) = (server.address, &questions);
                    scope.spawn(move || Both {
                        udp: ask::over_udp(address, questions),
                        tcp: ask::over_tcp(address, questions),
                    })
                })
                .collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        tally.queries += 2 * questions.len();
        for (at, question) in questions.iter().enumerate() {
            judge(&world, question, at, &said, tally);
        }
    }
}

/// What one server said to each question.
struct Both {
    udp: Vec<Option<Said>>,
    tcp: Vec<Option<Said>>,
}

/// Holds Meridian's answers to one question against its peers'.
fn judge(world: &World<'_>, question: &Question, at: usize, said: &[Both], tally: &mut Tally) {
    let (ours, peers) = said.split_first().expect("Meridian comes first");
    for (peer, kind) in peers.iter().zip(&KINDS[1..]) {
        for over_udp in [false, true] {
            let [mine, theirs, mine_tcp, theirs_tcp] = if over_udp {
                [&ours.udp[at], &peer.udp[at], &ours.tcp[at], &peer.tcp[at]]
            } else {
                [&ours.tcp[at], &peer.tcp[at], &ours.tcp[at], &peer.tcp[at]]
            };
            tally.compared += 1;
            let verdict = rules::explain(&rules::Case {
                world,
                question,
                peer: *kind,
                over_udp,
                mine,
                theirs,
                mine_tcp,
                theirs_tcp,
            });
            match verdict {
                Ok(rules) if rules.is_empty() => tally.same += 1,
                Ok(rules) => {
                    for rule in rules {
                        *tally.by_rule.entry((rule, *kind)).or_default() += 1;
                    }
                }
                Err(left) => {
                    tally.unexplained += 1;
                    let (count, shown) = tally.left.entry((left, *kind)).or_default();
                    *count += 1;
                    if *count <= SHOWN {
                        show(world, question, *kind, over_udp, [mine, theirs], shown);
                    }
                }
            }
        }
    }
}

/// Both answers, and what the zones have on the way to the names in them.
fn show(
    world: &World<'_>,
    question: &Question,
    kind: Kind,
    over_udp: bool,
    [mine, theirs]: [&Option<Said>; 2],
    out: &mut String,
) {
    let transport = if over_udp { "UDP" } else { "TCP" };
    write!(out, "\n--- {question} over {transport}\n").unwrap();
    let mut names = vec![question.name.lower()];
    for (who, said) in [("Meridian".to_owned(), mine), (format!("{kind:?}"), theirs)] {
        match said {
            Some(Said { length, answer: Some(answer) }) => {
                names.extend(answer.names());
                write!(out, "  {who} ({length} octets): {answer}")
            }
            Some(Said { length, answer: None }) => {
                writeln!(out, "  {who}: {length} malformed octets")
            }
            None => writeln!(out, "  {who}: silence"),
        }
        .unwrap();
    }
    for zone in world.enclosing(&question.name) {
        let on_the_way = |record: &&Record| {
            let above = if record.owner.is_wildcard() {
                record.owner.parent()
            } else {
                record.owner.clone()
            };
            names.iter().any(|name| name.is_in(&above) || above.is_in(name) && name.0.len() > 2)
        };
        for record in zone.records.iter().filter(on_the_way).take(25) {
            let line = record.to_string();
            writeln!(out, "    [{}] {}", zone.apex, line.chars().take(130).collect::<String>())
                .unwrap();
        }
    }
}

/// Whether a server answers for each of the zones; the first that is missing.
fn all_served(server: SocketAddr, zones: &[&Zone]) -> Result<(), Name> {
    let questions: Vec<Question> = zones
        .iter()
        .map(|zone| Question { name: zone.apex.clone(), qtype: SOA, flags: 0, edns: None })
        .collect();
    let is_loaded = |said: &Option<Said>| {
        let answer: Option<&Answer> = said.as_ref().and_then(|said| said.answer.as_ref());
        answer.is_some_and(|answer| answer.rcode == 0 && answer.has(AA) && answer.answer.len() == 1)
    };
    // A server that is not there yet is asked one question only.
    for some in [&questions[..1], &questions[..]] {
        let said = ask::over_tcp(server, some);
        if let Some(at) = said.iter().position(|said| !is_loaded(said)) {
            return Err(zones[at].apex.clone());
        }
    }
    Ok(())
}
