//! Whether a server's answers are right, before it may race: RCODE, records, the region of each
//! client, scopes, shares. What is right is worked out here and in `cities`, not by Meridian.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, RecordType};

use crate::cities::{Cities, Rule};
use crate::peer::Peer;
use crate::query::{Chance, Queries, Question, message, questions};
use crate::workload::{Kind, REGIONS, WEIGHTS, Workload, static_address};

/// Questions asked.
const QUESTIONS: usize = 4000;
/// Of these, whose scopes are looked into.
const SCOPES: usize = 500;
/// Addresses tried in the network of each scope.
const NEIGHBOURS: usize = 8;
/// The share of clients it may send to another region than its rule says. Distances that differ in
/// the last digits may fall either way, and networks longer than /24 are merged.
const TOLERANCE: f64 = 0.005;
/// The same for the addresses that share a scope with a client.
const SCOPE_TOLERANCE: f64 = 0.01;
/// Standard deviations a share of the weighted answers may be off: once in 15,000 checks.
const DEVIATIONS: f64 = 4.0;
/// Longest wait for an answer, and how often a question is asked over UDP.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 3;

/// What a check has seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Share of clients sent elsewhere than to the nearest region.
    pub elsewhere: f64,
    /// Share of clients sent elsewhere than the server's rule says.
    pub wrong: f64,
    /// Share of addresses in the answers' scopes whose region is another by that rule.
    pub scope_short: f64,
    /// Share of scopes longer than needed.
    pub scope_long: f64,
    /// Mean scope.
    pub scope: f64,
}

/// Asks a server and holds its answers against what they should be.
///
/// # Errors
/// When an answer is wrong or missing, with the first such.
pub fn check(
    peer: &dyn Peer,
    server: SocketAddr,
    queries: &Queries,
    cities: &Cities,
) -> Result<Seen> {
    let workload = queries.workload;
    let mut asker = Asker::new(server, workload, &queries.sources)?;
    let mut geo = Geo {
        cities,
        rule: peer.rule(),
        chance: Chance(3),
        seen: Seen::default(),
        clients: 0,
        scopes: 0,
        tried: 0,
        exact: peer.has_exact_scopes(),
    };
    let mut drawn = BTreeMap::new();
    for (number, question) in questions(workload, QUESTIONS, 99, cities)?.iter().enumerate() {
        let (response, source) = asker.ask(question, number)?;
        let told = || format!("{} for {:?}", question.qname(), question.subnet);
        let address = one_address(workload, &response).with_context(told)?;
        match workload.kind() {
            Kind::Static => {
                let expected = address.is_none() || address == Some(static_address(question.name));
                ensure!(expected, "{}: {address:?}", told());
            }
            Kind::Geo => {
                let client = question.subnet.unwrap_or(source);
                geo.add(client, question.subnet.is_some(), address, &response)
                    .with_context(told)?;
            }
            Kind::Weighted => *drawn.entry(address).or_insert(0) += 1,
        }
    }
    if workload.kind() == Kind::Weighted {
        check_shares(&drawn)?;
    }
    geo.finish()
}

/// The serial a server gives for a zone.
///
/// # Errors
/// When it does not answer.
pub fn serial(server: SocketAddr, origin: &str) -> Result<u32> {
    let mut asker = Asker::new(server, Workload::Static1, &[Ipv4Addr::LOCALHOST])?;
    let packet = message(origin, 6, None, 1);
    let response = asker.exchange(0, &packet)?;
    match &response.answers.first().context("no SOA")?.data {
        RData::SOA(soa) => Ok(soa.serial),
        other => bail!("{other:?}"),
    }
}

/// The A record of a positive answer; the SOA of a negative one is looked for.
fn one_address(workload: Workload, response: &Message) -> Result<Option<Ipv4Addr>> {
    ensure!(response.metadata.authoritative, "not authoritative");
    if workload == Workload::Nxdomain {
        ensure!(
            response.metadata.response_code == ResponseCode::NXDomain,
            "{:?}",
            response.metadata.response_code
        );
        let has_soa =
            response.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
        ensure!(has_soa && response.answers.is_empty(), "NXDOMAIN without SOA");
        return Ok(None);
    }
    ensure!(
        response.metadata.response_code == ResponseCode::NoError,
        "{:?}",
        response.metadata.response_code
    );
    ensure!(response.answers.len() == 1, "{} records", response.answers.len());
    match &response.answers[0].data {
        RData::A(address) => Ok(Some(address.0)),
        other => bail!("{other:?}"),
    }
}

/// Each share lies within what chance allows.
fn check_shares(drawn: &BTreeMap<Option<Ipv4Addr>, u32>) -> Result<()> {
    let all: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut counted = 0;
    for (address, weight) in WEIGHTS {
        let count = drawn.get(&Some(address)).copied().unwrap_or(0);
        counted += count;
        let share = f64::from(weight) / f64::from(all);
        let mean = share * QUESTIONS as f64;
        let deviation = (mean * (1.0 - share)).sqrt();
        let off = (f64::from(count) - mean).abs() / deviation;
        ensure!(off < DEVIATIONS, "{address} came {count} times, not {mean} (weight {weight})");
    }
    ensure!(counted as usize == QUESTIONS, "answers without a weight: {drawn:?}");
    Ok(())
}

/// Adds up the answers of steered names.
struct Geo<'a> {
    cities: &'a Cities,
    rule: Rule,
    chance: Chance,
    seen: Seen,
    clients: usize,
    scopes: usize,
    tried: usize,
    exact: bool,
}

impl Geo<'_> {
    fn add(
        &mut self,
        client: Ipv4Addr,
        told: bool,
        address: Option<Ipv4Addr>,
        response: &Message,
    ) -> Result<()> {
        let given = REGIONS.iter().position(|region| Some(region.address) == address);
        let given = given.with_context(|| format!("{address:?} is no region's"))?;
        // Where the database knows no place, any region is right.
        let Some(nearest) = self.cities.region(Rule::Kilometres, client)? else { return Ok(()) };
        self.clients += 1;
        self.seen.elsewhere += f64::from(u8::from(nearest != given));
        let expected = self.cities.region(self.rule, client)?;
        self.seen.wrong += f64::from(u8::from(expected != Some(given)));
        if !told {
            return Ok(());
        }
        let scope = scope(client, response)?;
        self.seen.scope += f64::from(scope);
        if self.scopes < SCOPES {
            self.scopes += 1;
            self.look_into(client, scope, given)?;
        }
        Ok(())
    }

    /// Whether the answer is right for all of the scope, and the scope as wide as that allows.
    fn look_into(&mut self, client: Ipv4Addr, scope: u8, given: usize) -> Result<()> {
        let mask = u32::MAX << (32 - scope);
        for _ in 0..NEIGHBOURS {
            let host = self.chance.below(1 << 32) as u32 & !mask;
            let neighbour = Ipv4Addr::from_bits(client.to_bits() & mask | host);
            if let Some(expected) = self.cities.region(self.rule, neighbour)? {
                self.tried += 1;
                self.seen.scope_short += f64::from(u8::from(expected != given));
            }
        }
        let order = self.cities.order(client)?.context("the client's place is known")?;
        let wider = self.exact && self.cities.all_have(client, scope - 1, &order)?;
        self.seen.scope_long += f64::from(u8::from(wider));
        Ok(())
    }

    fn finish(mut self) -> Result<Seen> {
        let share = |sum: f64, of: usize| sum / of.max(1) as f64;
        self.seen.elsewhere = share(self.seen.elsewhere, self.clients);
        self.seen.wrong = share(self.seen.wrong, self.clients);
        self.seen.scope = share(self.seen.scope, self.clients);
        self.seen.scope_short = share(self.seen.scope_short, self.tried);
        self.seen.scope_long = share(self.seen.scope_long, self.scopes);
        let Seen { wrong, scope_short, scope_long, .. } = self.seen;
        ensure!(wrong <= TOLERANCE, "{:.2} % are sent elsewhere than its rule says", wrong * 100.0);
        ensure!(
            scope_short <= SCOPE_TOLERANCE,
            "{:.2} % of the scopes' clients belong elsewhere",
            scope_short * 100.0
        );
        ensure!(
            !self.exact || scope_long <= TOLERANCE,
            "{:.2} % of the scopes are longer than needed",
            scope_long * 100.0
        );
        Ok(self.seen)
    }
}

/// The scope of a response to a question with a client's /24 (RFC 7871 section 7.2.1).
fn scope(client: Ipv4Addr, response: &Message) -> Result<u8> {
    let edns = response.edns.as_ref().context("no EDNS")?;
    match edns.options().get(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => {
            let echoed = subnet.addr() == client && subnet.source_prefix() == 24;
            ensure!(echoed, "another subnet: {subnet:?}");
            let scope = subnet.scope_prefix();
            ensure!(0 < scope && scope <= 32, "scope {scope}");
            Ok(scope)
        }
        other => bail!("no client subnet: {other:?}"),
    }
}

/// Asks one question after the other.
enum Asker {
    Udp(Vec<(Ipv4Addr, UdpSocket)>),
    Tcp(TcpStream),
}

impl Asker {
    fn new(server: SocketAddr, workload: Workload, sources: &[Ipv4Addr]) -> Result<Self> {
        if workload.is_tcp() {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            return Ok(Self::Tcp(stream));
        }
        let open = |source: &Ipv4Addr| -> Result<_> {
            let socket = UdpSocket::bind((*source, 0))?;
            socket.connect(server)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok((*source, socket))
        };
        Ok(Self::Udp(sources.iter().map(open).collect::<Result<_>>()?))
    }

    /// The response, and the address the question came from.
    fn ask(&mut self, question: &Question, number: usize) -> Result<(Message, Ipv4Addr)> {
        let packet = question.packet(number as u16);
        let response = self.exchange(number, &packet).with_context(|| question.qname())?;
        ensure!(response.metadata.id == number as u16, "another ID");
        let source = match self {
            Self::Udp(sockets) => sockets[number % sockets.len()].0,
            Self::Tcp(_) => Ipv4Addr::LOCALHOST,
        };
        Ok((response, source))
    }

    fn exchange(&mut self, number: usize, packet: &[u8]) -> Result<Message> {
        let mut buffer = [0; 4096];
        let response = match self {
            Self::Udp(sockets) => {
                let (_, socket) = &sockets[number % sockets.len()];
                let length = repeat(socket, packet, &mut buffer)?;
                &buffer[..length]
            }
            Self::Tcp(stream) => {
                let framed = [&(packet.len() as u16).to_be_bytes(), packet].concat();
                stream.write_all(&framed)?;
                let mut length = [0; 2];
                stream.read_exact(&mut length)?;
                let response = &mut buffer[..usize::from(u16::from_be_bytes(length))];
                stream.read_exact(response)?;
                &*response
            }
        };
        Ok(Message::from_vec(response)?)
    }
}

/// Asks up to [`TRIES`] times: a datagram may be lost. What comes late to an earlier question is
/// passed over.
fn repeat(socket: &UdpSocket, packet: &[u8], buffer: &mut [u8]) -> Result<usize> {
    for _ in 0..TRIES {
        socket.send(packet)?;
        while let Ok(length) = socket.recv(buffer) {
            if buffer[..2] == packet[..2] {
                return Ok(length);
            }
        }
    }
    bail!("no answer")
}
