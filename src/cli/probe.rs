//! `meridian probe`: the agent at a vantage, until a signal ends it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use clap::ValueEnum;

use super::args::{ApiArgs, Lasting, Percent};
use super::{files, once, output, serve};
use crate::bus::{self, Bus};
use crate::config::{self, AgentConfig};
use crate::daemon::log;
use crate::diagnostics;
use crate::pki::identity::Identity;
use crate::probe::agent::{self, Agent, Setup, believed, desk::Desk};
use crate::probe::ask::{Asker, Roots};
use crate::probe::set::ProbeSet;
use crate::seal::PublicKey;

/// Where packages put the file.
const FILE: &str = "/etc/meridian/probe.toml";

/// `probe`.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    /// Probe this target once, as this monitor says, and tell each step.
    #[arg(long, num_args = 2, value_names = ["MONITOR", "TARGET"])]
    pub once: Option<Vec<String>>,
    /// The agent's file, by default /etc/meridian/probe.toml; with --once, the folder of
    /// meridian.toml or a file of monitors.
    #[arg(long, value_name = "FILE|DIR")]
    pub config: Option<PathBuf>,
}

/// `report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// The check, as MONITOR@TARGET.
    pub check: String,
    /// How it is.
    #[arg(value_enum)]
    pub state: ReportState,
    /// For how long this may be believed, as 30s or 5m.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    pub lasting: Lasting,
    /// How busy it is, as 83%.
    #[arg(long, value_name = "PERCENT")]
    pub load: Option<Percent>,
    /// The part of its answers that are errors, as 2%.
    #[arg(long, value_name = "PERCENT")]
    pub errors: Option<Percent>,
    /// The part of its usual weight that it asks for, as 50%.
    #[arg(long, value_name = "PERCENT")]
    pub weight: Option<Percent>,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// What can be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportState {
    /// It serves.
    Up,
    /// It does not.
    Down,
}

pub(super) fn run(args: &ProbeArgs) -> anyhow::Result<u8> {
    if let Some([monitor, target]) = args.once.as_deref() {
        return once::run(args, monitor, target);
    }
    log::start(log::DEFAULT, output::stderr_is_colored());
    let file = args.config.clone().unwrap_or_else(|| PathBuf::from(FILE));
    let (config, faults) = config::load_agent(&file);
    let Some(config) = config else { return Ok(files::tell_refused(&faults)) };
    if !faults.is_empty() {
        output::complain(&diagnostics::render_styled(&faults));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start a runtime")?.block_on(work(config))
}

async fn work(config: AgentConfig) -> anyhow::Result<u8> {
    let ended = serve::signals()?;
    let AgentConfig { name, key, bus, nodes, state, metrics, period, limits, set } = config;
    let (desk, warnings) = Desk::open(&state)
        .with_context(|| format!("cannot count this start in {}", state.display()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let set = begin_with(set, &desk, &nodes, &state);
    tracing::info!("vantage {name}: {} checks, {} canaries", set.checks.len(), set.canaries.len());
    let agent = Arc::new(Agent::default());
    if let Some(address) = metrics {
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        let shown = Router::new().route("/metrics", get(scrape)).with_state(Arc::clone(&agent));
        tokio::spawn(async move { axum::serve(listener, shown).await });
    }
    let bus = match bus {
        None => {
            tracing::warn!("there is no [bus]: nothing is reported, only shown");
            None
        }
        Some(wired) => {
            let identity = Identity::new(wired.material).context("no identity on the bus")?;
            let bus: Arc<dyn Bus> = bus::open(&wired.wiring, &identity).await?;
            Some(bus)
        }
    };
    if bus.is_some() && key.is_none() {
        anyhow::bail!("reports need a 'key' to be sealed with");
    }
    let seed = desk.boot();
    let setup = Setup { name, key, nodes, period, limits, seed };
    let asker = Asker::new(Roots::System, Arc::default());
    tokio::select! {
        () = agent::run(agent, asker, setup, set, desk, bus) => {}
        signal = ended => tracing::info!("{signal} received: ending"),
    }
    Ok(0)
}

/// The set a node gave last, where it is believed still, else the file's.
fn begin_with(
    own: ProbeSet,
    desk: &Desk,
    nodes: &HashMap<Box<str>, PublicKey>,
    state: &Path,
) -> ProbeSet {
    let Some(kept) = desk.kept().filter(|_| !nodes.is_empty()) else { return own };
    match believed(&kept, nodes) {
        Ok(set) => set.with_canaries_of(&own),
        Err(why) => {
            tracing::warn!("the probe set in {} is not used: {why}", state.display());
            own
        }
    }
}

async fn scrape(
    State(agent): State<Arc<Agent>>,
) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], agent.metrics())
}
