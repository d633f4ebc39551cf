//! The generator: keeps a server busy from the other core with queries made before, and counts.
//! A query is in flight until it is answered or [`PATIENCE`] is over; so the server sets the
//! pace, and the generator never waits for ever.

mod tcp;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use crate::query::Queries;

/// The core the generator runs on.
pub const LOAD_CORE: usize = 1;

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// When so many have been asked and answered or given up.
    Asked(u64),
}

/// A load on one server.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where the server answers.
    pub server: SocketAddr,
    /// When to stop.
    pub until: Until,
    /// How long an answer may take until the query counts as lost.
    pub patience: Duration,
    /// RCODE and number of answers every response must have; `None` for the echoes.
    pub expected: Option<(u8, u8)>,
}

/// What a load has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Queries asked.
    pub asked: u64,
    /// Of these, answered in time.
    pub answered: u64,
    /// Of the answers, with another RCODE or number of records than expected.
    pub wrong: u64,
    /// From the first query to the last answer.
    pub time: Duration,
}

impl Count {
    /// Queries without an answer in time.
    pub fn lost(&self) -> u64 {
        self.asked - self.answered
    }

    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.time.as_secs_f64()
    }
}

/// Asks `queries` of a server until the plan is done.
///
/// # Errors
/// When sockets fail.
pub fn run(plan: &Plan, queries: &Queries) -> Result<Count> {
    if queries.workload.is_tcp() { tcp::run(plan, queries) } else { udp::run(plan, queries) }
}

/// Whether a response is not one, or not the expected one.
fn is_wrong(expected: Option<(u8, u8)>, response: &[u8]) -> bool {
    let Some((rcode, answers)) = expected else { return false };
    response.len() < 12
        || response[2] & 0x80 == 0
        || response[3] & 15 != rcode
        || response[6] != 0
        || (answers == 0) != (response[7] == 0)
}

impl Until {
    fn is_over(self, passed: Duration) -> bool {
        matches!(self, Self::Time(end) if passed >= end)
    }

    /// Whether `asked` queries leave any to ask.
    fn wants_more(self, asked: u64) -> bool {
        match self {
            Self::Time(_) => true,
            Self::Asked(all) => asked < all,
        }
    }
}
