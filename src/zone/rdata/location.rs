//! Where a host is: LOC (RFC 1876) and GPOS (RFC 1712).

use super::{Fault, Input, character_string};
use crate::zone::scan::Token;

const FORM: &str = "written as: LOC <d> [<m> [<s>]] N|S <d> [<m> [<s>]] E|W <altitude>[m] [<size>[m] [<horizontal>[m] [<vertical>[m]]]]";

/// The equator and the prime meridian, in thousandths of an arc second.
const MIDDLE: u32 = 1 << 31;
/// The altitude 0: 100 km below it the scale begins, in centimetres.
const ZERO_ALTITUDE: i64 = 10_000_000;
/// Size and precisions when none are written, as they go out: 1 m, 10 km, 10 m.
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];
/// The largest size or precision, in centimetres: 90,000 km.
const SIZE_MAX: i64 = 9_000_000_000;

/// Reads all the fields of LOC.
pub(super) fn location(tokens: &[Token], input: Input<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut words = Words { tokens, input };
    let latitude = words.angle("latitude", 90, [b'N', b'S'])?;
    let longitude = words.angle("longitude", 180, [b'E', b'W'])?;
    let Some(altitude) = words.metres("altitude", -ZERO_ALTITUDE)? else {
        return Err(words.end("altitude"));
    };
    let Ok(altitude) = u32::try_from(altitude + ZERO_ALTITUDE) else {
        let range = words.before().range();
        return Err(Fault::new(range, "bad altitude: too high").label("42849672.95m at most"));
    };
    let mut sizes = DEFAULTS;
    for (size, what) in sizes.iter_mut().zip(["size", "horizontal", "vertical"]) {
        let Some(metres) = words.metres(what, 0)? else { break };
        if metres > SIZE_MAX {
            let range = words.before().range();
            return Err(
                Fault::new(range, format!("bad {what}: too large")).label("90000000.00m at most")
            );
        }
        *size = power(metres);
    }
    if let Some(token) = words.tokens.first() {
        return Err(Fault::new(token.range(), "too much data for LOC").help(FORM));
    }
    out.push(0);
    out.extend_from_slice(&sizes);
    for number in [latitude, longitude, altitude] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

/// A number of centimetres as one digit and a power of ten, cut off.
fn power(mut centimetres: i64) -> u8 {
    let mut exponent = 0;
    while centimetres > 9 {
        centimetres /= 10;
        exponent += 1;
    }
    (centimetres as u8) << 4 | exponent
}

/// The tokens not yet read.
struct Words<'t> {
    tokens: &'t [Token],
    input: Input<'t>,
}

impl<'t> Words<'t> {
    fn next(&mut self) -> Option<(Token, &'t [u8])> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some((*first, first.text(self.input.text)))
    }

    /// The token read last.
    fn before(&self) -> Token {
        let read = self.input.tokens.len() - self.tokens.len();
        read.checked_sub(1).map_or(self.input.type_token, |last| self.input.tokens[last])
    }

    fn end(&self, what: &str) -> Fault {
        Fault::new(self.before().range(), format!("the {what} of this LOC record is missing"))
            .label(format!("{what} expected after this"))
            .help(FORM)
    }

    /// Degrees, and minutes and seconds if they are written, up to the letter of a direction.
    fn angle(&mut self, what: &str, most: i64, [plus, minus]: [u8; 2]) -> Result<u32, Fault> {
        let mut thousandths = 0;
        let units = [("degrees", 3_600_000, most + 1), ("minutes", 60_000, 60), ("seconds", 1, 60)];
        for (place, (unit, factor, bound)) in units.into_iter().enumerate() {
            let Some((token, text)) = self.next() else { return Err(self.end(what)) };
            if place > 0
                && let Some(angle) = direction(text, plus, minus, thousandths)
            {
                return Ok(angle);
            }
            let value = if factor == 1 { fixed(text, 3) } else { fixed(text, 0) };
            let bound = if factor == 1 { bound * 1000 } else { bound };
            let value = value.filter(|value| (0..bound).contains(value)).ok_or_else(|| {
                Fault::new(token.range(), format!("bad {unit} of the {what}"))
                    .label(format!(
                        "a number below {} expected",
                        bound / if factor == 1 { 1000 } else { 1 }
                    ))
                    .help(FORM)
            })?;
            thousandths += value * factor;
            if thousandths > most * 3_600_000 {
                return Err(Fault::new(token.range(), format!("bad {what}: too large"))
                    .label(format!("{most} degrees at most")));
            }
        }
        let Some((token, text)) = self.next() else { return Err(self.end(what)) };
        direction(text, plus, minus, thousandths).ok_or_else(|| {
            let letters = format!("{} or {} expected", char::from(plus), char::from(minus));
            Fault::new(token.range(), format!("bad {what}: no direction")).label(letters).help(FORM)
        })
    }

    /// Metres with two decimals and an `m` or none, in centimetres; `None` at the end.
    fn metres(&mut self, what: &str, least: i64) -> Result<Option<i64>, Fault> {
        let Some((token, text)) = self.next() else { return Ok(None) };
        let digits = text.strip_suffix(b"m").unwrap_or(text);
        let (sign, digits) = match digits.split_first() {
            Some((b'-', digits)) => (-1, digits),
            Some((b'+', digits)) => (1, digits),
            _ => (1, digits),
        };
        match fixed(digits, 2).map(|number| sign * number) {
            Some(number) if number >= least => Ok(Some(number)),
            _ => Err(Fault::new(token.range(), format!("bad {what}: no number of metres"))
                .label(format!("from {} with two decimals at most", least / 100))
                .help(FORM)),
        }
    }
}

fn direction(text: &[u8], plus: u8, minus: u8, thousandths: i64) -> Option<u32> {
    let offset = thousandths as u32;
    match text {
        [letter] if *letter == plus => Some(MIDDLE + offset),
        [letter] if *letter == minus => Some(MIDDLE - offset),
        _ => None,
    }
}

/// A number with at most `decimals` digits behind the point, as a multiple of the last of them.
fn fixed(text: &[u8], decimals: usize) -> Option<i64> {
    let point = text.iter().position(|&octet| octet == b'.');
    let (whole, fraction) = match point {
        Some(at) if decimals > 0 => (&text[..at], &text[at + 1..]),
        Some(_) => return None,
        None => (text, &[][..]),
    };
    // Ten digits are more than any of them may have.
    if whole.is_empty() && fraction.is_empty() || whole.len() > 10 || fraction.len() > decimals {
        return None;
    }
    let padding = std::iter::repeat_n(&b'0', decimals - fraction.len());
    whole.iter().chain(fraction).chain(padding).try_fold(0, |number, &octet| {
        octet.is_ascii_digit().then(|| number * 10 + i64::from(octet - b'0'))
    })
}

/// RFC 1712 section 3: a number in degrees or metres, as a character string. Its example has
/// latitude and longitude the other way round, so their ranges say nothing.
pub(super) fn decimal(
    what: &str,
    token: Token,
    input: Input<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let text = token.text(input.text);
    let plain = |octet: &u8| octet.is_ascii_digit() || matches!(octet, b'-' | b'+' | b'.');
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    if !text.iter().all(plain) || number.is_none() {
        return Err(Fault::new(token.range(), format!("bad {what}: not a number"))
            .label("a decimal number expected (RFC 1712 section 3)"));
    }
    character_string(token, input, out)
}
