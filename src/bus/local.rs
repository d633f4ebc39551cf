//! The bus of one process: a daemon with a prober of its own.

use std::time::Duration;

use bytes::Bytes;

use super::hub::{HERE, Hub, Subscription, count};
use super::{Answer, Bus, Counts, Handler, Link, OCTETS_MAX, RequestError, subject};

/// A bus without links.
#[derive(Default)]
pub struct Local {
    hub: Hub,
}

impl Local {
    /// A bus on which nobody is yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Bus for Local {
    fn publish(&self, subject: &str, bytes: Bytes) {
        if is_sendable(&self.hub, subject, &bytes) {
            count(&self.hub.tally.published);
            self.hub.deliver(subject, &bytes, HERE);
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
            let answer = tokio::time::timeout(timeout, self.hub.answer(subject, bytes)).await;
            answer.map_err(|_| RequestError::Late)?.ok_or(RequestError::Nobody)
        })
    }

    fn serve(&self, prefix: &str, handler: Handler) {
        self.hub.serve(prefix, handler);
    }

    fn links(&self) -> Vec<Link> {
        Vec::new()
    }

    fn counts(&self) -> Counts {
        self.hub.counts()
    }
}

/// Whether this may go out; counted when it may not.
pub(super) fn is_sendable(hub: &Hub, subject: &str, bytes: &Bytes) -> bool {
    let fits = bytes.len() <= OCTETS_MAX && subject::is_valid(subject);
    if !fits {
        count(&hub.tally.refused);
    }
    fits
}
