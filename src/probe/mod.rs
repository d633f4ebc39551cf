//! The prober: asks members whether they serve, and tells `health` what it saw.
//!
//! [`monitor`] is what an operator wrote, checked. [`schedule`] says when each check is probed,
//! [`ask`] how (`tcp`, `http`, `dns`, `grpc` and [`push`] speak the protocols, over what `connect`
//! and `tls` open), [`trace`] what came of it, [`load`] how busy the target says it is, and
//! [`watch`] hands what was seen to `health`. Away from the daemon, [`agent`] probes what a [`set`]
//! says and reports it. The knowledge plane lives here: tokio, sockets and clocks are allowed.

#![forbid(unsafe_code)]

pub mod agent;
pub mod ask;
mod connect;
mod dns;
mod expect;
mod grpc;
mod http;
pub mod load;
mod location;
pub mod monitor;
pub mod pattern;
pub mod push;
pub mod schedule;
pub mod set;
mod tcp;
mod tls;
pub mod trace;
pub mod watch;
