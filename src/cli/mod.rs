//! The commands. The only room with `anyhow`: what went wrong is told to a person here.
//!
//! Exit codes: 0 fine, 1 problems found, 2 could not run.

#![forbid(unsafe_code)]

pub mod args;
mod bundle;
mod changes;
mod client;
mod demo;
mod everywhere;
mod explain;
mod files;
mod fleet;
mod geo;
pub mod health;
pub mod import;
mod key;
mod live;
mod losses;
mod offline;
mod once;
pub mod output;
mod pki;
pub mod probe;
mod prove;
mod serve;
mod simulate;
pub mod status;
pub mod story;

use std::process::ExitCode;

use clap::Parser;

use crate::admin::view::{CapacityView, CheckReport, LoadReport, OverrideView, Status};
use args::{Args, Command, GeoCommand, LoadArgs, OverrideArgs, ReleaseArgs, StatusArgs};
use client::Client;
use output::{BAD, complain, paint, print};
use probe::{ReportArgs, ReportState};

/// Problems were found: faults in files, a pool that is out.
const PROBLEMS: u8 = 1;
/// The command could not do its work.
const COULD_NOT_RUN: u8 = 2;

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let args = Args::parse();
    output::set_color(args.color);
    match run(args.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&chain(&error));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => files::check(args),
        Command::Explain(args) => explain::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Status(args) => tell_status(&args),
        Command::Health(args) => health::run(&args),
        Command::Drain(args) => set_override("drain", &args.order, args.wait),
        Command::Down(args) => set_override("down", &args.order, args.wait),
        Command::Up(args) => set_override("up", &args, false),
        Command::Release(args) => release(&args),
        Command::Resume(args) => changes::resume(&args),
        Command::Load(args) => report_load(&args),
        Command::Canary(args) => changes::canary(&args),
        Command::Switch(args) => changes::switch(&args),
        Command::Geo(GeoCommand::Build(args)) => geo::build(&args),
        Command::Key(command) => key::run(&command),
        Command::Pki(command) => pki::run(&command),
        Command::Bundle(command) => bundle::run(&command),
        Command::Probe(args) => probe::run(&args),
        Command::Report(args) => report_check(&args),
        Command::Import(args) => import::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}

/// An error with its causes, numbered.
fn chain(error: &anyhow::Error) -> String {
    let mut text = format!("{} {error}\n", paint(BAD, "error:"));
    for (at, cause) in error.chain().skip(1).enumerate() {
        text.push_str(&format!("  [{}] {cause}\n", at + 1));
    }
    text
}

fn tell_status(args: &StatusArgs) -> anyhow::Result<u8> {
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    let status: Status = client.get("/v1/status", &[])?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
    } else {
        print(&status::render(&status))?;
    }
    Ok(if status::has_problems(&status) { PROBLEMS } else { 0 })
}

fn report_load(args: &LoadArgs) -> anyhow::Result<u8> {
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    let report = LoadReport {
        target: args.target.clone(),
        load: args.load.0,
        errors: args.errors.map(|errors| errors.0),
        seconds: args.lasting.0.as_secs_f64(),
    };
    let all: Vec<CapacityView> = client.post("/v1/loads", &report)?;
    print(&status::capacity(&all))?;
    Ok(0)
}

fn report_check(args: &ReportArgs) -> anyhow::Result<u8> {
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    let report = CheckReport {
        check: args.check.clone(),
        up: args.state == ReportState::Up,
        seconds: args.lasting.0.as_secs_f64(),
        load: args.load.map(|load| load.0),
        errors: args.errors.map(|errors| errors.0),
        weight: args.weight.map(|weight| weight.0),
        reason: args.reason.clone(),
    };
    let CheckReport { check, seconds, .. } = client.post("/v1/reports", &report)?;
    print(&format!("{check}: reported for {seconds} s\n"))?;
    Ok(0)
}

fn set_override(state: &str, args: &OverrideArgs, wait: bool) -> anyhow::Result<u8> {
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    if args.everywhere.everywhere {
        let outcome = everywhere::set(&client, state, args)?;
        return if wait { changes::wait(&client, &args.target) } else { Ok(outcome) };
    }
    let wanted = OverrideView {
        target: args.target.clone(),
        area: args.area.clone(),
        state: state.to_owned(),
        reason: args.orderer.reason.clone(),
        by: args.orderer.by(),
        seconds_left: args.lasting.map(|lasting| lasting.0.as_secs()),
        begins_at: args.at.map(|at| at.0),
        force: args.force,
        ..OverrideView::default()
    };
    let all: Vec<OverrideView> = client.post("/v1/overrides", &wanted)?;
    print(&overrides(&all))?;
    if wait { changes::wait(&client, &args.target) } else { Ok(0) }
}

fn release(args: &ReleaseArgs) -> anyhow::Result<u8> {
    let mut of = vec![("target", &*args.target)];
    of.extend(args.area.as_deref().map(|area| ("area", area)));
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    if args.everywhere.everywhere {
        return everywhere::release(&client, args);
    }
    let all: Vec<OverrideView> = client.delete("/v1/overrides", &of)?;
    print(&overrides(&all))?;
    Ok(0)
}

fn overrides(all: &[OverrideView]) -> String {
    if all.is_empty() {
        return "no overrides in force\n".to_owned();
    }
    status::overrides(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_numbered() {
        let error = anyhow::anyhow!("connection refused").context("no daemon answers");
        let text = anstream::adapter::strip_str(&chain(&error)).to_string();
        assert_eq!(text, "error: no daemon answers\n  [1] connection refused\n");
    }
}
