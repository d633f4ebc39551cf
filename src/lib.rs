//! Meridian: a DNS-based global server load balancer.
//!
//! *Think on change, look up on query.* The modules stand in the order a query meets them.

pub mod io;
pub mod server;
pub mod snapshot;
pub mod wire;
pub mod zone;

pub mod geo;
pub mod health;
pub mod limit;
pub mod region;
pub mod steer;

pub mod admin;
pub mod bundle;
pub mod bus;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod diagnostics;
pub mod orders;
pub mod pki;
pub mod plan;
pub mod probe;
pub mod seal;
