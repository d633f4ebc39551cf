//! The DNS probe: one query over UDP or TCP, one answer.

use std::net::SocketAddr;
use std::time::Instant;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::{self, reason_of};
use super::monitor::{Check, Dns};
use super::trace::{DnsSeen, Trace, micros_since};
use crate::health::sample::Reason;

/// RFC 9715 section 3: what goes through unfragmented.
const UDP_SIZE: u16 = 1232;

/// Largest answer over UDP that is read, whatever was asked for.
const DATAGRAM_MAX: usize = 4096;

/// Asks `address` as `dns` says. Datagrams that do not answer the query are ignored.
pub(super) async fn ask(
    dns: &Dns,
    check: &Check,
    address: SocketAddr,
    trace: &mut Trace,
) -> Result<(), Reason> {
    let query = query(dns).ok_or(Reason::Local)?;
    let octets = query.to_vec().map_err(|_| Reason::Local)?;
    let answer = if dns.tcp {
        over_tcp(&query, &octets, check, address, trace).await?
    } else {
        over_udp(&query, &octets, check, address, trace).await?
    };
    judge(dns, &answer, trace)
}

fn query(dns: &Dns) -> Option<Message> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).ok()?;
    let name = Name::from_ascii(&*dns.name).ok()?;
    let rtype: RecordType = dns.rtype.parse().ok()?;
    let mut message = Message::new(u16::from_be_bytes(id), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = dns.recursion;
    message.add_query(Query::query(name, rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_SIZE);
    message.set_edns(edns);
    Some(message)
}

async fn over_udp(
    query: &Message,
    octets: &[u8],
    check: &Check,
    address: SocketAddr,
    trace: &mut Trace,
) -> Result<Message, Reason> {
    let socket = connect::udp(address, &check.monitor.way)?;
    let begun = Instant::now();
    socket.send(octets).await.map_err(|error| reason_of(&error))?;
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| reason_of(&error))?;
        let Ok(answer) = Message::from_vec(&buffer[..length]) else { continue };
        if answers(query, &answer) {
            trace.facts.phases.first_byte_us = micros_since(begun);
            return Ok(answer);
        }
    }
}

async fn over_tcp(
    query: &Message,
    octets: &[u8],
    check: &Check,
    address: SocketAddr,
    trace: &mut Trace,
) -> Result<Message, Reason> {
    let mut stream = connect::tcp(address, &check.monitor.way, trace).await?;
    let begun = Instant::now();
    let length = u16::try_from(octets.len()).map_err(|_| Reason::Local)?;
    let framed = [&length.to_be_bytes(), octets].concat();
    let told = |error: std::io::Error| reason_of(&error);
    stream.write_all(&framed).await.map_err(told)?;
    let length = stream.read_u16().await.map_err(told)?;
    trace.facts.phases.first_byte_us = micros_since(begun);
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await.map_err(told)?;
    let answer = Message::from_vec(&buffer).map_err(|_| Reason::Protocol)?;
    if answers(query, &answer) { Ok(answer) } else { Err(Reason::Protocol) }
}

/// The same ID and question; a server that could not read the question may leave it out.
fn answers(query: &Message, answer: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == query.metadata.id
        && (answer.queries.is_empty() || answer.queries == query.queries)
}

fn judge(dns: &Dns, answer: &Message, trace: &mut Trace) -> Result<(), Reason> {
    let rcode = u16::from(answer.metadata.response_code);
    let serial =
        answer.answers.iter().chain(&answer.authorities).find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        });
    let lines: Vec<String> = answer.answers.iter().map(ToString::to_string).collect();
    let count = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    let seen = trace.dns.insert(DnsSeen {
        rcode,
        authoritative: answer.metadata.authoritative,
        answers: lines,
        others: [count(answer.authorities.len()), count(answer.additionals.len())],
        serial,
    });
    if !dns.rcodes.contains(&rcode) {
        return Err(Reason::Rcode(rcode));
    }
    let matches = |pattern: &super::pattern::Pattern| {
        seen.answers.iter().any(|line| pattern.is_in(line.as_bytes()))
    };
    let fault = if dns.authoritative && !answer.metadata.authoritative {
        Some("the answer is not authoritative".to_owned())
    } else if let Some(pattern) = dns.answer.iter().find(|pattern| !matches(pattern)) {
        Some(format!("no record of the answer matches {pattern}"))
    } else {
        let found = dns.answer_not.iter().find(|pattern| matches(pattern));
        found.map(|pattern| format!("a record of the answer matches {pattern}"))
    };
    match fault {
        None => Ok(()),
        Some(words) => {
            trace.complain(|| words);
            Err(Reason::Records)
        }
    }
}
