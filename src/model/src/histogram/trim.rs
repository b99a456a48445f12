//! Keeping the part of a histogram below or above a value; what a bucket holds there is estimated.
//! Compat: Prometheus `model/histogram/float_histogram.go`, `TrimBuckets`.

use super::{FloatHistogram, HistogramBucket};

/// Which part stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimPart {
    Below,
    Above,
}

/// What stays of a bucket, and the value that its observations are taken to have.
#[derive(Clone, Copy)]
struct Kept {
    count: f64,
    middle: f64,
}

/// How values lie within the buckets of one sign.
#[derive(Clone, Copy)]
struct Scale {
    is_positive: bool,
    is_linear: bool,
}

impl FloatHistogram {
    /// Keeps the observations below or above `value`. Count and sum are those of what stays; where all
    /// stays, nothing changes.
    pub fn trim(&mut self, value: f64, part: TrimPart) {
        let mut total = Kept { count: 0.0, middle: 0.0 };
        let mut is_trimmed = false;
        let is_linear = self.has_custom_buckets();
        let mut has_observations = [false; 2];
        for (side, is_positive) in [true, false].into_iter().enumerate() {
            let scale = Scale { is_positive, is_linear };
            let kept: Vec<Option<Kept>> = if is_positive {
                self.positive_iter().map(|bucket| kept_of(&bucket, value, part, scale)).collect()
            } else {
                self.negative_iter().map(|bucket| kept_of(&bucket, value, part, scale)).collect()
            };
            let counts =
                if is_positive { &mut self.positive_buckets } else { &mut self.negative_buckets };
            for (count, kept) in counts.iter_mut().zip(kept) {
                // Empty buckets have no say.
                let Some(kept) = kept else { continue };
                has_observations[side] = true;
                total.count += kept.count;
                total.middle += kept.middle * kept.count;
                is_trimmed |= *count != kept.count;
                *count = kept.count;
            }
        }
        if self.zero_count > 0.0 {
            let kept = kept_of_zero(&self.zero_bucket(), value, part, has_observations);
            is_trimmed |= self.zero_count != kept.count;
            self.zero_count = kept.count;
            total.middle += kept.middle * kept.count;
            total.count += kept.count;
        }
        if is_trimmed {
            (self.count, self.sum) = (total.count, total.middle);
            self.compact();
        }
    }
}

fn kept_of(bucket: &HistogramBucket, value: f64, part: TrimPart, scale: Scale) -> Option<Kept> {
    if bucket.count == 0.0 {
        return None;
    }
    let (is_whole, is_cut) = match part {
        TrimPart::Below => (bucket.upper <= value, bucket.lower < value),
        TrimPart::Above => (bucket.lower >= value, bucket.upper > value),
    };
    Some(if is_whole {
        Kept { count: bucket.count, middle: scale.middle(bucket.lower, bucket.upper) }
    } else if !is_cut {
        Kept { count: 0.0, middle: 0.0 }
    } else if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        kept_of_endless(bucket, value, part)
    } else {
        let below = bucket.count * bucket.fraction_below(value, scale.is_linear);
        match part {
            TrimPart::Below => Kept { count: below, middle: scale.middle(bucket.lower, value) },
            TrimPart::Above => {
                Kept { count: bucket.count - below, middle: scale.middle(value, bucket.upper) }
            }
        }
    })
}

/// Of a bucket without an end nobody knows how its observations lie.
fn kept_of_endless(bucket: &HistogramBucket, value: f64, part: TrimPart) -> Kept {
    let finite = |bound: f64| if bound.is_infinite() { 0.0 } else { bound };
    let (lower, upper, count) = (bucket.lower, bucket.upper, bucket.count);
    if lower != f64::NEG_INFINITY {
        return match part {
            TrimPart::Above if value >= lower => Kept { count, middle: value },
            _ => Kept { count: 0.0, middle: finite(lower) },
        };
    }
    // Where it ends above zero, it is taken to begin there.
    let begins_at_zero = upper > 0.0 && upper != f64::INFINITY;
    match part {
        TrimPart::Below if value >= upper => Kept { count, middle: 0.0 },
        TrimPart::Below if value > 0.0 && begins_at_zero => {
            Kept { count: count * value / upper, middle: value / 2.0 }
        }
        TrimPart::Below if upper <= 0.0 => Kept { count, middle: value },
        TrimPart::Above if value <= lower => Kept { count, middle: 0.0 },
        TrimPart::Above if value >= 0.0 && upper > value && begins_at_zero => {
            Kept { count: count * (1.0 - value / upper), middle: (value + upper) / 2.0 }
        }
        _ => Kept { count: 0.0, middle: finite(upper) },
    }
}

/// The zero bucket lies on one side of zero where the other has no observations.
fn kept_of_zero(
    bucket: &HistogramBucket,
    value: f64,
    part: TrimPart,
    [has_positive, has_negative]: [bool; 2],
) -> Kept {
    let lower = if has_positive && !has_negative { 0.0 } else { bucket.lower };
    let upper = if has_negative && !has_positive { 0.0 } else { bucket.upper };
    let all = Kept { count: bucket.count, middle: (lower + upper) / 2.0 };
    let none = Kept { count: 0.0, middle: 0.0 };
    match part {
        TrimPart::Below if value <= lower => none,
        TrimPart::Below if value >= upper => all,
        TrimPart::Below => Kept {
            count: bucket.count * ((value - lower) / (upper - lower)),
            middle: (lower + value) / 2.0,
        },
        TrimPart::Above if value <= lower => all,
        TrimPart::Above if value >= upper => none,
        TrimPart::Above => Kept {
            count: bucket.count * ((upper - value) / (upper - lower)),
            middle: (value + upper) / 2.0,
        },
    }
}

impl Scale {
    /// The value in the middle between two others.
    fn middle(self, lower: f64, upper: f64) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.is_linear => (lower + upper) / 2.0,
            (false, false) => {
                let middle = (lower * upper).abs().sqrt();
                if self.is_positive { middle } else { -middle }
            }
        }
    }
}
