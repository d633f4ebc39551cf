//! Bytes <-> meaning: names, numbers, queries, responses. Uses nothing else of ours.

#![forbid(unsafe_code)]

pub mod chaos;
pub mod cookie;
pub mod edns;
pub mod name;
pub mod options;
pub mod query;
pub mod response;
pub mod siphash;
pub mod svcb;
pub mod types;
