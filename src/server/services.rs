//! Writing what was selected for types that are not addresses: HTTPS and SVCB with the addresses
//! of the same moment, SRV and MX with the pools as hosts, TXT. Out of line, so that addresses do
//! not pay for it.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::answer::{Here, Next, Trace, Walk};
use super::stats::Counter;
use super::steered::{self, Outcome};
use crate::region::{Family, Pool, Target};
use crate::steer::record::{LastResort, Record, Site};
use crate::steer::select::{Ask, Selection};
use crate::steer::service::{BINDING_MAX, Binding, Host, Offer, RDATA_MAX, Service};
use crate::wire::name::NAME_MAX;
use crate::wire::response::{Full, RECORD_HEAD, Section, lay_out_head};
use crate::wire::svcb::{IPV4HINT, IPV6HINT};
use crate::wire::types::{Rtype, Ttl};

/// Most addresses of one family in one answer.
const HINTS_MAX: usize = 32;
/// Octets of an HTTPS record at most: its parts, and hints with their keys and lengths.
const BODY_MAX: usize = RECORD_HEAD + 2 + BINDING_MAX + 4 + HINTS_MAX * 4 + 4 + HINTS_MAX * 16;

/// Answers for a type that is not an address, and not handed over by name.
#[cold]
#[inline(never)]
pub(super) fn answer<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    match record.plan.service(walk.asked.qtype) {
        None => Ok(Outcome::Beside),
        Some(service) if matches!(service.rtype, Rtype::HTTPS | Rtype::SVCB) => {
            bindings(walk, record, service, here)
        }
        Some(service) => hosts_or_texts(walk, record, service, here),
    }
}

/// One record, or several, for each pool that was picked: its host, its texts.
fn hosts_or_texts<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    service: &Service,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let (asked, plan) = (walk.asked, &*record.plan);
    let selection = steered::select_pools(walk, record, Ask::Any);
    steered::widen(walk, plan, selection.scope);
    if let Some(outcome) = elsewhere(walk, record, &selection, Ask::Any, here)? {
        return Ok(outcome);
    }
    asked.stats.count(Counter::Steered);
    let ttl = selection.ttl;
    let mut written = 0;
    for (place, &number) in selection.picks().iter().enumerate() {
        let Some((_, offer)) = service.offer(number) else { continue };
        let Some(site) = plan.sites.get(usize::from(number)) else { continue };
        record.tally.count(asked.thread, usize::from(site.row), selection.reason);
        match offer {
            Offer::Host(host) => {
                let below = if service.spread { 0 } else { place as u16 };
                write_host(walk, service.rtype, ttl, host, below, here)?;
                written += 1;
            }
            Offer::Texts(texts) => {
                for text in texts {
                    write_text(walk, ttl, text, here)?;
                    written += 1;
                }
            }
            Offer::Binding(_) => {}
        }
    }
    Ok(if written > 0 { Outcome::Next(Next::Done) } else { Outcome::Beside })
}

/// What is answered instead: the last resort when no pool was picked, an alias or a referral when
/// the first is handed over by name. `None` when there is a service to answer.
fn elsewhere<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    selection: &Selection<'_>,
    ask: Ask,
    here: &Here<'_>,
) -> Result<Option<Outcome>, Full> {
    let (asked, plan) = (walk.asked, &*record.plan);
    let Some((site, pool)) = pool_of(walk, record, selection, 0) else {
        record.tally.count_unpooled(asked.thread, selection.reason);
        // Addresses of a stand-in come without a promise of what it speaks.
        return match selection.last_resort {
            Some(LastResort::Addresses(..)) => Ok(Some(Outcome::Nodata)),
            _ => steered::last_resort(asked, selection, ask, here, walk.response).map(Some),
        };
    };
    let is_named =
        (plan.names_hosts || site.resolved.is_some()) && matches!(pool.target, Target::Cname(_));
    if is_named || matches!(pool.target, Target::Vips(_)) {
        return Ok(None);
    }
    asked.stats.count(Counter::Steered);
    record.tally.count(asked.thread, usize::from(site.row), selection.reason);
    steered::by_target(walk, selection, pool, here).map(Some)
}

fn pool_of<'a, T>(
    walk: &Walk<'a, '_, T>,
    record: &'a Record,
    selection: &Selection<'_>,
    number: usize,
) -> Option<(&'a Site, &'a Pool)> {
    let site = record.plan.sites.get(usize::from(*selection.picks().get(number)?))?;
    Some((site, walk.asked.snapshot.pools.get(site.pool.0 as usize)?))
}

/// An HTTPS or SVCB record for each kind of service that the picked pools offer. Its hints are
/// what queries for A and AAAA of the same client get: each family is selected for, as there.
fn bindings<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    service: &Service,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let (asked, plan) = (walk.asked, &*record.plan);
    let by_family = both_families(walk, record);
    let lead = by_family.iter().flatten().find(|selection| !selection.picks().is_empty());
    let Some(lead) = lead.or_else(|| by_family.iter().flatten().next()) else {
        return Ok(Outcome::Beside);
    };
    if let Some(outcome) = elsewhere(walk, record, lead, Ask::Any, here)? {
        return Ok(outcome);
    }
    asked.stats.count(Counter::Steered);
    let ttl = lead.ttl;
    let mut written = 0;
    for (at, &number) in lead.picks().iter().enumerate() {
        let Some((kind, Offer::Binding(binding))) = service.offer(number) else { continue };
        if let Some(site) = plan.sites.get(usize::from(number)) {
            record.tally.count(asked.thread, usize::from(site.row), lead.reason);
        }
        let is_same = |number: u16| service.offer(number).is_some_and(|(other, _)| other == kind);
        if lead.picks().iter().take(at).any(|&earlier| is_same(earlier)) {
            continue;
        }
        let mut hints = Hints::NONE;
        if binding.hints {
            for (family, selection) in [Family::V4, Family::V6].into_iter().zip(&by_family) {
                let Some(selection) = selection else { continue };
                for &number in selection.picks().iter().filter(|&&number| is_same(number)) {
                    hints.take(walk, record, number, family, selection)?;
                }
            }
        }
        write_binding(walk, service.rtype, ttl, (binding, written), &hints, here)?;
        written += 1;
    }
    Ok(if written > 0 { Outcome::Next(Next::Done) } else { Outcome::Beside })
}

/// What is selected for IPv4 and for IPv6, as far as they are steered. Where chance or turns
/// decide, they decide once, so that both families are of one pool where health allows.
fn both_families<'r, T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &'r Record,
) -> [Option<Selection<'r>>; 2] {
    let plan = &*record.plan;
    let mut by_family = [None, None];
    let before = walk.chance.clone();
    let turn = turns(record);
    if plan.steers_v4 {
        let selection = steered::select_pools(walk, record, Ask::Family(Family::V4));
        steered::widen(walk, plan, selection.scope);
        by_family[0] = Some(selection);
    }
    if plan.steers_v6 {
        let selection = match by_family[0] {
            Some(first) if turns(record) != turn && is_in(walk, record, &first, Family::V6) => {
                first
            }
            _ => {
                let after = std::mem::replace(walk.chance, before);
                let selection = steered::select_pools(walk, record, Ask::Family(Family::V6));
                *walk.chance = after;
                selection
            }
        };
        steered::widen(walk, plan, selection.scope);
        by_family[1] = Some(selection);
    }
    by_family
}

/// How many turns were taken so far.
fn turns(record: &Record) -> u32 {
    let taken = record.turns.iter().map(|turn| turn.load(Ordering::Relaxed));
    taken.fold(0, u32::wrapping_add)
}

/// Whether the first pool picked is in for `family`.
fn is_in<T>(
    walk: &Walk<'_, '_, T>,
    record: &Record,
    selection: &Selection<'_>,
    family: Family,
) -> bool {
    let picked = pool_of(walk, record, selection, 0);
    picked.is_some_and(|(site, _)| {
        walk.asked.health.word(site.pool, family, selection.area).is_eligible()
    })
}

/// Addresses for one record, in wire form.
struct Hints {
    v4: [u8; HINTS_MAX * 4],
    v4_end: usize,
    v6: [u8; HINTS_MAX * 16],
    v6_end: usize,
}

impl Hints {
    const NONE: Self =
        Self { v4: [0; HINTS_MAX * 4], v4_end: 0, v6: [0; HINTS_MAX * 16], v6_end: 0 };

    /// Adds the addresses that site `number` hands out for `family`.
    fn take<T>(
        &mut self,
        walk: &mut Walk<'_, '_, T>,
        record: &Record,
        number: u16,
        family: Family,
        selection: &Selection<'_>,
    ) -> Result<(), Full> {
        let Some(site) = record.plan.sites.get(usize::from(number)) else { return Ok(()) };
        let Some(pool) = walk.asked.snapshot.pools.get(site.pool.0 as usize) else {
            return Ok(());
        };
        let Target::Vips(vips) = &pool.target else {
            let known = site.resolved.as_ref().and_then(|of| of.read(family));
            known.iter().for_each(|known| known.iter().for_each(|ip| self.add(ip)));
            return Ok(());
        };
        let live = steered::live(walk, selection, site.pool, family);
        let (answers, chance) = (pool.answers, &mut *walk.chance);
        match family {
            Family::V4 => steered::each_member(&vips.v4, live, answers, chance, |ip| {
                self.add(ip.into());
                Ok(())
            }),
            Family::V6 => steered::each_member(&vips.v6, live, answers, chance, |ip| {
                self.add(ip.into());
                Ok(())
            }),
        }
    }

    /// What is past the most is left out: hints need not be complete.
    fn add(&mut self, address: IpAddr) {
        let put = |octets: &[u8], room: &mut [u8], end: &mut usize| {
            if let Some(free) = room.get_mut(*end..*end + octets.len()) {
                free.copy_from_slice(octets);
                *end += octets.len();
            }
        };
        match address {
            IpAddr::V4(ip) => put(&ip.octets(), &mut self.v4, &mut self.v4_end),
            IpAddr::V6(ip) => put(&ip.octets(), &mut self.v6, &mut self.v6_end),
        }
    }

    fn v4(&self) -> &[u8] {
        self.v4.get(..self.v4_end).unwrap_or(&[])
    }

    fn v6(&self) -> &[u8] {
        self.v6.get(..self.v6_end).unwrap_or(&[])
    }
}

/// Writes an HTTPS or SVCB record, its parameters in the order of their keys (RFC 9460 section
/// 2.2). `after` records of the answer are tried before it.
fn write_binding<T>(
    walk: &mut Walk<'_, '_, T>,
    rtype: Rtype,
    ttl: Ttl,
    (binding, after): (&Binding, u16),
    hints: &Hints,
    here: &Here<'_>,
) -> Result<(), Full> {
    let mut body = [0; BODY_MAX];
    let mut rdata = Rdata { room: body.get_mut(RECORD_HEAD..).unwrap_or_default(), end: 0 };
    rdata.add(&binding.priority.saturating_add(after).to_be_bytes())?;
    rdata.add(&binding.head)?;
    rdata.parameter(IPV4HINT, hints.v4())?;
    rdata.add(&binding.middle)?;
    rdata.parameter(IPV6HINT, hints.v6())?;
    rdata.add(&binding.tail)?;
    let length = rdata.end;
    finish(walk, rtype, ttl, &mut body, length, here)
}

/// Writes an SRV or MX record, which `below` of the answer are preferred to.
fn write_host<T>(
    walk: &mut Walk<'_, '_, T>,
    rtype: Rtype,
    ttl: Ttl,
    host: &Host,
    below: u16,
    here: &Here<'_>,
) -> Result<(), Full> {
    let mut body = [0; RECORD_HEAD + 6 + NAME_MAX];
    let mut rdata = Rdata { room: body.get_mut(RECORD_HEAD..).unwrap_or_default(), end: 0 };
    rdata.add(&host.rank.saturating_add(below).to_be_bytes())?;
    rdata.add(&host.rest)?;
    let length = rdata.end;
    finish(walk, rtype, ttl, &mut body, length, here)
}

/// Writes one text.
fn write_text<T>(
    walk: &mut Walk<'_, '_, T>,
    ttl: Ttl,
    text: &[u8],
    here: &Here<'_>,
) -> Result<(), Full> {
    let mut body = [0; RECORD_HEAD + RDATA_MAX];
    let mut rdata = Rdata { room: body.get_mut(RECORD_HEAD..).unwrap_or_default(), end: 0 };
    rdata.add(text)?;
    finish(walk, Rtype::TXT, ttl, &mut body, text.len(), here)
}

/// RDATA under way, in a room that is given.
struct Rdata<'b> {
    room: &'b mut [u8],
    end: usize,
}

impl Rdata<'_> {
    fn add(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.end + octets.len();
        self.room.get_mut(self.end..end).ok_or(Full)?.copy_from_slice(octets);
        self.end = end;
        Ok(())
    }

    /// A parameter with its key and length; an empty one is left out.
    fn parameter(&mut self, key: u16, value: &[u8]) -> Result<(), Full> {
        if value.is_empty() {
            return Ok(());
        }
        self.add(&key.to_be_bytes())?;
        self.add(&(value.len() as u16).to_be_bytes())?;
        self.add(value)
    }
}

/// Writes the record whose RDATA stands in `body` already.
fn finish<T>(
    walk: &mut Walk<'_, '_, T>,
    rtype: Rtype,
    ttl: Ttl,
    body: &mut [u8],
    length: usize,
    here: &Here<'_>,
) -> Result<(), Full> {
    let body = body.get_mut(..RECORD_HEAD + length).ok_or(Full)?;
    lay_out_head(body, rtype, ttl);
    walk.response.record(Section::Answer, here.owner(), body).map(|_| ())
}
