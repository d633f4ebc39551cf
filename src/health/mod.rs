//! Health: from samples to the one word per pool that a query reads.
//!
//! *sample* (one observation) -> [`state`] (a pure step per check) -> [`verdict`] (what that
//! means for members and pools, operators' overrides included) -> [`table`] (atomic words).
//! [`persist`] keeps the last states on disk, so that the first answer after a start is right.
//! Nothing here opens a socket or asks a clock: time comes in as an argument.

#![forbid(unsafe_code)]

pub mod table;
