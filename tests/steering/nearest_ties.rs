//! Regions that are equally near: London is 464 km from Dublin and 638 km from Frankfurt.

use std::collections::{BTreeSet, HashMap};

use meridian::health::table::Verdict;

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
