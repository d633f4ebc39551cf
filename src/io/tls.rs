//! DNS over TLS (RFC 7858): what stands between a connection's octets and its socket.
//!
//! A session is a state machine that is fed and emptied here, in the turns of `stream`; it never
//! blocks and has no thread. What it may hold is bounded: a record on its way in and one that was
//! read, of 16 KiB each, or 64 KiB of a handshake; [`OUTPUT_MAX`] on its way out; and the keys.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{ServerConfig, ServerConnection};

/// Octets of answers a session takes before its client has made room for them.
const OUTPUT_MAX: usize = 64 << 10;

/// Reads of the socket in one turn that bring no octet of a query: a handshake takes two or three.
const READS: usize = 8;

/// What the server shows and proves itself by: a certificate with its key. Shared by all threads,
/// and replaced while they run; connections that are open keep what they began with. Sessions are
/// resumed across a replacement, so a reload makes nobody shake hands in full again.
pub struct Identity(ArcSwap<ServerConfig>);

impl Identity {
    /// Begins with `config`.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(ArcSwap::new(config))
    }

    /// Has the next connections begin with `config`, but with the keys of tickets as they were.
    pub fn replace(&self, config: &ServerConfig) {
        let mut config = config.clone();
        config.ticketer = Arc::clone(&self.0.load().ticketer);
        self.0.store(Arc::new(config));
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is nobody's business.
        f.write_str("Identity")
    }
}

/// The TLS of one connection.
pub(super) struct Session {
    tls: ServerConnection,
}

impl Session {
    /// A session whose client has said nothing yet.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn new(identity: &Identity) -> io::Result<Self> {
        let mut tls = ServerConnection::new(identity.0.load_full()).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(OUTPUT_MAX));
        Ok(Self { tls })
    }

    /// Reads octets of queries into `space`. `None` when there are none yet, `Some(0)` when there
    /// will be none any more. `readable` says that `stream` may hold more; where it is left so
    /// with `None`, another turn is due.
    ///
    /// # Errors
    /// What the socket says, or that the client breaks the protocol.
    pub(super) fn read(
        &mut self,
        stream: &mut (impl Read + Write),
        readable: &mut bool,
        space: &mut [u8],
    ) -> io::Result<Option<usize>> {
        for _ in 0..READS {
            match self.tls.reader().read(space) {
                Ok(read) => return Ok(Some(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Queries have lengths of their own: an end without a good-bye cuts nothing off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Some(0)),
                Err(error) => return Err(error),
            }
            if !*readable {
                return Ok(None);
            }
            match self.tls.read_tls(stream) {
                Ok(_) => {
                    let understood = self.tls.process_new_packets();
                    // What the handshake answers; or the alert that says what was wrong.
                    self.send(stream)?;
                    understood
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => *readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Takes octets of answers until the client has no room, and says how many.
    ///
    /// # Errors
    /// What the socket says.
    pub(super) fn write(&mut self, stream: &mut impl Write, octets: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        loop {
            written += self.tls.writer().write(octets.get(written..).unwrap_or_default())?;
            if !self.send(stream)? || written == octets.len() {
                return Ok(written);
            }
        }
    }

    /// Sends what is ready, and says whether all of it went.
    ///
    /// # Errors
    /// What the socket says.
    pub(super) fn send(&mut self, stream: &mut impl Write) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether something is ready that the client has not made room for.
    pub(super) fn is_stuck(&self) -> bool {
        self.tls.wants_write()
    }

    /// Says good-bye, as far as there is room for it.
    pub(super) fn finish(&mut self, stream: &mut impl Write) {
        self.tls.send_close_notify();
        let _ = self.send(stream);
    }
}
