//! `meridian status`: how the daemon is, readable at three in the morning.

use std::time::Duration;

use anstyle::Style;

use super::output::{BAD, FAINT, GOOD, HEAD, WARN, lasting, paint, table};
use super::{changes, fleet};
use crate::admin::view::{
    AliasView, AreaView, CapacityView, FamilyView, HeavyView, OverrideView, PoolView,
    ReturningView, Status, TlsView,
};
use crate::health::persist::rfc3339;

const PLAIN: Style = Style::new();
/// GeoIP data older than this moves answers to the wrong place often enough to say so.
const GEO_AGE_WORTH_A_WORD: Duration = Duration::from_secs(60 * 86_400);

/// Certificates are renewed long before; this close to its end nobody did.
const EXPIRY_WORTH_A_WARNING: Duration = Duration::from_secs(14 * 86_400);

/// Networks held back that are shown; `--json` has more.
const NETWORKS_SHOWN: usize = 10;

/// The whole report: what is wrong first, then everything.
pub fn render(status: &Status) -> String {
    let mut out = headline(status);
    out.push_str(&reload(status));
    out.push_str(&fleet::render(status));
    out.push_str(&rate_limit(status));
    out.push_str(&regions(status));
    out.push_str(&capacity(&status.capacity));
    out.push_str(&answers(status));
    out.push_str(&returning(&status.returning));
    out.push_str(&aliases(&status.aliases));
    out.push_str(&overrides(&status.overrides));
    out.push_str(&changes::changes(&status.changes));
    out.push_str(&changes::drains(&status.drains, &status.pools));
    out.push_str(&geo(status));
    out.push_str(&zones(status));
    out
}

/// True when an operator should look: something is out, refused, aborted, or not served.
pub fn has_problems(status: &Status) -> bool {
    !status.ready
        || status.reload.outcome == "refused"
        || status.geo.iter().any(|database| database.refused.is_some())
        || families(status).any(|(_, family)| !family.eligible)
        || fleet::has_problems(status)
        || status.changes.iter().any(|change| change.stands == "aborted")
}

fn families(status: &Status) -> impl Iterator<Item = (&PoolView, &FamilyView)> {
    status.pools.iter().flat_map(|pool| pool.families.iter().map(move |family| (pool, family)))
}

fn headline(status: &Status) -> String {
    let out = families(status).filter(|(_, family)| !family.eligible).count();
    let all = families(status).count();
    let (style, word) = match (status.ready, out) {
        (false, _) => (BAD, "NOT READY: no zone is served".to_owned()),
        (true, 0) => (GOOD, "all pools serve".to_owned()),
        (true, out) => (BAD, format!("{out} of {all} pools out")),
    };
    format!(
        "{}  {}  {}\n",
        paint(HEAD, format_args!("meridian {}", status.version)),
        paint(style, word),
        paint(FAINT, format_args!("up {}", lasting(Duration::from_secs(status.uptime_seconds)))),
    )
}

fn reload(status: &Status) -> String {
    let reload = &status.reload;
    let config = &status.config;
    let mut out = String::new();
    if reload.outcome == "refused" {
        let count = reload.faults.len();
        out.push_str(&paint(
            BAD,
            format_args!(
                "the files on disk are refused ({count} {}); what was loaded before stays in force",
                if count == 1 { "fault" } else { "faults" }
            ),
        ));
        out.push('\n');
        for fault in &reload.faults {
            for line in fault.lines() {
                out.push_str(&format!("  {line}\n"));
            }
        }
    }
    for setting in &reload.needs_restart {
        out.push_str(&paint(WARN, format_args!("needs a restart: {setting}")));
        out.push('\n');
    }
    let seconds = config.load_seconds;
    out.push_str(&format!(
        "configuration {} from {}, {} steered records, loaded in {seconds:.2} s\n",
        config.generation, config.path, config.records
    ));
    out.push_str(&format!("answering on {}\n", status.listeners.join(", ")));
    out.push_str(&status.tls.as_ref().map_or_else(String::new, certificate));
    out
}

/// How long clients will take the certificate.
pub(super) fn certificate(tls: &TlsView) -> String {
    let left = Duration::from_secs(tls.expires_in_seconds.unsigned_abs());
    let (style, told) = match tls.expires_in_seconds {
        _ if tls.expires_at == 0 => (WARN, "does not say when it expires".to_owned()),
        ..0 => (BAD, format!("expired {} ago", lasting(left))),
        _ if left < EXPIRY_WORTH_A_WARNING => (WARN, format!("expires in {}", lasting(left))),
        _ => (PLAIN, format!("expires in {}", lasting(left))),
    };
    format!("{}\n", paint(style, format_args!("{} {told}", tls.certificate)))
}

/// What is held back; nothing while nothing is.
fn rate_limit(status: &Status) -> String {
    let limit = &status.rate_limit;
    if limit.held_back == 0 {
        return String::new();
    }
    let answers = if limit.held_back == 1 { "answer" } else { "answers" };
    let held = if limit.dry_run { "would have been held back (dry run)" } else { "held back" };
    let line = format!("rate limiting: {} {answers} {held} in the last minute", limit.held_back);
    let mut rows = Vec::new();
    for held in limit.networks.iter().take(NETWORKS_SHOWN) {
        let ago = lasting(Duration::from_secs(held.seconds_ago));
        rows.push(vec![
            (PLAIN, held.network.clone()),
            (PLAIN, held.kind.clone()),
            (PLAIN, held.answers.to_string()),
            (FAINT, format!("last {ago} ago")),
        ]);
    }
    let more = limit.networks.len().saturating_sub(NETWORKS_SHOWN);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    format!("{}\n{}{more}", paint(WARN, line), table(2, &rows))
}

fn regions(status: &Status) -> String {
    let head = ["region", "pool", "family", "verdict", "live", "for", "why"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    let mut region = None;
    for (pool, family) in families(status) {
        let named = if region == Some(&pool.region) { "" } else { &pool.region };
        region = Some(&pool.region);
        rows.push(vec![
            (PLAIN, named.to_owned()),
            (PLAIN, format!("{}@{}", pool.pool, pool.zone)),
            (PLAIN, family.family.clone()),
            full(pool, family, &status.capacity),
            (PLAIN, format!("{}/{}", family.live, family.members)),
            (FAINT, family.since_seconds.map_or_else(String::new, ago)),
            (PLAIN, family.why.clone()),
        ]);
        rows.extend(family.areas.iter().map(|(name, of)| area(name, of, family)));
    }
    if rows.len() == 1 {
        return "no pools\n".to_owned();
    }
    format!("\n{}", table(0, &rows))
}

/// What a pool is for the clients of one area, where that is otherwise.
fn area(name: &str, of: &AreaView, family: &FamilyView) -> Vec<(Style, String)> {
    let seen = FamilyView {
        verdict: of.verdict.clone(),
        eligible: of.eligible,
        keeps: of.keeps,
        ..FamilyView::default()
    };
    vec![
        (PLAIN, String::new()),
        (FAINT, format!("  for area {name}")),
        (PLAIN, String::new()),
        (verdict_style(&seen), verdict(&seen)),
        (PLAIN, format!("{}/{}", of.live, family.members)),
        (FAINT, of.since_seconds.map_or_else(String::new, ago)),
        (PLAIN, of.why.clone()),
    ]
}

/// The verdict's word, and how much of its clients the pool takes where that is not all.
fn verdict(family: &FamilyView) -> String {
    match family.keeps {
        Some(share) => format!("{}, takes {:.0} %", family.verdict, share * 100.0),
        None => family.verdict.clone(),
    }
}

/// The verdict, and that the pool is full where it is: it is well, and clients are sent on.
fn full(pool: &PoolView, family: &FamilyView, all: &[CapacityView]) -> (Style, String) {
    let is_it = |of: &&CapacityView| of.pool == pool.pool && of.zone == pool.zone;
    let state = all.iter().find(is_it).map_or("room", |of| &of.state);
    match state {
        "at capacity" | "over" if family.eligible => {
            (WARN, format!("{}, at capacity", verdict(family)))
        }
        _ => (verdict_style(family), verdict(family)),
    }
}

/// Why answers were what they were, and who brings so many queries that chance decides for each;
/// nothing before the first answer.
fn answers(status: &Status) -> String {
    let mut out = String::new();
    if !status.answers.is_empty() {
        let mut all: Vec<_> = status.answers.iter().collect();
        all.sort_by_key(|(reason, count)| (*reason != "preferred", std::cmp::Reverse(**count)));
        let told =
            |(reason, count): (&String, &u64)| format!("{count} {}", reason.replace('-', " "));
        let all: Vec<String> = all.into_iter().map(told).collect();
        out.push_str(&format!("\nsteered answers: {}\n", all.join(", ")));
    }
    if !status.heavy.is_empty() {
        let share = |of: &HeavyView| format!("{} {:.1} %", of.network, of.share * 100.0);
        let shown: Vec<String> = status.heavy.iter().take(NETWORKS_SHOWN).map(share).collect();
        let more = status.heavy.len().saturating_sub(NETWORKS_SHOWN);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let shown = shown.join(", ");
        out.push_str(&format!("heavy networks, drawn query by query: {shown}{more}\n"));
    }
    out
}

/// Pools with a capacity as a table; nothing when there are none.
pub fn capacity(all: &[CapacityView]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let head = ["capacity", "state", "queries/s", "target", "keeps", "load", "errors"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    for pool in all {
        let style = match &*pool.state {
            "room" => GOOD,
            "at capacity" => WARN,
            _ => BAD,
        };
        let load = match (pool.load, pool.stale) {
            (_, true) => (WARN, "stale".to_owned()),
            (load, false) => (PLAIN, load.map_or_else(String::new, percent)),
        };
        rows.push(vec![
            (PLAIN, format!("{}@{}", pool.pool, pool.zone)),
            (style, pool.state.clone()),
            (PLAIN, format!("{:.1}", pool.rate)),
            (PLAIN, pool.target.map_or_else(|| "unknown".to_owned(), |of| format!("{of:.1}"))),
            (PLAIN, percent(pool.kept)),
            load,
            (PLAIN, pool.errors.map_or_else(String::new, percent)),
        ]);
    }
    format!("\n{}", table(0, &rows))
}

/// Pools on their way back as a table; nothing when there are none.
fn returning(all: &[ReturningView]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let head = ["returning", "pool", "state"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    for entry in all {
        let state = match (entry.state.as_str(), entry.seconds_left) {
            ("waits", Some(left)) => format!("clients come back in {}", ago(left)),
            ("returns", Some(left)) => format!("all clients are back in {}", ago(left)),
            _ => format!("held: meridian resume pool.{}", entry.pool),
        };
        rows.push(vec![(PLAIN, entry.record.clone()), (PLAIN, entry.pool.clone()), (WARN, state)]);
    }
    format!("\n{}", table(0, &rows))
}

fn verdict_style(family: &FamilyView) -> Style {
    match (family.eligible, family.verdict.as_str()) {
        (false, "draining" | "maintenance") => WARN,
        (false, _) => BAD,
        (true, "up" | "forced-up") => GOOD,
        (true, _) => WARN,
    }
}

pub(super) fn ago(seconds: u64) -> String {
    lasting(Duration::from_secs(seconds))
}

/// Names that are flattened, as a table; nothing when there are none.
fn aliases(all: &[AliasView]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let head = ["name", "family", "state", "addresses"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    for entry in all {
        let lasts =
            entry.seconds.map_or_else(String::new, |seconds| format!(" for {}", ago(seconds)));
        let style = match &*entry.state {
            "fresh" => GOOD,
            "stale" => WARN,
            _ => FAINT,
        };
        let state = format!("{}{lasts}", entry.state);
        let addresses = entry.addresses.join(" ");
        rows.push(vec![
            (PLAIN, entry.target.clone()),
            (FAINT, entry.family.clone()),
            (style, state),
            (PLAIN, if addresses.is_empty() { "-".to_owned() } else { addresses }),
        ]);
    }
    format!("\n{}", table(0, &rows))
}

/// Overrides as a table; nothing when there are none.
pub fn overrides(all: &[OverrideView]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let head = ["override", "target", "left", "by", "reason"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    for entry in all {
        rows.push(vec![
            (WARN, entry.state.clone()),
            (PLAIN, target(entry)),
            (PLAIN, left(entry)),
            (PLAIN, by(entry)),
            (PLAIN, entry.reason.clone()),
        ]);
    }
    format!("\n{}", table(0, &rows))
}

/// Who ordered it; where it is for all nodes, with whose key and on which node.
fn by(entry: &OverrideView) -> String {
    let OverrideView { by, signer, given_on, .. } = entry;
    match (signer, given_on) {
        (Some(signer), Some(node)) => format!("{by}, key {signer}, to all nodes from {node}"),
        _ => by.clone(),
    }
}

/// Over what, and for whom where not for all.
fn target(entry: &OverrideView) -> String {
    let area = entry.area.as_ref().map_or_else(String::new, |area| format!(" for area {area}"));
    format!("{}{area}", entry.target)
}

/// How long it lasts, and when it begins where that is later.
fn left(entry: &OverrideView) -> String {
    let Some(begins) = entry.begins_at else {
        return entry.seconds_left.map_or_else(|| "until released".to_owned(), ago);
    };
    let begins = rfc3339(begins).unwrap_or_default();
    let lasts = entry
        .seconds_left
        .map_or_else(|| ", until released".to_owned(), |seconds| format!(", for {}", ago(seconds)));
    match &*entry.held {
        "" => format!("begins {begins}{lasts}"),
        held => format!("due since {begins}{lasts}: {held}"),
    }
}

fn geo(status: &Status) -> String {
    let head = ["database", "kind", "age"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    for database in &status.geo {
        let age = Duration::from_secs(database.age_seconds);
        let (style, told) = match database.built_at {
            0 => (FAINT, "unknown".to_owned()),
            _ if age > GEO_AGE_WORTH_A_WORD => (WARN, format!("{}: stale", lasting(age))),
            _ => (PLAIN, lasting(age)),
        };
        rows.push(vec![
            (PLAIN, database.name.clone()),
            (PLAIN, database.kind.clone()),
            (style, told),
        ]);
        if let Some(refused) = &database.refused {
            rows.push(vec![(BAD, format!("  newer file refused: {refused}"))]);
        }
    }
    format!("\n{}", table(0, &rows))
}

fn zones(status: &Status) -> String {
    let head = ["zone", "serial", "steered"];
    let mut rows = vec![head.map(|title| (HEAD, title.to_owned())).to_vec()];
    for zone in &status.zones {
        rows.push(vec![
            (PLAIN, zone.origin.clone()),
            (PLAIN, zone.serial.to_string()),
            (PLAIN, zone.steered.to_string()),
        ]);
    }
    format!("\n{}", table(0, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::{
        ConfigView, DatabaseView, HeldView, RateLimitView, ReloadView, ZoneView,
    };

    fn pool(region: &str, eligible: bool, verdict: &str, why: &str) -> PoolView {
        PoolView {
            pool: region.to_owned(),
            zone: "example.org.".to_owned(),
            region: region.to_owned(),
            families: vec![FamilyView {
                family: "IPv4".to_owned(),
                verdict: verdict.to_owned(),
                eligible,
                keeps: None,
                live: usize::from(eligible),
                members: 1,
                since_seconds: Some(75),
                why: why.to_owned(),
                areas: Default::default(),
            }],
        }
    }

    fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            uptime_seconds: 90_061,
            ready: true,
            config: ConfigView {
                path: "/etc/meridian".to_owned(),
                generation: 3,
                loaded_at: 0,
                load_seconds: 0.25,
                records: 1,
            },
            reload: ReloadView { outcome: "loaded".to_owned(), ..ReloadView::default() },
            zones: vec![ZoneView { origin: "example.org.".to_owned(), serial: 7, steered: 1 }],
            geo: vec![DatabaseView {
                name: "embedded".to_owned(),
                kind: "country".to_owned(),
                built_at: 1,
                age_seconds: 86_400,
                refused: None,
            }],
            listeners: vec!["127.0.0.1:53".to_owned()],
            tls: None,
            bus: None,
            bundle: None,
            orders: None,
            pools: vec![
                pool("fra", true, "up", "2 successes in a row"),
                pool("iad", true, "up", ""),
            ],
            returning: Vec::new(),
            capacity: Vec::new(),
            checks: Vec::new(),
            aliases: Vec::new(),
            overrides: Vec::new(),
            changes: Vec::new(),
            drains: Vec::new(),
            rate_limit: RateLimitView::default(),
            answers: Default::default(),
            heavy: Vec::new(),
        }
    }

    fn plain(status: &Status) -> String {
        anstream::adapter::strip_str(&render(status)).to_string()
    }

    #[test]
    fn a_quiet_night_reads_quietly() {
        let status = status();
        assert!(!has_problems(&status));
        assert_eq!(
            plain(&status).lines().map(str::trim_end).collect::<Vec<_>>().join("\n"),
            "meridian 0.1.0  all pools serve  up 1 d 1 h\n\
             configuration 3 from /etc/meridian, 1 steered records, loaded in 0.25 s\n\
             answering on 127.0.0.1:53\n\
             \n\
             region  pool              family  verdict  live  for         why\n\
             fra     fra@example.org.  IPv4    up       1/1   1 min 15 s  2 successes in a row\n\
             iad     iad@example.org.  IPv4    up       1/1   1 min 15 s\n\
             \n\
             database  kind     age\n\
             embedded  country  1 d 0 h\n\
             \n\
             zone          serial  steered\n\
             example.org.  7       1"
        );
    }

    #[test]
    fn trouble_stands_in_the_first_lines() {
        let mut status = status();
        status.pools[1] = pool("iad", false, "down", "3 failures in a row: connection refused");
        status.reload.outcome = "refused".to_owned();
        status.reload.faults = vec!["zones/example.org.toml:4:1: unknown key 'polcy'".to_owned()];
        status.reload.needs_restart = vec!["listen".to_owned()];
        status.geo[0].refused = Some("not an mmdb file".to_owned());
        status.overrides = vec![OverrideView {
            target: "region.iad".to_owned(),
            state: "drain".to_owned(),
            reason: "kernel update".to_owned(),
            by: "ops".to_owned(),
            seconds_left: Some(600),
            ..OverrideView::default()
        }];
        assert!(has_problems(&status));
        let text = plain(&status);
        assert!(text.starts_with("meridian 0.1.0  1 of 2 pools out  up 1 d 1 h\n"), "{text}");
        for part in [
            "the files on disk are refused (1 fault); what was loaded before stays in force\n  zones/example.org.toml:4:1: unknown key 'polcy'\n",
            "needs a restart: listen\n",
            "down     0/1   1 min 15 s  3 failures in a row: connection refused",
            "newer file refused: not an mmdb file",
            "drain     region.iad  10 min 0 s  ops  kernel update",
        ] {
            assert!(text.contains(part), "missing {part:?} in\n{text}");
        }
    }

    #[test]
    fn what_is_held_back_is_told_while_it_is() {
        let networks = || {
            let networks = [("192.0.2.0/24", "nxdomain"), ("2001:db8::/56", "answer")];
            let view = |(network, kind): (&str, &str)| HeldView {
                network: network.to_owned(),
                kind: kind.to_owned(),
                answers: 1100,
                seconds_ago: 2,
            };
            networks.map(view).to_vec()
        };
        let limited = |held_back, dry_run| {
            plain(&Status {
                rate_limit: RateLimitView { dry_run, held_back, networks: networks() },
                ..status()
            })
        };
        assert!(!limited(0, false).contains("rate limiting"));
        let line = "rate limiting: 1200 answers held back in the last minute\n";
        assert!(limited(1200, false).contains(line));
        let whom = "last minute\n  192.0.2.0/24   nxdomain  1100  last 2 s ago\n  2001:db8::/56  answer    1100  last 2 s ago\n";
        assert!(limited(1200, false).contains(whom), "{}", limited(1200, false));
        assert!(limited(1, true).contains("1 answer would have been held back (dry run)"));
    }

    #[test]
    fn why_answers_were_what_they_were_is_told_apart() {
        let counts = [("preferred", 90), ("unhealthy", 2), ("at-capacity", 7), ("fenced", 1)];
        let answers = counts.map(|(reason, count)| (reason.to_owned(), count)).into();
        let heavy = |n: u8| HeavyView { network: format!("192.0.{n}.0/24"), share: 0.0123 };
        let text = plain(&Status { answers, heavy: (0..12).map(heavy).collect(), ..status() });
        let told = "\nsteered answers: 90 preferred, 7 at capacity, 2 unhealthy, 1 fenced\n\
                    heavy networks, drawn query by query: 192.0.0.0/24 1.2 %, 192.0.1.0/24 1.2 %,";
        assert!(text.contains(told), "{text}");
        assert!(text.contains("192.0.9.0/24 1.2 %, and 2 more\n"), "{text}");
    }

    #[test]
    fn a_full_pool_is_well_all_the_same() {
        let full = CapacityView {
            pool: "fra".to_owned(),
            zone: "example.org.".to_owned(),
            state: "at capacity".to_owned(),
            ..CapacityView::default()
        };
        let mut status = Status { capacity: vec![full], ..status() };
        let text = plain(&status);
        assert!(text.contains("fra@example.org.  IPv4    up, at capacity  1/1"), "{text}");
        assert!(text.starts_with("meridian 0.1.0  all pools serve"), "{text}");
        status.pools[0] = pool("fra", false, "draining", "kernel update");
        assert!(plain(&status).contains("IPv4    draining  0/1"), "a drain counts for more");
    }

    #[test]
    fn the_certificate_says_how_long_it_lasts() {
        let told = |expires_at, days: i64| {
            let expires_in_seconds = days * 86_400;
            let certificate = "/etc/meridian/tls/c.pem".to_owned();
            let tls = Some(TlsView { certificate, expires_at, expires_in_seconds });
            let text = render(&Status { tls, ..status() });
            let line = text.lines().find(|line| line.contains("c.pem")).expect("a line").to_owned();
            (anstream::adapter::strip_str(&line).to_string(), line.contains('\u{1b}'))
        };
        let says = |text: &str| format!("/etc/meridian/tls/c.pem {text}");
        assert_eq!(told(1, 80), (says("expires in 80 d 0 h"), false));
        assert_eq!(told(1, 13), (says("expires in 13 d 0 h"), true));
        assert_eq!(told(1, -2), (says("expired 2 d 0 h ago"), true));
        assert_eq!(told(0, -9000), (says("does not say when it expires"), true));
    }

    #[test]
    fn without_a_zone_the_headline_says_so() {
        let text = plain(&Status { ready: false, ..status() });
        assert!(text.contains("NOT READY"), "{text}");
    }
}
