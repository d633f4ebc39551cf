//! The small notations: durations, shares, networks, names, places.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::decode::{Faults, Node, Value};
use super::suggest;
use crate::diagnostics::Diagnostic;
use crate::geo::countries::continent_of;
use crate::geo::place::{Continent, Country};
use crate::region::Location;
use crate::steer::record::TtlRange;
use crate::wire::name::{Name, NameRef};
use crate::wire::types::Ttl;

/// `"1.5s"`; units ms, s, m, h, d.
pub(super) fn duration(
    node: &Node,
    range: RangeInclusive<Duration>,
    faults: &mut Faults,
) -> Option<Duration> {
    if let Value::Integer(Some(number)) = node.value {
        let fault = node.error("a duration needs a unit");
        faults.push(fault.help(format!("write \"{number}s\" for seconds")));
        return None;
    }
    let value = node.parsed("a duration", parse_duration, faults)?;
    if !range.contains(&value) {
        let (low, high) = range.into_inner();
        let label = format!("{} to {}", show(low), show(high));
        faults.push(node.error("duration out of range").label(label));
        return None;
    }
    Some(value)
}

/// A duration as it would be typed.
pub(super) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(86_400_000) => format!("{}d", millis / 86_400_000),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis < 1000 => format!("{millis}ms"),
        _ => format!("{}s", millis as f64 / 1000.0),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| "write \"10s\" or \"500ms\"".to_owned())?;
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        "" => return Err("the unit is missing: ms, s, m, h or d".to_owned()),
        _ => return Err("units are ms, s, m, h and d".to_owned()),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|_| "too long".to_owned())
}

/// One TTL, or the range in which it moves: `{ min = "5s", max = "5m" }`.
pub(super) fn ttl_range(node: &Node, faults: &mut Faults) -> Option<TtlRange> {
    if !matches!(node.value, Value::Table(_)) {
        return ttl(node, faults).map(TtlRange::fixed);
    }
    let mut fields = node.fields("a range of TTLs", faults)?;
    let min = fields.required("min", &node.span, faults);
    let max = fields.required("max", &node.span, faults);
    fields.finish(faults);
    let (min, max) = (min.map(|min| ttl(min, faults)), max.map(|max| ttl(max, faults)));
    let range = TtlRange { min: min??, max: max?? };
    if range.min > range.max {
        let fault = node.error("the shortest TTL is longer than the longest");
        faults.push(fault.help("swap 'min' and 'max'"));
        return None;
    }
    Some(range)
}

/// A TTL, written as a duration in whole seconds.
pub(super) fn ttl(node: &Node, faults: &mut Faults) -> Option<Ttl> {
    let max = Duration::from_secs(u64::from(Ttl::MAX.seconds()));
    let value = duration(node, Duration::ZERO..=max, faults)?;
    if value.subsec_nanos() != 0 {
        faults.push(node.error("a TTL is a number of whole seconds"));
        return None;
    }
    u32::try_from(value.as_secs()).ok().and_then(Ttl::new)
}

/// `"5%"`, in basis points.
pub(super) fn share(node: &Node, faults: &mut Faults) -> Option<u16> {
    if !matches!(node.value, Value::String(_)) {
        faults.push(node.error("a share is a text with a percent sign").help("write \"50%\""));
        return None;
    }
    let parse = |text: &str| {
        let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        let number = number.filter(|number| (0.0..=100.0).contains(number));
        number.map(|n| (n * 100.0).round() as u16).ok_or_else(|| "0% to 100%".to_owned())
    };
    node.parsed("a share", parse, faults)
}

/// An address that clients or probes can be sent to.
pub(super) fn address(node: &Node, faults: &mut Faults) -> Option<IpAddr> {
    let parse = |text: &str| {
        let address: IpAddr = text.parse().map_err(|_| address_hint(text))?;
        let usable = !address.is_unspecified()
            && !address.is_multicast()
            && address != IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
        if usable { Ok(address) } else { Err("nobody can connect to this address".to_owned()) }
    };
    node.parsed("an address", parse, faults)
}

fn address_hint(text: &str) -> String {
    if text.contains('/') {
        "one address, not a network".to_owned()
    } else if text.parse::<std::net::SocketAddr>().is_ok() {
        "without a port; the port belongs to the monitor".to_owned()
    } else {
        "write \"192.0.2.1\" or \"2001:db8::1\"".to_owned()
    }
}

/// `"192.0.2.0/24"` or a lone address. Host bits must be zero.
pub(super) fn network(node: &Node, faults: &mut Faults) -> Option<(IpAddr, u8)> {
    let (address, length) = node.parsed("a network", parse_network, faults)?;
    let whole = masked(address, length);
    if whole != address {
        let fault = node.error("the network has bits set behind its prefix length");
        faults.push(fault.help(format!("did you mean '{whole}/{length}'?")));
        return None;
    }
    Some((address, length))
}

pub(super) fn parse_network(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let hint = || "write \"192.0.2.0/24\" or \"2001:db8::/32\"".to_owned();
    let address: IpAddr = address.parse().map_err(|_| hint())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(length) => length.parse().map_err(|_| hint())?,
    };
    if length > most { Err(format!("at most /{most}")) } else { Ok((address, length)) }
}

/// `address` with every bit behind `length` cleared.
pub(super) fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// An AS number: 64500 or "AS64500".
pub(super) fn asn(node: &Node, faults: &mut Faults) -> Option<u32> {
    match &node.value {
        Value::String(_) => {
            let parse = |text: &str| {
                let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
                let number = digits.unwrap_or(text).parse().ok();
                number.ok_or_else(|| "write 64500 or \"AS64500\"".to_owned())
            };
            node.parsed("an AS number", parse, faults)
        }
        _ => node.integer(0..=i64::from(u32::MAX), faults),
    }
}

/// A name; relative ones are completed by `origin`.
pub(super) fn name(node: &Node, origin: NameRef<'_>, faults: &mut Faults) -> Option<Name> {
    let parse = |text: &str| Name::parse(text, origin).map_err(|error| error.to_string());
    node.parsed("a name", parse, faults)
}

/// The name of a host elsewhere. One without trailing dot that has dots inside looks like a
/// slip: it lies in the zone.
pub(super) fn target_name(node: &Node, origin: NameRef<'_>, faults: &mut Faults) -> Option<Name> {
    let name = name(node, origin, faults)?;
    if let Value::String(text) = &node.value
        && text.contains('.')
        && !text.ends_with('.')
    {
        let fault = Diagnostic::warning("a name without trailing dot", node.span.clone());
        faults
            .push(fault.label(format!("this is {name}")).help(format!("did you mean '{text}.'?")));
    }
    Some(name)
}

/// `[latitude, longitude]`.
pub(super) fn location(node: &Node, faults: &mut Faults) -> Option<Location> {
    let help = "write [latitude, longitude] in degrees: [50.11, 8.68]";
    let [latitude, longitude] = node.list(faults)? else {
        faults.push(node.error("a location is two numbers").help(help));
        return None;
    };
    let (latitude, longitude) = (latitude.number(faults)?, longitude.number(faults)?);
    let place = Location::new(latitude, longitude);
    if place.is_none() {
        let fault = node.error("no such place on the globe");
        let swapped = Location::new(longitude, latitude).is_some();
        faults.push(if swapped {
            fault
                .label("latitude goes from -90 to 90")
                .help("latitude comes first: are the two swapped?")
        } else {
            fault.label("latitude -90 to 90, longitude -180 to 180")
        });
    }
    place
}

/// An ISO 3166-1 alpha-2 code.
pub(super) fn country(node: &Node, faults: &mut Faults) -> Option<Country> {
    node.parsed("a country", parse_country, faults)
}

pub(super) fn parse_country(text: &str) -> Result<Country, String> {
    let code = <[u8; 2]>::try_from(text.as_bytes()).ok().map(Country);
    let known = code.filter(|code| continent_of(*code).is_some());
    known.ok_or_else(|| match text {
        "UK" => "the code is \"GB\"".to_owned(),
        "EL" => "the code is \"GR\"".to_owned(),
        "EU" => "a group is \"@eu\", the continent is continent = \"EU\"".to_owned(),
        _ if text.len() == 2 && text.bytes().any(|b| b.is_ascii_lowercase()) => {
            format!("write it in capitals: \"{}\"", text.to_ascii_uppercase())
        }
        _ => "no code of ISO 3166-1, such as \"DE\"".to_owned(),
    })
}

/// A continent by its two letters.
pub(super) fn continent(node: &Node, faults: &mut Faults) -> Option<Continent> {
    const CODES: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];
    let parse = |text: &str| {
        let code = <[u8; 2]>::try_from(text.as_bytes()).ok().filter(|_| CODES.contains(&text));
        code.map(Continent).ok_or_else(|| {
            suggest::closest(text, CODES)
                .map_or_else(|| CODES.join(", "), |near| format!("did you mean \"{near}\"?"))
        })
    };
    node.parsed("a continent", parse, faults)
}

/// An ISO 3166-2 code: `US-CA`.
pub(super) fn parse_subdivision(text: &str) -> Result<Box<str>, String> {
    let (country, part) = text.split_once('-').ok_or("write \"US-CA\"")?;
    parse_country(country)?;
    let fits = (1..=3).contains(&part.len())
        && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if fits {
        Ok(text.into())
    } else {
        Err("one to three capitals or digits follow the hyphen".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, millis) in [("10s", 10_000), ("500ms", 500), ("1.5s", 1500), ("2h", 7_200_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "s", "10", "10 s", "-1s", "1e9s", "1..5s", "10sec", "99999999999999999999999d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_would_be_typed() {
        for text in ["0s", "500ms", "1.5s", "90s", "2m", "3h", "1d"] {
            let shown = show(parse_duration(text).expect("parses"));
            assert_eq!(parse_duration(&shown), parse_duration(text), "{shown}");
        }
        assert_eq!(show(Duration::from_secs(90)), "90s");
    }

    #[test]
    fn masks_clear_what_stands_behind_the_prefix() {
        let check = |address: &str, length, expected: &str| {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(masked(address, length).to_string(), expected);
        };
        check("192.0.2.200", 24, "192.0.2.0");
        check("192.0.2.200", 0, "0.0.0.0");
        check("192.0.2.200", 32, "192.0.2.200");
        check("2001:db8:ffff::1", 33, "2001:db8:8000::");
        check("2001:db8::1", 0, "::");
    }

    #[test]
    fn only_codes_of_iso_3166_are_countries() {
        assert_eq!(parse_country("DE"), Ok(Country(*b"DE")));
        for text in ["de", "UK", "EU", "ZZ", "", "D", "DEU", "ÄÖ"] {
            assert!(parse_country(text).is_err(), "{text}");
        }
        assert!(parse_subdivision("US-CA").is_ok());
        for text in ["US", "US-", "XX-CA", "US-ca", "US-CALI"] {
            assert!(parse_subdivision(text).is_err(), "{text}");
        }
    }
}
