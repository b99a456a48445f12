//! Queries that run or wait, those that took long, and stopping one. Prometheus has no such endpoints.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use prom_model::push_float;
use prom_promql::{ActiveQuery, FinishedQuery, QueryClass, QueryId, QueryOrigin, QueryTimes};

use super::{form::Form, success};
use crate::{
    context::WebContext,
    error::{ApiError, ErrorKind},
    json,
};

pub(super) async fn active(State(ctx): State<Arc<WebContext>>) -> Response {
    let queries = ctx.parts.engine.active();
    success(|out| {
        json::push_list(out, &queries, |out, query| {
            let ActiveQuery { id, query: text, times, class, origin, .. } = query;
            push_head(out, *id, text, *times, *class, origin);
            push_number(out, "asked", query.asked_ms as f64 / 1e3);
            push_number(out, "elapsed", query.elapsed.as_secs_f64());
            out.extend_from_slice(b",\"state\":");
            json::push_string(out, if query.is_waiting { "waiting" } else { "running" });
            push_number(out, "bytes", query.used_bytes as f64);
            if let Some(estimate) = &query.estimate {
                out.extend_from_slice(b",\"estimate\":{\"heaviestSelector\":");
                json::push_html_string(out, &estimate.heaviest);
                push_number(out, "series", estimate.series as f64);
                push_number(out, "samples", estimate.samples as f64);
                push_number(out, "bytes", estimate.bytes as f64);
                out.push(b'}');
            }
            out.push(b'}');
        });
    })
}

pub(super) async fn slow(State(ctx): State<Arc<WebContext>>) -> Response {
    let queries = ctx.parts.engine.slow();
    success(|out| {
        json::push_list(out, &queries, |out, query| {
            let FinishedQuery { id, query: text, times, class, origin, .. } = query;
            push_head(out, *id, text, *times, *class, origin);
            push_number(out, "asked", query.asked_ms as f64 / 1e3);
            push_number(out, "elapsed", query.elapsed.as_secs_f64());
            push_number(out, "queued", query.stats.timings.exec_queue.as_secs_f64());
            push_number(out, "samples", query.stats.samples.total_queryable as f64);
            push_number(out, "peakSamples", query.stats.samples.peak as f64);
            push_number(out, "peakBytes", query.stats.peak_bytes as f64);
            if let Some(error) = &query.error {
                out.extend_from_slice(b",\"error\":");
                json::push_html_string(out, &error.to_string());
            }
            out.push(b'}');
        });
    })
}

/// Stops the query of the parameter `id`.
pub(crate) async fn cancel(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    if !ctx.is_admin_enabled() {
        return Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"));
    }
    let id = form.value("id").parse().map_err(|error| ApiError::parameter("id", error))?;
    match ctx.parts.engine.cancel(QueryId(id)) {
        true => Ok(success(|out| out.extend_from_slice(b"{}"))),
        false => Err(ApiError::new(ErrorKind::NotFound, format!("no query {id} is running"))),
    }
}

/// What both lists tell of a query.
fn push_head(
    out: &mut Vec<u8>,
    id: QueryId,
    text: &str,
    times: QueryTimes,
    class: QueryClass,
    origin: &QueryOrigin,
) {
    out.extend_from_slice(b"{\"id\":");
    json::push_integer(out, id.0);
    out.extend_from_slice(b",\"query\":");
    json::push_html_string(out, text);
    let (start_ms, end_ms) = times.bounds_ms();
    push_number(out, "start", start_ms as f64 / 1e3);
    push_number(out, "end", end_ms as f64 / 1e3);
    push_number(out, "step", times.step_ms() as f64 / 1e3);
    out.extend_from_slice(b",\"class\":");
    json::push_string(out, class_name(class));
    out.extend_from_slice(b",\"client\":");
    json::push_html_string(out, &client_text(origin));
}

/// The name of a class, as people and clients see it.
pub(crate) fn class_name(class: QueryClass) -> &'static str {
    match class {
        QueryClass::Rules => "rules",
        QueryClass::Api => "api",
        QueryClass::Pages => "pages",
        QueryClass::RemoteRead => "remote read",
    }
}

/// Who asked.
pub(crate) fn client_text(origin: &QueryOrigin) -> String {
    match origin {
        QueryOrigin::Unknown => String::new(),
        QueryOrigin::Http { client_ip, .. } => client_ip.clone(),
        QueryOrigin::RuleGroup { file, name } => format!("{name} of {file}"),
    }
}

fn push_number(out: &mut Vec<u8>, name: &str, value: f64) {
    out.push(b',');
    json::push_string(out, name);
    out.push(b':');
    push_float(out, value);
}
