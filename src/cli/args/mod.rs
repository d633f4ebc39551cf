//! What can be typed: commands and their flags, by subject. Knows nothing of what they do.

mod orders;
mod plan;
mod tools;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::import::ImportArgs;
use super::probe::{ProbeArgs, ReportArgs};

pub use orders::{
    CanaryArgs, CanaryOrder, EverywhereArgs, LoadArgs, Orderer, OverrideArgs, ReleaseArgs,
    ResumeArgs, Side, SwitchArgs, WithdrawArgs,
};
pub use plan::{AddressType, ExplainArgs, Format, ProveArgs, SimulateArgs};
pub use tools::{
    BundleCommand, GeoBuildArgs, GeoCommand, KeyArgs, KeyCommand, PkiCommand, PkiInitArgs,
    PkiIssueArgs, PublishArgs, RollbackArgs, SignArgs,
};
pub use values::{At, Lasting, Percent};

/// A DNS-based global server load balancer: every answer is the nearest healthy region.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, max_term_width = 100)]
pub struct Args {
    /// When to colour the output; `auto` looks at the terminal and at NO_COLOR.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer queries: load the files, watch health, serve DNS over UDP and TCP.
    Serve(ServeArgs),
    /// Read the files and tell every fault in them at once.
    Check(CheckArgs),
    /// Tell step by step which answer a client gets, and why.
    Explain(ExplainArgs),
    /// Send the world's clients through the tables: who serves how many, from how far, and who
    /// moves when something fails or the files change.
    Simulate(SimulateArgs),
    /// Prove that whatever regions are lost, every client is answered and no fence is broken.
    Prove(ProveArgs),
    /// Tell how the running daemon is: verdicts, reloads, databases.
    Status(StatusArgs),
    /// Tell how every vantage sees every member, who has a vote, and what follows.
    Health(super::health::HealthArgs),
    /// Empty a region, pool or member: no new answers lead there.
    Drain(WithdrawArgs),
    /// Hold a region, pool or member down whatever its checks say.
    Down(WithdrawArgs),
    /// Hold a region, pool or member up whatever its checks say.
    Up(OverrideArgs),
    /// Take an override back.
    Release(ReleaseArgs),
    /// Let clients come back to a region or pool that waits for it (failback = "manual").
    Resume(ResumeArgs),
    /// Report how loaded a pool is, for pools with load = "push" in their capacity.
    Load(LoadArgs),
    /// Lead a record's canary: start, pause, resume, abort, finish.
    Canary(CanaryArgs),
    /// Switch a record between its blue and its green pools, or back.
    Switch(SwitchArgs),
    /// Probe from a vantage and report to nodes; or, with --once, probe one target and tell all.
    Probe(ProbeArgs),
    /// Report for a check of type push that it is up or down.
    Report(ReportArgs),
    /// Make monitors of a blackbox exporter's configuration.
    Import(ImportArgs),
    /// Work on GeoIP data.
    #[command(subcommand)]
    Geo(GeoCommand),
    /// Make and show keys that reports and bundles are signed with.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Keep a small authority for the certificates of nodes, vantages and brokers.
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Publish zones and policies to all nodes, see who serves what, go back.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Three regions, a daemon and a console in one process: fail a region, watch answers move.
    Demo(DemoArgs),
}

/// `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The folder of meridian.toml, or the file itself. Default: this folder, else /etc/meridian.
    #[arg(long, value_name = "DIR|FILE")]
    pub config: Option<PathBuf>,
}

/// `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The folder of meridian.toml, or the file itself. Default: this folder, else /etc/meridian.
    #[arg(long, value_name = "DIR|FILE")]
    pub config: Option<PathBuf>,
    /// Leave out what the loss of a region does to clients: no map is compiled for it.
    #[arg(long)]
    pub quick: bool,
}

/// `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The same as data.
    #[arg(long)]
    pub json: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Where a running daemon is reached.
#[derive(Debug, clap::Args)]
pub struct ApiArgs {
    /// The address its API listens on. Default: what meridian.toml says.
    #[arg(long, value_name = "HOST:PORT")]
    pub api: Option<String>,
    /// Where to look for meridian.toml. Default: this folder, else /etc/meridian.
    #[arg(long, value_name = "DIR|FILE")]
    pub config: Option<PathBuf>,
}

/// `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// UDP and TCP port on 127.0.0.1 to answer on; 0 picks a free one.
    #[arg(long, default_value_t = 5300)]
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
