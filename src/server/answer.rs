//! The whole decision, in the order a query takes it: zone, node, and what stands there.
//!
//! One call answers one question. It follows CNAME and DNAME as far as our own zones go
//! (RFC 1034 section 4.3.2 step 3), and leaves the rest of a chain to the resolver.

use std::net::IpAddr;

use super::stats::{self, Counter};
use super::steered::{self, Outcome};
use crate::health::table::HealthTable;
use crate::snapshot::{Served, Snapshot};
use crate::steer::chance::Chance;
use crate::steer::record::Record;
use crate::steer::select::{self, Selection};
use crate::wire::name::{NAME_MAX, SplitName};
use crate::wire::response::{Full, RECORD_HEAD, Response, Section};
use crate::wire::types::{Class, Rcode, Rtype};
use crate::zone::Zone;
use crate::zone::hash::Suffixes;
use crate::zone::lookup::Lookup;
use crate::zone::node::{Node, RrsetRef};

/// Most names one answer goes through. BIND follows 16, Knot 20, gdnsd 16; a longer chain is
/// a mistake, and every link is work an attacker gets for one packet.
pub(super) const CHAIN_MAX: usize = 8;

/// One question and who asks.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// The snapshot's own table, or another one when `explain` asks what if.
    pub(crate) health: &'a HealthTable,
    pub(crate) qtype: Rtype,
    pub(crate) qclass: Class,
    /// The address that is steered by: the client subnet, else the source.
    pub(crate) client: IpAddr,
    /// Where the query came from.
    pub(crate) source: &'a IpAddr,
    pub(crate) stats: &'a stats::Thread,
    /// Number of the answering thread, for the tallies of pools.
    pub(crate) thread: usize,
}

/// One name of the chain, ready to be looked for.
#[derive(Clone, Copy)]
pub(crate) struct Qname<'a> {
    /// In wire form and lower case.
    pub(crate) name: SplitName<'a>,
    /// Its hash with the catalog's key.
    pub(crate) hash: u64,
    /// Its zone's place in the catalog, and which suffix is the apex.
    pub(crate) zone: Option<(u32, u8)>,
}

impl<'a> Qname<'a> {
    /// The name `name` with all that is needed to look for it.
    pub(crate) fn find(snapshot: &Snapshot, name: SplitName<'a>) -> Self {
        let catalog = &snapshot.catalog;
        Self { name, hash: catalog.key().hash(name.octets()), zone: catalog.place(name) }
    }
}

/// Sees the road a question takes; `()` sees nothing and costs nothing.
pub(crate) trait Trace: select::Trace {
    /// A name is looked for in this zone.
    fn zone(&mut self, _served: &Served, _qname: &[u8]) {}
    /// How the search ended.
    fn ending(&mut self, _ending: &Lookup<'_>) {}
    /// A steered record is selected for.
    fn steering(&mut self, _record: &Record) {}
    /// What was selected.
    fn selected(&mut self, _record: &Record, _selection: &Selection<'_>) {}
}

impl Trace for () {}

/// Room for the second and further names of a chain. One per thread.
pub(crate) struct Scratch {
    suffixes: Suffixes,
    qname: [u8; NAME_MAX],
    qname_len: usize,
}

impl Scratch {
    pub(crate) const fn new() -> Self {
        Self { suffixes: Suffixes::new(), qname: [0; NAME_MAX], qname_len: 0 }
    }
}

/// One walk down the road: what is asked, what is written so far, chance and witness.
pub(super) struct Walk<'w, 'o, T> {
    pub(super) asked: &'w Asked<'w>,
    pub(super) response: &'w mut Response<'o>,
    /// How many leading bits of the client's address the answer holds for.
    pub(super) scope: u8,
    pub(super) chance: &'w mut Chance,
    pub(super) trace: &'w mut T,
}

/// What follows after one name of the chain.
pub(super) enum Next {
    /// The answer is complete.
    Done,
    /// It goes on with the name that stands at this offset of the message.
    Follow(usize),
}

/// Where the road is: the name under way and where it stands in the message.
pub(super) struct Here<'a> {
    pub(super) served: &'a Served,
    /// Offset of the name in the message.
    pub(super) at: usize,
    /// Offset of the zone's apex inside the name.
    apex: usize,
}

impl Here<'_> {
    /// The name under way, as an owner.
    pub(super) const fn owner(&self) -> usize {
        self.at
    }

    /// The zone's apex, as an owner.
    const fn apex(&self) -> usize {
        self.at + self.apex
    }
}

/// Answers a question about `qname` into `response`; returns how many leading bits of the
/// client's address the answer holds for.
#[inline]
pub(crate) fn answer(
    asked: &Asked<'_>,
    qname: Qname<'_>,
    scratch: &mut Scratch,
    response: &mut Response<'_>,
    chance: &mut Chance,
    trace: &mut impl Trace,
) -> u8 {
    if asked.qclass != Class::IN || is_refused(asked.qtype) {
        elsewhere(asked, qname.name.octets(), response);
        return 0;
    }
    let mut walk = Walk { asked, response, scope: 0, chance, trace };
    let Some(first) = step(&mut walk, qname, Response::QNAME) else {
        walk.response.set_rcode(Rcode::REFUSED);
        return 0;
    };
    let end = match first {
        Ok(Next::Done) => return walk.scope,
        Ok(Next::Follow(at)) => follow(&mut walk, scratch, at),
        Err(full) => Err(full),
    };
    if end.is_err() {
        walk.response.truncate();
    }
    walk.scope
}

/// Answers a question that is not about our zones: in class CH the server tells of itself what it
/// may, and all else is refused.
#[cold]
fn elsewhere(asked: &Asked<'_>, qname: &[u8], response: &mut Response<'_>) {
    let own = asked.snapshot.chaos.find(qname).filter(|_| asked.qclass == Class::CH);
    let Some(record) = own.filter(|_| !is_refused(asked.qtype)) else {
        response.set_rcode(Rcode::REFUSED);
        return;
    };
    response.set_authoritative(true);
    if matches!(asked.qtype, Rtype::TXT | Rtype::ANY)
        && response.record(Section::Answer, Response::QNAME, record).is_err()
    {
        response.truncate();
    }
}

/// Follows a chain whose second name stands at offset `at` of the message, until it ends, leaves
/// our zones, comes back to where it was, or is [`CHAIN_MAX`] names long.
#[inline(never)]
fn follow<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    scratch: &mut Scratch,
    mut at: usize,
) -> Result<(), Full> {
    let mut visited = [Response::QNAME; CHAIN_MAX];
    for link in 1..CHAIN_MAX {
        let message = walk.response.written();
        if !scratch.take_name(message, at)
            || visited.iter().take(link).any(|&seen| same_name(message, seen, scratch.qname()))
        {
            break;
        }
        visited[link] = at;
        match step(walk, scratch.as_qname(walk.asked.snapshot), at) {
            Some(Ok(Next::Follow(next))) => at = next,
            Some(Ok(Next::Done)) | None => break,
            Some(Err(full)) => return Err(full),
        }
    }
    Ok(())
}

/// Types that are no question an authoritative server answers here: transfers and meta types.
const fn is_refused(qtype: Rtype) -> bool {
    qtype.is_meta() && qtype.0 != Rtype::ANY.0
}

impl Scratch {
    /// The name taken last, ready to be looked for.
    fn as_qname(&self, snapshot: &Snapshot) -> Qname<'_> {
        Qname::find(snapshot, self.suffixes.name(self.qname()))
    }

    fn qname(&self) -> &[u8] {
        self.qname.get(..self.qname_len).unwrap_or(&[0])
    }

    /// Takes the uncompressed name at `at` of `message` as the next qname.
    fn take_name(&mut self, message: &[u8], at: usize) -> bool {
        let Some(name) = name_at(message, at) else { return false };
        let Some(room) = self.qname.get_mut(..name.len()) else { return false };
        room.copy_from_slice(name);
        room.make_ascii_lowercase();
        self.qname_len = name.len();
        self.suffixes.split(self.qname.get(..name.len()).unwrap_or(&[0]));
        true
    }
}

/// The uncompressed name at `at` of `message`.
pub(super) fn name_at(message: &[u8], at: usize) -> Option<&[u8]> {
    let mut end = at;
    loop {
        let length = usize::from(*message.get(end)?);
        end += 1 + length;
        if length == 0 {
            return message.get(at..end);
        }
        if end - at >= NAME_MAX {
            return None;
        }
    }
}

fn same_name(message: &[u8], at: usize, lower: &[u8]) -> bool {
    name_at(message, at).is_some_and(|name| name.eq_ignore_ascii_case(lower))
}

/// One name of the chain, which stands at offset `at` of the message: finds its zone and node
/// and writes what stands there. `None` when the name is in no zone of ours.
#[inline(always)]
fn step<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    qname: Qname<'_>,
    at: usize,
) -> Option<Result<Next, Full>> {
    let asked = walk.asked;
    let (served, index) = zone_of(asked, qname)?;
    let here = Here { served, at, apex: qname.name.offset(index) };
    walk.trace.zone(served, qname.name.octets());
    let ending = served.zone.lookup(qname.name, qname.hash, asked.qtype);
    walk.trace.ending(&ending);
    if at == Response::QNAME {
        walk.response.set_authoritative(true);
    }
    Some(arrive(walk, qname, ending, &here))
}

/// Writes what stands where the search for a name ended.
#[inline(always)]
fn arrive<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    qname: Qname<'_>,
    ending: Lookup<'_>,
    here: &Here<'_>,
) -> Result<Next, Full> {
    let asked = walk.asked;
    match ending {
        Lookup::Found(node) | Lookup::Wildcard { node, .. } => {
            let outcome = match record_of(here.served, node) {
                Some(record) => steered::answer(walk, record, here),
                None => Ok(Outcome::Unsteered),
            };
            match outcome {
                Ok(Outcome::Unsteered) => from_node(asked, node, here, walk.response),
                Ok(Outcome::Beside) => beside(walk, node, here),
                Ok(Outcome::Nodata) => no_pool(asked, node, here, walk.response),
                Ok(Outcome::Next(next)) => Ok(next),
                Err(full) => Err(full),
            }
        }
        Lookup::Referral { cut, offset } => {
            referral(asked, cut, here.at + offset, here, walk.response)
        }
        Lookup::SteeredCut { node, offset } => below(walk, qname, node, offset, here),
        Lookup::Dname { node, offset } => substitute(asked, node, offset, here, walk.response),
        Lookup::NxDomain { .. } => negative(asked, Rcode::NXDOMAIN, here, walk.response),
    }
}

/// A name below a steered one, which begins at `offset`: the region's, when this client is handed
/// over to it; else ours, like other names. Goes round once for each steered name above.
#[inline(never)]
fn below<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    qname: Qname<'_>,
    node: Node<'_>,
    offset: usize,
    here: &Here<'_>,
) -> Result<Next, Full> {
    if let Some(record) = record_of(here.served, node)
        && let Outcome::Next(next) = steered::below(walk, record, here.at + offset)?
    {
        return Ok(next);
    }
    let ending = here.served.zone.lookup_past(qname.name, offset, walk.asked.qtype);
    walk.trace.ending(&ending);
    arrive(walk, qname, ending, here)
}

/// The steered record at a node.
#[inline]
fn record_of<'a>(served: &'a Served, node: Node<'_>) -> Option<&'a Record> {
    served.records.get(node.steered()? as usize)
}

/// The zone that answers for `qname`. DS at the apex of a zone belongs to the zone above,
/// where that is ours too (RFC 4035 section 3.1.4.1).
#[inline]
fn zone_of<'a>(asked: &Asked<'a>, qname: Qname<'_>) -> Option<(&'a Served, usize)> {
    let catalog = &asked.snapshot.catalog;
    let (place, index) = qname.zone?;
    if asked.qtype == Rtype::DS
        && index == 0
        && let Some(above) = catalog.find_above(qname.name)
    {
        return Some(above);
    }
    Some((catalog.get(place)?, usize::from(index)))
}

/// What the master file has at a node.
#[inline]
fn from_node(
    asked: &Asked<'_>,
    node: Node<'_>,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<Next, Full> {
    if let Some(rrset) = node.rrset(asked.qtype) {
        asked.stats.count(Counter::Static);
        write_rrset(response, Section::Answer, here.owner(), &rrset)?;
        return Ok(Next::Done);
    }
    if asked.qtype == Rtype::ANY {
        // One RRset is enough of an answer to "everything" (RFC 8482 section 4.1).
        if let Some(rrset) = node.rrsets().next() {
            asked.stats.count(Counter::Static);
            write_rrset(response, Section::Answer, here.owner(), &rrset)?;
            return Ok(Next::Done);
        }
    }
    if let Some(cname) = node.rrset(Rtype::CNAME)
        && let Some(record) = cname.iter().next()
    {
        asked.stats.count(Counter::Static);
        let body = response.record(Section::Answer, here.owner(), record)?;
        return Ok(Next::Follow(body + RECORD_HEAD));
    }
    negative(asked, Rcode::NOERROR, here, response)
}

/// What the master file has beside what is steered, of a type that is not. A CNAME there is for
/// clients that are not steered: beside steered addresses it has no place (RFC 2181 section 10.1),
/// and a resolver that saw it would go past the steering.
#[inline(never)]
fn beside<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    node: Node<'_>,
    here: &Here<'_>,
) -> Result<Next, Full> {
    if node.rrset(Rtype::CNAME).is_some()
        && let Some(record) = record_of(here.served, node)
        && steered::is_for(walk, record)
    {
        return negative(walk.asked, Rcode::NOERROR, here, walk.response);
    }
    from_node(walk.asked, node, here, walk.response)
}

/// A steered name has nothing of the type for this client. To ANY there is still what the master
/// file has beside it (RFC 8482 section 4.1: a subset, but not an empty one).
#[cold]
fn no_pool(
    asked: &Asked<'_>,
    node: Node<'_>,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<Next, Full> {
    let is_beside =
        |rrset: &RrsetRef<'_>| !matches!(rrset.rtype, Rtype::A | Rtype::AAAA | Rtype::CNAME);
    match node.rrsets().find(is_beside) {
        Some(rrset) if asked.qtype == Rtype::ANY => {
            write_rrset(response, Section::Answer, here.owner(), &rrset)?;
            Ok(Next::Done)
        }
        _ => negative(asked, Rcode::NOERROR, here, response),
    }
}

fn write_rrset(
    response: &mut Response<'_>,
    section: Section,
    owner: usize,
    rrset: &RrsetRef<'_>,
) -> Result<(), Full> {
    // Most RRsets are one record, and then nothing has to be taken apart.
    if rrset.count == 1 {
        return response.record(section, owner, rrset.records).map(|_| ());
    }
    rrset.iter().try_for_each(|record| response.record(section, owner, record).map(|_| ()))
}

/// NODATA or NXDOMAIN, with the SOA that says how long it holds (RFC 2308 section 3). At the
/// end of a chain the code is that of its last name (RFC 6604 section 3).
#[inline]
pub(super) fn negative(
    asked: &Asked<'_>,
    rcode: Rcode,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<Next, Full> {
    if rcode == Rcode::NOERROR {
        asked.stats.count(Counter::Nodata);
    }
    response.set_rcode(rcode);
    let soa = here.served.zone.negative_soa();
    if !soa.is_empty() {
        response.record(Section::Authority, here.apex(), soa)?;
    }
    Ok(Next::Done)
}

/// Refers to the name servers below a cut, with what is known of their addresses.
fn referral(
    asked: &Asked<'_>,
    cut: Node<'_>,
    cut_at: usize,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<Next, Full> {
    asked.stats.count(Counter::Referral);
    if response.count(Section::Answer) == 0 {
        response.set_authoritative(false);
    }
    let Some(servers) = cut.rrset(Rtype::NS) else { return Ok(Next::Done) };
    let mut first_target = None;
    for record in servers.iter() {
        let body = response.record(Section::Authority, cut_at, record)?;
        first_target.get_or_insert(body);
    }
    let cut_length = name_at(response.written(), cut_at).map_or(0, <[u8]>::len);
    let mut body = first_target.unwrap_or_default();
    for record in servers.iter() {
        let target = record.get(RECORD_HEAD..).unwrap_or(&[]);
        let needed = target.len() >= cut_length && ends_with_name(target, cut.wire_name());
        glue(&here.served.zone, target, body + RECORD_HEAD, needed, response)?;
        // The next record's body follows this one's, after its two octets of owner pointer.
        body += record.len() + 2;
    }
    Ok(Next::Done)
}

/// True when `name` (any case) is `ancestor` (lower case) or stands below it.
fn ends_with_name(name: &[u8], ancestor: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > ancestor.len() {
        let length = rest.first().map_or(0, |&length| usize::from(length));
        rest = rest.get(1 + length..).unwrap_or(&[]);
    }
    rest.eq_ignore_ascii_case(ancestor)
}

/// Writes the addresses of the name server at offset `at`. Those that are `needed` (the server
/// stands below the cut) truncate the answer when they do not fit (RFC 9471 section 3.1);
/// others are left out.
fn glue(
    zone: &Zone,
    target: &[u8],
    at: usize,
    needed: bool,
    response: &mut Response<'_>,
) -> Result<(), Full> {
    let (v4, v6) = zone.addresses(target);
    for rrset in [v4, v6].into_iter().flatten() {
        let mark = response.mark();
        if let Err(full) = write_rrset(response, Section::Additional, at, &rrset) {
            response.rewind(mark);
            if needed {
                return Err(full);
            }
        }
    }
    Ok(())
}

/// Rewrites a name below a DNAME: the DNAME itself, and the CNAME it stands for (RFC 6672
/// section 3.2). YXDOMAIN when the new name is too long.
#[cold]
fn substitute(
    asked: &Asked<'_>,
    node: Node<'_>,
    offset: usize,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<Next, Full> {
    let Some(record) = node.rrset(Rtype::DNAME).and_then(|rrset| rrset.iter().next()) else {
        return Ok(Next::Done);
    };
    asked.stats.count(Counter::Static);
    // A chain may come to one DNAME twice, and a message has a record once (RFC 2181 section 5).
    if !response.has_answer(node.wire_name(), record) {
        response.record(Section::Answer, here.at + offset, record)?;
    }
    let mut cname = [0; RECORD_HEAD + NAME_MAX];
    let (head, room) = cname.split_at_mut(RECORD_HEAD);
    let target = record.get(RECORD_HEAD..).unwrap_or(&[0]);
    let length = offset + target.len();
    let Some(room) = room.get_mut(..length) else {
        response.set_rcode(Rcode::YXDOMAIN);
        return Ok(Next::Done);
    };
    let kept = response.written().get(here.at..here.at + offset).unwrap_or(&[]);
    let (front, back) = room.split_at_mut(offset);
    front.copy_from_slice(kept);
    back.copy_from_slice(target);
    head.copy_from_slice(record.get(..RECORD_HEAD).unwrap_or(&[0; RECORD_HEAD]));
    head[..2].copy_from_slice(&Rtype::CNAME.0.to_be_bytes());
    head[8..].copy_from_slice(&(length as u16).to_be_bytes());
    let body = cname.get(..RECORD_HEAD + length).unwrap_or(&[]);
    let body = response.record(Section::Answer, here.owner(), body)?;
    // Who asks for the CNAME has it (RFC 1034 section 3.6.2).
    if asked.qtype == Rtype::CNAME || asked.qtype == Rtype::ANY {
        return Ok(Next::Done);
    }
    Ok(Next::Follow(body + RECORD_HEAD))
}
