//! One value at one instant, and the bit pattern that marks the end of a series.
//! Histograms are in `histogram`.

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";
/// Labels that may tell type and unit of the metric.
pub const METRIC_TYPE: &str = "__type__";
pub const METRIC_UNIT: &str = "__unit__";

/// Bits of the NaN that scraped values get, whatever their NaN was.
/// Compat: Prometheus `model/value/value.go`, `NormalNaN`.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Bits of the staleness marker: one exact NaN.
/// Compat: Prometheus `model/value/value.go`, `StaleNaN`.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// A float value and its time in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub timestamp_ms: i64,
    pub value: f64,
}

/// The ordinary NaN as a float.
pub fn normal_nan() -> f64 {
    f64::from_bits(NORMAL_NAN_BITS)
}

/// The staleness marker as a float.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker: compared by bits, as no other NaN is one.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
