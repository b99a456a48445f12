//! Warnings and infos that come with an answer: deduplicated by text, printed with their position.
//! Compat: Prometheus `util/annotations/annotations.go`.

use std::fmt::Write;

use crate::syntax::Span;

/// Distinct annotations kept for one query; later ones are dropped.
const ANNOTATION_COUNT_MAX: usize = 4096;

/// Whether something is wrong or only worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Warning,
    Info,
}

/// One remark about a place in the query.
#[derive(Clone, Debug, PartialEq)]
struct Annotation {
    severity: Severity,
    text: String,
    span: Span,
    detail: Option<Monotonicity>,
}

/// How far buckets of a classic histogram had to be bent to be monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Monotonicity {
    pub(crate) min_ms: i64,
    pub(crate) max_ms: i64,
    pub(crate) min_bucket: f64,
    pub(crate) max_bucket: f64,
    pub(crate) max_diff: f64,
    pub(crate) count: u64,
}

/// Remarks of one query in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations {
    list: Vec<Annotation>,
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
