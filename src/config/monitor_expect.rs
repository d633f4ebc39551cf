//! `expect = { … }`: what an answer must be, by type of monitor.

use std::ops::RangeInclusive;

use super::decode::{Faults, Fields, Node, Value};
use super::monitor_kinds::{Type, is_header_name, pattern, rcode};
use crate::diagnostics::Diagnostic;
use crate::probe::monitor::{HeaderExpect, HttpExpect, JsonExpect};
use crate::probe::pattern::{Pattern, Place};

/// Days a certificate can be asked to last.
const DAYS: RangeInclusive<i64> = 1..=3650;

/// 200 to 299 when nothing is written. Also the days a certificate must last.
pub(super) fn http(
    node: Option<&Node>,
    kind: Type,
    faults: &mut Faults,
) -> (HttpExpect, Option<u16>) {
    let mut expect = HttpExpect::default();
    let Some(mut fields) = node.and_then(|node| node.fields("expectations", faults)) else {
        return (expect, None);
    };
    let status = fields.get("status").map(|node| {
        let items = node.one_or_list().iter();
        items.flat_map(|item| statuses(item, faults)).collect::<Vec<_>>()
    });
    if let Some(status) = status.filter(|status| !status.is_empty()) {
        expect.status = status;
    }
    expect.body = fields.get("body").and_then(|node| node.text(faults)).map(Into::into);
    expect.matches = patterns(&mut fields, "body_matches", faults);
    expect.matches_not = patterns(&mut fields, "body_not_matches", faults);
    expect.json = fields.get("json").map(|node| json(node, faults)).unwrap_or_default();
    for (key, not) in [("headers", false), ("headers_not", true)] {
        if let Some(node) = fields.get(key) {
            headers(node, not, &mut expect.headers, faults);
        }
    }
    expect.tls = fields.get("tls").and_then(|node| node.boolean(faults));
    let days = fields.get("certificate_days");
    if let (Type::Http, Some(node)) = (kind, days) {
        let fault = node.error("an http monitor has no certificate");
        faults.push(fault.help("remove the key, or use type = \"https\""));
    }
    let days = days.and_then(|node| node.integer(DAYS, faults));
    fields.finish(faults);
    (expect, days)
}

/// The days a certificate must last: all that is expected of TLS alone.
pub(super) fn certificate(node: Option<&Node>, faults: &mut Faults) -> Option<u16> {
    let mut fields = node?.fields("expectations", faults)?;
    let days = fields.get("certificate_days").and_then(|node| node.integer(DAYS, faults));
    fields.finish(faults);
    days
}

/// What a DNS answer must be.
#[derive(Debug)]
pub(super) struct DnsExpect {
    pub(super) rcodes: Vec<u16>,
    pub(super) authoritative: bool,
    pub(super) answer: Vec<Pattern>,
    pub(super) answer_not: Vec<Pattern>,
}

/// NOERROR when nothing is written.
pub(super) fn dns(node: Option<&Node>, faults: &mut Faults) -> DnsExpect {
    let mut expect = DnsExpect {
        rcodes: vec![0],
        authoritative: false,
        answer: Vec::new(),
        answer_not: Vec::new(),
    };
    let Some(mut fields) = node.and_then(|node| node.fields("expectations", faults)) else {
        return expect;
    };
    if let Some(node) = fields.get("rcode") {
        expect.rcodes = node.one_or_list().iter().filter_map(|item| rcode(item, faults)).collect();
    }
    let authoritative = fields.get("authoritative").and_then(|node| node.boolean(faults));
    expect.authoritative = authoritative.unwrap_or(false);
    expect.answer = patterns(&mut fields, "answer", faults);
    expect.answer_not = patterns(&mut fields, "answer_not", faults);
    fields.finish(faults);
    expect
}

fn patterns(fields: &mut Fields<'_>, key: &'static str, faults: &mut Faults) -> Vec<Pattern> {
    let items = fields.get(key).map(Node::one_or_list).unwrap_or_default();
    items.iter().filter_map(|item| pattern(item, faults)).collect()
}

/// `{ "$.status" = "ok" }`, or `["$.status"]` for what must only be there.
fn json(node: &Node, faults: &mut Faults) -> Vec<JsonExpect> {
    let place = |text: &str| Place::new(text).map_err(|why| format!("{why}; see RFC 9535"));
    if let Value::Table(entries) = &node.value {
        let mut all = Vec::new();
        for entry in entries {
            let Some(equals) = json_value(&entry.node, faults) else { continue };
            match place(&entry.key) {
                Ok(place) => all.push(JsonExpect { place, equals: Some(equals) }),
                Err(why) => {
                    let message = format!("'{}' is not a JSON path", entry.key);
                    faults.push(Diagnostic::error(message, entry.key_span.clone()).label(why));
                }
            }
        }
        return all;
    }
    let items = node.one_or_list().iter();
    let places = items.filter_map(|item| item.parsed("a JSON path", place, faults));
    places.map(|place| JsonExpect { place, equals: None }).collect()
}

/// A plain value as JSON text.
fn json_value(node: &Node, faults: &mut Faults) -> Option<Box<str>> {
    let value = match &node.value {
        Value::String(text) => serde_json::Value::from(text.as_str()),
        Value::Integer(Some(number)) => serde_json::Value::from(*number),
        Value::Float(number) => serde_json::Value::from(*number),
        Value::Boolean(value) => serde_json::Value::from(*value),
        Value::Integer(None) | Value::Datetime | Value::Array(_) | Value::Table(_) => {
            return node.expected("a text, a number, true or false", faults);
        }
    };
    Some(value.to_string().into())
}

fn headers(node: &Node, not: bool, all: &mut Vec<HeaderExpect>, faults: &mut Faults) {
    for entry in node.table(faults).unwrap_or_default() {
        let name = entry.key.to_ascii_lowercase();
        if !is_header_name(&name) {
            let message = format!("'{}' is not the name of a header", entry.key);
            faults.push(Diagnostic::error(message, entry.key_span.clone()));
        }
        for item in entry.node.one_or_list() {
            if let Some(pattern) = pattern(item, faults) {
                all.push(HeaderExpect { name: name.as_str().into(), pattern, not });
            }
        }
    }
}

fn statuses(node: &Node, faults: &mut Faults) -> Vec<RangeInclusive<u16>> {
    if let Value::Integer(_) = node.value {
        let status: Option<u16> = node.integer(100..=599, faults);
        return status.map(|status| status..=status).into_iter().collect();
    }
    let parse = |text: &str| text.split(',').map(|part| status_range(part.trim())).collect();
    node.parsed("a set of statuses", parse, faults).unwrap_or_default()
}

fn status_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |text: &str| {
        let number = text.trim().parse().ok().filter(|status| (100..=599).contains(status));
        number.ok_or_else(|| "write \"200-299,301\"; statuses are 100 to 599".to_owned())
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let range = number(low)?..=number(high)?;
    if range.is_empty() { Err("the range is empty".to_owned()) } else { Ok(range) }
}
