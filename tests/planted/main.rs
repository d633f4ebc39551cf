//! What is never red proves nothing: the simulation of `tests/steering/simulation` must find every
//! fault of [`faults`].
//!
//! A copy of the tree with all of them in it, each asleep, is built once; then the simulation runs
//! with one of them awake after the other, and a table tells which invariant found it, and with
//! which seed. `MERIDIAN_SEEDS` bounds the seeds that each gets. That the lines are still there to
//! be made wrong is seen by every `cargo test --test steering`.

mod faults;

use std::path::{Path, PathBuf};
use std::process::Command;

use faults::{FAULTS, Fault};

/// What wakes one of them, in the copy.
const WAKES: &str = r#"
/// True while this fault is awake.
pub fn planted(name: &str) -> bool {
    static AWAKE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let awake = AWAKE.get_or_init(|| std::env::var("MERIDIAN_PLANTED").ok());
    awake.as_deref() == Some(name)
}

/// Grows once in a while.
pub fn planted_turn() -> u64 {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) / 500
}
"#;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR");
    set.map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Writes what differs, so that only that is built.
fn write(path: &Path, text: &[u8]) {
    if std::fs::read(path).ok().as_deref() != Some(text) {
        std::fs::write(path, text).expect("a file");
    }
}

/// Copies what git knows of, and what it does not ignore, with every fault in it.
fn copy(to: &Path) {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git");
    for file in String::from_utf8(listed.stdout).expect("names").lines() {
        let (from, to) = (root().join(file), to.join(file));
        std::fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        if from.is_file() {
            let text = std::fs::read(from).expect("a file");
            write(&to, &plant(file, text));
        }
    }
}

/// A file with the faults that are for it.
fn plant(file: &str, text: Vec<u8>) -> Vec<u8> {
    let faults = FAULTS.iter().filter(|fault| fault.file == file);
    if faults.clone().next().is_none() && file != "src/lib.rs" {
        return text;
    }
    let text = String::from_utf8(text).expect("text");
    let mut text = faults.fold(text, |text, Fault { name, text: right, wrong, .. }| {
        text.replace(right, &wrong.replace("PLANTED", &format!("crate::planted({name:?})")))
    });
    if file == "src/lib.rs" {
        text += WAKES;
    }
    // What is `const` cannot ask.
    text.replace("const fn speaks_against", "fn speaks_against").into_bytes()
}

/// Builds the tests of the copy, in a folder of its own: cargo would take them for those of the tree
/// itself. Says where they are.
fn build(tree: &Path) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--test", "steering", "--no-run", "--config"]);
    cargo.args(["profile.dev.package.meridian.opt-level=0", "--config", "build.rustflags=[]"]);
    let built = cargo
        .env("CARGO_TARGET_DIR", target().join("planted/target"))
        .current_dir(tree)
        .output()
        .expect("cargo");
    let told = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "the copy cannot be built:\n{told}");
    let path = told.rsplit_once('(').and_then(|(_, path)| path.split_once(')'));
    tree.join(path.expect("the executable").0)
}

/// Runs the simulation; what it told when it failed.
fn simulate(tests: &Path, fault: Option<&str>, seeds: &str) -> Option<String> {
    let mut run = Command::new(tests);
    run.arg("simulation::what").env("MERIDIAN_SEEDS", seeds).env("RUST_BACKTRACE", "0");
    if let Some(name) = fault {
        run.env("MERIDIAN_PLANTED", name);
    }
    let ran = run.current_dir(root()).output().expect("the tests");
    (!ran.status.success()).then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn every_planted_fault_is_found() {
    let tree = target().join("planted/tree");
    copy(&tree);
    let tests = build(&tree);
    let seeds = std::env::var("MERIDIAN_SEEDS").unwrap_or_else(|_| "600".to_owned());
    assert_eq!(simulate(&tests, None, "60"), None, "it fails with every fault asleep");
    let mut missed = Vec::new();
    for Fault { name, found, .. } in FAULTS {
        let told = simulate(&tests, Some(name), &seeds).unwrap_or_default();
        let by = found.iter().find(|word| told.contains(*word));
        let seed = told.rsplit_once("MERIDIAN_SEED=").and_then(|(_, seed)| seed.lines().next());
        println!("{name}: {} seed {}", by.unwrap_or(&"NOT FOUND"), seed.unwrap_or("-"));
        if by.is_none() {
            missed.push(format!("{name}: {told}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
