//! The way out: a connection to one node, kept.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::hub::{Hub, Mailbox, lock};
use super::super::{Link, OCTETS_MAX};
use super::{PUBLISH, REQUEST};
use crate::pki::identity::Identity;
use crate::pki::{Party, Role};

/// Longest that a connection may take to stand: three packets each way.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest that a node may take to take a message, before it counts as gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection on which nothing is heard is asked whether it lives, and given up on after as long.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Waits between attempts: doubled from the first to the last, then spread over a half and the
/// whole of it, so that nodes that come back are not met by everybody at once.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A connection is made anew after this long, so that a certificate that has ended, or was
/// replaced, is seen by the other side.
const LIFE_MAX: Duration = Duration::from_secs(3600);

type Sender = SendRequest<Full<Bytes>>;
type Io = TokioIo<TlsStream<TcpStream>>;

/// A node to speak to.
pub(super) struct Peer {
    pub(super) name: String,
    address: SocketAddr,
    state: Mutex<State>,
    outgoing: Mailbox,
    skipped: Arc<AtomicU64>,
}

struct State {
    /// There while the connection stands.
    sender: Option<Sender>,
    /// When that changed.
    since: Instant,
    /// Why it does not, or what the node says to what it is sent.
    reason: Option<String>,
}

/// What becomes of a request to one node.
pub(super) enum Asking {
    Answered(Bytes),
    /// It is not there, or has nothing to say to this.
    Nothing,
    /// It broke off.
    Failed,
}

impl Peer {
    pub(super) fn new(name: &str, address: SocketAddr, hub: &Hub) -> Self {
        let skipped = Arc::clone(&hub.tally.skipped);
        Self {
            name: name.to_owned(),
            address,
            state: Mutex::new(State { sender: None, since: Instant::now(), reason: None }),
            // What is overtaken here was never sent.
            outgoing: Mailbox::new("", Arc::clone(&skipped)),
            skipped,
        }
    }

    /// Lays a message out for sending; false when the node is not there.
    pub(super) fn post(&self, subject: &Arc<str>, bytes: &Bytes) -> bool {
        // Under the lock, so that nothing is laid out after what waits was forgotten.
        let state = lock(&self.state);
        let connected = state.sender.is_some();
        if connected {
            self.outgoing.put(subject, bytes, 0);
        }
        connected
    }

    pub(super) async fn ask(&self, subject: &str, bytes: Bytes) -> Asking {
        let Some(sender) = lock(&self.state).sender.clone() else { return Asking::Nothing };
        match call(sender, &self.name, &format!("{REQUEST}{subject}"), bytes).await {
            Ok((StatusCode::OK, answer)) => Asking::Answered(answer),
            Ok(_) => Asking::Nothing,
            Err(_) => Asking::Failed,
        }
    }

    pub(super) fn link(&self) -> Link {
        let state = lock(&self.state);
        Link {
            name: self.name.clone(),
            connected: state.sender.is_some(),
            since_seconds: state.since.elapsed().as_secs(),
            reason: state.reason.clone(),
        }
    }

    fn connected(&self, sender: Sender) {
        let mut state = lock(&self.state);
        *state = State { sender: Some(sender), since: Instant::now(), reason: None };
        drop(state);
        tracing::info!("bus: connected to {}", self.name);
    }

    /// Notes that the node is not there, and why. What was waiting would be old when it returns.
    fn disconnected(&self, reason: String) {
        let mut state = lock(&self.state);
        let was = state.sender.take().is_some();
        if was {
            state.since = Instant::now();
        }
        let known = state.reason.as_ref() == Some(&reason);
        state.reason = Some(reason.clone());
        let forgotten = self.outgoing.clear() as u64;
        drop(state);
        self.skipped.fetch_add(forgotten, std::sync::atomic::Ordering::Relaxed);
        if was || !known {
            tracing::warn!("bus: no connection to {}: {reason}", self.name);
        }
    }

    /// Notes what the node says to what it is sent; logged when it changes.
    fn answered(&self, status: StatusCode) {
        let reason = match status {
            StatusCode::NO_CONTENT => None,
            StatusCode::FORBIDDEN => Some("it refuses what it is sent: not ours to say".to_owned()),
            other => Some(format!("it refuses what it is sent: {other}")),
        };
        let mut state = lock(&self.state);
        if state.reason != reason {
            if let Some(reason) = &reason {
                tracing::warn!("bus: {}: {reason}", self.name);
            }
            state.reason = reason;
        }
    }
}

/// Keeps a connection to `peer` for as long as the bus exists.
pub(super) async fn keep(peer: Arc<Peer>, identity: Arc<Identity>) {
    let mut wait = WAIT_MIN;
    loop {
        let reason = match timeout(CONNECT_TIMEOUT, connect(&peer, &identity)).await {
            Ok(Ok((sender, connection))) => {
                let since = Instant::now();
                peer.connected(sender.clone());
                let reason = tokio::select! {
                    ended = connection => match ended {
                        Ok(()) => "it closed the connection".to_owned(),
                        Err(error) => told(&error),
                    },
                    reason = send(&peer, sender) => reason,
                    () = sleep(LIFE_MAX) => "the connection is made anew".to_owned(),
                };
                // One that breaks off at once is no better than none.
                if since.elapsed() > WAIT_MAX {
                    wait = WAIT_MIN;
                }
                reason
            }
            Ok(Err(reason)) => reason,
            Err(_) => "no answer".to_owned(),
        };
        peer.disconnected(reason);
        sleep(spread(wait)).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

async fn connect(
    peer: &Peer,
    identity: &Arc<Identity>,
) -> Result<(Sender, Connection<Io, Full<Bytes>, TokioExecutor>), String> {
    let config = identity.client().map_err(|error| error.to_string())?;
    let party = Party { role: Role::Node, name: peer.name.clone() };
    let name = ServerName::try_from(party.to_string()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(peer.address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|error| error.to_string())?;
    Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .max_send_buf_size(OCTETS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| told(&error))
}

/// Sends what is laid out, one after another; returns why it cannot go on.
async fn send(peer: &Peer, sender: Sender) -> String {
    loop {
        let Some(message) = peer.outgoing.next().await else { return "the bus ends".to_owned() };
        let path = format!("{PUBLISH}{}", message.subject);
        let sent = call(sender.clone(), &peer.name, &path, message.bytes);
        match timeout(SEND_TIMEOUT, sent).await {
            Ok(Ok((status, _))) => peer.answered(status),
            Ok(Err(reason)) => return reason,
            Err(_) => return "it takes no messages".to_owned(),
        }
    }
}

async fn call(
    mut sender: Sender,
    name: &str,
    path: &str,
    bytes: Bytes,
) -> Result<(StatusCode, Bytes), String> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("https://{name}{path}"))
        .body(Full::new(bytes))
        .map_err(|error| error.to_string())?;
    poll_fn(|context| sender.poll_ready(context)).await.map_err(|error| told(&error))?;
    let response = sender.send_request(request).await.map_err(|error| told(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), OCTETS_MAX).collect().await;
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}

/// An error with what caused it.
fn told(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Between a half and the whole of `wait`, by chance.
pub(in super::super) fn spread(wait: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    wait.mul_f64(0.5 + f64::from(chance) / f64::from(u32::MAX) / 2.0)
}
