//! RDATA text into wire form: the table in [`super::fields`] says which fields each type has,
//! one reader reads them. RFC 3597's `\#` fits every type.

mod addresses;
mod location;
mod octets;
mod service;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::fields::{Field, Schema, schema};
use super::scan::Token;
use super::text::{self, TtlFault};
use crate::wire::name::{NameError, NameRef};
use crate::wire::types::Rtype;

/// A fault in one entry: what to say, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
}

/// What one entry's RDATA is read from.
#[derive(Clone, Copy)]
pub(super) struct Input<'t> {
    /// The whole file.
    pub(super) text: &'t [u8],
    /// The type's own token.
    pub(super) type_token: Token,
    /// The tokens behind the type.
    pub(super) tokens: &'t [Token],
    /// What completes relative names.
    pub(super) origin: NameRef<'t>,
}

/// Reads the RDATA of `rtype` and puts its wire form into `out`.
pub(super) fn read(rtype: Rtype, input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    out.clear();
    if matches!(rtype, Rtype::MD | Rtype::MF) {
        // RFC 1035 sections 3.3.4 and 3.3.5.
        let message = format!("{rtype} is obsolete");
        return Err(Fault::new(input.type_token.range(), message).help("use MX (RFC 973)"));
    }
    if let Some((first, rest)) = input.tokens.split_first()
        && !first.quoted
        && first.text(input.text) == b"\\#"
    {
        generic(rtype, *first, rest, input, out)
    } else if let Some(schema) = schema(rtype) {
        fields(rtype, schema, input, out)
    } else {
        let message = format!("{rtype} records have no text form here");
        let help = format!("write the octets: {rtype} \\# LENGTH HEX (RFC 3597)");
        Err(Fault::new(input.type_token.range(), message).help(help))
    }?;
    if out.len() > usize::from(u16::MAX) {
        let message = format!("{} octets are more than one record can hold", out.len());
        return Err(Fault::new(input.all(), message).label("65535 octets at most"));
    }
    Ok(())
}

fn fields(rtype: Rtype, schema: Schema, input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = input.tokens;
    for (what, field) in schema {
        let (first, after) = match rest.split_first() {
            Some((first, after)) => (*first, after),
            None if *field == Field::Suffix => (input.type_token, rest),
            // An algorithm that is not 0 has a key.
            None if *field == Field::IpsecKey && out.get(2) != Some(&0) => {
                return Err(missing(rtype, what, schema, input));
            }
            None if field.may_be_absent() => continue,
            None => return Err(missing(rtype, what, schema, input)),
        };
        let fault = |fault: Fault| match fault.help {
            Some(_) => fault,
            None => fault.help(form(rtype, schema)),
        };
        rest = match field {
            _ if first.quoted && !field.may_be_quoted() => {
                let fault = Fault::new(first.range(), format!("the {what} is in quotes"));
                return Err(fault.label("quotes are for text").help(form(rtype, schema)));
            }
            _ if field.is_last() => {
                several(*field, what, rest, input, out).map_err(fault)?;
                &[]
            }
            _ => {
                one(*field, what, first, input, out).map_err(fault)?;
                after
            }
        };
    }
    match rest.split_first() {
        None => together(rtype, input, out),
        Some((first, _)) => {
            let end = rest.last().unwrap_or(first).range().end;
            let fault = Fault::new(first.range().start..end, format!("too much data for {rtype}"));
            Err(fault.label("not expected").help(form(rtype, schema)))
        }
    }
}

/// What holds between fields: how long a digest is, who can have signed.
fn together(rtype: Rtype, input: Input<'_>, out: &[u8]) -> Result<(), Fault> {
    if rtype == Rtype::RRSIG
        && let (Some(&labels), Some(Ok((signer, _)))) =
            (out.get(3), out.get(18..).map(NameRef::split_from))
        && usize::from(labels) < signer.label_count()
    {
        // RFC 4035 section 5.3.1: the signer is the zone that contains the owner.
        let signer = input.tokens.get(7).unwrap_or(&input.type_token).range();
        return Err(Fault::new(signer, "the signer has more labels than what is signed")
            .label(format!("{labels} labels at most, as the signature says")));
    }
    // RFC 4034 section 5.1.4, 4509 section 2.1, 5933 section 4, 6605 section 2; RFC 4255
    // section 3.1.2, 6594 section 4.1; RFC 8976 sections 2.2.3 and 2.2.4.
    let (head, expected) = match (rtype, out) {
        (Rtype::DS | Rtype::CDS | Rtype::TA | Rtype::DLV, [_, _, _, kind, ..]) => {
            (4, [(1, 20), (2, 32), (3, 32), (4, 48)].iter().find(|(of, _)| of == kind))
        }
        (Rtype::SSHFP, [_, kind, ..]) => (2, [(1, 20), (2, 32)].iter().find(|(of, _)| of == kind)),
        (Rtype::ZONEMD, [_, _, _, _, 1, kind, ..]) => {
            (6, [(1, 48), (2, 64)].iter().find(|(of, _)| of == kind))
        }
        _ => return Ok(()),
    };
    let length = out.len() - head;
    let place = || input.tokens.last().unwrap_or(&input.type_token).range();
    match expected {
        Some((_, octets)) if *octets != length => {
            Err(Fault::new(place(), format!("this digest has {length} octets"))
                .label(format!("a digest of this type has {octets}")))
        }
        None if rtype == Rtype::ZONEMD && length < ZONEMD_MIN => {
            Err(Fault::new(place(), format!("this digest has {length} octets"))
                .label(format!("{ZONEMD_MIN} at least")))
        }
        _ => Ok(()),
    }
}

/// RFC 8976 section 2.2.4: a digest has at least so many octets.
const ZONEMD_MIN: usize = 12;

fn missing(rtype: Rtype, what: &str, schema: Schema, input: Input<'_>) -> Fault {
    let after = input.tokens.last().unwrap_or(&input.type_token).range();
    Fault::new(after, format!("the {what} of this {rtype} record is missing"))
        .label(format!("{what} expected after this"))
        .help(form(rtype, schema))
}

/// How a record of this type is written.
fn form(rtype: Rtype, schema: Schema) -> String {
    let fields: Vec<String> = schema.iter().map(|(what, _)| format!("<{what}>")).collect();
    format!("written as: {rtype} {}", fields.join(" "))
}

/// Reads a field of one token.
fn one(
    field: Field,
    what: &str,
    token: Token,
    input: Input<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let octets = token.text(input.text);
    match field {
        Field::Ipv4 => out.extend_from_slice(&ipv4(octets, token)?.octets()),
        Field::Ipv6 => out.extend_from_slice(&ipv6(octets, token)?.octets()),
        Field::Name if what == "mailbox" && octets.len() > 1 && octets.contains(&b'@') => {
            let dotted = String::from_utf8_lossy(octets).replace('@', ".");
            return Err(Fault::new(token.range(), "bad mailbox: '@' inside a name")
                .label("a name expected")
                .help(format!("a mailbox is written with a dot: {dotted} (RFC 1035 section 8)")));
        }
        Field::Name => {
            text::name(octets, input.origin.as_wire(), out)
                .map_err(|(error, at)| name_fault(error, at, token, input.text, input.origin))?;
        }
        Field::U8 => out.push(number(what, octets, token, u64::from(u8::MAX))? as u8),
        Field::U16 => {
            let number = number(what, octets, token, u64::from(u16::MAX))? as u16;
            out.extend_from_slice(&number.to_be_bytes());
        }
        Field::U32 => {
            let number = number(what, octets, token, u64::from(u32::MAX))? as u32;
            out.extend_from_slice(&number.to_be_bytes());
        }
        Field::Seconds => out.extend_from_slice(&seconds(what, octets, token)?.to_be_bytes()),
        Field::Type => {
            let rtype = text::rtype(octets).ok_or_else(|| unknown_type(octets, token))?;
            out.extend_from_slice(&rtype.0.to_be_bytes());
        }
        Field::Time => {
            let time = time(octets).ok_or_else(|| {
                Fault::new(token.range(), format!("bad {what} time"))
                    .label("neither YYYYMMDDHHmmSS nor seconds since 1970")
            })?;
            out.extend_from_slice(&time.to_be_bytes());
        }
        Field::Tag => {
            if octets.is_empty() || !octets.iter().all(u8::is_ascii_alphanumeric) {
                return Err(Fault::new(token.range(), "bad property tag")
                    .label("letters and digits only")
                    .help("the usual tags are issue, issuewild and iodef"));
            }
            counted(octets, token, out, |octets, out| {
                out.extend_from_slice(octets);
                Ok(())
            })?;
        }
        Field::Text | Field::TextOrNone => character_string(token, input, out)?,
        Field::Digits => {
            if octets.len() < 4 || !octets.iter().all(u8::is_ascii_digit) {
                return Err(Fault::new(token.range(), format!("bad {what}: not a number"))
                    .label("four digits or more expected (RFC 1183 section 3.1)"));
            }
            character_string(token, input, out)?;
        }
        Field::Decimal => location::decimal(what, token, input, out)?,
        Field::Rest => {
            text::unescaped(octets, out).map_err(|((), at)| escape_fault(token, at))?;
        }
        Field::Salt if octets == b"-" => out.push(0),
        Field::Salt => counted(octets, token, out, |octets, out| {
            text::hex(octets, out).map_err(|at| digit_fault(token, at, "hex digit"))
        })?,
        Field::Hash => counted(octets, token, out, |octets, out| {
            text::base32(octets, out).map_err(|at| digit_fault(token, at, "Base32hex digit"))
        })?,
        Field::Certificate => {
            let kind = named(what, CERTIFICATES, octets, token, u64::from(u16::MAX))? as u16;
            out.extend_from_slice(&kind.to_be_bytes());
        }
        Field::Algorithm => out.push(named(what, ALGORITHMS, octets, token, 255)? as u8),
        Field::Scheme => out.push(named(what, &[("NOTIFY", 1)], octets, token, 255)? as u8),
        Field::Eui(count) => eui(octets, usize::from(count), token, out)?,
        Field::U64 => {
            let number = number(what, octets, token, u64::MAX)?;
            out.extend_from_slice(&number.to_be_bytes());
        }
        Field::Locator => addresses::locator(what, octets, token, out)?,
        Field::Protocol => out.push(addresses::protocol(octets, token)?),
        Field::HighBit => out.push((number(what, octets, token, 1)? as u8) << 7),
        Field::LowBits => {
            let low = number(what, octets, token, 127)? as u8;
            if let Some(last) = out.last_mut() {
                *last |= low;
            }
        }
        Field::Gateway => addresses::gateway(what, token, input, out)?,
        Field::HipAlgorithm => {
            let algorithm = number(what, octets, token, u64::from(u8::MAX))? as u8;
            out.extend_from_slice(&[0, algorithm, 0, 0]);
        }
        Field::HipTag => addresses::hip_tag(octets, token, out)?,
        Field::HipKey => addresses::hip_key(octets, token, out)?,
        Field::Nsap => addresses::nsap(octets, token, out)?,
        Field::Atm => addresses::atm(octets, token, out)?,
        Field::Texts
        | Field::Hex
        | Field::Base64
        | Field::Base64OrNone
        | Field::Base64OrDash
        | Field::IpsecKey
        | Field::Types
        | Field::OldTypes
        | Field::Parameters
        | Field::Location
        | Field::Prefixes
        | Field::Services
        | Field::Names
        | Field::Suffix => {}
    }
    Ok(())
}

/// Reads a field that takes all tokens to the end.
fn several(
    field: Field,
    what: &str,
    tokens: &[Token],
    input: Input<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    match field {
        Field::Texts => tokens.iter().try_for_each(|token| character_string(*token, input, out)),
        Field::Types => types(tokens, input, out),
        Field::OldTypes => old_types(tokens, input, out),
        Field::Parameters => service::parameters(tokens, input, out),
        Field::Location => location::location(tokens, input, out),
        Field::Prefixes => tokens
            .iter()
            .try_for_each(|token| addresses::prefix(token.text(input.text), *token, out)),
        Field::Services => addresses::services(tokens, input, out),
        Field::Names => {
            tokens.iter().try_for_each(|token| one(Field::Name, what, *token, input, out))
        }
        Field::Suffix => addresses::suffix(tokens, input, out),
        Field::Base64OrDash if matches!(tokens, [dash] if dash.text(input.text) == b"-") => Ok(()),
        _ => {
            let joined: Vec<u8> =
                tokens.iter().flat_map(|token| token.text(input.text)).copied().collect();
            let (result, digits) = match field {
                Field::Hex => (text::hex(&joined, out), "hex digits"),
                _ => (text::base64(&joined, out), "Base64"),
            };
            result.map_err(|at| {
                let last = at + 1 == joined.len();
                let label = if last { "cut short, or not" } else { "not" };
                Fault::new(place(tokens, at), format!("bad {what}: not {digits}"))
                    .label(format!("{label} {digits}"))
            })
        }
    }
}

/// Where octet `at` of the joined tokens stands in the file.
fn place(tokens: &[Token], mut at: usize) -> Range<usize> {
    for token in tokens {
        let length = (token.end - token.start) as usize;
        if at < length {
            let start = token.start as usize + at;
            return start..start + 1;
        }
        at -= length;
    }
    tokens.last().map_or(0..0, |token| token.range())
}

/// RFC 3597 section 5: `\# LENGTH HEX`.
fn generic(
    rtype: Rtype,
    marker: Token,
    tokens: &[Token],
    input: Input<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    const FORM: &str = "written as: \\# <length> <hex digits> (RFC 3597)";
    let Some((first, digits)) = tokens.split_first() else {
        return Err(Fault::new(marker.range(), "the length of the data is missing").help(FORM));
    };
    let length = number("length", first.text(input.text), *first, u64::from(u16::MAX))
        .map_err(|fault| fault.help(FORM))? as usize;
    several(Field::Hex, "data", digits, input, out).map_err(|fault| fault.help(FORM))?;
    if out.len() != length {
        let message = format!("the length says {length} octets, and the data has {}", out.len());
        return Err(Fault::new(first.range(), message).help(FORM));
    }
    if schema(rtype).is_some_and(|schema| !octets::fit(schema, out)) {
        let message = format!("these octets are no {rtype} data");
        return Err(Fault::new(input.all(), message).label(format!("not the form of {rtype}")));
    }
    Ok(())
}

fn character_string(token: Token, input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    counted(token.text(input.text), token, out, |octets, out| {
        text::unescaped(octets, out).map_err(|((), at)| escape_fault(token, at))
    })
}

/// Appends what `read` makes of `octets`, a length octet in front.
fn counted(
    octets: &[u8],
    token: Token,
    out: &mut Vec<u8>,
    read: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let at = out.len();
    out.push(0);
    read(octets, out)?;
    let length = out.len() - at - 1;
    out[at] = u8::try_from(length).map_err(|_| {
        Fault::new(token.range(), format!("text of {length} octets is too long"))
            .label("255 octets at most")
            .help("write it as several quoted texts, one after the other")
    })?;
    Ok(())
}

/// RFC 4034 section 4.1.2: windows of 256 types, empty ones left out.
fn types(tokens: &[Token], input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut types = Vec::new();
    for token in tokens {
        let octets = token.text(input.text);
        types.push(text::rtype(octets).ok_or_else(|| unknown_type(octets, *token))?.0);
    }
    types.sort_unstable();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bitmap = [0_u8; 32];
        for rtype in window {
            bitmap[usize::from(rtype & 0xff) / 8] |= 0x80 >> (rtype % 8);
        }
        let length = bitmap.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        out.extend_from_slice(&[(window[0] >> 8) as u8, length as u8]);
        out.extend_from_slice(&bitmap[..length]);
    }
    Ok(())
}

/// RFC 2535 section 5.2: one bitmap for the types below 128.
fn old_types(tokens: &[Token], input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut bitmap = [0_u8; 16];
    for token in tokens {
        let octets = token.text(input.text);
        let rtype = text::rtype(octets).ok_or_else(|| unknown_type(octets, *token))?.0;
        let Some(octet) = bitmap.get_mut(usize::from(rtype) / 8) else {
            return Err(Fault::new(token.range(), "this type has no place in an NXT record")
                .label("types below 128 only"));
        };
        *octet |= 0x80 >> (rtype % 8);
    }
    let length = bitmap.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&bitmap[..length]);
    Ok(())
}

fn ipv4(octets: &[u8], token: Token) -> Result<Ipv4Addr, Fault> {
    text::ipv4(octets).ok_or_else(|| {
        let text = std::str::from_utf8(octets).unwrap_or_default();
        let fault = Fault::new(token.range(), "not an IPv4 address");
        if text.parse::<Ipv6Addr>().is_ok() {
            fault.label("this is an IPv6 address").help("use AAAA for IPv6 addresses")
        } else if text.bytes().any(|octet| octet.is_ascii_alphabetic()) {
            fault.label("this is a name").help("use CNAME to point to another name")
        } else {
            fault.label("four numbers up to 255 expected").help("for example 192.0.2.1")
        }
    })
}

fn ipv6(octets: &[u8], token: Token) -> Result<Ipv6Addr, Fault> {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    text.parse().map_err(|_| {
        let fault = Fault::new(token.range(), "not an IPv6 address");
        if text.parse::<Ipv4Addr>().is_ok() {
            fault.label("this is an IPv4 address").help("use A for IPv4 addresses")
        } else {
            fault.label("IPv6 address expected").help("for example 2001:db8::1")
        }
    })
}

fn number(what: &str, octets: &[u8], token: Token, most: u64) -> Result<u64, Fault> {
    let fault = |message: String| {
        Fault::new(token.range(), message).label(format!("a number up to {most} expected"))
    };
    if octets.is_empty() || !octets.iter().all(u8::is_ascii_digit) {
        return Err(fault(format!("bad {what}: not a number")));
    }
    text::number(octets)
        .filter(|&number| number <= most)
        .ok_or_else(|| fault(format!("bad {what}: too large")))
}

fn seconds(what: &str, octets: &[u8], token: Token) -> Result<u32, Fault> {
    let fault = match text::seconds(octets) {
        Ok(seconds) => match u32::try_from(seconds) {
            Ok(seconds) => return Ok(seconds),
            Err(_) => "too long",
        },
        Err(TtlFault::TooLong) => "too long",
        Err(TtlFault::NoTtl) => "not a time",
    };
    Err(Fault::new(token.range(), format!("bad {what}: {fault}"))
        .label("seconds, or for example 1h30m, expected"))
}

/// RFC 4034 section 3.2, modulo 2^32.
fn time(octets: &[u8]) -> Option<u32> {
    let number = text::number(octets)?;
    if octets.len() != 14 {
        return u32::try_from(number).ok();
    }
    let (date, clock) = (number / 1_000_000, number % 1_000_000);
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let (hour, minute, second) = (clock / 10_000, clock / 100 % 100, clock % 100);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    // Days since 1970 with years that begin in March, so that leap days come last.
    let shifted = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    Some((days * 86_400 + hour * 3_600 + minute * 60 + second) as u32)
}

/// RFC 4398 section 2.1.
const CERTIFICATES: Mnemonics = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// IANA "DNS Security Algorithm Numbers".
const ALGORITHMS: Mnemonics = &[
    ("DELETE", 0),
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3DSA", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECCGOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("SM2SM3", 17),
    ("ECC-GOST12", 23),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Names of numbers.
type Mnemonics = &'static [(&'static str, u64)];

/// A number, or a name of one.
fn named(
    what: &str,
    names: Mnemonics,
    octets: &[u8],
    token: Token,
    most: u64,
) -> Result<u64, Fault> {
    if octets.first().is_some_and(u8::is_ascii_digit) {
        return number(what, octets, token, most);
    }
    match names.iter().find(|(name, _)| octets.eq_ignore_ascii_case(name.as_bytes())) {
        Some((_, number)) => Ok(*number),
        None => {
            let fault = Fault::new(token.range(), format!("bad {what}: no such name"))
                .label(format!("a number up to {most} or a name expected"));
            Err(match text::nearest(octets, names.iter().map(|(name, _)| *name)) {
                Some(like) => fault.help(format!("did you mean '{like}'?")),
                None => fault,
            })
        }
    }
}

fn eui(octets: &[u8], count: usize, token: Token, out: &mut Vec<u8>) -> Result<(), Fault> {
    let pairs: Vec<&[u8]> = octets.split(|&octet| octet == b'-').collect();
    let whole = pairs.len() == count && pairs.iter().all(|pair| pair.len() == 2);
    if whole && pairs.iter().all(|pair| text::hex(pair, out).is_ok()) {
        return Ok(());
    }
    Err(Fault::new(token.range(), format!("not an EUI-{} address", count * 8))
        .label(format!("{count} pairs of hex digits with hyphens between them expected")))
}

/// What to say of a name that is none.
pub(super) fn name_fault(
    error: NameError,
    at: Range<usize>,
    token: Token,
    file: &[u8],
    origin: NameRef<'_>,
) -> Fault {
    let start = token.start as usize;
    let range = start + at.start..(start + at.end).max(start + at.start + 1);
    let text = String::from_utf8_lossy(token.text(file));
    let fault = Fault::new(range, format!("bad name: {error}"));
    match error {
        NameError::EmptyLabel => fault
            .label(if text.is_empty() { "a name expected" } else { "nothing between two dots" })
            .help("the root is written as a single dot, the origin as @"),
        NameError::BadEscape => fault.label("a backslash and three digits up to 255, or a sign"),
        NameError::NameTooLong => {
            let completed = format!("completed with the origin {origin}");
            fault.label(if text.ends_with('.') { "too long".to_owned() } else { completed })
        }
        NameError::LabelTooLong | NameError::BadWire => fault.label("too long"),
    }
}

/// What to say of a word where a type should be.
pub(super) fn unknown_type(octets: &[u8], token: Token) -> Fault {
    let text = String::from_utf8_lossy(octets);
    let fault = Fault::new(token.range(), format!("unknown record type '{text}'"));
    // Nobody means one of these by a slip of the finger.
    const HISTORIC: [&str; 12] =
        ["A6", "TA", "MD", "MF", "MB", "MG", "MR", "EID", "NXT", "UID", "GID", "DLV"];
    let candidates = crate::wire::types::mnemonics().filter(|known| !HISTORIC.contains(known));
    match text::nearest(octets, candidates) {
        Some(like) => fault.help(format!("did you mean '{like}'?")),
        None => fault.help("types without a name are written as TYPE and a number (RFC 3597)"),
    }
}

fn escape_fault(token: Token, at: Range<usize>) -> Fault {
    let start = token.start as usize;
    Fault::new(start + at.start..start + at.end, "bad escape")
        .label("a backslash and three digits up to 255, or a sign")
}

fn digit_fault(token: Token, at: usize, what: &str) -> Fault {
    let start = token.start as usize + at;
    Fault::new(start..start + 1, format!("not a {what}"))
}

impl Input<'_> {
    /// The type and everything behind it.
    fn all(&self) -> Range<usize> {
        let end = self.tokens.last().unwrap_or(&self.type_token).range().end;
        self.type_token.range().start..end
    }
}

impl Fault {
    pub(super) fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self { range, message: message.into(), label: String::new(), help: None }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
