//! Offline questions over the tables that queries read: what if, simulate, prove.
//!
//! Whatever is asked here is answered by `steer::select`, with a health table made for the
//! question; there is no second idea of steering in this room. Nothing here is on the road, and
//! nothing knows of files, sockets or a clock.
//!
//! - [`suppose`]: what is supposed of health for the length of a question.
//! - [`outcome`]: everything a class of clients may be answered, and how often.
//! - [`simulate`]: the world's clients, counted by who serves them; [`report`] is what came of
//!   it, [`draw`] a map of that. [`traffic`] is how often they ask, and [`setting`] what moves
//!   from second to second while they do.
//! - [`prove`]: what holds whatever regions are lost, by `branch` and `scopes`.

#![forbid(unsafe_code)]

mod branch;
pub mod draw;
pub mod outcome;
pub mod prove;
pub mod report;
mod scopes;
pub mod setting;
pub mod simulate;
pub mod suppose;
pub mod traffic;
