//! The daemon seen from outside: its HTTP API, its metrics, and the words for both.
//!
//! [`view`] is what is told, as data; [`catalog`] names the metrics and [`metrics`] moves them.
//! The API has no passwords: it listens on loopback unless the operator says otherwise, and
//! whoever reaches it may drain a region. A query never comes here.

#![forbid(unsafe_code)]

pub mod catalog;
mod changes;
mod dials;
pub mod explain;
pub mod health;
mod loads;
pub mod message;
pub mod metrics;
mod orders;
mod overrides;
mod reports;
mod routes;
pub mod status;
pub mod view;

use std::sync::{Arc, OnceLock};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::daemon::Daemon;

/// Where the daemon is put once it answers. Until then the API says that it is starting.
pub type Slot = Arc<OnceLock<Arc<Daemon>>>;

/// Serves the API on `listener` until the daemon ends.
pub async fn serve(listener: TcpListener, slot: Slot, mut ends: watch::Receiver<bool>) {
    let ended = async move {
        let _ = ends.wait_for(|ending| *ending).await;
    };
    let service = axum::serve(listener, routes::router(slot)).with_graceful_shutdown(ended);
    if let Err(error) = service.await {
        tracing::error!("the API has ended: {error}");
    }
}
