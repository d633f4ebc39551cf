//! What those say who judge other people's zones: Zonemaster (the tests of .se and .fr) and
//! DNSViz. Nothing against a zone on Meridian that docs/interoperability.md does not explain.

use serde_json::Value;

use crate::delegated::{Delegated, LAME, SERVERS, ZONE};
use crate::lab::Machine;

/// What Zonemaster notices and why it is not the server's: the zone is not signed.
const EXPLAINED: [&str; 2] = ["NEITHER_DNSKEY_NOR_DS", "NOT_SIGNED"];

#[test]
fn zonemaster_and_dnsviz_find_nothing_wrong() {
    let world = Delegated::new();

    let told = zonemaster(&world.clients, ZONE);
    let notices: Vec<&Told> = told.iter().filter(|told| told.level != "INFO").collect();
    assert!(
        notices.iter().all(|told| told.level == "NOTICE" && EXPLAINED.contains(&&*told.tag)),
        "{notices:#?}"
    );
    let modules = ["BASIC", "ADDRESS", "CONNECTIVITY", "CONSISTENCY", "DELEGATION", "NAMESERVER"];
    for module in modules.into_iter().chain(["SYNTAX", "ZONE"]) {
        assert!(told.iter().any(|told| told.module == module), "{module} has not looked");
    }
    let lame = zonemaster(&world.clients, LAME);
    let errors = lame.iter().filter(|told| ["ERROR", "CRITICAL"].contains(&&*told.level)).count();
    assert!(errors > 0, "a zone that is not there is found: {lame:#?}");
    println!(
        "\nZonemaster: {} messages, above INFO {:?}; of a lame delegation {errors} errors",
        told.len(),
        notices.iter().map(|told| &*told.tag).collect::<Vec<_>>()
    );

    let names: Vec<String> =
        ["", "www.", "nope.", "x.pages.", "alias.", "a.old.", "big.", "deep.empty."]
            .map(|owner| format!("{owner}{ZONE}"))
            .to_vec();
    let (faults, all) = dnsviz(&world.clients, &names);
    assert_eq!(faults, "", "DNSViz has something against it");
    for (_, addresses) in SERVERS {
        for address in addresses {
            assert!(all.contains(address), "DNSViz has not asked {address}");
        }
    }
    let (faults, _) = dnsviz(&world.clients, &[LAME.to_owned()]);
    assert!(faults.contains("errors"), "a zone that is not there is found: {faults}");
    println!("DNSViz: {} names at {} servers, nothing to say", names.len(), 2 * SERVERS.len());
}

/// One message of Zonemaster.
#[derive(Debug)]
struct Told {
    level: String,
    module: String,
    tag: String,
    #[expect(dead_code, reason = "shown when a judge has something to say")]
    args: String,
}

fn zonemaster(machine: &Machine, zone: &str) -> Vec<Told> {
    let text = machine.run(&["zonemaster-cli", "--json", "--level", "INFO", "--no-progress", zone]);
    let told: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let word = |told: &Value, key: &str| told[key].as_str().unwrap_or_default().to_owned();
    told.iter()
        .map(|told| Told {
            level: word(told, "level"),
            module: word(told, "module"),
            tag: word(told, "tag"),
            args: told["args"].to_string(),
        })
        .collect()
}

/// What DNSViz warns of, and all it has seen.
fn dnsviz(machine: &Machine, names: &[String]) -> (String, String) {
    let mut probe = vec!["dnsviz", "probe", "-A", "-E", "-o", "seen.json"];
    probe.extend(names.iter().map(String::as_str));
    let output = machine.command(&probe).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dnsviz probe: {words}");
    let grok = |level: &str| machine.run(&["dnsviz", "grok", "-r", "seen.json", "-l", level]);
    (grok("warning").trim().to_owned(), grok("info"))
}
