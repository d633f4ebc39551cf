//! The binary as a process on a core of its own, and what it takes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The core that is left to the binary.
const ITS_CORE: usize = 0;
/// Nothing here takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps this process off the core of the binary, where there are several, and lets it have as
/// many sockets as the system allows.
pub(crate) fn leave_a_core() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 {
        let mut others = CpuSet::new();
        (1..cores).for_each(|core| others.set(core).expect("a core"));
        sched_setaffinity(Pid::from_raw(0), &others).expect("its cores");
    } else {
        println!("there is one core: what is around takes its part of it");
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("as many as may be");
}

/// The binary at work; ended when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

/// What a process has taken so far.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    at: Instant,
    cpu: Duration,
}

impl Running {
    /// Starts the binary with these arguments.
    pub(crate) fn start(command: &str, config: &Path) -> Self {
        let core = ITS_CORE.to_string();
        let mut child = Command::new("taskset")
            .args(["--cpu-list", &core, env!("CARGO_BIN_EXE_meridian"), command, "--config"])
            .arg(config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("taskset, of util-linux, starts it");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                writer.lock().expect("whole").push(line);
            }
        });
        Self { child, log }
    }

    /// The word behind `marker` in the log, as soon as it stands there.
    pub(crate) fn told(&self, marker: &str) -> String {
        let begun = Instant::now();
        loop {
            let lines = self.log.lock().expect("whole");
            let rest = lines.iter().find_map(|line| line.split(marker).nth(1));
            if let Some(word) = rest.and_then(|rest| rest.split(' ').next()) {
                return word.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no '{marker}' in:\n{}", lines.join("\n"));
            drop(lines);
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process"))
    }

    /// All it has said.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("whole").join("\n")
    }

    pub(crate) fn taken(&self) -> Taken {
        let clock = ClockId::pid_cpu_clock_id(self.pid()).expect("alive");
        let cpu = Duration::from(clock_gettime(clock).expect("a clock"));
        Taken { at: Instant::now(), cpu }
    }

    /// Memory in use, in MiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib / 1024.0
    }
}

impl Taken {
    /// Seconds between two looks, and of these on a core.
    pub(crate) fn since(&self, before: &Self) -> (f64, f64) {
        ((self.at - before.at).as_secs_f64(), (self.cpu - before.cpu).as_secs_f64())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
