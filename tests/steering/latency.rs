//! Policy `latency`: what was measured counts, and the distance where nothing was.

use meridian::geo::world::World;
use meridian::health::table::Verdict;

use crate::support::{Server, ask, scope};
use crate::{BERLIN, LONDON, NEW_YORK, NOWHERE, SYDNEY, explained, region};

const RECORD: &str = "[record.\"www\"]\npolicy = \"latency\"\npools = [\"fra\", \"dub\", \"iad\", \"sin\"]\nlatency = { file = \"geo/latency.csv\" }\n";

fn measured(record: &str, table: &str) -> Server {
    let policy = format!("{}\n{record}", crate::POOLS);
    Server::over(
        &[
            ("geo/regions.toml", crate::REGIONS),
            ("geo/networks.toml", crate::NETWORKS),
            ("geo/latency.csv", table),
            ("zones/example.org.toml", &policy),
            ("zones/example.org.zone", crate::ZONE),
        ],
        |config| World::from_networks(&config.networks),
    )
}

#[test]
fn the_region_that_answers_soonest_comes_first_however_far_it_is() {
    let mut server = measured(
        RECORD,
        "network,region,milliseconds\n10.1.0.0/16,fra,40\n10.1.0.0/16,dub,31.5\n10.4.0.0/16,iad,90\n",
    );
    assert_eq!(region(&mut server, BERLIN), "dub");
    assert_eq!(region(&mut server, SYDNEY), "iad", "sin is 6300 km away: some 99 ms");
    server.region("dub", Verdict::Down);
    assert_eq!(region(&mut server, BERLIN), "fra");
}

#[test]
fn where_nothing_was_measured_the_distance_tells() {
    let mut server = measured(RECORD, "# nobody yet\n10.1.0.0/16,dub,1\n");
    let regions = [BERLIN, LONDON, NEW_YORK, SYDNEY].map(|client| region(&mut server, client));
    assert_eq!(regions, ["dub", "dub", "iad", "sin"]);
    assert_eq!(region(&mut server, NOWHERE), "fra", "as written where nothing is known");
}

#[test]
fn a_client_of_an_unknown_place_is_known_by_what_was_measured() {
    let mut server = measured(RECORD, "10.99.0.0/16,sin,80\n10.99.0.0/16,iad,20\n");
    assert_eq!(region(&mut server, NOWHERE), "iad");
    server.region("iad", Verdict::Down);
    assert_eq!(region(&mut server, NOWHERE), "sin");
    server.region("sin", Verdict::Down);
    assert_eq!(region(&mut server, NOWHERE), "fra");
}

#[test]
fn the_scope_is_that_of_the_network_that_was_measured() {
    let mut server = measured(RECORD, "10.1.128.0/20,dub,1\n");
    let mut scope_of = |client| scope(&server.ask(&ask("www.example.org", "A").subnet(client)));
    assert_eq!(scope_of("10.1.130.0/24"), Some(20));
    assert_eq!(scope_of("10.1.144.0/24"), Some(20), "its neighbour, which ends where it begins");
    assert_eq!(scope_of("10.1.1.0/24"), Some(17));
    assert_eq!(scope_of("10.3.1.0/24"), Some(16));
}

#[test]
fn addresses_are_brought_together_by_the_network_resolvers_ask_for() {
    let mut server =
        measured(RECORD, "10.1.1.7,dub,5,300\n10.1.1.99,dub,600,3\n10.1.2.7,dub,600,300\n");
    assert_eq!(region(&mut server, "10.1.1.0/24"), "dub", "11 ms on average");
    assert_eq!(region(&mut server, "10.1.2.0/24"), "fra");
}

#[test]
fn few_samples_do_not_decide_alone() {
    let record = RECORD.replace("csv\"", "csv\", min_samples = 100");
    // A distance of 1317 km lets expect 25 ms, and fra 11 ms. One sample of 1 ms counts a tenth.
    let mut server = measured(&record, "10.1.1.0/24,dub,1,1\n10.1.2.0/24,dub,1,100\n");
    assert_eq!(region(&mut server, "10.1.1.0/24"), "fra");
    assert_eq!(region(&mut server, "10.1.2.0/24"), "dub");
}

#[test]
fn a_band_is_of_time_and_a_bias_counts() {
    let table = "10.1.0.0/16,fra,20\n10.1.0.0/16,dub,21.5\n";
    let several = |server: &mut Server| {
        (0..200).map(|_| region(server, BERLIN)).collect::<std::collections::BTreeSet<_>>()
    };
    let mut banded = measured(&format!("{RECORD}band = \"10%\"\n"), table);
    assert_eq!(several(&mut banded).into_iter().collect::<Vec<_>>(), ["dub", "fra"]);
    let mut biased = measured(&format!("{RECORD}bias = {{ dub = 10 }}\n"), table);
    assert_eq!(several(&mut biased).into_iter().collect::<Vec<_>>(), ["dub"]);
}

#[test]
fn an_explanation_tells_where_the_milliseconds_are_from() {
    let server =
        measured(RECORD, "10.1.0.0/16,fra,20\n10.1.0.0/16,dub,9,40\n10.1.0.0/16,iad,7,1\n");
    let told: Vec<String> = explained(&server, BERLIN)
        .candidates
        .iter()
        .map(|candidate| {
            let from = candidate.latency_from.as_deref().unwrap_or("nothing");
            format!("{} {} {from}", candidate.pool, candidate.latency_ms.unwrap_or(0.0))
        })
        .collect();
    assert_eq!(
        told,
        [
            "dub 9 measured, 40 samples",
            "fra 20 measured",
            "iad 74.7 measured, 1 sample, and 68 % estimated by distance",
            "sin 153.9 estimated by distance",
        ]
    );
}
