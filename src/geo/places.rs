//! The different places of a world, each with a number.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::geo::place::Place;

/// Places by number. Number 0 is the unknown place from nowhere.
#[derive(Debug)]
pub(crate) struct PlaceSet {
    places: Vec<Place>,
    origins: Vec<Origin>,
    /// Numbers by hash: open addressing, at most half full, the size a power of two.
    slots: Vec<Slot>,
    /// How many slots are taken.
    taken: usize,
}

/// A number, 0 for none, and the upper half of its place's hash: far places stay untouched.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    upper: u32,
    number: u32,
}

/// Where the knowledge of a place came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    /// The databases that gave something, a bit for each.
    pub(crate) databases: u32,
    /// The entry of `networks.toml` that had the last word, counted from 1; 0 for none.
    pub(crate) network: u32,
}

impl Origin {
    /// One database, by its number; those past the 32nd share a bit.
    pub(crate) fn database(number: usize) -> Self {
        Self { databases: 1 << number.min(31), network: 0 }
    }
}

impl PlaceSet {
    /// Only the unknown place. `expected`: how many places will be numbered, as far as known.
    pub(crate) fn new(expected: usize) -> Self {
        let mut places = Vec::with_capacity(expected + 1);
        let mut origins = Vec::with_capacity(expected + 1);
        places.push(Place::default());
        origins.push(Origin::default());
        Self { places, origins, slots: vec![Slot::default(); slots_for(expected)], taken: 0 }
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The number of a place; a new one when it was never numbered here. Texts are told apart by
    /// where they are kept, so equal ones of two databases make two places.
    pub(crate) fn number(&mut self, place: Place, origin: Origin) -> u32 {
        let hash = hash(&place, origin);
        let (upper, mask) = ((hash >> 32) as u32, self.slots.len() - 1);
        let mut slot = hash as usize & mask;
        while self.slots[slot].number != 0 {
            let Slot { upper: other, number } = self.slots[slot];
            let index = number as usize;
            if other == upper && self.places[index] == place && self.origins[index] == origin {
                return number;
            }
            slot = (slot + 1) & mask;
        }
        let number = self.append(place, origin);
        self.slots[slot] = Slot { upper, number };
        self.taken += 1;
        if 2 * self.taken > self.slots.len() {
            self.grow();
        }
        number
    }

    /// The number of a place that is new for certain, or of which there may well be two.
    pub(crate) fn append(&mut self, place: Place, origin: Origin) -> u32 {
        self.places.push(place);
        self.origins.push(origin);
        self.places.len() as u32 - 1
    }

    /// The place with this number.
    pub(crate) fn get(&self, number: u32) -> (&Place, Origin) {
        (&self.places[number as usize], self.origins[number as usize])
    }

    /// All places by number.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// All places and where they came from, by number.
    pub(crate) fn into_parts(self) -> (Vec<Place>, Vec<Origin>) {
        (self.places, self.origins)
    }

    fn grow(&mut self) {
        let mut slots = vec![Slot::default(); 2 * self.slots.len()];
        let mask = slots.len() - 1;
        for known in self.slots.iter().filter(|slot| slot.number != 0) {
            let (place, origin) = self.get(known.number);
            let mut slot = hash(place, origin) as usize & mask;
            while slots[slot].number != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = *known;
        }
        self.slots = slots;
    }
}

fn slots_for(places: usize) -> usize {
    (2 * places + 1).next_power_of_two().max(16)
}

fn hash(place: &Place, origin: Origin) -> u64 {
    let Place { continent, country, subdivision, city, location, asn, region } = place;
    let letters = |code: [u8; 2]| u64::from(u16::from_be_bytes(code));
    let kept_at = |text: &Option<Arc<str>>| {
        text.as_ref().map_or(0, |text| Arc::as_ptr(text).cast::<u8>() as usize as u64)
    };
    let (latitude, longitude) = location
        .map_or((0, 0), |location| (location.latitude.to_bits(), location.longitude.to_bits()));
    let small = continent.map_or(0, |continent| letters(continent.0)) << 48
        | country.map_or(0, |country| letters(country.0)) << 32
        | u64::from(asn.unwrap_or(0));
    let word = region.map_or(0, |region| u64::from(region.0) + 1) << 32 | u64::from(origin.network);
    let words = [latitude, longitude, kept_at(city), kept_at(subdivision), small, word];
    words.into_iter().fold(u64::from(origin.databases), mix)
}

/// Texts, each kept once.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashSet<Arc<str>, BuildHasherDefault<Spread>>);

impl Texts {
    /// The kept text that reads like this one.
    pub(crate) fn keep(&mut self, text: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(text) {
            return Arc::clone(kept);
        }
        let kept: Arc<str> = text.into();
        self.0.insert(Arc::clone(&kept));
        kept
    }
}

/// Spreads texts and numbers over a table: no one else chooses them, so no defence is needed.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = mix(self.0, u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.0 = mix(self.0, u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = mix(self.0, u64::from(value));
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asn(number: u32) -> Place {
        Place { asn: Some(number), ..Place::default() }
    }

    #[test]
    fn equal_places_share_a_number_however_many_there_are() {
        let mut places = PlaceSet::new(0);
        let origin = Origin::database(0);
        let first: Vec<u32> = (1..1000).map(|n| places.number(asn(n), origin)).collect();
        let again: Vec<u32> = (1..1000).map(|n| places.number(asn(n), origin)).collect();
        assert_eq!(first, (1..1000).collect::<Vec<_>>());
        assert_eq!(first, again);
        assert_eq!(places.number(asn(1), Origin::database(1)), 1000);
    }

    #[test]
    fn a_text_is_kept_once() {
        let mut texts = Texts::default();
        let (one, other) = (texts.keep("Berlin"), texts.keep("Berlin, Mitte"));
        assert!(Arc::ptr_eq(&one, &texts.keep("Berlin")));
        assert_eq!((&*one, &*other), ("Berlin", "Berlin, Mitte"));
    }
}
