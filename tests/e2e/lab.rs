//! A small internet on one machine: network namespaces on one bridge, and the programs in them.
//!
//! A namespace has no name: a sleeping process holds it, and the kernel removes it with that
//! process. Every process is told to die with the test, so nothing runs on after a crash either;
//! the next test removes the files.
//! There is no way out of the bridge, so addresses may be any in the world.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long anything in the lab may take to come up before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How the folder of a lab begins; the number of its process follows.
const FOLDER: &str = "meridian-e2e-";

/// One lab at a time: they measure times, and would disturb each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The bridge, and the folder for everybody's files.
pub struct Lab {
    bridge: Holder,
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A machine in the lab: a network namespace with one interface on the bridge.
pub struct Machine {
    holder: Holder,
    dir: PathBuf,
}

/// A running program. It is killed when this is dropped.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

/// The process that keeps a namespace alive.
struct Holder(Child);

impl Lab {
    /// An empty bridge. Waits until no other lab of this process is standing.
    pub fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run the end-to-end tests with tests/run"
        );
        let bridge = Holder::new();
        bridge.ip("link set lo up\nlink add bridge type bridge\nlink set bridge up\n");
        sweep();
        let prefix = format!("{FOLDER}{}-", std::process::id());
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
        Self { bridge, dir, _turn: turn }
    }

    /// A new machine that answers to `addresses`. It sees the whole world on its one wire.
    pub fn machine(&self, name: &str, addresses: &[IpAddr]) -> Machine {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        let holder = Holder::new();
        // Interface names have at most 15 characters.
        let port = name.to_owned();
        self.bridge.ip(&format!(
            "link add {port} type veth peer name wire netns {}\nlink set {port} master bridge up\n",
            holder.0.id()
        ));
        let mut commands = String::from("link set lo up\nlink set wire up\n");
        for address in addresses {
            commands += &match address {
                IpAddr::V4(v4) => format!("addr add {v4}/32 dev wire\n"),
                IpAddr::V6(v6) => format!("addr add {v6}/128 dev wire nodad\n"),
            };
        }
        commands += "route add 0.0.0.0/0 dev wire\nroute add ::/0 dev wire\n";
        holder.ip(&commands);
        Machine { holder, dir }
    }
}

impl Machine {
    /// The folder for this machine's files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file into the machine's folder, making the folders it needs.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts a program here, with its output in `NAME.log`.
    pub fn start(&self, name: &str, command: &[&str]) -> Program {
        let log = self.dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let child = self
            .command(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}; run tests/setup"));
        Program { name: name.to_owned(), child, log }
    }

    /// A command that runs here and dies with the test.
    pub fn command(&self, command: &[&str]) -> Command {
        let mut inside = Command::new("setpriv");
        inside
            .args(["--pdeathsig", "KILL", "--", "nsenter"])
            .arg(format!("--net={}", self.holder.path()))
            .arg("--")
            .args(command)
            .current_dir(&self.dir);
        inside
    }

    /// Runs a command here to its end and returns what it printed.
    pub fn run(&self, command: &[&str]) -> String {
        let output = self.command(command).output().expect("setpriv is part of util-linux");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Calls `f` on a thread that stands in this machine's network; sockets it opens stay there.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.holder.path()).unwrap();
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), network).unwrap();
                f()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Program {
    /// Kills it as `kill -9` does, and returns when it is gone.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended by itself and says whether it ended well.
    pub fn wait(&mut self, patience: Duration) -> bool {
        let mut status = None;
        until(patience, &format!("{} ends", self.name), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.is_some_and(|status| status.success())
    }

    /// Panics with the program's own words when it has died.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended ({status}):\n{}", self.name, self.log());
        }
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("--- last words of {}", self.name);
            tail.iter().rev().for_each(|line| eprintln!("    {line}"));
        }
    }
}

impl Holder {
    fn new() -> Self {
        let mine = fs::read_link("/proc/self/ns/net").unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("setpriv is part of util-linux: run tests/setup");
        let holder = Self(child);
        until(PATIENCE, "a network namespace is made", || {
            fs::read_link(holder.path()).is_ok_and(|theirs| theirs != mine)
        });
        holder
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Runs a batch of `ip` commands in the namespace.
    fn ip(&self, commands: &str) {
        use std::io::Write;
        let mut ip = Command::new("nsenter")
            .arg(format!("--net={}", self.path()))
            .args(["--", "ip", "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ip is part of iproute2: run tests/setup");
        ip.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
        let output = ip.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip refuses:\n{commands}{words}");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Removes the folders of tests that were killed.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        let process = rest.and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Asks again and again until `holds`, and returns how long that took. Panics past `patience`.
pub fn until(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < patience, "in {patience:?} it did not come true that {what}");
        thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}
