//! Messages: queries out, answers in, in a form in which only what matters can differ.

use std::collections::BTreeSet;
use std::fmt;

use crate::name::Name;

/// A question as it is put to every server.
#[derive(Debug, Clone)]
pub struct Question {
    pub name: Name,
    pub qtype: u16,
    /// Flags beside the opcode: RD, AD, CD.
    pub flags: u16,
    /// The size a client tells, and DO.
    pub edns: Option<(u16, bool)>,
}

pub const RD: u16 = 0x0100;
pub const AD: u16 = 0x0020;
pub const CD: u16 = 0x0010;
pub const AA: u16 = 0x0400;
pub const TC: u16 = 0x0200;
pub const RA: u16 = 0x0080;

impl Question {
    /// Its octets.
    pub fn packet(&self, id: u16) -> Vec<u8> {
        let mut packet = id.to_be_bytes().to_vec();
        packet.extend_from_slice(&self.flags.to_be_bytes());
        packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]);
        packet.extend_from_slice(&self.name.wire());
        packet.extend_from_slice(&self.qtype.to_be_bytes());
        packet.extend_from_slice(&[0, 1]);
        if let Some((size, dnssec_ok)) = self.edns {
            packet.extend_from_slice(&[0, 0, 41]);
            packet.extend_from_slice(&size.to_be_bytes());
            packet.extend_from_slice(&[0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
        }
        packet
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, type_name(self.qtype))?;
        for (bit, name) in [(RD, "rd"), (AD, "ad"), (CD, "cd")] {
            if self.flags & bit != 0 {
                write!(f, " {name}")?;
            }
        }
        match self.edns {
            Some((size, dnssec_ok)) => {
                write!(f, " EDNS {size}{}", if dnssec_ok { " do" } else { "" })
            }
            None => Ok(()),
        }
    }
}

/// A record with its names in lower case and written out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rr {
    pub owner: Name,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    /// Names in it written out, in lower case.
    pub rdata: Vec<u8>,
}

impl Rr {
    /// The name its data begins with (NS, CNAME, DNAME).
    pub fn target(&self) -> Name {
        read_name(&self.rdata, 0).map_or_else(|| Name(Vec::new()), |(name, _)| name)
    }
}

impl fmt::Display for Rr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.owner, self.ttl, type_name(self.rtype))?;
        if matches!(self.rtype, NS | CNAME | DNAME | PTR) {
            return write!(f, "{}", self.target());
        }
        self.rdata.iter().take(24).try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// An answer, in the form in which answers are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub rcode: u16,
    /// All flags but QR.
    pub flags: u16,
    pub answer: BTreeSet<Rr>,
    pub authority: BTreeSet<Rr>,
    pub additional: BTreeSet<Rr>,
    /// How many records a section has more than once.
    pub repeated: usize,
    /// Of the OPT record: version and DO.
    pub opt: Option<(u8, bool)>,
}

impl Answer {
    /// Reads a message; `None` when it is malformed, or no answer to `question`.
    pub fn read(packet: &[u8], question: &Question) -> Option<Self> {
        let flags = u16_at(packet, 2)?;
        let asked = question.packet(0);
        let name_end = 12 + question.name.wire().len() + 4;
        // The question comes back in the case it was asked in (RFC 1035 section 4.1.1).
        if packet.get(12..name_end)? != asked.get(12..name_end)?
            || flags & 0x8000 == 0
            || u16_at(packet, 4)? != 1
        {
            return None;
        }
        let mut at = name_end;
        let mut opt = None;
        let (mut extended, mut repeated) = (0, 0);
        let mut sections = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        for (section, records) in sections.iter_mut().enumerate() {
            for _ in 0..u16_at(packet, 6 + 2 * section)? {
                let (record, end) = read_record(packet, at)?;
                at = end;
                if record.rtype == OPT {
                    let [upper, version, flags, _] = record.ttl.to_be_bytes();
                    extended = u16::from(upper) << 4;
                    opt = Some((version, flags & 0x80 != 0));
                } else if !records.insert(record) {
                    repeated += 1;
                }
            }
        }
        if at != packet.len() {
            return None;
        }
        let [answer, authority, additional] = sections;
        let rcode = extended | (flags & 0xf);
        Some(Self { rcode, flags: flags & 0x7ff0, answer, authority, additional, repeated, opt })
    }

    /// Every name a record's owner or a chain's next.
    pub fn names(&self) -> Vec<Name> {
        let records = self.answer.iter().chain(&self.authority).chain(&self.additional);
        let names = records.flat_map(|record| {
            let leads = matches!(record.rtype, CNAME | DNAME);
            std::iter::once(record.owner.clone()).chain(leads.then(|| record.target()))
        });
        names.collect()
    }

    /// Whether a flag is set.
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rcode {}", self.rcode)?;
        for (bit, name) in [(AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (AD, "ad"), (CD, "cd")]
        {
            if self.has(bit) {
                write!(f, " {name}")?;
            }
        }
        writeln!(f, " opt {:?}", self.opt)?;
        let sections = [
            ("answer", &self.answer),
            ("authority", &self.authority),
            ("additional", &self.additional),
        ];
        for (name, section) in sections {
            for record in section.iter().take(12) {
                writeln!(f, "        {name}: {record}")?;
            }
            if section.len() > 12 {
                writeln!(f, "        {name}: and {} more", section.len() - 12)?;
            }
        }
        Ok(())
    }
}

pub const SERVFAIL: u16 = 2;
pub const NXDOMAIN: u16 = 3;
pub const YXDOMAIN: u16 = 6;

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
pub const DNAME: u16 = 39;
pub const OPT: u16 = 41;
pub const DS: u16 = 43;
pub const NSEC: u16 = 47;
pub const ANY: u16 = 255;

/// Types that are made or asked for.
pub const TYPES: [(&str, u16); 25] = [
    ("A", A),
    ("NS", NS),
    ("CNAME", CNAME),
    ("SOA", SOA),
    ("PTR", PTR),
    ("AAAA", AAAA),
    ("DNAME", DNAME),
    ("DS", DS),
    ("ANY", ANY),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("SSHFP", 44),
    ("NSEC", NSEC),
    ("DNSKEY", 48),
    ("TLSA", 52),
    ("SPF", 99),
    ("CAA", 257),
    ("TYPE65400", 65_400),
    ("TYPE65534", 65_534),
];

/// A type's mnemonic.
pub fn type_name(rtype: u16) -> String {
    let known = TYPES.iter().find(|(_, number)| *number == rtype);
    known.map_or_else(|| format!("TYPE{rtype}"), |(name, _)| (*name).to_owned())
}

/// A type's number.
pub fn type_number(name: &str) -> u16 {
    TYPES.iter().find(|(known, _)| *known == name).expect("a type of this test").1
}

fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

/// The record at `at`, and where it ends.
fn read_record(packet: &[u8], at: usize) -> Option<(Rr, usize)> {
    let (owner, at) = read_name(packet, at)?;
    let (rtype, class) = (u16_at(packet, at)?, u16_at(packet, at + 2)?);
    let ttl = u32::from(u16_at(packet, at + 4)?) << 16 | u32::from(u16_at(packet, at + 6)?);
    let start = at + 10;
    let end = start + usize::from(u16_at(packet, at + 8)?);
    packet.get(start..end)?;
    Some((Rr { owner, rtype, class, ttl, rdata: read_rdata(packet, rtype, start, end)? }, end))
}

/// RDATA with its names written out and in lower case.
fn read_rdata(packet: &[u8], rtype: u16, start: usize, end: usize) -> Option<Vec<u8>> {
    // Octets before the first name, and how many names.
    let (before, names) = match type_name(rtype).as_str() {
        "NS" | "CNAME" | "PTR" | "DNAME" => (0, 1),
        "SOA" | "RP" => (0, 2),
        "MX" | "AFSDB" => (2, 1),
        "SRV" => (6, 1),
        "NAPTR" => {
            let mut at = start + 4;
            for _ in 0..3 {
                at += 1 + usize::from(*packet.get(at)?);
            }
            (at - start, 1)
        }
        _ => (end - start, 0),
    };
    let mut at = start + before;
    let mut rdata = packet.get(start..at)?.to_vec();
    for _ in 0..names {
        let (name, after) = read_name(packet, at)?;
        rdata.extend(name.wire());
        at = after;
    }
    rdata.extend_from_slice(packet.get(at..end)?);
    Some(rdata)
}

/// The name at `at` in lower case, and where it ends.
fn read_name(packet: &[u8], at: usize) -> Option<(Name, usize)> {
    let (mut labels, mut at, mut end) = (Vec::new(), at, None);
    for _ in 0..256 {
        let length = usize::from(*packet.get(at)?);
        match length {
            0 => return Some((Name(labels), end.unwrap_or(at + 1))),
            1..=63 => {
                labels.push(packet.get(at + 1..at + 1 + length)?.to_ascii_lowercase());
                at += 1 + length;
            }
            0xc0.. => {
                end.get_or_insert(at + 2);
                at = usize::from(u16_at(packet, at)? & 0x3fff);
            }
            _ => return None,
        }
    }
    None
}
