//! What is known about where an address is.

use std::sync::Arc;

use crate::region::{Location, RegionId};

/// ISO 3166-1 alpha-2 country code, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(pub [u8; 2]);

/// A continent, by the two letters GeoIP databases use (AF AN AS EU NA OC SA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Continent(pub [u8; 2]);

/// Where an address is, as far as it is known. The default is "unknown".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    /// The continent; derived from the country where the database does not say.
    pub continent: Option<Continent>,
    /// The country.
    pub country: Option<Country>,
    /// ISO 3166-2 code with its country, upper case: `US-CA`.
    pub subdivision: Option<Arc<str>>,
    /// City, for people to read.
    pub city: Option<Arc<str>>,
    /// Coordinates; a country's centroid where the database has none.
    pub location: Option<Location>,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// The operator's own word (`region = "fra"` in networks.toml): this region first.
    pub region: Option<RegionId>,
}

impl Place {
    /// True when neither a country nor coordinates nor a region are known.
    pub const fn is_unknown(&self) -> bool {
        self.country.is_none()
            && self.continent.is_none()
            && self.location.is_none()
            && self.region.is_none()
    }
}
