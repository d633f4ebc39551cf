//! Regions fail and come back; clients are always answered, and by the region that should.

use std::time::{Duration, Instant};

use crate::internet::{Internet, detection_budget, failover_budget, return_budget};
use crate::meridian::Geo;
use crate::watch::{Watch, judge};

/// What is watched past the budget, where nothing old may show up any more.
const AFTERWARDS: Duration = Duration::from_millis(1500);

#[test]
fn a_regions_l4_tier_dies_and_its_clients_get_the_next_nearest() {
    let mut internet = Internet::new(Geo::City);
    println!("\nfra's HAProxy is killed and started again; clients ask through Unbound:");

    let watch = internet.watch_resolver("www");
    settle(&internet, watch, "all is well", Instant::now(), Duration::ZERO, &[], &[]);

    let watch = internet.watch_resolver("www");
    let killed = Instant::now();
    internet.region("fra").kill_haproxy();
    settle(&internet, watch, "killed", killed, failover_budget(), &[], &["fra"]);

    let watch = internet.watch_resolver("www");
    let started = Instant::now();
    internet.region("fra").start_haproxy();
    settle(&internet, watch, "started", started, return_budget(), &["fra"], &[]);
}

#[test]
fn meridian_itself_answers_another_within_the_detection_time() {
    let mut internet = Internet::new(Geo::City);
    println!("\nregions die; clients ask Meridian itself:");

    let watch = internet.watch_meridian("www");
    let killed = Instant::now();
    internet.region("iad").kill_haproxy();
    settle(&internet, watch, "iad refuses", killed, detection_budget(), &[], &["iad"]);

    // Nothing comes back from a region that is cut off: every probe takes its whole timeout.
    let watch = internet.watch_meridian("www");
    let cut = Instant::now();
    internet.region("fra").cut_off();
    let down = ["iad", "fra"];
    settle(&internet, watch, "fra is cut off", cut, detection_budget(), &["iad"], &down);
}

#[test]
fn an_http_monitor_sees_a_dead_l7_tier_and_a_tcp_monitor_does_not() {
    let mut internet = Internet::new(Geo::City);
    println!("\nsin's nginx is ended behind a HAProxy that goes on accepting:");

    let http = internet.watch_resolver("www");
    let tcp = internet.watch_resolver("raw");
    let ended = Instant::now();
    internet.region("sin").kill_nginx();
    settle(&internet, http, "HTTP monitor", ended, failover_budget(), &[], &["sin"]);
    let samples = tcp.finish_after(Duration::ZERO);
    let blind = |client| internet.nearest(client, &[]).vip();
    judge(&samples, ended, Duration::ZERO, blind, blind).report("TCP monitor", Duration::ZERO);

    let watch = internet.watch_resolver("www");
    let started = Instant::now();
    internet.region("sin").start_nginx();
    settle(&internet, watch, "nginx is back", started, return_budget(), &["sin"], &[]);
}

/// Watches until the budget has passed and a while longer. Judges every answer by the regions
/// that were down before the event and are down after it; then every client fetches a page from
/// the region it was sent to.
fn settle(
    internet: &Internet,
    watch: Watch,
    phase: &str,
    event: Instant,
    budget: Duration,
    down_before: &[&str],
    down_after: &[&str],
) {
    let passed = event.elapsed();
    let samples = watch.finish_after(budget.saturating_sub(passed) + AFTERWARDS);
    let old = |client| internet.nearest(client, down_before).vip();
    let new = |client| internet.nearest(client, down_after).vip();
    judge(&samples, event, budget, old, new).report(phase, budget);
    for place in internet.places() {
        let client = place.address();
        let region = internet.nearest(client, down_after);
        let served_by = internet.page(client, region.vip());
        assert_eq!(served_by.as_deref(), Ok(region.name), "{phase}: {}", place.city);
    }
}
