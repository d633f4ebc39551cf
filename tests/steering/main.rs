//! Stories of steering, asked of the real road in process.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod areas;
mod capacity;
mod changes;
mod failback;
mod features;
mod groups;
mod handover;
mod latency;
mod multivalue;
mod nearest_ties;
mod nested;
mod pairs;
mod policies;
mod reasons;
mod rules;
mod shares;
mod simulation;

use meridian::geo::world::World;
use meridian::server::explain::{Question, Steering, explain};
use meridian::wire::types::Rtype;
use support::Server;

/// Four regions of the world.
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

/// Where clients are: one network per city.
pub(crate) const NETWORKS: &str = r#"
[[network]]
cidr  = ["10.1.0.0/16"]
place = { continent = "EU", country = "DE", location = [52.52, 13.40] }    # Berlin
[[network]]
cidr  = ["10.2.0.0/16"]
place = { continent = "EU", country = "GB", location = [51.51, -0.13] }    # London
[[network]]
cidr  = ["10.3.0.0/16"]
place = { continent = "NA", country = "US", location = [40.71, -74.01] }   # New York
[[network]]
cidr  = ["10.4.0.0/16"]
place = { continent = "OC", country = "AU", location = [-33.87, 151.21] }  # Sydney
"#;

pub(crate) const BERLIN: &str = "10.1.0.0/24";
pub(crate) const LONDON: &str = "10.2.0.0/24";
pub(crate) const NEW_YORK: &str = "10.3.0.0/24";
pub(crate) const SYDNEY: &str = "10.4.0.0/24";
pub(crate) const NOWHERE: &str = "10.99.0.0/24";

/// One pool per region; fra has two IPv4 members, and all but sin have IPv6.
pub(crate) const POOLS: &str = r#"
[pool.fra]
region  = "fra"
members = ["192.0.2.10", { address = "192.0.2.11", weight = 3 }, "2001:db8:f::10"]
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
www 60 TXT static
sorry 60 A 192.0.2.66
";

/// A server with these records (TOML) over the regions, places and pools above.
pub(crate) fn server(records: &str) -> Server {
    let policy = format!("{POOLS}\n{records}");
    with_policy(&policy, ZONE)
}

/// A server with this whole policy file and zone.
pub(crate) fn with_policy(policy: &str, zone: &str) -> Server {
    Server::over(
        &[
            ("geo/regions.toml", REGIONS),
            ("geo/networks.toml", NETWORKS),
            ("zones/example.org.toml", policy),
            ("zones/example.org.zone", zone),
        ],
        |config| World::from_networks(&config.networks),
    )
}

/// The region whose pool answers `www.example.org A` for a client network; the last octet of
/// the address says which.
pub(crate) fn region(server: &mut Server, client: &str) -> &'static str {
    let message = server.ask(&support::ask("www.example.org", "A").subnet(client));
    region_of(&message)
}

/// How `www.example.org A` is steered for a client network, as it is explained.
pub(crate) fn explained(server: &Server, client: &str) -> Steering {
    let (client, prefix) = client.split_once('/').expect("a network");
    let question = Question {
        name: "www.example.org.".parse().expect("a name"),
        qtype: Rtype::A,
        client: client.parse().expect("an address"),
        prefix: prefix.parse().ok(),
        seed: 7,
    };
    let told = explain(&server.publisher.current(), &server.health, &question);
    told.steps.into_iter().find_map(|step| step.steering).expect("it is steered")
}

pub(crate) fn region_of(message: &hickory_proto::op::Message) -> &'static str {
    message.answers.first().map_or("none", region_of_record)
}

pub(crate) fn region_of_record(record: &hickory_proto::rr::Record) -> &'static str {
    let hickory_proto::rr::RData::A(address) = &record.data else { return "no address" };
    match address.0.octets()[3] / 10 {
        1 => "fra",
        2 => "dub",
        3 => "iad",
        4 => "sin",
        6 => "sorry",
        9 => "default",
        _ => "unknown",
    }
}
