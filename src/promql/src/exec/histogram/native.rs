//! Quantiles and fractions of one native histogram.
//! Compat: Prometheus `promql/quantile.go`, `HistogramQuantile` and `HistogramFraction`.

use prom_model::{FloatHistogram, HistogramBucket};

use crate::{annotation::Annotation, syntax::Span};

/// The quantile, and what is worth telling of it.
pub(super) fn native_quantile(
    quantile: f64,
    histogram: &FloatHistogram,
    name: &str,
    span: Span,
) -> (f64, Option<Annotation>) {
    if quantile < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if quantile > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || quantile.is_nan() {
        return (f64::NAN, None);
    }
    // Observations that are no number are in no bucket; they count as the largest of all.
    let has_nans = histogram.sum.is_nan();
    let is_upward = has_nans || quantile < 0.5;
    let mut found = Found { bucket: EMPTY, seen: 0.0, rest: 0.0, last: None };
    let mut rank = if is_upward { quantile } else { 1.0 - quantile } * histogram.count;
    if is_upward {
        found.search(histogram.all_iter(), rank, has_nans);
    } else {
        found.search(histogram.all_iter_down(), rank, false);
    }
    let Found { mut bucket, seen, rest, last } = found;
    if histogram.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        bucket = one_sided(bucket, histogram);
    }
    let count = if seen > histogram.count { histogram.count } else { seen };
    if count < rank {
        if has_nans {
            return (f64::NAN, Some(Annotation::quantile_of_nans(name, span)));
        }
        return (bucket.upper, None);
    }
    if is_upward {
        rank -= count - bucket.count;
    } else {
        rank = count - rank;
    }
    let is_skewed = has_nans && count + rest < histogram.count;
    let remark = is_skewed.then(|| Annotation::quantile_skewed_by_nans(name, span));
    // Having counted the rest, the reference goes on with the last bucket it saw.
    let bucket = last.unwrap_or(bucket);
    (interpolated(&bucket, rank / bucket.count, histogram.has_custom_buckets()), remark)
}

const EMPTY: HistogramBucket = HistogramBucket {
    lower: 0.0,
    upper: 0.0,
    is_lower_inclusive: false,
    is_upper_inclusive: false,
    count: 0.0,
};

/// The bucket that holds a rank.
struct Found {
    bucket: HistogramBucket,
    /// Observations up to its end.
    seen: f64,
    /// Observations behind it, where they are asked for.
    rest: f64,
    /// The last bucket behind it.
    last: Option<HistogramBucket>,
}

impl Found {
    fn search(
        &mut self,
        mut buckets: impl Iterator<Item = HistogramBucket>,
        rank: f64,
        wants_rest: bool,
    ) {
        for bucket in buckets.by_ref() {
            self.bucket = bucket;
            if bucket.count == 0.0 {
                continue;
            }
            self.seen += bucket.count;
            if self.seen >= rank {
                break;
            }
        }
        if wants_rest {
            for bucket in buckets {
                self.rest += bucket.count;
                self.last = Some(bucket);
            }
        }
    }
}

/// The zero bucket lies on the side of zero on which there are buckets.
fn one_sided(mut bucket: HistogramBucket, histogram: &FloatHistogram) -> HistogramBucket {
    let has_negative = !histogram.negative_buckets.is_empty();
    let has_positive = !histogram.positive_buckets.is_empty();
    match (has_negative, has_positive) {
        (false, true) => bucket.lower = 0.0,
        (true, false) => bucket.upper = 0.0,
        _ => {}
    }
    bucket
}

/// The value at a share of a bucket: on a logarithmic scale, unless zero or custom bounds are near.
fn interpolated(bucket: &HistogramBucket, fraction: f64, is_custom: bool) -> f64 {
    let (lower, upper) = (bucket.lower, bucket.upper);
    if is_custom || lower <= 0.0 && upper >= 0.0 {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        return (log_lower + (log_upper - log_lower) * fraction).exp2();
    }
    -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
}

/// The share of observations between two values, and what is worth telling of it.
pub(super) fn native_fraction(
    (lower, upper): (f64, f64),
    histogram: &FloatHistogram,
    name: &str,
    span: Span,
) -> (f64, Option<Annotation>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let is_custom = histogram.has_custom_buckets();
    let (mut rank, mut count) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut buckets = histogram.all_iter();
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let holds_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if holds_zero {
            bucket = one_sided(bucket, histogram);
        }
        let is_linear = is_custom || holds_zero;
        for (value, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_none() {
                *found = rank_of(value, &bucket, rank, is_linear);
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let mut remark = None;
    if histogram.sum.is_nan() {
        count = buckets.fold(count, |sum, bucket| sum + bucket.count);
        remark = (count < histogram.count).then(|| Annotation::fraction_of_nans(name, span));
    } else {
        count = histogram.count;
    }
    let [lower_rank, upper_rank] = [lower_rank, upper_rank].map(|rank| match rank {
        Some(rank) if rank <= count || rank.is_nan() => rank,
        _ => count,
    });
    ((upper_rank - lower_rank) / histogram.count, remark)
}

/// How many observations are below `value`, if that lies before the end of the bucket.
fn rank_of(value: f64, bucket: &HistogramBucket, rank: f64, is_linear: bool) -> Option<f64> {
    if bucket.lower >= value {
        return Some(rank);
    }
    if !(bucket.lower < value && bucket.upper > value) {
        return None;
    }
    if is_linear && bucket.lower == f64::NEG_INFINITY {
        return Some(bucket.count);
    }
    Some(rank + bucket.count * bucket.fraction_below(value, is_linear))
}
