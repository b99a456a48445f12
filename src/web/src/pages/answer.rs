//! The answer below a panel: its query's value as a table or a graph, or what went wrong and where.

use std::time::{Duration, Instant};

use askama::Template;
use prom_model::{Labels, Sample, format_duration, format_float};
use prom_promql::{InstantParams, QueryAnswer, QueryParams, RangeParams, Series, Value, parse};

use super::{
    graph::{self, Line, Plot, line_class},
    panel::{PanelState, RANGES, write_panels},
    scale::utc_text,
    series_text::{common_labels, series_html, without_common},
};
use crate::{context::WebContext, error::ApiError, evaluate::evaluate};

/// Rows of a table.
const TABLE_ROWS_MAX: usize = 1_000;
/// Points of one series in a table of ranges.
const TABLE_POINTS_MAX: usize = 100;
/// Lines of a graph.
const GRAPH_LINES_MAX: usize = 200;
/// Columns and rows of the table under a graph.
const DATA_COLUMNS_MAX: usize = 16;
const DATA_ROWS_MAX: usize = 120;
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
}

#[derive(Template)]
#[template(path = "query/answer_table.html")]
struct TablePart {
    rows: Vec<TableRow>,
    left_out: usize,
    json_link: String,
}

struct TableRow {
    series: String,
    value: String,
}

#[derive(Template)]
#[template(path = "query/answer_graph.html")]
struct GraphPart {
    svg: String,
    /// Text, address, and whether it is what is shown.
    ranges: Vec<(&'static str, String, bool)>,
    common: String,
    rows: Vec<LegendRow>,
    left_out: usize,
    json_link: String,
    data_columns: Vec<String>,
    data_rows: Vec<(String, Vec<String>)>,
    data_left_out: bool,
}

struct LegendRow {
    class: String,
    series: String,
    last: String,
    min: String,
    mean: String,
    max: String,
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

/// Asks the engine and writes the answer. Blocks.
pub(super) fn answer(ctx: &WebContext, question: &Question, query: QueryParams) -> String {
    let panel = &question.panels[question.index];
    if panel.expr.trim().is_empty() {
        return String::new();
    }
    let (engine, store) = (&ctx.parts.engine, &*ctx.parts.storage);
    let end_ms = panel.end_ms.unwrap_or(question.now_ms);
    let start_ms = end_ms.saturating_sub(panel.range_ms);
    let result = evaluate(engine, question.asked, query, |query| match panel.is_graph {
        true => {
            let step_ms = panel.effective_step_ms();
            engine.range(store, &panel.expr, RangeParams { start_ms, end_ms, step_ms, query })
        }
        false => {
            let time_ms = panel.moment_ms.unwrap_or(question.now_ms);
            engine.instant(store, &panel.expr, InstantParams { time_ms, query })
        }
    });
    match result {
        Ok(answer) if panel.is_graph => graph_html(question, answer, start_ms, end_ms),
        Ok(answer) => table_html(question, answer),
        Err(error) => error_html(ctx, &panel.expr, &ApiError::from(error)),
    }
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

fn table_html(question: &Question, answer: QueryAnswer) -> String {
    let panel = &question.panels[question.index];
    let time_ms = panel.moment_ms.unwrap_or(question.now_ms);
    let (count, rows) = match &answer.value {
        Value::Scalar(sample) => (1, vec![plain_row("scalar", format_float(sample.value))]),
        Value::String(text) => (1, vec![plain_row("string", escaped(&text.value))]),
        Value::Vector(samples) => {
            let rows = samples.iter().take(TABLE_ROWS_MAX).map(|sample| TableRow {
                series: series_html(&sample.labels),
                value: format_float(sample.value),
            });
            (samples.len(), rows.collect())
        }
        Value::Matrix(series) => {
            let rows = series.iter().take(TABLE_ROWS_MAX).map(|one| TableRow {
                series: series_html(&one.labels),
                value: points_html(&one.points),
            });
            (series.len(), rows.collect())
        }
        _ => (0, Vec::new()),
    };
    let left_out = count.saturating_sub(rows.len());
    let what = format!("at {}", utc_text(time_ms, "%Y-%m-%d %H:%M:%S UTC"));
    let json_link = format!(
        "{}/api/v1/query?{}",
        question.prefix,
        form_text(&[("query", panel.expr.clone()), ("time", seconds(time_ms))])
    );
    let mut html = head_html(&answer, count, &what);
    html.push_str(&rendered(&TablePart { rows, left_out, json_link }));
    html
}

fn graph_html(question: &Question, answer: QueryAnswer, start_ms: i64, end_ms: i64) -> String {
    let panel = &question.panels[question.index];
    let step_ms = panel.effective_step_ms();
    let all: &[Series] = match &answer.value {
        Value::Matrix(series) => series,
        _ => &[],
    };
    let what = format!(
        "{} to {}, step {}",
        utc_text(start_ms, "%Y-%m-%d %H:%M:%S"),
        utc_text(end_ms, "%Y-%m-%d %H:%M:%S UTC"),
        format_duration(step_ms)
    );
    let mut html = head_html(&answer, all.len(), &what);
    if all.is_empty() {
        html.push_str("<p class=\"empty\">Empty result: no series matched in this range.</p>\n");
        return html;
    }
    let shown = &all[..all.len().min(GRAPH_LINES_MAX)];
    let common = common_labels(shown.iter().map(|one| &one.labels));
    let own: Vec<Labels> = shown.iter().map(|one| without_common(&one.labels, &common)).collect();
    let names: Vec<String> = own.iter().map(Labels::to_string).collect();
    let lines: Vec<Line<'_>> =
        shown.iter().zip(&names).map(|(one, name)| Line { name, points: &one.points }).collect();
    let plot = Plot { lines: &lines, start_ms, end_ms, step_ms, from_zero: panel.from_zero };
    let link = |changed: PanelState| question.link(changed);
    let summary =
        format!("Graph of {} series, {what}. The table below has its figures.", all.len());
    let (data_columns, data_rows, data_left_out) = data_table(shown, &own);
    let json_link = format!(
        "{}/api/v1/query_range?{}",
        question.prefix,
        form_text(&[
            ("query", panel.expr.clone()),
            ("start", seconds(start_ms)),
            ("end", seconds(end_ms)),
            ("step", seconds(step_ms)),
        ])
    );
    html.push_str(&rendered(&GraphPart {
        svg: graph::draw(&plot, &summary, &|from, to| link(panel.focused(from, to))),
        ranges: RANGES
            .iter()
            .map(|(text, ms)| {
                let zoomed = panel.zoomed(*ms, question.now_ms);
                (*text, link(zoomed), *ms == panel.range_ms)
            })
            .collect(),
        common: if common.is_empty() { String::new() } else { series_html(&common) },
        rows: shown.iter().zip(&own).enumerate().map(legend_row).collect(),
        left_out: all.len() - shown.len(),
        json_link,
        data_columns,
        data_rows,
        data_left_out,
    }));
    html
}

impl Question {
    /// The address of the page with this panel changed.
    fn link(&self, changed: PanelState) -> String {
        let mut panels = self.panels.clone();
        panels[self.index] = changed;
        format!("{}/query{}", self.prefix, write_panels(&panels))
    }
}

fn head_html(answer: &QueryAnswer, series_count: usize, what: &str) -> String {
    let stats = format!(
        "{series_count} series, {} samples read, {}, {what}",
        answer.stats.samples.total_queryable,
        duration_text(answer.stats.timings.exec_total)
    );
    rendered(&HeadPart { warnings: &answer.warnings, infos: &answer.infos, stats })
}

fn legend_row((index, (one, own)): (usize, (&Series, &Labels))) -> LegendRow {
    let finite = || one.points.iter().map(|point| point.value).filter(|value| value.is_finite());
    let number = |value: Option<f64>| value.map(short_number).unwrap_or_default();
    let count = finite().count() as f64;
    LegendRow {
        class: line_class(index),
        series: series_html(own),
        last: number(one.points.last().map(|point| point.value)),
        min: number(finite().reduce(f64::min)),
        // Divided before they are added, so that large values do not overflow.
        mean: number((count > 0.0).then(|| finite().map(|value| value / count).sum())),
        max: number(finite().reduce(f64::max)),
    }
}

type DataTable = (Vec<String>, Vec<(String, Vec<String>)>, bool);

/// Times down, series across. Long ranges are thinned evenly; the last time stays.
fn data_table(shown: &[Series], own: &[Labels]) -> DataTable {
    let columns = &shown[..shown.len().min(DATA_COLUMNS_MAX)];
    let mut times: Vec<i64> =
        columns.iter().flat_map(|one| one.points.iter().map(|p| p.timestamp_ms)).collect();
    times.sort_unstable();
    times.dedup();
    let every = times.len().div_ceil(DATA_ROWS_MAX).max(1);
    let left_out = every > 1 || columns.len() < shown.len();
    let mut rows = Vec::with_capacity(times.len().min(DATA_ROWS_MAX));
    for time_ms in times.iter().rev().step_by(every) {
        let cell = |one: &Series| {
            let found = one.points.binary_search_by_key(time_ms, |point| point.timestamp_ms);
            found.map(|at| short_number(one.points[at].value)).unwrap_or_default()
        };
        rows.push((utc_text(*time_ms, "%Y-%m-%d %H:%M:%S"), columns.iter().map(cell).collect()));
    }
    rows.reverse();
    (own.iter().take(columns.len()).map(series_html).collect(), rows, left_out)
}

fn points_html(points: &[Sample]) -> String {
    let left_out = points.len().saturating_sub(TABLE_POINTS_MAX);
    let mut html = String::new();
    if left_out > 0 {
        html.push_str(&format!("{left_out} earlier values<br>"));
    }
    for point in &points[left_out..] {
        let time = utc_text(point.timestamp_ms, "%Y-%m-%d %H:%M:%S%.3f");
        html.push_str(&format!(
            "{} <span class=\"at\">@ {time}</span><br>",
            format_float(point.value)
        ));
    }
    html
}

fn plain_row(kind: &str, value: String) -> TableRow {
    TableRow { series: kind.to_owned(), value }
}

/// Six significant digits: enough to compare, short enough to scan.
fn short_number(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return format_float(value);
    }
    let size = value.abs();
    if !(1e-4..1e15).contains(&size) {
        return format!("{value:.5e}");
    }
    let decimals = (5 - size.log10().floor() as i64).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn duration_text(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1e3) }
}

fn seconds(ms: i64) -> String {
    format_float(ms as f64 / 1e3)
}

fn form_text(pairs: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn escaped(text: &str) -> String {
    let mut html = String::new();
    crate::markup::push_escaped(&mut html, text);
    html
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

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.1 + 0.2, "0.3"),
            (1234567.891, "1234568"),
            (-0.000123456, "-0.000123456"),
            (1e-9, "1.00000e-9"),
            (1e300, "1.00000e300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(short_number(value), expected);
        }
    }
}
