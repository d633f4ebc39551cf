//! One probe: who is asked, how, and what came of it.
//!
//! One attempt, one address, a connection of its own each time. A target by name is resolved
//! for each probe and one of its addresses is asked. Time runs out elsewhere
//! ([`super::schedule`] drops a probe that takes longer than its monitor's timeout).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::monitor::{Check, CheckTarget, FamilyChoice, Kind};
use super::push::Board;
pub use super::tls::Roots;
use super::tls::TlsClients;
use super::trace::{Trace, micros_since};
use super::{dns, grpc, http, tcp};
use crate::health::sample::Reason;

/// Something that probes. [`Asker`] is the real one; tests have others.
pub trait Ask: Send + Sync + 'static {
    /// Asks `check`'s target once. A success, or why not; what was learnt on the way, also where
    /// the probe is dropped before its end, stands in `trace`.
    fn ask(
        &self,
        check: &Check,
        trace: &mut Trace,
    ) -> impl Future<Output = Result<(), Reason>> + Send;

    /// Learns which checks will be asked from here on.
    fn prepare(&self, _checks: &[Check]) {}
}

/// Octets of an answer that are read.
pub const BODY_MAX: usize = 64 * 1024;

/// Names resolved at once. The system's resolver blocks a thread for each, and goes on after
/// the probe's time is over.
const RESOLUTIONS_MAX: usize = 64;

static RESOLUTIONS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(RESOLUTIONS_MAX)));

/// Probes over real sockets.
#[derive(Debug)]
pub struct Asker {
    tls: TlsClients,
    board: Arc<Board>,
}

impl Asker {
    /// An asker that verifies certificates with `roots`, and finds what others report on `board`.
    pub fn new(roots: Roots, board: Arc<Board>) -> Self {
        Self { tls: TlsClients::new(roots), board }
    }

    async fn connected(
        &self,
        check: &Check,
        address: SocketAddr,
        trace: &mut Trace,
    ) -> Result<(), Reason> {
        match &check.monitor.kind {
            Kind::Tcp(of) => tcp::ask(&self.tls, of, check, address, trace).await,
            Kind::Http(of) => http::ask(&self.tls, of, check, address, trace).await,
            Kind::Dns(of) => dns::ask(of, check, address, trace).await,
            Kind::Grpc(of) => grpc::ask(&self.tls, of, check, address, trace).await,
            Kind::Agent(of) => tcp::ask_agent(of, check, address, trace).await,
            Kind::Push(of) => self.board.ask(*of, check, trace),
        }
    }
}

impl Ask for Asker {
    fn prepare(&self, checks: &[Check]) {
        self.board.expect(checks);
    }

    async fn ask(&self, check: &Check, trace: &mut Trace) -> Result<(), Reason> {
        if let Kind::Push(push) = &check.monitor.kind {
            return self.board.ask(*push, check, trace);
        }
        // Boxed, so that a check that waits for its turn does not carry a request's size.
        Box::pin(async {
            let begun = Instant::now();
            let address = resolve(&check.target, check.monitor.way.family).await?;
            if let CheckTarget::Host(..) = check.target {
                trace.facts.phases.resolve_us = micros_since(begun);
            }
            trace.address = Some(address);
            self.connected(check, address, trace).await
        })
        .await
    }
}

/// The one address that is asked.
pub(super) async fn resolve(
    target: &CheckTarget,
    family: FamilyChoice,
) -> Result<SocketAddr, Reason> {
    let (host, port) = match target {
        CheckTarget::Address(address) => return Ok(*address),
        CheckTarget::Host(host, port) => (host.clone(), *port),
    };
    let permit = Arc::clone(&RESOLUTIONS).acquire_owned().await;
    let permit = permit.map_err(|_| Reason::Local)?;
    // The permit goes with the lookup, which outlives a probe that is dropped.
    let lookup = tokio::spawn(async move {
        let found = tokio::net::lookup_host((&*host, port)).await;
        drop(permit);
        family.choose(found.ok()?)
    });
    lookup.await.map_err(|_| Reason::Local)?.ok_or(Reason::Resolve)
}
