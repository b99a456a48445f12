//! Remarks on native histograms.

use prom_model::quote_go;

use super::{Annotation, with_metric_name};
use crate::syntax::Span;

/// What histograms were combined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramWork {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistogramWork {
    fn text(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

impl Annotation {
    /// Floats and histograms in one range.
    pub(crate) fn mixed_samples(metric_name: &str, span: Span) -> Self {
        let name = quote_go(metric_name);
        let text = format!("encountered a mix of histograms and floats for metric name {name}");
        Self::warning(text, span)
    }

    /// Floats and histograms in one group.
    pub(crate) fn mixed_group(span: Span) -> Self {
        Self::warning("encountered a mix of histograms and floats for aggregation".to_owned(), span)
    }

    /// Exponential and custom buckets.
    pub(crate) fn mixed_schemas(metric_name: &str, span: Span) -> Self {
        let name = quote_go(metric_name);
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name}"
        );
        Self::warning(text, span)
    }

    pub(crate) fn mixed_classic_and_native(metric_name: &str, span: Span) -> Self {
        let text = "vector contains a mix of classic and native histograms".to_owned();
        Self::warning(with_metric_name(text, metric_name), span)
    }

    pub(crate) fn native_not_counter(metric_name: &str, span: Span) -> Self {
        let name = quote_go(metric_name);
        Self::warning(format!("this native histogram metric is not a counter: {name}"), span)
    }

    pub(crate) fn native_not_gauge(metric_name: &str, span: Span) -> Self {
        let name = quote_go(metric_name);
        Self::warning(format!("this native histogram metric is not a gauge: {name}"), span)
    }

    pub(crate) fn reset_collision(work: HistogramWork, span: Span) -> Self {
        let work = work.text();
        Self::warning(format!("conflicting counter resets during histogram {work}"), span)
    }

    pub(crate) fn reconciled_bounds(work: HistogramWork, span: Span) -> Self {
        let work = work.text();
        Self::info(format!("mismatched custom buckets were reconciled during {work}"), span)
    }

    pub(crate) fn histogram_ignored_in_range(metric_name: &str, span: Span) -> Self {
        let name = quote_go(metric_name);
        let text = format!(
            "ignored histograms in a range containing both floats and histograms for metric name {name}"
        );
        Self::info(text, span)
    }

    pub(crate) fn histogram_ignored(aggregation: &str, span: Span) -> Self {
        Self::info(format!("ignored histogram in {aggregation} aggregation"), span)
    }

    /// Operands that an operator does not know together; `lhs` and `rhs` are `float` or `histogram`.
    pub(crate) fn incompatible_types(
        lhs: &str,
        op: crate::syntax::BinaryOp,
        rhs: &str,
        span: Span,
    ) -> Self {
        let text = format!(
            "incompatible sample types encountered for binary operator \"{op}\": {lhs} {op} {rhs}"
        );
        Self::info(text, span)
    }

    /// Exponential and custom buckets on the sides of an operator.
    pub(crate) fn incompatible_layouts(op: crate::syntax::BinaryOp, span: Span) -> Self {
        let text = format!("incompatible bucket layout encountered for binary operator {op}");
        Self::warning(text, span)
    }

    pub(crate) fn quantile_of_nans(metric_name: &str, span: Span) -> Self {
        let text = "input to histogram_quantile has NaN observations, result is NaN".to_owned();
        Self::info(with_metric_name(text, metric_name), span)
    }

    pub(crate) fn quantile_skewed_by_nans(metric_name: &str, span: Span) -> Self {
        let text =
            "input to histogram_quantile has NaN observations, result is skewed higher".to_owned();
        Self::info(with_metric_name(text, metric_name), span)
    }

    pub(crate) fn fraction_of_nans(metric_name: &str, span: Span) -> Self {
        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions".to_owned();
        Self::info(with_metric_name(text, metric_name), span)
    }

    pub(crate) fn start_overlap(metric_name: &str, span: Span) -> Self {
        let name = quote_go(metric_name);
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {name}"
        );
        Self { occurrences: 1, ..Self::warning(text, span) }
    }
}
