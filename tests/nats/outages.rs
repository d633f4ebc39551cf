//! Servers that die and return while somebody reports: nothing old is delivered as new, and with
//! two clusters nobody misses a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use meridian::bus::subject::HEALTH;
use meridian::bus::{Bus, Subscription};
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::Broker;
use crate::contract::{PATIENCE, connected, health};
use crate::parties::Authority;
use crate::{NODE, VANTAGE, party};

/// How often is reported.
const PERIOD: Duration = Duration::from_millis(20);
/// How long a server stands still: longer than it takes a client to give up on it.
const STILL: Duration = Duration::from_secs(15);
/// How long a server is away: long enough for what was kept to be told from what is new.
const AWAY: Duration = Duration::from_secs(2);
/// Oldest report that is delivered, and longest silence where there is a second cluster. On a
/// machine that is busy with other tests; on a quiet one both are some 30 ms.
const AGE_MAX: Duration = Duration::from_millis(900);

/// Reports its own time until told to end.
fn report(bus: Arc<dyn Bus>, begun: Instant, ends: Arc<AtomicBool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !ends.load(Ordering::Relaxed) {
            let stamp = begun.elapsed().as_micros().to_string();
            bus.publish(&health(), Bytes::from(stamp));
            sleep(PERIOD).await;
        }
    })
}

/// What was heard.
#[derive(Debug, Default)]
struct Heard {
    /// Age of the oldest report.
    oldest: Duration,
    /// Longest time without any.
    silence: Duration,
    /// Greatest age of the newest: what a reader knows who keeps that one.
    behind: Duration,
    reports: usize,
}

async fn hear(listener: &mut Subscription, begun: Instant, lasting: Duration) -> Heard {
    let (mut heard, mut last) = (Heard::default(), Instant::now());
    let mut newest: Option<Duration> = None;
    let until = Instant::now() + lasting;
    while let Ok(message) = tokio::time::timeout_at(until, listener.next()).await {
        let bytes = message.expect("a bus").bytes;
        let Ok(stamp) = String::from_utf8_lossy(&bytes).parse() else { continue };
        let (now, made) = (begun.elapsed(), Duration::from_micros(stamp));
        heard.oldest = heard.oldest.max(now.saturating_sub(made));
        if let Some(newest) = newest {
            heard.behind = heard.behind.max(now.saturating_sub(newest));
        }
        newest = newest.max(Some(made));
        heard.silence = heard.silence.max(last.elapsed());
        heard.reports += 1;
        last = Instant::now();
    }
    heard.silence = heard.silence.max(last.elapsed());
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_returns_delivers_nothing_old() {
    let authority = Authority::new();
    let mut broker = Broker::start(&authority);
    let near: Arc<dyn Bus> = Arc::new(party(&authority, VANTAGE, &[&broker]).await);
    let far = party(&authority, NODE, &[&broker]).await;
    let mut listener = far.subscribe(HEALTH);
    connected(&*near, &mut listener).await;
    let (begun, ends) = (Instant::now(), Arc::<AtomicBool>::default());
    let reporter = report(Arc::clone(&near), begun, Arc::clone(&ends));
    hear(&mut listener, begun, Duration::from_millis(500)).await;
    broker.kill();
    let away = hear(&mut listener, begun, AWAY).await;
    assert!(away.silence > AWAY / 2, "the server was not away: {away:?}");
    broker.restart();
    let first = timeout(PATIENCE, listener.next()).await.expect("it returned").expect("a bus");
    let stamp: u64 = String::from_utf8_lossy(&first.bytes).parse().expect("a stamp");
    let age = begun.elapsed().saturating_sub(Duration::from_micros(stamp));
    let after = hear(&mut listener, begun, Duration::from_secs(2)).await;
    let skipped = near.counts().skipped;
    println!(
        "nats: restart after {AWAY:?}: first report {age:?} old, oldest after {:?}, {skipped} skipped",
        after.oldest
    );
    assert!(age < AGE_MAX && after.oldest < AGE_MAX, "{age:?}, {after:?}");
    assert!(after.reports > 20 && skipped > 20, "{after:?}, {skipped} skipped");
    ends.store(true, Ordering::Relaxed);
    reporter.await.expect("ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_clusters_the_loss_of_one_makes_no_gap() {
    let authority = Authority::new();
    let (mut first, second) = (Broker::start(&authority), Broker::start(&authority));
    let brokers = [&first, &second];
    let near: Arc<dyn Bus> = Arc::new(party(&authority, VANTAGE, &brokers).await);
    let far = party(&authority, NODE, &brokers).await;
    let mut listener = far.subscribe(HEALTH);
    connected(&*near, &mut listener).await;
    let begun = Instant::now();
    while !near.links().iter().chain(&far.links()).all(|link| link.connected) {
        assert!(begun.elapsed() < PATIENCE, "{:?} {:?}", near.links(), far.links());
        sleep(PERIOD).await;
    }
    let ends = Arc::<AtomicBool>::default();
    let reporter = report(Arc::clone(&near), begun, Arc::clone(&ends));
    // Both are heard: each brings its own copy.
    let mut links = [false; 2];
    while links != [true; 2] {
        let message = timeout(PATIENCE, listener.next()).await.expect("heard").expect("a bus");
        links[usize::from(message.link) - 1] = true;
    }
    first.kill();
    let away = hear(&mut listener, begun, AWAY).await;
    first.restart();
    let back = hear(&mut listener, begun, AWAY).await;
    println!(
        "nats: one of two clusters killed: longest silence {:?}, oldest {:?}; after its return {:?}, {:?}",
        away.silence, away.oldest, back.silence, back.oldest
    );
    for heard in [away, back] {
        assert!(heard.silence < AGE_MAX && heard.oldest < AGE_MAX, "{heard:?}");
    }
    ends.store(true, Ordering::Relaxed);
    reporter.await.expect("ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_clusters_one_that_stands_still_sets_nobody_back() {
    let authority = Authority::new();
    let (first, second) = (Broker::start(&authority), Broker::start(&authority));
    let brokers = [&first, &second];
    let near: Arc<dyn Bus> = Arc::new(party(&authority, VANTAGE, &brokers).await);
    let far = party(&authority, NODE, &brokers).await;
    let mut listener = far.subscribe(HEALTH);
    connected(&*near, &mut listener).await;
    let all_connected = async || {
        let begun = Instant::now();
        while !near.links().iter().chain(&far.links()).all(|link| link.connected) {
            assert!(begun.elapsed() < PATIENCE, "{:?} {:?}", near.links(), far.links());
            sleep(PERIOD).await;
        }
    };
    all_connected().await;
    let (begun, ends) = (Instant::now(), Arc::<AtomicBool>::default());
    let reporter = report(Arc::clone(&near), begun, Arc::clone(&ends));
    hear(&mut listener, begun, Duration::from_millis(500)).await;
    first.signal(Signal::STOP);
    let still = hear(&mut listener, begun, STILL).await;
    let given_up = !near.links()[0].connected && !far.links()[0].connected;
    first.signal(Signal::CONT);
    let after = hear(&mut listener, begun, AWAY).await;
    println!(
        "nats: one of two clusters stands still for {STILL:?}: longest silence {:?}; after it \
         {:?}, oldest delivered {:?}, and nobody who keeps the newest was more than {:?} behind",
        still.silence,
        after.silence,
        after.oldest,
        still.behind.max(after.behind)
    );
    for heard in [&still, &after] {
        assert!(heard.silence < AGE_MAX && heard.behind < AGE_MAX, "{heard:?}");
    }
    assert!(given_up, "{:?} {:?}", near.links(), far.links());
    all_connected().await;
    ends.store(true, Ordering::Relaxed);
    reporter.await.expect("ended");
}
