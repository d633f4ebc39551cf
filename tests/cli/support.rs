//! A configuration in a folder of its own, backends to check, and the daemon as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meridian::admin::message;
use meridian::admin::view::{AnswerView, Status};
use tempfile::TempDir;

/// Longest wait for something that takes a second on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A client in Europe and one in Asia, by the networks.toml of [`Site::new`].
pub(crate) const BERLIN: &str = "192.0.2.0/24";
pub(crate) const TOKYO: &str = "203.0.113.0/24";

/// An operator's folder.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) fra: Backend,
    pub(crate) sin: Backend,
}

const SETTINGS: &str = "listen = [\"127.0.0.1:0\"]\nworkers = 1\napi = \"127.0.0.1:0\"\n";

impl Site {
    /// Two regions with one checked member each, `www` to the nearest.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [fra, sin] = [Backend::start(), Backend::start()];
        let site = Self { folder, fra, sin };
        site.write("meridian.toml", SETTINGS);
        site.write(
            "geo/regions.toml",
            "[region.fra]\nlocation = [50.11, 8.68]\n[region.sin]\nlocation = [1.35, 103.99]\n",
        );
        site.write(
            "geo/networks.toml",
            "[[network]]\ncidr = [\"192.0.2.0/24\"]\n\
             place = { city = \"Berlin\", country = \"DE\", location = [52.52, 13.40] }\n\
             [[network]]\ncidr = [\"203.0.113.0/24\"]\n\
             place = { city = \"Tokyo\", country = \"JP\", location = [35.68, 139.69] }\n",
        );
        site.write("zones/example.org.zone", zone(1, ""));
        site.write("zones/example.org.toml", site.policy("nearest"));
        site
    }

    /// Counts answers past one per second, and lets them go out.
    pub(crate) fn limit_rate(&self) {
        let limit = "[rate_limit]\nresponses_per_second = 1\nwindow = \"1s\"\ndry_run = true\n";
        self.write("meridian.toml", format!("{SETTINGS}{limit}"));
    }

    /// The policy file, with `www` under `policy`.
    pub(crate) fn policy(&self, policy: &str) -> String {
        let pool = |name: &str, member: &str, backend: &Backend| {
            format!(
                "[pool.{name}]\nregion = \"{name}\"\nmembers = [\"{member}\"]\n\
                 monitor = {{ type = \"http\", target = \"{}\", path = \"/readyz\", \
                 host = \"www.example.org\", interval = \"1s\", fast_interval = \"100ms\", \
                 timeout = \"500ms\", rise = 2, fall = 2 }}\n",
                backend.address
            )
        };
        format!(
            "{}{}[record.\"www\"]\npolicy = \"{policy}\"\npools = [\"fra\", \"sin\"]\nttl = \"30s\"\n",
            pool("fra", "198.51.100.10", &self.fra),
            pool("sin", "198.51.100.20", &self.sin),
        )
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file as an editor does: beside it, then renamed over it.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).expect("writes");
        std::fs::rename(&beside, &path).expect("renames");
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn serve(&self) -> Daemon {
        Daemon::start(self.path())
    }

    /// Runs a command on this folder to its end.
    pub(crate) fn run(&self, command: &str, args: &[&str]) -> Ended {
        let config = self.path().to_str().expect("UTF-8");
        run(&[&[command], args, &["--config", config]].concat())
    }
}

/// The zone with `serial`, and `more` lines.
pub(crate) fn zone(serial: u32, more: &str) -> String {
    format!(
        "$TTL 3600\n@ SOA ns1 hostmaster {serial} 3600 600 604800 60\n NS ns1\n\
         ns1 A 192.0.2.53\nwww A 198.51.100.10\ntext TXT \"hello\"\n{more}"
    )
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    let output = binary().args(args).output().expect("runs");
    ended(output)
}

pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// The binary, away from what the caller's environment says.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A daemon as a process; ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) dns: SocketAddr,
    pub(crate) api: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let mut child = binary()
            .args(["serve", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                writer.lock().expect("whole").push(line);
            }
        });
        let find = |marker: &str| -> SocketAddr {
            let line = until("the address in the log", || {
                let lines = log.lock().expect("whole");
                lines.iter().find(|line| line.contains(marker)).cloned()
            });
            let rest = line.split(marker).nth(1).expect("after the marker");
            rest.split(' ').next().expect("a word").parse().expect("an address")
        };
        let api = find("API on http://");
        let dns = find("answering on ");
        Self { child, dns, api, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("whole").join("\n")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Asks it to end; how it did, and what the log said last.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        until("the daemon to end", || self.child.try_wait().expect("waits"))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        http(self.api, "GET", path, "")
    }

    /// The whole answer to octets that are posted.
    pub(crate) fn post(&self, path: &str, octets: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.api).expect("connected");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            octets.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(octets).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    pub(crate) fn status(&self) -> Status {
        let (code, body) = self.get("/v1/status");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("a status")
    }

    /// The value of a series, as `name{labels}`; `None` while there is none.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let (code, body) = self.get("/metrics");
        assert_eq!(code, 200);
        let line = body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().expect("a number"))
    }

    /// What a client of that network gets for `name`.
    pub(crate) fn ask(&self, name: &str, rtype: &str, client: &str) -> AnswerView {
        message::answer(&self.exchange(name, rtype, client)).expect("a message")
    }

    /// The text of the extended error (RFC 8914) with which that client gets an address.
    pub(crate) fn why(&self, name: &str, client: &str) -> Option<String> {
        use hickory_proto::rr::rdata::opt::EdnsOption;
        let packet = self.exchange(name, "A", client);
        let message = hickory_proto::op::Message::from_vec(&packet).expect("a message");
        let edns = message.edns.as_ref()?;
        edns.options().as_ref().iter().find_map(|(code, option)| match option {
            EdnsOption::Unknown(_, value) if u16::from(*code) == 15 => {
                Some(String::from_utf8_lossy(value.get(2..)?).into_owned())
            }
            _ => None,
        })
    }

    fn exchange(&self, name: &str, rtype: &str, client: &str) -> Vec<u8> {
        let name = name.parse().expect("a name");
        let question = message::question(
            7,
            &name,
            rtype.parse().expect("a type"),
            client.parse().expect("a client"),
        );
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.send_to(&question, self.dns).expect("sends");
        let mut answer = [0; 1500];
        let length = socket.recv(&mut answer).expect("an answer");
        answer[..length].to_vec()
    }

    /// The address `www.example.org` has for a client of that network.
    pub(crate) fn www(&self, client: &str) -> String {
        let answer = self.ask("www.example.org.", "A", client).answer;
        let line = answer.first().cloned().unwrap_or_default();
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Runs a command against this daemon.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        run(&[args, &["--api", &self.api.to_string()]].concat())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already where the test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log\n{}", self.log());
        }
    }
}

/// Looks until there is something to see.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Looks until it is so.
pub(crate) fn until_so(what: &str, look: impl Fn() -> bool) {
    until(what, || look().then_some(()));
}

/// One HTTP request; status and body.
pub(crate) fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (code, body.to_owned())
}

/// An HTTP server that says 200, or 503 when told to fail.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    healthy: Arc<AtomicBool>,
}

impl Backend {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address");
        let healthy = Arc::new(AtomicBool::new(true));
        let serves = Arc::clone(&healthy);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let status = if serves.load(Ordering::SeqCst) { "200 OK" } else { "503 No" };
                // A client that leaves early is its own affair.
                let _ = respond(stream, status);
            }
        });
        Self { address, healthy }
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::SeqCst);
    }
}

fn respond(mut stream: TcpStream, status: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = [0; 2048];
    let mut length = 0;
    while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") && length < request.len() {
        match stream.read(&mut request[length..])? {
            0 => break,
            more => length += more,
        }
    }
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    stream.write_all(answer.as_bytes())
}
