//! The value of a query as a table.

use askama::Template;
use prom_model::{Sample, format_float};
use prom_promql::{QueryAnswer, Series, Value};

use super::{Question, form_text, head_html, rendered, seconds};
use crate::{
    markup::push_escaped,
    pages::{scale::utc_text, series_text::series_html},
};

/// Rows of a table.
const TABLE_ROWS_MAX: usize = 1_000;
/// Points of one series in a table of ranges.
const TABLE_POINTS_MAX: usize = 100;

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

/// Writes the statistics, then the table.
pub(super) fn html(question: &Question, answer: &QueryAnswer) -> String {
    let panel = &question.panels[question.index];
    let time_ms = panel.moment_ms.unwrap_or(question.now_ms);
    let (count, rows) = match &answer.value {
        Value::Scalar(sample) => (1, vec![plain_row("scalar", format_float(sample.value))]),
        Value::String(text) => (1, vec![plain_row("string", escaped(&text.value))]),
        Value::Vector(samples) => {
            let rows = samples.iter().take(TABLE_ROWS_MAX).map(|sample| TableRow {
                series: series_html(&sample.labels),
                value: match &sample.histogram {
                    Some(histogram) => escaped(&histogram.to_string()),
                    None => format_float(sample.value),
                },
            });
            (samples.len(), rows.collect())
        }
        Value::Matrix(series) => {
            let rows = series
                .iter()
                .take(TABLE_ROWS_MAX)
                .map(|one| TableRow { series: series_html(&one.labels), value: points_html(one) });
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
    let mut html = head_html(question, answer, count, &what);
    html.push_str(&rendered(&TablePart { rows, left_out, json_link }));
    html
}

fn points_html(series: &Series) -> String {
    let mut html = floats_html(&series.points);
    let left_out = series.histograms.len().saturating_sub(TABLE_POINTS_MAX);
    if left_out > 0 {
        html.push_str(&format!("{left_out} earlier histograms<br>"));
    }
    for point in &series.histograms[left_out..] {
        let time = utc_text(point.timestamp_ms, "%Y-%m-%d %H:%M:%S%.3f");
        let text = escaped(&point.histogram.to_string());
        html.push_str(&format!("{text} <span class=\"at\">@ {time}</span><br>"));
    }
    html
}

fn floats_html(points: &[Sample]) -> String {
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

fn escaped(text: &str) -> String {
    let mut html = String::new();
    push_escaped(&mut html, text);
    html
}
