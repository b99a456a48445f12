//! The HTTP API under `/api/v1`: routes, and the envelope of an answer.
//! Compat: Prometheus `web/api/v1/api.go`.

pub(crate) mod form;
pub(crate) mod params;

mod admin;
mod answer;
mod exemplars;
mod explain;
mod generations;
mod histogram;
pub(crate) mod queries;
mod query;
mod relabel_steps;
mod remote_write;
mod request;
mod rules;
mod series;
pub(crate) mod status;
pub(crate) mod targets;

use std::sync::Arc;

use axum::{
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderValue, header::CONTENT_TYPE};

use crate::{context::WebContext, error::ApiError, json};

pub(crate) use self::{answer::push_stats, query::RANGE_POINTS_MAX, remote_write::RemoteWriteDoor};

/// The warning of an answer that `limit` shortened.
const TRUNCATED: &str = "results truncated due to limit";

type Endpoint = MethodRouter<Arc<WebContext>>;

/// Endpoints that need a server that is ready.
pub(crate) fn endpoints() -> Vec<(&'static str, Endpoint)> {
    let mut endpoints = vec![
        ("/api/v1/query", get(query::instant).post(query::instant)),
        ("/api/v1/query_range", get(query::range).post(query::range)),
        ("/api/v1/explain", get(explain::explain).post(explain::explain)),
        (
            "/api/v1/query_exemplars",
            get(exemplars::query_exemplars).post(exemplars::query_exemplars),
        ),
        ("/api/v1/format_query", get(query::format).post(query::format)),
        ("/api/v1/parse_query", get(query::parse).post(query::parse)),
        ("/api/v1/series", get(series::series).post(series::series).delete(series::delete_series)),
        ("/api/v1/labels", get(series::labels).post(series::labels)),
        ("/api/v1/label/{name}/values", get(series::label_values)),
        ("/api/v1/targets", get(targets::targets)),
        ("/api/v1/targets/metadata", get(targets::metadata_of_targets)),
        ("/api/v1/targets/relabel_steps", get(relabel_steps::relabel_steps)),
        ("/api/v1/scrape_pools", get(targets::scrape_pools)),
        ("/api/v1/metadata", get(targets::metadata)),
        ("/api/v1/status/config", get(status::config)),
        ("/api/v1/status/config/generations", get(generations::list)),
        ("/api/v1/status/config/diff", get(generations::difference)),
        ("/api/v1/status/flags", get(status::flags)),
        ("/api/v1/status/runtimeinfo", get(status::runtime)),
        ("/api/v1/status/buildinfo", get(status::build)),
        ("/api/v1/status/tsdb", get(status::tsdb)),
        ("/api/v1/status/active_queries", get(queries::active)),
        ("/api/v1/status/slow_queries", get(queries::slow)),
        ("/api/v1/rules", get(rules::rules)),
        // No rule is evaluated and no Alertmanager is told: these answers are the truth.
        ("/api/v1/alerts", get(async || success(|out| out.extend_from_slice(b"{\"alerts\":[]}")))),
        ("/api/v1/alertmanagers", get(status::alertmanagers)),
        ("/api/v1/notifications", get(async || success(|out| out.extend_from_slice(b"[]")))),
    ];
    endpoints.extend(not_built_endpoints());
    endpoints
}

/// Endpoints that change something, and need a server that is ready.
pub(crate) fn actions() -> Vec<(&'static str, Endpoint)> {
    vec![
        ("/api/v1/write", post(remote_write::write)),
        ("/api/v1/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series)),
        (
            "/api/v1/admin/tsdb/clean_tombstones",
            post(admin::clean_tombstones).put(admin::clean_tombstones),
        ),
        ("/api/v1/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot)),
        ("/api/v1/admin/cancel_query", post(queries::cancel).put(queries::cancel)),
        ("/api/v1/config/rollback", post(generations::rollback).put(generations::rollback)),
    ]
}

/// Endpoints that answer in every state of the server.
pub(crate) fn endpoints_of_every_state() -> Vec<(&'static str, Endpoint)> {
    vec![("/api/v1/status/walreplay", get(status::wal_replay))]
}

/// Routes of Prometheus that this server does not have yet: they say so.
fn not_built_endpoints() -> Vec<(&'static str, Endpoint)> {
    let refuse = |what: &'static str| async move || ApiError::not_built(what);
    vec![
        ("/api/v1/read", post(refuse("remote read"))),
        ("/api/v1/otlp/v1/metrics", post(refuse("the OTLP receiver"))),
        ("/api/v1/notifications/live", get(refuse("the stream of notifications"))),
    ]
}

/// An answer of status `success`; `push_data` writes its data.
fn success(push_data: impl FnOnce(&mut Vec<u8>)) -> Response {
    success_with_warnings(push_data, &[])
}

fn success_with_warnings(push_data: impl FnOnce(&mut Vec<u8>), warnings: &[String]) -> Response {
    let mut body = br#"{"status":"success","data":"#.to_vec();
    push_data(&mut body);
    push_annotations(&mut body, warnings, &[]);
    body.push(b'}');
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// Warnings and infos at the end of the envelope; each only if there is one.
fn push_annotations(out: &mut Vec<u8>, warnings: &[String], infos: &[String]) {
    for (name, texts) in [("warnings", warnings), ("infos", infos)] {
        if texts.is_empty() {
            continue;
        }
        out.push(b',');
        json::push_string(out, name);
        out.push(b':');
        json::push_list(out, texts, |out, text| json::push_html_string(out, text));
    }
}
