//! RFC 8906: a server that does not answer is worse than one that refuses.
//!
//! Every check of section 8, and those that ISC's "EDNS compliance" report adds to it, asked over
//! UDP and over TCP of real sockets. The names in brackets are the report's, and the report itself
//! is asked at the end, inside TLS too.

use meridian::server::Transport;

use crate::rfc7858;
use crate::support::ask;
use crate::support::tls::Certificate;
use crate::wire::{WAYS, Way, Wire};

const NOERROR: u8 = 0;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;
/// The lower four bits of BADVERS; the OPT record has the upper eight.
const BADVERS_LOW: u8 = 0;

const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;
const RD: u8 = 0x01;

/// An unknown option, code 100, of two octets.
const OPTION_100: [u8; 6] = [0, 100, 0, 2, 1, 2];

/// A query as dig would send it: header bits, opcode, EDNS.
#[derive(Clone)]
struct Dig {
    name: &'static str,
    qtype: &'static str,
    opcode: u8,
    /// Third and fourth octet of the header, but for the opcode.
    flags: [u8; 2],
    edns: Option<Opt>,
}

/// An OPT record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opt {
    size: u16,
    extended_rcode: u8,
    version: u8,
    flags: u16,
    options: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
struct Reply {
    flags: [u8; 2],
    counts: [u16; 4],
    length: usize,
    edns: Option<Opt>,
}

/// `dig +norec NAME TYPE +noedns`.
fn dig(name: &'static str, qtype: &'static str) -> Dig {
    Dig { name, qtype, opcode: 0, flags: [0, 0], edns: None }
}

fn soa() -> Dig {
    dig("example.org", "SOA")
}

impl Dig {
    fn flags(mut self, high: u8, low: u8) -> Self {
        self.flags = [high, low];
        self
    }

    fn opcode(mut self, opcode: u8) -> Self {
        self.opcode = opcode;
        self
    }

    fn edns(mut self, version: u8, flags: u16, options: &[u8]) -> Self {
        let options = options.to_vec();
        self.edns = Some(Opt { size: 4096, extended_rcode: 0, version, flags, options });
        self
    }

    fn size(mut self, size: u16) -> Self {
        self.edns.as_mut().expect("EDNS").size = size;
        self
    }

    fn packet(&self) -> Vec<u8> {
        let mut packet = ask(self.name, self.qtype).packet();
        packet[2] = self.opcode << 3 | self.flags[0];
        packet[3] = self.flags[1];
        if let Some(opt) = &self.edns {
            packet[11] = 1;
            packet.extend_from_slice(&[0, 0, 41]);
            packet.extend_from_slice(&opt.size.to_be_bytes());
            packet.extend_from_slice(&[opt.extended_rcode, opt.version]);
            packet.extend_from_slice(&opt.flags.to_be_bytes());
            packet.extend_from_slice(&(opt.options.len() as u16).to_be_bytes());
            packet.extend_from_slice(&opt.options);
        }
        packet
    }
}

impl Reply {
    /// Reads a reply to `query`; what is echoed must be as it was.
    fn read(query: &[u8], octets: &[u8]) -> Self {
        assert_eq!(octets[..2], query[..2], "the id");
        assert_eq!(octets[2] & QR, QR, "QR");
        assert_eq!(octets[2] & 0x78, query[2] & 0x78, "the opcode");
        let count = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        let counts = [4, 6, 8, 10].map(count);
        let mut at = 12;
        let skip_name = |mut at: usize| loop {
            match octets[at] {
                0 => break at + 1,
                length @ 1..64 => at += 1 + usize::from(length),
                _ => break at + 2,
            }
        };
        for _ in 0..counts[0] {
            at = skip_name(at) + 4;
            assert_eq!(octets[12..at], query[12..at], "the question");
        }
        let mut edns = None;
        for _ in 0..counts[1] + counts[2] + counts[3] {
            let name_at = at;
            at = skip_name(at);
            let length = usize::from(count(at + 8));
            if count(at) == 41 {
                assert_eq!((octets[name_at], edns.is_none()), (0, true), "one OPT at the root");
                edns = Some(Opt {
                    size: count(at + 2),
                    extended_rcode: octets[at + 4],
                    version: octets[at + 5],
                    flags: count(at + 6),
                    options: octets[at + 10..at + 10 + length].to_vec(),
                });
            }
            at += 10 + length;
        }
        assert_eq!(at, octets.len(), "octets behind the last record");
        Self { flags: [octets[2], octets[3]], counts, length: octets.len(), edns }
    }

    fn rcode(&self) -> u8 {
        self.flags[1] & 0x0f
    }

    fn is(&self, flag: u8) -> bool {
        self.flags[0] & flag != 0
    }

    /// The codes of its options.
    fn options(&self) -> Vec<u16> {
        let mut codes = Vec::new();
        let mut rest = &*self.edns.as_ref().expect("OPT").options;
        while let [c0, c1, l0, l1, behind @ ..] = rest {
            codes.push(u16::from_be_bytes([*c0, *c1]));
            rest = &behind[usize::from(u16::from_be_bytes([*l0, *l1]))..];
        }
        assert!(rest.is_empty(), "octets behind the last option");
        codes
    }
}

/// Asks both ways; each reply is handed to `check`.
fn check(query: &Dig, check: impl Fn(Way, &Reply)) {
    let wire = Wire::new(crate::server());
    for way in WAYS {
        let packet = query.packet();
        let octets = wire.ask(way, &packet).unwrap_or_else(|| panic!("no answer over {way:?}"));
        check(way, &Reply::read(&packet, &octets));
    }
}

/// The whole answer: NOERROR, AA, the SOA alone, nothing reserved set, OPT as there was one.
fn check_whole(query: &Dig) {
    check(query, |way, reply| {
        assert_eq!(reply.rcode(), NOERROR, "{way:?}");
        assert!(reply.is(AA) && !reply.is(TC), "{way:?}: {reply:?}");
        assert_eq!(reply.flags[1] & 0xf0, 0, "RA, Z, AD, CD {way:?}");
        let opts = u16::from(query.edns.is_some());
        assert_eq!(reply.counts, [1, 1, 0, opts], "{way:?}");
        assert_eq!(reply.edns.is_some(), query.edns.is_some(), "{way:?}");
        if let (Some(sent), Some(got)) = (&query.edns, &reply.edns) {
            assert_eq!((got.extended_rcode, got.version), (0, 0), "{way:?}");
            assert_eq!(got.flags, sent.flags & 0x8000, "only DO comes back {way:?}");
        }
    });
}

/// BADVERS with version 0, nothing answered, no option.
fn check_badvers(query: &Dig) {
    check(query, |way, reply| {
        assert_eq!((reply.rcode(), reply.counts[1..3].to_vec()), (BADVERS_LOW, vec![0, 0]));
        let opt = reply.edns.as_ref().expect("OPT");
        assert_eq!((opt.extended_rcode, opt.version), (1, 0), "{way:?}");
        assert_eq!(opt.flags & !0x8000, 0, "reserved flags {way:?}");
        assert!(opt.options.is_empty(), "{way:?}");
    });
}

/// Section 8.1.1 \[dns]: "Is The Server Configured For The Zone?"
#[test]
fn plain_dns_is_answered() {
    check_whole(&soa());
}

/// Section 8.1.2 \[type1000]: unknown types exist as much as known ones.
#[test]
fn unknown_types_are_nodata() {
    for qtype in ["TYPE1000", "TYPE65400"] {
        check(&dig("www.example.org", qtype), |way, reply| {
            assert_eq!((reply.rcode(), reply.is(AA)), (NOERROR, true), "{way:?}");
            assert_eq!(reply.counts, [1, 0, 1, 0], "{way:?}");
        });
    }
}

/// Section 8.1.3.1 to 8.1.3.3 \[cd, ad, z]: header bits that mean nothing here change nothing and
/// are not copied; `check_whole` looks.
#[test]
fn cd_ad_and_the_reserved_bit_are_ignored() {
    for bit in [0x10, 0x20, 0x40, 0x70] {
        check_whole(&soa().flags(0, bit));
        check_whole(&soa().flags(0, bit).edns(0, 0, &[]));
    }
}

/// Section 8.1.3.4 \[rd]: RD is copied, RA is not set.
#[test]
fn a_recursive_query_is_answered_and_rd_copied() {
    check_whole(&soa().flags(RD, 0));
    check(&soa().flags(RD, 0), |way, reply| assert!(reply.is(RD), "{way:?}"));
    check(&soa(), |way, reply| assert!(!reply.is(RD), "{way:?}"));
}

/// Section 8.1.4 \[opcode, opcodeflg]: unknown opcodes are NOTIMP, not silence, whatever else is
/// set. What a question would be is not known, so none is copied.
#[test]
fn every_other_opcode_is_notimp() {
    for opcode in 1..16 {
        for flags in [[0, 0], [0x07, 0x70]] {
            check(&soa().opcode(opcode).flags(flags[0], flags[1]), |way, reply| {
                assert_eq!(reply.rcode(), NOTIMP, "opcode {opcode} {way:?}");
                assert_eq!((reply.counts, reply.flags[1] & 0xf0), ([0; 4], 0), "{way:?}");
                assert!(!reply.is(AA) && !reply.is(TC), "opcode {opcode} {way:?}");
            });
        }
    }
}

/// Section 8.2.1 \[edns, ednstcp]: EDNS is answered with EDNS.
#[test]
fn edns_0_is_answered() {
    check_whole(&soa().edns(0, 0, &[]));
}

/// Section 8.2.2 \[edns1]: a later version is BADVERS, with the one that is served.
#[test]
fn a_later_version_is_badvers() {
    for version in [1, 2, 100, 255] {
        check_badvers(&soa().edns(version, 0, &[]));
    }
}

/// Section 8.2.3 \[ednsopt]: unknown options are ignored and not echoed.
#[test]
fn unknown_options_are_ignored() {
    for options in [&OPTION_100[..], &[0xff, 0xfe, 0, 0], &OPTION_100.repeat(20)] {
        let query = soa().edns(0, 0, options);
        check_whole(&query);
        check(&query, |way, reply| assert_eq!(reply.options(), [0; 0], "{way:?}"));
    }
}

/// Section 8.2.4 \[ednsflags]: unknown flags are ignored and not echoed; `check_whole` looks.
#[test]
fn unknown_edns_flags_are_ignored() {
    for flags in [0x0040, 0x4000, 0x0001, 0x7fff] {
        check_whole(&soa().edns(0, flags, &[]));
    }
}

/// Section 8.2.5 \[edns1flags]: BADVERS, and no flag comes back.
#[test]
fn a_later_version_with_unknown_flags_is_badvers() {
    check_badvers(&soa().edns(1, 0x0040, &[]));
}

/// Section 8.2.6 \[edns1opt]: BADVERS, even where the option could not be read, since a later
/// version may write options in another way.
#[test]
fn a_later_version_with_unknown_options_is_badvers() {
    check_badvers(&soa().edns(1, 0, &OPTION_100));
    check_badvers(&soa().edns(1, 0, &[0, 8, 0, 1, 9]));
    check_badvers(&soa().edns(1, 0, &[0, 3, 0, 0]));
}

/// Section 8.2.7 \[edns@512]: what does not fit is truncated over UDP, with OPT, within the size;
/// over TCP it is whole.
#[test]
fn truncated_responses_keep_opt_and_the_size() {
    check(&dig("big.example.org", "TXT").edns(0, 0x8000, &[]).size(512), |way, reply| {
        let opt = reply.edns.as_ref().expect("OPT");
        assert_eq!((reply.rcode(), opt.version, opt.flags), (NOERROR, 0, 0x8000), "{way:?}");
        match way {
            Way::Udp => assert!(reply.is(TC) && reply.length <= 512, "{reply:?}"),
            Way::Tcp => assert!(!reply.is(TC) && reply.counts[1] == 8, "{reply:?}"),
        }
    });
}

/// Section 8.2.8 \[do, signed]: DO comes back, and from an unsigned zone there is nothing to add.
#[test]
fn do_is_echoed() {
    check_whole(&soa().edns(0, 0x8000, &[]));
    check_whole(&soa().flags(0, 0x10).edns(0, 0x8000, &[]));
    check(&dig("example.org", "DNSKEY").edns(0, 0x8000, &[]), |way, reply| {
        assert_eq!((reply.rcode(), reply.counts), (NOERROR, [1, 0, 1, 1]), "{way:?}");
    });
}

/// Section 8.2.9 \[edns1do].
#[test]
fn a_later_version_with_do_is_badvers() {
    check_badvers(&soa().edns(1, 0x8000, &[]));
}

/// Section 8.2.10 \[optlist]: options that are defined, all at once: NSID, EXPIRE, a cookie, a
/// client subnet of 0.0.0.0/0. Nothing unasked comes back.
#[test]
fn several_defined_options_at_once_are_answered() {
    let list = [
        &[0, 3, 0, 0][..],
        &[0, 9, 0, 0],
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 8, 0, 4, 0, 1, 0, 0],
    ];
    let query = soa().edns(0, 0, &list.concat());
    check_whole(&query);
    // Without `edns.nsid` there is no name to tell; EXPIRE is for secondaries of this server.
    check(&query, |way, reply| assert_eq!(reply.options(), [8, 10], "{way:?}"));
    for (option, expected) in list.iter().zip([None, None, Some(10), Some(8)]) {
        let query = soa().edns(0, 0, option);
        check_whole(&query);
        check(&query, |way, reply| {
            assert_eq!(reply.options(), Vec::from_iter(expected), "{option:?} {way:?}");
        });
    }
}

/// \[bind11, dig11]: what current resolvers and dig send of themselves.
#[test]
fn queries_as_bind_and_dig_send_them_are_answered() {
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    check_whole(&soa().edns(0, 0x8000, &cookie).size(512));
    check_whole(&soa().edns(0, 0x8000, &cookie).size(1232));
    check_whole(&soa().flags(RD, 0x20).edns(0, 0, &cookie));
}

/// A size below 512 means 512 (RFC 6891 section 6.2.3), and one above ours means ours.
#[test]
fn odd_sizes_are_taken_for_what_they_can_mean() {
    for size in [0, 1, 511, 65_535] {
        check_whole(&soa().edns(0, 0, &[]).size(size));
    }
}

/// Section 3.1.1: names of every ending are answered with EDNS as they are without.
#[test]
fn every_ending_keeps_opt() {
    for (name, qtype) in [
        ("www.example.org", "A"),
        ("nowhere.example.org", "A"),
        ("alias.example.org", "A"),
        ("x.child.example.org", "A"),
        ("a.old.example.org", "A"),
        ("www.example.net", "A"),
        ("www.example.org", "AXFR"),
        ("www.example.org", "ANY"),
    ] {
        for flags in [0, 0x8000] {
            check(&dig(name, qtype).edns(0, flags, &[]), |way, reply| {
                let opt = reply.edns.as_ref().unwrap_or_else(|| panic!("{name} {way:?}"));
                assert_eq!((opt.version, opt.flags), (0, flags), "{name} {way:?}");
            });
        }
        check(&dig(name, qtype), |way, reply| assert!(reply.edns.is_none(), "{name} {way:?}"));
    }
}

#[test]
fn other_classes_are_refused() {
    let wire = Wire::new(crate::server());
    // Reserved, CSNET, CHAOS, Hesiod, unassigned, NONE, ANY, and one for private use.
    for class in [0_u16, 2, 3, 4, 5, 254, 255, 0xff00] {
        let mut packet = soa().packet();
        let at = packet.len() - 2;
        packet[at..].copy_from_slice(&class.to_be_bytes());
        for way in WAYS {
            let octets = wire.ask(way, &packet).expect("an answer");
            let reply = Reply::read(&packet, &octets);
            assert_eq!((reply.rcode(), reply.counts), (REFUSED, [1, 0, 0, 0]), "{class} {way:?}");
            assert!(!reply.is(AA), "{class} {way:?}");
        }
    }
}

/// What ISC's report expects of a check.
enum Expected {
    /// NOERROR and AA, so many answers, DO as asked, these options.
    Answers(u16, &'static [u16]),
    /// BADVERS with version 0, and none of the query's options.
    Badvers,
    /// NOTIMP.
    Notimp,
}

/// The checks of ISC's report, in its order and by its names: those of EDNS, those that others
/// share with it, and the full list. Types are asked below.
fn report() -> Vec<(&'static str, Vec<u8>, Expected)> {
    use Expected::{Answers, Badvers, Notimp};
    const NSID: [u8; 4] = [0, 3, 0, 0];
    const SUBNET: [u8; 8] = [0, 8, 0, 4, 0, 1, 0, 0];
    const EXPIRE: [u8; 4] = [0, 9, 0, 0];
    const COOKIE: [u8; 12] = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    const UNKNOWN: [u8; 4] = [0, 100, 0, 0];
    let list = [&NSID[..], &SUBNET, &EXPIRE, &COOKIE].concat();
    let keys = || dig("example.org", "DNSKEY");
    let edns = |version, flags, options: &[u8]| soa().edns(version, flags, options).packet();
    let header = |flags: [u8; 2]| {
        let mut packet = soa().opcode(15).flags(flags[0], flags[1]).packet();
        packet.truncate(12);
        packet[5] = 0;
        packet
    };
    vec![
        ("dns", soa().packet(), Answers(1, &[])),
        ("aa", soa().flags(AA, 0).packet(), Answers(1, &[])),
        ("ad", soa().flags(0, 0x20).packet(), Answers(1, &[])),
        ("cd", soa().flags(0, 0x10).packet(), Answers(1, &[])),
        ("ra", soa().flags(0, 0x80).packet(), Answers(1, &[])),
        ("rd", soa().flags(RD, 0).packet(), Answers(1, &[])),
        ("tc", soa().flags(TC, 0).packet(), Answers(1, &[])),
        ("zflag", soa().flags(0, 0x40).packet(), Answers(1, &[])),
        ("opcode", header([0, 0]), Notimp),
        ("opcodeflg", header([AA | TC | RD, 0xf0]), Notimp),
        ("type666", dig("example.org", "TYPE666").packet(), Answers(0, &[])),
        ("tcp", soa().packet(), Answers(1, &[])),
        ("edns", edns(0, 0, &[]), Answers(1, &[])),
        ("edns1", edns(1, 0, &[]), Badvers),
        ("edns@512", keys().edns(0, 0, &[]).size(512).packet(), Answers(0, &[])),
        ("ednsopt", edns(0, 0, &UNKNOWN), Answers(1, &[])),
        ("edns1opt", edns(1, 0, &UNKNOWN), Badvers),
        ("do", edns(0, 0x8000, &[]), Answers(1, &[])),
        ("docd", soa().flags(0, 0x10).edns(0, 0x8000, &[]).packet(), Answers(1, &[])),
        ("docookie", edns(0, 0x8000, &COOKIE), Answers(1, &[10])),
        ("edns1do", edns(1, 0x8000, &[]), Badvers),
        ("ednsflags", edns(0, 0x0080, &[]), Answers(1, &[])),
        ("optlist", edns(0, 0, &list), Answers(1, &[8, 10])),
        ("ednsnsid", edns(0, 0, &NSID), Answers(1, &[])),
        ("ednscookie", edns(0, 0, &COOKIE), Answers(1, &[10])),
        ("ednsexpire", edns(0, 0, &EXPIRE), Answers(1, &[])),
        ("ednssubnet", edns(0, 0, &SUBNET), Answers(1, &[8])),
        ("edns1nsid", edns(1, 0, &NSID), Badvers),
        ("edns1cookie", edns(1, 0, &COOKIE), Badvers),
        ("edns1expire", edns(1, 0, &EXPIRE), Badvers),
        ("edns1subnet", edns(1, 0, &SUBNET), Badvers),
        ("ednstcp", keys().edns(0, 0x8000, &[]).size(512).packet(), Answers(0, &[])),
        ("signed", keys().edns(0, 0x8000, &[]).packet(), Answers(0, &[])),
        ("dnskey", keys().packet(), Answers(0, &[])),
        ("bind11", edns(0, 0x8000, &COOKIE), Answers(1, &[10])),
        ("dig11", soa().flags(RD, 0x20).edns(0, 0, &COOKIE).packet(), Answers(1, &[10])),
    ]
}

/// As the report judges: status, AA, DO, nothing reserved, sizes, versions, options unasked.
fn judge(name: &str, way: &str, packet: &[u8], octets: &[u8], expected: &Expected) {
    let reply = Reply::read(packet, octets);
    let has_edns = packet.get(11) == Some(&1);
    assert!(!reply.is(TC) && octets.len() <= 512, "{name} {way}");
    assert_eq!(reply.flags[1] & 0xf0, 0, "RA, Z, AD, CD {name} {way}");
    assert_eq!(reply.edns.is_some(), has_edns, "{name} {way}");
    if let Some(opt) = &reply.edns {
        // All these ask for the apex: OPT stands behind 12 octets, 13 and 4, its flags 7 further.
        let asked = u16::from(packet[29 + 7] & 0x80) << 8;
        assert_eq!((opt.version, opt.flags & 0x7fff), (0, 0), "{name} {way}");
        assert_eq!(opt.flags, asked, "{name} {way}");
    }
    match expected {
        Expected::Answers(answers, options) => {
            assert_eq!((reply.rcode(), reply.is(AA)), (NOERROR, true), "{name} {way}");
            assert_eq!(reply.is(RD), packet[2] & RD != 0, "{name} {way}");
            assert_eq!(reply.counts[1], *answers, "{name} {way}");
            assert_eq!(reply.counts[2], u16::from(*answers == 0), "the SOA {name} {way}");
            if has_edns {
                assert_eq!(reply.options(), *options, "{name} {way}");
            }
        }
        Expected::Badvers => {
            let opt = reply.edns.as_ref().expect("OPT");
            assert_eq!((reply.rcode(), opt.extended_rcode), (BADVERS_LOW, 1), "{name} {way}");
            assert_eq!((reply.counts[1], opt.options.len()), (0, 0), "{name} {way}");
        }
        Expected::Notimp => assert_eq!(reply.rcode(), NOTIMP, "{name} {way}"),
    }
}

#[test]
fn every_check_of_iscs_report_passes_over_udp_tcp_and_tls() {
    use std::io::Write;
    let certificate = Certificate::new();
    let wire = rfc7858::serve(&certificate, "");
    let mut inside = certificate.client(wire.tls_address());
    for (name, packet, expected) in report() {
        for way in WAYS {
            let octets = wire.ask(way, &packet).unwrap_or_else(|| panic!("{name} over {way:?}"));
            judge(name, &format!("{way:?}"), &packet, &octets, &expected);
        }
        inside.write_all(&rfc7858::framed(&packet)).expect("sent");
        judge(name, "Tls", &packet, &rfc7858::read(&mut inside), &expected);
    }
}

/// The report's list of types, and all others: whatever a type is called, a name that exists has
/// it or has not.
#[test]
fn every_type_there_can_be_is_answered() {
    let mut server = crate::server();
    let client = "192.0.2.53".parse().expect("an address");
    let mut packet = soa().edns(0, 0, &[]).packet();
    let at = packet.len() - 11 - 4;
    for qtype in 0..=u16::MAX {
        packet[at..at + 2].copy_from_slice(&qtype.to_be_bytes());
        // RFC 6895 section 3.1: these ask for something else than records of a type.
        let is_meta = matches!(qtype, 0 | 41 | 128..=255);
        for transport in [Transport::Udp, Transport::Tcp] {
            let octets = server.answer(&packet, client, transport);
            let reply = Reply::read(&packet, &octets);
            assert!(reply.edns.is_some(), "TYPE{qtype}");
            if is_meta {
                assert!([NOERROR, REFUSED].contains(&reply.rcode()), "TYPE{qtype}");
                continue;
            }
            assert_eq!((reply.rcode(), reply.is(AA)), (NOERROR, true), "TYPE{qtype}");
            let has_it = [2, 6, 15].contains(&qtype);
            assert_eq!((reply.counts[1] > 0, reply.counts[2] > 0), (has_it, !has_it));
        }
    }
}
