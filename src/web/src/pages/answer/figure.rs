//! The value of a range query as a graph, with a legend of figures and its data as a table.

use askama::Template;
use prom_model::{Labels, format_duration, format_float};
use prom_promql::{QueryAnswer, Series, Value};

use super::{Question, form_text, head_html, rendered, seconds};
use crate::pages::{
    graph::{self, Line, Plot, line_class},
    panel::{PanelState, RANGES},
    scale::utc_text,
    series_text::{common_labels, series_html, without_common},
};

/// Lines of a graph.
const GRAPH_LINES_MAX: usize = 200;
/// Columns and rows of the table under a graph.
const DATA_COLUMNS_MAX: usize = 16;
const DATA_ROWS_MAX: usize = 120;

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

/// Writes the statistics, then the graph and all that explains it.
pub(super) fn html(
    question: &Question,
    answer: &QueryAnswer,
    start_ms: i64,
    end_ms: i64,
) -> String {
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
    let mut html = head_html(question, answer, all.len(), &what);
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
    let plot = Plot {
        lines: &lines,
        start_ms,
        end_ms,
        step_ms,
        from_zero: panel.from_zero,
        is_stacked: panel.is_stacked,
    };
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

#[cfg(test)]
mod tests {
    use super::*;

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
