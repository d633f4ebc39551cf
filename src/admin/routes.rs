//! The API's paths, and how each answers.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::health::{self, HealthView};
use super::message::ClientNet;
use super::view::{
    BundleView, CapacityView, ChangeOrder, ChangeView, CheckReport, DialsView, DrainView,
    LoadReport, OrdersView, OverrideView, ResumeOrder, Status, Trouble,
};
use super::{Slot, changes, dials, explain, loads, metrics, orders, overrides, reports, status};
use crate::daemon::Daemon;
use crate::daemon::bundle::{Source, Trouble as Taking};
use crate::server::explain::Explanation;

/// What the exposition format is called (Prometheus text format 0.0.4).
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn router(slot: Slot) -> Router {
    Router::new()
        .route("/healthz", get(async || "the process lives\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/v1/status", get(tell_status))
        .route("/v1/health", get(tell_health))
        .route("/v1/explain", get(tell_explanation))
        .route("/v1/overrides", get(list).post(set).delete(release))
        .route("/v1/orders", get(list_orders).post(order))
        .route("/v1/changes", get(list_changes).post(change))
        .route("/v1/drains", get(list_drains))
        .route("/v1/resume", post(resume))
        .route("/v1/dials", get(tell_dials))
        .route("/v1/loads", get(list_loads).post(report_load))
        .route("/v1/bundle", post(release_bundle).layer(DefaultBodyLimit::max(BUNDLE_MAX)))
        .route("/v1/reports", post(report_check))
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "there is no such path".to_owned()))
        .with_state(slot)
}

/// A bundle with its release around it.
const BUNDLE_MAX: usize = crate::bundle::contents::OCTETS_MAX + (1 << 20);

async fn release_bundle(
    State(slot): State<Slot>,
    body: Bytes,
) -> Result<Json<BundleView>, Refusal> {
    let daemon = daemon(&slot)?;
    let given: (Vec<u8>, Vec<u8>) = postcard::from_bytes(&body).map_err(Refusal::bad)?;
    let (signed, octets) = given;
    // Whoever asked may go away; what was begun is ended all the same.
    let taking = Arc::clone(&daemon);
    let taken = tokio::spawn(async move {
        crate::daemon::bundle::take(&taking, &signed, Source::Given(octets)).await
    });
    taken.await.map_err(Refusal::bad)?.map_err(|trouble| match trouble {
        Taking::Faults(_) => Refusal(StatusCode::UNPROCESSABLE_ENTITY, trouble.to_string()),
        other => Refusal::bad(other),
    })?;
    Ok(Json(daemon.bundles().view().unwrap_or_default()))
}

/// Why a request is not done.
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(why: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, why.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(Trouble { error: self.1 })).into_response()
    }
}

fn daemon(slot: &Slot) -> Result<Arc<Daemon>, Refusal> {
    let starting = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "starting".to_owned());
    slot.get().map(Arc::clone).ok_or_else(starting)
}

async fn ready(State(slot): State<Slot>) -> Result<&'static str, Refusal> {
    if daemon(&slot)?.is_ready() {
        return Ok("zones are served\n");
    }
    Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "no zone is served".to_owned()))
}

async fn scrape(State(slot): State<Slot>) -> Result<Response, Refusal> {
    let text = metrics::render(&*daemon(&slot)?);
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

async fn tell_status(State(slot): State<Slot>) -> Result<Json<Status>, Refusal> {
    Ok(Json(status::status(&*daemon(&slot)?)))
}

async fn tell_health(State(slot): State<Slot>) -> Result<Json<HealthView>, Refusal> {
    Ok(Json(health::view(&*daemon(&slot)?)))
}

#[derive(Deserialize)]
struct Ask {
    name: String,
    client: String,
    #[serde(rename = "type", default)]
    rtype: Option<String>,
    /// Targets with commas between them.
    #[serde(default)]
    down: String,
    /// Suppositions with commas between them: `region.fra=down,pool.iad=drain`.
    #[serde(default)]
    what_if: String,
}

async fn tell_explanation(
    State(slot): State<Slot>,
    Query(ask): Query<Ask>,
) -> Result<Json<Explanation>, Refusal> {
    let daemon = daemon(&slot)?;
    let client: ClientNet = ask.client.parse().map_err(Refusal::bad)?;
    let rtype = ask.rtype.as_deref().unwrap_or("A");
    let question = explain::question(&ask.name, rtype, client).map_err(Refusal::bad)?;
    let down: Vec<&str> = ask.down.split(',').filter(|target| !target.is_empty()).collect();
    let supposed = explain::supposed(&down, &[&ask.what_if]).map_err(Refusal::bad)?;
    explain::live(&daemon, &question, &supposed).map(Json).map_err(Refusal::bad)
}

async fn list(State(slot): State<Slot>) -> Result<Json<Vec<OverrideView>>, Refusal> {
    Ok(Json(overrides::list(&*daemon(&slot)?)))
}

async fn set(
    State(slot): State<Slot>,
    Json(wanted): Json<OverrideView>,
) -> Result<Json<Vec<OverrideView>>, Refusal> {
    let daemon = daemon(&slot)?;
    overrides::set(&daemon, &wanted).map_err(Refusal::bad)?;
    Ok(Json(overrides::list(&daemon)))
}

#[derive(Deserialize)]
struct Target {
    target: String,
    /// Of which area; without it, that for all clients.
    area: Option<String>,
}

async fn release(
    State(slot): State<Slot>,
    Query(Target { target, area }): Query<Target>,
) -> Result<Json<Vec<OverrideView>>, Refusal> {
    let daemon = daemon(&slot)?;
    overrides::release(&daemon, &target, area.as_deref())
        .map_err(|why| Refusal(StatusCode::NOT_FOUND, why.to_string()))?;
    Ok(Json(overrides::list(&daemon)))
}

async fn list_orders(State(slot): State<Slot>) -> Result<Json<OrdersView>, Refusal> {
    orders::list(&*daemon(&slot)?).map(Json).map_err(Refusal::bad)
}

async fn order(State(slot): State<Slot>, sealed: Bytes) -> Result<Json<OrdersView>, Refusal> {
    orders::order(&*daemon(&slot)?, &sealed).map(Json).map_err(Refusal::bad)
}

async fn list_changes(State(slot): State<Slot>) -> Result<Json<Vec<ChangeView>>, Refusal> {
    Ok(Json(changes::list(&*daemon(&slot)?)))
}

async fn change(
    State(slot): State<Slot>,
    Json(wanted): Json<ChangeOrder>,
) -> Result<Json<ChangeView>, Refusal> {
    changes::order(&*daemon(&slot)?, &wanted).map(Json).map_err(Refusal::bad)
}

#[derive(Deserialize)]
struct Drained {
    /// Nothing for all.
    #[serde(default)]
    target: String,
}

async fn list_drains(
    State(slot): State<Slot>,
    Query(Drained { target }): Query<Drained>,
) -> Result<Json<Vec<DrainView>>, Refusal> {
    changes::drains(&*daemon(&slot)?, &target).map(Json).map_err(Refusal::bad)
}

async fn resume(
    State(slot): State<Slot>,
    Json(wanted): Json<ResumeOrder>,
) -> Result<Json<Vec<String>>, Refusal> {
    changes::resume(&*daemon(&slot)?, &wanted).map(Json).map_err(Refusal::bad)
}

async fn tell_dials(State(slot): State<Slot>) -> Result<Json<DialsView>, Refusal> {
    Ok(Json(dials::dials(&*daemon(&slot)?)))
}

async fn report_check(
    State(slot): State<Slot>,
    Json(told): Json<CheckReport>,
) -> Result<Json<CheckReport>, Refusal> {
    reports::take(&*daemon(&slot)?, told).map(Json).map_err(Refusal::bad)
}

async fn list_loads(State(slot): State<Slot>) -> Result<Json<Vec<CapacityView>>, Refusal> {
    Ok(Json(loads::list(&*daemon(&slot)?)))
}

async fn report_load(
    State(slot): State<Slot>,
    Json(told): Json<LoadReport>,
) -> Result<Json<Vec<CapacityView>>, Refusal> {
    loads::report(&*daemon(&slot)?, &told).map(Json).map_err(Refusal::bad)
}
