//! Bundles: the zones and policies of many nodes, made once, signed, and served by all of them or
//! refused with the faults.
//!
//! [`contents`] is what a bundle holds: the files under `zones/`, `geo/` and `probes/`, as octets
//! that are called by their own hash and never change. [`release`] says which contents are to be
//! served from now on: a serial that only grows, signed by a publisher. Going back is a release
//! too, of contents that are older. [`store`] keeps both on a node's disk, so that a node which
//! starts alone serves what it served last. What is the node's own (`meridian.toml`: addresses,
//! keys, state; GeoIP databases) is in no bundle.

#![forbid(unsafe_code)]

pub mod contents;
pub mod release;
pub mod store;

pub use contents::{Contents, Hash};
pub use release::Release;
