//! The bus over NATS, with real servers: each in a folder and on ports of its own, ended by its
//! process number. Needs nats-server (tests/setup); run by tests/run.

mod broker;
mod outages;

#[path = "../bus/contract.rs"]
mod contract;
#[path = "../bus/parties.rs"]
mod parties;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meridian::bus::Bus;
use meridian::bus::handler;
use meridian::bus::nats::Nats;
use meridian::bus::subject::{HEALTH, OVERRIDE, OVERRIDE_GET, of};
use meridian::pki::identity::Identity;
use tokio::time::{Instant, sleep};

use broker::Broker;
use contract::{PATIENCE, Sides, connected, hears};
use parties::{Authority, now};

pub(crate) const NODE: &str = "ams-1.node.meridian";
pub(crate) const VANTAGE: &str = "fra-1.vantage.meridian";

/// Somebody on the bus of these brokers, each a cluster.
pub(crate) async fn party(authority: &Authority, name: &str, brokers: &[&Broker]) -> Nats {
    as_identity(&authority.identity(name), brokers).await
}

async fn as_identity(identity: &Arc<Identity>, brokers: &[&Broker]) -> Nats {
    let clusters = brokers.iter().map(|broker| vec![broker.url()]).collect();
    let setup = meridian::bus::nats::Setup { clusters };
    Nats::start(&setup, identity).await.expect("a bus")
}

/// Two on one broker, which ends with them.
async fn sides() -> (Sides, Broker) {
    let authority = Authority::new();
    let broker = Broker::start(&authority);
    let near = Arc::new(party(&authority, VANTAGE, &[&broker]).await);
    let far = Arc::new(party(&authority, NODE, &[&broker]).await);
    (Sides { near, far }, broker)
}

#[tokio::test]
async fn what_is_published_arrives() {
    contract::what_is_published_arrives(&sides().await.0).await;
}

#[tokio::test]
async fn who_comes_late_hears_what_is_said_from_then_on() {
    let (sides, _broker) = sides().await;
    contract::who_comes_late_hears_what_is_said_from_then_on(&sides).await;
}

#[tokio::test]
async fn a_listener_that_falls_behind_finds_the_newest() {
    let (sides, _broker) = sides().await;
    contract::a_listener_that_falls_behind_finds_the_newest(&sides).await;
}

#[tokio::test]
async fn listeners_hear_what_they_asked_for() {
    let (sides, _broker) = sides().await;
    contract::listeners_hear_what_they_asked_for(&sides).await;
}

#[tokio::test]
async fn too_much_is_refused() {
    let (sides, _broker) = sides().await;
    contract::too_much_is_refused(&sides).await;
}

#[tokio::test]
async fn requests_are_answered() {
    let (sides, _broker) = sides().await;
    contract::requests_are_answered(&sides).await;
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let (sides, _broker) = sides().await;
    let mut all = sides.far.subscribe("meridian.v1.");
    connected(&*sides.near, &mut all).await;
    for subject in [&of(HEALTH, "fra-2"), &of(OVERRIDE, "fra-1")] {
        sides.near.publish(subject, Bytes::from_static(b"forged"));
    }
    sides.near.publish(&contract::health(), Bytes::from_static(b"own"));
    let heard = loop {
        let message = all.next().await.expect("a bus");
        if message.bytes != "are you there?" {
            break message;
        }
    };
    assert_eq!((&*heard.subject, &heard.bytes[..]), (&*contract::health(), &b"own"[..]));
}

#[tokio::test]
async fn orders_are_told_and_asked_for() {
    let authority = Authority::new();
    let broker = Broker::start(&authority);
    let ams = party(&authority, NODE, &[&broker]).await;
    let sin = party(&authority, "sin-1.node.meridian", &[&broker]).await;
    let mut ordered = ams.subscribe(OVERRIDE);
    ams.serve(OVERRIDE_GET, handler(|asked| async move { Some(asked.bytes) }));
    // One's own question is not for oneself; a broker does not send it back.
    let begun = Instant::now();
    let ask = || sin.request(OVERRIDE_GET, Bytes::from_static(b"sin-1"), Duration::from_secs(1));
    while ask().await != Ok(Bytes::from_static(b"sin-1")) {
        assert!(begun.elapsed() < PATIENCE, "nobody answers: {:?}", sin.links());
        sleep(Duration::from_millis(20)).await;
    }
    sin.publish(&of(OVERRIDE, "sin-1"), Bytes::from_static(b"drain"));
    hears(&mut ordered, "drain").await;
    assert_eq!(ordered.take(), None, "questions are no orders");
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_no_door() {
    let authority = Authority::new();
    let broker = Broker::start(&authority);
    let forger = party(&Authority::new(), VANTAGE, &[&broker]).await;
    let honest = party(&authority, NODE, &[&broker]).await;
    let begun = Instant::now();
    while !honest.links()[0].connected {
        assert!(begun.elapsed() < PATIENCE, "{:?}", honest.links());
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!forger.links()[0].connected);
}

#[tokio::test]
async fn a_renewed_certificate_counts_from_the_next_connection_on() {
    let authority = Authority::new();
    let broker = Broker::start(&authority);
    let far = party(&authority, NODE, &[&broker]).await;
    let ended = authority.lasting(VANTAGE, now() - 10 * 86_400, 1);
    let identity = Identity::new(ended).expect("an identity");
    let near = as_identity(&identity, &[&broker]).await;
    let begun = Instant::now();
    while near.links()[0].reason.is_none() {
        assert!(begun.elapsed() < PATIENCE, "an ended certificate is let in");
        sleep(Duration::from_millis(10)).await;
    }
    identity.replace(authority.material(VANTAGE)).expect("replaced");
    let mut listener = far.subscribe(HEALTH);
    connected(&near, &mut listener).await;
    near.publish(&contract::health(), Bytes::from_static(b"renewed"));
    hears(&mut listener, "renewed").await;
}
