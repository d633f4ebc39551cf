//! Values as typed: shares, durations, times.

use std::str::FromStr;

use crate::health::persist::parse_rfc3339;

/// A share as typed: a number with a percent sign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        let share = number.filter(|number| number.is_finite() && *number >= 0.0);
        share.map(|number| Self(number / 100.0)).ok_or_else(|| format!("'{text}' is no share: 83%"))
    }
}

/// A length of time as typed: a number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub std::time::Duration);

impl FromStr for Lasting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(format!("'{text}' is no duration such as 30s, 10m, 2h or 1d")),
        };
        let count: u64 = digits.parse().map_err(|_| format!("'{digits}' is no number"))?;
        let seconds = count.checked_mul(unit).filter(|&seconds| seconds > 0);
        seconds
            .map(|seconds| Self(std::time::Duration::from_secs(seconds)))
            .ok_or_else(|| format!("'{text}' is zero or too long"))
    }
}

/// A time as typed: RFC 3339, seconds may be left out. In seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub u64);

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (date, time) = text.split_once('T').unwrap_or((text, ""));
        let clock = time.trim_end_matches('Z').split(['+', '-']).next().unwrap_or_default();
        let zone = &time[clock.len()..];
        let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
        let hint = |_| format!("'{text}' is no time such as 2026-12-22T05:00Z");
        parse_rfc3339(&format!("{date}T{clock}{seconds}{zone}")).map(Self).map_err(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit() {
        let read = |text: &str| text.parse::<Lasting>().map(|lasting| lasting.0.as_secs());
        assert_eq!(read("90s"), Ok(90));
        assert_eq!(read("2h"), Ok(7200));
        for wrong in ["", "5", "0s", "-1m", "5w", "99999999999999999999d"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_needs_its_sign() {
        assert_eq!("83%".parse(), Ok(Percent(0.83)));
        assert_eq!("140%".parse(), Ok(Percent(1.4)));
        for wrong in ["", "83", "%", "-1%", "NaN%", "inf%", "a%"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_needs_its_zone() {
        let read = |text: &str| text.parse::<At>().map(|at| at.0);
        assert_eq!(read("1970-01-02T00:01Z"), Ok(86_460));
        assert_eq!(read("1970-01-02T00:01:30Z"), Ok(86_490));
        assert_eq!(read("1970-01-02T01:01+01:00"), Ok(86_460));
        for wrong in ["", "05:00", "1970-01-02", "1970-01-02T00:01", "tomorrow", "1970-01-02T5Z"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
