//! Values of parameters: times, durations, limits, in Prometheus's spellings and with its error texts.
//! Compat: Prometheus `web/api/v1/api.go`.

use prom_model::parse_duration;

/// The largest time Prometheus's API can tell, in milliseconds.
pub(crate) const TIME_MAX_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;
/// The smallest time Prometheus's API can tell, in milliseconds.
pub(crate) const TIME_MIN_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;

/// Spellings of the two, which calendars cannot parse.
const TIME_MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";
const TIME_MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";

/// A time as RFC 3339 or as seconds since the Unix epoch with a fraction, in milliseconds.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    let refused = || format!("cannot parse {text:?} to a valid timestamp");
    if let Some(seconds) = prom_model::parse_float(text) {
        let whole = seconds.trunc();
        // Through whole nanoseconds, as the reference does: the last bit decides the millisecond.
        let thousandths = ((seconds - whole) * 1000.0).round() / 1000.0;
        let nanoseconds = (thousandths * 1e9) as i64;
        let is_tellable = (TIME_MIN_MS as f64 / 1e3..=TIME_MAX_MS as f64 / 1e3).contains(&whole);
        let ms = (whole as i64).checked_mul(1000).filter(|_| is_tellable).ok_or_else(refused)?;
        return Ok(ms + nanoseconds.div_euclid(1_000_000));
    }
    match text {
        TIME_MIN_TEXT => Ok(TIME_MIN_MS),
        TIME_MAX_TEXT => Ok(TIME_MAX_MS),
        _ => {
            let time: jiff::Timestamp = text.parse().map_err(|_| refused())?;
            Ok(time.as_nanosecond().div_euclid(1_000_000) as i64)
        }
    }
}

/// A duration as `1h30m` or as seconds with a fraction, in milliseconds.
pub(crate) fn parse_duration_ms(text: &str) -> Result<i64, String> {
    let refused = || format!("cannot parse {text:?} to a valid duration");
    if let Some(seconds) = prom_model::parse_float(text) {
        let nanoseconds = seconds * 1e9;
        if nanoseconds > i64::MAX as f64 || nanoseconds < i64::MIN as f64 {
            return Err(format!("{}. It overflows int64", refused()));
        }
        return Ok((nanoseconds as i64).div_euclid(1_000_000));
    }
    parse_duration(text).map_err(|_| refused())
}

/// How many results at most; 0 for all.
pub(crate) fn parse_limit(text: &str) -> Result<usize, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let limit = parse_integer(text)?;
    usize::try_from(limit).map_err(|_| "limit must be non-negative".to_owned())
}

/// A whole number. Compat: Go `strconv.Atoi`.
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let reason = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {text:?}: {reason}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + std::fmt::Debug>(
        parse: impl Fn(&str) -> Result<T, String>,
        cases: &[(&str, Result<T, &str>)],
    ) {
        for (text, expected) in cases {
            assert_eq!(
                parse(text).as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|e| *e),
                "{text}"
            );
        }
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        check(
            parse_time,
            &[
                ("0", Ok(0)),
                ("1435781451.781", Ok(1_435_781_451_781)),
                ("1.0005", Ok(1_000)),
                ("0.0005", Ok(1)),
                ("-0.5", Ok(-500)),
                ("1e3", Ok(1_000_000)),
                ("2015-06-02T13:21:14.103Z", Ok(1_433_251_274_103)),
                ("2015-06-02T15:21:14.103+02:00", Ok(1_433_251_274_103)),
                (TIME_MIN_TEXT, Ok(TIME_MIN_MS)),
                (TIME_MAX_TEXT, Ok(TIME_MAX_MS)),
                ("", Err("cannot parse \"\" to a valid timestamp")),
                ("abc", Err("cannot parse \"abc\" to a valid timestamp")),
                ("30s", Err("cannot parse \"30s\" to a valid timestamp")),
                ("1e30", Err("cannot parse \"1e30\" to a valid timestamp")),
                ("NaN", Err("cannot parse \"NaN\" to a valid timestamp")),
                ("+Inf", Err("cannot parse \"+Inf\" to a valid timestamp")),
            ],
        );
    }

    #[test]
    fn durations_are_seconds_or_prometheus_durations() {
        check(
            parse_duration_ms,
            &[
                ("1", Ok(1_000)),
                ("0.5", Ok(500)),
                ("-1", Ok(-1_000)),
                ("5m", Ok(300_000)),
                ("1h30m", Ok(5_400_000)),
                ("NaN", Ok(0)),
                ("", Err("cannot parse \"\" to a valid duration")),
                ("1x", Err("cannot parse \"1x\" to a valid duration")),
                ("1e30", Err("cannot parse \"1e30\" to a valid duration. It overflows int64")),
            ],
        );
    }

    #[test]
    fn limits_are_whole_numbers() {
        check(
            parse_limit,
            &[
                ("", Ok(0)),
                ("7", Ok(7)),
                ("-1", Err("limit must be non-negative")),
                ("x", Err("strconv.Atoi: parsing \"x\": invalid syntax")),
                (
                    "99999999999999999999",
                    Err("strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
                ),
            ],
        );
    }
}
