//! Arithmetic in the order of the reference.
//! No fused multiply-add anywhere: results are compared bit by bit.

pub(crate) use prom_model::KahanSum;

/// Adds each of `values` to its sum as [`KahanSum::add`] does. Both ways to round are computed and one is
/// taken, so that several sums are computed at once.
pub(crate) fn add_each(sums: &mut [f64], compensations: &mut [f64], values: &[f64]) {
    let columns = sums.iter_mut().zip(compensations).zip(values);
    for ((sum, compensation), value) in columns {
        let total = *sum + *value;
        let is_sum_larger = sum.abs() >= value.abs();
        let larger = if is_sum_larger { *sum } else { *value };
        let smaller = if is_sum_larger { *value } else { *sum };
        let rounded = *compensation + ((larger - total) + smaller);
        *compensation = if total.is_infinite() { 0.0 } else { rounded };
        *sum = total;
    }
}

/// Go's `math.Min`: NaN wins, and -0 is below 0.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

/// Go's `math.Max`: NaN wins, and 0 is above -0.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// A duration in milliseconds as Go's `Duration.Seconds` gives it.
pub(crate) fn go_seconds(duration_ms: i64) -> f64 {
    (duration_ms / 1000) as f64 + ((duration_ms % 1000) * 1_000_000) as f64 / 1e9
}

/// Go's `%.<precision>g` of a float.
pub(crate) fn format_precise(value: f64, precision: usize) -> String {
    if let Some(text) = special_text(value) {
        return text.to_owned();
    }
    let digits = format!("{value:.*e}", precision.saturating_sub(1));
    layout_general(&digits, precision as i32)
}

fn special_text(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// Lays out `d.ddde<exponent>` by the rules of `%g`: exponent form below 1e-4 and from `exponent_max` on.
fn layout_general(scientific: &str, exponent_max: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    if !(-4..exponent_max).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        let exponent = exponent.unsigned_abs();
        return format!("{sign}{first}{point}{rest}e{exponent_sign}{exponent:02}");
    }
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (whole, fraction) = digits.split_at(whole);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_digits_look_as_in_go() {
        let check = |value: f64, expected: &str| assert_eq!(format_precise(value, 2), expected);
        check(5.0, "5");
        check(10.0, "10");
        check(123.0, "1.2e+02");
        check(0.5555, "0.56");
        check(0.0, "0");
        check(-0.00001234, "-1.2e-05");
        check(f64::INFINITY, "+Inf");
    }

    #[test]
    fn sums_of_columns_are_those_of_single_values() {
        let odd = [0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, f64::MAX, f64::MIN, 0.1, -1e16];
        let odd = odd.into_iter().chain([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        let odd: Vec<f64> = odd.collect();
        let mut all = vec![KahanSum::default(); odd.len() * odd.len()];
        let (mut sums, mut compensations) = (vec![0.0; all.len()], vec![0.0; all.len()]);
        for round in 0..odd.len() * 3 {
            let at =
                |index: usize| odd[(index * (round + 1) + index / odd.len() * round) % odd.len()];
            let values: Vec<f64> = (0..all.len()).map(at).collect();
            all.iter_mut().zip(&values).for_each(|(sum, value)| sum.add(*value));
            add_each(&mut sums, &mut compensations, &values);
            for ((one, sum), compensation) in all.iter().zip(&sums).zip(&compensations) {
                let is_same =
                    |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(is_same(one.sum, *sum) && is_same(one.compensation, *compensation));
            }
        }
    }

    #[test]
    fn extremes_follow_go() {
        assert!(go_min(f64::NAN, 1.0).is_nan() && go_max(1.0, f64::NAN).is_nan());
        assert_eq!(go_max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(go_min(0.0, -0.0).is_sign_negative() && go_max(-0.0, 0.0).is_sign_positive());
    }
}
