//! Zones: master files in, closest enclosers out.

#![forbid(unsafe_code)]

/// One zone, compiled.
#[derive(Debug)]
pub struct Zone {}
