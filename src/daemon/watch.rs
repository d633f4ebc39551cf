//! Watches the operator's files and tells when they came to rest after a change.
//!
//! Knows nothing of what is in them, nor what is done about a change. The state folder is
//! ignored: the daemon writes there itself.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Files are at rest when nothing happened for this long: an editor writes a file in several
/// steps, and a deployment writes several files.
pub const SETTLE: Duration = Duration::from_millis(300);
/// A folder that never comes to rest is read all the same after this long.
pub const SETTLE_MAX: Duration = Duration::from_secs(3);

/// File systems stamp changes with a clock that lags by a tick, 10 ms at most.
const COARSE: Duration = Duration::from_millis(20);
/// Links may lead round in circles.
const DEPTH_MAX: usize = 16;

/// A watch over folders.
pub struct Watch {
    watcher: RecommendedWatcher,
    watched: Vec<PathBuf>,
    changed: Arc<Notify>,
    interest: Arc<Mutex<Interest>>,
}

/// What counts among all that happens in the folders.
#[derive(Default)]
struct Interest {
    /// The daemon writes there itself.
    state: Option<PathBuf>,
    /// Folders of which every file counts.
    whole: Vec<PathBuf>,
    /// Files that count in other folders, beside what is written in TOML.
    files: Vec<PathBuf>,
}

impl Watch {
    /// A watch over nothing yet.
    ///
    /// # Errors
    /// When the system grants no watches.
    pub fn new() -> notify::Result<Self> {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let interest: Arc<Mutex<Interest>> = Arc::default();
        let asked = Arc::clone(&interest);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let interest = asked.lock().unwrap_or_else(PoisonError::into_inner);
            if event.is_ok_and(|event| interest.holds(&event)) {
                tell.notify_one();
            }
        })?;
        Ok(Self { watcher, watched: Vec::new(), changed, interest })
    }

    /// Ignores `state` and everything below it.
    pub fn ignore(&self, state: PathBuf) {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner).state = Some(state);
    }

    /// Watches `folders` from now on, and no others. In a folder that is not watched with all
    /// below it, writing counts only to `files` and to TOML: others may keep a log there.
    /// Folders that do not exist are left out; the folder they would stand in tells when they
    /// appear. A folder that is watched already is watched again, since another one may have
    /// taken its place. Returns those that cannot be watched, with why.
    pub fn follow(
        &mut self,
        folders: &[(PathBuf, RecursiveMode)],
        files: Vec<PathBuf>,
    ) -> Vec<(PathBuf, notify::Error)> {
        let whole = folders.iter().filter(|(_, mode)| *mode == RecursiveMode::Recursive);
        let whole = whole.map(|(folder, _)| folder.clone()).collect();
        {
            let mut interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
            (interest.whole, interest.files) = (whole, files);
        }
        let wanted = |path: &PathBuf| folders.iter().any(|(folder, _)| folder == path);
        for gone in self.watched.extract_if(.., |path| !wanted(path)) {
            // A folder that was removed has lost its watch already.
            let _ = self.watcher.unwatch(&gone);
        }
        let mut failed = Vec::new();
        for (folder, mode) in folders.iter().filter(|(folder, _)| folder.is_dir()) {
            match self.watcher.watch(folder, *mode) {
                Ok(()) if self.watched.contains(folder) => {}
                Ok(()) => self.watched.push(folder.clone()),
                Err(error) => failed.push((folder.clone(), error)),
            }
        }
        failed
    }

    /// The signal that files changed; holds one change that nobody waited for.
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }
}

/// Whether something in `folder`, or below it, has changed since `since`.
pub fn has_changed(folder: &Path, since: SystemTime) -> bool {
    let since = since.checked_sub(COARSE).unwrap_or(UNIX_EPOCH);
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        // What is not there says nothing; the folder it was in does.
        let Ok(of_folder) = fs::metadata(&folder) else { continue };
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        if changed_at(&of_folder) >= since {
            return true;
        }
        for path in entries.flatten().map(|entry| entry.path()) {
            match fs::metadata(&path) {
                Ok(found) if changed_at(&found) >= since => return true,
                Ok(found) if found.is_dir() && depth < DEPTH_MAX => folders.push((path, depth + 1)),
                _ => {}
            }
        }
    }
    false
}

/// When a file's octets, owner, mode or links changed last. Nobody can set it back.
fn changed_at(found: &Metadata) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(found.ctime()).unwrap_or(0));
    let nanoseconds = Duration::from_nanos(u64::try_from(found.ctime_nsec()).unwrap_or(0));
    UNIX_EPOCH + seconds + nanoseconds
}

/// Waits until something changed and then came to rest.
pub async fn settled(changed: &Notify) {
    changed.notified().await;
    let latest = Instant::now() + SETTLE_MAX;
    loop {
        let quiet = latest.min(Instant::now() + SETTLE);
        let more = tokio::time::timeout_at(quiet, changed.notified()).await.is_ok();
        if !more || Instant::now() >= latest {
            return;
        }
    }
}

impl Interest {
    /// Reading our own files must not count, or a reload would cause the next one.
    fn holds(&self, event: &notify::Event) -> bool {
        let counts = |path: &PathBuf| match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => self.is_read(path),
            // Files that come and go may be links to what is read, under whatever name.
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
            EventKind::Any | EventKind::Access(_) | EventKind::Other => false,
        };
        let ours =
            |path: &PathBuf| self.state.as_ref().is_some_and(|state| path.starts_with(state));
        event.paths.iter().any(|path| !ours(path) && counts(path))
    }

    /// Whether what is written in a file may mean something to us.
    fn is_read(&self, path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension == "toml")
            || self.files.iter().any(|file| file == path)
            || self.whole.iter().any(|folder| path.starts_with(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, DataChange};

    fn event(kind: EventKind, path: &str) -> notify::Event {
        notify::Event::new(kind).add_path(PathBuf::from(path))
    }

    #[test]
    fn what_is_not_read_is_no_change() {
        let interest = Interest {
            state: Some("/etc/meridian/state".into()),
            whole: vec!["/etc/meridian/zones".into()],
            files: vec!["/etc/meridian/city.mmdb".into()],
        };
        let holds = |kind, path| interest.holds(&event(kind, path));
        let create = EventKind::Create(CreateKind::File);
        let write = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for kind in [create, write] {
            assert!(holds(kind, "/etc/meridian/zones/example.org.zone"));
            assert!(holds(kind, "/etc/meridian/zones/deep/include"));
            assert!(holds(kind, "/etc/meridian/meridian.toml"));
            assert!(holds(kind, "/etc/meridian/city.mmdb"));
            assert!(!holds(kind, "/etc/meridian/state/health.json"));
        }
        assert!(holds(create, "/etc/meridian/..data"));
        assert!(!holds(write, "/etc/meridian/meridian.log"));
        let read = EventKind::Access(AccessKind::Read);
        assert!(!holds(read, "/etc/meridian/meridian.toml"));
    }

    #[test]
    fn a_change_is_seen_wherever_it_is_below_the_folder() {
        let folder = tempfile::tempdir().expect("made");
        let below = folder.path().join("below");
        fs::create_dir(&below).expect("made");
        fs::write(below.join("include"), "a A 192.0.2.1\n").expect("written");
        let at = |path: &Path| changed_at(&fs::metadata(path).expect("it is there"));
        let include = below.join("include");
        let since = at(folder.path()).max(at(&below)).max(at(&include)) + 2 * COARSE;
        assert!(!has_changed(folder.path(), since));
        while at(&include) < since {
            fs::write(&include, "a A 192.0.2.2\n").expect("written");
        }
        assert!(has_changed(folder.path(), since));
    }

    #[tokio::test(start_paused = true)]
    async fn many_changes_in_a_row_are_told_once() {
        let changed = Arc::new(Notify::new());
        let begun = Instant::now();
        let writer = Arc::clone(&changed);
        tokio::spawn(async move {
            for _ in 0..5 {
                writer.notify_one();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        settled(&changed).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(400) + SETTLE);
        assert!(tokio::time::timeout(SETTLE_MAX, changed.notified()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_never_rests_is_read_all_the_same() {
        let changed = Arc::new(Notify::new());
        let begun = Instant::now();
        let writer = Arc::clone(&changed);
        tokio::spawn(async move {
            loop {
                writer.notify_one();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        settled(&changed).await;
        assert_eq!(begun.elapsed(), SETTLE_MAX);
    }

    #[tokio::test]
    async fn a_written_file_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut watch = Watch::new().expect("a watch");
        watch.ignore(folder.path().join("state"));
        let failed =
            watch.follow(&[(folder.path().to_owned(), RecursiveMode::NonRecursive)], Vec::new());
        assert!(failed.is_empty());
        std::fs::write(folder.path().join("meridian.toml"), "").expect("writes");
        let changed = watch.changed();
        let noticed = tokio::time::timeout(Duration::from_secs(10), settled(&changed)).await;
        assert!(noticed.is_ok());
    }
}
