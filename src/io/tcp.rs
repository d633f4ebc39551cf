//! DNS over TCP (RFC 7766): many queries in one segment or one in many, answers in one write.
//!
//! Each worker has one thread, which waits in `epoll` for all its connections at once and gives
//! each that has something a turn (`stream`). A query that comes alone costs one read and one
//! write, and its share of one wait; there is no timer and no task for it. The query goes from
//! here to `stream`.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::admission::{Admission, Refusal};
use super::counters::TcpCounters;
use super::stream::{Connection, Desk, Next};
use super::tls::{Identity, Session};
use crate::server::Answer;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Connections accepted in one turn of a listener, after which others have theirs first.
const ACCEPTS: usize = 64;

/// The token that says the thread is to stop.
const WAKE: Token = Token(usize::MAX);

/// The first listener's token, and the others behind it. Connections have what is below.
const LISTENERS: usize = usize::MAX / 2;

/// Pause after an accept that failed for want of descriptors or memory, which will not be there
/// at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Most time the connections may take when the thread is to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Wait for what a client has sent before the thread is to stop.
const LAST_IN_FLIGHT: Duration = Duration::from_millis(10);

/// Looks for overdue connections are at least this part of the idle time apart.
const SWEEPS: u32 = 64;

/// Bounds on TCP connections, over all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections open at once. The default, 1,024, bounds what hostile clients can make the
    /// process hold to 192 MiB, and to 292 MiB where TLS is listened for.
    pub connections: usize,
    /// Connections open at once per IPv4 address or IPv6 /64. The default, 64, leaves room for
    /// several resolvers behind one address.
    pub connections_per_client: usize,
    /// A connection is closed when no query was answered, or the client did not read what was
    /// answered, for this long. The default is 10 s (RFC 7766 section 6.2.3: a few seconds).
    pub idle: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self { connections: 1024, connections_per_client: 64, idle: Duration::from_secs(10) }
    }
}

/// What one TCP thread works with.
pub(super) struct Worker<H> {
    pub(super) handler: H,
    pub(super) counters: Arc<TcpCounters>,
    pub(super) admission: Arc<Admission>,
    pub(super) idle: Duration,
    /// Becomes true when the thread is to end; then its [`Waker`] is called.
    pub(super) stop: Arc<AtomicBool>,
    /// Time zero of what the handler is told.
    pub(super) origin: Instant,
    /// What connections to listeners for TLS begin with.
    pub(super) identity: Option<Arc<Identity>>,
}

/// One TCP thread: its listeners and its connections.
pub(super) struct Thread<H> {
    poll: Poll,
    counters: Arc<TcpCounters>,
    admission: Arc<Admission>,
    idle: Duration,
    stop: Arc<AtomicBool>,
    origin: Instant,
    desk: Desk<H>,
    /// The last `encrypted` of them are for TLS.
    listeners: Vec<TcpListener>,
    encrypted: usize,
    identity: Option<Arc<Identity>>,
    /// Their tokens are their places.
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that nobody has.
    free: Vec<usize>,
    /// Places left in this round. Nobody gets them before the next, so that an event of a
    /// connection that is gone never reaches another.
    left: Vec<usize>,
    /// Who is to be served in the next round though the kernel says nothing more about them.
    again: Vec<Token>,
    /// Who was so in this round.
    served: Vec<Token>,
    /// The clock as the round began: one look serves all its queries.
    now: Instant,
    /// No connection is overdue before.
    sweep_at: Option<Instant>,
    /// Accepting goes on then.
    accept_at: Option<Instant>,
}

impl<H: Answer> Worker<H> {
    /// The thread that will serve what comes to `listeners`, the last `encrypted` of which are for
    /// TLS, and what wakes it to stop.
    ///
    /// # Errors
    /// When the system grants no more descriptors.
    pub(super) fn listen(
        self,
        listeners: Vec<std::net::TcpListener>,
        encrypted: usize,
    ) -> io::Result<(Thread<H>, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mut listeners: Vec<_> = listeners.into_iter().map(TcpListener::from_std).collect();
        for (place, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(LISTENERS + place), Interest::READABLE)?;
        }
        let thread = Thread {
            poll,
            counters: self.counters,
            admission: self.admission,
            idle: self.idle,
            stop: self.stop,
            origin: self.origin,
            desk: Desk::new(self.handler),
            listeners,
            encrypted,
            identity: self.identity,
            connections: Vec::new(),
            free: Vec::new(),
            left: Vec::new(),
            again: Vec::new(),
            served: Vec::new(),
            now: Instant::now(),
            sweep_at: None,
            accept_at: None,
        };
        Ok((thread, waker))
    }
}

impl<H: Answer> Thread<H> {
    /// Takes and serves connections until told to stop, then answers what clients have sent.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stop.load(Ordering::Relaxed) {
            self.round(&mut events, None);
        }
        // Connections the kernel has completed may carry a query already: they are taken too.
        let end = Instant::now() + STOP_GRACE;
        while (self.round(&mut events, Some(LAST_IN_FLIGHT)) || self.is_stuck()) && self.now < end {
        }
        for key in 0..self.connections.len() {
            self.close(key);
        }
    }

    /// Waits, `most` at most, and gives everybody who has something a turn. Says whether there
    /// was anybody.
    fn round(&mut self, events: &mut Events, most: Option<Duration>) -> bool {
        let wait = if self.again.is_empty() { self.wait(most) } else { Some(Duration::ZERO) };
        if self.poll.poll(events, wait).is_err() {
            // A signal, or no memory for a moment: what was to be said is said the next time.
            events.clear();
        }
        self.now = Instant::now();
        std::mem::swap(&mut self.again, &mut self.served);
        let any = !self.served.is_empty() || !events.is_empty();
        for event in &*events {
            if let Some(Some(connection)) = self.connections.get_mut(event.token().0) {
                connection.note(event);
            }
            self.serve(event.token());
        }
        for place in 0..self.served.len() {
            self.serve(self.served[place]);
        }
        self.served.clear();
        if self.accept_at.is_some_and(|at| at <= self.now) {
            self.accept_at = None;
            (0..self.listeners.len()).for_each(|place| self.accept(place));
        }
        if self.sweep_at.is_some_and(|at| at <= self.now) {
            self.sweep();
        }
        self.free.append(&mut self.left);
        any
    }

    /// How long nothing needs to be done unless the kernel says so.
    fn wait(&self, most: Option<Duration>) -> Option<Duration> {
        let next = self.sweep_at.into_iter().chain(self.accept_at).min();
        let next = next.map(|at| at.saturating_duration_since(self.now));
        next.into_iter().chain(most).min()
    }

    fn serve(&mut self, token: Token) {
        match token {
            WAKE => self.desk.refresh(self.now.saturating_duration_since(self.origin)),
            Token(place @ LISTENERS..) => self.accept(place - LISTENERS),
            Token(key) => self.turn(key),
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        let stuck = connection.is_stuck();
        let since_origin = self.now.saturating_duration_since(self.origin);
        // As for a datagram: a defect of ours costs the client that met it its connection.
        let turn = AssertUnwindSafe(|| self.desk.turn(connection, since_origin));
        let turn = match catch_unwind(turn) {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) => return self.close(key),
            Err(_) => {
                self.counters.panics.add(1);
                return self.close(key);
            }
        };
        let Some(Some(connection)) = self.connections.get_mut(key) else { return };
        // The time a client takes to read its answers is not held against its next query.
        if turn.answers > 0 || (stuck && !connection.is_stuck()) {
            connection.deadline = self.now + self.idle;
        }
        self.counters.received.add(turn.queries as u64);
        self.counters.sent.add(turn.answers as u64);
        match turn.next {
            Next::Wait => {}
            Next::Again => self.again.push(Token(key)),
            Next::Close => self.close(key),
            Next::CloseMalformed => {
                self.counters.malformed.add(1);
                self.close(key);
            }
        }
    }

    fn accept(&mut self, place: usize) {
        if self.accept_at.is_some() {
            return;
        }
        for _ in 0..ACCEPTS {
            match self.listeners[place].accept() {
                Ok((stream, peer)) => self.admit(stream, peer, place),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.counters.accept_errors.add(1);
                    use io::ErrorKind::{ConnectionAborted, Interrupted};
                    if !matches!(error.kind(), ConnectionAborted | Interrupted) {
                        self.accept_at = Some(self.now + ACCEPT_PAUSE);
                        return;
                    }
                }
            }
        }
        self.again.push(Token(LISTENERS + place));
    }

    /// Takes the connection, or closes it when there are too many.
    fn admit(&mut self, mut stream: TcpStream, peer: SocketAddr, place: usize) {
        let permit = match self.admission.admit(peer.ip()) {
            Ok(permit) => permit,
            Err(Refusal::Total) => return self.counters.refused_total.add(1),
            Err(Refusal::Client) => return self.counters.refused_client.add(1),
        };
        let Ok(tls) = self.session(place) else { return self.counters.accept_errors.add(1) };
        let key = self.free.pop().unwrap_or(self.connections.len());
        // Both from the start: each is said once, when it becomes so, and costs nothing more.
        let both = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(key), both).is_err() {
            self.left.push(key);
            return self.counters.accept_errors.add(1);
        }
        self.counters.accepted.add(1);
        let deadline = self.now + self.idle;
        self.sweep_at.get_or_insert(deadline);
        let connection = Some(Connection::new(stream, tls, peer.ip(), deadline, permit));
        match self.connections.get_mut(key) {
            Some(place) => *place = connection,
            None => self.connections.push(connection),
        }
    }

    /// What a connection to the listener in `place` goes through; `None` in the clear.
    fn session(&self, place: usize) -> io::Result<Option<Box<Session>>> {
        match &self.identity {
            Some(identity) if place + self.encrypted >= self.listeners.len() => {
                Ok(Some(Box::new(Session::new(identity)?)))
            }
            _ => Ok(None),
        }
    }

    /// Closes the connections that are overdue, and finds out when the next one will be.
    fn sweep(&mut self) {
        let mut next = None;
        for key in 0..self.connections.len() {
            let Some(connection) = &self.connections[key] else { continue };
            if connection.deadline > self.now {
                let earlier = next.unwrap_or(connection.deadline).min(connection.deadline);
                next = Some(earlier);
                continue;
            }
            let counters = &self.counters;
            let why =
                if connection.is_stuck() { &counters.slow_closed } else { &counters.idle_closed };
            why.add(1);
            self.close(key);
        }
        self.sweep_at = next.map(|next: Instant| next.max(self.now + self.idle / SWEEPS));
    }

    fn close(&mut self, key: usize) {
        if let Some(mut connection) = self.connections.get_mut(key).and_then(Option::take) {
            connection.finish();
            self.left.push(key);
        }
    }

    /// Whether a client has not taken all its answers.
    fn is_stuck(&self) -> bool {
        self.connections.iter().flatten().any(Connection::is_stuck)
    }
}
