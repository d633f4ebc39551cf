//! Open addressing: hash to a place in an arena. What stands at the place is the caller's.

use prefetch_index::prefetch_index;

/// Slots of 32 hash bits and a 32-bit place, probed one after the other.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// `tag << 32 | place + 1`; 0 is empty. At least one slot is empty, so probing ends.
    slots: Box<[u64]>,
    used: usize,
}

impl Table {
    /// Room for `entries` at a load of one half: a search that finds nothing looks at 2.5 slots
    /// in the mean (Knuth 6.4), against 8.5 at three quarters.
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self { slots: vec![0; entries * 2 + 2].into_boxed_slice(), used: 0 }
    }

    /// Where the entry with `hash` stands for which `is_it` holds. `is_it` is asked only for
    /// entries whose tag agrees.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = hash as u32;
        let mut index = self.home(hash);
        for _ in 0..self.slots.len() {
            let slot = self.slots.get(index).copied().unwrap_or(0);
            if slot == 0 {
                return None;
            }
            let place = (slot as u32).wrapping_sub(1);
            if (slot >> 32) as u32 == tag && is_it(place) {
                return Some(place);
            }
            index = self.after(index);
        }
        None
    }

    /// Has the first slot a search for `hash` looks at on its way from memory.
    #[inline]
    pub(super) fn approach(&self, hash: u64) {
        prefetch_index(&self.slots, self.home(hash));
    }

    /// The place in the first slot a search for `hash` looks at, if its tag agrees: mostly the
    /// whole search.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<u32> {
        let slot = *self.slots.get(self.home(hash))?;
        ((slot >> 32) as u32 == hash as u32 && slot != 0).then(|| (slot as u32).wrapping_sub(1))
    }

    /// Adds an entry that [`find`](Self::find) does not find. `rehash` gives the hash of the
    /// entry at a place; it is asked when the table grows.
    pub(super) fn insert(&mut self, hash: u64, place: u32, rehash: impl Fn(u32) -> u64) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let mut larger = Self::with_capacity((self.used + 1) * 2);
            for &slot in self.slots.iter().filter(|&&slot| slot != 0) {
                let place = slot as u32 - 1;
                larger.place(rehash(place), place);
            }
            *self = larger;
        }
        self.place(hash, place);
    }

    /// Whether a table made for `entries` would be of about this size.
    pub(super) const fn fits(&self, entries: usize) -> bool {
        let ideal = entries * 2 + 2;
        self.slots.len() >= ideal && self.slots.len() <= ideal + ideal / 4
    }

    /// Octets of memory.
    pub(super) const fn memory(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Fills the first empty slot from the entry's home on.
    fn place(&mut self, hash: u64, place: u32) {
        let mut index = self.home(hash);
        while self.slots[index] != 0 {
            index = self.after(index);
        }
        self.slots[index] = u64::from(hash as u32) << 32 | u64::from(place + 1);
        self.used += 1;
    }

    /// Scales the upper bits of the hash to the table's size: any size will do, and the tag
    /// is made of the lower bits.
    #[inline]
    const fn home(&self, hash: u64) -> usize {
        ((hash as u128 * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    const fn after(&self, index: usize) -> usize {
        let next = index + 1;
        if next == self.slots.len() { 0 } else { next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries whose hash is made of their place.
    fn check_all_found(count: u32, hash: impl Fn(u32) -> u64) {
        let mut table = Table::with_capacity(0);
        for place in 0..count {
            assert_eq!(table.find(hash(place), |found| found == place), None);
            table.insert(hash(place), place, &hash);
        }
        for place in 0..count {
            assert_eq!(table.find(hash(place), |found| found == place), Some(place));
        }
        assert_eq!(table.find(hash(count), |found| found == count), None);
    }

    #[test]
    fn everything_put_in_is_found_as_the_table_grows() {
        check_all_found(5_000, |place| (u64::from(place) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    #[test]
    fn entries_that_all_collide_are_still_told_apart() {
        check_all_found(300, |_| u64::MAX);
    }
}
