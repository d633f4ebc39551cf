//! Places of the real world, and which region is nearest to each by the city data itself.

use std::net::IpAddr;

use serde::Deserialize;

use crate::meridian::{city_v4, city_v6};

/// A region as the tests know it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Its name in the operator's files.
    pub name: &'static str,
    /// Degrees north and east.
    pub at: (f64, f64),
    /// Its country.
    pub country: &'static str,
    /// The address of its L4 tier.
    pub vip: &'static str,
}

/// Six regions on five continents; the first three are the ones that stand in the lab.
pub const REGIONS: [Region; 6] = [
    Region { name: "fra", at: (50.11, 8.68), country: "DE", vip: "192.0.2.10" },
    Region { name: "iad", at: (38.95, -77.45), country: "US", vip: "192.0.2.20" },
    Region { name: "sin", at: (1.35, 103.99), country: "SG", vip: "192.0.2.30" },
    Region { name: "gru", at: (-23.43, -46.47), country: "BR", vip: "192.0.2.40" },
    Region { name: "nrt", at: (35.77, 140.39), country: "JP", vip: "192.0.2.50" },
    Region { name: "syd", at: (-33.94, 151.18), country: "AU", vip: "192.0.2.60" },
];

/// Somebody somewhere.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where, for people.
    pub city: &'static str,
    /// An address there.
    pub address: &'static str,
    /// The nearest of the six regions.
    pub nearest: &'static str,
}

/// Places on every inhabited continent.
pub const PLACES: [Place; 20] = [
    Place { city: "Falkenstein", address: "5.9.49.12", nearest: "fra" },
    Place { city: "London", address: "81.2.69.142", nearest: "fra" },
    Place { city: "Moscow", address: "77.88.55.55", nearest: "fra" },
    Place { city: "Lagos", address: "102.130.0.1", nearest: "fra" },
    Place { city: "Doha", address: "212.77.192.1", nearest: "fra" },
    Place { city: "Princeton", address: "128.112.136.1", nearest: "iad" },
    Place { city: "Houston", address: "4.0.0.1", nearest: "iad" },
    Place { city: "Berkeley", address: "169.229.216.200", nearest: "iad" },
    Place { city: "Mexico City", address: "189.203.0.1", nearest: "iad" },
    Place { city: "Sao Paulo", address: "200.160.2.3", nearest: "gru" },
    Place { city: "Cordoba", address: "200.16.16.1", nearest: "gru" },
    Place { city: "Singapore", address: "202.156.0.1", nearest: "sin" },
    Place { city: "Hyderabad", address: "49.207.0.1", nearest: "sin" },
    Place { city: "Tokyo", address: "133.242.0.1", nearest: "nrt" },
    Place { city: "Jinan", address: "114.114.114.114", nearest: "nrt" },
    Place { city: "Sydney", address: "203.2.218.1", nearest: "syd" },
    Place { city: "Auckland", address: "202.27.184.3", nearest: "syd" },
    Place { city: "Nuremberg", address: "2a01:4f8::1", nearest: "fra" },
    Place { city: "Tokyo v6", address: "2001:240::1", nearest: "nrt" },
    Place { city: "Lima", address: "2001:1388::1", nearest: "gru" },
];

impl Region {
    /// The address of its L4 tier.
    pub fn vip(&self) -> IpAddr {
        self.vip.parse().unwrap()
    }
}

impl Place {
    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.address.parse().unwrap()
    }
}

/// The city databases, read record by record: slow, simple, and none of Meridian's code.
pub struct Atlas {
    v4: maxminddb::Reader<Vec<u8>>,
    v6: maxminddb::Reader<Vec<u8>>,
}

#[derive(Deserialize)]
struct Position {
    latitude: f32,
    longitude: f32,
}

impl Atlas {
    /// Opens the databases tests/setup fetched.
    pub fn open() -> Self {
        let open = |path| maxminddb::Reader::open_readfile(path).unwrap();
        Self { v4: open(city_v4()), v6: open(city_v6()) }
    }

    /// Degrees north and east of an address; `None` when the databases do not know it.
    pub fn position(&self, address: IpAddr) -> Option<(f64, f64)> {
        let database = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let position: Position = database.lookup(address).ok()?.decode().ok()??;
        Some((position.latitude.into(), position.longitude.into()))
    }

    /// `regions` by great-circle distance from an address; `None` when its place is not known.
    pub fn order(&self, regions: &[Region], address: IpAddr) -> Option<Vec<Region>> {
        let at = self.position(address)?;
        let mut regions = regions.to_vec();
        regions.sort_by(|a, b| angle(at, a.at).total_cmp(&angle(at, b.at)));
        Some(regions)
    }
}

/// The angle between two points of the globe in radians (haversine).
fn angle((lat1, lon1): (f64, f64), (lat2, lon2): (f64, f64)) -> f64 {
    let (lat1, lon1, lat2, lon2) =
        (lat1.to_radians(), lon1.to_radians(), lat2.to_radians(), lon2.to_radians());
    let half = |x: f64| (x / 2.0).sin().powi(2);
    2.0 * (half(lat2 - lat1) + lat1.cos() * lat2.cos() * half(lon2 - lon1)).sqrt().asin()
}

/// `geo/regions.toml` of the given regions.
pub fn regions_toml(regions: &[Region]) -> String {
    regions
        .iter()
        .map(|region| {
            let (north, east) = region.at;
            format!(
                "[region.{}]\nlocation = [{north}, {east}]\ncountry = \"{}\"\n",
                region.name, region.country
            )
        })
        .collect()
}
