//! Whatever reads octets that somebody else has written, each as one function from octets to
//! "all is well"; it panics when it is not.
//!
//! cargo-fuzz calls them from `fuzz_targets`, a plain `cargo test` with the committed corpora
//! from `tests/corpora.rs`. `docs/fuzzing.md` says how to fuzz.

#![allow(dead_code, unreachable_pub, reason = "a crate for the engine, a module for the tests")]

pub mod api;
pub mod bundle;
pub mod codec;
pub mod config;
pub mod cookie;
pub mod envelope;
pub mod load;
pub mod mmdb;
pub mod orders;
pub mod packet;
pub mod probeset;
pub mod query;
pub mod report;
pub mod road;
pub mod state;
pub mod stream;
pub mod subnet;
pub mod zone;

mod draft;

#[path = "../../support/mod.rs"]
mod support;

/// A target and what it is called.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 17] = [
    ("api", api::run),
    ("bundle", bundle::run),
    ("codec", |octets| {
        codec::run(octets);
    }),
    ("config", config::run),
    ("cookie", cookie::run),
    ("envelope", envelope::run),
    ("load", load::run),
    ("mmdb", mmdb::run),
    ("orders", orders::run),
    ("packet", packet::run),
    ("probeset", probeset::run),
    ("query", query::run),
    ("report", report::run),
    ("state", state::run),
    ("stream", stream::run),
    ("subnet", subnet::run),
    ("zone", zone::run),
];
