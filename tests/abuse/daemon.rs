//! The daemon that is abused.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Limits that the attacks go past. The ordinary load comes from 127.0.0.1, which has none.
const SETTINGS: &str = r#"
listen = ["127.0.0.1:0"]
api = "127.0.0.1:0"
[tcp]
idle_timeout = "2s"
connections = 200
connections_per_client = 20
[rate_limit]
responses_per_second = 100
window = "1s"
exempt = ["127.0.0.1/32"]
"#;
const REGIONS: &str = r#"
[region.fra]
location = [50.11, 8.68]
[region.iad]
location = [38.95, -77.45]
"#;
const POLICY: &str = r#"
[pool.fra]
region  = "fra"
members = ["198.51.100.1", "198.51.100.2"]
[pool.iad]
region  = "iad"
members = ["203.0.113.1"]
[record."www"]
policy = "nearest"
pools  = ["fra", "iad"]
[record."shop"]
policy = "weighted"
pools  = { fra = 3, iad = 1 }
"#;

/// Hosts in the zone.
pub(crate) const HOSTS: usize = 500;

/// A running daemon, killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) dns: SocketAddr,
    api: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut zone = String::from(
            "@ 3600 SOA ns1 host 1 1h 1h 1h 60\n@ 3600 NS ns1\nns1 60 A 192.0.2.3\n\
             www 60 A 192.0.2.4\nshop 60 A 192.0.2.4\nsub 60 NS ns.sub\nns.sub 60 A 192.0.2.5\n",
        );
        for host in 0..HOSTS {
            zone += &format!("host-{host} 60 A 192.0.2.{}\n", host % 256);
        }
        for line in 0..16 {
            zone += &format!("large 60 TXT \"{line:0200}\"\n");
        }
        for (path, text) in [
            ("meridian.toml", SETTINGS),
            ("geo/regions.toml", REGIONS),
            ("zones/example.org.toml", POLICY),
            ("zones/example.org.zone", &zone),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let binary = std::env::var_os("MERIDIAN_BIN")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_meridian")), PathBuf::from);
        let mut child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                writer.lock().expect("whole").push(line);
            }
        });
        let said = |marker: &str| -> SocketAddr {
            let begun = Instant::now();
            loop {
                let lines = log.lock().expect("whole");
                let line = lines.iter().find_map(|line| line.split(marker).nth(1));
                if let Some(address) = line.and_then(|rest| rest.split_whitespace().next()) {
                    return address.parse().expect("an address");
                }
                assert!(begun.elapsed() < PATIENCE, "no '{marker}' in\n{}", lines.join("\n"));
                drop(lines);
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        let (api, dns) = (said("API on http://"), said("answering on "));
        Self { child, log, dns, api, _folder: folder }
    }

    /// Resident memory in KiB; `None` when the daemon is gone.
    pub(crate) fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Whom `/v1/status` says answers are held back from.
    pub(crate) fn held_back(&self) -> String {
        let status: serde_json::Value =
            serde_json::from_str(&self.get("/v1/status")).unwrap_or_default();
        status["rate_limit"]["networks"].to_string()
    }

    /// What the daemon itself says went wrong, or should have gone wrong and did not.
    pub(crate) fn faults(&self) -> Vec<String> {
        let metrics = self.get("/metrics");
        let sum = |series: &str| -> f64 {
            let lines = metrics.lines().filter(|line| line.starts_with(series));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let mut faults = Vec::new();
        for never in
            ["meridian_panics_total", "meridian_threads_lost", "meridian_socket_errors_total"]
        {
            if sum(never) != 0.0 || !metrics.contains(never) {
                faults.push(format!("{never} is {}", sum(never)));
            }
        }
        for expected in [
            "meridian_dns_rate_limited_total{outcome=\"dropped\"}",
            "meridian_dns_rate_limited_total{outcome=\"slipped\"}",
            "meridian_dns_malformed_total{part=\"question\"}",
            "meridian_dns_malformed_total{part=\"opt\"}",
            "meridian_dns_dropped_total{reason=\"response\"}",
            "meridian_dns_dropped_total{reason=\"short\"}",
            "meridian_tcp_refused_total{limit=\"client\"}",
            "meridian_tcp_refused_total{limit=\"total\"}",
            "meridian_tcp_closed_total{reason=\"idle\"}",
            "meridian_tcp_closed_total{reason=\"slow\"}",
            "meridian_tcp_closed_total{reason=\"malformed\"}",
        ] {
            match sum(expected) {
                0.0 => faults.push(format!("{expected} is 0: that attack had no effect")),
                count => println!("  {expected} {count}"),
            }
        }
        if sum("meridian_tcp_connections") > 200.0 {
            faults.push("more connections are open than may be".to_owned());
        }
        let log = self.log.lock().expect("whole");
        faults.extend(log.iter().filter(|line| line.contains("panicked")).cloned());
        faults
    }

    /// The body of a GET; empty when the API does not answer.
    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(self.api) {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_string(&mut answer);
        }
        answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
