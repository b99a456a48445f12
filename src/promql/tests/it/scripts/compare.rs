//! Whether an answer is the expected one.

use std::collections::BTreeMap;

use prom_model::{Labels, Sample, is_stale};
use prom_promql::{Series, SeriesDescription, SeriesItem, Value};

/// Equal, both markers, both other NaN, or nearly equal.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < 1e-6 * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < 1e-6
}

/// Expected points of a series: one for each step, none where omitted.
/// Nothing if the series has histograms, which this runner does not compare.
pub(super) fn expected_points(series: &SeriesDescription) -> Option<Vec<Option<f64>>> {
    let mut points = Vec::new();
    for item in &series.items {
        match item {
            SeriesItem::Omitted { count } => points.extend((0..*count).map(|_| None)),
            SeriesItem::Floats { .. } => points.extend(item.floats().map(Some)),
            _ => return None,
        }
    }
    Some(points)
}

/// Compares the values of one instant, in order if that is asked for.
pub(super) fn check_vector(
    found: &[(Labels, f64)],
    expected: &[SeriesDescription],
    is_ordered: bool,
) -> Result<(), String> {
    let mut wanted = Vec::new();
    for series in expected {
        let points = expected_points(series).ok_or("histograms are not compared")?;
        match points[..] {
            [Some(value)] => wanted.push((series.labels.clone(), value)),
            _ => return Err("an instant query expects one value a series".to_owned()),
        }
    }
    let mut found = found.to_vec();
    if !is_ordered {
        found.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let equal = found.len() == wanted.len()
        && found.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1));
    if equal { Ok(()) } else { Err(format!("found {found:?}, expected {wanted:?}")) }
}

/// Compares a matrix whose points are expected at `start + i * step`.
pub(super) fn check_matrix(
    found: &[Series],
    expected: &[SeriesDescription],
    (start_ms, end_ms, step_ms): (i64, i64, i64),
) -> Result<(), String> {
    if !found.is_sorted_by(|a, b| a.labels < b.labels) {
        return Err("the matrix is not sorted".to_owned());
    }
    let found: BTreeMap<&Labels, &[Sample]> =
        found.iter().map(|series| (&series.labels, &series.points[..])).collect();
    let mut count = 0;
    for series in expected {
        let points = expected_points(series).ok_or("histograms are not compared")?;
        let last = (end_ms - start_ms) / step_ms;
        if points.len() as i64 > last + 1 {
            return Err("more points than steps are expected".to_owned());
        }
        let wanted: Vec<(i64, f64)> = points
            .iter()
            .enumerate()
            .filter_map(|(index, value)| value.map(|v| (start_ms + index as i64 * step_ms, v)))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        count += 1;
        let points = found.get(&series.labels).copied().unwrap_or_default();
        let equal = points.len() == wanted.len()
            && points
                .iter()
                .zip(&wanted)
                .all(|(a, b)| a.timestamp_ms == b.0 && almost_equal(a.value, b.1));
        if !equal {
            return Err(format!("{}: found {points:?}, expected {wanted:?}", series.labels));
        }
    }
    if found.len() == count {
        Ok(())
    } else {
        Err(format!("found {} series, expected {count}: {:?}", found.len(), found.keys()))
    }
}

/// The values of an instant vector.
pub(super) fn vector_of(value: &Value) -> Option<Vec<(Labels, f64)>> {
    match value {
        Value::Vector(samples) => {
            Some(samples.iter().map(|sample| (sample.labels.clone(), sample.value)).collect())
        }
        _ => None,
    }
}
