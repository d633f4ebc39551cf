//! Sockets, with a handler that echoes each packet with its first bit flipped.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use meridian::io::{Listeners, Running, Setup, TcpLimits};
use meridian::server::{Answer, Transport};

const PATIENCE: Duration = Duration::from_secs(10);

/// Queries that the handler does not survive.
const IN_PREPARE: &[u8] = b"prepare and die";
const IN_ANSWER: &[u8] = b"answer and die";

#[test]
fn of_100_000_datagrams_none_is_lost() {
    let running = serve("127.0.0.1:0", 2, Setup::default());
    let client = udp_client("127.0.0.1:0");
    client.connect(running.addresses()[0]).unwrap();
    let window = 64;
    for first in (0..100_000_u32).step_by(window) {
        let numbers = first..100_000.min(first + window as u32);
        for number in numbers.clone() {
            client.send(&number.to_be_bytes()).unwrap();
        }
        let mut missing: Vec<u32> = numbers.collect();
        while !missing.is_empty() {
            let mut answer = [0; 4];
            assert_eq!(client.recv(&mut answer).unwrap(), 4);
            answer[0] ^= 0x80;
            missing.retain(|&number| number != u32::from_be_bytes(answer));
        }
    }
    let counters = stop(running).udp;
    assert_eq!((counters.received, counters.sent), (100_000, 100_000));
    assert_eq!((counters.send_errors, counters.receive_errors), (0, 0));
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    for (any, loopbacks) in
        [("0.0.0.0:0", &["127.0.0.1", "127.0.0.2", "127.9.9.9"][..]), ("[::]:0", &["::1"])]
    {
        let running = serve(any, 1, Setup::default());
        let port = running.addresses()[0].port();
        for loopback in loopbacks {
            let asked = SocketAddr::new(loopback.parse().unwrap(), port);
            let client = udp_client(any);
            client.send_to(b"who", asked).unwrap();
            let mut answer = [0; 16];
            let (len, from) = client.recv_from(&mut answer).unwrap();
            assert_eq!((&answer[..len], from), (&flipped(b"who")[..], asked));
        }
        stop(running);
    }
}

#[test]
fn what_the_kernel_accepted_is_answered_before_the_thread_ends() {
    let (release, gate) = mpsc::channel();
    let (mut gate, batches) = (Some(gate), Arc::<AtomicUsize>::default());
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    let handler = |_| Echo { gate: gate.take(), batches: Arc::clone(&batches), ..Echo::default() };
    let running = listeners.start(handler, Setup::default()).unwrap();
    let client = udp_client("127.0.0.1:0");
    client.connect(running.addresses()[0]).unwrap();
    for number in 0..200_u8 {
        client.send(&[number]).unwrap();
    }
    // The thread is held in its first batch while it is told to stop; the rest is in the queue.
    assert_eq!(running.stop(Duration::from_millis(50)).late, 1);
    drop(release);
    let mut missing: Vec<u8> = (0..200).collect();
    while !missing.is_empty() {
        let mut answer = [0];
        client.recv(&mut answer).unwrap();
        missing.retain(|&number| number != answer[0] ^ 0x80);
    }
    let batches = batches.load(Ordering::Relaxed);
    assert!((7..100).contains(&batches), "{batches} batches of 200 queued queries");
}

/// Or it would keep what a reload replaced until the next query.
#[test]
fn a_thread_without_queries_looks_for_what_is_new() {
    let batches: [Arc<AtomicUsize>; 2] = Default::default();
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    let handler = |thread: usize| Echo { batches: Arc::clone(&batches[thread]), ..Echo::default() };
    let running = listeners.start(handler, Setup::default()).unwrap();
    running.refresh();
    let begun = Instant::now();
    while batches.iter().any(|batches| batches.load(Ordering::Relaxed) == 0) {
        assert!(begun.elapsed() < PATIENCE, "both threads begin a batch");
        std::thread::yield_now();
    }
    stop(running);
}

#[test]
fn a_query_may_come_one_octet_at_a_time() {
    let running = serve("[::1]:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    for octet in framed(b"slow") {
        client.write_all(&[octet]).unwrap();
    }
    assert_eq!(read_message(&mut client), flipped(b"slow"));
    stop(running);
}

#[test]
fn a_thousand_pipelined_queries_are_all_answered() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    let queries: Vec<Vec<u8>> = (0..1000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let all: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    client.write_all(&all).unwrap();
    for query in &queries {
        assert_eq!(read_message(&mut client), flipped(query));
    }
    let counters = stop(running).tcp;
    assert_eq!((counters.received, counters.sent, counters.accepted), (1000, 1000, 1));
}

#[test]
fn a_client_that_has_closed_its_half_gets_its_answers() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    client.write_all(&[framed(b"one"), framed(b"two"), vec![0, 9, 1]].concat()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, [framed(&flipped(b"one")), framed(&flipped(b"two"))].concat());
    stop(running);
}

#[test]
fn the_longest_message_passes() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    let query = vec![7; 65_535];
    client.write_all(&framed(&query)).unwrap();
    assert_eq!(read_message(&mut client), flipped(&query));
    stop(running);
}

#[test]
fn a_message_of_no_octets_ends_the_connection_after_the_answers_before_it() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    client.write_all(&[framed(b"one"), vec![0, 0]].concat()).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, framed(&flipped(b"one")));
    assert_eq!(stop(running).tcp.malformed, 1);
}

#[test]
fn octets_without_a_whole_query_do_not_keep_a_connection_open() {
    let idle = Duration::from_millis(300);
    let running = serve("127.0.0.1:0", 1, limits(TcpLimits { idle, ..TcpLimits::default() }));
    let mut client = tcp_client(&running);
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    client.write_all(&[0, 255]).unwrap();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "still open");
        match client.read(&mut [0]) {
            Ok(0) => break,
            Ok(_) => panic!("an answer to half a query"),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        let _ = client.write(&[1]);
    }
    assert_eq!(stop(running).tcp.idle_closed, 1);
}

#[test]
fn the_newest_connection_over_a_limit_is_refused() {
    let few = |connections, connections_per_client| {
        let limits_ = TcpLimits { connections, connections_per_client, ..TcpLimits::default() };
        let running = serve("127.0.0.1:0", 2, limits(limits_));
        let mut first = tcp_client(&running);
        first.write_all(&framed(b"first")).unwrap();
        assert_eq!(read_message(&mut first), flipped(b"first"));
        assert_closed(&mut tcp_client(&running));
        first.write_all(&framed(b"again")).unwrap();
        assert_eq!(read_message(&mut first), flipped(b"again"));
        let counters = stop(running).tcp;
        (counters.refused_total, counters.refused_client)
    };
    assert_eq!(few(1, 9), (1, 0));
    assert_eq!(few(9, 1), (0, 1));
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let idle = Duration::from_millis(300);
    let running = serve("127.0.0.1:0", 1, limits(TcpLimits { idle, ..TcpLimits::default() }));
    let mut client = tcp_client(&running);
    let queries = framed(&[5; 60_000]);
    let began = Instant::now();
    while client.write_all(&queries).is_ok() {
        assert!(began.elapsed() < PATIENCE, "still taking queries");
    }
    assert_eq!(stop(running).tcp.slow_closed, 1);
}

#[test]
fn a_client_that_reads_late_gets_every_answer() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    let queries: Vec<Vec<u8>> = (0..400_u32).map(|n| n.to_be_bytes().repeat(15_000)).collect();
    let all: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    client.set_nonblocking(true).unwrap();
    let mut written = 0;
    while written < all.len()
        && let Ok(more) = client.write(&all[written..])
    {
        written += more;
    }
    client.set_nonblocking(false).unwrap();
    let mut writer = client.try_clone().unwrap();
    let rest = std::thread::spawn(move || writer.write_all(&all[written..]).unwrap());
    for query in &queries {
        assert!(read_message(&mut client) == flipped(query));
    }
    rest.join().unwrap();
    assert_eq!(stop(running).tcp.sent, 400);
}

#[test]
fn a_place_that_is_left_is_a_new_clients() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    for round in 0..50_u8 {
        let mut clients = [0; 5].map(|_| tcp_client(&running));
        for (number, client) in clients.iter_mut().enumerate().rev() {
            client.write_all(&framed(&[round, number as u8])).unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(read_message(client), flipped(&[round, number as u8]));
        }
    }
    assert_eq!(stop(running).tcp.accepted, 250);
}

#[test]
fn stopping_answers_what_a_connection_has_sent() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    client.write_all(&framed(b"before")).unwrap();
    assert_eq!(read_message(&mut client), flipped(b"before"));
    client.write_all(&framed(b"last")).unwrap();
    stop(running);
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, framed(&flipped(b"last")));
}

/// A defect that one query meets costs that query its answer and nobody else.
#[test]
fn a_panic_costs_the_datagram_that_met_it_and_no_other() {
    for poison in [IN_ANSWER, IN_PREPARE] {
        let (release, gate) = mpsc::channel();
        let mut gate = Some(gate);
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
        let echo = |_| Echo { gate: gate.take(), ..Echo::default() };
        let running = listeners.start(echo, Setup::default()).unwrap();
        let client = udp_client("127.0.0.1:0");
        client.connect(running.addresses()[0]).unwrap();
        // The first query holds the thread up, so that the others make one batch.
        let mut wanted = vec![b"held".to_vec()];
        client.send(b"held").unwrap();
        for number in 0..20_u8 {
            let query = if number % 7 == 3 { poison.to_vec() } else { vec![number; 5] };
            client.send(&query).unwrap();
            if number % 7 != 3 {
                wanted.push(query);
            }
        }
        drop(release);
        for _ in 0..wanted.len() {
            let mut answer = [0; 16];
            let length = client.recv(&mut answer).unwrap();
            let query = flipped(&answer[..length]);
            wanted.remove(wanted.iter().position(|wanted| *wanted == query).expect("once"));
        }
        assert_eq!(running.lost_threads(), 0);
        let counters = stop(running).udp;
        assert!(counters.panics >= 3, "{counters:?}");
        assert_eq!((counters.received, counters.sent), (21, 18));
    }
}

#[test]
fn a_panic_costs_the_connection_that_met_it_and_no_other() {
    for poison in [IN_ANSWER, IN_PREPARE] {
        let running = serve("127.0.0.1:0", 1, Setup::default());
        let mut other = tcp_client(&running);
        other.write_all(&framed(b"one")).unwrap();
        assert_eq!(read_message(&mut other), flipped(b"one"));
        let mut client = tcp_client(&running);
        client.write_all(&framed(poison)).unwrap();
        assert_closed(&mut client);
        other.write_all(&framed(b"two")).unwrap();
        assert_eq!(read_message(&mut other), flipped(b"two"));
        let mut next = tcp_client(&running);
        next.write_all(&framed(b"three")).unwrap();
        assert_eq!(read_message(&mut next), flipped(b"three"));
        assert_eq!((running.lost_threads(), running.counters().tcp_open), (0, 2));
        assert_eq!(stop(running).tcp.panics, 1);
    }
}

/// Clients in the kernel's queue of completed connections are served as places become free, and
/// what they sent meanwhile is answered.
#[test]
fn a_queue_of_connections_longer_than_a_turn_is_served_whole() {
    let running = serve(
        "127.0.0.1:0",
        1,
        limits(TcpLimits { connections_per_client: 600, ..TcpLimits::default() }),
    );
    let mut clients: Vec<TcpStream> = (0..500_u16)
        .map(|number| {
            let mut client = tcp_client(&running);
            client.write_all(&framed(&number.to_be_bytes().repeat(2))).unwrap();
            client
        })
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let query = (number as u16).to_be_bytes().repeat(2);
        assert_eq!(read_message(client), flipped(&query));
    }
    assert_eq!(running.counters().tcp_open, 500);
    drop(clients);
    assert_eq!(stop(running).tcp.accepted, 500);
}

/// What a connection may hold is bounded on both sides, whatever its client does.
#[test]
fn a_client_that_sends_and_never_reads_is_held_up_and_not_stored() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let mut client = tcp_client(&running);
    let buffers = 16 << 20;
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let query = framed(&[5; 60_000]);
    let mut written = 0;
    while let Ok(more) = client.write(&query[written % query.len()..]) {
        written += more;
        // Both sockets' buffers, and 192 KiB of ours: far less than what is offered.
        assert!(written < buffers, "{written} octets taken from a client that does not read");
    }
    let mut other = tcp_client(&running);
    other.write_all(&framed(b"beside")).unwrap();
    assert_eq!(read_message(&mut other), flipped(b"beside"));
    drop(client);
    stop(running);
}

/// A client may leave without a word at any point of a message.
#[test]
fn clients_that_leave_in_the_middle_leave_nothing_behind() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let message = framed(b"whole");
    for cut in 0..message.len() {
        for half in [true, false] {
            let mut client = tcp_client(&running);
            client.write_all(&message[..cut]).unwrap();
            if half {
                client.shutdown(Shutdown::Write).unwrap();
                assert_closed(&mut client);
            }
        }
    }
    let begun = Instant::now();
    while running.counters().tcp_open > 0 {
        assert!(begun.elapsed() < PATIENCE, "{} still open", running.counters().tcp_open);
        std::thread::yield_now();
    }
    let counters = stop(running).tcp;
    assert_eq!((counters.received, counters.idle_closed), (0, 0));
}

/// Port 0 is nobody's, and services that answer everything (echo, daytime, quotes, characters,
/// time) would be answered for ever.
#[test]
fn services_that_answer_everything_are_not_answered() {
    let running = serve("127.0.0.1:0", 1, Setup::default());
    let address = running.addresses()[0];
    let mut asked = 0;
    for port in [7, 13, 17, 19, 37] {
        // Without the right to a low port the kernel decides, and nothing is shown.
        let Ok(client) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        client.send_to(b"loop", address).unwrap();
        asked += 1;
    }
    let client = udp_client("127.0.0.1:0");
    client.send_to(b"real", address).unwrap();
    let mut answer = [0; 16];
    let length = client.recv(&mut answer).unwrap();
    assert_eq!(answer[..length], flipped(b"real"));
    let counters = stop(running).udp;
    assert_eq!((counters.unanswerable, counters.sent), (asked, 1));
}

//--- Helpers ------------------------------------------------------------------------------------

/// Echoes with the first bit flipped; waits at its gate, if it has one, before each batch.
#[derive(Default)]
struct Echo {
    prepared: [usize; 32],
    gate: Option<mpsc::Receiver<()>>,
    batches: Arc<AtomicUsize>,
}

impl Answer for Echo {
    fn begin(&mut self, _now: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
    }

    fn prepare(&mut self, slot: usize, packet: &[u8]) {
        assert!(packet != IN_PREPARE, "met in prepare");
        self.prepared[slot] = packet.len();
    }

    fn answer(
        &mut self,
        slot: usize,
        packet: &[u8],
        client: IpAddr,
        _transport: Transport,
        out: &mut [u8],
    ) -> usize {
        assert!(client.is_loopback());
        assert!(packet != IN_ANSWER, "met in answer");
        assert_eq!(self.prepared[slot], packet.len(), "answered without being prepared");
        out[..packet.len()].copy_from_slice(packet);
        out[0] ^= 0x80;
        packet.len()
    }
}

fn serve(address: &str, workers: usize, setup: Setup) -> Running {
    let listeners = Listeners::bind(&[address.parse().unwrap()], workers).unwrap();
    assert_eq!(listeners.threads(), 2 * workers);
    listeners.start(|_| Echo::default(), setup).unwrap()
}

fn stop(running: Running) -> meridian::io::Counters {
    let stopped = running.stop(PATIENCE);
    assert_eq!((stopped.late, stopped.panicked), (0, 0));
    assert_eq!(stopped.counters.tcp_open, 0);
    stopped.counters
}

fn limits(tcp: TcpLimits) -> Setup {
    Setup { tcp, ..Setup::default() }
}

fn udp_client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn tcp_client(running: &Running) -> TcpStream {
    let client = TcpStream::connect(running.addresses()[0]).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn flipped(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[0] ^= 0x80;
    message
}

fn read_message(client: &mut TcpStream) -> Vec<u8> {
    let mut len = [0; 2];
    client.read_exact(&mut len).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    client.read_exact(&mut message).unwrap();
    message
}

fn assert_closed(client: &mut TcpStream) {
    match client.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("expected a closed connection, got {other:?}"),
    }
}
