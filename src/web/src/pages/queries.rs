//! Queries that run or wait now, and those that took long.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use prom_telemetry::clock;

use super::{
    answer::duration_text,
    layout::{Page, html},
    times::moment_text,
};
use crate::{
    api::{
        form::Form,
        queries::{cancel, class_name, client_text},
    },
    context::WebContext,
};

#[derive(Template)]
#[template(path = "queries.html")]
struct QueriesPage {
    page: Page,
    active: Vec<ActiveRow>,
    slow: Vec<SlowRow>,
    can_cancel: bool,
    used: String,
    budget: String,
}

struct ActiveRow {
    id: u64,
    query: String,
    class: &'static str,
    client: String,
    state: &'static str,
    elapsed: String,
    bytes: String,
    estimate: String,
}

struct SlowRow {
    query: String,
    class: &'static str,
    client: String,
    asked: String,
    elapsed: String,
    queued: String,
    samples: u64,
    bytes: String,
    error: String,
}

pub(super) async fn page(State(ctx): State<Arc<WebContext>>) -> Response {
    let (engine, now_ms) = (&ctx.parts.engine, clock::now_ms());
    let active = engine.active().into_iter().map(|query| ActiveRow {
        id: query.id.0,
        query: query.query.to_string(),
        class: class_name(query.class),
        client: client_text(&query.origin),
        state: if query.is_waiting { "waiting" } else { "running" },
        elapsed: duration_text(query.elapsed),
        bytes: size_text(query.used_bytes),
        estimate: query.estimate.map_or_else(String::new, |estimate| {
            format!("{} series, {} samples", estimate.series, estimate.samples)
        }),
    });
    let slow = engine.slow().into_iter().map(|query| SlowRow {
        query: query.query.to_string(),
        class: class_name(query.class),
        client: client_text(&query.origin),
        asked: moment_text(query.asked_ms, now_ms),
        elapsed: duration_text(query.elapsed),
        queued: duration_text(query.stats.timings.exec_queue),
        samples: query.stats.samples.total_queryable,
        bytes: size_text(query.stats.peak_bytes),
        error: query.error.map(|error| error.to_string()).unwrap_or_default(),
    });
    html(&QueriesPage {
        page: Page::new(&ctx, "Queries", "/queries"),
        active: active.collect(),
        slow: slow.collect(),
        can_cancel: ctx.is_admin_enabled(),
        used: size_text(engine.used_bytes()),
        budget: size_text(engine.options().total_bytes_max),
    })
}

/// Stops a query and shows the page again.
pub(super) async fn cancel_from_page(state: State<Arc<WebContext>>, form: Form) -> Response {
    let back = format!("{}/queries", state.link_prefix);
    match cancel(state, form).await {
        Ok(_) => super::redirect(StatusCode::SEE_OTHER, &back),
        Err(error) => error.into_response(),
    }
}

pub(super) fn size_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
