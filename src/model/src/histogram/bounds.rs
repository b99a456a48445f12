//! Where buckets begin and end. It knows no counts.
//! Compat: Prometheus `model/histogram/generic.go`, `getBound`.

use super::CUSTOM_BUCKETS_SCHEMA;

/// The finest resolution of exponential buckets.
const SCHEMA_MAX: i32 = 8;

/// Bounds of the finest resolution from 0.5 to 1. A coarser one has each second of them.
const BOUNDS_COUNT: usize = 1 << SCHEMA_MAX;

/// `2^(2^-schema)` for the schemas 1 to 8, as the reference has it.
const FACTORS: [f64; SCHEMA_MAX as usize] = [
    // One bit below the nearest float to the root of 2.
    f64::from_bits(0x3ff6_a09e_667f_3bcc),
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

static BOUNDS: [f64; BOUNDS_COUNT] = bounds();

/// Each resolution adds bounds between those of the one before: its factor times the bound below.
const fn bounds() -> [f64; BOUNDS_COUNT] {
    let mut bounds = [0.5; BOUNDS_COUNT];
    let mut schema = 1;
    while schema <= SCHEMA_MAX as usize {
        let stride = BOUNDS_COUNT >> schema;
        let mut at = stride;
        while at < BOUNDS_COUNT {
            bounds[at] = bounds[at - stride] * FACTORS[schema - 1];
            at += 2 * stride;
        }
        schema += 1;
    }
    bounds
}

/// Upper bound of the positive bucket at `index`.
pub(super) fn upper_bound(index: i64, schema: i32, custom_values: &[f64]) -> f64 {
    if schema != CUSTOM_BUCKETS_SCHEMA {
        return exponential(index, schema);
    }
    match usize::try_from(index) {
        Ok(index) => custom_values.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// Upper bound of the exponential bucket at `index`. The last bucket of finite values ends at the largest
/// float, so that the one behind it can hold infinity.
pub(super) fn exponential(index: i64, schema: i32) -> f64 {
    let (fraction, exponent) = if schema < 0 {
        (0.5, index.saturating_mul(1 << (-schema).min(32)).saturating_add(1))
    } else {
        let schema = schema.min(SCHEMA_MAX);
        let within = index & ((1 << schema) - 1);
        (BOUNDS[(within as usize) << (SCHEMA_MAX - schema)], (index >> schema) + 1)
    };
    if fraction == 0.5 && exponent == 1025 {
        return f64::MAX;
    }
    scale(fraction, exponent)
}

/// `fraction * 2^exponent`, rounded once.
fn scale(fraction: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-1_200, 1_100) as i32;
    let half = if exponent < -1_021 { -1_000 } else { exponent / 2 };
    fraction * power_of_two(half) * power_of_two(exponent - half)
}

/// `2^exponent` for what fits a float.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1_022, 1_023) + 1_023) as u64) << 52)
}

/// Which bucket of `target` holds the one of `schema` at `index`; `target` is the coarser.
pub(super) fn coarser_index(index: i64, schema: i32, target: i32) -> i64 {
    ((index - 1) >> (schema - target).clamp(0, 63)) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_reference() {
        let check = |index, schema, expected: f64| {
            assert_eq!(
                exponential(index, schema).to_bits(),
                expected.to_bits(),
                "{index} {schema}"
            );
        };
        // Taken from the reference's own tests.
        check(-1, -1, 0.25);
        check(0, -1, 1.0);
        check(1, -1, 4.0);
        check(512, -1, f64::MAX);
        check(513, -1, f64::INFINITY);
        check(-5, 0, 0.03125);
        check(1024, 0, f64::MAX);
        check(1025, 0, f64::INFINITY);
        check(-1, 2, 0.8408964152537144);
        check(1, 2, 1.189207115002721);
        check(2, 2, 0.7071067811865475 * 2.0);
        check(4096, 2, f64::MAX);
        check(4097, 2, f64::INFINITY);
        check(-1074, 0, 5e-324);
        check(-1075, 0, 0.0);
        check(-1022, 0, f64::MIN_POSITIVE);
        check(-137, 8, 0.690083933630119);
        check(i64::from(i32::MAX), -4, f64::INFINITY);
        check(i64::from(i32::MIN), 8, 0.0);
    }

    #[test]
    fn custom_bounds_end_in_infinity() {
        let check = |index, expected: f64| {
            assert_eq!(upper_bound(index, CUSTOM_BUCKETS_SCHEMA, &[1.0, 2.0]), expected);
        };
        check(-1, f64::NEG_INFINITY);
        check(0, 1.0);
        check(1, 2.0);
        check(2, f64::INFINITY);
        check(7, f64::INFINITY);
    }

    #[test]
    fn coarser_buckets_hold_finer_ones() {
        for index in -9..9 {
            let coarse = coarser_index(index, 3, 1);
            assert!(exponential(index, 3) <= exponential(coarse, 1));
            assert!(exponential(index - 1, 3) >= exponential(coarse - 1, 1));
        }
    }
}
