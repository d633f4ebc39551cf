//! Steering: which pools a client gets.
//!
//! [`record`] holds what a steered name means, compiled: `config` makes a [`record::RecordSpec`]
//! of what was typed, `compile` makes a [`record::Record`] of it, and `select` picks for one query.
//! Nothing here knows of packets, sockets, or clocks.

#![forbid(unsafe_code)]

pub mod affinity;
pub mod alive;
pub mod bound;
pub mod capacity;
pub mod chance;
pub mod compile;
pub mod demand;
pub mod dials;
pub mod failback;
pub mod heavy;
pub mod key;
pub mod nest;
pub mod record;
pub mod resolved;
pub mod safety;
pub mod select;
pub mod service;
pub mod solve;
pub mod spill;
pub mod stages;
pub mod tally;
pub mod weight;
