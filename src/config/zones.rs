//! The zones folder: which zones there are, and their static data, read anew only when it has
//! changed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::ZoneConfig;
use super::decode::Faults;
use crate::diagnostics::{Diagnostic, Source};
use crate::wire::name::Name;
use crate::zone::hash::HashKey;
use crate::zone::{SteeredName, Zone, check, master};

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
    files: Vec<Print>,
    steered: Vec<SteeredName>,
    warnings: Vec<Diagnostic>,
}

/// A file, known again by its length and a hash of its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    path: PathBuf,
    length: usize,
    hash: u64,
}

impl Print {
    fn of(source: &Source) -> Self {
        let mut hasher = DefaultHasher::new();
        source.text.hash(&mut hasher);
        Self { path: source.path.clone(), length: source.text.len(), hash: hasher.finish() }
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
    let mut paths: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found: Vec<Files> = Vec::new();
    for path in paths {
        let kind = path.extension().and_then(|extension| extension.to_str());
        let (Some(kind @ ("zone" | "toml")), Some(stem)) = (kind, path.file_stem()) else {
            continue;
        };
        let file = shown.join(path.file_name().unwrap_or_default());
        let stem = stem.to_string_lossy();
        let origin = if stem == "root" { Ok(Name::root()) } else { stem.parse() };
        let Ok(origin) = origin else {
            let message = format!("'{}' is not named after a zone", file.display());
            faults.push(
                Diagnostic::unplaced(message).help("files are named ORIGIN.zone and ORIGIN.toml"),
            );
            continue;
        };
        let at = found.iter().position(|files| files.origin == origin).unwrap_or_else(|| {
            found.push(Files { origin: origin.clone(), master: None, policy: None });
            found.len() - 1
        });
        let slot = if kind == "zone" { &mut found[at].master } else { &mut found[at].policy };
        if let Some(other) = slot.replace(file) {
            let message = format!("two files for the zone {origin}: '{}' is one", other.display());
            faults.push(Diagnostic::unplaced(message).help("names differ in case only: keep one"));
        }
    }
    found
}

/// Reads, checks and compiles the static data of a zone; takes `previous` over when nothing
/// has changed. `None` when it has errors.
pub(super) fn load(
    from: &From<'_>,
    origin: &Name,
    steered: &[SteeredName],
    key: HashKey,
    previous: Option<&ZoneConfig>,
    faults: &mut Faults,
) -> Option<(Arc<Zone>, ReadFrom)> {
    let From { root, folder, file } = *from;
    let source = match Source::read(root, file) {
        Ok(source) => source,
        Err(error) => {
            let message = format!("cannot read '{}': {error}", file.display());
            faults.push(Diagnostic::unplaced(message));
            return None;
        }
    };
    let previous = previous.filter(|zone| zone.read_from.steered == steered);
    if let Some(zone) = previous
        && zone.read_from.is_unchanged(root, &source)
    {
        zone.read_from.warnings.iter().cloned().for_each(|warning| faults.push(warning));
        return Some((Arc::clone(&zone.zone), zone.read_from.clone()));
    }
    let files = Mutex::new(vec![Print::of(&source)]);
    let shown = folder.strip_prefix(root).unwrap_or(folder);
    let open = |path: &Path| -> io::Result<Arc<Source>> {
        let included = Source::read(root, &shown.join(path))?;
        if let Ok(mut files) = files.lock() {
            files.push(Print::of(&included));
        }
        Ok(included)
    };
    let (records, mut told) = master::read(&source, origin, &open);
    let zone = Zone::compile(origin, &records, steered, key);
    // Records that could not be read would be missed: say only what was read wrongly.
    if !told.iter().any(Diagnostic::is_error) {
        told.extend(check::check_compiled(&zone, &records, steered));
    }
    let sound = !told.iter().any(Diagnostic::is_error);
    told.iter().cloned().for_each(|fault| faults.push(fault));
    let files = files.into_inner().unwrap_or_default();
    let read_from = ReadFrom { files, steered: steered.to_vec(), warnings: told };
    sound.then(|| (Arc::new(zone), read_from))
}

impl ReadFrom {
    /// Whether the main file, `source`, and every file it includes are as they were.
    fn is_unchanged(&self, root: &Path, source: &Source) -> bool {
        let Some((main, included)) = self.files.split_first() else { return false };
        let same = |print: &Print| {
            Source::read(root, &print.path).is_ok_and(|source| Print::of(&source) == *print)
        };
        *main == Print::of(source) && included.iter().all(same)
    }
}

/// The zones of the last configuration by origin.
pub(super) fn by_origin(zones: &[ZoneConfig]) -> HashMap<&Name, &ZoneConfig> {
    zones.iter().map(|zone| (&zone.origin, zone)).collect()
}
