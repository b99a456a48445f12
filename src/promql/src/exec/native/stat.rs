//! Numbers that a native histogram has.
//! Compat: Prometheus `promql/functions.go`, `histogramVariance` and its neighbours.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram, HistogramBucket, KahanSum};

use crate::{exec::row::SharedHistogram, plan::HistogramStat};

/// Count and sum alone. As resets cannot be found without buckets, the hint tells of them: `before` is the
/// histogram that was read before.
/// Compat: Prometheus `promql/histogram_stats_iterator.go`.
pub(in crate::exec) fn without_buckets(
    histogram: &FloatHistogram,
    before: Option<&FloatHistogram>,
) -> SharedHistogram {
    let counter_reset_hint = match (histogram.counter_reset_hint, before) {
        (CounterResetHint::Unknown, Some(before)) if histogram.is_reset_since(before) => {
            CounterResetHint::CounterReset
        }
        (CounterResetHint::Unknown, Some(_)) => CounterResetHint::NotCounterReset,
        (hint, _) => hint,
    };
    Arc::new(FloatHistogram {
        counter_reset_hint,
        schema: histogram.schema,
        count: histogram.count,
        sum: histogram.sum,
        ..FloatHistogram::default()
    })
}

pub(in crate::exec) fn stat(histogram: &FloatHistogram, wanted: HistogramStat) -> f64 {
    match wanted {
        HistogramStat::Count => histogram.count,
        HistogramStat::Sum => histogram.sum,
        HistogramStat::Avg => histogram.sum / histogram.count,
        HistogramStat::Stdvar => variance(histogram),
        HistogramStat::Stddev => variance(histogram).sqrt(),
    }
}

/// Each observation is taken to lie in the middle of its bucket.
fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let is_linear = histogram.has_custom_buckets();
    let mut squares = KahanSum::default();
    for bucket in histogram.all_iter().filter(|bucket| bucket.count != 0.0) {
        let delta = middle(&bucket, is_linear) - mean;
        squares.add(bucket.count * delta * delta);
    }
    squares.total() / histogram.count
}

fn middle(bucket: &HistogramBucket, is_linear: bool) -> f64 {
    if is_linear {
        (bucket.upper + bucket.lower) / 2.0
    } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        0.0
    } else {
        let middle = (bucket.upper * bucket.lower).sqrt();
        if bucket.upper < 0.0 { -middle } else { middle }
    }
}
