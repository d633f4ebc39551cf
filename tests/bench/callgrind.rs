//! Counts the instructions of parts of this very program: it runs again under callgrind, which
//! collects only within [`counted`] and writes down what it has before each time.

use std::env;
use std::fs;
use std::hint::black_box;
use std::process::{Command, Stdio};

/// What [`counted`] is called once it is compiled into the bench `road`. Whole, since callgrind
/// knows no patterns for `--dump-before`.
const COUNTED: &str = "road::callgrind::counted";

/// Runs `work`, whose instructions are counted when this process runs under callgrind.
#[inline(never)]
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// The instructions of every call of [`counted`] that this program makes when it is started
/// with `argument`, in order.
///
/// # Errors
/// In words, when valgrind cannot be run or the program fails under it.
pub(crate) fn instructions(argument: &str) -> Result<Vec<u64>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let out = folder.path().join("counts");
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let run = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--combine-dumps=yes"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-before={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg(argument)
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !run.status.success() {
        return Err(format!("under valgrind: {}", String::from_utf8_lossy(&run.stderr)));
    }
    let file = fs::read_to_string(&out).map_err(|error| error.to_string())?;
    // The first part is what came before the first call: nothing.
    Ok(parts(&file).split_off(1))
}

/// The totals of each part of a file that callgrind has written.
pub(crate) fn parts(file: &str) -> Vec<u64> {
    let totals = file.lines().filter_map(|line| line.strip_prefix("totals:"));
    totals.filter_map(|total| total.trim().parse().ok()).collect()
}
