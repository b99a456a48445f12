//! `/status/*` and the few other endpoints that tell about the server itself.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header::CONTENT_TYPE};
use jiff::Timestamp;
use prom_cli::BuildInfo;
use prom_promql::CancelToken;
use prom_telemetry::clock;
use prom_tsdb::StatEntry;
use serde::Serialize;

use super::{form::Form, params::parse_integer, success};
use crate::{context::WebContext, error::ApiError, json};

/// Entries of each list of `/status/tsdb` that were not asked for, and the most that may be.
const TSDB_LIST_DEFAULT: usize = 10;
const TSDB_LIST_MAX: usize = 10_000;

pub(super) async fn config(State(ctx): State<Arc<WebContext>>) -> Response {
    let yaml = ctx.parts.config.load().redacted_yaml();
    success(|out| {
        out.extend_from_slice(b"{\"yaml\":");
        json::push_html_string(out, &yaml);
        out.push(b'}');
    })
}

pub(super) async fn flags(State(ctx): State<Arc<WebContext>>) -> Response {
    success(|out| {
        out.push(b'{');
        for (index, (name, value)) in ctx.parts.flags.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::push_html_string(out, name);
            out.push(b':');
            json::push_html_string(out, value);
        }
        out.push(b'}');
    })
}

/// The running process, as `/status/runtimeinfo` and the status page tell of it.
/// Names and order are the reference's; fields of Go's runtime say what is closest here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeInfo {
    pub(crate) start_time: String,
    #[serde(rename = "CWD")]
    pub(crate) working_dir: String,
    #[serde(rename = "hostname")]
    pub(crate) host_name: String,
    pub(crate) server_time: String,
    pub(crate) reload_config_success: bool,
    pub(crate) last_config_time: String,
    pub(crate) corruption_count: u64,
    /// Supervised tasks.
    pub(crate) goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    pub(crate) threads_count: usize,
    #[serde(rename = "GOMEMLIMIT")]
    pub(crate) memory_limit_bytes: i64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
    pub(crate) storage_retention: String,
}

impl RuntimeInfo {
    pub(crate) fn now(ctx: &WebContext) -> Self {
        let view = ctx.parts.lifecycle.view();
        let accepted_ms = view.reload.accepted_ms.unwrap_or(ctx.started_ms);
        let corruptions = ctx.parts.registry.gather().into_iter().filter_map(|family| {
            (family.name == "prometheus_tsdb_wal_corruptions_total").then_some(family.metrics)
        });
        let corruption_count = corruptions
            .flatten()
            .map(|metric| match metric.value {
                prom_telemetry::MetricValue::Number(count) => count as u64,
                _ => 0,
            })
            .sum();
        Self {
            start_time: rfc3339(ctx.started_ms),
            working_dir: ctx.working_dir.clone(),
            host_name: ctx.host_name.clone(),
            server_time: rfc3339(clock::now_ms()),
            reload_config_success: view.reload.is_successful,
            last_config_time: rfc3339(accepted_ms / 1000 * 1000),
            corruption_count,
            goroutine_count: view.tasks_count,
            threads_count: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            // Compat: Go's value for "no limit".
            memory_limit_bytes: i64::MAX,
            gogc: "",
            godebug: "",
            storage_retention: (ctx.parts.storage_retention)(),
        }
    }
}

pub(super) async fn runtime(State(ctx): State<Arc<WebContext>>) -> Response {
    let info = RuntimeInfo::now(&ctx);
    success(|out| push_serialized(out, &info))
}

pub(super) async fn build(State(ctx): State<Arc<WebContext>>) -> Response {
    success(|out| push_build(out, &ctx.parts.build))
}

/// `/version`, outside the API: the same object without an envelope.
pub(crate) async fn version(State(ctx): State<Arc<WebContext>>) -> Response {
    let mut body = Vec::new();
    push_build(&mut body, &ctx.parts.build);
    body.push(b'\n');
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

pub(super) async fn tsdb(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let limit = match form.value("limit") {
        "" => TSDB_LIST_DEFAULT,
        text => match parse_integer(text) {
            Ok(limit) if limit > 0 => TSDB_LIST_MAX.min(limit as usize),
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    let count = Arc::clone(&ctx.parts.tsdb_stats);
    let stats = ctx.pool.run(CancelToken::default(), move || count(limit)).await?;
    Ok(success(|out| {
        let head = &stats.head;
        out.extend_from_slice(
            format!(
                "{{\"headStats\":{{\"numSeries\":{},\"numLabelPairs\":{},\"chunkCount\":{},\"minTime\":{},\"maxTime\":{}}}",
                head.series_count,
                head.label_pairs_count,
                head.chunks_count,
                head.min_time_ms,
                head.max_time_ms
            )
            .as_bytes(),
        );
        push_entries(out, "seriesCountByMetricName", &stats.series_count_by_metric_name);
        push_entries(out, "labelValueCountByLabelName", &stats.label_value_count_by_label_name);
        push_entries(out, "memoryInBytesByLabelName", &stats.memory_in_bytes_by_label_name);
        push_entries(out, "seriesCountByLabelValuePair", &stats.series_count_by_label_value_pair);
        // Ours alone, and there only once a limit was reached.
        if !stats.series_refused_by_limit.is_empty() {
            push_entries(out, "seriesRefusedByLimit", &stats.series_refused_by_limit);
        }
        out.push(b'}');
    }))
}

pub(super) async fn wal_replay(State(ctx): State<Arc<WebContext>>) -> Response {
    let replay = (ctx.parts.wal_replay)();
    let (min, max, current) = (replay.min, replay.max, replay.current);
    let data = format!("{{\"min\":{min},\"max\":{max},\"current\":{current}}}");
    success(|out| out.extend_from_slice(data.as_bytes()))
}

pub(super) async fn alertmanagers() -> Response {
    success(|out| {
        out.extend_from_slice(b"{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
    })
}

fn push_entries(out: &mut Vec<u8>, name: &str, entries: &[StatEntry]) {
    out.push(b',');
    json::push_string(out, name);
    out.push(b':');
    json::push_list(out, entries, |out, entry| {
        out.extend_from_slice(b"{\"name\":");
        json::push_html_string(out, &entry.name);
        out.extend_from_slice(b",\"value\":");
        json::push_integer(out, entry.value);
        out.push(b'}');
    });
}

fn push_build(out: &mut Vec<u8>, build: &BuildInfo) {
    let fields = [
        ("version", &build.version),
        ("revision", &build.revision),
        ("branch", &build.branch),
        ("buildUser", &build.build_user),
        ("buildDate", &build.build_date),
        ("goVersion", &build.go_version),
    ];
    out.push(b'{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::push_string(out, name);
        out.push(b':');
        json::push_html_string(out, value);
    }
    out.push(b'}');
}

fn push_serialized(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("plain structs always serialize");
}

/// Compat: Go prints times in nanoseconds without trailing zeros, UTC as `Z`.
pub(super) fn rfc3339(time_ms: i64) -> String {
    match Timestamp::from_millisecond(time_ms) {
        Ok(time) => time.to_string(),
        Err(_) => "0001-01-01T00:00:00Z".to_owned(),
    }
}
