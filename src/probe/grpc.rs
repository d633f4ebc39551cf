//! The gRPC probe: `grpc.health.v1.Health/Check`, by hand over HTTP/2.
//!
//! Two messages of one field each do not pay for a code generator: the request is
//! `{ string service = 1 }`, the answer `{ ServingStatus status = 1 }`, each behind five octets
//! (compressed or not, length), and the outcome of the call stands in the trailers.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect;
use super::http::{driven, reason};
use super::load::protobuf::{Field, fields};
use super::monitor::{Check, CheckTarget, Grpc};
use super::tls::TlsClients;
use super::trace::{HttpSeen, Trace, micros_since};
use crate::health::sample::Reason;

/// Octets of an answer: the one it should be has seven.
const ANSWER_MAX: usize = 4096;

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Asks `address` as `grpc` says.
pub(super) async fn ask(
    tls: &TlsClients,
    grpc: &Grpc,
    check: &Check,
    address: SocketAddr,
    trace: &mut Trace,
) -> Result<(), Reason> {
    let stream = connect::tcp(address, &check.monitor.way, trace).await?;
    let request = request(grpc, check, address).ok_or(Reason::Protocol)?;
    match &grpc.tls {
        None => call(stream, request, trace).await,
        Some(of) => {
            let host = grpc.host.as_deref();
            let stream = tls.connect(stream, of, host, &check.target, &[b"h2"], trace).await?;
            call(stream, request, trace).await
        }
    }
}

fn request(grpc: &Grpc, check: &Check, address: SocketAddr) -> Option<Request<Full<Bytes>>> {
    let authority = match (&grpc.host, &check.target) {
        (Some(host), _) => host.to_string(),
        (None, CheckTarget::Host(name, port)) => format!("{name}:{port}"),
        (None, CheckTarget::Address(_)) => address.to_string(),
    };
    let scheme = if grpc.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority);
    let uri = uri.path_and_query("/grpc.health.v1.Health/Check").build().ok()?;
    let agent = concat!("meridian/", env!("CARGO_PKG_VERSION"));
    let builder = Request::post(uri).header(CONTENT_TYPE, "application/grpc");
    let builder = builder.header(TE, "trailers").header(USER_AGENT, agent);
    builder.body(Full::new(message(&grpc.service)?)).ok()
}

/// The request, framed; `None` for a name of 128 octets or more.
fn message(service: &str) -> Option<Bytes> {
    let length = u8::try_from(service.len()).ok().filter(|length| *length < 128)?;
    let mut field = Vec::new();
    if length > 0 {
        field.extend_from_slice(&[0x0a, length]);
        field.extend_from_slice(service.as_bytes());
    }
    let framed = [&[0, 0, 0, 0, u8::try_from(field.len()).ok()?], &*field].concat();
    Some(framed.into())
}

async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    trace: &mut Trace,
) -> Result<(), Reason> {
    let made = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = made.map_err(|error| reason(&error))?;
    let work = async {
        let begun = Instant::now();
        let answer = sender.send_request(request).await.map_err(|error| reason(&error))?;
        trace.facts.phases.first_byte_us = micros_since(begun);
        read(answer, trace).await
    };
    driven(work, connection).await
}

async fn read(answer: Response<Incoming>, trace: &mut Trace) -> Result<(), Reason> {
    let (head, mut incoming) = answer.into_parts();
    let status = head.status.as_u16();
    trace.http = Some(HttpSeen { status, version: 20, redirects: 0, length: None });
    if status != 200 {
        return Err(Reason::Status(status));
    }
    let mut body = Vec::new();
    // An answer without a body has its trailers in the head.
    let mut outcome = grpc_status(&head.headers);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| reason(&error))?;
        if let Some(trailers) = frame.trailers_ref() {
            outcome = grpc_status(trailers).or(outcome);
            if let Some(words) = trailers.get("grpc-message").and_then(|words| words.to_str().ok())
            {
                trace.complain(|| words.to_owned());
            }
        } else if let Some(data) = frame.data_ref() {
            body.extend_from_slice(data);
            if body.len() > ANSWER_MAX {
                return Err(Reason::Protocol);
            }
        }
    }
    match outcome {
        Some(0) => judge(&body, trace),
        Some(other) => Err(Reason::Grpc(other)),
        None => Err(Reason::Protocol),
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn judge(body: &[u8], trace: &mut Trace) -> Result<(), Reason> {
    let Some((0, [a, b, c, d, message @ ..])) = body.split_first() else {
        return Err(Reason::Protocol);
    };
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    if usize::try_from(length).ok() != Some(message.len()) {
        return Err(Reason::Protocol);
    }
    let mut status = 0;
    for field in fields(message) {
        if let (1, Field::Number(number)) = field.ok_or(Reason::Protocol)? {
            status = number;
        }
    }
    if status == SERVING {
        return Ok(());
    }
    trace.complain(|| match status {
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => format!("status {other}"),
    });
    Err(Reason::Said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_framed() {
        assert_eq!(message("").expect("short"), Bytes::from_static(&[0, 0, 0, 0, 0]));
        assert_eq!(message("ab").expect("short"), Bytes::from_static(b"\0\0\0\0\x04\x0a\x02ab"));
        assert_eq!(message(&"a".repeat(128)), None);
    }

    #[test]
    fn only_serving_is_serving() {
        let judged = |body: &[u8]| judge(body, &mut Trace::default());
        assert_eq!(judged(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        assert_eq!(judged(&[0, 0, 0, 0, 2, 8, 2]), Err(Reason::Said));
        assert_eq!(judged(&[0, 0, 0, 0, 0]), Err(Reason::Said), "0 is UNKNOWN");
        assert_eq!(judged(&[1, 0, 0, 0, 2, 8, 1]), Err(Reason::Protocol), "compressed");
        assert_eq!(judged(&[0, 0, 0, 0, 3, 8, 1]), Err(Reason::Protocol), "cut off");
        assert_eq!(judged(&[]), Err(Reason::Protocol));
    }
}
