//! Where a database keeps what we want to know, found by looking into its records.
//!
//! Vendors agree on the file format and on nothing in it. A database's own name for its type
//! is no guide (a city database called "city ipv4" is one), so the fields tell.

use std::net::IpAddr;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader};
use serde::de::{Deserialize, Deserializer, Visitor};

use crate::geo::place::{Continent, Country, Place};
use crate::region::Location;

type Path = &'static [PathElement<'static>];

/// What one record may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Continent,
    Country,
    Subdivision,
    City,
    Latitude,
    Longitude,
    Asn,
}

const fn key(name: &'static str) -> PathElement<'static> {
    PathElement::Key(name)
}

/// Every place a field was seen at; of one field, the earlier wins.
const KNOWN: &[(Field, Path)] = &[
    // MaxMind GeoIP2 and GeoLite2, DB-IP's own files.
    (Field::Continent, &[key("continent"), key("code")]),
    (Field::Country, &[key("country"), key("iso_code")]),
    (Field::Country, &[key("registered_country"), key("iso_code")]),
    (Field::Subdivision, &[key("subdivisions"), PathElement::Index(0), key("iso_code")]),
    (Field::City, &[key("city"), key("names"), key("en")]),
    (Field::Latitude, &[key("location"), key("latitude")]),
    (Field::Longitude, &[key("location"), key("longitude")]),
    (Field::Asn, &[key("autonomous_system_number")]),
    (Field::Asn, &[key("traits"), key("autonomous_system_number")]),
    // ip-location-db: flat.
    (Field::Country, &[key("country_code")]),
    (Field::Subdivision, &[key("state1")]),
    (Field::City, &[key("city")]),
    (Field::Latitude, &[key("latitude")]),
    (Field::Longitude, &[key("longitude")]),
    // IPinfo: flat, and numbers are strings.
    (Field::Continent, &[key("continent_code")]),
    (Field::Continent, &[key("continent")]),
    (Field::Country, &[key("country")]),
    (Field::Subdivision, &[key("region_code")]),
    (Field::Subdivision, &[key("region")]),
    (Field::Latitude, &[key("lat")]),
    (Field::Longitude, &[key("lng")]),
    (Field::Asn, &[key("asn")]),
];

/// How much a database tells, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Coordinates.
    City,
    /// Countries or continents, and no coordinates.
    Country,
    /// Autonomous system numbers only.
    Asn,
}

/// The fields one database has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    paths: Vec<(Field, Path)>,
}

impl Schema {
    /// Looks for every known field in the records of the given addresses. A field that never
    /// held a usable value is not one.
    pub(crate) fn probe(
        reader: &Reader<&[u8]>,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Result<Self, MaxMindDbError> {
        let mut seen = [false; KNOWN.len()];
        for address in addresses {
            let record = reader.lookup(address)?;
            for ((field, path), seen) in KNOWN.iter().zip(&mut seen) {
                if !*seen && let Some(value) = read(&record, path)? {
                    let mut place = Draft::default();
                    *seen = place.take(*field, &value);
                }
            }
        }
        let paths = KNOWN.iter().zip(seen).filter(|(_, seen)| *seen).map(|(known, _)| *known);
        Ok(Self { paths: paths.collect() })
    }

    /// What the database tells; `None` when there is nothing of use in it.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let has = |field| self.paths.iter().any(|path| path.0 == field);
        if has(Field::Latitude) && has(Field::Longitude) {
            Some(Kind::City)
        } else if has(Field::Country) || has(Field::Continent) {
            Some(Kind::Country)
        } else {
            has(Field::Asn).then_some(Kind::Asn)
        }
    }

    /// The place the record of `address` tells of.
    pub(crate) fn place(
        &self,
        reader: &Reader<&[u8]>,
        address: IpAddr,
    ) -> Result<Place, MaxMindDbError> {
        let record = reader.lookup(address)?;
        let mut draft = Draft::default();
        let mut done = None;
        for (field, path) in &self.paths {
            if done != Some(*field)
                && !draft.has(*field)
                && let Some(value) = read(&record, path)?
            {
                draft.take(*field, &value);
                done = Some(*field);
            }
        }
        Ok(draft.finish())
    }
}

/// The value at `path`, when there is one of a kind we understand.
fn read<'r>(
    record: &LookupResult<'r, &[u8]>,
    path: Path,
) -> Result<Option<Scalar<'r>>, MaxMindDbError> {
    match record.decode_path(path) {
        Ok(value) => Ok(value),
        // Another type than asked for: this file keeps something else under the name.
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        Err(broken) => Err(broken),
    }
}

/// A place in the making: coordinates come one by one, subdivisions before their country.
#[derive(Debug, Default)]
struct Draft {
    place: Place,
    subdivision: Option<Box<str>>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Draft {
    fn has(&self, field: Field) -> bool {
        match field {
            Field::Continent => self.place.continent.is_some(),
            Field::Country => self.place.country.is_some(),
            Field::Subdivision => self.subdivision.is_some(),
            Field::City => self.place.city.is_some(),
            Field::Latitude => self.latitude.is_some(),
            Field::Longitude => self.longitude.is_some(),
            Field::Asn => self.place.asn.is_some(),
        }
    }

    /// Takes a value over if it makes sense; says whether it did.
    fn take(&mut self, field: Field, value: &Scalar<'_>) -> bool {
        match field {
            Field::Continent => self.place.continent = value.letters().map(Continent),
            Field::Country => self.place.country = value.letters().map(Country),
            Field::Subdivision => self.subdivision = value.subdivision(),
            Field::City => self.place.city = value.text().map(Into::into),
            Field::Latitude => self.latitude = value.number(),
            Field::Longitude => self.longitude = value.number(),
            Field::Asn => self.place.asn = value.asn(),
        }
        self.has(field)
    }

    fn finish(self) -> Place {
        let Self { mut place, subdivision, latitude, longitude } = self;
        place.location = latitude.zip(longitude).and_then(|(lat, lon)| Location::new(lat, lon));
        place.subdivision = place.country.zip(subdivision).map(|(country, code)| {
            let country = String::from_utf8_lossy(&country.0).into_owned();
            if code.starts_with(&format!("{country}-")) {
                code
            } else {
                format!("{country}-{code}").into_boxed_str()
            }
        });
        place
    }
}

/// A value as written; what it means is up to the field.
#[derive(Debug, Clone, PartialEq)]
enum Scalar<'r> {
    Text(&'r str),
    Number(f64),
}

impl<'r> Scalar<'r> {
    fn text(&self) -> Option<&'r str> {
        match self {
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            Self::Number(_) => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Number(number) => Some(*number),
        }
    }

    /// A code of two letters.
    fn letters(&self) -> Option<[u8; 2]> {
        let code: [u8; 2] = self.text()?.as_bytes().try_into().ok()?;
        code.iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| code.map(|letter| letter.to_ascii_uppercase()))
    }

    /// The part of an ISO 3166-2 code behind the hyphen, or the whole code; never a name.
    fn subdivision(&self) -> Option<Box<str>> {
        let code = self.text()?.to_ascii_uppercase();
        let part = code.split_once('-').map_or(code.as_str(), |(_, part)| part);
        let written_as_code = self.text() == Some(&code);
        let fits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        (written_as_code && fits).then(|| code.into_boxed_str())
    }

    /// `64500`, `"64500"` or `"AS64500"`; 0 is reserved (RFC 7607).
    fn asn(&self) -> Option<u32> {
        let number = match self {
            Self::Text(text) => {
                text.trim().trim_start_matches(['A', 'S', 'a', 's']).parse().ok()?
            }
            Self::Number(number) => *number as u32,
        };
        (number != 0).then_some(number)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(text))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_f32<E>(self, number: f32) -> Result<Self::Value, E> {
        Ok(Scalar::Number(f64::from(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }
}
