//! Only probes, metrics and the lifecycle page answer before the server is ready and while it stops.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, StatusCode};
use prom_lifecycle::{Machine, Probe};

use crate::{context::WebContext, pages};

/// Tells whether waiting helps (`false`) or the server is going away (`true`).
const STOPPING_HEADER: HeaderName = HeaderName::from_static("x-prometheus-stopping");

/// Answers 503 unless the server is ready. Compat: Prometheus `web/web.go`, `testReady`.
pub(crate) async fn only_when_ready(
    State(ctx): State<Arc<WebContext>>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(&ctx, request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// What a server answers that is not ready.
pub(super) fn refusal(ctx: &WebContext, headers: &HeaderMap) -> Option<Response> {
    let is_stopping = match ctx.parts.lifecycle.state().row().probe {
        Probe::Ready => return None,
        Probe::Starting => "false",
        Probe::Stopping => "true",
    };
    let told = [(STOPPING_HEADER, is_stopping)];
    Some(match pages::is_for_people(headers) {
        true => (told, pages::not_ready(ctx)).into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, told, "Service Unavailable").into_response(),
    })
}
