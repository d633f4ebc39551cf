//! Queries over UDP: bursts cut by the kernel from one buffer (UDP_SEGMENT), answers taken by
//! `recvmmsg`. Sixteen bursts of eight are in flight, each from a socket of its own, which is
//! connected so that the kernel needs no route for it; this makes a query cheaper to ask than to
//! echo, and the server the one who sets the pace.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};

use super::{Count, Plan, is_wrong};
use crate::query::Queries;

/// Bursts in flight.
const WINDOW: usize = 16;
/// Queries in a burst, all from one socket.
const BURST: usize = 8;
/// So many bursts may be asked and answered whole before a query of an earlier one counts as
/// lost: servers answer in the order of their queue. Waiting longer would leave its place in the
/// window empty, and one lost query would be seen as a slow server.
const OVERTAKEN: u64 = 4 * WINDOW as u64;
/// Longest answer in octets.
const ANSWER_MAX: usize = 1232;

/// Asks over UDP until the plan is done.
pub(super) fn run(plan: &Plan, queries: &Queries) -> Result<Count> {
    let mut load = Load::new(plan, queries)?;
    let begin = Instant::now();
    let mut now = begin;
    while !plan.until.is_over(now - begin) {
        let mut open = false;
        for slot in 0..load.slots.len() {
            open |= load.turn(slot, now)?;
        }
        if !open {
            break;
        }
        now = Instant::now();
    }
    load.count.time = begin.elapsed();
    let in_time = load.count.answered;
    load.drain()?;
    // What came after the end counts neither as asked nor as answered.
    load.count.asked -= load.count.answered - in_time;
    load.count.answered = in_time;
    Ok(load.count)
}

struct Load<'a> {
    plan: &'a Plan,
    queries: &'a Queries,
    sockets: Vec<UdpSocket>,
    slots: Vec<Slot>,
    /// The next query to ask.
    next: usize,
    /// Bursts asked, and the latest that was answered whole.
    bursts: u64,
    answered: u64,
    headers: MultiHeaders<()>,
    answers: Vec<[u8; ANSWER_MAX]>,
    count: Count,
}

/// A burst in flight.
#[derive(Clone, Copy)]
struct Slot {
    /// Its number among all bursts.
    number: u64,
    socket: usize,
    first_id: u16,
    /// A bit for each query without an answer.
    open: u32,
    sent: Instant,
}

impl<'a> Load<'a> {
    fn new(plan: &'a Plan, queries: &'a Queries) -> Result<Self> {
        let sockets = (0..queries.sources.len().next_multiple_of(WINDOW))
            .map(|number| socket(queries, number, plan.server))
            .collect::<io::Result<Vec<_>>>()
            .context("a socket of the generator")?;
        let sent = Instant::now();
        let idle = |socket| Slot { number: 0, socket, first_id: 0, open: 0, sent };
        Ok(Self {
            plan,
            queries,
            sockets,
            slots: (0..WINDOW).map(idle).collect(),
            next: 0,
            bursts: 0,
            answered: 0,
            headers: MultiHeaders::preallocate(BURST, None),
            answers: vec![[0; ANSWER_MAX]; BURST],
            count: Count::default(),
        })
    }

    /// Takes what has come for one slot and asks again when nothing is left open; says whether
    /// something is in flight.
    fn turn(&mut self, slot: usize, now: Instant) -> Result<bool> {
        if self.slots[slot].open != 0 {
            self.take(slot)?;
        }
        let Slot { number, open, sent, .. } = self.slots[slot];
        let late = now.saturating_duration_since(sent) >= self.plan.patience;
        if open != 0 && !late && self.answered < number + OVERTAKEN {
            return Ok(true);
        }
        self.slots[slot].open = 0;
        self.ask(slot, now)
    }

    /// Waits for what is in flight, so that the next load finds the server's queue empty: two
    /// windows of queries would not fit in it.
    fn drain(&mut self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < self.plan.patience && self.slots.iter().any(|slot| slot.open != 0) {
            for slot in 0..self.slots.len() {
                self.take(slot)?;
            }
        }
        Ok(())
    }

    fn ask(&mut self, slot: usize, now: Instant) -> Result<bool> {
        if !self.plan.until.wants_more(self.count.asked) {
            return Ok(false);
        }
        // Every slot has sockets of its own, or it would take another's answers.
        let socket = (self.slots[slot].socket + WINDOW) % self.sockets.len();
        match self.sockets[socket].send(self.queries.burst(self.next, BURST)) {
            Ok(_) => {}
            // Refused: an ICMP error for an earlier burst. Full: the server is asked later.
            Err(error) if is_passing(&error) => return Ok(true),
            Err(error) => return Err(error).context("sending"),
        }
        self.bursts += 1;
        self.slots[slot] = Slot {
            number: self.bursts,
            socket,
            first_id: self.next as u16,
            open: (1 << BURST) - 1,
            sent: now,
        };
        self.next = (self.next + BURST) % self.queries.count();
        self.count.asked += BURST as u64;
        Ok(true)
    }

    fn take(&mut self, slot: usize) -> Result<()> {
        let slot = &mut self.slots[slot];
        let socket = self.sockets[slot.socket].as_raw_fd();
        let mut room: [[IoSliceMut<'_>; 1]; BURST] = {
            let mut answers = self.answers.iter_mut();
            std::array::from_fn(|_| [IoSliceMut::new(answers.next().expect("one for each query"))])
        };
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = match recvmmsg(socket, &mut self.headers, room.iter_mut(), flags, None) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::ECONNREFUSED | Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("receiving"),
        };
        for answer in received {
            let Some(answer) = answer.iovs().next() else { continue };
            let Some(id) = answer.first_chunk() else { continue };
            // A late answer to a burst given up, or one seen before, is none of this burst.
            let number = u16::from_be_bytes(*id).wrapping_sub(slot.first_id);
            if usize::from(number) >= BURST || slot.open & (1 << number) == 0 {
                continue;
            }
            slot.open &= !(1 << number);
            self.count.answered += 1;
            self.count.wrong += u64::from(is_wrong(self.plan.expected, answer));
        }
        if slot.open == 0 {
            self.answered = self.answered.max(slot.number);
        }
        Ok(())
    }
}

fn socket(queries: &Queries, number: usize, server: SocketAddr) -> io::Result<UdpSocket> {
    let source = queries.sources[number % queries.sources.len()];
    let socket = UdpSocket::bind((source, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::UdpGsoSegment, &(queries.length() as i32))?;
    Ok(socket)
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock)
}
