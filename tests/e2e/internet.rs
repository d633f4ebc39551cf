//! The whole scene: a root and parent zone, Meridian below it, three regions, a resolver, and
//! clients everywhere in the world.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::dns::Asker;
use crate::lab::{Lab, Machine, PATIENCE, Program, until};
use crate::meridian::{Geo, Meridian};
use crate::unbound::CLOCK_GRAIN_S;
use crate::watch::Watch;
use crate::world::{Atlas, PLACES, Place, REGIONS, regions_toml};
use crate::{bind, haproxy, http, knot, nginx, unbound, world};

/// The zone that is delegated to Meridian.
pub const ZONE: &str = "gslb.example.org.";

const PARENT: &str = "198.51.100.2";
const RESOLVER: &str = "198.51.100.9";
const MERIDIAN: &str = "198.51.100.53";
const SIN_DNS: &str = "198.51.100.130";

/// TTL of steered answers in seconds.
const TTL: u32 = 2;
/// The monitors' settings, as written into the files below.
const INTERVAL: Duration = Duration::from_millis(1000);
const FAST_INTERVAL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(500);
const FALL: u32 = 2;
const RISE: u32 = 2;
/// Probes are spread by up to this share of their interval.
const JITTER: f64 = 1.1;

/// Everything, running.
pub struct Internet {
    /// The subject.
    pub meridian: Meridian,
    /// `fra`, `iad`, `sin`.
    pub regions: Vec<LiveRegion>,
    /// One machine with the addresses of all places.
    pub clients: Machine,
    /// What the city data says.
    pub atlas: Atlas,
    _parent: Program,
    _resolver: Program,
    _servers: Vec<Machine>,
    _lab: Lab,
}

/// A region with both tiers of balancers, and its own name server.
pub struct LiveRegion {
    /// Name, position and address.
    pub region: world::Region,
    machine: Machine,
    haproxy: Option<Program>,
    nginx: Option<Program>,
    knot: Option<Program>,
}

impl Internet {
    /// Builds it, and waits until every part does its work.
    pub fn new(geo: Geo) -> Self {
        let lab = Lab::new();
        let regions: Vec<LiveRegion> =
            REGIONS[..3].iter().map(|r| LiveRegion::new(&lab, *r)).collect();
        let clients = lab.machine("clients", &PLACES.map(|place| place.address()));
        let parent = lab.machine("parent", &[address(PARENT)]);
        let parent_program = bind::start(&parent, address(PARENT), &parent_zones());
        let resolver = lab.machine("resolver", &[address(RESOLVER)]);
        let resolver_program =
            unbound::start(&resolver, address(RESOLVER), address(PARENT), address(MERIDIAN));
        let meridian = lab.machine("meridian", &[address(MERIDIAN)]);
        let meridian = Meridian::start(meridian, address(MERIDIAN), geo, &files());
        let internet = Self {
            meridian,
            regions,
            clients,
            atlas: Atlas::open(),
            _parent: parent_program,
            _resolver: resolver_program,
            _servers: vec![parent, resolver],
            _lab: lab,
        };
        internet.wait_whole();
        internet
    }

    /// Clients with IPv4 addresses: those that can reach the resolver.
    pub fn places(&self) -> impl Iterator<Item = &'static Place> {
        PLACES.iter().filter(|place| place.address().is_ipv4())
    }

    /// A region by name.
    pub fn region(&mut self, name: &str) -> &mut LiveRegion {
        self.regions.iter_mut().find(|region| region.region.name == name).unwrap()
    }

    /// The nearest region to `client` that is not among `down`, by the city data.
    pub fn nearest(&self, client: IpAddr, down: &[&str]) -> world::Region {
        let order = self.atlas.order(&REGIONS[..3], client).expect("the place is known");
        let left = order.iter().find(|region| !down.contains(&region.name));
        *left.expect("a region is left")
    }

    /// Clients at every place, who ask for `name` at the resolver until the watch is finished.
    pub fn watch_resolver(&self, name: &str) -> Watch {
        self.watch(name, |client| self.client_of_resolver(client))
    }

    /// The same at Meridian itself, so that no cache stands between.
    pub fn watch_meridian(&self, name: &str) -> Watch {
        self.watch(name, |client| self.client_of_meridian(client))
    }

    fn watch(&self, name: &str, asker: impl Fn(IpAddr) -> Asker) -> Watch {
        let clients = self.places().map(Place::address);
        Watch::start(
            &format!("{name}.{ZONE}"),
            clients.map(|client| (client, asker(client))).collect(),
        )
    }

    /// A client that asks the resolver, as clients do.
    pub fn client_of_resolver(&self, client: IpAddr) -> Asker {
        Asker::new(&self.clients, client, SocketAddr::new(address(RESOLVER), 53))
    }

    /// A client that asks Meridian itself.
    pub fn client_of_meridian(&self, client: IpAddr) -> Asker {
        Asker::new(&self.clients, client, self.meridian.address)
    }

    /// Asks for a page at the region with this VIP and returns the region that served it.
    pub fn page(&self, client: IpAddr, vip: IpAddr) -> Result<String, String> {
        let page = http::get(&self.clients, client, SocketAddr::new(vip, 80), "/")?;
        Ok(page.trim().to_owned())
    }

    fn wait_whole(&self) {
        for region in &self.regions {
            let vip = region.region.vip();
            until(PATIENCE, &format!("{} serves", region.region.name), || {
                self.page(PLACES[0].address(), vip).is_ok()
            });
        }
        let asker = self.client_of_resolver(PLACES[0].address());
        until(PATIENCE, "the resolver resolves through the parent", || {
            asker.ask(&format!("static.{ZONE}")).is_some_and(|reply| !reply.addresses.is_empty())
        });
        for pool in ["fra", "iad", "sin"] {
            self.meridian.wait_verdict(pool, "up", PATIENCE);
        }
    }
}

impl LiveRegion {
    fn new(lab: &Lab, region: world::Region) -> Self {
        let mut addresses = vec![region.vip()];
        if region.name == "sin" {
            addresses.push(address(SIN_DNS));
        }
        let machine = lab.machine(region.name, &addresses);
        let mut region = Self { region, machine, haproxy: None, nginx: None, knot: None };
        region.start_nginx();
        region.start_haproxy();
        if region.region.name == "sin" {
            region.start_knot();
        }
        region
    }

    /// Kills the L4 tier as `kill -9` does.
    pub fn kill_haproxy(&mut self) {
        self.haproxy = None;
    }

    /// Starts the L4 tier.
    pub fn start_haproxy(&mut self) {
        self.haproxy = Some(haproxy::start(&self.machine, self.region.vip()));
    }

    /// Ends the L7 tier.
    pub fn kill_nginx(&mut self) {
        self.nginx = None;
    }

    /// Starts the L7 tier.
    pub fn start_nginx(&mut self) {
        self.nginx = Some(nginx::start(&self.machine, self.region.name));
    }

    /// Ends the region's own name server.
    pub fn kill_knot(&mut self) {
        self.knot = None;
    }

    /// Cuts its wire: nothing is refused, nothing comes back.
    pub fn cut_off(&self) {
        self.machine.run(&["ip", "link", "set", "wire", "down"]);
    }

    /// Starts the region's own name server.
    pub fn start_knot(&mut self) {
        let records = format!(
            "@ SOA ns1.sin.{ZONE} ops.example.org. 1 3600 600 86400 {TTL}\n@ NS ns1.sin.{ZONE}\n@ A {}\n",
            self.region.vip
        );
        let zone = format!("app.{ZONE}");
        self.knot = Some(knot::start(&self.machine, address(SIN_DNS), &zone, TTL, &records));
    }
}

/// Longest time from a region's death until Meridian answers another: the last probe may have
/// succeeded just before, the next one may wait for its whole timeout, and so may those that
/// follow it at the fast interval.
pub fn detection_budget() -> Duration {
    INTERVAL.mul_f64(JITTER) + TIMEOUT + (FAST_INTERVAL.mul_f64(JITTER) + TIMEOUT) * (FALL - 1)
}

/// Longest time until a resolver's clients get another: what it has cached must end as well.
pub fn failover_budget() -> Duration {
    detection_budget() + Duration::from_secs((TTL + CLOCK_GRAIN_S).into())
}

/// Longest time from a region's return until a resolver's clients get it again, when it fell for
/// the first time in a long while: each further fall doubles the successes it takes.
pub fn return_budget() -> Duration {
    INTERVAL.mul_f64(JITTER)
        + TIMEOUT
        + (FAST_INTERVAL.mul_f64(JITTER) + TIMEOUT) * (RISE - 1)
        + Duration::from_secs((TTL + CLOCK_GRAIN_S).into())
}

/// The root knows the parent; the parent delegates a subdomain to Meridian; a neighbour's zone
/// names a regional balancer.
fn parent_zones() -> [(&'static str, String); 3] {
    [
        (
            ".",
            format!(
                "ns.parent.test. A {PARENT}\nexample.org. NS ns.parent.test.\nexample.net. NS ns.parent.test.\n"
            ),
        ),
        ("example.org", format!("gslb NS ns1.gslb\nns1.gslb A {MERIDIAN}\n")),
        ("example.net", format!("lb.iad A {}\n", REGIONS[1].vip)),
    ]
}

/// The operator's files.
fn files() -> [(&'static str, String); 4] {
    let [fra, iad, sin, ..] = REGIONS.map(|region| region.vip);
    let (interval, fast, timeout) =
        (INTERVAL.as_millis(), FAST_INTERVAL.as_millis(), TIMEOUT.as_millis());
    let times = [
        format!("interval = \"{interval}ms\""),
        format!("fast_interval = \"{fast}ms\""),
        format!("timeout = \"{timeout}ms\""),
        format!("fall = {FALL}"),
        format!("rise = {RISE}"),
    ];
    let (lines, inline) = (times.join("\n"), times.join(", "));
    let monitors = format!(
        r#"
[monitor.web]
type   = "http"
path   = "/readyz"
host   = "www.example.org"
expect = {{ status = "200", body = "ok" }}
{lines}
[monitor.open]
type = "tcp"
port = 80
{lines}
"#
    );
    let zone = format!(
        r"
$TTL 60
@       SOA ns1 ops.example.org. 1 3600 600 86400 5
@       NS  ns1
ns1     A   {MERIDIAN}
ns1.sin A   {SIN_DNS}
static  A   203.0.113.1
www     A   {fra}
raw     A   {fra}
edge    A   {fra}
"
    );
    let policy = format!(
        r#"
[pool]
fra      = {{ region = "fra", monitor = "web", members = ["{fra}"] }}
iad      = {{ region = "iad", monitor = "web", members = ["{iad}"] }}
sin      = {{ region = "sin", monitor = "web", members = ["{sin}"] }}
fra-open = {{ region = "fra", monitor = "open", members = ["{fra}"] }}
iad-open = {{ region = "iad", monitor = "open", members = ["{iad}"] }}
sin-open = {{ region = "sin", monitor = "open", members = ["{sin}"] }}
[pool.iad-name]
region  = "iad"
cname   = "lb.iad.example.net."
monitor = {{ type = "http", target = "{iad}:80", path = "/readyz", {inline} }}
[pool.sin-dns]
region   = "sin"
delegate = [{{ ns = "ns1.sin.{ZONE}", addresses = ["{SIN_DNS}"] }}]
monitor  = {{ type = "tcp", target = "{SIN_DNS}:53", {inline} }}

[record]
www  = {{ policy = "nearest", pools = ["fra", "iad", "sin"], ttl = "{TTL}s" }}
raw  = {{ policy = "nearest", pools = ["fra-open", "iad-open", "sin-open"], ttl = "{TTL}s" }}
edge = {{ policy = "failover", pools = ["iad-name", "fra"], ttl = "{TTL}s" }}
app  = {{ policy = "failover", pools = ["sin-dns", "fra"], ttl = "{TTL}s" }}
"#
    );
    [
        ("geo/regions.toml", regions_toml(&REGIONS[..3])),
        ("probes/monitors.toml", monitors),
        ("zones/gslb.example.org.zone", zone),
        ("zones/gslb.example.org.toml", policy),
    ]
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
