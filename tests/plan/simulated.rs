//! Shares and distances, held against what the road answers.

use meridian::geo::census::Clients;
use meridian::plan::report::Report;
use meridian::plan::simulate::{Options, Side, Simulator, read_clients};
use meridian::plan::suppose::{Supposed, all_up, parse_list};
use meridian::region::Family;
use meridian::snapshot::Snapshot;

use crate::snapshot;

/// `www` simulated as it is, or compared with what is supposed.
fn simulate(snapshot: &Snapshot, supposed: &str, clients: Clients<'_>) -> Report {
    let supposed = parse_list(supposed).expect("suppositions");
    let (before, now) = (all_up(&snapshot.pools, 0), all_up(&snapshot.pools, 0));
    let supposed = Supposed::new(&supposed, &snapshot.pools, &snapshot.regions).expect("known");
    supposed.apply(&now, &snapshot.pools);
    let before = (!supposed.is_empty()).then_some(Side { snapshot, table: &before });
    let side = Side { snapshot, table: &now };
    let options = Options { family: Family::V4, clients, unknown: false, dots: true };
    let record = side.record("www.example.org.").expect("the record");
    Simulator::new(before, side, options).run(record).expect("it steers A")
}

fn shares(report: &Report) -> Vec<(String, f64)> {
    let row = |row: &meridian::plan::report::Row| {
        (row.pool.clone(), (row.share.ipv4 * 1000.0).round() / 1000.0)
    };
    report.pools.iter().map(row).collect()
}

fn named(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
    expected.iter().map(|(pool, share)| ((*pool).to_owned(), *share)).collect()
}

const NEAREST: &str =
    "[record.\"www\"]\npolicy = \"nearest\"\npools = [\"fra\", \"dub\", \"iad\"]\n";

#[test]
fn everybody_is_counted_where_they_go() {
    let report = simulate(&snapshot(NEAREST), "", Clients::World);
    assert_eq!((report.clients.ipv4, report.clients.ipv6), (896.0, 1.0));
    // Berlin to fra, London to dub, New York and Sydney to iad.
    let expected = [("fra", 256.0 / 896.0), ("dub", 256.0 / 896.0), ("iad", 384.0 / 896.0)];
    let expected = expected.map(|(pool, share)| (pool, (share * 1000.0_f64).round() / 1000.0));
    assert_eq!(shares(&report), named(&expected));
    assert!(report.exact && report.moved.is_none());
    assert_eq!(report.all.worst_place.as_deref(), Some("Sydney, AU"));
    let worst = report.all.worst_km.expect("a distance");
    assert!((15_500.0..16_000.0).contains(&worst), "{worst}");
    assert_eq!(report.pools[0].share.ipv6, 1.0);
}

#[test]
fn who_moves_is_told_from_where_to_where() {
    let report = simulate(&snapshot(NEAREST), "region.fra=down", Clients::World);
    let moved = report.moved.expect("compared");
    assert!((moved.share.ipv4 - 256.0 / 896.0).abs() < 1e-9);
    let flows: Vec<_> = moved.flows.iter().map(|f| (f.from.as_str(), f.to.as_str())).collect();
    assert_eq!(flows, [("fra", "dub")]);
    assert!(report.markers.iter().any(|marker| marker.region == "fra" && marker.lost));
    assert!(report.dots.iter().any(|dot| dot.moved));
}

#[test]
fn weights_are_exact_and_pools_that_are_out_leave_theirs() {
    let records =
        "[record.\"www\"]\npolicy = \"weighted\"\npools = { fra = 5, dub = 3, iad = 2 }\n";
    let snapshot = snapshot(records);
    let report = simulate(&snapshot, "", Clients::World);
    assert_eq!(shares(&report), named(&[("fra", 0.5), ("dub", 0.3), ("iad", 0.2)]));
    let report = simulate(&snapshot, "pool.fra=drain", Clients::World);
    assert_eq!(shares(&report), named(&[("fra", 0.0), ("dub", 0.6), ("iad", 0.4)]));
    assert!(report.exact);
    // At least what fra had must move; chance may shuffle more.
    assert!((report.moved.expect("compared").share.ipv4 - 0.5).abs() < 1e-9);
}

#[test]
fn turns_are_equal() {
    let records =
        "[record.\"www\"]\npolicy = \"round-robin\"\npools = [\"fra\", \"dub\", \"iad\"]\n";
    let report = simulate(&snapshot(records), "region.iad=down", Clients::World);
    assert_eq!(shares(&report), named(&[("fra", 0.5), ("dub", 0.5), ("iad", 0.0)]));
}

#[test]
fn networks_that_stay_are_sampled_and_only_those_of_a_lost_pool_move() {
    let records = "[record.\"www\"]\npolicy = \"hash\"\npools = { fra = 2, dub = 1, iad = 1 }\n";
    let report = simulate(&snapshot(records), "region.dub=down", Clients::World);
    assert!(report.sampled.is_some());
    let before = |at: usize| report.pools[at].before.expect("compared").ipv4;
    // 896 networks: within four standard errors of 1/2 and 1/4.
    assert!((before(0) - 0.5).abs() < 0.067 && (before(1) - 0.25).abs() < 0.058);
    let moved = report.moved.expect("compared");
    assert!((moved.share.ipv4 - before(1)).abs() < 1e-9);
    assert!(moved.flows.iter().all(|flow| flow.from == "dub"));
}

#[test]
fn two_pools_in_one_answer_share_it() {
    let records = format!("{NEAREST}answers = 2\n");
    let report = simulate(&snapshot(&records), "", Clients::World);
    let sum: f64 = report.pools.iter().map(|row| row.share.ipv4).sum();
    assert!((sum - 1.0).abs() < 1e-9);
    // Fra is first or second for all but New York.
    assert_eq!(shares(&report)[0].1, (640.0_f64 / 896.0 / 2.0 * 1000.0).round() / 1000.0);
}

#[test]
fn a_list_of_clients_stands_for_the_world() {
    let list = read_clients("10.1.0.0/24,3\n10.3.7.0/24,1\n").expect("sound");
    let report = simulate(&snapshot(NEAREST), "", Clients::Listed(&list));
    assert_eq!(shares(&report), named(&[("fra", 0.75), ("dub", 0.0), ("iad", 0.25)]));
    assert_eq!(report.clients.ipv4, 4.0);
}

#[test]
fn what_nobody_serves_is_a_row_of_its_own() {
    let records = format!("{NEAREST}last_resort = \"nodata\"\n");
    let all = "region.fra=down,region.dub=down,region.iad=down";
    let report = simulate(&snapshot(&records), all, Clients::World);
    let last = report.pools.last().expect("a row");
    assert_eq!((&*last.pool, &last.region, last.share.ipv4), ("no data", &None, 1.0));
}

#[test]
fn a_map_is_one_small_file_that_shows_every_region() {
    let snapshot = snapshot(NEAREST);
    for supposed in ["", "region.fra=down"] {
        let report = simulate(&snapshot, supposed, Clients::World);
        let drawn = meridian::plan::draw::map(&report, supposed);
        assert!(drawn.len() < 1 << 20 && drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
        for region in ["fra", "dub", "iad"] {
            assert!(drawn.contains(&format!(">{region}<")), "{region}");
        }
        // Nothing is fetched from anywhere.
        assert!(!drawn.contains("href") && !drawn.contains("url(") && !drawn.contains("@import"));
        assert_eq!(drawn.contains("lost</tspan>"), !supposed.is_empty());
        assert_eq!(drawn.matches("<g").count(), drawn.matches("</g>").count());
    }
}

#[test]
fn pools_equally_near_have_equal_shares_and_a_region_is_their_sum() {
    let records = "[pool.fra-b]\nregion = \"fra\"\nmembers = [\"192.0.2.12\"]\n\
                   [record.\"www\"]\npolicy = \"nearest\"\nband = \"10%\"\n\
                   pools = [\"fra\", \"fra-b\", \"iad\"]\n";
    let report = simulate(&snapshot(records), "", Clients::World);
    let [fra, fra_b, _] = &report.pools[..] else { panic!("{:?}", report.pools) };
    assert_eq!(fra.share.ipv4, fra_b.share.ipv4);
    assert!(report.exact);
    assert!((report.regions[0].share.ipv4 - 2.0 * fra.share.ipv4).abs() < 1e-9);
}
