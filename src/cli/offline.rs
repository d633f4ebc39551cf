//! What commands need that look into the tables of files no daemon serves: reading them,
//! choosing records, and telling on a terminal how far they are.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;

use super::files;
use super::output::complain;
use crate::daemon::load::{Loader, Read, plan};
use crate::health::keeper::Keeper;
use crate::plan::suppose::Supposition;
use crate::snapshot::{Served, Snapshot};
use crate::steer::record::Record;
use crate::zone::catalog::Catalog;

/// Reads and compiles; `Err` is the exit code when the files are refused.
pub(super) fn compile(
    loader: &mut Loader,
    progress: &mut Progress,
) -> anyhow::Result<Result<Snapshot, u8>> {
    progress.step(0.05, "reading files and geo data");
    let read = match loader.read() {
        Ok(read) => read,
        Err(faults) => {
            progress.clear();
            return Ok(Err(files::tell_refused(&faults)));
        }
    };
    progress.took("files and geo data");
    progress.step(0.4, "compiling maps");
    let snapshot = snapshot(loader, &read)?;
    progress.took("maps");
    Ok(Ok(snapshot))
}

/// Compiles what was read.
pub(super) fn snapshot(loader: &mut Loader, read: &Read) -> anyhow::Result<Snapshot> {
    let keeper =
        Keeper::new(plan(&read.config), &Default::default(), Vec::new(), Default::default());
    Ok(loader.build(read, None, keeper.table())?)
}

/// A loader for the configuration that is meant.
pub(super) fn loader(config: Option<&Path>) -> (Loader, PathBuf) {
    let path = files::config_path(config);
    (Loader::new(path.clone()), path)
}

/// The records with these owner names, or all, sorted as zones and files are.
///
/// # Errors
/// When a name has no steered record.
pub(super) fn records<'s>(
    snapshot: &'s Snapshot,
    names: &[String],
) -> anyhow::Result<Vec<(&'s Served, &'s Record)>> {
    let mut zones: Vec<_> = Catalog::values(&snapshot.catalog).collect();
    zones.sort_by_key(|served| served.origin.to_string());
    let of_zone = |served: &'s Served| served.records.iter().map(move |record| (served, record));
    let all: Vec<(&Served, &Record)> = zones.into_iter().flat_map(of_zone).collect();
    if names.is_empty() {
        if all.is_empty() {
            bail!("nothing is steered by these files");
        }
        return Ok(all);
    }
    let find = |name: &String| {
        let wanted = name.trim_end_matches('.').to_lowercase();
        let is = |(_, record): &&(&Served, &Record)| {
            record.owner.to_string().trim_end_matches('.').to_lowercase() == wanted
        };
        match all.iter().find(is) {
            Some(found) => Ok(*found),
            None => bail!("'{name}' is no steered record of these files"),
        }
    };
    names.iter().map(find).collect()
}

/// Targets in one state, and lists of suppositions, put together.
///
/// # Errors
/// When one is no target or supposition.
pub(super) fn suppositions(
    states: &[(&[String], &str)],
    lists: &[String],
) -> anyhow::Result<Vec<Supposition>> {
    let mut all = Vec::new();
    for (targets, state) in states {
        for target in targets.iter().flat_map(|list| list.split(',')) {
            all.push(format!("{target}={state}").parse()?);
        }
    }
    for list in lists {
        all.extend(crate::plan::suppose::parse_list(list)?);
    }
    Ok(all)
}

/// How far a command is: a bar on standard error where that is a terminal, and how long each
/// part took where somebody wants to know.
pub(super) struct Progress {
    shows: bool,
    timing: bool,
    began: Instant,
    last: Instant,
    drawn: bool,
}

impl Progress {
    pub(super) fn new(timing: bool) -> Self {
        let now = Instant::now();
        let shows = std::io::stderr().is_terminal();
        Self { shows, timing, began: now, last: now, drawn: false }
    }

    /// `done` of one is done, and this comes next.
    pub(super) fn step(&mut self, done: f64, next: &str) {
        if self.shows {
            const WIDTH: usize = 24;
            let full = ((done * WIDTH as f64) as usize).min(WIDTH);
            let (full, rest) = ("━".repeat(full), "╌".repeat(WIDTH - full));
            complain(&format!("\r\x1b[2K{full}{rest} {next}"));
            self.drawn = true;
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            complain("\r\x1b[2K");
        }
    }

    /// A part is done.
    pub(super) fn took(&mut self, what: &str) {
        let now = Instant::now();
        self.tell(what, now - self.last);
        self.last = now;
    }

    /// All is done.
    pub(super) fn finish(&mut self) {
        self.clear();
        self.tell("in all", self.began.elapsed());
    }

    fn tell(&mut self, what: &str, time: Duration) {
        if self.timing {
            self.clear();
            complain(&format!("{what}: {:.2} s\n", time.as_secs_f64()));
        }
    }
}
