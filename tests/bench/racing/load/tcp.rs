//! Queries over TCP: a few connections with some queries in flight on each. As many are asked as
//! were answered, at once: the acknowledgement a server with Nagle's algorithm waits for goes
//! along with them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::{Count, Plan, is_wrong};
use crate::query::Queries;
use crate::workload::Workload;

/// Connections and queries in flight on each, pipelined.
const PIPELINED: (usize, usize) = (16, 16);
/// The same with one query at a time.
const ONE: (usize, usize) = (32, 1);
/// What is read at once.
const READ: usize = 16 * 1024;
/// Connections opened again before the server is given up.
const REOPENED_MAX: usize = 10_000;

/// Asks over TCP until the plan is done.
pub(super) fn run(plan: &Plan, queries: &Queries) -> Result<Count> {
    let (connections, window) = if queries.workload == Workload::TcpOne { ONE } else { PIPELINED };
    let mut connections =
        (0..connections).map(|_| Connection::open(plan.server)).collect::<Result<Vec<_>>>()?;
    let mut count = Count::default();
    let (mut next, mut reopened) = (0, 0);
    let mut buffer = vec![0; READ];
    let begin = Instant::now();
    let mut now = begin;
    while !plan.until.is_over(now - begin) {
        let mut open = false;
        for connection in &mut connections {
            let alive = connection.open == 0 || connection.take(plan, &mut buffer, &mut count);
            let late = now.saturating_duration_since(connection.sent) >= plan.patience;
            if !alive || connection.open > 0 && late {
                reopened += 1;
                if reopened > REOPENED_MAX {
                    bail!("{reopened} connections were closed or stuck");
                }
                *connection = Connection::open(plan.server)?;
            }
            let more = (window - connection.open).min(queries.count() - next);
            if more > 0 && plan.until.wants_more(count.asked) {
                connection.ask(queries.burst(next, more), more, now);
                next = (next + more) % queries.count();
                count.asked += more as u64;
            }
            open |= connection.open > 0;
        }
        if !open {
            break;
        }
        now = Instant::now();
    }
    count.time = begin.elapsed();
    count.asked -= connections.iter().map(|connection| connection.open as u64).sum::<u64>();
    Ok(count)
}

struct Connection {
    stream: TcpStream,
    /// Queries without an answer.
    open: usize,
    sent: Instant,
    /// The beginning of a message whose end has not come.
    rest: Vec<u8>,
}

impl Connection {
    fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, open: 0, sent: Instant::now(), rest: vec![] })
    }

    /// Writes queries; a connection that does not take them whole shows as stuck.
    fn ask(&mut self, packets: &[u8], queries: usize, now: Instant) {
        let _ = self.stream.write_all(packets);
        self.open += queries;
        self.sent = now;
    }

    /// Counts the answers that have come; says whether the connection lives.
    fn take(&mut self, plan: &Plan, buffer: &mut [u8], count: &mut Count) -> bool {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let read = match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        };
        let mut at = 0;
        let end = kept + read;
        while let Some(length) = buffer[at..end].first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = buffer[at..end].get(2..2 + length) else { break };
            if self.open == 0 {
                return false;
            }
            self.open -= 1;
            count.answered += 1;
            count.wrong += u64::from(is_wrong(plan.expected, message));
            at += 2 + length;
        }
        self.rest.clear();
        self.rest.extend(&buffer[at..end]);
        true
    }
}
