//! An exemplar: one observation behind a count, with labels that lead to it.

use crate::Labels;

/// How long the names and values of an exemplar's labels may be together, in characters.
/// Compat: Prometheus `model/exemplar/exemplar.go`, after OpenMetrics.
pub const EXEMPLAR_LABELS_CHAR_COUNT_MAX: usize = 128;

/// One observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub labels: Labels,
    pub value: f64,
    /// Milliseconds since the Unix epoch; that of its sample where the target tells none.
    pub timestamp_ms: i64,
}
