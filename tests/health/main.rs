//! Health as a whole: stories and a simulation on a virtual clock, probes of real servers.

mod agent;
mod chance;
mod council;
mod kinds;
mod probes;
mod quorum;
mod servers;
mod simulation;
mod stories;
mod world;
