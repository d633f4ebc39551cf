//! The different places of a world, each with a number.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::geo::place::Place;

/// Places by number. Number 0 is the unknown place from nowhere.
#[derive(Debug)]
pub(crate) struct PlaceSet {
    places: Vec<Place>,
    origins: Vec<Origin>,
    /// By hash; places whose hashes meet stand at the following numbers.
    numbers: HashMap<u64, u32>,
}

/// Where the knowledge of a place came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Origin {
    /// The databases that gave something, a bit for each.
    pub(crate) databases: u64,
    /// The entry of `networks.toml` that had the last word, counted from 1; 0 for none.
    pub(crate) network: u32,
}

impl PlaceSet {
    /// Only the unknown place.
    pub(crate) fn new() -> Self {
        let mut set = Self { places: Vec::new(), origins: Vec::new(), numbers: HashMap::new() };
        set.number(Place::default(), Origin::default());
        set
    }

    /// The number of a place; a new one when it was never seen.
    pub(crate) fn number(&mut self, place: Place, origin: Origin) -> u32 {
        let mut hash = hash(&place, origin);
        while let Some(&number) = self.numbers.get(&hash) {
            let index = number as usize;
            if self.places[index] == place && self.origins[index] == origin {
                return number;
            }
            hash = hash.wrapping_add(1);
        }
        let number = self.places.len() as u32;
        self.places.push(place);
        self.origins.push(origin);
        self.numbers.insert(hash, number);
        number
    }

    /// The place with this number.
    pub(crate) fn get(&self, number: u32) -> (&Place, Origin) {
        (&self.places[number as usize], self.origins[number as usize])
    }

    /// All places and where they came from, by number.
    pub(crate) fn into_parts(self) -> (Vec<Place>, Vec<Origin>) {
        (self.places, self.origins)
    }
}

fn hash(place: &Place, origin: Origin) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Place { continent, country, subdivision, city, location, asn, region } = place;
    (continent, country, subdivision, city, asn, region, origin).hash(&mut hasher);
    location
        .map(|location| (location.latitude.to_bits(), location.longitude.to_bits()))
        .hash(&mut hasher);
    hasher.finish()
}
