//! What is kept of names over a restart: their last addresses, in `aliases.json` of the state
//! folder. Without it a name that cannot be resolved while the process begins would have no answer
//! at all, though its addresses were good a minute ago.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Known, Standing};
use crate::daemon::watchman::family_word;
use crate::health::persist;
use crate::region::Family;

/// The file.
pub const ALIASES_FILE: &str = "aliases.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// Seconds since 1970-01-01T00:00:00Z.
    saved: u64,
    names: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    family: String,
    addresses: Vec<IpAddr>,
    /// For how long they were still good.
    #[serde(default)]
    fresh_s: u64,
    /// For how long they had not been good any more.
    #[serde(default)]
    stale_s: u64,
}

/// What was kept, as it is at `wall` seconds since 1970-01-01T00:00:00Z, with lines for the log.
/// The wall clock is trusted only to let addresses age.
pub fn load(directory: &Path, wall: u64) -> (Vec<Known>, Vec<String>) {
    let path = directory.join(ALIASES_FILE);
    let text = match persist::read(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return (Vec::new(), Vec::new()),
        Err(warning) => return (Vec::new(), vec![warning]),
    };
    match parse(&text, wall) {
        Ok(known) => (known, Vec::new()),
        Err(fault) => (Vec::new(), vec![persist::set_aside(&path, &fault)]),
    }
}

/// Writes down what is known; no file where no name is followed.
///
/// # Errors
/// When the directory cannot be written; the file there stays as it was.
pub fn save(directory: &Path, known: &[Known], wall: u64) -> io::Result<()> {
    let path = directory.join(ALIASES_FILE);
    let names: Vec<Entry> = known.iter().filter_map(Entry::of).collect();
    if names.is_empty() && !path.exists() {
        return Ok(());
    }
    let text = serde_json::to_vec_pretty(&File { version: VERSION, saved: wall, names })?;
    persist::write_whole(&path, &text)
}

fn parse(text: &[u8], wall: u64) -> Result<Vec<Known>, String> {
    let file: File = serde_json::from_slice(text).map_err(|fault| fault.to_string())?;
    if file.version != VERSION {
        return Err(format!("version {} is not {VERSION}", file.version));
    }
    let age = Duration::from_secs(wall.saturating_sub(file.saved));
    file.names.into_iter().map(|entry| entry.understood(age)).collect()
}

impl Entry {
    fn of(known: &Known) -> Option<Self> {
        let (fresh, stale) = match known.standing {
            Standing::Fresh(left) => (left, Duration::ZERO),
            Standing::Stale(since) => (Duration::ZERO, since),
            Standing::Unknown | Standing::Gone => return None,
        };
        Some(Self {
            name: known.target.to_string(),
            family: family_word(Some(known.family)).to_owned(),
            addresses: known.addresses.clone(),
            fresh_s: fresh.as_secs(),
            stale_s: stale.as_secs(),
        })
    }

    fn understood(self, age: Duration) -> Result<Known, String> {
        let mut families = [Family::V4, Family::V6].into_iter();
        let family = families.find(|known| family_word(Some(*known)) == self.family);
        let family = family.ok_or_else(|| format!("'{}' is no family", self.family))?;
        let is_of = |address: &IpAddr| address.is_ipv4() == (family == Family::V4);
        let fresh = Duration::from_secs(self.fresh_s);
        let standing = match fresh.checked_sub(age).filter(|left| !left.is_zero()) {
            Some(left) => Standing::Fresh(left),
            None => Standing::Stale(Duration::from_secs(self.stale_s).saturating_add(age - fresh)),
        };
        Ok(Known {
            target: self.name.parse().map_err(|_| format!("'{}' is no name", self.name))?,
            family,
            standing,
            addresses: self.addresses.into_iter().filter(is_of).collect(),
            failures: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(family: Family, address: &str, standing: Standing) -> Known {
        let (target, address) = ("lb.example.net.", address.parse().expect("an address"));
        let target = target.parse().expect("a name");
        Known { target, family, standing, addresses: vec![address], failures: 0 }
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_kept_is_found_again_and_has_aged() {
        let folder = tempfile::tempdir().expect("a folder");
        let v4 = |standing| known(Family::V4, "192.0.2.1", standing);
        let v6 = |standing| known(Family::V6, "2001:db8::1", standing);
        let all = [v4(Standing::Fresh(secs(60))), v6(Standing::Stale(secs(10)))];
        save(folder.path(), &all, 1_000).expect("written");
        let at = |wall| load(folder.path(), wall);
        assert_eq!(at(1_000), (all.to_vec(), vec![]));
        let aged = vec![v4(Standing::Fresh(secs(20))), v6(Standing::Stale(secs(50)))];
        assert_eq!(at(1_040).0, aged);
        let old = vec![v4(Standing::Stale(secs(40))), v6(Standing::Stale(secs(110)))];
        assert_eq!(at(1_100).0, old);
        assert_eq!(at(500).0, all, "a clock that is set back lets nothing age");
    }

    #[test]
    fn what_is_unknown_or_gone_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = [Standing::Unknown, Standing::Gone];
        let none = none.map(|standing| known(Family::V4, "192.0.2.1", standing));
        save(folder.path(), &none, 1_000).expect("nothing to write");
        assert!(!folder.path().join(ALIASES_FILE).exists());
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_told() {
        let entry = "{\"name\": \"a..b\", \"family\": \"ipv4\", \"addresses\": []}";
        let bad_name = format!("{{\"version\": 1, \"saved\": 1, \"names\": [{entry}]}}");
        for text in ["{", "{\"version\": 9, \"saved\": 1, \"names\": []}", &bad_name] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join(ALIASES_FILE), text).expect("written");
            let (known, warnings) = load(folder.path(), 1);
            assert_eq!((known, warnings.len()), (vec![], 1), "{text}");
            assert!(warnings[0].contains("set aside as"), "{}", warnings[0]);
        }
    }
}
