//! The real binary, run as an operator runs it: commands, daemon, API, metrics, demo.

mod aliases;
mod areas;
mod bundle;
mod changes;
mod decisions;
mod demo;
mod explain;
mod health;
mod keys;
mod latencies;
mod load;
mod metrics;
mod orders;
mod plan;
mod probe;
mod reasons;
mod reload;
mod serve;
mod support;
mod tls_files;
mod what_if;

#[path = "../support/tls.rs"]
mod tls;
