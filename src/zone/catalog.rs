//! Which zone a qname belongs to: the longest apex that encloses it.

use super::hash::HashKey;
use super::table::Table;
use crate::wire::name::{Name, SplitName, same_octets};

/// Apexes and what stands for each.
#[derive(Debug)]
pub struct Catalog<T> {
    table: Table,
    entries: Vec<Entry<T>>,
    /// How many labels apexes have, most first: only such suffixes are probed.
    depths: Vec<u8>,
    key: HashKey,
}

#[derive(Debug)]
struct Entry<T> {
    apex: Box<[u8]>,
    value: T,
}

impl<T> Catalog<T> {
    /// An empty catalog. `key` is the key of the zones in it.
    pub fn new(key: HashKey) -> Self {
        Self { table: Table::with_capacity(0), entries: Vec::new(), depths: Vec::new(), key }
    }

    /// Adds a zone; returns `false`, and changes nothing, when the apex is there already.
    pub fn insert(&mut self, apex: &Name, value: T) -> bool {
        let labels = apex.label_count() as u8;
        let apex = apex.as_wire().to_ascii_lowercase().into_boxed_slice();
        let hash = self.key.hash(&apex);
        if self.at(hash, &apex).is_some() {
            return false;
        }
        let Ok(place) = u32::try_from(self.entries.len()) else {
            return false;
        };
        let (entries, key) = (&self.entries, self.key);
        self.table.insert(hash, place, |place| key.hash(&entries[place as usize].apex));
        self.entries.push(Entry { apex, value });
        if let Err(at) = self.depths.binary_search_by(|depth| labels.cmp(depth)) {
            self.depths.insert(at, labels);
        }
        true
    }

    /// The zone with the longest apex that is `qname` or an ancestor of it, and which suffix of
    /// the qname that apex is.
    #[inline]
    pub fn find(&self, qname: SplitName<'_>) -> Option<(&T, usize)> {
        let (place, index) = self.enclosing(qname, qname.count())?;
        Some((self.get(place)?, index))
    }

    /// As [`find`](Self::find), but only apexes above the qname itself: the zone a DS record
    /// at an apex belongs to (RFC 4035 section 3.1.4.1).
    #[inline]
    pub fn find_above(&self, qname: SplitName<'_>) -> Option<(&T, usize)> {
        let depth = qname.count().checked_sub(1)?;
        let (place, index) = self.enclosing(qname, depth)?;
        Some((self.get(place)?, index))
    }

    /// As [`find`](Self::find), as numbers that can be kept while the catalog is borrowed for
    /// something else: the zone's place, for [`get`](Self::get), and the suffix.
    #[inline]
    pub fn place(&self, qname: SplitName<'_>) -> Option<(u32, u8)> {
        // Most servers have apexes of one depth only, and many have one zone.
        if let [depth] = *self.depths.as_slice()
            && let Some(index) = qname.count().checked_sub(usize::from(depth))
        {
            let apex = qname.suffix(index);
            let is_it = |entry: &Entry<T>| same_octets(&entry.apex, apex);
            if let [only] = self.entries.as_slice() {
                return is_it(only).then_some((0, index as u8));
            }
            // The first slot mostly has it.
            if let Some(place) = self.table.first(self.key.hash(apex))
                && self.entries.get(place as usize).is_some_and(is_it)
            {
                return Some((place, index as u8));
            }
        }
        let (place, index) = self.enclosing(qname, qname.count())?;
        Some((place, index as u8))
    }

    /// The zone at a place.
    #[inline]
    pub fn get(&self, place: u32) -> Option<&T> {
        self.entries.get(place as usize).map(|entry| &entry.value)
    }

    /// The key its hashes are made with.
    pub const fn key(&self) -> HashKey {
        self.key
    }

    /// How many zones there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without zones.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The values, in the order they came.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.value)
    }

    /// The place of the longest apex of at most `depth` labels, and which suffix it is.
    fn enclosing(&self, qname: SplitName<'_>, depth: usize) -> Option<(u32, usize)> {
        for &depth in self.depths.iter().skip_while(|&&have| usize::from(have) > depth) {
            let index = qname.count() - usize::from(depth);
            let apex = qname.suffix(index);
            if let Some(place) = self.at(self.key.hash(apex), apex) {
                return Some((place, index));
            }
        }
        None
    }

    #[inline]
    fn at(&self, hash: u64, apex: &[u8]) -> Option<u32> {
        let entries = &self.entries;
        let is_it =
            |at: u32| entries.get(at as usize).is_some_and(|entry| same_octets(&entry.apex, apex));
        self.table.find(hash, is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::Suffixes;
    use super::*;

    fn catalog(key: HashKey, apexes: &[&str]) -> Catalog<usize> {
        let mut catalog = Catalog::new(key);
        for (number, apex) in apexes.iter().enumerate() {
            assert!(catalog.insert(&apex.parse().expect("a name"), number));
        }
        catalog
    }

    fn check(catalog: &Catalog<usize>, qname: &str, expected: Option<(usize, usize)>) {
        let name = qname.parse::<Name>().expect("a name").to_lowercase();
        let mut suffixes = Suffixes::new();
        suffixes.split(name.as_wire());
        let labels = suffixes.name(name.as_wire());
        assert_eq!(
            catalog.place(labels).map(|(place, index)| (place as usize, index as usize)),
            expected
        );
        let found = catalog.find(labels).map(|(&zone, index)| (zone, index));
        assert_eq!(found, expected, "{qname}");
    }

    const APEXES: [&str; 4] = ["example.org", "Sub.Example.Org", "test", "a.b.c.d.example.net"];

    #[test]
    fn the_longest_apex_wins() {
        for key in [HashKey::new([3, 4]), HashKey::colliding()] {
            let catalog = catalog(key, &APEXES);
            check(&catalog, "example.org", Some((0, 0)));
            check(&catalog, "www.example.org", Some((0, 1)));
            check(&catalog, "www.sub.example.org", Some((1, 1)));
            check(&catalog, "xsub.example.org", Some((0, 1)));
            check(&catalog, "x.y.test", Some((2, 2)));
            check(&catalog, "b.c.d.example.net", None);
            check(&catalog, "x.a.b.c.d.example.net", Some((3, 1)));
            check(&catalog, "org", None);
            check(&catalog, ".", None);
        }
    }

    #[test]
    fn the_root_encloses_everything() {
        let catalog = catalog(HashKey::new([3, 4]), &["."]);
        check(&catalog, ".", Some((0, 0)));
        check(&catalog, "a.b", Some((0, 2)));
        check(&catalog, &"a.".repeat(127), Some((0, 127)));
    }

    #[test]
    fn one_zone_alone_is_found_or_not() {
        for key in [HashKey::new([3, 4]), HashKey::colliding()] {
            let catalog = catalog(key, &["example.org"]);
            check(&catalog, "example.org", Some((0, 0)));
            check(&catalog, "a.b.example.org", Some((0, 2)));
            check(&catalog, "xexample.org", None);
            check(&catalog, "example.net", None);
            check(&catalog, "org", None);
        }
    }

    #[test]
    fn an_apex_is_added_once() {
        let mut catalog = catalog(HashKey::new([3, 4]), &APEXES);
        assert!(!catalog.insert(&"EXAMPLE.org".parse().expect("a name"), 9));
        assert_eq!(catalog.len(), 4);
    }

    #[test]
    fn ds_at_an_apex_is_asked_of_the_zone_above() {
        let catalog = catalog(HashKey::new([3, 4]), &APEXES);
        let name = "sub.example.org".parse::<Name>().expect("a name");
        let mut suffixes = Suffixes::new();
        suffixes.split(name.as_wire());
        assert_eq!(catalog.find_above(suffixes.name(name.as_wire())), Some((&0, 1)));
    }
}
