//! GeoIP databases: any mmdb file, read into spans of places.
//!
//! Each distinct record is decoded once, however many networks point at it. What the fields
//! are called is `schema`'s business, how the tree is walked `mmdb`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::geo::mmdb::{File, FormatError};
use crate::geo::place::Place;
use crate::geo::places::{Origin, PlaceSet, Texts};
use crate::geo::schema::{Draft, Schema};
use crate::geo::world::Layer;
use crate::region::Location;

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
    /// It is no mmdb file, or its metadata, its search tree or a record are damaged.
    #[error("{}: not a sound mmdb file", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FormatError,
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
    /// Reads a file. `number`: which one it is among others.
    pub(crate) fn open(path: &Path, number: usize) -> Result<Self, DbError> {
        let bytes = std::fs::read(path);
        let bytes = bytes.map_err(|source| DbError::Read { path: path.into(), source })?;
        let broken = |source| DbError::Broken { path: path.into(), source };
        let file = File::new(&bytes).map_err(broken)?;
        let read = read(&file, Origin::database(number)).map_err(broken)?;
        let (kind, layer) = read.ok_or_else(|| DbError::NoUsableFields { path: path.into() })?;
        let name: Box<str> = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into();
        Ok(Self { source: Source { name, kind, built: file.built }, layer })
    }
}

/// Walks the tree, then reads the records in the order they lie in; `None` when they tell nothing.
fn read(file: &File<'_>, origin: Origin) -> Result<Option<(Kind, Layer)>, FormatError> {
    let (mut v4, mut v6) = (file.tree.v4()?, file.tree.v6()?);
    let records = Records::new(file.data.len(), v4.ids().iter().chain(v6.ids()));
    let step = records.count().div_ceil(PROBED).max(1);
    let schema = Schema::probe(file.data, records.iter().step_by(step))?;
    let Some(kind) = schema.kind() else { return Ok(None) };
    let mut reader = schema.reader(file.data);
    let mut gathering = Gathering::new(records.count(), origin);
    let mut numbers = Vec::with_capacity(records.count());
    for record in records.iter() {
        numbers.push(gathering.number(&schema.draft(&mut reader, record)?));
    }
    let renumber = |id: u32| if id == 0 { 0 } else { numbers[records.rank(id - 1)] };
    v4.renumber(renumber);
    v6.renumber(renumber);
    Ok(Some((kind, Layer { places: gathering.places, v4, v6 })))
}

/// Which places of the data section hold a record some network has. A bit for each, which is
/// far smaller than a table of them all, and they come out in the order they lie in.
struct Records(Vec<Word>);

/// 64 places.
#[derive(Clone, Copy, Default)]
struct Word {
    set: u64,
    /// How many records lie before them.
    before: u32,
}

impl Records {
    /// `ids`: one more than the place of a record, 0 for none.
    fn new<'i>(data: usize, ids: impl Iterator<Item = &'i u32>) -> Self {
        let mut words = vec![Word::default(); data.div_ceil(64)];
        for place in ids.filter_map(|id| id.checked_sub(1)) {
            words[place as usize / 64].set |= 1 << (place % 64);
        }
        let mut before = 0;
        for word in &mut words {
            word.before = before;
            before += word.set.count_ones();
        }
        Self(words)
    }

    fn count(&self) -> usize {
        self.0.last().map_or(0, |word| (word.before + word.set.count_ones()) as usize)
    }

    /// How many records lie before this place.
    fn rank(&self, place: u32) -> usize {
        let word = self.0[place as usize / 64];
        let below = word.set & ((1 << (place % 64)) - 1);
        (word.before + below.count_ones()) as usize
    }

    /// The places of all records, ascending.
    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut left = word.set;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(64 * index + bit)
            })
        })
    }
}

/// The places of one database as its records are read: equal places get one number, and equal
/// texts are kept once.
struct Gathering {
    places: PlaceSet,
    origin: Origin,
    texts: Texts,
    /// Where subdivision codes are put together.
    code: String,
}

impl Gathering {
    fn new(records: usize, origin: Origin) -> Self {
        let (texts, code) = (Texts::default(), String::new());
        Self { places: PlaceSet::new(records), origin, texts, code }
    }

    fn number(&mut self, draft: &Draft<'_>) -> u32 {
        let place = Place {
            continent: draft.continent,
            country: draft.country,
            subdivision: self.subdivision(draft),
            city: draft.city.map(|city| self.texts.keep(city)),
            location: draft
                .latitude
                .zip(draft.longitude)
                .and_then(|(latitude, longitude)| Location::new(latitude, longitude)),
            asn: draft.asn,
            region: None,
        };
        if place == Place::default() { 0 } else { self.places.number(place, self.origin) }
    }

    /// The code with its country: `US-CA`, whichever way it was written.
    fn subdivision(&mut self, draft: &Draft<'_>) -> Option<Arc<str>> {
        let (country, written) = draft.country.zip(draft.subdivision)?;
        self.code.clear();
        self.code.extend(country.0.map(char::from));
        let with_country =
            written.strip_prefix(&*self.code).is_some_and(|rest| rest.starts_with('-'));
        if with_country {
            return Some(self.texts.keep(written));
        }
        self.code.push('-');
        self.code.push_str(written);
        Some(self.texts.keep(&self.code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_the_order_they_lie_in() {
        let records = Records::new(200, [0, 200, 1, 64, 65, 1].iter());
        assert_eq!(records.iter().collect::<Vec<_>>(), [0, 63, 64, 199]);
        let ranks: Vec<_> = records.iter().map(|place| records.rank(place as u32)).collect();
        assert_eq!((ranks, records.count()), (vec![0, 1, 2, 3], 4));
        assert_eq!(Records::new(0, [0].iter()).count(), 0);
    }
}
