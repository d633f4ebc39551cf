//! NSD: static zones only.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use super::{Case, Launch, Peer, Reload, path};
use crate::data;
use crate::workload::{Kind, Workload};

/// NSD.
pub struct Nsd;

impl Peer for Nsd {
    fn name(&self) -> &'static str {
        "nsd"
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
        let configuration = case.folder.join("nsd.conf");
        fs::write(&configuration, config(case))?;
        let (configuration, first) = (path(&configuration), &case.workload.origins()[0]);
        let mut launch = Launch::new(["nsd", "-d", "-c", &configuration]);
        let zone = first.trim_end_matches('.');
        let reload = ["nsd-control", "-c", &configuration, "reload", zone];
        launch.reload = Reload::Command(reload.map(str::to_owned).into());
        launch.zone_file = Some(zone_file(first));
        Ok(launch)
    }
}

/// One serving process; no limit of answers per second, which would end the race at 200.
fn config(case: &Case<'_>) -> String {
    let (port, folder) = (case.port, path(case.folder));
    let mut text = format!(
        "server:\n  server-count: 1\n  ip-address: 127.0.0.1\n  port: {port}\n  username: \"\"\n  \
         database: \"\"\n  pidfile: \"\"\n  zonesdir: \"{folder}/zones\"\n  \
         xfrdir: \"{folder}\"\n  xfrdfile: \"\"\n  zonelistfile: \"{folder}/zone.list\"\n  \
         cookie-secret-file: \"{folder}/cookies\"\n  tcp-count: 1000\n  rrl-ratelimit: 0\n  \
         rrl-whitelist-ratelimit: 0\n  minimal-responses: yes\n  verbosity: 0\n\
         remote-control:\n  control-enable: yes\n  control-interface: \"{folder}/control\"\n"
    );
    for origin in case.workload.origins() {
        let _ = writeln!(text, "zone:\n  name: {origin}\n  zonefile: {origin}zone");
    }
    text
}
