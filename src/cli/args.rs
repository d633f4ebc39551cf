//! What can be typed: commands and their flags. Knows nothing of what they do.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};

use crate::admin::message::ClientNet;

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
    /// Tell how the running daemon is: verdicts, reloads, databases.
    Status(StatusArgs),
    /// Empty a region, pool or member: no new answers lead there.
    Drain(OverrideArgs),
    /// Hold a region, pool or member down whatever its checks say.
    Down(OverrideArgs),
    /// Hold a region, pool or member up whatever its checks say.
    Up(OverrideArgs),
    /// Take an override back.
    Release(ReleaseArgs),
    /// Work on GeoIP data.
    #[command(subcommand)]
    Geo(GeoCommand),
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
}

/// `explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The name asked for.
    pub name: String,
    /// The client's address, or its network as a resolver sends it: 203.0.113.0/24.
    #[arg(long, value_name = "ADDR[/LEN]")]
    pub client: ClientNet,
    /// The record type asked for.
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    pub rtype: String,
    /// The same as data.
    #[arg(long)]
    pub json: bool,
    /// Suppose this is down, as region.NAME or pool.NAME; may be given more than once.
    #[arg(long, value_name = "TARGET")]
    pub down: Vec<String>,
    /// Ask the daemon whose API listens here. Default: what meridian.toml says.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["config", "offline"])]
    pub api: Option<String>,
    /// Ask no daemon: read the files in the default place and suppose all is up.
    #[arg(long)]
    pub offline: bool,
    /// Ask no daemon: read these files and suppose all is up.
    #[arg(long, value_name = "DIR|FILE")]
    pub config: Option<PathBuf>,
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

/// `drain`, `down`, `up`.
#[derive(Debug, clap::Args)]
pub struct OverrideArgs {
    /// region.NAME, pool.NAME (or pool.NAME@ZONE) or member.ADDRESS.
    pub target: String,
    /// Why; shown wherever the override shows.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// For how long, as 30s, 10m, 2h or 1d. Default: until it is released.
    #[arg(long = "for", value_name = "DURATION")]
    pub lasting: Option<Lasting>,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// The target as the override names it.
    pub target: String,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `geo`.
#[derive(Debug, Subcommand)]
pub enum GeoCommand {
    /// Make the embedded country table anew from its sources.
    Build(GeoBuildArgs),
}

/// `geo build`.
#[derive(Debug, clap::Args)]
pub struct GeoBuildArgs {
    /// The database that draws the borders (see geo/README.md for where each comes from).
    #[arg(long, value_name = "MMDB")]
    pub country: PathBuf,
    /// The IPv4 city database that says where in a country addresses are.
    #[arg(long, value_name = "MMDB")]
    pub city_v4: PathBuf,
    /// The same for IPv6.
    #[arg(long, value_name = "MMDB")]
    pub city_v6: PathBuf,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// UDP and TCP port on 127.0.0.1 to answer on; 0 picks a free one.
    #[arg(long, default_value_t = 5300)]
    pub port: u16,
}

/// A length of time as typed: a number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub std::time::Duration);

impl FromStr for Lasting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(format!("'{text}' is no duration such as 30s, 10m, 2h or 1d")),
        };
        let count: u64 = digits.parse().map_err(|_| format!("'{digits}' is no number"))?;
        let seconds = count.checked_mul(unit).filter(|&seconds| seconds > 0);
        seconds
            .map(|seconds| Self(std::time::Duration::from_secs(seconds)))
            .ok_or_else(|| format!("'{text}' is zero or too long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_duration_needs_its_unit() {
        let read = |text: &str| text.parse::<Lasting>().map(|lasting| lasting.0.as_secs());
        assert_eq!(read("90s"), Ok(90));
        assert_eq!(read("2h"), Ok(7200));
        for wrong in ["", "5", "0s", "-1m", "5w", "99999999999999999999d"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
