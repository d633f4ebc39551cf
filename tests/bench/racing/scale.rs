//! What many records and many zones cost: time and CPU until the first right answer, memory, and
//! the same for a reload with one zone changed.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::check;
use crate::peer::{Case, Peer};
use crate::process::{self, Memory};
use crate::report::Table;
use crate::rounds;
use crate::running::Running;
use crate::workload::Workload;

/// What is loaded.
pub const WORKLOADS: [Workload; 2] = [Workload::Static1m, Workload::Zones10k];

/// The server's port.
const PORT: u16 = 5300;
/// Serials before and after the change.
const SERIALS: (u32, u32) = (1, 2);
/// Longest a reload may take.
const RELOAD: Duration = Duration::from_secs(120);
/// After a start or reload, until memory is looked at: servers free what they no longer need when
/// they come to it.
const FREED: Duration = Duration::from_secs(5);
/// Between two looks at the serial.
const LOOK: Duration = Duration::from_millis(1);

/// Start, memory and reload of every server that has zones.
pub fn table(workload: Workload, peers: &[Box<dyn Peer>], folder: &Path, geodata: &Path) -> Table {
    let columns = &[
        "server",
        "start s",
        "CPU s",
        "PSS MiB",
        "peak MiB",
        "reload s",
        "reload CPU s",
        "PSS after",
        "peak after",
    ];
    let mut table = Table::new(format!("Scale: {workload}"), columns);
    for peer in peers.iter().filter(|peer| peer.answers() && peer.serves(workload)) {
        let mut row = vec![peer.name().to_owned()];
        match cells(&**peer, workload, folder, geodata) {
            Ok(cells) => row.extend(cells),
            Err(error) => row.push(format!("{error:#}")),
        }
        table.add(row);
    }
    table
}

fn cells(
    peer: &dyn Peer,
    workload: Workload,
    folder: &Path,
    geodata: &Path,
) -> Result<Vec<String>> {
    let folder = rounds::folder(folder, workload, peer.name())?;
    let case = Case { workload, folder: &folder, port: PORT, geodata, serial: SERIALS.0 };
    let running = Running::start(peer, &case, &[])?;
    let started = process::cpu_with_ended(&running.processes());
    running.settle()?;
    thread::sleep(FREED);
    let memory = running.memory();
    let mut cells = vec![seconds(running.started), format!("{started:.2}")];
    cells.extend(mebibytes(memory));
    if running.reloads() {
        cells.extend(reload(&running, workload)?);
    }
    Ok(cells)
}

fn reload(running: &Running, workload: Workload) -> Result<Vec<String>> {
    let origin = &workload.origins()[0];
    let serial = check::serial(running.address, origin)?;
    ensure!(serial == SERIALS.0, "serial {serial}");
    running.change(workload, SERIALS.1)?;
    let before = process::cpu_with_ended(&running.processes());
    let begin = Instant::now();
    running.reload()?;
    while check::serial(running.address, origin).ok() != Some(SERIALS.1) {
        ensure!(begin.elapsed() < RELOAD, "the changed zone does not come");
        thread::sleep(LOOK);
    }
    let time = begin.elapsed();
    running.settle()?;
    let cpu = process::cpu_with_ended(&running.processes()) - before;
    thread::sleep(FREED);
    let mut cells = vec![seconds(time), format!("{cpu:.2}")];
    cells.extend(mebibytes(running.memory()));
    Ok(cells)
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

fn mebibytes(memory: Memory) -> [String; 2] {
    [memory.pss, memory.peak].map(|kib| format!("{:.1}", kib as f64 / 1024.0))
}
