//! What a query did: its operators as a table, each below the one that reads it.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use prom_promql::{OperatorProfile, QueryAnswer, QueryClass, QueryOrigin, QueryParams, QueryTimes};
use prom_telemetry::clock;

use super::{
    answer::{duration_text, error_html},
    layout::{Page, html},
    queries::size_text,
};
use crate::{api::form::Form, context::WebContext, evaluate::evaluate, origin::Origin};

/// Without an end, a range ends now.
const DEFAULT_RANGE_MS: i64 = 3_600_000;
/// Steps of a range query where none is given.
const DEFAULT_STEP_COUNT: i64 = 250;
/// Rows of the table; a query may have many more operators.
const ROW_COUNT_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    page: Page,
    expr: String,
    is_range: bool,
    error: String,
    facts: Vec<(&'static str, String)>,
    rows: Vec<Row>,
}

struct Row {
    /// Marks before the text, one for each level.
    indent: String,
    operator: &'static str,
    text: String,
    series: u64,
    points: u64,
    time: String,
    own_time: String,
    memory: String,
}

pub(super) async fn page(
    State(ctx): State<Arc<WebContext>>,
    Origin(origin): Origin,
    form: Form,
) -> Response {
    let (expr, is_range) = (form.value("expr").to_owned(), form.value("range") == "1");
    let mut page = ExplainPage {
        page: Page::new(&ctx, "Explain", "/query"),
        expr,
        is_range,
        error: String::new(),
        facts: Vec::new(),
        rows: Vec::new(),
    };
    if !page.expr.trim().is_empty() {
        match explained(&ctx, origin, &page.expr, is_range).await {
            Ok(answer) => {
                page.facts = facts(&answer);
                push_rows(&mut page.rows, answer.profile.as_deref().unwrap_or_default(), 0);
            }
            Err(error) => page.error = error_html(&ctx, &page.expr, &error),
        }
    }
    html(&page)
}

async fn explained(
    ctx: &Arc<WebContext>,
    origin: QueryOrigin,
    expr: &str,
    is_range: bool,
) -> Result<QueryAnswer, crate::error::ApiError> {
    let time_ms = clock::now_ms();
    let times = match is_range {
        false => QueryTimes::Instant { time_ms },
        true => QueryTimes::Range {
            start_ms: time_ms - DEFAULT_RANGE_MS,
            end_ms: time_ms,
            step_ms: DEFAULT_RANGE_MS / DEFAULT_STEP_COUNT,
        },
    };
    let class = QueryClass::Pages;
    let params = QueryParams { class, origin, wants_profile: true, ..QueryParams::default() };
    evaluate(ctx, clock::monotonic(), expr, times, params).await
}

fn facts(answer: &QueryAnswer) -> Vec<(&'static str, String)> {
    let (stats, estimate) = (&answer.stats, &answer.estimate);
    vec![
        ("Took", duration_text(stats.timings.exec_total)),
        ("Waited", duration_text(stats.timings.exec_queue)),
        ("Selecting series", duration_text(stats.timings.query_preparation)),
        ("Samples", stats.samples.total_queryable.to_string()),
        ("Samples held at once", stats.samples.peak.to_string()),
        ("Memory", size_text(stats.peak_bytes)),
        ("Series, by the estimate", estimate.series.to_string()),
        ("Samples, by the estimate", estimate.samples.to_string()),
        ("Selector with the most work", estimate.heaviest.clone()),
    ]
}

fn push_rows(rows: &mut Vec<Row>, operators: &[OperatorProfile], level: usize) {
    for operator in operators {
        if rows.len() == ROW_COUNT_MAX {
            return;
        }
        rows.push(Row {
            indent: "\u{b7} ".repeat(level.min(20)),
            operator: operator.operator,
            text: operator.text.clone(),
            series: operator.series,
            points: operator.points,
            time: duration_text(operator.time),
            own_time: duration_text(operator.own_time),
            memory: size_text(operator.bytes),
        });
        push_rows(rows, &operator.operands, level + 1);
    }
}
