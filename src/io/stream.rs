//! A client's connection: queries out of its octets, answers back in one write.
//!
//! A turn reads at most once and answers every whole query that brought. What a connection holds
//! between turns is bounded: at most [`INPUT_LEN`] of an incomplete message, and [`OUTPUT_LEN`]
//! of answers its client has not made room for; while there are such, nothing is read. Knows of
//! DNS nothing but the two octets of length (RFC 1035 section 4.2.2), and of the stream nothing
//! but that it reads and writes: [`Desk::serve`] takes any.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;

use super::admission::{Admission, Permit};
use super::tls::Session;
use crate::server::{Answer, Transport};

/// Longest message: two octets of length and what they can say.
const MESSAGE_MAX: usize = 2 + 65_535;

/// Octets read at once, and the most a connection may hold of an incomplete message.
const INPUT_LEN: usize = MESSAGE_MAX;

/// Octets of answers after which they are written before the next query is answered.
const FLUSH_AT: usize = 64 << 10;

/// Octets of answers: the next one always fits.
const OUTPUT_LEN: usize = FLUSH_AT + MESSAGE_MAX;

/// Queries staged at once, unless the handler takes fewer.
const STAGE: usize = 32;

/// The handler, and the buffers a turn reads into and answers into. One per thread.
pub struct Desk<H> {
    handler: H,
    input: Box<[u8]>,
    output: Box<[u8]>,
    /// Where in `input` the queries of a stage begin, and their lengths.
    staged: [(usize, usize); STAGE],
}

/// A client's connection and what it holds between turns.
pub(super) struct Connection<S = TcpStream> {
    pub(super) stream: S,
    /// When it is closed unless something was answered, or the client took its answers.
    pub(super) deadline: Instant,
    client: IpAddr,
    /// What its octets go through, unless they go in the clear.
    tls: Option<Box<Session>>,
    /// The socket may hold more than was read.
    readable: bool,
    /// The client has said that it sends no more: what is left ends with an empty read.
    read_closed: bool,
    /// To be closed when `unsent` is gone.
    malformed: bool,
    /// Octets read and not yet answered: part of a message, or more while `unsent` is not empty.
    held: Vec<u8>,
    /// Answers the client has not made room for.
    unsent: Vec<u8>,
    _permit: Permit,
}

/// What a turn of a connection came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Whole queries read.
    pub(super) queries: usize,
    /// Answers written.
    pub(super) answers: usize,
    pub(super) next: Next,
}

/// What a connection wants after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another turn when its socket says so.
    Wait,
    /// Another turn when the others have had theirs: there may be more to read.
    Again,
    /// To be closed: the client has no more queries, or is gone.
    Close,
    /// To be closed: there was a message of length zero.
    CloseMalformed,
}

impl<H: Answer> Desk<H> {
    /// A desk at which `handler` answers.
    pub fn new(handler: H) -> Self {
        let (input, output) = (vec![0; INPUT_LEN].into(), vec![0; OUTPUT_LEN].into());
        Self { handler, input, output, staged: [(0, 0); STAGE] }
    }

    /// Has the handler let go of what was replaced, though there is no query.
    pub(super) fn refresh(&mut self, now: Duration) {
        self.handler.begin(now);
    }

    /// Serves one stream of a client to its end, and says whether it ended well: not at a message
    /// of length zero. A stream that would block is asked again at once, so this is for streams
    /// that are no sockets. `now` is time since the handler's zero.
    ///
    /// # Errors
    /// What the stream says.
    pub fn serve<S: Read + Write>(
        &mut self,
        stream: S,
        client: IpAddr,
        now: Duration,
    ) -> io::Result<bool> {
        let Ok(permit) = Admission::new(1, 1).admit(client) else { return Ok(false) };
        let mut connection = Connection::new(stream, None, client, Instant::now(), permit);
        loop {
            connection.readable = true;
            match self.turn(&mut connection, now)?.next {
                Next::Wait | Next::Again => {}
                Next::Close => return Ok(true),
                Next::CloseMalformed => return Ok(false),
            }
        }
    }

    /// Writes what is unsent, reads once unless a whole query is held, and answers every whole
    /// query. `now` is time since the handler's zero.
    ///
    /// # Errors
    /// What the socket says; the connection is of no more use.
    pub(super) fn turn<S: Read + Write>(
        &mut self,
        connection: &mut Connection<S>,
        now: Duration,
    ) -> io::Result<Turn> {
        let nothing = |next| Ok(Turn { queries: 0, answers: 0, next });
        if !connection.flush()? {
            return nothing(Next::Wait);
        }
        if connection.malformed {
            return nothing(Next::CloseMalformed);
        }
        let mut filled = connection.held.len();
        self.input[..filled].copy_from_slice(&connection.held);
        // An incomplete message is shorter than the buffer, so there is room to read into.
        if matches!(Message::first(&connection.held), Message::Incomplete) {
            match connection.read(&mut self.input[filled..])? {
                None if connection.readable => return nothing(Next::Again),
                None => return nothing(Next::Wait),
                Some(0) => return nothing(Next::Close),
                Some(read) => filled += read,
            }
        }
        let (mut turn, used) = self.answer_all(filled, connection, now)?;
        connection.hold(&self.input[used..filled]);
        turn.next = match () {
            () if connection.is_stuck() => Next::Wait,
            () if connection.malformed => Next::CloseMalformed,
            () if connection.readable => Next::Again,
            () => Next::Wait,
        };
        Ok(turn)
    }

    /// Answers the whole queries of the first `filled` octets, and says how many octets are done
    /// with. Stops early when the client does not read.
    fn answer_all<S: Read + Write>(
        &mut self,
        filled: usize,
        connection: &mut Connection<S>,
        now: Duration,
    ) -> io::Result<(Turn, usize)> {
        let mut turn = Turn { queries: 0, answers: 0, next: Next::Wait };
        let (mut used, mut written) = (0, 0);
        while !connection.malformed && connection.unsent.is_empty() {
            let (count, malformed) = self.stage(used, filled);
            connection.malformed = malformed;
            if count == 0 {
                break;
            }
            let Self { handler, input, output, staged } = self;
            handler.begin(now);
            for (slot, &(start, len)) in staged[..count].iter().enumerate() {
                handler.prepare(slot, &input[start..start + len]);
            }
            for pass in 0..handler.approaches() {
                for slot in 0..count {
                    handler.approach(slot, pass);
                }
            }
            for (slot, &(start, len)) in staged[..count].iter().enumerate() {
                if written > FLUSH_AT {
                    connection.write(&output[..written])?;
                    written = 0;
                    if !connection.unsent.is_empty() {
                        // What is malformed comes after queries that are still to be answered.
                        connection.malformed = false;
                        break;
                    }
                }
                let query = &input[start..start + len];
                let room = &mut output[written + 2..written + MESSAGE_MAX];
                let transport = connection.transport();
                let len = handler.answer(slot, query, connection.client, transport, room);
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
            connection.write(&self.output[..written])?;
        }
        Ok((turn, used))
    }

    /// Notes where the next whole queries from `used` on lie: how many, and whether a message of
    /// no octets follows them.
    fn stage(&mut self, mut used: usize, filled: usize) -> (usize, bool) {
        let most = H::BATCH.clamp(1, STAGE);
        for (count, staged) in self.staged[..most].iter_mut().enumerate() {
            match Message::first(&self.input[used..filled]) {
                Message::Whole(len) => {
                    *staged = (used + 2, len);
                    used += 2 + len;
                }
                Message::Empty => return (count, true),
                Message::Incomplete => return (count, false),
            }
        }
        (most, false)
    }
}

impl<S: Read + Write> Connection<S> {
    /// A connection from `client`, open until `deadline` if nothing is asked.
    pub(super) const fn new(
        stream: S,
        tls: Option<Box<Session>>,
        client: IpAddr,
        deadline: Instant,
        permit: Permit,
    ) -> Self {
        Self {
            stream,
            deadline,
            client,
            tls,
            readable: false,
            read_closed: false,
            malformed: false,
            held: Vec::new(),
            unsent: Vec::new(),
            _permit: permit,
        }
    }

    /// Takes note of what the poll says. It says each thing once.
    pub(super) fn note(&mut self, event: &Event) {
        self.read_closed |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.read_closed;
    }

    /// Whether there are answers the client has not made room for.
    pub(super) fn is_stuck(&self) -> bool {
        !self.unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.is_stuck())
    }

    /// How its queries come.
    const fn transport(&self) -> Transport {
        match self.tls {
            None => Transport::Tcp,
            Some(_) => Transport::Tls,
        }
    }

    /// Reads once; `None` when there is nothing, `Some(0)` when there will be nothing more.
    fn read(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        if let Some(tls) = &mut self.tls {
            return tls.read(&mut self.stream, &mut self.readable, space);
        }
        while self.readable {
            match self.stream.read(space) {
                Ok(read) => {
                    // A short read has emptied the socket: one that finds nothing is saved, and
                    // the poll speaks up again for what comes. The end alone announces no more.
                    self.readable = read == space.len() || self.read_closed;
                    return Ok(Some(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes what the client has room for and keeps the rest.
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let written = self.write_some(octets)?;
        self.unsent.reserve_exact(octets.len() - written);
        self.unsent.extend_from_slice(&octets[written..]);
        Ok(())
    }

    /// Writes what is kept, and says whether all of it went.
    fn flush(&mut self) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls
            && !tls.send(&mut self.stream)?
        {
            return Ok(false);
        }
        if self.unsent.is_empty() {
            return Ok(true);
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.write(&unsent)?;
        Ok(!self.is_stuck())
    }

    /// Writes until the client has no room, and says how much went.
    fn write_some(&mut self, octets: &[u8]) -> io::Result<usize> {
        if let Some(tls) = &mut self.tls {
            return tls.write(&mut self.stream, octets);
        }
        let mut written = 0;
        while written < octets.len() {
            match self.stream.write(&octets[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Keeps `octets` for the next turn; nothing to keep takes no memory.
    fn hold(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            self.held = Vec::new();
        } else {
            self.held.clear();
            // Not what a vector thinks it may need one day: the bound is exact.
            self.held.reserve_exact(octets.len());
            self.held.extend_from_slice(octets);
        }
    }
}

impl Connection {
    /// Says good-bye where that is the custom, and that nothing more is sent.
    pub(super) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.finish(&mut self.stream);
        }
        // What is written still goes out; closing with octets unread alone would cut it off.
        let _ = self.stream.shutdown(Shutdown::Write);
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
