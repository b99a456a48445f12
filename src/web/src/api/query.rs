//! `/query`, `/query_range`, `/format_query`, `/parse_query`: parameters in, the engine's answer out.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use prom_promql::{QueryOrigin, QueryParams, QueryTimes, parse_query_json};
use prom_telemetry::clock;

use super::{
    answer::{AnswerOptions, respond},
    form::Form,
    params::{parse_duration_ms, parse_time},
    request::{limit, time_or},
    success,
};
use crate::{
    context::WebContext, error::ApiError, evaluate::evaluate, json, origin::Origin,
    rule_evaluators::ApiClass,
};

/// Points of one series in the answer of a range query.
pub(crate) const RANGE_POINTS_MAX: i64 = 11_000;
/// What a client has to read its answer, however short its query's time is.
const READ_TIME_MIN: Duration = Duration::from_secs(30);

pub(super) async fn instant(
    State(ctx): State<Arc<WebContext>>,
    Origin(origin): Origin,
    ApiClass(class): ApiClass,
    form: Form,
) -> Result<Response, ApiError> {
    let asked = clock::monotonic();
    let limit = limit(&form)?;
    let times = instant_times(&form)?;
    let params = QueryParams { class, ..query_params(&form, origin)? };
    let timeout = params.timeout;
    let answer = evaluate(&ctx, asked, form.value("query"), times, params).await?;
    Ok(respond(answer, answer_options(&ctx, &form, limit, timeout)))
}

pub(super) async fn range(
    State(ctx): State<Arc<WebContext>>,
    Origin(origin): Origin,
    ApiClass(class): ApiClass,
    form: Form,
) -> Result<Response, ApiError> {
    let asked = clock::monotonic();
    let limit = limit(&form)?;
    let times = range_times(&form)?;
    let params = QueryParams { class, ..query_params(&form, origin)? };
    let timeout = params.timeout;
    let answer = evaluate(&ctx, asked, form.value("query"), times, params).await?;
    Ok(respond(answer, answer_options(&ctx, &form, limit, timeout)))
}

/// An answer may be read for as long as its query might have run.
fn answer_options(
    ctx: &WebContext,
    form: &Form,
    limit: usize,
    timeout: Option<Duration>,
) -> AnswerOptions {
    let timeout_max = ctx.parts.engine.options().timeout;
    let timeout = timeout.unwrap_or(timeout_max).min(timeout_max).max(READ_TIME_MIN);
    let deadline = clock::monotonic().checked_add(timeout);
    AnswerOptions { limit, has_stats: !form.value("stats").is_empty(), deadline }
}

/// The time of an instant query; now if there is none.
pub(super) fn instant_times(form: &Form) -> Result<QueryTimes, ApiError> {
    Ok(QueryTimes::Instant { time_ms: time_or(form, "time", clock::now_ms())? })
}

/// Start, end and step of a range query.
pub(super) fn range_times(form: &Form) -> Result<QueryTimes, ApiError> {
    let parse = |name| parse_time(form.value(name)).map_err(|e| ApiError::parameter(name, e));
    let (start_ms, end_ms) = (parse("start")?, parse("end")?);
    if end_ms < start_ms {
        let message = "end timestamp must not be before start time";
        return Err(ApiError::parameter("end", message));
    }
    let step_ms = parse_duration_ms(form.value("step"))
        .map_err(|error| ApiError::parameter("step", error))?;
    if step_ms <= 0 {
        let message = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", message));
    }
    if end_ms.saturating_sub(start_ms) / step_ms > RANGE_POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    Ok(QueryTimes::Range { start_ms, end_ms, step_ms })
}

pub(super) async fn format(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let params = QueryParams::default();
    let (query, cancel) = (form.value("query").to_owned(), params.cancel.clone());
    let engine = Arc::clone(&ctx.parts.engine);
    // A long text takes its time: as a query it has a deadline and leaves the async threads alone.
    let formatted = ctx.pool.run(cancel, move || engine.format(&query, &params)).await??;
    Ok(success(|out| json::push_html_string(out, &formatted)))
}

pub(super) async fn parse(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let params = QueryParams::default();
    let (query, cancel) = (form.value("query").to_owned(), params.cancel.clone());
    let engine = Arc::clone(&ctx.parts.engine);
    let tree = move || engine.parse(&query, &params).map(|expr| parse_query_json(&expr));
    let tree = ctx.pool.run(cancel, tree).await??;
    Ok(success(|out| out.extend_from_slice(tree.as_bytes())))
}

/// Parameters that instant and range queries share, in the order in which the reference checks them.
pub(super) fn query_params(form: &Form, origin: QueryOrigin) -> Result<QueryParams, ApiError> {
    let timeout = match form.value("timeout") {
        "" => None,
        text => {
            let ms =
                parse_duration_ms(text).map_err(|error| ApiError::parameter("timeout", error))?;
            Some(Duration::from_millis(ms.max(0) as u64))
        }
    };
    let lookback_delta_ms = match form.value("lookback_delta") {
        "" => None,
        text => {
            let ms = parse_duration_ms(text).map_err(|error| {
                ApiError::bad_data(format!("error parsing lookback delta duration: {error}"))
            })?;
            Some(ms).filter(|ms| *ms > 0)
        }
    };
    Ok(QueryParams {
        timeout,
        lookback_delta_ms,
        wants_per_step_stats: form.value("stats") == "all",
        origin,
        ..QueryParams::default()
    })
}
