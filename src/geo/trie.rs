//! A longest-prefix-match table for one stretch of address space, after poptrie (Asai and Ohara,
//! SIGCOMM 2015). Knows nothing of what its values mean.
//!
//! A lookup is one load from the direct index and then one node per six bits. A node is a
//! bitmap of 64 slots, with a one where a new entry begins, and right behind it the entries:
//! a value, or the way to a deeper node. Counting the ones up to a slot gives the entry, and
//! bitmap and entry mostly share a cache line.

use prefetch_index::prefetch_index;

/// In an entry: the rest is the place of a node, not a value.
const NODE: u32 = 1 << 31;
/// Highest value an entry can hold.
pub(crate) const VALUE_MAX: u32 = NODE - 1;
/// Bits one node tells apart.
const STRIDE: u8 = 6;
/// Nodes below each other, at most: ⌈64 / [`STRIDE`]⌉.
const DEPTH_MAX: usize = 11;

/// The table.
#[derive(Debug)]
pub(crate) struct Trie {
    /// Leading bits not looked at, because they are the same for all clients sent here.
    skip: u8,
    /// How far an address is shifted, after `skip`, to give a place in `direct`.
    shift: u8,
    direct: Vec<u32>,
    /// Nodes: two words of bitmap, low half first, and the entries.
    words: Vec<u32>,
}

impl Trie {
    /// The value for an address; IPv4 addresses stand in the upper 32 bits.
    #[inline]
    pub(crate) fn lookup(&self, address: u64) -> u32 {
        let mut rest = address << self.skip;
        // Two steps, because a table of one entry shifts all 64 bits out.
        let slot = rest >> 1 >> (self.shift - 1);
        let mut entry = self.direct.get(slot as usize).copied().unwrap_or(0);
        rest <<= 64 - self.shift;
        while entry & NODE != 0 {
            let node = (entry & !NODE) as usize;
            let Some(&[low, high]) = self.words.get(node..).and_then(<[u32]>::first_chunk) else {
                return 0;
            };
            let fresh = u64::from(low) | (u64::from(high) << 32);
            let slot = rest >> (64 - STRIDE);
            // Slot 0 always begins an entry, so the rank is one at least.
            let rank = (fresh << (63 - slot)).count_ones() as usize;
            entry = self.words.get(node + 1 + rank).copied().unwrap_or(0);
            rest <<= STRIDE;
        }
        entry
    }

    /// Sends for the entry of the direct index that an address leads to, or, `again`, for the
    /// node that entry names.
    #[inline]
    pub(crate) fn approach(&self, address: u64, again: bool) {
        let slot = ((address << self.skip) >> 1 >> (self.shift - 1)) as usize;
        if !again {
            prefetch_index(&self.direct, slot);
        } else if let Some(&entry) = self.direct.get(slot)
            && entry & NODE != 0
        {
            prefetch_index(&self.words, (entry & !NODE) as usize);
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        (self.direct.capacity() + self.words.capacity()) * 4
    }
}

/// Builds a table from blocks in ascending order, each written once: as soon as the last slot
/// of a node is filled the node is written out, so that every open node lies on the path to
/// the block at hand.
#[derive(Debug)]
pub(crate) struct Builder {
    table: Trie,
    /// Prefix length the direct index tells apart.
    direct_length: u8,
    depth: usize,
    open: Box<[Open; DEPTH_MAX]>,
}

/// A node of which not all slots are filled.
#[derive(Debug, Clone, Copy)]
struct Open {
    fresh: u64,
    slot: u8,
    count: u8,
    entries: [u32; 64],
}

impl Open {
    const NEW: Self = Self { fresh: 0, slot: 0, count: 0, entries: [0; 64] };

    #[inline]
    fn fill(&mut self, slots: u8, entry: u32) {
        let count = usize::from(self.count);
        if count == 0 || self.entries[count - 1] != entry {
            self.fresh |= 1 << self.slot;
            self.entries[count] = entry;
            self.count += 1;
        }
        self.slot += slots;
    }
}

impl Builder {
    /// A table for the addresses that share their first `skip` bits, with a direct index of
    /// the next `direct_bits`.
    pub(crate) fn new(skip: u8, direct_bits: u8) -> Self {
        let direct = Vec::with_capacity(1 << direct_bits);
        Self {
            table: Trie { skip, shift: 64 - direct_bits, direct, words: Vec::new() },
            direct_length: skip + direct_bits,
            depth: 0,
            open: Box::new([Open::NEW; DEPTH_MAX]),
        }
    }

    /// The next block: its prefix length and its value, at most [`VALUE_MAX`]. A block that is
    /// larger than the whole table fills it.
    #[inline]
    pub(crate) fn push(&mut self, length: u8, value: u32) {
        let Some(below) = length.checked_sub(self.direct_length + 1) else {
            let bits = self.direct_length - length.max(self.table.skip);
            let filled = self.table.direct.len() + (1 << bits);
            self.table.direct.resize(filled, value);
            return;
        };
        let depth = usize::from(below / STRIDE) + 1;
        while self.depth < depth {
            self.open[self.depth] = Open::NEW;
            self.depth += 1;
        }
        let slots = 1 << (STRIDE - 1 - below % STRIDE);
        self.open[depth - 1].fill(slots, value);
        self.close();
    }

    /// The table; all of its address space has been pushed.
    pub(crate) fn finish(mut self) -> Trie {
        self.table.words.shrink_to_fit();
        self.table
    }

    /// Writes out every node that is full.
    fn close(&mut self) {
        while let Some(above) = self.depth.checked_sub(1) {
            let Open { fresh, slot: 64, count, ref entries } = self.open[above] else { return };
            let entry = NODE | self.table.words.len() as u32;
            self.table.words.extend([fresh as u32, (fresh >> 32) as u32]);
            self.table.words.extend_from_slice(&entries[..usize::from(count)]);
            self.depth = above;
            match above.checked_sub(1) {
                Some(parent) => self.open[parent].fill(1, entry),
                None => self.table.direct.push(entry),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_one_block_is_one_entry() {
        let mut builder = Builder::new(0, 0);
        builder.push(0, 7);
        let table = builder.finish();
        assert_eq!((table.lookup(0), table.lookup(u64::MAX)), (7, 7));
        assert_eq!(table.memory(), 4);
    }

    #[test]
    fn a_lookup_finds_the_block_however_deep() {
        let mut builder = Builder::new(0, 8);
        // One address among its neighbours: all blocks on the way to it, below and above.
        let address = 0x8000_0000_0000_0001;
        builder.push(1, 1);
        builder.push(64, 2);
        (2..=64).rev().for_each(|length| builder.push(length, 2 + u32::from(length)));
        let table = builder.finish();
        assert_eq!(table.lookup(address - 2), 1);
        assert_eq!(table.lookup(address - 1), 2);
        assert_eq!(table.lookup(address), 66);
        for length in 2..64 {
            let first = 0x8000_0000_0000_0000 | (1 << (64 - length));
            assert_eq!(table.lookup(first), 2 + length, "/{length}");
            assert_eq!(table.lookup(first | (first - 1) & !(1 << 63)), 2 + length, "/{length}");
        }
    }
}
