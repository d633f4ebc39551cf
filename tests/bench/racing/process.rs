//! What a running server has used, read from /proc: it and all it has forked. Knows no server.

use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Ticks in a second of the times in /proc/PID/stat; the same on every Linux we run on.
const TICKS: f64 = 100.0;

/// CPU time used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cpu {
    /// All of it, from the scheduler, in nanoseconds.
    pub total: u64,
    /// In the program itself, in ticks as the timer saw it.
    user: u64,
    /// In the kernel on its behalf, in ticks as the timer saw it.
    system: u64,
}

impl Cpu {
    /// Time in the program and time in the kernel: the scheduler's sum, split as the timer saw.
    pub fn split(self) -> (Duration, Duration) {
        let seen = (self.user + self.system).max(1) as f64;
        let total = self.total as f64;
        let user = total * self.user as f64 / seen;
        (Duration::from_nanos(user as u64), Duration::from_nanos((total - user) as u64))
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

/// Memory in use, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Proportional set size: what would come back if all of it ended.
    pub pss: u64,
    /// The most that was resident, of each process, summed up.
    pub peak: u64,
}

/// A process and all its descendants, in order of their depth.
pub fn family(first: u32) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(u32, u32)> = numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut family = vec![first];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family
}

/// What all of `processes` have used since they began; one that has ended counts nothing.
pub fn cpu(processes: &[u32]) -> Cpu {
    // The clock of a process knows its threads that have ended too.
    let of = |pid: &u32| {
        let stat = stat(*pid)?;
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(*pid).ok()?)).ok()?;
        let total = Duration::from(clock_gettime(clock).ok()?).as_nanos() as u64;
        Some(Cpu { total, user: stat.user, system: stat.system })
    };
    processes.iter().filter_map(of).fold(Cpu::default(), Add::add)
}

/// CPU time `process` and its ended, awaited children have used, in seconds.
pub fn cpu_with_ended(processes: &[u32]) -> f64 {
    let ticks: u64 = processes
        .iter()
        .filter_map(|pid| stat(*pid))
        .map(|stat| stat.user + stat.system + stat.ended)
        .sum();
    ticks as f64 / TICKS
}

/// What all of `processes` hold.
pub fn memory(processes: &[u32]) -> Memory {
    let field = |pid: u32, file: &str, name: &str| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    processes.iter().fold(Memory::default(), |sum, pid| Memory {
        pss: sum.pss + field(*pid, "smaps_rollup", "Pss:"),
        peak: sum.peak + field(*pid, "status", "VmHWM:"),
    })
}

struct Stat {
    parent: u32,
    user: u64,
    system: u64,
    ended: u64,
}

/// The fields after the command's name, which may hold spaces and brackets itself.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        user: number(11)?,
        system: number(12)?,
        ended: number(13)? + number(14)?,
    })
}
