//! One pass over a qname gives the hash of every suffix of it.
//!
//! A name's hash is its parent's hash with the leftmost label folded in, so a search may try
//! any suffix, and any child of one (`*`), without hashing again. Catalog and zones share one
//! key, drawn at random when the process begins: nobody outside can make names that collide.

use crate::wire::name::LABELS_MAX;

/// The secret all hashes of a process are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey {
    seed: u64,
    word: u64,
    fold: u64,
}

/// The hash and place of every suffix of one name. Suffix 0 is the whole name, suffix
/// [`labels`](Self::labels) is the root. Made once per thread and filled for each query.
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
        Self { seed: a, word: a.rotate_left(32) ^ b, fold: b | 1 }
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
        Self { seed: 0, word: 0, fold: 0 }
    }

    /// The hash of `*` as a child of the name with `parent`'s hash.
    #[inline]
    pub const fn wildcard(&self, parent: u64) -> u64 {
        self.fold_word(parent, 0x2a01)
    }

    /// The hash of one whole name in lower case.
    pub fn hash_name(&self, lower: &[u8]) -> u64 {
        let mut suffixes = Suffixes::new();
        suffixes.of(*self, lower);
        suffixes.hash(0)
    }

    /// The hash of a child, `label` with its length octet in front, in lower case.
    #[inline]
    fn child(&self, parent: u64, label: &[u8]) -> u64 {
        // Overlapping reads cover every length without a loop over single octets; the length
        // octet at the front tells labels apart that would read alike.
        if let (Some(head), Some(tail)) = (label.first_chunk::<8>(), label.last_chunk::<8>()) {
            let mut hash = parent;
            let mut middle = label.get(8..label.len().saturating_sub(8)).unwrap_or_default();
            while let Some((words, rest)) = middle.split_first_chunk::<8>() {
                hash = self.fold_word(hash, u64::from_le_bytes(*words));
                middle = rest;
            }
            // Fewer than eight octets are left in the middle: read the eight before the tail.
            if !middle.is_empty()
                && let Some(words) = label.get(..label.len() - 8).and_then(<[u8]>::last_chunk::<8>)
            {
                hash = self.fold_word(hash, u64::from_le_bytes(*words));
            }
            return fold(u64::from_le_bytes(*head) ^ self.word, u64::from_le_bytes(*tail) ^ hash);
        }
        if let (Some(head), Some(tail)) = (label.first_chunk::<4>(), label.last_chunk::<4>()) {
            let word =
                u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32;
            return self.fold_word(parent, word);
        }
        let word = label.iter().rev().fold(0, |word, &octet| word << 8 | u64::from(octet));
        self.fold_word(parent, word)
    }

    #[inline]
    const fn fold_word(&self, hash: u64, word: u64) -> u64 {
        fold(hash ^ word, self.fold)
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

    /// Hashes every suffix of `lower`, one whole uncompressed name in lower case. Octets that
    /// are no name give hashes that mean nothing, but do no harm.
    #[inline]
    pub fn of(&mut self, key: HashKey, lower: &[u8]) {
        let mut starts = [0; LABELS_MAX];
        let mut labels = 0;
        let mut at = 0;
        while let Some(&length) = lower.get(at)
            && length != 0
            && labels < LABELS_MAX - 1
        {
            starts[labels] = at as u8;
            labels += 1;
            at += 1 + usize::from(length);
        }
        starts[labels] = at as u8;
        self.of_labels(key, lower, &starts, labels);
    }

    /// As [`of`](Self::of), for a name whose labels are known to begin at `starts`: the first
    /// `labels` of them, and then the root label.
    #[inline]
    pub fn of_labels(
        &mut self,
        key: HashKey,
        lower: &[u8],
        starts: &[u8; LABELS_MAX],
        labels: usize,
    ) {
        // Masking is free of branches; names never have more labels.
        let labels = labels % LABELS_MAX;
        self.labels = labels as u8;
        let mut hash = key.seed;
        let mut end = starts[labels];
        self.hashes[labels] = hash;
        self.offsets[labels] = end;
        let mut index = labels;
        while index > 0 {
            index -= 1;
            let start = starts[index % LABELS_MAX];
            let label = lower.get(usize::from(start)..usize::from(end)).unwrap_or_default();
            hash = key.child(hash, label);
            self.hashes[index % LABELS_MAX] = hash;
            self.offsets[index % LABELS_MAX] = start;
            end = start;
        }
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
            assert_eq!(suffixes.hash(index), KEY.hash_name(&name[suffixes.offset(index)..]));
        }
        assert_eq!(suffixes.offset(7), name.len() - 1);
    }

    #[test]
    fn a_wildcard_child_hashes_as_its_name() {
        let parent = KEY.hash_name(&wire("example.org"));
        assert_eq!(KEY.wildcard(parent), KEY.hash_name(&wire("*.example.org")));
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
                assert!(seen.insert(KEY.hash_name(&label)), "length {length}, octet {at}");
            }
        }
    }

    #[test]
    fn another_key_gives_other_hashes() {
        let other = HashKey::new([1, 2]);
        assert_ne!(KEY.hash_name(&wire("example.org")), other.hash_name(&wire("example.org")));
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
