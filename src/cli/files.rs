//! Where the operator's files are, and `meridian check`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::args::CheckArgs;
use super::output::{GOOD, complain, paint, print};
use super::{COULD_NOT_RUN, PROBLEMS, losses, offline};
use crate::config::{Config, report};
use crate::daemon::load::Loader;
use crate::diagnostics;

/// Where packages put the files.
const SYSTEM: &str = "/etc/meridian";
const FILE: &str = "meridian.toml";
/// Where the API listens when the files do not say.
const API_DEFAULT: &str = "127.0.0.1:8053";

/// The configuration that is meant: what was given, else this folder, else the system's.
pub(super) fn config_path(given: Option<&Path>) -> PathBuf {
    match given {
        Some(path) => path.to_owned(),
        None if Path::new(FILE).is_file() => PathBuf::from("."),
        None => PathBuf::from(SYSTEM),
    }
}

/// Where the daemon of this configuration has its API. Reads no more than it must, so that
/// `status` works while other files are broken.
pub(super) fn api_address(config: Option<&Path>) -> anyhow::Result<String> {
    let path = config_path(config);
    let file = if path.is_dir() { path.join(FILE) } else { path };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(_) if config.is_none() => return Ok(API_DEFAULT.to_owned()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let table: toml::Table = text
        .parse()
        .with_context(|| format!("{} cannot be read; give the address by --api", file.display()))?;
    match table.get("api").and_then(toml::Value::as_str) {
        None => Ok(API_DEFAULT.to_owned()),
        Some("off") => bail!("{} turns the API off", file.display()),
        // An address alone has the default port; the wildcard is reached over loopback.
        Some(text) => Ok(text
            .parse::<SocketAddr>()
            .map(reachable)
            .map_or_else(|_| format!("{text}:8053"), |address| address.to_string())),
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

/// `meridian check`: every fault at once, broken databases included; and what the files promise.
pub(super) fn check(args: CheckArgs) -> anyhow::Result<u8> {
    let path = config_path(args.config.as_deref());
    if !path.exists() {
        bail!("there is no {}", path.display());
    }
    let mut loader = Loader::new(path.clone());
    let read = loader.read();
    let faults = match &read {
        Ok(read) => &read.warnings,
        Err(faults) => faults,
    };
    if !faults.is_empty() {
        complain(&diagnostics::render_styled(faults));
        complain(&format!("{}\n", diagnostics::summary(faults)));
    }
    let Ok(read) = &read else { return Ok(PROBLEMS) };
    let mut losses = match args.quick {
        true => HashMap::new(),
        false => losses::tell(&offline::snapshot(&mut loader, read)?),
    };
    let told = told(&read.config, &path);
    print(&format!("{}\n{told}", report::report(&read.config, |owner| losses.remove(owner))))?;
    Ok(if faults.is_empty() { 0 } else { PROBLEMS })
}

fn told(config: &Config, path: &Path) -> String {
    let records: usize = config.zones.iter().map(|zone| zone.records.len()).sum();
    format!(
        "{} {}: {} zones, {records} steered records, {} pools in {} regions, {} checks\n",
        paint(GOOD, "can be served:"),
        path.display(),
        config.zones.len(),
        config.pools.len(),
        config.regions.len(),
        config.checks.len(),
    )
}

/// Tells faults that keep a command from running.
pub(super) fn tell_refused(faults: &[diagnostics::Diagnostic]) -> u8 {
    complain(&diagnostics::render_styled(faults));
    complain(&format!("{}\n", diagnostics::summary(faults)));
    COULD_NOT_RUN
}
