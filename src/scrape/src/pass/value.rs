//! What a sample may be, floats and histograms, and what the limits make of it.

use std::sync::Arc;

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramError,
    HistogramValue,
};
use prom_storage::{Appender, FloatSample, HistogramSample};

use super::Pushed;
use crate::{
    batch::Batch,
    rules::HistogramRules,
    synthesis::{Step, Synthesizer},
};

/// The finest resolution that is stored, and the coarsest.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
/// Finer ones that may come and are stored coarser.
/// Compat: `IsExponentialSchemaReserved` in Prometheus `model/histogram/generic.go`.
const SCHEMA_RESERVED_MAX: i32 = 52;

/// The value of a sample.
pub(super) trait SampleValue {
    /// Makes a histogram as coarse as the limits want it; false if that is not possible.
    fn fit(&mut self, rules: &HistogramRules) -> bool;

    /// Whether the store can take it.
    fn check(&self) -> Result<(), HistogramError>;

    /// Notes that the series of `line` counts from now on.
    fn begin(by: &mut Synthesizer<'_>, line: u64);

    /// Reduces the value by what its series had counted at its point of reference; `None` if it does not count.
    fn synthesize(&mut self, by: &mut Synthesizer<'_>, line: u64, time_ms: i64) -> Option<Step>;

    /// What the series had when it began to count; none for floats, whose zero is known.
    fn zero(&self) -> Option<HistogramValue>;

    /// `start_ms` is since when it counts; 0 if nobody knows.
    fn push(
        self,
        batch: &mut Batch,
        appender: &mut dyn Appender,
        position: usize,
        to: Pushed,
        start_ms: i64,
    );
}

impl SampleValue for f64 {
    #[inline]
    fn fit(&mut self, _rules: &HistogramRules) -> bool {
        true
    }

    #[inline]
    fn check(&self) -> Result<(), HistogramError> {
        Ok(())
    }

    fn begin(by: &mut Synthesizer<'_>, line: u64) {
        by.begin_float(line);
    }

    fn synthesize(&mut self, by: &mut Synthesizer<'_>, line: u64, time_ms: i64) -> Option<Step> {
        by.take_float(line, self, time_ms)
    }

    #[inline]
    fn zero(&self) -> Option<HistogramValue> {
        None
    }

    #[inline]
    fn push(
        self,
        batch: &mut Batch,
        appender: &mut dyn Appender,
        position: usize,
        to: Pushed,
        start_ms: i64,
    ) {
        let Pushed { series, timestamp_ms } = to;
        batch.push(appender, position, FloatSample { series, timestamp_ms, value: self });
        if start_ms != 0 {
            batch.note_start(start_ms);
        }
    }
}

impl SampleValue for HistogramValue {
    fn fit(&mut self, rules: &HistogramRules) -> bool {
        match self {
            Self::Integer(histogram) => fit(Arc::make_mut(histogram), rules),
            Self::Float(histogram) => fit(Arc::make_mut(histogram), rules),
        }
    }

    fn check(&self) -> Result<(), HistogramError> {
        match self {
            Self::Integer(histogram) => histogram.check(),
            Self::Float(histogram) => histogram.check(),
        }
    }

    fn begin(by: &mut Synthesizer<'_>, line: u64) {
        by.begin_histogram(line);
    }

    fn synthesize(&mut self, by: &mut Synthesizer<'_>, line: u64, time_ms: i64) -> Option<Step> {
        by.take_histogram(line, self, time_ms)
    }

    /// Of the same shape, so that no chunk ends for it. Compat: `AppendHistogramSTZeroSample` in `tsdb/head_append.go`.
    fn zero(&self) -> Option<HistogramValue> {
        let counter_reset_hint = CounterResetHint::CounterReset;
        Some(match self {
            Self::Integer(histogram) => Self::Integer(Arc::new(Histogram {
                counter_reset_hint,
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                custom_values: Arc::clone(&histogram.custom_values),
                ..Histogram::default()
            })),
            Self::Float(histogram) => Self::Float(Arc::new(FloatHistogram {
                counter_reset_hint,
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                custom_values: Arc::clone(&histogram.custom_values),
                ..FloatHistogram::default()
            })),
        })
    }

    fn push(
        self,
        batch: &mut Batch,
        appender: &mut dyn Appender,
        position: usize,
        to: Pushed,
        start_ms: i64,
    ) {
        let Pushed { series, timestamp_ms } = to;
        let sample = HistogramSample { series, timestamp_ms, start_ms, histogram: self };
        batch.push_histogram(appender, position, sample);
    }
}

/// What both kinds of histograms can do.
trait Resolution {
    fn schema(&self) -> i32;
    fn bucket_count(&self) -> usize;
    fn reduce_to(&mut self, schema: i32);
    fn compact(&mut self);
}

impl Resolution for Histogram {
    fn schema(&self) -> i32 {
        self.schema
    }

    fn bucket_count(&self) -> usize {
        self.positive_buckets.len() + self.negative_buckets.len()
    }

    fn reduce_to(&mut self, schema: i32) {
        Self::reduce_to(self, schema);
    }

    fn compact(&mut self) {
        self.compact_to_gaps(0);
    }
}

impl Resolution for FloatHistogram {
    fn schema(&self) -> i32 {
        self.schema
    }

    fn bucket_count(&self) -> usize {
        self.positive_buckets.len() + self.negative_buckets.len()
    }

    fn reduce_to(&mut self, schema: i32) {
        Self::reduce_to(self, schema);
    }

    fn compact(&mut self) {
        Self::compact(self);
    }
}

/// Compat: `maxSchemaAppender` and `bucketLimitAppender` in `scrape/target.go`.
fn fit<H: Resolution>(histogram: &mut H, rules: &HistogramRules) -> bool {
    let is_custom = histogram.schema() == CUSTOM_BUCKETS_SCHEMA;
    // Those of conversion have kept some empty buckets on purpose.
    if !is_custom {
        histogram.compact();
    }
    let finest = rules.schema_max.min(SCHEMA_MAX);
    if (finest + 1..=SCHEMA_RESERVED_MAX).contains(&histogram.schema()) {
        histogram.reduce_to(finest);
    }
    let Some(limit) = rules.bucket_count_max else { return true };
    while histogram.bucket_count() > limit {
        if is_custom || histogram.schema() <= SCHEMA_MIN {
            return false;
        }
        histogram.reduce_to(histogram.schema() - 1);
    }
    true
}
