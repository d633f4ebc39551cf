//! What master files mean: every way to write an entry, every type, and octets that mean
//! nothing. Faults have golden files of their own in `tests/faults_zone`.

use std::path::Path;
use std::sync::Arc;

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use super::check;
use super::hash::HashKey;
use super::load::load;
use super::master;
use super::records::Records;
use crate::diagnostics::{Source, render};
use crate::wire::name::Name;
use crate::wire::types::Rtype;

fn source(path: &str, text: &[u8]) -> Arc<Source> {
    Arc::new(Source { path: path.into(), text: text.to_vec() })
}

fn origin() -> Name {
    "example.org".parse().expect("a name")
}

/// Reads `text` without faults; other files are `part.inc`.
fn read(text: &str) -> Records {
    let open = |path: &Path| {
        assert_eq!(path, Path::new("part.inc"));
        Ok(source("part.inc", b"inner A 192.0.2.77\n$ORIGIN deep\ninner A 192.0.2.78\n"))
    };
    let (records, faults) = master::read(&source("test.zone", text.as_bytes()), &origin(), &open);
    assert_eq!(render(&faults), "");
    records
}

/// Every record as `owner ttl type`.
fn heads(text: &str) -> Vec<String> {
    let records = read(text);
    let head = |record: super::records::Record<'_>| {
        format!("{} {} {}", record.owner, record.ttl.seconds(), record.rtype)
    };
    records.iter().map(head).collect()
}

/// The RDATA of the one record `text` holds, in hex.
fn rdata(text: &str) -> String {
    let records = read(&format!("$TTL 1\n@ {text}\n"));
    assert_eq!(records.len(), 1);
    let record = records.get(0).expect("one record");
    record.rdata.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn ttl_and_class_come_in_either_order_or_not_at_all() {
    let text = "$TTL 1h\na 60 IN A 192.0.2.1\na IN 2m A 192.0.2.2\na in A 192.0.2.3\na 5 A 192.0.2.4\na a 192.0.2.5\n";
    let expected = ["60", "120", "3600", "5", "3600"].map(|ttl| format!("a.example.org. {ttl} A"));
    assert_eq!(heads(text), expected);
}

#[test]
fn an_owner_left_out_is_the_one_above() {
    let text = "$TTL 1\na A 192.0.2.1\n\tA 192.0.2.2\n\n ; a comment\n  TXT x\nb.example.org. A 192.0.2.3\n@ A 192.0.2.4\n";
    let expected = ["a.example.org. 1 A", "a.example.org. 1 A", "a.example.org. 1 TXT"];
    let expected = [&expected[..], &["b.example.org. 1 A", "example.org. 1 A"]].concat();
    assert_eq!(heads(text), expected);
}

#[test]
fn a_ttl_left_out_without_a_default_is_the_one_before() {
    let text = "a 60 A 192.0.2.1\nb A 192.0.2.2\nc 5 A 192.0.2.3\nd A 192.0.2.4\n";
    let expected = ["a.example.org. 60 A", "b.example.org. 60 A", "c.example.org. 5 A"];
    assert_eq!(heads(text), [&expected[..], &["d.example.org. 5 A"]].concat());
}

#[test]
fn an_origin_completes_what_follows() {
    let text = "$TTL 1\n$ORIGIN sub\na A 192.0.2.1\n$ORIGIN sub.sub.example.org.\n@ A 192.0.2.2\n";
    assert_eq!(heads(text), ["a.sub.example.org. 1 A", "sub.sub.example.org. 1 A"]);
}

#[test]
fn an_included_file_has_its_own_origin_and_leaves_ours_alone() {
    let text =
        "$TTL 1\nout A 192.0.2.1\n$INCLUDE part.inc sub\n  TXT still-out\nout2 A 192.0.2.2\n";
    let expected = [
        "out.example.org. 1 A",
        "inner.sub.example.org. 1 A",
        "inner.deep.sub.example.org. 1 A",
        "out.example.org. 1 TXT",
        "out2.example.org. 1 A",
    ];
    assert_eq!(heads(text), expected);
}

#[test]
fn includes_go_eight_deep_and_no_deeper() {
    let open = |path: &Path| {
        let depth: usize = path.to_str().expect("ASCII").parse().expect("a number");
        let text = format!("d{depth} A 192.0.2.1\n$INCLUDE {}\n", depth + 1);
        Ok(source(&depth.to_string(), text.as_bytes()))
    };
    let (records, faults) = master::read(&source("top", b"$TTL 1\n$INCLUDE 1\n"), &origin(), &open);
    assert_eq!(records.len(), master::INCLUDE_DEPTH_MAX);
    let told = render(&faults);
    assert!(told.contains("included too deep\n --> 8:2:10"), "{told}");
}

#[test]
fn parentheses_let_an_entry_run_over_lines() {
    let text = "@ SOA ns1 hostmaster.example.org. (\n 1 ; serial\n 1h\n15m 2w\n) 5m\n";
    let (records, faults) = master::read(&source("x", text.as_bytes()), &origin(), &|_| {
        Err(std::io::ErrorKind::NotFound.into())
    });
    assert_eq!(faults.len(), 1, "only the TTL is missing");
    let soa = records.get(0).expect("the SOA").rdata;
    let numbers: Vec<u32> = soa[soa.len() - 20..]
        .chunks(4)
        .map(|octets| u32::from_be_bytes(octets.try_into().expect("four")))
        .collect();
    assert_eq!(numbers, [1, 3600, 900, 1_209_600, 300]);
}

#[test]
fn generate_makes_a_record_per_number() {
    let text = "$TTL 1\n$GENERATE 1-5/2 h-${10,4} A 192.0.2.$\n$GENERATE 10-10 x TXT \"$$ ${0,0,x}\"\n\
         $GENERATE 1-1 x TXT \"\\\"a $\\\"\"\n$GENERATE 18-18 ${0,5,n} MX 10 m${0,0,N}\n";
    let records = read(text);
    let told: Vec<String> = records.iter().map(|r| format!("{} {:?}", r.owner, r.rdata)).collect();
    let expected = [
        "h-0011.example.org. [192, 0, 2, 1]",
        "h-0013.example.org. [192, 0, 2, 3]",
        "h-0015.example.org. [192, 0, 2, 5]",
        "x.example.org. [1, 36, 1, 97]",
        "x.example.org. [3, 97, 32, 49]",
        "2.1.0.example.org. [0, 10, 2, 109, 50, 1, 49, 7, 101, 120, 97, 109, 112, 108, 101, 3, 111, 114, 103, 0]",
    ];
    assert_eq!(told, expected);
}

#[test]
fn unknown_types_and_known_ones_may_be_written_as_octets() {
    assert_eq!(rdata("TYPE65400 \\# 4 0a000001"), "0a000001");
    assert_eq!(rdata("TYPE65400 \\# 0"), "");
    assert_eq!(rdata("TYPE65400 \\# 3 0a 00 ( 0\n 1 )"), "0a0001");
    assert_eq!(rdata("A \\# 4 c0000201"), "c0000201");
    assert_eq!(rdata("TYPE1 192.0.2.1"), "c0000201");
    assert_eq!(rdata("NULL \\# 2 0102"), "0102");
}

/// Types with fields of their own, worked out by hand from their RFCs.
#[test]
fn types_have_the_wire_form_of_their_rfcs() {
    assert_eq!(rdata("TXT \"a b\" c \"\" \\100\\\"x"), "0361206201630003642278");
    assert_eq!(rdata("CAA 128 issue \"ca\""), "800569737375656361");
    assert_eq!(rdata("URI 10 1 \"ftp:x\""), "000a00016674703a78");
    assert_eq!(rdata("MX 10 ."), "000a00");
    assert_eq!(rdata("PTR a\\.b."), "03612e6200");
    let digest = "0a0B".repeat(16);
    let octets = digest.to_lowercase();
    assert_eq!(rdata(&format!("DS 1 13 2 {digest}")), format!("00010d02{octets}"));
    assert_eq!(rdata("DS 1 ECDSAP256SHA256 9 0a0B"), "00010d090a0b");
    assert_eq!(rdata("DNSKEY 257 3 13 Zm9v YmFy"), "0101030d666f6f626172");
    assert_eq!(
        rdata("NSEC . A MX RRSIG NSEC TYPE1234"),
        "00000640010000000304".to_owned()
            + "1b000000000000000000000000000000000000000000000000000020"
    );
    assert_eq!(rdata("NSEC3PARAM 1 0 12 aabb"), "0100000c02aabb");
    assert_eq!(rdata("NSEC3PARAM 1 0 0 -"), "0100000000");
    assert_eq!(rdata("NSEC3 1 1 0 - CPNMUOG A"), "01010000".to_owned() + "0004666f6f62" + "000140");
    assert_eq!(
        rdata("RRSIG A 13 2 1h 20260101000000 1767139200 7 . Zm8="),
        "00010d0200000e10".to_owned() + "6955b900" + "69546780" + "0007" + "00" + "666f"
    );
    assert_eq!(rdata("EUI48 00-00-5e-00-53-2a"), "00005e00532a");
    assert_eq!(rdata("CERT PGP 0 0 Zm8="), "0003000000666f");
    assert_eq!(rdata("CSYNC 66 3 A NS AAAA"), "0000004200030004".to_owned() + "60000008");
    assert_eq!(rdata("HTTPS 1 ."), "000100");
    assert_eq!(rdata("L32 10 192.0.2.1"), "000ac0000201");
    assert_eq!(rdata(&format!("ZONEMD 1 2 1 {digest}")), format!("000000010201{octets}"));
    assert_eq!(rdata("WALLET eth x"), "036574680178");
}

/// hickory-proto as a second opinion, for every type it reads from text.
#[test]
fn hickory_reads_the_same_octets() {
    let texts = [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("CNAME", "www.example.net."),
        ("NS", "ns.example.net."),
        ("PTR", "host.example.net."),
        ("SOA", "ns.example.net. mail.example.net. 1 3600 900 604800 300"),
        ("MX", "10 mail.example.net."),
        ("TXT", "\"one two\" three"),
        ("SRV", "1 2 5060 sip.example.net."),
        ("CAA", "0 issue \"ca.example.net\""),
        ("NAPTR", "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:i@e.org!\" ."),
        ("HINFO", "\"CPU\" \"OS\""),
        ("SSHFP", "4 3 0a0b0c0d"),
        ("TLSA", "3 1 1 0a0b0c0d"),
        ("SMIMEA", "3 1 1 0a0b0c0d"),
        ("OPENPGPKEY", "mQINBFit2joB"),
        ("CSYNC", "66 3 A NS AAAA"),
        ("SVCB", "16 foo.example.net. alpn=h2,h3 port=53"),
        ("HTTPS", "1 . alpn=h2,h3 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1"),
        ("HTTPS", "0 other.example.net."),
    ];
    for (rtype, text) in texts {
        let number = rtype.parse::<Rtype>().expect("a type").0;
        let theirs = RData::try_from_str(RecordType::from(number), text).expect(text);
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        theirs.emit(&mut encoder).expect("octets");
        let theirs: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(rdata(&format!("{rtype} {text}")), theirs, "{rtype} {text}");
    }
}

/// The examples of the types' own RFCs, where they give any, and what BIND makes of the others.
#[test]
fn rare_types_have_the_wire_form_of_their_rfcs() {
    // RFC 1876 section 4.
    assert_eq!(
        rdata("LOC 42 21 54 N 71 06 18 W -24m 30m"),
        "00331613".to_owned() + "89172dd0" + "70be15f0" + "00988d20"
    );
    assert_eq!(
        rdata("LOC 0 N 0 E 0"),
        "00121613".to_owned() + "80000000" + "80000000" + "00989680"
    );
    // RFC 3123 section 7.
    assert_eq!(
        rdata("APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:FF00::/8"),
        "00011503c0a820".to_owned() + "00011c83c0a826" + "00020801ff"
    );
    assert_eq!(rdata("APL"), "");
    // RFC 4025 section 3.2.
    assert_eq!(rdata("IPSECKEY 10 1 2 192.0.2.38 Zm8="), "0a0102c0000226666f");
    assert_eq!(rdata("IPSECKEY 10 0 0 ."), "0a0000");
    assert_eq!(rdata("IPSECKEY 10 3 2 a. Zm8="), "0a0302016100666f");
    assert_eq!(rdata("AMTRELAY 10 1 1 192.0.2.1"), "0a81c0000201");
    assert_eq!(rdata("AMTRELAY 10 0 0 ."), "0a00");
    // RFC 8005 section 6.
    assert_eq!(
        rdata("HIP 2 0a0b Zm9v a. b."),
        "02020003".to_owned() + "0a0b666f6f" + "016100016200"
    );
    assert_eq!(rdata("NID 10 0014:4fff:ff20:ee64"), "000a00144fffff20ee64");
    assert_eq!(rdata("L64 10 2001:DB8:0:1"), "000a20010db800000001");
    assert_eq!(rdata("WKS 192.0.2.1 TCP 0 smtp 17"), "c000020106".to_owned() + "80004040");
    assert_eq!(rdata("NSAP 0x47.0005.80"), "47000580");
    assert_eq!(rdata("ATMA +61200"), "013631323030");
    assert_eq!(rdata("ATMA 39.246f"), "0039246f");
    assert_eq!(rdata("A6 64 ::1:2 a."), "40".to_owned() + "0000000000010002" + "016100");
    assert_eq!(rdata("A6 0 2001:db8::1"), "00".to_owned() + "20010db8000000000000000000000001");
    assert_eq!(
        rdata("GPOS -32.6882 116.8652 10.0"),
        "082d33322e36383832".to_owned() + "083131362e38363532" + "0431302e30"
    );
    assert_eq!(rdata("NXT a. A MX NXT"), "016100".to_owned() + "40010002");
    assert_eq!(rdata("DSYNC CDS NOTIFY 5300 a."), "003b0114b4016100");
    assert_eq!(rdata("DOA 1 2 3 x -"), "00000001000000020301".to_owned() + "78");
    assert_eq!(
        rdata("ISDN 150862028003217 004"),
        "0f313530383632303238303033323137".to_owned() + "03303034"
    );
    assert_eq!(rdata("IPN 9223372036854775808"), "8000000000000000");
}

/// RFC 9460 appendix D.2.
#[test]
fn service_parameters_are_read_as_rfc_9460_shows_them() {
    let foo = "03666f6f076578616d706c6503636f6d00";
    let read = |text: &str| rdata(&format!("SVCB {text}"));
    assert_eq!(read("0 foo.example.com."), format!("0000{foo}"));
    assert_eq!(read("1 ."), "000100");
    assert_eq!(read("16 foo.example.com. port=53"), format!("0010{foo}000300020035"));
    assert_eq!(read("1 foo.example.com. key667=hello"), format!("0001{foo}029b000568656c6c6f"));
    assert_eq!(
        read("1 foo.example.com. key667=\"hello\\210qoo\""),
        format!("0001{foo}029b000968656c6c6fd2716f6f")
    );
    let wanted = "000100".to_owned()
        + "000000040001"
        + "0004"
        + "00010009026832"
        + "0568332d3139"
        + "00040004c0000201";
    assert_eq!(read("1 . alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1"), wanted);
    let escaped = "000100".to_owned() + "0001000c08665c6f6f2c626172026832";
    assert_eq!(read(r#"1 . alpn="f\\\\oo\\,bar,h2""#), escaped);
    assert_eq!(read(r"1 . alpn=f\\\092oo\092,bar,h2"), escaped);
}

/// RFC 9460 appendix D.3, and what its sections 7 and 8 forbid.
#[test]
fn bad_service_parameters_are_refused() {
    for text in [
        "key123=abc key123=def",
        "mandatory",
        "alpn",
        "port",
        "ipv4hint",
        "ipv6hint",
        "no-default-alpn=abc",
        "no-default-alpn",
        "mandatory=key123",
        "mandatory=mandatory",
        "mandatory=key123,key123 key123=abc",
        "port=65536",
        "key007=x",
        "alpn=\"\"",
        "alpn=h2,",
        "ech=!",
        "dohpath=query",
        "key3=x",
        "\"alpn=h2\"",
    ] {
        let text = format!("$TTL 1\n@ SVCB 1 . {text}\n");
        let (records, faults) =
            master::read(&source("x", text.as_bytes()), &origin(), &|_| unreachable!("no include"));
        assert_eq!((records.len(), faults.len()), (0, 1), "{text}");
    }
}

#[test]
fn a_relative_target_of_a_service_is_completed() {
    assert_eq!(rdata("HTTPS 1 web port=443"), rdata("HTTPS 1 web.example.org. port=443"));
}

#[test]
fn other_lines_ends_and_a_missing_last_one_do_no_harm() {
    let text = "$TTL 1\r\na A 192.0.2.1\r\n\r\nb TXT \"x\"\r\nc A 192.0.2.2";
    assert_eq!(heads(text), ["a.example.org. 1 A", "b.example.org. 1 TXT", "c.example.org. 1 A"]);
}

#[test]
fn a_bad_record_does_not_hide_the_good_ones() {
    let text = "$TTL 1\na A nonsense\n  A 192.0.2.1\nb A 192.0.2.2\n";
    let (records, faults) =
        master::read(&source("x", text.as_bytes()), &origin(), &|_| unreachable!("no include"));
    assert_eq!((records.len(), faults.len()), (2, 1));
    assert!(records.is_incomplete());
}

#[test]
fn reading_stops_after_many_faults() {
    let text = "a A nonsense\n".repeat(5_000);
    let (_, faults) =
        master::read(&source("x", text.as_bytes()), &origin(), &|_| unreachable!("no include"));
    assert_eq!(faults.len(), master::FAULTS_MAX + 1);
}

#[test]
fn a_fault_in_every_record_is_told_a_hundred_times() {
    let mut text = "$TTL 1\n@ SOA ns1 host 1 1h 1h 1h 60\n@ NS ns1\nns1 A 192.0.2.1\n".to_owned();
    for number in 0..250 {
        text += &format!("bad_{number} A 192.0.2.1\nx CNAME y{number}\n");
    }
    let (_, faults) =
        load(&source("x", text.as_bytes()), &origin(), &[], HashKey::random(), &|_| {
            unreachable!("no include")
        });
    let errors = faults.iter().filter(|fault| fault.is_error()).count();
    assert_eq!((errors, faults.len() - errors), (master::FAULTS_MAX, master::FAULTS_MAX));
    let told = render(&faults);
    assert!(told.contains("= help: 150 more warnings of this zone are not told"), "{told}");
    assert!(told.contains("= help: 149 more errors of this zone are not told"), "{told}");
}

/// Random texts of pieces that mean something, cut and joined at random, and random octets:
/// nothing panics, every fault can be drawn, and loading in one go tells the same faults.
#[test]
fn nonsense_never_panics() {
    const PIECES: [&str; 48] = [
        "\n",
        "\n",
        "\n",
        " ",
        " ",
        " ",
        "\t",
        "(",
        ")",
        "\"",
        ";",
        "\\",
        "\\0",
        "\\255",
        "\\#",
        "@",
        ".",
        "..",
        "$TTL ",
        "$ORIGIN ",
        "$INCLUDE a",
        "$GENERATE 1-3 ",
        "$",
        "${",
        "${1,2,x}",
        "1",
        "60",
        "1h",
        "99999999999",
        "-",
        "a",
        "*",
        "*.b",
        "www.example.org.",
        "IN",
        "CH",
        "A",
        "AAAA 2001:db8::1",
        "SOA a b 1 2 3 4 5",
        "NS ns",
        "CNAME x",
        "DNAME y",
        "MX 10 m",
        "TXT \"x\"",
        "HTTPS 1 . alpn=\"h2\" key7=x",
        "NSEC3 1 1 0 - 0p9 A",
        "RRSIG A 1 2 3",
        "\u{e9}",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = move |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    for _ in 0..6_000 {
        let mut text = Vec::new();
        for _ in 0..below(40) {
            match below(12) {
                0 => text.push(below(256) as u8),
                _ => text.extend_from_slice(PIECES[below(48) as usize].as_bytes()),
            }
        }
        let source = source("nonsense.zone", &text);
        let open = |_: &Path| Ok(Arc::clone(&source));
        let (records, mut faults) = master::read(&source, &origin(), &open);
        let readable = !records.is_incomplete();
        faults.extend(check::check(&records, &origin(), &[]));
        let told = render(&faults);
        let (_, faults) = load(&source, &origin(), &[], HashKey::random(), &open);
        assert!(!readable || render(&faults) == told, "{}", String::from_utf8_lossy(&text));
    }
}
