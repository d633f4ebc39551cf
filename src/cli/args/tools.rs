//! Tools of the operator: geo data, keys, certificates, bundles.

use std::path::PathBuf;

use clap::Subcommand;

use super::{ApiArgs, StatusArgs};

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
