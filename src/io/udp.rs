//! The datagram loop: receive a batch, answer it, send it. The query comes from the kernel
//! through `sys`, goes to [`Answer`], and back.
//!
//! There is a thread per worker *and* address, each blocked in `recvmmsg` on the one socket it
//! has. A thread with several sockets would need `poll` before each batch, a second system call
//! where one is most of the cost; a thread that sleeps costs nothing.

#![forbid(unsafe_code)]

use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::counters::UdpCounters;
use super::sys::{Batch, Received};
use crate::server::{Answer, Transport};

/// Longest time spent on the queries left in the socket when the thread is to stop. They are some
/// 10,000 at most; only a socket that could not be made deaf ever comes near it.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Wait for what was on its way into the queue when the socket was made deaf.
const LAST_IN_FLIGHT: Duration = Duration::from_millis(1);

/// Pause after a receive that failed, so that an error that stays does not eat a core.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// One UDP thread.
pub(super) struct Worker<H> {
    pub(super) socket: UdpSocket,
    /// The socket listens on all addresses, and says which one a query came to.
    pub(super) pktinfo: bool,
    pub(super) handler: H,
    pub(super) counters: Arc<UdpCounters>,
    /// Becomes true when the thread is to end.
    pub(super) stop: Arc<AtomicBool>,
    /// Time zero of what the handler is told.
    pub(super) origin: Instant,
}

impl<H: Answer> Worker<H> {
    /// Answers until it is told to stop, and then what the socket still holds.
    pub(super) fn run(mut self) {
        let mut batch = Batch::new(self.pktinfo);
        while !self.stop.load(Ordering::Relaxed) {
            self.turn(&mut batch);
        }
        self.drain(&mut batch);
    }

    /// One batch, and whether there was any.
    fn turn(&mut self, batch: &mut Batch) -> bool {
        let received = match batch.recv(&self.socket, H::BATCH) {
            Ok(received) => received,
            Err(error) => {
                use std::io::ErrorKind::{Interrupted, WouldBlock};
                // A thread without queries is not to keep hold of what was replaced.
                self.handler.begin(self.origin.elapsed());
                if !matches!(error.kind(), WouldBlock | Interrupted) {
                    self.counters.receive_errors.add(1);
                    std::thread::sleep(ERROR_PAUSE);
                }
                return false;
            }
        };
        // A panic is a defect of ours. It costs the query that met it, not the thread: whoever
        // found a query that brings one about could stop them all.
        let whole = AssertUnwindSafe(|| self.answer_all(batch, received.datagrams));
        if catch_unwind(whole).is_err() {
            self.counters.panics.add(1);
            self.salvage(batch, received.datagrams);
        }
        self.count(received);
        let sent = batch.send(&self.socket);
        self.counters.sent.add(sent.sent as u64);
        self.counters.send_errors.add(sent.failed as u64);
        true
    }

    /// Answers the queries of a batch.
    #[inline]
    fn answer_all(&mut self, batch: &mut Batch, datagrams: usize) {
        self.handler.begin(self.origin.elapsed());
        for slot in 0..datagrams {
            if let Some(query) = batch.query(slot) {
                self.handler.prepare(slot, query);
            }
        }
        for pass in 0..self.handler.approaches() {
            for slot in 0..datagrams {
                self.handler.approach(slot, pass);
            }
        }
        for slot in 0..datagrams {
            batch.answer_with(slot, |query, client, out| {
                self.handler.answer(slot, query, client, Transport::Udp, out)
            });
        }
    }

    /// Answers what a panic has left of a batch, each query by itself.
    #[cold]
    fn salvage(&mut self, batch: &mut Batch, datagrams: usize) {
        for slot in 0..datagrams {
            let one = AssertUnwindSafe(|| {
                let Some(query) = batch.query(slot) else { return };
                self.handler.begin(self.origin.elapsed());
                self.handler.prepare(slot, query);
                batch.answer_with(slot, |query, client, out| {
                    self.handler.answer(slot, query, client, Transport::Udp, out)
                });
            });
            if catch_unwind(one).is_err() {
                self.counters.panics.add(1);
            }
        }
    }

    fn count(&self, received: Received) {
        self.counters.batches.add(1);
        self.counters.received.add(received.datagrams as u64);
        self.counters.truncated_in.add(received.truncated as u64);
        self.counters.unanswerable.add(received.unanswerable as u64);
    }

    /// Answers what the kernel has accepted, and takes nothing more.
    ///
    /// Connected to itself, the socket hears nobody else: later clients are told at once that
    /// nobody is here (an ICMP error) and ask another server.
    fn drain(&mut self, batch: &mut Batch) {
        let began = Instant::now();
        if let Ok(address) = self.socket.local_addr() {
            let _ = self.socket.connect(address);
        }
        let _ = self.socket.set_read_timeout(Some(LAST_IN_FLIGHT));
        while self.turn(batch) && began.elapsed() < DRAIN_MAX {}
    }
}
