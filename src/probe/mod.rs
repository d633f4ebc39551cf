//! The prober: asks members whether they serve, and tells `health` what it saw.
//!
//! [`monitor`] is what an operator wrote, checked. The knowledge plane lives here: tokio,
//! sockets and clocks are allowed.

#![forbid(unsafe_code)]

pub mod monitor;
