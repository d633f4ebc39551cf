//! The limits: this very program as an echo, which sends each query back with one bit flipped.

use std::env;

use anyhow::Result;

use super::{Case, Launch, Peer};
use crate::workload::Workload;

/// An echo responder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// `recvmmsg` and `sendmmsg` in batches of 32; over TCP, all that has come is sent back.
    Batched,
    /// One `recvfrom` and one `sendto` for each query.
    Plain,
}

impl Peer for Echo {
    fn name(&self) -> &'static str {
        match self {
            Self::Batched => "echo",
            Self::Plain => "echo-plain",
        }
    }

    fn serves(&self, workload: Workload) -> bool {
        *self == Self::Batched || !workload.is_tcp()
    }

    fn prepare(&self, case: &Case<'_>) -> Result<Launch> {
        let program = env::current_exe()?.display().to_string();
        Ok(Launch::new([&*program, "--echo", self.name(), &case.port.to_string()]))
    }

    fn answers(&self) -> bool {
        false
    }
}
