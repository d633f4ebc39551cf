//! A daemon that died and starts again knows at once what it knew before.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::internet::{Internet, ZONE, detection_budget};
use crate::lab::until;
use crate::meridian::Geo;

/// The daemon writes down what it believes once a second.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

#[test]
fn the_first_answer_after_a_crash_is_right() {
    let mut internet = Internet::new(Geo::City);
    internet.region("fra").kill_haproxy();
    internet.meridian.wait_verdict("fra", "down", detection_budget() + Duration::from_secs(2));
    let memory = internet.meridian.machine.dir().join("meridian/state/health.json");
    until(WRITTEN_WITHIN, "it is written down that fra is down", || {
        let text = fs::read_to_string(&memory).unwrap_or_default();
        let memory: Value = serde_json::from_str(&text).unwrap_or_default();
        memory["checks"]["web@192.0.2.10:80"]["belief"] == "down"
    });

    let name = format!("www.{ZONE}");
    let askers: Vec<_> = internet
        .places()
        .map(|place| {
            let client = place.address();
            let asker = internet.client_of_meridian(client).patience(Duration::from_millis(20));
            (asker, place.city, internet.nearest(client, &["fra"]).vip())
        })
        .collect();

    internet.meridian.kill();
    let started = Instant::now();
    internet.meridian.launch();
    let (first, ..) = &askers[0];
    let mut answers = Vec::new();
    until(Duration::from_secs(60), "the daemon answers again", || {
        answers.extend(first.ask(&name).map(|reply| (askers[0].1, reply.address(), askers[0].2)));
        !answers.is_empty()
    });
    let back = started.elapsed();
    while started.elapsed() < back + detection_budget() {
        for (asker, city, vip) in &askers {
            answers.extend(asker.ask(&name).map(|reply| (*city, reply.address(), *vip)));
        }
    }
    let wrong: Vec<_> = answers.iter().filter(|(_, got, right)| *got != Some(*right)).collect();
    println!(
        "\nkilled and started again while fra is down: first answer after {back:.2?}, {} answers, {} wrong",
        answers.len(),
        wrong.len()
    );
    assert!(answers.len() > 100, "too few answers to say anything");
    assert!(wrong.is_empty(), "{:?}", &wrong[..wrong.len().min(5)]);
}
