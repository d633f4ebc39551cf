//! Records as they were read: one arena of octets and one small entry per record.

use std::sync::Arc;

use crate::diagnostics::{Source, Span};
use crate::wire::name::NameRef;
use crate::wire::types::{Class, Rtype, Ttl};

/// Most octets of names and RDATA one zone may have: places are 32-bit numbers.
pub const ARENA_MAX: usize = 3 << 30;

/// The records of one zone in the order they were read.
#[derive(Debug, Default, Clone)]
pub struct Records {
    /// Owner names and RDATA; a run of records with one owner shares its octets.
    octets: Vec<u8>,
    entries: Vec<Entry>,
    sources: Vec<Arc<Source>>,
    /// Some could not be read.
    incomplete: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    owner: u32,
    rdata: u32,
    ttl: Ttl,
    at: u32,
    rtype: u16,
    class: u16,
    rdata_length: u16,
    source: u16,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'r> {
    /// The owner, in the case it was written.
    pub owner: NameRef<'r>,
    /// The type.
    pub rtype: Rtype,
    /// The class.
    pub class: Class,
    /// The TTL.
    pub ttl: Ttl,
    /// The data in wire form, names uncompressed.
    pub rdata: &'r [u8],
    /// Where it was read.
    pub place: Place,
}

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the sources.
    pub source: u16,
    /// The octet at which its entry begins.
    pub at: u32,
}

/// A part of a record as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The owner name; the type where no owner is written.
    Owner,
    /// The TTL; the type where none is written.
    Ttl,
    /// The class; the type where none is written.
    Class,
    /// The type.
    Type,
    /// All of the RDATA.
    Rdata,
    /// One field of the RDATA.
    Field(usize),
}

/// There is no room for another record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the zone is larger than {} GiB", ARENA_MAX >> 30)]
pub struct Full;

/// Where records go as they are read.
pub(super) trait Sink {
    /// Remembers a file; its number stands in the [`Place`] of the records read from it.
    fn add_source(&mut self, source: &Arc<Source>) -> Result<u16, Full>;
    /// Takes a record in.
    fn push(&mut self, record: &Record<'_>) -> Result<(), Full>;
}

impl Sink for Records {
    fn add_source(&mut self, source: &Arc<Source>) -> Result<u16, Full> {
        let number = u16::try_from(self.sources.len()).map_err(|_| Full)?;
        self.sources.push(Arc::clone(source));
        Ok(number)
    }

    fn push(&mut self, record: &Record<'_>) -> Result<(), Full> {
        Self::push(self, *record)
    }
}

impl Records {
    /// No records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    pub fn push(&mut self, record: Record<'_>) -> Result<(), Full> {
        let owner = match self.entries.last() {
            Some(last) if self.owner(last).as_wire() == record.owner.as_wire() => last.owner,
            _ => self.store(record.owner.as_wire())?,
        };
        let rdata = self.store(record.rdata)?;
        let rdata_length = u16::try_from(record.rdata.len()).map_err(|_| Full)?;
        self.entries.push(Entry {
            owner,
            rdata,
            ttl: record.ttl,
            at: record.place.at,
            rtype: record.rtype.0,
            class: record.class.0,
            rdata_length,
            source: record.place.source,
        });
        Ok(())
    }

    /// Notes that there would be more if the files had no faults, so that nobody complains of
    /// what may only be unreadable.
    pub const fn set_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// True when some records could not be read.
    pub const fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without records.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Record number `index`.
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        self.entries.get(index).map(|entry| self.record(entry))
    }

    /// Every record in the order it was read.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| self.record(entry))
    }

    /// The file of a place; `None` for records that were not read from one.
    pub fn source(&self, place: Place) -> Option<&Arc<Source>> {
        self.sources.get(usize::from(place.source))
    }

    /// One part of the record at `place`, found by scanning its entry again; the beginning of
    /// the entry when it has no such part. `None` for records that were not read from a file.
    pub fn span(&self, place: Place, part: Part) -> Option<Span> {
        let source = self.source(place)?;
        let at = place.at as usize;
        let range = super::master::part(&source.text, at, part).unwrap_or(at..at + 1);
        Some(Span { source: Arc::clone(source), range })
    }

    /// The beginning of the zone's own file.
    pub fn beginning(&self) -> Option<Span> {
        self.sources.first().map(|source| Span { source: Arc::clone(source), range: 0..0 })
    }

    /// Octets of memory.
    pub const fn memory(&self) -> usize {
        self.octets.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn store(&mut self, octets: &[u8]) -> Result<u32, Full> {
        if self.octets.len() + octets.len() > ARENA_MAX {
            return Err(Full);
        }
        let at = self.octets.len() as u32;
        self.octets.extend_from_slice(octets);
        Ok(at)
    }

    fn record(&self, entry: &Entry) -> Record<'_> {
        let rdata = entry.rdata as usize;
        Record {
            owner: self.owner(entry),
            rtype: Rtype(entry.rtype),
            class: Class(entry.class),
            ttl: entry.ttl,
            rdata: &self.octets[rdata..rdata + usize::from(entry.rdata_length)],
            place: Place { source: entry.source, at: entry.at },
        }
    }

    fn owner(&self, entry: &Entry) -> NameRef<'_> {
        NameRef::split_from(&self.octets[entry.owner as usize..])
            .map_or(NameRef::ROOT, |(name, _)| name)
    }
}

impl Default for Place {
    /// The place of a record that was not read from a file.
    fn default() -> Self {
        Self { source: u16::MAX, at: 0 }
    }
}
