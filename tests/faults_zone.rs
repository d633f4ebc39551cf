//! Every fault a zone file can have, as the operator sees it: `faults_zone/NAME.zone` must give
//! exactly `faults_zone/NAME.stderr`. A line `;steered NAME [cut] [cname]` in the zone file says
//! what a policy file beside it would steer. `MERIDIAN_BLESS=1` writes the expectations anew;
//! read them before they are committed, they are what a person gets.

use std::path::{Path, PathBuf};

use meridian::diagnostics::{Severity, Source, render};
use meridian::wire::name::Name;
use meridian::zone::check::{self, Check};
use meridian::zone::hash::HashKey;
use meridian::zone::{SteeredName, load, master};

#[test]
fn every_faulty_zone_file_is_told_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults_zone");
    let mut zones: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "zone"))
        .collect();
    zones.sort();
    assert!(zones.len() >= 35, "only {} faulty zone files", zones.len());
    let bless = std::env::var_os("MERIDIAN_BLESS").is_some();
    let mut wrong = Vec::new();
    for zone in zones {
        let file = Path::new(zone.file_name().expect("a file"));
        let told = faults(&folder, file);
        assert!(!told.is_empty(), "{} has no fault", file.display());
        let expected = zone.with_extension("stderr");
        if bless {
            std::fs::write(&expected, &told).expect("writable");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{}\n{told}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "told otherwise than expected:\n{}", wrong.join("\n"));
}

/// `docs/zone-checks.md` lists what the code checks, and each check has an example.
#[test]
fn every_check_is_listed_and_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/zone-checks.md")).expect("readable");
    let listed: Vec<(String, String, String)> = page
        .lines()
        .filter(|line| line.starts_with("| Z"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].to_owned(), cells[2].to_owned(), cells[3].to_owned())
        })
        .collect();
    let known: Vec<(String, String, String)> = Check::ALL
        .iter()
        .map(|check| {
            let severity = if check.severity() == Severity::Error { "error" } else { "warning" };
            (check.code().to_owned(), severity.to_owned(), check.what().to_owned())
        })
        .collect();
    assert_eq!(listed, known);
    let told: String = std::fs::read_dir(root.join("tests/faults_zone"))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stderr"))
        .map(|path| std::fs::read_to_string(path).expect("readable"))
        .collect();
    for (code, severity, _) in known {
        assert!(told.contains(&format!("{severity}[{code}]: ")), "no example of {code}");
    }
}

/// What a person is told about the zone `example.org` in `file`.
fn faults(folder: &Path, file: &Path) -> String {
    let origin: Name = "example.org".parse().expect("a name");
    let source = Source::read(folder, file).expect("readable");
    let open = |path: &Path| Source::read(folder, path);
    let (records, mut faults) = master::read(&source, &origin, &open);
    let steered = steered(&source, &origin);
    faults.extend(check::check(&records, &origin, &steered));
    let told = render(&faults);
    if !records.is_incomplete() {
        let (_, faults) = load::load(&source, &origin, &steered, HashKey::random(), &open);
        assert_eq!(render(&faults), told, "{} loaded in one go", file.display());
    }
    told
}

fn steered(source: &Source, origin: &Name) -> Vec<SteeredName> {
    let text = String::from_utf8_lossy(&source.text);
    let lines = text.lines().filter_map(|line| line.strip_prefix(";steered "));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            SteeredName {
                owner: Name::parse(words[0], origin.as_ref()).expect("a name"),
                cut: words.contains(&"cut"),
                cname: words.contains(&"cname"),
            }
        })
        .collect()
}
