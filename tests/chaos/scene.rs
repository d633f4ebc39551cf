//! The whole scene: three nodes that answer, five vantages that probe, three regions with two
//! tiers each, a cluster of three NATS servers between, and a machine with clients' addresses.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::dns::Asker;
use crate::lab::{Lab, Machine, PATIENCE, Program, until};
use crate::members::Death;
use crate::{haproxy, nats, nginx};

/// The zone that is delegated to Meridian.
pub const ZONE: &str = "gslb.example.org.";

/// Name and address.
pub const NODES: [(&str, &str); 3] =
    [("dns-1", "198.51.100.53"), ("dns-2", "198.51.100.54"), ("dns-3", "198.51.100.55")];

/// Name, address, and the group it votes in.
pub const VANTAGES: [(&str, &str, &str); 5] = [
    ("ams-1", "203.0.113.11", "eu"),
    ("lon-1", "203.0.113.12", "eu"),
    ("nyc-1", "203.0.113.21", "na"),
    ("sfo-1", "203.0.113.22", "na"),
    ("hkg-1", "203.0.113.31", "as"),
];

/// Name, VIP, and where it is.
pub const REGIONS: [(&str, &str, &str); 3] = [
    ("fra", "192.0.2.10", "{ location = [50.11, 8.68], country = \"DE\" }"),
    ("iad", "192.0.2.20", "{ location = [38.95, -77.45], country = \"US\" }"),
    ("sin", "192.0.2.30", "{ location = [1.35, 103.99], country = \"SG\" }"),
];

/// Where, the address, and the regions from near to far, by the country table in the binary.
pub const CLIENTS: [(&str, &str, [&str; 3]); 3] = [
    ("Falkenstein", "5.9.49.12", ["fra", "iad", "sin"]),
    ("Princeton", "128.112.136.1", ["iad", "fra", "sin"]),
    ("Singapore", "202.156.0.1", ["sin", "fra", "iad"]),
];

/// The NATS servers.
pub const SERVERS: [(&str, &str); 3] =
    [("bus-1", "198.51.100.61"), ("bus-2", "198.51.100.62"), ("bus-3", "198.51.100.63")];

/// How often members are asked, and how soon it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As it is where nothing is written.
    Default,
    /// The design's fast one.
    Fast,
}

/// What carries messages between vantages and nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A cluster of NATS servers.
    Nats,
    /// Nobody: everybody speaks to every node.
    Direct,
}

/// The port on which nodes hear each other and vantages on a direct bus.
const BUS_PORT: u16 = 8054;

/// Everything, running.
pub struct Scene {
    /// The network.
    pub lab: Lab,
    /// Whose addresses are those of [`CLIENTS`].
    pub clients: Machine,
    profile: Profile,
    carrier: Carrier,
    nodes: Vec<Part>,
    vantages: Vec<Part>,
    servers: Vec<Part>,
    regions: Vec<Region>,
    pki: PathBuf,
}

/// A machine with one program.
struct Part {
    machine: Machine,
    program: Option<Program>,
}

struct Region {
    machine: Machine,
    vip: IpAddr,
    haproxy: Option<Program>,
    nginx: Option<Program>,
}

/// Packets from some addresses to others, and back, that lead nowhere.
pub struct Cut {
    routes: Vec<(String, String)>,
}

impl Profile {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fast => "fast",
        }
    }

    const fn times(self) -> Times {
        let ms = Duration::from_millis;
        match self {
            Self::Default => Times {
                interval: ms(2000),
                fast: ms(500),
                timeout: ms(1500),
                fall: 3,
                report: ms(1000),
            },
            Self::Fast => Times {
                interval: ms(1000),
                fast: ms(250),
                timeout: ms(500),
                fall: 2,
                report: ms(250),
            },
        }
    }

    /// From death to the last node's changed answer at the most: the formula of docs/reliability.md,
    /// with a tenth of jitter on every pause.
    pub fn bound(self, how: Death) -> Duration {
        let times = self.times();
        let timeout = if how == Death::BlackHole { times.timeout } else { Duration::ZERO };
        let pause = |pause: Duration| pause.mul_f64(1.1) + timeout;
        pause(times.interval) + pause(times.fast) * (times.fall - 1) + times.report + TICK + SLACK
    }
}

struct Times {
    interval: Duration,
    fast: Duration,
    timeout: Duration,
    fall: u32,
    report: Duration,
}

/// How often a node's council sits.
const TICK: Duration = Duration::from_millis(200);
/// For two busy cores with everything on them.
const SLACK: Duration = Duration::from_millis(200);

impl Scene {
    /// Three regions, the nearest one that lives for everybody.
    pub fn world(carrier: Carrier) -> Self {
        let lab = Lab::new();
        let regions = REGIONS
            .iter()
            .map(|(name, vip, _)| {
                let vip = vip.parse().unwrap();
                Region { machine: lab.machine(name, &[vip]), vip, haproxy: None, nginx: None }
            })
            .collect();
        let pools: String = REGIONS
            .iter()
            .map(|(name, vip, _)| {
                format!(
                    "{name} = {{ region = \"{name}\", monitor = \"web\", members = [\"{vip}\"] }}\n"
                )
            })
            .collect();
        let names: Vec<&str> = REGIONS.iter().map(|region| region.0).collect();
        let policy = format!(
            "[pool]\n{pools}\n[record]\nwww = {{ policy = \"nearest\", pools = {names:?}, ttl = \"2s\" }}\n"
        );
        let vips = REGIONS.map(|region| region.1.parse().unwrap());
        let records = "www A 192.0.2.10\n";
        let kind = (Profile::Fast, carrier);
        let mut scene = Self::stand(lab, kind, &policy, records, &vips, regions);
        for region in 0..scene.regions.len() {
            scene.start_nginx(region);
            scene.start_region(region);
        }
        scene.wait_whole();
        scene
    }

    /// Records `r0`, `r1`, …: each has one of `members` and `spare` behind it.
    pub fn failover(profile: Profile, members: &[Ipv4Addr], spare: Ipv4Addr) -> Self {
        let (mut pools, mut records, mut zone) = (String::new(), String::new(), String::new());
        for (number, member) in members.iter().enumerate() {
            let region = REGIONS[number % 2].0;
            pools += &format!(
                "m{number} = {{ region = \"{region}\", monitor = \"web\", members = [\"{member}\"] }}\n"
            );
            records += &format!(
                "r{number} = {{ policy = \"failover\", pools = [\"m{number}\", \"spare\"], ttl = \"2s\" }}\n"
            );
            zone += &format!("r{number} A {member}\n");
        }
        let policy = format!(
            "[pool]\n{pools}spare = {{ region = \"sin\", monitor = \"web\", members = [\"{spare}\"] }}\n[record]\n{records}"
        );
        let targets: Vec<Ipv4Addr> = members.iter().copied().chain([spare]).collect();
        let kind = (profile, Carrier::Nats);
        Self::stand(Lab::new(), kind, &policy, &zone, &targets, Vec::new())
    }

    fn stand(
        lab: Lab,
        (profile, carrier): (Profile, Carrier),
        policy: &str,
        records: &str,
        targets: &[Ipv4Addr],
        regions: Vec<Region>,
    ) -> Self {
        let machine = |(name, address): &(&str, &str)| Part {
            machine: lab.machine(name, &[address.parse().unwrap()]),
            program: None,
        };
        let servers = if carrier == Carrier::Nats { &SERVERS[..] } else { &[] };
        let servers: Vec<Part> = servers.iter().map(machine).collect();
        let nodes: Vec<Part> = NODES.iter().map(machine).collect();
        let vantages = VANTAGES.map(|(name, address, _)| (name, address));
        let vantages: Vec<Part> = vantages.iter().map(machine).collect();
        let clients = lab.machine("clients", &CLIENTS.map(|client| client.1.parse().unwrap()));
        let pki = identities(&clients);
        let mut scene =
            Self { lab, clients, profile, carrier, nodes, vantages, servers, regions, pki };
        scene.write_vantages(targets);
        scene.write_nodes(policy, records);
        for server in 0..scene.servers.len() {
            scene.start_server(server);
        }
        for vantage in 0..scene.vantages.len() {
            scene.start_vantage(vantage);
        }
        for node in 0..scene.nodes.len() {
            scene.start_node(node);
        }
        scene
    }

    /// The settings of the bus, which nodes and vantages share but for their name.
    fn bus(&self, name: &str) -> String {
        let pki = self.pki.display();
        let how = match self.carrier {
            Carrier::Nats => {
                let server =
                    |(_, address): &(&str, &str)| format!("tls://{address}:{}", nats::PORT);
                let servers: Vec<String> = SERVERS.iter().map(server).collect();
                format!("kind = \"nats\"\nservers = [{servers:?}]\n")
            }
            Carrier::Direct => {
                let at = |address: &str| format!("\"{address}:{BUS_PORT}\"");
                let own = NODES.iter().find(|node| node.0 == name);
                let listen = own.map(|(_, address)| format!("listen = {}\n", at(address)));
                let nodes = NODES.map(|(name, address)| format!("{name} = {}", at(address)));
                let nodes = nodes.join(", ");
                format!("kind = \"direct\"\n{}nodes = {{ {nodes} }}\n", listen.unwrap_or_default())
            }
        };
        format!(
            "[bus]\n{how}certificate = \"{pki}/{name}.pem\"\n\
             key = \"{pki}/{name}.key\"\nauthority = \"{pki}/authority.pem\"\n"
        )
    }

    fn monitor(&self) -> String {
        let Times { interval, fast, timeout, fall, .. } = self.profile.times();
        format!(
            "[monitor.web]\ntype = \"http\"\npath = \"/readyz\"\ninterval = \"{}ms\"\n\
             fast_interval = \"{}ms\"\ntimeout = \"{}ms\"\nfall = {fall}\nrise = 2\n",
            interval.as_millis(),
            fast.as_millis(),
            timeout.as_millis()
        )
    }

    /// Vantages of Asia ask the nodes what to probe; the others have it in their files.
    fn write_vantages(&self, targets: &[Ipv4Addr]) {
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let own = format!("{}[[check]]\nmonitor = \"web\"\ntarget = {targets:?}\n", self.monitor());
        let nodes = NODES.map(|(name, _)| format!("{name} = {}\n", self.public_key(name)));
        let asked = format!("[nodes]\n{}", nodes.concat());
        for ((name, _, group), part) in VANTAGES.iter().zip(&self.vantages) {
            let what = if *group == "as" { &asked } else { &own };
            let (pki, period) = (self.pki.display(), self.profile.times().report.as_millis());
            part.machine.write(
                "probe.toml",
                &format!(
                    "name = \"{name}\"\nkey = \"{pki}/{name}.seal\"\nmetrics = \"off\"\n\
                     period = \"{period}ms\"\n{}{what}",
                    self.bus(name),
                ),
            );
        }
    }

    /// The public half of somebody's key, as it is written in files.
    fn public_key(&self, name: &str) -> String {
        let line = fs::read_to_string(self.pki.join(format!("{name}.public"))).unwrap();
        line.trim().strip_prefix("key = ").expect("a line for a file").to_owned()
    }

    fn write_nodes(&self, policy: &str, records: &str) {
        let regions: String =
            REGIONS.iter().map(|(name, _, at)| format!("{name} = {at}\n")).collect();
        let vantages: String = VANTAGES
            .iter()
            .map(|(name, _, group)| {
                let key = self.public_key(name);
                format!("[vantage.{name}]\nkey = {key}\ngroup = \"{group}\"\n")
            })
            .collect();
        for ((name, address), part) in NODES.iter().zip(&self.nodes) {
            let write =
                |path: &str, text: &str| part.machine.write(&format!("meridian/{path}"), text);
            write(
                "meridian.toml",
                &format!(
                    "listen = [\"{address}:53\"]\napi = \"127.0.0.1:8053\"\n{}{vantages}\
                     [node]\nkey = \"{}/{name}.seal\"\n",
                    self.bus(name),
                    self.pki.display(),
                ),
            );
            write("probes/monitors.toml", &self.monitor());
            write("geo/regions.toml", &format!("[region]\n{regions}"));
            write("zones/gslb.example.org.toml", policy);
            write(
                "zones/gslb.example.org.zone",
                &format!(
                    "$TTL 60\n@ SOA ns1 ops.example.org. 1 3600 600 86400 5\n@ NS ns1\nns1 A {address}\n{records}"
                ),
            );
        }
    }
}

/// Certificates and keys for everybody, in a folder that all machines see.
fn identities(machine: &Machine) -> PathBuf {
    let folder = machine.dir().join("pki");
    let pki = folder.to_str().unwrap();
    let meridian = |arguments: &[&str]| {
        let output = machine.command(&[&[&*binary()], arguments].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "meridian {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    meridian(&["pki", "init", pki]);
    let nodes = NODES.map(|(name, _)| (name, "--node"));
    let vantages = VANTAGES.map(|(name, ..)| (name, "--vantage"));
    for (name, role) in nodes.into_iter().chain(vantages) {
        meridian(&["pki", "issue", pki, name, role]);
        let public = meridian(&["key", "generate", &format!("{pki}/{name}.seal")]);
        fs::write(folder.join(format!("{name}.public")), public).unwrap();
    }
    for (name, address) in SERVERS {
        meridian(&["pki", "issue", pki, name, "--broker", "--host", address]);
    }
    folder
}

/// The binary under test: `MERIDIAN_BIN`, else the one built with this test.
fn binary() -> String {
    std::env::var("MERIDIAN_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_meridian").to_owned())
}

// --- Who lives -------------------------------------------------------------------------------

impl Scene {
    /// Ends a vantage's agent as `kill -9` does.
    pub fn kill_vantage(&mut self, vantage: usize) {
        self.vantages[vantage].program = None;
    }

    /// Starts a vantage's agent.
    pub fn start_vantage(&mut self, vantage: usize) {
        self.vantages[vantage].start("agent", &[&binary(), "probe", "--config", "probe.toml"]);
    }

    /// Ends a NATS server as `kill -9` does.
    pub fn kill_server(&mut self, server: usize) {
        self.servers[server].program = None;
    }

    /// Starts a NATS server.
    pub fn start_server(&mut self, server: usize) {
        let (name, address) = SERVERS[server];
        let part = &mut self.servers[server];
        part.program = Some(nats::start(&part.machine, name, address, self.pki.to_str().unwrap()));
    }

    /// Sends a NATS server a signal.
    pub fn signal_server(&self, server: usize, signal: Signal) {
        self.servers[server].program.as_ref().expect("it runs").signal(signal);
    }

    /// Ends a node as `kill -9` does.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].program = None;
    }

    /// Starts a node; it need not answer yet.
    pub fn start_node(&mut self, node: usize) {
        self.nodes[node].start("meridian", &[&binary(), "serve", "--config", "meridian"]);
    }

    /// Removes all that a node remembers.
    pub fn forget(&self, node: usize) {
        fs::remove_dir_all(self.nodes[node].machine.dir().join("meridian/state")).unwrap();
    }

    /// Ends a region's L4 tier as `kill -9` does.
    pub fn kill_region(&mut self, region: usize) {
        self.regions[region].haproxy = None;
    }

    /// Starts a region's L4 tier.
    pub fn start_region(&mut self, region: usize) {
        let region = &mut self.regions[region];
        region.haproxy = Some(haproxy::start(&region.machine, region.vip));
    }

    /// Ends a region's L7 tier as `kill -9` does; the L4 tier before it lives on.
    pub fn kill_nginx(&mut self, region: usize) {
        self.regions[region].nginx = None;
    }

    /// Starts a region's L7 tier.
    pub fn start_nginx(&mut self, region: usize) {
        let (name, ..) = REGIONS[region];
        let region = &mut self.regions[region];
        region.nginx = Some(nginx::start(&region.machine, name));
    }

    /// Ends nodes, vantages and NATS servers, all at once.
    pub fn kill_everything(&mut self) {
        for part in self.nodes.iter_mut().chain(&mut self.vantages).chain(&mut self.servers) {
            part.program = None;
        }
    }

    /// Starts nodes, vantages and NATS servers, all at once.
    pub fn start_everything(&mut self) {
        (0..NODES.len()).for_each(|node| self.start_node(node));
        (0..VANTAGES.len()).for_each(|vantage| self.start_vantage(vantage));
        (0..self.servers.len()).for_each(|server| self.start_server(server));
    }

    /// Lets nothing pass between `some` and `others`, either way; nobody is told.
    pub fn cut(&self, some: &[&str], others: &[&str]) -> Cut {
        let mut routes = Vec::new();
        for one in some {
            for other in others {
                routes.push(((*one).to_owned(), (*other).to_owned()));
                routes.push(((*other).to_owned(), (*one).to_owned()));
            }
        }
        for (at, to) in &routes {
            self.at(at).run(&["ip", "route", "add", "blackhole", &format!("{to}/32")]);
        }
        Cut { routes }
    }

    /// Lets everything pass again.
    pub fn mend(&self, cut: Cut) {
        for (at, to) in cut.routes {
            self.at(&at).run(&["ip", "route", "del", "blackhole", &format!("{to}/32")]);
        }
    }

    fn at(&self, address: &str) -> &Machine {
        let known = NODES.iter().map(|known| known.1).zip(&self.nodes);
        let known = known.chain(VANTAGES.iter().map(|known| known.1).zip(&self.vantages));
        let known = known.chain(SERVERS.iter().map(|known| known.1).zip(&self.servers));
        let part = known.into_iter().find(|(of, _)| *of == address).map(|(_, part)| &part.machine);
        let regions = REGIONS.iter().map(|known| known.1).zip(&self.regions);
        let mut regions = regions.map(|(of, region)| (of, &region.machine));
        part.or_else(|| regions.find(|(of, _)| *of == address).map(|(_, machine)| machine))
            .expect("somebody has this address")
    }
}

// --- What is waited for ----------------------------------------------------------------------

impl Scene {
    /// From a region's death to the last right answer.
    pub fn budget(&self) -> Duration {
        // Coming back takes no longer: as many successes as a death takes failures.
        self.profile.bound(Death::BlackHole)
    }

    /// A client of one node.
    pub fn client(&self, client: usize, node: &str) -> Asker {
        let server = SocketAddr::new(node.parse().unwrap(), 53);
        Asker::new(&self.clients, CLIENTS[client].1.parse().unwrap(), server)
    }

    /// The first client, with little patience.
    pub fn asker(&self, server: &str) -> Asker {
        self.client(0, server).patience(Duration::from_millis(100))
    }

    /// Waits until every node hears of every vantage, and all pools are up.
    pub fn wait_whole(&mut self) {
        self.wait("everything is up", |pools, vantages| {
            pools.iter().all(|pool| verdict(pool) == "up") && vantages == VANTAGES.len()
        });
    }

    /// Waits until all members are up.
    pub fn wait_up(&mut self) {
        self.wait("members are up", |pools, _| pools.iter().all(|pool| verdict(pool) == "up"));
    }

    /// Waits until a region is down for every node.
    pub fn wait_dead(&mut self, region: usize) {
        let name = REGIONS[region].0;
        self.wait(&format!("{name} is down"), |pools, _| {
            pools.iter().any(|pool| pool["pool"] == name && verdict(pool) == "down")
        });
    }

    /// Waits until a node has written down that a region is down: within a second of concluding so.
    pub fn wait_noted(&self, node: usize, region: usize) {
        let file = self.nodes[node].machine.dir().join("meridian/state/health.json");
        let vip = format!("@{}:", REGIONS[region].1);
        until(PATIENCE, "the death is written down", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let noted: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            let mut checks = noted["checks"].as_object().into_iter().flatten();
            checks.any(|(key, check)| key.contains(&vip) && check["belief"] == "down")
        });
    }

    fn wait(&mut self, what: &str, holds: impl Fn(&[Value], usize) -> bool) {
        for node in &mut self.nodes {
            let mut last = Value::Null;
            let reached = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                until(PATIENCE * 2, what, || {
                    node.program.as_mut().expect("it runs").assert_alive();
                    last = node.status();
                    let pools = last["status"]["pools"].as_array().cloned().unwrap_or_default();
                    let vantages = last["health"]["vantages"].as_array().map_or(0, |all| {
                        all.iter().filter(|vantage| vantage["state"] == "votes").count()
                    });
                    !pools.is_empty() && holds(&pools, vantages)
                });
            }));
            if let Err(panic) = reached {
                eprintln!("last seen: {last:#}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn verdict(pool: &Value) -> &str {
    pool["families"][0]["verdict"].as_str().unwrap_or_default()
}

impl Part {
    fn start(&mut self, name: &str, command: &[&str]) {
        self.program = Some(self.machine.start(name, command));
    }

    fn status(&self) -> Value {
        let said = |command| {
            let text = self.machine.run(&[&binary(), command, "--json", "--config", "meridian"]);
            serde_json::from_str(&text).unwrap_or(Value::Null)
        };
        serde_json::json!({ "status": said("status"), "health": said("health") })
    }
}
