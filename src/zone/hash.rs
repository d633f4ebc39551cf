//! Hashes of names and of what encloses them.
//!
//! A search hashes the qname once, and an ancestor of it only when it has to look for one.
//! Catalog and zones share one key, drawn at random when the process begins: nobody outside can
//! make names that collide.

use crate::wire::name::{LABELS_MAX, SplitName};

/// The secret all hashes of a process are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey {
    seed: u64,
    fold: u64,
    last: u64,
}

/// The hash and place of every suffix of one name, for those who look for all of them: suffix 0
/// is the whole name, suffix [`labels`](Self::labels) is the root. Filled again for each name.
#[derive(Clone)]
pub struct Suffixes {
    hashes: [u64; LABELS_MAX],
    offsets: [u8; LABELS_MAX],
    labels: u8,
}

impl HashKey {
    /// A key of `random` octets.
    pub const fn new(random: [u64; 2]) -> Self {
        let [a, b] = random;
        // An odd multiplier keeps every bit of the other factor in play.
        Self { seed: a, fold: b | 1, last: (a.rotate_left(32) ^ b) | 1 }
    }

    /// A key drawn from the operating system's randomness, by way of the standard library.
    pub fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let draw = RandomState::new();
        Self::new([draw.hash_one(1), draw.hash_one(2)])
    }

    /// Every name has the same hash: the worst a flood of colliding names could do.
    #[cfg(test)]
    pub(crate) const fn colliding() -> Self {
        Self { seed: 0, fold: 0, last: 0 }
    }

    /// The hash of one whole name, or of any suffix of it, in lower case.
    #[inline]
    pub fn hash(&self, lower: &[u8]) -> u64 {
        // Overlapping reads cover every length without a loop over single octets; the length
        // tells names apart that would read alike.
        let mut hash = self.seed ^ lower.len() as u64;
        let (words, rest) = lower.as_chunks::<8>();
        if let Some(tail) = lower.last_chunk::<8>() {
            for word in words {
                hash = fold(hash ^ u64::from_le_bytes(*word), self.fold);
            }
            return fold(hash ^ u64::from_le_bytes(*tail), self.last);
        }
        let word = rest.iter().rev().fold(0, |word, &octet| word << 8 | u64::from(octet));
        fold(hash ^ word, self.last)
    }
}

/// Multiplies and folds both halves of the product together.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Suffixes {
    /// Room for any name; holds the root.
    pub const fn new() -> Self {
        Self { hashes: [0; LABELS_MAX], offsets: [0; LABELS_MAX], labels: 0 }
    }

    /// Finds and hashes every suffix of `lower`, one whole uncompressed name in lower case.
    /// Octets that are no name give hashes that mean nothing, but do no harm.
    pub fn of(&mut self, key: HashKey, lower: &[u8]) {
        self.split(lower);
        let count = self.labels() + 1;
        for (hash, &offset) in self.hashes.iter_mut().zip(&self.offsets).take(count) {
            *hash = key.hash(lower.get(usize::from(offset)..).unwrap_or_default());
        }
    }

    /// Finds every suffix of `lower` without hashing any.
    pub fn split(&mut self, lower: &[u8]) {
        let (mut labels, mut at) = (0, 0);
        while let Some(&length) = lower.get(at)
            && length != 0
            && labels < LABELS_MAX - 1
            && let Some(offset) = self.offsets.get_mut(labels)
        {
            *offset = at as u8;
            labels += 1;
            at += 1 + usize::from(length);
        }
        if let Some(offset) = self.offsets.get_mut(labels) {
            *offset = at as u8;
        }
        self.labels = labels as u8;
    }

    /// The name `lower`, which was split last, with its labels.
    pub fn name<'n>(&'n self, lower: &'n [u8]) -> SplitName<'n> {
        SplitName::new(lower, self.offsets.get(..=self.labels()).unwrap_or_default())
    }

    /// Labels of the name, the root label not counted; also the number of the root suffix.
    #[inline]
    pub const fn labels(&self) -> usize {
        self.labels as usize
    }

    /// The hash of suffix `index` (`0..=labels`).
    #[inline]
    pub const fn hash(&self, index: usize) -> u64 {
        self.hashes[index % LABELS_MAX]
    }

    /// Where suffix `index` begins in the name.
    #[inline]
    pub const fn offset(&self, index: usize) -> usize {
        self.offsets[index % LABELS_MAX] as usize
    }
}

impl Default for Suffixes {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(secret)")
    }
}

impl std::fmt::Debug for Suffixes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Suffixes({} labels)", self.labels)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::wire::name::Name;

    const KEY: HashKey = HashKey::new([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03]);

    fn wire(text: &str) -> Vec<u8> {
        text.parse::<Name>().expect("a name").as_wire().to_vec()
    }

    #[test]
    fn a_suffix_hashes_as_the_name_it_is() {
        let name = wire("a.bc.def.ghijklmn.opqrstuvwxyz0123456789.example.org");
        let mut suffixes = Suffixes::new();
        suffixes.of(KEY, &name);
        assert_eq!(suffixes.labels(), 7);
        for index in 0..=7 {
            assert_eq!(suffixes.hash(index), KEY.hash(&name[suffixes.offset(index)..]));
        }
        assert_eq!(suffixes.offset(7), name.len() - 1);
    }

    #[test]
    fn every_octet_of_a_label_counts() {
        for length in 1..=63 {
            let base = vec![b'a'; length];
            let mut seen = HashSet::new();
            for at in 0..length {
                let mut label = vec![length as u8];
                label.extend_from_slice(&base);
                label[1 + at] = b'b';
                label.push(0);
                assert!(seen.insert(KEY.hash(&label)), "length {length}, octet {at}");
            }
        }
    }

    #[test]
    fn another_key_gives_other_hashes() {
        let other = HashKey::new([1, 2]);
        assert_ne!(KEY.hash(&wire("example.org")), other.hash(&wire("example.org")));
    }

    #[test]
    fn octets_that_are_no_name_do_no_harm() {
        let mut suffixes = Suffixes::new();
        for octets in [&[][..], &[5, 1], &[63], &[1; 300], &[255; 255]] {
            suffixes.of(KEY, octets);
            assert!(suffixes.labels() < LABELS_MAX);
        }
    }

    #[test]
    fn a_name_of_127_labels_fits() {
        let name = wire(&"a.".repeat(127));
        let mut suffixes = Suffixes::new();
        suffixes.of(KEY, &name);
        assert_eq!(suffixes.labels(), 127);
        assert_eq!(suffixes.offset(127), 254);
    }
}
