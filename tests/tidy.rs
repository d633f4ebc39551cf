//! Conventions that a reader may rely on, held by reading the tree.
//!
//! Who may use whom stands in `docs/architecture.md` and is read from there. Every rule is a
//! function from one file to its faults, and has a test that shows it can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rust::{code_of, paths_from, without_tests, words};

#[path = "tidy/rust.rs"]
mod rust;

/// Rooms that may name a runtime, a socket or a clock.
const OUTWARD: &[&str] = &["io", "probe", "bus", "admin", "cli", "daemon", "main"];

/// What only those rooms may name.
const OUTSIDE_WORLD: &[&str] = &[
    "mio",
    "tokio",
    "socket2",
    "libc",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "Instant::now",
    "SystemTime::now",
];

/// Files and folders a query passes through.
const ROAD: &[&str] = &[
    "src/wire/",
    "src/server/",
    "src/zone/catalog.rs",
    "src/zone/hash.rs",
    "src/zone/lookup.rs",
    "src/zone/node.rs",
    "src/zone/table.rs",
    "src/geo/table.rs",
    "src/geo/trie.rs",
    "src/health/table.rs",
    "src/limit/",
    "src/steer/affinity.rs",
    "src/steer/chance.rs",
    "src/steer/demand.rs",
    "src/steer/dials.rs",
    "src/steer/heavy.rs",
    "src/steer/key.rs",
    "src/steer/resolved.rs",
    "src/steer/select.rs",
    "src/steer/select/nested.rs",
    "src/steer/select/order.rs",
    "src/steer/select/standing.rs",
    "src/steer/select/tied.rs",
    "src/steer/service.rs",
    "src/steer/spill.rs",
    "src/steer/tally.rs",
    "src/steer/weight.rs",
];

/// What has no place on the road.
const OFF_THE_ROAD: &[&str] = &[
    "unwrap()",
    "expect(",
    "panic!",
    "unreachable!",
    "tracing",
    "Mutex",
    "RwLock",
    "async",
    "await",
];

/// Macros that print.
const PRINTING: &[&str] = &["print!", "println!", "eprint!", "eprintln!", "dbg!"];

/// Longest file, in lines, and the files that earn more, with the reason.
const LINES_MAX: usize = 700;
const LONG_FILES: &[(&str, &str)] = &[];

/// Marks of unfinished work, put together here so that this file does not find itself.
const LEFT_OPEN: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[ig", "nore"),
];

/// Roots of paths that exist on somebody's machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk"), concat!("/tmp", "/"), concat!("/ho", "me"), concat!("/ro", "ot")];

/// Hosts of package registries and of private networks, which do not belong in a public tree.
const PRIVATE_HOSTS: &[&str] = &[
    concat!("://regi", "stry."),
    concat!("arti", "factory"),
    concat!("://10", "."),
    concat!("://172", "."),
    concat!("://192", ".168."),
];

/// Folders of shipped data; whoever opens one finds out what it holds.
const DATA_FOLDERS: &[&str] = &["geo", "probes", "zones"];

// --- The rules, held -----------------------------------------------------------------------

#[test]
fn rooms_use_only_whom_they_may() {
    let table = RoomTable::read(&repository_file("docs/architecture.md"));
    hold(&sources(), |file| direction(file, &table));
}

#[test]
fn the_table_names_every_room_and_no_other() {
    let table = RoomTable::read(&repository_file("docs/architecture.md"));
    let rooms: BTreeSet<String> = sources().iter().filter_map(SourceFile::room).collect();
    assert_eq!(table.0.keys().collect::<Vec<_>>(), rooms.iter().collect::<Vec<_>>());
}

#[test]
fn unsafe_stays_in_one_file() {
    hold(&sources(), unsafe_outside_its_fence);
}

#[test]
fn rooms_forbid_unsafe_code() {
    hold(&sources(), missing_forbid);
}

#[test]
fn sockets_and_clocks_stay_outside() {
    hold(&sources(), outside_world);
}

#[test]
fn the_road_neither_stops_nor_speaks_nor_panics() {
    for road in ROAD {
        assert!(root().join(road).exists(), "{road} is listed as road and does not exist");
    }
    hold(&sources(), off_the_road);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    hold(&sources(), unwrapped);
}

#[test]
fn output_has_one_way_out() {
    hold(&sources(), printed);
}

#[test]
fn every_file_says_what_it_is_for() {
    hold(&rust_files(), missing_opening);
}

#[test]
fn files_stay_short() {
    hold(&rust_files(), too_long);
    for (path, reason) in LONG_FILES {
        let lines = repository_file(path).lines().count();
        assert!(lines > LINES_MAX, "{path} needs no exception any more ({lines} lines)");
        assert!(!reason.is_empty(), "{path}: an exception needs its reason");
    }
}

#[test]
fn nothing_is_left_open() {
    hold(&rust_files(), left_open);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    hold(&text_files(), machine_paths);
}

#[test]
fn every_decision_is_linked_from_the_index() {
    let index = repository_file("docs/decisions/README.md");
    let pages = names_in("docs/decisions");
    assert!(pages.len() > 1, "there are no decisions");
    assert_eq!(unlinked(&index, &pages), Vec::<String>::new());
}

#[test]
fn every_data_folder_has_a_readme() {
    for folder in DATA_FOLDERS {
        let names = names_in(folder);
        assert!(explained(&names), "{folder}/ has no README.md");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = text_files().into_iter().filter(|file| file.path.ends_with(".md"));
    let exists = |path: &Path| root().join(path).exists();
    hold(&documents.collect::<Vec<_>>(), |file| dead_links(file, exists));
}

// --- The rules -----------------------------------------------------------------------------

/// A room names only the rooms its line of the table allows.
fn direction(file: &SourceFile, table: &RoomTable) -> Vec<Fault> {
    let Some(room) = file.room() else { return vec![] };
    let code = file.code_without_tests();
    let mut faults = vec![];
    for (at, path) in paths_from(&code, if room == "main" { "meridian::" } else { "crate::" }) {
        if !table.allows(&room, &path) {
            faults.push(file.fault(&code, at, format!("{room} may not use {path}")));
        }
    }
    let depth = file.path.trim_end_matches("/mod.rs").split('/').count() - 1;
    let climb = "super::".repeat(depth);
    for at in words(&code, &climb) {
        faults.push(file.fault(&code, at, "name other rooms by crate::, not super::".into()));
    }
    faults
}

fn unsafe_outside_its_fence(file: &SourceFile) -> Vec<Fault> {
    if file.path == "src/io/sys.rs" {
        return vec![];
    }
    file.faults_at_words(&["unsafe"], |_| "unsafe code stands in src/io/sys.rs only".into())
}

/// `io/mod.rs` is the parent of the one file with unsafe code, so it cannot forbid it; all
/// its other files do.
fn missing_forbid(file: &SourceFile) -> Vec<Fault> {
    let in_io = file.path.starts_with("src/io/");
    let asked = if in_io {
        !["src/io/mod.rs", "src/io/sys.rs"].contains(&file.path.as_str())
    } else {
        file.path.ends_with("/mod.rs") && file.path.matches('/').count() == 2
    };
    if !asked || code_of(&file.text).contains("#![forbid(unsafe_code)]") {
        return vec![];
    }
    vec![file.fault_at_line(1, "#![forbid(unsafe_code)] is missing".into())]
}

fn outside_world(file: &SourceFile) -> Vec<Fault> {
    match file.room() {
        Some(room) if !OUTWARD.contains(&room.as_str()) => {
            file.faults_at_words(OUTSIDE_WORLD, |word| format!("{room} may not name {word}"))
        }
        _ => vec![],
    }
}

fn off_the_road(file: &SourceFile) -> Vec<Fault> {
    if !ROAD.iter().any(|road| file.path.starts_with(road)) {
        return vec![];
    }
    file.faults_at_words(OFF_THE_ROAD, |word| format!("{word} has no place on the query road"))
}

/// Off the road `expect` may say why our own invariant holds; `unwrap` says nothing.
fn unwrapped(file: &SourceFile) -> Vec<Fault> {
    file.faults_at_words(&["unwrap()"], |_| "say why it holds: expect(\"…\")".into())
}

/// A macro that prints panics when nobody reads; `cli::output` does not.
fn printed(file: &SourceFile) -> Vec<Fault> {
    file.faults_at_words(PRINTING, |word| format!("{word} panics at a closed pipe: cli::output"))
}

fn missing_opening(file: &SourceFile) -> Vec<Fault> {
    if file.text.starts_with("//! ") {
        return vec![];
    }
    vec![file.fault_at_line(1, "a file opens with //! and what it is for".into())]
}

fn too_long(file: &SourceFile) -> Vec<Fault> {
    let lines = file.text.lines().count();
    if lines <= LINES_MAX || LONG_FILES.iter().any(|(path, _)| *path == file.path) {
        return vec![];
    }
    vec![file.fault_at_line(lines, format!("a file has at most {LINES_MAX} lines"))]
}

fn left_open(file: &SourceFile) -> Vec<Fault> {
    file.faults_at_text(LEFT_OPEN, |mark| format!("unfinished: {mark}"))
}

fn machine_paths(file: &SourceFile) -> Vec<Fault> {
    let starts_here = |at: usize, path: &str| {
        let before = file.text[..at].chars().next_back();
        let after = file.text[at + path.len()..].chars().next();
        let joins = |c: char| c.is_alphanumeric() || "_-./}".contains(c);
        !before.is_some_and(joins)
            && (path.ends_with('/') || !after.is_some_and(char::is_alphanumeric))
    };
    let mut faults = vec![];
    for path in MACHINE_PATHS {
        for (at, _) in file.text.match_indices(path).filter(|(at, path)| starts_here(*at, path)) {
            faults.push(file.fault(&file.text, at, format!("{path} is a path of one machine")));
        }
    }
    if file.path != "Cargo.lock" {
        faults.extend(file.faults_at_text(PRIVATE_HOSTS, |host| format!("host {host}")));
    }
    faults
}

/// The pages of `docs/decisions` that the index does not link.
fn unlinked(index: &str, pages: &[String]) -> Vec<String> {
    let is_page = |page: &&String| *page != "README.md";
    let missing = |page: &&String| !index.contains(&format!("({page})"));
    pages.iter().filter(is_page).filter(missing).cloned().collect()
}

/// Whether a folder with these files says what it holds. An empty one need not.
fn explained(names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| name == "README.md")
}

/// Relative links whose target is not in the tree.
fn dead_links(file: &SourceFile, exists: impl Fn(&Path) -> bool) -> Vec<Fault> {
    let folder = Path::new(&file.path).parent().unwrap_or_else(|| Path::new(""));
    let mut faults = vec![];
    for (at, _) in file.text.match_indices("](") {
        let rest = &file.text[at + 2..];
        let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || exists(&folder.join(target)) {
            continue;
        }
        faults.push(file.fault(&file.text, at, format!("the link to {target} leads nowhere")));
    }
    faults
}

// --- Reading the tree ----------------------------------------------------------------------

/// A file, by its path from the top of the repository.
struct SourceFile {
    path: String,
    text: String,
}

/// A broken rule and where it is broken.
struct Fault {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

impl SourceFile {
    /// The room a file under `src/` belongs to. `lib.rs` only declares and belongs to none.
    fn room(&self) -> Option<String> {
        let inside = self.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?.trim_end_matches(".rs");
        (room != "lib").then(|| room.to_owned())
    }

    /// The code alone, unit tests blanked out too; a file of tests has none.
    fn code_without_tests(&self) -> String {
        if self.path.ends_with("tests.rs") || self.path.contains("/tests/") {
            return String::new();
        }
        without_tests(code_of(&self.text))
    }

    fn faults_at_words(&self, wanted: &[&str], rule: impl Fn(&str) -> String) -> Vec<Fault> {
        let code = self.code_without_tests();
        let mut faults = vec![];
        for word in wanted {
            faults
                .extend(words(&code, word).into_iter().map(|at| self.fault(&code, at, rule(word))));
        }
        faults
    }

    fn faults_at_text(&self, wanted: &[&str], rule: impl Fn(&str) -> String) -> Vec<Fault> {
        let mut faults = vec![];
        for text in wanted {
            let hits = self.text.match_indices(text);
            faults.extend(hits.map(|(at, _)| self.fault(&self.text, at, rule(text))));
        }
        faults
    }

    fn fault(&self, text: &str, at: usize, rule: String) -> Fault {
        self.fault_at_line(text[..at].matches('\n').count() + 1, rule)
    }

    fn fault_at_line(&self, line: usize, rule: String) -> Fault {
        Fault { path: self.path.clone(), line, rule }
    }
}

/// Fails with every fault the rule finds, one per line.
fn hold(files: &[SourceFile], rule: impl Fn(&SourceFile) -> Vec<Fault>) {
    assert!(!files.is_empty(), "there is nothing to read");
    let faults: Vec<String> = files.iter().flat_map(rule).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn repository_file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources() -> Vec<SourceFile> {
    files_below("src", &["rs"])
}

fn rust_files() -> Vec<SourceFile> {
    files_below("", &["rs"])
}

/// What people write; data and build results are not among it.
fn text_files() -> Vec<SourceFile> {
    files_below("", &["rs", "toml", "md", "zone", "sh", "py", "yml", "json", "html", "run", "lock"])
}

/// Files below `folder` with one of these extensions; a file without one counts as a script.
fn files_below(folder: &str, extensions: &[&str]) -> Vec<SourceFile> {
    let mut found = vec![];
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let hidden = name.starts_with('.') && name != ".ci";
            if hidden || ["target", "state"].contains(&name.as_str()) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
                continue;
            }
            let extension =
                Path::new(&name).extension().map_or_else(|| "sh".into(), |e| e.to_string_lossy());
            if extensions.contains(&&*extension)
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                found.push(SourceFile { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Names of the files in a folder; none when there is no such folder.
fn names_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Who may use whom: the block marked `rooms` in `docs/architecture.md`, one line
/// `room -> room, room::module` each; `*` stands for all.
struct RoomTable(BTreeMap<String, Vec<String>>);

impl RoomTable {
    fn read(document: &str) -> Self {
        let (_, block) = document.split_once("```rooms\n").expect("a block marked rooms");
        let (block, _) = block.split_once("```").expect("the block ends");
        let mut table = BTreeMap::new();
        for line in block.lines() {
            let (room, used) = line.split_once("->").expect("room -> rooms");
            let used = used.split(',').map(|name| name.trim().to_owned());
            table.insert(room.trim().to_owned(), used.filter(|name| !name.is_empty()).collect());
        }
        Self(table)
    }

    /// A path is allowed when it lies in its own room or at or below one that is listed.
    fn allows(&self, room: &str, path: &str) -> bool {
        let below = |listed: &str| {
            path.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        below(room)
            || self
                .0
                .get(room)
                .is_some_and(|used| used.iter().any(|name| name == "*" || below(name)))
    }
}

// --- The rules can fail --------------------------------------------------------------------

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.into(), text: text.into() }
}

/// The lines on which `rule` finds a fault.
fn lines(path: &str, text: &str, rule: impl Fn(&SourceFile) -> Vec<Fault>) -> Vec<usize> {
    rule(&file(path, text)).iter().map(|fault| fault.line).collect()
}

#[test]
fn a_wrong_direction_is_found_in_every_spelling() {
    let table =
        RoomTable::read("```rooms\nsteer -> geo, health::table\ncli -> *\nmain -> cli\n```");
    let check = |path: &str, text: &str| lines(path, text, |file| direction(file, &table));
    let steer = "src/steer/select.rs";
    assert_eq!(check(steer, "use crate::server::Answer;"), [1]);
    assert_eq!(check(steer, "use crate::geo::map;\nuse crate::{geo::A, zone as z};"), [2]);
    assert_eq!(check(steer, "fn f() {\n    crate::zone::open();\n}"), [2]);
    assert_eq!(check(steer, "use crate::health::{table::Word, verdict::*};"), [1]);
    assert_eq!(check(steer, "use super::super::zone;"), [1]);
    assert_eq!(check("src/main.rs", "use meridian::zone;"), [1]);
    assert_eq!(check(steer, "use crate::steer::{a, b};\nuse super::rule;"), []);
    assert_eq!(check(steer, "// use crate::zone;\nconst S: &str = \"crate::zone\";"), []);
    assert_eq!(check(steer, "#[cfg(test)]\nmod tests {\n    use crate::zone;\n}"), []);
    assert_eq!(check(steer, "#[cfg(test)]\nmod tests {}\nuse crate::zone;"), [3]);
    assert_eq!(check("src/cli/mod.rs", "use crate::zone;"), []);
}

#[test]
fn unsafe_outside_its_file_is_found() {
    let text = "//! Never unsafe.\nfn f() { unsafe { g() } }";
    assert_eq!(lines("src/io/udp.rs", text, unsafe_outside_its_fence), [2]);
    assert_eq!(lines("src/io/sys.rs", text, unsafe_outside_its_fence), []);
}

#[test]
fn a_room_without_its_forbid_is_found() {
    let comment = "//! x\n// #![forbid(unsafe_code)]\n";
    assert_eq!(lines("src/geo/mod.rs", comment, missing_forbid), [1]);
    assert_eq!(lines("src/io/tcp.rs", comment, missing_forbid), [1]);
    assert_eq!(lines("src/geo/mod.rs", "//! x\n\n#![forbid(unsafe_code)]\n", missing_forbid), []);
    assert_eq!(lines("src/io/sys.rs", comment, missing_forbid), []);
}

#[test]
fn a_clock_or_a_socket_in_a_pure_room_is_found() {
    let text = "//! x\nuse std::time::Instant;\nfn f() { let now = Instant::now(); }\n";
    assert_eq!(lines("src/health/state.rs", text, outside_world), [3]);
    assert_eq!(lines("src/probe/schedule.rs", text, outside_world), []);
    assert_eq!(lines("src/geo/db.rs", "use std::net::UdpSocket;", outside_world), [1]);
    assert_eq!(lines("src/geo/db.rs", "use tokio::fs;", outside_world), [1]);
}

#[test]
fn what_stops_the_road_is_found() {
    for stop in ["x.unwrap();", "x.expect(\"y\");", "panic!();", "m: Mutex<u8>", "x.await;"] {
        let text = format!("//! x\n{stop}\n");
        assert_eq!(lines("src/wire/query.rs", &text, off_the_road), [2], "{stop}");
        assert_eq!(lines("src/cli/mod.rs", &text, off_the_road), [], "{stop}");
        let test = format!("#[cfg(test)]\nmod tests {{ {stop} }}\n");
        assert_eq!(lines("src/wire/query.rs", &test, off_the_road), [], "{stop}");
    }
    assert_eq!(lines("src/wire/query.rs", "x.unwrap_or(1);", off_the_road), []);
}

#[test]
fn an_unwrap_is_found() {
    let text =
        "//! x\n#[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }\nfn g() { b.unwrap(); }\n";
    assert_eq!(lines("src/cli/mod.rs", text, unwrapped), [4]);
    assert_eq!(lines("src/health/state_tests.rs", text, unwrapped), []);
}

#[test]
fn a_print_is_found() {
    assert_eq!(lines("src/cli/mod.rs", "//! x\nfn f() { println!(); }\n", printed), [2]);
    assert_eq!(lines("src/cli/mod.rs", "//! x\nfn f() { output::print(x); }\n", printed), []);
}

#[test]
fn a_file_without_an_opening_is_found() {
    assert_eq!(lines("src/a.rs", "use std::fmt;\n//! late", missing_opening), [1]);
    assert_eq!(lines("src/a.rs", "//! x", missing_opening), []);
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(lines("src/a.rs", &"\n".repeat(LINES_MAX + 1), too_long), [LINES_MAX + 1]);
    assert_eq!(lines("src/a.rs", &"\n".repeat(LINES_MAX), too_long), []);
}

#[test]
fn unfinished_work_is_found() {
    for mark in LEFT_OPEN {
        assert_eq!(lines("src/a.rs", &format!("//! x\n// {mark} later"), left_open), [2], "{mark}");
    }
}

#[test]
fn a_machine_path_or_a_private_host_is_found() {
    for path in MACHINE_PATHS {
        let text = format!("# x\ncd {path}/main");
        assert_eq!(lines("README.md", &text, machine_paths), [2], "{path}");
        let part = format!("see frame{path}ers and src{path}/x");
        assert_eq!(lines("README.md", &part, machine_paths), [], "{path}");
    }
    for host in PRIVATE_HOSTS {
        assert_eq!(lines("a.toml", &format!("url = \"https{host}1.test\""), machine_paths), [1]);
    }
}

#[test]
fn an_unlinked_decision_and_a_folder_without_readme_are_found() {
    let pages = ["README.md", "0001-a.md", "0002-b.md"].map(String::from);
    assert_eq!(unlinked("[a](0001-a.md)", &pages), ["0002-b.md"]);
    assert!(explained(&pages));
    assert!(!explained(&pages[1..]));
}

#[test]
fn a_dead_link_is_found() {
    let exists = |path: &Path| path == Path::new("docs/lexicon.md");
    let check = |text: &str| lines("docs/a.md", text, |file| dead_links(file, exists));
    assert_eq!(check("x\n[a](gone.md#part)"), [2]);
    assert_eq!(check("[a](lexicon.md#x) [b](https://example.org/) [c](#here)"), []);
}
