//! The road allocates nothing: not for a hit, a miss, a chain, a referral, or a steered answer.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use meridian::geo::world::{Fallback, World};
use meridian::health::table::{PoolWord, Verdict};
use meridian::region::{AreaId, Family, PoolId};
use meridian::server::stats::Counter;
use meridian::server::{Answer, Transport};
use support::{Server, ask, cookie};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // The counter may be gone while a thread ends; nobody measures then.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ZONE: &str = "
@ 60 SOA ns1 host 1 1h 1h 1h 60
@ 60 NS ns1
ns1 60 A 192.0.2.3
www 60 TXT text
chain 60 CNAME www
old 60 DNAME new
*.wild 60 A 192.0.2.5
child 60 NS ns.child
ns.child 60 A 192.0.2.6
";
const POLICY: &str = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10", { address = "192.0.2.11", weight = 3 }, "2001:db8:f::10"]
[pool.iad]
region  = "iad"
members = ["192.0.2.30"]
[pool.lb]
region = "iad"
cname  = "www.example.org."
[pool.ns]
region   = "fra"
delegate = [{ ns = "ns.sub.example.org.", addresses = ["192.0.2.53"] }]
[record."www"]
policy = "nearest"
pools  = ["fra", "iad"]
[record."weighted"]
policy = "weighted"
pools  = { fra = 2, iad = 1 }
[record."turn"]
policy  = "round-robin"
pools   = ["fra", "iad"]
answers = 2
[record."service"]
policy     = "weighted"
pools      = ["fra", "iad"]
answers    = 2
order      = "shuffle"
pool_names = true
https      = { alpn = ["h2", "h3"], target = "@pool" }
srv        = { port = 443 }
[record."lb"]
policy = "failover"
pools  = ["lb"]
[record."sub"]
policy = "failover"
pools  = ["ns"]
"#;

/// Who asks here, and others.
const AREAS: &str = "[area.near]\nmatch = { cidr = [\"192.0.2.0/24\", \"2001:db8::/32\"] }\n\
                     [area.far]\nmatch = { cidr = \"198.51.100.0/24\" }\n";
const LIMITS: &str = "[rate_limit]\nresponses_per_second = 20\n";

#[test]
fn no_query_allocates() {
    allocates_nothing("");
}

/// The first region is down for clients of one area, and then for those of both but not for the
/// world.
#[test]
fn no_query_of_a_client_in_an_area_allocates() {
    allocates_nothing(AREAS);
}

fn allocates_nothing(areas: &str) {
    let mut server = Server::over(
        &[
            (
                "geo/regions.toml",
                "[region.fra]\nlocation = [50.1, 8.7]\n[region.iad]\nlocation = [39.0, -77.5]\n",
            ),
            ("meridian.toml", &format!("workers = 1\n{LIMITS}{areas}")),
            ("zones/example.org.zone", ZONE),
            ("zones/example.org.toml", POLICY),
        ],
        |config| World::load::<&str>(&[], &config.networks, Fallback::Embedded).expect("a world"),
    );
    // Every decision is sampled, and nobody reads them: some find no room.
    server.stats.sample(1);
    let good = cookie(&server.ask(&ask("www.example.org", "A").cookie(b"client!!")));
    let good = good.expect("a cookie");
    let questions: Vec<Vec<u8>> = [
        ("www", "A"),
        ("www", "AAAA"),
        ("www", "TXT"),
        ("www", "MX"),
        ("weighted", "A"),
        ("turn", "A"),
        ("lb", "A"),
        ("sub", "A"),
        ("x.sub", "A"),
        ("service", "HTTPS"),
        ("service", "SRV"),
        ("service", "TXT"),
        ("service", "A"),
        ("fra.service", "A"),
        ("chain", "A"),
        ("a.old", "A"),
        ("x.wild", "A"),
        ("x.child", "A"),
        ("nowhere", "A"),
        ("@", "ANY"),
    ]
    .iter()
    .flat_map(|(name, qtype)| {
        let name =
            if *name == "@" { "example.org".to_owned() } else { format!("{name}.example.org") };
        let ask = ask(&name, qtype);
        [
            ask.clone().packet(),
            ask.clone().subnet("198.51.100.0/24").packet(),
            ask.clone().cookie(b"client!!").packet(),
            ask.clone().cookie(b"client!!16 wrong octets!").packet(),
            ask.clone().cookie(&good).packet(),
            ask.subnet("2001:db8:1::/48").packet(),
        ]
    })
    .chain([vec![0; 12], vec![0; 5], vec![0xff; 40]])
    .collect();
    assert_eq!(server.health.areas(), if areas.is_empty() { 0 } else { 2 });
    for (verdict, seen_by) in
        [(Verdict::Up, 0), (Verdict::Up, 1), (Verdict::Up, 2), (Verdict::Down, 0)]
    {
        server.region("fra", verdict);
        for (pool, area) in [0, 3].into_iter().flat_map(|pool| [(pool, 1), (pool, 2)]) {
            if area <= seen_by {
                let down = PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0);
                server.health.store(PoolId(pool), Family::V4, AreaId(area), down);
            }
        }
        let client: IpAddr = "192.0.2.9".parse().expect("an address");
        let mut out = vec![0; 65_535];
        let before = ALLOCATIONS.get();
        let mut answered = 0;
        for batch in questions.chunks(32) {
            server.worker.begin(Duration::ZERO);
            for (slot, packet) in batch.iter().enumerate() {
                server.worker.prepare(slot, packet);
            }
            for (slot, packet) in batch.iter().enumerate() {
                answered += usize::from(
                    server.worker.answer(slot, packet, client, Transport::Udp, &mut out) > 0,
                );
            }
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "allocations on the road");
        assert!(answered >= 45, "{answered}");
    }
    let mut decisions = 0;
    server.stats.decisions(|_| decisions += 1);
    assert!(decisions > 0, "nothing is sampled");
    let held_back = [Counter::LimitDropped, Counter::LimitSlipped];
    assert!(held_back.iter().all(|counter| server.stats.sum(*counter) > 0), "nothing is held back");
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1, 2, 3]));
    assert!(ALLOCATIONS.get() > before);
}
