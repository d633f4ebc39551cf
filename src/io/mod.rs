//! Sockets: datagrams and streams in, answers out. Knows no DNS beyond TCP's length octets.
//!
//! [`Listeners::bind`] opens every socket before any thread starts; [`Listeners::start`] gives
//! each thread a handler of its own; [`Running::stop`] ends them without losing a query the
//! kernel had accepted. From here a query goes to [`crate::server::Answer`].

// `sys` alone lifts this; `forbid` could not be lifted.
#![deny(unsafe_code)]

mod admission;
mod bind;
mod counters;
pub mod outgoing;
mod stream;
mod sys;
mod tcp;
mod tls;
mod udp;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use mio::Waker;

use crate::server::Answer;
use admission::Admission;
use bind::Bound;
use counters::{TcpCounters, UdpCounters};

pub use bind::BindError;
pub use counters::{TcpTotals, UdpTotals};
pub use stream::Desk;
pub use sys::trim_memory;
pub use tcp::TcpLimits;
pub use tls::Identity;

/// Sockets that are open and not yet served. The kernel queues what comes until they are.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Bound>,
    /// For TLS.
    encrypted: Vec<(SocketAddr, Vec<TcpListener>)>,
    workers: usize,
    descriptors: Option<u64>,
}

/// What is to be known to start the threads, besides their handlers.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Bounds on TCP connections.
    pub tcp: TcpLimits,
    /// Time zero of the `now` that handlers are told.
    pub origin: Instant,
    /// What listeners for TLS show; without it they would be served in the clear, so
    /// [`Listeners::start`] refuses to.
    pub identity: Option<Arc<Identity>>,
}

/// Threads that answer. Dropped, it leaves them running; [`stop`](Running::stop) ends them.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    stop: Stop,
    /// Closes when the last thread has ended.
    all_ended: mpsc::Receiver<()>,
    udp: Vec<Arc<UdpCounters>>,
    tcp: Vec<Arc<TcpCounters>>,
    admission: Arc<Admission>,
}

/// What all threads have counted since they began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Of datagrams.
    pub udp: UdpTotals,
    /// Of connections.
    pub tcp: TcpTotals,
    /// TCP connections open at this moment.
    pub tcp_open: u64,
}

/// How the threads ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// What they had counted.
    pub counters: Counters,
    /// Threads that had not ended at the deadline and were left behind.
    pub late: usize,
    /// Threads that ended by a panic.
    pub panicked: usize,
}

/// Tells both kinds of threads to end.
#[derive(Debug)]
struct Stop {
    told: Arc<AtomicBool>,
    /// One per TCP thread: those wait without end. They wake them for other reasons, too.
    wakers: Vec<Waker>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { tcp: TcpLimits::default(), origin: Instant::now(), identity: None }
    }
}

impl Listeners {
    /// Opens UDP and TCP sockets on every address, `workers` (at least one) of each. Port 0 lets
    /// the kernel choose one port for both; [`addresses`](Self::addresses) says which.
    ///
    /// # Errors
    /// The first address that cannot be listened on, and why.
    pub fn bind(addresses: &[SocketAddr], workers: usize) -> Result<Self, BindError> {
        if addresses.is_empty() {
            return Err(BindError::NoAddress);
        }
        let workers = workers.max(1);
        // Before the first descriptor is needed. Without the right to, it goes on with what it has.
        let descriptors = sys::raise_descriptor_limit().ok();
        let bound = addresses.iter().map(|&address| bind::bind(address, workers));
        Ok(Self {
            bound: bound.collect::<Result<_, _>>()?,
            encrypted: Vec::new(),
            workers,
            descriptors,
        })
    }

    /// Opens sockets for TLS on every address, too.
    ///
    /// # Errors
    /// The first address that cannot be listened on, and why.
    pub fn bind_tls(mut self, addresses: &[SocketAddr]) -> Result<Self, BindError> {
        for &address in addresses {
            self.encrypted.push(bind::bind_tcp(address, self.workers, "TLS")?);
        }
        Ok(self)
    }

    /// The addresses for TLS, in the order they were asked for, with their real ports.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.encrypted.iter().map(|(address, _)| *address).collect()
    }

    /// The addresses listened on, in the order they were asked for, with their real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|bound| bound.address).collect()
    }

    /// Descriptors this process may have; `None` when the system does not say.
    pub const fn descriptors(&self) -> Option<u64> {
        self.descriptors
    }

    /// How many threads, and so handlers, there will be: for each worker one per address for
    /// UDP, and one for TCP on all addresses.
    pub fn threads(&self) -> usize {
        self.workers * (self.bound.len() + 1)
    }

    /// Starts the threads. `make_handler` is called once for each, with its number
    /// (`0..threads()`).
    ///
    /// # Errors
    /// When the system grants no more threads or descriptors; those already begun are ended.
    pub fn start<H: Answer>(
        self,
        mut make_handler: impl FnMut(usize) -> H,
        setup: Setup,
    ) -> io::Result<Running> {
        let (addresses, tls_addresses) = (self.addresses(), self.tls_addresses());
        if setup.identity.is_none() && !tls_addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS without a certificate"));
        }
        let mut tcp_sockets: Vec<Vec<_>> = (0..self.workers).map(|_| Vec::new()).collect();
        let mut udp_sockets = Vec::new();
        for bound in self.bound {
            let wildcard = bound.address.ip().is_unspecified();
            udp_sockets.extend(bound.udp.into_iter().map(|socket| (socket, wildcard)));
            for (worker, listener) in tcp_sockets.iter_mut().zip(bound.tcp) {
                worker.push(listener);
            }
        }
        let encrypted = self.encrypted.len();
        for (_, listeners) in self.encrypted {
            for (worker, listener) in tcp_sockets.iter_mut().zip(listeners) {
                worker.push(listener);
            }
        }
        let (alive, all_ended) = mpsc::channel();
        let mut running = Running {
            addresses,
            tls_addresses,
            threads: Vec::new(),
            stop: Stop { told: Arc::default(), wakers: Vec::new() },
            all_ended,
            udp: Vec::new(),
            tcp: Vec::new(),
            admission: Admission::new(setup.tcp.connections, setup.tcp.connections_per_client),
        };
        let begun = (|| {
            for (socket, pktinfo) in udp_sockets {
                let handler = make_handler(running.threads.len());
                running.start_udp(socket, pktinfo, handler, &setup, alive.clone())?;
            }
            for listeners in tcp_sockets {
                let handler = make_handler(running.threads.len());
                running.start_tcp((listeners, encrypted), handler, &setup, alive.clone())?;
            }
            Ok(())
        })();
        if let Err(error) = begun {
            running.stop.tell();
            return Err(error);
        }
        Ok(running)
    }
}

impl Running {
    /// The addresses answered on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses answered on over TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// What all threads have counted up to this moment.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for thread in &self.udp {
            thread.add_to(&mut counters.udp);
        }
        for thread in &self.tcp {
            thread.add_to(&mut counters.tcp);
        }
        counters.tcp_open = self.admission.connections() as u64;
        counters
    }

    /// Has every thread without queries let go of what was replaced; those of datagrams do by
    /// themselves soon.
    pub fn refresh(&self) {
        self.stop.wake();
    }

    /// Threads that have ended though nobody told them to: each by a panic of its handler.
    pub fn lost_threads(&self) -> usize {
        self.threads.iter().filter(|thread| thread.is_finished()).count()
    }

    /// Ends the threads: they take nothing new, answer what the kernel had accepted, and close.
    /// Blocks until the last has ended, `deadline` at most.
    pub fn stop(mut self, deadline: Duration) -> Stopped {
        self.stop.tell();
        // Nothing is ever sent: this returns when the last sender is gone, or late.
        let _ = self.all_ended.recv_timeout(deadline);
        let (mut late, mut panicked) = (0, 0);
        let in_time = matches!(self.all_ended.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        for thread in mem::take(&mut self.threads) {
            // With all senders gone a thread has nothing left to do but to return.
            if in_time || thread.is_finished() {
                panicked += usize::from(thread.join().is_err());
            } else {
                late += 1;
            }
        }
        Stopped { counters: self.counters(), late, panicked }
    }

    fn start_udp<H: Answer>(
        &mut self,
        socket: std::net::UdpSocket,
        pktinfo: bool,
        handler: H,
        setup: &Setup,
        alive: mpsc::Sender<()>,
    ) -> io::Result<()> {
        let counters = Arc::<UdpCounters>::default();
        self.udp.push(Arc::clone(&counters));
        let stop = Arc::clone(&self.stop.told);
        let origin = setup.origin;
        let worker = udp::Worker { socket, pktinfo, handler, counters, stop, origin };
        let name = format!("udp-{}", self.threads.len());
        self.threads.push(Builder::new().name(name).spawn(move || {
            worker.run();
            drop(alive);
        })?);
        Ok(())
    }

    fn start_tcp<H: Answer>(
        &mut self,
        (listeners, encrypted): (Vec<TcpListener>, usize),
        handler: H,
        setup: &Setup,
        alive: mpsc::Sender<()>,
    ) -> io::Result<()> {
        let counters = Arc::<TcpCounters>::default();
        self.tcp.push(Arc::clone(&counters));
        let worker = tcp::Worker {
            handler,
            counters,
            admission: Arc::clone(&self.admission),
            idle: setup.tcp.idle,
            stop: Arc::clone(&self.stop.told),
            origin: setup.origin,
            identity: setup.identity.clone(),
        };
        let (thread, waker) = worker.listen(listeners, encrypted)?;
        self.stop.wakers.push(waker);
        let name = format!("tcp-{}", self.threads.len());
        self.threads.push(Builder::new().name(name).spawn(move || {
            thread.run();
            drop(alive);
        })?);
        Ok(())
    }
}

impl Stop {
    fn tell(&self) {
        self.told.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        for waker in &self.wakers {
            // A thread that cannot be woken ends with the next thing a client does.
            let _ = waker.wake();
        }
    }
}
