//! What the daemon finds in its state directory: beliefs and overrides, or damaged files.

use std::cell::RefCell;
use std::fs;

use meridian::health::persist::{
    HEALTH_FILE, OVERRIDES_FILE, load_health, load_overrides, save_health, save_overrides,
};

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

/// Some time, in seconds since 1970.
const WALL: u64 = 1_800_000_000;

/// Reads the octets as one of the two files, by the first octet. What was understood is
/// understood again when it has been written down.
pub fn run(octets: &[u8]) {
    let Some((&which, text)) = octets.split_first() else { return };
    FOLDER.with_borrow(|folder| {
        let folder = folder.path();
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            fs::remove_file(entry.path()).expect("a file");
        }
        if which & 1 == 0 {
            fs::write(folder.join(HEALTH_FILE), text).expect("a file");
            let first = load_health(folder, WALL);
            save_health(folder, &first.value, WALL).expect("a folder to write to");
            let second = load_health(folder, WALL);
            assert_eq!(second.value, first.value);
            assert!(second.warnings.is_empty(), "{:?}", second.warnings);
        } else {
            fs::write(folder.join(OVERRIDES_FILE), text).expect("a file");
            let first = load_overrides(folder);
            save_overrides(folder, &first.value).expect("a folder to write to");
            let second = load_overrides(folder);
            assert_eq!(second.value, first.value);
            assert!(second.warnings.is_empty(), "{:?}", second.warnings);
        }
    });
}
