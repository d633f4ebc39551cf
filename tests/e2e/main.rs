//! Meridian among real parts: HAProxy and nginx in each region, a parent zone on BIND, Unbound
//! with client subnets, a region's own DNS on Knot, and clients with addresses from all over the
//! world, each in a network namespace of its own.
//!
//! Needs root and what `tests/setup` installs; `tests/run` runs it. The stories come first, the
//! scene they play in below.

#![expect(unreachable_pub, reason = "a test has no outside: pub means between its modules")]

mod clients;
mod demo;
mod failover;
mod fragments;
mod handover;
mod judges;
mod places;
mod reload;
mod restart;
mod tiers;

mod delegated;
mod internet;
mod watch;

mod bind;
mod haproxy;
mod knot;
mod meridian;
mod nginx;
mod resolvers;
mod unbound;

mod dns;
mod http;
mod lab;
mod world;
