//! Histograms as text: as label values show them, and as test scripts write them.

use std::fmt;

use super::{CounterResetHint, FloatHistogram};
use crate::format_float_g;

/// Empty buckets that are written between others.
const TEST_GAP_MAX: u32 = 4096;

/// `{count:3, sum:2.5, (1,2]:3}`; empty buckets are left out.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [count, sum] = [self.count, self.sum].map(format_float_g);
        write!(f, "{{count:{count}, sum:{sum}")?;
        let below: Vec<_> = self.negative_iter().filter(|bucket| bucket.count != 0.0).collect();
        below.iter().rev().try_for_each(|bucket| write!(f, ", {bucket}"))?;
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for bucket in self.positive_iter().filter(|bucket| bucket.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

impl FloatHistogram {
    /// As test scripts write it: `{{schema:1 count:3 sum:2.5 buckets:[3]}}`.
    pub fn to_test_text(&self) -> String {
        let mut whole = self.clone();
        whole.compact_to_gaps(TEST_GAP_MAX);
        let mut parts = Vec::new();
        let mut number = |key: &str, value: f64| {
            if value != 0.0 {
                parts.push(format!("{key}:{}", format_float_g(value)));
            }
        };
        number("schema", f64::from(whole.schema));
        number("count", whole.count);
        number("sum", whole.sum);
        number("z_bucket", whole.zero_count);
        number("z_bucket_w", whole.zero_threshold);
        if whole.has_custom_buckets() {
            parts.push(format!("custom_values:{}", list(&whole.custom_values)));
        }
        match whole.counter_reset_hint {
            CounterResetHint::Unknown => {}
            CounterResetHint::CounterReset => parts.push("counter_reset_hint:reset".to_owned()),
            CounterResetHint::NotCounterReset => {
                parts.push("counter_reset_hint:not_reset".to_owned());
            }
            CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        for (is_positive, prefix) in [(true, ""), (false, "n_")] {
            let (spans, counts) = whole.raw_side(is_positive);
            if let Some(span) = spans.first().filter(|span| span.offset != 0) {
                parts.push(format!("{prefix}offset:{}", span.offset));
            }
            if !counts.is_empty() {
                parts.push(format!("{prefix}buckets:{}", list(counts)));
            }
        }
        format!("{{{{{}}}}}", parts.join(" "))
    }
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| format_float_g(*value)).collect();
    format!("[{}]", values.join(" "))
}
