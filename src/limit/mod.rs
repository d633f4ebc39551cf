//! Response rate limiting: how many answers of one kind a network may have over UDP.
//!
//! An answer to a spoofed source hits somebody who never asked. So each network has a share of
//! answers (Vixie, Schryver: "DNS Response Rate Limiting", ISC-TN-2012-1); what goes past it is
//! not sent, but for every so-manieth answer, which tells a real client how to come through. A
//! [`Limit`] is the rule, compiled when a file changes; [`buckets::Buckets`] is what one thread
//! remembers. Knows no DNS message, no socket and no clock.

#![forbid(unsafe_code)]

pub mod board;
pub mod buckets;
pub mod networks;

use std::net::IpAddr;
use std::time::Duration;

use networks::Networks;

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Answers of one kind for one network in a second, for each address that is listened on.
    pub per_second: u32,
    /// Over how long the rate is averaged: so much of it may come at once.
    pub window: Duration,
    /// Every so-manieth answer past the rate is sent short; 0 for none. At most [`SLIP_MAX`].
    pub slip: u8,
    /// Prefix lengths of a network: IPv4 up to 32, IPv6 up to 64.
    pub prefix: (u8, u8),
    /// Networks without a limit.
    pub exempt: Vec<(IpAddr, u8)>,
    /// Whether to count only.
    pub dry_run: bool,
}

/// Largest `slip`: what a cell has room for.
pub const SLIP_MAX: u8 = 15;

/// What kind of answer it is. Each has a share of its own, so that a flood of one kind leaves
/// the others alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With records.
    Answer = 0,
    /// To other name servers.
    Referral = 1,
    /// The name exists, the type does not.
    Nodata = 2,
    /// The name does not exist.
    Nxdomain = 3,
    /// Any other code.
    Error = 4,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Answer, Self::Referral, Self::Nodata, Self::Nxdomain, Self::Error];

    /// The word used in the API and in `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Referral => "referral",
            Self::Nodata => "nodata",
            Self::Nxdomain => "nxdomain",
            Self::Error => "error",
        }
    }
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It is sent.
    Pass,
    /// It would be held back, were its network not exempt: it is sent.
    Exempt,
    /// It is not sent.
    Drop,
    /// A short one is sent in its place.
    Slip,
}

/// A rule as threads apply it: each by itself, with its share of the rate.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whether rulings are counted only.
    pub dry_run: bool,
    /// How much of its time one answer takes from a network, in ticks of the buckets.
    cost: u64,
    /// How far a network may be ahead of the clock, in ticks.
    depth: u64,
    slip: u8,
    v4_mask: u32,
    v6_mask: u64,
    exempt: Networks,
}

impl Limit {
    /// Compiles `spec` for `threads` threads that share the queries of an address.
    pub fn new(spec: &Spec, threads: usize) -> Self {
        // Rounded down, so that a window has room for all that it promises.
        let second = buckets::ticks(Duration::from_secs(1)) * threads.max(1) as u64;
        let cost = second / u64::from(spec.per_second.max(1));
        Self {
            dry_run: spec.dry_run,
            cost,
            depth: buckets::ticks(spec.window).clamp(cost, buckets::DEPTH_MAX.max(cost)),
            slip: spec.slip.min(SLIP_MAX),
            v4_mask: u32::MAX.checked_shl(32 - u32::from(spec.prefix.0.min(32))).unwrap_or(0),
            v6_mask: u64::MAX.checked_shl(64 - u32::from(spec.prefix.1.min(64))).unwrap_or(0),
            exempt: Networks::new(&spec.exempt),
        }
    }

    /// The network of an address, as a number that no other network has.
    #[inline]
    fn network(&self, client: IpAddr) -> u64 {
        match client {
            IpAddr::V4(v4) => u64::from(v4.to_bits() & self.v4_mask),
            IpAddr::V6(v6) => ((v6.to_bits() >> 64) as u64) & self.v6_mask,
        }
    }
}
