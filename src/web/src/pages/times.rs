//! Times and spans as people read them.

use std::time::Duration;

use prom_model::format_duration;

use super::scale::utc_text;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// How long ago, coarser the longer it is: `250ms`, `3.2s`, `4m 10s`, `2d 3h`.
pub(super) fn ago_text(at_ms: i64, now_ms: i64) -> String {
    let text = lasted_text(now_ms.saturating_sub(at_ms).unsigned_abs());
    if at_ms > now_ms { format!("in {text}") } else { format!("{text} ago") }
}

/// A length of time, in its two largest units.
pub(super) fn lasted_text(ms: u64) -> String {
    match ms {
        0..SECOND_MS => format!("{ms}ms"),
        SECOND_MS..MINUTE_MS => format!("{:.1}s", ms as f64 / 1e3),
        MINUTE_MS..DAY_MS => {
            let seconds = ms / 1000;
            match seconds / 3600 {
                0 => format!("{}m {}s", seconds / 60, seconds % 60),
                hours => format!("{hours}h {}m", seconds / 60 % 60),
            }
        }
        _ => {
            let hours = ms / 3_600_000;
            format!("{}d {}h", hours / 24, hours % 24)
        }
    }
}

/// A short span with the unit that fits: `1.234ms`, `2.100s`.
pub(super) fn span_text(span: Duration) -> String {
    match span.as_secs_f64() {
        0.0 => "-".to_owned(),
        seconds if seconds < 1e-3 => format!("{:.0}us", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1}ms", seconds * 1e3),
        seconds => format!("{seconds:.2}s"),
    }
}

/// A moment with its distance from now.
pub(super) fn moment_text(at_ms: i64, now_ms: i64) -> String {
    format!("{} ({})", utc_text(at_ms, "%Y-%m-%d %H:%M:%S UTC"), ago_text(at_ms, now_ms))
}

/// A limit of time in milliseconds.
pub(super) fn limit_text(ms: u64) -> String {
    format_duration(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_readable() {
        for (ms, expected) in [
            (0, "0ms"),
            (3_249, "3.2s"),
            (59_999, "60.0s"),
            (61_000, "1m 1s"),
            (7_300_000, "2h 1m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(lasted_text(ms), expected);
        }
        assert_eq!(ago_text(1_000, 4_000), "3.0s ago");
        assert_eq!(ago_text(4_000, 1_000), "in 3.0s");
        assert_eq!(span_text(Duration::from_micros(1_500)), "1.5ms");
        assert_eq!(span_text(Duration::ZERO), "-");
    }
}
