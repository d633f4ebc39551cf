//! Our reading of a query beside hickory's: the same meaning, or both refuse.
//!
//! Where the two differ the difference has a name, a [`Rule`], and an RFC that decides it. A
//! difference without a rule is a fault of one of them.

use std::cell::RefCell;

use arbitrary::Unstructured;
use hickory_proto::op::{Edns, Message, MessageType, OpCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use meridian::wire::query::{Query, Unreadable};

use super::draft;

/// Why the two may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// We read no further than the header of a response or another opcode: the rest may be
    /// anything (RFC 1035 section 4.1.1).
    HeaderIsEnough,
    /// One question, no more and no fewer (RFC 9619 section 4). hickory takes any number.
    OneQuestion,
    /// No question at all, but a cookie, is a query for a cookie (RFC 7873 section 5.4).
    CookieOnly,
    /// A pointer leads to a prior name (RFC 1035 section 4.1.4), and before the question there
    /// is none. hickory follows pointers into the header.
    NothingBeforeTheQuestion,
    /// A message is header and sections (RFC 1035 section 4.1), and nothing after. hickory does
    /// not look.
    NothingAfterTheSections,
    /// Records in a query mean nothing to an authoritative server: they are passed over by
    /// their RDLENGTH (RFC 1035 section 4.1.3), compressed names and all. hickory reads them.
    RecordsArePassedOver,
    /// An option that is cut off spoils its OPT (RFC 6891 sections 6.1.2 and 7). hickory leaves
    /// out all options and goes on.
    OptionsAreWhole,
    /// EDNS of another version is answered BADVERS (RFC 6891 section 6.1.3), and its options are
    /// not read: they may have another form.
    OtherVersion,
    /// Exactly the octets needed, zero past the prefix, scope 0, or FORMERR (RFC 7871 sections
    /// 6 and 7.1.2). hickory looks at family and length only.
    SubnetIsExact,
    /// A prefix of no bits needs no family: clients send family 0 for "no address" (BIND's
    /// `+subnet=0`), and RFC 7871 section 7.1.2 wants their wish for privacy heeded. hickory
    /// knows families 1 and 2.
    SubnetOfNoFamily,
    /// Options are not ordered and none may be sent twice in the RFCs that define them; the
    /// first counts here, and later ones are not read (RFC 6891 section 6.1.2 leaves it open).
    FirstOfItsKind,
    /// A cookie has 8 octets or 16 to 40 (RFC 7873 section 5.2.2). hickory knows no cookies.
    CookieHasItsLength,
}

/// Every rule.
pub const RULES: [Rule; 12] = [
    Rule::HeaderIsEnough,
    Rule::OneQuestion,
    Rule::CookieOnly,
    Rule::NothingBeforeTheQuestion,
    Rule::NothingAfterTheSections,
    Rule::RecordsArePassedOver,
    Rule::OptionsAreWhole,
    Rule::OtherVersion,
    Rule::SubnetIsExact,
    Rule::SubnetOfNoFamily,
    Rule::FirstOfItsKind,
    Rule::CookieHasItsLength,
];

/// What a query says.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    id: u16,
    recursion_desired: bool,
    qname: Vec<u8>,
    qtype: u16,
    qclass: u16,
    edns: Option<Extension>,
}

#[derive(Debug, PartialEq, Eq)]
struct Extension {
    /// At least 512: less means 512 (RFC 6891 section 6.2.3).
    udp_size: u16,
    dnssec_ok: bool,
    /// Family, source prefix length and address.
    subnet: Option<(u8, u8, u128)>,
    /// The client's part.
    cookie: Option<[u8; 8]>,
}

thread_local! {
    static QUERY: RefCell<Query> = const { RefCell::new(Query::new()) };
}

/// Compares the two readings of a packet: the octets themselves, or a draft made of them.
/// Returns the rule by which they differ.
pub fn run(octets: &[u8]) -> Option<Rule> {
    let (&how, rest) = octets.split_first()?;
    if how & 1 == 0 {
        return compare(rest);
    }
    compare(&draft::packet(&mut Unstructured::new(rest)).ok()?)
}

/// Panics unless both mean the same, or both refuse, or a rule tells why not; returns the rule.
fn compare(packet: &[u8]) -> Option<Rule> {
    let ours =
        QUERY.with_borrow_mut(|query| query.read(packet).map(|()| our_meaning(query, packet)));
    let theirs = Message::from_vec(packet);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => {
            let (meaning, rule) = their_meaning(theirs);
            assert_eq!(*ours, meaning, "{packet:02x?}");
            rule
        }
        (Err(Unreadable::Short), Err(_)) => None,
        (Err(unreadable), theirs) => {
            let rule = refused(*unreadable, packet, theirs.as_ref().ok());
            assert!(
                rule.is_some() || theirs.is_err(),
                "{unreadable:?}, but not theirs: {packet:02x?}"
            );
            rule.filter(|_| theirs.is_ok())
        }
        (Ok(meaning), Err(error)) => {
            let rule = accepted(meaning, packet);
            assert!(rule.is_some(), "{error}, but not ours: {packet:02x?}");
            rule
        }
    }
}

fn our_meaning(query: &Query, packet: &[u8]) -> Meaning {
    assert_eq!(query.question(packet).len(), query.qname().len() + 4);
    assert_eq!(query.name().octets(), query.qname());
    let edns = query.edns.map(|edns| Extension {
        udp_size: edns.udp_size.max(512),
        dnssec_ok: edns.dnssec_ok,
        subnet: edns.client_subnet.map(|s| (s.family, s.source, s.address)),
        cookie: edns.cookie.map(|cookie| cookie.words()[0]),
    });
    Meaning {
        id: u16::from_be_bytes(query.id),
        recursion_desired: query.flags & 1 == 1,
        qname: query.qname().to_vec(),
        qtype: query.qtype.0,
        qclass: query.qclass.0,
        edns,
    }
}

/// What hickory's message says, where we have accepted it too.
fn their_meaning(message: &Message) -> (Meaning, Option<Rule>) {
    assert_eq!(message.metadata.message_type, MessageType::Query);
    assert_eq!(message.metadata.op_code, OpCode::Query);
    let [query] = &message.queries[..] else { panic!("{} questions", message.queries.len()) };
    let mut qname = Vec::new();
    for label in query.name() {
        qname.push(label.len() as u8);
        qname.extend(label.to_ascii_lowercase());
    }
    qname.push(0);
    let edns = message.edns.as_ref().map(extension);
    let twice = message.edns.as_ref().is_some_and(has_two_of_a_kind);
    let meaning = Meaning {
        id: message.metadata.id,
        recursion_desired: message.metadata.recursion_desired,
        qname,
        qtype: query.query_type().into(),
        qclass: query.query_class().into(),
        edns,
    };
    (meaning, twice.then_some(Rule::FirstOfItsKind))
}

fn extension(edns: &Edns) -> Extension {
    assert_eq!(edns.version(), 0);
    let options = edns.options().as_ref();
    let subnet = options.iter().find_map(|(_, option)| match option {
        EdnsOption::Subnet(subnet) => Some(match subnet.addr() {
            std::net::IpAddr::V4(v4) => (1, subnet.source_prefix(), u128::from(v4.to_bits()) << 96),
            std::net::IpAddr::V6(v6) => (2, subnet.source_prefix(), v6.to_bits()),
        }),
        _ => None,
    });
    let cookie = options.iter().find_map(|(_, option)| match option {
        EdnsOption::Unknown(10, value) => value.first_chunk().copied(),
        _ => None,
    });
    Extension {
        udp_size: edns.max_payload().max(512),
        dnssec_ok: edns.flags().dnssec_ok,
        subnet,
        cookie,
    }
}

fn has_two_of_a_kind(edns: &Edns) -> bool {
    let options = edns.options().as_ref();
    [EdnsCode::Subnet, EdnsCode::Cookie]
        .iter()
        .any(|code| options.iter().filter(|(of, _)| of == code).count() > 1)
}

/// The rule by which we refuse, if hickory need not. It is looked for in the packet, so that a
/// refusal for no reason has none.
fn refused(unreadable: Unreadable, packet: &[u8], theirs: Option<&Message>) -> Option<Rule> {
    let (rule, holds) = match unreadable {
        Unreadable::Short => return None,
        Unreadable::Response => (Rule::HeaderIsEnough, packet[2] & 0x80 != 0),
        Unreadable::Opcode => (Rule::HeaderIsEnough, packet[2] & 0x78 != 0),
        Unreadable::Questions => (Rule::OneQuestion, packet[4..6] != [0, 1]),
        Unreadable::CookieOnly => {
            let edns = theirs.and_then(|message| message.edns.as_ref());
            let cookie = edns.is_some_and(|edns| edns.option(EdnsCode::Cookie).is_some());
            (Rule::CookieOnly, packet[4..6] == [0, 0] && (cookie || theirs.is_none()))
        }
        Unreadable::Question => (
            Rule::NothingBeforeTheQuestion,
            labels(packet, 12).is_some_and(|end| packet[end] >= 0xc0),
        ),
        Unreadable::Records => {
            let end = sections(packet).and_then(|sections| sections.end);
            (Rule::NothingAfterTheSections, end.is_some_and(|end| end < packet.len()))
        }
        Unreadable::Opt => {
            let opt = sections(packet).and_then(|sections| sections.opt);
            (Rule::OptionsAreWhole, opt.is_some_and(|opt| options(opt).is_none()))
        }
        Unreadable::Version => {
            let version = theirs.and_then(|message| message.edns.as_ref()).map(Edns::version);
            (Rule::OtherVersion, version.is_none_or(|version| version > 0))
        }
        Unreadable::ClientSubnet => {
            (Rule::SubnetIsExact, first(packet, 8).is_some_and(|value| !is_exact(value)))
        }
        Unreadable::Cookie => {
            let value = first(packet, 10);
            let wrong = |value: &[u8]| !matches!(value.len(), 8 | 16..=40);
            (Rule::CookieHasItsLength, value.is_some_and(wrong))
        }
    };
    holds.then_some(rule)
}

/// The rule by which we accept what hickory refuses: of what is left when all that we pass over
/// is taken away, both must say the same.
fn accepted(ours: &Meaning, packet: &[u8]) -> Option<Rule> {
    let Sections { question_end, opt, others, .. } = sections(packet)?;
    let kept = opt.map_or_else(|| Some(Vec::new()), self::options)?;
    let mut rule = others.then_some(Rule::RecordsArePassedOver);
    let mut options = Vec::new();
    let mut seen = Vec::new();
    for (code, value) in kept {
        if seen.contains(&code) {
            rule = rule.or_else(|| (code == 8).then_some(Rule::FirstOfItsKind));
            continue;
        }
        seen.push(code);
        if code == 8 && value == [0, 0, 0, 0] {
            rule = rule.or(Some(Rule::SubnetOfNoFamily));
            continue;
        }
        options.extend(code.to_be_bytes());
        options.extend((value.len() as u16).to_be_bytes());
        options.extend(value);
    }
    let mut bare = packet[..question_end].to_vec();
    bare[6..12].copy_from_slice(&[0, 0, 0, 0, 0, u8::from(opt.is_some())]);
    if let Some(opt) = opt {
        bare.extend(&opt[..9]);
        bare.extend((options.len() as u16).to_be_bytes());
        bare.extend(options);
    }
    let theirs = Message::from_vec(&bare).ok()?;
    let (mut meaning, _) = their_meaning(&theirs);
    if let (Some(theirs), Some(Extension { subnet: subnet @ Some((0, 0, 0)), .. })) =
        (&mut meaning.edns, &ours.edns)
    {
        theirs.subnet = *subnet;
    }
    (meaning == *ours).then_some(rule).flatten()
}

/// A packet taken apart, as plainly as can be.
struct Sections<'p> {
    question_end: usize,
    /// The first OPT of the additional section, whole.
    opt: Option<&'p [u8]>,
    /// Whether there are other records.
    others: bool,
    /// Where the last record ends; `None` when one is cut off.
    end: Option<usize>,
}

fn sections(packet: &[u8]) -> Option<Sections<'_>> {
    let count = |at: usize| u32::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let question_end = after_name(packet, 12)? + 4;
    let mut found = Sections { question_end, opt: None, others: false, end: None };
    let (before, all) = (count(6) + count(8), count(6) + count(8) + count(10));
    let mut at = question_end;
    for number in 0..all {
        let Some(end) = record_end(packet, at) else { return Some(found) };
        let is_opt = number >= before && packet[at..].starts_with(&[0, 0, 41]);
        match found.opt {
            None if is_opt => found.opt = Some(&packet[at..end]),
            _ => found.others = true,
        }
        at = end;
    }
    found.end = Some(at);
    Some(found)
}

fn record_end(packet: &[u8], at: usize) -> Option<usize> {
    let head = after_name(packet, at)?;
    let length = packet.get(head + 8..head + 10)?;
    let end = head + 10 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    (end <= packet.len()).then_some(end)
}

fn after_name(packet: &[u8], at: usize) -> Option<usize> {
    let end = labels(packet, at)?;
    Some(end + if packet[end] == 0 { 1 } else { 2 })
}

/// Where the labels at `at` end: a root label or the first octet of a pointer.
fn labels(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 | 0xc0.. => return Some(at),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// Code and value of each option; `None` when one is cut off.
fn options(opt: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut found = Vec::new();
    let mut rest = &opt[11..];
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, after) = after.split_at_checked(length)?;
        found.push((u16::from_be_bytes([head[0], head[1]]), value));
        rest = after;
    }
    Some(found)
}

/// The first option of this code, options before it being whole.
fn first(packet: &[u8], code: u16) -> Option<&[u8]> {
    let mut rest = &sections(packet)?.opt?[11..];
    loop {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, after) = after.split_at_checked(length)?;
        if u16::from_be_bytes([head[0], head[1]]) == code {
            return Some(value);
        }
        rest = after;
    }
}

fn is_exact(value: &[u8]) -> bool {
    let [0, family, source, 0, address @ ..] = value else { return false };
    let longest = match family {
        0 => 0,
        1 => 32,
        2 => 128,
        _ => return false,
    };
    let spare = address.len() * 8 - usize::from(*source).min(address.len() * 8);
    *source <= longest
        && address.len() == usize::from(source.div_ceil(8))
        && (0..spare).all(|bit| address[address.len() - 1 - bit / 8] >> (bit % 8) & 1 == 0)
}
