//! What targets say of how busy they are: the line of an agent, ORCA in its three forms, and the
//! statistics of HAProxy, nginx, Envoy and whoever speaks Prometheus' text format.

use meridian::probe::load::{Reading, agent, envoy, haproxy, nginx, orca, prometheus, protobuf};

/// Reads the octets as each of them.
pub fn run(octets: &[u8]) {
    if let Ok(said) = agent::parse(octets) {
        assert!(said.weight.is_none_or(|weight| weight <= 100), "{said:?}");
        assert!(said.why.is_none_or(|why| !why.chars().any(char::is_control)), "{octets:02x?}");
    }
    for reading in [orca::parse(octets), orca::parse_base64(octets), orca::binary(octets)] {
        sound(reading);
    }
    sound(nginx::parse(octets, 100));
    // The first line says what is looked for in the others.
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap_or(octets.len());
    let (wanted, rest) = (&octets[..end], octets.get(end + 1..).unwrap_or_default());
    if let Ok(wanted) = std::str::from_utf8(wanted) {
        sound(haproxy::parse(rest, wanted, None));
        sound(haproxy::parse(rest, wanted, Some(7)));
        sound(envoy::parse(rest, wanted, 100));
        if let Ok(selector) = prometheus::Selector::new(wanted) {
            let again = prometheus::Selector::new(&selector.to_string());
            assert_eq!(again.as_ref(), Ok(&selector), "what we write we read");
            let sum = prometheus::sum(rest, &selector);
            assert!(sum.is_none_or(|sum| !sum.is_nan()), "{sum:?}");
        }
    }
    // A message ends at its first fault, and never later than its octets.
    let fields = protobuf::fields(octets).take(octets.len() + 1).count();
    assert!(fields <= octets.len());
}

fn sound(reading: Option<Reading>) {
    let Some(reading) = reading else { return };
    assert!(reading.load.is_none_or(|load| load >= 0.0), "{reading:?}");
    assert!(reading.errors.is_none_or(|errors| (0.0..=1.0).contains(&errors)), "{reading:?}");
}
