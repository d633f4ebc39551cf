//! BIND: static zones only.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Launch, Peer, Reload, path};
use crate::data;
use crate::workload::{Kind, Workload};

/// BIND.
pub struct Bind;

impl Peer for Bind {
    fn name(&self) -> &'static str {
        "bind"
    }

    fn serves(&self, workload: Workload) -> bool {
        workload.kind() == Kind::Static
    }

    fn prepare(&self, case: &Case<'_>) -> Result<Launch> {
        fs::create_dir(case.folder.join("zones"))?;
        let zone_file = |origin: &str| case.folder.join("zones").join(format!("{origin}zone"));
        for origin in case.workload.origins() {
            fs::write(zone_file(&origin), data::zone(case.workload, &origin, case.serial))?;
        }
        fs::write(case.folder.join("race.key"), key()?)?;
        let configuration = case.folder.join("named.conf");
        fs::write(&configuration, config(case))?;
        let mut launch = Launch::new(["named", "-g", "-n", "1", "-c", &path(&configuration)]);
        let (key, port) = (path(&case.folder.join("race.key")), control(case).to_string());
        let first = &case.workload.origins()[0];
        let reload = ["rndc", "-k", &key, "-s", "127.0.0.1", "-p", &port, "reload", first];
        launch.reload = Reload::Command(reload.map(str::to_owned).into());
        launch.zone_file = Some(zone_file(first));
        Ok(launch)
    }
}

/// A fresh key for `rndc`, which talks to nobody without one.
fn key() -> Result<Vec<u8>> {
    let output = Command::new("tsig-keygen").arg("race").output().context("tsig-keygen")?;
    ensure!(output.status.success(), "tsig-keygen: {}", output.status);
    Ok(output.stdout)
}

fn control(case: &Case<'_>) -> u16 {
    case.port + 1
}

fn config(case: &Case<'_>) -> String {
    let (port, control, folder) = (case.port, control(case), path(case.folder));
    let mut text = format!(
        "include \"{folder}/race.key\";\n\
         controls {{ inet 127.0.0.1 port {control} allow {{ localhost; }} keys {{ race; }}; }};\n\
         options {{\n  directory \"{folder}/zones\";\n  listen-on port {port} {{ 127.0.0.1; }};\n  \
         listen-on-v6 {{ none; }};\n  pid-file none;\n  session-keyfile none;\n  \
         recursion no;\n  minimal-responses yes;\n  notify no;\n  dnssec-validation no;\n  \
         empty-zones-enable no;\n  zone-statistics none;\n  tcp-clients 1000;\n}};\n"
    );
    for origin in case.workload.origins() {
        let _ = writeln!(text, "zone \"{origin}\" {{ type primary; file \"{origin}zone\"; }};");
    }
    text
}
