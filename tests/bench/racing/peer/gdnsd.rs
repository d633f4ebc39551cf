//! gdnsd: plugin `geoip` with coordinates, plugin `weighted`, plugin `http_status` where health is
//! raced. It reads and writes 16 datagrams at a time, which cannot be set.

use std::fs;

use anyhow::Result;

use super::geoip2::Geoip2;
use super::{Case, Launch, Peer, Reload, path};
use crate::data;
use crate::workload::{
    HEALTH_PATH, HEALTH_PORT, Kind, REGIONS, Region, STEERED_TTL, WEIGHTS, Workload,
};

/// gdnsd.
pub struct Gdnsd;

impl Peer for Gdnsd {
    fn name(&self) -> &'static str {
        "gdnsd"
    }

    fn serves(&self, _: Workload) -> bool {
        true
    }

    fn prepare(&self, case: &Case<'_>) -> Result<Launch> {
        let zones = case.folder.join("zones");
        fs::create_dir(&zones)?;
        for origin in case.workload.origins() {
            let text = data::zone(case.workload, &origin, case.serial) + &steered(case.workload);
            fs::write(zones.join(origin.trim_end_matches('.')), text)?;
        }
        fs::write(case.folder.join("config"), config(case)?)?;
        let folder = path(case.folder);
        let mut launch = Launch::new(["gdnsd", "-c", &folder, "start"]);
        let reload = ["gdnsdctl", "-c", &folder, "reload-zones"];
        launch.reload = Reload::Command(reload.map(str::to_owned).into());
        let first = &case.workload.origins()[0];
        launch.zone_file = Some(zones.join(first.trim_end_matches('.')));
        Ok(launch)
    }
}

/// The steered names, which stand in the zone and name a resource of the configuration.
fn steered(workload: Workload) -> String {
    let resource = match workload.kind() {
        Kind::Static => return String::new(),
        Kind::Geo => "geoip!nearest",
        Kind::Weighted => "weighted!shares",
    };
    let label = |number| workload.kind().label(number);
    let line = |number| format!("{} {STEERED_TTL} DYNA {resource}\n", label(number));
    (0..workload.names()).map(line).collect()
}

fn config(case: &Case<'_>) -> Result<String> {
    let (port, folder) = (case.port, path(case.folder));
    let options = format!(
        "options => {{\n  listen => 127.0.0.1:{port}\n  udp_threads => 1\n  tcp_threads => 1\n  \
         zones_rfc1035_threads => 1\n  run_dir => {folder}/run\n  state_dir => {folder}/state\n}}\n"
    );
    let rest = match case.workload.kind() {
        Kind::Static => String::new(),
        Kind::Geo => geoip(case)?,
        Kind::Weighted => weighted(),
    };
    Ok(options + &rest)
}

/// One map and one resource, for all names.
fn geoip(case: &Case<'_>) -> Result<String> {
    let database = path(&Geoip2::prepare(case.geodata)?.database);
    let list = |item: fn(&Region) -> String| REGIONS.each_ref().map(item).join(", ");
    let names = list(|region| region.name.to_owned());
    let places =
        list(|region| format!("{} => [{}, {}]", region.name, region.latitude, region.longitude));
    let addresses = list(|region| format!("{} => {}", region.name, region.address));
    let watched = case.workload.has_health();
    let checks = if watched { checks() } else { String::new() };
    let service = if watched { "web" } else { "up" };
    Ok(format!(
        "{checks}plugins => {{ geoip => {{\n  maps => {{ world => {{\n    geoip2_db => {database}\n    \
         datacenters => [{names}]\n    auto_dc_coords => {{ {places} }}\n  }} }}\n  \
         resources => {{ nearest => {{\n    map => world\n    service_types => {service}\n    \
         dcmap => {{ {addresses} }}\n  }} }}\n}} }}\n"
    ))
}

/// Checks as often as it allows, and believed at once: its defaults take a hundred seconds.
fn checks() -> String {
    format!(
        "service_types => {{ web => {{\n  plugin => http_status\n  port => {HEALTH_PORT}\n  \
         url_path => {HEALTH_PATH}\n  interval => 2\n  timeout => 1\n  up_thresh => 1\n  \
         ok_thresh => 1\n  down_thresh => 1\n}} }}\n"
    )
}

fn weighted() -> String {
    let target = |(address, weight)| format!("    {address} => [{address}, {weight}]\n");
    let targets = WEIGHTS.map(target).concat();
    format!("plugins => {{ weighted => {{\n  shares => {{\n{targets}  }}\n}} }}\n")
}
