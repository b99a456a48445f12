//! Pages for people: HTML and SVG from the server, without a script.
//! Addresses are those of Prometheus's own pages, old ones included.

mod answer;
mod assets;
mod explain;
mod generations;
mod graph;
mod layout;
mod lifecycle;
mod machine;
mod panel;
mod queries;
mod query;
mod scale;
mod series_text;
mod server_info;
mod stream;
mod targets;
mod times;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT, LOCATION},
};

pub(crate) use self::layout::SentInPieces;
use self::{
    layout::{Page, html_with_status},
    lifecycle::MessagePage,
};
use crate::context::WebContext;

type Endpoint = MethodRouter<Arc<WebContext>>;

/// Pages of Prometheus that this server does not have yet.
const NOT_BUILT: [&str; 5] =
    ["/alerts", "/rules", "/service-discovery", "/alertmanager-discovery", "/agent"];

/// Pages that need a server that is ready.
pub(crate) fn endpoints() -> Vec<(&'static str, Endpoint)> {
    let mut endpoints = vec![
        ("/", get(home)),
        ("/graph", get(old_query)),
        ("/query", get(query::page)),
        ("/queries", get(queries::page)),
        ("/explain", get(explain::page)),
        ("/targets", get(targets::page)),
        ("/config", get(generations::page)),
        ("/config/diff", get(generations::difference)),
        ("/flags", get(server_info::flags)),
        ("/status", get(server_info::status)),
        ("/tsdb-status", get(server_info::tsdb)),
    ];
    endpoints.extend(NOT_BUILT.map(|path| (path, get(not_built))));
    endpoints
}

/// Pages that answer in every state of the server.
pub(crate) fn endpoints_of_every_state() -> Vec<(&'static str, Endpoint)> {
    vec![
        ("/lifecycle", get(lifecycle::page)),
        ("/static/{*filepath}", get(assets::asset)),
        ("/favicon.ico", get(assets::favicon)),
    ]
}

/// What pages change.
pub(crate) fn actions() -> Vec<(&'static str, Endpoint)> {
    vec![
        ("/lifecycle/reload", post(lifecycle::reload)),
        ("/config/reload", post(generations::reload)),
        ("/config/rollback", post(generations::rollback)),
        ("/queries/cancel", post(queries::cancel_from_page)),
    ]
}

/// Whether a browser asks, and not a client of the API.
pub(crate) fn is_for_people(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Nothing is at this address. People get a page, clients the words of Prometheus.
pub(crate) fn not_found(ctx: &WebContext, headers: &HeaderMap) -> Response {
    if !is_for_people(headers) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    let page = MessagePage {
        page: Page::new(ctx, "Not found", ""),
        heading: "There is no such page".to_owned(),
        text: "The links above lead to all pages that this server has.".to_owned(),
    };
    html_with_status(StatusCode::NOT_FOUND, &page)
}

/// The server starts or stops; its status line says how far it is.
pub(crate) fn not_ready(ctx: &WebContext) -> Response {
    let page = Page::new(ctx, "Not ready", "");
    let text = match page.status.as_str() {
        "" => "The lifecycle page says what it is doing.".to_owned(),
        status => format!("It says: {status}. The lifecycle page knows more."),
    };
    let heading = format!("The server is not ready: {}", page.state);
    html_with_status(StatusCode::SERVICE_UNAVAILABLE, &MessagePage { page, heading, text })
}

async fn home(State(ctx): State<Arc<WebContext>>) -> Response {
    redirect(StatusCode::FOUND, &format!("{}/query", ctx.link_prefix))
}

/// Links of Prometheus 2: alerts and runbooks are full of them.
async fn old_query(State(ctx): State<Arc<WebContext>>, OriginalUri(uri): OriginalUri) -> Response {
    let query = uri.query().unwrap_or_default();
    redirect(StatusCode::FOUND, &format!("{}/query?{query}", ctx.link_prefix))
}

async fn not_built(State(ctx): State<Arc<WebContext>>) -> Response {
    let page = MessagePage {
        page: Page::new(&ctx, "Not built yet", ""),
        heading: "This page is not built yet".to_owned(),
        text: "Prometheus has this page; this server does not have it yet, because what it would show is not there yet either.".to_owned(),
    };
    html_with_status(StatusCode::NOT_FOUND, &page)
}

pub(crate) fn redirect(status: StatusCode, to: &str) -> Response {
    match http::HeaderValue::from_str(to) {
        Ok(to) => (status, [(LOCATION, to)], Body::empty()).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}
