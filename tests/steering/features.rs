//! Every feature beside every other: what each of the two promises, both keep.
//!
//! A feature writes its part of one record and states what it promises; for each pair the record
//! has both parts, and both statements are checked. Pairs that cannot be written are refused
//! when the files are read, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hickory_proto::rr::rdata::svcb::SvcParamValue;
use meridian::daemon::steward::Steward;
use meridian::geo::world::World;
use meridian::health::table::{PoolLoad, PoolWord, Verdict};
use meridian::region::{AreaId, Family, PoolId};
use meridian::steer::capacity::load::Loads;
use meridian::steer::capacity::{CapacityPlanner, Seen};
use meridian::steer::dials::ALL;
use meridian::steer::record::Record;

use crate::support::{Server, ask};
use crate::{NETWORKS, REGIONS, ZONE, region_of_record};

/// What a feature writes.
#[derive(Default)]
struct Draft {
    policy: Option<&'static str>,
    keys: Vec<&'static str>,
    record_keys: Vec<&'static str>,
    settings: &'static str,
    fra_keys: Vec<&'static str>,
    has_group: bool,
}

struct Feature {
    name: &'static str,
    writes: fn(&mut Draft),
    holds: fn(&mut Story),
}

/// Europe's rule is the one with the features; its pools are fra, dub and iad. All others are for
/// sin.
struct Story {
    server: Server,
    steward: Steward,
    planner: CapacityPlanner,
    now: u64,
    what: String,
}

const FEATURES: [Feature; 19] = [
    Feature {
        name: "fence",
        writes: |draft| draft.keys.push("fence = true"),
        holds: |story| {
            story.all(&["fra", "dub", "iad"], Verdict::Down);
            assert!(!story.any("sin"), "left the fence: {}", story.what);
        },
    },
    Feature {
        name: "last resort",
        writes: |draft| draft.keys.push("last_resort = \"servfail\""),
        holds: |story| {
            story.all(&["fra", "dub", "iad", "sin"], Verdict::ForcedDown);
            let message = story.server.ask(&ask("www.example.org", "A").subnet("10.1.0.0/24"));
            let rcode = message.metadata.response_code;
            assert_eq!(rcode, hickory_proto::op::ResponseCode::ServFail, "{}", story.what);
        },
    },
    Feature {
        name: "panic",
        writes: |draft| draft.keys.push("panic = \"60%\""),
        holds: |story| {
            story.all(&["fra", "dub"], Verdict::Down);
            assert!(story.any("fra") || story.any("dub"), "checks are believed: {}", story.what);
        },
    },
    Feature {
        name: "drain",
        writes: |_| {},
        holds: |story| {
            story.all(&["fra"], Verdict::Draining);
            assert!(!story.any("fra") && story.is_answered(), "{}", story.what);
        },
    },
    Feature {
        name: "failback",
        writes: |draft| draft.keys.push("failback = { after = \"60s\", ramp = \"5m\" }"),
        holds: |story| {
            story.wait(1);
            let before = story.share("fra");
            story.all(&["fra"], Verdict::Down);
            story.wait(1);
            assert!(!story.any("fra"), "{}", story.what);
            story.all(&["fra"], Verdict::Up);
            story.wait(30);
            assert!(!story.any("fra"), "too early: {}", story.what);
            story.wait(1200);
            let after = story.share("fra");
            assert!((after - before).abs() < 0.12, "{before} and {after}: {}", story.what);
        },
    },
    Feature {
        name: "slow start",
        writes: |draft| draft.fra_keys.push("slow_start = \"1m\""),
        holds: |story| {
            let before = story.share("fra");
            story.server.keep("fra", 10.0);
            let after = story.share("fra");
            assert!(after < 0.5 * before, "{before} and {after}: {}", story.what);
            assert!(story.is_answered(), "{}", story.what);
        },
    },
    Feature {
        name: "max_share",
        writes: |draft| {
            draft.policy.get_or_insert("hash");
            draft.keys.push("max_share = 1.25");
        },
        holds: |story| {
            // One network asks more than all others together.
            for _ in 0..6 {
                (0..1500).for_each(|_| drop(story.regions("10.1.7.0/24", "A")));
                story.is_answered();
                story.wait(10);
            }
            let dials = story.server.dials("www.example.org.");
            assert!((0..3).any(|place| dials.keep(0, place) < ALL), "{}", story.what);
        },
    },
    Feature {
        name: "capacity",
        writes: |draft| {
            // Ten queries a second, and room for five.
            draft.fra_keys.push("capacity = { queries = 50, target = \"10%\", max = \"12%\" }");
        },
        holds: |story| {
            for _ in 0..40 {
                story.share("fra");
                story.wait(10);
            }
            let share = story.share("fra");
            assert!(share < 0.62, "{share} of what fra takes half of: {}", story.what);
            assert!(story.is_answered(), "{}", story.what);
        },
    },
    Feature {
        name: "canary",
        writes: |draft| draft.keys.push("canary = { pool = \"iad\" }"),
        holds: |story| story.sides(),
    },
    Feature {
        name: "switch",
        writes: |draft| {
            draft.keys.push("switch = { blue = [\"fra\", \"dub\"], green = [\"iad\"] }");
        },
        holds: |story| story.sides(),
    },
    Feature {
        name: "nested group",
        writes: |draft| draft.has_group = true,
        holds: |story| {
            // The group prefers fra, whatever else is chosen from, and dub stands in for it.
            let (fra, dub) = (story.share("fra"), story.share("dub"));
            assert!(fra >= dub, "{fra} and {dub}: {}", story.what);
            story.all(&["fra"], Verdict::Down);
            let (dub, iad) = (story.share("dub"), story.share("iad"));
            assert!(dub > 0.3 && dub + iad > 0.99, "{dub} and {iad}: {}", story.what);
        },
    },
    Feature {
        name: "band",
        writes: |draft| {
            draft.policy.get_or_insert("nearest");
            // From Berlin dub counts as 395 km away, and fra is 424.
            draft.keys.push("bias = { dub = 70 }\nband = \"100%\"\nties = \"network\"");
        },
        holds: |story| {
            let both = story.any("fra") && story.any("dub");
            assert!(both, "as near as makes no difference: {}", story.what);
            story.is_stable();
        },
    },
    Feature {
        name: "families apart",
        writes: |_| {},
        holds: |story| {
            let before = story.usual("fra");
            let word = PoolWord::new(Verdict::Down, ALL, 0);
            story.server.health.store_everywhere(PoolId(0), Family::V6, word);
            for n in 0..100 {
                let regions = story.regions(&format!("10.1.{n}.0/24"), "AAAA");
                assert!(!regions.contains(&"fra"), "{}", story.what);
            }
            let after = story.usual("fra");
            assert!((after - before).abs() < 0.12, "{before} and {after}: {}", story.what);
        },
    },
    Feature {
        name: "TTL range",
        writes: |draft| draft.record_keys.push("ttl = { min = \"5s\", max = \"5m\" }"),
        holds: |story| {
            let ttl = |story: &mut Story| {
                let message = story.server.ask(&ask("www.example.org", "A").subnet("10.1.3.0/24"));
                message.answers.first().map(|record| record.ttl)
            };
            assert_eq!(ttl(story), Some(300), "{}", story.what);
            for region in ["fra", "dub", "iad"] {
                story.server.sight(region, 20);
            }
            assert_eq!(ttl(story), Some(20), "{}", story.what);
            for region in ["fra", "dub", "iad"] {
                story.server.sight(region, 1);
            }
            assert_eq!(ttl(story), Some(5), "{}", story.what);
        },
    },
    Feature {
        name: "sticky",
        writes: |draft| {
            draft.policy = Some("weighted");
            draft.keys.push("sticky = \"network\"");
        },
        holds: |story| story.is_stable(),
    },
    Feature {
        name: "multivalue",
        writes: |draft| draft.policy = Some("multivalue"),
        holds: |story| {
            let got = story.regions("10.1.3.0/24", "A");
            let sided = story.what.contains("canary") || story.what.contains("switch");
            let wanted = if sided { 2 } else { 3 };
            assert_eq!(got.len(), wanted, "all that serve of a side: {got:?}, {}", story.what);
        },
    },
    Feature {
        name: "area",
        // Of the hundred networks that ask, the first 32.
        writes: |draft| draft.settings = "[area.near]\nmatch = { cidr = \"10.1.0.0/19\" }\n",
        holds: |story| {
            let before = story.of_networks(32..100, "fra");
            let down = PoolWord::new(Verdict::Down, ALL, 0);
            for family in [Family::V4, Family::V6] {
                story.server.health.store(PoolId(0), family, AreaId(1), down);
            }
            assert_eq!(story.of_networks(0..32, "fra"), 0.0, "out of reach: {}", story.what);
            assert!(story.is_answered(), "{}", story.what);
            let after = story.of_networks(32..100, "fra");
            assert!((after - before).abs() < 0.2, "{before} and {after}: {}", story.what);
            story.server.region("fra", Verdict::Down);
            let up = PoolWord::new(Verdict::Up, ALL, 0b11);
            story.server.health.store(PoolId(0), Family::V4, AreaId(1), up);
            assert!(story.of_networks(0..32, "fra") > 0.0, "in reach: {}", story.what);
            assert_eq!(story.of_networks(32..100, "fra"), 0.0, "{}", story.what);
        },
    },
    Feature {
        name: "two choices",
        writes: |draft| {
            draft.policy.get_or_insert("nearest");
            draft.keys.push("bias = { dub = 70 }\nband = \"100%\"\nties = \"two-choices\"");
        },
        holds: |story| {
            let loads = &story.server.health.loads;
            loads.set(PoolId(0), PoolLoad::new(1.0, None));
            loads.set(PoolId(1), PoolLoad::new(0.0, None));
            let fra = story.usual("fra");
            // As 1/(1 + load): one of three.
            assert!((fra - 1.0 / 3.0).abs() < 0.08, "{fra}: {}", story.what);
            assert!(story.is_answered(), "{}", story.what);
        },
    },
    Feature {
        name: "HTTPS",
        writes: |draft| draft.record_keys.push("https = { alpn = [\"h2\"] }"),
        holds: |story| {
            let addresses: BTreeSet<_> = story.shares().into_keys().collect();
            assert_eq!(story.hinted(), addresses, "hints lead where addresses do: {}", story.what);
            story.all(&["fra"], Verdict::Down);
            let addresses: BTreeSet<_> = story.shares().into_keys().collect();
            let hinted = story.hinted();
            assert!(!hinted.contains("fra"), "{}", story.what);
            assert_eq!(hinted, addresses, "{}", story.what);
        },
    },
];

impl Draft {
    fn policy_file(&self) -> String {
        let policy = self.policy.unwrap_or("failover");
        let names: &[&str] =
            if self.has_group { &["europe", "iad"] } else { &["fra", "dub", "iad"] };
        let list: Vec<String> = match policy {
            "weighted" | "hash" => names.iter().map(|name| format!("{name} = 1")).collect(),
            _ => names.iter().map(|name| format!("\"{name}\"")).collect(),
        };
        let list = list.join(", ");
        let list = if matches!(policy, "weighted" | "hash") {
            format!("{{ {list} }}")
        } else {
            format!("[{list}]")
        };
        let group = match self.has_group {
            true => "[group.europe]\npolicy = \"failover\"\npools = [\"fra\", \"dub\"]\n",
            false => "",
        };
        let pools = crate::POOLS.replacen(
            "region  = \"fra\"\n",
            &format!("region  = \"fra\"\n{}\n", self.fra_keys.join("\n")),
            1,
        );
        format!(
            "{pools}\n{group}[record.\"www\"]\n{}\n[[record.\"www\".rule]]\nmatch = {{ continent = \
             \"EU\" }}\npolicy = \"{policy}\"\npools = {list}\n{}\n[[record.\"www\".rule]]\nmatch = \
             \"default\"\npolicy = \"failover\"\npools = [\"sin\"]\n",
            self.record_keys.join("\n"),
            self.keys.join("\n"),
        )
    }
}

fn files(settings: &str, policy: &str) -> [(&'static str, String); 5] {
    [
        ("meridian.toml", settings.to_owned()),
        ("geo/regions.toml", REGIONS.to_owned()),
        ("geo/networks.toml", NETWORKS.to_owned()),
        ("zones/example.org.toml", policy.to_owned()),
        ("zones/example.org.zone", ZONE.to_owned()),
    ]
}

/// Why the files are refused; `None` when they are not.
fn refusal(settings: &str, policy: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files(settings, policy) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    let loaded = meridian::config::load(folder.path(), None);
    loaded.config.is_none().then(|| meridian::diagnostics::render(&loaded.diagnostics))
}

impl Story {
    fn new(settings: &str, policy: &str, what: String) -> Self {
        let files = files(settings, policy);
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
        let server = Server::over(&files, |config| World::from_networks(&config.networks));
        let mut planner = CapacityPlanner::default();
        let snapshot = server.snapshot();
        let records: Vec<&Record> = snapshot.catalog.values().flat_map(|of| &of.records).collect();
        planner.adopt(&server.config.pools, records.into_iter());
        let mut story = Self { server, steward: Steward::default(), planner, now: 0, what };
        story.wait(1);
        story
    }

    fn all(&self, regions: &[&str], verdict: Verdict) {
        regions.iter().for_each(|region| self.server.region(region, verdict));
    }

    fn wait(&mut self, seconds: u64) {
        let snapshot = self.server.snapshot();
        for _ in 0..seconds {
            self.now += 1;
            let now = Duration::from_secs(self.now);
            self.steward.turn(&snapshot, now);
            if self.planner.is_due(now, Duration::from_secs(10), &self.server.health) {
                let loads = Loads::default();
                self.planner.step(Seen { now, health: &self.server.health, loads: &loads });
            }
            self.server.now = now;
        }
    }

    fn regions(&mut self, client: &str, qtype: &str) -> Vec<&'static str> {
        let message = self.server.ask(&ask("www.example.org", qtype).subnet(client));
        let region = |record: &hickory_proto::rr::Record| match &record.data {
            hickory_proto::rr::RData::AAAA(address) => match address.0.segments()[2] {
                0xf => "fra",
                0xd => "dub",
                _ => "iad",
            },
            _ => region_of_record(record),
        };
        message.answers.iter().map(region).collect()
    }

    /// A hundred networks ask: by region, the part of the clients that goes there.
    fn shares(&mut self) -> BTreeMap<&'static str, f64> {
        let mut shares = BTreeMap::new();
        for n in 0..100 {
            let regions = self.regions(&format!("10.1.{n}.0/24"), "A");
            for region in &regions {
                *shares.entry(*region).or_insert(0.0) += 0.01 / regions.len() as f64;
            }
        }
        shares
    }

    fn share(&mut self, region: &str) -> f64 {
        self.shares().get(region).copied().unwrap_or(0.0)
    }

    /// The same over many questions, where chance decides.
    fn usual(&mut self, region: &str) -> f64 {
        (0..10).map(|_| self.share(region)).sum::<f64>() / 10.0
    }

    /// The part of the answers to some of the networks that comes from a region.
    fn of_networks(&mut self, networks: std::ops::Range<u8>, region: &str) -> f64 {
        let (mut from, count) = (0.0, f64::from(networks.end - networks.start));
        for n in networks {
            let regions = self.regions(&format!("10.1.{n}.0/24"), "A");
            let given = regions.iter().filter(|of| **of == region).count();
            from += given as f64 / regions.len().max(1) as f64;
        }
        from / count
    }

    /// Regions whose addresses are hinted at to a hundred networks.
    fn hinted(&mut self) -> BTreeSet<&'static str> {
        let mut regions = BTreeSet::new();
        for n in 0..100 {
            let asked = ask("www.example.org", "HTTPS").subnet(&format!("10.1.{n}.0/24"));
            for record in &self.server.ask(&asked).answers {
                let hickory_proto::rr::RData::HTTPS(of) = &record.data else { continue };
                for (_, value) in &of.0.svc_params {
                    let SvcParamValue::Ipv4Hint(hint) = value else { continue };
                    regions.extend(hint.0.iter().map(|address| match address.0.octets()[3] / 10 {
                        1 => "fra",
                        2 => "dub",
                        3 => "iad",
                        _ => "sin",
                    }));
                }
            }
        }
        regions
    }

    fn any(&mut self, region: &str) -> bool {
        self.shares().contains_key(region)
    }

    fn is_answered(&mut self) -> bool {
        self.shares().values().sum::<f64>() > 0.999
    }

    fn is_stable(&mut self) {
        for n in 0..50 {
            let client = format!("10.1.{n}.0/24");
            let mut first = self.regions(&client, "A");
            first.truncate(1);
            for _ in 0..4 {
                let mut again = self.regions(&client, "A");
                again.truncate(1);
                assert_eq!(again, first, "{client}: {}", self.what);
            }
        }
    }

    /// A dial says how many clients are on the side of iad.
    fn sides(&mut self) {
        let dials = self.server.dials("www.example.org.");
        assert!(!self.any("iad"), "{}", self.what);
        dials.set_stage(0, ALL / 4);
        let share = self.share("iad");
        assert!((0.1..0.42).contains(&share), "{share} of a quarter: {}", self.what);
        dials.set_stage(0, ALL);
        assert!(self.share("iad") > 0.99, "{}", self.what);
        dials.set_stage(0, 0);
    }
}

/// Pairs that cannot be written, and a part of the reason.
const REFUSED: [(&str, &str, &str); 13] = [
    ("max_share", "nested group", "'max_share' is for pools that stand side by side"),
    ("nested group", "band", "'band' is for pools that stand side by side"),
    ("max_share", "band", "'bias' is for policy 'nearest'"),
    ("max_share", "multivalue", "'max_share' is for clients that stay"),
    ("canary", "switch", "a record has one change"),
    ("band", "sticky", "'bias' is for policy 'nearest'"),
    ("band", "multivalue", "'bias' is for policy 'nearest'"),
    ("sticky", "multivalue", "'sticky' is for policy 'weighted'"),
    ("max_share", "two choices", "'bias' is for policy 'nearest'"),
    ("nested group", "two choices", "'band' is for pools that stand side by side"),
    ("band", "two choices", "defined twice"),
    ("sticky", "two choices", "'bias' is for policy 'nearest'"),
    ("multivalue", "two choices", "'bias' is for policy 'nearest'"),
];

#[test]
fn two_features_of_one_record_keep_what_each_promises_alone() {
    let mut failed = Vec::new();
    for (at, one) in FEATURES.iter().enumerate() {
        for other in &FEATURES[at..] {
            let mut draft = Draft::default();
            (one.writes)(&mut draft);
            if one.name != other.name {
                (other.writes)(&mut draft);
            }
            let policy = draft.policy_file();
            let pair = format!("{} with {}", one.name, other.name);
            let wanted = REFUSED.iter().find(|(a, b, _)| (*a, *b) == (one.name, other.name));
            match (refusal(draft.settings, &policy), wanted) {
                (Some(why), Some((.., wanted))) => {
                    assert!(why.contains(wanted), "{pair} is refused for another reason:\n{why}");
                    continue;
                }
                (Some(why), None) => {
                    failed.push(format!("{pair} is refused:\n{why}"));
                    continue;
                }
                (None, Some(_)) => {
                    failed.push(format!("{pair} is taken"));
                    continue;
                }
                (None, None) => {}
            }
            for feature in [one, other] {
                let told = std::panic::catch_unwind(|| {
                    let what = format!("{} of {pair}\n{policy}", feature.name);
                    (feature.holds)(&mut Story::new(draft.settings, &policy, what));
                });
                if told.is_err() {
                    failed.push(format!("{}, in {pair}", feature.name));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} statements do not hold:\n{}", failed.len(), failed.join("\n"));
}
