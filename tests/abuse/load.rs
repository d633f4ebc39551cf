//! The ordinary load: dnsperf, at a steady rate, over names of every kind.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::daemon::HOSTS;

/// dnsperf at work, killed when dropped.
pub(crate) struct Dnsperf {
    child: Child,
    _queries: tempfile::NamedTempFile,
}

/// What dnsperf says in the end.
pub(crate) struct Loaded {
    sent: u64,
    completed: u64,
    lost: u64,
    /// Of those completed, with NOERROR or NXDOMAIN, as all should be.
    right: u64,
    text: String,
}

impl Dnsperf {
    pub(crate) fn start(server: SocketAddr, duration: Duration, rate: u32) -> Self {
        let mut queries = tempfile::NamedTempFile::new().expect("a file");
        for host in 0..HOSTS {
            writeln!(queries, "host-{host}.example.org A\nwww.example.org A\nshop.example.org A")
                .and_then(|()| writeln!(queries, "no-{host}.example.org A\nx.sub.example.org A"))
                .expect("written");
        }
        queries.flush().expect("written");
        let child = Command::new("dnsperf")
            .args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()])
            .args(["-l", &duration.as_secs().to_string(), "-Q", &rate.to_string()])
            .args(["-c", "16", "-T", "1", "-t", "5", "-q", "1000", "-e", "-b", "4096", "-d"])
            .arg(queries.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsperf starts: run tests/setup");
        Self { child, _queries: queries }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Loaded {
        let mut text = String::new();
        if let Some(mut output) = self.child.stdout.take() {
            let _ = std::io::Read::read_to_string(&mut output, &mut text);
        }
        let number = |label: &str| -> u64 {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        let code = |code: &str| -> u64 {
            let line = text.lines().find(|line| line.trim().starts_with("Response codes:"));
            let at = line.and_then(|line| line.split(&format!("{code} ")).nth(1));
            at.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Loaded {
            sent: number("Queries sent:"),
            completed: number("Queries completed:"),
            lost: number("Queries lost:"),
            right: code("NOERROR") + code("NXDOMAIN"),
            text: text.clone(),
        }
    }
}

impl Drop for Dnsperf {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = self.text.lines().find(|line| line.contains("Average Latency"));
        write!(
            f,
            "ordinary load: {} asked, {} answered, {} lost; {}",
            self.sent,
            self.completed,
            self.lost,
            latency.unwrap_or("no latency").trim()
        )
    }
}

impl Loaded {
    pub(crate) fn faults(&self, rate: u32, duration: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        let planned = u64::from(rate) * duration.as_secs();
        if self.sent < planned * 9 / 10 {
            faults.push(format!("{} of {planned} queries were asked\n{}", self.sent, self.text));
        }
        if self.lost > 0 || self.completed != self.sent {
            faults.push(format!("{} of {} ordinary queries were lost", self.lost, self.sent));
        }
        if self.right != self.completed {
            faults.push(format!(
                "{} of {} answers were right\n{}",
                self.right, self.completed, self.text
            ));
        }
        faults
    }
}
