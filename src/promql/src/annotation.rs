//! Warnings and infos that come with an answer: deduplicated by text, printed with their position.
//! Compat: Prometheus `util/annotations/annotations.go`.

mod histogram;

pub(crate) use histogram::HistogramWork;

use std::fmt::Write;

use prom_model::{format_float_g, quote_go};

use crate::{
    date::format_rfc3339,
    numeric::format_precise,
    syntax::{Span, line_and_column},
};

/// Distinct annotations kept for one query; later ones are dropped.
const ANNOTATION_COUNT_MAX: usize = 4096;

const QUANTILE_DOCS: &str =
    "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile";

/// Remarks of one query in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations {
    list: Vec<Annotation>,
}

/// One remark about a place in the query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Annotation {
    severity: Severity,
    text: String,
    span: Span,
    monotonicity: Option<Monotonicity>,
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
        match self.list.iter().position(|known| known.text == annotation.text) {
            Some(known) => self.list[known].merge(&annotation),
            None if self.list.len() < ANNOTATION_COUNT_MAX => self.list.push(annotation),
            None => {}
        }
    }

    /// Texts of warnings and of infos, each by position.
    pub(crate) fn print(mut self, query: &str) -> (Vec<String>, Vec<String>) {
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
        Self { monotonicity: Some(monotonicity), ..info }
    }

    fn warning(text: String, span: Span) -> Self {
        let text = format!("PromQL warning: {text}");
        Self { severity: Severity::Warning, text, span, monotonicity: None, occurrences: 0 }
    }

    fn info(text: String, span: Span) -> Self {
        let text = format!("PromQL info: {text}");
        Self { severity: Severity::Info, text, span, monotonicity: None, occurrences: 0 }
    }

    /// The place that the reference evaluates last names the position.
    fn merge(&mut self, other: &Self) {
        if other.span.start > self.span.start {
            self.span = other.span;
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
