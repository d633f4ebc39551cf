//! The log: text for people, one line per event, on standard error.

use tracing_subscriber::EnvFilter;

/// What is logged when neither `RUST_LOG` nor the caller says otherwise.
pub const DEFAULT: &str = "info";

/// Starts the log. `RUST_LOG` wins over `filter`; a filter that cannot be read falls back to
/// [`DEFAULT`] and is told. Returns false when this process has a log already.
pub fn start(filter: &str, color: bool) -> bool {
    let typed = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.is_empty());
    let wanted = typed.as_deref().unwrap_or(filter);
    let parsed = EnvFilter::try_new(wanted);
    let refused = parsed.as_ref().err().map(ToString::to_string);
    let started = tracing_subscriber::fmt()
        .with_env_filter(parsed.unwrap_or_else(|_| EnvFilter::new(DEFAULT)))
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_target(false)
        .try_init()
        .is_ok();
    if let Some(error) = refused {
        tracing::warn!("log filter '{wanted}' is not understood ({error}): logging at {DEFAULT}");
    }
    started
}
