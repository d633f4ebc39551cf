//! Bundles on a node's disk, below its state folder:
//!
//! ```text
//! bundles/contents/HASH/zones/...   the files of contents
//! bundles/contents/HASH.bundle      their octets, to be handed on
//! bundles/releases/SERIAL           a release as it was signed
//! bundles/serving                   a link to the contents that are served
//! ```
//!
//! Everything is written beside its place, synced, and renamed into it: after a crash it is there
//! whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::contents::{Contents, Hash};
use super::release::Release;

/// The folder of a store within a state folder.
const FOLDER: &str = "bundles";
const SERVING: &str = "serving";

/// A node's bundles.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// What is served, by the state folder of a node: where its files are. `None` before the first
/// bundle.
pub fn serving(state: &Path) -> Option<PathBuf> {
    // The folder itself, not the link: what was read from other contents is another file.
    fs::canonicalize(state.join(FOLDER).join(SERVING)).ok().filter(|folder| folder.is_dir())
}

impl Store {
    /// The store in the folder `state`. What a crash has left half-way is removed.
    ///
    /// # Errors
    /// When its folders cannot be made.
    pub fn open(state: &Path) -> io::Result<Self> {
        let store = Self { root: state.join(FOLDER) };
        for folder in [store.root.join("contents"), store.root.join("releases")] {
            fs::create_dir_all(&folder)?;
            for entry in fs::read_dir(&folder)?.flatten() {
                if entry.file_name().to_string_lossy().starts_with('.') {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(store)
    }

    /// Where the files of these contents are.
    pub fn folder(&self, hash: Hash) -> PathBuf {
        let folder = self.contents(hash);
        fs::canonicalize(&folder).unwrap_or(folder)
    }

    fn contents(&self, hash: Hash) -> PathBuf {
        self.root.join("contents").join(hash.to_string())
    }

    fn octets(&self, hash: Hash) -> PathBuf {
        self.root.join("contents").join(format!("{hash}.bundle"))
    }

    /// Whether these contents are here, whole.
    pub fn has(&self, hash: Hash) -> bool {
        self.octets(hash).is_file() && self.contents(hash).is_dir()
    }

    /// Keeps contents under their hash. `octets` is what `contents` was read from.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, hash: Hash, contents: &Contents, octets: &[u8]) -> io::Result<()> {
        if self.has(hash) {
            return Ok(());
        }
        let folder = self.root.join("contents");
        let beside = folder.join(format!(".{hash}"));
        remove(&beside)?;
        for (path, octets) in contents.files() {
            let path = beside.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            write(&path, octets)?;
        }
        fs::create_dir_all(&beside)?;
        sync_folders(&beside)?;
        remove(&self.contents(hash))?;
        fs::rename(&beside, self.contents(hash))?;
        put(&self.octets(hash), octets)
    }

    /// A piece of contents, from `offset` on; `None` where they are not here.
    pub fn piece(&self, hash: Hash, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut file = File::open(self.octets(hash)).ok()?;
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut piece = Vec::new();
        file.take(length as u64).read_to_end(&mut piece).ok()?;
        Some(piece)
    }

    /// Writes a release down as it was signed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn enter(&self, release: &Release, signed: &[u8]) -> io::Result<()> {
        put(&self.root.join("releases").join(release.serial.to_string()), signed)
    }

    /// Releases as they were signed, by serial, the oldest first.
    pub fn releases(&self) -> Vec<(u64, Vec<u8>)> {
        let entries = fs::read_dir(self.root.join("releases")).into_iter().flatten().flatten();
        let read = |entry: fs::DirEntry| {
            let serial = entry.file_name().to_str()?.parse().ok()?;
            Some((serial, fs::read(entry.path()).ok()?))
        };
        let mut releases: Vec<_> = entries.filter_map(read).collect();
        releases.sort_by_key(|(serial, _)| *serial);
        releases
    }

    /// The contents that are served.
    pub fn serving(&self) -> Option<Hash> {
        let target = fs::read_link(self.root.join(SERVING)).ok()?;
        target.file_name()?.to_str()?.parse().ok()
    }

    /// Has these contents be what is served; with `None` the node's own files.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn serve(&self, hash: Option<Hash>) -> io::Result<()> {
        let (link, beside) = (self.root.join(SERVING), self.root.join(".serving"));
        remove(&beside)?;
        match hash {
            Some(hash) => {
                symlink(Path::new("contents").join(hash.to_string()), &beside)?;
                fs::rename(&beside, &link)?;
            }
            None => remove(&link)?,
        }
        sync_folder(&self.root)
    }

    /// Forgets all but the newest `count` releases, and contents that no release is of and that
    /// are not served.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prune(&self, count: usize, hash_of: impl Fn(&[u8]) -> Option<Hash>) -> io::Result<()> {
        let releases = self.releases();
        let old = releases.len().saturating_sub(count.max(1));
        for (serial, _) in &releases[..old] {
            fs::remove_file(self.root.join("releases").join(serial.to_string()))?;
        }
        let kept = releases[old..].iter().filter_map(|(_, signed)| hash_of(signed));
        let kept: Vec<Hash> = kept.chain(self.serving()).collect();
        for entry in fs::read_dir(self.root.join("contents"))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hash = name.trim_end_matches(".bundle").parse::<Hash>();
            if hash.is_ok_and(|hash| !kept.contains(&hash)) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Removes whatever is at `path`, if anything is; a link, not what it leads to.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// Writes a file in one step, as others see it.
fn put(path: &Path, octets: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = path.with_file_name(format!(".{name}"));
    remove(&beside)?;
    write(&beside, octets)?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(text: &str) -> (Hash, Contents, Vec<u8>) {
        let mut contents = Contents::default();
        contents.add("zones/a.zone", text.as_bytes().to_vec()).unwrap();
        let octets = contents.encode().unwrap();
        (Hash::of(&octets), contents, octets)
    }

    #[test]
    fn what_is_kept_is_served_and_handed_on() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        assert_eq!(serving(state.path()), None);
        let (hash, contents, octets) = contents("one");
        store.keep(hash, &contents, &octets).unwrap();
        store.serve(Some(hash)).unwrap();
        let folder = serving(state.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.join("zones/a.zone")).unwrap(), "one");
        assert_eq!(store.serving(), Some(hash));
        assert_eq!(store.piece(hash, 3, 5).unwrap(), octets[3..8]);
        assert_eq!(store.piece(Hash::of(b""), 0, 5), None);
        store.serve(None).unwrap();
        assert_eq!(serving(state.path()), None);
    }

    #[test]
    fn what_a_crash_left_half_way_is_not_there() {
        let state = tempfile::tempdir().unwrap();
        let (hash, contents, octets) = contents("one");
        let half = state.path().join("bundles/contents").join(format!(".{hash}")).join("zones");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("a.zone"), "o").unwrap();
        let store = Store::open(state.path()).unwrap();
        assert!(!store.has(hash));
        assert!(!half.exists());
        store.keep(hash, &contents, &octets).unwrap();
        assert!(store.has(hash));
    }

    #[test]
    fn only_the_newest_releases_stay_and_what_is_served() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let all: Vec<_> = ["one", "two", "three", "four"].map(contents).into();
        for ((hash, contents, octets), serial) in all.iter().zip(1..) {
            store.keep(*hash, contents, octets).unwrap();
            let (octets, note) = (octets.len() as u64, String::new());
            let release = Release { serial, hash: *hash, octets, made_at: 0, note };
            store.enter(&release, hash.to_string().as_bytes()).unwrap();
        }
        store.serve(Some(all[0].0)).unwrap();
        let hash_of = |signed: &[u8]| std::str::from_utf8(signed).ok()?.parse().ok();
        store.prune(2, hash_of).unwrap();
        let serials: Vec<u64> = store.releases().into_iter().map(|(serial, _)| serial).collect();
        assert_eq!(serials, [3, 4]);
        let here: Vec<bool> = all.iter().map(|(hash, ..)| store.has(*hash)).collect();
        assert_eq!(here, [true, false, true, true]);
    }
}
