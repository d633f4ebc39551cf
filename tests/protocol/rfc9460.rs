//! RFC 9460: service binding, SVCB and HTTPS, of steered names; octets, where a decoder would
//! hide them.

use crate::support::{Server, ask};

const POLICY: &str = r#"
[pool.all]
region  = "here"
members = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
answers = 2
[pool.bare]
region  = "here"
members = ["192.0.2.3"]
[record."www"]
pools = ["all"]
https = { priority = 3, mandatory = ["ech", "alpn"], ohttp = true, dohpath = "/q{?dns}", ech = "AAz+DQAIAAAAAAAAAAA=", port = 8443, no_default_alpn = true, alpn = ["h3", "h2"], params = { key65400 = "x", key9 = { hex = "001d" } } }
[record."_8443._foo.api"]
pools = ["bare"]
svcb  = { alpn = "bar", target = "svc.example.net." }
[record."bare"]
pools = ["bare"]
https = {}
[record."*.wild"]
pools = ["bare"]
https = { alpn = ["h2"] }
"#;

const ZONE: &str = "
$ORIGIN example.org.
$TTL 1h
@     SOA   ns1 hostmaster 7 2h 30m 14d 5m
@     NS    ns1
ns1   A     192.0.2.53
alias CNAME www
";

fn server() -> Server {
    Server::new(&[
        ("geo/regions.toml", "[region.here]\n"),
        ("zones/example.org.toml", POLICY),
        ("zones/example.org.zone", ZONE),
    ])
}

/// The RDATA of the only answer, as it is on the wire: there is no OPT behind it.
fn rdata(server: &mut Server, name: &str, qtype: &str) -> Vec<u8> {
    let ask = ask(name, qtype);
    let octets = server.answer(&ask.packet(), ask.client(), ask.transport());
    assert_eq!(octets[6..12], [0, 1, 0, 0, 0, 0], "one answer and nothing else");
    let record = &octets[ask.packet().len()..];
    let length = usize::from(u16::from_be_bytes([record[10], record[11]]));
    assert_eq!(record.len(), 12 + length, "nothing behind it");
    record[12..].to_vec()
}

/// Keys and values behind priority and target.
fn parameters(mut rest: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = u16::from_be_bytes([rest[0], rest[1]]);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        found.push((key, rest[4..4 + length].to_vec()));
        rest = &rest[4 + length..];
    }
    found
}

#[test]
fn section_2_2_parameters_stand_in_strictly_increasing_order() {
    let rdata = rdata(&mut server(), "www.example.org", "HTTPS");
    assert_eq!(rdata[..3], [0, 3, 0], "priority 3, and the owner as target");
    let found = parameters(&rdata[3..]);
    let keys: Vec<u16> = found.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65400]);
    assert_eq!(found[0].1, [0, 1, 0, 5], "section 8: mandatory keys are sorted");
    assert_eq!(found[1].1, b"\x02h3\x02h2", "section 7.1.1");
    assert_eq!(found[2].1, b"");
    assert_eq!(found[3].1, 8443_u16.to_be_bytes(), "section 7.2");
    let mut hints: Vec<_> = found[4].1.chunks(4).collect();
    hints.sort_unstable();
    assert_eq!(hints, [[192, 0, 2, 1], [192, 0, 2, 2]], "section 7.3");
    assert_eq!(found[6].1.len(), 16);
    assert_eq!((&found[9].1[..], &found[10].1[..]), (&[0, 0x1d][..], &b"x"[..]));
}

#[test]
fn section_2_5_1_a_target_of_its_own_is_not_compressed_and_gets_no_hints() {
    let rdata = rdata(&mut server(), "_8443._foo.api.example.org", "SVCB");
    assert_eq!(rdata[..2], [0, 1]);
    let target = b"\x03svc\x07example\x03net\0";
    assert_eq!(rdata[2..2 + target.len()], *target);
    assert_eq!(parameters(&rdata[2 + target.len()..]), [(1, b"\x03bar".to_vec())]);
}

#[test]
fn section_2_4_3_a_record_without_parameters_still_hints() {
    let rdata = rdata(&mut server(), "bare.example.org", "HTTPS");
    assert_eq!(rdata, [0, 1, 0, 0, 4, 0, 4, 192, 0, 2, 3]);
}

#[test]
fn section_4_2_an_alias_of_ours_is_followed_for_https() {
    let mut server = server();
    let message = server.ask(&ask("alias.example.org", "HTTPS"));
    let types: Vec<_> = message.answers.iter().map(|r| r.record_type().to_string()).collect();
    assert_eq!(types, ["CNAME", "HTTPS"]);
}

#[test]
fn a_wildcard_has_https_too() {
    let rdata = rdata(&mut server(), "any.wild.example.org", "HTTPS");
    assert_eq!(parameters(&rdata[3..]).len(), 2);
}

#[test]
fn https_and_svcb_are_two_types() {
    let message = server().ask(&ask("www.example.org", "SVCB"));
    assert!(message.answers.is_empty());
}

#[test]
fn what_does_not_fit_is_truncated_whole() {
    let long = format!(
        "{{ alpn = [{}] }}",
        ["\"0123456789012345678901234567890123456789\""; 12].join(", ")
    );
    let policy = POLICY.replace("https = {}", &format!("https = {long}"));
    let mut server = Server::new(&[
        ("geo/regions.toml", "[region.here]\n"),
        ("zones/example.org.toml", &policy),
        ("zones/example.org.zone", ZONE),
    ]);
    let message = server.ask(&ask("bare.example.org", "HTTPS"));
    assert!(message.metadata.truncation && message.answers.is_empty());
    let message = server.ask(&ask("bare.example.org", "HTTPS").over_tcp());
    assert_eq!(message.answers.len(), 1);
}
