//! The way in: connections of others, whom they are of, and what they may say.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::super::hub::{Hub, count};
use super::super::rights::{Admitted, may_publish, may_request};
use super::super::{OCTETS_MAX, subject};
use super::{PUBLISH, REQUEST};
use crate::pki::identity::Identity;
use crate::pki::{self, Party};

/// Connections open at once.
const PEERS_MAX: usize = 512;
/// Payloads on their way in at once, from all of them.
const PAYLOADS_MAX: usize = 64;
/// Calls of one connection at once.
const STREAMS_MAX: u32 = 8;
/// Longest that a handshake, or a payload, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection on which nothing is heard is asked whether it lives, and closed after as long.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A connection is closed after this long: certificates that have ended must not live on in it.
const LIFE_MAX: Duration = Duration::from_secs(4000);
/// Octets of headers.
const HEADERS_MAX: u32 = 8 << 10;

/// What all connections share.
pub(super) struct Entrance {
    hub: Arc<Hub>,
    admitted: Arc<ArcSwap<Admitted>>,
    tls: TlsAcceptor,
    peers: Arc<Semaphore>,
    payloads: Semaphore,
    links: AtomicU16,
}

impl Entrance {
    pub(super) fn new(
        hub: &Arc<Hub>,
        admitted: &Arc<ArcSwap<Admitted>>,
        identity: &Arc<Identity>,
    ) -> io::Result<Arc<Self>> {
        let config = identity.server().map_err(io::Error::other)?;
        Ok(Arc::new(Self {
            hub: Arc::clone(hub),
            admitted: Arc::clone(admitted),
            tls: TlsAcceptor::from(Arc::new(config)),
            peers: Arc::new(Semaphore::new(PEERS_MAX)),
            payloads: Semaphore::new(PAYLOADS_MAX),
            links: AtomicU16::new(1),
        }))
    }
}

/// Lets connections in, for as long as the bus exists.
pub(super) async fn accept(listener: TcpListener, entrance: Arc<Entrance>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&entrance.peers).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                let entrance = Arc::clone(&entrance);
                connections.spawn(async move {
                    if let Err(reason) = converse(stream, &entrance).await {
                        tracing::debug!("bus: connection from {address}: {reason}");
                    }
                    drop(permit);
                });
            }
            // Out of descriptors, most likely; others close theirs.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, entrance: &Arc<Entrance>) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let accepted = timeout(PATIENCE, entrance.tls.accept(stream)).await;
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            count(&entrance.hub.tally.refused);
            return Err(error.to_string());
        }
        Err(_) => return Err("no handshake".to_owned()),
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| pki::names(chain.first()?));
    let parties: Arc<[Party]> = shown.ok_or("no certificate")?.parties.into();
    // Zero is this process; numbers come around after 65,535 connections.
    let link = entrance.links.fetch_add(1, Ordering::Relaxed).max(1);
    let service = service_fn(|request| {
        let (entrance, parties) = (Arc::clone(entrance), Arc::clone(&parties));
        async move { Ok::<_, Infallible>(answer(request, &entrance, &parties, link).await) }
    });
    let connection = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX)
        .max_send_buf_size(OCTETS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LIFE_MAX, connection).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => Ok(()),
    }
}

async fn answer(
    request: Request<Incoming>,
    entrance: &Entrance,
    parties: &[Party],
    link: u16,
) -> Response<Full<Bytes>> {
    match understood(request, entrance, parties, link).await {
        Ok(Some(answer)) => Response::new(Full::new(answer)),
        Ok(None) => bare(StatusCode::NO_CONTENT),
        Err(status) => {
            if status != StatusCode::NOT_FOUND {
                count(&entrance.hub.tally.refused);
            }
            bare(status)
        }
    }
}

fn bare(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Does what is asked; or says with which status it is refused.
async fn understood(
    request: Request<Incoming>,
    entrance: &Entrance,
    parties: &[Party],
    link: u16,
) -> Result<Option<Bytes>, StatusCode> {
    if request.method() != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let path = request.uri().path().to_owned();
    let published = path.strip_prefix(PUBLISH);
    let subject = published.or_else(|| path.strip_prefix(REQUEST));
    let subject = subject.filter(|subject| subject::is_valid(subject));
    let subject = subject.ok_or(StatusCode::BAD_REQUEST)?;
    let admitted = entrance.admitted.load_full();
    let may = if published.is_some() { may_publish } else { may_request };
    // Asked every time: who was taken out of the configuration is refused on a connection that
    // stands as well.
    if !parties.iter().any(|party| admitted.knows(party) && may(party, subject)) {
        return Err(StatusCode::FORBIDDEN);
    }
    let bytes = payload(request, entrance).await?;
    if published.is_some() {
        count(&entrance.hub.tally.received);
        entrance.hub.deliver(subject, &bytes, link);
        return Ok(None);
    }
    entrance.hub.answer(subject, bytes).await.map(Some).ok_or(StatusCode::NOT_FOUND)
}

async fn payload(request: Request<Incoming>, entrance: &Entrance) -> Result<Bytes, StatusCode> {
    if request.body().size_hint().lower() > OCTETS_MAX as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let read = async {
        let _permit = entrance.payloads.acquire().await;
        Limited::new(request.into_body(), OCTETS_MAX).collect().await
    };
    let read = timeout(PATIENCE, read).await.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
    read.map(|body| body.to_bytes()).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)
}
