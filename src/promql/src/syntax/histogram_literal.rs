//! Histograms as scripts write them, made into histograms.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram, IncompatibleSchemas, Span};

use super::{HistogramLiteral, ResetHint, SeriesItem, UnaryOp};

impl HistogramLiteral {
    /// The histogram that is written. Numbers beyond the range of a field wrap, as in the reference.
    pub fn to_histogram(&self) -> FloatHistogram {
        let spans = |offset: i64, counts: &[f64]| -> Arc<[Span]> {
            let span = Span { offset: offset as i32, length: counts.len() as u32 };
            if counts.is_empty() { Arc::default() } else { Arc::new([span]) }
        };
        FloatHistogram {
            counter_reset_hint: match self.counter_reset_hint {
                None | Some(ResetHint::Unknown) => CounterResetHint::Unknown,
                Some(ResetHint::Reset) => CounterResetHint::CounterReset,
                Some(ResetHint::NotReset) => CounterResetHint::NotCounterReset,
                Some(ResetHint::Gauge) => CounterResetHint::Gauge,
            },
            schema: self.schema as i32,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: spans(self.positive_offset, &self.positive_buckets),
            negative_spans: spans(self.negative_offset, &self.negative_buckets),
            positive_buckets: self.positive_buckets.clone(),
            negative_buckets: self.negative_buckets.clone(),
            custom_values: self.custom_values.as_slice().into(),
        }
    }
}

impl SeriesItem {
    /// Histograms of an item, each computed from the one before; of the rest none.
    ///
    /// # Errors
    /// Those of a sequence do not go together.
    pub fn histograms(
        &self,
    ) -> impl Iterator<Item = Result<FloatHistogram, IncompatibleSchemas>> + use<> {
        let (first, step, count) = match self {
            Self::Histograms { histogram, count } => (Some(histogram.to_histogram()), None, *count),
            Self::HistogramSequence { first, op, delta, count } => {
                (Some(first.to_histogram()), Some((*op, delta.to_histogram())), *count)
            }
            _ => (None, None, 0),
        };
        let mut next = first.ok_or(IncompatibleSchemas);
        (0..count).map(move |_| {
            let now = next.clone();
            if let (Ok(histogram), Some((op, delta))) = (&mut next, &step) {
                let combined = match op {
                    UnaryOp::Plus => histogram.add(delta),
                    UnaryOp::Minus => histogram.sub(delta),
                };
                if combined.is_err() || now.as_ref().is_ok_and(|now| now.schema > delta.schema) {
                    next = Err(IncompatibleSchemas);
                }
            }
            now
        })
    }

    /// Whether the histograms of an item say what is known of resets.
    pub fn has_reset_hint(&self) -> bool {
        match self {
            Self::Histograms { histogram, .. } => histogram.counter_reset_hint.is_some(),
            Self::HistogramSequence { delta, .. } => delta.counter_reset_hint.is_some(),
            _ => false,
        }
    }
}
