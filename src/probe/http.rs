//! The HTTP and HTTPS probe: a request over a connection of its own, and redirects where they are
//! followed, each over another one.
//!
//! hyper speaks the protocol over a connection that is opened here, so that every phase is timed
//! and the socket's options are ours; there is no pool, no cookie, no proxy and no retry.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::ask::{BODY_MAX, resolve};
use super::connect::{self, reason_of};
use super::expect;
use super::load;
use super::location::{self, Origin};
use super::monitor::{Auth, Check, CheckTarget, Http, Versions};
use super::tls::TlsClients;
use super::trace::{HttpSeen, Trace, micros_since};
use crate::health::sample::Reason;

const AGENT: &str = concat!("meridian/", env!("CARGO_PKG_VERSION"));

/// Octets of an answer's head.
const HEAD_MAX: usize = 64 * 1024;

/// Octets of a file that holds a password or a token.
const SECRET_MAX: usize = 16 * 1024;

/// Where a request goes.
struct Asked {
    address: SocketAddr,
    target: CheckTarget,
    origin: Origin,
    path: String,
    /// Of the operator's own target: it may see credentials.
    is_first: bool,
}

/// Asks `address` as `http` says.
pub(super) async fn ask(
    tls: &TlsClients,
    http: &Http,
    check: &Check,
    address: SocketAddr,
    trace: &mut Trace,
) -> Result<(), Reason> {
    let mut asked = Asked {
        address,
        target: check.target.clone(),
        origin: Origin { tls: http.tls.is_some(), authority: authority(http, check, address) },
        path: http.path.to_string(),
        is_first: true,
    };
    let mut redirects = 0;
    loop {
        let (answer, body) = exchange(tls, http, check, &asked, redirects, trace).await?;
        let location = location::of(&answer).filter(|_| http.redirects > 0);
        let Some(location) = location else {
            return judge(http, &asked, &answer, &body, trace);
        };
        if redirects == http.redirects {
            trace.complain(|| format!("more than {redirects} redirects"));
            return Err(Reason::Redirect);
        }
        redirects += 1;
        asked = follow(check, asked, &location, trace).await?;
    }
}

/// What the Host header says.
fn authority(http: &Http, check: &Check, address: SocketAddr) -> Box<str> {
    let usual = if http.tls.is_some() { 443 } else { 80 };
    match (&http.host, &check.target) {
        (Some(host), _) => host.clone(),
        (None, CheckTarget::Host(name, port)) => {
            let name = name.trim_end_matches('.');
            if *port == usual { name.into() } else { format!("{name}:{port}").into() }
        }
        (None, CheckTarget::Address(_)) if address.port() != usual => address.to_string().into(),
        (None, CheckTarget::Address(SocketAddr::V6(_))) => format!("[{}]", address.ip()).into(),
        (None, CheckTarget::Address(SocketAddr::V4(_))) => address.ip().to_string().into(),
    }
}

/// The same target where only the path differs, else another one.
async fn follow(
    check: &Check,
    asked: Asked,
    location: &str,
    trace: &mut Trace,
) -> Result<Asked, Reason> {
    let Some((origin, path)) = location::join(&asked.origin, &asked.path, location) else {
        trace.complain(|| format!("the location is no URL of HTTP: {location}"));
        return Err(Reason::Redirect);
    };
    if origin == asked.origin {
        return Ok(Asked { path, ..asked });
    }
    let (host, port) = origin.host_and_port().ok_or(Reason::Redirect)?;
    let target = match host.trim_matches(['[', ']']).parse() {
        Ok(address) => CheckTarget::Address(SocketAddr::new(address, port)),
        Err(_) => CheckTarget::Host(host.into(), port),
    };
    let address = resolve(&target, check.monitor.way.family).await?;
    Ok(Asked { address, target, origin, path, is_first: false })
}

/// One request and its answer, the body as far as it matters.
async fn exchange(
    tls: &TlsClients,
    http: &Http,
    check: &Check,
    asked: &Asked,
    redirects: u8,
    trace: &mut Trace,
) -> Result<(Response<()>, Vec<u8>), Reason> {
    let stream = connect::tcp(asked.address, &check.monitor.way, trace).await?;
    let usual = super::monitor::Tls::default();
    if !asked.origin.tls {
        let is_http2 = http.versions.http2 && !http.versions.http11;
        let request = request(http, asked, is_http2).await?;
        return converse(stream, is_http2, request, http, redirects, trace).await;
    }
    // A redirect to another host is verified by that host's name.
    let of = http.tls.as_ref().filter(|_| asked.is_first).unwrap_or(&usual);
    let elsewhere = super::monitor::Tls {
        verify: http.tls.as_ref().is_none_or(|tls| tls.verify),
        ca_file: http.tls.as_ref().and_then(|tls| tls.ca_file.clone()),
        certificate_days: http.tls.as_ref().and_then(|tls| tls.certificate_days),
        server_name: None,
    };
    let of = if asked.is_first { of } else { &elsewhere };
    let host = http.host.as_deref().filter(|_| asked.is_first);
    let alpn = alpn(http.versions);
    let stream = tls.connect(stream, of, host, &asked.target, alpn, trace).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let request = request(http, asked, is_http2).await?;
    converse(stream, is_http2, request, http, redirects, trace).await
}

const fn alpn(versions: Versions) -> &'static [&'static [u8]] {
    match (versions.http2, versions.http11) {
        (true, true) => &[b"h2", b"http/1.1"],
        (true, false) => &[b"h2"],
        (false, _) => &[b"http/1.1"],
    }
}

async fn request(
    http: &Http,
    asked: &Asked,
    is_http2: bool,
) -> Result<Request<Full<Bytes>>, Reason> {
    let wrong = |_| Reason::Protocol;
    let method = Method::from_bytes(http.method.as_bytes()).map_err(|_| Reason::Protocol)?;
    let builder = if is_http2 {
        let scheme = if asked.origin.tls { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(&*asked.origin.authority);
        let uri = uri.path_and_query(asked.path.as_str()).build().map_err(wrong)?;
        Request::builder().version(Version::HTTP_2).uri(uri)
    } else {
        let builder = Request::builder().uri(asked.path.as_str());
        builder.header(HOST, &*asked.origin.authority).header(CONNECTION, "close")
    };
    let mut builder = builder.method(method);
    for (name, value) in &http.headers {
        builder = builder.header(&**name, &**value);
    }
    if !http.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        builder = builder.header(USER_AGENT, AGENT);
    }
    if let Some(auth) = http.auth.as_ref().filter(|_| asked.is_first) {
        builder = builder.header(AUTHORIZATION, credentials(auth).await?);
    }
    let send = http.send.as_deref().unwrap_or_default();
    if !send.is_empty() {
        builder = builder.header(CONTENT_LENGTH, send.len());
    }
    builder.body(Full::new(Bytes::copy_from_slice(send.as_bytes()))).map_err(wrong)
}

async fn credentials(auth: &Auth) -> Result<HeaderValue, Reason> {
    let text = match auth {
        Auth::Basic { user, password_file } => {
            let password = secret(password_file).await?;
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        }
        Auth::Bearer { file } => format!("Bearer {}", secret(file).await?),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| Reason::Local)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a file says, without the end of its line. That it cannot be read is the prober's fault.
async fn secret(file: &str) -> Result<String, Reason> {
    let text = tokio::fs::read_to_string(file).await.map_err(|_| Reason::Local)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.len() > SECRET_MAX { Err(Reason::Local) } else { Ok(text.to_owned()) }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    request: Request<Full<Bytes>>,
    http: &Http,
    redirects: u8,
    trace: &mut Trace,
) -> Result<(Response<()>, Vec<u8>), Reason> {
    let io = TokioIo::new(stream);
    let told = |error: hyper::Error, trace: &mut Trace| {
        trace.complain(|| words(&error));
        reason(&error)
    };
    if is_http2 {
        let made = http2::Builder::new(TokioExecutor::new()).handshake(io).await;
        let (mut sender, connection) = made.map_err(|error| told(error, trace))?;
        let work = async {
            let begun = Instant::now();
            let answer = sender.send_request(request).await;
            read(answer, begun, http, redirects, trace).await
        };
        driven(work, connection).await
    } else {
        let made = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(io).await;
        let (mut sender, connection) = made.map_err(|error| told(error, trace))?;
        let work = async {
            let begun = Instant::now();
            let answer = sender.send_request(request).await;
            read(answer, begun, http, redirects, trace).await
        };
        driven(work, connection).await
    }
}

/// `work` over a connection that has to be driven beside it. A connection that ends first has
/// handed over what it had, or an error that `work` meets.
pub(super) async fn driven<T>(
    work: impl Future<Output = T>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> T {
    let (mut work, mut connection) = (pin!(work), pin!(connection));
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

async fn read(
    answer: Result<Response<Incoming>, hyper::Error>,
    begun: Instant,
    http: &Http,
    redirects: u8,
    trace: &mut Trace,
) -> Result<(Response<()>, Vec<u8>), Reason> {
    let answer = answer.map_err(|error| {
        trace.complain(|| words(&error));
        reason(&error)
    })?;
    let first_byte = &mut trace.facts.phases.first_byte_us;
    *first_byte = first_byte.saturating_add(micros_since(begun));
    let (head, mut incoming) = answer.into_parts();
    let head = Response::from_parts(head, ());
    let length = head.headers().get(CONTENT_LENGTH);
    trace.http = Some(HttpSeen {
        status: head.status().as_u16(),
        version: match head.version() {
            Version::HTTP_2 => 20,
            Version::HTTP_10 => 10,
            _ => 11,
        },
        redirects,
        length: length.and_then(|length| length.to_str().ok()?.parse().ok()),
    });
    let mut body = Vec::new();
    let is_followed = http.redirects > 0 && location::of(&head).is_some();
    if is_followed || !wants_body(http) {
        return Ok((head, body));
    }
    loop {
        if body.len() >= BODY_MAX || expect::is_enough(http, &body) {
            return Ok((head, body));
        }
        match incoming.frame().await {
            None => return Ok((head, body)),
            Some(Ok(frame)) => {
                let Some(chunk) = frame.data_ref() else { continue };
                body.extend_from_slice(&chunk[..chunk.len().min(BODY_MAX - body.len())]);
            }
            Some(Err(error)) => return Err(reason(&error)),
        }
    }
}

fn wants_body(http: &Http) -> bool {
    !http.expect.ignores_body() || http.load.as_ref().is_some_and(load::LoadSource::is_in_body)
}

fn judge(
    http: &Http,
    asked: &Asked,
    answer: &Response<()>,
    body: &[u8],
    trace: &mut Trace,
) -> Result<(), Reason> {
    trace.text.extend_from_slice(body);
    let outcome = expect::judge(http, asked.origin.tls, answer, body, trace);
    if let Some(source) = &http.load {
        let header = |name: &str| answer.headers().get(name).map(HeaderValue::as_bytes);
        load::take(source, header, body, trace);
    }
    outcome
}

/// The class of an HTTP error: the innermost cause that says something.
pub(super) fn reason(error: &hyper::Error) -> Reason {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = None;
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            found = Some(match super::tls::tls_within(error) {
                Some(fault) => Reason::Tls(fault),
                None => reason_of(error),
            });
        }
        cause = error.source();
    }
    let cut = error.is_incomplete_message() || error.is_closed();
    found.unwrap_or(if cut { Reason::Reset } else { Reason::Protocol })
}

/// The error with its causes.
fn words(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
