//! What every page has around its content, and the headers that keep it free of scripts.

use askama::Template;
use axum::{
    body::Body,
    response::{Html, IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
};
use prom_lifecycle::{Machine, Probe, State};

use super::assets;
use crate::context::WebContext;

/// I1: nothing runs, nothing comes from elsewhere, forms go nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

/// The frame of a page.
pub(super) struct Page {
    pub(super) title: &'static str,
    pub(super) site: String,
    /// Where links begin.
    pub(super) prefix: String,
    pub(super) style_path: String,
    pub(super) icon_path: String,
    pub(super) state: String,
    pub(super) state_class: &'static str,
    /// The status line, as systemd shows it.
    pub(super) status: String,
    pub(super) host: String,
    pub(super) version: String,
    path: &'static str,
}

impl Page {
    /// The frame of the page at `path`.
    pub(super) fn new(ctx: &WebContext, title: &'static str, path: &'static str) -> Self {
        let view = ctx.parts.lifecycle.view();
        Self {
            title,
            site: ctx.options.page_title.clone(),
            prefix: ctx.link_prefix.clone(),
            style_path: assets::style_path(),
            icon_path: assets::icon_path(),
            state: view.current.to_string(),
            state_class: state_class(view.current),
            status: view.status,
            host: ctx.host_name.clone(),
            version: ctx.parts.build.version.clone(),
            path,
        }
    }

    pub(super) fn nav(&self) -> [(&'static str, &'static str); 8] {
        [
            ("Query", "/query"),
            ("Targets", "/targets"),
            ("Queries", "/queries"),
            ("Configuration", "/config"),
            ("TSDB", "/tsdb-status"),
            ("Flags", "/flags"),
            ("Status", "/status"),
            ("Lifecycle", "/lifecycle"),
        ]
    }

    pub(super) fn is_current(&self, path: &str) -> bool {
        self.path == path
    }
}

/// How a state is coloured: it is told by its name, too.
pub(super) fn state_class(state: State) -> &'static str {
    match (state.row().probe, state) {
        (Probe::Ready, State::Degraded) => "warn",
        (Probe::Ready, _) => "good",
        (Probe::Starting, _) => "busy",
        (Probe::Stopping, _) => "bad",
    }
}

/// A whole page. Templates write to memory and do not fail.
pub(super) fn html(page: &impl Template) -> Response {
    html_with_status(StatusCode::OK, page)
}

pub(super) fn html_with_status(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, headers(), Html(text)).into_response(),
        Err(error) => {
            tracing::error!(err = %error, "Rendering a page failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that is sent while it is made.
pub(super) fn html_stream(body: Body) -> Response {
    let mut response = (headers(), body).into_response();
    response.extensions_mut().insert(SentInPieces);
    response
}

/// Marks a response whose first piece must not wait for the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentInPieces;

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ])
}
