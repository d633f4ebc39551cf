//! GeoIP databases: any mmdb file, read into spans of places.
//!
//! Each distinct record is decoded once, however many networks point at it. What the fields
//! are called is `schema`'s business, how the tree is walked `mmdb`'s.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, Reader};

use crate::geo::mmdb::{Network, Tree, TreeError};
use crate::geo::place::Place;
use crate::geo::schema::Schema;
use crate::geo::spans::{Key, Spans, block_last};
use crate::geo::world::Layer;

pub use crate::geo::schema::Kind;

/// So many records, spread over the file, are looked into for the fields it has.
const PROBED: usize = 2_000;

/// Why a database cannot be used. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no mmdb file, or its metadata or a record are damaged.
    #[error("{}: not a sound mmdb file", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: MaxMindDbError,
    },
    /// Its search tree is damaged.
    #[error("{}: damaged search tree", path.display())]
    Tree {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TreeError,
    },
    /// It says nothing about places or autonomous systems.
    #[error("{}: no record names a country, coordinates or an AS number", path.display())]
    NoUsableFields {
        /// The file.
        path: PathBuf,
    },
}

/// What to tell people about a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's name, or that it is the built-in one.
    pub name: Box<str>,
    /// How much it tells.
    pub kind: Kind,
    /// When it was built, in seconds since 1970.
    pub built: u64,
}

/// One database, read.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) source: Source,
    pub(crate) layer: Layer,
}

impl Database {
    /// Reads a file.
    pub(crate) fn open(path: &Path) -> Result<Self, DbError> {
        let file = std::fs::read(path);
        let file = file.map_err(|source| DbError::Read { path: path.into(), source })?;
        Self::read(&file, path)
    }

    fn read(file: &[u8], path: &Path) -> Result<Self, DbError> {
        let broken = |source| DbError::Broken { path: path.into(), source };
        let damaged = |source| DbError::Tree { path: path.into(), source };
        let reader = Reader::from_source(file).map_err(broken)?;
        let about = reader.metadata();
        let tree = Tree::new(file, about.node_count, about.record_size, about.ip_version);
        let mut survey = Survey::default();
        tree.and_then(|tree| tree.walk(|network| survey.add(network))).map_err(damaged)?;
        let (v4, v6) = (survey.v4.finish(), survey.v6.finish());
        let examples = survey.records.examples;
        let step = examples.len().div_ceil(PROBED).max(1);
        let schema =
            Schema::probe(&reader, examples.iter().step_by(step).copied()).map_err(broken)?;
        let kind = schema.kind().ok_or_else(|| DbError::NoUsableFields { path: path.into() })?;
        let mut places = vec![Place::default()];
        for address in examples {
            places.push(schema.place(&reader, address).map_err(broken)?);
        }
        let name: Box<str> = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into();
        let source = Source { name, kind, built: about.build_epoch };
        Ok(Self { source, layer: Layer { places, v4, v6 } })
    }
}

/// Spans of record numbers in the making.
#[derive(Default)]
struct Survey {
    records: Records,
    v4: Rising<u32>,
    v6: Rising<u64>,
}

impl Survey {
    fn add(&mut self, network: Network) {
        let Network { first, length, v4, data } = network;
        let address = if v4 { IpAddr::V4((first as u32).into()) } else { IpAddr::V6(first.into()) };
        let record = self.records.number(data, address);
        if v4 {
            self.v4.add(first as u64, length, record);
        } else {
            self.v6.add((first >> 64) as u64, length, record);
        }
    }
}

/// Distinct records, numbered from 1 as they turn up, each with an address that has it.
#[derive(Default)]
struct Records {
    numbers: HashMap<u32, u32, BuildHasherDefault<Spread>>,
    examples: Vec<IpAddr>,
}

impl Records {
    fn number(&mut self, data: u32, address: IpAddr) -> u32 {
        *self.numbers.entry(data).or_insert_with(|| {
            self.examples.push(address);
            self.examples.len() as u32
        })
    }
}

/// Spreads offsets over a table: no one else chooses them, so no defence is needed.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, value: u32) {
        let product = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

/// Spans from networks that come in ascending order, with gaps between them.
struct Rising<K> {
    spans: Spans<K>,
    /// Where the next network may begin; `None` behind the last address.
    next: Option<u64>,
    /// Of networks longer than the engine's addresses, the largest so far of its block.
    narrow: Option<(u64, u8, u32)>,
}

impl<K: Key> Default for Rising<K> {
    fn default() -> Self {
        Self { spans: Spans::new(), next: Some(0), narrow: None }
    }
}

impl<K: Key> Rising<K> {
    fn add(&mut self, first: u64, length: u8, record: u32) {
        match self.narrow {
            Some((block, narrow, _)) if block == first && length > K::BITS => {
                if length < narrow {
                    self.narrow = Some((first, length, record));
                }
                return;
            }
            _ => self.settle(),
        }
        if length > K::BITS {
            self.narrow = Some((first, length, record));
        } else {
            self.put(first, block_last::<K>(first, length), record);
        }
    }

    fn settle(&mut self) {
        if let Some((block, _, record)) = self.narrow.take() {
            self.put(block, block, record);
        }
    }

    fn put(&mut self, first: u64, last: u64, record: u32) {
        if self.next.is_some_and(|next| next < first) {
            self.spans.push(self.next.unwrap_or(first), 0);
        }
        self.spans.push(first, record);
        self.next = (last < K::MAX).then(|| last + 1);
    }

    fn finish(mut self) -> Spans<K> {
        self.settle();
        if let Some(next) = self.next {
            self.spans.push(next, 0);
        }
        self.spans
    }
}
