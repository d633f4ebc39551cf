//! `load` of a monitor: where in an answer the load stands.

use super::decode::{Faults, Fields, Node, Value};
use crate::probe::load::LoadSource;
use crate::probe::load::prometheus::Selector;

#[derive(Clone, Copy)]
enum From {
    Orca,
    Json,
    Haproxy,
    Prometheus,
    Nginx,
    Envoy,
}

const WORDS: [(&str, From); 6] = [
    ("orca", From::Orca),
    ("json", From::Json),
    ("haproxy", From::Haproxy),
    ("prometheus", From::Prometheus),
    ("nginx", From::Nginx),
    ("envoy", From::Envoy),
];

/// `"orca"`, `"json:/load"`, or `{ from = "haproxy", … }`.
pub(super) fn read(node: &Node, faults: &mut Faults) -> Option<LoadSource> {
    if let Value::String(text) = &node.value {
        return short(node, text, faults);
    }
    let mut fields = node.fields("a source of load", faults)?;
    let from = fields.required("from", &node.span, faults);
    let from = from.and_then(|node| node.word("source of load", &WORDS, faults))?;
    let read = table(from, &mut fields, node, faults);
    fields.finish(faults);
    read
}

fn short(node: &Node, text: &str, faults: &mut Faults) -> Option<LoadSource> {
    if text == "orca" {
        return Some(LoadSource::Orca);
    }
    if let Some(load) = text.strip_prefix("json:") {
        return match pointer(load) {
            Ok(load) => Some(LoadSource::Json { load, errors: None, full: 1.0 }),
            Err(why) => {
                faults.push(node.error(format!("'{load}' is not a JSON pointer")).label(why));
                None
            }
        };
    }
    let fault = node.error(format!("unknown source of load '{text}'"));
    faults.push(
        fault.help("write \"orca\", \"json:/load\", or { from = \"haproxy\", proxy = \"web\" }"),
    );
    None
}

fn table(
    from: From,
    fields: &mut Fields<'_>,
    node: &Node,
    faults: &mut Faults,
) -> Option<LoadSource> {
    match from {
        From::Orca => Some(LoadSource::Orca),
        From::Json => {
            let mut read = |key, faults: &mut Faults| {
                fields.get(key).map(|node| node.parsed("a JSON pointer", pointer, faults))
            };
            let (load, errors) = (read("load", faults), read("errors", faults));
            let full = full(fields, faults);
            let errors = errors.map_or(Some(None), |errors| errors.map(Some));
            Some(LoadSource::Json {
                load: load.unwrap_or_else(|| Some("/load".into()))?,
                errors: errors?,
                full: full?,
            })
        }
        From::Haproxy => {
            let proxy = fields.required("proxy", &node.span, faults);
            let proxy = proxy.and_then(|node| node.text(faults)).map(Into::into);
            let limit = match fields.get("limit") {
                None => Some(None),
                Some(node) => node.integer(1..=i64::from(u32::MAX), faults).map(Some),
            };
            Some(LoadSource::Haproxy { proxy: proxy?, limit: limit? })
        }
        From::Nginx => Some(LoadSource::Nginx { limit: limit(fields, node, faults)? }),
        From::Envoy => {
            let cluster = fields.required("cluster", &node.span, faults);
            let cluster = cluster.and_then(|node| node.text(faults)).map(Into::into);
            let limit = limit(fields, node, faults);
            Some(LoadSource::Envoy { cluster: cluster?, limit: limit? })
        }
        From::Prometheus => prometheus(fields, node, faults),
    }
}

fn prometheus(fields: &mut Fields<'_>, node: &Node, faults: &mut Faults) -> Option<LoadSource> {
    let mut sound = true;
    let mut read = |key, faults: &mut Faults| {
        let parsed = fields.get(key).map(|node| node.parsed("a selector", Selector::new, faults));
        sound &= !matches!(parsed, Some(None));
        parsed.flatten()
    };
    let load = read("load", faults);
    let limit = read("limit", faults);
    let requests = read("requests", faults);
    let errors = read("errors", faults);
    let full = full(fields, faults);
    if !sound {
        return None;
    }
    let Some(load) = load else {
        let fault = node.error("a prometheus source needs 'load'");
        faults.push(fault.help("write load = \"sessions{proxy=\\\"web\\\"}\""));
        return None;
    };
    if requests.is_some() != errors.is_some() {
        let fault = node.error("'requests' and 'errors' belong together");
        faults.push(fault.help("the share of errors is the growth of one by that of the other"));
        return None;
    }
    Some(LoadSource::Prometheus { load, limit, full: full?, requests, errors })
}

fn limit(fields: &mut Fields<'_>, node: &Node, faults: &mut Faults) -> Option<u32> {
    let limit = fields.required("limit", &node.span, faults)?;
    limit.integer(1..=i64::from(u32::MAX), faults)
}

/// What stands for all it can bear; 1 when nothing is written.
fn full(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<f64> {
    let Some(node) = fields.get("full") else { return Some(1.0) };
    let full = node.number(faults)?;
    if full > 0.0 && full.is_finite() {
        return Some(full);
    }
    faults.push(node.error("'full' is more than 0"));
    None
}

/// RFC 6901.
fn pointer(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || text.starts_with('/') {
        Ok(text.into())
    } else {
        Err("it begins with '/' (RFC 6901)".to_owned())
    }
}
