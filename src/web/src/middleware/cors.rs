//! Cross-origin reading of the API: headers for the origins that `--web.cors.origin` allows.
//! Compat: Prometheus `util/httputil/cors.go`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN, VARY,
    },
};
use prom_model::GoRegex;

use super::ready::refusal;
use crate::context::WebContext;

/// Answers `OPTIONS` and adds the headers to every answer of the API.
pub(crate) async fn with_cors(
    State(ctx): State<Arc<WebContext>>,
    request: Request,
    next: Next,
) -> Response {
    answer(&ctx, request, next, |_, _| None).await
}

/// The same where only a server that is ready answers, in one layer: each costs every request.
pub(crate) async fn with_cors_when_ready(
    State(ctx): State<Arc<WebContext>>,
    request: Request,
    next: Next,
) -> Response {
    answer(&ctx, request, next, refusal).await
}

async fn answer(
    ctx: &WebContext,
    request: Request,
    next: Next,
    refused: impl FnOnce(&WebContext, &HeaderMap) -> Option<Response>,
) -> Response {
    if *request.method() == Method::OPTIONS {
        return preflight(ctx, request.headers());
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match refused(ctx, request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    set_headers(response.headers_mut(), origin, &ctx.options.cors_origin);
    response
}

/// The answer to `OPTIONS`.
pub(crate) fn preflight(ctx: &WebContext, headers: &HeaderMap) -> Response {
    let mut response = (StatusCode::NO_CONTENT, Body::empty()).into_response();
    let origin = headers.get(ORIGIN).cloned();
    set_headers(response.headers_mut(), origin, &ctx.options.cors_origin);
    response
}

fn set_headers(headers: &mut HeaderMap, origin: Option<HeaderValue>, allowed: &GoRegex) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if origin.to_str().is_ok_and(|text| allowed.is_match(text)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}
