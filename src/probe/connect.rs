//! Sockets of a probe: one address, from where the monitor says.
//!
//! A source address is bound without a port (`IP_BIND_ADDRESS_NO_PORT`), so that the kernel
//! chooses it when it knows both ends: otherwise each source has 28,000 ports in all instead of
//! for each target, and looking for a free one takes most of a probe's time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::monitor::Way;
use super::trace::{Trace, micros_since};
use crate::health::sample::Reason;
use crate::io::outgoing::choose_port_late;

/// Opens a connection.
pub(super) async fn tcp(
    address: SocketAddr,
    way: &Way,
    trace: &mut Trace,
) -> Result<TcpStream, Reason> {
    let begun = Instant::now();
    let socket = tcp_socket(address, way).map_err(|error| reason_of(&error))?;
    let stream = socket.connect(address).await.map_err(|error| reason_of(&error))?;
    // Reset instead of closed: a closed one stays in TIME_WAIT here for a minute, and 10,000
    // members probed every 2 s would keep 300,000 of them. It does not matter if this fails.
    let _ = stream.set_zero_linger();
    let _ = stream.set_nodelay(true);
    trace.facts.phases.connect_us =
        trace.facts.phases.connect_us.saturating_add(micros_since(begun));
    Ok(stream)
}

fn tcp_socket(address: SocketAddr, way: &Way) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = way.source(address.ip()) {
        // Old kernels do not know the option, and bind a port as well.
        let _ = choose_port_late(&socket);
        socket.bind(SocketAddr::new(source, 0))?;
    }
    if let Some(interface) = &way.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    Ok(socket)
}

/// Opens a socket that talks to `address` alone.
pub(super) fn udp(address: SocketAddr, way: &Way) -> Result<UdpSocket, Reason> {
    let open = || {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), None)?;
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let source = way.source(address.ip()).unwrap_or(any);
        socket.bind(&SocketAddr::new(source, 0).into())?;
        if let Some(interface) = &way.interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        socket.connect(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| reason_of(&error))
}

/// The class of a socket's error.
pub(super) fn reason_of(error: &io::Error) -> Reason {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Reason::Refused,
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Reason::Reset,
        Kind::UnexpectedEof => Reason::Reset,
        Kind::TimedOut => Reason::TimedOut,
        Kind::HostUnreachable | Kind::NetworkUnreachable => Reason::Unreachable,
        Kind::AddrNotAvailable | Kind::OutOfMemory => Reason::Local,
        _ => match error.raw_os_error() {
            Some(
                libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::EAGAIN
                | libc::EPERM
                | libc::ENODEV,
            ) => Reason::Local,
            Some(_) => Reason::Unreachable,
            None => Reason::Protocol,
        },
    }
}
