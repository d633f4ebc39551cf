//! Keys and certificates as an operator makes them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::run;

#[test]
fn a_key_is_its_owners_and_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("fra-1.key");
    let path = file.to_str().expect("UTF-8");
    let made = run(&["key", "generate", path]);
    assert!(made.code == 0 && made.out.starts_with("key = \"ed25519:"), "{}", made.out);
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(run(&["key", "show", path]).out, made.out);
    let again = run(&["key", "generate", path]);
    assert!(again.code == 2 && again.err.contains("cannot write"), "{}", again.err);
    assert_eq!(run(&["key", "show", path]).out, made.out);
}

#[test]
fn an_authority_issues_shows_and_renews() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().to_str().expect("UTF-8");
    let issue = |more: &[&str]| run(&[&["pki", "issue", at], more].concat());
    let early = issue(&["fra-1", "--vantage"]);
    assert!(early.code == 2 && early.err.contains("pki init"), "{}", early.err);
    assert_eq!(run(&["pki", "init", at]).code, 0);
    assert_eq!(run(&["pki", "init", at]).code, 2);
    assert_eq!(issue(&["fra-1", "--vantage", "--days", "7"]).code, 0);
    assert_eq!(issue(&["ams-1", "--node", "--vantage"]).code, 0);
    assert_eq!(issue(&["nats-1", "--broker", "--host", "192.0.2.1"]).code, 0);
    for wrong in [&["fra-1", "--vantage"][..], &["Fra", "--node"], &["x"], &["n", "--broker"]] {
        assert_eq!(issue(wrong).code, 2, "{wrong:?}");
    }
    for key in ["authority.key", "fra-1.key"] {
        let mode = fs::metadata(folder.path().join(key)).expect(key).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let shown = run(&["pki", "show", at]);
    assert_eq!(shown.code, 0, "{}", shown.out);
    for wanted in [
        "days left",
        "fra-1.vantage.meridian",
        "ams-1.node.meridian, ams-1.vantage.meridian",
        "192.0.2.1",
        "signs for the others",
    ] {
        assert!(shown.out.contains(wanted), "{wanted}: {}", shown.out);
    }
    let before = fs::read(folder.path().join("fra-1.key")).expect("a key");
    assert_eq!(issue(&["fra-1", "--vantage", "--days", "2", "--renew"]).code, 0);
    assert_eq!(fs::read(folder.path().join("fra-1.key")).expect("a key"), before);
    let shown = run(&["pki", "show", at]);
    assert!(shown.code == 1 && shown.out.contains("hours left"), "{}", shown.out);
}
