//! The servers of the race. A peer is a folder of files and a command line; starting, pinning,
//! waiting, measuring and stopping is the same for all and done in `running`.

mod bind;
mod echo;
mod gdnsd;
pub mod geoip2;
mod knot;
mod meridian;
mod nsd;
mod pdns;

use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::cities::Rule;
use crate::workload::Workload;

/// A server of the race.
pub trait Peer {
    /// Its name in tables and on the command line: lower case, with `-`.
    fn name(&self) -> &'static str;

    /// Whether it can be asked this at all.
    fn serves(&self, workload: Workload) -> bool;

    /// Writes its files into the case's empty folder and says how to start it.
    ///
    /// # Errors
    /// When a file cannot be written or the program is not installed.
    fn prepare(&self, case: &Case<'_>) -> Result<Launch>;

    /// Whether its answers are DNS and are to be checked; only the echoes' are not.
    fn answers(&self) -> bool {
        true
    }

    /// By which rule it finds a client's region.
    fn rule(&self) -> Rule {
        Rule::Kilometres
    }

    /// Whether its scopes are to be exact: no longer than the shortest network around the client
    /// whose addresses all have the same order of regions.
    fn has_exact_scopes(&self) -> bool {
        false
    }
}

/// What a peer is to be prepared for.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What it will be asked.
    pub workload: Workload,
    /// An empty folder of its own, an absolute path.
    pub folder: &'a Path,
    /// It answers on 127.0.0.1, this port, UDP and TCP. The race has a network namespace of its
    /// own, so ports up to ten above are free too, for APIs.
    pub port: u16,
    /// The folder of the geo databases, as `tests/setup` fetched them.
    pub geodata: &'a Path,
    /// The serial of the zones' SOA.
    pub serial: u32,
}

/// How a prepared server is started, and told that its zone has changed.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Program and arguments. It stays in the foreground and answers with one thread; the race
    /// pins it, children included.
    pub command: Vec<String>,
    /// Variables added to its environment.
    pub environment: Vec<(String, String)>,
    /// How it takes up changed zone files.
    pub reload: Reload,
    /// The master file of the first zone: a reload writes a higher serial into it.
    pub zone_file: Option<PathBuf>,
}

/// How a server takes up changed zone files.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "Meridian takes a signal")]
pub enum Reload {
    /// It sees them by itself, or cannot.
    Never,
    /// A signal to its first process.
    Signal(Signal),
    /// A program and its arguments.
    Command(Vec<String>),
}

impl Launch {
    /// A server that needs nothing but its command line.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            environment: vec![],
            reload: Reload::Never,
            zone_file: None,
        }
    }
}

/// Every server of the race, the limits first.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(echo::Echo::Batched),
        Box::new(echo::Echo::Plain),
        Box::new(meridian::Meridian),
        Box::new(gdnsd::Gdnsd),
        Box::new(knot::Knot),
        Box::new(nsd::Nsd),
        Box::new(pdns::Pdns::Bind),
        Box::new(pdns::Pdns::Geoip),
        Box::new(pdns::Pdns::Lua),
        Box::new(bind::Bind),
    ]
}

/// A path as text for a configuration.
fn path(path: &Path) -> String {
    path.display().to_string()
}
