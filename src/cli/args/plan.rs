//! Asking beforehand: `explain`, `simulate`, `prove`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::admin::message::ClientNet;

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
