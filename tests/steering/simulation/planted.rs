//! The lines that `tests/planted` makes wrong are there.

#[path = "../../planted/faults.rs"]
mod faults;

use faults::{FAULTS, Fault};

#[test]
fn every_line_that_is_made_wrong_is_there_once() {
    for Fault { name, file, text, wrong, found } in FAULTS {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&path).expect("a file of the source");
        let times = source.matches(text).count();
        assert_eq!(times, 1, "'{name}': {text:?} is {times} times in {file}");
        assert!(wrong.contains("PLANTED") && !found.is_empty(), "'{name}' plants nothing");
    }
}
