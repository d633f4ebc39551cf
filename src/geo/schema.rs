//! Where a database keeps what we want to know, found by looking into its records.
//!
//! Vendors agree on the file format and on nothing in it. A database's own name for its type
//! is no guide (a city database called "city ipv4" is one), so the fields tell.

use crate::geo::place::{Continent, Country};
use crate::geo::record::{Path, Reader, Scalar, Step, ValueError, Values};

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

const FIELDS: usize = Field::Asn as usize + 1;

const fn key(name: &'static str) -> Step {
    Step::Key(name)
}

/// Every place a field was seen at; of one field, the earliest that holds a usable value wins.
const KNOWN: &[(Field, Path)] = &[
    // MaxMind GeoIP2 and GeoLite2, DB-IP's own files.
    (Field::Continent, &[key("continent"), key("code")]),
    (Field::Country, &[key("country"), key("iso_code")]),
    (Field::Country, &[key("registered_country"), key("iso_code")]),
    (Field::Subdivision, &[key("subdivisions"), Step::First, key("iso_code")]),
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

/// The fields one database has, in the order of [`KNOWN`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    fields: Vec<Field>,
    paths: Vec<Path>,
}

impl Schema {
    /// Looks for every known field in the given records. A field that never held a usable value
    /// is not one.
    pub(crate) fn probe(
        data: Values<'_>,
        records: impl Iterator<Item = usize>,
    ) -> Result<Self, ValueError> {
        let (fields, paths) = KNOWN.iter().copied().unzip();
        let all = Self { fields, paths };
        let mut seen = [false; KNOWN.len()];
        let mut reader = Reader::new(data, &all.paths);
        for record in records {
            reader.read(record, |path, value| {
                seen[path] |= Draft::default().take(all.fields[path], value);
            })?;
        }
        let seen = KNOWN.iter().zip(seen).filter(|(_, seen)| *seen).map(|(known, _)| *known);
        let (fields, paths) = seen.unzip();
        Ok(Self { fields, paths })
    }

    /// What the database tells; `None` when there is nothing of use in it.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let has = |field| self.fields.contains(&field);
        if has(Field::Latitude) && has(Field::Longitude) {
            Some(Kind::City)
        } else if has(Field::Country) || has(Field::Continent) {
            Some(Kind::Country)
        } else {
            has(Field::Asn).then_some(Kind::Asn)
        }
    }

    /// A reader of records with these fields.
    pub(crate) fn reader<'f>(&self, data: Values<'f>) -> Reader<'f, '_> {
        Reader::new(data, &self.paths)
    }

    /// What a record tells. `reader`: of [`Self::reader`].
    pub(crate) fn draft<'f>(
        &self,
        reader: &mut Reader<'f, '_>,
        record: usize,
    ) -> Result<Draft<'f>, ValueError> {
        let mut draft = Draft::default();
        let mut from = [usize::MAX; FIELDS];
        reader.read(record, |path, value| {
            let field = self.fields[path];
            let best = &mut from[field as usize];
            if path < *best && draft.take(field, value) {
                *best = path;
            }
        })?;
        Ok(draft)
    }
}

/// What one record tells of a place, its texts still in the file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Draft<'f> {
    pub(crate) continent: Option<Continent>,
    pub(crate) country: Option<Country>,
    /// With or without the country before it.
    pub(crate) subdivision: Option<&'f str>,
    pub(crate) city: Option<&'f str>,
    pub(crate) latitude: Option<f64>,
    pub(crate) longitude: Option<f64>,
    pub(crate) asn: Option<u32>,
}

impl<'f> Draft<'f> {
    /// Takes a value over if it makes sense; says whether it did.
    fn take(&mut self, field: Field, value: Scalar<'f>) -> bool {
        match field {
            Field::Continent => set(&mut self.continent, value.letters().map(Continent)),
            Field::Country => set(&mut self.country, value.letters().map(Country)),
            Field::Subdivision => set(&mut self.subdivision, value.subdivision()),
            Field::City => set(&mut self.city, value.text()),
            Field::Latitude => set(&mut self.latitude, value.number()),
            Field::Longitude => set(&mut self.longitude, value.number()),
            Field::Asn => set(&mut self.asn, value.asn()),
        }
    }
}

/// Replaces what was known by something, and by nothing else.
fn set<T>(known: &mut Option<T>, value: Option<T>) -> bool {
    let usable = value.is_some();
    if usable {
        *known = value;
    }
    usable
}

impl<'r> Scalar<'r> {
    fn text(self) -> Option<&'r str> {
        match self {
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            Self::Number(_) => None,
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Number(number) => Some(number),
        }
    }

    /// A code of two letters.
    fn letters(self) -> Option<[u8; 2]> {
        let code: [u8; 2] = self.text()?.as_bytes().try_into().ok()?;
        code.iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| code.map(|letter| letter.to_ascii_uppercase()))
    }

    /// An ISO 3166-2 code, or the part of it behind the hyphen; never a name.
    fn subdivision(self) -> Option<&'r str> {
        let code = self.text()?;
        let part = code.split_once('-').map_or(code, |(_, part)| part);
        let written_as_code = !code.bytes().any(|octet| octet.is_ascii_lowercase());
        let fits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        (written_as_code && fits).then_some(code)
    }

    /// `64500`, `"64500"` or `"AS64500"`; 0 is reserved (RFC 7607).
    fn asn(self) -> Option<u32> {
        let number = match self {
            Self::Text(text) => {
                text.trim().trim_start_matches(['A', 'S', 'a', 's']).parse().ok()?
            }
            Self::Number(number) => number as u32,
        };
        (number != 0).then_some(number)
    }
}
