//! RDATA text into wire form: the table in [`super::fields`] says which fields each type has,
//! one reader reads them.
//! SVCB and HTTPS parameters go through hickory-proto; RFC 3597's `\#` fits every type.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

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
            None if matches!(field, Field::Types | Field::Parameters) => continue,
            None => return Err(missing(rtype, what, schema, input)),
        };
        let fault = |fault: Fault| match fault.help {
            Some(_) => fault,
            None => fault.help(form(rtype, schema)),
        };
        rest = match field {
            Field::Texts | Field::Hex | Field::Base64 | Field::Types | Field::Parameters => {
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
        None if matches!(rtype, Rtype::SVCB | Rtype::HTTPS) => service(rtype, input, out),
        None => Ok(()),
        Some((first, _)) => {
            let end = rest.last().unwrap_or(first).range().end;
            let fault = Fault::new(first.range().start..end, format!("too much data for {rtype}"));
            Err(fault.label("not expected").help(form(rtype, schema)))
        }
    }
}

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
        Field::Text => character_string(token, input, out)?,
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
            out.extend_from_slice(&certificate(octets, token)?.to_be_bytes());
        }
        Field::Eui(count) => eui(octets, usize::from(count), token, out)?,
        Field::Texts | Field::Hex | Field::Base64 | Field::Types | Field::Parameters => {}
    }
    Ok(())
}

/// Reads a field that takes all tokens to the end, at least one.
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
        // Checked as a whole by `service`.
        Field::Parameters => Ok(()),
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
    if schema(rtype).is_some_and(|schema| !fits(schema, out)) {
        let message = format!("these octets are no {rtype} data");
        return Err(Fault::new(input.all(), message).label(format!("not the form of {rtype}")));
    }
    Ok(())
}

/// True when `rdata` has the fields of `schema` and nothing behind them.
fn fits(schema: Schema, rdata: &[u8]) -> bool {
    let mut rest = rdata;
    for (_, field) in schema {
        let length = match field {
            Field::U8 => 1,
            Field::U16 | Field::Type | Field::Certificate => 2,
            Field::Ipv4 | Field::U32 | Field::Seconds | Field::Time => 4,
            Field::Ipv6 => 16,
            Field::Eui(count) => usize::from(*count),
            Field::Tag | Field::Text | Field::Salt | Field::Hash => match rest.first() {
                Some(&length) => 1 + usize::from(length),
                None => return false,
            },
            Field::Name => match NameRef::split_from(rest) {
                Ok((name, _)) => name.as_wire().len(),
                Err(_) => return false,
            },
            Field::Texts => {
                while let Some((&length, tail)) = rest.split_first() {
                    match tail.get(usize::from(length)..) {
                        Some(tail) => rest = tail,
                        None => return false,
                    }
                }
                return !rdata.is_empty();
            }
            Field::Rest | Field::Hex | Field::Base64 | Field::Types | Field::Parameters => {
                return true;
            }
        };
        match rest.get(length..) {
            Some(tail) => rest = tail,
            None => return false,
        }
    }
    rest.is_empty()
}

/// SVCB and HTTPS: hickory reads the parameters. It gets the target made absolute, since it
/// completes no names here.
fn service(rtype: Rtype, input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let target = out.get(2..).and_then(|wire| NameRef::from_wire(wire).ok());
    let ([priority, _, parameters @ ..], Some(target)) = (input.tokens, target) else {
        return Ok(());
    };
    if parameters.is_empty() {
        return Ok(());
    }
    let lossy = |token: &Token| String::from_utf8_lossy(&input.text[token.range()]).into_owned();
    let mut line = format!("{} {target}", lossy(priority));
    for parameter in parameters {
        line.push(' ');
        line.push_str(&lossy(parameter));
    }
    let place = parameters[0].range().start..input.all().end;
    let fault = |error: String| {
        Fault::new(place.clone(), format!("bad service parameters: {error}"))
            .help("for example: 1 . alpn=h2,h3 port=443 ipv4hint=192.0.2.1 (RFC 9460)")
    };
    let rdata = RData::try_from_str(RecordType::from(rtype.0), &line)
        .map_err(|error| fault(error.to_string()))?;
    out.clear();
    let mut encoder = BinEncoder::new(out);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    rdata.emit(&mut encoder).map_err(|error| fault(error.to_string()))
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

fn certificate(octets: &[u8], token: Token) -> Result<u16, Fault> {
    const KINDS: [(&str, u16); 9] = [
        ("PKIX", 1),
        ("SPKI", 2),
        ("PGP", 3),
        ("IPKIX", 4),
        ("ISPKI", 5),
        ("IPGP", 6),
        ("ACPKIX", 7),
        ("IACPKIX", 8),
        ("URI", 253),
    ];
    match KINDS.iter().find(|(kind, _)| octets.eq_ignore_ascii_case(kind.as_bytes())) {
        Some((_, number)) => Ok(*number),
        None => {
            let number = number("certificate type", octets, token, u64::from(u16::MAX))?;
            Ok(number as u16)
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
    match text::nearest(octets, crate::wire::types::mnemonics()) {
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
