//! A worker: what one thread needs to answer, and the batch it is working on.
//!
//! Each packet is read once, in [`prepare`](Answer::prepare), which also touches the memory its
//! answer will need: the misses of a batch overlap instead of adding up. Then
//! [`answer`](Answer::answer) walks the road of `server::answer` for each.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::answer::{self, Asked, Qname, Scratch};
use super::stats::{Counter, Stats};
use super::{Answer, Transport};
use crate::snapshot::Snapshot;
use crate::steer::chance::Chance;
use crate::wire::edns::ClientSubnet;
use crate::wire::query::{Query, Unreadable};
use crate::wire::response::Response;
use crate::wire::types::Rcode;
use crate::zone::hash::Suffixes;

/// Smallest UDP answer every client takes, in octets (RFC 1035 section 4.2.1).
const UDP_SIZE_PLAIN: usize = 512;

/// Answers queries for one thread.
pub struct Worker {
    thread: usize,
    source: Arc<ArcSwap<Snapshot>>,
    snapshot: Arc<Snapshot>,
    slots: Box<[Slot]>,
    scratch: Box<Scratch>,
    chance: Chance,
    stats: Arc<Stats>,
}

/// One packet of the batch, read.
struct Slot {
    query: Query,
    read: Result<(), Unreadable>,
    suffixes: Suffixes,
    /// The zone's place in the catalog, and which suffix of the qname its apex is.
    zone: Option<(u32, u8)>,
}

impl Worker {
    /// The worker of thread number `thread`, which reads snapshots from `source`, counts into
    /// `stats`, and draws its chances from `seed`.
    pub fn new(
        thread: usize,
        source: Arc<ArcSwap<Snapshot>>,
        stats: Arc<Stats>,
        seed: u64,
    ) -> Self {
        let slot = || Slot {
            query: Query::new(),
            read: Err(Unreadable::Short),
            suffixes: Suffixes::new(),
            zone: None,
        };
        assert!(thread < stats.threads(), "a worker needs counters of its own");
        Self {
            thread,
            snapshot: source.load_full(),
            source,
            slots: (0..Self::BATCH).map(|_| slot()).collect(),
            scratch: Box::new(Scratch::new()),
            chance: Chance::seeded(seed),
            stats,
        }
    }
}

impl Answer for Worker {
    #[inline]
    fn begin(&mut self, _now: Duration) {
        let latest = self.source.load();
        if !Arc::ptr_eq(&latest, &self.snapshot) {
            // The publisher still holds the one that is let go of here, so nothing is freed.
            self.snapshot = Arc::clone(&latest);
        }
    }

    #[inline]
    fn prepare(&mut self, slot: usize, packet: &[u8]) {
        let Some(slot) = self.slots.get_mut(slot) else { return };
        slot.read = slot.query.read(packet);
        if slot.read.is_err() {
            return;
        }
        if !self.snapshot.client_subnet
            && let Some(edns) = &mut slot.query.edns
        {
            edns.client_subnet = None;
        }
        let catalog = &self.snapshot.catalog;
        let (starts, labels) = slot.query.labels();
        slot.suffixes.of_labels(catalog.key(), slot.query.qname(), starts, labels);
        slot.zone = catalog.place(&slot.suffixes, slot.query.qname());
        if let Some(served) = slot.zone.and_then(|(place, _)| catalog.get(place)) {
            served.zone.touch(slot.suffixes.hash(0));
        }
    }

    #[inline]
    fn answer(
        &mut self,
        slot: usize,
        packet: &[u8],
        client: IpAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> usize {
        let Some(slot) = self.slots.get(slot) else { return 0 };
        let Some(stats) = self.stats.thread(self.thread) else { return 0 };
        let Slot { query, read, suffixes, zone } = slot;
        stats.count(request_counter(client, transport));
        let snapshot = &*self.snapshot;
        let size = match (transport, &query.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, Some(edns)) => {
                usize::from(edns.udp_size.min(snapshot.udp_size)).max(UDP_SIZE_PLAIN)
            }
            (Transport::Udp, None) => UDP_SIZE_PLAIN,
        };
        let rcode = match read {
            Ok(()) => Rcode::NOERROR,
            Err(unreadable) => {
                if let Some(counter) = malformed_counter(*unreadable) {
                    stats.count(counter);
                }
                match unreadable {
                    Unreadable::Short | Unreadable::Response => return 0,
                    Unreadable::Opcode => Rcode::NOTIMP,
                    Unreadable::Version => Rcode::BADVERS,
                    _ => Rcode::FORMERR,
                }
            }
        };
        let Some(mut response) = Response::begin(out, query, query.question(packet), size) else {
            stats.count(Counter::NoRoom);
            return 0;
        };
        response.set_rcode(rcode);
        let mut scope = 0;
        if rcode == Rcode::NOERROR {
            let subnet = query.edns.as_ref().and_then(|edns| edns.client_subnet.as_ref());
            if subnet.is_some() {
                stats.count(Counter::ClientSubnet);
            }
            let told = subnet.and_then(ClientSubnet::client);
            let asked = Asked {
                snapshot,
                health: &snapshot.health,
                qtype: query.qtype,
                qclass: query.qclass,
                client: told.unwrap_or(client),
                stats,
                thread: self.thread,
            };
            let chance = &mut self.chance;
            scope = answer::answer(
                &asked,
                Qname { lower: query.qname(), suffixes, zone: *zone },
                &mut self.scratch,
                &mut response,
                chance,
                &mut (),
            );
            // A scope says something about the address that was sent, and only then.
            scope = if told.is_some() { scope } else { 0 };
        }
        if response.is_truncated() {
            stats.count(Counter::Truncated);
        }
        stats.count(rcode_counter(response.rcode()));
        response.finish(query, snapshot.udp_size, scope)
    }
}

#[inline]
const fn request_counter(client: IpAddr, transport: Transport) -> Counter {
    match (transport, client) {
        (Transport::Udp, IpAddr::V4(_)) => Counter::Udp4,
        (Transport::Udp, IpAddr::V6(_)) => Counter::Udp6,
        (Transport::Tcp, IpAddr::V4(_)) => Counter::Tcp4,
        (Transport::Tcp, IpAddr::V6(_)) => Counter::Tcp6,
    }
}

const fn malformed_counter(unreadable: Unreadable) -> Option<Counter> {
    Some(match unreadable {
        Unreadable::Short => Counter::Short,
        Unreadable::Response => Counter::Response,
        Unreadable::Questions | Unreadable::Question => Counter::MalformedQuestion,
        Unreadable::Records => Counter::MalformedRecords,
        Unreadable::Opt => Counter::MalformedOpt,
        Unreadable::ClientSubnet => Counter::MalformedSubnet,
        Unreadable::Opcode | Unreadable::Version => return None,
    })
}

#[inline]
const fn rcode_counter(rcode: Rcode) -> Counter {
    match rcode {
        Rcode::NOERROR => Counter::Noerror,
        Rcode::FORMERR => Counter::Formerr,
        Rcode::NXDOMAIN => Counter::Nxdomain,
        Rcode::NOTIMP => Counter::Notimp,
        Rcode::REFUSED => Counter::Refused,
        Rcode::YXDOMAIN => Counter::Yxdomain,
        Rcode::BADVERS => Counter::Badvers,
        _ => Counter::Servfail,
    }
}
