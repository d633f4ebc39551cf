//! The world as far as it is known: every address's place, from GeoIP databases in the
//! operator's order and the operator's own networks laid over them.
//!
//! Built when a file changes; maps are compiled from it. Knows no rules and no candidates.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use crate::geo::countries::continent_of;
use crate::geo::db::{Database, DbError, Source};
use crate::geo::embedded;
use crate::geo::networks::Network;
use crate::geo::place::Place;
use crate::geo::places::{Origin, PlaceSet};
use crate::geo::spans::{Key, Nested, Spans, block_of};

/// Every address's place.
#[derive(Debug)]
pub struct World {
    places: Vec<Place>,
    origins: Vec<Origin>,
    v4: Spans<u32>,
    v6: Spans<u64>,
    /// The databases, for people.
    sources: Vec<Source>,
    /// Networks of `networks.toml`: their borders stand, however fine.
    written: Vec<(IpAddr, u8)>,
}

/// What is known of one address, and from where.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<'w> {
    /// Its place.
    pub place: &'w Place,
    /// The block around it of which the same is known: base address and prefix length.
    pub network: (IpAddr, u8),
    /// Who said so: databases and the entry of networks.toml, for people to read.
    pub source: String,
}

/// What to fill the gaps of the operator's databases with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The country database that is shipped.
    Embedded,
    /// Nothing.
    None,
}

impl World {
    /// Reads databases and lays `networks` over them. Of several databases the first that has
    /// coordinates for an address wins, and the others fill in what it leaves open; the
    /// shipped one comes last.
    pub fn load<P: AsRef<Path>>(
        paths: &[P],
        networks: &[Network],
        fallback: Fallback,
    ) -> Result<Self, DbError> {
        let databases = paths.iter().map(|path| Database::open(path.as_ref()));
        let mut databases = databases.collect::<Result<Vec<_>, _>>()?;
        if fallback == Fallback::Embedded {
            databases.push(embedded::database());
        }
        Ok(Self::assemble(databases, networks))
    }

    /// The shipped country database alone.
    pub fn embedded() -> Self {
        Self::assemble(vec![embedded::database()], &[])
    }

    /// A world of which nothing is known but `networks`.
    pub fn from_networks(networks: &[Network]) -> Self {
        Self::assemble(Vec::new(), networks)
    }

    /// What is known of an address. An IPv4-mapped IPv6 address is looked up as IPv4.
    pub fn locate(&self, ip: IpAddr) -> Located<'_> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.located(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => self.located(&self.v6, (ip.to_bits() >> 64) as u64),
        }
    }

    /// The databases this was made of, the shipped one last.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every different place, by number; number 0 is the unknown place.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Bytes held by the address spans; the places come on top.
    pub fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }

    pub(crate) fn place(&self, number: u32) -> &Place {
        &self.places[number as usize]
    }

    pub(crate) const fn v4(&self) -> &Spans<u32> {
        &self.v4
    }

    pub(crate) const fn v6(&self) -> &Spans<u64> {
        &self.v6
    }

    pub(crate) fn written(&self) -> &[(IpAddr, u8)] {
        &self.written
    }

    fn located<K: Key>(&self, spans: &Spans<K>, key: K) -> Located<'_> {
        let span = spans.find(key);
        let (first, length) = block_of::<K>(key.to_u64(), span);
        Located {
            place: self.place(span.id),
            network: (K::from_u64(first).to_ip(), length),
            source: self.source(self.origins[span.id as usize]),
        }
    }

    fn source(&self, origin: Origin) -> String {
        let databases = self.sources.iter().zip(0..);
        let mut sources: Vec<String> = databases
            .filter(|(_, number)| (origin.databases >> number) & 1 == 1)
            .map(|(source, _)| source.name.to_string())
            .collect();
        if origin.network > 0 {
            sources.push(format!("networks.toml, entry {}", origin.network));
        }
        if sources.is_empty() { "no source".to_owned() } else { sources.join(", ") }
    }

    /// Joins what the databases say, lays `networks` over it, and fills in what follows from
    /// the rest: a country's continent and centroid.
    fn assemble(databases: Vec<Database>, networks: &[Network]) -> Self {
        let sources = databases.iter().map(|database| database.source.clone()).collect();
        let layers = databases.into_iter().map(|database| database.layer).enumerate();
        let known = layers.map(|(number, layer)| layer.begin(number)).reduce(Known::join);
        let known = known.unwrap_or_else(Known::nothing).overlay(networks);
        let (mut places, origins) = known.places.into_parts();
        places.iter_mut().for_each(derive);
        let (mut v4, mut v6) = (known.v4, known.v6);
        v4.shrink();
        v6.shrink();
        let written = networks.iter().flat_map(|network| network.cidrs.iter().copied()).collect();
        Self { places, origins, v4, v6, sources, written }
    }
}

/// What one database says, not yet joined with others.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its places; number 0 is the unknown one.
    pub(crate) places: Vec<Place>,
    /// Spans of place numbers.
    pub(crate) v4: Spans<u32>,
    /// Spans of place numbers.
    pub(crate) v6: Spans<u64>,
}

impl Layer {
    fn begin(self, number: usize) -> Known {
        let mut places = PlaceSet::new();
        let numbers: Vec<u32> = self
            .places
            .into_iter()
            .map(|place| {
                let nothing = place == Place::default();
                let databases = if nothing { 0 } else { 1 << number.min(63) };
                places.number(place, Origin { databases, network: 0 })
            })
            .collect();
        let renumber = |id: u32| numbers[id as usize];
        Known { places, v4: self.v4.map(renumber), v6: self.v6.map(renumber) }
    }
}

/// Knowledge on its way to a [`World`].
struct Known {
    places: PlaceSet,
    v4: Spans<u32>,
    v6: Spans<u64>,
}

impl Known {
    fn nothing() -> Self {
        Self { places: PlaceSet::new(), v4: Spans::uniform(0), v6: Spans::uniform(0) }
    }

    /// Lets `other` fill in what this one does not know.
    fn join(self, other: Self) -> Self {
        let mut places = PlaceSet::new();
        let mut joined = HashMap::new();
        let mut join = |first: u32, second: u32| {
            *joined.entry((first, second)).or_insert_with(|| {
                let ((a, from_a), (b, from_b)) = (self.places.get(first), other.places.get(second));
                let place = complete(a, b);
                let databases = match () {
                    () if place == *a => from_a.databases,
                    () if place == *b => from_b.databases,
                    () => from_a.databases | from_b.databases,
                };
                places.number(place, Origin { databases, network: 0 })
            })
        };
        let v4 = self.v4.zip(&other.v4, &mut join);
        let v6 = self.v6.zip(&other.v6, &mut join);
        Self { places, v4, v6 }
    }

    fn overlay(mut self, networks: &[Network]) -> Self {
        if networks.is_empty() {
            return self;
        }
        let v4 = overlay(&self.v4, &mut self.places, networks);
        let v6 = overlay(&self.v6, &mut self.places, networks);
        Self { places: self.places, v4, v6 }
    }
}

/// `first`, with its gaps filled from `second`. Coordinates win over a mere country; and what
/// belongs to another country fills no gap, or a place would stand in two.
fn complete(first: &Place, second: &Place) -> Place {
    let swap = first.location.is_none() && (second.location.is_some() || first.country.is_none());
    let (base, rest) = if swap { (second, first) } else { (first, second) };
    let mut place = base.clone();
    if base.country.is_none() || rest.country.is_none() || base.country == rest.country {
        place.continent = place.continent.or(rest.continent);
        place.country = place.country.or(rest.country);
        place.subdivision = place.subdivision.or_else(|| rest.subdivision.clone());
        place.city = place.city.or_else(|| rest.city.clone());
    }
    place.asn = first.asn.or(second.asn);
    place
}

/// Lays the operator's networks over the spans of one family: first those known by their
/// number of autonomous system, then those written as prefixes, longer ones last.
fn overlay<K: Key>(spans: &Spans<K>, places: &mut PlaceSet, networks: &[Network]) -> Spans<K> {
    let (mut given, mut entries) = (Vec::new(), Vec::new());
    for (entry, network) in networks.iter().enumerate() {
        for &(address, length) in &network.cidrs {
            if let Some(key) = K::from_ip(address) {
                given.push((key, length.min(K::BITS)));
                entries.push(entry);
            }
        }
    }
    let nested = Nested::new(&given);
    let chains = chains(&nested, &entries);
    let mut known = HashMap::new();
    spans.zip(&nested.spans, |id, network| {
        *known.entry((id, network)).or_insert_with(|| {
            let (place, mut origin) = places.get(id);
            let mut place = place.clone();
            let chain = chains[network as usize].iter().copied();
            for entry in by_asn(networks, place.asn).chain(chain) {
                amend(&mut place, &networks[entry].place);
                origin.network = entry as u32 + 1;
            }
            places.number(place, origin)
        })
    })
}

/// For each number in `nested.spans`, the entries that hold there, the weakest first.
fn chains<K: Key>(nested: &Nested<K>, entries: &[usize]) -> Vec<Vec<usize>> {
    let mut chains = vec![Vec::new()];
    for network in &nested.networks {
        let mut chain =
            network.parent.map_or_else(Vec::new, |parent| chains[parent as usize + 1].clone());
        chain.extend(network.given.iter().map(|&given| entries[given as usize]));
        chains.push(chain);
    }
    chains
}

fn by_asn(networks: &[Network], asn: Option<u32>) -> impl Iterator<Item = usize> {
    let entries = networks.iter().enumerate();
    entries
        .filter(move |(_, network)| asn.is_some_and(|asn| network.asns.contains(&asn)))
        .map(|(entry, _)| entry)
}

/// Takes over what the operator knows. Another country than the database's makes all that
/// belonged to the old one void.
fn amend(place: &mut Place, word: &Place) {
    if word.country.is_some() && word.country != place.country {
        let Place { asn, region, .. } = std::mem::take(place);
        *place = Place { asn, region, ..Place::default() };
    }
    let Place { continent, country, subdivision, city, location, asn, region } = word.clone();
    place.continent = continent.or(place.continent);
    place.country = country.or(place.country);
    place.subdivision = subdivision.or_else(|| place.subdivision.take());
    place.city = city.or_else(|| place.city.take());
    place.location = location.or(place.location);
    place.asn = asn.or(place.asn);
    place.region = region.or(place.region);
}

/// Fills in what follows from the country.
fn derive(place: &mut Place) {
    let Some(country) = place.country else { return };
    place.continent = place.continent.or_else(|| continent_of(country));
    place.location = place.location.or_else(|| embedded::centroid(country));
}
