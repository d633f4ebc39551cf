//! The world as far as it is known: every address's place, from GeoIP databases in the
//! operator's order and the operator's own networks laid over them.
//!
//! Built when a file changes; maps are compiled from it. Knows no rules and no candidates.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;

use crate::geo::countries::continent_of;
use crate::geo::db::{Database, DbError, Source};
use crate::geo::embedded;
use crate::geo::ground::Ground;
use crate::geo::networks::Network;
use crate::geo::place::Place;
use crate::geo::places::{Origin, PlaceSet, Spread};
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
    /// Made for the first map.
    ground: OnceLock<Ground>,
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
        let databases = open_all(paths, fallback == Fallback::Embedded)?;
        Ok(Self::assemble(databases, networks))
    }

    /// The shipped country database alone.
    pub fn embedded() -> Self {
        Self::assemble(vec![embedded::database(0)], &[])
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

    /// The places as points on the globe.
    pub(crate) fn ground(&self) -> &Ground {
        self.ground.get_or_init(|| Ground::new(&self.places, &self.v4, &self.v6))
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

    /// Whether the operator's own networks had the last word on a place.
    pub(crate) fn is_by_operator(&self, number: u32) -> bool {
        self.origins.get(number as usize).is_some_and(|origin| origin.network > 0)
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
        let layers = databases.into_iter().map(|database| database.layer);
        let known = layers.reduce(Layer::join).unwrap_or_else(Layer::nothing).overlay(networks);
        let (mut places, origins) = known.places.into_parts();
        places.iter_mut().for_each(derive);
        let (mut v4, mut v6) = (known.v4, known.v6);
        v4.shrink();
        v6.shrink();
        let written = networks.iter().flat_map(|network| network.cidrs.iter().copied()).collect();
        Self { places, origins, v4, v6, sources, written, ground: OnceLock::new() }
    }
}

/// Reads every file in a thread of its own, the shipped database meanwhile.
fn open_all<P: AsRef<Path>>(paths: &[P], with_shipped: bool) -> Result<Vec<Database>, DbError> {
    std::thread::scope(|scope| {
        let numbered = paths.iter().map(AsRef::as_ref).zip(0..);
        let reading = |(path, number)| scope.spawn(move || Database::open(path, number));
        let threads: Vec<_> = numbered.map(reading).collect();
        let shipped = with_shipped.then(|| Ok(embedded::database(paths.len())));
        let panicked = "reading a database ends in a result";
        threads.into_iter().map(|thread| thread.join().expect(panicked)).chain(shipped).collect()
    })
}

/// What one database says, or several that have been joined.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its places.
    pub(crate) places: PlaceSet,
    /// Spans of place numbers.
    pub(crate) v4: Spans<u32>,
    /// Spans of place numbers.
    pub(crate) v6: Spans<u64>,
}

impl Layer {
    fn nothing() -> Self {
        Self { places: PlaceSet::new(0), v4: Spans::uniform(0), v6: Spans::uniform(0) }
    }

    /// Lets `other` fill in what this one does not know.
    fn join(self, other: Self) -> Self {
        let offer = Offer::of(other.places.places());
        let places = self.places.places().iter();
        let complete: Vec<bool> = places.map(|place| offer.adds_nothing_to(place)).collect();
        let mut joining = Joining::new(self.places, &other.places);
        let v4 = joining.join(self.v4, other.v4, &complete);
        let v6 = joining.join(self.v6, other.v6, &complete);
        Self { places: joining.places, v4, v6 }
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

/// Numbers for pairs of places, one of each database. Most pairs are the one place or the other
/// as it was, and need no looking up.
struct Joining<'s> {
    /// Those of the first database, and behind them whatever the second adds.
    places: PlaceSet,
    second: &'s PlaceSet,
    /// By number in the second: the number of the same place here; 0 for none.
    taken_over: Vec<u32>,
    /// The other pairs.
    known: HashMap<(u32, u32), u32, BuildHasherDefault<Spread>>,
}

impl<'s> Joining<'s> {
    fn new(places: PlaceSet, second: &'s PlaceSet) -> Self {
        let taken_over = vec![0; second.len()];
        Self { places, second, taken_over, known: HashMap::default() }
    }

    /// `complete`: for each place of the first database, whether the second has nothing to add.
    fn join<K: Key>(
        &mut self,
        first: Spans<K>,
        mut second: Spans<K>,
        complete: &[bool],
    ) -> Spans<K> {
        match (first.everywhere(), second.everywhere()) {
            (_, Some(0)) => first,
            (Some(0), _) => {
                second.renumber(|id| self.number(0, id));
                second
            }
            _ => first.fill(
                &second,
                |id| !complete[id as usize],
                |first, second| self.number(first, second),
            ),
        }
    }

    fn number(&mut self, first: u32, second: u32) -> u32 {
        if second == 0 {
            return first;
        }
        if first == 0 {
            return self.take_over(second);
        }
        if let Some(&number) = self.known.get(&(first, second)) {
            return number;
        }
        let ((a, from_a), (b, from_b)) = (self.places.get(first), self.second.get(second));
        let place = complete(a, b);
        let number = match () {
            () if place == *a => first,
            () if place == *b => self.take_over(second),
            () => {
                let databases = from_a.databases | from_b.databases;
                self.places.number(place, Origin { databases, network: 0 })
            }
        };
        self.known.insert((first, second), number);
        number
    }

    /// The number here of a place of the second database.
    fn take_over(&mut self, second: u32) -> u32 {
        let number = &mut self.taken_over[second as usize];
        if *number == 0 {
            let (place, origin) = self.second.get(second);
            *number = self.places.append(place.clone(), origin);
        }
        *number
    }
}

/// Which fields at least one place of a database has.
struct Offer {
    continent: bool,
    country: bool,
    subdivision: bool,
    city: bool,
    location: bool,
    asn: bool,
}

impl Offer {
    fn of(places: &[Place]) -> Self {
        Self {
            continent: places.iter().any(|place| place.continent.is_some()),
            country: places.iter().any(|place| place.country.is_some()),
            subdivision: places.iter().any(|place| place.subdivision.is_some()),
            city: places.iter().any(|place| place.city.is_some()),
            location: places.iter().any(|place| place.location.is_some()),
            asn: places.iter().any(|place| place.asn.is_some()),
        }
    }

    /// True when [`complete`] would leave this place as it is, whichever place of the database
    /// it was given.
    fn adds_nothing_to(&self, place: &Place) -> bool {
        let keeps_its_own = place.location.is_some() || (place.country.is_some() && !self.location);
        keeps_its_own
            && (place.continent.is_some() || !self.continent)
            && (place.country.is_some() || !self.country)
            && (place.subdivision.is_some() || !self.subdivision)
            && (place.city.is_some() || !self.city)
            && (place.asn.is_some() || !self.asn)
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
    let none_by_asn = networks.iter().all(|network| network.asns.is_empty());
    let mut known = HashMap::<_, _, BuildHasherDefault<Spread>>::default();
    spans.zip(&nested.spans, |id, network| {
        if network == 0 && none_by_asn {
            return id;
        }
        *known.entry((id, network)).or_insert_with(|| {
            let (place, mut origin) = places.get(id);
            let chain = chains[network as usize].iter().copied();
            let mut said = by_asn(networks, place.asn).chain(chain).peekable();
            if said.peek().is_none() {
                return id;
            }
            let mut place = place.clone();
            for entry in said {
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
    // There may be very many entries, and mostly there is no number to look for.
    asn.into_iter().flat_map(move |asn| {
        let entries = networks.iter().enumerate();
        entries.filter(move |(_, network)| network.asns.contains(&asn)).map(|(entry, _)| entry)
    })
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
