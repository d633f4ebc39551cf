//! A worker: what one thread needs to answer, and the batch it is working on.
//!
//! Each packet is read once, in [`prepare`](Answer::prepare), which also touches the memory its
//! answer will need: the misses of a batch overlap instead of adding up. Then
//! [`answer`](Answer::answer) walks the road of `server::answer` for each.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prefetch_index::prefetch_index;

use super::answer::{self, Asked, Qname, Scratch};
use super::stats::{Counter, Stats, Thread};
use super::{Answer, Transport, abuse, extended};
use crate::limit::Ruling;
use crate::limit::buckets::Buckets;
use crate::limit::networks::Audience;
use crate::snapshot::{Served, Snapshot};
use crate::steer::chance::Chance;
use crate::wire::cookie::{Jar, Standing};
use crate::wire::edns::ClientSubnet;
use crate::wire::query::{Query, Unreadable};
use crate::wire::response::Response;
use crate::wire::types::Rcode;

/// Smallest UDP answer every client takes, in octets (RFC 1035 section 4.2.1).
const UDP_SIZE_PLAIN: usize = 512;

/// Answers queries for one thread. Aligned to two cache lines, so that no two share one.
#[repr(align(128))]
pub struct Worker {
    thread: usize,
    source: Arc<ArcSwap<Snapshot>>,
    snapshot: Arc<Snapshot>,
    slots: Box<[Slot]>,
    scratch: Box<Scratch>,
    chance: Chance,
    jar: Jar,
    buckets: Buckets,
    stats: Arc<Stats>,
}

/// One packet of the batch, read.
struct Slot {
    query: Query,
    read: Result<(), Unreadable>,
    hash: u64,
    /// The number of the steered record that seems to be meant.
    steered: Option<u32>,
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
            hash: 0,
            steered: None,
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
            jar: Jar::empty(),
            buckets: Buckets::new(seed).noting_on(stats.board(thread)),
            stats,
        }
    }
}

impl Answer for Worker {
    #[inline]
    fn begin(&mut self, now: Duration) {
        let latest = self.source.load();
        if !Arc::ptr_eq(&latest, &self.snapshot) {
            // The publisher still holds the one that is let go of here, so nothing is freed.
            self.snapshot = Arc::clone(&latest);
            self.jar = Jar::empty();
        }
        if let Some(rule) = &self.snapshot.cookies {
            self.jar.advance(&rule.secrets, self.snapshot.wall.at(now));
        }
        if self.snapshot.limit.is_some() {
            self.buckets.advance(now);
        }
    }

    #[inline]
    fn prepare(&mut self, slot: usize, packet: &[u8]) {
        let Some(slot) = self.slots.get_mut(slot) else { return };
        slot.read = slot.query.read(packet);
        if let Some(edns) = &mut slot.query.edns {
            if matches!(self.snapshot.client_subnet, Audience::Nobody) {
                edns.client_subnet = None;
            }
            if self.snapshot.cookies.is_none() {
                edns.cookie = None;
            }
        }
        if slot.read.is_err() {
            return;
        }
        let catalog = &self.snapshot.catalog;
        let name = slot.query.name();
        slot.hash = catalog.key().hash(name.octets());
        slot.zone = catalog.place(name);
        if self.snapshot.spread
            && let Some(served) = slot.zone.and_then(|(place, _)| catalog.get(place))
        {
            served.zone.approach(slot.hash);
        }
    }

    #[inline]
    fn approaches(&self) -> usize {
        // What is in the cache anyway need not be sent for.
        if self.snapshot.spread { 4 } else { 0 }
    }

    #[inline]
    fn approach(&mut self, slot: usize, pass: usize) {
        let Some(Slot { zone: Some((place, _)), hash, steered, query, .. }) =
            self.slots.get_mut(slot)
        else {
            return;
        };
        // Most passes are for steered names only.
        if pass > 1 && steered.is_none() {
            return;
        }
        let Some(Served { zone, records, .. }) = self.snapshot.catalog.get(*place) else { return };
        match pass {
            0 => zone.approach_node(*hash),
            1 => {
                *steered = zone.steered_at(*hash);
                if let Some(number) = *steered {
                    prefetch_index(records, number as usize);
                }
            }
            _ => {
                let record = steered.and_then(|number| records.get(number as usize));
                let subnet = query.edns.as_ref().and_then(|edns| edns.client_subnet.as_ref());
                if let Some(record) = record {
                    record.approach(self.thread, subnet.and_then(ClientSubnet::client), pass == 3);
                }
            }
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
        let Some(slot) = self.slots.get_mut(slot) else { return 0 };
        let Some(stats) = self.stats.thread(self.thread) else { return 0 };
        let Slot { query, read, hash, zone, .. } = slot;
        stats.count(request_counter(client, transport));
        let snapshot = &*self.snapshot;
        let size = match (transport, &query.edns) {
            (Transport::Tcp | Transport::Tls, _) => usize::from(u16::MAX),
            (Transport::Udp, Some(edns)) => {
                usize::from(edns.udp_size.min(snapshot.udp_size)).max(UDP_SIZE_PLAIN)
            }
            (Transport::Udp, None) => UDP_SIZE_PLAIN,
        };
        // Options that few send may want room that the answer must leave them.
        let kept = match &mut query.edns {
            Some(edns) if edns.extras.any() || !snapshot.believes_everybody() => {
                extended::prepare(edns, snapshot, client, transport)
            }
            _ => 0,
        };
        let standing = abuse::check_cookie(query.edns.as_mut(), &self.jar, client, stats);
        let rcode = match read {
            Ok(()) if must_show_cookie(standing, transport, snapshot) => Rcode::BADCOOKIE,
            Ok(()) => Rcode::NOERROR,
            Err(unreadable) => match refusal(*unreadable, standing, stats) {
                Some(rcode) => rcode,
                None => return 0,
            },
        };
        let Some(mut response) = Response::begin(out, query, query.question(packet), size - kept)
        else {
            stats.count(Counter::NoRoom);
            return 0;
        };
        response.set_rcode(rcode);
        let mut scope = 0;
        if rcode == Rcode::NOERROR && read.is_ok() {
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
                source: &client,
                stats,
                thread: self.thread,
            };
            let chance = &mut self.chance;
            scope = answer::answer(
                &asked,
                Qname { name: query.name(), hash: *hash, zone: *zone },
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
        if let Some(limit) = &snapshot.limit
            && transport == Transport::Udp
            && standing != Some(Standing::Valid)
        {
            let ruling = self.buckets.charge(limit, client, abuse::kind(&response));
            if ruling != Ruling::Pass
                && !abuse::hold_back(ruling, limit, standing, &mut response, stats)
            {
                return 0;
            }
        }
        let rcode = response.rcode();
        stats.count(rcode_counter(rcode));
        let length = response.finish(query, snapshot.udp_size, scope);
        if !extended::is_due(query, &response) {
            return length;
        }
        let plain = extended::Plain { length, rcode, extended: response.extended() };
        let size = size.min(out.len());
        let out = out.get_mut(..size).unwrap_or_default();
        extended::complete(out, &plain, query, *read, snapshot, (client, transport))
    }
}

/// What a packet that is no query is answered; `None` when it is dropped.
#[cold]
fn refusal(unreadable: Unreadable, standing: Option<Standing>, stats: &Thread) -> Option<Rcode> {
    if let Some(counter) = malformed_counter(unreadable) {
        stats.count(counter);
    }
    Some(match (unreadable, standing) {
        (Unreadable::Short | Unreadable::Response, _) => return None,
        (Unreadable::Opcode, _) => Rcode::NOTIMP,
        (Unreadable::Version, _) => Rcode::BADVERS,
        // RFC 7873 section 5.4.
        (Unreadable::CookieOnly, Some(Standing::Bad)) => Rcode::BADCOOKIE,
        (Unreadable::CookieOnly, Some(_)) => Rcode::NOERROR,
        _ => Rcode::FORMERR,
    })
}

/// Whether a client must come again with the cookie it is given: it knows cookies, and only
/// clients with a valid one are answered over UDP (RFC 7873 section 5.2.3).
#[inline]
fn must_show_cookie(standing: Option<Standing>, transport: Transport, snapshot: &Snapshot) -> bool {
    snapshot.cookies.as_ref().is_some_and(|rule| rule.require)
        && transport == Transport::Udp
        && matches!(standing, Some(Standing::New | Standing::Bad))
}

#[inline]
const fn request_counter(client: IpAddr, transport: Transport) -> Counter {
    match (transport, client) {
        (Transport::Udp, IpAddr::V4(_)) => Counter::Udp4,
        (Transport::Udp, IpAddr::V6(_)) => Counter::Udp6,
        (Transport::Tcp, IpAddr::V4(_)) => Counter::Tcp4,
        (Transport::Tcp, IpAddr::V6(_)) => Counter::Tcp6,
        (Transport::Tls, _) => encrypted_counter(client),
    }
}

#[cold]
const fn encrypted_counter(client: IpAddr) -> Counter {
    match client {
        IpAddr::V4(_) => Counter::Tls4,
        IpAddr::V6(_) => Counter::Tls6,
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
        Unreadable::Cookie => Counter::MalformedCookie,
        Unreadable::CookieOnly | Unreadable::Opcode | Unreadable::Version => return None,
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
        Rcode::BADCOOKIE => Counter::Badcookie,
        _ => Counter::Servfail,
    }
}
