//! The small texts of a master file into octets: names, TTLs, character strings, hex, Base64.
//! Each fault tells which octets of the text it means.

use std::net::Ipv4Addr;
use std::ops::Range;

use crate::wire::name::{LABEL_MAX, NAME_MAX, NameError};
use crate::wire::types::{Class, Rtype, Ttl};

/// A fault and the octets of the text it is about.
pub(super) type At<E> = (E, Range<usize>);

/// Reads a name and appends its wire form; a relative one is completed by `origin`
/// (RFC 1035 section 5.1). On a fault `out` is as it was.
pub(super) fn name(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), At<NameError>> {
    let start = out.len();
    let result = match text {
        b"@" => {
            out.extend_from_slice(origin);
            Ok(())
        }
        b"." => {
            out.push(0);
            Ok(())
        }
        _ => labels(text, origin, out),
    };
    let result = match result {
        Ok(()) if out.len() - start > NAME_MAX => Err((NameError::NameTooLong, 0..text.len())),
        other => other,
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn labels(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), At<NameError>> {
    let mut at = 0;
    loop {
        let label = at;
        let length_at = out.len();
        out.push(0);
        // Mostly there is nothing to undo.
        let rest = &text[at..];
        let plain = rest.iter().position(|octet| matches!(octet, b'.' | b'\\'));
        let plain = plain.unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        at += plain;
        while let Some(&octet) = text.get(at)
            && octet != b'.'
        {
            let (octet, length) = unescape(&text[at..])
                .ok_or_else(|| (NameError::BadEscape, at..text.len().min(at + 4)))?;
            out.push(octet);
            at += length;
        }
        match out.len() - length_at - 1 {
            0 => return Err((NameError::EmptyLabel, label..text.len().min(label + 1))),
            length @ 1..=LABEL_MAX => out[length_at] = length as u8,
            _ => return Err((NameError::LabelTooLong, label..at)),
        }
        if at == text.len() {
            out.extend_from_slice(origin);
            return Ok(());
        }
        at += 1;
        if at == text.len() {
            out.push(0);
            return Ok(());
        }
    }
}

/// The first octet `text` means, and how many octets it is written with: one, or `\X`, or
/// `\DDD`. `None` for a broken escape or an empty text.
pub(super) fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\', a, b, c, ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            Some((u8::try_from(value).ok()?, 4))
        }
        [b'\\', octet, ..] if !octet.is_ascii_digit() => Some((*octet, 2)),
        [b'\\', ..] | [] => None,
        [octet, ..] => Some((*octet, 1)),
    }
}

/// Appends `text` with its escapes undone.
pub(super) fn unescaped(text: &[u8], out: &mut Vec<u8>) -> Result<(), At<()>> {
    let mut at = 0;
    while at < text.len() {
        let Some((octet, length)) = unescape(&text[at..]) else {
            return Err(((), at..text.len().min(at + 4)));
        };
        out.push(octet);
        at += length;
    }
    Ok(())
}

/// Why a text is no TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TtlFault {
    /// Neither digits nor digits with units.
    NoTtl,
    /// More than 32 bits.
    TooLong,
}

/// Reads seconds, or a sum with units: `3600`, `1h30m`, `2W`. With the highest of 32 bits set it
/// is 0 (RFC 2181 section 8), which [`is_folded`] tells apart.
pub(super) fn ttl(text: &[u8]) -> Result<Ttl, TtlFault> {
    let seconds = u32::try_from(seconds(text)?).map_err(|_| TtlFault::TooLong)?;
    Ok(Ttl::new(seconds).unwrap_or(Ttl::ZERO))
}

/// Whether a TTL that was read as 0 stands there as more than that.
pub(super) fn is_folded(text: &[u8]) -> bool {
    seconds(text).is_ok_and(|seconds| seconds > 0)
}

/// As [`ttl`], up to 64 bits.
pub(super) fn seconds(text: &[u8]) -> Result<u64, TtlFault> {
    let mut total = 0_u64;
    let mut number: Option<u64> = None;
    let mut units = false;
    for &octet in text {
        let unit = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                let next = number.unwrap_or(0).checked_mul(10).ok_or(TtlFault::TooLong)?;
                number = Some(next.checked_add(u64::from(digit - b'0')).ok_or(TtlFault::TooLong)?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return Err(TtlFault::NoTtl),
        };
        units = true;
        let part = number.take().ok_or(TtlFault::NoTtl)?.checked_mul(unit);
        total = part.and_then(|part| total.checked_add(part)).ok_or(TtlFault::TooLong)?;
    }
    match number {
        // All of it has units, or none.
        Some(number) if !units => Ok(number),
        None if units => Ok(total),
        _ => Err(TtlFault::NoTtl),
    }
}

/// Reads an IPv4 address: four numbers up to 255 without superfluous zeros.
pub(super) fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let (mut place, mut number, mut digits) = (0, 0_u32, 0);
    for &octet in text {
        let digit = octet.wrapping_sub(b'0');
        if digit <= 9 {
            let superfluous = digits > 0 && number == 0;
            number = number * 10 + u32::from(digit);
            digits += 1;
            if superfluous || number > 255 {
                return None;
            }
        } else {
            if octet != b'.' || digits == 0 {
                return None;
            }
            *octets.get_mut(place)? = number as u8;
            place += 1;
            (number, digits) = (0, 0);
        }
    }
    octets[3] = number as u8;
    (place == 3 && digits > 0).then(|| octets.into())
}

/// Reads a record type; the frequent ones without a search.
pub(super) fn rtype(text: &[u8]) -> Option<Rtype> {
    match text {
        b"A" => Some(Rtype::A),
        b"AAAA" => Some(Rtype::AAAA),
        b"NS" => Some(Rtype::NS),
        b"CNAME" => Some(Rtype::CNAME),
        b"TXT" => Some(Rtype::TXT),
        b"MX" => Some(Rtype::MX),
        _ => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

/// Reads a class: `IN`, `CH`, `HS` or `CLASS` and a number (RFC 3597 section 5).
pub(super) fn class(text: &[u8]) -> Option<Class> {
    match text {
        _ if text.eq_ignore_ascii_case(b"IN") => Some(Class::IN),
        _ if text.eq_ignore_ascii_case(b"CH") => Some(Class::CH),
        _ if text.eq_ignore_ascii_case(b"HS") => Some(Class::HS),
        _ => {
            let (head, digits) = text.split_at_checked(5)?;
            if !head.eq_ignore_ascii_case(b"CLASS") {
                return None;
            }
            number(digits).and_then(|number| u16::try_from(number).ok()).map(Class)
        }
    }
}

/// Reads a number of digits only.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, octet| match octet {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(octet - b'0')),
        _ => None,
    })
}

/// The value of a digit of base 16 or 32 (RFC 4648 sections 7 and 8).
fn digit(octet: u8, base: u32) -> Option<u8> {
    char::from(octet).to_digit(base).map(|digit| digit as u8)
}

/// Appends what pairs of hex digits mean, or tells the octet that is none; an odd number of
/// digits is told at the end.
pub(super) fn hex(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let (pairs, odd) = text.as_chunks::<2>();
    for (place, [high, low]) in pairs.iter().enumerate() {
        let high = digit(*high, 16).ok_or(place * 2)?;
        out.push(high << 4 | digit(*low, 16).ok_or(place * 2 + 1)?);
    }
    if odd.is_empty() { Ok(()) } else { Err(text.len() - 1) }
}

/// Appends what Base32hex digits without padding mean (RFC 5155 section 3.3).
pub(super) fn base32(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let (mut bits, mut held) = (0_u16, 0);
    for (place, &octet) in text.iter().enumerate() {
        bits = bits << 5 | u16::from(digit(octet, 32).ok_or(place)?);
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Ok(())
}

/// Appends what Base64 digits mean (RFC 4648 section 4), or tells the octet that is wrong.
pub(super) fn base64(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let end = text.iter().rposition(|&octet| octet != b'=').map_or(0, |last| last + 1);
    let (mut bits, mut held) = (0_u32, 0);
    for (place, &octet) in text[..end].iter().enumerate() {
        let value = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(place),
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    let padding = text.len() - end;
    if text.len().is_multiple_of(4) && padding <= 2 {
        Ok(())
    } else {
        Err(text.len().saturating_sub(1))
    }
}

/// The candidate most like `word`, when it is like enough to be what was meant.
pub(super) fn nearest<'c>(
    word: &[u8],
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_ascii_uppercase();
    if word.len() > 16 {
        return None;
    }
    let bound = 1 + word.len() / 4;
    candidates
        .map(|candidate| (distance(&word, candidate.to_ascii_uppercase().as_bytes()), candidate))
        .filter(|&(distance, candidate)| distance <= bound && distance < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// How many octets must be changed, added, left out or swapped with a neighbour.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1);
            least = least.min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Result<Vec<u8>, At<NameError>> {
        let mut out = Vec::new();
        name(text.as_bytes(), b"\x03org\x00", &mut out).map(|()| out)
    }

    #[test]
    fn names_are_completed_by_the_origin_unless_they_end_in_a_dot() {
        assert_eq!(wire("a.b").as_deref(), Ok(&b"\x01a\x01b\x03org\x00"[..]));
        assert_eq!(wire("a.b.").as_deref(), Ok(&b"\x01a\x01b\x00"[..]));
        assert_eq!(wire("@").as_deref(), Ok(&b"\x03org\x00"[..]));
        assert_eq!(wire(".").as_deref(), Ok(&b"\x00"[..]));
        assert_eq!(wire(r"a\.b\032c.").as_deref(), Ok(&b"\x05a.b c\x00"[..]));
    }

    #[test]
    fn a_bad_name_is_told_with_its_place() {
        assert_eq!(wire("a..b"), Err((NameError::EmptyLabel, 2..3)));
        assert_eq!(wire(r"ab\9c"), Err((NameError::BadEscape, 2..5)));
        let long = format!("a.{}.b", "x".repeat(64));
        assert_eq!(wire(&long), Err((NameError::LabelTooLong, 2..66)));
        assert_eq!(wire(&"a.".repeat(128)), Err((NameError::NameTooLong, 0..256)));
    }

    #[test]
    fn ttls_may_have_units() {
        for (text, seconds) in [("0", 0), ("3600", 3600), ("1h30m", 5400), ("2W1d", 1_296_000)] {
            assert_eq!(ttl(text.as_bytes()).map(Ttl::seconds), Ok(seconds), "{text}");
        }
        for text in ["", "h", "1x", "-1", "1h-", "1h30"] {
            assert_eq!(ttl(text.as_bytes()), Err(TtlFault::NoTtl), "{text}");
        }
        for text in ["4294967296", "9999w", "99999999999999999999"] {
            assert_eq!(ttl(text.as_bytes()), Err(TtlFault::TooLong), "{text}");
        }
    }

    #[test]
    fn a_ttl_with_the_highest_bit_set_is_0() {
        assert_eq!(ttl(b"2147483647"), Ok(Ttl::MAX));
        for text in ["2147483648", "4294967295", "3600w"] {
            assert_eq!(ttl(text.as_bytes()), Ok(Ttl::ZERO), "{text}");
            assert!(is_folded(text.as_bytes()), "{text}");
        }
        assert!(!is_folded(b"0"));
    }

    #[test]
    fn addresses_are_read_as_the_standard_library_reads_them() {
        let numbers = ["0", "9", "10", "99", "100", "199", "249", "255", "256", "300", "00", "01"];
        let more = ["", "1000", "-1", "a", " 1", "1 ", "\u{e9}"];
        for number in numbers.iter().chain(&more) {
            for text in
                [format!("{number}.0.2.1"), format!("192.0.2.{number}"), format!("1.{number}.3")]
            {
                assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text}");
            }
        }
        for text in ["1.2.3.4.", ".1.2.3.4", "1..2.3", "1.2.3.4.5"] {
            assert_eq!(ipv4(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn base64_and_its_relatives_give_octets() {
        let read = |reader: fn(&[u8], &mut Vec<u8>) -> Result<(), usize>, text: &str| {
            let mut out = Vec::new();
            reader(text.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(read(base64, "Zm9vYg==").as_deref(), Ok(&b"foob"[..]));
        assert_eq!(read(base64, "Zm9vYg"), Err(5));
        assert_eq!(read(base64, "Z!9v"), Err(1));
        assert_eq!(read(base32, "CPNMUOG").as_deref(), Ok(&b"foob"[..]));
        assert_eq!(read(hex, "0aFf").as_deref(), Ok(&[10, 255][..]));
        assert_eq!(read(hex, "0aF"), Err(2));
        assert_eq!(read(hex, "0g"), Err(1));
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let types = ["A", "AAAA", "CNAME", "MX", "TXT"];
        assert_eq!(nearest(b"CNMAE", types.into_iter()), Some("CNAME"));
        assert_eq!(nearest(b"TEXT", types.into_iter()), Some("TXT"));
        assert_eq!(nearest(b"bogus", types.into_iter()), None);
    }
}
