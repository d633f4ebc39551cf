//! Reloading: files are read and compiled beside what is in force, then swapped in whole.
//!
//! What is believed of health is carried over by name. A reload that fails changes nothing and
//! tells every fault. Causes that come while one is under way make one more, never a queue.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use metrics::counter;
use notify::RecursiveMode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch as channel};

use super::load::{Loader, Read, limits, panel, plan};
use super::watch::{Watch, has_changed, settled};
use super::{Daemon, Ledger, Prober, wall};
use crate::admin::catalog;
use crate::admin::view::{ConfigView, ReloadView, TlsView};
use crate::config::Settings;
use crate::diagnostics::{self, Diagnostic};
use crate::health::table::HealthTable;
use crate::io::trim_memory;
use crate::probe::monitor::Check;
use crate::snapshot::Publisher;

/// A wish to put the zones and policies of another folder in force.
pub(super) struct Wish {
    /// Why, for the log.
    pub(super) cause: String,
    /// Where they are.
    pub(super) files: PathBuf,
    /// Told how it went: nothing, or every fault.
    pub(super) done: oneshot::Sender<Result<(), Vec<String>>>,
}

/// How often replaced snapshots are looked at. Threads have let go of them by then.
const SWEEP: Duration = Duration::from_secs(1);

/// Puts configurations in force.
pub struct Reloader {
    loader: Loader,
    publisher: Publisher,
    prober: Prober,
    /// Those of the start: what is fixed for the life of the process stays as they say.
    fixed: Settings,
    /// Those of the configuration in force.
    settings: Settings,
    /// Files of latencies that were read, wherever they are.
    latency_files: Vec<PathBuf>,
}

impl Reloader {
    /// Takes over after the first load, which is in force already.
    pub(super) fn new(
        loader: Loader,
        publisher: Publisher,
        prober: Prober,
        settings: Settings,
        read: Read,
        took: Duration,
        daemon: &Daemon,
    ) -> Self {
        let latency_files = read.config.latency_files.clone();
        let fixed = settings.clone();
        let mut reloader = Self { loader, publisher, prober, fixed, settings, latency_files };
        reloader.prober.update(probed(&read), limits(&reloader.settings));
        reloader.enter(daemon, &read, "start", took);
        reloader
    }

    /// Reads the files and puts them in force, or says why not. Blocks; runs within a runtime.
    fn reload(&mut self, daemon: &Daemon, cause: &str, files: Option<&Path>) {
        let begun = Instant::now();
        let read = match self.loader.read_files(files) {
            Ok(read) => read,
            Err(faults) => {
                return refuse(daemon, cause, tell(&faults), &diagnostics::render(&faults));
            }
        };
        let previous = self.publisher.current();
        // The keeper makes the table that belongs to the new pools only once nothing can fail.
        let placeholder = Arc::new(HealthTable::new(0, 0));
        let mut next = match self.loader.build(&read, Some(&previous), placeholder) {
            Ok(next) => next,
            Err(error) => {
                let why = format!("{error}: {}", error.source);
                return refuse(daemon, cause, vec![why.clone()], &why);
            }
        };
        drop(previous);
        let (events, notices) = {
            let mut changes = daemon.changes();
            let notices = changes.meet(&next, read.config.settings.safety);
            let now = daemon.now();
            let mut council = daemon.council();
            let mut keeper = daemon.health().keeper();
            let memory = keeper.known().memory(now);
            let believed = |key: &str| memory.get(key).map(|of| (of.belief, of.held));
            council.rebuild(panel(&read.config), believed, now);
            let mut plan = plan(&read.config);
            plan.rulings = council.rulings().to_vec();
            drop(council);
            let events = keeper.rebuild(plan, now);
            next.health = keeper.table();
            super::steward::lock(&daemon.steward).turn(&next, daemon.now());
            // Held until it is published: nobody steps with pools of one and health of the other.
            let mut room = daemon.room();
            room.adopt(&next);
            self.publisher.publish(next);
            drop(room);
            (events, notices)
        };
        super::changes::task::tell(&notices);
        daemon.refresh_threads();
        daemon.health().tell(events);
        self.settings = read.config.settings.clone();
        daemon.set_decisions(self.settings.decisions.clone());
        self.latency_files.clone_from(&read.config.latency_files);
        if let (Some(tls), Some(identity)) = (&self.settings.tls, daemon.identity()) {
            identity.replace(&tls.server.0);
        }
        daemon.attachment().refresh(self.settings.bus.as_ref());
        daemon.bundles().refresh(self.settings.bundle.as_ref());
        daemon.orders().refresh(&self.settings.orders);
        self.prober.update(probed(&read), limits(&self.settings));
        self.enter(daemon, &read, cause, begun.elapsed());
    }

    /// Writes down that `read` is in force.
    fn enter(&self, daemon: &Daemon, read: &Read, cause: &str, took: Duration) {
        let vantages = &self.settings.vantages.list;
        daemon.attachment().admit_vantages(vantages.iter().map(|vantage| &*vantage.name));
        daemon.offered.renew(daemon, &read.config);
        daemon.measure(&read.config);
        let needs_restart = needs_restart(&self.fixed, &self.settings);
        for setting in &needs_restart {
            tracing::warn!("needs a restart: {setting}");
        }
        if !read.warnings.is_empty() {
            tracing::warn!("warnings:\n{}", diagnostics::render(&read.warnings));
        }
        for database in &read.databases {
            if let Some(why) = &database.refused {
                tracing::error!("{} is refused, the one before stays in use: {why}", database.name);
            }
        }
        counter!(catalog::RELOADS, "outcome" => "loaded").increment(1);
        let (now, records) =
            (wall(), read.config.zones.iter().map(|zone| zone.records.len()).sum());
        let mut ledger = daemon.ledger();
        let generation = ledger.config.generation + 1;
        *ledger = Ledger {
            config: ConfigView {
                path: daemon.root().display().to_string(),
                generation,
                loaded_at: now,
                load_seconds: took.as_secs_f64(),
                records,
            },
            reload: ReloadView {
                outcome: "loaded".to_owned(),
                cause: cause.to_owned(),
                at: now,
                faults: tell(&read.warnings),
                needs_restart,
            },
            databases: read.databases.clone(),
            tls: self.certificate(daemon).or_else(|| ledger.tls.take()),
        };
        drop(ledger);
        tracing::info!(
            "configuration {generation} in force after {:.3} s ({cause}): {} zones, {records} steered records",
            took.as_secs_f64(),
            read.config.zones.len()
        );
    }

    /// The certificate that is in use now; `None` where the settings name none, or nobody can see
    /// it before a restart.
    fn certificate(&self, daemon: &Daemon) -> Option<TlsView> {
        let tls = self.settings.tls.as_ref().filter(|_| daemon.identity().is_some())?;
        let certificate = tls.certificate.display().to_string();
        Some(TlsView { certificate, expires_at: tls.expires_at.unwrap_or(0), ..TlsView::default() })
    }

    /// Frees replaced snapshots once the last query thread has let go of them. Blocks.
    fn sweep(&mut self) {
        if self.publisher.sweep() > 0 {
            trim_memory();
        }
    }

    /// Files named in the settings, wherever they are.
    fn files(&self) -> Vec<PathBuf> {
        let cookies = self.settings.cookies.as_ref();
        let secret = cookies.and_then(|cookies| cookies.secret_file.clone());
        let tls = self.settings.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let bus = self.settings.bus.iter().flat_map(|bus| &bus.files);
        let read = self.settings.databases.iter().chain(&self.latency_files).chain(bus);
        read.chain(tls).cloned().chain(secret).collect()
    }

    /// Folders whose changes matter. The state folder is not among them.
    fn folders(&self, daemon: &Daemon) -> Vec<(PathBuf, RecursiveMode)> {
        let root = daemon.root();
        let mut folders = usual_folders(root);
        folders.push((self.settings.zones.clone(), RecursiveMode::Recursive));
        let read = self.settings.databases.iter().chain(&self.latency_files);
        let databases = read.filter_map(|path| path.parent());
        folders.extend(databases.map(|folder| (folder.to_owned(), RecursiveMode::NonRecursive)));
        let cookies = self.settings.cookies.as_ref();
        let secret = cookies.and_then(|cookies| cookies.secret_file.as_ref()?.parent());
        folders.extend(secret.map(|folder| (folder.to_owned(), RecursiveMode::NonRecursive)));
        let tls = self.settings.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        let bus = self.settings.bus.iter().flat_map(|bus| &bus.files);
        let tls = tls.chain(bus).filter_map(|path| path.parent());
        folders.extend(tls.map(|folder| (folder.to_owned(), RecursiveMode::NonRecursive)));
        let mut seen = Vec::new();
        folders.retain(|(folder, _)| {
            let is_new = !seen.contains(folder);
            seen.push(folder.clone());
            is_new
        });
        folders
    }
}

/// What this node's own prober asks: nothing where vantages do and it is none of them.
fn probed(read: &Read) -> &[Check] {
    if read.config.settings.vantages.node_probes() { &read.config.checks } else { &[] }
}

/// Where files are unless the settings say otherwise, zones left out.
fn usual_folders(root: &Path) -> Vec<(PathBuf, RecursiveMode)> {
    let below = ["geo", "probes"].map(|name| (root.join(name), RecursiveMode::Recursive));
    std::iter::once((root.to_owned(), RecursiveMode::NonRecursive)).chain(below).collect()
}

/// Begins to watch before the files are read for the first time, so that no change is missed.
/// Zones are not watched yet: each file that is opened would be told, and there may be very
/// many. They are looked at once when that is over.
pub(super) fn watch(root: &Path) -> Option<Watch> {
    match Watch::new() {
        Ok(mut watch) => {
            tell_unseen(watch.follow(&usual_folders(root), Vec::new()));
            Some(watch)
        }
        Err(error) => {
            tracing::warn!("files are not watched, only SIGHUP reloads: {error}");
            None
        }
    }
}

fn tell_unseen(failed: Vec<(PathBuf, notify::Error)>) {
    for (folder, error) in failed {
        tracing::warn!("changes in {} are not seen: {error}", folder.display());
    }
}

/// Reloads on SIGHUP and when files came to rest after a change, until the daemon ends.
/// `read_at` is when the files were first begun to be read.
pub(super) async fn run(
    reloader: Reloader,
    mut watch: Option<Watch>,
    read_at: SystemTime,
    mut wishes: mpsc::Receiver<Wish>,
    daemon: Arc<Daemon>,
    mut ends: channel::Receiver<bool>,
) {
    let changed = watch.as_ref().map(Watch::changed).unwrap_or_default();
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!("SIGHUP is not heard: {error}");
            None
        }
    };
    let reloader = Arc::new(Mutex::new(reloader));
    follow(watch.as_mut(), &reloader, &daemon);
    if watch.is_some() {
        let zones = lock(&reloader).settings.zones.clone();
        if super::blocking(move || has_changed(&zones, read_at)).await {
            changed.notify_one();
        }
    }
    loop {
        let mut wish = None;
        let cause = tokio::select! {
            () = heard(hangup.as_mut()) => "SIGHUP",
            () = settled(&changed) => "files changed",
            () = daemon.measured.notified() => "latencies measured",
            Some(came) = wishes.recv() => {
                wish = Some(came);
                "bundle"
            }
            never = sweep(&reloader) => match never {},
            _ = ends.wait_for(|ending| *ending) => return,
        };
        // A folder that has just appeared is watched before it is read.
        follow(watch.as_mut(), &reloader, &daemon);
        let (worker, at) = (Arc::clone(&reloader), Arc::clone(&daemon));
        super::blocking(move || fulfil(&mut lock(&worker), &at, cause, wish)).await;
        follow(watch.as_mut(), &reloader, &daemon);
    }
}

/// Reloads, and tells whoever wished for it how it went.
fn fulfil(reloader: &mut Reloader, daemon: &Daemon, cause: &str, wish: Option<Wish>) {
    let Some(wish) = wish else { return reloader.reload(daemon, cause, None) };
    reloader.reload(daemon, &wish.cause, Some(&wish.files));
    let reload = daemon.ledger().reload.clone();
    let outcome = if reload.outcome == "loaded" { Ok(()) } else { Err(reload.faults) };
    // Whoever wished may have gone.
    let _ = wish.done.send(outcome);
}

/// Waits for SIGHUP; for ever where it cannot be heard.
async fn heard(hangup: Option<&mut Signal>) {
    match hangup {
        Some(hangup) => _ = hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// Frees what was replaced, now and then; memory that loading has used goes back first of all.
async fn sweep(reloader: &Arc<Mutex<Reloader>>) -> std::convert::Infallible {
    super::blocking(trim_memory).await;
    loop {
        tokio::time::sleep(SWEEP).await;
        let reloader = Arc::clone(reloader);
        super::blocking(move || lock(&reloader).sweep()).await;
    }
}

fn follow(watch: Option<&mut Watch>, reloader: &Mutex<Reloader>, daemon: &Daemon) {
    let Some(watch) = watch else { return };
    let (folders, files) = {
        let reloader = lock(reloader);
        (reloader.folders(daemon), reloader.files())
    };
    tell_unseen(watch.follow(&folders, files));
}

fn lock(reloader: &Mutex<Reloader>) -> std::sync::MutexGuard<'_, Reloader> {
    reloader.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(daemon: &Daemon, cause: &str, faults: Vec<String>, told: &str) {
    tracing::error!(
        "the files are refused ({cause}); what was loaded before stays in force\n{told}"
    );
    counter!(catalog::RELOADS, "outcome" => "refused").increment(1);
    let mut ledger = daemon.ledger();
    ledger.reload = ReloadView {
        outcome: "refused".to_owned(),
        cause: cause.to_owned(),
        at: wall(),
        faults,
        needs_restart: std::mem::take(&mut ledger.reload.needs_restart),
    };
}

/// Faults as `path:line:column: message`.
pub(super) fn tell(faults: &[Diagnostic]) -> Vec<String> {
    let line = |fault: &Diagnostic| {
        let word = if fault.is_error() { "error" } else { "warning" };
        match &fault.span {
            None => format!("{word}: {}", fault.message),
            Some(span) => {
                let (line, column) = span.source.position(span.range.start);
                let path = span.source.path.display();
                format!("{path}:{line}:{column}: {word}: {}", fault.message)
            }
        }
    };
    faults.iter().map(line).collect()
}

/// Where TLS is listened for.
fn listens(settings: &Settings) -> Option<&[std::net::SocketAddr]> {
    settings.tls.as_ref().map(|tls| &*tls.listen)
}

/// How the bus is connected; its certificates may change.
fn wiring(settings: &Settings) -> Option<&crate::bus::Wiring> {
    settings.bus.as_ref().map(|bus| &bus.wiring)
}

/// Settings that were changed in the files but are fixed while the process runs.
fn needs_restart(fixed: &Settings, wanted: &Settings) -> Vec<String> {
    let changes = [
        ("listen", fixed.listen != wanted.listen),
        ("workers", fixed.workers != wanted.workers),
        ("api", fixed.api != wanted.api),
        ("state", fixed.state != wanted.state),
        ("tcp", fixed.tcp != wanted.tcp),
        ("bus", wiring(fixed) != wiring(wanted)),
        // Who publishes and how much is kept may change.
        ("bundle", fixed.bundle.is_some() != wanted.bundle.is_some()),
        ("tls.listen", listens(fixed) != listens(wanted)),
    ];
    changes.iter().filter(|(_, changed)| *changed).map(|(name, _)| (*name).to_owned()).collect()
}
