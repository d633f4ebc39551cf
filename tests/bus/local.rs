//! One process: all who share the bus are one side.

use std::sync::Arc;

use meridian::bus::local::Local;

use crate::contract::{self, Sides};

fn sides() -> Sides {
    let bus = Arc::new(Local::new());
    Sides { near: bus.clone(), far: bus }
}

#[tokio::test]
async fn what_is_published_arrives() {
    contract::what_is_published_arrives(&sides()).await;
}

#[tokio::test]
async fn a_listener_that_falls_behind_finds_the_newest() {
    contract::a_listener_that_falls_behind_finds_the_newest(&sides()).await;
}

#[tokio::test]
async fn who_comes_late_hears_what_is_said_from_then_on() {
    contract::who_comes_late_hears_what_is_said_from_then_on(&sides()).await;
}

#[tokio::test]
async fn listeners_hear_what_they_asked_for() {
    contract::listeners_hear_what_they_asked_for(&sides()).await;
}

#[tokio::test]
async fn too_much_is_refused() {
    contract::too_much_is_refused(&sides()).await;
}

#[tokio::test]
async fn requests_are_answered() {
    contract::requests_are_answered(&sides()).await;
}

#[tokio::test]
async fn a_bus_that_ends_tells_its_listeners() {
    let Sides { near, far } = sides();
    let mut listener = near.subscribe("meridian.v1.");
    drop((near, far));
    assert_eq!(listener.next().await, None);
}
