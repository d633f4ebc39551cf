//! What the documents name exists, and what they show works.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use meridian::admin::catalog::CATALOG;
use meridian::cli::args::Args;
use meridian::config;
use rust::{code_of, words};

#[allow(dead_code, reason = "shared with tests/tidy.rs, which reads more of Rust")]
#[path = "tidy/rust.rs"]
mod rust;

#[test]
fn the_code_that_documents_name_exists() {
    let rooms = Rooms::read();
    let mut missing = vec![];
    for (page, text) in pages() {
        for path in code_paths(&text) {
            if rooms.has(&path) == Some(false) {
                missing.push(format!("{page}: `{path}`"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_files_that_documents_name_exist() {
    let mut missing = vec![];
    for (page, text) in pages() {
        for path in spans(&text).filter(|span| is_rust_file(span)) {
            if !root().join(path).exists() && !root().join("src").join(path).exists() {
                missing.push(format!("{page}: `{path}`"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_examples_of_the_manual_load() {
    let manual = fs::read_to_string(root().join("docs/configuration.md")).expect("the manual");
    let readme = fs::read_to_string(root().join("README.md")).expect("the readme");
    let mut examples = examples(&manual);
    assert!(examples.len() > 4, "the manual has {} examples", examples.len());
    examples.extend(self::examples(&readme));
    let shared = examples.first().expect("an example").clone();
    for example in &examples {
        let faults = faults_of(&shared, example);
        assert!(faults.is_empty(), "'{}' does not load: {faults:#?}", example.title);
    }
}

#[test]
fn an_example_that_is_wrong_is_found() {
    let manual = fs::read_to_string(root().join("docs/configuration.md")).expect("the manual");
    let shared = &examples(&manual)[0];
    let wrong = "[record.\"www\"]\npolicy = \"nearest\"\npools = [\"nowhere\"]\n".to_owned();
    let files = vec![("zones/example.org.toml".to_owned(), wrong)];
    let faults = faults_of(shared, &Example { title: "wrong".to_owned(), files });
    assert_eq!(faults, ["pool 'nowhere' is not defined"]);
}

#[test]
fn the_detection_times_told_are_those_of_the_defaults() {
    let manual = fs::read_to_string(root().join("docs/configuration.md")).expect("the manual");
    let folder = written(&examples(&manual)[..1]);
    let config = config::load(folder.path(), None).config.expect("the first example loads");
    let monitor = &config.checks[0].monitor;
    let jittered = |wait: Duration| wait.mul_f64(1.1);
    let more = u32::from(monitor.fall) - 1;
    let refused = jittered(monitor.interval) + jittered(monitor.fast_interval) * more;
    let silent = refused + monitor.timeout * (more + 1);
    for page in ["docs/configuration.md", "docs/operations.md"] {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for time in [refused, silent] {
            let time = format!("{:.1} s", time.as_secs_f64());
            assert!(text.contains(&time), "{page} does not say {time}");
        }
    }
}

#[test]
fn the_manual_names_no_key_that_is_gone() {
    let manual = fs::read_to_string(root().join("docs/configuration.md")).expect("the manual");
    let code: String = files_at(&root().join("src/config"))
        .iter()
        .map(|file| fs::read_to_string(file).expect("a source file"))
        .collect();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let keys: Vec<&str> = rows.filter_map(|(key, _)| key.rsplit('.').next()).collect();
    assert!(keys.len() > 40, "{} keys are told of", keys.len());
    let is_word = |key: &&&str| key.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
    let gone = keys.iter().filter(is_word).filter(|key| !code.contains(&format!("\"{key}\"")));
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_key_of_the_files_is_in_the_manual() {
    let page = |page: &str| fs::read_to_string(root().join(page)).expect("a page of the manual");
    let manual = page("docs/configuration.md") + &page("docs/probing.md");
    let told: BTreeSet<&str> = manual
        .split('`')
        .flat_map(|span| span.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    let keys = keys_in_code();
    assert!(keys.len() > 40, "{} keys are read", keys.len());
    let untold: Vec<&String> = keys.iter().filter(|key| !told.contains(&***key)).collect();
    assert_eq!(untold, Vec::<&String>::new());
}

#[test]
fn examples_are_read_by_heading() {
    let text =
        "### A\n```toml a.toml\nx = 1\n```\n```sh\nls\n```\n### B\n```dns z/b.zone\n@ NS a\n```\n";
    let found = examples(text);
    assert_eq!(found[0].files, [("a.toml".to_owned(), "x = 1\n".to_owned())]);
    assert_eq!((&*found[1].title, found.len()), ("B", 2));
}

#[test]
fn the_commands_that_documents_show_can_be_typed() {
    let mut wrong = vec![];
    let mut seen = 0;
    for (page, text) in pages() {
        for line in shell_lines(&text).filter(|line| line.starts_with("meridian ")) {
            seen += 1;
            if let Err(why) = Args::try_parse_from(shell_words(line)) {
                wrong.push(format!("{page}: {line}\n{why}"));
            }
        }
        for span in spans(&text) {
            wrong.extend(missing_program(span).map(|program| format!("{page}: {program}")));
        }
    }
    assert!(seen > 5, "{seen} commands are shown");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_metrics_that_documents_name_exist() {
    let names: BTreeSet<&str> = CATALOG.iter().map(|metric| metric.name).collect();
    let mut gone = vec![];
    for (page, text) in pages() {
        let metrics = spans(&text).filter(|span| span.starts_with("meridian_"));
        gone.extend(
            metrics.filter(|name| !names.contains(name)).map(|name| format!("{page}: {name}")),
        );
    }
    assert_eq!(gone, Vec::<String>::new());
}

#[test]
fn a_command_that_is_gone_is_found() {
    let text = "```sh\n$ ls\nmeridian chekc   # reads\nmeridian up a --reason \"b c\"\n```\n";
    let lines: Vec<_> = shell_lines(text).collect();
    assert_eq!(lines, ["$ ls", "meridian chekc", "meridian up a --reason \"b c\""]);
    assert!(Args::try_parse_from(shell_words(lines[1])).is_err());
    assert_eq!(shell_words(lines[2]), ["meridian", "up", "a", "--reason", "b c"]);
    assert_eq!(missing_program("tests/gone"), Some("tests/gone".to_owned()));
    assert_eq!(missing_program("cargo test --test gone"), Some("tests/gone.rs".to_owned()));
    assert_eq!(missing_program("cargo test --test docs"), None);
}

#[test]
fn a_name_that_is_gone_is_found() {
    let declared = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let rooms = Rooms(vec![("geo".into(), declared(&["map", "GeoMap", "lookup"]))]);
    assert_eq!(rooms.has("geo::map::GeoMap::lookup"), Some(true));
    assert_eq!(rooms.has("geo::map::GeoMap::search"), Some(false));
    assert_eq!(rooms.has("tokio::spawn"), None);
    let text = "a `geo::map::lookup(x)` and `SO_REUSEPORT`\n```rust\ngeo::shown\n```\n`geo::b`";
    assert_eq!(code_paths(text).collect::<Vec<_>>(), ["geo::map::lookup", "geo::b"]);
}

#[test]
fn declarations_are_read_from_code() {
    let code = "pub fn a() {}\nstruct B;\nenum C {\n    D,\n    E(u8),\n    F { g: u8 },\n}\n";
    let names = declarations(code);
    for name in ["a", "B", "C", "D", "E", "F"] {
        assert!(names.contains(name), "{name}");
    }
    assert!(!names.contains("u8"));
}

/// What the daemon would say of an example over the files all examples share: errors only.
fn faults_of(shared: &Example, example: &Example) -> Vec<String> {
    let folder = written(&[shared.clone(), example.clone()]);
    let loaded = config::load(folder.path(), None);
    let errors = loaded.diagnostics.into_iter().filter(|fault| fault.is_error());
    let mut faults: Vec<String> = errors.map(|fault| fault.message).collect();
    if loaded.config.is_none() && faults.is_empty() {
        faults.push("refused without a word".to_owned());
    }
    faults
}

/// A folder with the files of all `examples`; a later one writes over an earlier one.
fn written(examples: &[Example]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in examples.iter().flat_map(|example| &example.files) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

/// Files of one worked example: the fenced blocks below a heading that name a file.
#[derive(Clone)]
struct Example {
    title: String,
    files: Vec<(String, String)>,
}

fn examples(text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = vec![];
    let mut lines = text.lines();
    let mut title = "";
    while let Some(line) = lines.next() {
        title = line.strip_prefix("### ").or_else(|| line.strip_prefix("## ")).unwrap_or(title);
        let Some(fence) = line.strip_prefix("```").filter(|fence| !fence.is_empty()) else {
            continue;
        };
        let block = lines.by_ref().take_while(|line| *line != "```");
        let block: String = block.flat_map(|line| [line, "\n"]).collect();
        let Some((_, path)) = fence.split_once(' ') else { continue };
        if found.last().is_none_or(|example| example.title != title) {
            found.push(Example { title: title.to_owned(), files: vec![] });
        }
        found.last_mut().expect("one is there").files.push((path.to_owned(), block));
    }
    found
}

/// Lines of blocks marked `sh`, without comments.
fn shell_lines(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).filter_map(|line| line.split(" #").next());
    lines.map(str::trim).filter(|line| !line.is_empty())
}

/// The words of a line; what stands between quotes is one.
fn shell_words(line: &str) -> Vec<&str> {
    let mut words = vec![];
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part);
        } else {
            words.extend(part.split_whitespace());
        }
    }
    words
}

/// The script, test or bench that a span names and the tree has not.
fn missing_program(span: &str) -> Option<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let words: Vec<&str> = span.split_whitespace().collect();
    let path = match words[..] {
        ["cargo", _, "--test" | "--bench", name, ..] => {
            let declared = manifest.contains(&format!("name = \"{name}\""));
            let path = format!("tests/{name}.rs");
            let has_folder = root().join(format!("tests/{name}/main.rs")).exists();
            let is_there = declared || has_folder || root().join(&path).exists();
            return (!is_there).then_some(path);
        }
        [path, ..] if path.starts_with("tests/") => path,
        _ => return None,
    };
    (!root().join(path).exists()).then(|| path.to_owned())
}

/// Every key the configuration asks a table for.
fn keys_in_code() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for file in files_at(&root().join("src/config")) {
        if file.ends_with("tests.rs") || !is_rust(&file) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for asked in ["get(\"", "entry(\"", "required(\"", "required(\n            \""] {
            let rest = text.split(asked).skip(1).filter_map(|rest| rest.split('"').next());
            keys.extend(rest.map(str::to_owned));
        }
    }
    keys
}

/// Every room with the names declared in it, modules included.
struct Rooms(Vec<(String, BTreeSet<String>)>);

impl Rooms {
    fn read() -> Self {
        let mut rooms = vec![];
        for entry in fs::read_dir(root().join("src")).expect("src").flatten() {
            let name = entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
            let mut names = BTreeSet::new();
            for file in files_at(&entry.path()).iter().filter(|file| is_rust(file)) {
                let code = code_of(&fs::read_to_string(file).expect("a source file"));
                names.extend(declarations(&code));
                names.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
            rooms.push((name, names));
        }
        Self(rooms)
    }

    /// Whether every part of `path` is declared in its room; `None` when it names no room.
    fn has(&self, path: &str) -> Option<bool> {
        let (room, rest) = path.split_once("::")?;
        let (_, names) = self.0.iter().find(|(name, _)| name == room)?;
        Some(rest.split("::").all(|part| names.contains(part)))
    }
}

/// Names that `code` declares: items by their keyword, variants by standing first on a line.
fn declarations(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for keyword in ["fn", "struct", "enum", "trait", "mod", "const", "static", "type"] {
        for at in words(code, keyword) {
            names.extend(first_word(&code[at + keyword.len()..]));
        }
    }
    let lines = code.lines().filter_map(first_word);
    names.extend(lines.filter(|word| word.starts_with(char::is_uppercase)));
    names
}

fn first_word(text: &str) -> Option<String> {
    let word = text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (!word.is_empty()).then(|| word.to_owned())
}

/// Spans that are paths of code (`geo::map::lookup`), arguments left out.
fn code_paths(text: &str) -> impl Iterator<Item = String> {
    let is_path = |span: &&str| {
        span.contains("::") && span.chars().all(|c| c.is_alphanumeric() || "_:".contains(c))
    };
    let bare = spans(text).map(|span| span.split('(').next().unwrap_or_default());
    bare.filter(is_path).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// What stands between backticks, fenced blocks left out.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2))
}

fn is_rust_file(span: &str) -> bool {
    span.ends_with(".rs") && span.contains('/') && !span.contains(['*', ' '])
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Every document with its path.
fn pages() -> Vec<(String, String)> {
    let all = files_at(&root().join("docs"))
        .into_iter()
        .chain(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let pages = all.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a document");
        (path.strip_prefix(root()).expect("in the tree").display().to_string(), text)
    };
    pages.map(read).collect()
}

/// The file itself, or every file below a folder.
fn files_at(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.flat_map(|entry| files_at(&entry.path())).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
