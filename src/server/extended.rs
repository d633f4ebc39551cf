//! What few ask for: identifier, keepalive, and why an answer is what it is. Out of line, so
//! that other queries do not pay for it; docs/decisions/0023 says who is told what.

use std::net::IpAddr;

use super::Transport;
use super::answer::{Asked, Walk};
use crate::health::table::Verdict;
use crate::region::{AreaId, Family};
use crate::snapshot::Snapshot;
use crate::steer::record::{LastResort, Policy, Record, Rule};
use crate::steer::select::{Ask, Selection};
use crate::steer::tally::Reason;
use crate::wire::edns::Edns;
use crate::wire::options::{ExtendedError, Extras, InfoCode, KEEPALIVE_ROOM, Tail, nsid_room};
use crate::wire::query::{Query, Unreadable};
use crate::wire::response::Response;
use crate::wire::types::{Class, Rcode};

/// Octets that the length of a padded answer is a multiple of (RFC 8467 section 4.1).
const PADDED_TO: usize = 468;

/// Sets aside a client subnet that is not believed from this source, as if it had not come, and
/// says how many octets the answer must leave to options.
#[cold]
pub(super) fn prepare(
    edns: &mut Edns,
    snapshot: &Snapshot,
    client: IpAddr,
    transport: Transport,
) -> usize {
    if edns.client_subnet.is_some() && !snapshot.client_subnet.has(client) {
        edns.client_subnet = None;
        edns.extras.insert(Extras::SUBNET_SET_ASIDE);
    }
    let nsid = nsid(edns, snapshot).map_or(0, nsid_room);
    nsid + if is_kept_alive(edns, transport) { KEEPALIVE_ROOM } else { 0 }
}

/// Whether an answer is to be [completed](complete).
#[inline]
pub(super) fn is_due(query: &Query, response: &Response<'_>) -> bool {
    match &query.edns {
        None => false,
        Some(edns) => {
            let is_plain = matches!(response.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN);
            edns.extras.any() || !is_plain || response.extended().is_some()
        }
    }
}

/// An answer without what [`complete`] adds.
pub(super) struct Plain {
    pub(super) length: usize,
    pub(super) rcode: Rcode,
    pub(super) extended: Option<ExtendedError>,
}

/// Adds the options that are due behind the answer that stands in `out`, which ends where the
/// answer must; returns the answer's length.
#[cold]
pub(super) fn complete(
    out: &mut [u8],
    plain: &Plain,
    query: &Query,
    read: Result<(), Unreadable>,
    snapshot: &Snapshot,
    (client, transport): (IpAddr, Transport),
) -> usize {
    // Of a later version we know nothing but that there is one (RFC 6891 section 6.1.3).
    let Some(edns) = query.edns.as_ref().filter(|edns| edns.version == 0) else {
        return plain.length;
    };
    let Some(mut tail) = Tail::of(out, plain.length, edns) else { return plain.length };
    if let Some(nsid) = nsid(edns, snapshot) {
        tail.nsid(nsid);
    }
    if is_kept_alive(edns, transport) {
        tail.keepalive(snapshot.tcp_idle);
    }
    let (steering, refusals) =
        (&snapshot.extended_errors.steering, &snapshot.extended_errors.refusals);
    if let Some(why) = plain.extended.filter(|_| steering.has(client)) {
        tail.extended_error(&why);
    }
    if let Some(why) = refused(plain.rcode, query, edns, read).filter(|_| refusals.has(client)) {
        tail.extended_error(&why);
    }
    // In the clear there is nothing to hide (RFC 7830 section 6).
    if edns.extras.has(Extras::PADDING) && transport == Transport::Tls {
        tail.pad(PADDED_TO);
    }
    tail.length()
}

/// The identifier, if the query asks and there is one.
fn nsid<'s>(edns: &Edns, snapshot: &'s Snapshot) -> Option<&'s [u8]> {
    snapshot.nsid.as_deref().filter(|_| edns.extras.has(Extras::NSID))
}

/// Whether the client is to be told how long its connection lasts. Over UDP the option means
/// nothing (RFC 7828 section 3.2.1).
fn is_kept_alive(edns: &Edns, transport: Transport) -> bool {
    edns.extras.has(Extras::KEEPALIVE) && transport != Transport::Udp
}

/// Why a query, or a part of it, was refused. What the code says alone has no text.
fn refused(
    rcode: Rcode,
    query: &Query,
    edns: &Edns,
    read: Result<(), Unreadable>,
) -> Option<ExtendedError> {
    let told = |code, text| Some(ExtendedError { code, text: [text, ""] });
    match (read, rcode) {
        (Err(Unreadable::ClientSubnet), _) => {
            told(InfoCode::OTHER, "malformed client subnet (RFC 7871)")
        }
        (Err(Unreadable::Cookie), _) => told(InfoCode::OTHER, "malformed cookie (RFC 7873)"),
        (Ok(()), Rcode::REFUSED) if query.qclass != Class::IN || query.qtype.is_meta() => {
            told(InfoCode::NOT_SUPPORTED, "")
        }
        (Ok(()), Rcode::REFUSED) => told(InfoCode::NOT_AUTHORITATIVE, ""),
        _ if edns.extras.has(Extras::SUBNET_SET_ASIDE) => {
            told(InfoCode::OTHER, "client subnet is not believed from this source")
        }
        _ => None,
    }
}

/// Notes why a steered answer is not what the policy wants when all is well. No code of the
/// registry is about steering, so it is 0, and the text says all (RFC 8914 section 4.1).
#[cold]
pub(super) fn note<T>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    ask: Ask,
    selection: &Selection<'_>,
) {
    let client = if record.plan.by_source { *walk.asked.source } else { walk.asked.client };
    let next = "; the next answers";
    let text = match selection.reason {
        Reason::Preferred => return,
        Reason::Unmatched => ["no rule is for this client", "; the zone file answers"],
        Reason::AtCapacity => {
            ["the first choice is at capacity", instead(record, client, selection)]
        }
        Reason::Shed => ["the first choice sheds this client", instead(record, client, selection)],
        Reason::Panic => ["too few pools serve", "; health is ignored"],
        Reason::Unhealthy => ["the first choice is down", next],
        Reason::Drained => [drained(walk.asked, record, client, ask), next],
        Reason::NoAddress => ["the first choice has no address of this type", next],
        Reason::LastResort | Reason::Fenced => {
            [exhausted(walk.asked, record, client, ask), outcome(selection)]
        }
    };
    walk.response.explain(ExtendedError { code: InfoCode::OTHER, text });
}

/// Who answers a client whom its first choice sheds: that one all the same where no other takes
/// it either.
fn instead(record: &Record, client: IpAddr, selection: &Selection<'_>) -> &'static str {
    let order = record.plan.map.lookup(client).order;
    let is_in_order = rule_of(record, client)
        .is_some_and(|rule| matches!(rule.policy, Policy::Failover | Policy::Nearest));
    match (selection.picks().first(), order.sites.first()) {
        (Some(picked), Some(first)) if is_in_order && order.tied <= 1 && picked == first => {
            "; no other takes it, so it answers"
        }
        _ => "; the next answers",
    }
}

/// The rule that is for this client.
fn rule_of(record: &Record, client: IpAddr) -> Option<&Rule> {
    let number = record.plan.map.lookup(client).order.rule?;
    record.plan.rules.get(usize::from(number))
}

/// What keeps a pool from being handed out for `ask`; `None` when nothing does.
fn kept_out(
    asked: &Asked<'_>,
    record: &Record,
    site: u16,
    (ask, area): (Ask, AreaId),
) -> Option<Verdict> {
    let pool = record.plan.sites.get(usize::from(site))?.pool;
    let word = |family| asked.health.word(pool, family, area);
    let word = match ask {
        Ask::Family(family) => word(family),
        Ask::Any if word(Family::V4).is_eligible() => word(Family::V4),
        Ask::Any => word(Family::V6),
    };
    (!word.is_eligible()).then(|| word.verdict())
}

/// How the first choice is out by an operator or its own word.
fn drained(asked: &Asked<'_>, record: &Record, client: IpAddr, ask: Ask) -> &'static str {
    let hit = record.plan.map.lookup(client);
    let order = hit.order.sites.iter().take(usize::from(hit.order.len));
    let own = rule_of(record, client).into_iter().flat_map(|rule| &*rule.own);
    let told = |&site: &u16| match kept_out(asked, record, site, (ask, hit.order.area))? {
        Verdict::Draining => Some("the first choice is drained"),
        Verdict::Maintenance => Some("the first choice is being worked on"),
        Verdict::ForcedDown => Some("the first choice is held down by an operator"),
        _ => None,
    };
    order.chain(own).find_map(told).unwrap_or("the first choice is drained")
}

/// Why nothing is left.
fn exhausted(asked: &Asked<'_>, record: &Record, client: IpAddr, ask: Ask) -> &'static str {
    let Some(rule) = rule_of(record, client) else { return "nothing serves" };
    let area = record.plan.map.lookup(client).order.area;
    let by_operator = |&site: &u16| {
        let kept_out = kept_out(asked, record, site, (ask, area));
        matches!(kept_out, Some(Verdict::Draining | Verdict::ForcedDown | Verdict::Maintenance))
    };
    match (rule.fence, rule.own.iter().all(by_operator)) {
        (true, true) => "fenced, and all pools inside are drained",
        (true, false) => "fenced, and all pools inside are down",
        (false, true) => "all pools are drained",
        (false, false) => "all pools are down",
    }
}

/// What is answered when nothing is left.
const fn outcome(selection: &Selection<'_>) -> &'static str {
    match selection.last_resort {
        Some(LastResort::All) => "; health is ignored",
        None | Some(LastResort::Default) => "; the zone file answers",
        Some(LastResort::Nodata | LastResort::Servfail) => "; no answer is left",
        Some(LastResort::Cname(_) | LastResort::Addresses(..)) => "; the last resort answers",
    }
}
