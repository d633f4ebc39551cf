//! Regions that are equally near: London is 464 km from Dublin and 638 km from Frankfurt.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use meridian::admin::explain;
use meridian::health::table::{PoolLoad, Verdict};
use meridian::plan::outcome::{Asker, End};
use meridian::region::{Family, PoolId};
use meridian::server::explain::Steering;
use meridian::steer::capacity::load::{Loads, Report};
use meridian::steer::capacity::{CapacityPlanner, Seen};
use meridian::steer::record::Ties;
use meridian::steer::select::{Ask, tie_shares};

use crate::support::{Server, ask, lines, scope};
use crate::{BERLIN, LONDON, NOWHERE, explained, region, server};

fn banded(keys: &str) -> Server {
    server(&format!(
        "[record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"dub\", \"iad\", \"sin\"]\n{keys}\n"
    ))
}

/// How many of 3,000 answers come from each region.
fn counts(server: &mut Server, client: &str) -> HashMap<&'static str, u32> {
    let mut counts = HashMap::new();
    for _ in 0..3000 {
        *counts.entry(region(server, client)).or_default() += 1;
    }
    counts
}

fn regions(server: &mut Server, client: &str) -> BTreeSet<&'static str> {
    counts(server, client).into_keys().collect()
}

#[test]
fn those_within_the_band_share_the_clients_evenly() {
    let mut server = banded("band = \"40%\"");
    let counts = counts(&mut server, LONDON);
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(counts["fra"].abs_diff(1500) < 150 && counts["dub"].abs_diff(1500) < 150, "{counts:?}");
    assert_eq!(regions(&mut server, BERLIN), BTreeSet::from(["fra"]), "423 km and 1317 km");
}

#[test]
fn a_band_ends_where_it_says() {
    assert_eq!(regions(&mut banded("band = \"35%\""), LONDON), BTreeSet::from(["dub"]));
    assert_eq!(regions(&mut banded("band = \"0%\""), LONDON), BTreeSet::from(["dub"]));
}

#[test]
fn a_bias_counts_before_the_band() {
    // 638 km count as 479.
    let mut server = banded("band = \"5%\"\nbias = { fra = 25 }");
    assert_eq!(regions(&mut server, LONDON), BTreeSet::from(["dub", "fra"]));
}

#[test]
fn one_that_fails_leaves_its_clients_to_those_as_near() {
    let mut server = banded("band = \"40%\"");
    server.region("dub", Verdict::Down);
    assert_eq!(regions(&mut server, LONDON), BTreeSet::from(["fra"]));
    server.region("fra", Verdict::Down);
    assert_eq!(regions(&mut server, LONDON), BTreeSet::from(["iad"]));
}

#[test]
fn a_share_of_clients_is_kept_among_those_as_near_too() {
    let mut server = banded("band = \"40%\"");
    server.keep("dub", 0.0);
    assert_eq!(regions(&mut server, LONDON), BTreeSet::from(["fra"]));
    server.region("fra", Verdict::Down);
    ["iad", "sin"].iter().for_each(|far| server.region(far, Verdict::Down));
    assert_eq!(regions(&mut server, LONDON), BTreeSet::from(["dub"]), "who serves takes them");
}

#[test]
fn chance_costs_no_scope_and_a_choice_by_network_does() {
    let scope_of = |keys: &str| {
        let mut server = banded(keys);
        let mut scope = |client| scope(&server.ask(&ask("www.example.org", "A").subnet(client)));
        (scope(LONDON), scope(BERLIN))
    };
    // Berlin is a /16, and next to it is the unknown, which gets the same.
    assert_eq!(scope_of("band = \"40%\""), (Some(16), Some(15)));
    assert_eq!(scope_of("band = \"40%\"\nties = \"network\""), (Some(24), Some(15)));
}

#[test]
fn a_client_network_stays_at_its_own_where_it_is_told_to() {
    let mut server = banded("band = \"40%\"\nties = \"network\"");
    let networks: Vec<String> = (0..200).map(|net| format!("10.2.{net}.0/24")).collect();
    let of = |server: &mut Server| -> Vec<&str> {
        networks.iter().map(|network| region(server, network)).collect()
    };
    let before = of(&mut server);
    assert_eq!(of(&mut server), before);
    let at_fra = before.iter().filter(|region| **region == "fra").count();
    assert!((70..130).contains(&at_fra), "{at_fra} of 200");
    server.region("fra", Verdict::Down);
    assert!(of(&mut server).iter().all(|region| *region == "dub"));
    server.region("fra", Verdict::Up);
    assert_eq!(of(&mut server), before);
}

#[test]
fn two_pools_of_one_region_are_exactly_as_near() {
    let policy = |ties: &str| {
        format!(
            "[pool.fra2]\nregion = \"fra\"\nmembers = [\"192.0.2.60\"]\n\
             [record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"fra2\", \"dub\"]\n{ties}\n"
        )
    };
    assert_eq!(regions(&mut server(&policy("")), BERLIN), BTreeSet::from(["fra"]), "as written");
    let tied = regions(&mut server(&policy("ties = \"random\"")), BERLIN);
    assert_eq!(tied, BTreeSet::from(["fra", "sorry"]), "192.0.2.6x stands for fra2");
}

#[test]
fn several_answers_begin_with_those_as_near_in_any_order() {
    let mut server = banded("band = \"40%\"\nanswers = 3");
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let message = server.ask(&ask("www.example.org", "A").subnet(LONDON));
        let last: Vec<String> = lines(&message.answers)
            .iter()
            .map(|line| line.rsplit('.').next().unwrap_or_default()[..1].to_owned())
            .collect();
        seen.insert(last.concat());
    }
    assert_eq!(seen, BTreeSet::from(["123".to_owned(), "213".to_owned()]));
}

#[test]
fn of_an_unknown_place_nothing_is_as_near() {
    assert_eq!(regions(&mut banded("band = \"100%\""), NOWHERE), BTreeSet::from(["fra"]));
}

#[test]
fn an_explanation_names_those_as_near() {
    let server = banded("band = \"40%\"");
    let steering = explained(&server, LONDON);
    let ties = "2 are equally near, one by chance comes first";
    assert_eq!(steering.ties.as_deref(), Some(ties));
    let tied = steering.candidates.iter().filter(|candidate| candidate.tied);
    assert_eq!(tied.map(|candidate| &*candidate.pool).collect::<Vec<_>>(), ["fra", "dub"]);
    assert_eq!(explained(&server, BERLIN).ties, None);
}

/// Dublin and Frankfurt are as near to London; `keys` say how the tie is broken.
fn tied(keys: &str) -> Server {
    banded(&format!("band = \"40%\"\n{keys}"))
}

/// Says how loaded the pool of a region is, and what it can take.
fn load(server: &Server, region: &str, load: Option<f64>, queries: Option<f64>) {
    let load = load.map_or(PoolLoad::UNKNOWN, |load| PoolLoad::new(0.0, queries).supposed(load));
    server.health.loads.set(pool_of(server, region), load);
}

fn pool_of(server: &Server, region: &str) -> PoolId {
    let at = server.config.pools.iter().position(|pool| *pool.name == *region);
    PoolId(at.expect("pools have the names of their regions") as u32)
}

/// The part of London's answers that come from Dublin.
fn dublin(server: &mut Server) -> f64 {
    f64::from(*counts(server, LONDON).get("dub").unwrap_or(&0)) / 3000.0
}

#[test]
fn the_less_loaded_gets_more() {
    for keys in ["ties = \"load\"", "ties = \"two-choices\""] {
        let mut server = tied(keys);
        load(&server, "dub", Some(0.2), None);
        load(&server, "fra", Some(0.8), None);
        let share = dublin(&mut server);
        assert!((share - 0.6).abs() < 0.04, "{keys}: {share}");
        load(&server, "dub", Some(0.8), Some(300.0));
        load(&server, "fra", Some(0.8), Some(100.0));
        let share = dublin(&mut server);
        assert!((share - 0.75).abs() < 0.04, "{keys}: three times as large, {share}");
    }
}

#[test]
fn a_full_one_gets_nobody_while_another_has_room() {
    for keys in [
        "ties = \"load\"",
        "ties = \"two-choices\"",
        "ties = \"two-choices\"\nsticky = \"network\"",
    ] {
        let mut server = tied(keys);
        load(&server, "dub", Some(1.0), None);
        load(&server, "fra", Some(0.97), None);
        assert_eq!(dublin(&mut server), 0.0, "{keys}");
        // Both are full: nearer all the same than a third that is not.
        load(&server, "fra", Some(1.1), None);
        assert!(regions(&mut server, LONDON).is_subset(&BTreeSet::from(["dub", "fra"])));
        server.region("fra", Verdict::Down);
        assert_eq!(dublin(&mut server), 1.0, "{keys}: full is better than out");
    }
}

#[test]
fn who_is_out_is_never_picked_however_idle() {
    for keys in [
        "ties = \"load\"",
        "ties = \"two-choices\"",
        "ties = \"two-choices\"\nsticky = \"network\"",
    ] {
        let mut server = tied(keys);
        load(&server, "dub", Some(0.0), Some(1e6));
        load(&server, "fra", Some(1.5), Some(1.0));
        server.region("dub", Verdict::Down);
        assert_eq!(regions(&mut server, LONDON), BTreeSet::from(["fra"]), "{keys}");
        server.region("fra", Verdict::Down);
        assert_eq!(regions(&mut server, LONDON), BTreeSet::from(["iad"]), "{keys}");
    }
}

#[test]
fn where_nothing_is_known_shares_are_equal() {
    for keys in ["ties = \"load\"", "ties = \"two-choices\""] {
        let share = dublin(&mut tied(keys));
        assert!((share - 0.5).abs() < 0.04, "{keys}: {share}");
        let mut server = tied(keys);
        load(&server, "fra", Some(0.9), Some(50.0));
        let share = dublin(&mut server);
        assert!((share - 0.5).abs() < 0.04, "{keys}: as the mean of the others, {share}");
    }
}

#[test]
fn a_choice_by_load_costs_no_scope_and_one_that_stays_does() {
    let scope_of = |keys: &str| {
        let mut server = tied(keys);
        let told = explained(&server, LONDON).scope;
        let scope = scope(&server.ask(&ask("www.example.org", "A").subnet(LONDON)));
        assert_eq!(scope, Some(told), "{keys}");
        told
    };
    assert_eq!(scope_of("ties = \"load\""), 16);
    assert_eq!(scope_of("ties = \"two-choices\""), 16);
    assert_eq!(scope_of("ties = \"two-choices\"\nsticky = \"network\""), 24);
    assert_eq!(scope_of("ties = \"two-choices\"\nsticky = \"network\"\nkey = { ipv4 = 20 }"), 20);
}

#[test]
fn networks_that_stay_move_only_as_far_as_loads_do() {
    let mut server = tied("ties = \"two-choices\"\nsticky = \"network\"");
    let networks: Vec<String> = (0..250).map(|net| format!("10.2.{net}.0/24")).collect();
    let of = |server: &mut Server| -> Vec<&str> {
        networks.iter().map(|network| region(server, network)).collect()
    };
    let at = |who: &[&str], region: &str| who.iter().filter(|of| **of == region).count();
    let before = of(&mut server);
    assert_eq!(of(&mut server), before);
    assert!((100..150).contains(&at(&before, "dub")), "{}", at(&before, "dub"));
    load(&server, "dub", Some(0.2), None);
    load(&server, "fra", Some(0.8), None);
    let after = of(&mut server);
    assert!((128..180).contains(&at(&after, "dub")), "{}", at(&after, "dub"));
    let back = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(back.clone().all(|(before, _)| *before == "fra"), "nobody leaves the less loaded");
}

#[test]
fn an_explanation_tells_the_loads() {
    let server = tied("ties = \"load\"");
    load(&server, "dub", Some(0.2), None);
    load(&server, "fra", Some(0.8), None);
    let steering = explained(&server, LONDON);
    let ties = "2 are equally near, one by chance, more often one with more room, comes first";
    assert_eq!(steering.ties.as_deref(), Some(ties));
    let percent = |part: f64| (part * 100.0).round();
    let told = steering.candidates.iter();
    let told: Vec<_> = told.map(|c| (&*c.pool, c.load.map(percent), c.room.map(percent))).collect();
    let expected = [
        ("fra", Some(80.0), Some(40.0)),
        ("dub", Some(20.0), Some(60.0)),
        ("iad", None, None),
        ("sin", None, None),
    ];
    assert_eq!(told, expected);
    let steering = explained(&tied("ties = \"two-choices\""), LONDON);
    let told = steering.ties.expect("there are ties");
    assert!(told.ends_with("comes first: fra or dub") || told.ends_with("dub or fra"), "{told}");
    assert!(steering.candidates[0].load.is_none() && steering.candidates[0].room == Some(0.5));
}

/// Pools that are equally near, and reports of their loads that come late: clients ask again
/// every 30 s, balancers take a mean over 30 s, and say so some rounds of 10 s later.
struct Loop {
    /// Queries a second that each can take, and the part that others than we take of it.
    pools: Vec<(f64, f64)>,
    demand: f64,
    sent: Vec<f64>,
    seen: Vec<f64>,
    /// What is said of the last rounds, the newest first; the last is known.
    told: Vec<Vec<f64>>,
}

impl Loop {
    /// Reports come so many rounds late.
    fn new(pools: &[(f64, f64)], demand: f64, late: usize) -> Self {
        let sent = vec![demand / pools.len() as f64; pools.len()];
        let mut all =
            Self { pools: pools.to_vec(), demand, sent, seen: Vec::new(), told: Vec::new() };
        all.seen = all.loads();
        all.told = vec![all.loads(); late.max(1)];
        all
    }

    fn loads(&self) -> Vec<f64> {
        let loads = self.pools.iter().zip(&self.sent);
        loads.map(|((takes, others), sent)| sent / takes + others).collect()
    }

    /// Ten seconds in which answers are shared out like this.
    fn round(&mut self, shares: &[f64]) {
        let kept = (-10.0_f64 / 30.0).exp();
        for (sent, share) in self.sent.iter_mut().zip(shares) {
            *sent = *sent * kept + self.demand * share * (1.0 - kept);
        }
        self.told.rotate_right(1);
        self.told[0].clone_from(&self.seen);
        let loads = self.loads();
        for (seen, load) in self.seen.iter_mut().zip(loads) {
            *seen = *seen * kept + load * (1.0 - kept);
        }
    }

    /// By how much a pool's load goes up and down, at most, in the rounds that `shares` gives
    /// from what is told, of rounds 0 to 49 and 50 to 99; and the highest load in the latter.
    fn swing(mut self, mut shares: impl FnMut(&[f64]) -> Vec<f64>) -> [f64; 3] {
        let mut half = |rounds: usize| {
            let mut bounds = vec![(f64::MAX, 0.0_f64); self.pools.len()];
            for _ in 0..rounds {
                let shares = shares(&self.told[self.told.len() - 1]);
                self.round(&shares);
                for (bound, load) in bounds.iter_mut().zip(self.loads()) {
                    *bound = (bound.0.min(load), bound.1.max(load));
                }
            }
            let swing = bounds.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
            (swing, bounds.iter().map(|(_, high)| *high).fold(0.0, f64::max))
        };
        let ((first, _), (rest, highest)) = (half(50), half(50));
        [first, rest, highest]
    }
}

/// What the road does.
fn by_room(ties: Ties, pools: &[(f64, f64)]) -> impl FnMut(&[f64]) -> Vec<f64> {
    let takes: Vec<f64> = pools.iter().map(|(takes, _)| *takes).collect();
    move |told| {
        let load = |place: u32| {
            let at = place as usize;
            told.get(at).map_or(PoolLoad::UNKNOWN, |load| PoolLoad::new(*load, Some(takes[at])))
        };
        tie_shares(ties, (1 << told.len()) - 1, load)[..told.len()].to_vec()
    }
}

/// What it might have done: everybody to the least loaded, and in proportion to what is free.
fn least(told: &[f64]) -> Vec<f64> {
    let least = told.iter().copied().fold(f64::MAX, f64::min);
    let of = told.iter().map(|load| f64::from(u8::from(*load <= least)));
    let sum: f64 = of.clone().sum();
    of.map(|share| share / sum).collect()
}

fn free(told: &[f64]) -> Vec<f64> {
    let of = told.iter().map(|load| (1.0 - load).max(0.001));
    let sum: f64 = of.clone().sum();
    of.map(|share| share / sum).collect()
}

/// A name, pools as [`Loop`] has them, and the demand.
type World = (&'static str, Vec<(f64, f64)>, f64);

/// The figures of docs/decisions/0047: `cargo test --test steering loads_that_come_late -- --nocapture`.
#[test]
fn loads_that_come_late_make_nobody_swing() {
    let worlds: [World; 6] = [
        ("two alike at 60 %, one with 10 % of others", vec![(1000.0, 0.1), (1000.0, 0.0)], 1100.0),
        ("two alike at 90 %", vec![(1000.0, 0.02), (1000.0, 0.0)], 1780.0),
        ("two alike at 98 %", vec![(1000.0, 0.02), (1000.0, 0.0)], 1930.0),
        ("one a third of the other, at 54 %", vec![(1000.0, 0.0), (300.0, 0.0)], 700.0),
        ("one a third of the other, at 90 %", vec![(1000.0, 0.0), (300.0, 0.0)], 1170.0),
        (
            "four at 85 %, one with 20 % of others",
            vec![(1000.0, 0.2), (1000.0, 0.0), (1000.0, 0.0), (1000.0, 0.0)],
            3200.0,
        ),
    ];
    for ((name, pools, demand), late) in worlds.iter().flat_map(|of| [1, 6].map(|late| (of, late)))
    {
        let swing = |shares: &mut dyn FnMut(&[f64]) -> Vec<f64>| {
            let figures = Loop::new(pools, *demand, late).swing(shares);
            figures.map(|figure| (figure * 1000.0).round() / 1000.0)
        };
        let (least, free) = (swing(&mut least), swing(&mut free));
        let [load, two] =
            [Ties::Load, Ties::TwoChoices].map(|ties| swing(&mut by_room(ties, pools)));
        println!("{name}, {late}0 s: least {least:?}, free {free:?}, load {load:?}, two {two:?}");
        assert!(least[1] > 0.5, "{name}: everybody to the least loaded: {least:?}");
        for [first, rest, highest] in [load, two] {
            assert!(rest < 0.02 && rest <= first, "{name}, {late}: {first} and then {rest}");
            assert!(highest < 1.0, "{name}, {late}: {highest}");
        }
    }
}

/// The server of [`tied`] with capacities of the two pools, and the planner that tells loads.
struct Planned {
    server: Server,
    planner: CapacityPlanner,
    loads: Loads,
    now: Duration,
}

impl Planned {
    fn new(dub: &str, fra: &str, keys: &str) -> Self {
        let pools = crate::POOLS
            .replace("[pool.dub]\n", &format!("[pool.dub]\ncapacity = {{ {dub} }}\n"))
            .replace("[pool.fra]\n", &format!("[pool.fra]\ncapacity = {{ {fra} }}\n"));
        let record = format!(
            "[record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"dub\", \"iad\", \"sin\"]\n\
             {keys}\n"
        );
        let server = crate::with_policy(&format!("{pools}\n{record}"), crate::ZONE);
        let mut all = Self {
            server,
            planner: CapacityPlanner::default(),
            loads: Loads::default(),
            now: Duration::ZERO,
        };
        all.adopt();
        all
    }

    /// What a start and a reload do.
    fn adopt(&mut self) {
        let snapshot = self.server.publisher.current();
        let records: Vec<_> = snapshot.catalog.values().flat_map(|of| &of.records).collect();
        self.planner.adopt(&self.server.config.pools, records.into_iter());
        self.planner.tell_loads(&snapshot.health);
    }

    fn report(&mut self, pool: &str, load: f64, errors: f64) {
        let (load, errors, at) = (Some(load), Some(errors), self.now);
        let report = Report { load, errors, at, lifetime: Duration::from_secs(30) };
        self.loads.report(&format!("{pool}@example.org."), report);
    }

    /// Ten seconds in which London asks so often, from many networks; the part that Dublin gets.
    fn step(&mut self, queries: u32) -> f64 {
        let mut dub = 0;
        for query in 0..queries {
            let client = format!("10.2.{}.0/24", query % 250);
            dub += u32::from(region(&mut self.server, &client) == "dub");
        }
        self.now += Duration::from_secs(10);
        let (now, health) = (self.now, &self.server.health);
        self.planner.step(Seen { now, health, loads: &self.loads });
        f64::from(dub) / f64::from(queries.max(1))
    }

    fn load_of(&self, pool: &str) -> Option<u16> {
        self.server.health.loads.of(pool_of(&self.server, pool)).permille()
    }
}

#[test]
fn what_is_counted_is_the_load_of_who_reports_none() {
    let mut town =
        Planned::new("queries = 300", "queries = 100", "band = \"40%\"\nties = \"load\"");
    assert_eq!((town.load_of("dub"), town.load_of("iad")), (Some(0), None));
    let share = (0..6).map(|_| town.step(2000)).last().expect("six steps");
    assert!((share - 0.75).abs() < 0.05, "each as much as it can take: {share}");
    let loads = ["dub", "fra"].map(|pool| town.load_of(pool).expect("counted"));
    assert!(loads.iter().all(|load| load.abs_diff(500) < 60), "200 of 400 a second: {loads:?}");
    let before = loads;
    town.server.reload();
    town.adopt();
    assert_eq!(["dub", "fra"].map(|pool| town.load_of(pool).expect("known by name")), before);
}

#[test]
fn a_stale_report_makes_shares_equal_again() {
    let mut town =
        Planned::new("load = \"push\"", "load = \"push\"", "band = \"40%\"\nties = \"load\"");
    assert_eq!(town.load_of("dub"), None);
    town.report("dub", 0.1, 0.0);
    town.report("fra", 0.6, 0.0);
    town.step(0);
    assert_eq!((town.load_of("dub"), town.load_of("fra")), (Some(100), Some(600)));
    let share = town.step(2000);
    assert!((share - 1.6 / 2.7).abs() < 0.05, "{share}");
    town.step(0);
    town.step(0);
    assert_eq!((town.load_of("dub"), town.load_of("fra")), (None, None));
    let share = town.step(2000);
    assert!((share - 0.5).abs() < 0.05, "{share}");
}

#[test]
fn who_makes_errors_is_full_however_idle_it_looks() {
    let errs = "load = \"push\", errors = \"5%\"";
    let mut town = Planned::new(errs, "load = \"push\"", "band = \"40%\"\nties = \"load\"");
    town.report("dub", 0.01, 0.5);
    town.report("fra", 0.6, 0.0);
    town.step(0);
    assert_eq!(town.load_of("dub"), Some(1000));
    assert_eq!(town.step(200), 0.0);
}

/// Each of the two can take 60 % of what London asks for, and gets half of it.
#[test]
fn clients_who_share_a_tie_are_planned_where_they_are() {
    for ties in ["random", "network", "load"] {
        let keys = format!("band = \"40%\"\nties = {ties:?}");
        let mut town = Planned::new("queries = 150", "queries = 150", &keys);
        let share = (0..8).map(|_| town.step(2000)).last().expect("eight steps");
        assert!((share - 0.5).abs() < 0.06, "{ties}: {share}");
        let standings: Vec<_> = town.planner.standings().collect();
        for standing in &standings {
            assert!((standing.rate - 100.0).abs() < 15.0, "{ties}: {standing:?}");
            assert!(!standing.is_at_capacity(), "{ties}: {standing:?}");
        }
        assert_eq!(explained(&town.server, LONDON).reason, "preferred");
    }
}

/// The small one takes 30 of the 100 that would be its half; the other has room for the rest.
#[test]
fn what_one_of_them_cannot_take_goes_to_those_as_near() {
    let mut town = Planned::new("queries = 1000", "queries = 38", "band = \"40%\"");
    let share = (0..40).map(|_| town.step(2000)).last().expect("forty steps");
    assert!((0.8..0.92).contains(&share), "{share}");
    let told = explained(&town.server, LONDON);
    let ties = "2 are equally near, which of them takes this client is planned by capacity";
    assert_eq!((told.ties.as_deref(), &*told.reason), (Some(ties), "preferred"));
}

fn supposed(server: &Server, what_if: &str) -> Steering {
    let question = explain::question("www.example.org", "A", LONDON.parse().expect("a network"));
    let all = explain::supposed(&[], &[what_if]).expect("a supposition");
    let snapshot = server.publisher.current();
    let told = explain::offline(&snapshot, &question.expect("a question"), &all).expect("told");
    told.steps.into_iter().find_map(|step| step.steering).expect("it is steered")
}

#[test]
fn a_load_that_is_supposed_breaks_the_tie() {
    let town = Planned::new("queries = 100", "queries = 100", "band = \"40%\"\nties = \"load\"");
    let rooms = |told: &Steering| {
        let named = |pool| told.candidates.iter().find(|candidate| candidate.pool == pool);
        ["dub", "fra"].map(|pool| named(pool).and_then(|candidate| candidate.room))
    };
    // Counted is nothing at all: of the one at 60 % its room is one part in 1.6.
    let told = supposed(&town.server, "pool.dub.load=60%");
    let [dub, fra] = rooms(&told).map(|room| room.expect("weighed"));
    assert!((dub - 1.0 / 2.6).abs() < 1e-3 && (fra - 1.6 / 2.6).abs() < 1e-3, "{told:?}");
    let told = supposed(&tied("ties = \"load\""), "pool.dub.load=100%");
    assert_eq!(rooms(&told)[0], Some(0.0));
    assert_eq!(told.candidates.iter().find(|of| of.outcome == "picked").expect("one").pool, "fra");
}

#[test]
fn a_pool_that_is_supposed_above_its_target_sheds() {
    let town = Planned::new("queries = 100", "queries = 100", "");
    let who = |what_if: &str| {
        let mut shed = 0;
        for network in 0..200 {
            let client = format!("10.1.{network}.0/24");
            let question = explain::question("www.example.org", "A", client.parse().expect("one"));
            let all = explain::supposed(&[], &[what_if]).expect("a supposition");
            let snapshot = town.server.publisher.current();
            let told = explain::offline(&snapshot, &question.expect("a question"), &all);
            let steering = told.expect("told").steps.remove(0).steering.expect("steered");
            let fra = steering.candidates.iter().find(|of| of.pool == "fra").expect("fra");
            shed += u32::from(fra.outcome != "picked");
        }
        shed
    };
    assert_eq!(who("pool.fra.load=80%"), 0, "as much as its target");
    let shed = who("pool.fra.load=95%");
    assert!((10..120).contains(&shed), "fifteen parts of 95 go elsewhere: {shed} of 200");
    assert!(who("pool.fra.load=190%") > shed, "more the more it has too much");
}

#[test]
fn plans_show_the_shares_that_loads_make() {
    let shares = |keys: &str, loads: [f64; 2]| {
        let server = tied(keys);
        load(&server, "dub", Some(loads[0]), None);
        load(&server, "fra", Some(loads[1]), None);
        let snapshot = server.publisher.current();
        let record = &snapshot.catalog.values().next().expect("a zone").records[0];
        let asker = Asker { record, ask: Ask::Family(Family::V4), table: &server.health };
        let (shares, exact) = asker.shares("10.2.0.1".parse().expect("an address"));
        let named = shares.into_iter().map(|(end, share)| match end {
            End::Site(site) => {
                let pool = record.plan.sites[usize::from(site)].pool;
                (server.config.pools[pool.0 as usize].name.to_string(), share)
            }
            other => panic!("{other:?}"),
        });
        (named.collect::<HashMap<String, f64>>(), exact)
    };
    for keys in ["ties = \"load\"", "ties = \"two-choices\""] {
        let (told, exact) = shares(keys, [0.2, 0.8]);
        assert!(exact && (told["dub"] - 0.6).abs() < 1e-6, "{keys}: {told:?}");
        let (told, _) = shares(keys, [1.2, 0.8]);
        assert_eq!(told, HashMap::from([("fra".to_owned(), 1.0)]), "{keys}");
    }
}

/// The whole loop: answers are counted, clients keep them, balancers report late, and what they
/// report breaks ties. Nobody is moved by capacity, so that ties are all there is.
fn swings(keys: &str, takes: [f64; 2], queries: u32, others: impl Fn(usize) -> f64) -> [f64; 3] {
    let capacity = |takes: f64| {
        format!("queries = {takes}, load = \"push\", target = \"100%\", max = \"100%\"")
    };
    let keys = format!("band = \"40%\"\nspill = false\n{keys}");
    let mut town = Planned::new(&capacity(takes[0]), &capacity(takes[1]), &keys);
    let pools = [(takes[0], 0.0), (takes[1], 0.0)];
    let all = Loop::new(&pools, f64::from(queries) / 10.0, 3);
    let mut round = 0;
    all.swing(|told| {
        town.report("dub", told[0], 0.0);
        // Others' part comes on top, without delay: as unkind as it can be.
        town.report("fra", told[1] + others(round), 0.0);
        round += 1;
        let dub = town.step(queries);
        vec![dub, 1.0 - dub]
    })
}

#[test]
fn the_whole_loop_settles() {
    for keys in ["ties = \"load\"", "ties = \"two-choices\""] {
        let [_, rest, highest] = swings(keys, [100.0, 30.0], 1100, |_| 0.0);
        // Of a thousand draws three hundred and more or less fifty are those of the small one.
        assert!(rest < 0.3 && highest < 1.1, "{keys}: {rest}, {highest}");
    }
}

#[test]
fn who_is_filled_by_others_gets_nobody_and_does_not_swing() {
    let [_, rest, highest] = swings("ties = \"load\"", [100.0, 100.0], 500, |_| 1.05);
    assert!(rest < 0.02 && highest < 0.51, "the other has all there is: {rest} {highest}");
}
