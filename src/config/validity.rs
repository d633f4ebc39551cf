//! Until when a certificate is valid (RFC 5280 section 4.1.2.5). TLS itself does not ask, since it
//! is the client's to judge; an operator wants to know before clients do.

/// Seconds from 1970 to the end of the validity of an X.509 certificate in DER; `None` when it
/// cannot be told.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let (certificate, _) = sequence(certificate)?;
    let (signed, _) = sequence(certificate)?;
    let (tag, _, behind) = element(signed)?;
    // The version may be missing.
    let mut rest = if tag == VERSION { behind } else { signed };
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (validity, _) = sequence(rest)?;
    let (_, _, end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    seconds(tag, text)
}

/// Tags of what is read here (X.690).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first element: its tag, what it holds, and what is behind it.
fn element(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = octets.split_first_chunk()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (length.iter().fold(0, |length, &octet| length << 8 | usize::from(octet)), rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

fn sequence(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, behind) = element(octets)?;
    (tag == SEQUENCE).then_some((content, behind))
}

/// Seconds since 1970 of a time of the form `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"Z").filter(|text| text.iter().all(u8::is_ascii_digit))?;
    let number =
        |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = text.split_at(2);
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = text.split_at(4);
            (number(year), rest)
        }
        _ => return None,
    };
    let mut parts = rest.chunks(2).map(number);
    let mut next = || parts.next();
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    let days = days_since_1970(year, month, day)?;
    u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second).ok()
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the day that is
/// sometimes there is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element of X.690, with its length in the shortest form.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let [_, high, low] = [0, content.len() >> 8, content.len() & 0xff].map(|part| part as u8);
        let head = match content.len() {
            0..0x80 => vec![tag, low],
            0x80..0x100 => vec![tag, 0x81, low],
            _ => vec![tag, 0x82, high, low],
        };
        [head, content].concat()
    }

    /// As far as is read; `issuer` octets make lengths long. The `tests/cli` read whole ones.
    fn certificate(tag: u8, end: &str, issuer: usize, has_version: bool) -> Vec<u8> {
        let version = der(VERSION, &[&der(2, &[&[2]])]);
        let validity =
            der(SEQUENCE, &[&der(UTC_TIME, &[b"250101000000Z"]), &der(tag, &[end.as_bytes()])]);
        let signed = der(
            SEQUENCE,
            &[
                if has_version { &version } else { &[] },
                &der(2, &[&[9; 20]]),
                &der(SEQUENCE, &[&[6, 3, 42, 134, 72]]),
                &der(SEQUENCE, &[&vec![0; issuer]]),
                &validity,
            ],
        );
        der(SEQUENCE, &[&signed, &der(SEQUENCE, &[]), &der(3, &[&[0; 64]])])
    }

    /// RFC 5280 section 4.1.2.5 changes the form of times in 2050.
    #[test]
    fn the_end_is_read_in_both_forms() {
        for (tag, end, seconds) in [
            (UTC_TIME, "991231235959Z", 946_684_799),
            (UTC_TIME, "260228000000Z", 1_772_236_800),
            (UTC_TIME, "280229000000Z", 1_835_395_200),
            (UTC_TIME, "491231123456Z", 2_524_566_896),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (GENERALIZED_TIME, "21000301000000Z", 4_107_542_400),
        ] {
            for (issuer, has_version) in [(10, true), (100, false), (200, true), (1000, true)] {
                let certificate = certificate(tag, end, issuer, has_version);
                assert_eq!(not_after(&certificate), Some(seconds), "{end} {issuer}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_no_certificate_has_no_end() {
        let whole = certificate(UTC_TIME, "300101000000Z", 200, true);
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(seconds(UTC_TIME, b"261301000000Z"), None);
        assert_eq!(seconds(UTC_TIME, b"26010100000Z"), None);
        assert_eq!(seconds(UTC_TIME, b"2601010000-1Z"), None);
    }
}
