//! The parameters of SVCB and HTTPS (RFC 9460 sections 2.1, 7, 8 and appendix A).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Fault, Input};
use crate::wire::svcb::{
    ALPN, DOHPATH, ECH, GROUPS, IPV4HINT, IPV6HINT, KEYS, MANDATORY, NO_DEFAULT_ALPN, OHTTP, PORT,
};
use crate::zone::scan::Token;
use crate::zone::text;

const FORM: &str = "for example: 1 . alpn=h2,h3 port=443 ipv4hint=192.0.2.1 (RFC 9460)";

/// One parameter in wire form.
struct Parameter {
    key: u16,
    value: Vec<u8>,
    token: Token,
}

/// Reads the parameters behind priority and target, which `out` holds, and appends them in the
/// order of their keys (RFC 9460 section 2.2).
pub(super) fn parameters(
    tokens: &[Token],
    input: Input<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut parameters = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let Some((&name, mut after)) = rest.split_first() {
        // A value in quotes is a token of its own, which touches what is in front of it.
        let mut quoted = None;
        if let Some((&next, behind)) = after.split_first()
            && next.quoted
            && next.range().start == name.range().end
        {
            quoted = Some(next);
            after = behind;
        }
        parameters.push(parameter(name, quoted, input)?);
        rest = after;
    }
    parameters.sort_by_key(|parameter| parameter.key);
    for pair in parameters.windows(2) {
        if pair[0].key == pair[1].key {
            let name = name_of(pair[1].key);
            return Err(fault(pair[1].token, format!("{name} is there already")));
        }
    }
    together(&parameters)?;
    for Parameter { key, value, .. } in &parameters {
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value);
    }
    Ok(())
}

fn fault(token: Token, message: impl Into<String>) -> Fault {
    let message: String = message.into();
    Fault::new(token.range(), format!("bad service parameters: {message}")).help(FORM)
}

fn name_of(key: u16) -> String {
    let known = KEYS.iter().find(|(_, number)| *number == key);
    known.map_or_else(|| format!("key{key}"), |(name, _)| (*name).to_owned())
}

/// One parameter: `key`, `key=value`, or `key=` with its value in quotes.
fn parameter(name: Token, quoted: Option<Token>, input: Input<'_>) -> Result<Parameter, Fault> {
    let token = Token { end: quoted.unwrap_or(name).end, ..name };
    let octets = name.text(input.text);
    let (name, written) = match octets.iter().position(|&octet| octet == b'=') {
        Some(at) => (&octets[..at], Some(&octets[at + 1..])),
        None => (octets, None),
    };
    if token.quoted || quoted.is_some() && written != Some(b"") {
        return Err(fault(token, "a key expected").label("only a value may be in quotes"));
    }
    let (key, opaque) = key(name, token)?;
    let written = quoted.map(|quoted| quoted.text(input.text)).or(written).unwrap_or_default();
    let mut text = Vec::new();
    text::unescaped(written, &mut text).map_err(|((), _)| {
        fault(token, "bad escape").label("a backslash and three digits up to 255, or a sign")
    })?;
    let value = if opaque { text } else { value(key, &text, token)? };
    if value.len() > usize::from(u16::MAX) {
        return Err(fault(token, "the value is too long").label("65535 octets at most"));
    }
    if let Some(expected) = misshapen(key, &value) {
        let name = name_of(key);
        return Err(fault(token, format!("bad value of {name}")).label(expected));
    }
    Ok(Parameter { key, value, token })
}

/// The number of a key, which is written in lower case (RFC 9460 section 2.1), and whether it was written as one: then its value is octets.
fn key(name: &[u8], token: Token) -> Result<(u16, bool), Fault> {
    let known = KEYS.iter().find(|(known, _)| name == known.as_bytes());
    if let Some((_, key)) = known {
        return Ok((*key, false));
    }
    let number = name
        .strip_prefix(b"key")
        .filter(|digits| !matches!(digits, [b'0', _, ..]))
        .and_then(text::number)
        .and_then(|number| u16::try_from(number).ok());
    match number {
        Some(key) => Ok((key, true)),
        None => {
            let written = String::from_utf8_lossy(name);
            let told = fault(token, format!("unknown key '{written}'"));
            Err(match text::nearest(name, KEYS.iter().map(|(known, _)| *known)) {
                Some(like) => Fault { help: Some(format!("did you mean '{like}'?")), ..told },
                None => told.label("a key without a name is written as key and a number"),
            })
        }
    }
}

/// The wire form of the value of a key, written as its name's RFC says.
fn value(key: u16, text: &[u8], token: Token) -> Result<Vec<u8>, Fault> {
    let bad = |expected: &str| {
        let name = name_of(key);
        fault(token, format!("bad value of {name}")).label(format!("{expected} expected"))
    };
    let mut wire = Vec::new();
    match key {
        MANDATORY => {
            let mut keys = Vec::new();
            for name in items(text) {
                keys.push(self::key(&name, token)?.0);
            }
            keys.sort_unstable();
            keys.iter().for_each(|key| wire.extend_from_slice(&key.to_be_bytes()));
        }
        ALPN => {
            for protocol in items(text) {
                match u8::try_from(protocol.len()) {
                    Ok(length @ 1..) => wire.push(length),
                    _ => return Err(bad("protocols of 1 to 255 octets")),
                }
                wire.extend_from_slice(&protocol);
            }
        }
        PORT => wire.extend_from_slice(&short(text).ok_or_else(|| bad("a port"))?.to_be_bytes()),
        IPV4HINT => {
            for address in text.split(|&octet| octet == b',') {
                let address: Option<Ipv4Addr> = text::ipv4(address);
                let address = address.ok_or_else(|| bad("IPv4 addresses with commas"))?;
                wire.extend_from_slice(&address.octets());
            }
        }
        IPV6HINT => {
            for address in text.split(|&octet| octet == b',') {
                let address = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok());
                let address: Ipv6Addr = address.ok_or_else(|| bad("IPv6 addresses with commas"))?;
                wire.extend_from_slice(&address.octets());
            }
        }
        ECH => text::base64(text, &mut wire).map_err(|_| bad("Base64"))?,
        GROUPS => {
            for group in text.split(|&octet| octet == b',') {
                let group = short(group).ok_or_else(|| bad("numbers with commas"))?;
                wire.extend_from_slice(&group.to_be_bytes());
            }
        }
        _ => wire.extend_from_slice(text),
    }
    Ok(wire)
}

fn short(text: &[u8]) -> Option<u16> {
    text::number(text).and_then(|number| u16::try_from(number).ok())
}

/// RFC 9460 appendix A.1: items with commas; in them `\,` is a comma and `\\` a backslash.
fn items(text: &[u8]) -> Vec<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        let octet = match octet {
            b',' => {
                items.push(Vec::new());
                continue;
            }
            b'\\' => octets.next().copied().unwrap_or(octet),
            octet => octet,
        };
        if let Some(item) = items.last_mut() {
            item.push(octet);
        }
    }
    items
}

/// What the value of a key should be in wire form, when it is not.
fn misshapen(key: u16, value: &[u8]) -> Option<&'static str> {
    let (sound, expected) = match key {
        MANDATORY => {
            let keys: Vec<u16> =
                value.as_chunks::<2>().0.iter().map(|key| u16::from_be_bytes(*key)).collect();
            let sound = value.len() == keys.len() * 2
                && !keys.is_empty()
                && keys.is_sorted_by(|a, b| a < b)
                && keys[0] != MANDATORY;
            (sound, "each key once, and never itself (RFC 9460 section 8)")
        }
        ALPN => {
            let mut rest = value;
            while let Some((&length @ 1.., tail)) = rest.split_first()
                && let Some(tail) = tail.get(usize::from(length)..)
            {
                rest = tail;
            }
            (rest.is_empty() && !value.is_empty(), "protocols of 1 to 255 octets expected")
        }
        NO_DEFAULT_ALPN | OHTTP => (value.is_empty(), "it takes no value"),
        PORT => (value.len() == 2, "a port expected"),
        IPV4HINT => (!value.is_empty() && value.len().is_multiple_of(4), "IPv4 addresses expected"),
        IPV6HINT => {
            (!value.is_empty() && value.len().is_multiple_of(16), "IPv6 addresses expected")
        }
        ECH => (!value.is_empty(), "Base64 expected"),
        DOHPATH => (is_dohpath(value), "a relative URI template with {?dns} (RFC 9461 section 5)"),
        GROUPS => (!value.is_empty() && value.len().is_multiple_of(2), "numbers expected"),
        _ => (true, ""),
    };
    (!sound).then_some(expected)
}

/// RFC 9461 section 5: UTF-8, a path, with the variable "dns".
fn is_dohpath(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|path| {
        let variables = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        path.starts_with('/')
            && variables
                .flat_map(|list| list.trim_start_matches(['?', '&']).split(','))
                .any(|v| v == "dns")
    })
}

/// What holds between parameters (RFC 9460 sections 7.1.1 and 8); they stand in order.
fn together(parameters: &[Parameter]) -> Result<(), Fault> {
    let has = |key: u16| parameters.binary_search_by_key(&key, |parameter| parameter.key).is_ok();
    for parameter in parameters {
        if parameter.key == NO_DEFAULT_ALPN && !has(ALPN) {
            return Err(fault(parameter.token, "no-default-alpn without alpn"));
        }
        if parameter.key == MANDATORY {
            let keys = parameter.value.as_chunks::<2>().0.iter();
            if let Some(missing) = keys.map(|key| u16::from_be_bytes(*key)).find(|key| !has(*key)) {
                let message = format!("{} is mandatory and missing", name_of(missing));
                return Err(fault(parameter.token, message));
            }
        }
    }
    Ok(())
}
