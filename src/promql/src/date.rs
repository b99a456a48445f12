//! Dates in UTC from seconds since the epoch, by the proleptic Gregorian calendar.

use crate::plan::DateFunction;

const SECONDS_PER_DAY: i64 = 86_400;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Day {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

/// The part of the date that `function` asks for, at `seconds` cut to a whole number.
pub(crate) fn date_part(function: DateFunction, seconds: f64) -> f64 {
    let seconds = go_seconds(seconds);
    let days = seconds.div_euclid(i128::from(SECONDS_PER_DAY)) as i64;
    let second_of_day = seconds.rem_euclid(i128::from(SECONDS_PER_DAY)) as i64;
    let part = match function {
        DateFunction::Minute => second_of_day / 60 % 60,
        DateFunction::Hour => second_of_day / 3600,
        // The epoch was a Thursday.
        DateFunction::DayOfWeek => (days + 4).rem_euclid(7),
        DateFunction::DayOfMonth => Day::of(days).day,
        DateFunction::DayOfYear => days - days_since_epoch(Day::of(days).year, 1) + 1,
        DateFunction::DaysInMonth => {
            let Day { year, month, .. } = Day::of(days);
            let (next_year, next_month) =
                if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            days_since_epoch(next_year, next_month) - days_since_epoch(year, month)
        }
        DateFunction::Month => Day::of(days).month,
        DateFunction::Year => Day::of(days).year,
    };
    part as f64
}

/// `2006-01-02T15:04:05Z`.
pub(crate) fn format_rfc3339(time_ms: i64) -> String {
    let seconds = time_ms / 1000;
    let Day { year, month, day } = Day::of(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

impl Day {
    /// The day `days` after 1970-01-01. Years are counted from March, so that the leap day comes last.
    fn of(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }
}

/// Days from 1970-01-01 to the first of a month.
fn days_since_epoch(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Seconds as Go's calendar sees them on amd64: what does not fit an integer becomes the smallest one, and
/// times before the first year that it knows come round from the other end.
/// Compat: Go `time.Unix` and its absolute years.
fn go_seconds(seconds: f64) -> i128 {
    /// From Go's first year to 1970.
    const BEFORE_EPOCH: i128 = 9_223_372_028_715_321_600;
    let is_in_range = (-(2f64.powi(63))..2f64.powi(63)).contains(&seconds);
    let seconds = i128::from(if is_in_range { seconds as i64 } else { i64::MIN });
    if seconds < -BEFORE_EPOCH { seconds + (1 << 64) } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates() {
        let check = |function, seconds: f64, expected: f64| {
            assert_eq!(date_part(function, seconds), expected, "{function:?} {seconds}");
        };
        check(DateFunction::Year, 0.0, 1970.0);
        // As the reference answers on amd64.
        for beyond in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            check(DateFunction::Minute, beyond, 30.0);
            check(DateFunction::Hour, beyond, 15.0);
        }
        check(DateFunction::DayOfWeek, 0.0, 4.0);
        check(DateFunction::Hour, 3600.0 * 25.0, 1.0);
        check(DateFunction::Minute, 3661.9, 1.0);
        // 1996-02-29 and the end of that month.
        check(DateFunction::DaysInMonth, 825_552_000.0, 29.0);
        check(DateFunction::DayOfMonth, 825_552_000.0, 29.0);
        check(DateFunction::DayOfYear, 825_552_000.0, 60.0);
        check(DateFunction::Month, -1.0, 12.0);
        check(DateFunction::Year, -1.0, 1969.0);
        check(DateFunction::DayOfWeek, -86_400.0, 3.0);
        check(DateFunction::DaysInMonth, -1.0, 31.0);
    }

    #[test]
    fn times_as_text() {
        assert_eq!(format_rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(1_712_345_678_901), "2024-04-05T19:34:38Z");
    }
}
