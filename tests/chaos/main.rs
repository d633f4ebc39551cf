//! The whole health plane in one small internet, with parts of it killed, cut off and stopped
//! while clients ask every node a hundred times a second.
//!
//! Needs root and what `tests/setup` installs. `tests/run` runs it in part;
//! `cargo test --test chaos -- --nocapture --test-threads=1` prints the figures of
//! docs/reliability.md. The stories come first, the scene they play in below.

#![expect(unreachable_pub, reason = "a test has no outside: pub means between its modules")]

mod cold_start;
mod detection;
mod kills;

mod crowd;
mod gdnsd;
mod members;
mod nats;
mod scene;
mod verdict;

#[path = "../e2e/dns.rs"]
#[expect(dead_code, reason = "this program reads addresses only")]
mod dns;
#[path = "../e2e/haproxy.rs"]
mod haproxy;
#[path = "../e2e/lab.rs"]
#[expect(dead_code, reason = "no program here ends by itself")]
mod lab;
#[path = "../e2e/nginx.rs"]
mod nginx;
