//! What the operator knows better than the GeoIP database: `geo/networks.toml`.

use std::net::IpAddr;

use crate::geo::place::Place;

/// One `[[network]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Networks, as address and prefix length, host bits zero. Longer prefixes win; among
    /// equals the later entry.
    pub cidrs: Vec<(IpAddr, u8)>,
    /// Or every network of these autonomous systems (needs a database with AS numbers).
    pub asns: Vec<u32>,
    /// What is known. Fields that are `None` keep what the database says, unless the country
    /// named here is another one: then only what is said here holds.
    pub place: Place,
}
