//! What is wrong with the records of a zone, beyond how they are written.
//!
//! | number | what | |
//! |---|---|---|
//! | 1 | no SOA | error |
//! | 2 | several SOA | error |
//! | 3 | SOA not at the apex | error |
//! | 4 | no NS at the apex | error |
//! | 5 | a record outside the zone | error |
//! | 6 | a class other than IN | error |
//! | 7 | CNAME beside other data (RFC 2181 section 10.1) | error |
//! | 8 | several CNAMEs or DNAMEs at one name | error |
//! | 9 | a duplicate record: left out (RFC 2181 section 5) | warning |
//! | 10 | TTLs of one RRset differ: the lowest is used (RFC 2181 section 5.2) | warning |
//! | 11 | the target of NS, MX or SRV has no address in this zone | warning |
//! | 12 | a name server below its own cut has no glue | warning |
//! | 13 | the target of NS, MX or SRV is a CNAME (RFC 2181 section 10.3) | warning |
//! | 14 | data at or below a cut that is never answered | warning |
//! | 15 | data below a DNAME (RFC 6672 section 2.4) | error |
//! | 16 | NS or DNAME at a wildcard (RFC 4592 sections 4.2, 4.4) | warning |
//! | 17 | an RRset too large for any message | error |
//! | 18 | a steered name at or below a cut or below a DNAME | error |
//! | 19 | a name steered to a CNAME has other data than addresses | error |
//!
//! Faults of single records (TTL out of range, bad RDATA) are told by [`super::master`].

use super::hash::HashKey;
use super::lookup::Lookup;
use super::node::{CUT, DNAME, GLUE, Node, OCCLUDED};
use super::pack::RRSET_MAX;
use super::records::{Part, Record, Records};
use super::{SteeredName, Zone};
use crate::diagnostics::{Diagnostic, Severity, Span};
use crate::wire::name::{Name, NameRef};
use crate::wire::types::{Class, Rtype};

/// Checks the records of the zone `origin`, steered as `steered` says.
pub fn check(records: &Records, origin: &Name, steered: &[SteeredName]) -> Vec<Diagnostic> {
    let zone = Zone::compile(origin, records, steered, HashKey::random());
    check_compiled(&zone, records, steered)
}

/// As [`check`], for records compiled already.
pub fn check_compiled(zone: &Zone, records: &Records, steered: &[SteeredName]) -> Vec<Diagnostic> {
    let mut checker = Checker { zone, records, steered, faults: Vec::new() };
    checker.zone();
    let mut faults = checker.faults;
    faults.sort_by_key(|(order, _)| *order);
    faults.into_iter().map(|(_, fault)| fault).collect()
}

/// Where a fault stands in the order of the records.
type Order = usize;

struct Checker<'r> {
    zone: &'r Zone,
    records: &'r Records,
    steered: &'r [SteeredName],
    faults: Vec<(Order, Diagnostic)>,
}

/// A record and its place in the order of reading.
#[derive(Clone, Copy)]
struct Row<'r> {
    node: u32,
    order: Order,
    record: Record<'r>,
}

impl<'r> Checker<'r> {
    fn zone(&mut self) {
        let rows = self.rows();
        self.apex(&rows);
        for same_node in rows.chunk_by(|a, b| a.node == b.node) {
            let node = Node::at(&self.zone.arena, same_node[0].node as usize);
            self.node(node, same_node);
            for rrset in same_node.chunk_by(|a, b| a.record.rtype == b.record.rtype) {
                self.rrset(rrset);
                for row in rrset {
                    self.target(row);
                }
            }
        }
        for number in 0..self.steered.len() {
            self.steered_name(number, &rows);
        }
    }

    /// The records that belong to the zone, by node and type; the others are told here.
    fn rows(&mut self) -> Vec<Row<'r>> {
        let mut rows: Vec<Row<'r>> = Vec::with_capacity(self.records.len());
        let origin = self.zone.origin();
        let mut last: Option<(NameRef<'r>, u32)> = None;
        for (order, record) in self.records.iter().enumerate() {
            if record.class != Class::IN {
                let fault = self.error(&record, Part::Class, "only class IN is served");
                self.tell(order, fault.label(format!("class {}", record.class.0)));
                continue;
            }
            let node = match last {
                Some((owner, node)) if owner.as_wire() == record.owner.as_wire() => Some(node),
                _ if record.owner.is_in(origin) => self.zone.place(record.owner),
                _ => None,
            };
            let Some(node) = node else {
                let message = format!("{} is outside the zone {origin}", record.owner);
                let fault = self.error(&record, Part::Owner, message);
                self.tell(order, fault.help(outside_help(&record, origin)));
                continue;
            };
            last = Some((record.owner, node));
            rows.push(Row { node, order, record });
        }
        rows.sort_by_key(|row| (row.node, row.record.rtype, row.order));
        rows
    }

    /// 1, 2, 3, 4.
    fn apex(&mut self, rows: &[Row<'r>]) {
        let origin = self.zone.origin();
        let mut first: Option<&Row<'r>> = None;
        for row in rows.iter().filter(|row| row.record.rtype == Rtype::SOA) {
            if row.node != self.zone.apex {
                let message = format!("SOA at {}, which is not the apex", row.record.owner);
                let fault = self.error(&row.record, Part::Owner, message);
                self.tell(row.order, fault.help(format!("the zone's apex is {origin}")));
            } else if let Some(first) = first {
                let fault = self.error(&row.record, Part::Type, "a second SOA");
                let fault = self.beside(fault, &first.record, "the first one");
                self.tell(row.order, fault.help("a zone has exactly one SOA"));
            } else {
                first = Some(row);
            }
        }
        if self.records.is_incomplete() {
            return;
        }
        if first.is_none() {
            let help = "begin with: @ SOA <primary server> <mailbox> 1 1h 15m 2w 5m";
            self.missing(format!("the zone {origin} has no SOA record"), help);
        }
        if self.zone.apex_ns().is_none() {
            let help = "add for each server: @ NS <name of the server>";
            self.missing(format!("the zone {origin} has no NS record at its apex"), help);
        }
    }

    fn missing(&mut self, message: String, help: &str) {
        let fault = match self.records.beginning() {
            Some(span) => Diagnostic::error(message, span),
            None => Diagnostic::unplaced(message),
        };
        self.tell(0, fault.help(help));
    }

    /// 7, 14, 15, 16, of the records at one node.
    fn node(&mut self, node: Node<'_>, rows: &[Row<'r>]) {
        if let Some(cname) = rows.iter().find(|row| row.record.rtype == Rtype::CNAME) {
            let stranger = |row: &&Row<'_>| {
                !matches!(row.record.rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC)
            };
            if let Some(other) = rows.iter().find(stranger) {
                let message = format!("{} has a CNAME and other data", cname.record.owner);
                let fault = self.error(&cname.record, Part::Type, message).label("the CNAME");
                let fault = self.beside(fault, &other.record, "the other data");
                self.tell(
                    cname.order,
                    fault.help(
                        "a name with a CNAME has nothing else; point to the same addresses instead",
                    ),
                );
            }
        }
        if node.name().is_wildcard() {
            for row in rows {
                if matches!(row.record.rtype, Rtype::NS | Rtype::DNAME) {
                    let message = format!("{} at a wildcard has no meaning", row.record.rtype);
                    let fault = self.warning(&row.record, Part::Type, message);
                    self.tell(row.order, fault.help("it is answered like any other data"));
                }
            }
        }
        if node.is_occluded() || node.is_cut() {
            for row in rows {
                self.hidden(node, row);
            }
        }
    }

    /// 14, 15.
    fn hidden(&mut self, node: Node<'_>, row: &Row<'r>) {
        let rtype = row.record.rtype;
        let at_cut = !node.is_occluded();
        if at_cut && matches!(rtype, Rtype::NS | Rtype::DS | Rtype::RRSIG | Rtype::NSEC) {
            return;
        }
        let Some(above) = hider(self.zone, row.record.owner) else {
            return;
        };
        let owner = row.record.owner;
        if above.has(DNAME) && !above.is_cut() {
            let message = format!("{owner} is below the DNAME at {}", above.name());
            let fault = self.error(&row.record, Part::Owner, message);
            self.tell(
                row.order,
                fault.help("nothing may stand below a DNAME; it redirects every name there"),
            );
            return;
        }
        let glue = matches!(rtype, Rtype::A | Rtype::AAAA) && node.has(GLUE);
        // Below a steered cut, the pool's own name servers answer; the zone file stays the
        // default.
        if glue || !above.is_cut() {
            return;
        }
        let place = if at_cut { "at" } else { "below" };
        let message = format!("{rtype} {place} the zone cut {} is never answered", above.name());
        let fault = self.warning(&row.record, Part::Type, message);
        self.tell(row.order, fault.help("the name servers of the cut answer for it; only addresses of name servers belong here, as glue"));
    }

    /// 8, 9, 10, 17, of the records of one type at one node.
    fn rrset(&mut self, rows: &[Row<'r>]) {
        let first = &rows[0];
        let size: usize = rows.iter().map(|row| 12 + row.record.rdata.len()).sum();
        let rtype = first.record.rtype;
        if size > RRSET_MAX {
            let message = format!(
                "{} {rtype} records at {} are too large for any message",
                rows.len(),
                first.record.owner
            );
            let fault = self.error(&first.record, Part::Type, message);
            self.tell(first.order, fault.label(format!("{size} octets in all")));
            return;
        }
        let mut seen: Vec<&Row<'r>> = Vec::new();
        for row in rows {
            if let Some(same) = seen.iter().find(|seen| seen.record.rdata == row.record.rdata) {
                let message = format!("this {rtype} record is there already");
                let fault = self.warning(&row.record, Part::Rdata, message);
                let fault = self.beside(fault, &same.record, "first here");
                self.tell(row.order, fault);
                continue;
            }
            if matches!(rtype, Rtype::CNAME | Rtype::DNAME)
                && let Some(same) = seen.first()
            {
                let message = format!("a second {rtype} at {}", row.record.owner);
                let fault = self.error(&row.record, Part::Rdata, message);
                let fault = self.beside(fault, &same.record, "the first one");
                self.tell(row.order, fault.help(format!("a name has one {rtype} at most")));
            }
            seen.push(row);
        }
        let lowest = rows.iter().min_by_key(|row| row.record.ttl).unwrap_or(first);
        let other = rows.iter().find(|row| row.record.ttl != lowest.record.ttl);
        if let (Some(other), false) = (other, rtype == Rtype::RRSIG) {
            let message = format!("the TTLs of {} {rtype} differ", first.record.owner);
            let seconds = |row: &Row<'_>| format!("{} s", row.record.ttl.seconds());
            let fault = self.warning(&other.record, Part::Ttl, message).label(seconds(other));
            let fault = self.beside_at(fault, &lowest.record, Part::Ttl, &seconds(lowest));
            self.tell(other.order, fault.help("the lowest is used for all of them"));
        }
    }

    /// 11, 12, 13.
    fn target(&mut self, row: &Row<'r>) {
        let record = &row.record;
        let rtype = record.rtype;
        let Some((wrong, target)) = wrong_target(self.zone, record.owner, rtype, record.rdata)
        else {
            return;
        };
        if matches!(wrong, WrongTarget::Empty | WrongTarget::Missing)
            && self.records.is_incomplete()
        {
            return;
        }
        let what = format!("{target}, the target of this {rtype},");
        let (message, help) = match wrong {
            WrongTarget::Alias => (
                format!("{what} is a CNAME"),
                format!("resolvers need not follow it; let {rtype} name a host with addresses"),
            ),
            WrongTarget::Empty => {
                (format!("{what} has no address"), format!("add: {target} A <address>"))
            }
            WrongTarget::Missing => {
                (format!("{what} does not exist"), format!("add: {target} A <address>"))
            }
            WrongTarget::NoGlue => (
                format!("{target} is below the zone cut it serves and has no glue"),
                format!("nobody can find it; add: {target} A <address>"),
            ),
        };
        let field = if rtype == Rtype::SRV { 3 } else { usize::from(rtype == Rtype::MX) };
        let fault = self.warning(record, Part::Field(field), message);
        self.tell(row.order, fault.help(help));
    }

    /// 18, 19.
    fn steered_name(&mut self, number: usize, rows: &[Row<'r>]) {
        let steered = &self.steered[number];
        let owner = &steered.owner;
        let Some(place) = self.zone.place(owner.as_ref()) else {
            return;
        };
        let node = Node::at(&self.zone.arena, place as usize);
        let start = rows.partition_point(|row| row.node < place);
        let own = rows[start..].iter().take_while(|row| row.node == place);
        if node.is_cut() || node.is_occluded() {
            let above = hider(self.zone, owner.as_ref()).filter(|above| !above.is_steered_cut());
            let hider = above.and_then(|above| {
                let rtype = if above.is_cut() { Rtype::NS } else { Rtype::DNAME };
                rows.iter()
                    .find(|row| row.record.rtype == rtype && row.record.owner == above.name())
            });
            if let Some(hider) = hider {
                let rtype = hider.record.rtype;
                let message =
                    format!("the steered name {owner} is never answered because of this {rtype}");
                let fault = self.error(&hider.record, Part::Type, message);
                let what = if rtype == Rtype::NS { "a zone cut" } else { "a redirection" };
                self.tell(hider.order, fault.label(what));
            }
        }
        for row in own {
            let rtype = row.record.rtype;
            let address = matches!(rtype, Rtype::A | Rtype::AAAA | Rtype::CNAME);
            if steered.cname && !address && !matches!(rtype, Rtype::RRSIG | Rtype::NSEC) {
                let message =
                    format!("{owner} is steered to a CNAME, and {rtype} cannot stand beside one");
                let fault = self.error(&row.record, Part::Type, message);
                self.tell(
                    row.order,
                    fault.help(
                        "use pools with members at this name, or move the other data elsewhere",
                    ),
                );
                break;
            }
        }
    }

    fn error(&self, record: &Record<'_>, part: Part, message: impl Into<String>) -> Diagnostic {
        self.fault(Severity::Error, record, part, message.into())
    }

    fn warning(&self, record: &Record<'_>, part: Part, message: impl Into<String>) -> Diagnostic {
        self.fault(Severity::Warning, record, part, message.into())
    }

    fn fault(
        &self,
        severity: Severity,
        record: &Record<'_>,
        part: Part,
        message: String,
    ) -> Diagnostic {
        let fault = match self.records.span(record.place, part) {
            Some(span) => Diagnostic::error(message, span),
            None => Diagnostic::unplaced(message),
        };
        Diagnostic { severity, ..fault }
    }

    fn beside(&self, fault: Diagnostic, other: &Record<'_>, text: &str) -> Diagnostic {
        self.beside_at(fault, other, Part::Type, text)
    }

    fn beside_at(
        &self,
        fault: Diagnostic,
        other: &Record<'_>,
        part: Part,
        text: &str,
    ) -> Diagnostic {
        let span: Option<Span> = self.records.span(other.place, part);
        match span {
            Some(span) => fault.related(span, text),
            None => fault,
        }
    }

    fn tell(&mut self, order: Order, fault: Diagnostic) {
        self.faults.push((order, fault));
    }
}

/// The owners, as hashes, whose records need a closer look: at least those with a fault that
/// can be seen in the compiled zone, which leaves out what [`super::compile::Built`] tells.
pub(super) fn doubtful(zone: &Zone, steered: &[SteeredName]) -> Vec<u64> {
    let mut doubtful = Vec::new();
    let apex = zone.apex();
    if apex.rrset(Rtype::SOA).is_none() || apex.rrset(Rtype::NS).is_none() {
        doubtful.push(hash_of(zone, apex));
    }
    doubtful.extend(zone.nodes().filter(|node| is_doubtful(zone, *node)).map(|n| hash_of(zone, n)));
    for name in steered {
        let lower = name.owner.to_lowercase();
        let hash = zone.key.hash(lower.as_wire());
        let Some(node) = zone.find(hash, lower.as_wire()) else { continue };
        let above = if node.has(CUT | OCCLUDED) { hider(zone, lower.as_ref()) } else { None };
        doubtful.extend(above.map(|above| hash_of(zone, above)));
        if above.is_some() || name.cname {
            doubtful.push(hash);
        }
    }
    doubtful
}

fn hash_of(zone: &Zone, node: Node<'_>) -> u64 {
    zone.key.hash(node.wire_name())
}

fn is_doubtful(zone: &Zone, node: Node<'_>) -> bool {
    let owner = node.name();
    let (mut alias, mut other) = (false, false);
    for rrset in node.rrsets() {
        alias |= rrset.rtype == Rtype::CNAME;
        other |= !matches!(rrset.rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC);
        let doubtful = match rrset.rtype {
            Rtype::SOA => !node.is_apex() || rrset.count > 1,
            Rtype::CNAME => rrset.count > 1,
            Rtype::DNAME => rrset.count > 1 || owner.is_wildcard(),
            Rtype::NS if owner.is_wildcard() => true,
            Rtype::NS | Rtype::MX | Rtype::SRV => {
                rrset.rdata().any(|rdata| wrong_target(zone, owner, rrset.rtype, rdata).is_some())
            }
            _ => false,
        };
        if doubtful {
            return true;
        }
    }
    if alias && other {
        return true;
    }
    if node.is_occluded() {
        let address = |rtype| matches!(rtype, Rtype::A | Rtype::AAAA);
        let glue = node.has(GLUE) && node.rrsets().all(|rrset| address(rrset.rtype));
        return !glue || hider(zone, owner).is_none_or(|above| !above.is_cut());
    }
    let beside = |rtype| matches!(rtype, Rtype::NS | Rtype::DS | Rtype::RRSIG | Rtype::NSEC);
    node.is_cut() && !node.rrsets().all(|rrset| beside(rrset.rtype))
}

/// What is wrong with the target of NS, MX or SRV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WrongTarget {
    /// It is a CNAME.
    Alias,
    /// It exists, without an address.
    Empty,
    /// It does not exist.
    Missing,
    /// It is a name server below the cut it serves, without an address.
    NoGlue,
}

/// What is wrong with the target in `rdata`, and the target, if it is this zone's to know.
fn wrong_target<'r>(
    zone: &Zone,
    owner: NameRef<'_>,
    rtype: Rtype,
    rdata: &'r [u8],
) -> Option<(WrongTarget, NameRef<'r>)> {
    let offset = match rtype {
        Rtype::NS => 0,
        Rtype::MX => 2,
        Rtype::SRV => 6,
        _ => return None,
    };
    let target = NameRef::from_wire(rdata.get(offset..)?).ok()?;
    // The root as target means "no service" (RFC 2782, RFC 7505).
    if target.is_root() || !target.is_in(zone.origin()) {
        return None;
    }
    let lower = target.as_wire().to_ascii_lowercase();
    let wrong = match zone.search(&lower, Rtype::A) {
        Lookup::Found(node) | Lookup::Wildcard { node, .. } => {
            if node.rrset(Rtype::CNAME).is_some() {
                WrongTarget::Alias
            } else if node.steered().is_some() || has_address(node) {
                return None;
            } else {
                WrongTarget::Empty
            }
        }
        Lookup::NxDomain { .. } => WrongTarget::Missing,
        Lookup::Referral { cut, .. } => {
            let own = owner == cut.name() && rtype == Rtype::NS;
            let (a, aaaa) = zone.addresses(target.as_wire());
            if !own || a.is_some() || aaaa.is_some() {
                return None;
            }
            WrongTarget::NoGlue
        }
        Lookup::SteeredCut { .. } | Lookup::Dname { .. } => return None,
    };
    Some((wrong, target))
}

/// The topmost cut, DNAME or steered cut at or above `name`.
fn hider<'z>(zone: &'z Zone, name: NameRef<'_>) -> Option<Node<'z>> {
    let lower = name.as_wire().to_ascii_lowercase();
    match zone.search(&lower, Rtype::A) {
        Lookup::Referral { cut: node, .. }
        | Lookup::SteeredCut { node, .. }
        | Lookup::Dname { node, .. } => Some(node),
        Lookup::Found(_) | Lookup::Wildcard { .. } | Lookup::NxDomain { .. } => None,
    }
}

fn has_address(node: Node<'_>) -> bool {
    node.rrset(Rtype::A).is_some() || node.rrset(Rtype::AAAA).is_some()
}

/// The usual reason is a forgotten or a superfluous dot.
fn outside_help(record: &Record<'_>, origin: NameRef<'_>) -> String {
    let text = record.owner.to_string();
    let relative = text.trim_end_matches('.');
    format!("if {relative}.{origin} is meant, leave out the dot at the end")
}
