//! `meridian simulate`: the world's clients through the tables, as a table, as data, as a map.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::Style;
use anyhow::{Context, bail};
use serde::Serialize;

use super::args::{AddressType, Format, SimulateArgs};
use super::live::Live;
use super::offline::{self, Progress};
use super::output::{BAD, FAINT, HEAD, WARN, paint, print, table};
use crate::geo::census::{Clients, Weighted};
use crate::plan::outcome::DRAWS;
use crate::plan::report::{Distance, PerFamily, Report, Row};
use crate::plan::simulate::{Load, Options, PoolLoad, Side, Simulator, read_clients};
use crate::plan::suppose::{Supposed, Supposition, all_up};
use crate::plan::traffic::Rates;
use crate::region::Family;
use crate::snapshot::Snapshot;
use crate::steer::record::Record;

const PLAIN: Style = Style::new();
/// Flows that are told; the rest is in the data.
const FLOWS_TOLD: usize = 12;

pub(super) fn run(args: &SimulateArgs) -> anyhow::Result<u8> {
    if args.svg.is_some() && args.format == Format::Svg {
        bail!("--svg FILE and --format svg are the same map: choose one");
    }
    let mut progress = Progress::new(args.timing);
    let clients = args.clients.as_deref().map(clients).transpose()?;
    let supposed =
        offline::suppositions(&[(&args.fail, "down"), (&args.drain, "drain")], &args.what_if)?;
    let (mut loader, path) = offline::loader(args.config.as_deref());
    let today = match offline::compile(&mut loader, &mut progress)? {
        Ok(snapshot) => snapshot,
        Err(code) => return Ok(code),
    };
    let changed = match &args.change {
        None => None,
        Some(folder) => {
            loader.turn_to(folder.clone());
            match offline::compile(&mut loader, &mut progress)? {
                Ok(snapshot) => Some(snapshot),
                Err(code) => return Ok(code),
            }
        }
    };
    let live = args.live.then(|| Live::ask(args.api.as_deref(), &path)).transpose()?;
    let health = |snapshot: &Snapshot| match &live {
        Some(live) => live.health(snapshot),
        None => all_up(&snapshot.pools, snapshot.areas.len()),
    };
    let next = changed.as_ref().unwrap_or(&today);
    let (before, now) = (health(&today), health(next));
    Supposed::of(&supposed, next)?.apply(&now, &next.pools);
    let compares = changed.is_some() || !supposed.is_empty();
    let before = compares.then_some(Side { snapshot: &today, table: &before });
    let now = Side { snapshot: next, table: &now };
    let wants_map = args.svg.is_some() || args.format == Format::Svg;
    let options = Options {
        family: if args.rtype == AddressType::A { Family::V4 } else { Family::V6 },
        clients: clients.as_deref().map_or(Clients::World, Clients::Listed),
        unknown: args.unknown,
        dots: wants_map,
    };
    let records = offline::records(next, &args.names)?;
    let mut simulator = Simulator::new(before, now, options);
    let asked: Vec<&Record> = records.iter().map(|(_, record)| *record).collect();
    if let Some(live) = &live {
        simulator.set(live.setting(&today), live.setting(next));
    }
    let rates = match &args.rate[..] {
        [] => live.as_ref().and_then(Live::rates).map(|rates| (rates, true)),
        texts => Some((Rates::new(texts, asked.iter().map(|record| &record.owner))?, false)),
    };
    let load = rates.map(|(rates, is_measured)| {
        progress.step(0.55, "moving clients on from pools at capacity");
        let measured = live.as_ref().filter(|_| is_measured);
        let measured = measured.map(|live| live.measured(&today));
        let load = simulator.load(&asked, &rates, measured.as_ref());
        progress.took("capacity");
        load
    });
    let mut reports = Vec::with_capacity(records.len());
    for (at, (_, record)) in records.iter().enumerate() {
        let done = 0.6 + 0.4 * at as f64 / records.len() as f64;
        progress.step(done, &record.owner.to_string());
        reports.extend(simulator.run(record));
    }
    if reports.is_empty() {
        bail!("none of these records steers {}", type_name(args.rtype));
    }
    progress.took("clients");
    progress.finish();
    let heading = heading(&supposed, args);
    if wants_map {
        let [report] = &reports[..] else {
            bail!("a map shows one record, and these are {}: name one", reports.len());
        };
        let drawn = crate::plan::draw::map(report, &heading);
        match &args.svg {
            None => {
                print(&drawn)?;
                return Ok(0);
            }
            Some(file) => std::fs::write(file, &drawn)
                .with_context(|| format!("cannot write {}", file.display()))?,
        }
    }
    if args.format == Format::Json {
        let told = Told { records: &reports, load: load.as_ref() };
        print(&format!("{}\n", serde_json::to_string_pretty(&told)?))?;
    } else {
        let mut told: Vec<String> = reports.iter().map(|report| tell(report, &heading)).collect();
        told.extend(load.as_ref().map(tell_load));
        print(&told.join("\n"))?;
    }
    Ok(0)
}

/// All that is told, as data.
#[derive(Serialize)]
struct Told<'r> {
    records: &'r [Report],
    load: Option<&'r Load>,
}

const fn type_name(rtype: AddressType) -> &'static str {
    match rtype {
        AddressType::A => "A",
        AddressType::Aaaa => "AAAA",
    }
}

fn clients(file: &Path) -> anyhow::Result<Vec<Weighted>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    read_clients(&text).map_err(|faults| {
        let told: Vec<String> =
            faults.iter().take(20).map(|fault| format!("{}: {fault}", file.display())).collect();
        anyhow::anyhow!("{}", told.join("\n       "))
    })
}

/// What is compared, in words; empty where nothing is.
fn heading(supposed: &[Supposition], args: &SimulateArgs) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(folder) = &args.change {
        parts.push(format!("with {}", folder.display()));
    }
    parts.extend(supposed.iter().map(|s| {
        let area = s.area.as_ref().map_or_else(String::new, |area| format!(" for {area}"));
        format!("{} {}{area}", s.target, s.state.word())
    }));
    parts.join(", ")
}

fn tell(report: &Report, heading: &str) -> String {
    let mut out = format!("{} {}", paint(HEAD, &report.record), paint(HEAD, report.rtype));
    match (heading.is_empty(), report.is_new) {
        (true, _) => out.push('\n'),
        (false, false) => out.push_str(&format!(": today → {heading}\n")),
        (false, true) => out.push_str(&format!(": new {heading}\n")),
    }
    out.push_str(&paint(FAINT, format_args!("  {}\n", method(report))));
    let moved = report.moved.is_some();
    let mut rows = vec![titles(report)];
    rows.extend(report.pools.iter().map(|pool| row(pool, report, moved)));
    if !report.regions.is_empty() {
        rows.extend(report.regions.iter().map(|region| row(region, report, moved)));
    }
    let mut all = vec![(HEAD, "all".to_owned()), (PLAIN, String::new())];
    all.extend([(PLAIN, String::new()), (PLAIN, String::new())]);
    if report.pools.iter().any(|pool| pool.queries_per_second.is_some()) {
        all.push((PLAIN, String::new()));
    }
    all.extend(distance(&report.all, report.all_before.as_ref()));
    rows.push(all);
    out.push_str(&table(2, &rows));
    if let Some(moved) = &report.moved {
        let share = &moved.share;
        let style = if share.ipv4 + share.ipv6 > 0.0 { WARN } else { PLAIN };
        let text = format!("  moved: {}\n", both(share));
        out.push_str(&paint(style, text));
        let flows = moved.flows.iter().take(FLOWS_TOLD);
        let rows: Vec<_> = flows
            .map(|flow| {
                vec![
                    (PLAIN, format!("{} → {}", flow.from, flow.to)),
                    (PLAIN, per_cent(flow.share.ipv4)),
                    (PLAIN, per_cent(flow.share.ipv6)),
                ]
            })
            .collect();
        out.push_str(&table(4, &rows));
        if moved.flows.len() > FLOWS_TOLD {
            let more = moved.flows.len() - FLOWS_TOLD;
            let _ = writeln!(out, "    and {more} smaller (--format json tells all)");
        }
    }
    out
}

/// What pools get, and who is sent on.
fn tell_load(load: &Load) -> String {
    let mut out = format!("{}\n", paint(HEAD, "load of pools, all records together"));
    if load.pools.is_empty() {
        return format!("{out}  no pool of these records has a capacity: each takes everybody\n");
    }
    let titles = ["pool", "region", "queries/s", "if it took all", "target", "max", "load", ""];
    let mut rows = vec![titles.map(|title| (FAINT, title.to_owned())).to_vec()];
    rows.extend(load.pools.iter().map(load_row));
    out.push_str(&table(2, &rows));
    if load.spilled.is_empty() {
        out.push_str("  nobody is sent on\n");
        return out;
    }
    let sum: f64 = load.spilled.iter().map(|flow| flow.queries_per_second).sum();
    let part = if load.queries_per_second > 0.0 { sum / load.queries_per_second } else { 0.0 };
    let text = format!("  sent on: {} queries/s, {}\n", grouped(sum), per_cent(part));
    out.push_str(&paint(WARN, text));
    let flows = load.spilled.iter().take(FLOWS_TOLD);
    let rows: Vec<_> = flows
        .map(|flow| {
            let way = format!("{} → {}", flow.from, flow.to);
            vec![(PLAIN, way), (PLAIN, grouped(flow.queries_per_second))]
        })
        .collect();
    out.push_str(&table(4, &rows));
    if load.spilled.len() > FLOWS_TOLD {
        let more = load.spilled.len() - FLOWS_TOLD;
        let _ = writeln!(out, "    and {more} smaller (--format json tells all)");
    }
    out
}

fn load_row(pool: &PoolLoad) -> Vec<(Style, String)> {
    let rate = grouped(pool.queries_per_second);
    let moves = |before: &f64| (before - pool.queries_per_second).abs() >= 0.5;
    let rate = match pool.before.filter(moves) {
        Some(before) => (WARN, format!("{} → {rate}", grouped(before))),
        None => (PLAIN, rate),
    };
    let style = match pool.state {
        "room" => PLAIN,
        "at capacity" => WARN,
        _ => BAD,
    };
    let bound = |bound: Option<f64>| (PLAIN, bound.map_or_else(|| "-".to_owned(), grouped));
    let part = pool.capacity.map(|capacity| per_cent(pool.queries_per_second / capacity));
    let state = if pool.state == "room" { String::new() } else { pool.state.to_owned() };
    vec![
        (PLAIN, pool.pool.clone()),
        (FAINT, pool.region.clone()),
        rate,
        (PLAIN, grouped(pool.wanted)),
        bound(pool.target),
        bound(pool.max),
        (style, part.unwrap_or_else(|| "-".to_owned())),
        (style, state),
    ]
}

/// How was counted.
fn method(report: &Report) -> String {
    let PerFamily { ipv4, ipv6 } = report.clients;
    let mut text = format!("{} IPv4 /24s, {} IPv6 /48s", grouped(ipv4), grouped(ipv6));
    if report.left_out > 0.0 {
        let left_out = grouped(report.left_out);
        let _ = write!(text, "; left out, nobody's or of unknown place: {left_out} /24s");
    }
    if let Some(samples) = report.sampled {
        let _ = write!(text, "; by {} networks of each family", grouped(samples as f64));
    }
    if !report.exact {
        let _ = write!(text, "; some shares by {DRAWS} draws or fewer, the same each time");
    }
    text
}

fn titles(report: &Report) -> Vec<(Style, String)> {
    let rate = report.pools.iter().any(|pool| pool.queries_per_second.is_some());
    let titles = ["pool", "region", "IPv4", "IPv6"].into_iter();
    let titles = titles.chain(rate.then_some("queries/s"));
    let titles = titles.chain(["mean km", "p95 km", "worst km"]);
    titles.map(|title| (FAINT, title.to_owned())).collect()
}

fn row(row: &Row, _report: &Report, compares: bool) -> Vec<(Style, String)> {
    let share = |of: fn(&PerFamily) -> f64| match (&row.before, compares) {
        (Some(before), true) if (of(before) - of(&row.share)).abs() >= 5e-5 => {
            (WARN, format!("{} → {}", per_cent(of(before)), per_cent(of(&row.share))))
        }
        _ => (PLAIN, per_cent(of(&row.share))),
    };
    let region = row.region.clone().unwrap_or_else(|| "-".to_owned());
    let name = if row.pool.is_empty() { format!("all of {region}") } else { row.pool.clone() };
    let style = if row.region.is_some() { PLAIN } else { WARN };
    let mut cells = vec![(style, name), (FAINT, region)];
    cells.extend([share(|share| share.ipv4), share(|share| share.ipv6)]);
    cells.extend(row.queries_per_second.map(|rate| match row.capacity {
        Some(capacity) if rate > capacity => {
            (BAD, format!("{} of {}", grouped(rate), grouped(capacity)))
        }
        Some(capacity) => (PLAIN, format!("{} of {}", grouped(rate), grouped(capacity))),
        None => (PLAIN, grouped(rate)),
    }));
    cells.extend(distance(&row.distance, None));
    cells
}

fn distance(now: &Distance, before: Option<&Distance>) -> [(Style, String); 3] {
    let show = |of: fn(&Distance) -> Option<f64>| {
        let text = |km: Option<f64>| km.map_or_else(|| "-".to_owned(), grouped);
        match before {
            Some(before) if of(before) != of(now) => {
                (WARN, format!("{} → {}", text(of(before)), text(of(now))))
            }
            _ => (PLAIN, text(of(now))),
        }
    };
    let mut worst = show(|distance| distance.worst_km);
    if let Some(place) = &now.worst_place {
        worst.1.push_str(&format!(" {place}"));
    }
    [show(|distance| distance.mean_km), show(|distance| distance.p95_km), worst]
}

fn both(share: &PerFamily) -> String {
    format!("{} of IPv4 clients, {} of IPv6", per_cent(share.ipv4), per_cent(share.ipv6))
}

/// A part of one in per cent.
fn per_cent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// A number with commas between thousands.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && digit != '-' {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_groups() {
        let told: Vec<_> = [0.4, 7.0, 999.6, 12_345.0, 1e6].into_iter().map(grouped).collect();
        assert_eq!(told, ["0", "7", "1,000", "12,345", "1,000,000"]);
    }
}
