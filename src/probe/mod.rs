//! The prober: asks members whether they serve, and tells `health` what it saw.
//!
//! [`monitor`] is what an operator wrote, checked. [`schedule`] says when each check is probed,
//! [`ask`] how (`tcp` and [`http`] speak the protocols), and [`watch`] hands what was seen to
//! `health`. The knowledge plane lives here: tokio, sockets and clocks are allowed.

#![forbid(unsafe_code)]

pub mod ask;
pub mod http;
pub mod monitor;
pub mod schedule;
mod tcp;
pub mod watch;
