//! One query in, one answer out.
//!
//! `io` hands each batch of packets to an [`Answer`]; the real one is [`worker::Worker`], which
//! walks `answer` (zone, node, what stands there) and `steered` (what was selected) for every
//! packet, holds back by `abuse` what is too much, adds by `extended` what few ask for, and counts
//! in [`stats`].

#![forbid(unsafe_code)]

pub mod decisions;
pub mod explain;
pub mod stats;
pub mod worker;

mod abuse;
mod answer;
mod extended;
mod services;
mod steered;

use std::net::IpAddr;
use std::time::Duration;

/// How a query came, and so how large its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A datagram; the answer is bounded by EDNS and truncated past it.
    Udp,
    /// A stream with two-octet lengths (RFC 7766); answers up to 65,535 octets.
    Tcp,
    /// The same inside TLS (RFC 7858), where lengths are worth hiding.
    Tls,
}

/// What `io` calls for each batch of packets. One value per thread, never shared.
///
/// `io` calls [`begin`](Answer::begin) once per batch, then [`prepare`](Answer::prepare) for
/// every packet of it, then [`approach`](Answer::approach) and then [`answer`](Answer::answer)
/// for every packet. None of them blocks,
/// allocates, locks, or asks a clock.
pub trait Answer: Send + 'static {
    /// Most packets in one batch.
    const BATCH: usize = 32;

    /// A batch begins: `now` is monotonic time since the process began. Called now and then by
    /// a thread that has nothing to do, too, so that it lets go of what was replaced.
    fn begin(&mut self, now: Duration);

    /// Reads packet number `slot` (`0..BATCH`) of the batch and brings the memory its answer
    /// needs on its way, so that the misses of a batch overlap.
    fn prepare(&mut self, slot: usize, packet: &[u8]);

    /// How often a batch is to be gone through between [`prepare`](Answer::prepare) and
    /// [`answer`](Answer::answer).
    fn approaches(&self) -> usize {
        0
    }

    /// Comes back to packet number `slot`, in pass number `pass` (`0..approaches`) over the
    /// batch: what the pass before sent for has arrived, and what it leads to is sent for.
    fn approach(&mut self, _slot: usize, _pass: usize) {}

    /// Answers packet number `slot` into `out` and returns the answer's length in octets;
    /// 0 when there is none to send.
    fn answer(
        &mut self,
        slot: usize,
        packet: &[u8],
        client: IpAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> usize;
}
