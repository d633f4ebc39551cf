//! The promises of the bus (`meridian::bus`), held by each backend in the same words.

mod contract;
mod direct;
mod local;
mod parties;
