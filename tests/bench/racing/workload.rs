//! The workloads, and what every server is configured with so that it can be asked them: names,
//! addresses, regions, weights. A peer turns this into its own files; the checks expect it.

use std::fmt;
use std::net::Ipv4Addr;

/// The zone all workloads but [`Workload::Zones10k`] ask in.
pub const ORIGIN: &str = "example.org.";
/// TTL of static records, in seconds.
pub const TTL: u32 = 300;
/// TTL of steered records, in seconds.
pub const STEERED_TTL: u32 = 30;
/// Zones of [`Workload::Zones10k`].
pub const ZONES: usize = 10_000;
/// Names `h…` in each of those zones; with SOA, NS and the name server's address that is ten
/// records.
pub const NAMES_PER_ZONE: usize = 7;

/// A region that steered names lead to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Its name, three letters.
    pub name: &'static str,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The one address it hands out.
    pub address: Ipv4Addr,
}

/// The six regions, on five continents.
pub const REGIONS: [Region; 6] = [
    region("iad", 38.95, -77.45, 1),
    region("fra", 50.11, 8.68, 2),
    region("sin", 1.35, 103.82, 3),
    region("syd", -33.87, 151.21, 4),
    region("gru", -23.55, -46.63, 5),
    region("sfo", 37.77, -122.42, 6),
];

/// Targets of the weighted name and their weights.
pub const WEIGHTS: [(Ipv4Addr, u32); 3] = [
    (Ipv4Addr::new(203, 0, 113, 1), 50),
    (Ipv4Addr::new(203, 0, 113, 2), 30),
    (Ipv4Addr::new(203, 0, 113, 3), 20),
];

/// The region that fails and comes back in [`Workload::Failing`]: its number in [`REGIONS`].
pub const FAILING: usize = 1;
/// Where the regions' health is checked by peers that can: `http://ADDRESS:PORT/PATH` on the
/// address of each region answers 200, or 503 while the region fails.
pub const HEALTH_PORT: u16 = 8080;
/// The path of the health check.
pub const HEALTH_PATH: &str = "/healthz";

const fn region(name: &'static str, latitude: f64, longitude: f64, last: u8) -> Region {
    Region { name, latitude, longitude, address: Ipv4Addr::new(192, 0, 2, last) }
}

/// What the servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Workload {
    /// One name with a static address.
    Static1,
    /// 10,000 such names.
    Static10k,
    /// 1,000,000 such names.
    Static1m,
    /// 10,000 small zones.
    Zones10k,
    /// Names that do not exist in a zone of 10,000.
    Nxdomain,
    /// One steered name, clients told apart by where they ask from.
    GeoSource,
    /// One steered name, clients told apart by their subnet option.
    GeoSubnet1,
    /// 10,000 such names.
    GeoSubnet10k,
    /// One name answered by weight.
    Weighted,
    /// 10,000 static names over TCP, many queries in flight on each connection.
    TcpStatic,
    /// 10,000 steered names over TCP, many queries in flight on each connection.
    TcpGeo,
    /// 10,000 static names over TCP, one query in flight on each connection.
    TcpOne,
    /// 10,000 static names while the zone is changed and reloaded once a second.
    Reload,
    /// 10,000 steered names while a region fails and comes back.
    Failing,
}

/// What kind of names a workload asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `hNNNNNNN`: one A record each, [`static_address`].
    Static,
    /// `gNNNNNNN`: the address of the nearest of [`REGIONS`].
    Geo,
    /// `w0000000`: one of [`WEIGHTS`].
    Weighted,
}

impl Workload {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 14] = [
        Self::Static1,
        Self::Static10k,
        Self::Static1m,
        Self::Zones10k,
        Self::Nxdomain,
        Self::GeoSource,
        Self::GeoSubnet1,
        Self::GeoSubnet10k,
        Self::Weighted,
        Self::TcpStatic,
        Self::TcpGeo,
        Self::TcpOne,
        Self::Reload,
        Self::Failing,
    ];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static1 => "static-1",
            Self::Static10k => "static-10k",
            Self::Static1m => "static-1m",
            Self::Zones10k => "zones-10k",
            Self::Nxdomain => "nxdomain",
            Self::GeoSource => "geo-source",
            Self::GeoSubnet1 => "geo-subnet-1",
            Self::GeoSubnet10k => "geo-subnet-10k",
            Self::Weighted => "weighted",
            Self::TcpStatic => "tcp-static",
            Self::TcpGeo => "tcp-geo",
            Self::TcpOne => "tcp-one",
            Self::Reload => "reload",
            Self::Failing => "failing",
        }
    }

    /// The workload of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// What kind of names it asks for.
    pub fn kind(self) -> Kind {
        match self {
            Self::Static1
            | Self::Static10k
            | Self::Static1m
            | Self::Zones10k
            | Self::Nxdomain
            | Self::TcpStatic
            | Self::TcpOne
            | Self::Reload => Kind::Static,
            Self::GeoSource
            | Self::GeoSubnet1
            | Self::GeoSubnet10k
            | Self::TcpGeo
            | Self::Failing => Kind::Geo,
            Self::Weighted => Kind::Weighted,
        }
    }

    /// How many names of its kind the zone has (each zone, of [`Workload::Zones10k`]).
    pub fn names(self) -> usize {
        match self {
            Self::Static1 | Self::GeoSource | Self::GeoSubnet1 | Self::Weighted => 1,
            Self::Zones10k => NAMES_PER_ZONE,
            Self::Static1m => 1_000_000,
            Self::Static10k
            | Self::Nxdomain
            | Self::GeoSubnet10k
            | Self::TcpStatic
            | Self::TcpGeo
            | Self::TcpOne
            | Self::Reload
            | Self::Failing => 10_000,
        }
    }

    /// Its zones' origins.
    pub fn origins(self) -> Vec<String> {
        match self {
            Self::Zones10k => (0..ZONES).map(zone_origin).collect(),
            _ => vec![ORIGIN.to_owned()],
        }
    }

    /// Whether the questions carry client subnets.
    pub fn has_subnets(self) -> bool {
        matches!(self, Self::GeoSubnet1 | Self::GeoSubnet10k | Self::TcpGeo | Self::Failing)
    }

    /// RCODE and number of answers of every right response.
    pub fn outcome(self) -> (u8, u8) {
        if self == Self::Nxdomain { (3, 0) } else { (0, 1) }
    }

    /// Whether it is asked over TCP.
    pub fn is_tcp(self) -> bool {
        matches!(self, Self::TcpStatic | Self::TcpGeo | Self::TcpOne)
    }

    /// Whether the regions are to be watched by health checks.
    pub fn has_health(self) -> bool {
        self == Self::Failing
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Kind {
    /// The label of the name with this number; all are of one length.
    pub fn label(self, number: usize) -> String {
        let letter = match self {
            Self::Static => 'h',
            Self::Geo => 'g',
            Self::Weighted => 'w',
        };
        format!("{letter}{number:07}")
    }
}

/// The origin of a zone of [`Workload::Zones10k`].
pub fn zone_origin(number: usize) -> String {
    format!("z{number:05}.test.")
}

/// The address of the static name with this number, from the network for benchmarks (RFC 2544).
pub fn static_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() | (number as u32 & 0x1_ffff))
}
