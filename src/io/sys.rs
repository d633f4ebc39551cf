//! Batches of datagrams by `recvmmsg` and `sendmmsg`, with the address each one came to.
//!
//! The only unsafe code of the project; everything it lets out is safe. All pointers handed to
//! the kernel are made and used within one call, from memory the [`Batch`] owns. It knows neither
//! DNS nor threads. The query goes from here to `udp`.

#![expect(unsafe_code, reason = "the system calls std does not have")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

/// Datagrams in one batch. More gain nothing: 64 and 128 measured the same.
pub(super) const SLOTS: usize = 32;

/// Longest query taken, in octets. A query is a name of at most 255 and a few options; what does
/// not fit here is no honest query.
pub(super) const QUERY_MAX: usize = 4096;

/// Longest answer sent as a datagram, in octets; servers offer no more by EDNS (RFC 6891).
pub(super) const ANSWER_MAX: usize = 4096;

/// Room for one control message with an `in6_pktinfo`, the larger of the two.
const CONTROL_LEN: usize = 40;

/// Up to [`SLOTS`] queries, who sent them, and their answers. Never allocates after it is made.
pub(super) struct Batch {
    queries: Box<[[u8; QUERY_MAX]]>,
    answers: Box<[[u8; ANSWER_MAX]]>,
    peers: Box<[Peer]>,
    controls: Box<[Control]>,
    slots: Box<[Slot]>,
    pktinfo: bool,
}

/// What one [`Batch::recv`] took from the socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// Datagrams taken; they lie in slots `0..datagrams`.
    pub(super) datagrams: usize,
    /// Of these, longer than [`QUERY_MAX`].
    pub(super) truncated: usize,
    /// Of these, from port 0 or a family we do not know: nobody can be answered there.
    pub(super) unanswerable: usize,
}

/// What became of the answers of one [`Batch::send`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Answers the kernel took.
    pub(super) sent: usize,
    /// Answers the kernel refused.
    pub(super) failed: usize,
}

/// One place of the batch.
#[derive(Clone, Copy)]
struct Slot {
    /// Who asks; `None` when the datagram is not to be looked at.
    client: Option<IpAddr>,
    query_len: usize,
    answer_len: usize,
    /// Octets of the control message that goes out with the answer.
    control_len: usize,
}

const EMPTY: Slot = Slot { client: None, query_len: 0, answer_len: 0, control_len: 0 };

/// A socket address of either family. Every field is plain octets, so each may be read whatever
/// was written.
#[repr(C)]
#[derive(Clone, Copy)]
union Peer {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// A control buffer, aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_LEN]);

impl Batch {
    /// A batch for one socket. `pktinfo` says that [`report_local_address`] was asked of it.
    pub(super) fn new(pktinfo: bool) -> Self {
        // SAFETY: all three fields of the union are integers and arrays of integers, for which
        // zero is a value.
        let nobody: Peer = unsafe { MaybeUninit::zeroed().assume_init() };
        Self {
            queries: vec![[0; QUERY_MAX]; SLOTS].into(),
            answers: vec![[0; ANSWER_MAX]; SLOTS].into(),
            peers: vec![nobody; SLOTS].into(),
            controls: vec![Control([0; CONTROL_LEN]); SLOTS].into(),
            slots: vec![EMPTY; SLOTS].into(),
            pktinfo,
        }
    }

    /// Waits for a datagram, as long as the socket's receive time-out, and takes what is there
    /// with it: up to `most`.
    ///
    /// # Errors
    /// `WouldBlock` when none came in time, else what `recvmmsg(2)` says.
    pub(super) fn recv(&mut self, socket: &impl AsFd, most: usize) -> io::Result<Received> {
        let most = most.clamp(1, SLOTS);
        let control_room = if self.pktinfo { CONTROL_LEN } else { 0 };
        let mut vectors = [NO_VECTOR; SLOTS];
        let mut headers = [const { no_header() }; SLOTS];
        let memory = self.queries.iter_mut().zip(self.peers.iter_mut()).zip(&mut self.controls);
        for (((query, peer), control), (vector, header)) in
            memory.zip(vectors.iter_mut().zip(&mut headers)).take(most)
        {
            *vector = libc::iovec { iov_base: query.as_mut_ptr().cast(), iov_len: QUERY_MAX };
            let header = &mut header.msg_hdr;
            header.msg_name = std::ptr::from_mut(peer).cast();
            header.msg_namelen = size_of::<Peer>() as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = control_room as _;
        }
        // SAFETY: the first `most` headers point to one iovec each and to memory of `self`, which
        // is borrowed mutably for the whole call and at least as long as the lengths given; the
        // time-out may be null.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                most as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                std::ptr::null_mut(),
            )
        };
        let Ok(datagrams) = usize::try_from(count) else { return Err(io::Error::last_os_error()) };
        let mut received = Received { datagrams, ..Received::default() };
        for (slot, header) in headers.iter().enumerate().take(datagrams) {
            let (header, query_len) = (&header.msg_hdr, header.msg_len as usize);
            let mut client = client_of(&self.peers[slot], header.msg_namelen);
            if header.msg_flags & libc::MSG_TRUNC != 0 {
                received.truncated += 1;
                client = None;
            } else if client.is_none() {
                received.unanswerable += 1;
            }
            // The header knows how much of the control buffer the kernel filled.
            let control_len = if self.pktinfo { turn_around(header) } else { 0 };
            self.slots[slot] = Slot { client, query_len, answer_len: 0, control_len };
        }
        for slot in &mut self.slots[datagrams..] {
            *slot = EMPTY;
        }
        Ok(received)
    }

    /// The query in `slot` and its client, or `None` when it is not to be answered.
    pub(super) fn query(&self, slot: usize) -> Option<(&[u8], IpAddr)> {
        let Slot { client, query_len, .. } = self.slots[slot];
        Some((&self.queries[slot][..query_len], client?))
    }

    /// Lets `answer` write the answer of the query in `slot`; 0 octets is no answer.
    pub(super) fn answer_with(
        &mut self,
        slot: usize,
        answer: impl FnOnce(&[u8], IpAddr, &mut [u8]) -> usize,
    ) {
        let Slot { client: Some(client), query_len, .. } = self.slots[slot] else { return };
        let query = &self.queries[slot][..query_len];
        let answer_len = answer(query, client, &mut self.answers[slot]);
        self.slots[slot].answer_len = answer_len.min(ANSWER_MAX);
    }

    /// Sends every answer of the batch to its client, from the address the query came to.
    ///
    /// An answer the kernel refuses is counted and left behind, and the others still go. After
    /// one wait for a full socket buffer (bounded by the socket's send time-out) the rest of the
    /// batch does not wait, so a stuck link costs one time-out per batch at most.
    pub(super) fn send(&mut self, socket: &impl AsFd) -> Sent {
        let mut vectors = [NO_VECTOR; SLOTS];
        let mut headers = [const { no_header() }; SLOTS];
        let mut count = 0;
        for (slot, state) in self.slots.iter().enumerate().filter(|(_, slot)| slot.answer_len > 0) {
            vectors[count] = libc::iovec {
                iov_base: self.answers[slot].as_mut_ptr().cast(),
                iov_len: state.answer_len,
            };
            let header = &mut headers[count].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut self.peers[slot]).cast();
            header.msg_namelen = name_len(&self.peers[slot]);
            if state.control_len > 0 {
                header.msg_control = self.controls[slot].0.as_mut_ptr().cast();
                header.msg_controllen = state.control_len as _;
            }
            count += 1;
        }
        for (header, vector) in headers.iter_mut().zip(&mut vectors).take(count) {
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        send_all(socket, &mut headers[..count])
    }
}

/// Asks the kernel to say with each datagram which local address it came to.
///
/// # Errors
/// What `setsockopt(2)` says.
pub(super) fn report_local_address(socket: &impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Tells the kernel to believe no path MTU learnt from ICMP, which anybody can forge to have
/// answers fragmented and then poisoned: datagrams go out at the interface's own MTU.
///
/// # Errors
/// What `setsockopt(2)` says; old kernels do not know the value.
pub(super) fn ignore_path_mtu(socket: &impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        let omit = libc::IPV6_PMTUDISC_OMIT;
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, omit)
    } else {
        let omit = libc::IP_PMTUDISC_OMIT;
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, omit)
    }
}

/// Sets the receive buffer past the system's limit (`net.core.rmem_max`).
///
/// # Errors
/// What `setsockopt(2)` says; it needs `CAP_NET_ADMIN`.
pub(super) fn force_receive_buffer(socket: &impl AsFd, octets: usize) -> io::Result<()> {
    let octets = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, octets)
}

//--- Below: what the batch is made of -----------------------------------------------------------

const NO_VECTOR: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// A header that points nowhere.
const fn no_header() -> libc::mmsghdr {
    // SAFETY: the struct is integers and raw pointers (and padding on some systems), for all of
    // which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Sends every header's datagram; each turn of the loop leaves at least one behind.
fn send_all(socket: &impl AsFd, headers: &mut [libc::mmsghdr]) -> Sent {
    let (mut done, mut flags) = (Sent::default(), 0);
    while let Some(rest @ [_, ..]) = headers.get_mut(done.sent + done.failed..) {
        // SAFETY: the caller (`Batch::send`) has filled each header with pointers to memory of
        // the batch it holds mutably, and to iovecs on its stack; the kernel reads them and
        // writes only `msg_len`.
        let count = unsafe {
            libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                rest.as_mut_ptr(),
                rest.len() as libc::c_uint,
                flags as _,
            )
        };
        match usize::try_from(count) {
            Ok(0) => done.failed += 1,
            Ok(count) => done.sent += count,
            // -1 speaks of the first of the rest alone: step over it.
            Err(_) => match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    flags = libc::MSG_DONTWAIT;
                    done.failed += 1;
                }
                _ => done.failed += 1,
            },
        }
    }
    done
}

/// The address of a peer that can be answered.
fn client_of(peer: &Peer, len: libc::socklen_t) -> Option<IpAddr> {
    let len = len as usize;
    if len < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: the union is initialised throughout, and every field is plain integers.
    let (family, v4, v6) = unsafe { (peer.family, peer.v4, peer.v6) };
    match libc::c_int::from(family) {
        libc::AF_INET if v4.sin_port != 0 => {
            Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 if v6.sin6_port != 0 => Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into()),
        _ => None,
    }
}

/// The length the kernel expects of a peer's address.
fn name_len(peer: &Peer) -> libc::socklen_t {
    // SAFETY: the union is initialised throughout, and the family is a plain integer.
    let family = unsafe { peer.family };
    let len = match libc::c_int::from(family) {
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => size_of::<libc::sockaddr_in>(),
    };
    len as libc::socklen_t
}

/// Rewrites the control message "came to this address" into "goes out from this address", in
/// place, and returns its length; 0 when there is none.
///
/// The interface is kept for link-local addresses only, which mean nothing without it; for all
/// others the routing table decides, since the way back need not be the way in.
fn turn_around(header: &libc::msghdr) -> usize {
    // SAFETY: `header` was filled by recvmmsg: its control pointer and length describe octets of
    // a `Control`, aligned for `cmsghdr`. The message's length is checked before its data is
    // touched, and the data is read and written without any claim to alignment.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        let Some(&libc::cmsghdr { cmsg_len, cmsg_level, cmsg_type, .. }) = message.as_ref() else {
            return 0;
        };
        let holds = |size: usize| cmsg_len >= libc::CMSG_LEN(size as u32) as _;
        match (cmsg_level, cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if holds(size_of::<libc::in_pktinfo>()) => {
                let data = libc::CMSG_DATA(message).cast::<libc::in_pktinfo>();
                let mut info = data.read_unaligned();
                let local = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                if !local.is_link_local() {
                    info.ipi_ifindex = 0;
                }
                data.write_unaligned(info);
                libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) as usize
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                let data = libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>();
                let mut info = data.read_unaligned();
                let local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                if local.is_multicast() {
                    // A group cannot be a source: the kernel picks one on that interface.
                    info.ipi6_addr.s6_addr = [0; 16];
                } else if !local.is_unicast_link_local() {
                    info.ipi6_ifindex = 0;
                }
                data.write_unaligned(info);
                libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32) as usize
            }
            _ => 0,
        }
    }
}

fn set_option(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which lives to the end of the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_datagram_longer_than_a_slot_is_dropped_and_counted() {
        let (server, client) = pair();
        client.send(&[1; QUERY_MAX + 1]).unwrap();
        client.send(&[2; QUERY_MAX]).unwrap();
        let mut batch = Batch::new(false);
        let received = batch.recv(&server, SLOTS).unwrap();
        assert_eq!(received, Received { datagrams: 2, truncated: 1, unanswerable: 0 });
        assert!(batch.query(0).is_none());
        assert_eq!(batch.query(1).unwrap().0, [2; QUERY_MAX]);
    }

    #[test]
    fn a_peer_with_port_0_cannot_be_answered() {
        let mut batch = Batch::new(false);
        batch.peers[0].v4 = loopback(0);
        batch.peers[1].v4 = loopback(53);
        let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        assert_eq!(client_of(&batch.peers[0], len), None);
        assert_eq!(client_of(&batch.peers[1], len), Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_answer_the_kernel_refuses_does_not_hold_up_the_others() {
        let (server, client) = pair();
        for octet in 0..5 {
            client.send(&[octet]).unwrap();
        }
        let mut batch = Batch::new(false);
        assert_eq!(batch.recv(&server, SLOTS).unwrap().datagrams, 5);
        for slot in 0..5 {
            batch.answer_with(slot, |query, _, out| {
                out[..query.len()].copy_from_slice(query);
                query.len()
            });
        }
        for refused in [0, 2, 4] {
            batch.peers[refused].v4 = loopback(0);
        }
        assert_eq!(batch.send(&server), Sent { sent: 2, failed: 3 });
        let mut octet = [0];
        for expected in [1, 3] {
            client.recv(&mut octet).unwrap();
            assert_eq!(octet, [expected]);
        }
    }

    fn pair() -> (UdpSocket, UdpSocket) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        (server, client)
    }

    fn loopback(port: u16) -> libc::sockaddr_in {
        libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
            sin_zero: [0; 8],
        }
    }
}
