//! `meridian health`: members by vantages, for whoever asks at three in the morning why a region
//! is out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anstyle::Style;

use super::args::ApiArgs;
use super::client::Client;
use super::output::{BAD, FAINT, GOOD, HEAD, WARN, lasting, paint, print, table};
use crate::admin::health::{CheckView, HealthView, VantageView, VoteView};
use crate::health::persist::rfc3339;

const PLAIN: Style = Style::new();
/// What the command returns where somebody should look.
const PROBLEMS: u8 = 1;

/// `health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// Only checks whose key (MONITOR@TARGET) holds this.
    #[arg(value_name = "CHECK")]
    pub check: Option<String>,
    /// The same as data.
    #[arg(long)]
    pub json: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// Asks the daemon and tells.
///
/// # Errors
/// When no daemon answers.
pub(super) fn run(args: &HealthArgs) -> anyhow::Result<u8> {
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    let mut health: HealthView = client.get("/v1/health", &[])?;
    if let Some(wanted) = &args.check {
        keep(&mut health.checks, wanted);
    }
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&health)?))?;
    } else {
        print(&render(&health))?;
    }
    Ok(if has_problems(&health) { PROBLEMS } else { 0 })
}

/// Keeps checks whose key holds `wanted`, and what they are made of.
fn keep(checks: &mut Vec<CheckView>, wanted: &str) {
    let is_named = |check: &CheckView| check.key.contains(wanted);
    let mut kept: HashSet<String> =
        checks.iter().filter(|check| is_named(check)).map(|check| check.key.clone()).collect();
    // Composites stand behind their parts.
    for check in checks.iter().rev().filter(|check| !check.parts.is_empty()) {
        if kept.contains(&check.key) {
            kept.extend(check.parts.iter().cloned());
        }
    }
    checks.retain(|check| kept.contains(&check.key));
}

/// Checks as they are listed, each composite with its parts below it, and how far below.
fn listed(checks: &[CheckView]) -> Vec<(usize, &CheckView)> {
    let parts: HashSet<&String> = checks.iter().flat_map(|check| &check.parts).collect();
    let by_key: HashMap<&String, &CheckView> =
        checks.iter().map(|check| (&check.key, check)).collect();
    let mut listed = Vec::new();
    for check in checks.iter().filter(|check| !parts.contains(&check.key)) {
        let mut waiting = vec![(0, check)];
        while let Some((depth, check)) = waiting.pop() {
            listed.push((depth, check));
            let parts = check.parts.iter().rev().filter_map(|part| by_key.get(part));
            waiting.extend(parts.map(|part| (depth + 1, *part)));
        }
    }
    listed
}

/// True when somebody should look: something is out or held, or a vantage has no vote.
fn has_problems(health: &HealthView) -> bool {
    health.held > 0
        || health.checks.iter().any(|check| !serves(&check.verdict))
        || health.vantages.iter().any(|vantage| vantage.state != "votes")
}

fn serves(verdict: &str) -> bool {
    matches!(verdict, "up" | "degraded" | "unknown")
}

/// The whole report.
fn render(health: &HealthView) -> String {
    let mut out = headline(health);
    out.push_str(&matrix(health));
    out.push_str(&reasons(&health.checks));
    if health.vantages.is_empty() {
        return out;
    }
    out.push_str(&vantages(&health.vantages));
    if !health.strangers.is_empty() {
        let told: Vec<String> =
            health.strangers.iter().map(|(why, count)| format!("{count} {why}")).collect();
        out.push_str(&paint(WARN, format_args!("refused of nobody known: {}\n", told.join(", "))));
    }
    out
}

fn headline(health: &HealthView) -> String {
    let voters = health.vantages.iter().filter(|vantage| vantage.state == "votes").count();
    let out = health.checks.iter().filter(|check| !serves(&check.verdict)).count();
    let style = if out > 0 || health.held > 0 { BAD } else { GOOD };
    let mut text = format!("{out} of {} checks out", health.checks.len());
    if health.held > 0 {
        text.push_str(&format!(", {} HELD as they were", health.held));
    }
    let of = health.vantages.len();
    if of == 0 {
        return format!("{}; this node's own prober decides alone\n\n", paint(style, text));
    }
    let needed = health.voters_needed;
    let voting = format!("; {voters} of {of} vantages vote, {needed} are needed");
    format!("{}{voting}\n\n", paint(style, text))
}

/// Members by vantages.
fn matrix(health: &HealthView) -> String {
    let mut head = vec![(HEAD, "check".to_owned()), (HEAD, "verdict".to_owned())];
    head.push((HEAD, "since".to_owned()));
    head.extend(
        health.vantages.iter().map(|vantage| {
            (if vantage.state == "votes" { HEAD } else { WARN }, vantage.name.clone())
        }),
    );
    let mut rows = vec![head];
    for (depth, check) in listed(&health.checks) {
        let style = match (&*check.verdict, &check.held) {
            (_, Some(_)) => WARN,
            ("up", _) => GOOD,
            ("degraded" | "unknown" | "draining" | "maintenance", _) => WARN,
            _ => BAD,
        };
        let held = if check.held.is_some() { ", held" } else { "" };
        let since = lasting(Duration::from_secs_f64(check.since_s.max(0.0)));
        let of = check.need.map(|need| format!(" ({need} of {})", check.parts.len()));
        let key = format!("{}{}{}", "  ".repeat(depth), check.key, of.unwrap_or_default());
        let mut row = vec![(PLAIN, key), (style, format!("{}{held}", check.verdict))];
        row.push((PLAIN, since));
        let votes = check.votes.iter().zip(&health.vantages);
        row.extend(votes.map(|(vote, vantage)| cell(vote, vantage)));
        rows.push(row);
    }
    table(0, &rows)
}

fn cell(vote: &VoteView, vantage: &VantageView) -> (Style, String) {
    match (&*vantage.state, &*vote.vote) {
        ("never" | "silent", _) | (_, "unknown") => (FAINT, "·".to_owned()),
        ("suspect", word) => (FAINT, format!("({word})")),
        (_, "up") => (GOOD, format!("up {:.0} ms", vote.latency_ms)),
        (_, word) => (BAD, word.to_owned()),
    }
}

/// Why, where something is out of the ordinary.
fn reasons(checks: &[CheckView]) -> String {
    let mut out = String::new();
    for check in checks {
        if check.verdict != "up" || check.held.is_some() {
            out.push_str(&format!("  {}: {}\n", check.key, check.why));
        }
        if let Some(damped) = check.damped_s {
            out.push_str(&format!("  {}: {}\n", check.key, damping(check, damped)));
        }
        for (area, (verdict, why)) in &check.areas {
            out.push_str(&format!("  {} for area {area}: {verdict}, {why}\n", check.key));
        }
    }
    if out.is_empty() { "\n".to_owned() } else { format!("\n{}\n{out}\n", paint(HEAD, "why")) }
}

/// Until when it is held down for having fallen too often, and by whom.
fn damping(check: &CheckView, damped_s: f64) -> String {
    let ends = crate::daemon::wall().saturating_add(damped_s.ceil() as u64);
    let until = rfc3339(ends).unwrap_or_default();
    let of = check.votes.len();
    let by = check.votes.iter().filter(|vote| vote.damped_s.is_some()).count();
    let by = if of == 0 { String::new() } else { format!(" by {by} of {of} vantages") };
    format!("it flaps; damped until {until} at the least{by}")
}

fn vantages(vantages: &[VantageView]) -> String {
    let titles = ["vantage", "group", "area", "state", "report", "missed", "refused", ""];
    let mut rows = vec![titles.map(|title| (HEAD, title.to_owned())).to_vec()];
    for vantage in vantages {
        let style = match &*vantage.state {
            "votes" => GOOD,
            "suspect" => WARN,
            _ => BAD,
        };
        let age = vantage.age_s.map(|age| format!("{age:.1} s ago"));
        let age = age.unwrap_or_else(|| "none yet".to_owned());
        let refused: u64 = vantage.refused.values().sum();
        let own = if vantage.own { "this node" } else { "" };
        let name = vantage.name.clone();
        rows.push(vec![
            (PLAIN, name),
            (PLAIN, vantage.group.clone()),
            (PLAIN, vantage.area.clone().unwrap_or_default()),
            (style, vantage.state.clone()),
            (PLAIN, age),
            (PLAIN, vantage.missed.to_string()),
            (if refused > 0 { WARN } else { PLAIN }, refused.to_string()),
            (PLAIN, vantage.why.clone().unwrap_or_else(|| own.to_owned())),
        ]);
    }
    table(0, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, parts: &[&str]) -> CheckView {
        CheckView {
            key: key.to_owned(),
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
            ..CheckView::default()
        }
    }

    fn checks() -> Vec<CheckView> {
        vec![
            check("tcp@a", &[]),
            check("web@a", &[]),
            check("dns@b", &[]),
            check("both@a", &["tcp@a", "web@a"]),
            check("all@a", &["both@a", "tcp@a"]),
        ]
    }

    #[test]
    fn parts_stand_below_what_they_are_parts_of() {
        let checks = checks();
        let told: Vec<String> =
            listed(&checks).iter().map(|(depth, of)| format!("{depth} {}", of.key)).collect();
        assert_eq!(told, ["0 dns@b", "0 all@a", "1 both@a", "2 tcp@a", "2 web@a", "1 tcp@a"]);
    }

    #[test]
    fn a_member_that_flaps_is_told_with_until_when_and_by_whom() {
        let vote = |damped_s| VoteView { damped_s, ..VoteView::default() };
        let votes = vec![vote(Some(3.0)), vote(None), vote(Some(90.0))];
        let check = CheckView { votes, ..check("web@a", &[]) };
        let before = crate::daemon::wall() + 90;
        let told = damping(&check, 90.0);
        let time = told.strip_prefix("it flaps; damped until ").expect("said first");
        let (time, by) = time.split_once(' ').expect("more follows");
        let time = crate::health::persist::parse_rfc3339(time).expect("a time");
        assert!((before..before + 5).contains(&time), "{told}");
        assert_eq!(by, "at the least by 2 of 3 vantages");
    }

    #[test]
    fn what_is_asked_for_comes_with_its_parts() {
        let kept = |wanted: &str| {
            let mut checks = checks();
            keep(&mut checks, wanted);
            checks.into_iter().map(|check| check.key).collect::<Vec<_>>()
        };
        assert_eq!(kept("both@"), ["tcp@a", "web@a", "both@a"]);
        assert_eq!(kept("all@"), ["tcp@a", "web@a", "both@a", "all@a"]);
        assert_eq!(kept("dns"), ["dns@b"]);
    }
}
