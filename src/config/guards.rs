//! `[safety]` and `[log]`: what may be moved, and what is written down of what was decided.

use std::path::Path;
use std::time::Duration;

use super::decode::{Faults, Node, Value};
use super::{Decisions, terms};
use crate::steer::safety::SafetySpec;

/// Longest time over which moves are added up.
const WINDOW_MAX: Duration = Duration::from_secs(86_400);
/// The file of decisions, in the state folder.
const DECISIONS_FILE: &str = "decisions.jsonl";
/// Octets after which a new file of decisions is begun.
const DECISIONS_SIZE: u64 = 64_000_000;

/// Reads `[safety]`.
pub(super) fn safety(node: Option<&Node>, faults: &mut Faults) -> SafetySpec {
    let mut safety = SafetySpec::default();
    let Some(mut fields) = node.and_then(|node| node.fields("the section 'safety'", faults)) else {
        return safety;
    };
    if let Some(node) = fields.get("min_regions_on") {
        safety.min_regions_on = node.integer(0..=1000, faults).unwrap_or(0);
    }
    if let Some(node) = fields.get("max_shift") {
        safety.max_shift = shift(node, faults);
    }
    fields.finish(faults);
    safety
}

/// `"20%/1m"`.
fn shift(node: &Node, faults: &mut Faults) -> Option<(u16, Duration)> {
    let text = node.text(faults)?;
    let Some((share, window)) = text.split_once('/') else {
        let fault = node.error(format!("'{text}' is not a share per time"));
        faults.push(fault.help("write \"20%/1m\""));
        return None;
    };
    let part =
        |text: &str| Node { span: node.span.clone(), value: Value::String(text.trim().to_owned()) };
    let share = terms::share(&part(share), faults);
    let range = Duration::from_secs(1)..=WINDOW_MAX;
    let window = terms::duration(&part(window), range, faults);
    Some((share?, window?))
}

/// Reads `[log]`. `root` is the folder of `meridian.toml`.
pub(super) fn log(
    node: Option<&Node>,
    root: &Path,
    state: &Path,
    faults: &mut Faults,
) -> Option<Decisions> {
    let mut fields = node.and_then(|node| node.fields("the section 'log'", faults))?;
    let decisions = fields.get("decisions");
    fields.finish(faults);
    let node = decisions?;
    let mut fields = node.fields("the log of decisions", faults)?;
    let one_of = fields.required("sample", &node.span, faults);
    let one_of = one_of.and_then(|node| node.parsed("a share", sample, faults));
    let file = match fields.get("file") {
        None => Some(state.join(DECISIONS_FILE)),
        Some(node) => node.text(faults).map(|text| root.join(text)),
    };
    let max_size = match fields.get("max_size") {
        None => Some(DECISIONS_SIZE),
        Some(node) => node.parsed("a size", size, faults),
    };
    fields.finish(faults);
    Some(Decisions { one_of: one_of?, file: file?, max_size: max_size? })
}

/// `"0.1%"`: one of 1000.
fn sample(text: &str) -> Result<u64, String> {
    let number: Option<f64> = text.strip_suffix('%').and_then(|number| number.parse().ok());
    let number = number.filter(|number| (0.0001..=100.0).contains(number));
    let number = number.ok_or_else(|| "0.0001% to 100%".to_owned())?;
    Ok((100.0 / number).round() as u64)
}

/// `"64MB"`; units kB, MB and GB.
fn size(text: &str) -> Result<u64, String> {
    let hint = || "write \"64MB\"".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| hint())?;
    let scale = match unit.trim_start() {
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err("units are kB, MB and GB".to_owned()),
    };
    let size = number.checked_mul(scale).filter(|size| (100_000..=1 << 50).contains(size));
    size.ok_or_else(|| "100kB or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_shares() {
        assert_eq!((sample("0.1%"), sample("100%"), sample("33%")), (Ok(1000), Ok(1), Ok(3)));
        for wrong in ["0%", "101%", "5", "", "-1%", "0.00001%"] {
            assert!(sample(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((size("64MB"), size("100 kB")), (Ok(64_000_000), Ok(100_000)));
        for wrong in ["64", "MB", "1kB", "64MiB", "99999999999999999999GB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
