//! Axes: ranges, round tick values and their texts. Pure arithmetic; it draws nothing.

use prom_model::format_float;

/// Ticks aimed at on the value axis.
const VALUE_TICKS: f64 = 6.0;
/// Ticks at most on the time axis: labels such as `12-31 12:00` must not touch.
const TIME_TICKS_MAX: i64 = 9;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Distances between ticks of the time axis that people read as round.
const TIME_STEPS_MS: [i64; 29] = [
    1,
    10,
    100,
    SECOND_MS,
    2 * SECOND_MS,
    5 * SECOND_MS,
    10 * SECOND_MS,
    15 * SECOND_MS,
    30 * SECOND_MS,
    MINUTE_MS,
    2 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
    30 * DAY_MS,
    60 * DAY_MS,
    90 * DAY_MS,
    180 * DAY_MS,
    365 * DAY_MS,
];

/// A mark on an axis: where, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick<T> {
    pub(super) at: T,
    pub(super) text: String,
}

/// The value axis: a range that is finite and not empty, and its ticks.
#[derive(Clone, Debug)]
pub(super) struct ValueScale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<Tick<f64>>,
}

impl ValueScale {
    /// Chooses a range around the finite values from `low` to `high`.
    /// Values are halved first, so that a span over the whole range of floats stays finite.
    pub(super) fn new(low: f64, high: f64) -> Self {
        let (low, high) = widened(low, high);
        let step = round_step((high / 2.0 - low / 2.0) / VALUE_TICKS * 2.0);
        let mut ticks = Vec::new();
        let first = (low / step).ceil();
        let count = ((high / step).floor() - first) as usize;
        for index in 0..=count.min(2 * VALUE_TICKS as usize) {
            let at = (first + index as f64) * step;
            if at.is_finite() {
                ticks.push(Tick { at, text: tick_text(at, step) });
            }
        }
        Self { low, high, ticks }
    }

    /// Where `value` lies, 0 at the low end, 1 at the high end.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
    }
}

/// Ticks of the time axis over `[start_ms, end_ms]`, at round UTC times.
pub(super) fn time_ticks(start_ms: i64, end_ms: i64) -> Vec<Tick<i64>> {
    let span_ms = end_ms.saturating_sub(start_ms).max(1);
    let year_ms = TIME_STEPS_MS[TIME_STEPS_MS.len() - 1];
    let step_ms = TIME_STEPS_MS
        .into_iter()
        .find(|step_ms| span_ms / step_ms < TIME_TICKS_MAX)
        .unwrap_or_else(|| (span_ms / TIME_TICKS_MAX / year_ms + 1).saturating_mul(year_ms));
    let mut at = start_ms.div_euclid(step_ms).saturating_mul(step_ms);
    if at < start_ms {
        at = at.saturating_add(step_ms);
    }
    let mut ticks = Vec::new();
    while at <= end_ms && ticks.len() <= TIME_TICKS_MAX as usize {
        ticks.push(Tick { at, text: time_text(at, step_ms, span_ms) });
        at = at.saturating_add(step_ms);
    }
    ticks
}

/// A range that holds both values, is not empty, and leaves a little air around the lines.
fn widened(low: f64, high: f64) -> (f64, f64) {
    if !(low.is_finite() && high.is_finite()) || low > high {
        return (0.0, 1.0);
    }
    if high / 2.0 - low / 2.0 < f64::MIN_POSITIVE {
        let air = if low.is_normal() { low.abs() / 2.0 } else { 1.0 };
        return ((low - air).max(f64::MIN), (high + air).min(f64::MAX));
    }
    let air = (high / 2.0 - low / 2.0) * 0.08;
    let with_air = (low - air, high + air);
    let low = if low >= 0.0 && with_air.0 < 0.0 { 0.0 } else { with_air.0 };
    (low.max(f64::MIN), with_air.1.min(f64::MAX))
}

/// The step of the 1, 2, 5 series that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    if !rough.is_finite() || rough <= 0.0 {
        return f64::MIN_POSITIVE;
    }
    let magnitude = 10f64.powf(rough.log10().floor());
    if magnitude == 0.0 || !magnitude.is_finite() {
        return rough;
    }
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * magnitude >= rough);
    factor.unwrap_or(10.0) * magnitude
}

/// The text of a tick: as many digits as tell neighbours apart, thousands as `k`, `M`, `G`, `T`.
fn tick_text(value: f64, step: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
    if value == 0.0 || value.abs() < step / 1e6 {
        return "0".to_owned();
    }
    let size = value.abs().max(step);
    if !(1e-4..1e15).contains(&size) {
        return format!("{value:.3e}");
    }
    let (unit, suffix) = UNITS.into_iter().find(|(unit, _)| size >= *unit).unwrap_or((1.0, ""));
    let digits = -((step / unit).log10().floor()) + f64::from((step / unit).log10().fract() != 0.0);
    let text = format!("{:.*}", digits.clamp(0.0, 9.0) as usize, value / unit);
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{suffix}")
}

fn time_text(at_ms: i64, step_ms: i64, span_ms: i64) -> String {
    let format = match step_ms {
        ..SECOND_MS => "%H:%M:%S%.3f",
        SECOND_MS..MINUTE_MS => "%H:%M:%S",
        MINUTE_MS..DAY_MS if span_ms <= DAY_MS => "%H:%M",
        MINUTE_MS..DAY_MS => "%m-%d %H:%M",
        _ => "%Y-%m-%d",
    };
    utc_text(at_ms, format)
}

/// A UTC time; one that no calendar holds is printed as seconds.
pub(super) fn utc_text(at_ms: i64, format: &str) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(time) => time.strftime(format).to_string(),
        Err(_) => format_float(at_ms as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_values(low: f64, high: f64, expected: &str) {
        let scale = ValueScale::new(low, high);
        assert!(scale.low <= low && scale.high >= high, "{low}..{high}");
        assert!(scale.low.is_finite() && scale.high.is_finite() && scale.low < scale.high);
        for value in [low, high] {
            assert!((0.0..=1.0).contains(&scale.fraction(value)), "{value} in {low}..{high}");
        }
        let texts: Vec<_> = scale.ticks.into_iter().map(|tick| tick.text).collect();
        assert_eq!(texts.join(" "), expected, "{low}..{high}");
    }

    #[test]
    fn value_ticks_are_round_and_tell_apart() {
        check_values(0.0, 1.0, "0 0.2 0.4 0.6 0.8 1");
        check_values(0.0, 0.0, "-1 -0.5 0 0.5 1");
        check_values(5.0, 5.0, "3 4 5 6 7");
        check_values(-3.0, 8.0, "-2 0 2 4 6 8");
        check_values(999.0, 1001.0, "999 999.5 1k 1.0005k 1.001k");
        check_values(0.0, 123_456.0, "0 50k 100k");
        check_values(1e6, 5e6, "1M 2M 3M 4M 5M");
        check_values(0.0, 2e-7, "0 5.000e-8 1.000e-7 1.500e-7 2.000e-7");
    }

    #[test]
    fn extreme_values_have_a_finite_axis() {
        for (low, high) in [
            (f64::MIN, f64::MAX),
            (f64::MAX, f64::MAX),
            (f64::MIN, f64::MIN),
            (0.0, f64::MIN_POSITIVE / 8.0),
            (1e300, 1.0000001e300),
        ] {
            let scale = ValueScale::new(low, high);
            assert!(scale.low.is_finite() && scale.high.is_finite(), "{low} {high}");
            assert!(scale.ticks.len() <= 13, "{low} {high}");
            assert!(scale.ticks.iter().all(|tick| tick.at.is_finite()));
        }
    }

    fn check_times(start_ms: i64, end_ms: i64, expected: &[&str]) {
        let texts: Vec<_> =
            time_ticks(start_ms, end_ms).into_iter().map(|tick| tick.text).collect();
        assert_eq!(texts, expected, "{start_ms}..{end_ms}");
    }

    #[test]
    fn time_ticks_are_round_utc_times() {
        check_times(0, 0, &["00:00:00.000"]);
        check_times(
            500,
            8_500,
            &[
                "00:00:01", "00:00:02", "00:00:03", "00:00:04", "00:00:05", "00:00:06", "00:00:07",
                "00:00:08",
            ],
        );
        check_times(0, HOUR_MS, &["00:00", "00:10", "00:20", "00:30", "00:40", "00:50", "01:00"]);
        check_times(
            0,
            2 * DAY_MS,
            &[
                "01-01 00:00",
                "01-01 06:00",
                "01-01 12:00",
                "01-01 18:00",
                "01-02 00:00",
                "01-02 06:00",
                "01-02 12:00",
                "01-02 18:00",
                "01-03 00:00",
            ],
        );
        check_times(
            -DAY_MS * 8,
            0,
            &[
                "1969-12-24",
                "1969-12-25",
                "1969-12-26",
                "1969-12-27",
                "1969-12-28",
                "1969-12-29",
                "1969-12-30",
                "1969-12-31",
                "1970-01-01",
            ],
        );
    }

    #[test]
    fn any_time_range_has_few_ticks() {
        for (start, end) in [(i64::MIN, i64::MAX), (i64::MAX - 1, i64::MAX), (5, 1)] {
            assert!(time_ticks(start, end).len() <= 10);
        }
    }
}
