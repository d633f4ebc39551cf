//! What any two sides of a bus may rely on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meridian::bus::subject::{BUNDLE_GET, HEALTH, OVERRIDE, of};
use meridian::bus::{Bus, OCTETS_MAX, RequestError, Subscription, handler};
use tokio::time::timeout;

/// Longest wait for what takes milliseconds on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Two who are connected: a vantage `fra-1`, and a node that hears it.
pub(crate) struct Sides {
    pub(crate) near: Arc<dyn Bus>,
    pub(crate) far: Arc<dyn Bus>,
}

/// What `fra-1` reports on.
pub(crate) fn health() -> String {
    of(HEALTH, "fra-1")
}

/// The next message's octets.
pub(crate) async fn heard(listener: &mut Subscription) -> Bytes {
    let message = timeout(PATIENCE, listener.next()).await.expect("a message in time");
    message.expect("a bus that has not ended").bytes
}

/// Publishes a counter until `listener` hears it: links need a moment, and what is said before
/// they stand is lost by design.
pub(crate) async fn connected(near: &dyn Bus, listener: &mut Subscription) {
    let begun = tokio::time::Instant::now();
    loop {
        near.publish(&health(), Bytes::from_static(b"are you there?"));
        if timeout(Duration::from_millis(50), listener.next()).await.is_ok() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no link: {:?}", near.links());
    }
}

/// Hears `wanted`, whatever is left over from [`connected`] before it.
pub(crate) async fn hears(listener: &mut Subscription, wanted: &str) {
    loop {
        if heard(listener).await == wanted {
            return;
        }
    }
}

pub(crate) async fn what_is_published_arrives(sides: &Sides) {
    let mut listener = sides.far.subscribe(HEALTH);
    connected(&*sides.near, &mut listener).await;
    let large = Bytes::from(vec![7; OCTETS_MAX]);
    sides.near.publish(&health(), large.clone());
    while heard(&mut listener).await != large {}
}

pub(crate) async fn a_listener_that_falls_behind_finds_the_newest(sides: &Sides) {
    let mut slow = sides.far.subscribe(HEALTH);
    let mut quick = sides.far.subscribe(HEALTH);
    connected(&*sides.near, &mut quick).await;
    for at in 0..100 {
        sides.near.publish(&health(), Bytes::from(format!("{at}")));
        // As slow as the other side can tell: nothing of it is in its way.
        if at % 10 == 9 {
            hears(&mut quick, &at.to_string()).await;
        }
    }
    assert_eq!(heard(&mut slow).await, "99");
    assert_eq!(slow.take(), None);
}

pub(crate) async fn who_comes_late_hears_what_is_said_from_then_on(sides: &Sides) {
    let mut first = sides.far.subscribe(HEALTH);
    connected(&*sides.near, &mut first).await;
    sides.near.publish(&health(), Bytes::from_static(b"before"));
    hears(&mut first, "before").await;
    let mut late = sides.far.subscribe(HEALTH);
    assert_eq!(late.take(), None);
    connected(&*sides.near, &mut late).await;
    sides.near.publish(&health(), Bytes::from_static(b"after"));
    hears(&mut late, "after").await;
}

pub(crate) async fn listeners_hear_what_they_asked_for(sides: &Sides) {
    let mut all = sides.far.subscribe(HEALTH);
    let mut one = sides.far.subscribe(&health());
    let mut other = sides.far.subscribe(&of(HEALTH, "sin-1"));
    let mut orders = sides.far.subscribe(OVERRIDE);
    connected(&*sides.near, &mut all).await;
    connected(&*sides.near, &mut one).await;
    sides.near.publish(&health(), Bytes::from_static(b"last"));
    hears(&mut all, "last").await;
    hears(&mut one, "last").await;
    assert_eq!(other.take(), None);
    assert_eq!(orders.take(), None);
}

pub(crate) async fn too_much_is_refused(sides: &Sides) {
    let mut listener = sides.far.subscribe(HEALTH);
    connected(&*sides.near, &mut listener).await;
    let before = sides.near.counts().refused;
    let long = Bytes::from(vec![0; OCTETS_MAX + 1]);
    sides.near.publish(&health(), long.clone());
    sides.near.publish("meridian.v1.health.*", Bytes::new());
    sides.near.publish("elsewhere", Bytes::new());
    assert_eq!(sides.near.counts().refused, before + 3);
    let asked = sides.near.request(&of(BUNDLE_GET, "node"), long, PATIENCE).await;
    assert_eq!(asked, Err(RequestError::Refused));
    sides.near.publish(&health(), Bytes::from_static(b"next"));
    hears(&mut listener, "next").await;
}

pub(crate) async fn requests_are_answered(sides: &Sides) {
    let mut listener = sides.far.subscribe(HEALTH);
    connected(&*sides.near, &mut listener).await;
    let subject = of(BUNDLE_GET, "node");
    let ask = |text: &'static str| {
        sides.near.request(&subject, Bytes::from_static(text.as_bytes()), Duration::from_secs(2))
    };
    let nobody = ask("anybody?").await.unwrap_err();
    assert!(matches!(nobody, RequestError::Nobody | RequestError::Late), "{nobody}");
    sides.far.serve(
        BUNDLE_GET,
        handler(|asked| async move {
            if asked.bytes == "nothing" {
                return None;
            }
            let large = Bytes::from(vec![7; 512 << 10]);
            Some(if asked.bytes == "large" { large } else { asked.subject.to_string().into() })
        }),
    );
    // Brokers need a moment to know who serves what.
    let begun = tokio::time::Instant::now();
    let answer = loop {
        match ask("who?").await {
            Ok(answer) => break answer,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    };
    assert_eq!(answer, subject);
    assert_eq!(ask("large").await.map(|bytes| bytes.len()), Ok(512 << 10));
    assert!(ask("nothing").await.is_err());
}
