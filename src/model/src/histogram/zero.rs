//! Zero buckets of different widths: the narrower one grows and takes in what it reaches.
//! Compat: Prometheus `model/histogram/float_histogram.go`, `reconcileZeroBuckets` and
//! `zeroCountForLargerThreshold`.

use super::{FloatHistogram, HistogramBucket};
use crate::KahanSum;

/// What a zero bucket of a wider threshold holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widened {
    pub(super) count: KahanSum,
    /// At least what was asked for: a populated bucket is taken in whole.
    pub(super) threshold: f64,
}

impl FloatHistogram {
    /// The zero bucket if it reached to `threshold`, which is not below its own.
    pub(super) fn widened(&self, mut threshold: f64, compensation: Option<&Self>) -> Widened {
        let own_lost = compensation.map_or(0.0, |histogram| histogram.zero_count);
        let mut count = KahanSum { sum: self.zero_count, compensation: own_lost };
        if threshold == self.zero_threshold {
            return Widened { count, threshold };
        }
        loop {
            count.sum = self.zero_count;
            let lost = compensation.map(|histogram| &histogram.positive_buckets[..]);
            let reach = take_in(self.positive_iter(), lost, threshold, &mut count);
            threshold = reach.unwrap_or(threshold);
            let lost = compensation.map(|histogram| &histogram.negative_buckets[..]);
            match take_in(self.negative_iter().map(mirrored), lost, threshold, &mut count) {
                // The positive side has to reach further, too.
                Some(reach) => threshold = reach,
                None => return Widened { count, threshold },
            }
        }
    }

    /// Makes both zero buckets equally wide; returns what the one of `other` holds then, and what
    /// rounding took from it.
    pub(super) fn reconcile_zero_buckets(
        &mut self,
        other: &Self,
        mut compensation: Option<&mut Self>,
    ) -> (f64, f64) {
        let (mut count, mut lost) = (other.zero_count, 0.0);
        let mut threshold = other.zero_threshold;
        loop {
            if self.zero_threshold > threshold {
                let widened = other.widened(self.zero_threshold, None);
                (count, lost) = (widened.count.sum, widened.count.compensation);
                threshold = widened.threshold;
            }
            if threshold > self.zero_threshold {
                let widened = self.widened(threshold, compensation.as_deref());
                (self.zero_count, self.zero_threshold) = (widened.count.sum, widened.threshold);
                if let Some(histogram) = compensation.as_deref_mut() {
                    histogram.zero_count = widened.count.compensation;
                }
                self.clear_within_zero(compensation.as_deref_mut());
            }
            // Where a threshold is no number, neither is above the other.
            if !(self.zero_threshold > threshold || threshold > self.zero_threshold) {
                return (count, lost);
            }
        }
    }

    /// Empties and removes the buckets that the zero bucket has taken in.
    fn clear_within_zero(&mut self, mut compensation: Option<&mut Self>) {
        let threshold = self.zero_threshold;
        let inside = [
            self.positive_iter().take_while(|bucket| bucket.lower < threshold).count(),
            self.negative_iter().take_while(|bucket| bucket.upper > -threshold).count(),
        ];
        for (is_positive, inside) in [true, false].into_iter().zip(inside) {
            let mut side = self.take_side(is_positive, compensation.as_deref_mut());
            side.counts.iter_mut().take(inside).for_each(|count| *count = 0.0);
            side.compensations.iter_mut().take(inside).for_each(|count| *count = 0.0);
            side.compact(0);
            self.put_side(is_positive, side, compensation.as_deref_mut());
        }
    }
}

/// Adds the buckets that begin below `threshold`; returns the end of the last one if that is populated
/// and reaches further.
fn take_in(
    buckets: impl Iterator<Item = HistogramBucket>,
    lost: Option<&[f64]>,
    threshold: f64,
    count: &mut KahanSum,
) -> Option<f64> {
    for (at, bucket) in buckets.enumerate() {
        if bucket.lower >= threshold {
            return None;
        }
        count.add(bucket.count);
        if let Some(lost) = lost {
            count.add(lost.get(at).copied().unwrap_or_default());
        }
        if bucket.upper > threshold {
            return (bucket.count != 0.0).then_some(bucket.upper);
        }
    }
    None
}

fn mirrored(bucket: HistogramBucket) -> HistogramBucket {
    HistogramBucket { lower: -bucket.upper, upper: -bucket.lower, ..bucket }
}
