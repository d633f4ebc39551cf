//! DNS over TCP (RFC 7766): many queries in one segment or one in many, answers in one write.
//!
//! Each worker has a thread with a tokio runtime of its own, and on it one task per connection,
//! none per query. The handler and both buffers belong to the thread. A connection holds memory
//! only while a message is incomplete or its client does not read: at most [`INPUT_LEN`] and
//! [`OUTPUT_LEN`]. Knows of DNS nothing but the two octets of length.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{sleep, timeout, timeout_at};

use super::admission::{Admission, Permit, Refusal};
use super::counters::TcpCounters;
use crate::server::{Answer, Transport};

/// Longest message: two octets of length and what they can say.
const MESSAGE_MAX: usize = 2 + 65_535;

/// Octets read at once, and the most a connection may hold of an incomplete message.
const INPUT_LEN: usize = MESSAGE_MAX;

/// Octets of answers after which they are written before the next query is answered.
const FLUSH_AT: usize = 64 << 10;

/// Octets of answers: the next one always fits.
const OUTPUT_LEN: usize = FLUSH_AT + MESSAGE_MAX;

/// Queries answered in one turn after which other connections have theirs first.
const FAIR_TURN: usize = 256;

/// Queries staged at once, unless the handler takes fewer.
const STAGE: usize = 32;

/// Pause after an accept that failed for want of descriptors or memory, which will not be there
/// at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Most time a connection may take when the thread is to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Wait for what a client has sent before the thread is to stop.
const LAST_IN_FLIGHT: Duration = Duration::from_millis(10);

/// Bounds on TCP connections, over all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections open at once. The default, 1,024, bounds what hostile clients can make the
    /// process hold to 192 MiB.
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
    /// Becomes true when the thread is to end.
    pub(super) stop: watch::Receiver<bool>,
    /// Time zero of what the handler is told.
    pub(super) origin: Instant,
}

impl<H: Answer> Worker<H> {
    /// Takes and serves connections until told to stop, then ends those there are.
    pub(super) async fn run(self, listeners: Vec<TcpListener>) {
        let thread = Rc::new(Thread {
            counters: self.counters,
            admission: self.admission,
            idle: self.idle,
            stop: self.stop,
            desk: RefCell::new(Desk {
                handler: self.handler,
                origin: self.origin,
                input: vec![0; INPUT_LEN].into(),
                output: vec![0; OUTPUT_LEN].into(),
            }),
        });
        // Every task holds a sender: the channel closes when the last has ended.
        let (alive, mut all_ended) = mpsc::channel::<()>(1);
        for listener in listeners {
            spawn_local(accept(Rc::clone(&thread), listener, alive.clone()));
        }
        drop((alive, thread));
        all_ended.recv().await;
    }
}

/// What the tasks of one thread share.
struct Thread<H> {
    counters: Arc<TcpCounters>,
    admission: Arc<Admission>,
    idle: Duration,
    stop: watch::Receiver<bool>,
    /// Never borrowed across an await.
    desk: RefCell<Desk<H>>,
}

/// The handler, and the buffers a turn reads into and answers into.
struct Desk<H> {
    handler: H,
    origin: Instant,
    input: Box<[u8]>,
    output: Box<[u8]>,
}

/// A client's connection and what it holds between turns.
struct Connection {
    stream: TcpStream,
    client: IpAddr,
    /// Octets read and not yet answered: part of a message, or more while `unsent` is not empty.
    held: Vec<u8>,
    /// Answers the client has not made room for.
    unsent: Vec<u8>,
}

/// What a turn of a connection came to.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Whole queries read.
    queries: usize,
    /// Answers written.
    answers: usize,
    end: Option<End>,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client has no more queries.
    Finished,
    /// A message of length zero.
    Malformed,
}

async fn accept<H: Answer>(thread: Rc<Thread<H>>, listener: TcpListener, alive: mpsc::Sender<()>) {
    let mut stop = thread.stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(&thread, stream, peer, &alive),
            Err(error) => {
                thread.counters.accept_errors.add(1);
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    // Connections the kernel has completed may carry a query already.
    let last = async {
        while let Ok(Ok((stream, peer))) = timeout(LAST_IN_FLIGHT, listener.accept()).await {
            admit(&thread, stream, peer, &alive);
        }
    };
    let _ = timeout(STOP_GRACE, last).await;
}

/// Serves the connection, or closes it when there are too many.
fn admit<H: Answer>(
    thread: &Rc<Thread<H>>,
    stream: TcpStream,
    peer: SocketAddr,
    alive: &mpsc::Sender<()>,
) {
    match thread.admission.admit(peer.ip()) {
        Ok(permit) => {
            thread.counters.accepted.add(1);
            spawn_local(serve(Rc::clone(thread), stream, peer.ip(), permit, alive.clone()));
        }
        Err(Refusal::Total) => thread.counters.refused_total.add(1),
        Err(Refusal::Client) => thread.counters.refused_client.add(1),
    }
}

async fn serve<H: Answer>(
    thread: Rc<Thread<H>>,
    stream: TcpStream,
    client: IpAddr,
    permit: Permit,
    alive: mpsc::Sender<()>,
) {
    let mut connection = Connection { stream, client, held: Vec::new(), unsent: Vec::new() };
    let mut stop = thread.stop.clone();
    if thread.converse(&mut connection, &mut stop).await {
        let _ = timeout(STOP_GRACE, thread.finish(&mut connection)).await;
    }
    let _ = timeout(STOP_GRACE, connection.stream.shutdown()).await;
    drop((permit, alive));
}

impl<H: Answer> Thread<H> {
    /// Answers until the connection ends (false) or the thread is to stop (true).
    async fn converse(
        &self,
        connection: &mut Connection,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let mut deadline = tokio::time::Instant::now() + self.idle;
        loop {
            let turn = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return true,
                turn = timeout_at(deadline, self.turn(connection)) => turn,
            };
            let Ok(turn) = turn else {
                self.counters.idle_closed.add(1);
                return false;
            };
            let Ok(turn) = turn else { return false };
            if !connection.unsent.is_empty() {
                tokio::select! {
                    sent = timeout(self.idle, connection.flush()) => match sent {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return false,
                        Err(_) => {
                            self.counters.slow_closed.add(1);
                            return false;
                        }
                    },
                    _ = stop.wait_for(|stop| *stop) => return true,
                }
            }
            if turn.end.is_some() {
                return false;
            }
            // The time a client takes to read its answers is not held against its next query.
            if turn.answers > 0 {
                deadline = tokio::time::Instant::now() + self.idle;
            }
            if turn.queries >= FAIR_TURN {
                yield_now().await;
            }
        }
    }

    /// Answers what the client has sent, and no more than that.
    async fn finish(&self, connection: &mut Connection) {
        loop {
            if connection.flush().await.is_err() {
                return;
            }
            match timeout(LAST_IN_FLIGHT, self.turn(connection)).await {
                Ok(Ok(Turn { end: None, .. })) => {}
                _ => break,
            }
        }
        let _ = connection.flush().await;
    }

    /// Reads once, unless a whole query is held already, and answers every whole query.
    ///
    /// Waits only while nothing was read, so dropping it loses nothing.
    async fn turn(&self, connection: &mut Connection) -> io::Result<Turn> {
        let turn = poll_fn(|context| self.desk.borrow_mut().poll_turn(context, connection)).await?;
        self.counters.received.add(turn.queries as u64);
        self.counters.sent.add(turn.answers as u64);
        if turn.end == Some(End::Malformed) {
            self.counters.malformed.add(1);
        }
        Ok(turn)
    }
}

impl<H: Answer> Desk<H> {
    fn poll_turn(
        &mut self,
        context: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<io::Result<Turn>> {
        let mut filled = connection.held.len();
        self.input[..filled].copy_from_slice(&connection.held);
        // An incomplete message is shorter than the buffer, so there is room to read into.
        if matches!(Message::first(&connection.held), Message::Incomplete) {
            let mut space = ReadBuf::new(&mut self.input[filled..]);
            ready!(Pin::new(&mut connection.stream).poll_read(context, &mut space))?;
            let read = space.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(Turn { queries: 0, answers: 0, end: Some(End::Finished) }));
            }
            filled += read;
        }
        let (turn, used) = self.answer_all(filled, connection)?;
        connection.hold(&self.input[used..filled]);
        Poll::Ready(Ok(turn))
    }

    /// Answers the whole queries of the first `filled` octets, and says how many octets are done
    /// with. Stops early when the client does not read.
    fn answer_all(
        &mut self,
        filled: usize,
        connection: &mut Connection,
    ) -> io::Result<(Turn, usize)> {
        let Self { handler, origin, input, output } = self;
        let mut turn = Turn { queries: 0, answers: 0, end: None };
        let (mut used, mut written) = (0, 0);
        while turn.end.is_none() && connection.unsent.is_empty() {
            let mut staged = [(0, 0); STAGE];
            let mut count = 0;
            let mut next = used;
            while count < H::BATCH.clamp(1, STAGE) {
                match Message::first(&input[next..filled]) {
                    Message::Whole(len) => {
                        staged[count] = (next + 2, len);
                        next += 2 + len;
                        count += 1;
                    }
                    Message::Empty => {
                        turn.end = Some(End::Malformed);
                        break;
                    }
                    Message::Incomplete => break,
                }
            }
            if count == 0 {
                break;
            }
            handler.begin(origin.elapsed());
            for (slot, &(start, len)) in staged[..count].iter().enumerate() {
                handler.prepare(slot, &input[start..start + len]);
            }
            for (slot, &(start, len)) in staged[..count].iter().enumerate() {
                if written > FLUSH_AT {
                    connection.write(&output[..written])?;
                    written = 0;
                    if !connection.unsent.is_empty() {
                        turn.end = None;
                        break;
                    }
                }
                let query = &input[start..start + len];
                let room = &mut output[written + 2..written + MESSAGE_MAX];
                let len = handler.answer(slot, query, connection.client, Transport::Tcp, room);
                if let Some(octets) = u16::try_from(len).ok().filter(|&len| len > 0) {
                    output[written..written + 2].copy_from_slice(&octets.to_be_bytes());
                    written += 2 + len;
                    turn.answers += 1;
                }
                turn.queries += 1;
                used = start + query.len();
            }
        }
        if written > 0 {
            connection.write(&output[..written])?;
        }
        Ok((turn, used))
    }
}

impl Connection {
    /// Writes what the client has room for and keeps the rest.
    fn write(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            match self.stream.try_write(octets) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => octets = &octets[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.extend_from_slice(octets);
        Ok(())
    }

    /// Writes all that is kept. Dropped in the middle, it still keeps what is not written.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            // An await that is cancelled has written nothing.
            let written = self.stream.write(&self.unsent).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unsent.drain(..written);
        }
        self.unsent = Vec::new();
        Ok(())
    }

    /// Keeps `octets` for the next turn; nothing to keep takes no memory.
    fn hold(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            self.held = Vec::new();
        } else {
            self.held.clear();
            self.held.extend_from_slice(octets);
        }
    }
}

/// How a stream of messages begins (RFC 1035 section 4.2.2).
enum Message {
    /// A message of so many octets after its length.
    Whole(usize),
    /// A message of no octets.
    Empty,
    /// Not all of it is there.
    Incomplete,
}

impl Message {
    fn first(octets: &[u8]) -> Self {
        match octets {
            [0, 0, ..] => Self::Empty,
            [high, low, message @ ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                if message.len() < len { Self::Incomplete } else { Self::Whole(len) }
            }
            _ => Self::Incomplete,
        }
    }
}
