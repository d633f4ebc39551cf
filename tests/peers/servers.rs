//! Meridian, Knot, NSD and BIND as authoritative servers on loopback, each with the same zones.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::name::Name;
use crate::zones::Zone;

/// How long a server may take to load everything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Largest UDP answer of every server, in octets.
pub const UDP_SIZE: usize = 1232;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Meridian,
    Knot,
    Nsd,
    Bind,
}

/// All of them, the one under test first.
pub const KINDS: [Kind; 4] = [Kind::Meridian, Kind::Knot, Kind::Nsd, Kind::Bind];

/// A running server. Ends when dropped.
pub struct Server {
    /// Which.
    pub kind: Kind,
    /// Where it answers.
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server with these zones, whose master files are `FOLDER/master/N.zone`.
    pub fn start(kind: Kind, folder: &Path, zones: &[&Zone]) -> Self {
        let dir = folder.join(format!("{kind:?}").to_lowercase());
        fs::create_dir_all(&dir).unwrap();
        let port = free_port();
        let (file, text) = match kind {
            Kind::Meridian => ("meridian.toml", meridian(port, &dir, folder, zones)),
            Kind::Knot => ("knot.conf", knot(port, &dir, folder, zones)),
            Kind::Nsd => ("nsd.conf", nsd(port, &dir, folder, zones)),
            Kind::Bind => ("named.conf", bind(port, &dir, folder, zones)),
        };
        let file = dir.join(file);
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let binary = std::env::var("MERIDIAN_BIN")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_meridian").to_owned());
        let command: Vec<&str> = match kind {
            Kind::Meridian => vec![&binary, "serve", "--config", dir.to_str().unwrap()],
            Kind::Knot => vec!["knotd", "-c", file],
            Kind::Nsd => vec!["nsd", "-d", "-c", file],
            Kind::Bind => vec!["named", "-g", "-4", "-n", "1", "-c", file],
        };
        let log = dir.join("log");
        let output = File::create(&log).unwrap();
        // NSD is several processes, and only the first knows how to end the others.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("setpriv is part of util-linux: run tests/setup");
        Self { kind, address: (Ipv4Addr::LOCALHOST, port).into(), child, log }
    }

    /// Waits until `loaded` says that it has its zones.
    pub fn wait(&mut self, mut loaded: impl FnMut(SocketAddr) -> Result<(), Name>) {
        let start = Instant::now();
        while let Err(missing) = loaded(self.address) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "{:?} does not serve {missing} ({ended:?}):\n{}",
                self.kind,
                self.last_words(&missing)
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What its log says of a zone, and how it ends.
    fn last_words(&self, zone: &Name) -> String {
        let log = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let zone = zone.to_string();
        let zone = zone.trim_end_matches('.');
        let about = log.lines().filter(|line| line.contains(zone)).take(20);
        let end: Vec<&str> = log.lines().rev().take(10).collect();
        about.chain(end.into_iter().rev()).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).ok();
        let start = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if start.elapsed() > Duration::from_secs(10) {
                self.child.kill().ok();
                self.child.wait().ok();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A port nobody has, neither over UDP nor TCP.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The zones' apexes without the dot at the end, and the paths of their files.
fn files<'a>(folder: &'a Path, zones: &'a [&Zone]) -> impl Iterator<Item = (String, String)> + 'a {
    zones.iter().enumerate().map(move |(number, zone)| {
        let apex = zone.apex.to_string();
        let path = folder.join(format!("master/{number}.zone"));
        (apex.trim_end_matches('.').to_owned(), path.display().to_string())
    })
}

/// One folder of zone files: Meridian knows a zone by its file's name.
fn meridian(port: u16, dir: &Path, folder: &Path, zones: &[&Zone]) -> String {
    fs::create_dir_all(dir.join("zones")).unwrap();
    for (apex, path) in files(folder, zones) {
        fs::copy(path, dir.join(format!("zones/{apex}.zone"))).unwrap();
    }
    format!("listen = [\"127.0.0.1:{port}\"]\napi = \"off\"\nworkers = 1\n")
}

fn knot(port: u16, dir: &Path, folder: &Path, zones: &[&Zone]) -> String {
    let dir = dir.display();
    let mut text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {dir}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n  udp-max-payload: {UDP_SIZE}\n\
         database:\n  storage: {dir}\nlog:\n  - target: stderr\n    any: info\n\
         template:\n  - id: default\n    journal-content: none\n    zonefile-load: whole\n    \
         zonefile-sync: -1\n    semantic-checks: off\n\
         zone:\n"
    );
    for (apex, path) in files(folder, zones) {
        writeln!(text, "  - domain: {apex}\n    file: {path}").unwrap();
    }
    text
}

fn nsd(port: u16, dir: &Path, folder: &Path, zones: &[&Zone]) -> String {
    let dir = dir.display();
    let mut text = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{dir}\"\n  database: \"\"\n  pidfile: \"\"\n  logfile: \"\"\n  \
         xfrdfile: \"{dir}/xfrd\"\n  xfrdir: \"{dir}\"\n  zonelistfile: \"{dir}/list\"\n  \
         server-count: 1\n  ipv4-edns-size: {UDP_SIZE}\n  rrl-ratelimit: 0\n  \
         rrl-whitelist-ratelimit: 0\n  minimal-responses: yes\n  refuse-any: no\n  verbosity: 1\n\
         remote-control:\n  control-enable: no\n"
    );
    for (apex, path) in files(folder, zones) {
        writeln!(text, "zone:\n  name: {apex}\n  zonefile: {path}").unwrap();
    }
    text
}

fn bind(port: u16, dir: &Path, folder: &Path, zones: &[&Zone]) -> String {
    let dir = dir.display();
    let mut text = format!(
        "options {{ directory \"{dir}\"; pid-file none; session-keyfile none; \
         listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; \
         dnssec-validation no; notify no; querylog no; empty-zones-enable no; \
         minimal-responses yes; minimal-any yes; answer-cookie no; edns-udp-size {UDP_SIZE}; \
         max-udp-size {UDP_SIZE}; nocookie-udp-size {UDP_SIZE}; check-names primary ignore; \
         check-integrity no; check-sibling no; check-mx ignore; check-wildcard no; \
         check-srv-cname ignore; check-mx-cname ignore; check-dup-records ignore; \
         check-spf ignore; zero-no-soa-ttl no; masterfile-format text; zone-statistics none; }};\ncontrols {{ }};\n"
    );
    for (apex, path) in files(folder, zones) {
        writeln!(text, "zone {apex} {{ type primary; file \"{path}\"; }};").unwrap();
    }
    text
}
