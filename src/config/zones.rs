//! The zones folder: which zones there are, and their static data, read anew only when it has
//! changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ZoneConfig;
use super::decode::Faults;
use crate::diagnostics::{Diagnostic, Source};
use crate::wire::name::Name;
use crate::zone::hash::HashKey;
use crate::zone::{SteeredName, Zone, load};

/// The files of one zone, relative to the root.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) origin: Name,
    /// `ORIGIN.zone`.
    pub(super) master: Option<PathBuf>,
    /// `ORIGIN.toml`.
    pub(super) policy: Option<PathBuf>,
}

/// Where the static data of a zone is.
pub(super) struct From<'f> {
    pub(super) root: &'f Path,
    /// What includes are relative to.
    pub(super) folder: &'f Path,
    /// The master file, relative to `root`.
    pub(super) file: &'f Path,
}

/// What a zone was read from: when all of it is as it was, so is the zone.
#[derive(Debug, Clone, Default)]
pub struct ReadFrom {
    files: Box<[Print]>,
    steered: Box<[SteeredName]>,
    warnings: Box<[Diagnostic]>,
}

/// A file, known again by what the system says of it, else by its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    path: Box<Path>,
    look: Look,
    hash: u64,
}

/// What the system says of a file: when none of it changes, neither did the octets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds since 1970 of its contents (mtime) and of all of this (ctime).
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that changed this shortly before it was read may change again without its times
/// telling: they are no finer than the file system makes them, and its clock may lag.
const UNSETTLED: Duration = Duration::from_secs(2);

impl Look {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Whether it was at rest when it was looked at, at `time`.
    fn was_settled(&self, time: SystemTime) -> bool {
        let settled = time.checked_sub(UNSETTLED).and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let latest = self.modified.0.max(self.changed.0);
        settled.is_some_and(|settled| u64::try_from(latest).is_ok_and(|s| s < settled.as_secs()))
    }
}

impl Print {
    /// Reads `root/path`, and says how to know it again.
    fn read(root: &Path, path: &Path) -> io::Result<(Arc<Source>, Self)> {
        let file = File::open(root.join(path))?;
        let look = Look::of(&file.metadata()?);
        let mut text = Vec::with_capacity(usize::try_from(look.length).unwrap_or(0) + 1);
        // Bounded, it does not ask for the length once more.
        (&file).take(u64::MAX).read_to_end(&mut text)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&text);
        let print = Self { path: path.into(), look, hash: hasher.finish() };
        Ok((Arc::new(Source { path: path.to_owned(), text }), print))
    }

    /// The print of the same file at present, if it has the same octets. They are looked at
    /// only where the file was not at rest when it was read, or looks different.
    fn again(&self, root: &Path, read_at: SystemTime) -> Option<Self> {
        let look = Look::of(&std::fs::metadata(root.join(&self.path)).ok()?);
        if look == self.look && look.was_settled(read_at) {
            return Some(self.clone());
        }
        if look.length != self.look.length {
            return None;
        }
        let (_, print) = Self::read(root, &self.path).ok()?;
        (print.hash == self.hash && print.look.length == self.look.length).then_some(print)
    }
}

/// Finds every zone of `folder`, by name. `folder` and the files' paths are relative to `root`.
pub(super) fn discover(root: &Path, folder: &Path, faults: &mut Faults) -> Vec<Files> {
    let shown = folder.strip_prefix(root).unwrap_or(folder);
    let listing = match std::fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) => {
            let fault = Diagnostic::unplaced(format!(
                "cannot read the folder '{}': {error}",
                shown.display()
            ));
            faults.push(fault.help("it holds ORIGIN.zone and ORIGIN.toml for each zone"));
            return Vec::new();
        }
    };
    let mut names: Vec<OsString> = listing.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let mut found: Vec<Files> = Vec::new();
    let mut places: HashMap<Name, usize> = HashMap::with_capacity(names.len());
    for name in names {
        let path = Path::new(&name);
        let kind = path.extension().and_then(|extension| extension.to_str());
        let (Some(kind @ ("zone" | "toml")), Some(stem)) = (kind, path.file_stem()) else {
            continue;
        };
        let file = shown.join(path);
        let stem = stem.to_string_lossy();
        let origin = if stem == "root" { Ok(Name::root()) } else { stem.parse() };
        let Ok(origin) = origin else {
            let message = format!("'{}' is not named after a zone", file.display());
            faults.push(
                Diagnostic::unplaced(message).help("files are named ORIGIN.zone and ORIGIN.toml"),
            );
            continue;
        };
        let at = *places.entry(origin).or_insert_with_key(|origin| {
            found.push(Files { origin: origin.clone(), master: None, policy: None });
            found.len() - 1
        });
        let slot = if kind == "zone" { &mut found[at].master } else { &mut found[at].policy };
        if let Some(other) = slot.replace(file) {
            let message = format!(
                "two files for the zone {}: '{}' is one",
                found[at].origin,
                other.display()
            );
            faults.push(Diagnostic::unplaced(message).help("names differ in case only: keep one"));
        }
    }
    found
}

/// Reads, checks and compiles the static data of a zone; takes `previous`, which was read at
/// that time, over when nothing has changed. `None` when it has errors.
pub(super) fn load(
    from: &From<'_>,
    origin: &Name,
    steered: &[SteeredName],
    key: HashKey,
    previous: Option<(&ZoneConfig, SystemTime)>,
    faults: &mut Faults,
) -> Option<(Arc<Zone>, ReadFrom)> {
    let From { root, folder, file } = *from;
    let previous = previous.filter(|(zone, _)| *zone.read_from.steered == *steered);
    if let Some((zone, read_at)) = previous
        && let Some(read_from) = zone.read_from.again(root, file, read_at)
    {
        read_from.warnings.iter().cloned().for_each(|warning| faults.push(warning));
        return Some((Arc::clone(&zone.zone), read_from));
    }
    let (source, print) = match Print::read(root, file) {
        Ok(read) => read,
        Err(error) => {
            let message = format!("cannot read '{}': {error}", file.display());
            faults.push(Diagnostic::unplaced(message));
            return None;
        }
    };
    let files = RefCell::new(vec![print]);
    let shown = folder.strip_prefix(root).unwrap_or(folder);
    let open = |path: &Path| -> io::Result<Arc<Source>> {
        let (included, print) = Print::read(root, &shown.join(path))?;
        files.borrow_mut().push(print);
        Ok(included)
    };
    let (zone, told) = load::load(&source, origin, steered, key, &open);
    let sound = !told.iter().any(Diagnostic::is_error);
    told.iter().cloned().for_each(|fault| faults.push(fault));
    let mut files = files.into_inner();
    // A zone with warnings is read twice.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup();
    let read_from =
        ReadFrom { files: files.into(), steered: steered.into(), warnings: told.into() };
    sound.then(|| (Arc::new(zone), read_from))
}

impl ReadFrom {
    /// The same at present, if the main file is still `file` and it and every file it includes
    /// have the same octets.
    fn again(&self, root: &Path, file: &Path, read_at: SystemTime) -> Option<Self> {
        self.files.iter().find(|print| *print.path == *file)?;
        let files: Option<Box<[Print]>> =
            self.files.iter().map(|print| print.again(root, read_at)).collect();
        Some(Self { files: files?, steered: self.steered.clone(), warnings: self.warnings.clone() })
    }
}

/// The zones of the last configuration by origin.
pub(super) fn by_origin(zones: &[ZoneConfig]) -> HashMap<&Name, &ZoneConfig> {
    zones.iter().map(|zone| (&zone.origin, zone)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_at_rest_some_time_after_it_changed() {
        let look = |modified, changed| Look {
            device: 1,
            inode: 2,
            length: 3,
            modified: (modified, 0),
            changed: (changed, 0),
        };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(look(100, 100).was_settled(at(103)));
        assert!(!look(100, 100).was_settled(at(102)));
        assert!(!look(50, 100).was_settled(at(102)), "its time was set back");
        assert!(!look(100, 100).was_settled(at(0)));
    }
}
