//! User instructions per query, without noise: each server is loaded under valgrind, and while it
//! answers a known number of queries, callgrind counts.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cities::Cities;
use crate::load::{self, Plan, Until};
use crate::peer::{Case, Peer};
use crate::query::Queries;
use crate::report::Table;
use crate::rounds;
use crate::running::Running;
use crate::workload::Workload;

/// Queries answered before counting begins, and while it lasts.
const WARM_UP: u64 = 2_000;
const QUERIES: u64 = 20_000;
/// The server's port.
const PORT: u16 = 5300;
/// Under callgrind everything takes fifty times as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Instructions of every server in every workload it serves.
///
/// # Errors
/// When the queries cannot be made; a server that fails says so in the table.
pub fn table(
    peers: &[Box<dyn Peer>],
    workloads: &[Workload],
    folder: &Path,
    geodata: &Path,
    cities: &Cities,
) -> Result<Table> {
    let mut table =
        Table::new("User instructions per query", &["server", "workload", "instructions"]);
    for workload in workloads {
        let queries = Queries::new(*workload, rounds::packets(*workload), cities)?;
        for peer in peers.iter().filter(|peer| peer.serves(*workload)) {
            let cell = match per_query(&**peer, &queries, folder, geodata) {
                Ok(instructions) => instructions.to_string(),
                Err(error) => format!("{error:#}"),
            };
            eprintln!("{} {workload}: {cell}", peer.name());
            table.add(vec![peer.name().into(), workload.name().into(), cell]);
        }
    }
    Ok(table)
}

/// Instructions a server runs for each of [`QUERIES`] queries.
fn per_query(peer: &dyn Peer, queries: &Queries, folder: &Path, geodata: &Path) -> Result<u64> {
    let workload = queries.workload;
    let folder = rounds::folder(folder, workload, peer.name())?;
    let case = Case { workload, folder: &folder, port: PORT, geodata, serial: 1 };
    let out = folder.join("callgrind.%p").display().to_string();
    let pipe = folder.join("vgdb").display().to_string();
    let wrapper = [
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        &format!("--callgrind-out-file={out}"),
        &format!("--vgdb-prefix={pipe}"),
    ];
    let running = Running::start(peer, &case, &wrapper.map(str::to_owned))?;
    let expected = peer.answers().then(|| workload.outcome());
    let load = |asked| {
        let until = Until::Asked(asked);
        let plan = Plan { server: running.address, until, patience: PATIENCE, expected };
        load::run(&plan, queries)
    };
    load(WARM_UP)?;
    running.settle()?;
    count(&running, &pipe, "on")?;
    let done = load(QUERIES)?;
    count(&running, &pipe, "off")?;
    running.end()?;
    ensure!(done.lost() == 0 && done.wrong == 0, "{} lost, {} wrong", done.lost(), done.wrong);
    let mut sum = 0;
    for file in fs::read_dir(&folder)?.flatten() {
        if file.file_name().to_string_lossy().starts_with("callgrind.") {
            let text = fs::read_to_string(file.path())?;
            sum += totals(&text).context("no totals in callgrind's file")?;
        }
    }
    // NSD answers in a process it forks, which valgrind does not let vgdb reach.
    ensure!(sum >= done.answered, "callgrind does not count the process that answers");
    Ok(sum / done.answered)
}

/// Lets callgrind begin or stop to count in every process of a server.
fn count(running: &Running, pipe: &str, switch: &str) -> Result<()> {
    let mut counting = 0;
    for process in running.processes() {
        let output = Command::new("vgdb")
            .args([&format!("--vgdb-prefix={pipe}"), &format!("--pid={process}")])
            .args(["instrumentation", switch])
            .stdin(Stdio::null())
            .output()
            .context("vgdb")?;
        counting += usize::from(output.status.success());
    }
    ensure!(counting > 0, "no process listens to vgdb");
    Ok(())
}

/// Instructions in a file of callgrind's, in all its parts.
fn totals(text: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("totals: "));
    lines.map(|number| number.trim().parse::<u64>().ok()).sum()
}
