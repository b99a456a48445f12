//! The probes and switches of the lifecycle over HTTP, byte for byte those of Prometheus, and the view
//! as JSON. They answer from what the driver has published; who may come here is the matter of `web`.
//!
//! Compat: web/web.go of Prometheus 3.5

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde::Serialize;

use crate::handle::Handle;
use crate::machine::{Machine, Probe};
use crate::step::ReloadCause;
use crate::view::LifecycleView;

const STOPPING_HEADER: HeaderName = HeaderName::from_static("x-prometheus-stopping");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

const PROBE_METHODS: &str = "GET, HEAD, OPTIONS";
const SWITCH_METHODS: &str = "GET, OPTIONS, POST, PUT";

const NOT_READY: &str = "Service Unavailable";
const NOT_ALLOWED: &str = "Method Not Allowed\n";
const ONLY_POST: &str = "Only POST or PUT requests allowed";
const NOT_ENABLED: &str = "Lifecycle API is not enabled.";
const GOODBYE: &str = "Requesting termination... Goodbye!";
const GOODBYE_AGAIN: &str = "Termination already in progress.";

/// The envelope of Prometheus's API.
#[derive(Debug, Serialize)]
struct Envelope {
    status: &'static str,
    data: LifecycleView,
}

/// `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit` and `/api/v1/status/lifecycle`.
pub fn probe_routes(handle: Handle) -> Router {
    Router::new()
        .route("/-/healthy", any(healthy))
        .route("/-/ready", any(ready))
        .route("/-/reload", any(reload))
        .route("/-/quit", any(quit))
        .route("/api/v1/status/lifecycle", get(view))
        .with_state(handle)
}

async fn healthy(Shared(handle): Shared<Handle>, method: Method) -> Response {
    if let Some(other) = other_than_probe(&method) {
        return other;
    }
    text(StatusCode::OK, format!("{} is Healthy.\n", handle.service()))
}

async fn ready(Shared(handle): Shared<Handle>, method: Method) -> Response {
    if let Some(other) = other_than_probe(&method) {
        return other;
    }
    let is_stopping = match handle.state().row().probe {
        Probe::Ready => return text(StatusCode::OK, format!("{} is Ready.\n", handle.service())),
        Probe::Starting => "false",
        Probe::Stopping => "true",
    };
    let is_stopping = [(STOPPING_HEADER, is_stopping)];
    (is_stopping, text(StatusCode::SERVICE_UNAVAILABLE, NOT_READY)).into_response()
}

async fn reload(Shared(handle): Shared<Handle>, method: Method) -> Response {
    if let Some(other) = other_than_switch(&handle, &method) {
        return other;
    }
    match handle.request_reload(ReloadCause::Request).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(reason) => {
            let message = format!("failed to reload config: {reason}\n");
            error(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

async fn quit(Shared(handle): Shared<Handle>, method: Method) -> Response {
    if let Some(other) = other_than_switch(&handle, &method) {
        return other;
    }
    let is_first = handle.request_stop("asked for by /-/quit");
    text(StatusCode::OK, if is_first { GOODBYE } else { GOODBYE_AGAIN })
}

async fn view(Shared(handle): Shared<Handle>) -> Response {
    axum::Json(Envelope { status: "success", data: handle.view() }).into_response()
}

/// The answer to a method that is not for a probe.
fn other_than_probe(method: &Method) -> Option<Response> {
    match *method {
        Method::GET | Method::HEAD => None,
        Method::OPTIONS => Some([(header::ALLOW, PROBE_METHODS)].into_response()),
        _ => Some(not_allowed(PROBE_METHODS)),
    }
}

/// The answer to a method that is not for a switch, or to a switch that is off.
fn other_than_switch(handle: &Handle, method: &Method) -> Option<Response> {
    match *method {
        Method::POST | Method::PUT if handle.is_lifecycle_enabled() => None,
        Method::POST | Method::PUT => Some(text(StatusCode::FORBIDDEN, NOT_ENABLED)),
        Method::GET => Some(text(StatusCode::METHOD_NOT_ALLOWED, ONLY_POST)),
        Method::OPTIONS => Some([(header::ALLOW, SWITCH_METHODS)].into_response()),
        _ => Some(not_allowed(SWITCH_METHODS)),
    }
}

fn not_allowed(methods: &'static str) -> Response {
    ([(header::ALLOW, methods)], error(StatusCode::METHOD_NOT_ALLOWED, NOT_ALLOWED)).into_response()
}

fn error(status: StatusCode, body: impl IntoResponse) -> Response {
    ([(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF)], text(status, body)).into_response()
}

fn text(status: StatusCode, body: impl IntoResponse) -> Response {
    (status, [(header::CONTENT_TYPE, PLAIN_TEXT)], body).into_response()
}

#[cfg(test)]
mod tests;
