//! An option of sockets that ask others: the one that needs a system call by hand.

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::AsFd;

use super::sys;

/// Lets the kernel choose the local port when the socket connects and both ends are known, not
/// when it is bound to a source address: then ports are scarce for each pair of addresses only,
/// and no free one has to be looked for (`IP_BIND_ADDRESS_NO_PORT`; it holds for IPv6 too).
///
/// # Errors
/// What `setsockopt(2)` says; kernels before 4.2 do not know the option.
pub fn choose_port_late(socket: &impl AsFd) -> io::Result<()> {
    sys::choose_port_late(socket)
}
