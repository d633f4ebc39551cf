//! What can be typed: commands and their flags. Knows nothing of what they do.

use std::path::PathBuf;
use std::str::FromStr;

use super::import::ImportArgs;
use super::probe::{ProbeArgs, ReportArgs};
use clap::{Parser, Subcommand, ValueEnum};

use crate::admin::message::ClientNet;
use crate::health::persist::parse_rfc3339;

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
    /// Suppose otherwise, as region.fra=down,pool.iad=drain,member.192.0.2.10=down,
    /// or for the clients of one area, as region.fra=down@asia.
    #[arg(long, value_name = "TARGET=STATE,…")]
    pub what_if: Vec<String>,
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

/// `simulate`.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// Owner names of steered records. Default: all of them.
    pub names: Vec<String>,
    /// The folder of meridian.toml, or the file itself. Default: this folder, else /etc/meridian.
    #[arg(short, long, value_name = "DIR|FILE")]
    pub config: Option<PathBuf>,
    /// Compare today with this region, pool or member lost; may be given more than once.
    #[arg(long, value_name = "TARGET")]
    pub fail: Vec<String>,
    /// Compare today with this region, pool or member drained; may be given more than once.
    #[arg(long, value_name = "TARGET")]
    pub drain: Vec<String>,
    /// Compare today with this, as region.fra=down,pool.iad=drain,member.192.0.2.10=down,
    /// or for the clients of one area, as region.fra=down@asia.
    #[arg(long, value_name = "TARGET=STATE,…")]
    pub what_if: Vec<String>,
    /// Compare today with this other folder, or meridian.toml: what would change.
    #[arg(long, value_name = "DIR|FILE")]
    pub change: Option<PathBuf>,
    /// Today's health is what the running daemon knows. Default: everything is up.
    #[arg(long)]
    pub live: bool,
    /// The address the daemon's API listens on, with --live. Default: what meridian.toml says.
    #[arg(long, value_name = "HOST:PORT", requires = "live")]
    pub api: Option<String>,
    /// The type asked for.
    #[arg(long = "type", value_enum, default_value_t = AddressType::A, value_name = "TYPE")]
    pub rtype: AddressType,
    /// The clients, instead of the whole address space: a file of `network,weight` lines.
    #[arg(long, value_name = "FILE")]
    pub clients: Option<PathBuf>,
    /// Count addresses of which no place is known as well.
    #[arg(long)]
    pub unknown: bool,
    /// Queries a second: of all these records together, or of one as NAME=QUERIES; may be given
    /// more than once. Tells what each pool gets, and whom pools at capacity send on to others.
    #[arg(long, value_name = "[NAME=]QUERIES")]
    pub rate: Vec<String>,
    /// How the outcome is told.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub format: Format,
    /// Draw the map of one record's catchments into this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Tell on standard error how long each part took.
    #[arg(long)]
    pub timing: bool,
}

/// `prove`.
#[derive(Debug, clap::Args)]
pub struct ProveArgs {
    /// Owner names of steered records. Default: all of them.
    pub names: Vec<String>,
    /// The folder of meridian.toml, or the file itself. Default: this folder, else /etc/meridian.
    #[arg(short, long, value_name = "DIR|FILE")]
    pub config: Option<PathBuf>,
    /// How many regions may be lost at once.
    #[arg(short = 'k', long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub lost: u8,
    /// How often clients ask, and what pools take, is what the running daemon has measured.
    #[arg(long, conflicts_with = "rate")]
    pub live: bool,
    /// The address the daemon's API listens on, with --live. Default: what meridian.toml says.
    #[arg(long, value_name = "HOST:PORT", requires = "live")]
    pub api: Option<String>,
    /// Queries a second, of all these records together, or of one as NAME=QUERIES; may be given more
    /// than once. Then no region over its capacity is proved too.
    #[arg(long, value_name = "[NAME=]QUERIES")]
    pub rate: Vec<String>,
    /// The same as data.
    #[arg(long)]
    pub json: bool,
    /// Tell on standard error how long each part took.
    #[arg(long)]
    pub timing: bool,
}

/// A type that is steered by addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AddressType {
    /// IPv4 addresses are asked for.
    #[value(name = "A", alias = "a")]
    A,
    /// IPv6 addresses are asked for.
    #[value(name = "AAAA", alias = "aaaa")]
    Aaaa,
}

/// How an outcome is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// As data.
    Json,
    /// As a map of the world; of one record.
    Svg,
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

/// `up`, and what `drain` and `down` share with it.
#[derive(Debug, clap::Args)]
pub struct OverrideArgs {
    /// region.NAME, pool.NAME (or pool.NAME@ZONE) or member.ADDRESS.
    pub target: String,
    /// For the clients of this area of meridian.toml only.
    #[arg(long, value_name = "AREA")]
    pub area: Option<String>,
    /// Who, and why.
    #[command(flatten)]
    pub orderer: Orderer,
    /// When it begins, as 2026-12-22T05:00Z. Default: now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<At>,
    /// For how long, as 30s, 10m, 2h or 1d. Default: until it is released.
    #[arg(long = "for", value_name = "DURATION")]
    pub lasting: Option<Lasting>,
    /// Do it whatever the safety rules of meridian.toml say; the reason tells that it was forced.
    #[arg(long)]
    pub force: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `drain` and `down`, which may be waited for.
#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    /// What, and for how long.
    #[command(flatten)]
    pub order: OverrideArgs,
    /// Wait until the last answer that leads there has expired.
    #[arg(long, conflicts_with_all = ["at", "area"])]
    pub wait: bool,
}

/// Who orders, and why.
#[derive(Debug, clap::Args)]
pub struct Orderer {
    /// Why; shown wherever the order shows.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who. Default: the user who runs this.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

impl Orderer {
    /// Who: as given, or the user behind `sudo`, or the user.
    pub fn by(&self) -> String {
        let user = || std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
        self.by.clone().unwrap_or_else(|| user().unwrap_or_default())
    }
}

/// `resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// region.NAME, pool.NAME or pool.NAME@ZONE.
    pub target: String,
    /// Who, and why.
    #[command(flatten)]
    pub orderer: Orderer,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `load`.
#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// pool.NAME or pool.NAME@ZONE.
    pub target: String,
    /// The part of what the pool can do that is in use, as 83%; above 100% it is overloaded.
    pub load: Percent,
    /// The part of its answers that are errors, as 2%.
    #[arg(long, value_name = "PERCENT")]
    pub errors: Option<Percent>,
    /// For how long this may be believed, as 30s or 5m.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    pub lasting: Lasting,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// A share as typed: a number with a percent sign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        let share = number.filter(|number| number.is_finite() && *number >= 0.0);
        share.map(|number| Self(number / 100.0)).ok_or_else(|| format!("'{text}' is no share: 83%"))
    }
}

/// `canary`.
#[derive(Debug, clap::Args)]
pub struct CanaryArgs {
    /// What to do: begin at the first step, stay, go on, take all clients back, or go to the last
    /// step at once.
    #[arg(value_enum)]
    pub order: CanaryOrder,
    /// The record's name.
    pub record: String,
    /// Who, and why.
    #[command(flatten)]
    pub orderer: Orderer,
    /// Do it whatever the safety rules of meridian.toml say; the reason tells that it was forced.
    #[arg(long)]
    pub force: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// What can be ordered of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CanaryOrder {
    /// Begin at the first step.
    Start,
    /// Stay at this share.
    Pause,
    /// Go on, also after an abort.
    Resume,
    /// Take all clients back.
    Abort,
    /// Go to the last step at once.
    Finish,
}

impl CanaryOrder {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Finish => "finish",
        }
    }
}

/// `switch`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("to").required(true))]
pub struct SwitchArgs {
    /// The record's name.
    pub record: String,
    /// The side to make active.
    #[arg(value_enum, group = "to")]
    pub side: Option<Side>,
    /// Go back to the side that was active before.
    #[arg(long, group = "to")]
    pub back: bool,
    /// Who, and why.
    #[command(flatten)]
    pub orderer: Orderer,
    /// Do it whatever the safety rules of meridian.toml say; the reason tells that it was forced.
    #[arg(long)]
    pub force: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// The sides of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// Active at first.
    Blue,
    /// The other.
    Green,
}

impl Side {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

/// `release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// The target as the override names it.
    pub target: String,
    /// Take back the one for the clients of this area.
    #[arg(long, value_name = "AREA")]
    pub area: Option<String>,
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

/// `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key in a new file that only you can read, and print its public half.
    Generate(KeyArgs),
    /// Print the public half of the key in a file, as meridian.toml wants it.
    Show(KeyArgs),
}

/// `key generate` and `key show`.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// The file of the key, in PEM.
    pub file: PathBuf,
}

/// `pki`.
#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make an authority in a folder.
    Init(PkiInitArgs),
    /// Make a certificate and its key for somebody.
    Issue(PkiIssueArgs),
    /// Tell whom the certificates in a folder are for, and for how long.
    Show(PkiInitArgs),
}

/// `pki init` and `pki show`.
#[derive(Debug, clap::Args)]
pub struct PkiInitArgs {
    /// The folder of the authority's files.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `pki issue`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("as").required(true).multiple(true))]
pub struct PkiIssueArgs {
    /// The folder of the authority's files; NAME.pem and NAME.key are written there too.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What the holder is called on the bus.
    pub name: String,
    /// For a node, which answers queries; for one that probes as well, together with --vantage.
    #[arg(long, group = "as")]
    pub node: bool,
    /// For a vantage, which probes.
    #[arg(long, group = "as")]
    pub vantage: bool,
    /// For a server of NATS.
    #[arg(long, group = "as", conflicts_with_all = ["node", "vantage"])]
    pub broker: bool,
    /// A host name or address that it is reached at; may be given more than once.
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// For how many days.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=825))]
    pub days: u32,
    /// Make the certificate anew for the key that is there; files are replaced at once.
    #[arg(long)]
    pub renew: bool,
}

/// `bundle`.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Check a folder, sign what it holds, and have all nodes serve it.
    Publish(PublishArgs),
    /// Tell which serial each node serves, and which it refuses and why.
    Status(StatusArgs),
    /// Have all nodes serve an earlier release again.
    Rollback(RollbackArgs),
}

/// `bundle publish`.
#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// The folder of zones/, geo/ and probes/.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignArgs,
}

/// `bundle rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The release to go back to. Default: the one before, of other contents.
    #[arg(long, value_name = "SERIAL")]
    pub to: Option<u64>,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignArgs,
}

/// Who publishes, and to which node; the others fetch it from there.
#[derive(Debug, clap::Args)]
pub struct SignArgs {
    /// The file of the publisher's key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// What the publisher is called in the nodes' `[bundle]` publishers.
    #[arg(long = "as", value_name = "NAME")]
    pub publisher: String,
    /// What this release is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    /// How to reach the node.
    #[command(flatten)]
    pub api: ApiArgs,
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

/// A time as typed: RFC 3339, seconds may be left out. In seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub u64);

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (date, time) = text.split_once('T').unwrap_or((text, ""));
        let clock = time.trim_end_matches('Z').split(['+', '-']).next().unwrap_or_default();
        let zone = &time[clock.len()..];
        let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
        let hint = |_| format!("'{text}' is no time such as 2026-12-22T05:00Z");
        parse_rfc3339(&format!("{date}T{clock}{seconds}{zone}")).map(Self).map_err(hint)
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

    #[test]
    fn a_share_needs_its_sign() {
        assert_eq!("83%".parse(), Ok(Percent(0.83)));
        assert_eq!("140%".parse(), Ok(Percent(1.4)));
        for wrong in ["", "83", "%", "-1%", "NaN%", "inf%", "a%"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_needs_its_zone() {
        let read = |text: &str| text.parse::<At>().map(|at| at.0);
        assert_eq!(read("1970-01-02T00:01Z"), Ok(86_460));
        assert_eq!(read("1970-01-02T00:01:30Z"), Ok(86_490));
        assert_eq!(read("1970-01-02T01:01+01:00"), Ok(86_460));
        for wrong in ["", "05:00", "1970-01-02", "1970-01-02T00:01", "tomorrow", "1970-01-02T5Z"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
