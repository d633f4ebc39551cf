//! The loops allocate nothing per batch, nor per turn of a connection. Alone in its file, since the allocator that counts
//! is the whole program's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meridian::io::{Listeners, Setup};
use meridian::server::{Answer, Transport};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn ten_thousand_queries_allocate_nothing() {
    let listeners = Listeners::bind(&["0.0.0.0:0".parse().unwrap()], 1).unwrap();
    let port = listeners.addresses()[0].port();
    let running = listeners.start(|_| Echo, Setup::default()).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    ask(&client, 100);
    ask_over_tcp(&mut stream, 100);
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    ask(&client, 10_000);
    ask_over_tcp(&mut stream, 10_000);
    let after = ALLOCATIONS.load(Ordering::SeqCst);
    assert!(before > 0, "the allocator does not count");
    assert_eq!(after - before, 0);
    let counters = running.stop(Duration::from_secs(10)).counters;
    assert_eq!((counters.udp.sent, counters.tcp.sent), (10_100, 10_100));
}

fn ask(client: &UdpSocket, queries: usize) {
    for _ in 0..queries / 20 {
        for _ in 0..20 {
            client.send(b"query").unwrap();
        }
        for _ in 0..20 {
            client.recv(&mut [0; 8]).unwrap();
        }
    }
}

fn ask_over_tcp(stream: &mut TcpStream, queries: usize) {
    let query = *b"\0\x05query";
    for _ in 0..queries {
        stream.write_all(&query).unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, query);
    }
}

struct Echo;

impl Answer for Echo {
    fn begin(&mut self, _now: Duration) {}

    fn prepare(&mut self, _slot: usize, _packet: &[u8]) {}

    fn answer(
        &mut self,
        _slot: usize,
        packet: &[u8],
        _client: IpAddr,
        _transport: Transport,
        out: &mut [u8],
    ) -> usize {
        out[..packet.len()].copy_from_slice(packet);
        packet.len()
    }
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}
