//! One probe: who is asked, how, and what came of it.
//!
//! One attempt, one address, a connection of its own each time. A target by name is resolved
//! for each probe and its first address is asked. Time runs out elsewhere ([`super::schedule`]
//! drops a probe that takes longer than its monitor's timeout).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::http::{HttpClients, Roots};
use super::monitor::{Check, CheckTarget, Kind};
use super::tcp;
use crate::health::sample::Reason;

/// Something that probes. [`Asker`] is the real one; tests have others.
pub trait Ask: Send + Sync + 'static {
    /// Asks `check`'s target once. A success, or why not.
    fn ask(&self, check: &Check) -> impl Future<Output = Result<(), Reason>> + Send;
}

/// Names resolved at once. The system's resolver blocks a thread for each, and goes on after
/// the probe's time is over.
const RESOLUTIONS_MAX: usize = 64;

/// Probes over real sockets.
#[derive(Debug)]
pub struct Asker {
    http: HttpClients,
    resolutions: Arc<Semaphore>,
}

impl Asker {
    /// An asker that verifies certificates with `roots`. Costs two HTTP clients at most, however
    /// many checks there are.
    pub fn new(roots: Roots) -> Self {
        Self {
            http: HttpClients::new(roots),
            resolutions: Arc::new(Semaphore::new(RESOLUTIONS_MAX)),
        }
    }

    async fn address(&self, target: &CheckTarget) -> Result<SocketAddr, Reason> {
        let (host, port) = match target {
            CheckTarget::Address(address) => return Ok(*address),
            CheckTarget::Host(host, port) => (host.clone(), *port),
        };
        let permit = Arc::clone(&self.resolutions).acquire_owned().await;
        let permit = permit.map_err(|_| Reason::Local)?;
        // The permit goes with the lookup, which outlives a probe that is dropped.
        let lookup = tokio::spawn(async move {
            let found = tokio::net::lookup_host((&*host, port)).await;
            drop(permit);
            found.ok().and_then(|mut addresses| addresses.next())
        });
        lookup.await.map_err(|_| Reason::Local)?.ok_or(Reason::Resolve)
    }
}

impl Ask for Asker {
    async fn ask(&self, check: &Check) -> Result<(), Reason> {
        // Boxed, so that a check that waits for its turn does not carry a request's size.
        Box::pin(async {
            let address = self.address(&check.target).await?;
            match &check.monitor.kind {
                Kind::Tcp => tcp::ask(address).await,
                Kind::Http(http) => self.http.ask(http, &check.target, address).await,
            }
        })
        .await
    }
}

/// The class of a socket's error.
pub(super) fn reason_of(error: &io::Error) -> Reason {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Reason::Refused,
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Reason::Reset,
        Kind::UnexpectedEof => Reason::Reset,
        Kind::TimedOut => Reason::TimedOut,
        Kind::HostUnreachable | Kind::NetworkUnreachable => Reason::Unreachable,
        Kind::AddrNotAvailable | Kind::OutOfMemory => Reason::Local,
        _ => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::EAGAIN) => Reason::Local,
            Some(_) => Reason::Unreachable,
            None => Reason::Protocol,
        },
    }
}
