//! The echoes: what the kernel allows when a server does not think. Knows no DNS beyond the one
//! bit it flips, so that what comes back is an answer.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

/// Datagrams taken at once, as many as Meridian takes.
const BATCH: usize = 32;
/// Longest query in octets.
const QUERY_MAX: usize = 512;
/// Connections served at once.
const CONNECTIONS: usize = 64;
/// What is read from a connection at once.
const READ: usize = 16 * 1024;

/// Echoes on 127.0.0.1:`port` over UDP and TCP until killed: in batches, or one by one.
///
/// # Errors
/// When a socket fails, or `name` is no echo.
pub fn run(name: &str, port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address)?;
    thread::spawn(move || streams(&listener));
    let socket = UdpSocket::bind(address)?;
    match name {
        "echo" => batched(&socket),
        "echo-plain" => plain(&socket),
        _ => bail!("no echo is called {name}"),
    }
}

fn batched(socket: &UdpSocket) -> Result<()> {
    let mut queries = [[0; QUERY_MAX]; BATCH];
    let mut lengths = [0; BATCH];
    let mut clients: [Option<SockaddrIn>; BATCH] = [None; BATCH];
    let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    loop {
        let mut taken = 0;
        {
            let mut room = queries.each_mut().map(|query| [IoSliceMut::new(query)]);
            let flags = MsgFlags::MSG_WAITFORONE;
            let received =
                recvmmsg(socket.as_raw_fd(), &mut incoming, room.iter_mut(), flags, None)?;
            for query in received {
                lengths[taken] = query.bytes;
                clients[taken] = query.address;
                taken += 1;
            }
        }
        for query in &mut queries[..taken] {
            query[2] |= 0x80;
        }
        let mut sent = 0;
        while sent < taken {
            let mut answers = [[IoSlice::new(&[])]; BATCH];
            for slot in sent..taken {
                answers[slot] = [IoSlice::new(&queries[slot][..lengths[slot]])];
            }
            let (answers, clients) = (&answers[sent..taken], &clients[sent..taken]);
            let no_flags = MsgFlags::empty();
            match sendmmsg(socket.as_raw_fd(), &mut outgoing, answers, clients, [], no_flags) {
                Ok(results) => sent += results.count().max(1),
                Err(_) => sent += 1,
            }
        }
    }
}

fn plain(socket: &UdpSocket) -> Result<()> {
    let mut query = [0; QUERY_MAX];
    loop {
        let (length, client) = socket.recv_from(&mut query)?;
        query[2] |= 0x80;
        // A client that is gone gets no answer; that is no reason to stop.
        let _ = socket.send_to(&query[..length], client);
    }
}

/// Sends back what comes on every connection, the QR bit of nothing flipped: messages are not
/// told apart.
fn streams(listener: &TcpListener) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let new = CONNECTIONS as u64;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, new))?;
    let mut open: Vec<Option<TcpStream>> = (0..CONNECTIONS).map(|_| None).collect();
    let mut events = [EpollEvent::empty(); CONNECTIONS];
    let mut buffer = vec![0; READ];
    loop {
        let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready?,
        };
        for event in &events[..ready] {
            if event.data() == new {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                let free = open.iter().position(Option::is_none);
                let Some(free) = free else { continue };
                epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, free as u64))?;
                open[free] = Some(stream);
                continue;
            }
            let slot = &mut open[event.data() as usize];
            let Some(stream) = slot else { continue };
            let read = stream.read(&mut buffer).unwrap_or(0);
            if read == 0 || stream.write_all(&buffer[..read]).is_err() {
                *slot = None;
            }
        }
    }
}
