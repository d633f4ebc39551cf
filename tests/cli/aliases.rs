//! An apex that is flattened, in the running daemon: right from the first answer, also after a
//! restart while nobody resolves names.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};

use crate::support::{BERLIN, Daemon, Site};

const EDGE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// A resolver on loopback that takes its time, and can fall silent.
struct Resolver {
    address: SocketAddr,
    speaks: Arc<AtomicBool>,
}

impl Resolver {
    fn start(takes: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        let speaks = Arc::new(AtomicBool::new(true));
        let is_heard = Arc::clone(&speaks);
        std::thread::spawn(move || {
            let mut packet = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                std::thread::sleep(takes);
                if let Some(answer) = answer(&packet[..length])
                    && is_heard.load(Ordering::SeqCst)
                {
                    socket.send_to(&answer, from).expect("sent");
                }
            }
        });
        Self { address, speaks }
    }
}

/// One address for every name, and none of IPv6.
fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(packet).ok()?;
    let question = query.queries.first()?.clone();
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    if question.query_type() == RecordType::A {
        let address = Record::from_rdata(question.name().clone(), 40, RData::A(A(EDGE)));
        response.add_answer(address);
    }
    response.add_query(question);
    response.to_vec().ok()
}

fn site(resolver: &Resolver) -> Site {
    let site = Site::new();
    let settings = std::fs::read_to_string(site.path().join("meridian.toml")).expect("settings");
    let aliases = format!("[aliases]\nresolvers = [\"{}\"]\n", resolver.address);
    site.write("meridian.toml", format!("{settings}{aliases}"));
    let policy = "[pool.cdn]\nregion = \"fra\"\ncname = \"edge.cdn.test.\"\n\
                  [record.\"@\"]\npools = [\"cdn\"]\n";
    site.write("zones/example.org.toml", policy);
    site
}

fn apex(daemon: &Daemon) -> (String, Vec<String>) {
    let told = daemon.ask("example.org.", "A", BERLIN);
    let address = |line: &String| line.rsplit(' ').next().unwrap_or_default().to_owned();
    (told.rcode, told.answer.iter().map(address).collect())
}

#[test]
fn the_first_answer_waits_for_the_first_resolution() {
    let resolver = Resolver::start(Duration::from_millis(300));
    let site = site(&resolver);
    let daemon = site.serve();
    assert_eq!(apex(&daemon), ("NOERROR".to_owned(), vec![EDGE.to_string()]));
}

#[test]
fn an_apex_answers_after_a_restart_though_the_resolver_is_dead() {
    let resolver = Resolver::start(Duration::ZERO);
    let site = site(&resolver);
    let daemon = site.serve();
    assert_eq!(apex(&daemon).1, [EDGE.to_string()]);
    assert!(daemon.stop().success());
    resolver.speaks.store(false, Ordering::SeqCst);
    let daemon = site.serve();
    assert_eq!(apex(&daemon), ("NOERROR".to_owned(), vec![EDGE.to_string()]));
    let alias = daemon.status().aliases.into_iter().find(|of| of.family == "ipv4");
    assert!(alias.is_some_and(|of| of.addresses == [EDGE.to_string()]));
}

#[test]
fn a_dead_resolver_does_not_keep_a_daemon_from_starting() {
    let resolver = Resolver::start(Duration::ZERO);
    resolver.speaks.store(false, Ordering::SeqCst);
    let site = site(&resolver);
    let daemon = site.serve();
    assert_eq!(apex(&daemon), ("SERVFAIL".to_owned(), Vec::new()), "resolvers ask another server");
    assert_eq!(daemon.www(BERLIN), "198.51.100.10", "and all else is answered");
}
