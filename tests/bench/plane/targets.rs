//! Members on loopback, each with an address of its own and the same port, in one thread.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What they are asked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Http,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }
}

/// All members.
pub(crate) struct Targets {
    pub(crate) addresses: Vec<SocketAddr>,
    asked: Arc<AtomicU64>,
    /// They serve as long as it is held.
    ends: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Targets {
    /// So many, which serve until this is dropped.
    pub(crate) fn start(kind: Kind, members: usize) -> Self {
        let asked = Arc::new(AtomicU64::new(0));
        let (tell, told) = std::sync::mpsc::channel();
        let counter = Arc::clone(&asked);
        let (ends, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut port = 0;
                let mut addresses = Vec::with_capacity(members);
                for member in 0..members {
                    let address = SocketAddr::from((address(kind, member), port));
                    let listener = TcpListener::bind(address).await.expect("an address");
                    let address = listener.local_addr().expect("bound");
                    port = address.port();
                    addresses.push(address);
                    tokio::spawn(serve(kind, listener, Arc::clone(&counter)));
                }
                tell.send(addresses).expect("somebody waits");
                let _ = ended.await;
            });
        });
        let addresses = told.recv().expect("they listen");
        Self { addresses, asked, ends: Some(ends), thread: Some(thread) }
    }

    /// Times any of them was asked, and answered.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        drop(self.ends.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn address(kind: Kind, member: usize) -> Ipv4Addr {
    let second = if kind == Kind::Tcp { 77 } else { 78 };
    let [third, fourth] =
        [member / 250, 1 + member % 250].map(|octet| u8::try_from(octet).expect("an octet"));
    Ipv4Addr::new(127, second, third, fourth)
}

async fn serve(kind: Kind, listener: TcpListener, asked: Arc<AtomicU64>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if kind == Kind::Tcp {
            // The prober's reset is on its way, or here.
            asked.fetch_add(1, Ordering::Relaxed);
        } else if answer(stream).await {
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One request, one answer; whether it was asked for anything.
async fn answer(mut stream: TcpStream) -> bool {
    let mut request = [0; 1024];
    let mut read = 0;
    while !request[..read].ends_with(b"\r\n\r\n") {
        match stream.read(&mut request[read..]).await {
            Ok(0) | Err(_) => return false,
            Ok(octets) => read += octets,
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
    stream.write_all(answer).await.is_ok()
}
