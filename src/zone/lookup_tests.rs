//! The endings of a search: RFC 4592's own zone, cuts, DNAME, steered names, and a comparison
//! with a search that is slow and obvious.

use std::collections::BTreeMap;

use super::SteeredName;
use super::Zone;
use super::hash::{HashKey, Suffixes};
use super::lookup::Lookup;
use super::node::RrsetRef;
use super::records::{Place, Record, Records};
use crate::wire::name::Name;
use crate::wire::types::{Class, Rtype, Ttl};

const KEY: HashKey = HashKey::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// RDATA that will do for lookups: an address, or a name.
fn rdata(rtype: Rtype, text: &str) -> Vec<u8> {
    match rtype {
        Rtype::A => text.parse::<std::net::Ipv4Addr>().expect("an address").octets().into(),
        Rtype::AAAA => text.parse::<std::net::Ipv6Addr>().expect("an address").octets().into(),
        Rtype::SOA => {
            let mut soa = [name(text).as_wire(), name(text).as_wire()].concat();
            for number in [2026_u32, 2, 3, 4, 300] {
                soa.extend_from_slice(&number.to_be_bytes());
            }
            soa
        }
        Rtype::NS | Rtype::CNAME | Rtype::DNAME | Rtype::PTR => name(text).as_wire().to_vec(),
        _ => text.as_bytes().to_vec(),
    }
}

/// Lines of owner, type and data, TTL 3600.
fn records(lines: &[(&str, &str, &str)]) -> Records {
    let mut records = Records::new();
    for (owner, rtype, data) in lines {
        let rtype = rtype.parse().expect("a type");
        push(&mut records, owner, rtype, 3600, &rdata(rtype, data));
    }
    records
}

fn push(records: &mut Records, owner: &str, rtype: Rtype, ttl: u32, rdata: &[u8]) {
    let owner = name(owner);
    let record = Record {
        owner: owner.as_ref(),
        rtype,
        class: Class::IN,
        ttl: Ttl::new(ttl).expect("a TTL"),
        rdata,
        place: Place::default(),
    };
    records.push(record).expect("room");
}

fn steered(owner: &str, cut: bool) -> SteeredName {
    SteeredName { owner: name(owner), cut, cname: false }
}

/// How a search ended, in words.
fn ask(zone: &Zone, qname: &str, qtype: Rtype) -> String {
    let lower = name(qname).to_lowercase();
    let lower = lower.as_wire();
    in_words(zone.search(lower, qtype), lower, qtype)
}

/// How a search past the steered cut on its way ended; `None` without one.
fn ask_past(zone: &Zone, qname: &str, qtype: Rtype) -> Option<String> {
    let lower = name(qname).to_lowercase();
    let lower = lower.as_wire();
    let Lookup::SteeredCut { offset, .. } = zone.search(lower, qtype) else { return None };
    let mut suffixes = Suffixes::new();
    suffixes.split(lower);
    Some(in_words(zone.lookup_past(suffixes.name(lower), offset, qtype), lower, qtype))
}

fn in_words(ending: Lookup<'_>, lower: &[u8], qtype: Rtype) -> String {
    let at = |offset: usize| Name::from_wire(&lower[offset..]).expect("a suffix").to_string();
    match ending {
        Lookup::Found(node) if node.rrset(qtype).is_some() => format!("found {}", node.name()),
        Lookup::Found(node) => format!("nodata {}", node.name()),
        Lookup::Wildcard { node, encloser } => {
            assert_eq!(node.name().to_string(), format!("*.{}", at(encloser)).replace("..", "."));
            let data = if node.rrset(qtype).is_some() { "found" } else { "nodata" };
            format!("wildcard {data} {}", node.name())
        }
        Lookup::Referral { cut, offset } => {
            assert_eq!(cut.name().to_string(), at(offset));
            format!("referral {}", cut.name())
        }
        Lookup::SteeredCut { node, offset } => {
            assert_eq!(node.name().to_string(), at(offset));
            format!("steered cut {}", node.name())
        }
        Lookup::Dname { node, offset } => {
            assert_eq!(node.name().to_string(), at(offset));
            format!("dname {}", node.name())
        }
        Lookup::NxDomain { encloser, offset } => {
            assert_eq!(encloser.name().to_string(), at(offset));
            format!("nxdomain below {}", encloser.name())
        }
    }
}

/// Compiles with an ordinary key and with one that makes everything collide.
#[track_caller]
fn check(records: &Records, steered: &[SteeredName], questions: &[(&str, Rtype, &str)]) {
    for key in [KEY, HashKey::colliding()] {
        let zone = Zone::compile(&name("Example."), records, steered, key);
        for &(qname, qtype, expected) in questions {
            assert_eq!(ask(&zone, qname, qtype), expected, "{qname} {qtype}");
        }
    }
}

/// The zone of RFC 4592 section 2.2.1.
fn rfc4592() -> Records {
    records(&[
        ("example.", "SOA", "ns.example.com."),
        ("example.", "NS", "ns.example.com."),
        ("example.", "NS", "ns.example.net."),
        ("*.example.", "TXT", "this is a wildcard"),
        ("*.example.", "MX", "10 host1.example."),
        ("sub.*.example.", "TXT", "this is not a wildcard"),
        ("host1.example.", "A", "192.0.2.1"),
        ("_ssh._tcp.host1.example.", "SRV", "x"),
        ("_ssh._tcp.host2.example.", "SRV", "x"),
        ("subdel.example.", "NS", "ns.example.com."),
        ("subdel.example.", "NS", "ns.example.net."),
    ])
}

#[test]
fn rfc_4592_section_2_2_1_answers_as_it_says() {
    let questions = [
        ("host3.example.", Rtype::MX, "wildcard found *.example."),
        ("host3.example.", Rtype::A, "wildcard nodata *.example."),
        ("foo.bar.example.", Rtype::TXT, "wildcard found *.example."),
        ("host1.example.", Rtype::MX, "nodata host1.example."),
        ("sub.*.example.", Rtype::MX, "nodata sub.*.example."),
        ("_telnet._tcp.host1.example.", Rtype::SRV, "nxdomain below _tcp.host1.example."),
        ("host.subdel.example.", Rtype::A, "referral subdel.example."),
        ("ghost.*.example.", Rtype::MX, "nxdomain below *.example."),
    ];
    check(&rfc4592(), &[], &questions);
}

#[test]
fn an_empty_non_terminal_exists_and_stops_wildcards() {
    let questions = [
        ("_tcp.host1.example.", Rtype::A, "nodata _tcp.host1.example."),
        ("host2.example.", Rtype::TXT, "nodata host2.example."),
        ("x.host2.example.", Rtype::TXT, "nxdomain below host2.example."),
    ];
    check(&rfc4592(), &[], &questions);
}

#[test]
fn a_wildcard_that_is_an_empty_non_terminal_gives_nodata() {
    let zone = records(&[("example.", "SOA", "ns.example."), ("a.*.example.", "A", "192.0.2.1")]);
    check(&zone, &[], &[("x.example.", Rtype::A, "wildcard nodata *.example.")]);
}

#[test]
fn a_wildcard_name_asked_for_itself_is_found() {
    check(&rfc4592(), &[], &[("*.example.", Rtype::TXT, "found *.example.")]);
}

#[test]
fn the_apex_is_found_and_is_no_cut() {
    let questions = [
        ("example.", Rtype::NS, "found example."),
        ("example.", Rtype::A, "nodata example."),
        ("example.", Rtype::DS, "nodata example."),
    ];
    check(&rfc4592(), &[], &questions);
}

/// Cuts, one below another, with glue and data that is never answered.
fn delegations() -> Records {
    records(&[
        ("example.", "SOA", "ns.example."),
        ("example.", "NS", "ns.example."),
        ("ns.example.", "A", "192.0.2.53"),
        ("sub.example.", "NS", "ns1.sub.example."),
        ("sub.example.", "NS", "NS.Other.example."),
        ("sub.example.", "DS", "digest"),
        ("sub.example.", "A", "192.0.2.9"),
        ("ns1.sub.example.", "A", "192.0.2.54"),
        ("ns1.sub.example.", "AAAA", "2001:db8::54"),
        ("deep.sub.example.", "NS", "ns.elsewhere.test."),
        ("x.y.deep.sub.example.", "A", "192.0.2.10"),
        ("*.sub.example.", "A", "192.0.2.11"),
        ("other.example.", "NS", "ns.other.example."),
        ("ns.other.example.", "A", "192.0.2.55"),
    ])
}

#[test]
fn at_and_below_a_cut_everything_is_referred_to_the_topmost_cut() {
    let questions = [
        ("sub.example.", Rtype::A, "referral sub.example."),
        ("sub.example.", Rtype::NS, "referral sub.example."),
        ("ns1.sub.example.", Rtype::A, "referral sub.example."),
        ("nothing.sub.example.", Rtype::A, "referral sub.example."),
        ("a.b.c.d.sub.example.", Rtype::A, "referral sub.example."),
        ("deep.sub.example.", Rtype::A, "referral sub.example."),
        ("deep.sub.example.", Rtype::DS, "referral sub.example."),
        ("z.x.y.deep.sub.example.", Rtype::A, "referral sub.example."),
        ("y.deep.sub.example.", Rtype::A, "referral sub.example."),
        ("*.sub.example.", Rtype::A, "referral sub.example."),
    ];
    check(&delegations(), &[], &questions);
}

#[test]
fn ds_at_a_cut_is_the_parents_to_answer() {
    let questions = [
        ("sub.example.", Rtype::DS, "found sub.example."),
        ("other.example.", Rtype::DS, "nodata other.example."),
    ];
    check(&delegations(), &[], &questions);
}

#[test]
fn addresses_of_name_servers_include_glue_and_sibling_glue() {
    let zone = Zone::compile(&name("example."), &delegations(), &[], KEY);
    let counts = |target: &str| {
        let (a, aaaa) = zone.addresses(name(target).as_wire());
        (a.map_or(0, |rrset| rrset.count), aaaa.map_or(0, |rrset| rrset.count))
    };
    assert_eq!(counts("NS1.sub.example."), (1, 1));
    assert_eq!(counts("NS.Other.example."), (1, 0));
    assert_eq!(counts("ns.example."), (1, 0));
    assert_eq!(counts("sub.example."), (1, 0));
    assert_eq!(counts("ns.elsewhere.test."), (0, 0));
}

#[test]
fn a_dname_redirects_what_is_below_it_and_not_itself() {
    let zone = records(&[
        ("example.", "SOA", "ns.example."),
        ("old.example.", "DNAME", "new.test."),
        ("old.example.", "A", "192.0.2.1"),
        ("stray.old.example.", "A", "192.0.2.2"),
        ("*.old.example.", "A", "192.0.2.3"),
    ]);
    let questions = [
        ("old.example.", Rtype::A, "found old.example."),
        ("www.old.example.", Rtype::A, "dname old.example."),
        ("stray.old.example.", Rtype::A, "dname old.example."),
        ("a.b.stray.old.example.", Rtype::A, "dname old.example."),
    ];
    check(&zone, &[], &questions);
}

#[test]
fn a_dname_at_the_apex_redirects_the_whole_zone() {
    let zone = records(&[("example.", "SOA", "ns.test."), ("example.", "DNAME", "new.test.")]);
    let questions =
        [("example.", Rtype::SOA, "found example."), ("a.b.example.", Rtype::A, "dname example.")];
    check(&zone, &[], &questions);
}

#[test]
fn steered_names_exist_without_records_and_carry_their_number() {
    let steered = [steered("www.example.", false), steered("*.Apps.example.", false)];
    let zone = Zone::compile(&name("example."), &rfc4592(), &steered, KEY);
    let number = |qname: &str| {
        let lower = name(qname).to_lowercase();
        match zone.search(lower.as_wire(), Rtype::A) {
            Lookup::Found(node) | Lookup::Wildcard { node, .. } => node.steered(),
            _ => None,
        }
    };
    assert_eq!(number("www.example."), Some(0));
    assert_eq!(number("shop.apps.example."), Some(1));
    assert_eq!(number("apps.example."), None);
    assert_eq!(number("host1.example."), None);
}

#[test]
fn below_a_steered_cut_names_are_referred_and_the_name_itself_is_found() {
    let steered = [steered("sg.example.", true), steered("*.w.example.", true)];
    let questions = [
        ("sg.example.", Rtype::A, "nodata sg.example."),
        ("a.b.sg.example.", Rtype::A, "steered cut sg.example."),
        ("a.w.example.", Rtype::A, "wildcard nodata *.w.example."),
    ];
    check(&rfc4592(), &steered, &questions);
}

#[test]
fn the_deepest_names_a_zone_can_hold_are_found() {
    let deep = format!("{}example.", "a.".repeat(122));
    let zone = records(&[("example.", "SOA", "ns.example."), (&deep, "A", "192.0.2.1")]);
    let sibling = format!("b.{}", &deep[2..]);
    let expected = format!("nxdomain below {}", &deep[2..]);
    let above = deep[20..].to_owned();
    check(
        &zone,
        &[],
        &[
            (deep.as_str(), Rtype::A, &format!("found {deep}")),
            (sibling.as_str(), Rtype::A, expected.as_str()),
            (above.as_str(), Rtype::A, &format!("nodata {above}")),
            (&format!("b.{above}"), Rtype::A, &format!("nxdomain below {above}")),
        ],
    );
}

#[test]
fn an_rrset_is_ready_to_copy() {
    let mut records = records(&[("example.", "SOA", "ns.example.")]);
    push(&mut records, "Www.example.", Rtype::A, 300, &[192, 0, 2, 2]);
    push(&mut records, "www.example.", Rtype::TXT, 60, b"\x01x");
    push(&mut records, "www.EXAMPLE.", Rtype::A, 200, &[192, 0, 2, 1]);
    push(&mut records, "www.example.", Rtype::A, 400, &[192, 0, 2, 2]);
    let zone = Zone::compile(&name("example."), &records, &[], KEY);
    let node = zone.nodes().find(|node| node.wire_name().starts_with(b"\x03www")).expect("www");
    let rrset = node.rrset(Rtype::A).expect("an RRset");
    let expected = [
        [0, 1, 0, 1, 0, 0, 0, 200, 0, 4, 192, 0, 2, 1],
        [0, 1, 0, 1, 0, 0, 0, 200, 0, 4, 192, 0, 2, 2],
    ];
    assert_eq!(rrset.records, expected.concat());
    assert_eq!((rrset.count, rrset.ttl().seconds()), (2, 200));
    assert_eq!(node.rrset(Rtype::TXT).map(|rrset| rrset.ttl().seconds()), Some(60));
    assert_eq!(zone.record_count(), 4);
}

#[test]
fn a_negative_answers_soa_has_the_smaller_ttl() {
    let zone = Zone::compile(&name("example."), &rfc4592(), &[], KEY);
    assert_eq!(zone.negative_soa()[..8], [0, 6, 0, 1, 0, 0, 1, 44]);
    assert_eq!(zone.soa().map(|soa| soa.ttl().seconds()), Some(3600));
    assert_eq!(zone.serial(), 2026);
}

#[test]
fn what_is_outside_the_zone_or_of_another_class_is_left_out() {
    let mut records = records(&[("example.", "SOA", "ns.test."), ("a.test.", "A", "192.0.2.1")]);
    let (owner, soa) = (name("a.example."), rdata(Rtype::A, "192.0.2.1"));
    let chaos = Record {
        owner: owner.as_ref(),
        rtype: Rtype::A,
        class: Class::CH,
        ttl: Ttl::MAX,
        rdata: &soa,
        place: Place::default(),
    };
    records.push(chaos).expect("room");
    let zone = Zone::compile(&name("example."), &records, &[], KEY);
    assert_eq!(zone.record_count(), 1);
}

#[test]
fn records_that_come_late_join_their_name() {
    let lines = [
        ("www.sub.example.", "A", "192.0.2.1"),
        ("WWW.example.", "AAAA", "2001:db8::1"),
        ("www.sub.example.", "TXT", "x"),
        ("www.example.", "A", "192.0.2.2"),
        ("*.example.", "A", "192.0.2.4"),
        ("sub.example.", "TXT", "y"),
        ("www.example.", "A", "192.0.2.3"),
        ("www.EXAMPLE.", "A", "192.0.2.2"),
        ("example.", "SOA", "ns.test."),
        ("a.example.", "A", "192.0.2.5"),
        ("example.", "NS", "ns.test."),
    ];
    let mut late = records(&lines);
    push(&mut late, "www.example.", Rtype::AAAA, 60, &rdata(Rtype::AAAA, "2001:db8::2"));
    let zone = Zone::compile(&name("example."), &late, &[], KEY);
    let mut nodes: Vec<String> = zone
        .nodes()
        .map(|node| {
            let rrset = |rrset: RrsetRef<'_>| {
                format!(" {} {}x{}", rrset.ttl().seconds(), rrset.count, rrset.rtype)
            };
            node.name().to_string() + &node.rrsets().map(rrset).collect::<String>()
        })
        .collect();
    nodes.sort();
    let expected = [
        "*.example. 3600 1xA",
        "a.example. 3600 1xA",
        "example. 3600 1xNS 3600 1xSOA",
        "sub.example. 3600 1xTXT",
        "www.example. 3600 2xA 60 2xAAAA",
        "www.sub.example. 3600 1xA 3600 1xTXT",
    ];
    assert_eq!(nodes, expected);
    assert_eq!((zone.name_count(), zone.record_count()), (6, 11));
    assert_eq!((zone.origin().to_string(), zone.serial()), ("example.".to_owned(), 2026));
    let questions = [
        ("www.example.", Rtype::AAAA, "found www.example."),
        ("x.example.", Rtype::A, "wildcard found *.example."),
        ("x.sub.example.", Rtype::A, "nxdomain below sub.example."),
    ];
    check(&late, &[], &questions);
}

#[test]
fn a_zone_of_one_name_takes_no_room_for_others() {
    let mut many = records(&[("example.", "SOA", "ns.test.")]);
    for number in 0..1_000_u32 {
        push(&mut many, "www.example.", Rtype::A, 60, &number.to_be_bytes());
    }
    let zone = Zone::compile(&name("example."), &many, &[], KEY);
    assert_eq!((zone.name_count(), zone.record_count()), (2, 1_001));
    assert!(zone.memory() < 1_000 * 14 + 400, "{} octets", zone.memory());
}

/// A small generator of numbers (xorshift), so that a failure can be replayed by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// A name of up to five labels from few letters, so that names meet.
    fn name(&mut self) -> String {
        let labels = self.below(5);
        let mut text = String::new();
        for _ in 0..labels {
            text.push_str(["a.", "b.", "c.", "*.", "a-long-label."][self.below(5) as usize]);
        }
        text + "example."
    }
}

/// RFC 1034 section 4.3.2 in the plainest words: from the apex down, label by label.
fn naive(
    owners: &BTreeMap<String, Vec<Rtype>>,
    steered_cuts: &[String],
    qname: &str,
    qtype: Rtype,
) -> String {
    let exists = |name: &str| {
        owners.keys().any(|owner| owner == name || owner.ends_with(&format!(".{name}")))
    };
    let has = |name: &str, rtype| owners.get(name).is_some_and(|types| types.contains(&rtype));
    let mut labels: Vec<&str> = qname.trim_end_matches('.').split('.').collect();
    labels.pop();
    let mut at = "example.".to_owned();
    loop {
        let is_qname = labels.is_empty();
        let wild = at.starts_with("*.");
        if at != "example." && has(&at, Rtype::NS) && !wild && !(is_qname && qtype == Rtype::DS) {
            return format!("referral {at}");
        }
        if is_qname {
            let found = if has(&at, qtype) { "found" } else { "nodata" };
            return format!("{found} {at}");
        }
        if has(&at, Rtype::NS) && at != "example." && !wild {
            return format!("referral {at}");
        }
        if steered_cuts.contains(&at) {
            return format!("steered cut {at}");
        }
        if has(&at, Rtype::DNAME) && !wild {
            return format!("dname {at}");
        }
        let child = format!("{}.{at}", labels.pop().expect("not empty"));
        if exists(&child) {
            at = child;
            continue;
        }
        let star = format!("*.{at}");
        if !exists(&star) {
            return format!("nxdomain below {at}");
        }
        let found = if has(&star, qtype) { "found" } else { "nodata" };
        return format!("wildcard {found} {star}");
    }
}

#[test]
fn random_zones_answer_as_a_naive_search_does() {
    let mut pasts = 0;
    for seed in 1..=400 {
        let mut random = Random(seed * 0x9e37_79b9);
        let mut owners: BTreeMap<String, Vec<Rtype>> = BTreeMap::new();
        owners.insert("example.".to_owned(), vec![Rtype::SOA]);
        for _ in 0..random.below(14) {
            let types = [Rtype::A, Rtype::A, Rtype::TXT, Rtype::NS, Rtype::DNAME];
            let rtype = types[random.below(5) as usize];
            owners.entry(random.name()).or_default().push(rtype);
        }
        let mut steered_cuts = Vec::new();
        if random.below(3) == 0 {
            let owner = random.name();
            owners.entry(owner.clone()).or_default();
            if !owner.starts_with("*.") && owner != "example." {
                steered_cuts.push(owner);
            }
        }
        let lines = owners.iter().flat_map(|(owner, types)| types.iter().map(move |t| (owner, *t)));
        let mut lines: Vec<(&String, Rtype)> = lines.collect();
        for at in 1..lines.len() {
            lines.swap(at, random.below(at as u64 + 1) as usize);
        }
        let mut records = Records::new();
        for (owner, rtype) in lines {
            let text = if rtype == Rtype::A { "192.0.2.1" } else { "x.test." };
            push(&mut records, owner, rtype, 60, &rdata(rtype, text));
        }
        let mut names: Vec<SteeredName> =
            steered_cuts.iter().map(|owner| steered(owner, true)).collect();
        for owner in owners.iter().filter(|(_, types)| types.is_empty()).map(|(owner, _)| owner) {
            if !steered_cuts.contains(owner) {
                names.push(steered(owner, true));
            }
        }
        let zone = Zone::compile(&name("example."), &records, &names, KEY);
        for _ in 0..60 {
            let qname = random.name();
            let qtype = [Rtype::A, Rtype::DS, Rtype::NS, Rtype::TXT][random.below(4) as usize];
            let expected = naive(&owners, &steered_cuts, &qname, qtype);
            assert_eq!(ask(&zone, &qname, qtype), expected, "seed {seed}: {qname} {qtype}");
            if let Some(past) = ask_past(&zone, &qname, qtype) {
                let expected = naive(&owners, &[], &qname, qtype);
                assert_eq!(past, expected, "seed {seed}: {qname} {qtype}, nobody handed over");
                pasts += 1;
            }
        }
    }
    assert!(pasts > 100, "{pasts} names below a steered cut");
}
