//! `meridian canary`, `switch`, and waiting for a drain to be over.

use std::time::{Duration, Instant};

use anstyle::Style;
use anyhow::bail;

use super::args::{ApiArgs, CanaryArgs, Orderer, ResumeArgs, Side, SwitchArgs};
use super::client::Client;
use super::output::{BAD, FAINT, GOOD, HEAD, WARN, lasting, print, table};
use crate::admin::view::{ChangeOrder, ChangeView, DrainView, PoolView, ResumeOrder};
use crate::health::persist::rfc3339;

const PLAIN: Style = Style::new();
/// Between two lines while a drain is waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A drain that is not seen by then is overruled by another override.
const COUNTED_AFTER: Duration = Duration::from_secs(10);
/// Pools that have been empty for longer are no news.
const DRAINED_IS_NEWS: u64 = 86_400;

/// `canary`.
pub(super) fn canary(args: &CanaryArgs) -> anyhow::Result<u8> {
    let order = args.order.as_str();
    order_and_tell(&args.record, order, &args.orderer, args.force, &args.api)
}

/// `switch`.
pub(super) fn switch(args: &SwitchArgs) -> anyhow::Result<u8> {
    let order = args.side.map_or("back", Side::as_str);
    order_and_tell(&args.record, order, &args.orderer, args.force, &args.api)
}

/// `resume`.
pub(super) fn resume(args: &ResumeArgs) -> anyhow::Result<u8> {
    let client = Client::new(args.api.api.as_deref(), args.api.config.as_deref())?;
    let (reason, by) = (args.orderer.reason.clone(), args.orderer.by());
    let order = ResumeOrder { target: args.target.clone(), reason, by };
    let pools: Vec<String> = client.post("/v1/resume", &order)?;
    for pool in pools {
        print(&format!("clients may come back to {pool}\n"))?;
    }
    Ok(0)
}

fn order_and_tell(
    record: &str,
    order: &str,
    orderer: &Orderer,
    force: bool,
    api: &ApiArgs,
) -> anyhow::Result<u8> {
    let client = Client::new(api.api.as_deref(), api.config.as_deref())?;
    let order = ChangeOrder {
        record: record.to_owned(),
        order: order.to_owned(),
        reason: orderer.reason.clone(),
        by: orderer.by(),
        force,
    };
    let change: ChangeView = client.post("/v1/changes", &order)?;
    print(&changes(&[change]))?;
    Ok(0)
}

/// Waits until no answer of a target lives any longer.
pub(super) fn wait(client: &Client, target: &str) -> anyhow::Result<u8> {
    let begun = Instant::now();
    let mut told: Option<Instant> = None;
    loop {
        let drains: Vec<DrainView> = client.get("/v1/drains", &[("target", target)])?;
        let serving = drains.iter().find(|drain| drain.serving);
        // An order takes effect at once, and is counted a moment later.
        if let Some(pool) = serving.filter(|_| begun.elapsed() > COUNTED_AFTER) {
            bail!("clients are sent to pool {}@{}", pool.pool, pool.zone);
        }
        let all = sum(target, &drains);
        let is_over = serving.is_none() && all.drained && all.sure;
        let is_due = told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if is_over || (serving.is_none() && is_due) {
            print(&format!("{target}: {}\n", progress(&all)))?;
            told = Some(Instant::now());
        }
        if is_over {
            return Ok(0);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Canaries and switches as a table; nothing when there are none.
pub(super) fn changes(all: &[ChangeView]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let head = ["change", "record", "stands", "new side", "share", "next", "by", "reason"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    for change in all {
        let style = match &*change.stands {
            "aborted" => BAD,
            "paused" | "running" => WARN,
            "done" => GOOD,
            _ => PLAIN,
        };
        let next = match (change.next_in_seconds, &*change.note) {
            (Some(seconds), "") => format!("in {}", lasting(Duration::from_secs(seconds))),
            (_, note) => note.to_owned(),
        };
        rows.push(vec![
            (PLAIN, change.kind.clone()),
            (PLAIN, change.record.clone()),
            (style, stands(change)),
            (PLAIN, change.pools.join(" ")),
            (PLAIN, percent(change.share)),
            (FAINT, next),
            (PLAIN, change.by.clone()),
            (PLAIN, change.reason.clone()),
        ]);
    }
    format!("\n{}", table(0, &rows))
}

fn stands(change: &ChangeView) -> String {
    match (change.step, &*change.stands) {
        (Some(step), "running" | "paused" | "aborted") => {
            format!("{} at step {step} of {}", change.stands, change.steps.len())
        }
        _ => change.stands.clone(),
    }
}

/// Pools that are emptied, as a table; nothing when there are none. Where all `pools` of a region
/// are, a line tells of the region.
pub(super) fn drains(all: &[DrainView], pools: &[PoolView]) -> String {
    let is_news = |drain: &&DrainView| !drain.drained || drain.seconds < DRAINED_IS_NEWS;
    let news: Vec<&DrainView> = all.iter().filter(is_news).collect();
    if news.is_empty() {
        return String::new();
    }
    let head = ["emptied", "region", "for", "answers"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    let mut regions: Vec<&str> = news.iter().map(|drain| &*drain.region).collect();
    regions.sort_unstable();
    regions.dedup();
    for region in regions {
        let of: Vec<DrainView> =
            all.iter().filter(|drain| drain.region == region).cloned().collect();
        let has = pools.iter().filter(|pool| pool.region == region).count();
        if of.len() > 1 && of.len() == has {
            rows.push(row(&sum("all pools", &of), "all pools"));
        }
        for drain in of {
            let name = format!("{}@{}", drain.pool, drain.zone);
            rows.push(row(&drain, &name));
        }
    }
    format!("\n{}", table(0, &rows))
}

fn row(drain: &DrainView, name: &str) -> Vec<(Style, String)> {
    let style = if drain.drained && drain.sure { GOOD } else { WARN };
    vec![
        (PLAIN, name.to_owned()),
        (PLAIN, drain.region.clone()),
        (FAINT, lasting(Duration::from_secs(drain.seconds))),
        (style, progress(drain)),
    ]
}

/// Several pools as one.
fn sum(name: &str, drains: &[DrainView]) -> DrainView {
    DrainView {
        pool: name.to_owned(),
        zone: String::new(),
        region: drains.first().map_or_else(String::new, |drain| drain.region.clone()),
        seconds: drains.iter().map(|drain| drain.seconds).min().unwrap_or(0),
        before: drains.iter().map(|drain| drain.before).sum(),
        alive: drains.iter().map(|drain| drain.alive).sum(),
        drained: drains.iter().all(|drain| drain.drained),
        at: drains.iter().map(|drain| drain.at).max().unwrap_or(0),
        sure: drains.iter().all(|drain| drain.sure),
        serving: drains.iter().any(|drain| drain.serving),
    }
}

/// How far a pool is emptied: `drained at 12:04:30 UTC, 0.3 % of answers still alive`.
fn progress(drain: &DrainView) -> String {
    let at = time_of_day(drain.at);
    if !drain.sure {
        return format!("older than this process, gone by {at}");
    }
    if drain.drained {
        return format!("drained at {at}");
    }
    let share = drain.alive as f64 / drain.before.max(1) as f64;
    format!("drained at {at}, {} of answers still alive", percent(share))
}

fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

/// `12:04:30 UTC`.
fn time_of_day(seconds: u64) -> String {
    let text = rfc3339(seconds).unwrap_or_default();
    let time = text.split_once('T').map_or(&*text, |(_, time)| time);
    format!("{} UTC", time.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(pool: &str, before: u64, alive: u64) -> DrainView {
        DrainView {
            pool: pool.to_owned(),
            zone: "example.org.".to_owned(),
            region: "fra".to_owned(),
            seconds: 20,
            before,
            alive,
            drained: alive == 0,
            at: 12 * 3600 + 4 * 60 + 30,
            sure: true,
            serving: false,
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_drain_tells_when_it_is_over_and_what_still_lives() {
        let told = "drained at 12:04:30 UTC, 0.3 % of answers still alive";
        assert_eq!(progress(&drain("fra", 1000, 3)), told);
        assert_eq!(progress(&drain("fra", 1000, 0)), "drained at 12:04:30 UTC");
        let unsure = DrainView { sure: false, ..drain("fra", 0, 0) };
        assert_eq!(progress(&unsure), "older than this process, gone by 12:04:30 UTC");
    }

    #[test]
    fn a_region_whose_pools_are_all_emptied_has_a_line_of_its_own() {
        let view = |pool: &str| PoolView {
            pool: pool.to_owned(),
            region: "fra".to_owned(),
            ..PoolView::default()
        };
        let both = [drain("web", 100, 50), drain("api", 300, 0)];
        let text = plain(&drains(&both, &[view("web"), view("api")]));
        assert!(
            text.contains("all pools         fra     20 s  drained at 12:04:30 UTC, 12.5 %"),
            "{text}"
        );
        assert!(
            text.contains("api@example.org.  fra     20 s  drained at 12:04:30 UTC\n"),
            "{text}"
        );
        let text = plain(&drains(&both, &[view("web"), view("api"), view("mail")]));
        assert!(!text.contains("all pools"), "{text}");
        let old = DrainView { seconds: 2 * DRAINED_IS_NEWS, ..drain("api", 300, 0) };
        assert_eq!(drains(&[old], &[view("api")]), "");
    }

    #[test]
    fn a_canary_tells_its_step_and_what_it_waits_for() {
        let change = ChangeView {
            record: "www.example.org.".to_owned(),
            kind: "canary".to_owned(),
            stands: "running".to_owned(),
            pools: vec!["dub".to_owned()],
            share: 0.1,
            step: Some(2),
            steps: vec![0.05, 0.1, 1.0],
            next_in_seconds: Some(600),
            by: "ops".to_owned(),
            reason: "release 7".to_owned(),
            ..ChangeView::default()
        };
        let text = plain(&changes(std::slice::from_ref(&change)));
        let row = "canary  www.example.org.  running at step 2 of 3  dub       10 %   in 10 min 0 s  ops  release 7";
        assert!(text.contains(row), "{text}");
        let held = ChangeView { note: "safety.max_shift is used up".to_owned(), ..change };
        assert!(plain(&changes(&[held])).contains("safety.max_shift is used up"));
    }
}
