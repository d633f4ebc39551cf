//! The small texts of `$GENERATE`, as BIND reads them: which numbers, and where they go.

use super::text;

/// `first-last`, with `/step` or 1.
pub(super) fn range(text: &[u8]) -> Option<(u64, u64, u64)> {
    let mut halves = text.splitn(2, |&octet| octet == b'/');
    let mut ends = halves.next()?.splitn(2, |&octet| octet == b'-');
    let first = text::number(ends.next()?)?;
    let last = text::number(ends.next()?)?;
    let step = halves.next().map_or(Some(1), text::number)?;
    let bound = u64::from(u32::MAX);
    (first <= last && step > 0 && last <= bound && step <= bound).then_some((first, last, step))
}

/// Puts `number` where `$` or `${offset,width,base}` stands; `$$` and `\$` are a dollar sign.
pub(super) fn expand(text: &[u8], number: u64, out: &mut Vec<u8>) -> Result<(), usize> {
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        match (octet, text.get(at + 1)) {
            (b'\\', Some(&next)) => {
                out.extend_from_slice(&[octet, next]);
                at += 2;
            }
            (b'$', Some(b'$')) => {
                out.push(b'$');
                at += 2;
            }
            (b'$', Some(b'{')) => {
                let rest = &text[at + 2..];
                let end = rest.iter().position(|&octet| octet == b'}').ok_or(at)?;
                modified(&rest[..end], number, out).ok_or(at)?;
                at += end + 3;
            }
            (b'$', _) => {
                out.extend_from_slice(number.to_string().as_bytes());
                at += 1;
            }
            _ => {
                out.push(octet);
                at += 1;
            }
        }
    }
    Ok(())
}

/// `text` with `\"` as `"`.
pub(super) fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match (octet, octets.peek()) {
            (b'\\', Some(b'"')) => {}
            (b'\\', Some(&next)) => {
                out.extend_from_slice(&[octet, next]);
                octets.next();
            }
            _ => out.push(octet),
        }
    }
    out
}

/// Hex digits from the last to the first with dots between them, as names below `ip6.arpa` have
/// them; the dots count for the width.
fn nibbles(mut value: u64, mut width: usize, digits: &[u8; 16]) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(digits[(value & 15) as usize]));
        value >>= 4;
        width = width.saturating_sub(1);
        if value == 0 && width == 0 {
            return text;
        }
        text.push('.');
        width = width.saturating_sub(1);
        if value == 0 && width == 0 {
            return text;
        }
    }
}

/// `offset[,width[,base]]`.
fn modified(text: &[u8], number: u64, out: &mut Vec<u8>) -> Option<()> {
    let mut parts = std::str::from_utf8(text).ok()?.split(',');
    let offset: i64 = parts.next()?.parse().ok()?;
    let width: usize = parts.next().map_or(Ok(0), str::parse).ok()?;
    let value = number.checked_add_signed(offset)?;
    if width > 63 {
        return None;
    }
    let digits = match parts.next().unwrap_or("d") {
        "d" => format!("{value:0width$}"),
        "o" => format!("{value:0width$o}"),
        "x" => format!("{value:0width$x}"),
        "X" => format!("{value:0width$X}"),
        "n" => nibbles(value, width, b"0123456789abcdef"),
        "N" => nibbles(value, width, b"0123456789ABCDEF"),
        _ => return None,
    };
    out.extend_from_slice(digits.as_bytes());
    parts.next().is_none().then_some(())
}
