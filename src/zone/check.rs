//! What is wrong with the records of a zone, beyond how they are written.
//!
//! [`Check`] lists what is looked for.
//!
//! Faults of single records (TTL out of range, bad RDATA) are told by [`super::master`].

mod list;

pub use list::Check;

use super::hash::HashKey;
use super::lookup::Lookup;
use super::master::FAULTS_MAX;
use super::node::{CUT, DNAME, GLUE, Node, OCCLUDED};
use super::pack::{RRSET_MAX, same_data};
use super::records::{Part, Record, Records};
use super::{SteeredName, Zone};
use crate::diagnostics::{Diagnostic, Span};
use crate::wire::name::{Name, NameRef};
use crate::wire::types::{Class, Rtype};

/// Checks the records of the zone `origin`, steered as `steered` says.
pub fn check(records: &Records, origin: &Name, steered: &[SteeredName]) -> Vec<Diagnostic> {
    let zone = Zone::compile(origin, records, steered, HashKey::random());
    check_compiled(&zone, records, steered)
}

/// As [`check`], for records compiled already.
pub fn check_compiled(zone: &Zone, records: &Records, steered: &[SteeredName]) -> Vec<Diagnostic> {
    let mut checker = Checker { zone, records, steered, faults: Vec::new(), found: [0; 2] };
    checker.zone();
    let mut faults = checker.faults;
    for (is_error, found) in [false, true].into_iter().zip(checker.found) {
        let last = faults.iter_mut().rfind(|(_, fault)| fault.is_error() == is_error);
        if let (Some((_, last)), more @ 1..) = (last, found.saturating_sub(FAULTS_MAX)) {
            let what = if is_error { "errors" } else { "warnings" };
            last.help = Some(format!("{more} more {what} of this zone are not told"));
        }
    }
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
    /// How many warnings and errors there are, told or not.
    found: [usize; 2],
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
                let fault =
                    self.fault(Check::OtherClass, &record, Part::Class, "only class IN is served");
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
                let fault = self.fault(Check::Outside, &record, Part::Owner, message);
                self.tell(order, fault.help(outside_help(&record, origin)));
                continue;
            };
            last = Some((record.owner, node));
            rows.push(Row { node, order, record });
        }
        rows.sort_by_key(|row| (row.node, row.record.rtype, row.order));
        rows
    }

    /// Z01, Z02, Z03, Z04.
    fn apex(&mut self, rows: &[Row<'r>]) {
        let origin = self.zone.origin();
        let mut first: Option<&Row<'r>> = None;
        for row in rows.iter().filter(|row| row.record.rtype == Rtype::SOA) {
            if row.node != self.zone.apex {
                let message = format!("SOA at {}, which is not the apex", row.record.owner);
                let fault = self.fault(Check::SoaNotAtApex, &row.record, Part::Owner, message);
                self.tell(row.order, fault.help(format!("the zone's apex is {origin}")));
            } else if let Some(first) = first {
                // The same again is told as any duplicate.
                if first.record.rdata == row.record.rdata {
                    continue;
                }
                let fault = self.fault(Check::SecondSoa, &row.record, Part::Type, "a second SOA");
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
            self.missing(Check::NoSoa, format!("the zone {origin} has no SOA record"), help);
        }
        if self.zone.apex_ns().is_none() {
            let help = "add for each server: @ NS <name of the server>";
            self.missing(
                Check::NoNs,
                format!("the zone {origin} has no NS record at its apex"),
                help,
            );
        }
    }

    fn missing(&mut self, check: Check, message: String, help: &str) {
        let fault = match self.records.beginning() {
            Some(span) => Diagnostic::error(message, span),
            None => Diagnostic::unplaced(message),
        };
        self.tell(0, Diagnostic { code: Some(check.code()), ..fault.help(help) });
    }

    /// Z07, Z14, Z15, Z16 and Z21, of the records at one node.
    fn node(&mut self, node: Node<'_>, rows: &[Row<'r>]) {
        if let Some(cname) = rows.iter().find(|row| row.record.rtype == Rtype::CNAME) {
            let stranger = |row: &&Row<'_>| {
                !matches!(row.record.rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC)
            };
            if let Some(other) = rows.iter().find(stranger) {
                let message = format!("{} has a CNAME and other data", cname.record.owner);
                let fault = self
                    .fault(Check::CnameBesideData, &cname.record, Part::Type, message)
                    .label("the CNAME");
                let fault = self.beside(fault, &other.record, "the other data");
                self.tell(
                    cname.order,
                    fault.help(
                        "a name with a CNAME has nothing else; point to the same addresses instead",
                    ),
                );
            }
        }
        let address = |row: &&Row<'_>| matches!(row.record.rtype, Rtype::A | Rtype::AAAA);
        if let Some(row) = rows.iter().find(address)
            && !is_host_name(row.record.owner, self.zone)
        {
            let message = format!("{} is no host name", row.record.owner);
            let fault = self.fault(Check::NoHostName, &row.record, Part::Owner, message);
            self.tell(row.order, fault.help(HOST_NAME_HELP));
        }
        if node.name().is_wildcard() {
            for row in rows {
                if matches!(row.record.rtype, Rtype::NS | Rtype::DNAME) {
                    let message = format!("{} at a wildcard has no meaning", row.record.rtype);
                    let fault = self.fault(Check::Wildcard, &row.record, Part::Type, message);
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

    /// Z14, Z15.
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
            let fault = self.fault(Check::BelowDname, &row.record, Part::Owner, message);
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
        let fault = self.fault(Check::Hidden, &row.record, Part::Type, message);
        self.tell(row.order, fault.help("the name servers of the cut answer for it; only addresses of name servers belong here, as glue"));
    }

    /// Z08, Z09, Z10, Z17, of the records of one type at one node.
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
            let fault = self.fault(Check::TooLarge, &first.record, Part::Type, message);
            self.tell(first.order, fault.label(format!("{size} octets in all")));
            return;
        }
        let mut seen: Vec<&Row<'r>> = Vec::new();
        for row in rows {
            if let Some(same) =
                seen.iter().find(|seen| same_data(rtype, seen.record.rdata, row.record.rdata))
            {
                let message = format!("this {rtype} record is there already");
                let fault = self.fault(Check::Duplicate, &row.record, Part::Rdata, message);
                let fault = self.beside(fault, &same.record, "first here");
                self.tell(row.order, fault);
                continue;
            }
            if matches!(rtype, Rtype::CNAME | Rtype::DNAME)
                && let Some(same) = seen.first()
            {
                let message = format!("a second {rtype} at {}", row.record.owner);
                let fault = self.fault(Check::SeveralAliases, &row.record, Part::Rdata, message);
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
            let fault = self
                .fault(Check::TtlsDiffer, &other.record, Part::Ttl, message)
                .label(seconds(other));
            let fault = self.beside_at(fault, &lowest.record, Part::Ttl, &seconds(lowest));
            self.tell(other.order, fault.help("the lowest is used for all of them"));
        }
    }

    /// Z11, Z12, Z13, Z20, Z21.
    fn target(&mut self, row: &Row<'r>) {
        let record = &row.record;
        let rtype = record.rtype;
        let field = if rtype == Rtype::SRV { 3 } else { usize::from(rtype == Rtype::MX) };
        if let Some(target) = target_of(rtype, record.rdata)
            && !is_host_name(target, self.zone)
        {
            let message = format!("{target}, the target of this {rtype}, is no host name");
            let fault = self.fault(Check::NoHostName, record, Part::Field(field), message);
            self.tell(row.order, fault.help(HOST_NAME_HELP));
        }
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
        let check = match wrong {
            // BIND does not load such a zone either: its own servers cannot be found.
            WrongTarget::Alias | WrongTarget::Empty | WrongTarget::Missing
                if rtype == Rtype::NS && row.node == self.zone.apex =>
            {
                Check::ServerNotFound
            }
            WrongTarget::Alias => Check::AliasTarget,
            WrongTarget::Empty | WrongTarget::Missing => Check::NoAddress,
            WrongTarget::NoGlue => Check::NoGlue,
        };
        let fault = self.fault(check, record, Part::Field(field), message);
        self.tell(row.order, fault.help(help));
    }

    /// Z18, Z19.
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
                let fault = self.fault(Check::SteeredHidden, &hider.record, Part::Type, message);
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
                let fault = self.fault(Check::SteeredBesideData, &row.record, Part::Type, message);
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

    fn fault(
        &self,
        check: Check,
        record: &Record<'_>,
        part: Part,
        message: impl Into<String>,
    ) -> Diagnostic {
        let fault = match self.records.span(record.place, part) {
            Some(span) => Diagnostic::error(message, span),
            None => Diagnostic::unplaced(message),
        };
        Diagnostic { severity: check.severity(), code: Some(check.code()), ..fault }
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
        let found = &mut self.found[usize::from(fault.is_error())];
        *found += 1;
        if *found <= FAULTS_MAX {
            self.faults.push((order, fault));
        }
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
    let owner = node.wire_name();
    let wildcard = owner.starts_with(b"\x01*");
    let (mut alias, mut other) = (false, false);
    for rrset in node.rrsets() {
        alias |= rrset.rtype == Rtype::CNAME;
        other |= !matches!(rrset.rtype, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC);
        let doubtful = match rrset.rtype {
            Rtype::SOA => !node.is_apex() || rrset.count > 1,
            Rtype::CNAME => rrset.count > 1,
            Rtype::DNAME => rrset.count > 1 || wildcard,
            Rtype::NS if wildcard => true,
            Rtype::A | Rtype::AAAA => !are_host_labels(own_labels(owner, zone)),
            Rtype::NS | Rtype::MX | Rtype::SRV => rrset.rdata().any(|rdata| {
                wrong_target(zone, node.name(), rrset.rtype, rdata).is_some()
                    || target_of(rrset.rtype, rdata).is_some_and(|name| !is_host_name(name, zone))
            }),
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
        return !glue || hider(zone, node.name()).is_none_or(|above| !above.is_cut());
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
    let target = target_of(rtype, rdata)?;
    if !target.is_in(zone.origin()) {
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

/// The target of NS, MX or SRV, unless it is the root, which means "no service" (RFC 2782,
/// RFC 7505).
fn target_of(rtype: Rtype, rdata: &[u8]) -> Option<NameRef<'_>> {
    let offset = match rtype {
        Rtype::NS => 0,
        Rtype::MX => 2,
        Rtype::SRV => 6,
        _ => return None,
    };
    let target = NameRef::from_wire(rdata.get(offset..)?).ok()?;
    (!target.is_root()).then_some(target)
}

const HOST_NAME_HELP: &str =
    "the labels of a host name are letters, digits and, inside, hyphens (RFC 1123 section 2.1)";

/// Whether `name` is a host's as RFC 952 and RFC 1123 section 2.1 say; a wildcard may stand in
/// front. Labels of the zone's own name are nobody's to choose here.
fn is_host_name(name: NameRef<'_>, zone: &Zone) -> bool {
    let wire = name.as_wire();
    let labels = if name.is_in(zone.origin()) {
        own_labels(wire, zone)
    } else {
        wire.strip_suffix(&[0]).unwrap_or(wire)
    };
    are_host_labels(labels)
}

/// The labels of `name`, which is in the zone, in front of the zone's own name.
fn own_labels<'n>(name: &'n [u8], zone: &Zone) -> &'n [u8] {
    let own = name.len().saturating_sub(zone.apex().wire_name().len());
    name.get(..own).unwrap_or_default()
}

/// Every address of a zone is asked this when it is loaded.
fn are_host_labels(labels: &[u8]) -> bool {
    let mut rest = labels.strip_prefix(b"\x01*").unwrap_or(labels);
    while let Some((&length, tail)) = rest.split_first() {
        let Some((label, after)) = tail.split_at_checked(usize::from(length)) else {
            return false;
        };
        if label.starts_with(b"-")
            || label.ends_with(b"-")
            || !label.iter().all(|&octet| IN_HOST_NAMES[usize::from(octet)])
        {
            return false;
        }
        rest = after;
    }
    true
}

/// Which octets a label of a host name may have.
const IN_HOST_NAMES: [bool; 256] = {
    let mut may = [false; 256];
    let mut octet = 0_u8;
    while octet < 128 {
        may[octet as usize] = octet.is_ascii_alphanumeric() || octet == b'-';
        octet += 1;
    }
    may
};

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
