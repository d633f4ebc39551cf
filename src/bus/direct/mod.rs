//! The bus of a handful of nodes: everybody speaks to every node over HTTP/2 with certificates on
//! both sides, and no broker is between.
//!
//! `peer` is the way out: one task for each node that keeps a connection and has a mailbox of its
//! own, so that a slow node delays no other. `listen` is the way in. A message is
//! `POST /publish/SUBJECT`, answered with 204; a request is `POST /request/SUBJECT`, answered with
//! 200, or with 404 by who has nothing to say to it.

mod listen;
mod peer;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::hub::{HERE, Hub, Subscription, count, lock};
use super::local::is_sendable;
use super::rights::Admitted;
use super::{Answer, Bus, Counts, Handler, Link, RequestError};
use crate::pki::identity::Identity;
use peer::{Asking, Peer};

pub(super) use peer::spread;

const PUBLISH: &str = "/publish/";
const REQUEST: &str = "/request/";

/// What a direct bus is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// Where a node listens for others; nowhere at a vantage.
    pub listen: Vec<SocketAddr>,
    /// The nodes to speak to, by name. Addresses, not host names: a node must hear of health when
    /// names do not resolve.
    pub nodes: BTreeMap<String, SocketAddr>,
}

/// A direct bus.
pub struct Direct {
    hub: Arc<Hub>,
    peers: Vec<Arc<Peer>>,
    admitted: Arc<ArcSwap<Admitted>>,
    addresses: Vec<SocketAddr>,
    /// Ends with the bus.
    _tasks: std::sync::Mutex<JoinSet<()>>,
}

impl Direct {
    /// Listens and begins to connect. Nobody is let in until [`Bus::admit`] says who.
    ///
    /// # Errors
    /// When an address cannot be listened on, or TLS cannot be had.
    pub async fn start(setup: &Setup, identity: &Arc<Identity>) -> io::Result<Self> {
        let (hub, admitted) = (Arc::new(Hub::default()), Arc::<ArcSwap<Admitted>>::default());
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        let entrance = listen::Entrance::new(&hub, &admitted, identity)?;
        for &address in &setup.listen {
            let listener = tokio::net::TcpListener::bind(address).await?;
            addresses.push(listener.local_addr()?);
            tasks.spawn(listen::accept(listener, Arc::clone(&entrance)));
        }
        let mut peers = Vec::new();
        for (name, &address) in &setup.nodes {
            let peer = Arc::new(Peer::new(name, address, &hub));
            tasks.spawn(peer::keep(Arc::clone(&peer), Arc::clone(identity)));
            peers.push(peer);
        }
        Ok(Self { hub, peers, admitted, addresses, _tasks: tasks.into() })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Peers to ask for `subject`: first the one that its last token names.
    fn asked_in_order(&self, subject: &str) -> impl Iterator<Item = &Arc<Peer>> {
        let name = subject.rsplit('.').next().unwrap_or_default();
        let (named, others): (Vec<_>, Vec<_>) =
            self.peers.iter().partition(|peer| peer.name == name);
        named.into_iter().chain(others)
    }
}

impl Bus for Direct {
    fn publish(&self, subject: &str, bytes: Bytes) {
        if !is_sendable(&self.hub, subject, &bytes) {
            return;
        }
        count(&self.hub.tally.published);
        self.hub.deliver(subject, &bytes, HERE);
        let subject: Arc<str> = subject.into();
        for peer in &self.peers {
            if !peer.post(&subject, &bytes) {
                count(&self.hub.tally.skipped);
            }
        }
    }

    fn subscribe(&self, prefix: &str) -> Subscription {
        self.hub.subscribe(prefix)
    }

    fn request<'a>(&'a self, subject: &'a str, bytes: Bytes, timeout: Duration) -> Answer<'a> {
        Box::pin(async move {
            if !is_sendable(&self.hub, subject, &bytes) {
                return Err(RequestError::Refused);
            }
            let until = Instant::now() + timeout;
            if let Ok(Some(answer)) =
                timeout_at(until, self.hub.answer(subject, bytes.clone())).await
            {
                return Ok(answer);
            }
            let mut late = false;
            for peer in self.asked_in_order(subject) {
                match timeout_at(until, peer.ask(subject, bytes.clone())).await {
                    Ok(Asking::Answered(answer)) => return Ok(answer),
                    Ok(Asking::Nothing) => {}
                    Ok(Asking::Failed) => late = true,
                    Err(_) => return Err(RequestError::Late),
                }
            }
            Err(if late { RequestError::Late } else { RequestError::Nobody })
        })
    }

    fn serve(&self, prefix: &str, handler: Handler) {
        self.hub.serve(prefix, handler);
    }

    fn admit(&self, admitted: Admitted) {
        self.admitted.store(Arc::new(admitted));
    }

    fn links(&self) -> Vec<Link> {
        self.peers.iter().map(|peer| peer.link()).collect()
    }

    fn counts(&self) -> Counts {
        self.hub.counts()
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Direct({:?}, {} tasks)", self.addresses, lock(&self._tasks).len())
    }
}
