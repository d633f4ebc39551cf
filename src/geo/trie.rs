//! A longest-prefix-match table for one stretch of address space: a poptrie (Asai and Ohara,
//! SIGCOMM 2015) with a direct index. Knows nothing of what the leaves mean but their length.
//!
//! A lookup is one load from the direct index and then one node per six bits. A node has two
//! bitmaps: which of its 64 slots go deeper, and where a new leaf value begins; counting the
//! ones up to a slot gives the place in the array of nodes or leaves.

/// In the direct index: the rest is a place among the leaves, not a node.
const LEAF: u32 = 1 << 31;
/// Below this many leaves a short direct index will do.
const FEW: usize = 4096;

/// Leaves, as the builder wants them: ascending, without gaps, over the whole address space.
pub(crate) trait Leaves {
    /// How many.
    fn count(&self) -> usize;
    /// Where a leaf begins; IPv4 addresses stand in the upper 32 bits.
    fn first(&self, index: usize) -> u64;
    /// Its prefix length.
    fn length(&self, index: usize) -> u8;
    /// What a lookup gives.
    fn value(&self, index: usize) -> u32;
}

/// The table.
#[derive(Debug)]
pub(crate) struct Trie {
    /// Leading bits not looked at, because they are the same for all clients sent here.
    skip: u8,
    /// Bits of the direct index.
    direct_bits: u8,
    direct: Vec<u32>,
    nodes: Vec<Node>,
    leaves: Vec<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    deeper: u64,
    fresh: u64,
    first_node: u32,
    first_leaf: u32,
}

impl Trie {
    /// The leaf value for an address; IPv4 addresses stand in the upper 32 bits.
    #[inline]
    pub(crate) fn lookup(&self, address: u64) -> u32 {
        let rest = address << self.skip;
        let slot = if self.direct_bits == 0 { 0 } else { rest >> (64 - self.direct_bits) };
        let entry = self.direct.get(slot as usize).copied().unwrap_or(LEAF);
        if entry & LEAF != 0 {
            return self.leaf(entry & !LEAF);
        }
        let (mut index, mut offset) = (entry, self.skip + self.direct_bits);
        while offset < 64 {
            let Some(node) = self.nodes.get(index as usize) else { break };
            let slot = (address << offset) >> 58;
            let up_to_slot = (2_u64 << slot).wrapping_sub(1);
            if (node.deeper >> slot) & 1 == 0 {
                let rank = (node.fresh & up_to_slot).count_ones();
                return self.leaf((node.first_leaf + rank).wrapping_sub(1));
            }
            index = (node.first_node + (node.deeper & up_to_slot).count_ones()).wrapping_sub(1);
            offset += 6;
        }
        0
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.direct.capacity() * 4
            + self.nodes.capacity() * size_of::<Node>()
            + self.leaves.capacity() * 4
    }

    #[inline]
    fn leaf(&self, index: u32) -> u32 {
        self.leaves.get(index as usize).copied().unwrap_or(0)
    }

    /// Builds the table for the addresses that begin with the first `skip` bits of `base`.
    /// `direct_bits` is the size of the direct index for a large table. Addresses for which
    /// `elsewhere` is true are looked up in another table and take no room in this one.
    pub(crate) fn build(
        leaves: &impl Leaves,
        base: u64,
        skip: u8,
        direct_bits: u8,
        elsewhere: impl Fn(u64) -> bool,
    ) -> Self {
        let direct_bits = match leaves.count() {
            0 | 1 => 0,
            2..FEW => direct_bits.min(8),
            _ => direct_bits,
        };
        let table =
            Self { skip, direct_bits, direct: Vec::new(), nodes: Vec::new(), leaves: Vec::new() };
        let mut builder = Builder { leaves, elsewhere, table, pending: Vec::new() };
        builder.fill_direct(base);
        let mut next = 0;
        while let Some(&pending) = builder.pending.get(next) {
            builder.fill_node(next, pending);
            next += 1;
        }
        let mut table = builder.table;
        table.direct.shrink_to_fit();
        table.nodes.shrink_to_fit();
        table.leaves.shrink_to_fit();
        table
    }
}

/// A node that has a number but no content yet.
#[derive(Clone, Copy)]
struct Pending {
    first: u64,
    offset: u8,
    /// The leaf that holds its first address.
    leaf: usize,
}

struct Builder<'l, L, E> {
    leaves: &'l L,
    elsewhere: E,
    table: Trie,
    /// In the order of `table.nodes`, which is breadth first: siblings stand side by side.
    pending: Vec<Pending>,
}

impl<L: Leaves, E: Fn(u64) -> bool> Builder<'_, L, E> {
    fn fill_direct(&mut self, base: u64) {
        let (skip, bits) = (self.table.skip, self.table.direct_bits);
        let depth = skip + bits;
        let mut leaf = self.leaf_at(base);
        for slot in 0..1_u64 << bits {
            let first = if depth == 0 { base } else { base + (slot << (64 - depth)) };
            leaf = self.advance(leaf, first);
            let entry = if self.ends_by(leaf, first, depth) {
                self.add_leaf(leaf, self.table.direct.last().copied())
            } else {
                self.add_node(Pending { first, offset: depth, leaf })
            };
            self.table.direct.push(entry);
        }
    }

    /// A leaf entry of the direct index; the one before is used again when it says the same.
    fn add_leaf(&mut self, leaf: usize, before: Option<u32>) -> u32 {
        let value = self.leaves.value(leaf);
        if let Some(entry) = before.filter(|entry| entry & LEAF != 0)
            && self.table.leaf(entry & !LEAF) == value
        {
            return entry;
        }
        self.table.leaves.push(value);
        LEAF | (self.table.leaves.len() as u32 - 1)
    }

    fn add_node(&mut self, pending: Pending) -> u32 {
        self.pending.push(pending);
        self.table.nodes.push(Node::default());
        self.table.nodes.len() as u32 - 1
    }

    fn fill_node(&mut self, index: usize, Pending { first, offset, mut leaf }: Pending) {
        let mut node = Node {
            first_node: self.table.nodes.len() as u32,
            first_leaf: self.table.leaves.len() as u32,
            ..Node::default()
        };
        let mut before = None;
        for slot in 0..64_u64 {
            let start =
                first + if offset <= 58 { slot << (58 - offset) } else { slot >> (offset - 58) };
            leaf = self.advance(leaf, start);
            if self.ends_by(leaf, start, offset + 6) {
                let value = self.leaves.value(leaf);
                if before != Some(value) {
                    node.fresh |= 1 << slot;
                    self.table.leaves.push(value);
                    before = Some(value);
                }
            } else {
                node.deeper |= 1 << slot;
                self.add_node(Pending { first: start, offset: offset + 6, leaf });
            }
        }
        self.table.nodes[index] = node;
    }

    fn ends_by(&self, leaf: usize, first: u64, depth: u8) -> bool {
        self.leaves.length(leaf) <= depth || (self.elsewhere)(first)
    }

    fn advance(&self, mut leaf: usize, address: u64) -> usize {
        while leaf + 1 < self.leaves.count() && self.leaves.first(leaf + 1) <= address {
            leaf += 1;
        }
        leaf
    }

    fn leaf_at(&self, address: u64) -> usize {
        let (mut low, mut high) = (0, self.leaves.count());
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if self.leaves.first(middle) <= address { low = middle } else { high = middle }
        }
        low
    }
}
