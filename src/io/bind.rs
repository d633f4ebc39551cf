//! Opens the sockets: every option a listening socket has is set here, before any thread starts.
//!
//! Each worker has a socket of its own on each address (`SO_REUSEPORT`); the kernel spreads the
//! clients over them by a hash of their address and port.

#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::sys;

/// Receive buffer of each UDP socket, in octets. The kernel charges about 768 octets for a small
/// datagram and doubles what is asked: 4 MiB hold some 10,000 queries, which is what a core
/// answers in 10 ms, longer than the scheduler keeps a thread waiting.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How long a UDP thread sleeps before it looks whether it is to stop.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a UDP thread waits for a full send buffer before it gives an answer up.
const SEND_TIMEOUT: Duration = Duration::from_millis(10);

/// Connections the kernel completes before the thread accepts them.
const BACKLOG: i32 = 1024;

/// Octets the kernel keeps for a client beyond what is under way to it.
const UNSENT_MAX: u32 = 128 << 10;

/// How often another port is tried when the one UDP was given is taken for TCP.
const PORT_ATTEMPTS: usize = 16;

/// A transport that cannot listen on an address, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// There is no address to listen on.
    #[error("no address to listen on")]
    NoAddress,
    /// Another socket, of this process or another, holds the address and port.
    #[error("cannot listen on {address} ({transport}): address in use")]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// "UDP", "TCP" or "TLS".
        transport: &'static str,
    },
    /// The process may not use the port.
    #[error(
        "cannot listen on {address} ({transport}): permission denied: port {} needs CAP_NET_BIND_SERVICE",
        address.port()
    )]
    Denied {
        /// The address asked for.
        address: SocketAddr,
        /// "UDP", "TCP" or "TLS".
        transport: &'static str,
    },
    /// No interface of this machine has the address.
    #[error("cannot listen on {address} ({transport}): no interface has this address")]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
        /// "UDP", "TCP" or "TLS".
        transport: &'static str,
    },
    /// Whatever else the system said.
    #[error("cannot listen on {address} ({transport})")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// "UDP", "TCP" or "TLS".
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The sockets of one listen address: one of each kind per worker.
#[derive(Debug)]
pub(super) struct Bound {
    /// The address, with the port the kernel chose where 0 was asked.
    pub(super) address: SocketAddr,
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<TcpListener>,
}

/// Opens all sockets of `address`; UDP and TCP share the port even where 0 was asked.
pub(super) fn bind(address: SocketAddr, workers: usize) -> Result<Bound, BindError> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        let bound = bind_once(address, workers);
        attempts -= 1;
        if attempts == 0 || !matches!(bound, Err(BindError::InUse { .. })) {
            return bound;
        }
    }
}

fn bind_once(address: SocketAddr, workers: usize) -> Result<Bound, BindError> {
    let sockets = open_all(address, workers, Type::DGRAM).map_err(because(address, "UDP"))?;
    let udp: Vec<UdpSocket> = sockets.into_iter().map(UdpSocket::from).collect();
    let address = match udp.first().map(UdpSocket::local_addr) {
        Some(local) => local.map_err(because(address, "UDP"))?,
        None => address,
    };
    let sockets = open_all(address, workers, Type::STREAM).map_err(because(address, "TCP"))?;
    let tcp = sockets.into_iter().map(TcpListener::from).collect();
    Ok(Bound { address, udp, tcp })
}

/// Opens the sockets of an address on which there is nothing but streams, for `transport`; says
/// which port the kernel chose where 0 was asked.
pub(super) fn bind_tcp(
    address: SocketAddr,
    workers: usize,
    transport: &'static str,
) -> Result<(SocketAddr, Vec<TcpListener>), BindError> {
    let sockets = open_all(address, workers, Type::STREAM).map_err(because(address, transport))?;
    let listeners: Vec<TcpListener> = sockets.into_iter().map(TcpListener::from).collect();
    let local = listeners.first().and_then(|listener| listener.local_addr().ok());
    Ok((local.unwrap_or(address), listeners))
}

/// Opens a socket per worker on one address. The first is bound alone, so that a port another
/// process shares out is refused instead of silently shared; then the others may join.
fn open_all(mut address: SocketAddr, workers: usize, kind: Type) -> io::Result<Vec<Socket>> {
    let mut sockets: Vec<Socket> = Vec::with_capacity(workers);
    for worker in 0..workers {
        let socket = Socket::new(
            Domain::for_address(address),
            kind,
            Some(if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP }),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if kind == Type::DGRAM {
            set_up_udp(&socket, address)?;
        } else {
            // Connections of a process that has ended still hold the port (TIME_WAIT).
            socket.set_reuse_address(true)?;
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
            socket.set_nonblocking(true)?;
        }
        if worker > 0 {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&SockAddr::from(address))?;
        if worker == 0 {
            socket.set_reuse_port(true)?;
            address = socket.local_addr()?.as_socket().unwrap_or(address);
        }
        sockets.push(socket);
    }
    // Two may bind a TCP port with SO_REUSEADDR as long as nobody listens: all listen at the end.
    if kind == Type::STREAM {
        sockets.iter().try_for_each(|socket| socket.listen(BACKLOG))?;
    }
    Ok(sockets)
}

fn set_up_udp(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if sys::force_receive_buffer(socket, RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    // A kernel that does not know the value goes on as it always did.
    let _ = sys::ignore_path_mtu(socket, address.is_ipv6());
    if address.ip().is_unspecified() {
        sys::report_local_address(socket, address.is_ipv6())?;
    }
    Ok(())
}

fn because(address: SocketAddr, transport: &'static str) -> impl FnOnce(io::Error) -> BindError {
    move |source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address, transport },
        io::ErrorKind::PermissionDenied => BindError::Denied { address, transport },
        io::ErrorKind::AddrNotAvailable => BindError::NotLocal { address, transport },
        _ => BindError::Other { address, transport, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_shared_out_by_somebody_else_is_in_use() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let second = bind(first.address, 2).unwrap_err();
        let expected = format!("cannot listen on {} (UDP): address in use", first.address);
        assert_eq!(second.to_string(), expected);
        drop(first.udp);
        let third = bind(first.address, 2).unwrap_err();
        assert!(matches!(third, BindError::InUse { transport: "TCP", .. }), "{third}");
    }

    #[test]
    fn udp_and_tcp_share_the_port_the_kernel_chose() {
        for any in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
            let bound = bind(any.parse().unwrap(), 3).unwrap();
            assert_ne!(bound.address.port(), 0);
            assert_eq!((bound.udp.len(), bound.tcp.len()), (3, 3));
            for socket in &bound.udp {
                assert_eq!(socket.local_addr().unwrap(), bound.address);
            }
            for socket in &bound.tcp {
                assert_eq!(socket.local_addr().unwrap(), bound.address);
            }
        }
    }

    #[test]
    fn an_address_of_no_interface_is_named() {
        let error = bind("192.0.2.254:0".parse().unwrap(), 1).unwrap_err();
        let said = "cannot listen on 192.0.2.254:0 (UDP): no interface has this address";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn a_denied_port_names_the_capability() {
        let address = "192.0.2.1:53".parse().unwrap();
        let error = because(address, "TCP")(io::ErrorKind::PermissionDenied.into());
        let said = "cannot listen on 192.0.2.1:53 (TCP): permission denied: port 53 needs CAP_NET_BIND_SERVICE";
        assert_eq!(error.to_string(), said);
    }
}
