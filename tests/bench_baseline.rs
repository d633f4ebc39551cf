//! The guard over the road's speed can fail: its comparison, with made-up figures.

#[path = "bench/baseline.rs"]
mod baseline;
#[allow(dead_code, reason = "only the reading of its file is tested here")]
#[path = "bench/callgrind.rs"]
mod callgrind;

use std::collections::BTreeMap;

use baseline::{Baseline, Figures, Finding, compare, least, median};

fn figures(of: &[(&str, f64)]) -> Figures {
    of.iter().map(|(case, figure)| ((*case).to_owned(), *figure)).collect()
}

/// Findings for one case that was 1000 and is `is`, with a tenth of room.
fn found(is: f64) -> Vec<Finding> {
    compare(&figures(&[("geo", 1000.0)]), &figures(&[("geo", is)]), 0.1)
}

#[test]
fn a_tenth_more_is_a_fault_and_less_than_that_is_none() {
    assert_eq!(found(1000.0), []);
    assert_eq!(found(1099.0), []);
    assert_eq!(found(905.0), []);
    let [worse] = &found(1101.0)[..] else { panic!("one finding") };
    assert!(worse.is_fault());
    assert_eq!(worse.to_string(), "WORSE: geo 1000 -> 1101.000, +10 %");
}

#[test]
fn a_tenth_less_is_told_and_no_fault() {
    let [better] = &found(850.0)[..] else { panic!("one finding") };
    assert!(!better.is_fault());
    assert!(better.to_string().contains("-15 %; accept it"));
}

#[test]
fn a_case_cannot_come_or_go_unseen() {
    let accepted = figures(&[("geo", 1000.0), ("static", 900.0)]);
    let measured = figures(&[("geo", 1000.0), ("tcp", 950.0)]);
    let findings = compare(&accepted, &measured, 0.1);
    assert_eq!(
        findings,
        [
            Finding::New { case: "tcp".to_owned(), is: 950.0 },
            Finding::Gone { case: "static".to_owned() }
        ]
    );
    assert!(findings.iter().all(Finding::is_fault));
}

#[test]
fn of_several_runs_the_least_judges_and_the_median_is_accepted() {
    let runs = [2.0, 9.0, 1.0].map(|geo| figures(&[("geo", geo)]));
    assert_eq!(least(&runs), figures(&[("geo", 1.0)]));
    assert_eq!(median(&runs), figures(&[("geo", 2.0)]));
    assert_eq!(least(&[]), Figures::new());
}

#[test]
fn a_baseline_comes_back_as_it_was_written() {
    let written = Baseline {
        instructions: figures(&[("geo", 1050.0), ("geo-source", 990.0)]),
        ratios: BTreeMap::from([("A \"fast\" one".to_owned(), figures(&[("geo", 0.125)]))]),
    };
    assert_eq!(Baseline::read(&written.to_text()), Some(written));
    assert_eq!(Baseline::read("[ratios]\n"), None);
    assert_eq!(Baseline::read("[instructions]\ngeo = \"fast\"\n"), None);
}

#[test]
fn the_baseline_in_the_tree_can_be_read() {
    let baseline = Baseline::read(include_str!("bench/baseline.toml")).expect("a baseline");
    assert!(baseline.instructions.contains_key("geo"));
    assert!(baseline.ratios.values().all(|ratios| ratios.contains_key("geo")));
}

#[test]
fn callgrinds_parts_are_read_in_order() {
    let file = "\
        version: 1\npart: 1\ndesc: Trigger: --dump-before=road::counted\ntotals: 0\n\
        part: 2\ntotals: 400\n\
        part: 3\ndesc: Trigger: Program termination\ntotals: 5000\n";
    assert_eq!(callgrind::parts(file), [0, 400, 5000]);
}
