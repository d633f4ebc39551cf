//! nginx's `stub_status`: four lines of numbers.

use super::{Counts, Reading, share};

/// Active connections against `limit`; connections that were accepted and then dropped are errors.
pub fn parse(text: &[u8], limit: u32) -> Option<Reading> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once("Active connections:")?;
    let active: u32 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let counts = rest.split_once("server accepts handled requests").and_then(|(_, rest)| {
        let mut numbers = rest.split_ascii_whitespace().map(str::parse::<u64>);
        let (accepted, handled) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let dropped = accepted.checked_sub(handled)?;
        Some(Counts { requests: accepted as f64, errors: dropped as f64 })
    });
    let load = share(f64::from(active), f64::from(limit));
    Some(Reading { load, counts, ..Reading::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_connections_are_the_load() {
        let text = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630900 \
                    31070465 \nReading: 6 Writing: 179 Waiting: 106 \n";
        let reading = parse(text.as_bytes(), 1000).expect("a status");
        assert_eq!(reading.load, Some(0.291));
        assert_eq!(reading.counts, Some(Counts { requests: 16_630_948.0, errors: 48.0 }));
        assert_eq!(parse(b"Active connections: many", 1), None);
        assert_eq!(parse(b"<html>", 1), None);
        let short = parse(b"Active connections: 1\nserver accepts handled requests\n 1 2 3", 10);
        assert_eq!(short, Some(Reading { load: Some(0.1), ..Reading::default() }));
    }
}
