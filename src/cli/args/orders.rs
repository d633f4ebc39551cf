//! Orders to a running daemon: overrides, loads, canaries, switches.

use std::path::PathBuf;

use clap::ValueEnum;

use super::ApiArgs;
use super::values::{At, Lasting, Percent};

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
    /// Where.
    #[command(flatten)]
    pub everywhere: EverywhereArgs,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Whether an order is for one node, or for all of them.
#[derive(Debug, clap::Args)]
pub struct EverywhereArgs {
    /// Order it on all nodes: signed, told over the bus, and kept for those who are away.
    #[arg(long, requires_all = ["key", "signer"])]
    pub everywhere: bool,
    /// The file of the operator's key.
    #[arg(long, value_name = "FILE", requires = "everywhere")]
    pub key: Option<PathBuf>,
    /// What the operator is called in the nodes' `[orders]` operators.
    #[arg(long = "as", value_name = "NAME", requires = "everywhere")]
    pub signer: Option<String>,
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
    /// Why; with --everywhere, for those who look later.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "everywhere")]
    pub reason: String,
    /// Where.
    #[command(flatten)]
    pub everywhere: EverywhereArgs,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}
