//! Groups of one's own, beside the built-in ones.

use meridian::geo::world::World;

use crate::support::Server;
use crate::{BERLIN, LONDON, NEW_YORK, NOWHERE, SYDNEY, region};

const GROUPS: &str = r#"
[group.anglo]
countries    = ["GB", "AU"]
subdivisions = ["US-NY"]
[group.north]
groups = ["@anglo", "@eu"]
[group.offices]
cidr = ["10.99.0.0/16"]
[group.mixed]
groups    = ["@offices"]
countries = ["DE"]
[group.south]
continents = ["OC"]
"#;

fn grouped(condition: &str) -> Server {
    let policy = format!(
        "{}\n[record.\"www\"]\n[[record.\"www\".rule]]\nmatch = {condition}\npools = [\"dub\"]\n\
         [[record.\"www\".rule]]\nmatch = \"default\"\npools = [\"iad\"]\n",
        crate::POOLS.replace("[pool.fra]", "[pool.unused]")
    );
    Server::over(
        &[
            ("geo/regions.toml", crate::REGIONS),
            ("geo/groups.toml", GROUPS),
            ("geo/networks.toml", crate::NETWORKS),
            ("zones/example.org.toml", &policy),
            ("zones/example.org.zone", crate::ZONE),
        ],
        |config| World::from_networks(&config.networks),
    )
}

/// Which of Berlin, London, New York, Sydney and nowhere the condition holds.
fn held(condition: &str) -> [bool; 5] {
    let mut server = grouped(condition);
    [BERLIN, LONDON, NEW_YORK, SYDNEY, NOWHERE].map(|client| region(&mut server, client) == "dub")
}

#[test]
fn a_group_stands_for_its_countries() {
    assert_eq!(held("{ country = \"@anglo\" }"), [false, true, false, true, false]);
    assert_eq!(held("{ country = [\"@anglo\", \"DE\"] }"), [true, true, false, true, false]);
}

#[test]
fn a_group_may_hold_other_groups_and_continents() {
    assert_eq!(held("{ country = \"@north\" }"), [true, true, false, true, false]);
    assert_eq!(held("{ country = \"@south\" }"), [false, false, false, true, false]);
}

#[test]
fn a_group_of_networks_stands_under_its_key() {
    assert_eq!(
        held("{ cidr = [\"@offices\", \"10.3.0.0/24\"] }"),
        [false, false, true, false, true]
    );
}

#[test]
fn of_a_group_of_several_kinds_one_is_enough() {
    assert_eq!(held("{ group = \"@mixed\" }"), [true, false, false, false, true]);
    assert_eq!(held("{ group = [\"@mixed\", \"@south\"] }"), [true, false, false, true, true]);
    assert_eq!(held("{ group = \"@eu\" }"), [true, false, false, false, false]);
}
