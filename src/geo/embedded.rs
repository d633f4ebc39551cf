//! The country database that is shipped with the program: coarse, but always there.
//!
//! Its own compact form, because an mmdb would be four times larger: a header, and then,
//! deflated, the countries with their centroids and for each family the borders between
//! them. A border is the distance from the one before as `odd << zeros`, the two parts in
//! streams of their own, since almost all distances are round. What it is made of and how
//! good it is stands in `geo/README.md`; `geo/NOTICE` has the attribution.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::geo::db::{Database, DbError, Kind, Source};
use crate::geo::place::{Country, Place};
use crate::geo::places::{Origin, PlaceSet};
use crate::geo::spans::{Key, Spans};
use crate::geo::world::Layer;
use crate::region::Location;

const DATA: &[u8] = include_bytes!("../../geo/country.bin");
const MAGIC: &[u8; 8] = b"MGEO-1\r\n";
/// Magic and build time.
const HEADER: usize = 16;
/// Centroids are kept in hundredths of a degree.
const STEPS: f64 = 100.0;

/// Why the shipped database cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// One of the sources cannot be used.
    #[error("a source cannot be used")]
    Source(#[from] DbError),
    /// A number of a country must fit in a byte.
    #[error("{0} countries, and there is room for 255")]
    TooManyCountries(usize),
    /// Compressing went wrong.
    #[error("cannot compress")]
    Compress(#[from] io::Error),
}

/// Makes the shipped database anew: borders from a country database, centroids by number of
/// addresses from city databases (IPv6 counts where a country has no IPv4). The result is
/// what belongs in `geo/country.bin`.
pub fn build_embedded(
    country: &Path,
    city_v4: &Path,
    city_v6: &Path,
) -> Result<Vec<u8>, BuildError> {
    let countries = Database::open(country, 0)?;
    let mut centroids = centroids(&Database::open(city_v6, 0)?.layer);
    centroids.extend(self::centroids(&Database::open(city_v4, 0)?.layer));
    encode(&countries, &centroids)
}

/// What to tell people about the shipped database.
pub fn source() -> Source {
    let built =
        DATA.get(8..HEADER).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
    Source { name: "built-in country database".into(), kind: Kind::Country, built }
}

/// The middle of a country by number of addresses.
pub(crate) fn centroid(country: Country) -> Option<Location> {
    static CENTROIDS: LazyLock<HashMap<Country, Location>> = LazyLock::new(|| {
        let rows = countries(&mut DeflateDecoder::new(&DATA[HEADER..]));
        let rows = rows.expect("the shipped file was made by build_embedded");
        rows.into_iter().filter_map(|(country, location)| Some((country, location?))).collect()
    });
    CENTROIDS.get(&country).copied()
}

/// The shipped database as spans of places. `number`: which one it is among others.
pub(crate) fn database(number: usize) -> Database {
    let layer = decode(&DATA[HEADER..], Origin::database(number));
    let layer = layer.expect("the shipped file was made by build_embedded");
    Database { source: source(), layer }
}

type Row = (Country, Option<Location>);

fn decode(deflated: &[u8], origin: Origin) -> io::Result<Layer> {
    let mut input = DeflateDecoder::new(deflated);
    let rows = countries(&mut input)?;
    let mut places = PlaceSet::new(0);
    for (country, _) in rows {
        places.append(Place { country: Some(country), ..Place::default() }, origin);
    }
    let v4 = read_spans(&mut input, places.len())?;
    let v6 = read_spans(&mut input, places.len())?;
    Ok(Layer { places, v4, v6 })
}

fn countries(input: &mut impl Read) -> io::Result<Vec<Row>> {
    let [count] = bytes(input)?;
    (0..count)
        .map(|_| {
            let country = Country(bytes(input)?);
            let latitude = f64::from(i16::from_be_bytes(bytes(input)?)) / STEPS;
            let longitude = f64::from(i16::from_be_bytes(bytes(input)?)) / STEPS;
            // A country without a centroid has an impossible latitude.
            Ok((country, Location::new(latitude, longitude)))
        })
        .collect()
}

fn read_spans<K: Key>(input: &mut impl Read, places: usize) -> io::Result<Spans<K>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let sizes: [[u8; 4]; 2] = [bytes(input)?, bytes(input)?];
    let [count, odd_bytes] = sizes.map(|size| u32::from_be_bytes(size) as usize);
    let mut stream = |size: usize| {
        let mut stream = Vec::new();
        input.take(size as u64).read_to_end(&mut stream).map(|_| stream)
    };
    let (zeros, ids, odds) = (stream(count)?, stream(count)?, stream(odd_bytes)?);
    let mut odds = odds.into_iter();
    let mut spans = Spans::new();
    let mut first = 0_u64;
    for (zeros, id) in zeros.into_iter().zip(ids) {
        let odd = varint(&mut odds).ok_or_else(bad)?;
        first = odd
            .checked_shl(u32::from(zeros))
            .and_then(|gap| first.checked_add(gap))
            .ok_or_else(bad)?;
        if first > K::MAX || usize::from(id) >= places {
            return Err(bad());
        }
        spans.push(first, u32::from(id));
    }
    if spans.len() == count { Ok(spans) } else { Err(bad()) }
}

fn bytes<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map(|()| bytes)
}

fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn encode(
    database: &Database,
    centroids: &HashMap<Country, Location>,
) -> Result<Vec<u8>, BuildError> {
    let Layer { places, v4, v6 } = &database.layer;
    let mut names: Vec<Country> =
        places.places().iter().filter_map(|place| place.country).collect();
    names.extend(centroids.keys());
    names.sort_unstable();
    names.dedup();
    let count = u8::try_from(names.len()).map_err(|_| BuildError::TooManyCountries(names.len()))?;
    let number = |place: u32| {
        let country = places.get(place).0.country;
        country
            .and_then(|country| names.binary_search(&country).ok())
            .map_or(0, |index| index as u32 + 1)
    };
    let mut output = MAGIC.to_vec();
    output.extend(database.source.built.to_be_bytes());
    let mut output = DeflateEncoder::new(output, Compression::best());
    output.write_all(&[count])?;
    for name in &names {
        output.write_all(&name.0)?;
        let (latitude, longitude) = match centroids.get(name) {
            Some(at) => {
                ((at.latitude * STEPS).round() as i16, (at.longitude * STEPS).round() as i16)
            }
            None => (i16::MAX, i16::MAX),
        };
        output.write_all(&latitude.to_be_bytes())?;
        output.write_all(&longitude.to_be_bytes())?;
    }
    write_spans(&mut output, &v4.map(number))?;
    write_spans(&mut output, &v6.map(number))?;
    Ok(output.finish()?)
}

fn write_spans<K: Key>(output: &mut impl Write, spans: &Spans<K>) -> io::Result<()> {
    let (mut zeros, mut ids, mut odds) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = 0;
    for span in spans.iter() {
        let gap = span.first - before;
        before = span.first;
        let round = if gap == 0 { 0 } else { gap.trailing_zeros() };
        zeros.push(round as u8);
        ids.push(span.id as u8);
        let mut odd = gap >> round;
        while odd >= 0x80 {
            odds.push(odd as u8 | 0x80);
            odd >>= 7;
        }
        odds.push(odd as u8);
    }
    output.write_all(&(ids.len() as u32).to_be_bytes())?;
    output.write_all(&(odds.len() as u32).to_be_bytes())?;
    output.write_all(&zeros)?;
    output.write_all(&ids)?;
    output.write_all(&odds)
}

/// Where the addresses of each country are on average, on the sphere.
fn centroids(layer: &Layer) -> HashMap<Country, Location> {
    let mut sums: HashMap<Country, [f64; 3]> = HashMap::new();
    add_up(&layer.v4, layer.places.places(), &mut sums);
    add_up(&layer.v6, layer.places.places(), &mut sums);
    let middle = |[x, y, z]: [f64; 3]| {
        let latitude = z.atan2(x.hypot(y)).to_degrees();
        Location::new(latitude, y.atan2(x).to_degrees())
    };
    sums.into_iter().filter_map(|(country, sum)| Some((country, middle(sum)?))).collect()
}

fn add_up<K: Key>(spans: &Spans<K>, places: &[Place], sums: &mut HashMap<Country, [f64; 3]>) {
    for span in spans.iter() {
        let place = &places[span.id as usize];
        if let Some((country, location)) = place.country.zip(place.location) {
            let weight = (span.last - span.first) as f64 + 1.0;
            let sum = sums.entry(country).or_default();
            let point = crate::geo::ground::unit(location);
            sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value * weight);
        }
    }
}
