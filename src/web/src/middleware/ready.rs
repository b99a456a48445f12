//! Only probes, metrics and the lifecycle page answer before the server is ready and while it stops.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode};
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
    let is_stopping = match ctx.parts.lifecycle.state().row().probe {
        Probe::Ready => return next.run(request).await,
        Probe::Starting => "false",
        Probe::Stopping => "true",
    };
    let headers = [(STOPPING_HEADER, is_stopping)];
    if pages::is_for_people(request.headers()) {
        return (headers, pages::not_ready(&ctx)).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, headers, "Service Unavailable").into_response()
}
