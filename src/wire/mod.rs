//! Bytes <-> meaning: names, numbers, queries, responses. Uses nothing else of ours.

#![forbid(unsafe_code)]

pub mod name;
pub mod types;
