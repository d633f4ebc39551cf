//! Clients that ask all three nodes a hundred times a second, and what became of each question.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::lab::Machine;
use crate::scene::{CLIENTS, NODES};

/// Time between two rounds of questions.
const PACE: Duration = Duration::from_millis(10);
/// A node that has not answered by then has not answered.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a node answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// An error, or an answer without the one address it should have.
    Empty,
    /// An address.
    Address(IpAddr),
}

impl Said {
    /// True when anything came.
    pub fn is_something(self) -> bool {
        self != Self::Nothing
    }
}

/// One question, asked of every node at the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// When it was asked.
    pub at: Instant,
    /// Who asked: a place in [`CLIENTS`].
    pub client: usize,
    /// What each node answered.
    pub said: [Said; NODES.len()],
}

/// A thread that asks until it is told to end.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Round>>,
}

impl Crowd {
    /// Lets the clients, whose addresses `machine` has, ask for the A records of `name` in turn.
    pub fn start(machine: &Machine, name: &str) -> Self {
        let sockets =
            machine.inside(|| CLIENTS.map(|client| NODES.map(|node| socket(client.1, node.1))));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let name = Name::from_ascii(name).unwrap();
        let thread = thread::spawn(move || ask_on(&sockets, &name, &stopped));
        Self { stop, thread }
    }

    /// Ends when the last answers have had their time, and hands over what was seen.
    pub fn finish(self) -> Vec<Round> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

type Sockets = [[UdpSocket; NODES.len()]; CLIENTS.len()];

fn socket(client: &str, node: &str) -> UdpSocket {
    let client: IpAddr = client.parse().unwrap();
    let node: IpAddr = node.parse().unwrap();
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.connect(SocketAddr::new(node, 53)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn ask_on(sockets: &Sockets, name: &Name, stopped: &AtomicBool) -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    let mut due = Instant::now();
    let mut ends = None;
    while ends.is_none_or(|ends| Instant::now() < ends) {
        let now = Instant::now();
        if ends.is_none() && now >= due {
            let client = rounds.len() % CLIENTS.len();
            let query = query(name, rounds.len() as u16);
            for socket in &sockets[client] {
                // What was refused before (ICMP) is told by the next call: one more time.
                let _ = socket.send(&query).or_else(|_| socket.send(&query));
            }
            rounds.push(Round { at: now, client, said: [Said::Nothing; NODES.len()] });
            // A moment in which this machine had no time for us is not made up for.
            due = (due + PACE).max(now);
        }
        if ends.is_none() && stopped.load(Ordering::Relaxed) {
            ends = Some(Instant::now() + PATIENCE);
        }
        for (node, socket) in sockets.iter().flat_map(|nodes| nodes.iter().enumerate()) {
            while let Some(message) = received(socket) {
                note(&mut rounds, node, &message);
            }
        }
        thread::sleep(Duration::from_micros(500));
    }
    rounds
}

/// The next message; `None` when there is none. A port nobody listens on says nothing.
fn received(socket: &UdpSocket) -> Option<Message> {
    let mut buffer = [0; 4096];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => return Message::from_vec(&buffer[..length]).ok(),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => return None,
        }
    }
}

/// Rounds are told apart by the message's number, which comes again after eleven minutes.
fn note(rounds: &mut [Round], node: usize, message: &Message) {
    let number = message.metadata.id;
    let newest = rounds.len().wrapping_sub(1);
    let age = usize::from((newest as u16).wrapping_sub(number));
    let Some(round) = newest.checked_sub(age).and_then(|at| rounds.get_mut(at)) else { return };
    if round.at.elapsed() > PATIENCE {
        return;
    }
    let addresses: Vec<IpAddr> = message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        })
        .collect();
    round.said[node] = match (message.metadata.response_code, &addresses[..]) {
        (ResponseCode::NoError, [address]) => Said::Address(*address),
        _ => Said::Empty,
    };
}

fn query(name: &Name, number: u16) -> Vec<u8> {
    let mut message = Message::new(number, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.clone(), RecordType::A));
    message.to_vec().unwrap()
}
