//! Why the first choice did not answer: unhealthy, drained, fenced, at capacity and the rest, told
//! apart by the extended error, by `explain` and by the counters alike.

use meridian::health::table::Verdict;
use meridian::steer::tally::Reason;

use crate::support::{Server, ask, option};
use crate::{BERLIN, explained, with_policy};

/// fra can be full; dub has no bound.
const POOLS: &str = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10"]
[pool.fra.capacity]
queries = 100
[pool.dub]
region  = "dub"
members = ["192.0.2.20", "2001:db8:d::10"]
[pool.iad]
region  = "iad"
members = ["192.0.2.30", "2001:db8:1::10"]
"#;

const FAILOVER: &str = "policy = \"failover\"\npools = [\"fra\", \"dub\", \"iad\"]\n";
const HASH: &str = "policy = \"hash\"\npools = { fra = 1000, dub = 0 }\n";
const WEIGHTED: &str = "policy = \"weighted\"\npools = { fra = 1, dub = 0 }\n";
const NESTED: &str = "policy = \"failover\"\npools = [\"europe\", \"iad\"]\n\
                      [group.europe]\npolicy = \"weighted\"\npools = { fra = 1, dub = 0 }\n";
const FENCE: &str = "[[record.\"www\".rule]]\nmatch = { country = \"DE\" }\npools = [\"fra\"]\n\
                     fence = true\nlast_resort = \"nodata\"\n\
                     [[record.\"www\".rule]]\nmatch = \"default\"\npools = [\"dub\"]\n";

const ZONE: &str = "
@ 60 SOA ns1 host 1 1h 1h 1h 60
@ 60 NS ns1
ns1 60 A 192.0.2.3
www 60 A 192.0.2.99
";

fn of(record: &str) -> Server {
    with_policy(&format!("{POOLS}\n[record.\"www\"]\n{record}"), ZONE)
}

/// How one reason comes about.
enum Cause {
    Verdict(Verdict),
    /// It takes none of its clients.
    KeepsNobody,
    /// As the capacity planner tells the road.
    Full,
}

fn bring_about(server: &Server, cause: &Cause) {
    match cause {
        Cause::Verdict(verdict) => server.region("fra", *verdict),
        Cause::KeepsNobody => server.keep("fra", 0.0),
        Cause::Full => {
            let snapshot = server.snapshot();
            let mut records = snapshot.catalog.values().flat_map(|served| &served.records);
            let plan = &records.next().expect("a record").plan;
            let spill = plan.spill.as_ref().expect("a pool has a capacity");
            for order in 0..plan.map.orders().len() {
                spill.set_word(order, u64::from_le_bytes([0, 255, 255, 255, 255, 255, 255, 255]));
            }
            spill.settle();
            spill.set_keep(0, 0, 0);
        }
    }
}

/// What the extended error says.
fn sentence(server: &mut Server, qtype: &str) -> String {
    let asked = ask("www.example.org", qtype).subnet(BERLIN).from("127.0.0.1");
    let value = option(&server.ask(&asked), 15).unwrap_or_default();
    String::from_utf8_lossy(value.get(2..).unwrap_or_default()).into_owned()
}

/// Reasons that answers were counted for, with pools.
fn counted(server: &Server) -> Vec<(String, &'static str)> {
    let snapshot = server.snapshot();
    let mut records = snapshot.catalog.values().flat_map(|served| &served.records);
    let tally = &records.next().expect("a record").tally;
    let pools = tally.pools().iter().map(|pool| &**pool).chain([""]);
    let all = pools.flat_map(|pool| Reason::ALL.map(|reason| (pool, reason)));
    let seen = all.filter(|(pool, reason)| tally.sum(pool, *reason) > 0);
    seen.map(|(pool, reason)| (pool.to_owned(), reason.as_str())).collect()
}

#[test]
fn each_reason_is_told_apart_under_every_policy() {
    let story = [
        (Cause::Verdict(Verdict::Down), "unhealthy", "the first choice is down"),
        (Cause::Verdict(Verdict::Draining), "drained", "the first choice is drained"),
        (Cause::Verdict(Verdict::Maintenance), "drained", "the first choice is being worked on"),
        (
            Cause::Verdict(Verdict::ForcedDown),
            "drained",
            "the first choice is held down by an operator",
        ),
        (Cause::KeepsNobody, "shed", "the first choice sheds this client"),
        (Cause::Full, "at-capacity", "the first choice is at capacity"),
    ];
    for record in [FAILOVER, HASH, WEIGHTED, NESTED] {
        for (cause, reason, told) in &story {
            let mut server = of(record);
            assert_eq!(sentence(&mut server, "A"), "", "{record}: nothing is wrong yet");
            bring_about(&server, cause);
            let context = format!("{reason} under {record}");
            assert_eq!(
                sentence(&mut server, "A"),
                format!("{told}; the next answers"),
                "{context}"
            );
            let expected = [("fra", "preferred"), ("dub", reason)];
            let expected = expected.map(|(pool, reason)| (pool.to_owned(), reason));
            assert_eq!(counted(&server), expected, "{context}");
            let steering = explained(&server, BERLIN);
            assert_eq!(steering.reason, *reason, "{context}");
            let fra = steering.candidates.iter().find(|candidate| candidate.pool == "fra");
            let fra = fra.expect("a candidate");
            let struck = if matches!(*reason, "shed" | "at-capacity") {
                "passed over"
            } else {
                "struck out"
            };
            assert_eq!(
                (&*fra.outcome, fra.because.as_deref()),
                (struck, Some(*reason)),
                "{context}"
            );
        }
    }
}

#[test]
fn a_fence_is_told_apart_from_what_is_wrong_inside_it() {
    let mut server = of(FENCE);
    assert_eq!(sentence(&mut server, "A"), "");
    for (verdict, inside, because) in
        [(Verdict::Down, "down", "unhealthy"), (Verdict::Draining, "drained", "drained")]
    {
        server.region("fra", verdict);
        let told = format!("fenced, and all pools inside are {inside}; no answer is left");
        assert_eq!(sentence(&mut server, "A"), told);
        let steering = explained(&server, BERLIN);
        assert_eq!(steering.reason, "fenced");
        let told = |pool: &str| {
            let candidate = steering.candidates.iter().find(|of| of.pool == pool).expect("told");
            (candidate.group.clone(), candidate.outcome.clone(), candidate.because.clone())
        };
        let expected = |group: &str, because: &str| {
            (group.to_owned(), "struck out".to_owned(), Some(because.to_owned()))
        };
        assert_eq!(told("fra"), expected("own", because));
        assert_eq!(told("dub"), expected("outside", "fenced"), "it serves, but not these clients");
    }
    assert_eq!(
        counted(&server),
        [("fra", "preferred"), ("", "fenced")].map(|(pool, reason)| { (pool.to_owned(), reason) })
    );
}

#[test]
fn a_pool_without_an_address_of_the_type_is_not_said_to_be_down() {
    let mut server = of(FAILOVER);
    assert_eq!(
        sentence(&mut server, "AAAA"),
        "the first choice has no address of this type; the next answers"
    );
    assert_eq!(counted(&server), [("dub".to_owned(), "no-address")]);
    server.region("fra", Verdict::Down);
    sentence(&mut server, "AAAA");
    assert_eq!(counted(&server).len(), 1, "down or not, it has none");
}

#[test]
fn the_first_choice_decides_what_is_told_whatever_is_wrong_further_down() {
    let mut server = of(FAILOVER);
    server.region("fra", Verdict::Draining);
    server.region("dub", Verdict::Down);
    assert_eq!(sentence(&mut server, "A"), "the first choice is drained; the next answers");
    assert_eq!(counted(&server), [("iad".to_owned(), "drained")]);
}

#[test]
fn a_client_that_everybody_sheds_is_told_who_answers_it() {
    let mut server = of(FAILOVER);
    for region in ["fra", "dub", "iad"] {
        server.keep(region, 0.0);
    }
    let told = "the first choice sheds this client; no other takes it, so it answers";
    assert_eq!(sentence(&mut server, "A"), told);
    assert_eq!(counted(&server), [("fra".to_owned(), "shed")]);
}
