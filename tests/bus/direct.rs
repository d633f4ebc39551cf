//! The direct bus: node `ams-1` listens, vantage `fra-1` speaks to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meridian::bus::direct::{Direct, Setup};
use meridian::bus::subject::{
    BUNDLE_ANNOUNCE, HEALTH, OVERRIDE, OVERRIDE_GET, PROBESET, STATUS, of,
};
use meridian::bus::{Admitted, Bus, RequestError, Subscription, handler};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::contract::{self, PATIENCE, Sides, connected, health, hears};
use crate::parties::{Authority, now};

const NODE: &str = "ams-1.node.meridian";
const VANTAGE: &str = "fra-1.vantage.meridian";

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A node that lets `fra-1` in.
async fn node(authority: &Authority, port: u16) -> Direct {
    let setup = Setup { listen: vec![loopback(port)], nodes: BTreeMap::new() };
    let node = Direct::start(&setup, &authority.identity(NODE)).await.expect("a node");
    node.admit(admitted(&["fra-1"], &["sin-1"]));
    node
}

/// Somebody who speaks to the node at `address`.
async fn speaker(authority: &Authority, party: &str, address: SocketAddr) -> Direct {
    let nodes = BTreeMap::from([("ams-1".to_owned(), address)]);
    let setup = Setup { listen: Vec::new(), nodes };
    Direct::start(&setup, &authority.identity(party)).await.expect("a speaker")
}

async fn sides() -> Sides {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    let near = speaker(&authority, VANTAGE, far.addresses()[0]).await;
    Sides { near: Arc::new(near), far: Arc::new(far) }
}

/// Waits until `what` holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Says something until it is refused, and nothing of it was heard.
async fn is_refused(speaker: &Direct, subject: &str, node: &Direct, heard: &mut Subscription) {
    let before = node.counts().refused;
    let begun = Instant::now();
    while node.counts().refused == before {
        speaker.publish(subject, Bytes::from_static(b"let me in"));
        assert!(begun.elapsed() < PATIENCE, "{subject} is not refused: {:?}", speaker.links());
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(heard.take(), None, "{subject}");
}

#[tokio::test]
async fn what_is_published_arrives() {
    contract::what_is_published_arrives(&sides().await).await;
}

#[tokio::test]
async fn a_listener_that_falls_behind_finds_the_newest() {
    contract::a_listener_that_falls_behind_finds_the_newest(&sides().await).await;
}

#[tokio::test]
async fn who_comes_late_hears_what_is_said_from_then_on() {
    contract::who_comes_late_hears_what_is_said_from_then_on(&sides().await).await;
}

#[tokio::test]
async fn listeners_hear_what_they_asked_for() {
    contract::listeners_hear_what_they_asked_for(&sides().await).await;
}

#[tokio::test]
async fn too_much_is_refused() {
    contract::too_much_is_refused(&sides().await).await;
}

#[tokio::test]
async fn a_vantage_asks_for_its_own_probes_only() {
    let Sides { near, far } = sides().await;
    let mut listener = far.subscribe(HEALTH);
    connected(&*near, &mut listener).await;
    far.serve(PROBESET, handler(|asked| async move { Some(asked.bytes) }));
    let ask = |name| {
        let near = Arc::clone(&near);
        async move { near.request(&of(PROBESET, name), Bytes::from_static(b"which?"), PATIENCE).await }
    };
    assert_eq!(ask("fra-1").await, Ok(Bytes::from_static(b"which?")));
    assert_eq!(ask("fra-2").await, Err(RequestError::Nobody));
}

#[tokio::test]
async fn nodes_serve_each_other() {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    let near = speaker(&authority, "sin-1.node.meridian", far.addresses()[0]).await;
    until("connected", || near.links()[0].connected).await;
    far.serve(
        &of("meridian.v1.bundle.get.", "ams-1"),
        handler(|asked| async move {
            (asked.bytes != "nothing").then(|| Bytes::from(vec![7; 512 << 10]))
        }),
    );
    let subject = of("meridian.v1.bundle.get.", "ams-1");
    let ask = |bytes| near.request(&subject, Bytes::from_static(bytes), PATIENCE);
    assert_eq!(ask(b"piece").await.map(|piece| piece.len()), Ok(512 << 10));
    assert_eq!(ask(b"nothing").await, Err(RequestError::Nobody));
    let elsewhere = of("meridian.v1.bundle.get.", "iad-1");
    assert_eq!(near.request(&elsewhere, Bytes::new(), PATIENCE).await, Err(RequestError::Nobody));
    // What operators have ordered.
    far.serve(OVERRIDE_GET, handler(|asked| async move { Some(asked.bytes) }));
    let orders = near.request(OVERRIDE_GET, Bytes::from_static(b"sin-1"), PATIENCE).await;
    assert_eq!(orders, Ok(Bytes::from_static(b"sin-1")));
    let mut ordered = far.subscribe(OVERRIDE);
    near.publish(&of(OVERRIDE, "sin-1"), Bytes::from_static(b"drain"));
    hears(&mut ordered, "drain").await;
    let mut announced = far.subscribe(BUNDLE_ANNOUNCE);
    near.publish(BUNDLE_ANNOUNCE, Bytes::from_static(b"serial 7"));
    hears(&mut announced, "serial 7").await;
}

#[tokio::test]
async fn a_node_that_vanishes_and_returns_hears_nothing_old() {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    let address = far.addresses()[0];
    let near = speaker(&authority, VANTAGE, address).await;
    let mut listener = far.subscribe(HEALTH);
    connected(&near, &mut listener).await;
    drop((far, listener));
    until("gone", || !near.links()[0].connected).await;
    let skipped = near.counts().skipped;
    near.publish(&health(), Bytes::from_static(b"while it was away"));
    assert_eq!(near.counts().skipped, skipped + 1);
    let far = node(&authority, address.port()).await;
    let mut listener = far.subscribe(HEALTH);
    until("back", || near.links()[0].connected).await;
    near.publish(&health(), Bytes::from_static(b"since it is back"));
    assert_eq!(contract::heard(&mut listener).await, "since it is back");
}

#[tokio::test]
async fn a_node_that_stalls_delays_no_other() {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    // Takes connections, and never says a word.
    let stalled = TcpListener::bind(loopback(0)).await.expect("a listener");
    let nodes = BTreeMap::from([
        ("ams-0".to_owned(), stalled.local_addr().expect("an address")),
        ("ams-1".to_owned(), far.addresses()[0]),
    ]);
    let setup = Setup { listen: Vec::new(), nodes };
    let near = Direct::start(&setup, &authority.identity(VANTAGE)).await.expect("a speaker");
    let mut listener = far.subscribe(HEALTH);
    connected(&near, &mut listener).await;
    for at in 0..100 {
        near.publish(&health(), Bytes::from(at.to_string()));
        hears(&mut listener, &at.to_string()).await;
    }
    assert!(!near.links()[0].connected);
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    let near = speaker(&authority, VANTAGE, far.addresses()[0]).await;
    let mut heard = far.subscribe("meridian.v1.");
    for subject in
        [&of(HEALTH, "fra-2"), &of(STATUS, "fra-1"), &of(OVERRIDE, "fra-1"), BUNDLE_ANNOUNCE]
    {
        is_refused(&near, subject, &far, &mut heard).await;
    }
    assert!(near.links()[0].reason.as_ref().is_some_and(|reason| reason.contains("not ours")));
}

#[tokio::test]
async fn who_is_taken_out_of_the_configuration_is_refused_at_once() {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    let near = speaker(&authority, VANTAGE, far.addresses()[0]).await;
    let mut heard = far.subscribe(HEALTH);
    connected(&near, &mut heard).await;
    far.admit(admitted(&["fra-2"], &[]));
    // What is under way may still arrive.
    sleep(Duration::from_millis(50)).await;
    while heard.take().is_some() {}
    is_refused(&near, &health(), &far, &mut heard).await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_no_door() {
    let far = node(&Authority::new(), 0).await;
    let forger = Authority::new();
    let near = speaker(&forger, VANTAGE, far.addresses()[0]).await;
    until("an attempt", || near.links()[0].reason.is_some()).await;
    assert!(!near.links()[0].connected);
    assert!(near.links()[0].reason.as_ref().is_some_and(|reason| reason.contains("certificate")));
}

#[tokio::test]
async fn a_node_must_be_the_one_that_is_meant() {
    let authority = Authority::new();
    let setup = Setup { listen: vec![loopback(0)], nodes: BTreeMap::new() };
    let other = authority.identity("sin-1.node.meridian");
    let far = Direct::start(&setup, &other).await.expect("a node");
    let near = speaker(&authority, VANTAGE, far.addresses()[0]).await;
    until("an attempt", || near.links()[0].reason.is_some()).await;
    assert!(!near.links()[0].connected, "{:?}", near.links());
}

#[tokio::test]
async fn a_renewed_certificate_counts_from_the_next_connection_on() {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    let ended = authority.lasting(VANTAGE, now() - 10 * 86_400, 1);
    let identity = meridian::pki::identity::Identity::new(ended).expect("an identity");
    let nodes = BTreeMap::from([("ams-1".to_owned(), far.addresses()[0])]);
    let setup = Setup { listen: Vec::new(), nodes };
    let near = Direct::start(&setup, &identity).await.expect("a speaker");
    until("refused", || far.counts().refused > 0).await;
    let mut listener = far.subscribe(HEALTH);
    identity.replace(authority.material(VANTAGE)).expect("replaced");
    connected(&near, &mut listener).await;
}

#[tokio::test]
async fn who_shows_no_certificate_is_not_let_in() {
    let authority = Authority::new();
    let far = node(&authority, 0).await;
    let mut stream = tokio::net::TcpStream::connect(far.addresses()[0]).await.expect("connected");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("written");
    let mut said = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said);
    timeout(PATIENCE, read).await.expect("closed in time").ok();
    // At most an alert of TLS (content type 21).
    assert!(said.first().is_none_or(|&octet| octet == 21), "{said:?}");
    until("counted", || far.counts().refused == 1).await;
}

/// Those who are let in.
fn admitted(vantages: &[&str], nodes: &[&str]) -> Admitted {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Admitted { vantages: names(vantages), nodes: names(nodes) }
}
