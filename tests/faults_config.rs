//! What an operator is told about faulty files: each folder of `faults_config` is a small
//! configuration, and its `expected.stderr` is what `meridian check` says of it.
//!
//! `MERIDIAN_BLESS=1 cargo test --test faults_config` writes the files anew; read them before
//! they are committed, for each is an interface.

use std::fs;
use std::path::{Path, PathBuf};

use meridian::config::{Loaded, load};
use meridian::diagnostics::{render, summary};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults_config");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    cases.sort();
    cases
}

fn told(loaded: &Loaded) -> String {
    format!("{}{}\n", render(&loaded.diagnostics), summary(&loaded.diagnostics))
}

#[test]
fn every_fault_is_told_as_expected() {
    let bless = std::env::var_os("MERIDIAN_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let told = told(&load(&case, None));
        let expected = case.join("expected.stderr");
        if bless {
            fs::write(&expected, &told).expect("the folder can be written to");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if told != expected {
            wrong.push(format!("--- {}\n{expected}--- but was\n{told}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_warnings_leave_a_configuration() {
    for case in cases() {
        let loaded = load(&case, None);
        let error = loaded.diagnostics.iter().any(|fault| fault.is_error());
        assert_eq!(loaded.config.is_none(), error, "{}", case.display());
        assert!(!loaded.diagnostics.is_empty(), "{} has no fault", case.display());
    }
}

#[test]
fn there_are_enough_cases() {
    assert!(cases().len() >= 45, "{}", cases().len());
}
