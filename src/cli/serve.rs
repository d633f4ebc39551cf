//! `meridian serve`: the daemon until a signal ends it.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::args::ServeArgs;
use super::{files, output};
use crate::daemon::{self, Options, StartError, log};

pub(super) fn run(args: ServeArgs) -> anyhow::Result<u8> {
    log::start(log::DEFAULT, output::stderr_is_colored());
    let config = files::config_path(args.config.as_deref());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the knowledge plane's runtime")?;
    runtime.block_on(async {
        let ended = signals()?;
        let (daemon, tasks) = match daemon::start(Options { config, on_event: None }).await {
            Ok(started) => started,
            Err(StartError::Faults(faults)) => return Ok(files::tell_refused(&faults)),
            Err(error) => return Err(error).context("cannot start"),
        };
        tracing::info!("{} received: ending", ended.await);
        daemon.stop(tasks).await;
        Ok(0)
    })
}

/// Becomes the name of the signal that asks the process to end. Listening begins at once, so
/// that a signal during the start is not lost.
pub(super) fn signals() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
