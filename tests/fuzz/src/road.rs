//! The whole road, and what must hold of every answer whatever the packet was.
//!
//! The worlds are kept from input to input, so that one costs microseconds; only rate limits and
//! counters remember anything.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use meridian::health::table::Verdict;
use meridian::region::PoolId;
use meridian::server::Transport;

use super::support::Server;

/// How many worlds there are.
pub const WORLDS: usize = 4;

/// What a client can be told apart by.
const LARGEST: [usize; WORLDS] = [1232, 4096, 512, 1232];

/// The worlds that answer cookies, and those that honour client subnets.
const COOKIES: [bool; WORLDS] = [true, false, true, true];
const SUBNETS: [bool; WORLDS] = [true, false, true, true];

/// The worlds that say which server they are.
const NAMED: [bool; WORLDS] = [false, true, false, true];

/// What padded answers are a multiple of.
const BLOCK: usize = 468;

/// The world in which answers may be held back.
const LIMITED: usize = 2;

/// The world in which half of the pools are down.
const ILL: usize = 3;

thread_local! {
    static SERVERS: RefCell<Vec<Server>> = RefCell::new((0..WORLDS).map(server).collect());
}

/// Sends one packet and holds the answer against the packet; returns the answer.
pub fn exchange(world: usize, packet: &[u8], client: &str, transport: Transport) -> Vec<u8> {
    let client: IpAddr = client.parse().expect("an address");
    let answer =
        SERVERS.with_borrow_mut(|servers| servers[world].answer(packet, client, transport));
    if let Err(fault) = check(world, packet, transport, &answer) {
        panic!("{fault}\n{packet:02x?}\n{answer:02x?}");
    }
    answer
}

/// What is wrong with `answer`.
pub fn check(
    world: usize,
    packet: &[u8],
    transport: Transport,
    answer: &[u8],
) -> Result<(), String> {
    let is_query = packet.len() >= 12 && packet[2] & 0x80 == 0;
    if answer.is_empty() {
        // RFC 1035 section 7.3, and never an answer to an answer.
        return holds(!is_query || world == LIMITED, "a query is left without an answer");
    }
    holds(is_query, "what is no query is answered")?;
    let asked = Asked::read(packet);
    header(packet, answer)?;
    let message =
        Message::from_vec(&decodable(answer)).map_err(|error| format!("hickory: {error}"))?;
    counts(answer, &message)?;
    size(world, transport, answer, &message, &asked)?;
    edns(world, packet, &message, &asked)?;
    options(world, transport, answer, &message, &asked)?;
    question(packet, answer, &asked)?;
    sections(&message)
}

/// The answer with a family for a client subnet of no family, which hickory does not know.
fn decodable(answer: &[u8]) -> Vec<u8> {
    const NO_FAMILY: [u8; 8] = [0, 8, 0, 4, 0, 0, 0, 0];
    let mut decodable = answer.to_vec();
    let question_end = if answer[5] == 0 { Some(12) } else { after_name(answer, 12) };
    if let Some(rest) = question_end.and_then(|end| decodable.get_mut(end..))
        && let Some(at) = rest.windows(8).rposition(|window| window == NO_FAMILY)
    {
        rest[at + 5] = 1;
    }
    decodable
}

fn holds(condition: bool, otherwise: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// The packet as another decoder understands it.
struct Asked {
    message: Option<Message>,
    questions: u16,
    additional: u16,
}

impl Asked {
    fn read(packet: &[u8]) -> Self {
        let count = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let message = Message::from_vec(packet).ok();
        Self { message, questions: count(4), additional: count(10) }
    }
}

/// RFC 1035 section 4.1.1; AD and CD are not for authoritative answers (RFC 4035 section 3.1.6).
fn header(packet: &[u8], answer: &[u8]) -> Result<(), String> {
    holds(answer.len() >= 12, "the answer has no header")?;
    holds(answer[..2] == packet[..2], "another id")?;
    holds(answer[2] & 0x80 != 0, "QR is clear")?;
    holds(answer[2] & 0x78 == packet[2] & 0x78, "another opcode")?;
    holds(answer[2] & 1 == packet[2] & 1, "RD is not copied")?;
    holds(answer[3] & 0xf0 == 0, "RA, Z, AD or CD is set")
}

/// Nothing but what the header counts.
fn counts(answer: &[u8], message: &Message) -> Result<(), String> {
    let count = |at: usize| usize::from(u16::from_be_bytes([answer[at], answer[at + 1]]));
    let opt = usize::from(message.edns.is_some());
    let read = [
        message.queries.len(),
        message.answers.len(),
        message.authorities.len(),
        message.additionals.len() + opt,
    ];
    holds(read == [4, 6, 8, 10].map(count), "the counts are wrong")?;
    let end = end_of(answer).ok_or("a record is cut off")?;
    holds(end == answer.len(), "octets follow the last record")
}

/// Where the last record ends, by the header's counts.
fn end_of(message: &[u8]) -> Option<usize> {
    let count = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let mut at = 12;
    for _ in 0..count(4) {
        at = after_name(message, at)? + 4;
    }
    for _ in 0..u32::from(count(6)) + u32::from(count(8)) + u32::from(count(10)) {
        at = after_name(message, at)? + 10;
        let length = [*message.get(at - 2)?, *message.get(at - 1)?];
        at += usize::from(u16::from_be_bytes(length));
    }
    (at <= message.len()).then_some(at)
}

fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// RFC 6891 section 6.2.5; without EDNS 512 octets (RFC 1035 section 4.2.1). What is truncated
/// has no records (decision of this server; RFC 2181 section 9 allows it).
fn size(
    world: usize,
    transport: Transport,
    answer: &[u8],
    message: &Message,
    asked: &Asked,
) -> Result<(), String> {
    if transport == Transport::Udp {
        let offered = asked.message.as_ref().map(|m| m.edns.as_ref().map(|e| e.max_payload()));
        let most = match offered {
            Some(Some(size)) => usize::from(size).min(LARGEST[world]).max(512),
            Some(None) => 512,
            None => LARGEST[world],
        };
        holds(answer.len() <= most, &format!("{} octets, and {most} may be sent", answer.len()))?;
    }
    let records = message.answers.len() + message.authorities.len() + message.additionals.len();
    holds(!message.metadata.truncation || records == 0, "a truncated answer has records")
}

/// An OPT for an OPT (RFC 6891 section 6.1.1), version 0, DO as it came (RFC 3225 section 3),
/// and of options only those that were asked for.
fn edns(world: usize, packet: &[u8], message: &Message, asked: &Asked) -> Result<(), String> {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    holds(message.edns.is_none() || asked.additional > 0, "OPT was not asked for")?;
    let Some(theirs) = &asked.message else { return Ok(()) };
    if theirs.edns.is_none() {
        return holds(message.edns.is_none(), "OPT was not asked for");
    }
    let (Some(edns), Some(theirs)) = (&message.edns, &theirs.edns) else { return Ok(()) };
    holds(edns.version() == 0, "another version than 0 is spoken")?;
    holds(edns.flags().dnssec_ok == theirs.flags().dnssec_ok, "DO is not copied")?;
    if theirs.version() == 0
        && message.metadata.response_code != ResponseCode::FormErr
        && let Some(EdnsOption::Subnet(told)) = edns.option(EdnsCode::Subnet)
    {
        holds(SUBNETS[world], "a client subnet where they are off")?;
        let first = theirs.options().as_ref().iter().find_map(|(_, option)| match option {
            EdnsOption::Subnet(subnet) => Some(subnet),
            _ => None,
        });
        let first = first.ok_or("a client subnet was not asked for")?;
        let same = told.addr() == first.addr() && told.source_prefix() == first.source_prefix();
        holds(same, "another client subnet than was sent (RFC 7871 section 7.2.1)")?;
        let scope = told.scope_prefix();
        let longest = if told.addr().is_ipv4() { 32 } else { 128 };
        holds(scope <= longest, "a scope longer than the address")?;
        holds(told.source_prefix() > 0 || scope == 0, "a scope for no address")?;
    }
    if let Some(EdnsOption::Unknown(_, cookie)) = edns.option(EdnsCode::Cookie) {
        holds(COOKIES[world], "a cookie where they are off")?;
        let client = cookie.first_chunk::<8>().ok_or("a cookie that is none")?;
        // hickory drops all options when one is malformed; ours answers FORMERR, and the cookie.
        let asked = packet.windows(12).any(|part| part[..2] == [0, 10] && part[4..] == *client);
        holds(asked, "a cookie was not asked for")?;
    } else {
        let none = edns.option(EdnsCode::Cookie).is_none();
        holds(none, "hickory reads cookies in another way by now")?;
    }
    Ok(())
}

/// Options once each, and only those that were asked for; why something went wrong may be told
/// unasked (RFC 8914 section 3). How long a connection lasts means nothing over UDP (RFC 7828
/// section 3.2.1), and padding nothing in the clear (RFC 7830 section 6).
fn options(
    world: usize,
    transport: Transport,
    answer: &[u8],
    message: &Message,
    asked: &Asked,
) -> Result<(), String> {
    use hickory_proto::rr::rdata::opt::EdnsCode;
    let Some(told) = &message.edns else { return Ok(()) };
    let codes: Vec<u16> =
        told.options().as_ref().iter().map(|(code, _)| u16::from(*code)).collect();
    for (at, code) in codes.iter().enumerate() {
        holds(!codes[..at].contains(code), "an option twice")?;
        let known = match code {
            3 => NAMED[world],
            8 | 10 | 15 => true,
            11 => transport != Transport::Udp,
            12 => transport == Transport::Tls,
            _ => false,
        };
        holds(known, &format!("option {code} has no business here"))?;
    }
    // hickory drops all options when one is malformed, so what was asked for is not known.
    let Some(theirs) = asked.message.as_ref().and_then(|message| message.edns.as_ref()) else {
        return Ok(());
    };
    if theirs.version() > 0 || message.metadata.response_code == ResponseCode::FormErr {
        return Ok(());
    }
    for code in codes.into_iter().filter(|code| *code != 15) {
        let asked = theirs.option(EdnsCode::from(code)).is_some();
        holds(asked, &format!("option {code} was not asked for"))?;
    }
    let padded = transport == Transport::Tls && theirs.option(EdnsCode::Padding).is_some();
    let whole = answer.len().is_multiple_of(BLOCK) || answer.len() + BLOCK > 65_535;
    holds(!padded || whole, "the padding does not fill a block (RFC 8467 section 4.1)")
}

/// The question comes back octet for octet (RFC 1035 section 4.1.1, and draft-vixie-dns-0x20).
fn question(packet: &[u8], answer: &[u8], asked: &Asked) -> Result<(), String> {
    if answer[5] == 0 {
        return holds(answer[3] & 0xf != 3, "NXDOMAIN of nothing");
    }
    holds(asked.questions == 1, "a question that is not one")?;
    let end = after_name(answer, 12).ok_or("the question is no name")? + 4;
    holds(packet.get(12..end) == answer.get(12..end), "another question than was asked")
}

/// What stands in which section.
fn sections(message: &Message) -> Result<(), String> {
    use ResponseCode as Rc;
    let code = message.metadata.response_code;
    let (answers, authorities) = (&message.answers, &message.authorities);
    let held_back = message.metadata.truncation;
    let sent = [0, 1, 2, 3, 4, 5, 6, 16, 23].contains(&u16::from(code));
    holds(sent, &format!("{code:?} is never sent"))?;
    let found = matches!(code, Rc::NoError | Rc::NXDomain | Rc::YXDomain | Rc::ServFail);
    let any = answers.len() + authorities.len() + message.additionals.len() > 0;
    holds(found || !(any || message.metadata.authoritative), "an error with records or AA")?;
    let all = answers.iter().chain(authorities).chain(&message.additionals);
    for record in all {
        let class: u16 = record.dns_class.into();
        holds(class == 1, "a record of another class than IN")?;
        holds(record.ttl <= 0x7fff_ffff, "a TTL past 31 bits (RFC 2181 section 8)")?;
    }
    let Some(query) = message.queries.first() else {
        return holds(!any, "records without a question");
    };
    let end = chain(query.name(), answers)?;
    let soas = of_type(authorities, RecordType::SOA);
    let servers = of_type(authorities, RecordType::NS);
    holds(soas + servers == authorities.len(), "something else than SOA or NS in authority")?;
    holds(soas <= 1 && (soas == 0 || servers == 0), "SOA and NS, or two SOA, in authority")?;
    let glue = |record: &&Record| matches!(record.data, RData::A(_) | RData::AAAA(_));
    holds(message.additionals.iter().filter(glue).count() == message.additionals.len(), "no glue")?;
    if held_back {
        return Ok(());
    }
    // RFC 2308 sections 2.1 and 2.2.
    if code == Rc::NXDomain
        || code == Rc::NoError && message.metadata.authoritative && answers.is_empty()
    {
        holds(soas == 1, "a negative answer without SOA")?;
    }
    for record in authorities {
        holds(record.name.zone_of(&end), "authority over another name")?;
    }
    if code == Rc::NoError && !message.metadata.authoritative {
        holds(answers.is_empty() && servers > 0, "a referral without name servers")?;
    }
    Ok(())
}

fn of_type(records: &[Record], rtype: RecordType) -> usize {
    records.iter().filter(|record| record.record_type() == rtype).count()
}

/// The answers form one chain from the qname (RFC 1034 section 4.3.2); returns its end.
fn chain(qname: &Name, answers: &[Record]) -> Result<Name, String> {
    let mut end = qname.clone();
    for record in answers {
        if record.record_type() == RecordType::DNAME {
            holds(record.name.zone_of(&end), "a DNAME aside of the chain")?;
            continue;
        }
        holds(record.name == end, "an answer aside of the chain")?;
        if let RData::CNAME(target) = &record.data
            && answers.len() > 1
        {
            end = target.0.clone();
        }
    }
    // A chain of one link ends where it leads, too.
    if let [record] = answers
        && let RData::CNAME(target) = &record.data
    {
        end = target.0.clone();
    }
    Ok(end)
}

fn server(world: usize) -> Server {
    let settings = [
        "",
        "[edns]\nudp_size = 4096\nclient_subnet = false\nnsid = \"a\"\n[cookies]\nenabled = false\n",
        "[edns]\nudp_size = 512\n[cookies]\nrequire = true\n\
         [rate_limit]\nresponses_per_second = 5\nslip = 2\n",
        "[edns]\nnsid = \"node\"\nextended_errors.steering = \"all\"\n",
    ];
    let mut server = Server::new(&[
        ("meridian.toml", settings[world]),
        ("geo/regions.toml", REGIONS),
        ("zones/example.org.zone", ZONE),
        ("zones/example.org.toml", POLICY),
        ("zones/sub.example.org.zone", SUB),
    ]);
    server.now = Duration::from_secs(100_000);
    if world == ILL {
        for pool in (0..server.config.pools.len() as u32).step_by(2) {
            server.set(PoolId(pool), Verdict::Down);
        }
    }
    server
}

/// A server whose answers are the same every time, for targets that compare.
pub(super) fn steady() -> Server {
    server(0)
}

const REGIONS: &str = r#"
region.fra = { location = [50.11, 8.68] }
region.iad = { location = [38.95, -77.45] }
region.sin = { location = [1.35, 103.82] }
"#;

const SUB: &str = "@ 1h SOA ns1.example.org. h.example.org. 1 2h 30m 14d 5m\n@ 1h NS ns1.example.org.\n\
                   below 1h A 192.0.2.9\n";

/// One of everything, as it can stand in a master file.
const ZONE: &str = r#"
$ORIGIN example.org.
$TTL 1h
@           SOA   ns1 hostmaster 7 2h 30m 14d 5m
            NS    ns1
            NS    ns2.example.net.
            MX    10 mail
            CAA   0 issue "ca.example.net"
            HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.80
ns1         A     192.0.2.1
mail        A     192.0.2.25
            AAAA  2001:db8::25
www         A     192.0.2.80
alias       CNAME www
chain       CNAME alias
away        CNAME www.example.net.
lost        CNAME nowhere
loop-a      CNAME loop-b
loop-b      CNAME loop-a
to-near     CNAME near
to-child    CNAME x.child
deep.empty  TXT   "below an empty non-terminal"
*.wild      A     192.0.2.99
*.wild      TXT   "any"
here.wild   A     192.0.2.98
sub.ent.wild A    192.0.2.97
*.wildcname CNAME www
child       NS    ns.child
            NS    ns.example.net.
            DS    1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.child    A     192.0.2.54
ns.child    AAAA  2001:db8::54
sibling     NS    ns.child
sub         NS    ns1
old         DNAME new
a.new       A     192.0.2.7
_x._tcp     SRV   0 5 443 www
big         TXT   "0123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "1123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "2123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "3123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "4123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "5123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "6123456789012345678901234567890123456789012345678901234567890123456789"
big         TXT   "7123456789012345678901234567890123456789012345678901234567890123456789"
order       TXT   "beside a steered name"
$GENERATE 1-40 many A 203.0.113.$
"#;

/// Every policy, every kind of target, every last resort.
const POLICY: &str = r#"
[pool]
fra  = { region = "fra", members = ["192.0.2.10", { address = "192.0.2.11", weight = 3 }, "2001:db8:f::10"] }
iad  = { region = "iad", members = ["198.51.100.10", "198.51.100.11", "2001:db8:1a::10"], answers = 2 }
sin  = { region = "sin", members = ["203.0.113.10"] }
lb   = { region = "fra", cname = "lb.fra.example.net." }
here = { region = "iad", cname = "www.example.org." }
dns  = { region = "sin", delegate = [{ ns = "ns1.game.example.org.", addresses = ["203.0.113.53", "2001:db8:51::53"] }] }

[record.near]
policy = "nearest"
pools  = ["fra", "iad", "sin"]

[record.share]
policy = "weighted"
pools  = { fra = 90, iad = 10 }

[record.order]
policy = "failover"
pools  = ["sin", "fra"]
last_resort = "servfail"

[record.portal]
policy = "failover"
pools  = ["lb", "here"]

[record.game]
policy = "failover"
pools  = ["dns", "iad"]

[record."*.apps"]
policy = "nearest"
pools  = ["fra", "sin"]

[record.none]
policy = "failover"
pools  = ["fra"]
last_resort = "192.0.2.200"

[record.ruled]
policy = "geo"
[[record.ruled.rule]]
match  = { cidr = ["192.0.2.0/24", "2001:db8::/32"] }
policy = "failover"
pools  = ["iad", "fra"]
[[record.ruled.rule]]
match  = { country = ["@eu"] }
policy = "nearest"
pools  = ["fra"]
fence  = true
last_resort = "servfail"
[[record.ruled.rule]]
match  = "default"
policy = "nearest"
pools  = ["iad", "sin", "fra"]
"#;
