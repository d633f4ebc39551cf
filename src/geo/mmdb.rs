//! The search tree of an mmdb file, walked whole and in address order.
//!
//! MaxMind DB File Format Specification 2.0: a binary tree of nodes with two records each; a
//! record is another node, "nothing", or a place in the data section. Reading the tree here
//! and not through the library's iterator is seven times faster, and loading is mostly that.
//! Knows nothing of what the data mean.

/// Between the tree and the data section.
const SEPARATOR: usize = 16;

/// The tree, on the file's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree<'f> {
    nodes: &'f [u8],
    node_count: u32,
    record_size: u16,
    /// Bytes of the data section, as far as records may point.
    data_size: usize,
    /// 32 in a file for IPv4, 128 in one for IPv6.
    bits: u8,
}

/// What is wrong with a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Records are 24, 28 or 32 bits.
    #[error("records of {0} bits")]
    RecordSize(u16),
    /// The metadata promise more nodes than the file has room for.
    #[error("{0} nodes do not fit in the file")]
    NodeCount(u32),
    /// Neither 4 nor 6.
    #[error("IP version {0}")]
    IpVersion(u16),
    /// A record points behind the data section.
    #[error("a record points outside the file, at byte {0} of the data")]
    Pointer(usize),
    /// The tree is deeper than an address is long.
    #[error("the search tree runs in a circle")]
    Depth,
}

/// A network with data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// IPv4 in the lower 32 bits.
    pub(crate) first: u128,
    /// Counted in its own family.
    pub(crate) length: u8,
    /// Whether it is an IPv4 network, in whichever kind of file.
    pub(crate) v4: bool,
    /// Which record: a place in the data section.
    pub(crate) data: u32,
}

impl<'f> Tree<'f> {
    /// `file`: the whole file; the rest from its metadata.
    pub(crate) fn new(
        file: &'f [u8],
        node_count: u32,
        record_size: u16,
        ip_version: u16,
    ) -> Result<Self, TreeError> {
        if !matches!(record_size, 24 | 28 | 32) {
            return Err(TreeError::RecordSize(record_size));
        }
        let bits = match ip_version {
            4 => 32,
            6 => 128,
            _ => return Err(TreeError::IpVersion(ip_version)),
        };
        let size = node_count as usize * usize::from(record_size) / 4;
        let nodes = file.get(..size).ok_or(TreeError::NodeCount(node_count))?;
        let data_size = file.len().saturating_sub(size + SEPARATOR);
        Ok(Self { nodes, node_count, record_size, data_size, bits })
    }

    /// Calls `visit` for every network that has data, ascending. The places where a file for
    /// both families repeats its IPv4 part (mapped addresses, 6to4, Teredo) are left out.
    pub(crate) fn walk(&self, mut visit: impl FnMut(Network)) -> Result<(), TreeError> {
        let v4_root = self.v4_root();
        let mut open = vec![(0_u32, 0_u8, 0_u128)];
        while let Some((record, depth, first)) = open.pop() {
            let in_v4 = self.bits == 32 || (v4_root.is_some() && depth >= 96 && first >> 32 == 0);
            if record < self.node_count {
                if depth >= self.bits {
                    return Err(TreeError::Depth);
                }
                if Some(record) == v4_root && !in_v4 {
                    continue;
                }
                let [left, right] = self.node(record);
                let bit = 1 << (self.bits - 1 - depth);
                open.push((right, depth + 1, first | bit));
                open.push((left, depth + 1, first));
            } else if record > self.node_count {
                let data = self.data(record)?;
                let length = if in_v4 && self.bits == 128 { depth - 96 } else { depth };
                visit(Network { first, length, v4: in_v4, data });
            }
        }
        Ok(())
    }

    /// The node under ::/96, where a file for both families keeps IPv4.
    fn v4_root(&self) -> Option<u32> {
        let mut record = 0;
        for _ in 0..(if self.bits == 128 { 96 } else { 0 }) {
            record = if record < self.node_count { self.node(record)[0] } else { return None };
        }
        (self.bits == 128 && record < self.node_count).then_some(record)
    }

    fn data(&self, record: u32) -> Result<u32, TreeError> {
        let data = (record - self.node_count) as usize;
        match data.checked_sub(SEPARATOR) {
            Some(place) if place < self.data_size => Ok(place as u32),
            _ => Err(TreeError::Pointer(data)),
        }
    }

    /// Both records of a node; the caller has seen that there is such a node.
    fn node(&self, node: u32) -> [u32; 2] {
        let size = usize::from(self.record_size) / 4;
        let start = node as usize * size;
        let bytes = &self.nodes[start..start + size];
        let three = |at: usize| {
            u32::from(bytes[at]) << 16 | u32::from(bytes[at + 1]) << 8 | u32::from(bytes[at + 2])
        };
        match self.record_size {
            24 => [three(0), three(3)],
            // The middle byte holds the top four bits of both.
            28 => [
                u32::from(bytes[3] >> 4) << 24 | three(0),
                u32::from(bytes[3] & 15) << 24 | three(4),
            ],
            _ => [u32::from(bytes[0]) << 24 | three(1), u32::from(bytes[4]) << 24 | three(5)],
        }
    }
}
