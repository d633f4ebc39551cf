//! Members of pools on loopback, each a thread with a listener, which begin to fail when told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How a member fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It answers with status 503.
    Unavailable,
    /// Its port is closed.
    Refused,
}

/// One member. Its thread ends with the process.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    orders: AtomicU8,
    /// When it was about to send its last failing answer.
    failed_at: Mutex<Option<Instant>>,
}

const SERVE: u8 = 0;
const FAIL: u8 = 1;
const CLOSE: u8 = 2;

/// A prober that says nothing for this long is let go.
const PATIENCE: Duration = Duration::from_secs(5);

impl Member {
    /// A member that serves.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { orders: AtomicU8::new(SERVE), failed_at: Mutex::default() });
        let own = Arc::clone(&shared);
        thread::spawn(move || own.serve(&listener));
        Self { address, shared }
    }

    /// From here on it fails.
    pub(crate) fn fail(&self, how: Failing) {
        match how {
            Failing::Unavailable => self.shared.orders.store(FAIL, Ordering::SeqCst),
            Failing::Refused => {
                self.shared.orders.store(CLOSE, Ordering::SeqCst);
                // Wakes it, so that it closes. Refused if somebody else has woken it before.
                let _ = TcpStream::connect(self.address);
            }
        }
    }

    /// When it was about to send its last failing answer; `None` when it never had to.
    pub(crate) fn failed_at(&self) -> Option<Instant> {
        *self.shared.failed_at.lock().expect("not poisoned")
    }
}

impl Shared {
    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.orders.load(Ordering::SeqCst) == CLOSE {
                return;
            }
            // A prober that hangs up has no part in what is measured.
            let _ = stream.and_then(|stream| self.answer(stream));
        }
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut head, mut length) = ([0; 2048], 0);
        while !head[..length].ends_with(b"\r\n\r\n") {
            match stream.read(&mut head[length..])? {
                0 => return Ok(()),
                read => length += read,
            }
        }
        if self.orders.load(Ordering::SeqCst) == SERVE {
            return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        *self.failed_at.lock().expect("not poisoned") = Some(Instant::now());
        stream.write_all(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n")
    }
}
