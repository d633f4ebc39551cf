//! What an agent keeps on disk: how often it has started, and the last probe set a node gave it.
//!
//! Files are written whole, synced and renamed. A damaged one is set aside and never stops a
//! start.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::health::persist::{set_aside, write_whole};

const BOOT: &str = "boot";
const SET: &str = "probeset";

/// See the module's text.
#[derive(Debug)]
pub struct Desk {
    folder: PathBuf,
    boot: u64,
}

impl Desk {
    /// Opens `folder`, and counts this start. What is wrong with it is in the second field, in
    /// words.
    ///
    /// # Errors
    /// The start cannot be counted: reports would be taken for old ones.
    pub fn open(folder: &Path) -> io::Result<(Self, Vec<String>)> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(BOOT);
        let mut warnings = Vec::new();
        let before = match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse::<u64>() {
                Ok(before) => before,
                Err(_) => {
                    warnings.push(set_aside(&path, "no number"));
                    0
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        // A clock that goes backwards cannot make it smaller, and a lost file cannot either.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let boot = before.saturating_add(1).max(now);
        write_whole(&path, format!("{boot}\n").as_bytes())?;
        Ok((Self { folder: folder.to_owned(), boot }, warnings))
    }

    /// The number of this start: more than that of any before.
    pub const fn boot(&self) -> u64 {
        self.boot
    }

    /// Keeps a sealed probe set.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&self, envelope: &[u8]) -> io::Result<()> {
        write_whole(&self.folder.join(SET), envelope)
    }

    /// The sealed probe set that was kept last.
    pub fn kept(&self) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(SET)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_counts_more_than_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let boot = || Desk::open(folder.path()).map(|(desk, warnings)| (desk.boot(), warnings));
        let (first, warnings) = boot().expect("a start");
        assert_eq!(warnings, Vec::<String>::new());
        assert!(boot().expect("a start").0 > first);
        let far = u64::MAX / 2;
        std::fs::write(folder.path().join(BOOT), format!("{far}\n")).expect("written");
        assert_eq!(boot().expect("a start").0, far + 1, "whatever the clock says");
        std::fs::write(folder.path().join(BOOT), "half a num").expect("written");
        let (after, warnings) = boot().expect("a start");
        assert!(after >= first && warnings.len() == 1, "{warnings:?}");
        let aside = std::fs::read_dir(folder.path()).expect("a folder");
        assert_eq!(aside.count(), 2, "the damaged file is kept");
    }

    #[test]
    fn a_set_is_kept_over_a_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let (desk, _) = Desk::open(folder.path()).expect("a start");
        assert_eq!(desk.kept(), None);
        desk.keep(b"sealed").expect("kept");
        let (again, _) = Desk::open(folder.path()).expect("a start");
        assert_eq!(again.kept().as_deref(), Some(&b"sealed"[..]));
    }
}
