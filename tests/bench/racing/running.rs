//! A server of the race while it runs: started on its core, waited for, told to reload, stopped
//! whatever happens. Knows no server by name.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::data;
use crate::peer::{Case, Launch, Peer, Reload};
use crate::process::{self, Cpu, Memory};
use crate::query::Question;
use crate::workload::Workload;

/// The core servers run on.
pub const SERVER_CORE: usize = 0;
/// Between two looks whether a server answers.
const LOOK: Duration = Duration::from_millis(1);
/// Longest a start may take; the slowest loads a million records under valgrind.
const START: Duration = Duration::from_secs(600);
/// A server is at rest when it uses less than so many nanoseconds of CPU in this time.
const REST: Duration = Duration::from_millis(500);
const REST_CPU: u64 = 50_000_000;
/// Longest an orderly end, or coming to rest, may take.
const END: Duration = Duration::from_secs(60);

/// A server that answers. Dropping it kills it and all it has forked.
pub struct Running {
    child: Child,
    launch: Launch,
    folder: PathBuf,
    /// Where it answers, UDP and TCP.
    pub address: SocketAddr,
    /// From the start of the program to its first right answer.
    pub started: Duration,
}

impl Running {
    /// Prepares and starts a server; returns when it answers. `wrapper` is put before its command
    /// line.
    ///
    /// # Errors
    /// When it cannot be prepared or started, ends by itself, or does not answer in time.
    pub fn start(peer: &dyn Peer, case: &Case<'_>, wrapper: &[String]) -> Result<Self> {
        let launch = peer.prepare(case)?;
        let log = case.folder.join("race.log");
        let core = SERVER_CORE.to_string();
        let file = File::create(&log)?;
        let begin = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", &core])
            .args(wrapper)
            .args(&launch.command)
            .envs(launch.environment.iter().cloned())
            .current_dir(case.folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("taskset")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, case.port));
        let folder = case.folder.to_owned();
        let mut running = Self { child, launch, folder, address, started: Duration::ZERO };
        running.wait(peer, case.workload, begin)?;
        Ok(running)
    }

    /// It and all it has forked.
    pub fn processes(&self) -> Vec<u32> {
        process::family(self.child.id())
    }

    /// CPU time used so far.
    pub fn cpu(&self) -> Cpu {
        process::cpu(&self.processes())
    }

    /// Waits until it does nothing any more: after its first answer or a reload a server may
    /// still tidy up.
    ///
    /// # Errors
    /// When it does not come to rest.
    pub fn settle(&self) -> Result<()> {
        let begin = Instant::now();
        let mut before = self.cpu();
        while begin.elapsed() < END {
            thread::sleep(REST);
            let now = self.cpu();
            if (now - before).total < REST_CPU {
                return Ok(());
            }
            before = now;
        }
        bail!("it does not come to rest")
    }

    /// Memory held.
    pub fn memory(&self) -> Memory {
        process::memory(&self.processes())
    }

    /// Writes the first zone with another serial.
    ///
    /// # Errors
    /// When the server has no such file.
    pub fn change(&self, workload: Workload, serial: u32) -> Result<()> {
        let file = self.launch.zone_file.as_ref().context("no zone file to change")?;
        let text = data::zone(workload, &workload.origins()[0], serial);
        let new = file.with_extension("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, file)?)
    }

    /// Whether [`reload`](Self::reload) does something.
    pub fn reloads(&self) -> bool {
        self.launch.zone_file.is_some() && !matches!(self.launch.reload, Reload::Never)
    }

    /// Tells it that its files have changed.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn reload(&self) -> Result<()> {
        match &self.launch.reload {
            Reload::Never => {}
            Reload::Signal(signal) => kill(self.pid(), *signal)?,
            Reload::Command(command) => {
                let output = Command::new(&command[0])
                    .args(&command[1..])
                    .current_dir(&self.folder)
                    .stdin(Stdio::null())
                    .output()
                    .with_context(|| command[0].clone())?;
                if !output.status.success() {
                    bail!("{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
                }
            }
        }
        Ok(())
    }

    /// Ends it as its service manager would and waits until it and all it has forked are gone.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> Result<()> {
        let processes = self.processes();
        kill(self.pid(), Signal::SIGTERM)?;
        let begin = Instant::now();
        let mut ended = false;
        while !ended
            || processes.iter().any(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(false))
        {
            ended |= self.child.try_wait()?.is_some();
            if begin.elapsed() > END {
                bail!("it does not end");
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The last lines it has written.
    fn said(&self) -> String {
        let text = fs::read(self.folder.join("race.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn wait(&mut self, peer: &dyn Peer, workload: Workload, begin: Instant) -> Result<()> {
        let packet = Question::first(workload).packet(0x5eed);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(self.address)?;
        socket.set_read_timeout(Some(LOOK * 4))?;
        let mut answer = [0; 4096];
        while begin.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", peer.name(), self.said());
            }
            // Refused while nobody listens yet.
            let _ = socket.send(&packet);
            if let Ok(length) = socket.recv(&mut answer)
                && length >= 12
                && answer[..2] == packet[..2]
                && (!peer.answers() || is_right(workload, &answer))
            {
                self.started = begin.elapsed();
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("{} does not answer: {}", peer.name(), self.said());
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut processes = self.processes();
        processes.retain(|pid| *pid != self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in processes {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
    }
}

/// Whether the header says what the workload is about.
fn is_right(workload: Workload, answer: &[u8]) -> bool {
    let (rcode, answers) = workload.outcome();
    answer[2] & 0x80 != 0 && answer[3] & 15 == rcode && (answer[7] > 0) == (answers > 0)
}
