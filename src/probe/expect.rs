//! Whether an HTTP answer is as expected: pure, from what was read.

use hyper::{Response, Version};
use serde_json::Value;

use super::load::LoadSource;
use super::monitor::{HeaderExpect, Http, JsonExpect};
use super::trace::Trace;
use crate::health::sample::Reason;

/// True when more of the body would change nothing.
pub(super) fn is_enough(http: &Http, body: &[u8]) -> bool {
    let loaded = http.load.as_ref().is_some_and(LoadSource::is_in_body);
    let Some(text) = http.expect.body.as_deref() else { return false };
    !loaded && http.expect.is_plain() && holds(body, text.as_bytes())
}

/// The first expectation that is not met.
pub(super) fn judge(
    http: &Http,
    tls: bool,
    answer: &Response<()>,
    body: &[u8],
    trace: &mut Trace,
) -> Result<(), Reason> {
    let expect = &http.expect;
    let accepted = match answer.version() {
        Version::HTTP_2 => http.versions.http2,
        Version::HTTP_11 => http.versions.http11,
        Version::HTTP_10 => http.versions.http10,
        _ => false,
    };
    if !accepted {
        trace.complain(|| format!("{:?} is not accepted", answer.version()));
        return Err(Reason::Version);
    }
    let status = answer.status().as_u16();
    if !expect.status.iter().any(|expected| expected.contains(&status)) {
        return Err(Reason::Status(status));
    }
    if expect.tls.is_some_and(|expected| expected != tls) {
        trace.complain(|| format!("answered {} TLS", if tls { "over" } else { "without" }));
        return Err(Reason::Protocol);
    }
    for header in &expect.headers {
        if let Some(complaint) = header_fault(header, answer) {
            trace.complain(|| complaint);
            return Err(Reason::Header);
        }
    }
    match body_fault(http, body) {
        None => Ok(()),
        Some(complaint) => {
            trace.complain(|| complaint);
            Err(Reason::Body)
        }
    }
}

fn header_fault(expect: &HeaderExpect, answer: &Response<()>) -> Option<String> {
    let HeaderExpect { name, pattern, not } = expect;
    let mut values = answer.headers().get_all(&**name).iter();
    let matches = values.any(|value| pattern.is_in(value.as_bytes()));
    match (matches, not) {
        (false, false) => Some(format!("no header {name} matches {pattern}")),
        (true, true) => Some(format!("a header {name} matches {pattern}")),
        (true, false) | (false, true) => None,
    }
}

fn body_fault(http: &Http, body: &[u8]) -> Option<String> {
    let expect = &http.expect;
    if let Some(text) = expect.body.as_deref().filter(|text| !holds(body, text.as_bytes())) {
        return Some(format!("the body does not hold {text:?}"));
    }
    if let Some(pattern) = expect.matches.iter().find(|pattern| !pattern.is_in(body)) {
        return Some(format!("the body does not match {pattern}"));
    }
    if let Some(pattern) = expect.matches_not.iter().find(|pattern| pattern.is_in(body)) {
        return Some(format!("the body matches {pattern}"));
    }
    if expect.json.is_empty() {
        return None;
    }
    let Ok(value) = serde_json::from_slice(body) else {
        return Some("the body is no JSON".to_owned());
    };
    expect.json.iter().find_map(|expect| json_fault(expect, &value))
}

fn json_fault(expect: &JsonExpect, value: &Value) -> Option<String> {
    let JsonExpect { place, equals } = expect;
    let found = place.find(value);
    let Some(equals) = equals else {
        return found.is_empty().then(|| format!("nothing stands at {place}"));
    };
    let wanted: Option<Value> = serde_json::from_str(equals).ok();
    if found.iter().any(|value| Some(*value) == wanted.as_ref()) {
        return None;
    }
    Some(match found.first() {
        Some(other) => format!("at {place} stands {other}, not {equals}"),
        None => format!("nothing stands at {place}"),
    })
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text)
}
