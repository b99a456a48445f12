//! One value at one instant, and the bit pattern that marks the end of a series.
//! Histograms are not here.

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Bits of the staleness marker: one exact NaN. Ordinary NaN is `0x7ff8000000000001`.
/// Compat: Prometheus `model/value/value.go`, `StaleNaN`.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// A float value and its time in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub timestamp_ms: i64,
    pub value: f64,
}

/// The staleness marker as a float.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker: compared by bits, as no other NaN is one.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
