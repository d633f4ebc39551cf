//! What can be handed out: regions, their pools, and the members of a pool.
//!
//! A *region* is a place that can serve. A *pool* is what one region hands out for one
//! service; it hands over to the region's own L4/L7 tier in one of three ways ([`Target`]).
//! Nothing here knows of health, geography tables, or DNS messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::wire::name::Name;

/// A region's place in the snapshot's list of regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(pub u16);

/// A pool's place in the snapshot's list of pools, over all zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u32);

/// Whose view of a pool counts: that of the whole world, or that of the clients of one area the
/// operator named, by its place in the snapshot's list of areas, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AreaId(pub u8);

impl AreaId {
    /// Clients of no area, and what holds for everybody.
    pub const WORLD: Self = Self(0);

    /// The number of the area at `place` in the list of areas; `None` past [`AREAS_MAX`].
    pub const fn at(place: usize) -> Option<Self> {
        if place < AREAS_MAX { Some(Self(place as u8 + 1)) } else { None }
    }

    /// Its place in the list of areas; `None` for the world.
    pub const fn place(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }

    /// The world, and then so many areas.
    pub fn all(areas: usize) -> impl Iterator<Item = Self> {
        (0..=areas.min(AREAS_MAX) as u8).map(Self)
    }
}

/// Most areas one configuration may have: each costs a word per pool, and splits every map.
pub const AREAS_MAX: usize = 15;

/// The Earth's mean radius in kilometres.
pub const EARTH_RADIUS_KM: f64 = 6371.009;

/// A position on the globe in degrees, latitude -90..90, longitude -180..180.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

impl Location {
    /// `None` when a coordinate is out of range or not finite.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let fits = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        fits.then_some(Self { latitude, longitude })
    }

    /// Great-circle distance in kilometres on a sphere of the Earth's mean radius (haversine).
    pub fn kilometres_to(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lon = (other.longitude - self.longitude).to_radians() / 2.0;
        let chord = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
        2.0 * EARTH_RADIUS_KM * chord.sqrt().min(1.0).asin()
    }
}

/// A place that can serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The name operators use, unique among regions.
    pub name: Box<str>,
    /// Where it stands; `nearest` needs it.
    pub location: Option<Location>,
    /// ISO 3166-1 alpha-2 code, upper case.
    pub country: Option<[u8; 2]>,
}

/// What one region hands out for one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// The name in its policy file, unique in its zone.
    pub name: Box<str>,
    /// Apex of the zone whose policy file defines it.
    pub origin: Name,
    /// The region that serves.
    pub region: RegionId,
    /// How it hands over.
    pub target: Target,
    /// How many healthy members go into one answer (at least 1); only VIPs use it.
    pub answers: u8,
    /// How much it takes while it is not at its best.
    pub ease: Ease,
    /// What it can take; `None` for any number of clients.
    pub capacity: Option<Capacity>,
}

/// How much of its clients a pool takes while it is not at its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ease {
    /// Over how long its clients come back once it serves again; zero for at once.
    pub slow_start: Duration,
    /// What it takes while some of its members are down.
    pub degraded: Degraded,
}

/// What a pool takes while some of its members are down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Degraded {
    /// All of its clients.
    #[default]
    All,
    /// As much as its living members weigh of all.
    Live,
    /// This share, in basis points.
    Share(u16),
}

/// What a pool can take. At least one of `queries` and `load` is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// Steered answers a second that its load balancer can serve the clients of.
    pub queries: Option<f64>,
    /// Where its measured load comes from.
    pub load: Option<LoadSource>,
    /// The part of it up to which clients are sent there, above 0.
    pub target: f64,
    /// The part of it above which clients are moved away at once; not below `target`.
    pub max: f64,
    /// The part of its answers that may be errors; from there on it counts as full.
    pub errors: Option<f64>,
}

/// Where measured load comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadSource {
    /// It is reported over the API.
    Push,
    /// Its members say it when they are probed.
    Probe,
}

/// The three ways to hand a client over to a region. Each means another section and another
/// AA bit, so the match in `server` names all three.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Addresses of the region's load balancer.
    Vips(Vips),
    /// The name of the region's load balancer, answered as CNAME.
    Cname(Name),
    /// The region's own name servers, answered as a referral.
    Delegate(Vec<NameServer>),
}

/// Addresses with weights. IPv4 and IPv6 are judged apart, so they are kept apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vips {
    /// At most [`MEMBERS_MAX`] members.
    pub v4: Vec<Member<Ipv4Addr>>,
    /// At most [`MEMBERS_MAX`] members.
    pub v6: Vec<Member<Ipv6Addr>>,
}

/// Members of one family in one pool: as many as the health word has bits for them.
pub const MEMBERS_MAX: usize = 32;

/// One address of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<A> {
    /// Where clients are sent.
    pub address: A,
    /// Share relative to the pool's other members, 0..=65535; 0 is standby: used when every
    /// member with a weight is out.
    pub weight: u16,
}

/// A regional name server and its addresses, which go out as glue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServer {
    /// Its host name.
    pub name: Name,
    /// Its addresses; needed when the name stands below the delegated name.
    pub addresses: Vec<IpAddr>,
}

/// The two address families, which are judged apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, asked for with A.
    V4,
    /// IPv6, asked for with AAAA.
    V6,
}
