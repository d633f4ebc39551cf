//! Addresses and what stands in their place: APL, WKS, IPSECKEY, AMTRELAY, HIP, NID, L64, NSAP,
//! ATMA, A6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Fault, Input, digit_fault, ipv4, ipv6, number, one};
use crate::zone::fields::Field;
use crate::zone::scan::Token;
use crate::zone::text;

/// One prefix of APL: `[!]FAMILY:ADDRESS/LENGTH` (RFC 3123 section 5). The address goes out
/// without its trailing zeros (section 4).
pub(super) fn prefix(octets: &[u8], token: Token, out: &mut Vec<u8>) -> Result<(), Fault> {
    let fault = || {
        Fault::new(token.range(), "bad address prefix")
            .label("[!]<family>:<address>/<prefix length> expected, family 1 or 2")
            .help("for example: 1:192.0.2.0/24 !2:2001:db8::/32 (RFC 3123)")
    };
    let (negation, rest) = match octets {
        [b'!', rest @ ..] => (0x80, rest),
        rest => (0, rest),
    };
    let text = std::str::from_utf8(rest).map_err(|_| fault())?;
    let (family, rest) = text.split_once(':').ok_or_else(fault)?;
    let (address, length) = rest.split_once('/').ok_or_else(fault)?;
    let length = text::number(length.as_bytes()).ok_or_else(fault)?;
    let (number, most, address) = match text::number(family.as_bytes()) {
        Some(1) => {
            let address: Ipv4Addr = address.parse().map_err(|_| fault())?;
            (1, 32, address.octets().to_vec())
        }
        Some(2) => {
            let address: Ipv6Addr = address.parse().map_err(|_| fault())?;
            (2, 128, address.octets().to_vec())
        }
        _ => return Err(fault()),
    };
    if length > most {
        return Err(fault());
    }
    let kept = address.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&[0, number, length as u8, negation | kept as u8]);
    out.extend_from_slice(&address[..kept]);
    Ok(())
}

/// `TCP`, `UDP` or a number (RFC 1010 names more; no server of today writes them).
pub(super) fn protocol(octets: &[u8], token: Token) -> Result<u8, Fault> {
    let names: [(&str, u8); 3] = [("icmp", 1), ("tcp", 6), ("udp", 17)];
    match names.iter().find(|(name, _)| octets.eq_ignore_ascii_case(name.as_bytes())) {
        Some((_, protocol)) => Ok(*protocol),
        None => Ok(number("protocol", octets, token, u64::from(u8::MAX))? as u8),
    }
}

/// Services that RFC 1010 knew and that still have their ports, and some of today.
const SERVICES: [(&str, u16); 35] = [
    ("echo", 7),
    ("discard", 9),
    ("systat", 11),
    ("daytime", 13),
    ("netstat", 15),
    ("qotd", 17),
    ("chargen", 19),
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("nameserver", 42),
    ("whois", 43),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("kerberos", 88),
    ("hostnames", 101),
    ("pop3", 110),
    ("sunrpc", 111),
    ("auth", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("imap", 143),
    ("imap2", 143),
    ("snmp", 161),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
];

/// RFC 1035 section 3.4.2: a bit for each port.
pub(super) fn services(tokens: &[Token], input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    for token in tokens {
        let octets = token.text(input.text);
        let known = SERVICES.iter().find(|(name, _)| octets.eq_ignore_ascii_case(name.as_bytes()));
        let port = match known {
            Some((_, port)) => *port,
            None => number("service", octets, *token, u64::from(u16::MAX)).map_err(|fault| {
                fault.help("a service without a name here is written as its port")
            })? as u16,
        };
        let at = start + usize::from(port) / 8;
        if out.len() <= at {
            out.resize(at + 1, 0);
        }
        out[at] |= 0x80 >> (port % 8);
    }
    Ok(())
}

/// Four groups of up to four hex digits (RFC 6742 sections 2.1.2 and 2.3.2).
pub(super) fn locator(
    what: &str,
    octets: &[u8],
    token: Token,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    let mut groups = 0;
    for group in octets.split(|&octet| octet == b':') {
        let digits = std::str::from_utf8(group).ok().filter(|_| matches!(group.len(), 1..=4));
        let digits = digits.filter(|digits| !digits.starts_with('+'));
        let Some(value) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else {
            groups = 0;
            break;
        };
        out.extend_from_slice(&value.to_be_bytes());
        groups += 1;
    }
    if groups == 4 {
        return Ok(());
    }
    out.truncate(start);
    Err(Fault::new(token.range(), format!("bad {what}"))
        .label("four groups of hex digits with colons expected")
        .help("for example 2001:db8:0:1"))
}

/// What the second octet of the RDATA says.
pub(super) fn gateway(
    what: &str,
    token: Token,
    input: Input<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let octets = token.text(input.text);
    match out.get(1).map(|kind| kind & 0x7f) {
        Some(0) if octets == b"." => {}
        Some(0) => {
            return Err(Fault::new(token.range(), format!("type 0 says that there is no {what}"))
                .label("a single dot expected"));
        }
        Some(1) => out.extend_from_slice(&ipv4(octets, token)?.octets()),
        Some(2) => out.extend_from_slice(&ipv6(octets, token)?.octets()),
        Some(3) => one(Field::Name, what, token, input, out)?,
        _ => {
            return Err(Fault::new(
                token.range(),
                format!("a {what} of this type has no text form"),
            )
            .label("its type is neither 0, 1, 2 nor 3")
            .help("write the record as \\# LENGTH HEX (RFC 3597)"));
        }
    }
    Ok(())
}

/// RFC 8005 section 5: the lengths stand in octets 0, 2 and 3.
pub(super) fn hip_tag(octets: &[u8], token: Token, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    text::hex(octets, out).map_err(|at| digit_fault(token, at, "hex digit"))?;
    match u8::try_from(out.len() - start) {
        Ok(length @ 1..) => out[0] = length,
        _ => {
            return Err(Fault::new(token.range(), "bad host identity tag")
                .label("1 to 255 octets expected"));
        }
    }
    Ok(())
}

/// As [`hip_tag`], for the public key.
pub(super) fn hip_key(octets: &[u8], token: Token, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    text::base64(octets, out).map_err(|at| digit_fault(token, at, "Base64 digit"))?;
    let length = u16::try_from(out.len() - start).ok().filter(|&length| length > 0);
    let length = length.ok_or_else(|| {
        Fault::new(token.range(), "bad public key").label("1 to 65535 octets expected")
    })?;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// RFC 1706 section 6: `0x` and pairs of hex digits; dots mean nothing.
pub(super) fn nsap(octets: &[u8], token: Token, out: &mut Vec<u8>) -> Result<(), Fault> {
    let digits: Vec<u8> = octets.iter().copied().filter(|&octet| octet != b'.').collect();
    match digits.split_at_checked(2) {
        Some((b"0x" | b"0X", digits)) if !digits.is_empty() && text::hex(digits, out).is_ok() => {
            Ok(())
        }
        _ => Err(Fault::new(token.range(), "not an NSAP address")
            .label("0x and pairs of hex digits expected")
            .help("for example 0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00")),
    }
}

/// `+` and digits (E.164, format 1), or pairs of hex digits (an ATM end system, format 0).
pub(super) fn atm(octets: &[u8], token: Token, out: &mut Vec<u8>) -> Result<(), Fault> {
    let fault = || {
        Fault::new(token.range(), "not an ATM address")
            .label("+ and digits, or pairs of hex digits, expected")
    };
    let plain: Vec<u8> = octets.iter().copied().filter(|&octet| octet != b'.').collect();
    match plain.split_first() {
        Some((b'+', digits)) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            out.push(1);
            out.extend_from_slice(digits);
            Ok(())
        }
        Some((b'+', _)) | None => Err(fault()),
        Some(_) => {
            out.push(0);
            text::hex(&plain, out).map_err(|_| fault())
        }
    }
}

/// RFC 2874 section 3.1: as much of the address as the prefix leaves, then the prefix's name.
pub(super) fn suffix(tokens: &[Token], input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let bits = out.first().map_or(0, |&bits| usize::from(bits));
    if bits > 128 {
        let token = input.tokens.first().unwrap_or(&input.type_token);
        return Err(Fault::new(token.range(), "bad prefix length").label("128 at most"));
    }
    let mut rest = tokens.iter();
    let end = || input.tokens.last().unwrap_or(&input.type_token).range();
    if bits < 128 {
        let token = rest.next().ok_or_else(|| Fault::new(end(), "the suffix is missing"))?;
        let address = ipv6(token.text(input.text), *token)?.octets();
        let kept = &address[bits / 8..];
        let first = out.len();
        out.extend_from_slice(kept);
        // Bits of the prefix are not the suffix's to say.
        out[first] &= 0xff >> (bits % 8);
    }
    if bits > 0 {
        let token = rest.next().ok_or_else(|| Fault::new(end(), "the prefix's name is missing"))?;
        one(Field::Name, "prefix name", *token, input, out)?;
    }
    match rest.next() {
        Some(token) => Err(Fault::new(token.range(), "too much data for A6").label("not expected")),
        None => Ok(()),
    }
}
