//! `/query_exemplars`: exemplars of the series that an expression's selectors match.
//! Compat: Prometheus `web/api/v1/api.go`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderValue, header::CONTENT_TYPE};
use prom_model::{Exemplar, Matcher, push_float};
use prom_promql::{CancelToken, Expr, ExprKind, parse};
use prom_storage::{ExemplarSeries, TimeRange};

use super::{
    form::Form,
    params::{TIME_MAX_MS, TIME_MIN_MS},
    request::time_or,
    success,
};
use crate::{context::WebContext, error::ApiError, json};

pub(super) async fn query_exemplars(
    State(ctx): State<Arc<WebContext>>,
    form: Form,
) -> Result<Response, ApiError> {
    let range = TimeRange {
        mint_ms: time_or(&form, "start", TIME_MIN_MS)?,
        maxt_ms: time_or(&form, "end", TIME_MAX_MS)?,
    };
    if range.maxt_ms < range.mint_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expression = parse(form.value("query"), &ctx.parts.parse_options)
        .map_err(|errors| ApiError::bad_data(errors.to_string()))?;
    let mut selectors = Vec::new();
    collect_selectors(&expression, &mut selectors);
    if selectors.is_empty() {
        // Compat: an answer without data.
        let content_type = HeaderValue::from_static("application/json");
        return Ok(Response::builder()
            .header(CONTENT_TYPE, content_type)
            .body(r#"{"status":"success"}"#.into())
            .expect("a constant answer is valid"));
    }
    let store = Arc::clone(&ctx.parts.exemplars);
    let work = move || store.exemplars(range, &selectors);
    let found = ctx.pool.run(CancelToken::default(), work).await??;
    Ok(success(|out| json::push_list(out, &found, push_series)))
}

/// The matchers of every selector. The parser limits how deep a tree is.
fn collect_selectors(expression: &Expr, found: &mut Vec<Vec<Matcher>>) {
    match &expression.kind {
        ExprKind::Vector(selector) => found.push(selector.matchers.clone()),
        ExprKind::Matrix(matrix) => found.push(matrix.selector.matchers.clone()),
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Paren(inner) => collect_selectors(inner, found),
        ExprKind::Unary { operand, .. } => collect_selectors(operand, found),
        ExprKind::Subquery(subquery) => collect_selectors(&subquery.operand, found),
        ExprKind::Binary(binary) => {
            collect_selectors(&binary.lhs, found);
            collect_selectors(&binary.rhs, found);
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                collect_selectors(param, found);
            }
            collect_selectors(&aggregate.operand, found);
        }
        ExprKind::Call(call) => call.args.iter().for_each(|arg| collect_selectors(arg, found)),
    }
}

fn push_series(out: &mut Vec<u8>, series: &ExemplarSeries) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    json::push_labels(out, &series.labels);
    out.extend_from_slice(b",\"exemplars\":");
    json::push_list(out, &series.exemplars, push_exemplar);
    out.push(b'}');
}

fn push_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(b"{\"labels\":");
    json::push_labels(out, &exemplar.labels);
    out.extend_from_slice(b",\"value\":\"");
    push_float(out, exemplar.value);
    out.extend_from_slice(b"\",\"timestamp\":");
    json::push_timestamp(out, exemplar.timestamp_ms);
    out.push(b'}');
}
