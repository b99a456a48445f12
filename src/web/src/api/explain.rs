//! `/api/v1/explain`: evaluates a query and tells what each operator did instead of the answer. It takes
//! the parameters of `/query`, or with `start`, `end` and `step` those of `/query_range`. Prometheus has no
//! such endpoint.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use prom_model::push_float;
use prom_promql::{OperatorProfile, QueryParams};
use prom_telemetry::clock;

use super::{
    answer::push_stats,
    form::Form,
    query::{instant_times, query_params, range_times},
    success_with_warnings,
};
use crate::{context::WebContext, error::ApiError, evaluate::evaluate, json, origin::Origin};

pub(super) async fn explain(
    State(ctx): State<Arc<WebContext>>,
    Origin(origin): Origin,
    form: Form,
) -> Result<Response, ApiError> {
    let asked = clock::monotonic();
    let is_range = !form.value("step").is_empty();
    let times = if is_range { range_times(&form)? } else { instant_times(&form)? };
    let params = QueryParams { wants_profile: true, ..query_params(&form, origin)? };
    let answer = evaluate(&ctx, asked, form.value("query"), times, params).await?;
    let push_data = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"estimate\":{\"heaviestSelector\":");
        json::push_html_string(out, &answer.estimate.heaviest);
        push_count(out, "series", answer.estimate.series);
        push_count(out, "samples", answer.estimate.samples);
        push_count(out, "bytes", answer.estimate.bytes);
        out.extend_from_slice(b"},\"operators\":");
        push_operators(out, answer.profile.as_deref().unwrap_or_default());
        out.extend_from_slice(b",\"peakBytes\":");
        json::push_integer(out, answer.stats.peak_bytes);
        out.extend_from_slice(b",\"stats\":");
        push_stats(out, &answer.stats);
        out.push(b'}');
    };
    Ok(success_with_warnings(push_data, &answer.warnings))
}

fn push_operators(out: &mut Vec<u8>, operators: &[OperatorProfile]) {
    json::push_list(out, operators, |out, operator| {
        out.extend_from_slice(b"{\"operator\":");
        json::push_string(out, operator.operator);
        out.extend_from_slice(b",\"text\":");
        json::push_html_string(out, &operator.text);
        push_count(out, "series", operator.series);
        push_count(out, "steps", operator.steps);
        push_count(out, "rows", operator.rows);
        push_count(out, "points", operator.points);
        push_count(out, "bytes", operator.bytes);
        push_seconds(out, "time", operator.time);
        push_seconds(out, "ownTime", operator.own_time);
        out.extend_from_slice(b",\"operands\":");
        push_operators(out, &operator.operands);
        out.push(b'}');
    });
}

fn push_count(out: &mut Vec<u8>, name: &str, count: u64) {
    push_name(out, name);
    json::push_integer(out, count);
}

fn push_seconds(out: &mut Vec<u8>, name: &str, duration: Duration) {
    push_name(out, name);
    push_float(out, duration.as_secs_f64());
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    json::push_string(out, name);
    out.push(b':');
}
