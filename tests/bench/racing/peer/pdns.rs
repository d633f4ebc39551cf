//! PowerDNS, three times: its bind backend with static zones, its geoip backend, and LUA records.
//!
//! Its caches are as it ships them. They serve static answers; steered ones are worked out anew
//! for each client subnet that is not in the cache.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use super::geoip2::Geoip2;
use super::{Case, Launch, Peer, Reload, path};
use crate::cities::Rule;
use crate::data;
use crate::workload::{Kind, REGIONS, STEERED_TTL, WEIGHTS, Workload};

/// PowerDNS, by what it answers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pdns {
    /// Master files.
    Bind,
    /// The geoip backend: by country, by weight.
    Geoip,
    /// LUA records in master files: `pickclosest` and `pickwrandom`.
    Lua,
}

impl Peer for Pdns {
    fn name(&self) -> &'static str {
        match self {
            Self::Bind => "pdns",
            Self::Geoip => "pdns-geoip",
            Self::Lua => "pdns-lua",
        }
    }

    /// Health is left out: LUA records check addresses when they are asked for, not before.
    fn serves(&self, workload: Workload) -> bool {
        let is_static = workload.kind() == Kind::Static;
        is_static == (*self == Self::Bind) && !workload.has_health()
    }

    fn prepare(&self, case: &Case<'_>) -> Result<Launch> {
        let zones = case.folder.join("zones");
        fs::create_dir(&zones)?;
        let mut text = settings(case);
        if *self == Self::Geoip {
            fs::write(case.folder.join("geo.yaml"), geo_zone(case)?)?;
        } else {
            let mut list = String::new();
            for origin in case.workload.origins() {
                let file = zones.join(format!("{origin}zone"));
                fs::write(&file, master_file(case, &origin))?;
                let file = path(&file);
                let _ = writeln!(list, "zone \"{origin}\" {{ type native; file \"{file}\"; }};");
            }
            fs::write(case.folder.join("named.conf"), list)?;
        }
        text += &self.backends(case)?;
        fs::write(case.folder.join("pdns.conf"), text)?;
        let folder = format!("--config-dir={}", path(case.folder));
        let first = &case.workload.origins()[0];
        let mut launch = Launch::new(["pdns_server", &folder]);
        let reload = ["pdns_control", &folder, "bind-reload-now", first.trim_end_matches('.')];
        launch.reload = Reload::Command(reload.map(str::to_owned).into());
        launch.zone_file = (*self == Self::Bind).then(|| zones.join(format!("{first}zone")));
        Ok(launch)
    }

    fn rule(&self) -> Rule {
        match self {
            Self::Bind | Self::Geoip => Rule::Country,
            Self::Lua => Rule::Degrees,
        }
    }
}

impl Pdns {
    fn backends(self, case: &Case<'_>) -> Result<String> {
        let folder = path(case.folder);
        let master_files = format!("bind-config={folder}/named.conf\n");
        if self == Self::Bind {
            return Ok(format!("launch=bind\n{master_files}"));
        }
        let database = path(&Geoip2::prepare(case.geodata)?.database);
        let database = format!("geoip-database-files=mmdb:{database}\n");
        Ok(if self == Self::Geoip {
            format!("launch=geoip\n{database}geoip-zones-file={folder}/geo.yaml\n")
        } else {
            // One interpreter for all queries of a thread: the other way makes one per query.
            let lua = "enable-lua-records=shared\n";
            format!("launch=bind,geoip\n{master_files}{database}geoip-zones-file=\n{lua}")
        })
    }
}

/// One thread that receives and answers; a query to it costs no look at the network elsewhere.
fn settings(case: &Case<'_>) -> String {
    let (port, folder) = (case.port, path(case.folder));
    format!(
        "local-address=127.0.0.1\nlocal-port={port}\nsocket-dir={folder}\nwrite-pid=no\n\
         receiver-threads=1\ndistributor-threads=1\nedns-subnet-processing=yes\n\
         consistent-backends=yes\nmax-tcp-connections=1000\nsecurity-poll-suffix=\n\
         loglevel=3\ndisable-syslog=yes\n"
    )
}

/// A master file, with LUA records for the steered names.
fn master_file(case: &Case<'_>, origin: &str) -> String {
    let kind = case.workload.kind();
    let mut text = data::zone(case.workload, origin, case.serial);
    let choice = match kind {
        Kind::Static => return text,
        Kind::Geo => {
            let addresses = REGIONS.map(|region| format!("'{}'", region.address));
            format!("pickclosest({{{}}})", addresses.join(","))
        }
        Kind::Weighted => {
            let shares = WEIGHTS.map(|(address, weight)| format!("{{{weight},'{address}'}}"));
            format!("pickwrandom({{{}}})", shares.join(","))
        }
    };
    for number in 0..case.workload.names() {
        let _ = writeln!(text, "{} {STEERED_TTL} LUA A \"{choice}\"", kind.label(number));
    }
    text
}

/// The geoip backend's file: each name leads to a name for each region, by country.
fn geo_zone(case: &Case<'_>) -> Result<String> {
    let origin = case.workload.origins().swap_remove(0);
    let origin = origin.trim_end_matches('.');
    let kind = case.workload.kind();
    let mut text = "mapping_lookup_formats: ['%cc']\ncustom_mapping:\n".to_owned();
    for (country, region) in &Geoip2::prepare(case.geodata)?.countries {
        let code = country.to_lowercase();
        let _ = writeln!(text, "  '{code}': '{}'", REGIONS[*region].name);
    }
    let serial = case.serial;
    let _ = writeln!(
        text,
        "domains:\n- domain: {origin}\n  ttl: {STEERED_TTL}\n  records:\n    {origin}:\n      \
         - soa: ns1.{origin} hostmaster.{origin} {serial} 3600 600 86400 60\n      \
         - ns: ns1.{origin}\n    ns1.{origin}:\n      - a: 192.0.2.53"
    );
    for region in REGIONS {
        let _ = writeln!(text, "    {}.to.{origin}:\n      - a: {}", region.name, region.address);
    }
    if kind == Kind::Weighted {
        let _ = writeln!(text, "    {}.{origin}:", kind.label(0));
        for (address, weight) in WEIGHTS {
            let _ = writeln!(text, "      - a: {{content: {address}, weight: {weight}}}");
        }
        return Ok(text);
    }
    text += "  services:\n";
    let unlocated = REGIONS[0].name;
    for number in 0..case.workload.names() {
        let label = kind.label(number);
        let _ =
            writeln!(text, "    {label}.{origin}: ['%mp.to.{origin}', '{unlocated}.to.{origin}']");
    }
    Ok(text)
}
