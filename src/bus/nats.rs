//! The bus over NATS: publish and subscribe, and nothing else of it. No message is stored there;
//! what a broker forgets is said again within a second.
//!
//! Clusters are independent of each other: everything is published to all of them and heard from
//! all of them, so that one that stands still (11.5 s until a client notices, measured) makes no
//! gap. async-nats keeps what is published while it is not connected, and delivers it, seconds
//! old, when it is again; so nothing is handed to it then. One message at a time is on its way to
//! a server, and what comes meanwhile waits in a mailbox, where the newer takes the older's place.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{
    Client, ConnectOptions, Event, Request, RequestErrorKind, ServerAddr, Subscriber,
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::hub::{HERE, Hub, Mailbox, Subscription, count, lock};
use super::local::is_sendable;
use super::{Answer, Asked, Bus, Counts, Handler, Link, RequestError, direct};
use crate::pki::identity::Identity;

/// A server that answers no ping for two to three of these is given up on.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// First wait between attempts; with chance on top, so that not everybody comes at once.
const RECONNECT_DELAY: Duration = Duration::from_millis(250);
/// Longest that one attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Messages on their way into async-nats: as few as it takes, for it would keep them.
const CLIENT_CAPACITY: usize = 1;
/// Messages on their way out of it, for each subscription.
const SUBSCRIPTION_CAPACITY: usize = 256;
/// Longest that a server may take to take a message before the next one is looked at.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Requests that are answered at once.
const ANSWERS_MAX: usize = 32;

/// Servers of each cluster, as `tls://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// One list of servers for each cluster.
    pub clusters: Vec<Vec<String>>,
}

/// True for the address of a server that is spoken to over TLS.
pub fn is_server(text: &str) -> bool {
    text.starts_with("tls://") && text.parse::<ServerAddr>().is_ok()
}

/// A bus over NATS.
pub struct Nats {
    hub: Arc<Hub>,
    clusters: Vec<Arc<Cluster>>,
    answers: Arc<Semaphore>,
    runtime: Handle,
    /// End with the bus.
    tasks: Mutex<JoinSet<()>>,
}

struct Cluster {
    name: String,
    /// From 1 on.
    link: u16,
    client: Client,
    outgoing: Mailbox,
    known: Arc<Mutex<Known>>,
}

/// What is known of a connection.
struct Known {
    /// When it came, or went.
    since: Instant,
    /// Why it is not there.
    reason: Option<String>,
}

impl Cluster {
    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

impl Nats {
    /// Begins to connect to all clusters.
    ///
    /// # Errors
    /// When TLS cannot be had, or an address is none.
    pub async fn start(setup: &Setup, identity: &Arc<Identity>) -> io::Result<Self> {
        let hub = Arc::new(Hub::default());
        let mut tasks = JoinSet::new();
        let mut clusters = Vec::new();
        for (servers, link) in setup.clusters.iter().zip(1..) {
            let cluster = Arc::new(connect(servers, link, identity, &hub).await?);
            tasks.spawn(send(Arc::clone(&cluster), Arc::clone(&hub)));
            clusters.push(cluster);
        }
        let answers = Arc::new(Semaphore::new(ANSWERS_MAX));
        Ok(Self { hub, clusters, answers, runtime: Handle::current(), tasks: tasks.into() })
    }

    /// Runs `task` until the bus ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }
}

async fn connect(
    servers: &[String],
    link: u16,
    identity: &Arc<Identity>,
    hub: &Hub,
) -> io::Result<Cluster> {
    let tls = identity.broker_client().map_err(io::Error::other)?;
    let addresses = servers.iter().map(|server| server.parse::<ServerAddr>());
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let name = servers.join(", ");
    let known = Arc::new(Mutex::new(Known { since: Instant::now(), reason: None }));
    let (told, shown) = (Arc::clone(&known), name.clone());
    let mut parties = identity.material().names.parties.into_iter();
    let own = parties.next().map(|party| party.to_string()).unwrap_or_default();
    let client = ConnectOptions::new()
        // Answers come to a subject that a broker can keep for whoever asked.
        .custom_inbox_prefix(format!("_INBOX.{own}"))
        .name(own)
        .tls_client_config(tls)
        .require_tls(true)
        .no_echo()
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIMEOUT)
        .reconnect_delay_callback(|_| direct::spread(2 * RECONNECT_DELAY))
        .retry_on_initial_connect()
        .client_capacity(CLIENT_CAPACITY)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .event_callback(move |event| {
            note(&event, &shown, &told);
            std::future::ready(())
        })
        .connect(addresses)
        .await
        .map_err(io::Error::other)?;
    let outgoing = Mailbox::new("", Arc::clone(&hub.tally.skipped));
    Ok(Cluster { name, link, client, outgoing, known })
}

/// Logs what happens to a connection, and keeps why it is not there.
fn note(event: &Event, name: &str, known: &Mutex<Known>) {
    match event {
        Event::Connected => {
            *lock(known) = Known { since: Instant::now(), reason: None };
            tracing::info!("bus: connected to {name}");
        }
        Event::Disconnected => {
            lock(known).since = Instant::now();
            tracing::warn!("bus: no connection to {name}");
        }
        other => {
            let why = other.to_string();
            let before = lock(known).reason.replace(why.clone());
            if before.as_ref() != Some(&why) {
                tracing::warn!("bus: {name}: {why}");
            }
        }
    }
}

/// Sends what is laid out for `cluster`, one message after another.
async fn send(cluster: Arc<Cluster>, hub: Arc<Hub>) {
    while let Some(message) = cluster.outgoing.next().await {
        if !cluster.is_connected() {
            count(&hub.tally.skipped);
            continue;
        }
        let client = &cluster.client;
        let sent = async {
            let published = client.publish(message.subject.to_string(), message.bytes).await;
            // Out of its hands before it gets another.
            let flushed = client.flush().await;
            published.is_ok() && flushed.is_ok()
        };
        if !timeout(SEND_TIMEOUT, sent).await.unwrap_or(false) {
            count(&hub.tally.skipped);
        }
    }
}

/// The pattern of NATS for a prefix.
fn pattern(prefix: &str) -> String {
    if prefix.ends_with('.') { format!("{prefix}>") } else { prefix.to_owned() }
}

/// Brings what `cluster` says into a mailbox, for as long as somebody reads it.
async fn listen(cluster: Arc<Cluster>, hub: Arc<Hub>, prefix: String, mailbox: Weak<Mailbox>) {
    let Some(mut subscriber) = subscribed(&cluster, &prefix).await else { return };
    while let Some(message) = subscriber.next().await {
        let Some(mailbox) = mailbox.upgrade() else { return };
        if is_sendable(&hub, &message.subject, &message.payload) {
            count(&hub.tally.received);
            mailbox.put(&(*message.subject).into(), &message.payload, cluster.link);
        }
    }
}

/// Has `handler` answer what `cluster` brings.
async fn attend(
    cluster: Arc<Cluster>,
    hub: Arc<Hub>,
    prefix: String,
    handler: Handler,
    answers: Arc<Semaphore>,
) {
    let Some(mut subscriber) = subscribed(&cluster, &prefix).await else { return };
    while let Some(message) = subscriber.next().await {
        let Some(reply) = message.reply else { continue };
        if !is_sendable(&hub, &message.subject, &message.payload) {
            continue;
        }
        let asked = Asked { subject: (*message.subject).into(), bytes: message.payload };
        let Ok(permit) = Arc::clone(&answers).acquire_owned().await else { return };
        let (answer, cluster) = (handler(asked), Arc::clone(&cluster));
        tokio::spawn(async move {
            if let Some(bytes) = answer.await
                && cluster.is_connected()
            {
                let _ = timeout(SEND_TIMEOUT, cluster.client.publish(reply, bytes)).await;
            }
            drop(permit);
        });
    }
}

async fn subscribed(cluster: &Cluster, prefix: &str) -> Option<Subscriber> {
    match cluster.client.subscribe(pattern(prefix)).await {
        Ok(subscriber) => Some(subscriber),
        Err(error) => {
            tracing::error!("bus: {}: no subscription to {prefix}: {error}", cluster.name);
            None
        }
    }
}

impl Bus for Nats {
    fn publish(&self, subject: &str, bytes: Bytes) {
        if !is_sendable(&self.hub, subject, &bytes) {
            return;
        }
        count(&self.hub.tally.published);
        self.hub.deliver(subject, &bytes, HERE);
        let subject: Arc<str> = subject.into();
        for cluster in &self.clusters {
            if cluster.is_connected() {
                cluster.outgoing.put(&subject, &bytes, HERE);
            } else {
                let forgotten = cluster.outgoing.clear() as u64 + 1;
                self.hub.tally.skipped.fetch_add(forgotten, Ordering::Relaxed);
            }
        }
    }

    fn subscribe(&self, prefix: &str) -> Subscription {
        let subscription = self.hub.subscribe(prefix);
        for cluster in &self.clusters {
            let mailbox = subscription.mailbox();
            let (cluster, hub) = (Arc::clone(cluster), Arc::clone(&self.hub));
            self.spawn(listen(cluster, hub, prefix.to_owned(), mailbox));
        }
        subscription
    }

    /// Clusters are asked one after another, so that one which stands still costs a part of the
    /// time only.
    fn request<'a>(&'a self, subject: &'a str, bytes: Bytes, timeout: Duration) -> Answer<'a> {
        Box::pin(async move {
            if !is_sendable(&self.hub, subject, &bytes) {
                return Err(RequestError::Refused);
            }
            let until = Instant::now() + timeout;
            let own = timeout_at(until, self.hub.answer(subject, bytes.clone())).await;
            if let Ok(Some(answer)) = own {
                return Ok(answer);
            }
            let connected: Vec<_> =
                self.clusters.iter().filter(|cluster| cluster.is_connected()).collect();
            let mut outcome = RequestError::Nobody;
            for (at, cluster) in connected.iter().enumerate() {
                let left = until.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(connected.len() - at).unwrap_or(1);
                let request = Request::new().payload(bytes.clone()).timeout(Some(share));
                match cluster.client.send_request(subject.to_owned(), request).await {
                    Ok(message) => return Ok(message.payload),
                    Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                    Err(_) => outcome = RequestError::Late,
                }
            }
            Err(outcome)
        })
    }

    fn serve(&self, prefix: &str, handler: Handler) {
        self.hub.serve(prefix, Arc::clone(&handler));
        for cluster in &self.clusters {
            let (cluster, hub) = (Arc::clone(cluster), Arc::clone(&self.hub));
            let answers = Arc::clone(&self.answers);
            self.spawn(attend(cluster, hub, prefix.to_owned(), Arc::clone(&handler), answers));
        }
    }

    fn links(&self) -> Vec<Link> {
        let link = |cluster: &Arc<Cluster>| {
            let known = lock(&cluster.known);
            Link {
                name: cluster.name.clone(),
                connected: cluster.is_connected(),
                since_seconds: known.since.elapsed().as_secs(),
                reason: known.reason.clone(),
            }
        };
        self.clusters.iter().map(link).collect()
    }

    fn counts(&self) -> Counts {
        self.hub.counts()
    }
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nats({:?})", self.links())
    }
}
