//! Asking one server many questions, over UDP and over TCP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::message::{Answer, Question};

/// Datagrams under way at once: their answers fit into a socket's buffer.
const WINDOW: usize = 32;

/// Questions in one connection.
const PIPELINED: usize = 64;

/// After this long a datagram counts as lost, and a connection as dead.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a server said to one question.
#[derive(Clone)]
pub struct Said {
    /// Octets of the message.
    pub length: usize,
    /// The message; `None` when it is malformed.
    pub answer: Option<Answer>,
}

/// Asks over UDP. `None` for what was not answered three times.
pub fn over_udp(server: SocketAddr, questions: &[Question]) -> Vec<Option<Said>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said: Vec<Option<Said>> = vec![None; questions.len()];
    let mut buffer = [0; 65_535];
    for first in (0..questions.len()).step_by(WINDOW) {
        let window = first..(first + WINDOW).min(questions.len());
        for _ in 0..3 {
            let open: Vec<usize> = window.clone().filter(|&at| said[at].is_none()).collect();
            for &at in &open {
                socket.send(&questions[at].packet(at as u16)).ok();
            }
            let mut left = open.len();
            while left > 0 {
                let Ok(length) = socket.recv(&mut buffer) else { break };
                left -= usize::from(take(&buffer[..length], questions, &mut said));
            }
            if left == 0 {
                break;
            }
        }
    }
    said
}

/// Asks over TCP. `None` for what was not answered.
pub fn over_tcp(server: SocketAddr, questions: &[Question]) -> Vec<Option<Said>> {
    let mut said: Vec<Option<Said>> = vec![None; questions.len()];
    for first in (0..questions.len()).step_by(PIPELINED) {
        let some = first..(first + PIPELINED).min(questions.len());
        for _ in 0..3 {
            let open: Vec<usize> = some.clone().filter(|&at| said[at].is_none()).collect();
            if open.is_empty() || one_connection(server, &open, questions, &mut said).is_ok() {
                break;
            }
        }
    }
    said
}

fn one_connection(
    server: SocketAddr,
    open: &[usize],
    questions: &[Question],
    said: &mut [Option<Said>],
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut octets = Vec::new();
    for &at in open {
        let packet = questions[at].packet(at as u16);
        octets.extend_from_slice(&(packet.len() as u16).to_be_bytes());
        octets.extend_from_slice(&packet);
    }
    stream.write_all(&octets)?;
    let mut buffer = vec![0; 65_535];
    for _ in open {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let message = &mut buffer[..usize::from(u16::from_be_bytes(length))];
        stream.read_exact(message)?;
        take(message, questions, said);
    }
    Ok(())
}

/// Files an answer under its question; false when it is none that is waited for.
fn take(message: &[u8], questions: &[Question], said: &mut [Option<Said>]) -> bool {
    let Some(id) = message.first_chunk().map(|id| usize::from(u16::from_be_bytes(*id))) else {
        return false;
    };
    let (Some(question), Some(place)) = (questions.get(id), said.get_mut(id)) else {
        return false;
    };
    let new = place.is_none();
    place.get_or_insert_with(|| Said {
        length: message.len(),
        answer: Answer::read(message, question),
    });
    new
}
