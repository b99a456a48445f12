//! Equality of data, bit by bit; and how much of a limit a histogram takes.

use super::{FloatHistogram, side::same_layout};

/// Bytes of the reference's histogram without its lists, and of one sample.
const REFERENCE_SIZE_BYTES: usize = 168;
const SAMPLE_SIZE_BYTES: usize = 16;

impl FloatHistogram {
    /// Whether both hold the same, hints aside: counts by their bits, empty buckets included.
    /// Compat: Prometheus `model/histogram/float_histogram.go`, `Equals`.
    pub fn is_same_data(&self, other: &Self) -> bool {
        self.schema == other.schema
            && same_bits(
                &[self.count, self.sum, self.zero_count],
                &[other.count, other.sum, other.zero_count],
            )
            && (!self.has_custom_buckets() || *self.custom_values == *other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && same_layout(&self.negative_spans, &other.negative_spans)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && same_layout(&self.positive_spans, &other.positive_spans)
            && same_bits(&self.positive_buckets, &other.positive_buckets)
    }

    /// How many samples it counts as where samples are limited.
    /// Compat: Prometheus `promql/value.go`, `HPoint.size`.
    pub fn counted_samples(&self) -> u64 {
        let numbers = self.positive_spans.len()
            + self.negative_spans.len()
            + self.positive_buckets.len()
            + self.negative_buckets.len()
            + self.custom_values.len();
        ((REFERENCE_SIZE_BYTES + numbers * 8 + 8) / SAMPLE_SIZE_BYTES) as u64
    }

    /// Bytes that it takes besides what it shares with others.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + (self.positive_buckets.len() + self.negative_buckets.len()) * 8
    }
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
