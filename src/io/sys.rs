//! Batches of datagrams by `recvmmsg` and `sendmmsg`, with the address each one came to.
//!
//! The only unsafe code of the project; everything it lets out is safe. The kernel is handed
//! pointers into one piece of memory that never moves and that the [`Batch`] owns; they are made
//! once, so that a batch costs what it holds and not what it could hold. It knows neither DNS nor
//! threads. The query goes from here to `udp`.

#![expect(unsafe_code, reason = "the system calls std does not have")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::{self, offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};

/// Datagrams in one batch. More gain nothing: 64 and 128 measured the same.
pub(super) const SLOTS: usize = 32;

/// Longest query taken, in octets. A query is a name of at most 255 and a few options; what does
/// not fit here is no honest query.
pub(super) const QUERY_MAX: usize = 4096;

/// Longest answer sent as a datagram, in octets; servers offer no more by EDNS (RFC 6891).
pub(super) const ANSWER_MAX: usize = 4096;

/// Room for one control message with an `in6_pktinfo`, the larger of the two.
const CONTROL_LEN: usize = 40;

/// Octets of a cache line; each answer begins on one of its own.
const LINE: usize = 64;

/// Up to [`SLOTS`] queries, who sent them, and their answers. Never allocates after it is made.
pub(super) struct Batch {
    /// Ours alone, and at this address until the batch is dropped.
    memory: NonNull<Memory>,
    /// Who asks; `None` when the datagram is not to be looked at.
    clients: [Option<IpAddr>; SLOTS],
    /// Slots that hold a datagram.
    datagrams: usize,
    /// Answers ready to go: so many of `Memory::outgoing` are filled in.
    answers: usize,
    /// Octets of `Memory::answers` in use.
    used: usize,
    /// Octets of control message the kernel may write for each datagram.
    control_room: usize,
    /// An answer was longer than the interface takes, and the socket fragments since.
    fragments: bool,
}

/// What one [`Batch::recv`] took from the socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// Datagrams taken; they lie in slots `0..datagrams`.
    pub(super) datagrams: usize,
    /// Of these, longer than [`QUERY_MAX`].
    pub(super) truncated: usize,
    /// Of these, from port 0, a port that answers everything, or a family we do not know: nobody
    /// is answered there.
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

/// Everything the kernel is given a pointer to. Zero is a value of each of its fields.
#[repr(C)]
struct Memory {
    /// The header of each slot, pointing to the slot's `incoming` for good.
    headers: [libc::mmsghdr; SLOTS],
    incoming: [Incoming; SLOTS],
    /// The headers of the answers, each pointing to its own of `vectors` for good; the rest of it
    /// is filled in for each answer.
    outgoing: [libc::mmsghdr; SLOTS],
    vectors: [libc::iovec; SLOTS],
    /// The answers, one behind the other: what is short stays in few pages and cache lines.
    answers: [u8; SLOTS * ANSWER_MAX],
}

/// One datagram as the kernel writes it. What follows the query also keeps the queries of a batch
/// from beginning a power of two apart, where they would push each other out of the cache.
#[repr(C)]
struct Incoming {
    query: [u8; QUERY_MAX],
    vector: libc::iovec,
    peer: Peer,
    control: Control,
}

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
        let layout = Layout::new::<Memory>();
        // SAFETY: the layout is of a type that has a size.
        let memory = unsafe { alloc_zeroed(layout) }.cast::<Memory>();
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        let control_room = if pktinfo { CONTROL_LEN } else { 0 };
        let at = memory.as_ptr();
        for slot in 0..SLOTS {
            // SAFETY: `at` points to a whole `Memory` of ours, zeroed, which is a value of all
            // its fields, and the slot is within its arrays. No reference is made on the way to
            // the pointers kept, so that later ones do not spoil them.
            unsafe {
                let incoming = &raw mut (*at).incoming[slot];
                (*incoming).vector.iov_base = (&raw mut (*incoming).query).cast();
                (*incoming).vector.iov_len = QUERY_MAX;
                let header = &raw mut (*at).headers[slot].msg_hdr;
                (*header).msg_name = (&raw mut (*incoming).peer).cast();
                (*header).msg_namelen = size_of::<Peer>() as libc::socklen_t;
                (*header).msg_iov = &raw mut (*incoming).vector;
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*incoming).control).cast();
                (*header).msg_controllen = control_room as _;
                let header = &raw mut (*at).outgoing[slot].msg_hdr;
                (*header).msg_iov = &raw mut (*at).vectors[slot];
                (*header).msg_iovlen = 1;
            }
        }
        Self {
            memory,
            clients: [None; SLOTS],
            datagrams: 0,
            answers: 0,
            used: 0,
            control_room,
            fragments: false,
        }
    }

    /// Waits for a datagram, as long as the socket's receive time-out, and takes what is there
    /// with it: up to `most`. What the batch held is gone.
    ///
    /// # Errors
    /// `WouldBlock` when none came in time, else what `recvmmsg(2)` says.
    pub(super) fn recv(&mut self, socket: &impl AsFd, most: usize) -> io::Result<Received> {
        self.clear();
        let most = most.clamp(1, SLOTS);
        // SAFETY: each header points to one iovec, a name and a control buffer with the lengths
        // they have, all of memory that is ours until the batch is dropped, and nobody holds a
        // reference to any of it now; the time-out may be null.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                (&raw mut (*self.memory.as_ptr()).headers).cast(),
                most as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        let Ok(datagrams) = usize::try_from(count) else { return Err(io::Error::last_os_error()) };
        self.datagrams = datagrams.min(SLOTS);
        Ok(self.look_over())
    }

    /// The query in `slot`, or `None` when it is not to be answered.
    #[inline]
    pub(super) fn query(&self, slot: usize) -> Option<&[u8]> {
        (*self.clients.get(slot)?)?;
        let memory = self.memory();
        Some(memory.incoming[slot].query(&memory.headers[slot]))
    }

    /// Lets `answer` write the answer of the query in `slot`; 0 octets is no answer. A slot is
    /// answered once.
    #[inline]
    pub(super) fn answer_with(
        &mut self,
        slot: usize,
        answer: impl FnOnce(&[u8], IpAddr, &mut [u8]) -> usize,
    ) {
        // Taken, so that the answers never need more room than there is.
        let Some(client) = self.clients.get_mut(slot).and_then(Option::take) else { return };
        let start = self.memory.as_ptr().cast::<u8>().wrapping_add(offset_of!(Memory, answers));
        // SAFETY: the memory is ours, whole, and borrowed mutably with `self`.
        let Memory { headers, incoming, outgoing, vectors, answers } =
            unsafe { self.memory.as_mut() };
        let room = &mut answers[self.used..self.used + ANSWER_MAX];
        let len = answer(incoming[slot].query(&headers[slot]), client, room).min(ANSWER_MAX);
        if len == 0 {
            return;
        }
        let (asked, header) = (&headers[slot].msg_hdr, &mut outgoing[self.answers].msg_hdr);
        header.msg_name = asked.msg_name;
        header.msg_namelen = asked.msg_namelen;
        header.msg_control = asked.msg_control;
        header.msg_controllen = asked.msg_controllen;
        let iov_base = start.wrapping_add(self.used).cast();
        vectors[self.answers] = libc::iovec { iov_base, iov_len: len };
        self.answers += 1;
        self.used += len.next_multiple_of(LINE);
    }

    /// Sends every answer of the batch to its client, from the address the query came to.
    ///
    /// An answer the kernel refuses is counted and left behind, and the others still go. After
    /// one wait for a full socket buffer (bounded by the socket's send time-out) the rest of the
    /// batch does not wait, so a stuck link costs one time-out per batch at most.
    pub(super) fn send(&mut self, socket: &impl AsFd) -> Sent {
        let (mut done, mut flags) = (Sent::default(), 0);
        // Each turn of the loop leaves at least one behind, but for a signal or the one turn that
        // allows fragments.
        loop {
            let first = done.sent + done.failed;
            if first >= self.answers {
                break;
            }
            // SAFETY: the first `answers` of the outgoing headers are filled in, each with
            // pointers to an iovec, an answer, a name and a control message in memory that is
            // ours until the batch is dropped, and nobody holds a reference to any of it now. The
            // kernel writes only `msg_len`.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_fd().as_raw_fd(),
                    &raw mut (*self.memory.as_ptr()).outgoing[first],
                    (self.answers - first) as libc::c_uint,
                    flags as _,
                )
            };
            match usize::try_from(count) {
                Ok(0) => done.failed += 1,
                Ok(count) => done.sent += count,
                // -1 speaks of the first of the rest alone: step over it.
                Err(_) => match io::Error::last_os_error().raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EMSGSIZE) if !mem::replace(&mut self.fragments, true) => {
                        // Tried again, once: refused, the next turn steps over it.
                        let _ = allow_fragments(socket);
                    }
                    Some(libc::EAGAIN) => {
                        flags = libc::MSG_DONTWAIT;
                        done.failed += 1;
                    }
                    _ => done.failed += 1,
                },
            }
        }
        (self.answers, self.used) = (0, 0);
        done
    }

    /// Makes the slots the kernel has written to ready for the next datagrams.
    fn clear(&mut self) {
        let (datagrams, control_room) = (self.datagrams, self.control_room);
        self.clients[..datagrams].fill(None);
        for header in &mut self.memory_mut().headers[..datagrams] {
            header.msg_hdr.msg_namelen = size_of::<Peer>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = control_room as _;
        }
        (self.datagrams, self.answers, self.used) = (0, 0, 0);
    }

    /// Notes who is to be answered, and from where.
    fn look_over(&mut self) -> Received {
        let mut received = Received { datagrams: self.datagrams, ..Received::default() };
        for slot in 0..self.datagrams {
            let Memory { headers, incoming, .. } = self.memory();
            let header = headers[slot].msg_hdr;
            let mut client = client_of(&incoming[slot].peer, header.msg_namelen);
            if header.msg_flags & libc::MSG_TRUNC != 0 {
                received.truncated += 1;
                client = None;
            } else if client.is_none() {
                received.unanswerable += 1;
            }
            self.clients[slot] = client;
            if self.control_room > 0 {
                // The header knows how much of the control buffer the kernel filled.
                let control_len = turn_around(&header);
                self.memory_mut().headers[slot].msg_hdr.msg_controllen = control_len as _;
            }
        }
        received
    }

    fn memory(&self) -> &Memory {
        // SAFETY: the memory is ours, whole, and borrowed with `self`.
        unsafe { self.memory.as_ref() }
    }

    fn memory_mut(&mut self) -> &mut Memory {
        // SAFETY: the memory is ours, whole, and borrowed mutably with `self`.
        unsafe { self.memory.as_mut() }
    }
}

impl Incoming {
    /// The query, as long as the kernel says.
    fn query(&self, header: &libc::mmsghdr) -> &[u8] {
        &self.query[..(header.msg_len as usize).min(QUERY_MAX)]
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, and not looked at again; nothing in it
        // wants to be dropped.
        unsafe { dealloc(self.memory.as_ptr().cast(), Layout::new::<Memory>()) };
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
/// IPv4 datagrams say "do not fragment" (RFC 9715 section 3.1), which also spares each of them an
/// identification of its own: a hash and a shared counter, 2 % of what a query costs. Answers
/// longer than the interface takes want [`allow_fragments`].
///
/// # Errors
/// What `setsockopt(2)` says; old kernels do not know the value.
pub(super) fn ignore_path_mtu(socket: &impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        let omit = libc::IPV6_PMTUDISC_OMIT;
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, omit)
    } else {
        let probe = libc::IP_PMTUDISC_PROBE;
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, probe)
    }
}

/// Lets datagrams longer than the interface's MTU go out in fragments; the path MTU stays
/// ignored. IPv6 sockets do so after [`ignore_path_mtu`] already.
fn allow_fragments(socket: &impl AsFd) -> io::Result<()> {
    let omit = libc::IP_PMTUDISC_OMIT;
    set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, omit)
}

/// See [`super::outgoing::choose_port_late`].
///
/// # Errors
/// What `setsockopt(2)` says.
pub(super) fn choose_port_late(socket: &impl AsFd) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Sets the receive buffer past the system's limit (`net.core.rmem_max`).
///
/// # Errors
/// What `setsockopt(2)` says; it needs `CAP_NET_ADMIN`.
pub(super) fn force_receive_buffer(socket: &impl AsFd, octets: usize) -> io::Result<()> {
    let octets = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, octets)
}

/// Lets the process have as many descriptors as it may, and says how many: the usual limit, 1,024,
/// is one of times when `select(2)` was used, and is what a server with that many connections runs
/// into first.
///
/// # Errors
/// What `getrlimit(2)` or `setrlimit(2)` says.
pub(super) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole `rlimit` of ours that lives to the end of the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; the kernel only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Hands memory that was freed back to the system. The allocator keeps most of what many small
/// pieces took, for the next of their size; after loading there are few of those.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: a call without arguments that matter, allowed at any time on any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

//--- Below: what the batch is made of -----------------------------------------------------------

/// The address of a peer that can be answered.
fn client_of(peer: &Peer, len: libc::socklen_t) -> Option<IpAddr> {
    let len = len as usize;
    if len < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: the union is initialised throughout, and every field is plain integers.
    let (family, v4, v6) = unsafe { (peer.family, peer.v4, peer.v6) };
    match libc::c_int::from(family) {
        libc::AF_INET if !answers_everything(v4.sin_port) => {
            Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 if !answers_everything(v6.sin6_port) => {
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Whether a port, in network order, is that of nobody (0) or of a service that answers whatever
/// it gets: echo, daytime, quote of the day, character generator, time. Their answers are no DNS,
/// but an error would go back for each, and so on without end. BIND drops them, too.
fn answers_everything(port: libc::in_port_t) -> bool {
    const PORTS: u64 = 1 | 1 << 7 | 1 << 13 | 1 << 17 | 1 << 19 | 1 << 37;
    let port = u16::from_be(port);
    port < 64 && PORTS >> port & 1 != 0
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
        assert_eq!(batch.query(1).unwrap(), [2; QUERY_MAX]);
    }

    #[test]
    fn a_peer_with_port_0_or_one_that_answers_everything_is_not_answered() {
        let peers = [0, 53].map(|port| Peer { v4: loopback(port) });
        let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        assert_eq!(client_of(&peers[0], len), None);
        assert_eq!(client_of(&peers[1], len), Some(Ipv4Addr::LOCALHOST.into()));
        let ports: Vec<u16> =
            (0..=u16::MAX).filter(|port| answers_everything(port.to_be())).collect();
        assert_eq!(ports, [0, 7, 13, 17, 19, 37]);
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
            batch.memory_mut().incoming[refused].peer.v4 = loopback(0);
        }
        assert_eq!(batch.send(&server), Sent { sent: 2, failed: 3 });
        let mut octet = [0];
        for expected in [1, 3] {
            client.recv(&mut octet).unwrap();
            assert_eq!(octet, [expected]);
        }
    }

    #[test]
    fn the_descriptors_the_process_may_have_it_gets() {
        let limit = raise_descriptor_limit().unwrap();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
        assert_eq!(limit, soft);
        assert_eq!(line.split_whitespace().nth(4), line.split_whitespace().nth(3));
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
