//! A stream of queries over TCP, cut into pieces of any size: the answers are those of the
//! queries one by one, in their order.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use meridian::io::Desk;
use meridian::server::Transport;
use meridian::server::worker::Worker;

use super::draft;
use super::road::steady;
use super::support::Server;

/// Octets of a stream after which no more is sent: some turns' worth.
const LONGEST: usize = 1 << 16;

thread_local! {
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new());
}

/// The desk under test, and a server that is asked one by one.
struct Pair {
    desk: Desk<Worker>,
    server: Server,
}

/// Sends a stream and compares.
pub fn run(octets: &[u8]) {
    if octets.len() > 1 << 16 {
        return;
    }
    let mut choices = Unstructured::new(octets);
    let Ok((sent, pattern)) = stream(&mut choices) else { return };
    let client = IpAddr::from([192, 0, 2, 53]);
    PAIR.with_borrow_mut(|pair| {
        let mut received = Vec::new();
        let pipe = Pipe { sent: &sent, received: &mut received, pattern: &pattern, turn: 0 };
        let ended_well = pair.desk.serve(pipe, client, pair.server.now).expect("a pipe holds");
        let (expected, well_formed) = pair.one_by_one(&sent, client);
        assert_eq!(ended_well, well_formed);
        assert!(received == expected, "{sent:02x?}\n{received:02x?}\n{expected:02x?}");
    });
}

/// What is sent, and how it is cut: octets read and octets written at a time.
fn stream(u: &mut Unstructured<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let length = u.int_in_range(0..=16)?.min(u.len());
    let pattern = u.bytes(length)?.to_vec();
    let mut sent = Vec::new();
    for _ in 0..u.int_in_range(0..=40)? {
        let message = match u.int_in_range(0..=7)? {
            0 => {
                let length = usize::from(u.arbitrary::<u8>()?).min(u.len());
                u.bytes(length)?.to_vec()
            }
            1 if u.ratio(1, 8)? => Vec::new(),
            2 => draft::query("big.example.org", 16),
            _ => draft::packet(u)?,
        };
        let length = message.len() as u16 + u16::from(u.ratio(1, 64)?);
        // Many of the same answer are more than what is written at a time.
        let times = if u.ratio(1, 32)? { 120 } else { *u.choose(&[1, 1, 1, 2])? };
        for _ in 0..times {
            sent.extend(length.to_be_bytes());
            sent.extend(&message);
        }
        if u.is_empty() || sent.len() > LONGEST {
            break;
        }
    }
    Ok((sent, pattern))
}

/// A client that sends and takes as the pattern says: mostly some octets, sometimes none yet.
struct Pipe<'p> {
    sent: &'p [u8],
    received: &'p mut Vec<u8>,
    pattern: &'p [u8],
    turn: usize,
}

impl Pipe<'_> {
    /// How many octets pass this time.
    fn next(&mut self) -> io::Result<usize> {
        let step = self.pattern.get(self.turn % self.pattern.len().max(1)).copied();
        self.turn += 1;
        match step.unwrap_or(255) {
            // Only now and then, so that the end is reached.
            0 if self.turn.is_multiple_of(2) => Err(io::ErrorKind::WouldBlock.into()),
            1 if self.turn.is_multiple_of(2) => Err(io::ErrorKind::Interrupted.into()),
            255 => Ok(usize::MAX),
            step if step > 127 => Ok(usize::from(step) * 64),
            step => Ok(usize::from(step) + 1),
        }
    }
}

impl Read for Pipe<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let length = self.next()?.min(room.len()).min(self.sent.len());
        let (now, later) = self.sent.split_at(length);
        room[..length].copy_from_slice(now);
        self.sent = later;
        Ok(length)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let length = self.next()?.min(octets.len());
        self.received.extend_from_slice(&octets[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pair {
    fn new() -> Self {
        let server = steady();
        let worker = Worker::new(0, server.publisher.source(), Arc::clone(&server.stats), 1);
        Self { desk: Desk::new(worker), server }
    }

    /// What should come back, and whether there was no message of length zero.
    fn one_by_one(&mut self, mut sent: &[u8], client: IpAddr) -> (Vec<u8>, bool) {
        let mut expected = Vec::new();
        while let Some((length, rest)) = sent.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length == 0 {
                return (expected, false);
            }
            let Some((message, rest)) = rest.split_at_checked(length) else { break };
            let answer = self.server.answer(message, client, Transport::Tcp);
            if !answer.is_empty() {
                expected.extend((answer.len() as u16).to_be_bytes());
                expected.extend(answer);
            }
            sent = rest;
        }
        (expected, true)
    }
}
