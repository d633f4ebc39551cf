//! An mmdb file taken apart: what it says of itself, its search tree and its records.
//!
//! MaxMind DB File Format Specification 2.0: a binary tree of nodes with two records each; a
//! record is another node, "nothing", or a place in the data section. The tree is read whole,
//! in address order, which takes a seventh of the time of asking a library for each network.
//! Knows nothing of what the data mean.

use crate::geo::record::{Path, Reader, Scalar, Step, ValueError, Values};
use crate::geo::spans::{Key, Spans};

/// Before the metadata, which are the last thing in a file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The marker lies so near the end.
const METADATA_MAX: usize = 128 * 1024;
/// Between the tree and the data section.
const SEPARATOR: usize = 16;
/// A sound tree leads to each node once; one that shares branches to some more often.
const VISITS_MAX: u64 = 16;

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There are no metadata.
    #[error("no mmdb file: it does not end in metadata")]
    NoMetadata,
    /// The metadata lack something.
    #[error("the metadata have no usable {0}")]
    Metadata(&'static str),
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
    Pointer(u32),
    /// The tree is deeper than an address is long, or leads to the same nodes again and again.
    #[error("the search tree runs in a circle")]
    Circle,
    /// A value is damaged.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// A file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File<'f> {
    /// Its search tree.
    pub(crate) tree: Tree<'f>,
    /// Its records.
    pub(crate) data: Values<'f>,
    /// When it was built, in seconds since 1970.
    pub(crate) built: u64,
}

impl<'f> File<'f> {
    /// Takes a whole file apart.
    pub(crate) fn new(bytes: &'f [u8]) -> Result<Self, FormatError> {
        let tail = bytes.len().saturating_sub(METADATA_MAX);
        let windows = bytes[tail..].windows(MARKER.len());
        let marker = windows.rev().position(|window| window == MARKER);
        let end = bytes.len() - marker.ok_or(FormatError::NoMetadata)? - MARKER.len();
        let about = Metadata::read(&bytes[end + MARKER.len()..])?;
        let size = about.node_count as usize * usize::from(about.record_size) / 4;
        let too_many = FormatError::NodeCount(about.node_count);
        let nodes = bytes.get(..size).ok_or(too_many)?;
        let data = bytes.get(size + SEPARATOR..end).ok_or(too_many)?;
        let tree = Tree {
            nodes,
            node_count: about.node_count,
            record_size: about.record_size,
            data_size: u32::try_from(data.len()).unwrap_or(u32::MAX),
            bits: if about.ip_version == 4 { 32 } else { 128 },
        };
        Ok(Self { tree, data: Values(data), built: about.built })
    }
}

/// What a file says of itself, as far as we care.
struct Metadata {
    node_count: u32,
    record_size: u16,
    ip_version: u16,
    built: u64,
}

impl Metadata {
    fn read(section: &[u8]) -> Result<Self, FormatError> {
        const NAMES: [&str; 4] = ["node_count", "record_size", "ip_version", "build_epoch"];
        const PATHS: [Path; 4] = [
            &[Step::Key(NAMES[0])],
            &[Step::Key(NAMES[1])],
            &[Step::Key(NAMES[2])],
            &[Step::Key(NAMES[3])],
        ];
        let mut found = [None; 4];
        Reader::new(Values(section), &PATHS).read(0, |path, value| match value {
            Scalar::Number(number) => found[path] = Some(number),
            Scalar::Text(_) => {}
        })?;
        let number = |path: usize| found[path].ok_or(FormatError::Metadata(NAMES[path]));
        let about = Self {
            node_count: number(0)? as u32,
            record_size: number(1)? as u16,
            ip_version: number(2)? as u16,
            built: number(3)? as u64,
        };
        match about {
            Self { record_size: 24 | 28 | 32, ip_version: 4 | 6, .. } => Ok(about),
            Self { record_size: 24 | 28 | 32, ip_version, .. } => {
                Err(FormatError::IpVersion(ip_version))
            }
            Self { record_size, .. } => Err(FormatError::RecordSize(record_size)),
        }
    }
}

/// The search tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree<'f> {
    nodes: &'f [u8],
    node_count: u32,
    record_size: u16,
    /// Bytes of the data section, as far as records may point.
    data_size: u32,
    /// 32 in a file for IPv4, 128 in one for IPv6.
    bits: u8,
}

impl Tree<'_> {
    /// The address space of IPv4. The number of a span is one more than the place of its data,
    /// 0 where there are none. A file for both families keeps IPv4 under ::/96.
    pub(crate) fn v4(&self) -> Result<Spans<u32>, FormatError> {
        let root = if self.bits == 32 { Some(0) } else { self.v4_root() };
        root.map_or_else(|| Ok(Spans::uniform(0)), |root| self.spans(root, None))
    }

    /// The address space of IPv6 likewise, by upper halves: of several networks within one /64
    /// the largest counts. The places where a file for both families shows its IPv4 part
    /// (::/96, mapped addresses, 6to4, Teredo) hold nothing.
    pub(crate) fn v6(&self) -> Result<Spans<u64>, FormatError> {
        if self.bits == 32 { Ok(Spans::uniform(0)) } else { self.spans(0, self.v4_root()) }
    }

    /// The node under ::/96.
    fn v4_root(&self) -> Option<u32> {
        let below = |node: u32| (node < self.node_count).then(|| self.node(node)[0]);
        let record = (0..96).try_fold(0, |node, _| below(node))?;
        (record < self.node_count).then_some(record)
    }

    fn node(&self, node: u32) -> [u32; 2] {
        match self.record_size {
            24 => self.node_of::<24>(node),
            28 => self.node_of::<28>(node),
            _ => self.node_of::<32>(node),
        }
    }

    /// All under `root` but what is under the node `hidden`.
    fn spans<K: Key>(&self, root: u32, hidden: Option<u32>) -> Result<Spans<K>, FormatError> {
        match self.record_size {
            24 => self.walk::<K, 24>(root, hidden),
            28 => self.walk::<K, 28>(root, hidden),
            _ => self.walk::<K, 32>(root, hidden),
        }
    }

    fn walk<K: Key, const RECORD: usize>(
        &self,
        root: u32,
        hidden: Option<u32>,
    ) -> Result<Spans<K>, FormatError> {
        let hidden = hidden.unwrap_or(self.node_count);
        let deeper = if K::BITS == 32 { 0 } else { 128 - K::BITS };
        let mut visits = VISITS_MAX * u64::from(self.node_count);
        let mut spans = Spans::new();
        let mut open = Vec::with_capacity(usize::from(K::BITS) + 1);
        open.push((root, 0, 0_u64));
        while let Some((mut record, mut depth, first)) = open.pop() {
            // Down along the left side; the right sides wait.
            while record < self.node_count && record != hidden && depth < K::BITS {
                visits = visits.checked_sub(1).ok_or(FormatError::Circle)?;
                let [left, right] = self.node_of::<RECORD>(record);
                depth += 1;
                open.push((right, depth, first | 1 << (K::BITS - depth)));
                record = left;
            }
            let data = match () {
                () if record == hidden => 0,
                () if record < self.node_count => self.largest::<RECORD>(record, deeper, hidden)?,
                () => self.data(record)?,
            };
            spans.push(first, data);
        }
        Ok(spans)
    }

    /// The data of the largest network under a node, the first of equals. `deeper`: how many
    /// levels there may be.
    fn largest<const RECORD: usize>(
        &self,
        node: u32,
        deeper: u8,
        hidden: u32,
    ) -> Result<u32, FormatError> {
        let mut level = vec![node];
        for _ in 0..deeper {
            level = level.iter().flat_map(|node| self.node_of::<RECORD>(*node)).collect();
            if let Some(record) = level.iter().find(|record| **record > self.node_count) {
                return self.data(*record);
            }
            level.retain(|record| *record < self.node_count && *record != hidden);
            if level.len() > self.node_count as usize {
                return Err(FormatError::Circle);
            }
        }
        if level.is_empty() { Ok(0) } else { Err(FormatError::Circle) }
    }

    /// One more than the place of a record's data; 0 for the record that means "nothing".
    fn data(&self, record: u32) -> Result<u32, FormatError> {
        let beyond = record - self.node_count;
        match beyond.checked_sub(SEPARATOR as u32) {
            Some(place) if place < self.data_size => Ok(place + 1),
            None if beyond == 0 => Ok(0),
            _ => Err(FormatError::Pointer(beyond)),
        }
    }

    /// Both records of a node; the caller has seen that there is such a node.
    #[inline]
    fn node_of<const RECORD: usize>(&self, node: u32) -> [u32; 2] {
        let size = RECORD / 4;
        let bytes = &self.nodes[node as usize * size..][..size];
        let four = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        match RECORD {
            24 => [four(0) >> 8, four(2) & 0xff_ffff],
            // The middle byte holds the top four bits of both.
            28 => [four(0) >> 8 | u32::from(bytes[3] >> 4) << 24, four(3) & 0xfff_ffff],
            _ => [four(0), four(4)],
        }
    }
}
