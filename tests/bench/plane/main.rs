//! What the health plane takes: an agent that probes ten thousand members, and a node that hears
//! a hundred vantages.
//!
//! `cargo bench --bench plane` runs the binary on one core and everything around it on another:
//!
//! - `agent`: `meridian probe` over 10,000 members on loopback, each with an address of its own,
//!   every 2 s, over TCP and over HTTP, with its sealed report of all of them each second;
//! - `node`: `meridian serve` with 100 vantages of 1,000 checks each, every one connected over the
//!   direct bus and reporting each second; then members fail, one every 50 ms, and the first
//!   changed answers are waited for.
//!
//! Fails when probes come less often than they should, a report is refused, or an answer does not
//! follow. With a word it runs that part only; `--seconds N` is how long each part is watched.

mod agent;
mod node;
mod party;
mod process;
mod targets;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

/// How long each part is watched, unless told otherwise.
const WATCHED: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let mut watched = WATCHED;
    let mut parts = Vec::new();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let seconds = args.next().and_then(|seconds| seconds.parse().ok());
                watched = Duration::from_secs(seconds.expect("--seconds N"));
            }
            // What cargo says.
            "--bench" => {}
            _ => parts.push(arg),
        }
    }
    process::leave_a_core();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut is_well = true;
    if wants("agent") {
        println!("one agent, {} members every 2 s, on one core", agent::MEMBERS);
        println!(
            "{:6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>12} {:>9}",
            "", "probes/s", "of wanted", "core %", "µs/probe", "lag ms", "report KiB", "RSS MiB"
        );
        for kind in [targets::Kind::Tcp, targets::Kind::Http] {
            is_well &= agent::run(kind, watched);
        }
    }
    if wants("node") {
        is_well &= node::run(watched);
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
