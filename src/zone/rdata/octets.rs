//! Whether octets written as RFC 3597 says are data of their type.

use crate::wire::name::NameRef;
use crate::zone::fields::{Field, Schema};

/// True when `rdata` has the fields of `schema` and nothing behind them.
pub(super) fn fit(schema: Schema, rdata: &[u8]) -> bool {
    let mut rest = rdata;
    for (_, field) in schema {
        match length(*field, rdata, rest).and_then(|length| rest.get(length..)) {
            Some(tail) => rest = tail,
            None => return false,
        }
    }
    rest.is_empty()
}

/// How many octets of `rest`, the end of `rdata`, are the field's; `None` when it is not there.
fn length(field: Field, rdata: &[u8], rest: &[u8]) -> Option<usize> {
    Some(match field {
        Field::U8 | Field::Algorithm | Field::Scheme | Field::Protocol | Field::HighBit => 1,
        Field::U16 | Field::Type | Field::Certificate => 2,
        Field::Ipv4 | Field::U32 | Field::Seconds | Field::Time => 4,
        Field::Locator | Field::U64 => 8,
        Field::Ipv6 => 16,
        Field::Eui(count) => usize::from(count),
        Field::Tag | Field::Text | Field::Decimal | Field::Digits | Field::Salt | Field::Hash => {
            1 + usize::from(*rest.first()?)
        }
        Field::TextOrNone => rest.first().map_or(0, |&length| 1 + usize::from(length)),
        Field::Name => name(rest)?,
        Field::Texts if rest.is_empty() => return None,
        Field::Texts => each(rest, |rest| Some(1 + usize::from(*rest.first()?)))?,
        Field::Names => each(rest, name)?,
        Field::Types => each(rest, window)?,
        Field::Prefixes => each(rest, prefix)?,
        Field::Parameters => each(rest, |rest| Some(4 + number(rest.get(2..)?)?))?,
        // RFC 1876 section 2: the layout hangs on the version; 0 is the only one.
        Field::Location if rest.first() == Some(&0) => 16,
        Field::Location => return None,
        // In the octet before.
        Field::LowBits => 0,
        Field::Gateway => match rdata.get(1)? & 0x7f {
            0 => 0,
            1 => 4,
            2 => 16,
            3 => name(rest)?,
            _ => rest.len(),
        },
        Field::HipAlgorithm => {
            let key = number(rest.get(2..)?)?;
            4 + usize::from(*rest.first()?) + key
        }
        // Counted with the algorithm.
        Field::HipTag | Field::HipKey => 0,
        Field::Suffix => {
            let octets = match usize::from(*rdata.first()?) {
                bits @ 0..=128 => (128 - bits).div_ceil(8),
                _ => return None,
            };
            octets + if rdata.first() == Some(&0) { 0 } else { name(rest.get(octets..)?)? }
        }
        Field::Rest
        | Field::Hex
        | Field::Base64
        | Field::Base64OrNone
        | Field::Base64OrDash
        | Field::IpsecKey
        | Field::OldTypes
        | Field::Services
        | Field::Nsap
        | Field::Atm => rest.len(),
    })
}

/// The length of all of `octets`, when they are whole items as `length` measures them.
fn each(octets: &[u8], length: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut rest = octets;
    while !rest.is_empty() {
        rest = rest.get(length(rest)?..)?;
    }
    Some(octets.len())
}

fn name(octets: &[u8]) -> Option<usize> {
    let (name, _) = NameRef::split_from(octets).ok()?;
    Some(name.as_wire().len())
}

/// RFC 4034 section 4.1.2.
fn window(octets: &[u8]) -> Option<usize> {
    match *octets.get(1)? {
        length @ 1..=32 => Some(2 + usize::from(length)),
        _ => None,
    }
}

/// RFC 3123 section 4.
fn prefix(octets: &[u8]) -> Option<usize> {
    Some(4 + usize::from(octets.get(3)? & 0x7f))
}

fn number(octets: &[u8]) -> Option<usize> {
    octets.first_chunk().map(|number| usize::from(u16::from_be_bytes(*number)))
}
