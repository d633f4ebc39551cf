//! Carries out orders to all nodes: hears them from others, keeps and hands them on, and asks for
//! them at a start.
//!
//! A node says all it has heard of, at once when that changes and every few seconds after it, and
//! whoever was away takes what is news from the next word of anybody. What an order does here is
//! what it would do if it were given here: it becomes an override, which is kept, shown and ended
//! like others. Where the safety rules of this node are against it, it waits as a planned one does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::changes::{Planned, marked};
use super::{Daemon, wall};
use crate::admin::view::{OrderView, OrdersNode, OrdersView};
use crate::bus::subject::{OVERRIDE, OVERRIDE_GET, name_under, of};
use crate::bus::{Asked, handler};
use crate::config::{self, Settings};
use crate::health::overrides::Override;
use crate::orders::order::Fault;
use crate::orders::{Book, Entry, Handed, book, disk};
use crate::seal::PublicKey;

/// How often is said what has been heard of.
const SAY: Duration = Duration::from_secs(5);
/// At a start others are asked for this long at most, each time for a part of it.
const ASK: Duration = Duration::from_secs(1);
const ASK_ONCE: Duration = Duration::from_millis(500);
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// After a word with something that was refused, nobody is heard for this long.
const PAUSE: Duration = Duration::from_millis(20);
/// Another node that said nothing for this long is not shown; nodes that are.
const SILENCE: Duration = Duration::from_secs(60);
const NODES_MAX: usize = 1024;
/// What a node without a bus is called.
const ALONE: &str = "this node";

/// Orders of a daemon.
pub struct Orders {
    operators: ArcSwap<BTreeMap<String, PublicKey>>,
    /// To be locked before the changes: an order is entered and carried out in one.
    book: Mutex<Book>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    /// When other nodes were heard last, and the fingerprint of what they have.
    others: Mutex<BTreeMap<String, (Instant, u64)>>,
    /// Rung when there is something new to say.
    changed: Notify,
    /// Others were asked, or need not be.
    settled: AtomicBool,
    name: OnceLock<String>,
}

impl Orders {
    /// Begins with what was kept.
    pub(super) fn open(settings: &Settings, attached: Option<String>) -> Self {
        let operators = settings.orders.operators.clone();
        let (book, warnings) =
            disk::load(&settings.state, |name| operators.get(name).copied(), wall());
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let name = OnceLock::new();
        let settled = operators.is_empty() || attached.is_none();
        if let Some(attached) = attached {
            // Set once, here.
            let _ = name.set(attached);
        }
        Self {
            operators: ArcSwap::from_pointee(operators),
            book: Mutex::new(book),
            refused: Mutex::default(),
            others: Mutex::default(),
            changed: Notify::new(),
            settled: AtomicBool::new(settled),
            name,
        }
    }

    /// Takes over who orders. Whose key is gone is not handed on either; what was carried out stays
    /// until it ends or is released.
    pub(super) fn refresh(&self, settings: &config::Orders) {
        let operators = settings.operators.clone();
        lock(&self.book).retain(|name| operators.get(name).copied());
        self.operators.store(Arc::new(operators));
    }

    /// False until others were asked at the start.
    pub(super) fn are_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Writes them down.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub(super) fn save(book: &Book, state: &Path) -> std::io::Result<()> {
        // A node that never heard an order has no file of them.
        let is_new = book.entries().next().is_none() && book.floor() == 0;
        if is_new && !state.join(disk::FILE).exists() { Ok(()) } else { disk::save(state, book) }
    }

    /// What is known now.
    pub(super) fn book(&self) -> Book {
        lock(&self.book).clone()
    }

    /// Reads an order of somebody who may give it.
    ///
    /// # Errors
    /// As [`crate::orders::Order::open`].
    pub fn read(&self, sealed: &[u8]) -> Result<crate::orders::Order, Fault> {
        let operators = self.operators.load();
        let read = crate::orders::Order::open(sealed, |name| operators.get(name).copied());
        read.map(|(order, _)| order).inspect_err(|fault| self.refuse(*fault, "the API"))
    }

    /// Who gave an override that stands here, and on which node, where it is for all of them.
    pub fn behind(&self, order: &Override) -> Option<(String, String)> {
        let book = lock(&self.book);
        let entry = book.over(&order.target, order.area.as_deref())?;
        let set = entry.as_override()?;
        // One that was given here alone since then is another.
        let same = (set.state, &set.by, set.until) == (order.state, &order.by, order.until);
        same.then(|| (entry.signer.clone(), entry.order.node.clone()))
    }

    /// Orders that hold, and how others stand; `None` where nobody orders.
    pub fn view(&self) -> Option<OrdersView> {
        if self.operators.load().is_empty() {
            return None;
        }
        let (at, book) = (wall(), self.book());
        let own = book.fingerprint();
        let mut others = lock(&self.others);
        others.retain(|_, (heard, _)| heard.elapsed() < SILENCE);
        let nodes = others
            .iter()
            .map(|(node, (_, theirs))| OrdersNode { node: node.clone(), agrees: *theirs == own });
        let refused = lock(&self.refused);
        Some(OrdersView {
            node: self.name.get().map_or(ALONE, String::as_str).to_owned(),
            newest: book.newest(),
            orders: book.entries().filter(|entry| !entry.is_over(at)).map(view).collect(),
            nodes: nodes.collect(),
            refused: refused.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect(),
        })
    }

    fn refuse(&self, fault: Fault, from: &str) {
        let mut refused = lock(&self.refused);
        let count = refused.entry(fault.as_str()).or_default();
        *count += 1;
        if *count == 1 {
            tracing::warn!(
                "an order from {from} is refused: {fault}; told once, counted in \
                 meridian_orders_refused_total"
            );
        }
    }
}

fn view(entry: &Entry) -> OrderView {
    let order = &entry.order;
    OrderView {
        number: order.number,
        target: order.target.to_string(),
        area: order.area.as_deref().map(Into::into),
        order: order.what.as_str().to_owned(),
        signer: entry.signer.clone(),
        by: order.by.clone(),
        node: order.node.clone(),
        reason: order.reason.clone(),
        until: entry.until,
    }
}

/// Takes an order in and carries it out; true where it is news. `left` is for how long it still
/// holds where it comes from.
///
/// # Errors
/// Any [`Fault`].
pub fn take(daemon: &Daemon, sealed: &[u8], left: Option<u64>) -> Result<bool, Fault> {
    let orders = daemon.orders();
    let operators = orders.operators.load();
    let mut book = lock(&orders.book);
    let taken = book.take(sealed, left, |name| operators.get(name).copied(), wall())?;
    let Some(entry) = taken else { return Ok(false) };
    carry_out(daemon, entry);
    drop(book);
    daemon.write_down();
    orders.changed.notify_one();
    Ok(true)
}

/// Does on this node what an order says.
fn carry_out(daemon: &Daemon, entry: &Entry) {
    let (order, at) = (&entry.order, wall());
    let (target, area) = (&order.target, order.area.as_deref());
    tracing::warn!(
        "order {} to all nodes, signed by {}, given on {}: {} {target}",
        order.number,
        entry.signer,
        order.node,
        order.what.as_str()
    );
    let set = entry.as_override().filter(|_| !entry.is_over(at));
    let mut changes = daemon.changes();
    changes.unplan(target, area);
    // What survives a restart has changed in any case.
    changes.touch();
    let events = match (set, order.begins.filter(|begins| *begins > at)) {
        (None, _) => daemon.health().keeper().clear_override(target, area, daemon.now()),
        (Some(order_here), Some(from)) => {
            let (forced, held) = (order.force, String::new());
            changes.plan(Planned { order: order_here, from, forced, held });
            Vec::new()
        }
        (Some(mut order_here), None) => {
            let snapshot = daemon.snapshot();
            match changes.permit_override(&snapshot, &order_here, order.force, daemon.now()) {
                Ok(forced) => {
                    order_here.reason = marked(&order_here.reason, forced);
                    daemon.health().keeper().set_override(order_here, daemon.now())
                }
                Err(why) => {
                    tracing::warn!("override {target} waits: {why}");
                    let held = why.to_string();
                    changes.plan(Planned { order: order_here, from: at, forced: false, held });
                    Vec::new()
                }
            }
        }
    };
    drop(changes);
    daemon.health().tell(events);
}

/// Takes in what another node has heard of; false when something of it is refused.
fn hear(daemon: &Daemon, from: &str, octets: &[u8]) -> bool {
    let orders = daemon.orders();
    let Some(all) = book::handed(octets) else {
        orders.refuse(Fault::Malformed, from);
        return false;
    };
    let mut is_good = true;
    for Handed { sealed, left } in &all {
        if let Err(fault) = take(daemon, sealed, *left) {
            orders.refuse(fault, from);
            is_good = false;
        }
    }
    let theirs = book::fingerprint(all.iter().map(|handed| &*handed.sealed));
    let mut others = lock(&orders.others);
    if !from.is_empty() && (others.len() < NODES_MAX || others.contains_key(from)) {
        others.insert(from.to_owned(), (Instant::now(), theirs));
    }
    is_good
}

/// Hears and says what is ordered until the daemon ends.
pub(super) async fn run(daemon: Arc<Daemon>, mut ends: watch::Receiver<bool>) {
    let orders = daemon.orders();
    let Some(name) = daemon.attachment().name() else { return };
    let bus = Arc::clone(daemon.attachment().bus());
    let mut heard = bus.subscribe(OVERRIDE);
    serve(&daemon, &name);
    if !orders.are_settled() {
        ask(&daemon, &name).await;
        orders.settled.store(true, Ordering::Release);
    }
    let mut due = tokio::time::interval(SAY);
    loop {
        let message = tokio::select! {
            _ = due.tick() => None,
            () = orders.changed.notified() => None,
            Some(message) = heard.next() => Some(message),
            _ = ends.wait_for(|ending| *ending) => return,
        };
        let Some(message) = message else {
            say(&daemon, &name);
            continue;
        };
        let from = name_under(&message.subject, OVERRIDE).filter(|from| *from != name);
        // Where nobody orders, nothing is heard: it could only be refused.
        let Some(from) = from.filter(|_| !orders.operators.load().is_empty()) else { continue };
        if !hear(&daemon, from, &message.bytes) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Answers nodes that ask what is ordered.
fn serve(daemon: &Arc<Daemon>, name: &str) {
    // The bus belongs to the daemon, and must not keep it.
    let (weak, own) = (Arc::downgrade(daemon), Bytes::copy_from_slice(name.as_bytes()));
    let answer = move |asked: Asked| {
        // One's own question is for others.
        let daemon = weak.upgrade().filter(|_| asked.bytes != own);
        async move { Some(Bytes::from(daemon?.orders().book().hand(wall()))) }
    };
    daemon.attachment().bus().serve(OVERRIDE_GET, handler(answer));
}

/// Asks those who are there what is ordered, before this node answers anybody.
async fn ask(daemon: &Daemon, name: &str) {
    let bus = daemon.attachment().bus();
    let question = Bytes::copy_from_slice(name.as_bytes());
    let until = Instant::now() + ASK;
    loop {
        match bus.request(OVERRIDE_GET, question.clone(), ASK_ONCE).await {
            Ok(octets) => {
                hear(daemon, "", &octets);
                return;
            }
            Err(_) if Instant::now() >= until => return,
            Err(_) => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// Says what is ordered, where anything is.
fn say(daemon: &Daemon, name: &str) {
    let book = daemon.orders().book();
    if book.entries().next().is_some() {
        daemon.attachment().bus().publish(&of(OVERRIDE, name), book.hand(wall()).into());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
