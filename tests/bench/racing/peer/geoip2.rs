//! The city data as the peers want them: the same networks and coordinates that Meridian reads, in
//! the shape of MaxMind's GeoIP2 City, which is the only one they take. And the table of countries
//! for those that steer by country.
//!
//! Both are made once and kept beside the data.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use maxminddb::{Reader, WithinOptions};
use meridian::geo::countries::continent_of;
use meridian::geo::place::Country;
use serde::Deserialize;

use crate::cities::{CITIES, order};
use crate::mmdb::{Value, Writer};
use crate::workload::{REGIONS, Region};

/// The same in GeoIP2's shape, with the regions' own addresses added.
const CITIES_FOR_PEERS: &str = "dbip-city-ipv4-race.mmdb";
/// Which country goes to which region, one line each: `DE fra`. The first line says of which
/// regions.
const COUNTRIES: &str = "dbip-city-ipv4-race.countries";

/// The copy for the peers, and the table of countries made with it.
#[derive(Debug)]
pub struct Geoip2 {
    /// The database in GeoIP2's shape.
    pub database: PathBuf,
    /// Country code, upper case, and the number of its region in [`REGIONS`]: the region nearest
    /// to most of its addresses.
    pub countries: BTreeMap<String, usize>,
}

impl Geoip2 {
    /// Makes both files beside the database the first time, and uses them after that.
    ///
    /// # Errors
    /// When the city database is missing or the files cannot be written.
    pub fn prepare(geodata: &Path) -> Result<Self> {
        let cities = geodata.join(CITIES);
        let (database, table) = (geodata.join(CITIES_FOR_PEERS), geodata.join(COUNTRIES));
        let age = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let made = |path: &Path| age(path) > age(&cities);
        let known = || fs::read_to_string(&table).ok().and_then(|text| read_table(&text));
        let countries = match known() {
            Some(countries) if made(&database) && made(&table) => countries,
            _ => {
                convert(&cities, &database, &table)?;
                known().with_context(|| format!("{} is broken", table.display()))?
            }
        };
        Ok(Self { database, countries })
    }
}

/// A record of the database that Meridian reads.
#[derive(Debug, Clone, Copy, Deserialize)]
struct City<'r> {
    country_code: &'r str,
    latitude: f32,
    longitude: f32,
}

impl City<'_> {
    /// The record in GeoIP2's shape, as far as the peers look into it.
    fn geoip2(&self) -> Value {
        let code = |field, code: &str| Value::Map(vec![(field, Value::Text(code.to_owned()))]);
        let continent = continent(self.country_code);
        let continent = continent.map(|continent| ("continent", code("code", &continent)));
        let country = ("country", code("iso_code", self.country_code));
        let place = location(self.latitude.into(), self.longitude.into());
        Value::Map(continent.into_iter().chain([country, place]).collect())
    }
}

/// The continent's code of a country's; `None` for codes that are no country.
pub fn continent(country: &str) -> Option<String> {
    let continent = continent_of(Country(country.as_bytes().try_into().ok()?))?;
    Some(continent.0.map(char::from).iter().collect())
}

/// Writes the copy and the table, each put in place whole.
fn convert(cities: &Path, database: &Path, table: &Path) -> Result<()> {
    let reader = Reader::open_readfile(cities)?;
    let mut writer = Writer::new(6, 32, "GeoIP2-City");
    let mut stored = HashMap::new();
    let mut votes: BTreeMap<&str, [u64; REGIONS.len()]> = BTreeMap::new();
    for record in reader.networks(WithinOptions::default())? {
        let record = record?;
        let network = record.network()?;
        let (place, country, region) = match stored.entry(record.offset()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let city: City<'_> = record.decode()?.context("a network without a city")?;
                let region = order((city.latitude.into(), city.longitude.into()))[0];
                *unknown.insert((writer.store(&city.geoip2()), city.country_code, region))
            }
        };
        writer.put(network.ip(), network.prefix(), place);
        let addresses = 1_u64 << (32 - network.prefix());
        votes.entry(country).or_default()[usize::from(region)] += addresses;
    }
    for region in REGIONS {
        // So that `pickclosest` finds the regions, which it knows by their addresses alone.
        let place = writer.store(&Value::Map(vec![location(region.latitude, region.longitude)]));
        writer.put(IpAddr::V4(region.address), 32, place);
    }
    put_whole(database, &writer.finish())?;
    let mut text = heading();
    for (country, votes) in votes {
        let most = (0..REGIONS.len()).max_by_key(|&region| votes[region]);
        let region = REGIONS[most.expect("there are regions")];
        text += &format!("{country} {}\n", region.name);
    }
    put_whole(table, text.as_bytes())
}

/// What the table depends on beside the data.
fn heading() -> String {
    let place =
        |region: Region| format!("{} {} {}", region.name, region.latitude, region.longitude);
    format!("{}\n", REGIONS.map(place).join(", "))
}

/// The field that says where.
fn location(latitude: f64, longitude: f64) -> (&'static str, Value) {
    let fields = vec![
        // PowerDNS takes no location without it.
        ("accuracy_radius", Value::Short(1)),
        ("latitude", Value::Double(latitude)),
        ("longitude", Value::Double(longitude)),
    ];
    ("location", Value::Map(fields))
}

/// The table of countries; `None` when it is for other regions.
fn read_table(text: &str) -> Option<BTreeMap<String, usize>> {
    let line = |line: &str| {
        let (country, name) = line.split_once(' ')?;
        let region = REGIONS.iter().position(|region| region.name == name)?;
        Some((country.to_owned(), region))
    };
    text.strip_prefix(&heading())?.lines().map(line).collect()
}

/// Another race may be making the same file: whoever is last replaces it whole.
fn put_whole(path: &Path, contents: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file of the geo folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(contents)?;
    let readable = fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.persist(path)?;
    Ok(())
}
