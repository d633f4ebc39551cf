//! The race: Meridian beside its peers, one server thread on one core, the generator on another.
//! Run it by `tests/bench/race`, which brings the peers and a network namespace of its own.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "a program of several files; pub says what other files use")]

mod check;
mod cities;
mod data;
mod echo;
mod health;
mod instructions;
mod load;
#[path = "../../support/mmdb.rs"]
#[expect(dead_code, reason = "the race writes files of one shape only")]
mod mmdb;
mod peer;
mod process;
mod query;
mod report;
mod rounds;
mod running;
mod scale;
mod workload;

use std::env;
use std::path::{self, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use clap::Parser;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Pid;

use cities::Cities;
use health::Health;
use peer::Peer;
use report::Form;
use rounds::Settings;
use workload::Workload;

/// Open files, enough for the sockets of a load.
const OPEN_FILES: u64 = 4096;
/// A variable tests/bench/race sets where the network is the race's own.
const INSIDE: &str = "MERIDIAN_RACE";
/// Workloads of the quick form.
const QUICK: [Workload; 3] = [Workload::Static10k, Workload::GeoSubnet10k, Workload::TcpStatic];

/// Meridian beside its peers, interleaved; see docs/performance.md.
#[derive(Debug, Parser)]
#[command(name = "race")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
struct Args {
    /// Rounds; each loads every server once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds each server is loaded in each round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Servers, by name; default: all.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Workloads, by name; default: all.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// One short round of three workloads with the echo and Meridian: whether the race works.
    #[arg(long)]
    quick: bool,
    /// Count user instructions per query under callgrind instead of racing.
    #[arg(long)]
    instructions: bool,
    /// Measure start, memory and reload at 1,000,000 records and 10,000 zones instead of racing.
    #[arg(long)]
    scale: bool,
    /// Give servers and generator real-time priority, on a machine that others use too.
    #[arg(long)]
    realtime: bool,
    /// Only tell which servers and workloads there are.
    #[arg(long)]
    list: bool,
    /// Write Markdown tables.
    #[arg(long)]
    markdown: bool,
    /// Write one JSON object per line.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Keep the servers' files here instead of in a folder that is deleted.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Be an echo: its name and port.
    #[arg(long, num_args = 2, hide = true)]
    echo: Option<Vec<String>>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("race: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<()> {
    if let Some([name, port]) = args.echo.as_deref() {
        return echo::run(name, port.parse()?);
    }
    let peers = args.peers()?;
    if args.list {
        return list(&peers);
    }
    if env::var_os(INSIDE).is_none() {
        println!("race: run tests/bench/race");
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    let mut core = CpuSet::new();
    core.set(load::LOAD_CORE)?;
    sched_setaffinity(Pid::from_raw(0), &core)?;
    let place = tempfile::tempdir()?;
    let folder = path::absolute(args.folder.as_deref().unwrap_or_else(|| place.path()))?;
    args.run(&peers, &folder)
}

fn list(peers: &[Box<dyn Peer>]) -> Result<()> {
    for peer in peers {
        let served = Workload::ALL.into_iter().filter(|workload| peer.serves(*workload));
        let served: Vec<_> = served.map(Workload::name).collect();
        println!("{:<16} {}", peer.name(), served.join(" "));
    }
    Ok(())
}

impl Args {
    fn run(&self, peers: &[Box<dyn Peer>], folder: &std::path::Path) -> Result<()> {
        let geodata = geodata()?;
        let cities = Cities::open(&geodata)?;
        let workloads = self.workloads()?;
        if self.instructions {
            let table = instructions::table(peers, &workloads, folder, &geodata, &cities)?;
            print!("{}", table.show(self.form()));
            return Ok(());
        }
        if self.scale {
            for workload in scale::WORKLOADS {
                print!("{}", scale::table(workload, peers, folder, &geodata).show(self.form()));
            }
            return Ok(());
        }
        let health = Health::start()?;
        let (rounds, seconds) = if self.quick { (1, 0.5) } else { (self.rounds, self.seconds) };
        let time = Duration::from_secs_f64(seconds);
        let settings = Settings { rounds, time, folder, geodata: &geodata };
        let mut failed = vec![];
        for workload in workloads {
            let entries = rounds::race(peers, workload, &settings, &cities, &health)?;
            print!("{}", report::race(workload, &entries).show(self.form()));
            let wrong = entries.iter().filter(|entry| entry.has_failed());
            failed.extend(wrong.map(|entry| format!("{} in {workload}", entry.server)));
        }
        ensure!(failed.is_empty(), "without a figure: {}", failed.join(", "));
        Ok(())
    }

    fn form(&self) -> Form {
        match (self.markdown, self.json) {
            (true, _) => Form::Markdown,
            (_, true) => Form::Json,
            _ => Form::Text,
        }
    }

    fn peers(&self) -> Result<Vec<Box<dyn Peer>>> {
        let mut peers = peer::all();
        let mut wanted = self.servers.clone();
        if self.quick && wanted.is_empty() {
            wanted = ["echo", "meridian"].map(str::to_owned).to_vec();
        }
        if let Some(unknown) =
            wanted.iter().find(|name| peers.iter().all(|peer| peer.name() != **name))
        {
            bail!("no server is called {unknown}; see --list");
        }
        peers.retain(|peer| wanted.is_empty() || wanted.iter().any(|name| name == peer.name()));
        Ok(peers)
    }

    fn workloads(&self) -> Result<Vec<Workload>> {
        if self.workloads.is_empty() {
            return Ok(if self.quick { QUICK.to_vec() } else { Workload::ALL.to_vec() });
        }
        let named = |name: &String| {
            Workload::named(name).ok_or_else(|| anyhow!("no workload is called {name}; see --list"))
        };
        self.workloads.iter().map(named).collect()
    }
}

/// Where tests/setup puts the geo databases.
fn geodata() -> Result<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/geodata");
    let folder = env::var_os("MERIDIAN_GEODATA").map_or_else(default, PathBuf::from);
    Ok(path::absolute(folder)?)
}
