//! Warnings and infos that come with an answer: deduplicated by text, printed with their position.
//! Compat: Prometheus `util/annotations/annotations.go`.

mod histogram;
mod place;

pub(crate) use histogram::HistogramWork;

use std::{collections::HashMap, fmt::Write};

use prom_model::{format_float_g, quote_go};

use crate::{
    date::format_rfc3339,
    numeric::format_precise,
    syntax::{Span, line_and_column},
};

/// Distinct annotations kept for one query; later ones are dropped.
const ANNOTATION_COUNT_MAX: usize = 4096;
/// Places kept of one text.
const PLACE_COUNT_MAX: usize = 64;
/// Steps of operations of which the last remark is looked for; behind them all remarks stay.
const CONTEST_COUNT_MAX: usize = 1 << 16;

const QUANTILE_DOCS: &str =
    "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile";

/// Remarks of one query in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations {
    list: Vec<Annotation>,
    /// By operation and step: the number of the series that made the last remark, and its index in the list.
    contests: HashMap<(usize, usize), (u32, usize)>,
}

/// One remark about a place in the query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Annotation {
    severity: Severity,
    text: String,
    span: Span,
    /// Other places of the same text.
    other_spans: Vec<Span>,
    /// Whether it stays, whatever is said at the same step later.
    is_certain: bool,
    monotonicity: Option<Box<Monotonicity>>,
    /// How often it was seen, where that is told.
    occurrences: u64,
}

/// Whether something is wrong or only worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Warning,
    Info,
}

/// How far buckets of classic histograms had to be bent to be monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Monotonicity {
    pub(crate) min_ms: i64,
    pub(crate) max_ms: i64,
    pub(crate) min_bucket: f64,
    pub(crate) max_bucket: f64,
    pub(crate) max_diff: f64,
    /// Samples that were bent.
    pub(crate) count: u64,
}

/// Shortens a list of warnings or infos to what one answer carries.
/// `severity_name` is `warning` or `info`; 0 means no limit.
pub fn limit_annotations(texts: &[String], severity_name: &str, count_max: usize) -> Vec<String> {
    if count_max == 0 || texts.len() <= count_max {
        return texts.to_vec();
    }
    let mut limited = texts[..count_max].to_vec();
    limited.push(format!("{} more {severity_name} annotations omitted", texts.len() - count_max));
    limited
}

/// `line:column` of the start of `span`.
pub(crate) fn position(query: &str, span: Span) -> String {
    match line_and_column(query, span.start) {
        Some((line, column)) => format!("{line}:{column}"),
        None => "unknown position".to_owned(),
    }
}

impl Annotations {
    pub(crate) fn add(&mut self, annotation: Annotation) {
        if let Some(index) = self.keep(annotation) {
            self.list[index].is_certain = true;
        }
    }

    /// Adds what an operation says about a series at a step. Of all series only the last one is heard.
    /// Compat: Prometheus `promql/engine.go`, `VectorBinop` and its `lastErr`.
    pub(crate) fn add_at_step(
        &mut self,
        operation: usize,
        step: usize,
        series: u32,
        annotation: Annotation,
    ) {
        let Some(index) = self.keep(annotation) else { return };
        if self.contests.len() >= CONTEST_COUNT_MAX {
            self.list[index].is_certain = true;
            return;
        }
        let last = self.contests.entry((operation, step)).or_insert((series, index));
        if last.0 <= series {
            *last = (series, index);
        }
    }

    /// The index of an annotation of this text, unless there are too many.
    fn keep(&mut self, annotation: Annotation) -> Option<usize> {
        if let Some(known) = self.list.iter().position(|known| known.text == annotation.text) {
            self.list[known].merge(&annotation);
            return Some(known);
        }
        (self.list.len() < ANNOTATION_COUNT_MAX).then(|| {
            self.list.push(annotation);
            self.list.len() - 1
        })
    }

    /// Texts of warnings and of infos, each by position.
    pub(crate) fn print(mut self, query: &str) -> (Vec<String>, Vec<String>) {
        for (_, index) in self.contests.values() {
            self.list[*index].is_certain = true;
        }
        self.list.retain(|annotation| annotation.is_certain);
        for annotation in self.list.iter_mut().filter(|one| !one.other_spans.is_empty()) {
            annotation.other_spans.push(annotation.span);
            annotation.span = place::latest(query, &annotation.other_spans);
        }
        // Workers add in no fixed order; an answer has one.
        self.list.sort_by(|a, b| (a.span.start, &a.text).cmp(&(b.span.start, &b.text)));
        let print = |severity| {
            let list = self.list.iter().filter(|annotation| annotation.severity == severity);
            list.map(|annotation| annotation.print(query)).collect()
        };
        (print(Severity::Warning), print(Severity::Info))
    }
}

impl Annotation {
    pub(crate) fn possible_non_counter(metric_name: &str, span: Span) -> Self {
        let text = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            quote_go(metric_name)
        );
        Self::info(text, span)
    }

    pub(crate) fn possible_non_counter_label(metric_name: &str, kind: &str, span: Span) -> Self {
        let text = format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
            quote_go(kind),
            quote_go(metric_name)
        );
        Self::info(text, span)
    }

    pub(crate) fn invalid_quantile(quantile: f64, span: Span) -> Self {
        let got = format_float_g(quantile);
        Self::warning(format!("quantile value should be between 0 and 1, got {got}"), span)
    }

    pub(crate) fn invalid_ratio(ratio: f64, capped: f64, span: Span) -> Self {
        let (got, capped) = (format_float_g(ratio), format_float_g(capped));
        let text =
            format!("ratio value should be between -1 and 1, got {got}, capping to {capped}");
        Self::warning(text, span)
    }

    pub(crate) fn bad_bucket_label(metric_name: &str, label: &str, span: Span) -> Self {
        let label = quote_go(label);
        let text = format!("bucket label \"le\" is missing or has a malformed value of {label}");
        Self::warning(with_metric_name(text, metric_name), span)
    }

    pub(crate) fn sort_in_range_query(span: Span) -> Self {
        let text =
            "sort is ineffective for range queries since results are always ordered by labels";
        Self::warning(text.to_owned(), span)
    }

    pub(crate) fn forced_monotonicity(
        metric_name: &str,
        monotonicity: Monotonicity,
        span: Span,
    ) -> Self {
        let text = format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see {QUANTILE_DOCS})"
        );
        let info = Self::info(with_metric_name(text, metric_name), span);
        Self { monotonicity: Some(Box::new(monotonicity)), ..info }
    }

    fn warning(text: String, span: Span) -> Self {
        let text = format!("PromQL warning: {text}");
        Self::new(Severity::Warning, text, span)
    }

    fn info(text: String, span: Span) -> Self {
        let text = format!("PromQL info: {text}");
        Self::new(Severity::Info, text, span)
    }

    fn new(severity: Severity, text: String, span: Span) -> Self {
        Self {
            severity,
            text,
            span,
            other_spans: Vec::new(),
            is_certain: false,
            monotonicity: None,
            occurrences: 0,
        }
    }

    fn merge(&mut self, other: &Self) {
        let is_new = other.span != self.span && !self.other_spans.contains(&other.span);
        if is_new && self.other_spans.len() < PLACE_COUNT_MAX {
            self.other_spans.push(other.span);
        }
        self.occurrences += other.occurrences;
        if let (Some(known), Some(other)) = (&mut self.monotonicity, &other.monotonicity) {
            known.merge(other);
        }
    }

    fn print(&self, query: &str) -> String {
        let mut text = self.text.clone();
        if let Some(found) = &self.monotonicity {
            let diff = format_precise(found.max_diff, 2);
            let (min, max) = (format_float_g(found.min_bucket), format_float_g(found.max_bucket));
            let (start, end) = (format_rfc3339(found.min_ms), format_rfc3339(found.max_ms));
            let count = found.count;
            write!(
                text,
                ", from buckets {min} to {max}, with a max diff of {diff}, over {count} samples from {start} to {end}"
            )
            .expect("a string takes all that is written");
        }
        if self.occurrences > 1 {
            write!(text, " ({} occurrences)", self.occurrences)
                .expect("a string takes all that is written");
        }
        write!(text, " ({})", position(query, self.span))
            .expect("a string takes all that is written");
        text
    }
}

impl Monotonicity {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.min_ms = self.min_ms.min(other.min_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        self.min_bucket = self.min_bucket.min(other.min_bucket);
        self.max_bucket = self.max_bucket.max(other.max_bucket);
        self.max_diff = self.max_diff.max(other.max_diff);
        self.count += other.count;
    }
}

fn with_metric_name(text: String, metric_name: &str) -> String {
    if metric_name.is_empty() {
        return text;
    }
    format!("{text} for metric name {}", quote_go(metric_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32) -> Span {
        Span { start, end: start + 1 }
    }

    #[test]
    fn positions_count_lines_and_bytes() {
        let check = |query: &str, start, expected: &str| {
            assert_eq!(position(query, span(start)), expected);
        };
        check("rate(x[1m])", 5, "1:6");
        check("sum(\n  rate(x[1m]))", 12, "2:8");
        check("", 9, "unknown position");
    }

    #[test]
    fn of_the_remarks_of_a_step_the_last_stays() {
        let mut annotations = Annotations::default();
        let mut add = |operation, step, series, ratio| {
            let annotation = Annotation::invalid_ratio(ratio, 1.0, span(3));
            annotations.add_at_step(operation, step, series, annotation);
        };
        add(0, 0, 7, 7.0);
        add(0, 0, 2, 2.0);
        add(0, 1, 4, 4.0);
        add(1, 0, 1, 5.0);
        add(1, 0, 1, 6.0);
        let (warnings, _) = annotations.print("a + b + c");
        let told = |got: &str| warnings.iter().any(|text| text.contains(&format!("got {got},")));
        assert_eq!(["2", "4", "5", "6", "7"].map(told), [false, true, false, true, true]);
    }

    #[test]
    fn equal_texts_are_one_annotation() {
        let mut annotations = Annotations::default();
        annotations.add(Annotation::possible_non_counter("x", span(20)));
        annotations.add(Annotation::possible_non_counter("x", span(5)));
        annotations.add(Annotation::invalid_quantile(2.0, span(9)));
        let (warnings, infos) = annotations.print("0123456789012345678901234567890");
        assert_eq!(
            warnings,
            ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]
        );
        assert_eq!(
            infos,
            [
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"x\" (1:21)"
            ]
        );
        assert_eq!(
            limit_annotations(&["a".into(), "b".into()], "info", 1),
            ["a", "1 more info annotations omitted"]
        );
    }
}
