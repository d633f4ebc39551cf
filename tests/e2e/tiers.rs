//! What real tiers say of themselves is understood: HAProxy's statistics and its Prometheus
//! exporter, nginx's status page, and the agent's line as HAProxy itself reads it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http;
use crate::lab::{Lab, Machine, PATIENCE, Program, until};
use crate::meridian::{Geo, Meridian};

const TIER: &str = "192.0.2.10";
const NODE: &str = "198.51.100.53";
/// Sessions that HAProxy may have, and those that are held open.
const LIMIT: usize = 200;
const SESSIONS: usize = 50;
/// Connections that nginx may have, and those that are held open.
const NGINX_LIMIT: usize = 40;
const CONNECTIONS: usize = 9;

/// A region with HAProxy for HTTP, its statistics, and nginx, both with pages of their own.
struct Tier {
    machine: Machine,
    haproxy: Program,
    _nginx: Program,
    /// What the agent of the tier says just now.
    says: Arc<Mutex<&'static str>>,
}

impl Tier {
    fn new(lab: &Lab) -> Self {
        let machine = lab.machine("tier", &[TIER.parse().unwrap()]);
        // A server that takes requests and never answers them, and the agent beside it.
        let silent = machine.inside(|| TcpListener::bind("127.0.0.1:9000").unwrap());
        thread::spawn(move || silent.incoming().flatten().collect::<Vec<TcpStream>>());
        let says = Arc::new(Mutex::new("up ready 100%"));
        let agent =
            machine.inside(|| TcpListener::bind(SocketAddr::new(TIER.parse().unwrap(), 7000)));
        let (agent, told) = (agent.unwrap(), Arc::clone(&says));
        thread::spawn(move || {
            for mut stream in agent.incoming().flatten() {
                writeln!(stream, "{}", told.lock().unwrap()).ok();
            }
        });
        let nginx = nginx(&machine);
        let haproxy = haproxy(&machine);
        until(PATIENCE, "the tier serves", || page(&machine, 8404, "/metrics").is_ok());
        until(PATIENCE, "nginx serves", || page(&machine, 8081, "/status").is_ok());
        Self { machine, haproxy, _nginx: nginx, says }
    }

    /// What HAProxy itself believes of the server that its agent speaks for: status and weight.
    fn haproxy_believes(&self) -> (String, u32) {
        let mut socket = UnixStream::connect(self.machine.dir().join("haproxy/socket")).unwrap();
        socket.write_all(b"show stat\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap().trim_start_matches("# ").split(',').collect();
        let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
        let row = lines.map(|line| line.split(',').collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row[0] == "agents" && row[1] == "s1").unwrap();
        (row[place("status")].to_owned(), row[place("weight")].parse().unwrap())
    }

    fn says(&self, line: &'static str) {
        *self.says.lock().unwrap() = line;
    }

    /// Opens a connection to a port here, and asks for nothing but `/` where `asks`.
    fn connect(&self, port: u16, asks: bool) -> TcpStream {
        let address = SocketAddr::new(TIER.parse().unwrap(), port);
        let mut stream = self.machine.inside(|| TcpStream::connect(address).unwrap());
        if asks {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: tier\r\n\r\n").unwrap();
        }
        stream
    }
}

fn page(machine: &Machine, port: u16, path: &str) -> Result<String, String> {
    let tier: IpAddr = TIER.parse().unwrap();
    http::get(machine, tier, SocketAddr::new(tier, port), path)
}

fn haproxy(machine: &Machine) -> Program {
    let socket = machine.dir().join("haproxy/socket");
    let configuration = machine.write(
        "haproxy/haproxy.cfg",
        &format!(
            "global\n    maxconn 1000\n    stats socket {} level admin\n\
             defaults\n    mode http\n    timeout connect 1s\n    timeout client 60s\n    \
             timeout server 60s\n    timeout client-fin 1s\n    timeout server-fin 1s\n\
             frontend in\n    bind {TIER}:80\n    use_backend broken if {{ path /broken }}\n    \
             default_backend web\n\
             backend web\n    fullconn {LIMIT}\n    option abortonclose\n    server s1 127.0.0.1:9000\n    \
             server s2 127.0.0.1:9001 disabled\n\
             backend broken\n    http-request return status 503 content-type text/plain string no\n\
             backend agents\n    server s1 127.0.0.1:9000 weight 100 check agent-check agent-addr {TIER} \
             agent-port 7000 agent-inter 100ms\n\
             frontend told\n    bind {TIER}:8404\n    stats enable\n    stats uri /stats\n    \
             http-request use-service prometheus-exporter if {{ path /metrics }}\n",
            socket.display(),
        ),
    );
    machine.start("haproxy", &["haproxy", "-db", "-f", configuration.to_str().unwrap()])
}

fn nginx(machine: &Machine) -> Program {
    let dir = machine.dir().join("nginx");
    let dir = dir.to_str().unwrap();
    let configuration = machine.write(
        "nginx/nginx.conf",
        &format!(
            "daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
               access_log off; default_type text/plain; client_header_timeout 60s;\n\
               client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
               fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
               server {{ listen {TIER}:8081; location = /status {{ stub_status; }} }}\n\
             }}\n"
        ),
    );
    machine.start(
        "nginx",
        &["nginx", "-e", "stderr", "-p", dir, "-c", configuration.to_str().unwrap()],
    )
}

/// A node with one pool for each way to hear of the tier's load, and one for its agent.
fn node(lab: &Lab) -> Meridian {
    let times = "interval = \"500ms\", fast_interval = \"100ms\", timeout = \"400ms\"";
    let prometheus = r#"{ from = "prometheus", load = 'haproxy_backend_current_sessions{proxy="web"}',
         limit = 'haproxy_backend_limit_sessions{proxy="web"}',
         requests = 'haproxy_backend_http_responses_total{proxy="broken"}',
         errors = 'haproxy_backend_http_responses_total{proxy="broken",code="5xx"}' }"#;
    let prometheus = prometheus.split_whitespace().collect::<Vec<_>>().join(" ");
    let pools = [
        (
            "csv",
            8404,
            "/stats;csv",
            format!("{{ from = \"haproxy\", proxy = \"web\", limit = {LIMIT} }}"),
        ),
        (
            "broken",
            8404,
            "/stats;csv",
            format!("{{ from = \"haproxy\", proxy = \"broken\", limit = {LIMIT} }}"),
        ),
        ("prometheus", 8404, "/metrics", prometheus),
        ("nginx", 8081, "/status", format!("{{ from = \"nginx\", limit = {NGINX_LIMIT} }}")),
    ];
    let mut policy = String::new();
    for (number, (name, port, path, load)) in pools.iter().enumerate() {
        policy += &format!(
            "[pool.{name}]\nregion = \"fra\"\nmembers = [\"192.0.2.{}\"]\n\
             monitor = {{ type = \"http\", target = \"{TIER}:{port}\", path = \"{path}\", {times}, \
             load = {load} }}\ncapacity = {{ queries = 1000, load = \"probe\" }}\n",
            100 + number
        );
    }
    policy += &format!(
        "[pool.agent]\nregion = \"fra\"\nmembers = [\"192.0.2.99\"]\n\
         monitor = {{ type = \"agent\", port = 7000, target = \"{TIER}:7000\", {times}, fall = 1, rise = 1 }}\n\
         [record.\"www\"]\npolicy = \"weighted\"\npools = [\"csv\", \"broken\", \"prometheus\", \"nginx\", \"agent\"]\n"
    );
    let files = [
        ("geo/regions.toml", "[region.fra]\nlocation = [50.11, 8.68]\n".to_owned()),
        ("zones/example.org.toml", policy),
        (
            "zones/example.org.zone",
            format!(
                "$TTL 60\n@ SOA ns1 ops 1 3600 600 86400 5\n@ NS ns1\nns1 A {NODE}\nwww A 192.0.2.10\n"
            ),
        ),
    ];
    let address: IpAddr = NODE.parse().unwrap();
    Meridian::start(lab.machine("node", &[address]), address, Geo::Embedded, &files)
}

/// What a pool is said to carry, in per cent: load and errors.
fn carries(node: &Meridian, pool: &str) -> (Option<f64>, Option<f64>) {
    let status = node.status();
    let pool = status.capacity.iter().find(|view| view.pool == pool).expect("a pool");
    let percent = |part: f64| (part * 1000.0).round() / 10.0;
    (pool.load.map(percent), pool.errors.map(percent))
}

#[test]
fn real_tiers_say_how_busy_they_are() {
    let lab = Lab::new();
    let mut tier = Tier::new(&lab);
    let node = node(&lab);
    for pool in ["csv", "prometheus"] {
        until(PATIENCE, &format!("{pool} is idle"), || carries(&node, pool).0 == Some(0.0));
    }
    let requests: Vec<TcpStream> = (0..SESSIONS).map(|_| tier.connect(80, true)).collect();
    let idle: Vec<TcpStream> = (0..CONNECTIONS).map(|_| tier.connect(8081, false)).collect();
    let quarter = Some(100.0 * SESSIONS as f64 / LIMIT as f64);
    for pool in ["csv", "prometheus"] {
        until(PATIENCE, &format!("{pool} tells of {SESSIONS} sessions"), || {
            tier.haproxy.assert_alive();
            carries(&node, pool).0 == quarter
        });
    }
    // The probe is a connection too.
    let active = Some(100.0 * (CONNECTIONS + 1) as f64 / NGINX_LIMIT as f64);
    until(PATIENCE, "nginx tells of its connections", || carries(&node, "nginx").0 == active);
    println!(
        "HAProxy with {SESSIONS} of {LIMIT} sessions, nginx with {} of {NGINX_LIMIT}: told so",
        CONNECTIONS + 1
    );

    // Errors are what counters have grown by.
    for pool in ["broken", "prometheus"] {
        until(PATIENCE, &format!("{pool} tells of errors"), || {
            page(&tier.machine, 80, "/broken").expect_err("it is broken");
            carries(&node, pool).1 == Some(100.0)
        });
    }
    drop((requests, idle));
}

#[test]
fn an_agents_line_means_what_it_means_to_haproxy() {
    let lab = Lab::new();
    let tier = Tier::new(&lab);
    let node = node(&lab);
    node.wait_verdict("agent", "up", PATIENCE);
    for (line, status, weight, verdict) in [
        ("drain", "DRAIN (agent)", 0, "draining"),
        ("ready 40%", "UP", 40, "degraded"),
        ("maint", "MAINT", 40, "maintenance"),
        ("ready up 100%", "UP", 100, "up"),
        ("down #disk", "DOWN (agent)", 100, "down"),
        ("up 100%", "UP", 100, "up"),
    ] {
        tier.says(line);
        let mut believed = (String::new(), 0);
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(PATIENCE, &format!("HAProxy takes '{line}' for {status} {weight}"), || {
                believed = tier.haproxy_believes();
                believed.0 == status && (status != "UP" || believed.1 == weight)
            });
        }));
        assert!(judged.is_ok(), "'{line}': {believed:?}");
        let took = node.wait_verdict("agent", verdict, PATIENCE);
        println!("agent says '{line}': HAProxy {status}, Meridian {verdict} {took:.1?} later");
    }
}
