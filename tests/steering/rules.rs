//! Rules: which clients, and the fences around them.

use meridian::health::table::Verdict;

use crate::support::{Server, ask, code};
use crate::{BERLIN, LONDON, NEW_YORK, NOWHERE, SYDNEY, region, server};

const BANK: &str = r#"
[record."www"]
[[record."www".rule]]
match  = { cidr = ["10.3.7.0/24"] }
pools  = ["sin"]
policy = "failover"
[[record."www".rule]]
match       = { country = ["@eu"] }
pools       = ["fra", "dub"]
policy      = "nearest"
fence       = true
[[record."www".rule]]
match  = { country = "GB" }
pools  = ["dub"]
policy = "failover"
[[record."www".rule]]
match  = "default"
pools  = ["iad", "sin"]
policy = "nearest"
"#;

#[test]
fn the_first_rule_that_matches_decides() {
    let mut server = server(BANK);
    let regions =
        ["10.3.7.0/24", BERLIN, LONDON, NEW_YORK, SYDNEY].map(|client| region(&mut server, client));
    assert_eq!(regions, ["sin", "fra", "dub", "iad", "sin"]);
    assert_eq!(region(&mut server, NOWHERE), "iad");
}

#[test]
fn a_rule_without_a_fence_falls_back_to_the_records_other_pools() {
    let mut server = server(BANK);
    server.region("dub", Verdict::Down);
    assert_ne!(region(&mut server, LONDON), "none");
    assert_ne!(region(&mut server, LONDON), "dub");
    ["iad", "sin"].iter().for_each(|region| server.region(region, Verdict::Down));
    assert_eq!(region(&mut server, NEW_YORK), "fra");
}

fn down(server: &Server, regions: &[&str]) {
    regions.iter().for_each(|region| server.region(region, Verdict::Down));
}

#[test]
fn a_fence_is_never_answered_from_elsewhere() {
    let mut server = server(BANK);
    down(&server, &["fra"]);
    assert_eq!(region(&mut server, BERLIN), "dub");
    down(&server, &["dub"]);
    let message = server.ask(&ask("www.example.org", "A").subnet(BERLIN));
    assert_eq!(code(&message), "NOERROR");
    assert!(message.answers.is_empty(), "the default for a fence is no data");
    assert_eq!(region(&mut server, NEW_YORK), "iad");
}

#[test]
fn clients_no_rule_is_for_get_the_zone_files_records() {
    let mut server = server(
        "[record.\"www\"]\n[[record.\"www\".rule]]\nmatch = { country = \"DE\" }\npools = [\"fra\"]\npolicy = \"failover\"\n",
    );
    assert_eq!(region(&mut server, BERLIN), "fra");
    assert_eq!(region(&mut server, SYDNEY), "default");
}

#[test]
fn unknown_places_can_have_a_rule_of_their_own() {
    let mut server = server(
        r#"
[record."www"]
[[record."www".rule]]
match  = "unknown"
pools  = ["sin"]
policy = "failover"
[[record."www".rule]]
match  = "default"
pools  = ["fra", "iad"]
policy = "nearest"
"#,
    );
    assert_eq!(region(&mut server, NOWHERE), "sin");
    assert_eq!(region(&mut server, NEW_YORK), "iad");
}

#[test]
fn continents_and_weights_combine() {
    let mut server = server(
        r#"
[record."www"]
[[record."www".rule]]
match  = { continent = ["EU"] }
pools  = { fra = 1, dub = 1 }
policy = "weighted"
[[record."www".rule]]
match  = "default"
pools  = ["iad", "sin"]
policy = "nearest"
"#,
    );
    let seen: std::collections::BTreeSet<&str> =
        (0..200).map(|_| region(&mut server, BERLIN)).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["dub", "fra"]);
    down(&server, &["fra", "dub"]);
    assert_eq!(region(&mut server, BERLIN), "iad");
    assert_eq!(region(&mut server, NEW_YORK), "iad");
}
