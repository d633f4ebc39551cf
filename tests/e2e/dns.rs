//! A client that asks one question in one datagram, from any address of a machine in the lab.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::lab::Machine;

/// One socket, from one address to one server.
pub struct Asker {
    socket: UdpSocket,
    patience: Duration,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The response code.
    pub rcode: ResponseCode,
    /// The AA bit.
    pub authoritative: bool,
    /// Addresses of A and AAAA records in the answer section.
    pub addresses: Vec<IpAddr>,
    /// The scope of the echoed client subnet.
    pub scope: Option<u8>,
    /// All of it.
    pub message: Message,
}

impl Asker {
    /// A client with the address `client`, which `machine` must have.
    pub fn new(machine: &Machine, client: IpAddr, server: SocketAddr) -> Self {
        let socket = machine.inside(|| {
            let socket = UdpSocket::bind((client, 0)).unwrap();
            socket.connect(server).unwrap();
            socket
        });
        Self { socket, patience: Duration::from_secs(3) }
    }

    /// With another time after which a question counts as unanswered.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Asks for addresses; `None` when nothing came back in time.
    pub fn ask(&self, name: &str) -> Option<Reply> {
        self.ask_for(name, RecordType::A, None)
    }

    /// Asks on behalf of a client network; `None` when nothing came back in time.
    pub fn ask_for(
        &self,
        name: &str,
        rtype: RecordType,
        subnet: Option<(IpAddr, u8)>,
    ) -> Option<Reply> {
        let query = query(name, rtype, subnet);
        // A refusal of the message before (ICMP) is reported by the next call on the socket.
        for _ in 0..2 {
            if self.socket.send(&query.to_vec().unwrap()).is_ok() {
                break;
            }
        }
        let deadline = Instant::now() + self.patience;
        let mut buffer = [0; 4096];
        loop {
            let left = deadline.checked_duration_since(Instant::now()).filter(|t| !t.is_zero())?;
            self.socket.set_read_timeout(Some(left)).unwrap();
            let length = self.socket.recv(&mut buffer).ok()?;
            let Ok(message) = Message::from_vec(&buffer[..length]) else { continue };
            if message.metadata.id == query.metadata.id {
                return Some(Reply::new(message));
            }
        }
    }
}

impl Reply {
    fn new(message: Message) -> Self {
        let address = |data: &RData| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        };
        let subnet = |edns: &Edns| match edns.option(EdnsCode::Subnet) {
            Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
            _ => None,
        };
        Self {
            rcode: message.metadata.response_code,
            authoritative: message.metadata.authoritative,
            addresses: message.answers.iter().filter_map(|r| address(&r.data)).collect(),
            scope: message.edns.as_ref().and_then(subnet),
            message,
        }
    }

    /// The one address of an answer that holds just one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.addresses[..] {
            [address] => Some(address),
            _ => None,
        }
    }
}

fn query(name: &str, rtype: RecordType, subnet: Option<(IpAddr, u8)>) -> Message {
    static ID: AtomicU16 = AtomicU16::new(1);
    let id = ID.fetch_add(1, Ordering::Relaxed);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    if let Some((address, prefix)) = subnet {
        let mut edns = Edns::new();
        edns.set_max_payload(1232).set_version(0);
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, prefix, 0)));
        message.set_edns(edns);
    }
    message
}
