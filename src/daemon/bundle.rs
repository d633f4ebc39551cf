//! Follows bundles: hears what is released, fetches it from whoever has it, tries it, serves it or
//! refuses it with the faults, and hands it on.
//!
//! A release is taken from a publisher whose key the settings name, under a serial that is greater
//! than that of any before. Its contents are read and compiled from a folder beside those that are
//! served; only when they are in force does the link to what is served follow. A node that ends at
//! any moment starts with what it served last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::reload::Wish;
use super::{Daemon, blocking};
use crate::admin::view::{BundleView, NodeView, RefusedView, ReleaseView};
use crate::bundle::contents::{self, Contents};
use crate::bundle::release;
use crate::bundle::store::Store;
use crate::bundle::{Hash, Release};
use crate::bus::subject::{BUNDLE_ANNOUNCE, BUNDLE_GET, STATUS, name_under, of};
use crate::bus::{Asked, handler};
use crate::config::{Bundle, Settings};

/// How often is said what is served, for those who have just come.
const ANNOUNCE: Duration = Duration::from_secs(5);
/// Octets of contents in one answer.
const PIECE: usize = 512 << 10;
/// Longest that a piece may take, and how often it is asked for.
const PIECE_TIMEOUT: Duration = Duration::from_secs(5);
const PIECE_TRIES: usize = 3;
/// Another node that said nothing for this long is not shown.
const SILENCE: Duration = Duration::from_secs(60);
/// Nodes that are shown; faults of a bundle that are, and how long each.
const NODES_MAX: usize = 1024;
const FAULTS_MAX: usize = 20;
const FAULT_MAX: usize = 300;
/// What a node without a bus is called.
const ALONE: &str = "this node";

/// Bundles of a daemon.
pub struct Bundles {
    settings: ArcSwapOption<Bundle>,
    store: Option<Store>,
    wishes: mpsc::Sender<Wish>,
    /// One release is tried at a time.
    trying: tokio::sync::Mutex<()>,
    refused: Mutex<Option<RefusedView>>,
    others: Mutex<BTreeMap<String, (Instant, NodeView)>>,
    /// Rung when there is something new to announce.
    changed: Notify,
    name: Mutex<Option<String>>,
}

/// Where contents come from.
pub enum Source {
    /// They were handed over; nothing where they should be here already.
    Given(Vec<u8>),
    /// From the node of this name.
    Node(String),
}

/// Why a release is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The settings have no `[bundle]`, or its store cannot be opened.
    #[error("this node follows no bundles: there is no section [bundle] in its meridian.toml")]
    Off,
    /// It is not signed as it should be.
    #[error(transparent)]
    Release(#[from] release::Fault),
    /// It is not newer than what is here.
    #[error("serial {0} is not newer than {1}, which is here")]
    Old(u64, u64),
    /// Its contents are not to be had.
    #[error("the contents are not to be had: {0}")]
    Fetch(String),
    /// Its contents are not those that were signed.
    #[error("the contents are not those that were signed")]
    Hash,
    /// Its contents are none.
    #[error(transparent)]
    Contents(#[from] contents::Fault),
    /// The disk does not take it.
    #[error("the disk refuses it: {0}")]
    Disk(#[from] std::io::Error),
    /// It has faults.
    #[error("it has faults:\n{}", .0.join("\n"))]
    Faults(Vec<String>),
    /// The daemon ends.
    #[error("the daemon ends")]
    Ending,
}

impl Bundles {
    /// What is on disk; and where wishes for reloads come out.
    pub(super) fn open(settings: &Settings) -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, fulfilled) = mpsc::channel(1);
        let store = settings.bundle.as_ref().and_then(|_| {
            let opened = Store::open(&settings.state);
            opened.inspect_err(|error| tracing::error!("bundles cannot be kept: {error}")).ok()
        });
        let bundles = Self {
            settings: ArcSwapOption::from_pointee(settings.bundle.clone()),
            store,
            wishes,
            trying: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
            others: Mutex::default(),
            changed: Notify::new(),
            name: Mutex::default(),
        };
        (bundles, fulfilled)
    }

    /// Takes over who publishes. A section that comes or goes needs a restart.
    pub(super) fn refresh(&self, settings: Option<&Bundle>) {
        self.settings.store(settings.cloned().map(Arc::new));
    }

    fn read(&self, signed: &[u8]) -> Result<(Release, String), Trouble> {
        let settings = self.settings.load();
        let settings = settings.as_ref().ok_or(Trouble::Off)?;
        Ok(Release::open(signed, |name| settings.publishers.get(name).copied())?)
    }

    /// Releases here, the oldest first, as far as their publishers are still believed.
    fn releases(&self) -> Vec<(Release, String, Vec<u8>)> {
        let all = self.store.iter().flat_map(Store::releases);
        all.filter_map(|(_, signed)| {
            let (release, publisher) = self.read(&signed).ok()?;
            Some((release, publisher, signed))
        })
        .collect()
    }

    /// The newest release of what is served.
    fn serving(&self) -> Option<(Release, String, Vec<u8>)> {
        let hash = self.store.as_ref()?.serving()?;
        self.releases().into_iter().rev().find(|(release, ..)| release.hash == hash)
    }

    fn own(&self) -> NodeView {
        let name = lock(&self.name).clone();
        NodeView {
            node: name.unwrap_or_else(|| ALONE.to_owned()),
            serial: self.serving().map(|(release, ..)| release.serial),
            refused: lock(&self.refused).clone(),
        }
    }

    /// What is served and known, to be shown; `None` where bundles are not followed.
    pub fn view(&self) -> Option<BundleView> {
        let store = self.store.as_ref()?;
        let serving = store.serving();
        let newest = self.serving().map(|(release, ..)| release.serial);
        let releases = self.releases().into_iter().map(|(release, publisher, _)| ReleaseView {
            serial: release.serial,
            hash: release.hash.to_string(),
            octets: release.octets,
            made_at: release.made_at,
            note: release.note,
            publisher,
            serving: serving == Some(release.hash) && newest == Some(release.serial),
        });
        let mut others = lock(&self.others);
        others.retain(|_, (heard, _)| heard.elapsed() < SILENCE);
        let others = others.values().map(|(_, view)| view.clone());
        let nodes = std::iter::once(self.own()).chain(others).collect();
        Some(BundleView { nodes, releases: releases.collect() })
    }

    /// Removes what is old, and contents that were refused.
    fn prune(&self) -> std::io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let keep = self.settings.load().as_ref().map_or(1, |settings| settings.keep);
        store.prune(keep, |signed| self.read(signed).ok().map(|(release, _)| release.hash))
    }

    fn refuse(&self, serial: u64, trouble: &Trouble) {
        let lines = match trouble {
            Trouble::Faults(faults) => faults.clone(),
            other => vec![other.to_string()],
        };
        let short = |line: String| line.chars().take(FAULT_MAX).collect();
        let faults = lines.into_iter().take(FAULTS_MAX).map(short).collect();
        *lock(&self.refused) = Some(RefusedView { serial, faults });
    }

    fn hears(&self, name: &str, octets: &[u8]) {
        let Ok(view) = serde_json::from_slice::<NodeView>(octets) else { return };
        let mut others = lock(&self.others);
        if view.node == name && (others.len() < NODES_MAX || others.contains_key(name)) {
            others.insert(name.to_owned(), (Instant::now(), view));
        }
    }
}

/// Takes a release: fetches its contents, tries them, and serves them. What was served before
/// stays where anything is wrong.
///
/// # Errors
/// Any [`Trouble`].
pub async fn take(daemon: &Arc<Daemon>, signed: &[u8], source: Source) -> Result<(), Trouble> {
    let bundles = daemon.bundles();
    let (release, publisher) = bundles.read(signed)?;
    let _trying = bundles.trying.lock().await;
    let newest = bundles.releases().last().map(|(release, ..)| release.serial);
    if let Some(newest) = newest.filter(|newest| release.serial <= *newest) {
        return Err(Trouble::Old(release.serial, newest));
    }
    let outcome = tried(daemon, &release, signed, source).await;
    match &outcome {
        Ok(()) => {
            *lock(&bundles.refused) = None;
            let serial = release.serial;
            tracing::info!("bundle {serial} of {publisher} is served: {}", release.note);
        }
        Err(trouble) => {
            bundles.refuse(release.serial, trouble);
            let serial = release.serial;
            tracing::error!("bundle {serial} of {publisher} is refused: {trouble}");
        }
    }
    if let Err(error) = bundles.prune() {
        tracing::warn!("old bundles cannot be removed: {error}");
    }
    bundles.changed.notify_one();
    outcome
}

async fn tried(
    daemon: &Arc<Daemon>,
    release: &Release,
    signed: &[u8],
    source: Source,
) -> Result<(), Trouble> {
    let bundles = daemon.bundles();
    let store = bundles.store.clone().ok_or(Trouble::Off)?;
    let hash = release.hash;
    if !store.has(hash) {
        let octets = match source {
            Source::Given(octets) => octets,
            Source::Node(name) => fetch(daemon, release, &name).await?,
        };
        if octets.len() as u64 != release.octets || Hash::of(&octets) != hash {
            return Err(Trouble::Hash);
        }
        let store = store.clone();
        blocking(move || {
            let contents = Contents::decode(&octets)?;
            store.keep(hash, &contents, &octets)?;
            Ok::<_, Trouble>(())
        })
        .await?;
    }
    let (done, outcome) = oneshot::channel();
    let cause = format!("bundle {}", release.serial);
    let wish = Wish { cause, files: store.folder(hash), done };
    bundles.wishes.send(wish).await.map_err(|_| Trouble::Ending)?;
    outcome.await.map_err(|_| Trouble::Ending)?.map_err(Trouble::Faults)?;
    store.serve(Some(hash))?;
    Ok(store.enter(release, signed)?)
}

async fn fetch(daemon: &Daemon, release: &Release, node: &str) -> Result<Vec<u8>, Trouble> {
    let subject = of(BUNDLE_GET, node);
    let mut octets = Vec::new();
    while (octets.len() as u64) < release.octets {
        let asked = (release.hash, octets.len() as u64);
        let asked = postcard::to_allocvec(&asked).map_err(|error| fetch_failed(&error))?;
        let piece = piece(daemon, &subject, asked.into()).await?;
        let left = release.octets - octets.len() as u64;
        if piece.is_empty() || piece.len() as u64 > left {
            return Err(fetch_failed(&"a piece is not as long as it should be"));
        }
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}

async fn piece(daemon: &Daemon, subject: &str, asked: Bytes) -> Result<Bytes, Trouble> {
    let bus = daemon.attachment().bus();
    let mut tries = 1;
    loop {
        match bus.request(subject, asked.clone(), PIECE_TIMEOUT).await {
            Ok(piece) => return Ok(piece),
            Err(error) if tries == PIECE_TRIES => return Err(fetch_failed(&error)),
            Err(_) => tries += 1,
        }
    }
}

fn fetch_failed(why: &dyn std::fmt::Display) -> Trouble {
    Trouble::Fetch(why.to_string())
}

/// Hears and says what is served until the daemon ends.
pub(super) async fn run(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    let bundles = daemon.bundles();
    let Some(store) = bundles.store.clone() else { return };
    let bus = Arc::clone(daemon.attachment().bus());
    let name = daemon.attachment().name();
    lock(&bundles.name).clone_from(&name);
    if let Some(name) = &name {
        bus.serve(&of(BUNDLE_GET, name), handler(move |asked| hand_on(store.clone(), asked)));
    }
    let mut announced = bus.subscribe(BUNDLE_ANNOUNCE);
    let mut standings = bus.subscribe(STATUS);
    let mut due = tokio::time::interval(ANNOUNCE);
    loop {
        let heard = tokio::select! {
            _ = due.tick() => None,
            () = bundles.changed.notified() => None,
            Some(message) = announced.next() => Some(message),
            Some(message) = standings.next() => Some(message),
            _ = ends.wait_for(|ending| *ending) => return,
        };
        match heard {
            None => say(&daemon, name.as_deref()),
            Some(message) => match name_under(&message.subject, STATUS) {
                Some(from) if name.as_deref() != Some(from) => bundles.hears(from, &message.bytes),
                Some(_) => {}
                None => hear(&daemon, &message.bytes).await,
            },
        }
    }
}

/// Announces what is served, and how this node stands.
fn say(daemon: &Daemon, name: Option<&str>) {
    let Some(name) = name else { return };
    let (bundles, bus) = (daemon.bundles(), daemon.attachment().bus());
    if let Some((_, _, signed)) = bundles.serving()
        && let Ok(octets) = postcard::to_allocvec(&(name, signed))
    {
        bus.publish(BUNDLE_ANNOUNCE, octets.into());
    }
    if let Ok(octets) = serde_json::to_vec(&bundles.own()) {
        bus.publish(&of(STATUS, name), octets.into());
    }
}

/// Takes what another announces, where it is newer and was not refused.
async fn hear(daemon: &Arc<Daemon>, octets: &[u8]) {
    let Ok((holder, signed)) = postcard::from_bytes::<(String, Vec<u8>)>(octets) else { return };
    let bundles = daemon.bundles();
    let release = match bundles.read(&signed) {
        Ok((release, _)) => release,
        Err(trouble) => return tracing::debug!("bundle announced by {holder}: {trouble}"),
    };
    let newest = bundles.releases().last().map(|(release, ..)| release.serial);
    // Faults stay; what could not be fetched may be had the next time.
    let refused = lock(&bundles.refused).as_ref().is_some_and(|refused| {
        refused.serial == release.serial
            && !refused.faults.iter().any(|why| why.contains("to be had"))
    });
    if newest.is_none_or(|newest| release.serial > newest) && !refused {
        // Told there already.
        let _ = take(daemon, &signed, Source::Node(holder)).await;
    }
}

/// Answers with a piece of contents.
async fn hand_on(store: Store, asked: Asked) -> Option<Bytes> {
    let (hash, offset): (Hash, u64) = postcard::from_bytes(&asked.bytes).ok()?;
    blocking(move || store.piece(hash, offset, PIECE)).await.map(Bytes::from)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
