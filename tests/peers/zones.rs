//! Makes zones nobody would write: every construct beside every other one, over few labels, so
//! that they meet.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use crate::name::Name;
use crate::random::Random;

/// A few zones that belong together: a parent, and perhaps children and grandchildren.
pub struct Family {
    /// The zones, the topmost first.
    pub zones: Vec<Zone>,
}

/// One zone, as all servers load it.
pub struct Zone {
    /// Its apex.
    pub apex: Name,
    /// Its records, SOA first.
    pub records: Vec<Record>,
}

/// One record.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose it is.
    pub owner: Name,
    /// In seconds.
    pub ttl: u32,
    /// Mnemonic of its type.
    pub rtype: &'static str,
    /// As in a master file.
    pub rdata: String,
    /// The name in its data, where that matters.
    pub target: Option<Name>,
}

/// Labels that meet often.
const USUAL: [&[u8]; 4] = [b"a", b"b", b"c", b"ns"];

/// Labels that are hard to write or to compare.
const ODD: [&[u8]; 12] = [
    b"MiXed",
    b"_tcp",
    b"dot.ted",
    b"\0\xff",
    b" ",
    b"\"",
    b"(x)",
    b";",
    b"\\",
    b"@",
    b"**",
    b"a-label-as-long-as-labels-may-be-which-is-sixty-three-octets-yes",
];

/// Types of plain data.
const PLAIN: [&str; 15] = [
    "A",
    "AAAA",
    "TXT",
    "MX",
    "SRV",
    "PTR",
    "CAA",
    "HINFO",
    "NAPTR",
    "SSHFP",
    "TLSA",
    "AFSDB",
    "RP",
    "SPF",
    "TYPE65400",
];

impl Family {
    /// Family number `number` of those of `seed`; chains may lead into `others` families.
    pub fn generate(seed: u64, number: usize, others: usize) -> Self {
        let mut random = Random::new(seed, number as u64);
        let top = Name::plain(&format!("f{number}.test"));
        let mut apexes = vec![top];
        while apexes.len() < 4 && random.chance(45) {
            let above = random.pick(&apexes).clone();
            // Every configuration language has its own way to escape odd octets; these need none.
            let mut below = above;
            for _ in 0..=random.below(2) {
                below = below.child(random.pick::<&[u8]>(&USUAL)).expect("these are short");
            }
            if !apexes.contains(&below) {
                apexes.push(below);
            }
        }
        let mut zones: Vec<Zone> = apexes
            .iter()
            .map(|apex| {
                Maker { random: &mut random, apex, apexes: &apexes, others, records: Vec::new() }
                    .zone()
            })
            .collect();
        // NSD has one tree for all zones, and refuses a DNAME in one above data in another.
        let owners: Vec<Name> = zones
            .iter()
            .flat_map(|zone| &zone.records)
            .map(|record| record.owner.clone())
            .collect();
        for zone in &mut zones {
            zone.records.retain(|record| {
                record.rtype != "DNAME" || !owners.iter().any(|owner| owner.is_below(&record.owner))
            });
        }
        Self { zones }
    }
}

/// A name in `apex` with up to `depth` more labels, one at least.
fn some_name(random: &mut Random, apex: &Name, depth: usize) -> Name {
    let mut name = apex.clone();
    for _ in 0..=random.below(depth) {
        let label = match random.below(100) {
            0..=69 => *random.pick(&USUAL),
            70..=84 => b"*",
            _ => &random.pick(&ODD)[..],
        };
        let label = &label[..label.len().min(63)];
        name = name.child(label).unwrap_or(name);
    }
    name
}

struct Maker<'a> {
    random: &'a mut Random,
    apex: &'a Name,
    apexes: &'a [Name],
    others: usize,
    records: Vec<Record>,
}

impl Maker<'_> {
    fn zone(mut self) -> Zone {
        let apex = self.apex.clone();
        let (ttl, minimum) = (60 * self.random.below(9), 30 * self.random.below(30));
        self.add(&apex, "SOA", format!("ns.{apex} host.{apex} 7 3600 600 86400 {minimum}"), None);
        self.records[0].ttl = ttl as u32;
        // BIND loads no zone whose own name servers have no address in it.
        let server = apex.child(b"server").expect("apexes are short");
        self.add(&apex, "NS", server.to_string(), Some(server.clone()));
        self.add(&server, "A", "192.0.2.253".to_owned(), None);
        if self.random.chance(50) {
            let away = Name::plain("ns.elsewhere.example");
            self.add(&apex, "NS", away.to_string(), Some(away));
        }
        self.delegations_to_own();
        for _ in 0..4 + self.random.below(22) {
            let owner = self.owner();
            match self.random.below(100) {
                0..=44 => self.plain(&owner),
                45..=61 => self.alias(&owner),
                62..=77 => self.cut(&owner),
                78..=87 => self.redirection(&owner),
                88..=91 => self.big(&owner),
                _ => {
                    let wild = owner.child(b"*").unwrap_or(owner);
                    if self.random.chance(60) { self.plain(&wild) } else { self.alias(&wild) }
                }
            }
        }
        Zone { apex, records: tidied(self.records, self.apex) }
    }

    /// Cuts where another zone of the family begins, mostly.
    fn delegations_to_own(&mut self) {
        let apexes = self.apexes;
        for below in apexes {
            if below.is_below(self.apex) && self.random.chance(75) {
                self.cut(below);
            }
        }
    }

    fn owner(&mut self) -> Name {
        if self.random.chance(5) {
            return self.apex.clone();
        }
        if self.random.chance(35) {
            let taken = self.random.pick(&self.records).owner.clone();
            return some_name(self.random, &taken, 1);
        }
        some_name(self.random, self.apex, 3)
    }

    /// Where something leads: into this zone, its family, another family, or away.
    fn target(&mut self) -> Name {
        match self.random.below(100) {
            0..=34 => self.random.pick(&self.records).owner.clone(),
            35..=64 => self.owner(),
            65..=79 => {
                let apex = self.random.pick(self.apexes).clone();
                if self.random.chance(20) { apex } else { some_name(self.random, &apex, 2) }
            }
            80..=89 => {
                let number = self.random.below(self.others);
                some_name(self.random, &Name::plain(&format!("f{number}.test")), 2)
            }
            _ => some_name(self.random, &Name::plain("elsewhere.example"), 1),
        }
    }

    /// A name server of `owner`: below it, beside it, or away.
    fn server(&mut self, owner: &Name) -> Name {
        match self.random.below(100) {
            0..=39 => some_name(self.random, owner, 2),
            40..=59 => self.owner(),
            _ => self.target(),
        }
    }

    fn plain(&mut self, owner: &Name) {
        for _ in 0..=self.random.below(3) {
            let rtype = *self.random.pick(&PLAIN);
            for _ in 0..=self.random.below(2) {
                let (rdata, target) = self.rdata(rtype);
                self.add(owner, rtype, rdata, target);
            }
        }
    }

    fn big(&mut self, owner: &Name) {
        for _ in 0..12 + self.random.below(70) {
            let rtype = if self.random.chance(50) { "TXT" } else { "A" };
            let (rdata, target) = self.rdata(rtype);
            self.add(owner, rtype, rdata, target);
        }
    }

    fn alias(&mut self, owner: &Name) {
        let target = self.target();
        self.add(owner, "CNAME", target.to_string(), Some(target));
    }

    fn redirection(&mut self, owner: &Name) {
        // BIND loads no wildcard with DNAME or NS (RFC 4592 sections 4.2 and 4.4).
        if owner.is_wildcard() {
            return;
        }
        let target = self.target();
        self.add(owner, "DNAME", target.to_string(), Some(target));
        if self.random.chance(40) {
            self.plain(owner);
        }
    }

    fn cut(&mut self, owner: &Name) {
        if owner == self.apex || owner.is_wildcard() {
            return;
        }
        let many = if self.random.chance(4) { 14 } else { 3 };
        for _ in 0..=self.random.below(many) {
            let server = self.server(owner);
            if server.is_in(self.apex) && self.random.chance(75) {
                let rtype = if self.random.chance(65) { "A" } else { "AAAA" };
                let (rdata, _) = self.rdata(rtype);
                self.add(&server, rtype, rdata, None);
            }
            self.add(owner, "NS", server.to_string(), Some(server));
        }
        if self.random.chance(40) {
            let rdata = format!("{} 13 2 {}", self.random.below(65_536), "ab".repeat(32));
            self.add(owner, "DS", rdata, None);
        }
        if self.random.chance(25) {
            self.plain(owner);
        }
        if self.random.chance(35) {
            let below = some_name(self.random, owner, 2);
            self.plain(&below);
        }
    }

    fn rdata(&mut self, rtype: &str) -> (String, Option<Name>) {
        let number = 1 + self.random.below(250);
        let target = self.target();
        let rdata = match rtype {
            "A" => format!("192.0.2.{number}"),
            "AAAA" => format!("2001:db8::{number:x}"),
            "TXT" | "SPF" => format!("\"{}\" \"{number}\"", "text ".repeat(self.random.below(9))),
            "MX" | "AFSDB" => format!("{number} {target}"),
            "SRV" => format!("1 {number} 443 {target}"),
            "PTR" => target.to_string(),
            "CAA" => format!("0 issue \"ca{number}.example\""),
            "HINFO" => format!("\"cpu {number}\" \"os\""),
            "NAPTR" => format!("100 {number} \"S\" \"SIP+D2U\" \"\" {target}"),
            "SSHFP" => format!("4 2 {}", format!("{number:02x}").repeat(32)),
            "TLSA" => format!("3 1 1 {}", format!("{number:02x}").repeat(32)),
            "RP" => format!("host.example. {target}"),
            _ => format!("\\# 3 0102{number:02x}"),
        };
        let named = matches!(rtype, "MX" | "AFSDB" | "SRV" | "PTR" | "NAPTR" | "RP");
        (rdata, named.then_some(target))
    }

    fn add(&mut self, owner: &Name, rtype: &'static str, rdata: String, target: Option<Name>) {
        // Of an RRset all have the same TTL (RFC 2181 section 5.2).
        let mix = owner
            .lower()
            .wire()
            .iter()
            .fold(rtype.len(), |mix, o| mix * 31 % 9973 + usize::from(*o));
        let ttl = (mix % 60 * 60) as u32;
        self.records.push(Record { owner: owner.clone(), ttl, rtype, rdata, target });
    }
}

/// Leaves out what no server loads: a CNAME beside anything, anything below a DNAME, a second
/// CNAME or DNAME, a DNAME beside a cut's NS, DS without a cut, and what is there twice.
fn tidied(records: Vec<Record>, apex: &Name) -> Vec<Record> {
    let mut kept: Vec<Record> = Vec::new();
    let mut seen = BTreeSet::new();
    for record in records {
        let owner = record.owner.lower();
        let here = |rtype: &str| kept.iter().any(|r| r.rtype == rtype && r.owner.lower() == owner);
        let anything = kept.iter().any(|r| r.owner.lower() == owner);
        let above = |r: &Record| r.rtype == "DNAME" && owner.is_below(&r.owner);
        let conflict = match record.rtype {
            "CNAME" => anything,
            "DNAME" => {
                here("DNAME")
                    || here("CNAME")
                    || (here("NS") && owner != *apex)
                    || kept.iter().any(|r| r.owner.is_below(&owner))
            }
            "NS" => here("CNAME") || (here("DNAME") && owner != *apex),
            "DS" => !here("NS"),
            _ => here("CNAME"),
        };
        let key = (owner.clone(), record.rtype, record.rdata.to_ascii_lowercase());
        if !conflict && !kept.iter().any(above) && seen.insert(key) {
            kept.push(record);
        }
    }
    kept
}

impl Zone {
    /// As a master file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.records.iter().for_each(|record| writeln!(text, "{record}").unwrap());
        text
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, ttl, rtype, rdata, .. } = self;
        write!(f, "{owner} {ttl} IN {rtype} {rdata}")
    }
}
