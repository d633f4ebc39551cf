//! Orders of operators for all nodes: a region, pool or member drained, held down, held up or
//! released everywhere, by one signed word.
//!
//! [`order`] is what an operator signs. [`book`] is what a node keeps of it: for each target the
//! newest order, with its signature, so that every node can hand on what any of them has heard.
//! Orders are told apart by a number that only grows, so books that meet become the same whatever
//! way and order their entries came in; nothing of it needs a clock that is right. [`disk`] has a
//! book outlive its process. What an order does on a node is for the daemon to decide: the safety
//! rules there bind it as they bind an order given there.

#![forbid(unsafe_code)]

pub mod book;
pub mod disk;
pub mod order;

pub use book::{Book, Entry, Handed};
pub use order::{Order, What};
