//! The HTTP API under `/api/v1`: routes, and the envelope of an answer.
//! Compat: Prometheus `web/api/v1/api.go`.

pub(crate) mod form;
pub(crate) mod params;

mod answer;
mod query;
mod request;
mod series;
mod status;

use std::sync::Arc;

use axum::{
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderValue, header::CONTENT_TYPE};

use crate::{context::WebContext, error::ApiError, json};

pub(crate) use self::query::{RANGE_POINTS_MAX, run_instant, run_range};

/// The warning of an answer that `limit` shortened.
const TRUNCATED: &str = "results truncated due to limit";

type Endpoint = MethodRouter<Arc<WebContext>>;

/// Every endpoint, by its path below `/api/v1`.
pub(crate) fn endpoints() -> Vec<(&'static str, Endpoint)> {
    let mut endpoints = vec![
        ("/query", get(query::instant).post(query::instant)),
        ("/query_range", get(query::range).post(query::range)),
        ("/format_query", get(query::format).post(query::format)),
        ("/parse_query", get(query::parse).post(query::parse)),
        ("/series", get(series::series).post(series::series).delete(series::delete_series)),
        ("/labels", get(series::labels).post(series::labels)),
        ("/label/{name}/values", get(series::label_values)),
        ("/status/config", get(status::config)),
        ("/status/flags", get(status::flags)),
        ("/status/runtimeinfo", get(status::runtime)),
        ("/status/buildinfo", get(status::build)),
        ("/status/tsdb", get(status::tsdb)),
        ("/status/walreplay", get(status::wal_replay)),
        // No rule files and no Alertmanagers are loaded: these answers are the truth.
        ("/rules", get(async || success(|out| out.extend_from_slice(b"{\"groups\":[]}")))),
        ("/alerts", get(async || success(|out| out.extend_from_slice(b"{\"alerts\":[]}")))),
        ("/alertmanagers", get(status::alertmanagers)),
        ("/notifications", get(async || success(|out| out.extend_from_slice(b"[]")))),
    ];
    endpoints.extend(not_built_endpoints());
    endpoints
}

/// Routes of Prometheus that this server does not have yet: they say so.
fn not_built_endpoints() -> Vec<(&'static str, Endpoint)> {
    let refuse = |what: &'static str| async move || ApiError::not_built(what);
    let admin = "the TSDB admin API";
    vec![
        ("/query_exemplars", get(refuse("exemplar storage")).post(refuse("exemplar storage"))),
        ("/read", post(refuse("remote read"))),
        ("/write", post(refuse("the remote write receiver"))),
        ("/otlp/v1/metrics", post(refuse("the OTLP receiver"))),
        ("/admin/tsdb/delete_series", post(refuse(admin)).put(refuse(admin))),
        ("/admin/tsdb/clean_tombstones", post(refuse(admin)).put(refuse(admin))),
        ("/admin/tsdb/snapshot", post(refuse(admin)).put(refuse(admin))),
        ("/notifications/live", get(refuse("the stream of notifications"))),
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
