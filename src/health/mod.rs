//! Health: from samples to the one word per pool that a query reads.
//!
//! [`sample`] (one observation) -> [`state`] (a pure step per check) -> [`verdict`] (what that
//! means for members and pools, operators' [`overrides`] included) -> [`table`] (atomic words, and
//! [`loads`] beside them).
//! [`keeper`] holds all of it for the daemon, [`status`] shows it, and [`persist`] keeps the
//! last states on disk, so that the first answer after a start is right. A [`report`] is what a
//! vantage elsewhere tells of what it probes, and [`latencies`] is what follows for who is near.
//! Nothing here opens a socket or asks a clock: time comes in as an argument.

#![forbid(unsafe_code)]

pub mod composite;
pub mod council;
pub mod intake;
pub mod keeper;
mod kept;
pub mod latencies;
pub mod loads;
pub mod overrides;
pub mod persist;
pub mod quorum;
pub mod report;
pub mod sample;
pub mod says;
pub mod starts;
pub mod state;
pub mod status;
pub mod table;
pub mod verdict;
