//! Writing what was selected: addresses, a CNAME, a referral, or a last resort.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::answer::{Asked, Here, Next, Trace, Walk};
use super::services;
use super::stats::Counter;
use super::{decisions, extended};
use crate::region::{Family, Member, NameServer, Pool, PoolId, Target, Vips};
use crate::steer::chance::Chance;
use crate::steer::record::{ANSWERS_MAX, AnswerOrder, LastResort, Plan, Record, Site};
use crate::steer::resolved::Resolved;
use crate::steer::select::{Ask, First, Missed, Selection, first, rest, select};
use crate::steer::tally::Reason;
use crate::wire::name::{NAME_MAX, Name};
use crate::wire::response::{Full, RECORD_HEAD, Response, Section, lay_out};
use crate::wire::types::{Rcode, Rtype, Ttl};

/// How a steered name was answered.
pub(super) enum Outcome {
    /// The last resort is the zone file: what the master file has counts.
    Unsteered,
    /// This type is not steered here: what the master file has of it beside what is steered.
    Beside,
    /// Nothing, and that is the answer.
    Nodata,
    /// It is written.
    Next(Next),
}

/// Answers for a steered name that is the qname or stands for it.
#[inline(always)]
pub(super) fn answer<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let asked = walk.asked;
    let plan = &*record.plan;
    let Some(ask) = ask(plan, asked.qtype) else {
        return if plan.services.is_empty() {
            Ok(Outcome::Beside)
        } else {
            services::answer(walk, record, here)
        };
    };
    let selection = if plan.by_source {
        select_pools(walk, record, ask)
    } else {
        walk.trace.steering(record);
        match first(record, asked.client, ask, asked.health, walk.chance, walk.trace) {
            Ok(first) => return preferred(walk, record, ask, &first, here),
            Err(missed) => select_rest(walk, record, ask, &missed),
        }
    };
    if let Some(spill) = &plan.spill {
        spill.demand.count(asked.thread, selection.order as usize);
    }
    widen(walk, plan, selection.scope);
    let Some(site) = picked(plan, &selection, 0) else {
        record.tally.count_unpooled(asked.thread, selection.reason);
        asked.stats.journal().advance();
        return last_resort(asked, &selection, ask, here, walk.response);
    };
    asked.stats.count(Counter::Steered);
    record.tally.count(asked.thread, usize::from(site.row), selection.reason);
    if selection.picks().len() == 1
        && selection.ttl == plan.ttl.max
        && hand_out_only(site, ask, here, walk.response)?
    {
        return Ok(Outcome::Next(Next::Done));
    }
    hand_out(walk, record, ask, (site, &selection), here)
}

/// Answers with a first choice that takes everybody.
#[inline(always)]
fn preferred<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    ask: Ask,
    first: &First<'_>,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let (asked, plan) = (walk.asked, &*record.plan);
    walk.trace.selected(record, &first.selection(plan));
    if asked.stats.journal().is_due(asked.stats.steered()) {
        decisions::note(walk, record, &first.selection(plan));
    }
    widen(walk, plan, first.scope);
    asked.stats.count(Counter::Steered);
    record.tally.count(asked.thread, usize::from(first.site.row), Reason::Preferred);
    if hand_out_only(first.site, ask, here, walk.response)? {
        return Ok(Outcome::Next(Next::Done));
    }
    hand_out(walk, record, ask, (first.site, &first.selection(plan)), here)
}

/// Writes what was selected, of which `site` is the first.
#[inline(never)]
fn hand_out<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    ask: Ask,
    (site, selection): (&Site, &Selection<'_>),
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let (asked, plan) = (walk.asked, &*record.plan);
    let Some(pool) = asked.snapshot.pools.get(site.pool.0 as usize) else {
        return Ok(Outcome::Nodata);
    };
    match &pool.target {
        Target::Vips(vips) => {
            let Ask::Family(family) = ask else { return Ok(Outcome::Beside) };
            if plan.order != AnswerOrder::Preference {
                return arranged(walk, record, selection, family, here);
            }
            pool_addresses(walk, selection, (pool, site.pool, vips), family, here)?;
            more_addresses(walk, record, selection, family, here)?;
            Ok(Outcome::Next(Next::Done))
        }
        Target::Cname(_) | Target::Delegate(_) => match (&site.resolved, ask) {
            (None, _) => by_target(walk, selection, pool, here),
            (Some(_), Ask::Family(family)) => flattened(walk, record, selection, family, here),
            (Some(_), Ask::Any) => Ok(Outcome::Beside),
        },
    }
}

/// The addresses of all picked pools, where the first is a name that is flattened. Where none of
/// them is known yet the client is to ask another server, rather than to remember that there is
/// nothing.
#[cold]
#[inline(never)]
fn flattened<T>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    selection: &Selection<'_>,
    family: Family,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let before = walk.response.count(Section::Answer);
    let mut is_known = true;
    if let Some(site) = picked(&record.plan, selection, 0)
        && let Some(resolved) = &site.resolved
    {
        is_known = resolved_addresses(walk, resolved, selection, family, here)?;
    }
    more_addresses(walk, record, selection, family, here)?;
    if walk.response.count(Section::Answer) > before {
        return Ok(Outcome::Next(Next::Done));
    }
    if is_known {
        return Ok(Outcome::Nodata);
    }
    walk.response.set_rcode(Rcode::SERVFAIL);
    Ok(Outcome::Next(Next::Done))
}

/// The addresses a name leads to; false when nothing is known of it.
#[cold]
fn resolved_addresses<T>(
    walk: &mut Walk<'_, '_, T>,
    resolved: &Resolved,
    selection: &Selection<'_>,
    family: Family,
    here: &Here<'_>,
) -> Result<bool, Full> {
    let Some(addresses) = resolved.read(family) else { return Ok(false) };
    let ttl = Ttl::new(addresses.ttl).map_or(selection.ttl, |ttl| ttl.min(selection.ttl));
    let response = &mut *walk.response;
    let mut hand_out = HandOut { ttl, owner: here.owner(), response };
    addresses.iter().try_for_each(|address| match address {
        IpAddr::V4(ip) => hand_out.v4(ip),
        IpAddr::V6(ip) => hand_out.v6(ip),
    })?;
    Ok(true)
}

/// Hands over by name: an alias or a referral. There is none of addresses.
pub(super) fn by_target<T>(
    walk: &mut Walk<'_, '_, T>,
    selection: &Selection<'_>,
    pool: &Pool,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let (asked, ttl) = (walk.asked, selection.ttl);
    match &pool.target {
        Target::Vips(_) => Ok(Outcome::Nodata),
        Target::Cname(name) => cname(asked, ttl, name, here, walk.response),
        Target::Delegate(servers) => {
            // Resolvers keep one delegation for all clients: scope 0 (RFC 7871 section 7.4), if no
            // name of the chain before it was steered.
            if walk.response.count(Section::Answer) == 0 {
                walk.scope = 0;
            }
            // DS at a cut is ours to answer (RFC 4035 section 3.1.4.1), from the zone file.
            if asked.qtype == Rtype::DS {
                return Ok(Outcome::Beside);
            }
            delegate(ttl, servers, here.at, walk.response)
        }
    }
}

/// The answer holds for no more clients than what was selected.
#[inline(always)]
pub(super) fn widen<T>(walk: &mut Walk<'_, '_, T>, plan: &Plan, scope: u8) {
    if !plan.by_source {
        walk.scope = walk.scope.max(scope + mapped_bits(walk.asked.client));
    }
}

/// The answer of a pool with one address, which was laid out when the files were read; false
/// when it takes more than that.
#[inline(always)]
fn hand_out_only(
    site: &Site,
    ask: Ask,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<bool, Full> {
    match (ask, &site.only_v4, &site.only_v6) {
        (Ask::Family(Family::V4), Some(body), _) => {
            response.record(Section::Answer, here.owner(), body)?;
        }
        (Ask::Family(Family::V6), _, Some(body)) => {
            response.record(Section::Answer, here.owner(), body)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Answers for a name below a steered name, which stands at `at` and may be handed over by
/// delegation: a referral when this client's region is, else what the zone itself has counts.
#[inline(never)]
pub(super) fn below<T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    at: usize,
) -> Result<Outcome, Full> {
    let asked = walk.asked;
    let selection = select_pools(walk, record, Ask::Any);
    let plan = &*record.plan;
    if let Some(site) = picked(plan, &selection, 0)
        && let Some(Pool { target: Target::Delegate(servers), .. }) =
            asked.snapshot.pools.get(site.pool.0 as usize)
    {
        if let Some(spill) = &plan.spill {
            spill.demand.count(asked.thread, selection.order as usize);
        }
        record.tally.count(asked.thread, usize::from(site.row), selection.reason);
        asked.stats.count(Counter::Steered);
        return delegate(selection.ttl, servers, at, walk.response);
    }
    // That this client is not handed over is for such as it alone.
    widen(walk, plan, selection.scope);
    Ok(Outcome::Unsteered)
}

/// Whether this client gets addresses of `record`, or nothing, rather than what the master file
/// has.
#[cold]
pub(super) fn is_for<T: Trace>(walk: &mut Walk<'_, '_, T>, record: &Record) -> bool {
    let selection = select_pools(walk, record, Ask::Any);
    widen(walk, &record.plan, selection.scope);
    !selection.picks().is_empty()
        || !matches!(selection.last_resort, None | Some(LastResort::Default))
}

#[inline(never)]
pub(super) fn select_pools<'r, T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &'r Record,
    ask: Ask,
) -> Selection<'r> {
    walk.trace.steering(record);
    let Asked { client, source, health, .. } = *walk.asked;
    let client = if record.plan.by_source { *source } else { client };
    let selection = select(record, client, ask, health, walk.chance, walk.trace);
    noted(walk, record, ask, selection)
}

/// Selects where the first choice is not all.
#[inline(never)]
fn select_rest<'r, T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &'r Record,
    ask: Ask,
    missed: &Missed<'r>,
) -> Selection<'r> {
    let Asked { client, health, .. } = *walk.asked;
    let selection = rest(record, (client, ask), health, walk.chance, walk.trace, missed);
    noted(walk, record, ask, selection)
}

/// Tells everybody who wants to know of a selection.
fn noted<'r, T: Trace>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    ask: Ask,
    selection: Selection<'r>,
) -> Selection<'r> {
    if selection.reason != Reason::Preferred {
        extended::note(walk, record, ask, &selection);
    }
    walk.trace.selected(record, &selection);
    let stats = walk.asked.stats;
    if stats.journal().is_due(stats.steered()) {
        decisions::note(walk, record, &selection);
    }
    selection
}

/// What must be selected for `qtype`; `None` when this type is not steered.
#[inline]
fn ask(plan: &Plan, qtype: Rtype) -> Option<Ask> {
    match qtype {
        Rtype::A if plan.steers_v4 => Some(Ask::Family(Family::V4)),
        Rtype::AAAA if plan.steers_v6 => Some(Ask::Family(Family::V6)),
        Rtype::ANY if plan.steers_v4 => Some(Ask::Family(Family::V4)),
        Rtype::ANY if plan.steers_v6 => Some(Ask::Family(Family::V6)),
        _ if !plan.steers_all => None,
        _ if plan.has_service(qtype) => None,
        _ => Some(Ask::Any),
    }
}

/// An IPv4-mapped client's scope counts from the start of the IPv6 address it came as.
#[inline]
const fn mapped_bits(client: IpAddr) -> u8 {
    match client {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => 96,
        _ => 0,
    }
}

/// The site that was picked in place `number`.
#[inline]
fn picked<'p>(plan: &'p Plan, selection: &Selection<'_>, number: usize) -> Option<&'p Site> {
    plan.sites.get(usize::from(*selection.picks().get(number)?))
}

/// The addresses of all picked pools in another order than that of preference.
#[cold]
#[inline(never)]
fn arranged<T>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    selection: &Selection<'_>,
    family: Family,
    here: &Here<'_>,
) -> Result<Outcome, Full> {
    let (asked, plan) = (walk.asked, &*record.plan);
    let is_fixed = plan.order == AnswerOrder::Fixed;
    let mut sites = [u16::MAX; ANSWERS_MAX];
    for (site, picked) in sites.iter_mut().zip(selection.picks()) {
        *site = *picked;
    }
    if is_fixed {
        sites.sort_unstable();
    }
    let first = walk.response.mark();
    for number in sites {
        let Some(site) = plan.sites.get(usize::from(number)) else { break };
        let Some(pool) = asked.snapshot.pools.get(site.pool.0 as usize) else { break };
        // The pool that was picked first is counted already.
        if selection.picks().first() != Some(&number) {
            record.tally.count(asked.thread, usize::from(site.row), selection.reason);
        }
        let Target::Vips(vips) = &pool.target else {
            if let Some(resolved) = &site.resolved {
                resolved_addresses(walk, resolved, selection, family, here)?;
            }
            continue;
        };
        if !is_fixed || pool.answers == 1 {
            pool_addresses(walk, selection, (pool, site.pool, vips), family, here)?;
            continue;
        }
        let live = live(walk, selection, site.pool, family);
        let response = &mut *walk.response;
        let mut hand_out = HandOut { ttl: selection.ttl, owner: here.owner(), response };
        match family {
            Family::V4 => {
                let drawn = draw_members(&vips.v4, live, pool.answers, walk.chance);
                in_order(&vips.v4, drawn).try_for_each(|ip| hand_out.v4(ip))?;
            }
            Family::V6 => {
                let drawn = draw_members(&vips.v6, live, pool.answers, walk.chance);
                in_order(&vips.v6, drawn).try_for_each(|ip| hand_out.v6(ip))?;
            }
        }
    }
    if plan.order == AnswerOrder::Shuffle {
        walk.response.shuffle(first, |bound| walk.chance.below(bound));
    }
    Ok(Outcome::Next(Next::Done))
}

/// Which members are drawn, as bits.
fn draw_members<A: Copy>(
    members: &[Member<A>],
    live: u32,
    answers: u8,
    chance: &mut Chance,
) -> u32 {
    let all = u32::MAX.checked_shr(32u32.saturating_sub(members.len() as u32)).unwrap_or(0);
    let mut left = if live & all == 0 { all } else { live & all };
    let mut drawn = 0;
    for _ in 0..answers.max(1) {
        let Some(member) = draw_member(members, left, chance) else { break };
        left &= !(1 << member);
        drawn |= 1 << member;
    }
    drawn
}

/// The addresses of the members `drawn`, as written.
fn in_order<A: Copy>(members: &[Member<A>], drawn: u32) -> impl Iterator<Item = A> {
    let drawn = (0..32).zip(members).filter(move |(at, _)| drawn & (1u32 << at) != 0);
    drawn.map(|(_, member)| member.address)
}

/// The addresses of the pools picked after the first.
fn more_addresses<T>(
    walk: &mut Walk<'_, '_, T>,
    record: &Record,
    selection: &Selection<'_>,
    family: Family,
    here: &Here<'_>,
) -> Result<(), Full> {
    let (asked, plan) = (walk.asked, &*record.plan);
    for number in 1..selection.picks().len() {
        if let Some(site) = picked(plan, selection, number)
            && let Some(pool) = asked.snapshot.pools.get(site.pool.0 as usize)
        {
            if let Target::Vips(vips) = &pool.target {
                record.tally.count(asked.thread, usize::from(site.row), selection.reason);
                pool_addresses(walk, selection, (pool, site.pool, vips), family, here)?;
            } else if let Some(resolved) = &site.resolved {
                record.tally.count(asked.thread, usize::from(site.row), selection.reason);
                resolved_addresses(walk, resolved, selection, family, here)?;
            }
        }
    }
    Ok(())
}

/// The addresses of one pool.
#[inline(never)]
fn pool_addresses<T>(
    walk: &mut Walk<'_, '_, T>,
    selection: &Selection<'_>,
    (pool, id, vips): (&Pool, PoolId, &Vips),
    family: Family,
    here: &Here<'_>,
) -> Result<(), Full> {
    let live = live(walk, selection, id, family);
    let response = &mut *walk.response;
    let mut hand_out = HandOut { ttl: selection.ttl, owner: here.owner(), response };
    members(vips, family, live, pool.answers, walk.chance, &mut hand_out)
}

/// Which members of a pool live, as bits.
#[inline]
pub(super) fn live<T>(
    walk: &Walk<'_, '_, T>,
    selection: &Selection<'_>,
    pool: PoolId,
    family: Family,
) -> u32 {
    if selection.ignore_health {
        u32::MAX
    } else {
        walk.asked.health.word(pool, family, selection.area).live()
    }
}

/// Chooses among a pool's members and writes them.
#[inline]
fn members(
    vips: &Vips,
    family: Family,
    live: u32,
    answers: u8,
    chance: &mut Chance,
    hand_out: &mut HandOut<'_, '_>,
) -> Result<(), Full> {
    match family {
        Family::V4 => each_member(&vips.v4, live, answers, chance, |at| hand_out.v4(at)),
        Family::V6 => each_member(&vips.v6, live, answers, chance, |at| hand_out.v6(at)),
    }
}

/// `answers` live members by weight, none twice.
#[inline]
pub(super) fn each_member<A: Copy>(
    members: &[Member<A>],
    live: u32,
    answers: u8,
    chance: &mut Chance,
    mut write: impl FnMut(A) -> Result<(), Full>,
) -> Result<(), Full> {
    if let [only] = members {
        return write(only.address);
    }
    let all = u32::MAX.checked_shr(32u32.saturating_sub(members.len() as u32)).unwrap_or(0);
    // Health may have changed since the pool was picked: then any member is better than none.
    let mut left = if live & all == 0 { all } else { live & all };
    for _ in 0..answers.max(1) {
        let Some(member) = draw_member(members, left, chance) else { break };
        left &= !(1 << member);
        if let Some(member) = members.get(member) {
            write(member.address)?;
        }
    }
    Ok(())
}

/// One member out of the set `left` by weight; the first one when none has a weight.
fn draw_member<A>(members: &[Member<A>], left: u32, chance: &mut Chance) -> Option<usize> {
    let among = || (0..).zip(members).filter(|(at, _)| left & (1u32 << at) != 0);
    let sum: u32 = among().map(|(_, member)| u32::from(member.weight)).sum();
    let mut draw = chance.below(sum);
    for (at, member) in among() {
        let weight = u32::from(member.weight);
        if sum == 0 || draw < weight {
            return Some(at);
        }
        draw -= weight;
    }
    None
}

/// Writes address records of one owner.
struct HandOut<'a, 'o> {
    ttl: Ttl,
    owner: usize,
    response: &'a mut Response<'o>,
}

impl HandOut<'_, '_> {
    #[inline]
    fn v4(&mut self, address: Ipv4Addr) -> Result<(), Full> {
        let mut body = [0; RECORD_HEAD + 4];
        self.write(&mut body, Rtype::A, &address.octets())
    }

    #[inline]
    fn v6(&mut self, address: Ipv6Addr) -> Result<(), Full> {
        let mut body = [0; RECORD_HEAD + 16];
        self.write(&mut body, Rtype::AAAA, &address.octets())
    }

    #[inline]
    fn write(&mut self, body: &mut [u8], rtype: Rtype, rdata: &[u8]) -> Result<(), Full> {
        lay_out(body, rtype, self.ttl, rdata);
        self.response.record(Section::Answer, self.owner, body).map(|_| ())
    }
}

/// Hands over to a balancer's name; the chain is followed if the name is ours, unless it is the
/// CNAME that was asked for (RFC 1034 section 3.6.2).
fn cname(
    asked: &Asked<'_>,
    ttl: Ttl,
    target: &Name,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<Outcome, Full> {
    let body = by_name(Section::Answer, here.owner(), Rtype::CNAME, ttl, target, response)?;
    Ok(Outcome::Next(match asked.qtype {
        Rtype::CNAME | Rtype::ANY => Next::Done,
        _ => Next::Follow(body + RECORD_HEAD),
    }))
}

/// Writes a record whose RDATA is one name; returns the offset of what follows its owner.
fn by_name(
    section: Section,
    owner: usize,
    rtype: Rtype,
    ttl: Ttl,
    target: &Name,
    response: &mut Response<'_>,
) -> Result<usize, Full> {
    let mut room = [0; RECORD_HEAD + NAME_MAX];
    let body = room.get_mut(..RECORD_HEAD + target.as_wire().len()).ok_or(Full)?;
    lay_out(body, rtype, ttl, target.as_wire());
    response.record(section, owner, body)
}

/// Hands over to the region's own name servers: a referral with glue, AA off. `at` is where
/// the delegated name stands.
fn delegate(
    ttl: Ttl,
    servers: &[NameServer],
    at: usize,
    response: &mut Response<'_>,
) -> Result<Outcome, Full> {
    if response.count(Section::Answer) == 0 {
        response.set_authoritative(false);
    }
    let mut body = response.position();
    for server in servers {
        let written = by_name(Section::Authority, at, Rtype::NS, ttl, &server.name, response)?;
        if response.count(Section::Authority) == 1 {
            body = written;
        }
    }
    for server in servers {
        let mut glue = HandOut { ttl, owner: body + RECORD_HEAD, response: &mut *response };
        for address in &server.addresses {
            glue.additional(*address)?;
        }
        body += RECORD_HEAD + server.name.as_wire().len() + 2;
    }
    Ok(Outcome::Next(Next::Done))
}

impl HandOut<'_, '_> {
    /// Glue; needed, since the servers are the region's own and known to nobody else.
    fn additional(&mut self, address: IpAddr) -> Result<(), Full> {
        let mut room = [0; RECORD_HEAD + 16];
        let body = match address {
            IpAddr::V4(ip) => {
                let (body, _) = room.split_at_mut(RECORD_HEAD + 4);
                lay_out(body, Rtype::A, self.ttl, &ip.octets());
                body
            }
            IpAddr::V6(ip) => {
                lay_out(&mut room, Rtype::AAAA, self.ttl, &ip.octets());
                &mut room[..]
            }
        };
        self.response.record(Section::Additional, self.owner, body).map(|_| ())
    }
}

/// No pool was picked.
#[cold]
pub(super) fn last_resort(
    asked: &Asked<'_>,
    selection: &Selection<'_>,
    ask: Ask,
    here: &Here<'_>,
    response: &mut Response<'_>,
) -> Result<Outcome, Full> {
    match selection.last_resort {
        None | Some(LastResort::Default) => Ok(Outcome::Unsteered),
        Some(LastResort::All | LastResort::Nodata) => Ok(Outcome::Nodata),
        Some(LastResort::Servfail) => {
            response.set_rcode(Rcode::SERVFAIL);
            Ok(Outcome::Next(Next::Done))
        }
        Some(LastResort::Cname(target)) => {
            asked.stats.count(Counter::Steered);
            cname(asked, selection.ttl, target, here, response)
        }
        Some(LastResort::Addresses(v4, v6)) => {
            asked.stats.count(Counter::Steered);
            let mut hand_out = HandOut { ttl: selection.ttl, owner: here.owner(), response };
            match ask {
                Ask::Family(Family::V4) => v4.iter().try_for_each(|ip| hand_out.v4(*ip))?,
                Ask::Family(Family::V6) => v6.iter().try_for_each(|ip| hand_out.v6(*ip))?,
                Ask::Any => {}
            }
            let empty = response.count(Section::Answer) == 0;
            Ok(if empty { Outcome::Nodata } else { Outcome::Next(Next::Done) })
        }
    }
}
