//! A zone as the world sees it: a root with the addresses that every resolver knows, a top-level
//! domain, and below it Meridian with two names, in two networks and both families.

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;

use crate::lab::{Lab, Machine, PATIENCE, Program, until};
use crate::meridian::{Geo, Meridian};

/// The delegated zone.
pub const ZONE: &str = "example.org";

/// A zone that is delegated to Meridian and that Meridian does not have.
pub const LAME: &str = "lame.org";

/// What the zone's name servers are called, and their addresses. They are somebody's in the
/// world outside, which the lab cannot reach: those that are nobody's are a fault of the zone.
pub const SERVERS: [(&str, [&str; 2]); 2] =
    [("ns1", ["185.12.64.53", "2a01:4f8::53"]), ("ns2", ["91.198.174.53", "2620:0:860::53"])];

/// What the world is told of the networks of the name servers: under which zone of the lookup
/// service, autonomous system, labels the reversed addresses end in, network.
const NETWORKS: [(&str, u32, &str, &str); 4] = [
    ("origin", 64_500, "12.185", "185.12.64.0/24"),
    ("origin6", 64_500, "8.f.4.0.1.0.a.2", "2a01:4f8::/32"),
    ("origin", 64_501, "198.91", "91.198.174.0/24"),
    ("origin6", 64_501, "0.0.0.0.0.2.6.2", "2620::/48"),
];

/// Where clients and resolvers are.
pub const CLIENT: &str = "192.0.2.9";
pub const CLIENT_V6: &str = "2001:db8::9";

/// What www is answered.
pub const WWW: [&str; 2] = ["185.12.64.10", "91.198.174.10"];

/// The name servers of the top-level domain.
const PARENTS: [(&str, [&str; 2]); 2] = [
    ("ns1.nic.org.", ["193.0.14.2", "2001:7fd::2"]),
    ("ns2.nic.org.", ["193.0.9.3", "2001:67c::3"]),
];

/// Where Debian keeps the root's names and addresses.
const ROOT_HINTS: &str = "/usr/share/dns/root.hints";

/// Everything, running.
pub struct Delegated {
    _child: Meridian,
    /// Where tools are run.
    pub clients: Machine,
    _parents: Program,
    _parent_machine: Machine,
    _lab: Lab,
}

impl Delegated {
    /// Builds it, and waits until every part does its work.
    pub fn new() -> Self {
        let lab = Lab::new();
        let root = root_servers();
        let mut addresses: Vec<IpAddr> = root.iter().map(|(_, address)| *address).collect();
        addresses.extend(PARENTS.iter().flat_map(|(_, both)| both.map(address)));
        let parent_machine = lab.machine("parents", &addresses);
        let parents = start_parents(&parent_machine, &root);
        let addresses: Vec<IpAddr> =
            SERVERS.iter().flat_map(|(_, both)| both.map(address)).collect();
        let machine = lab.machine("meridian", &addresses);
        let child = Meridian::start_on(machine, &addresses, Geo::Embedded, &files());
        let clients = lab.machine("clients", &[address(CLIENT), address(CLIENT_V6)]);
        until(PATIENCE, "the root refers to the top-level domain", || {
            let server = format!("@{}", root[0].1);
            clients.run(&["dig", &server, "org", "NS", "+norec"]).contains("ns1.nic.org.")
        });
        Self {
            _child: child,
            clients,
            _parents: parents,
            _parent_machine: parent_machine,
            _lab: lab,
        }
    }
}

/// Names and addresses of the root servers.
fn root_servers() -> Vec<(String, IpAddr)> {
    let hints = fs::read_to_string(ROOT_HINTS).expect("dns-root-data is there: run tests/setup");
    let fields = hints.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let servers = fields.filter_map(|fields| match fields[..] {
        [name, _, "A" | "AAAA", address] => Some((name.to_owned(), address.parse().unwrap())),
        _ => None,
    });
    servers.collect()
}

/// One BIND for all that is above, and for what the judges look up elsewhere: reverse zones, and
/// which network is whose.
fn start_parents(machine: &Machine, root: &[(String, IpAddr)]) -> Program {
    let dir = machine.dir().join("bind");
    let mut conf = format!(
        "options {{ directory \"{}\"; pid-file none; listen-on {{ any; }}; listen-on-v6 {{ any; }};\n\
         recursion no; dnssec-validation no; notify no; }};\ncontrols {{ }};\n",
        dir.display()
    );
    for (apex, records) in zones(root) {
        let file = format!("{}zone", apex.trim_start_matches('.').to_owned() + ".");
        let servers = if apex == "." { String::new() } else { ns("@", &PARENTS.map(|(n, _)| n)) };
        machine.write(
            &format!("bind/{file}"),
            &format!(
                "$TTL 86400\n@ SOA ns1.nic.org. ops.nic.org. 2026112101 14400 3600 1209600 3600\n\
                 {servers}{records}"
            ),
        );
        writeln!(conf, "zone \"{apex}\" {{ type primary; file \"{file}\"; }};").unwrap();
    }
    let path = machine.write("bind/named.conf", &conf);
    machine.start("named", &["named", "-g", "-n", "1", "-c", path.to_str().unwrap()])
}

fn zones(root: &[(String, IpAddr)]) -> [(&'static str, String); 5] {
    let names = PARENTS.map(|(name, _)| name);
    let mut top = String::new();
    for (name, address) in root {
        if address.is_ipv4() {
            top += &ns("@", &[name]);
        }
        top += &host(name, *address);
    }
    for apex in ["org.", "in-addr.arpa.", "ip6.arpa.", "asnlookup.zonemaster.net."] {
        top += &ns(apex, &names);
    }
    let mut org = String::new();
    for (name, both) in PARENTS {
        both.iter().for_each(|ip| org += &host(name, address(ip)));
    }
    top += &org;
    let mut v4 = String::new();
    let mut v6 = String::new();
    for (name, both) in SERVERS {
        let name = format!("{name}.{ZONE}.");
        org += &ns(&format!("{ZONE}."), &[&name]);
        org += &ns(&format!("{LAME}."), &[&name]);
        both.iter().for_each(|ip| org += &host(&name, address(ip)));
        writeln!(v4, "{} PTR {name}", reverse(address(both[0]))).unwrap();
        writeln!(v6, "{} PTR {name}", reverse(address(both[1]))).unwrap();
    }
    let mut networks = String::new();
    for (zone, number, block, network) in NETWORKS {
        writeln!(
            networks,
            "*.{block}.{zone} TXT \"{number} | {network} | ZZ | test | 2014-01-01\""
        )
        .unwrap();
    }
    [
        (".", top),
        ("org", org),
        ("in-addr.arpa", v4),
        ("ip6.arpa", v6),
        ("asnlookup.zonemaster.net", networks),
    ]
}

fn ns(owner: &str, servers: &[&str]) -> String {
    servers.iter().map(|server| format!("{owner} NS {server}\n")).collect()
}

fn host(name: &str, address: IpAddr) -> String {
    let rtype = if address.is_ipv4() { "A" } else { "AAAA" };
    format!("{name} {rtype} {address}\n")
}

/// The owner of an address's PTR, relative to `in-addr.arpa` or `ip6.arpa`.
fn reverse(address: IpAddr) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(ip) => ip.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|o| [o & 15, o >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect()
        }
    };
    labels.join(".")
}

/// The operator's files: the zone as the manual says it should be, and one of each kind of name.
fn files() -> [(&'static str, String); 3] {
    let mut zone = String::from(
        r#"
$TTL 3600
@       SOA   ns1 hostmaster 2026112101 14400 3600 1209600 3600
@       NS    ns1
@       NS    ns2
@       MX    10 mail
@       A     185.12.64.80
@       TXT   "v=spf1 mx -all"
mail    A     185.12.64.25
alias   CNAME www
old     DNAME new
a.new   A     185.12.64.81
*.pages A     185.12.64.82
deep.empty A  185.12.64.83
lab     NS    ns1.lab
ns1.lab A     185.12.64.90
"#,
    );
    for (name, [v4, v6]) in SERVERS {
        zone += &format!("{name} A {v4}\n{name} AAAA {v6}\n");
    }
    for number in 0..10 {
        zone += &format!("big TXT \"{number}{}\"\n", "0123456789".repeat(15));
    }
    let [fra, iad] = WWW;
    let policy = format!(
        "[pool]\nfra = {{ region = \"fra\", members = [\"{fra}\", \"2a01:4f8::10\"] }}\n\
         iad = {{ region = \"iad\", members = [\"{iad}\", \"2620:0:860::10\"] }}\n\
         [record]\nwww = {{ policy = \"nearest\", pools = [\"fra\", \"iad\"] }}\n"
    );
    let regions =
        "[region.fra]\nlocation = [50.11, 8.68]\n[region.iad]\nlocation = [38.95, -77.45]\n";
    [
        ("geo/regions.toml", regions.to_owned()),
        ("zones/example.org.zone", zone),
        ("zones/example.org.toml", policy),
    ]
}

/// An address that was written as text.
pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
