//! ORCA, the Open Request Cost Aggregation: a load report in a header of an ordinary answer
//! (`xds.data.orca.v3.OrcaLoadReport`; its three spellings as Envoy reads them).

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::Reading;
use super::protobuf::{Field, fields};

/// The header of the text forms.
pub const HEADER: &str = "endpoint-load-metrics";
/// The header of the binary form.
pub const HEADER_BINARY: &str = "endpoint-load-metrics-bin";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The fields of a report that say how busy somebody is.
#[derive(Debug, Default)]
struct Report {
    cpu: Option<f64>,
    application: Option<f64>,
    requests: Option<f64>,
    errors: Option<f64>,
}

/// Reads the header's value: `TEXT name=number,…`, `JSON {…}` or `BIN base64`. Without such a word
/// in front it is JSON where it begins with `{`, else text.
pub fn parse(value: &[u8]) -> Option<Reading> {
    let value = value.trim_ascii();
    let (form, rest) = match value.iter().position(|octet| *octet == b' ') {
        Some(at) => (&value[..at], value[at..].trim_ascii_start()),
        None => (&[][..], value),
    };
    match form {
        b"TEXT" => text(rest),
        b"JSON" => json(rest),
        b"BIN" => parse_base64(rest),
        _ if value.starts_with(b"{") => json(value),
        _ => text(value),
    }
}

/// Reads a report of the binary form, in Base64.
pub fn parse_base64(value: &[u8]) -> Option<Reading> {
    binary(&BASE64.decode(value.trim_ascii()).ok()?)
}

/// Reads an `OrcaLoadReport`.
pub fn binary(message: &[u8]) -> Option<Reading> {
    let mut report = Report::default();
    for field in fields(message) {
        if let (number, Field::Fixed64(bits)) = field? {
            let value = Some(f64::from_bits(bits));
            match number {
                1 => report.cpu = value,
                6 => report.requests = value,
                7 => report.errors = value,
                9 => report.application = value,
                _ => {}
            }
        }
    }
    report.reading()
}

fn text(value: &[u8]) -> Option<Reading> {
    let mut report = Report::default();
    for pair in std::str::from_utf8(value).ok()?.split(',') {
        let (name, number) = pair.split_once(['=', ':'])?;
        report.take(name.trim(), number.trim().parse().ok()?);
    }
    report.reading()
}

/// Names are those of the message or their JSON spelling (`cpuUtilization`).
fn json(value: &[u8]) -> Option<Reading> {
    let Value::Object(entries) = serde_json::from_slice(value).ok()? else { return None };
    let mut report = Report::default();
    for (name, value) in entries {
        if let Some(number) = value.as_f64() {
            report.take(&name, number);
        }
    }
    report.reading()
}

impl Report {
    fn take(&mut self, name: &str, number: f64) {
        let place = match name {
            "cpu_utilization" | "cpuUtilization" => &mut self.cpu,
            "application_utilization" | "applicationUtilization" => &mut self.application,
            "rps_fractional" | "rpsFractional" => &mut self.requests,
            "eps" => &mut self.errors,
            _ => return,
        };
        *place = Some(number);
    }

    /// What the application says of itself goes before what its processor says (gRFC A58).
    /// `None` for a report that says nothing of use.
    fn reading(&self) -> Option<Reading> {
        let sound = |number: Option<f64>| number.filter(|n| n.is_finite() && *n >= 0.0);
        let application = sound(self.application).filter(|load| *load > 0.0);
        let load = application.or_else(|| sound(self.cpu));
        let (requests, errors) = (sound(self.requests), sound(self.errors));
        let errors = requests.filter(|requests| *requests > 0.0).zip(errors);
        let errors = errors.map(|(requests, errors)| (errors / requests).min(1.0));
        let reading = Reading { load, errors, ..Reading::default() };
        (reading != Reading::default()).then_some(reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(value: &str) -> Option<(Option<f64>, Option<f64>)> {
        parse(value.as_bytes()).map(|reading| (reading.load, reading.errors))
    }

    #[test]
    fn the_text_forms_are_read() {
        let busy = Some((Some(0.3), None));
        assert_eq!(load("TEXT cpu_utilization=0.3,mem_utilization=0.8"), busy);
        assert_eq!(load("cpu_utilization: 0.3, mem_utilization: 0.8"), busy);
        assert_eq!(load("JSON {\"cpu_utilization\": 0.3, \"named\": {\"a\": 1}}"), busy);
        assert_eq!(load("{\"cpuUtilization\":0.3}"), busy);
        let all = "TEXT cpu_utilization=0.3,application_utilization=1.25,rps_fractional=50,eps=5";
        assert_eq!(load(all), Some((Some(1.25), Some(0.1))));
        assert_eq!(load("TEXT cpu_utilization=0.3,application_utilization=0"), busy);
    }

    #[test]
    fn the_binary_form_is_read() {
        let mut message = vec![9];
        message.extend_from_slice(&0.5f64.to_le_bytes());
        message.extend_from_slice(&[0x22, 2, 10, 0, 73]);
        message.extend_from_slice(&0.75f64.to_le_bytes());
        let reading = Some(Reading { load: Some(0.75), ..Reading::default() });
        assert_eq!(binary(&message), reading);
        let encoded = BASE64.encode(&message);
        assert_eq!(parse_base64(encoded.as_bytes()), reading);
        assert_eq!(parse(format!("BIN {}", encoded.trim_end_matches('=')).as_bytes()), reading);
        assert_eq!(binary(&message[..5]), None);
    }

    #[test]
    fn what_says_nothing_of_use_is_nothing() {
        for value in [
            "",
            "TEXT",
            "JSON []",
            "TEXT cpu_utilization=",
            "TEXT cpu_utilization=NaN",
            "TEXT cpu_utilization=-1",
            "TEXT mem_utilization=0.5",
            "BIN !",
        ] {
            assert_eq!(load(value), None, "{value:?}");
        }
    }
}
