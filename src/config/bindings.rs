//! `https = { … }` and `svcb = { … }` of records and pools: one HTTPS or SVCB record (RFC 9460),
//! all of it but the addresses.

use std::collections::BTreeMap;

use super::decode::{Faults, Node, Value};
use super::{suggest, terms};
use crate::diagnostics::{Diagnostic, Span};
use crate::steer::service::{BINDING_MAX, Binding};
use crate::wire::name::{Name, NameRef};
use crate::wire::svcb::{
    ALPN, DOHPATH, ECH, GROUPS, IPV4HINT, IPV6HINT, KEYS, LAST_KEY, MANDATORY, NO_DEFAULT_ALPN,
    OHTTP, PORT,
};
use crate::wire::types::Rtype;
use crate::zone::base64;

/// What stands in such a table.
#[derive(Debug, Clone)]
pub(super) struct Written {
    place: Span,
    priority: Option<u16>,
    target: Option<Target>,
    hints: Option<bool>,
    /// Values in wire form; `None` takes away what the record has.
    params: BTreeMap<u16, Option<Box<[u8]>>>,
    /// Where `mandatory` stands.
    mandatory: Option<Span>,
    sound: bool,
}

#[derive(Debug, Clone)]
enum Target {
    Name(Name),
    /// Each pool's own name.
    Pool(Span),
}

/// Reads a table; `what` it is goes into messages.
pub(super) fn read(
    node: &Node,
    what: &'static str,
    origin: NameRef<'_>,
    faults: &mut Faults,
) -> Option<Written> {
    let mut fields = node.fields(what, faults)?;
    let mut written = Written {
        place: node.span.clone(),
        priority: None,
        target: None,
        hints: None,
        params: BTreeMap::new(),
        mandatory: None,
        sound: true,
    };
    if let Some(node) = fields.get("priority") {
        written.priority = priority(node, faults);
        written.sound &= written.priority.is_some();
    }
    if let Some(node) = fields.get("target") {
        written.target = match &node.value {
            Value::String(text) if text == "@pool" => Some(Target::Pool(node.span.clone())),
            _ => terms::target_name(node, origin, faults).map(Target::Name),
        };
        written.sound &= written.target.is_some();
    }
    if let Some(node) = fields.get("hints") {
        written.hints = node.boolean(faults);
        written.sound &= written.hints.is_some();
    }
    type Reader = fn(&Node, &mut Faults) -> Option<Box<[u8]>>;
    let readers: [(&'static str, u16, Reader); 7] = [
        ("mandatory", MANDATORY, mandatory),
        ("alpn", ALPN, alpn),
        ("no_default_alpn", NO_DEFAULT_ALPN, flag),
        ("port", PORT, port),
        ("ech", ECH, ech),
        ("dohpath", DOHPATH, dohpath),
        ("ohttp", OHTTP, flag),
    ];
    for (name, key, read) in readers {
        let Some(node) = fields.get(name) else { continue };
        if key == MANDATORY {
            written.mandatory = Some(node.span.clone());
        }
        written.take(key, node, read, faults);
    }
    if let Some(node) = fields.get("params") {
        written.others(node, faults);
    }
    fields.finish(faults);
    Some(written)
}

impl Written {
    fn take(
        &mut self,
        key: u16,
        node: &Node,
        read: impl Fn(&Node, &mut Faults) -> Option<Box<[u8]>>,
        faults: &mut Faults,
    ) {
        let value = match node.value {
            Value::Boolean(false) => None,
            _ => {
                let value = read(node, faults);
                self.sound &= value.is_some();
                value
            }
        };
        self.params.insert(key, value);
    }

    /// `params = { key667 = "text" }`: what has no key of its own here.
    fn others(&mut self, node: &Node, faults: &mut Faults) {
        let Some(entries) = node.table(faults) else {
            self.sound = false;
            return;
        };
        for entry in entries {
            let key = entry.key.strip_prefix("key").and_then(|digits| digits.parse().ok());
            match key.filter(|key| (GROUPS..=LAST_KEY).contains(key)) {
                Some(key) => self.take(key, &entry.node, octets, faults),
                None => {
                    self.sound = false;
                    let fault = Diagnostic::error(
                        format!("'{}' is not a parameter", entry.key),
                        entry.key_span.clone(),
                    );
                    faults.push(fault.help(format!(
                        "parameters without a key of their own are key{GROUPS} to key{LAST_KEY}"
                    )));
                }
            }
        }
    }

    /// The record of a pool: what the pool says wins over what the record says. `own` is the
    /// pool's own name, where it has one.
    pub(super) fn bind(
        &self,
        pool: Option<&Self>,
        rtype: Rtype,
        (owner, own): (&Name, Option<&Name>),
        faults: &mut Faults,
    ) -> Option<Binding> {
        let sound = self.sound && pool.is_none_or(|pool| pool.sound);
        let place = pool.map_or(&self.place, |pool| &pool.place);
        let target = pool.and_then(|pool| pool.target.as_ref()).or(self.target.as_ref());
        let (target, is_own) = match target {
            None => (Name::root(), true),
            Some(Target::Name(name)) => (name.clone(), *name == Name::root() || name == owner),
            Some(Target::Pool(span)) => match own {
                Some(own) => (own.clone(), true),
                None => {
                    let fault = Diagnostic::error(
                        "the pools have no names of their own here",
                        span.clone(),
                    );
                    faults.push(fault.help("add pool_names = true to the record"));
                    return None;
                }
            },
        };
        let mut params = self.params.clone();
        params.extend(pool.into_iter().flat_map(|pool| pool.params.clone()));
        params.retain(|_, value| value.is_some());
        let hints = pool.and_then(|pool| pool.hints).or(self.hints).unwrap_or(is_own);
        if !sound {
            return None;
        }
        let is_fit = self.fits(pool, &params, rtype, faults);
        let params = |low, high| -> Box<[u8]> {
            let within = params.range(low..=high);
            let one = |(key, value): (&u16, &Option<Box<[u8]>>)| {
                let value = value.as_deref().unwrap_or_default();
                let length = value.len() as u16;
                [&key.to_be_bytes(), &length.to_be_bytes(), value].concat()
            };
            within.flat_map(one).collect()
        };
        let binding = Binding {
            priority: pool.and_then(|pool| pool.priority).or(self.priority).unwrap_or(1),
            head: [target.as_wire(), &params(MANDATORY, PORT)].concat().into(),
            middle: params(ECH, ECH),
            tail: params(DOHPATH, LAST_KEY),
            hints,
        };
        let length = binding.head.len() + binding.middle.len() + binding.tail.len();
        if length > BINDING_MAX {
            let message = format!("an {rtype} record of {length} octets before its hints");
            let fault = Diagnostic::error(message, place.clone());
            faults.push(fault.label(format!("at most {BINDING_MAX}")));
            return None;
        }
        is_fit.then_some(binding)
    }

    /// What must hold between parameters (RFC 9460 sections 7.1.1 and 8).
    fn fits(
        &self,
        pool: Option<&Self>,
        params: &BTreeMap<u16, Option<Box<[u8]>>>,
        rtype: Rtype,
        faults: &mut Faults,
    ) -> bool {
        let error = |message: String, place: &Span| Diagnostic::error(message, place.clone());
        let place = pool.map_or(&self.place, |pool| &pool.place);
        let mut fit = true;
        if params.contains_key(&NO_DEFAULT_ALPN) && !params.contains_key(&ALPN) {
            let message = "'no_default_alpn' without 'alpn' leaves no protocol".to_owned();
            faults.push(error(message, place).help("name those there are: alpn = [\"h2\"]"));
            fit = false;
        }
        let place = pool.and_then(|pool| pool.mandatory.as_ref()).or(self.mandatory.as_ref());
        let listed = params.get(&MANDATORY).and_then(Option::as_deref).unwrap_or_default();
        for key in listed.chunks_exact(2).map(|key| u16::from_be_bytes([key[0], key[1]])) {
            let Some(place) = place else { continue };
            let name = KEYS.iter().find(|(_, known)| *known == key);
            let name = name.map_or_else(|| format!("key{key}"), |(name, _)| (*name).to_owned());
            if key == IPV4HINT || key == IPV6HINT {
                let fault = error(format!("'{name}' cannot be mandatory"), place);
                faults.push(fault.help("hints come and go with what is healthy"));
                fit = false;
            } else if !params.contains_key(&key) {
                let message = format!("'{name}' is mandatory, but not there");
                faults.push(error(message, place).help("RFC 9460 section 8 forbids that"));
                fit = false;
            } else if rtype == Rtype::HTTPS && matches!(key, PORT | NO_DEFAULT_ALPN) {
                let message = format!("'{name}' is mandatory in HTTPS anyway");
                let fault = Diagnostic::warning(message, place.clone());
                faults.push(fault.help("leave it out of the list (RFC 9460 sections 8 and 9)"));
            }
        }
        fit
    }
}

fn priority(node: &Node, faults: &mut Faults) -> Option<u16> {
    if matches!(node.value, Value::Integer(Some(0))) {
        faults.push(
            node.error("priority 0 would make an alias of it (RFC 9460 section 2.4.2)")
                .help("hand over by name with a pool: cname = \"lb.example.net.\""),
        );
        return None;
    }
    node.integer(1..=i64::from(u16::MAX), faults)
}

fn mandatory(node: &Node, faults: &mut Faults) -> Option<Box<[u8]>> {
    let parse = |text: &str| {
        let known = KEYS.iter().find(|(name, _)| *name == text).map(|(_, key)| *key);
        let number = || text.strip_prefix("key")?.parse().ok();
        known.or_else(number).ok_or_else(|| {
            suggest::closest(text, KEYS.map(|(name, _)| name))
                .map_or_else(|| "write \"alpn\"".to_owned(), |n| format!("did you mean \"{n}\"?"))
        })
    };
    let items = node.list(faults)?;
    let mut keys = Vec::new();
    for item in items {
        let key = item.parsed("a parameter", parse, faults)?;
        if key == MANDATORY || keys.contains(&key) {
            let why = if key == MANDATORY { "cannot name itself" } else { "names it twice" };
            faults.push(item.error(format!("'mandatory' {why}")));
            return None;
        }
        keys.push(key);
    }
    if keys.is_empty() {
        faults.push(node.error("no parameters").help("leave the key out"));
        return None;
    }
    keys.sort_unstable();
    Some(keys.iter().flat_map(|key| key.to_be_bytes()).collect())
}

/// RFC 9460 section 7.1.1: protocol identifiers, each with its length in front.
fn alpn(node: &Node, faults: &mut Faults) -> Option<Box<[u8]>> {
    let mut value: Vec<u8> = Vec::new();
    for item in node.one_or_list() {
        let text = item.text(faults)?;
        match u8::try_from(text.len()) {
            Ok(length @ 1..) => {
                value.push(length);
                value.extend_from_slice(text.as_bytes());
            }
            _ => {
                faults.push(item.error("a protocol identifier has 1 to 255 octets"));
                return None;
            }
        }
    }
    if value.is_empty() {
        faults.push(node.error("no protocols").help("write alpn = [\"h2\", \"h3\"]"));
        return None;
    }
    Some(value.into())
}

fn flag(node: &Node, faults: &mut Faults) -> Option<Box<[u8]>> {
    node.boolean(faults).map(|_| Box::default())
}

fn port(node: &Node, faults: &mut Faults) -> Option<Box<[u8]>> {
    let port: u16 = node.integer(1..=i64::from(u16::MAX), faults)?;
    Some(port.to_be_bytes().into())
}

/// An ECHConfigList in Base64 (RFC 9848, RFC 9849 section 4): its length, then configurations.
fn ech(node: &Node, faults: &mut Faults) -> Option<Box<[u8]>> {
    let parse = |text: &str| {
        let octets = base64(text.as_bytes()).ok_or_else(|| "not Base64".to_owned())?;
        let whole = octets.split_first_chunk::<2>().is_some_and(|(length, configurations)| {
            !configurations.is_empty()
                && usize::from(u16::from_be_bytes(*length)) == configurations.len()
        });
        if whole { Ok(octets.into()) } else { Err("its length does not fit".to_owned()) }
    };
    node.parsed("a list of ECH configurations", parse, faults)
}

/// RFC 9461 section 5.1: a URI template with the variable `dns`.
fn dohpath(node: &Node, faults: &mut Faults) -> Option<Box<[u8]>> {
    let parse = |text: &str| {
        if text.starts_with('/') && text.contains("dns") && text.contains('{') {
            Ok(text.as_bytes().into())
        } else {
            Err("write \"/dns-query{?dns}\"".to_owned())
        }
    };
    node.parsed("a template of a path", parse, faults)
}

/// A text, or `{ hex = "…" }`.
fn octets(node: &Node, faults: &mut Faults) -> Option<Box<[u8]>> {
    let Value::Table(_) = node.value else {
        return node.text(faults).map(|text| text.as_bytes().into());
    };
    let mut fields = node.fields("a value", faults)?;
    let value = fields.required("hex", &node.span, faults).and_then(|node| {
        let parse = |text: &str| {
            let digits: Option<Vec<u8>> =
                text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
            let digits = digits.filter(|digits| digits.len() % 2 == 0);
            let digits = digits.ok_or_else(|| "pairs of hexadecimal digits".to_owned())?;
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        };
        node.parsed("hexadecimal", parse, faults)
    });
    fields.finish(faults);
    value
}
