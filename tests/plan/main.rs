//! Offline questions: simulated shares held against asking, and proofs held against trying
//! everything.

#[path = "../support/mod.rs"]
mod support;

mod areas;
mod capacity;
mod faults;
mod proofs;
mod shares;
mod simulated;
mod speed;
mod world;

use std::sync::Arc;

use meridian::geo::world::World;
use meridian::plan::prove::{Proof, Prover};
use meridian::snapshot::Snapshot;
use support::Server;

pub(crate) const REGIONS: &str = r#"
[region.fra]
location = [50.11, 8.68]
country  = "DE"
[region.dub]
location = [53.35, -6.26]
country  = "IE"
[region.iad]
location = [38.95, -77.45]
country  = "US"
[region.sin]
location = [1.35, 103.99]
country  = "SG"
"#;

/// Where clients are: a network of 256 /24s per city, and half as many in Sydney.
pub(crate) const NETWORKS: &str = r#"
[[network]]
cidr  = ["10.1.0.0/16"]
place = { continent = "EU", country = "DE", location = [52.52, 13.40], city = "Berlin" }
[[network]]
cidr  = ["10.2.0.0/16"]
place = { continent = "EU", country = "GB", location = [51.51, -0.13], city = "London" }
[[network]]
cidr  = ["10.3.0.0/16"]
place = { continent = "NA", country = "US", location = [40.71, -74.01], city = "New York" }
[[network]]
cidr  = ["10.4.0.0/17"]
place = { continent = "OC", country = "AU", location = [-33.87, 151.21], city = "Sydney" }
[[network]]
cidr  = ["2001:db8:1::/48"]
place = { continent = "EU", country = "DE", location = [52.52, 13.40], city = "Berlin" }
"#;

/// One pool per region; all but sin have IPv6.
pub(crate) const POOLS: &str = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10", "2001:db8:f::10"]
[pool.dub]
region  = "dub"
members = ["192.0.2.20", "2001:db8:d::10"]
[pool.iad]
region  = "iad"
members = ["192.0.2.30", "2001:db8:1::10"]
[pool.sin]
region  = "sin"
members = ["192.0.2.40"]
"#;

pub(crate) const ZONE: &str = "
@ 60 SOA ns1 host 1 1h 1h 1h 60
@ 60 NS ns1
ns1 60 A 192.0.2.3
www 60 A 192.0.2.99
";

/// A server with these records over the regions, places and pools above.
pub(crate) fn server(records: &str) -> Server {
    Server::over(
        &[
            ("geo/regions.toml", REGIONS),
            ("geo/networks.toml", NETWORKS),
            ("geo/latency.csv", world::LATENCY),
            ("zones/example.org.toml", &format!("{POOLS}\n{records}")),
            ("zones/example.org.zone", ZONE),
        ],
        |config| World::from_networks(&config.networks),
    )
}

/// Seeds of so many random worlds, or the one that is to be replayed.
pub(crate) fn seeds(many: u64) -> Vec<u64> {
    match std::env::var("MERIDIAN_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..many).collect(),
    }
}

pub(crate) fn snapshot(records: &str) -> Arc<Snapshot> {
    server(records).publisher.current()
}

/// What is proved of a snapshot under losses of up to `most` regions.
pub(crate) fn prove(snapshot: &Snapshot, most: usize) -> Proof {
    let mut prover = Prover::new(snapshot, most);
    for served in snapshot.catalog.values() {
        served.records.iter().for_each(|record| prover.add(served, record));
    }
    prover.finish()
}
