//! `srv = { … }` and `mx = { … }` of records and pools (RFC 2782, RFC 5321 section 5.1), and the
//! texts of pools.

use super::decode::{Faults, Node};
use super::offers::HostName;
use super::terms;
use crate::diagnostics::{Diagnostic, Span};
use crate::steer::service::{Host, Texts};
use crate::wire::name::{Name, NameRef};
use crate::wire::types::Rtype;
use crate::zone::Zone;
use crate::zone::lookup::Lookup;

/// What stands in `srv` or `mx`.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) place: Span,
    /// Priority or preference.
    rank: Option<u16>,
    weight: Option<u16>,
    port: Option<u16>,
    /// All hosts have one rank.
    pub(super) spread: bool,
    /// The record under which the pools have names, where it is not this one.
    pub(super) names: Option<(Name, Span)>,
    sound: bool,
}

/// Reads such a table, of a record or of a pool.
pub(super) fn read(
    node: &Node,
    rtype: Rtype,
    of_pool: bool,
    origin: NameRef<'_>,
    faults: &mut Faults,
) -> Option<Written> {
    let is_srv = rtype == Rtype::SRV;
    let mut fields = node.fields(if is_srv { "an SRV record" } else { "an MX record" }, faults)?;
    let mut sound = true;
    let mut number = |node: Option<&Node>, low, faults: &mut Faults| {
        let number = node?.integer(low..=i64::from(u16::MAX), faults);
        sound &= number.is_some();
        number
    };
    let rank = fields.get(if is_srv { "priority" } else { "preference" });
    let rank = number(rank, 0, faults);
    let (mut weight, mut port) = (None, None);
    if is_srv {
        weight = number(fields.get("weight"), 0, faults);
        port = number(fields.get("port"), 1, faults);
    }
    let mut written =
        Written { place: node.span.clone(), rank, weight, port, spread: false, names: None, sound };
    if !of_pool {
        if let Some(node) = fields.get("spread") {
            written.spread = node.boolean(faults).unwrap_or(false);
        }
        if let Some(node) = fields.get("names") {
            let name = terms::name(node, origin, faults);
            written.sound &= name.is_some();
            written.names = name.map(|name| (name, node.span.clone()));
        }
    }
    fields.finish(faults);
    Some(written)
}

impl Written {
    /// The record of a pool whose host is `target`: what the pool says wins. `share` is its weight
    /// under the record's policy.
    pub(super) fn host(
        &self,
        pool: Option<&Self>,
        rtype: Rtype,
        target: &Name,
        share: u32,
        faults: &mut Faults,
    ) -> Option<Host> {
        let own = |of: fn(&Self) -> Option<u16>| pool.and_then(of).or_else(|| of(self));
        if !self.sound || pool.is_some_and(|pool| !pool.sound) {
            return None;
        }
        let rank = own(|written| written.rank);
        if rtype != Rtype::SRV {
            return Some(Host { rank: rank.unwrap_or(10), rest: target.as_wire().into() });
        }
        let Some(port) = own(|written| written.port) else {
            let fault = Diagnostic::error("an SRV record needs 'port'", self.place.clone());
            faults.push(fault.help("write srv = { port = 443 }"));
            return None;
        };
        // Alone at its priority a host has nobody to share with (RFC 2782: then weight 0).
        let share = if self.spread { share.min(u32::from(u16::MAX)) as u16 } else { 0 };
        let weight = own(|written| written.weight).unwrap_or(share);
        let rest = [&weight.to_be_bytes(), &port.to_be_bytes(), target.as_wire()].concat();
        Some(Host { rank: rank.unwrap_or(0), rest: rest.into() })
    }
}

/// A host of SRV or MX that lies in this zone must have addresses there, and not be an alias
/// (RFC 2782, RFC 5321 section 5.1).
pub(super) fn are_hosts(hosts: &[HostName], zone: &Zone, faults: &mut Faults) {
    for HostName { name, rtype, place, .. } in hosts.iter().filter(|host| host.of_record.is_none())
    {
        if !name.as_ref().is_in(zone.origin()) {
            continue;
        }
        let lower = name.to_lowercase();
        let node = match zone.search(lower.as_wire(), Rtype::A) {
            Lookup::Found(node) | Lookup::Wildcard { node, .. } => node,
            Lookup::NxDomain { .. } => {
                let fault = Diagnostic::error(format!("there is no host {name}"), place.clone());
                faults.push(fault.label("the pools' host names are told here"));
                continue;
            }
            // Somebody else's to say.
            Lookup::Referral { .. } | Lookup::SteeredCut { .. } | Lookup::Dname { .. } => continue,
        };
        if node.rrset(Rtype::CNAME).is_some() {
            let message = format!("{name} is an alias, and {rtype} must name a host");
            let fault = Diagnostic::error(message, place.clone());
            faults.push(fault.help("name what the alias leads to"));
        } else if node.steered().is_none()
            && node.rrset(Rtype::A).is_none()
            && node.rrset(Rtype::AAAA).is_none()
        {
            let fault = Diagnostic::error(format!("{name} has no addresses"), place.clone());
            faults.push(fault.help("add A and AAAA records of that name to the zone file"));
        }
    }
}

/// `txt = ["…"]`: one record for each text, in pieces of 255 octets (RFC 1035 section 3.3.14).
pub(super) fn texts(node: &Node, faults: &mut Faults) -> Option<Texts> {
    let items = node.one_or_list();
    if items.is_empty() {
        faults.push(node.error("no texts").help("write at least one, or leave the key out"));
        return None;
    }
    let mut records = Vec::new();
    for item in items {
        let text = item.text(faults)?;
        if text.len() > TEXT_MAX {
            let message = format!("a text of {} octets", text.len());
            faults.push(item.error(message).label(format!("at most {TEXT_MAX}")));
            return None;
        }
        let mut rdata = Vec::with_capacity(text.len() + 9);
        for piece in text.as_bytes().chunks(255) {
            rdata.push(piece.len() as u8);
            rdata.extend_from_slice(piece);
        }
        if text.is_empty() {
            rdata.push(0);
        }
        records.push(rdata.into());
    }
    Some(records.into())
}

/// Most octets of one text.
const TEXT_MAX: usize = 2000;
