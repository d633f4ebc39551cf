//! Knot: static zones, and module `geoip` by country and by weight.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use super::geoip2::{Geoip2, continent};
use super::{Case, Launch, Peer, Reload, path};
use crate::cities::Rule;
use crate::data;
use crate::workload::{Kind, REGIONS, STEERED_TTL, WEIGHTS, Workload};

/// Knot.
pub struct Knot;

impl Peer for Knot {
    fn name(&self) -> &'static str {
        "knot"
    }

    /// It checks nobody's health.
    fn serves(&self, workload: Workload) -> bool {
        !workload.has_health()
    }

    fn prepare(&self, case: &Case<'_>) -> Result<Launch> {
        for folder in ["run", "zones"] {
            fs::create_dir(case.folder.join(folder))?;
        }
        let zone_file = |origin: &str| case.folder.join("zones").join(format!("{origin}zone"));
        for origin in case.workload.origins() {
            let text = data::zone(case.workload, &origin, case.serial) + &unlocated(case.workload);
            fs::write(zone_file(&origin), text)?;
        }
        if let Some(answers) = answers(case)? {
            fs::write(case.folder.join("answers.conf"), answers)?;
        }
        let configuration = case.folder.join("knot.conf");
        fs::write(&configuration, config(case)?)?;
        let mut launch = Launch::new(["knotd", "--config", &path(&configuration)]);
        // Told the socket, it need not read a configuration of 10,000 zones to find it.
        let (socket, first) =
            (path(&case.folder.join("run/knot.sock")), &case.workload.origins()[0]);
        let reload = ["knotc", "--socket", &socket, "--blocking", "zone-reload", first];
        launch.reload = Reload::Command(reload.map(str::to_owned).into());
        launch.zone_file = Some(zone_file(first));
        Ok(launch)
    }

    fn rule(&self) -> Rule {
        Rule::Country
    }
}

/// What clients get whose place nobody knows: the module leaves them to the zone.
fn unlocated(workload: Workload) -> String {
    if workload.kind() != Kind::Geo {
        return String::new();
    }
    let address = REGIONS[0].address;
    let line = |number| format!("{} {STEERED_TTL} A {address}\n", Kind::Geo.label(number));
    (0..workload.names()).map(line).collect()
}

fn config(case: &Case<'_>) -> Result<String> {
    let (port, folder) = (case.port, path(case.folder));
    let mut text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}/run\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\n  edns-client-subnet: on\n\
         database:\n  storage: {folder}/run\nlog:\n  - target: stderr\n    any: warning\n"
    );
    let mut module = "";
    let mode = match case.workload.kind() {
        Kind::Static => None,
        Kind::Geo => {
            let database = path(&Geoip2::prepare(case.geodata)?.database);
            let keys = "[continent/code, country/iso_code]";
            Some(format!("geodb\n    geodb-file: {database}\n    geodb-key: {keys}"))
        }
        Kind::Weighted => Some("weighted".to_owned()),
    };
    if let Some(mode) = mode {
        text += &format!(
            "mod-geoip:\n  - id: steered\n    config-file: {folder}/answers.conf\n    \
             ttl: {STEERED_TTL}\n    mode: {mode}\n"
        );
        module = "    module: mod-geoip/steered\n";
    }
    // No journal and no writing back: the files are all there is, as for the others.
    text += &format!(
        "template:\n  - id: default\n    storage: {folder}/zones\n    file: \"%s.zone\"\n    \
         journal-content: none\n    zonefile-sync: -1\n{module}zone:\n"
    );
    for origin in case.workload.origins() {
        let _ = writeln!(text, "  - domain: {origin}");
    }
    Ok(text)
}

/// The module's own file: for each steered name, what it answers to whom.
fn answers(case: &Case<'_>) -> Result<Option<String>> {
    let kind = case.workload.kind();
    let rows = match kind {
        Kind::Static => return Ok(None),
        Kind::Geo => geo_rows(&Geoip2::prepare(case.geodata)?.countries),
        Kind::Weighted => WEIGHTS
            .map(|(address, weight)| format!("  - weight: {weight}\n    A: {address}\n"))
            .concat(),
    };
    let origin = &case.workload.origins()[0];
    let name = |number| format!("{}.{origin}:\n{rows}", kind.label(number));
    Ok(Some((0..case.workload.names()).map(name).collect()))
}

/// A row for each continent and one for each country that goes elsewhere than most of its
/// continent. The same answers as with a row for each country in a quarter of the memory, and it
/// answers faster.
fn geo_rows(countries: &BTreeMap<String, usize>) -> String {
    let mut continents: BTreeMap<String, [usize; REGIONS.len()]> = BTreeMap::new();
    for (country, &region) in countries {
        if let Some(continent) = continent(country) {
            continents.entry(continent).or_default()[region] += 1;
        }
    }
    let most = |votes: &[usize; REGIONS.len()]| {
        (0..REGIONS.len()).max_by_key(|&region| votes[region]).expect("there are regions")
    };
    let row = |place: &str, region: usize| {
        format!("  - geo: \"{place}\"\n    A: {}\n", REGIONS[region].address)
    };
    let mut text = String::new();
    for (continent, votes) in &continents {
        text += &row(&format!("{continent};*"), most(votes));
    }
    for (country, &region) in countries {
        let Some(continent) = continent(country) else { continue };
        if region != most(&continents[&continent]) {
            text += &row(&format!("{continent};{country}"), region);
        }
    }
    text
}
