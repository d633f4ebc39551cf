//! Capacity, on the real road and a virtual clock: every client network asks, the planner steps,
//! and what is counted is what was answered.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian::geo::world::World;
use meridian::health::table::Verdict;
use meridian::steer::capacity::load::{Loads, Report};
use meridian::steer::capacity::{CapacityPlanner, PoolStanding, Seen};
use meridian::steer::chance::Chance;
use meridian::steer::record::Record;

use crate::support::{Server, ask};

/// How often the planner steps.
const STEP: Duration = Duration::from_secs(10);

/// Cities of very different size, over the populated part of the globe, and regions where many
/// of them are.
struct Town {
    server: Server,
    planner: CapacityPlanner,
    loads: Loads,
    now: Duration,
    /// Client networks by city, `10.X.Y.0/24`.
    clients: Vec<String>,
    chance: Chance,
}

/// What the clients got in one interval.
struct Seen10 {
    /// Answers by pool.
    answers: BTreeMap<String, f64>,
    /// Who got which.
    who: Vec<u8>,
}

impl Town {
    /// `cities` cities with up to 40 client networks each, regions `0..regions`, and what the
    /// policy file says of pools and records; `{pools}` stands for the names of all pools.
    fn new(seed: u64, cities: u32, regions: u32, policy: impl Fn(&str) -> String) -> Self {
        let mut chance = Chance::seeded(seed);
        let mut place = || {
            let latitude = f64::from(chance.below(100_000)) / 1000.0 - 40.0;
            (latitude, f64::from(chance.below(340_000)) / 1000.0 - 170.0)
        };
        let (mut geo, mut networks, mut clients, mut names) =
            (String::new(), String::new(), Vec::new(), Vec::new());
        for region in 0..regions {
            let (latitude, longitude) = place();
            geo += &format!("[region.r{region}]\nlocation = [{latitude}, {longitude}]\n");
            names.push(format!("{:?}", format!("p{region}")));
        }
        for city in 0..cities {
            let (latitude, longitude) = place();
            networks += &format!(
                "[[network]]\ncidr = [\"10.{}.{}.0/18\"]\nplace = {{ location = [{latitude}, \
                 {longitude}] }}\n",
                city / 4,
                city % 4 * 64,
            );
            let size = 1 + 40 / (1 + city % 13);
            let network = |n: u32| format!("10.{}.{}.0/24", city / 4, city % 4 * 64 + n);
            clients.extend((0..size).map(network));
        }
        let policy = policy(&names.join(", "));
        let zone = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.3\n";
        let files = [
            ("geo/regions.toml", &*geo),
            ("geo/networks.toml", &*networks),
            ("zones/example.org.toml", &*policy),
            ("zones/example.org.zone", zone),
        ];
        let server = Server::over(&files, |config| World::from_networks(&config.networks));
        let mut town = Self {
            server,
            planner: CapacityPlanner::default(),
            loads: Loads::default(),
            now: Duration::ZERO,
            clients,
            chance: Chance::seeded(seed ^ 1),
        };
        town.adopt();
        town
    }

    /// What a reload does.
    fn adopt(&mut self) {
        let snapshot = self.server.publisher.current();
        let records: Vec<&Record> = snapshot.catalog.values().flat_map(|of| &of.records).collect();
        self.planner.adopt(&self.server.config.pools, records.into_iter());
    }

    /// Every client network asks once, and the planner steps.
    fn interval(&mut self) -> Seen10 {
        self.interval_of("www")
    }

    fn interval_of(&mut self, name: &str) -> Seen10 {
        let seen = self.ask_all(name);
        self.step();
        seen
    }

    fn ask_all(&mut self, name: &str) -> Seen10 {
        let name = format!("{name}.example.org");
        let (mut answers, mut who) = (BTreeMap::new(), Vec::new());
        for client in &self.clients {
            let message = self.server.ask(&ask(&name, "A").subnet(client));
            let hickory_proto::rr::RData::A(address) = &message.answers[0].data else { continue };
            let pool = address.0.octets()[3];
            *answers.entry(format!("p{}", pool - 1)).or_insert(0.0) += 1.0;
            who.push(pool);
        }
        Seen10 { answers, who }
    }

    fn step(&mut self) {
        self.now += STEP;
        let seen = Seen { now: self.now, health: &self.server.health, loads: &self.loads };
        self.planner.step(seen);
    }

    fn standings(&self) -> Vec<PoolStanding> {
        self.planner.standings().collect()
    }

    /// The highest planned load, as a part of the target.
    fn worst(&self) -> f64 {
        self.standings().iter().filter_map(PoolStanding::ratio).fold(0.0, f64::max)
    }

    /// Clients who would go to each pool if there were room, by number of networks.
    fn nearest(regions: u32, seed: u64, cities: u32) -> BTreeMap<String, f64> {
        let plain = |names: &str| pools(regions, |_| String::new()) + &record(names, "");
        Self::new(seed, cities, regions, plain).ask_all("www").answers
    }
}

/// Pools `pN` in regions `rN`, each with what `capacity` says of it.
fn pools(regions: u32, capacity: impl Fn(u32) -> String) -> String {
    let pool = |n: u32| {
        let capacity = capacity(n);
        let capacity =
            if capacity.is_empty() { capacity } else { format!("capacity = {{ {capacity} }}\n") };
        format!("[pool.p{n}]\nregion = \"r{n}\"\nmembers = [\"192.0.2.{}\"]\n{capacity}", n + 1)
    };
    (0..regions).map(pool).collect()
}

fn record(names: &str, more: &str) -> String {
    format!("[record.www]\npolicy = \"nearest\"\npools = [{names}]\n{more}\n")
}

/// A capacity by which `networks`, each of which asks once in ten seconds, are just the target.
fn room_for(networks: f64) -> String {
    // Whole queries a second: ask for a thousandth of it with a thousand times the target.
    format!("queries = {}, target = \"10%\", max = \"15%\"", (networks.max(1.0)).ceil() as u32)
}

fn moved(before: &Seen10, after: &Seen10) -> f64 {
    let moved = before.who.iter().zip(&after.who).filter(|(a, b)| a != b).count();
    moved as f64 / before.who.len() as f64
}

#[test]
fn nobody_is_moved_while_there_is_room() {
    let policy = |names: &str| pools(8, |_| room_for(9000.0)) + &record(names, "");
    let mut town = Town::new(1, 200, 8, policy);
    let first = town.interval();
    for _ in 0..10 {
        assert_eq!(moved(&first, &town.interval()), 0.0);
    }
    assert!(town.standings().iter().all(|pool| !pool.is_at_capacity()));
    assert!((town.planner.demand().0 - first.who.len() as f64 / 10.0).abs() < 1e-6);
}

#[test]
fn a_pool_that_is_too_small_hands_on_those_who_lose_least() {
    let nearest = Town::nearest(8, 2, 300);
    let (small, most) = nearest.iter().max_by(|a, b| a.1.total_cmp(b.1)).expect("pools");
    let number: u32 = small[1..].parse().expect("a number");
    let capacity = |n| if n == number { room_for(most / 2.0) } else { String::new() };
    let policy = |names: &str| pools(8, capacity) + &record(names, "");
    let mut town = Town::new(2, 300, 8, policy);
    let before = town.ask_all("www");
    town.step();
    (0..6).for_each(|_| drop(town.interval()));
    let after = town.ask_all("www");
    assert!(town.worst() <= 1.01, "{}", town.worst());
    let got = after.answers[small];
    assert!(got <= most / 2.0 * 1.05 && got >= most / 2.0 * 0.93, "{got} of {most}");
    let left = before.who.iter().zip(&after.who).filter(|(a, b)| a != b);
    assert!(left.clone().all(|(from, _)| u32::from(*from) == number + 1), "only its own clients");
    let standing = town.standings();
    assert!(standing[0].is_at_capacity() && (0.4..0.6).contains(&standing[0].kept));
}

/// Capacities of `nearest` times `factor`.
fn roomy(nearest: &BTreeMap<String, f64>, factor: f64) -> impl Fn(u32) -> String + '_ {
    move |n| room_for(nearest.get(&format!("p{n}")).copied().unwrap_or(1.0) * factor)
}

#[test]
fn the_loss_of_the_biggest_region_settles_without_oscillation() {
    const REGIONS: u32 = 20;
    let nearest = Town::nearest(REGIONS, 3, 500);
    let biggest =
        nearest.iter().max_by(|a, b| a.1.total_cmp(b.1)).expect("pools").0[1..].to_owned();
    let policy = |names: &str| pools(REGIONS, roomy(&nearest, 1.25)) + &record(names, "");
    let mut town = Town::new(3, 500, REGIONS, policy);
    (0..6).for_each(|_| drop(town.interval()));
    let region = format!("r{biggest}");
    town.server.region(&region, Verdict::Down);
    // Health has changed: at once, not after ten seconds.
    town.now -= STEP;
    town.step();
    let mut last = town.ask_all("www");
    for interval in 0..40 {
        town.step();
        assert!(town.worst() <= 1.01, "interval {interval}: {}", town.worst());
        let next = town.ask_all("www");
        assert_eq!(moved(&last, &next), 0.0, "interval {interval}");
        last = next;
    }
    let lost = format!("p{biggest}");
    assert!(!last.answers.contains_key(&lost));
    // It comes back: its own clients at once or by and by, never more than it can take.
    town.server.region(&region, Verdict::Up);
    let mut back = Vec::new();
    town.step();
    for _ in 0..60 {
        let next = town.interval();
        assert!(town.worst() <= 1.01, "{}", town.worst());
        back.push(next.answers.get(&lost).copied().unwrap_or(0.0));
    }
    assert!(back.windows(2).all(|pair| pair[1] >= pair[0]), "{back:?}");
    assert_eq!(back.last(), nearest.get(&lost));
    assert_eq!(town.planner.demand().1, 0.0, "all are at their nearest again");
}

#[test]
fn a_little_more_or_less_demand_moves_hardly_anybody() {
    const REGIONS: u32 = 20;
    let nearest = Town::nearest(REGIONS, 4, 400);
    let mean = nearest.values().sum::<f64>() / f64::from(REGIONS);
    let policy = |names: &str| pools(REGIONS, |_| room_for(mean * 130.0)) + &record(names, "");
    let mut town = Town::new(4, 400, REGIONS, policy);
    let snapshot = town.server.publisher.current();
    let record = snapshot.catalog.values().flat_map(|of| &of.records).next().expect("a record");
    let spill = record.plan.spill.as_ref().expect("capacities");
    let orders: Vec<usize> = town
        .clients
        .iter()
        .map(|client| {
            let ip = client.split_once('/').expect("a prefix").0.parse().expect("an address");
            record.plan.map.lookup(ip).order.number as usize
        })
        .collect();
    let mut by_order: BTreeMap<usize, u32> = BTreeMap::new();
    orders.iter().for_each(|order| *by_order.entry(*order).or_default() += 1);
    // Each order asks a hundred times as often as its clients would, within 5 %.
    let noisy = |town: &mut Town| {
        for (order, clients) in &by_order {
            let noise = 950 + town.chance.below(101);
            (0..clients * noise / 10).for_each(|_| spill.demand.count(0, *order));
        }
        town.step();
    };
    (0..30).for_each(|_| noisy(&mut town));
    let words =
        |orders: &[usize]| -> Vec<u64> { orders.iter().map(|order| spill.word(*order)).collect() };
    let mut before = words(&orders);
    assert!(before.iter().any(|word| *word != 0), "pools are at capacity");
    let (mut worst, mut total) = (0.0_f64, 0.0);
    for _ in 0..200 {
        noisy(&mut town);
        let after = words(&orders);
        let changed: u32 = before.iter().zip(&after).map(|(a, b)| differing_bytes(*a, *b)).sum();
        let part = f64::from(changed) / 256.0 / orders.len() as f64;
        (worst, total) = (worst.max(part), total + part);
        assert!(town.worst() <= 1.02, "{}", town.worst());
        before = after;
    }
    assert!(worst < 0.01, "in one interval {worst} moved");
    assert!(total / 200.0 < 0.002, "{} moved on average", total / 200.0);
}

/// Of 256 clients, how many begin elsewhere.
fn differing_bytes(a: u64, b: u64) -> u32 {
    let begins = meridian::steer::spill::begins_at;
    (0..=255).filter(|byte| begins(a, *byte) != begins(b, *byte)).count() as u32
}

#[test]
fn between_target_and_max_clients_move_by_steps() {
    let nearest = Town::nearest(8, 5, 300);
    let (small, most) = nearest.iter().max_by(|a, b| a.1.total_cmp(b.1)).expect("pools");
    let number: u32 = small[1..].parse().expect("a number");
    // 30 % more than the target: below max, which is half as much again.
    let capacity = |n| if n == number { room_for(most / 1.3) } else { String::new() };
    let spill = "spill = { step = \"2%\", every = \"20s\" }";
    let policy = |names: &str| pools(8, capacity) + &record(names, spill);
    let mut town = Town::new(5, 300, 8, policy);
    let mut seen = vec![town.interval()];
    (0..30).for_each(|_| seen.push(town.interval()));
    let moves: Vec<f64> = seen.windows(2).map(|pair| moved(&pair[0], &pair[1])).collect();
    let steps = moves.iter().filter(|moved| **moved > 0.0).count();
    assert!(steps >= 3, "{moves:?}");
    // A step is of all clients as they hash, so that a few more or less move.
    assert!(moves.iter().all(|moved| *moved <= 0.026), "{moves:?}");
    for pair in moves.windows(2) {
        assert!(pair[0] == 0.0 || pair[1] == 0.0, "every 20 s: {moves:?}");
    }
    assert!(town.worst() <= 1.01, "{}", town.worst());
}

#[test]
fn no_fence_is_left_and_no_more_neighbours_are_used_than_allowed() {
    let policy = |_: &str| {
        pools(6, |n| if [0, 1, 5].contains(&n) { room_for(40.0) } else { String::new() })
            + "[record.www]\n[[record.www.rule]]\nmatch = { cidr = \"10.0.0.0/10\" }\npolicy = \
               \"nearest\"\npools = [\"p0\", \"p5\"]\nfence = true\n[[record.www.rule]]\nmatch = \
               \"default\"\npolicy = \"failover\"\npools = [\"p1\", \"p2\", \"p3\", \"p4\"]\nspill \
               = { spread = 1 }\n"
    };
    let mut town = Town::new(6, 300, 6, policy);
    (0..30).for_each(|_| drop(town.interval()));
    let seen = town.ask_all("www");
    let fenced: Vec<bool> = town
        .clients
        .iter()
        .map(|client| client.split('.').nth(1).expect("an octet").parse::<u8>().expect("one") < 64)
        .collect();
    let by = |inside: bool| {
        let who = seen.who.iter().zip(&fenced).filter(move |(_, is)| **is == inside);
        who.map(|(pool, _)| pool - 1).collect::<std::collections::BTreeSet<u8>>()
    };
    assert!(by(true).is_subset(&[0, 5].into()), "{:?}", by(true));
    assert_eq!(by(false), [1, 2].into(), "the next one only");
    assert!(town.standings()[0].ratio().is_some_and(|ratio| ratio > 1.0), "and it shows");
}

#[test]
fn what_records_ask_of_a_pool_adds_up() {
    let nearest = Town::nearest(6, 7, 200);
    let policy = |names: &str| {
        let second = record(names, "ttl = \"90s\"").replace("www", "api");
        pools(6, roomy(&nearest, 1.2)) + &record(names, "") + &second
    };
    let mut town = Town::new(7, 200, 6, policy);
    (0..8).for_each(|_| drop(town.interval()));
    assert_eq!(town.planner.demand().1, 0.0, "one record fits");
    // Twice as much as all pools have: all take more by the same factor.
    for _ in 0..60 {
        town.ask_all("api");
        town.interval();
    }
    let ratios: Vec<f64> = town.standings().iter().filter_map(PoolStanding::ratio).collect();
    assert!(ratios.iter().all(|ratio| (1.5..1.8).contains(ratio)), "{ratios:?}");
    // The other record stops asking: everybody goes home.
    (0..120).for_each(|_| drop(town.interval()));
    assert_eq!(town.planner.demand().1, 0.0);
}

#[test]
fn a_pool_that_is_drawn_by_weight_is_drawn_less() {
    let policy = |_: &str| {
        pools(3, |n| if n == 0 { room_for(150.0) } else { String::new() })
            + "[record.www]\npolicy = \"weighted\"\npools = { p0 = 1, p1 = 1, p2 = 1 }\n\
               [record.api]\npolicy = \"hash\"\npools = { p0 = 1, p1 = 1, p2 = 1 }\n"
    };
    let mut town = Town::new(8, 200, 3, policy);
    for name in ["www", "api"] {
        (0..40).for_each(|_| drop(town.interval_of(name)));
        let seen = town.interval_of(name);
        let all: f64 = seen.answers.values().sum();
        let part = |pool: &str| seen.answers[pool] / all;
        let wanted = 150.0 / all;
        assert!((part("p0") - wanted).abs() < 0.04, "{name}: {:?} of {wanted}", seen.answers);
        assert!((part("p1") - part("p2")).abs() < 0.07, "{name}: {:?}", seen.answers);
        assert!(town.standings()[0].is_at_capacity());
    }
}

#[test]
fn a_reported_overload_is_relieved_at_once_and_a_stale_report_is_not_believed() {
    let policy = |names: &str| {
        let capacity = |n| {
            if n == 0 {
                "load = \"push\", target = \"70%\", max = \"90%\"".to_owned()
            } else {
                String::new()
            }
        };
        pools(4, capacity) + &record(names, "")
    };
    let mut town = Town::new(9, 200, 4, policy);
    let pool = "p0@example.org.";
    let report = |town: &mut Town, load| {
        let report = Report {
            load: Some(load),
            errors: None,
            at: town.now,
            lifetime: Duration::from_secs(30),
        };
        town.loads.report(pool, report);
    };
    for _ in 0..10 {
        report(&mut town, 0.5);
        town.interval();
    }
    let before = town.ask_all("www").answers["p0"];
    assert!(town.standings().iter().all(|pool| !pool.is_at_capacity() && !pool.is_stale));
    report(&mut town, 1.4);
    town.step();
    let after = town.interval().answers["p0"];
    assert!(after < before * 0.56 && after > before * 0.4, "half of {before}: {after}");
    assert!(town.standings()[0].is_at_capacity());
    // Nothing is reported any more: what was learned holds, and it shows.
    (0..120).for_each(|_| drop(town.interval()));
    let standing = &town.standings()[0];
    assert!(standing.is_stale && standing.load.is_none() && standing.target.is_some());
    // It reports again, and its clients come back by and by.
    for _ in 0..120 {
        let load = 0.5 * town.interval().answers["p0"] / before;
        report(&mut town, load);
    }
    assert_eq!(town.ask_all("www").answers["p0"], before, "at half load it took them all");
}

#[test]
fn a_reload_moves_nobody() {
    let nearest = Town::nearest(8, 10, 200);
    let mean = nearest.values().sum::<f64>() / 8.0;
    let policy = |names: &str| pools(8, |_| room_for(mean * 1.2)) + &record(names, "");
    let mut town = Town::new(10, 200, 8, policy);
    (0..90).for_each(|_| drop(town.interval()));
    let before = town.interval();
    assert!(town.planner.demand().1 > 0.05, "some are moved");
    // The same files again: plans, orders and counters are all new.
    let policy = |names: &str| pools(8, |_| room_for(mean * 1.2)) + &record(names, "ttl = \"5s\"");
    let again = Town::new(10, 200, 8, policy);
    town.server = again.server;
    town.adopt();
    for _ in 0..10 {
        assert_eq!(moved(&before, &town.interval()), 0.0);
    }
}

#[test]
fn under_latency_those_are_moved_who_lose_the_fewest_milliseconds() {
    // Both have p0 first. By distance the next is as far for both; by what was measured the
    // second loses 150 ms, the first 8.
    let table = "10.0.0.0/16,r0,10\n10.0.0.0/16,r1,18\n10.0.0.0/16,r2,90\n\
                 10.1.0.0/16,r0,10\n10.1.0.0/16,r1,170\n10.1.0.0/16,r2,160\n";
    let regions: String =
        (0..3).map(|n| format!("[region.r{n}]\nlocation = [50.0, {}.0]\n", 10 * n)).collect();
    let policy = pools(3, |n| if n == 0 { room_for(100.0) } else { String::new() })
        + &record("\"p0\", \"p1\", \"p2\"", "latency = { file = \"geo/latency.csv\" }")
            .replace("nearest", "latency");
    let zone = "@ 60 SOA ns1 host 1 1h 1h 1h 60\n@ 60 NS ns1\nns1 60 A 192.0.2.3\n";
    let files = [
        ("geo/regions.toml", &*regions),
        ("geo/latency.csv", table),
        ("zones/example.org.toml", &*policy),
        ("zones/example.org.zone", zone),
    ];
    let server = Server::over(&files, |config| World::from_networks(&config.networks));
    let clients = (0..200).map(|n| format!("10.{}.{}.0/24", n / 100, n % 100)).collect();
    let (planner, loads) = (CapacityPlanner::default(), Loads::default());
    let chance = Chance::seeded(1);
    let mut town = Town { server, planner, loads, now: Duration::ZERO, clients, chance };
    town.adopt();
    (0..30).for_each(|_| drop(town.interval()));
    let seen = town.ask_all("www");
    let (first, second) = seen.who.split_at(100);
    assert!(first.iter().filter(|pool| **pool == 2).count() > 90, "{:?}", seen.answers);
    assert!(second.iter().filter(|pool| **pool == 1).count() > 90, "{:?}", seen.answers);
}
