//! What each type of monitor asks: the keys that only some types have.

use super::decode::{Faults, Fields, Node, Value};
use super::{monitor_expect, monitor_load, suggest};
use crate::diagnostics::{Diagnostic, Span};
use crate::probe::monitor::{
    Agent, Auth, Dns, Grpc, Http, Kind, Push, Stale, Step, Tcp, Tls, Versions,
};
use crate::probe::pattern::Pattern;
use crate::wire::name::Name;

/// The word of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Http,
    Https,
    Tcp,
    Tls,
    Dns,
    Grpc,
    Agent,
    Push,
    Composite,
}

use Type as T;

impl Type {
    pub(super) const WORDS: [(&'static str, Self); 9] = [
        ("http", Self::Http),
        ("https", Self::Https),
        ("tcp", Self::Tcp),
        ("tls", Self::Tls),
        ("dns", Self::Dns),
        ("grpc", Self::Grpc),
        ("agent", Self::Agent),
        ("push", Self::Push),
        ("composite", Self::Composite),
    ];

    /// As it is written.
    pub(super) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, of)| *of == self).map_or("", |(word, _)| word)
    }

    /// The scheme's port.
    pub(super) const fn port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https | Self::Tls => Some(443),
            Self::Dns => Some(53),
            Self::Tcp | Self::Grpc | Self::Agent => None,
            Self::Push | Self::Composite => Some(0),
        }
    }

    const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

/// Keys that only some types have.
const KEYS: [(&str, &[Type]); 30] = [
    ("path", &[T::Http, T::Https]),
    ("method", &[T::Http, T::Https]),
    ("host", &[T::Http, T::Https, T::Grpc]),
    ("headers", &[T::Http, T::Https]),
    ("body", &[T::Http, T::Https]),
    ("basic_auth", &[T::Http, T::Https]),
    ("bearer_file", &[T::Http, T::Https]),
    ("versions", &[T::Http, T::Https]),
    ("redirects", &[T::Http, T::Https]),
    ("load", &[T::Http, T::Https]),
    ("expect", &[T::Http, T::Https, T::Tls, T::Dns, T::Grpc, T::Tcp]),
    ("verify", &[T::Https, T::Tls, T::Grpc, T::Tcp]),
    ("server_name", &[T::Https, T::Tls, T::Grpc, T::Tcp]),
    ("ca_file", &[T::Https, T::Tls, T::Grpc, T::Tcp]),
    ("certificate_warn", &[T::Https, T::Tls, T::Grpc, T::Tcp]),
    ("tls", &[T::Grpc]),
    ("service", &[T::Grpc]),
    ("dialogue", &[T::Tcp, T::Tls]),
    ("query", &[T::Dns]),
    ("query_type", &[T::Dns]),
    ("transport", &[T::Dns]),
    ("recursion", &[T::Dns]),
    ("send", &[T::Agent]),
    ("stale", &[T::Push]),
    ("of", &[T::Composite]),
    ("need", &[T::Composite]),
    ("family", &[T::Http, T::Https, T::Tcp, T::Tls, T::Dns, T::Grpc, T::Agent]),
    ("source", &[T::Http, T::Https, T::Tcp, T::Tls, T::Dns, T::Grpc, T::Agent]),
    ("interface", &[T::Http, T::Https, T::Tcp, T::Tls, T::Dns, T::Grpc, T::Agent]),
    ("slow_interval", &[T::Http, T::Https, T::Tcp, T::Tls, T::Dns, T::Grpc, T::Agent]),
];

/// Reads what a monitor of type `kind` asks. Of an unknown type nothing is said but that.
pub(super) fn read(
    fields: &mut Fields<'_>,
    kind: Option<Type>,
    place: &Span,
    faults: &mut Faults,
) -> Option<Kind> {
    let Some(kind) = kind else {
        for (key, _) in KEYS {
            let _ = fields.get(key);
        }
        return None;
    };
    refuse(fields, kind, faults);
    match kind {
        T::Http | T::Https => http(fields, kind, faults).map(|http| Kind::Http(Box::new(http))),
        T::Tcp | T::Tls => tcp(fields, kind, faults).map(Kind::Tcp),
        T::Dns => dns(fields, place, faults).map(Kind::Dns),
        T::Grpc => grpc(fields, faults).map(Kind::Grpc),
        T::Agent => Some(Kind::Agent(Agent { send: text(fields, "send", faults)? })),
        T::Push => {
            let words = [("down", Stale::Down), ("keep", Stale::Keep)];
            let stale = fields.get("stale").map(|node| node.word("'stale'", &words, faults));
            Some(Kind::Push(Push { stale: stale.unwrap_or(Some(Stale::Down))? }))
        }
        // Put together of others, in a file of its own.
        T::Composite => None,
    }
}

/// Complains of keys of other types.
pub(super) fn refuse(fields: &mut Fields<'_>, kind: Type, faults: &mut Faults) {
    for (key, types) in KEYS {
        if types.contains(&kind) {
            continue;
        }
        let Some(entry) = fields.entry(key) else { continue };
        let word = kind.word();
        let article = if kind == T::Agent { "an" } else { "a" };
        let fault = if kind == T::Http && types.contains(&T::Https) {
            let message = "an http monitor has no certificate to verify";
            Diagnostic::error(message, entry.key_span.clone())
                .help("remove the key, or use type = \"https\"")
        } else {
            let article = if kind.is_http() { "an" } else { article };
            let message = format!("{article} {word} monitor has no '{key}'");
            let others: Vec<&str> = types.iter().map(|of| of.word()).collect();
            let help = format!("'{key}' is for type {}", others.join(", "));
            Diagnostic::error(message, entry.key_span.clone()).help(help)
        };
        faults.push(fault);
    }
}

fn http(fields: &mut Fields<'_>, kind: Type, faults: &mut Faults) -> Option<Http> {
    let path = fields.get("path").map(|node| node.parsed("a path", path, faults));
    let method = fields.get("method").map(|node| node.parsed("a method", method, faults));
    let host = host(fields, faults);
    let headers = fields.get("headers").map(|node| headers(node, faults));
    let body = text(fields, "body", faults);
    let auth = auth(fields, faults);
    let versions = fields.get("versions").map(|node| versions(node, faults));
    let redirects = fields.get("redirects").map(|node| node.integer(0..=10, faults));
    let load = fields.get("load").map(|node| monitor_load::read(node, faults));
    let (expect, days) = monitor_expect::http(fields.get("expect"), kind, faults);
    let tls = if kind == T::Https { Some(tls(fields, days, faults)?) } else { None };
    let usual = Http::default();
    Some(Http {
        tls,
        method: method.unwrap_or(Some(usual.method))?,
        path: path.unwrap_or(Some(usual.path))?,
        host: host?,
        headers: headers.unwrap_or(Some(usual.headers))?,
        send: body?,
        auth: auth?,
        versions: versions.unwrap_or(Some(usual.versions))?,
        redirects: redirects.unwrap_or(Some(usual.redirects))?,
        expect,
        load: load.map_or(Some(None), |load| load.map(Some))?,
    })
}

fn path(text: &str) -> Result<Box<str>, String> {
    let good = text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic() && c != '#');
    if good { Ok(text.into()) } else { Err("a path begins with '/', without spaces".into()) }
}

fn method(text: &str) -> Result<Box<str>, String> {
    let good = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase());
    if good && text != "CONNECT" {
        Ok(text.into())
    } else {
        Err("GET, HEAD, POST, OPTIONS …".into())
    }
}

/// `None` for a fault.
fn host(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Option<Box<str>>> {
    let Some(node) = fields.get("host") else { return Some(None) };
    let parse = |text: &str| {
        let plain = |c: char| c.is_ascii_graphic() && !"/?#@".contains(c);
        let good = !text.is_empty() && text.chars().all(plain);
        if good { Ok(text.into()) } else { Err("a host name, without scheme and path".into()) }
    };
    node.parsed("a host", parse, faults).map(Some)
}

/// A text that may be absent; `None` for a fault.
fn text(
    fields: &mut Fields<'_>,
    key: &'static str,
    faults: &mut Faults,
) -> Option<Option<Box<str>>> {
    match fields.get(key) {
        None => Some(None),
        Some(node) => node.text(faults).map(|text| Some(text.into())),
    }
}

/// Headers that the connection sets itself.
const OWN_HEADERS: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te"];

fn headers(node: &Node, faults: &mut Faults) -> Option<Vec<(Box<str>, Box<str>)>> {
    let mut headers = Vec::new();
    let mut sound = true;
    for entry in node.table(faults)? {
        let name = entry.key.to_ascii_lowercase();
        if !is_header_name(&name) || OWN_HEADERS.contains(&&*name) {
            sound = false;
            let message = format!("'{}' is not a header that can be sent", entry.key);
            let help = match &*name {
                "host" => Some("the key is 'host', beside 'headers'".to_owned()),
                _ => None,
            };
            let fault = Diagnostic::error(message, entry.key_span.clone());
            faults.push(Diagnostic { help, ..fault });
        }
        let parse = |text: &str| {
            let plain = text.bytes().all(|octet| octet == b'\t' || (32..127).contains(&octet));
            if plain { Ok(text.into()) } else { Err("plain ASCII on one line".to_owned()) }
        };
        match entry.node.parsed("a header's value", parse, faults) {
            Some(value) => headers.push((name.into(), value)),
            None => sound = false,
        }
    }
    sound.then_some(headers)
}

/// A token (RFC 9110 section 5.6.2).
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(token)
}

/// `None` for a fault.
fn auth(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Option<Auth>> {
    let basic = fields.get("basic_auth");
    let bearer = fields.get("bearer_file");
    if let (Some(_), Some(node)) = (basic, bearer) {
        faults.push(node.error("both 'basic_auth' and 'bearer_file'").help("keep one of them"));
        return None;
    }
    if let Some(node) = bearer {
        return Some(Some(Auth::Bearer { file: file(node, faults)? }));
    }
    let Some(node) = basic else { return Some(None) };
    let mut inner = node.fields("credentials", faults)?;
    let user = inner.required("user", &node.span, faults).and_then(|node| {
        let parse = |text: &str| {
            let good = !text.contains(':') && !text.chars().any(char::is_control);
            if good { Ok(text.into()) } else { Err("without a colon (RFC 7617)".to_owned()) }
        };
        node.parsed("a user", parse, faults)
    });
    let password = inner.required("password_file", &node.span, faults);
    let password_file = password.and_then(|node| file(node, faults));
    inner.finish(faults);
    Some(Some(Auth::Basic { user: user?, password_file: password_file? }))
}

/// A file of the machine that probes, which may be another than the one that reads this.
fn file(node: &Node, faults: &mut Faults) -> Option<Box<str>> {
    let parse = |text: &str| {
        if text.starts_with('/') { Ok(text.into()) } else { Err("it begins with '/'".to_owned()) }
    };
    node.parsed("an absolute path", parse, faults)
}

fn versions(node: &Node, faults: &mut Faults) -> Option<Versions> {
    let mut versions = Versions { http10: false, http11: false, http2: false };
    let words = [("1.0", 0), ("1.1", 1), ("2", 2)];
    for item in node.one_or_list() {
        match item.word("version of HTTP", &words, faults)? {
            0 => versions.http10 = true,
            1 => versions.http11 = true,
            _ => versions.http2 = true,
        }
    }
    if !versions.http11 && !versions.http2 {
        let fault = node.error("no version that can be asked for");
        faults.push(fault.help("write versions = [\"1.1\", \"2\"]"));
        return None;
    }
    Some(versions)
}

fn tls(fields: &mut Fields<'_>, days: Option<u16>, faults: &mut Faults) -> Option<Tls> {
    let verify = fields.get("verify").map(|node| node.boolean(faults));
    let server_name = fields.get("server_name").map(|node| {
        let parse = |text: &str| {
            let name = text.parse::<Name>().map_err(|error| error.to_string())?;
            Ok(super::monitors::host_text(&name))
        };
        node.parsed("a host name", parse, faults)
    });
    let ca_file = fields.get("ca_file").map(|node| file(node, faults));
    Some(Tls {
        verify: verify.unwrap_or(Some(true))?,
        server_name: server_name.map_or(Some(None), |name| name.map(Some))?,
        ca_file: ca_file.map_or(Some(None), |file| file.map(Some))?,
        certificate_days: days,
    })
}

fn tcp(fields: &mut Fields<'_>, kind: Type, faults: &mut Faults) -> Option<Tcp> {
    let days = monitor_expect::certificate(fields.get("expect"), faults);
    let tls = tls(fields, days, faults);
    let tls_first = kind == T::Tls;
    let dialogue = fields.get("dialogue").map(|node| dialogue(node, tls_first, faults));
    let dialogue = dialogue.unwrap_or_else(|| Some(Vec::new()));
    let encrypts = |steps: &Vec<Step>| steps.contains(&Step::StartTls);
    if !tls_first && dialogue.as_ref().is_some_and(|steps| !encrypts(steps)) {
        for key in ["verify", "server_name", "ca_file", "certificate_warn", "expect"] {
            if let Some(entry) = fields.entry(key) {
                let message = "this tcp monitor has no TLS".to_owned();
                let fault = Diagnostic::error(message, entry.key_span.clone());
                faults.push(
                    fault.help("use type = \"tls\", or a step { starttls = true } in the dialogue"),
                );
            }
        }
    }
    Some(Tcp { tls: tls?, tls_first, dialogue: dialogue? })
}

/// Steps of a dialogue.
const STEPS_MAX: usize = 64;

fn dialogue(node: &Node, mut encrypted: bool, faults: &mut Faults) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut sound = true;
    let items = node.list(faults)?;
    if items.len() > STEPS_MAX {
        faults.push(node.error(format!("more than {STEPS_MAX} steps")));
        return None;
    }
    for item in items {
        let step = step(item, faults);
        if step == Some(Step::StartTls) {
            if encrypted {
                faults.push(item.error("TLS is spoken already at this step"));
                sound = false;
            }
            encrypted = true;
        }
        sound &= step.is_some();
        steps.extend(step);
    }
    sound.then_some(steps)
}

fn step(node: &Node, faults: &mut Faults) -> Option<Step> {
    let mut fields = node.fields("a step", faults)?;
    let send = fields.get("send").map(|node| node.text(faults).map(|text| Step::Send(text.into())));
    let expect = fields.get("expect").map(|node| pattern(node, faults).map(Step::Expect));
    let starttls = fields.get("starttls").map(|node| match node.boolean(faults) {
        Some(true) => Some(Step::StartTls),
        Some(false) => {
            faults.push(node.error("a step that does nothing").help("remove the step"));
            None
        }
        None => None,
    });
    fields.finish(faults);
    let found: Vec<Option<Step>> = [send, expect, starttls].into_iter().flatten().collect();
    match <[Option<Step>; 1]>::try_from(found) {
        Ok([step]) => step,
        Err(_) => {
            let fault = node.error("a step is one of 'send', 'expect' and 'starttls'");
            faults.push(fault.help("write [{ expect = \"^220 \" }, { send = \"QUIT\\r\\n\" }]"));
            None
        }
    }
}

/// A regular expression.
pub(super) fn pattern(node: &Node, faults: &mut Faults) -> Option<Pattern> {
    node.parsed("a regular expression", Pattern::new, faults)
}

fn dns(fields: &mut Fields<'_>, place: &Span, faults: &mut Faults) -> Option<Dns> {
    let name = fields.required("query", place, faults).map(|node| {
        let parse = |text: &str| {
            let name = text.parse::<Name>().map_err(|error| error.to_string())?;
            Ok(name.to_string().into())
        };
        node.parsed("a name", parse, faults)
    });
    let rtype = fields.get("query_type").map(|node| {
        let parse = |text: &str| {
            let upper = text.to_ascii_uppercase();
            let known = upper.parse::<hickory_proto::rr::RecordType>();
            known.map(|_| upper.into()).map_err(|_| "A, AAAA, SOA, NS, MX, TXT …".to_owned())
        };
        node.parsed("a type of record", parse, faults)
    });
    let transports = [("udp", false), ("tcp", true)];
    let tcp = fields.get("transport").map(|node| node.word("transport", &transports, faults));
    let recursion = fields.get("recursion").map(|node| node.boolean(faults));
    let expect = monitor_expect::dns(fields.get("expect"), faults);
    Some(Dns {
        name: name??,
        rtype: rtype.unwrap_or_else(|| Some("A".into()))?,
        tcp: tcp.unwrap_or(Some(false))?,
        recursion: recursion.unwrap_or(Some(true))?,
        rcodes: expect.rcodes,
        authoritative: expect.authoritative,
        answer: expect.answer,
        answer_not: expect.answer_not,
    })
}

fn grpc(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Grpc> {
    let service = fields.get("service").map(|node| {
        let parse = |text: &str| {
            let good = text.len() < 128 && text.chars().all(|c| c.is_ascii_graphic());
            if good { Ok(text.into()) } else { Err("write \"package.Service\"".to_owned()) }
        };
        node.parsed("a service", parse, faults)
    });
    let host = host(fields, faults);
    let encrypted = fields.get("tls").map_or(Some(false), |node| node.boolean(faults));
    let days = monitor_expect::certificate(fields.get("expect"), faults);
    let of = tls(fields, days, faults);
    if encrypted == Some(false) {
        for key in ["verify", "server_name", "ca_file", "certificate_warn", "expect"] {
            if let Some(entry) = fields.entry(key) {
                let message = "this grpc monitor has no TLS";
                let fault = Diagnostic::error(message, entry.key_span.clone());
                faults.push(fault.help("add tls = true"));
            }
        }
    }
    Some(Grpc {
        service: service.unwrap_or_else(|| Some("".into()))?,
        host: host?,
        tls: if encrypted? { Some(of?) } else { None },
    })
}

/// A word out of a few, or a number: what RCODEs are written as.
pub(super) fn rcode(node: &Node, faults: &mut Faults) -> Option<u16> {
    // IANA "DNS RCODEs".
    const NAMES: [&str; 11] = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
        "NXRRSET", "NOTAUTH", "NOTZONE",
    ];
    if let Value::Integer(_) = node.value {
        return node.integer(0..=4095, faults);
    }
    let text = node.text(faults)?;
    let found = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
    if found.is_none() {
        let fault = node.error(format!("unknown RCODE '{text}'"));
        let help = suggest::help(&text.to_ascii_uppercase(), &NAMES, "one of");
        faults.push(Diagnostic { help, ..fault });
    }
    found.and_then(|code| u16::try_from(code).ok())
}
