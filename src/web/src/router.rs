//! All routes, each with the layers it needs.

use std::sync::Arc;

use axum::Router;

use crate::{WebOptions, WebParts, api, context::WebContext};

/// Builds the router of a server: API, pages, probes and metrics.
pub fn router(options: WebOptions, parts: WebParts) -> Router {
    let ctx = Arc::new(WebContext::new(options, parts));
    let mut routes = Router::new();
    for (path, endpoint) in api::endpoints() {
        routes = routes.route(&format!("/api/v1{path}"), endpoint);
    }
    let probes = prom_lifecycle::probe_routes(ctx.parts.lifecycle.clone());
    routes.with_state(ctx).merge(probes)
}
