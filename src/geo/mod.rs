//! Geography: from GeoIP databases to tables a query can look up in nanoseconds.
//!
//! When something changes: [`db`] reads databases of any mmdb schema into a [`world`] of
//! address intervals and [`place`]s, `networks` lays the operator's own knowledge over it,
//! and [`map`] compiles it, with a record's rules and its candidates' locations, into a
//! longest-prefix-match table. On a query: [`table::GeoMap::lookup`], nothing else.

#![forbid(unsafe_code)]

pub mod census;
pub mod compile;
pub mod countries;
pub mod db;
pub mod embedded;
pub mod latency;
pub mod map;
pub mod networks;
pub mod place;
pub mod table;
pub mod world;

mod ground;
mod measured;
mod mmdb;
mod nearest;
mod numbering;
mod order;
mod places;
mod record;
mod schema;
mod sites;
mod spans;
mod trie;
mod vote;
