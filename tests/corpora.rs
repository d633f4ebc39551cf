//! The corpora of `tests/fuzz`, replayed: every input that fuzzing found worth keeping.
//!
//! And what fuzzing cannot say of itself: that its judges find a fault where one is.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use meridian::server::Transport;

#[path = "fuzz/src/lib.rs"]
mod fuzz;

use fuzz::codec::{RULES, Rule};

/// Runs every input of a target and names those it fails at.
fn replay(target: &str) {
    let (_, run) = fuzz::TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "there is nothing to replay");
    let fails = |path: &&PathBuf| {
        let octets = fs::read(path).expect("a file");
        catch_unwind(AssertUnwindSafe(|| run(&octets))).is_err()
    };
    let failed: Vec<&PathBuf> = inputs.iter().filter(fails).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The files of a corpus, by name.
fn inputs(target: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpora().join(target)).expect("a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// A test for each target, so that they run side by side.
macro_rules! replayed {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}

replayed!(
    api bundle codec config cookie envelope load mmdb orders packet probeset query report state
    stream subnet zone
);

#[test]
fn every_target_is_replayed_and_has_its_binary() {
    let targets: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(targets, REPLAYED);
    for target in targets {
        let binary = corpora().join(format!("../fuzz_targets/{target}.rs"));
        let text = fs::read_to_string(&binary).expect("a binary");
        assert!(text.contains(&format!("meridian_fuzz::{target}::run(")), "{text}");
    }
}

#[test]
fn every_rule_between_the_two_codecs_has_its_example() {
    let inputs = inputs("codec").into_iter().map(|path| fs::read(path).expect("a file"));
    let seen: BTreeSet<Rule> = inputs.filter_map(|octets| fuzz::codec::run(&octets)).collect();
    assert_eq!(seen, BTreeSet::from(RULES));
}

/// Every octet of an answer counts: another in its place is a fault, but where it is a value
/// that only the zone knows.
#[test]
fn a_broken_answer_is_found() {
    let packet = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x04lost\x07example\x03org\0\0\x01\0\x01";
    let answer = fuzz::road::exchange(0, packet, "192.0.2.53", Transport::Udp);
    assert_eq!(answer[3] & 0xf, 3, "NXDOMAIN of nowhere.example.org");
    let judge = |answer: &[u8]| fuzz::road::check(0, packet, Transport::Udp, answer);
    assert_eq!(judge(&answer), Ok(()));
    let missed = |at: usize| {
        let mut broken = answer.clone();
        broken[at] ^= 0x41;
        judge(&broken).is_ok()
    };
    let question = 12..packet.len();
    assert_eq!(
        (0..12).chain(question).filter(|at| missed(*at)).collect::<Vec<_>>(),
        [] as [usize; 0]
    );
    assert!(judge(&answer[..answer.len() - 1]).is_err(), "cut off");
    assert!(judge(&[&answer[..], &[0]].concat()).is_err(), "something follows");
    assert!(judge(&[]).is_err(), "nothing at all");
    let mut without_soa = answer.clone();
    without_soa[9] = 0;
    assert!(judge(&without_soa).is_err(), "NXDOMAIN without SOA");
}
