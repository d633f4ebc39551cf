//! What vantages send: reports, and the envelopes around them.

use std::collections::HashMap;
use std::time::Duration;

use meridian::health::intake::{Intake, VantageSpec};
use meridian::health::report::{MAX_SLOTS, Report};
use meridian::seal::{Kind, SigningKey, seal};

thread_local! {
    static KEY: SigningKey = SigningKey::generate().expect("a key");
}

/// Reads the octets as a report, bare and sealed, and as an envelope. What was understood is
/// understood again, and nothing unsigned is let in.
pub fn run(octets: &[u8]) {
    let understood = Report::decode(octets);
    if let Ok(report) = &understood {
        assert!(report.slots.len() <= MAX_SLOTS);
        let again = report.encode().expect("what was read can be written");
        assert_eq!(Report::decode(&again).as_ref(), Ok(report));
    }
    KEY.with(|key| {
        let spec = VantageSpec {
            name: "fra".into(),
            key: Some(key.public()),
            group: "eu".into(),
            area: None,
        };
        let mut intake = Intake::new(&[spec], &["web@192.0.2.1:443"], &HashMap::new(), SECOND);
        assert!(intake.accept("fra", octets, SECOND).is_err(), "nobody signed this");
        let envelope = seal(key, Kind::Report, "fra", octets);
        let taken = intake.accept("fra", &envelope, SECOND);
        assert_eq!(taken.is_ok(), understood.is_ok(), "{taken:?}");
        assert!(intake.accept("fra", &envelope, SECOND).is_err(), "the same once more");
    });
}

const SECOND: Duration = Duration::from_secs(1);
