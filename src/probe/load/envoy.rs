//! Envoy's `/stats`: lines of `name: value`, of which those of one cluster matter.

use super::{Counts, Reading, share};
use crate::health::sample::AgentWord;

/// Requests under way to `cluster` against `limit`; answers of 500 and above, and requests that
/// found no room, are errors. A cluster whose hosts are all unhealthy is down.
pub fn parse(text: &[u8], cluster: &str, limit: u32) -> Option<Reading> {
    let text = std::str::from_utf8(text).ok()?;
    let mut active = None;
    let (mut total, mut bad, mut overflown) = (None, 0, 0);
    let (mut hosts, mut healthy) = (None, None);
    for line in text.lines() {
        let own = line.strip_prefix("cluster.").and_then(|line| line.strip_prefix(cluster));
        let Some((name, value)) = own.and_then(|own| own.strip_prefix('.')?.split_once(": "))
        else {
            continue;
        };
        let Ok(value) = value.trim().parse::<u64>() else { continue };
        match name {
            "upstream_rq_active" => active = Some(value),
            "upstream_rq_total" => total = Some(value),
            "upstream_rq_5xx" => bad = value,
            "upstream_rq_pending_overflow" => overflown = value,
            "membership_total" => hosts = Some(value),
            "membership_healthy" => healthy = Some(value),
            _ => {}
        }
    }
    let load = share(active? as f64, f64::from(limit));
    let counts = total.map(|total| Counts {
        requests: total as f64 + overflown as f64,
        errors: bad as f64 + overflown as f64,
    });
    let gone = hosts.is_some_and(|hosts| hosts > 0) && healthy == Some(0);
    Some(Reading { load, errors: None, counts, word: gone.then_some(AgentWord::Down) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "cluster.web.membership_healthy: 2\ncluster.web.membership_total: 3\n\
        cluster.web.upstream_rq_5xx: 10\ncluster.web.upstream_rq_active: 25\n\
        cluster.web.upstream_rq_pending_overflow: 5\ncluster.web.upstream_rq_total: 1000\n\
        cluster.web.upstream_rq_time: P0(nan,1) P25(nan,2)\n\
        cluster.web2.upstream_rq_active: 99\n";

    #[test]
    fn the_clusters_requests_are_the_load() {
        let reading = parse(TEXT.as_bytes(), "web", 100).expect("a cluster");
        assert_eq!(reading.load, Some(0.25));
        assert_eq!(reading.counts, Some(Counts { requests: 1005.0, errors: 15.0 }));
        assert_eq!(reading.word, None);
        assert_eq!(parse(TEXT.as_bytes(), "api", 100), None);
        let gone = TEXT.replace("healthy: 2", "healthy: 0");
        let gone = parse(gone.as_bytes(), "web", 100).expect("a cluster");
        assert_eq!(gone.word, Some(AgentWord::Down));
    }
}
