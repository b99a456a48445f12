//! The answer below a panel: its query's value as a table or a graph, or what went wrong and where.

mod figure;
mod table;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use askama::Template;
use prom_model::format_float;
use prom_promql::{QueryAnswer, QueryParams, QueryTimes, parse};

use super::panel::{PanelState, write_panels};
use crate::{context::WebContext, error::ApiError, evaluate::evaluate};

/// Characters shown on each side of a mistake in a long line.
const CARET_CONTEXT: usize = 60;

#[derive(Template)]
#[template(path = "query/answer_error.html")]
struct ErrorPart<'a> {
    kind: &'a str,
    message: &'a str,
    caret: Option<String>,
}

#[derive(Template)]
#[template(path = "query/answer_head.html")]
struct HeadPart<'a> {
    warnings: &'a [String],
    infos: &'a [String],
    stats: String,
    explain_link: String,
}

/// One panel to answer: all panels are there for the links.
pub(super) struct Question {
    pub(super) panels: Vec<PanelState>,
    pub(super) index: usize,
    pub(super) now_ms: i64,
    pub(super) asked: Instant,
    /// Where addresses begin.
    pub(super) prefix: String,
}

/// Asks the engine and writes the answer.
pub(super) async fn answer(
    ctx: &Arc<WebContext>,
    question: Question,
    params: QueryParams,
) -> String {
    let panel = &question.panels[question.index];
    if panel.expr.trim().is_empty() {
        return String::new();
    }
    let expr = panel.expr.clone();
    match evaluated(ctx, question, params).await {
        Ok(html) => html,
        Err(error) => error_html(ctx, &expr, &error),
    }
}

async fn evaluated(
    ctx: &Arc<WebContext>,
    question: Question,
    params: QueryParams,
) -> Result<String, ApiError> {
    let panel = &question.panels[question.index];
    let cancel = params.cancel.clone();
    let times = question.times();
    let answer = evaluate(ctx, question.asked, &panel.expr, times, params).await?;
    let draw = move || match times {
        QueryTimes::Range { start_ms, end_ms, .. } => {
            figure::html(&question, &answer, start_ms, end_ms)
        }
        QueryTimes::Instant { .. } => table::html(&question, &answer),
    };
    ctx.pool.run(cancel, draw).await
}

/// An error with a caret under the place, if it is a mistake in the text.
pub(super) fn error_html(ctx: &WebContext, query: &str, error: &ApiError) -> String {
    let mistake = parse(query, &ctx.parts.parse_options).err();
    let position = mistake.as_ref().and_then(|errors| errors.first().position);
    let caret = position.map(|(line, column)| caret_text(query, line, column));
    let kind = match error.kind.as_str() {
        "bad_data" => "Bad query",
        "timeout" => "Timeout",
        "canceled" => "Canceled",
        _ => "Failed",
    };
    let message = error.message.strip_prefix("invalid parameter \"query\": ");
    let message = message.unwrap_or(&error.message);
    rendered(&ErrorPart { kind, message, caret })
}

/// The line of a mistake and a mark below it; both from 1, the column in bytes.
fn caret_text(query: &str, line: u32, column: u32) -> String {
    let line = query.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
    let before = line.get(..(column as usize).saturating_sub(1)).unwrap_or(line);
    let at = before.chars().count();
    let skipped = at.saturating_sub(CARET_CONTEXT);
    let shown: String = line.chars().skip(skipped).take(2 * CARET_CONTEXT).collect();
    let (start, mark) = if skipped > 0 { ("...", at - skipped + 3) } else { ("", at) };
    let end = if line.chars().count() > skipped + 2 * CARET_CONTEXT { "..." } else { "" };
    let shown = shown.replace('\t', " ");
    format!("{start}{shown}{end}\n{:mark$}^", "")
}

impl Question {
    /// What the panel asks for.
    fn times(&self) -> QueryTimes {
        let panel = &self.panels[self.index];
        if !panel.is_graph {
            return QueryTimes::Instant { time_ms: panel.moment_ms.unwrap_or(self.now_ms) };
        }
        let end_ms = panel.end_ms.unwrap_or(self.now_ms);
        let start_ms = end_ms.saturating_sub(panel.range_ms);
        QueryTimes::Range { start_ms, end_ms, step_ms: panel.effective_step_ms() }
    }

    /// The address of the page with this panel changed.
    fn link(&self, changed: PanelState) -> String {
        let mut panels = self.panels.clone();
        panels[self.index] = changed;
        format!("{}/query{}", self.prefix, write_panels(&panels))
    }
}

fn head_html(question: &Question, answer: &QueryAnswer, series_count: usize, what: &str) -> String {
    let stats = format!(
        "{series_count} series, {} samples read, {}, {what}",
        answer.stats.samples.total_queryable,
        duration_text(answer.stats.timings.exec_total)
    );
    let panel = &question.panels[question.index];
    let mut pairs = vec![("expr", panel.expr.clone())];
    if panel.is_graph {
        pairs.push(("range", "1".to_owned()));
    }
    let explain_link = format!("{}/explain?{}", question.prefix, form_text(&pairs));
    let (warnings, infos) = (&answer.warnings, &answer.infos);
    rendered(&HeadPart { warnings, infos, stats, explain_link })
}

pub(super) fn duration_text(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1e3) }
}

fn seconds(ms: i64) -> String {
    format_float(ms as f64 / 1e3)
}

fn form_text(pairs: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Renders a part of the page; templates write to memory, which takes everything.
fn rendered(part: &impl Template) -> String {
    part.render().expect("templates of this room have no filters that fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_mistake() {
        let long = format!("{}x", "a".repeat(100));
        for (query, line, column, expected) in [
            ("up{", 1, 4, "up{\n   ^".to_owned()),
            ("a\n  b)", 2, 4, "  b)\n   ^".to_owned()),
            ("\u{e9}\u{e9})", 1, 5, "\u{e9}\u{e9})\n  ^".to_owned()),
            ("a", 9, 9, "\n^".to_owned()),
            (&long, 1, 101, format!("...{}x\n{:63}^", "a".repeat(60), "")),
        ] {
            assert_eq!(caret_text(query, line, column), expected, "{query}");
        }
    }
}
