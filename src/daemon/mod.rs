//! The conductor of the knowledge plane: loads the files, watches them, swaps the snapshot.
//!
//! [`start`] brings everything up: configuration, geography, what is remembered of health, the
//! snapshot, sockets, prober and API. From then on [`reload`] puts a new configuration in force
//! whenever files change, [`watchman`] logs and keeps what health concludes, [`pressure`] sees
//! whether answers are held back, and [`Daemon::stop`] ends it all. A query never comes here.

#![forbid(unsafe_code)]

pub mod aliases;
pub mod attachment;
pub mod bundle;
pub mod capacity;
pub mod changes;
mod decisions;
mod geography;
mod intake;
mod latencies;
pub mod load;
pub mod log;
mod offer;
pub mod orders;
pub mod pressure;
pub mod reload;
pub mod steward;
pub mod watch;
pub mod watchman;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch as signal};
use tokio::task::JoinSet;

use crate::admin;
use crate::admin::view::{ConfigView, DatabaseView, ReloadView, TlsView};
use crate::config::{Decisions, Settings};
use crate::diagnostics::Diagnostic;
use crate::health::council::{Council, SETTLE};
use crate::health::keeper::{Event, Keeper};
use crate::health::persist;
use crate::io::{BindError, Identity, Listeners, Running, Setup, TcpLimits};
use crate::probe;
use crate::probe::push::Board;
use crate::probe::watch::Watch;
use crate::server::stats::Stats;
use crate::server::worker::Worker;
use crate::snapshot::{Publisher, Snapshot};
use aliases::Aliases;
use attachment::Attachment;
use bundle::Bundles;
use capacity::Room;
use changes::Conductor;
use changes::store::Kept;
use orders::Orders;
use pressure::Pressure;
use steward::Steward;

/// A daemon that answers. Shared by its tasks and the API.
pub struct Daemon {
    started: Instant,
    root: PathBuf,
    state: PathBuf,
    snapshots: Arc<ArcSwap<Snapshot>>,
    stats: Arc<Stats>,
    health: Arc<Watch>,
    /// Where others report of checks that nobody asks.
    board: Arc<Board>,
    /// Never waited for while the keeper is held.
    council: Mutex<Council>,
    sockets: Mutex<Option<Running>>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    identity: Option<Arc<Identity>>,
    /// How other processes are heard.
    attachment: Attachment,
    /// Bundles that are served or were refused, where they are followed.
    bundles: Bundles,
    /// Orders to all nodes.
    orders: Orders,
    api: Option<SocketAddr>,
    ledger: Mutex<Ledger>,
    pressure: Mutex<Pressure>,
    changes: Mutex<Conductor>,
    /// What of decisions is logged.
    decisions: Mutex<Option<Decisions>>,
    aliases: Mutex<Vec<aliases::Known>>,
    /// Which latencies vantages measure.
    measuring: Mutex<latencies::Measuring>,
    /// Rung when there is a new table of them.
    measured: Notify,
    /// What vantages are given to probe.
    offered: offer::Offered,
    recorder: PrometheusHandle,
    ending: signal::Sender<bool>,
    /// Rung on every event of health, so that it is written down at once.
    changed: Notify,
    /// Turns the dials of records.
    steward: Mutex<Steward>,
    room: Mutex<Room>,
    /// Rung on every event of health, so that dials follow at once.
    turned: Notify,
}

/// What loading has come to.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The configuration in force.
    pub config: ConfigView,
    /// The last attempt.
    pub reload: ReloadView,
    /// The databases in use.
    pub databases: Vec<DatabaseView>,
    /// The certificate in use, where TLS is served.
    pub tls: Option<TlsView>,
}

/// What a caller may want otherwise than the files say.
pub struct Options {
    /// `meridian.toml` or its folder.
    pub config: PathBuf,
    /// Called for each event of health, after it was logged and counted.
    pub on_event: Option<Listener>,
}

/// Somebody who wants to know of health's events.
pub type Listener = Box<dyn Fn(&Event) + Send>;

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The files have errors.
    #[error("the files are refused")]
    Faults(Vec<Diagnostic>),
    /// The files are fine, but cannot be compiled.
    #[error("the files cannot be put in force")]
    Build(#[from] crate::config::assemble::AssembleError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The API's address cannot be listened on.
    #[error("cannot listen on {0} (API)")]
    Api(SocketAddr, #[source] std::io::Error),
    /// The bus cannot be opened.
    #[error("cannot open the bus")]
    Bus(#[source] std::io::Error),
    /// The system grants no threads.
    #[error("cannot start the threads that answer")]
    Threads(#[source] std::io::Error),
    /// The state folder cannot be made.
    #[error("cannot make the state folder {0}")]
    State(PathBuf, #[source] std::io::Error),
    /// Another recorder was installed in this process.
    #[error("metrics are recorded by somebody else in this process")]
    Recorder,
}

/// How long threads may take to answer what they have accepted, when the daemon ends.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// How often a start looks whether it may answer.
const START_TICK: Duration = Duration::from_millis(5);

/// Descriptors for sockets that listen, files, the API, and what libraries keep.
const DESCRIPTORS_BESIDE: usize = 128;

/// Starts everything; returns when queries are answered.
///
/// # Errors
/// The first thing without which it would not be the daemon that the files describe.
pub async fn start(options: Options) -> Result<(Arc<Daemon>, JoinSet<()>), StartError> {
    let started = Instant::now();
    let recorder = admin::metrics::install().ok_or(StartError::Recorder)?;
    let root = load::root_of(&options.config);
    let watch = reload::watch(&root);
    let read_at = SystemTime::now();
    let mut loader = load::Loader::new(options.config);
    let read = blocking(move || loader.read().map(|read| (loader, read)));
    let (mut loader, read) = read.await.map_err(StartError::Faults)?;
    let settings = read.config.settings.clone();
    if let Some(watch) = &watch {
        watch.ignore(settings.state.clone());
    }
    let mut tasks = JoinSet::new();
    let (ending, ends) = signal::channel(false);
    let slot: admin::Slot = Arc::new(OnceLock::new());
    let api = match settings.api {
        Some(address) => Some(open_api(address, &slot, &ends, &mut tasks).await?),
        None => None,
    };
    std::fs::create_dir_all(&settings.state)
        .map_err(|error| StartError::State(settings.state.clone(), error))?;
    let attachment = Attachment::open(settings.bus.as_ref()).await.map_err(StartError::Bus)?;
    let (bundles, wishes) = Bundles::open(&settings);
    let orders = Orders::open(&settings, attachment.name());
    let kept = remembered_changes(&settings.state);
    let (mut keeper, council) = remembered(&read, &settings.state, started);
    keeper.go_on(&kept.starts, started.elapsed());
    let encrypted = settings.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
    let listeners = Listeners::bind(&settings.listen, settings.workers)?.bind_tls(encrypted)?;
    let identity = settings.tls.as_ref().map(|tls| Arc::new(Identity::new(tls.server.0.clone())));
    warn_of_few_descriptors(&listeners, &settings);
    loader.set_threads(listeners.threads());
    let table = keeper.table();
    let built = blocking(move || (loader.build(&read, None, table), loader, read));
    let (first, loader, read) = built.await;
    let first = first?;
    let mut steward = Steward::remembering(kept.returned);
    steward.turn(&first, started.elapsed());
    let mut room = Room::default();
    room.adopt(&first);
    let mut changes = Conductor::new(kept.stands, kept.planned);
    changes::task::tell(&changes.meet(&first, settings.safety));
    let publisher = Publisher::new(first);
    publisher.current().wall.set(wall(), started.elapsed());
    let load_time = started.elapsed();

    let (health, events) = Watch::new(keeper);
    let stats = Arc::new(Stats::new(listeners.threads()));
    let (addresses, tls_addresses) = (listeners.addresses(), listeners.tls_addresses());
    let setup = Setup { tcp: tcp_limits(&settings), origin: started, identity: identity.clone() };
    let daemon = Arc::new(Daemon {
        started,
        root,
        state: settings.state.clone(),
        snapshots: publisher.source(),
        stats,
        health,
        board: Arc::default(),
        council: Mutex::new(council),
        sockets: Mutex::new(None),
        addresses,
        tls_addresses,
        identity,
        attachment,
        bundles,
        orders,
        api,
        ledger: Mutex::default(),
        pressure: Mutex::default(),
        changes: Mutex::new(changes),
        decisions: Mutex::new(settings.decisions.clone()),
        aliases: Mutex::new(remembered_names(&settings.state)),
        measuring: Mutex::default(),
        measured: Notify::new(),
        offered: offer::Offered::default(),
        recorder,
        ending,
        changed: Notify::new(),
        steward: Mutex::new(steward),
        room: Mutex::new(room),
        turned: Notify::new(),
    });
    daemon.offered.open(&daemon);
    let prober = watchman::prober(&daemon, load::limits(&settings), seed());
    let (start_wait, snapshots) = (settings.probe.start_wait, publisher.source());
    let reloader =
        reload::Reloader::new(loader, publisher, prober, settings, read, load_time, &daemon);
    // What names lead to and what vantages say is evidence, so it has to be heard before anything
    // is answered.
    let mut names = Aliases::new(seed()).remembering(std::mem::take(&mut daemon.aliases()));
    names.follow(&daemon.snapshot(), daemon.now());
    *daemon.aliases() = names.known(daemon.now());
    tasks.spawn(aliases::run(Arc::clone(&daemon), names, ends.clone()));
    tasks.spawn(intake::run(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(orders::run(Arc::clone(&daemon), ends.clone()));
    daemon.first_evidence(start_wait).await;
    let running = start_workers(listeners, setup, &snapshots, &daemon.stats);
    daemon.run_sockets(running.map_err(StartError::Threads)?);
    // Set once, here.
    let _ = slot.set(Arc::clone(&daemon));
    daemon.announce();
    tasks.spawn(watchman::tell(Arc::clone(&daemon), events, options.on_event));
    tasks.spawn(pressure::watch(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(watchman::keep(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(steward::run(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(changes::task::run(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(decisions::run(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(latencies::run(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(bundle::run(Arc::clone(&daemon), ends.clone()));
    tasks.spawn(reload::run(reloader, watch, read_at, wishes, Arc::clone(&daemon), ends));
    Ok((daemon, tasks))
}

/// The API answers from here on, though until `slot` is filled only that it is starting.
async fn open_api(
    address: SocketAddr,
    slot: &admin::Slot,
    ends: &signal::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<SocketAddr, StartError> {
    let refused = |error| StartError::Api(address, error);
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let local = listener.local_addr().map_err(refused)?;
    tasks.spawn(admin::serve(listener, Arc::clone(slot), ends.clone()));
    Ok(local)
}

/// Health begins with what was believed and ordered when the process ended last.
fn remembered(read: &load::Read, state: &Path, started: Instant) -> (Keeper, Council) {
    let memory = persist::load_health(state, wall());
    let overrides = persist::load_overrides(state);
    let newest = persist::load_newest(state);
    let warnings = memory.warnings.iter().chain(&overrides.warnings);
    for warning in warnings.chain(&newest.warnings) {
        tracing::warn!("{warning}");
    }
    tracing::debug!("{} checks remembered", memory.value.len());
    let now = started.elapsed();
    let believed = |key: &str| memory.value.get(key).map(|of| (of.belief, of.held));
    let council = Council::new(load::panel(&read.config), believed, &newest.value, now);
    let mut plan = load::plan(&read.config);
    plan.rulings = council.rulings().to_vec();
    let mut keeper = Keeper::new(plan, &memory.value, overrides.value, now);
    keeper.decide_at_once();
    (keeper, council)
}

/// Names lead where they led when the process ended last, until they are resolved anew.
fn remembered_names(state: &Path) -> Vec<aliases::Known> {
    let (known, warnings) = aliases::store::load(state, wall());
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    known
}

/// Changes begin where they stood when the process ended last.
fn remembered_changes(state: &Path) -> Kept {
    let (kept, warnings) = changes::store::load(state);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    kept
}

/// Says so when connections could use up every descriptor: then neither a probe nor a file could
/// be opened.
fn warn_of_few_descriptors(listeners: &Listeners, settings: &Settings) {
    let needed = settings.tcp.connections + settings.probe.concurrency + DESCRIPTORS_BESIDE;
    if let Some(most) = listeners.descriptors().filter(|most| *most < needed as u64) {
        tracing::warn!(
            "this process may have {most} descriptors, but tcp.connections and probe.concurrency \
             may take {needed}: raise the limit (LimitNOFILE, ulimit -n) or lower them"
        );
    }
}

fn tcp_limits(settings: &Settings) -> TcpLimits {
    TcpLimits {
        connections: settings.tcp.connections,
        connections_per_client: settings.tcp.connections_per_client,
        idle: settings.tcp.idle_timeout,
    }
}

fn start_workers(
    listeners: Listeners,
    setup: Setup,
    snapshots: &Arc<ArcSwap<Snapshot>>,
    stats: &Arc<Stats>,
) -> std::io::Result<Running> {
    let worker = |thread| {
        Worker::new(thread, Arc::clone(snapshots), Arc::clone(stats), seed() ^ thread as u64)
    };
    listeners.start(worker, setup)
}

/// A seed that differs from start to start. The standard library keys its hash maps from the
/// system's randomness; nothing secret hangs on this one.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Runs `work` where it may block; a panic in it goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that ends cancels blocking work, and nothing is left to do then.
        Err(_) => std::future::pending().await,
    }
}

/// Seconds since 1970-01-01T00:00:00Z.
pub fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Daemon {
    /// Waits until every member has been probed or is remembered, `patience` at most: the first
    /// answer is to be right. Queries wait in the sockets meanwhile. Where vantages decide, for as
    /// long as their council waits for the last of them.
    async fn first_evidence(&self, patience: Duration) {
        let is_convened = self.council().is_convened();
        let patience = match patience {
            Duration::ZERO => patience,
            _ if is_convened => patience.max(SETTLE + Duration::from_millis(500)),
            _ => patience,
        };
        let ends = tokio::time::Instant::now() + patience;
        let is_awaited = || {
            let is_open =
                |of: &aliases::Known| of.standing == aliases::Standing::Unknown && of.failures == 0;
            // Clients must not be sent either to what was drained everywhere while this node was
            // away.
            !self.health.keeper().known().is_decided()
                || !self.orders.are_settled()
                || self.aliases().iter().any(is_open)
        };
        while is_awaited() && tokio::time::Instant::now() < ends {
            tokio::time::sleep(START_TICK).await;
        }
        if !self.health.keeper().known().is_decided() {
            tracing::warn!(
                "some members gave no evidence within {patience:?} and count as up: see the health \
                 part of `meridian status`"
            );
        }
    }

    fn run_sockets(&self, running: Running) {
        *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }

    /// Time since it started, the clock of all health.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The folder of `meridian.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.load_full()
    }

    /// What the query plane counts.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Health.
    pub fn health(&self) -> &Arc<Watch> {
        &self.health
    }

    /// What several vantages have told, and what follows. To be locked before the keeper, and
    /// never held over an await.
    pub fn council(&self) -> MutexGuard<'_, Council> {
        self.council.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where others report of checks of type `push`.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The addresses answered on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses answered on over TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// What is shown over TLS, where that is listened for.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// The address the API listens on.
    pub const fn api(&self) -> Option<SocketAddr> {
        self.api
    }

    /// Says where it is reached.
    fn announce(&self) {
        let zones = self.snapshot().catalog.len();
        for address in &self.addresses {
            tracing::info!("answering on {address} for {zones} zones");
        }
        for address in &self.tls_addresses {
            tracing::info!("answering over TLS on {address}");
        }
        if let Some(address) = self.api {
            tracing::info!("API on http://{address}");
        }
    }

    /// What loading has come to.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held back by rate limiting.
    pub fn pressure(&self) -> MutexGuard<'_, Pressure> {
        self.pressure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes over time. Never held over an await.
    pub fn changes(&self) -> MutexGuard<'_, Conductor> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of decisions is logged.
    fn decisions(&self) -> Option<Decisions> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_decisions(&self, wanted: Option<Decisions>) {
        *self.decisions.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
    }

    /// Has what was ordered written down at once.
    pub fn write_down(&self) {
        self.changed.notify_one();
    }

    /// What is known of the names that are flattened.
    pub fn aliases(&self) -> MutexGuard<'_, Vec<aliases::Known>> {
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the socket threads count, and how many of them were lost.
    pub fn sockets(&self) -> Option<(crate::io::Counters, usize)> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.as_ref().map(|running| (running.counters(), running.lost_threads()))
    }

    /// Has threads without queries let go of what was replaced.
    fn refresh_threads(&self) {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = sockets.as_ref() {
            running.refresh();
        }
    }

    /// What turns the dials of records.
    pub fn steward(&self) -> MutexGuard<'_, Steward> {
        steward::lock(&self.steward)
    }

    /// How other processes are heard, and hear of this one.
    pub const fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Bundles that are served or were refused.
    pub const fn bundles(&self) -> &Bundles {
        &self.bundles
    }

    /// Orders to all nodes.
    pub const fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The recorder of metrics.
    pub const fn recorder(&self) -> &PrometheusHandle {
        &self.recorder
    }

    /// True while zones are served. Health has no say: a node that cannot see its regions
    /// answers from its last verdicts, and taking it away would help nobody.
    pub fn is_ready(&self) -> bool {
        !*self.ending.borrow() && !self.snapshot().catalog.is_empty()
    }

    /// Whether pools are on their way back to their clients: how far they have come is worth
    /// writing down now and then.
    pub(in crate::daemon) fn has_returning(&self) -> bool {
        let (snapshot, now) = (self.snapshot(), self.now());
        !self.health.keeper().known().starts(now).is_empty()
            || !self.steward().returned(&snapshot, now).is_empty()
    }

    /// Writes what must survive a restart. Blocks.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub fn persist(&self) -> std::io::Result<()> {
        // Written last: an order that is noted as taken must have been carried out on disk too.
        let orders = self.orders.book();
        let newest = self.council().intake().newest();
        persist::save_newest(&self.state, &newest)?;
        let known = self.health.known();
        persist::save_health(&self.state, &known.memory(self.now()), wall())?;
        persist::save_overrides(&self.state, known.overrides())?;
        let kept = {
            let changes = self.changes();
            // A reload publishes while it holds the changes.
            let (snapshot, now) = (self.snapshot(), self.now());
            let mut steward = self.steward();
            steward.turn(&snapshot, now);
            let (stands, planned) = (changes.stands().to_vec(), changes.planned().to_vec());
            let returned = steward.returned(&snapshot, now);
            Kept { stands, planned, returned, starts: known.starts(now) }
        };
        changes::store::save(&self.state, &kept)?;
        Orders::save(&orders, &self.state)?;
        self.keep_aliases()
    }

    /// Writes down what names lead to. Blocks.
    pub(in crate::daemon) fn keep_aliases(&self) -> std::io::Result<()> {
        let known = self.aliases().clone();
        aliases::store::save(&self.state, &known, wall())
    }

    /// Ends everything: answers what was accepted, keeps what must survive, lets the tasks end.
    pub async fn stop(self: &Arc<Self>, mut tasks: JoinSet<()>) {
        self.ending.send_replace(true);
        let running = self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stopped = blocking(move || running.map(|running| running.stop(STOP_DEADLINE))).await;
        if let Some(stopped) = stopped.filter(|stopped| stopped.late + stopped.panicked > 0) {
            tracing::warn!("{} threads were late, {} had panicked", stopped.late, stopped.panicked);
        }
        let daemon = Arc::clone(self);
        if let Err(error) = blocking(move || daemon.persist()).await {
            tracing::error!("health is not remembered: {error}");
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::warn!("some tasks had not ended after {STOP_DEADLINE:?}");
        }
        tracing::info!("stopped");
    }
}

/// The daemon's own prober.
pub type Prober = probe::schedule::Prober<probe::ask::Asker>;
/// Events of health on their way to the log.
type Events = mpsc::UnboundedReceiver<Event>;
